//! What a group is called, who decides over it, and the rules that say otherwise.
//!
//! A name is the identity of an app in history, so it must be the same after a restart, a
//! re-creation or a reboot wherever the host allows it: unit names do, container ids do not (they
//! name the container, not the service), plain groups are named by path. Pure text; no I/O.

use crate::TelemetryError;
use crate::containers::ContainerNames;
use std::sync::Arc;
use tidegate_types::{AppName, Owner};

/// What a rule looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppMatch {
    /// A pattern over group paths: `*` is any part of one folder's name, `**` any folders.
    Group(String),
    /// The name of the executable file of the first process.
    Executable(String),
    /// The user of the first process.
    User(String),
    /// A systemd unit.
    Unit(String),
}

/// One rule: what matches is the app of that name. Rules are tried in order, before the names that
/// discovery gives by itself; of several groups that match, the first by path gets the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppRule {
    /// The app's name.
    pub name: AppName,
    /// What belongs to it.
    pub matches: AppMatch,
}

impl AppRule {
    /// Refuses a rule that can never match.
    pub fn check(&self) -> Result<(), TelemetryError> {
        let problem = match &self.matches {
            _ if self.name.as_str().is_empty() => "the name is empty",
            AppMatch::Group(glob) if !glob.starts_with('/') => "a group pattern starts with `/`",
            AppMatch::Group(glob) if glob == "/" => "the root group is not an app",
            AppMatch::Executable(text) | AppMatch::User(text) | AppMatch::Unit(text) if text.is_empty() => {
                "it matches nothing"
            }
            AppMatch::Executable(text) if text.contains('/') => {
                "an executable is given by file name, without folders"
            }
            _ => return Ok(()),
        };
        Err(TelemetryError::Rule {
            app: self.name.as_str().to_owned(),
            problem: problem.to_owned(),
        })
    }

    /// Whether the group at `path` with this first process is meant.
    pub(crate) fn matches_group(&self, path: &str, executable: Option<&str>, user: Option<&str>) -> bool {
        match &self.matches {
            AppMatch::Group(glob) => glob_matches(glob, path),
            AppMatch::Unit(unit) => path.rsplit('/').next() == Some(unit),
            _ => self.matches_process(executable, user),
        }
    }

    /// Whether it names the group at `path` itself.
    pub(crate) fn names_path(&self, path: &str) -> bool {
        matches!(self.matches, AppMatch::Group(_) | AppMatch::Unit(_)) && self.matches_group(path, None, None)
    }

    /// Whether a process without a group of its own is meant.
    pub(crate) fn matches_process(&self, executable: Option<&str>, user: Option<&str>) -> bool {
        match &self.matches {
            AppMatch::Executable(wanted) => executable == Some(wanted),
            AppMatch::User(wanted) => user == Some(wanted),
            AppMatch::Group(_) | AppMatch::Unit(_) => false,
        }
    }
}

/// `*` within a folder's name, `**` over folders, everything else literal.
pub fn glob_matches(glob: &str, path: &str) -> bool {
    fn folders(glob: &[&str], path: &[&str]) -> bool {
        match (glob.split_first(), path.split_first()) {
            (None, None) => true,
            (Some((&"**", rest)), _) => (0..=path.len()).any(|skip| folders(rest, &path[skip..])),
            (Some((pattern, glob)), Some((name, path))) => {
                name_matches(pattern.as_bytes(), name.as_bytes()) && folders(glob, path)
            }
            _ => false,
        }
    }
    let glob: Vec<&str> = glob.trim_matches('/').split('/').collect();
    let path: Vec<&str> = path.trim_matches('/').split('/').collect();
    folders(&glob, &path)
}

fn name_matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut star) = ((0, 0), None);
    loop {
        match (pattern.get(at.0), name.get(at.1)) {
            (Some(b'*'), _) => {
                star = Some(at);
                at.0 += 1;
            }
            (Some(wanted), Some(found)) if wanted == found => at = (at.0 + 1, at.1 + 1),
            (None, None) => return true,
            _ => {
                // The last `*` takes one more, where there is one and something left to take.
                let Some((star_pattern, star_name)) = star.filter(|(_, taken)| *taken < name.len()) else {
                    return false;
                };
                star = Some((star_pattern, star_name + 1));
                at = (star_pattern + 1, star_name + 1);
            }
        }
    }
}

/// What a path says of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) name: AppName,
    pub(crate) owner: Owner,
    /// What lies below belongs to it, whatever its folders are called.
    pub(crate) closed: bool,
    /// It is a holder of settings, not of programs: what runs in it counts with its parent.
    pub(crate) passive: bool,
}

/// What the host is, as far as names depend on it.
#[derive(Debug, Default)]
pub(crate) struct HostKind {
    /// systemd is PID 1.
    pub(crate) systemd: bool,
    /// First folders of groups that tidegate makes.
    pub(crate) own_prefixes: Vec<String>,
    /// Names of Docker's containers.
    pub(crate) containers: Option<ContainerNames>,
}

