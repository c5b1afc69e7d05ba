//! Rust programs by `tidegate cargo`: a graph of crates with a macro, a build script, a library in C's clothes, tests
//! in documentation, and panics.

use crate::fixture::{Fixture, driver_program};
use std::process::Command;

const ROOT: &str = r#"
[package]
name = "small"
version = "0.1.0"
edition = "2021"
[dependencies]
dep = { path = "dep" }
made = { path = "made" }
[workspace]
[profile.release]
lto = "fat"
codegen-units = 16
"#;
const DEP: &str = "[package]\nname = \"dep\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[lib]\ncrate-type = [\"rlib\", \"staticlib\"]\n";
const MADE: &str =
    "[package]\nname = \"made\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[lib]\nproc-macro = true\n";
const BUILD: &str = "fn main() { println!(\"cargo::rustc-env=WORD=built\"); }\n";
const DEP_SOURCE: &str = r#"
/// ```
/// assert_eq!(dep::checked(&[1], 999), 1);
/// ```
#[inline(never)]
#[no_mangle]
pub fn checked(values: &[u64], limit: u64) -> u64 {
    let mut sum = 0u64;
    for value in values {
        sum = sum.wrapping_mul(31) ^ value;
        if sum % 1000 > limit { refuse(sum); }
    }
    sum
}
#[no_mangle]
pub extern "C" fn checked_for_c(first: *const u64, count: usize, limit: u64) -> u64 {
    checked(unsafe { std::slice::from_raw_parts(first, count) }, limit)
}
#[cold]
fn refuse(sum: u64) -> ! { std::panic::panic_any(sum) }
/// Generic: its code is made where it is used.
pub fn largest<T: Ord + Copy>(values: &[T]) -> Option<T> {
    let mut largest = *values.first()?;
    for value in values { if *value > largest { largest = *value; } }
    Some(largest)
}
"#;
const MADE_SOURCE: &str = "extern crate proc_macro;\n#[proc_macro] pub fn seven(_: proc_macro::TokenStream) -> proc_macro::TokenStream { \"7u64\".parse().unwrap() }\n";
const MAIN: &str = r#"
struct Guard<'a>(&'a mut u64);
impl Drop for Guard<'_> { fn drop(&mut self) { *self.0 += 1; } }
#[inline(never)]
#[no_mangle]
fn guarded(values: &[u64], dropped: &mut u64) -> u64 {
    let guard = Guard(dropped);
    let sum = dep::checked(values, 990);
    drop(guard);
    sum
}
#[inline(never)]
#[no_mangle]
fn round(round: u64, dropped: &mut u64) -> Result<u64, u64> {
    let values: Vec<u64> = (0..round % 64).map(|i| i * round).collect();
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| guarded(&values, dropped)));
    done.map(|sum| sum ^ dep::largest(&values).unwrap_or(0)).map_err(|thrown| *thrown.downcast::<u64>().unwrap())
}
fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    let (mut dropped, mut caught, mut total) = (0, 0u64, made::seven!());
    for number in 0..1000 {
        match round(number, &mut dropped) { Ok(sum) => total ^= sum, Err(sum) => caught = caught.wrapping_mul(3).wrapping_add(sum) }
    }
    println!("{} {total} {caught} {dropped}", env!("WORD"));
}
#[cfg(test)]
mod tests { #[test] fn a_sum() { assert_eq!(dep::checked(&[1], 999), 1); } }
"#;
/// A program in C that links the Rust library.
const CALLER: &str = "#include <stdio.h>\nunsigned long checked_for_c(const unsigned long *, unsigned long, unsigned long);\nint main(void) { unsigned long one = 1; printf(\"%lu\\n\", checked_for_c(&one, 1, 999)); }\n";

fn project() -> Fixture {
    let fixture = Fixture::new(&[
        ("caller.c", CALLER),
        ("functions.list", "checked\nguarded\nround\n"),
    ]);
    let files = [
        ("Cargo.toml", ROOT),
        ("build.rs", BUILD),
        ("src/main.rs", MAIN),
        ("dep/Cargo.toml", DEP),
        ("dep/src/lib.rs", DEP_SOURCE),
        ("made/Cargo.toml", MADE),
        ("made/src/lib.rs", MADE_SOURCE),
    ];
    for (name, text) in files {
        let path = fixture.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    fixture
}

/// Runs cargo, or `tidegate cargo`, in the project; gives what it prints to standard output.
fn cargo(fixture: &Fixture, program: &str, arguments: &str) -> String {
    let output = Command::new(program)
        .args(arguments.split_whitespace())
        .current_dir(fixture.path(""))
        .env("TIDEGATE_FUNCTIONS", fixture.path("functions.list"))
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_graph_of_crates_is_built_run_and_tested_as_by_cargo() {
    let test = "a_graph_of_crates_is_built_run_and_tested_as_by_cargo";
    let Some(driver) = driver_program("tidegate-cargo", test) else {
        return;
    };
    let driver = driver.to_str().unwrap();
    let fixture = project();
    let plain = cargo(&fixture, "cargo", "run --quiet --release");
    assert!(plain.starts_with("built "), "{plain}");
    assert_eq!(cargo(&fixture, driver, "run --quiet --release"), plain);
    let program = "target/tidegate/release/small";
    assert_eq!(fixture.switchable(program), ["checked", "guarded", "round"]);
    let refused = fixture.inspect(program).refused;
    assert!(
        refused
            .iter()
            .any(|one| one.name == "std" && one.reason == "Precompiled"),
        "{refused:?}"
    );
    // Without optimisation everything is as by cargo.
    assert_eq!(cargo(&fixture, driver, "run --quiet"), plain);
    assert!(fixture.switchable("target/tidegate/debug/small").is_empty());
    // Tests, those in documentation included, in crates that are bitcode.
    let tested = cargo(&fixture, driver, "test --release --package small --package dep");
    assert_eq!(tested.matches("1 passed").count(), 2, "{tested}");
    // A library for others is machine code that a C compiler links.
    let libraries = std::fs::read_dir(fixture.path("target/tidegate/release/deps")).unwrap();
    let mut libraries = libraries.map(|entry| entry.unwrap().path());
    let library = libraries
        .find(|path| path.extension().is_some_and(|extension| extension == "a"))
        .unwrap();
    fixture.run(&format!(
        "gcc caller.c {} -lpthread -ldl -lm -o caller",
        library.display()
    ));
    assert_eq!(fixture.execute("caller"), "1\n");
}
