//! The foreign programs of the bench: where their sources are, how they are built, which functions are hot.
//!
//! Libraries come from the crates that carry them, the small programs around them from `xtask/bench`. Each is built
//! by the same compiler with and without the partition, section by section, so that lld can lay it out in any order.

use super::{Tools, succeed};
use crate::workspace::{self, Workspace};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tidegate_variants::heat::{Sampler, Scope};

/// Share of the samples in the program's own code that the selected functions make up together. More than the
/// promised 80 %, for what libc takes counts too.
const SELECTED_SHARE: f64 = 0.95;
/// Often enough for some thousand samples in the time that a program is watched.
const SAMPLING_HZ: u32 = 1997;

/// One foreign program.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// The library's own files and, last, the program around it.
    pub(crate) sources: Vec<PathBuf>,
    pub(crate) flags: Vec<String>,
    /// Rounds of a run of about a third of a second.
    pub(super) rounds: usize,
}

impl Program {
    /// SQLite, lz4 and zstd.
    pub(crate) fn all(workspace: &Workspace) -> Result<Vec<Self>> {
        let sqlite = workspace::foreign_sources("libsqlite3-sys")?.join("sqlite3");
        let lz4 = workspace::foreign_sources("lz4-sys")?.join("liblz4/lib");
        let zstd = workspace::foreign_sources("zstd-sys")?.join("zstd/lib");
        let mut zstd_sources = Vec::new();
        for part in ["common", "compress", "decompress"] {
            let entries = std::fs::read_dir(zstd.join(part)).context("zstd's sources")?;
            let files = entries.filter_map(Result::ok).map(|entry| entry.path());
            zstd_sources.extend(files.filter(|path| path.extension().is_some_and(|kind| kind == "c")));
        }
        zstd_sources.sort();
        let around = |name: &str| workspace.root.join("xtask/bench").join(name);
        let program =
            |name, mut sources: Vec<PathBuf>, file: &str, include: &Path, defines: &[&str], rounds| {
                sources.push(around(file));
                let mut flags = vec!["-I".to_owned(), include.display().to_string()];
                flags.extend(defines.iter().map(|&define| define.to_owned()));
                Self {
                    name,
                    sources,
                    flags,
                    rounds,
                }
            };
        Ok(vec![
            program(
                "SQLite",
                vec![sqlite.join("sqlite3.c")],
                "sqlite_queries.c",
                &sqlite,
                &["-DSQLITE_THREADSAFE=0", "-DSQLITE_OMIT_LOAD_EXTENSION"],
                40,
            ),
            program("lz4", vec![lz4.join("lz4.c")], "lz4_round_trip.c", &lz4, &[], 200),
            program(
                "zstd",
                zstd_sources,
                "zstd_round_trip.c",
                &zstd,
                &["-DZSTD_DISABLE_ASM"],
                50,
            ),
        ])
    }

    /// The command that compiles with the user's flags.
    pub(super) fn compiler(&self, compiler: &Path) -> Command {
        let mut command = Command::new(compiler);
        command
            .args(["-O2", "-w", "-ffunction-sections"])
            .args(&self.flags);
        command
    }

    /// Objects of all sources, in their order.
    pub(super) fn objects(
        &self,
        compiler: &Path,
        list: Option<&Path>,
        folder: &Path,
    ) -> Result<Vec<PathBuf>> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let objects = self.sources.iter().enumerate().map(|(number, source)| {
            let object = folder.join(format!("{number}.o"));
            let mut command = self.compiler(compiler);
            if let Some(list) = list {
                command.env("TIDEGATE_FUNCTIONS", list);
            }
            succeed(command.arg("-c").arg(source).arg("-o").arg(&object))?;
            Ok(object)
        });
        objects.collect()
    }

    /// Links in an order of its own.
    pub(super) fn link(compiler: &Path, objects: &[PathBuf], order: u32, out: &Path) -> Result<()> {
        let mut command = Command::new(compiler);
        command
            .arg("-fuse-ld=lld")
            .arg(format!("-Wl,--shuffle-sections=.text*={order}"))
            .args(objects)
            .arg("-o")
            .arg(out);
        succeed(&mut command)
    }

    /// Watches the plain program and gives its hot functions, and their share of all samples and of those in its own
    /// code.
    pub(crate) fn hot_functions(program: &Path, watched: Duration) -> Result<Hot> {
        let mut child = Command::new(program)
            .arg(100_000.to_string())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let sampled = sample(child.id(), program, watched);
        let _ = child.kill();
        let _ = child.wait();
        let (counts, everything) = sampled?;
        let own: usize = counts.iter().map(|(_, count)| count).sum();
        let mut selected = Hot::default();
        let mut taken = 0;
        for (name, count) in counts {
            if taken as f64 >= SELECTED_SHARE * own as f64 {
                break;
            }
            taken += count;
            selected.functions.push(name);
        }
        selected.share_of_all = taken as f64 / everything as f64;
        selected.share_of_own = taken as f64 / own as f64;
        Ok(selected)
    }
}

