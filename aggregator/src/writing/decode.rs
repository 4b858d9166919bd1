//! A record of the log, with what each line says about itself; lines that cannot be read stay bytes.
//!
//! A line is refused, never guessed at: when it is not as [`domain::log_line`] has it, and when it says what no gateway lets
//! through (an empty id or code, a time outside [`Timestamp::EARLIEST`] to [`Timestamp::LATEST`], which the store could not
//! keep).

use super::row::{EventKey, EventRef};
use super::rows::count;
use domain::identity::{Content, EventId, SeriesId, content_hash};
use domain::ids::OrganizationId;
use domain::log_line::{EventLine, LineError, LogLine, organization_of, read_text};
use domain::time::Timestamp;
use event_log::consumer::Record;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A decoded record; everything in it carries the number of its line.
pub(crate) struct DecodedRecord {
    pub(crate) partition: u16,
    pub(crate) offset: u64,
    /// When the producer stamped it; 1970 when it did not.
    pub(crate) stamped_at: Timestamp,
    pub(crate) rows: Arc<LogRows>,
    pub(crate) voids: Vec<VoidLine>,
    pub(crate) dead: Vec<DeadLine>,
}

/// The void of an event.
pub(crate) struct VoidLine {
    pub(crate) line: u32,
    pub(crate) organization: OrganizationId,
    pub(crate) id: EventId,
    pub(crate) transaction_id: String,
    pub(crate) accepted_at: Timestamp,
}

/// A line that is not to be stored as an event.
pub(crate) struct DeadLine {
    pub(crate) line: u32,
    pub(crate) organization: Option<OrganizationId>,
    pub(crate) reason: String,
    pub(crate) bytes: Vec<u8>,
}

/// The events of one record, of any tenants. Their texts stay where they came in: rows are inserted in the order of the tables,
/// which is none to a record, so an event should lie in one place and not in a dozen columns.
#[derive(Default)]
pub(crate) struct LogRows {
    /// The record; a line that is not UTF-8 is left empty.
    lines: String,
    /// Texts that stand in the record with escapes.
    unescaped: String,
    rows: Vec<Row>,
}

/// Two cache lines: what names the event, and where the rest of it is.
#[repr(C, align(64))]
struct Row {
    key: EventKey,
    accepted_at: Timestamp,
    line: u32,
    transaction_id: Span,
    code: Span,
    customer: Span,
    subscription: Span,
    properties: Span,
    precise_total: Span,
}

/// Bytes that come from memory at once.
const CACHE_LINE: usize = 64;

/// A stretch of `lines` or, counted on behind them, of `unescaped`. A record is far smaller than 4 GiB.
#[derive(Clone, Copy)]
struct Span {
    from: u32,
    to: u32,
}

impl LogRows {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The line that row `row` stood in.
    pub(crate) fn line(&self, row: usize) -> u32 {
        self.rows[row].line
    }

    pub(crate) fn key(&self, row: usize) -> EventKey {
        self.rows[row].key
    }

    pub(crate) fn code(&self, row: usize) -> &str {
        self.text(self.rows[row].code)
    }

    pub(crate) fn row(&self, row: usize) -> EventRef<'_> {
        let row = &self.rows[row];
        EventRef {
            key: row.key,
            ingested_at: row.accepted_at,
            transaction_id: self.text(row.transaction_id),
            code: self.text(row.code),
            customer: self.text(row.customer),
            subscription: self.text(row.subscription),
            properties: self.text(row.properties),
            precise_total: self.text(row.precise_total),
        }
    }

    pub(crate) fn touch_row(&self, row: usize) -> u32 {
        let row = &self.rows[row];
        row.line.wrapping_add(u32::from(row.key.organization.0.as_bytes()[0]))
    }

    /// From the first text of the line to its last; what was unescaped lies elsewhere and is waited for.
    pub(crate) fn touch_texts(&self, row: usize) -> u32 {
        let row = &self.rows[row];
        let bytes =
            self.lines.as_bytes().get(row.transaction_id.from as usize..row.properties.to as usize).unwrap_or_default();
        bytes.iter().step_by(CACHE_LINE).fold(0, |sum, byte| sum.wrapping_add(u32::from(*byte)))
    }

    fn text(&self, span: Span) -> &str {
        let (from, to) = (span.from as usize, span.to as usize);
        match from.checked_sub(self.lines.len()) {
            Some(behind) => &self.unescaped[behind..to - self.lines.len()],
            None => &self.lines[from..to],
        }
    }

    /// Bytes held, for memory limits.
    pub(crate) fn byte_size(&self) -> usize {
        self.rows.len() * size_of::<Row>() + self.lines.len() + self.unescaped.len()
    }
}

