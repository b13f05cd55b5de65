//! Event rows: dedupe key, queue entry and record at once. The door writes one with a single conditional
//! put; the planner turns `new` into `planned`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::digests::DIGESTS;
use super::request::{Item, Update, Written};
use super::rows::{DAY_MS, Reader, bytes, expired_by, expiry, later, pack, row, text, time};
use super::table::{INDEX_HASH, INDEX_RANGE, LANE, LANE_SEND, TTL};
use super::{Digests, Shown, Store, StoreError, keys};
use crate::event::{Customer, Event, Name, SubjectKind};

/// Largest compressed event, in bytes.
pub const EVENT_BYTES_MAX: usize = 32 * 1024;
/// How long an event stays that no job needs, in milliseconds.
pub(super) const EVENT_KEEP_MS: i64 = 7 * DAY_MS;
/// How long an event stays after its last job's time, and a job after its end, in milliseconds.
pub(super) const AFTER_JOB_KEEP_MS: i64 = 30 * DAY_MS;
/// How long the sweep leaves to the stream what the stream is already on, in milliseconds.
pub(super) const STREAM_HEADSTART_MS: i64 = 90 * 1000;
/// Most characters of an unreadable body's problem that are kept.
const PROBLEM_CHARS_MAX: usize = 500;

/// Whether a put made a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It did.
    New,
    /// There was one already.
    Duplicate,
}

/// Where an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventStatus {
    /// Nobody planned it yet.
    New,
    /// Its jobs are made and its lines say why.
    Planned,
    /// Its body was signed and could not be read.
    Unreadable,
}

impl EventStatus {
    /// The word that rows use.
    pub fn as_str(self) -> &'static str {
        match self {
            EventStatus::New => "new",
            EventStatus::Planned => "planned",
            EventStatus::Unreadable => "unreadable",
        }
    }

    pub(super) fn parse(word: &str) -> Option<EventStatus> {
        [
            EventStatus::New,
            EventStatus::Planned,
            EventStatus::Unreadable,
        ]
        .into_iter()
        .find(|s| s.as_str() == word)
    }
}

/// What one automation said to an event: the answer to "why did nothing happen?".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The automation's name.
    pub automation: String,
    /// It made jobs.
    pub matched: bool,
    /// `when is false (order.total = 0)`, `2 jobs`. No personal data.
    pub why: String,
}

/// What planning found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// One line an automation.
    pub lines: Vec<Line>,
    /// Whose the event is, now that the phone was read.
    pub digests: Digests,
    /// The latest time of its jobs; `None` where there is none.
    pub last_job_at: Option<Timestamp>,
    /// What its contact was against what we had last seen, for its jobs: by then we may have seen more.
    pub contact: Option<Shown>,
}

/// An event row.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    /// The event key.
    pub key: String,
    /// Where it stands.
    pub status: EventStatus,
    /// The event itself; `None` where it could not be read.
    pub event: Option<Event>,
    /// What happened; `None` where it could not be read.
    pub name: Option<Name>,
    /// The connection.
    pub source: String,
    /// When the door stored it.
    pub received_at: Timestamp,
    /// When somebody has to look at it; `None` once planned.
    pub sweep_at: Option<Timestamp>,
    /// Why it was put off, or could not be read.
    pub problem: Option<String>,
    /// One line an automation, once planned.
    pub lines: Vec<Line>,
    /// What its contact was against what we had last seen, once planned.
    pub contact: Option<Shown>,
    /// Whose it is.
    pub digests: Digests,
    /// When it goes.
    pub expires_at: Option<Timestamp>,
}

impl Store {
    /// Stores an event, once: the door's only write. New rows are on the stream's lane, and in the sweep's
    /// index for the case that the stream loses them.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] where even without its free maps it does not fit; what DynamoDB reports.
    pub async fn put_event(&self, event: Event) -> Result<Put, StoreError> {
        let now = self.clock.now();
        let (event, packed) = fit(event)?;
        self.put_new(encode(&event, packed, now), now).await
    }

