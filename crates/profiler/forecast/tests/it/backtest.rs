//! Backtests on made-up series: stream and tables agree, nothing is seen before its time, nonsense is named.

use std::fmt::Write as _;
use std::sync::Arc;
use tidegate_forecast::backtest::Stream;
use tidegate_forecast::backtest::bulk::{self, Plan};
use tidegate_forecast::backtest::report::metrics;
use tidegate_forecast::backtest::score::score;
use tidegate_forecast::backtest::table::{Forecasts, read_forecasts, read_origins};
use tidegate_forecast::backtest::traces::read_series;
use tidegate_forecast::models::trained::Trained;
use tidegate_forecast::models::training::{Options, Trace, fit, gather};
use tidegate_forecast::models::{Kind, LEVELS};

/// A load with a day, an hourly burst, and noise that a formula gives.
fn load(step: i64, seed: i64) -> f64 {
    let noise = ((step * 7919 + seed * 104_729) % 997) as f64 / 997.0;
    let day = (step as f64 * std::f64::consts::TAU / 288.0).sin();
    let burst = if step % 12 < 2 { 15.0 } else { 0.0 };
    50.0 + 20.0 * day + burst + 6.0 * noise
}

fn traces(count: i64, steps: i64) -> Vec<Trace> {
    let trace = |seed: i64| Trace {
        id: format!("s{seed}"),
        step_s: 300,
        times_s: (0..steps).map(|step| step * 300).collect(),
        values: (0..steps).map(|step| load(step, seed)).collect(),
        minutes: Vec::new(),
        end: usize::try_from(steps / 2).expect("small"),
    };
    (0..count).map(trace).collect()
}

/// Origins every `every` steps of the second half, as a table.
fn origins(traces: &[Trace], every: usize) -> String {
    let mut text = "series_id,origin,thr90,thr95\n".to_owned();
    for trace in traces {
        for time_s in trace.times_s[trace.end..].iter().step_by(every) {
            let (day, second) = (time_s / 86_400, time_s % 86_400);
            let (hour, minute) = (second / 3600, second % 3600 / 60);
            writeln!(
                text,
                "{},1970-01-{:02} {hour:02}:{minute:02}:00,70,80",
                trace.id,
                day + 1
            )
            .expect("a string");
        }
    }
    text
}

fn small() -> Options {
    let mut options = Options::default();
    options.events.trees = 20;
    options.body.trees = 12;
    options
}

fn run(kind: Kind, trained: &Arc<Trained>, traces: &[Trace], origins: &str) -> (Plan, Forecasts) {
    let plan = Plan::new(traces, &read_origins(origins).expect("origins")).expect("known");
    let forecasts = bulk::run(kind, trained, traces, &plan, |_, _| {});
    (plan, forecasts)
}

/// Sends everything that `traces` hold through the line protocol, in order of time.
fn streamed(kind: Kind, trained: &Arc<Trained>, traces: &[Trace], plan: &Plan) -> Forecasts {
    let mut stream = Stream::new(kind, Arc::clone(trained));
    let mut out = String::new();
    let mut send = |line: &str| stream.line(line, &mut out).expect("a sound line");
    for trace in traces {
        send(&format!("S,{},cpu,300,70,80", trace.id));
    }
    for (step, time_s) in traces[0].times_s.iter().enumerate() {
        for trace in traces {
            send(&format!("O,{},{time_s},{}", trace.id, trace.values[step]));
        }
        let asked: Vec<&Trace> = traces
            .iter()
            .filter(|trace| plan.origins(&trace.id).contains(time_s))
            .collect();
        if !asked.is_empty() {
            send(&format!("F,{time_s}"));
            for trace in asked {
                send(&format!("Q,{},{time_s}", trace.id));
            }
            send("E");
        }
    }
    assert!(!send("X"));
    let mut table = "heading\n".to_owned();
    for line in out.lines().filter_map(|line| line.strip_prefix("R,")) {
        let (id, rest) = line.split_once(',').expect("fields");
        let (time_s, rest) = rest.split_once(',').expect("fields");
        let time_s: i64 = time_s.parse().expect("seconds");
        let (day, second) = (time_s / 86_400 + 1, time_s % 86_400);
        writeln!(
            table,
            "{id},1970-01-{day:02} {:02}:{:02}:00,{rest}",
            second / 3600,
            second % 3600 / 60
        )
        .expect("a string");
    }
    read_forecasts(&table).expect("a table")
}

