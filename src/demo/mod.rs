//! `tollgate up --demo` and `tollgate demo`: a real trace, billed, through nothing but the public HTTP API.
//!
//! An organization, three metrics, a plan, four customers with a subscription each; one hour of a production LLM service
//! (19,366 requests, three events each) streamed as lines of JSON; the month it lies in billed; usage, an invoice and ways to
//! go on printed.
//!
//! Every step looks before it makes: a second start finds the organization by its name and everything in it by code, sends
//! nothing again and bills nothing again. One killed anywhere in between goes on: events carry ids of their own (I2), a period
//! is billed once (I4).

mod catalog;
mod show;
mod stream;
mod trace;

use crate::client::billing::run_to_end;
use crate::client::{Api, ApiFailure, Credential};
use crate::data_directory::{read_json, write_private};
use crate::failure::Failure;
use http_api::Secret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// The instant up to which the demo bills: the end of the month of the trace, November 2023.
const AS_OF: &str = "2023-12-01T00:00:00Z";
/// How long the demo waits for our own server to be ready or to take something again.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the demo keeps in the data directory, mode 0600: the raw API key is told only once.
#[derive(Serialize, Deserialize)]
struct State {
    organization: String,
    api_key: String,
    /// Whether every event of the trace was acknowledged.
    streamed: bool,
}

/// Runs the demo against the server of `admin`, events going to `gateways` by turns (without any: to the same server); prints on
/// standard output.
///
/// # Errors
/// When the server does not do what the demo asks; the server itself goes on.
pub async fn run(admin: &Api, gateways: &[Api], data_dir: &Path) -> Result<(), Failure> {
    let state_path = data_dir.join("demo.json");
    let mut state = match read_json::<State>(&state_path)? {
        Some(state) => state,
        None => keep(&state_path, catalog::organization(admin).await?)?,
    };
    let key = Credential::Key(Secret::new(&state.api_key));
    let api = admin.as_caller(key.clone());
    let mut gateways: Vec<Api> = gateways.iter().map(|gateway| gateway.as_caller(key.clone())).collect();
    if gateways.is_empty() {
        gateways.push(api.clone());
    }
    catalog::set_up(&api).await?;
    if state.streamed {
        println!("The trace was sent by an earlier start.");
    } else {
        let started = Instant::now();
        let sent = stream::send_trace(&gateways).await?;
        println!("{}", stream::told(&sent, started.elapsed()));
        state.streamed = true;
        state = keep(&state_path, state)?;
    }
    let run = bill(&api).await?;
    show::everything(&api, gateways[0].base(), &run, &state.api_key).await?;
    Ok(())
}

fn keep(path: &Path, state: State) -> Result<State, Failure> {
    // Texts and a boolean always serialize.
    write_private(path, &serde_json::to_vec_pretty(&state).unwrap_or_default())?;
    Ok(state)
}

async fn bill(api: &Api) -> Result<Value, Failure> {
    let run = run_to_end(api, &json!({"as_of": AS_OF}), |_| ()).await?;
    if run["status"] == "failed" {
        return Err(Failure::Trouble(format!("the demo's billing run failed: {}", run["error"])));
    }
    Ok(run)
}

/// Asks until our own server answers; it has just started.
async fn patient_get(api: &Api, path: &str) -> Result<Value, ApiFailure> {
    crate::client::retry::retrying(PATIENCE, |_, _| (), || api.get(path)).await
}
