//! The worker.
mod backoff;
pub use backoff::Random;
