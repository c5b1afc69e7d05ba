//! What was decided, done and seen: the records behind `actions`, `explain` and `report`.
//!
//! A plan is the whole of what should hold and is made every second; a decision is written when something in
//! it is new, changed or gone. Records are self-describing (`MessagePack` with field names), so that a later
//! version that added a field still reads them. What a record means is decided by the rooms that made it.

use crate::error::{HistoryError, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidegate_types::{
    Advice, ContentionEvent, ContentionMap, Event, Lease, LeaseId, MapEntry, Moment, Notice, Outcome, Output,
    Plan, PredictionId, Recompile, Shift,
};

/// One thing that was decided, done or seen.
#[expect(
    clippy::large_enum_variant,
    reason = "decisions are written and read one at a time"
)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// A lease entered the plan, or changed in it.
    Planned {
        /// The lease as it is now planned.
        lease: Lease,
        /// The prediction behind it, when it is new and the map that it came from is known.
        prediction: Option<MapEntry>,
    },
    /// A lease is no longer planned.
    Dropped {
        /// Which one.
        lease: LeaseId,
    },
    /// A shift entered the plan.
    Shift(Shift),
    /// A wish for variants entered the plan.
    Recompile(Recompile),
    /// An advice entered the plan.
    Advice(Advice),
    /// A write result, a foreign write, a trial, a pause: an event that belongs to an action.
    Event(Event),
    /// Contention that began or ended.
    Contention(ContentionEvent),
    /// Something the loop said.
    Notice(Notice),
}

/// A decision with its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// When.
    pub at: Moment,
    /// What.
    pub decision: Decision,
}

/// Predictions whose windows closed in one tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedOutcomes {
    /// When.
    pub at: Moment,
    /// Which.
    pub outcomes: Vec<Outcome>,
}

/// One lease from its first plan to its end, put together from the decisions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// When it was first planned.
    pub planned: Moment,
    /// As it was planned last.
    pub lease: Lease,
    /// The prediction behind it, as it stood when the lease was first planned.
    pub prediction: Option<MapEntry>,
    /// When it left the plan.
    pub dropped: Option<Moment>,
    /// Writes, refusals and foreign writes, in order.
    pub events: Vec<(Moment, Event)>,
}

/// The bytes of a record.
pub(crate) fn encode<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>> {
    rmp_serde::to_vec_named(value).map_err(|error| HistoryError::Encode {
        what,
        reason: error.to_string(),
    })
}

/// A record's bytes, compressed: the names of its fields repeat in each of its entries.
pub(crate) fn encode_compressed<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>> {
    Ok(lz4_flex::compress_prepend_size(&encode(what, value)?))
}

/// A record from compressed bytes; `None` where this version does not understand it.
pub(crate) fn decode_compressed<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let size = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    // The size is only believed as far as this coding can expand.
    let bytes = (size / 255 <= bytes.len()).then(|| lz4_flex::decompress_size_prepended(bytes).ok())??;
    decode(&bytes)
}

/// A record from its bytes; `None` where this version does not understand it.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    rmp_serde::from_slice(bytes).ok()
}

/// What was planned last: tells what is new.
#[derive(Debug, Default)]
pub(crate) struct Previous {
    leases: BTreeMap<LeaseId, Lease>,
    shifts: Vec<Shift>,
    recompiles: Vec<Recompile>,
    advice: Vec<Advice>,
    /// Entries of the last maps, so that a lease finds the prediction that it names.
    maps: [ContentionMap; 2],
}

impl Previous {
    fn prediction(&self, id: PredictionId) -> Option<MapEntry> {
        let mut entries = self.maps.iter().flat_map(|map| &map.entries);
        entries.find(|entry| entry.id == id).cloned()
    }

    /// The decisions in `output`, and `output` as the new past.
    pub(crate) fn advance(&mut self, output: &Output) -> Vec<Decision> {
        if let Some(map) = &output.map {
            let before = std::mem::replace(&mut self.maps[0], map.clone());
            self.maps[1] = before;
        }
        let mut decisions = self.plan(&output.plan);
        decisions.extend(output.contention.iter().cloned().map(Decision::Contention));
        decisions.extend(output.notices.iter().cloned().map(Decision::Notice));
        decisions
    }

