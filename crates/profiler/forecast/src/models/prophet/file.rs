//! A fit as bytes: little-endian, the magic `TGPF`, a version, the terms, the weights, and an FNV-1a sum at the end.

use super::Fitted;
use super::terms::Terms;
use crate::models::trained::sum_of;

const MAGIC: &[u8; 4] = b"TGPF";
/// Version of the bytes; what the terms mean is part of it.
const VERSION: u16 = 1;

/// Why bytes were refused: what is wrong, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(&'static str);

impl std::fmt::Display for Refused {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "saved Prophet fit: {}; fit it anew", self.0)
    }
}

impl std::error::Error for Refused {}

impl Fitted {
    /// The fit as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let terms = &self.terms;
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        for time_s in [terms.span_s.0, terms.span_s.1] {
            bytes.extend(time_s.to_le_bytes());
        }
        bytes.extend(terms.seasons.map(u8::from));
        for count in [terms.knots.len(), terms.holidays.len()] {
            bytes.extend((count as u16).to_le_bytes());
        }
        for name in &terms.holidays {
            bytes.extend((name.len() as u16).to_le_bytes());
            bytes.extend(name.as_bytes());
        }
        for value in terms
            .knots
            .iter()
            .chain([&self.noise, &self.scale])
            .chain(&self.weights)
        {
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(sum_of(&bytes).to_le_bytes());
        bytes
    }

    /// Reads the bytes of a fit.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Refused> {
        const DAMAGED: Refused = Refused("its length or sum is wrong");
        let (body, sum) = bytes.split_last_chunk::<8>().ok_or(DAMAGED)?;
        let mut rest = body.strip_prefix(MAGIC).ok_or(Refused("it is something else"))?;
        let mut short = |rest: &mut &[u8]| Some(u16::from_le_bytes(taken(rest)?));
        if short(&mut rest) != Some(VERSION) {
            return Err(Refused("it is of another version"));
        }
        if sum_of(body) != u64::from_le_bytes(*sum) {
            return Err(DAMAGED);
        }
        let fitted = read(&mut rest, &mut short).ok_or(DAMAGED)?;
        let numbers = fitted.weights.iter().chain(&fitted.terms.knots);
        let sound = fitted.terms.span_s.0 < fitted.terms.span_s.1
            && fitted.noise >= 0.0
            && numbers
                .chain([&fitted.noise, &fitted.scale])
                .all(|value| value.is_finite());
        if rest.is_empty() && sound {
            Ok(fitted)
        } else {
            Err(DAMAGED)
        }
    }
}

fn taken<const COUNT: usize>(rest: &mut &[u8]) -> Option<[u8; COUNT]> {
    let (found, after) = rest.split_first_chunk::<COUNT>()?;
    *rest = after;
    Some(*found)
}

fn read(rest: &mut &[u8], short: &mut impl FnMut(&mut &[u8]) -> Option<u16>) -> Option<Fitted> {
    let span_s = (i64::from_le_bytes(taken(rest)?), i64::from_le_bytes(taken(rest)?));
    let seasons = taken::<3>(rest)?.map(|there| there != 0);
    let (knots, holidays) = (short(rest)?, short(rest)?);
    let mut names = Vec::new();
    for _ in 0..holidays {
        let length = usize::from(short(rest)?);
        let (name, after) = rest.split_at_checked(length)?;
        *rest = after;
        names.push(String::from_utf8(name.to_vec()).ok()?);
    }
    let mut values = |count: usize| -> Option<Vec<f64>> {
        (0..count)
            .map(|_| Some(f64::from_le_bytes(taken(rest)?)))
            .collect()
    };
    let terms = Terms {
        span_s,
        knots: values(usize::from(knots))?,
        seasons,
        holidays: names,
    };
    let of_values = values(2)?;
    let weights = values(terms.width())?;
    Some(Fitted {
        terms,
        weights,
        noise: of_values[0],
        scale: of_values[1],
    })
}
