//! While the senders work: progress on the terminal, a sample a second, the freshness probe.

use crate::client::api::Api;
use crate::drive::journal::Journal;
use crate::drive::{Drive, DriveError, Running};
use crate::measure::freshness::{self, Seen, Setting};
use crate::measure::process::{Meter, own_cpu};
use crate::measure::ratio::per_second;
use crate::measure::sampler::Sampler;
use crate::report::result::{Freshness, Measured};
use crate::report::text::{figure, grouped, micros};
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two looks at the senders; also the resolution of the end.
const LOOK: Duration = Duration::from_millis(100);
/// Between two samples.
const SAMPLE: Duration = Duration::from_secs(1);

/// What to watch besides the senders.
#[derive(Debug)]
pub struct Watch {
    /// Whose `/metrics` are read.
    pub pages: Vec<Api>,
    /// Processes of the system.
    pub meter: Meter,
    /// The freshness probe; absent: none.
    pub probe: Option<Setting>,
}

/// Drives to the end and hands over what was noted and measured.
///
/// # Errors
/// Any [`DriveError`].
pub async fn drive(drive: Drive, watch: Watch) -> Result<(Journal, Measured, Option<Seen>), DriveError> {
    let mut sampler = Sampler::begin(watch.pages, watch.meter).await;
    let cpu_before = own_cpu();
    let batch = drive.stream.batch;
    let running = drive.start()?;
    let stop = Arc::new(AtomicBool::new(false));
    let probe = watch.probe.map(|setting| {
        let (stop, start) = (stop.clone(), running.dispenser().start());
        tokio::spawn(async move { freshness::run(setting, start, &stop).await })
    });
    observe(&running, &mut sampler).await;
    sampler.sample().await;
    let generator_cpu = own_cpu().saturating_sub(cpu_before);
    stop.store(true, Ordering::Relaxed);
    let seen = match probe {
        None => None,
        // A probe that panicked has shown nothing; what it sent is still audited as a surplus.
        Some(task) => task.await.ok(),
    };
    let saturated = running.dispenser().saturated();
    let due = running.dispenser().requests().map(|requests| requests * batch);
    let (journal, timeline) = running.finish()?;
    let spent = sampler.spent();
    let samples = sampler.samples().to_vec();
    let measured =
        Measured { summary: timeline.summary(), due, saturated, generator_cpu, spent, samples, freshness: None };
    Ok((journal, measured, seen))
}

async fn observe(running: &Running, sampler: &mut Sampler) {
    let length = running.dispenser().length();
    let bar = ProgressBar::new(u64::try_from(length.as_millis()).unwrap_or(u64::MAX)).with_style(style("{msg}"));
    let mut next_sample = Instant::now() + SAMPLE;
    let mut last = (Instant::now(), 0);
    while running.is_running() {
        tokio::time::sleep(LOOK).await;
        let elapsed = running.dispenser().start().elapsed();
        bar.set_position(u64::try_from(elapsed.min(length).as_millis()).unwrap_or(u64::MAX));
        if Instant::now() < next_sample {
            continue;
        }
        next_sample += SAMPLE;
        let acknowledged = running.timeline().total().acknowledged;
        let rate = per_second(acknowledged - last.1, last.0.elapsed());
        last = (Instant::now(), acknowledged);
        bar.set_message(message(running, rate));
        sampler.sample().await;
    }
    super::clear(&bar);
}

fn message(running: &Running, rate: f64) -> String {
    let timeline = running.timeline();
    let total = timeline.total();
    let latency = timeline.last_second().map(|second| second.latency).unwrap_or_default();
    let mut text = format!("{} events/s · p50 {} · p99 {}", figure(rate), micros(latency.p50), micros(latency.p99));
    if total.refused + total.unknown > 0 {
        text.push_str(&format!(" · {} refused · {} unknown", grouped(total.refused), grouped(total.unknown)));
    }
    text
}

/// The bar that counts customers while they are made.
#[must_use]
pub fn setup_bar() -> ProgressBar {
    ProgressBar::new(0).with_style(style("{pos}/{len} customers")).with_message("preparing")
}

fn style(tail: &str) -> ProgressStyle {
    let template = format!("{{elapsed_precise}} {{bar:30}} {tail}");
    // The template is ours and constant; should it not parse, a plain bar shows as much.
    ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// The probe's part of the result.
#[must_use]
pub fn freshness_result(seen: &Seen) -> Freshness {
    Freshness {
        latency: seen.percentiles(),
        answers: seen.answers.percentiles(),
        over_time: seen.over_time.clone(),
        error: seen.error.clone(),
    }
}