    /// Records a signed body that could not be read, under its digest: the provider gets a 200, and
    /// `callbell events` shows what was wrong. `problem` names the JSON path and no value.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn put_unreadable(
        &self,
        connection: &str,
        digest: &str,
        problem: &str,
    ) -> Result<Put, StoreError> {
        let now = self.clock.now();
        let mut item = row(&keys::event(&unreadable_key(connection, digest)));
        item.insert("status".to_owned(), text(EventStatus::Unreadable.as_str()));
        item.insert("source".to_owned(), text(connection));
        item.insert("received_at".to_owned(), time(now));
        item.insert(
            "problem".to_owned(),
            text(problem.chars().take(PROBLEM_CHARS_MAX).collect::<String>()),
        );
        item.insert(TTL.to_owned(), expiry(later(now, EVENT_KEEP_MS)));
        self.put_new(item, now).await
    }

    /// Puts a row unless one with its key is there that has not expired.
    pub(super) async fn put_new(&self, item: Item, now: Timestamp) -> Result<Put, StoreError> {
        let condition = "attribute_not_exists(#pk) OR #expires_at <= :now";
        let values = Item::from([(":now".to_owned(), expired_by(now))]);
        match self.put(item, condition, values).await? {
            Written::Done(_) => Ok(Put::New),
            Written::Refused(_) => Ok(Put::Duplicate),
        }
    }

    /// The event, read strongly.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it cannot be read; what DynamoDB reports.
    pub async fn event(&self, key: &str) -> Result<Option<EventRow>, StoreError> {
        self.get(&keys::event(key))
            .await?
            .as_ref()
            .map(decode)
            .transpose()
    }

    /// `new` → `planned`: the last write of planning, after all of its jobs are stored. Somebody else's
    /// having done it is as good.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn finish_planning(&self, key: &str, planned: &Planned) -> Result<(), StoreError> {
        let now = self.clock.now();
        let keep = later(now, EVENT_KEEP_MS);
        let keep = planned
            .last_job_at
            .map_or(keep, |last| keep.max(later(last, AFTER_JOB_KEEP_MS)));
        let lines = serde_json::to_vec(&planned.lines).unwrap_or_default();
        let mut update = Update::new()
            .set("status", text(EventStatus::Planned.as_str()))
            .set("lines", bytes(pack(&lines)))
            .set("planned_at", time(now))
            .set(TTL, expiry(keep))
            .remove("problem")
            .remove(LANE)
            .remove(INDEX_HASH)
            .remove(INDEX_RANGE)
            .when("#status = :new")
            .value("new", text(EventStatus::New.as_str()));
        if let Some(contact) = &planned.contact {
            let json = serde_json::to_vec(contact).unwrap_or_default();
            update = update.set("contact", bytes(pack(&json)));
        }
        if let Some(digests) = planned.digests.attribute() {
            update = update.add(DIGESTS, digests);
        }
        self.update(&keys::event(key), update).await.map(|_| ())
    }

    /// Takes out of an event who it is about, once a request to erase them was carried out: the request itself
    /// must not keep their number.
    ///
    /// # Errors
    /// As [`Store::put_event`].
    pub async fn forget_customer(&self, key: &str, event: &Event) -> Result<(), StoreError> {
        let mut event = event.clone();
        event.customer = Customer::default();
        let (_, packed) = fit(event)?;
        let update = Update::new()
            .set("body", bytes(packed))
            .when("attribute_exists(#pk)");
        self.update(&keys::event(key), update).await.map(|_| ())
    }

    /// Leaves a `new` event for later: nothing was pushed yet, or planning has to go on. It still goes a
    /// week after it came, when it would be too late for everything.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn defer_event(
        &self,
        key: &str,
        until: Timestamp,
        problem: &str,
    ) -> Result<(), StoreError> {
        let update = Update::new()
            .set(INDEX_HASH, text(keys::shard(&keys::event(key))))
            .set(INDEX_RANGE, time(until))
            .set("problem", text(problem))
            .remove(LANE)
            .when("#status = :new")
            .value("new", text(EventStatus::New.as_str()));
        self.update(&keys::event(key), update).await.map(|_| ())
    }

    /// `planned` → `new`: the event is planned again with the automations as they are now. Jobs that it
    /// has stay as they are; only new automations make new ones. `false`: there is no such planned event.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn replan_event(&self, key: &str) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let update = Update::new()
            .set("status", text(EventStatus::New.as_str()))
            .set(LANE, text(LANE_SEND))
            .set(INDEX_HASH, text(keys::shard(&keys::event(key))))
            .set(INDEX_RANGE, time(later(now, STREAM_HEADSTART_MS)))
            .when("#status = :planned AND #expires_at > :now")
            .value("planned", text(EventStatus::Planned.as_str()))
            .value("now", expired_by(now));
        Ok(matches!(
            self.update(&keys::event(key), update).await?,
            Written::Done(_)
        ))
    }
}

