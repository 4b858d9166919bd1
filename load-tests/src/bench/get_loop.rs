//! A closed loop of GETs over a number of connections.

use crate::client::connection::{Connection, Head};
use crate::client::target::Target;
use crate::measure::latency::Latencies;
use bytes::Bytes;
use futures::future::join_all;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Gets {
    /// Answers 200.
    pub(super) answered: u64,
    /// The first answer that was not.
    pub(super) failed: Option<String>,
    pub(super) latencies: Latencies,
}

/// Sends the requests in turn for `length`, on a thread of its own.
pub(super) async fn run(
    target: Target,
    heads: Vec<Head>,
    connections: usize,
    length: Duration,
) -> anyhow::Result<Gets> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("gets".into()).spawn(move || {
        let heads = Arc::new(heads);
        let loops = (0..connections).map(|first| one(target.clone(), heads.clone(), first, length));
        // The receiver is gone only when the whole command was given up.
        let _ = sender.send(runtime.block_on(join_all(loops)));
    })?;
    let parts = receiver.await?;
    let mut all = Gets::default();
    for part in parts {
        all.answered += part.answered;
        all.failed = all.failed.or(part.failed);
        all.latencies.append(&part.latencies);
    }
    Ok(all)
}

async fn one(target: Target, heads: Arc<Vec<Head>>, first: usize, length: Duration) -> Gets {
    let mut connection = Connection::new(target, Duration::from_secs(60));
    let mut gets = Gets::default();
    let mut answer = Vec::new();
    let end = Instant::now() + length;
    for head in heads.iter().cycle().skip(first % heads.len().max(1)) {
        let start = Instant::now();
        if start >= end {
            break;
        }
        match connection.send(head, Bytes::new(), &mut answer).await {
            Ok(received) if received.status == 200 => {
                gets.answered += 1;
                gets.latencies.record(start.elapsed());
            }
            Ok(received) => {
                gets.failed = Some(format!("{} {}", received.status, String::from_utf8_lossy(&answer)));
                break;
            }
            Err(error) => {
                gets.failed = Some(error.to_string());
                break;
            }
        }
    }
    gets
}
