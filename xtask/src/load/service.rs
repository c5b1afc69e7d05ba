//! The service that the requests go to: a queue, some threads, and work that only burns CPU.

use super::arrivals::{Arrival, Segment};
use anyhow::{Context, Result};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Options of `cargo xtask load`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// JSON list of segments
    #[arg(long)]
    segments: PathBuf,
    /// Where the latencies go, one `arrival_s,latency_ms` per line
    #[arg(long)]
    out: PathBuf,
    /// Second zero of the segments, as Unix milliseconds
    #[arg(long)]
    start_ms: u64,
    /// Mean cost of a request in microseconds of CPU
    #[arg(long)]
    service_us: f64,
    /// Spins per microsecond on this machine
    #[arg(long)]
    spins_per_us: f64,
    /// Threads that serve
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// One served request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Latency {
    /// Intended arrival, seconds since the start of the load.
    pub(crate) arrival_s: f64,
    /// From there to its completion.
    pub(crate) latency_ms: f64,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arrival>,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

impl Shared {
    /// The next request; none when there will be no more.
    fn take(&self) -> Option<Arrival> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(arrival) = queue.waiting.pop_front() {
                return Some(arrival);
            }
            if queue.closed {
                return None;
            }
            queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn put(&self, arrival: Arrival) {
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .waiting
            .push_back(arrival);
        self.arrived.notify_one();
    }

    fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.arrived.notify_all();
    }
}

/// Serves all segments, then writes the latencies.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let text = std::fs::read_to_string(&arguments.segments)
        .with_context(|| format!("cannot read {}", arguments.segments.display()))?;
    let segments: Vec<Segment> = serde_json::from_str(&text).context("the segments are not as expected")?;
    let arrivals: Vec<Arrival> = segments.iter().flat_map(Segment::arrivals).collect();
    let zero = zero_instant(arguments.start_ms)?;
    let shared = Shared::default();
    let spins = arguments.service_us * arguments.spins_per_us;
    let mut latencies = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..arguments.threads)
            .map(|_| scope.spawn(|| serve(&shared, zero, spins)))
            .collect();
        for arrival in arrivals {
            let due = zero + Duration::from_secs_f64(arrival.at_s);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            shared.put(arrival);
        }
        shared.close();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_default())
            .collect::<Vec<_>>()
    });
    latencies.sort_by(|left, right| left.arrival_s.total_cmp(&right.arrival_s));
    write_latencies(&arguments.out, &latencies)
}

/// Second zero on the monotonic clock. It may have passed while a slow host started this process: what should have
/// arrived since is then late, and charged as such.
fn zero_instant(start_ms: u64) -> Result<Instant> {
    let start = UNIX_EPOCH + Duration::from_millis(start_ms);
    match start.duration_since(SystemTime::now()) {
        Ok(ahead) => Ok(Instant::now() + ahead),
        Err(past) => Instant::now()
            .checked_sub(past.duration())
            .context("the start lies before the boot"),
    }
}

fn serve(shared: &Shared, zero: Instant, spins: f64) -> Vec<Latency> {
    let mut latencies = Vec::new();
    while let Some(arrival) = shared.take() {
        spin((spins * arrival.cost) as u64);
        let done_s = zero.elapsed().as_secs_f64();
        latencies.push(Latency {
            arrival_s: arrival.at_s,
            latency_ms: (done_s - arrival.at_s) * 1e3,
        });
    }
    latencies
}

/// A chain of dependent shifts: no memory, no vector unit, nothing to optimise away.
#[inline(never)]
pub(super) fn spin(count: u64) {
    let mut state = 88_172_645_463_325_252_u64;
    for _ in 0..count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    std::hint::black_box(state);
}

/// Spins per microsecond: the best of many short tries, because a contended try only looks slower.
pub(crate) fn calibrate() -> f64 {
    const SPINS: u64 = 100_000;
    let fastest_us = (0..100)
        .map(|_| {
            let start = Instant::now();
            spin(SPINS);
            start.elapsed().as_secs_f64() * 1e6
        })
        .fold(f64::INFINITY, f64::min);
    SPINS as f64 / fastest_us
}

fn write_latencies(path: &Path, latencies: &[Latency]) -> Result<()> {
    let mut text = String::with_capacity(latencies.len() * 16);
    for latency in latencies {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:.4},{:.3}", latency.arrival_s, latency.latency_ms);
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Reads what a load wrote.
pub(crate) fn read_latencies(path: &Path) -> Result<Vec<Latency>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines()
        .enumerate()
        .map(|(index, line)| {
            let parse = || {
                let (arrival, latency) = line.split_once(',')?;
                Some(Latency {
                    arrival_s: arrival.parse().ok()?,
                    latency_ms: latency.parse().ok()?,
                })
            };
            parse().with_context(|| format!("{}:{}: not `arrival_s,latency_ms`", path.display(), index + 1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_survive_the_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("latencies");
        let latencies = [
            Latency {
                arrival_s: 1.25,
                latency_ms: 3.5,
            },
            Latency {
                arrival_s: 2.0,
                latency_ms: 0.125,
            },
        ];
        write_latencies(&path, &latencies).expect("written");
        assert_eq!(read_latencies(&path).expect("read"), latencies);
        std::fs::write(&path, "1,2\nx\n").expect("written");
        assert!(
            read_latencies(&path)
                .expect_err("bad line")
                .to_string()
                .contains(":2:")
        );
    }

    #[test]
    fn a_start_that_has_passed_makes_requests_late() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let segment = Segment {
            start_s: 0.0,
            duration_s: 1.0,
            seed: 1,
            base_per_s: 50.0,
            burst_per_s: 50.0,
            bursts: Vec::new(),
        };
        let (segments, out) = (folder.path().join("segments"), folder.path().join("out"));
        std::fs::write(&segments, serde_json::to_vec(&[segment]).expect("JSON")).expect("written");
        let now_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_millis() as u64;
        let arguments = Arguments {
            segments,
            out: out.clone(),
            start_ms: now_ms - 5000,
            service_us: 1.0,
            spins_per_us: 1.0,
            threads: 1,
        };
        run(&arguments).expect("served");
        let latencies = read_latencies(&out).expect("read");
        assert!(
            !latencies.is_empty() && latencies.iter().all(|latency| latency.latency_ms > 3500.0),
            "{latencies:?}"
        );
    }

    #[test]
    fn requests_that_pile_up_are_charged_from_their_arrival() {
        let shared = Shared::default();
        for at_s in [0.0, 0.001] {
            shared.put(Arrival { at_s, cost: 1.0 });
        }
        shared.close();
        let zero = Instant::now()
            .checked_sub(Duration::from_secs(1))
            .expect("the machine is up for a second");
        let latencies = serve(&shared, zero, 1.0);
        assert_eq!(latencies.len(), 2);
        assert!(
            latencies.iter().all(|latency| latency.latency_ms > 990.0),
            "{latencies:?}"
        );
    }
}
