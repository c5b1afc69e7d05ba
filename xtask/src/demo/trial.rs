//! The live trial of a variant of the batch's hot function, as a user would ask for it.

use super::daemon::Daemon;
use super::program::HOT_FUNCTION;
use super::stage::Stage;
use anyhow::{Context, Result};
use serde_json::Value;
use std::process::{Child, Stdio};

/// Slices of half the usual length: the trial has to end with the demo.
const SLICE_MS: &str = "100";

/// Asks for a variant of the batch's hot function and its live trial, which takes a while.
pub(super) fn start(stage: &Stage, daemon: &Daemon, pid: u32) -> Result<Child> {
    let pid = pid.to_string();
    let mut command = daemon.verb(
        stage,
        &[
            "switch",
            &pid,
            HOT_FUNCTION,
            "--to",
            "cpu",
            "--trial",
            "--slice-ms",
            SLICE_MS,
        ],
    );
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().context("cannot ask for a trial")
}

/// Its verdict, where it has ended by now.
pub(super) fn end(mut trial: Child) -> Result<Value> {
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
pub(super) fn describe(answer: Option<Result<Value>>) -> String {
    let answer = match answer {
        None => return "The batch's code was not recompiled: it was not built by `tidegate cc`.".to_owned(),
        Some(Err(error)) => return format!("The batch's code was not recompiled: {error:#}"),
        Some(Ok(answer)) => answer,
    };
    let verdict = &answer["verdicts"][0];
    let Some(kept) = verdict["kept"].as_bool() else {
        return format!("The batch's code was not recompiled: {}", answer["refused"]);
    };
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    format!(
        "Live trial of `{HOT_FUNCTION}` for the scenario cpu: the {} is kept.\n\
         CPU per product, base over variant: {:.3} (95 % interval {:.3} to {:.3}), {} blocks, {} dropped. {}",
        if kept { "variant" } else { "base" },
        number(&verdict["ratio"]),
        number(&verdict["interval"][0]),
        number(&verdict["interval"][1]),
        verdict["blocks"],
        verdict["dropped"],
        verdict["reason"].as_str().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_verdict_is_told_with_its_interval_and_a_refusal_with_its_reason() {
        let verdict = json!({
            "kept": true, "ratio": 2.5, "interval": [2.25, 2.75], "blocks": 24, "dropped": 1, "reason": "It is faster.",
        });
        let text = describe(Some(Ok(
            json!({"answer": "trial", "verdicts": [verdict], "refused": []}),
        )));
        assert!(
            text.contains("the variant is kept") && text.contains("2.500 (95 % interval 2.250 to 2.750)"),
            "{text}"
        );
        let text = describe(Some(Ok(
            json!({"verdicts": [], "refused": [["multiply", "no such level"]]}),
        )));
        assert!(text.contains("no such level"), "{text}");
        assert!(describe(None).contains("not recompiled"));
    }
}
