//! The whole trace through crashes to an exact bill (I1, I2, I3, I4, I9).
//!
//! 19,366 requests, three events each, several senders at once; one request in ten repeated at a random place of the stream,
//! half of the repeats with a new timestamp (in another month, so that billing the wrong copy changes two invoices), some
//! before their original; the process tree killed again and again while they send. A sender that gets no answer, or a 503, sends
//! the same batch again, as every client must. Then every id is stored once, as its first accepted copy; the others are
//! listed; the bill equals the oracle's; every fee is proved, and one deleted row breaks its proof. Once with the gateway writing into
//! the store, once through the log on a real broker.

use crate::account::{Account, METRICS};
use crate::harness::{Server, output, told, tollgate};
use crate::log::{borrowed, streaming};
use crate::oracle::{Bill, Usage};
use crate::trace::{rfc3339, rows};
use crate::wire::{Caller, text};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const SENDERS: usize = 4;
/// The process tree is killed this often at least while events are being sent.
const LEAST_KILLS: usize = 4;
const DAY: i64 = 86_400_000_000;
/// Customers with their timezone and the instant at which November 2023 begins there.
const CUSTOMERS: [(&str, &str, &str); 4] = [
    ("acme", "UTC", "2023-11-01T00:00:00Z"),
    ("globex", "America/New_York", "2023-11-01T04:00:00Z"),
    ("initech", "Asia/Tokyo", "2023-10-31T15:00:00Z"),
    ("umbrella", "UTC", "2023-11-01T00:00:00Z"),
];

/// One copy of one event on its way.
#[derive(Clone, Debug)]
struct Copy {
    id: String,
    customer: &'static str,
    code: &'static str,
    tokens: u64,
    at: i64,
}

impl Copy {
    fn json(&self) -> Value {
        json!({
            "transaction_id": self.id, "external_customer_id": self.customer, "code": self.code,
            "timestamp": rfc3339(self.at), "properties": {"tokens": self.tokens},
        })
    }
}

/// What is sent, and what must come of it.
struct Plan {
    /// Each sender's copies in order.
    streams: Vec<Vec<Copy>>,
    /// Every copy of each id in some sender's order; the first of a single sender is the first accepted.
    copies: HashMap<String, Vec<(usize, Copy)>>,
}

fn plan(seed: u64) -> Plan {
    let mut chance = StdRng::seed_from_u64(seed);
    let rows = rows();
    // (sender, place in the stream, copy): originals at their own place, repeats anywhere.
    let mut placed: Vec<(usize, usize, Copy)> = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let customer = CUSTOMERS[number % CUSTOMERS.len()].0;
        let sender = chance.random_range(0..SENDERS);
        let repeat = chance.random_bool(0.1);
        let restamp = chance.random_bool(0.5).then(|| *[30 * DAY, 1_000_000, -1_000_000].choose(&mut chance).unwrap());
        let repeat_sender = if chance.random_bool(0.5) { sender } else { chance.random_range(0..SENDERS) };
        let repeat_place = chance.random_range(0..rows.len());
        for (code, tokens) in METRICS.iter().zip([0, row.context, row.generated]) {
            let id = format!("t-{number:05}-{code}");
            let original = Copy { id, customer, code, tokens, at: row.at };
            if repeat {
                let at = row.at + restamp.unwrap_or(0);
                placed.push((repeat_sender, repeat_place, Copy { at, ..original.clone() }));
            }
            placed.push((sender, number, original));
        }
    }
    // Stable: at one place a repeat stays before the original.
    placed.sort_by_key(|(_, place, _)| *place);
    let mut plan = Plan { streams: vec![Vec::new(); SENDERS], copies: HashMap::new() };
    for (sender, _, copy) in placed {
        plan.streams[sender].push(copy.clone());
        plan.copies.entry(copy.id.clone()).or_default().push((sender, copy));
    }
    plan
}

/// Sends one stream in batches of chance sizes and forms; each batch again until it is acknowledged.
async fn send(caller: Caller, stream: Vec<Copy>, seed: u64, acknowledged: Arc<AtomicUsize>) {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut rest = stream.as_slice();
    while !rest.is_empty() {
        let form = chance.random_range(0..10);
        let size = if form == 0 { 1 } else { chance.random_range(1..=500) };
        let (batch, after) = rest.split_at(size.min(rest.len()));
        send_until_acknowledged(&caller, batch, form).await;
        acknowledged.fetch_add(batch.len(), Ordering::Relaxed);
        rest = after;
    }
}

