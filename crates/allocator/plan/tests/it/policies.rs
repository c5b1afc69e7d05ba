//! The policy language: precedence, and errors as a person sees them.

use tidegate_plan::policy::parse;
use tidegate_types::{App, AppName, Class, Group, GroupPath, Hierarchy, Mode, Owner, Resource};

fn app(name: &str, path: &str) -> App {
    App {
        name: AppName::new(name),
        group: Some(Group {
            paths: vec![GroupPath {
                hierarchy: Hierarchy::V2,
                path: path.into(),
                id: 1,
            }],
        }),
        owner: Owner::Delegated,
        parent: None,
        executable: Some("/usr/sbin/nginx".into()),
        user: Some("www-data".into()),
    }
}

/// The whole text of the error.
fn check(policy: &str, expect: &str) {
    let error = parse(policy, "policy.toml").expect_err(policy);
    let shown = error.to_string();
    let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
    assert_eq!(
        lines.join("\n"),
        expect.trim_start_matches('\n').trim_end(),
        "\n{shown}"
    );
}

#[test]
fn an_unknown_key_is_named_with_what_was_meant() {
    check(
        "[[app]]\nname = \"web\"\nclas = \"critical\"\n",
        r#"
error: unknown key `clas`
 --> policy.toml:3:1
  |
3 | clas = "critical"
  | ^^^^
  |
  = help: did you mean `class`?"#,
    );
    check(
        "[strategy]\nkind = \"predictiv\"\n",
        r#"
error: unknown value `predictiv`
 --> policy.toml:2:9
  |
2 | kind = "predictiv"
  |         ^^^^^^^^^
  |
  = help: did you mean `predictive`?"#,
    );
}

#[test]
fn a_value_out_of_range_is_shown_in_its_line() {
    check(
        "[[app]]\nname = \"web\"\ncpu = { floor = -1 }\n",
        r"
error: -1 is out of range: 0.01 to 16384 cores
 --> policy.toml:3:17
  |
3 | cpu = { floor = -1 }
  |                 ^^",
    );
    check(
        "[class.batch]\ncpu = { floor = 2.0, ceiling = 1.0 }\n",
        r"
error: the ceiling of 1 cores is below the floor of 2 cores
 --> policy.toml:2:32
  |
2 | cpu = { floor = 2.0, ceiling = 1.0 }
  |                                ^^^",
    );
    check(
        "[strategy]\nleft_alone_share = 1.5\n",
        r"
error: 1.5 is out of range: 0 to 1
 --> policy.toml:2:20
  |
2 | left_alone_share = 1.5
  |                    ^^^",
    );
    check(
        "[[app]]\nname = \"web\"\nmatch = { cgroup = \"bed/web\" }\n",
        r#"
error: `bed/web` is not a group's path
 --> policy.toml:3:20
  |
3 | match = { cgroup = "bed/web" }
  |                    ^^^^^^^^^
  |
  = help: a path starts with `/` below the mount point, such as "/system.slice/web*""#,
    );
    check(
        "[[app]]\nname = \"web\"\nmatch = {}\n",
        r"
error: this matches nothing
 --> policy.toml:3:9
  |
3 | match = {}
  |         ^^
  |
  = help: give one of cgroup, unit, executable, user",
    );
}

const APPS: &str = "[[app]]\nname = \"web\"\n[[app]]\nname = \"db\"\n";

#[test]
fn names_that_do_not_exist_are_named() {
    let pool = "[[pool]]\nname = \"shared\"\nresource = \"cpu\"\napps = [\"web\", \"dbb\"]\ncores = 1.8\n";
    check(
        &format!("{APPS}{pool}"),
        r#"
error: there is no [[app]] called `dbb`
 --> policy.toml:8:16
  |
8 | apps = ["web", "dbb"]
  |                ^^^^^
  |
  = help: did you mean `db`?"#,
    );
    check(
        &format!("{APPS}[[app]]\nname = \"web\"\n"),
        r#"
error: `web` is already the app of line 2
 --> policy.toml:6:8
  |
6 | name = "web"
  |        ^^^^^"#,
    );
}

#[test]
fn an_event_needs_an_instant() {
    let event = "[[event]]\nname = \"sale\"\napp = \"web\"\nat = 2026-12-01T09:00:00\nduration = \"2h\"\n";
    check(
        &format!("{APPS}{event}"),
        r"
error: this is not an instant
 --> policy.toml:8:6
  |
8 | at = 2026-12-01T09:00:00
  |      ^^^^^^^^^^^^^^^^^^^
  |
  = help: write date, time and zone, such as 2026-12-01T09:00:00Z",
    );
}

