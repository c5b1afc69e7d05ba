//! What is left as it was, and the reason that a reader of the binary gets.

use crate::fixture::Fixture;

/// The reasons recorded for a source, as `name: reason`, sorted.
fn reasons(source: &str, functions: &str, flags: &str) -> Vec<String> {
    let fixture = Fixture::new(&[("source.c", source)]);
    fixture.compile(functions, &format!("{flags} -c source.c"));
    // Whether the object links is not the point, and an object's own sections read the same.
    let refused = fixture.inspect_object("source.o");
    let mut reasons: Vec<_> = refused
        .iter()
        .map(|one| format!("{}: {}", one.0, one.1))
        .collect();
    reasons.sort();
    reasons
}

impl Fixture {
    /// The refusals in an object that is not linked yet.
    fn inspect_object(&self, name: &str) -> Vec<(String, String)> {
        use object::{Object, ObjectSection};
        let bytes = std::fs::read(self.path(name)).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        let sections = file
            .sections()
            .filter(|section| section.name() == Ok(".tidegate.refused"));
        let mut refused = Vec::new();
        for section in sections {
            for record in tidegate_format::section::Refusal::read_all(section.data().unwrap()) {
                let record = record.unwrap();
                refused.push((record.name.to_owned(), format!("{:?}", record.reason)));
            }
        }
        refused
    }
}

fn check(source: &str, expect: &str) {
    assert_eq!(reasons(source, "f", "-O2"), [format!("f: {expect}")], "{source}");
}

#[test]
fn each_reason_about_a_function() {
    check(
        "long f(long n, ...) { long s = 0; for (long i = 0; i < n; i++) s ^= i * s; return s; }",
        "Variadic",
    );
    check(
        "#include <setjmp.h>\njmp_buf b; int f(int n) { return setjmp(b) + n; }",
        "CallsSetjmp",
    );
    check(
        "#include <unistd.h>\nint f(int n) { return n ? vfork() : n; }",
        "CallsSetjmp",
    );
    check(
        "#include <dlfcn.h>\nvoid *f(int n) { return n ? dlsym((void *)-1l, \"x\") : 0; }",
        "CallsDynamicLoader",
    );
    check(
        "void *f(int n) { return n ? __builtin_return_address(0) : 0; }",
        "TakesReturnAddress",
    );
    check(
        "void *f(int n) { return n ? __builtin_frame_address(0) : 0; }",
        "TakesReturnAddress",
    );
    check(
        "__attribute__((naked)) void f(void) { __asm__(\"ret\"); }",
        "Naked",
    );
    check(
        "__attribute__((always_inline)) inline int g(int n) { return n; } __attribute__((always_inline)) int f(int n) { return g(n) * n; }",
        "AlwaysInline",
    );
    check(
        "__attribute__((vectorcall)) int f(int n, int m) { return n ? m : n; }",
        "CallingConvention",
    );
    check(
        "long double f(long double x, int n) { for (int i = 0; i < n; i++) x = x * x; return x; }",
        "X87",
    );
    check(
        "int f(int n) { static void *l[] = {&&a, &&b}; goto *l[n & 1]; a: return 1; b: return n; }",
        "BlockAddress",
    );
    check(
        "__attribute__((optnone, noinline)) int f(int n) { return n * n; }",
        "NotOptimised",
    );
    check(
        "__attribute__((section(\"mine\"))) int f(int n) { return n * n; }",
        "UserSection",
    );
    check(
        "int g(int n); int f(int n) { if (n > 3) __attribute__((musttail)) return g(n - 1); return n; }",
        "MustTail",
    );
}

#[test]
fn thread_locals_named_directly_are_refused() {
    // As old compilers wrote it, before there was a question for the calling thread's copy.
    let source = "
        target triple = \"x86_64-unknown-linux-gnu\"
        @t = thread_local global i32 0
        define i32 @f(i32 %n) {
          %v = load volatile i32, ptr @t
          %s = add i32 %v, %n
          ret i32 %s
        }";
    assert_eq!(reasons(source, "f", "-O2 -w -x ir"), ["f: ThreadLocal"]);
}

