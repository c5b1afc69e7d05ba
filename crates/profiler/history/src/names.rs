//! How entities and fields are written: by kind and name, never by their number in this build.

use crate::bytes::{Cursor, Malformed, Parsed, put_text, put_varint};
use std::sync::Arc;
use tidegate_types::{AppName, Entity, EntityKind, Field, ROW_WIDTH};

/// All kinds, in the order of their bytes on disk (1 to 11).
pub(crate) const KINDS: [EntityKind; 11] = [
    EntityKind::Host,
    EntityKind::Core,
    EntityKind::Node,
    EntityKind::Disk,
    EntityKind::Nic,
    EntityKind::App,
    EntityKind::AppDisk,
    EntityKind::AppCore,
    EntityKind::AppNode,
    EntityKind::DiskRange,
    EntityKind::AppRange,
];

/// Kinds of the first version.
const OLDEST_KINDS: u8 = 7;

/// The byte of a kind.
pub(crate) fn kind_byte(kind: EntityKind) -> u8 {
    match kind {
        EntityKind::Host => 1,
        EntityKind::Core => 2,
        EntityKind::Node => 3,
        EntityKind::Disk => 4,
        EntityKind::Nic => 5,
        EntityKind::App => 6,
        EntityKind::AppDisk => 7,
        EntityKind::AppCore => 8,
        EntityKind::AppNode => 9,
        EntityKind::DiskRange => 10,
        EntityKind::AppRange => 11,
    }
}

/// Appends the kind's byte and what tells entities of that kind apart.
pub(crate) fn put_entity(out: &mut Vec<u8>, entity: &Entity) {
    out.push(kind_byte(entity.kind()));
    match entity {
        Entity::Host => {}
        Entity::Core(number) | Entity::Node(number) => put_varint(out, u64::from(*number)),
        Entity::Disk(name) | Entity::Nic(name) => put_text(out, name),
        Entity::App(name) => put_text(out, name.as_str()),
        Entity::AppDisk(name, device) => {
            put_text(out, name.as_str());
            put_text(out, device);
        }
        Entity::AppCore(name, number) | Entity::AppNode(name, number) => {
            put_text(out, name.as_str());
            put_varint(out, u64::from(*number));
        }
        Entity::DiskRange(disk, from, to) => put_range(out, disk, *from, *to),
        Entity::AppRange(name, disk, from, to) => {
            put_text(out, name.as_str());
            put_range(out, disk, *from, *to);
        }
    }
}

fn put_range(out: &mut Vec<u8>, disk: &str, from: u64, to: u64) {
    put_text(out, disk);
    put_varint(out, from);
    put_varint(out, to);
}

/// Reads what [`put_entity`] wrote.
pub(crate) fn entity(cursor: &mut Cursor<'_>) -> Parsed<Entity> {
    let number = |cursor: &mut Cursor<'_>| {
        u16::try_from(cursor.varint()?).map_err(|_| Malformed("a CPU or node number is too large"))
    };
    Ok(match cursor.u8()? {
        1 => Entity::Host,
        2 => Entity::Core(number(cursor)?),
        3 => Entity::Node(number(cursor)?),
        4 => Entity::Disk(Arc::from(cursor.text()?)),
        5 => Entity::Nic(Arc::from(cursor.text()?)),
        6 => Entity::App(AppName::new(cursor.text()?)),
        7 => Entity::AppDisk(AppName::new(cursor.text()?), Arc::from(cursor.text()?)),
        8 => Entity::AppCore(AppName::new(cursor.text()?), number(cursor)?),
        9 => Entity::AppNode(AppName::new(cursor.text()?), number(cursor)?),
        10 => Entity::DiskRange(Arc::from(cursor.text()?), cursor.varint()?, cursor.varint()?),
        11 => Entity::AppRange(
            AppName::new(cursor.text()?),
            Arc::from(cursor.text()?),
            cursor.varint()?,
            cursor.varint()?,
        ),
        _ => return Err(Malformed("an entity is of an unknown kind")),
    })
}

/// The fields of every kind by position in a row, as one build knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldTable {
    fields: [Vec<Option<Field>>; KINDS.len()],
}

impl FieldTable {
    /// The table of this build.
    pub(crate) fn current() -> Self {
        Self {
            fields: KINDS.map(|kind| Field::of_kind(kind).map(|spec| Some(spec.field)).collect()),
        }
    }

    /// The fields of `kind`; `None` where this build does not know the name.
    pub(crate) fn of(&self, kind: EntityKind) -> &[Option<Field>] {
        &self.fields[usize::from(kind_byte(kind)) - 1]
    }

    /// Appends all names.
    pub(crate) fn put(out: &mut Vec<u8>) {
        for kind in KINDS {
            put_varint(out, Field::of_kind(kind).count() as u64);
            for spec in Field::of_kind(kind) {
                put_text(out, spec.name);
            }
        }
    }

    /// Reads what [`FieldTable::put`] wrote, perhaps in another version: an older one had fewer kinds.
    pub(crate) fn parse(bytes: &[u8]) -> Parsed<Self> {
        let mut cursor = Cursor::new(bytes);
        let mut fields: [Vec<Option<Field>>; KINDS.len()] = Default::default();
        for (kind, names) in KINDS.into_iter().zip(&mut fields) {
            if cursor.is_empty() && kind_byte(kind) > OLDEST_KINDS {
                break;
            }
            let count = cursor.count()?;
            if count > ROW_WIDTH {
                return Err(Malformed("a row has too many fields"));
            }
            for _ in 0..count {
                names.push(Field::by_name(kind, cursor.text()?));
            }
        }
        Ok(Self { fields })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_the_first_kinds_is_read_and_a_shorter_one_is_not() {
        let mut bytes = Vec::new();
        FieldTable::put(&mut bytes);
        assert_eq!(FieldTable::parse(&bytes), Ok(FieldTable::current()));
        let table = |kinds: usize| {
            let mut bytes = Vec::new();
            for _ in 0..kinds {
                put_varint(&mut bytes, 0);
            }
            FieldTable::parse(&bytes)
        };
        assert!(table(usize::from(OLDEST_KINDS)).is_ok_and(|table| table.of(EntityKind::AppCore).is_empty()));
        assert!(table(usize::from(OLDEST_KINDS) - 1).is_err());
    }
}
