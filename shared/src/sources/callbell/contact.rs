//! A person in Callbell, and webhooks about one.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{content, event, subject};
use crate::connections::Connection;
use crate::event::{Body, Contact, Customer, FreeMap, Name, PhoneCandidate, SubjectKind};
use crate::sources::{Reading, Unreadable, read};

/// Where a person's number stands.
pub(super) const PHONE: &str = "contact.phoneNumber";
/// How long one state of a person counts as one change, in seconds.
const CHANGE_S: i64 = 10 * 60;
/// Most digits of what may be a phone number: the longest have 15.
const DIGITS_MAX: usize = 20;
/// Most tags of a person that are kept.
const TAGS_MAX: usize = 100;
/// Most custom fields of a person that are kept.
const FIELDS_MAX: usize = 100;

/// The person as Callbell writes it. What has an unexpected type is absent.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Person {
    #[serde(deserialize_with = "read::id")]
    uuid: Option<String>,
    #[serde(deserialize_with = "read::text")]
    name: Option<String>,
    #[serde(deserialize_with = "any")]
    phone_number: Value,
    #[serde(deserialize_with = "read::id")]
    bsuid: Option<String>,
    #[serde(deserialize_with = "read::text")]
    email: Option<String>,
    #[serde(deserialize_with = "read::url")]
    href: Option<String>,
    #[serde(deserialize_with = "read::url")]
    conversation_href: Option<String>,
    #[serde(deserialize_with = "any")]
    tags: Value,
    #[serde(deserialize_with = "any")]
    custom_fields: Value,
    #[serde(deserialize_with = "any")]
    assigned_user: Value,
    #[serde(deserialize_with = "any")]
    team: Value,
    #[serde(deserialize_with = "any")]
    funnel_id: Value,
    #[serde(deserialize_with = "any")]
    channel: Value,
    #[serde(deserialize_with = "read::text")]
    source: Option<String>,
    #[serde(deserialize_with = "read::text")]
    note: Option<String>,
    #[serde(deserialize_with = "read::url")]
    avatar_url: Option<String>,
    #[serde(deserialize_with = "read::time")]
    created_at: Option<Timestamp>,
    #[serde(deserialize_with = "read::time")]
    closed_at: Option<Timestamp>,
    #[serde(deserialize_with = "any")]
    blocked_at: Value,
}

/// Whatever stands there.
fn any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    Value::deserialize(deserializer)
}

/// Reads a person where `value` is one, or a list with one in it: Callbell writes both.
///
/// # Errors
/// It has no number at Callbell, without which it is nobody.
pub(super) fn read(value: &Value, path: &str) -> Result<Contact, Unreadable> {
    let person = match value {
        Value::Array(list) => list.first().unwrap_or(&Value::Null),
        other => other,
    };
    let person: Person = if person.is_object() {
        read::typed(person)?
    } else {
        Person::default()
    };
    let id = read::required(
        person.uuid.clone(),
        &format!("{path}.uuid"),
        "Callbell's number of the person",
    )?;
    Ok(person.contact(id))
}

impl Person {
    fn contact(self, id: String) -> Contact {
        Contact {
            id,
            name: self.name.unwrap_or_default(),
            phone: phone(&self.phone_number),
            bsuid: self.bsuid,
            email: read::email(self.email.as_deref()),
            url: self.conversation_href.or(self.href).unwrap_or_default(),
            tags: tags(&self.tags),
            fields: fields(&self.custom_fields),
            assigned_to: word(&self.assigned_user, &["email"])
                .and_then(|text| read::email(Some(&text))),
            team: word(&self.team, &["name"]),
            funnel: word(&self.funnel_id, &["id", "name"]),
            note: self.note,
            avatar_url: self.avatar_url,
            channel: word(&self.channel, &["uuid"]).unwrap_or_default(),
            channel_kind: word(&self.channel, &["type"])
                .filter(|_| self.source.is_none())
                .or(self.source)
                .unwrap_or_default()
                .to_lowercase(),
            created_at: self.created_at,
            closed_at: self.closed_at,
            blocked: !matches!(self.blocked_at, Value::Null | Value::Bool(false)),
            ..Contact::default()
        }
    }
}

/// A text, or the first of these members of an object that is one.
fn word(value: &Value, members: &[&str]) -> Option<String> {
    match value {
        Value::Object(map) => members
            .iter()
            .find_map(|name| map.get(*name).and_then(read::as_text)),
        other => read::as_text(other),
    }
}

/// The number with a `+` and without what divides it; Callbell leaves out the one and keeps the other.
pub(super) fn phone(value: &Value) -> Option<String> {
    let text = read::as_text(value)?;
    let divides = |c: char| c.is_whitespace() || "+-().".contains(c);
    let digits: String = text.chars().filter(|c| !divides(*c)).collect();
    let fits = !digits.is_empty()
        && digits.len() <= DIGITS_MAX
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| format!("+{digits}"))
}

/// Tags, which are texts; objects with a name are read too.
fn tags(value: &Value) -> Vec<String> {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .filter_map(|tag| word(tag, &["name", "title"]))
        .take(TAGS_MAX)
        .collect()
}

