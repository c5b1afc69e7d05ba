//! What a threshold adds to the row of a series.
//!
//! The distance to it, how often and when the series was above it, at this time of day, at this minute of the hour,
//! how stretches like the present one went on before, and what the linear forecaster makes of it. The threshold as an
//! input is what lets one model serve every series and every percentile. The kept values are compared with it once, into
//! one bit per step; everything else is counting bits.

use super::features::Filler;
use super::past::{DAY, HORIZON, KEPT, Past};
use super::ridge::Blocks;
use super::{WINDOW_COUNT, log_odds};

/// Length of [`Exceedances::row`].
pub const THRESHOLD: usize = 37;
/// Place of the distance to the threshold in [`Exceedances::row`]; chances fall with it.
pub const DISTANCE: usize = 0;
/// Words of a bit per step, and one more so that reading 64 bits from any step stays inside.
const WORDS: usize = KEPT.div_ceil(64) + 1;

/// Which of the kept values were above a threshold: one bit per step, the last value first.
#[derive(Clone, Debug)]
pub struct Exceedances {
    words: [u64; WORDS],
    length: usize,
    threshold: f64,
}

/// How past stretches like the present one ended.
#[derive(Clone, Copy, Debug, Default)]
struct Renewal {
    /// Earlier stretches that lasted at least as long as the present one has.
    reached: f64,
    /// Those of them that ended within 1, 3 and 12 further steps.
    ended: [f64; WINDOW_COUNT],
    /// Steps that the present stretch has lasted, and changes of state in the last week.
    now: usize,
    changes: usize,
}

impl Exceedances {
    /// Compares the kept values with `threshold`.
    pub fn new(past: &Past, threshold: f64) -> Self {
        let mut words = [0; WORDS];
        let values = past.tail(KEPT);
        for (word, chunk) in words.iter_mut().zip(values.rchunks(64)) {
            let bits = chunk.iter().map(|value| u64::from(*value > threshold));
            *word = bits.fold(0, |bits, bit| (bits << 1) | bit);
        }
        Self {
            words,
            length: values.len(),
            threshold,
        }
    }

    fn bit(&self, back: usize) -> bool {
        back < self.length && (self.words[back / 64] >> (back % 64)) & 1 == 1
    }

    /// 64 bits from `back` steps ago; beyond the kept values they are zero.
    fn from(&self, back: usize) -> u64 {
        let (word, shift) = (back / 64, back % 64);
        if word + 1 >= WORDS {
            return 0;
        }
        let low = self.words[word] >> shift;
        if shift == 0 {
            low
        } else {
            low | (self.words[word + 1] << (64 - shift))
        }
    }

    /// Whether any of the `count` (1 to 64, at most `back`) values that followed the value `back` steps ago was above.
    fn any_after(&self, back: usize, count: usize) -> bool {
        self.from(back - count) & (u64::MAX >> (64 - count)) != 0
    }

    /// Number of values above among the last `count`.
    fn above(&self, count: usize) -> u32 {
        let whole: u32 = self.words[..count / 64]
            .iter()
            .map(|word| word.count_ones())
            .sum();
        let rest = self.words[count / 64] & ((1 << (count % 64)) - 1);
        whole + rest.count_ones()
    }

    fn share(&self, count: usize) -> f64 {
        let count = count.min(self.length);
        f64::from(self.above(count)) / count as f64
    }

    /// Length of the stretch of equal bits that begins `back` steps ago and reaches into the past.
    fn stretch(&self, back: usize) -> usize {
        let flip = if self.bit(back) { u64::MAX } else { 0 };
        let mut length = 0;
        while back + length < self.length {
            let same = (self.from(back + length) ^ flip).trailing_zeros() as usize;
            length += same;
            if same < 64 {
                break;
            }
        }
        length.min(self.length.saturating_sub(back))
    }

