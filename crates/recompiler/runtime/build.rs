//! Makes `libtidegate_runtime.a` (for executables) and `libtidegate_library.a` (for shared libraries) next to the
//! profile's other outputs.
//!
//! Why so: a `no_std` static library must abort on panic, while the workspace unwinds, and Cargo knows one
//! panic strategy per profile. So the compiler is called here once more, for two crates without dependencies.
//! Link-time optimisation makes one object of them; only that object goes into the archive, so that an app
//! that links all of it gets no part of Rust's own libraries that it does not use.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let format = here.join("../format/src");
    println!("cargo::rustc-check-cfg=cfg(tidegate_archive)");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", here.join("src").display());
    println!("cargo::rerun-if-changed={}", format.display());

    let format_library = out.join("libtidegate_format.rlib");
    compile(
        &format.join("lib.rs"),
        "tidegate_format",
        &["--crate-type=rlib"],
        &format_library,
    )?;
    let external = format!("--extern=tidegate_format={}", format_library.display());
    let flags = [
        "--crate-type=staticlib",
        "-Clto=fat",
        "--cfg=tidegate_archive",
        &external,
    ];
    let whole = out.join("whole.a");
    compile(&here.join("src/lib.rs"), "tidegate_runtime", &flags, &whole)?;

    let archive = make_archive(&whole, &out, "tidegate_runtime")?;
    println!("cargo::metadata=archive={}", archive.display());

    let entry = out.join("whole_library.a");
    let flags = ["--crate-type=staticlib", "-Clto=fat"];
    compile(
        &here.join("src/library_entry.rs"),
        "tidegate_library",
        &flags,
        &entry,
    )?;
    make_archive(&entry, &out, "tidegate_library")?;
    Ok(())
}

/// `lib<name>.a` beside the profile's other outputs, of the own object in `whole`.
fn make_archive(whole: &Path, out: &Path, name: &str) -> Result<PathBuf, Box<dyn Error>> {
    let object = take_object(whole, out, name)?;
    let archive = profile_folder(out)?.join(format!("lib{name}.a"));
    let _ = fs::remove_file(&archive);
    run(Command::new("ar").arg("crsD").arg(&archive).arg(&object))?;
    Ok(archive)
}

fn compile(source: &Path, name: &str, flags: &[&str], output: &Path) -> Result<(), Box<dyn Error>> {
    let fixed = [
        "--edition=2024",
        "-Cpanic=abort",
        "-Copt-level=2",
        "-Ccodegen-units=1",
        "-Crelocation-model=pic",
    ];
    run(Command::new(env::var("RUSTC")?)
        .arg(source)
        .args(["--crate-name", name])
        .args(fixed)
        .args(flags)
        .arg("-o")
        .arg(output))
}

/// The archive's own object: the one member that is not of Rust's libraries.
fn take_object(whole: &Path, out: &Path, name: &str) -> Result<PathBuf, Box<dyn Error>> {
    let listing = Command::new("ar").arg("t").arg(whole).output()?;
    let names = String::from_utf8(listing.stdout)?;
    let own: Vec<&str> = names
        .lines()
        .filter(|name| name.contains("rcgu.o") && !name.contains("compiler_builtins"))
        .collect();
    let [member] = own[..] else {
        return Err(format!("expected one object in {}, found {own:?}", whole.display()).into());
    };
    run(Command::new("ar")
        .arg("x")
        .arg(whole)
        .arg(member)
        .current_dir(out))?;
    let object = out.join(format!("{name}.o"));
    fs::rename(out.join(member), &object)?;
    Ok(object)
}

/// `target/<profile>`, of which `OUT_DIR` is `build/<package>-<hash>/out`.
fn profile_folder(out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let folder = out
        .ancestors()
        .nth(3)
        .ok_or("OUT_DIR is not inside a profile's folder")?;
    Ok(folder.to_path_buf())
}

fn run(command: &mut Command) -> Result<(), Box<dyn Error>> {
    let status = command.status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{command:?}: {status}").into())
    }
}
