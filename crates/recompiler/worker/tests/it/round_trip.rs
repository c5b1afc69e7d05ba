//! A variant computes what its base computes, and is really entered.

use crate::harness::build;
use std::path::Path;
use tidegate_format::image::{CpuFeatures, Image, RelocationKind};
use tidegate_format::scenario::Scenario;

/// Statics, constants, a switch table, imports near and far, recursion, a callee with a slot, address-taken
/// functions, memory functions.
const MIXED: &str = r#"
#include "loader.h"
static const int table[16] = {3,1,4,1,5,9,2,6,5,3,5,8,9,7,9,3};
static long counter;
long shared = 7;
long (*hook)(long) = 0;
__attribute__((noinline)) static long helper(long x) { counter += x; return x * 3 + table[x & 15]; }
__attribute__((noinline)) long inner(const unsigned char *p, long n, long seed) {
  long sum = seed;
  for (long i = 0; i < n; i++) {
    switch (p[i] & 7) {
      case 0: sum += helper(i); break;
      case 1: sum ^= p[i] << 3; break;
      case 2: sum -= i; break;
      case 3: sum *= 31; break;
      case 4: sum += table[i & 15]; break;
      case 5: sum ^= sum >> 7; break;
      case 6: sum += shared++; break;
      default: sum += p[i];
    }
  }
  return sum;
}
__attribute__((noinline)) long outer(unsigned char *buffer, long n, int rounds) {
  long total = 0;
  hook = helper;
  for (int r = 0; r < rounds; r++) {
    memset(buffer, r, n / 2);
    for (long i = 0; i < n; i++) buffer[i] = (unsigned char)(buffer[i] * 17 + i + r);
    total += inner(buffer, n, total);
    if (total % 5 == 1) total += strlen((char *)buffer) + (getenv("HOME") != 0);
    if (total % 7 == 3 && n > 64) total += outer(buffer, n / 2, 1);
    memmove(buffer + 1, buffer, n - 1);
  }
  return total + (hook == helper);
}
int main(int count, char **arguments) {
  unsigned char *buffer = calloc(1, 4097);
  long (*pointer)(unsigned char *, long, int) = outer;
  for (int round = 0; round < 2; round++) {
    memset(buffer, 0, 4097);
    shared = counter = 0;
    long total = pointer(buffer, 4096, 100);
    printf("%ld %ld %ld %d\n", total, counter, shared, pointer == outer);
    for (int i = 1; i < count; i++) load_variant(arguments[i]);
  }
}
"#;

#[test]
fn a_variant_computes_what_its_base_computes() {
    let program = build(MIXED, &["inner", "outer", "helper"], &[]);
    let base = program.run(&[]);
    for scenario in [
        Scenario::Placebo,
        Scenario::Cpu,
        Scenario::Memory,
        Scenario::Neighbour,
    ] {
        let paths = ["inner", "outer", "helper"]
            .map(|name| program.write_variant(name, &program.image(name, scenario)));
        let paths: Vec<_> = paths.iter().map(AsRef::as_ref).collect();
        assert_eq!(program.run(&paths), base, "{scenario}");
    }
}

#[test]
fn position_dependent_and_static_programs_switch_too() {
    for flags in [
        ["-no-pie", "-fno-pie"],
        ["-static", "-g"],
        ["-static-pie", "-fPIE"],
        ["-fPIC", "-fuse-ld=lld"],
    ] {
        let program = build(MIXED, &["inner", "outer", "helper"], &flags);
        let base = program.run(&[]);
        let paths = ["inner", "outer", "helper"]
            .map(|name| program.write_variant(name, &program.image(name, Scenario::Cpu)));
        let paths: Vec<&Path> = paths.iter().map(AsRef::as_ref).collect();
        assert_eq!(program.run(&paths), base, "{flags:?}");
    }
}

/// Thread-local variables of every kind: seen here only, by everybody, in another object, in a loop; each of 16 threads
/// has its own, and so has a thread that began before the variant.
const THREADS: &str = r#"
#include "loader.h"
#include <pthread.h>
static _Thread_local long own = 5;
_Thread_local long shown;
extern _Thread_local long far;
_Thread_local long far = 11;
static _Thread_local struct { char pad[40]; long values[8]; } large;
__attribute__((noinline)) long counted(long n) {
  for (long i = 0; i < n; i++) {
    own += i ^ shown;
    large.values[i & 7] += own;
    if (i & 1) shown += far++;
  }
  return own + shown * 3 + far * 7 + large.values[n & 7];
}
__attribute__((noinline)) long *place(long n) { for (long i = 0; i < n; i++) own ^= i; return &own; }
static pthread_barrier_t loaded;
static void *early(void *result) {
  long sum = counted(20);
  pthread_barrier_wait(&loaded);
  pthread_barrier_wait(&loaded);
  *(long *)result = sum * 31 + counted(30) + (place(3) == &own);
  return 0;
}
static void *late(void *result) { *(long *)result = counted(17) + counted(9) + (place(5) == &own); return 0; }
int main(int count, char **arguments) {
  pthread_t threads[16];
  long results[16], all = 0;
  pthread_barrier_init(&loaded, 0, 2);
  pthread_create(&threads[0], 0, early, &results[0]);
  pthread_barrier_wait(&loaded);
  for (int i = 1; i < count; i++) load_variant(arguments[i]);
  pthread_barrier_wait(&loaded);
  for (int i = 1; i < 16; i++) pthread_create(&threads[i], 0, late, &results[i]);
  for (int i = 0; i < 16; i++) pthread_join(threads[i], 0), all = all * 17 + results[i];
  printf("%ld %ld %d\n", all, counted(40), place(4) == &own);
}
"#;

