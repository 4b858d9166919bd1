//! A small world for tests: a catalog in memory, usage that is a function of who, what and when, a ledger on a real database,
//! and runs that are cut off at any await.

use crate::due::Reach;
use crate::inputs::{BillingInputs, InputError, World};
use crate::ledger::runs::{RunRecord, RunScope};
use crate::run::progress::Unobserved;
use crate::run::{BillingRuns, Portions};
use async_trait::async_trait;
use catalog::database::Database;
use domain::catalog::{
    Aggregation, BillingTime, Charge, ChargeModel, Customer, Interval, Metric, Plan, Subscription, SubscriptionStatus,
};
use domain::identity::EventId;
use domain::ids::{ChargeId, CustomerId, MetricId, OrganizationId, PlanId, SubscriptionId};
use domain::money::{Currency, MinorUnits};
use domain::position::Cut;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use http_api::{FixedClock, SharedClock};
use rater::advance::{AdvancePayers, AdvancedItem};
use rater::late::{AdjustedStretch, BilledStretch, Changes};
use rater::lines::Group;
use rater::{Line, RateProblem, RatedCharge, RatedItem, RatingItem, RatingView, ViewError};
use sqlx::Row;
use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

pub fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// A catalog to change between runs.
#[derive(Clone, Default)]
pub struct Catalog {
    pub customers: Vec<Customer>,
    pub subscriptions: Vec<Subscription>,
    pub plans: Vec<Plan>,
    pub metrics: Vec<Metric>,
    pub sandboxes: HashMap<OrganizationId, Timestamp>,
    pub terms: catalog::BillingTerms,
}

impl Catalog {
    /// A monthly plan in arrears: flat fee of `amount` cents, and one charge for each of `codes`.
    pub fn plan(&mut self, amount: i64, codes: &[&str]) -> PlanId {
        let charges = codes.iter().map(|code| self.charge(code)).collect();
        let id = PlanId(uuid::Uuid::from_u128(1000 + self.plans.len() as u128));
        self.plans.push(Plan {
            id,
            version: 1,
            valid_from: Timestamp(0),
            code: format!("plan-{}", self.plans.len()),
            name: "Plan".into(),
            interval: Interval::Monthly,
            amount: MinorUnits(amount),
            currency: Currency::USD,
            pay_in_advance: false,
            trial_period_days: 0,
            bill_charges_monthly: false,
            charges,
        });
        id
    }

    fn charge(&mut self, code: &str) -> Charge {
        let metric_id = MetricId(uuid::Uuid::from_u128(2000 + self.metrics.len() as u128));
        self.metrics.push(Metric {
            id: metric_id,
            version: 1,
            valid_from: Timestamp(0),
            code: code.into(),
            name: code.to_uppercase(),
            aggregation: Aggregation::Count,
            field_name: None,
            expression: None,
            recurring: false,
            rounding: None,
            filters: vec![],
        });
        Charge {
            id: ChargeId(uuid::Uuid::from_u128(3000 + self.metrics.len() as u128)),
            metric_id,
            model: ChargeModel::Standard,
            properties: serde_json::json!({"amount": "0.01"}),
            invoice_display_name: None,
            min_amount: MinorUnits(0),
            pay_in_advance: false,
            prorated: false,
            invoiceable: true,
            filters: vec![],
        }
    }

    pub fn customer(&mut self, organization: OrganizationId) -> CustomerId {
        let id = CustomerId(uuid::Uuid::from_u128(4000 + self.customers.len() as u128));
        self.customers.push(Customer {
            id,
            organization,
            external_id: format!("c-{}", self.customers.len()),
            name: "C".into(),
            timezones: vec![(Timestamp(0), "UTC".into())],
            net_payment_term_days: 30,
            invoice_grace_period_days: 0,
        });
        id
    }

