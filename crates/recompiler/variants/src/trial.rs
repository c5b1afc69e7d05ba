//! The live trial of one variant of one function: a pure plan of slices, and the verdict.
//!
//! Why so: the load of a live program drifts and repeats, so arms are compared within blocks of four short
//! slices, ABBA or BAAB by a seeded coin: a linear drift cancels within the block, and the coin makes whatever
//! does not cancel independent of the order. Two controls: the *base*, which is what would run otherwise, and the
//! *placebo*, the base recompiled and loaded like the variant, which shows what loading alone does. The number
//! of blocks is fixed beforehand and nothing is looked at before the end: an interval that is peeked at is none.
//!
//! Where code lies changes its cost by more than many a variant gains. So placebo and variant move together, several
//! times within a trial: what is measured is their mean over places, not one place's luck.
//!
//! The cost is CPU time per unit of work. The estimate is the mean over blocks of the logarithm of
//! cost(control)/cost(variant), with Student's interval. A variant is kept if against both controls the lower
//! end of the 95 % interval is above 0 and the estimate above 1.5 %.
//!
//! Not here: how a slice is run and how disturbance is noticed.

use std::fmt;

/// Valid blocks per control.
const BLOCKS: u32 = 24;
/// Places that placebo and variant have in turn.
const PLACEMENTS: u32 = 3;
/// How many blocks may be dropped, as a multiple of those needed, before the trial gives up.
const ATTEMPT_FACTOR: u32 = 2;
/// After so many blocks without any work, none is expected.
const WORKLESS_BLOCKS: u32 = 4;
/// With this share of a slice as CPU time, some work should have been counted.
const TIME_SHARE: f64 = 0.2;
/// The least gain (logarithm of the ratio) that is worth a switch.
const LEAST_GAIN: f64 = 0.015;
/// Share of each slice that is not measured: caches and branch predictors learn the other code.
const SETTLE_SHARE: f64 = 0.2;
/// Length of a slice: long against the helper's and the daemon's own work, short against drift.
const SLICE_MS: u32 = 200;

/// What runs in a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arm {
    /// The executable's own code.
    Base,
    /// The base, recompiled and loaded like a variant.
    Placebo,
    /// The variant on trial.
    Variant,
}

/// The bounds of a trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Valid blocks per control.
    pub blocks: u32,
    /// Length of a slice.
    pub slice_ms: u32,
    /// The least gain, as logarithm of the ratio.
    pub least_gain: f64,
    /// Places that placebo and variant have in turn.
    pub placements: u32,
    /// Whether the placebo is a control beside the base: for a first verdict, not for looking after it.
    pub with_placebo: bool,
}

impl Config {
    /// As `self`, to look after a variant that is in use: a few blocks against the base, where it lies.
    #[must_use]
    pub fn for_check(self) -> Self {
        Self {
            blocks: self.blocks.div_ceil(4),
            placements: 1,
            with_placebo: false,
            ..self
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            blocks: BLOCKS,
            slice_ms: SLICE_MS,
            least_gain: LEAST_GAIN,
            placements: PLACEMENTS,
            with_placebo: true,
        }
    }
}

/// One slice to run: switch to `arm`, let `settle_ms` pass, measure over `measure_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// What to run.
    pub arm: Arm,
    /// Not measured.
    pub settle_ms: u32,
    /// Measured.
    pub measure_ms: u32,
}

/// What a slice showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// CPU time of the process.
    pub cpu_ns: u64,
    /// Work done, in any unit that stays the same.
    pub work: u64,
    /// Whether something outside disturbed the slice: judged without looking at the cost.
    pub disturbed: bool,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Run this slice and report it.
    Run(Slice),
    /// The trial is over.
    Done(Verdict),
}

/// Why a variant was kept or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ground {
    /// Both lower ends are above 0 and both estimates above the least gain.
    Helps,
    /// The intervals say that there is no such gain.
    NoGain,
    /// No unit of work was counted.
    NotMeasurable,
    /// Too many blocks were disturbed.
    Disturbed,
}

