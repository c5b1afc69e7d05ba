//! What was switched, against when the neighbour really came. Pure: it knows no daemon and no clock.

use tidegate_types::PredictionId;

/// Contention is confirmed this long after its begin at the latest.
const CONFIRMED_S: f64 = 6.0;

/// A visit of the neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visit {
    /// At its time.
    Due,
    /// It was due, and did not come.
    Missed,
    /// It came between two times.
    Surprise,
}

/// A visit and its times in seconds on the boot clock; of one that was missed, those at which it was due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Episode {
    pub(super) visit: Visit,
    pub(super) begin_s: f64,
    pub(super) end_s: f64,
}

/// One thing that the daemon wrote down about the watched program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Seen {
    /// Contention on the program's core was confirmed.
    Began,
    /// A variant was compiled and loaded.
    Loaded,
    /// A trial ended; whether its variant is kept.
    Tried(bool),
    /// Slots were led to variants, for this prediction or for what there was.
    Switched(Option<PredictionId>),
    /// Slots were led to the base.
    Back,
}

/// What is promised of one episode, and how it was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Outcome {
    /// From the observed begin until the switch.
    pub(super) there_s: Option<f64>,
    /// From the real end until the base was back.
    pub(super) back_s: Option<f64>,
    /// Switches to variants.
    pub(super) switches: usize,
    /// Whether the switch names a prediction.
    pub(super) named: bool,
    /// Whether something was compiled, or tried, from its begin to its end.
    pub(super) worked: bool,
}

/// How one episode was, from what was seen and when, in order.
pub(super) fn outcome(episode: &Episode, seen: &[(f64, Seen)]) -> Outcome {
    let within = |from_s: f64, to_s: f64| seen.iter().filter(move |(at_s, _)| (from_s..to_s).contains(at_s));
    let last_s = episode.end_s + CONFIRMED_S;
    let began_s = within(episode.begin_s, episode.begin_s + CONFIRMED_S)
        .find(|(_, seen)| *seen == Seen::Began)
        .map(|(at_s, _)| *at_s);
    let switches: Vec<(f64, Option<PredictionId>)> = within(episode.begin_s, last_s)
        .filter_map(|(at_s, seen)| match seen {
            Seen::Switched(prediction) => Some((*at_s, *prediction)),
            _ => None,
        })
        .collect();
    let back_s = within(episode.end_s, f64::INFINITY)
        .find(|(_, seen)| *seen == Seen::Back)
        .map(|(at_s, _)| at_s - episode.end_s);
    Outcome {
        there_s: began_s
            .zip(switches.first())
            .map(|(began_s, (at_s, _))| at_s - began_s),
        back_s,
        switches: switches.len(),
        named: switches.iter().any(|(_, prediction)| prediction.is_some()),
        worked: within(episode.begin_s, episode.end_s)
            .any(|(_, seen)| matches!(seen, Seen::Loaded | Seen::Tried(_))),
    }
}

/// When the first variant had been kept twice: from then on it is used.
pub(super) fn confirmed_s(seen: &[(f64, Seen)]) -> Option<f64> {
    seen.iter()
        .filter(|(_, seen)| *seen == Seen::Tried(true))
        .nth(1)
        .map(|(at_s, _)| *at_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUE: Episode = Episode {
        visit: Visit::Due,
        begin_s: 100.0,
        end_s: 120.0,
    };

    #[test]
    fn an_episode_is_measured_from_what_was_observed_and_from_its_real_end() {
        let seen = [
            (90.0, Seen::Loaded),
            (102.5, Seen::Began),
            (102.6, Seen::Switched(Some(PredictionId(7)))),
            (121.5, Seen::Back),
        ];
        let outcome = outcome(&DUE, &seen);
        assert!(
            (outcome.there_s.unwrap() - 0.1).abs() < 1e-9 && (outcome.back_s.unwrap() - 1.5).abs() < 1e-9
        );
        assert!(outcome.named && !outcome.worked && outcome.switches == 1);
    }

    #[test]
    fn what_was_not_switched_or_compiled_late_is_seen() {
        let seen = [(102.5, Seen::Began), (103.0, Seen::Loaded)];
        let outcome = outcome(&DUE, &seen);
        assert_eq!(
            (outcome.there_s, outcome.back_s, outcome.switches),
            (None, None, 0)
        );
        assert!(outcome.worked);
    }

    #[test]
    fn a_variant_is_confirmed_when_it_was_kept_twice() {
        let seen = [
            (1.0, Seen::Tried(false)),
            (2.0, Seen::Tried(true)),
            (3.0, Seen::Tried(true)),
        ];
        assert_eq!(confirmed_s(&seen), Some(3.0));
        assert_eq!(confirmed_s(&seen[..2]), None);
    }
}
