//! `tidegate backtest`: forecasts of recorded series as they would have been made at the time.
//!
//! With `--stream` by the line protocol, else over whole tables. It opens files and shows how far it is; the models,
//! the tables and the judging are the forecast room's.

use super::print_json;
use crate::cli::BacktestArguments;
use crate::failure::{Failure, Outcome};
use crate::local_time;
use crate::out::{note, remark, say};
use crate::table;
use serde::Serialize;
use std::fmt::Display;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use tidegate_forecast::backtest::bulk::{self, Confidences, Plan};
use tidegate_forecast::backtest::report::{Metrics, metrics};
use tidegate_forecast::backtest::score::{Sums, score};
use tidegate_forecast::backtest::table::{
    Forecasts, Origin, forecast_heading, read_forecasts, read_origins, write_confidences, write_forecast,
};
use tidegate_forecast::backtest::traces::{read_meta, read_minutes, read_series};
use tidegate_forecast::backtest::{Stream, traces};
use tidegate_forecast::models::calendar::Calendar;
use tidegate_forecast::models::trained::Trained;
use tidegate_forecast::models::training::Trace;
use tidegate_forecast::models::{Kind, TARGETS};

/// Lines that were refused, of which each is named; more are only counted.
const NAMED_LINES_MAX: usize = 20;

/// Streams, or works through tables.
pub(crate) fn backtest(arguments: &BacktestArguments) -> Outcome {
    let trained = Arc::new(trained(arguments)?);
    let calendar = local_time::of_backtest(arguments.time_zone.as_deref(), arguments.holidays.as_deref())?;
    let calendar = Arc::new(calendar);
    if arguments.stream {
        return stream(arguments.model, trained, calendar);
    }
    let (Some(input), Some(origins)) = (&arguments.input, &arguments.origins) else {
        return Err(Failure::usage("--input and --origins are needed"));
    };
    if arguments.output.is_none() && arguments.confidence.is_none() && !arguments.report {
        return Err(Failure::usage("nothing to do").hint("name an --output, or ask for a --report"));
    }
    let mut series = read(input, read_series)?;
    if let Some(minutes) = &arguments.minutes {
        read(minutes, |text| read_minutes(text, &mut series))?;
    }
    let asked = read(origins, read_origins)?;
    let mut plan = Plan::new(&series, &asked).map_err(|error| in_file(origins, &error))?;
    plan.calendar = calendar;
    let (forecasts, confidences) = match &arguments.forecasts {
        Some(file) => (read(file, read_forecasts)?, Confidences::new()),
        None => bulk::run_sure(arguments.model, &trained, &series, &plan, Bar::new().shows()),
    };
    if let Some(file) = &arguments.confidence {
        let text = write_confidences(&asked, &confidences);
        std::fs::write(file, text).map_err(|error| in_file(file, &error))?;
    }
    if let Some(output) = &arguments.output {
        let text = written(&asked, &forecasts);
        std::fs::write(output, text).map_err(|error| in_file(output, &error))?;
    }
    let without = asked.len() - forecasts_at(&asked, &forecasts);
    if without > 0 {
        note!("{without} of {} origins have no forecast", asked.len());
    }
    if arguments.report {
        set_training_part(&mut series, &plan, arguments.meta.as_deref())?;
        report(arguments, &series, &plan, &forecasts)?;
    }
    Ok(())
}

fn in_file(path: &Path, error: &dyn Display) -> Failure {
    Failure::environment(format!("{}: {error}", path.display()))
}

/// Reads a table; a line that makes no sense is named, and nothing is done.
fn read<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, traces::TableError>) -> Result<T, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| in_file(path, &error))?;
    parse(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

fn trained(arguments: &BacktestArguments) -> Result<Trained, Failure> {
    let Some(path) = &arguments.trained else {
        return Trained::shipped().map_err(Failure::environment);
    };
    let bytes = std::fs::read(path).map_err(|error| in_file(path, &error))?;
    Trained::from_bytes(&bytes).map_err(|error| in_file(path, &error))
}

/// Answers until the other side ends. Refused lines are named and passed over, and make the exit status 1.
fn stream(kind: Kind, trained: Arc<Trained>, calendar: Arc<Calendar>) -> Outcome {
    let mut stream = Stream::new(kind, trained).by(calendar);
    let mut input = std::io::stdin().lock();
    let mut output = std::io::stdout().lock();
    let (mut bytes, mut answer, mut refused) = (Vec::new(), String::new(), 0);
    while input
        .read_until(b'\n', &mut bytes)
        .map_err(Failure::environment)?
        > 0
    {
        match stream.line(&String::from_utf8_lossy(&bytes), &mut answer) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                refused += 1;
                if refused <= NAMED_LINES_MAX {
                    note!("{error}");
                }
            }
        }
        if !answer.is_empty() {
            let sent = output.write_all(answer.as_bytes()).and_then(|()| output.flush());
            sent.map_err(Failure::environment)?;
            answer.clear();
        }
        bytes.clear();
    }
    match refused {
        0 => Ok(()),
        _ => Err(Failure::finding(format!("{refused} lines were refused"))),
    }
}