impl fmt::Display for Ground {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Helps => "the variant needs less CPU per unit of work than base and placebo",
            Self::NoGain => "no gain was shown: base kept",
            Self::NotMeasurable => "not measurable (no work was counted): base kept",
            Self::Disturbed => "too many slices were disturbed: base kept",
        })
    }
}

/// The gain over one control: logarithm of cost(control)/cost(variant) with its 95 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Gain {
    /// Mean over blocks.
    pub estimate: f64,
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
}

/// The outcome.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Verdict {
    /// Whether the variant is to be used.
    pub kept: bool,
    /// Why.
    pub ground: Ground,
    /// Against the base.
    pub over_base: Gain,
    /// Against the placebo.
    pub over_placebo: Gain,
    /// Valid blocks.
    pub blocks: u32,
    /// Dropped blocks.
    pub dropped: u32,
}

impl Gain {
    /// Both together, each by the inverse of its variance.
    #[must_use]
    pub fn pooled(self, other: Self) -> Self {
        let weight = |gain: Self| 1.0 / ((gain.upper - gain.lower) / 2.0).max(1e-9).powi(2);
        let (own, others) = (weight(self), weight(other));
        let estimate = (self.estimate * own + other.estimate * others) / (own + others);
        let half = (own + others).sqrt().recip();
        Self {
            estimate,
            lower: estimate - half,
            upper: estimate + half,
        }
    }
}

impl Verdict {
    /// The less favourable of the gains over the controls that there were.
    pub fn gain(&self) -> Gain {
        if self.over_placebo == Gain::default() || self.over_base.lower <= self.over_placebo.lower {
            self.over_base
        } else {
            self.over_placebo
        }
    }
}

/// A trial in progress.
#[derive(Clone, Debug)]
pub struct Trial {
    config: Config,
    coin: Coin,
    order: [Arm; 4],
    control: Arm,
    slices: Vec<Observation>,
    over_base: Vec<f64>,
    over_placebo: Vec<f64>,
    dropped: u32,
    workless: u32,
}

impl Trial {
    /// A trial whose coin is seeded: the same seed and observations give the same plan.
    pub fn new(config: Config, seed: u64) -> Self {
        let mut trial = Self {
            config,
            coin: Coin(seed),
            order: [Arm::Base; 4],
            control: Arm::Base,
            slices: Vec::with_capacity(4),
            over_base: Vec::new(),
            over_placebo: Vec::new(),
            dropped: 0,
            workless: 0,
        };
        trial.plan_block();
        trial
    }

    /// The slice to begin with.
    pub fn first(&self) -> Slice {
        self.slice()
    }

    /// Takes what the slice showed and says what comes next.
    pub fn next(&mut self, observation: Observation) -> Step {
        self.slices.push(observation);
        if self.slices.len() == self.order.len() {
            self.finish_block();
            if let Some(verdict) = self.verdict() {
                return Step::Done(verdict);
            }
            self.plan_block();
        }
        Step::Run(self.slice())
    }

    /// The place that placebo and variant have in the slice to come, counted from 0. It changes between blocks only.
    pub fn placement(&self) -> u32 {
        let done = self.valid().min(self.config.blocks.saturating_sub(1));
        done * self.config.placements / self.config.blocks.max(1)
    }

    /// Valid blocks of the control that has the fewest.
    fn valid(&self) -> u32 {
        let base = self.over_base.len();
        let fewest = if self.config.with_placebo {
            base.min(self.over_placebo.len())
        } else {
            base
        };
        fewest as u32
    }

    /// Drops the block in progress, because the trial cannot go on now; gives the slice to go on with later.
    pub fn interrupt(&mut self) -> Slice {
        self.slices.clear();
        self.plan_block();
        self.slice()
    }

    fn slice(&self) -> Slice {
        let settle_ms = (f64::from(self.config.slice_ms) * SETTLE_SHARE) as u32;
        let arm = self.order.get(self.slices.len()).copied().unwrap_or(Arm::Base);
        Slice {
            arm,
            settle_ms,
            measure_ms: self.config.slice_ms - settle_ms,
        }
    }

