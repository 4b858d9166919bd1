//! Cases of aggregations: events, a period, and what they come to.

use super::check::{Check, given};
use crate::fixtures::{World, at, charge};
use domain::catalog::{Aggregation, ChargeFilter, ChargeModel, RoundingFunction};
use domain::identity::EventId;
use domain::money::Currency;
use domain::period::Period;
use domain::pricing::{AdvanceLevel, EventUnits};
use domain::quantity::Quantity;
use domain::time::Timestamp;
use rater::aggregate::{MetricEvent, MetricRules, Span, aggregate, newest, prorated, sort};
use rater::lines::Group;
use rater::usage::{EventRules, LineUsage, UsageByLine, UsageEvent, from_events};
use rater::view::{RatableCharge, ratable};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is rated from two inclusive bounds, of a period that has `days` days.
pub fn span(from: &str, to: &str, days: i64) -> Span {
    let inclusive_day = to.contains("T23:59:59");
    let (from, to) = (at(from), at(to));
    // An inclusive last moment of a day is the start of the next; other ends hold their own instant.
    let to = if inclusive_day { Timestamp((to.0 / 1_000_000 + 1) * 1_000_000) } else { Timestamp(to.0 + 1) };
    let zone = chrono_tz::UTC;
    let first_day = domain::period::local_date(zone, from);
    let end_day = first_day + chrono::TimeDelta::days(days);
    let period = Period {
        start: domain::period::day_start(zone, first_day),
        end: domain::period::day_start(zone, end_day),
        first_day,
        end_day,
        zone,
    };
    Span { from, to, period }
}

/// A case, ready to be aggregated.
struct Case<'a> {
    case: &'a Value,
    rules: MetricRules,
    ratable: RatableCharge,
    keys: Vec<String>,
    events: Vec<UsageEvent>,
    span: Span,
}

/// Every key of a case.
pub const KEYS: &[&str] = &[
    "aggregation_type",
    "events",
    "expected",
    "field",
    "filters",
    "group_values",
    "grouped_by",
    "id",
    "initial_value",
    "note",
    "pay_in_advance",
    "period",
    "prorated",
    "recurring",
    "rounding",
    "source_spec",
    "standard_price",
    "state",
];

pub fn check(case: &Value, check: &mut Check) {
    if case["period"].is_null() {
        return first_event_in_advance(case, check);
    }
    if case.get("state").is_some() {
        return billed_in_advance(case, check);
    }
    let ready = Case::of(case);
    if case["pay_in_advance"] == true {
        return steps_in_advance(&ready, check);
    }
    match check.wants("groups") {
        true => ready.check_groups(check),
        false => ready.check_whole(check),
    }
    ready.check_steps(check);
    ready.check_per_event(check);
}

fn first_event_in_advance(case: &Value, check: &mut Check) {
    let state = &case["state"];
    let mut level =
        AdvanceLevel { current: given(&state["current_aggregation"]), maximum: given(&state["max_aggregation"]) };
    let value = &case["events"][0]["properties"][case["field"].as_str().unwrap()];
    check.top("pay_in_advance_units", &level.add(&given(value)));
}

/// What was carried over counts whole; of the period counts what was billed as its events came.
fn billed_in_advance(case: &Value, check: &mut Check) {
    let ready = Case::of(case);
    let carried: Vec<UsageEvent> =
        ready.events.iter().filter(|event| event.timestamp < ready.span.from).cloned().collect();
    let before = from_events(ready.event_rules(), &carried);
    let before = before.values().next().unwrap();
    let state = &case["state"];
    let whole = before.full_quantity.clone().unwrap();
    check.top("aggregation", &(&before.quantity + &given(&state["max_aggregation_with_proration"])));
    check.top("current_usage_units", &(&whole + &given(&state["current_aggregation"])));
}

