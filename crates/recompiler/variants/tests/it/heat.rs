//! What the kernel's signals say of real programs.

use crate::support::{Bench, Tools, skip, stop, wait_until};
use std::path::Path;
use tidegate_variants::heat::profile::{Pick, Profile};
use tidegate_variants::heat::resolve::Resolver;
use tidegate_variants::heat::{Sampler, Scope, Signal};

/// The hottest switchable function of a program by one signal.
fn check(signal: Signal, expect: &str) {
    let test = format!("heat_{signal:?}");
    let Some(tools) = Tools::find(&test) else {
        return;
    };
    let mut sampler = match Sampler::start_for(signal, Scope::Host, 397) {
        Ok(sampler) => sampler,
        Err(error) => return skip(&test, &error.to_string()),
    };
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/waits.c");
    let program = tools.build(&[source], &["-O2"], &["touch", "rest"], folder.path());
    let bench = Bench { folder, program };
    let child = bench.run(&[]);
    let process = child.id();
    let (mut profile, mut resolver) = (Profile::default(), Resolver::default());
    wait_until("the program is sampled", || {
        for sample in sampler.drain().samples {
            // Until then it is the shell's tools that become the program.
            if sample.process == process && resolver.is_switchable(process) {
                let function = resolver.function_of(&sample);
                profile.add(process, sample.core, function.as_deref());
            }
        }
        resolver.retain(|_| false);
        !profile.hottest(process, &[], Pick::default()).is_empty() && profile.total(process, &[]) > 40.0
    });
    let hot = profile.hottest(process, &[], Pick::default());
    assert_eq!(hot[0].function, expect, "{hot:?}");
    assert!(stop(child).contains("bad=0"));
}

#[test]
fn a_function_that_touches_fresh_memory_is_found_by_its_faults() {
    check(Signal::Fault, "touch");
}

#[test]
fn a_function_that_waits_is_found_by_what_its_calls_leave_the_core_for() {
    check(Signal::Wait, "rest");
}
