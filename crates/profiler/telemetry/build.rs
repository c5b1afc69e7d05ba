//! Compiles the BPF readers where the `bpf` feature asks for them.

use std::path::PathBuf;
use std::process::Command;

/// Names under which a clang that knows BPF may be installed; the environment may name another.
const COMPILERS: [&str; 3] = ["clang-22", "clang", "clang-19"];

fn main() {
    println!("cargo::rerun-if-changed=bpf");
    println!("cargo::rerun-if-env-changed=TIDEGATE_BPF_CC");
    if std::env::var_os("CARGO_FEATURE_BPF").is_none() {
        return;
    }
    let named = std::env::var("TIDEGATE_BPF_CC").ok();
    let compilers = named.iter().map(String::as_str).chain(COMPILERS);
    let Some(compiler) = compilers.into_iter().find(|compiler| works(compiler)) else {
        println!(
            "cargo::error=the `bpf` feature needs clang with its BPF target (Debian: clang-22); without it, build without the feature and files are read instead"
        );
        return;
    };
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    for name in ["groups", "cores", "ranges"] {
        let status = Command::new(compiler)
            .args(["-O2", "-g", "-Wall", "-target", "bpf", "-mcpu=v3", "-c"])
            .arg(format!("bpf/{name}.bpf.c"))
            .arg("-o")
            .arg(out.join(format!("{name}.bpf.o")))
            .status();
        if !status.is_ok_and(|status| status.success()) {
            println!("cargo::error={compiler} did not compile bpf/{name}.bpf.c");
        }
    }
}

fn works(compiler: &str) -> bool {
    Command::new(compiler)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}
