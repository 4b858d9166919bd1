//! Which series have events at all: for finding usage that nobody is charged for (I9).

use super::types::SeriesSummary;
use crate::connection::Connection;
use crate::error::StoreError;
use crate::sql;
use clickhouse::Row;
use domain::identity::SeriesId;
use domain::ids::OrganizationId;
use domain::position::Cut;
use domain::time::Timestamp;
use serde::Deserialize;

#[derive(Row, Deserialize)]
struct Summary {
    series: u128,
    code: String,
    customer: String,
    subscription: String,
    events: u64,
    first: i64,
    last: i64,
}

/// Every series of an organization with events inside the cut that are not voided, in no order.
pub(super) async fn each(
    connection: &Connection,
    organization: OrganizationId,
    cut: &Cut,
    mut on_series: impl FnMut(SeriesSummary) + Send,
) -> Result<(), StoreError> {
    let (organization, in_cut) = (sql::organization(organization), sql::in_cut(cut, ""));
    let statement = format!(
        "SELECT series, any(code) AS code, any(customer) AS customer, any(subscription) AS subscription, \
         count() AS events, min(toUnixTimestamp64Micro(timestamp)) AS first, max(toUnixTimestamp64Micro(timestamp)) AS last \
         FROM events WHERE organization = {organization} AND {in_cut} AND id NOT IN \
         (SELECT id FROM voids WHERE organization = {organization} AND {in_cut}) GROUP BY series"
    );
    let mut cursor = connection.fetch::<Summary>(&statement)?;
    while let Some(row) = cursor.next().await? {
        on_series(SeriesSummary {
            code: row.code,
            customer: row.customer,
            subscription: row.subscription,
            series: SeriesId(row.series),
            events: row.events,
            first: Timestamp(row.first),
            last: Timestamp(row.last),
        });
    }
    Ok(())
}