    /// Looks at all earlier stretches of the present state, and counts the changes of state in the last week.
    fn renewal(&self) -> Renewal {
        let week = self.length.min(7 * DAY);
        let now = self.stretch(0);
        let mut renewal = Renewal {
            now,
            ..Renewal::default()
        };
        let (mut back, mut present) = (now, false);
        while back < week {
            let length = self.stretch(back);
            let complete = back + length < self.length;
            if present && complete && length >= now {
                renewal.reached += 1.0;
                for (ended, within) in renewal.ended.iter_mut().zip([1, 3, 12]) {
                    *ended += f64::from(u8::from(length < now + within));
                }
            }
            renewal.changes += usize::from(complete);
            back += length.max(1);
            present = !present;
        }
        renewal
    }

    /// How often states like the present one were followed by an exceedance within 1, 3 and 12 steps, over a week.
    fn follow_ups(&self) -> [f64; WINDOW_COUNT] {
        let week = self.length.min(7 * DAY);
        let flip = if self.bit(0) { 0 } else { u64::MAX };
        let mut counts = [0_u32; WINDOW_COUNT];
        let mut states = 0;
        let mut back = HORIZON;
        while back + 1 < week {
            let kept = if week - back < 64 {
                (1 << (week - back)) - 1
            } else {
                u64::MAX
            };
            let here = (self.from(back) ^ flip) & kept;
            let mut any = 0;
            for ahead in 1..=HORIZON {
                any |= self.from(back - ahead);
                if let Some(window) = [1, 3, HORIZON].iter().position(|window| *window == ahead) {
                    counts[window] += (here & any).count_ones();
                }
            }
            states += here.count_ones();
            back += 64;
        }
        counts.map(|count| (f64::from(count) + 0.5) / (f64::from(states) + 1.0))
    }

    /// What the threshold adds; `linear` is the linear forecast with the chances that its blocks give for the
    /// threshold, where there is one.
    pub fn row(&self, past: &Past, linear: Option<(&Blocks, &[f64; WINDOW_COUNT])>) -> [f32; THRESHOLD] {
        let mut row = [f32::NAN; THRESHOLD];
        if self.length == 0 {
            return row;
        }
        let mut filler = Filler::new(&mut row);
        let (threshold, scale) = (self.threshold, past.scale());
        filler.put((threshold - past.last()) / scale);
        filler.put((threshold - past.middle()) / scale);
        for count in [3, 12, 72, DAY, 7 * DAY] {
            filler.put(self.share(count));
        }
        self.states(&mut filler);
        self.seasons(&mut filler, past);
        for target in [0, 3, 4] {
            filler.put(linear.map_or(f64::NAN, |(blocks, _)| {
                (threshold - blocks.point[target]) / blocks.volatility
            }));
        }
        for window in 0..WINDOW_COUNT {
            filler.put(linear.map_or(f64::NAN, |(_, chances)| log_odds(chances[window])));
        }
        for count in [6, 36, DAY] {
            let greatest = past.tail(count).iter().copied().fold(f64::NEG_INFINITY, f64::max);
            filler.put(if greatest.is_finite() {
                (threshold - greatest) / scale
            } else {
                f64::NAN
            });
        }
        debug_assert_eq!(filler.at, THRESHOLD);
        row
    }

    /// The present stretch, and how such stretches and states went on: 10 values.
    fn states(&self, filler: &mut Filler) {
        let renewal = self.renewal();
        let above = self.bit(0);
        let lasted = (renewal.now as f64).ln_1p();
        filler.put(if above { lasted } else { -lasted });
        let before = self.stretch(renewal.now.min(self.length - 1));
        filler.put(if above { (before as f64).ln_1p() } else { -1.0 });
        filler.put(renewal.changes as f64 / self.length as f64);
        for ended in renewal.ended {
            filler.put((ended + 0.3) / (renewal.reached + 1.0));
        }
        filler.put(renewal.reached.ln_1p());
        for rate in self.follow_ups() {
            filler.put(rate);
        }
    }

