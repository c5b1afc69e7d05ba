//! No files: Landlock with no rule, so that nothing below `/` can be opened, made or run any more.
//!
//! What is open stays open: the three standard streams. Source: Linux, Documentation/userspace-api/landlock.rst.

use std::io;
use std::mem::size_of;

const CREATE_RULESET_VERSION: libc::c_long = 1;
/// Rights over files by version of the interface: 13 in the first, then one more each in 2, 3 and 5.
const RIGHTS_BY_VERSION: [u64; 5] = [0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff];

/// `struct landlock_ruleset_attr`, as its first version has it.
#[repr(C)]
struct RulesetAttributes {
    handled_access_fs: u64,
}

/// Takes the file system from this process for good. A kernel without Landlock takes nothing, without an error.
pub(super) fn restrict() -> io::Result<()> {
    // SAFETY: with this flag the kernel reads no memory and gives the version.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<RulesetAttributes>(),
            0_usize,
            CREATE_RULESET_VERSION,
        )
    };
    let Ok(version @ 1..) = usize::try_from(version) else {
        return Ok(());
    };
    let newest = RIGHTS_BY_VERSION.len();
    let attributes = RulesetAttributes {
        handled_access_fs: RIGHTS_BY_VERSION[version.min(newest) - 1],
    };
    // SAFETY: the attributes outlive the call and have the size that is told.
    let ruleset = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const attributes,
            size_of::<RulesetAttributes>(),
            0,
        )
    };
    if ruleset < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: takes numbers only.
    let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0) };
    let error = io::Error::last_os_error();
    // SAFETY: the descriptor was made above and is used by nobody else.
    unsafe { libc::close(ruleset as i32) };
    if result == 0 { Ok(()) } else { Err(error) }
}
