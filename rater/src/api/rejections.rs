//! What was accepted and is not billed as it was sent (I9): what the store knows (restamped, conflict, voided, invalid_value),
//! what follows from the catalog as it is now (unmatched, ambiguous_subscription), and what came after a bill (`late`).
//!
//! Those of the catalog are found set-based: one pass over the organization's series, then one question for all stretches that
//! nobody, or more than one subscription, is charged for. `from` and `to` compare with when something was rejected; for these
//! two, which are no facts of an instant, with the event's timestamp.

use super::wire::{EventRecord, RejectionRecord};
use super::{RaterState, page_of, total_of, unanswered};
use crate::intervals::Intervals;
use crate::late_events::late_events;
use crate::view::RatingView;
use crate::whose_usage::ownership;
use aggregator::reads::{PageRequest, RejectionFilter, RejectionReason};
use aggregator::usage::{Measure, MetricScope, SeriesSummary, UsageQuery, UsageWindow};
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use catalog::BillingScope;
use domain::catalog::Subscription;
use domain::event::StoredEvent;
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use http_api::{ApiError, Authenticated, ListParams, QueryArguments, collection, total_count};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};

/// Every reason that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reason {
    InvalidValue,
    Unmatched,
    AmbiguousSubscription,
    Restamped,
    Conflict,
    Voided,
    Late,
    DeadLetter,
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, summary))]
pub(super) struct Document;

pub(super) fn routes() -> Router<RaterState> {
    let router = collection(Router::new(), "/v1/events/rejections", get(list));
    collection(router, "/v1/events/rejections/summary", get(summary))
}

/// What the request asks for.
struct Asked {
    reason: Option<Reason>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Asked {
    fn read(query: &QueryArguments) -> Result<Self, ApiError> {
        Ok(Self { reason: query.choice("reason")?, from: query.instant("from")?, to: query.instant("to")? })
    }

    fn wants(&self, reason: Reason) -> bool {
        self.reason.is_none_or(|asked| asked == reason)
    }

    /// The store's part of it; absent when only the catalog's reasons are asked for.
    fn of_store(&self) -> Option<RejectionFilter> {
        let reason = match self.reason {
            None => None,
            Some(Reason::InvalidValue) => Some(RejectionReason::InvalidValue),
            Some(Reason::Restamped) => Some(RejectionReason::Restamped),
            Some(Reason::Conflict) => Some(RejectionReason::Conflict),
            Some(Reason::Voided) => Some(RejectionReason::Voided),
            Some(Reason::DeadLetter) => Some(RejectionReason::DeadLetter),
            Some(Reason::Unmatched | Reason::AmbiguousSubscription | Reason::Late) => return None,
        };
        Some(RejectionFilter { reason, from: self.from, to: self.to })
    }
}

/// A page of rejections: the store's newest first, then unmatched, ambiguous and late events by timestamp.
#[utoipa::path(get, path = "/v1/events/rejections", tag = "Events", security(("api_key" = [])),
    params(("reason" = Option<String>, Query), ("from" = Option<String>, Query), ("to" = Option<String>, Query),
        ("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query)),
    responses((status = 200, body = [RejectionRecord]), (status = 401), (status = 422), (status = 503)))]
async fn list(
    caller: Authenticated,
    State(state): State<RaterState>,
    params: ListParams,
    query: QueryArguments,
) -> Result<impl IntoResponse, ApiError> {
    let asked = Asked::read(&query)?;
    let mut rest = page_of(&params);
    let (mut records, mut total) = (Vec::new(), 0);
    if let Some(filter) = asked.of_store() {
        let found = state.rater.store().rejections(caller.organization, filter, rest).await;
        let (rejections, number) = found.map_err(unanswered)?;
        rest = after(rest, number, rejections.len());
        total += number;
        records.extend(rejections.into_iter().map(RejectionRecord::from));
    }
    let unresolved = Unresolved::find(&state, caller.organization, &asked).await?;
    for (reason, windows) in unresolved.wanted(&asked) {
        let number = unresolved.count(&state, windows).await?;
        let events = if rest.limit == 0 { Vec::new() } else { unresolved.page(&state, windows, rest).await? };
        rest = after(rest, number, events.len());
        total += number;
        records.extend(events.into_iter().map(|event| RejectionRecord {
            reason,
            rejected_at: event.created_at.clone(),
            event,
        }));
    }
    let late = late(&state, caller.organization, &asked).await?;
    total += u64::try_from(late.len()).unwrap_or(u64::MAX);
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    records.extend(late.into_iter().skip(size(rest.skip)).take(size(rest.limit)).map(|event| {
        let event = EventRecord::from(event);
        RejectionRecord { reason: "late", rejected_at: event.created_at.clone(), event }
    }));
    Ok((total_count(total_of(total)), Json(records)))
}

/// What is left of a page after a source of `number` rows gave `given`.
fn after(page: PageRequest, number: u64, given: usize) -> PageRequest {
    let given = u64::try_from(given).unwrap_or(u64::MAX);
    PageRequest { skip: page.skip.saturating_sub(number), limit: page.limit.saturating_sub(given) }
}

/// How many of each reason; reasons without any are left out.
#[utoipa::path(get, path = "/v1/events/rejections/summary", tag = "Events", security(("api_key" = [])),
    params(("from" = Option<String>, Query), ("to" = Option<String>, Query)),
    responses((status = 200, body = std::collections::BTreeMap<String, u64>), (status = 401), (status = 422), (status = 503)))]