    pub fn subscribe(&mut self, customer: CustomerId, plan: PlanId, started_at: &str) -> SubscriptionId {
        let organization = self.customers.iter().find(|known| known.id == customer).unwrap().organization;
        let id = SubscriptionId(uuid::Uuid::from_u128(5000 + self.subscriptions.len() as u128));
        self.subscriptions.push(Subscription {
            id,
            organization,
            external_id: format!("s-{}", self.subscriptions.len()),
            customer_id: customer,
            plan_id: plan,
            status: SubscriptionStatus::Active,
            billing_time: BillingTime::Calendar,
            started_at: Some(at(started_at)),
            ended_at: None,
            created_at: at(started_at),
            pay_in_advance: false,
            trial_period_days: 0,
            anchor_at: None,
            ending: domain::catalog::Ending::Bills,
            unused_advance: domain::catalog::UnusedAdvance::Credit,
        });
        id
    }
}

/// Inputs whose usage is a function of who, what and when, and of the cut.
pub struct FakeInputs {
    pub catalog: Mutex<Catalog>,
    /// The store's last insert.
    pub position: AtomicU64,
    /// Subscriptions that cannot be rated.
    pub broken: Mutex<HashSet<SubscriptionId>>,
    /// Calls of `rate`.
    pub ratings: AtomicU64,
    /// What the event store fails with.
    pub store_error: Mutex<Option<String>>,
}

#[async_trait]
impl BillingInputs for FakeInputs {
    async fn catalog_mark(&self) -> Result<String, InputError> {
        Ok(self.catalog.lock().unwrap().subscriptions.len().to_string())
    }

    async fn world(&self, organization: Option<OrganizationId>) -> Result<World, InputError> {
        tokio::task::yield_now().await;
        let all = self.catalog.lock().unwrap().clone();
        let here = |found: OrganizationId| organization.is_none_or(|wanted| wanted == found);
        let customers = all.customers.into_iter().filter(|customer| here(customer.organization)).collect();
        let subscriptions = all.subscriptions.into_iter().filter(|one| here(one.organization)).collect();
        let view = Arc::new(RatingView::new(customers, subscriptions, all.plans, all.metrics));
        Ok(World { view, terms: Arc::new(all.terms), sandboxes: all.sandboxes })
    }

    async fn customer_world(&self, organization: OrganizationId, _customer: CustomerId) -> Result<World, InputError> {
        self.world(Some(organization)).await
    }

    async fn cut(&self) -> Result<Cut, InputError> {
        tokio::task::yield_now().await;
        if let Some(error) = self.store_error.lock().unwrap().clone() {
            return Err(InputError::Other(error));
        }
        Ok(Cut::direct(self.position.load(Ordering::SeqCst)))
    }

    async fn may_charge_in_advance(&self) -> Result<bool, InputError> {
        Ok(false)
    }

    async fn may_have_thresholds(&self) -> Result<bool, InputError> {
        Ok(false)
    }

    async fn sandbox_clocks(&self) -> Result<HashMap<OrganizationId, Timestamp>, InputError> {
        Ok(self.catalog.lock().unwrap().sandboxes.clone())
    }

    async fn changed_in(
        &self,
        _view: &Arc<RatingView>,
        _codes: Vec<(OrganizationId, String)>,
        _after: &Cut,
        _until: &Cut,
    ) -> Result<Changes, InputError> {
        Ok(Changes::default())
    }

    async fn cut_so_far(&self) -> Result<Cut, InputError> {
        self.cut().await
    }

    async fn touched_stretches(
        &self,
        _view: &Arc<RatingView>,
        _payers: &Arc<AdvancePayers>,
        _after: &Cut,
        _until: &Cut,
    ) -> Result<Vec<RatingItem>, InputError> {
        Ok(Vec::new())
    }

    async fn advance_fees(
        &self,
        _view: &Arc<RatingView>,
        items: Vec<RatingItem>,
        _after: &Cut,
        _until: &Cut,
    ) -> Result<Vec<AdvancedItem>, InputError> {
        Ok(items.into_iter().map(|item| AdvancedItem { item, plan: None, fees: Ok(Vec::new()) }).collect())
    }

    async fn carried_fees(
        &self,
        view: &Arc<RatingView>,
        items: Vec<RatingItem>,
        cut: &Cut,
    ) -> Result<Vec<AdvancedItem>, InputError> {
        self.advance_fees(view, items, cut, cut).await
    }

