//! Groups of the demo's own, on cgroup v2 and on the v1 controllers with v2 beside them.
//!
//! Limits are told in cores and weights in v2 terms, whatever the layout. Everything stands below one folder named
//! after this process, so that two demos do not meet and the janitor knows what to remove.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// Length of an enforcement period in microseconds, the kernel's default.
const PERIOD_US: u64 = 100_000;

/// Weight of the demo's top group: next to everything, so that foreign load takes next to nothing.
const TOP_SHARES: &str = "262144";
const TOP_WEIGHT: &str = "10000";

/// How foreign load is kept away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// The demo has nearly all CPU that it wants: for measuring.
    High,
    /// It is one group among others: for checks that others should not feel.
    None,
}

/// Which files a limit is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `cpu.max`, `cpu.weight`.
    V2,
    /// `cpu.cfs_quota_us`, `cpu.shares`.
    V1,
}

/// The trees of this host that the demo's groups stand in.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    /// Which files there are.
    pub(crate) layout: Layout,
    cpu: PathBuf,
    usage: PathBuf,
    cpuset: Option<PathBuf>,
    /// Each tree's mount point, with the name under which `/proc/self/cgroup` lists it.
    mounts: Vec<(PathBuf, &'static str)>,
    top: String,
}

/// What a group used and suffered since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// Seconds of CPU.
    pub(crate) cpu_s: f64,
    /// Seconds of being throttled, summed over threads' queues.
    pub(crate) throttled_s: f64,
}

impl Groups {
    /// Makes `top` with its `control` and `pool` in every tree that matters.
    pub(crate) fn create(top: &str, isolation: Isolation) -> Result<Self> {
        let text = std::fs::read_to_string("/proc/self/mountinfo").context("cannot read the mounts")?;
        let groups = Self::detect(&text, top).context("no cgroup tree with the cpu controller is mounted")?;
        for group in ["", "control", "pool"] {
            groups.make(group)?;
        }
        match groups.layout {
            _ if isolation == Isolation::None => {}
            Layout::V1 => groups.write("", "cpu.shares", TOP_SHARES)?,
            Layout::V2 => groups.write("", "cpu.weight", TOP_WEIGHT)?,
        }
        groups.set_weight("control", 10_000)?;
        Ok(groups)
    }

    /// Finds the trees in the text of `mountinfo`; v1's `cpu` wins, because a controller is in one tree only.
    fn detect(mountinfo: &str, top: &str) -> Option<Self> {
        let mut unified = None;
        let (mut cpu, mut cpuacct, mut cpuset, mut blkio) = (None, None, None, None);
        for line in mountinfo.lines() {
            let Some((mount, end)) = line.split_once(" - ") else {
                continue;
            };
            let (Some(point), Some(kind)) = (mount.split(' ').nth(4), end.split(' ').next()) else {
                continue;
            };
            let has = |name: &str| {
                end.rsplit(' ')
                    .next()
                    .is_some_and(|options| options.split(',').any(|option| option == name))
            };
            let point = PathBuf::from(point);
            match kind {
                "cgroup2" => unified = Some(point),
                "cgroup" if has("cpu") && has("cpuacct") => {
                    (cpu, cpuacct) = (Some(point.clone()), Some(point));
                }
                "cgroup" if has("cpu") => cpu = Some(point),
                "cgroup" if has("cpuacct") => cpuacct = Some(point),
                "cgroup" if has("cpuset") => cpuset = Some(point),
                "cgroup" if has("blkio") => blkio = Some(point),
                _ => {}
            }
        }
        let layout = if cpu.is_some() { Layout::V1 } else { Layout::V2 };
        let cpu = cpu.or_else(|| unified.clone())?;
        let usage = if layout == Layout::V1 {
            cpuacct?
        } else {
            cpu.clone()
        };
        let controller = if layout == Layout::V1 { "cpu" } else { "" };
        let all = [
            (Some(cpu.clone()), controller),
            (Some(usage.clone()), "cpuacct"),
            (cpuset.clone(), "cpuset"),
            (blkio, "blkio"),
            (unified, ""),
        ];
        let mut mounts: Vec<_> = all
            .into_iter()
            .filter_map(|(mount, name)| Some((mount?, name)))
            .collect();
        mounts.sort();
        mounts.dedup_by(|later, earlier| later.0 == earlier.0);
        Some(Self {
            layout,
            cpu,
            usage,
            cpuset,
            mounts,
            top: top.to_owned(),
        })
    }

    /// The path of a group below the mounts, as a policy names it.
    pub(crate) fn path(&self, group: &str) -> String {
        if group.is_empty() {
            format!("/{}", self.top)
        } else {
            format!("/{}/{group}", self.top)
        }
    }

