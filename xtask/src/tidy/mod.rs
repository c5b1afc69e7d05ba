//! `cargo xtask tidy`: what a reviewer would otherwise have to remember.
//!
//! Each check is a function from what is in the repository to findings; a finding says where, what, and what to do.
//! The text checks read sources as text with comments and strings blanked out: a compiler would be more exact, and a
//! hundred times slower. Nothing here changes a file.

mod graph;
mod pages;
mod shape;
mod source;
mod words;

use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use source::Source;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Something to mend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: PathBuf,
    line: usize,
    text: String,
}

impl Finding {
    /// About a file as a whole.
    fn file(path: &Path, text: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: 0,
            text: text.into(),
        }
    }

    /// About one line, counted from 1.
    fn line(path: &Path, line: usize, text: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            text: text.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(formatter, "{}: {}", self.path.display(), self.text),
            line => write!(formatter, "{}:{line}: {}", self.path.display(), self.text),
        }
    }
}

/// Prints what there is to mend; true where there is nothing.
pub(crate) fn run() -> Result<bool> {
    let findings = findings()?;
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => println!("tidy"),
        count => println!("{count} finding(s)"),
    }
    Ok(findings.is_empty())
}

/// All checks over the whole repository, sorted by place.
fn findings() -> Result<Vec<Finding>> {
    let workspace = Workspace::load()?;
    let files = repository_files(&workspace.root)?;
    let mut findings = graph::check(&workspace);
    findings.extend(pages::check(&workspace, &files));
    for path in &files {
        let Ok(text) = std::fs::read_to_string(workspace.root.join(path)) else {
            continue;
        };
        findings.extend(words::check_any(path, &text));
        findings.extend(shape::check_length(path, &text));
        if path.extension().is_some_and(|extension| extension == "rs") {
            let source = Source::new(path, &text);
            findings.extend(shape::check_functions(&source));
            findings.extend(words::check_rust(&source));
        }
    }
    findings.sort();
    Ok(findings)
}

/// Every file that is in the repository or would be added to it, relative to its root.
fn repository_files(root: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("cannot run `git ls-files`")?;
    if !output.status.success() {
        bail!(
            "`git ls-files` failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let names = String::from_utf8_lossy(&output.stdout);
    let mut files: Vec<PathBuf> = names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}

#[cfg(test)]
mod tests {
    /// The repository itself is tidy.
    #[test]
    fn repository_is_tidy() {
        let findings = super::findings().expect("git and cargo are there");
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(
            lines.is_empty(),
            "{} finding(s):\n{}",
            lines.len(),
            lines.join("\n")
        );
    }
}
