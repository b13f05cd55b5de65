//! Entity rows: where an order or checkout stands, as far as waiting jobs are concerned.
//!
//! Webhooks come late, twice and in any order. So a row is a set of registers that only move one way, and
//! recording the same changes in any order, any number of times, leaves the same row:
//!
//! - the state, by (final, `as_of`, rank): something newer, or equally old with a higher rank; a final
//!   state gives way to another final one alone,
//! - the newest event's key, by (`as_of`, key),
//! - when each fact and each undated part was first seen, which is never overwritten,
//! - when the row may go, which is only raised.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::digests::DIGESTS;
use super::event::AFTER_JOB_KEEP_MS;
use super::request::{Item, Update, Written};
use super::rows::{DAY_MS, Reader, SCHEMA_VERSION, later, number, text, time};
use super::table::TTL;
use super::{Digests, Store, StoreError, keys};
use crate::event::{Event, Fact, PARTS_MAX, State, SubjectKind, entity_key};

/// Every fact, for reading rows back.
const FACTS: [Fact; 8] = [
    Fact::Unpaid,
    Fact::Paid,
    Fact::Unfulfilled,
    Fact::Fulfilled,
    Fact::Uncancelled,
    Fact::Cancelled,
    Fact::Unrefunded,
    Fact::Refunded,
];
/// Every state, for reading rows back.
const STATES: [State; 7] = [
    State::Open,
    State::Emptied,
    State::Ordered,
    State::Refunded,
    State::Cancelled,
    State::NoShow,
    State::Requested,
];

/// Before the name of a part: `part_refund/17`.
const PART: &str = "part_";

/// What one event says about one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityChange {
    /// `{connection}/{subject}/{id}`.
    pub key: String,
    /// What it is.
    pub kind: SubjectKind,
    /// Where it stands.
    pub state: State,
    /// The provider's version of it.
    pub as_of: Timestamp,
    /// The event's key; `None` where another subject's event says it (an order ends its checkout).
    pub event: Option<String>,
    /// When it came into being, where the event says so.
    pub created_at: Option<Timestamp>,
    /// What is true of it at `as_of`.
    pub facts: Vec<Fact>,
    /// Its parts that have no date. The first [`PARTS_MAX`] are remembered: more do not fit into one
    /// write, and no source names more.
    pub parts: Vec<String>,
    /// When we saw that.
    pub seen_at: Timestamp,
    /// The subject's last instant, or that of its last job: the row stays for 30 days after it.
    pub keep_until: Timestamp,
    /// Whose it is.
    pub digests: Digests,
}

impl EntityChange {
    /// All that an event says: of its own subject first, then of those that it ends.
    pub fn all(
        event: &Event,
        seen_at: Timestamp,
        keep_until: Timestamp,
        digests: &Digests,
    ) -> Vec<EntityChange> {
        let subject = &event.subject;
        let own = EntityChange {
            key: event.entity_key(),
            kind: subject.kind,
            state: subject.state,
            as_of: subject.as_of,
            event: Some(event.event.id.clone()),
            created_at: Some(subject.created_at),
            facts: subject.facts.clone(),
            parts: subject.parts.clone(),
            seen_at,
            keep_until,
            digests: digests.clone(),
        };
        let ended = subject.ends.iter().map(|link| EntityChange {
            key: entity_key(&event.event.source, link.kind, &link.id),
            kind: link.kind,
            state: State::Ordered,
            event: None,
            created_at: None,
            facts: Vec::new(),
            parts: Vec::new(),
            ..own.clone()
        });
        let ended: Vec<EntityChange> = ended.collect();
        std::iter::once(own).chain(ended).collect()
    }

    /// Sorts states: the greater one holds.
    fn precedence(&self) -> String {
        let rank = match self.state {
            // Below every digit: what is only asked for gives way to whatever is as old.
            State::Requested => '/',
            State::Open => '0',
            State::Emptied => '1',
            State::Ordered => '2',
            State::Refunded => '3',
            State::Cancelled => '4',
            State::NoShow => '5',
        };
        format!(
            "{} {} {rank}",
            u8::from(self.state.is_final(self.kind)),
            sortable(self.as_of)
        )
    }

    /// Sorts events: the greater one is the newest.
    fn newest(&self) -> Option<String> {
        self.event
            .as_ref()
            .map(|event| format!("{} {event}", sortable(self.as_of)))
    }

    fn pk(&self) -> String {
        keys::entity(&self.key)
    }

