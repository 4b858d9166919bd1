//! Taking partitions over: nobody else can write them any more, and what an interrupted insert left is set right.
//!
//! In this order, for all partitions at once:
//! 1. this session's claims (table `log_claims`)
//! 2. every session that has claimed one of them and not given it up loses its gate; its inserts under way are waited for
//! 3. rows of `events` at and beyond the last floor whose id is not in the id table get their id rows: an anti-join, since an insert
//!    that spans months is not atomic, so rows may lack below others that do not
//! 4. the new floor: the offset that reading begins at
//! 5. the filters of known ids
//!
//! All of it may be repeated, and is, until it goes through.

use super::claims::{self, Claim, Standing};
use super::partition::Owned;
use crate::error::StoreError;
use crate::writing::id_rows;
use crate::writing::known::Filter;
use crate::writing::lane::{Lane, fence_off};
use crate::writing::load;
use domain::identity::EventId;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Who takes over, in which log.
#[derive(Clone)]
pub(super) struct Taker {
    pub(super) epoch: u16,
    /// Partitions of the topic.
    pub(super) partitions: u16,
    pub(super) session: Uuid,
    /// Sessions this process had before: what they wrote, its filters hold.
    pub(super) former: Vec<Uuid>,
}

/// Makes `owned` ready to be written through `lane`. `reads_from`: the offset of each that is read next.
///
/// # Errors
/// Engine errors; nothing is written to these partitions then, and the next attempt begins anew.
pub(super) async fn take_over(
    lane: &Lane,
    taker: &Taker,
    owned: &mut BTreeMap<u16, Owned>,
    reads_from: &BTreeMap<u16, u64>,
    recent_ids: usize,
) -> Result<(), StoreError> {
    let partitions: Vec<u16> = reads_from.keys().copied().collect();
    if partitions.is_empty() {
        return Ok(());
    }
    let (connection, epoch) = (lane.connection(), taker.epoch);
    let before = Standing::read(connection, epoch, &partitions).await?;
    let claim = |partition: &u16| {
        let claim = Claim { number: before.newest(*partition) + 1, step: 0, floor: before.floor(*partition) };
        (*partition, claim)
    };
    let mut claims: BTreeMap<u16, Claim> = partitions.iter().map(claim).collect();
    claims::write(connection, (epoch, taker.session), &claims, false).await?;

    // Read again: whoever claims at the same time sees our claim, or we see theirs.
    let others = Standing::read(connection, epoch, &partitions).await?.others(taker.session);
    for session in &others {
        tracing::info!(%session, "taking over from an earlier writer of the log");
        fence_off(connection, *session).await?;
    }
    // A filter is good for as long as nobody else has claimed its partition.
    let strangers = others.iter().any(|session| !taker.former.contains(session));
    for (partition, claim) in &claims {
        match owned.get_mut(partition) {
            Some(known) if !strangers && known.claim.number == before.newest(*partition) => {
                known.claim.number = claim.number;
            }
            _ => drop(owned.remove(partition)),
        }
    }
    claims::strike_out(connection, epoch, &partitions, taker.session).await?;

    let completed = id_rows::complete(lane, &without_ids(epoch, &claims)).await?;
    for (partition, claim) in &mut claims {
        claim.step = 1;
        claim.floor = reads_from[partition];
    }
    claims::write(connection, (epoch, taker.session), &claims, false).await?;

    for (partition, claim) in claims {
        let filter = match owned.remove(&partition) {
            Some(known) => known.filter,
            None => load::filter(connection, &ids_of(taker, partition)).await?,
        };
        owned.insert(partition, Owned::new(filter_with(filter, partition, &completed), claim, recent_ids));
    }
    Ok(())
}

fn filter_with(mut filter: Filter, partition: u16, completed: &[(u16, EventId)]) -> Filter {
    completed.iter().filter(|(of, _)| *of == partition).for_each(|(_, id)| filter.insert(*id));
    filter
}

/// Events at and beyond the floors whose ids are not in the id table.
fn without_ids(epoch: u16, claims: &BTreeMap<u16, Claim>) -> String {
    let stretches =
        claims.iter().map(|(partition, claim)| format!("partition = {partition} AND offset >= {}", claim.floor));
    let stretches = format!("epoch = {epoch} AND ({})", stretches.collect::<Vec<_>>().join(" OR "));
    format!("{stretches} AND (organization, id) NOT IN (SELECT organization, id FROM event_ids WHERE {stretches})")
}

/// The ids that may come again in `partition`: its own, and those of other logs (or of no log) that belong here now.
fn ids_of(taker: &Taker, partition: u16) -> String {
    let (epoch, partitions) = (taker.epoch, taker.partitions);
    // `event_log::partitioning::partition_of`: the low 62 bits modulo the number of partitions.
    let low = "bitAnd(id, toUInt128('4611686018427387903'))";
    format!("epoch = {epoch} AND partition = {partition} OR epoch != {epoch} AND {low} % {partitions} = {partition}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_asks_for_ids_as_the_producer_spreads_them() {
        // What the statement spells out is u64::MAX >> 2.
        assert_eq!((u64::MAX >> 2).to_string(), "4611686018427387903");
        let asked = ids_of(&Taker { epoch: 2, partitions: 6, session: Uuid::nil(), former: Vec::new() }, 5);
        assert!(asked.starts_with("epoch = 2 AND partition = 5 OR epoch != 2 AND "), "{asked}");
    }
}
