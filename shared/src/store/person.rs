//! Person rows: one an identity of a person (phone, e-mail, the channel's own id), by its digest. What they
//! did last that some `stop_on` names, which automation spoke to them last, until when the 24-hour window is
//! open, whether they asked to be left alone.
//!
//! Everything in a row is kept by when it happened, so webhooks may come in any order and any number of
//! times. A row goes [`PERSON_KEEP_MS`] after its last change, but never while its person is opted out.

use std::collections::BTreeMap;
use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use super::digests::DIGESTS;
use super::entity::sortable;
use super::request::{Item, Update, Written};
use super::rows::{DAY_MS, Reader, SCHEMA_VERSION, expiry, later, number, row, text, time};
use super::table::TTL;
use super::{Digests, Store, StoreError, keys};
use crate::event::Name;

/// How long a person's row stays after its last change, in milliseconds.
const PERSON_KEEP_MS: i64 = 400 * DAY_MS;
/// For how long a person's message opens the window for free texts, in milliseconds.
/// <https://developers.facebook.com/docs/whatsapp/pricing#customer-service-windows>
const WINDOW_MS: i64 = DAY_MS;
/// How often one change is tried while the person opts out and in again at the same time.
const CHANGES_MAX: u32 = 4;
/// Since when a person is opted out; absent while they are not.
const OPTED_OUT_AT: &str = "opted_out_at";
/// The key of the first message of theirs that we saw.
const FIRST_MESSAGE: &str = "first_message";
/// Which word of theirs was said last, and when: `000001732270000000 out key`.
const OPT: &str = "opt";
/// What stands for the key of a word whose event was erased.
const ERASED: &str = "erased";

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

    /// A person by a connection's own id, where there is no other identity: Telegram, Messenger, Instagram.
    pub fn customer(connection: &str, id: &str) -> PersonId {
        PersonId::only(Digests::new().customer(connection, id))
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

/// A message that a person wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrote {
    /// When.
    pub at: Timestamp,
    /// The event's key.
    pub event: String,
    /// It opens the window for free texts.
    pub opens_window: bool,
}

/// A word that opts out, or in again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptMark {
    /// When it was said.
    pub at: Timestamp,
    /// The event's key.
    pub event: String,
    /// Out, not in again.
    pub out: bool,
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
    /// Since when they are opted out; `None`: they are not.
    pub opted_out_at: Option<Timestamp>,
    /// The key of the event that opted them out.
    pub opted_out_by: Option<String>,
    /// The key of the first message of theirs that we saw.
    pub first_message: Option<String>,
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
        let update = || {
            Update::new()
                .set(attribute, text(format!("{} {what}", sortable(at))))
                .when(format!(
                    "attribute_not_exists(#{attribute}) OR #{attribute} < :{attribute}"
                ))
        };
        self.change_person(id, digests, update).await.map(|_| ())
    }

    /// Remembers a message of theirs: the window only rises, and the first message that we saw stays the
    /// first.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn record_wrote(
        &self,
        id: &PersonId,
        wrote: &Wrote,
        digests: &Digests,
    ) -> Result<(), StoreError> {
        let until = time(later(wrote.at, WINDOW_MS));
        let window = || {
            Update::new()
                .set("window_until", until.clone())
                .set_once(FIRST_MESSAGE, text(&wrote.event))
                .when("attribute_not_exists(#window_until) OR #window_until < :window_until")
        };
        if wrote.opens_window {
            let row = self.change_person(id, digests, window).await?;
            if row.contains_key(FIRST_MESSAGE) {
                return Ok(());
            }
        }
        let first = || {
            Update::new()
                .set(FIRST_MESSAGE, text(&wrote.event))
                .when(format!("attribute_not_exists(#{FIRST_MESSAGE})"))
        };
        self.change_person(id, digests, first).await.map(|_| ())
    }

    /// Remembers that they opted out, or in again. The word that was said last counts, whichever comes last;
    /// of two at the same time the one that opts out.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn record_opt(
        &self,
        id: &PersonId,
        mark: &OptMark,
        digests: &Digests,
    ) -> Result<(), StoreError> {
        let word = if mark.out { "out" } else { "in" };
        let said = format!("{} {word} {}", sortable(mark.at), mark.event);
        let update = Update::new()
            .set("v", number(SCHEMA_VERSION))
            .set(OPT, text(said))
            .when("attribute_not_exists(#opt) OR #opt < :opt");
        let update = if mark.out {
            update
                .set_once(OPTED_OUT_AT, time(mark.at))
                .set_once("opted_out_by", text(&mark.event))
                .remove(TTL)
        } else {
            update
                .remove(OPTED_OUT_AT)
                .remove("opted_out_by")
                .set(TTL, expiry(later(self.clock.now(), PERSON_KEEP_MS)))
        };
        let update = with_digests(update, digests);
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
        let update = || Update::new().set_or_remove("window_until", until.map(time));
        self.change_person(id, &Digests::new(), update)
            .await
            .map(|_| ())
    }

    /// One conditional change; the row as it is afterwards. Its end moves on, unless the person is opted
    /// out: then the row has none, and gets none.
    async fn change_person(
        &self,
        id: &PersonId,
        digests: &Digests,
        update: impl Fn() -> Update,
    ) -> Result<Item, StoreError> {
        let update = || with_digests(update().set("v", number(SCHEMA_VERSION)), digests);
        for _ in 0..CHANGES_MAX {
            let ends = expiry(later(self.clock.now(), PERSON_KEEP_MS));
            let ending = update()
                .set(TTL, ends)
                .when(format!("attribute_not_exists(#{OPTED_OUT_AT})"));
            match self.update(&id.pk(), ending).await? {
                Written::Done(row) => return Ok(row),
                Written::Refused(Some(row)) if row.contains_key(OPTED_OUT_AT) => {}
                Written::Refused(row) => return Ok(row.unwrap_or_default()),
            }
            let staying = update().when(format!("attribute_exists(#{OPTED_OUT_AT})"));
            match self.update(&id.pk(), staying).await? {
                Written::Done(row) => return Ok(row),
                Written::Refused(Some(row)) if row.contains_key(OPTED_OUT_AT) => return Ok(row),
                // Opted in meanwhile.
                Written::Refused(_) => {}
            }
        }
        Err(StoreError::Conflict("a person's row"))
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
}

fn with_digests(update: Update, digests: &Digests) -> Update {
    match digests.attribute() {
        Some(digests) => update.add(DIGESTS, digests),
        None => update,
    }
}

/// What an erasure leaves of a row: that its person is opted out. `None`: they are not, or it is another row.
pub(super) fn opted_out_alone(pk: &str, item: &Item) -> Option<Item> {
    let since = item.get(OPTED_OUT_AT)?;
    pk.strip_prefix("person#")?;
    let mut alone = row(pk);
    alone.insert(OPTED_OUT_AT.to_owned(), since.clone());
    if let Some(said) = item.get(OPT).and_then(|said| said.as_s().ok()) {
        let words: Vec<&str> = said.split(' ').take(2).chain([ERASED]).collect();
        alone.insert(OPT.to_owned(), text(words.join(" ")));
    }
    Some(alone)
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
        opted_out_at: reader.time_opt(OPTED_OUT_AT)?,
        opted_out_by: reader.text_opt("opted_out_by")?,
        first_message: reader.text_opt(FIRST_MESSAGE)?,
    })
}
