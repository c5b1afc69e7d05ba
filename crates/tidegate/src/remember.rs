//! What is known when no daemon answers: its last view, and the store.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use tidegate_dashboard::calibration::{OUTCOMES_MAX, Scored, calibration};
use tidegate_dashboard::{
    Backend, BackendError, CalibrationQuery, CalibrationView, EventRow, Explanation, GraphView, LeaseRow,
    MapRow, PlanRequest, PlanView, Report, ReportQuery, ReportRow, Series, SeriesQuery, Step, View,
};
use tidegate_engine::State;
use tidegate_history::{Action, Decision, Reader};
use tidegate_types::{
    Entity, Event, Field, LeaseId, Moment, Outcome, PredictionId, Switched, Treatment, Unit,
};

/// Bytes of a view file; a larger one is not ours.
const MAX_VIEW_BYTES: u64 = 64 << 20;
/// An alarm: a probability at which an event is expected rather than not.
const ALARM: f64 = 0.5;
/// Maps that `explain` searches for a prediction's own row.
const MAPS_BACK_MS: i64 = 24 * 3_600_000;
const WEEK_MS: i64 = 7 * 24 * 3_600_000;

fn view_path(data: &Path) -> PathBuf {
    data.join("last-view.json")
}

/// Writes the view beside the store, whole or not at all. A disk that refuses costs the fallback only.
pub(crate) fn keep_view(data: &Path, view: &View) {
    let path = view_path(data);
    let draft = path.with_extension("new");
    let written = serde_json::to_vec(view)
        .map_err(std::io::Error::other)
        .and_then(|bytes| std::fs::write(&draft, bytes))
        .and_then(|()| std::fs::rename(&draft, &path));
    if let Err(error) = written {
        tracing::debug!("{}: {error}", path.display());
    }
}

/// The view that a daemon kept last.
pub(crate) fn last_view(data: &Path) -> Option<View> {
    let path = view_path(data);
    let length = std::fs::metadata(&path).ok()?.len();
    (length <= MAX_VIEW_BYTES)
        .then(|| std::fs::read(&path).ok())?
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
}

/// Answers from a store, with or without a daemon beside it.
pub(crate) struct StoreBackend {
    reader: Reader,
}

fn failed(error: &tidegate_history::HistoryError) -> BackendError {
    BackendError::Unavailable(error.to_string())
}

impl StoreBackend {
    /// Looks into the store in the data folder.
    pub(crate) fn open(data: &Path) -> Self {
        Self::new(Reader::open(&crate::place::store(data)))
    }

    pub(crate) fn new(reader: Reader) -> Self {
        Self { reader }
    }

    /// The loop's memory as it was kept last.
    fn last_state(&self) -> Result<State, BackendError> {
        let kept = self.reader.latest_checkpoint().map_err(|error| failed(&error))?;
        let kept = kept.ok_or_else(|| BackendError::Unavailable("nothing was kept yet".to_owned()))?;
        State::restore(&kept.state).map_err(|error| BackendError::Unavailable(error.to_string()))
    }

    fn explain_lease(&self, id: u64) -> Result<Explanation, BackendError> {
        let actions = self
            .reader
            .actions_of_lease(LeaseId(id))
            .map_err(|error| failed(&error))?;
        let action = actions
            .last()
            .ok_or_else(|| BackendError::NotFound(format!("lease {id}")))?;
        Ok(Explanation::of_lease(&self.lease_row(action)?))
    }

    fn lease_row(&self, action: &Action) -> Result<LeaseRow, BackendError> {
        let at = action.dropped.unwrap_or(action.planned);
        let mut row = LeaseRow::new(&action.lease, at);
        if let Some(entry) = &action.prediction {
            row.prediction = Some((&MapRow::new(entry, action.planned)).into());
        }
        for (moment, event) in &action.events {
            if let Event::Written(result) = event {
                row.written(result, *moment);
            }
        }
        let since = action.planned.utc_ms;
        let ours = |outcome: &&Outcome| Some(outcome.prediction) == action.lease.cause.prediction;
        let scored = self.reader.each_outcomes(since, |recorded| {
            for outcome in recorded.outcomes.iter().filter(ours) {
                row.outcome.score(outcome);
            }
        });
        scored.map_err(|error| failed(&error))?;
        Ok(row)
    }

