//! Folds ticks into the view: what went in, what came out, what the page shows.
//!
//! It is pure: no clock, no I/O, so a recorded day assembles to the same view. Every list is bounded, so
//! the view of a year-old daemon is as small as that of a day-old one; what fell off is in the store.

mod heat;
mod ledger;
mod score;
mod sparks;

use crate::view::{
    AppRow, ContentionRow, HostNow, HostView, MapView, NoticeRow, PlanView, SelfCost, Sparks, VariantRow,
    View, finite,
};
use heat::Heat;
use ledger::Ledger;
use score::Scores;
use sparks::Histories;
use std::collections::VecDeque;
use tidegate_types::{
    AppName, Apps, BootTime, ContentionEvent, Entity, Event, Field, Input, Mode, Moment, Output, Sample, Unit,
};

/// Events of contention that the view keeps: a page of them.
const MAX_CONTENTION: usize = 200;
/// Variants that the view keeps.
const MAX_VARIANTS: usize = 200;
/// Apps whose recent values are in the view, the busiest first: what the page shows of them.
pub(crate) const APPS_WITH_SPARKS: usize = 200;
/// Notices that the view keeps.
const MAX_NOTICES: usize = 100;

/// What the daemon knows beside inputs and outputs.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostState {
    /// How far it may go at most.
    pub mode: Mode,
    /// True between `pause` and `resume`.
    pub paused: bool,
    /// Seconds since it started.
    pub uptime_s: f64,
}

/// The fold. One per daemon; call [`Assembler::tick`] after each tick and publish what it returns.
#[derive(Debug)]
pub struct Assembler {
    host: HostView,
    doctor: serde_json::Value,
    map: MapView,
    heat: Heat,
    ledger: Ledger,
    scores: Scores,
    histories: Histories,
    /// The key says which rows an event still going on may replace; rows of a daemon before have none.
    contention: VecDeque<(Option<(Unit, BootTime)>, ContentionRow)>,
    variants: VecDeque<VariantRow>,
    notices: VecDeque<NoticeRow>,
}

/// Puts `item` in front and lets the oldest go beyond `limit`.
fn push_bounded<T>(list: &mut VecDeque<T>, item: T, limit: usize) {
    list.push_front(item);
    list.truncate(limit);
}

impl Assembler {
    /// An empty fold on `host`, with the doctor's report as JSON.
    pub fn new(host: HostView, doctor: serde_json::Value) -> Self {
        Self {
            host,
            doctor,
            map: MapView::default(),
            heat: Heat::default(),
            ledger: Ledger::default(),
            scores: Scores::default(),
            histories: Histories::default(),
            contention: VecDeque::new(),
            variants: VecDeque::new(),
            notices: VecDeque::new(),
        }
    }

    /// Replaces the doctor's report.
    pub fn set_doctor(&mut self, doctor: serde_json::Value) {
        self.doctor = doctor;
    }

    /// Goes on from the view that a daemon before this one kept: its actions, scores and recent map stay on
    /// the page. What it held at its end has ended, since nothing is held without a daemon; a lease that the
    /// next plan still lists comes back to life.
    pub fn resume(&mut self, past: &View) {
        self.ledger.resume(past);
        self.scores.resume(&past.skill);
        self.heat.resume(&past.heat);
        let contention = past.contention.iter().map(|row| (None, row.clone()));
        self.contention = contention.take(MAX_CONTENTION).collect();
        self.variants = past.variants.iter().take(MAX_VARIANTS).cloned().collect();
        self.notices = past.notices.iter().take(MAX_NOTICES).cloned().collect();
    }

    /// Takes in one tick and returns the view after it. Publish it only where the input had a sample: the
    /// view of a tick without one has no values.
    pub fn tick(&mut self, input: &Input, output: &Output, apps: &Apps, state: HostState) -> View {
        self.absorb(input, output);
        self.view(input, output, apps, state)
    }

    /// Takes in one tick without making a view: for the ticks between two samples.
    pub fn absorb(&mut self, input: &Input, output: &Output) {
        let now = input.now;
        for event in &input.events {
            self.event(now, event);
        }
        if let Some(map) = &output.map {
            self.map = MapView::new(map);
            self.heat.push(&self.map);
            self.ledger.foresee(&self.map);
        }
        for event in &output.contention {
            self.contend(now, event);
        }
        for outcome in &output.outcomes {
            self.scores.add(outcome);
            self.ledger.score(outcome);
        }
        for notice in &output.notices {
            let row = NoticeRow::new(notice, now.utc_ms);
            push_bounded(&mut self.notices, row, MAX_NOTICES);
        }
        self.ledger.plan(&output.plan, now);
        if let Some(sample) = &input.sample {
            self.histories.push(sample);
        }
    }

