//! Demand under a limit: filled in from what was seen free, a lower bound where it never was, and never learned as the
//! usage that the limit allows. Work arrives in several shapes; what arrives is the truth.

use crate::sim::{START_UTC_MS, Seeded, managed};
use tidegate_forecast::{ForecastConfig, Forecaster};
use tidegate_types::{
    AppDemand, AppName, Apps, BootTime, Class, ContentionMap, Entity, Field, Moment, Row, Sample,
};

const STEP_S: f64 = 0.01;
const STEPS: u32 = 100;
/// Steps of an enforcement period.
const PERIOD_STEPS: u32 = 10;

/// How work arrives at an app with one thread.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Bursts of so many cores for so long in every period, else a base.
    Square {
        cores: f64,
        lasts_s: f64,
        period_s: f64,
        base_cores: f64,
    },
    /// Requests at random, each of a random size; the mean in cores.
    Poisson { cores: f64, request_s: f64 },
    /// The next request comes a while after the one before is served.
    Closed { request_s: f64, think_s: f64 },
    /// Always more.
    Spinner,
}

/// One app under quota.
struct Simulated {
    shape: Shape,
    random: Seeded,
    backlog_s: f64,
    quota_s: f64,
    next_s: f64,
    busy: bool,
    used_s: f64,
    throttled_s: f64,
    /// Work that arrived in the second.
    arrived_s: f64,
}

impl Simulated {
    fn new(shape: Shape, seed: u64) -> Self {
        Self {
            shape,
            random: Seeded(seed),
            backlog_s: 0.0,
            quota_s: 0.0,
            next_s: 0.0,
            busy: false,
            used_s: 0.0,
            throttled_s: 0.0,
            arrived_s: 0.0,
        }
    }

    fn arrive(&mut self, at_s: f64) -> f64 {
        match self.shape {
            Shape::Square {
                cores,
                lasts_s,
                period_s,
                base_cores,
            } => {
                let bursts = at_s.rem_euclid(period_s) < lasts_s;
                STEP_S * if bursts { cores } else { base_cores }
            }
            Shape::Poisson { cores, request_s } => {
                let mut work_s = 0.0;
                while self.next_s <= at_s {
                    self.next_s += self.random.exponential(request_s / cores);
                    work_s += self.random.exponential(request_s);
                }
                work_s
            }
            Shape::Closed { request_s, think_s } => {
                if self.busy && self.backlog_s <= 0.0 {
                    self.busy = false;
                    self.next_s = at_s + self.random.exponential(think_s);
                }
                if self.busy || at_s < self.next_s {
                    return 0.0;
                }
                self.busy = true;
                request_s
            }
            Shape::Spinner => STEP_S - self.backlog_s.min(STEP_S),
        }
    }

    fn second(&mut self, second: u32, limit_cores: Option<f64>) {
        (self.used_s, self.throttled_s, self.arrived_s) = (0.0, 0.0, 0.0);
        for step in 0..STEPS {
            let arrived_s = self.arrive(f64::from(second) + f64::from(step) * STEP_S);
            self.arrived_s += arrived_s;
            self.backlog_s += arrived_s;
            if step % PERIOD_STEPS == 0 {
                self.quota_s = limit_cores.unwrap_or(1e9) * STEP_S * f64::from(PERIOD_STEPS);
            }
            let served_s = self.backlog_s.min(STEP_S).min(self.quota_s);
            self.backlog_s -= served_s;
            self.quota_s -= served_s;
            self.used_s += served_s;
            if self.backlog_s > 1e-9 && self.quota_s <= 1e-12 {
                self.throttled_s += STEP_S;
            }
        }
    }

    fn row(&self, limit_cores: Option<f64>) -> Row {
        let mut row = Row::empty(Entity::App(AppName::new("web")));
        row.set(Field::CpuUsage, self.used_s);
        row.set(Field::CpuThrottled, self.throttled_s);
        row.set(Field::CpuLimit, limit_cores.unwrap_or(f64::INFINITY));
        row
    }
}

/// What came of one run.
struct Run {
    map: ContentionMap,
    /// What arrived in each second, in cores.
    arrived: Vec<f64>,
    /// Usage in each second, in cores.
    used: Vec<f64>,
}

impl Run {
    fn demand(&self) -> Option<&AppDemand> {
        self.map.demand(&AppName::new("web"))
    }
}

