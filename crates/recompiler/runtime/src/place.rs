//! Where a code area goes: near its executable or library, so that calls and data references reach in 32 bits.
//!
//! Why so: code that lies far away costs about 0.8 ns more per call, and cannot refer to the executable's
//! symbols without a detour. Directly above the executable the heap grows (`brk`), so the area lies below the
//! lowest segment, or well past the break.
//!
//! Not here: the mapping itself. This module only lists candidates, best first.

/// The area's size: the cap on code that is loaded into one process.
pub const AREA_BYTES: u64 = 4 * 1024 * 1024;
/// Distance kept from the executable's lowest segment, so that an underflow there does not meet our pages.
const GUARD_BYTES: u64 = 64 * 1024;
/// Distances kept from the break, room for the heap to grow, the best first. The kernel puts the break up to 1 GiB behind
/// an executable at a fixed address.
const HEAP_ROOMS_BYTES: [u64; 2] = [1 << 30, 1 << 29];
/// Reach of a signed 32-bit displacement, less the area and some room for addends.
const REACH_BYTES: u64 = (1 << 31) - AREA_BYTES - (1 << 20);
/// The kernel refuses mappings below this (`vm.mmap_min_addr`).
const LOWEST_ADDRESS: u64 = 64 * 1024;
const PAGE_BYTES: u64 = 4096;
/// How many places are tried in each direction.
const STEPS: u64 = 16;
/// The same below a library, where other libraries lie and the arenas of threads.
const LIBRARY_STEPS: u64 = 100;

/// What is known about the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// Lowest address of the executable's segments.
    pub lowest: u64,
    /// End of its highest segment.
    pub highest: u64,
    /// The present end of the heap, where it grows behind this binary; behind a library, others may.
    pub program_break: Option<u64>,
}

/// Start addresses to try, best first; all within reach of every byte of the executable.
pub fn candidates(around: Surroundings) -> impl Iterator<Item = u64> {
    let steps = if around.program_break.is_some() {
        STEPS
    } else {
        LIBRARY_STEPS
    };
    let below = (0..steps).filter_map(move |step| {
        let distance = GUARD_BYTES + AREA_BYTES + step * AREA_BYTES * 4;
        around.lowest.checked_sub(distance).map(align_down)
    });
    let heap_end = around.program_break.map(|heap_end| heap_end.max(around.highest));
    let rooms = HEAP_ROOMS_BYTES
        .into_iter()
        .flat_map(|room| (0..STEPS).map(move |step| room + PAGE_BYTES + step * AREA_BYTES * 4));
    let above = heap_end
        .into_iter()
        .flat_map(move |heap_end| rooms.clone().map(move |room| align_down(heap_end + room)));
    below
        .chain(above)
        .filter(move |start| *start >= LOWEST_ADDRESS && reaches(*start, around))
}

/// Whether every byte of the area is within a 32-bit displacement of every byte of the executable.
fn reaches(start: u64, around: Surroundings) -> bool {
    around.highest.abs_diff(start) < REACH_BYTES && around.lowest.abs_diff(start) < REACH_BYTES
}

fn align_down(address: u64) -> u64 {
    address & !(PAGE_BYTES - 1)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn check(around: Surroundings) -> Vec<u64> {
        let found: Vec<u64> = candidates(around).collect();
        for start in &found {
            assert_eq!(start % PAGE_BYTES, 0);
            assert!(
                start + AREA_BYTES + GUARD_BYTES <= around.lowest
                    || around
                        .program_break
                        .is_some_and(|end| *start >= end + HEAP_ROOMS_BYTES[1])
            );
            assert!(around.highest.abs_diff(*start) < 1 << 31);
            assert!(around.lowest.abs_diff(start + AREA_BYTES) < 1 << 31);
        }
        found
    }

    #[test]
    fn position_independent_executables_get_a_place_below() {
        let lowest = 0x5555_5555_4000;
        let found = check(Surroundings {
            lowest,
            highest: lowest + 0x10_0000,
            program_break: Some(lowest + 0x30_0000),
        });
        assert_eq!(found[0], align_down(lowest - GUARD_BYTES - AREA_BYTES));
        assert!(found.len() > 16);
    }

    #[test]
    fn libraries_get_a_place_below() {
        let lowest = 0x7fff_f7c0_0000;
        let found = check(Surroundings {
            lowest,
            highest: lowest + 0x10_0000,
            program_break: None,
        });
        assert!(found.len() > 50 && found.iter().all(|start| *start < lowest));
    }

    #[test]
    fn fixed_executables_at_four_megabytes_get_a_place_past_the_heap() {
        let found = check(Surroundings {
            lowest: 0x40_0000,
            highest: 0x60_0000,
            program_break: Some(0x70_0000),
        });
        assert!(found[0] > 0x4000_0000, "the most room is tried first");
    }

    #[test]
    fn a_break_far_behind_a_fixed_executable_leaves_a_place_all_the_same() {
        let found = check(Surroundings {
            lowest: 0x40_0000,
            highest: 0x60_0000,
            program_break: Some(0x60_0000 + (1 << 30)),
        });
        assert!(!found.is_empty());
    }

    #[test]
    fn an_executable_of_two_gigabytes_has_no_place_that_reaches_all_of_it() {
        let lowest = 0x5555_5555_4000;
        let highest = lowest + (2 << 30);
        assert_eq!(
            check(Surroundings {
                lowest,
                highest,
                program_break: Some(highest)
            }),
            Vec::<u64>::new()
        );
    }
}
