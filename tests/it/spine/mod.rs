//! The whole trace through crashes to an exact bill (I1, I2, I3, I4, I9).
//!
//! 19,366 requests, three events each, several senders at once; one request in ten repeated at a random place of the stream,
//! half of the repeats with a new timestamp (in another month, so that billing the wrong copy changes two invoices), some
//! before their original; the process tree killed again and again while they send. A sender that gets no answer, or a 503, sends
//! the same batch again, as every client must. Then every id is stored once, as its first accepted copy; the others are
//! listed; the bill equals the oracle's; every fee is proved, and one deleted row breaks its proof. Once with the gateway writing into
//! the store, once through the log on a real broker.

mod billed;
mod stored;
mod traffic;

use crate::account::Account;
use crate::harness::Server;
use crate::log::{borrowed, streaming};
use crate::wire::Caller;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use traffic::{CUSTOMERS, SENDERS, plan, send};

/// The process tree is killed this often at least while events are being sent.
const LEAST_KILLS: usize = 4;

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
    let winners = stored::assert_stored_once_as_first_accepted(&account.caller, &plan).await;
    stored::assert_losers_are_listed(&account.caller, &plan, &winners).await;
    println!("stored and listed: {:.1?}", began.elapsed());
    let bill = stored::bill_of(&plan, &winners);
    interrupt_a_run(&mut server, &account.caller).await;
    account.caller.bill("2024-01-02T00:00:00Z").await;
    billed::assert_billed(&account.caller, &bill).await;
    println!("billed: {:.1?}", began.elapsed());
    let fees = billed::assert_every_fee_is_proved(&server, &account.caller).await;
    billed::assert_second_run_creates_nothing(&account.caller, &bill).await;
    billed::assert_a_deleted_row_breaks_the_proof(&server, &account.caller, &plan, &fees).await;
    println!("proved and broken: {:.1?}", began.elapsed());
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
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
