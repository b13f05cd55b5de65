//! The table: the only place that speaks DynamoDB.
//!
//! One table with the partition key `pk` alone. What a row is, its prefix says (`keys`); how it is written
//! and read, the file of its kind. Every change of a job's status names the state that it comes from and
//! raises `version`; every write is one conditional request, so that two workers on one row need no lock
//! and a crash between any two writes leaves a row that the minute's sweep finds.

mod around;
pub mod client;
mod config;
mod contact;
mod conversation;
mod cursor;
mod digests;
mod entity;
mod erase;
mod event;
mod hold;
mod job;
mod keys;
mod lead;
mod list;
mod mailbox;
mod map;
mod missed;
mod once;
mod person;
mod public_keys;
mod rate;
mod request;
mod rows;
mod sweep;
mod table;
mod talk;
mod wrote;

use std::fmt;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::clock::Clock;

pub use around::{Around, AroundKeys};
pub use config::{CONFIG_BYTES_MAX, CONFIG_VERSIONS_KEPT, ConfigRow};
pub use contact::{ContactDiff, ContactRow, ContactSeen, Showing, Shown};
pub use conversation::{Assigned, Closed, ConversationMark, ConversationRow};
pub use cursor::{Channel, CursorRow, Synced};
pub use digests::Digests;
pub use entity::{EntityChange, EntityRow};
pub use erase::{Erased, Erasure};
pub use event::{EVENT_BYTES_MAX, EventRow, EventStatus, Line, Planned, Put};
pub use hold::{HoldRow, Pause};
pub use job::{
    Changed, Claim, ClaimRequest, Delivery, End, Ended, Finished, JobId, JobRow, LEASE_MS, NewJob,
    News, Owner, Settle, Status, is_reply,
};
pub use lead::{LeadSeen, PHONE};
pub use list::{EventFilter, JobFilter, Page};
pub use mailbox::{MailboxRow, NewMailbox};
pub use map::{Leased, RecordKey};
pub use missed::MissedRow;
pub use once::{Once, OnceKey};
pub use person::{LastSent, Mark, OptMark, PersonId, PersonMark, PersonRow, Wrote};
pub use public_keys::KeysRow;
pub use rate::{RATE_LEASE_MAX, RateLease};
pub use sweep::{RowKey, SHARDS, Waiting};
pub use table::{INDEX, INDEX_HASH, INDEX_RANGE, KEY, LANE, LANE_CHAT, LANE_SEND, TTL};
pub use talk::{Answered, HEARD_MAX, Heard, Talk, TurnTaken};
pub use wrote::{OwnWrite, WROTE_KEEP_MS, WroteTo};

/// The table. Cheap to clone; clones share one HTTP client.
#[derive(Clone)]
pub struct Store {
    client: aws_sdk_dynamodb::Client,
    table: String,
    clock: Clock,
}

impl Store {
    /// The store over one table. Every `now` in it comes from `clock`.
    pub fn new(client: aws_sdk_dynamodb::Client, table: impl Into<String>, clock: Clock) -> Store {
        Store {
            client,
            table: table.into(),
            clock,
        }
    }

    /// Where `now` comes from.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

/// Why the store did not do what it was asked, by what the caller does next. None of them holds data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// DynamoDB did not answer, or not in time, or is throttling: answer 503, or leave it to the sweep.
    /// A write may have taken place.
    #[error("DynamoDB is unavailable: {0}")]
    Unavailable(String),
    /// DynamoDB refused the request as such (no table, no permission, malformed): trying again does not
    /// help before something was mended.
    #[error("DynamoDB refused: {0}")]
    Refused(String),
    /// A row cannot be read: written by a newer version, or by hand. Leave it alone and say so.
    #[error("a row of kind {kind} cannot be read: {problem}")]
    Corrupt {
        /// Which kind of row.
        kind: &'static str,
        /// Which attribute, without its value.
        problem: String,
    },
    /// What was to be stored is larger than its limit.
    #[error("{what} has {bytes} bytes compressed, more than {bytes_max}")]
    TooLarge {
        /// What it was.
        what: &'static str,
        /// How large it is, compressed.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Somebody else changed the same thing at the same time: read it again.
    #[error("{0} was changed by somebody else at the same time")]
    Conflict(&'static str),
    /// There is no such row.
    #[error("there is no {0}")]
    Missing(String),
}

impl StoreError {
    /// Whether the same request can succeed later without anybody mending anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, StoreError::Unavailable(_) | StoreError::Conflict(_))
    }
}

/// Errors of DynamoDB that stay until somebody mends something.
const LASTING: [&str; 6] = [
    "AccessDeniedException",
    "ResourceNotFoundException",
    "SerializationException",
    "UnrecognizedClientException",
    "ValidationException",
    "InvalidSignatureException",
];

/// Sorts what the SDK reports.
fn failed<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> StoreError {
    let lasting = match error {
        SdkError::ServiceError(service) => service
            .err()
            .code()
            .is_some_and(|code| LASTING.contains(&code)),
        SdkError::ConstructionFailure(_) => true,
        _ => false,
    };
    let reason = client::reason(error);
    if lasting {
        StoreError::Refused(reason)
    } else {
        StoreError::Unavailable(reason)
    }
}
