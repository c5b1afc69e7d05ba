//! The last look before a write: what the policy grants is checked where the write is.

use tidegate_types::{KnobValue, Managed, Mode, Owner, Resource};

/// Rounding of quotas to whole microseconds.
const TOLERANCE_CORES: f64 = 1e-4;

/// Why `asked` may not be written, where it may not.
pub(crate) fn refusal(managed: &Managed, found: &KnobValue, asked: &KnobValue) -> Option<String> {
    let name = &managed.app.name;
    if let Some(reason) = &managed.grant.untouchable {
        return Some(format!("{name} is untouchable: {reason}"));
    }
    if managed.grant.mode(Resource::Cpu) != Mode::Enforce {
        return Some(format!("{name} is not granted: its cpu mode is below enforce"));
    }
    match &managed.app.owner {
        Owner::Tidegate | Owner::Delegated => {}
        Owner::Systemd(unit) => return Some(format!("{name} belongs to systemd ({unit})")),
        Owner::Other(who) => return Some(format!("{name} belongs to {who}")),
        Owner::Nobody => return Some(format!("{name} has no group of its own")),
    }
    outside(managed, found, asked)
}

/// Floors and ceilings bind what is changed; a value found outside of them may be left, not moved further.
fn outside(managed: &Managed, found: &KnobValue, asked: &KnobValue) -> Option<String> {
    let KnobValue::CpuMax { .. } = asked else {
        return None;
    };
    let range = managed.grant.cpu_cores;
    let cores = |value: &KnobValue| value.limit_cores().unwrap_or(f64::INFINITY);
    let (found, asked) = (cores(found), cores(asked));
    let name = &managed.app.name;
    let ceiling = range.ceiling.unwrap_or(found);
    if asked > found + TOLERANCE_CORES && asked > ceiling + TOLERANCE_CORES {
        return Some(format!(
            "{asked} cores is above the ceiling of {name} ({ceiling})"
        ));
    }
    let floor = range.floor.unwrap_or(0.0);
    if asked < found - TOLERANCE_CORES && asked < floor - TOLERANCE_CORES {
        return Some(format!("{asked} cores is below the floor of {name} ({floor})"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use tidegate_types::{App, AppName, Class, Grant, Range};

    fn managed(owner: Owner, mode: Mode, cpu_cores: Range) -> Managed {
        Managed {
            app: App {
                name: AppName::new("web"),
                group: None,
                owner,
                parent: None,
                executable: None,
                user: None,
            },
            grant: Grant {
                class: Class::Batch,
                modes: BTreeMap::from([(Resource::Cpu, mode)]),
                cpu_cores,
                ..Grant::default()
            },
        }
    }

    fn limit(cores: f64) -> KnobValue {
        KnobValue::CpuMax {
            quota_us: Some((cores * 1e5) as u64),
            period_us: 100_000,
            burst_us: 0,
        }
    }

    fn check(managed: &Managed, found: f64, asked: f64, expect: Option<&str>) {
        let refused = refusal(managed, &limit(found), &limit(asked));
        match expect {
            None => assert_eq!(refused, None),
            Some(word) => assert!(
                refused.as_deref().is_some_and(|text| text.contains(word)),
                "{refused:?}"
            ),
        }
    }

    #[test]
    fn only_what_was_handed_over_is_written() {
        let any = Range {
            floor: None,
            ceiling: Some(4.0),
        };
        check(&managed(Owner::Tidegate, Mode::Enforce, any), 1.0, 2.0, None);
        check(&managed(Owner::Delegated, Mode::Enforce, any), 1.0, 0.5, None);
        check(
            &managed(Owner::Delegated, Mode::Advise, any),
            1.0,
            2.0,
            Some("not granted"),
        );
        check(
            &managed(Owner::Systemd("a.service".into()), Mode::Enforce, any),
            1.0,
            2.0,
            Some("systemd"),
        );
        check(
            &managed(Owner::Nobody, Mode::Enforce, any),
            1.0,
            2.0,
            Some("no group"),
        );
    }

    #[test]
    fn floors_and_ceilings_are_never_crossed() {
        let bounded = managed(
            Owner::Tidegate,
            Mode::Enforce,
            Range {
                floor: Some(0.5),
                ceiling: Some(2.0),
            },
        );
        check(&bounded, 1.0, 2.0, None);
        check(&bounded, 1.0, 2.1, Some("ceiling"));
        check(&bounded, 1.0, 0.5, None);
        check(&bounded, 1.0, 0.4, Some("floor"));
        check(&bounded, 0.2, 0.3, None);
        let open = managed(Owner::Tidegate, Mode::Enforce, Range::default());
        check(&open, 1.0, 1.1, Some("ceiling"));
        check(&open, 1.0, 0.2, None);
    }
}
