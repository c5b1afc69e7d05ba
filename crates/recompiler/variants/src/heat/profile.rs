//! The heat profile: weights of samples per process, core and function, with a half-life.
//!
//! Why so: pure counting, so that the choice of functions can be tested without a kernel. What is not a
//! switchable function counts into the total: a share is a share of the process's time on those cores.
//!
//! Not here: where the samples come from.

use std::collections::BTreeMap;

/// Weights below this are forgotten.
const FORGET_WEIGHT: f64 = 0.05;
/// More cells than any profile needs; the coldest go first.
const CELL_LIMIT: usize = 100_000;

/// A place in the profile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cell {
    process: u32,
    core: u32,
    /// The function; `None` for everything that is not switchable.
    function: Option<String>,
}

/// A function and its share.
#[derive(Clone, Debug, PartialEq)]
pub struct Hot {
    /// Linker name.
    pub function: String,
    /// Share of the process's samples on the cores asked for.
    pub share: f64,
}

/// What to take from a profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pick {
    /// At most so many functions.
    pub functions: usize,
    /// None below this share.
    pub least_share: f64,
    /// No more once these are reached together.
    pub together: f64,
}

impl Default for Pick {
    /// Eight functions of at least 2 % each, or as many as make 80 %: what telemetry shows of real programs.
    fn default() -> Self {
        Self {
            functions: 8,
            least_share: 0.02,
            together: 0.8,
        }
    }
}

/// The profile.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    cells: BTreeMap<Cell, f64>,
}

impl Profile {
    /// Adds one sample.
    pub fn add(&mut self, process: u32, core: u32, function: Option<&str>) {
        let cell = Cell {
            process,
            core,
            function: function.map(str::to_owned),
        };
        if self.cells.len() >= CELL_LIMIT && !self.cells.contains_key(&cell) {
            self.cells.retain(|_, weight| *weight > 1.0);
        }
        *self.cells.entry(cell).or_insert(0.0) += 1.0;
    }

    /// Lets `elapsed_s` pass, with a half-life of `half_life_s`.
    pub fn age(&mut self, elapsed_s: f64, half_life_s: f64) {
        let factor = 0.5_f64.powf(elapsed_s / half_life_s);
        self.cells.retain(|_, weight| {
            *weight *= factor;
            *weight >= FORGET_WEIGHT
        });
    }

    /// Forgets a process.
    pub fn forget(&mut self, process: u32) {
        self.cells.retain(|cell, _| cell.process != process);
    }

    /// The weight of all samples of a process on these cores (none named: on all).
    pub fn total(&self, process: u32, cores: &[u32]) -> f64 {
        self.on(process, cores).map(|(_, weight)| weight).sum()
    }

    /// The hottest switchable functions of a process on these cores (none named: on all), hottest first.
    pub fn hottest(&self, process: u32, cores: &[u32], pick: Pick) -> Vec<Hot> {
        let total = self.total(process, cores);
        let mut weights: BTreeMap<&str, f64> = BTreeMap::new();
        for (cell, weight) in self.on(process, cores) {
            if let Some(function) = &cell.function {
                *weights.entry(function).or_insert(0.0) += weight;
            }
        }
        let mut hot: Vec<Hot> = weights
            .into_iter()
            .map(|(function, weight)| Hot {
                function: function.to_owned(),
                share: weight / total,
            })
            .filter(|hot| hot.share >= pick.least_share)
            .collect();
        hot.sort_by(|left, right| {
            right
                .share
                .total_cmp(&left.share)
                .then_with(|| left.function.cmp(&right.function))
        });
        let mut together = 0.0;
        let enough = hot.iter().take_while(|hot| {
            let wanted = together < pick.together;
            together += hot.share;
            wanted
        });
        let count = enough.count().min(pick.functions);
        hot.truncate(count);
        hot
    }

    fn on<'a>(&'a self, process: u32, cores: &'a [u32]) -> impl Iterator<Item = (&'a Cell, f64)> {
        let cells = self.cells.iter().filter(move |(cell, _)| {
            cell.process == process && (cores.is_empty() || cores.contains(&cell.core))
        });
        cells.map(|(cell, weight)| (cell, *weight))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(samples: &[(u32, u32, Option<&str>, usize)]) -> Profile {
        let mut profile = Profile::default();
        for (process, core, function, count) in samples {
            (0..*count).for_each(|_| profile.add(*process, *core, *function));
        }
        profile
    }

    fn check(profile: &Profile, cores: &[u32], expect: &[&str]) {
        let hot = profile.hottest(1, cores, Pick::default());
        let names: Vec<_> = hot.iter().map(|hot| hot.function.as_str()).collect();
        assert_eq!(names, expect);
    }

    #[test]
    fn what_runs_on_one_core_is_hot_there_and_nowhere_else() {
        let profile = profile(&[
            (1, 0, Some("parse"), 60),
            (1, 0, Some("cold"), 1),
            (1, 0, None, 39),
            (1, 1, Some("scan"), 50),
            (2, 0, Some("other"), 100),
        ]);
        check(&profile, &[0], &["parse"]);
        check(&profile, &[1], &["scan"]);
        check(&profile, &[], &["parse", "scan"]);
        check(&profile, &[7], &[]);
    }

    #[test]
    fn enough_is_eighty_percent_together() {
        let profile = profile(&[
            (1, 0, Some("a"), 50),
            (1, 0, Some("b"), 35),
            (1, 0, Some("c"), 10),
            (1, 0, Some("d"), 5),
        ]);
        check(&profile, &[], &["a", "b"]);
    }

    #[test]
    fn heat_ages_and_is_forgotten() {
        let mut profile = profile(&[(1, 0, Some("old"), 64)]);
        profile.age(60.0, 10.0);
        (0..3).for_each(|_| profile.add(1, 0, Some("new")));
        let hot = profile.hottest(
            1,
            &[],
            Pick {
                together: 1.0,
                ..Pick::default()
            },
        );
        assert_eq!(
            hot.iter().map(|hot| hot.function.as_str()).collect::<Vec<_>>(),
            ["new", "old"]
        );
        profile.age(120.0, 10.0);
        assert_eq!(profile.total(1, &[]), 0.0);
    }
}
