//! What a second of a large host costs: CPU to append, CPU to seal, bytes per value.
//!
//! `cargo run --release -p tidegate-history --example history_cost -- [apps] [seconds]`

use std::sync::Arc;
use tidegate_history::{Reader, Store, StoreConfig};
use tidegate_types::{AppName, BootTime, Entity, Field, Moment, Row, Sample};

/// A Monday at noon.
const NOON_MS: i64 = 1_750_075_200_000;

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

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn name(app: usize) -> Entity {
    Entity::App(AppName::new(&format!("system.slice/service-{app:04}.service")))
}

/// CPU seconds spent on recording: all plain seconds, all that sealed, and the worst of these.
#[derive(Default)]
#[expect(clippy::struct_field_names, reason = "units stand last in names")]
struct Spent {
    append_s: f64,
    seal_s: f64,
    worst_s: f64,
}

fn record(store: &mut Store, apps: usize, seconds: u64) -> Outcome<Spent> {
    let rows = (0..apps).map(|app| Row::empty(name(app))).collect();
    let mut sample = Sample {
        rows,
        ..Sample::default()
    };
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let mut spent = Spent::default();
    for second in 0..seconds {
        sample.interval_s = 1.0 + (noise.next() % 1000) as f64 * 1e-7;
        sample.now = Moment {
            boot: BootTime(second * 1_000_000_000),
            utc_ms: NOON_MS + second.cast_signed() * 1000,
        };
        for (app, row) in sample.rows.iter_mut().enumerate() {
            fill(row, app, sample.interval_s, &mut noise);
        }
        let before = cpu_seconds();
        store.append(&sample)?;
        let taken_s = cpu_seconds() - before;
        if second % 300 == 0 && second > 0 {
            spent.seal_s += taken_s;
            spent.worst_s = spent.worst_s.max(taken_s);
        } else {
            spent.append_s += taken_s;
        }
    }
    Ok(spent)
}

fn query(reader: &Reader, apps: usize) -> Outcome<()> {
    let middle = name(apps / 2);
    measure("series of all of it, one app", || {
        let points = reader.series(&middle, Field::CpuUsage, i64::MIN..i64::MAX, None)?;
        Ok(points.len())
    })?;
    measure("entities", || reader.entities().map(|known| known.len()))?;
    measure("samples of five minutes", || {
        Ok(reader.samples(NOON_MS..NOON_MS + 300_000)?.count())
    })?;
    Ok(())
}

fn report(spent: &Spent, sealed_bytes: u64, apps: usize, seconds: u64) {
    let (length_s, values) = (seconds as f64, seconds as f64 * (apps * FIELDS.len()) as f64);
    let Spent {
        append_s,
        seal_s,
        worst_s,
    } = spent;
    println!(
        "append: {:.3} ms a second, {:.3} % of a core",
        append_s / length_s * 1e3,
        append_s / length_s * 1e2
    );
    println!(
        "seal: {:.0} ms at most (with an hour summed up), {:.3} % of a core",
        worst_s * 1e3,
        seal_s / length_s * 1e2
    );
    let day_mib = sealed_bytes as f64 / length_s * 86_400.0 / 1_048_576.0;
    println!(
        "on disk: {:.3} bytes a value, {day_mib:.1} MiB a day",
        sealed_bytes as f64 / values
    );
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    println!("{}", peak.unwrap_or_default());
}

fn main() -> Outcome<()> {
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
    let spent = record(&mut store, apps, seconds)?;
    query(store.reader(), apps)?;
    store.seal_head();
    store.flush()?;
    drop(store);
    measure("opening", || {
        let (_, report) = Store::open(&dir, StoreConfig::default())?;
        Ok(report.damage.len())
    })?;
    let mut sealed_bytes = 0;
    for file in std::fs::read_dir(dir.join("seconds"))? {
        sealed_bytes += file?.metadata()?.len();
    }
    report(&spent, sealed_bytes, apps, seconds);
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
