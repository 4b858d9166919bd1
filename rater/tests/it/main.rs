//! Rating on a real engine, through the real writer.

#![allow(clippy::unwrap_used)]

mod advance;
mod against_plain_loops;
mod api;
mod bad_input;
#[path = "../../src/fixtures.rs"]
#[allow(dead_code)]
mod fixtures;
mod golden;
mod history;
mod imagined;
mod late;
mod naive;
mod naive_prices;
mod rating;
mod store;
mod target_wallets;
mod view {
    //! Where the shared fixtures look for it.
    pub use rater::RatingView;
}
