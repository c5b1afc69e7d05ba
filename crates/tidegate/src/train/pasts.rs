//! The past of this host's units as training reads it: peaks of five minutes and of one, and where there was contention.
//!
//! Steps under a lease, and such in which contention was treated, are marked as not known: they do not teach "no
//! contention". Disks are left out, whose load is a sum of two fields, and limits of groups that have others below them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use tidegate_forecast::models::peaks::growth::{Step, UnitPast};
use tidegate_history::{HistoryError, Known, Point, Reader, Tier};
use tidegate_types::{Direction, Entity, Field, Resource, Treatment, Unit};

/// How far back it looks.
const BACK_MS: i64 = 14 * 86_400_000;
/// Units that are read, those with contention first: each costs a walk over the files of two weeks.
const UNITS_MAX: usize = 400;
const STEP_MS: i64 = 300_000;
const MINUTE_MS: i64 = 60_000;

/// Where a unit's load and capacity are recorded.
struct Fields {
    entity: Entity,
    load: Field,
    capacity: Option<Field>,
    /// The load is what the field leaves of the capacity.
    is_rest: bool,
}

/// The past of every unit that history knows.
pub(crate) fn of(reader: &Reader, now_utc_ms: i64) -> Result<Vec<UnitPast>, HistoryError> {
    let begin_ms = (now_utc_ms - BACK_MS).div_euclid(STEP_MS) * STEP_MS;
    let range = begin_ms..now_utc_ms;
    let marks = Marks::of(reader, begin_ms)?;
    let mut units: BTreeSet<(bool, Unit)> = BTreeSet::new();
    for known in reader.entities()? {
        let found = units_of(&known).into_iter();
        units.extend(found.map(|unit| (!marks.contended.contains_key(&unit), unit)));
    }
    let mut pasts = Vec::new();
    for (_, unit) in units.into_iter().take(UNITS_MAX) {
        if let Some(fields) = fields_of(&unit) {
            let steps = peaks(reader, &fields, &range, Tier::FiveMinutes)?;
            let minutes = peaks(reader, &fields, &range, Tier::Minute)?;
            pasts.extend(marks.past(&unit, &steps, &minutes, fields.capacity.is_some()));
        }
    }
    Ok(pasts)
}

fn units_of(known: &Known) -> Vec<Unit> {
    let has = |field: Field| known.fields.contains(&field);
    match &known.entity {
        Entity::App(app) => {
            let limits = [
                (Field::CpuLimit, Resource::Cpu),
                (Field::MemoryLimit, Resource::Memory),
            ];
            let held = limits.into_iter().filter(|(field, _)| has(*field));
            held.map(|(_, resource)| Unit::Limit(app.clone(), resource))
                .collect()
        }
        Entity::Host => vec![Unit::Cpu, Unit::Memory],
        Entity::Core(number) => vec![Unit::Core(*number)],
        Entity::Nic(name) if has(Field::NicSpeed) => [Direction::Rx, Direction::Tx]
            .map(|direction| Unit::Net(name.clone(), direction))
            .into(),
        _ => Vec::new(),
    }
}

fn fields_of(unit: &Unit) -> Option<Fields> {
    let fields = |entity: Entity, load: Field, capacity: Option<Field>| Fields {
        entity,
        load,
        capacity,
        is_rest: false,
    };
    Some(match unit {
        Unit::Limit(app, Resource::Cpu) => {
            fields(Entity::App(app.clone()), Field::CpuUsage, Some(Field::CpuLimit))
        }
        Unit::Limit(app, Resource::Memory) => {
            fields(Entity::App(app.clone()), Field::Memory, Some(Field::MemoryLimit))
        }
        Unit::Cpu => fields(Entity::Host, Field::HostCpuBusy, Some(Field::HostCpuCapacity)),
        Unit::Memory => Fields {
            is_rest: true,
            ..fields(
                Entity::Host,
                Field::HostMemoryAvailable,
                Some(Field::HostMemoryTotal),
            )
        },
        Unit::Core(number) => fields(Entity::Core(*number), Field::CoreBusy, None),
        Unit::Net(name, Direction::Rx) => fields(
            Entity::Nic(name.clone()),
            Field::NicReceive,
            Some(Field::NicSpeed),
        ),
        Unit::Net(name, Direction::Tx) => fields(
            Entity::Nic(name.clone()),
            Field::NicTransmit,
            Some(Field::NicSpeed),
        ),
        _ => return None,
    })
}

