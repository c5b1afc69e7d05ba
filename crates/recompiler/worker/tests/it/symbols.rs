//! Symbols whose address is not what it seems: nobody's, or another one's.

use crate::harness::build;
use tidegate_format::image::{Image, RelocationTarget};
use tidegate_format::scenario::Scenario;

/// Only the question whether the function is there is left of it.
const OPTIONAL: &str = r#"
#include "loader.h"
extern void hook(void) __attribute__((weak));
__attribute__((noinline)) long optional(const long *p, long n) {
  long sum = 0;
  for (long i = 0; i < n; i++) sum += hook ? p[i] * 3 : p[i] ^ i;
  return sum;
}
#ifdef HOOK
void hook(void) {}
#endif
int main(int count, char **arguments) {
  for (int i = 1; i < count; i++) load_variant(arguments[i]);
  long values[] = {3, 1, 4, 1, 5, 9, 2, 6};
  printf("%ld\n", optional(values, 8));
}
"#;

#[test]
fn a_variant_asks_for_a_weak_symbol_as_the_base_does() {
    for scenario in [Scenario::Placebo, Scenario::Cpu, Scenario::Memory] {
        let program = build(OPTIONAL, &["optional"], &[]);
        let image = program.image("optional", scenario);
        let image = Image::read(&image).unwrap();
        // Where nobody defines it, that is for the loader to find out.
        let refers =
            |one: &tidegate_format::image::Relocation| matches!(one.target, RelocationTarget::Anchor(_));
        assert!(image.relocations().any(|one| refers(&one)), "{scenario}");

        let program = build(OPTIONAL, &["optional"], &["-DHOOK"]);
        let path = program.write_variant("optional", &program.image("optional", scenario));
        assert_eq!(program.run(&[&path]), program.run(&[]), "{scenario}");
    }
}

const ALIASES: &str = r#"
#include "loader.h"
__attribute__((noinline)) long named(long n) { return n * 3; }
extern long other(long) __attribute__((weak, alias("named")));
__attribute__((noinline)) long compares(const long *p, long n) {
  long (*one)(long) = named, (*two)(long) = other;
  long sum = 0;
  for (long i = 0; i < n; i++) sum = sum * 7 + (one == two ? one(p[i]) : two(p[i]) ^ 5);
  return sum;
}
int main(int count, char **arguments) {
  for (int i = 1; i < count; i++) load_variant(arguments[i]);
  long values[] = {3, 1, 4, 1, 5, 9, 2, 6};
  printf("%ld\n", compares(values, 8));
}
"#;

#[test]
fn an_alias_is_the_function_that_it_stands_for() {
    let program = build(ALIASES, &["compares"], &[]);
    let base = program.run(&[]);
    for scenario in [Scenario::Placebo, Scenario::Cpu, Scenario::Memory] {
        let path = program.write_variant("compares", &program.image("compares", scenario));
        assert_eq!(program.run(&[&path]), base, "{scenario}");
    }
}
