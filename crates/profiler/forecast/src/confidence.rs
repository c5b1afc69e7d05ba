//! How much a probability deserves trust, beyond the probability itself.
//!
//! Four things, each 0 to 1, joined by their geometric mean: agreement of predictors that do not know of each
//! other; how much data the unit has; how many of the model's inputs are known; and the unit's own scored past.

/// What confidence rests on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grounds<'a> {
    /// What independent predictors say of the same window.
    pub(crate) predictors: &'a [f64],
    /// Events of the unit that were seen, and hours in which it was watched.
    pub(crate) events: f64,
    pub(crate) hours_watched: f64,
    /// Share of the model's inputs that are known.
    pub(crate) known_inputs: f64,
    /// The unit's Brier score and the worth of the rows behind it.
    pub(crate) past: Option<(f64, f64)>,
}

/// Events, or hours without any, at which the data is half of enough.
const HALF_EVENTS: f64 = 3.0;
const HALF_HOURS: f64 = 1.0;
/// Worth of the assumed past, in windows, and its Brier score: that of saying one half.
const PAST_WORTH: f64 = 5.0;
const PAST_BRIER: f64 = 0.25;

/// The confidence, 0 to 1.
pub(crate) fn confidence(grounds: &Grounds) -> f64 {
    let highest = grounds.predictors.iter().copied().fold(0.0, f64::max);
    let lowest = grounds.predictors.iter().copied().fold(1.0, f64::min);
    let agreement = 1.0 - 0.9 * (highest - lowest).clamp(0.0, 1.0);
    let amount = grounds.events / HALF_EVENTS + grounds.hours_watched / HALF_HOURS;
    let sufficiency = amount / (amount + 1.0);
    let familiarity = 0.5 + 0.5 * grounds.known_inputs;
    let (brier, worth) = grounds.past.unwrap_or((0.0, 0.0));
    let expected = (brier * worth + PAST_BRIER * PAST_WORTH) / (worth + PAST_WORTH);
    let past = 1.0 - (expected / 0.5).min(1.0);
    (agreement * sufficiency * familiarity * past)
        .max(0.0)
        .powf(0.25)
        .clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ground_moves_it_the_right_way() {
        let usual = Grounds {
            predictors: &[0.2, 0.3],
            events: 5.0,
            hours_watched: 2.0,
            known_inputs: 0.8,
            past: Some((0.05, 50.0)),
        };
        let base = confidence(&usual);
        assert!((0.0..=1.0).contains(&base));
        assert!(
            confidence(&Grounds {
                predictors: &[0.1, 0.9],
                ..usual
            }) < base
        );
        assert!(
            confidence(&Grounds {
                events: 0.0,
                hours_watched: 0.1,
                ..usual
            }) < base
        );
        assert!(
            confidence(&Grounds {
                known_inputs: 0.1,
                ..usual
            }) < base
        );
        assert!(
            confidence(&Grounds {
                past: Some((0.3, 50.0)),
                ..usual
            }) < base
        );
    }
}
