//! What the store must hold after the traffic of the spine: each id once, as its first accepted copy; the others listed.

use super::traffic::{CUSTOMERS, DAY, Plan};
use crate::oracle::{Bill, Usage};
use crate::trace::rfc3339;
use crate::wire::{Caller, text};
use std::collections::{BTreeMap, BTreeSet};

/// Every id acknowledged is stored, once, none that was not sent; where the order of copies is known, the first one is it.
pub(super) async fn assert_stored_once_as_first_accepted(caller: &Caller, plan: &Plan) -> BTreeMap<String, i64> {
    let mut winners = BTreeMap::new();
    for event in caller.all("/v1/events/?order_by=timestamp:asc").await {
        let id = text(&event["transaction_id"]);
        let at = chrono::DateTime::parse_from_rfc3339(&text(&event["timestamp"])).unwrap().timestamp_micros();
        assert!(winners.insert(id.clone(), at).is_none(), "{id} is stored twice");
    }
    assert_eq!(winners.len(), plan.copies.len(), "as many ids as were sent");
    for (id, copies) in &plan.copies {
        let stored = *winners.get(id).unwrap_or_else(|| panic!("{id} was acknowledged and is not stored"));
        assert!(copies.iter().any(|(_, copy)| copy.at == stored), "{id} is stored with a time that was not sent");
        let one_sender = copies.iter().all(|(sender, _)| *sender == copies[0].0);
        if one_sender {
            assert_eq!(stored, copies[0].1.at, "{id}: the first accepted copy wins");
        }
    }
    winners
}

/// All copies that lost by their timestamp are listed as restamped, and nothing else is.
pub(super) async fn assert_losers_are_listed(caller: &Caller, plan: &Plan, winners: &BTreeMap<String, i64>) {
    let expected: BTreeSet<(String, String)> = plan
        .copies
        .values()
        .flatten()
        .filter(|(_, copy)| winners[&copy.id] != copy.at)
        .map(|(_, copy)| (copy.id.clone(), rfc3339(copy.at)))
        .collect();
    assert!(expected.len() > 2_000, "half of a tenth of 58,098 copies are restamped");
    let listed: BTreeSet<(String, String)> = caller
        .all("/v1/events/rejections?reason=restamped")
        .await
        .iter()
        .map(|rejection| {
            let event = if rejection["event"].is_object() { &rejection["event"] } else { rejection };
            let at = chrono::DateTime::parse_from_rfc3339(&text(&event["timestamp"])).unwrap().timestamp_micros();
            (text(&event["transaction_id"]), rfc3339(at))
        })
        .collect();
    assert_eq!(listed.len(), expected.len());
    assert!(listed == expected, "the restamped copies listed are not those that lost");
    let conflicts = caller.all("/v1/events/rejections?reason=conflict").await;
    assert!(conflicts.is_empty(), "nothing was in conflict: {conflicts:?}");
}

/// The month an instant lies in for a customer, as the instant of its start. Events here are days away from any border.
fn month_start(customer: &str, at: i64) -> i64 {
    let november = CUSTOMERS.iter().find(|(name, _, _)| *name == customer).unwrap().2;
    let november = chrono::DateTime::parse_from_rfc3339(november).unwrap().timestamp_micros();
    // New York leaves daylight saving time within November 2023: its December begins an hour later by the clock of UTC.
    let shift = if customer == "globex" { 3_600_000_000 } else { 0 };
    let december = november + 30 * DAY + shift;
    if at >= december { december } else { november }
}

pub(super) fn bill_of(plan: &Plan, winners: &BTreeMap<String, i64>) -> Bill {
    let mut bill = Bill::new();
    for (customer, _, started_at) in CUSTOMERS {
        let november = chrono::DateTime::parse_from_rfc3339(started_at).unwrap().timestamp_micros();
        for start in [november, month_start(customer, november + 40 * DAY)] {
            bill.insert((customer.to_string(), start), Usage::default());
        }
    }
    for (id, at) in winners {
        let copy = &plan.copies[id][0].1;
        let period = (copy.customer.to_string(), month_start(copy.customer, *at));
        bill.get_mut(&period).unwrap().add(copy.code, copy.tokens);
    }
    bill
}
