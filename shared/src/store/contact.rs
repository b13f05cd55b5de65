//! Contact rows: what we last saw of a person in Callbell, so that a webhook which shows the person tells
//! what changed.
//!
//! Callbell dates no change, so webhooks count in the order in which our door took them. One that comes to
//! be planned after a later one changes nothing: the later one showed what it shows. What an event was told
//! is kept for a while, so that planning it twice tells the same.
//!
//! What we are about to write at Callbell ourselves is noted beforehand; the webhook that it causes then shows
//! no change. What did not come true in time is forgotten, so a request that failed hides nothing later.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::digests::DIGESTS;
use super::event::EVENT_KEEP_MS;
use super::request::{Item, Update, Written};
use super::rows::{Reader, SCHEMA_VERSION, bytes, expiry, later, number, pack};
use super::table::TTL;
use super::{Digests, Store, StoreError, keys};
use crate::event::Contact;

/// How long a change of our own is waited for, in milliseconds: Callbell's webhooks follow within seconds,
/// its retries within minutes.
const EXPECTED_KEEP_MS: i64 = 10 * 60 * 1000;
/// Events whose difference is kept on the row, the newest.
const RECENT_MAX: usize = 20;
/// How often a row is read and written again where somebody else changes it at the same time.
const WRITES_MAX: u32 = 6;

/// What is different from what we last saw.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContactDiff {
    /// Fields: `tags`, `fields.Cidade`.
    pub changed: Vec<String>,
    /// Tags that are new.
    pub added_tags: Vec<String>,
    /// Tags that are gone.
    pub removed_tags: Vec<String>,
}

impl fmt::Debug for ContactDiff {
    /// How many: tags and fields are personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContactDiff({})", self.changed.len())
    }
}

/// What an event's contact is against what we last saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// We saw the person for the first time: what changed is not known.
    New,
    /// So much changed; nothing where it is empty.
    Changed(ContactDiff),
}

/// Why an event shows a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Showing {
    /// It came into being.
    Created,
    /// It changed.
    Updated,
    /// The event is about something else. What it shows counts only where we know nothing yet.
    Beside,
}

/// A contact as an event shows it.
#[derive(Clone, Copy)]
pub struct ContactSeen<'a> {
    /// The contact as the source made it.
    pub contact: &'a Contact,
    /// The event's key.
    pub event: &'a str,
    /// When our door took it.
    pub received_at: Timestamp,
    /// Why it shows it.
    pub showing: Showing,
    /// Whose it is.
    pub digests: &'a Digests,
}

/// A contact row.
#[derive(Clone, PartialEq)]
pub struct ContactRow {
    /// Callbell's number of the person.
    pub id: String,
    /// As we last saw it; `None`: we only wrote to it.
    pub contact: Option<Contact>,
    /// The event that showed it.
    pub shown_by: Option<String>,
    /// Rises with every change.
    pub version: u64,
}

impl fmt::Debug for ContactRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContactRow")
            .field("id", &self.id)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// What the row's compressed attribute holds.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<Contact>,
    /// The event of a change that showed it, and when our door took that. An event that showed it beside
    /// something else is none: nothing is late against it.
    #[serde(skip_serializing_if = "Option::is_none")]
    shown: Option<(Timestamp, String)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recent: Vec<(String, Shown)>,
    #[serde(skip_serializing_if = "Expected::is_empty")]
    expected: Expected,
}

/// What we wrote at Callbell and have not seen yet.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Expected {
    /// Until when it is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    /// Field → what it will be.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<String, Value>,
    /// Tags that will be there.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    added_tags: BTreeSet<String>,
    /// Tags that will not be there.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    removed_tags: BTreeSet<String>,
}

impl Store {
    /// Remembers the contact as an event shows it, and tells what that changes. Telling an event twice tells
    /// the same.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where others keep changing the row; what DynamoDB reports.
    pub async fn record_contact(&self, seen: ContactSeen<'_>) -> Result<Shown, StoreError> {
        let id = &seen.contact.id;
        for _ in 0..WRITES_MAX {
            let (version, mut state) = self.contact_state(id).await?;
            let (shown, changed) = state.see(seen, self.clock.now());
            let written = !changed
                || self
                    .write_contact(id, version, &state, seen.digests)
                    .await?;
            if written {
                return Ok(shown);
            }
        }
        Err(StoreError::Conflict("a contact's row"))
    }

