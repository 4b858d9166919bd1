//! The line of one event (or void) in the log, version 1. Stays readable for ever: a stored sample is decoded by a test.
//!
//! A record of the log holds many lines, each a JSON object any consumer can read, ended by `\n`:
//!
//! ```json
//! {"v":1,"org":"<uuid>","id":"<transaction_id>","code":"api","customer":"k-1","at":1700146546680590,"in":1700146546700000,"properties":{"tokens":374}}
//! {"v":1,"org":"<uuid>","void":"<transaction_id>","in":1700146546700000}
//! ```
//!
//! `at` and `in` (accepted by a gateway) are microseconds since 1970. `customer`, `subscription` and `cents` are left out when
//! empty. `properties` stands last and as received. Members come in exactly this order, so that decoding is one pass
//! without look-ups; what deviates is refused as [`LineError`], for the dead-letter topic, never guessed at.
//!
//! It refuses to judge content (codes, limits): that happened before the line was written.

use crate::event_batch::EventBatch;
use crate::ids::OrganizationId;
use crate::time::Timestamp;
use std::borrow::Cow;

/// One decoded line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogLine<'a> {
    /// A usage event.
    Event(EventLine<'a>),
    /// An accepted event is to be taken out of every bill.
    Void {
        /// Tenant.
        organization: OrganizationId,
        /// The client's id of the event.
        transaction_id: Cow<'a, str>,
        /// When a gateway accepted the void.
        accepted_at: Timestamp,
    },
}

/// A usage event, borrowed from its line where nothing was escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventLine<'a> {
    /// Tenant.
    pub organization: OrganizationId,
    /// The client's own id.
    pub transaction_id: Cow<'a, str>,
    /// Metric code.
    pub code: Cow<'a, str>,
    /// External customer id, empty when absent.
    pub customer: Cow<'a, str>,
    /// External subscription id, empty when absent.
    pub subscription: Cow<'a, str>,
    /// When the usage happened.
    pub timestamp: Timestamp,
    /// When a gateway accepted it.
    pub accepted_at: Timestamp,
    /// Decimal text, empty when absent.
    pub precise_total_amount_cents: &'a str,
    /// One JSON object, as received.
    pub properties: &'a str,
}

/// Why a line cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum LineError {
    /// Not UTF-8.
    #[error("the line is not UTF-8")]
    NotUtf8,
    /// A version that this release does not know.
    #[error("the line is not of version 1; a newer release wrote it")]
    UnknownVersion,
    /// The member that was expected next is not there or not readable.
    #[error("'{0}' is missing or unreadable at its place in the line")]
    Member(&'static str),
}

/// Appends the line of row `row` of `batch`.
pub fn write_event(line: &mut Vec<u8>, batch: &EventBatch, row: usize) {
    line.extend_from_slice(b"{\"v\":1,\"org\":\"");
    write_uuid(line, batch.organization);
    line.extend_from_slice(b"\",\"id\":");
    write_text(line, batch.transaction_ids.get(row));
    line.extend_from_slice(b",\"code\":");
    write_text(line, batch.codes.get(row));
    write_unless_empty(line, b",\"customer\":", batch.customers.get(row));
    write_unless_empty(line, b",\"subscription\":", batch.subscriptions.get(row));
    line.extend_from_slice(b",\"at\":");
    write_integer(line, batch.timestamps[row].0);
    line.extend_from_slice(b",\"in\":");
    write_integer(line, batch.ingested_at.0);
    write_unless_empty(line, b",\"cents\":", batch.precise_totals.get(row));
    line.extend_from_slice(b",\"properties\":");
    line.extend_from_slice(batch.properties.get(row).as_bytes());
    line.extend_from_slice(b"}\n");
}

/// Appends the line of a void.
pub fn write_void(line: &mut Vec<u8>, organization: OrganizationId, transaction_id: &str, accepted_at: Timestamp) {
    line.extend_from_slice(b"{\"v\":1,\"org\":\"");
    write_uuid(line, organization);
    line.extend_from_slice(b"\",\"void\":");
    write_text(line, transaction_id);
    line.extend_from_slice(b",\"in\":");
    write_integer(line, accepted_at.0);
    line.extend_from_slice(b"}\n");
}

fn write_uuid(line: &mut Vec<u8>, organization: OrganizationId) {
    let mut buffer = uuid::Uuid::encode_buffer();
    line.extend_from_slice(organization.0.hyphenated().encode_lower(&mut buffer).as_bytes());
}

fn write_integer(line: &mut Vec<u8>, number: i64) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn write_unless_empty(line: &mut Vec<u8>, member: &[u8], text: &str) {
    if !text.is_empty() {
        line.extend_from_slice(member);
        write_text(line, text);
    }
}

