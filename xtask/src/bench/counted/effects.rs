//! One compile by the worker, counted.

use anyhow::{Context, Result};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tidegate_format::image::Image;
use tidegate_format::request::{Request, Response};
use tidegate_format::scenario::Scenario;
use tidegate_variants::processor::Processor;

/// What simple code does without, as disassembly names it: registers beyond 128 bits, arithmetic on vectors, gathers.
const REFUSED: [&str; 12] = [
    "%ymm", "%zmm", "addp", "subp", "mulp", "divp", "padd", "psub", "pmul", "pmadd", "gather", "scatter",
];

/// What was counted of one compile.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Effects {
    /// Spills, reloads and folded reloads, weighted by how often their block runs.
    pub(super) spill_cost: f64,
    pub(super) stack_bytes: f64,
    pub(super) text_bytes: u32,
    /// Instructions of the refused classes.
    pub(super) refused: u32,
    /// Loops unrolled in part, or at run time.
    pub(super) unrolled: u32,
    pub(super) unrolled_fully: u32,
    /// Loops with more than one copy of their body side by side.
    pub(super) interleaved: u32,
    /// Heap blocks that moved to the stack.
    pub(super) moved: u32,
}

/// Compiles and counts.
pub(super) struct Counter<'a> {
    worker: PathBuf,
    folder: &'a Path,
    processor: Processor,
}

impl<'a> Counter<'a> {
    /// With this worker; images are taken apart in `folder`.
    pub(super) fn new(worker: &Path, folder: &'a Path) -> Result<Self> {
        Ok(Self {
            worker: worker.to_owned(),
            folder,
            processor: Processor::of_this_host()?,
        })
    }

    /// A blob's function by a candidate of a scenario; none where there is no image.
    pub(super) fn effects(&self, blob: &[u8], scenario: Scenario, candidate: u8) -> Result<Option<Effects>> {
        let request = Request {
            scenario,
            candidate,
            cpu_features: self.processor.features,
            tune_cpu: String::new(),
            tunables: Vec::new(),
            constants: Vec::new(),
            blob: blob.to_vec(),
        };
        let request = request.to_bytes();
        let answer = self.ask(&request, &[])?;
        let Ok(Response(Ok(image))) = Response::read(&answer) else {
            return Ok(None);
        };
        let image = Image::read(&image).context("the worker's image")?;
        let text = image.span.get(..image.text_length as usize).unwrap_or_default();
        let record = String::from_utf8(self.ask(&request, &["--record"])?).context("the worker's record")?;
        Ok(Some(Effects {
            text_bytes: image.text_length,
            refused: self.refused(text)?,
            ..recorded(&record)
        }))
    }

    fn ask(&self, request: &[u8], arguments: &[&str]) -> Result<Vec<u8>> {
        let mut child = Command::new(&self.worker)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {}", self.worker.display()))?;
        let mut input = child.stdin.take().context("no pipe")?;
        // A worker that ended early says why by its answer.
        let _ = input.write_all(request);
        drop(input);
        Ok(child.wait_with_output().context("the worker")?.stdout)
    }

    fn refused(&self, text: &[u8]) -> Result<u32> {
        let file = self.folder.join("text");
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        let output = Command::new("objdump")
            .args(["-D", "-b", "binary", "-m", "i386:x86-64"])
            .arg(&file)
            .output()
            .context("cannot run objdump")?;
        let lines = String::from_utf8_lossy(&output.stdout);
        let refused = lines.lines().filter(|line| {
            let instruction = line.split('\t').nth(2).unwrap_or_default();
            REFUSED.iter().any(|class| instruction.contains(class))
        });
        Ok(refused.count() as u32)
    }
}

/// What LLVM's record says, a remark between two `--- `.
fn recorded(record: &str) -> Effects {
    let mut effects = Effects::default();
    for remark in record.split("--- !") {
        if !remark.starts_with("Passed") && !remark.starts_with("Missed") && !remark.starts_with("Analysis") {
            continue;
        }
        let value = |key: &str| {
            let line = remark.lines().find_map(|line| {
                let line = line.trim().trim_start_matches("- ");
                line.strip_prefix(key)?.strip_prefix(':')
            });
            line.map(|text| text.trim().trim_matches('\''))
        };
        let number = |key: &str| {
            value(key)
                .and_then(|text| text.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        match value("Name").unwrap_or_default() {
            "SpillReloadCopies" => {
                let costs = ["TotalSpillsCost", "TotalReloadsCost", "TotalFoldedReloadsCost"];
                effects.spill_cost += costs.map(number).iter().sum::<f64>();
            }
            "StackSize" => effects.stack_bytes += number("NumStackBytes"),
            "PartialUnrolled" => effects.unrolled += 1,
            "FullyUnrolled" => effects.unrolled_fully += 1,
            "Vectorized" | "Interleaved" => {
                effects.interleaved += u32::from(number("InterleaveCount") > 1.0);
            }
            "MovedToStack" => effects.moved += 1,
            _ => {}
        }
    }
    effects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_counted_by_its_remarks() {
        let record = "--- !Passed\nPass:            loop-unroll\nName:            PartialUnrolled\nArgs:\n  - UnrollCount:     '4'\n...\n\
                      --- !Passed\nPass:            loop-vectorize\nName:            Vectorized\nArgs:\n  - InterleaveCount: '2'\n...\n\
                      --- !Passed\nPass:            loop-vectorize\nName:            Vectorized\nArgs:\n  - InterleaveCount: '1'\n...\n\
                      --- !Missed\nPass:            regalloc\nName:            SpillReloadCopies\nArgs:\n  - TotalSpillsCost: '2.5'\n  - TotalReloadsCost: '1.5'\n...\n";
        let effects = recorded(record);
        assert_eq!((effects.unrolled, effects.interleaved), (1, 1));
        assert!((effects.spill_cost - 4.0).abs() < 1e-9);
    }
}
