//! Trains the models of the forecast from a folder of traces and writes the model file.
//!
//! `forecast_train TRACES OUTPUT [--before-split] [--without COLLECTION]...`
//!
//! `--before-split` looks only at the training part of each series; `--without` leaves a collection out.

use std::path::Path;
use tidegate_forecast::backtest::traces::{read_meta, read_series};
use tidegate_forecast::models::training::{Options, fit, gather};

fn unpacked(path: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let output = std::process::Command::new("gzip").arg("-dc").arg(path).output()?;
    if !output.status.success() {
        return Err(format!("{}: gzip could not read it", path.display()).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = std::path::PathBuf::from(arguments.next().ok_or("which folder of traces?")?);
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
        metas
            .get(&trace.id)
            .is_some_and(|meta| !without.contains(&meta.dataset))
    });
    for trace in &mut traces {
        if before_split {
            trace.end = metas[&trace.id].train_steps;
        }
    }
    let options = Options::default();
    let rows = gather(&traces, &options);
    let (events, body) = (rows.happened[0].len(), rows.targets[0].len());
    eprintln!(
        "{} series, {events} event rows, {body} rows of the body",
        traces.len()
    );
    let bytes = fit(&rows, &options).to_bytes();
    eprintln!("{} bytes", bytes.len());
    std::fs::write(output, bytes)?;
    Ok(())
}
