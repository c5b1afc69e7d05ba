//! Programs in temporary folders, built by the driver, and variants of their functions.

use object::read::elf::ElfFile64;
use object::{Object, ObjectSegment};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use tidegate_drivers::inspect::{Inspection, SwitchableFunction, inspect};
use tidegate_drivers::tools::Tools;
use tidegate_format::image::{CpuFeatures, Image, RelocationTarget};
use tidegate_format::request::{Request, Response};
use tidegate_format::scenario::Scenario;

/// A program that was built.
pub(crate) struct Program {
    folder: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) inspection: Inspection,
}

/// Builds C source with the driver: `functions` is the list to select, empty = by size.
pub(crate) fn build(source: &str, functions: &[&str], flags: &[&str]) -> Program {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("program.c");
    std::fs::write(&file, source).unwrap();
    std::fs::write(folder.path().join("loader.h"), include_str!("loader.h")).unwrap();
    let path = folder.path().join("program");
    let arguments = ["-O2", "-o"]
        .map(Into::into)
        .into_iter()
        .chain([path.clone().into(), file.into()]);
    let arguments: Vec<_> = arguments.chain(flags.iter().map(Into::into)).collect();
    let mut command = tidegate_drivers::cc::command(&arguments, &Tools::find().unwrap()).unwrap();
    if !functions.is_empty() {
        let list = folder.path().join("functions");
        std::fs::write(&list, functions.join("\n")).unwrap();
        command.env("TIDEGATE_FUNCTIONS", list);
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let inspection = inspect(&path, &std::fs::read(&path).unwrap()).unwrap();
    Program {
        folder,
        path,
        inspection,
    }
}

impl Program {
    pub(crate) fn function(&self, name: &str) -> &SwitchableFunction {
        let found = self
            .inspection
            .functions
            .iter()
            .find(|function| function.name == name);
        found.unwrap_or_else(|| panic!("{name} is not switchable: {:?}", self.inspection.refused))
    }

    pub(crate) fn request(&self, name: &str, scenario: Scenario) -> Request {
        Request {
            scenario,
            candidate: 0,
            cpu_features: host_features(),
            tune_cpu: String::new(),
            tunables: Vec::new(),
            constants: Vec::new(),
            blob: self.function(name).blob.clone(),
        }
    }

    /// The image of a function, by the first candidate.
    pub(crate) fn image(&self, name: &str, scenario: Scenario) -> Vec<u8> {
        run_worker(&self.request(name, scenario))
            .0
            .unwrap_or_else(|error| panic!("{name} for {scenario}: {error}"))
    }

    /// The image of a function by another candidate.
    pub(crate) fn candidate(&self, name: &str, scenario: Scenario, candidate: u8) -> Vec<u8> {
        let request = Request {
            candidate,
            ..self.request(name, scenario)
        };
        run_worker(&request)
            .0
            .unwrap_or_else(|error| panic!("{name} for {scenario}/{candidate}: {error}"))
    }

    /// LLVM's record of a compile, as YAML.
    pub(crate) fn record(&self, name: &str, scenario: Scenario, candidate: u8) -> String {
        let request = Request {
            candidate,
            ..self.request(name, scenario)
        };
        let text = answer_of(&["--record"], &request.to_bytes()).unwrap();
        String::from_utf8(text).unwrap()
    }

    /// A library that counts calls of the heap and tells their number at the end, to be loaded ahead.
    pub(crate) fn interposer(&self) -> PathBuf {
        let library = self.folder.path().join("interposer.so");
        if !library.exists() {
            let source = self.folder.path().join("interposer.c");
            std::fs::write(&source, include_str!("interposer.c")).unwrap();
            let mut command = Command::new("cc");
            command
                .args(["-O1", "-shared", "-fPIC", "-o"])
                .args([&library, &source]);
            assert!(command.status().unwrap().success());
        }
        library
    }

    /// Writes an image in the form that `loader.h` reads.
    pub(crate) fn write_variant(&self, name: &str, image: &[u8]) -> PathBuf {
        self.write_span(name, &Image::read(image).unwrap())
    }

    /// As [`write_variant`](Self::write_variant), of an image that was taken apart.
    pub(crate) fn write_span(&self, name: &str, image: &Image<'_>) -> PathBuf {
        let function = self.function(name);
        assert_eq!(image.hash.to_string(), function.hash);
        let bytes = std::fs::read(&self.path).unwrap();
        let elf: ElfFile64<'_> = ElfFile64::parse(&*bytes).unwrap();
        let first = elf.segments().map(|segment| segment.address()).min().unwrap();
        let mut text = format!(
            "{first} {} {} {} {} {}\n",
            function.slot_address,
            function.anchors_address,
            image.span.len(),
            image.entry,
            image.relocations().count()
        );
        for one in image.relocations() {
            let (kind, target) = match one.target {
                RelocationTarget::Anchor(index) => (0, index),
                RelocationTarget::Span(offset) => (1, offset),
                RelocationTarget::Base => (2, 0),
            };
            writeln!(
                text,
                "{} {} {kind} {target} {}",
                one.offset, one.kind as u8, one.addend
            )
            .unwrap();
        }
        image
            .span
            .iter()
            .for_each(|byte| write!(text, "{byte:x} ").unwrap());
        let path = self.folder.path().join(format!("{name}.{}", image.scenario));
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The instructions of `text`, one a line.
    pub(crate) fn disassemble(&self, text: &[u8]) -> String {
        let file = self.folder.path().join("text");
        std::fs::write(&file, text).unwrap();
        let output = Command::new("objdump")
            .args(["-D", "-b", "binary", "-m", "i386:x86-64"])
            .arg(&file)
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }

    /// What the program prints.
    pub(crate) fn run(&self, arguments: &[&Path]) -> String {
        let output = Command::new(&self.path).args(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{:?} {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

/// What this machine's CPU offers.
pub(crate) fn host_features() -> CpuFeatures {
    let level = std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma")
        && std::arch::is_x86_feature_detected!("bmi2");
    if level {
        CpuFeatures::V3
    } else {
        CpuFeatures::BASELINE
    }
}

/// One compile in a process of its own.
pub(crate) fn run_worker(request: &Request) -> Response {
    Response::read(&run_worker_on(&request.to_bytes())).unwrap()
}

/// The worker's bare answer to any bytes.
pub(crate) fn run_worker_on(bytes: &[u8]) -> Vec<u8> {
    worker_answer(bytes).unwrap()
}

/// As [`run_worker_on`], `None` where the worker did not end well.
pub(crate) fn worker_answer(bytes: &[u8]) -> Option<Vec<u8>> {
    answer_of(&[], bytes)
}

/// As [`worker_answer`], with arguments.
fn answer_of(arguments: &[&str], bytes: &[u8]) -> Option<Vec<u8>> {
    let mut worker = Command::new(env!("CARGO_BIN_EXE_tidegate-worker"));
    let worker = worker
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut worker = worker.spawn().unwrap();
    worker.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = worker.wait_with_output().unwrap();
    output.status.success().then_some(output.stdout)
}
