//! What is managed, and what may be done to it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The identity of an app in history: the rule that found it and its name under that rule, such as
/// `nginx.service`, `group:/bed/web` or `exe:redis-server@redis`. It survives restarts, re-creation and reboot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AppName(Arc<str>);

impl AppName {
    /// The app called `name`.
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// How much an app matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Throughput work that can wait: the first to be throttled or shifted.
    Batch,
    /// Everything that nobody classified.
    #[default]
    Standard,
    /// Latency matters: protected first.
    Critical,
}

/// How far tidegate may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Watch only; provably inert.
    #[default]
    Observe,
    /// Say what would be done.
    Advise,
    /// Do it.
    Enforce,
}

/// What a grant is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resource {
    /// CPU weight, quota and burst.
    Cpu,
    /// Memory protection and limits.
    Memory,
    /// Disk bandwidth.
    Io,
    /// Network bandwidth.
    Network,
    /// Live variants of its functions.
    Code,
}

/// A cgroup hierarchy: the v2 tree, or one v1 controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hierarchy {
    /// cgroup v2, alone or beside v1 (`unified`).
    V2,
    /// v1 `cpu`.
    Cpu,
    /// v1 `cpuacct`.
    Cpuacct,
    /// v1 `cpuset`.
    Cpuset,
    /// v1 `blkio`.
    Blkio,
    /// v1 `memory`.
    Memory,
}

/// An app's group in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupPath {
    /// Which tree.
    pub hierarchy: Hierarchy,
    /// Path below the hierarchy's mount point, starting with `/`.
    pub path: Arc<str>,
    /// Inode of the folder: a group that was re-created under the same path has another one.
    pub id: u64,
}

/// An app's groups, at most one per hierarchy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Sorted by hierarchy.
    pub paths: Vec<GroupPath>,
}

impl Group {
    /// The group in `hierarchy`.
    pub fn in_hierarchy(&self, hierarchy: Hierarchy) -> Option<&GroupPath> {
        self.paths.iter().find(|path| path.hierarchy == hierarchy)
    }
}

/// Who decides over a group's knobs; it says through which door tidegate may act.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// tidegate made the group.
    Tidegate,
    /// Handed over by its manager, or nobody else manages it.
    Delegated,
    /// A systemd unit of this name.
    Systemd(Arc<str>),
    /// Another manager, such as `docker` or `kubelet`.
    Other(Arc<str>),
    /// It has no group of its own: it can be watched, never acted on.
    #[default]
    Nobody,
}

/// One managed application as discovery found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Identity for history.
    pub name: AppName,
    /// Its groups; `None` where its processes have none of their own.
    pub group: Option<Group>,
    /// Who decides over the groups.
    pub owner: Owner,
    /// Name of the nearest app above it in the tree, whose limits bind it too.
    pub parent: Option<AppName>,
    /// Executable of its first process, without arguments, where it could be read.
    pub executable: Option<Arc<str>>,
    /// User of its first process.
    pub user: Option<Arc<str>>,
}

/// A closed range that decisions stay within; `None` means no bound on that side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Never below this.
    pub floor: Option<f64>,
    /// Never above this.
    pub ceiling: Option<f64>,
}

impl Range {
    /// `value` moved into the range; the floor wins over a ceiling below it.
    pub fn clamp(&self, value: f64) -> f64 {
        let lowered = self.ceiling.map_or(value, |ceiling| value.min(ceiling));
        self.floor.map_or(lowered, |floor| lowered.max(floor))
    }
}

/// What the policy says of one app, after all precedence is resolved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    /// Its class.
    pub class: Class,
    /// Mode per resource; absent means observe.
    pub modes: BTreeMap<Resource, Mode>,
    /// CPU limits in cores.
    pub cpu_cores: Range,
    /// Memory in bytes.
    pub memory_bytes: Range,
    /// Never acted on, whatever the modes say, with the reason.
    pub untouchable: Option<Arc<str>>,
}

impl Grant {
    /// The mode for `resource`; observe where nothing was granted or the app is untouchable.
    pub fn mode(&self, resource: Resource) -> Mode {
        if self.untouchable.is_some() {
            return Mode::Observe;
        }
        self.modes.get(&resource).copied().unwrap_or_default()
    }
}

/// An app with what the policy grants on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Managed {
    /// As discovered.
    pub app: App,
    /// As resolved.
    pub grant: Grant,
}

/// All apps that are there now, by name.
pub type Apps = BTreeMap<AppName, Managed>;