async fn summary(
    caller: Authenticated,
    State(state): State<RaterState>,
    query: QueryArguments,
) -> Result<Json<BTreeMap<String, u64>>, ApiError> {
    let asked = Asked { reason: None, ..Asked::read(&query)? };
    let counted = state.rater.store().rejection_counts(caller.organization, asked.from, asked.to).await;
    let mut counts: BTreeMap<String, u64> =
        counted.map_err(unanswered)?.into_iter().map(|(reason, number)| (reason.name().to_owned(), number)).collect();
    let unresolved = Unresolved::find(&state, caller.organization, &asked).await?;
    for (reason, windows) in unresolved.wanted(&asked) {
        let number = unresolved.count(&state, windows).await?;
        if number > 0 {
            counts.insert(reason.to_owned(), number);
        }
    }
    let late = late(&state, caller.organization, &asked).await?;
    if !late.is_empty() {
        counts.insert("late".to_owned(), u64::try_from(late.len()).unwrap_or(u64::MAX));
    }
    Ok(Json(counts))
}

/// What came after its stretch was billed, when that is asked for: by when it was accepted.
async fn late(state: &RaterState, organization: OrganizationId, asked: &Asked) -> Result<Vec<StoredEvent>, ApiError> {
    let Some(bills) = state.bills.as_deref().filter(|_| asked.wants(Reason::Late)) else { return Ok(Vec::new()) };
    let view = state.view(BillingScope::Organization(organization)).await?;
    let cut = state.rater.store().committed_cut().await.map_err(unanswered)?;
    let mut late = late_events(state, bills, &view, organization, &cut).await?;
    let since = |event: &StoredEvent| asked.from.is_none_or(|from| from <= event.ingested_at);
    late.retain(|event| since(event) && asked.to.is_none_or(|to| event.ingested_at <= to));
    Ok(late)
}

/// Stretches of series that nobody, or more than one subscription, is charged for.
struct Unresolved {
    scopes: Vec<MetricScope>,
    unmatched: Vec<UsageWindow>,
    ambiguous: Vec<UsageWindow>,
    cut: domain::position::Cut,
}

impl Unresolved {
    async fn find(state: &RaterState, organization: OrganizationId, asked: &Asked) -> Result<Self, ApiError> {
        let cut = state.rater.store().committed_cut().await.map_err(unanswered)?;
        let mut found = Self { scopes: Vec::new(), unmatched: Vec::new(), ambiguous: Vec::new(), cut };
        if !(asked.wants(Reason::Unmatched) || asked.wants(Reason::AmbiguousSubscription)) {
            return Ok(found);
        }
        let view = state.view(BillingScope::Organization(organization)).await?;
        let mut series = Vec::new();
        let listed = state.rater.store().series(organization, &found.cut, |summary| series.push(summary)).await;
        listed.map_err(unanswered)?;
        let candidates = Candidates::of(&view)?;
        for summary in &series {
            found.add(organization, &view, &candidates, summary, asked)?;
        }
        Ok(found)
    }

