//! Scored predictions, packed: there are more of them than of anything else but samples.
//!
//! A forecast makes one prediction per unit, window and map, and each is scored, so a report over a week reads
//! millions. A packed one takes about twenty bytes; what comes out is what went in, to the bit.

use crate::bytes::{Cursor, Malformed, Parsed, put_text, put_varint};
use crate::decision::RecordedOutcomes;
use tidegate_types::{BootTime, Moment, Outcome, PeakPlace, PredictionId, Source, Treatment, Unit};

/// The kind of a frame of packed outcomes.
pub(crate) const PACKED: u8 = 2;

/// The numbers of sources on disk: append only.
const SOURCES: [Source; 9] = [
    Source::Periodic,
    Source::Declared,
    Source::Classifier,
    Source::Persistence,
    Source::Reactive,
    Source::Upstream,
    Source::Scheduled,
    Source::Demand,
    Source::Trained,
];
const TREATMENTS: [Treatment; 3] = [Treatment::Untreated, Treatment::Treated, Treatment::Unknown];
const HAPPENED: [Option<bool>; 3] = [None, Some(false), Some(true)];

/// Set where probability and confidence are written as f32 without loss.
const SHORT: u8 = 1;
/// Set where there is an onset error.
const ONSET: u8 = 2;
/// Set where it is known whether the onset was covered, and where it was.
const COVER_KNOWN: u8 = 4;
const COVERED: u8 = 8;
/// The bits that say where the peak lay, as a place in `PEAKS`.
const PEAK_SHIFT: u8 = 4;
/// The numbers of places on disk: append only.
const PEAKS: [Option<PeakPlace>; 4] = [
    None,
    Some(PeakPlace::Below),
    Some(PeakPlace::Within),
    Some(PeakPlace::Above),
];

/// Differences are small in both directions: 0, -1, 1, -2, … as 0, 1, 2, 3, …
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn place<T: PartialEq>(table: &[T], value: &T) -> u8 {
    // Every value is in its table: the tables are made of all variants.
    table.iter().position(|known| known == value).unwrap_or(0) as u8
}

fn is_short(value: f64) -> bool {
    f64::from(value as f32).to_bits() == value.to_bits()
}

/// The bytes of what was scored at `at`.
pub(crate) fn encode(at: Moment, outcomes: &[Outcome]) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + outcomes.len() * 24);
    out.extend_from_slice(&at.boot.0.to_le_bytes());
    out.extend_from_slice(&at.utc_ms.to_le_bytes());
    let mut units: Vec<&Unit> = outcomes.iter().map(|outcome| &outcome.unit).collect();
    units.sort();
    units.dedup();
    put_varint(&mut out, units.len() as u64);
    for unit in &units {
        put_text(&mut out, &unit.to_string());
    }
    put_varint(&mut out, outcomes.len() as u64);
    let (mut prediction, mut made) = (0_u64, 0_u64);
    for outcome in outcomes {
        let short = is_short(outcome.probability) && is_short(outcome.confidence);
        let cover = match outcome.onset_covered {
            None => 0,
            Some(false) => COVER_KNOWN,
            Some(true) => COVER_KNOWN | COVERED,
        };
        let peak = place(&PEAKS, &outcome.peak) << PEAK_SHIFT;
        let onset = u8::from(outcome.onset_error_s.is_some()) * ONSET;
        out.push((u8::from(short) * SHORT) | onset | cover | peak);
        let happened = place(&HAPPENED, &outcome.happened);
        let treatment = place(&TREATMENTS, &outcome.treatment);
        let source = place(&SOURCES, &outcome.source);
        out.push(source & 7 | happened << 3 | treatment << 5 | source >> 3 << 7);
        put_varint(&mut out, units.binary_search(&&outcome.unit).unwrap_or(0) as u64);
        put_varint(
            &mut out,
            zigzag(outcome.prediction.0.wrapping_sub(prediction).cast_signed()),
        );
        put_varint(&mut out, zigzag(outcome.made.0.wrapping_sub(made).cast_signed()));
        (prediction, made) = (outcome.prediction.0, outcome.made.0);
        put_varint(&mut out, u64::from(outcome.window_s));
        for value in [outcome.probability, outcome.confidence] {
            if short {
                out.extend_from_slice(&(value as f32).to_bits().to_le_bytes());
            } else {
                out.extend_from_slice(&value.to_bits().to_le_bytes());
            }
        }
        if let Some(error_s) = outcome.onset_error_s {
            out.extend_from_slice(&error_s.to_bits().to_le_bytes());
        }
    }
    out
}

