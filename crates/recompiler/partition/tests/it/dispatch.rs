//! What the calls look like in the machine code.

use crate::fixture::Fixture;

const CALLS: &str = r"
struct big { long a[6]; };
long (*volatile escape)(long, long);
__attribute__((noinline)) static long local(long a, long n) { for (long i = 0; i < n; i++) a ^= a << 1; return a; }
__attribute__((noinline)) long many(long a, long b, long c, long d, long e, long f, long g, long h) {
  long s = a;
  for (long i = 0; i < b; i++) s += c * i ^ d;
  return s + e + f * g - h;
}
__attribute__((noinline)) struct big filled(long n) {
  struct big b;
  for (int i = 0; i < 6; i++) b.a[i] = n * i + (n & 1 ? i : -i);
  return b;
}
__attribute__((noinline)) long summed(struct big b, long n) { long s = 0; for (long i = 0; i < n; i++) s += b.a[i % 6]; return s; }
__attribute__((noinline, noreturn)) void stop(int code) { for (;;) if (local(code, 3) == 77) __builtin_trap(); }
long loop(long n) {
  long s = 0;
  for (long i = 0; i < n; i++) {
    s += local(i, 3) + many(i, 3, 4, 5, 6, 7, 8, 9);
    if (s == 42) s += summed(filled(i), i);
    if (s == 43) stop(3);
    s ^= local(s, 5);
  }
  return s;
}
__attribute__((noinline)) long tail(long a, long n) { for (long i = 0; i < n; i++) a ^= a << 1; return local(a, n); }
int main(int count, char **arguments) { escape = local; return (int)(loop(count) + tail(count, 3) + escape(1, 2)); }
";

/// Loads of slots by kind.
#[derive(Debug, Default, PartialEq, Eq)]
struct Loads {
    /// `call *slot(%rip)`, `jmp *slot(%rip)`.
    folded: usize,
    /// A load into a register that a call takes before the block ends.
    unfolded: usize,
    /// A load into a register without a call behind it: out of a loop, the switch would not be seen.
    hoisted: usize,
}

fn count_loads(disassembly: &str) -> Loads {
    let lines: Vec<&str> = disassembly.lines().collect();
    let mut loads = Loads::default();
    for (index, line) in lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.contains(".tidegate.slot>"))
    {
        let instruction = line.split_once(':').map_or("", |(_, rest)| rest.trim_start());
        if instruction.starts_with("callq\t*") || instruction.starts_with("jmpq\t*") {
            loads.folded += 1;
        } else if let Some(register) = loaded_register(instruction) {
            let calls = [format!("callq\t*{register}"), format!("jmpq\t*{register}")];
            let block = lines[index + 1..].iter().take_while(|line| !ends_block(line));
            let called = block
                .into_iter()
                .any(|line| calls.iter().any(|call| line.contains(call)));
            *if called {
                &mut loads.unfolded
            } else {
                &mut loads.hoisted
            } += 1;
        }
    }
    loads
}

fn loaded_register(instruction: &str) -> Option<&str> {
    let operands = instruction.strip_prefix("movq\t")?.split('#').next()?;
    let (source, register) = operands.rsplit_once(", ")?;
    source.ends_with("(%rip)").then(|| register.trim())
}

fn ends_block(line: &str) -> bool {
    let instruction = line.split_once(':').map_or("", |(_, rest)| rest.trim_start());
    instruction.starts_with('j') && !instruction.starts_with("jmpq\t*") || instruction.starts_with("ret")
}

#[test]
fn slots_are_loaded_right_before_their_calls() {
    let fixture = Fixture::new(&[("calls.c", CALLS)]);
    for flags in [
        "-O2",
        "-O3 -fno-pie -no-pie",
        "-O1",
        "-Os",
        "-O2 -fPIC -fcf-protection=full",
    ] {
        fixture.compile(
            "local many filled summed stop loop tail",
            &format!("{flags} calls.c -o program"),
        );
        let loads = count_loads(&fixture.run("llvm-objdump-22 -d --no-show-raw-insn program"));
        assert_eq!(loads.hoisted, 0, "{flags}: {loads:?}");
        assert!(loads.folded >= 7 && loads.unfolded >= 1, "{flags}: {loads:?}");
    }
}

