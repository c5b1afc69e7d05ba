//! The table of pipelines: what each scenario does to a function. The one place to extend.
//!
//! A pipeline is only a candidate. Whether its code is used is decided by a live trial, so a row may be wrong
//! about speed, but never about results: everything here keeps them to the bit (see [`crate::exact`]).
//!
//! To add a scenario's trick: add a field to [`Pipeline`] if the trick is new, set it in the rows that want it,
//! apply it in [`crate::prepare`] or [`crate::compile`], and count [`PIPELINE_VERSION`] up.

use tidegate_format::image::CpuFeatures;
use tidegate_format::scenario::Scenario;

/// Version of this table and of the worker's passes: part of what makes a cached image the right one.
pub(crate) const PIPELINE_VERSION: u16 = 1;

/// What is done for one scenario.
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
    /// Give the frame pointer's register to the function.
    pub(crate) free_frame_pointer: bool,
    /// Stream stores of long vector loops past the caches.
    pub(crate) stream_stores: bool,
    /// The pipeline is the base's but for tunables: without a tunable that differs there is nothing to compile.
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
    free_frame_pointer: false,
    stream_stores: false,
    tunables_only: false,
};

/// All pipelines.
///
/// * `cpu`: on a time-sliced core the best code is the one with the least CPU time per unit of work, so:
///   the newer instruction set, at 256 bits (512 lowers the clock on some CPUs and gained nothing on others).
/// * `memory`: bandwidth is what is short. Wide vectors and interleaving only queue more misses; registers are
///   freed, and stores that nobody reads soon go past the caches.
/// * `neighbour`: take little of what is shared: small code, narrow vectors, stores past the caches.
/// * `disk`, `network`: no compiler flag reaches them; tunables do.
pub(crate) const PIPELINES: [Pipeline; 6] = [
    BASE,
    Pipeline {
        scenario: Scenario::Cpu,
        extensions: CpuFeatures::V3,
        vector_width_bits: Some(256),
        ..BASE
    },
    Pipeline {
        scenario: Scenario::Memory,
        vector_width_bits: Some(128),
        interleave: false,
        unroll: false,
        free_frame_pointer: true,
        stream_stores: true,
        ..BASE
    },
    Pipeline {
        scenario: Scenario::Neighbour,
        vector_width_bits: Some(128),
        slp_vectorize: false,
        interleave: false,
        unroll: false,
        free_frame_pointer: true,
        stream_stores: true,
        ..BASE
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

/// The pipeline of a scenario; the base's is the placebo's.
pub(crate) fn pipeline(scenario: Scenario) -> Pipeline {
    PIPELINES
        .into_iter()
        .find(|pipeline| pipeline.scenario == scenario)
        .unwrap_or(BASE)
}

/// LLVM's name of the optimisation pipeline for the file's level.
pub(crate) fn level_name(level: u8, size_level: u8) -> &'static str {
    match (level, size_level) {
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

    #[test]
    fn every_scenario_has_its_pipeline() {
        for scenario in Scenario::ALL
            .into_iter()
            .filter(|scenario| *scenario != Scenario::Base)
        {
            assert_eq!(pipeline(scenario).scenario, scenario);
        }
        assert_eq!(pipeline(Scenario::Base), BASE);
    }

    #[test]
    fn the_level_of_the_file_is_kept() {
        let names = [(1, 0), (2, 0), (3, 0), (2, 1), (2, 2)].map(|(level, size)| level_name(level, size));
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
    }
}
