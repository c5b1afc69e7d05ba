//! What variants cost: compiles every switchable function of a program, one worker each, and prints the CPU time
//! of each worker from fork to exit, the image's size, or why there is no image.
//!
//! `cargo run --release -p tidegate-worker --example worker_cost -- PROGRAM [SCENARIO]`; the worker is looked for beside
//! this example's folder.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use tidegate_format::image::{CpuFeatures, Image};
use tidegate_format::request::{Request, Response};
use tidegate_format::scenario::Scenario;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let program = arguments.next().ok_or("usage: cost PROGRAM [SCENARIO]")?;
    let scenario = arguments.next().unwrap_or_else(|| "cpu".to_owned());
    let scenario = Scenario::from_name(&scenario).ok_or("no such scenario")?;
    let worker = std::env::current_exe()?.with_file_name("../tidegate-worker");
    let inspection = tidegate_drivers::inspect::binary(Path::new(&program))?;
    let mut costs = Vec::new();
    for function in &inspection.functions {
        let request = Request {
            scenario,
            candidate: 0,
            cpu_features: CpuFeatures::V3,
            tune_cpu: String::new(),
            tunables: Vec::new(),
            constants: Vec::new(),
            blob: function.blob.clone(),
        };
        let (answer, cpu_ms) = run(&worker, &request.to_bytes())?;
        let outcome = match &answer.0 {
            Ok(bytes) => {
                let image = Image::read(bytes)?;
                format!(
                    "{} bytes, {} relocations",
                    image.span.len(),
                    image.relocations().count()
                )
            }
            Err(error) => format!("no image: {error}"),
        };
        println!(
            "{cpu_ms:9.1} ms  {:6} instructions  {:40} {outcome}",
            function.instructions, function.name
        );
        costs.push(cpu_ms);
    }
    costs.sort_by(f64::total_cmp);
    let quantile = |share: f64| {
        costs
            .get((costs.len() as f64 * share) as usize)
            .copied()
            .unwrap_or_default()
    };
    println!(
        "{} functions, median {:.1} ms, 75th percentile {:.1} ms",
        costs.len(),
        quantile(0.5),
        quantile(0.75)
    );
    Ok(())
}

/// One worker: its answer, and its CPU time in milliseconds.
fn run(worker: &Path, request: &[u8]) -> Result<(Response, f64), Box<dyn std::error::Error>> {
    let mut child = Command::new(worker)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let pid = child.id().cast_signed();
    child
        .stdin
        .take()
        .ok_or("no standard input")?
        .write_all(request)?;
    let mut answer = Vec::new();
    child
        .stdout
        .take()
        .ok_or("no standard output")?
        .read_to_end(&mut answer)?;
    let mut status = 0;
    // SAFETY: zeros are a valid value of this plain structure.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers outlive the call; nobody else waits for the child.
    let reaped = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    if reaped != pid {
        return Err(std::io::Error::last_os_error().into());
    }
    let milliseconds = |time: libc::timeval| time.tv_sec as f64 * 1e3 + time.tv_usec as f64 / 1e3;
    Ok((
        Response::read(&answer)?,
        milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime),
    ))
}
