//! `/metrics`, from the one registry of fields and the view.
//!
//! Samples hold rates; Prometheus wants counters, which survive a missed scrape. So every rate is summed
//! over the measured intervals since the daemon started. Names follow the registry: `tidegate_<noun>_<unit>`
//! with `_total` on counters; pressure is spelled as the Prometheus node exporter spells it. What was not
//! measured has no line. Labels are bounded: at most [`MAX_APPS`] apps, and what was left out is itself a metric.

use crate::shared::Shared;
use crate::view::{LeaseState, View, finite};
use std::collections::BTreeMap;
use std::fmt::Write;
use tidegate_types::{Entity, EntityKind, Field, FieldSpec, MeasureUnit, Mode, ROW_WIDTH, Row, Sample};

/// The text format's own media type.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Apps with series of their own: at thirty fields each, what one Prometheus takes without complaint.
const MAX_APPS: usize = 500;

/// Whether the field is summed up over time, or is a level as it stands.
fn is_counter(spec: &FieldSpec) -> bool {
    // Capacities, limits, speeds and quotients carry the unit of a rate but are levels.
    let level = matches!(
        spec.field,
        Field::HostCpuCapacity
            | Field::CpuLimit
            | Field::CpuThrottledPeriods
            | Field::DiskLatencyRatio
            | Field::NicSpeed
    );
    let rate = matches!(
        spec.unit,
        MeasureUnit::Cores | MeasureUnit::Ratio | MeasureUnit::BytesPerSecond | MeasureUnit::PerSecond
    );
    rate && !level
}

fn noun(spec: &FieldSpec) -> &'static str {
    match spec.kind {
        // `self_cpu` says itself what it is about; host pressure has the node exporter's name.
        EntityKind::Host if spec.name.starts_with("self_") || is_pressure(spec) => "",
        EntityKind::Host => "host_",
        EntityKind::Core => "core_",
        EntityKind::Node => "node_",
        EntityKind::Disk => "disk_",
        EntityKind::Nic => "nic_",
        EntityKind::App => "app_",
        // Not `app_disk_`: an app's own totals are called so.
        EntityKind::AppDisk => "app_device_",
        EntityKind::AppCore => "app_core_",
        EntityKind::AppNode => "app_node_",
        EntityKind::DiskRange => "disk_range_",
        EntityKind::AppRange => "app_disk_range_",
    }
}

fn is_pressure(spec: &FieldSpec) -> bool {
    let shared = matches!(spec.kind, EntityKind::Host | EntityKind::App);
    let named = spec.name.split_once('_').is_some_and(|(resource, state)| {
        matches!(resource, "cpu" | "memory" | "io") && matches!(state, "waiting" | "stalled")
    });
    shared && named
}

/// The name of `field` at `/metrics`.
pub fn metric_name(field: Field) -> String {
    let spec = field.spec();
    let pressure = if is_pressure(spec) { "pressure_" } else { "" };
    let unit = match (is_counter(spec), spec.unit) {
        (true, MeasureUnit::Cores | MeasureUnit::Ratio) => "_seconds_total",
        (true, MeasureUnit::BytesPerSecond) => "_bytes_total",
        (true, _) => "_total",
        (false, MeasureUnit::Cores) => "_cores",
        (false, MeasureUnit::Ratio) => "_ratio",
        (false, MeasureUnit::Bytes) => "_bytes",
        (false, MeasureUnit::BytesPerSecond) => "_bytes_per_second",
        (false, MeasureUnit::Seconds) => "_seconds",
        // `_count` is reserved for histograms; a plain number has no unit to name.
        (false, MeasureUnit::PerSecond | MeasureUnit::Count) => "",
    };
    format!("tidegate_{}{pressure}{}{unit}", noun(spec), spec.name)
}

/// Rates summed over time, for every entity of the last sample.
#[derive(Debug, Default)]
pub(crate) struct Totals(BTreeMap<Entity, [f64; ROW_WIDTH]>);

