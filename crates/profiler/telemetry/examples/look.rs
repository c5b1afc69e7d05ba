//! Reads the host a few times and prints what it saw: `look [SAMPLES]`.
#![forbid(unsafe_code)]

use std::time::Duration;
use tidegate_telemetry::{Collector, CollectorConfig, raise_descriptor_limit};
use tidegate_types::{Field, Sample};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let samples: usize = std::env::args().nth(1).map_or(Ok(2), |count| count.parse())?;
    raise_descriptor_limit();
    let mut collector = Collector::new(CollectorConfig::default())?;
    let mut sample = Sample::default();
    for _ in 0..samples {
        for event in collector.events() {
            println!("{event:?}");
        }
        collector.collect(&mut sample);
        std::thread::sleep(Duration::from_secs(1));
    }
    for row in &sample.rows {
        println!("{}", row.entity);
        for spec in Field::of_kind(row.entity.kind()) {
            if let Some(value) = row.get(spec.field) {
                println!("    {:<24} {value} {}", spec.name, spec.unit.suffix());
            }
        }
    }
    println!("interval {} s", sample.interval_s);
    println!("{}", serde_json::to_string_pretty(&collector.doctor())?);
    Ok(())
}
