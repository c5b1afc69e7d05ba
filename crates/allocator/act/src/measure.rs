//! How long the kernel takes to take a knob up: the numbers behind [`tidegate_types::Knob::time_to_effect_s`].
//!
//! In groups of its own, spinning children are limited or outweighed at random phases of the enforcement period, and
//! their CPU time is read every millisecond. It is a measurement, not a test: it takes some seconds of one CPU.

use crate::group::Group;
use crate::knob;
use crate::{ActError, Layout};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tidegate_types::KnobValue;

/// What was measured for one change of one knob.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// Which change.
    pub change: &'static str,
    /// Seconds from the end of the write until it was in effect, sorted.
    pub seconds: Vec<f64>,
    /// Seconds that the write itself took, sorted.
    pub write_seconds: Vec<f64>,
}

impl Effect {
    /// The quantile `share` (0 to 1) of the time to effect.
    pub fn quantile(&self, share: f64) -> f64 {
        quantile(&self.seconds, share)
    }
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((share * last as f64).round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}

/// Own groups below the root of a layout, with a spinning child in each; both go when it is dropped.
struct Spinners {
    layout: Layout,
    groups: Vec<(PathBuf, Group, Child)>,
}

impl Spinners {
    fn new(layout: &Layout, prefix: &str, names: &[&str], cpu: usize) -> Result<Self, ActError> {
        let mut spinners = Self {
            layout: layout.clone(),
            groups: Vec::new(),
        };
        for name in names {
            let path = format!("/{prefix}-{name}");
            let folder = layout.folder(&path);
            fs::create_dir(&folder).map_err(|error| ActError::io(&folder, "make a group", error))?;
            let id = fs::metadata(&folder)
                .map_err(|error| ActError::io(&folder, "look at", error))?
                .ino();
            let group = Group::open(layout, &path, id).map_err(|fault| {
                ActError::io(
                    &folder,
                    "open the group",
                    std::io::Error::other(format!("{fault:?}")),
                )
            })?;
            let script = format!(
                "echo $$ > {}/cgroup.procs; exec taskset -c {cpu} sh -c 'while :; do :; done'",
                folder.display()
            );
            let child = Command::new("sh")
                .args(["-c", &script])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn();
            let child = child.map_err(|error| ActError::io(&folder, "start a spinner", error))?;
            spinners.groups.push((folder, group, child));
        }
        for index in 0..names.len() {
            spinners.set(index, &HEAVY)?;
        }
        std::thread::sleep(Duration::from_millis(300));
        Ok(spinners)
    }

    /// CPU seconds that spinner `index` has used.
    fn used(&self, index: usize) -> f64 {
        let path = format!("/proc/{}/schedstat", self.groups[index].2.id());
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split(' ')
            .next()
            .and_then(|word| word.parse::<f64>().ok())
            .unwrap_or(0.0)
            / 1e9
    }

    /// Sets a knob of `index`; the seconds that the writes took.
    fn set(&self, index: usize, value: &KnobValue) -> Result<f64, ActError> {
        let (folder, group, _) = &self.groups[index];
        let fault = |fault| ActError::io(folder, "set a knob", std::io::Error::other(format!("{fault:?}")));
        let hierarchy = self.layout.hierarchy();
        let now = knob::read(group, hierarchy, value.knob()).map_err(fault)?;
        let target = knob::encode(value, &now);
        let begin = Instant::now();
        for (file, text) in knob::steps(value.knob(), &now, &target) {
            group.write(file, &text).map_err(fault)?;
        }
        Ok(begin.elapsed().as_secs_f64())
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        for (folder, _, child) in &mut self.groups {
            let _ = child.kill();
            let _ = child.wait();
            for _ in 0..100 {
                if fs::remove_dir(&folder).is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// Other work on this host must not be in the way.
const HEAVY: KnobValue = KnobValue::CpuWeight {
    weight: 10_000,
    idle: false,
};

fn limit(cores: f64) -> KnobValue {
    KnobValue::CpuMax {
        quota_us: Some((cores * 1e5) as u64),
        period_us: 100_000,
        burst_us: 0,
    }
}

/// Spreads the moments of writing over the enforcement period.
fn wait_for_phase(round: u32) {
    std::thread::sleep(Duration::from_millis(400 + u64::from(round) * 37 % 100));
}

/// Time without progress above the old rate: what is missing of `seconds` at `rate`, in time at that rate.
fn raise(spinners: &Spinners, round: u32) -> Result<(f64, f64), ActError> {
    spinners.set(0, &limit(0.1))?;
    wait_for_phase(round);
    let write = spinners.set(0, &limit(1.0))?;
    let (begin, used) = (Instant::now(), spinners.used(0));
    // The first 5 ms of CPU time after the write come at the full rate from the moment that it has effect.
    while spinners.used(0) - used < 0.005 && begin.elapsed().as_secs_f64() < 1.0 {
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok((
        (begin.elapsed().as_secs_f64() - (spinners.used(0) - used)).max(0.0),
        write,
    ))
}

/// CPU time above the new allowance, as time at the old rate.
fn lower(spinners: &Spinners, round: u32) -> Result<(f64, f64), ActError> {
    const WATCHED_S: f64 = 0.4;
    spinners.set(0, &limit(1.0))?;
    wait_for_phase(round);
    let write = spinners.set(0, &limit(0.1))?;
    let (begin, used) = (Instant::now(), spinners.used(0));
    std::thread::sleep(Duration::from_secs_f64(WATCHED_S));
    let excess = (spinners.used(0) - used) - 0.1 * begin.elapsed().as_secs_f64();
    Ok(((excess / 0.9).max(0.0), write))
}

/// The protected one's missing CPU time in the window after the other went idle.
fn outweigh(spinners: &Spinners, round: u32) -> Result<(f64, f64), ActError> {
    const WATCHED_S: f64 = 0.2;
    spinners.set(1, &HEAVY)?;
    wait_for_phase(round);
    let write = spinners.set(
        1,
        &KnobValue::CpuWeight {
            weight: 100,
            idle: true,
        },
    )?;
    let (begin, used) = (Instant::now(), spinners.used(1));
    std::thread::sleep(Duration::from_secs_f64(WATCHED_S));
    // An idle group still gets about 3 of 1027 parts; what is above came before the effect, at half the CPU.
    let excess = (spinners.used(1) - used) - 0.003 * begin.elapsed().as_secs_f64();
    Ok(((excess / 0.5).max(0.0), write))
}

/// Measures each change `rounds` times, in groups of the caller's own below the root of `layout`, pinned to `cpu`.
pub fn time_to_effect(
    layout: &Layout,
    prefix: &str,
    cpu: usize,
    rounds: u32,
) -> Result<Vec<Effect>, ActError> {
    type Change = fn(&Spinners, u32) -> Result<(f64, f64), ActError>;
    let changes: [(&'static str, &[&str], Change); 3] = [
        ("raise a limit", &["one"], raise),
        ("lower a limit", &["one"], lower),
        ("make a group idle", &["one", "two"], outweigh),
    ];
    let mut effects = Vec::new();
    for (change, names, measure) in changes {
        let spinners = Spinners::new(layout, prefix, names, cpu)?;
        let mut effect = Effect {
            change,
            seconds: Vec::new(),
            write_seconds: Vec::new(),
        };
        for round in 0..rounds {
            let (seconds, write) = measure(&spinners, round)?;
            effect.seconds.push(seconds);
            effect.write_seconds.push(write);
        }
        effect.seconds.sort_by(f64::total_cmp);
        effect.write_seconds.sort_by(f64::total_cmp);
        effects.push(effect);
    }
    Ok(effects)
}
