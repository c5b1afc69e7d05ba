//! Where things lie: history, sockets, the journal, compiled variants.

use crate::cli::Places;
use std::path::PathBuf;

/// The folders of one daemon.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    /// History, models, checkpoints.
    pub(crate) data: PathBuf,
    /// Socket and journal.
    pub(crate) run: PathBuf,
    /// Compiled variants.
    pub(crate) cache: PathBuf,
}

impl Folders {
    /// What the flags say, else the usual places: /var/lib, /run and /var/cache for root, the XDG
    /// folders for others.
    pub(crate) fn of(places: &Places) -> Self {
        Self {
            data: places
                .data
                .clone()
                .unwrap_or_else(|| usual("/var/lib", "XDG_STATE_HOME", ".local/state")),
            run: places.run_dir.clone().unwrap_or_else(usual_run),
            cache: default_cache(),
        }
    }

    /// Socket of the API and of what acts.
    pub(crate) fn socket(&self) -> PathBuf {
        self.run.join("tidegate.sock")
    }

    /// Socket on which programs with switchable functions report.
    pub(crate) fn runtime_socket(&self) -> PathBuf {
        self.run.join("runtime.sock")
    }

    /// The undo journal.
    pub(crate) fn journal(&self) -> PathBuf {
        self.run.join("journal")
    }

    /// While this file exists, nothing is held; it needs no daemon.
    pub(crate) fn disable(&self) -> PathBuf {
        self.run.join("disable")
    }
}

/// The cache of compiled variants of this user.
pub(crate) fn default_cache() -> PathBuf {
    usual("/var/cache", "XDG_CACHE_HOME", ".cache")
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn usual(for_root: &str, variable: &str, below_home: &str) -> PathBuf {
    if is_root() {
        return PathBuf::from(for_root).join("tidegate");
    }
    let home = || {
        std::env::var_os("HOME")
            .map_or_else(std::env::temp_dir, PathBuf::from)
            .join(below_home)
    };
    absolute(variable).unwrap_or_else(home).join("tidegate")
}

/// What a variable says, unless it depends on where one stands (XDG Base Directory Specification 0.8).
fn absolute(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

fn usual_run() -> PathBuf {
    if is_root() {
        return PathBuf::from("/run/tidegate");
    }
    let user = rustix::process::geteuid().as_raw();
    let private = || std::env::temp_dir().join(format!("tidegate-{user}"));
    absolute("XDG_RUNTIME_DIR").map_or_else(private, |base| base.join("tidegate"))
}

/// The store inside a data folder.
pub(crate) fn store(data: &std::path::Path) -> PathBuf {
    data.join("history")
}
