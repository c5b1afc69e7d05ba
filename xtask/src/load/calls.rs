//! Two programs of a chain: the front works, then calls the back over a loopback socket, and the back works.

use super::shape::boot_s;
use anyhow::{Context, Result};
use clap::Subcommand;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the front waits for the back's port.
const PATIENCE: Duration = Duration::from_secs(30);

/// Options of `cargo xtask calls`.
#[derive(clap::Args)]
pub(crate) struct CallsArguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Works for a while after each call, and writes when
    Back {
        /// Where its port is written
        #[arg(long)]
        port: PathBuf,
        /// Where the beginnings of its work are written, in seconds of the boot clock
        #[arg(long)]
        out: PathBuf,
        /// Seconds of work per call
        #[arg(long)]
        works_s: f64,
    },
    /// Works at given moments, and calls the back so long after the beginning of each
    Front {
        /// Where the back's port is written
        #[arg(long)]
        port: PathBuf,
        /// Moments on the boot clock
        #[arg(long, value_delimiter = ',')]
        at_s: Vec<f64>,
        /// Seconds of work before each call
        #[arg(long)]
        works_s: f64,
        /// Seconds from the beginning of the work to the call
        #[arg(long)]
        lag_s: f64,
    },
}

/// Plays the role to its end.
pub(crate) fn run(arguments: &CallsArguments) -> Result<()> {
    match &arguments.role {
        Role::Back { port, out, works_s } => back(port, out, *works_s),
        Role::Front {
            port,
            at_s,
            works_s,
            lag_s,
        } => front(port, at_s, *works_s, *lag_s),
    }
}

fn back(port: &Path, out: &Path, works_s: f64) -> Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
    let number = listener.local_addr()?.port().to_string();
    // Renamed into place, so that nobody reads half a number.
    let written = port.with_extension("new");
    std::fs::write(&written, number).with_context(|| format!("cannot write {}", written.display()))?;
    std::fs::rename(&written, port).with_context(|| format!("cannot write {}", port.display()))?;
    let (mut calls, _) = listener.accept().context("nobody called")?;
    let mut file = std::fs::File::create(out).with_context(|| format!("cannot make {}", out.display()))?;
    while matches!(calls.read(&mut [0]), Ok(1)) {
        writeln!(file, "{:.3}", boot_s()).with_context(|| format!("cannot write {}", out.display()))?;
        spin_until(boot_s() + works_s);
    }
    Ok(())
}

fn front(port: &Path, at_s: &[f64], works_s: f64, lag_s: f64) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let number = loop {
        match std::fs::read_to_string(port) {
            Ok(number) => break number,
            Err(error) if Instant::now() > deadline => {
                return Err(error).with_context(|| format!("cannot read {}", port.display()));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let mut back = std::net::TcpStream::connect(format!("127.0.0.1:{number}")).context("cannot call")?;
    for at_s in at_s {
        sleep_until(*at_s);
        spin_until(at_s + works_s);
        sleep_until(at_s + lag_s);
        back.write_all(&[1]).context("the back is gone")?;
    }
    // The call stays open until the last work is done.
    sleep_until(boot_s() + 2.0 * lag_s);
    Ok(())
}

fn sleep_until(at_s: f64) {
    std::thread::sleep(Duration::from_secs_f64((at_s - boot_s()).max(0.0)));
}

fn spin_until(at_s: f64) {
    while boot_s() < at_s {
        super::service::spin(2000);
    }
}
