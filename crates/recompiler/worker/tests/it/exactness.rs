//! Floating point to the bit, under another instruction set.

use crate::harness::{build, run_worker};
use tidegate_format::image::{CpuFeatures, Image};
use tidegate_format::scenario::Scenario;

/// Prints the bits of results over values with zeros of both signs, denormals, infinities and a wide range.
const FLOATS: &str = r#"
#include "loader.h"
#include <math.h>
__attribute__((noinline)) void kernel(double *restrict out, const double *a, const double *b, const double *c, long n) {
  for (long i = 0; i < n; i++) out[i] = a[i] * b[i] + c[i];
}
__attribute__((noinline)) float sum(const float *a, long n) {
  float total = -0.0f;
  for (long i = 0; i < n; i++) total = total * 0.75f + a[i] * 1.1f - a[n - 1 - i] / 3.3f;
  return total;
}
static double special[] = {0.0, -0.0, 5e-324, -5e-324, 1e-310, 1e308, -1e308, INFINITY, -INFINITY, 1.0, -1.5, 0.1};
static double value(unsigned long *seed) {
  *seed = *seed * 6364136223846793005UL + 1442695040888963407UL;
  unsigned long r = *seed >> 33;
  if (r % 5 == 0) return special[r / 5 % 12];
  return ldexp((double)(r & 0xffff) - 32768.0, (int)(r % 80) - 40);
}
int main(int count, char **arguments) {
  for (int i = 1; i < count; i++) load_variant(arguments[i]);
  static double a[1003], b[1003], c[1003], out[1003];
  static float f[1003];
  unsigned long seed = 1, hash = 0;
  for (int round = 0; round < 50; round++) {
    for (int i = 0; i < 1003; i++) { a[i] = value(&seed); b[i] = value(&seed); c[i] = value(&seed); f[i] = (float)(i % 7 ? a[i] : 0.1); }
    kernel(out, a, b, c, 1003);
    for (int i = 0; i < 1003; i++) {
      unsigned long bits;
      memcpy(&bits, &out[i], 8);
      if (out[i] != out[i]) bits = 1;
      hash = hash * 31 + bits;
    }
    float total = sum(f, 1003);
    unsigned bits;
    memcpy(&bits, &total, 4);
    hash = hash * 31 + (total != total ? 1 : bits);
  }
  printf("%lx\n", hash);
}
"#;

#[test]
fn a_newer_instruction_set_changes_no_bit() {
    if crate::harness::host_features() == CpuFeatures::BASELINE {
        eprintln!("SKIP a_newer_instruction_set_changes_no_bit: this CPU has no x86-64-v3");
        return;
    }
    // -ffp-contract=on is clang's default for C: products and sums arrive as llvm.fmuladd.
    for flags in [
        vec!["-lm"],
        vec!["-lm", "-march=x86-64-v3"],
        vec!["-lm", "-ffp-contract=off"],
    ] {
        let program = build(FLOATS, &["kernel", "sum"], &flags);
        let base = program.run(&[]);
        for scenario in [
            Scenario::Cpu,
            Scenario::Memory,
            Scenario::Neighbour,
            Scenario::Placebo,
        ] {
            let paths =
                ["kernel", "sum"].map(|name| program.write_variant(name, &program.image(name, scenario)));
            let paths: Vec<_> = paths.iter().map(AsRef::as_ref).collect();
            assert_eq!(program.run(&paths), base, "{flags:?} {scenario}");
        }
    }
}

#[test]
fn a_wide_vector_in_a_signature_keeps_the_instruction_set() {
    let source = r"
typedef float v8 __attribute__((vector_size(32)));
__attribute__((noinline)) v8 wide(v8 a, const v8 *p, long n) {
  for (long i = 0; i < n; i++) a = a * p[i] + p[n - 1 - i];
  return a;
}
int main(void) { return 0; }
";
    let program = build(source, &["wide"], &["-Wno-psabi"]);
    let image = run_worker(&program.request("wide", Scenario::Cpu)).0.unwrap();
    assert_eq!(Image::read(&image).unwrap().cpu_features, CpuFeatures::BASELINE);
}

