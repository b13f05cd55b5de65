//! Entity rows: where an order, checkout or appointment stands, as far as waiting jobs are concerned.
//!
//! Webhooks come late, twice and in any order. So a row is a set of registers that only move one way, and
//! recording the same changes in any order, any number of times, leaves the same row:
//!
//! - the state, by (final, `as_of`, rank): something newer, or equally old with a higher rank; a final
//!   state gives way to another final one alone,
//! - the newest event's key, by (`as_of`, key), and when an appointment begins and ends by it,
//! - when each fact and each undated part was first seen, which is never overwritten,
//! - when the row may go, which is only raised.
//!
//! Where a provider gives an appointment another id at each move, every id has a row, and the row of a
//! later id names that of the first ([`EntityRow::alias_of`]). Whatever a later id's row holds is merged
//! into the first one's ([`Store::record_moving`]). An id that the booking has left ([`event::released`])
//! says nothing any more: its states give way to those of any other id, however old.
//!
//! [`event::released`]: crate::event::released

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::digests::DIGESTS;
use super::event::AFTER_JOB_KEEP_MS;
use super::request::{Item, Update, Written};
use super::rows::{DAY_MS, Reader, SCHEMA_VERSION, later, number, text, time};
use super::table::TTL;
use super::{Digests, Store, StoreError, keys};
use crate::event::{
    Event, Fact, Name, PARTS_MAX, State, SubjectKind, entity_key, released, released_id,
};

