//! What a measurement is about: the host, one of its parts, or an app.

use crate::AppName;
use crate::unit::ByteRange;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The thing that a row of a sample describes. Ordered, so that samples are sorted the same way
/// everywhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Entity {
    /// The whole host.
    Host,
    /// A logical CPU by its kernel number.
    Core(u16),
    /// A NUMA node by its kernel number.
    Node(u16),
    /// A leaf block device by its kernel name, such as `vda`.
    Disk(Arc<str>),
    /// A network interface by its name, such as `eth0`.
    Nic(Arc<str>),
    /// A managed application.
    App(AppName),
    /// What one application does on one block device.
    AppDisk(AppName, Arc<str>),
    /// What one application that may not use every CPU does on one of those that it may.
    AppCore(AppName, u16),
    /// What one application has on one NUMA node.
    AppNode(AppName, u16),
    /// The bytes `[from, to)` of a block device.
    DiskRange(Arc<str>, u64, u64),
    /// What one application does in the bytes `[from, to)` of a block device.
    AppRange(AppName, Arc<str>, u64, u64),
}

/// The kinds of [`Entity`]; each has fields of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EntityKind {
    /// [`Entity::Host`].
    Host,
    /// [`Entity::Core`].
    Core,
    /// [`Entity::Node`].
    Node,
    /// [`Entity::Disk`].
    Disk,
    /// [`Entity::Nic`].
    Nic,
    /// [`Entity::App`].
    App,
    /// [`Entity::AppDisk`].
    AppDisk,
    /// [`Entity::AppCore`].
    AppCore,
    /// [`Entity::AppNode`].
    AppNode,
    /// [`Entity::DiskRange`].
    DiskRange,
    /// [`Entity::AppRange`].
    AppRange,
}

impl Entity {
    /// The kind, which decides the fields of this entity's rows.
    pub fn kind(&self) -> EntityKind {
        match self {
            Self::Host => EntityKind::Host,
            Self::Core(_) => EntityKind::Core,
            Self::Node(_) => EntityKind::Node,
            Self::Disk(_) => EntityKind::Disk,
            Self::Nic(_) => EntityKind::Nic,
            Self::App(_) => EntityKind::App,
            Self::AppDisk(..) => EntityKind::AppDisk,
            Self::AppCore(..) => EntityKind::AppCore,
            Self::AppNode(..) => EntityKind::AppNode,
            Self::DiskRange(..) => EntityKind::DiskRange,
            Self::AppRange(..) => EntityKind::AppRange,
        }
    }

    /// The application, where the entity is one.
    pub fn app(&self) -> Option<&AppName> {
        match self {
            Self::App(name)
            | Self::AppDisk(name, _)
            | Self::AppCore(name, _)
            | Self::AppNode(name, _)
            | Self::AppRange(name, ..) => Some(name),
            _ => None,
        }
    }
}

/// `host`, `core:3`, `node:0`, `disk:vda`, `nic:eth0`, `app:NAME`, `appdisk:vda:NAME`,
/// `appcore:3:NAME`, `appnode:0:NAME`, `range:vda@0-64G`, `apprange:vda@0-64G:NAME`.
impl fmt::Display for Entity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => write!(formatter, "host"),
            Self::Core(number) => write!(formatter, "core:{number}"),
            Self::Node(number) => write!(formatter, "node:{number}"),
            Self::Disk(name) => write!(formatter, "disk:{name}"),
            Self::Nic(name) => write!(formatter, "nic:{name}"),
            Self::App(name) => write!(formatter, "app:{name}"),
            Self::AppDisk(name, disk) => write!(formatter, "appdisk:{disk}:{name}"),
            Self::AppCore(name, number) => write!(formatter, "appcore:{number}:{name}"),
            Self::AppNode(name, number) => write!(formatter, "appnode:{number}:{name}"),
            Self::DiskRange(disk, from, to) => {
                write!(formatter, "range:{disk}@{}", ByteRange(*from, *to))
            }
            Self::AppRange(name, disk, from, to) => {
                write!(formatter, "apprange:{disk}@{}:{name}", ByteRange(*from, *to))
            }
        }
    }
}
