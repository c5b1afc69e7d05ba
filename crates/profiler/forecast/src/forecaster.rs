//! The state of the forecast, and its one way in and out.

use crate::calibrate::Calibration;
use crate::code::SwitchedCode;
use crate::config::ForecastConfig;
use crate::declared::Calendar;
use crate::demand::AppDemand;
use crate::drivers::Drivers;
use crate::events::{Label, Reading};
use crate::features::Wall;
use crate::kin::{self, Gone};
use crate::map::{About, CALIBRATIONS, Shared, entry};
use crate::model::{EventModel, Logistic, Model};
use crate::models::calendar::Calendar as LocalTime;
use crate::models::peaks::PeakModel;
use crate::readings::{Reader, held_from_above, in_effect};
use crate::report::{DependencyReport, UnitScore};
use crate::score::{Evidence, Judged, Lesson, Reliability, Standing, tabulate};
use crate::signs::Signs;
use crate::sums::{Asked, Sums};
use crate::unit::UnitState;
use crate::usage::{self, ModelReport, Usage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_types::{
    App, AppName, Apps, ContentionEvent, ContentionMap, DeclaredEvent, Dependency, DependencyOrigin, Entity,
    ExpectedEvent, Knob, Lease, Moment, Notice, Outcome, Resource, Sample, Severity, Switched, Treatment,
    Unit,
};

/// Samples further apart than this leave a gap between them.
const GAP_S: f64 = 5.0;
/// Units that are remembered, those of apps that are gone included; see [`crate::UNIT_STATE_BYTES_MAX`] for each.
pub const UNITS_MAX: usize = 16_384;
/// Apps whose demand is remembered.
pub const APPS_MAX: usize = 16_384;
/// Outcomes and notices that nobody took.
const OUTCOMES_MAX: usize = 200_000;
const NOTICES_MAX: usize = 1_000;
/// Seconds between clearing out what is too old.
const FORGET_EVERY_S: f64 = 60.0;

/// Everything that the forecast remembers. Serialisable, so that a checkpoint and the same samples give
/// the same maps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecaster {
    config: ForecastConfig,
    units: BTreeMap<Unit, UnitState>,
    demands: BTreeMap<AppName, AppDemand>,
    calendar: Calendar,
    local_time: Arc<LocalTime>,
    /// Seconds that local time was ahead of UTC at the last sample.
    #[serde(default)]
    ahead_s: Option<i64>,
    signs: Signs,
    sums: Sums,
    #[serde(default)]
    code: SwitchedCode,
    gone: Gone,
    model: Model,
    usage: Usage,
    calibrations: [Calibration; CALIBRATIONS],
    untreated: Reliability,
    treated: Reliability,
    next_prediction: u64,
    last: Option<Moment>,
    forgotten_s: f64,
    outcomes: Vec<Outcome>,
    notices: Vec<Notice>,
}

