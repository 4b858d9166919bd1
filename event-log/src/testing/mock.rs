//! librdkafka's mock cluster, for machines without Java or Maven: one broker in this process, on a port that other processes
//! reach too.
//!
//! It has no administration (topics are made here, [`MockBroker::make`]), no access rights, no TLS, and keeps 5 MiB of a
//! partition. Tests that need more do not run on it and say so ([`super::needs_real_brokers`]).

use rdkafka::mocking::MockCluster;
use std::sync::Mutex;
use std::sync::mpsc::{self, Sender};

/// A topic that is wanted, and where to say that it is there.
type Wanted = (String, u16, Sender<Result<(), String>>);

/// A running mock broker; it ends with this.
#[derive(Debug)]
pub(super) struct MockBroker {
    // The cluster belongs to one thread, which ends when this is dropped.
    topics: Mutex<Sender<Wanted>>,
}

impl MockBroker {
    /// Starts it; with the address to reach it at.
    pub(super) fn start() -> Result<(Self, String), String> {
        let (topics, wanted) = mpsc::channel::<Wanted>();
        let (ready, started) = mpsc::channel();
        let serve = move || {
            let cluster = match MockCluster::new(1) {
                Ok(cluster) => cluster,
                // Whoever started this waits for the answer.
                Err(error) => return drop(ready.send(Err(error.to_string()))),
            };
            drop(ready.send(Ok(cluster.bootstrap_servers())));
            for (topic, partitions, made) in wanted {
                let outcome = cluster.create_topic(&topic, i32::from(partitions), 1);
                drop(made.send(outcome.map_err(|error| format!("{topic}: {error}"))));
            }
        };
        std::thread::Builder::new().name("mock-kafka".into()).spawn(serve).map_err(|error| error.to_string())?;
        let bootstrap = started.recv().map_err(|error| error.to_string())??;
        Ok((Self { topics: Mutex::new(topics) }, bootstrap))
    }

    /// Makes a topic; one that is there stays as it is.
    pub(super) fn make(&self, topic: &str, partitions: u16) -> Result<(), String> {
        let (made, answer) = mpsc::channel();
        let topics = self.topics.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        topics.send((topic.to_owned(), partitions, made)).map_err(|error| error.to_string())?;
        drop(topics);
        answer.recv().map_err(|error| error.to_string())?
    }
}
