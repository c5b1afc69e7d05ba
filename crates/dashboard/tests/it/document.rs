//! The committed document and page are what the sources say.

use std::fs;
use std::path::Path;
use std::process::Command;

const ROOM: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn the_committed_document_is_the_generated_one() {
    let path = Path::new(ROOM).join("openapi.json");
    let mut generated = tidegate_dashboard::openapi().to_pretty_json().expect("JSON");
    generated.push('\n');
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        fs::write(&path, &generated).expect("writes the document");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "openapi.json is not what the routes say; write it anew with TIDEGATE_BLESS=1"
    );
}

#[test]
fn the_document_is_openapi_3_1_and_every_address_says_what_it_answers() {
    let document = serde_json::to_value(tidegate_dashboard::openapi()).expect("JSON");
    let version = document["openapi"].as_str().expect("a version");
    assert!(version.starts_with("3.1"), "{version}");
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.len() > 20);
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().expect("methods") {
            assert!(
                operation["summary"].is_string(),
                "{method} {path} says what it is for"
            );
            assert!(
                operation["responses"]["200"].is_object(),
                "{method} {path} says what it answers"
            );
        }
    }
}

/// Whether the page's tools are installed, after an attempt to install them.
pub(crate) fn node_modules_are_there() -> bool {
    // Two tests want them at the same time; installing twice at once breaks both.
    static INSTALLED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *INSTALLED.get_or_init(install_node_modules)
}

fn install_node_modules() -> bool {
    let web = Path::new(ROOM).join("web");
    if Command::new("node").arg("--version").output().is_err() {
        return false;
    }
    if web.join("node_modules/esbuild").is_dir() && web.join("node_modules/playwright-core").is_dir() {
        return true;
    }
    Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&web)
        .output()
        .is_ok_and(|output| output.status.success())
}

#[test]
fn the_committed_page_is_built_from_its_sources() {
    if !node_modules_are_there() {
        eprintln!("SKIP the_committed_page_is_built_from_its_sources: node or npm's packages are not there");
        return;
    }
    let web = Path::new(ROOM).join("web");
    let typed = Command::new("node")
        .args(["node_modules/typescript/bin/tsc", "--noEmit"])
        .current_dir(&web)
        .output()
        .expect("tsc starts");
    assert!(
        typed.status.success(),
        "{}",
        String::from_utf8_lossy(&typed.stdout)
    );
    let folder = tempfile::tempdir().expect("a folder");
    let built = Command::new("node")
        .arg("build.mjs")
        .arg(folder.path())
        .current_dir(&web)
        .output()
        .expect("the build starts");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    for name in ["index.html", "page.js", "page.css", "icon.svg", "api.ts"] {
        let built = fs::read(folder.path().join(name)).expect(name);
        let committed = match name {
            "api.ts" => web.join("src/api.ts"),
            _ => Path::new(ROOM).join("dist").join(name),
        };
        assert!(
            fs::read(committed).expect(name) == built,
            "{name} is stale; run `npm run build` in crates/dashboard/web"
        );
    }
}
