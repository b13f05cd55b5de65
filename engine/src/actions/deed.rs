//! What an action on another system than a person's phone is: one request or a few, to one API, that may be
//! repeated. One file each beside this one; `delivery` decides when.
//!
//! All of them are idempotent by nature or by their key, so an answer that was lost is no reason to ask
//! anybody: the same is done again.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;
use shared::secrets::Secret;

use crate::apis::{Apis, Reply, Unanswered};
use crate::automations::model::MatchBy;
use crate::callbell::CallError;

/// What was done: the record was made.
pub const CREATED: &str = "created";
/// What was done: nothing, the record was as it shall be.
pub const UNCHANGED: &str = "unchanged";

/// What one attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// It is there now; the id at the other system, where it has one that finds it again.
    Done {
        /// `1234`, for our own memory of it.
        id: Option<String>,
        /// Nothing had to be changed, or what was done in a word: `created`, `updated`, `unchanged`.
        what: &'static str,
    },
    /// Nothing was done, and nothing will: with the reason, without personal data.
    Skipped(String),
}

/// Why an attempt did not come to its end, by what to do next. No reason repeats what was sent or answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// The system does not answer, or is out of order: again later, which spends an attempt.
    #[error("{0}")]
    Unavailable(String),
    /// The system wants to be asked less often: again later, which spends none.
    #[error("{why}")]
    Limited {
        /// What it said.
        why: String,
        /// When it wants to be asked again, where it says so.
        retry_after: Option<Duration>,
    },
    /// The system refuses the secret, or there is none: everything that goes there waits for a person.
    #[error("{0}")]
    Refused(String),
    /// The system refuses what was sent: for good.
    #[error("{0}")]
    Rejected(String),
}

impl ActError {
    /// What an answer that is no success means with most systems. `system`: `HubSpot`. `said`: the stable
    /// code or field name of the answer, where it has one that repeats nothing of what was sent.
    pub fn of(system: &str, reply: &Reply, said: Option<&str>) -> ActError {
        let said = said.map(|said| format!(": {said}")).unwrap_or_default();
        let why = format!("{system} {}{said}", reply.status);
        match reply.status {
            401 | 403 => ActError::Refused(why),
            429 => ActError::Limited {
                why,
                retry_after: reply.retry_after,
            },
            408 | 423 | 425 | 500.. => match reply.retry_after {
                Some(_) => ActError::Limited {
                    why,
                    retry_after: reply.retry_after,
                },
                None => ActError::Unavailable(why),
            },
            _ => ActError::Rejected(why),
        }
    }
}

impl From<Unanswered> for ActError {
    fn from(error: Unanswered) -> Self {
        match error {
            Unanswered::Malformed | Unanswered::NotPublic => ActError::Rejected(error.to_string()),
            Unanswered::NotConnected | Unanswered::NoAnswer | Unanswered::TooLarge => {
                ActError::Unavailable(error.to_string())
            }
        }
    }
}

impl From<CallError> for ActError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unavailable(_) | CallError::Unreadable(_) => {
                ActError::Unavailable(error.to_string())
            }
            CallError::Limited { retry_after } => ActError::Limited {
                why: error.to_string(),
                retry_after,
            },
            CallError::Held(_) => ActError::Refused(error.to_string()),
            CallError::Refused { .. } => ActError::Rejected(error.to_string()),
        }
    }
}

/// What every attempt is given of the world. The secret's values are tried in order where one is refused.
#[derive(Clone, Copy)]
pub struct Desk<'a> {
    /// The systems' addresses.
    pub apis: &'a Apis,
    /// The values of the action's API secret; never empty.
    pub secrets: &'a [Secret],
    /// Access tokens that this process fetched.
    pub tokens: &'a super::tokens::Tokens,
    /// The job's number: an idempotency key where the system takes one.
    pub job: &'a str,
    /// Now.
    pub now: jiff::Timestamp,
}

/// A person's record that shall be there, in one of the systems of `[hubspot.x]` … `[intercom.x]`.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// The id that we remember from last time.
    pub id: Option<&'a str>,
    /// What finds the record where we remember none, in order.
    pub match_by: &'a [MatchBy],
    /// E.164.
    pub phone: Option<&'a str>,
    /// The e-mail address.
    pub email: Option<&'a str>,
    /// The whole name: some systems insist on one.
    pub name: Option<&'a str>,
    /// Their field → value; none of them blank. Texts, numbers, booleans, lists of texts.
    pub fields: &'a BTreeMap<String, Value>,
    /// Added to those there.
    pub tags: &'a [String],
    /// Makes a record that is not there.
    pub create: bool,
    /// Changes one that is.
    pub update: bool,
    /// Mailchimp: the audience's id.
    pub list: Option<&'a str>,
    /// Mailchimp.
    pub status_if_new: &'a str,
    /// Salesforce: `Contact`, `Lead`.
    pub object: &'a str,
    /// Zendesk.
    pub verified: bool,
}

/// A system that keeps records of people: one file each.
pub trait System: Sync {
    /// Makes or changes the record, once.
    fn upsert<'a>(
        &'a self,
        desk: Desk<'a>,
        wanted: Wanted<'a>,
    ) -> BoxFuture<'a, Result<Done, ActError>>;
}
