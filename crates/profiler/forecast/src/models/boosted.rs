//! The model that was trained on many series, on one of them: boosted events, a boosted body, and its own blocks.
//!
//! Events are answered by the forests that take the threshold as an input. Quantiles are shared out between the
//! boosted body and the residual blocks by how well each did on this series. Without trees the blocks speak alone.

use super::calendar::Calendar;
use super::exceedances::Exceedances;
use super::gbdt::PreparedRows;
use super::learner::{BodyRow, Learner};
use super::mix::Mix;
use super::past::{HORIZON, NotLater, Past};
use super::rows::exceeded;
use super::series::{FOREST_ROW, Moment, Series};
use super::trained::Trained;
use super::training::TARGET_MAX;
use super::{Chances, Forecast, Quantiles, SeriesModel, TARGET_COUNT, THRESHOLDS, targets_of, transposed};
use std::collections::VecDeque;
use std::sync::Arc;

/// Observations between two rounds of the competition between body and blocks.
const MIX_EVERY: u64 = 7;

/// The trained models, following one series.
#[derive(Clone, Debug)]
pub struct Boosted {
    trained: Arc<Trained>,
    series: Series,
    /// The series against its own thresholds.
    above: [Exceedances; THRESHOLDS],
    mix: Mix,
    lessons: VecDeque<Lesson>,
    /// What the competition was told of the last value, until a forecast takes it.
    said: Option<Said>,
}

/// What both say of the last value.
#[derive(Clone, Debug)]
struct Said {
    moment: Moment,
    body: Quantiles,
    blocks: Quantiles,
}

/// A row until its outcome is known.
#[derive(Clone, Debug)]
struct Lesson {
    /// The observation that it was made at.
    seen: u64,
    threshold: f64,
    row: Box<[f32; FOREST_ROW]>,
    body: Box<BodyRow>,
    /// What the body's targets are counted from, and in.
    base: f64,
    scale: f64,
}

impl Lesson {
    fn body_row(mut self, targets: &[f64; TARGET_COUNT]) -> BodyRow {
        self.body.targets =
            targets.map(|target| ((target - self.base) / self.scale).clamp(-TARGET_MAX, TARGET_MAX) as f32);
        *self.body
    }
}

impl Boosted {
    /// A series with one value every `step_s` seconds.
    pub fn new(trained: Arc<Trained>, step_s: u32, thresholds: [f64; THRESHOLDS]) -> Self {
        let series = Series::new(step_s);
        Self {
            trained,
            above: thresholds.map(|threshold| series.exceedances(threshold)),
            series,
            mix: Mix::default(),
            lessons: VecDeque::new(),
            said: None,
        }
    }

    fn say(&self) -> Option<Said> {
        let moment = self.series.moment()?;
        let blocks = moment.blocks.quantiles();
        let body = body(&self.trained, &moment, &blocks);
        Some(Said { moment, body, blocks })
    }

    /// The values of the last days.
    pub(crate) fn past(&self) -> &Past {
        self.series.past()
    }

    fn lesson(&self, moment: &Moment, threshold: f64) -> Lesson {
        let quantiles = moment.blocks.quantiles();
        Lesson {
            seen: self.series.past().seen(),
            threshold,
            row: Box::new(
                self.series
                    .forest_row(moment, &self.series.exceedances(threshold))
                    .0,
            ),
            body: Box::new(BodyRow {
                row: moment.body_row(&quantiles),
                starts: quantiles.map(|quantiles| moment.start(&quantiles)),
                targets: [f32::NAN; TARGET_COUNT],
            }),
            base: moment.base,
            scale: moment.scale,
        }
    }

    /// One of the series' own thresholds, or one that lies high among its values.
    fn drawn_threshold(&self, learner: &mut Learner) -> f64 {
        let kind = (learner.draw() * 3.0) as usize;
        if let Some(above) = self.above.get(kind) {
            return above.threshold();
        }
        let past = self.series.past();
        let mut value = || past.back((learner.draw() * past.len() as f64) as usize);
        value().max(value())
    }

