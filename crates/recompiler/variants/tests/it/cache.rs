//! The code cache against damage, and the worker's process against misbehaviour.

use crate::support::{HASH, triple_image};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tidegate_format::FunctionHash;
use tidegate_format::blob::Blob;
use tidegate_format::request::{CompileError, CompileErrorKind, Constant, Response};
use tidegate_format::scenario::Scenario;
use tidegate_variants::VariantsError;
use tidegate_variants::cache::{Cache, Key, KeyParts, Label, Stored};
use tidegate_variants::compile::{Job, Worker};
use tidegate_variants::processor::Processor;
use tidegate_variants::recipe::Recipe;

fn cache(limit_bytes: u64) -> (TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path(), limit_bytes).unwrap();
    (folder, cache)
}

fn key(blob: &[u8]) -> Key {
    Key::new(&KeyParts {
        blob,
        scenario: "cpu",
        candidate: 0,
        constants: &[],
        worker: "w",
        cpu_model: "m",
        cpu_features: 1,
        tunables: &[],
    })
}

fn label() -> Label {
    Label {
        function: "triple".to_owned(),
        scenario: "cpu".to_owned(),
        executable: "/bin/app".to_owned(),
        cpu_model: "m".to_owned(),
        compile_cpu_ms: 12.5,
    }
}

fn image() -> Stored {
    Stored::Image(triple_image(Scenario::Cpu, 3).to_bytes().unwrap())
}

#[test]
fn what_was_stored_is_found_and_listed() {
    let (_folder, cache) = cache(1 << 20);
    let refusal = Stored::Refusal("it would own writable data".to_owned());
    cache.put(key(b"a"), &label(), &image()).unwrap();
    cache.put(key(b"b"), &label(), &refusal).unwrap();
    assert_eq!(cache.get(key(b"a"), HASH), Some(image()));
    assert_eq!(cache.get(key(b"b"), HASH), Some(refusal));
    assert_eq!(cache.get(key(b"c"), HASH), None);
    let listed = cache.list().unwrap();
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|entry| entry.label == Some(label())));
    assert_eq!(cache.verify().unwrap(), (2, Vec::new()));
}

