//! What is never acted on, whatever a policy says.

use std::sync::Arc;
use tidegate_types::{App, Owner};

/// Units and programs without which a host cannot be reached, logged into, or run its containers.
const PROGRAMS: &[(&str, &str)] = &[
    ("sshd", "the way into this host"),
    ("ssh", "the way into this host"),
    ("systemd", "the service manager"),
    ("init", "the first process"),
    ("systemd-logind", "logins depend on it"),
    ("systemd-udevd", "devices depend on it"),
    ("dbus", "the bus of the system"),
    ("dbus-daemon", "the bus of the system"),
    ("dbus-broker", "the bus of the system"),
    ("systemd-journald", "logging depends on it"),
    ("containerd", "a container runtime"),
    ("dockerd", "a container runtime"),
    ("docker", "a container runtime"),
    ("crio", "a container runtime"),
    ("podman", "a container runtime"),
    ("kubelet", "another manager"),
    ("slurmd", "another manager"),
    ("slurmctld", "another manager"),
];

/// Why `app` must not be acted on, where it must not.
pub(crate) fn reason(app: &App) -> Option<Arc<str>> {
    let paths = app.group.iter().flat_map(|group| &group.paths);
    if paths.clone().any(|path| &*path.path == "/") {
        return Some("it is the root group, where the first process and the kernel's threads are".into());
    }
    if paths.clone().any(|path| path.path.starts_with("/init.scope")) {
        return Some("it holds the first process".into());
    }
    let unit = match &app.owner {
        Owner::Systemd(unit) => Some(&**unit),
        _ => None,
    };
    let names = [unit, app.executable.as_deref(), Some(app.name.as_str())];
    names.into_iter().flatten().find_map(program_reason)
}

fn program_reason(name: &str) -> Option<Arc<str>> {
    let base = name.rsplit('/').next().unwrap_or(name);
    let base = base.strip_prefix("exe:").unwrap_or(base);
    let stem = base.split(['@', ' ']).next().unwrap_or(base);
    let stem = [".service", ".socket", ".scope", ".slice"]
        .iter()
        .find_map(|suffix| stem.strip_suffix(suffix))
        .unwrap_or(stem);
    let (_, why) = PROGRAMS.iter().find(|(program, _)| *program == stem)?;
    Some(format!("{stem}: {why}").into())
}
