//! Every byte of a small store is flipped, and every file cut at every length: what is read is right or it is
//! named as missing, and nothing panics.

use crate::disk::{Disk, shared};
use crate::support::{app, inline, sample};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tidegate_history::{Reader, RecordedTick, Store};
use tidegate_types::{Event, Field, Input, Output, Plan, Sample};

const DIR: &str = "/store";

/// Everything that can be read, as texts that compare, and whether something was reported.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    samples: BTreeSet<String>,
    ticks: BTreeSet<String>,
    points: BTreeSet<String>,
    decisions: BTreeSet<String>,
    checkpoint: Option<Vec<u8>>,
    model: Option<Vec<u8>>,
    reported: bool,
}

impl Seen {
    /// True when nothing is here that is not in `whole`.
    fn is_part_of(&self, whole: &Self) -> bool {
        self.samples.is_subset(&whole.samples)
            && self.ticks.is_subset(&whole.ticks)
            && self.points.is_subset(&whole.points)
            && self.decisions.is_subset(&whole.decisions)
            && (self.checkpoint.is_none() || self.checkpoint == whole.checkpoint)
            && (self.model.is_none() || self.model == whole.model)
    }

    fn is_all_of(&self, whole: &Self) -> bool {
        self.samples == whole.samples
            && self.ticks == whole.ticks
            && self.points == whole.points
            && self.decisions == whole.decisions
            && self.checkpoint == whole.checkpoint
            && self.model == whole.model
    }
}

fn model_hash() -> String {
    let disk = Disk::default();
    let (store, _) = Store::with_storage(&shared(&disk), Path::new(DIR), inline()).expect("opens");
    store.put_model(b"model").expect("kept")
}

fn look(disk: &Disk, hash: &str) -> Seen {
    let storage = shared(disk);
    let (store, report) = Store::with_storage(&storage, Path::new(DIR), inline()).expect("opens");
    let reader: &Reader = store.reader();
    let samples = reader.samples(i64::MIN..i64::MAX).expect("a listing");
    let ticks = reader.recording(0).expect("a listing");
    let points = |field| {
        reader
            .series(&app("busy"), field, i64::MIN..i64::MAX, None)
            .expect("a series")
    };
    let tick = |tick: RecordedTick| {
        // A tick whose sample is gone says so; the rest of it must still be right.
        let Input { now, events, .. } = tick.input;
        format!("{} {now:?} {events:?} {:?}", tick.number, tick.boot_id)
    };
    let model = reader.model(hash);
    let reported_model = model.is_err();
    let mut seen = Seen {
        samples: samples
            .map(|sample| format!("{:?}", sample.expect("readable")))
            .collect(),
        ticks: ticks.map(|next| tick(next.expect("readable"))).collect(),
        points: points(Field::CpuUsage)
            .into_iter()
            .chain(points(Field::Memory))
            .map(|point| format!("{point:?}"))
            .collect(),
        decisions: reader
            .decisions(i64::MIN)
            .expect("a listing")
            .iter()
            .map(|record| format!("{record:?}"))
            .collect(),
        checkpoint: reader
            .latest_checkpoint()
            .expect("read")
            .map(|checkpoint| checkpoint.state),
        model: model.ok().flatten(),
        reported: false,
    };
    let named = !report.damage.is_empty() || !report.refused.is_empty();
    seen.reported = named || reported_model || !reader.verify().expect("read").is_empty();
    seen
}

/// A few samples sealed, a few in the head, ticks, decisions, a checkpoint and a model.
fn small_store() -> Disk {
    let disk = Disk::default();
    let storage = shared(&disk);
    let (mut store, _) = Store::with_storage(&storage, Path::new(DIR), inline()).expect("opens");
    for number in 0..9 {
        let sample: Sample = sample(number);
        let now = sample.now;
        let events = if number % 4 == 0 {
            vec![Event::Resumed]
        } else {
            Vec::new()
        };
        let input = Input {
            now,
            events,
            sample: Some(sample),
        };
        store.append_input(&input).expect("well formed");
        let output = Output {
            plan: Plan {
                made: now,
                ..Plan::default()
            },
            ..Output::default()
        };
        let plan = format!("{{\"made\":{number}}}");
        store
            .append_output(now, &output, plan.as_bytes())
            .expect("well formed");
        if number == 5 {
            store.append_checkpoint(now, b"state").expect("kept");
            store.seal_head();
            store.flush().expect("sealed");
        }
    }
    store.put_model(b"model").expect("kept");
    disk
}

/// True when the damage was noticed: something is reported or missing.
fn check(
    whole: &Seen,
    hash: &str,
    disk: &Disk,
    path: &Path,
    what: &str,
    change: impl FnOnce(&mut Vec<u8>),
) -> bool {
    let damaged = disk.survivor(false);
    damaged.damage(path, change);
    let seen = look(&damaged, hash);
    assert!(
        seen.is_part_of(whole),
        "{} {what}: something wrong was read",
        path.display()
    );
    let complete = seen.is_all_of(whole);
    let torn_log = path.extension().is_some_and(|extension| extension == "log");
    assert!(
        complete || seen.reported || torn_log,
        "{} {what}: something is missing and nothing was said",
        path.display()
    );
    !complete || seen.reported
}

fn each_file(check: impl Fn(&Disk, &Seen, &str, &PathBuf, usize)) {
    let disk = small_store();
    let hash = model_hash();
    let whole = look(&disk.survivor(false), &hash);
    assert_eq!(
        (whole.samples.len(), whole.ticks.len(), whole.decisions.len()),
        (9, 9, 3)
    );
    assert!(!whole.reported && whole.checkpoint.is_some() && whole.model.is_some());
    let files = disk.files();
    assert!(files.len() >= 6, "{files:?}");
    for (path, length) in files {
        for offset in 0..length {
            check(&disk, &whole, &hash, &path, offset);
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_never_read_as_data() {
    each_file(|disk, whole, hash, path, offset| {
        let noticed = check(
            whole,
            hash,
            disk,
            path,
            &format!("bit flip at {offset}"),
            |bytes| {
                bytes[offset] ^= 1 << (offset % 8);
            },
        );
        // Plans are not part of what is compared above, so a flip in one of them may go unseen here.
        let in_a_plan = path.starts_with("/store/inputs");
        assert!(
            noticed || in_a_plan,
            "{} at {offset}: the flip went unnoticed",
            path.display()
        );
    });
}

#[test]
fn a_file_cut_anywhere_is_never_read_as_data() {
    each_file(|disk, whole, hash, path, offset| {
        check(whole, hash, disk, path, &format!("cut to {offset}"), |bytes| {
            bytes.truncate(offset);
        });
    });
}
