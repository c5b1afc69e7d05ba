//! The runtime in a real process, driven through the switchboard.

use crate::support::{Bench, output_of, proc_text, skip, stop, triple_image, value, wait_until};
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};
use tidegate_format::image::CpuFeatures;
use tidegate_format::message::Reason;
use tidegate_format::scenario::Scenario;
use tidegate_variants::VariantsError;
use tidegate_variants::client::{Answer, Command, ask, execute};
use tidegate_variants::inspect::inspect_process;
use tidegate_variants::switchboard::Switchboard;

fn load(board: &Switchboard, process: u32, scenario: Scenario, factor: u8) -> Result<(), VariantsError> {
    let image = triple_image(scenario, factor).to_bytes().unwrap();
    board.load_image(process, 0, scenario, &image).map(|_| ())
}

fn current(board: &Switchboard, process: u32) -> Scenario {
    board.functions(process).unwrap()[0].current
}

#[test]
fn a_program_without_a_daemon_runs_and_has_no_second_thread() {
    let Some(bench) = Bench::new("a_program_without_a_daemon", &[]) else {
        return;
    };
    let child = bench.run(&["0.3"]);
    let process = child.id();
    wait_until("the program runs", || {
        proc_text(process, "status").contains("State:\tR")
    });
    assert!(proc_text(process, "status").contains("Threads:\t1"));
    let output = output_of(child);
    assert_eq!((value(&output, "bad"), value(&output, "single")), (0, 1));
}

fn check_storm(test: &str, flags: &[&str], threads: &str, single: u64) {
    let Some(bench) = Bench::new(test, flags) else {
        return;
    };
    let server = bench.serve();
    let child = bench.run(&["60", threads]);
    let process = child.id();
    let board = server.board();
    wait_until("the runtime connects", || board.is_connected(process));
    load(board, process, Scenario::Cpu, 3).unwrap();
    load(board, process, Scenario::Memory, 3).unwrap();
    load(board, process, Scenario::Placebo, 3).unwrap();
    let mut switches = 0;
    while switches < 10_000 {
        let report = board
            .storm(process, Duration::from_millis(300), Duration::from_micros(10))
            .unwrap();
        assert_eq!((report.functions, report.failures), (1, 0));
        switches += report.switches;
    }
    assert_eq!(current(board, process), Scenario::Base);
    let output = stop(child);
    assert_eq!(
        (
            value(&output, "bad"),
            value(&output, "single"),
            value(&output, "calls")
        ),
        (0, single, 1)
    );
}

#[test]
fn a_storm_changes_no_result_and_leaves_the_program_single_threaded() {
    check_storm("storm_single", &[], "1", 1);
}

#[test]
fn a_storm_over_sixteen_threads() {
    check_storm("storm_threads", &["-pthread"], "16", 0);
}

#[test]
fn a_storm_in_a_program_at_a_fixed_address() {
    check_storm("storm_fixed", &["-no-pie"], "1", 1);
}

#[test]
fn a_storm_in_a_static_program() {
    check_storm("storm_static", &["-static"], "1", 1);
}

#[test]
fn a_wrong_variant_is_noticed_by_the_program() {
    let Some(bench) = Bench::new("a_wrong_variant", &[]) else {
        return;
    };
    let server = bench.serve();
    let child = bench.run(&["1"]);
    let (process, board) = (child.id(), server.board());
    wait_until("the runtime connects", || board.is_connected(process));
    load(board, process, Scenario::Cpu, 4).unwrap();
    assert_eq!(board.switch(process, Some("triple"), Scenario::Cpu).unwrap().0, 1);
    assert_eq!(current(board, process), Scenario::Cpu);
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success(), "the control must fail");
}

