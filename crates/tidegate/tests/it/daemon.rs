//! A daemon's life: it starts, answers, ends, and leaves what it knew.

use crate::world::World;

#[test]
fn it_answers_while_it_runs_and_from_the_store_after() {
    let world = World::new();
    let daemon = world.run(&[]);
    let apps = world.wait_for_apps();
    assert!(apps[0]["name"].is_string());
    let view = world.json("top", &["--once"]);
    assert_eq!(view["mode"], "observe", "without a policy nothing is acted on");
    assert!(world.json("map", &[])["rows"].is_array());
    for verb in ["leases", "actions"] {
        assert_eq!(world.json(verb, &[]), serde_json::json!([]), "{verb}");
    }
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(daemon.stop(), Some(0));
    assert!(
        !world.path().join("run/tidegate.sock").exists(),
        "the socket goes with the daemon"
    );
    assert!(
        !world.json("apps", &[]).as_array().unwrap().is_empty(),
        "the last view stays"
    );
    assert_eq!(world.json("report", &[])["total"]["acted"], 0);
}

#[test]
fn a_replay_gives_the_recorded_plans_again() {
    let world = World::new();
    let daemon = world.run(&[]);
    world.wait_for_apps();
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert_eq!(daemon.stop(), Some(0));
    let report = world.json("replay", &["--since", "1h"]);
    assert!(report["plans_compared"].as_u64() > Some(5), "{report}");
    assert_eq!(report["plans_compared"], report["plans_equal"], "{report}");
}

#[test]
fn a_second_daemon_in_the_same_folder_is_refused() {
    let world = World::new();
    let _daemon = world.run(&[]);
    let second = world.verb("run", &["--port", "0"]);
    let errors = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(4), "{errors}");
    assert!(errors.contains("hint:"), "{errors}");
}

#[test]
fn a_bad_policy_is_refused_at_the_start_and_kept_out_on_reload() {
    let world = World::new();
    let policy = world.path().join("policy.toml");
    let policy_text = policy.to_str().unwrap();
    std::fs::write(&policy, "[defualt]\nmode = \"observe\"\n").unwrap();
    let refused = world.verb("run", &["--port", "0", "--policy", policy_text]);
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{errors}");
    assert!(errors.contains("default"), "it says what was meant: {errors}");
    std::fs::write(&policy, "[default]\nmode = \"advise\"\n").unwrap();
    let daemon = world.run(&["--policy", policy_text]);
    world.wait_for_apps();
    std::fs::write(&policy, "[default]\nmode = \"nonsense\"\n").unwrap();
    rustix::process::kill_process(daemon.pid(), rustix::process::Signal::HUP).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(
        world.json("top", &["--once"])["mode"],
        "advise",
        "the policy before stays"
    );
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn pause_and_resume_are_heard() {
    let world = World::new();
    let daemon = world.run(&[]);
    world.wait_for_apps();
    let told = |verb: &str, expected: bool| {
        let output = world.verb(verb, &[]);
        assert!(
            output.status.success(),
            "{verb}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let heard = (0..50).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            world.json("top", &["--once"])["paused"] == expected
        });
        assert!(heard, "{verb} was not heard");
    };
    told("pause", true);
    assert!(world.path().join("run/disable").exists());
    told("resume", false);
    assert!(!world.path().join("run/disable").exists());
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let world = World::new();
    let daemon = world.run_unheard(&[]);
    rustix::process::kill_process(daemon.pid(), rustix::process::Signal::HUP).unwrap();
    world.wait_for_apps();
    assert_eq!(daemon.stop(), Some(0));
}
