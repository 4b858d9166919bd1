//! One scenario: its catalog in a sandbox of its own, then its steps in order.

use super::expect::{Outcome, Step, percent};
use crate::harness::Server;
use crate::wire::{Caller, text};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// A sandbox with the scenario's catalog.
pub(super) struct Stage {
    caller: Caller,
    pub(super) id: String,
    pub(super) timezone: String,
    customer: String,
    currency: Value,
    pub(super) plans: HashMap<String, String>,
    grace_days: Value,
    events: u32,
    /// What the last step estimated.
    pub(super) estimated: Option<Value>,
}

/// What is wrong with a request, in words; a step that the server refuses is a difference, not the end of all cases.
type Tried = Result<Value, String>;

impl Stage {
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Tried {
        let mut request = self.caller.request(method.clone(), path);
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|fault| format!("{path}: {fault}"))?;
        let status = answer.status();
        let told = answer.text().await.map_err(|fault| format!("{path}: {fault}"))?;
        if !status.is_success() {
            return Err(format!("{method} {path} answered {status}: {told}"));
        }
        if told.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&told).map_err(|fault| format!("{path}: {fault}"))
    }

    pub(super) async fn get(&self, path: &str) -> Tried {
        self.ask(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Tried {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// All invoices of the scenario, in the order in which they were made.
    pub(super) async fn invoices(&self) -> Result<Vec<Value>, String> {
        let page = self.get("/v1/invoices/?order_by=created_at:asc&limit=1000").await?;
        Ok(page.as_array().cloned().unwrap_or_default())
    }

    pub(super) async fn fees(&self, invoice: &Value) -> Result<Vec<Value>, String> {
        let path = format!("/v1/fees/?order_by=created_at:asc&limit=1000&invoice_id={}", text(&invoice["id"]));
        Ok(self.get(&path).await?.as_array().cloned().unwrap_or_default())
    }

    /// All credit notes of the scenario, in the order in which they were made.
    pub(super) async fn credit_notes(&self) -> Result<Vec<Value>, String> {
        let page = self.get("/v1/credit_notes/?order_by=created_at:asc&limit=1000").await?;
        Ok(page.as_array().cloned().unwrap_or_default())
    }

    /// The fees that the items of a step name by plan or metric, on the newest invoices that have them.
    async fn estimate(&self, step: &Value) -> Tried {
        let (mut items, mut invoice) = (Vec::new(), Value::Null);
        for item in step["items"].as_array().into_iter().flatten() {
            let named = text(&item["fee"]);
            let plan = self.plans.get(&named);
            let fees = self.get("/v1/fees/?order_by=created_at:desc&limit=1000").await?;
            let is_named = |fee: &&Value| {
                plan.is_some_and(|plan| fee["plan_id"] == json!(plan) && fee["fee_type"] == "subscription")
                    || fee["metric_code"] == json!(named)
            };
            let fee = fees.as_array().into_iter().flatten().find(is_named).cloned().ok_or("no such fee")?;
            items.push(json!({"fee_id": fee["id"], "amount_cents": item["amount_cents"]}));
            invoice = fee["invoice_id"].clone();
        }
        self.post("/v1/credit_notes/estimate", json!({"invoice_id": invoice, "items": items})).await
    }

    pub(super) async fn current_usage(&self, step: &Value) -> Tried {
        self.get(&format!("/v1/customers/{}/current_usage?subscription_id={}", self.id, self.subscription_name(step)))
            .await
    }

    fn subscription_name(&self, step: &Value) -> String {
        let named = step.get("external_id").or(step.get("subscription"));
        named.map_or_else(|| format!("{}-sub", self.id), |name| format!("{}-{}", self.id, text(name)))
    }

    async fn running(&self, step: &Value) -> Result<Option<Value>, String> {
        let name = self.subscription_name(step);
        let all = self.get(&format!("/v1/subscriptions/?external_id={name}")).await?;
        let active = |one: &&Value| one["status"] == "active";
        Ok(all.as_array().into_iter().flatten().find(active).cloned())
    }

    async fn set_clock(&self, at: &Value) -> Tried {
        self.ask(Method::PUT, "/v1/organizations/current/clock", Some(json!({"now": at}))).await
    }

    async fn act(&mut self, step: &Value) -> Tried {
        match step["do"].as_str().unwrap_or_default() {
            // The clock has reached the instant: everything due is done.
            "bill" | "terminate_ended" | "current_usage" => Ok(Value::Null),
            "create_subscription" => self.subscribe(step).await,
            "terminate_subscription" => {
                let running = self.running(step).await?.ok_or("no subscription runs")?;
                let to = step.get("on_termination_credit_note").map_or_else(|| "credit".to_string(), text);
                let path = format!("/v1/subscriptions/{}?on_termination_credit_note={to}", text(&running["id"]));
                self.ask(Method::DELETE, &path, None).await
            }
            "event" => self.send_event(step).await,
            "estimate_credit_note" => {
                self.estimated = Some(self.estimate(step).await?);
                Ok(Value::Null)
            }
            "create_wallet" => self.create_wallet(step).await,
            "create_wallets" => {
                for wallet in step["wallets"].as_array().into_iter().flatten() {
                    self.create_wallet(wallet).await?;
                }
                Ok(Value::Null)
            }
            "payment" => self.pay(step).await,
            "apply_coupons" => self.apply_coupons(step).await,
            "finalize_all_drafts" => self.each_draft("finalize").await,
            "refresh_draft" => self.each_draft("refresh").await,
            other => Err(format!("the step '{other}' needs what is not built")),
        }
    }

    async fn subscribe(&self, step: &Value) -> Tried {
        let plan = self.plans.get(step["plan"].as_str().unwrap_or_default()).ok_or("an unknown plan")?;
        if let Some(running) = self.running(step).await? {
            let path = format!("/v1/subscriptions/{}/change_plan", text(&running["id"]));
            return self.post(&path, json!({"plan_id": plan, "when": "auto"})).await;
        }
        let mut body = json!({
            "external_id": self.subscription_name(step), "customer_id": self.customer, "plan_id": plan,
            "started_at": step["at"], "billing_time": step.get("billing_time").unwrap_or(&json!("calendar")),
        });
        if let Some(end) = step.get("ending_at") {
            body["ending_at"] = end.clone();
        }
        self.post("/v1/subscriptions/", body).await
    }

    /// Of the last invoice.
    async fn pay(&self, step: &Value) -> Tried {
        let invoices = self.invoices().await?;
        let last = invoices.last().ok_or("no invoice to pay")?;
        let body = json!({"invoice_id": last["id"], "amount": step["amount_cents"], "currency": self.currency});
        self.post("/v1/payments/record", body).await
    }

    /// Wallets of a case name credits and what one is in the currency's unit, or their balance.
    async fn create_wallet(&self, wallet: &Value) -> Tried {
        let mut body = json!({"customer_id": self.customer, "currency": self.currency, "code": wallet["code"],
            "priority": wallet["priority"], "expiration_at": wallet["expiration_at"],
            "initial_granted_credits": wallet["balance_cents"],
            "limited_to_metric_codes": wallet.get("limited_to_metrics").unwrap_or(&json!([])),
            "allowed_fee_types": wallet.get("allowed_fee_types").unwrap_or(&json!([]))});
        if let Some(credits) = wallet.get("granted_credits") {
            body["initial_granted_credits"] = credits.clone();
            // Cents of one credit: percent the other way round.
            body["rate_amount"] = json!(percent(&text(&wallet["rate_amount"])));
        }
        self.post("/v1/wallets/", body).await
    }

    /// The scenario's wallets, oldest first.
    pub(super) async fn wallets(&self) -> Result<Vec<Value>, String> {
        let page = self.get("/v1/wallets/?order_by=created_at:asc&limit=1000").await?;
        Ok(page.as_array().cloned().unwrap_or_default())
    }

    /// What usage so far will take, by code of the wallet.
    pub(super) async fn ongoing_usage(&self) -> Tried {
        let mut usage = Map::new();
        for wallet in self.wallets().await? {
            let path = format!("/v1/wallets/{}/ongoing_balance", text(&wallet["id"]));
            usage.insert(text(&wallet["code"]), self.get(&path).await?["ongoing_usage_cents"].clone());
        }
        Ok(Value::Object(usage))
    }

    async fn apply_coupons(&self, step: &Value) -> Tried {
        for coupon in step["coupons"].as_array().into_iter().flatten() {
            let body = json!({"code": coupon["code"], "name": coupon["code"], "coupon_type": coupon["type"],
                "amount_cents": coupon["amount_cents"], "percentage_rate": coupon["percentage_rate"],
                "amount_currency": coupon.get("amount_cents").map(|_| &self.currency),
                "frequency": coupon["frequency"], "frequency_duration": coupon["frequency_duration"],
                "limited_to_plan_codes": coupon.get("limited_to_plans").unwrap_or(&json!([])),
                "limited_to_metric_codes": coupon.get("limited_to_metrics").unwrap_or(&json!([]))});
            self.post("/v1/coupons/", body).await?;
            let body = json!({"coupon_code": coupon["code"], "customer_id": self.customer});
            self.post("/v1/coupons/apply", body).await?;
        }
        Ok(Value::Null)
    }

    async fn send_event(&mut self, step: &Value) -> Tried {
        self.events += 1;
        let body = json!({
            "transaction_id": format!("{}-{}", self.id, self.events), "external_customer_id": self.id,
            "external_subscription_id": self.subscription_name(step), "code": step["code"],
            "timestamp": step.get("timestamp").unwrap_or(&step["at"]), "properties": step["properties"],
        });
        self.post("/v1/events/", body).await?;
        // What is paid in advance follows within a second; setting the clock does it before it answers.
        self.set_clock(&step["at"]).await
    }

    async fn each_draft(&self, action: &str) -> Tried {
        for draft in self.invoices().await?.iter().filter(|invoice| invoice["status"] == "draft") {
            self.ask(Method::POST, &format!("/v1/invoices/{}/{action}", text(&draft["id"])), None).await?;
        }
        Ok(Value::Null)
    }
}

/// Plays a scenario and compares what it expects.
pub(super) async fn play(server: &Server, case: &Value) -> Outcome {
    let mut outcome = Outcome::of(case);
    let mut stage = match set_up(server, case).await {
        Ok(stage) => stage,
        Err(fault) => {
            outcome.differs("the catalog", &"made", &fault);
            return outcome;
        }
    };
    for (number, step) in case["timeline"].as_array().into_iter().flatten().enumerate() {
        let place = format!("step {} ({})", number + 1, text(&step["do"]));
        let before = stage.invoices().await.unwrap_or_default();
        let mut done = stage.set_clock(&step["at"]).await;
        if done.is_ok() {
            stage.estimated = None;
            done = stage.act(step).await;
        }
        if let Err(fault) = done {
            outcome.differs(&place, &"done", &fault);
        }
        if let Some(expected) = step.get("expect").and_then(Value::as_object) {
            let after = stage.invoices().await.unwrap_or_default();
            let step = Step { stage: &stage, step, place, before, after };
            step.compare(expected, &mut outcome).await;
        }
    }
    outcome
}

async fn set_up(server: &Server, case: &Value) -> Result<Stage, String> {
    let id = text(&case["id"]);
    let admin = Caller::admin(server);
    let organization = admin.post("/v1/organizations/", &json!({"name": id, "sandbox": true})).await;
    let caller = Caller::key(server, &text(&organization["api_key"]["raw_key"]));
    let customer = &case["customer"];
    let grace_days = customer.get("invoice_grace_period_days").cloned().unwrap_or(json!(0));
    let timezone = text(&customer["timezone"]);
    let mut stage = Stage {
        caller,
        id,
        timezone,
        customer: String::new(),
        currency: customer["currency"].clone(),
        plans: HashMap::new(),
        grace_days,
        events: 0,
        estimated: None,
    };
    stage.set_clock(&case["timeline"][0]["at"]).await?;
    for tax in case["taxes"].as_array().into_iter().flatten() {
        let body = json!({"code": tax["code"], "name": tax["code"], "rate": fraction(&text(&tax["rate"])),
            "applied_to_organization": tax.get("applies_to").is_some()});
        stage.post("/v1/taxes/", body).await?;
    }
    let body = json!({"external_id": stage.id, "name": stage.id, "currency": customer["currency"],
        "timezone": customer["timezone"], "invoice_grace_period": stage.grace_days});
    stage.customer = text(&stage.post("/v1/customers/", body).await?["id"]);
    let mut metrics = HashMap::new();
    for metric in case["metrics"].as_array().into_iter().flatten() {
        let aggregation = text(&metric["aggregation_type"]).trim_end_matches("_agg").to_string();
        let mut body = metric.clone();
        body["aggregation_type"] = json!(aggregation);
        body["name"] = metric["code"].clone();
        metrics.insert(text(&metric["code"]), text(&stage.post("/v1/billable_metrics/", body).await?["id"]));
    }
    for plan in case["plans"].as_array().into_iter().flatten() {
        let made = stage.post("/v1/plans/", plan_body(plan, &case["customer"]["currency"], &metrics)).await?;
        stage.plans.insert(text(&plan["code"]), text(&made["id"]));
    }
    Ok(stage)
}

fn plan_body(plan: &Value, currency: &Value, metrics: &HashMap<String, String>) -> Value {
    let mut body: Map<String, Value> = plan.as_object().cloned().unwrap_or_default();
    body.insert("name".into(), plan["code"].clone());
    body.insert("currency".into(), currency.clone());
    if let Some(cents) = body.remove("minimum_commitment_cents") {
        body.insert("minimum_commitment".into(), json!({"amount_cents": cents}));
    }
    for charge in body.get_mut("charges").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(metric) = charge.as_object_mut().and_then(|charge| charge.remove("metric")) {
            charge["billable_metric_id"] = json!(metrics.get(metric.as_str().unwrap_or_default()));
        }
    }
    Value::Object(body)
}

/// Percent as a fraction: the decimal point two places to the left.
fn fraction(percent: &str) -> String {
    let (whole, places) = percent.split_once('.').unwrap_or((percent, ""));
    let digits = format!("{whole:0>3}");
    let (before, after) = digits.split_at(digits.len() - 2);
    format!("{before}.{after}{places}")
}
