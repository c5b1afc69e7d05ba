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
    LiveV1,
}

/// Runs `test` on both fake trees and on the live one, where that can be had.
pub(crate) fn on_every_tree(name: &str, test: impl Fn(&Bed)) {
    for kind in [Kind::FakeV1, Kind::FakeV2, Kind::LiveV1] {
        match Bed::new(kind) {
            Some(bed) => test(&bed),
            None => skip(name, "no own groups under a v1 cpu controller"),
        }
    }
}

/// A tree with the groups `/web`, `/db` and `/batch`, each with a limit and a weight of its own.
pub(crate) struct Bed {
    pub(crate) kind: Kind,
    pub(crate) root: PathBuf,
    folder: tempfile::TempDir,
}

pub(crate) const GROUPS: [&str; 3] = ["/web", "/db", "/batch"];

impl Bed {
    pub(crate) fn new(kind: Kind) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::tempdir().expect("folder");
        let root = match kind {
            Kind::LiveV1 => {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                let name = format!("tg-a-{}-{number}", std::process::id());
                let root = Path::new("/sys/fs/cgroup/cpu").join(name);
                fs::create_dir(&root).ok()?;
                root.join("cpu.cfs_quota_us").exists().then_some(root)?
            }
            _ => folder.path().join("tree"),
        };
        let bed = Self { kind, root, folder };
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
        match self.kind {
            Kind::FakeV2 => vec![
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
        if self.kind == Kind::LiveV1 {
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
        if self.kind == Kind::FakeV2 {
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
        if self.kind == Kind::FakeV2 {
            format!("{quota} 100000")
        } else {
            quota.to_string()
        }
    }

    pub(crate) fn config(&self) -> ActConfig {
        config_of(self.kind, &self.root, self.folder.path())
    }

    pub(crate) fn run_folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn actuator(&self) -> Actuator {
        Actuator::open(self.config()).expect("open")
    }

    /// The three apps, granted everything between 0.1 and 2 cores.
    pub(crate) fn apps(&self) -> Apps {
        apps_of(self.kind, &self.root, Mode::Enforce)
    }

    pub(crate) fn apps_in(&self, mode: Mode) -> Apps {
        apps_of(self.kind, &self.root, mode)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if self.kind == Kind::LiveV1 {
            for group in GROUPS {
                let _ = fs::remove_dir(self.folder_of(group));
            }
            let _ = fs::remove_dir(&self.root);
        }
    }
}

/// Where things are in a bed; daemons and guardians in other processes use the same.
pub(crate) fn config_of(kind: Kind, root: &Path, run_folder: &Path) -> ActConfig {
    let layout = if kind == Kind::FakeV2 {
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

pub(crate) fn apps_of(kind: Kind, root: &Path, mode: Mode) -> Apps {
    let hierarchy = if kind == Kind::FakeV2 {
        Hierarchy::V2
    } else {
        Hierarchy::Cpu
    };
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
