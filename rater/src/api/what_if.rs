//! What history would have come to under a changed plan. Nothing is written.

use super::{RaterState, unanswered};
use crate::view::RatingView;
use crate::what_if::{Comparison, Revenue, WhatIf, WhatIfError};
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use catalog::BillingScope;
use catalog::plan::wire::ChargeInput;
use domain::ids::{CustomerId, OrganizationId};
use domain::money::MinorUnits;
use domain::time::Timestamp;
use http_api::{ApiError, Authenticated, FieldError, JsonBody, Loc, PathArguments};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashSet;
use utoipa::ToSchema;

/// Three leap years: each period in it is rated twice for every subscription.
const MOST_DAYS: i64 = 3 * 366;
const DAY: i64 = 24 * 3_600 * domain::time::MICROS_PER_SECOND;

#[derive(utoipa::OpenApi)]
#[openapi(paths(what_if))]
pub(super) struct Document;

pub(super) fn routes() -> Router<RaterState> {
    // The parameter is the plan's code; the router takes one spelling of a parameter, and others call it an id.
    Router::new()
        .route("/v1/plans/{plan_id}/what_if", post(what_if))
        .route("/v1/plans/{plan_id}/what_if/", post(what_if))
}

/// A changed plan, and which history to rate by it.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct WhatIfRequest {
    /// Replaces all charges, as in a plan's update; absent: they stay.
    pub charges: Option<Vec<ChargeInput>>,
    /// The flat fee of a period; absent: it stays.
    pub amount_cents: Option<i64>,
    /// First instant of the history.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// First instant after it.
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
    /// Only these customers; absent: everybody with a subscription to the plan.
    pub external_customer_ids: Option<Vec<String>>,
}

/// Old and new revenue. Amounts are in minor units of the plan's currency; a customer who would pay less is a winner.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WhatIfResponse {
    /// Code of the plan.
    pub plan_code: String,
    /// ISO 4217.
    pub currency: String,
    /// First instant.
    pub from: String,
    /// First instant after it.
    pub to: String,
    /// Subscriptions that were rated.
    pub subscriptions_count: usize,
    /// As it was.
    pub old_amount_cents: String,
    /// As it would have been.
    pub new_amount_cents: String,
    /// New less old.
    pub difference_cents: String,
    /// Customers who would pay less.
    pub winners_count: usize,
    /// Customers who would pay more.
    pub losers_count: usize,
    /// Customers who would pay the same.
    pub unchanged_count: usize,
    /// Every customer, the greatest saving first, the greatest increase last.
    pub customers: Vec<CustomerDifference>,
    /// Subscriptions that could not be rated, on either side; they are in no sum.
    pub problems: Vec<WhatIfProblem>,
}

/// What one customer paid and would have paid.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CustomerDifference {
    /// The client's own id.
    pub external_customer_id: String,
    /// As it was.
    pub old_amount_cents: String,
    /// As it would have been.
    pub new_amount_cents: String,
    /// New less old.
    pub difference_cents: String,
    /// `winner`, `loser` or `unchanged`.
    pub outcome: &'static str,
}

/// A subscription that could not be rated.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WhatIfProblem {
    /// The client's own id.
    pub external_subscription_id: String,
    /// Why.
    pub reason: String,
}

/// Rates real history under a changed plan for every subscription on it.
#[utoipa::path(post, path = "/v1/plans/{plan_id}/what_if", tag = "Plans", security(("api_key" = [])),
    params(("plan_id" = String, Path, description = "code of the plan")), request_body = WhatIfRequest,
    responses((status = 200, body = WhatIfResponse), (status = 400), (status = 401), (status = 404), (status = 422),
        (status = 503)))]
async fn what_if(
    caller: Authenticated,
    State(state): State<RaterState>,
    path: PathArguments,
    JsonBody(asked): JsonBody<WhatIfRequest>,
) -> Result<Json<WhatIfResponse>, ApiError> {
    check(&asked)?;
    let (organization, code) = (caller.organization, path.text("plan_id")?);
    let charges = asked.charges.as_deref();
    let plan = state.catalog.plan_as_changed(organization, code, charges, asked.amount_cents).await?;
    let customers = named(&state, organization, asked.external_customer_ids.as_deref()).await?;
    let view = state.view(BillingScope::Organization(organization)).await?;
    let cut = state.rater.store().committed_cut().await.map_err(unanswered)?;
    let (plan_code, currency) = (plan.code.clone(), plan.currency);
    let question = WhatIf { plan, from: asked.from, to: asked.to, customers };
    let comparison = state.rater.what_if(&view, question, &cut).await?;
    let mut answer = answer(&view, &comparison)?;
    (answer.plan_code, answer.currency) = (plan_code, currency.to_string());
    (answer.from, answer.to) = (asked.from.to_string(), asked.to.to_string());
    Ok(Json(answer))
}

