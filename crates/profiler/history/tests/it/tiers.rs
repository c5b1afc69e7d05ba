//! Minutes and five minutes: means, peaks, counts, and what is forgotten first.

use crate::support::{NOON_MS, app, inline, sample};
use std::path::Path;
use tidegate_history::{Point, Reader, Store, StoreConfig, Tier};
use tidegate_types::{BootTime, Field, Moment, Sample};

const ALL: std::ops::Range<i64> = i64::MIN..i64::MAX;

/// A sample every ten seconds, so that hours are cheap.
fn coarse(number: u64) -> Sample {
    let now = Moment {
        boot: BootTime(1 + number * 10_000_000_000),
        utc_ms: NOON_MS + number.cast_signed() * 10_000,
    };
    Sample {
        now,
        ..sample(number)
    }
}

fn fill(dir: &Path, config: StoreConfig, count: u64) -> Store {
    let (mut store, _) = Store::open(dir, config).expect("opens");
    for number in 0..count {
        store.append(&coarse(number)).expect("well formed");
    }
    store
}

fn series(reader: &Reader, tier: Option<Tier>) -> Vec<Point> {
    reader
        .series(&app("busy"), Field::Memory, ALL, tier)
        .expect("a series")
}

/// Mean, minimum, maximum and count of each `width_ms` of what was written, computed plainly.
fn expected(count: u64, width_ms: i64) -> Vec<(i64, f64, f64, f64, u32)> {
    let mut buckets: std::collections::BTreeMap<i64, Vec<f64>> = std::collections::BTreeMap::new();
    for number in 0..count {
        let sample = coarse(number);
        let value = sample.get(&app("busy"), Field::Memory).expect("measured");
        let start = sample.now.utc_ms / width_ms * width_ms;
        buckets.entry(start).or_default().push(value);
    }
    let bucket = |(start, values): (i64, Vec<f64>)| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let min = values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (start, mean, min, max, values.len() as u32)
    };
    buckets.into_iter().map(bucket).collect()
}

fn check(points: &[Point], expected: &[(i64, f64, f64, f64, u32)]) {
    assert_eq!(points.len(), expected.len());
    for (point, (start, mean, min, max, count)) in points.iter().zip(expected) {
        assert_eq!(
            (point.utc_ms, point.min, point.max, point.count),
            (*start, *min, *max, *count)
        );
        assert!((point.mean - mean).abs() <= mean.abs() * 1e-12);
    }
}

#[test]
fn buckets_are_the_same_whether_on_disk_or_made_when_asked() {
    let dir = tempfile::tempdir().expect("a folder");
    // Seven hours and a half: one file of five minutes, seven of minutes, the rest in seconds and head.
    let store = fill(dir.path(), inline(), 2_700);
    let files = |folder: &str| {
        std::fs::read_dir(dir.path().join(folder))
            .expect("a folder")
            .count()
    };
    assert_eq!((files("minutes"), files("fives")), (7, 1));
    check(
        &series(store.reader(), Some(Tier::Minute)),
        &expected(2_700, 60_000),
    );
    check(
        &series(store.reader(), Some(Tier::FiveMinutes)),
        &expected(2_700, 300_000),
    );
    assert_eq!(
        series(store.reader(), None).len(),
        2_700,
        "all of it is still there in seconds"
    );
}

#[test]
fn what_is_too_old_for_a_tier_is_read_from_the_coarser_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = StoreConfig {
        second_hours: 2,
        ..inline()
    };
    let store = fill(dir.path(), config, 2_700);
    let points = series(store.reader(), None);
    let (fine, minutes): (Vec<&Point>, Vec<&Point>) = points.iter().partition(|point| point.boot.is_some());
    assert!(
        points.is_sorted_by(|left, right| left.utc_ms < right.utc_ms),
        "no moment twice"
    );
    assert!(
        (720..900).contains(&fine.len()),
        "two hours of seconds: {}",
        fine.len()
    );
    let measured: u32 = minutes.iter().map(|point| point.count).sum();
    // The minute in which the seconds begin may be in both.
    let total = measured as usize + fine.len();
    assert!((2_700..=2_706).contains(&total), "{total} of 2,700");
}

#[test]
fn the_whole_is_bounded_and_the_oldest_of_the_finest_goes_first() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = StoreConfig {
        max_bytes: 60_000,
        ..inline()
    };
    let mut store = fill(dir.path(), config, 2_700);
    store.seal_head();
    store.flush().expect("maintains");
    let size = |folder: &str| -> u64 {
        let files = std::fs::read_dir(dir.path().join(folder)).expect("a folder");
        files
            .flatten()
            .map(|file| file.metadata().expect("there").len())
            .sum()
    };
    let total = ["head", "seconds", "minutes", "fives"]
        .map(size)
        .iter()
        .sum::<u64>();
    assert!(total <= 60_000, "{total} bytes");
    assert!(store.counters().removed > 0);
    assert_eq!(
        series(store.reader(), Some(Tier::FiveMinutes)).len(),
        90,
        "the coarse tiers are whole"
    );
}
