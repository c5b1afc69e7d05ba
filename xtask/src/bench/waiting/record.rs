//! Making records of real contention: seeded loads that run into their CPU limits, into each other on one core, or into
//! each other on the disk, with the daemon observing. What it recorded becomes series of one second each.

use super::table::Record;
use crate::bench::observed::{Observed, Watched};
use crate::load::shape::{Piece, boot_s};
use crate::random::Random;
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::path::Path;
use tidegate_forecast::models::waiting::follow;
use tidegate_history::Reader;
use tidegate_types::{App, AppName, Apps, Class, Grant, Managed, Owner, Resource, Sample, Unit};

/// Groups that each kind has at once: their seeds differ.
const LIMITED: u64 = 5;
const PAIRS: u64 = 2;
const LIMIT_CORES: f64 = 0.08;
/// Size of the file that the disk's readers read from; more than they can read twice of in a record.
const FILE_BYTES: u64 = 2 << 30;
/// Reads that the disk's victim wants per second, and the most that its neighbour does.
const VICTIM_READS_PER_S: f64 = 350.0;
const NEIGHBOUR_READS_PER_S: f64 = 4000.0;
const LEAD_S: f64 = 5.0;

/// Which resource is contended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Apps that run into CPU limits of their own
    Limit,
    /// Pairs of apps that share a core
    Core,
    /// Pairs of apps that read from the same disk
    Disk,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Limit, Self::Core, Self::Disk];

    /// As it is written in records.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Core => "core",
            Self::Disk => "disk",
        }
    }
}

/// An app of a record with its load.
struct Loaded {
    watched: Watched,
    pieces: Vec<Piece>,
    core: Option<u32>,
    disk: bool,
    threads: u32,
}

/// Demand that rises and falls by itself, ramps up over a minute now and then, and bursts: pieces of some seconds, as
/// shares of what the app can get.
fn shares(random: &mut Random, seconds: f64, spell_mean_s: f64) -> Vec<(f64, f64)> {
    let (mut at_s, mut level, mut pieces) = (0.0, 0.4, Vec::new());
    let calm_s = random.between(30.0, 90.0);
    let regular = random.uniform() < 0.4;
    while at_s < seconds {
        let gap_s = if regular {
            calm_s + random.between(-3.0, 3.0)
        } else {
            10.0 + random.exponential(calm_s)
        };
        let until_s = at_s + gap_s;
        while at_s < until_s {
            level = (level + random.between(-0.15, 0.15)).clamp(0.1, 0.75);
            pieces.push((at_s, level));
            at_s += random.between(3.0, 8.0);
        }
        if random.uniform() < 0.5 {
            // A ramp: what comes can be seen coming.
            for step in 1..=8 {
                pieces.push((at_s, level + (1.1 - level) * f64::from(step) / 8.0));
                at_s += random.between(2.0, 5.0);
            }
        }
        pieces.push((at_s, random.between(1.2, 3.0)));
        at_s += 4.0 + random.exponential(spell_mean_s);
    }
    pieces
}

fn pieces(
    shares: &[(f64, f64)],
    zero_s: f64,
    end_s: f64,
    whole: f64,
    most: f64,
    patience_s: f64,
) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = shares
        .iter()
        .filter(|(at_s, _)| zero_s + at_s < end_s)
        .map(|(at_s, share)| Piece {
            at_s: zero_s + at_s,
            per_s: Some((share * whole).min(most)),
            patience_s,
        })
        .collect();
    pieces.push(Piece {
        at_s: end_s,
        per_s: None,
        patience_s,
    });
    pieces
}

fn watched(name: &str, class: &'static str, limit_cores: Option<f64>) -> Watched {
    Watched {
        name: name.to_owned(),
        class,
        limit_cores,
        may_switch: false,
    }
}

