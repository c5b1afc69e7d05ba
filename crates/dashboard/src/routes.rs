//! The addresses of the API and who answers them.
//!
//! Reading is one router, served at both doors; acting is another, at the socket only. Both are declared
//! with their OpenAPI descriptions, so the document cannot name an address that is not served.

use crate::assemble::APPS_WITH_SPARKS;
use crate::backend::{
    Backend, BackendError, CalibrationQuery, Caller, ClockRequest, Control, Done, InspectRequest,
    PlanRequest, ReportQuery, SeriesQuery, StormReport, StormRequest, SwitchReport, SwitchRequest,
};
use crate::problem::Problem;
use crate::shared::Shared;
use crate::view::{
    AppRow, CalibrationView, ContentionRow, EventRow, Explanation, GraphView, HeatView, LeaseRow, MapView,
    PlanView, Report, Series, SkillRow, Sparks, VariantRow, View,
};
use crate::{metrics, page};
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tidegate_types::{AppName, DeclaredEvent};
use utoipa::{IntoParams, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Points of one series: more than any screen has columns.
const MAX_POINTS: u32 = 2_000;
/// A view older than this many seconds means that the loop does not turn.
const STALE_AFTER_S: f64 = 10.0;
/// Longest storm in seconds; a longer one is started again.
const MAX_STORM_S: f64 = 3_600.0;
/// Bytes of a request's body: a policy is a few kilobytes.
const MAX_BODY_BYTES: usize = 1 << 20;

/// What every handler reaches.
#[derive(Clone)]
pub(crate) struct Rooms {
    pub(crate) shared: Shared,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) control: Arc<dyn Control>,
}

type Answer<T> = Result<Json<T>, Problem>;

/// Runs what may block on a thread that may be blocked.
async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Answer<T>
where
    T: Send + 'static,
    E: Into<Problem> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer.map(Json).map_err(Into::into),
        Err(_) => Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "answering this failed; the daemon's log says more",
        )),
    }
}

fn invalid(text: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, text)
}

fn query<T>(given: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    given
        .map(|Query(value)| value)
        .map_err(|error| invalid(error.body_text()))
}

fn body<T>(given: Result<Json<T>, JsonRejection>) -> Result<T, Problem> {
    given
        .map(|Json(value)| value)
        .map_err(|error| invalid(error.body_text()))
}

/// The view as the page polls it: at most 200 apps, without the doctor's report and the map's past, which
/// change seldom and have addresses of their own.
#[utoipa::path(get, path = "/api/v1/view", tag = "read", responses((status = 200, body = View)))]
async fn view(State(rooms): State<Rooms>) -> Json<View> {
    Json(rooms.shared.view().page(APPS_WITH_SPARKS))
}

/// Which apps, and how much of them.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AppsQuery {
    /// Also the recent values of the 200 busiest.
    #[serde(default)]
    sparks: bool,
}

/// All apps, busiest first.
#[utoipa::path(get, path = "/api/v1/apps", tag = "read", params(AppsQuery),
    responses((status = 200, body = Vec<AppRow>), (status = 422, body = Problem)))]
async fn apps(
    State(rooms): State<Rooms>,
    given: Result<Query<AppsQuery>, QueryRejection>,
) -> Answer<Vec<AppRow>> {
    let wanted = query(given)?;
    let mut rows = rooms.shared.view().apps.clone();
    if !wanted.sparks {
        for row in &mut rows {
            row.sparks = Sparks::default();
        }
    }
    Ok(Json(rows))
}

/// The contention map.
#[utoipa::path(get, path = "/api/v1/map", tag = "read", responses((status = 200, body = MapView)))]
async fn map(State(rooms): State<Rooms>) -> Json<MapView> {
    Json(rooms.shared.view().map.clone())
}

/// The recent past of the map.
#[utoipa::path(get, path = "/api/v1/heat", tag = "read", responses((status = 200, body = HeatView)))]
async fn heat(State(rooms): State<Rooms>) -> Json<HeatView> {
    Json(rooms.shared.view().heat.clone())
}

/// What holds, and what is only said.
#[utoipa::path(get, path = "/api/v1/plan", tag = "read", responses((status = 200, body = PlanView)))]
async fn plan(State(rooms): State<Rooms>) -> Json<PlanView> {
    Json(rooms.shared.view().plan.clone())
}

