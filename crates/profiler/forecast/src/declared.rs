//! Events that somebody announced.
//!
//! Each is a name, an app, a beginning on the wall clock, a length, and perhaps a repetition. Wall-clock times
//! become boot-clock times by the offset of the moment that asks. An announced event counts as contention unless
//! its announced demand fits the capacity.

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tidegate_types::{AppName, DeclaredEvent, Moment, Quantiles};

/// Events that are kept; the one that is over first makes room.
const EVENTS_MAX: usize = 512;
/// People keep their word: an announced event comes with this probability.
const COMES: f64 = 0.95;
/// An announced demand that fits the capacity seldom contends.
const COMES_FITTING: f64 = 0.05;
/// People and schedulers are late rather than early, by this many seconds.
const EARLY_S: f64 = 1.0;
const LATE_S: f64 = 5.0;

/// The announced events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Calendar {
    events: Vec<DeclaredEvent>,
}

/// The next announced event of an app.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Announced {
    /// What it is called.
    pub(crate) name: Arc<str>,
    /// Its beginning, boot seconds; may lie in the past while it goes on.
    pub(crate) onset: Quantiles,
    /// Its end.
    pub(crate) end: Quantiles,
    /// How likely it is to contend.
    pub(crate) probability: f64,
    /// Announced demand in cores.
    pub(crate) cores: Option<f64>,
}

impl Announced {
    /// P(it begins or goes on in (`now_s`, `until_s`]).
    pub(crate) fn probability_until(&self, until_s: f64) -> f64 {
        if self.onset.q50 <= until_s {
            self.probability
        } else {
            0.0
        }
    }
}

fn length_ms(event: &DeclaredEvent) -> i64 {
    (event.duration_s.clamp(0.0, 1e9) * 1e3) as i64
}

/// Beginning of the occurrence that goes on at `utc_ms` or comes next; `None` when all are over.
fn next_begin_ms(event: &DeclaredEvent, utc_ms: i64) -> Option<i64> {
    let end_ms = event.at_utc_ms.saturating_add(length_ms(event));
    if end_ms > utc_ms {
        return Some(event.at_utc_ms);
    }
    let every_ms = event
        .every_s
        .filter(|every_s| *every_s >= 1.0)
        .map(|every_s| (every_s.min(1e9) * 1e3) as i64)?;
    let passed = (utc_ms - end_ms) / every_ms + 1;
    Some(event.at_utc_ms.saturating_add(passed.saturating_mul(every_ms)))
}

impl Calendar {
    /// Takes in an event; one of the same name and app takes the place of the earlier.
    pub(crate) fn declare(&mut self, event: DeclaredEvent) {
        self.events
            .retain(|known| known.name != event.name || known.app != event.app);
        if self.events.len() >= EVENTS_MAX {
            self.events.remove(0);
        }
        self.events.push(event);
    }

    /// Takes an event back by its name; true where there was one.
    pub(crate) fn withdraw(&mut self, name: &str) -> bool {
        let before = self.events.len();
        self.events.retain(|known| &*known.name != name);
        self.events.len() < before
    }

    /// All that are kept.
    pub(crate) fn events(&self) -> &[DeclaredEvent] {
        &self.events
    }

    /// Drops what is over.
    pub(crate) fn forget(&mut self, utc_ms: i64) {
        self.events.retain(|event| next_begin_ms(event, utc_ms).is_some());
    }

    /// Apps with an announced event.
    pub(crate) fn apps(&self) -> impl Iterator<Item = &AppName> {
        self.events.iter().map(|event| &event.app)
    }

    /// The event of `app` that goes on or comes next, against a capacity in cores.
    pub(crate) fn next(&self, app: &AppName, now: Moment, capacity_cores: Option<f64>) -> Option<Announced> {
        let (at_utc_ms, event) = self
            .events
            .iter()
            .filter(|event| event.app == *app)
            .filter_map(|event| Some((next_begin_ms(event, now.utc_ms)?, event)))
            .min_by_key(|(begin_ms, _)| *begin_ms)?;
        let begin_s = now.boot.seconds() + (at_utc_ms - now.utc_ms) as f64 / 1e3;
        let around = |at_s: f64| Quantiles {
            q10: at_s - EARLY_S,
            q50: at_s,
            q90: at_s + LATE_S,
        };
        let fits = event
            .cores
            .zip(capacity_cores)
            .is_some_and(|(cores, capacity)| cores <= capacity);
        Some(Announced {
            name: event.name.clone(),
            onset: around(begin_s),
            end: around(begin_s + length_ms(event) as f64 / 1e3),
            probability: if fits { COMES_FITTING } else { COMES },
            cores: event.cores,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_types::BootTime;

    #[test]
    fn a_repeating_event_is_always_ahead_and_a_past_one_is_dropped() {
        let app = AppName::new("web");
        let event = |name: &str, every_s| DeclaredEvent {
            name: name.into(),
            app: app.clone(),
            at_utc_ms: 10_000,
            duration_s: 5.0,
            every_s,
            cores: Some(2.0),
        };
        let now = Moment {
            boot: BootTime::from_seconds(100.0),
            utc_ms: 47_000,
        };
        let mut calendar = Calendar::default();
        calendar.declare(event("once", None));
        assert_eq!(calendar.next(&app, now, None), None);
        calendar.declare(event("again", Some(20.0)));
        let next = calendar.next(&app, now, Some(1.0)).expect("a next one");
        assert_eq!(next.onset.q50, 103.0);
        assert!(next.probability > 0.9);
        assert!(
            calendar
                .next(&app, now, Some(3.0))
                .expect("a next one")
                .probability
                < 0.1
        );
        calendar.forget(now.utc_ms);
        assert_eq!(calendar.apps().count(), 1);
    }
}
