//! Small helpers that several rules share: values over the last seconds, and percentiles of a list.

use std::collections::VecDeque;

/// Values with their times, forgotten when they are older than the window.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    length_s: f64,
    values: VecDeque<(f64, f64)>,
}

impl Window {
    pub(crate) fn new(length_s: f64) -> Self {
        Self {
            length_s,
            values: VecDeque::new(),
        }
    }

    /// Adds `value` at `at_s` and forgets what is `length_s` or more older; NaN is not kept.
    pub(crate) fn push(&mut self, at_s: f64, value: f64) {
        if !value.is_nan() {
            self.values.push_back((at_s, value));
        }
        while self
            .values
            .front()
            .is_some_and(|(time, _)| at_s - time >= self.length_s)
        {
            self.values.pop_front();
        }
    }

    pub(crate) fn mean(&self) -> Option<f64> {
        let sum: f64 = self.values().sum();
        (!self.values.is_empty()).then(|| sum / self.values.len() as f64)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.values.iter().map(|(_, value)| *value)
    }

    /// The mean of values younger than `length_s`.
    pub(crate) fn mean_of_last(&self, length_s: f64) -> Option<f64> {
        let newest = self.values.back()?.0;
        let young: Vec<f64> = self
            .values
            .iter()
            .filter(|(time, _)| newest - time < length_s)
            .map(|(_, value)| *value)
            .collect();
        Some(young.iter().sum::<f64>() / young.len() as f64)
    }
}

/// The `share` quantile by linear interpolation between order statistics; `None` of nothing.
pub(crate) fn percentile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let position = share * last as f64;
    let below = (position.floor() as usize).min(last);
    let above = (below + 1).min(last);
    Some(sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64))
}

/// Collects values of one fixed slot of time after another.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    length_s: f64,
    slot: Option<i64>,
    values: Vec<f64>,
}

impl Slots {
    pub(crate) fn new(length_s: f64) -> Self {
        Self {
            length_s,
            slot: None,
            values: Vec::new(),
        }
    }

    /// Adds a value; where it begins a new slot, gives the values of the one that ended.
    pub(crate) fn push(&mut self, at_s: f64, value: f64) -> Option<Vec<f64>> {
        let slot = (at_s / self.length_s).floor() as i64;
        let ended = self.slot.is_some_and(|before| before != slot);
        self.slot = Some(slot);
        let values = ended.then(|| std::mem::take(&mut self.values));
        if !value.is_nan() {
            self.values.push(value);
        }
        values.filter(|values| !values.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_forget_and_slots_end() {
        let mut window = Window::new(10.0);
        for second in 0..20 {
            window.push(f64::from(second), f64::from(second));
        }
        assert_eq!(window.values().collect::<Vec<_>>()[0], 10.0);
        assert_eq!(window.mean(), Some(14.5));
        assert_eq!(window.mean_of_last(2.0), Some(18.5));
        let mut slots = Slots::new(60.0);
        assert_eq!(slots.push(59.0, 1.0), None);
        assert_eq!(slots.push(60.0, 2.0), Some(vec![1.0]));
        assert_eq!(slots.push(61.0, f64::NAN), None);
        assert_eq!(slots.push(180.0, 3.0), Some(vec![2.0]));
    }

    #[test]
    fn percentiles_interpolate() {
        assert_eq!(percentile(&[4.0, 1.0, 3.0, 2.0], 0.5), Some(2.5));
        assert_eq!(percentile(&[1.0, f64::NAN], 0.9), Some(1.0));
        assert_eq!(percentile(&[], 0.9), None);
    }
}
