//! Events whose ids are sent a second time with another content, amid the fault: neither copy may be lost from sight (I9).
//!
//! They belong to the customer behind the last, which the audit knows as the probe's: originals are counted there, and their
//! conflicting copies must be listed and billed nowhere.

use crate::audit::state::{Probe, State};
use crate::client::api::{Api, ApiError};
use crate::workload::facts::Kind;
use crate::workload::stream::customer_name;
use domain::time::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Originals of a round.
pub(super) const COUNT: u64 = 20;
/// A client that gets no answer tries again for this long.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(250);

/// What is sent.
#[derive(Clone, Debug)]
pub(super) struct Conflicts {
    /// Takes events.
    gateway: Api,
    /// Shows them.
    api: Api,
    prefix: String,
    customer: String,
    at: Timestamp,
}

impl Conflicts {
    pub(super) fn new(gateway: Api, api: Api, tag: &str, population: &str, customers: u32, at: Timestamp) -> Self {
        let (prefix, customer) = (format!("{tag}-p"), customer_name(population, customers));
        Self { gateway, api, prefix, customer, at }
    }

    /// Sends the originals and notes them in the state. Before any fault.
    pub(super) async fn send_originals(&self, state: &mut State) -> Result<(), ApiError> {
        self.gateway.post("/v1/events/batch", &self.batch(&|_| json!({})), &[201]).await?;
        state.probe = Probe { prefix: self.prefix.clone(), acknowledged: COUNT, ..Probe::default() };
        Ok(())
    }

    /// Sends the other contents until they are acknowledged.
    ///
    /// # Errors
    /// The last refusal, once patience is at its end.
    pub(super) async fn send_copies(&self) -> Result<(), ApiError> {
        let copies = self.batch(&|number| json!({"conflicting": number}));
        let start = Instant::now();
        loop {
            match self.gateway.post("/v1/events/batch", &copies, &[201]).await {
                Ok(_) => return Ok(()),
                Err(error) if start.elapsed() > PATIENCE => return Err(error),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Ids that ought to be listed as in conflict and are not.
    pub(super) async fn unlisted(&self) -> Result<Vec<String>, ApiError> {
        let rows = self.api.list("/v1/events/rejections?reason=conflict").await?;
        let listed: BTreeSet<&str> = rows.iter().filter_map(|row| row["transaction_id"].as_str()).collect();
        Ok((0..COUNT).map(|number| self.name(number)).filter(|name| !listed.contains(name.as_str())).collect())
    }

    fn batch(&self, properties: &dyn Fn(u64) -> Value) -> Value {
        let event = |number: u64| {
            json!({
                "transaction_id": self.name(number), "external_customer_id": self.customer,
                "code": Kind::Requests.code(), "timestamp": self.at.to_string(), "properties": properties(number),
            })
        };
        json!({"events": (0..COUNT).map(event).collect::<Vec<Value>>()})
    }

    fn name(&self, number: u64) -> String {
        format!("{}{number:06}", self.prefix)
    }
}
