//! Verbs that act through the daemon: pause, resume, event.

use crate::cli::{EventAction, EventArguments, PlacesOnly};
use crate::failure::{Failure, Outcome};
use crate::place::Folders;
use crate::source::client_failure;
use crate::when;
use serde_json::json;
use tidegate_dashboard::Done;
use tidegate_dashboard::client::{Client, ClientError};

fn post(folders: &Folders, target: &str, body: &serde_json::Value) -> Outcome {
    let done: Done = Client::new(&folders.socket())
        .post(target, body)
        .map_err(|error| client_failure(&error))?;
    eprintln!("{}", done.text);
    Ok(())
}

/// `tidegate pause`: also without a daemon that answers, by the file that the guardian watches.
pub(crate) fn pause(arguments: &PlacesOnly) -> Outcome {
    let folders = Folders::of(&arguments.places);
    let disable = folders.disable();
    std::fs::write(&disable, b"paused\n").map_err(|error| {
        Failure::environment(format!("{}: {error}", disable.display())).hint("run the command with sudo")
    })?;
    let told = Client::new(&folders.socket()).post::<_, Done>("/api/v1/pause", &json!({}));
    match told {
        Ok(done) => eprintln!("{}", done.text),
        Err(ClientError::NotRunning { .. }) => eprintln!("paused; no daemon is running"),
        Err(error) => return Err(client_failure(&error)),
    }
    Ok(())
}

/// `tidegate resume`.
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
    post(&folders, "/api/v1/resume", &json!({}))
}

/// `tidegate event add`.
pub(crate) fn event(arguments: &EventArguments) -> Outcome {
    let EventAction::Add {
        name,
        at,
        app,
        lasting,
        every,
        cores,
    } = &arguments.action;
    let body = json!({
        "name": name,
        "app": app,
        "at_utc_ms": when::moment_utc_ms(at, when::now_utc_ms())?,
        "duration_s": when::duration_s(lasting)?,
        "every_s": every.as_deref().map(when::duration_s).transpose()?,
        "cores": cores,
    });
    post(&Folders::of(&arguments.places), "/api/v1/events", &body)
}
