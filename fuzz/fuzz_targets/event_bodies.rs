//! Any bytes as the body of each dialect: refused with a reason, or events that the log gives back as they are.

#![no_main]

use domain::event_batch::EventBatch;
use domain::ids::OrganizationId;
use domain::log_line::{LogLine, read_line, write_event};
use domain::time::Timestamp;
use ingest_gateway::parse::{
    KnowsCode, ParseLimits, Problems, parse_batch, parse_cloud_event, parse_cloud_events, parse_event, parse_lago_batch,
    parse_lago_event,
};
use libfuzzer_sys::fuzz_target;

type Parse = fn(&[u8], ParseLimits, KnowsCode<'_>, &mut EventBatch) -> Result<(), Problems>;

const PARSERS: [Parse; 6] =
    [parse_event, parse_batch, parse_lago_event, parse_lago_batch, parse_cloud_event, parse_cloud_events];
const LIMITS: ParseLimits = ParseLimits { max_depth: 64, max_events: 100 };

fuzz_target!(|body: &[u8]| {
    for parse in PARSERS {
        let mut batch = EventBatch::new(OrganizationId(uuid::Uuid::nil()), Timestamp(1_800_000_000_000_000));
        match parse(body, LIMITS, &|code| code != "nothing", &mut batch) {
            Ok(()) => (0..batch.len()).for_each(|row| check(&batch, row)),
            Err(problems) => assert!(problems.total > 0, "refused without a reason"),
        }
    }
});

/// What is stored of an event is what was sent, and it passes the log unchanged.
fn check(batch: &EventBatch, row: usize) {
    let properties = batch.properties.get(row);
    assert!(serde_json::from_str::<serde_json::Map<_, _>>(properties).is_ok(), "properties: {properties}");
    for name in [batch.transaction_ids.get(row), batch.codes.get(row)] {
        assert!(!name.is_empty() && !name.contains('\0'), "{name:?}");
    }
    let mut line = Vec::new();
    write_event(&mut line, batch, row);
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "a line is one line");
    let Ok(LogLine::Event(read)) = read_line(line.trim_ascii_end()) else { panic!("the log does not give it back") };
    assert_eq!((&*read.transaction_id, &*read.code), (batch.transaction_ids.get(row), batch.codes.get(row)));
    assert_eq!((&*read.customer, &*read.subscription), (batch.customers.get(row), batch.subscriptions.get(row)));
    assert_eq!((read.timestamp, read.properties), (batch.timestamps[row], properties));
    assert_eq!(read.precise_total_amount_cents, batch.precise_totals.get(row));
}
