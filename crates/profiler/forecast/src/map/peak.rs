//! The peak that an entry expects.

use super::times::quantiles;
use crate::declared::Announced;
use crate::unit::{Peak, UnitState};
use tidegate_types::Quantiles;

/// Peaks that say whether demand is still cut off.
const RECENT_PEAKS: usize = 4;
/// Demand over a bound that cuts it off, where nothing else is known of it.
const CENSORED_Q50: f64 = 1.25;
const CENSORED_Q90: f64 = 2.0;

/// The expected peak, and whether it is told from peaks that were cut off.
pub(super) fn peak(
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
