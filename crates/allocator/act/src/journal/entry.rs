//! What the journal knows of one knob that is ours.

use serde::{Deserialize, Serialize};
use tidegate_types::{AppName, BootTime, Hierarchy, Knob, LeaseId};

/// One file of a knob set, in the kernel's own text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its name within the group.
    pub name: String,
    /// Before our first write.
    pub found: String,
    /// What was last written, or is about to be.
    pub asked: Option<String>,
    /// What was read before that write, when it was already ours.
    pub before: Option<String>,
    /// What was read back after it.
    pub read_back: Option<String>,
}

impl FileRecord {
    /// A file that nothing was asked of yet.
    pub fn found(name: &str, value: &str) -> Self {
        Self {
            name: name.to_owned(),
            found: value.to_owned(),
            asked: None,
            before: None,
            read_back: None,
        }
    }

    /// Whether `value` is one that we may have put there.
    pub fn is_ours(&self, value: &str) -> bool {
        let ours = [&self.asked, &self.before, &self.read_back];
        ours.into_iter().flatten().any(|known| known == value)
    }
}

/// One knob of one group that is ours until it is given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Name of the boot in which it was written.
    pub boot_id: String,
    /// Whose knob.
    pub app: AppName,
    /// Under which lease.
    pub lease: LeaseId,
    /// In which tree.
    pub hierarchy: Hierarchy,
    /// Path of the group below the mount point.
    pub path: String,
    /// Inode of the group's folder.
    pub group_id: u64,
    /// Which set.
    pub knob: Knob,
    /// Its files.
    pub files: Vec<FileRecord>,
    /// When it is to be back at the latest.
    pub end: BootTime,
}
