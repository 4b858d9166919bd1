//! A topic, a group and a database of their own for each test; a record of all that was sent; and what the store must hold then,
//! by the rules' text.

use crate::support::{Sent, batch, catalog_of, config_of};
use aggregator::streaming::{LogCuts, StreamingConfig, StreamingWriter};
use aggregator::{EventStore, StoreConfig, WriterState};
use clickhouse::Row;
use domain::ids::OrganizationId;
use domain::position::Cut;
use domain::time::Timestamp;
use engine::testing::TestEngine;
use event_log::producer::LogProducer;
use event_log::settings::KafkaSettings;
use event_log::testing::DevKafka;
use event_log::topic;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

pub const PARTITIONS: u16 = 3;
pub const PATIENCE: Duration = Duration::from_secs(60);
const ACCEPTED_AT: Timestamp = Timestamp(1_800_000_000_000_000);

/// What the store must come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// transaction id → timestamp, properties of the first copy.
    pub events: BTreeMap<String, (i64, String)>,
    /// Distinct copies that differ.
    pub losers: BTreeSet<(String, i64, String)>,
    pub voids: BTreeSet<String>,
}

impl Expected {
    fn add(&mut self, sent: &Sent) {
        let own = (sent.timestamp, sent.properties.clone());
        let first = self.events.entry(sent.transaction_id.clone()).or_insert_with(|| own.clone());
        if *first != own {
            self.losers.insert((sent.transaction_id.clone(), own.0, own.1));
        }
    }
}

pub struct Bench {
    pub organization: OrganizationId,
    pub kafka: KafkaSettings,
    pub config: StoreConfig,
    pub log: Arc<LogProducer>,
    pub expected: Expected,
}

impl Bench {
    pub async fn new(engine: &TestEngine) -> Self {
        let name = uuid::Uuid::new_v4().simple().to_string();
        let kafka = KafkaSettings {
            brokers: DevKafka::shared().bootstrap.clone(),
            topic: format!("events-{name}-1"),
            dead_letter_topic: format!("events-{name}.dead-letters"),
            group: format!("group-{name}"),
            partitions: PARTITIONS,
            linger_ms: 1,
            ..KafkaSettings::default()
        };
        DevKafka::shared().prepare(&kafka);
        topic::ensure(&kafka, PATIENCE).await.unwrap();
        let log = LogProducer::start(&kafka, PARTITIONS).unwrap();
        let config = config_of(engine, &format!("s{name}"));
        let organization = OrganizationId::random();
        Self { organization, kafka, config, log, expected: Expected::default() }
    }

    pub async fn writer(&self) -> StreamingWriter {
        let catalog = catalog_of(self.organization, &[]);
        StreamingWriter::start(self.config.clone(), self.kafka.clone(), StreamingConfig::default(), catalog)
            .await
            .unwrap()
    }

    /// A writer on threads of its own, which end with it wherever they are: the next best thing to `kill -9`.
    pub fn mortal_writer(&self) -> Mortal {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let catalog = catalog_of(self.organization, &[]);
        let start =
            StreamingWriter::start(self.config.clone(), self.kafka.clone(), StreamingConfig::default(), catalog);
        let writer = std::thread::scope(|scope| scope.spawn(|| runtime.block_on(start)).join()).unwrap().unwrap();
        Mortal { writer, runtime }
    }

    pub async fn send(&mut self, events: &[Sent]) {
        self.log.append(&batch(self.organization, events)).await.unwrap();
        events.iter().for_each(|sent| self.expected.add(sent));
    }

    /// An event that was sent by other means.
    pub fn expect(&mut self, sent: &Sent) {
        self.expected.add(sent);
    }

    pub async fn void(&mut self, transaction_id: &str) {
        self.log.append_void(self.organization, transaction_id, ACCEPTED_AT).await.unwrap();
        self.expected.voids.insert(transaction_id.to_owned());
    }

    /// Writes a record as it stands.
    pub fn send_raw(&self, partition: u16, lines: &[u8]) {
        let producer: ThreadedProducer<_> =
            self.kafka.producer().create_with_context(rdkafka::producer::DefaultProducerContext).unwrap();
        let record: BaseRecord<'_, (), [u8]> =
            BaseRecord::to(&self.kafka.topic).partition(i32::from(partition)).payload(lines);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(PATIENCE).unwrap();
    }

