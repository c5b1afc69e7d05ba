//! Observing changes nothing: every writable file of the cgroup tree has the same content before, during
//! and after a run.

use crate::world::World;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Lists of processes change by themselves, and some files can only be written.
const NOT_SETTINGS: [&str; 6] = [
    "cgroup.procs",
    "cgroup.threads",
    "tasks",
    "cgroup.event_control",
    "memory.force_empty",
    "memory.pressure_level",
];
/// Settings that other tests of the same run touch, in groups of their own.
const OF_TESTS: [&str; 3] = ["tg-", "tidegate-", "bed"];

fn settings(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let Ok(about) = entry.metadata() else { continue };
        if about.is_dir() && !OF_TESTS.iter().any(|prefix| name.starts_with(prefix)) {
            settings(&path, found);
        }
        // Pressure files are writable (triggers) and hold measurements.
        let is_setting = about.is_file()
            && about.permissions().mode() & 0o222 != 0
            && !NOT_SETTINGS.contains(&name.as_str())
            && !name.ends_with(".pressure")
            && !is_counter(&name);
        if is_setting && let Ok(content) = std::fs::read(&path) {
            found.insert(path, content);
        }
    }
}

/// Writable to reset them; their values are measurements.
fn is_counter(name: &str) -> bool {
    [
        "usage",
        "max_usage_in_bytes",
        "failcnt",
        "reset_stats",
        "peak",
        "stat",
    ]
    .iter()
    .any(|word| name.ends_with(word))
}

fn all_settings() -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    settings(Path::new("/sys/fs/cgroup"), &mut found);
    found
}

#[test]
fn observing_changes_no_setting() {
    let before = all_settings();
    if before.is_empty() {
        eprintln!("SKIP inert: no cgroup settings can be read here");
        return;
    }
    let world = World::new();
    let daemon = world.run(&[]);
    world.wait_for_apps();
    let during = all_settings();
    assert_eq!(daemon.stop(), Some(0));
    let after = all_settings();
    // Groups may come and go beside this test; those that stay have to stay as they are.
    let same = |now: &BTreeMap<PathBuf, Vec<u8>>| {
        for (path, content) in now {
            let old = before.get(path);
            assert!(old.is_none_or(|old| old == content), "{} changed", path.display());
        }
    };
    same(&during);
    same(&after);
}