    async fn voided(&self, _until: &Cut) -> Result<Vec<EventId>, InputError> {
        Ok(Vec::new())
    }

    async fn changes(
        &self,
        _view: &Arc<RatingView>,
        _before: Timestamp,
        _after: &Cut,
        _until: &Cut,
    ) -> Result<Changes, InputError> {
        tokio::task::yield_now().await;
        Ok(Changes::default())
    }

    async fn adjustments(
        &self,
        _view: &Arc<RatingView>,
        stretches: Vec<BilledStretch>,
        _cut: &Cut,
    ) -> Result<Vec<AdjustedStretch>, InputError> {
        assert!(stretches.is_empty(), "nothing has changed");
        Ok(Vec::new())
    }

    async fn rate(
        &self,
        view: &Arc<RatingView>,
        items: Vec<RatingItem>,
        cut: &Cut,
    ) -> Result<Vec<RatedItem>, InputError> {
        tokio::task::yield_now().await;
        self.ratings.fetch_add(1, Ordering::SeqCst);
        let broken = self.broken.lock().unwrap().clone();
        Ok(items.into_iter().map(|item| rated(view, item, cut, &broken)).collect())
    }
}

fn rated(view: &RatingView, item: RatingItem, cut: &Cut, broken: &HashSet<SubscriptionId>) -> RatedItem {
    let subscription = view.subscription(item.subscription).unwrap();
    let instant = RatingView::versions_at(subscription, &item.period);
    let plan = view.plan_at(subscription.plan_id, instant).unwrap().clone();
    if broken.contains(&subscription.id) {
        let problem = RateProblem::View(ViewError::UnknownPlan(subscription.plan_id));
        return RatedItem { item, plan: Some(plan), fees: Err(problem) };
    }
    let offset = cut.iter().map(|(_, _, offset)| offset).sum::<u64>();
    let fees = plan
        .plan
        .charges
        .iter()
        .zip(1_u64..)
        .map(|(charge, place)| {
            let days = (item.to.0 - item.from.0) / 86_400_000_000;
            let who = u64::try_from(subscription.id.0.as_u128() % 97).unwrap();
            // Every third subscription used nothing; a later cut finds more.
            let cents = if who.is_multiple_of(3) { 0 } else { who * place * days.unsigned_abs() + offset };
            RatedCharge {
                charge: Arc::new(charge.clone()),
                metric: view.metric_at(charge, instant).unwrap().clone(),
                line: Line { group: Group::default(), ..Line::default() },
                units: Quantity::from(cents),
                full_units: None,
                amount: &Quantity::from(cents) * &"0.01".parse().unwrap(),
                amount_cents: MinorUnits(i64::try_from(cents).unwrap()),
                unit_amount: "0.01".parse().unwrap(),
                events_count: cents,
                invalid_count: 0,
                fingerprint: u128::from(cents) << 64 | u128::from(who),
            }
        })
        .collect();
    RatedItem { item, plan: Some(plan), fees: Ok(fees) }
}

/// A ledger on a file, with inputs to change.
pub struct Bench {
    pub inputs: Arc<FakeInputs>,
    pub runs: BillingRuns,
    pub clock: Arc<FixedClock>,
    portions: Portions,
    place: Place,
}

/// A new, empty database.
pub struct Place {
    pub url: String,
    _folder: tempfile::TempDir,
}

impl Place {
    /// Of the kind that a test module is named after.
    pub async fn for_module(module: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = if module.contains("postgres") {
            test_postgres::TestPostgres::shared().database().await.unwrap()
        } else {
            format!("sqlite://{}", folder.path().join("ledger.db").display())
        };
        Self { url, _folder: folder }
    }

    pub async fn open(&self) -> Database {
        Database::open(&self.url).await.unwrap()
    }
}

impl Bench {
    pub async fn new(catalog: Catalog) -> Self {
        Self::on("sqlite", catalog, Portions::default()).await
    }

