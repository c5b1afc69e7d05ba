//! When requests arrive: a Poisson stream with a base rate and bursts.

use crate::random::Random;
use serde::{Deserialize, Serialize};

/// A time of higher load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Burst {
    /// Seconds since the start of the load.
    pub(crate) start_s: f64,
    /// Seconds.
    pub(crate) duration_s: f64,
}

impl Burst {
    /// When it is over, in seconds since the start of the load.
    pub(crate) fn end_s(&self) -> f64 {
        self.start_s + self.duration_s
    }
}

/// A stretch of load with luck of its own: the same segment replays the same arrivals wherever it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Segment {
    /// Seconds since the start of the load.
    pub(crate) start_s: f64,
    /// Seconds.
    pub(crate) duration_s: f64,
    /// What its arrivals are drawn from.
    pub(crate) seed: u64,
    /// Requests per second between bursts.
    pub(crate) base_per_s: f64,
    /// Requests per second in a burst.
    pub(crate) burst_per_s: f64,
    /// In order; a burst may reach over the segment's end and is cut there.
    pub(crate) bursts: Vec<Burst>,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Arrival {
    /// Seconds since the start of the load.
    pub(super) at_s: f64,
    /// Its cost in units of the mean cost.
    pub(super) cost: f64,
}

impl Segment {
    fn rate_at(&self, at_s: f64) -> f64 {
        let in_burst = self
            .bursts
            .iter()
            .any(|burst| burst.start_s <= at_s && at_s < burst.end_s());
        if in_burst {
            self.burst_per_s
        } else {
            self.base_per_s
        }
    }

    /// All its arrivals, in order: a stream at the highest rate, thinned (Lewis and Shedler, 1979). Time is drawn
    /// relative to the segment's start, so that a shifted segment keeps its arrivals.
    pub(super) fn arrivals(&self) -> Vec<Arrival> {
        let peak_per_s = self.base_per_s.max(self.burst_per_s);
        let mut random = Random::new(self.seed, 1);
        let mut arrivals = Vec::new();
        let mut offset_s = random.exponential(1.0 / peak_per_s);
        while offset_s < self.duration_s {
            let at_s = self.start_s + offset_s;
            let cost = random.between(0.5, 1.5);
            if random.uniform() * peak_per_s < self.rate_at(at_s) {
                arrivals.push(Arrival { at_s, cost });
            }
            offset_s += random.exponential(1.0 / peak_per_s);
        }
        arrivals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(start_s: f64) -> Segment {
        let bursts = vec![Burst {
            start_s: start_s + 10.0,
            duration_s: 5.0,
        }];
        Segment {
            start_s,
            duration_s: 30.0,
            seed: 3,
            base_per_s: 20.0,
            burst_per_s: 400.0,
            bursts,
        }
    }

    #[test]
    fn rates_are_as_asked() {
        let arrivals = segment(0.0).arrivals();
        let inside = arrivals
            .iter()
            .filter(|arrival| (10.0..15.0).contains(&arrival.at_s))
            .count();
        let outside = arrivals.len() - inside;
        assert!((1850..2150).contains(&inside), "{inside}");
        assert!((400..600).contains(&outside), "{outside}");
    }

    #[test]
    fn a_shifted_segment_keeps_its_arrivals() {
        let (early, late) = (segment(0.0).arrivals(), segment(64.0).arrivals());
        assert_eq!(early.len(), late.len());
        let shifts = early
            .iter()
            .zip(&late)
            .map(|(early, late)| late.at_s - early.at_s);
        assert!(shifts.into_iter().all(|shift| (shift - 64.0).abs() < 1e-9));
    }

    #[test]
    fn costs_average_one() {
        let arrivals = segment(0.0).arrivals();
        let mean = arrivals.iter().map(|arrival| arrival.cost).sum::<f64>() / arrivals.len() as f64;
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
    }
}
