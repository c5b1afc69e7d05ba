//! What a threshold adds to the row of a series.
//!
//! The distance to it, how often and when the series was above it, at this time of day, at this minute of the hour,
//! how stretches like the present one went on before, and what the linear forecaster makes of it. The threshold as an
//! input is what lets one model serve every series and every percentile. The kept values are compared with it once, into
//! one bit per step; everything else is counting bits. A threshold that is always asked about is followed: then each value
//! is compared when it comes.

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

/// A bit per step, the last one first; beyond the kept values they are zero.
#[derive(Clone, Copy, Debug)]
struct Bits([u64; WORDS]);

impl Bits {
    fn bit(&self, back: usize) -> bool {
        back < 64 * WORDS && (self.0[back / 64] >> (back % 64)) & 1 == 1
    }

    /// 64 bits from `back` steps ago.
    fn from(&self, back: usize) -> u64 {
        let (word, shift) = (back / 64, back % 64);
        if word + 1 >= WORDS {
            return 0;
        }
        // Two shifts, so that nought is not a special case.
        (self.0[word] >> shift) | ((self.0[word + 1] << 1) << (63 - shift))
    }

    /// Joins each bit with the one `steps` (1 to 63) further back.
    fn or_back(mut self, steps: usize) -> Self {
        for word in 0..WORDS - 1 {
            self.0[word] |= (self.0[word] >> steps) | (self.0[word + 1] << (64 - steps));
        }
        self
    }

    /// Number of set bits among the last `count`.
    fn count(&self, count: usize) -> u32 {
        let whole: u32 = self.0[..count / 64].iter().map(|word| word.count_ones()).sum();
        let rest = self.0[count / 64] & ((1 << (count % 64)) - 1);
        whole + rest.count_ones()
    }

    /// Where bits differ from the one before (the next further back), of the last `length`, from the newest on.
    fn changes(&self, length: usize) -> impl Iterator<Item = usize> {
        let differing = |word: usize| self.0[word] ^ self.from(64 * word + 1);
        let mut word = 0;
        let mut left = differing(0);
        let places = std::iter::from_fn(move || {
            while left == 0 {
                word += 1;
                if word + 1 >= WORDS {
                    return None;
                }
                left = differing(word);
            }
            let place = 64 * word + left.trailing_zeros() as usize;
            left &= left - 1;
            Some(place)
        });
        places.take_while(move |place| place + 1 < length)
    }
}

/// Which of the kept values were above a threshold.
#[derive(Clone, Debug)]
pub struct Exceedances {
    bits: Bits,
    length: usize,
    threshold: f64,
}

/// Whether any of the 3 and 12 values from a step on, that one and newer ones excluded, was above.
struct Spans {
    one: Bits,
    three: Bits,
    twelve: Bits,
}

impl Spans {
    fn new(bits: &Bits) -> Self {
        let three = bits.or_back(1).or_back(1);
        Self {
            one: *bits,
            three,
            twelve: three.or_back(3).or_back(6),
        }
    }

    /// Whether any of the `count` (1, 3 or [`HORIZON`], at most `back`) values that followed the value `back` steps ago
    /// was above.
    fn any_after(&self, back: usize, count: usize) -> bool {
        let bits = match count {
            1 => &self.one,
            3 => &self.three,
            _ => &self.twelve,
        };
        bits.bit(back - count)
    }
}

/// The greatest of the last 6 and 36 values and of the day; -∞ where none is known. It is the same for all thresholds.
#[derive(Clone, Copy, Debug)]
pub struct Highs([f64; 3]);

impl Highs {
    /// Of the values that are kept.
    pub fn new(past: &Past) -> Self {
        let mut highs = [f64::NEG_INFINITY; 3];
        let mut from = 0;
        let mut so_far = f64::NEG_INFINITY;
        for (high, count) in highs.iter_mut().zip([6, 36, DAY]) {
            let values = past.tail(count);
            let further = &values[..values.len().saturating_sub(from)];
            so_far = further
                .iter()
                .fold(so_far, |high, value| if *value > high { *value } else { high });
            *high = so_far;
            from = count;
        }
        Self(highs)
    }
}

