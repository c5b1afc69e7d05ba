//! Who may know whom: a wing knows `types` and itself, not another wing; the pure middle knows its two models.

use super::Finding;
use crate::workspace::{Package, Workspace};
use std::path::Path;

/// Packages whose dependencies inside the workspace are a closed list.
const CLOSED: &[(&str, &[&str])] = &[
    ("tidegate-types", &[]),
    (
        "tidegate-engine",
        &["tidegate-types", "tidegate-forecast", "tidegate-plan"],
    ),
    ("tidegate-forecast", &["tidegate-types"]),
    ("tidegate-plan", &["tidegate-types"]),
];

/// Checks every member's normal dependencies; tests may know more.
pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        for dependency in &package.dependencies {
            let Some(other) = workspace
                .packages
                .iter()
                .find(|other| other.name == dependency.name)
            else {
                continue;
            };
            if dependency.kind.is_none()
                && let Some(reason) = objection(workspace, package, other)
            {
                findings.push(Finding::file(relative(workspace, &package.manifest_path), reason));
            }
        }
    }
    findings
}

/// Why `package` may not depend on `other`, or nothing.
fn objection(workspace: &Workspace, package: &Package, other: &Package) -> Option<String> {
    let (from, to) = (&package.name, &other.name);
    if let Some((_, allowed)) = CLOSED.iter().find(|(name, _)| name == from) {
        let listed = allowed.contains(&to.as_str());
        return (!listed).then(|| {
            format!("{from} depends on {to}; it may know only {allowed:?}: move what it needs into types or pass it in")
        });
    }
    let own = wing(workspace, package)?;
    let theirs = wing(workspace, other);
    if to == "tidegate-types" || theirs == Some(own) {
        return None;
    }
    Some(format!(
        "{from} ({own}) depends on {to}: a wing knows types and itself, nothing else; let the binary wire the two"
    ))
}

/// The wing a package stands in: the folder between `crates/` and its own.
fn wing<'a>(workspace: &'a Workspace, package: &'a Package) -> Option<&'a str> {
    let folder = relative(workspace, package.folder());
    let rest = folder.strip_prefix("crates").ok()?;
    let mut parts = rest.iter();
    let first = parts.next()?.to_str()?;
    parts.next().map(|_| first)
}

fn relative<'a>(workspace: &Workspace, path: &'a Path) -> &'a Path {
    path.strip_prefix(&workspace.root).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;
    use std::path::PathBuf;

    fn package(name: &str, folder: &str, dependencies: &[&str]) -> Package {
        let dependency = |name: &&str| Dependency {
            name: (*name).to_owned(),
            kind: None,
        };
        Package {
            name: name.to_owned(),
            manifest_path: PathBuf::from("/w").join(folder).join("Cargo.toml"),
            dependencies: dependencies.iter().map(dependency).collect(),
        }
    }

    fn check_graph(from: &str, to: &str, expected: usize) {
        let mut packages = vec![
            package("tidegate-types", "crates/types", &[]),
            package("tidegate-forecast", "crates/profiler/forecast", &[]),
            package("tidegate-history", "crates/profiler/history", &[]),
            package("tidegate-act", "crates/allocator/act", &[]),
            package("tidegate", "crates/tidegate", &[]),
        ];
        let depender = packages
            .iter_mut()
            .find(|package| package.name == from)
            .expect("known");
        depender.dependencies.push(Dependency {
            name: to.to_owned(),
            kind: None,
        });
        let workspace = Workspace {
            packages,
            root: "/w".into(),
            target: "/t".into(),
        };
        assert_eq!(check(&workspace).len(), expected, "{from} -> {to}");
    }

    #[test]
    fn wings_know_types_and_themselves() {
        check_graph("tidegate-act", "tidegate-types", 0);
        check_graph("tidegate-history", "tidegate-forecast", 0);
        check_graph("tidegate-act", "tidegate-history", 1);
        check_graph("tidegate-types", "tidegate-act", 1);
        check_graph("tidegate-forecast", "tidegate-history", 1);
        check_graph("tidegate", "tidegate-act", 0);
    }
}
