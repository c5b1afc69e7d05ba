//! What a process changes in the file system, by its system calls.
//!
//! `strace` writes them down, children included; this module reads its lines and tells which paths were opened for
//! writing, made, moved, removed or given other attributes outside the folders where that is allowed. Attempts count,
//! whether they succeed or not. Descriptors are not followed: who may write to one had to open it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Calls that are written down: those that open, and those that change a path.
const CALLS: &str = "trace=open,openat,openat2,creat,truncate,mkdir,mkdirat,rmdir,unlink,unlinkat,rename,renameat,\
                     renameat2,link,linkat,symlink,symlinkat,mknod,mknodat,chmod,fchmodat,chown,lchown,fchownat,\
                     utimensat,setxattr,removexattr,mount,umount2";
/// Opening with one of these may change something.
const WRITING: [&str; 4] = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"];
/// Writing here keeps nothing.
const SINKS: [&str; 2] = ["/dev/null", "/dev/tty"];

/// The words to put before a command so that its calls go to `log`. The command stays our child.
pub(super) fn tracer(log: &Path) -> Vec<OsString> {
    let flags = [
        "strace",
        "-D",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-y",
        "-s",
        "4096",
        "-e",
        CALLS,
    ];
    let mut words: Vec<OsString> = flags.iter().map(OsString::from).collect();
    words.extend([OsString::from("-o"), log.into()]);
    words
}

/// What a trace says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Trace {
    /// Calls that change or may change something.
    pub(super) changes: usize,
    /// Lines of those outside the allowed folders.
    pub(super) elsewhere: Vec<String>,
}

impl Trace {
    /// Reads a log of [`tracer`].
    pub(super) fn read(log: &str, allowed: &[PathBuf]) -> Self {
        let mut trace = Self::default();
        for line in log.lines() {
            let paths = changed_paths(line);
            trace.changes += usize::from(!paths.is_empty());
            if !paths.iter().all(|path| is_allowed(path, allowed)) {
                trace.elsewhere.push(line.to_owned());
            }
        }
        trace
    }
}

fn is_allowed(path: &Path, allowed: &[PathBuf]) -> bool {
    let climbs = path.components().any(|part| part.as_os_str() == "..");
    let within = allowed.iter().any(|folder| path.starts_with(folder));
    !climbs && (within || SINKS.iter().any(|sink| path == Path::new(sink)))
}

/// The paths that the call of a line changes; none where it only reads or is the second half of a call.
fn changed_paths(line: &str) -> Vec<PathBuf> {
    let Some((head, arguments)) = line.split_once('(') else {
        return Vec::new();
    };
    // The process id stands before the name.
    let call = head.rsplit(' ').next().unwrap_or_default();
    let opens = matches!(call, "open" | "openat" | "openat2");
    if call.is_empty()
        || head.contains("<...")
        || (opens && !WRITING.iter().any(|flag| arguments.contains(flag)))
    {
        return Vec::new();
    }
    // What a symbolic link points to is not changed by making it.
    let skip = usize::from(call.starts_with("symlink"));
    quoted(arguments).into_iter().skip(skip).collect()
}

/// Every quoted path, behind the folder of its descriptor where it is relative to one.
fn quoted(arguments: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut rest = arguments;
    while let Some((before, after)) = rest.split_once('"') {
        let Some((path, after)) = after.split_once('"') else {
            break;
        };
        let folder = before
            .rsplit_once('<')
            .and_then(|(_, folder)| folder.split_once('>'))
            .map_or("", |(folder, _)| folder);
        paths.push(Path::new(folder).join(path));
        rest = after;
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, elsewhere: bool) {
        let trace = Trace::read(line, &[PathBuf::from("/data")]);
        assert_eq!(!trace.elsewhere.is_empty(), elsewhere, "{line}: {trace:?}");
    }

    #[test]
    fn reading_is_no_change() {
        check(
            r#"7 openat(AT_FDCWD</root>, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3</etc/passwd>"#,
            false,
        );
        check(r"7 <... openat resumed>) = 3</etc/passwd>", false);
        check("7 +++ exited with 0 +++", false);
    }

    #[test]
    fn writing_is_allowed_in_the_folder_only() {
        check(
            r#"7 openat(AT_FDCWD</root>, "/data/a", O_WRONLY|O_CREAT, 0600) = 3</data/a>"#,
            false,
        );
        check(
            r#"7 openat(AT_FDCWD</root>, "/database", O_WRONLY|O_CREAT, 0600) = 3"#,
            true,
        );
        check(
            r#"7 openat(AT_FDCWD</root>, "/sys/fs/cgroup/cpu/cpu.shares", O_RDWR <unfinished ...>"#,
            true,
        );
        check(
            r#"7 openat(AT_FDCWD</root>, "/dev/null", O_RDWR) = 3</dev/null>"#,
            false,
        );
        check(r#"7 openat(AT_FDCWD</root>, "/data/../etc/a", O_RDWR) = 3"#, true);
    }

    #[test]
    fn descriptors_name_the_folder() {
        check(r#"7 unlinkat(5</data/old>, "a", 0) = 0"#, false);
        check(r#"7 unlinkat(5</etc>, "a", 0) = -1 EACCES"#, true);
        check(r#"7 openat(AT_FDCWD</root>, "a", O_WRONLY) = 3"#, true);
    }

    #[test]
    fn both_ends_of_a_move_count() {
        check(r#"7 rename("/data/a", "/data/b") = 0"#, false);
        check(r#"7 rename("/data/a", "/etc/b") = 0"#, true);
        check(r#"7 symlink("/usr/bin/x", "/data/x") = 0"#, false);
    }
}
