//! On this host, with groups of our own. Needs root and a writable tree; skipped otherwise.

use crate::skip;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use tidegate_telemetry::{Collector, CollectorConfig, FastPoll, LayoutKind, host_clock};
use tidegate_types::{AppName, Entity, Event, Field, Hierarchy, Sample};

/// Groups of our own in every hierarchy that makes apps, removed at the end.
pub(crate) struct Bed {
    folders: Vec<PathBuf>,
    children: Vec<Child>,
    name: String,
}

impl Bed {
    pub(crate) fn new(collector: &Collector, name: &str) -> Result<Self, String> {
        let name = format!("tg-test-{name}-{}", std::process::id());
        let mut bed = Self {
            folders: Vec::new(),
            children: Vec::new(),
            name: name.clone(),
        };
        if collector.layout().kind == LayoutKind::Absent {
            return Err("no cgroup tree".to_owned());
        }
        for mount in &collector.layout().mounts {
            if !matches!(
                mount.hierarchy,
                Hierarchy::V2 | Hierarchy::Cpu | Hierarchy::Cpuacct
            ) {
                continue;
            }
            let folder = mount.path.join(&name);
            if bed.folders.contains(&folder) {
                continue;
            }
            std::fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            bed.folders.push(folder);
        }
        Ok(bed)
    }

    pub(crate) fn entity(&self) -> Entity {
        Entity::App(AppName::new(&format!("group:/{}", self.name)))
    }

    /// A child that spins, moved into the groups.
    pub(crate) fn spin(&mut self) {
        let child = spinner();
        for folder in &self.folders {
            std::fs::write(folder.join("cgroup.procs"), child.id().to_string()).expect("moved");
        }
        self.children.push(child);
    }

    /// A child that spins on one CPU, moved into the groups; `None` without `taskset`.
    pub(crate) fn spin_on(&mut self, core: u16) -> Option<()> {
        let child = Command::new("taskset")
            .args(["-c", &core.to_string(), "sh", "-c", "while :; do :; done"])
            .spawn()
            .ok()?;
        for folder in &self.folders {
            std::fs::write(folder.join("cgroup.procs"), child.id().to_string()).expect("moved");
        }
        self.children.push(child);
        Some(())
    }

    /// A child that writes to `file` past the page cache, again and again, moved into the groups. False where that is
    /// not possible.
    #[cfg(feature = "bpf")]
    pub(crate) fn write_directly(&mut self, file: &Path) -> bool {
        let write = format!(
            "dd if=/dev/zero of={} bs=256k count=4 oflag=direct 2>/dev/null",
            file.display()
        );
        let once = Command::new("sh").args(["-c", &write]).status();
        if !once.is_ok_and(|status| status.success()) {
            return false;
        }
        let child = Command::new("sh")
            .args(["-c", &format!("while {write}; do :; done")])
            .spawn()
            .expect("sh starts");
        for folder in &self.folders {
            std::fs::write(folder.join("cgroup.procs"), child.id().to_string()).expect("moved");
        }
        self.children.push(child);
        true
    }

    /// Its group below `root`.
    #[cfg(feature = "bpf")]
    pub(crate) fn folder(&self, root: &Path) -> Option<PathBuf> {
        self.folders
            .iter()
            .find(|folder| folder.starts_with(root))
            .cloned()
    }

    fn limit(&self, cores: f64) -> bool {
        let quota = (cores * 1e5) as u64;
        self.folders.iter().any(|folder| {
            std::fs::write(folder.join("cpu.cfs_quota_us"), quota.to_string()).is_ok()
                || (folder.join("cpu.max").exists()
                    && std::fs::write(folder.join("cpu.max"), format!("{quota} 100000")).is_ok())
        })
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        for folder in &self.folders {
            remove(folder);
        }
    }
}

fn spinner() -> Child {
    Command::new("sh")
        .args(["-c", "while :; do :; done"])
        .spawn()
        .expect("sh starts")
}

/// Spinners where this test itself runs, ended when dropped.
#[cfg(feature = "bpf")]
pub(crate) fn spin_in_root(count: usize) -> Bed {
    Bed {
        folders: Vec::new(),
        children: (0..count).map(|_| spinner()).collect(),
        name: String::new(),
    }
}

