//! The chain of the live bench: the front works at uneven times and then calls the back, which runs into its limit.
//!
//! The same record is fed to the engine once more without what was seen of the graph: what then still names an onset
//! is not the graph's merit.

use super::{LIMIT_CORES, Observed, Watched, limited};
use crate::bench::report::{Bound, Report};
use crate::bench::stats;
use crate::load::shape::begins;
use crate::random::Random;
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Child;
use tidegate_engine::{Config, State, tick};
use tidegate_history::Reader;
use tidegate_types::{AppName, ContentionMap, Event, Resource, Unit};

const FRONT: &str = "front";
const BACK: &str = "back";
/// Between two beginnings of the front's work: a wait that no period explains.
const GAP_LEAST_S: f64 = 30.0;
const GAP_MEAN_S: f64 = 30.0;
const FRONT_WORKS_S: f64 = 2.0;
const BACK_WORKS_S: f64 = 6.0;
/// From the beginning of the front's work to that of the back's.
const LAG_S: f64 = 6.0;
/// Onsets from which the lag is learned before the map is held to it.
const LEARNED: usize = 8;
/// An onset is named when it is told at least this much ahead, and this near.
const AHEAD_S: f64 = 1.0;
const NEAR_S: f64 = 2.0;

/// The two programs.
pub(super) struct Chain {
    children: Vec<Child>,
    out: PathBuf,
}

impl Chain {
    /// The apps to watch. The front is not limited: its rise is the sign, not contention of its own.
    pub(super) fn apps() -> [Watched; 2] {
        let front = Watched {
            limit_cores: None,
            may_switch: false,
            ..limited(FRONT)
        };
        [front, limited(BACK)]
    }

    /// Starts both.
    pub(super) fn start(observed: &mut Observed, zero_s: f64, end_s: f64, seed: u64) -> Result<Self> {
        const { assert!(LIMIT_CORES < 1.0, "the back must run into its limit") };
        let (port, out) = (observed.folder.join("port"), observed.folder.join("back.begins"));
        let works = BACK_WORKS_S.to_string();
        let back: [&OsStr; 8] = [
            "calls".as_ref(),
            "back".as_ref(),
            "--port".as_ref(),
            port.as_ref(),
            "--out".as_ref(),
            out.as_ref(),
            "--works-s".as_ref(),
            works.as_ref(),
        ];
        let mut children = vec![observed.start(BACK, &back)?];
        let moments: Vec<String> = moments(zero_s, end_s - 2.0 * GAP_LEAST_S, seed)
            .iter()
            .map(|at_s| format!("{at_s:.3}"))
            .collect();
        let (moments, works, lag) = (moments.join(","), FRONT_WORKS_S.to_string(), LAG_S.to_string());
        let front: [&OsStr; 10] = [
            "calls".as_ref(),
            "front".as_ref(),
            "--port".as_ref(),
            port.as_ref(),
            "--at-s".as_ref(),
            moments.as_ref(),
            "--works-s".as_ref(),
            works.as_ref(),
            "--lag-s".as_ref(),
            lag.as_ref(),
        ];
        children.push(observed.start(FRONT, &front)?);
        Ok(Self { children, out })
    }

    /// Waits for both.
    pub(super) fn finish(&mut self) -> Result<()> {
        for child in &mut self.children {
            let status = child.wait().context("a program of the chain is lost")?;
            anyhow::ensure!(status.success(), "a program of the chain ended with {status}");
        }
        Ok(())
    }

    /// How many of the back's onsets were named ahead, with the graph and without it.
    pub(super) fn report(&self, report: &mut Report, reader: &Reader, maps: &[ContentionMap]) -> Result<()> {
        let onsets_s = begins(&self.out)?;
        let judged = onsets_s.get(LEARNED..).unwrap_or_default();
        let with = leads(maps, judged);
        let without = leads(&maps_without_graph(reader)?, judged);
        let count = judged.len() as f64;
        let share = |leads: &[Option<f64>]| leads.iter().flatten().count() as f64 / count;
        report.value(
            "chain: onsets of the downstream",
            count,
            "",
            Some(Bound::AtLeast(10.0)),
        );
        report.value(
            "chain: named ahead, with the graph",
            share(&with),
            "share",
            Some(Bound::AtLeast(0.8)),
        );
        let ahead: Vec<f64> = with.iter().flatten().copied().collect();
        report.estimate("chain: named so long ahead", stats::estimate(&ahead), "s", None);
        report.value(
            "chain: named ahead, without the graph",
            share(&without),
            "share",
            Some(Bound::AtMost(0.5 * share(&with))),
        );
        Ok(())
    }
}

fn moments(zero_s: f64, until_s: f64, seed: u64) -> Vec<f64> {
    let mut random = Random::new(seed, 1000);
    let mut moments = Vec::new();
    let mut at_s = zero_s + GAP_LEAST_S;
    while at_s < until_s {
        moments.push(at_s);
        at_s += GAP_LEAST_S + random.exponential(GAP_MEAN_S);
    }
    moments
}

/// How long before each onset a map first named it, where one did.
fn leads(maps: &[ContentionMap], onsets_s: &[f64]) -> Vec<Option<f64>> {
    let unit = Unit::Limit(AppName::new(BACK), Resource::Cpu);
    let named: Vec<(f64, f64)> = maps
        .iter()
        .filter_map(|map| {
            let entry = map.entry(&unit)?;
            let onset = entry.onset.filter(|_| entry.ongoing_since.is_none())?;
            Some((map.made.boot.seconds(), onset.q50))
        })
        .collect();
    let lead = |onset_s: &f64| {
        let told = named.iter().find(|(made_s, named_s)| {
            (AHEAD_S..=GAP_LEAST_S).contains(&(onset_s - made_s)) && (named_s - onset_s).abs() <= NEAR_S
        });
        told.map(|(made_s, _)| onset_s - made_s)
    };
    onsets_s.iter().map(lead).collect()
}

/// The record through the engine, without the dependencies that were seen.
fn maps_without_graph(reader: &Reader) -> Result<Vec<ContentionMap>> {
    let mut state = State::new(Config::default());
    let mut maps = Vec::new();
    for recorded in reader.recording(0).context("the record cannot be read")? {
        let mut input = recorded.context("the record cannot be read")?.input;
        input
            .events
            .retain(|event| !matches!(event, Event::Dependencies { .. }));
        maps.extend(tick(&mut state, &input).map);
    }
    Ok(maps)
}
