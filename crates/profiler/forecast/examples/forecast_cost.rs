//! What the forecast costs: time of a sample and of a map, the share of one core that both take (samples every
//! second, maps every ten), and the size of the state and of its checkpoint, by number of apps. The share is CPU time, from
//! `/proc/self/stat`; it includes making up the samples. The shipped trained model is in force, and every unit has the
//! eight days of peaks that it reads.
//!
//! `cargo run --release -p tidegate-forecast --example forecast_cost`

use std::sync::Arc;
use std::time::Instant;
use tidegate_forecast::models::peaks::PeakModel;
use tidegate_forecast::{ForecastConfig, Forecaster};
use tidegate_types::{
    App, AppName, Apps, BootTime, Class, Entity, Field, Grant, Managed, Moment, Owner, Row, Sample,
};

fn apps(count: usize) -> Apps {
    (0..count)
        .map(|number| {
            let name = AppName::new(&format!("group:/bed/app-{number:05}"));
            let app = App {
                name: name.clone(),
                group: None,
                owner: Owner::Delegated,
                parent: None,
                executable: None,
                user: None,
            };
            let grant = Grant {
                class: Class::Standard,
                ..Grant::default()
            };
            (name, Managed { app, grant })
        })
        .collect()
}

fn sample(second: u64, apps: &Apps) -> Sample {
    let mut rows = vec![Row::empty(Entity::Host)];
    rows[0].set(Field::HostCpuWaiting, 0.05);
    rows[0].set(Field::HostMemoryWaiting, 0.0);
    rows[0].set(Field::HostCpuBusy, 0.15 * apps.len() as f64);
    rows[0].set(Field::HostCpuSteal, 0.0);
    rows[0].set(Field::HostCpuCapacity, 0.2 * apps.len() as f64);
    rows[0].set(Field::HostMemoryTotal, 3e8 * apps.len() as f64);
    rows[0].set(Field::HostMemoryAvailable, 1e8 * apps.len() as f64);
    let mut nic = Row::empty(Entity::Nic("eth0".into()));
    for field in [Field::NicReceive, Field::NicTransmit, Field::NicSpeed] {
        nic.set(field, 1e4 * apps.len() as f64);
    }
    rows.push(nic);
    for (number, name) in apps.keys().enumerate() {
        // One app in ten has bursts, each with a period of its own.
        let period = 60 + number as u64 % 50;
        let busy = number % 10 == 0 && (second + number as u64) % period < 6;
        let mut row = Row::empty(Entity::App(name.clone()));
        row.set(Field::CpuUsage, if busy { 0.5 } else { 0.1 });
        row.set(Field::CpuThrottled, if busy { 0.6 } else { 0.0 });
        row.set(Field::CpuWaiting, if busy { 0.6 } else { 0.01 });
        row.set(Field::CpuLimit, 0.5);
        row.set(Field::Memory, 1e8);
        row.set(Field::MemoryLimit, 1e9);
        row.set(Field::MemoryWaiting, 0.0);
        row.set(Field::AppReceive, if busy { 3e4 } else { 5e3 });
        row.set(Field::AppTransmit, 5e3);
        rows.push(row);
    }
    let mut sample = Sample {
        now: Moment {
            boot: BootTime::from_seconds(1000.0 + second as f64),
            utc_ms: 1_795_420_800_000 + second.cast_signed() * 1000,
        },
        interval_s: 1.0,
        rows,
    };
    sample.sort();
    sample
}

/// CPU seconds that this process has used.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|word| word.parse::<f64>().ok())
        .sum();
    ticks / 100.0
}

/// Resident memory of this process at its highest, in bytes.
fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = status.lines().find_map(|line| {
        let rest = line.strip_prefix("VmHWM:")?;
        rest.split_whitespace().next()?.parse::<f64>().ok()
    });
    kilobytes.unwrap_or(f64::NAN) * 1024.0
}

fn row(metric: &str, value: f64, unit: &str, bound: Option<f64>) {
    let bound = bound.map_or_else(|| "null".to_owned(), |bound| bound.to_string());
    println!("{{\"metric\":\"{metric}\",\"value\":{value},\"unit\":\"{unit}\",\"bound\":{bound}}}");
}

/// Steps of five minutes before that, of which one sample each is seen: eight days and a little.
const STEPS_BEFORE: u64 = 2400;
/// Seconds of the simulated host, and those that are measured: the longest window is open by then.
const SECONDS: u64 = 4000;
const MEASURED_FROM: u64 = 3700;

fn main() {
    // Each app has two units of its own here, so that 2,000 apps have the units of 1,000 apps with four.
    for (count, bound) in [(10, false), (1000, false), (2000, true)] {
        measure(count, bound);
    }
}

/// As a checkpoint packs it.
fn packed(forecaster: &Forecaster) -> Option<Vec<u8>> {
    let mut packed = lz4_flex::frame::FrameEncoder::new(Vec::new());
    postcard::to_io(forecaster, std::io::BufWriter::new(&mut packed)).ok()?;
    packed.finish().ok()
}

fn measure(count: usize, bound: bool) {
    let apps = apps(count);
    let mut forecaster = Forecaster::new(ForecastConfig::default());
    let name = Arc::from("shipped");
    let model = PeakModel::shipped().unwrap_or_default();
    forecaster.supply(&name, Arc::new(model));
    forecaster.promote(&name);
    let steps = if bound { STEPS_BEFORE } else { 0 };
    for step in 0..steps {
        forecaster.observe(&sample(step * 300, &apps), &apps, &[]);
    }
    let before_s = steps * 300;
    let mut units = 0;
    let (mut observe_s, mut map_s) = (0.0, 0.0);
    let mut cpu_from_s = 0.0;
    for second in 0..SECONDS {
        let sample = sample(before_s + second, &apps);
        if second == MEASURED_FROM {
            cpu_from_s = cpu_s();
        }
        let before = Instant::now();
        forecaster.observe(&sample, &apps, &[]);
        let observed = Instant::now();
        if second % 10 == 0 {
            units = forecaster.map(sample.now, &apps).entries.len();
        }
        if second >= MEASURED_FROM {
            observe_s += (observed - before).as_secs_f64();
            map_s += observed.elapsed().as_secs_f64();
        }
        forecaster.take_outcomes();
        forecaster.take_notices();
    }
    let measured = (SECONDS - MEASURED_FROM) as f64;
    let name = |what: &str| format!("{what}, {units} units");
    let before = Instant::now();
    let bytes = packed(&forecaster).map_or(0, |bytes| bytes.len());
    let packing_s = before.elapsed().as_secs_f64();
    let share = (cpu_s() - cpu_from_s) / measured;
    row(
        &name("one sample taken in"),
        observe_s / measured * 1e3,
        "ms",
        None,
    );
    row(&name("one map"), map_s / measured * 1e4, "ms", None);
    row(&name("share of a core"), share, "cores", bound.then_some(0.05));
    row(
        &name("state as a checkpoint has it"),
        bytes as f64 / 1e6,
        "MB",
        None,
    );
    row(&name("packing it"), packing_s * 1e3, "ms", None);
    let resident = resident_bytes() / 1e6;
    row(
        &name("resident memory so far"),
        resident,
        "MB",
        bound.then_some(256.0),
    );
}
