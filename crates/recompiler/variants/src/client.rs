//! The command line's side: what can be asked of the daemon's switchboard, and how it is answered.
//!
//! Why so: the verbs `switch`, `inspect PID` and `cache` ask whoever serves the runtimes' socket. Where nobody
//! does, the verb serves it itself for a moment: a runtime whose daemon went away looks for a new one within
//! five seconds, finds the verb, and is back at the base when the verb ends. (A program that was started while
//! no daemon was there has no helper and is found by nobody.)
//!
//! Not here: printing.

use crate::cache::{Listed, Shown};
use crate::error::at;
use crate::heat::mappings::Mappings;
use crate::inspect::{InspectedFunction, Inspection, code_of, inspect_process, reason_text};
use crate::live::{LiveTrial, Subject};
use crate::program::Program;
use crate::recipe::{NotARecipe, Recipe};
use crate::session::{FunctionInfo, Peer, StormReport, read_frame};
use crate::switchboard::{Options, Prepared, Server, Switchboard};
use crate::trial::{Config, Verdict};
use crate::{VariantsError, session};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use tidegate_format::message::{KIND_CLIENT, KIND_CLIENT_REPLY, Reason, encode_opaque};
use tidegate_format::scenario::Scenario;

/// A storm of an hour is a test of its own.
const STORM_LIMIT_S: f64 = 3600.0;
/// The pause between two rounds of a storm: some ten thousand rounds a second.
const STORM_PAUSE: Duration = Duration::from_micros(50);
/// The longest wait for an answer other than a storm's: trying a big program's functions, one by one.
const ANSWER_LIMIT: Duration = Duration::from_mins(30);
/// Below this the switches themselves would be measured.
const SLICE_MS_LEAST: u32 = 20;
/// Above this a trial takes longer than anybody waits.
const SLICE_MS_MOST: u32 = 2000;
/// How long a verb that serves the socket itself waits for the process; runtimes retry within five seconds.
const RECONNECT_LIMIT: Duration = Duration::from_secs(6);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// The connected processes that the caller may command.
    Processes,
    /// What is switchable in a process, and what is not and why.
    Inspect {
        /// The process.
        process: u32,
    },
    /// Compile what is missing, load it, switch.
    Switch {
        /// The process.
        process: u32,
        /// One function, or all.
        function: Option<String>,
        /// `base` or a recipe: a scenario, and which of its pipelines (`memory/1`).
        to: String,
    },
    /// Fault injection: everything back and forth.
    Storm {
        /// The process.
        process: u32,
        /// For how long.
        duration_s: f64,
    },
    /// Try one scenario now: compile and load what is missing, then measure base, placebo and variant in turn, one
    /// function after another. Takes about 40 s a function at the default slice.
    Trial {
        /// The process.
        process: u32,
        /// One function, or all that get a variant.
        function: Option<String>,
        /// A recipe.
        to: String,
        /// Length of a slice; `None` = the default.
        slice_ms: Option<u32>,
        /// Seed of the coin; `None` = from the clock.
        seed: Option<u64>,
    },
    /// The caller's code cache.
    CacheList,
    /// Entries of the caller's code cache, looked into.
    CacheShow {
        /// The beginning of a key.
        key: String,
    },
    /// Make room in the caller's code cache.
    CacheCollect {
        /// Down to so many bytes; `None` = its own bound.
        limit_bytes: Option<u64>,
    },
    /// Check the caller's code cache, and remove what does not hold.
    CacheVerify,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// To [`Command::Processes`].
    Processes {
        /// Process ids and executables.
        processes: Vec<(u32, String)>,
    },
    /// To [`Command::Inspect`].
    Inspect(Inspection),
    /// To [`Command::Switch`].
    Switched {
        /// Slots that were written.
        functions: u32,
        /// For all of them together.
        switch_ns: u64,
        /// Images that were loaded for it.
        loaded: Vec<LoadedVariant>,
        /// Functions that have no variant, and why.
        refused: Vec<(String, String)>,
    },
    /// To [`Command::Storm`].
    Storm {
        /// What it did.
        #[serde(flatten)]
        report: StormReport,
        /// Functions that took no part, and why.
        refused: Vec<(String, String)>,
    },
    /// To [`Command::Trial`].
    Trial {
        /// One verdict per function.
        verdicts: Vec<TrialReport>,
        /// Functions that have no variant, and why.
        refused: Vec<(String, String)>,
    },
    /// To [`Command::CacheList`].
    CacheList {
        /// The entries, the latest use first.
        entries: Vec<Listed>,
    },
    /// To [`Command::CacheShow`].
    CacheShow {
        /// The entries.
        entries: Vec<Shown>,
    },
    /// To [`Command::CacheCollect`].
    CacheCollect {
        /// Entries that went.
        removed: usize,
        /// Bytes that became free.
        freed_bytes: u64,
    },
    /// To [`Command::CacheVerify`].
    CacheVerify {
        /// Entries looked at.
        checked: usize,
        /// Entries that did not hold and were removed.
        removed: Vec<Listed>,
    },
    /// Not done, and why.
    Failed {
        /// In words.
        error: String,
    },
}

