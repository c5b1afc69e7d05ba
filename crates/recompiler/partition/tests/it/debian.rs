//! Projects that nobody here wrote, by the build systems that they use, from Debian's source packages. Each builds
//! with the drivers, passes its own tests, and goes through the linkers' and strippers' ways to drop things.

use crate::fixture::{driver_program, has};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use tempfile::TempDir;

/// Where sources come from; apt checks signatures.
const SOURCES: &str = "Types: deb-src
URIs: http://deb.debian.org/debian
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";
/// Every driver must bear this: what the user did not write must not be warned about.
const STRICT: &str = "-O2 -Werror=unused-command-line-argument -w";

/// One download at a time.
static APT: Mutex<()> = Mutex::new(());

/// A project's sources, unpacked, and the drivers beside them.
struct Project {
    folder: TempDir,
    sources: PathBuf,
}

impl Project {
    /// Fetches `package` (with its version); `None` and a skip where that is not possible or `tools` are missing.
    fn fetch(test: &str, package: &str, tools: &[&str]) -> Option<Self> {
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
        if let Err(error) = download(folder.path(), package) {
            eprintln!("SKIP {test}: the sources of {package} are not to be had: {error}");
            return None;
        }
        let unpacked = std::fs::read_dir(folder.path().join("sources")).unwrap();
        let mut unpacked = unpacked.map(|entry| entry.unwrap().path());
        let sources = unpacked.find(|path| path.is_dir()).unwrap();
        Some(Self { folder, sources })
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

fn download(folder: &Path, package: &str) -> Result<(), String> {
    let _alone = APT.lock();
    for name in ["parts", "sources", "lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(folder.join(name)).map_err(|error| error.to_string())?;
    }
    std::fs::write(folder.join("parts/source.sources"), SOURCES).map_err(|error| error.to_string())?;
    let options = [
        ("Dir::Etc::SourceList", "/dev/null".to_owned()),
        (
            "Dir::Etc::SourceParts",
            folder.join("parts").display().to_string(),
        ),
        ("Dir::State::Lists", lists(folder).display().to_string()),
        ("Dir::Cache", folder.join("cache").display().to_string()),
        ("APT::Sandbox::User", "root".to_owned()),
    ];
    let options = options
        .iter()
        .flat_map(|(name, value)| ["-o".to_owned(), format!("{name}={value}")]);
    let options: Vec<_> = options.collect();
    for words in [vec!["update"], vec!["source", "--only-source", package]] {
        let output = Command::new("apt-get")
            .args(&options)
            .arg("--quiet=2")
            .args(words)
            .current_dir(folder.join("sources"))
            .output()
            .map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
    }
    Ok(())
}

/// Debian's list of sources, kept between runs: it is the same for every project.
fn lists(folder: &Path) -> PathBuf {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian-lists");
    let made = std::fs::create_dir_all(kept.join("partial"));
    if made.is_ok() { kept } else { folder.join("lists") }
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
