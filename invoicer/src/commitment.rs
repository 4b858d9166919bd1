//! Minimum commitments: the fee that fills what a period cost up to the least it has to. Pure.
//!
//! Counted are the flat fee and the usage of the stretch, whenever they were billed, without taxes; what is lacking is
//! `commitment × share − counted`, each rounded once (I5). The fee keeps both figures, so that a draft that is rated again can
//! be filled up again from its own lines.

use crate::assemble::PlannedLine;
use crate::ledger::fees::StoredFee;
use crate::model::{Fee, FeeKind, FeeVersions};
use catalog::plan::wire::MinimumCommitment;
use domain::ids::{FeeId, SubscriptionId};
use domain::money::{MinorUnits, MoneyError};
use domain::quantity::Quantity;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What a commitment fee is made of, as its properties keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filling {
    /// Least that the stretch costs.
    pub commitment_cents: MinorUnits,
    /// What was counted towards it.
    pub counted_cents: MinorUnits,
}

impl Filling {
    /// What is lacking.
    ///
    /// # Errors
    /// Past 64 bits.
    pub fn lacking(&self) -> Result<MinorUnits, MoneyError> {
        let lacking = self.commitment_cents.0.checked_sub(self.counted_cents.0).ok_or(MoneyError::TooLarge)?;
        Ok(MinorUnits(lacking.max(0)))
    }
}

/// Whether a fee of this kind counts towards a commitment.
#[must_use]
pub fn counts(kind: FeeKind) -> bool {
    matches!(kind, FeeKind::Subscription | FeeKind::Charge)
}

/// What subscriptions with commitments were billed so far, by the start of what was billed.
#[derive(Clone, Debug, Default)]
pub struct Billed {
    amounts: HashMap<SubscriptionId, Vec<(Timestamp, MinorUnits)>>,
}

impl Billed {
    /// Notes one fee.
    pub fn note(&mut self, subscription: SubscriptionId, from: Timestamp, amount: MinorUnits) {
        self.amounts.entry(subscription).or_default().push((from, amount));
    }

    /// What of a stretch was billed.
    ///
    /// # Errors
    /// Past 64 bits.
    pub fn within(
        &self,
        subscription: SubscriptionId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<MinorUnits, MoneyError> {
        let all = self.amounts.get(&subscription).map(Vec::as_slice).unwrap_or_default();
        let inside = all.iter().filter(|(start, _)| (from..to).contains(start));
        inside.map(|(_, amount)| *amount).try_fold(MinorUnits::ZERO, MinorUnits::plus)
    }
}

/// The fee that fills a stretch up; of 0 when nothing is lacking, so that a draft that is rated again can be filled up again.
///
/// # Errors
/// Past 64 bits.
pub fn commitment_fee(
    line: &PlannedLine,
    commitment: &MinimumCommitment,
    counted: MinorUnits,
) -> Result<Fee, MoneyError> {
    let target = line.due.share.of_minor_units(MinorUnits(commitment.amount_cents));
    let filling = Filling { commitment_cents: target, counted_cents: counted };
    let amount = filling.lacking()?;
    let plan = &line.plan.plan;
    let cents = Quantity::from(amount.0);
    let name = commitment.invoice_display_name.clone();
    let properties = serde_json::json!({
        "commitment_cents": filling.commitment_cents, "counted_cents": filling.counted_cents,
        "amount_cents": commitment.amount_cents, "days": line.due.share.days, "days_of_period": line.due.share.of,
    });
    Ok(Fee {
        id: FeeId(uuid::Uuid::now_v7()),
        kind: FeeKind::Commitment,
        subscription: Some(line.due.subscription),
        plan: Some(plan.id),
        charge: None,
        line_key: String::new(),
        description: name.unwrap_or_else(|| format!("{} (up to the minimum commitment)", plan.name)),
        metric_code: None,
        units: Quantity::ONE,
        unit_amount: cents.clone(),
        amount,
        precise_amount: cents,
        events_count: 0,
        fingerprint: None,
        from: line.due.from,
        to: line.due.to,
        versions: FeeVersions { plan: plan.version, metric: None },
        properties: properties.to_string(),
        taxes: Vec::new(),
        adjusts: None,
        in_advance: None,
        coupons: Quantity::ZERO,
    })
}

/// A commitment fee of a draft, filled up again after the draft's usage was rated again.
///
/// # Errors
/// Past 64 bits, or when the fee's properties cannot be read.
pub fn refilled(stored: &StoredFee, before: &[&StoredFee], usage: &[(i64, Fee)]) -> Result<Fee, RefillError> {
    let mut properties: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&stored.properties)?;
    let mut filling: Filling = serde_json::from_str(&stored.properties)?;
    let inside = |subscription, from| subscription == stored.subscription && (stored.from..stored.to).contains(&from);
    let rated_anew = |fee: &&&StoredFee| fee.kind == FeeKind::Charge && fee.in_advance.is_none();
    let old = before.iter().filter(rated_anew).filter(|fee| inside(fee.subscription, fee.from));
    let new = usage.iter().map(|(_, fee)| fee).filter(|fee| inside(fee.subscription, fee.from));
    let changes = old.map(|fee| MinorUnits(-fee.amount.0)).chain(new.map(|fee| fee.amount));
    filling.counted_cents = changes.into_iter().try_fold(filling.counted_cents, MinorUnits::plus)?;
    properties.insert("counted_cents".into(), serde_json::json!(filling.counted_cents));
    let amount = filling.lacking()?;
    let cents = Quantity::from(amount.0);
    Ok(Fee {
        id: stored.id,
        kind: FeeKind::Commitment,
        subscription: stored.subscription,
        plan: stored.plan,
        charge: None,
        line_key: stored.line_key.clone(),
        description: stored.description.clone(),
        metric_code: None,
        units: Quantity::ONE,
        unit_amount: cents.clone(),
        amount,
        precise_amount: cents,
        events_count: 0,
        fingerprint: None,
        from: stored.from,
        to: stored.to,
        versions: stored.versions,
        properties: serde_json::Value::Object(properties).to_string(),
        taxes: stored.taxes.clone(),
        adjusts: None,
        in_advance: None,
        coupons: Quantity::ZERO,
    })
}

/// Why a commitment fee cannot be filled up again.
#[derive(Debug, thiserror::Error)]
pub enum RefillError {
    /// Amounts past 64 bits.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// Its properties are not what this program wrote.
    #[error("the properties of a commitment fee cannot be read: {0}")]
    Properties(#[from] serde_json::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_begins_inside_the_stretch_is_counted_and_nothing_is_given_back() {
        let mut billed = Billed::default();
        let subscription = SubscriptionId::random();
        for (from, cents) in [(9, 1), (10, 20), (19, 300), (20, 4000)] {
            billed.note(subscription, Timestamp(from), MinorUnits(cents));
        }
        let counted = billed.within(subscription, Timestamp(10), Timestamp(20)).unwrap();
        assert_eq!(counted, MinorUnits(320));
        let lacking =
            |target: i64| Filling { commitment_cents: MinorUnits(target), counted_cents: counted }.lacking().unwrap().0;
        assert_eq!((lacking(1000), lacking(320), lacking(100)), (680, 0, 0));
        assert_eq!(billed.within(SubscriptionId::random(), Timestamp(0), Timestamp(99)), Ok(MinorUnits::ZERO));
    }
}
