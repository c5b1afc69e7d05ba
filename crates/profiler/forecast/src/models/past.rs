//! One series' recent values, and what follows from them alone: its middle, its range and its scale.
//!
//! The means of the last days (usually eight) are kept in time order, gaps as NaN, so that every other module reads one
//! slice. Middle, range and scale are refreshed once an hour from the last week: forecasts of all models are
//! made in units of the scale, so that one model serves every series.

use super::calendar::Calendar;
use std::sync::Arc;

/// Steps of a day.
pub const DAY: usize = 288;
/// Seconds of a step where a day has [`DAY`] of them.
pub(crate) const STEP_S: i64 = 300;
/// Steps that a forecast looks ahead.
pub const HORIZON: usize = 12;
/// Steps of a series that are usually kept: what the features of a week ago need.
pub const KEPT: usize = 8 * DAY + HORIZON;
/// Values are moved to the front of the buffer this often, in steps.
const SLACK: usize = DAY;
/// Steps between two looks at middle, range and scale.
const REFRESH: u64 = 12;
/// A value so many scales from the middle has them looked at at once: they are those of a series that stood still.
const FAR: f64 = 1000.0;
/// One-minute values that are kept.
pub const FINE: usize = 10;

/// The recent past of one series.
#[derive(Clone, Debug)]
pub struct Past {
    step_s: i64,
    /// Steps that are kept; a longer gap starts the series anew.
    kept: usize,
    calendar: Arc<Calendar>,
    values: Vec<f64>,
    last_s: Option<i64>,
    seen: u64,
    fine: Vec<(i64, f64)>,
    middle: f64,
    scale: f64,
    range: (f64, f64),
    last: f64,
}

/// What was wrong with an observation's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotLater {
    /// The time that the observation had to be later than, in Unix seconds.
    pub after_s: i64,
}

impl Past {
    /// An empty past of a series with one value every `step_s` seconds (at least 1).
    pub fn new(step_s: u32) -> Self {
        Self::keeping(step_s, KEPT)
    }

    /// An empty past that keeps the last `kept` steps.
    pub fn keeping(step_s: u32, kept: usize) -> Self {
        Self {
            step_s: i64::from(step_s.max(1)),
            kept,
            calendar: Arc::default(),
            values: Vec::new(),
            last_s: None,
            seen: 0,
            fine: Vec::new(),
            middle: 0.0,
            scale: 1.0,
            range: (f64::NAN, f64::NAN),
            last: f64::NAN,
        }
    }

    /// Goes by another local time from now on; before, it is UTC.
    pub fn set_calendar(&mut self, calendar: &Arc<Calendar>) {
        self.calendar = Arc::clone(calendar);
    }

    /// The local time that the series is lived in.
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// Length of a step in seconds.
    pub fn step_s(&self) -> i64 {
        self.step_s
    }

    /// How many steps ago the clock on the wall showed the time of the last step, `days` days earlier.
    pub fn days_back(&self, days: usize) -> usize {
        if self.calendar.is_fixed() {
            return days * DAY;
        }
        let days = days.cast_signed() as i64;
        usize::try_from(self.calendar.days_before_s(self.last_s(), days) / STEP_S).unwrap_or(0)
    }

    /// Takes in the mean over the step that begins at `time_s` (Unix seconds). What is not finite is missing.
    /// Returns how many steps passed since the one before (1 without a gap).
    pub fn push(&mut self, time_s: i64, value: f64) -> Result<usize, NotLater> {
        let steps = match self.last_s {
            None => 1,
            Some(last_s) if time_s <= last_s => return Err(NotLater { after_s: last_s }),
            Some(last_s) => self.steps_between(last_s, time_s),
        };
        if steps > self.kept {
            self.values.clear();
            self.fine.clear();
        } else {
            (1..steps).for_each(|_| self.append(f64::NAN));
        }
        self.append(if value.is_finite() { value } else { f64::NAN });
        if value.is_finite() {
            self.last = value;
        }
        self.last_s = Some(time_s);
        let is_due = self.seen.is_multiple_of(REFRESH) || self.seen < 2 * REFRESH;
        let is_far = (value - self.middle).abs() > FAR * self.scale;
        if is_due || is_far || steps > self.kept {
            self.refresh();
        }
        self.seen += 1;
        Ok(steps.min(self.kept + 1))
    }

    /// Puts `values`, oldest first, in place of everything that was kept; the last one is of the step that begins at
    /// `last_s`. The newest [`KEPT`] of them are kept.
    pub fn replace(&mut self, last_s: i64, values: impl ExactSizeIterator<Item = f64>) {
        self.values.clear();
        let over = values.len().saturating_sub(KEPT);
        self.values.extend(values.skip(over));
        self.fine.clear();
        let known = self.values.iter().rev().find(|value| value.is_finite());
        self.last = known.copied().unwrap_or(f64::NAN);
        self.last_s = Some(last_s);
        self.seen = self.values.len() as u64;
        self.refresh();
    }

    /// To the nearest step, at least one: clocks that tick a little early or late leave no gaps.
    fn steps_between(&self, last_s: i64, time_s: i64) -> usize {
        let passed_s = time_s.saturating_sub(last_s).saturating_add(self.step_s / 2);
        usize::try_from(passed_s / self.step_s)
            .unwrap_or(usize::MAX)
            .max(1)
    }

    /// Takes in the mean over the minute that begins at `time_s` (Unix seconds); what is not later is passed over.
    pub fn push_fine(&mut self, time_s: i64, value: f64) {
        if self.fine.last().is_some_and(|(last_s, _)| time_s <= *last_s) {
            return;
        }
        if self.fine.len() == FINE {
            self.fine.remove(0);
        }
        self.fine.push((time_s, value));
    }

