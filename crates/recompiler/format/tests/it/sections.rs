//! Records that the linker concatenates: descriptors, anchors, refusals, tunables.

use proptest::prelude::*;
use tidegate_format::FormatError;
use tidegate_format::scenario::Scenario;
use tidegate_format::section::{
    AnchorEntry, AnchorKind, DESCRIPTOR_LENGTH, Descriptor, Refusal, RefusalReason, TUNABLE_LENGTH, Tunable,
};

#[test]
fn a_descriptor_leads_to_its_parts() {
    let mut bytes = vec![0; DESCRIPTOR_LENGTH];
    bytes[0] = 1;
    bytes[4..8].copy_from_slice(&(-0x1000_i32).to_le_bytes());
    bytes[8..12].copy_from_slice(&0x20_i32.to_le_bytes());
    let descriptor = Descriptor::read(&bytes).unwrap();
    assert_eq!(descriptor.body.target(0x5000), Some(0x4004));
    assert_eq!(descriptor.slot.target(0x5000), Some(0x5028));
    assert_eq!(descriptor.stub.target(0x5000), None);
    bytes[0] = 2;
    assert_eq!(
        Descriptor::read(&bytes),
        Err(FormatError::Version { found: 2, known: 1 })
    );
}

#[test]
fn anchors_are_relative_to_themselves() {
    let mut table = vec![0; 16];
    table[8..12].copy_from_slice(&0x10_i32.to_le_bytes());
    table[12] = AnchorKind::Slot as u8;
    table[13] = 1;
    let entry = AnchorEntry::read(&table, 1).unwrap();
    assert_eq!(entry.reference.target(0x1000), Some(0x1018));
    assert_eq!(
        (entry.kind, entry.is_indirect(), entry.is_weak()),
        (AnchorKind::Slot, true, false)
    );
    assert!(AnchorEntry::read(&table, 2).is_err());
    assert!(AnchorEntry::read(&table, usize::MAX).is_err());
}

#[test]
fn a_tunable_has_its_scenario_s_value_or_its_default() {
    let mut bytes = vec![0; TUNABLE_LENGTH];
    bytes[0] = 1;
    bytes[8] = 100;
    bytes[32] = 1;
    bytes[40..48].copy_from_slice(&(-5_i64).to_le_bytes());
    bytes[104..109].copy_from_slice(b"batch");
    let tunable = Tunable::read(&bytes).unwrap();
    assert_eq!((tunable.name, tunable.default), ("batch", 100));
    assert_eq!(tunable.value(Scenario::Memory), -5);
    assert_eq!(tunable.value(Scenario::Cpu), 100);
    assert_eq!(tunable.value(Scenario::Placebo), 100);
}

#[test]
fn reasons_and_scenarios_have_distinct_numbers_and_names() {
    for reason in RefusalReason::ALL {
        assert_eq!(RefusalReason::from_number(*reason as u16), Some(*reason));
    }
    for scenario in Scenario::ALL {
        assert_eq!(Scenario::from_number(scenario.number()), Some(scenario));
        assert_eq!(Scenario::from_name(scenario.name()), Some(scenario));
    }
}

proptest! {
    #[test]
    fn refusals_read_back_as_written(
        names in prop::collection::vec("[a-zA-Z_./ ]{0,30}", 0..8),
        reason in prop::sample::select(RefusalReason::ALL),
    ) {
        let refusals: Vec<_> = names.iter().map(|name| Refusal { name, reason }).collect();
        let section: Vec<u8> = refusals.iter().flat_map(Refusal::to_bytes).collect();
        prop_assert_eq!(Refusal::read_all(&section).collect::<Result<Vec<_>, _>>().unwrap(), refusals);
    }

    #[test]
    fn no_reader_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Descriptor::read_all(&bytes).count();
        let _ = Refusal::read_all(&bytes).count();
        let _ = Tunable::read_all(&bytes).count();
        let _ = AnchorEntry::read(&bytes, 3);
    }
}
