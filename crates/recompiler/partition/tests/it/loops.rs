//! Long loops become functions of their own.

use crate::fixture::Fixture;

/// A program whose work is in `main`, `work` turns of `turns` turns.
fn program(kind: &str, inner: &str) -> String {
    format!(
        "#include <stdio.h>
#include <setjmp.h>
#include <pthread.h>
jmp_buf place;
static unsigned data[4096];
volatile long rounds = 20;
{kind} {{
  long n = 4096; unsigned s = 1;
  for (long i = 0; i < n; i++) data[i] = (unsigned)i * 2654435761u;
  for (long round = 0; round < rounds; round++) {{ {inner} }}
  printf(\"%x\\n\", s);
  return 0;
}}
"
    )
}

const LONG: &str = "for (long i = 0; i < n; i++) s = (s ^ data[i]) * 31 + (s >> 7);";

/// Builds with and without the driver; the output must be the same. Gives the loops that became functions.
fn loops(source: &str, functions: &str, flags: &str) -> Vec<String> {
    let fixture = Fixture::new(&[("source.c", source)]);
    fixture.run(&format!("clang-22 {flags} source.c -o plain"));
    fixture.compile(functions, &format!("{flags} source.c -o program"));
    assert_eq!(fixture.execute("program"), fixture.execute("plain"), "{source}");
    let names = fixture.switchable("program");
    names.into_iter().filter(|name| name.contains(".loop")).collect()
}

#[test]
fn which_loops_are_taken() {
    let check = |inner: &str, functions: &str, expect: &[&str]| {
        let source = program("int main(void)", inner);
        assert_eq!(loops(&source, functions, "-O2"), expect, "{inner}");
    };
    check(LONG, "", &["main.loop"]);
    check(&format!("{LONG} {LONG}"), "", &["main.loop", "main.loop.1"]);
    // Too short for a call, unless somebody who measured says so.
    let short = "for (long i = 0; i < 40; i++) s = (s ^ data[i]) * 31 + (s >> 7); data[3] = s;";
    let kept = format!("\n#pragma clang loop unroll(disable)\n {short}");
    check(&kept, "", &[]);
    check(&kept, "main.loop", &["main.loop"]);
    // What may not move.
    check(
        &format!("for (long i = 0; i < n; i++) {{ s += (unsigned)setjmp(place); {LONG} }}"),
        "",
        &[],
    );
    // Not selected.
    check(LONG, "other", &[]);
    check(LONG, "main", &["main.loop"]);
}

#[test]
fn only_functions_that_are_entered_once_are_searched() {
    let start = "pthread_t thread; pthread_create(&thread, 0, work, 0); pthread_join(thread, 0); return 0;";
    let thread = format!(
        "{} int main(void) {{ {start} }}",
        program("static void *work(void *unused)", LONG)
    );
    assert_eq!(loops(&thread, "", "-O2 -pthread"), ["work.loop"]);
    let helper = "__attribute__((noinline)) static int work(void)";
    let once = format!("{} int main(void) {{ return work(); }}", program(helper, LONG));
    assert_eq!(loops(&once, "", "-O2"), ["work.loop"]);
    let again = "int main(int count, char **words) { for (int i = 0; i < count; i++) work(); return 0; }";
    let often = format!("{} {again}", program(helper, LONG));
    assert!(loops(&often, "", "-O2").is_empty());
    let visible = format!(
        "{} int main(void) {{ return work(); }}",
        program("__attribute__((noinline)) int work(void)", LONG)
    );
    assert!(loops(&visible, "", "-O2").is_empty());
    assert_eq!(loops(&visible, "work.loop", "-O2"), ["work.loop"]);
}

#[test]
fn every_level_of_optimisation_and_debug_information() {
    let source = program("int main(void)", LONG);
    for flags in [
        "-O1",
        "-O3 -g",
        "-Os",
        "-O2 -fPIC -fcf-protection",
        "-O2 -g -ffunction-sections",
    ] {
        assert_eq!(loops(&source, "", flags), ["main.loop"], "{flags}");
    }
}