fn limited(number: u64, seed: u64, zero_s: f64, end_s: f64) -> Loaded {
    let mut random = Random::new(seed, 100 + number);
    let shares = shares(&mut random, end_s - zero_s, 8.0);
    let patience_s = [0.05, 1.0, 4.0][random.below(3)];
    Loaded {
        watched: watched(&format!("limited-{number}"), "standard", Some(LIMIT_CORES)),
        pieces: pieces(&shares, zero_s, end_s, LIMIT_CORES, 1.0, patience_s),
        core: None,
        disk: false,
        threads: 1,
    }
}

/// A victim with even demand, and a neighbour of class batch that comes and goes. Both are held below a part of the
/// core, so that the host has something left.
fn core_pair(number: u64, seed: u64, zero_s: f64, end_s: f64) -> [Loaded; 2] {
    let mut random = Random::new(seed, 200 + number);
    let core =
        Some(number as u32 % std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32));
    let even: Vec<(f64, f64)> = (0..(end_s - zero_s) as u32 / 10)
        .map(|step| (f64::from(step) * 10.0, random.between(0.10, 0.25)))
        .collect();
    let shares = shares(&mut random, end_s - zero_s, 6.0);
    let spells: Vec<(f64, f64)> = shares
        .iter()
        .map(|(at_s, share)| (*at_s, if *share > 1.1 { 0.9 } else { 0.3 * share }))
        .collect();
    let load = |name: &str, class, shares: &[(f64, f64)]| Loaded {
        watched: watched(&format!("{name}-{number}"), class, None),
        pieces: pieces(shares, zero_s, end_s, 1.0, 1.0, 0.5),
        core,
        disk: false,
        threads: 1,
    };
    [
        load("core-victim", "standard", &even),
        load("core-neighbour", "batch", &spells),
    ]
}

fn disk_pair(number: u64, seed: u64, zero_s: f64, end_s: f64) -> [Loaded; 2] {
    let mut random = Random::new(seed, 300 + number);
    let even: Vec<(f64, f64)> = (0..(end_s - zero_s) as u32 / 10)
        .map(|step| (f64::from(step) * 10.0, random.between(0.6, 1.0)))
        .collect();
    let shares = shares(&mut random, end_s - zero_s, 6.0);
    let spells: Vec<(f64, f64)> = shares
        .iter()
        .map(|(at_s, share)| (*at_s, if *share > 1.1 { 1.0 } else { 0.02 * share }))
        .collect();
    let load = |name: &str, class, shares: &[(f64, f64)], whole: f64, threads| Loaded {
        watched: watched(&format!("{name}-{number}"), class, None),
        pieces: pieces(shares, zero_s, end_s, whole, whole, 0.5),
        core: None,
        disk: true,
        threads,
    };
    [
        load("disk-victim", "standard", &even, VICTIM_READS_PER_S, 1),
        load("disk-neighbour", "batch", &spells, NEIGHBOUR_READS_PER_S, 16),
    ]
}

/// Runs all loads of the kinds for so many minutes, and gives the records.
pub(super) fn record(
    program: &Path,
    folder: &Path,
    kinds: &[Kind],
    minutes: f64,
    seed: u64,
) -> Result<Vec<Record>> {
    let zero_s = boot_s() + 60.0;
    let end_s = zero_s + minutes * 60.0;
    let mut loads: Vec<Loaded> = Vec::new();
    for kind in kinds {
        match kind {
            Kind::Limit => loads.extend((0..LIMITED).map(|number| limited(number, seed, zero_s, end_s))),
            Kind::Core => loads.extend((0..PAIRS).flat_map(|number| core_pair(number, seed, zero_s, end_s))),
            Kind::Disk => loads.extend(disk_pair(0, seed, zero_s, end_s)),
        }
    }
    let apps: Vec<Watched> = loads.iter().map(|load| load.watched.clone()).collect();
    let mut observed = Observed::open(program, folder, &apps)?;
    let file = folder.join("read-from");
    if kinds.contains(&Kind::Disk) {
        fill(&file)?;
    }
    let mut children = Vec::new();
    for load in &loads {
        children.push(start(&mut observed, load, &file)?);
    }
    anyhow::ensure!(
        boot_s() + LEAD_S < zero_s,
        "the loads started too late: the disk is too slow"
    );
    for mut child in children {
        let status = child.wait().context("a load is lost")?;
        anyhow::ensure!(status.success(), "a load ended with {status}");
    }
    std::fs::remove_file(&file).ok();
    let history = observed.close()?;
    read(&history, kinds, seed)
}

