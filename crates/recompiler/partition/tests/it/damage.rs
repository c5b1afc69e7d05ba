//! A reader of binaries survives damaged sections, and finds damaged blobs.

use crate::fixture::Fixture;
use object::{Object, ObjectSection};
use std::path::Path;
use tidegate_drivers::DriverError;
use tidegate_drivers::inspect::inspect;

const SOURCE: &str = r"
#include <tidegate.h>
TIDEGATE_TUNABLE(rows, 10, TIDEGATE_IN(cpu, 20));
__attribute__((noinline)) long one(long n) { long s = 0; for (long i = 0; i < n; i += rows()) s ^= s * 31 + i; return s; }
__attribute__((noinline)) long two(long n, ...) { long s = 0; for (long i = 0; i < n; i++) s ^= s * 37 + i; return s; }
int main(void) { return (int)(one(100) + two(7)); }
";

/// Where a section lies in the file.
fn range(bytes: &[u8], name: &str) -> std::ops::Range<usize> {
    let file = object::File::parse(bytes).unwrap();
    let (start, length) = file.section_by_name(name).unwrap().file_range().unwrap();
    start as usize..(start + length) as usize
}

#[test]
fn every_flipped_bit_is_an_error_or_a_reading_and_never_a_panic() {
    let fixture = Fixture::new(&[("source.c", SOURCE)]);
    fixture.compile("one two", "-O2 source.c -o program");
    let bytes = std::fs::read(fixture.path("program")).unwrap();
    let read = |bytes: &[u8]| inspect(Path::new("program"), bytes);
    let whole = read(&bytes).unwrap();
    assert_eq!(
        (whole.functions.len(), whole.refused.len(), whole.tunables.len()),
        (1, 1, 1)
    );
    for name in [
        ".tidegate.functions",
        ".tidegate.names",
        ".tidegate.refused",
        ".tidegate.tunables",
    ] {
        for bit in range(&bytes, name).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
            let mut damaged = bytes.clone();
            damaged[bit.0] ^= 1 << bit.1;
            let _ = read(&damaged);
        }
    }
    for byte in range(&bytes, ".tidegate.blobs").step_by(7) {
        let mut damaged = bytes.clone();
        damaged[byte] ^= 0x10;
        // Bytes behind the last record are padding.
        let padding = range(&bytes, ".tidegate.blobs").end - byte <= 8;
        assert!(read(&damaged).is_err() || padding, "byte {byte}");
    }
    for length in (0..bytes.len()).step_by(997) {
        let _ = read(&bytes[..length]);
    }
}

#[test]
fn what_is_not_a_linked_program_is_named() {
    let fixture = Fixture::new(&[("source.c", SOURCE)]);
    fixture.compile("one", "-O2 -c source.c");
    let read = |name: &str| tidegate_drivers::inspect::binary(&fixture.path(name)).unwrap_err();
    assert!(matches!(read("source.o"), DriverError::NotLinked { .. }));
    assert!(matches!(read("source.c"), DriverError::NotElf { .. }));
    assert!(matches!(read("missing"), DriverError::Read { .. }));
}
