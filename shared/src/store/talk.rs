//! The chatbot's part of a conversation's row: what was heard and not answered yet, whose turn it is, how
//! often it answered, and whether it handed over. Beside it a row an answer, so that nobody is asked twice
//! for one.
//!
//! A turn is written down before it is spoken: whoever stops in between goes on with the same words, and
//! two bots that talk with each other are counted even where every answer is lost.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use super::digests::DIGESTS;
use super::entity::sortable;
use super::request::{Item, Update, Written};
use super::rows::{
    DAY_MS, Reader, SCHEMA_VERSION, bytes, expired_by, expiry, later, number, pack, row, text, time,
};
use super::table::TTL;
use super::{ConversationRow, Digests, JobId, Owner, Store, StoreError, conversation, keys};

/// How long a conversation's row stays after its last change, in milliseconds.
const TALK_KEEP_MS: i64 = 400 * DAY_MS;
/// How long an answer is kept, in milliseconds: longer than any retry of it.
const ANSWER_KEEP_MS: i64 = DAY_MS;
/// Most messages of one person that wait for an answer; older ones are forgotten.
pub const HEARD_MAX: usize = 50;
/// Before the attributes that hold them.
const HEARD: &str = "heard_";

/// A message of the person's, by its place in the conversation: Callbell dates to the second, so among
/// equals the key decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Heard {
    /// When it was written.
    pub at: Timestamp,
    /// Its event's key.
    pub event: String,
}

impl Heard {
    /// Sorts as texts the way the places do.
    fn place(&self) -> String {
        format!("{} {}", sortable(self.at), self.event)
    }

    fn attribute(&self) -> String {
        format!("{HEARD}{}", keys::hash128(&self.event))
    }

    fn read(place: &str) -> Option<Heard> {
        let (at, event) = place.split_once(' ')?;
        Some(Heard {
            at: Timestamp::from_millisecond(at.parse().ok()?).ok()?,
            event: event.to_owned(),
        })
    }
}

/// How far a conversation was answered, or deliberately not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The last message that it covers.
    pub upto: Heard,
    /// The reply that did so.
    pub job: JobId,
    /// In words: `answered by balcao`.
    pub how: String,
}

/// What is known when a reply comes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Talk {
    /// What webhooks said of the conversation.
    pub conversation: ConversationRow,
    /// What waits for an answer, oldest first.
    pub heard: Vec<Heard>,
    /// The last answer.
    pub answered: Option<Answered>,
    /// Answers up to the last, and when that was given.
    pub turns: Option<(u32, Timestamp)>,
    /// When the chatbot handed over last.
    pub handed_over_at: Option<Timestamp>,
}

/// A turn to be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnTaken {
    /// What it covers, and by whom.
    pub answered: Answered,
    /// The count of answers with this one; `None`: nothing is said.
    pub turns: Option<u32>,
    /// Somebody takes over.
    pub hands_over: bool,
}

