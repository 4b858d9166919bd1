//! Where billing takes part in the catalog's own actions: a sandbox's clock that moves, an organization that is wiped.

use crate::handmade::{GivenLine, Handmade};
use crate::ledger::{LedgerError, wallet_rules};
use crate::model::InvoiceKind;
use crate::run::BillingRuns;
use crate::run::progress::DoneKind;
use async_trait::async_trait;
use catalog::WriteTransaction;
use catalog::add_on::wire::{AddOnRecord, AppliedAddOnRecord};
use catalog::state::{AddOnApplied, ClockMoved, Done, OrganizationWiped, SubscriptionsChanged};
use domain::ids::OrganizationId;
use domain::money::MinorUnits;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use http_api::ApiError;

#[async_trait]
impl ClockMoved for BillingRuns {
    /// Bills what came in as the clock still shows when it did.
    async fn clock_will_move(&self, organization: OrganizationId) -> Result<Vec<Done>, ApiError> {
        self.bill_in_advance().await?;
        let own = |one: &OrganizationId| *one == organization;
        let mut done = Vec::new();
        for billed in self.bill_thresholds().await?.into_iter().filter(|billed| own(&billed.organization)) {
            let what = DoneKind::InvoiceFinalized.as_str().into();
            done.push(Done { at: billed.at, what, id: billed.invoice.to_string() });
        }
        for fired in self.fire_alerts().await?.into_iter().filter(|fired| own(&fired.organization)) {
            done.push(Done { at: fired.at, what: "usage_alert.triggered".into(), id: fired.trigger.to_string() });
        }
        Ok(done)
    }

    /// Bills what fell due, in order. Asked again with the same instant it bills nothing twice (I4).
    async fn clock_moved(&self, organization: OrganizationId, now: Timestamp) -> Result<Vec<Done>, ApiError> {
        let mut done = Vec::new();
        // Wallets are filled up and expire at their instants, each before what is billed at it.
        while let Some(at) = self.next_of_wallets(organization, now).await? {
            let tended = self.billed_and_tended(organization, Timestamp(at.0 - 1), at).await?;
            let stuck = self.next_of_wallets(organization, at).await?.is_some();
            done.extend(tended);
            if stuck {
                let why = format!("a wallet of the organization cannot be filled up at {at}");
                return Err(ApiError::internal(why));
            }
        }
        done.extend(self.billed_and_tended(organization, now, now).await?);
        Ok(done)
    }
}

impl BillingRuns {
    async fn billed_and_tended(
        &self,
        organization: OrganizationId,
        until: Timestamp,
        at: Timestamp,
    ) -> Result<Vec<Done>, ApiError> {
        let billed = self.bill_sandbox_until(organization, until).await?;
        let tended = self.tend_wallets(Some(organization), at).await?;
        let billed = billed.into_iter().map(|step| Done {
            at: step.at,
            what: step.what.as_str().into(),
            id: step.id.to_string(),
        });
        let tended =
            tended.into_iter().map(|step| Done { at: step.at, what: step.what.into(), id: step.wallet.to_string() });
        Ok(billed.chain(tended).collect())
    }

    async fn next_of_wallets(
        &self,
        organization: OrganizationId,
        until: Timestamp,
    ) -> Result<Option<Timestamp>, ApiError> {
        let mut connection = self.database().pool().acquire().await.map_err(LedgerError::from)?;
        Ok(wallet_rules::next(&mut connection, organization, until).await?)
    }
}