    fn explain_prediction(&self, id: u64) -> Result<Explanation, BackendError> {
        let not_found = || BackendError::NotFound(format!("prediction p{id}"));
        let since = crate::when::now_utc_ms() - MAPS_BACK_MS;
        let maps = self.reader.maps(since).map_err(|error| failed(&error))?;
        let found = maps.iter().rev().find_map(|map| {
            let entry = map.entries.iter().find(|entry| entry.id == PredictionId(id))?;
            Some(MapRow::new(entry, map.made))
        });
        let mut explanation = found
            .as_ref()
            .map(Explanation::of_forecast)
            .ok_or_else(not_found)?;
        let switches = self.switches(|switched| switched.prediction == Some(PredictionId(id)))?;
        explanation.steps.extend(switches);
        Ok(explanation)
    }

    /// Every switch of a process, with the prediction or the condition behind it.
    fn explain_code(&self, process: u32) -> Result<Explanation, BackendError> {
        let steps = self.switches(|switched| switched.pid == process)?;
        if steps.is_empty() {
            return Err(BackendError::NotFound(format!("a switch of process {process}")));
        }
        Ok(Explanation {
            id: format!("code:{process}"),
            title: format!("Code of process {process}"),
            steps,
            ..Explanation::default()
        })
    }

    fn switches(&self, wanted: impl Fn(&Switched) -> bool) -> Result<Vec<Step>, BackendError> {
        let since = crate::when::now_utc_ms() - MAPS_BACK_MS;
        let decisions = self.reader.decisions(since).map_err(|error| failed(&error))?;
        let steps = decisions.iter().filter_map(|recorded| match &recorded.decision {
            Decision::Event(Event::Switched(switched)) if wanted(switched) => Some(Step {
                title: crate::when::clock(recorded.at.utc_ms),
                text: switched.to_string(),
            }),
            _ => None,
        });
        Ok(steps.collect())
    }
}

impl Backend for StoreBackend {
    fn explain(&self, id: &str) -> Result<Explanation, BackendError> {
        let process = id.strip_prefix("code:").and_then(|process| process.parse().ok());
        if let Some(process) = process {
            return self.explain_code(process);
        }
        let (number, is_prediction) = id.strip_prefix('p').map_or((id, false), |rest| (rest, true));
        let number: u64 = number.parse().map_err(|_| BackendError::Invalid {
            text: format!("`{id}` is neither a lease, a prediction nor the code of a process"),
            hint: Some(
                "write the number of a lease, p and the number of a prediction, or code: and the number of a process"
                    .to_owned(),
            ),
        })?;
        if is_prediction {
            self.explain_prediction(number)
        } else {
            self.explain_lease(number)
        }
    }

    fn report(&self, query: &ReportQuery) -> Result<Report, BackendError> {
        let until = query.until_utc_ms.unwrap_or_else(crate::when::now_utc_ms);
        let mut counting = Counting::default();
        for recorded in self
            .reader
            .decisions(query.since_utc_ms)
            .map_err(|error| failed(&error))?
        {
            if recorded.at.utc_ms <= until {
                counting.decision(recorded.at, &recorded.decision);
            }
        }
        let scored = self.reader.each_outcomes(query.since_utc_ms, |recorded| {
            for outcome in recorded.outcomes.iter().filter(|_| recorded.at.utc_ms <= until) {
                counting.outcome(outcome);
            }
        });
        scored.map_err(|error| failed(&error))?;
        let damage = self.reader.damage();
        let remarks = damage
            .iter()
            .map(|damage| format!("{}: {}", damage.path.display(), damage.what))
            .collect();
        Ok(counting.report(query.since_utc_ms, until, remarks))
    }

    fn series(&self, query: &SeriesQuery) -> Result<Series, BackendError> {
        let not_found = || BackendError::NotFound(format!("{} of {}", query.field, query.entity));
        let known = self.reader.entities().map_err(|error| failed(&error))?;
        let entity: Entity = known
            .into_iter()
            .map(|known| known.entity)
            .find(|entity| entity.to_string() == query.entity)
            .ok_or_else(not_found)?;
        let field = Field::by_name(entity.kind(), &query.field).ok_or_else(not_found)?;
        let points = self
            .reader
            .series(&entity, field, query.from_utc_ms..query.to_utc_ms, None)
            .map_err(|error| failed(&error))?;
        let per_point = points.len().div_ceil(query.points.max(1) as usize).max(1);
        let mut series = Series {
            entity: query.entity.clone(),
            field: query.field.clone(),
            unit: field.spec().unit.suffix().to_owned(),
            ..Series::default()
        };
        for group in points.chunks(per_point) {
            let mean = group.iter().map(|point| point.mean).sum::<f64>() / group.len() as f64;
            let maximum = group
                .iter()
                .map(|point| point.max)
                .fold(f64::NEG_INFINITY, f64::max);
            series.at_utc_ms.push(group[0].utc_ms);
            series.mean.push(mean.is_finite().then_some(mean));
            series.maximum.push(maximum.is_finite().then_some(maximum));
        }
        Ok(series)
    }

