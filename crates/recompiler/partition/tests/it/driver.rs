//! The driver is clang: same output, same exit status, same files.

use crate::fixture::Fixture;

const SOURCE: &str = r#"
#include <stdio.h>
int main(void) { printf("%d\n", VALUE); return 7; }
"#;

/// Runs driver and clang on the same arguments and compares everything but names of temporary files.
fn same(fixture: &Fixture, arguments: &str) {
    let driven = fixture.driver(arguments).output().unwrap();
    let plain = std::process::Command::new("clang-22")
        .args(arguments.split_whitespace())
        .current_dir(fixture.path(""))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(text(&driven.stderr), text(&plain.stderr), "{arguments}");
    assert_eq!(text(&driven.stdout), text(&plain.stdout), "{arguments}");
    assert_eq!(driven.status, plain.status, "{arguments}");
}

#[test]
fn modes_without_code_are_clang_s_own() {
    let fixture = Fixture::new(&[
        ("a.c", SOURCE),
        ("b.s", ".globl b\nb: ret\n"),
        ("broken.c", "int main( {"),
    ]);
    for arguments in [
        "--version",
        "-dumpversion",
        "-dumpmachine",
        "-print-prog-name=ld",
        "-print-search-dirs",
        "-print-libgcc-file-name",
        "-E -DVALUE=3 -P a.c -o -",
        "-M -DVALUE=3 a.c",
        "-MM -DVALUE=3 a.c",
        "-fsyntax-only -Wall -Wextra -Werror -DVALUE=3 a.c",
        "-c b.s -o b.o",
        "-c -x assembler-with-cpp b.s -o b.o",
        "-Werror -Wall -O2 -DVALUE=3 -c a.c -o a.o",
        "-Wall -O2 -c a.c",
        "-c broken.c",
        "-c missing.c",
        "-o nothing",
        "-unknown-flag a.c",
        "",
    ] {
        same(&fixture, arguments);
    }
}

#[test]
fn linking_says_nothing_more_than_clang_says() {
    let fixture = Fixture::new(&[("a.c", SOURCE)]);
    fixture.compile("", "-O2 -DVALUE=3 -c a.c -o a.o");
    for arguments in [
        "a.o -o a",
        "-Wall -Werror -O2 a.o -o a",
        "a.o missing.o -o a",
        "-static a.o -o a",
        "-r a.o -o r.o",
    ] {
        same(&fixture, arguments);
    }
}

#[test]
fn response_files_several_sources_and_standard_input_work() {
    let other = "int other(int n) { int s = 0; for (int i = 0; i < n; i++) s ^= s * 31 + i; return s; }";
    let main = "int other(int); int main(void) { return other(0); }";
    let fixture = Fixture::new(&[
        ("main.c", main),
        ("other.c", other),
        ("words", "-O2 -flto other.c main.c -o program"),
    ]);
    fixture.compile("other", "@words");
    fixture.execute("program");
    assert_eq!(fixture.switchable("program"), ["other"]);
    fixture.compile("other", "-O2 -save-temps -MMD -c other.c main.c");
    assert!(fixture.path("other.d").is_file() && fixture.path("main.o").is_file());
    let mut command = fixture.driver("-O2 -x c - -c -o piped.o");
    command.stdin(std::fs::File::open(fixture.path("main.c")).unwrap());
    assert!(command.status().unwrap().success());
}

#[test]
fn bitcode_is_never_an_object() {
    let fixture = Fixture::new(&[("a.c", SOURCE)]);
    fixture.compile("", "-O2 -flto -DVALUE=3 -c a.c -o a.o");
    assert_eq!(&std::fs::read(fixture.path("a.o")).unwrap()[..4], b"\x7fELF");
    // Who asks for IR by name gets it, with the tables in it.
    fixture.compile("main", "-O2 -S -emit-llvm -DVALUE=3 a.c -o a.ll");
    assert!(
        std::fs::read_to_string(fixture.path("a.ll"))
            .unwrap()
            .contains(".tidegate.functions")
    );
}

#[test]
fn the_header_is_found_and_costs_nothing_without_the_driver() {
    let source = r"
#include <tidegate.h>
TIDEGATE_TUNABLE(batch, 10, TIDEGATE_IN(cpu, 20), TIDEGATE_IN(neighbour, 5));
int main(void) { for (int i = 0; i < 3; i++) TIDEGATE_WORK(2); return (int)(batch() + (long)tidegate_work_total); }
";
    let fixture = Fixture::new(&[
        ("a.c", source),
        ("b.c", "#include <tidegate.h>\nvoid b(void) { TIDEGATE_WORK(1); }"),
    ]);
    let include = concat!(env!("CARGO_MANIFEST_DIR"), "/../drivers/include");
    let builds = [
        ("-O2", false),
        ("-O0", false),
        ("-O2 -std=c11 -Wall -Wextra -Wpedantic -Werror", false),
        ("-O2 -Wall -Wextra -Werror", true),
    ];
    for (flags, plain) in builds {
        if plain {
            fixture.run(&format!("gcc {flags} -I{include} a.c b.c -o program"));
        } else {
            fixture.compile("", &format!("{flags} a.c b.c -o program"));
            let tunable = &fixture.inspect("program").tunables[0];
            assert_eq!((tunable.name.as_str(), tunable.default), ("batch", 10));
        }
        let status = std::process::Command::new(fixture.path("program"))
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(16), "{flags}");
    }
}
