//! Every project's short form: its own tests while everything is switched.

use std::path::{Path, PathBuf};
use tidegate_projects::ProjectError;
use tidegate_projects::list::PROJECTS;
use tidegate_projects::run::{Form, Tools, test};

/// The drivers beside this test's folder; `None` (and a skip) where they are not built: they need LLVM.
fn tools(name: &str) -> Option<Tools> {
    let own = std::env::current_exe().ok()?;
    let folder = own.ancestors().nth(2)?.to_owned();
    let programs = [
        "tidegate-cc",
        "tidegate-cargo",
        "tidegate-worker",
        "libtidegate_partition.so",
    ];
    if let Some(missing) = programs.iter().find(|program| !folder.join(program).is_file()) {
        eprintln!("SKIP {name}: {missing} is not built");
        return None;
    }
    let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    Some(Tools { folder, kept })
}

fn check(name: &str) {
    let Some(tools) = tools(name) else { return };
    let project = PROJECTS.iter().find(|project| project.name == name);
    let project = project.unwrap_or_else(|| panic!("{name} is not on the list"));
    let tested = match test(project, &tools, Form::Short, false) {
        Ok(tested) => tested,
        Err(error @ (ProjectError::Tool(_) | ProjectError::Sources { .. })) => {
            eprintln!("SKIP {name}: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    eprintln!("{name}: {:?} in {:?}", tested.storm, tested.stormed.elapsed);
    let plain_fails = tested.plain.as_ref().is_some_and(|plain| !plain.passed);
    assert!(
        tested.stormed.passed || plain_fails,
        "{name} fails in the storm, and the plain build does not: {}",
        tested.stormed.said
    );
    let storm = tested.storm;
    assert_eq!(storm.failures, 0, "{storm:?}");
    assert!(
        storm.processes > 0 && storm.functions > 0 && storm.switches > 0,
        "{storm:?}"
    );
}

#[test]
fn zlib_passes_its_tests_in_a_storm() {
    check("zlib");
}

#[test]
fn lz4_passes_its_tests_in_a_storm() {
    check("lz4");
}

#[test]
fn zstd_passes_its_tests_in_a_storm() {
    check("zstd");
}

#[test]
fn sqlite_passes_its_tests_in_a_storm() {
    check("sqlite");
}

#[test]
fn jsoncpp_passes_its_tests_in_a_storm() {
    check("jsoncpp");
}

#[test]
fn strsim_passes_its_tests_in_a_storm() {
    check("strsim");
}

#[test]
fn semver_passes_its_tests_in_a_storm() {
    check("semver");
}

/// What is fetched is what was meant.
#[test]
fn every_project_is_pinned() {
    use tidegate_projects::fetch::Source;
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    let manifest = manifest.unwrap_or_default();
    for project in PROJECTS {
        let pinned = match project.source {
            Source::Debian(package) => package.contains('='),
            Source::Crate(name) => manifest.contains(&format!("{name} = \"=")),
        };
        assert!(pinned, "{}", project.name);
    }
}