    /// Shares above at this time of day, and at this minute of the hour and its parts: 11 values.
    fn seasons(&self, filler: &mut Filler, past: &Past) {
        let days: [usize; 7] = std::array::from_fn(|day| past.days_back(day + 1));
        let days = &days[..days.partition_point(|back| *back < self.length)];
        let periods = |period: usize, most: usize| ((self.length - 1) / period).min(most);
        let share = |period: usize, most: usize, count: usize| {
            let repeats = periods(period, most);
            let hits = (1..=repeats)
                .filter(|repeat| self.any_after(repeat * period, count))
                .count();
            hits as f64 / repeats as f64
        };
        for count in [1, 3, 12] {
            let hits = days.iter().filter(|back| self.any_after(**back, count)).count();
            filler.put(hits as f64 / days.len() as f64);
        }
        let near = days
            .iter()
            .map(|back| (self.from(back - 8) & 0x7FFF).count_ones());
        filler.put(f64::from(near.sum::<u32>()) / (15 * days.len()) as f64);
        for day in [1, 7] {
            let known = days.get(day - 1);
            filler.put(known.map_or(f64::NAN, |back| f64::from(u8::from(self.any_after(*back, 3)))));
        }
        for (period, most, count) in [(12, 24, 1), (12, 24, 3), (12, 4, 3), (6, 12, 3), (3, 8, 1)] {
            filler.put(share(period, most, count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::features::series_row;
    use super::super::ridge::Ridge;
    use super::*;

    fn past_of(values: &[f64]) -> Past {
        let mut past = Past::new(300);
        for (step, value) in values.iter().enumerate() {
            past.push(300 * step.cast_signed() as i64, *value)
                .expect("time goes forward");
        }
        past
    }

    #[test]
    fn bits_agree_with_the_values() {
        let values: Vec<f64> = (0..2000_u32).map(|step| f64::from(step * 7919 % 101)).collect();
        let past = past_of(&values);
        let bits = Exceedances::new(&past, 60.0);
        for back in 0..2000 {
            assert_eq!(bits.bit(back), past.back(back) > 60.0, "{back} steps back");
        }
        let above = values
            .iter()
            .rev()
            .take(288)
            .filter(|value| **value > 60.0)
            .count();
        assert_eq!(bits.above(288) as usize, above);
        for back in [12, 64, 70, 500] {
            let expected = (1..=12).any(|ahead| past.back(back - ahead) > 60.0);
            assert_eq!(bits.any_after(back, 12), expected);
        }
    }

    #[test]
    fn stretches_are_measured_across_words() {
        let mut values = vec![0.0; 300];
        values[50..250].fill(9.0);
        let bits = Exceedances::new(&past_of(&values), 5.0);
        assert_eq!(bits.stretch(0), 50);
        assert_eq!(bits.stretch(50), 200);
        assert_eq!(bits.stretch(250), 50);
    }

    #[test]
    fn a_strict_rhythm_is_seen_in_the_renewals() {
        // Above for 2 of every 20 steps; now 16 steps below, so an exceedance follows in the third step from now.
        let values: Vec<f64> = (0..998_u32)
            .map(|step| f64::from(u8::from(step % 20 < 2)))
            .collect();
        let renewal = Exceedances::new(&past_of(&values), 0.5).renewal();
        assert_eq!(renewal.now, 16);
        assert_eq!(
            renewal.ended[1], renewal.reached,
            "all ended within three further steps"
        );
        assert_eq!(renewal.ended[0], 0.0);
        assert!(renewal.reached > 40.0);
    }

    #[test]
    fn rows_are_finite_or_missing_whatever_the_past() {
        for length in [1, 2, 13, 290, 3000] {
            let past = past_of(&vec![4.0; length]);
            let mut ridge = Ridge::new();
            ridge.observe(&past, &series_row(&past), 1);
            let blocks = ridge.forecast().expect("observed");
            for threshold in [3.0, 4.0, 5.0] {
                let bits = Exceedances::new(&past, threshold);
                let row = bits.row(&past, Some((&blocks, &blocks.chances(threshold))));
                assert!(row[DISTANCE].is_finite());
                assert!(row.iter().all(|value| !value.is_infinite()), "{length}: {row:?}");
            }
        }
    }
}
