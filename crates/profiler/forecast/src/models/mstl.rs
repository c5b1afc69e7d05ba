//! Seasons taken off by MSTL, what is left smoothed, seasons put on again.
//!
//! Several seasonal components are separated by loess, one after the other and again (Bandara, Hyndman and Bergmeir,
//! arXiv:2107.13462; STL: Cleveland et al., Journal of Official Statistics 1990): a day and a week, each once three
//! of them are known: the season of two would be their noise. The season of three weeks often is, too, so the week is
//! kept only where it would have foreseen the newest days better than the day alone. The decomposition is that of `stlrs`, on which
//! `augurs-mstl` stands as well; its own model is made anew for every forecast, where a stream needs one that goes on.
//! So it is made every three days, and in between the last cycle of each season is what comes again, while
//! exponential smoothing (`ets`) follows the rest.
//!
//! Seasons are counted by the clock on the wall: where it jumps, an hour is missing or there twice.

use super::calendar::Calendar;
use super::ets::{Speeds, State};
use super::past::{DAY, HORIZON, NotLater, Past, STEP_S};
use super::paths::Paths;
use super::{Forecast, SeriesModel, THRESHOLDS};
use std::sync::Arc;
use stlrs::MstlParams;

/// Steps that are kept: three weeks, and the hour that a clock may jump.
const KEPT: usize = 21 * DAY + HORIZON;
/// Steps of a week.
const WEEK: usize = 7 * DAY;
/// Observations between two decompositions.
const REFIT: u64 = 3 * DAY as u64;
/// The first decomposition comes once so many values are there.
const FIRST: u64 = 3 * DAY as u64;
/// The newest values, on which the week has to prove itself: a whole one.
const HELD_OUT: usize = 7 * DAY;
/// What is smoothed is told by the values of the last days: the rest is long over.
const SMOOTHED: usize = 7 * DAY;

/// One season: what it adds at each step of its period, by local time.
#[derive(Clone, Debug)]
struct Season {
    cycle: Vec<f64>,
}

impl Season {
    fn at(&self, slot: i64) -> f64 {
        let place = slot.rem_euclid(self.cycle.len().cast_signed() as i64);
        self.cycle[place as usize]
    }
}

/// A series without its seasons.
#[derive(Clone, Debug)]
pub struct Mstl {
    past: Past,
    thresholds: [f64; THRESHOLDS],
    seasons: Vec<Season>,
    speeds: Speeds,
    state: State,
    paths: Paths,
}

impl Mstl {
    /// A series with one value every `step_s` seconds.
    pub fn new(step_s: u32, thresholds: [f64; THRESHOLDS]) -> Self {
        Self {
            past: Past::keeping(step_s, KEPT),
            thresholds,
            seasons: Vec::new(),
            speeds: Speeds::LAST,
            state: State::new(f64::NAN),
            paths: Paths::default(),
        }
    }

    /// What the seasons add `ahead` steps after the last one (before it, where that is negative).
    fn season(&self, ahead: i64) -> f64 {
        if self.seasons.is_empty() {
            return 0.0;
        }
        let slot = slot(&self.past, ahead);
        self.seasons.iter().map(|season| season.at(slot)).sum()
    }

    /// Takes in the value `back` steps ago, and keeps the path from there.
    fn advance(&mut self, back: usize) {
        let back_steps = back.cast_signed() as i64;
        let value = self.past.back(back) - self.season(-back_steps);
        self.state = if self.state.is_unknown() {
            State::new(value)
        } else {
            self.speeds.step(self.state, value)
        };
        let mut path = self.state.path(&self.speeds);
        for (ahead, point) in (1..).zip(&mut path) {
            *point += self.season(ahead - back_steps);
        }
        self.paths.push(path);
    }

    /// Takes the seasons off anew. Paths that were made before stay as they were: their errors are honest ones.
    fn refit(&mut self) {
        self.seasons = decomposed(&self.past);
        let count = self.past.len().min(SMOOTHED);
        let rest: Vec<f64> = (0..count)
            .rev()
            .map(|back| self.past.back(back) - self.season(-(back.cast_signed() as i64)))
            .collect();
        self.speeds = Speeds::fit(&rest);
        self.state = State::new(f64::NAN);
        for value in &rest {
            self.state = if self.state.is_unknown() {
                State::new(*value)
            } else {
                self.speeds.step(self.state, *value)
            };
        }
    }

    /// Before there are seasons the last value is repeated; the first decomposition makes all paths anew.
    fn start(&mut self) {
        self.refit();
        self.state = State::new(f64::NAN);
        self.paths.clear();
        (0..self.past.len().min(SMOOTHED))
            .rev()
            .for_each(|back| self.advance(back));
    }
}

