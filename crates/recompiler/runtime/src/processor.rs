//! What this CPU offers and the kernel saves: CPUID and XCR0, read where the code will run.
//!
//! Why so: an image that needs more would end in SIGILL in somebody's program. The daemon checks too, but it
//! may run under another mask of features than the app (a container, an emulator).
//!
//! Not here: which features an image should use.

use core::arch::x86_64::{__cpuid, __cpuid_count};
use tidegate_format::image::CpuFeatures;

/// The features that code in this process may use.
pub fn features() -> CpuFeatures {
    let basic = __cpuid(1);
    let highest = __cpuid(0).eax;
    let (wider_ebx, extended_ecx) = (
        if highest >= 7 { __cpuid_count(7, 0).ebx } else { 0 },
        if __cpuid(0x8000_0000).eax >= 0x8000_0001 {
            __cpuid(0x8000_0001).ecx
        } else {
            0
        },
    );
    let saved = if bit(basic.ecx, 27) { saved_state() } else { 0 };
    from_registers(basic.ecx, wider_ebx, extended_ecx, saved)
}

/// The features that these register values stand for.
fn from_registers(basic_ecx: u32, wider_ebx: u32, extended_ecx: u32, saved: u64) -> CpuFeatures {
    const YMM: u64 = 0b110;
    const ZMM: u64 = 0b1110_0110;
    let ymm = saved & YMM == YMM;
    let zmm = saved & ZMM == ZMM;
    let table = [
        (CpuFeatures::SSE3, bit(basic_ecx, 0)),
        (CpuFeatures::SSSE3, bit(basic_ecx, 9)),
        (CpuFeatures::SSE4_1, bit(basic_ecx, 19)),
        (CpuFeatures::SSE4_2, bit(basic_ecx, 20)),
        (CpuFeatures::POPCNT, bit(basic_ecx, 23)),
        (CpuFeatures::CX16, bit(basic_ecx, 13)),
        (CpuFeatures::SAHF, bit(extended_ecx, 0)),
        (CpuFeatures::AVX, ymm && bit(basic_ecx, 28)),
        (CpuFeatures::AVX2, ymm && bit(wider_ebx, 5)),
        (CpuFeatures::BMI, bit(wider_ebx, 3)),
        (CpuFeatures::BMI2, bit(wider_ebx, 8)),
        (CpuFeatures::F16C, ymm && bit(basic_ecx, 29)),
        (CpuFeatures::FMA, ymm && bit(basic_ecx, 12)),
        (CpuFeatures::LZCNT, bit(extended_ecx, 5)),
        (CpuFeatures::MOVBE, bit(basic_ecx, 22)),
        (CpuFeatures::AVX512F, zmm && bit(wider_ebx, 16)),
        (CpuFeatures::AVX512BW, zmm && bit(wider_ebx, 30)),
        (CpuFeatures::AVX512CD, zmm && bit(wider_ebx, 28)),
        (CpuFeatures::AVX512DQ, zmm && bit(wider_ebx, 17)),
        (CpuFeatures::AVX512VL, zmm && bit(wider_ebx, 31)),
    ];
    let offered = table.into_iter().filter(|(_, present)| *present);
    offered.fold(CpuFeatures::BASELINE, |all, (feature, _)| all.union(feature))
}

fn bit(register: u32, index: u32) -> bool {
    register >> index & 1 == 1
}

/// Which register states the kernel saves (XCR0).
fn saved_state() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: OSXSAVE is set, so the instruction exists; it reads one register.
    unsafe {
        core::arch::asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack));
    }
    u64::from(high) << 32 | u64::from(low)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn agrees_with_the_standard_library() {
        let found = features();
        let check = |feature: CpuFeatures, expect: bool| assert_eq!(feature.is_subset_of(found), expect);
        check(CpuFeatures::AVX2, std::is_x86_feature_detected!("avx2"));
        check(CpuFeatures::FMA, std::is_x86_feature_detected!("fma"));
        check(CpuFeatures::AVX512F, std::is_x86_feature_detected!("avx512f"));
        check(CpuFeatures::AVX512VL, std::is_x86_feature_detected!("avx512vl"));
        check(CpuFeatures::SSE4_2, std::is_x86_feature_detected!("sse4.2"));
        check(CpuFeatures::LZCNT, std::is_x86_feature_detected!("lzcnt"));
    }

    #[test]
    fn state_that_is_not_saved_is_not_offered() {
        let all = from_registers(u32::MAX, u32::MAX, u32::MAX, u64::MAX);
        assert_eq!(all, CpuFeatures::V4);
        let ymm_saved = from_registers(u32::MAX, u32::MAX, u32::MAX, 0b110);
        assert_eq!(ymm_saved, CpuFeatures::V3);
        let none_saved = from_registers(u32::MAX, u32::MAX, u32::MAX, 0);
        assert!(!CpuFeatures::AVX.is_subset_of(none_saved));
        assert!(CpuFeatures::V2.is_subset_of(none_saved));
    }
}
