//! A fake host: /proc, /sys and cgroup trees in a folder, and a clock that moves when told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidegate_telemetry::{AppRule, ClockReading, Collector, CollectorConfig};
use tidegate_types::{BootTime, Event, Field, Sample};

/// Seconds after boot at which every fake host starts.
pub(crate) const START_S: f64 = 1000.0;

pub(crate) struct Fake {
    root: tempfile::TempDir,
    clock: Arc<Mutex<ClockReading>>,
    collector: Option<Collector>,
    pub(crate) rules: Vec<AppRule>,
    pub(crate) sample: Sample,
}

const HOST: [(&str, &str); 8] = [
    (
        "proc/stat",
        "cpu  100 0 0 1000 0 0 0 0 0 0\ncpu0 50 0 0 500 0 0 0 0 0 0\ncpu1 50 0 0 500 0 0 0 0 0 0\nintr 1\n",
    ),
    (
        "proc/meminfo",
        "MemTotal:  4096 kB\nMemFree:  1024 kB\nMemAvailable:  2048 kB\nSwapTotal:  100 kB\nSwapFree:  60 kB\n",
    ),
    ("proc/loadavg", "0.10 0.20 0.30 3/210 4242\n"),
    ("proc/1/comm", "init\n"),
    ("proc/sys/kernel/osrelease", "6.1.0-fake\n"),
    ("sys/block/sda/dev", "8:0\n"),
    ("sys/block/sda/size", "1000\n"),
    ("passwd", "root:x:0:0::/root:/bin/sh\n"),
];

impl Fake {
    /// A host with two CPUs, one disk and `files` (path below the root, content; a path that ends in `/`
    /// is a folder).
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let fake = Self {
            root: tempfile::tempdir().expect("tempdir"),
            clock: Arc::new(Mutex::new(ClockReading {
                boot: BootTime::from_seconds(START_S),
                monotonic_ns: (START_S * 1e9) as u64,
                utc_ms: 1_800_000_000_000,
            })),
            collector: None,
            rules: Vec::new(),
            sample: Sample::default(),
        };
        fake.write(&HOST);
        fake.write(files);
        fake
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(crate) fn write(&self, files: &[(&str, &str)]) {
        for (path, content) in files {
            let path = self.path(path);
            if path.to_string_lossy().ends_with('/') {
                std::fs::create_dir_all(path).expect("folder");
                continue;
            }
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folder");
            std::fs::write(&path, content).expect("file");
        }
    }

    /// A process with `ticks` of CPU time in `group` lines of its cgroup file.
    pub(crate) fn process(&self, pid: u32, name: &str, started_s: u64, ticks: u64, cgroup: &str) {
        let stat = format!(
            "{pid} ({name}) S 1 1 1 0 -1 4194304 9 0 0 0 {ticks} 0 0 0 20 0 1 0 {} 1000 25 18446744073709551615\n",
            started_s * 100
        );
        self.write(&[
            (&format!("proc/{pid}/stat"), &stat),
            (&format!("proc/{pid}/statm"), "100 25 5 1 0 9 0\n"),
            (&format!("proc/{pid}/cgroup"), cgroup),
        ]);
    }

    pub(crate) fn remove(&self, path: &str) {
        std::fs::remove_dir_all(self.path(path)).expect("removed");
    }

    fn config(&self) -> CollectorConfig {
        CollectorConfig {
            proc_root: self.path("proc"),
            cgroup_root: self.path("cgroup"),
            sys_root: self.path("sys"),
            passwd: self.path("passwd"),
            docker_root: self.path("docker"),
            rules: self.rules.clone(),
            sweep_interval: Duration::from_secs(5),
            process_events: false,
            bpf: false,
            sockets: false,
            ..CollectorConfig::default()
        }
    }

    pub(crate) fn collector(&mut self) -> &mut Collector {
        if self.collector.is_none() {
            let clock = self.clock.clone();
            let clock = Box::new(move || *clock.lock().expect("clock"));
            self.collector = Some(Collector::with_clock(self.config(), clock).expect("starts"));
        }
        self.collector.as_mut().expect("there")
    }

    /// Lets time pass, of which the host was awake for a part only when it slept.
    pub(crate) fn pass(&self, seconds: f64, awake_s: f64) {
        let mut clock = self.clock.lock().expect("clock");
        clock.boot = clock.boot.plus_seconds(seconds);
        clock.monotonic_ns += (awake_s * 1e9) as u64;
        clock.utc_ms += (seconds * 1e3) as i64;
    }

    pub(crate) fn jump_wall_clock(&self, milliseconds: i64) {
        self.clock.lock().expect("clock").utc_ms += milliseconds;
    }

    pub(crate) fn collect(&mut self) {
        let mut sample = std::mem::take(&mut self.sample);
        self.collector().collect(&mut sample);
        self.sample = sample;
    }

    /// The first look, then `files`, then the second look after `seconds`.
    pub(crate) fn two_looks(&mut self, seconds: f64, files: &[(&str, &str)]) {
        self.collect();
        self.write(files);
        self.pass(seconds, seconds);
        self.collect();
    }

    /// One value of the last look, by the entity as it is written.
    pub(crate) fn get(&self, entity: &str, field: Field) -> Option<f64> {
        let row = self
            .sample
            .rows
            .iter()
            .find(|row| row.entity.to_string() == entity)?;
        row.get(field)
    }

    /// Values of one entity, by stable name; `None` where absent.
    pub(crate) fn check(&self, entity: &str, expect: &[(&str, Option<f64>)]) {
        let row = self
            .sample
            .rows
            .iter()
            .find(|row| row.entity.to_string() == entity)
            .unwrap_or_else(|| panic!("no {entity} in {:?}", self.entities()));
        let found: BTreeMap<&str, Option<f64>> = Field::of_kind(row.entity.kind())
            .map(|spec| (spec.name, row.get(spec.field)))
            .collect();
        for (name, value) in expect {
            let got = found[name];
            let equal = match (got, value) {
                (Some(got), Some(value)) => got == *value || (got - value).abs() <= 1e-9 * value.abs(),
                (got, value) => got.is_none() && value.is_none(),
            };
            assert!(equal, "{entity} {name}: {got:?}, expected {value:?}");
        }
    }

    pub(crate) fn entities(&self) -> Vec<String> {
        self.sample
            .rows
            .iter()
            .map(|row| row.entity.to_string())
            .collect()
    }

    /// Apps that came (`+`) and went (`-`) since the last call.
    pub(crate) fn events(&mut self) -> Vec<String> {
        self.collector()
            .events()
            .into_iter()
            .map(|event| match event {
                Event::AppCame(app) => format!("+{}", app.name),
                Event::AppWent(name) => format!("-{name}"),
                other => panic!("unexpected {other:?}"),
            })
            .collect()
    }
}