impl<'a> Case<'a> {
    fn of(case: &'a Value) -> Self {
        let mut world = World::new();
        let precise = case["aggregation_type"] == "sum_precise_total_amount_cents";
        let aggregation = match case["aggregation_type"].as_str().unwrap() {
            "sum_precise_total_amount_cents" => Aggregation::Sum,
            name => serde_json::from_value(json!(name.trim_end_matches("_agg"))).unwrap(),
        };
        world.metric("m", aggregation, case["field"].as_str());
        let mut metric = world.metrics.remove(0);
        metric.recurring = case["recurring"] == true;
        metric.rounding = rounding(&case["rounding"]);
        let model = if precise { ChargeModel::Dynamic } else { ChargeModel::Standard };
        let mut one = charge(metric.id, model, json!({"amount": "1"}));
        one.prorated = case["prorated"] == true;
        one.filters = filters(&case["filters"]);
        let grouped = case["grouped_by"].clone();
        let target = one.filters.first_mut().map_or(&mut one.properties, |filter| &mut filter.properties);
        if grouped.is_array() {
            target["grouped_by"] = grouped;
        }
        let ratable = ratable(&one).unwrap();
        let period = &case["period"];
        let (from, to) = (period["from"].as_str().unwrap(), period["to"].as_str().unwrap());
        let days = period["duration_days"].as_i64().unwrap_or(31);
        let (span, keys) = (span(from, to, days), ratable.lines.keys().to_vec());
        let rules = MetricRules::new(Arc::new(metric)).unwrap();
        let mut ready = Self { case, rules, ratable, keys, events: Vec::new(), span };
        ready.events = ready.given_events();
        ready
    }

    /// The events that count: after the file's deduplication, of the wanted group, and inside the period (of a recurring
    /// metric also before it). A given initial value is an event from before.
    fn given_events(&self) -> Vec<UsageEvent> {
        let mut by_id: BTreeMap<(String, i64), (usize, &Value)> = BTreeMap::new();
        for (place, event) in self.case["events"].as_array().unwrap().iter().enumerate() {
            let id = event["transaction_id"].as_str().map_or_else(|| format!("event {place}"), str::to_owned);
            by_id.insert((id, at(event["timestamp"].as_str().unwrap()).0), (place, event));
        }
        let wanted = self.case["group_values"].as_object();
        let in_group = |event: &Value| {
            wanted.is_none_or(|values| values.iter().all(|(key, value)| event["properties"][key] == *value))
        };
        let mut events: Vec<(usize, UsageEvent)> = by_id
            .into_iter()
            .filter(|(_, (_, event))| in_group(event))
            .map(|((_, micros), (place, event))| (place, usage_event(place, micros, event)))
            .filter(|(_, event)| event.timestamp < self.span.to)
            .filter(|(_, event)| self.rules.metric.recurring || event.timestamp >= self.span.from)
            .collect();
        events.sort_by_key(|(place, _)| *place);
        let initial = self.case.get("initial_value").map(|value| {
            let field = self.case["field"].as_str().unwrap();
            let before = json!({"timestamp": "1970-01-02T00:00:00Z", "properties": {field: value}});
            usage_event(1_000_000, 86_400_000_000, &before)
        });
        events.into_iter().map(|(_, event)| event).chain(initial).collect()
    }