#[test]
fn a_function_that_is_only_called_directly_keeps_its_name_and_has_no_stub() {
    let source = CALLS.replace("escape = local;", "escape = tail;");
    let fixture = Fixture::new(&[("calls.c", &source)]);
    fixture.compile("local tail", "-O2 calls.c -o program");
    let inspection = fixture.inspect("program");
    let stub = |name: &str| {
        let found = inspection
            .functions
            .iter()
            .find(|function| function.name == name)
            .unwrap();
        found.stub_address
    };
    assert_eq!(stub("local"), None);
    assert!(stub("tail").is_some());
    let symbols = fixture.run("nm program");
    assert!(
        symbols.contains(" t local\n") && symbols.contains(" T tail\n"),
        "{symbols}"
    );
    assert!(
        symbols.contains(" t tail.tidegate\n") && !symbols.contains(" local.tidegate\n"),
        "{symbols}"
    );
}

#[test]
fn stubs_and_bodies_are_valid_targets_of_indirect_branches() {
    let fixture = Fixture::new(&[("calls.c", CALLS)]);
    fixture.compile("many", "-O2 -fcf-protection=branch -c calls.c");
    let disassembly = fixture.run("llvm-objdump-22 -d --no-show-raw-insn calls.o");
    for symbol in ["<many>:", "<many.tidegate>:"] {
        let after = disassembly.split_once(symbol).unwrap().1;
        assert!(after.lines().nth(1).unwrap().contains("endbr64"), "{symbol}");
    }
}

#[test]
fn the_code_of_a_selected_function_is_what_it_would_be_without_selection() {
    let source = r"
static const int table[8] = {1, 2, 3, 5, 8, 13, 21, 34};
static int seen;
__attribute__((noinline)) static int step(int x) { seen += x; return x * 3; }
float leaf(const float *a, const unsigned char *p, int n) {
  float s = 0;
  for (int i = 0; i < n; i++) { s += a[i] * (float)table[p[i] & 7]; if (p[i] > 7) s -= (float)step(p[i]); }
  return s;
}
int other(int n) { return step(n) + seen; }
";
    let fixture = Fixture::new(&[("leaf.c", source)]);
    let code = |object: &str, symbol: &str| {
        let text = fixture.run(&format!(
            "llvm-objdump-22 -d --no-show-raw-insn --no-leading-addr {object}"
        ));
        let body = text
            .split_once(&format!("<{symbol}>:"))
            .unwrap()
            .1
            .split("\n\n")
            .next()
            .unwrap();
        body.lines()
            .map(|line| line.split(['<', '#']).next().unwrap().trim().to_owned())
            .collect::<Vec<_>>()
    };
    fixture.run("clang-22 -O3 -c leaf.c -o plain.o");
    fixture.compile("leaf", "-O3 -c leaf.c -o wrapped.o");
    assert_eq!(code("wrapped.o", "leaf.tidegate"), code("plain.o", "leaf"));
}

#[test]
fn by_size_only_functions_with_a_branch_and_enough_instructions_are_taken() {
    let repeated = "s = s * 31 ^ p[i + 1] - (s >> 3);".repeat(20);
    let source = format!(
        "long big(const long *p, long n) {{ long s = 0; for (long i = 0; i < n; i++) {{ {repeated} }} return s; }}
         long straight(const long *p, long i) {{ long s = 0; {repeated} return s; }}
         long small(long n) {{ long s = 0; for (long i = 0; i < n; i++) s ^= i; return s; }}
         int main(void) {{ long v[32] = {{1}}; return (int)(big(v, 3) + straight(v, 1) + small(3)); }}"
    );
    let fixture = Fixture::new(&[("size.c", &source)]);
    fixture.compile("", "-O2 size.c -o program");
    assert_eq!(fixture.switchable("program"), ["big"]);
    assert!(fixture.inspect("program").refused.is_empty());
    let big = &fixture.inspect("program").functions[0];
    assert!(
        big.instructions >= 50 && big.blob_bytes > 100 && big.anchor_count >= 2,
        "{big:?}"
    );
}
