//! Persons.

use serde_json::Value;

use super::body::{Action, CUSTOM_FIELDS, Entry, Webhook, custom, entries, text_at};
use crate::connections::Connection;
use crate::event::{
    Body, Customer, Event, FreeMap, Host, Lead, LeadKind, Name, PhoneCandidate, Subject,
    SubjectKind,
};
use crate::sources::{Reading, Unreadable, read};

/// All of a person's phones, the primary one first.
const PHONES: &str = "phones";
/// What `phone_from` may name.
pub(super) const PHONE_PATHS: &[&str] = &[PHONES];
/// The phones of one label: `phones.mobile`.
pub(super) const OF_LABEL: &str = "phones.";
/// A custom field, by its key of 40 hex digits.
pub(super) const CUSTOM: &str = "custom_fields.";
/// Most characters of a label in a path: a reason has to be read.
const LABEL_CHARS_MAX: usize = 40;
/// What of a person is no field beside the others.
const OWN: [&str; 14] = [
    "id",
    "name",
    "first_name",
    "last_name",
    "phones",
    "phone",
    "emails",
    "email",
    "primary_email",
    "add_time",
    "update_time",
    "owner_name",
    "org_name",
    "first_char",
];

/// What a person's webhook says.
pub(super) fn read(webhook: &Webhook, connection: &Connection) -> Result<Reading, Unreadable> {
    let created_at = webhook.created_at();
    let (name, fact, at, changed) = match webhook.action {
        Action::Deleted => return Ok(Reading::Nothing("a person was deleted")),
        Action::Merged => return Ok(Reading::Nothing("persons were merged")),
        _ if webhook.is_gone() => return Ok(Reading::Nothing("a person was deleted")),
        Action::Created => (
            Name::LeadCreated,
            "created".to_owned(),
            created_at.unwrap_or(webhook.at),
            Vec::new(),
        ),
        Action::Changed => {
            let changed = webhook.changed();
            if changed.as_ref().is_some_and(Vec::is_empty) {
                return Ok(Reading::Nothing("nothing of the person itself changed"));
            }
            let changed = changed.unwrap_or_default();
            let fact = format!("updated/{}", webhook.version(&changed));
            (Name::LeadUpdated, fact, webhook.as_of(), ours(&changed))
        }
    };
    let id = &webhook.id;
    let data = &webhook.data;
    let lead = Lead {
        id: id.clone(),
        kind: LeadKind::Person,
        url: webhook.url("person"),
        created_at,
        // Version 2 has the owner's and the organisation's numbers alone: they are among the fields.
        owner: Host {
            name: text_at(data, "owner_name"),
            email: None,
        },
        company: text_at(data, "org_name"),
        stage: None,
        fields: webhook.fields(&OWN),
        changed,
        list: None,
    };
    let as_of = webhook.as_of();
    Ok(Reading::Events(vec![Event {
        event: webhook.head(connection, name, &format!("lead/{id}/{fact}"), at),
        customer: customer(data, connection),
        subject: Subject {
            created_at: created_at.unwrap_or(as_of),
            ..Subject::new(SubjectKind::Lead, id, as_of)
        },
        body: Body::Lead {
            lead: Box::new(lead),
        },
    }]))
}

/// What changed, in our words.
fn ours(changed: &[&str]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for name in changed {
        let word = match *name {
            "phones" | "phone" => "phone",
            "emails" | "email" | "primary_email" => "email",
            "name" | "first_name" | "last_name" => "name",
            "org_id" | "org_name" => "company",
            "owner_id" | "owner_name" => "owner",
            own => own,
        };
        if !words.iter().any(|known| known == word) {
            words.push(word.to_owned());
        }
    }
    words
}

/// The person as a customer.
pub(super) fn customer(data: &FreeMap, connection: &Connection) -> Customer {
    let emails = list(data, "emails", "email");
    let mut emails = emails.iter();
    let email = emails.find_map(|entry| read::email(Some(&entry.value)));
    let primary = text_at(data, "primary_email");
    Customer {
        name: text_at(data, "name"),
        first_name: text_at(data, "first_name"),
        last_name: text_at(data, "last_name"),
        email: email.or_else(|| read::email(primary.as_deref())),
        id: data.get("id").and_then(read::as_id),
        // Consent to e-mails: https://developers.pipedrive.com/docs/api/v1/Persons
        accepts_email: match data.get("marketing_status").and_then(Value::as_str) {
            Some("subscribed") => Some(true),
            Some("unsubscribed") => Some(false),
            _ => None,
        },
        phones: phones(data, connection),
        ..Customer::default()
    }
}

/// A list under its name in version 2, or in version 1.
fn list(data: &FreeMap, v2: &str, v1: &str) -> Vec<Entry> {
    let list = data.get(v2).or_else(|| data.get(v1));
    list.and_then(entries).unwrap_or_default()
}

/// Every place that may hold a number. A person says no country.
fn phones(data: &FreeMap, connection: &Connection) -> Vec<PhoneCandidate> {
    let chosen = connection.phone_from.iter().map(String::as_str);
    let paths: Vec<&str> = if connection.phone_from.is_empty() {
        PHONE_PATHS.to_vec()
    } else {
        chosen.collect()
    };
    let paths = paths.into_iter();
    paths.flat_map(|path| phones_at(data, path)).collect()
}

fn phones_at(data: &FreeMap, path: &str) -> Vec<PhoneCandidate> {
    if let Some(key) = path.strip_prefix(CUSTOM) {
        let of_version_2 = data.get(CUSTOM_FIELDS).and_then(|fields| fields.get(key));
        let value = of_version_2.or_else(|| data.get(key));
        let number = value.and_then(|value| read::as_text(&custom(value)));
        return vec![candidate(path, number)];
    }
    let label = path.strip_prefix(OF_LABEL);
    let is_meant = |entry: &Entry| match (label, &entry.label) {
        (None, _) => true,
        (Some(wanted), Some(label)) => label.to_lowercase() == wanted.to_lowercase(),
        (Some(_), None) => false,
    };
    let found = list(data, PHONES, "phone");
    let found = found.into_iter().filter(is_meant);
    let mut candidates: Vec<PhoneCandidate> = found
        .map(|entry| match entry.label {
            Some(label) => {
                let label: String = label.chars().take(LABEL_CHARS_MAX).collect();
                candidate(&format!("{OF_LABEL}{label}"), Some(entry.value))
            }
            None => candidate(PHONES, Some(entry.value)),
        })
        .collect();
    if candidates.is_empty() {
        candidates.push(candidate(path, None));
    }
    candidates
}

fn candidate(path: &str, number: Option<String>) -> PhoneCandidate {
    PhoneCandidate {
        path: path.to_owned(),
        number,
        country: None,
    }
}