/// The step of local time that is `ahead` steps after the last one.
fn slot(past: &Past, ahead: i64) -> i64 {
    past.calendar()
        .local_s(past.last_s() + ahead * STEP_S)
        .div_euclid(STEP_S)
}

/// The seasons of what is known; none where nothing moves, or too little is known.
fn decomposed(past: &Past) -> Vec<Season> {
    let (first, values) = by_local_time(past);
    let (low, high) = past.range();
    let known = values.iter().all(|value| value.is_finite());
    if values.len() < 3 * DAY || !known || low >= high {
        return Vec::new();
    }
    let has_week =
        values.len() >= 3 * WEEK && error(first, &values, &[DAY, WEEK]) < error(first, &values, &[DAY]);
    seasons(first, &values, if has_week { &[DAY, WEEK] } else { &[DAY] })
}

/// Seasons with these periods; none where there are not two cycles of each.
fn seasons(first: i64, values: &[f64], periods: &[usize]) -> Vec<Season> {
    let Ok(parts) = MstlParams::new().fit(values, periods) else {
        return Vec::new();
    };
    let season = |(part, period): (&Vec<f64>, &usize)| {
        let newest = part.len() - period;
        let mut cycle = vec![0.0; *period];
        for (place, value) in (newest..).zip(&part[newest..]) {
            let slot = first + place.cast_signed() as i64;
            cycle[slot.rem_euclid(period.cast_signed() as i64) as usize] = *value;
        }
        Season { cycle }
    };
    parts.seasonal().iter().zip(periods).map(season).collect()
}

/// How far off the newest days would have been an hour ahead, by seasons of what was before them: mean absolute error
/// where the rest stays as it is.
fn error(first: i64, values: &[f64], periods: &[usize]) -> f64 {
    let begin = values.len() - HELD_OUT;
    let seasons = seasons(first, &values[..begin], periods);
    let rest = |place: usize| {
        let slot = first + place.cast_signed() as i64;
        values[place] - seasons.iter().map(|season| season.at(slot)).sum::<f64>()
    };
    let errors = (begin..values.len()).map(|place| (rest(place) - rest(place - HORIZON)).abs());
    errors.sum::<f64>() / HELD_OUT as f64
}

/// The kept values by steps of local time, the first of which is given too. What is missing is drawn straight across;
/// of an hour that was there twice, the second counts.
fn by_local_time(past: &Past) -> (i64, Vec<f64>) {
    let values = past.tail(past.len());
    let unknown = values.iter().take_while(|value| value.is_nan()).count();
    let back = |place: usize| (values.len() - 1 - place).cast_signed() as i64;
    if unknown == values.len() {
        return (0, Vec::new());
    }
    let first = slot(past, -back(unknown));
    let mut placed: Vec<f64> = Vec::with_capacity(values.len() + 2 * HORIZON);
    for (place, value) in values.iter().enumerate().skip(unknown) {
        let Ok(at) = usize::try_from(slot(past, -back(place)) - first) else {
            continue;
        };
        if at >= placed.len() {
            placed.resize(at + 1, f64::NAN);
        }
        if !value.is_nan() {
            placed[at] = *value;
        }
    }
    fill(&mut placed);
    (first, placed)
}

/// Draws straight lines across what is missing, and the last value to the end.
fn fill(values: &mut [f64]) {
    let mut known = 0;
    for place in 1..values.len() {
        if values[place].is_nan() {
            continue;
        }
        let (from, rise) = (values[known], values[place] - values[known]);
        let steps = (place - known) as f64;
        for (done, value) in (1..).zip(&mut values[known + 1..place]) {
            *value = from + rise * f64::from(done) / steps;
        }
        known = place;
    }
    let last = values.get(known).copied().unwrap_or(f64::NAN);
    if let Some(rest) = values.get_mut(known + 1..) {
        rest.fill(last);
    }
}

impl SeriesModel for Mstl {
    fn observe(&mut self, time_s: i64, value: f64) -> Result<(), NotLater> {
        let steps = self.past.push(time_s, value)?;
        let seen = self.past.seen();
        if self.seasons.is_empty() && seen >= FIRST && seen.is_multiple_of(DAY as u64) {
            self.start();
            return Ok(());
        }
        if steps > self.past.len() {
            self.state = State::new(f64::NAN);
            self.paths.clear();
        } else {
            (1..steps).rev().for_each(|back| self.advance(back));
        }
        self.advance(0);
        if seen.is_multiple_of(REFIT) && !self.seasons.is_empty() {
            self.refit();
        }
        Ok(())
    }