fn write_text(line: &mut Vec<u8>, text: &str) {
    if text.bytes().any(needs_escape) {
        // Writing a string into memory cannot fail; an empty name would be refused when read, not billed wrongly.
        line.extend_from_slice(serde_json::to_string(text).unwrap_or_default().as_bytes());
        return;
    }
    line.push(b'"');
    line.extend_from_slice(text.as_bytes());
    line.push(b'"');
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Decodes one line, without its `\n`.
///
/// # Errors
/// [`LineError`] names what is not as version 1 has it.
pub fn read_line(line: &[u8]) -> Result<LogLine<'_>, LineError> {
    read_text(std::str::from_utf8(line).map_err(|_| LineError::NotUtf8)?)
}

/// The same of a line that is known to be UTF-8.
///
/// # Errors
/// [`LineError`] names what is not as version 1 has it.
pub fn read_text(line: &str) -> Result<LogLine<'_>, LineError> {
    let mut cursor = Cursor { rest: line };
    if !cursor.skip("{\"v\":1,") {
        return Err(LineError::UnknownVersion);
    }
    let organization = cursor.organization()?;
    if cursor.skip(",\"void\":") {
        return cursor.void(organization);
    }
    cursor.event(organization)
}

/// The tenant named by a line that [`read_line`] refuses, if it can be made out: so that the line is listed where its owner
/// looks (I9). Reads any version that puts `"org"` among its first members.
#[must_use]
pub fn organization_of(line: &[u8]) -> Option<OrganizationId> {
    const NAME: &[u8] = b"\"org\":\"";
    // Version and tenant come first; what looks like a member further on may be the text of another one.
    let start = &line[..line.len().min(ORGANIZATION_WITHIN)];
    let at = start.windows(NAME.len()).position(|window| window == NAME)? + NAME.len();
    let text = start.get(at..at + 36)?;
    uuid::Uuid::try_parse_ascii(text).ok().map(OrganizationId)
}

