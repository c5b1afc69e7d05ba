//! The memory that outlives the daemon.

/// The undo journal.
#[derive(Debug)]
pub struct Journal {}
