//! Subscriptions and their states.

use super::world::{Tenant, World, at, id_of};
use catalog::BillingScope;
use domain::catalog::Subscription;
use serde_json::{Value, json};

const STARTED: Option<&str> = Some("2026-01-31T00:00:00Z");

struct Setting<'a> {
    tenant: Tenant<'a>,
    customer: String,
    plan: String,
}

async fn setting(world: &World) -> Setting<'_> {
    let tenant = world.tenant("Acme").await;
    let customer = tenant.customer("c").await;
    let plan = tenant.plan("p", &[]).await;
    Setting { tenant, customer, plan }
}

impl Setting<'_> {
    async fn start(&self, external_id: &str, started_at: Option<&str>) -> String {
        self.tenant.subscription(external_id, &self.customer, &self.plan, started_at).await
    }

    async fn status(&self, id: &str) -> Value {
        self.tenant.get(&format!("/v1/subscriptions/{id}")).await.expect(200)["status"].clone()
    }

    async fn billed(&self) -> Vec<Subscription> {
        let scope = BillingScope::Organization(self.tenant.organization);
        self.tenant.world.catalog.billing_catalog(scope).await.unwrap().subscriptions
    }
}

#[tokio::test]
async fn a_start_not_later_than_now_is_active_and_a_later_one_pending() {
    let world = World::new().await;
    let setting = setting(&world).await;
    for (id, started_at, status) in [
        ("past", Some("2026-03-01T00:00:00+02:00"), "active"),
        ("now", Some("2026-03-10T12:00:00Z"), "active"),
        ("future", Some("2026-03-10T12:00:00.000001Z"), "pending"),
        ("unset", None, "pending"),
    ] {
        let id = setting.start(id, started_at).await;
        assert_eq!(setting.status(&id).await, status);
    }
    let starts: Vec<_> = setting.billed().await.iter().map(|billed| billed.started_at).collect();
    assert_eq!(starts.iter().flatten().count(), 2, "a pending subscription has not started: {starts:?}");
}

