//! What the API asks of the daemon: answers from the store, plans under another policy, and acts.

use super::Message;
use super::calendar::{Order, Recurring};
use crate::remember::StoreBackend;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidegate_dashboard::{
    Backend, BackendError, CalibrationQuery, CalibrationView, Caller, ClockRequest, Control, ControlError,
    Done, EventRow, Explanation, GraphView, InspectRequest, PlanRequest, PlanView, Report, ReportQuery,
    Series, SeriesQuery, StormReport, StormRequest, SwitchReport, SwitchRequest,
};
use tidegate_engine::{State, tick};
use tidegate_plan::policy;
use tidegate_telemetry::next_by_cron;
use tidegate_types::{DeclaredEvent, Event, Input};
use tidegate_variants::client::{Answer, Command, execute};
use tidegate_variants::inspect::inspect_process;
use tidegate_variants::switchboard::Switchboard;

/// How long a reload may take before the caller hears that it did not.
const RELOAD_PATIENCE: Duration = Duration::from_secs(5);
const MINUTE_MS: i64 = 60_000;

/// The daemon as the API sees it.
pub(crate) struct Answers {
    pub(crate) calendar: SyncSender<Order>,
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) store: StoreBackend,
    pub(crate) outbox: SyncSender<Message>,
    pub(crate) board: Option<Switchboard>,
}

impl Backend for Answers {
    fn explain(&self, id: &str) -> Result<Explanation, BackendError> {
        self.store.explain(id)
    }

    fn report(&self, query: &ReportQuery) -> Result<Report, BackendError> {
        self.store.report(query)
    }

    fn series(&self, query: &SeriesQuery) -> Result<Series, BackendError> {
        self.store.series(query)
    }

    fn graph(&self) -> Result<GraphView, BackendError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(crate::edges::graph(&state))
    }

    /// From the store, with the standing that units have now.
    fn calibration(&self, query: &CalibrationQuery) -> Result<CalibrationView, BackendError> {
        let mut view = self.store.calibration(query)?;
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let scores = state.forecaster().scores();
        for row in &mut view.rows {
            let unit = row.unit.as_deref();
            row.demoted = scores
                .iter()
                .any(|score| score.demoted && unit == Some(score.unit.to_string().as_str()));
        }
        Ok(view)
    }

    fn events(&self) -> Result<Vec<EventRow>, BackendError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(crate::edges::events(&state, crate::when::now_utc_ms()))
    }

    /// Runs one tick of a copy of the state under the policy that was given; nothing comes of it.
    fn plan(&self, request: &PlanRequest) -> Result<PlanView, BackendError> {
        policy::parse(&request.policy, &request.file_name).map_err(|error| BackendError::Invalid {
            text: error.to_string(),
            hint: None,
        })?;
        let mut copy = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let now = super::sampler::now();
        let adopt = Event::PolicyChanged(request.policy.as_str().into());
        let output = tick(
            &mut copy,
            &Input {
                now,
                events: vec![adopt],
                sample: None,
            },
        );
        Ok(PlanView::new(&output.plan, now))
    }
}

impl Answers {
    fn tell(&self, event: Event, done: &str) -> Result<Done, ControlError> {
        self.outbox
            .try_send(Message::Events(vec![event]))
            .map_err(|_| ControlError::Failed("the daemon is too busy to listen; try again".to_owned()))?;
        Ok(Done::new(done))
    }

    fn command(&self, caller: Caller, command: &Command) -> Result<Answer, ControlError> {
        let board = self.board.as_ref().ok_or_else(|| {
            ControlError::Failed("no program can be switched here; `tidegate doctor` says why".to_owned())
        })?;
        match execute(board, caller.uid, command) {
            Ok(Answer::Failed { error }) => Err(ControlError::Failed(error)),
            Ok(answer) => Ok(answer),
            Err(error) => Err(ControlError::Failed(error.to_string())),
        }
    }
}

impl Control for Answers {
    fn pause(&self, _caller: Caller) -> Result<Done, ControlError> {
        self.tell(
            Event::Paused,
            "paused: everything is given back until `tidegate resume`",
        )
    }

    fn resume(&self, _caller: Caller) -> Result<Done, ControlError> {
        self.tell(Event::Resumed, "going on")
    }

    fn reload(&self, _caller: Caller) -> Result<Done, ControlError> {
        let (answer, answered) = sync_channel(1);
        self.outbox
            .try_send(Message::Reload(Some(answer)))
            .map_err(|_| ControlError::Failed("the daemon is too busy to listen; try again".to_owned()))?;
        match answered.recv_timeout(RELOAD_PATIENCE) {
            Ok(Ok(text)) => Ok(Done::new(text)),
            Ok(Err(error)) => Err(ControlError::Invalid(error)),
            Err(_) => Err(ControlError::Failed(
                "the daemon did not answer in time".to_owned(),
            )),
        }
    }

