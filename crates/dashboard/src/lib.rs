//! The dashboard room: what tidegate knows, shown over HTTP.
//!
//! The daemon folds each tick into a [`View`] (by [`Assembler`]) and publishes it; this room's own thread
//! answers everybody who asks, so a slow browser never delays a sample. There are two doors with one read
//! API: a loopback TCP port that can only be read, and a unix socket whose callers the kernel names, where
//! the acting verbs are. The rows that the API answers with are the rows that the command line prints.
//!
//! It does not measure, decide or act: what the view does not hold is asked of a [`Backend`], and what
//! changes something is handed to a [`Control`], both given by the binary.
#![forbid(unsafe_code)]

mod assemble;
mod backend;
pub mod calibration;
pub mod client;
mod door;
mod guard;
mod metrics;
mod page;
mod problem;
mod routes;
mod server;
mod shared;
mod view;
mod words;

pub use assemble::{Assembler, HostState};
pub use backend::{
    Backend, BackendError, CalibrationQuery, Caller, ClockRequest, Control, ControlError, Done,
    InspectRequest, NoBackend, NoControl, PlanRequest, ReportQuery, SeriesQuery, StormReport, StormRequest,
    SwitchReport, SwitchRequest,
};
pub use metrics::metric_name;
pub use problem::Problem;
pub use routes::openapi;
pub use server::{ServeConfig, ServeError, Server, serve};
pub use shared::Shared;
pub use view::*;
