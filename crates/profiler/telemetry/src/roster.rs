//! Which apps there should be, given the groups, the processes and the rules. Pure.
//!
//! Groups partition the processes: the deepest group that is an app owns a process, and a parent
//! counts what its children do not. Whatever sits in the root group is an app by executable and user.
//! A process is followed by itself only once it has lived a little; what is younger, and what came
//! and went between two looks, is one pseudo-app.

use crate::groups::{GroupIds, group};
use crate::host::TICKS_PER_SECOND;
use crate::layout::APP_HIERARCHIES;
use crate::naming::{AppRule, Described, HostKind, describe};
use crate::processes::Process;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tidegate_types::{App, AppName, BootTime, Owner};

/// The pseudo-app of processes that are too short-lived to be followed, and of the kernel's own threads.
pub const SHORT_LIVED: &str = "short-lived";

/// Age at which a process without a group of its own is followed by itself.
pub(crate) const FOLLOWED_FROM_S: f64 = 2.0;

/// One app as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) app: App,
    /// Its group's path and ids.
    pub(crate) group: Option<(Arc<str>, GroupIds)>,
    /// Number and start of its own processes, without those of apps below it.
    pub(crate) processes: Vec<(u32, u64)>,
}

/// All apps, and when the youngest process will be old enough for one of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roster {
    pub(crate) wishes: BTreeMap<AppName, Wish>,
    pub(crate) next_change: Option<BootTime>,
}

/// What the roster is made from.
pub(crate) struct Found<'look> {
    pub(crate) groups: &'look BTreeMap<Arc<str>, GroupIds>,
    pub(crate) processes: &'look BTreeMap<u32, Process>,
    pub(crate) rules: &'look [AppRule],
    pub(crate) host: &'look HostKind,
    pub(crate) now: BootTime,
}

/// `path` itself and then its parents, without the root.
pub(crate) fn upwards(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(parent, _)| parent))
        .take_while(|path| !path.is_empty())
}

#[derive(Default)]
struct Members<'look> {
    processes: Vec<(u32, u64)>,
    first: Option<&'look Process>,
}

/// The paths whose groups are apps. What lies below a container or a unit is its own affair, unless a rule
/// names it or tidegate made it.
fn app_paths<'look>(found: &Found<'look>) -> BTreeMap<&'look str, Members<'look>> {
    let described: BTreeMap<&str, Described> = found
        .groups
        .keys()
        .map(|path| (&**path, describe(path, found.host)))
        .collect();
    let closed = |path: &&str| described.get(path).is_some_and(|described| described.closed);
    let is_app = |path: &str| {
        let named = found.rules.iter().any(|rule| rule.names_path(path));
        let Some(described) = described.get(path) else {
            return named;
        };
        let inner = upwards(path).skip(1).any(|above| closed(&above));
        named || described.owner == Owner::Tidegate || (!described.passive && !inner)
    };
    found
        .groups
        .iter()
        .filter(|(_, ids)| {
            APP_HIERARCHIES
                .iter()
                .any(|hierarchy| ids[*hierarchy as usize] != 0)
        })
        .filter(|(path, _)| is_app(path))
        .map(|(path, _)| (&**path, Members::default()))
        .collect()
}

/// Every app that should be there.
pub(crate) fn roster(found: &Found<'_>) -> Roster {
    let mut paths = app_paths(found);
    let mut alone = Vec::new();
    for (pid, process) in found.processes {
        let path = process
            .group
            .as_deref()
            .into_iter()
            .flat_map(upwards)
            .find(|path| paths.contains_key(path));
        match path.and_then(|path| paths.get_mut(path)) {
            Some(members) => {
                members.processes.push((*pid, process.start_ticks));
                members.first.get_or_insert(process);
            }
            None if !process.kernel => alone.push((*pid, process)),
            None => {}
        }
    }
    let mut roster = Roster::default();
    add_groups(found, paths, &mut roster);
    add_processes(found, &alone, &mut roster);
    roster
}

