//! Standard output that a closed pipe ends quietly, as `tidegate apps | head` expects.

use std::fmt::Arguments;
use std::io::Write as _;

/// Prints, and leaves with success where nobody reads any more.
pub(crate) fn write(text: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    if out.write_fmt(text).is_err() {
        std::process::exit(0);
    }
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

pub(crate) use {put, say};
