//! Request bodies to columns: parsed, validated and pushed in one pass over the text.
//!
//! | dialect | one event | several |
//! |---|---|---|
//! | the contract's | [`parse_event`] (also an NDJSON line) | [`parse_batch`]: `{"events": […]}` |
//! | Lago's | [`parse_lago_event`]: `{"event": {…}}` | [`parse_lago_batch`]: `{"events": […]}` |
//! | CloudEvents 1.0 | [`parse_cloud_event`] (structured), [`parse_binary_cloud_event`] | [`parse_cloud_events`]: `[…]` |
//!
//! What is stored is what was sent: numbers keep their decimal text and properties their bytes, because the scanner hands
//! out spans and converts nothing. What is refused, and how strictly, is in `scan.rs` (the text), `event.rs` (the fields) and
//! `timestamp.rs`; words and places of errors in `problem.rs`.
//!
//! Cost: one pass, no allocation per event but the columns' growth. Millions of events of 250 bytes a second and core, median and
//! 95 % interval of `cargo bench -p ingest-gateway --bench parse`, ids and hashes included: contract 2.00 (1.99–2.02), NDJSON
//! lines 1.79 (1.78–1.80), Lago 2.00 (1.99–2.02), CloudEvents 2.05 (2.04–2.07); half of it is `EventBatch::push`. In a run in
//! which the contract made 1.96, serde_json with raw properties made 1.82, without looking for repeated names. A line of the log
//! takes 65 ns more.
//!
//! A body with a problem is read to its end, to name up to
//! [`MAX_LISTED_PROBLEMS`] of them; a flaw of the text ends it at once.

mod cloud_event;
mod epoch;
mod event;
mod keys;
mod lago;
mod problem;
mod scan;
mod string;
mod timestamp;

#[cfg(test)]
mod dialect_tests;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod reference_dialects;
#[cfg(test)]
mod tests;

pub(crate) use cloud_event::is_json;
pub use cloud_event::{Attributes, parse_binary_cloud_event};
pub use event::KnowsCode;
pub use problem::{Field, Flaw, Frame, MAX_LISTED_PROBLEMS, Place, Problem, Problems};
pub use scan::{Malformed, Syntax};

use cloud_event::CloudEvent;
use domain::event_batch::EventBatch;
use event::{Contract, Dialect, EventReader, malformed};
use lago::Lago;
use scan::{Kind, Scan};

/// Bounds on what one body may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseLimits {
    /// Containers within containers, counted from a member of an event (or of the body around events): 1 is `{}`.
    pub max_depth: u32,
    /// Events in one batch.
    pub max_events: usize,
}

/// Appends the one event that `body` is to `batch`.
///
/// # Errors
/// What is wrong with it; the batch is unchanged then.
pub fn parse_event(
    body: &[u8],
    limits: ParseLimits,
    knows_code: KnowsCode<'_>,
    batch: &mut EventBatch,
) -> Result<(), Problems> {
    read_body(body, limits, knows_code, batch, Frame::Events, |reader, batch| read_bare::<Contract>(reader, batch))
}

/// Appends the events of `{"events": […]}` to `batch`, which is empty.
///
/// # Errors
/// What is wrong with it; the batch is to be thrown away then.
pub fn parse_batch(
    body: &[u8],
    limits: ParseLimits,
    knows_code: KnowsCode<'_>,
    batch: &mut EventBatch,
) -> Result<(), Problems> {
    read_body(body, limits, knows_code, batch, Frame::Events, |reader, batch| {
        read_envelope(reader, "events", |reader| read_events::<Contract>(reader, batch, limits.max_events))
    })
}

/// As [`parse_event`], for `{"event": {…}}` in Lago's form. An event without a time gets the batch's `ingested_at`; any code is
/// taken, `knows_code` is not asked. So it is in all dialects below.
///
/// # Errors
/// What is wrong with it; the batch is unchanged then.
pub fn parse_lago_event(
    body: &[u8],
    limits: ParseLimits,
    knows_code: KnowsCode<'_>,
    batch: &mut EventBatch,
) -> Result<(), Problems> {
    read_body(body, limits, knows_code, batch, Frame::Wrapped, |reader, batch| {
        read_envelope(reader, "event", |reader| reader.event::<Lago>())?;
        push_if_good(reader, batch);
        Ok(())
    })
}

/// As [`parse_batch`], for events in Lago's form.
///
/// # Errors
/// What is wrong with it; the batch is to be thrown away then.
pub fn parse_lago_batch(
    body: &[u8],
    limits: ParseLimits,
    knows_code: KnowsCode<'_>,
    batch: &mut EventBatch,
) -> Result<(), Problems> {
    read_body(body, limits, knows_code, batch, Frame::Events, |reader, batch| {
        read_envelope(reader, "events", |reader| read_events::<Lago>(reader, batch, limits.max_events))
    })
}