#[test]
fn interrupt_handlers_are_refused() {
    let source = "struct frame; __attribute__((interrupt)) void f(struct frame *p) { (void)p; }";
    assert_eq!(reasons(source, "f", "-O2 -mgeneral-regs-only"), ["f: Interrupt"]);
}

#[test]
fn resolvers_and_what_they_call_are_refused() {
    let source = r#"
static int one(int n) { return n; }
__attribute__((noinline)) static int probe(int n) { for (int i = 0; i < n; i++) __asm__ volatile(""); return n; }
static void *resolve(void) { return probe(3) ? (void *)one : 0; }
int chosen(int) __attribute__((ifunc("resolve")));
"#;
    assert_eq!(
        reasons(source, "resolve probe", "-O2"),
        ["probe: IfuncResolver", "resolve: IfuncResolver"]
    );
}

#[test]
fn clones_per_target_are_refused() {
    let source = r#"
__attribute__((target_clones("avx2", "default"))) long f(const long *p, long n) { long s = 0; for (long i = 0; i < n; i++) s += p[i]; return s; }
"#;
    let fixture = Fixture::new(&[("source.c", source)]);
    fixture.compile(
        "f f.avx2.0 f.default.1 f.resolver f.default f.avx2",
        "-O2 -c source.c",
    );
    let reasons = fixture.inspect_object("source.o");
    assert!(
        reasons
            .iter()
            .all(|(_, reason)| ["TargetClones", "IfuncResolver"].contains(&reason.as_str())),
        "{reasons:?}"
    );
    assert!(
        reasons.iter().any(|(_, reason)| reason == "TargetClones"),
        "{reasons:?}"
    );
}

#[test]
fn code_that_allows_other_results_is_refused() {
    let source =
        "float f(const float *a, int n) { float s = 0; for (int i = 0; i < n; i++) s += a[i]; return s; }";
    assert_eq!(reasons(source, "f", "-O2 -ffast-math"), ["f: FastMath"]);
    assert_eq!(
        reasons(
            source,
            "f",
            "-O2 -fassociative-math -fno-signed-zeros -fno-trapping-math"
        ),
        ["f: FastMath"]
    );
    let fused = "float f(float a, float b, int n) { for (int i = 0; i < n; i++) a = a * b + 1; return a; }";
    assert_eq!(reasons(fused, "f", "-O2 -ffp-contract=fast"), ["f: FastMath"]);
    assert!(reasons(fused, "f", "-O2 -ffp-contract=on").is_empty());
}

/// What is added in the order of the lanes depends on how many there are.
#[test]
fn loops_that_ask_for_vectors_are_refused_where_they_round() {
    let sum = |kind: &str, pragma: &str| {
        format!(
            "{kind} f(const {kind} *a, int n) {{ {kind} s = 0;\n#pragma clang loop {pragma}\nfor (int i = 0; i < n; i++) s += a[i]; return s; }}"
        )
    };
    for pragma in ["vectorize(enable)", "vectorize_width(4)"] {
        assert_eq!(
            reasons(&sum("float", pragma), "f", "-O2"),
            ["f: FastMath"],
            "{pragma}"
        );
        assert!(reasons(&sum("int", pragma), "f", "-O2").is_empty(), "{pragma}");
    }
    for pragma in ["vectorize(disable)", "vectorize_width(1)", "unroll(enable)"] {
        assert!(reasons(&sum("float", pragma), "f", "-O2").is_empty(), "{pragma}");
    }
}

#[test]
fn another_name_of_a_variable_is_refused() {
    let source = "static int own; extern int other __attribute__((weak, alias(\"own\")));
        int f(int n) { for (int i = 0; i < n; i++) other ^= i * own; return other; }";
    assert_eq!(reasons(source, "f", "-O2"), ["f: ReplaceableBody"]);
}

