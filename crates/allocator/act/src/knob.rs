//! The files of each knob on each layout: reading, the order of writes, and what is ours.
//!
//! A knob is a set of files that move together. Everything here speaks the kernel's own text, so that giving
//! back means writing exactly what was found.
//!
//! Facts of the kernel that shape the order: a quota below the burst is refused; v1 refuses a child above its
//! parent; a group that is idle refuses weights, and one that stops being idle has the default weight, not the
//! one before; v1 clamps shares to 2..262144.

use crate::group::{Group, GroupFault};
use tidegate_types::{Hierarchy, Knob, KnobValue};

/// The present text of each file of a knob, in a fixed order; files that the kernel lacks are left out.
pub(crate) type Set = Vec<(&'static str, String)>;

const V2_WEIGHT: &[&str] = &["cpu.weight", "cpu.idle"];
const V1_WEIGHT: &[&str] = &["cpu.shares", "cpu.idle"];
const V2_MAX: &[&str] = &["cpu.max", "cpu.max.burst"];
const V1_MAX: &[&str] = &["cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us"];

/// The files of `knob`; the first one always exists, the others depend on the kernel's age.
pub(crate) fn files(hierarchy: Hierarchy, knob: Knob) -> &'static [&'static str] {
    match (hierarchy, knob) {
        (Hierarchy::V2, Knob::CpuWeight) => V2_WEIGHT,
        (_, Knob::CpuWeight) => V1_WEIGHT,
        (Hierarchy::V2, Knob::CpuMax) => V2_MAX,
        (_, Knob::CpuMax) => V1_MAX,
    }
}

/// Reads every file of `knob` that the group has.
pub(crate) fn read(group: &Group, hierarchy: Hierarchy, knob: Knob) -> Result<Set, GroupFault> {
    let mut set = Set::new();
    for (position, name) in files(hierarchy, knob).iter().enumerate() {
        match group.read(name) {
            Ok(value) => set.push((name, value)),
            Err(GroupFault::NoSuchFile) if position > 0 => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(set)
}

fn text<'a>(set: &'a Set, name: &str) -> Option<&'a str> {
    set.iter()
        .find(|(file, _)| *file == name)
        .map(|(_, value)| value.as_str())
}

fn number(set: &Set, name: &str) -> Option<u64> {
    text(set, name)?.parse().ok()
}

/// `(quota, period)` in microseconds; no quota is `None`.
fn quota_and_period(set: &Set) -> (Option<u64>, u64) {
    const KERNEL_DEFAULT_PERIOD_US: u64 = 100_000;
    if let Some(max) = text(set, "cpu.max") {
        let mut words = max.split_whitespace();
        let quota = words.next().and_then(|word| word.parse().ok());
        let period = words.next().and_then(|word| word.parse().ok());
        return (quota, period.unwrap_or(KERNEL_DEFAULT_PERIOD_US));
    }
    let period = number(set, "cpu.cfs_period_us").unwrap_or(KERNEL_DEFAULT_PERIOD_US);
    (number(set, "cpu.cfs_quota_us"), period)
}

fn burst(set: &Set) -> u64 {
    number(set, "cpu.max.burst")
        .or_else(|| number(set, "cpu.cfs_burst_us"))
        .unwrap_or(0)
}

fn is_idle(set: &Set) -> bool {
    text(set, "cpu.idle") == Some("1")
}

/// v1 shares of a v2 weight.
pub(crate) fn shares_of(weight: u32) -> u64 {
    ((f64::from(weight) * 1024.0 / 100.0).round() as u64).clamp(2, 262_144)
}

/// What a set means, in v2 terms.
pub(crate) fn decode(knob: Knob, set: &Set) -> KnobValue {
    match knob {
        Knob::CpuWeight => {
            let weight = number(set, "cpu.weight").map(|weight| weight as f64);
            let shares = number(set, "cpu.shares").map(|shares| shares as f64 * 100.0 / 1024.0);
            let weight = weight.or(shares).unwrap_or(100.0).round().clamp(1.0, 10_000.0);
            KnobValue::CpuWeight {
                weight: weight as u32,
                idle: is_idle(set),
            }
        }
        Knob::CpuMax => {
            let (quota_us, period_us) = quota_and_period(set);
            KnobValue::CpuMax {
                quota_us,
                period_us,
                burst_us: burst(set),
            }
        }
    }
}

