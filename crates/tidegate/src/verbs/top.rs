//! `tidegate top`: the present, redrawn every two seconds.

use super::{print_json, read};
use crate::cli::TopArguments;
use crate::failure::Outcome;
use crate::out::{put, say};
use crate::place::Folders;
use crate::source::Source;
use crate::table::{bytes, number, percent};
use crate::when;
use std::io::{IsTerminal, Write as _};
use std::time::Duration;
use tidegate_dashboard::View;

const REDRAW: Duration = Duration::from_secs(2);

/// Prints once with `--once`, `--json` or into a pipe; else redraws until interrupted.
pub(crate) fn top(arguments: &TopArguments) -> Outcome {
    let source = Source::open(&Folders::of(&arguments.places))?;
    if arguments.format.json {
        return print_json(&source.view()?);
    }
    let once = arguments.once || !std::io::stdout().is_terminal();
    loop {
        let view = source.view()?;
        if !once {
            put!("\u{1b}[H\u{1b}[2J");
        }
        draw(&view);
        let _ = std::io::stdout().flush();
        if once {
            return Ok(());
        }
        std::thread::sleep(REDRAW);
    }
}

fn draw(view: &View) {
    let paused = if view.paused { ", paused" } else { "" };
    say!(
        "{}  {:?}{paused}  {} apps  {}",
        view.host.name,
        view.mode,
        view.apps_total,
        when::local(view.made_utc_ms)
    );
    say!(
        "cpu {} of {} cores, waiting {}   memory {} of {}, waiting {}   io waiting {}   tidegate {} cores {}",
        number(view.now.cpu_busy_cores, 2),
        number(view.now.cpu_capacity_cores, 2),
        percent(view.now.cpu_waiting_ratio),
        bytes(view.now.memory_used_bytes),
        bytes(view.now.memory_total_bytes),
        percent(view.now.memory_waiting_ratio),
        percent(view.now.io_waiting_ratio),
        number(view.self_cost.cpu_cores, 3),
        bytes(view.self_cost.memory_bytes),
    );
    say!();
    read::print_map(&view.map.rows);
    say!();
    read::print_apps(&view.apps, view.apps_total as usize);
}
