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

/// Calls of the program's heap per turn of its loop, told by an interposer.
fn allocations_per_turn(program: &Program, variants: &[&std::path::Path]) -> f64 {
    let count = |turns: &str| {
        let output = std::process::Command::new(&program.path)
            .arg(turns)
            .args(variants)
            .env("LD_PRELOAD", program.interposer())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let field = text.lines().last().unwrap().strip_prefix("allocations ");
        field.unwrap().parse::<f64>().unwrap()
    };
    (count("11000") - count("1000")) / 10_000.0
}

const HEAP: &str = r#"
#include "loader.h"
long (*volatile keep)(long *);
static long first(long *p) { return p[0]; }
__attribute__((noinline)) long plain(long x) {
  long *block = malloc(24 * sizeof *block);
  for (long i = 0; i < 24; i++) block[i] = x ^ i;
  long sum = block[x % 24] + block[(x * 7) % 24];
  free(block);
  return sum;
}
__attribute__((noinline)) long checked(const char *text) {
  long total = 0;
  for (int round = 0; round < 3; round++) {
    char *copy = calloc(1, 64);
    if (!copy) return -1;
    for (int i = 0; text[i] && i < 63; i++) copy[63 - i] = text[i] + round;
    for (int i = 0; i < 64; i++) total = total * 31 + copy[i];
    free(copy);
  }
  return total;
}
__attribute__((noinline)) long escapes(long x) {
  long *block = malloc(32);
  for (int i = 0; i < 4; i++) block[i] = x + i;
  long result = keep(block);
  free(block);
  return result;
}
__attribute__((noinline)) long sized(long x) {
  long n = x % 5 + 1, sum = 0;
  long *block = malloc(n * sizeof *block);
  for (long i = 0; i < n; i++) block[i] = x * i;
  for (long i = 0; i < n; i++) sum += block[n - 1 - i] * i;
  free(block);
  return sum;
}
__attribute__((noinline)) long grown(long x) {
  long *block = malloc(16), sum;
  if (!block) return 0;
  block[0] = x;
  block[1] = x * 3;
  long *more = realloc(block, 64);
  if (!more) return 0;
  for (int i = 2; i < 8; i++) more[i] = more[i - 2] + i;
  sum = more[7];
  free(more);
  return sum;
}
int main(int count, char **arguments) {
  for (int i = 2; i < count; i++) load_variant(arguments[i]);
  keep = first;
  long hash = 0, turns = atol(arguments[1]);
  for (long i = 0; i < turns; i++)
    hash = hash * 31 + (FUNCTION);
  printf("%lx\n", hash);
}
"#;

/// A program that calls one function again and again.
fn heap_program(call: &str, name: &str) -> Program {
    build(
        &HEAP.replace("FUNCTION", call),
        &[name],
        &["-Wno-unused-function"],
    )
}

#[test]
fn blocks_that_do_not_outlive_the_call_are_made_without_the_heap() {
    for (name, call, base) in [
        ("plain", "plain(i)", 1.0),
        ("checked", "checked(i & 1 ? \"some text\" : \"another one\")", 3.0),
    ] {
        let program = heap_program(call, name);
        let path = program.write_variant(name, &program.image(name, Scenario::Memory));
        assert_eq!(allocations_per_turn(&program, &[]), base, "{name}");
        assert_eq!(allocations_per_turn(&program, &[&path]), 0.0, "{name}");
        // The same results, and a stack that does not grow with the turns.
        let turns = std::path::Path::new("1000000");
        assert_eq!(program.run(&[turns, &path]), program.run(&[turns]), "{name}");
    }
}

#[test]
fn blocks_that_may_outlive_the_call_stay_on_the_heap() {
    for (name, call, base) in [
        ("escapes", "escapes(i)", 1.0),
        ("sized", "sized(i)", 1.0),
        ("grown", "grown(i)", 2.0),
    ] {
        let program = heap_program(call, name);
        let path = program.write_variant(name, &program.image(name, Scenario::Memory));
        assert_eq!(allocations_per_turn(&program, &[&path]), base, "{name}");
    }
}

/// Kernels with more live values than registers.
const PRESSURE: &str = r"
#define R(x, n) ((x << n) | (x >> (64 - n)))
__attribute__((noinline)) void mix(unsigned long *s, const unsigned long *m, long n) {
  unsigned long a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7], i, j, k;
  for (long r = 0; r < n; r++) {
    i = m[r]; j = m[r + 1] ^ a; k = m[r + 2] + b;
    a += R(b, 7) + i; b ^= R(c, 9) + j; c += R(d, 13) + k; d ^= R(e, 18) + i * j;
    e += R(f, 21) + j; f ^= R(g, 33) + k; g += R(h, 41) + i; h ^= R(a, 52) + j * k;
  }
  s[0] = a; s[1] = b; s[2] = c; s[3] = d; s[4] = e; s[5] = f; s[6] = g; s[7] = h;
}
__attribute__((noinline)) double horner(const double *restrict x, const double *restrict c, double *restrict y, long n) {
  double t = 0;
  for (long i = 0; i < n; i++) {
    double v = x[i], r = c[0];
    for (int k = 1; k < 14; k++) r = r * v + c[k];
    y[i] = r;
    t += r;
  }
  return t;
}
__attribute__((noinline)) long fold(const long *restrict p, long *restrict q, long a, long b, long c, long d, long n) {
  long e = a ^ b, f = b ^ c, g = c ^ d, h = 0, k = 7, l = 9;
  for (long i = 0; i < n; i++) {
    h += p[i] * a + e; e ^= h + b; f += e * c; g ^= f + d; k += g * h; l ^= k + a * i;
    q[i] = h ^ e ^ f ^ g ^ k ^ l;
  }
  return h + l;
}
int main(void) { return 0; }
";

