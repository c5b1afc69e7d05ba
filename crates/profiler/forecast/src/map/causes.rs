//! What each predictor says, all of them joined, and the predictor that says most.
//!
//! They are taken as independent causes: none of them must come for nothing to come.

use crate::events::Label;
use crate::features::Features;
use crate::model::{EventModel, Model, WINDOWS};
use crate::unit::UnitState;
use crate::usage::Usage;
use tidegate_types::{Source, Unit};

/// An event that goes on goes on in the next second, but for the second in which it ends.
const GOES_ON: f64 = 0.99;
/// Waiting that has just stopped comes back within a window this often.
const COMES_BACK: f64 = 0.1;
/// Kinds of predictions that are calibrated apart: five by what they rest on, each for limits and for what is shared.
pub(crate) const CALIBRATIONS: usize = 10;
/// Onsets after which it shows whether a unit repeats itself.
const SETTLED_EVENTS: f64 = 4.0;
/// From this share of what nothing explains on, the trained model has a voice of its own.
const HEARD_FROM: f64 = 0.5;
/// A predictor that says less than this in every window gives no source.
pub(super) const SPEAKS_FROM: f64 = 0.1;

pub(super) struct Causes {
    pub(super) persistence: f64,
    pub(super) periodic: [f64; WINDOWS],
    pub(super) declared: [f64; WINDOWS],
    pub(super) scheduled: [f64; WINDOWS],
    pub(super) upstream: [f64; WINDOWS],
    pub(super) classifier: [f64; WINDOWS],
    pub(super) demand: [f64; WINDOWS],
    /// Whether the trained model is part of what the classifier says.
    pub(super) trained: bool,
}

impl Causes {
    pub(super) fn joined(&self) -> [f64; WINDOWS] {
        std::array::from_fn(|window| {
            let none = (1.0 - self.persistence)
                * (1.0 - self.periodic[window])
                * (1.0 - self.declared[window])
                * (1.0 - self.scheduled[window])
                * (1.0 - self.upstream[window])
                * (1.0 - self.unannounced(window));
            (1.0 - none).clamp(0.0, 1.0)
        })
    }

    /// The event model and the sum of demands both speak of what nobody named: they are not two causes.
    fn unannounced(&self, window: usize) -> f64 {
        self.classifier[window].max(self.demand[window])
    }

    /// The predictor that says most, in the shortest window in which any says something.
    pub(super) fn basis(&self) -> Source {
        let classifier = if self.trained {
            Source::Trained
        } else {
            Source::Classifier
        };
        let mut strongest = classifier;
        for window in 0..WINDOWS {
            let said = [
                (self.persistence, Source::Persistence),
                (self.declared[window], Source::Declared),
                (self.upstream[window], Source::Upstream),
                (self.periodic[window], Source::Periodic),
                (self.scheduled[window], Source::Scheduled),
                (self.classifier[window], classifier),
                (self.demand[window], Source::Demand),
            ];
            let mut most = 0.0;
            for (probability, source) in said {
                if probability > most {
                    (most, strongest) = (probability, source);
                }
            }
            if most >= SPEAKS_FROM {
                break;
            }
        }
        strongest
    }
}

/// The calibration that a prediction belongs to: of repeating bursts, of the event model, of signs that come before, of
/// demand against what there is, of the trained model. What many share behaves otherwise than a limit. Announced and
/// present events need none. What event models say counts where no pattern is there to be found: the first onsets of
/// those that repeat themselves would alarm the others.
pub(super) fn calibration_of(basis: Source, unit: &Unit, is_irregular: bool) -> Option<usize> {
    let kind = match basis {
        Source::Periodic => 0,
        Source::Classifier if is_irregular => 1,
        Source::Scheduled | Source::Upstream => 2,
        Source::Demand => 3,
        Source::Trained if is_irregular => 4,
        Source::Classifier | Source::Trained | Source::Declared | Source::Persistence | Source::Reactive => {
            return None;
        }
    };
    Some(2 * kind + usize::from(!matches!(unit, Unit::Limit(..))))
}

/// Whether enough events came without a pattern in them.
pub(super) fn is_irregular(state: &UnitState) -> bool {
    state.events >= SETTLED_EVENTS && !state.periodic.speaks()
}

/// What goes on, or has just stopped.
pub(super) fn persistence(state: &UnitState) -> f64 {
    match state.labeller.label() {
        Label::Ongoing => GOES_ON,
        Label::Ending => COMES_BACK,
        Label::Rising => state.labeller.confirmation_rate(),
        Label::Quiet | Label::Unknown => 0.0,
    }
}

/// What the event model says; onsets that an unproved pattern claims count only as far as that may be coincidence.
pub(super) fn classifier(state: &UnitState, model: &Model, features: &Features) -> [f64; WINDOWS] {
    let said = model.probabilities(features);
    let Some((onsets, alive)) = state.periodic.unproved() else {
        return said;
    };
    let otherwise = model.probabilities(&features.without(onsets, state.history.onsets()));
    std::array::from_fn(|window| alive * otherwise[window] + (1.0 - alive) * said[window])
}

/// What the trained model adds: it sees every burst, so it is heard as far as no pattern explains them. The simple
/// model's word, both together, and whether the trained one has a voice of its own.
pub(super) fn with_trained(
    state: &UnitState,
    usage: &Usage,
    simple: [f64; WINDOWS],
) -> ([f64; WINDOWS], bool) {
    let Some(joined) = usage.joined(state.told.as_ref(), &simple) else {
        return (simple, false);
    };
    let coincidence = state.periodic.unproved().map_or(1.0, |(_, alive)| 1.0 - alive);
    let heard = (1.0 - state.periodic.explained_share()) * coincidence;
    let said = std::array::from_fn(|window| simple[window] + heard * (joined[window] - simple[window]));
    (said, heard >= HEARD_FROM)
}

/// What rises upstream, or timers, say of the time up to `until_s`.
pub(super) fn led(state: &UnitState, of_rises: bool, until_s: f64) -> f64 {
    let onsets_per_s = state.history.onsets_per_s();
    state
        .leads
        .probability(of_rises, onsets_per_s, state.quiet_until_s, until_s)
}
