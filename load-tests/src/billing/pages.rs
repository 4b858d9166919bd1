//! How fast a page of the list of invoices is answered among all that were issued.

use crate::client::api::Api;
use crate::measure::latency::{Latencies, Percentiles};
use serde::Serialize;
use std::time::Instant;

/// Each page is asked for so often, one at a time.
const TIMES: u32 = 50;

/// One kind of page.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    /// What is asked for.
    pub(super) what: &'static str,
    /// Invoices that match.
    pub(super) among: u64,
    pub(super) latency: Percentiles,
}

/// Asks for each kind of page.
pub(super) async fn measure(api: &Api) -> anyhow::Result<Vec<Page>> {
    let first = api.read("/v1/invoices/?limit=1").await?;
    let total = first.total.unwrap_or_default();
    let customer = first.text("/v1/invoices/", "/0/customer_id")?;
    let mut pages = Vec::new();
    for (what, query) in [
        ("the newest 20", String::new()),
        ("the newest 20 that are to be paid", "&status=finalized".to_owned()),
        ("the last 20 numbers", "&order_by=invoice_number:desc".to_owned()),
        ("20 from the middle", format!("&skip={}", total / 2)),
        ("those of a customer", format!("&customer_id={customer}")),
    ] {
        let path = format!("/v1/invoices/?limit=20{query}");
        let mut latencies = Latencies::new();
        let mut among = 0;
        for _ in 0..TIMES {
            let start = Instant::now();
            among = api.read(&path).await?.total.unwrap_or_default();
            latencies.record(start.elapsed());
        }
        pages.push(Page { what, among, latency: latencies.percentiles() });
    }
    Ok(pages)
}
