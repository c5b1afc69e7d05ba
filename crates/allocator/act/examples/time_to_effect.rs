//! Prints how long this host's kernel takes to take each knob up.
//!
//! `time_to_effect PREFIX [ROUNDS]`: groups named `PREFIX-…` are made below the root of the CPU controller, and removed.

use tidegate_act::{ActError, Layout, measure};

fn main() -> Result<(), ActError> {
    let mut arguments = std::env::args().skip(1);
    let prefix = arguments.next().unwrap_or_else(|| "tidegate-measure".into());
    let rounds = arguments.next().and_then(|word| word.parse().ok()).unwrap_or(20);
    println!("change               p10 ms   p50 ms   p90 ms   max ms   write us");
    for effect in measure::time_to_effect(&Layout::detect()?, &prefix, 0, rounds)? {
        let [low, middle, high, most] = [0.1, 0.5, 0.9, 1.0].map(|share| effect.quantile(share) * 1e3);
        let write = effect.write_seconds[effect.write_seconds.len() / 2] * 1e6;
        println!(
            "{:<20} {low:>6.1}   {middle:>6.1}   {high:>6.1}   {most:>6.1}   {write:>8.0}",
            effect.change
        );
    }
    Ok(())
}
