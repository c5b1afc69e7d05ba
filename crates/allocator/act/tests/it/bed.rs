//! A tree to act on: a folder with files, or own groups under this host's v1 `cpu` controller.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use tidegate_act::{ActConfig, Actuator, Layout, boot_now};
use tidegate_types::{
    App, AppName, Apps, BootTime, Cause, Class, Event, Grant, Group, GroupPath, Hierarchy, KnobValue, Lease,
    LeaseId, Managed, Mode, Moment, Owner, Plan, Range, Resource, Trigger, Unit,
};

/// Says that a test did not run, in the words that are counted.
pub(crate) fn skip(name: &str, reason: &str) {
    eprintln!("SKIP {name}: {reason}");
}

/// Which tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    FakeV1,
    FakeV2,
    /// Own groups under this host's controller, in whichever dialect it speaks.
    Live,
}

/// Runs `test` on both fake trees and on the live one, where that can be had.
pub(crate) fn on_every_tree(name: &str, test: impl Fn(&Bed)) {
    for kind in [Kind::FakeV1, Kind::FakeV2, Kind::Live] {
        match Bed::new(kind) {
            Some(bed) => test(&bed),
            None => skip(name, NO_OWN_GROUPS),
        }
    }
}

pub(crate) const NO_OWN_GROUPS: &str = "no own groups with limits under this host's cpu controller";

/// Whether groups below `root` will have limits; under v2 that takes the controller of the group above.
fn can_limit(root: &Path, dialect: Hierarchy) -> bool {
    match dialect {
        Hierarchy::V2 => fs::write(root.join("cgroup.subtree_control"), "+cpu").is_ok(),
        _ => root.join("cpu.cfs_quota_us").exists(),
    }
}

/// A tree with the groups `/web`, `/db` and `/batch`, each with a limit and a weight of its own.
pub(crate) struct Bed {
    pub(crate) kind: Kind,
    pub(crate) dialect: Hierarchy,
    pub(crate) root: PathBuf,
    folder: tempfile::TempDir,
}

pub(crate) const GROUPS: [&str; 3] = ["/web", "/db", "/batch"];

impl Bed {
    pub(crate) fn new(kind: Kind) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::tempdir().expect("folder");
        let live = (kind == Kind::Live).then(|| Layout::detect().ok()).flatten();
        let (root, dialect) = match (kind, live) {
            (Kind::Live, Some(host)) => {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                let root = host.root().join(format!("tg-a-{}-{number}", std::process::id()));
                fs::create_dir(&root).ok()?;
                (root, host.hierarchy())
            }
            (Kind::Live, None) => return None,
            (Kind::FakeV1, _) => (folder.path().join("tree"), Hierarchy::Cpu),
            (Kind::FakeV2, _) => (folder.path().join("tree"), Hierarchy::V2),
        };
        if kind == Kind::Live && !can_limit(&root, dialect) {
            let _ = fs::remove_dir(&root);
            return None;
        }
        let bed = Self {
            kind,
            dialect,
            root,
            folder,
        };
        for (position, group) in GROUPS.iter().enumerate() {
            bed.make(group, position as u64);
        }
        Some(bed)
    }

    /// Makes a group whose values are its own by `seed`.
    pub(crate) fn make(&self, group: &str, seed: u64) {
        fs::create_dir_all(self.folder_of(group)).expect("group");
        for (file, value) in self.initial(seed) {
            self.put(group, file, &value);
        }
    }

    fn initial(&self, seed: u64) -> Vec<(&'static str, String)> {
        let quota = 40_000 + 10_000 * seed;
        match self.dialect {
            Hierarchy::V2 => vec![
                ("cpu.idle", "0".into()),
                ("cpu.weight", (100 + seed).to_string()),
                ("cpu.max", format!("{quota} 100000")),
                ("cpu.max.burst", (1000 * seed).to_string()),
            ],
            _ => vec![
                ("cpu.idle", "0".into()),
                ("cpu.shares", (1025 + seed).to_string()),
                ("cpu.cfs_period_us", "100000".into()),
                ("cpu.cfs_quota_us", quota.to_string()),
                ("cpu.cfs_burst_us", (1000 * seed).to_string()),
            ],
        }
    }

    pub(crate) fn folder_of(&self, group: &str) -> PathBuf {
        self.root.join(group.trim_start_matches('/'))
    }

    pub(crate) fn put(&self, group: &str, file: &str, value: &str) {
        fs::write(self.folder_of(group).join(file), value).expect(file);
    }

    /// Removes a group and makes another one under its path. (A plain folder's inode may be used again at once,
    /// a group's is not: the new folder is made before the old one is gone.)
    pub(crate) fn make_again(&self, group: &str, seed: u64) {
        if self.kind == Kind::Live {
            fs::remove_dir(self.folder_of(group)).expect("remove");
            return self.make(group, seed);
        }
        self.make("/other", seed);
        fs::remove_dir_all(self.folder_of(group)).expect("remove");
        fs::rename(self.folder_of("/other"), self.folder_of(group)).expect("rename");
    }

    /// All values of all groups.
    pub(crate) fn values(&self) -> BTreeMap<String, String> {
        let mut values = BTreeMap::new();
        for group in GROUPS {
            for (file, _) in self.initial(0) {
                let path = self.folder_of(group).join(file);
                let text = fs::read_to_string(&path).unwrap_or_default();
                values.insert(format!("{group}/{file}"), text.trim().to_owned());
            }
        }
        values
    }

    pub(crate) fn value(&self, group: &str, file: &str) -> String {
        let text = fs::read_to_string(self.folder_of(group).join(file)).expect(file);
        text.trim().to_owned()
    }

    /// The file with the limit.
    pub(crate) fn limit_file(&self) -> &'static str {
        if self.dialect == Hierarchy::V2 {
            "cpu.max"
        } else {
            "cpu.cfs_quota_us"
        }
    }

    /// The present limit in cores.
    pub(crate) fn limit(&self, group: &str) -> f64 {
        let text = self.value(group, self.limit_file());
        let quota = text.split_whitespace().next().expect("quota");
        quota.parse::<f64>().map_or(f64::INFINITY, |quota| quota / 1e5)
    }

    /// Text that sets a limit of `cores`.
    pub(crate) fn limit_text(&self, cores: f64) -> String {
        let quota = (cores * 1e5) as u64;
        if self.dialect == Hierarchy::V2 {
            format!("{quota} 100000")
        } else {
            quota.to_string()
        }
    }

    pub(crate) fn config(&self) -> ActConfig {
        config_of(self.dialect, &self.root, self.folder.path())
    }

    pub(crate) fn run_folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn actuator(&self) -> Actuator {
        Actuator::open(self.config()).expect("open")
    }

    /// The three apps, granted everything between 0.1 and 2 cores.
    pub(crate) fn apps(&self) -> Apps {
        apps_of(self.dialect, &self.root, Mode::Enforce)
    }

    pub(crate) fn apps_in(&self, mode: Mode) -> Apps {
        apps_of(self.dialect, &self.root, mode)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if self.kind == Kind::Live {
            for group in GROUPS {
                let _ = fs::remove_dir(self.folder_of(group));
            }
            let _ = fs::remove_dir(&self.root);
        }
    }
}

