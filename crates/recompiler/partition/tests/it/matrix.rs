//! One small project by plain make, `CMake`, Meson and autoconf with libtool: an archive mixed from plain and switchable
//! objects, a shared library, a program, everything with `-Werror`, under every linker's and stripper's way to drop
//! things. Quick by default; every cell with `TIDEGATE_MATRIX=full`.
//!
//! Projects that nobody here wrote are in [`crate::debian`].

use crate::fixture::{Fixture, driver_program, has};
use std::path::Path;
use std::process::Command;

const FILES: [(&str, &str); 10] = [
    ("engine.c", include_str!("matrix/engine.c")),
    ("engine.h", include_str!("matrix/engine.h")),
    ("plain.c", include_str!("matrix/plain.c")),
    ("shared.c", include_str!("matrix/shared.c")),
    ("main.c", include_str!("matrix/main.c")),
    ("build.mk", include_str!("matrix/Makefile")),
    ("CMakeLists.txt", include_str!("matrix/CMakeLists.txt")),
    ("meson.build", include_str!("matrix/meson.build")),
    ("configure.ac", include_str!("matrix/configure.ac")),
    ("Makefile.am", include_str!("matrix/Makefile.am")),
];
const FLAGS: &str = "-O2 -ffunction-sections -Wall -Wextra -Werror";
/// Linkers, and what they are told to drop. GNU ld folds nothing.
const WAYS: [(&str, &str); 4] = [
    ("lld", "-Wl,--icf=all"),
    ("bfd", "-Wl,--gc-sections"),
    ("lld", "-Wl,--gc-sections"),
    ("bfd", ""),
];
const SELECTED: &str = "used\ntwin_one\ntwin_two\ndead\nshared\n";

/// A build system: its tools, what builds the project in `built`, and where the program and the library are then.
struct System {
    name: &'static str,
    tools: &'static [&'static str],
    build: &'static str,
    program: &'static str,
    library: &'static str,
}

const MAKE: System = System {
    name: "make",
    tools: &["make"],
    build: "mkdir built && cp *.c *.h plain.o built && cp build.mk built/Makefile && make -s -C built",
    program: "built/program",
    library: "built/libshared.so",
};
const CMAKE: System = System {
    name: "CMake",
    tools: &["cmake", "make"],
    build: "cmake -S . -B built -DCMAKE_POSITION_INDEPENDENT_CODE=ON >/dev/null && make -s -C built >/dev/null",
    ..MAKE
};
const MESON: System = System {
    name: "Meson",
    tools: &["meson", "ninja"],
    build: "meson setup built --buildtype=plain >/dev/null && ninja --quiet -C built >/dev/null",
    ..MAKE
};
const AUTOCONF: System = System {
    name: "autoconf and libtool",
    tools: &["autoreconf", "automake", "libtoolize", "make"],
    build: "[ -f configure ] || autoreconf -i >/dev/null 2>&1; mkdir built && cp plain.o built && cd built && \
            ../configure --quiet >/dev/null && make -s >/dev/null",
    library: "built/.libs/libshared.so",
    ..MAKE
};

/// Runs a line of shell in the project.
fn shell(fixture: &Fixture, line: &str, environment: &[(&str, &str)]) {
    let mut command = Command::new("sh");
    command
        .args(["-ec", line])
        .current_dir(fixture.path(""))
        .envs(environment.iter().copied());
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(output.status.success(), "{line} {environment:?}: {said:?}");
}

/// Builds the project in every one of `ways`, strips it by both strippers, and checks what it does and what of it is
/// switchable.
fn check(system: &System, ways: &[(&str, &str)]) {
    let test = format!("matrix by {}", system.name);
    let Some(driver) = driver_program("tidegate-cc", &test) else {
        return;
    };
    if !system.tools.iter().all(|tool| has(tool, &test)) {
        return;
    }
    let fixture = Fixture::new(&FILES);
    std::fs::write(fixture.path("functions"), SELECTED).unwrap();
    fixture.run("clang-22 -O2 -fPIC -c plain.c");
    fixture.run("clang-22 -O2 engine.c plain.c shared.c main.c -o plain");
    let expected = fixture.execute("plain");
    for (linker, dropping) in ways {
        let link = format!("-fuse-ld={linker} {dropping}");
        // What is dropped with its section may miss a symbol.
        let drops = dropping.contains("gc-sections");
        let more = if drops { " -DDEAD_NEEDS_MORE" } else { "" };
        let list = fixture.path("functions");
        let environment = [
            ("CC", driver.to_str().unwrap()),
            ("CFLAGS", &format!("{FLAGS}{more}")),
            ("LDFLAGS", &link),
            ("TIDEGATE_FUNCTIONS", list.to_str().unwrap()),
        ];
        shell(&fixture, &format!("rm -rf built; {}", system.build), &environment);
        let cell = format!("{} {link}", system.name);
        assert_eq!(fixture.execute(system.program), expected, "{cell}");
        let [program, library] = [system.program, system.library].map(|name| fixture.switchable(name));
        assert_eq!(
            program.contains(&"dead".to_owned()),
            !drops,
            "{cell}: {program:?}"
        );
        assert!(program.contains(&"used".to_owned()), "{cell}: {program:?}");
        assert!(
            program.iter().any(|name| name.starts_with("twin")),
            "{cell}: {program:?}"
        );
        assert_eq!(library, ["shared"], "{cell}");
        for strip in ["strip", "llvm-strip-22"] {
            strip_and_check(&fixture, system, strip, &expected, [&program, &library]);
            println!("{cell} {strip}: {} + {} switchable", program.len(), library.len());
        }
    }
}

fn strip_and_check(
    fixture: &Fixture,
    system: &System,
    strip: &str,
    expected: &str,
    [program, library]: [&[String]; 2],
) {
    let names = [system.program, system.library];
    for name in names {
        fixture.run(&format!("cp {name} {name}.kept"));
        fixture.run(&format!("{strip} {name}"));
        assert!(Path::new(&fixture.path(name)).is_file());
    }
    assert_eq!(
        fixture.execute(system.program),
        expected,
        "{strip} {}",
        system.name
    );
    assert_eq!(
        fixture.switchable(system.program),
        program,
        "{strip} {}",
        system.name
    );
    assert_eq!(
        fixture.switchable(system.library),
        library,
        "{strip} {}",
        system.name
    );
    for name in names {
        std::fs::rename(fixture.path(&format!("{name}.kept")), fixture.path(name)).unwrap();
    }
}

/// All ways, or the first so many.
fn ways(quick: usize) -> &'static [(&'static str, &'static str)] {
    let is_full = std::env::var("TIDEGATE_MATRIX").is_ok_and(|word| word == "full");
    &WAYS[..if is_full { WAYS.len() } else { quick }]
}

#[test]
fn by_make() {
    check(&MAKE, ways(4));
}

#[test]
fn by_cmake() {
    check(&CMAKE, ways(1));
}

#[test]
fn by_meson() {
    check(&MESON, ways(1));
}

#[test]
fn by_autoconf_and_libtool() {
    check(&AUTOCONF, ways(1));
}
