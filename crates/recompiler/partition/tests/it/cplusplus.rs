//! C++: functions that several objects define, exceptions, static initialisation.

use crate::fixture::Fixture;
use tidegate_drivers::tools::Language;

const HEADER: &str = r#"
#pragma once
#include <cstdio>
#include <stdexcept>
#include <vector>
template <class T> __attribute__((noinline)) T sum(const std::vector<T> &v, T limit) {
  static T calls = 0;
  ++calls;
  T s = calls;
  for (auto x : v) { s = s * 3 + x; if (s > limit) throw std::runtime_error("limit"); }
  return s;
}
struct Guard { long &n; Guard(long &n) : n(n) { ++n; } ~Guard() { --n; } };
struct Shape { virtual long area(long n) const { long s = 0; for (long i = 0; i < n; i++) s ^= i * 7; return s; } virtual ~Shape() {} };
inline long depth;
inline __attribute__((noinline)) long *counter(long n) { static std::vector<long> all(17, n); for (auto &x : all) x += n; return all.data(); }
long other(long n);
using Function = long (*)(const std::vector<long> &, long);
Function address();
"#;
const OTHER: &str = r#"
#include "header.h"
Function address() { return &sum<long>; }
long other(long n) {
  std::vector<long> v;
  long caught = 0;
  for (long i = 0; i < n; i++) { v.push_back(i & 15); try { caught += sum(v, 1000 + i); } catch (const std::exception &e) { caught ^= e.what()[0] + i; v.clear(); } }
  return caught + *counter(n) + Shape().area(n);
}
"#;
const MAIN: &str = r#"
#include "header.h"
static long start = other(40);
__attribute__((noinline)) long outer(const std::vector<long> &v, long limit) {
  Guard guard(depth);
  try { return sum(v, limit); } catch (const std::out_of_range &) { return -2; } catch (int x) { return x; }
}
__attribute__((noinline)) void rethrow(long n) {
  Guard guard(depth);
  try { if (n % 3 == 0) throw 7; if (n % 3 == 1) throw std::out_of_range("x"); outer(std::vector<long>(9, n), 10); }
  catch (const std::out_of_range &) { depth += 10; throw; }
}
__attribute__((noinline)) long all(long n) {
  long caught = 0;
  for (long i = 0; i < n; i++) try { rethrow(i); } catch (int x) { caught += x; } catch (const std::runtime_error &e) { caught ^= i; } catch (...) { caught *= 3; }
  return caught + depth;
}
int main() { std::printf("%ld %ld %ld %ld %d\n", start, all(50), other(30), *counter(3), address() == &sum<long>); }
"#;
const NAMES: &str = "_Z3sumIlET_RKSt6vectorIS0_SaIS0_EES0_ _Z7counterl _ZNK5Shape4areaEl _Z5outerRKSt6vectorIlSaIlEEl \
                     _Z7rethrowl _Z3alll _Z5otherl";

fn fixture() -> (Fixture, String) {
    let fixture = Fixture::new(&[("header.h", HEADER), ("other.cpp", OTHER), ("main.cpp", MAIN)]);
    fixture.run("clang++-22 -O2 main.cpp other.cpp -o plain");
    let plain = fixture.execute("plain");
    assert!(plain.ends_with(" 1\n"), "{plain}");
    (fixture, plain)
}

fn compile(fixture: &Fixture, arguments: &str) {
    fixture.compile_for(Language::CPlusPlus, NAMES, arguments);
}

#[test]
fn templates_inline_functions_and_exceptions_keep_their_meaning_with_every_linker() {
    let (fixture, plain) = fixture();
    for linker in ["bfd", "lld"] {
        for flags in [
            "-O2",
            "-O3 -fPIC -ffunction-sections -Wl,--gc-sections",
            "-O1 -g -fno-pie -no-pie",
            "-O2 -static",
        ] {
            compile(
                &fixture,
                &format!("{flags} -fuse-ld={linker} main.cpp other.cpp -o program"),
            );
            assert_eq!(fixture.execute("program"), plain, "{linker} {flags}");
            let switchable = fixture.switchable("program");
            for name in [
                "_Z3sumIlET_RKSt6vectorIS0_SaIS0_EES0_",
                "_Z7counterl",
                "_Z7rethrowl",
            ] {
                let found = switchable.iter().filter(|found| *found == name).count();
                assert_eq!(found, 1, "{linker} {flags} {name}: {switchable:?}");
            }
        }
    }
    let identical = "-O2 -ffunction-sections -fuse-ld=lld -Wl,--icf=all main.cpp other.cpp -o program";
    compile(&fixture, identical);
    assert_eq!(fixture.execute("program"), plain);
    for strip in ["strip", "llvm-strip-22"] {
        fixture.run(&format!("{strip} program"));
        assert_eq!(fixture.execute("program"), plain, "{strip}");
        assert!(fixture.switchable("program").len() >= 6, "{strip}");
    }
}

#[test]
fn objects_with_and_without_slots_link_in_any_order() {
    let (fixture, plain) = fixture();
    for name in ["main", "other"] {
        fixture.run(&format!("clang++-22 -O2 -c {name}.cpp -o plain-{name}.o"));
        compile(&fixture, &format!("-O2 -c {name}.cpp -o {name}.o"));
    }
    for linker in ["g++", "clang++-22 -fuse-ld=lld"] {
        for objects in [
            "main.o plain-other.o",
            "plain-other.o main.o",
            "plain-main.o other.o",
            "other.o plain-main.o",
        ] {
            fixture.run(&format!("{linker} {objects} -o program"));
            assert_eq!(fixture.execute("program"), plain, "{linker} {objects}");
        }
    }
}

#[test]
fn shared_objects_with_templates() {
    let (fixture, plain) = fixture();
    for linker in ["bfd", "lld"] {
        compile(
            &fixture,
            &format!("-O2 -fPIC -shared -fuse-ld={linker} other.cpp -o libother.so"),
        );
        compile(
            &fixture,
            &format!("-O2 -fuse-ld={linker} main.cpp ./libother.so -o program"),
        );
        assert_eq!(fixture.run("env LD_LIBRARY_PATH=. ./program"), plain, "{linker}");
    }
}

#[test]
fn the_driver_is_clang_plus_plus() {
    let fixture = Fixture::new(&[(
        "a.cpp",
        "#include <vector>\nint main() { return (int)std::vector<int>(3).size(); }",
    )]);
    for arguments in [
        "--version",
        "",
        "-c missing.cpp",
        "-O2 -Wall -Werror a.cpp -o a",
        "-x c++-header a.cpp -o a.pch",
    ] {
        let driven = fixture
            .driver_for(Language::CPlusPlus, arguments)
            .output()
            .unwrap();
        let plain = std::process::Command::new("clang++-22")
            .args(arguments.split_whitespace())
            .current_dir(fixture.path(""))
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&driven.stderr),
            String::from_utf8_lossy(&plain.stderr)
        );
        assert_eq!(
            (driven.stdout, driven.status),
            (plain.stdout, plain.status),
            "{arguments}"
        );
    }
}
