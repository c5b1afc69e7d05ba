//! From a policy and one app to what may be done to it.

use super::{AppRule, Match, Policy, Rules, glob, untouchable};
use std::sync::Arc;
use tidegate_types::{App, Grant, Mode, Owner, Range, Resource};

const RESOURCES: [Resource; 5] = [
    Resource::Cpu,
    Resource::Memory,
    Resource::Io,
    Resource::Network,
    Resource::Code,
];

impl Match {
    /// Whether it is about `app`; a match without any part is about nobody.
    pub fn matches(&self, app: &App) -> bool {
        let in_group = |pattern: &str| {
            let paths = app.group.iter().flat_map(|group| &group.paths);
            paths.into_iter().any(|path| glob::matches(pattern, &path.path))
        };
        let is_unit = |pattern: &str| {
            let unit = match &app.owner {
                Owner::Systemd(unit) => unit,
                _ => app.name.as_str(),
            };
            glob::matches(pattern, unit)
        };
        let runs = |wanted: &str| {
            let executable = app.executable.as_deref();
            executable.is_some_and(|path| path == wanted || path.rsplit('/').next() == Some(wanted))
        };
        let parts = [
            self.cgroup.as_deref().map(in_group),
            self.unit.as_deref().map(is_unit),
            self.executable.as_deref().map(runs),
            self.user.as_deref().map(|user| app.user.as_deref() == Some(user)),
        ];
        let mut given = parts.into_iter().flatten().peekable();
        given.peek().is_some() && given.all(|part| part)
    }
}

impl Policy {
    /// The rule that speaks for `app`: the one of its name, else the first whose match fits.
    pub fn rule_for(&self, app: &App) -> Option<&AppRule> {
        let by_name = self.apps.iter().find(|rule| &*rule.name == app.name.as_str());
        by_name.or_else(|| self.apps.iter().find(|rule| rule.matches.matches(app)))
    }

    /// What may be done to `app`, after all precedence.
    pub fn resolve(&self, app: &App) -> Grant {
        let rule = self.rule_for(app);
        let class = rule.and_then(|rule| rule.class).unwrap_or(self.default_class);
        let layers: Vec<&Rules> = [
            rule.map(|rule| &rule.rules),
            self.classes.get(&class),
            Some(&self.default),
        ]
        .into_iter()
        .flatten()
        .collect();
        let mode_of = |resource: Resource| {
            let said = layers
                .iter()
                .find_map(|rules| rules.modes.get(&resource).copied().or(rules.mode));
            let said = said.unwrap_or_default();
            self.mode_ceiling.map_or(said, |ceiling| said.min(ceiling))
        };
        let modes = RESOURCES.map(|resource| (resource, mode_of(resource)));
        Grant {
            class,
            modes: modes
                .into_iter()
                .filter(|(_, mode)| *mode != Mode::Observe)
                .collect(),
            cpu_cores: first_bounds(&layers, |rules| rules.cpu_cores),
            memory_bytes: first_bounds(&layers, |rules| rules.memory_bytes),
            untouchable: untouchable::reason(app).or_else(|| self.protected_reason(app)),
        }
    }

    /// Lowers every mode to at most `ceiling`; a later call can only lower further.
    pub fn lower_modes(&mut self, ceiling: Mode) {
        self.mode_ceiling = Some(self.mode_ceiling.map_or(ceiling, |before| before.min(ceiling)));
    }

    /// Makes the group at `path`, and all groups above it, untouchable: the caller's shell, for one.
    pub fn protect(&mut self, path: &str, reason: &str) {
        self.protected.insert(path.into(), reason.into());
    }

    fn protected_reason(&self, app: &App) -> Option<Arc<str>> {
        let paths = app.group.iter().flat_map(|group| &group.paths);
        paths.into_iter().find_map(|path| {
            let below = format!("{}/", path.path);
            let mut protected = self.protected.iter();
            protected
                .find(|(held, _)| **held == path.path || held.starts_with(&below))
                .map(|(_, reason)| reason.clone())
        })
    }
}

fn first_bounds(layers: &[&Rules], pick: impl Fn(&Rules) -> Range) -> Range {
    Range {
        floor: layers.iter().find_map(|rules| pick(rules).floor),
        ceiling: layers.iter().find_map(|rules| pick(rules).ceiling),
    }
}
