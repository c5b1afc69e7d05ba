//! Acting and giving back, on fake trees of both layouts and on this host's own.

mod acting;
mod bed;
mod dying;
mod ownership;
mod role;
