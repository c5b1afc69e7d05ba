//! The modes of a compiler that build systems rely on, one line each.

use crate::fixture::{Fixture, driver_program, has};
use tidegate_drivers::tools::Language;

const A: &str = r#"
#include "a.h"
__attribute__((noinline)) long hot(long n) { long s = START; for (long i = 0; i < n; i++) s = (s ^ i) * 31; return s; }
"#;
const MAIN: &str = r#"
#include <stdio.h>
#include "a.h"
long hot(long); long assembled(void);
#ifdef WITH_ASSEMBLER
int main(void) { printf("%ld %ld\n", hot(9), assembled()); return 0; }
#else
int main(void) { printf("%ld\n", hot(9)); return 0; }
#endif
"#;
const ASSEMBLER: &str =
    ".globl assembled\n.text\nassembled: mov $5, %eax\n ret\n.section .note.GNU-stack,\"\",@progbits\n";

fn fixture() -> Fixture {
    Fixture::new(&[
        ("a.h", "#define START 7\n"),
        ("a.c", A),
        ("main.c", MAIN),
        ("plain.s", ASSEMBLER),
        ("macro.S", &ASSEMBLER.replace("$5", "$FIVE")),
        ("words", "-O2 -I. 'a.c' \"main.c\" -o program"),
    ])
}

/// Runs the steps with the driver and with clang (`CC` stands for it); the last step's program must say the same.
/// Gives what of the driver's program is switchable.
fn check(steps: &[&str]) -> Vec<String> {
    let outcome = |driven: bool| {
        let fixture = fixture();
        for step in steps {
            match step.strip_prefix("CC ") {
                Some(arguments) if driven => fixture.compile("hot", arguments),
                Some(arguments) => _ = fixture.run(&format!("clang-22 {arguments}")),
                None => _ = fixture.run(step),
            }
        }
        (fixture.run("env LD_LIBRARY_PATH=. ./program"), fixture)
    };
    let ((plain, _), (driven, fixture)) = (outcome(false), outcome(true));
    assert_eq!(driven, plain, "{steps:?}");
    fixture.switchable("program")
}

#[test]
fn every_mode_of_building_a_program() {
    let hot = |steps: &[&str]| assert_eq!(check(steps), ["hot"], "{steps:?}");
    hot(&["CC -O2 a.c main.c -o program"]);
    hot(&["CC @words"]);
    hot(&["CC -O2 -c a.c main.c", "CC a.o main.o -o program"]);
    hot(&["CC -O2 -S a.c -o a.s", "CC a.s main.c -o program"]);
    hot(&["CC -O2 -E a.c -o a.i", "CC -O2 a.i main.c -o program"]);
    hot(&[
        "CC -O2 -S -emit-llvm a.c -o a.ll",
        "CC -O0 -x ir a.ll -x c main.c -o program",
    ]);
    hot(&["CC -O2 -DWITH_ASSEMBLER a.c main.c plain.s -o program"]);
    hot(&["CC -O2 -DWITH_ASSEMBLER -DFIVE=5 a.c main.c macro.S -o program"]);
    hot(&[
        "CC -O2 -x c-header a.h -o a.h.pch",
        "CC -O2 -include-pch a.h.pch a.c main.c -o program",
    ]);
    hot(&[
        "CC -O2 -c a.c main.c",
        "ar rcs liball.a a.o",
        "CC main.o -L. -lall -o program",
    ]);
    hot(&[
        "CC -O2 -c a.c main.c",
        "llvm-ar-22 rcsD liball.a a.o",
        "ranlib liball.a",
        "CC main.o liball.a -o program",
    ]);
    hot(&[
        "CC -O2 -c a.c main.c",
        "CC -r a.o main.o -o both.o",
        "CC both.o -o program",
    ]);
    hot(&["CC -O2 -static a.c main.c -o program"]);
    hot(&["CC -O2 -fPIE -pie a.c main.c -o program"]);
    hot(&["CC -O2 -static-pie a.c main.c -o program"]);
    hot(&["CC -O2 -no-pie -fno-pie a.c main.c -o program"]);
    hot(&["CC -O2 -flto a.c main.c -o program"]);
    hot(&[
        "CC -O2 -flto=thin -c a.c main.c",
        "CC -flto=thin a.o main.o -o program",
    ]);
    hot(&["CC -O2 -MD -MF deps.d -MT x -c a.c", "CC a.o main.c -o program"]);
    hot(&["CC -O2 -save-temps=obj a.c main.c -o program"]);
    hot(&["CC -O2 -pipe -std=c99 -pedantic -Wall -Wextra -Werror a.c main.c -o program"]);
    hot(&["CC -O2 -gz -gdwarf-4 -g3 -gsplit-dwarf a.c main.c -o program"]);
    assert!(
        check(&[
            "CC -O2 -shared -fPIC a.c -o liball.so",
            "CC main.c -L. -lall -o program"
        ])
        .is_empty()
    );
}

