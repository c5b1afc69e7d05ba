//! One shared unit: the tracks of its apps, and what their sum may come to.

use super::parts::Whole;
use super::peaks::Peaks;
use super::scenarios::{Joint, Scenario};
use super::survival::Survival;
use super::track::{COARSE, FINE, Level, ROW_S, ROWS_PER_COARSE, Track};
use crate::model::WINDOWS;
use crate::ring::push;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use tidegate_types::{AppName, Driver, Quantiles};

/// Windows up to so many fine rows are told by fine rows.
const FINE_STEPS_MAX: usize = 60;
/// Rows of an app that must be known before its own past stands in for where it was not seen.
const OWN_ROWS_MIN: usize = 6;
/// An app that was not seen for so many rows (two hours) is forgotten.
const GONE_ROWS: u32 = 1440;
/// Drivers that are named, and the smallest share of one.
const DRIVERS_MAX: usize = 5;
const SHARE_MIN: f64 = 0.02;
/// Scenarios that drivers are counted in.
const DRIVEN_MAX: usize = 64;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct UnitSum {
    apps: BTreeMap<AppName, Track>,
    /// What no app accounts for: the kernel, and what is too short-lived.
    rest: Track,
    /// What somebody outside took.
    lost: Track,
    /// Of each coarse row, the highest fine sum over its mean.
    excess: VecDeque<f32>,
    /// The fine sums of the coarse row that is being filled.
    filling: Vec<f32>,
    nominal: Option<f64>,
    /// What was said of its peaks.
    pub(super) peaks: Peaks,
}

/// What the sum of demands says of a unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Said {
    /// That the sum exceeds what there is within each window; 0 where that is not known.
    pub(crate) exceeds: [f64; WINDOWS],
    /// The highest sum within each window, where enough is known.
    pub(crate) peaks: [Option<Quantiles>; WINDOWS],
    /// Who makes the peak of the longest window that is told, largest share first.
    pub(crate) drivers: Vec<Driver>,
    /// What there is.
    pub(crate) capacity: Option<f64>,
}

/// Rows of both lengths have the same shape.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grid {
    Fine,
    Coarse,
}

fn ring(track: &Track, grid: Grid) -> &VecDeque<Level> {
    match grid {
        Grid::Fine => &track.fine,
        Grid::Coarse => &track.coarse,
    }
}

impl UnitSum {
    /// Takes in the unit as a whole; `used` is what its apps use together.
    pub(super) fn take_whole(&mut self, whole: &Whole, used: f64, seconds: f64) {
        self.nominal = whole.nominal;
        let rest = (whole.load - used).max(0.0) * whole.rest_scale;
        self.rest.add(Level::new(rest, false), seconds);
        self.lost.add(Level::new(whole.lost, false), seconds);
    }

    /// Takes in what `app` asks for; it was there for so many rows before.
    pub(super) fn take_part(&mut self, app: &AppName, asked: Level, seconds: f64, rows: usize) {
        if !self.apps.contains_key(app) {
            // Most apps never touch most units.
            if asked.amount() == Some(0.0) {
                return;
            }
            let blocks = rows.saturating_sub(self.filling.len()) / ROWS_PER_COARSE;
            // The unit may have come later than the app: no track is longer than its own.
            let track = Track::idle(rows.min(self.rest.fine.len()), blocks.min(self.rest.coarse.len()));
            self.apps.insert(app.clone(), track);
        }
        if let Some(track) = self.apps.get_mut(app) {
            track.add(asked, seconds);
        }
    }

    /// A row is over.
    pub(super) fn close_row(&mut self) {
        self.apps.retain(|_, track| track.unknown_rows() < GONE_ROWS);
        self.rest.close_row();
        self.lost.close_row();
        self.apps.values_mut().for_each(Track::close_row);
        let sum = self.newest();
        self.peaks.take_row(sum);
        self.filling.push(sum.amount().map_or(f32::NAN, |sum| sum as f32));
        if self.filling.len() >= ROWS_PER_COARSE {
            self.close_block();
        }
    }

    fn close_block(&mut self) {
        let known = || self.filling.iter().filter(|sum| !sum.is_nan());
        let mean = known().sum::<f32>() / known().count() as f32;
        let highest = known().fold(f32::NAN, |highest, sum| highest.max(*sum));
        push(&mut self.excess, highest - mean, COARSE);
        self.filling.clear();
        self.rest.close_block();
        self.lost.close_block();
        self.apps.values_mut().for_each(Track::close_block);
    }

