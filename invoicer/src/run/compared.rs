//! What a dry run would bill against what was billed for the stretches before: by plan and currency, with the subscriptions that
//! stand out. For people, before they commit; nothing of it decides a bill.
//!
//! Each fee is compared with those of its kind whose stretch ends where its own begins. A subscription billed for the first time
//! has nothing to be compared with and never stands out.

use super::RunError;
use crate::ledger::reports::{self, Outlier, PlanTotals, Totals};
use crate::ledger::write::NewInvoice;
use crate::model::{Fee, FeeKind};
use domain::ids::{PlanId, SubscriptionId};
use domain::money::{Currency, MinorUnits};
use domain::time::Timestamp;
use sqlx::AnyConnection;
use std::collections::{BTreeMap, HashMap};

/// So many times as much, or as little, as before stands out.
const FACTOR: i64 = 3;
/// A difference of less than this many currency units never does.
const LEAST_UNITS: u64 = 10;

/// Whose, of which kind, up to when.
type Key = (SubscriptionId, String, Timestamp);

/// What the run itself has put on invoices so far: a subscription may be billed for several stretches at once. About 100 bytes a fee.
#[derive(Debug, Default)]
pub(super) struct Recent(HashMap<Key, MinorUnits>);

/// A batch against what was before it.
pub(super) async fn compared(
    connection: &mut AnyConnection,
    recent: &mut Recent,
    batch: &[NewInvoice],
) -> Result<(Totals, Vec<Outlier>), RunError> {
    let fees = || batch.iter().flat_map(|new| new.invoice.fees.iter().map(|fee| (new.invoice.currency, fee)));
    let mut subscriptions: Vec<SubscriptionId> = fees().filter_map(|(_, fee)| fee.subscription).collect();
    subscriptions.sort_unstable();
    subscriptions.dedup();
    let begins = || fees().filter(|(_, fee)| is_compared(fee.kind)).map(|(_, fee)| fee.from);
    let (Some(first), Some(last)) = (begins().min(), begins().max()) else { return Ok(Default::default()) };
    let before = reports::billed_until(connection, &subscriptions, (first, last)).await?;
    for (_, fee) in fees() {
        if let (Some(subscription), true) = (fee.subscription, is_compared(fee.kind)) {
            let sum = recent.0.entry((subscription, fee.kind.as_str().to_owned(), fee.to)).or_default();
            *sum = MinorUnits(sum.0.saturating_add(fee.amount.0));
        }
    }
    let known = |key: &Key| before.get(key).or_else(|| recent.0.get(key)).copied();
    Ok(summed(fees(), known))
}

fn is_compared(kind: FeeKind) -> bool {
    matches!(kind, FeeKind::Subscription | FeeKind::Charge | FeeKind::Commitment)
}

fn summed<'a>(
    fees: impl Iterator<Item = (Currency, &'a Fee)>,
    before: impl Fn(&Key) -> Option<MinorUnits>,
) -> (Totals, Vec<Outlier>) {
    let mut bills: BTreeMap<(PlanId, Currency, SubscriptionId, Timestamp), Bill> = BTreeMap::new();
    for (currency, fee) in fees {
        let (Some(plan), Some(subscription)) = (fee.plan, fee.subscription) else { continue };
        let bill = bills.entry((plan, currency, subscription, fee.from)).or_default();
        bill.amount = bill.amount.saturating_add(fee.amount.0);
        if is_compared(fee.kind) && !bill.kinds.contains(&fee.kind) {
            bill.kinds.push(fee.kind);
            let previous = before(&(subscription, fee.kind.as_str().to_owned(), fee.from));
            bill.previous = match (bill.previous, previous) {
                (Some(sum), Some(more)) => Some(sum.saturating_add(more.0)),
                (sum, more) => sum.or(more.map(|more| more.0)),
            };
        }
    }
    let (mut totals, mut outliers) = (Totals::new(), Vec::new());
    for ((plan, currency, subscription, _), bill) in bills {
        let sum: &mut PlanTotals = totals.entry((plan, currency)).or_default();
        sum.subscriptions += 1;
        sum.amount = MinorUnits(sum.amount.0.saturating_add(bill.amount));
        let Some(previous) = bill.previous else { continue };
        sum.previous = MinorUnits(sum.previous.0.saturating_add(previous));
        if stands_out(bill.amount, previous, currency) {
            let (amount, previous) = (MinorUnits(bill.amount), MinorUnits(previous));
            outliers.push(Outlier { subscription, plan, currency, amount, previous });
        }
    }
    (totals, outliers)
}

/// The fees of one subscription that begin at one instant.
#[derive(Debug, Default)]
struct Bill {
    amount: i64,
    previous: Option<i64>,
    kinds: Vec<FeeKind>,
}

fn stands_out(amount: i64, previous: i64, currency: Currency) -> bool {
    let least = LEAST_UNITS.saturating_mul(currency.minor_units_in_one());
    amount.abs_diff(previous) >= least
        && (amount > previous.saturating_mul(FACTOR) || amount.saturating_mul(FACTOR) < previous)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_out_differs_by_a_factor_and_by_an_amount_worth_a_look() {
        let out = |amount, previous, code: &str| stands_out(amount, previous, code.parse().unwrap());
        assert!(out(30_001, 10_000, "USD") && !out(30_000, 10_000, "USD"));
        assert!(out(3_333, 10_000, "USD") && !out(3_334, 10_000, "USD"));
        assert!(!out(999, 0, "USD") && out(1_000, 0, "USD"), "ten dollars of difference at least");
        assert!(out(10, 0, "JPY") && !out(9_999, 0, "KWD"));
    }
}
