//! One contended thing, and how it is written.

use crate::{AppName, Resource};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Direction of traffic on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Received.
    Rx,
    /// Sent.
    Tx,
}

/// One thing that apps can contend for. Written and parsed as in the examples of each variant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// `cpu`: all CPUs together.
    Cpu,
    /// `cpu:3`: one logical CPU.
    Core(u16),
    /// `llc:0`: one last-level cache.
    Llc(u16),
    /// `mem`: all memory.
    Memory,
    /// `mem:0`: one NUMA node.
    Node(u16),
    /// `disk:vda`, or `disk:vda@0-64G` for a range of bytes `[from, to)`.
    Disk(Arc<str>, Option<(u64, u64)>),
    /// `net:eth0/tx`.
    Net(Arc<str>, Direction),
    /// `limit:NAME/cpu`, `limit:NAME/memory`, `limit:NAME/io`: a limit that the app runs into.
    Limit(AppName, Resource),
}

/// Why a text is not a unit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a unit; write cpu, cpu:3, llc:0, mem, mem:0, disk:vda, disk:vda@0-64G, net:eth0/tx or limit:APP/cpu"
)]
pub struct UnitError {
    /// What was given.
    pub text: String,
}

const GIB: u64 = 1 << 30;

/// Bytes `[from, to)` as they are written: `0-64G` where both are whole, else in bytes.
pub(crate) struct ByteRange(pub(crate) u64, pub(crate) u64);

impl fmt::Display for ByteRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(from, to) = self;
        if from % GIB == 0 && to % GIB == 0 {
            return write!(formatter, "{}-{}G", from / GIB, to / GIB);
        }
        write!(formatter, "{from}-{to}")
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => write!(formatter, "cpu"),
            Self::Core(number) => write!(formatter, "cpu:{number}"),
            Self::Llc(number) => write!(formatter, "llc:{number}"),
            Self::Memory => write!(formatter, "mem"),
            Self::Node(number) => write!(formatter, "mem:{number}"),
            Self::Disk(name, None) => write!(formatter, "disk:{name}"),
            Self::Disk(name, Some((from, to))) => write!(formatter, "disk:{name}@{}", ByteRange(*from, *to)),
            Self::Net(name, Direction::Rx) => write!(formatter, "net:{name}/rx"),
            Self::Net(name, Direction::Tx) => write!(formatter, "net:{name}/tx"),
            Self::Limit(app, resource) => write!(formatter, "limit:{app}/{}", resource_word(*resource)),
        }
    }
}

fn resource_word(resource: Resource) -> &'static str {
    match resource {
        Resource::Cpu => "cpu",
        Resource::Memory => "memory",
        Resource::Io => "io",
        Resource::Network => "network",
        Resource::Code => "code",
    }
}

fn parse_limit(rest: &str) -> Option<Unit> {
    let (app, word) = rest.rsplit_once('/')?;
    let resource = match word {
        "cpu" => Resource::Cpu,
        "memory" => Resource::Memory,
        "io" => Resource::Io,
        _ => return None,
    };
    (!app.is_empty()).then(|| Unit::Limit(AppName::new(app), resource))
}

fn parse_disk(rest: &str) -> Option<Unit> {
    let Some((name, range)) = rest.rsplit_once('@') else {
        return Some(Unit::Disk(rest.into(), None));
    };
    let (from, to) = range.split_once('-')?;
    let (to, scale) = to.strip_suffix('G').map_or((to, 1), |digits| (digits, GIB));
    let bytes = |digits: &str| digits.parse::<u64>().ok()?.checked_mul(scale);
    Some(Unit::Disk(name.into(), Some((bytes(from)?, bytes(to)?))))
}

fn parse(text: &str) -> Option<Unit> {
    match text.split_once(':') {
        None if text == "cpu" => Some(Unit::Cpu),
        None if text == "mem" => Some(Unit::Memory),
        Some(("cpu", number)) => number.parse().ok().map(Unit::Core),
        Some(("llc", number)) => number.parse().ok().map(Unit::Llc),
        Some(("mem", number)) => number.parse().ok().map(Unit::Node),
        Some(("disk", rest)) if !rest.is_empty() => parse_disk(rest),
        Some(("net", rest)) => match rest.rsplit_once('/')? {
            (name, "rx") => Some(Unit::Net(name.into(), Direction::Rx)),
            (name, "tx") => Some(Unit::Net(name.into(), Direction::Tx)),
            _ => None,
        },
        Some(("limit", rest)) => parse_limit(rest),
        _ => None,
    }
}

impl FromStr for Unit {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse(text).ok_or_else(|| UnitError {
            text: text.to_owned(),
        })
    }
}

impl Serialize for Unit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Unit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_reads_back_as_written() {
        for text in [
            "cpu",
            "cpu:3",
            "llc:0",
            "mem",
            "mem:1",
            "disk:vda",
            "disk:vda@0-64G",
            "disk:vda@512-1025",
        ] {
            assert_eq!(text.parse::<Unit>().expect(text).to_string(), text);
        }
        for text in [
            "net:eth0/tx",
            "net:eth0/rx",
            "limit:group:/bed/web/cpu",
            "limit:exe:a@b/memory",
        ] {
            assert_eq!(text.parse::<Unit>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused_with_what_to_write() {
        for text in [
            "",
            "gpu",
            "cpu:x",
            "disk:",
            "disk:vda@9",
            "net:eth0",
            "limit:/cpu",
            "limit:web/gpu",
        ] {
            let error = text.parse::<Unit>().expect_err(text);
            assert!(error.to_string().contains("disk:vda@0-64G"));
        }
    }
}