#[test]
fn the_loader_refuses() {
    let Some(bench) = Bench::new("the_loader_refuses", &[]) else {
        return;
    };
    let server = bench.serve();
    let child = bench.run(&["60"]);
    let (process, board) = (child.id(), server.board());
    wait_until("the runtime connects", || board.is_connected(process));
    let check = |scenario, image: &[u8], expect| {
        let done = board.load_image(process, 0, scenario, image);
        assert!(
            matches!(done, Err(VariantsError::Refused { reason, .. }) if reason == expect),
            "{done:?}"
        );
    };
    let good = triple_image(Scenario::Cpu, 3);
    let bytes = good.to_bytes().unwrap();
    check(Scenario::Memory, &bytes, Reason::BadRequest);
    for position in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[position] ^= 1;
        let done = board.load_image(process, 0, Scenario::Cpu, &flipped);
        assert!(
            matches!(done, Err(VariantsError::Refused { .. })),
            "byte {position}: {done:?}"
        );
    }
    check(Scenario::Cpu, &bytes[..bytes.len() - 1], Reason::BadImage);
    let mut other = good.clone();
    other.hash.0[0] ^= 1;
    check(Scenario::Cpu, &other.to_bytes().unwrap(), Reason::WrongFunction);
    let mut wide = good.clone();
    wide.cpu_features = CpuFeatures(1 << 63);
    check(Scenario::Cpu, &wide.to_bytes().unwrap(), Reason::CpuFeature);
    let mut anchors = good;
    anchors.anchor_count = 3;
    check(Scenario::Cpu, &anchors.to_bytes().unwrap(), Reason::WrongFunction);
    let unknown = board.load_image(process, 7, Scenario::Cpu, &bytes);
    assert!(matches!(
        unknown,
        Err(VariantsError::Refused {
            reason: Reason::UnknownFunction,
            ..
        })
    ));
    let missing = board.switch(process, Some("triple"), Scenario::Disk);
    assert!(matches!(
        missing,
        Err(VariantsError::Refused {
            reason: Reason::NotLoaded,
            ..
        })
    ));
    assert_eq!(value(&stop(child), "bad"), 0);
}

#[test]
fn loading_stops_at_the_cap() {
    let Some(bench) = Bench::new("loading_stops_at_the_cap", &[]) else {
        return;
    };
    let server = bench.serve();
    let child = bench.run(&["60"]);
    let (process, board) = (child.id(), server.board());
    wait_until("the runtime connects", || board.is_connected(process));
    let mut image = triple_image(Scenario::Cpu, 3);
    image.span.resize(500_000, 0xcc);
    image.rodata = (image.text_length, 0);
    let bytes = image.to_bytes().unwrap();
    let outcomes: Vec<_> = (0..10)
        .map(|_| board.load_image(process, 0, Scenario::Cpu, &bytes))
        .collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 8);
    let full = outcomes.last().unwrap();
    assert!(
        matches!(
            full,
            Err(VariantsError::Refused {
                reason: Reason::CodeCap,
                ..
            })
        ),
        "{full:?}"
    );
    assert_eq!(board.switch(process, None, Scenario::Cpu).unwrap().0, 1);
    assert_eq!(value(&stop(child), "bad"), 0);
}

#[test]
fn calls_are_counted_in_every_scenario() {
    let Some(bench) = Bench::new("calls_are_counted", &[]) else {
        return;
    };
    let server = bench.serve();
    let child = bench.run(&["60"]);
    let (process, board) = (child.id(), server.board());
    wait_until("the runtime connects", || board.is_connected(process));
    load(board, process, Scenario::Cpu, 3).unwrap();
    board.count(process, 0, true).unwrap();
    let mut before = board.work(process).unwrap();
    for scenario in [Scenario::Cpu, Scenario::Base, Scenario::Cpu] {
        board.switch_index(process, 0, scenario).unwrap();
        wait_until("calls are counted", || {
            board.work(process).unwrap().calls > before.calls
        });
        let after = board.work(process).unwrap();
        assert!(after.work > before.work || after.cpu_ns - before.cpu_ns < 1_000_000);
        before = after;
    }
    board.count(process, 0, false).unwrap();
    assert_eq!(board.work(process).unwrap().calls, 0);
    assert_eq!(value(&stop(child), "bad"), 0);
}

