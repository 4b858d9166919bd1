//! Groups that a dead writer left in the journal go into the store (I1), each event once (I2).
//!
//! Recovery came first: every row of `events` at and beyond the journal's first group has its id row by now. So a line whose id
//! is found at the line's own position is stored; one whose id is found elsewhere is the copy that it was when it was
//! accepted; one whose id is not found goes in, at its position. All of it may be repeated from the start.

use super::journal::{Journal, JournaledGroup};
use crate::error::StoreError;
use crate::writing::commit::{CommitError, Committer, joined};
use crate::writing::decode::{DecodedRecord, decode};
use crate::writing::judge::{Knowledge, Verdict};
use crate::writing::known::{Filter, Recent};
use crate::writing::lane::Lane;
use crate::writing::lookup::stored_ids;
use crate::writing::plans::Plans;
use crate::writing::row::Source;
use crate::writing::rows::Rows;
use domain::position::Position;
use event_log::consumer::Record;
use std::sync::Arc;

/// Rows of one insert.
const ROWS_PER_INSERT: usize = 50_000;

/// Stores what is in the journal and empties it; answers the last insert number that was in it.
///
/// # Errors
/// Engine errors, and [`StoreError::Corrupt`] for a line that cannot be read. The journal is left as it was then.
pub(super) async fn replay(
    journal: &mut Journal,
    lane: &Lane,
    filter: &mut Filter,
    plans: &mut Plans,
) -> Result<Option<u64>, StoreError> {
    let mut recent = Recent::new(usize::MAX);
    let mut rows = Rows::new();
    let (mut events, mut last) = (0, None);
    while let Some(group) = journal.next_after(last.unwrap_or(0)).await? {
        last = Some(group.offset);
        add(&mut rows, read(group)?, lane, (&mut recent, filter), plans).await?;
        if rows.len() >= ROWS_PER_INSERT {
            events += rows.events.len();
            insert(std::mem::replace(&mut rows, Rows::new()), lane).await?;
        }
    }
    events += rows.events.len();
    insert(rows, lane).await?;
    if let Some(last) = last {
        journal.forget(last).await?;
        tracing::warn!(events, "answered events of an interrupted writer went from the journal into the store");
        metrics::counter!("tollgate_store_replayed_events_total").increment(events as u64);
    }
    Ok(last)
}

fn read(group: JournaledGroup) -> Result<DecodedRecord, StoreError> {
    let JournaledGroup { offset, lines } = group;
    let decoded = decode(Record { partition: 0, offset, stamped_at_millis: None, lines });
    match decoded.dead.first() {
        Some(dead) => {
            let reason = format!("line {} of journaled group {offset}: {}", dead.line, dead.reason);
            Err(StoreError::Corrupt(reason))
        }
        None => Ok(decoded),
    }
}

async fn add(
    rows: &mut Rows,
    group: DecodedRecord,
    lane: &Lane,
    (recent, filter): (&mut Recent, &mut Filter),
    plans: &mut Plans,
) -> Result<(), StoreError> {
    let lines = &group.rows;
    let keys = (0..lines.len()).map(|row| lines.key(row));
    let maybe = keys.filter(|key| recent.get(key.id).is_none() && filter.may_hold(key.id));
    let doubtful: Vec<_> = maybe.map(|key| (key.organization, key.id)).collect();
    let stored = stored_ids(lane.connection(), &doubtful, "1").await?;
    let source = rows.add_source(Source::Record(Arc::clone(lines)));
    let mut knowledge = Knowledge { recent, filter, stored: &stored };
    for row in 0..lines.len() {
        let key = lines.key(row);
        let position = Position { epoch: 0, partition: 0, offset: group.offset, index: lines.line(row) };
        match knowledge.judge(&key, Some(position)) {
            Verdict::New => rows.add_event((source, row), (key.organization, lines.code(row)), position, plans),
            Verdict::Again => {}
            Verdict::Copy(kind) => rows.add_copy((source, row), position, kind),
        }
    }
    Ok(())
}

async fn insert(rows: Rows, lane: &Lane) -> Result<(), StoreError> {
    if rows.len() == 0 {
        return Ok(());
    }
    match joined(Committer::new(lane.clone()).start(rows).await) {
        Ok(()) => Ok(()),
        Err(CommitError::Failed(error)) => Err(error),
        // Nothing goes before it.
        Err(CommitError::NotTried) => Err(StoreError::Engine("an insert was not tried".into())),
    }
}
