//! The last minutes of each entity, for the small curves.

use crate::view::Sparks;
use std::collections::{BTreeMap, VecDeque};
use tidegate_types::{Entity, Field, Row, Sample};

/// Values per curve: one or two minutes at the default interval, and as many pixels as a cell is wide.
const POINTS: usize = 90;
/// Bytes in a mebibyte.
const MIB: f64 = 1_048_576.0;

/// Three significant digits: more cannot be seen on a curve, and each costs a byte of every answer.
fn rounded(value: f64) -> Option<f32> {
    if !value.is_finite() {
        return None;
    }
    if value == 0.0 {
        return Some(0.0);
    }
    let scale = 10_f64.powi(2 - value.abs().log10().floor() as i32);
    Some(((value * scale).round() / scale) as f32)
}

#[derive(Debug, Default)]
struct History {
    cpu_cores: VecDeque<Option<f32>>,
    memory_mib: VecDeque<Option<f32>>,
    waiting_ratio: VecDeque<Option<f32>>,
}

impl History {
    fn push(&mut self, cpu: Option<f64>, memory: Option<f64>, waiting: Option<f64>) {
        let columns = [
            (&mut self.cpu_cores, cpu),
            (&mut self.memory_mib, memory.map(|bytes| bytes / MIB)),
            (&mut self.waiting_ratio, waiting),
        ];
        for (column, value) in columns {
            if column.len() == POINTS {
                column.pop_front();
            }
            column.push_back(value.and_then(rounded));
        }
    }
}

fn worst(row: &Row, fields: &[Field]) -> Option<f64> {
    fields
        .iter()
        .filter_map(|field| row.get(*field))
        .map(|share| share.min(1.0))
        .reduce(f64::max)
}

/// The recent past of the host and of each app that is there.
#[derive(Debug, Default)]
pub(super) struct Histories(BTreeMap<Entity, History>);

impl Histories {
    pub(super) fn push(&mut self, sample: &Sample) {
        self.0.retain(|entity, _| sample.row(entity).is_some());
        for row in &sample.rows {
            let (cpu, memory, waiting) = match row.entity {
                Entity::Host => {
                    let total = row.get(Field::HostMemoryTotal);
                    let available = row.get(Field::HostMemoryAvailable);
                    let used = total.zip(available).map(|(total, available)| total - available);
                    let waits = [
                        Field::HostCpuWaiting,
                        Field::HostMemoryWaiting,
                        Field::HostIoWaiting,
                    ];
                    (row.get(Field::HostCpuBusy), used, worst(row, &waits))
                }
                Entity::App(_) => {
                    let waits = [
                        Field::CpuWaiting,
                        Field::CpuThrottled,
                        Field::MemoryWaiting,
                        Field::IoWaiting,
                    ];
                    let cpu = row.get(Field::CpuUsage);
                    (cpu, row.get(Field::Memory), worst(row, &waits))
                }
                _ => continue,
            };
            self.0
                .entry(row.entity.clone())
                .or_default()
                .push(cpu, memory, waiting);
        }
    }

    pub(super) fn of(&self, entity: &Entity) -> Sparks {
        let Some(history) = self.0.get(entity) else {
            return Sparks::default();
        };
        Sparks {
            cpu_cores: history.cpu_cores.iter().copied().collect(),
            memory_mib: history.memory_mib.iter().copied().collect(),
            waiting_ratio: history.waiting_ratio.iter().copied().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_three_digits() {
        for (value, expected) in [
            (0.0, Some(0.0)),
            (0.012_345, Some(0.0123)),
            (98_765.4, Some(98_800.0)),
            (-1.2345, Some(-1.23)),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(rounded(value), expected, "{value}");
        }
    }

    #[test]
    fn curves_are_bounded_and_go_with_their_entity() {
        let mut histories = Histories::default();
        let mut row = Row::empty(Entity::Host);
        row.set(Field::HostCpuBusy, 1.0);
        let sample = Sample {
            rows: vec![row],
            ..Sample::default()
        };
        for _ in 0..POINTS + 5 {
            histories.push(&sample);
        }
        assert_eq!(histories.of(&Entity::Host).cpu_cores, vec![Some(1.0); POINTS]);
        assert_eq!(histories.of(&Entity::Host).memory_mib, vec![None; POINTS]);
        histories.push(&Sample::default());
        assert_eq!(histories.of(&Entity::Host), Sparks::default());
    }
}
