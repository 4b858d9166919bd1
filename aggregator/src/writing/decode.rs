//! A record of the log as columns, with what each line says about itself; lines that cannot be read stay bytes.
//!
//! A line is refused, never guessed at: when it is not as [`domain::log_line`] has it, and when it says what no gateway lets
//! through (an empty id or code, a time outside [`Timestamp::EARLIEST`] to [`Timestamp::LATEST`], which the store could not
//! keep).

use super::row::EventRef;
use domain::event_batch::TextColumn;
use domain::identity::{Content, EventId, SeriesId, content_hash};
use domain::ids::OrganizationId;
use domain::log_line::{EventLine, LogLine, organization_of, read_line};
use domain::time::Timestamp;
use event_log::consumer::Record;
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

/// The events of one record, of any tenants, as columns.
#[derive(Default)]
pub(crate) struct LogRows {
    lines: Vec<u32>,
    organizations: Vec<OrganizationId>,
    accepted: Vec<Timestamp>,
    ids: Vec<EventId>,
    series: Vec<SeriesId>,
    contents: Vec<u64>,
    timestamps: Vec<Timestamp>,
    transaction_ids: TextColumn,
    codes: TextColumn,
    customers: TextColumn,
    subscriptions: TextColumn,
    properties: TextColumn,
    precise_totals: TextColumn,
}

impl LogRows {
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The line that row `row` stood in.
    pub(crate) fn line(&self, row: usize) -> u32 {
        self.lines[row]
    }

    pub(crate) fn row(&self, row: usize) -> EventRef<'_> {
        EventRef {
            organization: self.organizations[row],
            ingested_at: self.accepted[row],
            id: self.ids[row],
            series: self.series[row],
            content: self.contents[row],
            timestamp: self.timestamps[row],
            transaction_id: self.transaction_ids.get(row),
            code: self.codes.get(row),
            customer: self.customers.get(row),
            subscription: self.subscriptions.get(row),
            properties: self.properties.get(row),
            precise_total: self.precise_totals.get(row),
        }
    }

    /// Bytes held, for memory limits.
    pub(crate) fn byte_size(&self) -> usize {
        // line 4 + organization 16 + accepted 8 + id 16 + series 16 + content 8 + timestamp 8
        let fixed = self.len() * 76;
        let texts = [
            &self.transaction_ids,
            &self.codes,
            &self.customers,
            &self.subscriptions,
            &self.properties,
            &self.precise_totals,
        ];
        fixed + texts.iter().map(|column| column.byte_size()).sum::<usize>()
    }

    fn push(&mut self, line: u32, event: &EventLine<'_>) {
        let content = Content {
            code: &event.code,
            customer: &event.customer,
            subscription: &event.subscription,
            properties: event.properties,
            precise_total_amount_cents: event.precise_total_amount_cents,
        };
        self.lines.push(line);
        self.organizations.push(event.organization);
        self.accepted.push(event.accepted_at);
        self.ids.push(EventId::derive(event.organization, &event.transaction_id));
        self.series.push(SeriesId::derive(event.organization, content.code, content.customer, content.subscription));
        self.contents.push(content_hash(&content));
        self.timestamps.push(event.timestamp);
        self.transaction_ids.push(&event.transaction_id);
        self.codes.push(content.code);
        self.customers.push(content.customer);
        self.subscriptions.push(content.subscription);
        self.properties.push(content.properties);
        self.precise_totals.push(content.precise_total_amount_cents);
    }
}

/// Decodes every line of a record. About half a microsecond a line, most of it the two hashes that name it.
pub(crate) fn decode(record: &Record) -> DecodedRecord {
    let (mut rows, mut voids, mut dead) = (LogRows::default(), Vec::new(), Vec::new());
    let body = record.lines.strip_suffix(b"\n").unwrap_or(&record.lines);
    let lines = if body.is_empty() { None } else { Some(body.split(|byte| *byte == b'\n')) };
    for (number, bytes) in (0_u32..).zip(lines.into_iter().flatten()) {
        match judged(bytes) {
            Ok(LogLine::Event(event)) => rows.push(number, &event),
            Ok(LogLine::Void { organization, transaction_id, accepted_at }) => voids.push(VoidLine {
                line: number,
                organization,
                id: EventId::derive(organization, &transaction_id),
                transaction_id: transaction_id.into_owned(),
                accepted_at,
            }),
            Err(reason) => {
                dead.push(DeadLine {
                    line: number,
                    organization: organization_of(bytes),
                    reason,
                    bytes: bytes.to_vec(),
                });
            }
        }
    }
    let stamped_at = Timestamp(record.stamped_at_millis.unwrap_or(0).saturating_mul(1_000));
    let Record { partition, offset, .. } = *record;
    DecodedRecord { partition, offset, stamped_at, rows: Arc::new(rows), voids, dead }
}

fn judged(bytes: &[u8]) -> Result<LogLine<'_>, String> {
    let line = read_line(bytes).map_err(|error| error.to_string())?;
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
        decode(&Record { partition: 3, offset: 9, stamped_at_millis: Some(5), lines: lines.to_vec() })
    }

    const EVENT: &str = "{\"v\":1,\"org\":\"00000000-0000-0000-0000-000000000007\",\"id\":\"t-1\",\"code\":\"api\",\
        \"customer\":\"k\",\"at\":1700146546680590,\"in\":1700146546700000,\"properties\":{\"tokens\":374}}";
    const VOID: &str =
        "{\"v\":1,\"org\":\"00000000-0000-0000-0000-000000000007\",\"void\":\"t-1\",\"in\":1700146546700000}";

    #[test]
    fn each_line_keeps_its_number_also_behind_one_that_cannot_be_read() {
        let timeless = EVENT.replace("1700146546680590", "-1");
        let decoded = record(format!("{VOID}\nnonsense\n{EVENT}\n{timeless}\n\n{EVENT}").as_bytes());
        assert_eq!(decoded.rows.lines, [2, 5]);
        assert_eq!(decoded.voids.iter().map(|void| void.line).collect::<Vec<_>>(), [0]);
        assert_eq!(decoded.dead.iter().map(|dead| dead.line).collect::<Vec<_>>(), [1, 3, 4]);
        let tenants: Vec<bool> = decoded.dead.iter().map(|dead| dead.organization.is_some()).collect();
        assert_eq!(tenants, [false, true, false]);
        assert_eq!(decoded.stamped_at, Timestamp(5_000));
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
        assert_eq!((read.id, read.series, read.content), (sent.id, sent.series, sent.content));
        assert_eq!((read.ingested_at, read.timestamp), (sent.ingested_at, sent.timestamp));
    }
}