/// The event key of a body that could not be read.
pub(super) fn unreadable_key(connection: &str, digest: &str) -> String {
    format!("{connection}/unreadable/{digest}")
}

/// Compresses the event, without its free maps where it is too large with them.
fn fit(mut event: Event) -> Result<(Event, Vec<u8>), StoreError> {
    let mut packed = pack_event(&event)?;
    if packed.len() > EVENT_BYTES_MAX {
        event.clear_free_maps();
        packed = pack_event(&event)?;
    }
    if packed.len() > EVENT_BYTES_MAX {
        return Err(StoreError::TooLarge {
            what: "the event",
            bytes: packed.len(),
            bytes_max: EVENT_BYTES_MAX,
        });
    }
    Ok((event, packed))
}

fn pack_event(event: &Event) -> Result<Vec<u8>, StoreError> {
    let json = serde_json::to_vec(event).map_err(|_| StoreError::Corrupt {
        kind: "event",
        problem: "it cannot be written as JSON".to_owned(),
    })?;
    Ok(pack(&json))
}

/// What the door knows of whose event it is. A request to erase somebody is not itself erased by it.
fn digests(event: &Event) -> Digests {
    if event.event.name.subject() == SubjectKind::Privacy {
        return Digests::new();
    }
    let head = &event.event;
    let mut digests = Digests::new();
    if let Some(account) = &head.account {
        digests = digests.account(&head.kind, account);
    }
    if let Some(id) = &event.customer.id {
        digests = digests.customer(&head.source, id);
    }
    if let Some(email) = &event.customer.email {
        digests = digests.email(email);
    }
    digests
}

fn encode(event: &Event, packed: Vec<u8>, now: Timestamp) -> Item {
    let pk = keys::event(&event.event.id);
    let mut item = row(&pk);
    item.insert("status".to_owned(), text(EventStatus::New.as_str()));
    item.insert("name".to_owned(), text(event.event.name.as_str()));
    item.insert("source".to_owned(), text(&event.event.source));
    item.insert("received_at".to_owned(), time(now));
    item.insert("body".to_owned(), bytes(packed));
    item.insert(LANE.to_owned(), text(LANE_SEND));
    item.insert(INDEX_HASH.to_owned(), text(keys::shard(&pk)));
    item.insert(
        INDEX_RANGE.to_owned(),
        time(later(now, STREAM_HEADSTART_MS)),
    );
    item.insert(TTL.to_owned(), expiry(later(now, EVENT_KEEP_MS)));
    if let Some(digests) = digests(event).attribute() {
        item.insert(DIGESTS.to_owned(), digests);
    }
    item
}

pub(super) fn decode(item: &Item) -> Result<EventRow, StoreError> {
    let reader = Reader::new(item, "event")?;
    let status = EventStatus::parse(&reader.text("status")?)
        .ok_or_else(|| reader.corrupt("status is unknown"))?;
    let event: Option<Event> = match reader.packed_opt("body")? {
        Some(json) => {
            Some(serde_json::from_slice(&json).map_err(|_| reader.corrupt("body is no event"))?)
        }
        None => None,
    };
    if event.is_none() && status != EventStatus::Unreadable {
        return Err(reader.corrupt("body is absent"));
    }
    let lines = match reader.packed_opt("lines")? {
        Some(json) => serde_json::from_slice(&json)
            .map_err(|_| reader.corrupt("lines are no list of lines"))?,
        None => Vec::new(),
    };
    let contact = match reader.packed_opt("contact")? {
        Some(json) => Some(
            serde_json::from_slice(&json).map_err(|_| reader.corrupt("contact cannot be read"))?,
        ),
        None => None,
    };
    let expires_at: Option<i64> = reader.number_opt(TTL)?;
    Ok(EventRow {
        key: reader.key(keys::EVENT)?,
        status,
        name: event.as_ref().map(|event| event.event.name),
        event,
        source: reader.text("source")?,
        received_at: reader.time("received_at")?,
        sweep_at: reader.time_opt(INDEX_RANGE)?,
        problem: reader.text_opt("problem")?,
        lines,
        contact,
        digests: Digests(reader.set(DIGESTS)?),
        expires_at: expires_at.and_then(|seconds| Timestamp::from_second(seconds).ok()),
    })
}
