//! How much a probability deserves trust.
//!
//! Confidence is the squared error that is to be expected of a prediction, turned round: 1 where none is expected, a
//! half for a tossed coin, 0 from twice its error on. A probability that means what it says errs by p (1 − p); what
//! predictors that do not know of each other say of the same window, the unit's own scored past, how much data there
//! is and how many of the model's inputs are known move the expectation away from that. The weights of the first
//! three are those of a logistic regression of squared errors on traces; the last two are assumed: the traces hold no
//! young units. `backtest::trust` tests whether all of it is informative.

/// What confidence rests on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grounds<'a> {
    /// What is said of the window.
    pub(crate) chance: f64,
    /// What independent predictors say of the same window.
    pub(crate) predictors: &'a [f64],
    /// Windows that were watched; an event counts as many.
    pub(crate) windows: f64,
    /// Share of the model's inputs that are known.
    pub(crate) known_inputs: f64,
    /// The unit's Brier score and the worth of the rows behind it.
    pub(crate) past: Option<(f64, f64)>,
}

/// The regression: constant, and weights of the logarithm of p (1 − p), of the logarithm of the past Brier score and
/// of the mean distance of the predictors from the chance.
const CONSTANT: f64 = 0.326;
const OWN: f64 = 1.019;
const PAST: f64 = 0.036;
const DISAGREEMENT: f64 = 0.456;
/// What no data, or no known input, adds to the log-odds of the error.
const LACK: f64 = 1.0;
/// Keeps the logarithm of p (1 − p) from certainty.
const OWN_LEAST: f64 = 0.003;
/// The assumed past: its Brier score, and its worth in windows.
const PAST_BRIER: f64 = 0.1;
const PAST_WORTH: f64 = 5.0;
/// Windows at which the data is half of enough.
const HALF_WINDOWS: f64 = 60.0;
/// The expected error at which there is no confidence left: twice that of a tossed coin.
const WORST: f64 = 0.5;

/// The confidence, 0 to 1.
pub(crate) fn confidence(grounds: &Grounds) -> f64 {
    1.0 - (expected_error(grounds) / WORST).clamp(0.0, 1.0)
}

/// The squared error that is to be expected of the chance.
fn expected_error(grounds: &Grounds) -> f64 {
    let chance = grounds.chance;
    let own = (chance * (1.0 - chance) + OWN_LEAST).ln();
    let (brier, worth) = grounds.past.unwrap_or((0.0, 0.0));
    let past = ((brier * worth + PAST_BRIER * PAST_WORTH) / (worth + PAST_WORTH)).ln();
    let distances = grounds.predictors.iter().map(|said| (said - chance).abs());
    let disagreement = distances.sum::<f64>() / (grounds.predictors.len() as f64).max(1.0);
    let sufficiency = grounds.windows / (grounds.windows + HALF_WINDOWS);
    let lack = 1.0 - sufficiency * grounds.known_inputs;
    let log_odds = CONSTANT + OWN * own + PAST * past + DISAGREEMENT * disagreement + LACK * lack;
    1.0 / (1.0 + (-log_odds).exp())
}

/// What a unit's predictions were worth so far, older ones fading.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scored {
    squared: f64,
    worth: f64,
}

impl Scored {
    /// Takes in what came of a prediction.
    pub(crate) fn judge(&mut self, chance: f64, happened: bool) {
        /// What a score is worth one score later.
        const FADE: f64 = 0.99;
        let missed = chance - f64::from(u8::from(happened));
        self.squared = FADE * self.squared + missed * missed;
        self.worth = FADE * self.worth + 1.0;
    }

    /// Brier score and the worth of the rows behind it; `None` before the first.
    pub(crate) fn brier(self) -> Option<(f64, f64)> {
        (self.worth > 0.0).then(|| (self.squared / self.worth, self.worth))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ground_moves_it_the_right_way() {
        let usual = Grounds {
            chance: 0.1,
            predictors: &[0.1, 0.15],
            windows: 500.0,
            known_inputs: 0.8,
            past: Some((0.05, 50.0)),
        };
        let base = confidence(&usual);
        assert!((0.0..=1.0).contains(&base));
        let check = |other: Grounds| assert!(confidence(&other) < base, "{other:?}");
        check(Grounds {
            predictors: &[0.1, 0.9],
            ..usual
        });
        check(Grounds {
            windows: 1.0,
            ..usual
        });
        check(Grounds {
            known_inputs: 0.1,
            ..usual
        });
        check(Grounds {
            past: Some((0.3, 50.0)),
            ..usual
        });
        check(Grounds { chance: 0.5, ..usual });
    }

    #[test]
    fn scores_add_up() {
        let mut scored = Scored::default();
        assert!(scored.brier().is_none());
        (0..2000).for_each(|round| scored.judge(0.5, round % 2 == 0));
        let (brier, worth) = scored.brier().expect("scored");
        assert!((brier - 0.25).abs() < 1e-9 && (worth - 100.0).abs() < 1e-3);
    }
}
