//! Which groups a process is in: for what must never be acted on, such as the shell of whoever called.

use crate::ActError;
use std::collections::BTreeSet;
use std::path::Path;

/// Paths of the groups of process `pid` in the trees of the CPU controller (v1 `cpu`, v2), below the mount point.
pub fn groups_of(pid: u32) -> Result<BTreeSet<String>, ActError> {
    let path = format!("/proc/{pid}/cgroup");
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|error| ActError::io(Path::new(&path), "read the groups of a process", error))?;
    Ok(parse(&text))
}

/// Lines are `number:controllers:path`; the v2 tree has number 0 and no controllers.
fn parse(text: &str) -> BTreeSet<String> {
    let of_line = |line: &str| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let is_cpu = controllers.is_empty() || controllers.split(',').any(|name| name == "cpu");
        is_cpu.then(|| path.to_owned())
    };
    text.lines().filter_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_trees_of_the_cpu_controller_count() {
        let text = "4:memory:/m\n2:cpuacct:/a\n1:cpu,cpuset:/c\n0::/user.slice/session-1.scope\n";
        assert_eq!(
            parse(text),
            ["/c", "/user.slice/session-1.scope"].map(String::from).into()
        );
        assert!(groups_of(std::process::id()).is_ok());
    }
}
