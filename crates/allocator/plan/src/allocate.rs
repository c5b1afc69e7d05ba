//! Who gets which limit when: limits over the timeline of all episodes, within floors, ceilings and pools.
//!
//! The future up to the last end is cut where an episode begins or ends; in each piece the limits are a function of
//! the episodes that are active in it. Pieces with the same limit are one lease again.

use crate::episode::Episode;
use crate::found::{Found, Key};
use crate::gate::{self, Reach};
use crate::policy::{Policy, Pool};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_types::{
    AppName, Apps, BootTime, Cause, Class, Knob, KnobValue, Lease, LeaseId, Managed, Resource, Unit,
};

/// Limits are planned in thousandths of a core.
const GRAIN: f64 = 1000.0;
/// What is left to an app for which nobody named a floor, in cores: enough to make progress.
const FLOOR_WITHOUT_A_WORD_CORES: f64 = 0.1;

/// What a decision looks at.
pub(crate) struct View<'a> {
    pub(crate) now: BootTime,
    pub(crate) apps: &'a Apps,
    pub(crate) policy: &'a Policy,
    pub(crate) found: &'a Found,
    pub(crate) blocked: &'a BTreeMap<Key, BootTime>,
    pub(crate) reach: Reach,
}

impl View<'_> {
    /// Whether `app`'s `knob` may be moved, its found value being known.
    pub(crate) fn may_move(&self, app: &AppName, knob: Knob) -> Option<&Managed> {
        let managed = self.apps.get(app)?;
        self.found.get(app, knob)?;
        let obstacle = gate::obstacle(managed, &(app.clone(), knob), self.blocked, self.reach);
        obstacle.is_none().then_some(managed)
    }

    fn limit(&self, app: &AppName) -> f64 {
        self.found.limit(app).unwrap_or(f64::INFINITY)
    }

    fn pool_of(&self, app: &AppName) -> Option<(&Pool, Vec<&AppName>)> {
        let pool_of = |managed: &Managed| {
            let rule = self.policy.rule_for(&managed.app)?;
            self.policy
                .pools
                .iter()
                .find(|pool| pool.apps.contains(&rule.name))
        };
        let pool = pool_of(self.apps.get(app)?)?;
        let members = self
            .apps
            .iter()
            .filter(|(_, managed)| pool_of(managed).is_some_and(|its| its.name == pool.name));
        Some((pool, members.map(|(name, _)| name).collect()))
    }

    /// The lowest limit above `app` in the tree.
    fn limit_above(&self, app: &AppName) -> f64 {
        let mut lowest = f64::INFINITY;
        let mut parent = self.apps.get(app).and_then(|managed| managed.app.parent.as_ref());
        // A tree is not deeper than its apps are many; a loop in the names must not hang us.
        for _ in 0..self.apps.len() {
            let Some(name) = parent else { break };
            lowest = lowest.min(self.limit(name));
            parent = self
                .apps
                .get(name)
                .and_then(|managed| managed.app.parent.as_ref());
        }
        lowest
    }
}

/// One wish for a higher limit.
struct Wish<'a> {
    episode: &'a Episode,
    app: &'a AppName,
    class: Class,
    cores: f64,
}

/// A limit in one piece of the timeline, and for which episode.
#[derive(Clone, PartialEq)]
struct Limit<'a> {
    cores: f64,
    episode: &'a Episode,
    beneficiary: &'a AppName,
}

fn wish<'a>(view: &View<'_>, episode: &'a Episode) -> Option<Wish<'a>> {
    let Unit::Limit(app, Resource::Cpu) = &episode.unit else {
        return None;
    };
    let managed = view.may_move(app, Knob::CpuMax)?;
    let found = view.limit(app);
    let ceiling = managed
        .grant
        .cpu_cores
        .ceiling
        .unwrap_or(found)
        .min(view.limit_above(app));
    let wanted = episode
        .peak_cores
        .map_or(ceiling, |peak| peak * view.policy.strategy.headroom);
    let cores = wanted.min(ceiling);
    // A limit that would not rise to begin with is not a wish; burst may still help, see `bursts`.
    (cores > found).then_some(Wish {
        episode,
        app,
        class: managed.grant.class,
        cores,
    })
}