#[test]
fn a_fork_child_starts_at_the_base_and_is_found() {
    let Some(bench) = Bench::new("a_fork_child", &[]) else {
        return;
    };
    let server = bench.serve();
    let child = bench.run(&["4", "1", "fork"]);
    let (process, board) = (child.id(), server.board());
    wait_until("the runtime connects", || board.is_connected(process));
    load(board, process, Scenario::Cpu, 3).unwrap();
    board.switch(process, None, Scenario::Cpu).unwrap();
    wait_until("the child connects", || board.processes().len() == 2);
    let forked = board
        .processes()
        .into_iter()
        .map(|info| info.peer.process)
        .find(|id| *id != process)
        .unwrap();
    assert_eq!(current(board, forked), Scenario::Base);
    assert_eq!(current(board, process), Scenario::Cpu);
    // What the parent had loaded is in the child's memory too.
    assert_eq!(board.switch(forked, Some("triple"), Scenario::Cpu).unwrap().0, 1);
    load(board, forked, Scenario::Memory, 3).unwrap();
    board
        .storm(forked, Duration::from_millis(100), Duration::ZERO)
        .unwrap();
    let output = output_of(child);
    assert!(output.contains("child bad=0"), "{output}");
}

#[test]
fn a_fork_child_under_a_seccomp_filter_has_no_helper() {
    let Some(bench) = Bench::new("a_fork_child_under_a_seccomp_filter", &[]) else {
        return;
    };
    let server = bench.serve();
    let child = bench.run(&["1", "1", "kill"]);
    let (process, board) = (child.id(), server.board());
    wait_until("the runtime connects", || board.is_connected(process));
    load(board, process, Scenario::Cpu, 3).unwrap();
    board.switch(process, None, Scenario::Cpu).unwrap();
    assert_eq!(value(&output_of(child), "bad"), 0);
}

/// A daemon that goes away or stands still: the slot is read from outside, in the process's memory.
#[test]
fn a_daemon_that_closes_leaves_the_base_and_a_new_one_is_found() {
    let Some(bench) = Bench::new("a_daemon_that_closes", &[]) else {
        return;
    };
    let server = bench.serve();
    let child = bench.run(&["60"]);
    let process = child.id();
    wait_until("the runtime connects", || server.board().is_connected(process));
    load(server.board(), process, Scenario::Cpu, 3).unwrap();
    server.board().switch(process, None, Scenario::Cpu).unwrap();
    drop(server);
    let server = bench.serve();
    let begin = Instant::now();
    wait_until("the runtime finds the new daemon", || {
        server.board().is_connected(process)
    });
    assert_eq!(current(server.board(), process), Scenario::Base);
    assert!(begin.elapsed() < Duration::from_secs(6));
    assert_eq!(value(&stop(child), "bad"), 0);
}

#[test]
fn pause_puts_the_base_back_and_refuses_until_resumed() {
    let Some(bench) = Bench::new("pause", &[]) else {
        return;
    };
    let server = bench.serve();
    let child = bench.run(&["60"]);
    let (process, board) = (child.id(), server.board());
    wait_until("the runtime connects", || board.is_connected(process));
    load(board, process, Scenario::Cpu, 3).unwrap();
    board.switch(process, None, Scenario::Cpu).unwrap();
    board.pause();
    assert_eq!(current(board, process), Scenario::Base);
    assert!(matches!(
        board.switch(process, None, Scenario::Cpu),
        Err(VariantsError::Paused)
    ));
    board.resume();
    assert_eq!(board.switch(process, None, Scenario::Cpu).unwrap().0, 1);
    assert_eq!(value(&stop(child), "bad"), 0);
}

