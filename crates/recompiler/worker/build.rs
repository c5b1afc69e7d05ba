//! Compiles the worker's C++ passes against the LLVM that `LLVM_SYS_221_PREFIX` names, else Debian's place for it.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=src/passes");
    println!("cargo::rerun-if-env-changed=LLVM_SYS_221_PREFIX");
    let prefix =
        env::var_os("LLVM_SYS_221_PREFIX").map_or_else(|| PathBuf::from("/usr/lib/llvm-22"), PathBuf::from);
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .files(["allocations", "lookups", "record", "stream"].map(|name| format!("src/passes/{name}.cpp")))
        .include(prefix.join("include"))
        // LLVM is built without both.
        .flag("-fno-rtti")
        .flag("-fno-exceptions")
        // LLVM's own headers warn.
        .warnings(false)
        .define("_GNU_SOURCE", None)
        .compile("tidegate_passes");
}
