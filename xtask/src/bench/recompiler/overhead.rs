//! What slots cost real programs while nothing is switched, with the daemon away and attached.

use super::Bench;
use super::programs::{Hot, Layouts, Program};
use crate::bench::report::{Bound, Report};
use crate::bench::stats::{estimate, paired_ratio};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The most that slots may cost: the median over layouts, and the worst.
const MEDIAN_MOST: f64 = 1.01;
const WORST_MOST: f64 = 1.03;
/// The least share of the samples in the program's own code that is switchable.
const SELECTED_LEAST: f64 = 0.8;

/// The arms of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arm {
    Plain,
    Absent,
    Attached,
}

/// What later parts need of a program that was built.
pub(super) struct Watched {
    pub(super) hot: Hot,
    pub(super) switchable: PathBuf,
}

impl Bench<'_> {
    /// Builds a program in all layouts, and compares.
    pub(super) fn overhead(&self, program: &Program, report: &mut Report) -> Result<Watched> {
        let folder = self.folder.join(program.name);
        let clang = Path::new("clang-22");
        let objects = program.objects(clang, None, &folder.join("plain"))?;
        let watchable = folder.join("watched");
        Program::link(clang, &objects, 1, &watchable)?;
        let watched = Duration::from_secs(if self.arguments.quick { 3 } else { 10 });
        let hot = Program::hot_functions(&watchable, watched)?;
        let list = folder.join("functions");
        let layouts = Layouts::build(
            program,
            &self.tools,
            (&hot, &list),
            self.arguments.orders,
            &folder,
        )?;
        let hoisted = hoisted_loads(&layouts.switchable[0])?;
        let name = program.name;
        report.value(
            &format!("{name}: hot functions"),
            hot.functions.len() as f64,
            "functions",
            None,
        );
        report.value(
            &format!("{name}: their share of its samples"),
            hot.share_of_own,
            "share",
            Some(Bound::AtLeast(SELECTED_LEAST)),
        );
        report.value(
            &format!("{name}: of all samples, libc's too"),
            hot.share_of_all,
            "share",
            None,
        );
        report.value(
            &format!("{name}: hoisted slot loads"),
            hoisted as f64,
            "loads",
            Some(Bound::AtMost(0.0)),
        );
        self.compare(program, &layouts, report)?;
        Ok(Watched {
            hot,
            switchable: layouts.switchable[0].clone(),
        })
    }

    fn compare(&self, program: &Program, layouts: &Layouts, report: &mut Report) -> Result<()> {
        let (mut absent, mut attached) = (Vec::new(), Vec::new());
        for (plain, switchable) in layouts.plain.iter().zip(&layouts.switchable) {
            let mut costs: [Vec<f64>; 3] = Default::default();
            for round in 0..self.arguments.rounds {
                let mut order = [Arm::Plain, Arm::Absent, Arm::Attached];
                order.rotate_left(round % 3);
                if round / 3 % 2 == 1 {
                    order.reverse();
                }
                for arm in order {
                    let file = if arm == Arm::Plain { plain } else { switchable };
                    costs[arm as usize].push(self.cpu_s(file, program.rounds, arm)?);
                }
            }
            let [plain_s, absent_s, attached_s] = &costs;
            absent.push(paired_ratio(absent_s, plain_s).median);
            attached.push(paired_ratio(attached_s, plain_s).median);
        }
        for (with, ratios) in [("daemon absent", &absent), ("daemon attached", &attached)] {
            let name = program.name;
            report.estimate(
                &format!("{name}, {with}: slots / none"),
                estimate(ratios),
                "ratio",
                Some(Bound::AtMost(MEDIAN_MOST)),
            );
            let worst = ratios.iter().copied().fold(f64::NAN, f64::max);
            report.value(
                &format!("{name}, {with}: worst layout"),
                worst,
                "ratio",
                Some(Bound::AtMost(WORST_MOST)),
            );
        }
        Ok(())
    }

    /// The program prints its own CPU seconds.
    fn cpu_s(&self, program: &Path, rounds: usize, arm: Arm) -> Result<f64> {
        let socket = match arm {
            Arm::Attached => self.server.board().options().socket_path.clone(),
            Arm::Plain | Arm::Absent => self.absent(),
        };
        let output = Command::new(program)
            .arg(rounds.to_string())
            .env("TIDEGATE_RUNTIME_SOCKET", socket)
            .output()
            .with_context(|| format!("cannot run {}", program.display()))?;
        if !output.status.success() {
            bail!(
                "{} failed: {}",
                program.display(),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim()
            .parse()
            .with_context(|| format!("{} printed `{}`", program.display(), text.trim()))
    }
}

/// Loads of slots into a register that no call takes before the block ends: out of a loop, a switch would not be seen.
fn hoisted_loads(program: &Path) -> Result<usize> {
    let output = Command::new("llvm-objdump-22")
        .args(["-d", "--no-show-raw-insn"])
        .arg(program)
        .output()
        .context("cannot run llvm-objdump-22")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text.lines().map(instruction).collect();
    let hoisted = lines.iter().enumerate().filter(|(index, line)| {
        let Some(register) = slot_register(line) else {
            return false;
        };
        let calls = [format!("callq\t*{register}"), format!("jmpq\t*{register}")];
        let mut block = lines[index + 1..].iter().take_while(|line| !ends_block(line));
        !block.any(|line| calls.iter().any(|call| line.starts_with(call)))
    });
    Ok(hoisted.count())
}

fn instruction(line: &str) -> &str {
    line.split_once(':').map_or("", |(_, rest)| rest.trim_start())
}

/// The register that a slot is loaded into.
fn slot_register(instruction: &str) -> Option<&str> {
    let (operands, symbol) = instruction.strip_prefix("movq\t")?.split_once('#')?;
    let (source, register) = operands.rsplit_once(", ")?;
    (symbol.contains(".tidegate.slot>") && source.ends_with("(%rip)")).then(|| register.trim())
}

fn ends_block(instruction: &str) -> bool {
    instruction.starts_with('j') && !instruction.starts_with("jmpq\t*") || instruction.starts_with("ret")
}
