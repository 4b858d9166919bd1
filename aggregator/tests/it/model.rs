//! The whole writer against a model: random batches, copies, voids, restarts, and an engine killed at random.

use crate::exactness::{any_properties, block_on, scope, usage_of};
use crate::ingest::retry_until_accepted;
use crate::oracle;
use crate::support::{APRIL, MARCH, Sent, cases, catalog_of, config_of};
use aggregator::reads::{PageRequest, RejectionFilter, RejectionReason};
use aggregator::usage::{Measure, UsageQuery, UsageWindow};
use aggregator::{DirectConfig, DirectWriter, EventStore};
use domain::catalog::Aggregation;
use domain::identity::{EventId, content_hash};
use domain::ids::OrganizationId;
use domain::position::Cut;
use domain::snapshot::SnapshotCell;
use domain::time::Timestamp;
use engine::testing::TestEngine;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One thing that happens to the store.
#[derive(Clone, Debug)]
enum Step {
    Send(Vec<Sent>),
    Void(String),
    /// The writer's process ends in good order and another one starts.
    Restart,
    /// The engine dies while these are being sent; the client sends them again until they are accepted.
    KillWhileSending(Vec<Sent>),
}

fn any_sent() -> impl Strategy<Value = Sent> {
    // Few ids, few timestamps and few properties: copies of all kinds are frequent.
    let properties = prop_oneof![Just("{\"v\": 1}".to_owned()), Just("{\"v\": 2.5}".to_owned()), any_properties()];
    (0_u32..60, 0_usize..2, 0_i64..3, properties).prop_map(|(id, customer, at, properties)| {
        Sent::new(&format!("t{id}"), "api", ["alice", "bob"][customer], MARCH + at, &properties)
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(any_sent(), 1..20).prop_map(Step::Send),
        2 => (0_u32..60).prop_map(|id| Step::Void(format!("t{id}"))),
        1 => Just(Step::Restart),
        1 => prop::collection::vec(any_sent(), 1..20).prop_map(Step::KillWhileSending),
    ]
}

/// What must be in the store.
#[derive(Clone, Default)]
struct Model {
    first: BTreeMap<String, Sent>,
    voided: BTreeSet<String>,
    losers: BTreeSet<(String, &'static str, u64, i64)>,
}

impl Model {
    fn accept(&mut self, sent: &[Sent]) {
        for event in sent {
            let Some(first) = self.first.get(&event.transaction_id) else {
                self.first.insert(event.transaction_id.clone(), event.clone());
                continue;
            };
            let (own, stored) = (content_hash(&event.content()), content_hash(&first.content()));
            if own != stored || first.timestamp != event.timestamp {
                let reason = if own == stored { "restamped" } else { "conflict" };
                self.losers.insert((event.transaction_id.clone(), reason, own, event.timestamp));
            }
        }
    }

    fn billed(&self) -> Vec<Sent> {
        self.first.values().filter(|event| !self.voided.contains(&event.transaction_id)).cloned().collect()
    }
}

struct Run {
    organization: OrganizationId,
    limits: DirectConfig,
    _directory: tempfile::TempDir,
    engine: TestEngine,
    catalog: SnapshotCell,
    writer: DirectWriter,
    store: EventStore,
    model: Model,
    cuts: Vec<(Cut, Model)>,
}

impl Run {
    async fn new(is_journaled: bool) -> Self {
        let organization = OrganizationId::random();
        let catalog = catalog_of(organization, &[("api", Aggregation::Sum, Some("v"), &["region"])]);
        let engine = TestEngine::start();
        let config = config_of(&engine, "model");
        let directory = tempfile::tempdir().unwrap();
        let journal = is_journaled.then(|| directory.path().join("journal.db"));
        let limits = DirectConfig { journal, ..DirectConfig::default() };
        let writer = DirectWriter::start(config.clone(), limits.clone(), catalog.clone()).await.unwrap();
        let store = EventStore::open(config).await.unwrap().behind(writer.progress());
        Self {
            organization,
            limits,
            _directory: directory,
            engine,
            catalog,
            writer,
            store,
            model: Model::default(),
            cuts: Vec::new(),
        }
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Send(sent) => {
                retry_until_accepted(&self.writer, self.organization, sent).await;
                self.model.accept(sent);
            }
            Step::Void(id) => {
                self.writer.void(self.organization, id, Timestamp(1)).await.unwrap();
                self.model.voided.insert(id.clone());
            }
            Step::Restart => {
                self.writer.close().await;
                let config = config_of(&self.engine, "model");
                let started = DirectWriter::start(config.clone(), self.limits.clone(), self.catalog.clone());
                self.writer = started.await.unwrap();
                self.store = EventStore::open(config).await.unwrap().behind(self.writer.progress());
            }
            Step::KillWhileSending(sent) => self.kill_while_sending(sent).await,
        }
        let cut = self.store.committed_cut().await.unwrap();
        self.cuts.push((cut, self.model.clone()));
    }

    async fn kill_while_sending(&mut self, sent: &[Sent]) {
        let (writer, organization, batch) = (self.writer.clone(), self.organization, sent.to_vec());
        let sending = tokio::spawn(async move { retry_until_accepted(&writer, organization, &batch).await });
        // Somewhere between before the insert and after it: an insert takes 2 to 10 ms.
        tokio::time::sleep(Duration::from_millis(self.model.first.len() as u64 % 8)).await;
        self.engine.kill();
        self.engine.restart();
        sending.await.unwrap();
        // The void of a step before needs a writer that has noticed.
        retry_until_accepted(&self.writer, self.organization, sent).await;
        self.model.accept(sent);
    }

    fn query(&self, measure: Measure, cut: &Cut) -> UsageQuery {
        let window = |customer: &str, slot| UsageWindow {
            series: Sent::new("", "api", customer, 0, "{}").series(self.organization),
            from: Timestamp(MARCH),
            to: Timestamp(APRIL),
            slot,
            scope: 0,
        };
        UsageQuery {
            measure,
            scopes: vec![scope(self.organization, "api", Some("v"), &["region"])],
            windows: vec![window("alice", 0), window("bob", 1)],
            cut: cut.clone(),
            by_dimensions: true,
        }
    }

    async fn check(&self) {
        for (cut, model) in &self.cuts {
            for measure in [Measure::Sum, Measure::Count] {
                let query = self.query(measure, cut);
                let expected = oracle::usage(self.organization, &model.billed(), &query);
                assert_eq!(usage_of(&self.store, &query).await, expected, "at {cut:?}");
            }
        }
        self.check_each_id_once().await;
        self.check_losers().await;
        self.check_members().await;
    }

    async fn check_each_id_once(&self) {
        let verified = self.store.verify_unique_ids().await.unwrap();
        assert_eq!((verified.ids, verified.doubtful), (self.model.first.len() as u64, 0));
        let ids: Vec<EventId> = self.model.first.keys().map(|id| EventId::derive(self.organization, id)).collect();
        let stored = self.store.events(self.organization, &ids).await.unwrap();
        assert_eq!(stored.len(), self.model.first.len());
        for event in stored {
            let first = &self.model.first[&event.transaction_id];
            assert_eq!(
                (event.timestamp.0, &event.properties),
                (first.timestamp, &first.properties),
                "the first copy wins"
            );
        }
    }

    async fn check_losers(&self) {
        let all = PageRequest { skip: 0, limit: 10_000 };
        let (rejections, _) = self.store.rejections(self.organization, RejectionFilter::default(), all).await.unwrap();
        let losers = rejections
            .iter()
            .filter(|one| matches!(one.reason, RejectionReason::Restamped | RejectionReason::Conflict));
        let listed: BTreeSet<_> = losers
            .map(|one| {
                let event = &one.event;
                let sent =
                    Sent::new(&event.transaction_id, &event.code, &event.external_customer_id, 0, &event.properties);
                (event.transaction_id.clone(), one.reason.name(), content_hash(&sent.content()), event.timestamp.0)
            })
            .collect();
        assert_eq!(listed, self.model.losers);
    }

    async fn check_members(&self) {
        let Some((cut, model)) = self.cuts.last() else { return };
        let query = self.query(Measure::Sum, cut);
        let billed: BTreeSet<String> = model.billed().into_iter().map(|event| event.transaction_id).collect();
        let mut streamed = BTreeSet::new();
        let on_event = |member: aggregator::usage::EventOfFee| assert!(streamed.insert(member.event.transaction_id));
        self.store.stream_events_in(&query, on_event).await.unwrap();
        assert_eq!(streamed, billed);
        let mut paged = BTreeSet::new();
        for skip in (0..).step_by(7) {
            let page = self.store.events_in(&query, PageRequest { skip, limit: 7 }).await.unwrap();
            if page.is_empty() {
                break;
            }
            paged.extend(page.into_iter().map(|member| member.event.transaction_id));
        }
        assert_eq!(paged, billed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(5), max_shrink_iters: 10, ..ProptestConfig::default() })]
    #[test]
    fn the_store_equals_the_model_whatever_happens(steps in prop::collection::vec(any_step(), 1..25), is_journaled: bool) {
        block_on(async {
            let mut run = Run::new(is_journaled).await;
            for step in &steps {
                run.step(step).await;
            }
            run.check().await;
        });
    }
}

#[test]
fn of_concurrent_copies_exactly_one_is_new() {
    block_on(async {
        let run = Run::new(true).await;
        let senders = (0..8).map(|sender: i64| {
            let (writer, organization) = (run.writer.clone(), run.organization);
            tokio::spawn(async move {
                let mut new = Vec::new();
                for n in 0..40 {
                    // Each sender begins elsewhere, and stamps its own time.
                    let id = (n + sender * 5) % 40;
                    let sent = [Sent::new(&format!("t{id}"), "api", "alice", MARCH + sender, "{}")];
                    if retry_until_accepted(&writer, organization, &sent).await.duplicates.is_empty() {
                        new.push(id);
                    }
                }
                new
            })
        });
        let mut new = Vec::new();
        for sender in senders.collect::<Vec<_>>() {
            new.extend(sender.await.unwrap());
        }
        new.sort_unstable();
        assert_eq!(new, (0..40).collect::<Vec<_>>());
        assert_eq!(run.store.verify_unique_ids().await.unwrap().ids, 40);
    });
}
