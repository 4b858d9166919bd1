//! The log into the store, on a real broker and a real engine.

mod bench;

mod crashes;
mod exactly_once;
mod following;
mod named;
mod ownership;
mod zombie;
