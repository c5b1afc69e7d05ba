//! This host's CPU: its model, as part of every key and verdict, and what it offers to code.
//!
//! Why so: a variant that helps on one model may harm on another, so nothing is carried over between models.
//!
//! Not here: the check inside the app, which the runtime makes by itself before it loads.

use crate::VariantsError;
use crate::error::at;
use std::fs;
use std::path::Path;
use tidegate_format::image::CpuFeatures;

/// Model and features of a CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processor {
    /// Vendor, family, model, stepping and name, as the kernel tells them.
    pub model: String,
    /// What every CPU of this host offers.
    pub features: CpuFeatures,
}

impl Processor {
    /// Reads `/proc/cpuinfo`.
    ///
    /// # Errors
    /// [`VariantsError::File`].
    pub fn of_this_host() -> Result<Self, VariantsError> {
        let path = Path::new("/proc/cpuinfo");
        Ok(Self::from_cpuinfo(&fs::read_to_string(path).map_err(at(path))?))
    }

    /// Reads the first CPU's entry; features are those of the kernel's list, which leaves out what it does not
    /// save.
    pub fn from_cpuinfo(text: &str) -> Self {
        let field = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(':'));
            lines
                .find(|(key, _)| key.trim() == name)
                .map_or("?", |(_, value)| value.trim())
        };
        let model = ["vendor_id", "cpu family", "model", "stepping", "model name"]
            .map(field)
            .join("/");
        let flags: Vec<&str> = field("flags").split_whitespace().collect();
        let offered = CpuFeatures::NAMED
            .iter()
            .filter(|(_, name)| flags.contains(&kernel_name(name)));
        let features = offered.fold(CpuFeatures::BASELINE, |all, (feature, _)| all.union(*feature));
        Self { model, features }
    }
}

/// The kernel's spelling of LLVM's feature names, where it differs.
fn kernel_name(name: &str) -> &str {
    match name {
        "sse3" => "pni",
        "sse4.1" => "sse4_1",
        "sse4.2" => "sse4_2",
        "sahf" => "lahf_lm",
        "bmi" => "bmi1",
        "lzcnt" => "abm",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n\
        model name\t: AMD EPYC\nstepping\t: 1\nflags\t\t: fpu pni ssse3 sse4_1 sse4_2 popcnt cx16 lahf_lm avx avx2 \
        bmi1 bmi2 f16c fma abm movbe\n";

    #[test]
    fn a_level_three_machine() {
        let processor = Processor::from_cpuinfo(TEXT);
        assert_eq!(processor.features, CpuFeatures::V3);
        assert_eq!(processor.model, "AuthenticAMD/25/17/1/AMD EPYC");
    }

    #[test]
    fn nothing_known_is_the_baseline() {
        assert_eq!(Processor::from_cpuinfo("").features, CpuFeatures::BASELINE);
    }
}
