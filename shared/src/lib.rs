//! What every function of callbell-serverless needs: the door, the sources, the events, the store.
//!
//! No HTTP client, no template engine, no phone metadata: what only workers need lives in `engine`, so
//! that a door starts in milliseconds and cannot be slowed by what a user configures.

pub mod clock;
pub mod connections;
pub mod door;
pub mod env;
pub mod event;
pub mod keys;
pub mod payload;
pub mod raw;
pub mod secrets;
pub mod slug;
pub mod sources;
pub mod store;
pub mod telemetry;
