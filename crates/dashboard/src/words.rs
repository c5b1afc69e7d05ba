//! The words of `tidegate_types` as the OpenAPI document spells them.
//!
//! The shared vocabulary knows nothing of OpenAPI, so each enum that the API shows has a shadow here that
//! is only ever a schema. A test holds every shadow against what serde writes for the real one.
#![expect(
    dead_code,
    reason = "the shadows exist for their schemas; nobody constructs them"
)]

use utoipa::ToSchema;

/// How much an app matters.
#[derive(ToSchema)]
#[schema(as = Class, rename_all = "lowercase")]
pub(crate) enum ClassWord {
    Batch,
    Standard,
    Critical,
}

/// How far tidegate may go.
#[derive(ToSchema)]
#[schema(as = Mode, rename_all = "lowercase")]
pub(crate) enum ModeWord {
    Observe,
    Advise,
    Enforce,
}

/// What a grant is for.
#[derive(ToSchema)]
#[schema(as = Resource, rename_all = "lowercase")]
pub(crate) enum ResourceWord {
    Cpu,
    Memory,
    Io,
    Network,
    Code,
}

/// What a prediction rests on.
#[derive(ToSchema)]
#[schema(as = Source, rename_all = "lowercase")]
pub(crate) enum SourceWord {
    Periodic,
    Declared,
    Scheduled,
    Upstream,
    Classifier,
    Demand,
    Trained,
    Persistence,
    Reactive,
}

/// Whether tidegate was acting when the outcome was seen.
#[derive(ToSchema)]
#[schema(as = Treatment, rename_all = "lowercase")]
pub(crate) enum TreatmentWord {
    Untreated,
    Treated,
    Unknown,
}

/// What set a lease off.
#[derive(ToSchema)]
#[schema(as = Trigger, rename_all = "lowercase")]
pub(crate) enum TriggerWord {
    Predicted,
    Observed,
    Standing,
}

/// A set of files or properties that move together.
#[derive(ToSchema)]
#[schema(as = Knob, rename_all = "snake_case")]
pub(crate) enum KnobWord {
    CpuWeight,
    CpuMax,
}

/// What a variant is compiled for.
#[derive(ToSchema)]
#[schema(as = Scenario, rename_all = "lowercase")]
pub(crate) enum ScenarioWord {
    Cpu,
    Memory,
    Disk,
    Network,
    Neighbour,
}

/// How serious a notice is.
#[derive(ToSchema)]
#[schema(as = Severity, rename_all = "lowercase")]
pub(crate) enum SeverityWord {
    Info,
    Warning,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;
    use tidegate_types as types;
    use utoipa::PartialSchema;

    fn check<Shadow: PartialSchema, Real: Serialize>(real: &[Real]) {
        let schema = serde_json::to_value(Shadow::schema()).expect("a schema is JSON");
        let words = serde_json::to_value(real).expect("an enum is JSON");
        assert_eq!(schema["enum"], words);
    }

    #[test]
    fn every_shadow_says_what_serde_writes() {
        use types::{Class, Knob, Mode, Resource, Scenario, Severity, Source, Treatment, Trigger};
        check::<ClassWord, _>(&[Class::Batch, Class::Standard, Class::Critical]);
        check::<ModeWord, _>(&[Mode::Observe, Mode::Advise, Mode::Enforce]);
        check::<ResourceWord, _>(&[
            Resource::Cpu,
            Resource::Memory,
            Resource::Io,
            Resource::Network,
            Resource::Code,
        ]);
        check::<SourceWord, _>(&[
            Source::Periodic,
            Source::Declared,
            Source::Scheduled,
            Source::Upstream,
            Source::Classifier,
            Source::Demand,
            Source::Trained,
            Source::Persistence,
            Source::Reactive,
        ]);
        check::<TreatmentWord, _>(&[Treatment::Untreated, Treatment::Treated, Treatment::Unknown]);
        check::<TriggerWord, _>(&[Trigger::Predicted, Trigger::Observed, Trigger::Standing]);
        check::<KnobWord, _>(&[Knob::CpuWeight, Knob::CpuMax]);
        check::<ScenarioWord, _>(&[
            Scenario::Cpu,
            Scenario::Memory,
            Scenario::Disk,
            Scenario::Network,
            Scenario::Neighbour,
        ]);
        check::<SeverityWord, _>(&[Severity::Info, Severity::Warning]);
    }
}
