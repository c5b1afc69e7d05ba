//! A program that stays and measures on request: a line to its standard input, a number from its standard output.
//!
//! Why so: arms of a comparison that all stay can take turns of some milliseconds, so that they suffer the same
//! neighbours; a program that is started anew brings its start with it.

use anyhow::{Context, Result, bail};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The running program; it is ended with this value.
#[derive(Debug)]
pub(crate) struct Resident {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Resident {
    /// Starts the program, in its own folder, with its runtime pointed to `socket`.
    pub(crate) fn start(program: &Path, arguments: &[&str], socket: &Path) -> Result<Self> {
        let folder = program.parent().filter(|folder| folder.is_absolute());
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(folder.unwrap_or(Path::new(".")))
            .env("TIDEGATE_RUNTIME_SOCKET", socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let (orders, answers) = child
            .stdin
            .take()
            .zip(child.stdout.take())
            .context("no pipes to the program")?;
        Ok(Self {
            child,
            orders,
            answers: BufReader::new(answers),
        })
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Keeps it on one core.
    pub(crate) fn pin(&self, core: usize) -> Result<()> {
        let mut cores = CpuSet::new();
        cores.set(core);
        sched_setaffinity(Some(Pid::from_child(&self.child)), &cores).context("cannot pin the program")
    }

    /// Gives an order that is not answered.
    pub(crate) fn order(&mut self, order: &str) -> Result<()> {
        writeln!(self.orders, "{order}")
            .and_then(|()| self.orders.flush())
            .context("the program takes no orders")
    }

    /// Asks and gives the answer's words.
    pub(crate) fn ask(&mut self, order: &str) -> Result<String> {
        self.order(order)?;
        self.answer().with_context(|| format!("no answer to `{order}`"))
    }

    /// Waits for the answer to an order.
    pub(crate) fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line).context("no answer")? == 0 {
            bail!("the program ended: {:?}", self.child.wait());
        }
        Ok(line.trim().to_owned())
    }

    /// Asks for a number; a negative one is the program's word for a wrong result.
    pub(crate) fn measure(&mut self, order: &str) -> Result<f64> {
        let answer = self.ask(order)?;
        let value: f64 = answer
            .parse()
            .with_context(|| format!("the program answered `{answer}` to `{order}`"))?;
        if value < 0.0 {
            bail!("the program found a wrong result at `{order}`");
        }
        Ok(value)
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