/// The kernel lets go of a group a moment after its last process was waited for.
fn remove(folder: &Path) {
    let patience = Instant::now() + Duration::from_secs(5);
    while std::fs::remove_dir(folder).is_err() && folder.exists() && Instant::now() < patience {
        std::thread::yield_now();
    }
}

/// Looks until `done` is happy with a sample, or gives up after many looks.
pub(crate) fn look_until(
    collector: &mut Collector,
    sample: &mut Sample,
    mut done: impl FnMut(&Sample) -> bool,
) -> bool {
    (0..80).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        collector.collect(sample);
        done(sample)
    })
}

#[test]
fn a_limited_spinner_is_seen_throttled() {
    let name = "live::a_limited_spinner_is_seen_throttled";
    let mut collector = Collector::new(CollectorConfig::default()).expect("this host can be read");
    let mut bed = match Bed::new(&collector, "spin") {
        Ok(bed) => bed,
        Err(reason) => return skip(name, &reason),
    };
    if !bed.limit(0.3) {
        return skip(name, "no CPU controller for own groups");
    }
    bed.spin();
    let (entity, mut sample) = (bed.entity(), Sample::default());
    let near =
        |value: Option<f64>, low: f64, high: f64| value.is_some_and(|value| (low..=high).contains(&value));
    let seen = look_until(&mut collector, &mut sample, |sample| {
        near(sample.get(&entity, Field::CpuUsage), 0.2, 0.4)
            && near(sample.get(&entity, Field::CpuThrottled), 0.3, 1.2)
            && near(sample.get(&entity, Field::CpuLimit), 0.3, 0.3)
    });
    assert!(seen, "{:?}", sample.row(&entity));
    assert!(sample.get(&entity, Field::Processes) == Some(1.0));
    let came = collector.events().into_iter().find_map(|event| match event {
        Event::AppCame(app) if Entity::App(app.name.clone()) == entity => Some(app),
        _ => None,
    });
    let app = came.expect("it came as an event");
    assert!(
        app.group
            .as_ref()
            .is_some_and(|group| !group.paths.is_empty() && group.paths.iter().all(|path| path.id != 0))
    );

    let mut fast = FastPoll::new(collector.layout(), [&app], host_clock());
    assert_eq!(fast.len(), 1);
    let waited = (0..30).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        fast.poll()
            .iter()
            .any(|event| matches!(event, Event::Waiting { share, .. } if *share > 0.2))
    });
    assert!(waited, "the fast lane saw it as well");

    drop(bed);
    let gone = look_until(&mut collector, &mut sample, |sample| {
        sample.row(&entity).is_none()
    });
    assert!(gone, "removed groups leave the sample");
}

#[test]
fn values_agree_with_the_files_that_people_read() {
    let mut collector = Collector::new(CollectorConfig::default()).expect("this host can be read");
    let mut sample = Sample::default();
    collector.collect(&mut sample);
    let meminfo = std::fs::read_to_string("/proc/meminfo").expect("meminfo");
    let total: f64 = meminfo
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        })
        .expect("a total");
    assert_eq!(
        sample.get(&Entity::Host, Field::HostMemoryTotal),
        Some(total * 1024.0)
    );
    let online = std::thread::available_parallelism().expect("CPUs").get();
    let cores = sample
        .rows
        .iter()
        .filter(|row| matches!(row.entity, Entity::Core(_)))
        .count();
    assert!(cores >= online);
    let own = sample.get(&Entity::Host, Field::SelfDescriptors).expect("told");
    assert!(own >= 3.0);
    let sorted = sample.rows.windows(2).all(|pair| pair[0].entity < pair[1].entity);
    assert!(sorted, "rows are sorted, and no entity is there twice");
}

#[test]
fn steady_state_on_this_host_allocates_nothing() {
    let config = CollectorConfig {
        sweep_interval: Duration::from_hours(1),
        process_events: false,
        ..CollectorConfig::default()
    };
    let mut collector = Collector::new(config).expect("this host can be read");
    let mut sample = Sample::default();
    // Processes and groups of others come and go meanwhile, so one quiet look among many is asked for.
    let quiet = (0..300).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        let before = crate::counting::allocations();
        collector.collect(&mut sample);
        crate::counting::allocations() == before
    });
    assert!(quiet);
}

#[test]
fn a_collector_may_be_made_in_one_thread_and_used_in_another() {
    fn sendable<T: Send>() {}
    sendable::<Collector>();
    sendable::<FastPoll>();
}
