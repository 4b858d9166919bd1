//! Table `log_claims`: whose each partition is, and from where on recovery has to look.
//!
//! A row says of its session: "of partition p all rows of `events` below `floor` have their id rows, and I write only at and
//! beyond `floor`". A claim begins with the floor of the claim before it, gets its own when recovery is through, and moves it
//! forward as it goes, so that the next recovery looks at seconds of events, not at all of them.

use crate::connection::Connection;
use crate::error::StoreError;
use clickhouse::Row;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// One claim as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) number: u64,
    pub(super) step: u64,
    pub(super) floor: u64,
}

#[derive(Row, Deserialize, Clone, Debug)]
struct ClaimRow {
    partition: u16,
    claim: u64,
    #[serde(with = "clickhouse::serde::uuid")]
    session: Uuid,
    floor: u64,
    released: u8,
}

/// What the table says of some partitions.
#[derive(Debug, Default)]
pub(super) struct Standing {
    rows: Vec<ClaimRow>,
}

impl Standing {
    pub(super) async fn read(connection: &Connection, epoch: u16, partitions: &[u16]) -> Result<Self, StoreError> {
        if partitions.is_empty() {
            return Ok(Self::default());
        }
        let list = partitions.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        let statement = format!(
            "SELECT partition, claim, session, floor, released FROM log_claims FINAL \
             WHERE epoch = {epoch} AND partition IN ({list})"
        );
        Ok(Self { rows: connection.fetch_all(&statement).await? })
    }

    fn of(&self, partition: u16) -> impl Iterator<Item = &ClaimRow> {
        self.rows.iter().filter(move |row| row.partition == partition)
    }

    /// The number of a partition's newest claim; 0 before the first.
    pub(super) fn newest(&self, partition: u16) -> u64 {
        self.of(partition).map(|row| row.claim).max().unwrap_or(0)
    }

    /// From where on events may lack their id rows. Of two claims of one number (both have fenced the other off) the lower.
    pub(super) fn floor(&self, partition: u16) -> u64 {
        let newest = self.newest(partition);
        self.of(partition).filter(|row| row.claim == newest).map(|row| row.floor).min().unwrap_or(0)
    }

    /// Sessions that have not given up a partition which `own` claims now.
    pub(super) fn others(&self, own: Uuid) -> BTreeSet<Uuid> {
        let still_holding = self.rows.iter().filter(|row| row.released == 0 && row.session != own);
        still_holding.map(|row| row.session).collect()
    }
}

/// Writes claims of one session; synced when it returns.
pub(super) async fn write(
    connection: &Connection,
    (epoch, session): (u16, Uuid),
    claims: &BTreeMap<u16, Claim>,
    released: bool,
) -> Result<(), StoreError> {
    if claims.is_empty() {
        return Ok(());
    }
    let released = u8::from(released);
    let rows = claims.iter().map(|(partition, claim)| {
        let Claim { number, step, floor } = claim;
        format!("({epoch}, {partition}, {number}, '{session}', {step}, {floor}, {released})")
    });
    let statement = format!("INSERT INTO log_claims VALUES {}", rows.collect::<Vec<_>>().join(", "));
    connection.execute(&statement).await
}

/// Says that sessions which are fenced off hold these partitions no more, so that nobody fences them off again.
pub(super) async fn strike_out(
    connection: &Connection,
    epoch: u16,
    partitions: &[u16],
    own: Uuid,
) -> Result<(), StoreError> {
    let list = partitions.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    let statement = format!(
        "INSERT INTO log_claims SELECT epoch, partition, claim, session, step + 1, floor, 1 FROM log_claims FINAL \
         WHERE epoch = {epoch} AND partition IN ({list}) AND released = 0 AND session != toUUID('{own}')"
    );
    connection.execute(&statement).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(partition: u16, claim: u64, session: u128, floor: u64, released: u8) -> ClaimRow {
        ClaimRow { partition, claim, session: Uuid::from_u128(session), floor, released }
    }

    #[test]
    fn the_newest_claim_tells_the_floor_and_whoever_did_not_let_go_is_fenced_off() {
        let standing = Standing {
            rows: vec![row(0, 1, 10, 5, 1), row(0, 2, 11, 70, 0), row(0, 2, 12, 60, 0), row(1, 9, 13, 1, 1)],
        };
        assert_eq!((standing.newest(0), standing.floor(0)), (2, 60));
        assert_eq!((standing.newest(7), standing.floor(7)), (0, 0));
        assert_eq!(standing.others(Uuid::from_u128(12)), BTreeSet::from([Uuid::from_u128(11)]));
    }
}