/// Leases that are in effect or ahead.
#[utoipa::path(get, path = "/api/v1/leases", tag = "read", responses((status = 200, body = Vec<LeaseRow>)))]
async fn leases(State(rooms): State<Rooms>) -> Json<Vec<LeaseRow>> {
    Json(rooms.shared.view().plan.leases.clone())
}

/// Leases that ended, newest first.
#[utoipa::path(get, path = "/api/v1/actions", tag = "read", responses((status = 200, body = Vec<LeaseRow>)))]
async fn actions(State(rooms): State<Rooms>) -> Json<Vec<LeaseRow>> {
    Json(rooms.shared.view().actions.clone())
}

/// Contention that was seen, newest first.
#[utoipa::path(get, path = "/api/v1/contention", tag = "read",
    responses((status = 200, body = Vec<ContentionRow>)))]
async fn contention(State(rooms): State<Rooms>) -> Json<Vec<ContentionRow>> {
    Json(rooms.shared.view().contention.clone())
}

/// Variants and their trials, newest first.
#[utoipa::path(get, path = "/api/v1/variants", tag = "read",
    responses((status = 200, body = Vec<VariantRow>)))]
async fn variants(State(rooms): State<Rooms>) -> Json<Vec<VariantRow>> {
    Json(rooms.shared.view().variants.clone())
}

/// How well each unit is foreseen.
#[utoipa::path(get, path = "/api/v1/skill", tag = "read", responses((status = 200, body = Vec<SkillRow>)))]
async fn skill(State(rooms): State<Rooms>) -> Json<Vec<SkillRow>> {
    Json(rooms.shared.view().skill.clone())
}

/// What is used, what is absent and what that costs.
#[utoipa::path(get, path = "/api/v1/doctor", tag = "read", responses((status = 200, body = Object)))]
async fn doctor(State(rooms): State<Rooms>) -> Json<serde_json::Value> {
    Json(rooms.shared.view().doctor.clone())
}

fn explain_from_view(view: &View, id: &str) -> Option<Explanation> {
    if let Some(number) = id.strip_prefix('p') {
        let number: u64 = number.parse().ok()?;
        let row = view.map.rows.iter().find(|row| row.id == number)?;
        return Some(Explanation::of_forecast(row));
    }
    let number: u64 = id.parse().ok()?;
    let mut rows = view.plan.leases.iter().chain(&view.actions);
    rows.find(|row| row.id == number).map(Explanation::of_lease)
}

/// Which prediction, which data, which rule, what happened after: of a lease (`12`) or a prediction (`p34`).
#[utoipa::path(get, path = "/api/v1/explain/{id}", tag = "read",
    params(("id" = String, Path, description = "A lease's number, or `p` and a prediction's number.")),
    responses((status = 200, body = Explanation), (status = 404, body = Problem)))]
async fn explain(State(rooms): State<Rooms>, Path(id): Path<String>) -> Answer<Explanation> {
    blocking(move || match rooms.backend.explain(&id) {
        Ok(explanation) => Ok(explanation),
        Err(error @ BackendError::Invalid { .. }) => Err(error),
        Err(error) => explain_from_view(&rooms.shared.view(), &id).ok_or(error),
    })
    .await
}

/// What was done, or would have been done, over a time.
#[utoipa::path(get, path = "/api/v1/report", tag = "read", params(ReportQuery),
    responses((status = 200, body = Report), (status = 422, body = Problem), (status = 503, body = Problem)))]
async fn report(
    State(rooms): State<Rooms>,
    given: Result<Query<ReportQuery>, QueryRejection>,
) -> Answer<Report> {
    let wanted = query(given)?;
    blocking(move || rooms.backend.report(&wanted)).await
}

fn calibration_query(
    given: Result<Query<CalibrationQuery>, QueryRejection>,
) -> Result<CalibrationQuery, Problem> {
    let wanted = query(given)?;
    if (0.0..=1.0).contains(&wanted.false_alarms) {
        Ok(wanted)
    } else {
        Err(invalid("false_alarms must be within 0 to 1"))
    }
}

