//! Where an event stands in the log, and the cut a fee was rated at (I3).
//!
//! In streaming mode a position is (epoch, partition, offset, index); in direct mode the log is the sequence of inserts:
//! epoch 0, partition 0, `offset` = the number of the insert, `index` = the row in it. One form, so that rating, proof
//! and adjustments are the same code in both modes.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The place of one event (or void) in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Which log: grows when a topic is replaced by a larger one.
    pub epoch: u16,
    /// Partition of the topic; 0 in direct mode.
    pub partition: u16,
    /// Offset of the record; the insert's number in direct mode.
    pub offset: u64,
    /// Line inside the record; row inside the insert.
    pub index: u32,
}

/// Up to which offset of each (epoch, partition) events were in: all with `offset <= cut` belong to it.
///
/// A partition that is not named had no events. Serialized as `[{"epoch":0,"partition":0,"offset":17}]`, kept with each fee.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Cut {
    offsets: BTreeMap<(u16, u16), u64>,
}

#[derive(Serialize, Deserialize)]
struct CutEntry {
    epoch: u16,
    partition: u16,
    offset: u64,
}

impl Cut {
    /// The cut of direct mode: everything up to and with insert number `offset`.
    #[must_use]
    pub fn direct(offset: u64) -> Self {
        Self { offsets: BTreeMap::from([((0, 0), offset)]) }
    }

    /// Sets the last offset of one partition.
    pub fn set(&mut self, epoch: u16, partition: u16, offset: u64) {
        self.offsets.insert((epoch, partition), offset);
    }

    /// Whether the event at `position` was in.
    #[must_use]
    pub fn contains(&self, position: Position) -> bool {
        self.offsets.get(&(position.epoch, position.partition)).is_some_and(|last| position.offset <= *last)
    }

    /// `(epoch, partition, last offset)` in order.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u16, u64)> + '_ {
        self.offsets.iter().map(|(&(epoch, partition), &offset)| (epoch, partition, offset))
    }
}

impl Serialize for Cut {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|(epoch, partition, offset)| CutEntry { epoch, partition, offset }))
    }
}

impl<'de> Deserialize<'de> for Cut {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Vec::<CutEntry>::deserialize(deserializer)?;
        let mut cut = Cut::default();
        for entry in entries {
            cut.set(entry.epoch, entry.partition, entry.offset);
        }
        Ok(cut)
    }
}
