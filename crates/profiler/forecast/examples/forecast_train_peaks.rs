//! Trains the peak model, which answers for the live map, from a folder of traces and writes its file.
//!
//! `forecast_train_peaks TRACES OUTPUT [--before-split] [--without COLLECTION]...`
//!
//! Beside the means of the table it learns from the highest of each five one-minute values, where `fine/` has them.
//! `--before-split` looks only at the training part of each series; `--without` leaves a collection out.

use std::path::{Path, PathBuf};
use tidegate_forecast::backtest::traces::{parse_time, read_meta, read_series};
use tidegate_forecast::models::peaks::training::{fit, gather};
use tidegate_forecast::models::training::Trace;

type Failure = Box<dyn std::error::Error>;

fn unpacked(path: &Path) -> Result<String, Failure> {
    let output = std::process::Command::new("gzip").arg("-dc").arg(path).output()?;
    if !output.status.success() {
        return Err(format!("{}: gzip could not read it", path.display()).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Takes in a value of the minute that begins at `minute_s`.
fn add(trace: &mut Trace, minute_s: i64, value: f64) {
    let step_s = minute_s.div_euclid(300) * 300;
    trace.minutes.push((minute_s, value));
    match (trace.times_s.last(), trace.values.last_mut()) {
        (Some(last_s), Some(highest)) if *last_s == step_s => *highest = highest.max(value),
        _ => {
            trace.times_s.push(step_s);
            trace.values.push(value);
            trace.end += 1;
        }
    }
}

/// The highest of each five values of every column of a table of minutes.
fn peaks(path: &Path) -> Result<Vec<Trace>, Failure> {
    let text = unpacked(path)?;
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().unwrap_or_default().split(',').skip(1).collect();
    let mut traces: Vec<Trace> = columns
        .iter()
        .map(|column| Trace {
            id: format!("{} {column}", path.display()),
            step_s: 300,
            times_s: Vec::new(),
            values: Vec::new(),
            minutes: Vec::new(),
            end: 0,
        })
        .collect();
    for line in lines {
        let mut fields = line.split(',');
        let time = fields
            .next()
            .and_then(parse_time)
            .ok_or("a line without a time")?;
        for (trace, field) in traces.iter_mut().zip(fields) {
            add(trace, time, field.parse().unwrap_or(f64::NAN));
        }
    }
    Ok(traces)
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("which folder of traces?")?);
    let output = arguments.next().ok_or("which file to write?")?;
    let (mut before_split, mut without) = (false, Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--before-split" => before_split = true,
            "--without" => without.push(arguments.next().ok_or("--without needs a collection")?),
            _ => return Err(format!("unknown argument {argument}").into()),
        }
    }
    let metas = read_meta(&std::fs::read_to_string(folder.join("meta.csv"))?)?;
    let mut traces = read_series(&unpacked(&folder.join("series.csv.gz"))?)?;
    traces.retain(|trace| {
        let meta = metas.get(&trace.id);
        meta.is_some_and(|meta| !without.contains(&meta.dataset))
    });
    for trace in &mut traces {
        if before_split {
            trace.end = metas[&trace.id].train_steps;
        }
    }
    let mut fine: Vec<PathBuf> = std::fs::read_dir(folder.join("fine"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    fine.sort();
    for path in &fine {
        let mut found = peaks(path)?;
        if before_split {
            for trace in &mut found {
                trace.end = trace.end * 3 / 4;
            }
        }
        traces.append(&mut found);
    }
    let rows = gather(&traces);
    let [events, with_minutes, body] = rows.counts();
    eprintln!(
        "{} series, {events} event rows, {with_minutes} with minutes, {body} rows of the height",
        traces.len()
    );
    let bytes = fit(&rows).to_bytes();
    eprintln!("{} bytes", bytes.len());
    std::fs::write(output, bytes)?;
    Ok(())
}
