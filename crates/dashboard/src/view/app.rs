//! One app as the tables show it.

use super::{DemandRow, QuantileRow, finite};
use crate::words::ClassWord;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidegate_types::{Class, Entity, Field, Managed, Mode, Owner, Resource, Sample};
use utoipa::ToSchema;

/// Recent values of one entity, one a sample, oldest first; `null` where nothing was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Sparks {
    /// CPU cores.
    pub cpu_cores: Vec<Option<f32>>,
    /// Memory in mebibytes.
    pub memory_mib: Vec<Option<f32>>,
    /// Share of time waiting for a CPU, memory or I/O, whichever is the worst.
    pub waiting_ratio: Vec<Option<f32>>,
}

/// One app: who it is, what may be done to it, and what it does now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AppRow {
    /// Its name in history.
    pub name: String,
    /// Its class.
    #[schema(value_type = ClassWord)]
    pub class: Class,
    /// Mode per resource; a resource that is not listed is observed.
    #[schema(value_type = BTreeMap<String, crate::words::ModeWord>)]
    pub modes: BTreeMap<Resource, Mode>,
    /// Why it is never acted on, where that is so.
    pub untouchable: Option<String>,
    /// Who decides over its group: `tidegate`, `delegated`, `systemd NAME`, another manager, or `nobody`.
    pub owner: String,
    /// Paths of its groups, one per hierarchy; empty where it has none of its own.
    pub groups: Vec<String>,
    /// The app above it whose limits bind it too.
    pub parent: Option<String>,
    /// Executable of its first process, without arguments.
    pub executable: Option<String>,
    /// User of its first process.
    pub user: Option<String>,
    /// Processes.
    pub processes: Option<f64>,
    /// CPU cores in use.
    pub cpu_cores: Option<f64>,
    /// CPU limit in cores; `null` where there is none or it could not be read.
    pub cpu_limit_cores: Option<f64>,
    /// Demand for CPU in the last minutes, in cores, where something held the app back or it takes whatever it is
    /// allowed; `null` where usage says it all.
    #[serde(default)]
    pub cpu_demand_cores: Option<QuantileRow>,
    /// True where the upper part of the demand is only a lower bound.
    #[serde(default)]
    pub cpu_demand_censored: bool,
    /// True where the app takes whatever it is allowed.
    #[serde(default)]
    pub elastic: bool,
    /// Seconds throttled per second, summed over CPUs.
    pub cpu_throttled_ratio: Option<f64>,
    /// Share of time in which some task waited for a CPU.
    pub cpu_waiting_ratio: Option<f64>,
    /// Memory in bytes.
    pub memory_bytes: Option<f64>,
    /// Memory limit in bytes; `null` where there is none or it could not be read.
    pub memory_limit_bytes: Option<f64>,
    /// Share of time in which some task waited for memory.
    pub memory_waiting_ratio: Option<f64>,
    /// Bytes read from disks per second.
    pub disk_read_bytes_per_second: Option<f64>,
    /// Bytes written to disks per second.
    pub disk_write_bytes_per_second: Option<f64>,
    /// Share of time in which some task waited for I/O.
    pub io_waiting_ratio: Option<f64>,
    /// Bytes received per second.
    pub net_rx_bytes_per_second: Option<f64>,
    /// Bytes sent per second.
    pub net_tx_bytes_per_second: Option<f64>,
    /// Recent values; empty where they were not asked for.
    #[serde(default)]
    pub sparks: Sparks,
}

fn owner_words(owner: &Owner) -> String {
    match owner {
        Owner::Tidegate => "tidegate".to_owned(),
        Owner::Delegated => "delegated".to_owned(),
        Owner::Systemd(unit) => format!("systemd {unit}"),
        Owner::Other(name) => name.to_string(),
        Owner::Nobody => "nobody".to_owned(),
    }
}

impl AppRow {
    /// The row of `managed` with its values from `sample`; the sparks stay empty.
    pub fn new(managed: &Managed, sample: &Sample) -> Self {
        let app = &managed.app;
        let row = sample.row(&Entity::App(app.name.clone()));
        let value = |field| row.and_then(|row| row.get(field)).and_then(finite);
        Self {
            name: app.name.to_string(),
            class: managed.grant.class,
            modes: managed.grant.modes.clone(),
            untouchable: managed.grant.untouchable.as_deref().map(str::to_owned),
            owner: owner_words(&app.owner),
            groups: app
                .group
                .iter()
                .flat_map(|group| &group.paths)
                .map(|path| path.path.to_string())
                .collect(),
            parent: app.parent.as_ref().map(ToString::to_string),
            executable: app.executable.as_deref().map(str::to_owned),
            user: app.user.as_deref().map(str::to_owned),
            processes: value(Field::Processes),
            cpu_cores: value(Field::CpuUsage),
            cpu_limit_cores: value(Field::CpuLimit),
            cpu_demand_cores: None,
            cpu_demand_censored: false,
            elastic: false,
            cpu_throttled_ratio: value(Field::CpuThrottled),
            cpu_waiting_ratio: value(Field::CpuWaiting),
            memory_bytes: value(Field::Memory),
            memory_limit_bytes: value(Field::MemoryLimit),
            memory_waiting_ratio: value(Field::MemoryWaiting),
            disk_read_bytes_per_second: value(Field::AppRead),
            disk_write_bytes_per_second: value(Field::AppWrite),
            io_waiting_ratio: value(Field::IoWaiting),
            net_rx_bytes_per_second: value(Field::AppReceive),
            net_tx_bytes_per_second: value(Field::AppTransmit),
            sparks: Sparks::default(),
        }
    }

    /// Takes in what the map says of the app's demand.
    pub fn set_demand(&mut self, demand: &DemandRow) {
        self.cpu_demand_cores = Some(demand.cores);
        self.cpu_demand_censored = demand.censored;
        self.elastic = demand.elastic;
    }

    /// The worst waiting of the app, as a share of time; throttled time counts as waiting for a CPU.
    pub fn waiting_ratio(&self) -> Option<f64> {
        let waits = [
            self.cpu_waiting_ratio,
            self.cpu_throttled_ratio.map(|share| share.min(1.0)),
            self.memory_waiting_ratio,
            self.io_waiting_ratio,
        ];
        waits.into_iter().flatten().reduce(f64::max)
    }
}
