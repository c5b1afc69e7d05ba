//! How far predictions deserve belief: reliability, skill, coverage and lead time, counted from outcomes. Pure.
//!
//! Only untreated outcomes judge. Lead times are told at a false-alarm rate of the reader's choice: the lowest alarm
//! threshold is taken at which no larger share of the quiet windows is alarmed, and the lead of an event is how long
//! before it the alarm stood without a break.

use crate::view::{CalibrationRow, CalibrationView, ReliabilityBinRow};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use tidegate_types::{Outcome, Source, Treatment, Unit};

/// Bins of the reliability table.
const BINS: usize = 10;
/// Outcomes that are looked at: newest ones; more would not change the picture.
pub const OUTCOMES_MAX: usize = 2_000_000;

/// One outcome on the wall clock.
#[derive(Clone, Debug)]
pub struct Scored {
    /// When the prediction was made, milliseconds since the epoch.
    pub made_utc_ms: i64,
    /// What became of it.
    pub outcome: Outcome,
}

/// What a row is about; `None` is all.
type Key = (Option<Unit>, u32, Option<Source>);

#[derive(Default)]
struct Sums<'a> {
    judged: Vec<(&'a Scored, bool)>,
    set_aside: u64,
    covered: u64,
    covered_of: u64,
    /// Peaks below, within and above their named quantiles.
    peaks: [u64; 3],
}

impl<'a> Sums<'a> {
    fn judge(&mut self, scored: &'a Scored, happened: bool) {
        let outcome = &scored.outcome;
        self.judged.push((scored, happened));
        self.covered_of += u64::from(outcome.onset_covered.is_some());
        self.covered += u64::from(outcome.onset_covered == Some(true));
        if let Some(place) = outcome.peak {
            self.peaks[place as usize] += 1;
        }
    }
}

/// Rows for all units, each model and each unit, per window. `begins` are the onsets that were seen, by unit, in
/// milliseconds since the epoch, sorted; `false_alarms` is the share of quiet windows that may be alarmed.
pub fn calibration(
    outcomes: &[Scored],
    begins: &BTreeMap<Unit, Vec<i64>>,
    false_alarms: f64,
) -> CalibrationView {
    let mut sums: BTreeMap<Key, Sums<'_>> = BTreeMap::new();
    for scored in outcomes {
        let outcome = &scored.outcome;
        let window_s = outcome.window_s;
        let keys = [
            (None, window_s, None),
            (None, window_s, Some(outcome.source)),
            (Some(outcome.unit.clone()), window_s, None),
        ];
        for key in keys {
            let sum = sums.entry(key).or_default();
            match (outcome.happened, outcome.treatment) {
                (Some(happened), Treatment::Untreated) => sum.judge(scored, happened),
                _ => sum.set_aside += 1,
            }
        }
    }
    CalibrationView {
        false_alarm_share: false_alarms,
        rows: sums
            .iter()
            .map(|(key, sums)| row(key, sums, begins, false_alarms))
            .collect(),
    }
}