#[test]
fn the_nearest_word_wins() {
    let policy = parse(
        r#"
        [default]
        mode = "observe"
        [class.batch]
        mode = "advise"
        cpu = { mode = "enforce", floor = 0.2 }
        memory = { floor = "64M", ceiling = "1G" }
        [[app]]
        name = "web"
        match = { cgroup = "/bed/*" }
        class = "batch"
        mode = "advise"
        code = { mode = "enforce" }
        cpu = { ceiling = 2 }
        [[app]]
        name = "never"
        match = { executable = "nginx" }
        mode = "enforce"
        "#,
        "policy.toml",
    )
    .expect("policy");
    let grant = policy.resolve(&app("group:/bed/web", "/bed/web"));
    assert_eq!(grant.class, Class::Batch);
    assert_eq!(grant.mode(Resource::Code), Mode::Enforce, "app and resource");
    assert_eq!(
        grant.mode(Resource::Cpu),
        Mode::Advise,
        "app before class and resource"
    );
    assert_eq!(
        (grant.cpu_cores.floor, grant.cpu_cores.ceiling),
        (Some(0.2), Some(2.0))
    );
    assert_eq!(grant.memory_bytes.floor, Some(64.0 * 1_048_576.0));
    let other = policy.resolve(&app("group:/other", "/other"));
    assert_eq!(other.class, Class::Standard);
    assert_eq!(
        other.mode(Resource::Cpu),
        Mode::Enforce,
        "the second rule, by executable"
    );
    let mut lowered = policy.clone();
    lowered.lower_modes(Mode::Advise);
    assert_eq!(
        lowered
            .resolve(&app("group:/other", "/other"))
            .mode(Resource::Cpu),
        Mode::Advise
    );
    lowered.lower_modes(Mode::Enforce);
    assert_eq!(
        lowered
            .resolve(&app("group:/other", "/other"))
            .mode(Resource::Cpu),
        Mode::Advise,
        "only lower"
    );
}

#[test]
fn events_are_declared_with_instants_and_durations() {
    let policy = parse(
        "[[app]]\nname = \"web\"\n[[event]]\nname = \"sale\"\napp = \"web\"\nat = 2026-12-01T09:00:00Z\nduration = \"2h\"\nevery = \"1h 30m\"\ncores = 1.5\n",
        "policy.toml",
    )
    .expect("policy");
    let event = &policy.events[0];
    assert_eq!(
        (event.at_utc_ms, event.duration_s, event.every_s),
        (1_796_115_600_000, 7200.0, Some(5400.0))
    );
}

#[test]
fn what_a_policy_cannot_do_is_said() {
    use crate::world::{SHARED, World};
    let text = SHARED
        .replace("cores = 1.8", "cores = 0.6")
        .replace("ceiling = 1.4", "ceiling = 2");
    let mut world = World::new(&text);
    world.add(
        "far",
        "/elsewhere/deep/far",
        Owner::Systemd("far.service".into()),
        f64::INFINITY,
    );
    let far = world.apps.get_mut(&AppName::new("far")).expect("far");
    far.grant.class = Class::Batch;
    world.apps.remove(&AppName::new("db"));
    world.sample(1.0, &[], &[]);
    let findings = tidegate_plan::policy::check(&world.policy, &world.apps, Some(&world.sample));
    let shown: Vec<String> = findings
        .iter()
        .map(|finding| format!("{:?} {}", finding.line.unwrap_or(0), finding.text))
        .collect();
    assert_eq!(
        shown,
        [
            "28 pool `shared` has 0.6 cores, but the floors of its apps add up to 0.70",
            "9 the ceiling of `web` (2 cores) cannot be reached: pool `shared` leaves 0.20 above the others' floors",
            "15 the ceiling of `db` (2 cores) cannot be reached: pool `shared` leaves 0.20 above the others' floors",
            "15 `db` matches no app that runs now",
            "0 the weight of far cannot help web against it, because they meet at /elsewhere, which is no app here",
        ]
    );
}

#[test]
fn the_policy_of_the_readme_is_one() {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let policy = parse(example, "README.md").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        (policy.apps.len(), policy.pools.len(), policy.events.len()),
        (2, 1, 1)
    );
    assert_eq!(
        policy.strategy,
        tidegate_plan::policy::Strategy::default(),
        "the example shows the defaults"
    );
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}") {
        let _ = parse(&text, "policy.toml");
    }

    #[test]
    fn no_damage_to_a_policy_makes_it_panic(at in 0..2000_usize, put in "[\\[\\]{}\"=#\n .äß€0-9a-z-]{0,4}", cut in 0..6_usize) {
        let readme = include_str!("../../README.md");
        let (_, rest) = readme.split_once("```toml\n").expect("an example");
        let (example, _) = rest.split_once("```").expect("its end");
        let mut letters: Vec<char> = example.chars().collect();
        let at = at % letters.len();
        let to = (at + cut).min(letters.len());
        letters.splice(at..to, put.chars());
        let text: String = letters.into_iter().collect();
        if let Err(error) = parse(&text, "policy.toml") {
            proptest::prop_assert!(error.line >= 1 && error.column >= 1);
            proptest::prop_assert!(error.to_string().contains("policy.toml"));
        }
    }
}
