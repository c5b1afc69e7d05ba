//! Demand under a limit with real processes: one that was seen free and then limited, and one that never was free.

use crate::bed::Bed;
use crate::world::World;
use std::time::Duration;

/// What each of them asks for, and the limit, in cores.
const WANTED_CORES: f64 = 0.4;
const LIMIT_CORES: f64 = 0.15;
/// Looks at which it must be seen free, and then under the limit: more, so that half of what is reported lies under it.
const FREE_LOOKS: usize = 40;
const HELD_LOOKS: usize = 60;
/// Looks after which the host is too busy for this.
const LOOKS_MAX: usize = 600;
/// Work comes this often.
const STEP_S: f64 = 0.02;
const PROGRAM: &str = "demand::a_program_that_wants_a_part_of_a_core";

fn seconds_of(clock: rustix::time::ClockId) -> f64 {
    let now = rustix::time::clock_gettime(clock);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// Not a test by itself: the program, which is this binary started again.
#[test]
fn a_program_that_wants_a_part_of_a_core() {
    use rustix::time::ClockId::{Monotonic, ThreadCPUTime};
    if std::env::var_os("TIDEGATE_TEST_DEMAND").is_none() {
        return;
    }
    let (mut owed_s, mut last_s) = (0.0, seconds_of(Monotonic));
    let end_s = last_s + 120.0;
    while last_s < end_s {
        let now_s = seconds_of(Monotonic);
        owed_s += WANTED_CORES * (now_s - last_s);
        last_s = now_s;
        let until_s = seconds_of(ThreadCPUTime) + owed_s.min(STEP_S);
        owed_s -= owed_s.min(STEP_S);
        while seconds_of(ThreadCPUTime) < until_s {
            std::hint::spin_loop();
        }
        if owed_s <= 0.0 {
            std::thread::sleep(Duration::from_secs_f64(STEP_S));
        }
    }
}

fn row_of(apps: &serde_json::Value, bed: &Bed, app: &str) -> Option<serde_json::Value> {
    let name = bed.app(app);
    let mut rows = apps.as_array()?.iter();
    rows.find(|row| row["name"] == name.as_str()).cloned()
}

/// Looks at the app `seen` until its usage in cores was `as_it_must` often enough; false where that does not come.
fn looked(world: &World, bed: &Bed, often: usize, as_it_must: impl Fn(f64) -> bool) -> bool {
    let mut found = 0;
    for _ in 0..LOOKS_MAX {
        let row = row_of(&world.json("apps", &[]), bed, "seen");
        let cores = row.and_then(|row| row["cpu_cores"].as_f64());
        found += usize::from(cores.is_some_and(&as_it_must));
        if found >= often {
            return true;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    false
}

#[test]
fn demand_is_kept_under_a_limit_and_a_bound_where_it_was_never_seen() {
    const NAME: &str = "demand::demand_is_kept_under_a_limit_and_a_bound_where_it_was_never_seen";
    let mut bed = match Bed::new("demand", &[("seen", None), ("never", Some(LIMIT_CORES))]) {
        Ok(bed) => bed,
        Err(reason) => {
            eprintln!("SKIP {NAME}: {reason}");
            return;
        }
    };
    let world = World::new();
    let daemon = world.run(&[]);
    let _outputs = ["seen", "never"].map(|app| bed.start(app, PROGRAM, &[("TIDEGATE_TEST_DEMAND", "1")]));
    let near = |cores: f64, wanted: f64| (cores / wanted - 1.0).abs() <= 0.2;
    if !looked(&world, &bed, FREE_LOOKS, |cores| near(cores, WANTED_CORES)) {
        eprintln!("SKIP {NAME}: the host is too busy to give what is asked for");
        return;
    }
    if !bed.limit("seen", LIMIT_CORES) {
        eprintln!("SKIP {NAME}: no CPU controller to limit with");
        return;
    }
    assert!(
        looked(&world, &bed, HELD_LOOKS, |cores| near(cores, LIMIT_CORES)),
        "the limit does not hold"
    );
    let apps = world.json("apps", &[]);
    let (map, table) = (world.json("map", &[]), world.verb("apps", &[]));
    assert_eq!(daemon.stop(), Some(0));
    let row = |app: &str| row_of(&apps, &bed, app).unwrap();
    let (seen, never) = (row("seen"), row("never"));
    println!(
        "seen free: {}\nnever seen free: {}",
        seen["cpu_demand_cores"], never["cpu_demand_cores"]
    );
    let median = seen["cpu_demand_cores"]["q50"].as_f64().unwrap();
    assert!(near(median, WANTED_CORES), "{seen}");
    assert_eq!(seen["cpu_demand_censored"], false, "{seen}");
    assert_eq!(never["cpu_demand_censored"], true, "{never}");
    assert!(
        never["cpu_demand_cores"]["q50"].as_f64().unwrap() >= 0.8 * LIMIT_CORES,
        "{never}"
    );
    assert_eq!(
        (&seen["elastic"], &never["elastic"]),
        (&false.into(), &false.into())
    );
    let on_map = map["demands"].as_array().unwrap();
    assert!(
        on_map
            .iter()
            .any(|row| row["app"] == bed.app("never").as_str() && row["censored"] == true)
    );
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(
        table
            .lines()
            .any(|line| line.contains("-never") && line.contains(">=")),
        "{table}"
    );
}
