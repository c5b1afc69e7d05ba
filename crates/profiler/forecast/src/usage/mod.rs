//! The trained model on the live map: who speaks, how far it is believed, and when it is taken back.
//!
//! A model is promoted by the name of its bytes. What it says of a unit (`peaks`) and what the simple event model says
//! are joined by a logistic regression per window that learns with every untreated outcome (`models::stack`). Both are
//! scored; where the trained one costs more than it brings it stands down until it has earned its place again. After a
//! promotion the model before goes on in the shadow for a while: where the new one does worse, it is taken back.

mod height;
pub(crate) mod peaks;

use crate::model::WINDOWS;
use crate::models::LEVELS;
use crate::models::past::Past;
use crate::models::peaks::{PeakModel, STEP_S, WINDOWS_S};
use crate::models::stack::Stack;
use crate::score::WindowScore;
use peaks::Peaks;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Weights of the trained and of the simple model before anything was learned: both are weak on a host that is new.
const BEGIN: [f64; 2] = [0.6, 0.4];
/// Whole windows that the trained model may cost more than the simple one, and that it must save to speak again.
const FALL: f64 = 12.0;
const RISE: f64 = 6.0;
/// Whole windows by which a promoted model may be worse than the one before, or better, until that is settled.
const TRIAL: f64 = 6.0;
/// Independent windows after which a trial ends with what there is.
const TRIAL_WORTH: f64 = 5000.0;
/// Seconds between two forecasts of one unit.
const EVERY_S: f64 = 59.0;
/// Forecasts of one map, so that a full minute's work is spread over its maps: this many, or a fifth of the units.
const PER_MAP_MIN: usize = 64;
/// Models on the shelf: the one in force, the one before, and one to come.
const SHELF_MAX: usize = 4;
/// Places in [`LEVELS`] of the quantiles that are shown.
const SHOWN: [usize; 3] = [1, 5, 9];

/// A model by its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Named {
    name: Arc<str>,
    host_rows: u32,
    #[serde(skip)]
    model: Option<Arc<PeakModel>>,
}

/// What was foretold of one unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Told {
    made_s: f64,
    generation: u32,
    /// P(an event) within each window of the map.
    pub(crate) chances: [f32; WINDOWS],
    /// The same by the model before.
    before: Option<[f32; WINDOWS]>,
    /// Quantiles of the highest load within the hour, in the measure of the unit's peaks.
    pub(crate) height: [f32; 3],
}

/// What both models said when a prediction was made, until its windows close.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Witness {
    pub(crate) trained: [f32; WINDOWS],
    pub(crate) before: Option<[f32; WINDOWS]>,
    pub(crate) simple: [f32; WINDOWS],
}

/// How the trained model and the simple one have done, over all units and untreated windows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelReport {
    /// Name of the model in force: the hash of its bytes; absent where there is none.
    pub name: Option<Arc<str>>,
    /// Rows of this host that it learned from; 0: as shipped.
    pub host_rows: u32,
    /// Whether it is left out for lack of skill.
    pub stood_down: bool,
    /// The model that would be taken back.
    pub before: Option<Arc<str>>,
    /// Its scores in the order of the windows, while nothing went on.
    pub trained: [WindowScore; WINDOWS],
    /// Scores of the simple event model on the same windows.
    pub simple: [WindowScore; WINDOWS],
}

/// What all units share of the trained model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Usage {
    current: Option<Named>,
    before: Option<Named>,
    generation: u32,
    stacks: [Stack; WINDOWS],
    /// Worth of outcomes that no stack has learned from yet: neighbouring windows tell much the same.
    credit: [f64; WINDOWS],
    scores: [[WindowScore; WINDOWS]; 2],
    cost: f64,
    saved: f64,
    stood_down: bool,
    trial_cost: f64,
    trial_worth: f64,
    #[serde(skip)]
    shelf: BTreeMap<Arc<str>, Arc<PeakModel>>,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            current: None,
            before: None,
            generation: 0,
            stacks: std::array::from_fn(|_| Stack::weighted(&BEGIN)),
            credit: [0.0; WINDOWS],
            scores: Default::default(),
            cost: 0.0,
            saved: 0.0,
            stood_down: false,
            trial_cost: 0.0,
            trial_worth: 0.0,
            shelf: BTreeMap::new(),
        }
    }
}

