//! Assumed arguments: constants where they hold, the base where they do not, and a control that is wrong.

use crate::harness::{Program, build, run_worker};
use tidegate_format::image::Image;
use tidegate_format::request::{CompileErrorKind, Constant};
use tidegate_format::scenario::Scenario;

const FILTER: &str = r#"
#include "loader.h"
long base_calls;
struct pair { long a, b, c; };
__attribute__((noinline)) long filter(const long *in, long *out, long n, int taps, double gain, int mode) {
  long sum = 0;
  for (long i = 0; i + taps <= n; i++) {
    long s = 0;
    for (int k = 0; k < taps; k++) s += in[i + k] * (k + 1);
    if (mode == 3) s = s / 7 + 1;
    else if (mode == 4) s = (s ^ 99) % 1009;
    out[i] = (long)(s * gain);
    sum += out[i];
  }
  return sum;
}
__attribute__((noinline)) struct pair spread(struct pair big, int scale, long add) {
  struct pair result = {big.a * scale + add, big.b / (scale ? scale : 1), big.c ^ add};
  return result;
}
int main(int count, char **arguments) {
  for (int i = 1; i < count; i++) load_variant(arguments[i]);
  static long in[500], out[500];
  for (int i = 0; i < 500; i++) in[i] = i * 37 % 101 - 50;
  unsigned long hash = 1;
  for (int taps = 0; taps < 9; taps++)
    for (int mode = 2; mode < 6; mode++)
      for (int gain = 0; gain < 3; gain++) {
        hash = hash * 31 + filter(in, out, 500, taps, gain * 0.5, mode);
        struct pair p = spread((struct pair){hash, taps, mode}, taps, gain);
        hash = hash * 31 + p.a + p.b * 7 + p.c * 3 + out[taps];
      }
  printf("%lx\n", hash);
}
"#;

fn constant(register: u8, value: u64) -> Constant {
    Constant { register, value }
}

/// rcx = taps, r8 = mode (gain travels in xmm0).
const USUAL: [(u8, u64); 3] = [(3, 5), (4, 3), (6, 0x3fe0_0000_0000_0000)];

fn specialised(program: &Program, name: &str, constants: &[(u8, u64)]) -> Vec<u8> {
    let mut request = program.request(name, Scenario::Memory);
    request.constants = constants
        .iter()
        .map(|(register, value)| constant(*register, *value))
        .collect();
    run_worker(&request).0.unwrap()
}

#[test]
fn results_are_the_same_whether_the_assumption_holds_or_not() {
    let program = build(FILTER, &["filter", "spread"], &[]);
    let base = program.run(&[]);
    let check = |name: &str, constants: &[(u8, u64)]| {
        let path = program.write_variant(name, &specialised(&program, name, constants));
        assert_eq!(program.run(&[&path]), base, "{name} {constants:?}");
    };
    check("filter", &USUAL);
    check("filter", &USUAL[..1]);
    // What stands above an int in its register is not looked at.
    check("filter", &[(3, 0xdead_0000_0005)]);
    // The result is handed back in memory, the large argument comes in the caller's frame.
    check("spread", &[(1, 4)]);
    check("spread", &[(1, 4), (2, 1)]);
}

#[test]
fn a_planted_wrong_constant_fails() {
    let program = build(FILTER, &["filter", "spread"], &[]);
    let base = program.run(&[]);
    let image = specialised(&program, "filter", &USUAL);
    let mut text = Image::read(&image).unwrap();
    // The guard compares taps with 5: `cmp $5, %ecx`; another number there lets others in.
    let guard = text
        .span
        .windows(3)
        .position(|bytes| bytes == [0x83, 0xf9, 5])
        .unwrap();
    let mut span = text.span.to_vec();
    span[guard + 2] = 4;
    text.span = &span;
    let path = program.write_span("filter", &text);
    assert_ne!(program.run(&[&path]), base);
}

#[test]
fn constants_remove_work() {
    let program = build(FILTER, &["filter", "spread"], &[]);
    let count = |image: &[u8], mnemonic: &str| {
        let image = Image::read(image).unwrap();
        let text = program.disassemble(&image.span[..image.text_length as usize]);
        text.matches(mnemonic).count()
    };
    let general = program.image("filter", Scenario::Memory);
    let special = specialised(&program, "filter", &[(4, 9)]);
    // No mode but the assumed one: neither division is left.
    assert!(count(&general, "imul") > 0);
    let branches = |image: &[u8]| {
        ["\tje", "\tjne"]
            .map(|one| count(image, one))
            .iter()
            .sum::<usize>()
    };
    assert!(branches(&special) < branches(&general));
}

#[test]
fn values_that_stand_for_no_argument_are_refused() {
    let program = build(FILTER, &["filter", "spread"], &[]);
    // A pointer, a register behind the last argument, a float that is not passed.
    for register in [0, 5, 7] {
        let mut request = program.request("filter", Scenario::Memory);
        request.constants = vec![constant(register, 1)];
        let error = run_worker(&request).0.unwrap_err();
        assert_eq!(error.kind, CompileErrorKind::NoConstant, "register {register}");
    }
}

#[test]
fn a_scenario_of_tunables_alone_takes_constants_too() {
    let program = build(FILTER, &["filter", "spread"], &[]);
    let mut request = program.request("filter", Scenario::Disk);
    request.constants = vec![constant(3, 5)];
    assert!(run_worker(&request).0.is_ok());
}
