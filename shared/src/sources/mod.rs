//! One file a provider: how it signs, how its JSON is read, what it wants to be answered.
//!
//! A source knows no automation and no database, does no I/O and reads no clock.

use jiff::Timestamp;

use crate::connections::Connection;
use crate::event::{Event, Name};
use crate::raw::{Raw, Verified};
use crate::secrets::Secret;

/// A provider.
pub trait Source: Sync {
    /// The provider's name: `shopify`. Also the name of a connection that has no table.
    fn kind(&self) -> &'static str;

    /// The events that it can make; `callbell check` compares automations with it.
    fn events(&self) -> &'static [Name];

    /// Paths that `phone_from` may name, besides those with a prefix of free keys (`meta.`).
    fn phone_paths(&self) -> &'static [&'static str];

    /// Answers what is no event and carries no signature: pings, validations by GET or HEAD. Asked
    /// before secrets and configuration are needed. `None`: go on.
    fn handshake(&self, raw: &Raw) -> Option<Answer>;

    /// Checks the provider's signature over the bytes, in constant time, against every active secret.
    ///
    /// # Errors
    /// The reason for the one log line.
    fn verify(&self, raw: Raw, secrets: &[Secret], now: Timestamp) -> Result<Verified, Refusal>;

    /// Reads the signed bytes. A foreign topic is an empty list.
    ///
    /// # Errors
    /// The JSON path that could not be read.
    fn read(
        &self,
        verified: &Verified,
        connection: &Connection,
        now: Timestamp,
    ) -> Result<Vec<Event>, Unreadable>;

    /// What a signed body that cannot be read gets.
    fn on_unreadable(&self) -> OnUnreadable;
}

/// What a signed body that cannot be read gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnreadable {
    /// 400 naming the JSON path.
    BadRequest,
    /// 200 and an `unreadable` event record: this provider deletes subscriptions that answer 4xx.
    Record,
}

/// An answer that a source dictates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON or text body.
    pub body: String,
}

/// Why a request was not believed. The door answers 401 and logs it once, without the body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The signature's header is absent, or there more than once.
    #[error("no {0} header")]
    NoSignature(&'static str),
    /// The signature's header is not in the provider's form.
    #[error("malformed {0} header")]
    Malformed(&'static str),
    /// No secret made this signature.
    #[error("matches none of {secrets} secret(s)")]
    NoMatch {
        /// How many were tried.
        secrets: usize,
    },
    /// The signature is too old or from the future.
    #[error("{seconds} s stale")]
    Stale {
        /// How far from now.
        seconds: i64,
    },
    /// A header contradicts the signed body.
    #[error("{0} contradicts the signed body")]
    Contradiction(&'static str),
}

/// A signed body that does not say what it has to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct Unreadable {
    /// The JSON path: `line_items[2].price`.
    pub path: String,
    /// What was expected there. No value from the body.
    pub problem: String,
}
