//! The forecast on simulated hosts, by a simulated clock.

mod backtest;
mod bursts;
mod calibration;
mod demand;
mod leads;
mod real;
mod robust;
mod sim;
mod trained;
mod treated;
mod units;
