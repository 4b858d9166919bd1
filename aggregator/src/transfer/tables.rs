//! The tables that make up the store, in the order in which they are written: `event_ids` last, as its rows say that an event is there.

/// A table whose rows have positions, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Whether equal rows may stand in it until they are merged: it is read merged.
    pub(super) replaces: bool,
    /// Whether its rows have positions; without, all of them are exported, and another store may know more.
    pub(super) positions: bool,
}

pub(super) const TABLES: [Table; 7] = [
    Table { name: "dimension_keys", replaces: true, positions: false },
    Table { name: "events", replaces: true, positions: true },
    Table { name: "losers", replaces: true, positions: true },
    Table { name: "voids", replaces: false, positions: true },
    Table { name: "dead_letters", replaces: true, positions: true },
    Table { name: "doubtful_ids", replaces: true, positions: true },
    Table { name: "event_ids", replaces: false, positions: true },
];

/// The table of this name.
pub(super) fn named(name: &str) -> Option<Table> {
    TABLES.into_iter().find(|table| table.name == name)
}
