//! A small host that runs forward second by second, for the tests, the preview and the README's picture.
//!
//! Seeded, and folded by the same [`Assembler`] that the daemon uses: what is shown is shown as it would be
//! shown live. The host is invented; only the shapes are real.

use std::sync::{Arc, Mutex};
use tidegate_dashboard::{
    Assembler, Backend, BackendError, CalibrationQuery, CalibrationView, Explanation, HostState, HostView,
    PlanRequest, PlanView, Report, ReportQuery, ReportRow, Series, SeriesQuery, Shared, View,
};
use tidegate_types::{
    App, AppName, Apps, BootTime, Cause, Class, ContentionEvent, ContentionMap, Driver, Entity, Event, Field,
    Grant, Group, GroupPath, Hierarchy, Input, KnobValue, Lease, LeaseId, Managed, MapEntry, Mode, Moment,
    Notice, Outcome, Output, Owner, Plan, PredictionId, Quantiles, Resource, Row, Sample, Scenario, Severity,
    Source, Treatment, TrialVerdict, Trigger, Unit, WindowProbability, WriteResult,
};

const CPUS: u16 = 4;
const WINDOWS_S: [u32; 4] = [60, 300, 900, 3600];
/// Seconds since boot at which the demo begins.
const BEGIN_S: f64 = 500_000.0;
const GIB: f64 = 1_073_741_824.0;

/// An app with a repeating crowd.
struct Crowd {
    app: &'static str,
    period_s: f64,
    phase_s: f64,
    length_s: f64,
    quiet_cores: f64,
    busy_cores: f64,
}

const CROWDS: [Crowd; 2] = [
    Crowd {
        app: "web.service",
        period_s: 420.0,
        phase_s: 60.0,
        length_s: 55.0,
        quiet_cores: 0.35,
        busy_cores: 2.2,
    },
    Crowd {
        app: "api.service",
        period_s: 660.0,
        phase_s: 480.0,
        length_s: 80.0,
        quiet_cores: 0.25,
        busy_cores: 1.7,
    },
];

impl Crowd {
    /// Begin of the crowd that goes on at `at_s`, or of the next one.
    fn begin(&self, at_s: f64) -> f64 {
        let turn = ((at_s - self.phase_s - self.length_s) / self.period_s).ceil();
        turn * self.period_s + self.phase_s
    }

    /// One crowd in seven stays away, so that the demo has a false act to show.
    fn comes(&self, begin_s: f64) -> bool {
        !((begin_s / self.period_s) as u64).is_multiple_of(7)
    }

    fn on(&self, at_s: f64) -> bool {
        let begin = self.begin(at_s);
        self.comes(begin) && begin <= at_s && at_s < begin + self.length_s
    }
}

/// Apps without a crowd: name, class, cores, memory, owner.
const OTHERS: [(&str, Class, f64, f64, &str); 9] = [
    ("group:/bed/encode", Class::Batch, 1.1, 2.1, "tidegate"),
    ("postgresql@15-main", Class::Critical, 0.42, 3.8, "systemd"),
    ("redis.service", Class::Standard, 0.11, 0.6, "systemd"),
    ("backup.service", Class::Batch, 0.3, 0.2, "systemd"),
    ("prometheus.service", Class::Standard, 0.09, 0.9, "systemd"),
    ("docker:grafana", Class::Standard, 0.03, 0.3, "docker"),
    ("ssh.service", Class::Standard, 0.004, 0.02, "systemd"),
    ("exe:node@build", Class::Batch, 0.25, 0.7, "nobody"),
    ("systemd-journald.service", Class::Standard, 0.01, 0.05, "systemd"),
];

/// xorshift64*, enough for noise.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// `value`, up or down by up to `share` of it.
    fn about(&mut self, value: f64, share: f64) -> f64 {
        value * (1.0 + share * (2.0 * self.next() - 1.0))
    }
}

/// The host.
pub(crate) struct Demo {
    at_s: f64,
    utc_begin_ms: i64,
    noise: Noise,
    assembler: Assembler,
    apps: Apps,
    leases: Vec<Lease>,
    next_prediction: u64,
    next_lease: u64,
    /// Prediction, its crowd and its begin, waiting for the outcome.
    open: Vec<(PredictionId, usize, f64)>,
    pub(crate) record: Vec<(i64, f64, f64)>,
}