/// The program as it is found from outside, while no runtime of it connects.
fn check_inert(test: &str, flags: &[&str], arguments: &[&str], expect: &str) {
    let Some(bench) = Bench::new(test, flags) else {
        return;
    };
    let server = bench.serve();
    let child = bench.run(arguments);
    let process = child.id();
    let restarted = || {
        !arguments
            .get(2)
            .is_some_and(|word| proc_text(process, "cmdline").contains(word))
    };
    wait_until("the program runs", || {
        proc_text(process, "status").contains("Threads:\t1") && restarted()
    });
    // Longer than a runtime takes to connect. One that did before the program started over is forgotten by then.
    std::thread::sleep(Duration::from_millis(700));
    wait_until("nothing is connected", || !server.board().is_connected(process));
    let inspection = inspect_process(process).unwrap();
    assert_eq!(
        (inspection.connected, inspection.functions.len()),
        (Some(false), 1)
    );
    assert!(inspection.reason.contains(expect), "{}", inspection.reason);
    assert!(proc_text(process, "status").contains("Threads:\t1"));
    assert_eq!(value(&stop(child), "bad"), 0);
}

#[test]
fn a_program_that_imports_unshare_is_left_alone() {
    check_inert(
        "imports_unshare",
        &["-DIMPORTS_UNSHARE"],
        &["60"],
        "imports unshare",
    );
}

#[test]
fn a_program_under_a_seccomp_filter_is_left_alone() {
    check_inert("seccomp", &[], &["60", "1", "seccomp"], "seccomp filter");
}

#[test]
fn without_new_executable_memory_nothing_is_loaded_and_the_reason_is_told() {
    let Some(bench) = Bench::new("mdwe", &[]) else {
        return;
    };
    let server = bench.serve();
    let mut child = bench.run(&["60", "1", "mdwe"]);
    let (process, board) = (child.id(), server.board());
    wait_until("the runtime connects", || {
        let told = board
            .processes()
            .iter()
            .any(|info| info.reason == Reason::MemoryDenyWriteExecute);
        told || child.try_wait().unwrap().is_some()
    });
    if child.try_wait().unwrap().is_some() {
        skip("mdwe", "the kernel has no PR_SET_MDWE");
        return;
    }
    let done = load(board, process, Scenario::Cpu, 3);
    let expect = Reason::MemoryDenyWriteExecute;
    assert!(
        matches!(done, Err(VariantsError::Refused { reason, .. }) if reason == expect),
        "{done:?}"
    );
    assert_eq!(value(&stop(child), "bad"), 0);
}

#[test]
fn a_program_that_changes_its_user_loses_its_helper_and_runs_the_base() {
    if !rustix::process::geteuid().is_root() {
        skip("changes_user", "only root can change its user");
        return;
    }
    let Some(bench) = Bench::new("changes_user", &[]) else {
        return;
    };
    let server = bench.serve();
    // Not dumpable any more, or dumpable again; for longer than anybody waits.
    for arguments in [&["90", "1", "user"][..], &["90", "1", "user", "dumpable"]] {
        let child = bench.run(arguments);
        let (process, board) = (child.id(), server.board());
        wait_until("the runtime connects", || board.is_connected(process));
        load(board, process, Scenario::Cpu, 3).unwrap();
        board.switch(process, None, Scenario::Cpu).unwrap();
        wait_until("the helper is gone", || {
            proc_text(process, "status").contains("Threads:\t1")
        });
        assert!(board.switch(process, None, Scenario::Cpu).is_err());
        assert_eq!(value(&stop(child), "bad"), 0);
    }
}

