//! A program that follows a shape of demand: so much work arrives per second, piece by piece, on the boot clock.
//!
//! Work that could not be served piles up for as long as its patience, and is dropped beyond that: with a long patience
//! the load is open, with a short one closed. Work is CPU time, or reads from a file past the page cache. What began
//! when is written down, so that a watcher can be judged by it.

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Work is looked at this often, in seconds.
const QUANTUM_S: f64 = 0.02;
/// Bytes of one read, and how they must be aligned to pass by the page cache.
const READ_BYTES: usize = 64 * 1024;
const ALIGNED: usize = 4096;

/// Options of `cargo xtask shape`.
#[derive(clap::Args)]
pub(crate) struct ShapeArguments {
    /// JSON list of pieces
    #[arg(long)]
    pieces: PathBuf,
    /// Where the beginning of each piece is written, in seconds of the boot clock
    #[arg(long)]
    out: PathBuf,
    /// Read from this file; else the work is CPU time
    #[arg(long)]
    file: Option<PathBuf>,
    /// Threads that share the work
    #[arg(long, default_value_t = 1)]
    threads: u32,
}

/// A stretch of even demand.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "units stand last in names")]
pub(crate) struct Piece {
    /// Begin on the boot clock.
    pub(crate) at_s: f64,
    /// CPU seconds, or reads, that arrive per second; none ends the program.
    pub(crate) per_s: Option<f64>,
    /// Seconds for which arrived work is kept.
    pub(crate) patience_s: f64,
}

/// Seconds since boot.
pub(crate) fn boot_s() -> f64 {
    seconds_of(ClockId::Boottime)
}

fn seconds_of(clock: ClockId) -> f64 {
    let now = clock_gettime(clock);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// Follows the pieces to their end.
pub(crate) fn run(arguments: &ShapeArguments) -> Result<()> {
    let path = &arguments.pieces;
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let pieces: Vec<Piece> =
        serde_json::from_str(&text).with_context(|| format!("{} is not as expected", path.display()))?;
    let mut begins = Vec::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..arguments.threads)
            .map(|number| {
                let (pieces, file) = (&pieces, arguments.file.as_deref());
                scope.spawn(move || Worker::new(file, number)?.follow(pieces, f64::from(arguments.threads)))
            })
            .collect();
        for worker in workers {
            match worker.join() {
                Ok(done) => begins = done?,
                Err(_) => anyhow::bail!("a thread of the load died"),
            }
        }
        Ok(())
    })?;
    let lines: Vec<String> = begins.iter().map(|at_s: &f64| format!("{at_s:.3}")).collect();
    let path = &arguments.out;
    std::fs::write(path, lines.join("\n")).with_context(|| format!("cannot write {}", path.display()))
}

/// Reads what [`run`] wrote.
pub(crate) fn begins(path: &Path) -> Result<Vec<f64>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let number = |line: &str| {
        line.parse()
            .with_context(|| format!("{}: `{line}`", path.display()))
    };
    text.lines().map(number).collect()
}

/// One thread of the load.
struct Worker {
    file: Option<(File, u64)>,
    buffer: Vec<u8>,
    place: u64,
}

impl Worker {
    fn new(file: Option<&Path>, number: u32) -> Result<Self> {
        let open = |path: &Path| -> Result<(File, u64)> {
            let mut options = File::options();
            options
                .read(true)
                .custom_flags(rustix::fs::OFlags::DIRECT.bits().cast_signed());
            let file = options
                .open(path)
                .with_context(|| format!("cannot open {}", path.display()))?;
            let blocks = file.metadata()?.len() / READ_BYTES as u64;
            anyhow::ensure!(blocks > 0, "{} is too small", path.display());
            Ok((file, blocks))
        };
        Ok(Self {
            file: file.map(open).transpose()?,
            buffer: vec![0; READ_BYTES + ALIGNED],
            place: u64::from(number) * 7_919,
        })
    }

    /// Follows the pieces; gives when each began.
    fn follow(mut self, pieces: &[Piece], threads: f64) -> Result<Vec<f64>> {
        let mut begins = Vec::new();
        let (mut owed, mut last_s) = (0.0, boot_s());
        loop {
            let now_s = boot_s();
            let place = pieces.partition_point(|piece| piece.at_s <= now_s);
            begins.resize(place, now_s);
            let Some(piece) = place.checked_sub(1).map(|last| pieces[last]) else {
                wait(pieces.first().map_or(0.0, |first| first.at_s - now_s));
                last_s = boot_s();
                continue;
            };
            let Some(per_s) = piece.per_s else {
                return Ok(begins);
            };
            let share = per_s / threads;
            owed = (owed + share * (now_s - last_s)).min(share * piece.patience_s);
            last_s = now_s;
            owed -= self.work(owed)?;
            if owed <= self.least() {
                wait(QUANTUM_S - now_s.rem_euclid(QUANTUM_S));
            }
        }
    }

    /// Less than this is not begun.
    fn least(&self) -> f64 {
        if self.file.is_some() { 1.0 } else { 1e-4 }
    }

    /// Does a part of what is owed, and says how much.
    fn work(&mut self, owed: f64) -> Result<f64> {
        if owed <= self.least() {
            return Ok(0.0);
        }
        let Some((file, blocks)) = &self.file else {
            let part_s = owed.min(QUANTUM_S);
            let until_s = seconds_of(ClockId::ThreadCPUTime) + part_s;
            while seconds_of(ClockId::ThreadCPUTime) < until_s {
                super::service::spin(2000);
            }
            return Ok(part_s);
        };
        let skip = self.buffer.as_ptr().align_offset(ALIGNED);
        self.place = self.place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let offset = (self.place >> 33) % blocks * READ_BYTES as u64;
        file.read_exact_at(&mut self.buffer[skip..skip + READ_BYTES], offset)
            .context("cannot read")?;
        Ok(1.0)
    }
}

fn wait(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds.clamp(0.0, 1.0)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_followed_and_their_beginnings_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (pieces, out) = (folder.path().join("pieces"), folder.path().join("out"));
        let now_s = boot_s();
        let piece = |at_s, per_s| Piece {
            at_s: now_s + at_s,
            per_s,
            patience_s: 0.05,
        };
        let shape = [piece(0.0, Some(0.1)), piece(0.05, Some(1.0)), piece(0.1, None)];
        std::fs::write(&pieces, serde_json::to_vec(&shape).expect("JSON")).expect("written");
        let arguments = ShapeArguments {
            pieces,
            out: out.clone(),
            file: None,
            threads: 1,
        };
        run(&arguments).expect("followed");
        let begins = begins(&out).expect("read");
        assert_eq!(begins.len(), 3);
        assert!(
            begins
                .iter()
                .zip(&shape)
                .all(|(begin_s, piece)| *begin_s + 0.001 > piece.at_s),
            "written to the millisecond"
        );
    }

    #[test]
    fn reads_pass_by_the_page_cache_or_say_what_is_wrong() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("file");
        std::fs::write(&path, [1]).expect("written");
        // Some file systems refuse such reads; either way the file is named.
        let refused = Worker::new(Some(&path), 0).map(|_| ()).expect_err("too small");
        assert!(refused.to_string().contains("file"), "{refused}");
    }
}
