//! One billing run: started, followed to its end, with what it cost.

use crate::client::api::Api;
use crate::measure::machine::Reading;
use crate::measure::process::{Meter, between};
use anyhow::{Context, ensure};
use domain::time::Timestamp;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const RUNS: &str = "/v1/billing_runs/";
const LOOK: Duration = Duration::from_millis(50);
/// A million invoices at a tenth of what is wanted.
const DONE_WITHIN: Duration = Duration::from_secs(2_000);

/// A run that has ended.
pub(super) struct Followed {
    /// As the system shows it.
    pub(super) run: Value,
    /// From `started_at` to `finished_at`.
    pub(super) took: Duration,
    /// Time in each status, as seen from outside.
    pub(super) by_status: BTreeMap<String, Duration>,
    /// Greatest size of each process meanwhile, in bytes.
    pub(super) peaks: BTreeMap<String, u64>,
    /// Time each process spent on a processor.
    pub(super) cpu: BTreeMap<String, Duration>,
    /// Cores that all others kept busy.
    pub(super) others: f64,
}

/// Bills everything up to `as_of`, or only rehearses it.
pub(super) async fn follow(api: &Api, as_of: Timestamp, dry_run: bool, meter: &mut Meter) -> anyhow::Result<Followed> {
    ensure!(meter.forget_peaks(), "/proc/PID/clear_refs cannot be written: memory of the run alone cannot be measured");
    let before = meter.read();
    let machine = Reading::now();
    let begun = api.post(RUNS, &json!({"as_of": as_of.to_string(), "dry_run": dry_run}), &[202]).await?;
    let path = format!("{RUNS}{}", begun.text(RUNS, "/id")?);
    let (run, by_status) = to_its_end(api, &path).await?;
    let after = meter.read();
    let cpu = between(&before, &after);
    let others = machine.others_since(cpu.values().sum());
    let mut peaks: BTreeMap<String, u64> = BTreeMap::new();
    for usage in &after {
        *peaks.entry(usage.name.clone()).or_default() += usage.peak_resident_bytes;
    }
    let took = instant(&run, "finished_at")?.0 - instant(&run, "started_at")?.0;
    Ok(Followed { run, took: Duration::from_micros(took.unsigned_abs()), by_status, peaks, cpu, others })
}

async fn to_its_end(api: &Api, path: &str) -> anyhow::Result<(Value, BTreeMap<String, Duration>)> {
    let style = ProgressStyle::with_template("{elapsed_precise} {bar:30} {pos}/{len} subscriptions, {msg}")?;
    let bar = ProgressBar::new(0).with_style(style);
    let mut by_status: BTreeMap<String, Duration> = BTreeMap::new();
    let start = Instant::now();
    let mut last = start;
    loop {
        let run = api.read(path).await?.body;
        let status = run["status"].as_str().unwrap_or_default().to_owned();
        *by_status.entry(status.clone()).or_default() += last.elapsed();
        last = Instant::now();
        bar.set_length(run["subscriptions_total"].as_u64().unwrap_or_default());
        bar.set_position(run["subscriptions_done"].as_u64().unwrap_or_default());
        bar.set_message(status.clone());
        if status == "completed" || status == "failed" {
            bar.finish_and_clear();
            by_status.remove(&status);
            return Ok((run, by_status));
        }
        ensure!(start.elapsed() < DONE_WITHIN, "the run has not ended after {DONE_WITHIN:?}: {run}");
        tokio::time::sleep(LOOK).await;
    }
}

fn instant(run: &Value, field: &str) -> anyhow::Result<Timestamp> {
    let text = run[field].as_str().with_context(|| format!("the run has no {field}: {run}"))?;
    Ok(Timestamp::parse(text)?)
}
