//! Request bodies to columns: parsed, validated and pushed in one pass over the text.
//!
//! - [`parse_event`]: the body (or NDJSON line) is one event.
//! - [`parse_batch`]: `{"events": […]}`.
//!
//! What is stored is what was sent: numbers keep their decimal text and properties their bytes, because the scanner hands
//! out spans and converts nothing. What is refused, and how strictly, is in `scan.rs` (the text), `event.rs` (the fields) and
//! `timestamp.rs`; words and places of errors in `problem.rs`.
//!
//! Cost: one pass, no allocation per event but the columns' growth. A body with a problem is read to its end, to name up to
//! [`MAX_LISTED_PROBLEMS`] of them; a flaw of the text ends it at once.

mod event;
mod keys;
mod problem;
mod scan;
mod string;
mod timestamp;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

pub use event::KnowsCode;
pub use problem::{Field, Flaw, MAX_LISTED_PROBLEMS, Place, Problem, Problems};
pub use scan::{Malformed, Syntax};

use domain::event_batch::EventBatch;
use event::{EventReader, malformed};
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
    let mut reader =
        EventReader::new(body, limits.max_depth, knows_code).map_err(|syntax| malformed(Place::BODY, *syntax))?;
    let end = read_event(&mut reader);
    if end.is_ok() && reader.problems.is_empty() {
        batch.push(&reader.row());
    }
    reader.outcome(end)
}

fn read_event(reader: &mut EventReader<'_, '_>) -> Scan<()> {
    reader.scanner.skip_white();
    reader.event()?;
    reader.scanner.end()
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
    let mut reader =
        EventReader::new(body, limits.max_depth, knows_code).map_err(|syntax| malformed(Place::BODY, *syntax))?;
    let end = read_envelope(&mut reader, batch, limits.max_events);
    reader.outcome(end)
}

fn read_envelope(reader: &mut EventReader<'_, '_>, batch: &mut EventBatch, max_events: usize) -> Scan<()> {
    reader.scanner.skip_white();
    if reader.scanner.kind() != Kind::Object {
        reader.scanner.value()?;
        reader.problems.add(Place::BODY, Flaw::NotAnObject);
        return reader.scanner.end();
    }
    let mut found = false;
    let opened = reader.scanner.open_object();
    let mut more = reader.scanner.enter(b'}');
    while more {
        let name = reader.scanner.name()?.decode()?;
        let is_events = name == "events" && !found;
        reader.scanner.note_name(name);
        if is_events {
            found = true;
            read_events(reader, batch, max_events)?;
        } else {
            reader.scanner.value()?;
        }
        if reader.has_too_many {
            // What follows was not asked for: reading it would let one request cost as much as it likes.
            return Ok(());
        }
        more = reader.scanner.more(b'}', "a comma or a closing brace")?;
    }
    reader.scanner.close_object(opened)?;
    if !found {
        reader.problems.add(Place::Events, Flaw::Missing);
    }
    reader.scanner.end()
}

fn read_events(reader: &mut EventReader<'_, '_>, batch: &mut EventBatch, max_events: usize) -> Scan<()> {
    if reader.scanner.kind() != Kind::Array {
        reader.scanner.value()?;
        reader.problems.add(Place::Events, Flaw::NotAList);
        return Ok(());
    }
    let mut more = reader.scanner.enter(b']');
    if !more {
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
        reader.event()?;
        // Once something is wrong nothing will be stored: the rest is read for its problems alone.
        if reader.problems.is_empty() {
            batch.push(&reader.row());
        }
        more = reader.scanner.more(b']', "a comma or a closing bracket")?;
        index += 1;
    }
    reader.event = None;
    Ok(())
}
