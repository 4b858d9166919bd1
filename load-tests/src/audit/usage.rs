//! What the system says a customer has used: stored (by listing) and rated (by `current_usage`).

use crate::client::api::{Api, ApiError};
use crate::oracle::expected::Usage;
use crate::workload::facts::{Kind, REGIONS};
use crate::workload::stream::{REGION_NAMES, customer_name, subscription_name};
use domain::time::Timestamp;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A customer's usage as the system tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerUsage {
    /// First instant of the period.
    pub from: Timestamp,
    /// First instant after it.
    pub to: Timestamp,
    /// Units and number of events.
    pub usage: Usage,
    /// Lines of ours whose amount is not one cent a unit, rounded half away from zero: code, units, amount in cents.
    pub mispriced: Vec<(String, Decimal, Decimal)>,
}

/// Reads the current period of a customer.
///
/// # Errors
/// Any [`ApiError`].
pub async fn read_usage(api: &Api, population: &str, customer: u32) -> Result<CustomerUsage, ApiError> {
    let stored = count_events(api, &customer_name(population, customer)).await?;
    let mut read = read_rated(api, population, customer).await?;
    read.usage.stored = stored;
    Ok(read)
}

/// Reads the current period of a customer without counting its events.
///
/// # Errors
/// Any [`ApiError`].
pub async fn read_rated(api: &Api, population: &str, customer: u32) -> Result<CustomerUsage, ApiError> {
    let path = usage_path(population, customer);
    let body = api.read(&path).await?.body;
    parse(&body, 0).ok_or_else(|| ApiError::Shape { path, what: "the fields of current usage".to_owned() })
}

/// Where a customer's current usage is read.
#[must_use]
pub fn usage_path(population: &str, customer: u32) -> String {
    let (name, subscription) = (customer_name(population, customer), subscription_name(population, customer));
    format!("/v1/customers/{name}/current_usage?subscription_id={subscription}")
}

/// Reads the period that begins at `from`: the current one, or one of the last twelve if it has ended since.
///
/// # Errors
/// Any [`ApiError`]; [`ApiError::Shape`] when there is no such period.
pub async fn read_usage_since(
    api: &Api,
    population: &str,
    customer: u32,
    from: Timestamp,
) -> Result<CustomerUsage, ApiError> {
    let current = read_usage(api, population, customer).await?;
    if current.from == from {
        return Ok(current);
    }
    let name = customer_name(population, customer);
    let subscription = subscription_name(population, customer);
    let path = format!("/v1/customers/{name}/past_usage?external_subscription_id={subscription}&periods_count=12");
    let body = api.read(&path).await?.body;
    let periods = body.as_array().into_iter().flatten();
    let mut found = periods.filter_map(|period| parse(period, current.usage.stored));
    found
        .find(|usage| usage.from == from)
        .ok_or_else(|| ApiError::Shape { path, what: format!("the period from {from}") })
}

/// Number of events of a customer, of all metrics.
async fn count_events(api: &Api, name: &str) -> Result<u64, ApiError> {
    let path = format!("/v1/events/?external_customer_id={name}&limit=1");
    let total = api.read(&path).await?.total;
    total.ok_or_else(|| ApiError::Shape { path, what: "the header X-Total-Count".to_owned() })
}

fn parse(body: &Value, stored: u64) -> Option<CustomerUsage> {
    let instant = |field: &str| Timestamp::parse(body[field].as_str()?).ok();
    let mut usage = Usage { stored, ..Usage::none() };
    let mut mispriced = Vec::new();
    for line in body["charges"].as_array()? {
        let code = line["billable_metric"]["code"].as_str()?;
        let (units, amount) = (decimal(&line["units"])?, decimal(&line["amount_cents"])?);
        let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.code() == code) else { continue };
        if units.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero) != amount {
            mispriced.push((code.to_owned(), units, amount));
        }
        match (usage.units.get_mut(kind as usize), region(line)) {
            (Some(sum), _) => *sum += units,
            (None, Some(index)) => usage.users[index] += u64::try_from(units).ok()?,
            // A line without a group stands for the events without a region: there are none.
            (None, None) if units.is_zero() => {}
            (None, None) => return None,
        }
    }
    Some(CustomerUsage { from: instant("from_datetime")?, to: instant("to_datetime")?, usage, mispriced })
}

fn decimal(value: &Value) -> Option<Decimal> {
    value.as_str()?.parse().ok()
}

/// The region of a grouped line.
fn region(line: &Value) -> Option<usize> {
    let name = ["grouped_by", "filters", "groups"].iter().find_map(|field| line[field]["region"].as_str())?;
    (0..REGIONS).find(|index| REGION_NAMES[*index] == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn usage_is_read_from_the_contracts_form() {
        let line = |code: &str, units: &str, amount: &str, filters: Value| json!({"billable_metric": {"code": code}, "units": units, "amount_cents": amount, "filters": filters});
        let body = json!({
            "from_datetime": "2026-01-01T00:00:00Z", "to_datetime": "2026-02-01T00:00:00Z", "amount_cents": "0", "currency": "USD",
            "charges": [
                line("lt_requests", "12", "12", json!({})), line("lt_tokens", "-0.5", "-1", json!({})),
                line("lt_peak", "7.25", "8", json!({})), line("lt_users", "3", "3", json!({"region": "us-east"})),
                line("other", "1", "100", json!({})),
            ],
        });
        let read = parse(&body, 40).unwrap();
        assert_eq!(read.usage.units.map(|units| units.to_string()), ["12", "-0.5", "7.25"]);
        assert_eq!(read.usage.users, [0, 0, 3, 0]);
        assert_eq!(read.usage.stored, 40);
        let mispriced: Vec<&str> = read.mispriced.iter().map(|(code, _, _)| code.as_str()).collect();
        assert_eq!(mispriced, ["lt_peak"]);
    }

    #[test]
    fn an_answer_without_its_fields_is_no_usage() {
        assert_eq!(parse(&json!({"charges": []}), 0), None);
        assert_eq!(parse(&json!(null), 0), None);
    }
}