    /// The control with fewer valid blocks, or either by the coin; then ABBA or BAAB by the coin.
    fn plan_block(&mut self) {
        let (base, placebo) = (self.over_base.len(), self.over_placebo.len());
        let takes_base = if !self.config.with_placebo {
            true
        } else if base == placebo {
            self.coin.flip()
        } else {
            base < placebo
        };
        self.control = if takes_base { Arm::Base } else { Arm::Placebo };
        let (outer, inner) = if self.coin.flip() {
            (self.control, Arm::Variant)
        } else {
            (Arm::Variant, self.control)
        };
        self.order = [outer, inner, inner, outer];
    }

    fn finish_block(&mut self) {
        let slices = std::mem::take(&mut self.slices);
        if slices.iter().any(|slice| slice.disturbed) {
            self.dropped += 1;
            return;
        }
        let idle = |slice: &&Observation| slice.work == 0 || slice.cpu_ns == 0;
        if let Some(slice) = slices.iter().find(idle) {
            // A process that got no time did no work either: that says nothing of whether its work is counted.
            let enough_ns = f64::from(self.config.slice_ms) * 1e6 * TIME_SHARE;
            self.workless += u32::from(slice.cpu_ns as f64 >= enough_ns);
            self.dropped += 1;
            return;
        }
        let ratio: f64 = slices
            .iter()
            .zip(self.order)
            .map(|(slice, arm)| sign(arm) * log_cost(slice) / 2.0)
            .sum();
        match self.control {
            Arm::Placebo => self.over_placebo.push(ratio),
            _ => self.over_base.push(ratio),
        }
    }

    fn verdict(&self) -> Option<Verdict> {
        let ground = if self.valid() >= self.config.blocks {
            self.judge()
        } else if self.workless >= WORKLESS_BLOCKS
            && self.over_base.is_empty()
            && self.over_placebo.is_empty()
        {
            Ground::NotMeasurable
        } else if self.dropped > 2 * self.config.blocks * ATTEMPT_FACTOR {
            Ground::Disturbed
        } else {
            return None;
        };
        Some(Verdict {
            kept: ground == Ground::Helps,
            ground,
            over_base: gain(&self.over_base),
            over_placebo: gain(&self.over_placebo),
            blocks: (self.over_base.len() + self.over_placebo.len()) as u32,
            dropped: self.dropped,
        })
    }

    fn judge(&self) -> Ground {
        let controls = 1 + usize::from(self.config.with_placebo);
        let helps = [&self.over_base, &self.over_placebo]
            .into_iter()
            .take(controls)
            .all(|ratios| {
                let gain = gain(ratios);
                gain.lower > 0.0 && gain.estimate > self.config.least_gain
            });
        if helps { Ground::Helps } else { Ground::NoGain }
    }
}

fn sign(arm: Arm) -> f64 {
    if arm == Arm::Variant { -1.0 } else { 1.0 }
}

fn log_cost(slice: &Observation) -> f64 {
    (slice.cpu_ns as f64 / slice.work as f64).ln()
}

/// Mean and 95 % interval by Student's distribution.
fn gain(ratios: &[f64]) -> Gain {
    let count = ratios.len() as f64;
    if ratios.len() < 2 {
        return Gain::default();
    }
    let estimate = ratios.iter().sum::<f64>() / count;
    let variance = ratios.iter().map(|ratio| (ratio - estimate).powi(2)).sum::<f64>() / (count - 1.0);
    let half = student_quantile(count - 1.0) * (variance / count).sqrt();
    Gain {
        estimate,
        lower: estimate - half,
        upper: estimate + half,
    }
}

/// The 97.5 % quantile of Student's distribution (expansion of Abramowitz and Stegun, 26.7.5; error below 0.1 %
/// from 10 degrees of freedom on).
fn student_quantile(degrees: f64) -> f64 {
    const Z: f64 = 1.959_963_985;
    let first = (Z.powi(3) + Z) / 4.0;
    let second = (5.0 * Z.powi(5) + 16.0 * Z.powi(3) + 3.0 * Z) / 96.0;
    let third = (3.0 * Z.powi(7) + 19.0 * Z.powi(5) + 17.0 * Z.powi(3) - 15.0 * Z) / 384.0;
    Z + first / degrees + second / degrees.powi(2) + third / degrees.powi(3)
}