/// Forecasts of one map that may be made among `units`.
pub(crate) fn allowance(units: usize) -> usize {
    PER_MAP_MIN.max(units / 5)
}

impl Usage {
    /// Names of the models that must be on the shelf for the next map.
    pub(crate) fn needed(&self) -> impl Iterator<Item = &Arc<str>> {
        let named = self.current.iter().chain(&self.before);
        named
            .filter(|named| named.model.is_none())
            .map(|named| &named.name)
    }

    /// Forgets the models whose bytes are lost.
    pub(crate) fn forget_lost(&mut self) {
        if self.needed().next().is_none() {
            return;
        }
        for named in [&mut self.current, &mut self.before] {
            named.take_if(|named| named.model.is_none());
        }
        self.begin_trial();
    }

    /// Name of the model in force.
    pub(crate) fn name(&self) -> Option<&Arc<str>> {
        self.current.as_ref().map(|named| &named.name)
    }

    /// Puts a model on the shelf, where a promotion finds it.
    pub(crate) fn supply(&mut self, name: &Arc<str>, model: Arc<PeakModel>) {
        for named in self.current.iter_mut().chain(&mut self.before) {
            if named.name == *name {
                named.model = Some(model.clone());
            }
        }
        if self.shelf.len() >= SHELF_MAX {
            self.shelf.pop_first();
        }
        self.shelf.insert(name.clone(), model);
    }

    /// Puts a model in force; what to say of it.
    pub(crate) fn promote(&mut self, name: &Arc<str>) -> Result<String, String> {
        if self.name() == Some(name) {
            return Ok(format!("model {} is in force already", short(name)));
        }
        let Some(model) = self.shelf.get(name) else {
            return Err(format!(
                "model {} is not there; the one before stays in force",
                short(name)
            ));
        };
        let host_rows = model.host_rows;
        let named = Named {
            name: name.clone(),
            host_rows,
            model: Some(model.clone()),
        };
        self.before = self.current.replace(named);
        self.begin_trial();
        Ok(if host_rows == 0 {
            format!("model {} is in force, as it was shipped", short(name))
        } else {
            format!(
                "model {} is in force, trained on {host_rows} rows of this host",
                short(name)
            )
        })
    }

    fn begin_trial(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.trial_cost = 0.0;
        self.trial_worth = 0.0;
    }

    /// Makes the unit's forecast anew where it is old; true where it was. `past` is room to work in.
    pub(crate) fn foretell(
        &self,
        peaks: &Peaks,
        told: &mut Option<Told>,
        has_capacity: bool,
        windows_s: [u32; WINDOWS],
        now_s: f64,
        past: &mut Past,
    ) -> bool {
        let Some(model) = self.current.as_ref().and_then(|named| named.model.as_ref()) else {
            return false;
        };
        let fresh = |told: &Told| {
            told.generation == self.generation && (0.0..EVERY_S).contains(&(now_s - told.made_s))
        };
        if told.as_ref().is_some_and(fresh) {
            return false;
        }
        *told = None;
        if !peaks.lay_out(past) {
            return false;
        }
        let Some(threshold) = peaks.threshold(past, has_capacity) else {
            return false;
        };
        let Some(said) = model.foretell(past, threshold) else {
            return false;
        };
        let before = self.before.as_ref().and_then(|named| named.model.as_ref());
        let before = before.and_then(|model| model.foretell(past, threshold));
        let single =
            |chances: [f64; WINDOWS_S.len()]| within(&chances, windows_s).map(|chance| chance as f32);
        *told = Some(Told {
            made_s: now_s,
            generation: self.generation,
            chances: single(said.chances),
            before: before.map(|before| single(before.chances)),
            height: SHOWN.map(|level| said.height[level] as f32),
        });
        true
    }