fn managed(name: &str, class: Class, owner: &str) -> Managed {
    let owner = match owner {
        "systemd" => Owner::Systemd(name.into()),
        "tidegate" => Owner::Tidegate,
        "nobody" => Owner::Nobody,
        other => Owner::Other(other.into()),
    };
    let group = (owner != Owner::Nobody).then(|| Group {
        paths: vec![GroupPath {
            hierarchy: Hierarchy::V2,
            path: format!("/system.slice/{name}").into(),
            id: 1,
        }],
    });
    let untouchable = (name.starts_with("ssh") || name.contains("journald"))
        .then(|| "part of the system's own floor".into());
    let mode = match class {
        Class::Standard => Mode::Advise,
        _ => Mode::Enforce,
    };
    Managed {
        app: App {
            name: AppName::new(name),
            group,
            owner,
            parent: None,
            executable: Some(
                format!("/usr/bin/{}", name.split(['.', '@', ':']).next().unwrap_or(name)).into(),
            ),
            user: Some("app".into()),
        },
        grant: Grant {
            class,
            modes: [(Resource::Cpu, mode)].into(),
            untouchable,
            ..Grant::default()
        },
    }
}

fn around(middle: f64, early: f64, late: f64) -> Quantiles {
    Quantiles {
        q10: middle - early,
        q50: middle,
        q90: middle + late,
    }
}