const UNIT_SUFFIXES: [&str; 6] = [".service", ".scope", SLICE, ".socket", ".mount", ".swap"];

/// The unit that only holds others.
const SLICE: &str = ".slice";

fn is_unit(folder: &str) -> bool {
    UNIT_SUFFIXES
        .iter()
        .any(|suffix| folder.len() > suffix.len() && folder.ends_with(suffix))
}

fn container_id(text: &str) -> Option<&str> {
    let is_id = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(text)
}

/// The id of the Docker container at `path`, where it is one.
pub(crate) fn docker_id(path: &str) -> Option<&str> {
    let (above, last) = path.rsplit_once('/')?;
    match container(last, above.rsplit('/').next())? {
        ("docker", id) => Some(id),
        _ => None,
    }
}

/// The engine and id of a container's folder.
fn container<'path>(folder: &'path str, parent: Option<&str>) -> Option<(&'static str, &'path str)> {
    const SCOPES: [(&str, &str); 4] = [
        ("docker-", "docker"),
        ("libpod-", "podman"),
        ("cri-containerd-", "containerd"),
        ("crio-", "cri-o"),
    ];
    if let Some(id) = container_id(folder) {
        let engine = match parent {
            Some("docker") => "docker",
            Some("libpod_parent") => "podman",
            Some(pod) if pod.starts_with("pod") => "containerd",
            _ => return None,
        };
        return Some((engine, id));
    }
    let stem = folder.strip_suffix(".scope").unwrap_or(folder);
    SCOPES.iter().find_map(|(prefix, engine)| {
        let id = container_id(stem.strip_prefix(prefix)?)?;
        Some((*engine, id))
    })
}

/// The uid of a Kubernetes pod in a folder such as `kubepods-burstable-pod1234_56.slice` or `pod1234-56`.
fn pod(folder: &str) -> Option<String> {
    let stem = folder.strip_suffix(".slice").unwrap_or(folder);
    let (before, uid) = stem.rsplit_once("pod")?;
    let known_place = before.is_empty() || before.starts_with("kubepods");
    let looks_like_uid = uid.len() >= 8
        && uid
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-' || byte == b'_');
    (known_place && looks_like_uid).then(|| uid.replace('_', "-"))
}

fn other(manager: &str) -> Owner {
    Owner::Other(Arc::from(manager))
}

/// The name and owner of the group at `path`, by the conventions of its manager.
pub(crate) fn describe(path: &str, host: &HostKind) -> Described {
    let folders: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (last, above) = (folders[folders.len() - 1], &folders[..folders.len() - 1]);
    let plain = |owner| Described {
        name: AppName::new(&format!("group:{path}")),
        owner,
        closed: false,
        passive: false,
    };
    let is_own = |folder: &&str| {
        host.own_prefixes
            .iter()
            .any(|prefix| folder.starts_with(prefix.as_str()))
    };
    if folders.iter().filter(|folder| !is_unit(folder)).any(is_own) {
        return plain(Owner::Tidegate);
    }
    let in_pods =
        folders[0].starts_with("kubepods") || above.iter().any(|folder| folder.starts_with("kubepods"));
    if let Some((engine, id)) = container(last, above.last().copied()) {
        return by_engine(engine, id, above.iter().copied().filter(|_| in_pods), host);
    }
    if in_pods {
        return match pod(last) {
            Some(uid) => Described {
                name: AppName::new(&format!("pod:{uid}")),
                owner: other("kubelet"),
                closed: false,
                passive: false,
            },
            None => plain(other("kubelet")),
        };
    }
    if folders
        .iter()
        .any(|folder| *folder == "docker" || *folder == "libpod_parent")
    {
        return plain(other(if path.contains("docker") {
            "docker"
        } else {
            "podman"
        }));
    }
    if folders[0] == "slurm" || folders.contains(&"slurmstepd.scope") {
        let job = last.strip_prefix("job_").filter(|id| id.parse::<u64>().is_ok());
        return Described {
            name: AppName::new(&job.map_or_else(|| format!("group:{path}"), |id| format!("slurm-job:{id}"))),
            owner: other("slurm"),
            closed: false,
            passive: false,
        };
    }
    if host.systemd {
        by_systemd(path, last, above)
    } else {
        plain(Owner::Delegated)
    }
}

/// A container of `engine`; in Kubernetes, `pods_above` holds its pod's folder, and the kubelet decides over it.
fn by_engine<'path>(
    engine: &str,
    id: &str,
    pods_above: impl DoubleEndedIterator<Item = &'path str> + Clone,
    host: &HostKind,
) -> Described {
    let manager = if pods_above.clone().next().is_some() {
        "kubelet"
    } else {
        engine
    };
    let names = host.containers.as_ref().filter(|_| engine == "docker");
    // Without a name, the first 12 digits of the id, as the engines' own commands show it.
    let known = names.and_then(|names| names.get(id)).unwrap_or(&id[..12]);
    let name = match pods_above.rev().find_map(pod) {
        Some(uid) => format!("pod:{uid}/{known}"),
        None => format!("{engine}:{known}"),
    };
    Described {
        name: AppName::new(&name),
        owner: other(manager),
        closed: true,
        passive: false,
    }
}

