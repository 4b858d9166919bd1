//! The events of the server under test, and the faults it can be told to commit. Everything is counted the slow way, from the
//! JSON as it came.

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};

/// What the server does wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Acknowledges this event (by order of arrival) without storing it.
    pub(crate) loses: Option<u64>,
    /// Stores this event twice.
    pub(crate) doubles: Option<u64>,
    /// Stores this event with another amount.
    pub(crate) alters: Option<u64>,
    /// Stores this event and answers 422 to its request.
    pub(crate) keeps_refused: Option<u64>,
    /// Lets the last copy win instead of the first.
    pub(crate) last_wins: bool,
    /// Answers 503 to every so many requests: in turn before and after half of it was stored.
    pub(crate) fails_every: Option<u64>,
    /// After this many events, every further request is cut off after half of it was stored: no attempt gets through.
    pub(crate) breaks_after: Option<u64>,
    /// Bills one unit too many of this metric to everybody who used it.
    pub(crate) overcharges: Option<&'static str>,
}

/// Events of one organization.
#[derive(Debug, Default)]
pub(crate) struct Store {
    faults: Faults,
    requests: u64,
    arrived: u64,
    events: Vec<Value>,
    known: HashMap<String, usize>,
    restamped: u64,
}

/// What came of a request.
pub(crate) enum Taken {
    Stored {
        ingested: u64,
        duplicates: u64,
    },
    /// 503.
    Failed,
    /// 422.
    Refused,
}

impl Store {
    pub(crate) fn with(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    pub(crate) fn all(&self) -> &[Value] {
        &self.events
    }

    pub(crate) fn take(&mut self, events: Vec<Value>) -> Taken {
        self.requests += 1;
        if self.faults.breaks_after.is_some_and(|after| self.arrived >= after) {
            self.keep(half(events));
            return Taken::Failed;
        }
        if self.faults.fails_every.is_some_and(|every| self.requests.is_multiple_of(every)) {
            if self.requests.is_multiple_of(2 * self.faults.fails_every.unwrap()) {
                self.keep(half(events));
            }
            return Taken::Failed;
        }
        let refused = self
            .faults
            .keeps_refused
            .is_some_and(|nth| (self.arrived..self.arrived + events.len() as u64).contains(&nth));
        let (ingested, duplicates) = self.keep(events);
        if refused { Taken::Refused } else { Taken::Stored { ingested, duplicates } }
    }

    fn keep(&mut self, events: Vec<Value>) -> (u64, u64) {
        let (mut ingested, mut duplicates) = (0, 0);
        for event in events {
            let name = event["transaction_id"].as_str().unwrap().to_owned();
            if let Some(place) = self.known.get(&name).copied() {
                duplicates += 1;
                self.restamped += u64::from(self.events[place]["timestamp"] != event["timestamp"]);
                if self.faults.last_wins {
                    self.events[place] = event;
                }
                continue;
            }
            ingested += 1;
            self.insert(name, event);
        }
        (ingested, duplicates)
    }

    fn insert(&mut self, name: String, mut event: Value) {
        let nth = self.arrived;
        self.arrived += 1;
        if self.faults.alters == Some(nth) {
            event["properties"]["amount"] = json!("0.5");
        }
        let copies = match nth {
            _ if self.faults.loses == Some(nth) => 0,
            _ if self.faults.doubles == Some(nth) => 2,
            _ => 1,
        };
        self.known.insert(name, self.events.len());
        self.events.extend(std::iter::repeat_n(event, copies));
    }

    pub(crate) fn name_of_arrival(&self, nth: usize) -> String {
        self.events[nth]["transaction_id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn delete(&mut self, name: &str) {
        self.events.retain(|event| event["transaction_id"] != name);
    }

    pub(crate) fn volume(&self) -> Value {
        let mut hours: HashMap<String, u64> = HashMap::new();
        for event in &self.events {
            *hours.entry(format!("{}:00", &event["timestamp"].as_str().unwrap()[..13])).or_default() += 1;
        }
        let points: Vec<Value> =
            hours.into_iter().map(|(hour, count)| json!({"timestamp": hour, "count": count})).collect();
        json!({"data_points": points})
    }

    pub(crate) fn of_customer(&self, customer: &str) -> Vec<Value> {
        self.events.iter().filter(|event| event["external_customer_id"] == customer).cloned().collect()
    }

    pub(crate) fn rejections(&self) -> Value {
        json!({"restamped": self.restamped, "conflict": 0})
    }

    /// One line a metric, one a region for the grouped one.
    pub(crate) fn usage(&self, customer: &str) -> Vec<Value> {
        let events = self.of_customer(customer);
        let of = |code: &'static str| events.iter().filter(move |event| event["code"] == code);
        let amounts = |code| of(code).map(|event| amount(&event["properties"]["amount"]));
        let mut lines = vec![
            self.line("lt_requests", Decimal::from(of("lt_requests").count()), Map::new()),
            self.line("lt_tokens", amounts("lt_tokens").sum(), Map::new()),
            self.line("lt_peak", amounts("lt_peak").max().unwrap_or_default(), Map::new()),
        ];
        let regions: BTreeSet<&str> =
            of("lt_users").map(|event| event["properties"]["region"].as_str().unwrap()).collect();
        for region in regions {
            let here = of("lt_users").filter(|event| event["properties"]["region"] == region);
            let users: BTreeSet<&str> = here.map(|event| event["properties"]["user"].as_str().unwrap()).collect();
            let group = Map::from_iter([("region".to_owned(), json!(region))]);
            lines.push(self.line("lt_users", Decimal::from(users.len()), group));
        }
        lines
    }

    fn line(&self, code: &str, mut units: Decimal, group: Map<String, Value>) -> Value {
        if self.faults.overcharges == Some(code) && !units.is_zero() {
            units += Decimal::ONE;
        }
        let cents = units.round_dp_with_strategy(0, rust_decimal::RoundingStrategy::MidpointAwayFromZero);
        json!({
            "billable_metric": {"code": code}, "charge_model": "standard", "filters": group,
            "units": units.normalize().to_string(), "amount_cents": cents.to_string(),
        })
    }
}

fn half(mut events: Vec<Value>) -> Vec<Value> {
    events.truncate(events.len() / 2);
    events
}

fn amount(value: &Value) -> Decimal {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned).parse().unwrap()
}
