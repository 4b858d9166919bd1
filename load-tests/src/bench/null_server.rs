//! The baseline: the same HTTP stack as the system's, which reads each body to its end, looks at nothing, and answers as
//! if all had been stored. What the system adds to it is its own work.

use crate::client::target::Target;
use crate::measure::process::Root;
use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use tokio::net::TcpListener;

/// Serves on a free port, prints its URL, ends with its standard input.
///
/// # Errors
/// When no port can be had.
pub async fn serve(batch: u64) -> anyhow::Result<()> {
    let answer = format!("{{\"ingested\":{batch},\"duplicates\":0}}");
    let accept = move |body: Bytes| {
        let answer = answer.clone();
        async move {
            drop(body);
            (StatusCode::CREATED, [(header::CONTENT_TYPE, "application/json")], answer).into_response()
        }
    };
    let router = Router::new()
        .route("/v1/events/", post(accept.clone()))
        .route("/v1/events/batch", post(accept))
        .route("/healthz", get(|| async { "ok" }))
        .layer(axum::extract::DefaultBodyLimit::disable());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    let parent_is_gone = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    tokio::select! {
        served = axum::serve(listener, router) => served.map_err(Into::into),
        _ = parent_is_gone => Ok(()),
    }
}

/// The baseline server as a process of its own, so that its CPU time is its own.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    pub(super) target: Target,
}

impl Child {
    pub(super) async fn start(batch: u64) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut process = Command::new(program)
            .args(["null-server", "--batch", &batch.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the baseline server")?;
        let output = process.stdout.take().context("the baseline server has no output")?;
        let url = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(output).read_line(&mut line).map(|_| line)
        });
        let url = url.await??;
        Ok(Self { process, target: Target::parse(url.trim())? })
    }

    pub(super) fn root(&self) -> Root {
        Root { label: "baseline".into(), pid: self.process.id() }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Its input closes with us in any case; this only spares it the wait. It holds nothing that could be lost.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
