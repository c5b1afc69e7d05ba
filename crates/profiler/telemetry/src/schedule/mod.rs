//! What cron tables and systemd timers will start, with names and times.
//!
//! Tables are read from their usual places below a root folder, timers from unit files that are enabled, and from
//! `systemctl list-timers` where it answers: it knows delays and timers that count from boot. Names hold the program
//! and its schedule, never arguments, which may hold secrets. What cannot be read is a finding with file and line.
//! Jobs at boot have no time and are left out; so are `at` jobs, anacron's, and containers' own tables.

mod calendar;
mod cron;
mod timers;

use calendar::Calendar;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tidegate_types::{AppName, ExpectedEvent};

/// Firings of one job that are given: one every minute over two hours.
const MOST_FIRINGS: usize = 120;
/// Jobs that are followed.
const MOST_JOBS: usize = 1024;
/// Bytes of a table; a longer one is no table.
const MOST_BYTES: u64 = 1 << 20;
/// Folders of unit files, the first that has a name wins.
const UNIT_FOLDERS: [&str; 4] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
];
/// Tables of users: Debian's place, then others'.
const USER_TABLES: [&str; 2] = ["var/spool/cron/crontabs", "var/spool/cron"];

/// One scheduled job.
#[derive(Clone, Debug)]
pub struct Job {
    /// What it is called, with its schedule; the same at each firing.
    pub name: String,
    /// The app that it starts, where that follows from the unit or the program.
    pub app: Option<AppName>,
    /// File and line.
    pub place: String,
    calendar: Option<Calendar>,
    /// A firing that the scheduler itself told.
    told: Option<Timestamp>,
}

/// Everything that is scheduled.
#[derive(Clone, Debug, Default)]
pub struct Jobs {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// What could not be read, each with its place.
    pub findings: Vec<String>,
}

impl Job {
    /// When it fires next after `utc_ms`, in milliseconds since the epoch.
    pub fn next_utc_ms(&self, utc_ms: i64) -> Option<i64> {
        let after = Timestamp::from_millisecond(utc_ms).ok()?;
        let told = self.told.filter(|told| *told > after);
        let next = told.or_else(|| self.calendar.as_ref()?.next(after))?;
        Some(next.as_millisecond())
    }

    fn firings(&self, after: Timestamp, until: Timestamp) -> Vec<Timestamp> {
        let calendar = self.calendar.as_ref();
        let mut firings =
            calendar.map_or_else(Vec::new, |calendar| calendar.between(after, until, MOST_FIRINGS));
        if let Some(told) = self.told.filter(|told| (after..=until).contains(told)) {
            // What the scheduler says of its next firing, with its delay, is better than the expression.
            firings.retain(|firing| *firing > told);
            firings.insert(0, told);
        }
        firings
    }
}

impl Jobs {
    /// All firings in the `ahead_s` seconds after `utc_ms`, soonest first.
    pub fn firings(&self, utc_ms: i64, ahead_s: i64) -> Vec<ExpectedEvent> {
        let Ok(after) = Timestamp::from_millisecond(utc_ms) else {
            return Vec::new();
        };
        let until = after
            .checked_add(SignedDuration::from_secs(ahead_s))
            .unwrap_or(after);
        let of = |job: &Job| {
            let event = ExpectedEvent {
                name: job.name.as_str().into(),
                app: job.app.clone(),
                at_utc_ms: 0,
                place: job.place.as_str().into(),
            };
            let at = |fire: Timestamp| ExpectedEvent {
                at_utc_ms: fire.as_millisecond(),
                ..event.clone()
            };
            job.firings(after, until).into_iter().map(at).collect::<Vec<_>>()
        };
        let mut events: Vec<ExpectedEvent> = self.jobs.iter().flat_map(of).collect();
        events.sort_by(|left, right| (left.at_utc_ms, &left.name).cmp(&(right.at_utc_ms, &right.name)));
        events
    }
}

/// When a schedule in cron's five fields fires next after `utc_ms`, on the clocks of `zone` (its IANA name; the
/// system's where it is `None`).
pub fn next_by_cron(expression: &str, zone: Option<&str>, utc_ms: i64) -> Result<Option<i64>, String> {
    let zone = match zone {
        Some(name) => TimeZone::get(name).map_err(|error| error.to_string())?,
        None => TimeZone::system(),
    };
    let calendar = cron::expression(expression, zone)?;
    let after = Timestamp::from_millisecond(utc_ms).map_err(|error| error.to_string())?;
    let next = calendar.and_then(|calendar| calendar.next(after));
    Ok(next.map(Timestamp::as_millisecond))
}

/// Reads everything that is scheduled below `root` (`/` on a host). `listed` is what
/// `systemctl list-timers --all --output=json` printed, where it did.
pub fn read_jobs(root: &Path, listed: Option<&str>) -> Jobs {
    read_jobs_in(root, listed, &TimeZone::system())
}

