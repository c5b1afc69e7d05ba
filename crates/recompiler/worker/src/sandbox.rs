//! Gives up what a compile does not need: the user's rights, new rights, files, system calls, time, memory, priority.
//!
//! Two steps, because a worker that stays must still fork: [`enter`] takes everything but system calls, [`seal`] takes
//! those too and is the last step before hostile bytes are read. A kernel without Landlock leaves the file system to
//! the user's rights (nobody's, mostly); everything else is required.

pub(crate) mod filter;
mod landlock;

use std::io;

/// The user and group to become where no other is named: nobody's.
const NOBODY: u32 = 65_534;
/// Processor time after which the kernel ends a compile, in seconds, where no other is named. The largest function
/// takes a few.
pub(crate) const CPU_SECONDS_MAX: u64 = 120;
/// Address space, in bytes. A compile takes 75 MB, half of which is libLLVM; the largest function some hundreds.
const ADDRESS_SPACE_MAX: u64 = 4 << 30;
/// Open files: the three standard ones and what the dynamic loader holds for a moment.
const FILES_MAX: u64 = 16;
/// The least urgent of priorities.
const NICE: i32 = 19;

/// A user to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

/// Reads `UID:GID`.
pub(crate) fn user_from_text(text: &str) -> Option<User> {
    let (user, group) = text.split_once(':')?;
    Some(User {
        user: user.parse().ok()?,
        group: group.parse().ok()?,
    })
}

impl Default for User {
    fn default() -> Self {
        Self {
            user: NOBODY,
            group: NOBODY,
        }
    }
}

/// A step that failed.
pub(crate) type Failed = (&'static str, io::Error);

/// Gives up everything but system calls and processor time. The error names the step.
pub(crate) fn enter(user: User) -> Result<(), Failed> {
    lower_priority();
    limit(libc::RLIMIT_CORE, 0).map_err(|error| ("limit of core files", error))?;
    limit(libc::RLIMIT_FSIZE, 0).map_err(|error| ("limit of file sizes", error))?;
    limit(libc::RLIMIT_AS, ADDRESS_SPACE_MAX).map_err(|error| ("limit of memory", error))?;
    limit(libc::RLIMIT_NOFILE, FILES_MAX).map_err(|error| ("limit of open files", error))?;
    become_user(user).map_err(|error| ("change of user", error))?;
    // SAFETY: takes numbers only; afterwards no exec of this process can gain rights.
    let refused = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0;
    if refused {
        return Err(("no new privileges", io::Error::last_os_error()));
    }
    landlock::restrict().map_err(|error| ("no files", error))
}

/// Gives up processor time beyond `cpu_seconds`, and system calls but those of computing.
pub(crate) fn seal(cpu_seconds: u64) -> Result<(), Failed> {
    limit(libc::RLIMIT_CPU, cpu_seconds).map_err(|error| ("limit of processor time", error))?;
    filter::install().map_err(|error| ("system call filter", error))
}

fn become_user(wanted: User) -> io::Result<()> {
    // SAFETY: has no arguments and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return Ok(());
    }
    // SAFETY: an empty list of supplementary groups needs no memory.
    let groups = unsafe { libc::setgroups(0, std::ptr::null()) };
    // SAFETY: takes numbers only.
    let group = unsafe { libc::setresgid(wanted.group, wanted.group, wanted.group) };
    // SAFETY: takes numbers only.
    let user = unsafe { libc::setresuid(wanted.user, wanted.user, wanted.user) };
    if [groups, group, user].iter().all(|result| *result == 0) {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Best effort: a kernel that refuses leaves a compile that is merely less polite.
fn lower_priority() {
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: `parameter` outlives the call.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter) };
    // SAFETY: takes numbers only.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}

fn limit(resource: libc::__rlimit_resource_t, value: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: `limit` outlives the call.
    let result = unsafe { libc::setrlimit(resource, &raw const limit) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_two_numbers() {
        let check = |text: &str, expect: Option<(u32, u32)>| {
            let user = user_from_text(text).map(|user| (user.user, user.group));
            assert_eq!(user, expect, "{text}");
        };
        check("1000:100", Some((1000, 100)));
        check("1000", None);
        check("-1:0", None);
        check("", None);
    }
}
