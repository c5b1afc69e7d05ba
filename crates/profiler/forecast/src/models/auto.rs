//! The model that chooses: several others on one series, each trusted as far as it has been right there. Those that
//! were measured to add nothing for their price are not among them.
//!
//! Quantiles are a weighted mean of everybody's, with weights that follow the pinball loss (`blend`), refreshed a few
//! times an hour for ever: a rolling-origin choice that never stops. Chances start from the boosted forests, which the
//! host teaches (`learner`), and are stacked with the others' by a small regression of their own (`stack`). How sure they
//! are follows from how far all agree and from how the stacked chances have done on this series.

use super::blend::Blend;
use super::boosted::Boosted;
use super::calendar::Calendar;
use super::ets::Ets;
use super::learner::Learner;
use super::naive::{Naive, Repeats};
use super::past::{HORIZON, NotLater};
use super::stack::Stack;
use super::trained::Trained;
use super::{
    Chances, Forecast, SeriesModel, TARGET_COUNT, THRESHOLDS, WINDOW_COUNT, WINDOW_TARGETS, targets_of,
};
use crate::confidence::{Grounds, Scored, confidence};
use std::collections::VecDeque;
use std::sync::Arc;

/// Observations between two rounds in which everybody is asked.
const EVERY: u64 = 14;

/// Steps of each window.
const STEPS: [f64; WINDOW_COUNT] = [1.0, 3.0, 12.0];

/// What everybody said at one moment, until the outcome is known.
#[derive(Clone, Debug)]
struct Awaited {
    steps: usize,
    said: Vec<Forecast>,
    chances: Chances,
}

/// All models on one series.
#[derive(Debug)]
pub struct Auto {
    /// The boosted model first: the others are measured by what they add to it.
    models: Vec<Box<dyn SeriesModel>>,
    core: Boosted,
    thresholds: [f64; THRESHOLDS],
    blend: Blend,
    stacks: [Stack; WINDOW_COUNT],
    scored: [Scored; WINDOW_COUNT],
    /// How sure the chances of the last forecast are.
    confidence: Option<Chances>,
    awaited: VecDeque<Awaited>,
}

impl Auto {
    /// A series with one value every `step_s` seconds.
    pub fn new(trained: Arc<Trained>, step_s: u32, thresholds: [f64; THRESHOLDS]) -> Self {
        let models: Vec<Box<dyn SeriesModel>> = vec![
            Box::new(Ets::new(step_s, thresholds)),
            Box::new(Naive::new(Repeats::Day, step_s, thresholds)),
        ];
        Self {
            blend: Blend::new(models.len() + 1),
            stacks: std::array::from_fn(|_| Stack::new(models.len() + 1)),
            scored: Default::default(),
            models,
            core: Boosted::new(trained, step_s, thresholds),
            thresholds,
            confidence: None,
            awaited: VecDeque::new(),
        }
    }

    /// What everybody says now, the core first, and what the residual blocks say for themselves; one that says nothing
    /// repeats the core.
    fn ask(&mut self) -> Option<(Vec<Forecast>, Chances)> {
        let (core, of_blocks) = self.core.forecast_and_blocks()?;
        let mut said = Vec::with_capacity(self.models.len() + 1);
        said.push(core);
        for model in &mut self.models {
            let forecast = model.forecast().unwrap_or_else(|| said[0].clone());
            said.push(forecast);
        }
        Some((said, of_blocks))
    }

    fn stacked(&self, said: &[Forecast]) -> Chances {
        std::array::from_fn(|window| {
            std::array::from_fn(|column| {
                self.stacks[window].chance(said.iter().map(|forecast| forecast.chances[window][column]))
            })
        })
    }

    /// See [`Grounds`]: the predictors are the models that are joined and the residual blocks.
    fn confidence_in(&self, chances: &Chances, said: &[Forecast], of_blocks: &Chances) -> Chances {
        let seen = self.core.past().seen() as f64;
        std::array::from_fn(|window| {
            std::array::from_fn(|column| {
                let all = said.iter().map(|forecast| &forecast.chances).chain([of_blocks]);
                let predictors: Vec<f64> = all.map(|chances| chances[window][column]).collect();
                confidence(&Grounds {
                    chance: chances[window][column],
                    predictors: &predictors,
                    windows: seen / STEPS[window],
                    known_inputs: self.core.known_inputs(),
                    past: self.scored[window].brier(),
                })
            })
        })
    }

    fn judge(&mut self, steps: usize) {
        let past = self.core.past();
        if steps > 1 || past.back(0).is_nan() {
            self.awaited.clear();
            return;
        }
        for awaited in &mut self.awaited {
            awaited.steps += 1;
        }
        let due = self.awaited.front().is_some_and(|first| first.steps == HORIZON);
        let Some(due) = due.then(|| self.awaited.pop_front()).flatten() else {
            return;
        };
        let outcome = targets_of(&past.path());
        let scale = past.scale();
        for (target, outcome) in outcome.iter().enumerate() {
            let said: Vec<_> = due
                .said
                .iter()
                .map(|forecast| &forecast.quantiles[target])
                .collect();
            self.blend.judge(target, &said, *outcome, scale);
        }
        for (window, stack) in self.stacks.iter_mut().enumerate() {
            for (column, threshold) in self.thresholds.iter().enumerate() {
                let said = due.said.iter().map(|forecast| forecast.chances[window][column]);
                let happened = outcome[WINDOW_TARGETS[window]] > *threshold;
                stack.judge(said, happened);
                self.scored[window].judge(due.chances[window][column], happened);
            }
        }
    }
}

impl SeriesModel for Auto {
    fn observe(&mut self, time_s: i64, value: f64) -> Result<(), NotLater> {
        let seen = self.core.past().len();
        let before_s = self.core.last_s();
        self.core.observe(time_s, value)?;
        for model in &mut self.models {
            model.observe(time_s, value)?;
        }
        let steps = before_s.map_or(1, |before_s| self.core.past().steps_since(before_s).max(1));
        self.judge(if seen == 0 { 1 } else { steps });
        if self.core.past().seen().is_multiple_of(EVERY)
            && let Some((said, _)) = self.ask()
        {
            let chances = self.stacked(&said);
            self.awaited.push_back(Awaited {
                steps: 0,
                said,
                chances,
            });
        }
        Ok(())
    }

    fn set_calendar(&mut self, calendar: &Arc<Calendar>) {
        self.core.set_calendar(calendar);
        for model in &mut self.models {
            model.set_calendar(calendar);
        }
    }

    fn observe_fine(&mut self, time_s: i64, value: f64) {
        self.core.observe_fine(time_s, value);
    }

    fn last_s(&self) -> Option<i64> {
        self.core.last_s()
    }

    fn forecast(&mut self) -> Option<Forecast> {
        let (said, of_blocks) = self.ask()?;
        let quantiles = std::array::from_fn(|target: usize| {
            let said: Vec<_> = said.iter().map(|forecast| &forecast.quantiles[target]).collect();
            self.blend.join(target, &said)
        });
        let chances = self.stacked(&said);
        let _: [_; TARGET_COUNT] = quantiles;
        self.confidence = Some(self.confidence_in(&chances, &said, &of_blocks));
        Some(Forecast { quantiles, chances })
    }

    fn confidence(&self) -> Option<Chances> {
        self.confidence
    }

    fn teach(&mut self, learner: &mut Learner) {
        self.core.teach(learner);
    }

    fn adopt(&mut self, trained: &Arc<Trained>) {
        self.core.adopt(trained);
    }
}