/// How past stretches like the present one ended.
#[derive(Clone, Copy, Debug, Default)]
struct Renewal {
    /// Earlier stretches that lasted at least as long as the present one has.
    reached: u32,
    /// Those of them that ended within 1, 3 and 12 further steps.
    ended: [u32; WINDOW_COUNT],
    /// Steps that the present stretch has lasted, and the one before it; changes of state in the last week.
    now: usize,
    before: usize,
    changes: u32,
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
            bits: Bits(words),
            length: values.len(),
            threshold,
        }
    }

    /// Becomes what [`Exceedances::new`] makes of `past` now, after one more observation; `steps` have passed since the
    /// one before.
    pub fn follow(&mut self, past: &Past, steps: usize) {
        if steps >= 64 || past.len() <= steps {
            *self = Self::new(past, self.threshold);
            return;
        }
        let mut carried = u64::from(past.back(0) > self.threshold);
        for word in &mut self.bits.0 {
            let leaving = *word >> (64 - steps);
            *word = (*word << steps) | carried;
            carried = leaving;
        }
        self.length = past.len().min(KEPT);
        self.bits.0[KEPT / 64] &= (1 << (KEPT % 64)) - 1;
        self.bits.0[WORDS - 1] = 0;
    }

    /// The threshold.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    fn share(&self, count: usize) -> f64 {
        let count = count.min(self.length);
        f64::from(self.bits.count(count)) / count as f64
    }

    /// Looks at all earlier stretches of the present state, and counts the changes of state in the last week.
    fn renewal(&self) -> Renewal {
        let week = self.length.min(7 * DAY);
        let mut ends = self.bits.changes(self.length).map(|place| place + 1);
        let now = ends.next().unwrap_or(self.length);
        let mut renewal = Renewal {
            now,
            before: self.length.saturating_sub(now).max(1),
            ..Renewal::default()
        };
        let mut back = now;
        for end in ends {
            let length = end - back;
            if back == now {
                renewal.before = length;
            }
            if back >= week {
                break;
            }
            // The first of them is of the other state.
            if renewal.changes % 2 == 1 && length >= now {
                renewal.reached += 1;
                for (ended, within) in renewal.ended.iter_mut().zip([1, 3, 12]) {
                    *ended += u32::from(length < now + within);
                }
            }
            renewal.changes += 1;
            back = end;
        }
        renewal
    }

    /// How often states like the present one were followed by an exceedance within 1, 3 and 12 steps, over a week.
    fn follow_ups(&self, spans: &Spans) -> [f64; WINDOW_COUNT] {
        let week = self.length.min(7 * DAY);
        let flip = if self.bits.bit(0) { 0 } else { u64::MAX };
        let mut counts = [0_u32; WINDOW_COUNT];
        let mut states = 0;
        let mut back = HORIZON;
        while back + 1 < week {
            let kept = if week - back < 64 {
                (1 << (week - back)) - 1
            } else {
                u64::MAX
            };
            let here = (self.bits.from(back) ^ flip) & kept;
            let after = [
                spans.one.from(back - 1),
                spans.three.from(back - 3),
                spans.twelve.from(back - HORIZON),
            ];
            for (count, any) in counts.iter_mut().zip(after) {
                *count += (here & any).count_ones();
            }
            states += here.count_ones();
            back += 64;
        }
        counts.map(|count| (f64::from(count) + 0.5) / (f64::from(states) + 1.0))
    }

    /// What the threshold adds; `linear` is the linear forecast with the chances that its blocks give for the
    /// threshold, where there is one.
    pub fn row(
        &self,
        past: &Past,
        highs: &Highs,
        linear: Option<(&Blocks, &[f64; WINDOW_COUNT])>,
    ) -> [f32; THRESHOLD] {
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
        let spans = Spans::new(&self.bits);
        self.states(&mut filler, &spans);
        self.seasons(&mut filler, past, &spans);
        for target in [0, 3, 4] {
            filler.put(linear.map_or(f64::NAN, |(blocks, _)| {
                (threshold - blocks.point[target]) / blocks.volatility
            }));
        }
        for window in 0..WINDOW_COUNT {
            filler.put(linear.map_or(f64::NAN, |(_, chances)| log_odds(chances[window])));
        }
        for greatest in highs.0 {
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
    fn states(&self, filler: &mut Filler, spans: &Spans) {
        let renewal = self.renewal();
        let above = self.bits.bit(0);
        let lasted = (renewal.now as f64).ln_1p();
        filler.put(if above { lasted } else { -lasted });
        filler.put(if above {
            (renewal.before as f64).ln_1p()
        } else {
            -1.0
        });
        filler.put(f64::from(renewal.changes) / self.length as f64);
        let reached = f64::from(renewal.reached);
        for ended in renewal.ended {
            filler.put((f64::from(ended) + 0.3) / (reached + 1.0));
        }
        filler.put(reached.ln_1p());
        for rate in self.follow_ups(spans) {
            filler.put(rate);
        }
    }

    /// Shares above at this time of day, and at this minute of the hour and its parts: 11 values.
    fn seasons(&self, filler: &mut Filler, past: &Past, spans: &Spans) {
        let days: [usize; 7] = std::array::from_fn(|day| past.days_back(day + 1));
        let days = &days[..days.partition_point(|back| *back < self.length)];
        let periods = |period: usize, most: usize| ((self.length - 1) / period).min(most);
        let share = |period: usize, most: usize, count: usize| {
            let repeats = periods(period, most);
            let hits = (1..=repeats)
                .filter(|repeat| spans.any_after(repeat * period, count))
                .count();
            hits as f64 / repeats as f64
        };
        for count in [1, 3, 12] {
            let hits = days.iter().filter(|back| spans.any_after(**back, count)).count();
            filler.put(hits as f64 / days.len() as f64);
        }
        let near = days
            .iter()
            .map(|back| (self.bits.from(back - 8) & 0x7FFF).count_ones());
        filler.put(f64::from(near.sum::<u32>()) / (15 * days.len()) as f64);
        for day in [1, 7] {
            let known = days.get(day - 1);
            filler.put(known.map_or(f64::NAN, |back| f64::from(u8::from(spans.any_after(*back, 3)))));
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
            assert_eq!(bits.bits.bit(back), past.back(back) > 60.0, "{back} steps back");
        }
        let above = values
            .iter()
            .rev()
            .take(288)
            .filter(|value| **value > 60.0)
            .count();
        assert_eq!(bits.bits.count(288) as usize, above);
        let spans = Spans::new(&bits.bits);
        for back in [12, 64, 70, 500] {
            for count in [1, 3, 12] {
                let expected = (1..=count).any(|ahead| past.back(back + ahead - count - 1) > 60.0);
                assert_eq!(spans.any_after(back, count), expected, "{count} after {back}");
            }
        }
    }

    #[test]
    fn changes_are_found_across_words() {
        let mut values = vec![0.0; 300];
        values[50..250].fill(9.0);
        let bits = Exceedances::new(&past_of(&values), 5.0);
        assert!(bits.bits.changes(300).eq([49, 249]));
        let renewal = bits.renewal();
        assert_eq!((renewal.now, renewal.before, renewal.changes), (50, 200, 1));
    }

    #[test]
    fn a_threshold_that_is_followed_is_compared_with_the_same_values() {
        let mut past = Past::new(300);
        let mut followed = Exceedances::new(&past, 50.0);
        let mut time_s = 0;
        for step in 0..6000_i64 {
            // A gap now and then, longer ones rarely, and one after which nothing is kept.
            time_s += 300
                * match step {
                    4000 => 5000,
                    _ if step % 1000 == 999 => 70,
                    _ if step % 97 == 96 => 3,
                    _ => 1,
                };
            let value = if step % 31 == 7 {
                f64::NAN
            } else {
                (step * 7919 % 101) as f64
            };
            let steps = past.push(time_s, value).expect("time goes forward");
            followed.follow(&past, steps);
            let anew = Exceedances::new(&past, 50.0);
            assert_eq!(
                (followed.bits.0, followed.length),
                (anew.bits.0, anew.length),
                "{step}"
            );
        }
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
        assert_eq!(renewal.ended[0], 0);
        assert!(renewal.reached > 40);
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
                let row = bits.row(
                    &past,
                    &Highs::new(&past),
                    Some((&blocks, &blocks.chances(threshold))),
                );
                assert!(row[DISTANCE].is_finite());
                assert!(row.iter().all(|value| !value.is_infinite()), "{length}: {row:?}");
            }
        }
    }
}
