//! What a committed result must say about where it was measured.

use std::path::Path;
use std::process::Command;

/// Date, CPU model, CPUs, kernel and commit, in one line.
pub(crate) fn describe(root: &Path) -> String {
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!(
        "Measured {date} on {} ({cpus} CPUs, Linux {}), commit {}.",
        cpu_model(),
        kernel.trim(),
        commit(root)
    )
}

fn cpu_model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or_else(
            || "an unnamed CPU".to_owned(),
            |(_, model)| model.trim().to_owned(),
        )
}

/// The short hash, marked where the tree differs from it.
fn commit(root: &Path) -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(root)
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let hash = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let changed =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
    if changed {
        format!("{hash} with changes")
    } else {
        hash
    }
}
