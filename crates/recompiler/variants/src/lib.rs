//! The daemon's side of recompiling: which functions are hot, what was compiled for them, whether it helped.
//!
//! The pieces, in the order in which a wish for variants passes through them: [`heat`] says which functions run
//! on the contended cores; [`compile`] has the worker make an image of a function's blob, unless [`cache`] has
//! it; [`session`] and [`switchboard`] load it into the process and switch; [`trial`] and [`live`] measure base, placebo
//! and variant in turn; [`choice`] remembers the verdict. [`orchestrator`] connects them.
//!
//! It knows no LLVM (the worker is another executable), no forecast, and no policy: whoever calls it has decided
//! that the process may be touched.

#![deny(unsafe_code)]

pub mod cache;
pub mod choice;
pub mod client;
pub mod compile;
pub mod constants;
pub mod decide;
pub mod error;
pub mod heat;
pub mod inspect;
pub mod live;
pub mod orchestrator;
pub mod placement;
pub mod processor;
pub mod program;
pub mod recipe;
pub mod session;
pub mod switchboard;
pub mod trial;
mod values;
pub mod warm;

pub use error::VariantsError;