/// The set that `value` asks for, given which files there are in `present`. A file that the value says nothing
/// about (the weight of a group that is to be idle) is left out.
pub(crate) fn encode(value: &KnobValue, present: &Set) -> Set {
    let has = |name: &str| text(present, name).is_some();
    match *value {
        KnobValue::CpuWeight { weight, idle } => {
            let weight_file = if has("cpu.weight") {
                "cpu.weight"
            } else {
                "cpu.shares"
            };
            let of = |weight: u32| match weight_file {
                "cpu.weight" => weight.clamp(1, 10_000).to_string(),
                _ => shares_of(weight).to_string(),
            };
            match (idle, has("cpu.idle")) {
                (true, true) => vec![("cpu.idle", "1".into())],
                (true, false) => vec![(weight_file, of(1))],
                (false, true) => vec![(weight_file, of(weight)), ("cpu.idle", "0".into())],
                (false, false) => vec![(weight_file, of(weight))],
            }
        }
        KnobValue::CpuMax {
            quota_us,
            period_us,
            burst_us,
        } => {
            let mut set = Set::new();
            if has("cpu.max") {
                let quota = quota_us.map_or("max".to_owned(), |quota| quota.to_string());
                set.push(("cpu.max", format!("{quota} {period_us}")));
            } else {
                let quota = quota_us.map_or("-1".to_owned(), |quota| quota.to_string());
                set.push(("cpu.cfs_quota_us", quota));
                set.push(("cpu.cfs_period_us", period_us.to_string()));
            }
            for name in ["cpu.max.burst", "cpu.cfs_burst_us"] {
                if has(name) {
                    set.push((name, burst_us.to_string()));
                }
            }
            set
        }
    }
}

/// The writes that turn `current` into `target`, in an order in which the kernel takes each of them and no
/// limit is above both ends on the way.
pub(crate) fn steps(knob: Knob, current: &Set, target: &Set) -> Set {
    let differs = |(name, value): &&(&'static str, String)| text(current, name) != Some(value);
    let mut steps: Set = match knob {
        Knob::CpuWeight => return weight_steps(current, target),
        Knob::CpuMax => target.iter().filter(differs).cloned().collect(),
    };
    let lowers_burst = burst(target) < burst(current);
    let ratio =
        |quota: Option<u64>, period: u64| quota.map_or(f64::INFINITY, |quota| quota as f64 / period as f64);
    let (old_quota, old_period) = quota_and_period(current);
    let (new_quota, new_period) = quota_and_period(target);
    let period_first = ratio(old_quota, new_period) < ratio(new_quota, old_period);
    steps.sort_by_key(|(name, _)| match *name {
        "cpu.max.burst" | "cpu.cfs_burst_us" => {
            if lowers_burst {
                0
            } else {
                3
            }
        }
        "cpu.cfs_period_us" => {
            if period_first {
                1
            } else {
                2
            }
        }
        _ => {
            if period_first {
                2
            } else {
                1
            }
        }
    });
    steps
}

fn weight_steps(current: &Set, target: &Set) -> Set {
    let to_idle = is_idle(target);
    let was_idle = is_idle(current);
    let mut steps = Set::new();
    if to_idle {
        if !was_idle {
            steps.push(("cpu.idle", "1".into()));
        }
        return steps;
    }
    if was_idle {
        steps.push(("cpu.idle", "0".into()));
    }
    for (name, value) in target.iter().filter(|(name, _)| *name != "cpu.idle") {
        // Leaving idle resets the weight, so it is written even where it looks unchanged.
        if was_idle || text(current, name) != Some(value) {
            steps.push((name, value.clone()));
        }
    }
    steps
}

/// Texts that the kernel itself shows on the way in and out of idle; a crash between two writes leaves them.
pub(crate) fn passing_values(name: &str) -> &'static [&'static str] {
    match name {
        "cpu.shares" => &["2", "3", "1024"],
        "cpu.weight" => &["0", "1", "100"],
        _ => &[],
    }
}

