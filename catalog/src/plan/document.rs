//! One version of a plan as it is stored: what rating needs, and beside it what only invoicing and people need.

use crate::columns::Columns;
use crate::database::DatabaseError;
use crate::plan::charges::TARGET_WALLET;
use crate::plan::wire::{ChargeFilterOutput, ChargeOutput, MinimumCommitment, PlanResponse, UsageThreshold};
use domain::catalog::{Charge, ChargeFilter, Plan};
use domain::pricing::group_keys;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

/// One version, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanDocument {
    /// What rating needs.
    pub plan: Plan,
    /// Least that a period costs in all.
    #[serde(default)]
    pub minimum_commitment: Option<MinimumCommitment>,
    /// Amounts of usage that are billed as soon as they are reached.
    #[serde(default)]
    pub usage_thresholds: Vec<PlanThreshold>,
    /// Taxes of all its fees.
    #[serde(default)]
    pub tax_codes: Vec<String>,
    /// Beside `plan.charges`, in the same order.
    pub charge_options: Vec<ChargeOptions>,
}

/// A threshold as a version keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanThreshold {
    /// As it is sent and shown.
    #[serde(flatten)]
    pub threshold: UsageThreshold,
    /// When it came into the plan; absent in versions written before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
}

/// What a charge has beside its prices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeOptions {
    /// Taxes of its fees.
    #[serde(default)]
    pub tax_codes: Vec<String>,
    /// Groups by the event property `target_wallet_code`.
    #[serde(default)]
    pub accepts_target_wallet: bool,
    /// When the line came into the plan.
    pub created_at: Timestamp,
    /// When the line was last changed.
    pub updated_at: Timestamp,
}

impl PlanDocument {
    /// Whether two versions differ in nothing but their number and date.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let mut renumbered = other.clone();
        renumbered.plan.version = self.plan.version;
        renumbered.plan.valid_from = self.plan.valid_from;
        *self == renumbered
    }

    /// The same with what its options mean to rating: a charge whose wallet the events name is grouped by that name, in all its
    /// filters.
    pub(crate) fn for_rating(mut self) -> Self {
        let wallets = self.charge_options.iter().map(|options| options.accepts_target_wallet);
        for (charge, _) in self.plan.charges.iter_mut().zip(wallets).filter(|(_, accepts)| *accepts) {
            group_by_wallet(&mut charge.properties);
            // A filter without groups of its own has those of its charge.
            let own = charge.filters.iter_mut().map(|filter| &mut filter.properties);
            own.filter(|properties| group_keys(properties).is_ok_and(|keys| !keys.is_empty()))
                .for_each(group_by_wallet);
        }
        self
    }

    /// Every code of a tax that it names.
    pub(crate) fn tax_codes_named(&self) -> impl Iterator<Item = &str> {
        let commitment = self.minimum_commitment.iter().flat_map(|commitment| &commitment.tax_codes);
        let charges = self.charge_options.iter().flat_map(|options| &options.tax_codes);
        self.tax_codes.iter().chain(commitment).chain(charges).map(String::as_str)
    }

    /// The plan as it is shown.
    pub(crate) fn response(
        self,
        description: Option<String>,
        created_at: Timestamp,
        updated_at: Timestamp,
    ) -> PlanResponse {
        let plan_id = self.plan.id;
        let charges = self.plan.charges.into_iter().zip(self.charge_options);
        PlanResponse {
            id: plan_id,
            code: self.plan.code,
            name: self.plan.name,
            description,
            interval: self.plan.interval,
            amount_cents: self.plan.amount.0,
            currency: self.plan.currency.code().to_string(),
            trial_period_days: self.plan.trial_period_days,
            pay_in_advance: self.plan.pay_in_advance,
            bill_charges_monthly: self.plan.bill_charges_monthly,
            minimum_commitment: self.minimum_commitment,
            usage_thresholds: self.usage_thresholds.into_iter().map(|kept| kept.threshold).collect(),
            tax_codes: self.tax_codes,
            charges: charges.map(|(charge, options)| shown_charge(plan_id, charge, options)).collect(),
            version: self.plan.version,
            created_at,
            updated_at,
        }
    }
}

/// Adds the wallet's name to the properties that split a charge into one fee per value.
fn group_by_wallet(properties: &mut serde_json::Value) {
    // Checked when the plan was written.
    let mut keys = group_keys(properties).unwrap_or_default();
    let Some(fields) = properties.as_object_mut() else { return };
    if !keys.iter().any(|key| key == TARGET_WALLET) {
        keys.push(TARGET_WALLET.to_owned());
    }
    fields.remove("pricing_group_keys");
    fields.insert("grouped_by".into(), keys.into());
}

fn shown_charge(plan_id: domain::ids::PlanId, charge: Charge, options: ChargeOptions) -> ChargeOutput {
    ChargeOutput {
        id: charge.id,
        plan_id,
        billable_metric_id: charge.metric_id,
        charge_model: charge.model,
        properties: charge.properties,
        filters: charge.filters.into_iter().map(shown_filter).collect(),
        pay_in_advance: charge.pay_in_advance,
        prorated: charge.prorated,
        invoiceable: charge.invoiceable,
        min_amount_cents: charge.min_amount.0,
        invoice_display_name: charge.invoice_display_name,
        tax_codes: options.tax_codes,
        accepts_target_wallet: options.accepts_target_wallet,
        created_at: options.created_at,
        updated_at: options.updated_at,
    }
}

fn shown_filter(filter: ChargeFilter) -> ChargeFilterOutput {
    ChargeFilterOutput {
        values: filter.values,
        properties: filter.properties,
        invoice_display_name: filter.invoice_display_name,
    }
}

/// A row of `plans`.
#[derive(Clone)]
pub(crate) struct PlanRow {
    pub(crate) document: PlanDocument,
    pub(crate) description: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl PlanRow {
    pub(crate) fn read(row: &AnyRow) -> Result<Self, DatabaseError> {
        Ok(Self {
            document: row.json("document")?,
            description: row.optional_text("description")?,
            created_at: row.instant("created_at")?,
            updated_at: row.instant("updated_at")?,
        })
    }

    pub(crate) fn response(self) -> PlanResponse {
        self.document.response(self.description, self.created_at, self.updated_at)
    }
}
