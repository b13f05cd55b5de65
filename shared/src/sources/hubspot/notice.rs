//! What an app's webhook says: which contacts, what happened to them, and when.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::KIND;
use crate::connections::Connection;
use crate::event::{
    Body, Changed, Customer, Event, FreeMap, Head, Name, Privacy, Subject, SubjectKind,
};
use crate::sources::question::question as asked;
use crate::sources::{Reading, Unreadable, read};

/// The type of contacts among all objects.
/// <https://developers.hubspot.com/changelog/public-beta-generic-webhook-subscriptions>
const CONTACTS: &str = "0-1";
/// Hex digits of the digest that names a request.
const DIGEST_DIGITS: usize = 32;
/// Most properties of one contact that are remembered as changed.
const PROPERTIES_MAX: usize = 100;
/// Longest name of a property, in characters.
const PROPERTY_CHARS_MAX: usize = 100;
/// Most notes about items that cannot be read.
const NOTES_MAX: usize = 5;
/// What changes within this time of a contact's making is part of it: HubSpot tells of each property that a
/// new contact has as of a change.
pub(super) const PART_OF_MAKING: SignedDuration = SignedDuration::from_secs(1);

/// One item. `eventType` is what older pages of HubSpot call the `subscriptionType`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Item {
    #[serde(deserialize_with = "read::text")]
    subscription_type: Option<String>,
    #[serde(deserialize_with = "read::text")]
    event_type: Option<String>,
    #[serde(deserialize_with = "read::text")]
    object_type_id: Option<String>,
    #[serde(deserialize_with = "read::id")]
    object_id: Option<String>,
    #[serde(deserialize_with = "read::id")]
    portal_id: Option<String>,
    #[serde(deserialize_with = "milliseconds")]
    occurred_at: Option<Timestamp>,
    #[serde(deserialize_with = "read::text")]
    property_name: Option<String>,
}

/// What an item is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Made,
    Changed,
    Erased,
    Foreign,
}

impl Item {
    /// `contact.creation`, and `object.creation` of a contact: an app may have subscribed to both.
    fn what(&self) -> What {
        let kind = self.subscription_type.as_ref().or(self.event_type.as_ref());
        let Some((object, fact)) = kind.and_then(|kind| kind.split_once('.')) else {
            return What::Foreign;
        };
        let is_contact = match object {
            "contact" => true,
            "object" => self.object_type_id.as_deref() == Some(CONTACTS),
            _ => false,
        };
        match fact {
            _ if !is_contact => What::Foreign,
            "creation" => What::Made,
            "propertyChange" => What::Changed,
            "privacyDeletion" => What::Erased,
            // A deletion, a merge and a restoration are no news of a person.
            _ => What::Foreign,
        }
    }
}

/// What one request says of one contact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// The account that the contact is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub portal: Option<String>,
    /// The contact's id.
    pub id: String,
    /// It came into being.
    pub made: bool,
    /// When, where the request says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_at: Option<Timestamp>,
    /// When it last changed beyond that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    /// The properties that changed.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub properties: BTreeSet<String>,
}

impl Told {
    fn take(&mut self, item: &Item, what: What) {
        let at = item.occurred_at;
        if what == What::Made {
            self.made = true;
            // Of two that say it, the earlier one: whichever comes first in the list.
            self.made_at = match (self.made_at, at) {
                (Some(known), Some(at)) => Some(known.min(at)),
                (known, at) => known.or(at),
            };
            return;
        }
        self.updated_at = self.updated_at.max(at);
        let name = item.property_name.as_deref().filter(|name| is_name(name));
        if self.properties.len() < PROPERTIES_MAX {
            self.properties.extend(name.map(str::to_owned));
        }
    }

    /// Without changes that are part of the contact's making.
    fn settled(mut self) -> Told {
        if let (true, Some(made), Some(updated)) = (self.made, self.made_at, self.updated_at)
            && updated.duration_since(made) <= PART_OF_MAKING
        {
            self.updated_at = None;
            self.properties.clear();
        }
        self
    }

    fn newest(&self) -> Option<Timestamp> {
        self.made_at.max(self.updated_at)
    }
}

/// Whether a body is one item alone.
pub(super) fn is_item(body: &Value) -> bool {
    body.get("subscriptionType").is_some() || body.get("eventType").is_some()
}

