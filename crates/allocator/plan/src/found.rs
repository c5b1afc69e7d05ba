//! What each knob was before we touched it: from samples while it is not ours, from the first write when it is.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidegate_types::{AppName, Apps, BootTime, Entity, Field, Knob, KnobValue, Sample};

/// Names one knob of one app.
pub(crate) type Key = (AppName, Knob);

/// A sample that was read less than this after our last write may still show our value, in seconds.
const SETTLE_S: f64 = 0.5;

/// The values that giving back would bring.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Found {
    values: BTreeMap<Key, KnobValue>,
    touched: BTreeMap<Key, BootTime>,
}

impl Found {
    /// Learns from a sample what is not ours; `ours` says which knobs are.
    pub(crate) fn learn(&mut self, sample: &Sample, apps: &Apps, ours: impl Fn(&Key) -> bool) {
        for app in apps.keys() {
            for knob in [Knob::CpuMax, Knob::CpuWeight] {
                let key = (app.clone(), knob);
                let settled = self
                    .touched
                    .get(&key)
                    .is_none_or(|touched| sample.now.boot.seconds_since(*touched) > SETTLE_S);
                if settled
                    && !ours(&key)
                    && let Some(value) = read(sample, app, knob)
                {
                    self.values.insert(key, value);
                }
            }
        }
        self.values.retain(|(app, _), _| apps.contains_key(app));
        self.touched.retain(|(app, _), _| apps.contains_key(app));
    }

    /// The actuator's own reading, or what someone else wrote.
    pub(crate) fn set(&mut self, key: Key, value: KnobValue) {
        self.values.insert(key, value);
    }

    /// The app's groups are others now: what was found on the old ones says nothing of them.
    pub(crate) fn forget(&mut self, app: &AppName) {
        self.values.retain(|(name, _), _| name != app);
        self.touched.retain(|(name, _), _| name != app);
    }

    /// A write of ours happened at `at`.
    pub(crate) fn touch(&mut self, key: &Key, at: BootTime) {
        let last = self.touched.entry(key.clone()).or_insert(at);
        *last = (*last).max(at);
    }

    /// The value, where it is known.
    pub(crate) fn get(&self, app: &AppName, knob: Knob) -> Option<KnobValue> {
        self.values.get(&(app.clone(), knob)).copied()
    }

    /// The CPU limit in cores, infinite where there is none; `None` where nothing is known.
    pub(crate) fn limit(&self, app: &AppName) -> Option<f64> {
        self.get(app, Knob::CpuMax)
            .map(|value| value.limit_cores().unwrap_or(f64::INFINITY))
    }

    /// Forgets when things were written: another boot has another clock.
    pub(crate) fn forget_times(&mut self) {
        self.touched.clear();
    }
}

fn read(sample: &Sample, app: &AppName, knob: Knob) -> Option<KnobValue> {
    let row = sample.row(&Entity::App(app.clone()))?;
    let microseconds = |seconds: f64| (seconds * 1e6).round() as u64;
    match knob {
        Knob::CpuMax => {
            let cores = row.get(Field::CpuLimit)?;
            let period_us = microseconds(row.get(Field::CpuLimitPeriod).unwrap_or(0.1));
            let quota_us = cores
                .is_finite()
                .then(|| (cores * period_us as f64).round() as u64);
            let burst_us = microseconds(row.get(Field::CpuBurst).unwrap_or(0.0));
            Some(KnobValue::CpuMax {
                quota_us,
                period_us,
                burst_us,
            })
        }
        Knob::CpuWeight => {
            let weight = row.get(Field::CpuWeight)?.round().clamp(1.0, 10_000.0) as u32;
            let idle = row.get(Field::CpuIdle).is_some_and(|idle| idle > 0.5);
            Some(KnobValue::CpuWeight { weight, idle })
        }
    }
}
