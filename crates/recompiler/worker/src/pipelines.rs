//! The table of pipelines: what each scenario does to a function. The one place to extend.
//!
//! A pipeline is only a candidate. Whether its code is used is decided by a live trial, so a row may be wrong
//! about speed, but never about results: everything here keeps them to the bit (see [`crate::exact`]).
//!
//! A compile runs in this order: what [`crate::prepare`] settles (tunables, constants, instruction set, attributes),
//! the row's passes [`before`](Pipeline::before), LLVM's own pipeline of the file's level with the row's switches,
//! the row's passes [`after`](Pipeline::after), then code generation.
//!
//! A scenario may have several rows, its *candidates* in the order in which they are tried: the next one where the
//! trial did not keep the one before.
//!
//! To add a trick: add a [`Pass`] (one function in [`crate::passes`]) or a switch to [`Pipeline`], name it in the rows
//! that want it, and count [`PIPELINE_VERSION`] up. A file in `tests/ir` says what it does to the IR.

use tidegate_format::image::CpuFeatures;
use tidegate_format::scenario::Scenario;

/// Version of this table and of the worker's passes: part of what makes a cached image the right one.
pub(crate) const PIPELINE_VERSION: u16 = 6;

/// A pass of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Small heap blocks that do not outlive the call move to its stack.
    LowerAllocations,
    /// Long loops that write memory in order begin with the turns that lead to an aligned address.
    AlignStreams,
    /// Stores of long vector loops go past the caches, a fence behind them.
    StreamStores,
    /// As [`StreamStores`](Self::StreamStores); each line that such a loop reads is asked for ahead, once.
    StreamStoresAndPrefetch,
    /// What a loop will look up by what a stream holds (hash tables, gathers) is asked for some turns ahead.
    PrefetchLookups,
}

/// What is done for one candidate of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a row of independent switches")]
pub(crate) struct Pipeline {
    /// The scenario.
    pub(crate) scenario: Scenario,
    /// Instruction set extensions that may be added to the base's, as far as the CPU has them.
    pub(crate) extensions: CpuFeatures,
    /// Widest vector register that the optimiser should want, in bits; `None` = as the base.
    pub(crate) vector_width_bits: Option<u32>,
    /// Vectorise loops.
    pub(crate) loop_vectorize: bool,
    /// Vectorise straight-line code.
    pub(crate) slp_vectorize: bool,
    /// Interleave vectorised loops.
    pub(crate) interleave: bool,
    /// Unroll loops.
    pub(crate) unroll: bool,
    /// Prefer few bytes, as -Os does, whatever the file's level.
    pub(crate) small: bool,
    /// Give the frame pointer's register to the function.
    pub(crate) free_frame_pointer: bool,
    /// Our own passes before LLVM's, in order.
    pub(crate) before: &'static [Pass],
    /// Our own passes behind LLVM's, in order.
    pub(crate) after: &'static [Pass],
    /// The pipeline is the base's but for tunables and constants: where none differs there is nothing to compile.
    pub(crate) tunables_only: bool,
}

const BASE: Pipeline = Pipeline {
    scenario: Scenario::Placebo,
    extensions: CpuFeatures::BASELINE,
    vector_width_bits: None,
    loop_vectorize: true,
    slp_vectorize: true,
    interleave: true,
    unroll: true,
    small: false,
    free_frame_pointer: false,
    before: &[],
    after: &[],
    tunables_only: false,
};