/// A seeded coin (`SplitMix64`; Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
struct Coin(u64);

impl Coin {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn flip(&mut self) -> bool {
        self.next() >> 63 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program whose cost per unit drifts, repeats, and is noisy with memory.
    struct Program {
        random: Coin,
        gain: f64,
        noise: f64,
        drift: f64,
        wave: f64,
        wave_slices: f64,
        phase: f64,
        memory: f64,
        slice: f64,
    }

    impl Program {
        fn new(seed: u64, gain: f64, noise: f64) -> Self {
            let mut random = Coin(seed ^ 0xabcd);
            let drift = (uniform(&mut random) - 0.5) * 0.004;
            let wave = uniform(&mut random) * 0.06;
            // From faster than a slice to slower than the trial, the block's own period among them.
            let wave_slices = 0.7 * 400_f64.powf(uniform(&mut random));
            let phase = uniform(&mut random);
            Self {
                random,
                gain,
                noise,
                drift,
                wave,
                wave_slices,
                phase,
                memory: 0.0,
                slice: 0.0,
            }
        }

        fn run(&mut self, slice: Slice) -> Observation {
            self.slice += 1.0;
            self.memory = 0.6 * self.memory + 0.8 * self.noise * gaussian(&mut self.random);
            let angle = std::f64::consts::TAU * (self.slice / self.wave_slices + self.phase);
            let mut log = self.drift * self.slice + self.wave * angle.sin() + self.memory;
            if slice.arm == Arm::Variant {
                log -= self.gain;
            }
            let work = 1_000 + (self.random.next() % 9_000);
            Observation {
                cpu_ns: (work as f64 * 10_000.0 * log.exp()) as u64,
                work,
                disturbed: false,
            }
        }
    }

