//! `cargo xtask bed`: a virtual host with what this one may lack, a real cgroup v2 tree under real systemd.
//!
//! QEMU without KVM runs anywhere, slowly: it proves behaviour, never speed. The image is built once from Debian's
//! packages and cached under the target folder; it is opened as a snapshot, so that nothing outlives a boot.

mod guest;

use crate::bench::host;
use crate::demo;
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use clap::Subcommand;
use guest::Guest;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long the checks may take in the virtual host.
const SMOKE: Duration = Duration::from_mins(20);

/// Options of `cargo xtask bed`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    bed: Bed,
}

#[derive(Subcommand)]
enum Bed {
    /// Observing is inert and everything is put back, on real cgroup v2; written to docs/bench/bed-smoke.md
    Smoke {
        /// The binary to check; the release build by default
        #[arg(long)]
        tidegate: Option<PathBuf>,
    },
    /// Run a script in a fresh virtual host
    Run {
        /// The script, for bash
        script: PathBuf,
    },
}

/// Boots, runs, stops; true where the script ended with 0.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let workspace = Workspace::load()?;
    let folder = workspace.target.join("bed");
    build_image(&workspace, &folder)?;
    match &arguments.bed {
        Bed::Smoke { tidegate } => smoke(&workspace, &folder, tidegate.as_deref()),
        Bed::Run { script } => {
            let text = std::fs::read_to_string(script)
                .with_context(|| format!("cannot read {}", script.display()))?;
            let guest = Guest::boot(&folder, None)?;
            Ok(guest.run(&text, SMOKE)?.status == 0)
        }
    }
}

fn build_image(workspace: &Workspace, folder: &Path) -> Result<()> {
    let script = workspace.root.join("xtask/bed/image.sh");
    let status = Command::new("bash")
        .arg(&script)
        .arg(folder)
        .status()
        .context("cannot run bash")?;
    ensure!(
        status.success(),
        "the image could not be built; it needs: apt-get install qemu-system-x86 mmdebstrap e2fsprogs kmod"
    );
    Ok(())
}

fn smoke(workspace: &Workspace, folder: &Path, tidegate: Option<&Path>) -> Result<bool> {
    let tidegate = tidegate.map_or_else(|| workspace.target.join("release/tidegate"), Path::to_path_buf);
    let batch = demo::compile(workspace, &tidegate)?;
    let payload = folder.join("payload");
    std::fs::create_dir_all(&payload).with_context(|| format!("cannot make {}", payload.display()))?;
    let own = std::env::current_exe().context("cannot find this executable")?;
    for (from, name) in [
        (own.as_path(), "xtask"),
        (&tidegate, "tidegate"),
        (&batch.path, "batch"),
    ] {
        std::fs::copy(from, payload.join(name)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    let script = std::fs::read_to_string(workspace.root.join("xtask/bed/smoke.sh"))
        .context("cannot read the script")?;
    let guest = Guest::boot(folder, Some(&payload))?;
    let answer = guest.run(&script, SMOKE)?;
    write_result(workspace, &answer)?;
    Ok(answer.status == 0)
}

/// `docs/bench/bed-smoke.md`: what was said, and where.
fn write_result(workspace: &Workspace, answer: &guest::Answer) -> Result<()> {
    let path = workspace.root.join("docs/bench/bed-smoke.md");
    let mut text = String::from("# Checks on a real cgroup v2 tree\n\n");
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "`cargo xtask bed smoke`: a virtual Debian host without hardware virtualisation; times are upper bounds.\n{}\n\n\
         ```\n{}\n```\n\nExit status {}.",
        host::describe(&workspace.root),
        answer.output.trim(),
        answer.status
    );
    std::fs::create_dir_all(workspace.root.join("docs/bench"))?;
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("written: {}", path.display());
    Ok(())
}
