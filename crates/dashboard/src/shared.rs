//! The one place where the daemon's thread and this room's thread meet.

use crate::metrics::Totals;
use crate::view::View;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;
use tidegate_types::Sample;

/// What was published last.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) view: Arc<View>,
    pub(crate) sample: Arc<Sample>,
    /// When, by the monotonic clock: an age that no clock change can spoil.
    pub(crate) at: Instant,
}

#[derive(Debug)]
struct Inner {
    published: RwLock<Published>,
    totals: Mutex<Totals>,
}

/// The published snapshot. Cheap to clone; every clone shows the same one.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Inner>);

impl Default for Shared {
    fn default() -> Self {
        Self(Arc::new(Inner {
            published: RwLock::new(Published {
                view: Arc::default(),
                sample: Arc::default(),
                at: Instant::now(),
            }),
            totals: Mutex::default(),
        }))
    }
}

impl Shared {
    /// An empty snapshot.
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows `view` and `sample` from now on, and adds the sample's rates to the counters of `/metrics`.
    /// Publish each sample exactly once.
    pub fn publish(&self, view: View, sample: Arc<Sample>) {
        // A reader that panicked held a snapshot, not a half-written one: the lock's content is sound.
        self.0
            .totals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(&sample);
        let next = Published {
            view: Arc::new(view),
            sample,
            at: Instant::now(),
        };
        *self.0.published.write().unwrap_or_else(PoisonError::into_inner) = next;
    }

    /// The view that was published last.
    pub fn view(&self) -> Arc<View> {
        self.published().view
    }

    pub(crate) fn published(&self) -> Published {
        self.0
            .published
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn with_totals<T>(&self, read: impl FnOnce(&Totals) -> T) -> T {
        read(&self.0.totals.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