    /// When the row may go, in seconds: at the end of a day, so that the events of an hour do not each raise
    /// it.
    fn expires_at_s(&self) -> i64 {
        let at = later(self.keep_until.max(self.seen_at), AFTER_JOB_KEEP_MS);
        at.as_millisecond()
            .div_euclid(DAY_MS)
            .saturating_add(1)
            .saturating_mul(DAY_MS / 1000)
    }

    /// Adds one register to an update, under its own condition.
    fn set(&self, register: Register, update: Update) -> Update {
        match register {
            Register::State => self.set_state(update),
            Register::Newest => self.set_newest(update),
            Register::Expiry => self.set_expiry(update),
            Register::Seen => self.set_seen(update),
        }
    }

    /// The state register; `when` guards it.
    fn set_state(&self, update: Update) -> Update {
        update
            .set("state", text(self.state.as_str()))
            .set("as_of", time(self.as_of))
            .set("precedence", text(self.precedence()))
            .when("attribute_not_exists(#precedence) OR #precedence < :precedence")
    }

    /// The register of the newest event.
    fn set_newest(&self, update: Update) -> Update {
        match (&self.event, self.newest()) {
            (Some(event), Some(newest)) => update
                .set("event", text(event))
                .set("newest", text(newest))
                .when("attribute_not_exists(#newest) OR #newest < :newest"),
            _ => update,
        }
    }

    fn set_expiry(&self, update: Update) -> Update {
        update
            .set(TTL, number(self.expires_at_s()))
            .when("attribute_not_exists(#expires_at) OR #expires_at <= :expires_at")
    }

    fn distinct_parts(&self) -> BTreeSet<&String> {
        self.parts.iter().take(PARTS_MAX).collect()
    }

    /// What merges without a condition.
    fn set_seen(&self, mut update: Update) -> Update {
        // DynamoDB refuses an update that names an attribute twice.
        for fact in BTreeSet::from_iter(&self.facts) {
            update = update.set_once(&format!("seen_{}", fact.as_str()), time(self.seen_at));
        }
        for (index, part) in self.distinct_parts().into_iter().enumerate() {
            let attribute = format!("{PART}{part}");
            update = update.set_once_as(&format!("p{index}"), attribute, time(self.seen_at));
        }
        if let Some(created_at) = self.created_at {
            update = update.set_once("created_at", time(created_at));
        }
        match self.digests.attribute() {
            Some(digests) => update.add(DIGESTS, digests),
            None => update,
        }
    }
}

/// Milliseconds that sort as text; everything before 1970 is equally old.
pub(super) fn sortable(at: Timestamp) -> String {
    format!("{:015}", at.as_millisecond().max(0))
}

/// An entity row.
#[derive(Clone, Debug, PartialEq)]
pub struct EntityRow {
    /// `{connection}/{subject}/{id}`.
    pub key: String,
    /// Where it stands.
    pub state: State,
    /// The provider's version of that.
    pub as_of: Timestamp,
    /// The newest event's key; `None` where only other subjects' events spoke of it.
    pub event: Option<String>,
    /// When it came into being, where an event said so.
    pub created_at: Option<Timestamp>,
    /// When each fact was first seen.
    pub seen: BTreeMap<Fact, Timestamp>,
    /// When each part without a date was first seen.
    pub parts: BTreeMap<String, Timestamp>,
    /// When the row may go.
    pub expires_at: Option<Timestamp>,
}

impl Store {
    /// Merges the changes of one event and returns the rows after them, in the same order. The rows are read
    /// first, in one request: a read costs a fifth of a write, a refused write as much as one that takes
    /// place, and of most events most is known. One write a row where something is news.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where a row was deleted meanwhile; what DynamoDB reports. Repeating it is
    /// always safe.
    pub async fn record_entities(
        &self,
        changes: &[EntityChange],
    ) -> Result<Vec<EntityRow>, StoreError> {
        let pks: BTreeSet<String> = changes.iter().map(EntityChange::pk).collect();
        if pks.is_empty() {
            return Ok(Vec::new());
        }
        let mut known = self.get_many(&pks).await?;
        let mut rows = Vec::new();
        for change in changes {
            let item = self.merge(change, known.remove(&change.pk())).await?;
            rows.push(decode(&item)?);
        }
        Ok(rows)
    }

    /// [`Store::record_entities`] of one change.
    ///
    /// # Errors
    /// As there.
    pub async fn record_entity(&self, change: &EntityChange) -> Result<EntityRow, StoreError> {
        let rows = self.record_entities(std::slice::from_ref(change)).await?;
        rows.into_iter()
            .next()
            .ok_or(StoreError::Conflict("an entity"))
    }