    /// Notes what we are about to write at Callbell, before the request leaves: the webhook that it causes
    /// tells no change. `values` in the words of [`Contact`]: `name`, `note`, `assigned_to`, `team`,
    /// `funnel`, `closed_at` (null: open), `tags` (all that will be there), `fields` (those that are written).
    /// A later value of a field takes the place of an earlier one.
    ///
    /// # Errors
    /// As [`Store::record_contact`]; then nothing may be sent.
    pub async fn expect_contact(
        &self,
        id: &str,
        values: &Map<String, Value>,
        digests: &Digests,
    ) -> Result<(), StoreError> {
        for _ in 0..WRITES_MAX {
            let (version, mut state) = self.contact_state(id).await?;
            let before = state.contact.as_ref();
            let tags = before.map(|contact| contact.tags.as_slice());
            let now = self.clock.now();
            state.expected.forget_lapsed(now);
            state.expected.add(values, tags.unwrap_or_default());
            state.expected.until = Some(later(now, EXPECTED_KEEP_MS));
            if self.write_contact(id, version, &state, digests).await? {
                return Ok(());
            }
        }
        Err(StoreError::Conflict("a contact's row"))
    }

    /// [`Store::expect_contact`] of whom a person is given to: a team, a user. Nothing is noted where nobody is
    /// named.
    ///
    /// # Errors
    /// As there.
    pub async fn expect_assignment(
        &self,
        id: &str,
        team: Option<&str>,
        assigned_to: Option<&str>,
        digests: &Digests,
    ) -> Result<(), StoreError> {
        let words = [("team", team), ("assigned_to", assigned_to)];
        let words = words.into_iter().filter_map(|(name, word)| {
            let word = Value::from(word?);
            Some((name.to_owned(), word))
        });
        let values: Map<String, Value> = words.collect();
        if values.is_empty() || id.is_empty() {
            return Ok(());
        }
        self.expect_contact(id, &values, digests).await
    }

    /// A person was deleted from Callbell: what we saw of them, and of the talk with them, goes with the
    /// event that says so. Until then its automations can still name them.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn forget_contact(&self, id: &str) -> Result<(), StoreError> {
        let ends = expiry(later(self.clock.now(), EVENT_KEEP_MS));
        for pk in [keys::contact(id), keys::conversation(id)] {
            let update = Update::new()
                .set(TTL, ends.clone())
                .when("attribute_exists(#pk)");
            self.update(&pk, update).await?;
        }
        Ok(())
    }

    /// What an event's contact was against what we had last seen, where it was told lately: its jobs may come
    /// up before its own row says so.
    ///
    /// # Errors
    /// As [`Store::contact`].
    pub async fn shown_by(&self, id: &str, event: &str) -> Result<Option<Shown>, StoreError> {
        let (_, state) = self.contact_state(id).await?;
        let told = state.recent.into_iter().find(|(by, _)| by == event);
        Ok(told.map(|(_, shown)| shown))
    }

    /// What we last saw of a person, read strongly.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it cannot be read; what DynamoDB reports.
    pub async fn contact(&self, id: &str) -> Result<Option<ContactRow>, StoreError> {
        let Some(item) = self.get(&keys::contact(id)).await? else {
            return Ok(None);
        };
        let (version, state) = decode(&item)?;
        Ok(Some(ContactRow {
            id: id.to_owned(),
            contact: state.contact,
            shown_by: state.shown.map(|(_, event)| event),
            version,
        }))
    }

    /// The row's version, 0 where there is none, and what it holds.
    async fn contact_state(&self, id: &str) -> Result<(u64, State), StoreError> {
        match self.get(&keys::contact(id)).await? {
            Some(item) => decode(&item),
            None => Ok((0, State::default())),
        }
    }

    /// Writes the row over the version that was read; `false`: somebody else did.
    async fn write_contact(
        &self,
        id: &str,
        version: u64,
        state: &State,
        digests: &Digests,
    ) -> Result<bool, StoreError> {
        let json = serde_json::to_vec(state).map_err(|_| StoreError::Corrupt {
            kind: "map",
            problem: "a contact cannot be written as JSON".to_owned(),
        })?;
        let update = Update::new()
            .set("v", number(SCHEMA_VERSION))
            .set("version", number(version.saturating_add(1)))
            .set("contact", bytes(pack(&json)));
        let update = match version {
            0 => update.when("attribute_not_exists(#pk)"),
            _ => update
                .when("#version = :seen_version")
                .value("seen_version", number(version)),
        };
        let update = match digests.attribute() {
            Some(digests) => update.add(DIGESTS, digests),
            None => update,
        };
        Ok(matches!(
            self.update(&keys::contact(id), update).await?,
            Written::Done(_)
        ))
    }
}

