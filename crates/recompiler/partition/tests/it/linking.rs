//! Objects are plain ELF: every linker takes them, and what lies in the sections lives and dies with its function.

use crate::fixture::{Fixture, has};

const LIBRARY: &str = r"
static long state;
long (*address)(long);
__attribute__((noinline)) long used(long n) { for (long i = 0; i < n; i++) state = state * 31 + i; return state; }
__attribute__((noinline)) long taken(long n) { for (long i = 0; i < n; i++) state ^= state << 3 | i; return state; }
__attribute__((noinline)) static long inner(long n) { for (long i = 0; i < n; i++) state -= i * state; return state; }
__attribute__((noinline)) long twin_one(long n) { for (long i = 0; i < n; i++) state += i & n; return state; }
__attribute__((noinline)) long twin_two(long n) { for (long i = 0; i < n; i++) state += i & n; return state; }
__attribute__((noinline)) long refused(long n, ...) { for (long i = 0; i < n; i++) state ^= i; return state; }
__attribute__((noinline)) long dead(long n) { extern long missing(long); for (long i = 0; i < n; i++) state += DEAD; return state; }
long calls(long n) { address = taken; return used(n) + inner(n) + address(n); }
";
const MAIN: &str = r#"
#include <stdio.h>
long calls(long), used(long), taken(long), twin_one(long), twin_two(long), refused(long, ...);
extern long (*address)(long);
int main(void) {
  long first = calls(100), second = used(5) + refused(3);
  long third = twin_one(9), fourth = twin_two(9);
  printf("%ld %ld %ld %ld %d\n", first, second, third, fourth, address == taken);
}
"#;
const SELECTED: &str = "used taken inner twin_one twin_two refused dead calls";

fn fixture() -> Fixture {
    Fixture::new(&[("library.c", LIBRARY), ("main.c", MAIN)])
}

/// What the program prints without any of it.
fn expected(fixture: &Fixture) -> String {
    fixture.run("clang-22 -O2 -DDEAD=i library.c main.c -o plain");
    fixture.execute("plain")
}

#[test]
fn gcc_clang_bfd_and_lld_link_plain_objects() {
    let fixture = fixture();
    let expected = expected(&fixture);
    fixture.compile(
        SELECTED,
        "-O2 -DDEAD=i -ffunction-sections -fdata-sections -c library.c main.c",
    );
    let linkers = [
        "gcc -fuse-ld=bfd",
        "clang-22 -fuse-ld=bfd",
        "clang-22 -fuse-ld=lld",
        "gcc -static",
    ];
    let sections = ["", "-Wl,--gc-sections"];
    for (linker, option) in linkers
        .iter()
        .flat_map(|linker| sections.map(|option| (*linker, option)))
    {
        fixture.run(&format!("{linker} {option} library.o main.o -o program"));
        assert_eq!(fixture.execute("program"), expected, "{linker} {option}");
        let switchable = fixture.switchable("program");
        let dead = switchable.contains(&"dead".to_owned());
        assert_eq!(dead, option.is_empty(), "{linker} {option}: {switchable:?}");
        let alive = ["calls", "inner", "taken", "twin_one", "twin_two", "used"];
        assert!(
            alive.iter().all(|name| switchable.contains(&(*name).to_owned())),
            "{switchable:?}"
        );
        let refused: Vec<_> = fixture
            .inspect("program")
            .refused
            .into_iter()
            .map(|one| one.name)
            .collect();
        assert_eq!(refused, ["refused"], "{linker} {option}");
    }
}

#[test]
fn folding_identical_code_keeps_one_of_the_twins_switchable_and_both_working() {
    let fixture = fixture();
    let expected = expected(&fixture);
    fixture.compile(SELECTED, "-O2 -DDEAD=i -ffunction-sections -c library.c main.c");
    for option in ["--icf=all", "--icf=safe", "--icf=all -Wl,--gc-sections"] {
        fixture.run(&format!(
            "clang-22 -fuse-ld=lld -Wl,{option} library.o main.o -o program"
        ));
        assert_eq!(fixture.execute("program"), expected, "{option}");
        let switchable = fixture.switchable("program");
        assert!(
            switchable.iter().any(|name| name.starts_with("twin_")),
            "{option}: {switchable:?}"
        );
        assert!(
            ["used", "taken", "inner"]
                .iter()
                .all(|name| switchable.contains(&(*name).to_owned()))
        );
    }
}