/// The verdict on one function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialReport {
    /// The function.
    pub function: String,
    /// The recipe in words: the scenario's name, and which of its pipelines where it is not the first.
    pub scenario: String,
    /// Whether the variant is worth using.
    pub kept: bool,
    /// Cost of the control over cost of the variant, per unit of work; above 1 the variant is cheaper. Of the two
    /// controls the less favourable.
    pub ratio: f64,
    /// Lower and upper end of the 95 % interval of `ratio`.
    pub interval: (f64, f64),
    /// Blocks that counted.
    pub blocks: u32,
    /// Blocks that were dropped.
    pub dropped: u32,
    /// In words.
    pub reason: String,
}

impl TrialReport {
    /// The report of a verdict.
    pub fn new(function: &str, recipe: &Recipe, verdict: &Verdict) -> Self {
        let gain = verdict.gain();
        Self {
            function: function.to_owned(),
            scenario: recipe.to_string(),
            kept: verdict.kept,
            ratio: gain.estimate.exp(),
            interval: (gain.lower.exp(), gain.upper.exp()),
            blocks: verdict.blocks,
            dropped: verdict.dropped,
            reason: verdict.ground.to_string(),
        }
    }
}

impl fmt::Display for TrialReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            function,
            scenario,
            ratio,
            interval: (lower, upper),
            blocks,
            dropped,
            reason,
            kept,
        } = self;
        let word = if *kept { "kept" } else { "base" };
        write!(
            formatter,
            "{function} for {scenario}: {word}, ratio {ratio:.3} [{lower:.3}, {upper:.3}], {blocks} blocks, \
             {dropped} dropped: {reason}"
        )
    }
}

/// One image that was loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadedVariant {
    /// The function.
    pub function: String,
    /// Address of its entry.
    pub address: u64,
    /// Time in the process.
    pub load_ns: u64,
    /// CPU time of the worker; 0 from the cache.
    pub compile_cpu_ms: f64,
}

/// Carries out an encoded [`Command`] for `peer`; gives an encoded [`Answer`].
pub(crate) fn answer(board: &Switchboard, peer: Peer, body: &[u8]) -> Vec<u8> {
    let answer = match serde_json::from_slice(body) {
        Ok(command) => execute(board, peer.user, &command).unwrap_or_else(|error| failed(&error)),
        Err(error) => Answer::Failed {
            error: format!("request not understood: {error}"),
        },
    };
    // Answers are made of strings and numbers.
    serde_json::to_vec(&answer).unwrap_or_default()
}

fn failed(error: &VariantsError) -> Answer {
    Answer::Failed {
        error: error.to_string(),
    }
}