    fn calibration(&self, query: &CalibrationQuery) -> Result<CalibrationView, BackendError> {
        let week_back = || crate::when::now_utc_ms() - WEEK_MS;
        let since = query.since_utc_ms.unwrap_or_else(week_back);
        let mut newest: VecDeque<Scored> = VecDeque::new();
        let scored = self.reader.each_outcomes(since, |recorded| {
            let at = recorded.at;
            newest.extend(recorded.outcomes.into_iter().map(|outcome| Scored {
                made_utc_ms: at.utc_ms_of(outcome.made),
                outcome,
            }));
            newest.drain(..newest.len().saturating_sub(OUTCOMES_MAX));
        });
        scored.map_err(|error| failed(&error))?;
        let mut begins: BTreeMap<Unit, Vec<i64>> = BTreeMap::new();
        for (at, event) in self.reader.contention(since).map_err(|error| failed(&error))? {
            // It is recorded when it begins and again when it ends.
            if event.end.is_some() && event.treatment == Treatment::Untreated {
                begins
                    .entry(event.unit)
                    .or_default()
                    .push(at.utc_ms_of(event.begin));
            }
        }
        for begins in begins.values_mut() {
            begins.sort_unstable();
        }
        Ok(calibration(newest.make_contiguous(), &begins, query.false_alarms))
    }

    fn events(&self) -> Result<Vec<EventRow>, BackendError> {
        Ok(crate::edges::events(
            &self.last_state()?,
            crate::when::now_utc_ms(),
        ))
    }

    fn graph(&self) -> Result<GraphView, BackendError> {
        Ok(crate::edges::graph(&self.last_state()?))
    }

    fn plan(&self, _request: &PlanRequest) -> Result<PlanView, BackendError> {
        Err(BackendError::Unavailable(
            "a plan under another policy needs the daemon".to_owned(),
        ))
    }
}

/// Counts for `report`, by unit.
#[derive(Default)]
struct Counting {
    units: std::collections::BTreeMap<String, ReportRow>,
    variants_kept: u64,
    bases_kept: u64,
}

impl Counting {
    fn row(&mut self, unit: &str) -> &mut ReportRow {
        let fresh = || ReportRow {
            unit: unit.to_owned(),
            ..ReportRow::default()
        };
        self.units.entry(unit.to_owned()).or_insert_with(fresh)
    }

    fn decision(&mut self, _at: Moment, decision: &Decision) {
        match decision {
            Decision::Planned { lease, .. } => self.row(&lease.cause.unit.to_string()).acted += 1,
            Decision::Advice(advice) => self.row(&advice.unit.to_string()).advised += 1,
            // An event is recorded when it begins and again when it ends; its end is the one that counts.
            Decision::Contention(event) if event.end.is_some() => {
                self.row(&event.unit.to_string()).events += 1;
            }
            Decision::Event(Event::Trial(verdict)) if verdict.kept => self.variants_kept += 1,
            Decision::Event(Event::Trial(_)) => self.bases_kept += 1,
            _ => {}
        }
    }

    /// The shortest window speaks for a prediction: longer ones contain it.
    fn outcome(&mut self, outcome: &Outcome) {
        const SHORTEST_WINDOW_S: u32 = 60;
        if outcome.window_s != SHORTEST_WINDOW_S {
            return;
        }
        let row = self.row(&outcome.unit.to_string());
        match (outcome.happened, outcome.treatment) {
            (None, _) | (_, Treatment::Unknown) => row.unknown += 1,
            (Some(true), _) if outcome.probability >= ALARM => row.hits += 1,
            (Some(true), _) => row.misses += 1,
            (Some(false), _) if outcome.probability >= ALARM => row.false_alarms += 1,
            (Some(false), _) => {}
        }
    }

    fn report(self, since_utc_ms: i64, until_utc_ms: i64, remarks: Vec<String>) -> Report {
        let mut total = ReportRow {
            unit: "all".to_owned(),
            ..ReportRow::default()
        };
        for row in self.units.values() {
            total.events += row.events;
            total.acted += row.acted;
            total.advised += row.advised;
            total.hits += row.hits;
            total.misses += row.misses;
            total.false_alarms += row.false_alarms;
            total.unknown += row.unknown;
        }
        Report {
            since_utc_ms,
            until_utc_ms,
            total,
            units: self.units.into_values().collect(),
            variants_kept: self.variants_kept,
            bases_kept: self.bases_kept,
            remarks,
        }
    }
}
