//! What the forecast costs: time of a sample and of a map, the share of one core that both take (samples every
//! second, maps every ten), and the size of the state, by number of apps. The share is CPU time, from
//! `/proc/self/stat`; it includes making up the samples.
//!
//! `cargo run --release -p tidegate-forecast --example forecast_cost`

use std::time::Instant;
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

fn main() {
    println!("apps  units  observe ms  map ms  share of a core  state MiB");
    for count in [10, 1000] {
        let apps = apps(count);
        let mut forecaster = Forecaster::new(ForecastConfig::default());
        let mut units = 0;
        let (mut observe_s, mut map_s) = (0.0, 0.0);
        let seconds = 2200_u64;
        let measured_from = 1800;
        let mut cpu_from_s = 0.0;
        for second in 0..seconds {
            let sample = sample(second, &apps);
            if second == measured_from {
                cpu_from_s = cpu_s();
            }
            let before = Instant::now();
            forecaster.observe(&sample, &apps, &[]);
            let observed = Instant::now();
            if second % 10 == 0 {
                units = forecaster.map(sample.now, &apps).entries.len();
            }
            if second >= measured_from {
                observe_s += (observed - before).as_secs_f64();
                map_s += observed.elapsed().as_secs_f64();
            }
            forecaster.take_outcomes();
            forecaster.take_notices();
        }
        let measured = (seconds - measured_from) as f64;
        let (sample_ms, ten_ms) = (observe_s / measured * 1e3, map_s / measured * 1e4);
        let share = (cpu_s() - cpu_from_s) / measured;
        let bytes = postcard::to_stdvec(&forecaster).map_or(0, |bytes| bytes.len());
        println!(
            "{count:4}  {units:5}  {sample_ms:10.3}  {ten_ms:6.2}  {:14.2} %  {:9.1}",
            share * 100.0,
            bytes as f64 / 1_048_576.0
        );
    }
}