/// Runs a shape through stretches of (seconds, limit).
fn run(shape: Shape, seed: u64, stretches: &[(u32, Option<f64>)]) -> Run {
    let mut app = Simulated::new(shape, seed);
    let apps = Apps::from([(AppName::new("web"), managed("web", Class::Standard))]);
    let mut forecaster = Forecaster::new(ForecastConfig::default());
    let mut done = Run {
        map: ContentionMap::default(),
        arrived: Vec::new(),
        used: Vec::new(),
    };
    let mut second = 0;
    for (seconds, limit_cores) in stretches {
        for _ in 0..*seconds {
            app.second(second, *limit_cores);
            second += 1;
            let now = Moment {
                boot: BootTime::from_seconds(1000.0 + f64::from(second)),
                utc_ms: START_UTC_MS + i64::from(second) * 1000,
            };
            let sample = Sample {
                now,
                interval_s: 1.0,
                rows: vec![app.row(*limit_cores)],
            };
            forecaster.observe(&sample, &apps, &[]);
            done.arrived.push(app.arrived_s);
            done.used.push(app.used_s);
            if second.is_multiple_of(10) {
                done.map = forecaster.map(now, &apps);
            }
        }
    }
    done
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const SQUARE: Shape = Shape::Square {
    cores: 0.8,
    lasts_s: 20.0,
    period_s: 30.0,
    base_cores: 0.05,
};
const BURSTY: Shape = Shape::Square {
    cores: 0.9,
    lasts_s: 5.0,
    period_s: 40.0,
    base_cores: 0.1,
};
const POISSON: Shape = Shape::Poisson {
    cores: 0.6,
    request_s: 0.02,
};
const CLOSED: Shape = Shape::Closed {
    request_s: 0.04,
    think_s: 0.03,
};

#[test]
fn an_app_that_was_seen_free_keeps_its_demand_under_a_limit() {
    for (name, shape) in [
        ("square", SQUARE),
        ("bursty", BURSTY),
        ("poisson", POISSON),
        ("closed loop", CLOSED),
    ] {
        for (seed, limit) in [(1, 0.25), (2, 0.3), (3, 0.45)] {
            let run = run(shape, seed, &[(400, None), (400, Some(limit))]);
            // A closed loop asks less while it is held: the truth is what it asks for when nothing holds it.
            let truth = match shape {
                Shape::Closed { .. } => median(&run.used[..400]),
                _ => median(&run.arrived[400..]),
            };
            let demand = run.demand().expect("it was held");
            let ratio = demand.cores.q50 / truth;
            println!("{name} under {limit}: {:?} of {truth:.2}", demand.cores);
            assert!(
                (ratio - 1.0).abs() <= 0.2,
                "{name} under {limit}: {ratio:.2} of the truth"
            );
            assert!(
                !demand.censored && !demand.elastic,
                "{name} under {limit}: {demand:?}"
            );
        }
    }
}

#[test]
fn an_app_seen_only_under_its_limit_is_a_lower_bound() {
    for (shape, limit) in [(SQUARE, 0.3), (BURSTY, 0.2), (POISSON, 0.3), (CLOSED, 0.3)] {
        let run = run(shape, 5, &[(600, Some(limit))]);
        let demand = run.demand().expect("it was held");
        assert!(demand.censored && !demand.elastic, "{shape:?}: {demand:?}");
        assert!(demand.cores.q90 >= 0.9 * limit, "{shape:?}: {demand:?}");
        let limited: tidegate_types::Unit = "limit:web/cpu".parse().expect("a unit");
        let entry = run.map.entry(&limited).expect("on the map");
        assert!(entry.peak_censored, "{shape:?}: {entry:?}");
        assert!(entry.peak.expect("a peak").q90 > limit);
    }
}

#[test]
fn spinners_are_elastic_and_nobody_else_is() {
    let free_then_limited: &[(u32, Option<f64>)] = &[(100, None), (100, Some(0.3))];
    let two_limits: &[(u32, Option<f64>)] = &[(100, Some(0.3)), (100, Some(0.6))];
    let unlimited: &[(u32, Option<f64>)] = &[(300, None)];
    for stretches in [free_then_limited, two_limits, unlimited] {
        let demand = run(Shape::Spinner, 1, stretches)
            .demand()
            .cloned()
            .expect("known");
        assert!(demand.elastic, "{stretches:?}: {demand:?}");
    }
    // Bursts that outlast the limits, and a base between them.
    let slow = Shape::Square {
        cores: 0.95,
        lasts_s: 150.0,
        period_s: 400.0,
        base_cores: 0.1,
    };
    for shape in [SQUARE, BURSTY, POISSON, CLOSED, slow] {
        for stretches in [
            &[(400, None), (300, Some(0.3)), (300, Some(0.5))][..],
            &[(300, None), (400, Some(0.2)), (300, None)],
            &[(600, Some(0.3))],
        ] {
            let run = run(shape, 3, stretches);
            let elastic = run.demand().is_some_and(|demand| demand.elastic);
            assert!(!elastic, "{shape:?} in {stretches:?}: {:?}", run.demand());
        }
    }
}
