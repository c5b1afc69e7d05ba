//! One unit's entry of the map: several predictors, one honest probability per window.
//!
//! What goes on (persistence), what repeats (periodic), what was announced (declared) and what the event model
//! sees are taken as independent causes: none of them must come for nothing to come. The result is calibrated by
//! what the same kind of prediction has meant, and made to grow with the window. An entry describes one event: the
//! one that goes on, else the next one; `onset` and `end` belong together.

use crate::calibrate::Calibration;
use crate::confidence::{Grounds, confidence};
use crate::declared::Announced;
use crate::events::Label;
use crate::features::{Features, Wall};
use crate::leads::{Led, Sign};
use crate::model::{EventModel, Model, WINDOWS};
use crate::models::calendar::Calendar as LocalTime;
use crate::periodic::Expected;
use crate::score::{Evidence, Prediction};
use crate::sums::Asked;
use crate::unit::{Peak, UnitState};
use crate::usage::Usage;
use tidegate_types::{
    BootTime, Driver, MapEntry, Moment, PredictionId, Quantiles, Source, Unit, WindowProbability,
};

/// An event that goes on goes on in the next second, but for the second in which it ends.
const GOES_ON: f64 = 0.99;
/// Waiting that has just stopped comes back within a window this often.
const COMES_BACK: f64 = 0.1;
/// A predictor that says less than this in every window gives no source.
const SPEAKS_FROM: f64 = 0.1;
/// An announced or repeating onset is named from this probability on.
const ONSET_FROM: f64 = 0.1;
/// How long events last before any was seen.
const UNSEEN_DURATION_S: Quantiles = Quantiles {
    q10: 2.0,
    q50: 10.0,
    q90: 60.0,
};
/// Peaks that say whether demand is still cut off.
const RECENT_PEAKS: usize = 4;
/// Demand over a bound that cuts it off, where nothing else is known of it.
const CENSORED_Q50: f64 = 1.25;
const CENSORED_Q90: f64 = 2.0;
/// How long the prediction of a unit without events stands.
const STANDS_S: f64 = 60.0;
/// Evidence is kept with one prediction a minute, for the event models to learn from.
const EVIDENCE_EVERY_S: f64 = 60.0;
/// From this share of what nothing explains on, the trained model has a voice of its own.
const HEARD_FROM: f64 = 0.5;

/// Kinds of predictions that are calibrated apart: five by what they rest on, each for limits and for what is shared.
pub(crate) const CALIBRATIONS: usize = 10;

/// What is known of a unit besides its own past.
pub(crate) struct About<'a> {
    pub(crate) announced: Option<&'a Announced>,
    /// Largest share first.
    pub(crate) drivers: Vec<Driver>,
    /// What the apps ask for together.
    pub(crate) asked: &'a Asked,
}

/// What all units share.
pub(crate) struct Shared<'a> {
    pub(crate) windows_s: [u32; WINDOWS],
    pub(crate) model: &'a Model,
    pub(crate) usage: &'a Usage,
    pub(crate) local_time: &'a LocalTime,
    /// See [`calibration_of`].
    pub(crate) calibrations: &'a [Calibration; CALIBRATIONS],
}

/// Onsets after which it shows whether a unit repeats itself.
const SETTLED_EVENTS: f64 = 4.0;

