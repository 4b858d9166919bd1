//! Invoices of lines that no period gives: lines sent by hand (drafts, to be issued by hand) and add-ons (issued at once).
//!
//! Their taxes are those of the customer, its billing entity or the organization: no plan and no charge stands behind them.

use crate::actions::ActionError;
use crate::inputs::World;
use crate::ledger::invoices::StoredInvoice;
use crate::ledger::runs;
use crate::ledger::write::{BatchContext, insert_all};
use crate::model::{Credits, Fee, FeeKind, FeeVersions, Invoice, InvoiceKind, InvoiceStatus};
use crate::run::terms::applied_taxes;
use crate::run::{BillingRuns, RunError};
use crate::tax::{Taxed, taxes_of};
use catalog::WriteTransaction;
use domain::ids::{ChargeId, CustomerId, FeeId, InvoiceId, OrganizationId};
use domain::money::{Currency, MinorUnits};
use domain::period::Timezones;
use domain::period::later_by_days;
use domain::position::Cut;
use domain::quantity::Quantity;
use domain::time::Timestamp;

/// One line given by hand.
#[derive(Clone, Debug)]
pub struct GivenLine {
    /// Title.
    pub description: String,
    /// Quantity.
    pub units: Quantity,
    /// Price of a unit, in minor units.
    pub unit_amount: Quantity,
    /// What is owed.
    pub amount: MinorUnits,
    /// A charge, for show.
    pub charge: Option<ChargeId>,
    /// Code of a metric, for show.
    pub metric_code: Option<String>,
}

/// What an invoice of given lines is made of.
#[derive(Clone, Debug)]
pub struct Handmade {
    /// Tenant.
    pub organization: OrganizationId,
    /// Who owes it.
    pub customer: CustomerId,
    /// In which currency.
    pub currency: Currency,
    /// Who issues it; absent: the customer's own entity.
    pub entity: Option<uuid::Uuid>,
    /// Add-on, credit paid ahead, or lines by hand.
    pub kind: InvoiceKind,
    /// Tells it from others of the same instant.
    pub occasion: String,
    /// Whether it is issued at once.
    pub issue: bool,
    /// By when to pay; absent: the customer's days after the issue.
    pub due_date: Option<Timestamp>,
    /// At least one.
    pub lines: Vec<GivenLine>,
}

impl BillingRuns {
    /// Makes an invoice of given lines.
    ///
    /// # Errors
    /// When the catalog or the ledger fails, or a sum passes 64 bits.
    pub async fn make_by_hand(&self, handmade: Handmade, now: Timestamp) -> Result<StoredInvoice, ActionError> {
        let world = self.world_for(&handmade).await?;
        let mut write = self.database().write().await?;
        let id = self.insert_by_hand(&mut write, &world, &handmade, now).await?;
        self.logged(write, handmade.organization, None, id, now).await
    }

    pub(crate) async fn world_for(&self, handmade: &Handmade) -> Result<World, ActionError> {
        let world = self.inputs().customer_world(handmade.organization, handmade.customer).await;
        Ok(world.map_err(RunError::from)?)
    }

    /// The same inside a write; answers with its id.
    pub(crate) async fn insert_by_hand(
        &self,
        write: &mut WriteTransaction,
        world: &World,
        handmade: &Handmade,
        now: Timestamp,
    ) -> Result<InvoiceId, ActionError> {
        let mut invoice = made(world, handmade, now)?;
        // No fee of it was rated: the cut names no position.
        let cut_id = runs::keep_positions(write.connection(), &Cut::direct(0)).await?;
        let context = BatchContext { run: None, cut_id, now: self.machine_now(), row_lock: write.for_update() };
        insert_all(write.connection(), &context, std::iter::once(&mut invoice)).await?;
        Ok(invoice.id)
    }
}

fn made(world: &World, handmade: &Handmade, now: Timestamp) -> Result<Invoice, ActionError> {
    let unusable = |why: String| ActionError::NotReworked(why);
    let customer = world.view.customer(handmade.customer).map_err(|why| unusable(why.to_string()))?;
    let zone = Timezones::parse(&customer.timezones).map_err(|why| unusable(why.to_string()))?.at(now);
    let mut fees: Vec<Fee> = handmade.lines.iter().map(|line| fee_of(line, handmade.kind, now)).collect();
    // Credit paid ahead bears no tax: what it is spent on does.
    let taxed = handmade.kind != InvoiceKind::Credit;
    for fee in fees.iter_mut().filter(|_| taxed) {
        let taxes = applied_taxes(&world.terms, handmade.organization, handmade.customer, fee);
        fee.taxes = taxes.map_err(|why| unusable(why.to_string()))?;
    }
    let too_large = |fault: domain::money::MoneyError| unusable(fault.to_string());
    let subtotal = crate::assemble::total_of(&fees).map_err(too_large)?;
    let taxes = taxes_of(fees.iter().map(Taxed::fee)).map_err(too_large)?;
    let total = subtotal.plus(taxes.amount).map_err(too_large)?;
    let status = match (handmade.issue, total) {
        (false, _) => InvoiceStatus::Draft,
        (true, MinorUnits::ZERO) => InvoiceStatus::Paid,
        (true, _) => InvoiceStatus::Finalized,
    };
    let own = world.terms.entity(handmade.organization, handmade.customer).map(|entity| entity.id);
    Ok(Invoice {
        id: InvoiceId(uuid::Uuid::now_v7()),
        organization: handmade.organization,
        customer: handmade.customer,
        subscription: None,
        kind: handmade.kind,
        status,
        currency: handmade.currency,
        due_at: now,
        occasion: handmade.occasion.clone(),
        period_start: now,
        period_end: now,
        // A draft of given lines is issued by hand: no run finds it due.
        issued_at: if handmade.issue { now } else { Timestamp::LATEST },
        due_date: handmade.due_date.unwrap_or_else(|| later_by_days(zone, now, customer.net_payment_term_days)),
        paid_at: (status == InvoiceStatus::Paid).then_some(now),
        run: None,
        regenerated_from: None,
        entity: handmade.entity.or(own),
        fees,
        subtotal,
        taxes,
        credits: Credits::default(),
        total,
    })
}

fn fee_of(line: &GivenLine, kind: InvoiceKind, now: Timestamp) -> Fee {
    Fee {
        id: FeeId(uuid::Uuid::now_v7()),
        kind: match kind {
            InvoiceKind::AddOn => FeeKind::AddOn,
            InvoiceKind::Credit => FeeKind::Credit,
            _ => FeeKind::OneOff,
        },
        subscription: None,
        plan: None,
        charge: line.charge,
        line_key: String::new(),
        description: line.description.clone(),
        metric_code: line.metric_code.clone(),
        precise_amount: &line.units * &line.unit_amount,
        units: line.units.clone(),
        unit_amount: line.unit_amount.clone(),
        amount: line.amount,
        events_count: 0,
        fingerprint: None,
        from: now,
        to: now,
        versions: FeeVersions::default(),
        properties: "{}".into(),
        taxes: Vec::new(),
        adjusts: None,
        in_advance: None,
        coupons: Quantity::ZERO,
    }
}
