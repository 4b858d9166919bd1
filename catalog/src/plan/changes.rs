//! The next version of a plan: what was sent over what it is, charges checked against their metrics and continued from before.

use crate::database::WriteTransaction;
use crate::metric::wire::MetricFilterRecord;
use crate::metric::{self, filter_storage};
use crate::plan::charges;
use crate::plan::document::{ChargeOptions, PlanDocument, PlanThreshold};
use crate::plan::identity::{charge_id, continued};
use crate::plan::wire::{ChargeInput, PlanUpdate, UsageThreshold};
use domain::catalog::Charge;
use domain::ids::{MetricId, OrganizationId};
use domain::money::MinorUnits;
use domain::time::Timestamp;
use http_api::{ApiError, Checks};
use std::collections::HashMap;

pub(crate) fn options_of(charge: &ChargeInput, now: Timestamp) -> ChargeOptions {
    ChargeOptions {
        tax_codes: charge.tax_codes.clone(),
        accepts_target_wallet: charge.accepts_target_wallet,
        created_at: now,
        updated_at: now,
    }
}

/// Checks charges against the metrics of the organization.
pub(crate) async fn read_charges(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    inputs: &[ChargeInput],
) -> Result<Vec<Charge>, ApiError> {
    let mut filters_of: HashMap<MetricId, Vec<MetricFilterRecord>> = HashMap::new();
    for input in inputs {
        let metric = input.billable_metric_id;
        if filters_of.contains_key(&metric) || !metric::storage::exists(write, organization, metric).await? {
            continue;
        }
        filters_of.insert(metric, filter_storage::of_metric(write, organization, metric).await?);
    }
    charges::checked(inputs, &filters_of)
}

/// The next version with the changes, whether or not they change anything.
pub(crate) async fn changed_document(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    kept: &PlanDocument,
    change: &PlanUpdate,
    now: Timestamp,
) -> Result<PlanDocument, ApiError> {
    let mut checks = Checks::new();
    if let Some(code) = change.code.as_ref().filter(|code| **code != kept.plan.code) {
        checks.broken("code", "the code of a plan cannot change", code.as_str());
    }
    if change.interval.is_some_and(|interval| interval != kept.plan.interval) {
        checks.broken("interval", "the interval of a plan cannot change: make a new plan", serde_json::Value::Null);
    }
    let currency = match &change.currency {
        Some(code) => crate::fields::SharedChecks::currency(&mut checks, "currency", code),
        None => kept.plan.currency,
    };
    checks.finish()?;
    let mut next = kept.clone();
    next.plan.version += 1;
    next.plan.valid_from = now;
    next.plan.currency = currency;
    next.plan.name = change.name.clone().unwrap_or(next.plan.name);
    next.plan.amount = change.amount_cents.map_or(next.plan.amount, MinorUnits);
    next.plan.trial_period_days = change.trial_period_days.unwrap_or(next.plan.trial_period_days);
    next.plan.pay_in_advance = change.pay_in_advance.unwrap_or(next.plan.pay_in_advance);
    next.plan.bill_charges_monthly = change.bill_charges_monthly.unwrap_or(next.plan.bill_charges_monthly);
    next.minimum_commitment = change.minimum_commitment.clone().unwrap_or(next.minimum_commitment);
    if let Some(thresholds) = &change.usage_thresholds {
        next.usage_thresholds = continued_thresholds(&kept.usage_thresholds, thresholds, now);
    }
    next.tax_codes = change.tax_codes.clone().unwrap_or(next.tax_codes);
    if let Some(inputs) = &change.charges {
        next.plan.charges = read_charges(write, organization, inputs).await?;
        next.charge_options = inputs.iter().map(|input| options_of(input, now)).collect();
        continue_charges(kept, &mut next);
    }
    Ok(next)
}

/// Thresholds that stay keep the date at which they came into the plan.
pub(crate) fn continued_thresholds(
    kept: &[PlanThreshold],
    sent: &[UsageThreshold],
    now: Timestamp,
) -> Vec<PlanThreshold> {
    let as_kept = |threshold: &UsageThreshold| {
        let same = kept.iter().find(|old| {
            (old.threshold.amount_cents, old.threshold.recurring) == (threshold.amount_cents, threshold.recurring)
        });
        let created_at = same.map_or(Some(now), |old| old.created_at);
        PlanThreshold { threshold: threshold.clone(), created_at }
    };
    sent.iter().map(as_kept).collect()
}

/// Gives charges that are the same line as before their ids and dates back.
fn continue_charges(kept: &PlanDocument, next: &mut PlanDocument) {
    let lines = |charges: &[Charge]| charges.iter().map(|charge| (charge.metric_id, charge.model)).collect::<Vec<_>>();
    let matches = continued(&lines(&kept.plan.charges), &lines(&next.plan.charges));
    for (position, found) in matches.into_iter().enumerate() {
        let charge = &mut next.plan.charges[position];
        let Some((old, old_options)) = found.map(|at| (&kept.plan.charges[at], &kept.charge_options[at])) else {
            charge.id = charge_id(None);
            continue;
        };
        charge.id = charge_id(Some(old.id));
        let options = &mut next.charge_options[position];
        options.created_at = old_options.created_at;
        let unchanged = old == charge
            && old_options.tax_codes == options.tax_codes
            && old_options.accepts_target_wallet == options.accepts_target_wallet;
        if unchanged {
            options.updated_at = old_options.updated_at;
        }
    }
}
