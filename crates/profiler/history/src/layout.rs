//! Where things lie in the store's folder, and how files there are named.

use crate::segment::Tier;
use std::path::{Path, PathBuf};

/// Added to the name of a file that is damaged: it is kept, and never read again.
pub(crate) const CORRUPT_SUFFIX: &str = ".corrupt";
pub(crate) const SEGMENT_SUFFIX: &str = ".seg";
pub(crate) const LOG_SUFFIX: &str = ".log";
pub(crate) const CHECKPOINT_SUFFIX: &str = ".state";

/// The folder of the growing files of the newest samples.
pub(crate) const HEAD: &str = "head";
pub(crate) const IMPORTS: &str = "imports";
pub(crate) const INPUTS: &str = "inputs";
pub(crate) const MAPS: &str = "maps";
pub(crate) const DECISIONS: &str = "decisions";
pub(crate) const OUTCOMES: &str = "outcomes";
pub(crate) const CHECKPOINTS: &str = "checkpoints";
pub(crate) const MODELS: &str = "models";

/// Every folder of a store.
pub(crate) const FOLDERS: [&str; 11] = [
    HEAD,
    "seconds",
    "minutes",
    "fives",
    IMPORTS,
    INPUTS,
    MAPS,
    DECISIONS,
    OUTCOMES,
    CHECKPOINTS,
    MODELS,
];

/// The folder of a tier's segments.
pub(crate) fn folder(tier: Tier) -> &'static str {
    match tier {
        Tier::Second => "seconds",
        Tier::Minute => "minutes",
        Tier::FiveMinutes => "fives",
    }
}

/// Milliseconds that one segment of a summed-up tier covers: small enough to be made in bounded memory,
/// large enough that its dictionary is a small part of it.
pub(crate) fn span_ms(tier: Tier) -> i64 {
    match tier {
        Tier::Second => 300_000,
        Tier::Minute => 3_600_000,
        Tier::FiveMinutes => 6 * 3_600_000,
    }
}

/// `DIR/folder/<16 hexadecimal digits><suffix>`.
pub(crate) fn path(dir: &Path, folder: &str, number: u64, suffix: &str) -> PathBuf {
    dir.join(folder).join(format!("{number:016x}{suffix}"))
}

/// The number in a file's name, if it is one of ours with that suffix.
pub(crate) fn number(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    (digits.len() == 16)
        .then(|| u64::from_str_radix(digits, 16).ok())
        .flatten()
}

/// The name under which a damaged file is kept.
pub(crate) fn corrupt(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(CORRUPT_SUFFIX);
    PathBuf::from(name)
}

/// The number of the segment of a summed-up tier that holds `utc_ms`, as an offset binary so that names sort.
pub(crate) fn span_number(tier: Tier, utc_ms: i64) -> u64 {
    utc_ms.div_euclid(span_ms(tier)).cast_unsigned() ^ (1 << 63)
}

/// First UTC millisecond of the segment with that number.
pub(crate) fn span_start_ms(tier: Tier, number: u64) -> i64 {
    (number ^ (1 << 63)).cast_signed().saturating_mul(span_ms(tier))
}