#[test]
fn retpolines_and_kernel_integrity_checks_are_refused() {
    let source = "int f(int (*g)(int), int n) { return n ? g(n) : n; }";
    assert_eq!(reasons(source, "f", "-O2 -mretpoline"), ["f: Retpoline"]);
    assert_eq!(reasons(source, "f", "-O2 -fsanitize=kcfi"), ["f: Kcfi"]);
}

#[test]
fn whole_files_are_left_alone_for_a_reason() {
    let source = "int g(int); int f(int n) { int s = 0; for (int i = 0; i < n; i++) s ^= g(i); return s; }";
    let check = |flags: &str, expect: &str| {
        assert_eq!(
            reasons(source, "f", flags),
            [format!("source.c: {expect}")],
            "{flags}"
        );
    };
    check("-O2 -fsanitize=address", "FileSanitized");
    check("-O2 -fsanitize=thread", "FileSanitized");
    check("-O2 -fprofile-generate", "FileInstrumented");
    check("-O2 --coverage", "FileInstrumented");
    check(
        "-O2 -fprofile-instr-generate -fcoverage-mapping",
        "FileInstrumented",
    );
    check("-O2 -ffreestanding", "FileFreestanding");
    check("-O2 -fveclib=libmvec", "FileVectorLibrary");
    check("-O2 -m32 -nostdinc", "FileTarget");
    check("-O2 -mcmodel=large", "FileCodeModel");
    check("-O2 -mcmodel=kernel -fno-pic", "FileCodeModel");
    check("-O0", "FileNotOptimised");
    check("", "FileNotOptimised");
}

/// What such a file adds is a note that nobody loads; a reader finds it beside those about functions.
#[test]
fn a_file_that_is_left_alone_gets_nothing_that_is_loaded() {
    use object::{Object, ObjectSection, SectionFlags};
    let alone = "int g(int n) { int s = 0; for (int i = 0; i < n; i++) s ^= i * s; return s; }";
    let other = "#include <stdarg.h>\nint g(int); int f(int n, ...) { int s = n; for (int i = 0; i < n; i++) s ^= g(i); return s; }
        int main(void) { return f(0); }";
    let fixture = Fixture::new(&[("alone.c", alone), ("other.c", other)]);
    fixture.compile("f", "-O2 -ffreestanding -c alone.c");
    fixture.compile("f", "-O2 -c other.c");
    let bytes = std::fs::read(fixture.path("alone.o")).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let own = file.sections();
    let own = own.filter(|section| section.name().unwrap().starts_with(".tidegate"));
    for section in own {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
            panic!("not ELF");
        };
        assert_eq!(sh_flags.0, 0, "{:?}", section.name());
    }
    for linker in ["bfd", "lld"] {
        fixture.compile(
            "",
            &format!("-fuse-ld={linker} -Wl,--gc-sections alone.o other.o -o program"),
        );
        let refused = fixture.inspect("program").refused;
        let mut reasons: Vec<_> = refused.iter().map(|one| (&*one.name, &*one.reason)).collect();
        reasons.sort_unstable();
        let expect = [("alone.c", "FileFreestanding"), ("f", "Variadic")];
        assert_eq!(reasons, expect, "{linker}");
    }
}

#[test]
fn link_time_optimisation_is_dropped_and_recorded() {
    let source = "int f(int n) { int s = 0; for (int i = 0; i < n; i++) s ^= i * s; return s; } int main(void) { return f(3); }";
    for flag in ["-flto", "-flto=thin", "-flto=auto"] {
        let fixture = Fixture::new(&[("source.c", source)]);
        fixture.compile("f", &format!("-O2 {flag} source.c -o program"));
        let inspection = fixture.inspect("program");
        assert_eq!(
            inspection.refused[0].reason, "LinkTimeOptimisationDropped",
            "{flag}"
        );
        assert_eq!(fixture.switchable("program"), ["f"], "{flag}");
    }
}