    fn add(
        &mut self,
        organization: OrganizationId,
        view: &RatingView,
        candidates: &Candidates<'_>,
        summary: &SeriesSummary,
        asked: &Asked,
    ) -> Result<(), ApiError> {
        let from = asked.from.map_or(summary.first, |from| from.max(summary.first));
        // The bounds of a list are inclusive, a stretch is half open.
        let to = Timestamp(asked.to.map_or(summary.last, |to| to.min(summary.last)).0 + 1);
        let whose = ownership(view, candidates.named(summary), &summary.code, from, to)?;
        let scope = self.scope_of(organization, &summary.code);
        let windows = |stretches: &Intervals| -> Vec<UsageWindow> {
            let window = |stretch: &crate::intervals::Interval| UsageWindow {
                series: summary.series,
                from: stretch.from,
                to: stretch.to,
                slot: 0,
                scope,
            };
            stretches.as_slice().iter().map(window).collect()
        };
        self.unmatched.extend(windows(&Intervals::of(from, to).minus(&whose.owned)));
        self.ambiguous.extend(windows(&whose.ambiguous));
        Ok(())
    }

    fn scope_of(&mut self, organization: OrganizationId, code: &str) -> u32 {
        let place = self.scopes.iter().position(|scope| scope.code == code).unwrap_or_else(|| {
            let scope = MetricScope { organization, code: code.to_owned(), field_name: None, dimensions: Vec::new() };
            self.scopes.push(scope);
            self.scopes.len() - 1
        });
        // As many as an organization has codes.
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    /// The asked-for reasons with their stretches.
    fn wanted(&self, asked: &Asked) -> Vec<(&'static str, &[UsageWindow])> {
        let all = [
            (Reason::Unmatched, "unmatched", self.unmatched.as_slice()),
            (Reason::AmbiguousSubscription, "ambiguous_subscription", self.ambiguous.as_slice()),
        ];
        all.into_iter().filter(|(reason, ..)| asked.wants(*reason)).map(|(_, name, windows)| (name, windows)).collect()
    }

    fn query(&self, windows: &[UsageWindow]) -> UsageQuery {
        UsageQuery {
            measure: Measure::Count,
            scopes: self.scopes.clone(),
            windows: windows.to_vec(),
            cut: self.cut.clone(),
            by_dimensions: false,
        }
    }

    async fn count(&self, state: &RaterState, windows: &[UsageWindow]) -> Result<u64, ApiError> {
        if windows.is_empty() {
            return Ok(0);
        }
        let mut events = 0;
        let counted = state.rater.store().usage(self.query(windows), |row| events += row.events_count).await;
        counted.map_err(unanswered)?;
        Ok(events)
    }

    async fn page(
        &self,
        state: &RaterState,
        windows: &[UsageWindow],
        page: PageRequest,
    ) -> Result<Vec<EventRecord>, ApiError> {
        if windows.is_empty() {
            return Ok(Vec::new());
        }
        let events = state.rater.store().events_in(&self.query(windows), page).await.map_err(unanswered)?;
        Ok(events.into_iter().map(|member| member.event.into()).collect())
    }
}

/// Subscriptions by the names that events call them by, oldest first.
struct Candidates<'a> {
    by_customer: HashMap<&'a str, Vec<&'a Subscription>>,
    by_name: HashMap<&'a str, Vec<&'a Subscription>>,
    by_both: HashMap<(&'a str, &'a str), Vec<&'a Subscription>>,
}

impl<'a> Candidates<'a> {
    fn of(view: &'a RatingView) -> Result<Self, ApiError> {
        let mut all = Self { by_customer: HashMap::new(), by_name: HashMap::new(), by_both: HashMap::new() };
        for subscription in view.subscriptions() {
            let customer = view.customer(subscription.customer_id)?.external_id.as_str();
            let name = subscription.external_id.as_str();
            all.by_customer.entry(customer).or_default().push(subscription);
            all.by_name.entry(name).or_default().push(subscription);
            all.by_both.entry((customer, name)).or_default().push(subscription);
        }
        Ok(all)
    }

    fn named(&self, summary: &SeriesSummary) -> impl Iterator<Item = &'a Subscription> {
        let (customer, name) = (summary.customer.as_str(), summary.subscription.as_str());
        let found = match (customer.is_empty(), name.is_empty()) {
            (_, true) => self.by_customer.get(customer),
            (true, false) => self.by_name.get(name),
            (false, false) => self.by_both.get(&(customer, name)),
        };
        found.cloned().unwrap_or_default().into_iter()
    }
}
