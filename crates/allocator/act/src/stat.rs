//! What `/proc/PID/stat` says of a process: its state and when it started.

/// State letter and start of a process, as the kernel writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessStat {
    /// `R`, `S`, `D`, `T` (stopped), `t` (traced), `Z`, `X`.
    pub(crate) state: char,
    /// Clock ticks since boot.
    pub(crate) start_ticks: u64,
}

/// Reads the process `pid`; `None` where there is none.
pub(crate) fn of(pid: u32) -> Option<ProcessStat> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name stands in brackets and may hold anything, so fields are counted from the last bracket.
fn parse(text: &str) -> Option<ProcessStat> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let start_ticks = fields.nth(18)?.parse().ok()?;
    Some(ProcessStat { state, start_ticks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_brackets_and_blanks() {
        let line = "42 (a) b (c) T 1 42 42 0 -1 4194560 1 0 0 0 7 8 0 0 20 0 1 0 98765 1 1 1";
        assert_eq!(
            parse(line),
            Some(ProcessStat {
                state: 'T',
                start_ticks: 98_765
            })
        );
        assert!(of(std::process::id()).is_some());
    }
}
