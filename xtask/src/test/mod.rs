//! `cargo xtask test`: one debug build, every suite, a time for each, and an account of what was skipped.
//!
//! The test binaries are built by one `cargo build --all-targets`, because a build per package would unify features
//! anew and compile the same crates again; two cores do not forgive that. They are then run one after the other with
//! their package's folder as the current one, as cargo does. A test that cannot run prints `SKIP name: reason`;
//! those lines are compared with `xtask/skips.txt`. This module does not decide what a test needs.

mod binaries;
mod skips;
mod suite;

use crate::workspace::{self, Workspace, cargo};
use anyhow::Result;
use skips::{Skip, SkipList};
use std::process::Command;
use suite::Suite;

/// Name of the suite of examples in the documentation.
const DOCUMENTATION: &str = "documentation";
/// Name of the suite of checks on real groups.
const PROOF: &str = "prove";

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run only suites whose name contains this
    #[arg(long)]
    only: Option<String>,
}

/// Runs everything; true when nothing failed and, in CI, nothing was skipped that is not on the list.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let workspace = Workspace::load()?;
    let list = SkipList::load(&workspace.root.join("xtask/skips.txt"))?;
    let wanted = |name: &str| {
        arguments
            .only
            .as_ref()
            .is_none_or(|only| name.contains(only.as_str()))
    };
    let mut suites: Vec<Suite> = jobs(&workspace)
        .into_iter()
        .filter(|job| wanted(&job.name))
        .map(suite::Job::run)
        .collect();
    let (build, tests) = binaries::build(&workspace)?;
    suites.push(build);
    suites.extend(
        tests
            .into_iter()
            .filter(|test| wanted(&test.name))
            .map(binaries::TestBinary::run),
    );
    if wanted(PROOF) {
        suites.push(proof(&workspace));
    }
    if wanted(DOCUMENTATION) {
        suites.push(documentation(&workspace));
    }
    Ok(summarise(&suites, &list))
}

/// The suites that are one command each: it passes or fails as a whole.
fn jobs(workspace: &Workspace) -> Vec<suite::Job> {
    let root = &workspace.root;
    let cargo_job = |name: &str, arguments: &[&str]| {
        let mut command = Command::new(cargo());
        command.args(arguments).current_dir(root);
        suite::Job {
            name: name.to_owned(),
            command,
        }
    };
    let mut clippy = vec!["clippy", "--quiet", "--all-targets"];
    clippy.extend(binaries::selection());
    clippy.extend(["--", "--deny", "warnings"]);
    let mut tidy = Command::new(std::env::current_exe().unwrap_or_else(|_| "xtask".into()));
    tidy.arg("tidy").current_dir(root);
    vec![
        cargo_job("format", &["fmt", "--all", "--check"]),
        suite::Job {
            name: "tidy".to_owned(),
            command: tidy,
        },
        cargo_job("clippy", &clippy),
    ]
}

/// The built daemon on real groups, with real load: inert, recorded, killed, stopped.
fn proof(workspace: &Workspace) -> Suite {
    // Not this executable: it was built anew meanwhile.
    let mut command = Command::new(workspace.target.join("debug/xtask"));
    command
        .args(["prove", "--tidegate"])
        .arg(workspace.target.join("debug/tidegate"))
        .current_dir(&workspace.root);
    suite::run_counted(PROOF, command)
}

/// Examples in the documentation, of the packages that every host builds.
fn documentation(workspace: &Workspace) -> Suite {
    let mut command = Command::new(cargo());
    command
        .args(["test", "--quiet", "--doc"])
        .current_dir(&workspace.root);
    suite::run_counted(DOCUMENTATION, command)
}

/// Prints the account; the last line is for machines.
fn summarise(suites: &[Suite], list: &SkipList) -> bool {
    println!(
        "\n{:<44} {:>7} {:>7} {:>7} {:>9}",
        "suite", "passed", "failed", "skipped", "seconds"
    );
    for suite in suites {
        println!(
            "{:<44} {:>7} {:>7} {:>7} {:>9.1}",
            suite.name,
            suite.passed,
            suite.failed,
            suite.skips.len(),
            suite.elapsed.as_secs_f64()
        );
    }
    let mut skips: Vec<Skip> = suites
        .iter()
        .flat_map(|suite| suite.skips.iter().cloned())
        .collect();
    if workspace::llvm_prefix().is_none() {
        skips.push(Skip::new("recompiler", "LLVM 22 is not installed"));
    }
    let unlisted = report_skips(&skips, list);
    let passed: usize = suites.iter().map(|suite| suite.passed).sum();
    let mut failed: usize = suites.iter().map(|suite| suite.failed).sum();
    for suite in suites.iter().filter(|suite| suite.failed > 0) {
        println!("failed: {} ({})", suite.name, suite.failures.join(", "));
    }
    if workspace::in_ci() {
        failed += unlisted;
    }
    println!("\n{passed} passed, {failed} failed, {} skipped", skips.len());
    failed == 0
}

/// Names every skip and says which are not on the list; returns how many those are.
fn report_skips(skips: &[Skip], list: &SkipList) -> usize {
    let mut unlisted = 0;
    for skip in skips {
        let listed = list.allows(skip);
        unlisted += usize::from(!listed);
        println!(
            "skipped: {skip}{}",
            if listed { "" } else { "  (not on the list)" }
        );
    }
    if unlisted > 0 {
        println!(
            "{unlisted} skipped test(s) are not on xtask/skips.txt: provide what they need, or add the line with its reason"
        );
    }
    unlisted
}
