//! Every prediction is judged when its windows close, for ever.
//!
//! Untreated outcomes make skill, calibration and demotion; treated and unknown ones are reported apart. Skill is
//! the Brier score against the unit's own climatology. A unit whose predictions, made while it was quiet, cost more
//! than climatology by `FALL` whole windows is demoted to the reactive rule, unless the onsets that it named mostly
//! came: where bursts are closer than the window, climatology is hard to beat and yet knows no onset. Its forecast is
//! still scored in the shadow, and promoted again once it has saved `RISE` whole windows or its onsets come again.

use crate::features::Features;
use crate::model::WINDOWS;
use crate::periodic::Named;
use crate::ring::push;
use crate::timeline::{Happened, Timeline};
use crate::usage::Witness;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use tidegate_types::{BootTime, Outcome, PredictionId, Source, Treatment, Unit};

/// Open predictions of one unit: an hour of maps every ten seconds and as many again for events.
const OPEN_MAX: usize = 768;
/// Seconds after a window's end until its labels are final.
const FINAL_S: f64 = 5.0;
/// Excess cost over climatology, in whole wrong windows, that demotes; and the saving that promotes.
const FALL: f64 = 2.5;
const RISE: f64 = 1.5;
/// Onsets named that count as evidence, and the shares of them that must come to stay and to return.
const NAMED_MIN: f64 = 2.5;
const CAME_STAYS: f64 = 0.5;
const CAME_RETURNS: f64 = 0.65;
/// Differences smaller than this per window are noise.
const SLACK: f64 = 0.004;
/// Worth of the past of a unit's scores, in independent windows.
const MEMORY: f64 = 300.0;
/// Bins of the reliability table.
pub const RELIABILITY_BINS: usize = 10;

/// One prediction that waits for its windows to close.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Prediction {
    pub(crate) id: PredictionId,
    pub(crate) made_s: f64,
    /// What was shown.
    pub(crate) shown: [f32; WINDOWS],
    /// What the forecast said, also while demoted.
    pub(crate) forecast: [f32; WINDOWS],
    /// The same before calibration.
    pub(crate) raw: [f32; WINDOWS],
    pub(crate) confidence: f32,
    pub(crate) source: Source,
    /// The calibration that it belongs to, by what it rested on, also while demoted.
    pub(crate) calibration: Option<usize>,
    pub(crate) onset_s: Option<f64>,
    /// How much earlier and later than that it may be, as the 10 % and 90 % quantiles.
    pub(crate) onset_around_s: [f32; 2],
    /// Nothing went on when it was made.
    pub(crate) quiet: bool,
    /// Kept for the rows that the event models learn from.
    pub(crate) evidence: Option<Box<Evidence>>,
    /// Seconds since the prediction before, for the worth of overlapping windows.
    pub(crate) spacing_s: f32,
}

/// What event models saw and said.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evidence {
    pub(crate) features: Features,
    /// Where the trained model spoke.
    pub(crate) witness: Option<Witness>,
    /// Seconds that the row stands for.
    pub(crate) spacing_s: f32,
}

/// A closed window that may teach.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lesson {
    pub(crate) window: usize,
    pub(crate) raw: f64,
    /// The calibration that it belongs to.
    pub(crate) calibration: Option<usize>,
    pub(crate) quiet: bool,
    pub(crate) evidence: Option<Evidence>,
    /// Worth of the evidence, of which there is less than of predictions.
    pub(crate) evidence_worth: f64,
    pub(crate) event: bool,
    pub(crate) explained: bool,
    pub(crate) worth: f64,
}

/// Scores of one window length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WindowScore {
    /// Worth of the rows in it, in independent windows.
    pub worth: f64,
    /// Mean squared error of the probabilities.
    pub brier: f64,
    /// The same of the unit's own climatology.
    pub climatology_brier: f64,
    /// Share of windows with an event.
    pub base_rate: f64,
}

impl WindowScore {
    /// Brier skill: 1 is perfect, 0 no better than climatology; `None` before there is anything to compare.
    pub fn skill(&self) -> Option<f64> {
        (self.worth > 0.0 && self.climatology_brier > 0.0).then(|| 1.0 - self.brier / self.climatology_brier)
    }