impl Totals {
    /// Adds `sample`'s rates times its interval. Entities that are gone take their counters with them.
    pub(crate) fn add(&mut self, sample: &Sample) {
        if sample.rows.is_empty() {
            return;
        }
        self.0.retain(|entity, _| sample.row(entity).is_some());
        for row in &sample.rows {
            let totals = self.0.entry(row.entity.clone()).or_insert([f64::NAN; ROW_WIDTH]);
            for (total, value) in totals.iter_mut().zip(row.values) {
                let grown = value * sample.interval_s;
                if grown.is_finite() {
                    *total = if total.is_nan() { grown } else { *total + grown };
                }
            }
        }
    }

    fn get(&self, entity: &Entity, field: Field) -> Option<f64> {
        let total = self.0.get(entity)?[field.slot()];
        finite(total)
    }
}

fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn labels_of(entity: &Entity) -> String {
    match entity {
        Entity::Host => String::new(),
        Entity::Core(number) => format!("{{cpu=\"{number}\"}}"),
        Entity::Node(number) => format!("{{node=\"{number}\"}}"),
        Entity::Disk(name) | Entity::Nic(name) => format!("{{device=\"{}\"}}", escape(name)),
        Entity::App(app) => format!("{{app=\"{}\"}}", escape(app.as_str())),
        Entity::AppDisk(app, device) => {
            format!(
                "{{app=\"{}\",device=\"{}\"}}",
                escape(app.as_str()),
                escape(device)
            )
        }
        Entity::AppCore(app, number) => format!("{{app=\"{}\",cpu=\"{number}\"}}", escape(app.as_str())),
        Entity::AppNode(app, number) => format!("{{app=\"{}\",node=\"{number}\"}}", escape(app.as_str())),
        Entity::DiskRange(disk, from, to) => {
            format!("{{device=\"{}\",range=\"{from}-{to}\"}}", escape(disk))
        }
        Entity::AppRange(app, disk, from, to) => {
            format!(
                "{{app=\"{}\",device=\"{}\",range=\"{from}-{to}\"}}",
                escape(app.as_str()),
                escape(disk)
            )
        }
    }
}

/// The text as it grows. Writing to a `String` cannot fail, so its results are dropped.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(
            self.0,
            "# HELP {name} {}",
            help.replace('\\', "\\\\").replace('\n', " ")
        );
        let _ = writeln!(self.0, "# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: f64) {
        let _ = if value.is_infinite() {
            let sign = if value > 0.0 { '+' } else { '-' };
            writeln!(self.0, "{name}{labels} {sign}Inf")
        } else {
            writeln!(self.0, "{name}{labels} {value}")
        };
    }

    fn gauge(&mut self, name: &str, help: &str, value: Option<f64>) {
        let Some(value) = value else { return };
        self.head(name, "gauge", help);
        self.line(name, "", value);
    }

    fn family<'a>(
        &mut self,
        (name, kind, help): (&str, &str, &str),
        lines: impl Iterator<Item = (String, Option<f64>)> + 'a,
    ) {
        let mut started = false;
        for (labels, value) in lines {
            let Some(value) = value else { continue };
            if !started {
                self.head(name, kind, help);
                started = true;
            }
            self.line(name, &labels, value);
        }
    }
}

/// The rows whose series are shown: all but those of apps beyond the bound.
fn bounded_rows(sample: &Sample) -> (Vec<&Row>, usize) {
    let mut seen = 0_usize;
    let mut last = None;
    let rows = sample.rows.iter().filter(|row| {
        if let Entity::App(name) = &row.entity {
            seen += 1;
            if seen == MAX_APPS {
                last = Some(name);
            }
        }
        match (row.entity.app(), last) {
            (Some(name), Some(last)) => name <= last,
            _ => true,
        }
    });
    let rows = rows.collect();
    (rows, seen.saturating_sub(MAX_APPS))
}

fn render_fields(page: &mut Page, sample: &Sample, totals: &Totals) {
    let (rows, omitted) = bounded_rows(sample);
    for spec in Field::all() {
        let counter = is_counter(spec);
        let lines = rows
            .iter()
            .filter(|row| row.entity.kind() == spec.kind)
            .map(|row| {
                let value = if counter {
                    totals.get(&row.entity, spec.field)
                } else {
                    row.get(spec.field)
                };
                (labels_of(&row.entity), value)
            });
        let kind = if counter { "counter" } else { "gauge" };
        page.family((&metric_name(spec.field), kind, spec.help), lines);
    }
    page.gauge(
        "tidegate_metrics_apps_omitted",
        "Apps without series of their own, because there are more than the bound.",
        Some(omitted as f64),
    );
}