    /// The demo's folders in all trees, top ones only.
    pub(crate) fn tops(&self) -> Vec<PathBuf> {
        self.mounts
            .iter()
            .map(|(mount, _)| mount.join(&self.top))
            .collect()
    }

    /// Makes a group in all trees; its parent is there already.
    pub(crate) fn make(&self, group: &str) -> Result<()> {
        for (mount, _) in &self.mounts {
            let folder = mount.join(&self.top).join(group);
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make {} (root is needed)", folder.display()))?;
        }
        if self.layout == Layout::V2 {
            self.enable_controllers(group)?;
        }
        if let Some(mount) = &self.cpuset {
            let folder = mount.join(&self.top).join(group);
            let parent = folder.parent().unwrap_or(mount);
            for file in ["cpuset.cpus", "cpuset.mems"] {
                copy(&parent.join(file), &folder.join(file))?;
            }
        }
        Ok(())
    }

    /// v2 hands controllers down level by level.
    fn enable_controllers(&self, group: &str) -> Result<()> {
        let folder = self.cpu.join(&self.top).join(group);
        let parent = folder.parent().unwrap_or(&self.cpu);
        let control = parent.join("cgroup.subtree_control");
        let enabled = std::fs::read_to_string(&control).unwrap_or_default();
        if enabled.split_whitespace().any(|controller| controller == "cpu") {
            return Ok(());
        }
        // Not every host hands out the others, and only those who pin or read from disks need them.
        for controller in ["+cpuset", "+io"] {
            std::fs::write(&control, controller).ok();
        }
        std::fs::write(&control, "+cpu").with_context(|| format!("cannot write {}", control.display()))
    }

