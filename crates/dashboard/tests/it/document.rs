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

fn node_modules() -> Result<(), String> {
    let web = Path::new(ROOM).join("web");
    if Command::new("node").arg("--version").output().is_err() {
        return Err("node is not installed".to_owned());
    }
    if web.join("node_modules/esbuild").is_dir() {
        return Ok(());
    }
    let installed = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&web)
        .output();
    match installed {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err("npm cannot install the page's build tools".to_owned()),
    }
}

#[test]
fn the_committed_page_is_built_from_its_sources() {
    if let Err(reason) = node_modules() {
        eprintln!("SKIP the_committed_page_is_built_from_its_sources: {reason}");
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
