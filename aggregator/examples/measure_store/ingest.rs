//! The whole workload through the writer.

use crate::Options;
use crate::report::{Report, Timer};
use crate::workload::Workload;
use aggregator::{DirectWriter, DuplicateKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub async fn run(report: &mut Report, writer: &DirectWriter, workload: &Workload, options: &Options) {
    let generated = Timer::start();
    let sample = 200;
    for number in 0..sample {
        std::hint::black_box(workload.batch(number));
    }
    let per_event = generated.seconds() / (sample as usize * options.batch) as f64;
    report
        .line("making an event with its ids and hashes (not the store's work)", &format!("{:.0} ns", per_event * 1e9));

    let batches = options.events / options.batch as u64;
    let (next, exact, losers) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let (timer, before) = (Timer::start(), report.processor());
    let sender = || async {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= batches {
                return;
            }
            let accepted = writer.accept(Arc::new(workload.batch(number))).await.unwrap();
            let exactly = accepted.duplicates.iter().filter(|one| one.kind == DuplicateKind::Exact).count() as u64;
            exact.fetch_add(exactly, Ordering::Relaxed);
            losers.fetch_add(accepted.duplicates.len() as u64 - exactly, Ordering::Relaxed);
        }
    };
    futures::future::join_all((0..options.senders).map(|_| sender())).await;
    let (seconds, after) = (timer.seconds(), report.processor());
    let events = (batches * options.batch as u64) as f64;
    let (own, engine) = (after.own - before.own, after.engine - before.engine);
    let made = per_event * events;
    report.line(
        "ingest through the writer, wall clock, all on this machine",
        &format!("{:.0} events/s", events / seconds),
    );
    report.line("ingest: engine", &format!("{:.2} µs of processor time an event", engine / events * 1e6));
    report.line("ingest: writer", &format!("{:.2} µs of processor time an event", (own - made) / events * 1e6));
    report.line("ingest: writer and engine on one core", &format!("{:.0} events/s", events / (own - made + engine)));
    let (exact, losers) = (exact.into_inner(), losers.into_inner());
    report.line("repeats found", &format!("{exact} exact, {losers} restamped or in conflict"));
}
