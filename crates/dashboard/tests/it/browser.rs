//! The page in a real browser: two widths, two themes, no errors on the console.
//!
//! `web/look.mjs` looks and says what it saw; here is what it should have seen.

use crate::support::bed;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const WEB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/web");

fn chromium() -> Option<String> {
    let named = std::env::var("TIDEGATE_CHROMIUM").ok();
    let usual = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].map(str::to_owned);
    named
        .into_iter()
        .chain(usual)
        .find(|path| Path::new(path).exists())
}

/// What is missing for a look, if anything.
fn missing() -> Option<&'static str> {
    if Command::new("node").arg("--version").output().is_err() {
        return Some("node is not installed");
    }
    if !crate::document::node_modules_are_there() {
        return Some("npm cannot install playwright-core");
    }
    chromium().is_none().then_some("chromium is not installed")
}

fn check(seen: &Value) {
    let at = format!("at {} px, {}", seen["width"], seen["colorScheme"]);
    let number = |name: &str| seen[name].as_u64().unwrap_or_default();
    assert_eq!(seen["errors"], Value::Array(Vec::new()), "{at}");
    assert_eq!(seen["health"], "live", "{at}");
    assert_eq!(
        seen["sticksOut"], false,
        "{at}: the page is wider than the window"
    );
    assert_eq!(number("units"), 10, "{at}");
    assert_eq!(number("cells"), 40, "{at}");
    assert_eq!(seen["heat"]["strips"], 10, "{at}");
    let painted = seen["heat"]["share"].as_f64().unwrap_or_default();
    assert!(painted > 0.3, "{at}: {painted} of the heatmap is painted");
    assert_eq!(number("apps"), 11, "{at}");
    assert!(number("leases") >= 3, "{at}");
    assert_eq!(number("variants"), 5, "{at}");
    assert!(number("skill") >= 3, "{at}");
    assert!(number("bars") >= 3, "{at}");
    assert_eq!(seen["why"]["inAddress"], true, "{at}");
    let why = seen["why"]["words"].as_str().unwrap_or_default();
    assert!(why.contains("Prediction") && why.contains("Rule"), "{at}: {why}");
    assert_eq!(seen["sort"]["names"][0], "api.service", "{at}");
    assert_eq!(seen["sort"]["found"], serde_json::json!(["web.service"]), "{at}");
    assert!(
        seen["address"].as_str().unwrap_or_default().contains("range=10m"),
        "{at}"
    );
    let empty = seen["empty"].as_array().map_or(0, Vec::len);
    assert!(empty >= 6, "{at}: {empty} sections say that they are empty");
    let app = seen["app"].as_str().unwrap_or_default();
    assert!(
        app.contains("Executable") && app.contains("Drives"),
        "{at}: {app}"
    );
    let doctor = seen["doctor"].as_str().unwrap_or_default();
    assert!(
        doctor.contains("not by cycles") && doctor.contains("docker"),
        "{at}: {doctor}"
    );
    assert_eq!(seen["frozen"], "stale", "{at}");
    let trouble = seen["trouble"].as_str().unwrap_or_default();
    assert!(trouble.contains("does not answer"), "{at}: {trouble}");
}

#[test]
fn the_page_works_wide_and_narrow_dark_and_light() {
    if let Some(reason) = missing() {
        eprintln!("SKIP the_page_works_wide_and_narrow_dark_and_light: {reason}");
        return;
    }
    let bed = bed(1_500);
    let pictures = tempfile::tempdir().expect("a folder");
    let moving = bed.keep_moving();
    let looked = Command::new("node")
        .arg("look.mjs")
        .arg(format!("http://127.0.0.1:{}/", bed.port()))
        .arg(pictures.path())
        .env("TIDEGATE_CHROMIUM", chromium().unwrap_or_default())
        .current_dir(WEB)
        .output()
        .expect("node starts");
    drop(moving);
    let words = String::from_utf8_lossy(&looked.stdout);
    assert!(
        looked.status.success(),
        "{words}\n{}",
        String::from_utf8_lossy(&looked.stderr)
    );
    let looks: Vec<Value> = words
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(looks.len(), 4);
    looks.iter().for_each(check);
    assert_ne!(looks[0]["ground"], looks[1]["ground"], "dark is not light");
}