    /// Removes a group without processes from all trees.
    pub(crate) fn remove(&self, group: &str) -> Result<()> {
        for (mount, _) in &self.mounts {
            let folder = mount.join(&self.top).join(group);
            std::fs::remove_dir(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        Ok(())
    }

    /// The files to write a process into for it to stand in `group` in all trees.
    pub(crate) fn doors(&self, group: &str) -> Vec<PathBuf> {
        self.mounts
            .iter()
            .map(|(mount, _)| mount.join(&self.top).join(group).join("cgroup.procs"))
            .collect()
    }

    /// The doors of the groups that this process stands in now, to go back through.
    pub(crate) fn doors_here(&self) -> Result<Vec<PathBuf>> {
        let text =
            std::fs::read_to_string("/proc/self/cgroup").context("cannot read this process's groups")?;
        let path_in = |name: &str| {
            text.lines().find_map(|line| {
                let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
                controllers
                    .split(',')
                    .any(|controller| controller == name)
                    .then(|| path.trim_start_matches('/'))
            })
        };
        Ok(self
            .mounts
            .iter()
            .filter_map(|(mount, name)| Some(mount.join(path_in(name)?).join("cgroup.procs")))
            .collect())
    }

    fn file(&self, group: &str, name: &str) -> PathBuf {
        self.cpu.join(&self.top).join(group).join(name)
    }

    fn write(&self, group: &str, name: &str, value: &str) -> Result<()> {
        let path = self.file(group, name);
        std::fs::write(&path, value).with_context(|| format!("cannot write {value} to {}", path.display()))
    }

    /// Sets the weight in v2 terms, 100 by default.
    pub(crate) fn set_weight(&self, group: &str, weight: u64) -> Result<()> {
        match self.layout {
            Layout::V2 => self.write(group, "cpu.weight", &weight.to_string()),
            Layout::V1 => self.write(group, "cpu.shares", &(weight * 1024 / 100).to_string()),
        }
    }

    /// Sets the limit in cores; none lifts it.
    pub(crate) fn set_limit(&self, group: &str, cores: Option<f64>) -> Result<()> {
        let quota_us = cores.map(|cores| (cores * PERIOD_US as f64).round() as u64);
        match (self.layout, quota_us) {
            (Layout::V2, Some(quota_us)) => self.write(group, "cpu.max", &format!("{quota_us} {PERIOD_US}")),
            (Layout::V2, None) => self.write(group, "cpu.max", &format!("max {PERIOD_US}")),
            (Layout::V1, Some(quota_us)) => self.write(group, "cpu.cfs_quota_us", &quota_us.to_string()),
            (Layout::V1, None) => self.write(group, "cpu.cfs_quota_us", "-1"),
        }
    }

    /// Sets the limit in cores, with a period of its own.
    pub(crate) fn set_limit_every(&self, group: &str, cores: f64, period_us: u64) -> Result<()> {
        let quota_us = (cores * period_us as f64).round() as u64;
        match self.layout {
            Layout::V2 => self.write(group, "cpu.max", &format!("{quota_us} {period_us}")),
            Layout::V1 => {
                self.write(group, "cpu.cfs_period_us", &period_us.to_string())?;
                self.write(group, "cpu.cfs_quota_us", &quota_us.to_string())
            }
        }
    }

    /// Binds the group's processes to one core.
    pub(crate) fn pin(&self, group: &str, core: u32) -> Result<()> {
        let mount = self.cpuset.as_ref().unwrap_or(&self.cpu);
        let path = mount.join(&self.top).join(group).join("cpuset.cpus");
        std::fs::write(&path, core.to_string()).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The limit in cores, or none.
    pub(crate) fn limit(&self, group: &str) -> Result<Option<f64>> {
        let read = |name: &str| {
            let path = self.file(group, name);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let text = match self.layout {
            Layout::V2 => read("cpu.max")?,
            Layout::V1 => format!(
                "{} {}",
                read("cpu.cfs_quota_us")?.trim(),
                read("cpu.cfs_period_us")?
            ),
        };
        parse_limit(&text)
    }

    /// What the group used and suffered.
    pub(crate) fn usage(&self, group: &str) -> Result<Usage> {
        let stat = std::fs::read_to_string(self.file(group, "cpu.stat")).context("cannot read cpu.stat")?;
        if self.layout == Layout::V2 {
            return Ok(Usage {
                cpu_s: key(&stat, "usage_usec") * 1e-6,
                throttled_s: key(&stat, "throttled_usec") * 1e-6,
            });
        }
        let path = self.usage.join(&self.top).join(group).join("cpuacct.usage");
        let usage_ns: f64 = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?
            .trim()
            .parse()
            .with_context(|| format!("{} holds no number", path.display()))?;
        Ok(Usage {
            cpu_s: usage_ns * 1e-9,
            throttled_s: key(&stat, "throttled_time") * 1e-9,
        })
    }
}

/// `QUOTA PERIOD` in microseconds, `max` or -1 for none.
fn parse_limit(text: &str) -> Result<Option<f64>> {
    let mut words = text.split_whitespace();
    let (Some(quota), Some(period)) = (words.next(), words.next()) else {
        bail!("`{text}` is no limit")
    };
    if quota == "max" || quota == "-1" {
        return Ok(None);
    }
    let quota_us: f64 = quota.parse().with_context(|| format!("`{text}` is no limit"))?;
    let period_us: f64 = period.parse().with_context(|| format!("`{text}` is no limit"))?;
    Ok(Some(quota_us / period_us))
}

/// The number behind `name` in lines of `name number`; 0 where it is not there.
fn key(text: &str, name: &str) -> f64 {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let value = std::fs::read_to_string(from).with_context(|| format!("cannot read {}", from.display()))?;
    std::fs::write(to, value.trim()).with_context(|| format!("cannot write {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
32 24 0:28 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct
33 24 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset
34 24 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    fn check(mountinfo: &str, layout: Layout, cpu: &str, mounts: usize) {
        let groups = Groups::detect(mountinfo, "demo").expect("found");
        assert_eq!(
            (groups.layout, groups.cpu.as_path(), groups.mounts.len()),
            (layout, Path::new(cpu), mounts)
        );
    }

    #[test]
    fn layouts_are_told_apart() {
        check(HYBRID, Layout::V1, "/sys/fs/cgroup/cpu", 4);
        check(
            "31 24 0:27 / /c rw - cgroup2 cgroup2 rw,nsdelegate",
            Layout::V2,
            "/c",
            1,
        );
        check(
            "31 24 0:27 / /c rw - cgroup cgroup rw,cpu,cpuacct",
            Layout::V1,
            "/c",
            1,
        );
        check(
            "31 24 0:27 / /c rw - cgroup2 cgroup2 rw\n32 24 0:28 / /d rw - cgroup cgroup rw,cpuset",
            Layout::V2,
            "/c",
            2,
        );
        assert!(Groups::detect("31 24 0:27 / /m rw - cgroup cgroup rw,memory", "demo").is_none());
    }

    #[test]
    fn limits_are_told_in_cores() {
        assert_eq!(parse_limit("80000 100000\n").expect("limit"), Some(0.8));
        assert_eq!(parse_limit("max 100000").expect("limit"), None);
        assert_eq!(parse_limit("-1 100000").expect("limit"), None);
        assert!(parse_limit("80000").is_err());
    }

    #[test]
    fn counters_are_found_by_their_whole_name() {
        let stat = "nr_throttled 5\nthrottled_time 12\n";
        assert_eq!(key(stat, "throttled_time"), 12.0);
        assert_eq!(key(stat, "throttled"), 0.0);
    }
}
