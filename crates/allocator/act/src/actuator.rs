//! Executes plans: at any moment the knobs that should be ours are a function of the plan and the clock, and a
//! step is what lies between that and what is ours.
//!
//! Limits that fall are written before limits that rise, deepest first, so that a fixed sum is not exceeded
//! between two writes; where a fall for someone else's sake failed, no limit rises on it. Giving back is never held up by anything.

use crate::guardian::Guard;
use crate::hold::{self, Hold, Tools};
use crate::knob;
use crate::lock::Lock;
use crate::restore::{self, Direction, RestoreFilter, Restored};
use crate::watch::{Key, Watch};
use crate::{ActConfig, ActError, Journal, journal::Pulse, stat};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::BorrowedFd;
use tidegate_types::{
    Apps, BootTime, Event, Knob, KnobValue, Lease, LeaseId, Plan, WriteFailure, WriteResult,
};

/// How long a knob that someone else wrote is left alone, in seconds.
const FOREIGN_BLOCK_S: f64 = 3600.0;
/// Pause between two tries to give back what the kernel refused, in seconds.
const RETRY_S: f64 = 1.0;
/// Far end of an entry whose giving back is refused, so that nobody takes the daemon for dead, in seconds.
const REFUSED_END_S: f64 = 3600.0;

/// Executes plans on one host.
#[derive(Debug)]
pub struct Actuator {
    config: ActConfig,
    _lock: Lock,
    journal: Journal,
    watch: Watch,
    guard: Option<Guard>,
    pulse: Pulse,
    recovered: Vec<Restored>,
    plan: Vec<Lease>,
    apps: Apps,
    holds: BTreeMap<Key, Hold>,
    foreign: BTreeSet<Key>,
    blocked: BTreeMap<Key, BootTime>,
    refused: BTreeSet<LeaseId>,
    retry: BTreeMap<Key, BootTime>,
    disabled: bool,
}

/// One thing to do now.
enum Action {
    GiveBack(Key),
    Hold(Lease),
}

impl Actuator {
    /// Takes the host's lock, opens the journal, and restores what an earlier daemon left in it.
    pub fn open(config: ActConfig) -> Result<Self, ActError> {
        let lock = Lock::take(&config.layout)?;
        let mut journal = Journal::open(&config.journal)?;
        let recovered = restore::restore_journal(&config.layout, &mut journal, &RestoreFilter::default())?;
        restore::set_aside(&mut journal)?;
        let pid = std::process::id();
        let pulse = Pulse {
            pid,
            start_ticks: stat::of(pid).map_or(0, |stat| stat.start_ticks),
            at: crate::boot_now(),
        };
        journal.beat(&pulse)?;
        Ok(Self {
            watch: Watch::new(&config.disable)?,
            config,
            _lock: lock,
            journal,
            guard: None,
            pulse,
            recovered,
            plan: Vec::new(),
            apps: Apps::new(),
            holds: BTreeMap::new(),
            foreign: BTreeSet::new(),
            blocked: BTreeMap::new(),
            refused: BTreeSet::new(),
            retry: BTreeMap::new(),
            disabled: false,
        })
    }

    /// Acts only while `guard` is alive; it is started again when it is not.
    pub fn guarded_by(&mut self, guard: Guard) {
        self.guard = Some(guard);
    }

    /// What was restored at the start, from a daemon that did not end in order.
    pub fn take_recovered(&mut self) -> Vec<Restored> {
        std::mem::take(&mut self.recovered)
    }

    /// What it was opened with.
    pub fn config(&self) -> &ActConfig {
        &self.config
    }

    /// Leases whose knobs are ours now.
    pub fn held(&self) -> impl Iterator<Item = &Lease> {
        self.holds.values().map(|hold| &hold.lease)
    }

