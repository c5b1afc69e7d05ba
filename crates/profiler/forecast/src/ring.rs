//! Rings of bounded length. There are tens of thousands of them, so a ring grows by a part and never past its bound, where
//! doubling would take up to twice as much.

use std::collections::VecDeque;

/// Places that a full ring grows by at least.
const GROWTH_MIN: usize = 16;

/// Appends `value`; of more than `kept` values the oldest goes.
pub(crate) fn push<T>(ring: &mut VecDeque<T>, value: T, kept: usize) {
    while ring.len() >= kept {
        ring.pop_front();
    }
    if ring.len() == ring.capacity() {
        let growth = GROWTH_MIN.max(ring.len() / 4);
        ring.reserve_exact(growth.min(kept - ring.len()));
    }
    ring.push_back(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_keeps_the_newest_and_takes_no_more_room_than_it_may() {
        let mut ring = VecDeque::new();
        (0..1000).for_each(|value| push(&mut ring, value, 288));
        assert!(ring.iter().copied().eq(712..1000));
        assert!(ring.capacity() <= 288, "{}", ring.capacity());
    }
}