fn row(key: &Key, sums: &Sums<'_>, begins: &BTreeMap<Unit, Vec<i64>>, false_alarms: f64) -> CalibrationRow {
    let count = sums.judged.len() as f64;
    let mut bins = vec![ReliabilityBinRow::default(); BINS];
    let (mut came, mut squares) = (0.0, 0.0);
    for (scored, happened) in &sums.judged {
        let said = scored.outcome.probability;
        let answer = f64::from(u8::from(*happened));
        came += answer;
        squares += (said - answer).powi(2);
        let bin = &mut bins[((said * BINS as f64) as usize).min(BINS - 1)];
        bin.count += 1;
        bin.said += said;
        bin.came += answer;
    }
    let gap: f64 = bins.iter().map(|bin| (bin.said - bin.came).abs()).sum();
    for bin in &mut bins {
        let of = (bin.count as f64).max(1.0);
        bin.said /= of;
        bin.came /= of;
    }
    let mean = |sum: f64| (count > 0.0).then(|| sum / count);
    let base_rate = mean(came);
    let reference = base_rate
        .map(|rate| rate * (1.0 - rate))
        .filter(|error| *error > 0.0);
    let brier = mean(squares);
    let threshold = threshold(&sums.judged, false_alarms);
    let leads = leads(&sums.judged, begins, threshold);
    CalibrationRow {
        unit: key.0.as_ref().map(ToString::to_string),
        window_s: key.1,
        model: key.2.map(|source| format!("{source:?}").to_lowercase()),
        scored: sums.judged.len() as u64,
        set_aside: sums.set_aside,
        base_rate,
        brier,
        skill: brier
            .zip(reference)
            .map(|(brier, reference)| 1.0 - brier / reference),
        calibration_error: mean(gap),
        onset_coverage: (sums.covered_of > 0).then(|| sums.covered as f64 / sums.covered_of as f64),
        peaks: sums.peaks.iter().sum(),
        peak_coverage: share(sums.peaks[1], &sums.peaks),
        peak_above: share(sums.peaks[2], &sums.peaks),
        alarm_from: threshold,
        onsets: leads.onsets,
        onsets_alarmed: leads.ahead_s.len() as u64,
        lead_s: median(leads.ahead_s),
        reliability: bins.into_iter().filter(|bin| bin.count > 0).collect(),
        demoted: false,
    }
}