/// Fills the file with what no device can answer without reading.
fn fill(path: &Path) -> Result<()> {
    use std::io::Write as _;
    let context = || format!("cannot fill {}", path.display());
    let mut file = std::fs::File::create(path).with_context(context)?;
    let mut state = 88_172_645_463_325_252_u64;
    let mut block = vec![0_u8; 1 << 20];
    for _ in 0..FILE_BYTES >> 20 {
        for bytes in block.chunks_exact_mut(64) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            bytes[..8].copy_from_slice(&state.to_le_bytes());
        }
        file.write_all(&block).with_context(context)?;
    }
    file.sync_all().with_context(context)
}

fn start(observed: &mut Observed, load: &Loaded, file: &Path) -> Result<std::process::Child> {
    let name = &load.watched.name;
    let plan = observed.folder.join(format!("{name}.json"));
    let out = observed.folder.join(format!("{name}.begins"));
    std::fs::write(&plan, serde_json::to_vec(&load.pieces)?)
        .with_context(|| format!("cannot write {}", plan.display()))?;
    if let Some(core) = load.core {
        observed.pin(name, core)?;
    }
    let threads = load.threads.to_string();
    let mut arguments: Vec<&OsStr> = vec!["shape".as_ref(), "--pieces".as_ref(), plan.as_ref()];
    arguments.extend([
        OsStr::new("--out"),
        out.as_ref(),
        "--threads".as_ref(),
        threads.as_ref(),
    ]);
    if load.disk {
        arguments.extend([OsStr::new("--file"), file.as_ref()]);
    }
    observed.start(name, &arguments)
}

/// Cuts the records out of what the daemon kept.
fn read(history: &Path, kinds: &[Kind], seed: u64) -> Result<Vec<Record>> {
    let samples: Vec<Sample> = Reader::open(history)
        .samples(0..i64::MAX)?
        .collect::<Result<_, _>>()
        .context("the samples were not recorded")?;
    let mut records = Vec::new();
    for kind in kinds {
        let groups: Vec<Vec<(String, Class)>> = match kind {
            Kind::Limit => vec![
                (0..LIMITED)
                    .map(|number| (format!("limited-{number}"), Class::Standard))
                    .collect(),
            ],
            Kind::Core => (0..PAIRS).map(|number| pair("core", number)).collect(),
            Kind::Disk => vec![pair("disk", 0)],
        };
        for (number, group) in groups.iter().enumerate() {
            let apps: Apps = group.iter().map(|(name, class)| managed(name, *class)).collect();
            let mut found = follow(&samples, &apps);
            found.retain(|series| {
                is_of(*kind, &series.unit) && series.seconds.iter().any(|second| second.contended)
            });
            records.extend(found.into_iter().map(|series| Record {
                kind: *kind,
                name: format!("{seed}-{number}:{}", series.unit),
                series,
            }));
        }
    }
    Ok(records)
}

fn pair(kind: &str, number: u64) -> Vec<(String, Class)> {
    vec![
        (format!("{kind}-victim-{number}"), Class::Standard),
        (format!("{kind}-neighbour-{number}"), Class::Batch),
    ]
}

fn is_of(kind: Kind, unit: &Unit) -> bool {
    match kind {
        Kind::Limit => matches!(unit, Unit::Limit(_, Resource::Cpu)),
        Kind::Core => *unit == Unit::Cpu,
        Kind::Disk => matches!(unit, Unit::Disk(..)),
    }
}

fn managed(name: &str, class: Class) -> (AppName, Managed) {
    let app = App {
        name: AppName::new(name),
        group: None,
        owner: Owner::Tidegate,
        parent: None,
        executable: None,
        user: None,
    };
    let grant = Grant {
        class,
        ..Grant::default()
    };
    (app.name.clone(), Managed { app, grant })
}
