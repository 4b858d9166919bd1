//! The event log on Kafka: its topics, records of many lines going in, positions coming out.
//!
//! A record holds up to 256 KiB of lines ([`domain::log_line`]) of any organizations; its partition is a hash of
//! (organization, transaction_id), so that all copies of an id meet in one partition, in order, and no busy customer is a
//! hot key. One event per record costs about ten times as much.
//!
//! - [`settings`]: how to reach the brokers, and which timeouts must fit into which
//! - [`topic`]: creates or verifies the topic; a wrong one is an error that says what to change
//! - [`producer`]: lines in, acknowledgements out (I1: answered only when the brokers hold every record)
//! - [`intake`]: the producer as a gateway uses it; [`progress`]: is it fit to be asked; [`recent_ids`]: known duplicates
//! - [`consumer`]: records out, with their positions; rebalances
//! - [`testing`]: a real broker for tests
//! - [`partitioning`]: which partition an id belongs to, for ever
//!
//! An empty record holds no lines; growing ([`topic::grow`]) may leave some.
//!
//! It refuses to judge events and to retry what a client must decide about: a record that failed may have been kept.

mod complaints;
pub mod consumer;
pub mod intake;
pub mod partitioning;
pub mod producer;
mod progress;
mod recent_ids;
pub mod settings;
pub mod testing;
pub mod topic;
