//! What the worker refuses, and that damaged input costs an answer, never a crash.

use crate::harness::{build, run_worker, run_worker_on};
use tidegate_format::blob::Blob;
use tidegate_format::image::Image;
use tidegate_format::request::{CompileErrorKind, Response};
use tidegate_format::scenario::Scenario;

const KERNEL: &str = r"
__attribute__((noinline)) long kernel(const long *p, long n) {
  long sum = 0;
  for (long i = 0; i < n; i++) sum += p[i] ^ (sum << 1);
  return sum;
}
int main(void) { long values[4] = {1, 2, 3, 4}; return (int)kernel(values, 4) == 0; }
";

fn kind(bytes: &[u8]) -> CompileErrorKind {
    Response::read(&run_worker_on(bytes)).unwrap().0.unwrap_err().kind
}

#[test]
fn damaged_requests_and_blobs_are_named() {
    let program = build(KERNEL, &["kernel"], &[]);
    assert_eq!(kind(b""), CompileErrorKind::Request);
    assert_eq!(kind(&[0; 100]), CompileErrorKind::Request);
    let mut request = program.request("kernel", Scenario::Cpu);
    request.blob[100] ^= 1;
    assert_eq!(kind(&request.to_bytes()), CompileErrorKind::Blob);
    request.blob.clear();
    assert_eq!(kind(&request.to_bytes()), CompileErrorKind::Blob);
}

#[test]
fn a_scenario_without_a_difference_has_nothing_to_do() {
    let program = build(KERNEL, &["kernel"], &[]);
    for scenario in [Scenario::Disk, Scenario::Network] {
        let answer = run_worker(&program.request("kernel", scenario)).0;
        assert_eq!(answer.unwrap_err().kind, CompileErrorKind::NothingToDo);
    }
}

#[test]
fn inline_assembly_that_names_a_symbol_is_a_new_import() {
    let source = r#"
void other(void) {}
__attribute__((noinline)) long named(long *p, long n) {
  for (long i = 0; i < n; i++) { __asm__ volatile("call other" ::: "memory"); p[i]++; }
  return n;
}
int main(void) { return 0; }
"#;
    let program = build(source, &["named"], &["-fno-pie", "-no-pie"]);
    let error = run_worker(&program.request("named", Scenario::Placebo))
        .0
        .unwrap_err();
    assert_eq!(
        (error.kind, error.detail.as_str()),
        (CompileErrorKind::NewImport, "other")
    );
}

#[test]
fn inline_assembly_that_leaves_the_text_is_refused() {
    let source = r#"
__attribute__((noinline)) long leaves(long *p, long n) {
  for (long i = 0; i < n; i++) { __asm__ volatile(".pushsection .mine,\"a\"\n.long 1\n.popsection"); p[i]++; }
  return n;
}
int main(void) { return 0; }
"#;
    let program = build(source, &["leaves"], &[]);
    let error = run_worker(&program.request("leaves", Scenario::Placebo))
        .0
        .unwrap_err();
    assert_eq!(
        (error.kind, error.detail.as_str()),
        (CompileErrorKind::UnknownSection, ".mine")
    );
}

#[test]
fn damaged_bitcode_under_a_valid_checksum_costs_one_worker() {
    let program = build(KERNEL, &["kernel"], &[]);
    let mut request = program.request("kernel", Scenario::Cpu);
    let whole = request.blob.clone();
    let blob = Blob::read(&whole).unwrap();
    for position in (0..blob.compressed.len()).step_by(61) {
        let mut compressed = blob.compressed.to_vec();
        compressed[position] ^= 0x21;
        request.blob = Blob {
            compressed: &compressed,
            ..blob
        }
        .to_bytes();
        // LLVM may end the process; an answer that comes is an error or an image that reads.
        let answer = crate::harness::worker_answer(&request.to_bytes());
        if let Some(Ok(image)) = answer
            .and_then(|bytes| Response::read(&bytes).ok())
            .map(|answer| answer.0)
        {
            assert!(Image::read(&image).is_ok(), "position {position}");
        }
    }
    request.blob = Blob {
        bitcode_length: 17,
        ..blob
    }
    .to_bytes();
    assert_eq!(kind(&request.to_bytes()), CompileErrorKind::Blob);
    request.blob = Blob {
        anchor_count: 0,
        ..blob
    }
    .to_bytes();
    assert_eq!(kind(&request.to_bytes()), CompileErrorKind::Blob);
}
