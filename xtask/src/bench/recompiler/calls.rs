//! One call through a slot against a direct one; one load and one switch.
//!
//! The program has thousands of tiny functions. One of them is called in a loop; all are called once per turn, in random
//! order. Three builds stay and take turns: direct calls, slots that lead to the base, slots that lead to loaded code.

use super::{Bench, succeed};
use crate::bench::report::{Bound, Report};
use crate::bench::resident::Resident;
use crate::bench::stats::{estimate, paired_ratio};
use crate::random::Random;
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use tidegate_format::FunctionHash;
use tidegate_format::image::{CpuFeatures, ImageParts};
use tidegate_format::scenario::Scenario;
use tidegate_variants::session::FunctionInfo;

/// Functions with a slot.
const FUNCTIONS: usize = 4096;
/// Calls of one function that calls them.
const PART: usize = 256;
/// Code is loaded by whole pages up to 4 MiB, so a thousand functions at most lead elsewhere at once.
const SWITCHED: usize = 1000;
/// The most that a call may cost, as a multiple of a direct one.
const UNSWITCHED_MOST: f64 = 1.01;
const SWITCHED_MOST: f64 = 1.05;
/// The most that a load in the app and the switch of one slot may take.
const LOAD_MS_MOST: f64 = 1.0;
const SWITCH_NS_MOST: f64 = 1000.0;

/// Measures calls, loads and switches.
pub(super) fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let folder = bench.folder.join("calls");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let (direct, slots) = build(bench, &folder)?;
    let mut direct = Resident::start(&direct, &[], &bench.absent())?;
    let mut unswitched = bench.attached(&slots, &[])?;
    let mut switched = bench.attached(&slots, &[])?;
    load_and_switch(bench, &switched, report)?;
    for (order, what) in [
        ("one", "one function".to_owned()),
        ("many", format!("{FUNCTIONS} functions in random order")),
    ] {
        let mut costs: [Vec<f64>; 3] = Default::default();
        for round in 0..bench.arguments.rounds {
            for arm in 0..3 {
                let arm = (arm + round) % 3;
                let resident = [&mut direct, &mut unswitched, &mut switched][arm].measure(order)?;
                costs[arm].push(resident);
            }
        }
        report.estimate(&format!("direct call, {what}"), estimate(&costs[0]), "ns", None);
        let note = if order == "many" {
            format!(", {SWITCHED} of them switched")
        } else {
            ", switched".to_owned()
        };
        report.estimate(
            &format!("slot / direct call, {what}"),
            paired_ratio(&costs[1], &costs[0]),
            "ratio",
            Some(Bound::AtMost(UNSWITCHED_MOST)),
        );
        report.estimate(
            &format!("slot / direct call, {what}{note}"),
            paired_ratio(&costs[2], &costs[0]),
            "ratio",
            Some(Bound::AtMost(SWITCHED_MOST)),
        );
    }
    Ok(())
}

/// The program by direct calls, and with slots.
fn build(bench: &Bench<'_>, folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let mut declared = String::new();
    let mut names = String::new();
    for number in 0..FUNCTIONS {
        writeln!(declared, "F({number})")?;
        writeln!(names, "f{number}")?;
    }
    let mut order: Vec<usize> = (0..FUNCTIONS).collect();
    let mut random = Random::new(1, FUNCTIONS as u64);
    for place in (1..order.len()).rev() {
        order.swap(place, random.below(place + 1));
    }
    let mut parts = String::new();
    for (number, calls) in order.chunks(PART).enumerate() {
        writeln!(
            parts,
            "static __attribute__((noinline)) long part{number}(long x)\n{{"
        )?;
        for call in calls {
            write!(parts, "C({call}) ")?;
        }
        writeln!(parts, "\nreturn x;\n}}")?;
    }
    writeln!(parts, "static long (*const parts[])(long) = {{")?;
    for number in 0..FUNCTIONS / PART {
        write!(parts, "part{number}, ")?;
    }
    writeln!(parts, "}};")?;
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))
    };
    write("functions.inc", &declared)?;
    write("parts.inc", &parts)?;
    write("list", &names)?;
    let link = |compiler: &Path, name: &str| {
        let out = folder.join(name);
        let mut command = std::process::Command::new(compiler);
        command
            .args(["-O2", &format!("-DFUNCTIONS={FUNCTIONS}"), "-I"])
            .arg(folder)
            .arg(bench.workspace.root.join("xtask/bench/calls.c"))
            .env("TIDEGATE_FUNCTIONS", folder.join("list"))
            .arg("-o")
            .arg(&out);
        succeed(&mut command).map(|()| out)
    };
    Ok((
        link(Path::new("clang-22"), "direct")?,
        link(&bench.tools.compiler(), "slots")?,
    ))
}

/// Gives functions a copy of themselves, and switches them to it.
fn load_and_switch(bench: &Bench<'_>, resident: &Resident, report: &mut Report) -> Result<()> {
    let (board, process) = (bench.server.board(), resident.id());
    let mut load_ms = Vec::new();
    let functions = board.functions(process)?;
    // The one that is called in a loop comes first.
    let mut chosen: Vec<&FunctionInfo> = functions
        .iter()
        .filter(|info| number(&info.name).is_some())
        .collect();
    chosen.sort_by_key(|info| info.name != "f1");
    for info in chosen.into_iter().take(SWITCHED) {
        let image = same_code(info.hash, number(&info.name).unwrap_or(0), &info.name)?;
        let loaded = board.load_image(process, info.index, Scenario::Placebo, &image)?;
        load_ms.push(loaded.load_ns as f64 / 1e6);
    }
    report.estimate(
        "load of one image in the app",
        estimate(&load_ms),
        "ms",
        Some(Bound::AtMost(LOAD_MS_MOST)),
    );
    let mut per_slot = Vec::new();
    for turn in 0..=bench.arguments.rounds * 2 {
        let to = if turn % 2 == 0 {
            Scenario::Placebo
        } else {
            Scenario::Base
        };
        let (slots, nanoseconds) = board.switch(process, None, to)?;
        per_slot.push(nanoseconds as f64 / f64::from(slots.max(1)));
    }
    report.estimate(
        "switch of one slot, of a thousand at once",
        estimate(&per_slot),
        "ns",
        Some(Bound::AtMost(SWITCH_NS_MOST)),
    );
    Ok(())
}

fn number(name: &str) -> Option<u32> {
    name.strip_prefix('f')?.parse().ok()
}

/// `return x + number`, by hand, in the compiler's words: the cost of the call is wanted, not of the code.
fn same_code(hash: FunctionHash, number: u32, name: &str) -> Result<Vec<u8>> {
    // lea rax, [rdi + number]; ret
    let mut span = vec![0x48, 0x8d, 0x87];
    span.extend(number.to_le_bytes());
    span.push(0xc3);
    let length = span.len() as u32;
    let image = ImageParts {
        scenario: Scenario::Placebo,
        pipeline_version: 1,
        cpu_features: CpuFeatures::BASELINE,
        hash,
        anchor_count: 0,
        span,
        text_length: length,
        rodata: (length, 0),
        eh_frame: (length, 0),
        entry: 0,
        relocations: Vec::new(),
        name: name.to_owned(),
    };
    image.to_bytes().context("an image by hand")
}