impl Demo {
    /// A host whose demo begins at `utc_begin_ms`.
    pub(crate) fn new(utc_begin_ms: i64) -> Self {
        let host = HostView {
            name: "harbour-01".to_owned(),
            kernel: "6.1.0-28-amd64".to_owned(),
            cpu_model: "Four cores of an invented machine".to_owned(),
            cpus: CPUS,
            memory_bytes: 16.0 * GIB,
            layout: "cgroup v2".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let signal = |name: &str, used: bool, consequence: &str, remedy: &str| serde_json::json!({"name": name, "used": used, "consequence": consequence, "remedy": remedy});
        let doctor = serde_json::json!({
            "signals": [
                signal("groups", true, "", ""),
                signal("waiting per group (PSI)", true, "", ""),
                signal("process events", true, "", ""),
                signal(
                    "hardware counters (PMU)",
                    false,
                    "A variant is judged by CPU time alone, not by cycles.",
                    "Virtual machines rarely pass counters through: ask for it, or run on metal.",
                ),
            ],
            "managers": ["systemd", "docker"],
            "sample_interval_s": 1.0,
        });
        let crowds = CROWDS
            .iter()
            .map(|crowd| managed(crowd.app, Class::Critical, "systemd"));
        let others = OTHERS
            .iter()
            .map(|(name, class, .., owner)| managed(name, *class, owner));
        Self {
            at_s: BEGIN_S,
            utc_begin_ms,
            noise: Noise(0x5EED),
            assembler: Assembler::new(host, doctor),
            apps: crowds
                .chain(others)
                .map(|managed| (managed.app.name.clone(), managed))
                .collect(),
            leases: Vec::new(),
            next_prediction: 1,
            next_lease: 1,
            open: Vec::new(),
            record: Vec::new(),
        }
    }

    fn now(&self) -> Moment {
        Moment {
            boot: BootTime::from_seconds(self.at_s),
            utc_ms: self.utc_begin_ms + ((self.at_s - BEGIN_S) * 1e3) as i64,
        }
    }

    fn sample(&mut self) -> Sample {
        let mut rows = Vec::new();
        let (mut busy, mut crowded) = (0.0, false);
        let batch_held = self
            .leases
            .iter()
            .any(|lease| lease.active_at(BootTime::from_seconds(self.at_s)));
        for crowd in &CROWDS {
            let on = crowd.on(self.at_s);
            crowded |= on;
            let cores = self
                .noise
                .about(if on { crowd.busy_cores } else { crowd.quiet_cores }, 0.12);
            busy += cores;
            let mut row = Row::empty(Entity::App(AppName::new(crowd.app)));
            row.set(Field::CpuUsage, cores);
            row.set(Field::CpuLimit, 2.5);
            row.set(
                Field::CpuWaiting,
                if on {
                    self.noise.about(0.09, 0.7)
                } else {
                    self.noise.next() * 0.01
                },
            );
            row.set(
                Field::CpuThrottled,
                if on { self.noise.next() * 0.05 } else { 0.0 },
            );
            row.set(Field::Memory, self.noise.about(1.4 * GIB, 0.01));
            row.set(Field::AppRead, self.noise.next() * 2e5);
            row.set(Field::AppWrite, self.noise.about(4e5, 0.4));
            row.set(Field::AppTransmit, self.noise.about(cores * 6e6, 0.2));
            row.set(Field::AppReceive, self.noise.about(cores * 9e5, 0.2));
            row.set(Field::Processes, 9.0);
            rows.push(row);
        }
        for (name, class, cores, memory, _) in OTHERS {
            let held = class == Class::Batch && batch_held;
            let cores = self.noise.about(if held { cores * 0.35 } else { cores }, 0.15);
            busy += cores;
            let mut row = Row::empty(Entity::App(AppName::new(name)));
            row.set(Field::CpuUsage, cores);
            row.set(
                Field::CpuWaiting,
                if held {
                    self.noise.about(0.5, 0.2)
                } else {
                    self.noise.next() * 0.03
                },
            );
            row.set(Field::Memory, self.noise.about(memory * GIB, 0.01));
            row.set(Field::AppRead, self.noise.about(cores * 3e6, 0.5));
            row.set(Field::AppWrite, self.noise.about(cores * 1e6, 0.5));
            row.set(Field::Processes, 4.0);
            rows.push(row);
        }
        rows.push(self.host_row(busy.min(f64::from(CPUS)), crowded));
        let mut sample = Sample {
            now: self.now(),
            interval_s: 1.0,
            rows,
        };
        sample.sort();
        sample
    }

    fn host_row(&mut self, busy: f64, crowded: bool) -> Row {
        let waiting = if crowded {
            self.noise.about(0.14, 0.5)
        } else {
            self.noise.next() * 0.03
        };
        self.record.push((self.now().utc_ms, busy, waiting));
        let mut host = Row::empty(Entity::Host);
        for (field, value) in [
            (Field::HostCpuBusy, busy),
            (Field::HostCpuCapacity, f64::from(CPUS)),
            (Field::HostCpuWaiting, waiting),
            (Field::HostMemoryTotal, 16.0 * GIB),
            (Field::HostMemoryAvailable, self.noise.about(4.6 * GIB, 0.02)),
            (Field::HostMemoryWaiting, 0.0),
            (Field::HostIoWaiting, self.noise.next() * 0.02),
            (Field::SelfCpu, self.noise.about(0.011, 0.3)),
            (Field::SelfMemory, 41e6),
            (Field::SelfDescriptors, 212.0),
            (Field::SelfTickLate, self.noise.next() * 0.002),
            (Field::SelfShed, 0.0),
        ] {
            host.set(field, value);
        }
        host
    }

    fn entry(&mut self, unit: Unit, onset_s: Option<f64>, floor: f64, drivers: &[(&str, f64)]) -> MapEntry {
        let ahead_s = onset_s.map(|onset| (onset - self.at_s).max(0.0));
        let chance = |window_s: u32| {
            let base = floor * (1.0 + f64::from(window_s).ln() / 8.0);
            let near = ahead_s.map_or(0.0, |ahead| {
                0.96 / (1.0 + ((ahead - f64::from(window_s)) / (4.0 + ahead * 0.05)).exp())
            });
            (base + near).min(0.99)
        };
        let id = PredictionId(self.next_prediction);
        self.next_prediction += 1;
        let known = ahead_s.is_some();
        MapEntry {
            id,
            unit,
            windows: WINDOWS_S
                .iter()
                .map(|window_s| WindowProbability {
                    window_s: *window_s,
                    probability: chance(*window_s),
                    peak: None,
                })
                .collect(),
            confidence: self.noise.about(if known { 0.86 } else { 0.55 }, 0.05),
            onset: onset_s.map(|onset| around(onset, 2.0, 3.5)),
            end: onset_s.map(|onset| around(onset + 60.0, 8.0, 12.0)),
            peak: onset_s.map(|_| around(3.6, 0.5, 0.6)),
            peak_censored: false,
            ebbing: false,
            drivers: drivers
                .iter()
                .map(|(app, share)| Driver {
                    app: AppName::new(app),
                    share: *share,
                })
                .collect(),
            reason: if known {
                "A burst repeats with little jitter; its last six returns were within 2 s.".to_owned()
            } else {
                "No repeating cause is known; the classifier sees little demand growth.".to_owned()
            },
            source: if known {
                Source::Periodic
            } else {
                Source::Classifier
            },
            trained: true,
            ongoing_since: None,
            demoted: false,
        }
    }

    fn map(&mut self) -> ContentionMap {
        let begins: Vec<f64> = CROWDS.iter().map(|crowd| crowd.begin(self.at_s)).collect();
        let first = begins.iter().copied().fold(f64::INFINITY, f64::min);
        let (web, api) = (CROWDS[0].app, CROWDS[1].app);
        let mut entries = vec![
            self.entry(
                Unit::Cpu,
                Some(first),
                0.02,
                &[(web, 0.52), ("group:/bed/encode", 0.31)],
            ),
            self.entry(Unit::Memory, None, 0.006, &[("postgresql@15-main", 0.4)]),
            self.entry(
                Unit::Disk("vda".into(), None),
                None,
                0.05,
                &[("backup.service", 0.7)],
            ),
            self.entry(
                Unit::Net("eth0".into(), tidegate_types::Direction::Tx),
                None,
                0.012,
                &[(web, 0.6)],
            ),
            self.entry(
                Unit::Limit(AppName::new(web), Resource::Cpu),
                Some(begins[0]),
                0.02,
                &[(web, 1.0)],
            ),
            self.entry(
                Unit::Limit(AppName::new(api), Resource::Cpu),
                Some(begins[1]),
                0.02,
                &[(api, 1.0)],
            ),
        ];
        for core in 0..CPUS {
            let mut entry = self.entry(Unit::Core(core), None, 0.02 + 0.02 * f64::from(core), &[]);
            entry.demoted = core == 3;
            if entry.demoted {
                entry.source = Source::Reactive;
            }
            entries.push(entry);
        }
        for (crowd, begin) in CROWDS.iter().zip(&begins) {
            if crowd.on(self.at_s) {
                let unit = Unit::Limit(AppName::new(crowd.app), Resource::Cpu);
                for entry in entries.iter_mut().filter(|entry| entry.unit == unit) {
                    entry.ongoing_since = Some(BootTime::from_seconds(*begin));
                }
            }
        }
        entries.sort_by(|left, right| left.unit.cmp(&right.unit));
        ContentionMap {
            made: self.now(),
            entries,
            demands: Vec::new(),
        }
    }

    /// A lease on the batch app for each crowd that is less than a minute away.
    fn lease_ahead(&mut self, map: &ContentionMap) {
        for (number, crowd) in CROWDS.iter().enumerate() {
            let begin = crowd.begin(self.at_s);
            let unit = Unit::Limit(AppName::new(crowd.app), Resource::Cpu);
            let wanted = begin > self.at_s && begin - self.at_s < 60.0;
            if !wanted || self.leases.iter().any(|lease| lease.cause.unit == unit) {
                continue;
            }
            let prediction = map.entry(&unit).map(|entry| entry.id);
            self.open.extend(prediction.map(|id| (id, number, begin)));
            self.leases.push(Lease {
                id: LeaseId(self.next_lease),
                app: AppName::new("group:/bed/encode"),
                asked: KnobValue::CpuMax {
                    quota_us: Some(55_000),
                    period_us: 100_000,
                    burst_us: 0,
                },
                found: None,
                start: BootTime::from_seconds(begin - 2.2),
                end: BootTime::from_seconds(begin + crowd.length_s + 8.0),
                cause: Cause {
                    trigger: Trigger::Predicted,
                    prediction,
                    unit,
                    beneficiary: AppName::new(crowd.app),
                    rule: "Batch gives way to critical before its onset's early quantile.".to_owned(),
                },
            });
            self.next_lease += 1;
        }
    }

    fn writes(&mut self) -> Vec<Event> {
        let now = BootTime::from_seconds(self.at_s);
        let found = KnobValue::CpuMax {
            quota_us: None,
            period_us: 100_000,
            burst_us: 0,
        };
        let mut events = Vec::new();
        for lease in &mut self.leases {
            let starts = lease.found.is_none() && lease.start <= now;
            let ends = lease.end <= now;
            if starts {
                lease.found = Some(found);
            }
            if starts || ends {
                events.push(Event::Written(WriteResult {
                    lease: lease.id,
                    app: lease.app.clone(),
                    knob: lease.asked.knob(),
                    found: Some(found),
                    outcome: Ok(if ends { found } else { lease.asked }),
                    at: now,
                    restored: ends,
                }));
            }
        }
        self.leases.retain(|lease| lease.end > now);
        events
    }

    fn outcomes(&mut self) -> (Vec<Outcome>, Vec<ContentionEvent>) {
        let (mut outcomes, mut contention) = (Vec::new(), Vec::new());
        let at_s = self.at_s;
        for (id, number, begin) in self.open.extract_if(.., |(.., begin)| *begin + 20.0 < at_s) {
            let crowd = &CROWDS[number];
            let unit = Unit::Limit(AppName::new(crowd.app), Resource::Cpu);
            let treatment = if id.0 % 5 == 0 {
                Treatment::Untreated
            } else {
                Treatment::Treated
            };
            let came = crowd.comes(begin);
            outcomes.push(Outcome {
                prediction: id,
                unit: unit.clone(),
                made: BootTime::from_seconds(begin - 50.0),
                window_s: 60,
                probability: 0.93,
                confidence: 0.86,
                source: Source::Periodic,
                happened: Some(came),
                treatment,
                onset_error_s: came.then(|| self.noise.next() * 2.0 - 1.0),
                onset_covered: None,
                peak: None,
            });
            if !came {
                continue;
            }
            contention.push(ContentionEvent {
                unit,
                begin: BootTime::from_seconds(begin),
                end: Some(BootTime::from_seconds(begin + 18.0)),
                treatment,
                peak_waiting: self.noise.about(0.2, 0.4),
                apps: vec![AppName::new(crowd.app)],
            });
        }
        for (core, chance) in [(0_u16, 0.1), (3, 0.4)] {
            outcomes.push(Outcome {
                prediction: PredictionId(0),
                unit: Unit::Core(core),
                made: BootTime::from_seconds(self.at_s - 60.0),
                window_s: 60,
                probability: chance,
                confidence: 0.5,
                source: Source::Classifier,
                happened: Some(self.noise.next() < 0.12),
                treatment: Treatment::Untreated,
                onset_error_s: None,
                onset_covered: None,
                peak: None,
            });
        }
        (outcomes, contention)
    }

    fn trials(&self) -> Vec<Event> {
        let elapsed = (self.at_s - BEGIN_S) as u64;
        let verdict = |function: &str, scenario, kept, ratio, interval, reason: &str| {
            Event::Trial(TrialVerdict {
                app: AppName::new("group:/bed/encode"),
                pid: 4021,
                function: function.to_owned(),
                scenario,
                kept,
                ratio,
                interval,
                reason: reason.to_owned(),
            })
        };
        match elapsed {
            300 => vec![verdict(
                "encode_block",
                Scenario::Cpu,
                true,
                1.19,
                (1.15, 1.23),
                "The variant costs less CPU per block.",
            )],
            420 => vec![verdict(
                "hash_chain",
                Scenario::Cpu,
                false,
                1.004,
                (0.985, 1.021),
                "No difference that the trial could tell from none.",
            )],
            540 => vec![verdict(
                "copy_window",
                Scenario::Neighbour,
                true,
                0.97,
                (0.95, 0.99),
                "Costs 3 % more and evicts half of what it did.",
            )],
            660 => vec![verdict(
                "find_match",
                Scenario::Memory,
                false,
                0.91,
                (0.88, 0.94),
                "The variant is slower here.",
            )],
            700 => vec![Event::VariantReady {
                app: AppName::new("group:/bed/encode"),
                function: "entropy_flush".to_owned(),
                scenario: Scenario::Cpu,
            }],
            _ => Vec::new(),
        }
    }

    fn notices(&self) -> Vec<Notice> {
        match (self.at_s - BEGIN_S) as u64 {
            1 => vec![Notice {
                severity: Severity::Info,
                text: "11 apps found; 2 of them are never acted on.".to_owned(),
            }],
            900 => vec![Notice {
                severity: Severity::Warning,
                text:
                    "cpu:3 lost its skill and is handled by the reactive rule until it has earned it again."
                        .to_owned(),
            }],
            _ => Vec::new(),
        }
    }

    /// One second; what it shows and the sample behind it.
    pub(crate) fn step(&mut self) -> (View, Arc<Sample>) {
        self.at_s += 1.0;
        let sample = self.sample();
        let mut events = self.writes();
        events.extend(self.trials());
        let map = ((self.at_s as u64).is_multiple_of(10)).then(|| self.map());
        if let Some(map) = &map {
            self.lease_ahead(map);
        }
        let (outcomes, contention) = self.outcomes();
        let input = Input {
            now: self.now(),
            events,
            sample: Some(sample.clone()),
        };
        let output = Output {
            map,
            plan: Plan {
                made: self.now(),
                leases: self.leases.clone(),
                ..Plan::default()
            },
            contention,
            outcomes,
            notices: self.notices(),
        };
        let state = HostState {
            mode: Mode::Enforce,
            paused: false,
            uptime_s: self.at_s - BEGIN_S,
        };
        let view = self.assembler.tick(&input, &output, &self.apps, state);
        (view, Arc::new(sample))
    }
}

/// A demo that has run for `seconds` up to `utc_now_ms` and shows what it sees.
pub(crate) fn run(utc_now_ms: i64, seconds: u32) -> (Demo, Shared) {
    let shared = Shared::new();
    let mut demo = Demo::new(utc_now_ms - i64::from(seconds) * 1_000);
    for _ in 0..seconds {
        let (view, sample) = demo.step();
        shared.publish(view, sample);
    }
    (demo, shared)
}

/// Answers series from the demo's record.
pub(crate) struct DemoBackend(pub(crate) Arc<Mutex<Demo>>);

impl Backend for DemoBackend {
    fn explain(&self, id: &str) -> Result<Explanation, BackendError> {
        Err(BackendError::NotFound(id.to_owned()))
    }

