//! The doctor's words: what is used, what is absent, and what that costs.

use crate::place::Folders;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use tidegate_dashboard::HostView;
use tidegate_plan::policy::Policy;
use tidegate_telemetry::{Collector, DoctorReport, Signal};

/// Kinds of file systems that hold files in memory: tmpfs and ramfs.
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// A report on this host, for the verb.
pub(crate) fn report(folders: &Folders) -> Result<DoctorReport, crate::failure::Failure> {
    let collector = crate::watch::collector(&Policy::default(), Duration::from_secs(1))?;
    Ok(of(&collector, folders))
}

/// A report by a collector that is there already, with what the recompiler and the journal need beside it.
pub(crate) fn of(collector: &Collector, folders: &Folders) -> DoctorReport {
    let mut report = collector.doctor();
    report.signals.push(recompiler());
    report.signals.push(journal(folders));
    report
}

/// The journal is written before every change, so it must not wait for a disk.
fn journal(folders: &Folders) -> Signal {
    // The folder itself may not be there yet.
    let place = folders.run.ancestors().find(|path| path.exists());
    let in_memory = place
        .and_then(|path| rustix::fs::statfs(path).ok())
        .is_some_and(|about| IN_MEMORY.contains(&about.f_type));
    let words = |text: &str| if in_memory { String::new() } else { text.to_owned() };
    Signal {
        name: "journal in memory".to_owned(),
        used: in_memory,
        detail: folders.run.display().to_string(),
        consequence: words(
            "a busy disk delays every change, and a restart of the host leaves an old journal behind",
        ),
        remedy: words("name a folder on tmpfs with --run-dir"),
    }
}

fn recompiler() -> Signal {
    let missing = match (
        tidegate_drivers::tools::Tools::find(),
        tidegate_variants::compile::Worker::find(),
    ) {
        (Ok(_), Ok(_)) => None,
        (Err(error), _) => Some(error.to_string()),
        (_, Err(error)) => Some(error.to_string()),
    };
    let absent = missing.is_some();
    let words = |text: &str| if absent { text.to_owned() } else { String::new() };
    Signal {
        name: "recompiler".to_owned(),
        used: !absent,
        detail: missing.unwrap_or_else(|| "clang-22, plugin and worker".to_owned()),
        consequence: words("no program can be built or recompiled for switching"),
        remedy: words("install LLVM 22 and build the packages partition, worker and runtime (`make build`)"),
    }
}

/// What the page shows of the machine.
pub(crate) fn host(report: &DoctorReport) -> HostView {
    let first_line = |path: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().next().unwrap_or_default().trim().to_owned()
    };
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    HostView {
        name: first_line("/proc/sys/kernel/hostname"),
        kernel: report.kernel.clone(),
        cpu_model: model.map_or_else(String::new, |(_, name)| name.to_owned()),
        cpus: u16::try_from(report.cpus).unwrap_or(u16::MAX),
        memory_bytes: memory_bytes(Path::new("/proc/meminfo")),
        layout: report.layout_text.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn memory_bytes(meminfo: &Path) -> f64 {
    let text = std::fs::read_to_string(meminfo).unwrap_or_default();
    let kibibytes = text.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?
            .trim()
            .split(' ')
            .next()?
            .parse()
            .ok()
    });
    kibibytes.unwrap_or(0.0) * 1024.0
}

/// The report for people.
pub(crate) fn text(report: &DoctorReport) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "host: kernel {}, {} CPUs, {}; {} apps found",
        report.kernel, report.cpus, report.layout_text, report.apps
    );
    let used: Vec<&str> = report
        .signals
        .iter()
        .filter(|signal| signal.used)
        .map(|signal| signal.name.as_str())
        .collect();
    let _ = writeln!(text, "measured: {}", used.join(", "));
    for signal in report.absent() {
        let _ = write!(
            text,
            "absent: {} ({}): {}",
            signal.name, signal.detail, signal.consequence
        );
        let _ = match signal.remedy.as_str() {
            "" => writeln!(text),
            remedy => writeln!(text, "; {remedy}"),
        };
    }
    for manager in &report.managers {
        let _ = writeln!(text, "beside us: {}: {}", manager.name, manager.concern);
    }
    for addition in &report.privileges.root_would_add {
        let _ = writeln!(text, "root would add: {addition}");
    }
    let _ = writeln!(
        text,
        "samples every {} s; processes without a group are looked for every {} s",
        report.sample_interval_s, report.sweep_interval_s
    );
    for bound in &report.bounds_hit {
        let _ = writeln!(text, "bound: {bound}");
    }
    text
}