    /// Whether the unit was not measured for long.
    pub(super) fn is_gone(&self) -> bool {
        self.rest.unknown_rows() >= GONE_ROWS
    }

    /// The sum of the newest row, of those that were there.
    fn newest(&self) -> Level {
        let last = |track: &Track| {
            track
                .fine
                .back()
                .copied()
                .filter(|level| level.amount().is_some())
        };
        if last(&self.rest).is_none() {
            return Level::UNKNOWN;
        }
        let everybody = self.apps.values().chain([&self.rest]);
        added(everybody.filter_map(last))
    }

    /// The sum over the apps that are there now, in rows of one length.
    fn joint(&self, grid: Grid, here: &[&Track]) -> Joint {
        let base = ring(&self.rest, grid);
        let known: Vec<bool> = base.iter().map(|level| level.amount().is_some()).collect();
        let rows = known.len();
        let mut joint = Joint {
            means: known
                .iter()
                .map(|known| if *known { 0.0 } else { f64::NAN })
                .collect(),
            excess: vec![0.0; rows],
            bound: vec![false; rows],
            now: now(grid, here),
        };
        for track in here {
            let levels = filled(track, grid, rows);
            for ((mean, bound), level) in joint.means.iter_mut().zip(&mut joint.bound).zip(levels) {
                *mean += level.amount().unwrap_or(0.0);
                *bound |= level.is_bound();
            }
        }
        if grid == Grid::Coarse {
            for (excess, seen) in joint.excess.iter_mut().zip(&self.excess) {
                *excess = f64::from(*seen);
            }
        }
        joint
    }

    /// The tracks that count now: of apps that are there, and of what no app accounts for.
    fn here<'a>(&'a self, is_here: impl Fn(&AppName) -> bool + 'a) -> Vec<(Option<&'a AppName>, &'a Track)> {
        let counts = move |(app, track): &(&AppName, &Track)| is_here(app) && track.now().amount().is_some();
        let apps = self.apps.iter().filter(counts);
        apps.map(|(app, track)| (Some(app), track))
            .chain([(None, &self.rest)])
            .collect()
    }

    /// What the demands come to within each window, of the apps that `is_here` names.
    pub(super) fn say(&self, windows_s: [u32; WINDOWS], is_here: impl Fn(&AppName) -> bool) -> Said {
        let here = self.here(is_here);
        let tracks: Vec<&Track> = here.iter().map(|(_, track)| *track).collect();
        let asked = Pasts::of(self, &tracks);
        // What is taken from outside comes on top, at the moments at which it is taken.
        let strained = self.lost.any().then(|| {
            let with_lost: Vec<&Track> = tracks.iter().copied().chain([&self.lost]).collect();
            Pasts::of(self, &with_lost)
        });
        let lost = self.lost.now().amount().unwrap_or(0.0);
        let mut said = Said {
            capacity: self.nominal.map(|nominal| (nominal - lost).max(0.0)),
            ..Said::default()
        };
        let mut longest: Option<(Grid, Vec<Scenario>)> = None;
        for (window, window_s) in windows_s.into_iter().enumerate() {
            said.exceeds[window] = window.checked_sub(1).map_or(0.0, |before| said.exceeds[before]);
            let Some((grid, found)) = asked.scenarios(window_s) else {
                continue;
            };
            let Some(survival) = survival(&found) else {
                continue;
            };
            said.peaks[window] = Some(Quantiles {
                q10: survival.quantile(0.1),
                q50: survival.quantile(0.5),
                q90: survival.quantile(0.9),
            });
            let under_strain = strained
                .as_ref()
                .and_then(|strained| strained.scenarios(window_s));
            let under_strain = under_strain.and_then(|(_, found)| self::survival(&found));
            said.exceeds[window] = self.nominal.map_or(0.0, |nominal| {
                under_strain.as_ref().unwrap_or(&survival).above(nominal)
            });
            longest = Some((grid, found));
        }
        if let Some((grid, found)) = longest {
            said.drivers = drivers(&here, grid, found);
        }
        said
    }
}

/// The sum's past in rows of both lengths.
struct Pasts {
    fine: Joint,
    coarse: Joint,
}

fn survival(found: &[Scenario]) -> Option<Survival> {
    let mut peaks: Vec<_> = found.iter().map(|scenario| scenario.peak).collect();
    Survival::new(&mut peaks)
}

