//! Trains the models of the forecast from a folder of traces and writes the model file.
//!
//! `forecast_train TRACES OUTPUT [--before-split] [--network] [--quick] [--without COLLECTION]...`
//!
//! One-minute values are read from `fine/POOL_1min.csv.gz` of the traces, for the series `ccc_POOL_COLUMN`.
//!
//! `--before-split` looks only at the training part of each series; `--without` leaves a collection out; `--network`
//! trains the recurrent network too, which takes longer than all the rest; `--quick` does a small part of the work, without
//! one-minute values.

use std::path::Path;
use tidegate_forecast::backtest::traces::{read_columns, read_meta, read_series};
use tidegate_forecast::models::lstm;
use tidegate_forecast::models::training::{Options, Trace, fit, gather};

fn unpacked(path: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let output = std::process::Command::new("gzip").arg("-dc").arg(path).output()?;
    if !output.status.success() {
        return Err(format!("{}: gzip could not read it", path.display()).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn add_minutes(folder: &Path, traces: &mut [Trace]) -> Result<(), Box<dyn std::error::Error>> {
    for trace in traces {
        let [_, pool, column] = *trace.id.split('_').collect::<Vec<_>>() else {
            continue;
        };
        let file = folder.join(format!("{pool}_1min.csv.gz"));
        if file.is_file() {
            trace.minutes = read_columns(&unpacked(&file)?)?
                .remove(column)
                .unwrap_or_default();
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = std::path::PathBuf::from(arguments.next().ok_or("which folder of traces?")?);
    let output = arguments.next().ok_or("which file to write?")?;
    let (mut before_split, mut network, mut quick, mut without) = (false, false, false, Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--network" => network = true,
            "--before-split" => before_split = true,
            "--quick" => quick = true,
            "--without" => without.push(arguments.next().ok_or("--without needs a collection")?),
            _ => return Err(format!("unknown argument {argument}").into()),
        }
    }
    let metas = read_meta(&std::fs::read_to_string(folder.join("meta.csv"))?)?;
    let mut traces = read_series(&unpacked(&folder.join("series.csv.gz"))?)?;
    traces.retain(|trace| {
        metas
            .get(&trace.id)
            .is_some_and(|meta| !without.contains(&meta.dataset))
    });
    if !quick {
        add_minutes(&folder.join("fine"), &mut traces)?;
    }
    for trace in &mut traces {
        if before_split {
            trace.end = metas[&trace.id].train_steps;
        }
    }
    let options = if quick {
        Options::quick()
    } else {
        Options::default()
    };
    let rows = gather(&traces, &options);
    eprintln!(
        "{} series, {} event rows, {} with minutes, {} rows of the body",
        traces.len(),
        rows.events.len(),
        rows.with_minutes.len(),
        rows.targets[0].len()
    );
    let mut trained = fit(&rows, &options);
    if network {
        trained.network = lstm::fit(&traces, &lstm::Options::default());
    }
    let bytes = trained.to_bytes();
    eprintln!("{} bytes", bytes.len());
    std::fs::write(output, bytes)?;
    Ok(())
}