fn render_map(page: &mut Page, view: &View) {
    let rows = || view.map.rows.iter();
    let unit = |name: &str| format!("unit=\"{}\"", escape(name));
    page.family(
        (
            "tidegate_contention_probability_ratio",
            "gauge",
            "Probability that contention begins or goes on within the window.",
        ),
        rows().flat_map(|row| {
            row.windows.iter().map(move |window| {
                let labels = format!("{{{},window_seconds=\"{}\"}}", unit(&row.unit), window.window_s);
                (labels, Some(window.probability))
            })
        }),
    );
    page.family(
        (
            "tidegate_contention_confidence_ratio",
            "gauge",
            "How much the probabilities of the unit deserve trust.",
        ),
        rows().map(|row| (format!("{{{}}}", unit(&row.unit)), Some(row.confidence))),
    );
    page.family(
        (
            "tidegate_contention_onset_timestamp_seconds",
            "gauge",
            "When contention is expected to begin: the median.",
        ),
        rows().map(|row| {
            let onset = row.onset_utc_ms.map(|onset| onset.q50 / 1e3);
            (format!("{{{}}}", unit(&row.unit)), onset)
        }),
    );
    page.family(
        (
            "tidegate_contention_ongoing",
            "gauge",
            "1 while contention of the unit goes on.",
        ),
        rows().map(|row| {
            let ongoing = f64::from(u8::from(row.ongoing_since_utc_ms.is_some()));
            (format!("{{{}}}", unit(&row.unit)), Some(ongoing))
        }),
    );
}

fn render_skill(page: &mut Page, view: &View) {
    let labels = |row: &crate::view::SkillRow| {
        format!(
            "{{unit=\"{}\",window_seconds=\"{}\"}}",
            escape(&row.unit),
            row.window_s
        )
    };
    for (name, help, value) in [
        (
            "tidegate_forecast_hits_total",
            "Alarms that came true.",
            (|row| row.hits) as fn(&crate::view::SkillRow) -> u64,
        ),
        (
            "tidegate_forecast_misses_total",
            "Contention without an alarm.",
            |row| row.misses,
        ),
        (
            "tidegate_forecast_false_alarms_total",
            "Alarms without contention.",
            |row| row.false_alarms,
        ),
    ] {
        page.family(
            (name, "counter", help),
            view.skill
                .iter()
                .map(|row| (labels(row), Some(value(row) as f64))),
        );
    }
    page.family(
        (
            "tidegate_forecast_skill_ratio",
            "gauge",
            "Brier skill score against the unit's own base rate: 1 is perfect, 0 is no better.",
        ),
        view.skill.iter().map(|row| (labels(row), row.skill)),
    );
}

fn render_state(page: &mut Page, view: &View, age_s: f64) {
    page.head(
        "tidegate_build_info",
        "gauge",
        "Always 1; the labels say which build runs.",
    );
    let version = format!("{{version=\"{}\"}}", escape(&view.host.version));
    page.line("tidegate_build_info", &version, 1.0);
    page.gauge(
        "tidegate_uptime_seconds",
        "Seconds since the daemon started.",
        Some(view.uptime_s),
    );
    page.gauge(
        "tidegate_view_age_seconds",
        "Seconds since the loop last turned.",
        Some(age_s),
    );
    page.gauge(
        "tidegate_apps",
        "Apps that are there now.",
        Some(f64::from(view.apps_total)),
    );
    page.gauge(
        "tidegate_paused",
        "1 between pause and resume.",
        Some(f64::from(u8::from(view.paused))),
    );
    page.family(
        ("tidegate_mode", "gauge", "1 for the mode that holds at most."),
        [
            ("observe", Mode::Observe),
            ("advise", Mode::Advise),
            ("enforce", Mode::Enforce),
        ]
        .into_iter()
        .map(|(word, mode)| {
            let holds = f64::from(u8::from(view.mode == mode));
            (format!("{{mode=\"{word}\"}}"), Some(holds))
        }),
    );
    page.family(
        ("tidegate_leases", "gauge", "Leases that hold now or later."),
        [("active", LeaseState::Active), ("ahead", LeaseState::Ahead)]
            .into_iter()
            .map(|(word, state)| {
                let count = view
                    .plan
                    .leases
                    .iter()
                    .filter(|lease| lease.state == state)
                    .count();
                (format!("{{state=\"{word}\"}}"), Some(count as f64))
            }),
    );
}

