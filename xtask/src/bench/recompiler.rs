use super::report::Report;
use crate::workspace::Workspace;
use anyhow::Result;

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct RecompilerArguments {}

pub(crate) fn run(_workspace: &Workspace, _arguments: &RecompilerArguments) -> Result<Report> {
    anyhow::bail!("soon")
}