async fn send_until_acknowledged(caller: &Caller, batch: &[Copy], form: u32) {
    let deadline = Instant::now() + Duration::from_secs(180);
    loop {
        let request = match form {
            0 => caller.request(Method::POST, "/v1/events/").json(&batch[0].json()),
            1..=5 => {
                let events: Vec<Value> = batch.iter().map(Copy::json).collect();
                caller.request(Method::POST, "/v1/events/batch").json(&json!({"events": events}))
            }
            _ => {
                let lines: String = batch.iter().map(|copy| format!("{}\n", copy.json())).collect();
                caller
                    .request(Method::POST, "/v1/events/batch")
                    .header("content-type", "application/x-ndjson")
                    .body(lines)
            }
        };
        if is_acknowledged(request.header("prefer", "return=minimal"), batch.len()).await {
            return;
        }
        assert!(Instant::now() < deadline, "a batch was not acknowledged for three minutes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn is_acknowledged(request: reqwest::RequestBuilder, events: usize) -> bool {
    let Ok(answer) = request.send().await else { return false };
    let status = answer.status().as_u16();
    let Ok(body) = answer.text().await else { return false };
    if status == 503 {
        return false;
    }
    assert_eq!(status, 201, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    if body.get("aborted").is_some_and(|aborted| !aborted.is_null()) {
        return false;
    }
    if body.get("ingested").is_some() {
        let counted = body["ingested"].as_u64().unwrap() + body["duplicates"].as_u64().unwrap();
        assert_eq!(counted, events as u64, "{body}");
    }
    true
}

/// Kills the whole tree at moments of chance until all is sent; returns how often it did while there was something to send.
async fn kill_while_sending(
    server: &mut Server,
    is_streaming: bool,
    senders: &tokio::task::JoinSet<()>,
    chance: &mut StdRng,
) -> usize {
    let mut kills = 0;
    let still_sending = |senders: &tokio::task::JoinSet<()>| senders.len() == SENDERS;
    while kills < LEAST_KILLS + 2 && still_sending(senders) {
        tokio::time::sleep(Duration::from_millis(chance.random_range(30..400))).await;
        server.kill_tree();
        kills += 1;
        if is_streaming {
            // Events are taken long before the brokers have noticed that the killed reader of the log is gone.
            server.restart_until_healthy().await;
        } else {
            server.restart().await;
        }
    }
    kills
}

/// Kills the tree while the log is being written into the store.
async fn kill_while_storing(server: &mut Server) {
    server.wait_until_ready().await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    server.kill_tree();
    server.restart().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_trace_survives_kills_repeats_and_restamps_and_is_billed_exactly() {
    from_trace_to_proved_bill(20_231_116, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_trace_survives_kills_also_on_its_way_through_the_log() {
    from_trace_to_proved_bill(20_231_117, &streaming()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "soak: the same with twenty seeds, about half an hour"]
async fn the_whole_trace_is_billed_exactly_whatever_the_kills() {
    for seed in 0..20 {
        println!("seed {seed}");
        let flags = if seed % 2 == 0 { Vec::new() } else { streaming() };
        from_trace_to_proved_bill(seed, &flags).await;
    }
}

async fn from_trace_to_proved_bill(seed: u64, log: &[String]) {
    let mut chance = StdRng::seed_from_u64(seed);
    let plan = plan(seed);
    let began = Instant::now();
    let is_streaming = !log.is_empty();
    let mut server = Server::start(&[&borrowed(log)[..], &["--billing-automatic", "false"]].concat()).await;
    let account = Account::open(&server, "Trace").await;
    for (customer, timezone, started_at) in CUSTOMERS {
        let id = account.customer(customer, timezone).await;
        account.subscription(&format!("{customer}-inference"), &id, started_at).await;
    }

    let acknowledged = Arc::new(AtomicUsize::new(0));
    let mut senders = tokio::task::JoinSet::new();
    for (number, stream) in plan.streams.iter().cloned().enumerate() {
        senders.spawn(send(account.caller.clone(), stream, seed + number as u64, acknowledged.clone()));
    }
    let kills = kill_while_sending(&mut server, is_streaming, &senders, &mut chance).await;
    while let Some(ended) = senders.join_next().await {
        ended.unwrap();
    }
    assert!(kills >= LEAST_KILLS, "only {kills} kills fell into the sending");
    println!("sent through {kills} kills: {:.1?}", began.elapsed());
    assert_eq!(acknowledged.load(Ordering::Relaxed), plan.streams.iter().map(Vec::len).sum::<usize>());

    if is_streaming {
        kill_while_storing(&mut server).await;
        account.caller.settled().await;
    }
    let winners = assert_stored_once_as_first_accepted(&account.caller, &plan).await;
    assert_losers_are_listed(&account.caller, &plan, &winners).await;
    println!("stored and listed: {:.1?}", began.elapsed());
    let bill = bill_of(&plan, &winners);
    interrupt_a_run(&mut server, &account.caller).await;
    account.caller.bill("2024-01-02T00:00:00Z").await;
    assert_billed(&account.caller, &bill).await;
    println!("billed: {:.1?}", began.elapsed());
    let fees = assert_every_fee_is_proved(&server, &account.caller).await;
    assert_second_run_creates_nothing(&account.caller, &bill).await;
    assert_a_deleted_row_breaks_the_proof(&server, &account.caller, &plan, &fees).await;
    println!("proved and broken: {:.1?}", began.elapsed());
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
}

/// Every id acknowledged is stored, once, none that was not sent; where the order of copies is known, the first one is it.
async fn assert_stored_once_as_first_accepted(caller: &Caller, plan: &Plan) -> BTreeMap<String, i64> {
    let mut winners = BTreeMap::new();
    for event in caller.all("/v1/events/?order_by=timestamp:asc").await {
        let id = text(&event["transaction_id"]);
        let at = chrono::DateTime::parse_from_rfc3339(&text(&event["timestamp"])).unwrap().timestamp_micros();
        assert!(winners.insert(id.clone(), at).is_none(), "{id} is stored twice");
    }
    assert_eq!(winners.len(), plan.copies.len(), "as many ids as were sent");
    for (id, copies) in &plan.copies {
        let stored = *winners.get(id).unwrap_or_else(|| panic!("{id} was acknowledged and is not stored"));
        assert!(copies.iter().any(|(_, copy)| copy.at == stored), "{id} is stored with a time that was not sent");
        let one_sender = copies.iter().all(|(sender, _)| *sender == copies[0].0);
        if one_sender {
            assert_eq!(stored, copies[0].1.at, "{id}: the first accepted copy wins");
        }
    }
    winners
}

/// All copies that lost by their timestamp are listed as restamped, and nothing else is.
async fn assert_losers_are_listed(caller: &Caller, plan: &Plan, winners: &BTreeMap<String, i64>) {
    let expected: BTreeSet<(String, String)> = plan
        .copies
        .values()
        .flatten()
        .filter(|(_, copy)| winners[&copy.id] != copy.at)
        .map(|(_, copy)| (copy.id.clone(), rfc3339(copy.at)))
        .collect();
    assert!(expected.len() > 2_000, "half of a tenth of 58,098 copies are restamped");
    let listed: BTreeSet<(String, String)> = caller
        .all("/v1/events/rejections?reason=restamped")
        .await
        .iter()
        .map(|rejection| {
            let event = if rejection["event"].is_object() { &rejection["event"] } else { rejection };
            let at = chrono::DateTime::parse_from_rfc3339(&text(&event["timestamp"])).unwrap().timestamp_micros();
            (text(&event["transaction_id"]), rfc3339(at))
        })
        .collect();
    assert_eq!(listed.len(), expected.len());
    assert!(listed == expected, "the restamped copies listed are not those that lost");
    let conflicts = caller.all("/v1/events/rejections?reason=conflict").await;
    assert!(conflicts.is_empty(), "nothing was in conflict: {conflicts:?}");
}

/// The month an instant lies in for a customer, as the instant of its start. Events here are days away from any border.
fn month_start(customer: &str, at: i64) -> i64 {
    let november = CUSTOMERS.iter().find(|(name, _, _)| *name == customer).unwrap().2;
    let november = chrono::DateTime::parse_from_rfc3339(november).unwrap().timestamp_micros();
    // New York leaves daylight saving time within November 2023: its December begins an hour later by the clock of UTC.
    let shift = if customer == "globex" { 3_600_000_000 } else { 0 };
    let december = november + 30 * DAY + shift;
    if at >= december { december } else { november }
}

fn bill_of(plan: &Plan, winners: &BTreeMap<String, i64>) -> Bill {
    let mut bill = Bill::new();
    for (customer, _, started_at) in CUSTOMERS {
        let november = chrono::DateTime::parse_from_rfc3339(started_at).unwrap().timestamp_micros();
        for start in [november, month_start(customer, november + 40 * DAY)] {
            bill.insert((customer.to_string(), start), Usage::default());
        }
    }
    for (id, at) in winners {
        let copy = &plan.copies[id][0].1;
        let period = (copy.customer.to_string(), month_start(copy.customer, *at));
        bill.get_mut(&period).unwrap().add(copy.code, copy.tokens);
    }
    bill
}

/// Starts a run and kills the tree at once: the next start takes it up, and nothing is billed twice.
async fn interrupt_a_run(server: &mut Server, caller: &Caller) {
    let request = caller.request(Method::POST, "/v1/billing_runs").json(&json!({"as_of": "2024-01-02T00:00:00Z"}));
    let sent = tokio::spawn(async move { request.send().await.map(|answer| answer.status()) });
    tokio::time::sleep(Duration::from_millis(40)).await;
    server.kill_tree();
    // The answer may have come or not; both are fine.
    let _ = sent.await.unwrap();
    server.restart().await;
}

async fn assert_billed(caller: &Caller, bill: &Bill) {
    let customers: HashMap<String, String> = caller
        .all("/v1/customers/")
        .await
        .iter()
        .map(|customer| (text(&customer["id"]), text(&customer["external_id"])))
        .collect();
    let invoices = caller.all("/v1/invoices/").await;
    let fees = caller.all("/v1/fees/").await;
    assert_eq!(invoices.len(), bill.len(), "one invoice a customer and month");
    for invoice in &invoices {
        let start = chrono::DateTime::parse_from_rfc3339(&text(&invoice["billing_period_start"])).unwrap();
        let customer = customers[&text(&invoice["customer_id"])].clone();
        let usage = bill.get(&(customer.clone(), start.timestamp_micros()));
        let usage = usage.unwrap_or_else(|| panic!("no such period: {invoice}"));
        assert_eq!(text(&invoice["total_cents"]), usage.total().to_string(), "{customer} {start}: {invoice}");
        assert_eq!(text(&invoice["subtotal_cents"]), usage.total().to_string());
        for (at, code) in METRICS.iter().enumerate() {
            let of_metric = |fee: &&Value| fee["invoice_id"] == invoice["id"] && fee["metric_code"] == **code;
            let fee = fees.iter().find(of_metric).unwrap_or_else(|| panic!("no fee of {code} on {invoice}"));
            assert_eq!(text(&fee["units"]), usage.units(code).to_string(), "{customer} {start}: {fee}");
            assert_eq!(text(&fee["amount_cents"]), usage.charges()[at].to_string(), "{customer} {start}: {fee}");
            assert_eq!(fee["events_count"], usage.events[at], "{customer} {start}: {fee}");
        }
    }
}

async fn assert_every_fee_is_proved(server: &Server, caller: &Caller) -> Vec<Value> {
    let fees = caller.all("/v1/fees/").await;
    let charged: Vec<Value> = fees.into_iter().filter(|fee| fee["fee_type"] == "charge").collect();
    assert_eq!(charged.len(), CUSTOMERS.len() * 2 * METRICS.len());
    for fee in &charged {
        let proof = caller.get(&format!("/v1/fees/{}/proof", text(&fee["id"]))).await;
        assert_eq!(proof["holds"], true, "{fee}: {proof}");
        assert_eq!(proof["billed"], proof["recomputed"], "{fee}");
    }
    let by_command = output(&mut prove(server, &charged[0]));
    assert!(by_command.status.success() && told(&by_command).contains("holds"), "{}", told(&by_command));
    charged
}

fn prove(server: &Server, fee: &Value) -> std::process::Command {
    let mut command = tollgate(&["prove", &text(&fee["id"]), "--data-dir", server.directory_argument()]);
    command.env("TOLLGATE_ADMIN_SECRET", crate::harness::ADMIN_SECRET);
    command
}

async fn assert_second_run_creates_nothing(caller: &Caller, bill: &Bill) {
    let before = (caller.all("/v1/invoices/").await, caller.all("/v1/fees/").await);
    let run = caller.bill("2024-01-02T00:00:00Z").await;
    assert_eq!(run["invoices_created"], 0, "{run}");
    assert_eq!((caller.all("/v1/invoices/").await, caller.all("/v1/fees/").await), before);
    assert_billed(caller, bill).await;
}

async fn assert_a_deleted_row_breaks_the_proof(server: &Server, caller: &Caller, plan: &Plan, fees: &[Value]) {
    let victim =
        plan.copies.values().flatten().map(|(_, copy)| copy).find(|copy| copy.code == "context_tokens").unwrap();
    server.engine(&format!("ALTER TABLE tollgate.events DELETE WHERE transaction_id = '{}'", victim.id)).await;
    let mut broken = Vec::new();
    for fee in fees {
        let proof = caller.get(&format!("/v1/fees/{}/proof", text(&fee["id"]))).await;
        if proof["holds"] == false {
            broken.push(fee);
        }
    }
    assert_eq!(broken.len(), 1, "exactly the fee that had the event: {broken:?}");
    assert_eq!(broken[0]["metric_code"], "context_tokens");
    let by_command = output(&mut prove(server, broken[0]));
    assert_eq!(by_command.status.code(), Some(1), "{}", told(&by_command));
    assert!(told(&by_command).contains("does NOT hold"), "{}", told(&by_command));
}