    pub(crate) fn add(&mut self, probability: f64, event: bool, worth: f64) -> f64 {
        let came = f64::from(u8::from(event));
        // Half a row of each kind, so that the first rows are not perfectly foreseen by their own mean.
        let climatology = (self.base_rate * self.worth + 0.5) / (self.worth + 1.0);
        let (ours, theirs) = ((probability - came).powi(2), (climatology - came).powi(2));
        self.worth = (self.worth + worth).min(MEMORY);
        let pace = worth / self.worth;
        self.brier += pace * (ours - self.brier);
        self.climatology_brier += pace * (theirs - self.climatology_brier);
        self.base_rate += pace * (came - self.base_rate);
        ours - theirs
    }
}

/// One bin of a reliability table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Predictions in it.
    pub count: u64,
    /// Sum of the probabilities that were said.
    pub said: f64,
    /// Predictions that came true.
    pub came: u64,
}

/// What was said against what came, per window and tenth of probability.
pub type Reliability = [[ReliabilityBin; RELIABILITY_BINS]; WINDOWS];

/// The scores of one unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scorer {
    open: VecDeque<Prediction>,
    /// How many of `open` each window has judged.
    judged: [usize; WINDOWS],
    pub(crate) untreated: [WindowScore; WINDOWS],
    /// The reactive rule's climatology while quiet, and our score against it.
    onset: WindowScore,
    fall: f64,
    rise: f64,
    pub(crate) demoted: bool,
    pub(crate) onset_error_s: Option<f64>,
}

/// A change of standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Demoted,
    Promoted,
}

/// What judging brought forth.
#[derive(Default)]
pub(crate) struct Judged {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) lessons: Vec<Lesson>,
    pub(crate) standing: Option<Standing>,
}

impl Scorer {
    /// Remembers a prediction until its windows close.
    pub(crate) fn open(&mut self, prediction: Prediction) {
        if self.open.len() >= OPEN_MAX {
            self.drop_first();
        }
        push(&mut self.open, prediction, OPEN_MAX);
    }

    /// The last prediction that was made, as long as its longest window is open.
    pub(crate) fn last(&self) -> Option<&Prediction> {
        self.open.back()
    }

    /// When evidence was last kept.
    pub(crate) fn last_evidence_s(&self) -> Option<f64> {
        let kept = self
            .open
            .iter()
            .rev()
            .find(|prediction| prediction.evidence.is_some());
        kept.map(|prediction| prediction.made_s)
    }

    fn drop_first(&mut self) {
        self.open.pop_front();
        self.judged
            .iter_mut()
            .for_each(|judged| *judged = judged.saturating_sub(1));
    }

    /// Moves every time by `delta_s`.
    pub(crate) fn shift(&mut self, delta_s: f64) {
        for prediction in &mut self.open {
            prediction.made_s += delta_s;
            prediction.onset_s.iter_mut().for_each(|at_s| *at_s += delta_s);
        }
    }

    /// Mean squared error of the shortest window, where it was scored.
    pub(crate) fn brier(&self) -> Option<(f64, f64)> {
        let score = &self.untreated[0];
        (score.worth > 0.0).then_some((score.brier, score.worth))
    }

    /// Judges the windows that closed by `now_s`.
    pub(crate) fn judge(
        &mut self,
        unit: &Unit,
        now_s: f64,
        windows_s: [u32; WINDOWS],
        timeline: &Timeline,
        named: Named,
        judged: &mut Judged,
    ) {
        for (window, window_s) in windows_s.into_iter().enumerate() {
            while let Some(prediction) = self.open.get(self.judged[window]) {
                let end_s = prediction.made_s + f64::from(window_s);
                if end_s + FINAL_S > now_s {
                    break;
                }
                let happened = timeline.happened(prediction.made_s, end_s);
                judged
                    .outcomes
                    .push(outcome(unit, prediction, window, window_s, &happened));
                let lesson = lesson(prediction, window, window_s, &happened);
                let forecast = f64::from(prediction.forecast[window]);
                self.note_onset(self.judged[window], window, &happened);
                if let Some(lesson) = lesson {
                    judged.standing = self.learn(&lesson, forecast, named).or(judged.standing);
                    judged.lessons.push(lesson);
                }
                self.judged[window] += 1;
            }
        }
        while self.judged[WINDOWS - 1] > 0 {
            self.drop_first();
        }
    }