    /// Readable when [`Actuator::run_due`] should look: a watched knob or the disabling file changed.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.watch.descriptor()
    }

    /// Makes `plan` hold: what is due now is done now, the rest by [`Actuator::run_due`].
    pub fn apply(&mut self, now: BootTime, plan: &Plan, apps: &Apps) -> Result<Vec<Event>, ActError> {
        self.plan.clone_from(&plan.leases);
        self.apps.clone_from(apps);
        let plan = &self.plan;
        self.refused.retain(|id| plan.iter().any(|lease| lease.id == *id));
        if !self.plan.is_empty() {
            // Started ahead of the first lease, so that it delays none; a failure is told where it counts.
            let _ = self.guard_failure();
        }
        self.run_due(now)
    }

    /// Makes sure that a guardian watches, where one is wanted; why none does.
    fn guard_failure(&mut self) -> Option<String> {
        let guard = self.guard.as_mut()?;
        guard.ensure(&self.config).err().map(|error| error.to_string())
    }

    /// When [`Actuator::run_due`] has something to do next.
    pub fn next_deadline(&self, now: BootTime) -> Option<BootTime> {
        let edges = self.plan.iter().flat_map(|lease| [lease.start, lease.end]);
        edges
            .chain(self.retry.values().copied())
            .filter(|edge| *edge > now)
            .min()
    }

    /// Does what is due, notices foreign writes and the disabling file, and beats the heart.
    pub fn run_due(&mut self, now: BootTime) -> Result<Vec<Event>, ActError> {
        if self.journal.fenced()? {
            return Err(ActError::Fenced {
                generation: self.journal.generation(),
            });
        }
        self.pulse.at = now;
        self.journal.beat(&self.pulse)?;
        let mut events = Vec::new();
        self.look_for_disabling(&mut events);
        self.foreign.extend(self.watch.written());
        self.yield_foreign(now, &mut events)?;
        self.blocked.retain(|_, until| *until > now);
        if !self.holds.is_empty() && self.guard_failure().is_some() {
            // Nothing stays ours that nobody would bring back.
            self.plan.clear();
        }
        let actions = self.actions(now);
        self.execute(now, actions, &mut events)?;
        self.yield_foreign(now, &mut events)?;
        Ok(events)
    }

    /// Gives everything back and forgets the plan.
    pub fn release_all(&mut self, now: BootTime) -> Result<Vec<Event>, ActError> {
        self.plan.clear();
        self.refused.clear();
        self.retry.clear();
        self.run_due(now)
    }

    /// Gives everything back, and tells the guardian that the end is in order.
    pub fn close(mut self, now: BootTime) -> Result<Vec<Event>, ActError> {
        let events = self.release_all(now)?;
        self.journal.beat(&Pulse {
            at: now,
            ..Pulse::default()
        })?;
        Ok(events)
    }

    fn look_for_disabling(&mut self, events: &mut Vec<Event>) {
        let disabled = self.config.disable.exists();
        if disabled != self.disabled {
            self.disabled = disabled;
            events.push(if disabled { Event::Paused } else { Event::Resumed });
        }
    }

    /// Lets go of every knob that someone else wrote, as it is.
    fn yield_foreign(&mut self, now: BootTime, events: &mut Vec<Event>) -> Result<(), ActError> {
        for key in std::mem::take(&mut self.foreign) {
            let Some(mut hold) = self.holds.remove(&key) else {
                continue;
            };
            let value = hold.read();
            self.with_tools(|tools| hold.let_go(tools))?;
            self.blocked
                .insert(key.clone(), now.plus_seconds(FOREIGN_BLOCK_S));
            let (app, knob) = key;
            events.push(Event::ForeignWrite { app, knob, value });
        }
        Ok(())
    }

    fn with_tools<T>(&mut self, step: impl FnOnce(&mut Tools<'_>) -> T) -> T {
        step(&mut Tools {
            layout: &self.config.layout,
            journal: &mut self.journal,
            watch: &mut self.watch,
            foreign: &mut self.foreign,
        })
    }

    /// The lease that should hold for each knob at `now`; where two overlap, the one that started last.
    fn wanted(&self, now: BootTime) -> BTreeMap<Key, Lease> {
        let mut wanted: BTreeMap<Key, Lease> = BTreeMap::new();
        if self.disabled {
            return wanted;
        }
        for lease in self.plan.iter().filter(|lease| lease.active_at(now)) {
            let key = (lease.app.clone(), lease.asked.knob());
            if self.blocked.contains_key(&key) || self.refused.contains(&lease.id) {
                continue;
            }
            let later = wanted
                .get(&key)
                .is_none_or(|other| (other.start, other.id) < (lease.start, lease.id));
            if later {
                wanted.insert(key, lease.clone());
            }
        }
        wanted
    }

    /// What has to change now, falling before rising.
    fn actions(&self, now: BootTime) -> Vec<Action> {
        let wanted = self.wanted(now);
        let mut actions: Vec<(Direction, Action)> = Vec::new();
        for (key, hold) in &self.holds {
            let waits = self.retry.get(key).is_some_and(|retry| *retry > now);
            if (!wanted.contains_key(key) || self.has_moved(hold)) && !waits {
                let rises = knob::magnitude(&hold.found) > knob::magnitude(&hold.current);
                actions.push(((rises, hold.depth()), Action::GiveBack(key.clone())));
            }
        }
        for (key, lease) in wanted {
            let hold = self.holds.get(&key);
            if hold.is_some_and(|hold| hold.lease == lease || self.has_moved(hold)) {
                continue;
            }
            actions.push((self.direction(&lease, hold), Action::Hold(lease)));
        }
        actions.sort_by(|(left, _), (right, _)| restore::by_direction(*left, *right));
        actions.into_iter().map(|(_, action)| action).collect()
    }

    /// Whether the app has another group now than the one whose knob is held.
    fn has_moved(&self, hold: &Hold) -> bool {
        let group = self
            .apps
            .get(&hold.lease.app)
            .and_then(|managed| managed.app.group.as_ref());
        let path = group.and_then(|group| group.in_hierarchy(self.config.layout.hierarchy()));
        path.is_some_and(|path| path.id != hold.group_id())
    }

    /// Whether a lease raises its knob, and how deep that is. What is not ours yet is read; where that fails, so will
    /// the taking.
    fn direction(&self, lease: &Lease, hold: Option<&Hold>) -> Direction {
        let layout = &self.config.layout;
        let managed = self.apps.get(&lease.app);
        let before = hold.map(|hold| hold.current);
        let before = before
            .or_else(|| hold::present(layout, managed?, lease.asked.knob()))
            .or(lease.found);
        let rises = before.is_some_and(|before| knob::magnitude(&lease.asked) > knob::magnitude(&before));
        let group = managed.and_then(|managed| managed.app.group.as_ref());
        let path = group.and_then(|group| group.in_hierarchy(layout.hierarchy()));
        (rises, path.map_or(0, |path| restore::depth(&path.path)))
    }

    /// Knobs of which a fall that should hold cannot: nothing that rises may count on it.
    fn missing_falls(&self, now: BootTime) -> BTreeSet<Knob> {
        let falls = self
            .plan
            .iter()
            .filter(|lease| lease.active_at(now) && lease.app != lease.cause.beneficiary);
        let missing = falls.filter(|lease| {
            let key = (lease.app.clone(), lease.asked.knob());
            self.blocked.contains_key(&key) || self.refused.contains(&lease.id)
        });
        missing.map(|lease| lease.asked.knob()).collect()
    }

    fn execute(
        &mut self,
        now: BootTime,
        actions: Vec<Action>,
        events: &mut Vec<Event>,
    ) -> Result<(), ActError> {
        let mut failed = self.missing_falls(now);
        for action in actions {
            match action {
                Action::GiveBack(key) => self.give_back(now, &key, events)?,
                Action::Hold(lease) => events.extend(self.hold_or_say(now, &lease, &mut failed)?),
            }
        }
        Ok(())
    }

    /// Takes or moves the knob of `lease`, and remembers what failed.
    fn hold_or_say(
        &mut self,
        now: BootTime,
        lease: &Lease,
        failed: &mut BTreeSet<Knob>,
    ) -> Result<Option<Event>, ActError> {
        let knob = lease.asked.knob();
        let is_rise = lease.app == lease.cause.beneficiary;
        let outcome = self.hold(lease, is_rise && failed.contains(&knob))?;
        if outcome.as_ref().is_some_and(Result::is_err) {
            self.refused.insert(lease.id);
            failed.extend((!is_rise).then_some(knob));
        }
        let found = self.holds.get(&(lease.app.clone(), knob)).map(|hold| hold.found);
        Ok(outcome.map(|outcome| written(lease, found, outcome, now, false)))
    }

    /// Takes or moves the knob of `lease`; `None` where only its end moved.
    fn hold(
        &mut self,
        lease: &Lease,
        rest_is_missing: bool,
    ) -> Result<Option<Result<KnobValue, WriteFailure>>, ActError> {
        let key = (lease.app.clone(), lease.asked.knob());
        let not_allowed = |words: &str| Ok(Some(Err(WriteFailure::NotAllowed(words.to_owned()))));
        let Some(managed) = self.apps.get(&lease.app).cloned() else {
            return not_allowed("the app is gone");
        };
        let Some(mut hold) = self.holds.remove(&key) else {
            if rest_is_missing {
                return not_allowed("the limit that had to fall first did not");
            }
            if let Some(words) = self.guard_failure() {
                return not_allowed(&words);
            }
            let taken = self.with_tools(|tools| hold::take(tools, lease, &managed))?;
            return Ok(Some(taken.map(|hold| {
                let current = hold.current;
                self.holds.insert(key, hold);
                current
            })));
        };
        let value_stays = hold.lease.asked == lease.asked;
        let lease_stays = value_stays && hold.lease.id == lease.id;
        if rest_is_missing && !value_stays {
            self.holds.insert(key, hold);
            return not_allowed("the limit that had to fall first did not");
        }
        let moved = self.with_tools(|tools| hold.move_to(tools, lease, &managed))?;
        let current = hold.current;
        self.holds.insert(key, hold);
        Ok(match moved {
            Ok(()) if lease_stays => None,
            Ok(()) => Some(Ok(current)),
            Err(failure) => Some(Err(failure)),
        })
    }

    fn give_back(&mut self, now: BootTime, key: &Key, events: &mut Vec<Event>) -> Result<(), ActError> {
        let Some(mut hold) = self.holds.remove(key) else {
            return Ok(());
        };
        let outcome = self.with_tools(|tools| hold.give_back(tools))?;
        let tried_before = self.retry.remove(key).is_some();
        if let Err(WriteFailure::Refused(_)) = outcome {
            self.retry.insert(key.clone(), now.plus_seconds(RETRY_S));
            let end = now.plus_seconds(REFUSED_END_S);
            self.with_tools(|tools| hold.postpone(tools, end))?;
        }
        if outcome == Err(WriteFailure::Foreign) {
            self.foreign.remove(key);
            self.blocked
                .insert(key.clone(), now.plus_seconds(FOREIGN_BLOCK_S));
            let value = hold.read();
            events.push(Event::ForeignWrite {
                app: key.0.clone(),
                knob: key.1,
                value,
            });
        } else if !tried_before || outcome.is_ok() {
            let found = hold.found;
            events.push(written(
                &hold.lease,
                Some(found),
                outcome.clone().map(|()| found),
                now,
                true,
            ));
        }
        if self.retry.contains_key(key) {
            self.holds.insert(key.clone(), hold);
        }
        Ok(())
    }
}

fn written(
    lease: &Lease,
    found: Option<KnobValue>,
    outcome: Result<KnobValue, WriteFailure>,
    at: BootTime,
    restored: bool,
) -> Event {
    Event::Written(WriteResult {
        lease: lease.id,
        app: lease.app.clone(),
        knob: lease.asked.knob(),
        found,
        outcome,
        at,
        restored,
    })
}
