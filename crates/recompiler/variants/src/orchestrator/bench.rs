//! The second thread: compiling and trying, one job after another.
//!
//! Not here: which jobs there are; see [`super::conductor`].

use super::{Settings, Shared, lock};
use crate::VariantsError;
use crate::live::{LiveTrial, Subject};
use crate::recipe::Recipe;
use crate::switchboard::Switchboard;
use crate::trial::{Config, Verdict};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use tidegate_format::FunctionHash;
use tidegate_format::scenario::Scenario;
use tidegate_types::AppName;

/// A long thing to do.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) app: AppName,
    pub(super) subject: Subject,
    pub(super) name: String,
    pub(super) hash: FunctionHash,
    pub(super) recipe: Recipe,
    pub(super) kind: JobKind,
}

impl Job {
    /// Whether its function is switched to and fro by it.
    pub(super) fn is_on_trial(&self) -> bool {
        self.kind != JobKind::Compile && self.kind != JobKind::CompileWithPlacebo
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum JobKind {
    /// Compile and load the variant.
    Compile,
    /// The placebo too.
    CompileWithPlacebo,
    /// Try the variant.
    Try,
    /// Compare the variant in use with the base again.
    Check,
}

#[derive(Debug)]
pub(super) enum Outcome {
    Prepared(Result<(), VariantsError>),
    Tried(Result<Option<Verdict>, VariantsError>),
}

/// The second thread: one job after another. Interrupted trials wait here for their next episode.
pub(super) struct Bench {
    shared: Arc<Shared>,
    board: Switchboard,
    trials: BTreeMap<(u32, u32, Recipe, JobKind), LiveTrial>,
    settings: Settings,
}

impl Bench {
    pub(super) fn new(shared: Arc<Shared>, board: Switchboard, settings: Settings) -> Self {
        Self {
            shared,
            board,
            trials: BTreeMap::new(),
            settings,
        }
    }

    pub(super) fn serve(mut self, jobs: &Receiver<Job>, results: &Sender<(Job, Outcome)>) {
        for job in jobs {
            let outcome = match job.kind {
                JobKind::Compile => Outcome::Prepared(self.prepare(&job, false)),
                JobKind::CompileWithPlacebo => Outcome::Prepared(self.prepare(&job, true)),
                JobKind::Try => Outcome::Tried(self.try_out(&job, self.settings.trial)),
                JobKind::Check => Outcome::Tried(self.try_out(&job, self.settings.trial.for_check())),
            };
            if results.send((job, outcome)).is_err() {
                return;
            }
            self.shared.wake();
        }
    }

    fn prepare(&self, job: &Job, with_placebo: bool) -> Result<(), VariantsError> {
        let Subject {
            process, function, ..
        } = job.subject;
        let mut recipes = vec![job.recipe.clone()];
        if with_placebo {
            recipes.push(Recipe::plain(Scenario::Placebo));
        }
        for recipe in recipes {
            for prepared in self
                .board
                .prepare_recipe(process, &recipe, |info| info.index == function)?
            {
                prepared.outcome?;
            }
        }
        Ok(())
    }

    fn try_out(&mut self, job: &Job, config: Config) -> Result<Option<Verdict>, VariantsError> {
        let Subject {
            process, function, ..
        } = job.subject;
        let key = (process, function, job.recipe.clone(), job.kind);
        let seed = self.settings.seed ^ u64::from(process) << 32 ^ u64::from(function);
        let fresh = || LiveTrial::new(job.subject, config, seed);
        let mut trial = self.trials.remove(&key).unwrap_or_else(fresh);
        *lock(&self.shared.on_trial) = Some(process);
        let goes_on = || self.shared.trial_goes_on.load(Ordering::Acquire);
        let disturbed = || self.shared.disturbed.swap(false, Ordering::AcqRel);
        let outcome = trial.run(&self.board, goes_on, disturbed);
        *lock(&self.shared.on_trial) = None;
        if matches!(outcome, Ok(None)) {
            self.trials.insert(key, trial);
        }
        let board = &self.board;
        self.trials
            .retain(|(process, ..), _| board.is_connected(*process));
        outcome
    }
}
