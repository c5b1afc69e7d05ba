//! Policies and plans, on a simulated host with a simulated clock.

mod crowds;
mod flip;
mod ownership;
mod policies;
mod pool;
mod world;
