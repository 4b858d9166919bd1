//! What the person at the terminal sees: progress, refusals, a summary.

use super::position::Totals;
use super::sender::ChunkOutcome;
use super::source::{ReadBytes, is_stdin};
use crate::client::ApiFailure;
use crate::failure::Failure;
use crate::terminal;
use indicatif::{HumanCount, ProgressBar};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Refused rows that are printed; the rest is counted.
const MOST_PRINTED: u64 = 50;

impl Totals {
    /// Both together.
    pub(super) fn plus(&self, other: &Totals) -> Totals {
        Totals {
            rows: self.rows + other.rows,
            ingested: self.ingested + other.ingested,
            duplicates: self.duplicates + other.duplicates,
            rejected: self.rejected + other.rejected,
            unusable: self.unusable + other.unusable,
        }
    }
}

/// Collects what happens over all files.
#[derive(Default)]
pub(super) struct Report {
    bar: Option<ProgressBar>,
    read_bytes: ReadBytes,
    this_run: Totals,
    printed: u64,
}

impl Report {
    pub(super) fn begin(&mut self, path: &Path, before: &Totals, read_bytes: ReadBytes) {
        if before.rows > 0 {
            self.note(&format!("{}: going on after row {}", path.display(), HumanCount(before.rows)));
        }
        self.read_bytes = read_bytes;
        let size = if is_stdin(path) { None } else { std::fs::metadata(path).ok().map(|file| file.len()) };
        let name = path.display().to_string();
        self.bar = Some(size.map_or_else(|| terminal::byte_counter(&name), |size| terminal::byte_bar(&name, size)));
    }

    pub(super) fn chunk(&mut self, path: &Path, outcome: &ChunkOutcome) {
        self.this_run = self.this_run.plus(&outcome.totals);
        for refusal in &outcome.refusals {
            self.printed += 1;
            if self.printed <= MOST_PRINTED {
                self.note(&format!("{}:{}: refused: {}", path.display(), refusal.line, refusal.reason));
            }
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.read_bytes.load(Ordering::Relaxed));
            bar.set_message(format!("{} events", HumanCount(self.this_run.ingested + self.this_run.duplicates)));
        }
    }

    pub(super) fn waiting(&self, failure: &ApiFailure, pause: Duration) {
        self.note(&format!("{failure}; trying again in {:.1?}", pause));
    }

    pub(super) fn note(&self, line: &str) {
        match &self.bar {
            // Hidden bars swallow their lines.
            Some(bar) if !bar.is_hidden() => bar.println(line),
            _ => eprintln!("{line}"),
        }
    }

    pub(super) fn end(&mut self, path: &Path, totals: &Totals) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        eprintln!(
            "{}: {} rows: {} events new, {} known already, {} refused by the server, {} not sent",
            path.display(),
            HumanCount(totals.rows),
            HumanCount(totals.ingested),
            HumanCount(totals.duplicates),
            HumanCount(totals.rejected),
            HumanCount(totals.unusable)
        );
    }

    pub(super) fn finish(self) -> Result<(), Failure> {
        let refused = self.this_run.rejected + self.this_run.unusable;
        if refused == 0 {
            return Ok(());
        }
        Err(Failure::AnswerIsNo(format!(
            "{} rows are not in the store; the first {} are listed above",
            HumanCount(refused),
            MOST_PRINTED.min(self.printed)
        )))
    }
}