    fn uniform(random: &mut Coin) -> f64 {
        (random.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn gaussian(random: &mut Coin) -> f64 {
        let radius = (-2.0 * (1.0 - uniform(random)).ln()).sqrt();
        radius * (std::f64::consts::TAU * uniform(random)).cos()
    }

    fn run(seed: u64, mut observe: impl FnMut(Slice) -> Observation) -> Verdict {
        let mut trial = Trial::new(Config::default(), seed);
        let mut slice = trial.first();
        loop {
            match trial.next(observe(slice)) {
                Step::Run(next) => slice = next,
                Step::Done(verdict) => return verdict,
            }
        }
    }

    fn kept(gain: f64, noise: f64) -> usize {
        let trials = (0..1000_u64).filter(|seed| {
            let mut program = Program::new(*seed, gain, noise);
            run(*seed, |slice| program.run(slice)).kept
        });
        trials.count()
    }

    #[test]
    fn a_thousand_trials_without_a_gain_accept_at_most_one_percent() {
        for noise in [0.01, 0.04, 0.08] {
            let accepted = kept(0.0, noise);
            assert!(accepted <= 10, "{accepted} of 1000 at noise {noise}");
        }
    }

    #[test]
    fn a_gain_of_five_percent_is_found_in_nine_of_ten_trials() {
        let accepted = kept(0.05, 0.04);
        assert!(accepted >= 900, "{accepted} of 1000");
    }

    #[test]
    fn a_loss_is_never_kept() {
        assert_eq!(kept(-0.03, 0.04), 0);
    }

    #[test]
    fn every_block_is_abba_and_both_controls_get_their_blocks() {
        let mut arms = Vec::new();
        let verdict = run(7, |slice| {
            arms.push(slice.arm);
            Observation {
                cpu_ns: 80_000_000,
                work: 1000,
                disturbed: false,
            }
        });
        assert_eq!(
            (verdict.blocks, verdict.dropped, verdict.ground),
            (48, 0, Ground::NoGain)
        );
        for block in arms.chunks(4) {
            assert_eq!((block[0], block[1]), (block[3], block[2]));
            assert_ne!(block[0], block[1]);
            assert!(block.contains(&Arm::Variant));
        }
        let first_is_variant = arms.chunks(4).filter(|block| block[0] == Arm::Variant).count();
        assert!(
            (12..=36).contains(&first_is_variant),
            "the coin lands on both sides: {first_is_variant}"
        );
    }

    #[test]
    fn placebo_and_variant_move_between_blocks_and_have_every_place_alike() {
        let mut trial = Trial::new(Config::default(), 11);
        let mut blocks = [0; PLACEMENTS as usize];
        let observation = Observation {
            cpu_ns: 8,
            work: 1,
            disturbed: false,
        };
        for slice in 0.. {
            let place = trial.placement();
            blocks[place as usize] += usize::from(slice % 4 == 0);
            let done = matches!(trial.next(observation), Step::Done(_));
            assert!(slice % 4 == 3 || trial.placement() == place);
            if done {
                break;
            }
        }
        assert_eq!(blocks, [16; PLACEMENTS as usize]);
    }

    #[test]
    fn a_check_needs_no_placebo_and_a_quarter_of_the_blocks() {
        let mut trial = Trial::new(Config::default().for_check(), 3);
        let mut slice = trial.first();
        for _ in 0..1000 {
            assert_ne!(slice.arm, Arm::Placebo);
            let cpu_ns = if slice.arm == Arm::Variant { 90 } else { 100 };
            let observation = Observation {
                cpu_ns,
                work: 1,
                disturbed: false,
            };
            match trial.next(observation) {
                Step::Run(next) => slice = next,
                Step::Done(verdict) => {
                    assert_eq!((verdict.blocks, verdict.kept), (6, true));
                    return;
                }
            }
        }
        panic!("it never ends");
    }

    #[test]
    fn disturbed_blocks_are_dropped_in_all_arms_alike() {
        let mut count = 0;
        let verdict = run(3, |slice| {
            count += 1;
            // A disturbance that would make the variant look ten times as good.
            let disturbed = count % 8 == 5;
            let factor = if disturbed && slice.arm == Arm::Variant {
                1
            } else {
                10
            };
            Observation {
                cpu_ns: 8_000_000 * factor,
                work: 1000,
                disturbed,
            }
        });
        assert_eq!((verdict.blocks, verdict.kept), (48, false));
        assert!(verdict.over_base.estimate.abs() < 1e-12);
        assert_eq!(verdict.dropped, 47);
    }

    #[test]
    fn an_interruption_drops_the_block_in_progress_and_nothing_else() {
        let mut trial = Trial::new(Config::default(), 5);
        let observation = Observation {
            cpu_ns: 8,
            work: 1,
            disturbed: false,
        };
        for _ in 0..4 * 10 + 2 {
            trial.next(observation);
        }
        trial.interrupt();
        let steps = (1..1000)
            .find(|_| matches!(trial.next(observation), Step::Done(_)))
            .unwrap();
        assert_eq!(steps, 4 * 38);
    }

    #[test]
    fn without_work_or_without_quiet_the_base_is_kept() {
        let starved = run(1, |_| Observation {
            cpu_ns: 1000,
            work: 0,
            disturbed: false,
        });
        assert_eq!((starved.ground, starved.kept), (Ground::Disturbed, false));
        let idle = run(1, |_| Observation {
            cpu_ns: 80_000_000,
            work: 0,
            disturbed: false,
        });
        assert_eq!(
            (idle.ground, idle.dropped),
            (Ground::NotMeasurable, WORKLESS_BLOCKS)
        );
        let noisy = run(1, |_| Observation {
            cpu_ns: 10,
            work: 1,
            disturbed: true,
        });
        assert_eq!((noisy.ground, noisy.kept), (Ground::Disturbed, false));
    }

    #[test]
    fn quantiles_of_student() {
        for (degrees, expect) in [(10.0, 2.228), (23.0, 2.069), (100.0, 1.984)] {
            assert!((student_quantile(degrees) - expect).abs() < 0.002);
        }
    }
}