/// As [`parse_event`], for a CloudEvent in structured mode.
///
/// # Errors
/// What is wrong with it; the batch is unchanged then.
pub fn parse_cloud_event(
    body: &[u8],
    limits: ParseLimits,
    knows_code: KnowsCode<'_>,
    batch: &mut EventBatch,
) -> Result<(), Problems> {
    read_body(body, limits, knows_code, batch, Frame::Events, |reader, batch| read_bare::<CloudEvent>(reader, batch))
}

/// Appends a batch of CloudEvents, `[…]`, to `batch`, which is empty. No events are fine: the format says so.
///
/// # Errors
/// What is wrong with it; the batch is to be thrown away then.
pub fn parse_cloud_events(
    body: &[u8],
    limits: ParseLimits,
    knows_code: KnowsCode<'_>,
    batch: &mut EventBatch,
) -> Result<(), Problems> {
    read_body(body, limits, knows_code, batch, Frame::List, |reader, batch| {
        reader.scanner.skip_white();
        read_events::<CloudEvent>(reader, batch, limits.max_events)?;
        if reader.has_too_many { Ok(()) } else { reader.scanner.end() }
    })
}

fn read_body<'a>(
    body: &'a [u8],
    limits: ParseLimits,
    knows_code: KnowsCode<'_>,
    batch: &mut EventBatch,
    frame: Frame,
    read: impl FnOnce(&mut EventReader<'a, '_>, &mut EventBatch) -> Scan<()>,
) -> Result<(), Problems> {
    let mut reader = EventReader::new(body, limits.max_depth, batch.ingested_at, knows_code)
        .map_err(|syntax| Problems { frame, ..malformed(Place::BODY, *syntax) })?;
    reader.problems.frame = frame;
    let end = read(&mut reader, batch);
    reader.outcome(end)
}

/// The body is the event.
fn read_bare<D: Dialect>(reader: &mut EventReader<'_, '_>, batch: &mut EventBatch) -> Scan<()> {
    reader.scanner.skip_white();
    reader.event::<D>()?;
    reader.scanner.end()?;
    push_if_good(reader, batch);
    Ok(())
}

/// Once something is wrong nothing will be stored: the rest is read for its problems alone.
#[inline]
fn push_if_good(reader: &EventReader<'_, '_>, batch: &mut EventBatch) {
    if reader.problems.is_empty() {
        batch.push(&reader.row());
    }
}

/// The body is an object; `read` is called at the value of its member `wanted`.
fn read_envelope<'a>(
    reader: &mut EventReader<'a, '_>,
    wanted: &str,
    read: impl FnOnce(&mut EventReader<'a, '_>) -> Scan<()>,
) -> Scan<()> {
    reader.scanner.skip_white();
    if reader.scanner.kind() != Kind::Object {
        reader.scanner.value()?;
        reader.problems.add(Place::BODY, Flaw::NotAnObject);
        return reader.scanner.end();
    }
    let mut read = Some(read);
    let opened = reader.scanner.open_object();
    let mut more = reader.scanner.enter(b'}');
    while more {
        let name = reader.scanner.name()?.decode()?;
        let found = if name == wanted { read.take() } else { None };
        reader.scanner.note_name(name);
        match found {
            Some(read) => read(reader)?,
            None => drop(reader.scanner.value()?),
        }
        if reader.has_too_many {
            // What follows was not asked for: reading it would let one request cost as much as it likes.
            return Ok(());
        }
        more = reader.scanner.more(b'}', "a comma or a closing brace")?;
    }
    reader.scanner.close_object(opened)?;
    if read.is_some() {
        reader.problems.add(Place::Events, Flaw::Missing);
    }
    reader.scanner.end()
}

fn read_events<D: Dialect>(reader: &mut EventReader<'_, '_>, batch: &mut EventBatch, max_events: usize) -> Scan<()> {
    if reader.scanner.kind() != Kind::Array {
        reader.scanner.value()?;
        reader.problems.add(Place::Events, Flaw::NotAList);
        return Ok(());
    }
    let mut more = reader.scanner.enter(b']');
    if !more && reader.problems.frame != Frame::List {
        reader.problems.add(Place::Events, Flaw::NoEvents);
    }
    let mut index = 0;
    while more {
        if index as usize == max_events {
            reader.problems.add(Place::Events, Flaw::TooManyEvents(max_events));
            reader.has_too_many = true;
            return Ok(());
        }
        reader.event = Some(index);
        reader.event::<D>()?;
        push_if_good(reader, batch);
        more = reader.scanner.more(b']', "a comma or a closing bracket")?;
        index += 1;
    }
    reader.event = None;
    Ok(())
}