/// How far predictions deserve belief: reliability, skill, coverage and lead time per unit, window and model.
#[utoipa::path(get, path = "/api/v1/calibration", tag = "read", params(CalibrationQuery),
    responses((status = 200, body = CalibrationView), (status = 422, body = Problem),
        (status = 503, body = Problem)))]
async fn calibration(
    State(rooms): State<Rooms>,
    given: Result<Query<CalibrationQuery>, QueryRejection>,
) -> Answer<CalibrationView> {
    let wanted = calibration_query(given)?;
    blocking(move || rooms.backend.calibration(&wanted)).await
}

/// The reliability of all units as a picture.
#[utoipa::path(get, path = "/api/v1/calibration.svg", tag = "read", params(CalibrationQuery),
    responses((status = 200, body = String, content_type = "image/svg+xml"), (status = 422, body = Problem),
        (status = 503, body = Problem)))]
async fn calibration_picture(
    State(rooms): State<Rooms>,
    given: Result<Query<CalibrationQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let wanted = calibration_query(given)?;
    let Json(view) = blocking(move || rooms.backend.calibration(&wanted)).await?;
    let picture = crate::calibration::svg(&view);
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], picture).into_response())
}

/// Events that are expected by name: announced, or scheduled by cron tables and timers.
#[utoipa::path(get, path = "/api/v1/expected", tag = "read",
    responses((status = 200, body = Vec<EventRow>), (status = 503, body = Problem)))]
async fn expected(State(rooms): State<Rooms>) -> Answer<Vec<EventRow>> {
    blocking(move || rooms.backend.events()).await
}

/// Which app calls which, and how contention follows along the calls.
#[utoipa::path(get, path = "/api/v1/graph", tag = "read",
    responses((status = 200, body = GraphView), (status = 503, body = Problem)))]
async fn graph(State(rooms): State<Rooms>) -> Answer<GraphView> {
    blocking(move || rooms.backend.graph()).await
}

/// Recorded values of one field of one entity.
#[utoipa::path(get, path = "/api/v1/series", tag = "read", params(SeriesQuery),
    responses((status = 200, body = Series), (status = 404, body = Problem), (status = 422, body = Problem),
        (status = 503, body = Problem)))]
async fn series(
    State(rooms): State<Rooms>,
    given: Result<Query<SeriesQuery>, QueryRejection>,
) -> Answer<Series> {
    let wanted = query(given)?;
    if wanted.from_utc_ms >= wanted.to_utc_ms {
        return Err(invalid("from_utc_ms must be before to_utc_ms"));
    }
    if !(1..=MAX_POINTS).contains(&wanted.points) {
        return Err(invalid(format!("points must be 1 to {MAX_POINTS}")));
    }
    blocking(move || rooms.backend.series(&wanted)).await
}

/// Whether the loop turns.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Health {
    /// `ok`, `stale` (the loop does not turn) or `starting` (it has not turned yet).
    status: String,
    /// Seconds since the last snapshot.
    age_s: f64,
}

/// Whether the loop turns; status 503 where it does not.
#[utoipa::path(get, path = "/api/v1/health", tag = "read",
    responses((status = 200, body = Health), (status = 503, body = Health)))]
async fn health(State(rooms): State<Rooms>) -> (StatusCode, Json<Health>) {
    let published = rooms.shared.published();
    let age_s = published.at.elapsed().as_secs_f64();
    let (code, status) = match () {
        () if published.view.made_utc_ms == 0 => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        () if age_s > STALE_AFTER_S => (StatusCode::SERVICE_UNAVAILABLE, "stale"),
        () => (StatusCode::OK, "ok"),
    };
    let status = status.to_owned();
    (code, Json(Health { status, age_s }))
}

/// Everything for Prometheus, in its text format.
#[utoipa::path(get, path = "/metrics", tag = "read",
    responses((status = 200, body = String, content_type = "text/plain")))]
async fn prometheus(State(rooms): State<Rooms>) -> Response {
    let text = metrics::render(&rooms.shared);
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

/// Gives every lease back and acts no more until resumed.
#[utoipa::path(post, path = "/api/v1/pause", tag = "act",
    responses((status = 200, body = Done), (status = 403, body = Problem)))]
async fn pause(State(rooms): State<Rooms>, Extension(caller): Extension<Caller>) -> Answer<Done> {
    blocking(move || rooms.control.pause(caller)).await
}

