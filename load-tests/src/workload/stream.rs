//! The description of a run's events: small, written into the state file, enough to audit the run at any later time.

use super::encode::Encoding;
use super::facts::{Facts, Spread, facts, mix};
use super::slots::{Copy, Form, Slots};
use domain::event::MAX_NAME_CHARS;
use domain::time::{MICROS_PER_SECOND, Timestamp};
use serde::{Deserialize, Serialize};

/// Describes every event of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// Decides everything random.
    pub seed: u64,
    /// Prefix of the run's transaction ids and users; unique per run.
    pub tag: String,
    /// Prefix of customers and subscriptions; the tag of the run that created them.
    pub population: String,
    /// How events spread over customers.
    pub spread: Spread,
    /// Which copy travels where.
    pub slots: Slots,
    /// Events of each request.
    pub batch: u64,
    /// Forms of the requests, in turn.
    pub encodings: Vec<Encoding>,
    /// When events happened.
    pub stamps: Stamps,
}

/// Timestamps of events: a clock that starts with the run and ticks once an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamps {
    /// Of event 0.
    pub base: Timestamp,
    /// Nanoseconds between two events.
    pub tick_nanos: u64,
    /// Events lie before it: the end of the billing period in which the run began, so that one period holds them all.
    pub end: Timestamp,
}

impl Stamps {
    /// When this copy of event `seq` says it happened.
    #[must_use]
    pub fn of(self, seed: u64, copy: Copy) -> Timestamp {
        let offset = u128::from(copy.seq) * u128::from(self.tick_nanos) / 1_000;
        let last = Timestamp(self.end.0 - 1);
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        let original = Timestamp(self.base.0.saturating_add(offset)).min(last);
        if copy.form != Form::Restamped {
            return original;
        }
        // A retry that stamps "now" comes one to sixteen seconds later; at the period's end, one microsecond earlier.
        let seconds = 1 + i64::from(mix(seed ^ copy.seq).to_le_bytes()[0] & 0xf);
        let later = Timestamp(original.0 + seconds * MICROS_PER_SECOND);
        if later <= last { later } else { Timestamp(original.0 - 1) }
    }
}

impl Stream {
    /// What the event says.
    #[must_use]
    pub fn facts(&self, seq: u64) -> Facts {
        facts(self.seed, self.spread, seq)
    }

    /// The copy in this place of the stream.
    #[must_use]
    pub fn copy_at(&self, place: u64) -> Copy {
        self.slots.at(self.seed, place)
    }

    /// The places a request carries.
    #[must_use]
    pub fn places_of(&self, request: u64) -> std::ops::Range<u64> {
        request * self.batch..(request + 1) * self.batch
    }

    /// The form of a request.
    #[must_use]
    pub fn encoding_of(&self, request: u64) -> Encoding {
        // At most a handful of encodings; the remainder is below their number.
        let index = usize::try_from(request % self.encodings.len().max(1) as u64).unwrap_or(0);
        self.encodings.get(index).copied().unwrap_or(Encoding::Json)
    }

    /// The timestamp of a copy.
    #[must_use]
    pub fn timestamp(&self, copy: Copy) -> Timestamp {
        self.stamps.of(self.seed, copy)
    }

    /// The transaction id of an event.
    #[must_use]
    pub fn transaction_id(&self, seq: u64) -> String {
        format!("{}{}{seq:012}", self.tag, self.separator())
    }

    /// Between tag and number: a space where requests are CloudEvents as well, whose ids are made of source, space and id; so
    /// copies of an event have one id in all dialects.
    #[must_use]
    pub fn separator(&self) -> char {
        if self.encodings.contains(&Encoding::CloudEvents) { ' ' } else { '-' }
    }

    /// Whether this request names the subscription beside the customer: NDJSON and Lago's form do, so that both ways of
    /// naming are exercised. Not where events are repeated: a copy that names another would say something else.
    #[must_use]
    pub fn names_subscription(&self, request: u64) -> bool {
        let names = [Encoding::Ndjson, Encoding::NdjsonZstd, Encoding::Lago].contains(&self.encoding_of(request));
        names && self.slots == Slots::Fresh
    }

    /// The number of the event with this transaction id; `None` when it is of another run.
    #[must_use]
    pub fn seq_of(&self, transaction_id: &str) -> Option<u64> {
        let digits = transaction_id.strip_prefix(self.tag.as_str())?.strip_prefix(self.separator())?;
        let seq = digits.parse().ok()?;
        (self.transaction_id(seq) == transaction_id).then_some(seq)
    }

    /// The external id of a customer.
    #[must_use]
    pub fn customer_id(&self, customer: u32) -> String {
        customer_name(&self.population, customer)
    }

    /// The external id of a customer's subscription.
    #[must_use]
    pub fn subscription_id(&self, customer: u32) -> String {
        subscription_name(&self.population, customer)
    }

    /// Whether all names fit the contract's limit.
    #[must_use]
    pub fn names_fit(&self) -> bool {
        // 21 characters for the longest number after the prefix.
        self.tag.len().max(self.population.len()) + 21 <= MAX_NAME_CHARS
    }
}

/// External id of a customer of a population.
#[must_use]
pub fn customer_name(population: &str, customer: u32) -> String {
    format!("{population}-c{customer:06}")
}

/// External id of its subscription.
#[must_use]
pub fn subscription_name(population: &str, customer: u32) -> String {
    format!("{population}-s{customer:06}")
}

/// Names of the regions.
pub const REGION_NAMES: [&str; super::facts::REGIONS] = ["eu-west", "eu-north", "us-east", "ap-south"];

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A small stream for tests.
    pub(crate) fn sample(slots: Slots, batch: u64) -> Stream {
        Stream {
            seed: 11,
            tag: "lt0".into(),
            population: "lt0".into(),
            spread: Spread { customers: 10, hot_permille: 0 },
            slots,
            batch,
            encodings: vec![Encoding::Json],
            stamps: Stamps {
                base: Timestamp(1_767_225_600 * MICROS_PER_SECOND),
                tick_nanos: 4_000,
                end: Timestamp(1_769_904_000 * MICROS_PER_SECOND),
            },
        }
    }

    #[test]
    fn a_transaction_id_leads_back_to_its_event() {
        let stream = sample(Slots::Fresh, 10);
        assert_eq!(stream.seq_of(&stream.transaction_id(41)), Some(41));
        assert_eq!(stream.seq_of(&stream.transaction_id(9_999_999_999_999)), Some(9_999_999_999_999));
        for foreign in ["lt1-000000000041", "lt0-41", "lt0-x", "lt0", "", "lt0-0000000000410"] {
            assert_eq!(stream.seq_of(foreign), None, "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn a_restamped_copy_has_another_timestamp_in_the_same_period(seq in any::<u32>(), tick in 0_u64..10_000_000_000) {
            let stream = sample(Slots::Fresh, 10);
            let stamps = Stamps { tick_nanos: tick, ..stream.stamps };
            let original = stamps.of(5, Copy { seq: seq.into(), form: Form::Original });
            let repeat = stamps.of(5, Copy { seq: seq.into(), form: Form::Repeat });
            let restamped = stamps.of(5, Copy { seq: seq.into(), form: Form::Restamped });
            prop_assert_eq!(original, repeat);
            prop_assert_ne!(original, restamped);
            prop_assert!((stamps.base.0 - 1..stamps.end.0).contains(&restamped.0));
            prop_assert!((stamps.base.0..stamps.end.0).contains(&original.0));
        }
    }
}
