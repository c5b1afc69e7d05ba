//! One reading of everything, at one moment.

use crate::{Entity, Field, Moment, ROW_WIDTH};
use serde::{Deserialize, Serialize};

/// The measured values of one entity. NaN means *not measured*, which is never zero.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// What the values describe.
    pub entity: Entity,
    /// By [`Field::slot`], in the unit of the field's spec.
    pub values: [f64; ROW_WIDTH],
}

impl Row {
    /// A row in which nothing is measured yet.
    pub fn empty(entity: Entity) -> Self {
        Self {
            entity,
            values: [f64::NAN; ROW_WIDTH],
        }
    }

    /// The value of `field`, or `None` where it was not measured or belongs to another kind.
    pub fn get(&self, field: Field) -> Option<f64> {
        if field.spec().kind != self.entity.kind() {
            return None;
        }
        let value = self.values[field.slot()];
        (!value.is_nan()).then_some(value)
    }

    /// Sets `field`; a field of another kind is a programming error and is ignored in release.
    pub fn set(&mut self, field: Field, value: f64) {
        debug_assert_eq!(
            field.spec().kind,
            self.entity.kind(),
            "{field:?} is not a field of {}",
            self.entity
        );
        self.values[field.slot()] = value;
    }
}

/// Two rows are equal when they describe the same entity with the same bits (NaN equals NaN).
impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.entity == other.entity
            && self
                .values
                .iter()
                .zip(&other.values)
                .all(|(left, right)| left.to_bits() == right.to_bits())
    }
}

/// Everything read in one tick: rates over the measured interval before `now`, levels at `now`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When the reading ended.
    pub now: Moment,
    /// Measured seconds since the reading before; 0 for the first one, whose rates are absent.
    pub interval_s: f64,
    /// Sorted by entity, no entity twice.
    pub rows: Vec<Row>,
}

impl Sample {
    /// The row of `entity`.
    pub fn row(&self, entity: &Entity) -> Option<&Row> {
        self.rows
            .binary_search_by(|row| row.entity.cmp(entity))
            .ok()
            .map(|position| &self.rows[position])
    }

    /// One value; `None` where it was not measured.
    pub fn get(&self, entity: &Entity, field: Field) -> Option<f64> {
        self.row(entity)?.get(field)
    }

    /// Restores the order that [`Sample::row`] relies on.
    pub fn sort(&mut self) {
        self.rows.sort_by(|left, right| left.entity.cmp(&right.entity));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AppName;

    #[test]
    fn what_was_not_measured_is_absent() {
        let app = Entity::App(AppName::new("web"));
        let mut row = Row::empty(app.clone());
        row.set(Field::CpuUsage, 0.0);
        let mut sample = Sample {
            rows: vec![row, Row::empty(Entity::Host)],
            ..Sample::default()
        };
        sample.sort();
        assert_eq!(sample.get(&app, Field::CpuUsage), Some(0.0));
        assert_eq!(sample.get(&app, Field::Memory), None);
        assert_eq!(
            sample.get(&app, Field::HostCpuBusy),
            None,
            "a field of another kind"
        );
        assert_eq!(
            sample.get(&Entity::Core(0), Field::CoreBusy),
            None,
            "an absent row"
        );
    }
}
