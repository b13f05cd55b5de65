//! Lead rows: what we last saw of a person in another system, as short digests of its fields, so that an event
//! which shows the whole person tells what changed. No value is kept: a digest of 32 bits tells two values
//! apart and fits too many numbers and addresses to say which one it was of.
//!
//! Of two versions the newer one holds, in whichever order they come. An older one changes nothing here and
//! tells nothing that its source does not say itself. What an event was told is kept for a while, so that
//! planning it twice tells the same.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::digests::DIGESTS;
use super::keys::hash128;
use super::request::{Item, Update, Written};
use super::rows::{DAY_MS, Reader, SCHEMA_VERSION, bytes, expiry, later, number, pack};
use super::table::TTL;
use super::{Digests, Store, StoreError, keys};

/// How long a lead is remembered after we last saw it, in milliseconds: as long as a person is.
const LEAD_KEEP_MS: i64 = 400 * DAY_MS;
/// Most fields that are remembered.
const FIELDS_MAX: usize = 300;
/// Hex digits of a value's digest.
const DIGEST_DIGITS: usize = 8;
/// What stands for a value that was shown blank.
const BLANK: &str = "";
/// The field that counts as changed only where it was shown before, if blank.
pub const PHONE: &str = "phone";
/// The field whose value says that somebody left the list that they were on.
const STAGE: &str = "stage";
/// What it says then.
const LEFT: &str = "unsubscribed";
/// Events whose difference is kept on the row, the newest.
const RECENT_MAX: usize = 20;
/// How often a row is read and written again where somebody else changes it at the same time.
const WRITES_MAX: u32 = 6;

/// A lead as an event shows it.
#[derive(Clone, Copy)]
pub struct LeadSeen<'a> {
    /// `{connection}/lead/{id}`.
    pub key: &'a str,
    /// The event's key.
    pub event: &'a str,
    /// The provider's version of it.
    pub as_of: Timestamp,
    /// Field → value, as the difference names them; `None` where the event shows it blank. What an event does
    /// not show is not in it: some webhooks show a part of a person.
    pub fields: &'a BTreeMap<String, Option<String>>,
    /// Whose it is.
    pub digests: &'a Digests,
}

/// What the row's compressed attribute holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    /// Field → digest of its value.
    fields: BTreeMap<String, String>,
    /// The newest version that was seen, and the event that showed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    shown: Option<(Timestamp, String)>,
    /// What events were told that changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recent: Vec<(String, Vec<String>)>,
}

impl Store {
    /// Remembers the lead as an event shows it, and tells which fields are different from what we had last
    /// seen: none where we never saw it, or saw a newer version. Telling an event twice tells the same.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where others keep changing the row; what DynamoDB reports.
    pub async fn record_lead(&self, seen: LeadSeen<'_>) -> Result<Vec<String>, StoreError> {
        for _ in 0..WRITES_MAX {
            let (version, mut memory) = self.lead_memory(seen.key).await?;
            if let Some(told) = memory.told(seen.event) {
                return Ok(told);
            }
            let changed = memory.see(seen);
            if self.write_lead(seen, version, &memory).await? {
                return Ok(changed);
            }
        }
        Err(StoreError::Conflict("a lead's row"))
    }

    /// What an event was told lately that changed of a lead.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where the row cannot be read; what DynamoDB reports.
    pub async fn lead_told(
        &self,
        key: &str,
        event: &str,
    ) -> Result<Option<Vec<String>>, StoreError> {
        let (_, memory) = self.lead_memory(key).await?;
        Ok(memory.told(event))
    }

    /// The row's version, 0 where there is none, and what it holds.
    async fn lead_memory(&self, key: &str) -> Result<(u64, Memory), StoreError> {
        match self.get(&keys::lead(key)).await? {
            Some(item) => decode(&item),
            None => Ok((0, Memory::default())),
        }
    }

