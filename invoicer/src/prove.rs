//! Proving a fee of the ledger: usage is counted again from the event store by the rater; a flat fee is worked out again from
//! the plan's version and the days it states. For the routes and for `tollgate prove`.
//!
//! It refuses to repair anything. A fee that does not hold is an answer, not an error.

use crate::due::share_of;
use crate::fee_period::period_of_fee;
use crate::inputs::{InputError, view_of};
use crate::ledger::LedgerError;
use crate::ledger::fees::{self, StoredFee};
use crate::model::{FeeKind, PaidAhead};
use aggregator::reads::PageRequest;
use aggregator::usage::UsageWindow;
use bigdecimal::BigDecimal;
use catalog::billing::BillingScope;
use catalog::{Catalog, DatabaseError};
use domain::event::StoredEvent;
use domain::ids::{FeeId, PlanId, SubscriptionId};
use domain::quantity::Quantity;
use rater::{FeeToProve, Figures, Proof, ProofError, Rater, RatingItem, RatingView, Since, ViewError};
use std::sync::Arc;

/// Why a fee could not be proved one way or the other.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The ledger cannot be read, or holds a fee that cannot.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The catalog cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The store did not answer, or the catalog lacks what the fee names.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// Fees of this kind are not made from usage or a plan.
    #[error("a fee of type '{0}' cannot be proved from usage or a plan")]
    NotProvable(FeeKind),
}

impl From<ViewError> for ProveError {
    fn from(error: ViewError) -> Self {
        Self::Proof(error.into())
    }
}

/// Proves fees. Cheap to clone.
#[derive(Clone)]
pub struct FeeProver {
    catalog: Catalog,
    rater: Rater,
}

impl FeeProver {
    /// Over a catalog, whose database holds the ledger, and a rater.
    #[must_use]
    pub fn new(catalog: Catalog, rater: Rater) -> Self {
        Self { catalog, rater }
    }

    /// Proves the fee `id` of any organization: for the operator's command line, never behind a route (I8). Absent: no such fee.
    ///
    /// # Errors
    /// When it could not be proved one way or the other.
    pub async fn prove_by_id(&self, id: FeeId) -> Result<Option<(StoredFee, Proof)>, ProveError> {
        let mut connection =
            self.catalog.database().pool().acquire().await.map_err(DatabaseError::from).map_err(LedgerError::from)?;
        let Some(fee) = fees::get_of_any(&mut connection, id).await? else { return Ok(None) };
        drop(connection);
        let proof = self.prove(&fee).await?;
        Ok(Some((fee, proof)))
    }

    /// The catalog.
    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The rater.
    pub(crate) fn rater(&self) -> &Rater {
        &self.rater
    }

    /// Counts a fee again.
    ///
    /// # Errors
    /// As [`FeeProver::prove_by_id`].
    pub async fn prove(&self, fee: &StoredFee) -> Result<Proof, ProveError> {
        prove_over(&self.rater, self.view(fee).await?, fee).await
    }

    /// A page of exactly the events in a fee; a fee without usage has none.
    ///
    /// # Errors
    /// As [`FeeProver::prove_by_id`].
    pub async fn events(&self, fee: &StoredFee, page: PageRequest) -> Result<Vec<StoredEvent>, ProveError> {
        if fee.kind != FeeKind::Charge || fee.in_advance == Some(PaidAhead::Carried) {
            return Ok(Vec::new());
        }
        if let Some(event) = fee.in_advance.and_then(PaidAhead::event) {
            let first_page = page.skip == 0 && page.limit > 0;
            let found = self.rater.store().event(fee.organization, event).await.map_err(ProofError::from)?;
            return Ok(found.into_iter().filter(|_| first_page).collect());
        }
        let view = self.view(fee).await?;
        Ok(self.rater.events_of_fee(&view, &stated(&view, fee)?, page).await?)
    }

    async fn view(&self, fee: &StoredFee) -> Result<RatingView, ProveError> {
        Ok(view_of(&self.catalog, BillingScope::Customer(fee.organization, fee.customer)).await?)
    }
}