/// One `source.changed` for all contacts to be read, and one event for each that has to be erased.
pub(super) fn read(
    items: &[Value],
    connection: &Connection,
    now: Timestamp,
) -> Result<Reading, Unreadable> {
    let mut contacts: BTreeMap<(Option<String>, String), Told> = BTreeMap::new();
    let mut erased: BTreeMap<String, Event> = BTreeMap::new();
    let mut problems = Vec::new();
    for (index, value) in items.iter().enumerate() {
        let Ok(item) = read::typed::<Item>(value) else {
            continue;
        };
        let what = item.what();
        if what == What::Foreign {
            continue;
        }
        if let Some(problem) = problem(index, &item, what) {
            problems.push(problem);
            continue;
        }
        let id = item.object_id.clone().unwrap_or_default();
        if what == What::Erased {
            let event = erasure(&item, &id, connection, now);
            erased.insert(event.event.id.clone(), event);
            continue;
        }
        let key = (item.portal_id.clone(), id.clone());
        let of_item = || Told {
            portal: item.portal_id.clone(),
            id,
            ..Told::default()
        };
        let told = contacts.entry(key).or_insert_with(of_item);
        told.take(&item, what);
    }
    let told: Vec<Told> = contacts.into_values().map(Told::settled).collect();
    let mut events: Vec<Event> = Vec::new();
    if !told.is_empty() {
        events.push(question(&told, connection, now));
    }
    events.extend(erased.into_values());
    match (events.first_mut(), problems.first()) {
        (None, Some(first)) => Err(first.clone()),
        (None, None) => Ok(Reading::Nothing("nothing of a contact")),
        // One item that cannot be read does not keep the others.
        (Some(event), _) => {
            let notes = problems.iter().take(NOTES_MAX);
            event.event.notes.extend(notes.map(ToString::to_string));
            Ok(Reading::Events(events))
        }
    }
}

/// What an item lacks that cannot be done without.
fn problem(index: usize, item: &Item, what: What) -> Option<Unreadable> {
    let lacks = |name: &str, expected: &str| {
        Some(Unreadable {
            path: format!("[{index}].{name}"),
            problem: format!("expected {expected}"),
        })
    };
    match what {
        _ if item.object_id.is_none() => lacks("objectId", "an id"),
        // Its date is what one change is told from another by.
        What::Changed if item.occurred_at.is_none() => lacks("occurredAt", "milliseconds"),
        _ => None,
    }
}

/// What the worker has to ask.
fn question(told: &[Told], connection: &Connection, now: Timestamp) -> Event {
    let contacts = serde_json::to_value(told).unwrap_or_default();
    let what = digest(told);
    let newest = told.iter().filter_map(Told::newest).max();
    let at = newest.map_or(now, |newest| newest.min(now));
    let about = FreeMap::from_iter([("contacts".to_owned(), contacts)]);
    let mut event = asked(&connection.name, KIND, &what, at, about);
    // Each contact's own is with it, where there are several.
    let portals: BTreeSet<&String> = told.iter().filter_map(|one| one.portal.as_ref()).collect();
    event.event.account = portals
        .first()
        .filter(|_| portals.len() == 1)
        .map(|id| (*id).clone());
    // So that the question about one person goes with them where they are erased.
    let only = told.first().filter(|_| told.len() == 1);
    event.customer.id = only.map(|one| one.id.clone());
    event
}

/// Of what was told alone: a repetition counts its attempts, and its items may come in another order.
fn digest(told: &[Told]) -> String {
    let mut digest = Sha256::new();
    for one in told {
        let at = |at: Option<Timestamp>| at.map(Timestamp::as_millisecond);
        let properties: Vec<&str> = one.properties.iter().map(String::as_str).collect();
        let line = format!(
            "{:?} {} {} {:?} {:?} {}\n",
            one.portal,
            one.id,
            one.made,
            at(one.made_at),
            at(one.updated_at),
            properties.join(" ")
        );
        digest.update(line);
    }
    let hex = hex::encode(digest.finalize());
    hex.chars().take(DIGEST_DIGITS).collect()
}

/// Everything about this contact has to go. A contact is erased once.
fn erasure(item: &Item, id: &str, connection: &Connection, now: Timestamp) -> Event {
    let account = item.portal_id.clone();
    let number = match &account {
        Some(portal) => format!("{portal}-{id}"),
        None => id.to_owned(),
    };
    let at = item.occurred_at.map_or(now, |at| at.min(now));
    Event {
        event: Head {
            name: Name::PrivacyRedactCustomer,
            source: connection.name.clone(),
            kind: KIND.to_owned(),
            account,
            id: format!("{}/privacy/{number}/redact_customer", connection.name),
            at,
            test: false,
            depth: 0,
            notes: Vec::new(),
        },
        customer: Customer {
            id: Some(id.to_owned()),
            ..Customer::default()
        },
        subject: Subject::new(SubjectKind::Privacy, number, at),
        body: Body::Privacy {
            privacy: Privacy::default(),
        },
    }
}

/// The contacts that a `source.changed` of HubSpot names.
pub fn told(changed: &Changed) -> Vec<Told> {
    let contacts = changed.about.get("contacts").cloned().unwrap_or_default();
    serde_json::from_value(contacts).unwrap_or_default()
}

/// Names of properties go into requests: nothing else does.
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=PROPERTY_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

/// A number of milliseconds, or a text of one.
fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(date(&Value::deserialize(deserializer)?))
}

/// A date: milliseconds, or RFC 3339.
pub(super) fn date(value: &Value) -> Option<Timestamp> {
    let text = value.as_str().map(str::trim);
    let number = value.as_i64().or_else(|| text?.parse().ok());
    match number {
        Some(ms) => Timestamp::from_millisecond(ms).ok(),
        None => text?.parse().ok(),
    }
}
