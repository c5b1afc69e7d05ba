//! What a second of a large host costs: CPU to append, CPU to seal, bytes per value.
//!
//! `cargo run --release -p tidegate-history --example cost -- [apps] [seconds]`

use std::sync::Arc;
use tidegate_history::{Store, StoreConfig};
use tidegate_types::{AppName, BootTime, Entity, Field, Moment, Row, Sample};

const FIELDS: [Field; 12] = [
    Field::CpuUsage,
    Field::CpuThrottled,
    Field::CpuThrottledPeriods,
    Field::CpuWaiting,
    Field::Memory,
    Field::MemoryAnonymous,
    Field::MemoryFile,
    Field::AppRead,
    Field::AppWrite,
    Field::Processes,
    Field::CpuLimit,
    Field::CpuWeight,
];

/// A seeded xorshift, so that two runs see the same host.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Sets a row of an app: one app in three runs, the others only hold what they have.
fn fill(row: &mut Row, app: usize, interval_s: f64, noise: &mut Noise) {
    for field in FIELDS {
        row.set(field, 0.0);
    }
    row.set(Field::CpuLimit, f64::INFINITY);
    row.set(Field::CpuWeight, 100.0);
    row.set(Field::Processes, 3.0);
    row.set(Field::Memory, (app * 4096) as f64);
    if app.is_multiple_of(3) {
        let microseconds = (noise.next() % 200_000) as f64;
        row.set(Field::CpuUsage, microseconds / interval_s * 1e-6);
        row.set(
            Field::CpuWaiting,
            ((noise.next() % 20_000) as f64 / interval_s) * 1e-6,
        );
        row.set(Field::Memory, ((1 << 28) + (noise.next() % 512) * 4096) as f64);
        row.set(
            Field::MemoryAnonymous,
            ((1 << 27) + (noise.next() % 256) * 4096) as f64,
        );
        row.set(Field::AppWrite, (noise.next() % 64 * 4096) as f64 / interval_s);
    }
}

fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn measure(
    what: &str,
    work: impl FnOnce() -> tidegate_history::Result<usize>,
) -> tidegate_history::Result<()> {
    let before = cpu_seconds();
    let count = work()?;
    let spent_ms = (cpu_seconds() - before) * 1e3;
    println!("{what}: {spent_ms:.1} ms CPU ({count})");
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let apps: usize = arguments.next().map_or(Ok(1000), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(4600), |text| text.parse())?;
    let dir = std::env::temp_dir().join(format!("tidegate-history-cost-{}", std::process::id()));
    let config = StoreConfig {
        boot_id: Arc::from("cost"),
        background: false,
        ..StoreConfig::default()
    };
    let (mut store, _) = Store::open(&dir, config)?;
    let name = |app: usize| Entity::App(AppName::new(&format!("system.slice/service-{app:04}.service")));
    let rows = (0..apps).map(|app| Row::empty(name(app))).collect();
    let mut sample = Sample {
        rows,
        ..Sample::default()
    };
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let (mut append_s, mut seal_s, mut worst_s) = (0.0, 0.0, 0.0_f64);
    let began = cpu_seconds();
    for second in 0..seconds {
        sample.interval_s = 1.0 + (noise.next() % 1000) as f64 * 1e-7;
        sample.now = Moment {
            boot: BootTime(second * 1_000_000_000),
            utc_ms: 1_750_075_200_000 + second.cast_signed() * 1000,
        };
        for (app, row) in sample.rows.iter_mut().enumerate() {
            fill(row, app, sample.interval_s, &mut noise);
        }
        let before = cpu_seconds();
        store.append(&sample)?;
        let spent = cpu_seconds() - before;
        if second % 300 == 0 && second > 0 {
            (seal_s, worst_s) = (seal_s + spent, worst_s.max(spent));
        } else {
            append_s += spent;
        }
    }
    let total = cpu_seconds() - began;
    let (reader, middle) = (store.reader().clone(), name(apps / 2));
    measure("series of all of it, one app", || {
        let points = reader.series(&middle, Field::CpuUsage, i64::MIN..i64::MAX, None)?;
        Ok(points.len())
    })?;
    measure("entities", || reader.entities().map(|known| known.len()))?;
    measure("samples of five minutes", || {
        let noon_ms = 1_750_075_200_000;
        Ok(reader.samples(noon_ms..noon_ms + 300_000)?.count())
    })?;
    store.seal_head();
    store.flush()?;
    drop(store);
    measure("opening", || {
        let (_, report) = Store::open(&dir, StoreConfig::default())?;
        Ok(report.damage.len())
    })?;
    let mut bytes = 0;
    for file in std::fs::read_dir(dir.join("seconds"))? {
        bytes += file?.metadata()?.len();
    }
    let values = seconds as f64 * (apps * FIELDS.len()) as f64;
    println!(
        "append:    {:8.3} ms a second ({:.3} % of a core)",
        append_s / seconds as f64 * 1e3,
        append_s / seconds as f64 * 100.0
    );
    println!(
        "seal:      {:8.3} ms each five minutes at most (with an hour summed up), {:.3} % of a core",
        worst_s * 1e3,
        seal_s / seconds as f64 * 100.0
    );
    println!("loop:      {total:8.3} s CPU in all for {seconds} s");
    println!(
        "on disk:   {:8.3} bytes a value, {:.1} MiB a day",
        bytes as f64 / values,
        bytes as f64 / seconds as f64 * 86_400.0 / 1_048_576.0
    );
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or_default();
    println!("{peak}");
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
