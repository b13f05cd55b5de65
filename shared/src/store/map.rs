//! Map rows of records elsewhere: which record of a CRM is which of our people, so that a second event finds
//! what the first one made, whatever was changed there meanwhile. One lease a row: two jobs for one person in
//! one system do not both create.
//!
//! The row has no expiry, because the record has none; an erasure finds it by its digests.

use std::fmt;

use super::digests::DIGESTS;
use super::request::{Item, Update, Written};
use super::rows::{Reader, SCHEMA_VERSION, later, number, text, time};
use super::{Digests, Owner, PersonId, Store, StoreError, keys};

/// A person's record in one place of one system.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordKey {
    pk: String,
}

impl RecordKey {
    /// `system`: `hubspot`. `place`: the object or list, where one person may have a record in several.
    pub fn new(system: &str, place: Option<&str>, person: &PersonId) -> RecordKey {
        let place = place.filter(|place| !place.is_empty()).unwrap_or("-");
        RecordKey {
            pk: keys::record(system, place, person.digest()),
        }
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordKey([REDACTED])")
    }
}

/// What became of taking a record's lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leased {
    /// It is ours until it lapses.
    Leased {
        /// The record's id there, where it was found or made before.
        id: Option<String>,
    },
    /// Somebody else is at it.
    Busy,
}

impl Store {
    /// Takes the lease of a person's record. `digests`: whose it is, for an erasure.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where the row cannot be read; what DynamoDB reports.
    pub async fn lease_record(
        &self,
        key: &RecordKey,
        owner: &Owner,
        lease_ms: i64,
        digests: &Digests,
    ) -> Result<Leased, StoreError> {
        let now = self.clock.now();
        let mut update = Update::new()
            .set("v", number(SCHEMA_VERSION))
            .set("owner", text(owner.as_str()))
            .set("lease_until", time(later(now, lease_ms)))
            // My own retry finds its first attempt.
            .when("attribute_not_exists(#lease_until) OR #lease_until <= :now OR #owner = :owner")
            .value("now", time(now));
        if let Some(digests) = digests.attribute() {
            update = update.add(DIGESTS, digests);
        }
        match self.update(&key.pk, update).await? {
            Written::Done(item) => Ok(Leased::Leased { id: decode(&item)? }),
            Written::Refused(_) => Ok(Leased::Busy),
        }
    }

    /// Gives the lease back, and remembers the record's id, where it is known now. `false`: the lease was
    /// somebody else's by then, and nothing is written.
    ///
    /// # Errors
    /// What DynamoDB reports; the lease lapses.
    pub async fn finish_record(
        &self,
        key: &RecordKey,
        owner: &Owner,
        id: Option<&str>,
    ) -> Result<bool, StoreError> {
        let mut update = Update::new()
            .remove("owner")
            .remove("lease_until")
            .when("#owner = :owner")
            .value("owner", text(owner.as_str()));
        if let Some(id) = id {
            update = update.set("id", text(id));
        }
        let written = self.update(&key.pk, update).await?;
        Ok(matches!(written, Written::Done(_)))
    }
}

/// The record's id.
pub(super) fn decode(item: &Item) -> Result<Option<String>, StoreError> {
    Reader::new(item, "map")?.text_opt("id")
}
