//! Which partition an event belongs to. Part of the stored format: copies of an id must meet for ever (I2), so the number of
//! partitions of a topic never changes; growing means a new topic, a new epoch.

use domain::identity::EventId;

/// The partition of `id` among `partitions`.
///
/// The id is a cryptographic hash already; its low 64 bits are uniform (the fixed bits of a UUID lie in the high half and
/// in the top two bits of the low one, which a modulo by a small number does not feel).
#[must_use]
pub fn partition_of(id: EventId, partitions: u16) -> u16 {
    let low = id.0 & u128::from(u64::MAX >> 2);
    // A remainder by a u16 fits a u16.
    u16::try_from(low % u128::from(partitions.max(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::OrganizationId;

    #[test]
    fn ids_spread_evenly_and_stay_where_they_are() {
        let organization = OrganizationId(uuid::Uuid::from_u128(1));
        let mut counts = [0_u32; 6];
        for number in 0..60_000 {
            let id = EventId::derive(organization, &format!("t-{number}"));
            counts[usize::from(partition_of(id, 6))] += 1;
        }
        // 10,000 each; five standard deviations of a binomial draw are 456.
        assert!(counts.iter().all(|count| (9_544..=10_456).contains(count)), "{counts:?}");
        let fixed = EventId::derive(organization, "t-1");
        assert_eq!(partition_of(fixed, 6), partition_of(fixed, 6));
    }
}
