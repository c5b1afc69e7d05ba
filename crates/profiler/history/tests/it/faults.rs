//! The power goes, the process dies, the disk fills up: at every moment.

use crate::disk::{Disk, shared};
use crate::support::{at, inline, sample};
use std::path::Path;
use std::sync::Arc;
use tidegate_history::{Reader, Store};
use tidegate_types::{Event, Input, Moment, Output, Plan, Sample, Severity};

const DIR: &str = "/store";

/// A sample a hundred seconds: an hour and some in few writes.
fn slow(number: u64) -> Sample {
    Sample {
        now: at(number * 100),
        ..sample(number)
    }
}

fn tick(store: &mut Store, sample: Sample) -> bool {
    let now = sample.now;
    let before = store.counters();
    let input = Input {
        now,
        events: vec![Event::Paused],
        sample: Some(sample),
    };
    store.append_input(&input).expect("well formed");
    let plan = Plan {
        made: now,
        ..Plan::default()
    };
    let output = Output {
        plan: plan.clone(),
        ..Output::default()
    };
    store
        .append_output(now, &output, format!("{plan:?}").as_bytes())
        .expect("well formed");
    store.counters().samples_lost == before.samples_lost
}

fn all(disk: &Disk) -> Vec<Sample> {
    let reader = Reader::with_storage(Arc::new(disk.clone()), Path::new(DIR));
    let samples = reader.samples(i64::MIN..i64::MAX).expect("a listing");
    samples.map(|sample| sample.expect("readable")).collect()
}

/// Runs until the disk dies and gives the samples that were accepted.
fn run(disk: &Disk, make: fn(u64) -> Sample, count: u64) -> Vec<Sample> {
    let opened = Store::with_storage(&shared(disk), Path::new(DIR), inline());
    let Ok((mut store, _)) = opened else {
        return Vec::new();
    };
    let mut kept = Vec::new();
    for number in 0..count {
        if tick(&mut store, make(number)) {
            kept.push(make(number));
        }
    }
    kept
}

/// Recovers, goes on for a while, and gives the samples that were there after recovery.
fn recover(disk: &Disk) -> Vec<Sample> {
    let storage = shared(disk);
    let (mut store, report) = Store::with_storage(&storage, Path::new(DIR), inline()).expect("opens");
    assert_eq!(report.damage, [], "a crash damages nothing");
    store.flush().expect("maintains");
    let recovered = all(disk);
    let mut expected = recovered.clone();
    for number in 500..505 {
        assert!(tick(&mut store, slow(number)));
        expected.push(slow(number));
    }
    store.seal_head();
    store.flush().expect("maintains");
    assert_eq!(
        all(disk),
        expected,
        "what was recovered stays, what is new is added"
    );
    let reader = Reader::with_storage(Arc::new(disk.clone()), Path::new(DIR));
    let numbers: Vec<u64> = reader
        .recording(0)
        .expect("a listing")
        .map(|tick| tick.expect("readable").number)
        .collect();
    assert!(numbers.is_sorted_by(|left, right| left < right), "{numbers:?}");
    recovered
}

#[test]
fn killed_at_any_write_it_keeps_all_that_was_accepted() {
    let disk = Disk::default();
    let written = run(&disk, slow, 55);
    assert!(
        disk.files()
            .iter()
            .any(|(path, _)| path.starts_with("/store/minutes"))
    );
    for changes in 1..disk.changes() {
        let disk = Disk::default();
        disk.die_after(changes);
        let kept = run(&disk, slow, 55);
        let recovered = recover(&disk.survivor(false));
        assert_eq!(recovered, kept, "after {changes} changes");
        assert!(written.starts_with(&recovered));
    }
}

#[test]
fn power_lost_at_any_write_it_loses_at_most_ten_seconds() {
    let total = {
        let disk = Disk::default();
        run(&disk, sample, 40);
        disk.changes()
    };
    for changes in (1..total).step_by(3) {
        let disk = Disk::default();
        disk.die_after(changes);
        let kept = run(&disk, sample, 40);
        let recovered = recover(&disk.survivor(true));
        assert!(kept.starts_with(&recovered), "after {changes} changes");
        assert!(kept.len() - recovered.len() <= 10, "after {changes} changes");
    }
}

