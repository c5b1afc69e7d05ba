//! Everything the loop remembers between two ticks.

use crate::{Config, checkpoint::Saved};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_forecast::Forecaster;
use tidegate_forecast::models::peaks::PeakModel;
use tidegate_plan::{Planner, criticality, policy::Policy};
use tidegate_types::{App, Apps, BootTime, ContentionMap, KnobValue, Lease, LeaseId, Managed, Plan, Sample};

/// The loop's memory. It is plain data: [`State::checkpoint`] and [`State::restore`] carry it
/// through a restart and into a replay.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) config: Config,
    pub(crate) apps: Apps,
    pub(crate) policy: Policy,
    pub(crate) policy_text: Arc<str>,
    pub(crate) forecaster: Forecaster,
    pub(crate) planner: Planner,
    pub(crate) map: ContentionMap,
    pub(crate) sample: Sample,
    pub(crate) plan: Plan,
    pub(crate) found: BTreeMap<LeaseId, KnobValue>,
}

impl State {
    /// A loop that has seen nothing yet, under the empty policy (observe everything).
    pub fn new(config: Config) -> Self {
        Self {
            apps: Apps::new(),
            policy: Policy::default(),
            policy_text: Arc::from(""),
            forecaster: Forecaster::new(config.forecast.clone()),
            planner: Planner::new(config.plan.clone()),
            map: ContentionMap::default(),
            sample: Sample::default(),
            plan: Plan::default(),
            found: BTreeMap::new(),
            config,
        }
    }

    /// The same memory under other settings. In another boot of the kernel, what is timed by the old boot
    /// clock (the plan, what is held) is forgotten; what was learned stays.
    #[must_use]
    pub fn with_config(mut self, config: Config, same_boot: bool) -> Self {
        if !same_boot {
            self.map = ContentionMap::default();
            self.plan = Plan::default();
            self.sample = Sample::default();
            self.found.clear();
            self.planner = Planner::new(config.plan.clone());
        }
        self.config = config;
        self
    }

    /// Apps that are there now, with what the policy grants.
    pub fn apps(&self) -> &Apps {
        &self.apps
    }

    /// The latest map.
    pub fn map(&self) -> &ContentionMap {
        &self.map
    }

    /// The latest plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The latest sample.
    pub fn sample(&self) -> &Sample {
        &self.sample
    }

    /// The forecast room's memory, for reports on skill.
    pub fn forecaster(&self) -> &Forecaster {
        &self.forecaster
    }

    /// Puts a trained model where a promotion finds it. A caller supplies the models that are [`State::needed`] after a
    /// restore, and each before the tick that promotes it: the tick itself reads nothing.
    pub fn supply(&mut self, name: &Arc<str>, model: Arc<PeakModel>) {
        self.forecaster.supply(name, model);
    }

    /// Names of the trained models that this state rests on and that were not supplied yet.
    pub fn needed(&self) -> Vec<Arc<str>> {
        self.forecaster.needed()
    }

    /// Goes on without the models that are [`State::needed`] and lost; a replay cannot follow over this.
    pub fn forget_lost_models(&mut self) {
        self.forecaster.forget_lost_models();
    }

    /// The policy in force, as text.
    pub fn policy_text(&self) -> &Arc<str> {
        &self.policy_text
    }

    /// Leases that are known to be in effect at `now`, with the value that was found.
    pub(crate) fn leases_in_effect(&self, now: BootTime) -> Vec<Lease> {
        let in_effect = self.plan.leases.iter().filter(|lease| lease.active_at(now));
        in_effect
            .filter_map(|lease| {
                let found = *self.found.get(&lease.id)?;
                Some(Lease {
                    found: Some(found),
                    ..lease.clone()
                })
            })
            .collect()
    }

    pub(crate) fn admit(&mut self, app: App) {
        let grant = self.policy.resolve(&app);
        self.apps.insert(app.name.clone(), Managed { app, grant });
    }

    /// Makes `policy` the one in force, under the ceiling and the protected groups of the settings.
    pub(crate) fn adopt(&mut self, mut policy: Policy, text: Arc<str>) {
        policy.lower_modes(self.config.mode_ceiling);
        for (path, reason) in &self.config.protected {
            policy.protect(path, reason);
        }
        self.policy = policy;
        self.policy_text = text;
        let apps: Vec<App> = self.apps.values().map(|managed| managed.app.clone()).collect();
        for app in apps {
            self.admit(app);
        }
        self.flow();
    }

    /// Gives every app its class: what the policy says, raised where a critical app calls it.
    pub(crate) fn flow(&mut self) {
        for managed in self.apps.values_mut() {
            managed.grant.class = self.policy.resolve(&managed.app).class;
        }
        let calls = self.forecaster.calls(&self.apps);
        criticality::flow(&mut self.apps, &calls);
    }

    pub(crate) fn from_saved(saved: Saved<'_>, policy: Policy) -> Self {
        let text = saved.policy_text;
        let mut state = Self {
            config: saved.config,
            apps: saved.apps,
            policy: Policy::default(),
            policy_text: text.clone(),
            forecaster: saved.forecaster.into_owned(),
            planner: saved.planner,
            map: saved.map,
            sample: saved.sample,
            plan: saved.plan,
            found: saved.found,
        };
        state.adopt(policy, text);
        state
    }
}
