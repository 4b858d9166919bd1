//! Partitions come and go; the store goes and comes.
//!
//! What was read and is not stored stays in memory through an outage and is judged anew when the store is back: what did get
//! in is found in the id table at its own position. Rebalances are answered all the while.

use super::claims::{self, Claim};
use super::group::Group;
use super::recovery::{self, Taker};
use super::session::Session;
use super::task::WriterTask;
use crate::direct::WriterState;
use crate::error::StoreError;
use crate::writing::commit::joined;
use crate::writing::decode::DecodedRecord;
use crate::writing::lane::{fence_off, within};
use event_log::consumer::{Delivery, Handover};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Pauses between two attempts to reach a store that failed: doubled each time, give or take a quarter.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A hundred million ids are loaded in ten seconds.
const TAKE_OVER_WITHIN: Duration = Duration::from_secs(300);
/// The brokers wait with a rebalance for as long as this, then the inserts under way are somebody else's to find.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(10);
/// For the brokers to take or tell offsets.
const BROKERS_WITHIN: Duration = Duration::from_secs(5);
/// Between two moves of the floors: a recovery looks at this much of the past.
const MOVE_FLOORS_EVERY: Duration = Duration::from_secs(10);

impl WriterTask {
    /// The group gave us partitions.
    pub(super) async fn take_over(&mut self, partitions: Vec<u16>) -> Result<(), StoreError> {
        tracing::info!(?partitions, "partitions of the log assigned");
        self.assigned.extend(partitions);
        self.shared.note_work();
        self.take_over_missing().await?;
        self.note_ready();
        Ok(())
    }

    fn note_ready(&mut self) {
        self.shared.set_state(WriterState::Ready);
        self.shared.note_stored(&self.owned);
        self.shared.note_progress(!(self.under_way.is_empty() && self.group.is_empty() && self.backlog.is_empty()));
    }