/// Goes on.
#[utoipa::path(post, path = "/api/v1/resume", tag = "act",
    responses((status = 200, body = Done), (status = 403, body = Problem)))]
async fn resume(State(rooms): State<Rooms>, Extension(caller): Extension<Caller>) -> Answer<Done> {
    blocking(move || rooms.control.resume(caller)).await
}

/// Reads policy and configuration again.
#[utoipa::path(post, path = "/api/v1/reload", tag = "act",
    responses((status = 200, body = Done), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn reload(State(rooms): State<Rooms>, Extension(caller): Extension<Caller>) -> Answer<Done> {
    blocking(move || rooms.control.reload(caller)).await
}

/// An event to announce.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DeclareRequest {
    /// What it is called.
    name: String,
    /// Whose demand rises.
    app: String,
    /// When it begins, in milliseconds since the Unix epoch.
    at_utc_ms: i64,
    /// How long it lasts, in seconds.
    duration_s: f64,
    /// Seconds between repetitions, where it repeats.
    every_s: Option<f64>,
    /// Expected demand in cores, where it is known.
    cores: Option<f64>,
    /// cron's five fields, where it repeats by the wall clock: from `at_utc_ms` on; `every_s` is then not looked at.
    #[serde(default)]
    schedule: Option<String>,
    /// IANA name of the time zone of `schedule`; the system's where it is absent.
    #[serde(default)]
    zone: Option<String>,
}

/// Which event to take back.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WithdrawRequest {
    /// What it is called.
    name: String,
}

impl DeclareRequest {
    fn checked(self) -> Result<DeclaredEvent, Problem> {
        let positive = |name: &str, value: f64| {
            (value.is_finite() && value > 0.0)
                .then_some(())
                .ok_or_else(|| invalid(format!("{name} must be above 0")))
        };
        positive("duration_s", self.duration_s)?;
        self.every_s.map_or(Ok(()), |value| positive("every_s", value))?;
        self.cores.map_or(Ok(()), |value| positive("cores", value))?;
        if self.name.is_empty() || self.app.is_empty() {
            return Err(invalid("name and app must not be empty"));
        }
        Ok(DeclaredEvent {
            name: self.name.into(),
            app: AppName::new(&self.app),
            at_utc_ms: self.at_utc_ms,
            duration_s: self.duration_s,
            every_s: self.every_s,
            cores: self.cores,
        })
    }
}

/// Announces an event.
#[utoipa::path(post, path = "/api/v1/events", tag = "act", request_body = DeclareRequest,
    responses((status = 200, body = Done), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn declare(
    State(rooms): State<Rooms>,
    Extension(caller): Extension<Caller>,
    given: Result<Json<DeclareRequest>, JsonRejection>,
) -> Answer<Done> {
    let mut request = body(given)?;
    let (schedule, zone) = (request.schedule.take(), request.zone.take());
    let event = request.checked()?;
    blocking(move || match schedule {
        None => rooms.control.declare(caller, event),
        Some(schedule) => {
            let request = ClockRequest {
                event,
                schedule,
                zone,
            };
            rooms.control.declare_by_clock(caller, &request)
        }
    })
    .await
}

/// Takes an announced event back.
#[utoipa::path(post, path = "/api/v1/events/withdraw", tag = "act", request_body = WithdrawRequest,
    responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 422, body = Problem)))]
async fn withdraw(
    State(rooms): State<Rooms>,
    Extension(caller): Extension<Caller>,
    given: Result<Json<WithdrawRequest>, JsonRejection>,
) -> Answer<Done> {
    let request = body(given)?;
    blocking(move || rooms.control.withdraw(caller, &request.name)).await
}