fn read_jobs_in(root: &Path, listed: Option<&str>, zone: &TimeZone) -> Jobs {
    let mut jobs = Jobs::default();
    read_table(&mut jobs, root, Path::new("etc/crontab"), None, zone);
    for name in names(&root.join("etc/cron.d"), |name| {
        // cron itself passes over anything else in there: backups, dot files.
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    }) {
        read_table(&mut jobs, root, &Path::new("etc/cron.d").join(name), None, zone);
    }
    for folder in USER_TABLES {
        for user in names(&root.join(folder), |name| !name.contains('.')) {
            let path = Path::new(folder).join(&user);
            if root.join(&path).is_file() {
                read_table(&mut jobs, root, &path, Some(&user), zone);
            }
        }
    }
    read_timers(&mut jobs, root, listed, zone);
    if jobs.jobs.len() > MOST_JOBS {
        let left_out = jobs.jobs.len() - MOST_JOBS;
        jobs.findings.push(format!(
            "{MOST_JOBS} scheduled jobs are followed: {left_out} are left out"
        ));
        jobs.jobs.truncate(MOST_JOBS);
    }
    jobs
}

/// File names in a folder that `fits`, sorted.
fn names(folder: &Path, fits: impl Fn(&str) -> bool) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| fits(name))
        .collect();
    names.sort();
    names
}

/// The text of a file; a file that is not there is no finding.
fn text(jobs: &mut Jobs, root: &Path, path: &Path) -> Option<String> {
    let full = root.join(path);
    let length = std::fs::metadata(&full).ok()?.len();
    let read = if length > MOST_BYTES {
        Err(std::io::Error::other("it is too long"))
    } else {
        std::fs::read(&full)
    };
    match read {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) => {
            jobs.findings.push(format!("/{}: {error}", path.display()));
            None
        }
    }
}

fn read_table(jobs: &mut Jobs, root: &Path, path: &Path, user: Option<&str>, zone: &TimeZone) {
    let Some(text) = text(jobs, root, path) else {
        return;
    };
    let table = cron::read(&text, user.is_none(), zone);
    let place = |line: usize| format!("/{}:{line}", path.display());
    let findings = table.findings.into_iter();
    jobs.findings
        .extend(findings.map(|(line, problem)| format!("{}: {problem}", place(line))));
    for job in table.jobs {
        let user = job.user.as_deref().or(user).unwrap_or("root");
        jobs.jobs.push(Job {
            name: format!("cron {}@{user} ({})", job.program, job.expression),
            app: Some(AppName::new(&format!("exe:{}@{user}", job.program))),
            place: place(job.line),
            calendar: Some(job.calendar),
            told: None,
        });
    }
}

/// Where a unit's file is: the first folder that has it.
fn unit_path(root: &Path, name: &str) -> Option<PathBuf> {
    let paths = UNIT_FOLDERS.iter().map(|folder| Path::new(folder).join(name));
    let mut found = paths.filter(|path| root.join(path).exists());
    found.next()
}

