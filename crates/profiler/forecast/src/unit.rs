//! What is remembered of one unit, and how a reading changes it.

use crate::events::{Change, Label, Labeller, Open, Reading};
use crate::features::{History, Wall};
use crate::kin::Start;
use crate::leads::{Leads, Sign};
use crate::periodic::{Explained, Named, Periodic};
use crate::score::Scorer;
use crate::timeline::Timeline;
use crate::usage::Told;
use crate::usage::peaks::Peaks;
use serde::{Deserialize, Serialize};
use tidegate_types::{BootTime, ContentionEvent, Moment, Treatment, Unit};

/// Durations and peaks that are kept.
const KEPT: usize = 12;
/// Watched for so long, or after so many events, a unit counts as trained.
const TRAINED_S: f64 = 3600.0;
const TRAINED_EVENTS: f64 = 3.0;
/// Seconds of the past that windows may still ask for: the longest window and what labels need.
const PAST_S: f64 = 3700.0;

/// A peak of demand that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Peak {
    pub(crate) demand: f64,
    /// Whether it may have been higher.
    pub(crate) censored: bool,
}

/// Bound on the state of one unit: histories of some 11 KiB, and open predictions, of which a busy unit has up to
/// one every ten seconds of the longest window and as many again for its events, of some 90 bytes each.
pub const UNIT_STATE_BYTES_MAX: usize = 104 * 1024;

/// The state of one unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct UnitState {
    pub(crate) labeller: Labeller,
    pub(crate) periodic: Periodic,
    /// What comes before its events.
    pub(crate) leads: Leads,
    pub(crate) timeline: Timeline,
    pub(crate) history: History,
    /// What the trained model reads, and what it said.
    pub(crate) load_peaks: Peaks,
    pub(crate) told: Option<Told>,
    pub(crate) scorer: Scorer,
    /// Up to here it is known that no event began that is not open.
    pub(crate) quiet_until_s: f64,
    /// When it was last in a sample.
    pub(crate) read_s: f64,
    /// When its label was last known.
    pub(crate) known_s: f64,
    pub(crate) load: Option<f64>,
    pub(crate) capacity: Option<f64>,
    pub(crate) durations_s: Vec<f64>,
    pub(crate) peaks: Vec<Peak>,
    pub(crate) events: f64,
    /// Whom it is like, in words, where it began with what others had seen.
    pub(crate) like: Option<String>,
    explained: bool,
}

fn keep<T>(list: &mut Vec<T>, value: T) {
    if list.len() >= KEPT {
        list.remove(0);
    }
    list.push(value);
}

impl UnitState {
    /// Nothing is known of it before `known_s`.
    pub(crate) fn known_from(known_s: f64) -> Self {
        Self {
            known_s,
            ..Self::default()
        }
    }

    /// Takes in a reading; returns an event that was confirmed or is over.
    pub(crate) fn observe(
        &mut self,
        reading: &Reading,
        now: Moment,
        wall: Wall,
        interval_s: f64,
    ) -> Option<ContentionEvent> {
        let now_s = now.boot.seconds();
        let from_s = now_s - interval_s;
        self.read_s = now_s;
        self.load = reading.load;
        self.capacity = reading.capacity;
        if reading.treated {
            self.timeline.treated(from_s, now_s);
        }
        if reading.level.is_some() {
            self.known_s = now_s;
        } else {
            self.timeline.unknown(from_s, now_s);
        }
        let change = self.labeller.step(reading, now_s, interval_s);
        if reading.treated && self.labeller.label() == Label::Ongoing {
            self.timeline.treat_ongoing();
        }
        let event = change.map(|change| self.take_change(&reading.unit, change));
        match self.labeller.label() {
            Label::Quiet | Label::Ongoing | Label::Ending => self.quiet_until_s = now_s,
            // While waiting rises, an event may have begun; while nothing is known, anything may have.
            Label::Rising | Label::Unknown => {}
        }
        if self.labeller.label() == Label::Unknown {
            self.quiet_until_s = now_s;
            self.periodic.skip_to(now_s);
        } else {
            self.periodic.advance(now_s);
        }
        self.leads.advance(now_s, self.labeller.label() != Label::Unknown);
        let ratio = reading
            .load
            .zip(reading.capacity.filter(|capacity| *capacity > 0.0));
        let load = reading.load.filter(|_| reading.capacity.is_none());
        let contended = matches!(self.labeller.label(), Label::Ongoing | Label::Ending);
        let share = ratio.map(|(load, capacity)| load / capacity);
        self.load_peaks.observe(now.utc_ms, share.or(load), contended);
        let above = match self.labeller.label() {
            Label::Unknown => None,
            Label::Ongoing => Some(!self.explained),
            _ => Some(false),
        };
        self.history.observe(now_s, wall, share, above, interval_s);
        event
    }