fn add_groups(found: &Found<'_>, paths: BTreeMap<&str, Members<'_>>, roster: &mut Roster) {
    let mut names: HashMap<&str, AppName> = HashMap::new();
    // Parents come before their children in the order of paths, so a parent's name is known.
    for (path, members) in paths {
        let executable = members.first.map(|process| process.executable.clone());
        let user = members.first.map(|process| process.user.clone());
        let described = describe(path, found.host);
        let taken = |name: &AppName| roster.wishes.contains_key(name);
        let by_rule = found
            .rules
            .iter()
            .filter(|rule| rule.matches_group(path, executable.as_deref(), user.as_deref()))
            .map(|rule| rule.name.clone())
            .find(|name| !taken(name));
        let name = by_rule
            .or_else(|| Some(described.name).filter(|name| !taken(name)))
            .unwrap_or_else(|| AppName::new(&format!("group:{path}")));
        let Some((path, ids)) = found.groups.get_key_value(path) else {
            continue;
        };
        let parent = upwards(path).skip(1).find_map(|above| names.get(above).cloned());
        names.insert(path, name.clone());
        let app = App {
            name: name.clone(),
            group: Some(group(path, ids)),
            owner: described.owner,
            parent,
            executable,
            user,
        };
        let wish = Wish {
            app,
            group: Some((path.clone(), *ids)),
            processes: members.processes,
        };
        roster.wishes.insert(name, wish);
    }
}

fn add_processes(found: &Found<'_>, alone: &[(u32, &Process)], roster: &mut Roster) {
    let by_group: BTreeSet<AppName> = roster.wishes.keys().cloned().collect();
    let short_lived = AppName::new(SHORT_LIVED);
    roster
        .wishes
        .insert(short_lived.clone(), processes_wish(&short_lived, None));
    for (pid, process) in alone {
        let old_enough =
            BootTime::from_seconds(process.start_ticks as f64 / TICKS_PER_SECOND + FOLLOWED_FROM_S);
        let name = if old_enough > found.now {
            let next = roster.next_change.get_or_insert(old_enough);
            *next = (*next).min(old_enough);
            short_lived.clone()
        } else {
            process_name(found.rules, &by_group, process)
        };
        roster
            .wishes
            .entry(name.clone())
            .or_insert_with(|| processes_wish(&name, Some(process)))
            .processes
            .push((*pid, process.start_ticks));
    }
}

fn process_name(rules: &[AppRule], by_group: &BTreeSet<AppName>, process: &Process) -> AppName {
    rules
        .iter()
        .filter(|rule| rule.matches_process(Some(&process.executable), Some(&process.user)))
        .map(|rule| rule.name.clone())
        .find(|name| !by_group.contains(name))
        .unwrap_or_else(|| AppName::new(&format!("exe:{}@{}", process.executable, process.user)))
}

