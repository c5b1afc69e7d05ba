//! What was decided for which function, recipe and CPU model, kept across restarts.
//!
//! Why so: a trial costs half a minute of switching, and its answer holds as long as the function's blob, the
//! recipe and the CPU stay what they are. A variant that a trial kept is used once a second trial, with fresh blocks in
//! another episode of contention, has kept it too: the two together make a false acceptance rare enough for hundreds
//! of attempts.
//! A variant in use is looked after: now and then a few blocks compare it with the base again, and what they say together
//! may end its use; then it is tried from the start.
//! A verdict ages: after [`Choice::LIFETIME_S`] it is tried again, and a
//! variant that was not kept gets only so many further attempts.
//!
//! Not here: the trial. The file is JSON with a version, written beside its place and renamed.

use crate::VariantsError;
use crate::error::at;
use crate::recipe::Recipe;
use crate::trial::{Gain, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tidegate_format::FunctionHash;

const VERSION: u32 = 1;
/// The file stays small enough to be written at once; the oldest verdicts go first.
const CHOICE_LIMIT: usize = 10_000;

/// A remembered verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The function's name, for people.
    pub function: String,
    /// What the trial said.
    pub verdict: Verdict,
    /// When, in seconds since the Unix epoch.
    pub at_utc_s: u64,
    /// How many trials there were.
    pub trials: u32,
    /// Whether two trials in a row, in different episodes, kept it.
    #[serde(default)]
    pub confirmed: bool,
    /// What the checks since then say together.
    #[serde(default)]
    pub checked: Option<Gain>,
}

impl Choice {
    /// A week: programs' inputs change with the calendar.
    pub const LIFETIME_S: u64 = 7 * 24 * 3600;
    /// Trials of a variant that was not kept: with a false-accept rate of about 0.1 %, three stay harmless.
    pub const RETRY_LIMIT: u32 = 3;
}

/// What to do about a variant, given what is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Nothing is known, or it is too old.
    Try,
    /// It helped in this episode; a trial in another one is to confirm it. The base until then.
    Wait,
    /// It helped, and was confirmed.
    Use,
    /// It did not.
    KeepBase,
}

/// All remembered verdicts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choices {
    entries: BTreeMap<String, Choice>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    choices: BTreeMap<String, Choice>,
}

/// The name of a verdict: function hash, recipe, CPU model.
fn name(hash: FunctionHash, recipe: &Recipe, cpu_model: &str) -> String {
    format!("{hash}/{recipe}/{cpu_model}")
}

impl Choices {
    /// Reads the file; none is no verdicts.
    ///
    /// # Errors
    /// [`VariantsError::File`], [`VariantsError::Stored`], [`VariantsError::StoredVersion`].
    pub fn load(path: &Path) -> Result<Self, VariantsError> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(at(path)(error)),
        };
        Self::parse(path, &text)
    }

    /// Reads the file's bytes; `path` is only named in errors.
    ///
    /// # Errors
    /// [`VariantsError::Stored`], [`VariantsError::StoredVersion`].
    pub fn parse(path: &Path, text: &[u8]) -> Result<Self, VariantsError> {
        let damaged = |error: serde_json::Error| VariantsError::Stored {
            path: path.to_path_buf(),
            what: error.to_string(),
        };
        let value: serde_json::Value = serde_json::from_slice(text).map_err(damaged)?;
        let found = value
            .get("version")
            .and_then(serde_json::Value::as_u64)
            .unwrap_or(0) as u32;
        if found != VERSION {
            return Err(VariantsError::StoredVersion {
                path: path.to_path_buf(),
                found,
                known: VERSION,
            });
        }
        let stored: Stored = serde_json::from_value(value).map_err(damaged)?;
        Ok(Self {
            entries: stored.choices,
        })
    }

    /// Writes the file.
    ///
    /// # Errors
    /// [`VariantsError::File`].
    pub fn save(&self, path: &Path) -> Result<(), VariantsError> {
        let stored = Stored {
            version: VERSION,
            choices: self.entries.clone(),
        };
        // Names, numbers and words: nothing that JSON cannot hold, for intervals are finite.
        let text = serde_json::to_vec_pretty(&stored).unwrap_or_default();
        let draft = path.with_extension(format!("draft.{}", std::process::id()));
        fs::write(&draft, text)
            .and_then(|()| fs::rename(&draft, path))
            .map_err(at(path))
    }

    /// What is remembered.
    pub fn get(&self, hash: FunctionHash, recipe: &Recipe, cpu_model: &str) -> Option<&Choice> {
        self.entries.get(&name(hash, recipe, cpu_model))
    }

    /// What to do in the episode of contention that began, or will begin, at `episode_utc_s`.
    pub fn advice(&self, hash: FunctionHash, recipe: &Recipe, cpu_model: &str, episode_utc_s: u64) -> Advice {
        match self.get(hash, recipe, cpu_model) {
            None => Advice::Try,
            Some(choice) if episode_utc_s.saturating_sub(choice.at_utc_s) > Choice::LIFETIME_S => Advice::Try,
            Some(choice) if choice.verdict.kept && choice.confirmed => Advice::Use,
            Some(choice) if choice.verdict.kept && choice.at_utc_s < episode_utc_s => Advice::Try,
            Some(choice) if choice.verdict.kept => Advice::Wait,
            Some(choice) if choice.trials < Choice::RETRY_LIMIT && may_change(choice) => Advice::Try,
            Some(_) => Advice::KeepBase,
        }
    }

    /// Adds what a check of a variant in use showed. Gives true where the gain no longer holds: the verdict is
    /// forgotten, and the variant tried anew.
    pub fn add_check(
        &mut self,
        (hash, recipe, cpu_model): (FunctionHash, &Recipe, &str),
        shown: Gain,
        least_gain: f64,
    ) -> bool {
        let name = name(hash, recipe, cpu_model);
        let Some(choice) = self.entries.get_mut(&name) else {
            return false;
        };
        let together = choice.checked.map_or(shown, |before| before.pooled(shown));
        choice.checked = Some(together);
        let gone = together.upper < least_gain;
        if gone {
            self.entries.remove(&name);
        }
        gone
    }

    /// Remembers a verdict.
    pub fn put(
        &mut self,
        (hash, recipe, cpu_model): (FunctionHash, &Recipe, &str),
        function: &str,
        verdict: Verdict,
        now_utc_s: u64,
    ) {
        let name = name(hash, recipe, cpu_model);
        let before = self.entries.get(&name);
        let trials = before.map_or(0, |choice| choice.trials) + 1;
        let confirmed = verdict.kept && before.is_some_and(|choice| choice.verdict.kept);
        let choice = Choice {
            function: function.to_owned(),
            verdict,
            at_utc_s: now_utc_s,
            trials,
            confirmed,
            checked: None,
        };
        self.entries.insert(name, choice);
        while self.entries.len() > CHOICE_LIMIT {
            let oldest = self
                .entries
                .iter()
                .min_by_key(|(_, choice)| choice.at_utc_s)
                .map(|(name, _)| name.clone());
            oldest.and_then(|name| self.entries.remove(&name));
        }
    }
}

