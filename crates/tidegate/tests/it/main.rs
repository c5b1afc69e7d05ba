//! The binary as a person or a script meets it.

mod backtest;
mod daemon;
mod inert;
mod words;
mod world;
