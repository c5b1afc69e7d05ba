//! The system calls of computing: memory, the standard streams, clocks, and the end. Everything else is refused.
//!
//! A refused call gives EPERM instead of a kill: LLVM asks for things that it does not need (the terminal, files of the
//! system), and lives with a no.

use std::io;

/// What a compile calls.
const ALLOWED: [libc::c_long; 35] = [
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_poll,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_uname,
    libc::SYS_write,
    libc::SYS_writev,
];

/// `AUDIT_ARCH_X86_64` of linux/audit.h.
const ARCHITECTURE: u32 = 0xc000_003e;
/// Offsets in `struct seccomp_data`.
const NUMBER_OFFSET: u32 = 0;
const ARCHITECTURE_OFFSET: u32 = 4;

/// Installs the filter for this process and its children, for good. Needs that no new privileges can be gained.
pub(super) fn install() -> io::Result<()> {
    let program = program();
    let described = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the program outlives the call; the kernel only reads it.
    let result = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const described,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Another architecture's calls kill; then one comparison per allowed call; then the refusal and the permission.
fn program() -> Vec<libc::sock_filter> {
    let statement = |code: u32, value: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k: value,
    };
    let jump = |value: u32, equal: u8, other: u8| libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: equal,
        jf: other,
        k: value,
    };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let answer = libc::BPF_RET | libc::BPF_K;
    let mut program = vec![
        statement(load, ARCHITECTURE_OFFSET),
        jump(ARCHITECTURE, 1, 0),
        statement(answer, libc::SECCOMP_RET_KILL_PROCESS),
        statement(load, NUMBER_OFFSET),
    ];
    for (index, number) in ALLOWED.iter().enumerate() {
        let to_permission = (ALLOWED.len() - index) as u8;
        program.push(jump(*number as u32, to_permission, 0));
    }
    program.push(statement(answer, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32));
    program.push(statement(answer, libc::SECCOMP_RET_ALLOW));
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program answers to a call.
    fn run(architecture: u32, number: u32) -> u32 {
        let program = program();
        let (mut at, mut value) = (0, 0);
        loop {
            let line = program[at];
            at += 1;
            match (u32::from(line.code), line.k) {
                (code, NUMBER_OFFSET) if code & 7 == libc::BPF_LD => value = number,
                (code, ARCHITECTURE_OFFSET) if code & 7 == libc::BPF_LD => value = architecture,
                (code, answer) if code & 7 == libc::BPF_RET => return answer,
                (_, wanted) => at += usize::from(if value == wanted { line.jt } else { line.jf }),
            }
        }
    }

    #[test]
    fn computing_is_allowed_and_the_rest_is_not() {
        for number in ALLOWED {
            assert_eq!(run(ARCHITECTURE, number as u32), libc::SECCOMP_RET_ALLOW);
        }
        let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
        for number in [
            libc::SYS_openat,
            libc::SYS_execve,
            libc::SYS_socket,
            libc::SYS_clone,
            libc::SYS_fork,
            libc::SYS_ptrace,
            libc::SYS_kill,
        ] {
            assert_eq!(run(ARCHITECTURE, number as u32), refused, "{number}");
        }
        assert_eq!(run(0x4000_0003, 1), libc::SECCOMP_RET_KILL_PROCESS);
    }
}