impl Forecaster {
    /// A forecaster that has seen nothing.
    pub fn new(mut config: ForecastConfig) -> Self {
        config.windows_s.sort_unstable();
        Self {
            model: Model::Logistic(Logistic::new(config.windows_s)),
            config,
            units: BTreeMap::new(),
            demands: BTreeMap::new(),
            usage: Usage::default(),
            calendar: Calendar::default(),
            local_time: Arc::default(),
            ahead_s: None,
            signs: Signs::default(),
            sums: Sums::default(),
            code: SwitchedCode::default(),
            gone: Gone::default(),
            calibrations: Default::default(),
            untreated: Reliability::default(),
            treated: Reliability::default(),
            next_prediction: 1,
            last: None,
            forgotten_s: 0.0,
            outcomes: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Takes one sample in; returns contention that began or ended with it. `active_leases` are those that were
    /// in effect at any time since the sample before, with the values they found.
    pub fn observe(&mut self, sample: &Sample, apps: &Apps, active_leases: &[Lease]) -> Vec<ContentionEvent> {
        let mut events = Vec::new();
        let now_s = sample.now.boot.seconds();
        if let Some(last) = self.last {
            let since_s = sample.now.boot.seconds_since(last.boot);
            if !(0.0..=GAP_S).contains(&since_s) {
                events.extend(self.close_gap(sample.now));
            }
        }
        self.last = Some(sample.now);
        self.follow_the_wall(sample.now);
        self.observe_demand(sample, apps, active_leases);
        let interval_s = sample.interval_s.clamp(0.0, GAP_S);
        self.sums.observe(sample, apps, &self.demands, interval_s);
        self.signs
            .observe(&self.demands, apps, &mut self.units, sample.now, interval_s);
        self.notices.extend(self.signs.remarks(apps, now_s));
        let wall = Wall::new(&self.local_time, sample.now.utc_ms);
        let readings = Reader::new(sample, apps, &self.demands, active_leases)
            .with_code(&self.code)
            .read();
        for reading in &readings {
            if !self.units.contains_key(&reading.unit) && self.units.len() >= UNITS_MAX {
                self.drop_oldest_unit();
            }
            if !self.units.contains_key(&reading.unit) {
                let state = self.begin_unit(reading, apps, now_s - interval_s);
                self.units.insert(reading.unit.clone(), state);
            }
            let Some(state) = self.units.get_mut(&reading.unit) else {
                continue;
            };
            events.extend(state.observe(reading, sample.now, wall, interval_s));
        }
        for (unit, state) in &mut self.units {
            if state.read_s != now_s {
                events.extend(state.lost(unit, now_s));
            }
        }
        self.signs.learn(&events, &mut self.units, sample.now);
        self.judge(now_s);
        if now_s - self.forgotten_s >= FORGET_EVERY_S {
            self.forgotten_s = now_s;
            self.units.values_mut().for_each(|state| state.forget(now_s));
            self.calendar.forget(sample.now.utc_ms);
        }
        events
    }

    fn begin_unit(&self, reading: &Reading, apps: &Apps, known_s: f64) -> UnitState {
        let mut state = UnitState::known_from(known_s);
        if let Some(start) = kin::start(reading, apps, &self.units) {
            state.begin_like(start);
        }
        state
    }

    fn observe_demand(&mut self, sample: &Sample, apps: &Apps, leases: &[Lease]) {
        for row in &sample.rows {
            let Entity::App(name) = &row.entity else { continue };
            if !apps.contains_key(name) {
                continue;
            }
            if !self.demands.contains_key(name) && self.demands.len() >= APPS_MAX {
                // One that is gone makes room.
                let gone = self.demands.keys().find(|known| !apps.contains_key(*known));
                let Some(gone) = gone.cloned() else { continue };
                self.demands.remove(&gone);
            }
            let under_lease = leases.iter().any(|lease| {
                lease.app == *name && lease.asked.knob() == Knob::CpuMax && in_effect(lease, sample)
            });
            let held = held_from_above(sample, apps, name);
            let demand = self.demands.entry(name.clone()).or_default();
            demand.observe(row, sample.interval_s, held, under_lease);
        }
    }

    fn drop_oldest_unit(&mut self) {
        let oldest = self
            .units
            .iter()
            .min_by(|left, right| left.1.read_s.total_cmp(&right.1.read_s));
        if let Some(unit) = oldest.map(|(unit, _)| unit.clone()) {
            self.units.remove(&unit);
            self.notice(
                Severity::Info,
                format!("{UNITS_MAX} units are remembered: {unit} was forgotten"),
            );
        }
    }

    fn judge(&mut self, now_s: f64) {
        let mut said = Vec::new();
        let mut outcomes = Vec::new();
        for (unit, state) in &mut self.units {
            let mut judged = Judged::default();
            state.scorer.judge(
                unit,
                now_s,
                self.config.windows_s,
                &state.timeline,
                state.named(),
                &mut judged,
            );
            for lesson in &judged.lessons {
                learn(&mut self.model, &mut self.calibrations, lesson);
                let words = learn_usage(&mut self.usage, lesson);
                said.extend(words.map(|text| Notice {
                    severity: Severity::Warning,
                    text,
                }));
            }
            outcomes.append(&mut judged.outcomes);
            said.extend(judged.standing.map(|standing| standing_notice(unit, standing)));
        }
        for outcome in &mut outcomes {
            if let Some(window) = self.window(outcome.window_s) {
                outcome.peak = self.sums.judge(outcome, window);
                self.tabulate(outcome, window);
            }
        }
        self.outcomes.append(&mut outcomes);
        self.notices.extend(said);
        let over = self.outcomes.len().saturating_sub(OUTCOMES_MAX);
        self.outcomes.drain(..over);
        let over = self.notices.len().saturating_sub(NOTICES_MAX);
        self.notices.drain(..over);
    }

    fn notice(&mut self, severity: Severity, text: String) {
        self.notices.push(Notice { severity, text });
    }

    /// Goes by another local time from now on: by what it was ahead of UTC (from when on, Unix seconds, and by how many
    /// seconds) and by days off (local days counted from 1970-01-01, and their names). Until it is told, it is UTC.
    pub fn keep_time(&mut self, offsets: &[(i64, i32)], holidays: &[(i64, Arc<str>)]) {
        let holidays = holidays.iter().map(|(day, name)| (*day, name.to_string()));
        self.local_time = Arc::new(LocalTime::new(offsets.to_vec(), holidays.collect()));
        // Another table is no change of the clocks.
        self.ahead_s = self.last.map(|last| self.ahead_at(last));
    }

    /// The local time that days and weeks go by.
    pub fn local_time(&self) -> &Arc<LocalTime> {
        &self.local_time
    }

    /// Takes in an announced event.
    pub fn declare(&mut self, event: DeclaredEvent) {
        self.calendar.declare(event);
    }

    /// Takes an announced event back.
    pub fn withdraw(&mut self, name: &str) {
        if !self.calendar.withdraw(name) {
            self.notice(Severity::Info, format!("no event is called `{name}`"));
        }
    }

    /// Takes in all firings of timers and cron tables in the time ahead, in place of those said before.
    pub fn expect(&mut self, firings: &[ExpectedEvent], now: Moment) {
        self.signs.expect(firings, &mut self.units, now);
    }

    /// Announced events, and firings that are expected, soonest first.
    pub fn events(&self) -> (&[DeclaredEvent], &[ExpectedEvent]) {
        (self.calendar.events(), self.signs.firings())
    }

    /// Takes in dependencies: all that are declared, or those that were seen just now.
    pub fn depend(&mut self, origin: DependencyOrigin, edges: &[Dependency], now: Moment) {
        self.signs.depend(origin, edges, now);
    }

    /// Who calls whom, among `apps`, sorted.
    pub fn calls(&self, apps: &Apps) -> Vec<(AppName, AppName)> {
        self.signs.calls(apps)
    }

    /// The dependency graph with what was learned of it.
    pub fn dependencies(&self, apps: &Apps) -> DependencyReport {
        self.signs.report(apps, &self.units)
    }

    /// Whether something was seen that the next map should say at once; asking takes it.
    pub fn take_news(&mut self) -> bool {
        self.signs.take_news()
    }

    /// Says that nothing is known of the time between the last sample and `now`. A boot clock that went back means
    /// a reboot: what was learned is moved to the new clock by the wall clock.
    pub fn gap(&mut self, now: Moment) {
        let _closed = self.close_gap(now);
        self.last = Some(now);
    }

    fn close_gap(&mut self, now: Moment) -> Vec<ContentionEvent> {
        let Some(last) = self.last else { return Vec::new() };
        let mut closed = Vec::new();
        if now.boot < last.boot {
            let delta_s = now.boot.seconds_since(last.boot) - (now.utc_ms - last.utc_ms) as f64 / 1e3;
            self.units.values_mut().for_each(|state| state.shift(delta_s));
            self.forgotten_s = 0.0;
            self.signs.shift();
        }
        self.signs.pause(None);
        let now_s = now.boot.seconds();
        for (unit, state) in &mut self.units {
            closed.extend(state.lost(unit, now_s));
        }
        self.demands.values_mut().for_each(AppDemand::pause);
        closed
    }

    /// Says that an app went away; what was learned of it is kept for its return.
    pub fn app_gone(&mut self, app: &AppName) {
        self.code.gone(app);
        if let Some(demand) = self.demands.get_mut(app) {
            demand.pause();
        }
        self.signs.pause(Some(app));
    }

    /// Puts a trained model where a promotion by its name finds it: those that are [`Forecaster::needed`], and any
    /// that will be promoted.
    pub fn supply(&mut self, name: &Arc<str>, model: Arc<PeakModel>) {
        self.usage.supply(name, model);
    }

    /// Names of trained models that this memory speaks of and that were not supplied yet.
    pub fn needed(&self) -> Vec<Arc<str>> {
        self.usage.needed().cloned().collect()
    }

    /// Goes on without the trained models that are [`Forecaster::needed`] and cannot be supplied.
    pub fn forget_lost_models(&mut self) {
        self.usage.forget_lost();
    }

    /// Puts the trained model of this name in force; the one before is kept until the new one has proved itself.
    pub fn promote(&mut self, name: &Arc<str>) {
        match self.usage.promote(name) {
            Ok(text) => self.notice(Severity::Info, text),
            Err(text) => self.notice(Severity::Warning, text),
        }
    }

    /// How the trained model has done.
    pub fn model_report(&self) -> ModelReport {
        self.usage.report()
    }

    /// Lets the trained model look at units whose forecast is old.
    fn foretell(&mut self, now: Moment) {
        let last_s = self.last.map(|last| last.boot.seconds());
        let mut left = usage::allowance(self.units.len());
        let mut past = usage::room();
        past.set_calendar(&self.local_time);
        for state in self.units.values_mut() {
            if Some(state.read_s) != last_s || left == 0 {
                continue;
            }
            let has_capacity = state.capacity.is_some_and(|capacity| capacity > 0.0);
            let windows_s = self.config.windows_s;
            let now_s = now.boot.seconds();
            let (peaks, told) = (&state.load_peaks, &mut state.told);
            let renewed = self
                .usage
                .foretell(peaks, told, has_capacity, windows_s, now_s, &mut past);
            left -= usize::from(renewed);
        }
    }

    /// Says that `app` went away at `now`; what was learned of it is kept for its return, under this name or another.
    pub fn app_went(&mut self, app: App, now: Moment) {
        self.app_gone(&app.name);
        self.gone.went(app, now.boot.seconds());
    }

    /// Says that `app` came at `now`. Where it is one that has just gone, under another name, its past goes on.
    pub fn app_came(&mut self, app: &App, now: Moment) {
        let before = self.gone.came(app, now.boot.seconds());
        let Some(before) = before.filter(|_| !self.demands.contains_key(&app.name)) else {
            return;
        };
        if let Some(demand) = self.demands.remove(&before) {
            self.demands.insert(app.name.clone(), demand);
        }
        let own = |unit: &Unit| matches!(unit, Unit::Limit(name, _) if *name == before);
        let units: Vec<Unit> = self.units.keys().filter(|unit| own(unit)).cloned().collect();
        for unit in units {
            if let (Some(state), Unit::Limit(_, resource)) = (self.units.remove(&unit), &unit) {
                self.units.insert(Unit::Limit(app.name.clone(), *resource), state);
            }
        }
        self.notice(
            Severity::Info,
            format!(
                "{} is taken to be {before} under another name: its history goes on",
                app.name
            ),
        );
    }

    fn ahead_at(&self, moment: Moment) -> i64 {
        self.local_time.offset_s(moment.utc_ms.div_euclid(1000))
    }

    /// Has rhythms of days follow the clocks on the wall, where these were changed since the last sample.
    fn follow_the_wall(&mut self, now: Moment) {
        let ahead_s = self.ahead_at(now);
        let before_s = self.ahead_s.replace(ahead_s).unwrap_or(ahead_s);
        if before_s != ahead_s {
            let by_s = (ahead_s - before_s) as f64;
            self.units
                .values_mut()
                .for_each(|state| state.periodic.follow_the_wall(by_s));
        }
    }

    /// Says that slots of a process were led elsewhere.
    pub fn switched(&mut self, switched: &Switched) {
        self.code.switched(switched);
    }

    /// Says that no process runs variants any more.
    pub fn all_at_base(&mut self) {
        self.code = SwitchedCode::default();
    }

    /// Whether the event that goes on at `unit` has stopped to make anybody wait, as of the last sample.
    pub fn is_ebbing(&self, unit: &Unit) -> bool {
        let state = self.units.get(unit);
        state.is_some_and(|state| state.labeller.label() == Label::Ending)
    }

    /// The map at `now`: an entry for every unit that the last sample showed, and for announced events.
    pub fn map(&mut self, now: Moment, apps: &Apps) -> ContentionMap {
        self.foretell(now);
        let shared = Shared {
            windows_s: self.config.windows_s,
            model: &self.model,
            usage: &self.usage,
            local_time: &self.local_time,
            calibrations: &self.calibrations,
        };
        let drivers = Drivers::new(&self.demands);
        let last_s = self.last.map(|last| last.boot.seconds());
        let announced_apps: Vec<AppName> = self.calendar.apps().cloned().collect();
        let mut entries = Vec::new();
        for (unit, state) in &mut self.units {
            if Some(state.read_s) != last_s {
                continue;
            }
            let announced = announced_for(unit, &self.calendar, &announced_apps, now, state, apps);
            let asked = Asked::of(&self.sums, unit, self.config.windows_s, apps);
            let driven_by = asked.drivers(|| drivers.of(unit, apps, &self.demands));
            let about = About {
                announced: announced.as_ref(),
                drivers: driven_by,
                asked: &asked,
            };
            let next = &mut self.next_prediction;
            let (entry, prediction) = entry(next, unit, state, about, now, &shared);
            if let Some(prediction) = prediction {
                self.sums.remember(unit, prediction.id, &asked);
                state.scorer.open(prediction);
            }
            entries.push(entry);
        }
        ContentionMap {
            made: now,
            entries,
            demands: demands_of(apps, &self.demands),
        }
    }

    /// Predictions whose windows closed since the last call.
    pub fn take_outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.outcomes)
    }

