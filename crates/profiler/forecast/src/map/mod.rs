//! One unit's entry of the map: several predictors, one honest probability per window.
//!
//! What goes on (persistence), what repeats (periodic), what was announced (declared) and what the event model
//! sees are taken as independent causes: none of them must come for nothing to come. The result is calibrated by
//! what the same kind of prediction has meant, and made to grow with the window. An entry describes one event: the
//! one that goes on, else the next one; `onset` and `end` belong together.

mod about;
mod causes;
mod peak;
mod reason;
mod said;
mod times;

pub(crate) use about::{About, Shared};
pub(crate) use causes::CALIBRATIONS;

use crate::declared::Announced;
use crate::events::Label;
use crate::model::WINDOWS;
use crate::score::Prediction;
use crate::sums::Asked;
use crate::unit::UnitState;
use peak::peak;
use reason::reason;
use said::{EVIDENCE_EVERY_S, Said, say};
use tidegate_types::{BootTime, MapEntry, Moment, PredictionId, Source, Unit, WindowProbability};
use times::{Next, times};

/// An announced or repeating onset is named from this probability on.
const ONSET_FROM: f64 = 0.1;
/// How long the prediction of a unit without events stands.
const STANDS_S: f64 = 60.0;

/// The entry of `unit`, and the prediction to score later, unless an earlier one still stands. A new prediction takes
/// its name from `next`.
pub(crate) fn entry(
    next: &mut u64,
    unit: &Unit,
    state: &UnitState,
    about: About,
    now: Moment,
    shared: &Shared,
) -> (MapEntry, Option<Prediction>) {
    let now_s = now.boot.seconds();
    let (told, prediction) = if let Some(last) = standing(state, about.announced, now) {
        (Told::again(last), None)
    } else {
        let said = say(unit, state, &about, now, shared);
        let prediction = predict(PredictionId(*next), &said, state, now_s);
        *next += 1;
        (Told::again(&prediction), Some(prediction))
    };
    let demoted = state.scorer.demoted;
    let next_burst = state.periodic.next(state.quiet_until_s).filter(|_| !demoted);
    let announced = about
        .announced
        .filter(|announced| announced.probability >= ONSET_FROM);
    let onsets_per_s = state.history.onsets_per_s();
    let led = state
        .leads
        .next(onsets_per_s, state.quiet_until_s, ONSET_FROM)
        .filter(|_| !demoted);
    let next = Next {
        burst: next_burst.as_ref(),
        announced,
        led: led.as_ref(),
    };
    let times = times(state, &next, now_s);
    let until_s = times.map_or(f64::INFINITY, |(onset, _)| onset.q90 - now_s);
    let asked_peak = about.asked.peak_within(shared.windows_s, until_s);
    let peak = peak(state, announced, asked_peak);
    let entry = MapEntry {
        id: told.id,
        unit: unit.clone(),
        windows: windows(&told, about.asked, shared),
        confidence: told.confidence.into(),
        onset: times.map(|(onset, _)| onset),
        end: times.map(|(_, end)| end),
        peak: peak.map(|(peak, _)| peak),
        peak_censored: peak.is_some_and(|(_, censored)| censored),
        reason: reason(state, told.source, &next, &about, shared.usage, now_s),
        drivers: about.drivers,
        source: told.source,
        trained: state.is_trained(),
        ongoing_since: state
            .labeller
            .open()
            .map(|open| BootTime::from_seconds(open.begin_s)),
        ebbing: state.labeller.label() == Label::Ending,
        demoted,
    };
    let prediction = prediction.map(|prediction| Prediction {
        onset_s: entry.onset.filter(|_| prediction.quiet).map(|onset| onset.q50),
        onset_around_s: entry.onset.map_or([0.0; 2], |onset| {
            [onset.q50 - onset.q10, onset.q90 - onset.q50].map(|around_s| around_s as f32)
        }),
        ..prediction
    });
    (entry, prediction)
}

/// A prediction of a unit that never had an event stands for a minute: saying the same every ten seconds would
/// score the same guess six times.
fn standing<'a>(state: &'a UnitState, announced: Option<&Announced>, now: Moment) -> Option<&'a Prediction> {
    let quiet = state.labeller.label() == Label::Quiet
        && state.events == 0.0
        && announced.is_none()
        && state.leads.is_empty();
    let last = state.scorer.last().filter(|last| quiet && last.quiet)?;
    (now.boot.seconds() - last.made_s < STANDS_S).then_some(last)
}

fn predict(id: PredictionId, said: &Said, state: &UnitState, now_s: f64) -> Prediction {
    let quiet = state.labeller.label() == Label::Quiet;
    let last_evidence_s = state.scorer.last_evidence_s().unwrap_or(f64::NEG_INFINITY);
    let single = |probabilities: [f64; WINDOWS]| probabilities.map(|probability| probability as f32);
    Prediction {
        id,
        made_s: now_s,
        shown: single(said.shown),
        forecast: single(said.forecast),
        raw: single(said.raw),
        confidence: said.confidence as f32,
        source: said.source,
        calibration: said.calibration,
        onset_s: None,
        onset_around_s: [0.0; 2],
        quiet,
        evidence: (quiet && now_s - last_evidence_s >= EVIDENCE_EVERY_S).then(|| Box::new(said.evidence)),
        spacing_s: state
            .scorer
            .last()
            .map_or(10.0, |last| (now_s - last.made_s).clamp(0.0, 60.0) as f32),
    }
}

fn windows(told: &Told, asked: &Asked, shared: &Shared) -> Vec<WindowProbability> {
    let shown = shared.windows_s.into_iter().zip(told.shown).zip(asked.peaks);
    let window = |((window_s, probability), peak): ((u32, f32), _)| WindowProbability {
        window_s,
        probability: probability.into(),
        peak,
    };
    shown.map(window).collect()
}

/// The part of a prediction that the map shows.
struct Told {
    id: PredictionId,
    shown: [f32; WINDOWS],
    confidence: f32,
    source: Source,
}

impl Told {
    fn again(prediction: &Prediction) -> Self {
        Self {
            id: prediction.id,
            shown: prediction.shown,
            confidence: prediction.confidence,
            source: prediction.source,
        }
    }
}