fn share(part: u64, of: &[u64]) -> Option<f64> {
    let whole: u64 = of.iter().sum();
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The lowest probability from which no larger share of the quiet windows is alarmed.
fn threshold(judged: &[(&Scored, bool)], false_alarms: f64) -> Option<f64> {
    let quiet = judged.iter().filter(|(_, happened)| !happened);
    let mut said: Vec<f64> = quiet.map(|(scored, _)| scored.outcome.probability).collect();
    said.sort_by(|left, right| right.total_cmp(left));
    let allowed = (false_alarms * said.len() as f64).floor() as usize;
    // Just above the first quiet window that may not be alarmed.
    said.get(allowed).map(|most| most.next_up())
}

struct Leads {
    onsets: u64,
    ahead_s: Vec<f64>,
}

/// How long before each onset the alarm stood without a break, where it stood.
fn leads(judged: &[(&Scored, bool)], begins: &BTreeMap<Unit, Vec<i64>>, threshold: Option<f64>) -> Leads {
    let mut by_unit: BTreeMap<&Unit, Vec<(i64, bool, u32)>> = BTreeMap::new();
    for (scored, _) in judged {
        let alarmed = threshold.is_some_and(|threshold| scored.outcome.probability >= threshold);
        let made = (scored.made_utc_ms, alarmed, scored.outcome.window_s);
        by_unit.entry(&scored.outcome.unit).or_default().push(made);
    }
    let mut leads = Leads {
        onsets: 0,
        ahead_s: Vec::new(),
    };
    for (unit, mut made) in by_unit {
        made.sort_unstable();
        for begin in begins.get(unit).into_iter().flatten() {
            let before = &made[..made.partition_point(|(at, ..)| at < begin)];
            let within = |(at, _, window_s): &&(i64, bool, u32)| begin - at <= i64::from(*window_s) * 1000;
            let Some(_) = before.last().filter(within) else {
                continue;
            };
            leads.onsets += 1;
            let standing = before.iter().rev().take_while(|made| made.1 && within(made));
            if let Some((at, ..)) = standing.last() {
                leads.ahead_s.push((begin - at) as f64 / 1e3);
            }
        }
    }
    leads
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Side of one picture, and the room around it.
const SIDE: f64 = 180.0;
const ROOM: f64 = 44.0;
/// Height of the part that tells of peaks.
const PEAKS_ROOM: f64 = 40.0;

/// The reliability of all units, a picture per window: what was said against what came, and where peaks lay. Grey, so that it is read on a
/// light page and on a dark one; the area of a point is the number of predictions in it.
pub fn svg(view: &CalibrationView) -> String {
    let rows: Vec<&CalibrationRow> = view
        .rows
        .iter()
        .filter(|row| row.unit.is_none() && row.model.is_none())
        .collect();
    let width = ROOM + rows.len().max(1) as f64 * (SIDE + ROOM);
    let height = SIDE + 2.0 * ROOM + PEAKS_ROOM;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#808080\" role=\"img\">\
         <title>Reliability: what was said against what came</title>\n"
    );
    for (place, row) in rows.iter().enumerate() {
        picture(&mut text, row, ROOM + place as f64 * (SIDE + ROOM), ROOM);
    }
    if rows.is_empty() {
        let _ = writeln!(
            text,
            "<text x=\"{ROOM}\" y=\"{ROOM}\">no prediction was scored yet</text>"
        );
    }
    text.push_str("</svg>\n");
    text
}

// Writing to a `String` cannot fail.
fn picture(text: &mut String, row: &CalibrationRow, left: f64, top: f64) {
    let (right, bottom) = (left + SIDE, top + SIDE);
    let _ = writeln!(
        text,
        "<rect x=\"{left}\" y=\"{top}\" width=\"{SIDE}\" height=\"{SIDE}\" fill=\"none\" stroke=\"#808080\"/>\
         <line x1=\"{left}\" y1=\"{bottom}\" x2=\"{right}\" y2=\"{top}\" stroke=\"#808080\" stroke-dasharray=\"4\"/>"
    );
    let skill = row
        .skill
        .map_or_else(|| "-".to_owned(), |skill| format!("{skill:.2}"));
    let _ = writeln!(
        text,
        "<text x=\"{left}\" y=\"{}\">within {} s: skill {skill}, {} scored</text>",
        top - 8.0,
        row.window_s,
        row.scored
    );
    let _ = writeln!(
        text,
        "<text x=\"{left}\" y=\"{}\">said, 0 to 1; upwards: came</text>",
        bottom + 16.0
    );
    for bin in &row.reliability {
        let share = bin.count as f64 / row.scored.max(1) as f64;
        let _ = writeln!(
            text,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{:.1}\" fill=\"#3b82c4\" fill-opacity=\"0.8\">\
             <title>said {:.2}, came {:.2}, {} times</title></circle>",
            left + bin.said * SIDE,
            bottom - bin.came * SIDE,
            3.0 + 12.0 * share.sqrt(),
            bin.said,
            bin.came,
            bin.count
        );
    }
    peaks(text, row, left, bottom + 28.0);
}

/// Shares of the peaks below, within and above their named quantiles, over ticks where these should part.
fn peaks(text: &mut String, row: &CalibrationRow, left: f64, top: f64) {
    let Some((within, above)) = row.peak_coverage.zip(row.peak_above) else {
        return;
    };
    let below = (1.0 - within - above).max(0.0);
    let mut from = left;
    for (share, colour, name) in [
        (below, "#c4a03b", "below q10"),
        (within, "#3b82c4", "from q10 to q90"),
        (above, "#c4523b", "above q90"),
    ] {
        let _ = writeln!(
            text,
            "<rect x=\"{from:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"8\" fill=\"{colour}\" fill-opacity=\"0.8\">\
             <title>{:.0} % of {} peaks {name}</title></rect>",
            share * SIDE,
            share * 100.0,
            row.peaks
        );
        from += share * SIDE;
    }
    for rank in [0.1, 0.9] {
        let at = left + rank * SIDE;
        let (from, to) = (top - 3.0, top + 11.0);
        let _ = writeln!(
            text,
            "<line x1=\"{at}\" y1=\"{from}\" x2=\"{at}\" y2=\"{to}\" stroke=\"#808080\"/>"
        );
    }
    let _ = writeln!(
        text,
        "<text x=\"{left}\" y=\"{}\">peaks within q10 to q90: {:.0} % of {}</text>",
        top + 24.0,
        within * 100.0,
        row.peaks
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_types::{BootTime, PeakPlace, PredictionId};

    fn scored(second: i64, probability: f64, happened: Option<bool>, covered: Option<bool>) -> Scored {
        Scored {
            made_utc_ms: second * 1000,
            outcome: Outcome {
                prediction: PredictionId(1),
                unit: Unit::Cpu,
                made: BootTime(0),
                window_s: 60,
                probability,
                confidence: 0.5,
                source: Source::Periodic,
                happened,
                treatment: Treatment::Untreated,
                onset_error_s: None,
                onset_covered: covered,
                peak: None,
            },
        }
    }

    /// An event every 600 s that is foretold 40 s ahead; one false alarm in between, now and then.
    fn sound() -> (Vec<Scored>, BTreeMap<Unit, Vec<i64>>) {
        let mut outcomes = Vec::new();
        for second in (0..6000).step_by(10) {
            let to_next = 600 - second % 600;
            let happened = to_next <= 60;
            let alarmed = to_next <= 40 || (second % 3000 == 300);
            let covered = (to_next <= 40).then_some(second % 1200 < 600);
            outcomes.push(scored(
                second,
                if alarmed { 0.95 } else { 0.05 },
                Some(happened),
                covered,
            ));
        }
        outcomes.push(scored(6000, 0.5, None, None));
        let begins = (1..10).map(|number| number * 600_000).collect();
        (outcomes, BTreeMap::from([(Unit::Cpu, begins)]))
    }

    #[test]
    fn skill_coverage_and_leads_are_counted_per_unit_window_and_model() {
        let (outcomes, begins) = sound();
        let view = calibration(&outcomes, &begins, 0.01);
        assert_eq!(view.rows.len(), 3, "all, the model, the unit");
        for row in &view.rows {
            assert_eq!((row.scored, row.set_aside), (600, 1));
            assert!(row.skill.expect("a skill") > 0.5, "{:?}", row.skill);
            assert!((row.onset_coverage.expect("a coverage") - 0.5).abs() < 1e-9);
            assert_eq!((row.onsets, row.onsets_alarmed), (9, 9));
            assert_eq!(row.lead_s, Some(40.0));
            assert_eq!(row.reliability.len(), 2);
        }
        let strict = calibration(&outcomes, &begins, 0.0);
        assert_eq!(
            strict.rows[0].onsets_alarmed, 0,
            "without any false alarm there is no alarm"
        );
    }

    #[test]
    fn peaks_are_counted_below_within_and_above_their_quantiles() {
        let place = |number: i64| match number {
            0 => PeakPlace::Below,
            1 => PeakPlace::Above,
            _ => PeakPlace::Within,
        };
        let mut outcomes: Vec<Scored> = (0..20)
            .map(|number| {
                let mut one = scored(number, 0.1, Some(false), None);
                one.outcome.peak = (number < 10).then(|| place(number));
                one
            })
            .collect();
        outcomes[2].outcome.treatment = Treatment::Treated;
        let view = calibration(&outcomes, &BTreeMap::new(), 0.01);
        let row = &view.rows[0];
        assert_eq!(row.peaks, 9, "treated ones judge nothing");
        assert_eq!(
            (row.peak_coverage, row.peak_above),
            (Some(7.0 / 9.0), Some(1.0 / 9.0))
        );
        assert!(svg(&view).contains("peaks within q10 to q90: 78 % of 9"));
    }

    #[test]
    fn the_picture_is_whole_with_and_without_outcomes() {
        let (outcomes, begins) = sound();
        let picture = svg(&calibration(&outcomes, &begins, 0.01));
        assert!(picture.contains("within 60 s: skill 0."), "{picture}");
        assert_eq!(picture.matches("<circle").count(), 2);
        for text in [picture, svg(&CalibrationView::default())] {
            assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
        }
    }
}
