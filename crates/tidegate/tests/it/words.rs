//! What the verbs say when there is nothing, or nothing sensible, to work on.

use crate::world::World;

fn check(world: &World, verb: &str, arguments: &[&str], status: i32, says: &str) {
    let output = world.verb(verb, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(status),
        "{verb} {arguments:?}: {errors}"
    );
    assert!(
        errors.contains(says),
        "{verb} {arguments:?} should say `{says}`: {errors}"
    );
}

#[test]
fn each_failure_has_a_status_and_a_hint() {
    let world = World::new();
    for verb in ["apps", "map", "plan", "leases", "actions", "report"] {
        check(&world, verb, &[], 3, "hint: start it with `tidegate run`");
    }
    check(&world, "replay", &[], 3, "no history");
    check(&world, "dump", &[], 3, "no history");
    check(&world, "report", &["--since", "soon"], 2, "not a time");
    check(&world, "nonsense", &[], 2, "unrecognized");
    check(&world, "switch", &["1"], 2, "--to");
    for (verb, arguments, range) in [
        ("run", ["--interval", "nan"], "0.1 to 60"),
        ("run", ["--interval", "0"], "0.1 to 60"),
        ("switch", ["1", "--storm=inf"], "0 to 3600"),
        ("switch", ["1", "--storm=-1"], "0 to 3600"),
    ] {
        check(&world, verb, &arguments, 2, range);
    }
    check(&world, "import", &["/nowhere.csv"], 3, "No such file");
}

#[test]
fn an_import_is_whole_or_nothing_and_dumps_back() {
    let world = World::new();
    let file = world.path().join("day.csv");
    let name = file.to_str().unwrap();
    let head = "app,time,cpu,memory,disk_read,disk_write,net_rx,net_tx\n";
    std::fs::write(
        &file,
        format!("{head}web,1790000000,0.5,1000,,,,\nweb,1790000001,much,1000,,,,\n"),
    )
    .unwrap();
    check(&world, "import", &[name], 2, "line 3");
    std::fs::write(
        &file,
        format!("{head}web,1790000000,0.5,1000,,,,\nweb,1790000001,0.75,1000,,,,\n"),
    )
    .unwrap();
    check(&world, "import", &[name], 0, "2 lines");
    let dumped = world.verb("dump", &["--since", "1789999999"]);
    let text = String::from_utf8_lossy(&dumped.stdout);
    assert!(text.contains("0.75"), "{text}");
}

/// Output that cannot be written is told apart from a reader who has seen enough.
#[test]
fn a_full_disk_is_a_failure_and_a_reader_who_leaves_is_none() {
    let world = World::new();
    let file = world.path().join("day.csv");
    let lines = (0..20_000).fold("app,time,cpu\n".to_owned(), |lines, second| {
        lines + &format!("web,{},1\n", 1_790_000_000 + second)
    });
    std::fs::write(&file, lines).unwrap();
    check(&world, "import", &[file.to_str().unwrap()], 0, "20000 lines");
    for verb in [&["dump", "--since", "1789999999"][..], &["completions", "bash"]] {
        let run = |stdout: std::process::Stdio| world.begin(verb[0], &verb[1..], stdout).wait_with_output();
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let full = run(full.into()).unwrap();
        assert_eq!(full.status.code(), Some(3), "{verb:?}");
        assert!(
            String::from_utf8_lossy(&full.stderr).contains("No space"),
            "{verb:?}"
        );
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let left = run(writer.into()).unwrap();
        assert_eq!(left.status.code(), Some(0), "{verb:?}");
        assert!(left.stderr.is_empty(), "{verb:?}");
    }
}

#[test]
fn completions_and_man_pages_come_from_the_same_definition() {
    let world = World::new();
    let completions = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["completions", "bash"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&completions.stdout).contains("restore"));
    let folder = world.path().join("man");
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .arg("man")
        .arg(&folder)
        .status()
        .unwrap();
    assert!(made.success());
    assert!(folder.join("tidegate-run.1").exists());
}