impl Pasts {
    fn of(unit: &UnitSum, tracks: &[&Track]) -> Self {
        Self {
            fine: unit.joint(Grid::Fine, tracks),
            coarse: unit.joint(Grid::Coarse, tracks),
        }
    }

    /// How the past went on for as long as the window, in the rows that suit it; `None` where too little is known.
    fn scenarios(&self, window_s: u32) -> Option<(Grid, Vec<Scenario>)> {
        let steps = |row_s: f64| (f64::from(window_s) / row_s).ceil() as usize;
        let (fine_steps, coarse_steps) = (steps(ROW_S), steps(ROW_S * ROWS_PER_COARSE as f64));
        let by_coarse = || (Grid::Coarse, self.coarse.scenarios(coarse_steps));
        let by_fine = || (Grid::Fine, self.fine.scenarios(fine_steps));
        let found = if fine_steps <= FINE_STEPS_MAX {
            by_fine()
        } else {
            Some(by_coarse())
                .filter(|found| !found.1.is_empty())
                .or_else(|| (fine_steps <= FINE / 2).then(by_fine))?
        };
        (!found.1.is_empty()).then_some(found)
    }
}

fn added(levels: impl Iterator<Item = Level>) -> Level {
    let (mut sum, mut bound) = (0.0, false);
    for level in levels {
        sum += level.amount().unwrap_or(0.0);
        bound |= level.is_bound();
    }
    Level::new(sum, bound)
}

/// The newest `rows` of a track. Where an app was not seen, its own rows stand in, in their order: nothing is known of
/// how it would have gone with the others.
fn filled(track: &Track, grid: Grid, rows: usize) -> Vec<Level> {
    let levels = ring(track, grid);
    let absent = rows.saturating_sub(levels.len());
    let known: Vec<Level> = levels
        .iter()
        .copied()
        .filter(|level| level.amount().is_some())
        .collect();
    let stand_in = |place: usize| {
        if known.len() < OWN_ROWS_MIN {
            return track.now();
        }
        known[place % known.len()]
    };
    (0..rows)
        .map(|place| {
            let seen = place.checked_sub(absent).map(|place| levels[place]);
            seen.filter(|level| level.amount().is_some())
                .unwrap_or_else(|| stand_in(place))
        })
        .collect()
}

/// Who makes the upper half of the peaks: each app's part in the row of the peak.
fn drivers(here: &[(Option<&AppName>, &Track)], grid: Grid, mut found: Vec<Scenario>) -> Vec<Driver> {
    found.sort_by(|left, right| right.peak.value.total_cmp(&left.peak.value));
    found.truncate(found.len().div_ceil(2));
    let every = found.len().div_ceil(DRIVEN_MAX);
    let counted: Vec<Scenario> = found.into_iter().step_by(every).collect();
    let rows = here
        .iter()
        .map(|(_, track)| ring(track, grid).len())
        .max()
        .unwrap_or(0);
    let mut parts: Vec<(Option<&AppName>, f64)> = here
        .iter()
        .map(|(app, track)| {
            let levels = filled(track, grid, rows);
            let now = track.now().amount().unwrap_or(0.0);
            let amount = |place: usize| levels[place].amount().unwrap_or(0.0);
            let of = |scenario: &Scenario| {
                (amount(scenario.at) + scenario.faded * (now - amount(scenario.from))).max(0.0)
            };
            (*app, counted.iter().map(of).sum())
        })
        .collect();
    let total: f64 = parts.iter().map(|(_, amount)| amount).sum();
    parts.sort_by(|left, right| right.1.total_cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
    let named = parts.into_iter().filter_map(|(app, amount)| {
        let share = amount / total;
        (share >= SHARE_MIN).then(|| {
            Some(Driver {
                app: app?.clone(),
                share,
            })
        })?
    });
    named.take(DRIVERS_MAX).collect()
}

/// What these tracks carry now on a grid, summed.
fn now(grid: Grid, here: &[&Track]) -> f64 {
    let of = |track: &Track| match grid {
        Grid::Fine => track.now().amount(),
        Grid::Coarse => {
            let newest = track.fine.iter().rev().take(ROWS_PER_COARSE);
            let known: Vec<f64> = newest.filter_map(|level| level.amount()).collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        }
    };
    here.iter().filter_map(|track| of(track)).sum()
}