impl Store {
    /// Remembers that a message waits for an answer, unless it was covered by one. In any order, any number
    /// of times.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn hear(
        &self,
        contact: &str,
        heard: &Heard,
        digests: &Digests,
    ) -> Result<(), StoreError> {
        let update = self
            .talk_update(digests)
            .set(&heard.attribute(), text(heard.place()))
            .when("attribute_not_exists(#answered) OR #answered < :place")
            .value("place", text(heard.place()));
        let pk = keys::conversation(contact);
        let Written::Done(item) = self.update(&pk, update).await? else {
            return Ok(());
        };
        let all = heard_in(&item)?;
        let surplus = all.len().saturating_sub(HEARD_MAX);
        if surplus > 0 {
            let oldest = all.iter().take(surplus);
            let update = oldest.fold(Update::new(), |update, heard| {
                update.remove(&heard.attribute())
            });
            self.update(&pk, update).await?;
        }
        Ok(())
    }

    /// The conversation, read strongly.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it cannot be read; what DynamoDB reports.
    pub async fn talk(&self, contact: &str) -> Result<Option<Talk>, StoreError> {
        let item = self.get(&keys::conversation(contact)).await?;
        item.as_ref().map(decode).transpose()
    }

    /// Takes the turn for one reply at a time. `None`: another has it.
    ///
    /// # Errors
    /// As [`Store::talk`].
    pub async fn take_talk(
        &self,
        contact: &str,
        owner: &Owner,
        lease_ms: i64,
        digests: &Digests,
    ) -> Result<Option<Talk>, StoreError> {
        let now = self.clock.now();
        let update = self
            .talk_update(digests)
            .set("turn_owner", text(owner.as_str()))
            .set("turn_until", time(later(now, lease_ms)))
            .when(
                "attribute_not_exists(#turn_until) OR #turn_until <= :now OR #turn_owner = :turn_owner",
            )
            .value("now", time(now));
        match self.update(&keys::conversation(contact), update).await? {
            Written::Done(item) => decode(&item).map(Some),
            Written::Refused(_) => Ok(None),
        }
    }

    /// Writes a turn down and gives it back. `false`: the lease had lapsed and somebody else took the turn;
    /// then nothing may be said.
    ///
    /// # Errors
    /// What DynamoDB reports; then nothing may be said.
    pub async fn end_turn(
        &self,
        contact: &str,
        owner: &Owner,
        turn: &TurnTaken,
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let answered = &turn.answered;
        let mut update = Update::new()
            .set("answered", text(answered.upto.place()))
            .set("answered_by", text(answered.job.as_str()))
            .set("answered_how", text(&answered.how))
            .remove("turn_owner")
            .remove("turn_until")
            .when("#turn_owner = :owner")
            .value("owner", text(owner.as_str()));
        if let Some(turns) = turn.turns {
            update = update
                .set("turns", number(turns))
                .set("turned_at", time(now));
        }
        if turn.hands_over {
            update = update.set("handed_over_at", time(now));
        }
        match self.update(&keys::conversation(contact), update).await? {
            Written::Done(_) => Ok(true),
            // The SDK's repetition of what had taken place finds the lease gone, and our own words there.
            Written::Refused(Some(item)) => {
                let found = decode(&item)?.answered;
                Ok(found.as_ref() == Some(answered))
            }
            Written::Refused(None) => Ok(false),
        }
    }

    /// Gives a turn back without having used it.
    ///
    /// # Errors
    /// What DynamoDB reports; the lease lapses by itself.
    pub async fn leave_talk(&self, contact: &str, owner: &Owner) -> Result<(), StoreError> {
        let update = Update::new()
            .remove("turn_owner")
            .remove("turn_until")
            .when("#turn_owner = :owner")
            .value("owner", text(owner.as_str()));
        self.update(&keys::conversation(contact), update)
            .await
            .map(|_| ())
    }

    /// Forgets messages that were answered, or never will be.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn forget_heard(&self, contact: &str, heard: &[Heard]) -> Result<(), StoreError> {
        if heard.is_empty() {
            return Ok(());
        }
        let update = heard
            .iter()
            .fold(Update::new(), |update, heard| {
                update.remove(&heard.attribute())
            })
            .when("attribute_exists(#pk)");
        self.update(&keys::conversation(contact), update)
            .await
            .map(|_| ())
    }

    /// Keeps a reply's answer, unless one is kept already; that one is returned, and is the one to give.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn keep_answer(
        &self,
        job: &JobId,
        answer: &str,
        digests: &Digests,
    ) -> Result<String, StoreError> {
        let now = self.clock.now();
        let mut item = row(&keys::answer(job.as_str()));
        item.insert("answer".to_owned(), bytes(pack(answer.as_bytes())));
        item.insert(TTL.to_owned(), expiry(later(now, ANSWER_KEEP_MS)));
        if let Some(digests) = digests.attribute() {
            item.insert(DIGESTS.to_owned(), digests);
        }
        let values = Item::from([(":now".to_owned(), expired_by(now))]);
        let condition = "attribute_not_exists(#pk) OR #expires_at <= :now";
        match self.put(item, condition, values).await? {
            Written::Done(_) => Ok(answer.to_owned()),
            Written::Refused(Some(item)) => answer_in(&item),
            Written::Refused(None) => Err(StoreError::Conflict("an answer")),
        }
    }

    /// A reply's answer, where one is kept, and whether what it hands over was handed over.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it cannot be read; what DynamoDB reports.
    pub async fn kept_answer(&self, job: &JobId) -> Result<Option<(String, bool)>, StoreError> {
        let now = self.clock.now();
        let Some(item) = self.get(&keys::answer(job.as_str())).await? else {
            return Ok(None);
        };
        // DynamoDB deletes late.
        let ends_s: i64 = Reader::new(&item, "answer")?.number(TTL)?;
        if ends_s <= now.as_second() {
            return Ok(None);
        }
        let handed_over = Reader::new(&item, "answer")?.flag("handed_over");
        answer_in(&item).map(|answer| Some((answer, handed_over)))
    }

    /// What an answer hands over was handed over.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn mark_handed_over(&self, job: &JobId) -> Result<(), StoreError> {
        let update = Update::new()
            .set("handed_over", AttributeValue::Bool(true))
            .when("attribute_exists(#pk)");
        self.update(&keys::answer(job.as_str()), update)
            .await
            .map(|_| ())
    }

    fn talk_update(&self, digests: &Digests) -> Update {
        let update = Update::new()
            .set("v", number(SCHEMA_VERSION))
            .set(TTL, expiry(later(self.clock.now(), TALK_KEEP_MS)));
        match digests.attribute() {
            Some(digests) => update.add(DIGESTS, digests),
            None => update,
        }
    }
}

fn heard_in(item: &Item) -> Result<Vec<Heard>, StoreError> {
    let reader = Reader::new(item, "conversation")?;
    let mut all = Vec::new();
    for (_, value) in reader.prefixed(HEARD) {
        let AttributeValue::S(place) = value else {
            return Err(reader.corrupt("a message that was heard is no text"));
        };
        all.push(
            Heard::read(place)
                .ok_or_else(|| reader.corrupt("a message that was heard has no time"))?,
        );
    }
    all.sort();
    Ok(all)
}

fn answer_in(item: &Item) -> Result<String, StoreError> {
    let reader = Reader::new(item, "answer")?;
    let plain = reader
        .packed_opt("answer")?
        .ok_or_else(|| reader.corrupt("answer is absent"))?;
    String::from_utf8(plain).map_err(|_| reader.corrupt("answer is no text"))
}

fn decode(item: &Item) -> Result<Talk, StoreError> {
    let reader = Reader::new(item, "conversation")?;
    let answered = match (
        reader.text_opt("answered")?,
        reader.text_opt("answered_by")?,
    ) {
        (Some(place), Some(job)) => Some(Answered {
            upto: Heard::read(&place).ok_or_else(|| reader.corrupt("answered has no time"))?,
            job: JobId::parse(&job).ok_or_else(|| reader.corrupt("answered_by is no job"))?,
            how: reader.text_opt("answered_how")?.unwrap_or_default(),
        }),
        _ => None,
    };
    let turns: Option<u32> = reader.number_opt("turns")?;
    Ok(Talk {
        conversation: conversation::decode(item)?,
        heard: heard_in(item)?,
        answered,
        turns: turns.zip(reader.time_opt("turned_at")?),
        handed_over_at: reader.time_opt("handed_over_at")?,
    })
}