    /// What there is to say since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Takes up another event model, as it was promoted; calibration and scores go on and judge it.
    pub fn adopt(&mut self, model: Model) {
        self.model = model;
    }

    /// How each unit's forecasts have done so far.
    pub fn scores(&self) -> Vec<UnitScore> {
        self.units
            .iter()
            .map(|(unit, state)| UnitScore::new(unit, state, self.config.windows_s))
            .collect()
    }

    /// What was said against what came, of all units: untreated, and treated.
    pub fn reliability(&self) -> (&Reliability, &Reliability) {
        (&self.untreated, &self.treated)
    }

    fn window(&self, window_s: u32) -> Option<usize> {
        self.config.windows_s.iter().position(|known| *known == window_s)
    }

    fn tabulate(&mut self, outcome: &Outcome, window: usize) {
        let Some(event) = outcome.happened else { return };
        match outcome.treatment {
            Treatment::Untreated => tabulate(&mut self.untreated, window, outcome.probability, event),
            Treatment::Treated => tabulate(&mut self.treated, window, outcome.probability, event),
            Treatment::Unknown => {}
        }
    }
}

/// The demand of the apps that are there, where it is another than their usage.
fn demands_of(apps: &Apps, demands: &BTreeMap<AppName, AppDemand>) -> Vec<tidegate_types::AppDemand> {
    let told = |app: &AppName| {
        let demand = demands.get(app)?;
        let (cores, censored) = demand.distribution()?;
        Some(tidegate_types::AppDemand {
            app: app.clone(),
            cores,
            censored,
            elastic: demand.is_elastic(),
        })
    };
    apps.keys().filter_map(told).collect()
}

