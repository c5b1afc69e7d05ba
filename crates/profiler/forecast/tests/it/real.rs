//! The network and the curve on real series: trained, fitted, saved, loaded; what was loaded says the same.

use std::sync::Arc;
use tidegate_forecast::backtest::bulk::{self, Plan};
use tidegate_forecast::backtest::report::metrics;
use tidegate_forecast::backtest::score::score;
use tidegate_forecast::backtest::table::Origin;
use tidegate_forecast::backtest::traces::read_series;
use tidegate_forecast::models::calendar::Calendar;
use tidegate_forecast::models::lstm::{self, Options};
use tidegate_forecast::models::prophet::{Fitted, Prophet};
use tidegate_forecast::models::trained::Trained;
use tidegate_forecast::models::training::Trace;
use tidegate_forecast::models::{Kind, SeriesModel as _};

/// Steps of a day.
const DAY: usize = 288;
/// What the curve is fitted to: what Prophet in Python was fitted to for `prophet.csv`.
const FITTED: usize = 8 * DAY;

fn series() -> Vec<Trace> {
    read_series(include_str!("../fixtures/series.csv")).expect("a table")
}

/// Origins of every series from the step `from` on, `every` steps apart.
fn plan(traces: &[Trace], from: usize, every: usize) -> Plan {
    let origins = traces.iter().flat_map(|trace| {
        let mut sorted = trace.values[..from].to_vec();
        sorted.sort_by(f64::total_cmp);
        let thresholds = [sorted[from * 9 / 10], sorted[from * 19 / 20]];
        let times_s = &trace.times_s[from..trace.times_s.len() - 12];
        times_s.iter().step_by(every).map(move |time_s| Origin {
            line: 1,
            series: trace.id.clone(),
            time_s: *time_s,
            written: String::new(),
            thresholds,
        })
    });
    Plan::new(traces, &origins.collect::<Vec<_>>()).expect("known")
}

#[test]
fn the_network_learns_and_comes_back_from_its_file() {
    let mut traces = series();
    for trace in &mut traces {
        trace.times_s.truncate(5 * DAY);
        trace.values.truncate(5 * DAY);
        trace.end = 4 * DAY;
    }
    let train = |epochs: usize| Trained {
        network: lstm::fit(
            &traces,
            &Options {
                stride: 60.0,
                epochs,
                batch: 4,
                ..Options::default()
            },
        ),
        ..Trained::default()
    };
    let plan = plan(&traces, 4 * DAY, 23);
    let run = |trained: Trained| bulk::run(Kind::Lstm, &Arc::new(trained), &traces, &plan, |_, _| {});
    let trained = train(4);
    let loaded = Trained::from_bytes(&trained.to_bytes()).expect("our own file");
    let (before, after) = (run(train(0)), run(trained));
    assert_eq!(after, run(loaded), "what was loaded says the same");
    let (before, after) = (score(&traces, &plan, &before), score(&traces, &plan, &after));
    let found = metrics(&after, &before);
    for target in &found.targets[..3] {
        assert!(target.crps < 0.9, "not learned: {found:?}");
    }
    let untrained = metrics(&before, &before);
    let skill = |window: usize| found.events[window][1].skill - untrained.events[window][1].skill;
    assert!(skill(0) > 0.0 && skill(1) > 0.0, "{found:?} {untrained:?}");
}

/// The noise may differ by more: `models/prophet/fit.rs` tests that the fits found here are no less probable.
#[test]
fn the_curve_is_that_of_prophet_in_python() {
    let utc = Calendar::default();
    let expected = include_str!("../fixtures/prophet.csv");
    for trace in series() {
        let fitted = Fitted::new(&trace.times_s[..FITTED], &trace.values[..FITTED], &utc).expect("it moves");
        let (mut within, mut beyond) = (Vec::new(), Vec::new());
        for line in expected.lines().filter(|line| line.starts_with(&trace.id)) {
            let fields: Vec<&str> = line.split(',').collect();
            let number = |place: usize| fields[place].parse::<f64>().expect("a number");
            let place = (within.len() + beyond.len()) * 97;
            let parts = fitted.parts(&utc, trace.times_s[place]);
            let missed = (parts.trend + parts.seasons[0] - number(2)).abs() / number(3);
            if place < FITTED {
                within.push(missed);
            } else {
                beyond.push(missed);
            }
        }
        let mean = |missed: &[f64]| missed.iter().sum::<f64>() / missed.len() as f64;
        assert!(within.len() > 20 && beyond.len() > 4);
        // In standard deviations of the noise.
        assert!(mean(&within) < 0.05, "{}: {}", trace.id, mean(&within));
        assert!(mean(&beyond) < 0.05, "{}: {}", trace.id, mean(&beyond));
    }
}

#[test]
fn a_curve_that_was_saved_goes_on_as_if_it_had_not_been() {
    for trace in series() {
        let follow = |from: usize, model: &mut Prophet| {
            for step in from..FITTED + 20 {
                model
                    .observe(trace.times_s[step], trace.values[step])
                    .expect("time goes forward");
            }
            model.forecast().expect("known")
        };
        let mut model = Prophet::new(300, [1.0, 2.0]);
        let expected = follow(0, &mut model);
        let saved = model.fitted().expect("fitted").to_bytes();
        let mut resumed = Prophet::new(300, [1.0, 2.0]);
        resumed.resume(Fitted::from_bytes(&saved).expect("our own bytes"));
        assert_eq!(follow(FITTED + 1, &mut resumed), expected, "{}", trace.id);
    }
}
