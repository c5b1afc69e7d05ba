//! Every interleaving of the helper's stores and the app's calls: loom's exhaustive model of slots, stubs and the
//! publication of loaded code.
//!
//! The sources of slots and stubs are compiled here once more, over loom's atomics. What the machine does at a call is
//! written down in `World::call`: the load of a slot, and what the two kinds of stubs do, load by load. Those loads
//! acquire, as every load does on x86-64. Code is a cell that only its loader may write, before it is published: loom
//! reports a call that could see it half-written.

#![expect(
    clippy::unwrap_used,
    reason = "a test's helpers fail the test as the test itself does"
)]

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
}

#[path = "../../src/functions.rs"]
#[expect(unreachable_pub, reason = "the whole source, of which the model uses a part")]
#[allow(dead_code, reason = "the same")]
mod functions;

#[path = "../../src/stub.rs"]
#[expect(unreachable_pub, reason = "the whole source, of which the model uses a part")]
#[allow(dead_code, reason = "the same")]
mod stub;

mod binary;
mod states;
mod world;