    fn report(&self, query: &ReportQuery) -> Result<Report, BackendError> {
        Ok(Report {
            since_utc_ms: query.since_utc_ms,
            until_utc_ms: query.until_utc_ms.unwrap_or(query.since_utc_ms),
            total: ReportRow {
                hits: 3,
                ..ReportRow::default()
            },
            ..Report::default()
        })
    }

    fn calibration(&self, query: &CalibrationQuery) -> Result<CalibrationView, BackendError> {
        Ok(CalibrationView {
            false_alarm_share: query.false_alarms,
            rows: Vec::new(),
        })
    }

    fn series(&self, query: &SeriesQuery) -> Result<Series, BackendError> {
        let demo = self
            .0
            .lock()
            .map_err(|_| BackendError::Unavailable("the demo broke".to_owned()))?;
        let column: fn(&(i64, f64, f64)) -> f64 = match (query.entity.as_str(), query.field.as_str()) {
            ("host", "cpu_busy") => |row| row.1,
            ("host", "cpu_waiting") => |row| row.2,
            ("host", "cpu_capacity") => |_| f64::from(CPUS),
            _ => {
                return Err(BackendError::NotFound(format!(
                    "{} of {}",
                    query.field, query.entity
                )));
            }
        };
        let rows: Vec<_> = demo
            .record
            .iter()
            .filter(|row| query.from_utc_ms <= row.0 && row.0 < query.to_utc_ms)
            .collect();
        let size = rows.len().div_ceil(query.points as usize).max(1);
        let mut series = Series {
            entity: query.entity.clone(),
            field: query.field.clone(),
            unit: "cores".to_owned(),
            ..Series::default()
        };
        for chunk in rows.chunks(size) {
            let values = || chunk.iter().map(|row| column(row));
            series.at_utc_ms.push(chunk[0].0);
            series.mean.push(Some(values().sum::<f64>() / chunk.len() as f64));
            series.maximum.push(values().reduce(f64::max));
        }
        Ok(series)
    }

    fn plan(&self, request: &PlanRequest) -> Result<PlanView, BackendError> {
        Err(BackendError::Invalid {
            text: format!("{}: the demo has no planner", request.file_name),
            hint: None,
        })
    }
}