/// Custom fields by name: an object, or a list of names and values. A checkbox's options are a list in a text.
fn fields(value: &Value) -> FreeMap {
    let mut fields = FreeMap::new();
    match value {
        Value::Object(map) => {
            for (name, value) in map.iter().take(FIELDS_MAX) {
                read::put(&mut fields, name, options(value));
            }
        }
        Value::Array(list) => {
            for field in list.iter().take(FIELDS_MAX) {
                let name = word(field, &["name", "title"]).filter(|_| field.is_object());
                if let (Some(name), Some(value)) = (name, field.get("value")) {
                    read::put(&mut fields, &name, options(value));
                }
            }
        }
        _ => {}
    }
    fields
}

/// `"[\"A\", \"B\"]"` is the list that it says.
fn options(value: &Value) -> Value {
    let list = value
        .as_str()
        .filter(|text| text.starts_with('['))
        .and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
    list.map_or_else(|| value.clone(), Value::from)
}

/// Whom events of this person are about.
pub(super) fn customer(contact: &Contact) -> Customer {
    Customer {
        name: (!contact.name.is_empty()).then(|| contact.name.clone()),
        email: contact.email.clone(),
        id: (!contact.id.is_empty()).then(|| contact.id.clone()),
        bsuid: contact.bsuid.clone(),
        tags: contact.tags.clone(),
        phones: vec![PhoneCandidate {
            path: PHONE.to_owned(),
            number: contact.phone.clone(),
            country: None,
        }],
        ..Customer::default()
    }
}

/// `contact_created`.
pub(super) fn created(
    payload: &Value,
    connection: &Connection,
    now: Timestamp,
) -> Result<Reading, Unreadable> {
    let contact = read(payload, "payload")?;
    let at = contact.created_at.unwrap_or(now);
    let what = format!("{}/created", contact.id);
    Ok(about(
        connection,
        (Name::ContactCreated, at),
        &what,
        contact,
    ))
}

/// `contact_updated`. Callbell does not say when, nor what.
pub(super) fn updated(
    payload: &Value,
    connection: &Connection,
    now: Timestamp,
) -> Result<Reading, Unreadable> {
    let contact = read(payload, "payload")?;
    let digest = content::digest([("contact", payload)]);
    let bucket = now.as_second().div_euclid(CHANGE_S);
    let what = format!("{}/updated/{digest}/{bucket}", contact.id);
    Ok(about(
        connection,
        (Name::ContactUpdated, now),
        &what,
        contact,
    ))
}

/// `contact_deleted`: the number alone, and when.
pub(super) fn deleted(
    payload: &Value,
    connection: &Connection,
    now: Timestamp,
) -> Result<Reading, Unreadable> {
    let contact = read(payload, "payload")?;
    let at = payload.get("deleted").and_then(Value::as_str);
    let at = at.and_then(|text| text.parse().ok()).unwrap_or(now);
    let what = format!("{}/deleted", contact.id);
    Ok(about(
        connection,
        (Name::ContactDeleted, at),
        &what,
        contact,
    ))
}

fn about(
    connection: &Connection,
    (name, at): (Name, Timestamp),
    what: &str,
    contact: Contact,
) -> Reading {
    let customer = customer(&contact);
    let subject = subject(SubjectKind::Contact, &contact.id, at);
    let body = Body::Contact {
        contact: Box::new(contact),
    };
    Reading::Events(vec![event(
        connection,
        name,
        (subject, what),
        customer,
        body,
    )])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_have_a_plus_and_no_blanks() {
        for (number, expected) in [
            (json!("5511987654321"), Some("+5511987654321")),
            (json!("+55 11 98765-4321"), Some("+5511987654321")),
            (json!(" 39 347 (123) 4567 "), Some("+393471234567")),
            (json!(5_511_987_654_321_u64), Some("+5511987654321")),
            (json!("maria.silva"), None),
            (json!(""), None),
            (json!("+"), None),
            (json!(null), None),
            (json!("9".repeat(30)), None),
        ] {
            assert_eq!(phone(&number).as_deref(), expected, "{number}");
        }
    }

    #[test]
    fn members_are_texts_or_objects() {
        let contact = |value: Value| read(&value, "payload").unwrap();
        let as_objects = contact(json!({
            "uuid": "a", "assignedUser": {"email": "Ana@Example.com"}, "team": {"uuid": "t", "name": "Vendas"},
            "channel": {"uuid": "c", "type": "Instagram"}, "funnelId": 7, "tags": [{"name": "vip"}, "novo", 5, null],
            "customFields": [{"name": "Cidade", "value": "Recife"}, "x", {"value": 1}],
        }));
        let as_texts = contact(json!({
            "uuid": "a", "assignedUser": "ana@example.com", "team": "Vendas", "channel": "c", "source": "instagram",
            "funnelId": "7", "tags": ["vip", "novo", "5"], "customFields": {"Cidade": "Recife"},
        }));
        assert!(as_objects == as_texts);
        let features =
            contact(json!({"uuid": "a", "customFields": {"F": "[\"A\", \"B\"]", "G": "[5"}}));
        assert_eq!(
            Value::Object(features.fields),
            json!({"F": ["A", "B"], "G": "[5"})
        );
    }

    #[test]
    fn nobody_is_unreadable() {
        for value in [
            json!(null),
            json!([]),
            json!({}),
            json!({"uuid": "a/b"}),
            json!("x"),
        ] {
            let error = read(&value, "payload.contact").err().unwrap();
            assert_eq!(error.path, "payload.contact.uuid", "{value}");
        }
        assert_eq!(read(&json!([{"uuid": "a"}]), "x").unwrap().id, "a");
    }
}
