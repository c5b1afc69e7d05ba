//! A whole backtest at once: every series followed from its first value, a forecast at every origin.
//!
//! A model sees a value only after every forecast from before it was made; that is all there is to it.

use super::table::{Forecasts, Origin};
use super::traces::TableError;
use crate::models::calendar::Calendar;
use crate::models::host::Host;
use crate::models::trained::Trained;
use crate::models::training::Trace;
use crate::models::{Chances, Kind, THRESHOLDS};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Origins by series and time.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    asked: BTreeMap<String, Vec<i64>>,
    /// The thresholds of each series.
    pub thresholds: BTreeMap<String, [f64; THRESHOLDS]>,
    /// Local time and holidays of all series; UTC unless set.
    pub calendar: Arc<Calendar>,
}

impl Plan {
    /// Sorts origins to their series. Refused, with the line: an origin whose series or time is not in `traces`, one
    /// that was there before, thresholds other than those of the series' first origin.
    pub fn new(traces: &[Trace], origins: &[Origin]) -> Result<Self, TableError> {
        let known: BTreeMap<&str, &Trace> = traces.iter().map(|trace| (trace.id.as_str(), trace)).collect();
        let mut plan = Self::default();
        for origin in origins {
            let wrong = |problem: String| TableError {
                line: origin.line,
                problem,
            };
            let id = &origin.series;
            let trace = known
                .get(id.as_str())
                .ok_or_else(|| wrong(format!("the series {id} has no values")))?;
            if trace.times_s.binary_search(&origin.time_s).is_err() {
                return Err(wrong(format!(
                    "the series {id} has no value at {}",
                    origin.written
                )));
            }
            let first = plan.thresholds.entry(id.clone()).or_insert(origin.thresholds);
            if *first != origin.thresholds {
                return Err(wrong(format!(
                    "the thresholds differ from those of the first origin of {id}"
                )));
            }
            plan.asked.entry(id.clone()).or_default().push(origin.time_s);
        }
        for (id, times_s) in &mut plan.asked {
            times_s.sort_unstable();
            if let Some(twice) = times_s.windows(2).find(|pair| pair[0] == pair[1]) {
                let again = origins
                    .iter()
                    .rfind(|origin| origin.series == *id && origin.time_s == twice[0]);
                return Err(TableError {
                    line: again.map_or(1, |origin| origin.line),
                    problem: format!("the origin of {id} was there before"),
                });
            }
        }
        Ok(plan)
    }

    /// When forecasts of a series are wanted, in order.
    pub fn origins(&self, id: &str) -> &[i64] {
        self.asked.get(id).map_or(&[], Vec::as_slice)
    }
}

/// How sure the chances of forecasts are, by series and origin.
pub type Confidences = BTreeMap<(String, i64), Chances>;

/// Runs `kind` over all series that have origins, in one order of time as a host would see them; `progress` is told the
/// number of values that were taken in, and of those there are. Origins whose value is missing have no forecast.
pub fn run(
    kind: Kind,
    trained: &Arc<Trained>,
    traces: &[Trace],
    plan: &Plan,
    progress: impl FnMut(usize, usize),
) -> Forecasts {
    run_sure(kind, trained, traces, plan, progress).0
}

/// [`run`], and how sure each forecast is, of models that say it.
pub fn run_sure(
    kind: Kind,
    trained: &Arc<Trained>,
    traces: &[Trace],
    plan: &Plan,
    mut progress: impl FnMut(usize, usize),
) -> (Forecasts, Confidences) {
    let wanted = |trace: &&Trace| plan.asked.contains_key(&trace.id);
    let mut traces: Vec<&Trace> = traces.iter().filter(wanted).collect();
    traces.sort_by(|left, right| left.id.cmp(&right.id));
    let mut host = Host::new(kind, Arc::clone(trained));
    host.set_calendar(Arc::clone(&plan.calendar));
    let mut steps = Vec::new();
    for trace in &traces {
        let place = host.add(trace.step_s, plan.thresholds[&trace.id]);
        steps.extend(
            trace
                .times_s
                .iter()
                .enumerate()
                .map(|(step, time_s)| (*time_s, place, step)),
        );
    }
    steps.sort_unstable();
    let (mut forecasts, mut confidences) = (Forecasts::new(), Confidences::new());
    for (done, (time_s, place, step)) in steps.iter().enumerate() {
        let trace = traces[*place];
        for (minute_s, value) in trace.minutes_of(*step) {
            host.observe_fine(*place, *minute_s, *value);
        }
        // Times rise within a trace; a model has nothing to object to.
        if host.observe(*place, *time_s, trace.values[*step]).is_ok()
            && plan.origins(&trace.id).binary_search(time_s).is_ok()
            && let Some(forecast) = host.forecast(*place)
        {
            let origin = (trace.id.clone(), *time_s);
            if let Some(confidence) = host.confidence(*place) {
                confidences.insert(origin.clone(), confidence);
            }
            forecasts.insert(origin, forecast);
        }
        progress(done + 1, steps.len());
    }
    (forecasts, confidences)
}
