//! From a block's record to numbers per crowd and per period.

use super::control::Witness;
use super::scenario::{Crowd, Scenario, Span, TENANTS};
use super::stage::Record;
use crate::bench::stats::percentile;
use crate::load::Latency;
use serde::{Deserialize, Serialize};

/// The first part of a crowd is where acting late shows.
pub(crate) const FIRST_S: f64 = 3.0;

/// One crowd under one arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CrowdResult {
    /// Index of the tenant.
    pub(crate) tenant: usize,
    /// 50th and 99th percentile over the crowd, milliseconds.
    pub(crate) whole_ms: (f64, f64),
    /// The same over its first three seconds.
    pub(crate) first_ms: (f64, f64),
}

/// One arm in one round.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Crowds that came, in order.
    pub(crate) crowds: Vec<CrowdResult>,
    /// Products of the batch per second, for each period.
    pub(crate) work_per_s: Vec<f64>,
    /// Times a limit changed.
    pub(crate) changes: usize,
    /// Acts whose crowd did not come before their end.
    pub(crate) false_acts: usize,
    /// All acts.
    pub(crate) acts: usize,
    /// Polls at which the limits exceeded the fixed sum.
    pub(crate) breaches: usize,
    /// Products that differed from the first.
    pub(crate) wrong: u64,
}

impl Outcome {
    /// Joins another round of the same arm.
    pub(crate) fn extend(&mut self, other: Self) {
        self.crowds.extend(other.crowds);
        self.work_per_s.extend(other.work_per_s);
        self.changes += other.changes;
        self.false_acts += other.false_acts;
        self.acts += other.acts;
        self.breaches += other.breaches;
        self.wrong += other.wrong;
    }

    /// The 99th percentile of each crowd, milliseconds.
    pub(crate) fn p99_ms(&self) -> Vec<f64> {
        self.crowds.iter().map(|crowd| crowd.whole_ms.1).collect()
    }
}

/// What `record` says about the crowds of one span.
pub(crate) fn measure(
    scenario: &Scenario,
    span: Span,
    crowds: &[Crowd],
    record: &Record,
    witness: &Witness,
    acts: bool,
) -> Outcome {
    let came = crowds
        .iter()
        .filter(|crowd| crowd.comes && crowd.span().meets(span));
    let (false_acts, all) = if acts { witness.false_acts(crowds) } else { (0, 0) };
    let periods = (span.duration_s() / scenario.period_s).round() as usize;
    let period = |index: usize| {
        let start_s = span.start_s + index as f64 * scenario.period_s;
        Span {
            start_s,
            end_s: start_s + scenario.period_s,
        }
    };
    Outcome {
        crowds: came
            .map(|crowd| crowd_result(crowd, &record.latencies[crowd.tenant]))
            .collect(),
        work_per_s: (0..periods)
            .map(|index| work_per_s(&record.work, period(index)))
            .collect(),
        changes: witness.changes(),
        false_acts,
        acts: all,
        breaches: witness.breaches,
        wrong: record.wrong,
    }
}

fn crowd_result(crowd: &Crowd, latencies: &[Latency]) -> CrowdResult {
    debug_assert!(crowd.tenant < TENANTS.len());
    let span = crowd.span();
    let first = Span {
        end_s: span.start_s + FIRST_S,
        ..span
    };
    CrowdResult {
        tenant: crowd.tenant,
        whole_ms: percentiles(latencies, span),
        first_ms: percentiles(latencies, first),
    }
}

/// 50th and 99th percentile of the requests that arrived in `span`.
fn percentiles(latencies: &[Latency], span: Span) -> (f64, f64) {
    let inside = latencies
        .iter()
        .filter(|latency| span.start_s <= latency.arrival_s && latency.arrival_s < span.end_s);
    let mut values: Vec<f64> = inside.map(|latency| latency.latency_ms).collect();
    values.sort_by(f64::total_cmp);
    (percentile(&values, 0.5), percentile(&values, 0.99))
}

/// The batch's speed over `span`, between its own reports.
fn work_per_s(work: &[(f64, f64)], span: Span) -> f64 {
    let at = |second_s: f64| {
        let after = work.partition_point(|(at_s, _)| *at_s < second_s);
        let (Some(left), Some(right)) = (work.get(after.wrapping_sub(1)), work.get(after)) else {
            return if after == 0 { work.first() } else { work.last() }
                .map_or(f64::NAN, |(_, products)| *products);
        };
        let share = (second_s - left.0) / (right.0 - left.0);
        left.1 + share * (right.1 - left.1)
    };
    (at(span.end_s) - at(span.start_s)) / span.duration_s()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_read_between_reports() {
        let work = [(0.0, 0.0), (1.0, 10.0), (2.0, 30.0)];
        assert_eq!(
            work_per_s(
                &work,
                Span {
                    start_s: 0.5,
                    end_s: 1.5
                }
            ),
            15.0
        );
        assert_eq!(
            work_per_s(
                &work,
                Span {
                    start_s: 0.0,
                    end_s: 2.0
                }
            ),
            15.0
        );
        assert!(
            work_per_s(
                &[],
                Span {
                    start_s: 0.0,
                    end_s: 1.0
                }
            )
            .is_nan()
        );
    }

    #[test]
    fn a_crowd_counts_what_arrived_in_it() {
        let crowd = Crowd {
            tenant: 0,
            due_s: 10.0,
            start_s: 10.0,
            duration_s: 6.0,
            comes: true,
        };
        let late = |arrival_s: f64| Latency {
            arrival_s,
            latency_ms: arrival_s,
        };
        let latencies = [late(9.9), late(10.0), late(12.0), late(15.0), late(16.0)];
        let result = crowd_result(&crowd, &latencies);
        assert_eq!(result.whole_ms, (12.0, 15.0));
        assert_eq!(result.first_ms, (10.0, 12.0));
    }
}
