//! The worker's command line.

use crate::sandbox::{self, User};
use tidegate_format::scenario::Scenario;

const USAGE: &str = "usage: tidegate-worker [--user UID:GID] [--cpu-seconds N] [--fault abort|hang|memory] \
[--serve | --record | --passes SCENARIO[/CANDIDATE] FUNCTION | --version]";

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Task {
    /// One request on the standard input, one answer on the standard output.
    Once,
    /// Orders until the input ends, a fork each.
    Serve,
    /// As [`Once`](Self::Once), but the answer is LLVM's record of the compile.
    Record,
    /// IR on the standard input, the same after a scenario's passes on the standard output.
    Passes {
        scenario: Scenario,
        candidate: u8,
        function: String,
    },
    /// The version of pipelines and LLVM.
    Version,
}

/// A fault to inject behind the sandbox, where LLVM's own would happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Abort,
    Hang,
    Memory,
}

impl Fault {
    /// Lets it happen.
    pub(crate) fn happen(self) {
        match self {
            Self::Abort => std::process::abort(),
            Self::Hang => loop {
                std::hint::spin_loop();
            },
            Self::Memory => {
                let mut kept: Vec<Vec<u8>> = Vec::new();
                loop {
                    // Reserved, not written: the bound is on addresses, and the host keeps its memory.
                    kept.push(Vec::with_capacity(256 << 20));
                    std::hint::black_box(&kept);
                }
            }
        }
    }
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) user: User,
    pub(crate) cpu_seconds: u64,
    pub(crate) fault: Option<Fault>,
    pub(crate) task: Task,
}

/// Reads the arguments; the error says what is possible.
pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        user: User::default(),
        cpu_seconds: sandbox::CPU_SECONDS_MAX,
        fault: None,
        task: Task::Once,
    };
    read(arguments, &mut options).ok_or_else(|| USAGE.to_owned())?;
    Ok(options)
}

fn read(mut arguments: impl Iterator<Item = String>, options: &mut Options) -> Option<()> {
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--user" => options.user = sandbox::user_from_text(&arguments.next()?)?,
            "--cpu-seconds" => options.cpu_seconds = arguments.next()?.parse().ok()?,
            "--fault" => {
                options.fault = Some(match arguments.next()?.as_str() {
                    "abort" => Fault::Abort,
                    "hang" => Fault::Hang,
                    "memory" => Fault::Memory,
                    _ => return None,
                });
            }
            "--serve" => options.task = Task::Serve,
            "--record" => options.task = Task::Record,
            "--version" => options.task = Task::Version,
            "--passes" => {
                let what = arguments.next()?;
                let (scenario, candidate) = what.split_once('/').unwrap_or((&what, "0"));
                options.task = Task::Passes {
                    scenario: Scenario::from_name(scenario)?,
                    candidate: candidate.parse().ok()?,
                    function: arguments.next()?,
                };
            }
            _ => return None,
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let check = |text: &str, expect: Option<Task>| {
            let arguments = text.split_whitespace().map(str::to_owned);
            assert_eq!(
                parse(arguments).ok().map(|options| options.task),
                expect,
                "{text}"
            );
        };
        check("", Some(Task::Once));
        check("--user 1:2 --serve", Some(Task::Serve));
        check(
            "--passes cpu/1 f",
            Some(Task::Passes {
                scenario: Scenario::Cpu,
                candidate: 1,
                function: "f".to_owned(),
            }),
        );
        check("--user 1", None);
        check("--other 1:1", None);
        check("--fault fire", None);
    }
}
