//! One suite: a command, its time, and what it says of passed, failed and skipped tests.

use super::skips::Skip;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing that we wait for takes longer; a suite that hangs is a failure, not a run without an end.
const SUITE_TIMEOUT: Duration = Duration::from_mins(20);

/// What became of one suite.
#[derive(Debug, Default)]
pub(crate) struct Suite {
    pub(crate) name: String,
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skips: Vec<Skip>,
    pub(crate) failures: Vec<String>,
    pub(crate) elapsed: Duration,
}

/// A command that is one check.
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) command: Command,
}

impl Job {
    /// Runs it with its output in sight; it counts as one test.
    pub(crate) fn run(mut self) -> Suite {
        println!("== {}", self.name);
        let start = Instant::now();
        let succeeded = self.command.status().is_ok_and(|status| status.success());
        Suite {
            failures: if succeeded {
                Vec::new()
            } else {
                vec![format!("{:?}", self.command)]
            },
            name: self.name,
            passed: usize::from(succeeded),
            failed: usize::from(!succeeded),
            elapsed: start.elapsed(),
            ..Suite::default()
        }
    }
}

/// Runs a libtest binary (or `cargo test`) and counts what its output says.
pub(crate) fn run_counted(name: &str, mut command: Command) -> Suite {
    println!("== {name}");
    let start = Instant::now();
    let (output, succeeded) = capture(&mut command);
    let mut suite = count(name, &output);
    suite.elapsed = start.elapsed();
    if !succeeded && suite.failed == 0 {
        suite.failed = 1;
        suite.failures.push("ended without a result".to_owned());
    }
    if suite.failed > 0 {
        println!("{output}");
    }
    suite
}

/// Both streams as one text, and whether the command succeeded in time.
fn capture(command: &mut Command) -> (String, bool) {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return (format!("cannot start {command:?}: {error}"), false),
    };
    let stdout = child
        .stdout
        .take()
        .map(|stream| std::thread::spawn(move || read_all(stream)));
    let stderr = child
        .stderr
        .take()
        .map(|stream| std::thread::spawn(move || read_all(stream)));
    let deadline = Instant::now() + SUITE_TIMEOUT;
    let succeeded = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status.success(),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) | Err(_) => {
                // Best effort: it ran out of time, and its own children are its affair.
                child.kill().ok();
                child.wait().ok();
                break false;
            }
        }
    };
    let mut text = String::new();
    for stream in [stdout, stderr].into_iter().flatten() {
        text.push_str(&stream.join().unwrap_or_default());
    }
    (text, succeeded)
}

fn read_all(stream: impl Read) -> String {
    let mut text = String::new();
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { break };
        if line.starts_with("SKIP ") {
            // Who watches should see it when it happens; a closed terminal is no reason to fail.
            writeln!(std::io::stdout(), "   {line}").ok();
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Reads libtest's summary lines, its failures, and our `SKIP` lines.
fn count(name: &str, output: &str) -> Suite {
    let mut suite = Suite {
        name: name.to_owned(),
        ..Suite::default()
    };
    for line in output.lines() {
        if let Some(summary) = line.strip_prefix("test result: ") {
            suite.passed += number_before(summary, " passed");
            suite.failed += number_before(summary, " failed");
        } else if let Some(test) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            suite.failures.push(test.to_owned());
        } else if let Some(skip) = Skip::parse(line)
            && !suite.skips.contains(&skip)
        {
            suite.skips.push(skip);
        }
    }
    // libtest counts a test that skipped itself among the passed ones.
    suite.passed = suite.passed.saturating_sub(suite.skips.len());
    suite
}

fn number_before(text: &str, word: &str) -> usize {
    text.split(word)
        .next()
        .and_then(|before| {
            before
                .rsplit(|character: char| !character.is_ascii_digit())
                .next()
        })
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(output: &str, passed: usize, failed: usize, skipped: usize) {
        let suite = count("suite", output);
        assert_eq!(
            (suite.passed, suite.failed, suite.skips.len()),
            (passed, failed, skipped),
            "{output}"
        );
    }

    #[test]
    fn counts_what_libtest_says() {
        check(
            "test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
            7,
            0,
            0,
        );
        check(
            "test a ... FAILED\ntest result: FAILED. 6 passed; 1 failed; 0 ignored",
            6,
            1,
            0,
        );
        check("", 0, 0, 0);
    }

    #[test]
    fn a_skipped_test_is_not_a_passed_one() {
        check(
            "SKIP pmu: none\nSKIP pmu: none\ntest result: ok. 7 passed; 0 failed",
            6,
            0,
            1,
        );
    }

    #[test]
    fn several_results_add_up() {
        check(
            "test result: ok. 2 passed; 0 failed\ntest result: ok. 3 passed; 0 failed",
            5,
            0,
            0,
        );
    }
}