/// On a host that systemd runs: a unit, a folder below a unit, or nobody's.
fn by_systemd(path: &str, last: &str, above: &[&str]) -> Described {
    let unit_above = above
        .iter()
        .rev()
        .find(|folder| is_unit(folder) && !folder.ends_with(SLICE));
    if is_unit(last) {
        let user = above
            .iter()
            .find_map(|folder| folder.strip_prefix("user@")?.strip_suffix(".service"));
        let name = match user {
            Some(user) => format!("user@{user}/{last}"),
            None => last.to_owned(),
        };
        return Described {
            name: AppName::new(&name),
            owner: Owner::Systemd(Arc::from(last)),
            // Units of a user stand below the user's own manager.
            closed: !last.ends_with(SLICE) && !last.starts_with("user@"),
            passive: ![".service", ".scope", SLICE]
                .iter()
                .any(|suffix| last.ends_with(suffix)),
        };
    }
    Described {
        name: AppName::new(&format!("group:{path}")),
        owner: unit_above.map_or(Owner::Delegated, |unit| other(unit)),
        closed: false,
        passive: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn check(systemd: bool, path: &str, name: &str, owner: Owner) {
        let host = HostKind {
            systemd,
            own_prefixes: vec!["tidegate".to_owned()],
            containers: None,
        };
        let described = describe(path, &host);
        assert_eq!(
            (described.name.as_str(), described.owner),
            (name, owner),
            "{path}"
        );
    }

    #[test]
    fn names_follow_the_manager() {
        let unit = |name: &str| Owner::Systemd(Arc::from(name));
        check(
            true,
            "/system.slice/nginx.service",
            "nginx.service",
            unit("nginx.service"),
        );
        check(true, "/system.slice", "system.slice", unit("system.slice"));
        check(
            true,
            "/user.slice/user-1000.slice/user@1000.service/app.slice/editor.service",
            "user@1000/editor.service",
            unit("editor.service"),
        );
        check(
            true,
            "/system.slice/job.service/inner",
            "group:/system.slice/job.service/inner",
            other("job.service"),
        );
        check(true, "/bed/web", "group:/bed/web", Owner::Delegated);
        check(
            false,
            "/system.slice/nginx.service",
            "group:/system.slice/nginx.service",
            Owner::Delegated,
        );
        check(
            true,
            "/system.slice/tidegate.service/tidegate-demo",
            "group:/system.slice/tidegate.service/tidegate-demo",
            Owner::Tidegate,
        );
        check(
            true,
            "/system.slice/tidegate.service",
            "tidegate.service",
            unit("tidegate.service"),
        );
        check(
            false,
            "/tidegate-demo/web",
            "group:/tidegate-demo/web",
            Owner::Tidegate,
        );
    }

    #[test]
    fn containers_belong_to_their_engines() {
        check(
            true,
            &format!("/system.slice/docker-{ID}.scope"),
            "docker:0123456789ab",
            other("docker"),
        );
        check(
            false,
            &format!("/docker/{ID}"),
            "docker:0123456789ab",
            other("docker"),
        );
        check(
            true,
            &format!("/machine.slice/libpod-{ID}.scope"),
            "podman:0123456789ab",
            other("podman"),
        );
        let pods = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0a1b2c3d_4e5f.slice";
        check(true, pods, "pod:0a1b2c3d-4e5f", other("kubelet"));
        check(
            true,
            &format!("{pods}/cri-containerd-{ID}.scope"),
            "pod:0a1b2c3d-4e5f/0123456789ab",
            other("kubelet"),
        );
        check(
            false,
            &format!("/kubepods/burstable/pod0a1b2c3d-4e5f/{ID}"),
            "pod:0a1b2c3d-4e5f/0123456789ab",
            other("kubelet"),
        );
        check(false, "/slurm/uid_1000/job_42", "slurm-job:42", other("slurm"));
    }

    #[test]
    fn globs() {
        for (glob, path, expect) in [
            ("/bed/*", "/bed/web", true),
            ("/bed/*", "/bed/web/inner", false),
            ("/bed/**", "/bed/web/inner", true),
            ("/**/web", "/a/b/web", true),
            ("/bed/w*b-*", "/bed/web-7", true),
            ("/bed/w*b-*", "/bed/wob", false),
            ("/bed", "/bed", true),
        ] {
            assert_eq!(glob_matches(glob, path), expect, "{glob} on {path}");
        }
    }

    #[test]
    fn rules_that_cannot_match_are_refused() {
        let rule = |matches| AppRule {
            name: AppName::new("web"),
            matches,
        };
        assert!(rule(AppMatch::Group("bed/*".into())).check().is_err());
        assert!(rule(AppMatch::Executable("/usr/bin/x".into())).check().is_err());
        assert!(rule(AppMatch::User(String::new())).check().is_err());
        assert!(rule(AppMatch::Group("/bed/*".into())).check().is_ok());
    }
}