    /// What the forests say, and what the residual blocks say for themselves.
    fn chances(&self, moment: &Moment) -> [Chances; 2] {
        let rows = self
            .above
            .each_ref()
            .map(|above| self.series.forest_row(moment, above));
        let of_blocks = transposed(rows.map(|(_, blocks)| blocks));
        // All rows of a moment know the same minutes.
        let forests = self.trained.events_for(&rows[0].0);
        let prepared = PreparedRows::new(rows.each_ref().map(|(row, _)| row.as_slice()));
        let chances = std::array::from_fn(|window| {
            if forests[window].trees().is_empty() {
                of_blocks[window]
            } else {
                forests[window].probabilities(&prepared)
            }
        });
        [chances, of_blocks]
    }

    /// What the forests say of each window and threshold now, and nothing else; `None` where the last value is missing.
    pub fn events(&self) -> Option<Chances> {
        let moment = self.series.moment()?;
        let [chances, _] = self.chances(&moment);
        Some(chances)
    }

    /// Share of the numbers about the series that are known, but those of one-minute values.
    pub(crate) fn known_inputs(&self) -> f64 {
        self.series.known_inputs()
    }

    /// The forecast, and the chances that the residual blocks give for themselves.
    pub(crate) fn forecast_and_blocks(&mut self) -> Option<(Forecast, Chances)> {
        let said = self.said.take().or_else(|| self.say())?;
        let [chances, of_blocks] = self.chances(&said.moment);
        let forecast = Forecast {
            quantiles: self.mix.join(&said.body, &said.blocks),
            chances,
        };
        Some((forecast, of_blocks))
    }
}

impl SeriesModel for Boosted {
    fn observe(&mut self, time_s: i64, value: f64) -> Result<(), NotLater> {
        let steps = self.series.observe(time_s, value)?;
        for above in &mut self.above {
            above.follow(self.series.past(), steps);
        }
        if steps > 1 || self.series.past().back(0).is_nan() {
            self.lessons.clear();
        }
        self.mix.observe(self.series.past(), steps);
        self.said = None;
        if self.series.past().seen().is_multiple_of(MIX_EVERY)
            && let Some(said) = self.say()
        {
            self.mix.remember(said.body, said.blocks);
            self.said = Some(said);
        }
        Ok(())
    }

    fn set_calendar(&mut self, calendar: &Arc<Calendar>) {
        self.series.set_calendar(calendar);
    }

    fn observe_fine(&mut self, time_s: i64, value: f64) {
        self.series.observe_fine(time_s, value);
    }

    fn last_s(&self) -> Option<i64> {
        self.series.past().newest_s()
    }

    fn forecast(&mut self) -> Option<Forecast> {
        self.forecast_and_blocks().map(|(forecast, _)| forecast)
    }

    fn teach(&mut self, learner: &mut Learner) {
        let past = self.series.past();
        let seen = past.seen();
        let due = |lesson: &Lesson| lesson.seen + HORIZON as u64 == seen;
        if self.lessons.front().is_some_and(due)
            && let Some(lesson) = self.lessons.pop_front()
        {
            let targets = targets_of(&past.path());
            learner.keep(&lesson.row, exceeded(&targets, lesson.threshold));
            learner.keep_body(lesson.body_row(&targets));
        }
        if learner.wants()
            && past.len() > 2 * HORIZON
            && let Some(moment) = self.series.moment()
        {
            let threshold = self.drawn_threshold(learner);
            if threshold.is_finite() {
                self.lessons.push_back(self.lesson(&moment, threshold));
            }
        }
    }

    fn adopt(&mut self, trained: &Arc<Trained>) {
        self.trained = Arc::clone(trained);
        self.said = None;
    }
}

/// The quantiles of the boosted body.
fn body(trained: &Trained, moment: &Moment, blocks: &Quantiles) -> Quantiles {
    let row = moment.body_row(blocks);
    std::array::from_fn(|target| {
        if trained.body[target].trees().is_empty() {
            return blocks[target];
        }
        let mut quantiles = moment.start(&blocks[target]);
        trained.body[target].add_to(&row, &mut quantiles);
        quantiles.map(|quantile| moment.base + moment.scale * f64::from(quantile))
    })
}
