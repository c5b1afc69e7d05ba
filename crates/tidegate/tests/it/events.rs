//! Events by name: announced, listed, taken back.

use crate::world::World;

#[test]
fn an_event_is_announced_stands_on_the_map_and_is_taken_back() {
    let world = World::new();
    let daemon = world.run(&[]);
    let apps = world.wait_for_apps();
    // The daemon's own app stays as long as the test does; the first one may be a program that ends.
    let found: Vec<&str> = apps
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|app| app["name"].as_str())
        .collect();
    let own = found.iter().find(|name| name.contains("tidegate"));
    let app = (*own.unwrap_or(&found[0])).to_owned();
    let say = |arguments: &[&str], status: i32| {
        let output = world.verb("event", arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {errors}");
        errors
    };
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(200);
    let soon = soon.to_string();
    say(
        &["add", "release", "--at", &soon, "--app", &app, "--lasting", "60s"],
        0,
    );
    say(
        &[
            "add",
            "opening",
            "--at",
            "2026-12-01T08:00",
            "--app",
            &app,
            "--every",
            "1d",
            "--zone",
            "Europe/Berlin",
        ],
        0,
    );
    let wrong = say(&["add", "x", "--cron", "0 8 * *", "--app", &app], 2);
    assert!(wrong.contains("five fields"), "{wrong}");
    let listed = || world.json("event", &["ls"]);
    let named = |name: &str| {
        let rows = listed();
        rows.as_array().unwrap().iter().any(|row| row["name"] == name)
    };
    let heard = |name: &str, there: bool| {
        (0..50).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            named(name) == there
        })
    };
    assert!(heard("release", true) && heard("opening", true), "{}", listed());
    let on_map = (0..600).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        world.json("map", &[]).to_string().contains("announced: release")
    });
    assert!(on_map, "{}", world.json("map", &[]));
    say(&["rm", "opening"], 0);
    assert!(heard("opening", false));
    let over = ["add", "x", "--at", "2020-01-01T00:00:00Z", "--app", &app];
    assert!(say(&over, 2).contains("was over at"));
    let unknown = say(&["rm", "opening"], 1);
    assert!(unknown.contains("is not known"), "{unknown}");
    assert_eq!(daemon.stop(), Some(0));
}