/// Carries out a command with the rights of `user`.
///
/// # Errors
/// [`VariantsError::NotAllowed`] for somebody else's process, and what the switchboard says.
pub fn execute(board: &Switchboard, user: u32, command: &Command) -> Result<Answer, VariantsError> {
    match command {
        Command::Processes => {
            let own = board
                .processes()
                .into_iter()
                .filter(|info| user == 0 || info.peer.user == user);
            Ok(Answer::Processes {
                processes: own.map(|info| (info.peer.process, info.executable)).collect(),
            })
        }
        Command::Inspect { process } => inspect_with(board, user, *process).map(Answer::Inspect),
        Command::Switch {
            process,
            function,
            to,
        } => {
            check_owner(board, user, *process)?;
            switch(board, *process, function.as_deref(), &recipe(to)?)
        }
        Command::Storm { process, duration_s } => {
            check_owner(board, user, *process)?;
            storm(board, *process, *duration_s)
        }
        Command::Trial {
            process,
            function,
            to,
            slice_ms,
            seed,
        } => {
            check_owner(board, user, *process)?;
            let config = Config {
                slice_ms: slice_ms.unwrap_or(Config::default().slice_ms),
                ..Config::default()
            };
            trial(board, *process, function.as_deref(), &recipe(to)?, config, *seed)
        }
        Command::CacheList => Ok(Answer::CacheList {
            entries: board.options().cache(user)?.list()?,
        }),
        Command::CacheShow { key } => Ok(Answer::CacheShow {
            entries: board.options().cache(user)?.show(key)?,
        }),
        Command::CacheCollect { limit_bytes } => {
            let cache = board.options().cache(user)?;
            let limit = limit_bytes.unwrap_or(board.options().cache_limit_bytes);
            let (removed, freed_bytes) = cache.collect_to(limit)?;
            Ok(Answer::CacheCollect { removed, freed_bytes })
        }
        Command::CacheVerify => {
            let (checked, removed) = board.options().cache(user)?.verify()?;
            Ok(Answer::CacheVerify { checked, removed })
        }
    }
}

fn check_owner(board: &Switchboard, user: u32, process: u32) -> Result<(), VariantsError> {
    allow(user, process, board.owner(process)?)
}

fn allow(user: u32, process: u32, owner: u32) -> Result<(), VariantsError> {
    if user == 0 || user == owner {
        Ok(())
    } else {
        Err(VariantsError::NotAllowed { user, process, owner })
    }
}

/// The user of any process.
fn owner_of(process: u32) -> Result<u32, VariantsError> {
    let folder = PathBuf::from(format!("/proc/{process}"));
    let data = fs::metadata(&folder).map_err(at(&folder))?;
    Ok(data.uid())
}

fn recipe(text: &str) -> Result<Recipe, VariantsError> {
    text.parse()
        .map_err(|error: NotARecipe| VariantsError::Remote(error.to_string()))
}