#[test]
fn every_thread_has_its_own_variables_in_variants_too() {
    let names = ["counted", "place"];
    for flags in [
        ["-pthread", "-fPIE"],
        ["-pthread", "-fPIC"],
        ["-no-pie", "-fno-pie"],
        ["-static", "-ftls-model=global-dynamic"],
        ["-fPIC", "-mtls-dialect=gnu2"],
        ["-static-pie", "-fPIE"],
    ] {
        let program = build(THREADS, &names, &flags);
        let base = program.run(&[]);
        for scenario in [Scenario::Placebo, Scenario::Cpu, Scenario::Memory] {
            let paths = names.map(|name| program.write_variant(name, &program.image(name, scenario)));
            let paths: Vec<_> = paths.iter().map(AsRef::as_ref).collect();
            assert_eq!(program.run(&paths), base, "{flags:?} {scenario}");
        }
    }
}

#[test]
fn an_image_says_what_it_needs() {
    let program = build(MIXED, &["outer"], &[]);
    let bytes = program.image("outer", Scenario::Cpu);
    let image = Image::read(&bytes).unwrap();
    assert_eq!((image.name, image.scenario), ("outer", Scenario::Cpu));
    assert!(
        image.cpu_features == crate::harness::host_features() || image.cpu_features == CpuFeatures::BASELINE
    );
    assert!(
        image
            .relocations()
            .any(|one| one.kind == RelocationKind::Absolute64)
    );
    assert!(
        image
            .relocations()
            .any(|one| one.kind == RelocationKind::CallThroughCell)
    );
    assert!(image.eh_frame_bytes().ends_with(&[0; 4]));
    let placebo = program.image("outer", Scenario::Placebo);
    assert_eq!(Image::read(&placebo).unwrap().cpu_features, CpuFeatures::BASELINE);
    assert_eq!(
        program.image("outer", Scenario::Placebo),
        placebo,
        "the same request gives the same bytes"
    );
}

const TUNABLE: &str = r#"
#include "loader.h"
#include <tidegate.h>
TIDEGATE_TUNABLE(batch, 64, TIDEGATE_IN(memory, 16), TIDEGATE_IN(disk, 8));
__attribute__((noinline)) long batches(long rows) {
  long count = 0;
  for (long row = 0; row < rows; row += batch()) { count++; TIDEGATE_WORK(1); }
  return count * 1000 + batch();
}
int main(int count, char **arguments) {
  if (count > 1) load_variant(arguments[1]);
  long (*volatile pointer)(long) = batches;
  long result = pointer(1024);
  printf("%ld %llu\n", result, tidegate_work_total);
}
"#;

#[test]
fn a_tunable_is_the_scenario_s_constant_in_a_variant() {
    let program = build(TUNABLE, &["batches"], &[]);
    let check = |scenario: Scenario, expect: &str| {
        let path = program.write_variant("batches", &program.image("batches", scenario));
        assert_eq!(program.run(&[&path]), expect, "{scenario}");
    };
    assert_eq!(program.run(&[]), "16064 16\n");
    check(Scenario::Memory, "64016 64\n");
    check(Scenario::Disk, "128008 128\n");
    check(Scenario::Cpu, "16064 16\n");
    let declared = &program.inspection.tunables[0];
    assert_eq!((declared.name.as_str(), declared.default), ("batch", 64));
    assert_eq!(
        declared.values,
        [("memory".to_owned(), 16), ("disk".to_owned(), 8)]
    );
    let mut request = program.request("batches", Scenario::Network);
    request.tunables = vec![("batch".to_owned(), 128)];
    let image = crate::harness::run_worker(&request).0.unwrap();
    let path = program.write_variant("batches", &image);
    assert_eq!(program.run(&[&path]), "8128 8\n");
}

/// Library calls that the IR does not name: rounding, stack protector, 128-bit division, memory.
const UNNAMED: &str = r#"
#include "loader.h"
#include <math.h>
__attribute__((noinline)) long unnamed(const double *a, long n, char *out) {
  char buffer[200];
  unsigned __int128 wide = 1;
  double s = 0;
  for (long i = 0; i < n; i++) {
    s += floor(a[i]) + ceil(a[i] * 3) + round(a[i]) + (double)floorf((float)a[i]);
    wide = (wide * 1000003 + (unsigned long)i) / (unsigned __int128)(i + 3) % ((unsigned __int128)n << 70);
    snprintf(buffer, sizeof buffer, "%ld", i);
    memcpy(out, buffer, (unsigned long)(i % 100));
    strcpy(out + 100, out);
  }
  return (long)s + (long)wide + buffer[0];
}
int main(int count, char **arguments) {
  for (int i = 1; i < count; i++) load_variant(arguments[i]);
  double a[50];
  char out[200] = "";
  for (int i = 0; i < 50; i++) a[i] = i * 1.37 - 20;
  long result = unnamed(a, 50, out);
  printf("%ld %s\n", result, out);
}
"#;

#[test]
fn library_calls_that_the_ir_does_not_name_are_the_base_s_own() {
    for flags in [
        vec!["-lm"],
        vec!["-lm", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2"],
        vec!["-lm", "-static"],
        vec!["-lm", "-msse4.1"],
    ] {
        let program = build(UNNAMED, &["unnamed"], &flags);
        let base = program.run(&[]);
        for scenario in [Scenario::Placebo, Scenario::Cpu, Scenario::Memory] {
            let path = program.write_variant("unnamed", &program.image("unnamed", scenario));
            assert_eq!(program.run(&[&path]), base, "{flags:?} {scenario}");
        }
    }
}
