//! From arguments to a running daemon, and back out.

use super::actor::Actor;
use super::answer::Answers;
use super::calendar;
use super::coder::Coder;
use super::core::Core;
use super::fast::FastLane;
use super::graph;
use super::models;
use super::night::Night;
use super::recorder::Recorder;
use super::sampler::Sampler;
use super::{Message, QUEUE};
use crate::cli::RunArguments;
use crate::failure::{Failure, Outcome, Status};
use crate::out::{note, remark};
use crate::place::{Folders, store as store_folder};
use crate::policy_file::PolicyFile;
use crate::remember::StoreBackend;
use crate::{doctor, remember, watch};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_default;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tidegate_dashboard::{Assembler, ServeConfig, ServeError, Server, Shared, serve};
use tidegate_engine::{Config, Sabotage, State};
use tidegate_history::{HistoryError, Store, StoreConfig};
use tidegate_plan::policy::{self, Policy};
use tidegate_telemetry::raise_descriptor_limit;
use tidegate_types::{Event, Mode};

/// `tidegate run`.
pub(super) fn run(arguments: &RunArguments) -> Outcome {
    start_log();
    let folders = Folders::of(&arguments.places);
    let file = PolicyFile::new(arguments.policy.clone());
    let text = file.load().map_err(Failure::usage)?;
    let policy = policy::parse(&text, &file.name()).map_err(Failure::usage)?;
    let ceiling = arguments.mode.map_or(Mode::Enforce, Mode::from);
    for folder in [&folders.data, &folders.run] {
        make_folder(folder)?;
    }
    own_folder(&folders.run)?;
    let store = open_store(&folders.data)?;
    let interval = Duration::from_secs_f64(arguments.interval);
    raise_descriptor_limit();
    let collector = watch::collector(&policy, interval)?;
    let report = doctor::of(&collector, &folders);
    let (outbox, inbox) = sync_channel(QUEUE);
    catch_signals(outbox.clone())?;
    let mut actor = Actor::new(&folders, outbox.clone());
    if ceiling == Mode::Enforce && grants_acting(&policy) {
        actor.start()?;
    }
    let coder = Coder::start(&folders, report.layout.clone());
    let mut state = restored_state(&store, engine_config(ceiling));
    let model = models::furnish(&mut state, &store);
    let state = Arc::new(Mutex::new(state));
    let shared = Shared::new();
    let calendar = calendar::start(&folders.data, arguments.holidays.as_deref(), outbox.clone())?;
    let answers = Arc::new(Answers {
        calendar,
        state: state.clone(),
        store: StoreBackend::new(store.reader().clone()),
        outbox: outbox.clone(),
        board: coder.board(),
    });
    let server = open_doors(arguments.port, &folders, &shared, &answers)?;
    greet(&report, &folders, &server, ceiling, arguments);
    let mut first = vec![started(&store), Event::PolicyChanged(text)];
    first.extend(model);
    first.extend(graph::declared_event(&arguments.graph));
    outbox
        .send(Message::Events(first))
        .map_err(Failure::environment)?;
    let members = graph::start(outbox.clone()).map_err(Failure::environment)?;
    let night = Night::start(&folders.data, store.reader().clone(), outbox.clone());
    let mut core = Core {
        night: night.map_err(Failure::environment)?,
        state,
        recorder: Recorder::start(store, folders.data.clone()).map_err(Failure::environment)?,
        actor,
        coder,
        assembler: assembler(&report, &folders.data),
        shared,
        policy: file,
        graph: arguments.graph.clone(),
        ceiling,
        paused: false,
        started: Instant::now(),
        checkpointed: None,
        fast: FastLane::start(report.layout.clone(), outbox.clone()).map_err(Failure::environment)?,
        sampler: Sampler::start(collector, outbox, members).map_err(Failure::environment)?,
    };
    core.run(&inbox);
    server.stop();
    note!("tidegate has ended; its data is in {}", folders.data.display());
    Ok(())
}

/// The log on standard error. Where it cannot be written, the daemon goes on without.
fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TIDEGATE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false)
        .with_ansi(crate::table::colours_on(&std::io::stderr()))
        .with_target(false)
        .try_init();
}

fn make_folder(folder: &Path) -> Outcome {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(folder);
    made.map_err(|error| {
        Failure::environment(format!("{}: {error}", folder.display()))
            .hint("choose other folders with --data and --run-dir, or run with sudo")
    })
}

/// Refuses a folder that somebody else could put other sockets and another journal into.
fn own_folder(folder: &Path) -> Outcome {
    use std::os::unix::fs::MetadataExt as _;
    let own = rustix::process::geteuid().as_raw();
    let is_ours = |metadata: std::fs::Metadata| {
        let is_open = metadata.is_dir() && metadata.mode() & 0o002 != 0;
        [own, 0].contains(&metadata.uid()) && !is_open
    };
    let seen = [std::fs::symlink_metadata(folder), std::fs::metadata(folder)];
    if seen.into_iter().all(|metadata| metadata.is_ok_and(is_ours)) {
        return Ok(());
    }
    let words = format!("{}: others may write there", folder.display());
    Err(Failure::environment(words).hint("choose another folder with --run-dir"))
}

fn open_store(data: &Path) -> Result<Store, Failure> {
    let config = StoreConfig::of_this_boot().map_err(Failure::environment)?;
    let (store, report) = Store::open(&store_folder(data), config).map_err(|error| match error {
        HistoryError::Busy { .. } => Failure::new(Status::AlreadyRunning, error)
            .hint("another tidegate records there; stop it, or choose another folder with --data"),
        other => Failure::environment(other).hint("choose another folder with --data"),
    })?;
    for damage in &report.damage {
        tracing::warn!("{}: {}", damage.path.display(), damage.what);
    }
    Ok(store)
}

