//! What invoicing needs beside rating: taxes and what they are attached to, billing entities, minimum commitments.
//!
//! A fee bears the taxes of the nearest level that has any: charge, plan, customer, billing entity, organization. Levels do not mix.

use crate::plan::document::PlanDocument;
use crate::plan::wire::MinimumCommitment;
use crate::tax::wire::Taxable;
use crate::threshold::of_plan;
use domain::ids::{ChargeId, CustomerId, OrganizationId, PlanId, SubscriptionId};
use domain::money::MinorUnits;
use domain::quantity::Quantity;
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// A tax as an invoice takes it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tax {
    /// Its id.
    pub id: Uuid,
    /// Its code.
    pub code: String,
    /// Shown on invoices.
    pub name: String,
    /// A fraction: 0.2 is 20 %.
    pub rate: Quantity,
}

/// A billing entity as an invoice needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTerms {
    /// Its id.
    pub id: Uuid,
    /// Before its invoices' numbers.
    pub invoice_prefix: String,
}

/// An amount of usage that is billed as soon as it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Its id; stays the same while amount and kind do.
    pub id: Uuid,
    /// How much usage.
    pub amount: MinorUnits,
    /// Repeats each such amount above the highest that does not.
    pub recurring: bool,
}

/// What invoicing needs of one version of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanTerms {
    /// Least that a period costs in all.
    pub commitment: Option<MinimumCommitment>,
    /// Amounts of usage that are billed as soon as they are reached.
    pub thresholds: Vec<Threshold>,
    /// Codes of the taxes of all its fees.
    pub tax_codes: Vec<String>,
    /// Codes of the taxes of charges that have their own.
    pub charge_tax_codes: HashMap<ChargeId, Vec<String>>,
}

impl PlanTerms {
    pub(crate) fn of(document: &PlanDocument) -> Self {
        let charges = document.plan.charges.iter().zip(&document.charge_options);
        Self {
            commitment: document.minimum_commitment.clone(),
            thresholds: document.usage_thresholds.iter().map(|kept| of_plan(document.plan.id, kept).terms()).collect(),
            tax_codes: document.tax_codes.clone(),
            charge_tax_codes: charges
                .filter(|(_, options)| !options.tax_codes.is_empty())
                .map(|(charge, options)| (charge.id, options.tax_codes.clone()))
                .collect(),
        }
    }
}

/// Taxes and entities of one organization.
#[derive(Clone, Debug, Default)]
pub struct OrganizationTerms {
    pub(crate) by_code: HashMap<String, Arc<Tax>>,
    pub(crate) general: Vec<Arc<Tax>>,
    pub(crate) attached: HashMap<(Taxable, Uuid), Vec<Arc<Tax>>>,
    pub(crate) entities: HashMap<Uuid, Arc<EntityTerms>>,
    pub(crate) default_entity: Option<Arc<EntityTerms>>,
}

/// What invoicing needs beside rating, of every organization that was read.
#[derive(Clone, Debug, Default)]
pub struct BillingTerms {
    pub(crate) organizations: HashMap<OrganizationId, OrganizationTerms>,
    pub(crate) plans: HashMap<(PlanId, u32), PlanTerms>,
    pub(crate) entity_of: HashMap<CustomerId, Uuid>,
    pub(crate) thresholds: HashMap<SubscriptionId, Vec<Threshold>>,
}

/// Whose taxes a fee bears.
#[derive(Clone, Copy, Debug)]
pub struct TaxedBy<'a> {
    /// Tenant.
    pub organization: OrganizationId,
    /// Who owes it.
    pub customer: CustomerId,
    /// The version of the plan it was priced by, if any.
    pub plan: Option<(PlanId, u32)>,
    /// The charge it was priced by, if any.
    pub charge: Option<ChargeId>,
    /// Codes that stand on the thing itself (a commitment), nearer than all levels.
    pub own_codes: &'a [String],
}

impl BillingTerms {
    /// What invoicing needs of a version of a plan; absent: nothing beyond its prices.
    #[must_use]
    pub fn plan(&self, plan: PlanId, version: u32) -> Option<&PlanTerms> {
        self.plans.get(&(plan, version))
    }

    /// The amounts of usage at which a subscription is billed: its own, and those of the version of its plan, each once.
    #[must_use]
    pub fn thresholds(&self, subscription: SubscriptionId, plan: PlanId, version: u32) -> Vec<Threshold> {
        let of_plan = self.plan(plan, version).map(|terms| terms.thresholds.as_slice()).unwrap_or_default();
        let own = self.thresholds.get(&subscription).map(Vec::as_slice).unwrap_or_default();
        let mut all: Vec<Threshold> = own.iter().chain(of_plan).copied().collect();
        all.sort_by_key(|threshold| (threshold.recurring, threshold.amount));
        all.dedup_by_key(|threshold| (threshold.recurring, threshold.amount));
        all
    }

