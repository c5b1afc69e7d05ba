//! Verbs on the record: replay, dump, import.
use crate::cli::{DumpArguments, ImportArguments, ReplayArguments};
use crate::failure::Outcome;
pub(crate) fn replay(_: &ReplayArguments) -> Outcome {
    Ok(())
}
pub(crate) fn dump(_: &DumpArguments) -> Outcome {
    Ok(())
}
pub(crate) fn import(_: &ImportArguments) -> Outcome {
    Ok(())
}