/// Leases on limits for all `episodes`, without names, in order of app and start.
pub(crate) fn limits(view: &View<'_>, episodes: &[Episode]) -> Vec<Lease> {
    let mut wishes: Vec<Wish<'_>> = episodes
        .iter()
        .filter(|episode| !episode.left_alone)
        .filter_map(|episode| wish(view, episode))
        .collect();
    wishes.sort_by_key(|wish| {
        let (unseen, since) = wish.episode.precedence();
        (Reverse(wish.class), unseen, since, wish.app)
    });
    let mut edges: BTreeSet<BootTime> = BTreeSet::new();
    for wish in &wishes {
        edges.extend([wish.episode.start.max(view.now), wish.episode.end]);
    }
    let edges: Vec<BootTime> = edges.into_iter().filter(|edge| *edge >= view.now).collect();
    let mut leases: Vec<Lease> = Vec::new();
    for piece in edges.windows(2) {
        let active: Vec<&Wish<'_>> = wishes
            .iter()
            .filter(|wish| wish.episode.start.max(view.now) <= piece[0] && piece[1] <= wish.episode.end)
            .collect();
        for (app, limit) in share_out(view, &active) {
            append(view, &mut leases, &app, &limit, (piece[0], piece[1]));
        }
    }
    leases.sort_by(|left, right| (&left.app, left.start).cmp(&(&right.app, right.start)));
    leases
}

fn append(
    view: &View<'_>,
    leases: &mut Vec<Lease>,
    app: &AppName,
    limit: &Limit<'_>,
    piece: (BootTime, BootTime),
) {
    let Some(found) = view.found.get(app, Knob::CpuMax) else {
        return;
    };
    let asked = with_limit(found, limit.cores);
    let before = leases
        .iter_mut()
        .find(|lease| lease.app == *app && lease.end == piece.0 && lease.asked == asked);
    if let Some(lease) = before {
        lease.end = piece.1;
        return;
    }
    leases.push(Lease {
        id: LeaseId(0),
        app: app.clone(),
        asked,
        found: Some(found),
        start: piece.0,
        end: piece.1,
        cause: Cause {
            trigger: limit.episode.trigger,
            prediction: limit.episode.prediction,
            unit: limit.episode.unit.clone(),
            beneficiary: limit.beneficiary.clone(),
            rule: limit.episode.rule(),
        },
    });
}

/// `found` with another limit: the same period, and no more burst than the quota.
fn with_limit(found: KnobValue, cores: f64) -> KnobValue {
    let KnobValue::CpuMax {
        period_us, burst_us, ..
    } = found
    else {
        return found;
    };
    let quota_us = (cores * period_us as f64 + 1e-6).floor() as u64;
    KnobValue::CpuMax {
        quota_us: Some(quota_us),
        period_us,
        burst_us: burst_us.min(quota_us),
    }
}