/// Loads placebo and variant of the wanted functions, then tries one after another.
fn trial(
    board: &Switchboard,
    process: u32,
    function: Option<&str>,
    recipe: &Recipe,
    config: Config,
    seed: Option<u64>,
) -> Result<Answer, VariantsError> {
    let scenario = recipe.scenario;
    if !Scenario::TUNABLE.contains(&scenario) {
        return Err(VariantsError::Remote(format!("`{scenario}` is nothing to try")));
    }
    if !(SLICE_MS_LEAST..=SLICE_MS_MOST).contains(&config.slice_ms) {
        let text = format!("a slice lasts between {SLICE_MS_LEAST} and {SLICE_MS_MOST} ms");
        return Err(VariantsError::Remote(text));
    }
    let wanted = |info: &FunctionInfo| function.is_none_or(|name| name == info.name);
    let mut refused = sort_out(board.prepare(process, Scenario::Placebo, wanted)?).1;
    refused.extend(sort_out(board.prepare_recipe(process, recipe, wanted)?).1);
    let seed = seed.unwrap_or_else(clock_seed);
    let mut verdicts = Vec::new();
    for info in board.functions(process)?.into_iter().filter(wanted) {
        if info.loaded.contains(&Scenario::Placebo) && info.loaded.contains(&scenario) {
            let subject = Subject {
                process,
                function: info.index,
                scenario,
            };
            let mut live = LiveTrial::new(subject, config, seed ^ u64::from(info.index));
            let verdict = live.run(board, || true, || false)?;
            verdicts.extend(verdict.map(|verdict| TrialReport::new(&info.name, recipe, &verdict)));
        }
    }
    if let (Some(name), true) = (function, verdicts.is_empty() && refused.is_empty()) {
        return Err(VariantsError::UnknownFunction {
            process,
            function: name.to_owned(),
        });
    }
    Ok(Answer::Trial { verdicts, refused })
}

fn clock_seed() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.as_nanos() as u64)
}

fn switch(
    board: &Switchboard,
    process: u32,
    function: Option<&str>,
    recipe: &Recipe,
) -> Result<Answer, VariantsError> {
    let prepared = if recipe.scenario == Scenario::Base {
        Vec::new()
    } else {
        board.prepare_recipe(process, recipe, |info| {
            function.is_none_or(|name| name == info.name)
        })?
    };
    let (loaded, refused) = sort_out(prepared);
    if let (Some(name), Some((_, why))) = (function, refused.first()) {
        return Err(VariantsError::NoVariant(format!("{name}: {why}")));
    }
    let (functions, switch_ns) = board.switch(process, function, recipe.scenario)?;
    Ok(Answer::Switched {
        functions,
        switch_ns,
        loaded,
        refused,
    })
}

/// Loads the placebo and every scenario that has a pipeline, then lets the runtime switch among all of them.
fn storm(board: &Switchboard, process: u32, duration_s: f64) -> Result<Answer, VariantsError> {
    if !(0.0..=STORM_LIMIT_S).contains(&duration_s) {
        return Err(VariantsError::Remote(format!(
            "a storm lasts between 0 and {STORM_LIMIT_S} seconds"
        )));
    }
    let mut refused = Vec::new();
    let scenarios = [
        Scenario::Placebo,
        Scenario::Cpu,
        Scenario::Memory,
        Scenario::Neighbour,
    ];
    for scenario in scenarios {
        let (_, without) = sort_out(board.prepare(process, scenario, |_| true)?);
        if scenario == Scenario::Placebo {
            refused = without;
        }
    }
    let report = board.storm(process, Duration::from_secs_f64(duration_s), STORM_PAUSE)?;
    Ok(Answer::Storm { report, refused })
}

fn sort_out(prepared: Vec<Prepared>) -> (Vec<LoadedVariant>, Vec<(String, String)>) {
    let mut loaded = Vec::new();
    let mut refused = Vec::new();
    for Prepared { name, outcome, .. } in prepared {
        match outcome {
            Ok((image, cpu)) => loaded.push(LoadedVariant {
                function: name,
                address: image.address,
                load_ns: image.load_ns,
                compile_cpu_ms: cpu.as_secs_f64() * 1000.0,
            }),
            Err(error) => refused.push((name, error.to_string())),
        }
    }
    (loaded, refused)
}

