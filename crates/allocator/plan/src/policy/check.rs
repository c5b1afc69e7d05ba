//! What a valid policy cannot do on the apps that are there.
//!
//! Three layers: the text (`parse`), the policy in itself (sums and ceilings that cannot be), and the host (who
//! manages what, which knob reaches whom). A finding is not an error: the policy works, but not as it may seem.

use super::{AppRule, Policy, Pool};
use crate::weights::{competing_path, cpu_path};
use serde::Serialize;
use tidegate_types::{App, AppName, Apps, Class, Entity, Field, Managed, Mode, Owner, Resource, Sample};

/// One thing that the user should know about the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Line in the file, from 1, where it is about one.
    pub line: Option<u32>,
    /// In words.
    pub text: String,
}

/// Looks at `policy` with the apps and, where there is one, the sample of this host.
pub fn check(policy: &Policy, apps: &Apps, sample: Option<&Sample>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut say = |line: Option<u32>, text: String| findings.push(Finding { line, text });
    policy
        .pools
        .iter()
        .for_each(|pool| pool_findings(policy, pool, &mut say));
    for rule in &policy.apps {
        let theirs: Vec<&App> = of_rule(policy, apps, rule).collect();
        if theirs.is_empty() {
            say(
                Some(rule.line),
                format!("`{}` matches no app that runs now", rule.name),
            );
        }
        for app in theirs {
            app_findings(policy, app, rule, sample, &mut say);
            parent_finding(policy, app, rule, sample, &mut say);
        }
    }
    reach_findings(policy, apps, &mut say);
    findings
}

fn of_rule<'a>(policy: &'a Policy, apps: &'a Apps, rule: &'a AppRule) -> impl Iterator<Item = &'a App> {
    let is_its = |app: &&App| policy.rule_for(app).is_some_and(|found| found.name == rule.name);
    apps.values().map(|managed| &managed.app).filter(is_its)
}

fn rule_named<'a>(policy: &'a Policy, name: &str) -> Option<&'a AppRule> {
    policy.apps.iter().find(|rule| &*rule.name == name)
}

/// What a rule alone says of an app that is not there.
fn stand_in(rule: &AppRule) -> App {
    App {
        name: AppName::new(&rule.name),
        group: None,
        owner: Owner::Nobody,
        parent: None,
        executable: None,
        user: None,
    }
}

fn pool_findings(policy: &Policy, pool: &Pool, say: &mut impl FnMut(Option<u32>, String)) {
    let members = pool.apps.iter().filter_map(|name| rule_named(policy, name));
    let ranges: Vec<_> = members
        .map(|rule| (rule, policy.resolve(&stand_in(rule)).cpu_cores))
        .collect();
    let floors: f64 = ranges.iter().filter_map(|(_, range)| range.floor).sum();
    if floors > pool.cores {
        let text = format!(
            "pool `{}` has {} cores, but the floors of its apps add up to {floors:.2}",
            pool.name, pool.cores
        );
        say(Some(pool.line), text);
    }
    for (rule, range) in &ranges {
        let Some(ceiling) = range.ceiling else { continue };
        let others = floors - range.floor.unwrap_or(0.0);
        if ceiling > pool.cores - others {
            let reachable = pool.cores - others;
            let text = format!(
                "the ceiling of `{}` ({ceiling} cores) cannot be reached: pool `{}` leaves {reachable:.2} above the others' floors",
                rule.name, pool.name
            );
            say(Some(rule.line), text);
        }
    }
}

fn app_findings(
    policy: &Policy,
    app: &App,
    rule: &AppRule,
    sample: Option<&Sample>,
    say: &mut impl FnMut(Option<u32>, String),
) {
    let grant = policy.resolve(app);
    let mut note = |text: String| say(Some(rule.line), text);
    let asked = rule
        .rules
        .mode
        .into_iter()
        .chain(rule.rules.modes.values().copied())
        .max();
    if let Some(reason) = grant.untouchable.as_ref().filter(|_| asked > Some(Mode::Observe)) {
        return note(format!("{} is never acted on: {reason}", app.name));
    }
    if grant.mode(Resource::Cpu) != Mode::Enforce {
        return;
    }
    match &app.owner {
        Owner::Systemd(unit) => note(format!(
            "{} is a unit of systemd ({unit}): it is advised only",
            app.name
        )),
        Owner::Other(manager) => note(format!(
            "{} is managed by {manager}: it is advised only",
            app.name
        )),
        Owner::Nobody => note(format!(
            "{} has no group that was handed over: it can only be observed",
            app.name
        )),
        Owner::Tidegate | Owner::Delegated => {}
    }
    let limit = sample.and_then(|sample| sample.get(&Entity::App(app.name.clone()), Field::CpuLimit));
    match (limit, grant.cpu_cores.ceiling) {
        (Some(limit), Some(_)) if limit.is_infinite() => {
            note(format!(
                "{} has no cpu limit, so there is none to raise: its ceiling means nothing",
                app.name
            ));
        }
        (Some(limit), None) if limit.is_finite() && grant.class != Class::Batch => {
            note(format!(
                "{} has no ceiling, so its limit of {limit} cores is never raised",
                app.name
            ));
        }
        _ => {}
    }
}

/// A limit above the app binds it too.
fn parent_finding(
    policy: &Policy,
    app: &App,
    rule: &AppRule,
    sample: Option<&Sample>,
    say: &mut impl FnMut(Option<u32>, String),
) {
    let (Some(sample), Some(parent)) = (sample, &app.parent) else {
        return;
    };
    let above = sample.get(&Entity::App(parent.clone()), Field::CpuLimit);
    if let (Some(above), Some(ceiling)) = (above, policy.resolve(app).cpu_cores.ceiling)
        && ceiling > above
    {
        let text = format!(
            "the ceiling of {} ({ceiling} cores) is above the limit of {parent} over it ({above} cores)",
            app.name
        );
        say(Some(rule.line), text);
    }
}

/// Weights only count among siblings: batch work whose own weight does not stand against a critical app.
fn reach_findings(policy: &Policy, apps: &Apps, say: &mut impl FnMut(Option<u32>, String)) {
    let of = |class: Class| apps.values().filter(move |managed| managed.grant.class == class);
    for victim in of(Class::Batch).filter(|managed| managed.grant.mode(Resource::Cpu) == Mode::Enforce) {
        let line = policy.rule_for(&victim.app).map(|rule| rule.line);
        for critical in of(Class::Critical) {
            if let Some(why) = out_of_reach(apps, victim, critical) {
                say(
                    line,
                    format!(
                        "the weight of {} cannot help {} against it, because {why}",
                        victim.app.name, critical.app.name
                    ),
                );
            }
        }
    }
}

fn out_of_reach(apps: &Apps, victim: &Managed, critical: &Managed) -> Option<String> {
    let (theirs, ours) = (cpu_path(&victim.app)?, cpu_path(&critical.app)?);
    let Some(competing) = competing_path(theirs, ours) else {
        return Some("one of their groups lies within the other".into());
    };
    if competing == theirs {
        return None;
    }
    let lever = apps
        .values()
        .find(|managed| cpu_path(&managed.app) == Some(&competing));
    match lever {
        None => Some(format!("they meet at {competing}, which is no app here")),
        Some(lever) if lever.grant.mode(Resource::Cpu) != Mode::Enforce => Some(format!(
            "they meet at {competing} ({}), whose cpu mode is below enforce",
            lever.app.name
        )),
        Some(_) => None,
    }
}
