//! A small simulated host, its daemon's loop recorded in a store, and what a replay makes of it.

mod host;
mod replays;