fn inspect_with(board: &Switchboard, user: u32, process: u32) -> Result<Inspection, VariantsError> {
    if !board.is_connected(process) {
        allow(user, process, owner_of(process)?)?;
        return inspect_process(process);
    }
    check_owner(board, user, process)?;
    let mut inspection = inspect_process(process)?;
    inspection.connected = Some(true);
    let infos = board.functions(process)?;
    let loaded = board.loaded_code(process)?;
    let info = board
        .processes()
        .into_iter()
        .find(|info| info.peer.process == process);
    let reason = info.map_or(Reason::None, |info| info.reason);
    inspection.reason = reason_text(reason);
    let mapped = Mappings::of(process);
    let mut libraries = BTreeSet::new();
    inspection.functions = infos
        .into_iter()
        .map(|info| InspectedFunction {
            library: mapped
                .file_at(info.address)
                .filter(|file| !mapped.is_executable(file))
                .inspect(|file| _ = libraries.insert((*file).clone()))
                .map_or(String::new(), |file| file.path.clone()),
            name: info.name,
            hash: info.hash.to_string(),
            address: info.address,
            blob_bytes: info.blob_bytes,
            current: info.current.name().to_owned(),
            loaded: info
                .loaded
                .iter()
                .map(|scenario| scenario.name().to_owned())
                .collect(),
            code: code_of(&loaded, info.index),
            reason: reason_text(info.reason),
        })
        .collect();
    for library in libraries {
        // A library that cannot be read any more has told what it has; only what it has not is missing.
        if let Ok(program) = Program::read(&library.real_path(process)) {
            let name = |what: String| format!("{what} of {}", library.path);
            let refused = program.refused.into_iter();
            inspection
                .refused
                .extend(refused.map(|(what, why)| (name(what), why)));
            inspection.blob_bytes += program.section_bytes.0;
        }
    }
    Ok(inspection)
}

/// Asks the daemon; where none serves the socket, serves it for this one command.
///
/// # Errors
/// [`VariantsError::Remote`] with the daemon's words, and the errors of [`execute`].
pub fn ask(options: Options, command: &Command) -> Result<Answer, VariantsError> {
    if let Ok(stream) = UnixStream::connect(&options.socket_path) {
        return ask_daemon(&stream, command);
    }
    if let Command::Inspect { process } = command {
        return inspect_process(*process).map(Answer::Inspect);
    }
    let server = Server::start(options)?;
    if let Command::Switch { process, .. } | Command::Storm { process, .. } | Command::Trial { process, .. } =
        command
    {
        wait_for(server.board(), *process);
    }
    execute(server.board(), rustix::process::geteuid().as_raw(), command)
}

fn wait_for(board: &Switchboard, process: u32) {
    let end = Instant::now() + RECONNECT_LIMIT;
    while !board.is_connected(process) && Instant::now() < end {
        thread::sleep(Duration::from_millis(50));
    }
}

fn ask_daemon(stream: &UnixStream, command: &Command) -> Result<Answer, VariantsError> {
    let process = session::peer_of(stream)?.process;
    let socket = |source| VariantsError::Socket { process, source };
    // Commands are made of strings and numbers.
    let body = serde_json::to_vec(command).unwrap_or_default();
    let mut bytes = vec![0; body.len() + 16];
    let length = encode_opaque(KIND_CLIENT, &body, &mut bytes)
        .map_err(|source| VariantsError::Message { process, source })?;
    (&mut &*stream)
        .write_all(bytes.get(..length).unwrap_or(&[]))
        .map_err(socket)?;
    let limit = match command {
        Command::Storm { duration_s, .. } => {
            // What is no number is the daemon's to refuse.
            let storm = Duration::try_from_secs_f64(duration_s.clamp(0.0, STORM_LIMIT_S));
            ANSWER_LIMIT + storm.unwrap_or_default()
        }
        _ => ANSWER_LIMIT,
    };
    let frame = read_frame(stream, process, limit)?;
    if frame.kind != KIND_CLIENT_REPLY {
        return Err(VariantsError::Answer {
            process,
            request: "command",
        });
    }
    let answer =
        serde_json::from_slice(&frame.body).map_err(|error| VariantsError::Remote(error.to_string()))?;
    match answer {
        Answer::Failed { error } => Err(VariantsError::Remote(error)),
        answer => Ok(answer),
    }
}
