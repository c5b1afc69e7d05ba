//! Groups of a test's own with programs in them: this test binary, started again to play a part.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use tidegate_telemetry::Layout;
use tidegate_types::{AppName, Hierarchy};

const PERIOD_US: f64 = 1e5;

/// Groups of our own, removed at the end.
pub(crate) struct Bed {
    folders: Vec<PathBuf>,
    name: String,
    children: Vec<Child>,
}

impl Bed {
    /// A group for each app, with a CPU limit in cores where one is given.
    pub(crate) fn new(purpose: &str, apps: &[(&str, Option<f64>)]) -> Result<Self, String> {
        let layout = Layout::detect("/sys/fs/cgroup".as_ref());
        let mut bed = Self {
            folders: Vec::new(),
            name: format!("tg-test-{purpose}-{}", std::process::id()),
            children: Vec::new(),
        };
        for (app, limit_cores) in apps {
            for mount in &layout.mounts {
                if !matches!(
                    mount.hierarchy,
                    Hierarchy::V2 | Hierarchy::Cpu | Hierarchy::Cpuacct
                ) {
                    continue;
                }
                let folder = mount.path.join(format!("{}-{app}", bed.name));
                if bed.folders.contains(&folder) {
                    continue;
                }
                std::fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
                bed.folders.push(folder.clone());
                // What else runs here must not be what makes them wait.
                let _ = std::fs::write(folder.join("cpu.shares"), "16384");
                let _ = std::fs::write(folder.join("cpu.weight"), "2000");
            }
            if let Some(cores) = limit_cores
                && !bed.limit(app, *cores)
            {
                return Err("no CPU controller to limit with".to_owned());
            }
        }
        Ok(bed)
    }

    /// The app's groups.
    fn folders_of(&self, app: &str) -> impl Iterator<Item = &PathBuf> {
        let name = format!("{}-{app}", self.name);
        self.folders.iter().filter(move |folder| folder.ends_with(&name))
    }

    /// Sets the app's limit; false where nothing here can.
    pub(crate) fn limit(&self, app: &str, cores: f64) -> bool {
        let quota = (cores * PERIOD_US).to_string();
        self.folders_of(app).any(|folder| {
            std::fs::write(folder.join("cpu.cfs_quota_us"), &quota).is_ok()
                || folder.join("cpu.max").exists()
                    && std::fs::write(folder.join("cpu.max"), format!("{quota} {PERIOD_US}")).is_ok()
        })
    }

    /// What the daemon calls the app.
    pub(crate) fn app(&self, app: &str) -> AppName {
        AppName::new(&format!("group:/{}-{app}", self.name))
    }

    /// Starts this binary within the app's group, to run only `test`.
    pub(crate) fn start(&mut self, app: &str, test: &str, environment: &[(&str, &str)]) -> ChildStdout {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for folder in self.folders_of(app) {
            std::fs::write(folder.join("cgroup.procs"), child.id().to_string()).unwrap();
        }
        let output = child.stdout.take().unwrap();
        self.children.push(child);
        output
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let patience = Instant::now() + Duration::from_secs(5);
        for folder in &self.folders {
            while std::fs::remove_dir(folder).is_err() && folder.exists() && Instant::now() < patience {
                std::thread::yield_now();
            }
        }
    }
}
