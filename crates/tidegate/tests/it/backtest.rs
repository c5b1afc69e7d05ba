//! `tidegate backtest`: tables and the stream, from outside.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn backtest(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .arg("backtest")
        .args(arguments)
        .output()
        .unwrap()
}

fn time(step: u32) -> String {
    format!(
        "2026-01-{:02} {:02}:{:02}:00",
        1 + step / 288,
        step % 288 / 12,
        step % 12 * 5
    )
}

/// A series of four days with an hourly burst, and origins on the last one.
fn tables(folder: &Path) -> (String, String) {
    let mut series = "series_id,timestamp,value\n".to_owned();
    for step in 0..4 * 288 {
        let value = if step % 12 < 2 { 9.0 } else { f64::from(step % 7) };
        writeln!(series, "web,{},{value}", time(step)).unwrap();
    }
    let mut origins = "series_id,origin,thr90,thr95\n".to_owned();
    for step in (3 * 288..4 * 288 - 20).step_by(5) {
        writeln!(origins, "web,{},6.5,8", time(step)).unwrap();
    }
    let (input, asked) = (folder.join("series.csv"), folder.join("origins.csv"));
    std::fs::write(&input, series).unwrap();
    std::fs::write(&asked, origins).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    (text(&input), text(&asked))
}

#[test]
fn forecasts_are_written_and_judged() {
    let folder = tempfile::tempdir().unwrap();
    let (input, origins) = tables(folder.path());
    let output = folder.path().join("forecasts.csv");
    let output = output.to_str().unwrap();
    let base = ["--input", &input, "--origins", &origins];
    let made = backtest(&[&base[..], &["--output", output, "--model", "ridge", "--report"]].concat());
    let errors = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{errors}");
    let said = String::from_utf8_lossy(&made.stdout);
    assert!(
        said.contains("Brier skill") && said.contains("54 origins judged"),
        "{said}"
    );
    let written = std::fs::read_to_string(output).unwrap();
    assert_eq!(written.lines().count(), 1 + 54 * 5);
    let judged = backtest(&[&base[..], &["--forecasts", output, "--report", "--json"]].concat());
    let json: serde_json::Value = serde_json::from_slice(&judged.stdout).unwrap();
    assert_eq!(json["metrics"]["origins"], 54.0);
    assert!(json["metrics"]["events"][0][0]["skill"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_bad_line_is_named_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (input, origins) = tables(folder.path());
    let good = std::fs::read_to_string(&input).unwrap();
    let output = folder.path().join("forecasts.csv");
    for (row, says) in [
        (format!("web,{},much", time(1152)), "is not a number"),
        (format!("web,{},1", time(3)), "not later"),
        ("web,1".to_owned(), "expected series_id"),
    ] {
        std::fs::write(&input, format!("{good}{row}\n")).unwrap();
        let output = output.to_str().unwrap();
        let refused = backtest(&["--input", &input, "--origins", &origins, "--output", output]);
        let errors = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{errors}");
        assert!(errors.contains("line 1154") && errors.contains(says), "{errors}");
        assert!(!Path::new(output).exists());
    }
    std::fs::write(&input, "series_id,timestamp,value\n").unwrap();
    let refused = backtest(&["--input", &input, "--origins", &origins, "--report"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no value"));
}

#[test]
fn the_stream_answers_goes_on_after_a_bad_line_and_says_so() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["backtest", "--stream", "--model", "persistence"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = "S,a,cpu,300,5,8\nO,a,0,6\nO,a,300,many\nO,a,300,7\nF,300\nQ,a,300\nE\nX\n";
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.lines().count(), 6, "{said}");
    assert!(
        said.starts_with("R,a,300,s1,7") && said.ends_with("K\n"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("line 3"));
}

#[test]
fn an_unknown_model_is_refused_with_the_names_there_are() {
    let refused = backtest(&["--stream", "--model", "oracle"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("seasonal-naive"));
}
