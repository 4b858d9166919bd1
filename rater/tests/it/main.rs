//! Rating on a real engine, through the real writer.

#![allow(clippy::unwrap_used)]

#[path = "../../src/fixtures.rs"]
#[allow(dead_code)]
mod fixtures;
mod golden;
mod naive;
mod rating;
mod store;
mod view {
    //! Where the shared fixtures look for it.
    pub use rater::RatingView;
}