    /// Writes the row over the version that was read; `false`: somebody else did.
    async fn write_lead(
        &self,
        seen: LeadSeen<'_>,
        version: u64,
        memory: &Memory,
    ) -> Result<bool, StoreError> {
        let json = serde_json::to_vec(memory).map_err(|_| StoreError::Corrupt {
            kind: "map",
            problem: "a lead cannot be written as JSON".to_owned(),
        })?;
        let ends = expiry(later(self.clock.now(), LEAD_KEEP_MS));
        let update = Update::new()
            .set("v", number(SCHEMA_VERSION))
            .set("version", number(version.saturating_add(1)))
            .set("lead", bytes(pack(&json)))
            .set(TTL, ends);
        let update = match version {
            0 => update.when("attribute_not_exists(#pk)"),
            _ => update
                .when("#version = :seen_version")
                .value("seen_version", number(version)),
        };
        let update = match seen.digests.attribute() {
            Some(digests) => update.add(DIGESTS, digests),
            None => update,
        };
        let written = self.update(&keys::lead(seen.key), update).await?;
        Ok(matches!(written, Written::Done(_)))
    }
}

impl Memory {
    fn told(&self, event: &str) -> Option<Vec<String>> {
        let mut recent = self.recent.iter();
        let told = recent.find(|(by, _)| by == event);
        told.map(|(_, changed)| changed.clone())
    }

    /// Takes a version in; what it changes.
    fn see(&mut self, seen: LeadSeen<'_>) -> Vec<String> {
        let order = (seen.as_of, seen.event.to_owned());
        let mut changed = Vec::new();
        if self.shown.as_ref().is_none_or(|last| *last <= order) {
            let was_seen = self.shown.is_some();
            let has_left = self.has_left(seen);
            for (name, value) in seen.fields {
                let is_change = self.take_in(name, value.as_deref()) && was_seen;
                // A number that is filled in once somebody left is no reason to write to them.
                if is_change && !(has_left && name == PHONE) {
                    changed.push(name.clone());
                }
            }
            self.shown = Some(order);
        }
        self.recent.push((seen.event.to_owned(), changed.clone()));
        let over = self.recent.len().saturating_sub(RECENT_MAX);
        self.recent.drain(..over);
        changed
    }

    /// Whether, with this version taken in, the last that we know of them is that they left.
    fn has_left(&self, seen: LeadSeen<'_>) -> bool {
        match seen.fields.get(STAGE) {
            Some(Some(stage)) => stage == LEFT,
            _ => self.fields.get(STAGE) == Some(&digest(STAGE, LEFT)),
        }
    }

    /// Takes one field in; whether that is a change. What is blank takes nothing's place: a part of a person
    /// shows much as blank that is not.
    fn take_in(&mut self, name: &str, value: Option<&str>) -> bool {
        let before = self.fields.get(name);
        let Some(value) = value else {
            if before.is_none() && self.fields.len() < FIELDS_MAX {
                self.fields.insert(name.to_owned(), BLANK.to_owned());
            }
            return false;
        };
        let digest = digest(name, value);
        let is_change = match before {
            Some(before) => *before != digest,
            // Nobody is congratulated on a number that they may have had for years.
            None => name != PHONE,
        };
        if before.is_some() || self.fields.len() < FIELDS_MAX {
            self.fields.insert(name.to_owned(), digest);
        }
        is_change
    }
}

fn digest(name: &str, value: &str) -> String {
    let digest = hash128(&format!("{name}={value}"));
    digest.chars().take(DIGEST_DIGITS).collect()
}

fn decode(item: &Item) -> Result<(u64, Memory), StoreError> {
    let reader = Reader::new(item, "map")?;
    let json = reader
        .packed_opt("lead")?
        .ok_or_else(|| reader.corrupt("lead is absent"))?;
    let memory =
        serde_json::from_slice(&json).map_err(|_| reader.corrupt("lead cannot be read"))?;
    Ok((reader.number("version")?, memory))
}