impl State {
    /// What the event's contact is against what is here, and whether that changes anything here.
    fn see(&mut self, seen: ContactSeen<'_>, now: Timestamp) -> (Shown, bool) {
        let told = |(event, _): &&(String, Shown)| event == seen.event;
        if let Some((_, shown)) = self.recent.iter().find(told) {
            return (shown.clone(), false);
        }
        let contact = plain(seen.contact);
        match seen.showing {
            Showing::Beside | Showing::Created if self.contact.is_some() => {
                return (Shown::New, false);
            }
            Showing::Beside => {
                self.contact = Some(contact);
                return (Shown::New, true);
            }
            Showing::Created | Showing::Updated => {}
        }
        let order = (seen.received_at, seen.event.to_owned());
        if self.shown.as_ref().is_some_and(|last| order < *last) {
            return (Shown::Changed(ContactDiff::default()), false);
        }
        self.expected.forget_lapsed(now);
        let shown = match self.contact.take() {
            Some(before) => Shown::Changed(self.expected.difference(&before, &contact)),
            None if seen.showing == Showing::Updated && self.expected.came_true(&contact) => {
                self.expected = Expected::default();
                Shown::Changed(ContactDiff::default())
            }
            None => Shown::New,
        };
        self.contact = Some(contact);
        self.shown = Some(order);
        self.recent.push((seen.event.to_owned(), shown.clone()));
        let over = self.recent.len().saturating_sub(RECENT_MAX);
        self.recent.drain(..over);
        (shown, true)
    }
}

impl Expected {
    fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.added_tags.is_empty() && self.removed_tags.is_empty()
    }

    fn forget_lapsed(&mut self, now: Timestamp) {
        if self.until.is_none_or(|until| until <= now) {
            *self = Expected::default();
        }
    }

    /// `tags`: as we last saw them.
    fn add(&mut self, values: &Map<String, Value>, tags: &[String]) {
        for (name, value) in values {
            match (name.as_str(), value) {
                ("tags", Value::Array(all)) => {
                    let all = all.iter().filter_map(Value::as_str).map(str::to_owned);
                    self.add_tags(&all.collect(), tags);
                }
                ("fields", Value::Object(fields)) => {
                    let fields = fields.iter();
                    self.fields
                        .extend(fields.map(|(name, value)| (custom(name), value.clone())));
                }
                _ => {
                    self.fields.insert(name.clone(), value.clone());
                }
            }
        }
    }

    /// What was on its way before stays so, unless this write undoes it.
    fn add_tags(&mut self, all: &BTreeSet<String>, before: &[String]) {
        let new = all.iter().filter(|tag| !before.contains(tag));
        self.added_tags.extend(new.cloned());
        self.added_tags.retain(|tag| all.contains(tag));
        let gone = before.iter().filter(|tag| !all.contains(*tag));
        self.removed_tags.extend(gone.cloned());
        self.removed_tags.retain(|tag| !all.contains(tag));
    }

    /// The difference without what we wrote ourselves; what came true is not waited for any longer.
    fn difference(&mut self, before: &Contact, after: &Contact) -> ContactDiff {
        let mut diff = ContactDiff {
            changed: Vec::new(),
            added_tags: missing_in(&before.tags, &after.tags),
            removed_tags: missing_in(&after.tags, &before.tags),
        };
        diff.added_tags.retain(|tag| !self.added_tags.remove(tag));
        diff.removed_tags
            .retain(|tag| !self.removed_tags.remove(tag));
        let (old, new) = (fields(before), fields(after));
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            let value = new.get(name);
            if same(name, old.get(name), value) {
                continue;
            }
            let foreseen = self.fields.get(name);
            if foreseen.is_some_and(|foreseen| same(name, Some(foreseen), value)) {
                self.fields.remove(name);
            } else {
                diff.changed.push(name.clone());
            }
        }
        if !diff.added_tags.is_empty() || !diff.removed_tags.is_empty() {
            diff.changed.push("tags".to_owned());
            diff.changed.sort();
        }
        diff
    }

    /// Of a person that we never saw: we just wrote to them, and they are as we wrote them.
    fn came_true(&self, contact: &Contact) -> bool {
        let values = fields(contact);
        let has = |tag: &String| contact.tags.contains(tag);
        let mut foreseen = self.fields.iter();
        !self.is_empty()
            && foreseen.all(|(name, value)| same(name, Some(value), values.get(name)))
            && self.added_tags.iter().all(has)
            && !self.removed_tags.iter().any(has)
    }
}

