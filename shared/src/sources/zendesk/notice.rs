//! What a webhook says: which user, what happened, and when.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::KIND;
use super::user::{END_USER, is_phone};
use crate::connections::Connection;
use crate::event::{Changed, Event, FreeMap};
use crate::sources::question::question as asked;
use crate::sources::{Reading, Unreadable, read};

/// What the types of all events begin with.
const TYPE: &str = "zen:event-type";
/// What a subject that is a user begins with.
const USER: &str = "zen:user:";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Webhook {
    #[serde(rename = "type", deserialize_with = "read::text")]
    kind: Option<String>,
    #[serde(deserialize_with = "read::id")]
    account_id: Option<String>,
    #[serde(deserialize_with = "read::text")]
    subject: Option<String>,
    #[serde(deserialize_with = "read::time")]
    time: Option<Timestamp>,
    #[serde(deserialize_with = "read::object")]
    detail: Option<Detail>,
    #[serde(deserialize_with = "read::object")]
    event: Option<FreeMap>,
}

/// The user, as far as it is shown: ids are texts here and numbers in the API.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    #[serde(deserialize_with = "read::id")]
    id: Option<String>,
    #[serde(deserialize_with = "read::text")]
    role: Option<String>,
    #[serde(deserialize_with = "read::time")]
    created_at: Option<Timestamp>,
}

/// What a webhook tells of one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The user's id.
    pub user: String,
    /// The user came into being; otherwise a phone was added.
    pub made: bool,
    /// When.
    pub at: Timestamp,
    /// The id of what was added, where the webhook says it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub identity: Option<String>,
    /// That what was added is a phone, where the webhook says it.
    #[serde(default)]
    pub is_phone: bool,
}

/// The event without what all events begin with: some lists have a `/` in the place of the last `:`.
fn fact(kind: &str) -> Option<&str> {
    kind.strip_prefix(TYPE)?.strip_prefix([':', '/'])
}

/// What a signed body says.
pub(super) fn read(
    value: &Value,
    connection: &Connection,
    now: Timestamp,
) -> Result<Reading, Unreadable> {
    let kind = value.get("type").and_then(Value::as_str);
    let made = match kind.and_then(fact) {
        Some("user.created") => true,
        Some("user.identity_created") => false,
        Some(_) => return Ok(Reading::Nothing("nothing new of a user")),
        None => return Ok(Reading::Nothing("no event of Zendesk")),
    };
    let webhook: Webhook = read::typed(value)?;
    let detail = webhook.detail.as_ref();
    let role = detail.and_then(|detail| detail.role.as_deref());
    if role.is_some_and(|role| role != END_USER) {
        return Ok(Reading::Nothing("no end user"));
    }
    let identity = webhook.event.as_ref().map(added).unwrap_or_default();
    let is_phone = identity.kind.as_deref().map(is_phone);
    if !made && is_phone == Some(false) {
        return Ok(Reading::Nothing("an address that is no phone"));
    }
    let of_subject = || {
        let subject = webhook.subject.as_deref()?.strip_prefix(USER)?;
        read::as_id(&Value::from(subject))
    };
    let user = detail
        .and_then(|detail| detail.id.clone())
        .or_else(of_subject);
    let user = read::required(user, "detail.id", "an id")?;
    let created_at = detail.and_then(|detail| detail.created_at).filter(|_| made);
    let at = read::required(created_at.or(webhook.time), "time", "a date with a zone")?;
    let told = Told {
        user,
        made,
        at,
        identity: identity.id.filter(|_| !made),
        is_phone: !made && is_phone == Some(true),
    };
    let event = question(&told, webhook.account_id, connection, now);
    Ok(Reading::Events(vec![event]))
}

/// An address or phone that was added.
#[derive(Default)]
struct Identity {
    id: Option<String>,
    kind: Option<String>,
}

/// Zendesk's pages show it by itself or as `identity`.
fn added(event: &FreeMap) -> Identity {
    let within = event.get("identity").and_then(Value::as_object);
    let map = within.unwrap_or(event);
    Identity {
        id: map.get("id").and_then(read::as_id),
        kind: read::free_text(map, "type"),
    }
}

/// What the worker has to ask. The id is of the user and the fact: two webhooks that subscribe to the same say
/// the same.
fn question(
    told: &Told,
    account: Option<String>,
    connection: &Connection,
    now: Timestamp,
) -> Event {
    let what = if told.made {
        format!("{}/created", told.user)
    } else {
        format!("{}/identity/{}", told.user, told.at.as_millisecond())
    };
    let about = match serde_json::to_value(told) {
        Ok(Value::Object(about)) => about,
        _ => FreeMap::new(),
    };
    let mut event = asked(&connection.name, KIND, &what, told.at.min(now), about);
    event.event.account = account;
    // So that the question goes with the person where they are erased.
    event.customer.id = Some(told.user.clone());
    event
}

/// What a `source.changed` of Zendesk tells; `None`: it is none.
pub fn told(changed: &Changed) -> Option<Told> {
    serde_json::from_value(Value::Object(changed.about.clone())).ok()
}
