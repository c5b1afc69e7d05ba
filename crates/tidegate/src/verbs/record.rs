//! Verbs on the record: replay, dump, import.

use super::print_json;
use crate::cli::{DumpArguments, ImportArguments, ReplayArguments};
use crate::failure::{Failure, Outcome, Status};
use crate::out::{self, note, say};
use crate::place::{Folders, store as store_folder};
use crate::when;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Write as _};
use tidegate_history::{DumpFormat, DumpQuery, HistoryError, Reader, StoreConfig, import_csv};
use tidegate_types::AppName;

fn reader(places: &crate::cli::Places) -> Result<Reader, Failure> {
    let folder = store_folder(&Folders::of(places).data);
    if !folder.is_dir() {
        return Err(
            Failure::environment(format!("there is no history at {}", folder.display()))
                .hint("run `tidegate run` or `tidegate import` first, or name the folder with --data"),
        );
    }
    Ok(Reader::open(&folder))
}

/// `tidegate replay`.
pub(crate) fn replay(arguments: &ReplayArguments) -> Outcome {
    let now = when::now_utc_ms();
    let since = when::moment_utc_ms(&arguments.since, now)?;
    let reader = reader(&arguments.places)?;
    let report = tidegate_replay::run(&reader, since..now + 1).map_err(Failure::environment)?;
    if arguments.format.json {
        print_json(&report)?;
    } else {
        say!(
            "{} ticks from tick {} on, {} left out; {} plans compared, {} equal, {} with something to do",
            report.ticks,
            report.from_tick,
            report.skipped_ticks,
            report.plans_compared,
            report.plans_equal,
            report.plans_with_content
        );
    }
    match &report.first_difference {
        Some(difference) => Err(Failure::finding(format!(
            "the plans differ first at tick {}: recorded {} replayed {}",
            difference.tick, difference.recorded, difference.replayed
        ))),
        None if report.holds() => Ok(()),
        None => Err(Failure::finding("there was nothing to compare").hint("choose an earlier --since")),
    }
}

/// `tidegate dump`.
pub(crate) fn dump(arguments: &DumpArguments) -> Outcome {
    let now = when::now_utc_ms();
    let query = DumpQuery {
        utc_ms: when::moment_utc_ms(&arguments.since, now)?..now + 1,
        apps: arguments.app.iter().map(|name| AppName::new(name)).collect(),
        format: if arguments.format.json {
            DumpFormat::JsonLines
        } else {
            DumpFormat::Csv
        },
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let dumped = tidegate_history::dump(&reader(&arguments.places)?, &query, &mut out);
    match dumped {
        // Whoever read it has seen enough.
        Err(HistoryError::Io { source, .. }) if source.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::chain(Status::Environment, &error)),
        Ok(_) => out
            .flush()
            .or_else(|error| out::failure(&error).map_or(Ok(()), Err)),
    }
}

/// `tidegate import`.
pub(crate) fn import(arguments: &ImportArguments) -> Outcome {
    let input: Box<dyn BufRead> = if arguments.file.as_os_str() == "-" {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        let file = File::open(&arguments.file)
            .map_err(|error| Failure::environment(format!("{}: {error}", arguments.file.display())))?;
        Box::new(BufReader::new(file))
    };
    let folder = store_folder(&Folders::of(&arguments.places).data);
    let report =
        import_csv(&folder, StoreConfig::default().max_bytes, input).map_err(|error| match error {
            HistoryError::Busy { .. } => {
                Failure::new(Status::AlreadyRunning, error).hint("wait until the other import has ended")
            }
            HistoryError::Line { .. } | HistoryError::Import(_) => {
                Failure::usage(error).hint("nothing was imported; mend the file and import again")
            }
            error => Failure::chain(Status::Environment, &error)
                .hint("nothing was imported; choose another folder with --data, or run with sudo"),
        })?;
    note!(
        "{} lines of {} apps imported, {} of them replaced by later lines",
        report.lines,
        report.apps,
        report.replaced
    );
    Ok(())
}