    /// Writes what the row does not hold yet: all of it at once, and where somebody else was faster with a
    /// part of it, each register by itself.
    async fn merge(&self, change: &EntityChange, known: Option<Item>) -> Result<Item, StoreError> {
        let first = match &known {
            None => REGISTERS.to_vec(),
            Some(item) => missing(change, item)?,
        };
        if let (Some(item), true) = (&known, first.is_empty()) {
            return Ok(item.clone());
        }
        let set = |update, register: &Register| change.set(*register, update);
        let mut update = first.iter().fold(versioned(), set);
        if known.is_some() {
            update = update.when("attribute_exists(#pk)");
        }
        let mut item = match self.update(&change.pk(), update).await? {
            Written::Done(item) => return Ok(item),
            Written::Refused(old) => old.ok_or(StoreError::Conflict("an entity"))?,
        };
        for register in missing(change, &item)? {
            let update = change
                .set(register, versioned())
                .when("attribute_exists(#pk)");
            item = match self.update(&change.pk(), update).await? {
                Written::Done(item) | Written::Refused(Some(item)) => item,
                Written::Refused(None) => return Err(StoreError::Conflict("an entity")),
            };
        }
        Ok(item)
    }

    /// The entity, read strongly. One that is past its time and not deleted yet is still true.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it cannot be read; what DynamoDB reports.
    pub async fn entity(&self, key: &str) -> Result<Option<EntityRow>, StoreError> {
        self.get(&keys::entity(key))
            .await?
            .as_ref()
            .map(decode)
            .transpose()
    }
}

fn versioned() -> Update {
    Update::new().set("v", number(SCHEMA_VERSION))
}

/// The parts of a row, each of which only moves one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Register {
    State,
    Newest,
    Expiry,
    Seen,
}

const REGISTERS: [Register; 4] = [
    Register::Seen,
    Register::State,
    Register::Newest,
    Register::Expiry,
];

/// The registers of `change` that `old` does not hold yet.
fn missing(change: &EntityChange, old: &Item) -> Result<Vec<Register>, StoreError> {
    let reader = Reader::new(old, "entity")?;
    let below = |name: &str, new: &str| -> Result<bool, StoreError> {
        Ok(reader.text_opt(name)?.is_none_or(|old| old.as_str() < new))
    };
    let mut registers = Vec::new();
    let unseen = |fact: &Fact| !old.contains_key(&format!("seen_{}", fact.as_str()));
    let unknown = |part: &&String| !old.contains_key(&format!("{PART}{part}"));
    let digests = reader.set(DIGESTS)?;
    if change.facts.iter().any(unseen)
        || change.distinct_parts().iter().any(unknown)
        || (change.created_at.is_some() && !old.contains_key("created_at"))
        || !change.digests.0.is_subset(&digests)
    {
        registers.push(Register::Seen);
    }
    if below("precedence", &change.precedence())? {
        registers.push(Register::State);
    }
    if let Some(newest) = change.newest()
        && below("newest", &newest)?
    {
        registers.push(Register::Newest);
    }
    let expires: Option<i64> = reader.number_opt(TTL)?;
    if expires.is_none_or(|seconds| seconds < change.expires_at_s()) {
        registers.push(Register::Expiry);
    }
    Ok(registers)
}

pub(super) fn decode(item: &Item) -> Result<EntityRow, StoreError> {
    let reader = Reader::new(item, "entity")?;
    let word = reader.text("state")?;
    let state = STATES.into_iter().find(|state| state.as_str() == word);
    let mut seen = BTreeMap::new();
    for fact in FACTS {
        if let Some(at) = reader.time_opt(&format!("seen_{}", fact.as_str()))? {
            seen.insert(fact, at);
        }
    }
    let mut parts = BTreeMap::new();
    for (part, _) in reader.prefixed(PART) {
        parts.insert(part.to_owned(), reader.time(&format!("{PART}{part}"))?);
    }
    let expires_at: Option<i64> = reader.number_opt(TTL)?;
    Ok(EntityRow {
        key: reader.key("entity#")?,
        state: state.ok_or_else(|| reader.corrupt("state is unknown"))?,
        as_of: reader.time("as_of")?,
        event: reader.text_opt("event")?,
        created_at: reader.time_opt("created_at")?,
        seen,
        parts,
        expires_at: expires_at.and_then(|seconds| Timestamp::from_second(seconds).ok()),
    })
}