    fn event_rules(&self) -> EventRules<'_> {
        EventRules {
            lines: &self.ratable.lines,
            metric: &self.rules,
            keys: &self.keys,
            span: self.span,
            exponent: 0,
            prorated: self.ratable.charge.prorated,
        }
    }

    /// Usage of the line that the case is about: its filter's, else the charge's own.
    fn usage(&self, events: &[UsageEvent]) -> Vec<(Group, LineUsage)> {
        let by_line: UsageByLine = from_events(self.event_rules(), events);
        by_line.into_iter().filter(|((line, _), _)| *line == 0).map(|((_, group), usage)| (group, usage)).collect()
    }

    fn units(&self, usage: &LineUsage) -> Quantity {
        let quantity = usage.dynamic_total.clone().unwrap_or(usage.quantity.clone());
        match (self.rules.metric.rounding, self.case["rounding"]["precision"].as_i64()) {
            (Some((function, _)), precision) => {
                quantity.rounded(function, i32::try_from(precision.unwrap_or(0)).unwrap())
            }
            (None, _) => quantity,
        }
    }

    fn check_whole(&self, check: &mut Check) {
        let usage = self.usage(&self.events);
        let usage = &usage[0].1;
        let units = self.units(usage);
        check.top("aggregation", &units);
        check.top("count", &Quantity::from(usage.events_count - usage.invalid_count + self.carried_events(check)));
        let numbers = |own: bool| -> Quantity {
            let of_part = |event: &&UsageEvent| !own || event.timestamp >= self.span.from;
            let events = self.metric_events(self.events.iter().filter(of_part));
            aggregate(Aggregation::Sum, &events, self.span)
        };
        check.top("variation", &numbers(true));
        check.top("total_aggregated_units", &numbers(false));
        let cents = Currency::USD.to_minor_units(&units.to_big()).unwrap();
        check.top("fee_amount_cents_at_price_1", &Quantity::from(cents.0));
        self.check_running_total(check);
    }

    /// Sums of recurring metrics count in the file's `count` what they carry over; weighted sums do not.
    fn carried_events(&self, check: &Check) -> u64 {
        let carries = self.rules.metric.aggregation == Aggregation::Sum && check.wants("count");
        let carried = self.events.iter().filter(|event| carries && event.timestamp < self.span.from);
        u64::try_from(carried.count()).unwrap()
    }

    fn metric_events<'e>(&self, events: impl Iterator<Item = &'e UsageEvent>) -> Vec<MetricEvent> {
        let event = |event: &UsageEvent| MetricEvent {
            timestamp: event.timestamp,
            id: event.id,
            value: self.rules.value_of(&event.properties),
        };
        events.map(event).collect()
    }

    fn check_running_total(&self, check: &mut Check) {
        let Some(want) = check.expected()["running_total_free_events_2"].as_array().cloned() else {
            return;
        };
        let own: Vec<UsageEvent> = self.events.iter().filter(|event| self.is_mine(event)).cloned().collect();
        for (place, total) in want.iter().enumerate() {
            let usage = self.usage(&own[..=place]);
            check.number(&format!("running_total_free_events_2[{place}]"), total, &usage[0].1.quantity);
        }
        check.same("running_total_free_events_2.length", &json!(want.len()), &json!(own.len().min(2)));
        check.covered("running_total_free_events_2");
    }

    /// Whether an event is in the line that the case is about.
    fn is_mine(&self, event: &UsageEvent) -> bool {
        let alone = self.usage(std::slice::from_ref(event));
        alone.iter().any(|(_, usage)| usage.events_count > 0)
    }

    /// Whether the case states the newest value as it was sent: what is billed of it is never below 0.
    fn is_before_billing(&self) -> bool {
        let says_so = self.case["note"].as_str().is_some_and(|note| note.contains("not clamped"));
        says_so && self.rules.metric.aggregation == Aggregation::Latest
    }

    fn newest_in(&self, wanted: &Value) -> Quantity {
        let is_in = |event: &&UsageEvent| {
            let alone = self.usage(std::slice::from_ref(*event));
            alone.iter().any(|(group, usage)| usage.events_count > 0 && group.to_json() == *wanted)
        };
        let mut events = self.metric_events(self.events.iter().filter(is_in));
        sort(&mut events);
        newest(&events).cloned().unwrap_or_default()
    }

    fn check_groups(&self, check: &mut Check) {
        let usage = self.usage(&self.events);
        let expected = check.expected();
        let want_groups = expected["groups"].as_array().unwrap();
        let found: Vec<_> = usage.iter().filter(|(group, _)| !group.0.is_empty()).collect();
        check.same("groups.length", &json!(want_groups.len()), &json!(found.len()));
        for want in want_groups {
            let Some((_, of_group)) = found.iter().find(|(group, _)| group.to_json() == want["groups"]) else {
                check.differ("groups", &want["groups"], "no such group");
                continue;
            };
            for (key, value) in want.as_object().unwrap() {
                let got = match key.as_str() {
                    "groups" => continue,
                    "aggregation" if self.is_before_billing() => self.newest_in(&want["groups"]),
                    "aggregation" => self.units(of_group),
                    "count" => Quantity::from(of_group.events_count - of_group.invalid_count),
                    "full_units" => of_group.full_quantity.clone().unwrap_or_default(),
                    other => {
                        check.differ("groups", "a key that is known", other);
                        continue;
                    }
                };
                let path = format!("groups.{key}");
                match expected.get("tolerance") {
                    Some(tolerance) => check.near(&path, value, &got, tolerance),
                    None => check.rounded(&path, value, &got, expected.get("aggregation_rounded_to")),
                }
            }
        }
        check.covered("groups");
    }

    /// Usage after each event.
    fn check_steps(&self, check: &mut Check) {
        let price = self.case.get("standard_price").map(given);
        for (place, step) in check.expected()["steps"].as_array().into_iter().flatten().enumerate() {
            let usage = self.usage(&self.events[..=place]);
            let units = self.units(&usage[0].1);
            let amount = &units * price.as_ref().unwrap();
            let cents = Currency::USD.to_minor_units(&amount.to_big()).unwrap();
            for (key, want) in step.as_object().unwrap() {
                let path = format!("steps[{place}].{key}");
                match key.as_str() {
                    "aggregation" => check.number(&path, want, &units),
                    "amount_cents_at_standard_price" => check.number(&path, want, &Quantity::from(cents.0)),
                    other => check.differ(&path, "a key that is known", other),
                }
            }
        }
        check.covered("steps");
    }

    fn check_per_event(&self, check: &mut Check) {
        let expected = check.expected();
        let Some(want) = expected["per_event_prorated"].as_array() else {
            return;
        };
        let mine = self.events.iter().filter(|event| self.is_mine(event));
        let events = self.prorated_events(mine);
        check.same("per_event_prorated.length", &json!(want.len()), &json!(events.len()));
        for (place, (one, got)) in want.iter().zip(&events).enumerate() {
            let path = format!("per_event_prorated[{place}]");
            check.rounded(&path, one, &got.prorated_units, expected.get("per_event_rounded_to"));
        }
        check.covered("per_event_prorated");
    }

    fn prorated_events<'e>(&self, events: impl Iterator<Item = &'e UsageEvent>) -> Vec<EventUnits> {
        let mut ordered = self.metric_events(events);
        let aggregation = self.rules.metric.aggregation;
        sort(&mut ordered);
        prorated(aggregation, &ordered, self.span).unwrap().events
    }
}