/// As above, where the vector crosses a call that an exception may leave by another way.
#[test]
fn a_wide_vector_in_a_guarded_call_keeps_the_instruction_set() {
    let source = r"
typedef float v8 __attribute__((vector_size(32)));
typedef v8 (*function)(v8);
static int cleaned;
static void clean(int *p) { cleaned += *p; }
__attribute__((noinline)) long guarded(const function *f, v8 *p, long n) {
  for (long i = 0; i < n; i++) {
    int left __attribute__((cleanup(clean))) = 1;
    p[i] = f[i](p[i]);
  }
  return cleaned;
}
int main(void) { return 0; }
";
    let program = build(source, &["guarded"], &["-Wno-psabi", "-fexceptions"]);
    let image = run_worker(&program.request("guarded", Scenario::Cpu)).0.unwrap();
    assert_eq!(Image::read(&image).unwrap().cpu_features, CpuFeatures::BASELINE);
}

/// A function for a newer CPU behind a check, next to one for every CPU, as programs do it themselves.
const TARGETS: &str = r#"
#include "loader.h"
#include <immintrin.h>
#include <math.h>
__attribute__((target("avx2,fma"))) static double fused(const double *a, long n) {
  __m256d s = _mm256_setzero_pd();
  for (long i = 0; i + 4 <= n; i += 4) s = _mm256_fmadd_pd(_mm256_loadu_pd(a + i), _mm256_set1_pd(1.1), s);
  double out[4];
  _mm256_storeu_pd(out, s);
  return out[0] + out[1] * 0.3 + out[2] + out[3];
}
__attribute__((noinline)) double chosen(const double *a, long n, int newer) {
  double total = 0;
  for (long i = 0; i < n; i++) total = total * 0.9 + a[i];
  return total + (newer ? fused(a, n) : 0) + sin(total) + pow(total, 0.3);
}
int main(int count, char **arguments) {
  for (int i = 1; i < count; i++) load_variant(arguments[i]);
  static double a[103];
  for (int i = 0; i < 103; i++) a[i] = i * 0.7 + 1.0 / (i + 1);
  int newer = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  printf("%a %a\n", chosen(a, 103, newer), chosen(a, 100, 0));
}
"#;

#[test]
fn functions_with_instruction_sets_of_their_own_keep_them() {
    let program = build(TARGETS, &["chosen", "fused"], &["-lm"]);
    let base = program.run(&[]);
    for scenario in [Scenario::Cpu, Scenario::Memory, Scenario::Placebo] {
        let path = program.write_variant("chosen", &program.image("chosen", scenario));
        assert_eq!(program.run(&[&path]), base, "{scenario}");
    }
}

#[test]
fn strict_floating_point_keeps_the_instruction_set() {
    let source = r"
__attribute__((noinline)) double strict(const double *a, long n) {
  double s = 0;
  for (long i = 0; i < n; i++) s = s * a[i] + a[n - 1 - i];
  return s;
}
int main(void) { return 0; }
";
    let program = build(
        source,
        &["strict"],
        &["-frounding-math", "-ffp-exception-behavior=strict"],
    );
    let image = run_worker(&program.request("strict", Scenario::Cpu)).0.unwrap();
    assert_eq!(Image::read(&image).unwrap().cpu_features, CpuFeatures::BASELINE);
}

/// A tunable is a constant in the base once the blob was taken: folded then, a product and a sum would round once.
const FOLDED: &str = r#"
#include "loader.h"
#include <tidegate.h>
TIDEGATE_TUNABLE(factor, 134217729);
__attribute__((noinline)) double folded(const double *a, long n) {
  double wide = (double)factor();
  double constant = wide * wide + -0x1p54;
  double total = 0;
  for (long k = 0; k < n; k++) total += a[k] * constant;
  return total;
}
int main(int count, char **arguments) {
  for (int i = 1; i < count; i++) load_variant(arguments[i]);
  double a[] = {1, 0x1p60, -0x1p60};
  printf("%a %a %a\n", folded(a, 1), folded(a, 2), folded(a, 3));
}
"#;

#[test]
fn what_is_folded_late_rounds_as_what_is_not() {
    for flags in [vec![], vec!["-march=x86-64-v3"]] {
        let program = build(FOLDED, &["folded"], &flags);
        let base = program.run(&[]);
        for scenario in [Scenario::Cpu, Scenario::Memory, Scenario::Placebo] {
            let path = program.write_variant("folded", &program.image("folded", scenario));
            assert_eq!(program.run(&[&path]), base, "{flags:?} {scenario}");
        }
    }
}