#[test]
fn commands_go_over_the_socket_and_without_a_daemon_the_verb_serves_it() {
    let Some(bench) = Bench::new("client", &[]) else {
        return;
    };
    let server = bench.serve();
    let options = server.board().options().clone();
    let child = bench.run(&["60"]);
    let process = child.id();
    wait_until("the runtime connects", || server.board().is_connected(process));
    load(server.board(), process, Scenario::Cpu, 3).unwrap();
    let switch = |to: &str| Command::Switch {
        process,
        function: Some("triple".to_owned()),
        to: to.to_owned(),
    };
    let answer = ask(options.clone(), &switch("cpu")).unwrap();
    assert!(
        matches!(answer, Answer::Switched { functions: 1, .. }),
        "{answer:?}"
    );
    let Answer::Inspect(inspection) = ask(options.clone(), &Command::Inspect { process }).unwrap() else {
        panic!("not an inspection");
    };
    assert_eq!(inspection.connected, Some(true));
    assert_eq!(
        (
            inspection.functions[0].current.as_str(),
            inspection.functions[0].loaded.len()
        ),
        ("cpu", 1)
    );
    // Nobody is told of somebody else's process, connected or not.
    let other = rustix::process::geteuid().as_raw() + 1;
    for process in [process, std::process::id()] {
        let refused = execute(server.board(), other, &Command::Inspect { process });
        assert!(
            matches!(refused, Err(VariantsError::NotAllowed { .. })),
            "{refused:?}"
        );
    }
    let wrong = ask(options.clone(), &switch("sideways"));
    assert!(matches!(wrong, Err(VariantsError::Remote(_))), "{wrong:?}");
    let unknown = ask(
        options.clone(),
        &Command::Switch {
            process,
            function: Some("no".into()),
            to: "base".into(),
        },
    );
    assert!(unknown.is_err());
    drop(server);
    let answer = ask(options.clone(), &switch("base")).unwrap();
    assert!(
        matches!(answer, Answer::Switched { functions: 1, .. }),
        "{answer:?}"
    );
    let entries = ask(options, &Command::CacheList).unwrap();
    assert_eq!(entries, Answer::CacheList { entries: Vec::new() });
    assert_eq!(value(&stop(child), "bad"), 0);
}

#[test]
fn a_program_that_closes_everything_gets_the_base_and_none_of_our_bytes() {
    let Some(bench) = Bench::new("closes_everything", &[]) else {
        return;
    };
    let server = bench.serve();
    let file = bench.folder.path().join("own");
    let child = bench.run(&["60", "1", "close", file.to_str().unwrap()]);
    let (process, board) = (child.id(), server.board());
    wait_until("the runtime connects", || board.is_connected(process));
    load(board, process, Scenario::Cpu, 3).unwrap();
    board.switch(process, None, Scenario::Cpu).unwrap();
    wait_until("the program has its own descriptors", || file.exists());
    wait_until("the runtime connects again, at the base", || {
        board
            .functions(process)
            .is_ok_and(|functions| functions[0].current == Scenario::Base)
    });
    board.switch(process, None, Scenario::Cpu).unwrap();
    assert_eq!(value(&stop(child), "bad"), 0);
}

/// Frames of all kinds with random bodies, some of them images with random damage.
#[test]
fn hostile_messages_harm_nobody() {
    let Some(bench) = Bench::new("hostile_messages", &[]) else {
        return;
    };
    let listener = UnixListener::bind(bench.socket()).unwrap();
    let mut child = bench.run(&["60"]);
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let image = triple_image(Scenario::Cpu, 3).to_bytes().unwrap();
    let mut frames = 0;
    while frames < 5000 {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut answers = stream.try_clone().unwrap();
        let drain = std::thread::spawn(move || std::io::copy(&mut answers, &mut std::io::sink()));
        for _ in 0..500 {
            let mut body: Vec<u8> = (0..next() % 40).map(|_| (next() & 3) as u8).collect();
            let mut kind = (next() % 14) as u16;
            if next() % 3 == 0 {
                kind = 4;
                body = vec![0, 0, 0, 0, 1];
                body.extend(&image);
                let position = next() as usize % body.len();
                body[position] ^= 1 << (next() % 8);
            }
            if kind == 6 {
                // A storm of a random length would take hours.
                body = vec![1, 0, 0, 0, 0, 0, 0, 0];
            }
            let mut frame = (body.len() as u32).to_le_bytes().to_vec();
            frame.extend(1_u16.to_le_bytes());
            frame.extend(kind.to_le_bytes());
            frame.extend(&body);
            if next() % 400 == 0 {
                let position = next() as usize % 8;
                frame[position] ^= 0x80;
            }
            frames += 1;
            if (&stream).write_all(&frame).is_err() {
                break;
            }
        }
        let _ = stream.shutdown(std::net::Shutdown::Both);
        let _ = drain.join().unwrap();
        assert!(child.try_wait().unwrap().is_none(), "the program lives");
    }
    assert_eq!(value(&stop(child), "bad"), 0);
}