/// What [`encode`] was given.
pub(crate) fn decode(bytes: &[u8]) -> Parsed<RecordedOutcomes> {
    let mut cursor = Cursor::new(bytes);
    let at = Moment {
        boot: BootTime(cursor.u64()?),
        utc_ms: cursor.i64()?,
    };
    let units = (0..cursor.count()?)
        .map(|_| {
            cursor
                .text()?
                .parse()
                .map_err(|_| Malformed("a unit is not known"))
        })
        .collect::<Parsed<Vec<Unit>>>()?;
    let (mut prediction, mut made) = (0_u64, 0_u64);
    let mut outcomes = Vec::new();
    for _ in 0..cursor.count()? {
        let outcome = parse_outcome(&mut cursor, &units, (prediction, made))?;
        (prediction, made) = (outcome.prediction.0, outcome.made.0);
        outcomes.push(outcome);
    }
    Ok(RecordedOutcomes { at, outcomes })
}

fn parse_outcome(cursor: &mut Cursor<'_>, units: &[Unit], before: (u64, u64)) -> Parsed<Outcome> {
    let unknown = Malformed("an outcome has an unknown part");
    let (shape, words) = (cursor.u8()?, cursor.u8()?);
    let unit = units.get(cursor.size()?).ok_or(unknown)?.clone();
    let mut difference = || Ok(unzigzag(cursor.varint()?).cast_unsigned());
    let prediction = PredictionId(before.0.wrapping_add(difference()?));
    let made = BootTime(before.1.wrapping_add(difference()?));
    let window_s = u32::try_from(cursor.varint()?).map_err(|_| unknown)?;
    let mut value = || {
        if shape & SHORT == 0 {
            return cursor.f64();
        }
        Ok(f64::from(f32::from_bits(cursor.u32()?)))
    };
    let (probability, confidence) = (value()?, value()?);
    let onset_error_s = if shape & ONSET == 0 {
        None
    } else {
        Some(cursor.f64()?)
    };
    Ok(Outcome {
        prediction,
        unit,
        made,
        window_s,
        probability,
        confidence,
        source: *SOURCES
            .get(usize::from(words & 7 | words >> 7 << 3))
            .ok_or(unknown)?,
        happened: *HAPPENED.get(usize::from(words >> 3 & 3)).ok_or(unknown)?,
        treatment: *TREATMENTS.get(usize::from(words >> 5 & 3)).ok_or(unknown)?,
        onset_error_s,
        onset_covered: (shape & COVER_KNOWN != 0).then_some(shape & COVERED != 0),
        peak: PEAKS[usize::from(shape >> PEAK_SHIFT & 3)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tidegate_types::{AppName, Resource};

    fn any_outcome() -> impl Strategy<Value = Outcome> {
        let unit = prop_oneof![
            Just(Unit::Cpu),
            any::<u16>().prop_map(Unit::Core),
            "[a-z/]{1,9}".prop_map(|name| Unit::Limit(AppName::new(&name), Resource::Cpu)),
        ];
        let value = prop_oneof![any::<f64>(), any::<f32>().prop_map(f64::from)];
        let words = (
            0..SOURCES.len(),
            0..HAPPENED.len(),
            0..TREATMENTS.len(),
            0..PEAKS.len(),
        );
        let numbers = (any::<u64>(), any::<u64>(), any::<u32>());
        (
            unit,
            numbers,
            value.clone(),
            value.clone(),
            words,
            prop::option::of(value),
            prop::option::of(any::<bool>()),
        )
            .prop_map(
                |(
                    unit,
                    (prediction, made, window_s),
                    probability,
                    confidence,
                    words,
                    onset_error_s,
                    onset_covered,
                )| {
                    Outcome {
                        prediction: PredictionId(prediction),
                        unit,
                        made: BootTime(made),
                        window_s,
                        probability,
                        confidence,
                        source: SOURCES[words.0],
                        happened: HAPPENED[words.1],
                        treatment: TREATMENTS[words.2],
                        onset_error_s,
                        onset_covered,
                        peak: PEAKS[words.3],
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn any_outcomes_read_back(outcomes in prop::collection::vec(any_outcome(), 0..20)) {
            let bytes = encode(Moment::default(), &outcomes);
            prop_assert_eq!(decode(&bytes), Ok(RecordedOutcomes { at: Moment::default(), outcomes }));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn a_map_of_outcomes_takes_about_twenty_bytes_each() {
        let outcome = |number: u64| Outcome {
            prediction: PredictionId(1_000_000 + number / 4),
            unit: Unit::Limit(AppName::new("system.slice/web.service"), Resource::Cpu),
            made: BootTime(86_400_000_000_000),
            window_s: 3600,
            probability: f64::from(0.3_f32),
            confidence: f64::from(0.9_f32),
            source: Source::Classifier,
            happened: Some(false),
            treatment: Treatment::Untreated,
            onset_error_s: None,
            onset_covered: None,
            peak: None,
        };
        let outcomes: Vec<Outcome> = (0..400).map(outcome).collect();
        let bytes = encode(Moment::default(), &outcomes);
        assert!(bytes.len() < 400 * 20, "{} bytes", bytes.len());
    }
}