/// The calibration that a prediction belongs to: of repeating bursts, of the event model, of signs that come before, of
/// demand against what there is, of the trained model. What many share behaves otherwise than a limit. Announced and
/// present events need none. What event models say counts where no pattern is there to be found: the first onsets of
/// those that repeat themselves would alarm the others.
fn calibration_of(basis: Source, unit: &Unit, is_irregular: bool) -> Option<usize> {
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
fn is_irregular(state: &UnitState) -> bool {
    state.events >= SETTLED_EVENTS && !state.periodic.speaks()
}

struct Causes {
    persistence: f64,
    periodic: [f64; WINDOWS],
    declared: [f64; WINDOWS],
    scheduled: [f64; WINDOWS],
    upstream: [f64; WINDOWS],
    classifier: [f64; WINDOWS],
    demand: [f64; WINDOWS],
    /// Whether the trained model is part of what the classifier says.
    trained: bool,
}

impl Causes {
    fn joined(&self) -> [f64; WINDOWS] {
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
    fn basis(&self) -> Source {
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

fn persistence(state: &UnitState) -> f64 {
    match state.labeller.label() {
        Label::Ongoing => GOES_ON,
        Label::Ending => COMES_BACK,
        Label::Rising => state.labeller.confirmation_rate(),
        Label::Quiet | Label::Unknown => 0.0,
    }
}

/// What the event model says; onsets that an unproved pattern claims count only as far as that may be coincidence.
fn classifier(state: &UnitState, model: &Model, features: &Features) -> [f64; WINDOWS] {
    let said = model.probabilities(features);
    let Some((onsets, alive)) = state.periodic.unproved() else {
        return said;
    };
    let otherwise = model.probabilities(&features.without(onsets, state.history.onsets()));
    std::array::from_fn(|window| alive * otherwise[window] + (1.0 - alive) * said[window])
}

/// What the trained model adds: it sees every burst, so it is heard as far as no pattern explains them. The simple
/// model's word, both together, and whether the trained one has a voice of its own.
fn with_trained(state: &UnitState, usage: &Usage, simple: [f64; WINDOWS]) -> ([f64; WINDOWS], bool) {
    let Some(joined) = usage.joined(state.told.as_ref(), &simple) else {
        return (simple, false);
    };
    let coincidence = state.periodic.unproved().map_or(1.0, |(_, alive)| 1.0 - alive);
    let heard = (1.0 - state.periodic.explained_share()) * coincidence;
    let said = std::array::from_fn(|window| simple[window] + heard * (joined[window] - simple[window]));
    (said, heard >= HEARD_FROM)
}

/// What rises upstream, or timers, say of the time up to `until_s`.
fn led(state: &UnitState, of_rises: bool, until_s: f64) -> f64 {
    let onsets_per_s = state.history.onsets_per_s();
    state
        .leads
        .probability(of_rises, onsets_per_s, state.quiet_until_s, until_s)
}

fn nested(mut probabilities: [f64; WINDOWS]) -> [f64; WINDOWS] {
    for window in 1..WINDOWS {
        probabilities[window] = probabilities[window].max(probabilities[window - 1]);
    }
    probabilities
}

/// What is said of one unit.
struct Said {
    shown: [f64; WINDOWS],
    forecast: [f64; WINDOWS],
    raw: [f64; WINDOWS],
    calibration: Option<usize>,
    source: Source,
    confidence: f64,
    evidence: Evidence,
}

fn say(unit: &Unit, state: &UnitState, about: &About, now: Moment, shared: &Shared) -> Said {
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

/// From this share of explained onsets on, a unit's averages say nothing about its next minute.
const EXPLAINED: f64 = 0.7;

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

/// An event is worth so many windows of watching: three are as good as an hour.
const EVENT_WINDOWS: f64 = 20.0;

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

/// A share of the sorted `values`, widened where they are few.
fn quantile(values: &mut [f64], rank: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let place = rank * (values.len() as f64 - 1.0);
    let (low, high) = (
        *values.get(place.floor() as usize)?,
        *values.get(place.ceil() as usize)?,
    );
    let widened = 1.0 + (rank - 0.5) * 0.5 / values.len() as f64;
    Some((low + (high - low) * place.fract()) * widened)
}

fn quantiles(values: &mut [f64]) -> Option<Quantiles> {
    Some(Quantiles {
        q10: quantile(values, 0.1)?,
        q50: quantile(values, 0.5)?,
        q90: quantile(values, 0.9)?,
    })
}

fn durations(state: &UnitState, next: Option<&Expected>) -> Quantiles {
    let of_pattern = next
        .map(|expected| expected.pattern.durations_s())
        .filter(|list| list.len() >= 2);
    let mut values = of_pattern.unwrap_or(&state.durations_s).to_vec();
    quantiles(&mut values).unwrap_or(UNSEEN_DURATION_S)
}

/// What is expected next, from each side that names a time.
struct Next<'a> {
    burst: Option<&'a Expected<'a>>,
    announced: Option<&'a Announced>,
    led: Option<&'a Led<'a>>,
}

/// Onset and end of the event that the entry is about.
fn times(state: &UnitState, next: &Next, now_s: f64) -> Option<(Quantiles, Quantiles)> {
    if let Some(open) = state.labeller.open() {
        let onset = Quantiles {
            q10: open.begin_s,
            q50: open.begin_s,
            q90: open.begin_s,
        };
        return Some((onset, end_of_ongoing(state, open.begin_s, now_s)));
    }
    let lasting = |onset: Quantiles, lasts: Quantiles| {
        let end = Quantiles {
            q10: onset.q10 + lasts.q10,
            q50: onset.q50 + lasts.q50,
            q90: onset.q90 + lasts.q90,
        };
        (onset, end)
    };
    let repeated = next
        .burst
        .map(|expected| lasting(expected.slot.onset, durations(state, next.burst)));
    let led = next.led.map(|led| lasting(led.onset, durations(state, None)));
    let told = next.announced.map(|announced| (announced.onset, announced.end));
    // Of those at the same time, what was announced comes first: it knows its end.
    let all = [told, led, repeated].into_iter().flatten();
    all.min_by(|left, right| left.0.q50.total_cmp(&right.0.q50))
}

fn end_of_ongoing(state: &UnitState, begin_s: f64, now_s: f64) -> Quantiles {
    let elapsed_s = now_s - begin_s;
    let mut longer: Vec<f64> = state
        .durations_s
        .iter()
        .copied()
        .filter(|lasts_s| *lasts_s > elapsed_s)
        .collect();
    let lasts = quantiles(&mut longer).unwrap_or({
        // Longer than any before: what has lasted long goes on about as long again.
        Quantiles {
            q10: elapsed_s * 1.1 + 0.5,
            q50: elapsed_s * 2.0 + 2.0,
            q90: elapsed_s * 4.0 + 10.0,
        }
    });
    Quantiles {
        q10: begin_s + lasts.q10,
        q50: begin_s + lasts.q50,
        q90: begin_s + lasts.q90,
    }
}

/// The expected peak, and whether it is told from peaks that were cut off.
fn peak(
    state: &UnitState,
    announced: Option<&Announced>,
    asked: Option<Quantiles>,
) -> Option<(Quantiles, bool)> {
    if let Some(cores) = announced.and_then(|announced| announced.cores) {
        let said = Quantiles {
            q10: cores * 0.8,
            q50: cores,
            q90: cores * 1.2,
        };
        return Some((said, false));
    }
    let mut peaks = state.peaks.clone();
    peaks.extend(state.labeller.open().map(|open| Peak {
        demand: open.peak_demand,
        censored: open.censored,
    }));
    let whole = |peak| (peak, false);
    let seen = asked.map(whole).or_else(|| peak_seen(&peaks));
    seen.or_else(|| peak_told(state).map(whole)).or_else(|| {
        let highest = state.history.highest_ratio() * state.capacity?;
        let load = state.load?;
        let seen = Quantiles {
            q10: load.min(highest),
            q50: highest,
            q90: highest * 1.1,
        };
        highest.is_finite().then_some((seen, false))
    })
}

/// The highest load of the coming hour as the trained model has it, in the unit's own measure.
fn peak_told(state: &UnitState) -> Option<Quantiles> {
    let measure = state.capacity.filter(|capacity| *capacity > 0.0).unwrap_or(1.0);
    let [q10, q50, q90] = state
        .told?
        .height
        .map(|height| f64::from(height).max(0.0) * measure);
    Some(Quantiles { q10, q50, q90 })
}

/// Peaks that were seen whole; where the last ones were cut off at a higher bound, only that bound is known, and what
/// lies above it is taken to be scale-free: half as likely for each quarter more.
fn peak_seen(peaks: &[Peak]) -> Option<(Quantiles, bool)> {
    let mut whole: Vec<f64> = peaks
        .iter()
        .filter(|peak| !peak.censored)
        .map(|peak| peak.demand)
        .collect();
    let recent = &peaks[peaks.len().saturating_sub(RECENT_PEAKS)..];
    let bound = recent
        .iter()
        .filter(|peak| peak.censored)
        .map(|peak| peak.demand)
        .fold(0.0, f64::max);
    let highest = whole.iter().copied().fold(0.0, f64::max);
    if bound > highest {
        let above = Quantiles {
            q10: bound,
            q50: bound * CENSORED_Q50,
            q90: bound * CENSORED_Q90,
        };
        return Some((above, true));
    }
    quantiles(&mut whole).map(|peak| (peak, false))
}

/// What a sign says, in words.
fn led_reason(led: &Led, now_s: f64) -> String {
    let (lag_s, spread_s) = led.lead.lag().unwrap_or((0.0, 0.0));
    let (hits, all) = led.lead.followed();
    let often = format!("{hits:.0} of {all:.0} times");
    match led.lead.sign() {
        Sign::Rise(app) => format!(
            "{app} upstream rose {:.0} s ago; this follows after {lag_s:.1} s (±{spread_s:.1} s, {often})",
            now_s - led.at_s
        ),
        Sign::Fire(name) if led.at_s > now_s => {
            format!(
                "scheduled: {name}, in {:.0} s (contended {often})",
                led.at_s - now_s
            )
        }
        Sign::Fire(name) => {
            format!(
                "scheduled: {name}, {:.0} s ago (contended {often})",
                now_s - led.at_s
            )
        }
    }
}

/// What apps ask for together against what there is, in words.
fn asked_reason(about: &About) -> Option<String> {
    let capacity = about.asked.raw.capacity?;
    let peak = about.asked.peaks.iter().rev().find_map(|peak| *peak)?;
    let named = about.drivers.iter().take(3);
    let named: Vec<String> = named
        .map(|driver| format!("{} {:.0} %", driver.app, 100.0 * driver.share))
        .collect();
    Some(format!(
        "demand may reach {} (q90) of {}: {}",
        amount(peak.q90),
        amount(capacity),
        named.join(", ")
    ))
}

/// Three digits, with k, M or G where it is large.
fn amount(value: f64) -> String {
    let scales = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    let scale = scales.into_iter().find(|(scale, _)| value.abs() >= *scale);
    let (scale, letter) = scale.unwrap_or((1.0, ""));
    format!("{:.2}{letter}", value / scale)
}

/// What was announced is named beside another cause from so many seconds before it on: the longest window.
const NAMED_AHEAD_S: f64 = 3600.0;

/// Why, and by name what was announced, whatever says most at the moment.
fn reason(
    state: &UnitState,
    source: Source,
    next: &Next,
    about: &About,
    usage: &Usage,
    now_s: f64,
) -> String {
    let said = |announced: &Announced| {
        format!(
            "announced: {}, in {:.0} s",
            announced.name,
            announced.onset.q50 - now_s
        )
    };
    if let (Source::Demand, Some(reason)) = (source, asked_reason(about)) {
        return reason;
    }
    match (source, next.announced) {
        (Source::Declared, Some(announced)) => said(announced),
        (_, Some(announced)) if announced.onset.q50 - now_s <= NAMED_AHEAD_S => {
            format!(
                "{}; {}",
                cause(state, source, next, usage, now_s),
                said(announced)
            )
        }
        _ => cause(state, source, next, usage, now_s),
    }
}

fn cause(state: &UnitState, source: Source, next: &Next, usage: &Usage, now_s: f64) -> String {
    if let (Source::Upstream | Source::Scheduled, Some(led)) = (source, next.led) {
        return led_reason(led, now_s);
    }
    match (source, next.burst) {
        (Source::Reactive, _) => {
            "its forecasts have been no better than its average: only the present is used".to_owned()
        }
        (Source::Persistence, _) => match state.labeller.open() {
            Some(open) => format!("contended for {:.0} s", (now_s - open.begin_s).max(0.0)),
            None => "waiting has begun".to_owned(),
        },
        (_, Some(expected)) => {
            let pattern = expected.pattern;
            let skipped = 1.0 - pattern.hit_rate();
            let missed = match pattern.missed_in_a_row() {
                0 => String::new(),
                missed => format!(", {missed} missed just now"),
            };
            format!(
                "a burst every {:.1} s (±{:.1} s, {:.0} % left out{missed}); the next in {:.0} s",
                pattern.period_s(),
                pattern.jitter_s(),
                skipped * 100.0,
                expected.slot.onset.q50 - now_s
            )
        }
        _ if next.led.is_some() => next.led.map_or_else(String::new, |led| led_reason(led, now_s)),
        (Source::Trained, None) => format!("{}; {}", usage.origin(), watched(state)),
        _ => watched(state),
    }
}

/// What was seen of a unit that names no next event.
fn watched(state: &UnitState) -> String {
    if state.events > 0.0 {
        return unexplained(state);
    }
    let hours = state.history.watched_s() / 3600.0;
    let seen = format!("no event in {hours:.1} h of watching");
    match state.like.as_ref().filter(|_| !state.is_trained()) {
        Some(like) => format!("{like}; {seen}"),
        None => seen,
    }
}

/// Why a unit that had events names no next one.
fn unexplained(state: &UnitState) -> String {
    let silent = state
        .periodic
        .strongest()
        .filter(|pattern| pattern.missed_in_a_row() > 0);
    if let Some(pattern) = silent {
        let (period_s, missed) = (pattern.period_s(), pattern.missed_in_a_row());
        return format!("its burst every {period_s:.1} s has not come {missed} times in a row");
    }
    let events = state.events * (1.0 - state.periodic.explained_share());
    let hours = state.history.watched_s() / 3600.0;
    format!("{events:.0} events in {hours:.1} h of watching that nothing explains")
}