/// The table of forecasts, in the order in which they were asked for.
fn written(asked: &[Origin], forecasts: &Forecasts) -> String {
    let mut text = forecast_heading();
    for origin in asked {
        if let Some(forecast) = forecasts.get(&(origin.series.clone(), origin.time_s)) {
            write_forecast(&mut text, "", &origin.series, &origin.written, forecast);
        }
    }
    text
}

fn forecasts_at(asked: &[Origin], forecasts: &Forecasts) -> usize {
    let found = |origin: &&Origin| forecasts.contains_key(&(origin.series.clone(), origin.time_s));
    asked.iter().filter(found).count()
}

/// How far it is, on a terminal; quiet elsewhere.
struct Bar {
    shown_percent: usize,
    visible: bool,
}

impl Bar {
    fn new() -> Self {
        Self {
            shown_percent: usize::MAX,
            visible: std::io::stderr().is_terminal(),
        }
    }

    fn shows(mut self) -> impl FnMut(usize, usize) {
        move |done, total| {
            let percent = done * 100 / total.max(1);
            if !self.visible || percent == self.shown_percent {
                return;
            }
            self.shown_percent = percent;
            let full = "#".repeat(percent / 2);
            remark(format_args!("\r[{full:<50}] {percent:3} %"));
            if done == total {
                note!();
            }
        }
    }
}

/// The climatology's part of each series: its training part, else what comes before the first origin.
fn set_training_part(series: &mut [Trace], plan: &Plan, meta: Option<&Path>) -> Outcome {
    let metas = meta.map(|path| read(path, read_meta)).transpose()?;
    for trace in series {
        let known = metas.as_ref().and_then(|metas| metas.get(&trace.id));
        let first = plan.origins(&trace.id).first();
        trace.end = match (known, first) {
            (Some(meta), _) => meta.train_steps,
            (None, Some(first)) => trace.times_s.partition_point(|time_s| time_s < first),
            (None, None) => trace.end,
        };
    }
    Ok(())
}

/// A report for machines.
#[derive(Serialize)]
struct Judged {
    metrics: Metrics,
    sums: Sums,
}

fn report(arguments: &BacktestArguments, series: &[Trace], plan: &Plan, forecasts: &Forecasts) -> Outcome {
    let reference = match &arguments.reference {
        Some(file) => read(file, read_forecasts)?,
        None => bulk::run(Kind::SeasonalNaive, &Arc::default(), series, plan, |_, _| {}),
    };
    let sums = score(series, plan, forecasts);
    let metrics = metrics(&sums, &score(series, plan, &reference));
    if metrics.origins == 0.0 {
        return Err(Failure::finding("no origin could be judged")
            .hint("an origin is judged where it has a forecast and the twelve values after it are known"));
    }
    if arguments.format.json {
        return print_json(&Judged { metrics, sums });
    }
    print(&metrics);
    Ok(())
}

fn print(metrics: &Metrics) {
    let number = |value: f64| format!("{value:.3}");
    let events: Vec<Vec<String>> = metrics
        .events
        .iter()
        .zip(["5 min", "15 min", "60 min"])
        .flat_map(|(thresholds, window)| {
            let named = thresholds.iter().zip(["first", "second"]);
            named.map(move |(event, threshold)| {
                let numbers = [event.skill, event.onset_skill, event.calibration_error].map(number);
                [vec![window.to_owned(), threshold.to_owned()], numbers.to_vec()].concat()
            })
        })
        .collect();
    table::print(
        &[
            "window",
            "threshold",
            ">Brier skill",
            ">onset skill",
            ">calibration error",
        ],
        &events,
    );
    say!();
    let targets: Vec<Vec<String>> = metrics
        .targets
        .iter()
        .zip(TARGETS)
        .map(|(target, name)| {
            let numbers = [target.crps, target.pinball99, target.coverage95].map(number);
            [vec![name.to_owned()], numbers.to_vec()].concat()
        })
        .collect();
    table::print(
        &[
            "target",
            ">relative CRPS",
            ">relative pinball .99",
            ">coverage of .95",
        ],
        &targets,
    );
    say!();
    say!("{} origins judged", metrics.origins);
}
