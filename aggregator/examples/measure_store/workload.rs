//! Events as pure functions of their number: the same run can be asked about without keeping anything.

use domain::catalog::Aggregation;
use domain::event_batch::{EventBatch, EventRow};
use domain::identity::{Content, SeriesId};
use domain::ids::{MetricId, OrganizationId};
use domain::snapshot::{CatalogSnapshot, MetricEntry, OrganizationEntry, SnapshotCell};
use domain::time::Timestamp;
use std::fmt::Write as _;
use std::sync::Arc;
use uuid::Uuid;

/// 2026-03-01T00:00:00Z.
pub const MARCH: i64 = 1_772_323_200_000_000;
/// 31 days.
pub const MONTH: i64 = 31 * 86_400_000_000;

/// Metric codes; the second is grouped by region.
pub const CODES: [&str; 3] = ["api_calls", "tokens", "storage"];
const REGIONS: [&str; 4] = ["eu-central", "us-east", "us-west", "ap-south"];

/// One organization's month.
pub struct Workload {
    pub organization: OrganizationId,
    pub pairs: u64,
    pub batch: usize,
}

/// A cheap mixer (splitmix64): numbers to what looks random.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Workload {
    pub fn new(pairs: u64, batch: usize) -> Self {
        Self { organization: OrganizationId(Uuid::from_u128(0x7011_6a7e)), pairs, batch }
    }

    pub fn catalog(&self) -> SnapshotCell {
        let metric = |aggregation, field: Option<&str>, dimensions: &[&str]| MetricEntry {
            id: MetricId::random(),
            version: 1,
            aggregation,
            field_name: field.map(str::to_owned),
            dimensions: dimensions.iter().map(|key| (*key).to_owned()).collect(),
        };
        let mut entry = OrganizationEntry::default();
        entry.metrics.insert(CODES[0].into(), metric(Aggregation::Count, None, &[]));
        entry.metrics.insert(CODES[1].into(), metric(Aggregation::Sum, Some("value"), &["region"]));
        entry.metrics.insert(CODES[2].into(), metric(Aggregation::Sum, Some("value"), &[]));
        let organizations = [(self.organization, Arc::new(entry))].into();
        SnapshotCell::fixed(CatalogSnapshot { organizations, ..CatalogSnapshot::default() })
    }

    /// The name of pair `pair`: its customer and its metric.
    pub fn pair(&self, pair: u64) -> (String, usize) {
        (format!("customer-{:06}", pair / 3), (pair % 3) as usize)
    }

    pub fn series(&self, pair: u64) -> SeriesId {
        let (customer, code) = self.pair(pair);
        SeriesId::derive(self.organization, CODES[code], &customer, "")
    }

    /// Batch `number`: of each thousand rows 20 repeat an event of the batch before, and one is a copy with another timestamp
    /// or other content.
    pub fn batch(&self, number: u64) -> EventBatch {
        let mut batch = EventBatch::new(self.organization, Timestamp(MARCH + MONTH + number as i64));
        let first = number * self.batch as u64;
        let mut texts = Texts::default();
        for row in 0..self.batch as u64 {
            let (event, altered) = match row % 1_000 {
                // The batch before may still be under way or long committed: both ways of finding repeats are taken.
                // It is repeated what stood 20 rows earlier there: the same rows are themselves repeats.
                25..45 if number > 0 => (first + row - 20 - self.batch as u64, Altered::No),
                500 if number > 0 && number.is_multiple_of(2) => (first - self.batch as u64, Altered::Timestamp),
                500 if number > 0 => (first - self.batch as u64, Altered::Content),
                _ => (first + row, Altered::No),
            };
            self.push(&mut batch, &mut texts, event, altered);
        }
        batch
    }

    fn push(&self, batch: &mut EventBatch, texts: &mut Texts, event: u64, altered: Altered) {
        let random = mixed(event);
        let pair = random % self.pairs;
        let code = (pair % 3) as usize;
        texts.clear();
        let _ = write!(texts.transaction, "tx-{event:012}");
        let _ = write!(texts.customer, "customer-{:06}", pair / 3);
        let (value, region) = (mixed(random) % 1_000_000, REGIONS[(random >> 40) as usize % REGIONS.len()]);
        let extra = if altered == Altered::Content { 1 } else { 0 };
        let _ = write!(
            texts.properties,
            r#"{{"region":"{region}","value":{}.{:03},"model":"m-{}","request":{}}}"#,
            value / 1_000,
            value % 1_000,
            random % 7,
            random % 100_000 + extra
        );
        let late = if altered == Altered::Timestamp { 1 } else { 0 };
        batch.push(&EventRow {
            transaction_id: &texts.transaction,
            timestamp: Timestamp(MARCH + (mixed(random ^ 1) % (MONTH as u64 - 10)) as i64 + late),
            content: Content {
                code: CODES[code],
                customer: &texts.customer,
                subscription: "",
                properties: &texts.properties,
                precise_total_amount_cents: "",
            },
        });
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Altered {
    No,
    Timestamp,
    Content,
}

#[derive(Default)]
struct Texts {
    transaction: String,
    customer: String,
    properties: String,
}

impl Texts {
    fn clear(&mut self) {
        self.transaction.clear();
        self.customer.clear();
        self.properties.clear();
    }
}
