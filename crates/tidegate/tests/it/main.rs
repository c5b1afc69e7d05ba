//! The binary as a person or a script meets it.

mod backtest;
mod bed;
mod chain;
mod daemon;
mod demand;
mod events;
mod inert;
mod train;
mod words;
mod world;
