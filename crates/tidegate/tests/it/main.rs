//! The binary as a person or a script meets it.

mod backtest;
mod chain;
mod daemon;
mod events;
mod inert;
mod train;
mod words;
mod world;
