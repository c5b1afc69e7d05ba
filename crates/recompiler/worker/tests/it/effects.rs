//! What a scenario's pipeline does to the code, counted in its instructions; never how fast it is.

use crate::harness::{Program, build};
use tidegate_format::image::Image;
use tidegate_format::scenario::Scenario;

/// Instructions of a variant's text whose mnemonic starts with `prefix`.
fn count(program: &Program, function: &str, scenario: Scenario, prefix: &str) -> usize {
    let image = program.image(function, scenario);
    let image = Image::read(&image).unwrap();
    let text = &image.span[..image.text_length as usize];
    let disassembly = program.disassemble(text);
    let mnemonic = |line: &str| line.split('\t').nth(2).unwrap_or_default().to_owned();
    disassembly
        .lines()
        .filter(|line| mnemonic(line).starts_with(prefix))
        .count()
}

const STREAMS: &str = r#"
#include "loader.h"
__attribute__((noinline)) void twice(double *restrict out, const double *a, long n) { for (long i = 0; i < n; i++) out[i] = a[i] * 2; }
__attribute__((noinline)) void triad(double *out, const double *a, const double *b, double s, long n) { for (long i = 0; i < n; i++) out[i] = a[i] + s * b[i]; }
__attribute__((noinline)) void scale(float *p, float s, long n) { for (long i = 0; i < n; i++) p[i] = p[i] * s + 1; }
__attribute__((noinline)) void stencil(double *restrict out, const double *a, long n) { for (long i = 1; i + 1 < n; i++) out[i] = a[i - 1] + a[i] * 0.5 + a[i + 1]; }
static unsigned long hash(const void *p, long n) {
  const unsigned char *bytes = p;
  unsigned long h = 1;
  for (long i = 0; i < n; i++) h = h * 31 + bytes[i];
  return h;
}
int main(int count, char **arguments) {
  for (int i = 1; i < count; i++) load_variant(arguments[i]);
  enum { most = 400000 };
  double *a = malloc(8 * most + 64), *b = malloc(8 * most + 64), *c = malloc(8 * most + 64);
  for (int i = 0; i < most + 8; i++) { a[i] = i * 0.37; b[i] = -i * 1.7; c[i] = 3; }
  long sizes[] = {0, 1, 7, 100, 262143, 262144, 300001, most};
  for (int s = 0; s < 8; s++)
    for (int shift = 0; shift < 3; shift++) {
      twice(c + shift, a, sizes[s]);
      unsigned long h = hash(c, 8 * most);
      triad(c + shift, a + 1, b, 1.5, sizes[s]);
      h = h * 7 + hash(c, 8 * most);
      triad(c, c + shift, b, 1.5, sizes[s]);
      h = h * 7 + hash(c, 8 * most);
      stencil(c + shift, a, sizes[s]);
      scale((float *)c + shift, 0.5f, sizes[s]);
      printf("%ld %lx\n", sizes[s], h * 7 + hash(c, 8 * most));
    }
}
"#;

#[test]
fn long_stores_that_nobody_reads_are_streamed_and_fenced() {
    let program = build(STREAMS, &["twice", "triad", "scale", "stencil"], &[]);
    for scenario in [Scenario::Memory, Scenario::Neighbour] {
        for function in ["twice", "triad", "stencil"] {
            assert!(
                count(&program, function, scenario, "movnt") >= 1,
                "{function} {scenario}"
            );
            assert!(
                count(&program, function, scenario, "sfence") >= 1,
                "{function} {scenario}"
            );
        }
        // It rereads what it writes: streaming would only cost.
        assert_eq!(count(&program, "scale", scenario, "movnt"), 0, "{scenario}");
    }
    assert_eq!(count(&program, "twice", Scenario::Cpu, "movnt"), 0);
    assert_eq!(count(&program, "twice", Scenario::Placebo, "movnt"), 0);
}

#[test]
fn streamed_stores_store_the_same() {
    let program = build(STREAMS, &["twice", "triad", "scale", "stencil"], &[]);
    let base = program.run(&[]);
    let names = ["twice", "triad", "scale", "stencil"];
    for scenario in [Scenario::Memory, Scenario::Neighbour, Scenario::Cpu] {
        let paths = names.map(|name| program.write_variant(name, &program.image(name, scenario)));
        let paths: Vec<_> = paths.iter().map(AsRef::as_ref).collect();
        assert_eq!(program.run(&paths), base, "{scenario}");
    }
}

#[test]
fn the_memory_pipeline_frees_registers_and_does_not_unroll() {
    let source = r"
__attribute__((noinline)) long sum(const long *p, long n) { long s = 0; for (long i = 0; i < n; i++) s = s * 31 + (p[i] ^ s >> 3); return s; }
int main(void) { long v[2] = {1, 2}; return (int)sum(v, 2); }
";
    let program = build(source, &["sum"], &["-fno-omit-frame-pointer"]);
    assert!(count(&program, "sum", Scenario::Placebo, "push") >= 1);
    assert_eq!(count(&program, "sum", Scenario::Memory, "push"), 0);
    let multiplications = |scenario| {
        // LLVM multiplies by 31 with a shift and a subtraction.
        count(&program, "sum", scenario, "shl") + count(&program, "sum", scenario, "imul")
    };
    assert!(multiplications(Scenario::Placebo) > multiplications(Scenario::Memory));
}
