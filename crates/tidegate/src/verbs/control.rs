//! Verbs that act through the daemon: pause, resume, event.

use super::print_json;
use crate::cli::{EventAction, EventArguments, Format, PlacesOnly};
use crate::failure::{Failure, Outcome};
use crate::out::note;
use crate::place::Folders;
use crate::source::{Source, client_failure};
use crate::table::{number, print};
use crate::when;
use serde_json::json;
use tidegate_dashboard::client::{Client, ClientError};
use tidegate_dashboard::{Done, EventRow};

fn post(folders: &Folders, target: &str, body: &serde_json::Value) -> Outcome {
    let done: Done = Client::new(&folders.socket())
        .post(target, body)
        .map_err(|error| client_failure(&error))?;
    note!("{}", done.text);
    Ok(())
}

/// `tidegate pause`: also without a daemon that answers, by the file that the guardian watches.
pub(crate) fn pause(arguments: &PlacesOnly) -> Outcome {
    let folders = Folders::of(&arguments.places);
    let disable = folders.disable();
    std::fs::write(&disable, b"paused\n").map_err(|error| {
        Failure::environment(format!("{}: {error}", disable.display())).hint("run the command with sudo")
    })?;
    tell(&folders, "/api/v1/pause", "paused; no daemon is running")
}

/// Tells the daemon; where none runs, what was done without it is enough.
fn tell(folders: &Folders, target: &str, alone: &str) -> Outcome {
    let told = Client::new(&folders.socket()).post::<_, Done>(target, &json!({}));
    match told {
        Ok(done) => note!("{}", done.text),
        Err(ClientError::NotRunning { .. }) => note!("{alone}"),
        Err(error) => return Err(client_failure(&error)),
    }
    Ok(())
}

/// `tidegate resume`: also without a daemon, so that the next one acts again.
pub(crate) fn resume(arguments: &PlacesOnly) -> Outcome {
    let folders = Folders::of(&arguments.places);
    match std::fs::remove_file(folders.disable()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(
                Failure::environment(format!("{}: {error}", folders.disable().display()))
                    .hint("run the command with sudo"),
            );
        }
        _ => {}
    }
    tell(
        &folders,
        "/api/v1/resume",
        "no longer paused; no daemon is running",
    )
}

/// `tidegate event`.
pub(crate) fn event(arguments: &EventArguments) -> Outcome {
    let folders = Folders::of(&arguments.places);
    match &arguments.action {
        EventAction::Add { .. } => post(
            &folders,
            "/api/v1/events",
            &announcement(&arguments.action, when::now_utc_ms())?,
        ),
        EventAction::Rm { name } => post(&folders, "/api/v1/events/withdraw", &json!({ "name": name })),
        EventAction::Ls { format } => list_events(&folders, *format),
    }
}

/// What the daemon is told of an event. One that comes once and is over would never be seen again.
fn announcement(action: &EventAction, now_utc_ms: i64) -> Result<serde_json::Value, Failure> {
    let EventAction::Add {
        name,
        at,
        app,
        lasting,
        every,
        cron,
        zone,
        cores,
    } = action
    else {
        return Ok(json!({}));
    };
    let at_utc_ms = match at {
        Some(at) => when::future_utc_ms(at, zone.as_deref(), now_utc_ms)?,
        None => now_utc_ms,
    };
    let duration_s = when::duration_s(lasting)?;
    let every_s = every.as_deref().map(when::duration_s).transpose()?;
    let schedule = match (cron, every_s) {
        (Some(cron), _) => Some(cron.clone()),
        (None, Some(every_s)) => when::cron_of(at_utc_ms, every_s, zone.as_deref())?,
        (None, None) => None,
    };
    let end_utc_ms = at_utc_ms.saturating_add((duration_s * 1e3) as i64);
    if schedule.is_none() && every_s.is_none() && end_utc_ms <= now_utc_ms {
        let end = when::local(end_utc_ms);
        return Err(Failure::usage(format!("`{name}` was over at {end}"))
            .hint("write a moment that lies ahead with --at, or how it repeats with --every or --cron"));
    }
    let zone = zone
        .clone()
        .or_else(|| schedule.as_ref().and_then(|_| when::system_zone()));
    Ok(json!({
        "name": name,
        "app": app,
        "at_utc_ms": at_utc_ms,
        "duration_s": duration_s,
        "every_s": every_s.filter(|_| schedule.is_none()),
        "cores": cores,
        "schedule": schedule,
        "zone": zone,
    }))
}

fn list_events(folders: &Folders, format: Format) -> Outcome {
    let rows = Source::open(folders)?.events()?;
    if format.json {
        return print_json(&rows);
    }
    let row = |event: &EventRow| {
        vec![
            when::local(event.next_utc_ms),
            event.name.clone(),
            event.app.clone().unwrap_or_else(|| "-".to_owned()),
            event
                .duration_s
                .map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.0} s")),
            number(event.cores, 2),
            event.place.clone().unwrap_or_else(|| "announced".to_owned()),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    print(&["next", "event", "app", ">lasts", ">cores", "by"], &rows);
    Ok(())
}
