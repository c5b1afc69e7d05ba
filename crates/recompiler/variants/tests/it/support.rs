//! A C program with hand-written sections, a switchboard in a folder of its own, and hand-written images.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tidegate_format::FunctionHash;
use tidegate_format::image::{CpuFeatures, ImageParts, Relocation, RelocationKind, RelocationTarget};
use tidegate_format::scenario::Scenario;
use tidegate_variants::compile::Worker;
use tidegate_variants::processor::Processor;
use tidegate_variants::switchboard::{Options, Server};

/// The hash in `app.c`.
pub(crate) const HASH: FunctionHash = FunctionHash([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);

/// Says that a test did not run.
pub(crate) fn skip(name: &str, reason: &str) {
    eprintln!("SKIP {name}: {reason}");
}

/// A folder with the program and, while it lives, a served socket.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) program: PathBuf,
}

impl Bench {
    /// Builds the program with the system's compiler; `None` (and a skip) where there is none.
    pub(crate) fn new(test: &str, flags: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("app");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/app.c");
        let built = Command::new("cc")
            .args(["-O2", "-o"])
            .args([&program, &source])
            .args(flags)
            .arg("-Wl,--whole-archive")
            .arg(archive())
            .arg("-Wl,--no-whole-archive")
            .output();
        match built {
            Ok(output) => assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            ),
            Err(error) => {
                skip(test, &format!("no C compiler: {error}"));
                return None;
            }
        }
        Some(Self { folder, program })
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("runtime.sock")
    }

    pub(crate) fn serve(&self) -> Server {
        self.serve_with(None)
    }

    pub(crate) fn serve_with(&self, worker: Option<Worker>) -> Server {
        Server::start(Options {
            socket_path: self.socket(),
            cache_folder: self.folder.path().join("cache"),
            cache_limit_bytes: 1 << 20,
            worker,
            processor: Processor::of_this_host().unwrap(),
        })
        .unwrap()
    }

    /// Starts the program with its runtime pointed to this bench's socket.
    pub(crate) fn run(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// As [`run`](Self::run), for programs that tell their progress on the standard error too.
    pub(crate) fn run_quietly(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// The program as one of idle priority, as the worker is: beside busy programs of a higher one the worker would
    /// hardly run at all, and the tests wait for it. It ends with the thread of its test, whatever that does.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "nice", "-n", "19"])
            .arg(&self.program)
            .args(arguments)
            .env("TIDEGATE_RUNTIME_SOCKET", self.socket());
        command
    }
}

/// Beside the test binary's folder, where the runtime's build script puts it.
fn archive() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(2).unwrap().join("libtidegate_runtime.a")
}

/// Waits until `done` holds; fails after a minute, for the programs of these tests have the lowest priority.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !done() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The last line of a program that ended well.
pub(crate) fn output_of(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{:?}: {text}", output.status);
    text
}

/// Has the program end by itself, and gives what it said.
pub(crate) fn stop(child: Child) -> String {
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    output_of(child)
}

/// `calls++; return 3 * x`, written by hand; `result` replaces the 3.
pub(crate) fn triple_image(scenario: Scenario, factor: u8) -> ImageParts {
    // inc dword [rip + calls]; imul eax, edi, factor; ret
    let span = vec![0xff, 0x05, 0, 0, 0, 0, 0x6b, 0xc7, factor, 0xc3];
    let text_length = span.len() as u32;
    let relocations = vec![Relocation {
        offset: 2,
        kind: RelocationKind::Relative32,
        target: RelocationTarget::Anchor(1),
        addend: -4,
    }];
    ImageParts {
        scenario,
        pipeline_version: 1,
        cpu_features: CpuFeatures::BASELINE,
        hash: HASH,
        anchor_count: 2,
        span,
        text_length,
        rodata: (text_length, 0),
        eh_frame: (text_length, 0),
        entry: 0,
        relocations,
        name: "triple".to_owned(),
    }
}