/// `{"v":12345,"org":"` and 36 characters.
const ORGANIZATION_WITHIN: usize = 18 + 36;

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn skip(&mut self, expected: &str) -> bool {
        match self.rest.strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn need(&mut self, expected: &str, member: &'static str) -> Result<(), LineError> {
        if self.skip(expected) { Ok(()) } else { Err(LineError::Member(member)) }
    }

    fn organization(&mut self) -> Result<OrganizationId, LineError> {
        self.need("\"org\":\"", "org")?;
        // 36 characters of a hyphenated UUID.
        let text = self.rest.get(..36).ok_or(LineError::Member("org"))?;
        let uuid = uuid::Uuid::try_parse(text).map_err(|_| LineError::Member("org"))?;
        self.rest = &self.rest[36..];
        self.need("\"", "org")?;
        Ok(OrganizationId(uuid))
    }

    fn void(mut self, organization: OrganizationId) -> Result<LogLine<'a>, LineError> {
        let transaction_id = self.text("void")?;
        self.need(",\"in\":", "in")?;
        let accepted_at = self.instant("in")?;
        if self.rest != "}" {
            return Err(LineError::Member("end of line"));
        }
        Ok(LogLine::Void { organization, transaction_id, accepted_at })
    }

    fn event(mut self, organization: OrganizationId) -> Result<LogLine<'a>, LineError> {
        self.need(",\"id\":", "id")?;
        let transaction_id = self.text("id")?;
        self.need(",\"code\":", "code")?;
        let code = self.text("code")?;
        let customer = self.optional_text(",\"customer\":", "customer")?;
        let subscription = self.optional_text(",\"subscription\":", "subscription")?;
        self.need(",\"at\":", "at")?;
        let timestamp = self.instant("at")?;
        self.need(",\"in\":", "in")?;
        let accepted_at = self.instant("in")?;
        let precise_total_amount_cents = match self.optional_text(",\"cents\":", "cents")? {
            Cow::Borrowed(plain) => plain,
            Cow::Owned(_) => return Err(LineError::Member("cents")),
        };
        self.need(",\"properties\":", "properties")?;
        let properties = self.rest.strip_suffix('}').ok_or(LineError::Member("properties"))?;
        if !(properties.starts_with('{') && properties.ends_with('}')) {
            return Err(LineError::Member("properties"));
        }
        Ok(LogLine::Event(EventLine {
            organization,
            transaction_id,
            code,
            customer,
            subscription,
            timestamp,
            accepted_at,
            precise_total_amount_cents,
            properties,
        }))
    }

    fn optional_text(&mut self, prefix: &str, member: &'static str) -> Result<Cow<'a, str>, LineError> {
        if self.skip(prefix) { self.text(member) } else { Ok(Cow::Borrowed("")) }
    }

    fn text(&mut self, member: &'static str) -> Result<Cow<'a, str>, LineError> {
        self.need("\"", member)?;
        let end = self.rest.bytes().position(|byte| byte == b'"' || byte == b'\\').ok_or(LineError::Member(member))?;
        if self.rest.as_bytes()[end] == b'"' {
            let plain = &self.rest[..end];
            self.rest = &self.rest[end + 1..];
            return Ok(Cow::Borrowed(plain));
        }
        self.escaped_text(member)
    }

    /// The rare form: the text holds an escape, so its end is the first quote that no backslash precedes.
    fn escaped_text(&mut self, member: &'static str) -> Result<Cow<'a, str>, LineError> {
        let mut escaped = false;
        for (index, byte) in self.rest.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    let quoted = format!("\"{}\"", &self.rest[..index]);
                    let plain = serde_json::from_str(&quoted).map_err(|_| LineError::Member(member))?;
                    self.rest = &self.rest[index + 1..];
                    return Ok(Cow::Owned(plain));
                }
                _ => {}
            }
        }
        Err(LineError::Member(member))
    }

    fn instant(&mut self, member: &'static str) -> Result<Timestamp, LineError> {
        let end = self.rest.bytes().position(|byte| !(byte.is_ascii_digit() || byte == b'-'));
        let end = end.ok_or(LineError::Member(member))?;
        let micros = self.rest[..end].parse().map_err(|_| LineError::Member(member))?;
        self.rest = &self.rest[end..];
        Ok(Timestamp(micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_batch::EventRow;
    use crate::identity::Content;
    use proptest::prelude::*;

    fn organization() -> OrganizationId {
        OrganizationId(uuid::Uuid::from_u128(7))
    }

    const SAMPLE: &str = "{\"v\":1,\"org\":\"00000000-0000-0000-0000-000000000007\",\"id\":\"t-1\",\"code\":\"api\",\
        \"customer\":\"k \\\"1\\\"\",\"at\":1700146546680590,\"in\":1700146546700000,\"cents\":\"12.5\",\
        \"properties\":{\"tokens\":374,\"price\":0.10}}";

    #[test]
    fn a_line_stored_by_the_first_release_is_read() {
        let expected = EventLine {
            organization: organization(),
            transaction_id: "t-1".into(),
            code: "api".into(),
            customer: "k \"1\"".into(),
            subscription: "".into(),
            timestamp: Timestamp(1_700_146_546_680_590),
            accepted_at: Timestamp(1_700_146_546_700_000),
            precise_total_amount_cents: "12.5",
            properties: "{\"tokens\":374,\"price\":0.10}",
        };
        assert_eq!(read_line(SAMPLE.as_bytes()), Ok(LogLine::Event(expected)));
    }

    #[test]
    fn what_is_not_version_1_goes_to_the_dead_letters_by_name() {
        assert_eq!(read_line(b"{\"v\":2}"), Err(LineError::UnknownVersion));
        assert_eq!(read_line(&[0xff]), Err(LineError::NotUtf8));
        for end in 0..SAMPLE.len() {
            assert!(read_line(&SAMPLE.as_bytes()[..end]).is_err(), "a line cut after {end} bytes was read");
        }
    }

    #[test]
    fn the_tenant_of_a_line_that_cannot_be_read_is_made_out_where_it_stands_in_front() {
        assert_eq!(organization_of(SAMPLE.replace("\"v\":1", "\"v\":12").as_bytes()), Some(organization()));
        assert_eq!(organization_of(&SAMPLE.as_bytes()[..60]), Some(organization()));
        assert_eq!(organization_of(&SAMPLE.as_bytes()[..30]), None);
        assert_eq!(organization_of(b"\xff\xfe"), None);
        let hidden = SAMPLE.replace("{\"v\":1,\"org\"", "{\"text\":\"aaaaaaaaaaaaaaaaaaaaaa\",\"org\"");
        assert_eq!(organization_of(hidden.as_bytes()), None);
    }

    proptest! {
        #[test]
        fn a_written_event_is_read_back_and_is_json(
            id in "\\PC{1,20}", code in ".{1,9}", customer in ".{0,9}", subscription in ".{0,9}", at in 0..i64::MAX,
        ) {
            let mut batch = EventBatch::new(organization(), Timestamp(5));
            let content = Content {
                code: &code, customer: &customer, subscription: &subscription,
                properties: "{\"a\":1.50}", precise_total_amount_cents: "",
            };
            batch.push(&EventRow { transaction_id: &id, timestamp: Timestamp(at), content });
            let mut line = Vec::new();
            write_event(&mut line, &batch, 0);
            let line = line.strip_suffix(b"\n").unwrap();
            prop_assert!(!line.contains(&b'\n'));
            serde_json::from_slice::<serde_json::Value>(line).unwrap();
            let LogLine::Event(read) = read_line(line).unwrap() else { panic!("not an event") };
            prop_assert_eq!(read.transaction_id, id);
            prop_assert_eq!(read.code, code);
            prop_assert_eq!(read.customer, customer);
            prop_assert_eq!(read.subscription, subscription);
            prop_assert_eq!(read.timestamp, Timestamp(at));
            prop_assert_eq!(read.properties, "{\"a\":1.50}");
        }

        #[test]
        fn a_written_void_is_read_back(id in ".{1,20}") {
            let mut line = Vec::new();
            write_void(&mut line, organization(), &id, Timestamp(9));
            let read = read_line(line.strip_suffix(b"\n").unwrap());
            let expected = LogLine::Void { organization: organization(), transaction_id: id.into(), accepted_at: Timestamp(9) };
            prop_assert_eq!(read, Ok(expected));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _outcome = read_line(&bytes);
        }
    }
}
