//! Verbs of the recompiler: cc, c++, inspect, switch, cache.

use super::print_json;
use crate::cli::{CacheAction, CacheArguments, InspectArguments, SwitchArguments};
use crate::failure::{Failure, Outcome};
use crate::out::{note, say};
use crate::place::Folders;
use crate::table::{bytes, print};
use std::convert::Infallible;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;
use tidegate_drivers::DriverError;
use tidegate_variants::VariantsError;
use tidegate_variants::client::{Answer, Command, ask};
use tidegate_variants::inspect::{InspectedFunction, Inspection, inspect_file, inspect_process};
use tidegate_variants::switchboard::Options;

/// Becomes the tool behind a verb; comes back only where it could not.
pub(crate) type Driver = fn(&[OsString]) -> Result<Infallible, DriverError>;

/// The driver behind a verb's name.
pub(crate) fn driver(name: &str) -> Option<Driver> {
    match name {
        "cc" => Some(tidegate_drivers::cc),
        "c++" => Some(tidegate_drivers::cxx),
        "cargo" => Some(tidegate_drivers::cargo::cargo),
        _ => None,
    }
}

/// `tidegate cc` and its like.
pub(crate) fn compile(driver: Driver, arguments: &[OsString]) -> ExitCode {
    let Err(error) = driver(arguments);
    note!("{}", Failure::environment(&error).hint(error.hint()));
    ExitCode::from(crate::failure::Status::Environment as u8)
}

/// Where to look when a process cannot be switched.
const LOOK: &str = "`tidegate inspect PID` tells what is switchable, and what is not and why";