fn check(asked: &WhatIfRequest) -> Result<(), ApiError> {
    let mut faults = Vec::new();
    if asked.amount_cents.is_some_and(|cents| cents < 0) {
        let msg = "Input should be greater than or equal to 0";
        faults.push(FieldError::in_body("greater_than_equal", [Loc::from("amount_cents")], msg, &Value::Null));
    }
    if asked.from >= asked.to || asked.to.0.saturating_sub(asked.from.0) > MOST_DAYS * DAY {
        let msg = format!("Input should be later than 'from', by at most {MOST_DAYS} days");
        let input = Value::from(asked.to.to_string());
        faults.push(FieldError::in_body("value_error", [Loc::from("to")], msg, &input));
    }
    if faults.is_empty() { Ok(()) } else { Err(ApiError::validation(faults)) }
}

async fn named(
    state: &RaterState,
    organization: OrganizationId,
    names: Option<&[String]>,
) -> Result<Option<HashSet<CustomerId>>, ApiError> {
    let Some(names) = names else { return Ok(None) };
    let mut customers = HashSet::new();
    for (place, name) in names.iter().enumerate() {
        let Some(customer) = state.catalog.customer_named(organization, name).await? else {
            let path = [Loc::from("external_customer_ids"), Loc::from(place)];
            let fault =
                FieldError::in_body("value_error", path, "there is no such customer", &Value::from(name.as_str()));
            return Err(ApiError::validation(vec![fault]));
        };
        customers.insert(customer);
    }
    Ok(Some(customers))
}

fn answer(view: &RatingView, comparison: &Comparison) -> Result<WhatIfResponse, ApiError> {
    let mut rows: Vec<(MinorUnits, &str, Revenue)> = Vec::with_capacity(comparison.customers.len());
    let mut total = Revenue::default();
    for (customer, revenue) in &comparison.customers {
        total.old = total.old.plus(revenue.old).map_err(too_large)?;
        total.new = total.new.plus(revenue.new).map_err(too_large)?;
        let name = view.customer(*customer)?.external_id.as_str();
        rows.push((revenue.difference().map_err(too_large)?, name, *revenue));
    }
    rows.sort_unstable_by_key(|(difference, name, _)| (*difference, *name));
    let number = |wanted: std::cmp::Ordering| {
        rows.iter().filter(|(difference, _, _)| difference.cmp(&MinorUnits::ZERO) == wanted).count()
    };
    let mut problems: Vec<WhatIfProblem> = Vec::new();
    for (subscription, reason) in &comparison.problems {
        let external_subscription_id = view.subscription(*subscription)?.external_id.clone();
        problems.push(WhatIfProblem { external_subscription_id, reason: reason.clone() });
    }
    Ok(WhatIfResponse {
        plan_code: String::new(),
        currency: String::new(),
        from: String::new(),
        to: String::new(),
        subscriptions_count: comparison.subscriptions,
        old_amount_cents: total.old.to_string(),
        new_amount_cents: total.new.to_string(),
        difference_cents: total.difference().map_err(too_large)?.to_string(),
        winners_count: number(std::cmp::Ordering::Less),
        losers_count: number(std::cmp::Ordering::Greater),
        unchanged_count: number(std::cmp::Ordering::Equal),
        customers: rows.into_iter().map(customer_difference).collect(),
        problems,
    })
}

fn customer_difference((difference, name, revenue): (MinorUnits, &str, Revenue)) -> CustomerDifference {
    CustomerDifference {
        external_customer_id: name.to_owned(),
        old_amount_cents: revenue.old.to_string(),
        new_amount_cents: revenue.new.to_string(),
        difference_cents: difference.to_string(),
        outcome: match difference.cmp(&MinorUnits::ZERO) {
            std::cmp::Ordering::Less => "winner",
            std::cmp::Ordering::Greater => "loser",
            std::cmp::Ordering::Equal => "unchanged",
        },
    }
}

fn too_large(fault: domain::money::MoneyError) -> ApiError {
    ApiError::unprocessable("amount_too_large", fault.to_string())
}

impl From<WhatIfError> for ApiError {
    fn from(error: WhatIfError) -> Self {
        match error {
            WhatIfError::Rate(error) => error.into(),
            WhatIfError::View(error) => error.into(),
            WhatIfError::Money(error) => too_large(error),
        }
    }
}