/// SIGHUP reads the policy again; SIGINT and SIGTERM end the daemon, and a second one is the kernel's: what is held
/// then, the guardian gives back.
fn catch_signals(outbox: SyncSender<Message>) -> Outcome {
    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        register_conditional_default(signal, stopping.clone()).map_err(Failure::environment)?;
    }
    let mut signals =
        signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(Failure::environment)?;
    let listen = move || {
        for signal in &mut signals {
            let message = if signal == SIGHUP {
                Message::Reload(None)
            } else {
                stopping.store(true, Ordering::SeqCst);
                Message::Stop
            };
            if outbox.send(message).is_err() {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new()
        .name("tidegate-signal".to_owned())
        .spawn(listen);
    thread.map(|_| ()).map_err(Failure::environment)
}

fn grants_acting(policy: &Policy) -> bool {
    let sections = policy
        .classes
        .values()
        .chain([&policy.default])
        .chain(policy.apps.iter().map(|app| &app.rules));
    sections.into_iter().any(|rules| {
        rules.mode == Some(Mode::Enforce) || rules.modes.values().any(|mode| *mode == Mode::Enforce)
    })
}

/// Fault injection for benches comes by the environment, never by a flag that a person could meet.
fn engine_config(ceiling: Mode) -> Config {
    let shift = std::env::var("TIDEGATE_SABOTAGE_SHIFT_S")
        .ok()
        .and_then(|text| text.parse().ok());
    if let Some(shift_s) = shift {
        tracing::warn!("sabotage: every expected onset is moved by {shift_s} s");
    }
    let sabotage = Sabotage {
        shift_onsets_s: shift.unwrap_or(0.0),
    };
    Config {
        mode_ceiling: ceiling,
        protected: own_groups(),
        sabotage,
        ..Config::default()
    }
}

/// The groups of this process and of its caller's shell.
fn own_groups() -> BTreeMap<Arc<str>, Arc<str>> {
    let caller = rustix::process::getppid()
        .map(|pid| (pid.as_raw_pid().cast_unsigned(), "the caller's shell is in it"));
    let processes = [Some((std::process::id(), "tidegate itself is in it")), caller];
    let groups = processes.into_iter().flatten().flat_map(|(pid, reason)| {
        let paths = tidegate_act::groups_of(pid).unwrap_or_default();
        paths
            .into_iter()
            .map(move |path| (Arc::from(path), Arc::from(reason)))
    });
    groups.collect()
}

/// What was learned before, where it can be read; the settings are today's.
fn restored_state(store: &Store, config: Config) -> State {
    let checkpoint = store.reader().latest_checkpoint().ok().flatten();
    let Some(checkpoint) = checkpoint else {
        return State::new(config);
    };
    match State::restore(&checkpoint.state) {
        Ok(state) => state.with_config(config, *checkpoint.boot_id == *store.config().boot_id),
        Err(error) => {
            tracing::warn!("{error}");
            State::new(config)
        }
    }
}

/// Begins with what the page showed last, so that a restart does not empty it.
fn assembler(report: &tidegate_telemetry::DoctorReport, data: &Path) -> Assembler {
    let doctor = serde_json::to_value(report).unwrap_or_default();
    let mut assembler = Assembler::new(doctor::host(report), doctor);
    if let Some(view) = remember::last_view(data) {
        assembler.resume(&view);
    }
    assembler
}

fn started(store: &Store) -> Event {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Event::Started {
        boot_id: store.config().boot_id.clone(),
        cpus: u16::try_from(cpus).unwrap_or(u16::MAX),
    }
}

fn open_doors(
    port: u16,
    folders: &Folders,
    shared: &Shared,
    answers: &Arc<Answers>,
) -> Result<Server, Failure> {
    let listen = (port != 0).then(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let config = ServeConfig {
        listen,
        socket: Some(folders.socket()),
    };
    serve(&config, shared.clone(), answers.clone(), answers.clone()).map_err(|error| match error {
        ServeError::PortInUse(_) => {
            Failure::environment(error).hint("choose another port with --port, or 0 for no page")
        }
        ServeError::AlreadyRunning(_) => Failure::new(Status::AlreadyRunning, error)
            .hint("stop it, or choose another folder with --run-dir"),
        ServeError::Listen { ref source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            Failure::chain(Status::Environment, &error)
                .hint("choose a port from 1024 on with --port, or run with sudo")
        }
        ServeError::Listen { .. } => Failure::chain(Status::Environment, &error)
            .hint("choose another port with --port, or 0 for no page"),
        other => Failure::chain(Status::Environment, &other),
    })
}

/// In plain words, what it sees and where things are.
fn greet(
    report: &tidegate_telemetry::DoctorReport,
    folders: &Folders,
    server: &Server,
    ceiling: Mode,
    arguments: &RunArguments,
) {
    remark(format_args!("{}", doctor::text(report)));
    let policy = arguments.policy.as_ref();
    match (policy, ceiling) {
        (None, _) => note!("mode: observe (no policy: nothing on this host is changed)"),
        (Some(file), mode) => note!("mode: at most {mode:?}, as granted by {}", file.display()),
    }
    note!(
        "data: {}   socket: {}",
        folders.data.display(),
        folders.socket().display()
    );
    if let Some(address) = server.address() {
        note!("page: http://{address}");
    }
    note!("tidegate is ready");
}
