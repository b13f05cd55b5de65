//! Person rows: one an identity of a person (phone, e-mail, the channel's own id), by its digest. What they
//! did last that some `stop_on` names, which automation spoke to them last, until when the 24-hour window is
//! open.

use std::collections::BTreeMap;
use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use super::digests::DIGESTS;
use super::entity::sortable;
use super::request::{Item, Update};
use super::rows::{DAY_MS, Reader, SCHEMA_VERSION, expiry, later, number, text, time};
use super::table::TTL;
use super::{Digests, Store, StoreError, keys};
use crate::event::Name;

/// How long a person's row stays after its last change, in milliseconds.
const PERSON_KEEP_MS: i64 = 400 * DAY_MS;

/// One identity of a person. Only its digest is kept.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonId(String);

impl PersonId {
    /// A phone number, as `phone::identity` folds it.
    pub fn phone(identity: &str) -> PersonId {
        PersonId::only(Digests::new().phone(identity))
    }

    /// An e-mail address.
    pub fn email(address: &str) -> PersonId {
        PersonId::only(Digests::new().email(address))
    }

    /// A person at WhatsApp who hides the number, by the bsuid.
    pub fn bsuid(id: &str) -> PersonId {
        PersonId::only(Digests::new().bsuid(id))
    }

    /// A person in Callbell, by Callbell's number of them.
    pub fn contact(uuid: &str) -> PersonId {
        PersonId::only(Digests::new().customer("callbell", uuid))
    }

    /// The digest: `p:`, `e:`, `b:` or `c:` and 32 hex digits. The same that [`Digests`] hold.
    pub fn digest(&self) -> &str {
        &self.0
    }

    fn only(digests: Digests) -> PersonId {
        PersonId(digests.0.into_iter().next().unwrap_or_default())
    }

    pub(super) fn pk(&self) -> String {
        keys::person(&self.0)
    }
}

impl fmt::Debug for PersonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonId([REDACTED])")
    }
}

/// Something that a person did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at: Timestamp,
    /// The event's key.
    pub event: String,
}

/// The automation that spoke to a person last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastSent {
    /// When.
    pub at: Timestamp,
    /// Its name.
    pub automation: String,
}

/// What is to be remembered of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonMark {
    /// Events that some `stop_on` names.
    pub stops: Vec<(Name, Mark)>,
    /// An automation that spoke to them.
    pub sent: Option<LastSent>,
    /// The account that it came from, so that an erased shop takes the row along.
    pub digests: Digests,
}

/// A person row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonRow {
    /// Which identity.
    pub id: PersonId,
    /// Free texts may be sent until then; `None`: unknown, so closed.
    pub window_until: Option<Timestamp>,
    /// The latest of each.
    pub stops: BTreeMap<Name, Mark>,
    /// The latest.
    pub sent: Option<LastSent>,
}

impl Store {
    /// Remembers what is later than what is known. One write a mark; in any order, any number of times.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn record_person(&self, id: &PersonId, mark: &PersonMark) -> Result<(), StoreError> {
        for (name, stop) in &mark.stops {
            self.raise(
                id,
                &stop_attribute(*name),
                stop.at,
                &stop.event,
                &mark.digests,
            )
            .await?;
        }
        if let Some(sent) = &mark.sent {
            self.raise(id, "sent", sent.at, &sent.automation, &mark.digests)
                .await?;
        }
        Ok(())
    }

    async fn raise(
        &self,
        id: &PersonId,
        attribute: &str,
        at: Timestamp,
        what: &str,
        digests: &Digests,
    ) -> Result<(), StoreError> {
        let update = self
            .person_update()
            .set(attribute, text(format!("{} {what}", sortable(at))))
            .when(format!(
                "attribute_not_exists(#{attribute}) OR #{attribute} < :{attribute}"
            ));
        let update = match digests.attribute() {
            Some(digests) => update.add(DIGESTS, digests),
            None => update,
        };
        self.update(&id.pk(), update).await.map(|_| ())
    }

    /// Opens the 24-hour window until then, or closes it.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn set_window(
        &self,
        id: &PersonId,
        until: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let update = self
            .person_update()
            .set_or_remove("window_until", until.map(time));
        self.update(&id.pk(), update).await.map(|_| ())
    }

    /// The rows of these identities that are there, read strongly.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where one cannot be read; what DynamoDB reports.
    pub async fn persons(&self, ids: &[PersonId]) -> Result<Vec<PersonRow>, StoreError> {
        let mut rows = Vec::new();
        for id in ids {
            if let Some(item) = self.get(&id.pk()).await? {
                rows.push(decode(&item)?);
            }
        }
        Ok(rows)
    }

    fn person_update(&self) -> Update {
        Update::new()
            .set("v", number(SCHEMA_VERSION))
            .set(TTL, expiry(later(self.clock.now(), PERSON_KEEP_MS)))
    }
}

/// `order.paid` → `stop_order_paid`.
fn stop_attribute(name: Name) -> String {
    format!("stop_{}", name.as_str().replace('.', "_"))
}

/// `000001732270000000 key` → the time and the key.
fn register(value: &str) -> Option<(Timestamp, String)> {
    let (at, what) = value.split_once(' ')?;
    Some((
        Timestamp::from_millisecond(at.parse().ok()?).ok()?,
        what.to_owned(),
    ))
}

pub(super) fn decode(item: &Item) -> Result<PersonRow, StoreError> {
    let reader = Reader::new(item, "person")?;
    let mut stops = BTreeMap::new();
    for (attribute, value) in reader.prefixed("stop_") {
        // Marks of events that this version does not know stop nothing.
        let Some(name) = Name::ALL
            .iter()
            .find(|name| name.as_str().replace('.', "_") == attribute)
        else {
            continue;
        };
        let AttributeValue::S(value) = value else {
            return Err(reader.corrupt("a stop is no text"));
        };
        let (at, event) = register(value).ok_or_else(|| reader.corrupt("a stop has no time"))?;
        stops.insert(*name, Mark { at, event });
    }
    let sent = match reader.text_opt("sent")? {
        Some(value) => {
            let (at, automation) =
                register(&value).ok_or_else(|| reader.corrupt("sent has no time"))?;
            Some(LastSent { at, automation })
        }
        None => None,
    };
    Ok(PersonRow {
        id: PersonId(reader.key("person#")?),
        window_until: reader.time_opt("window_until")?,
        stops,
        sent,
    })
}