fn processes_wish(name: &AppName, first: Option<&Process>) -> Wish {
    Wish {
        app: App {
            name: name.clone(),
            group: None,
            owner: Owner::Nobody,
            parent: None,
            executable: first.map(|process| process.executable.clone()),
            user: first.map(|process| process.user.clone()),
        },
        group: None,
        processes: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naming::AppMatch;

    fn process(executable: &str, user: &str, group: Option<&str>, start_s: u64) -> Process {
        Process {
            start_ticks: start_s * 100,
            kernel: executable.starts_with('['),
            executable: Arc::from(executable),
            user: Arc::from(user),
            group: group.map(Arc::from),
            hidden: false,
        }
    }

    fn check(
        groups: &[&str],
        processes: &[Process],
        rules: &[AppRule],
        expect: &[(&str, usize, Option<&str>)],
    ) {
        let groups = groups
            .iter()
            .zip(1..)
            .map(|(path, id)| (Arc::from(*path), [id, 0, 0, 0, 0, 0]))
            .collect();
        let processes = processes
            .iter()
            .cloned()
            .zip(10..)
            .map(|(process, pid)| (pid, process))
            .collect();
        let roster = roster(&Found {
            groups: &groups,
            processes: &processes,
            rules,
            host: &HostKind::default(),
            now: BootTime::from_seconds(100.0),
        });
        let found: Vec<_> = roster
            .wishes
            .values()
            .map(|wish| {
                let parent = wish.app.parent.as_ref().map(AppName::as_str);
                (wish.app.name.as_str(), wish.processes.len(), parent)
            })
            .collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn the_deepest_group_owns_a_process() {
        check(
            &["/bed", "/bed/web"],
            &[
                process("nginx", "www", Some("/bed/web"), 1),
                process("sh", "root", Some("/bed"), 1),
                process("worker", "www", Some("/bed/web/not-followed"), 1),
            ],
            &[],
            &[
                ("group:/bed", 1, None),
                ("group:/bed/web", 2, Some("group:/bed")),
                (SHORT_LIVED, 0, None),
            ],
        );
    }

    #[test]
    fn processes_in_the_root_are_apps_by_executable_and_user() {
        check(
            &[],
            &[
                process("redis-server", "redis", None, 1),
                process("bash", "ann", None, 1),
                process("bash", "bob", None, 1),
                process("bash", "bob", None, 1),
                process("cc1", "bob", None, 99),
                process("[kthreadd]", "root", None, 1),
            ],
            &[],
            &[
                ("exe:bash@ann", 1, None),
                ("exe:bash@bob", 2, None),
                ("exe:redis-server@redis", 1, None),
                (SHORT_LIVED, 1, None),
            ],
        );
    }

    #[test]
    fn rules_come_first() {
        let rule = |name: &str, matches| AppRule {
            name: AppName::new(name),
            matches,
        };
        check(
            &["/bed/a", "/bed/b", "/job"],
            &[
                process("redis-server", "redis", None, 1),
                process("train", "ml", Some("/job"), 1),
            ],
            &[
                rule("web", AppMatch::Group("/bed/*".into())),
                rule("cache", AppMatch::Executable("redis-server".into())),
                rule("training", AppMatch::User("ml".into())),
            ],
            &[
                ("cache", 1, None),
                ("group:/bed/b", 0, None),
                (SHORT_LIVED, 0, None),
                ("training", 1, None),
                ("web", 0, None),
            ],
        );
    }

    #[test]
    fn what_lies_in_a_unit_is_the_units() {
        let groups = [
            "/dev-hugepages.mount",
            "/system.slice",
            "/system.slice/udevd.service",
            "/system.slice/udevd.service/udev",
            "/user.slice/user@1.service",
            "/user.slice/user@1.service/app.slice/shell.scope",
        ];
        let groups = groups
            .iter()
            .zip(1..)
            .map(|(path, id)| (Arc::from(*path), [id, 0, 0, 0, 0, 0]))
            .collect();
        let named = |rules: &[AppRule]| -> Vec<String> {
            let host = HostKind {
                systemd: true,
                ..HostKind::default()
            };
            let found = Found {
                groups: &groups,
                processes: &BTreeMap::new(),
                rules,
                host: &host,
                now: BootTime(0),
            };
            roster(&found)
                .wishes
                .into_keys()
                .map(|name| name.to_string())
                .collect()
        };
        let units = [
            "short-lived",
            "system.slice",
            "udevd.service",
            "user@1.service",
            "user@1/shell.scope",
        ];
        assert_eq!(named(&[]), units);
        let rule = AppRule {
            name: AppName::new("workers"),
            matches: AppMatch::Group("/system.slice/udevd.service/*".into()),
        };
        assert!(named(&[rule]).contains(&"workers".to_owned()));
    }

    #[test]
    fn what_lies_in_a_container_is_the_containers() {
        let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let container = format!("/docker/{id}");
        let inner = format!("{container}/init.scope");
        check(
            &["/docker", &container, &inner],
            &[process("nginx", "root", Some(&inner), 1)],
            &[],
            &[
                ("docker:0123456789ab", 1, Some("group:/docker")),
                ("group:/docker", 0, None),
                (SHORT_LIVED, 0, None),
            ],
        );
    }
}
