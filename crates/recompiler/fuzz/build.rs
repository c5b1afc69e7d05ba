//! Tells rustc of the cfg that `cargo xtask bench fuzz` sets.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(coverage_guided)");
}