fn failure(error: VariantsError) -> Failure {
    let hint = match &error {
        VariantsError::NotConnected { .. } | VariantsError::UnknownFunction { .. } => Some(LOOK),
        VariantsError::File { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            Some("run the command as the owner of the file or the process, or with sudo")
        }
        VariantsError::NotAllowed { .. } => Some("run the command as the owner of the process, or with sudo"),
        _ => None,
    };
    let failure = Failure::environment(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn ask_at(folders: &Folders, command: &Command) -> Result<Answer, Failure> {
    let host = Options::for_this_host().map_err(failure)?;
    let options = Options {
        socket_path: folders.runtime_socket(),
        cache_folder: folders.cache.join("variants"),
        ..host
    };
    match ask(options, command).map_err(failure)? {
        Answer::Failed { error } => Err(Failure::finding(error).hint(LOOK)),
        answer => Ok(answer),
    }
}

/// `tidegate inspect`.
pub(crate) fn inspect(arguments: &InspectArguments) -> Outcome {
    let inspection = match arguments.target.parse::<u32>() {
        Ok(pid) => match ask_at(
            &Folders::of(&arguments.places),
            &Command::Inspect { process: pid },
        ) {
            Ok(Answer::Inspect(inspection)) => inspection,
            _ => inspect_process(pid).map_err(failure)?,
        },
        Err(_) => inspect_file(Path::new(&arguments.target)).map_err(failure)?,
    };
    if arguments.format.json {
        return print_json(&inspection);
    }
    if arguments.perf_map {
        print_perf_map(&inspection);
        return Ok(());
    }
    print_inspection(&inspection);
    Ok(())
}

fn print_inspection(inspection: &Inspection) {
    say!("{}", inspection.executable);
    if !inspection.reason.is_empty() {
        say!("not switchable: {}", inspection.reason);
    }
    let rows: Vec<Vec<String>> = inspection
        .functions
        .iter()
        .map(|function| {
            vec![
                name_of(function),
                bytes(Some(f64::from(function.blob_bytes))),
                function.current.clone(),
                function.loaded.join(" "),
                function.reason.clone(),
            ]
        })
        .collect();
    print(
        &["function", ">blob", "runs", "loaded", "not switchable because"],
        &rows,
    );
    for (name, reason) in &inspection.refused {
        say!("left as it was: {name}: {reason}");
    }
}

/// What `perf` reads from `/tmp/perf-PID.map`: start and length in hexadecimal digits, and a name (Linux,
/// `tools/perf/Documentation/jit-interface.txt`).
fn print_perf_map(inspection: &Inspection) {
    for function in &inspection.functions {
        for code in &function.code {
            say!(
                "{:x} {:x} {}.{}",
                code.address,
                code.bytes,
                function.name,
                code.scenario
            );
        }
    }
}

/// The function's name, with its library where it is in one.
fn name_of(function: &InspectedFunction) -> String {
    match function.library.rsplit('/').next() {
        Some("") | None => function.name.clone(),
        Some(library) => format!("{} ({library})", function.name),
    }
}

/// `tidegate switch`.
pub(crate) fn switch(arguments: &SwitchArguments) -> Outcome {
    let command = match (arguments.storm, &arguments.to) {
        (Some(duration_s), _) => Command::Storm {
            process: arguments.pid,
            duration_s,
        },
        (None, Some(to)) if arguments.trial => Command::Trial {
            process: arguments.pid,
            function: arguments.function.clone(),
            to: to.clone(),
            slice_ms: arguments.slice_ms,
            seed: None,
        },
        (None, Some(to)) => Command::Switch {
            process: arguments.pid,
            function: arguments.function.clone(),
            to: to.clone(),
        },
        (None, None) => {
            return Err(Failure::usage("say where to switch").hint("--to base, --to cpu, or --storm 10"));
        }
    };
    let answer = ask_at(&Folders::of(&arguments.places), &command)?;
    if arguments.format.json {
        print_json(&answer)?;
    } else {
        print_answer(&answer);
    }
    match &answer {
        Answer::Storm { report, .. } if report.failures > 0 => Err(Failure::finding(format!(
            "{} of {} switches failed",
            report.failures, report.switches
        ))),
        Answer::Switched {
            functions: 0,
            refused,
            ..
        } if !refused.is_empty() => Err(Failure::finding("nothing was switched")),
        _ => Ok(()),
    }
}

fn print_answer(answer: &Answer) {
    match answer {
        Answer::Switched {
            functions,
            switch_ns,
            refused,
            ..
        } => {
            say!("{functions} functions switched in {switch_ns} ns");
            print_refused(refused);
        }
        Answer::Storm { report, refused } => {
            say!(
                "{} functions, {} switches, {} failures",
                report.functions,
                report.switches,
                report.failures
            );
            print_refused(refused);
        }
        Answer::Trial { verdicts, refused } => {
            for verdict in verdicts {
                say!("{verdict}");
            }
            print_refused(refused);
        }
        _ => {}
    }
}

fn print_refused(refused: &[(String, String)]) {
    for (function, why) in refused {
        say!("without a variant: {function}: {why}");
    }
}

/// `tidegate cache`.
pub(crate) fn cache(arguments: &CacheArguments) -> Outcome {
    let user = rustix::process::geteuid().as_raw();
    let folder = arguments
        .cache
        .clone()
        .unwrap_or_else(|| crate::place::default_cache().join("variants"));
    let options = Options {
        cache_folder: folder,
        ..Options::for_this_host().map_err(failure)?
    };
    let cache = options.cache(user).map_err(failure)?;
    match &arguments.action {
        CacheAction::Show { key } => {
            let entries = cache.show(key).map_err(failure)?;
            if entries.is_empty() {
                return Err(Failure::finding(format!("no entry's key begins with `{key}`")));
            }
            if arguments.format.json {
                return print_json(&entries);
            }
            entries.iter().for_each(print_shown);
            Ok(())
        }
        CacheAction::Gc { limit } => {
            let limit_bytes = limit.map_or(options.cache_limit_bytes, |mib| mib.saturating_mul(1 << 20));
            let (removed, freed_bytes) = cache.collect_to(limit_bytes).map_err(failure)?;
            if arguments.format.json {
                return print_json(&serde_json::json!({ "removed": removed, "freed_bytes": freed_bytes }));
            }
            say!(
                "{removed} entries removed, {} freed",
                bytes(Some(freed_bytes as f64))
            );
            Ok(())
        }
        CacheAction::Ls => {
            let entries = cache.list().map_err(failure)?;
            if arguments.format.json {
                return print_json(&entries);
            }
            print_entries(&entries);
            Ok(())
        }
        CacheAction::Verify => {
            let (checked, removed) = cache.verify().map_err(failure)?;
            if arguments.format.json {
                print_json(&serde_json::json!({ "checked": checked, "removed": removed }))?;
            } else {
                say!("{checked} entries checked, {} removed", removed.len());
                print_entries(&removed);
            }
            match removed.len() {
                0 => Ok(()),
                count => Err(Failure::finding(format!(
                    "{count} entries were damaged; they are compiled again when needed"
                ))),
            }
        }
    }
}

/// One entry, a line per fact.
fn print_shown(shown: &tidegate_variants::cache::Shown) {
    let entry = &shown.entry;
    say!("{}", entry.key);
    say!("  state        {}", entry.state);
    say!("  size         {}", bytes(Some(entry.bytes as f64)));
    if let Some(label) = &entry.label {
        say!("  function     {}", label.function);
        say!("  made for     {} on {}", label.scenario, label.cpu_model);
        say!("  first for    {}", label.executable);
        say!("  compiled in  {:.1} ms of CPU", label.compile_cpu_ms);
    }
    if let Some(image) = &shown.image {
        say!("  identity     {}", image.function_hash);
        let (text, constants, unwind) = (image.text_bytes, image.constant_bytes, image.unwind_bytes);
        say!("  bytes        {text} of code, {constants} of constants, {unwind} of unwind information");
        say!("  filled in    {} places when loaded", image.relocations);
        let needs = if image.cpu_features.is_empty() {
            "nothing beyond the program's own".to_owned()
        } else {
            image.cpu_features.join(" ")
        };
        say!("  CPU needs    {needs}");
    }
}

fn print_entries(entries: &[tidegate_variants::cache::Listed]) {
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| {
            let label = entry.label.as_ref();
            vec![
                entry.key.chars().take(12).collect(),
                label.map_or_else(|| "-".to_owned(), |label| label.function.clone()),
                label.map_or_else(|| "-".to_owned(), |label| label.scenario.clone()),
                bytes(Some(entry.bytes as f64)),
                entry.state.clone(),
            ]
        })
        .collect();
    print(&["key", "function", "scenario", ">size", "state"], &rows);
}