/// The limits that differ from what was found, while `wishes` (most important first) are active.
fn share_out<'a>(view: &View<'_>, wishes: &[&Wish<'a>]) -> BTreeMap<AppName, Limit<'a>> {
    let mut limits: BTreeMap<AppName, Limit<'a>> = BTreeMap::new();
    for wish in wishes {
        let before = limits.clone();
        let room = match view.pool_of(wish.app) {
            None => wish.cores,
            Some((pool, members)) => make_room(view, wishes, &mut limits, wish, pool, &members),
        };
        let cores = (room.min(wish.cores) * GRAIN + 1e-6).floor() / GRAIN;
        if cores > view.limit(wish.app) + 0.5 / GRAIN {
            let limit = Limit {
                cores,
                episode: wish.episode,
                beneficiary: wish.app,
            };
            limits.insert(wish.app.clone(), limit);
        } else {
            // Nothing would be gained, so nobody is lowered for it.
            limits = before;
        }
    }
    limits
}

/// Lowers other members of the pool until `wish` has room, batch before standard, each by the same share of what it
/// has above its floor; returns the room there is.
fn make_room<'a>(
    view: &View<'_>,
    wishes: &[&Wish<'a>],
    limits: &mut BTreeMap<AppName, Limit<'a>>,
    wish: &Wish<'a>,
    pool: &Pool,
    members: &[&AppName],
) -> f64 {
    let others = || members.iter().copied().filter(|member| *member != wish.app);
    for class in [Class::Batch, Class::Standard]
        .into_iter()
        .filter(|class| *class < wish.class)
    {
        let lower = |app: &&AppName| {
            let gains_now = wishes.iter().any(|other| other.app == *app);
            let managed = view
                .may_move(app, Knob::CpuMax)
                .filter(|managed| managed.grant.class == class);
            managed
                .filter(|_| !gains_now)
                .map(|managed| floor_of(managed).max(least_limit(view, app)))
        };
        let candidates: Vec<(&AppName, f64, f64)> = others()
            .filter_map(|app| {
                let floor = lower(&app)?;
                // Without a limit it could take the whole pool.
                let present = limit_in(view, limits, app).min(pool.cores);
                Some((app, present, (present - floor).max(0.0)))
            })
            .collect();
        let is_candidate = |app: &AppName| candidates.iter().any(|(name, ..)| *name == app);
        let fixed: f64 = others()
            .filter(|app| !is_candidate(app))
            .map(|app| limit_in(view, limits, app))
            .sum();
        let present: f64 = candidates.iter().map(|(_, present, _)| present).sum();
        let need = wish.cores - (pool.cores - fixed - present);
        let spare: f64 = candidates.iter().map(|(.., spare)| spare).sum();
        let part = if spare > 0.0 {
            (need / spare).clamp(0.0, 1.0)
        } else {
            0.0
        };
        for (app, present, spare) in candidates {
            let cut = ((spare * part * GRAIN - 1e-6).ceil() / GRAIN).min(spare);
            if present - cut < limit_in(view, limits, app) {
                let limit = Limit {
                    cores: present - cut,
                    episode: wish.episode,
                    beneficiary: wish.app,
                };
                limits.insert(app.clone(), limit);
            }
        }
    }
    pool.cores - others().map(|app| limit_in(view, limits, app)).sum::<f64>()
}

fn limit_in(view: &View<'_>, limits: &BTreeMap<AppName, Limit<'_>>, app: &AppName) -> f64 {
    limits
        .get(app)
        .map_or_else(|| view.limit(app), |limit| limit.cores)
}

/// The lowest limit that the kernel takes: 1 ms in each period.
fn least_limit(view: &View<'_>, app: &AppName) -> f64 {
    const LEAST_QUOTA_US: f64 = 1000.0;
    match view.found.get(app, Knob::CpuMax) {
        Some(KnobValue::CpuMax { period_us, .. }) => LEAST_QUOTA_US / period_us as f64,
        _ => 0.0,
    }
}

/// The lowest limit that `managed` may get.
pub(crate) fn floor_of(managed: &Managed) -> f64 {
    managed
        .grant
        .cpu_cores
        .floor
        .unwrap_or(FLOOR_WITHOUT_A_WORD_CORES)
}

/// Leases on the burst of apps whose limit may not rise: quota saved in quiet periods is spent in the crowd, and
/// the limit holds on average. Not in pools, whose sum binds at every moment.
pub(crate) fn bursts(view: &View<'_>, episodes: &[Episode]) -> Vec<Lease> {
    let of = |episode: &Episode| {
        let Unit::Limit(app, Resource::Cpu) = &episode.unit else {
            return None;
        };
        let managed = view.may_move(app, Knob::CpuMax)?;
        let found = view.found.get(app, Knob::CpuMax)?;
        let KnobValue::CpuMax {
            quota_us: Some(quota_us),
            period_us,
            burst_us,
        } = found
        else {
            return None;
        };
        // A ceiling that was named binds at every moment, one that was only found binds on average.
        let no_use = managed.grant.cpu_cores.ceiling.is_some()
            || episode.left_alone
            || wish(view, episode).is_some()
            || view.pool_of(app).is_some();
        if no_use || burst_us >= quota_us {
            return None;
        }
        Some(Lease {
            id: LeaseId(0),
            app: app.clone(),
            asked: KnobValue::CpuMax {
                quota_us: Some(quota_us),
                period_us,
                burst_us: quota_us,
            },
            found: Some(found),
            start: episode.start.max(view.now),
            end: episode.end,
            cause: Cause {
                trigger: episode.trigger,
                prediction: episode.prediction,
                unit: episode.unit.clone(),
                beneficiary: app.clone(),
                rule: format!(
                    "its limit may not rise, so it may save up quota; {}",
                    episode.rule()
                ),
            },
        })
    };
    episodes.iter().filter_map(of).collect()
}
