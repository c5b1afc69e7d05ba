//! The policy file as it is typed: every value keeps its place, every unknown key is an error.

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use tidegate_types::{Class, Mode};
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPolicy {
    #[serde(default)]
    pub(crate) default: RawDefault,
    #[serde(default)]
    pub(crate) class: RawClasses,
    #[serde(default)]
    pub(crate) app: Vec<RawApp>,
    #[serde(default)]
    pub(crate) pool: Vec<RawPool>,
    #[serde(default)]
    pub(crate) event: Vec<RawEvent>,
    #[serde(default)]
    pub(crate) strategy: RawStrategy,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawDefault {
    pub(crate) class: Option<Class>,
    pub(crate) mode: Option<Mode>,
    pub(crate) cpu: Option<RawCpu>,
    pub(crate) memory: Option<RawMemory>,
    pub(crate) io: Option<RawModeOnly>,
    pub(crate) network: Option<RawModeOnly>,
    pub(crate) code: Option<RawModeOnly>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawClasses {
    pub(crate) critical: Option<RawRules>,
    pub(crate) standard: Option<RawRules>,
    pub(crate) batch: Option<RawRules>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRules {
    pub(crate) mode: Option<Mode>,
    pub(crate) cpu: Option<RawCpu>,
    pub(crate) memory: Option<RawMemory>,
    pub(crate) io: Option<RawModeOnly>,
    pub(crate) network: Option<RawModeOnly>,
    pub(crate) code: Option<RawModeOnly>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawApp {
    pub(crate) name: Spanned<String>,
    #[serde(rename = "match")]
    pub(crate) matches: Option<Spanned<RawMatch>>,
    pub(crate) class: Option<Class>,
    pub(crate) mode: Option<Mode>,
    pub(crate) cpu: Option<RawCpu>,
    pub(crate) memory: Option<RawMemory>,
    pub(crate) io: Option<RawModeOnly>,
    pub(crate) network: Option<RawModeOnly>,
    pub(crate) code: Option<RawModeOnly>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawMatch {
    pub(crate) cgroup: Option<Spanned<String>>,
    pub(crate) unit: Option<String>,
    pub(crate) executable: Option<String>,
    pub(crate) user: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawCpu {
    pub(crate) floor: Option<Spanned<f64>>,
    pub(crate) ceiling: Option<Spanned<f64>>,
    pub(crate) mode: Option<Mode>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawMemory {
    pub(crate) floor: Option<Spanned<Bytes>>,
    pub(crate) ceiling: Option<Spanned<Bytes>>,
    pub(crate) mode: Option<Mode>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawModeOnly {
    pub(crate) mode: Option<Mode>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPool {
    pub(crate) name: Spanned<String>,
    pub(crate) resource: PoolResource,
    pub(crate) apps: Spanned<Vec<Spanned<String>>>,
    pub(crate) cores: Spanned<f64>,
}

/// What a pool may be about.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PoolResource {
    Cpu,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawEvent {
    pub(crate) name: String,
    pub(crate) app: Spanned<String>,
    pub(crate) at: Spanned<toml::value::Datetime>,
    pub(crate) duration: Spanned<String>,
    pub(crate) every: Option<Spanned<String>>,
    pub(crate) cores: Option<Spanned<f64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawStrategy {
    pub(crate) kind: Option<super::Kind>,
    pub(crate) act_probability: Option<Spanned<f64>>,
    pub(crate) min_confidence: Option<Spanned<f64>>,
    pub(crate) headroom: Option<Spanned<f64>>,
    pub(crate) left_alone_share: Option<Spanned<f64>>,
    pub(crate) standing_weights: Option<bool>,
}

/// A size: a number of bytes, or text such as `"512M"` (K, M, G, T are powers of 1024).
#[derive(Clone, Copy)]
pub(crate) struct Bytes(pub(crate) f64);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BytesVisitor)
    }
}

struct BytesVisitor;

impl Visitor<'_> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a number of bytes, or a size such as \"512M\"")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Bytes, E> {
        Ok(Bytes(value as f64))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Bytes, E> {
        Ok(Bytes(value as f64))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
        let scales: BTreeMap<char, u32> = [('K', 10), ('M', 20), ('G', 30), ('T', 40)].into();
        let last = text
            .chars()
            .last()
            .and_then(|letter| scales.get(&letter.to_ascii_uppercase()));
        let digits = last.map_or(text, |_| &text[..text.len() - 1]);
        let number: f64 = digits.trim().parse().map_err(|_| {
            E::custom(format!(
                "`{text}` is not a size; write bytes or a size such as \"512M\""
            ))
        })?;
        Ok(Bytes(number * f64::from(last.copied().unwrap_or(0)).exp2()))
    }
}