/// The highest load of each bucket of a tier that was measured, over the capacity where there is one.
fn peaks(
    reader: &Reader,
    fields: &Fields,
    range: &Range<i64>,
    tier: Tier,
) -> Result<BTreeMap<i64, f32>, HistoryError> {
    let series = |field: Field| reader.series(&fields.entity, field, range.clone(), Some(tier));
    let capacity: Option<BTreeMap<i64, f64>> = match fields.capacity {
        Some(field) => Some(
            series(field)?
                .iter()
                .map(|point| (point.utc_ms, point.mean))
                .collect(),
        ),
        None => None,
    };
    let ratio = |point: &Point| {
        let Some(capacity) = &capacity else {
            return Some(point.max);
        };
        let of = capacity.get(&point.utc_ms).copied()?;
        let load = if fields.is_rest { of - point.min } else { point.max };
        (of.is_finite() && of > 0.0).then(|| load / of)
    };
    let points = series(fields.load)?;
    let known = points
        .iter()
        .filter_map(|point| Some((point.utc_ms, ratio(point)? as f32)));
    Ok(known.filter(|(_, value)| value.is_finite()).collect())
}

/// Steps in which something was going on, by unit.
#[derive(Default)]
struct Marks {
    contended: BTreeMap<Unit, BTreeSet<i64>>,
    treated: BTreeMap<Unit, BTreeSet<i64>>,
}

impl Marks {
    fn of(reader: &Reader, since_ms: i64) -> Result<Self, HistoryError> {
        let mut marks = Self::default();
        for (at, event) in reader.contention(since_ms)? {
            // It is recorded when it begins and again when it ends.
            let Some(end) = event.end else { continue };
            let list = match event.treatment {
                Treatment::Untreated => &mut marks.contended,
                Treatment::Treated | Treatment::Unknown => &mut marks.treated,
            };
            let span = at.utc_ms_of(event.begin)..=at.utc_ms_of(end);
            list.entry(event.unit).or_default().extend(steps_in(span));
        }
        for action in reader.actions(since_ms)? {
            let lease = &action.lease;
            let of = |boot| action.planned.utc_ms_of(boot);
            let span = of(lease.start)..=of(lease.end);
            let own =
                [Resource::Cpu, Resource::Memory].map(|resource| Unit::Limit(lease.app.clone(), resource));
            for unit in own.into_iter().chain([lease.cause.unit.clone()]) {
                marks
                    .treated
                    .entry(unit)
                    .or_default()
                    .extend(steps_in(span.clone()));
            }
        }
        Ok(marks)
    }

    /// The unit's past from its first measured step to its last.
    fn past(
        &self,
        unit: &Unit,
        steps: &BTreeMap<i64, f32>,
        minutes: &BTreeMap<i64, f32>,
        has_capacity: bool,
    ) -> Option<UnitPast> {
        let (first, last) = (*steps.keys().next()?, *steps.keys().next_back()?);
        let (contended, treated) = (self.contended.get(unit), self.treated.get(unit));
        let has = |list: Option<&BTreeSet<i64>>, at: i64| list.is_some_and(|list| list.contains(&at));
        let step = |place: i64| {
            let at = first + place * STEP_MS;
            let highest = steps.get(&at).copied();
            let known = highest.is_some() && !has(treated, at);
            let minute = |minute: usize| {
                minutes
                    .get(&(at + minute.cast_signed() as i64 * MINUTE_MS))
                    .copied()
            };
            Step {
                highest: highest.unwrap_or(f32::NAN),
                minutes: std::array::from_fn(|place| minute(place).unwrap_or(f32::NAN)),
                contended: known.then(|| has(contended, at)),
            }
        };
        Some(UnitPast {
            begin_s: first / 1000,
            has_capacity: has_capacity || matches!(unit, Unit::Core(_)),
            steps: (0..=(last - first) / STEP_MS).map(step).collect(),
        })
    }
}

fn steps_in(span: std::ops::RangeInclusive<i64>) -> impl Iterator<Item = i64> {
    (span.start().div_euclid(STEP_MS)..=span.end().div_euclid(STEP_MS)).map(|step| step * STEP_MS)
}
