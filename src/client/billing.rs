//! Starts a billing run over HTTP and waits for its end.

use super::retry::retrying;
use super::{Api, ApiFailure, text_field};
use serde_json::Value;
use std::time::Duration;

/// How often a run is asked for its progress.
const POLL: Duration = Duration::from_millis(150);
/// Longest time without any answer before waiting ends; the run itself goes on or is taken up by the next start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the run (or joins the one of the same `as_of`) and returns it once it is completed or failed; `on_progress` gets every
/// answer in between.
///
/// # Errors
/// When the server refuses the run or is away for longer than a minute.
pub async fn run_to_end(api: &Api, request: &Value, mut on_progress: impl FnMut(&Value)) -> Result<Value, ApiFailure> {
    let mut run = retrying(PATIENCE, |_, _| (), || api.post("/v1/billing_runs", request)).await?;
    let path = format!("/v1/billing_runs/{}", text_field(&run, "id", "/v1/billing_runs")?);
    loop {
        on_progress(&run);
        if matches!(run["status"].as_str(), Some("completed" | "failed")) {
            return Ok(run);
        }
        tokio::time::sleep(POLL).await;
        run = retrying(PATIENCE, |_, _| (), || api.get(&path)).await?;
    }
}