fn learn(model: &mut Model, calibrations: &mut [Calibration; CALIBRATIONS], lesson: &Lesson) {
    if let Some(kind) = lesson.calibration {
        calibrations[kind].learn(lesson.window, lesson.raw, lesson.event, lesson.worth);
    }
    // What a pattern foresaw is no lesson for the model of what none foresees.
    if let Some(evidence) = evidence_of(lesson) {
        model.learn(&evidence.features, lesson.window, lesson.event, 1.0);
    }
}

fn evidence_of(lesson: &Lesson) -> Option<&Evidence> {
    let own = lesson.quiet && !(lesson.event && lesson.explained);
    lesson.evidence.as_ref().filter(|_| own)
}

/// The same for the trained model.
fn learn_usage(usage: &mut Usage, lesson: &Lesson) -> Option<String> {
    let witness = evidence_of(lesson)?.witness?;
    usage.learn(&witness, lesson.window, lesson.event, lesson.evidence_worth)
}

fn standing_notice(unit: &Unit, standing: Standing) -> Notice {
    match standing {
        Standing::Demoted => Notice {
            severity: Severity::Warning,
            text: format!(
                "{unit}: its forecasts cost more than they saved; from now on only the present is used"
            ),
        },
        Standing::Promoted => Notice {
            severity: Severity::Info,
            text: format!("{unit}: its forecasts have earned their place again"),
        },
    }
}

/// The announced event that concerns `unit`: under its own limit, where the app has one, else on the CPUs.
fn announced_for(
    unit: &Unit,
    calendar: &Calendar,
    announced_apps: &[AppName],
    now: Moment,
    state: &UnitState,
    apps: &Apps,
) -> Option<crate::declared::Announced> {
    match unit {
        Unit::Limit(app, Resource::Cpu) => calendar.next(app, now, state.capacity),
        Unit::Cpu => announced_apps
            .iter()
            .filter(|app| apps.contains_key(*app))
            .filter_map(|app| calendar.next(app, now, state.capacity))
            .min_by(|left, right| left.onset.q50.total_cmp(&right.onset.q50)),
        _ => None,
    }
}
