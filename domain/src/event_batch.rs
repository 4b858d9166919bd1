//! Accepted events as columns: the one form between gateway, sink and store.
//!
//! Columns from the first byte: a request is parsed straight into them, concurrent requests are appended to one another, and
//! the store's Native encoding is a walk over each. Five `String`s an event would cost five allocations, about 100 ns of
//! the 1 µs an event may cost in all.

use crate::identity::{Content, EventId, SeriesId, content_hash};
use crate::ids::OrganizationId;
use crate::time::Timestamp;

/// A column of texts in one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextColumn {
    ends: Vec<usize>,
    bytes: String,
}

impl TextColumn {
    /// Appends one text.
    pub fn push(&mut self, text: &str) {
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len());
    }

    /// The text of row `row`.
    ///
    /// # Panics
    /// When there is no such row, as slices do.
    #[must_use]
    pub fn get(&self, row: usize) -> &str {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }

    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes held, for memory limits.
    #[must_use]
    pub fn byte_size(&self) -> usize {
        self.bytes.len() + self.ends.len() * size_of::<usize>()
    }

    /// The texts in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|row| self.get(row))
    }

    /// Removes all rows past the first `rows`.
    pub fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }
}

/// One event, borrowed, on its way into a batch. Validated by the gateway.
#[derive(Clone, Copy, Debug)]
pub struct EventRow<'a> {
    /// The client's own id, 1–255 characters.
    pub transaction_id: &'a str,
    /// When the usage happened.
    pub timestamp: Timestamp,
    /// Everything else the client said.
    pub content: Content<'a>,
}

/// Events of one organization, accepted together, in request order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventBatch {
    /// Tenant of every row.
    pub organization: OrganizationId,
    /// When the gateway took them.
    pub ingested_at: Timestamp,
    /// Derived ids.
    pub ids: Vec<EventId>,
    /// Derived series.
    pub series: Vec<SeriesId>,
    /// Content hashes.
    pub contents: Vec<u64>,
    /// Event times.
    pub timestamps: Vec<Timestamp>,
    /// Client ids.
    pub transaction_ids: TextColumn,
    /// Metric codes.
    pub codes: TextColumn,
    /// External customer ids, empty when absent.
    pub customers: TextColumn,
    /// External subscription ids, empty when absent.
    pub subscriptions: TextColumn,
    /// Properties, JSON objects as received.
    pub properties: TextColumn,
    /// Decimal texts, empty when absent.
    pub precise_totals: TextColumn,
}

impl EventBatch {
    /// An empty batch.
    #[must_use]
    pub fn new(organization: OrganizationId, ingested_at: Timestamp) -> Self {
        Self {
            organization,
            ingested_at,
            ids: Vec::new(),
            series: Vec::new(),
            contents: Vec::new(),
            timestamps: Vec::new(),
            transaction_ids: TextColumn::default(),
            codes: TextColumn::default(),
            customers: TextColumn::default(),
            subscriptions: TextColumn::default(),
            properties: TextColumn::default(),
            precise_totals: TextColumn::default(),
        }
    }

    /// Appends one event and derives its id, series and content hash.
    ///
    /// Line breaks in the properties become spaces: in valid JSON they are white space between tokens only, and the log keeps
    /// one event a line. It happens before hashing, so that both modes of ingestion see one content.
    pub fn push(&mut self, row: &EventRow<'_>) {
        let unbroken = without_line_breaks(row.content.properties);
        let content = &Content { properties: &unbroken, ..row.content };
        self.ids.push(EventId::derive(self.organization, row.transaction_id));
        self.series.push(SeriesId::derive(self.organization, content.code, content.customer, content.subscription));
        self.contents.push(content_hash(content));
        self.timestamps.push(row.timestamp);
        self.transaction_ids.push(row.transaction_id);
        self.codes.push(content.code);
        self.customers.push(content.customer);
        self.subscriptions.push(content.subscription);
        self.properties.push(content.properties);
        self.precise_totals.push(content.precise_total_amount_cents);
    }

    /// Events in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether it holds no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Bytes held, for memory limits.
    #[must_use]
    pub fn byte_size(&self) -> usize {
        // id 16 + series 16 + content 8 + timestamp 8
        let fixed = self.len() * 48;
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
}

fn without_line_breaks(properties: &str) -> std::borrow::Cow<'_, str> {
    if memchr::memchr2(b'\n', b'\r', properties.as_bytes()).is_none() {
        return properties.into();
    }
    properties.replace(['\n', '\r'], " ").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_between_tokens_do_not_make_another_content() {
        let organization = OrganizationId::random();
        let hash_of = |properties: &str| {
            let mut batch = EventBatch::new(organization, Timestamp(0));
            let content =
                Content { code: "c", customer: "k", subscription: "", properties, precise_total_amount_cents: "" };
            batch.push(&EventRow { transaction_id: "t", timestamp: Timestamp(0), content });
            assert!(!batch.properties.get(0).contains(['\n', '\r']));
            batch.contents[0]
        };
        assert_eq!(hash_of("{\n\"a\":1\r}"), hash_of("{ \"a\":1 }"));
    }

    #[test]
    fn a_truncated_text_column_keeps_its_first_rows() {
        let mut column = TextColumn::default();
        for text in ["a", "", "bc"] {
            column.push(text);
        }
        column.truncate(2);
        column.push("d");
        assert_eq!(column.iter().collect::<Vec<_>>(), ["a", "", "d"]);
    }
}