/// Decodes every line of a record. About half a microsecond a line, most of it the two hashes that name it.
pub(crate) fn decode(record: Record) -> DecodedRecord {
    let Record { partition, offset, stamped_at_millis, lines } = record;
    let (lines, unreadable) = readable(lines);
    let mut reading = Reading { lines: &lines, ..Reading::default() };
    let body = lines.strip_suffix('\n').unwrap_or(&lines);
    let whole = (!body.is_empty() || !unreadable.is_empty()).then(|| body.split('\n'));
    for (number, text) in (0..).zip(whole.into_iter().flatten()) {
        if !unreadable.contains_key(&number) {
            reading.read(number, text);
        }
    }
    let Reading { unescaped, rows, voids, mut dead, .. } = reading;
    let reason = LineError::NotUtf8.to_string();
    dead.extend(unreadable.into_iter().map(|(line, bytes)| DeadLine::new(line, reason.clone(), bytes)));
    dead.sort_by_key(|dead| dead.line);
    let stamped_at = Timestamp(stamped_at_millis.unwrap_or(0).saturating_mul(1_000));
    let rows = Arc::new(LogRows { lines, unescaped, rows });
    DecodedRecord { partition, offset, stamped_at, rows, voids, dead }
}

/// The lines as text; those that are none are left empty in it and answered by their number.
fn readable(lines: Vec<u8>) -> (String, BTreeMap<u32, Vec<u8>>) {
    let bytes = match String::from_utf8(lines) {
        Ok(text) => return (text, BTreeMap::new()),
        Err(error) => error.into_bytes(),
    };
    let (mut text, mut unreadable) = (String::with_capacity(bytes.len()), BTreeMap::new());
    let body = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    for (number, line) in (0..).zip(body.split(|byte| *byte == b'\n')) {
        match std::str::from_utf8(line) {
            Ok(readable) => text.push_str(readable),
            Err(_) => drop(unreadable.insert(number, line.to_vec())),
        }
        text.push('\n');
    }
    (text, unreadable)
}

/// What has been read of a record.
#[derive(Default)]
struct Reading<'a> {
    lines: &'a str,
    unescaped: String,
    rows: Vec<Row>,
    voids: Vec<VoidLine>,
    dead: Vec<DeadLine>,
}

impl Reading<'_> {
    fn read(&mut self, line: u32, text: &str) {
        match judged(text) {
            Ok(LogLine::Event(event)) => self.push(line, &event),
            Ok(LogLine::Void { organization, transaction_id, accepted_at }) => self.voids.push(VoidLine {
                line,
                organization,
                id: EventId::derive(organization, &transaction_id),
                transaction_id: transaction_id.into_owned(),
                accepted_at,
            }),
            Err(reason) => self.dead.push(DeadLine::new(line, reason, text.as_bytes().to_vec())),
        }
    }

    fn push(&mut self, line: u32, event: &EventLine<'_>) {
        let content = Content {
            code: &event.code,
            customer: &event.customer,
            subscription: &event.subscription,
            properties: event.properties,
            precise_total_amount_cents: event.precise_total_amount_cents,
        };
        let organization = event.organization;
        let key = EventKey {
            organization,
            id: EventId::derive(organization, &event.transaction_id),
            series: SeriesId::derive(organization, content.code, content.customer, content.subscription),
            content: content_hash(&content),
            timestamp: event.timestamp,
        };
        let row = Row {
            key,
            accepted_at: event.accepted_at,
            line,
            transaction_id: self.span(&event.transaction_id),
            code: self.span(&event.code),
            customer: self.span(&event.customer),
            subscription: self.span(&event.subscription),
            properties: self.span_of_lines(content.properties),
            precise_total: self.span_of_lines(content.precise_total_amount_cents),
        };
        self.rows.push(row);
    }

    // Whether it is borrowed, and so stands in the record, is the question.
    #[allow(clippy::ptr_arg)]
    fn span(&mut self, text: &Cow<'_, str>) -> Span {
        match text {
            Cow::Borrowed(plain) => self.span_of_lines(plain),
            Cow::Owned(unescaped) => {
                let from = self.lines.len() + self.unescaped.len();
                self.unescaped.push_str(unescaped);
                Span { from: count(from), to: count(from + unescaped.len()) }
            }
        }
    }

    /// Where a text stands in the lines it was read from; an absent one is a constant elsewhere.
    fn span_of_lines(&self, text: &str) -> Span {
        let from = if text.is_empty() { 0 } else { text.as_ptr().addr() - self.lines.as_ptr().addr() };
        Span { from: count(from), to: count(from + text.len()) }
    }
}