    fn plan(&mut self, plan: &Plan) -> Vec<Decision> {
        let mut decisions = Vec::new();
        let leases: BTreeMap<LeaseId, Lease> = plan
            .leases
            .iter()
            .map(|lease| (lease.id, lease.clone()))
            .collect();
        for (id, lease) in &leases {
            if self.leases.get(id) != Some(lease) {
                // A lease that only moved keeps the prediction that it was first planned for.
                let is_new = !self.leases.contains_key(id);
                let prediction = lease.cause.prediction.filter(|_| is_new);
                let prediction = prediction.and_then(|id| self.prediction(id));
                let lease = lease.clone();
                decisions.push(Decision::Planned { lease, prediction });
            }
        }
        let gone = self.leases.keys().filter(|id| !leases.contains_key(id));
        decisions.extend(gone.map(|id| Decision::Dropped { lease: *id }));
        // What would be done is said again each second with other times in it; it is one decision.
        let shifts = new_ones(&self.shifts, &plan.shifts, |left, right| {
            (&left.app, &left.target) == (&right.app, &right.target)
        });
        decisions.extend(shifts.map(Decision::Shift));
        let recompiles = new_ones(&self.recompiles, &plan.recompiles, |left, right| {
            (&left.app, left.scenario, left.mode) == (&right.app, right.scenario, right.mode)
        });
        decisions.extend(recompiles.map(Decision::Recompile));
        let advice = new_ones(&self.advice, &plan.advice, |left, right| {
            (&left.app, left.knob, &left.unit) == (&right.app, right.knob, &right.unit)
        });
        decisions.extend(advice.map(Decision::Advice));
        self.leases = leases;
        self.shifts.clone_from(&plan.shifts);
        self.recompiles.clone_from(&plan.recompiles);
        self.advice.clone_from(&plan.advice);
        decisions
    }
}

/// Items of which nothing the `same` was there before.
fn new_ones<'plan, T: Clone>(
    before: &'plan [T],
    now: &'plan [T],
    same: impl Fn(&T, &T) -> bool + 'plan,
) -> impl Iterator<Item = T> + 'plan {
    let is_new = move |item: &&T| !before.iter().any(|known| same(known, item));
    now.iter().filter(is_new).cloned()
}

/// True for events that belong to an action or change what may be done.
pub(crate) fn is_decision(event: &Event) -> bool {
    match event {
        Event::AppCame(_)
        | Event::AppWent(_)
        | Event::Waiting { .. }
        | Event::Expected(_)
        | Event::LocalTime { .. }
        | Event::Dependencies { .. } => false,
        Event::Started { .. }
        | Event::PolicyChanged(_)
        | Event::Written(_)
        | Event::ForeignWrite { .. }
        | Event::VariantReady { .. }
        | Event::Trial(_)
        | Event::ModelPromoted(_)
        | Event::Declared(_)
        | Event::Withdrawn(_)
        | Event::Paused
        | Event::Resumed
        | Event::Switched(_) => true,
    }
}

/// Puts the actions together from decisions in their order.
pub(crate) fn actions(decisions: &[Recorded]) -> Vec<Action> {
    let mut actions: Vec<Action> = Vec::new();
    let mut places: BTreeMap<LeaseId, usize> = BTreeMap::new();
    for Recorded { at, decision } in decisions {
        match decision {
            Decision::Planned { lease, prediction } => {
                let place = places.get(&lease.id).copied();
                let open = place.and_then(|place| actions.get_mut(place));
                if let Some(action) = open.filter(|action| continues(action, *at, lease)) {
                    action.lease = lease.clone();
                    continue;
                }
                places.insert(lease.id, actions.len());
                actions.push(Action {
                    planned: *at,
                    lease: lease.clone(),
                    prediction: prediction.clone(),
                    dropped: None,
                    events: Vec::new(),
                });
            }
            Decision::Dropped { lease } => {
                if let Some(action) = places.get(lease).and_then(|place| actions.get_mut(*place)) {
                    action.dropped = Some(*at);
                }
            }
            Decision::Event(event) => attach(&mut actions, &places, *at, event),
            _ => {}
        }
    }
    actions
}

/// Whether `lease` is the same action, not one that got the same id after a start from nothing.
fn continues(action: &Action, at: Moment, lease: &Lease) -> bool {
    action.dropped.is_none()
        && action.lease.app == lease.app
        && action.lease.asked.knob() == lease.asked.knob()
        && action.planned.boot <= at.boot
}

fn attach(actions: &mut [Action], places: &BTreeMap<LeaseId, usize>, at: Moment, event: &Event) {
    let action = match event {
        Event::Written(result) => places
            .get(&result.lease)
            .and_then(|place| actions.get_mut(*place)),
        // A foreign write names the knob, not the lease: it is the newest lease on that knob.
        Event::ForeignWrite { app, knob, .. } => actions
            .iter_mut()
            .rev()
            .find(|action| action.lease.app == *app && action.lease.asked.knob() == *knob),
        _ => None,
    };
    if let Some(action) = action {
        action.events.push((at, event.clone()));
    }
}
