//! Which series changed between two cuts: events that came in, and voids that took events out. For late usage (a closed period
//! that has to be rated again) and for whatever follows usage as it is accepted.
//!
//! Of all organizations at once, in two statements. What is found may be more than what changed the bill (a void of an
//! event that a void had taken out before); it is never less.

use crate::connection::Connection;
use crate::error::StoreError;
use crate::sql;
use clickhouse::Row;
use domain::identity::{EventId, SeriesId};
use domain::ids::OrganizationId;
use domain::position::Cut;
use domain::time::Timestamp;
use serde::Deserialize;

/// A series with events or voids between two cuts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedSeries {
    /// Tenant (I8).
    pub organization: OrganizationId,
    /// Metric code.
    pub code: String,
    /// External customer id, empty when the events name none.
    pub customer: String,
    /// External subscription id, empty when the events name none.
    pub subscription: String,
    /// Its name.
    pub series: SeriesId,
    /// Timestamp of the first event that came in or was taken out.
    pub first: Timestamp,
    /// Timestamp of the last one.
    pub last: Timestamp,
}

#[derive(Row, Deserialize)]
struct Changed {
    #[serde(with = "clickhouse::serde::uuid")]
    organization: uuid::Uuid,
    series: u128,
    code: String,
    customer: String,
    subscription: String,
    first: i64,
    last: i64,
}

const COLUMNS: &str = "SELECT e.organization AS organization, e.series AS series, any(e.code) AS code, \
    any(e.customer) AS customer, any(e.subscription) AS subscription, min(toUnixTimestamp64Micro(e.timestamp)) AS first, \
    max(toUnixTimestamp64Micro(e.timestamp)) AS last FROM events AS e";

/// What part of the table is looked at.
pub(super) enum Among<'a> {
    /// Events that happened before an instant, of all metrics.
    Before(Timestamp),
    /// Events of these metrics.
    Codes(&'a [(OrganizationId, String)]),
}

impl Among<'_> {
    fn condition(&self) -> String {
        match self {
            Among::Before(instant) => format!("e.timestamp < {}", sql::time(*instant)),
            Among::Codes(codes) => {
                let pairs = codes
                    .iter()
                    .map(|(organization, code)| format!("({}, {})", sql::organization(*organization), sql::text(code)));
                format!("(e.organization, e.code) IN {}", sql::list(pairs))
            }
        }
    }
}

/// Every series that changed after `after` and up to `until`; one that both gained and lost events comes twice.
pub(super) async fn each(
    connection: &Connection,
    among: Among<'_>,
    after: &Cut,
    until: &Cut,
    mut on_series: impl FnMut(ChangedSeries) + Send,
) -> Result<(), StoreError> {
    let between = |prefix: &str| format!("{} AND NOT {}", sql::in_cut(until, prefix), sql::in_cut(after, prefix));
    // The id table finds the full sorting keys of the voided ids: the rating table is then read where they lie.
    let voided = format!(
        "(e.organization, e.code, e.series, e.timestamp, e.id) IN (SELECT organization, code, series, timestamp, id FROM event_ids \
         WHERE (organization, id) IN (SELECT organization, id FROM voids WHERE {}))",
        between("")
    );
    let among = among.condition();
    for condition in [between("e."), voided] {
        let statement = format!("{COLUMNS} WHERE {among} AND {condition} GROUP BY e.organization, e.series");
        let mut cursor = connection.fetch::<Changed>(&statement)?;
        while let Some(row) = cursor.next().await? {
            on_series(ChangedSeries {
                organization: OrganizationId(row.organization),
                code: row.code,
                customer: row.customer,
                subscription: row.subscription,
                series: SeriesId(row.series),
                first: Timestamp(row.first),
                last: Timestamp(row.last),
            });
        }
    }
    Ok(())
}

/// The ids voided inside `until`.
pub(super) async fn voided(connection: &Connection, until: &Cut) -> Result<Vec<EventId>, StoreError> {
    let statement = format!("SELECT DISTINCT id FROM voids WHERE {}", sql::in_cut(until, ""));
    let ids: Vec<u128> = connection.fetch_all(&statement).await?;
    Ok(ids.into_iter().map(EventId).collect())
}
