//! Cron tables: `/etc/crontab`, `/etc/cron.d/*` and the tables of users. Pure: text in, jobs and findings out.

use super::calendar::{Calendar, Rules, Set};
use jiff::tz::TimeZone;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
pub(super) const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// Words before a command that are not what it is about.
const PRELUDE: [&str; 12] = [
    "test", "[", "command", "cd", "exec", "nice", "ionice", "chronic", "flock", "env", "time", "/bin/sh",
];

/// One line of a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Job {
    pub(super) line: usize,
    pub(super) calendar: Calendar,
    /// The five fields as they were written.
    pub(super) expression: String,
    pub(super) user: Option<String>,
    /// File name of the program, without its arguments.
    pub(super) program: String,
}

/// What a table holds.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) jobs: Vec<Job>,
    pub(super) findings: Vec<(usize, String)>,
}

/// One field: numbers, names, ranges, steps and lists.
fn field(text: &str, low: u8, high: u8, names: &[&str]) -> Result<Set, String> {
    let mut set = Set::default();
    let number = |word: &str| {
        let month_or_day = names.iter().position(|name| {
            word.get(..3)
                .is_some_and(|start| start.eq_ignore_ascii_case(name))
        });
        let value = match month_or_day {
            Some(place) => Some(place as u8 + low),
            None => word.parse().ok(),
        };
        value
            .filter(|value| (low..=high).contains(value))
            .ok_or_else(|| format!("`{word}` is not within {low}-{high}"))
    };
    for part in text.split(',') {
        let (range, every) = part
            .split_once('/')
            .map_or((part, None), |(range, every)| (range, Some(every)));
        let step = match every {
            None => 1,
            Some(text) => text
                .parse::<u8>()
                .ok()
                .filter(|step| *step > 0)
                .ok_or_else(|| format!("`{text}` is no step"))?,
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            Some((first, last)) => (number(first)?, number(last)?),
            None if part.contains('/') => (number(range)?, high),
            None => (number(range)?, number(range)?),
        };
        if first > last {
            return Err(format!("`{range}` runs backwards"));
        }
        (first..=last)
            .step_by(step.into())
            .for_each(|value| set.add(value));
    }
    Ok(set)
}

/// Five fields, or a word such as `@daily`; `None` for what has no time (`@reboot`).
pub(super) fn expression(text: &str, zone: TimeZone) -> Result<Option<Calendar>, String> {
    let spelled = match text {
        "@reboot" => return Ok(None),
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        other => other,
    };
    let fields: Vec<&str> = spelled.split_ascii_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields[..] else {
        return Err(format!("`{text}` has not five fields"));
    };
    let mut weekdays = field(weekday, 0, 7, &WEEKDAYS)?;
    if weekdays.has(7) {
        weekdays.add(0);
    }
    let running = minute.starts_with('*') || hour.starts_with('*');
    Ok(Some(Calendar {
        seconds: Set::all(0, 0),
        minutes: field(minute, 0, 59, &[])?,
        hours: field(hour, 0, 23, &[])?,
        days: field(day, 1, 31, &[])?,
        months: field(month, 1, 12, &MONTHS)?,
        weekdays,
        years: None,
        either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        rules: if running {
            Rules::CronRunning
        } else {
            Rules::CronFixed
        },
        zone,
    }))
}

/// The program that a command is about: of its last part, without arguments, which may hold secrets.
fn program(command: &str) -> String {
    // `2>&1` parts no commands.
    let command = command.replace(">&", "> ");
    let parts = command.split(['&', '|', ';', '(', ')', '{', '}']);
    let mut best = "";
    for part in parts {
        let words = part.split_ascii_whitespace();
        let mut words = words.filter(|word| !word.contains('=') && !word.starts_with(['-', '>', '<', '2']));
        let Some(first) = words.next() else { continue };
        if best.is_empty() || !PRELUDE.contains(&first) {
            best = first;
        }
    }
    best.rsplit('/').next().unwrap_or(best).to_owned()
}

/// Splits off the first `count` words.
fn words(line: &str, count: usize) -> Option<(Vec<&str>, &str)> {
    let mut rest = line.trim_start();
    let mut found = Vec::new();
    for _ in 0..count {
        let end = rest.find(|character: char| character.is_ascii_whitespace())?;
        found.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    Some((found, rest))
}

/// `NAME=value`, as cron takes it.
fn setting(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let is_name = name
        .chars()
        .all(|character| character.is_ascii_alphanumeric() || character == '_');
    (is_name && !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit()))
        .then(|| (name, value.trim().trim_matches(['"', '\''])))
}

/// Reads a table; `with_users` where each line names a user (the system's tables).
pub(super) fn read(text: &str, with_users: bool, system_zone: &TimeZone) -> Table {
    let mut table = Table::default();
    let mut zone = system_zone.clone();
    for (number, line) in text
        .lines()
        .enumerate()
        .map(|(place, line)| (place + 1, line.trim()))
    {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some((name, value)) = setting(line) {
            let wanted = (name == "CRON_TZ").then(|| TimeZone::get(value));
            match wanted {
                Some(Ok(found)) => zone = found,
                Some(Err(error)) => table.findings.push((number, error.to_string())),
                None => {}
            }
            continue;
        }
        match job(line, number, with_users, &zone) {
            Ok(job) => table.jobs.extend(job),
            Err(problem) => table.findings.push((number, problem)),
        }
    }
    table
}

