//! Samples in, the same samples out.

use crate::support::{NOON_MS, app, at, inline, sample};
use proptest::prelude::*;
use std::sync::Arc;
use tidegate_history::{HistoryError, Reader, Store, StoreConfig};
use tidegate_types::{AppName, BootTime, Entity, Field, Moment, Row, Sample};

fn all(reader: &Reader) -> Vec<Sample> {
    let samples = reader.samples(i64::MIN..i64::MAX).expect("a listing");
    samples.map(|sample| sample.expect("readable")).collect()
}

#[test]
fn samples_read_back_from_the_head_and_sealed() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut store, _) = Store::open(dir.path(), inline()).expect("opens");
    let written: Vec<Sample> = (0..700).map(sample).collect();
    for sample in &written {
        assert!(store.append(sample).expect("well formed"));
    }
    assert!(
        store.counters().sealed >= 2,
        "two files of five minutes are sealed"
    );
    assert_eq!(all(store.reader()), written);
    store.seal_head();
    store.flush().expect("sealed");
    assert_eq!(all(store.reader()), written);
    let range = NOON_MS + 10_000..NOON_MS + 20_000;
    assert_eq!(store.reader().samples(range).expect("a listing").count(), 10);
    assert_eq!(store.reader().verify().expect("readable"), []);
}

#[test]
fn a_killed_process_loses_nothing_that_was_appended() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut store, _) = Store::open(dir.path(), inline()).expect("opens");
    for second in 0..42 {
        store.append(&sample(second)).expect("well formed");
    }
    // No destructor runs, as with SIGKILL; the lock goes with the descriptor, so here it is copied elsewhere.
    let copy = tempfile::tempdir().expect("a folder");
    copy_store(dir.path(), copy.path());
    std::mem::forget(store);
    let (mut store, report) = Store::open(copy.path(), inline()).expect("opens");
    assert_eq!((report.recovered_heads, report.damage.len()), (1, 0));
    store.append(&sample(42)).expect("well formed");
    assert_eq!(all(store.reader()), (0..43).map(sample).collect::<Vec<_>>());
}

pub(crate) fn copy_store(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            std::fs::create_dir_all(&target).expect("made");
            copy_store(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[test]
fn one_writer_and_readers_beside_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut store, _) = Store::open(dir.path(), inline()).expect("opens");
    store.append(&sample(0)).expect("well formed");
    assert!(matches!(
        Store::open(dir.path(), inline()),
        Err(HistoryError::Busy { .. })
    ));
    assert_eq!(all(&Reader::open(dir.path())), [sample(0)]);
    drop(store);
    Store::open(dir.path(), inline()).expect("opens again");
}

#[test]
fn the_keeper_thread_seals_behind_the_tick() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = StoreConfig {
        background: true,
        ..inline()
    };
    let (mut store, _) = Store::open(dir.path(), config).expect("opens");
    let written: Vec<Sample> = (0..650).map(sample).collect();
    for sample in &written {
        store.append(sample).expect("well formed");
        // A reader may look at any moment of sealing.
        if sample.now.utc_ms % 50_000 == 0 {
            assert!(written.starts_with(&all(store.reader())));
        }
    }
    drop(store);
    assert_eq!(all(&Reader::open(dir.path())), written);
}

#[test]
fn boots_are_kept_apart_and_series_know_their_clock() {
    let dir = tempfile::tempdir().expect("a folder");
    for boot in ["boot-1", "boot-2"] {
        let config = StoreConfig {
            boot_id: Arc::from(boot),
            ..inline()
        };
        let (mut store, _) = Store::open(dir.path(), config).expect("opens");
        for second in 0..3 {
            store.append(&sample(second)).expect("well formed");
        }
    }
    let reader = Reader::open(dir.path());
    let mut samples = reader.samples(i64::MIN..i64::MAX).expect("a listing");
    let boots: Vec<String> = std::iter::from_fn(|| samples.next_with_boot())
        .map(|next| next.expect("readable").0.to_string())
        .collect();
    assert_eq!(
        boots,
        ["boot-1", "boot-1", "boot-1", "boot-2", "boot-2", "boot-2"]
    );
    let points = reader
        .series(&app("busy"), Field::CpuUsage, i64::MIN..i64::MAX, None)
        .expect("a series");
    assert_eq!(points.len(), 6);
    assert_eq!(points[0].boot, Some(at(0).boot));
}

#[test]
fn rows_out_of_order_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut store, _) = Store::open(dir.path(), inline()).expect("opens");
    let mut unsorted = sample(0);
    unsorted.rows.reverse();
    assert!(matches!(
        store.append(&unsorted),
        Err(HistoryError::Encode { .. })
    ));
}

