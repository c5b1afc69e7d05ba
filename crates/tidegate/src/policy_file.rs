//! The policy file of the daemon: read, checked, and read again.

use std::path::PathBuf;
use std::sync::Arc;
use tidegate_plan::policy;

/// Where the policy comes from; without a file it is the empty one.
#[derive(Clone, Debug)]
pub(crate) struct PolicyFile {
    path: Option<PathBuf>,
}

impl PolicyFile {
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self { path }
    }

    /// The file's name, for people.
    pub(crate) fn name(&self) -> String {
        self.path.as_ref().map_or_else(
            || "the empty policy".to_owned(),
            |path| path.display().to_string(),
        )
    }

    /// The text, once it is known to be valid; the error is for people, with the place in the file.
    pub(crate) fn load(&self) -> Result<Arc<str>, String> {
        let Some(path) = &self.path else {
            return Ok(Arc::from(""));
        };
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        policy::parse(&text, &self.name()).map_err(|error| error.to_string())?;
        Ok(Arc::from(text))
    }
}