    fn set_calendar(&mut self, calendar: &Arc<Calendar>) {
        self.past.set_calendar(calendar);
    }

    fn last_s(&self) -> Option<i64> {
        self.past.newest_s()
    }

    fn forecast(&mut self) -> Option<Forecast> {
        if self.past.back(0).is_nan() {
            return None;
        }
        self.paths.forecast(&self.past, &self.thresholds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A load that works by the clock on the wall: busy from eight to four, less on Saturdays and Sundays.
    fn load(calendar: &Calendar, time_s: i64) -> f64 {
        let hour = calendar.of_day_s(time_s) / 3600;
        let busy = (8..16).contains(&hour);
        let share = if calendar.weekday(time_s) < 5 { 1.0 } else { 0.3 };
        20.0 + if busy { 60.0 * share } else { 0.0 } + (time_s / 300 * 7919 % 101) as f64 / 101.0
    }

    /// Mean absolute error of the medians an hour ahead over the steps of `asked`.
    fn error(model: &mut Mstl, calendar: &Calendar, steps: i64, asked: std::ops::Range<i64>) -> f64 {
        let start_s = 1_772_409_600; // Monday, 2 March 2026.
        let at = |step: i64| start_s + 300 * step;
        let (mut sum, mut count) = (0.0, 0.0);
        for step in 0..steps {
            model
                .observe(at(step), load(calendar, at(step)))
                .expect("time goes forward");
            if asked.contains(&step) {
                let median = model.forecast().expect("known").quantiles[2][5];
                sum += (median - load(calendar, at(step + 12))).abs();
                count += 1.0;
            }
        }
        sum / count
    }

    #[test]
    fn day_and_week_come_again() {
        let utc = Calendar::default();
        let weekend = 26 * 288..28 * 288;
        let mut model = Mstl::new(300, [0.0, 90.0]);
        let found = error(&mut model, &utc, 28 * 288, weekend);
        assert_eq!(model.seasons.len(), 2);
        assert!(found < 5.0, "mean error {found}");
    }

    #[test]
    fn a_week_that_is_noise_is_left_out() {
        let mut random = 1_u64;
        let mut model = Mstl::new(300, [0.0, 90.0]);
        for step in 0..24 * 288_i64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let noise = (random >> 40) as f64 / f64::from(1 << 24);
            let busy = (8 * 12..16 * 12).contains(&(step % 288));
            let value = if busy { 60.0 } else { 20.0 } + 20.0 * noise;
            model.observe(300 * step, value).expect("time goes forward");
        }
        assert_eq!(model.seasons.len(), 1);
    }

    #[test]
    fn the_morning_after_the_clocks_jumped_is_foreseen() {
        // Vienna: summer time begins on Sunday, 29 March 2026, 01:00 UTC.
        let vienna = Arc::new(Calendar::new(
            vec![(0, 3600), (1_774_746_000, 7200)],
            BTreeMap::new(),
        ));
        let monday = 28 * 288 + 12 * 4..28 * 288 + 12 * 16;
        let run = |zone: &Arc<Calendar>| {
            let mut model = Mstl::new(300, [0.0, 90.0]);
            model.set_calendar(zone);
            error(&mut model, &vienna, 29 * 288, monday.clone())
        };
        let (local, utc) = (run(&vienna), run(&Arc::default()));
        assert!(local < 6.0 && utc > 1.5 * local, "local {local}, UTC {utc}");
    }

    #[test]
    fn short_and_broken_series_do_no_harm() {
        let check = |name: &str, known: fn(i64) -> bool, last: i64| {
            let mut model = Mstl::new(300, [0.0, 90.0]);
            for step in 0..=last {
                let value = load(&Calendar::default(), 300 * step);
                let value = if known(step) { value } else { f64::NAN };
                model.observe(300 * step, value).expect("time goes forward");
            }
            let forecast = model.forecast().expect("the last value is known");
            let mut all = forecast.quantiles.iter().flatten();
            assert!(
                all.all(|value| (0.0..150.0).contains(value)),
                "{name} {forecast:?}"
            );
        };
        check("short", |_| true, 100);
        check("gaps", |step| step % 50 >= 20, 1180);
        check("late", |step| step >= 600, 5 * 288);
    }

    #[test]
    fn what_is_missing_is_drawn_across() {
        let mut values = [1.0, f64::NAN, f64::NAN, 4.0, f64::NAN];
        fill(&mut values);
        assert_eq!(values, [1.0, 2.0, 3.0, 4.0, 4.0]);
        fill(&mut []);
    }
}
