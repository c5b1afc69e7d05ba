//! Makes the IR of a blob ready for its scenario's passes: tunables, assumed arguments, instruction set, attributes.

use crate::pipelines::Pipeline;
use crate::{exact, passes, specialise};
use tidegate_format::image::CpuFeatures;
use tidegate_format::request::{CompileError, CompileErrorKind, Request};
use tidegate_format::scenario::Scenario;
use tidegate_partition::llvm::{Module, Value};
use tidegate_partition::tunables::Declared;
use tidegate_partition::{fused, llvm, tunables};

/// What preparing decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prepared {
    /// LLVM's feature string for the function.
    pub(crate) features: String,
    /// What the CPU must offer beyond what the program needs anyway.
    pub(crate) cpu_features: CpuFeatures,
}

/// Prepares the module around `root`.
pub(crate) fn prepare(
    module: Module,
    root: Value,
    request: &Request,
    pipeline: Pipeline,
) -> Result<Prepared, CompileError> {
    let differs = put_tunables_in(module, request);
    let assumed = specialise::specialise(module, root, &request.constants);
    let refuse = |kind| {
        Err(CompileError {
            kind,
            detail: String::new(),
        })
    };
    if assumed == 0 && !request.constants.is_empty() {
        return refuse(CompileErrorKind::NoConstant);
    }
    if pipeline.tunables_only && !differs && assumed == 0 {
        return refuse(CompileErrorKind::NothingToDo);
    }
    passes::verify(module, "constants")?;
    exact::check_flags(module).map_err(|kind| CompileError {
        kind,
        detail: String::new(),
    })?;
    fused::settle_fused_operations(module);
    exact::keep_library_results(module);
    let extensions = CpuFeatures(pipeline.extensions.0 & request.cpu_features.0);
    // The levels come as a whole: half of one is a CPU that nobody tests.
    // Code without vector registers may be entered where nobody keeps them.
    let is_bare = llvm::functions(module)
        .filter(|function| !function.is_declaration())
        .any(|function| fused::sign_of(&base_features(function), "sse2") == Some('-'));
    let whole = extensions == pipeline.extensions && !is_bare && exact::allows_extensions(module);
    let extensions = if whole { extensions } else { CpuFeatures::BASELINE };
    for function in llvm::functions(module).filter(|function| !function.is_declaration()) {
        let features = with_extensions(&base_features(function), extensions);
        set_attributes(function, &features, request, pipeline);
    }
    Ok(Prepared {
        features: base_features(root),
        cpu_features: extensions,
    })
}

/// Replaces tunables by the request's value, else the scenario's, else the default. Gives whether any differs
/// from its default.
fn put_tunables_in(module: Module, request: &Request) -> bool {
    let differs = std::cell::Cell::new(false);
    tunables::fold(module, |declared| {
        let value = tunable_value(declared, request);
        differs.set(differs.get() || value != declared.default);
        Some(value)
    });
    differs.get()
}

fn tunable_value(declared: &Declared, request: &Request) -> i64 {
    let requested = request.tunables.iter().find(|(name, _)| *name == declared.name);
    if let Some((_, value)) = requested {
        return *value;
    }
    let index = Scenario::TUNABLE
        .iter()
        .position(|scenario| *scenario == request.scenario);
    let own = index.and_then(|index| declared.values.get(index).copied().flatten());
    own.unwrap_or(declared.default)
}

fn set_attributes(function: Value, features: &str, request: &Request, pipeline: Pipeline) {
    function.set_string_attribute("target-features", features);
    let tuned = pipeline.extensions != CpuFeatures::BASELINE && !request.tune_cpu.is_empty();
    if tuned {
        function.set_string_attribute("tune-cpu", &request.tune_cpu);
    }
    if let Some(bits) = pipeline.vector_width_bits {
        function.set_string_attribute("prefer-vector-width", &bits.to_string());
    }
    if pipeline.free_frame_pointer {
        function.set_string_attribute("frame-pointer", "none");
    }
    if pipeline.small {
        function.add_attribute("optsize");
    }
}

/// LLVM's feature string of the function as it is now.
fn base_features(function: Value) -> String {
    function.string_attribute("target-features").unwrap_or_default()
}

fn with_extensions(base: &str, extensions: CpuFeatures) -> String {
    let named = CpuFeatures::NAMED
        .iter()
        .filter(|(feature, _)| feature.is_subset_of(extensions));
    let added = named.map(|(_, name)| format!("+{name}"));
    let base = base.split(',').filter(|word| !word.is_empty()).map(str::to_owned);
    base.chain(added).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_added_behind_the_base_s_own() {
        let features = with_extensions("+cx8,+sse2", CpuFeatures::AVX.union(CpuFeatures::BMI2));
        assert_eq!(features, "+cx8,+sse2,+avx,+bmi2");
        assert_eq!(with_extensions("", CpuFeatures::BASELINE), "");
    }
}
