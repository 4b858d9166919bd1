//! Rating spread over several processes: which of them rates which subscription.
//!
//! A shard is a function of the subscription's id alone, so any process knows every other's share, and what comes out does not
//! depend on how many there are (I3): whose usage an event is, each decides from the same catalog.

use crate::rated::RatingItem;
use domain::ids::SubscriptionId;

/// One of several shares of all subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    of: u32,
}

/// A share that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shard {index} of {of}: shards are counted from 0, and there is at least one")]
pub struct NoSuchShard {
    /// Asked for.
    pub index: u32,
    /// Of how many.
    pub of: u32,
}

impl Shard {
    /// All subscriptions.
    pub const WHOLE: Shard = Shard { index: 0, of: 1 };

    /// Share `index` (from 0) of `of`.
    ///
    /// # Errors
    /// When there is no such share.
    pub fn new(index: u32, of: u32) -> Result<Self, NoSuchShard> {
        if index < of { Ok(Self { index, of }) } else { Err(NoSuchShard { index, of }) }
    }

    /// Whether it rates a subscription.
    #[must_use]
    pub fn holds(self, subscription: SubscriptionId) -> bool {
        // Ids are random or begin with a time, so the last 64 bits spread evenly; both halves are mixed all the same.
        let (high, low) = subscription.0.as_u64_pair();
        let mixed = (high ^ low).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        mixed % u64::from(self.of) == u64::from(self.index)
    }

    /// The stretches of its subscriptions, in their order.
    #[must_use]
    pub fn of(self, items: Vec<RatingItem>) -> Vec<RatingItem> {
        items.into_iter().filter(|item| self.holds(item.subscription)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subscription_is_in_exactly_one_shard_and_shards_are_about_equal() {
        let mut held = [0_u32; 5];
        for _ in 0..5_000 {
            let id = SubscriptionId(uuid::Uuid::now_v7());
            let holders: Vec<u32> = (0..5).filter(|index| Shard::new(*index, 5).unwrap().holds(id)).collect();
            assert_eq!(holders.len(), 1);
            held[holders[0] as usize] += 1;
        }
        assert!(held.iter().all(|number| (800..1_200).contains(number)), "{held:?}");
        assert!(Shard::WHOLE.holds(SubscriptionId::random()));
        assert_eq!(Shard::new(2, 2), Err(NoSuchShard { index: 2, of: 2 }));
    }
}
