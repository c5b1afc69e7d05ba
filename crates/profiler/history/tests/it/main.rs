//! The store as its users see it, on a real folder and on a disk that fails.

mod corruption;
mod disk;
mod faults;
mod import_and_dump;
mod recording;
mod samples;
mod support;
mod tiers;
