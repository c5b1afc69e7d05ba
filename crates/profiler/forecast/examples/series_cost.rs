//! What the event models cost for each series: one event set (features, three windows, two thresholds), and all
//! outputs with quantiles, as medians over series; and resident memory with them, by number of series.
//!
//! `cargo run --release -p tidegate-forecast --example series_cost [events|all COUNT]`
//!
//! Each measurement is far shorter than a time slice, so that the median is CPU time even on a busy machine. With
//! `events` or `all`, one series is asked so often and nothing is printed: for what counts instructions of a process.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;
use tidegate_forecast::models::SeriesModel as _;
use tidegate_forecast::models::boosted::Boosted;
use tidegate_forecast::models::trained::Trained;

/// Steps of five minutes that each series has seen: what is kept of one.
const STEPS: i64 = 2316;
/// Series that are really followed; the others are copies of them.
const DISTINCT: i64 = 8;

/// A load with a day, an hourly burst, and noise that a formula gives.
fn load(step: i64, seed: i64) -> f64 {
    let noise = ((step * 7919 + seed * 104_729) % 997) as f64 / 997.0;
    let day = (step as f64 * std::f64::consts::TAU / 288.0).sin();
    let burst = if (step + seed) % 12 < 2 { 15.0 } else { 0.0 };
    50.0 + 20.0 * day + burst + 6.0 * noise
}

fn followed(trained: &Arc<Trained>, seed: i64) -> Result<Boosted, Box<dyn std::error::Error>> {
    let mut model = Boosted::new(Arc::clone(trained), 300, [70.0, 80.0]);
    for step in 0..STEPS {
        let observed = model.observe(step * 300, load(step, seed));
        observed.map_err(|late| format!("not later than {}", late.after_s))?;
    }
    Ok(model)
}

fn median_us(series: &mut [Boosted], mut what: impl FnMut(&mut Boosted)) -> f64 {
    let mut took_us: Vec<f64> = series
        .iter_mut()
        .map(|model| {
            let begun = Instant::now();
            what(model);
            begun.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    took_us.sort_unstable_by(f64::total_cmp);
    took_us[took_us.len() / 2]
}

fn resident_mb() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm
        .split_whitespace()
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or(f64::NAN);
    pages * 4096.0 / 1e6
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let trained = Arc::new(Trained::shipped()?);
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => by_number_of_series(&trained),
        ["events", count] => {
            let model = followed(&trained, 0)?;
            for _ in 0..count.parse::<u32>()? {
                black_box(model.events());
            }
            Ok(())
        }
        ["all", count] => {
            let mut model = followed(&trained, 0)?;
            for _ in 0..count.parse::<u32>()? {
                black_box(model.forecast());
            }
            Ok(())
        }
        _ => Err("usage: series_cost [events|all COUNT]".into()),
    }
}

fn by_number_of_series(trained: &Arc<Trained>) -> Result<(), Box<dyn std::error::Error>> {
    let distinct: Vec<Boosted> = (0..DISTINCT)
        .map(|seed| followed(trained, seed))
        .collect::<Result<_, _>>()?;
    println!("series  event set us  all outputs us  resident MB");
    let mut series: Vec<Boosted> = Vec::new();
    for count in [10, 100, 1_000, 4_000, 10_000] {
        series.extend(distinct.iter().cycle().take(count - series.len()).cloned());
        let events_us = median_us(&mut series, |model| {
            black_box(model.events());
        });
        let all_us = median_us(&mut series, |model| {
            black_box(model.forecast());
        });
        println!(
            "{count:6}  {events_us:12.1}  {all_us:14.1}  {:11.1}",
            resident_mb()
        );
    }
    Ok(())
}
