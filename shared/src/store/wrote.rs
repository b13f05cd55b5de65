//! Rows of what we wrote in another system ourselves, and when: the webhooks that it causes are no news, or an
//! action would start itself. Noted before the request leaves, under whom it is about, because a webhook may
//! come before the answer that names the record; afterwards under the record's id as well.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::digests::DIGESTS;
use super::request::Item;
use super::rows::{Reader, bytes, expiry, later, pack, row};
use super::table::TTL;
use super::{Digests, PersonId, Store, StoreError, keys};

/// How long a write is remembered, in milliseconds: webhooks follow within seconds, retries within minutes.
pub const WROTE_KEEP_MS: i64 = 10 * 60 * 1000;
/// Writes that one row remembers, the newest.
const WRITES_MAX: usize = 10;

/// One write of ours at another system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnWrite {
    /// Before its first request left.
    pub from: Timestamp,
    /// After its last answer came; `None`: nobody knows yet, or ever, whether it took place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// It made the record.
    #[serde(default)]
    pub created: bool,
    /// How many of our own actions led to it.
    #[serde(default)]
    pub depth: u8,
    /// Digests of the phone numbers and addresses that it knew.
    #[serde(default)]
    pub persons: Vec<String>,
}

impl OwnWrite {
    /// One that begins now.
    pub fn begun(from: Timestamp, depth: u8, persons: &[PersonId]) -> OwnWrite {
        let persons = persons.iter().map(|person| person.digest().to_owned());
        OwnWrite {
            from,
            to: None,
            created: false,
            depth,
            persons: persons.collect(),
        }
    }
}

/// What a write is found by.
#[derive(Clone, Copy)]
pub enum WroteTo<'a> {
    /// The record's id there.
    Record(&'a str),
    /// Whose record it is.
    Person(&'a PersonId),
}

impl WroteTo<'_> {
    fn pk(&self, system: &str) -> String {
        match self {
            WroteTo::Record(id) => keys::wrote(system, "record", id),
            WroteTo::Person(person) => keys::wrote(system, "person", person.digest()),
        }
    }
}

impl Store {
    /// Notes a write under each of `to`, in place of what was noted when it began. `system`: `hubspot`.
    ///
    /// # Errors
    /// What DynamoDB reports; before the request, then nothing may be sent.
    pub async fn note_write(
        &self,
        system: &str,
        to: &[WroteTo<'_>],
        write: &OwnWrite,
        digests: &Digests,
    ) -> Result<(), StoreError> {
        for one in to {
            let pk = one.pk(system);
            let mut writes = self.writes(&pk).await?;
            writes.retain(|other| other.from != write.from);
            writes.push(write.clone());
            let over = writes.len().saturating_sub(WRITES_MAX);
            writes.drain(..over);
            self.put_writes(&pk, &writes, digests).await?;
        }
        Ok(())
    }

    /// Takes back what was noted of a write that did not take place.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn forget_write(
        &self,
        system: &str,
        to: &[WroteTo<'_>],
        write: &OwnWrite,
        digests: &Digests,
    ) -> Result<(), StoreError> {
        for one in to {
            let pk = one.pk(system);
            let mut writes = self.writes(&pk).await?;
            writes.retain(|other| other.from != write.from);
            self.put_writes(&pk, &writes, digests).await?;
        }
        Ok(())
    }

    async fn writes(&self, pk: &str) -> Result<Vec<OwnWrite>, StoreError> {
        let mut writes = match self.get(pk).await? {
            Some(item) => decode(&item)?,
            None => Vec::new(),
        };
        writes.retain(|write| self.is_remembered(write));
        Ok(writes)
    }

    /// Two jobs of one person's record take turns by its lease, so nobody writes in between.
    async fn put_writes(
        &self,
        pk: &str,
        writes: &[OwnWrite],
        digests: &Digests,
    ) -> Result<(), StoreError> {
        let json = serde_json::to_vec(writes).unwrap_or_default();
        let mut item = row(pk);
        item.insert("writes".to_owned(), bytes(pack(&json)));
        let ends = later(self.clock.now(), WROTE_KEEP_MS);
        item.insert(TTL.to_owned(), expiry(ends));
        if let Some(digests) = digests.attribute() {
            item.insert(DIGESTS.to_owned(), digests);
        }
        self.put(item, "", Item::new()).await.map(|_| ())
    }

    /// What we wrote there lately, under any of `to`, the newest last.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where a row cannot be read; what DynamoDB reports.
    pub async fn own_writes(
        &self,
        system: &str,
        to: &[WroteTo<'_>],
    ) -> Result<Vec<OwnWrite>, StoreError> {
        let pks = to.iter().map(|one| one.pk(system)).collect();
        let mut writes = Vec::new();
        for item in self.get_many(&pks).await?.values() {
            writes.extend(decode(item)?);
        }
        writes.retain(|write| self.is_remembered(write));
        writes.sort_by_key(|write| write.from);
        Ok(writes)
    }

    fn is_remembered(&self, write: &OwnWrite) -> bool {
        let age = self.clock.now().duration_since(write.from);
        age <= SignedDuration::from_millis(WROTE_KEEP_MS)
    }
}

fn decode(item: &Item) -> Result<Vec<OwnWrite>, StoreError> {
    let reader = Reader::new(item, "map")?;
    let json = reader
        .packed_opt("writes")?
        .ok_or_else(|| reader.corrupt("writes is absent"))?;
    serde_json::from_slice(&json).map_err(|_| reader.corrupt("writes cannot be read"))
}