/// A value billed in advance for the days left when it comes; when it goes nothing is given back.
fn steps_in_advance(ready: &Case<'_>, check: &mut Check) {
    let price = given(&ready.case["standard_price"]);
    let mut level = AdvanceLevel::default();
    let mut cents = 0;
    for (place, step) in check.expected()["steps"].as_array().into_iter().flatten().enumerate() {
        let event = &ready.events[place];
        let present = |number: usize| {
            let usage = ready.usage(&ready.events[..number]);
            usage[0].1.full_quantity.clone().unwrap_or_default()
        };
        let owed = level.add(&(&present(place + 1) - &present(place)));
        let days = ready.span.period.proration(event.timestamp, ready.span.to);
        let amount = &days.of_quantity_up(&owed, 5) * &price;
        cents += Currency::USD.to_minor_units(&amount.to_big()).unwrap().0;
        for (key, want) in step.as_object().unwrap() {
            let path = format!("steps[{place}].{key}");
            match key.as_str() {
                "current_usage_units" => check.number(&path, want, &level.current),
                "amount_cents" => check.number(&path, want, &Quantity::from(cents)),
                other => check.differ(&path, "a key that is known", other),
            }
        }
    }
    check.covered("steps");
}

fn usage_event(place: usize, micros: i64, event: &Value) -> UsageEvent {
    UsageEvent {
        timestamp: Timestamp(micros),
        id: EventId(u128::try_from(place).unwrap()),
        term: 1,
        properties: event["properties"].to_string(),
        precise_total: event["precise_total_amount_cents"].as_str().unwrap_or_default().to_owned(),
    }
}

fn rounding(given: &Value) -> Option<(RoundingFunction, u32)> {
    let function = serde_json::from_value(given["function"].clone()).ok()?;
    Some((function, 0))
}

/// The wanted values as a filter; each entry of what is ignored as a more specific one.
fn filters(given: &Value) -> Vec<ChargeFilter> {
    let Some(matching) = given["matching"].as_object() else {
        return Vec::new();
    };
    let filter = |values: BTreeMap<String, Vec<String>>| ChargeFilter {
        values,
        properties: json!({"amount": "1"}),
        invoice_display_name: None,
    };
    let wanted: BTreeMap<String, Vec<String>> = serde_json::from_value(json!(matching)).unwrap();
    let ignored = given["ignored"].as_array().into_iter().flatten().map(|entry| {
        let own: BTreeMap<String, Vec<String>> = serde_json::from_value(entry.clone()).unwrap();
        let mut values = wanted.clone();
        values.extend(own);
        filter(values)
    });
    std::iter::once(filter(wanted.clone())).chain(ignored.collect::<Vec<_>>()).collect()
}