/// Counts a fee again over any catalog and store that hold what it was made from: the installation's own, or an archive's.
///
/// # Errors
/// As [`FeeProver::prove`].
pub async fn prove_over(rater: &Rater, view: RatingView, fee: &StoredFee) -> Result<Proof, ProveError> {
    match fee.kind {
        FeeKind::Charge => {
            let stated = stated(&view, fee)?;
            match fee.in_advance {
                // Billed at a threshold: all usage of the period up to its cut.
                None | Some(PaidAhead::Threshold { .. }) => Ok(rater.prove(&view, &stated).await?),
                Some(of) => Ok(rater.prove_in_advance(&Arc::new(view), &stated, of.event()).await?),
            }
        }
        FeeKind::Subscription => plan_fee_again(&view, fee),
        other => Err(ProveError::NotProvable(other)),
    }
}

/// The stretches of usage that decide a fee, also earlier ones that a recurring metric carries on; a fee without usage has none.
///
/// # Errors
/// When the catalog lacks what the fee names.
pub fn usage_behind(view: &RatingView, fee: &StoredFee) -> Result<Vec<UsageWindow>, ProveError> {
    if fee.kind != FeeKind::Charge {
        return Ok(Vec::new());
    }
    Ok(rater::windows_of_fee(view, &stated(view, fee)?)?)
}

/// What a usage fee states about itself, as the rater proves it.
fn stated(view: &RatingView, fee: &StoredFee) -> Result<FeeToProve, ProveError> {
    let subscription = subscription_of(fee)?;
    let period = period_of_fee(view, fee, subscription)?;
    let item = RatingItem {
        subscription,
        period,
        from: fee.from,
        to: fee.to,
        minimum_share: share_of(view.subscription(subscription)?, &period, fee.from, fee.to),
    };
    Ok(FeeToProve {
        item,
        plan: plan_of(fee)?,
        plan_version: fee.versions.plan,
        charge: fee.charge.ok_or_else(|| missing("charge_id", fee))?,
        metric_version: fee.versions.metric.ok_or_else(|| missing("metric_version", fee))?,
        line_key: fee.line_key.clone(),
        cut: fee.cut.clone().ok_or_else(|| missing("cut_id", fee))?,
        billed: billed(fee)?,
    })
}

/// The flat fee of the plan's version for the days between the fee's two instants.
fn plan_fee_again(view: &RatingView, fee: &StoredFee) -> Result<Proof, ProveError> {
    let subscription = subscription_of(fee)?;
    let plan = view.plan_version(plan_of(fee)?, fee.versions.plan)?;
    let period = period_of_fee(view, fee, subscription)?;
    let share = share_of(view.subscription(subscription)?, &period, fee.from, fee.to);
    let amount_cents = share.of_minor_units(plan.plan.amount);
    let recomputed = Figures { units: Quantity::ONE, amount_cents, ..Figures::default() };
    let billed = billed(fee)?;
    Ok(Proof { holds: billed == recomputed, billed, recomputed, since: Since::default() })
}

/// What a fee says was billed.
fn billed(fee: &StoredFee) -> Result<Figures, ProveError> {
    let units: BigDecimal = fee.units.parse().map_err(|_| LedgerError::corrupt("fees.units", &fee.units))?;
    let fingerprint = match &fee.fingerprint {
        Some(digits) => {
            u128::from_str_radix(digits, 16).map_err(|_| LedgerError::corrupt("fees.event_fingerprint", digits))?
        }
        None => 0,
    };
    Ok(Figures { events_count: fee.events_count, fingerprint, units: Quantity::from(units), amount_cents: fee.amount })
}

fn subscription_of(fee: &StoredFee) -> Result<SubscriptionId, ProveError> {
    fee.subscription.ok_or_else(|| missing("subscription_id", fee))
}

fn plan_of(fee: &StoredFee) -> Result<PlanId, ProveError> {
    fee.plan.ok_or_else(|| missing("plan_id", fee))
}

fn missing(column: &str, fee: &StoredFee) -> ProveError {
    ProveError::Ledger(LedgerError::corrupt(column, format_args!("nothing, in fee {}", fee.id)))
}