#[test]
fn models_are_found_by_their_hash_and_checked() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = Store::open(dir.path(), inline()).expect("opens");
    let hash = store.put_model(b"weights").expect("kept");
    assert_eq!(
        store.reader().model(&hash).expect("read"),
        Some(b"weights".to_vec())
    );
    assert_eq!(store.reader().model("../lock").expect("no such model"), None);
    std::fs::write(dir.path().join("models").join(&hash), b"weighty").expect("changed");
    assert!(matches!(
        store.reader().model(&hash),
        Err(HistoryError::Model { .. })
    ));
}

#[test]
fn entities_are_listed_with_their_fields() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut store, _) = Store::open(dir.path(), inline()).expect("opens");
    for second in 0..400 {
        store.append(&sample(second)).expect("well formed");
    }
    let known = store.reader().entities().expect("a listing");
    let names: Vec<String> = known.iter().map(|known| known.entity.to_string()).collect();
    assert_eq!(names, ["host", "app:busy", "app:guest", "app:idle"]);
    assert!(known[1].fields.contains(&Field::Memory) && !known[1].fields.contains(&Field::Swap));
}

fn entities() -> impl Strategy<Value = Entity> {
    let name = "[a-z/é]{0,6}";
    prop_oneof![
        Just(Entity::Host),
        any::<u16>().prop_map(Entity::Core),
        any::<u16>().prop_map(Entity::Node),
        name.prop_map(|name| Entity::Disk(Arc::from(name))),
        name.prop_map(|name| Entity::Nic(Arc::from(name))),
        name.prop_map(|name| Entity::App(AppName::new(&name))),
        (name, name).prop_map(|(app, disk)| Entity::AppDisk(AppName::new(&app), Arc::from(disk))),
        (name, any::<u16>()).prop_map(|(app, core)| Entity::AppCore(AppName::new(&app), core)),
        (name, any::<u16>()).prop_map(|(app, node)| Entity::AppNode(AppName::new(&app), node)),
        (name, any::<u64>(), any::<u64>()).prop_map(|(disk, from, to)| Entity::DiskRange(
            Arc::from(disk),
            from,
            to
        )),
        (name, name, any::<u64>(), any::<u64>()).prop_map(|(app, disk, from, to)| Entity::AppRange(
            AppName::new(&app),
            Arc::from(disk),
            from,
            to
        )),
    ]
}

fn values() -> impl Strategy<Value = f64> {
    prop_oneof![
        2 => Just(f64::NAN),
        1 => any::<u64>().prop_map(f64::from_bits),
        2 => (0_u32..1000).prop_map(f64::from),
        1 => Just(-0.0),
    ]
}

fn any_sample() -> impl Strategy<Value = Sample> {
    let rows = prop::collection::btree_map(entities(), prop::collection::vec(values(), 32), 0..5);
    (any::<i64>(), any::<i64>(), any::<f64>(), rows).prop_map(|(boot, utc_ms, interval_s, rows)| Sample {
        now: Moment {
            boot: BootTime(boot.unsigned_abs() >> 1),
            utc_ms: utc_ms >> 12,
        },
        interval_s,
        rows: rows
            .into_iter()
            .map(|(entity, values)| row(entity, &values))
            .collect(),
    })
}

/// Slots that belong to no field are no part of a sample.
fn row(entity: Entity, values: &[f64]) -> Row {
    let mut row = Row::empty(entity);
    let fields = Field::of_kind(row.entity.kind()).count();
    row.values[..fields].copy_from_slice(&values[..fields]);
    row
}

/// Equal to the bit, the interval included.
fn same(left: &Sample, right: &Sample) -> bool {
    left.now == right.now
        && left.interval_s.to_bits() == right.interval_s.to_bits()
        && left.rows == right.rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_sample_reads_back_to_the_bit(
        samples in prop::collection::vec(any_sample(), 1..8),
        repeats in 1_usize..4,
    ) {
        let dir = tempfile::tempdir().expect("a folder");
        // Times are arbitrary here, so nothing may be too old.
        let config = StoreConfig { second_hours: u32::MAX, ..inline() };
        let (mut store, _) = Store::open(dir.path(), config).expect("opens");
        let mut written = Vec::new();
        for sample in samples.iter().cycle().take(samples.len() * repeats) {
            store.append(sample).expect("well formed");
            written.push(sample.clone());
        }
        for sealed in [false, true] {
            if sealed {
                store.seal_head();
                store.flush().expect("sealed");
            }
            let read = all(store.reader());
            prop_assert_eq!(read.len(), written.len());
            prop_assert!(read.iter().zip(&written).all(|(left, right)| same(left, right)));
        }
    }
}