#[test]
fn stripping_leaves_everything_that_is_needed() {
    let fixture = fixture();
    fixture.compile(SELECTED, "-O2 -DDEAD=i -g -c library.c main.c");
    for linker in ["gcc", "clang-22 -fuse-ld=lld"] {
        for strip in [
            "strip --strip-all",
            "strip --strip-debug",
            "llvm-strip-22 --strip-all",
        ] {
            fixture.run(&format!("{linker} library.o main.o -o program"));
            let before = fixture.inspect("program");
            fixture.run(&format!("{strip} program"));
            assert_eq!(fixture.inspect("program"), before, "{linker} {strip}");
            fixture.execute("program");
        }
    }
}

#[test]
fn dead_code_that_names_a_missing_symbol_still_links_when_collected() {
    let fixture = fixture();
    fixture.compile(
        SELECTED,
        "-O2 -DDEAD=missing(i) -ffunction-sections -c library.c main.c",
    );
    for linker in ["gcc -Wl,--gc-sections", "clang-22 -fuse-ld=lld -Wl,--gc-sections"] {
        fixture.run(&format!("{linker} library.o main.o -o program"));
    }
}

#[test]
fn archives_mixed_from_plain_and_wrapped_objects_link() {
    let fixture = fixture();
    let expected = expected(&fixture);
    fixture.compile(SELECTED, "-O2 -DDEAD=i -c library.c");
    fixture.run("gcc -O2 -c main.c");
    fixture.run("ar rcs libmixed.a library.o main.o");
    fixture.run("gcc -Wl,--whole-archive libmixed.a -Wl,--no-whole-archive -o program");
    assert_eq!(fixture.execute("program"), expected);
    fixture.run("ld -r library.o main.o -o joined.o");
    fixture.run("gcc joined.o -o program");
    assert_eq!(fixture.execute("program"), expected);
}

#[test]
fn a_shared_object_s_functions_can_still_be_preempted() {
    if !has("gcc", "a_shared_object_s_functions_can_still_be_preempted") {
        return;
    }
    let other = r"long used(long n) { return n; }";
    let fixture = Fixture::new(&[("library.c", LIBRARY), ("main.c", MAIN), ("other.c", other)]);
    fixture.run("clang-22 -O2 -DDEAD=i -fPIC -shared library.c -o libplain.so");
    fixture.run("clang-22 -O2 main.c ./libplain.so -o plain");
    fixture.run("gcc -O2 -fPIC -shared other.c -o other.so");
    let plain = fixture.run("env LD_LIBRARY_PATH=. ./plain");
    let preempted = fixture.run("env LD_LIBRARY_PATH=. LD_PRELOAD=./other.so ./plain");
    assert_ne!(preempted, plain);
    for linker in ["bfd", "lld"] {
        let link = format!("-O2 -DDEAD=i -fPIC -shared -fuse-ld={linker} library.c -o libwrapped.so");
        fixture.compile(SELECTED, &link);
        fixture.compile("", "-O2 main.c ./libwrapped.so -o program");
        assert_eq!(fixture.run("env LD_LIBRARY_PATH=. ./program"), plain, "{linker}");
        let preloaded = fixture.run("env LD_LIBRARY_PATH=. LD_PRELOAD=./other.so ./program");
        assert_eq!(preloaded, preempted, "{linker}");
    }
}

#[test]
fn the_same_source_gives_the_same_bytes() {
    let fixture = fixture();
    fixture.compile(SELECTED, "-O2 -DDEAD=i -g -c library.c -o one.o");
    fixture.compile(SELECTED, "-O2 -DDEAD=i -g -c library.c -o two.o");
    assert_eq!(
        std::fs::read(fixture.path("one.o")).unwrap(),
        std::fs::read(fixture.path("two.o")).unwrap()
    );
}

#[test]
fn aliases_constructors_and_weak_functions_mean_the_function() {
    let source = r#"
#include <stdio.h>
static long state;
__attribute__((noinline, constructor)) static void first(void) { for (long i = 0; i < 3; i++) state += i; }
__attribute__((noinline)) long named(long n) { for (long i = 0; i < n; i++) state ^= i * state; return state; }
extern long other_name(long) __attribute__((alias("named")));
__attribute__((weak, noinline)) long replaced(long n) { for (long i = 0; i < n; i++) state += i; return state; }
long (*const table[])(long) = {named, other_name, replaced};
long all(long n) { return table[n % 3](n) + other_name(n) + replaced(n); }
int main(void) { printf("%ld %d\n", all(1) + all(2) + all(5), table[0] == table[1]); }
"#;
    let other = "long replaced(long n) { return n * 1000; }";
    let fixture = Fixture::new(&[("source.c", source), ("other.c", other)]);
    for files in ["source.c", "source.c other.c"] {
        fixture.run(&format!("clang-22 -O2 {files} -o plain"));
        fixture.compile("first named replaced all", &format!("-O2 {files} -o program"));
        assert_eq!(fixture.execute("program"), fixture.execute("plain"), "{files}");
    }
}