#[tokio::test]
async fn a_naive_or_absurd_time_is_422() {
    let world = World::new().await;
    let setting = setting(&world).await;
    for bad in ["2026-03-01T00:00:00", "2026-03-01", "yesterday", "", "1066-10-14T00:00:00Z", "9999-01-01T00:00:00Z"] {
        let body =
            json!({"external_id": "s", "customer_id": setting.customer, "plan_id": setting.plan, "started_at": bad});
        let answer = setting.tenant.post("/v1/subscriptions/", body).await;
        assert_eq!(answer.faults(), [r#"["body","started_at"]"#], "{bad}");
    }
}

#[tokio::test]
async fn what_is_not_sent_is_the_plans() {
    let world = World::new().await;
    let setting = setting(&world).await;
    let body =
        json!({"code": "adv", "name": "A", "interval": "yearly", "pay_in_advance": true, "trial_period_days": 14});
    let plan = setting.tenant.post("/v1/plans/", body).await.expect(201)["id"].clone();
    let with = |extra: Value| {
        let mut body = json!({"external_id": "s", "customer_id": setting.customer, "plan_id": plan});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    let tenant = &setting.tenant;
    let taken = tenant.post("/v1/subscriptions/", with(json!({}))).await.expect(201);
    assert_eq!((&taken["pay_in_advance"], &taken["trial_period_days"]), (&json!(true), &json!(14)));
    let sent = json!({"external_id": "t", "pay_in_advance": false, "trial_period_days": 0});
    let sent = tenant.post("/v1/subscriptions/", with(sent)).await.expect(201);
    assert_eq!((&sent["pay_in_advance"], &sent["trial_period_days"]), (&json!(false), &json!(0)));
}

#[tokio::test]
async fn an_external_id_is_taken_while_its_subscription_runs() {
    let world = World::new().await;
    let setting = setting(&world).await;
    let body =
        json!({"external_id": "s", "customer_id": setting.customer, "plan_id": setting.plan, "started_at": STARTED});
    let first = setting.start("s", STARTED).await;
    let post = || setting.tenant.post("/v1/subscriptions/", body.clone());
    assert_eq!(post().await.code(409), "external_id_taken");
    setting.tenant.post(&format!("/v1/subscriptions/{first}/pause"), Value::Null).await.expect(200);
    assert_eq!(post().await.code(409), "external_id_taken");
    setting.tenant.delete(&format!("/v1/subscriptions/{first}")).await.expect(204);
    let second = post().await.expect(201)["id"].clone();
    let named = world.catalog.subscription_named(setting.tenant.organization, "s").await.unwrap().unwrap();
    assert_eq!(json!(named.id), second, "the running one has the name");
    let listed = setting.tenant.get("/v1/subscriptions/?external_id=s").await;
    assert_eq!(listed.total(), 2);
}

#[tokio::test]
async fn unknown_customers_and_plans_are_400() {
    let world = World::new().await;
    let setting = setting(&world).await;
    let nobody = uuid::Uuid::nil().to_string();
    for (customer, plan, code) in
        [(&nobody, &setting.plan, "unknown_customer"), (&setting.customer, &nobody, "unknown_plan")]
    {
        let body = json!({"external_id": "s", "customer_id": customer, "plan_id": plan});
        assert_eq!(setting.tenant.post("/v1/subscriptions/", body).await.code(400), code);
    }
}

#[tokio::test]
async fn each_action_leads_where_it_should_and_nowhere_else() {
    let world = World::new().await;
    let setting = setting(&world).await;
    let id = setting.start("s", None).await;
    let act = |action: &'static str| {
        setting.tenant.ask(
            "POST",
            &*Box::leak(format!("/v1/subscriptions/{id}/{action}").into_boxed_str()),
            Value::Null,
        )
    };
    for (action, status, after) in [
        ("resume", 400, "pending"),
        ("pause", 400, "pending"),
        ("activate", 200, "active"),
        ("activate", 400, "active"),
        ("pause", 200, "paused"),
        ("pause", 400, "paused"),
        ("resume", 200, "active"),
        ("cancel", 200, "canceled"),
        ("cancel", 404, "canceled"),
        ("activate", 400, "canceled"),
    ] {
        assert_eq!(act(action).await.status, status, "{action}");
        assert_eq!(setting.status(&id).await, after);
    }
    let ended = setting.tenant.get(&format!("/v1/subscriptions/{id}")).await.expect(200);
    assert_eq!(
        (&ended["started_at"], &ended["canceled_at"]),
        (&json!("2026-03-10T12:00:00Z"), &json!("2026-03-10T12:00:00Z"))
    );
    assert_eq!(setting.tenant.delete(&format!("/v1/subscriptions/{id}")).await.status, 404);
}

#[tokio::test]
async fn terminating_ends_now_and_keeps_what_money_should_do() {
    let world = World::new().await;
    let setting = setting(&world).await;
    let id = setting.start("s", STARTED).await;
    let path = format!("/v1/subscriptions/{id}");
    let odd = setting.tenant.delete(&format!("{path}?on_termination_action=burn")).await;
    assert_eq!(odd.faults(), [r#"["query","on_termination_action"]"#]);
    setting.tenant.delete(&format!("{path}?on_termination_action=skip")).await.expect(204);
    let ended = setting.tenant.get(&path).await.expect(200);
    assert_eq!((&ended["status"], &ended["on_termination_action"]), (&json!("terminated"), &json!("skip")));
    assert_eq!(
        (&ended["ending_at"], &ended["ended_at"]),
        (&json!("2026-03-10T12:00:00Z"), &json!("2026-03-10T12:00:00Z"))
    );
    assert_eq!(setting.billed().await[0].ended_at, Some(at("2026-03-10T12:00:00Z")));
}

#[tokio::test]
async fn what_closed_periods_depend_on_cannot_be_edited_after_the_start() {
    let world = World::new().await;
    let setting = setting(&world).await;
    let other = setting.tenant.plan("other", &[]).await;
    let pending = format!("/v1/subscriptions/{}", setting.start("p", None).await);
    let active = format!("/v1/subscriptions/{}", setting.start("a", STARTED).await);
    let changes = [
        json!({"plan_id": other}),
        json!({"billing_time": "anniversary"}),
        json!({"pay_in_advance": true}),
        json!({"trial_period_days": 5}),
    ];
    for change in changes {
        let changed = setting.tenant.put(&pending, change.clone()).await.expect(200);
        let (field, value) = change.as_object().unwrap().iter().next().unwrap();
        assert_eq!(&changed[field], value);
        assert_eq!(setting.tenant.put(&active, change.clone()).await.faults(), [format!("[\"body\",\"{field}\"]")]);
    }
    let kept = setting.tenant.get(&active).await.expect(200);
    let echoed = setting.tenant.put(&active, kept.clone()).await.expect(200);
    assert_eq!(echoed, kept, "sending back what was read changes nothing");
    let own = setting.tenant.put(&active, json!({"canceled_at": "2026-01-01T00:00:00Z"})).await;
    assert_eq!(own.faults(), [r#"["body","canceled_at"]"#]);
}

#[tokio::test]
async fn a_sent_status_does_what_its_action_does() {
    let world = World::new().await;
    let setting = setting(&world).await;
    let path = format!("/v1/subscriptions/{}", setting.start("s", STARTED).await);
    assert_eq!(setting.tenant.put(&path, json!({"status": "pending"})).await.status, 400);
    let paused = setting.tenant.put(&path, json!({"status": "paused"})).await.expect(200);
    assert_eq!(paused["paused_at"], "2026-03-10T12:00:00Z");
    setting.tenant.put(&path, json!({"status": "active"})).await.expect(200);
    setting.tenant.put(&path, json!({"status": "terminated"})).await.expect(200);
    assert_eq!(setting.tenant.put(&path, json!({"status": "active"})).await.status, 400);
}

#[tokio::test]
async fn the_clock_starts_and_ends_subscriptions_at_their_planned_instants() {
    let world = World::new().await;
    let setting = setting(&world).await;
    let pending = setting.start("p", Some("2026-03-11T00:00:00Z")).await;
    let ending = setting.start("e", STARTED).await;
    let path = format!("/v1/subscriptions/{ending}");
    assert_eq!(setting.tenant.put(&path, json!({"ending_at": "2026-03-10T12:00:00Z"})).await.status, 422);
    setting.tenant.put(&path, json!({"ending_at": "2026-03-12T00:00:00Z"})).await.expect(200);
    assert_eq!(
        setting.billed().await.iter().filter_map(|billed| billed.ended_at).collect::<Vec<_>>(),
        [at("2026-03-12T00:00:00Z")]
    );

    assert_eq!(world.catalog.advance(None, at("2026-03-10T23:59:59Z")).await.unwrap(), []);
    let done = world.catalog.advance(None, at("2026-04-01T00:00:00Z")).await.unwrap();
    let told: Vec<_> = done.iter().map(|step| (step.at, step.what.as_str(), step.id.as_str())).collect();
    assert_eq!(
        told,
        [
            (at("2026-03-11T00:00:00Z"), "subscription.activated", pending.as_str()),
            (at("2026-03-12T00:00:00Z"), "subscription.ended", ending.as_str()),
        ]
    );
    assert_eq!(world.catalog.advance(None, at("2026-04-01T00:00:00Z")).await.unwrap(), []);
    let starts: Vec<_> = setting.billed().await.iter().filter_map(|billed| billed.started_at).collect();
    assert_eq!(starts.len(), 2);
    assert!(starts.contains(&at("2026-03-11T00:00:00Z")));
}

#[tokio::test]
async fn a_trial_ends_as_many_local_days_after_the_first_start_and_is_told_once() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let customer = json!({"external_id": "c", "name": "Ada", "timezone": "Europe/Paris"});
    let customer = id_of(&tenant.post("/v1/customers/", customer).await.expect(201));
    let body = |external_id: &str, plan: &str| {
        json!({"external_id": external_id, "customer_id": customer, "plan_id": plan,
               "started_at": "2026-03-20T10:00:00Z", "trial_period_days": 10})
    };
    let (plan, dear) = (tenant.plan("p", &[]).await, tenant.plan("q", &[]).await);
    let id = id_of(&tenant.post("/v1/subscriptions/", body("s", &plan)).await.expect(201));
    world.catalog.advance(None, at("2026-03-20T10:00:00Z")).await.unwrap();
    // The clocks of Paris went an hour forward on the 29th.
    assert_eq!(world.catalog.advance(None, at("2026-03-30T08:59:59Z")).await.unwrap(), []);
    let done = world.catalog.advance(None, at("2026-03-30T12:00:00Z")).await.unwrap();
    let told: Vec<_> = done.iter().map(|step| (step.at, step.what.as_str(), step.id.as_str())).collect();
    assert_eq!(told, [(at("2026-03-30T09:00:00Z"), "subscription.trial_ended", id.as_str())]);
    let path = format!("/v1/subscriptions/{id}");
    assert_eq!(tenant.get(&path).await.expect(200)["trial_ended_at"], "2026-03-30T09:00:00Z");

    let change = json!({"plan_id": dear, "when": "now"});
    world.clock.set(at("2026-04-02T00:00:00Z"));
    tenant.post(&format!("{path}/change_plan"), change).await.expect(200);
    assert_eq!(world.catalog.advance(None, at("2026-04-20T00:00:00Z")).await.unwrap(), [], "it had its trial");
}

#[tokio::test]
async fn the_machines_clock_moves_no_sandbox() {
    let world = World::new().await;
    let sandbox = world.sandbox("Play").await;
    let (customer, plan) = (sandbox.customer("c").await, sandbox.plan("p", &[]).await);
    sandbox.subscription("s", &customer, &plan, Some("2026-03-11T00:00:00Z")).await;
    assert_eq!(world.catalog.advance(None, at("2030-01-01T00:00:00Z")).await.unwrap(), []);
    assert_eq!(world.catalog.advance(Some(sandbox.organization), at("2030-01-01T00:00:00Z")).await.unwrap().len(), 1);
}

#[tokio::test]
async fn bulk_actions_tell_of_each() {
    let world = World::new().await;
    let setting = setting(&world).await;
    let (active, pending) = (setting.start("a", STARTED).await, setting.start("p", None).await);
    let nobody = uuid::Uuid::nil().to_string();
    let ids = json!({"subscription_ids": [active, pending, nobody]});
    let told = setting.tenant.post("/v1/subscriptions/bulk_pause", ids.clone()).await.expect(200);
    assert_eq!((&told["succeeded_count"], &told["failed_count"]), (&json!(1), &json!(2)));
    assert_eq!(told["results"][2]["error"], "Subscription not found");
    let told = setting.tenant.post("/v1/subscriptions/bulk_resume", ids.clone()).await.expect(200);
    assert_eq!(told["succeeded_count"], 1);
    let told = setting.tenant.post("/v1/subscriptions/bulk_terminate", ids).await.expect(200);
    assert_eq!(told["succeeded_count"], 2);
    assert_eq!(setting.tenant.post("/v1/subscriptions/bulk_pause", json!({"subscription_ids": []})).await.status, 422);
}

#[tokio::test]
async fn the_next_billing_date_is_the_end_of_the_real_period() {
    let world = World::new().await;
    let setting = setting(&world).await;
    let body = json!({"external_id": "s", "customer_id": setting.customer, "plan_id": setting.plan,
        "started_at": "2026-01-31T00:00:00Z", "billing_time": "anniversary"});
    let id = setting.tenant.post("/v1/subscriptions/", body).await.expect(201)["id"].clone();
    let path = format!("/v1/subscriptions/{}/next_billing_date", id.as_str().unwrap());
    let next = setting.tenant.get(&path).await.expect(200);
    assert_eq!(
        next,
        json!({"next_billing_date": "2026-03-31T00:00:00Z", "current_period_started_at": "2026-02-28T00:00:00Z",
               "interval": "monthly", "days_until_next_billing": 21})
    );
    setting.tenant.post(&format!("/v1/subscriptions/{}/cancel", id.as_str().unwrap()), Value::Null).await.expect(200);
    assert_eq!(setting.tenant.get(&path).await.status, 400);
}

#[tokio::test]
async fn lists_are_filtered_and_the_total_counts_what_the_filter_leaves() {
    let world = World::new().await;
    let setting = setting(&world).await;
    let other = setting.tenant.customer("other").await;
    for number in 0..3 {
        setting.start(&format!("s-{number}"), None).await;
    }
    setting.tenant.subscription("s-9", &other, &setting.plan, None).await;
    let listed = setting.tenant.get(&format!("/v1/subscriptions/?customer_id={}&limit=2", setting.customer)).await;
    assert_eq!((listed.total(), listed.body.as_array().unwrap().len()), (3, 2));
    assert_eq!(setting.tenant.get("/v1/subscriptions/").await.total(), 4);
    assert_eq!(setting.tenant.get("/v1/subscriptions/?customer_id=x").await.faults(), [r#"["query","customer_id"]"#]);
}

#[tokio::test]
async fn overrides_make_a_plan_of_its_own_that_no_list_shows_and_no_edit_of_the_other_reaches() {
    let world = World::new().await;
    let setting = setting(&world).await;
    let body = |name: &str, overrides: serde_json::Value| json!({"external_id": name, "customer_id": setting.customer, "plan_id": setting.plan, "plan_overrides": overrides});
    let before = setting.tenant.get("/v1/plans/").await.total();
    let made = setting.tenant.post("/v1/subscriptions/", body("s", json!({"amount_cents": 1, "name": "Agreed"}))).await;
    let own = made.body["plan_id"].as_str().unwrap().to_owned();
    assert_ne!(own, setting.plan.to_string());
    let path = format!("/v1/plans/{own}");
    let plan = setting.tenant.get(&path).await.body;
    assert_eq!((&plan["amount_cents"], &plan["name"], &plan["version"]), (&json!(1), &json!("Agreed"), &json!(1)));
    let parent = setting.tenant.get(&format!("/v1/plans/{}", setting.plan)).await.body;
    assert_eq!(plan["charges"].as_array().unwrap().len(), parent["charges"].as_array().unwrap().len());
    assert_ne!(parent["amount_cents"], json!(1));
    assert_eq!(setting.tenant.get("/v1/plans/").await.total(), before);
    let edited = setting.tenant.put(&format!("/v1/plans/{}", setting.plan), json!({"amount_cents": 77})).await;
    assert_eq!(edited.status, 200);
    assert_eq!(setting.tenant.get(&path).await.body, plan);
    for (overrides, status) in [(json!({"amount_cents": -1}), 422), (json!({"interval": "yearly"}), 422)] {
        assert_eq!(setting.tenant.post("/v1/subscriptions/", body("t", overrides)).await.status, status);
    }
}