fn enabled_timers(root: &Path) -> Vec<String> {
    let mut found: Vec<String> = UNIT_FOLDERS
        .iter()
        .flat_map(|folder| {
            names(&root.join(folder).join("timers.target.wants"), |name| {
                name.rsplit('.').next() == Some("timer")
            })
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

fn read_timers(jobs: &mut Jobs, root: &Path, listed: Option<&str>, zone: &TimeZone) {
    let rows: Vec<timers::Listed> = match listed.map(serde_json::from_str) {
        Some(Ok(rows)) => rows,
        Some(Err(error)) => {
            jobs.findings.push(format!("systemctl list-timers: {error}"));
            Vec::new()
        }
        None => Vec::new(),
    };
    let told: BTreeMap<&str, &timers::Listed> = rows.iter().map(|row| (row.unit.as_str(), row)).collect();
    let mut names = enabled_timers(root);
    names.extend(told.keys().map(|name| (*name).to_owned()));
    names.sort();
    names.dedup();
    for name in names {
        let path = unit_path(root, &name);
        let text = path.as_deref().and_then(|path| text(jobs, root, path));
        let timer = text.map(|text| timers::read(&text, zone)).unwrap_or_default();
        let place = |line: usize| match &path {
            Some(path) => format!("/{}:{line}", path.display()),
            None => name.clone(),
        };
        let findings = timer.findings.iter();
        jobs.findings
            .extend(findings.map(|(line, problem)| format!("{}: {problem}", place(*line))));
        let row = told.get(name.as_str());
        let unit = row
            .and_then(|row| row.activates.clone())
            .or(timer.unit)
            .unwrap_or_else(|| format!("{}.service", name.trim_end_matches(".timer")));
        let next = row
            .and_then(|row| i64::try_from(row.next?).ok())
            .filter(|next_us| *next_us > 0)
            .and_then(|next_us| Timestamp::from_microsecond(next_us).ok());
        let job = |line: usize, calendar: Option<Calendar>, told: Option<Timestamp>| Job {
            name: format!("timer {name}"),
            app: Some(AppName::new(&unit)),
            place: place(line),
            calendar,
            told,
        };
        let count = timer.calendars.len();
        if count == 0 {
            jobs.jobs.extend(next.map(|next| job(1, None, Some(next))));
        }
        for (line, calendar) in timer.calendars {
            // With several expressions, which of them the next firing belongs to is not said.
            jobs.jobs
                .push(job(line, Some(calendar), next.filter(|_| count == 1)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    /// A host with tables and timers in their places, and what systemctl says of it.
    fn host() -> (tempfile::TempDir, Jobs) {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        write(
            root,
            "etc/crontab",
            "0 3 * * * root /opt/nightly --token secret\nbroken\n",
        );
        write(root, "etc/cron.d/logs", "*/30 * * * * syslog rotate\n");
        write(root, "etc/cron.d/logs.dpkg-old", "* * * * * root never\n");
        write(root, "var/spool/cron/crontabs/ann", "0 9 * * 1-5 report.sh\n");
        write(
            root,
            "usr/lib/systemd/system/tidy.timer",
            "[Timer]\nOnCalendar=daily\n",
        );
        write(
            root,
            "usr/lib/systemd/system/off.timer",
            "[Timer]\nOnCalendar=daily\n",
        );
        write(root, "etc/systemd/system/timers.target.wants/tidy.timer", "");
        let listed = r#"[{"next":1795536000000000,"unit":"boot.timer","activates":"boot.service"}]"#;
        let jobs = read_jobs_in(root, Some(listed), &TimeZone::UTC);
        (folder, jobs)
    }

    fn day(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("a moment").as_millisecond()
    }

    #[test]
    fn tables_and_timers_of_a_host_are_found_in_their_places() {
        let (_folder, jobs) = host();
        let found: Vec<(&str, &str, &str)> = jobs
            .jobs
            .iter()
            .map(|job| {
                let app = job.app.as_ref().map_or("", AppName::as_str);
                (job.name.as_str(), app, job.place.as_str())
            })
            .collect();
        assert_eq!(
            found,
            [
                (
                    "cron nightly@root (0 3 * * *)",
                    "exe:nightly@root",
                    "/etc/crontab:1"
                ),
                (
                    "cron rotate@syslog (*/30 * * * *)",
                    "exe:rotate@syslog",
                    "/etc/cron.d/logs:1"
                ),
                (
                    "cron report.sh@ann (0 9 * * 1-5)",
                    "exe:report.sh@ann",
                    "/var/spool/cron/crontabs/ann:1"
                ),
                ("timer boot.timer", "boot.service", "boot.timer"),
                (
                    "timer tidy.timer",
                    "tidy.service",
                    "/usr/lib/systemd/system/tidy.timer:2"
                ),
            ]
        );
        assert_eq!(jobs.findings.len(), 1, "{:?}", jobs.findings);
        assert!(
            jobs.findings[0].starts_with("/etc/crontab:2: "),
            "{:?}",
            jobs.findings
        );
    }

    #[test]
    fn firings_of_the_next_hours_come_in_order_with_what_the_scheduler_told() {
        let (_folder, jobs) = host();
        let firings = jobs.firings(day("2026-11-24T22:45:00Z"), 7200);
        let times: Vec<(&str, i64)> = firings
            .iter()
            .map(|event| (&*event.name, event.at_utc_ms))
            .collect();
        let rotate = "cron rotate@syslog (*/30 * * * *)";
        assert_eq!(
            times,
            [
                (rotate, day("2026-11-24T23:00:00Z")),
                (rotate, day("2026-11-24T23:30:00Z")),
                (rotate, day("2026-11-25T00:00:00Z")),
                ("timer tidy.timer", day("2026-11-25T00:00:00Z")),
                (rotate, day("2026-11-25T00:30:00Z")),
            ]
        );
        let boot = jobs
            .jobs
            .iter()
            .find(|job| job.name == "timer boot.timer")
            .expect("a job");
        assert_eq!(
            boot.next_utc_ms(day("2026-11-24T08:00:00Z")),
            Some(1_795_536_000_000)
        );
    }

    #[test]
    fn a_schedule_with_a_zone_says_when_it_fires_next() {
        let at = day;
        let next = next_by_cron("0 8 * * *", Some("Europe/Berlin"), at("2026-10-24T12:00:00Z"));
        assert_eq!(
            next,
            Ok(Some(at("2026-10-25T07:00:00Z"))),
            "the clocks went back that night"
        );
        assert!(next_by_cron("0 8 * *", None, 0).is_err());
        assert!(next_by_cron("0 8 * * *", Some("Nowhere/There"), 0).is_err());
    }
}