    pub async fn store(&self) -> EventStore {
        EventStore::open(self.config.clone()).await.unwrap()
    }

    pub fn client(&self) -> clickhouse::Client {
        clickhouse::Client::default()
            .with_url(&self.config.url)
            .with_user(&self.config.user)
            .with_password(&self.config.password)
            .with_database(&self.config.database)
            .with_compression(clickhouse::Compression::None)
    }

    /// Waits until all that is in the log is in the store.
    pub async fn settled(&self) -> Cut {
        let cuts = LogCuts::new(&self.kafka, self.store().await);
        cuts.wait(PATIENCE).await.unwrap()
    }

    /// Compares all of the store with what was sent. Every event once, every id once, at one position each.
    pub async fn check(&self) {
        let found = self.found().await;
        let (events, ids) = (found.events.len(), found.ids);
        assert_eq!(
            (events as u64, ids),
            (self.expected.events.len() as u64, ids),
            "events beside their expected number"
        );
        assert_eq!(ids.0, ids.1, "ids have several rows");
        assert_eq!(events as u64, ids.0, "events and id rows differ in number");
        assert_eq!(found.apart, 0, "an event and its id row stand at different positions");
        let events: BTreeMap<_, _> =
            found.events.into_iter().map(|row| (row.transaction_id, (row.at, row.properties))).collect();
        assert!(events == self.expected.events, "other events than were sent first");
        assert_eq!(found.losers, self.expected.losers);
        assert_eq!(found.voids, self.expected.voids);
    }

    async fn found(&self) -> Found {
        let client = self.client();
        let all = |table: &str| {
            format!("SELECT transaction_id, toUnixTimestamp64Micro(timestamp) AS at, properties FROM {table}")
        };
        let positions = "SELECT count() FROM events AS e INNER JOIN event_ids AS i ON e.id = i.id \
            WHERE (e.epoch, e.partition, e.offset, e.line) != (i.epoch, i.partition, i.offset, i.line)";
        let ids = "SELECT count(), uniqExact(organization, id) FROM event_ids";
        let losers: Vec<EventSeen> = client.query(&all("losers FINAL")).fetch_all().await.unwrap();
        let voids: Vec<String> = client.query("SELECT transaction_id FROM voids").fetch_all().await.unwrap();
        Found {
            events: client.query(&all("events")).fetch_all().await.unwrap(),
            ids: client.query(ids).fetch_one().await.unwrap(),
            apart: client.query(positions).fetch_one().await.unwrap(),
            losers: losers.into_iter().map(|row| (row.transaction_id, row.at, row.properties)).collect(),
            voids: voids.into_iter().collect(),
        }
    }
}

#[derive(Row, Deserialize)]
struct EventSeen {
    transaction_id: String,
    at: i64,
    properties: String,
}

struct Found {
    events: Vec<EventSeen>,
    ids: (u64, u64),
    apart: u64,
    losers: BTreeSet<(String, i64, String)>,
    voids: BTreeSet<String>,
}

/// A writer that can be cut off.
pub struct Mortal {
    pub writer: StreamingWriter,
    runtime: Runtime,
}

impl Mortal {
    pub fn kill(self) {
        self.runtime.shutdown_background();
    }
}

pub async fn until_ready(writer: &StreamingWriter) {
    for _ in 0..600 {
        if writer.state() == WriterState::Ready {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the writer is not ready after 30 s: {:?}", writer.state());
}

/// `number` events from `first` on, in two months, of few customers.
pub fn events(first: usize, number: usize) -> Vec<Sent> {
    let month = 31 * 86_400_000_000_i64;
    (first..first + number)
        .map(|n| {
            let number = i64::try_from(n).unwrap();
            let at = crate::support::MARCH + month * (number % 2) + number;
            Sent::new(&format!("t{n}"), "api", &format!("c{}", n % 7), at, &format!("{{\"v\":{n}}}"))
        })
        .collect()
}

/// The same event as a client that stamps each attempt sends it again.
pub fn restamped(sent: &Sent) -> Sent {
    Sent { timestamp: sent.timestamp + 1, ..sent.clone() }
}

/// The same id with other content.
pub fn conflicting(sent: &Sent) -> Sent {
    Sent { properties: "{\"v\":\"other\"}".into(), ..sent.clone() }
}
