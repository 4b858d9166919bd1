//! I2 for one event: is it the first of its id?

use super::known::{Filter, IdMap, Recent, Version};
use super::lookup::IdRow;
use super::row::EventKey;
use crate::direct::DuplicateKind;
use domain::position::Position;

/// What the writer knows.
pub(crate) struct Knowledge<'a> {
    pub(crate) recent: &'a mut Recent,
    pub(crate) filter: &'a mut Filter,
    /// Answers of the id table for the ids it was asked about.
    pub(crate) stored: &'a IdMap<IdRow>,
}

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The first of its id; known from now on.
    New,
    /// The stored event itself, read from the log once more.
    Again,
    /// A copy.
    Copy(DuplicateKind),
}

impl Knowledge<'_> {
    /// Decides, and remembers an id that is new. `position` is that of a line in the log; absent where positions are given
    /// out only to what is new.
    pub(crate) fn judge(&mut self, event: &EventKey, position: Option<Position>) -> Verdict {
        let own = Version { content: event.content, timestamp: event.timestamp.0 };
        let first = match self.recent.get(event.id) {
            Some(version) => version,
            None => match self.stored.get(&event.id.0) {
                Some(row) if Some(row.position) == position => return Verdict::Again,
                Some(row) => row.version(),
                None => {
                    self.recent.insert(event.id, own);
                    self.filter.insert(event.id);
                    return Verdict::New;
                }
            },
        };
        Verdict::Copy(match (first.content == own.content, first.timestamp == own.timestamp) {
            (true, true) => DuplicateKind::Exact,
            (true, false) => DuplicateKind::Restamped,
            (false, _) => DuplicateKind::Conflict,
        })
    }
}
