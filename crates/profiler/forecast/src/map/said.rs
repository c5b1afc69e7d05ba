//! What is said of one unit: the causes joined, calibrated, made to grow with the window, and how sure that is.

use super::about::{About, Shared};
use super::causes::{
    Causes, SPEAKS_FROM, calibration_of, classifier, is_irregular, led, persistence, with_trained,
};
use crate::confidence::{Grounds, confidence};
use crate::features::{Features, Wall};
use crate::model::WINDOWS;
use crate::score::Evidence;
use crate::unit::UnitState;
use tidegate_types::{Moment, Source, Unit};

/// From this share of explained onsets on, a unit's averages say nothing about its next minute.
const EXPLAINED: f64 = 0.7;
/// An event is worth so many windows of watching: three are as good as an hour.
const EVENT_WINDOWS: f64 = 20.0;
/// Evidence is kept with one prediction a minute, for the event models to learn from.
pub(super) const EVIDENCE_EVERY_S: f64 = 60.0;

/// What is said of one unit.
pub(super) struct Said {
    pub(super) shown: [f64; WINDOWS],
    pub(super) forecast: [f64; WINDOWS],
    pub(super) raw: [f64; WINDOWS],
    pub(super) calibration: Option<usize>,
    pub(super) source: Source,
    pub(super) confidence: f64,
    pub(super) evidence: Evidence,
}

pub(super) fn say(unit: &Unit, state: &UnitState, about: &About, now: Moment, shared: &Shared) -> Said {
    let until = |window: usize| now.boot.seconds() + f64::from(shared.windows_s[window]);
    let wall = Wall::new(shared.local_time, now.utc_ms);
    let features = state.history.features(now.boot.seconds(), wall);
    let simple = classifier(state, shared.model, &features);
    let (classifier, trained) = with_trained(state, shared.usage, simple);
    let causes = Causes {
        persistence: persistence(state),
        periodic: std::array::from_fn(|window| {
            state.periodic.probability(state.quiet_until_s, until(window))
        }),
        declared: std::array::from_fn(|window| {
            let announced = about.announced;
            announced.map_or(0.0, |announced| announced.probability_until(until(window)))
        }),
        scheduled: std::array::from_fn(|window| led(state, false, until(window))),
        upstream: std::array::from_fn(|window| led(state, true, until(window))),
        classifier,
        demand: about.asked.raw.exceeds,
        trained,
    };
    let raw = causes.joined();
    let basis = causes.basis();
    let calibration = calibration_of(basis, unit, is_irregular(state));
    let forecast = nested(match calibration {
        Some(kind) => std::array::from_fn(|window| shared.calibrations[kind].apply(window, raw[window])),
        None => raw,
    });
    let base = state.scorer.untreated.map(|score| score.base_rate);
    let reactive = || nested(base.map(|rate| 1.0 - (1.0 - rate) * (1.0 - causes.persistence)));
    let demoted = state.scorer.demoted;
    let predictors = predictors(state, &causes, forecast[0], &features);
    Said {
        shown: if demoted { reactive() } else { forecast },
        forecast,
        raw,
        calibration,
        source: if demoted { Source::Reactive } else { basis },
        confidence: confidence(&grounds(state, forecast[0], &predictors, &features)),
        evidence: Evidence {
            features,
            witness: state.told.as_ref().map(|told| told.witness(&simple)),
            spacing_s: EVIDENCE_EVERY_S as f32,
        },
    }
}

fn nested(mut probabilities: [f64; WINDOWS]) -> [f64; WINDOWS] {
    for window in 1..WINDOWS {
        probabilities[window] = probabilities[window].max(probabilities[window - 1]);
    }
    probabilities
}

/// What predictors that do not know of each other say of the shortest window.
fn predictors(state: &UnitState, causes: &Causes, forecast: f64, features: &Features) -> Vec<f64> {
    if state.periodic.speaks() && state.periodic.explained_share() >= EXPLAINED {
        return vec![causes.periodic[0].max(causes.persistence), forecast];
    }
    let average = state.scorer.untreated[0].base_rate;
    let foretold = causes.upstream[0].max(causes.declared[0]);
    if foretold >= SPEAKS_FROM {
        return vec![foretold, forecast];
    }
    let recent = f64::from(features.values[4]);
    let mut said = vec![forecast, average];
    said.extend(Some(recent).filter(|share| share.is_finite()));
    said
}

fn grounds<'a>(state: &UnitState, chance: f64, predictors: &'a [f64], features: &Features) -> Grounds<'a> {
    let known = features.values.iter().filter(|value| !value.is_nan()).count();
    Grounds {
        chance,
        predictors,
        windows: EVENT_WINDOWS * state.events + state.history.watched_s() / 60.0,
        known_inputs: known as f64 / features.values.len() as f64,
        past: state.scorer.brier(),
    }
}
