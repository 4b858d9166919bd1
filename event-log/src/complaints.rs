//! What librdkafka complains about, kept and logged: "timed out" alone does not tell a wrong password from a wrong port.

use crate::settings::KafkaSettings;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a client tries before it is taken to have nothing to complain about.
const COMPLAINS_WITHIN: Duration = Duration::from_secs(5);

/// A client's context that remembers its last complaint.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    last: Mutex<Option<String>>,
}

impl Complaints {
    /// The last complaint. It may name brokers: for operators, not for clients.
    pub(crate) fn last(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn note(&self, level: RDKafkaLogLevel, text: &str) {
        if matches!(level, RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug) {
            tracing::debug!(target: "librdkafka", "{text}");
            return;
        }
        tracing::warn!(target: "librdkafka", "{text}");
        // `[thrd:…]: ` names a thread of the library.
        let text = text.split_once("]: ").map_or(text, |(_, text)| text);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.to_owned());
    }
}

impl ClientContext for Complaints {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, text: &str) {
        self.note(level, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "a client of the log reports");
    }
}

impl ProducerContext for Complaints {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, _: Self::DeliveryOpaque) {}
}

/// Connects once more and says what the client complains about on its way. Clients for administration do not hand it out.
pub(crate) async fn complaint_about(settings: &KafkaSettings) -> Option<String> {
    let config = settings.client();
    let listen = move || {
        let client: BaseProducer<Complaints> = config.create_with_context(Complaints::default()).ok()?;
        let started = Instant::now();
        while started.elapsed() < COMPLAINS_WITHIN && client.context().last().is_none() {
            client.poll(Duration::from_millis(100));
        }
        client.context().last()
    };
    tokio::task::spawn_blocking(listen).await.unwrap_or(None)
}
