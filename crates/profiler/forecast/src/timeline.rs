//! What is known of a unit's recent past, for judging predictions whose windows close.
//!
//! Three kinds of stretches, each a short sorted list: events, times under a lease, times of which nothing is
//! known. They reach back a little longer than the longest window.

use serde::{Deserialize, Serialize};
use tidegate_types::Treatment;

/// Stretches kept of each kind: an hour of events a minute apart and as many again; older ones are joined.
const STRETCHES_MAX: usize = 128;
/// Stretches that lie this close are one.
const JOIN_S: f64 = 1.5;

/// From and to, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Stretch {
    from_s: f64,
    to_s: f64,
    treated: bool,
    explained: bool,
}

/// The recent past of one unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Timeline {
    events: Vec<Stretch>,
    treated: Vec<Stretch>,
    unknown: Vec<Stretch>,
}

/// What happened in a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Happened {
    /// Whether an event began or went on; `None`: unknown.
    pub(crate) event: Option<bool>,
    /// How it was seen.
    pub(crate) treatment: Treatment,
    /// Whether a pattern had expected every event in it.
    pub(crate) explained: bool,
    /// The first begin within the window.
    pub(crate) onset_s: Option<f64>,
}

fn extend(list: &mut Vec<Stretch>, from_s: f64, to_s: f64) {
    match list.last_mut() {
        Some(before) if from_s <= before.to_s + JOIN_S => before.to_s = before.to_s.max(to_s),
        _ => list.push(Stretch {
            from_s,
            to_s,
            treated: false,
            explained: false,
        }),
    }
    bound(list);
}

fn bound(list: &mut Vec<Stretch>) {
    if list.len() > STRETCHES_MAX {
        let second = list.remove(1);
        list[0].to_s = second.to_s;
        list[0].treated |= second.treated;
        list[0].explained &= second.explained;
    }
}

impl Timeline {
    /// An event began.
    pub(crate) fn began(&mut self, at_s: f64, explained: bool) {
        self.events.push(Stretch {
            from_s: at_s,
            to_s: f64::INFINITY,
            treated: false,
            explained,
        });
        bound(&mut self.events);
    }

    /// The event that goes on was over at `at_s`.
    pub(crate) fn ended(&mut self, at_s: f64, treated: bool) {
        if let Some(last) = self.events.last_mut() {
            last.to_s = at_s.max(last.from_s);
            last.treated = treated;
        }
    }

    /// The event that goes on is treated from here on.
    pub(crate) fn treat_ongoing(&mut self) {
        if let Some(last) = self.events.last_mut() {
            last.treated |= last.to_s == f64::INFINITY;
        }
    }

    /// A lease was in effect in this stretch.
    pub(crate) fn treated(&mut self, from_s: f64, to_s: f64) {
        extend(&mut self.treated, from_s, to_s);
    }

    /// Nothing is known of this stretch.
    pub(crate) fn unknown(&mut self, from_s: f64, to_s: f64) {
        extend(&mut self.unknown, from_s, to_s);
    }

    /// Drops what ended before `before_s`.
    pub(crate) fn forget(&mut self, before_s: f64) {
        for list in [&mut self.events, &mut self.treated, &mut self.unknown] {
            list.retain(|stretch| stretch.to_s >= before_s);
        }
    }

    /// Moves every time by `delta_s`.
    pub(crate) fn shift(&mut self, delta_s: f64) {
        for list in [&mut self.events, &mut self.treated, &mut self.unknown] {
            for stretch in list.iter_mut() {
                stretch.from_s += delta_s;
                stretch.to_s += delta_s;
            }
        }
    }

    /// What happened in (`from_s`, `to_s`].
    pub(crate) fn happened(&self, from_s: f64, to_s: f64) -> Happened {
        let overlaps = |stretch: &&Stretch| stretch.from_s <= to_s && stretch.to_s > from_s;
        let mut events = self.events.iter().filter(overlaps).peekable();
        let leased = self.treated.iter().any(|stretch| overlaps(&stretch));
        let unknown = self.unknown.iter().any(|stretch| overlaps(&stretch));
        let event = events.peek().is_some();
        let (mut treated, mut explained, mut onset_s) = (leased, event, None);
        for stretch in events {
            treated |= stretch.treated;
            explained &= stretch.explained;
            if onset_s.is_none() && stretch.from_s > from_s {
                onset_s = Some(stretch.from_s);
            }
        }
        let treatment = match (event, unknown, treated) {
            (false, true, _) => Treatment::Unknown,
            (_, _, true) => Treatment::Treated,
            (_, _, false) => Treatment::Untreated,
        };
        let event = (event || !unknown).then_some(event);
        Happened {
            event,
            treatment,
            explained,
            onset_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_makes_quiet_unknown_but_not_an_event() {
        let mut timeline = Timeline::default();
        timeline.unknown(50.0, 60.0);
        assert_eq!(timeline.happened(0.0, 40.0).event, Some(false));
        assert_eq!(timeline.happened(0.0, 55.0).event, None);
        assert_eq!(timeline.happened(0.0, 55.0).treatment, Treatment::Unknown);
        timeline.began(20.0, true);
        timeline.ended(25.0, false);
        let happened = timeline.happened(0.0, 55.0);
        assert_eq!((happened.event, happened.onset_s), (Some(true), Some(20.0)));
        assert_eq!(happened.treatment, Treatment::Untreated);
    }

    #[test]
    fn a_lease_within_the_window_makes_it_treated() {
        let mut timeline = Timeline::default();
        timeline.treated(10.0, 11.0);
        timeline.treated(11.0, 18.0);
        assert_eq!(timeline.treated.len(), 1);
        assert_eq!(timeline.happened(0.0, 9.0).treatment, Treatment::Untreated);
        assert_eq!(timeline.happened(0.0, 12.0).treatment, Treatment::Treated);
    }
}