    fn event(&mut self, now: Moment, event: &Event) {
        match event {
            Event::Written(result) => self.ledger.written(result, now),
            Event::VariantReady {
                app,
                function,
                scenario,
            } => {
                let row = VariantRow::ready(app.to_string(), function.clone(), *scenario, now.utc_ms);
                self.variant(row);
            }
            Event::Trial(verdict) => self.variant(VariantRow::judged(verdict, now.utc_ms)),
            _ => {}
        }
    }

    fn variant(&mut self, row: VariantRow) {
        self.variants.retain(|known| !known.same_variant(&row));
        push_bounded(&mut self.variants, row, MAX_VARIANTS);
    }

    fn contend(&mut self, now: Moment, event: &ContentionEvent) {
        self.ledger.saw(event, now);
        let row = ContentionRow::new(event, now);
        let key = Some((event.unit.clone(), event.begin));
        match self.contention.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = row,
            None => push_bounded(&mut self.contention, (key, row), MAX_CONTENTION),
        }
    }

    fn view(&self, input: &Input, output: &Output, apps: &Apps, state: HostState) -> View {
        let empty = Sample::default();
        let sample = input.sample.as_ref().unwrap_or(&empty);
        View {
            made_utc_ms: input.now.utc_ms,
            uptime_s: state.uptime_s,
            mode: state.mode,
            paused: state.paused,
            host: self.host.clone(),
            now: host_now(sample, self.histories.of(&Entity::Host)),
            self_cost: self_cost(sample),
            apps_total: u32::try_from(apps.len()).unwrap_or(u32::MAX),
            apps: self.app_rows(apps, sample),
            map: self.map.clone(),
            heat: self.heat.view(),
            plan: PlanView {
                leases: self.ledger.live(),
                ..PlanView::new(&output.plan, input.now)
            },
            actions: self.ledger.ended(),
            contention: self.contention.iter().map(|(_, row)| row.clone()).collect(),
            variants: self.variants.iter().cloned().collect(),
            skill: self.scores.rows(&self.map),
            notices: self.notices.iter().cloned().collect(),
            doctor: self.doctor.clone(),
        }
    }

    fn app_rows(&self, apps: &Apps, sample: &Sample) -> Vec<AppRow> {
        let mut rows: Vec<AppRow> = apps
            .values()
            .map(|managed| AppRow::new(managed, sample))
            .collect();
        for row in &mut rows {
            let demands = &self.map.demands;
            let found = demands.binary_search_by(|demand| demand.app.as_str().cmp(row.name.as_str()));
            if let Ok(place) = found {
                row.set_demand(&demands[place]);
            }
        }
        let load = |row: &AppRow| row.cpu_cores.unwrap_or(0.0) + row.waiting_ratio().unwrap_or(0.0);
        // Names are unique, so the order is whole and the same everywhere.
        rows.sort_by(|left, right| {
            load(right)
                .total_cmp(&load(left))
                .then_with(|| left.name.cmp(&right.name))
        });
        for row in rows.iter_mut().take(APPS_WITH_SPARKS) {
            row.sparks = self.histories.of(&Entity::App(AppName::new(&row.name)));
        }
        rows
    }
}

fn host_now(sample: &Sample, sparks: Sparks) -> HostNow {
    let value = |field| sample.get(&Entity::Host, field).and_then(finite);
    let total = value(Field::HostMemoryTotal);
    HostNow {
        cpu_busy_cores: value(Field::HostCpuBusy),
        cpu_capacity_cores: value(Field::HostCpuCapacity),
        cpu_waiting_ratio: value(Field::HostCpuWaiting),
        memory_used_bytes: total
            .zip(value(Field::HostMemoryAvailable))
            .map(|(total, available)| total - available),
        memory_total_bytes: total,
        memory_waiting_ratio: value(Field::HostMemoryWaiting),
        io_waiting_ratio: value(Field::HostIoWaiting),
        sparks,
    }
}

fn self_cost(sample: &Sample) -> SelfCost {
    let value = |field| sample.get(&Entity::Host, field).and_then(finite);
    SelfCost {
        cpu_cores: value(Field::SelfCpu),
        memory_bytes: value(Field::SelfMemory),
        descriptors: value(Field::SelfDescriptors),
        tick_late_s: value(Field::SelfTickLate),
        shed_level: value(Field::SelfShed),
    }
}