#[test]
fn what_a_build_system_asks_is_answered_by_clang() {
    let questions = [
        "-dumpversion",
        "-dumpmachine",
        "-print-search-dirs",
        "-print-multi-lib",
        "-print-resource-dir",
        "-print-file-name=libc.so",
        "-print-libgcc-file-name",
        "-v",
        "-E -dM -x c /dev/null",
        "-E -v -x c /dev/null",
        "-M a.c",
        "-MM a.c",
        "-MM -MG missing.c a.c",
        "-MD -MP -MF - -E a.c",
        "-fsyntax-only a.c",
        "-x c -fsyntax-only words",
        "-Wl,--version",
        "--help-hidden -c",
        "-std=c99 -x c -E a.h -P",
        "-qversion",
        "-Xlinker --bogus a.c",
        "-O2 -c a.c -o /nonexistent/a.o",
        "-c a.c main.c -o both.o",
    ];
    for language in [Language::C, Language::CPlusPlus] {
        let fixture = fixture();
        for question in questions {
            let driven = fixture.driver_for(language, question).output().unwrap();
            let plain = plain(&fixture, language, question);
            let text = |bytes: &[u8]| without_temporary_names(&String::from_utf8_lossy(bytes));
            assert_eq!(text(&driven.stdout), text(&plain.stdout), "{question}");
            assert_eq!(text(&driven.stderr), text(&plain.stderr), "{question}");
            assert_eq!(driven.status, plain.status, "{question}");
        }
    }
}

fn plain(fixture: &Fixture, language: Language, arguments: &str) -> std::process::Output {
    let program = match language {
        Language::C => "clang-22",
        Language::CPlusPlus => "clang++-22",
    };
    let mut command = std::process::Command::new(program);
    let command = command
        .args(arguments.split_whitespace())
        .current_dir(fixture.path(""));
    command.output().unwrap()
}

/// Names of temporary objects are random, also clang's own; and what the driver adds shows only where a person asks
/// for the commands themselves (`-v`), on the compiler's and linker's own lines.
fn without_temporary_names(text: &str) -> String {
    let lines = text
        .lines()
        .filter(|line| !line.contains("-cc1") && !line.contains("crt1.o") && !line.contains("/tmp/"));
    // The header's folder is searched last, and says so under `-v`; the macro says who compiles.
    let lines = lines.filter(|line| !line.contains("recompiler/drivers") && !line.contains("__TIDEGATE__"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn libtool_builds_both_libraries() {
    let test = "libtool_builds_both_libraries";
    let Some(driver) = driver_program("tidegate-cc", test).filter(|_| has("libtool", test)) else {
        return;
    };
    let folder = fixture();
    let driver = driver.display();
    let libtool = |arguments: String| folder.run(&format!("libtool --quiet --tag=CC {arguments}"));
    libtool(format!("--mode=compile {driver} -O2 -c a.c -o a.lo"));
    libtool(format!(
        "--mode=link {driver} -O2 a.lo -o libhot.la -rpath /nonexistent"
    ));
    libtool(format!(
        "--mode=link {driver} -O2 -static main.c libhot.la -o program"
    ));
    let said = folder.execute("program");
    folder.run("clang-22 -O2 a.c main.c -o plain");
    assert_eq!(said, folder.execute("plain"));
    assert!(folder.path(".libs/libhot.so").exists() && folder.path(".libs/libhot.a").exists());
}

#[test]
fn ccache_takes_the_second_object_from_its_cache() {
    let test = "ccache_takes_the_second_object_from_its_cache";
    let Some(driver) = driver_program("tidegate-cc", test).filter(|_| has("ccache", test)) else {
        return;
    };
    let folder = fixture();
    let compile = format!(
        "env CCACHE_DIR=cache ccache {} -O2 -c a.c -o a.o",
        driver.display()
    );
    folder.run(&compile);
    let first = std::fs::read(folder.path("a.o")).unwrap();
    folder.run(&compile);
    assert_eq!(std::fs::read(folder.path("a.o")).unwrap(), first);
    let statistics = folder.run("env CCACHE_DIR=cache ccache --print-stats");
    let value = |key: &str| {
        let line = statistics
            .lines()
            .find(|line| line.split_whitespace().next() == Some(key));
        line.and_then(|line| line.split_whitespace().nth(1))
            .map(str::to_owned)
    };
    let hits = [value("direct_cache_hit"), value("preprocessed_cache_hit")];
    assert!(hits.contains(&Some("1".to_owned())), "{statistics}");
}

#[test]
fn the_same_sources_give_the_same_program() {
    let (one, two) = (fixture(), fixture());
    let build = |folder: &Fixture| {
        let prefix = format!("-ffile-prefix-map={}=.", folder.path("").display());
        folder.compile(
            "",
            &format!("-O2 -g {prefix} -fdebug-compilation-dir=. a.c main.c -o program"),
        );
        std::fs::read(folder.path("program")).unwrap()
    };
    assert!(build(&one) == build(&two));
}
