//! Names of Docker containers.
//!
//! A container's id is another one whenever it is made anew, so it is no identity for history; its name
//! is. Docker keeps it in a file per container, readable for root, and nothing is asked of its daemon.

use crate::naming::docker_id;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What marks the name: names of other things in that file have no slash.
const NAME_KEY: &str = "\"Name\":\"/";

/// Names by container id, each looked up once.
#[derive(Debug)]
pub(crate) struct ContainerNames {
    root: PathBuf,
    looked_up: BTreeMap<String, Option<String>>,
}

impl ContainerNames {
    /// Names from the folder `root`, on a host `/var/lib/docker/containers`.
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            looked_up: BTreeMap::new(),
        }
    }

    /// Looks up the containers among `paths` that are new, and forgets those that are gone.
    pub(crate) fn follow<'paths>(&mut self, paths: impl Iterator<Item = &'paths str>) {
        let mut before = std::mem::take(&mut self.looked_up);
        for id in paths.filter_map(docker_id) {
            let name = before.remove(id).unwrap_or_else(|| self.read(id));
            self.looked_up.insert(id.to_owned(), name);
        }
    }

    /// Name by id.
    pub(crate) fn get(&self, id: &str) -> Option<&str> {
        self.looked_up.get(id)?.as_deref()
    }

    fn read(&self, id: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.root.join(id).join("config.v2.json")).ok()?;
        let name = text.split_once(NAME_KEY)?.1.split('"').next()?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        (!name.is_empty() && name.bytes().all(plain)).then(|| name.to_owned())
    }
}
