//! One onset and what is done about it, from the moment it is foreseen (or seen) to its end.
//!
//! An episode is ahead, then active; it ends when its contention was seen to end, when no onset came by the late
//! quantile of the forecast, or at the late quantile of the end. While it is ahead it follows the map;
//! once it is active it keeps what it was decided on, so that a new map does not move a knob twice.

use serde::{Deserialize, Serialize};
use tidegate_types::{BootTime, Knob, MapEntry, PredictionId, Quantiles, Source, Trigger, Unit};

use crate::policy::Strategy;

/// An onset that came right before its late quantile shows in the sample after it, in seconds.
const ONSET_GRACE_S: f64 = 1.0;
/// How long an observed contention is held before it has to show again, in seconds.
pub(crate) const HOLD_S: f64 = 15.0;
/// Usage below this share of the found limit means that the limit would do again.
const FITS_SHARE: f64 = 0.85;
/// Usage at or above this share of the found limit means that the limit would bind.
const BINDS_SHARE: f64 = 0.95;
/// When the end is due, usage below this share of its peak in the episode means that it ended.
const FALLEN_SHARE: f64 = 0.7;
/// Waiting that is seen sooner after a raise may still be from before it, in seconds: two enforcement periods and a poll.
const TAKEN_UP_S: f64 = 0.3;
/// Time before a foreseen end in which a sign of contention moves it, in seconds: two samples and a late tick.
const NEARLY_OVER_S: f64 = 3.0;
/// Shorter samples say too little.
const SHORTEST_SAMPLE_S: f64 = 0.3;

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Episode {
    pub(crate) unit: Unit,
    pub(crate) trigger: Trigger,
    pub(crate) prediction: Option<PredictionId>,
    /// When the knobs move.
    pub(crate) start: BootTime,
    /// Without an onset by then, there is none.
    pub(crate) onset_by: BootTime,
    /// Before this, low usage does not mean that it ended.
    pub(crate) end_due: BootTime,
    /// When the knobs are back at the latest.
    pub(crate) end: BootTime,
    /// Expected peak of demand in cores (its late quantile).
    pub(crate) peak_cores: Option<f64>,
    /// When it was seen to have begun.
    pub(crate) onset_seen: Option<BootTime>,
    /// Highest usage since then, in cores.
    pub(crate) highest_cores: f64,
    /// Nothing is done, so that the forecast can be scored.
    pub(crate) left_alone: bool,
    /// Why, in words.
    pub(crate) reason: String,
}

fn moment(seconds: f64) -> BootTime {
    BootTime::from_seconds(seconds)
}

/// The knob by which a unit's contention is met.
pub(crate) fn knob_of(unit: &Unit) -> Knob {
    match unit {
        Unit::Cpu | Unit::Core(_) => Knob::CpuWeight,
        _ => Knob::CpuMax,
    }
}

/// Whether the forecast of `entry` is good enough to act on, and on which onset.
pub(crate) fn foreseen(
    entry: &MapEntry,
    made: BootTime,
    now: BootTime,
    strategy: &Strategy,
) -> Option<Quantiles> {
    let onset = entry.onset?;
    let believed = (entry.trained || entry.source == Source::Declared) && !entry.demoted;
    let ahead_s = (onset.q90 - made.seconds()).max(0.0).ceil();
    let probability = entry.probability(ahead_s.min(f64::from(u32::MAX)) as u32)?;
    let likely = probability >= strategy.act_probability && entry.confidence >= strategy.min_confidence;
    let still_ahead = moment(onset.q90) > now;
    (believed && likely && still_ahead && entry.source != Source::Reactive).then_some(onset)
}

impl Episode {
    /// An onset that is foreseen.
    pub(crate) fn foreseen(entry: &MapEntry, onset: Quantiles) -> Self {
        let start = moment(onset.q10 - knob_of(&entry.unit).time_to_effect_s());
        let onset_by = moment(onset.q90);
        let default_end = Quantiles {
            q10: onset.q90,
            q50: onset.q90 + HOLD_S,
            q90: onset.q90 + HOLD_S,
        };
        let end = entry.end.filter(|end| end.q90 > onset.q10).unwrap_or(default_end);
        Self {
            unit: entry.unit.clone(),
            trigger: Trigger::Predicted,
            prediction: Some(entry.id),
            start,
            onset_by,
            end_due: moment(end.q10),
            end: moment(end.q90).max(onset_by),
            peak_cores: entry.peak.map(|peak| peak.q90),
            onset_seen: None,
            highest_cores: 0.0,
            left_alone: false,
            reason: entry.reason.clone(),
        }
    }