    /// The entity that bills a customer: its own, else the organization's default one, if there is any.
    #[must_use]
    pub fn entity(&self, organization: OrganizationId, customer: CustomerId) -> Option<&Arc<EntityTerms>> {
        let terms = self.organizations.get(&organization)?;
        let own = self.entity_of.get(&customer).and_then(|id| terms.entities.get(id));
        own.or(terms.default_entity.as_ref())
    }

    /// The taxes of a fee, in the order of their codes.
    ///
    /// # Errors
    /// With the code that names no tax: a fee must not go untaxed because a tax was lost.
    pub fn taxes(&self, fee: &TaxedBy<'_>) -> Result<Vec<Arc<Tax>>, UnknownTax> {
        let nothing = OrganizationTerms::default();
        let terms = self.organizations.get(&fee.organization).unwrap_or(&nothing);
        let plan = fee.plan.and_then(|version| self.plans.get(&version));
        let charge_codes = fee.charge.and_then(|charge| plan?.charge_tax_codes.get(&charge));
        let attached = |kind: Taxable, id: Option<Uuid>| {
            id.and_then(|id| terms.attached.get(&(kind, id))).map(Vec::as_slice).unwrap_or_default()
        };
        let entity = self.entity(fee.organization, fee.customer).map(|entity| entity.id);
        let levels = [
            (fee.own_codes, [].as_slice()),
            (charge_codes.map(Vec::as_slice).unwrap_or_default(), attached(Taxable::Charge, fee.charge.map(|id| id.0))),
            (
                plan.map(|plan| plan.tax_codes.as_slice()).unwrap_or_default(),
                attached(Taxable::Plan, fee.plan.map(|(id, _)| id.0)),
            ),
            ([].as_slice(), attached(Taxable::Customer, Some(fee.customer.0))),
            ([].as_slice(), attached(Taxable::BillingEntity, entity)),
            ([].as_slice(), terms.general.as_slice()),
        ];
        for (codes, attached) in levels {
            let mut taxes = attached.to_vec();
            for code in codes {
                taxes.push(terms.by_code.get(code).ok_or_else(|| UnknownTax(code.clone()))?.clone());
            }
            if !taxes.is_empty() {
                taxes.sort_by(|one, other| one.code.cmp(&other.code));
                taxes.dedup_by(|one, other| one.id == other.id);
                return Ok(taxes);
            }
        }
        Ok(Vec::new())
    }
}

/// A code that names no tax of the organization.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tax '{0}' does not exist")]
pub struct UnknownTax(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    fn tax(code: &str) -> Arc<Tax> {
        Arc::new(Tax { id: Uuid::new_v4(), code: code.into(), name: code.into(), rate: "0.2".parse().unwrap() })
    }

    #[test]
    fn the_nearest_level_with_a_tax_decides_and_levels_do_not_mix() {
        let (organization, customer, plan, charge) =
            (OrganizationId::random(), CustomerId::random(), PlanId::random(), ChargeId::random());
        let entity = Arc::new(EntityTerms { id: Uuid::new_v4(), invoice_prefix: "E".into() });
        let mut terms = BillingTerms::default();
        let own = terms.organizations.entry(organization).or_default();
        own.by_code = ["own", "charge", "plan"].map(|code| (code.to_string(), tax(code))).into();
        own.general = vec![tax("general"), tax("another")];
        own.attached.insert((Taxable::Customer, customer.0), vec![tax("customer")]);
        own.attached.insert((Taxable::BillingEntity, entity.id), vec![tax("entity")]);
        own.attached.insert((Taxable::Charge, charge.0), vec![tax("attached")]);
        own.default_entity = Some(entity);
        let charge_tax_codes = HashMap::from([(charge, vec!["charge".to_string()])]);
        let tax_codes = vec!["plan".into()];
        let of_plan = PlanTerms { commitment: None, thresholds: Vec::new(), tax_codes, charge_tax_codes };
        terms.plans.insert((plan, 1), of_plan);
        let own_codes = ["own".to_string()];
        let mut fee =
            TaxedBy { organization, customer, plan: Some((plan, 1)), charge: Some(charge), own_codes: &own_codes };
        let codes = |terms: &BillingTerms, fee: &TaxedBy<'_>| -> Vec<String> {
            terms.taxes(fee).unwrap().iter().map(|tax| tax.code.clone()).collect()
        };
        assert_eq!(codes(&terms, &fee), ["own"]);
        fee.own_codes = &[];
        assert_eq!(codes(&terms, &fee), ["attached", "charge"]);
        fee.charge = None;
        assert_eq!(codes(&terms, &fee), ["plan"]);
        fee.plan = None;
        assert_eq!(codes(&terms, &fee), ["customer"]);
        fee.customer = CustomerId::random();
        assert_eq!(codes(&terms, &fee), ["entity"]);
        terms.organizations.get_mut(&organization).unwrap().default_entity = None;
        assert_eq!(codes(&terms, &fee), ["another", "general"]);
        let lost = ["lost".to_string()];
        assert_eq!(terms.taxes(&TaxedBy { own_codes: &lost, ..fee }), Err(UnknownTax("lost".into())));
    }
}
