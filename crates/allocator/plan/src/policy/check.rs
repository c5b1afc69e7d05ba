//! What a valid policy cannot do on the apps that are there.

use super::Policy;
use serde::Serialize;
use tidegate_types::{Apps, Sample};

/// One thing that the user should know about the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Line in the file, from 1, where it is about one.
    pub line: Option<u32>,
    /// In words.
    pub text: String,
}

/// Looks at `policy` with the apps and, where there is one, the sample of this host.
pub fn check(_policy: &Policy, _apps: &Apps, _sample: Option<&Sample>) -> Vec<Finding> {
    Vec::new()
}