#[async_trait]
impl SubscriptionsChanged for BillingRuns {
    /// Bills what a change made due, when the organization is a sandbox: the scheduler does it for live ones.
    async fn subscriptions_changed(&self, organization: OrganizationId, now: Timestamp) -> Result<(), ApiError> {
        if self.is_sandbox(organization).await? {
            self.bill_sandbox_until(organization, now).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl AddOnApplied for BillingRuns {
    /// Issues an invoice of one line, in the transaction that applies the add-on.
    async fn add_on_applied(
        &self,
        write: &mut WriteTransaction,
        organization: OrganizationId,
        add_on: &AddOnRecord,
        applied: &AppliedAddOnRecord,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let amount: i64 = applied.amount_cents.parse().map_err(ApiError::internal)?;
        let cents = Quantity::from(amount);
        let line = GivenLine {
            description: add_on.invoice_display_name.clone().unwrap_or_else(|| add_on.name.clone()),
            units: Quantity::ONE,
            unit_amount: cents,
            amount: MinorUnits(amount),
            charge: None,
            metric_code: None,
        };
        let handmade = Handmade {
            organization,
            customer: applied.customer_id,
            currency: applied.amount_currency.parse().map_err(ApiError::internal)?,
            entity: None,
            kind: InvoiceKind::AddOn,
            occasion: format!("add_on:{}", applied.id),
            issue: true,
            due_date: None,
            lines: vec![line],
        };
        let world = self.world_for(&handmade).await?;
        self.insert_by_hand(write, &world, &handmade, now).await?;
        Ok(())
    }
}

/// The ledger's rows of an organization, children first. Cuts name nobody and stay.
const WIPE: &[&str] = &[
    "DELETE FROM payment_request_invoices WHERE payment_request_id IN
        (SELECT id FROM payment_requests WHERE organization_id = $1)",
    "DELETE FROM payment_requests WHERE organization_id = $1",
    "DELETE FROM payments WHERE organization_id = $1",
    "DELETE FROM credit_entries WHERE organization_id = $1",
    "DELETE FROM applied_coupons WHERE organization_id = $1",
    "DELETE FROM coupons WHERE organization_id = $1",
    "DELETE FROM wallet_top_ups WHERE organization_id = $1",
    "DELETE FROM wallet_rules WHERE organization_id = $1",
    "DELETE FROM wallets WHERE organization_id = $1",
    "DELETE FROM credit_accounts WHERE organization_id = $1",
    "DELETE FROM advances_given_back WHERE organization_id = $1",
    "DELETE FROM credit_note_items WHERE credit_note_id IN (SELECT id FROM credit_notes WHERE organization_id = $1)",
    "DELETE FROM credit_notes WHERE organization_id = $1",
    "DELETE FROM credit_note_counters WHERE organization_id = $1",
    "DELETE FROM usage_alert_triggers WHERE organization_id = $1",
    "DELETE FROM usage_alerts WHERE organization_id = $1",
    "DELETE FROM lifetime_usage WHERE organization_id = $1",
    "DELETE FROM threshold_crossings WHERE organization_id = $1",
    "DELETE FROM progressive_bills WHERE organization_id = $1",
    "DELETE FROM invoice_settlements WHERE organization_id = $1",
    "DELETE FROM invoice_reminders WHERE organization_id = $1",
    "DELETE FROM invoice_mails WHERE organization_id = $1",
    "DELETE FROM fees WHERE organization_id = $1",
    "UPDATE invoices SET regenerated_from = NULL WHERE organization_id = $1",
    "DELETE FROM invoices WHERE organization_id = $1",
    "DELETE FROM invoice_tallies WHERE organization_id = $1",
    "DELETE FROM invoice_counters WHERE organization_id = $1",
    "DELETE FROM advance_payers WHERE organization_id = $1",
    "DELETE FROM billing_frontiers WHERE organization_id = $1",
    "DELETE FROM billing_run_plans WHERE run_id IN (SELECT id FROM billing_runs WHERE organization_id = $1)",
    "DELETE FROM billing_run_outliers WHERE run_id IN (SELECT id FROM billing_runs WHERE organization_id = $1)",
    "DELETE FROM billing_run_totals WHERE run_id IN (SELECT id FROM billing_runs WHERE organization_id = $1)",
    "DELETE FROM billing_runs WHERE organization_id = $1",
];

#[async_trait]
impl OrganizationWiped for BillingRuns {
    async fn wipe(&self, write: &mut WriteTransaction, organization: OrganizationId) -> Result<(), ApiError> {
        for statement in WIPE {
            sqlx::query(*statement)
                .bind(organization.to_string())
                .execute(write.connection())
                .await
                .map_err(LedgerError::from)?;
        }
        Ok(())
    }
}
