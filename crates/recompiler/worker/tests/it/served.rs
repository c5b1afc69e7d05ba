//! A warm worker: a fork per compile, and faults that cost one compile each.

use crate::harness::build;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use tidegate_format::request::Response;
use tidegate_format::scenario::Scenario;
use tidegate_format::served::{OUTCOME_BYTES, Outcome};

const KERNEL: &str = r"
__attribute__((noinline)) long kernel(const long *p, long n) {
  long sum = 0;
  for (long i = 0; i < n; i++) sum += p[i] ^ (sum << 1);
  return sum;
}
int main(void) { return 0; }
";

fn start(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_tidegate-worker"))
        .arg("--serve")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn order(worker: &mut Child, request: &[u8]) -> (Outcome, Vec<u8>) {
    let input = worker.stdin.as_mut().unwrap();
    input.write_all(&(request.len() as u32).to_le_bytes()).unwrap();
    input.write_all(request).unwrap();
    let output = worker.stdout.as_mut().unwrap();
    let mut head = [0; OUTCOME_BYTES];
    output.read_exact(&mut head).unwrap();
    let outcome = Outcome::read(&head).unwrap();
    let mut rest = vec![0; (outcome.answer_length + outcome.message_length) as usize];
    output.read_exact(&mut rest).unwrap();
    rest.truncate(outcome.answer_length as usize);
    (outcome, rest)
}

#[test]
fn one_start_serves_many_compiles_with_the_same_images() {
    let program = build(KERNEL, &["kernel"], &[]);
    let mut worker = start(&[]);
    for scenario in [Scenario::Cpu, Scenario::Memory, Scenario::Placebo] {
        let request = program.request("kernel", scenario).to_bytes();
        let (outcome, answer) = order(&mut worker, &request);
        eprintln!(
            "{scenario}: {:.1} ms of CPU, {:.1} ms of the parent's start",
            outcome.cpu_ns as f64 / 1e6,
            outcome.start_cpu_ns as f64 / 1e6
        );
        assert_eq!(outcome.status, 0);
        assert!(outcome.cpu_ns > 0);
        assert_eq!(
            Response::read(&answer).unwrap().0.unwrap(),
            program.image("kernel", scenario)
        );
    }
    let (outcome, answer) = order(&mut worker, b"no request");
    assert_eq!(outcome.status, 0);
    assert!(Response::read(&answer).unwrap().0.is_err());
    drop(worker.stdin.take());
    assert!(worker.wait().unwrap().success());
}

/// Every compile fails in this way, and the worker goes on.
fn check_fault(fault: &str, signals: &[i32]) {
    let program = build(KERNEL, &["kernel"], &[]);
    let request = program.request("kernel", Scenario::Cpu).to_bytes();
    let mut worker = start(&["--fault", fault, "--cpu-seconds", "1"]);
    for _ in 0..2 {
        let (outcome, answer) = order(&mut worker, &request);
        assert_eq!(answer, b"", "{fault}");
        assert!(
            signals.contains(&(outcome.status & 0x7f)),
            "{fault}: {}",
            outcome.status
        );
    }
    drop(worker.stdin.take());
    assert!(worker.wait().unwrap().success(), "{fault}");
}

#[test]
fn a_compile_that_aborts_costs_itself() {
    check_fault("abort", &[libc::SIGABRT]);
}

#[test]
fn a_compile_that_hangs_costs_itself() {
    check_fault("hang", &[libc::SIGXCPU, libc::SIGKILL]);
}

#[test]
fn a_compile_that_eats_memory_costs_itself() {
    check_fault("memory", &[libc::SIGABRT]);
}
