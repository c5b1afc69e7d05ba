//! The live trial of a variant of the batch's hot function, as a user would ask for it.

use super::daemon::Daemon;
use super::program::HOT_FUNCTION;
use super::stage::Stage;
use anyhow::{Context, Result};
use std::process::{Child, Stdio};

/// Asks for a variant of the batch's hot function and its live trial, which takes a while.
pub(super) fn start(stage: &Stage, daemon: &Daemon, pid: u32) -> Result<Child> {
    let pid = pid.to_string();
    let mut command = daemon.verb(stage, &["switch", &pid, HOT_FUNCTION, "--to", "cpu", "--trial"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().context("cannot ask for a trial")
}

/// Its verdict, where it has ended by now.
pub(super) fn end(mut trial: Child) -> Result<serde_json::Value> {
    if trial.try_wait()?.is_none() {
        trial.kill()?;
        anyhow::bail!("the trial had not ended when the demo did");
    }
    let output = trial.wait_with_output()?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    serde_json::from_slice(&output.stdout).context("the trial gave no JSON")
}

/// The verdict in words, kept or not.
pub(super) fn describe(verdict: Option<Result<serde_json::Value>>) -> String {
    match verdict {
        None => "The batch's code was not recompiled: it was not built by `tidegate cc`.".to_owned(),
        Some(Err(error)) => format!("The batch's code was not recompiled: {error:#}"),
        Some(Ok(verdict)) => {
            let kept = verdict["kept"].as_bool().unwrap_or(false);
            let at = |index: usize| verdict["interval"][index].as_f64().unwrap_or(f64::NAN);
            format!(
                "Live trial of `{HOT_FUNCTION}` for the scenario cpu: {} is kept. Base cost over variant cost per product: {:.3} \
                 (95 % interval {:.3} to {:.3}). {}",
                if kept { "the variant" } else { "the base" },
                verdict["ratio"].as_f64().unwrap_or(f64::NAN),
                at(0),
                at(1),
                verdict["reason"].as_str().unwrap_or_default(),
            )
        }
    }
}
