//! Who an event is: its id, its series, its content, and its term in a fee's fingerprint.
//!
//! All four are pure functions of what the client sent, so any gateway, any replay and any third party computes the same
//! ones. They are part of the stored format: changing one needs a new version beside it, never in place.
//!
//! - **id** = first 128 bits of BLAKE3 over (organization, transaction_id): collision resistant, so nobody can make one
//!   event pass for a copy of another.
//! - **series** = first 128 bits of BLAKE3 over (organization, code, customer, subscription): the fixed-width name of "whose
//!   usage of what", the join key of rating.
//! - **content** = XXH3-64 over everything the client sent but the timestamp: tells `restamped` from `conflict`. A client that
//!   forges a collision gains nothing: the first copy is billed either way.
//! - **fingerprint term** = id × (2 × XXH3-64(content, timestamp) + 1) mod 2¹²⁸; a fee's fingerprint is the sum of the terms
//!   of its events mod 2¹²⁸. A sum does not depend on order; the factor is odd, so no term loses bits of the id.

use crate::ids::OrganizationId;
use crate::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use uuid::Uuid;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The derived id of an event, shown as a UUID of version 8.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub u128);

/// The derived name of (organization, code, external customer id, external subscription id).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SeriesId(pub u128);

impl EventId {
    /// The id of the event that `organization` names `transaction_id`.
    #[must_use]
    pub fn derive(organization: OrganizationId, transaction_id: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(organization.0.as_bytes());
        hasher.update(transaction_id.as_bytes());
        // The version and variant bits of a UUID are set at once, so that the shown id and the stored one are equal.
        Self(Uuid::new_v8(first_16(&hasher)).as_u128())
    }
}

impl SeriesId {
    /// The series of events of `code` for these names; an absent name is the empty string.
    #[must_use]
    pub fn derive(organization: OrganizationId, code: &str, customer: &str, subscription: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(organization.0.as_bytes());
        for part in [code, customer, subscription] {
            // Length before text: ("ab","c") and ("a","bc") must not meet. usize to u64 is lossless on every target.
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Self(u128::from_be_bytes(first_16(&hasher)))
    }
}

fn first_16(hasher: &blake3::Hasher) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    bytes
}

/// What a client said in one event, without the timestamp and the transaction_id.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// Code of the metric.
    pub code: &'a str,
    /// External customer id, empty when absent.
    pub customer: &'a str,
    /// External subscription id, empty when absent.
    pub subscription: &'a str,
    /// Properties as received, one JSON object; `{}` when absent.
    pub properties: &'a str,
    /// `precise_total_amount_cents` as decimal text, empty when absent.
    pub precise_total_amount_cents: &'a str,
}

/// XXH3-64 of the content: parts chained by seed, so that their borders count.
#[must_use]
pub fn content_hash(content: &Content<'_>) -> u64 {
    let parts = [content.code, content.customer, content.subscription, content.precise_total_amount_cents];
    let mut hash = xxh3_64(content.properties.as_bytes());
    for part in parts {
        hash = xxh3_64_with_seed(part.as_bytes(), hash);
    }
    hash
}

/// The term of one event in a fee's fingerprint: add the terms with wrapping addition.
#[must_use]
pub fn fingerprint_term(id: EventId, content_hash: u64, timestamp: Timestamp) -> u128 {
    id.0.wrapping_mul(2 * u128::from(witness(content_hash, timestamp)) + 1)
}

/// XXH3-64 of (content, timestamp): what a fingerprint term vouches for beside the id. The store keeps it, 8 bytes instead of
/// a term's 16, and computes the term.
#[must_use]
pub fn witness(content_hash: u64, timestamp: Timestamp) -> u64 {
    xxh3_64_with_seed(&timestamp.0.to_le_bytes(), content_hash)
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_u128(self.0).fmt(f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for EventId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<Uuid>().map(|uuid| Self(uuid.as_u128()))
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Uuid::deserialize(deserializer).map(|uuid| Self(uuid.as_u128()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_transaction_of_two_organizations_has_two_ids() {
        let (one, other) = (OrganizationId::random(), OrganizationId::random());
        assert_ne!(EventId::derive(one, "t-1"), EventId::derive(other, "t-1"));
        assert_eq!(EventId::derive(one, "t-1"), EventId::derive(one, "t-1"));
    }

    #[test]
    fn an_event_id_survives_its_text_form() {
        let id = EventId::derive(OrganizationId::random(), "t-1");
        assert_eq!(id.to_string().parse::<EventId>().unwrap(), id);
    }

    #[test]
    fn moving_a_border_between_names_makes_another_series() {
        let organization = OrganizationId::random();
        assert_ne!(SeriesId::derive(organization, "api", "ab", "c"), SeriesId::derive(organization, "api", "a", "bc"));
    }

    #[test]
    fn stored_formats_do_not_change_between_releases() {
        let organization = OrganizationId(Uuid::from_u128(7));
        let content =
            Content { code: "c", customer: "k", subscription: "", properties: "{}", precise_total_amount_cents: "" };
        let id = EventId::derive(organization, "t-1");
        let seen = format!(
            "{id} {:032x} {:016x} {:032x}",
            SeriesId::derive(organization, "c", "k", "").0,
            content_hash(&content),
            fingerprint_term(id, content_hash(&content), Timestamp(1_000_000)),
        );
        assert_eq!(
            seen,
            "cef8a37b-7ef8-8af6-bb78-3e21739f4d32 95ff7d6d60f897ff985fbb826d979457 75df51426210a136 444e12f98a0d339b896056dadba93182"
        );
    }
}