/// All pipelines, the candidates of a scenario in the order in which they are tried.
///
/// | scenario | why |
/// |---|---|
/// | `cpu` | on a time-sliced core the best code is the one with the least CPU time per unit of work: first the newer instruction set, at 256 bits (512 lowers the clock on some CPUs and gained nothing on others), with blocks on the stack and lookups asked for ahead; then simpler instructions and fewer bytes, without vectors and unrolling, for code that misses its instruction cache more when others run; then the newer instruction set alone, for data that fits the caches |
/// | `memory` | bandwidth and size are what is short: blocks on the stack instead of the heap, registers freed (no unrolling, no interleaving, no frame pointer), narrow vectors, stores past the caches, lines and lookups asked for ahead; then the same without streams and lookups, for data that fits the caches; then the newer instruction set, for what computes more than it moves |
/// | `neighbour` | take little of what is shared: small code, narrow vectors, stores past the caches, nothing asked for ahead |
/// | `disk`, `network` | no compiler flag reaches them; tunables do (batch and buffer sizes, level of compression, read-ahead) |
pub(crate) const PIPELINES: [Pipeline; 10] = [
    BASE,
    Pipeline {
        before: &[Pass::LowerAllocations],
        after: &[Pass::PrefetchLookups],
        ..WIDE
    },
    Pipeline {
        scenario: Scenario::Cpu,
        loop_vectorize: false,
        slp_vectorize: false,
        interleave: false,
        unroll: false,
        small: true,
        free_frame_pointer: true,
        ..BASE
    },
    WIDE,
    Pipeline {
        scenario: Scenario::Memory,
        before: &[Pass::LowerAllocations, Pass::AlignStreams],
        after: &[Pass::StreamStoresAndPrefetch, Pass::PrefetchLookups],
        ..REGISTERS
    },
    Pipeline {
        before: &[Pass::LowerAllocations],
        ..REGISTERS
    },
    Pipeline {
        scenario: Scenario::Memory,
        ..WIDE
    },
    Pipeline {
        scenario: Scenario::Neighbour,
        slp_vectorize: false,
        before: &[Pass::LowerAllocations, Pass::AlignStreams],
        after: &[Pass::StreamStores],
        ..REGISTERS
    },
    Pipeline {
        scenario: Scenario::Disk,
        tunables_only: true,
        ..BASE
    },
    Pipeline {
        scenario: Scenario::Network,
        tunables_only: true,
        ..BASE
    },
];

/// The newer instruction set, and nothing else.
const WIDE: Pipeline = Pipeline {
    scenario: Scenario::Cpu,
    extensions: CpuFeatures::V3,
    vector_width_bits: Some(256),
    ..BASE
};

/// What leaves a function the most registers: what memory and neighbour begin with.
const REGISTERS: Pipeline = Pipeline {
    scenario: Scenario::Memory,
    vector_width_bits: Some(128),
    interleave: false,
    unroll: false,
    free_frame_pointer: true,
    ..BASE
};

/// A candidate of a scenario, counted from 0; the base's is the placebo's. `None` where there are not so many.
pub(crate) fn pipeline(scenario: Scenario, candidate: u8) -> Option<Pipeline> {
    let scenario = if scenario == Scenario::Base {
        Scenario::Placebo
    } else {
        scenario
    };
    PIPELINES
        .into_iter()
        .filter(|pipeline| pipeline.scenario == scenario)
        .nth(candidate.into())
}

/// LLVM's name of the optimisation pipeline for the file's level, or for fewer bytes than that.
pub(crate) fn level_name(level: u8, size_level: u8, small: bool) -> &'static str {
    match (level, size_level.max(u8::from(small))) {
        (_, 1) => "default<Os>",
        (_, 2) => "default<Oz>",
        (0 | 1, _) => "default<O1>",
        (2, _) => "default<O2>",
        _ => "default<O3>",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_format::request::CANDIDATES_MAX;

    #[test]
    fn every_scenario_has_candidates_and_an_end_of_them() {
        for scenario in Scenario::ALL
            .into_iter()
            .filter(|scenario| *scenario != Scenario::Base)
        {
            let candidates: Vec<_> = (0..CANDIDATES_MAX)
                .map_while(|candidate| pipeline(scenario, candidate))
                .collect();
            assert!(!candidates.is_empty() && candidates.len() < usize::from(CANDIDATES_MAX));
            assert!(candidates.iter().all(|one| one.scenario == scenario));
        }
        assert_eq!(pipeline(Scenario::Base, 0), Some(BASE));
    }

    #[test]
    fn the_level_of_the_file_is_kept() {
        let names =
            [(1, 0), (2, 0), (3, 0), (2, 1), (2, 2)].map(|(level, size)| level_name(level, size, false));
        assert_eq!(
            names,
            [
                "default<O1>",
                "default<O2>",
                "default<O3>",
                "default<Os>",
                "default<Oz>"
            ]
        );
        assert_eq!(level_name(3, 0, true), "default<Os>");
        assert_eq!(level_name(2, 2, true), "default<Oz>");
    }
}