/// Size of a value, for "lower first, then raise": cores, or weight with idle as 0.
pub(crate) fn magnitude(value: &KnobValue) -> f64 {
    match *value {
        KnobValue::CpuWeight { idle: true, .. } => 0.0,
        KnobValue::CpuWeight { weight, .. } => f64::from(weight),
        KnobValue::CpuMax { .. } => value.limit_cores().unwrap_or(f64::INFINITY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v1(quota: &str, period: &str, burst: &str) -> Set {
        vec![
            ("cpu.cfs_quota_us", quota.into()),
            ("cpu.cfs_period_us", period.into()),
            ("cpu.cfs_burst_us", burst.into()),
        ]
    }

    fn names(steps: &Set) -> Vec<&str> {
        steps.iter().map(|(name, _)| *name).collect()
    }

    #[test]
    fn the_burst_goes_first_when_it_falls_and_last_when_it_grows() {
        let (low, high) = (v1("20000", "100000", "0"), v1("80000", "100000", "40000"));
        assert_eq!(
            names(&steps(Knob::CpuMax, &high, &low)),
            ["cpu.cfs_burst_us", "cpu.cfs_quota_us"]
        );
        assert_eq!(
            names(&steps(Knob::CpuMax, &low, &high)),
            ["cpu.cfs_quota_us", "cpu.cfs_burst_us"]
        );
        assert_eq!(steps(Knob::CpuMax, &low, &low), Set::new());
    }

    #[test]
    fn on_the_way_no_limit_is_above_both_ends() {
        let cases = [
            (v1("20000", "100000", "0"), v1("20000", "50000", "0")),
            (v1("20000", "50000", "0"), v1("20000", "100000", "0")),
            (v1("-1", "100000", "0"), v1("10000", "50000", "0")),
            (v1("10000", "50000", "0"), v1("-1", "100000", "0")),
            (v1("90000", "100000", "0"), v1("30000", "50000", "0")),
        ];
        for (from, to) in cases {
            let cores = |set: &Set| decode(Knob::CpuMax, set).limit_cores().unwrap_or(f64::INFINITY);
            let most = cores(&from).max(cores(&to));
            let mut now = from.clone();
            for (name, value) in steps(Knob::CpuMax, &from, &to) {
                now.iter_mut()
                    .filter(|(file, _)| *file == name)
                    .for_each(|(_, text)| text.clone_from(&value));
                assert!(cores(&now) <= most, "{from:?} to {to:?} passes {now:?}");
            }
            assert_eq!(now, to);
        }
    }

    #[test]
    fn leaving_idle_writes_the_weight_again() {
        let set =
            |weight: &str, idle: &str| vec![("cpu.shares", weight.to_owned()), ("cpu.idle", idle.to_owned())];
        let found = set("2048", "0");
        let idle = encode(
            &KnobValue::CpuWeight {
                weight: 200,
                idle: true,
            },
            &found,
        );
        assert_eq!(
            steps(Knob::CpuWeight, &found, &idle),
            vec![("cpu.idle", "1".to_owned())]
        );
        let back = steps(Knob::CpuWeight, &set("3", "1"), &found);
        assert_eq!(
            back,
            vec![("cpu.idle", "0".to_owned()), ("cpu.shares", "2048".to_owned())]
        );
    }

    #[test]
    fn values_survive_both_dialects() {
        let value = KnobValue::CpuMax {
            quota_us: Some(150_000),
            period_us: 100_000,
            burst_us: 20_000,
        };
        let v2 = vec![
            ("cpu.max", "max 100000".to_owned()),
            ("cpu.max.burst", "0".to_owned()),
        ];
        for present in [v2, v1("-1", "100000", "0")] {
            assert_eq!(decode(Knob::CpuMax, &encode(&value, &present)), value);
        }
        let weight = KnobValue::CpuWeight {
            weight: 37,
            idle: false,
        };
        for file in ["cpu.weight", "cpu.shares"] {
            let present = vec![(file, "100".to_owned()), ("cpu.idle", "0".to_owned())];
            assert_eq!(decode(Knob::CpuWeight, &encode(&weight, &present)), weight);
        }
    }
}