/// The sum of a number that LLVM's record holds for remarks of this name.
fn recorded(record: &str, name: &str, argument: &str) -> f64 {
    let remarks = record.split("--- !").filter(|remark| {
        remark.lines().any(|line| {
            line.strip_prefix("Name:")
                .is_some_and(|found| found.trim() == name)
        })
    });
    let numbers = remarks.flat_map(|remark| {
        remark
            .lines()
            .filter_map(|line| {
                line.trim()
                    .strip_prefix("- ")?
                    .strip_prefix(argument)?
                    .strip_prefix(':')
            })
            .filter_map(|value| value.trim().trim_matches('\'').parse::<f64>().ok())
    });
    numbers.sum()
}

#[test]
fn the_memory_pipeline_spills_less_and_never_more() {
    let names = ["mix", "horner", "fold"];
    let program = build(PRESSURE, &names, &["-fno-omit-frame-pointer"]);
    let (mut any, mut quarter) = (0, 0);
    for name in names {
        let cost = |scenario, candidate| {
            let record = program.record(name, scenario, candidate);
            let costs = ["TotalSpillsCost", "TotalReloadsCost", "TotalFoldedReloadsCost"];
            let costs = costs.map(|key| recorded(&record, "SpillReloadCopies", key));
            (
                costs.iter().sum::<f64>(),
                recorded(&record, "StackSize", "NumStackBytes"),
            )
        };
        // The candidate without streams: their second loop has a cost of its own.
        let (base, variant) = (cost(Scenario::Placebo, 0), cost(Scenario::Memory, 1));
        eprintln!("{name}: spill cost, stack bytes: {base:?} -> {variant:?}");
        assert!(variant.0 <= base.0 && variant.1 <= base.1, "{name}");
        any += usize::from(base.0 > 0.0);
        quarter += usize::from(base.0 > 0.0 && variant.0 <= 0.75 * base.0);
    }
    assert!(any > 0 && quarter * 2 >= any, "{quarter} of {any}");
}

#[test]
fn simpler_code_is_smaller_without_vectors_and_unrolling() {
    let names = ["mix", "horner", "fold"];
    let program = build(PRESSURE, &names, &[]);
    let streams = build(STREAMS, &["twice", "triad", "scale", "stencil"], &[]);
    let all = names
        .map(|name| (&program, name))
        .into_iter()
        .chain(["twice", "triad", "scale", "stencil"].map(|name| (&streams, name)));
    let mut shares = Vec::new();
    let (mut unrolled, mut interleaved) = (0, 0);
    for (program, name) in all {
        let simple = program.candidate(name, Scenario::Cpu, 1);
        let base = program.image(name, Scenario::Placebo);
        let text = |image: &[u8]| f64::from(Image::read(image).unwrap().text_length);
        shares.push(text(&simple) / text(&base));
        let image = Image::read(&simple).unwrap();
        let disassembly = program.disassemble(&image.span[..image.text_length as usize]);
        for class in [
            "ymm", "zmm", "addpd", "mulpd", "addps", "mulps", "paddq", "gather", "fld",
        ] {
            assert!(!disassembly.contains(class), "{name}: {class}");
        }
        let record = program.record(name, Scenario::Cpu, 1);
        let remarks =
            |record: &str, remark: &str| record.matches(&format!("Name:            {remark}\n")).count();
        assert_eq!(remarks(&record, "PartialUnrolled"), 0, "{name}");
        assert_eq!(
            remarks(&record, "Vectorized") + remarks(&record, "Interleaved"),
            0,
            "{name}"
        );
        let base = program.record(name, Scenario::Placebo, 0);
        unrolled += remarks(&base, "PartialUnrolled");
        interleaved += remarks(&base, "Vectorized");
    }
    shares.sort_by(f64::total_cmp);
    eprintln!("code bytes: {shares:?}, {unrolled} unrolled and {interleaved} vectorised in the base");
    assert!(shares[shares.len() / 2] <= 0.85, "{shares:?}");
    assert!(unrolled > 0 && interleaved > 0, "{unrolled} {interleaved}");
}

#[test]
fn the_memory_pipeline_narrows_vectors_and_asks_once_per_line() {
    if crate::harness::host_features() == tidegate_format::image::CpuFeatures::BASELINE {
        eprintln!(
            "SKIP the_memory_pipeline_narrows_vectors_and_asks_once_per_line: this CPU has no x86-64-v3"
        );
        return;
    }
    let names = ["twice", "triad", "stencil"];
    let program = build(STREAMS, &names, &["-march=x86-64-v3"]);
    let registers = |name: &str, scenario, register: &str| {
        let image = program.image(name, scenario);
        let image = Image::read(&image).unwrap();
        let disassembly = program.disassemble(&image.span[..image.text_length as usize]);
        disassembly.matches(register).count()
    };
    for (name, reads) in [("twice", 1), ("triad", 2), ("stencil", 1)] {
        assert!(registers(name, Scenario::Placebo, "%ymm") > 0, "{name}");
        assert_eq!(registers(name, Scenario::Memory, "%ymm"), 0, "{name}");
        assert_eq!(
            count(&program, name, Scenario::Memory, "prefetch"),
            reads,
            "{name}"
        );
        assert_eq!(
            count(&program, name, Scenario::Neighbour, "prefetch"),
            0,
            "{name}"
        );
        // A line of 64 bytes is four stores of 16: those of the whole turns, and of the rest.
        assert!(count(&program, name, Scenario::Memory, "vmovntp") >= 4, "{name}");
    }
}
