//! Sums against simulations whose truth is known.

use super::*;
use crate::models::gbdt::Random;
use tidegate_types::{App, BootTime, Class, Field, Grant, Managed, Moment, Owner, Row};

const WINDOWS_S: [u32; WINDOWS] = [60, 300, 900, 3600];

fn managed(name: &AppName) -> Managed {
    let app = App {
        name: name.clone(),
        group: None,
        owner: Owner::Tidegate,
        parent: None,
        executable: None,
        user: None,
    };
    let grant = Grant {
        class: Class::Standard,
        ..Grant::default()
    };
    Managed { app, grant }
}

/// A host of apps that are given their use of CPUs; what cannot be served waits and is seen as a lower bound.
struct Host {
    sums: Sums,
    demands: BTreeMap<AppName, AppDemand>,
    apps: Apps,
    second: u64,
    cpus: f64,
}

impl Host {
    fn new(cpus: f64) -> Self {
        Self {
            sums: Sums::default(),
            demands: BTreeMap::new(),
            apps: Apps::new(),
            second: 0,
            cpus,
        }
    }

    /// One second of what each app uses, in cores, and whether it waits, with what is stolen.
    fn second(&mut self, used: &[(&str, f64, bool)], steal: f64) {
        self.second += 1;
        let mut host = Row::empty(Entity::Host);
        let busy: f64 = used.iter().map(|(_, cores, _)| cores).sum();
        host.set(Field::HostCpuBusy, busy);
        host.set(Field::HostCpuSteal, steal);
        host.set(Field::HostCpuCapacity, self.cpus - steal);
        let mut rows = vec![host];
        self.apps.clear();
        for (name, cores, waits) in used {
            let name = AppName::new(name);
            let mut row = Row::empty(Entity::App(name.clone()));
            row.set(Field::CpuUsage, *cores);
            row.set(Field::CpuLimit, f64::INFINITY);
            row.set(Field::CpuWaiting, if *waits { 0.5 } else { 0.0 });
            self.apps.insert(name.clone(), managed(&name));
            let demand = self.demands.entry(name).or_default();
            demand.observe(&row, 1.0, 0.0, false);
            rows.push(row);
        }
        let now = Moment {
            boot: BootTime::from_seconds(self.second as f64),
            utc_ms: self.second.cast_signed() * 1000,
        };
        let mut sample = Sample {
            now,
            interval_s: 1.0,
            rows,
        };
        sample.sort();
        self.sums.observe(&sample, &self.apps, &self.demands, 1.0);
    }

    fn cpu(&self) -> Asked {
        Asked::of(&self.sums, &Unit::Cpu, WINDOWS_S, &self.apps)
    }
}

/// Two apps whose demand is drawn anew every five seconds, for half an hour and more; `other` makes the second's of
/// the first's and of another draw.
fn two(other: impl Fn(f64, f64) -> f64) -> (Asked, f64) {
    let mut host = Host::new(4.0);
    let mut random = Random(7);
    let mut sums = Vec::new();
    for _ in 0..400 {
        let (one, another) = (random.unit(), random.unit());
        let second = other(one, another);
        for _ in 0..5 {
            host.second(&[("a", one, false), ("b", second, false)], 0.0);
        }
        sums.push(one + second);
    }
    // The truth, by the same draws: the highest of twelve in a row.
    let mut peaks: Vec<f64> = sums
        .windows(12)
        .map(|rows| rows.iter().copied().fold(0.0, f64::max))
        .collect();
    peaks.sort_by(f64::total_cmp);
    (host.cpu(), peaks[peaks.len() / 2])
}

#[test]
fn apps_that_rise_together_make_a_higher_peak_than_apps_that_take_turns() {
    let (together, together_truth) = two(|one, _| one);
    let (independent, independent_truth) = two(|_, another| another);
    let (turns, turns_truth) = two(|one, _| 1.0 - one);
    let median = |asked: &Asked| asked.raw.peaks[0].expect("told").q50;
    for (asked, truth) in [
        (&together, together_truth),
        (&independent, independent_truth),
        (&turns, turns_truth),
    ] {
        let found = median(asked);
        assert!((found - truth).abs() < 0.06, "{found} for {truth}");
    }
    assert!(median(&together) > median(&independent) + 0.15);
    assert!(median(&independent) > median(&turns) + 0.5);
    let shares: Vec<f64> = together.raw.drivers.iter().map(|driver| driver.share).collect();
    assert!(
        shares.len() == 2 && shares.iter().all(|share| (share - 0.5).abs() < 0.02),
        "{shares:?}"
    );
}