    fn declare(&self, _caller: Caller, event: DeclaredEvent) -> Result<Done, ControlError> {
        let text = format!("`{}` of {} is announced", event.name, event.app);
        self.tell(Event::Declared(event), &text)
    }

    fn declare_by_clock(&self, _caller: Caller, request: &ClockRequest) -> Result<Done, ControlError> {
        let event = first_by_clock(request, crate::when::now_utc_ms())?;
        let text = format!("`{}` of {} is announced, again and again", event.name, event.app);
        let recurring = Recurring {
            event,
            schedule: request.schedule.clone(),
            zone: request.zone.clone(),
        };
        self.calendar
            .try_send(Order::Add(recurring))
            .map_err(|_| ControlError::Failed("the daemon is too busy to listen; try again".to_owned()))?;
        Ok(Done::new(text))
    }

    fn withdraw(&self, _caller: Caller, name: &str) -> Result<Done, ControlError> {
        let known = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state
                .forecaster()
                .events()
                .0
                .iter()
                .any(|event| *event.name == *name)
        };
        if !known {
            return Err(ControlError::NotFound(format!("the event `{name}`")));
        }
        let _ = self.calendar.try_send(Order::Remove(name.to_owned()));
        self.tell(
            Event::Withdrawn(name.into()),
            &format!("`{name}` is no longer announced"),
        )
    }

    fn switch(&self, caller: Caller, request: &SwitchRequest) -> Result<SwitchReport, ControlError> {
        let command = Command::Switch {
            process: request.pid,
            function: request.function.clone(),
            to: request.to.clone(),
        };
        match self.command(caller, &command)? {
            Answer::Switched {
                functions, refused, ..
            } => Ok(SwitchReport {
                switched: vec![format!("{functions} functions")],
                refused: refused
                    .into_iter()
                    .map(|(function, why)| format!("{function}: {why}"))
                    .collect(),
            }),
            other => Err(ControlError::Failed(format!("unexpected answer {other:?}"))),
        }
    }

    fn storm(&self, caller: Caller, request: &StormRequest) -> Result<StormReport, ControlError> {
        let command = Command::Storm {
            process: request.pid,
            duration_s: request.seconds,
        };
        match self.command(caller, &command)? {
            Answer::Storm { report, .. } => Ok(StormReport {
                functions: report.functions.into(),
                switches: report.switches,
                failures: report.failures,
            }),
            other => Err(ControlError::Failed(format!("unexpected answer {other:?}"))),
        }
    }

    fn inspect(&self, _caller: Caller, request: &InspectRequest) -> Result<serde_json::Value, ControlError> {
        let inspection =
            inspect_process(request.pid).map_err(|error| ControlError::NotFound(error.to_string()))?;
        serde_json::to_value(inspection).map_err(|error| ControlError::Failed(error.to_string()))
    }
}

/// The first occurrence of what repeats by the clock: after now, and in or after the minute that its event names.
fn first_by_clock(request: &ClockRequest, now_utc_ms: i64) -> Result<DeclaredEvent, ControlError> {
    let named = request.event.at_utc_ms;
    // Schedules know minutes only, and look for what comes after a moment.
    let before_named = named.saturating_sub(named.rem_euclid(MINUTE_MS) + 1);
    let after = now_utc_ms.max(before_named);
    let next = next_by_cron(&request.schedule, request.zone.as_deref(), after)
        .map_err(ControlError::Invalid)?
        .ok_or_else(|| ControlError::Invalid(format!("`{}` never comes", request.schedule)))?;
    Ok(DeclaredEvent {
        at_utc_ms: next,
        every_s: None,
        ..request.event.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::when::moment_utc_ms;

    fn check(at: &str, schedule: &str, expect: &str) {
        let moment = |text: &str| moment_utc_ms(text, 0).expect("a moment");
        let request = ClockRequest {
            event: DeclaredEvent {
                name: "opening".into(),
                app: tidegate_types::AppName::new("shop"),
                at_utc_ms: moment(at),
                duration_s: 600.0,
                every_s: Some(86_400.0),
                cores: None,
            },
            schedule: schedule.to_owned(),
            zone: Some("Europe/Berlin".to_owned()),
        };
        let first = first_by_clock(&request, moment("2026-11-24T12:00:00Z")).expect("it comes");
        assert_eq!((first.at_utc_ms, first.every_s), (moment(expect), None), "{at}");
    }

    #[test]
    fn what_repeats_by_the_clock_begins_when_it_was_told_to() {
        check("2026-12-24T07:00:00Z", "0 8 * * *", "2026-12-24T07:00:00Z");
        check("2026-12-24T07:00:30Z", "0 8 * * *", "2026-12-24T07:00:00Z");
        check("2026-12-24T07:01:00Z", "0 8 * * *", "2026-12-25T07:00:00Z");
        check("2026-11-01T07:00:00Z", "0 8 * * *", "2026-11-25T07:00:00Z");
        check("2026-11-24T12:00:00Z", "0 13 * * *", "2026-11-25T12:00:00Z");
    }
}