#[test]
fn stream_and_tables_give_the_same_forecasts() {
    let traces = traces(2, 8 * 288);
    let text = origins(&traces, 97);
    let trained = Arc::new(fit(&gather(&traces, &small()), &small()));
    for kind in Kind::ALL {
        let (plan, forecasts) = run(kind, &trained, &traces, &text);
        let streamed = streamed(kind, &trained, &traces, &plan);
        assert_eq!(forecasts.len(), streamed.len(), "{}", kind.name());
        for (key, forecast) in &forecasts {
            let pairs = forecast.quantiles.iter().zip(&streamed[key].quantiles);
            for (left, right) in pairs.flat_map(|(left, right)| left.iter().zip(right)) {
                assert!(
                    (left - right).abs() <= 1e-6 * left.abs().max(1.0),
                    "{} {left} {right}",
                    kind.name()
                );
            }
        }
    }
}

#[test]
fn forecasts_rise_with_level_window_and_fall_with_threshold() {
    let traces = traces(2, 8 * 288);
    let text = origins(&traces, 31);
    let trained = Arc::new(fit(&gather(&traces, &small()), &small()));
    for kind in Kind::ALL {
        let (_, forecasts) = run(kind, &trained, &traces, &text);
        for (key, forecast) in forecasts {
            let what = format!("{} at {key:?}: {forecast:?}", kind.name());
            for target in &forecast.quantiles {
                assert!(
                    target.is_sorted() && target.iter().all(|value| value.is_finite()),
                    "{what}"
                );
            }
            for window in &forecast.chances {
                assert!(window.iter().all(|chance| (0.0..=1.0).contains(chance)), "{what}");
            }
        }
    }
}

#[test]
fn what_came_later_changes_nothing() {
    let mut traces = traces(1, 8 * 288);
    let text = origins(&traces, 97);
    let trained = Arc::new(fit(&gather(&traces, &small()), &small()));
    let split = traces[0].values.len() * 3 / 4;
    let split_s = traces[0].times_s[split];
    for kind in Kind::ALL {
        let (_, before) = run(kind, &trained, &traces, &text);
        let kept = traces[0].values.clone();
        for value in &mut traces[0].values[split..] {
            *value = 1e6;
        }
        let (_, after) = run(kind, &trained, &traces, &text);
        traces[0].values = kept;
        let earlier = before.iter().filter(|((_, time_s), _)| *time_s < split_s);
        let mut compared = 0;
        for (key, forecast) in earlier {
            assert_eq!(*forecast, after[key], "{}", kind.name());
            compared += 1;
        }
        assert!(compared > 3);
    }
}

#[test]
fn training_looks_only_at_its_part() {
    let mut traces = traces(1, 6 * 288);
    let trained = fit(&gather(&traces, &small()), &small());
    let end = traces[0].end;
    for value in &mut traces[0].values[end..] {
        *value = -1.0;
    }
    assert_eq!(trained, fit(&gather(&traces, &small()), &small()));
}

#[test]
fn the_trained_model_beats_seasonal_naive_on_what_it_knows() {
    let traces = traces(3, 10 * 288);
    let text = origins(&traces, 7);
    let trained = Arc::new(fit(&gather(&traces, &small()), &small()));
    let (plan, ours) = run(Kind::Boosted, &trained, &traces, &text);
    let (_, naive) = run(Kind::SeasonalNaive, &trained, &traces, &text);
    let found = metrics(&score(&traces, &plan, &ours), &score(&traces, &plan, &naive));
    for (place, target) in found.targets.iter().enumerate() {
        assert!(target.crps < 1.0, "target {place}: {target:?}");
        assert!(
            (target.coverage95 - LEVELS[10]).abs() < 0.05,
            "target {place}: {target:?}"
        );
    }
    assert!(found.events[1][0].skill > 0.7, "{:?}", found.events);
}

