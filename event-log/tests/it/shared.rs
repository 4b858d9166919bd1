//! One broker for all tests that do not kill it, each with a log of its own; it ends with the last of them.

use event_log::settings::KafkaSettings;
use event_log::testing::DevKafka;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The broker and where its data lies.
pub(crate) struct SharedKafka {
    // Dropped before the directory.
    kafka: DevKafka,
    _directory: tempfile::TempDir,
}

static SHARED: Mutex<Weak<SharedKafka>> = Mutex::new(Weak::new());

impl SharedKafka {
    /// Settings of a log of this name.
    pub(crate) fn settings(&self, log: &str) -> KafkaSettings {
        self.kafka.settings(log)
    }
}

/// The shared broker, started by whoever asks first.
pub(crate) fn shared() -> Arc<SharedKafka> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = shared.upgrade() {
        return running;
    }
    let directory = tempfile::tempdir().unwrap();
    let kafka = DevKafka::start(directory.path(), 1).unwrap();
    let started = Arc::new(SharedKafka { kafka, _directory: directory });
    *shared = Arc::downgrade(&started);
    started
}