/// The hot functions of a program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hot {
    pub(super) functions: Vec<String>,
    /// Of all samples of the process, libc's among them.
    pub(super) share_of_all: f64,
    /// Of the samples in the program's own code.
    pub(super) share_of_own: f64,
}

impl Hot {
    /// Writes the list that the compiler driver reads.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        std::fs::write(path, self.functions.join("\n"))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Samples by function, the hottest first, and the number of all samples.
fn sample(process: u32, program: &Path, watched: Duration) -> Result<(Vec<(String, usize)>, usize)> {
    // Until the program is itself and not the copy that will become it.
    let start = load_address(process, program)?;
    let symbols = symbols(program)?;
    let mut sampler = Sampler::start(Scope::Process(process), SAMPLING_HZ).context("cannot sample")?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut everything = 0;
    let end = std::time::Instant::now() + watched;
    while std::time::Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
        for sample in sampler.drain().samples {
            everything += 1;
            let address = sample.address.wrapping_sub(start);
            let after = symbols.partition_point(|(begin, _, _)| *begin <= address);
            if let Some((begin, length, name)) = after.checked_sub(1).and_then(|at| symbols.get(at))
                && address - begin < *length
            {
                *counts.entry(name.as_str()).or_default() += 1;
            }
        }
    }
    if everything == 0 {
        bail!("no sample of {}", program.display());
    }
    let mut sorted: Vec<_> = counts
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count))
        .collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    Ok((sorted, everything))
}

/// Where the (position-independent) program was loaded.
fn load_address(process: u32, program: &Path) -> Result<u64> {
    let path = program.canonicalize().context("no such program")?;
    for _ in 0..500 {
        let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap_or_default();
        let first = maps
            .lines()
            .find(|line| line.ends_with(path.to_str().unwrap_or("?")));
        if let Some((start, _)) = first.and_then(|line| line.split_once('-')) {
            return u64::from_str_radix(start, 16).context("an unreadable map");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    bail!("{} does not start", program.display())
}

/// Functions by linked address: (address, length, name).
fn symbols(program: &Path) -> Result<Vec<(u64, u64, String)>> {
    let output = Command::new("nm")
        .args(["--defined-only", "--numeric-sort", "--print-size"])
        .arg(program)
        .output()
        .context("cannot run nm")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let symbols = text.lines().filter_map(|line| {
        let [address, length, "t" | "T", name] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return None;
        };
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some((number(address)?, number(length)?, name.to_owned()))
    });
    Ok(symbols.collect())
}

/// The program in each layout, with and without slots.
#[derive(Debug)]
pub(super) struct Layouts {
    pub(super) plain: Vec<PathBuf>,
    pub(super) switchable: Vec<PathBuf>,
}

impl Layouts {
    /// Builds `orders` layouts of both.
    pub(super) fn build(
        program: &Program,
        tools: &Tools,
        (hot, list): (&Hot, &Path),
        orders: u32,
        folder: &Path,
    ) -> Result<Self> {
        hot.write(list)?;
        let clang = Path::new("clang-22");
        let plain = program.objects(clang, None, &folder.join("plain"))?;
        let switchable = program.objects(&tools.compiler(), Some(list), &folder.join("switchable"))?;
        let mut layouts = Self {
            plain: Vec::new(),
            switchable: Vec::new(),
        };
        for order in 1..=orders {
            let path = |kind: &str| folder.join(format!("{kind}-{order}"));
            Program::link(clang, &plain, order, &path("plain"))?;
            Program::link(&tools.compiler(), &switchable, order, &path("switchable"))?;
            layouts.plain.push(path("plain"));
            layouts.switchable.push(path("switchable"));
        }
        Ok(layouts)
    }
}