    /// On the database that `module` is named after; its runs rate and write so much at a time.
    pub async fn on(module: &str, catalog: Catalog, portions: Portions) -> Self {
        let place = Place::for_module(module).await;
        let database = place.open().await;
        let inputs = Arc::new(FakeInputs {
            catalog: Mutex::new(catalog),
            position: AtomicU64::new(1),
            broken: Mutex::default(),
            ratings: AtomicU64::new(0),
            store_error: Mutex::default(),
        });
        let clock = FixedClock::at(at("2026-08-01T00:00:00Z"));
        let runs = BillingRuns::open(database, inputs.clone(), clock.clone(), portions).await.unwrap();
        Self { inputs, runs, clock, portions, place }
    }

    /// The same ledger as another process sees it.
    pub async fn other_process(&self) -> BillingRuns {
        let database = self.place.open().await;
        let clock: SharedClock = self.clock.clone();
        BillingRuns::open(database, self.inputs.clone(), clock, self.portions).await.unwrap()
    }

    pub fn database(&self) -> &Database {
        self.runs.database()
    }

    /// Bills everything up to `as_of`.
    pub async fn bill(&self, as_of: &str) -> RunRecord {
        self.runs.run_to_end(everything(as_of), &Unobserved).await.unwrap()
    }

    /// Everything the ledger says, but for ids and the machine's clock, in the order of due instants.
    pub async fn statement(&self) -> Vec<String> {
        statement(self.database(), true).await
    }

    /// Numbers of an organization are 1, 2, … without gap, in each one.
    pub async fn assert_numbers_have_no_gap(&self) {
        let sql = "SELECT organization_id, COUNT(number) AS issued, COUNT(DISTINCT number) AS distinct_numbers,
                       MIN(number) AS first, MAX(number) AS last
                   FROM invoices WHERE number IS NOT NULL GROUP BY organization_id";
        for row in sqlx::query(sql).fetch_all(self.database().pool()).await.unwrap() {
            let [issued, distinct, first, last] =
                ["issued", "distinct_numbers", "first", "last"].map(|name| row.get::<i64, _>(name));
            assert_eq!((issued, distinct, first), (last, last, 1));
        }
    }
}

pub fn everything(as_of: &str) -> RunScope {
    RunScope { organization: None, as_of: at(as_of), dry_run: false, reach: Reach::Everything }
}

/// One line per invoice and fee; with the numbers of invoices, or without.
pub async fn statement(database: &Database, with_numbers: bool) -> Vec<String> {
    let number = if with_numbers { "COALESCE(i.number, 0)" } else { "0" };
    let sql = format!(
        "SELECT i.organization_id || ' ' || i.due_at || ' ' || i.customer_id || ' ' || i.currency || ' ' || i.occasion
             || ' ' || {number} || ' ' || i.status || ' ' || COALESCE(i.subscription_id, '-') || ' ' || i.period_start
             || ' ' || i.period_end || ' ' || i.issued_at || ' ' || i.due_date || ' ' || COALESCE(i.paid_at, 0)
             || ' ' || i.subtotal_cents || ' ' || i.total_cents || ' | ' || f.line || ' ' || f.fee_type || ' '
             || f.subscription_id || ' ' || f.charge_id || ' ' || f.line_key || ' ' || f.period_start || ' '
             || f.period_end || ' ' || f.units || ' ' || f.amount_cents || ' ' || f.precise_amount_cents || ' '
             || f.events_count || ' ' || COALESCE(f.event_fingerprint, '-') || ' ' || COALESCE(c.positions, '-') || ' '
             || f.properties || ' ' || f.payment_status AS line
         FROM invoices i JOIN fees f ON f.invoice_id = i.id LEFT JOIN rating_cuts c ON c.id = f.cut_id
         ORDER BY 1"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(database.pool()).await.unwrap();
    rows.iter().map(|row| row.get("line")).collect()
}

/// Polls a future at most `polls` times, then drops it where it stands: what a kill leaves.
pub async fn cut_off_after<F: Future>(polls: u32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// The output of a future, and how often it was polled: the points at which it could have been cut off.
pub async fn with_polls<F: Future>(future: F) -> (F::Output, u32) {
    let mut future = pin!(future);
    let mut polls = 0;
    let output = std::future::poll_fn(|context| {
        polls += 1;
        future.as_mut().poll(context)
    })
    .await;
    (output, polls)
}
