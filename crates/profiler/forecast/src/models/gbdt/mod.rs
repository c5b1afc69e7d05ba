//! Gradient-boosted decision trees on histograms, for events and for quantiles.
//!
//! Leaf-wise trees over at most 255 bins per feature, as LightGBM grows them (Ke et al., NIPS 2017), with
//! missing values in a bin of their own, seeded row and feature sampling, and monotone constraints. Our
//! own because the libraries are slower, need a nightly compiler or lack the quantile loss, and because
//! training must give the same bytes on every machine: one thread, one order of additions.
//!
//! It does not choose features, split data, or calibrate.

mod bins;
mod grow;
mod train;
mod tree;
mod walk;

pub use bins::Matrix;
pub(crate) use train::Random;
pub use train::{Grower, Loss, Parameters, train, train_from, train_quantiles};
pub use tree::{Forest, QuantileForest, Tree};
pub(crate) use tree::{Node, PreparedRows};
