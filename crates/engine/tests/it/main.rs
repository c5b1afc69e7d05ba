//! The loop as a whole: samples in, plans out.

mod crowd;
mod loops;
