//! The events of a contact or lead.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::super::{Reading, Unreadable, read};
use super::record::{self, Record};
use crate::connections::Connection;
use crate::event::{
    Body, Customer, Event, FreeMap, Head, Host, Lead, LeadKind, Name, PhoneCandidate, Subject,
    SubjectKind,
};

/// Where a record has a phone number. A mobile phone comes before whatever stands under "Phone", which is an office's
/// as a rule.
pub(super) const PHONE_PATHS: &[&str] = &["MobilePhone", "Phone", "HomePhone", "OtherPhone"];
/// An organisation's own fields: `fields.WhatsApp__c`.
pub(super) const FIELDS: &str = "fields.";
/// How far the two dates of a new record may be apart, in seconds: triggers change it within the same transaction.
const NEW_S: i64 = 5;
/// How young a changed record is told as new as well, in hours: Salesforce sends a message again for 24.
const YOUNG_HOURS: i64 = 25;
/// Where an address may name its country, as ISO 3166 where the organisation has picklists for it.
const COUNTRIES: [&str; 4] = [
    "MailingCountryCode",
    "MailingCountry",
    "CountryCode",
    "Country",
];

/// The events of all records that are somebody.
///
/// # Errors
/// One of them has no id.
pub(super) fn read(
    records: Vec<Record>,
    connection: &Connection,
    now: Timestamp,
) -> Result<Reading, Unreadable> {
    let mut events = Vec::new();
    for (index, record) in records.into_iter().enumerate() {
        let kind = match record.object.as_str() {
            "Contact" => LeadKind::Contact,
            "Lead" => LeadKind::Lead,
            _ => continue,
        };
        let path = format!("records[{index}].Id");
        let id = record.id.as_deref().and_then(record::long_id);
        let id = read::required(id, &path, "an id of 15 or 18 characters")?;
        events.extend(of_record(record, (kind, id), connection, now));
    }
    if events.is_empty() {
        return Ok(Reading::Nothing("no contact and no lead"));
    }
    Ok(Reading::Events(events))
}

fn of_record(
    record: Record,
    (kind, id): (LeadKind, String),
    connection: &Connection,
    now: Timestamp,
) -> Vec<Event> {
    let mut fields = record.fields;
    let created = time(&mut fields, "CreatedDate");
    let modstamp = time(&mut fields, "SystemModstamp");
    let modified = time(&mut fields, "LastModifiedDate").or(modstamp);
    let as_of = modified.or(created).unwrap_or(now);
    let subject = Subject {
        created_at: created.unwrap_or(as_of),
        ..Subject::new(SubjectKind::Lead, id.as_str(), as_of)
    };
    let customer = customer(&mut fields, &id, connection);
    let host = Host {
        name: text(&mut fields, "OwnerName"),
        email: text(&mut fields, "OwnerEmail").and_then(|text| read::email(Some(&text))),
    };
    let lead = Lead {
        id: id.clone(),
        kind,
        url: record.url,
        created_at: created,
        owner: host,
        company: text(&mut fields, "Company"),
        stage: text(&mut fields, "Status"),
        fields,
        changed: Vec::new(),
        list: None,
    };
    facts(created, modified, as_of, now)
        .into_iter()
        .map(|(name, fact, at)| Event {
            event: Head {
                name,
                source: connection.name.clone(),
                kind: super::KIND.to_owned(),
                account: record.organisation.clone(),
                id: format!("{}/lead/{id}/{fact}", connection.name),
                at,
                test: false,
                depth: 0,
                notes: Vec::new(),
            },
            customer: customer.clone(),
            subject: subject.clone(),
            body: Body::Lead {
                lead: Box::new(lead.clone()),
            },
        })
        .collect()
}

/// What the dates of a record say: each event's name, the end of its key, and when it happened.
fn facts(
    created: Option<Timestamp>,
    modified: Option<Timestamp>,
    as_of: Timestamp,
    now: Timestamp,
) -> Vec<(Name, String, Timestamp)> {
    let new = |at| (Name::LeadCreated, "created".to_owned(), at);
    let (Some(created), Some(modified)) = (created, modified) else {
        return vec![new(created.unwrap_or(as_of))];
    };
    if modified.duration_since(created) <= SignedDuration::from_secs(NEW_S) {
        return vec![new(created)];
    }
    let updated = (Name::LeadUpdated, format!("updated/{modified}"), modified);
    if now.duration_since(created) <= SignedDuration::from_hours(YOUNG_HOURS) {
        vec![new(created), updated]
    } else {
        vec![updated]
    }
}

fn customer(fields: &mut FreeMap, id: &str, connection: &Connection) -> Customer {
    let first_name = text(fields, "FirstName");
    let last_name = text(fields, "LastName");
    let whole = text(fields, "Name");
    let email = text(fields, "Email");
    let country = COUNTRIES
        .iter()
        .find_map(|name| read::country(read::free_text(fields, name).as_deref()));
    let phones = phones(fields, country.as_deref(), connection);
    Customer {
        name: whole.or_else(|| read::full_name(first_name.as_deref(), last_name.as_deref())),
        first_name,
        last_name,
        email: read::email(email.as_deref()),
        id: Some(id.to_owned()),
        // Who has not opted out has not agreed to anything either.
        accepts_email: (fields.get("HasOptedOutOfEmail") == Some(&Value::Bool(true)))
            .then_some(false),
        phones,
        country,
        ..Customer::default()
    }
}

fn phones(
    fields: &mut FreeMap,
    country: Option<&str>,
    connection: &Connection,
) -> Vec<PhoneCandidate> {
    let own = connection.phone_from.iter().map(String::as_str);
    let mut paths: Vec<&str> = own.collect();
    if paths.is_empty() {
        paths.extend(PHONE_PATHS);
    }
    let candidate = |path: &str| {
        let name = path.strip_prefix(FIELDS).unwrap_or(path);
        let number = read::free_text(fields, name);
        PhoneCandidate {
            path: path.to_owned(),
            country: number.as_ref().and(country).map(str::to_owned),
            number,
        }
    };
    let phones = paths.into_iter().map(candidate).collect();
    for path in PHONE_PATHS {
        fields.remove(*path);
    }
    phones
}

/// A text, taken out of the fields: it has a place of its own.
fn text(fields: &mut FreeMap, name: &str) -> Option<String> {
    fields.remove(name).as_ref().and_then(read::as_text)
}

/// A time, taken out of the fields: `2026-03-16T14:00:00.000Z`, and `+0000` at its end in the JSON of the API.
fn time(fields: &mut FreeMap, name: &str) -> Option<Timestamp> {
    text(fields, name)?.parse().ok()
}