    /// What is said of a unit by both models together; `None` while the trained one has no voice.
    pub(crate) fn joined(&self, told: Option<&Told>, simple: &[f64; WINDOWS]) -> Option<[f64; WINDOWS]> {
        let told = told.filter(|_| !self.stood_down)?;
        Some(std::array::from_fn(|window| {
            let said = [f64::from(told.chances[window]), simple[window]];
            self.stacks[window].chance(said.into_iter())
        }))
    }

    /// Takes in what came in the window number `window`; what there is to say of it.
    pub(crate) fn learn(
        &mut self,
        witness: &Witness,
        window: usize,
        event: bool,
        worth: f64,
    ) -> Option<String> {
        let trained = f64::from(witness.trained[window]);
        let simple = f64::from(witness.simple[window]);
        self.credit[window] += worth;
        if self.credit[window] >= 1.0 {
            self.credit[window] -= 1.0;
            self.stacks[window].judge([trained, simple].into_iter(), event);
        }
        self.scores[0][window].add(trained, event, worth);
        self.scores[1][window].add(simple, event, worth);
        let came = f64::from(u8::from(event));
        let excess = worth * ((trained - came).powi(2) - (simple - came).powi(2));
        self.cost = (self.cost + excess).max(0.0);
        self.saved = (self.saved - excess).max(0.0);
        let standing = self.stand();
        // What was said before a model was taken back is no trial of the one in force.
        let trial = witness
            .before
            .filter(|_| self.before.is_some())
            .and_then(|before| {
                let before = f64::from(before[window]);
                self.trial_worth += worth;
                self.trial_cost += worth * ((trained - came).powi(2) - (before - came).powi(2));
                self.settle()
            });
        trial.or(standing)
    }

    fn stand(&mut self) -> Option<String> {
        if !self.stood_down && self.cost > FALL {
            self.stood_down = true;
            self.saved = 0.0;
            return Some(
                "the trained model has cost more than it brought: the simple one speaks alone".to_owned(),
            );
        }
        if self.stood_down && self.saved > RISE {
            self.stood_down = false;
            self.cost = 0.0;
            return Some("the trained model speaks again: it would have been right".to_owned());
        }
        None
    }

    fn settle(&mut self) -> Option<String> {
        if self.trial_cost > TRIAL {
            let worse = std::mem::replace(&mut self.current, self.before.take())?;
            self.begin_trial();
            let now = self
                .name()
                .map_or_else(|| "none".to_owned(), |name| short(name).to_owned());
            return Some(format!(
                "model {} has done worse than the one before: {now} is in force again",
                short(&worse.name)
            ));
        }
        if self.trial_cost < -TRIAL || self.trial_worth > TRIAL_WORTH {
            self.before = None;
        }
        None
    }

    /// Where the model in force has its knowledge from, in words.
    pub(crate) fn origin(&self) -> String {
        match self.current.as_ref().map_or(0, |named| named.host_rows) {
            0 => "shipped model, not yet trained here".to_owned(),
            rows => format!("model trained on {rows} rows of this host"),
        }
    }

    /// How the models have done.
    pub(crate) fn report(&self) -> ModelReport {
        ModelReport {
            name: self.name().cloned(),
            host_rows: self.current.as_ref().map_or(0, |named| named.host_rows),
            stood_down: self.stood_down,
            before: self.before.as_ref().map(|named| named.name.clone()),
            trained: self.scores[0],
            simple: self.scores[1],
        }
    }
}

impl Told {
    /// What both said, kept until the windows close.
    pub(crate) fn witness(&self, simple: &[f64; WINDOWS]) -> Witness {
        Witness {
            trained: self.chances,
            before: self.before,
            simple: simple.map(|chance| chance as f32),
        }
    }
}

/// A past to lay peaks out in.
pub(crate) fn room() -> Past {
    debug_assert!(SHOWN.iter().all(|level| *level < LEVELS.len()));
    Past::new(STEP_S)
}

/// The first letters of a hash, as people read it.
fn short(name: &str) -> &str {
    name.get(..12).unwrap_or(name)
}

