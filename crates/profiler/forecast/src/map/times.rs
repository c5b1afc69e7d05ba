//! When the event of an entry begins and ends, from each side that names a time.

use crate::declared::Announced;
use crate::leads::Led;
use crate::periodic::Expected;
use crate::unit::UnitState;
use tidegate_types::Quantiles;

/// How long events last before any was seen.
const UNSEEN_DURATION_S: Quantiles = Quantiles {
    q10: 2.0,
    q50: 10.0,
    q90: 60.0,
};

/// What is expected next, from each side that names a time.
pub(super) struct Next<'a> {
    pub(super) burst: Option<&'a Expected<'a>>,
    pub(super) announced: Option<&'a Announced>,
    pub(super) led: Option<&'a Led<'a>>,
}

/// Onset and end of the event that the entry is about.
pub(super) fn times(state: &UnitState, next: &Next, now_s: f64) -> Option<(Quantiles, Quantiles)> {
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

fn durations(state: &UnitState, next: Option<&Expected>) -> Quantiles {
    let of_pattern = next
        .map(|expected| expected.pattern.durations_s())
        .filter(|list| list.len() >= 2);
    let mut values = of_pattern.unwrap_or(&state.durations_s).to_vec();
    quantiles(&mut values).unwrap_or(UNSEEN_DURATION_S)
}

/// Low, middle and high of what was seen; none where nothing was.
pub(super) fn quantiles(values: &mut [f64]) -> Option<Quantiles> {
    Some(Quantiles {
        q10: quantile(values, 0.1)?,
        q50: quantile(values, 0.5)?,
        q90: quantile(values, 0.9)?,
    })
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