/// Where things are in a bed; daemons and guardians in other processes use the same.
pub(crate) fn config_of(dialect: Hierarchy, root: &Path, run_folder: &Path) -> ActConfig {
    let layout = if dialect == Hierarchy::V2 {
        Layout::v2(root)
    } else {
        Layout::v1(root)
    };
    ActConfig {
        layout,
        journal: run_folder.join("run/journal"),
        disable: run_folder.join("run/disable"),
    }
}

pub(crate) fn apps_of(hierarchy: Hierarchy, root: &Path, mode: Mode) -> Apps {
    let managed = GROUPS.map(|path| {
        let id = fs::metadata(root.join(&path[1..])).map_or(0, |folder| folder.ino());
        let name = AppName::new(&path[1..]);
        let app = App {
            name: name.clone(),
            group: Some(Group {
                paths: vec![GroupPath {
                    hierarchy,
                    path: path.into(),
                    id,
                }],
            }),
            owner: Owner::Tidegate,
            parent: None,
            executable: None,
            user: None,
        };
        let grant = Grant {
            class: Class::Standard,
            modes: [(Resource::Cpu, mode)].into(),
            cpu_cores: Range {
                floor: Some(0.1),
                ceiling: Some(2.0),
            },
            ..Grant::default()
        };
        (name, Managed { app, grant })
    });
    managed.into()
}

/// A limit in v2 terms.
pub(crate) fn limit(cores: f64) -> KnobValue {
    KnobValue::CpuMax {
        quota_us: Some((cores * 1e5).round() as u64),
        period_us: 100_000,
        burst_us: 0,
    }
}

/// A lease on `app` for its own sake, from now on for `lasts_s` seconds.
pub(crate) fn lease(id: u64, app: &str, asked: KnobValue, start: BootTime, lasts_s: f64) -> Lease {
    lease_for(id, app, app, asked, start, lasts_s)
}

/// A lease on `app` for the sake of `beneficiary`.
pub(crate) fn lease_for(
    id: u64,
    app: &str,
    beneficiary: &str,
    asked: KnobValue,
    start: BootTime,
    lasts_s: f64,
) -> Lease {
    let beneficiary = AppName::new(beneficiary);
    Lease {
        id: LeaseId(id),
        app: AppName::new(app),
        asked,
        found: None,
        start,
        end: start.plus_seconds(lasts_s),
        cause: Cause {
            trigger: Trigger::Predicted,
            prediction: None,
            unit: Unit::Limit(beneficiary.clone(), Resource::Cpu),
            beneficiary,
            rule: "a test".into(),
        },
    }
}

pub(crate) fn plan(leases: Vec<Lease>) -> Plan {
    Plan {
        made: Moment {
            boot: boot_now(),
            utc_ms: 0,
        },
        leases,
        ..Plan::default()
    }
}

/// The failures among events.
pub(crate) fn failures(events: &[Event]) -> Vec<String> {
    let failed = events.iter().filter_map(|event| match event {
        Event::Written(result) => result
            .outcome
            .as_ref()
            .err()
            .map(|failure| format!("{}: {failure:?}", result.app)),
        _ => None,
    });
    failed.collect()
}
