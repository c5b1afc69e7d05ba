//! The pages: they name every room, and what they name exists.

use super::Finding;
use crate::bench;
use crate::workspace::Workspace;
use std::path::{Path, PathBuf};

/// Pages that a newcomer needs.
const ROOT_PAGES: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "SPECIFICATION.md",
    "CHANGELOG.md",
    "LICENSE",
];

/// All checks of pages.
pub(super) fn check(workspace: &Workspace, files: &[PathBuf]) -> Vec<Finding> {
    let root = &workspace.root;
    let mut findings = Vec::new();
    for page in ROOT_PAGES {
        if !root.join(page).is_file() {
            findings.push(Finding::file(Path::new(page), "is missing"));
        }
    }
    findings.extend(crates_have_readmes(workspace));
    if let Ok(text) = std::fs::read_to_string(root.join("ARCHITECTURE.md")) {
        findings.extend(architecture(workspace, &text));
    }
    if let Ok(text) = std::fs::read_to_string(root.join("SPECIFICATION.md")) {
        findings.extend(specification(&text));
    }
    for page in files
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
    {
        if let Ok(text) = std::fs::read_to_string(root.join(page)) {
            findings.extend(links(root, page, &text));
        }
    }
    findings
}

fn crates_have_readmes(workspace: &Workspace) -> Vec<Finding> {
    let without = workspace
        .packages
        .iter()
        .filter(|package| !package.folder().join("README.md").is_file());
    let relative = |path: &Path| path.strip_prefix(&workspace.root).unwrap_or(path).to_owned();
    without
        .map(|package| {
            Finding::file(
                &relative(package.folder()),
                "has no README.md: what the room is for, what it knows and does not know",
            )
        })
        .collect()
}

/// Every package is named by its folder's name, and every path in backticks exists.
fn architecture(workspace: &Workspace, text: &str) -> Vec<Finding> {
    let page = Path::new("ARCHITECTURE.md");
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let folder = package.folder();
        let name = folder
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if !text.contains(&format!("{name}/")) && !text.contains(&format!("`{name}`")) {
            findings.push(Finding::file(
                page,
                format!("does not name the room `{name}` ({})", package.name),
            ));
        }
    }
    for (index, line) in text.lines().enumerate() {
        for path in named_paths(&workspace.root, line) {
            if !workspace.root.join(path).exists() {
                findings.push(Finding::line(
                    page,
                    index + 1,
                    format!("names `{path}`, which does not exist"),
                ));
            }
        }
    }
    findings
}

/// What stands in backticks and begins with a folder of the repository's root.
fn named_paths<'a>(root: &Path, line: &'a str) -> Vec<&'a str> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted
        .filter(|text| !text.contains([' ', '*', '<', '{', '…']))
        .filter(|text| {
            text.split_once('/')
                .is_some_and(|(first, _)| !first.is_empty() && root.join(first).is_dir())
        })
        .filter(|text| !text.starts_with("target/"))
        .collect()
}

/// Every bench stands behind a promised number.
fn specification(text: &str) -> Vec<Finding> {
    let page = Path::new("SPECIFICATION.md");
    let named = |name: &str| text.contains(&format!("bench {name}"));
    bench::NAMES
        .iter()
        .filter(|name| !named(name))
        .map(|name| {
            Finding::file(
                page,
                format!("does not name `cargo xtask bench {name}`: every bench proves a promised number"),
            )
        })
        .collect()
}

/// Links to files of the repository lead somewhere.
fn links(root: &Path, page: &Path, text: &str) -> Vec<Finding> {
    let folder = page.parent().unwrap_or(Path::new(""));
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for target in link_targets(line) {
            let target = target.split('#').next().unwrap_or_default();
            let outside = target.contains("://") || target.starts_with("mailto:");
            if !target.is_empty() && !outside && !root.join(folder).join(target).exists() {
                findings.push(Finding::line(
                    page,
                    index + 1,
                    format!("links to `{target}`, which does not exist"),
                ));
            }
        }
    }
    findings
}

/// The targets of `[text](target)` on one line.
fn link_targets(line: &str) -> Vec<&str> {
    line.match_indices("](")
        .filter_map(|(at, open)| {
            let rest = &line[at + open.len()..];
            rest.split([')', ' ']).next()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_targets_are_found() {
        assert_eq!(
            link_targets("see [a](b.md) and ![c](d/e.png \"f\")"),
            ["b.md", "d/e.png"]
        );
        assert!(link_targets("f(x)[0] (y)").is_empty());
    }

    #[test]
    fn dead_links_are_findings() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("there.md"), "").expect("written");
        let text = "[a](there.md#x) [b](gone.md) [c](https://example.org)";
        let findings = links(folder.path(), Path::new("README.md"), text);
        assert_eq!(findings.len(), 1, "{findings:?}");
    }

    #[test]
    fn every_bench_must_be_specified() {
        let all = bench::NAMES
            .map(|name| format!("`cargo xtask bench {name}`"))
            .join(
                "
",
            );
        assert!(specification(&all).is_empty());
        assert_eq!(specification("").len(), bench::NAMES.len());
    }
}