/// As [`triple_image`] with the right result, without counting calls, after `turns` of an empty loop.
pub(crate) fn paced_image(scenario: Scenario, turns: u32) -> ImageParts {
    let mut image = triple_image(scenario, 3);
    image.relocations.clear();
    // imul eax, edi, 3; ret
    image.span = vec![0x6b, 0xc7, 3, 0xc3];
    if turns > 0 {
        // mov ecx, turns; dec ecx; jnz to the dec
        let mut span = vec![0xb9];
        span.extend(turns.to_le_bytes());
        span.extend([0xff, 0xc9, 0x75, 0xfc]);
        span.extend(&image.span);
        image.span = span;
    }
    image.text_length = image.span.len() as u32;
    image.rodata = (image.text_length, 0);
    image.eh_frame = (image.text_length, 0);
    image
}

/// The number behind `key=` in a program's output.
pub(crate) fn value(output: &str, key: &str) -> u64 {
    let fields = output
        .split_whitespace()
        .filter_map(|field| field.split_once('='));
    let values: Vec<&str> = fields
        .filter(|(name, _)| *name == key)
        .map(|(_, value)| value)
        .collect();
    values.last().and_then(|value| value.parse().ok()).unwrap()
}

/// Reads a file of /proc.
pub(crate) fn proc_text(process: u32, name: &str) -> String {
    fs::read_to_string(format!("/proc/{process}/{name}")).unwrap_or_default()
}

/// The parts of tidegate that the tests of real variants need, where they were built beside the tests.
pub(crate) struct Tools {
    pub(crate) compiler: PathBuf,
    pub(crate) worker: PathBuf,
}

impl Tools {
    /// Beside the test binary's folder; `None` (and a skip) where they are not built: they need LLVM.
    pub(crate) fn find(test: &str) -> Option<Self> {
        let folder = archive().with_file_name("");
        let tools = Self {
            compiler: folder.join("tidegate-cc"),
            worker: folder.join("tidegate-worker"),
        };
        let plugin = folder.join("libtidegate_partition.so");
        let missing = [&tools.compiler, &tools.worker, &plugin]
            .into_iter()
            .find(|path| !path.is_file());
        if let Some(path) = missing {
            skip(
                test,
                &format!("{} is not built", path.file_name().unwrap().display()),
            );
            return None;
        }
        Some(tools)
    }

    /// Builds C sources with the compiler driver; `selected` names the functions that get slots, else by size.
    pub(crate) fn build(
        &self,
        sources: &[PathBuf],
        flags: &[&str],
        selected: &[&str],
        folder: &Path,
    ) -> PathBuf {
        let program = folder.join("app");
        let mut command = Command::new(&self.compiler);
        command.arg("-o").arg(&program).args(flags).args(sources);
        if !selected.is_empty() {
            let list = folder.join("functions");
            fs::write(&list, selected.join("\n")).unwrap();
            command.env("TIDEGATE_FUNCTIONS", list);
        }
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        program
    }

    /// Builds a Rust program of one file with the cargo driver; `None` (and a skip) where that is not built.
    pub(crate) fn build_rust(
        &self,
        test: &str,
        source: &str,
        selected: &[&str],
        folder: &Path,
    ) -> Option<PathBuf> {
        let driver = self.compiler.with_file_name("tidegate-cargo");
        if !driver.is_file() {
            skip(test, "tidegate-cargo is not built");
            return None;
        }
        let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n";
        fs::create_dir(folder.join("src")).unwrap();
        for (name, text) in [
            ("Cargo.toml", manifest),
            ("src/main.rs", source),
            ("functions", &selected.join("\n")),
        ] {
            fs::write(folder.join(name), text).unwrap();
        }
        let built = Command::new(driver)
            .args(["build", "--quiet", "--release", "--offline"])
            .current_dir(folder)
            .env("TIDEGATE_FUNCTIONS", folder.join("functions"))
            .env_remove("CARGO_TARGET_DIR")
            .output()
            .unwrap();
        assert!(
            built.status.success(),
            "{}",
            String::from_utf8_lossy(&built.stderr)
        );
        Some(folder.join("target/tidegate/release/app"))
    }
}