impl DeadLine {
    fn new(line: u32, reason: String, bytes: Vec<u8>) -> Self {
        Self { line, organization: organization_of(&bytes), reason, bytes }
    }
}

fn judged(text: &str) -> Result<LogLine<'_>, String> {
    let line = read_text(text).map_err(|error| error.to_string())?;
    let LogLine::Event(event) = &line else { return Ok(line) };
    if event.transaction_id.is_empty() || event.code.is_empty() {
        return Err("the event has no id or no code".into());
    }
    if event.timestamp < Timestamp::EARLIEST || event.timestamp >= Timestamp::LATEST {
        return Err("the event's time lies outside what the store can keep".into());
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(lines: &[u8]) -> DecodedRecord {
        decode(Record { partition: 3, offset: 9, stamped_at_millis: Some(5), lines: lines.to_vec() })
    }

    const EVENT: &str = "{\"v\":1,\"org\":\"00000000-0000-0000-0000-000000000007\",\"id\":\"t-1\",\"code\":\"api\",\
        \"customer\":\"k\",\"at\":1700146546680590,\"in\":1700146546700000,\"properties\":{\"tokens\":374}}";
    const VOID: &str =
        "{\"v\":1,\"org\":\"00000000-0000-0000-0000-000000000007\",\"void\":\"t-1\",\"in\":1700146546700000}";

    #[test]
    fn each_line_keeps_its_number_also_behind_one_that_cannot_be_read() {
        let timeless = EVENT.replace("1700146546680590", "-1");
        let decoded = record(format!("{VOID}\nnonsense\n{EVENT}\n{timeless}\n\n{EVENT}").as_bytes());
        assert_eq!((0..decoded.rows.len()).map(|row| decoded.rows.line(row)).collect::<Vec<_>>(), [2, 5]);
        assert_eq!(decoded.voids.iter().map(|void| void.line).collect::<Vec<_>>(), [0]);
        assert_eq!(decoded.dead.iter().map(|dead| dead.line).collect::<Vec<_>>(), [1, 3, 4]);
        let tenants: Vec<bool> = decoded.dead.iter().map(|dead| dead.organization.is_some()).collect();
        assert_eq!(tenants, [false, true, false]);
        assert_eq!(decoded.stamped_at, Timestamp(5_000));
    }

    #[test]
    fn a_line_that_is_not_text_is_dead_alone_and_what_is_escaped_is_read() {
        let escaped = EVENT.replace("t-1", "t \\\"2\\\"").replace("\"k\"", "\"k\\u00e4\"");
        let mut lines = b"\xff\xfe\n".to_vec();
        lines.extend_from_slice(format!("{escaped}\n{EVENT}\n").as_bytes());
        lines.extend_from_slice(b"\n\xc3\n");
        let decoded = record(&lines);
        let dead: Vec<(u32, &[u8])> = decoded.dead.iter().map(|dead| (dead.line, dead.bytes.as_slice())).collect();
        assert_eq!(dead, [(0, b"\xff\xfe".as_slice()), (3, b"".as_slice()), (4, b"\xc3".as_slice())]);
        let texts = |row| {
            let event = decoded.rows.row(row);
            (event.transaction_id, event.code, event.customer, event.subscription, event.properties)
        };
        assert_eq!(texts(0), ("t \"2\"", "api", "k\u{e4}", "", "{\"tokens\":374}"));
        assert_eq!(texts(1), ("t-1", "api", "k", "", "{\"tokens\":374}"));
    }

    #[test]
    fn a_record_without_lines_holds_nothing_and_is_no_dead_letter() {
        let decoded = record(b"");
        assert_eq!((decoded.rows.len(), decoded.voids.len(), decoded.dead.len()), (0, 0, 0));
    }

    #[test]
    fn a_row_is_what_the_gateway_made_of_it() {
        use domain::event_batch::{EventBatch, EventRow};
        let organization = OrganizationId(uuid::Uuid::from_u128(7));
        let mut batch = EventBatch::new(organization, Timestamp(1_700_146_546_700_000));
        let content = Content {
            code: "api",
            customer: "k",
            subscription: "",
            properties: "{\"tokens\":374}",
            precise_total_amount_cents: "",
        };
        batch.push(&EventRow { transaction_id: "t-1", timestamp: Timestamp(1_700_146_546_680_590), content });
        let decoded = record(EVENT.as_bytes());
        let (read, sent) = (decoded.rows.row(0), EventRef::of(&batch, 0));
        assert_eq!((read.key, read.ingested_at), (sent.key, sent.ingested_at));
    }
}