/// Switches functions of a process.
#[utoipa::path(post, path = "/api/v1/switch", tag = "act", request_body = SwitchRequest,
    responses((status = 200, body = SwitchReport), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn switch(
    State(rooms): State<Rooms>,
    Extension(caller): Extension<Caller>,
    given: Result<Json<SwitchRequest>, JsonRejection>,
) -> Answer<SwitchReport> {
    let request = body(given)?;
    blocking(move || rooms.control.switch(caller, &request)).await
}

/// Switches all functions of a process back and forth, for a while.
#[utoipa::path(post, path = "/api/v1/storm", tag = "act", request_body = StormRequest,
    responses((status = 200, body = StormReport), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn storm(
    State(rooms): State<Rooms>,
    Extension(caller): Extension<Caller>,
    given: Result<Json<StormRequest>, JsonRejection>,
) -> Answer<StormReport> {
    let request = body(given)?;
    if !(request.seconds > 0.0 && request.seconds <= MAX_STORM_S) {
        return Err(invalid(format!(
            "seconds must be above 0 and at most {MAX_STORM_S}"
        )));
    }
    blocking(move || rooms.control.storm(caller, &request)).await
}

/// What is switchable in a process, and what is not and why.
#[utoipa::path(get, path = "/api/v1/inspect", tag = "act", params(InspectRequest),
    responses((status = 200, body = Object), (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn inspect(
    State(rooms): State<Rooms>,
    Extension(caller): Extension<Caller>,
    given: Result<Query<InspectRequest>, QueryRejection>,
) -> Answer<serde_json::Value> {
    let request = query(given)?;
    blocking(move || rooms.control.inspect(caller, &request)).await
}

/// What would be planned now under another policy; nothing is written and nothing is loaded.
#[utoipa::path(post, path = "/api/v1/plan", tag = "act", request_body = PlanRequest,
    responses((status = 200, body = PlanView), (status = 403, body = Problem), (status = 422, body = Problem),
        (status = 503, body = Problem)))]
async fn plan_under(
    State(rooms): State<Rooms>,
    given: Result<Json<PlanRequest>, JsonRejection>,
) -> Answer<PlanView> {
    let request = body(given)?;
    blocking(move || rooms.backend.plan(&request)).await
}

async fn not_found(uri: Uri) -> Response {
    if let Some(response) = page::file(&uri) {
        return response;
    }
    Problem::new(StatusCode::NOT_FOUND, format!("nothing is at {}", uri.path()))
        .hint("the addresses are listed in /openapi.json")
        .into_response()
}

async fn not_this_way() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this address does not take this method",
    )
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "tidegate",
        description = "Forecasts of contention on this host, what is done about it, and what became of both. \
            Addresses tagged `act` exist on the control socket only; the TCP port can only be read.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "read", description = "At both doors."),
        (name = "act", description = "On the control socket only, for root and the daemon's own user."),
    )
)]
struct Document;

fn reading() -> OpenApiRouter<Rooms> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(view))
        .routes(routes!(apps))
        .routes(routes!(map))
        .routes(routes!(heat))
        .routes(routes!(plan))
        .routes(routes!(leases))
        .routes(routes!(actions))
        .routes(routes!(contention))
        .routes(routes!(variants))
        .routes(routes!(skill))
        .routes(routes!(doctor))
        .routes(routes!(explain))
        .routes(routes!(report))
        .routes(routes!(graph))
        .routes(routes!(calibration))
        .routes(routes!(calibration_picture))
        .routes(routes!(expected))
        .routes(routes!(series))
        .routes(routes!(health))
        .routes(routes!(prometheus))
}

fn acting() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new()
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(reload))
        .routes(routes!(declare))
        .routes(routes!(withdraw))
        .routes(routes!(switch))
        .routes(routes!(storm))
        .routes(routes!(inspect))
        .routes(routes!(plan_under))
}

/// The OpenAPI 3.1 document of everything that is served, at either door.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = reading().merge(acting()).into_openapi();
    // The binary's version is not part of the contract: the document changes when an address does.
    "1".clone_into(&mut document.info.version);
    document
}

fn finish(router: Router<Rooms>, rooms: Rooms) -> Router {
    let document: Arc<str> = openapi().to_pretty_json().unwrap_or_default().into();
    let served = move || async move {
        let json = [(header::CONTENT_TYPE, "application/json")];
        (json, document.to_string()).into_response()
    };
    router
        .route("/openapi.json", axum::routing::get(served))
        .fallback(not_found)
        .method_not_allowed_fallback(not_this_way)
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(rooms)
}

/// What the TCP port serves.
pub(crate) fn read_only(rooms: Rooms) -> Router {
    finish(reading().split_for_parts().0, rooms)
}

/// What the control socket serves.
pub(crate) fn read_and_act(rooms: Rooms) -> Router {
    finish(reading().merge(acting()).split_for_parts().0, rooms)
}