#[test]
fn a_full_disk_is_said_once_and_recording_goes_on_when_there_is_room() {
    let disk = Disk::default();
    let storage = shared(&disk);
    let (mut store, _) = Store::with_storage(&storage, Path::new(DIR), inline()).expect("opens");
    let mut kept = Vec::new();
    for number in 0..120 {
        match number {
            20 => disk.set_capacity(Some(disk.bytes() + 500)),
            80 => disk.set_capacity(None),
            _ => {}
        }
        if tick(&mut store, slow(number)) {
            kept.push(slow(number));
        }
    }
    assert!((60..90).contains(&kept.len()), "{} samples kept", kept.len());
    store.seal_head();
    store.flush().expect("maintains");
    assert_eq!(all(&disk), kept, "what was accepted is there, whole");
    let notices = store.take_notices();
    let full: Vec<_> = notices
        .iter()
        .filter(|notice| notice.text.contains("disk is full"))
        .collect();
    let again: Vec<_> = notices
        .iter()
        .filter(|notice| notice.text.contains("recording again"))
        .collect();
    // Small records may fit where large ones do not, so it may recover in between.
    assert!(!full.is_empty() && full.len() == again.len(), "{notices:?}");
    assert!(full.len() < 20 && full[0].severity == Severity::Warning);
}

#[test]
fn a_sealing_that_fails_is_said_once_and_done_later() {
    let disk = Disk::default();
    let (mut store, _) = Store::with_storage(&shared(&disk), Path::new(DIR), inline()).expect("opens");
    for number in 0..290 {
        assert!(tick(&mut store, sample(number)));
    }
    // Room for what is appended, none for the file that the head becomes.
    disk.refuse_replacing(true);
    for number in 290..500 {
        assert!(tick(&mut store, sample(number)));
    }
    let said = |store: &mut Store, text: &str| {
        let notices = store.take_notices();
        notices.iter().filter(|notice| notice.text.contains(text)).count()
    };
    assert_eq!(said(&mut store, "trying again"), 1);
    assert_eq!(all(&disk), (0..500).map(sample).collect::<Vec<_>>());
    disk.refuse_replacing(false);
    for number in 500..590 {
        assert!(tick(&mut store, sample(number)));
    }
    assert_eq!(said(&mut store, "works again"), 1);
    assert_eq!(store.counters().sealed, 1);
    assert_eq!(all(&disk), (0..590).map(sample).collect::<Vec<_>>());
}

#[test]
fn files_of_a_newer_version_are_refused_with_the_remedy_and_left_alone() {
    let disk = Disk::default();
    {
        let (mut store, _) = Store::with_storage(&shared(&disk), Path::new(DIR), inline()).expect("opens");
        (0..310).for_each(|number| {
            tick(&mut store, sample(number));
        });
    }
    let newer = |bytes: &mut Vec<u8>, header: usize| {
        bytes[4] = 2;
        let checksum = crc32fast::hash(&bytes[..header]);
        bytes[header..header + 4].copy_from_slice(&checksum.to_le_bytes());
    };
    let before = disk.files();
    for (path, _) in &before {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("seg") => disk.damage(path, |bytes| newer(bytes, 32)),
            _ => disk.damage(path, |bytes| newer(bytes, 12)),
        }
    }
    let (mut store, report) = Store::with_storage(&shared(&disk), Path::new(DIR), inline()).expect("opens");
    assert!(report.refused[0].contains("use the newer tidegate"), "{report:?}");
    assert_eq!(all(&disk), []);
    assert!(
        store
            .reader()
            .damage()
            .iter()
            .all(|damage| damage.what.contains("format 2"))
    );
    store.flush().expect("maintains");
    for (path, length) in &before {
        assert!(
            disk.files().contains(&(path.clone(), *length)),
            "{} is left alone",
            path.display()
        );
    }
    assert!(tick(&mut store, sample(400)), "and recording goes on");
}

#[test]
fn a_clock_set_back_or_far_ahead_loses_nothing() {
    let disk = Disk::default();
    let storage = shared(&disk);
    let (mut store, _) = Store::with_storage(&storage, Path::new(DIR), inline()).expect("opens");
    let mut written = Vec::new();
    for number in 0..900_u64 {
        let jump_ms = match number {
            300..320 => 20 * 365 * 86_400_000,
            320..600 => -86_400_000,
            _ => 0,
        };
        let mut sample = sample(number);
        sample.now = Moment {
            utc_ms: sample.now.utc_ms + jump_ms,
            ..sample.now
        };
        assert!(tick(&mut store, sample.clone()));
        written.push(sample);
    }
    assert_eq!(all(&disk), written);
}