#[test]
fn the_same_may_be_stored_several_times_at_once() {
    let (folder, cache) = cache(1 << 20);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    cache.put(key(b"a"), &label(), &image()).unwrap();
                }
            });
        }
    });
    assert_eq!(cache.get(key(b"a"), HASH), Some(image()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn every_part_of_the_key_counts() {
    let tunables = [("block".to_owned(), 7)];
    let base = KeyParts {
        blob: b"x",
        scenario: "cpu",
        candidate: 0,
        constants: &[],
        worker: "w",
        cpu_model: "m",
        cpu_features: 1,
        tunables: &[],
    };
    let constants = [Constant {
        register: 1,
        value: 5,
    }];
    let others = [
        KeyParts { blob: b"y", ..base },
        KeyParts { candidate: 1, ..base },
        KeyParts {
            constants: &constants,
            ..base
        },
        KeyParts {
            scenario: "memory",
            ..base
        },
        KeyParts { worker: "v", ..base },
        KeyParts {
            cpu_model: "n",
            ..base
        },
        KeyParts {
            cpu_features: 2,
            ..base
        },
        KeyParts {
            tunables: &tunables,
            ..base
        },
        // The same bytes, cut elsewhere.
        KeyParts {
            blob: b"xc",
            scenario: "pu",
            ..base
        },
    ];
    assert_eq!(Key::new(&base), Key::new(&base));
    for other in others {
        assert_ne!(Key::new(&base), Key::new(&other), "{other:?}");
    }
}

/// Damages the only entry; it must be refused, removed, and storable again.
fn check_damage(damage: impl Fn(&Path, &mut Vec<u8>)) {
    let (folder, cache) = cache(1 << 20);
    cache.put(key(b"a"), &label(), &image()).unwrap();
    let path = folder.path().join(key(b"a").to_string());
    let mut bytes = fs::read(&path).unwrap();
    damage(&path, &mut bytes);
    fs::write(&path, &bytes).unwrap();
    let listed = cache.list().unwrap();
    assert!(listed[0].label.is_none(), "{listed:?}");
    assert_eq!(cache.get(key(b"a"), HASH), None);
    assert!(!path.exists());
    cache.put(key(b"a"), &label(), &image()).unwrap();
    assert_eq!(cache.get(key(b"a"), HASH), Some(image()));
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let (folder, cache) = cache(1 << 20);
    cache.put(key(b"a"), &label(), &image()).unwrap();
    let path = folder.path().join(key(b"a").to_string());
    let good = fs::read(&path).unwrap();
    for position in 0..good.len() {
        let mut bytes = good.clone();
        bytes[position] ^= 1 << (position % 8);
        fs::write(&path, &bytes).unwrap();
        assert_eq!(cache.get(key(b"a"), HASH), None, "byte {position}");
    }
    for length in 0..good.len() {
        fs::write(&path, &good[..length]).unwrap();
        assert_eq!(cache.get(key(b"a"), HASH), None, "length {length}");
    }
}

#[test]
fn damaged_entries_are_refused_and_rebuilt() {
    check_damage(|_, bytes| bytes.push(0));
    check_damage(|_, bytes| bytes.clear());
    check_damage(|_, bytes| bytes[200] ^= 0x40);
}

#[test]
fn a_foreign_entry_is_refused() {
    let (folder, cache) = cache(1 << 20);
    cache.put(key(b"a"), &label(), &image()).unwrap();
    let place = |name: Key| folder.path().join(name.to_string());
    fs::rename(place(key(b"a")), place(key(b"b"))).unwrap();
    assert_eq!(cache.get(key(b"b"), HASH), None, "its key is not its name");
    cache.put(key(b"a"), &label(), &image()).unwrap();
    assert_eq!(
        cache.get(key(b"a"), FunctionHash([0; 16])),
        None,
        "the image of another function"
    );
    cache.put(key(b"a"), &label(), &image()).unwrap();
    let link = place(key(b"c"));
    std::os::unix::fs::symlink(place(key(b"a")), &link).unwrap();
    assert_eq!(cache.get(key(b"c"), HASH), None, "not a file");
    fs::write(folder.path().join("README"), "hello").unwrap();
    let (checked, removed) = cache.verify().unwrap();
    assert_eq!((checked, removed.len()), (2, 1));
}

#[test]
fn the_least_recently_used_go_first() {
    let (folder, cache) = cache(3000);
    let old = SystemTime::now() - Duration::from_secs(1000);
    for (age, name) in (0..).zip([b"a", b"b", b"c"]) {
        cache.put(key(name), &label(), &image()).unwrap();
        let path = folder.path().join(key(name).to_string());
        let file = fs::File::open(path).unwrap();
        file.set_modified(old + Duration::from_secs(age)).unwrap();
    }
    assert!(cache.get(key(b"a"), HASH).is_some(), "used, hence the latest");
    let mut stored = 3;
    while cache.get(key(b"b"), HASH).is_some() {
        let file = folder.path().join(key(b"b").to_string());
        fs::File::open(file).unwrap().set_modified(old).unwrap();
        cache.put(key(&[stored]), &label(), &image()).unwrap();
        stored += 1;
        assert!(stored < 50, "the bound is kept");
    }
    assert!(cache.get(key(b"a"), HASH).is_some());
    let total: u64 = cache.list().unwrap().iter().map(|entry| entry.bytes).sum();
    assert!(total <= 3000);
}

/// A worker that is a shell script.
fn script(folder: &Path, text: &str) -> Worker {
    let path: PathBuf = folder.join("worker");
    fs::write(
        &path,
        format!("#!/bin/sh\n[ \"$1\" = --version ] && exit 0\n{text}\n"),
    )
    .unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Worker::new(&path).unwrap()
}

fn blob() -> Vec<u8> {
    let blob = Blob {
        optimisation_level: 2,
        size_level: 0,
        hash: HASH,
        anchor_count: 0,
        names: &[],
        compressed: b"not a frame",
        bitcode_length: 10,
    };
    blob.to_bytes()
}

fn compile(
    text: &str,
    folder: &Path,
    cache: &Cache,
) -> Result<tidegate_variants::compile::Compiled, VariantsError> {
    let worker = script(folder, text).with_time_limit(Duration::from_millis(300));
    let blob = blob();
    let job = Job {
        function: "triple",
        executable: "/bin/app",
        blob: &blob,
        recipe: &Recipe::plain(Scenario::Cpu),
        tunables: &[],
        run_as: None,
    };
    worker.image(&job, &Processor::of_this_host().unwrap(), cache)
}

#[test]
fn a_worker_that_hangs_dies_or_lies_costs_one_variant() {
    let (folder, cache) = cache(1 << 20);
    let check = |text: &str, expect: &str| {
        let error = compile(text, folder.path(), &cache).unwrap_err().to_string();
        assert!(error.contains(expect), "{text}: {error}");
    };
    check("exec sleep 60", "was stopped");
    check("while :; do :; done", "was stopped");
    check("kill -ABRT $$", "signal 6");
    check("echo LLVM ERROR >&2; exit 3", "LLVM ERROR");
    check("cat >/dev/null; echo nonsense", "answer of the worker");
    check("head -c 20000000 /dev/zero", "answer of the worker");
    assert!(
        cache.list().unwrap().iter().all(|entry| entry.label.is_none()),
        "nothing of it is remembered"
    );
}

#[test]
fn answers_are_cached_refusals_too() {
    let (folder, cache) = cache(1 << 20);
    let answer = folder.path().join("answer");
    let runs = folder.path().join("runs");
    let text = format!(
        "cat >/dev/null; echo run >>{}; cat {}",
        runs.display(),
        answer.display()
    );
    let count = || fs::read_to_string(&runs).unwrap_or_default().lines().count();

    let error = CompileError {
        kind: CompileErrorKind::Environment,
        detail: String::new(),
    };
    fs::write(&answer, Response(Err(error)).to_bytes()).unwrap();
    assert!(matches!(
        compile(&text, folder.path(), &cache),
        Err(VariantsError::NoVariant(_))
    ));
    assert!(matches!(
        compile(&text, folder.path(), &cache),
        Err(VariantsError::NoVariant(_))
    ));
    assert_eq!(count(), 2, "the worker's own trouble may pass");

    let other = triple_image(Scenario::Memory, 3).to_bytes().unwrap();
    fs::write(&answer, Response(Ok(other)).to_bytes()).unwrap();
    assert!(
        compile(&text, folder.path(), &cache).is_err(),
        "the image of another scenario"
    );

    fs::write(
        &answer,
        Response(Ok(triple_image(Scenario::Cpu, 3).to_bytes().unwrap())).to_bytes(),
    )
    .unwrap();
    let compiled = compile(&text, folder.path(), &cache).unwrap();
    assert!(
        !compiled.cached && compiled.cpu > Duration::ZERO,
        "{:?}",
        compiled.cpu
    );
    assert!(compile(&text, folder.path(), &cache).unwrap().cached);
    assert_eq!(count(), 4);
}