/// Chances within other windows: between those that were trained, events are taken to come at a steady rate.
fn within(chances: &[f64; WINDOWS_S.len()], windows_s: [u32; WINDOWS]) -> [f64; WINDOWS] {
    let hazard = chances.map(|chance| -(1.0 - chance.clamp(0.0, 1.0 - 1e-9)).ln());
    windows_s.map(|window_s| {
        let (mut from_s, mut from) = (0.0, 0.0);
        let at_s = f64::from(window_s);
        for (until_s, until) in WINDOWS_S.iter().zip(hazard) {
            let until_s = f64::from(*until_s);
            let until = until.max(from);
            if at_s <= until_s {
                let share = (at_s - from_s) / (until_s - from_s);
                return -(-(from + share * (until - from))).exp_m1();
            }
            (from_s, from) = (until_s, until);
        }
        -(-(from * at_s / from_s)).exp_m1()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_within_other_windows_are_nested() {
        let told = within(&[0.5, 0.6, 0.9], [60, 300, 900, 3600]);
        assert!((told[0] - (1.0 - 0.5_f64.powf(0.2))).abs() < 1e-9);
        assert!(told.is_sorted() && (told[1] - 0.5).abs() < 1e-9 && (told[3] - 0.9).abs() < 1e-6);
        assert!(within(&[0.5, 0.4, 0.9], [60, 600, 1800, 7200]).is_sorted());
    }

    fn witness(trained: f32, before: Option<f32>, simple: f32) -> Witness {
        Witness {
            trained: [trained; WINDOWS],
            before: before.map(|chance| [chance; WINDOWS]),
            simple: [simple; WINDOWS],
        }
    }

    fn with_two_models() -> Usage {
        let mut usage = Usage::default();
        for (name, host_rows) in [("first", 0), ("second", 700)] {
            let name: Arc<str> = name.into();
            let model = PeakModel {
                host_rows,
                ..PeakModel::default()
            };
            usage.supply(&name, Arc::new(model));
            usage.promote(&name).expect("it is on the shelf");
        }
        usage
    }

    #[test]
    fn a_model_that_does_worse_than_the_one_before_is_taken_back() {
        let mut usage = with_two_models();
        assert!(usage.origin().contains("700 rows"));
        let said: Vec<String> = (0..40)
            .filter_map(|_| usage.learn(&witness(0.9, Some(0.1), 0.5), 0, false, 1.0))
            .collect();
        assert!(
            said.iter().any(|text| text.contains("in force again")),
            "{said:?}"
        );
        assert_eq!(usage.name().map(|name| &**name), Some("first"));
        assert!(usage.origin().contains("shipped"));
        let mut usage = with_two_models();
        for _ in 0..40 {
            usage.learn(&witness(0.1, Some(0.9), 0.5), 0, false, 1.0);
        }
        assert_eq!(usage.report().before, None, "it has earned its place");
    }

    #[test]
    fn a_model_without_skill_stands_down_and_returns() {
        let mut usage = with_two_models();
        let told = |usage: &Usage| {
            let told = Told {
                made_s: 0.0,
                generation: 0,
                chances: [0.9; WINDOWS],
                before: None,
                height: [0.0; 3],
            };
            usage.joined(Some(&told), &[0.1; WINDOWS])
        };
        let begin = told(&usage).expect("it speaks")[0];
        assert!((0.3..0.9).contains(&begin), "{begin}");
        for _ in 0..40 {
            usage.learn(&witness(0.9, None, 0.1), 1, false, 1.0);
        }
        assert_eq!(told(&usage), None);
        for _ in 0..40 {
            usage.learn(&witness(0.9, None, 0.1), 1, true, 1.0);
        }
        assert!(told(&usage).is_some());
    }

    #[test]
    fn a_model_that_is_not_there_changes_nothing() {
        let mut usage = with_two_models();
        assert!(usage.promote(&"other".into()).is_err());
        assert_eq!(usage.name().map(|name| &**name), Some("second"));
    }
}