/// Without what the worker fills in, and without addresses that change by themselves.
fn plain(contact: &Contact) -> Contact {
    Contact {
        first_name: String::new(),
        avatar_url: None,
        changed: Vec::new(),
        added_tags: Vec::new(),
        removed_tags: Vec::new(),
        opted_out: false,
        window_open: false,
        ..contact.clone()
    }
}

/// The fields that a difference names, but for tags. Absent ones are not in it.
fn fields(contact: &Contact) -> BTreeMap<String, Value> {
    let text = |value: Option<&String>| {
        let value = value.filter(|value| !value.is_empty())?;
        Some(Value::String(value.clone()))
    };
    let own = [
        ("name", text(Some(&contact.name))),
        ("phone", text(contact.phone.as_ref())),
        ("bsuid", text(contact.bsuid.as_ref())),
        ("email", text(contact.email.as_ref())),
        ("assigned_to", text(contact.assigned_to.as_ref())),
        ("team", text(contact.team.as_ref())),
        ("funnel", text(contact.funnel.as_ref())),
        ("note", text(contact.note.as_ref())),
        ("channel", text(Some(&contact.channel))),
        (
            "closed_at",
            contact.closed_at.map(|at| Value::String(at.to_string())),
        ),
        ("blocked", contact.blocked.then_some(Value::Bool(true))),
    ];
    let own = own
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let custom = contact
        .fields
        .iter()
        .filter(|(_, value)| !is_blank(value))
        .map(|(name, value)| (custom(name), value.clone()));
    own.chain(custom).collect()
}

fn custom(name: &str) -> String {
    format!("fields.{name}")
}

/// What `of` has and `list` has not, each once, in order.
fn missing_in(list: &[String], of: &[String]) -> Vec<String> {
    let missing: BTreeSet<&String> = of.iter().filter(|tag| !list.contains(tag)).collect();
    missing.into_iter().cloned().collect()
}

/// Whether Callbell means the same: it answers some numbers as texts, and what is blank as nothing. When
/// exactly a conversation is closed only it knows.
fn same(name: &str, one: Option<&Value>, other: Option<&Value>) -> bool {
    let (one, other) = (one.unwrap_or(&Value::Null), other.unwrap_or(&Value::Null));
    let plain = |value: &Value| match value {
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    };
    match (is_blank(one), is_blank(other)) {
        (true, true) => true,
        (false, false) => name == "closed_at" || plain(one) == plain(other),
        _ => false,
    }
}

fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

fn decode(item: &Item) -> Result<(u64, State), StoreError> {
    let reader = Reader::new(item, "map")?;
    let json = reader
        .packed_opt("contact")?
        .ok_or_else(|| reader.corrupt("contact is absent"))?;
    let state =
        serde_json::from_slice(&json).map_err(|_| reader.corrupt("contact cannot be read"))?;
    Ok((reader.number("version")?, state))
}
