//! Conversation rows: one a person in Callbell. What webhooks said of the talk with them: who wrote last, who
//! is assigned, when it was opened and closed.
//!
//! Every fact is kept by when it happened, so webhooks may come in any order and any number of times.

use jiff::{SignedDuration, Timestamp};

use super::digests::DIGESTS;
use super::entity::sortable;
use super::request::{Item, Update};
use super::rows::{DAY_MS, Reader, SCHEMA_VERSION, expiry, later, number, text, time};
use super::table::TTL;
use super::{Digests, Store, StoreError, keys};

/// How long a conversation's row stays after its last change, in milliseconds.
const CONVERSATION_KEEP_MS: i64 = 400 * DAY_MS;

/// Who is assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// When we saw it.
    pub at: Timestamp,
    /// The user's e-mail address; `None`: nobody.
    pub to: Option<String>,
}

/// The last time that the conversation was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// When.
    pub at: Timestamp,
    /// Who was assigned then: Callbell leaves them assigned, and they are not at it any more.
    pub assigned: Option<String>,
}

/// What is to be remembered of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConversationMark {
    /// A team member wrote then.
    pub human_at: Option<Timestamp>,
    /// Who was assigned then.
    pub assigned: Option<Assigned>,
    /// It was opened then.
    pub opened_at: Option<Timestamp>,
    /// It was closed then.
    pub closed: Option<Closed>,
    /// Whose it is.
    pub digests: Digests,
}

/// A conversation row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationRow {
    /// The person's number in Callbell.
    pub contact: String,
    /// When a team member wrote last.
    pub human_at: Option<Timestamp>,
    /// Who is assigned, as far as we saw.
    pub assigned: Option<Assigned>,
    /// When it was opened last.
    pub opened_at: Option<Timestamp>,
    /// When it was closed last.
    pub closed: Option<Closed>,
}

impl ConversationRow {
    /// Whether people have the conversation in hand: a team member wrote within `quiet`, or somebody is
    /// assigned. Closing it ends both.
    pub fn is_human(&self, now: Timestamp, quiet: SignedDuration) -> bool {
        let closed_at = self.closed.as_ref().map(|closed| closed.at);
        let after_closing = |at: Timestamp| closed_at.is_none_or(|closed_at| at > closed_at);
        let wrote = self
            .human_at
            .is_some_and(|at| after_closing(at) && now.duration_since(at) < quiet);
        wrote || self.is_assigned()
    }

    /// Whether somebody is assigned who was not left over from before the conversation was closed.
    pub fn is_assigned(&self) -> bool {
        let Some(Assigned { at, to: Some(to) }) = &self.assigned else {
            return false;
        };
        let Some(closed) = &self.closed else {
            return true;
        };
        let wrote_since = self.human_at.is_some_and(|human| human > closed.at);
        *at > closed.at && (wrote_since || closed.assigned.as_ref() != Some(to))
    }
}

impl Store {
    /// Remembers what is later than what is known. One write a fact; in any order, any number of times.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn record_conversation(
        &self,
        contact: &str,
        mark: &ConversationMark,
    ) -> Result<(), StoreError> {
        let who = |name: Option<&String>| name.map(String::as_str).unwrap_or_default().to_owned();
        let dated = |at: Timestamp, name: String| text(format!("{} {name}", sortable(at)));
        let facts = [
            ("human_at", mark.human_at.map(time)),
            (
                "assigned",
                mark.assigned
                    .as_ref()
                    .map(|assigned| dated(assigned.at, who(assigned.to.as_ref()))),
            ),
            ("opened_at", mark.opened_at.map(time)),
            (
                "closed",
                mark.closed
                    .as_ref()
                    .map(|closed| dated(closed.at, who(closed.assigned.as_ref()))),
            ),
        ];
        for (attribute, value) in facts {
            let Some(value) = value else { continue };
            let update = Update::new()
                .set("v", number(SCHEMA_VERSION))
                .set(TTL, expiry(later(self.clock.now(), CONVERSATION_KEEP_MS)))
                .set(attribute, value)
                .when(format!(
                    "attribute_not_exists(#{attribute}) OR #{attribute} < :{attribute}"
                ));
            let update = match mark.digests.attribute() {
                Some(digests) => update.add(DIGESTS, digests),
                None => update,
            };
            self.update(&keys::conversation(contact), update).await?;
        }
        Ok(())
    }

    /// The conversation with a person in Callbell, read strongly.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it cannot be read; what DynamoDB reports.
    pub async fn conversation(&self, contact: &str) -> Result<Option<ConversationRow>, StoreError> {
        self.get(&keys::conversation(contact))
            .await?
            .as_ref()
            .map(decode)
            .transpose()
    }
}

/// `001773057600000 ana@example.com` → the time and who; nobody where nothing follows.
fn dated(value: &str) -> Option<(Timestamp, Option<String>)> {
    let (at, who) = value.split_once(' ')?;
    let at = Timestamp::from_millisecond(at.parse().ok()?).ok()?;
    Some((at, (!who.is_empty()).then(|| who.to_owned())))
}

pub(super) fn decode(item: &Item) -> Result<ConversationRow, StoreError> {
    let reader = Reader::new(item, "conversation")?;
    let fact = |name: &str| match reader.text_opt(name)? {
        Some(value) => dated(&value)
            .map(Some)
            .ok_or_else(|| reader.corrupt(format!("{name} has no time"))),
        None => Ok(None),
    };
    Ok(ConversationRow {
        contact: reader.key(keys::CONVERSATION)?,
        human_at: reader.time_opt("human_at")?,
        assigned: fact("assigned")?.map(|(at, to)| Assigned { at, to }),
        opened_at: reader.time_opt("opened_at")?,
        closed: fact("closed")?.map(|(at, assigned)| Closed { at, assigned }),
    })
}