    fn append(&mut self, value: f64) {
        if self.values.len() == self.kept + SLACK {
            self.values.drain(..SLACK);
        }
        self.values.push(value);
    }

    fn refresh(&mut self) {
        let week = self.tail(7 * DAY);
        let mut known: Vec<f64> = week.iter().copied().filter(|value| !value.is_nan()).collect();
        if known.is_empty() {
            return;
        }
        let (mut sum, mut least, mut greatest) = (0.0, f64::INFINITY, f64::NEG_INFINITY);
        for value in &known {
            sum += *value;
            least = value.min(least);
            greatest = value.max(greatest);
        }
        let mean = sum / known.len() as f64;
        let spread = known.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / known.len() as f64;
        let moves = week.windows(2).map(|pair| (pair[1] - pair[0]).abs());
        let (sum, count) = moves
            .filter(|moved| !moved.is_nan())
            .fold((0.0, 0_u32), |(sum, count), moved| (sum + moved, count + 1));
        let scale = 3.0 * sum / f64::from(count.max(1)) + 0.2 * spread.sqrt();
        let middle = known.len() / 2;
        self.range = (least, greatest);
        self.middle = *known.select_nth_unstable_by(middle, f64::total_cmp).1;
        // A constant series has no scale of its own; a millionth of its size keeps divisions sound.
        self.scale = scale.max(1e-6 * mean.abs()).clamp(1e-9, f64::MAX);
    }

    /// Steps from the one that began at `time_s` to the last one.
    pub fn steps_since(&self, time_s: i64) -> usize {
        self.last_s.map_or(0, |last_s| self.steps_between(time_s, last_s))
    }

    /// The last `count` values or fewer, oldest first.
    pub fn tail(&self, count: usize) -> &[f64] {
        &self.values[self.values.len().saturating_sub(count)..]
    }

    /// The value `steps` before the last one; NaN where there is none.
    pub fn back(&self, steps: usize) -> f64 {
        let length = self.values.len();
        if steps < length {
            self.values[length - 1 - steps]
        } else {
            f64::NAN
        }
    }

    /// The values of the last [`HORIZON`] steps, oldest first: what followed the origin that many steps ago.
    pub fn path(&self) -> [f64; HORIZON] {
        std::array::from_fn(|step| self.back(HORIZON - 1 - step))
    }

    /// Number of kept values, gaps included.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True before the first observation.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Observations ever taken in.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Beginning of the newest step in Unix seconds; `None` while nothing is kept.
    pub fn newest_s(&self) -> Option<i64> {
        (!self.is_empty()).then(|| self.last_s())
    }

    /// Beginning of the last step, in Unix seconds; 0 before the first.
    pub fn last_s(&self) -> i64 {
        self.last_s.unwrap_or(0)
    }

    /// The last value that was not missing; NaN before the first.
    pub fn last(&self) -> f64 {
        self.last
    }

    /// Median of the last week.
    pub fn middle(&self) -> f64 {
        self.middle
    }

    /// What forecasts are measured in: three times the mean absolute step plus a fifth of the standard deviation.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Least and greatest value of the last week; NaN before the first.
    pub fn range(&self) -> (f64, f64) {
        (self.range.0.min(self.last), self.range.1.max(self.last))
    }

    /// The minutes at the end of the last step, the newest first; NaN where unknown.
    pub fn minutes(&self) -> [f64; FINE] {
        let mut minutes = [f64::NAN; FINE];
        let Some(last_s) = self.last_s else {
            return minutes;
        };
        let end_s = last_s + self.step_s;
        for (time_s, value) in &self.fine {
            let back_s = end_s - 60 - time_s;
            let place = usize::try_from(back_s / 60).ok().filter(|_| back_s % 60 == 0);
            if let Some(minute) = place.and_then(|place| minutes.get_mut(place)) {
                *minute = *value;
            }
        }
        minutes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_missing_values_and_time_goes_forward() {
        let mut past = Past::new(300);
        assert_eq!(past.push(0, 1.0), Ok(1));
        assert_eq!(past.push(900, 2.0), Ok(3));
        assert_eq!(past.push(900, 2.0), Err(NotLater { after_s: 900 }));
        assert_eq!(past.len(), 4);
        assert!(past.back(1).is_nan() && past.back(9).is_nan());
        assert_eq!((past.back(0), past.back(3), past.last()), (2.0, 1.0, 2.0));
        assert_eq!(past.push(1200, f64::INFINITY), Ok(1));
        assert!(past.back(0).is_nan());
        assert_eq!(past.last(), 2.0);
        assert_eq!(past.push(1_000_000_000_000, 3.0), Ok(KEPT + 1));
        assert_eq!(past.len(), 1);
    }

    #[test]
    fn the_past_is_bounded() {
        let mut past = Past::new(300);
        for step in 0..10_000_i64 {
            past.push(step * 300, step as f64).expect("time goes forward");
        }
        assert!(past.len() <= KEPT + SLACK && past.len() >= KEPT);
        assert_eq!(past.back(5), 9994.0);
    }

    #[test]
    fn minutes_are_found_by_their_time() {
        let mut past = Past::new(300);
        (0..20).for_each(|minute| past.push_fine(minute * 60, minute as f64));
        past.push(900, 17.0).expect("first");
        let expected: [f64; FINE] = std::array::from_fn(|back| 19.0 - back as f64);
        assert_eq!(past.minutes(), expected);
        past.push(1200, 18.0).expect("later");
        let minutes = past.minutes();
        assert!(minutes[..5].iter().all(|value| value.is_nan()));
        assert_eq!(minutes[5..], expected[..5]);
    }
}