fn job(line: &str, number: usize, with_users: bool, zone: &TimeZone) -> Result<Option<Job>, String> {
    let count = if line.starts_with('@') { 1 } else { 5 };
    let incomplete = || "a time and a command are expected".to_owned();
    let (fields, rest) = words(line, count).ok_or_else(incomplete)?;
    let expression = fields.join(" ");
    let (user, command) = if with_users {
        let (user, rest) = words(rest, 1).ok_or_else(|| "a user and a command are expected".to_owned())?;
        (user.first().map(|user| (*user).to_owned()), rest)
    } else {
        (None, rest)
    };
    if command.is_empty() {
        return Err(incomplete());
    }
    let calendar = self::expression(&expression, zone.clone())?;
    Ok(calendar.map(|calendar| Job {
        line: number,
        calendar,
        expression,
        user,
        program: program(command),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a moment")
    }

    fn check(text: &str, zone: &str, after: &str, expect: &[&str]) {
        let zone = TimeZone::get(zone).expect("a zone");
        let calendar = expression(text, zone).expect(text).expect("a time");
        let mut now = at(after);
        for expected in expect {
            let next = calendar.next(now).expect("a next one");
            assert_eq!(next, at(expected), "{text} after {now}");
            now = next;
        }
    }

    #[test]
    fn fields_are_read_as_cron_does() {
        check(
            "*/20 8-9 * * *",
            "UTC",
            "2026-11-24T08:25:00Z",
            &["2026-11-24T08:40:00Z", "2026-11-24T09:00:00Z"],
        );
        check(
            "0 0 * * mon,Fri",
            "UTC",
            "2026-11-24T08:00:00Z",
            &["2026-11-27T00:00:00Z", "2026-11-30T00:00:00Z"],
        );
        check(
            "30 4 1 * sun",
            "UTC",
            "2026-11-24T08:00:00Z",
            &["2026-11-29T04:30:00Z", "2026-12-01T04:30:00Z"],
        );
        check(
            "0 0 * * 7",
            "UTC",
            "2026-11-24T00:00:00Z",
            &["2026-11-29T00:00:00Z"],
        );
        check(
            "0 0 29 feb *",
            "UTC",
            "2026-11-24T00:00:00Z",
            &["2028-02-29T00:00:00Z"],
        );
        check(
            "@daily",
            "Asia/Tokyo",
            "2026-11-24T00:00:00Z",
            &["2026-11-24T15:00:00Z"],
        );
        let never = expression("0 0 31 2 *", TimeZone::UTC)
            .expect("reads")
            .expect("a time");
        assert_eq!(never.next(at("2026-01-01T00:00:00Z")), None);
    }

    #[test]
    fn daylight_saving_is_right() {
        // Berlin, 2027-03-28: 02:00 becomes 03:00; 2026-10-25: 03:00 becomes 02:00.
        check(
            "30 2 * * *",
            "Europe/Berlin",
            "2027-03-27T12:00:00Z",
            &["2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"],
        );
        check(
            "30 * * * *",
            "Europe/Berlin",
            "2027-03-28T00:00:00Z",
            &["2027-03-28T00:30:00Z", "2027-03-28T01:30:00Z"],
        );
        check(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        );
        check(
            "30 * * * *",
            "Europe/Berlin",
            "2026-10-25T00:00:00Z",
            &[
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:30:00Z",
                "2026-10-25T02:30:00Z",
            ],
        );
        check(
            "0 8 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            &["2026-10-25T07:00:00Z", "2026-10-26T07:00:00Z"],
        );
    }

    #[test]
    fn a_table_names_its_programs_and_the_lines_that_are_wrong() {
        let text = "SHELL=/bin/sh\n# m h dom mon dow user command\n17 * * * * root cd / && run-parts --report /etc/cron.hourly\n\
                    25 6 * * * root test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }\n\
                    61 * * * * root x\nCRON_TZ=Europe/Berlin\n0 8 * * 1-5 www PASSWORD=secret /opt/backup.sh --all >/dev/null 2>&1\n@reboot root /bin/once\n0 0 * *\n";
        let table = read(text, true, &TimeZone::UTC);
        let jobs: Vec<_> = table
            .jobs
            .iter()
            .map(|job| (job.line, job.program.as_str(), job.user.as_deref()))
            .collect();
        assert_eq!(
            jobs,
            [
                (3, "run-parts", Some("root")),
                (4, "run-parts", Some("root")),
                (7, "backup.sh", Some("www"))
            ]
        );
        assert_eq!(
            table.jobs[2].calendar.zone,
            TimeZone::get("Europe/Berlin").expect("a zone")
        );
        let lines: Vec<usize> = table.findings.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [5, 9], "{:?}", table.findings);
    }

    proptest! {
        #[test]
        fn no_table_makes_it_panic(text in "[0-9*,/@a-z=\\- \n]{0,80}") {
            let table = read(&text, true, &TimeZone::UTC);
            for job in table.jobs {
                let _ = job.calendar.between(at("2026-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z"), 10);
            }
        }
    }
}