/// Two of 1.3 cores each on two CPUs: only together are they too much.
#[test]
fn the_sum_exceeds_what_there_is_as_often_as_it_did() {
    let together = |same: bool| {
        let mut host = Host::new(2.0);
        for second in 0..2400_u64 {
            let burst = |phase: u64| if (second + phase) % 120 < 10 { 1.3 } else { 0.2 };
            host.second(
                &[
                    ("a", burst(0), false),
                    ("b", burst(if same { 0 } else { 60 }), false),
                ],
                0.0,
            );
        }
        host.cpu().raw.exceeds
    };
    let [minute, five, ..] = together(true);
    // A minute of twelve rows meets a burst of two in 24 rows in 13 of 24 cases, less those that begin in a burst;
    // five minutes always do.
    assert!((minute - 12.0 / 24.0).abs() < 0.05, "{minute}");
    assert!(five > 0.99, "{five}");
    assert_eq!(together(false), [0.0; WINDOWS]);
}

/// Steal at the moments of the burst leaves too little, at others it does not matter.
#[test]
fn what_the_hypervisor_takes_counts_at_the_moments_at_which_it_takes_it() {
    let stolen = |at: u64| {
        let mut host = Host::new(2.0);
        for second in 0..2400_u64 {
            let busy = second % 60 < 10;
            let steal = if (second + at) % 60 < 10 { 0.8 } else { 0.0 };
            host.second(&[("a", if busy { 1.5 } else { 0.3 }, false)], steal);
        }
        host.cpu().raw
    };
    assert!(stolen(0).exceeds[0] > 0.9);
    let apart = stolen(30);
    assert_eq!(apart.exceeds[0], 0.0);
    assert!(
        apart.peaks[0].is_some_and(|peak| peak.q90 < 1.6),
        "peaks are demand alone"
    );
}

#[test]
fn one_that_comes_counts_at_once_and_one_that_goes_no_more() {
    let mut host = Host::new(4.0);
    let mut random = Random(3);
    let median = |host: &Host| host.cpu().raw.peaks[0].expect("told").q50;
    for _ in 0..1200 {
        host.second(&[("a", 0.5 + 0.2 * random.unit(), false)], 0.0);
    }
    let alone = median(&host);
    for _ in 0..90 {
        host.second(&[("a", 0.6, false), ("b", 1.0, false)], 0.0);
    }
    let both = median(&host);
    assert!((both - alone - 1.0).abs() < 0.1, "{alone} and {both}");
    for _ in 0..30 {
        host.second(&[("a", 0.6, false)], 0.0);
    }
    let after = median(&host);
    assert!((after - alone).abs() < 0.1, "{alone} and {after}");
    assert!(
        host.cpu()
            .raw
            .drivers
            .iter()
            .all(|driver| driver.app.as_str() == "a")
    );
}

/// An app that waits asks for more than it gets: its bursts are lower bounds, not their height.
#[test]
fn what_waits_is_a_lower_bound_of_the_sum() {
    let peak = |waits: bool| {
        let mut host = Host::new(2.0);
        for second in 0..2400_u64 {
            let burst = second % 60 < 10;
            let used = if burst { 0.9 } else { 0.2 };
            host.second(&[("a", used, waits && burst), ("b", used, false)], 0.0);
        }
        host.cpu().raw.peaks[1].expect("told").q90
    };
    assert!((peak(false) - 1.8).abs() < 0.01);
    assert!(peak(true) > 2.5, "{}", peak(true));
}

#[test]
fn a_gap_is_unknown_and_not_quiet() {
    let mut host = Host::new(2.0);
    for _ in 0..600 {
        host.second(&[("a", 0.7, false)], 0.0);
    }
    host.second += 600;
    for _ in 0..600 {
        host.second(&[("a", 0.7, false)], 0.0);
    }
    let peak = host.cpu().raw.peaks[0].expect("told");
    assert!(
        (peak.q10 - 0.7).abs() < 1e-6 && (peak.q90 - 0.7).abs() < 1e-6,
        "{peak:?}"
    );
}