/// A trial that could not be measured may be measurable another time; a clear answer stays.
fn may_change(choice: &Choice) -> bool {
    use crate::trial::Ground;
    matches!(choice.verdict.ground, Ground::Disturbed | Ground::NotMeasurable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::Ground;
    use tidegate_format::scenario::Scenario;

    const HASH: FunctionHash = FunctionHash([9; 16]);

    fn verdict(ground: Ground) -> Verdict {
        let gain = Gain {
            estimate: 0.05,
            lower: 0.03,
            upper: 0.07,
        };
        let kept = ground == Ground::Helps;
        Verdict {
            kept,
            ground,
            over_base: gain,
            over_placebo: gain,
            blocks: 48,
            dropped: 0,
        }
    }

    fn check(grounds: &[Ground], now_utc_s: u64, expect: Advice) {
        let mut choices = Choices::default();
        for ground in grounds {
            choices.put(
                (HASH, &Recipe::plain(Scenario::Cpu), "zen"),
                "sum",
                verdict(*ground),
                100,
            );
        }
        let cpu = Recipe::plain(Scenario::Cpu);
        assert_eq!(choices.advice(HASH, &cpu, "zen", now_utc_s), expect);
        let second = Recipe {
            candidate: 1,
            ..cpu.clone()
        };
        for other in [&Recipe::plain(Scenario::Memory), &second] {
            assert_eq!(choices.advice(HASH, other, "zen", now_utc_s), Advice::Try);
        }
        assert_eq!(choices.advice(HASH, &cpu, "skylake", now_utc_s), Advice::Try);
    }

    #[test]
    fn verdicts_hold_for_their_function_scenario_and_cpu_until_they_are_old() {
        check(&[], 100, Advice::Try);
        check(&[Ground::Helps], 100, Advice::Wait);
        check(&[Ground::Helps], 200, Advice::Try);
        check(&[Ground::Helps; 2], 200, Advice::Use);
        check(&[Ground::Helps; 2], 100, Advice::Use);
        check(&[Ground::Helps, Ground::NoGain], 200, Advice::KeepBase);
        check(&[Ground::NoGain], 200, Advice::KeepBase);
        check(&[Ground::Helps; 2], 101 + Choice::LIFETIME_S, Advice::Try);
        check(&[Ground::Disturbed], 200, Advice::Try);
        check(&[Ground::Disturbed; 3], 200, Advice::KeepBase);
    }

    #[test]
    fn checks_together_end_the_use_of_what_no_longer_helps() {
        let cpu = Recipe::plain(Scenario::Cpu);
        let after = |estimate: f64| {
            let mut choices = Choices::default();
            for _ in 0..2 {
                choices.put((HASH, &cpu, "zen"), "sum", verdict(Ground::Helps), 100);
            }
            let shown = Gain {
                estimate,
                lower: estimate - 0.04,
                upper: estimate + 0.04,
            };
            let key = (HASH, &cpu, "zen");
            let ended = (1..=30).find(|_| choices.add_check(key, shown, 0.015));
            assert_eq!(
                choices.advice(HASH, &cpu, "zen", 200) == Advice::Try,
                ended.is_some()
            );
            ended
        };
        assert_eq!(after(0.05), None, "it still helps");
        assert_eq!(after(0.016), None, "it helps a little");
        assert_eq!(after(0.0), Some(8), "one check is not enough");
        assert_eq!(after(-0.05), Some(1), "it harms");
    }

    #[test]
    fn the_file_reads_back_and_refuses_other_versions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("choices.json");
        assert_eq!(Choices::load(&path).unwrap(), Choices::default());
        let mut choices = Choices::default();
        choices.put(
            (HASH, &Recipe::plain(Scenario::Cpu), "zen"),
            "sum",
            verdict(Ground::Helps),
            100,
        );
        choices.save(&path).unwrap();
        assert_eq!(Choices::load(&path).unwrap(), choices);
        fs::write(&path, "{\"version\": 7}").unwrap();
        assert!(matches!(
            Choices::load(&path),
            Err(VariantsError::StoredVersion { found: 7, .. })
        ));
        fs::write(&path, "{\"version\": 1").unwrap();
        assert!(matches!(Choices::load(&path), Err(VariantsError::Stored { .. })));
    }
}
