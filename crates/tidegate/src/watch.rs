//! What discovery is told: the apps that the policy names, and where the kernel's files are.

use crate::failure::Failure;
use std::time::Duration;
use tidegate_plan::policy::{Match, Policy};
use tidegate_telemetry::{AppMatch, AppRule, Collector, CollectorConfig};
use tidegate_types::{AppName, Apps, Managed};

/// Rules for discovery. A rule that gives several parts is found by the narrowest; the policy checks the rest.
pub(crate) fn rules(policy: &Policy) -> Vec<AppRule> {
    let rule = |app: &tidegate_plan::policy::AppRule| {
        Some(AppRule {
            name: AppName::new(&app.name),
            matches: narrowest(&app.matches)?,
        })
    };
    policy.apps.iter().filter_map(rule).collect()
}

fn narrowest(matches: &Match) -> Option<AppMatch> {
    let cgroup = matches.cgroup.as_deref().map(|glob| AppMatch::Group(glob.into()));
    let unit = || matches.unit.as_deref().map(|unit| AppMatch::Unit(unit.into()));
    let executable = || {
        matches
            .executable
            .as_deref()
            .map(|name| AppMatch::Executable(name.into()))
    };
    let user = || matches.user.as_deref().map(|user| AppMatch::User(user.into()));
    cgroup.or_else(unit).or_else(executable).or_else(user)
}

/// A collector for this host under `policy`.
pub(crate) fn collector(policy: &Policy, interval: Duration) -> Result<Collector, Failure> {
    let config = CollectorConfig {
        interval,
        rules: rules(policy),
        ..CollectorConfig::default()
    };
    Collector::new(config).map_err(Failure::environment)
}

/// The apps on this host now, with what `policy` grants.
pub(crate) fn apps_now(policy: &Policy) -> Result<Apps, Failure> {
    let collector = collector(policy, Duration::from_secs(1))?;
    let managed = |app: &tidegate_types::App| {
        (
            app.name.clone(),
            Managed {
                app: app.clone(),
                grant: policy.resolve(app),
            },
        )
    };
    Ok(collector.apps().map(managed).collect())
}
