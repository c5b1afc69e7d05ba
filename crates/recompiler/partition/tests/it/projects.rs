//! Libraries that nobody here wrote, with their own tests, from the sources that crates carry.

use crate::fixture::Fixture;
use std::path::PathBuf;
use std::process::Command;

/// The folder of a crate's sources, as cargo has it.
fn crate_folder(name: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == name).unwrap();
    PathBuf::from(package["manifest_path"].as_str().unwrap())
        .parent()
        .unwrap()
        .to_owned()
}

fn sources(folder: &std::path::Path, names: &[&str]) -> String {
    let paths = names.iter().map(|name| folder.join(name).display().to_string());
    paths.collect::<Vec<_>>().join(" ")
}

#[test]
fn lz4_passes_its_own_frame_test() {
    let folder = crate_folder("lz4-sys").join("liblz4");
    let fixture = Fixture::new(&[]);
    let names = [
        "tests/frametest.c",
        "lib/lz4.c",
        "lib/lz4hc.c",
        "lib/lz4frame.c",
        "lib/lz4file.c",
        "lib/xxhash.c",
    ];
    let include = format!("-I{0}/lib -I{0}/programs", folder.display());
    let files = sources(&folder, &names);
    fixture.compile(
        "",
        &format!("-O3 -w -DXXH_NAMESPACE=LZ4_ {include} {files} -o frametest"),
    );
    let switchable = fixture.switchable("frametest");
    for name in [
        "LZ4_decompress_safe",
        "LZ4F_compressUpdateImpl",
        "LZ4F_decompress",
    ] {
        assert!(switchable.contains(&name.to_owned()), "{name}: {switchable:?}");
    }
    let status = Command::new(fixture.path("frametest"))
        .args(["-i1", "-s7"])
        .output()
        .unwrap();
    assert!(
        status.status.success(),
        "{}",
        String::from_utf8_lossy(&status.stderr)
    );
}

const ZLIB_ROUND_TRIP: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
int main(void) {
  enum { length = 300000 };
  unsigned char *data = malloc(length), *packed = malloc(compressBound(length)), *back = malloc(length);
  unsigned seed = 1;
  for (int level = 0; level <= 9; level++) {
    for (int i = 0; i < length; i++) {
      seed = seed * 1103515245 + 12345;
      data[i] = i % 7 && i > 100 ? data[i - 1 - (seed >> 16) % 100] : (unsigned char)(seed >> 16);
    }
    uLongf packed_length = compressBound(length), back_length = length;
    if (compress2(packed, &packed_length, data, length, level) != Z_OK) return 1;
    if (uncompress(back, &back_length, packed, packed_length) != Z_OK) return 2;
    if (back_length != length || memcmp(data, back, length)) return 3;
    printf("%d %lu %lx\n", level, packed_length, crc32(0, packed, packed_length) ^ adler32(0, data, length));
  }
}
"#;

#[test]
fn zlib_gives_the_same_bytes_and_gets_them_back() {
    let folder = crate_folder("libz-sys").join("src/zlib");
    let fixture = Fixture::new(&[("round_trip.c", ZLIB_ROUND_TRIP)]);
    let names = [
        "adler32.c",
        "compress.c",
        "crc32.c",
        "deflate.c",
        "inffast.c",
        "inflate.c",
        "inftrees.c",
        "trees.c",
        "uncompr.c",
        "zutil.c",
    ];
    let arguments = format!(
        "-O2 -w -I{} round_trip.c {}",
        folder.display(),
        sources(&folder, &names)
    );
    fixture.run(&format!("clang-22 {arguments} -o plain"));
    fixture.compile("", &format!("{arguments} -o program"));
    assert_eq!(fixture.execute("program"), fixture.execute("plain"));
    let switchable = fixture.switchable("program");
    for name in ["deflate", "inflate", "inflate_fast", "crc32_z"] {
        assert!(switchable.contains(&name.to_owned()), "{name}: {switchable:?}");
    }
}
