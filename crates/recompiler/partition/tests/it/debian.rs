//! Projects that nobody here wrote, by the build systems that they use, from Debian's source packages. Each builds
//! with the drivers, passes its own tests, and goes through the linkers' and strippers' ways to drop things.

use crate::fixture::{driver_program, has};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use tidegate_projects::fetch::{Source, fetch};

/// Every driver must bear this: what the user did not write must not be warned about.
const STRICT: &str = "-O2 -Werror=unused-command-line-argument -w";

/// A project's sources, unpacked, and the drivers beside them.
struct Project {
    folder: TempDir,
    sources: PathBuf,
}

impl Project {
    /// Fetches `package` (with its version); `None` and a skip where that is not possible or `tools` are missing.
    fn fetch(test: &str, package: &'static str, tools: &[&str]) -> Option<Self> {
        let driver = driver_program("tidegate-cc", test)?;
        let has_tools = tools
            .iter()
            .chain(&["apt-get", "dpkg-source"])
            .all(|tool| has(tool, test));
        if !has_tools {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        for name in ["tidegate-cc", "tidegate-c++"] {
            symlink(&driver, folder.path().join(name)).unwrap();
        }
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
        match fetch(Source::Debian(package), folder.path(), kept) {
            Ok(sources) => Some(Self { folder, sources }),
            Err(error) => {
                eprintln!("SKIP {test}: {error}");
                None
            }
        }
    }

    /// Runs a line of shell in a folder of the sources; `CC` and `CXX` are the drivers'.
    fn run(&self, folder: &str, line: &str) -> String {
        let own = |name: &str| self.folder.path().join(name);
        let output = Command::new("sh")
            .args(["-ec", line])
            .current_dir(self.sources.join(folder))
            .env("CC", own("tidegate-cc"))
            .env("CXX", own("tidegate-c++"))
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{line}: {said}{errors}");
        said
    }

    /// How many functions of a built file are switchable.
    fn switchable(&self, name: &str) -> usize {
        let inspection = tidegate_drivers::inspect::binary(&self.sources.join(name));
        inspection.unwrap().functions.len()
    }
}

#[test]
fn bzip2_by_make_under_every_linker_and_stripper() {
    let test = "bzip2_by_make_under_every_linker_and_stripper";
    let Some(project) = Project::fetch(test, "bzip2=1.0.8-5", &["make"]) else {
        return;
    };
    let ways = [
        ("bfd", "-Wl,--gc-sections"),
        ("bfd", ""),
        ("lld", "-Wl,--gc-sections"),
        ("lld", "-Wl,--icf=all"),
    ];
    for (linker, dropping) in ways {
        // The archive is mixed from plain and switchable objects.
        project.run(
            "",
            &format!(
                "make -s clean && make -s CC=clang-22 CFLAGS='{STRICT}' crctable.o huffman.o randtable.o && \
                 make -s CC=\"$CC\" CFLAGS='{STRICT} -ffunction-sections' LDFLAGS='-fuse-ld={linker} {dropping}' bzip2 bzip2recover && \
                 make -s CC=\"$CC\" CFLAGS='{STRICT}' LDFLAGS='-fuse-ld={linker} {dropping}' check"
            ),
        );
        let switchable = project.switchable("bzip2");
        assert!(switchable > 5, "{linker} {dropping}: {switchable}");
        for strip in ["strip", "llvm-strip-22"] {
            project.run(
                "",
                &format!("{strip} bzip2 -o stripped && cp stripped bzip2 && make -s test"),
            );
            assert_eq!(
                project.switchable("stripped"),
                switchable,
                "{linker} {dropping} {strip}"
            );
        }
    }
}

#[test]
fn libogg_by_autoconf_and_libtool() {
    let test = "libogg_by_autoconf_and_libtool";
    let Some(project) = Project::fetch(test, "libogg=1.3.5-3", &["make"]) else {
        return;
    };
    project.run(
        "",
        &format!("./configure --quiet CFLAGS='{STRICT}' && make -s && make -s check"),
    );
    assert!(project.switchable("src/test_framing") > 5);
}

const TINYXML2: &str = "tinyxml2=9.0.0+dfsg-3.1";

#[test]
fn tinyxml2_by_cmake() {
    let test = "tinyxml2_by_cmake";
    let Some(project) = Project::fetch(test, TINYXML2, &["cmake", "make"]) else {
        return;
    };
    project.run(
        "",
        &format!(
            "cmake -S . -B built -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS='{STRICT}' -DBUILD_SHARED_LIBS=OFF >/dev/null && \
             make -s -C built && cp -r resources built/ && mkdir -p built/resources/out && cd built && ./xmltest"
        ),
    );
    assert!(project.switchable("built/xmltest") > 20);
}

#[test]
fn tinyxml2_by_meson() {
    let test = "tinyxml2_by_meson";
    let Some(project) = Project::fetch(test, TINYXML2, &["meson", "ninja"]) else {
        return;
    };
    project.run(
        "",
        "meson setup built --buildtype=release --default-library=static -Dtests=true >/dev/null && ninja --quiet -C built >/dev/null && meson test -C built",
    );
    assert!(project.switchable("built/xmltest") > 20);
}
