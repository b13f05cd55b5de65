//! Once rows: who holds the mark that an automation speaks of a subject, or to a customer, only once.

use jiff::Timestamp;

use super::digests::DIGESTS;
use super::request::{Item, Written};
use super::rows::{Reader, expiry, row, text, time};
use super::table::TTL;
use super::{Digests, PersonId, Store, StoreError, keys};
use crate::event::SubjectKind;

/// Which mark: `{automation}#{scope}#{id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnceKey {
    pk: String,
    digests: Digests,
}

impl OnceKey {
    /// `once = "order"`: by the entity's key.
    pub fn subject(automation: &str, kind: SubjectKind, entity_key: &str) -> OnceKey {
        OnceKey {
            pk: keys::once(automation, kind.as_str(), entity_key),
            digests: Digests::new(),
        }
    }

    /// `once = "customer"`: by the digest of one identity.
    pub fn customer(automation: &str, person: &PersonId) -> OnceKey {
        OnceKey {
            pk: keys::once(automation, "customer", person.digest()),
            digests: Digests([person.digest().to_owned()].into()),
        }
    }
}

/// Who holds a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Once {
    /// Nobody did; now this event does.
    Taken,
    /// An event of this key did already: its further steps pass. A key may come again when its event is no
    /// longer kept; the mark of the first time is older than the event then.
    HeldByUs {
        /// Since when.
        at: Timestamp,
    },
    /// Another event does.
    HeldBy {
        /// Its key.
        event: String,
        /// Since when.
        at: Timestamp,
    },
}

impl Store {
    /// Takes the mark for an event, after every other check of a claim. `until`: when the mark ends
    /// (`every 7d`); `None`: never.
    ///
    /// # Errors
    /// What DynamoDB reports; then nothing may be sent.
    pub async fn take_once(
        &self,
        key: &OnceKey,
        holder_event: &str,
        until: Option<Timestamp>,
    ) -> Result<Once, StoreError> {
        let now = self.clock.now();
        let mut item = row(&key.pk);
        item.insert("event".to_owned(), text(holder_event));
        item.insert("at".to_owned(), time(now));
        if let Some(until) = until {
            item.insert("until".to_owned(), time(until));
            item.insert(TTL.to_owned(), expiry(until));
        }
        if let Some(digests) = key.digests.attribute() {
            item.insert(DIGESTS.to_owned(), digests);
        }
        let values = Item::from([(":now".to_owned(), time(now))]);
        match self
            .put(item, "attribute_not_exists(#pk) OR #until <= :now", values)
            .await?
        {
            Written::Done(_) => Ok(Once::Taken),
            Written::Refused(None) => Err(StoreError::Conflict("a once mark")),
            Written::Refused(Some(old)) => {
                let (event, at) = decode(&old)?;
                Ok(if event == holder_event {
                    Once::HeldByUs { at }
                } else {
                    Once::HeldBy { event, at }
                })
            }
        }
    }
}

pub(super) fn decode(item: &Item) -> Result<(String, Timestamp), StoreError> {
    let reader = Reader::new(item, "once")?;
    Ok((reader.text("event")?, reader.time("at")?))
}