    /// A contention that goes on now.
    pub(crate) fn observed(unit: &Unit, entry: Option<&MapEntry>, now: BootTime, reason: String) -> Self {
        Self {
            unit: unit.clone(),
            trigger: Trigger::Observed,
            prediction: entry.map(|entry| entry.id),
            start: now,
            onset_by: now,
            end_due: now,
            end: now.plus_seconds(HOLD_S),
            peak_cores: entry.and_then(|entry| entry.peak).map(|peak| peak.q90),
            onset_seen: Some(now),
            highest_cores: 0.0,
            left_alone: false,
            reason,
        }
    }

    /// Whether its knobs have moved.
    pub(crate) fn is_active(&self, now: BootTime) -> bool {
        self.start <= now && !self.left_alone
    }

    /// Whether nothing was done or seen yet, and its time has not come.
    pub(crate) fn is_ahead(&self, now: BootTime) -> bool {
        self.start > now && self.onset_seen.is_none()
    }

    /// Whether a contention that shows now is another one than this, which lies further ahead than it is unsure.
    pub(crate) fn is_another(&self, now: BootTime) -> bool {
        let unsure_s = self.onset_by.seconds_since(self.start);
        self.is_ahead(now) && self.start.seconds_since(now) > unsure_s
    }

    /// Orders episodes whose wishes do not all fit: who was seen to wait goes before who is expected to, each by when.
    pub(crate) fn precedence(&self) -> (bool, BootTime) {
        (self.onset_seen.is_none(), self.onset_seen.unwrap_or(self.start))
    }

    /// Takes the newest forecast of the same onset, as long as nothing was done.
    pub(crate) fn follow(&mut self, entry: &MapEntry, onset: Quantiles) {
        let left_alone = self.left_alone;
        *self = Self {
            left_alone,
            ..Self::foreseen(entry, onset)
        };
    }

    /// The contention shows: between samples, or as an event of the forecast.
    pub(crate) fn show(&mut self, now: BootTime, reason: &str) {
        if !self.is_active(now) {
            // It came before its early quantile: from now on this is a reaction.
            self.start = now;
            self.trigger = Trigger::Observed;
            self.left_alone = false;
            self.end = self.end.max(now.plus_seconds(HOLD_S));
            self.reason = format!("{reason}; foreseen for later: {}", self.reason);
        }
        self.onset_seen.get_or_insert(now);
        if now.seconds_since(self.start) > TAKEN_UP_S {
            // It waits under what it was given: the expected peak was too low, and the ceiling is what is left.
            self.peak_cores = None;
        }
        self.extend(now);
    }

    /// Learns from a sample of the protected app: `usage` in cores over the `interval_s` before `now`.
    pub(crate) fn learn(
        &mut self,
        now: BootTime,
        interval_s: f64,
        usage: f64,
        found_limit: f64,
        throttled: bool,
    ) -> bool {
        if interval_s < SHORTEST_SAMPLE_S || !self.is_active(now) {
            return false;
        }
        let binds = usage >= found_limit * BINDS_SHARE || throttled;
        if binds {
            self.onset_seen.get_or_insert(now);
        }
        let Some(seen) = self.onset_seen else {
            return now.seconds_since(self.onset_by) > ONSET_GRACE_S;
        };
        self.highest_cores = self.highest_cores.max(usage);
        // The sample has to lie wholly after the first sign of the contention.
        let after = now.seconds_since(seen) >= interval_s * 0.9;
        let fits = usage <= found_limit * FITS_SHARE;
        let fell = now >= self.end_due && usage < self.highest_cores * FALLEN_SHARE;
        if after && !throttled && (fits || (fell && self.trigger == Trigger::Predicted)) {
            return true;
        }
        if binds {
            self.extend(now);
        }
        false
    }

    /// What still goes on when its time is nearly over is held a while longer. A foreseen end is trusted until shortly
    /// before it; signs of what was only observed may come seldom.
    fn extend(&mut self, now: BootTime) {
        let nearly_s = match self.trigger {
            Trigger::Predicted => NEARLY_OVER_S,
            _ => HOLD_S / 2.0,
        };
        if self.end.seconds_since(now) < nearly_s {
            self.end = now.plus_seconds(HOLD_S);
        }
    }

    /// Whether its time is over without any sign.
    pub(crate) fn is_over(&self, now: BootTime) -> bool {
        let no_onset = self.onset_seen.is_none() && now.seconds_since(self.onset_by) > ONSET_GRACE_S;
        self.end <= now || (no_onset && !self.left_alone)
    }

    /// The rule, for `explain`.
    pub(crate) fn rule(&self) -> String {
        match self.trigger {
            Trigger::Predicted => format!("before the early quantile of a foreseen onset: {}", self.reason),
            Trigger::Observed => format!("contention was seen: {}", self.reason),
            Trigger::Standing => self.reason.clone(),
        }
    }
}