    fn note_onset(&mut self, place: usize, window: usize, happened: &Happened) {
        let predicted_s = self.open.get(place).and_then(|prediction| prediction.onset_s);
        if let (0, Some(predicted_s), Some(onset_s)) = (window, predicted_s, happened.onset_s) {
            let error_s = (onset_s - predicted_s).abs();
            let mean_s = self.onset_error_s.get_or_insert(error_s);
            *mean_s += 0.1 * (error_s - *mean_s);
        }
    }

    fn learn(&mut self, lesson: &Lesson, forecast: f64, named: Named) -> Option<Standing> {
        self.untreated[lesson.window].add(forecast, lesson.event, lesson.worth);
        if lesson.window != 0 || !lesson.quiet {
            return None;
        }
        let cost = self.onset.add(forecast, lesson.event, lesson.worth);
        self.fall = (self.fall + lesson.worth * (cost - SLACK)).max(0.0);
        self.rise = (self.rise - lesson.worth * (cost + SLACK)).max(0.0);
        let enough = named.all >= NAMED_MIN;
        let stays = enough && named.came >= CAME_STAYS * named.all;
        let returns = enough && named.came >= CAME_RETURNS * named.all;
        if !self.demoted && self.fall > FALL && !stays {
            self.demoted = true;
            self.rise = 0.0;
            return Some(Standing::Demoted);
        }
        if self.demoted && (self.rise > RISE || returns) {
            self.demoted = false;
            self.fall = 0.0;
            return Some(Standing::Promoted);
        }
        None
    }
}

fn outcome(
    unit: &Unit,
    prediction: &Prediction,
    window: usize,
    window_s: u32,
    happened: &Happened,
) -> Outcome {
    Outcome {
        prediction: prediction.id,
        unit: unit.clone(),
        made: BootTime::from_seconds(prediction.made_s),
        window_s,
        probability: prediction.shown[window].into(),
        confidence: prediction.confidence.into(),
        source: prediction.source,
        happened: happened.event,
        treatment: happened.treatment,
        onset_error_s: happened
            .onset_s
            .zip(prediction.onset_s)
            .map(|(onset_s, expected_s)| onset_s - expected_s),
        onset_covered: happened
            .onset_s
            .zip(prediction.onset_s)
            .map(|(onset_s, expected_s)| {
                let [early_s, late_s] = prediction.onset_around_s.map(f64::from);
                (-early_s..=late_s).contains(&(onset_s - expected_s))
            }),
        peak: None,
    }
}

fn lesson(prediction: &Prediction, window: usize, window_s: u32, happened: &Happened) -> Option<Lesson> {
    let event = happened
        .event
        .filter(|_| happened.treatment == Treatment::Untreated)?;
    Some(Lesson {
        window,
        raw: prediction.raw[window].into(),
        calibration: prediction.calibration,
        quiet: prediction.quiet,
        evidence: prediction.evidence.as_deref().copied(),
        evidence_worth: prediction.evidence.as_deref().map_or(0.0, |evidence| {
            (f64::from(evidence.spacing_s) / f64::from(window_s)).clamp(0.0, 1.0)
        }),
        event,
        explained: happened.explained,
        worth: (f64::from(prediction.spacing_s) / f64::from(window_s)).clamp(0.0, 1.0),
    })
}

/// Adds a closed window to a reliability table.
pub(crate) fn tabulate(table: &mut Reliability, window: usize, probability: f64, event: bool) {
    let place = (probability * RELIABILITY_BINS as f64).clamp(0.0, RELIABILITY_BINS as f64 - 1.0) as usize;
    let bin = &mut table[window][place];
    bin.count += 1;
    bin.said += probability;
    bin.came += u64::from(event);
}