/// From one id of an appointment to an earlier one: most steps that are followed. Moves that are told in
/// their order need one, however many they are.
const HOPS_MAX: usize = 5;
/// Most writes that merge one change into one row, which others change meanwhile.
const WRITES_MAX: usize = 16;
/// Most starts of an appointment that one write names.
const STARTS_MAX: usize = 40;

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
/// Before a start, in seconds: `start_1795348800`.
const START: &str = "start_";

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
    /// The event's key; `None` where another subject's event says it (an order ends its checkout), or
    /// where the event does not show its appointment.
    pub event: Option<String>,
    /// The provider's id that all of this is said of, where a subject can come to another.
    pub holder: Option<String>,
    /// When an appointment begins, by an event that shows it.
    pub start: Option<Timestamp>,
    /// When it ends, likewise.
    pub end: Option<Timestamp>,
    /// `{connection}/{subject}/{first id}`, where this id is a later one.
    pub alias_of: Option<String>,
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
        let is_appointment = subject.kind == SubjectKind::Appointment;
        let shown = event.appointment();
        let end = subject.end.or(shown.map(|shown| shown.end));
        let own = EntityChange {
            key: event.entity_key(),
            kind: subject.kind,
            state: subject.state,
            as_of: subject.as_of,
            event: (!is_appointment || shown.is_some()).then(|| event.event.id.clone()),
            holder: is_appointment.then(|| subject.id.clone()),
            start: shown.map(|shown| shown.start),
            end: shown.map(|shown| shown.end),
            alias_of: None,
            created_at: Some(subject.created_at),
            facts: subject.facts.clone(),
            parts: parts(event),
            seen_at,
            keep_until: end.map_or(keep_until, |end| keep_until.max(end)),
            digests: digests.clone(),
        };
        let ended = subject.ends.iter().map(|link| EntityChange {
            key: entity_key(&event.event.source, link.kind, &link.id),
            kind: link.kind,
            state: State::Ordered,
            event: None,
            holder: None,
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
}

/// The parts that an event names, and the ids that its appointment has left.
fn parts(event: &Event) -> Vec<String> {
    let subject = &event.subject;
    let mut parts = subject.parts.clone();
    if subject.kind == SubjectKind::Appointment {
        if let Some(previous) = &subject.previous_id
            && *previous != subject.id
        {
            parts.insert(0, released(previous));
        }
        if event.event.name == Name::AppointmentReleased {
            parts.insert(0, released(&subject.id));
        }
    }
    parts
}

/// What is to be merged into a row: what an event says, or what another row holds.
struct News {
    state: Option<StateNews>,
    newest: Option<NewestNews>,
    alias_of: Option<String>,
    created_at: Option<Timestamp>,
    facts: BTreeMap<Fact, Timestamp>,
    parts: BTreeMap<String, Timestamp>,
    /// By seconds: as of when the appointment begins then.
    starts: BTreeMap<i64, Timestamp>,
    expires_at_s: i64,
    digests: Digests,
}

/// The state register.
struct StateNews {
    precedence: String,
    state: State,
    as_of: Timestamp,
    holder: Option<String>,
}

/// The register of the newest event.
struct NewestNews {
    newest: String,
    event: String,
    holder: Option<String>,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

impl News {
    fn of(change: &EntityChange) -> News {
        let newest = change.event.clone().zip(change.newest());
        let starts = change
            .start
            .map(|start| (start.as_second(), change.as_of))
            .into_iter();
        let facts = change.facts.iter().map(|fact| (*fact, change.seen_at));
        let parts = change.parts.iter().take(PARTS_MAX);
        News {
            state: Some(StateNews {
                precedence: change.precedence(),
                state: change.state,
                as_of: change.as_of,
                holder: change.holder.clone(),
            }),
            newest: newest.map(|(event, newest)| NewestNews {
                newest,
                event,
                holder: change.holder.clone(),
                start: change.start,
                end: change.end,
            }),
            alias_of: change.alias_of.clone(),
            created_at: change.created_at,
            facts: facts.collect(),
            parts: parts.map(|part| (part.clone(), change.seen_at)).collect(),
            starts: starts.collect(),
            expires_at_s: change.expires_at_s(),
            digests: change.digests.clone(),
        }
    }

    /// All that the row of a later id holds, for that of the first.
    fn from_row(item: &Item) -> Result<News, StoreError> {
        let row = decode(item)?;
        let reader = Reader::new(item, "entity")?;
        let newest = row.event.clone().zip(row.newest.clone());
        let starts = row.starts.iter().rev().take(STARTS_MAX);
        Ok(News {
            state: Some(StateNews {
                precedence: row.precedence.clone(),
                state: row.state,
                as_of: row.as_of,
                holder: row.holder.clone(),
            }),
            newest: newest.map(|(event, newest)| NewestNews {
                newest,
                event,
                holder: row.event_holder.clone(),
                start: row.start,
                end: row.end,
            }),
            alias_of: None,
            created_at: row.created_at,
            facts: row.seen,
            parts: row.parts.into_iter().take(PARTS_MAX).collect(),
            starts: starts
                .map(|(start, as_of)| (start.as_second(), *as_of))
                .collect(),
            expires_at_s: reader.number_opt(TTL)?.unwrap_or_default(),
            digests: Digests(reader.set(DIGESTS)?),
        })
    }

    /// Adds one register to an update, under its own condition. `gone`: the ids that the appointment has
    /// left, as far as the row and these news know.
    fn set(&self, register: Register, gone: &BTreeSet<String>, update: Update) -> Update {
        match register {
            Register::State => self.set_state(gone, update),
            Register::Newest => self.set_newest(gone, update),
            Register::Expiry => update
                .set(TTL, number(self.expires_at_s))
                .when("attribute_not_exists(#expires_at) OR #expires_at <= :expires_at"),
            Register::Seen => self.set_seen(update),
        }
    }

    fn set_state(&self, gone: &BTreeSet<String>, update: Update) -> Update {
        let Some(state) = &self.state else {
            return update;
        };
        let update = update
            .set("state", text(state.state.as_str()))
            .set("as_of", time(state.as_of))
            .set("precedence", text(&state.precedence));
        let update = match &state.holder {
            Some(holder) => update.set("holder", text(holder)),
            None => update,
        };
        guard(update, "precedence", "holder", state.holder.as_ref(), gone)
    }

    /// The register of the newest event; `when` guards it.
    fn set_newest(&self, gone: &BTreeSet<String>, update: Update) -> Update {
        let Some(newest) = &self.newest else {
            return update;
        };
        let mut update = update
            .set("event", text(&newest.event))
            .set("newest", text(&newest.newest));
        if let Some(holder) = &newest.holder {
            update = update
                .set("event_holder", text(holder))
                .set_or_remove("start", newest.start.map(time))
                .set_or_remove("end", newest.end.map(time));
        }
        guard(
            update,
            "newest",
            "event_holder",
            newest.holder.as_ref(),
            gone,
        )
    }

    /// What merges without a condition.
    fn set_seen(&self, mut update: Update) -> Update {
        for (fact, seen_at) in &self.facts {
            update = update.set_once(&format!("seen_{}", fact.as_str()), time(*seen_at));
        }
        for (index, (part, seen_at)) in self.parts.iter().enumerate() {
            let attribute = format!("{PART}{part}");
            update = update.set_once_as(&format!("p{index}"), attribute, time(*seen_at));
        }
        for (index, (start, as_of)) in self.starts.iter().enumerate() {
            let attribute = format!("{START}{start}");
            update = update.set_once_as(&format!("s{index}"), attribute, time(*as_of));
        }
        if let Some(created_at) = self.created_at {
            update = update.set_once("created_at", time(created_at));
        }
        if let Some(first) = &self.alias_of {
            update = update.set_once("alias_of", text(first));
        }
        match self.digests.attribute() {
            Some(digests) => update.add(DIGESTS, digests),
            None => update,
        }
    }
}

/// The condition of a register: the greater one holds, but one of an id that the appointment has left
/// holds against its like alone. What somebody else learned of ids meanwhile refuses the write, which is
/// then tried anew.
fn guard(
    update: Update,
    register: &str,
    holder_of: &str,
    holder: Option<&String>,
    gone: &BTreeSet<String>,
) -> Update {
    let newer = format!("#{register} < :{register}");
    let none = format!("attribute_not_exists(#{register})");
    let Some(holder) = holder else {
        return update.when(format!("{none} OR {newer}"));
    };
    let names: Vec<String> = (0..gone.len())
        .map(|index| format!(":gone{index}"))
        .collect();
    let mut update = update;
    for (name, id) in names.iter().zip(gone) {
        update = update.value(name.trim_start_matches(':'), text(id));
    }
    let left = format!("#{holder_of} IN ({})", names.join(", "));
    if gone.contains(holder) {
        return update.when(format!("{none} OR ({newer} AND {left})"));
    }
    let update = update
        .alias(
            &format!("left_{register}"),
            format!("{PART}{}", released(holder)),
        )
        .when(format!("attribute_not_exists(#left_{register})"));
    if gone.is_empty() {
        update.when(format!("{none} OR {newer}"))
    } else {
        update.when(format!("{none} OR {newer} OR {left}"))
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
    /// Sorts states: the greater one holds.
    pub precedence: String,
    /// The provider's id that the state is of.
    pub holder: Option<String>,
    /// The key of the newest event, of appointments the newest that showed it; `None` where only other
    /// subjects' events spoke of it.
    pub event: Option<String>,
    /// Sorts events: the greater one is the newest.
    pub newest: Option<String>,
    /// The provider's id that the newest event is of.
    pub event_holder: Option<String>,
    /// When the appointment begins, by its newest event.
    pub start: Option<Timestamp>,
    /// When it ends.
    pub end: Option<Timestamp>,
    /// Every start that it ever had, and as of when.
    pub starts: BTreeMap<Timestamp, Timestamp>,
    /// The key of the subject's first id, where this is the row of a later one.
    pub alias_of: Option<String>,
    /// When it came into being, where an event said so.
    pub created_at: Option<Timestamp>,
    /// When each fact was first seen.
    pub seen: BTreeMap<Fact, Timestamp>,
    /// When each part without a date was first seen.
    pub parts: BTreeMap<String, Timestamp>,
    /// When the row may go.
    pub expires_at: Option<Timestamp>,
}

impl EntityRow {
    /// A row of which nothing more is known than where its subject stands.
    pub fn new(key: &str, state: State, as_of: Timestamp) -> EntityRow {
        EntityRow {
            key: key.to_owned(),
            state,
            as_of,
            precedence: String::new(),
            holder: None,
            event: None,
            newest: None,
            event_holder: None,
            start: None,
            end: None,
            starts: BTreeMap::new(),
            alias_of: None,
            created_at: None,
            seen: BTreeMap::new(),
            parts: BTreeMap::new(),
            expires_at: None,
        }
    }

    /// Whether the appointment has left this id.
    pub fn has_left(&self, id: &str) -> bool {
        self.parts.contains_key(&released(id))
    }

    /// Whether the appointment goes on under an id of which nothing is known yet.
    pub fn is_on_the_move(&self) -> bool {
        self.holder.as_deref().is_some_and(|id| self.has_left(id))
    }

    /// When the appointment began before the version of `as_of`, which begins at `start`.
    pub fn previous_start(&self, as_of: Timestamp, start: Timestamp) -> Option<Timestamp> {
        let before =
            |(other, since): &(&Timestamp, &Timestamp)| **other != start && **since < as_of;
        let last = self.starts.iter().filter(before);
        last.max_by_key(|(_, since)| **since)
            .map(|(start, _)| *start)
    }

    /// Adds what the row of another id of the same subject holds. The key stays.
    fn absorb(&mut self, other: EntityRow) {
        self.parts.extend(other.parts);
        self.seen.extend(other.seen);
        self.starts.extend(other.starts);
        self.created_at = self.created_at.or(other.created_at);
        self.expires_at = self.expires_at.max(other.expires_at);
        let stays = |id: Option<&String>, row: &EntityRow| !id.is_some_and(|id| row.has_left(id));
        let theirs = (stays(other.holder.as_ref(), self), &other.precedence);
        if theirs > (stays(self.holder.as_ref(), self), &self.precedence) {
            self.state = other.state;
            self.as_of = other.as_of;
            self.precedence = other.precedence;
            self.holder = other.holder;
        }
        let theirs = (stays(other.event_holder.as_ref(), self), &other.newest);
        let greater = theirs > (stays(self.event_holder.as_ref(), self), &self.newest);
        if other.newest.is_some() && (greater || self.newest.is_none()) {
            self.event = other.event;
            self.newest = other.newest;
            self.event_holder = other.event_holder;
            self.start = other.start;
            self.end = other.end;
        }
    }

    /// What a chain of rows says together, each an alias of the next: the row of the last.
    fn over(mut chain: Vec<EntityRow>) -> Option<EntityRow> {
        let mut first = chain.pop()?;
        for row in chain {
            first.absorb(row);
        }
        Some(first)
    }
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
            let known = known.remove(&change.pk());
            let item = self.merge(&change.pk(), &News::of(change), known).await?;
            rows.push(decode(&item)?);
        }
        Ok(rows)
    }

    /// Merges what an event says of an appointment whose ids change: into the row of its own id, which
    /// then names the first one's as far as it is known, and from there into the first one's. `previous`:
    /// `{connection}/{subject}/{id}` of the id before, where the event names it. What was recorded under
    /// the own id before anybody knew of the move goes along.
    ///
    /// Returns what all rows on the way hold together, under the first id's key. Whichever of two events
    /// is recorded first, and if both are at once, it ends in the same.
    ///
    /// # Errors
    /// As [`Store::record_entities`].
    pub async fn record_moving(
        &self,
        change: &EntityChange,
        previous: Option<&str>,
    ) -> Result<EntityRow, StoreError> {
        let mut change = change.clone();
        if let Some(previous) = previous {
            let keys = self.chain_keys(previous).await?;
            if !keys.contains(&change.key) {
                change.alias_of = keys.last().cloned();
            }
        }
        let known = self.get(&change.pk()).await?;
        let mut item = self.merge(&change.pk(), &News::of(&change), known).await?;
        let mut chain = vec![decode(&item)?];
        while let Some(next) = onwards(&chain) {
            let pk = keys::entity(&next);
            let known = self.get(&pk).await?;
            item = self.merge(&pk, &News::from_row(&item)?, known).await?;
            chain.push(decode(&item)?);
        }
        EntityRow::over(chain).ok_or(StoreError::Conflict("an entity"))
    }

    /// What is known of an appointment by any of its ids: the rows from `key` to the first id's, read
    /// strongly one after the other, as one row under the key of the last.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where one cannot be read; what DynamoDB reports.
    pub async fn entity_by_any_id(&self, key: &str) -> Result<Option<EntityRow>, StoreError> {
        Ok(EntityRow::over(self.chain(key).await?))
    }

    /// The keys from `key` to the first id's, which need not have rows.
    async fn chain_keys(&self, key: &str) -> Result<Vec<String>, StoreError> {
        let rows = self.chain(key).await?;
        let end = onwards(&rows);
        let mut keys: Vec<String> = rows.into_iter().map(|row| row.key).collect();
        keys.extend(end);
        if keys.is_empty() {
            keys.push(key.to_owned());
        }
        Ok(keys)
    }

    /// The rows from `key` to the first id's, as far as there are any.
    async fn chain(&self, key: &str) -> Result<Vec<EntityRow>, StoreError> {
        let mut chain = Vec::new();
        let mut next = Some(key.to_owned());
        while let Some(key) = next {
            let Some(row) = self.entity(&key).await? else {
                break;
            };
            chain.push(row);
            next = onwards(&chain);
        }
        Ok(chain)
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
    async fn merge(&self, pk: &str, news: &News, known: Option<Item>) -> Result<Item, StoreError> {
        let exists = "attribute_exists(#pk)";
        let mut known = known;
        for turn in 0..WRITES_MAX {
            let (mut registers, gone) = match &known {
                None => (REGISTERS.to_vec(), news.gone(None)),
                Some(item) => (missing(news, item)?, news.gone(Some(item))),
            };
            if let (Some(item), true) = (&known, registers.is_empty()) {
                return Ok(item.clone());
            }
            if turn > 0 {
                registers.truncate(1);
            }
            let set = |update, register: &Register| news.set(*register, &gone, update);
            let mut update = registers.iter().fold(versioned(), set);
            if known.is_some() {
                update = update.when(exists);
            }
            known = match self.update(pk, update).await? {
                Written::Done(item) if turn == 0 => return Ok(item),
                Written::Done(item) => Some(item),
                Written::Refused(old) => Some(old.ok_or(StoreError::Conflict("an entity"))?),
            };
        }
        Err(StoreError::Conflict("an entity"))
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

/// What a row is made of, each of which only moves one way.
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

impl News {
    /// The ids that the appointment has left, as far as these news and the row know.
    fn gone(&self, item: Option<&Item>) -> BTreeSet<String> {
        let mine = self.parts.keys().filter_map(|part| released_id(part));
        let known = item.into_iter().flat_map(Item::keys);
        let known = known.filter_map(|name| released_id(name.strip_prefix(PART)?));
        mine.chain(known).map(str::to_owned).collect()
    }
}

/// The registers of `news` that `old` does not hold yet.
fn missing(news: &News, old: &Item) -> Result<Vec<Register>, StoreError> {
    let reader = Reader::new(old, "entity")?;
    let gone = news.gone(Some(old));
    // As [`guard`] has it.
    let holds = |register: &str, holder_of: &str, new: &str, holder: Option<&String>| {
        let old = reader.text_opt(register)?;
        let old_holder = reader.text_opt(holder_of)?;
        let stays = |holder: Option<&String>| !holder.is_some_and(|id| gone.contains(id));
        let (theirs, ours) = (stays(old_holder.as_ref()), stays(holder));
        Ok::<bool, StoreError>(match old {
            None => false,
            Some(old) => (theirs, old.as_str()) >= (ours, new),
        })
    };
    let mut registers = Vec::new();
    let lacks = |prefix: &str, name: &str| !old.contains_key(&format!("{prefix}{name}"));
    let digests = reader.set(DIGESTS)?;
    if news.facts.keys().any(|fact| lacks("seen_", fact.as_str()))
        || news.parts.keys().any(|part| lacks(PART, part))
        || news
            .starts
            .keys()
            .any(|start| lacks(START, &start.to_string()))
        || (news.created_at.is_some() && !old.contains_key("created_at"))
        || (news.alias_of.is_some() && !old.contains_key("alias_of"))
        || !news.digests.0.is_subset(&digests)
    {
        registers.push(Register::Seen);
    }
    if let Some(state) = &news.state
        && !holds(
            "precedence",
            "holder",
            &state.precedence,
            state.holder.as_ref(),
        )?
    {
        registers.push(Register::State);
    }
    if let Some(newest) = &news.newest
        && !holds(
            "newest",
            "event_holder",
            &newest.newest,
            newest.holder.as_ref(),
        )?
    {
        registers.push(Register::Newest);
    }
    let expires: Option<i64> = reader.number_opt(TTL)?;
    if expires.is_none_or(|seconds| seconds < news.expires_at_s) {
        registers.push(Register::Expiry);
    }
    Ok(registers)
}

/// Where the last row of a chain leads, unless that was there already or is too far.
fn onwards(chain: &[EntityRow]) -> Option<String> {
    let next = chain.last()?.alias_of.clone()?;
    let known = chain.iter().any(|row| row.key == next);
    (!known && chain.len() <= HOPS_MAX).then_some(next)
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
    let mut starts = BTreeMap::new();
    for (start, _) in reader.prefixed(START) {
        let seconds = start.parse().ok();
        let at = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
        let at = at.ok_or_else(|| reader.corrupt("start is no instant"))?;
        starts.insert(at, reader.time(&format!("{START}{start}"))?);
    }
    let expires_at: Option<i64> = reader.number_opt(TTL)?;
    Ok(EntityRow {
        key: reader.key("entity#")?,
        state: state.ok_or_else(|| reader.corrupt("state is unknown"))?,
        as_of: reader.time("as_of")?,
        precedence: reader.text_opt("precedence")?.unwrap_or_default(),
        holder: reader.text_opt("holder")?,
        event: reader.text_opt("event")?,
        newest: reader.text_opt("newest")?,
        event_holder: reader.text_opt("event_holder")?,
        start: reader.time_opt("start")?,
        end: reader.time_opt("end")?,
        starts,
        alias_of: reader.text_opt("alias_of")?,
        created_at: reader.time_opt("created_at")?,
        seen,
        parts,
        expires_at: expires_at.and_then(|seconds| Timestamp::from_second(seconds).ok()),
    })
}
