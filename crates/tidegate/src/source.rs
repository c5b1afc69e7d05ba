//! Where a read verb gets its answer: the daemon, else what the daemon left in the store.

use crate::failure::{Failure, Status};
use crate::out::note;
use crate::place::Folders;
use crate::{remember, when};
use tidegate_dashboard::client::{Client, ClientError, encode};
use tidegate_dashboard::{
    AppRow, Backend, BackendError, CalibrationQuery, CalibrationView, EventRow, Explanation, GraphView,
    Report, ReportQuery, View,
};

/// An open source of answers.
pub(crate) enum Source {
    /// The daemon that runs now.
    Daemon(Client),
    /// The last view that a daemon left, and its store.
    Store(Box<View>, remember::StoreBackend),
}

/// A failure of the daemon's answer, with its hint: what is not there is a finding, what was asked wrongly is usage.
pub(crate) fn client_failure(error: &ClientError) -> Failure {
    let status = match error {
        ClientError::Refused(problem) => status_of(problem.status),
        _ => Status::Environment,
    };
    let failure = Failure::chain(status, error);
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn status_of(http: u16) -> Status {
    match http {
        404 => Status::Finding,
        400 | 413 | 422 => Status::Usage,
        _ => Status::Environment,
    }
}

fn backend_failure(error: &BackendError) -> Failure {
    match error {
        BackendError::NotFound(_) => Failure::new(Status::Finding, error),
        BackendError::Invalid { hint: Some(hint), .. } => Failure::usage(error).hint(hint),
        BackendError::Invalid { hint: None, .. } => Failure::usage(error),
        BackendError::Unavailable(_) => Failure::environment(error),
    }
}

impl Source {
    /// The daemon, where one answers; else the store, said on standard error.
    pub(crate) fn open(folders: &Folders) -> Result<Self, Failure> {
        let client = Client::new(&folders.socket());
        match client.get::<serde_json::Value>("/api/v1/health") {
            Err(error @ ClientError::NotRunning { .. }) => Self::from_store(folders, &error),
            Err(error @ ClientError::NotAllowed { .. }) => Err(client_failure(&error)),
            _ => Ok(Self::Daemon(client)),
        }
    }

    fn from_store(folders: &Folders, error: &ClientError) -> Result<Self, Failure> {
        let view = remember::last_view(&folders.data).ok_or_else(|| client_failure(error))?;
        note!(
            "the daemon is not running; this is what it knew at {}",
            when::local(view.made_utc_ms)
        );
        Ok(Self::Store(
            Box::new(view),
            remember::StoreBackend::open(&folders.data),
        ))
    }

    /// Everything that the page shows.
    pub(crate) fn view(&self) -> Result<View, Failure> {
        match self {
            Self::Daemon(client) => client.get("/api/v1/view").map_err(|error| client_failure(&error)),
            Self::Store(view, _) => Ok(view.as_ref().clone()),
        }
    }

    /// Every app; the view has the busiest only.
    pub(crate) fn apps(&self) -> Result<Vec<AppRow>, Failure> {
        match self {
            Self::Daemon(client) => client
                .get("/api/v1/apps?sparks=true")
                .map_err(|error| client_failure(&error)),
            Self::Store(view, _) => Ok(view.apps.clone()),
        }
    }

    /// Why a lease or a prediction.
    pub(crate) fn explain(&self, id: &str) -> Result<Explanation, Failure> {
        match self {
            Self::Daemon(client) => {
                let target = format!("/api/v1/explain/{}", encode(id));
                client.get(&target).map_err(|error| client_failure(&error))
            }
            Self::Store(_, backend) => backend.explain(id).map_err(|error| backend_failure(&error)),
        }
    }

    /// How far predictions deserve belief.
    pub(crate) fn calibration(&self, query: &CalibrationQuery) -> Result<CalibrationView, Failure> {
        match self {
            Self::Daemon(client) => {
                let since = query.since_utc_ms.unwrap_or_default();
                let target = format!(
                    "/api/v1/calibration?since_utc_ms={since}&false_alarms={}",
                    query.false_alarms
                );
                client.get(&target).map_err(|error| client_failure(&error))
            }
            Self::Store(_, backend) => backend
                .calibration(query)
                .map_err(|error| backend_failure(&error)),
        }
    }

    /// Events that are expected by name.
    pub(crate) fn events(&self) -> Result<Vec<EventRow>, Failure> {
        match self {
            Self::Daemon(client) => client
                .get("/api/v1/expected")
                .map_err(|error| client_failure(&error)),
            Self::Store(_, backend) => backend.events().map_err(|error| backend_failure(&error)),
        }
    }

    /// Which app calls which.
    pub(crate) fn graph(&self) -> Result<GraphView, Failure> {
        match self {
            Self::Daemon(client) => client
                .get("/api/v1/graph")
                .map_err(|error| client_failure(&error)),
            Self::Store(_, backend) => backend.graph().map_err(|error| backend_failure(&error)),
        }
    }

    /// What was done since a moment.
    pub(crate) fn report(&self, query: &ReportQuery) -> Result<Report, Failure> {
        match self {
            Self::Daemon(client) => {
                let target = format!("/api/v1/report?since_utc_ms={}", query.since_utc_ms);
                client.get(&target).map_err(|error| client_failure(&error))
            }
            Self::Store(_, backend) => backend.report(query).map_err(|error| backend_failure(&error)),
        }
    }
}
