//! Doing a fault to a system, for as long as it lasts, and putting it right again where nobody else does.

use super::fault::Fault;
use crate::system::System;
use crate::system::member::{Member, Role};
use crate::system::process::signal;
use crate::system::proxy::{Proxy, Weather};
use anyhow::Context;
use nix::sys::signal::Signal;
use std::time::Duration;

impl System {
    /// Does it, for as long as it lasts. `draw` chooses among processes of one role.
    pub(crate) async fn inflict(&mut self, fault: Fault, length: Duration, draw: u64) -> anyhow::Result<()> {
        match fault {
            Fault::Kill(role) => self.kill(role, length, draw).await,
            Fault::Pause(role) => {
                let pid = self.stop(role, draw)?;
                tokio::time::sleep(length).await;
                signal(pid, Signal::SIGCONT)
            }
            Fault::PauseThenKillFront(role) => {
                let pid = self.stop(role, draw)?;
                tokio::time::sleep(length).await;
                self.members
                    .iter_mut()
                    .filter(|member| member.role.takes_events())
                    .try_for_each(|front| front.process.kill())?;
                signal(pid, Signal::SIGCONT)?;
                self.start_what_is_down().await
            }
            Fault::KillTree => {
                self.members.iter_mut().try_for_each(|member| member.process.kill_tree())?;
                self.store.as_mut().map_or(Ok(()), |store| store.engine.kill_tree())?;
                self.start_what_is_down().await
            }
            Fault::Rebalance => self.rebalance(length, draw).await,
            Fault::Store(weather) => {
                let store = self.store.as_ref().context("the event store has no proxy here")?;
                pass_through(std::slice::from_ref(&store.proxy), weather, length).await;
                Ok(())
            }
            Fault::Clients(weather) => {
                pass_through(&self.clients, weather, length).await;
                Ok(())
            }
        }
    }

    async fn kill(&mut self, role: Role, down: Duration, draw: u64) -> anyhow::Result<()> {
        match (role, &mut self.store) {
            (Role::Engine, Some(store)) => {
                store.engine.kill()?;
                tokio::time::sleep(down).await;
                store.start_again().await
            }
            // Its supervisor starts it again.
            (Role::Engine, None) => signal(self.pid(Role::Engine, draw)?, Signal::SIGKILL),
            (Role::Broker, _) => self.brokers.as_ref().context("there are no brokers here")?.kill(draw, down).await,
            _ => {
                self.drawn(role, draw)?.process.kill()?;
                self.start_what_is_down().await
            }
        }
    }

    /// A third aggregator joins, then one of the others leaves in order and comes back, then the third is killed.
    async fn rebalance(&mut self, length: Duration, draw: u64) -> anyhow::Result<()> {
        let third = self.surroundings.member(Role::Aggregator, self.members.len())?;
        tokio::time::sleep(length / 2).await;
        let leaving = &mut self.drawn(Role::Aggregator, draw)?.process;
        leaving.terminate().await?;
        tokio::time::sleep(length / 2).await;
        self.start_what_is_down().await?;
        drop(third);
        Ok(())
    }

    fn drawn(&mut self, role: Role, draw: u64) -> anyhow::Result<&mut Member> {
        let mut candidates: Vec<&mut Member> = self.members.iter_mut().filter(|member| member.role == role).collect();
        anyhow::ensure!(!candidates.is_empty(), "there is no process of {role} here");
        let index = usize::try_from(draw % candidates.len() as u64).unwrap_or(0);
        Ok(candidates.swap_remove(index))
    }

    fn stop(&mut self, role: Role, draw: u64) -> anyhow::Result<u32> {
        if let (Role::Broker, Some(brokers)) = (role, &self.brokers) {
            return brokers.pause(draw);
        }
        let pid = self.pid(role, draw)?;
        signal(pid, Signal::SIGSTOP)?;
        Ok(pid)
    }

    fn pid(&mut self, role: Role, draw: u64) -> anyhow::Result<u32> {
        let pid = match (role, &self.store) {
            (Role::Engine, Some(store)) => store.engine.pid(),
            (Role::Engine, None) => self.members.iter().find_map(|member| member.process.descendant("engine")),
            _ => self.drawn(role, draw)?.process.pid(),
        };
        pid.with_context(|| format!("{role} does not run"))
    }
}

async fn pass_through(proxies: &[Proxy], weather: Weather, length: Duration) {
    proxies.iter().for_each(|proxy| proxy.set(weather));
    tokio::time::sleep(length).await;
    proxies.iter().for_each(|proxy| proxy.set(Weather::Calm));
}