/// The whole text.
pub(crate) fn render(shared: &Shared) -> String {
    let published = shared.published();
    let mut page = Page(String::with_capacity(64 << 10));
    render_state(&mut page, &published.view, published.at.elapsed().as_secs_f64());
    render_map(&mut page, &published.view);
    render_skill(&mut page, &published.view);
    shared.with_totals(|totals| render_fields(&mut page, &published.sample, totals));
    page.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_spelled_as_prometheus_wants() {
        let mut names: Vec<String> = Field::all().iter().map(|spec| metric_name(spec.field)).collect();
        for (name, spec) in names.iter().zip(Field::all()) {
            assert!(name.starts_with("tidegate_"), "{name}");
            assert_eq!(name.ends_with("_total"), is_counter(spec), "{name}");
            assert!(!name.ends_with("_count"), "{name}");
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{name}"
            );
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), Field::all().len());
    }

    #[test]
    fn pressure_is_spelled_as_node_exporter_spells_it() {
        for (field, expected) in [
            (
                Field::HostCpuWaiting,
                "tidegate_pressure_cpu_waiting_seconds_total",
            ),
            (Field::HostIoStalled, "tidegate_pressure_io_stalled_seconds_total"),
            (
                Field::MemoryWaiting,
                "tidegate_app_pressure_memory_waiting_seconds_total",
            ),
            (Field::CpuUsage, "tidegate_app_cpu_usage_seconds_total"),
            (Field::CpuLimit, "tidegate_app_cpu_limit_cores"),
            (Field::DiskRead, "tidegate_disk_read_bytes_total"),
            (Field::DiskReadOps, "tidegate_disk_read_ops_total"),
            (Field::SelfTickLate, "tidegate_self_tick_late_seconds"),
            (Field::HostRunnable, "tidegate_host_runnable"),
        ] {
            assert_eq!(metric_name(field), expected);
        }
    }

    fn sample(interval_s: f64, entities: &[(Entity, Field, f64)]) -> Sample {
        let mut sample = Sample {
            interval_s,
            ..Sample::default()
        };
        for (entity, field, value) in entities {
            let mut row = Row::empty(entity.clone());
            row.set(*field, *value);
            sample.rows.push(row);
        }
        sample.sort();
        sample
    }

    #[test]
    fn counters_sum_rates_over_measured_intervals_and_go_with_their_entity() {
        let (host, disk) = (Entity::Host, Entity::Disk("vda".into()));
        let mut totals = Totals::default();
        let both = [
            (host.clone(), Field::HostCpuBusy, 2.0),
            (disk.clone(), Field::DiskRead, 100.0),
        ];
        totals.add(&sample(1.5, &both));
        totals.add(&sample(1.0, &both));
        assert_eq!(totals.get(&host, Field::HostCpuBusy), Some(5.0));
        assert_eq!(totals.get(&disk, Field::DiskRead), Some(250.0));
        assert_eq!(totals.get(&host, Field::HostCpuSteal), None, "never measured");
        totals.add(&Sample::default());
        assert_eq!(
            totals.get(&disk, Field::DiskRead),
            Some(250.0),
            "a failed tick forgets nothing"
        );
        totals.add(&sample(1.0, &both[..1]));
        assert_eq!(totals.get(&disk, Field::DiskRead), None);
    }

    #[test]
    fn labels_cannot_break_out_of_their_quotes() {
        let name = tidegate_types::AppName::new("a\"b\\c\nd");
        assert_eq!(labels_of(&Entity::App(name)), r#"{app="a\"b\\c\nd"}"#);
    }
}