    /// Recovers whatever is assigned and not owned.
    async fn take_over_missing(&mut self) -> Result<(), StoreError> {
        let missing: Vec<u16> = self.assigned.iter().copied().filter(|one| !self.owned.contains_key(one)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let asked = self.log.offsets().committed(&missing, BROKERS_WITHIN).await;
        let mut reads_from =
            asked.map_err(|error| StoreError::Engine(format!("committed offsets not told: {error}")))?;
        for partition in missing {
            reads_from.entry(partition).or_insert(0);
        }
        self.take_over_from(reads_from).await
    }

    async fn take_over_from(&mut self, reads_from: BTreeMap<u16, u64>) -> Result<(), StoreError> {
        let session = match &mut self.session {
            Some(session) => session,
            none => {
                let opened = Session::open(&self.connection, self.log.heard()).await?;
                self.former_sessions.push(opened.id);
                none.insert(opened)
            }
        };
        let taker = Taker {
            epoch: self.epoch,
            partitions: self.partitions,
            session: session.id,
            former: self.former_sessions.clone(),
        };
        let lane = session.lane.clone();
        let taken = recovery::take_over(&lane, &taker, &mut self.owned, &reads_from, self.config.recent_ids);
        within(TAKE_OVER_WITHIN, "taking over partitions", taken).await
    }

    /// The group takes partitions away: what was read of them is stored and committed first, if that can be had soon.
    pub(super) async fn hand_over(&mut self, partitions: Vec<u16>, handover: Handover) -> Result<(), StoreError> {
        tracing::info!(?partitions, "handing over partitions of the log");
        self.send();
        let flushed = tokio::time::timeout(HAND_OVER_WITHIN, self.finish_all()).await;
        let outcome = match flushed {
            Ok(Ok(())) => {
                self.offsets.settle(BROKERS_WITHIN).await;
                self.release(&partitions).await;
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                tracing::warn!("inserts are still under way; the next owner will wait for them");
                Ok(())
            }
        };
        self.forget(&partitions);
        drop(handover);
        outcome
    }

    async fn finish_all(&mut self) -> Result<(), StoreError> {
        while let Some(oldest) = self.under_way.front_mut() {
            let result = joined((&mut oldest.commit).await);
            self.finish(result).await?;
        }
        Ok(())
    }

    /// Says in the store that these partitions are not ours any more. Unsaid, the next owner fences this session off, which
    /// costs a recovery and nothing else.
    async fn release(&self, partitions: &[u16]) {
        let Some(session) = &self.session else { return };
        let released = |(partition, claim): (u16, Claim)| (partition, Claim { step: claim.step + 2, ..claim });
        let claims = partitions.iter().filter_map(|partition| Some((*partition, self.owned.get(partition)?)));
        let claims = claims.map(|(partition, owned)| (partition, owned.moved_claim().unwrap_or(owned.claim)));
        let claims = claims.map(released).collect();
        if let Err(error) = claims::write(&self.connection, (self.epoch, session.id), &claims, true).await {
            tracing::warn!(%error, "partitions were handed over without saying so in the store");
        }
    }

    fn forget(&mut self, partitions: &[u16]) {
        for partition in partitions {
            self.assigned.remove(partition);
            self.owned.remove(partition);
        }
        let kept = |record: &Arc<DecodedRecord>| !partitions.contains(&record.partition);
        self.backlog.retain(kept);
        self.unstored.retain(kept);
        self.offsets.forget(partitions);
        self.shared.note_stored(&self.owned);
    }

    /// Something failed: everything not known to be stored is kept, and taken up again when the store is in order.
    pub(super) async fn recover(&mut self, error: StoreError) {
        tracing::error!(%error, "the event store failed; nothing is lost, recovering");
        metrics::counter!("tollgate_store_failures_total").increment(1);
        self.shared.set_state(WriterState::NotReady(format!("the event store failed: {error}")));
        self.gather_unstored().await;
        self.session = None;
        let mut pause = FIRST_PAUSE;
        while !self.closing {
            match self.start_over().await {
                Ok(()) => {
                    tracing::info!("the event store is usable again");
                    return self.note_ready();
                }
                Err(error) => tracing::error!(%error, "the event store is still not usable"),
            }
            self.session = None;
            self.pause(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Puts everything that is read and not stored back in front, in order.
    async fn gather_unstored(&mut self) {
        while let Some(mut oldest) = self.under_way.pop_front() {
            // It cannot get further than the one before it, which failed.
            let _ = joined((&mut oldest.commit).await);
            self.unstored.extend(oldest.records);
        }
        let group = std::mem::replace(&mut self.group, Group::new(0));
        self.group.number = group.number;
        self.unstored.extend(group.records);
        for record in self.unstored.drain(..).rev() {
            self.backlog.push_front(record);
        }
        let assigned = &self.assigned;
        self.backlog.retain(|record| assigned.contains(&record.partition));
    }

    /// A new session, in which every assigned partition is taken over anew.
    async fn start_over(&mut self) -> Result<(), StoreError> {
        let known = self.owned.iter().map(|(partition, owned)| (*partition, owned.stored_below)).collect();
        self.take_over_from(known).await?;
        self.take_over_missing().await?;
        // Sessions that never got as far as a claim are known to nobody else.
        let current = self.session.as_ref().map(|session| session.id);
        for former in std::mem::take(&mut self.former_sessions) {
            if Some(former) == current {
                self.former_sessions.push(former);
            } else {
                fence_off(&self.connection, former).await?;
            }
        }
        Ok(())
    }

    /// Waits, give or take a quarter, and hears of rebalances meanwhile.
    async fn pause(&mut self, length: Duration) {
        let quarter = length / 4;
        // Any spread will do: it keeps many writers from asking a store that comes back all at once. A byte fits a u32.
        let dice = u32::try_from(uuid::Uuid::new_v4().as_u128() & 0xff).unwrap_or(0);
        let until = Instant::now() + length - quarter + quarter * dice / 128;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                change = self.log.next_change() => match change {
                    Some(Delivery::Assigned(partitions)) => self.assigned.extend(partitions),
                    Some(Delivery::Revoked(partitions, handover)) => {
                        self.forget(&partitions);
                        drop(handover);
                    }
                    // Records are not asked for.
                    Some(Delivery::Record(_)) => {}
                    None => self.closing = true,
                },
                done = self.close_requests.recv() => self.begin_close(done),
            }
            if self.closing {
                return;
            }
        }
    }

    /// Moves the floors of recovery to what is stored, now and then.
    pub(super) async fn move_floors_when_due(&mut self) {
        let Some(session) = self.session.as_ref().filter(|_| self.floors_moved_at.elapsed() >= MOVE_FLOORS_EVERY)
        else {
            return;
        };
        self.floors_moved_at = Instant::now();
        let moved = |(partition, owned): (&u16, &super::partition::Owned)| Some((*partition, owned.moved_claim()?));
        let claims: BTreeMap<u16, Claim> = self.owned.iter().filter_map(moved).collect();
        match claims::write(&self.connection, (self.epoch, session.id), &claims, false).await {
            Ok(()) => {
                for (partition, claim) in claims {
                    if let Some(owned) = self.owned.get_mut(&partition) {
                        owned.claim = claim;
                    }
                }
            }
            // The old floors stand: the next recovery looks further back.
            Err(error) => tracing::warn!(%error, "the floors of recovery were not moved"),
        }
    }

    /// The end: everything is stored, or the store is away and it will be read again.
    pub(super) async fn leave(&mut self) {
        if self.session.is_none() {
            return;
        }
        self.offsets.settle(BROKERS_WITHIN).await;
        let partitions: Vec<u16> = self.owned.keys().copied().collect();
        self.release(&partitions).await;
        if let Some(session) = self.session.take() {
            let dropped = within(BROKERS_WITHIN, "closing the gate", fence_off(&self.connection, session.id)).await;
            if let Err(error) = dropped {
                tracing::warn!(%error, "this writer's gate was left behind; the next one removes it");
            }
        }
    }
}
