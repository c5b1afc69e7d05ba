//! What is printed: data to standard output, talk to standard error.
//!
//! A reader who leaves ends a verb quietly, as `tidegate apps | head` expects; output that cannot be written for
//! another reason ends it with the status of the environment. Talk that nobody can hear ends nothing: the daemon goes
//! on where its log is on a full disk or a closed pipe.

use crate::failure::{Failure, Status};
use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write as _};

/// Prints to standard output, or leaves.
pub(crate) fn write(text: Arguments<'_>) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_fmt(text) {
        leave(&error);
    }
}

/// Prints bytes to standard output, or leaves.
pub(crate) fn write_bytes(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
        leave(&error);
    }
}

/// Says something on standard error, to whoever can hear it.
pub(crate) fn remark(text: Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

/// What became of output that could not be written.
pub(crate) fn failure(error: &io::Error) -> Option<Failure> {
    let hint = "make room on that disk, or send the output elsewhere";
    (error.kind() != ErrorKind::BrokenPipe)
        .then(|| Failure::environment(format!("standard output: {error}")).hint(hint))
}

fn leave(error: &io::Error) -> ! {
    let Some(failure) = failure(error) else {
        std::process::exit(0);
    };
    remark(format_args!("{failure}\n"));
    std::process::exit(Status::Environment as i32);
}

/// `print!` to a reader who may leave.
macro_rules! put {
    ($($argument:tt)*) => { $crate::out::write(format_args!($($argument)*)) };
}

/// `println!` to a reader who may leave.
macro_rules! say {
    () => { $crate::out::write(format_args!("\n")) };
    ($($argument:tt)+) => { $crate::out::write(format_args!("{}\n", format_args!($($argument)+))) };
}

/// `eprintln!` where standard error may be gone.
macro_rules! note {
    () => { $crate::out::remark(format_args!("\n")) };
    ($($argument:tt)+) => { $crate::out::remark(format_args!("{}\n", format_args!($($argument)+))) };
}

pub(crate) use {note, put, say};
