//! The words of tidegate as plain data.
//!
//! Every room speaks these types and no room's own: a reader fills a [`Sample`], the forecast turns
//! samples into a [`ContentionMap`], the planner turns the map into a [`Plan`], and what happened to
//! the plan comes back as an [`Event`] of the next [`Input`]. Nothing here does I/O, spawns, or reads
//! a clock, so the same values run live, replayed and in tests.
#![forbid(unsafe_code)]

mod app;
mod contention;
mod entity;
mod field;
mod graph;
mod input;
mod lease;
mod map;
mod plan;
mod sample;
mod time;
mod unit;

pub use app::{
    App, AppName, Apps, Class, Grant, Group, GroupPath, Hierarchy, Managed, Mode, Owner, Range, Resource,
};
pub use contention::{ContentionEvent, Outcome, PeakPlace, Treatment};
pub use entity::{Entity, EntityKind};
pub use field::{Field, FieldSpec, MeasureUnit, ROW_WIDTH};
pub use graph::{Dependency, DependencyOrigin};
pub use input::{
    DeclaredEvent, Event, ExpectedEvent, Input, Notice, Output, Severity, WriteFailure, WriteResult,
};
pub use lease::{Cause, Knob, KnobValue, Lease, LeaseId, Trigger};
pub use map::{
    AppDemand, ContentionMap, Driver, MapEntry, PredictionId, Quantiles, Source, WindowProbability,
};
pub use plan::{Advice, Plan, Recompile, Scenario, Shift, ShiftTarget, Switched, TrialVerdict};
pub use sample::{Row, Sample};
pub use time::{BootTime, Moment};
pub use unit::{Direction, Unit, UnitError};