    fn take_change(&mut self, unit: &Unit, change: Change) -> ContentionEvent {
        match change {
            Change::Began(open) => {
                self.began(&open);
                contention(unit, &open, None)
            }
            Change::Ended(open, end_s) => {
                self.ended(&open, end_s);
                contention(unit, &open, Some(end_s))
            }
        }
    }

    fn began(&mut self, open: &Open) {
        self.events += 1.0;
        let led = self.leads.onset(open.begin_s);
        let explained = self.periodic.onset(open.begin_s);
        self.explained = led || explained != Explained::No;
        match explained {
            Explained::Yes => {}
            Explained::No if led => {}
            Explained::No => self.history.onset(),
            Explained::Proved => self.history.explain(self.periodic.explained_share()),
        }
        self.timeline.began(open.begin_s, self.explained);
        if open.treated {
            self.timeline.treat_ongoing();
        }
    }

    fn ended(&mut self, open: &Open, end_s: f64) {
        let duration_s = (end_s - open.begin_s).max(0.0);
        self.timeline.ended(end_s, open.treated);
        self.periodic.ended(open.begin_s, duration_s);
        keep(&mut self.durations_s, duration_s);
        keep(
            &mut self.peaks,
            Peak {
                demand: open.peak_demand,
                censored: open.censored,
            },
        );
    }

    /// Begins with what units like it have seen.
    pub(crate) fn begin_like(&mut self, start: Start) {
        self.history.begin_like(start.onsets_per_s);
        self.load_peaks.begin_like(start.contended_share);
        start
            .durations_s
            .into_iter()
            .for_each(|lasts_s| keep(&mut self.durations_s, lasts_s));
        self.like = Some(start.words);
    }

    /// Whether enough was seen of it to be believed on its own.
    pub(crate) fn is_trained(&self) -> bool {
        self.history.watched_s() >= TRAINED_S || self.events >= TRAINED_EVENTS
    }

    /// The unit was not in the sample at `now_s`, or nothing is known up to then.
    pub(crate) fn lost(&mut self, unit: &Unit, now_s: f64) -> Option<ContentionEvent> {
        self.timeline.unknown(self.known_s.min(now_s), now_s);
        self.known_s = now_s;
        self.quiet_until_s = now_s;
        self.load = None;
        let change = self.labeller.interrupt();
        let event = change.map(|change| self.take_change(unit, change));
        self.periodic.skip_to(now_s);
        self.leads.advance(now_s, false);
        event
    }

    /// A sign of its events was seen, or is expected, at `at_s`; true where it says something.
    pub(crate) fn sign(&mut self, sign: &Sign, at_s: f64) -> bool {
        let busy = self.labeller.label() != Label::Quiet;
        self.leads.sign(sign, at_s, busy, self.history.onsets_per_s())
    }

    /// A sign is expected at `at_s`; it is no lesson if an event goes on by then, which is seen when it comes.
    pub(crate) fn plan(&mut self, sign: &Sign, at_s: f64) {
        self.leads.sign(sign, at_s, false, self.history.onsets_per_s());
    }

    /// How the onsets have fared that were named ahead, by repetition or by a sign.
    pub(crate) fn named(&self) -> Named {
        let (repeated, (came, all)) = (self.periodic.named(), self.leads.named());
        Named {
            all: repeated.all + all,
            came: repeated.came + came,
        }
    }

    /// Drops what no open window asks for.
    pub(crate) fn forget(&mut self, now_s: f64) {
        self.timeline.forget(now_s - PAST_S);
    }

    /// Moves every time by `delta_s`, after a reboot.
    pub(crate) fn shift(&mut self, delta_s: f64) {
        self.labeller.shift(delta_s);
        self.periodic.shift(delta_s);
        self.leads.shift(delta_s);
        self.timeline.shift(delta_s);
        self.history.shift(delta_s);
        self.scorer.shift(delta_s);
        self.quiet_until_s += delta_s;
        self.read_s += delta_s;
        self.known_s += delta_s;
    }
}

fn contention(unit: &Unit, open: &Open, end_s: Option<f64>) -> ContentionEvent {
    ContentionEvent {
        unit: unit.clone(),
        begin: BootTime::from_seconds(open.begin_s),
        end: end_s.map(BootTime::from_seconds),
        treatment: if open.treated {
            Treatment::Treated
        } else {
            Treatment::Untreated
        },
        peak_waiting: open.peak_waiting.clamp(0.0, 1.0),
        apps: open.apps.clone(),
    }
}