#[test]
fn odd_series_are_answered_or_left_out_and_never_panic() {
    let constant = |value: f64| (0..900).map(|_| value).collect::<Vec<_>>();
    let with_gaps = (0..900_i64).map(|step| if step % 50 < 20 { f64::NAN } else { load(step, 1) });
    for (name, values) in [
        ("constant", constant(4.0)),
        ("zero", constant(0.0)),
        ("huge", constant(1e99)),
        ("missing", constant(f64::NAN)),
        ("gaps", with_gaps.collect()),
    ] {
        let traces = vec![Trace {
            id: name.to_owned(),
            step_s: 300,
            times_s: (0..900).map(|step| step * 300).collect(),
            values,
            minutes: Vec::new(),
            end: 450,
        }];
        let text = origins(&traces, 10);
        for kind in Kind::ALL {
            let (_, forecasts) = run(kind, &Arc::default(), &traces, &text);
            let finite = |value: &f64| value.is_finite();
            for (key, forecast) in &forecasts {
                let all = forecast.quantiles.iter().flatten().all(finite);
                assert!(all, "{} {key:?} {forecast:?}", kind.name());
            }
            let answered = !forecasts.is_empty();
            assert_eq!(answered, name != "missing", "{name} {}", kind.name());
            if name == "constant" {
                let sure = forecasts
                    .values()
                    .all(|forecast| forecast.quantiles[4] == [4.0; 12]);
                assert!(sure, "{}", kind.name());
            }
        }
    }
}

#[test]
fn bad_lines_of_a_stream_are_named_and_passed_over() {
    let mut stream = Stream::new(Kind::Ridge, Arc::default());
    let mut out = String::new();
    let mut line = 0;
    let mut check = |text: &str, says: Option<&str>| {
        line += 1;
        match (stream.line(text, &mut out), says) {
            (Ok(_), None) => {}
            (Err(error), Some(says)) => {
                assert_eq!(error.line, line);
                assert!(error.problem.contains(says), "{text}: {error}");
            }
            (found, _) => panic!("{text}: {found:?}, expected {says:?}"),
        }
    };
    check("S,a,cpu,300,1,2", None);
    check("S,a,cpu,300,1,2", Some("declared before"));
    check("S,b,cpu,60,1,2", Some("300"));
    check("S,b,cpu,300,nan,2", Some("finite"));
    check("S,b,cpu,300", Some("number of fields"));
    check("O,a,0,7", None);
    check("O,a,0,7", Some("not later"));
    check("O,a,-300,7", Some("not later"));
    check("O,a,300,seven", Some("not a number"));
    check("O,a,soon,7", Some("whole number"));
    check("O,c,300,7", Some("not declared"));
    check("Z", Some("unknown kind"));
    check("F,0", None);
    check("Q,a,300", Some("not the last observation"));
    check("Q,a,0", None);
    check("E", None);
    check("", Some("unknown kind"));
    check("X", None);
    assert_eq!(out.lines().count(), 6);
}

#[test]
fn a_plan_names_the_origin_that_it_cannot_place() {
    let traces = read_series("series_id,timestamp,value\na,1970-01-01 00:00:00,1\na,1970-01-01 00:05:00,2\n")
        .expect("a table");
    let check = |rows: &str, line: usize, says: &str| {
        let text = format!("series_id,origin,thr90,thr95\na,1970-01-01 00:00:00,1,2\n{rows}\n");
        let refused = Plan::new(&traces, &read_origins(&text).expect("origins")).expect_err(rows);
        assert_eq!(refused.line, line);
        assert!(refused.problem.contains(says), "{refused}");
    };
    check("b,1970-01-01 00:00:00,1,2", 3, "no values");
    check("a,1970-01-01 00:02:00,1,2", 3, "no value at");
    check("a,1970-01-01 00:05:00,1,3", 3, "thresholds differ");
    check("a,1970-01-01 00:00:00,1,2", 3, "there before");
}
