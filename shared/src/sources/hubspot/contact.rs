//! A contact, as the worker reads it and as a workflow posts it, and the events of it.
//! <https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide>

use jiff::Timestamp;
use serde_json::Value;

use super::notice::{PART_OF_MAKING, Told, date};
use super::KIND;
use crate::connections::Connection;
use crate::event::{
    Body, Customer, Event, FreeMap, Head, Host, Lead, LeadKind, Name, PhoneCandidate, Subject,
    SubjectKind,
};
use crate::sources::{Reading, Unreadable, read};

/// In the order of preference.
pub(super) const PHONE_PATHS: &[&str] = &[WHATSAPP, "mobilephone", "phone"];
/// The number that integrations with WhatsApp write.
const WHATSAPP: &str = "hs_whatsapp_phone_number";
/// Properties of the account's own may be named one by one.
pub(super) const PROPERTIES: &str = "properties.";
/// What every account has. An answer holds no other properties than those that were asked for.
pub const CORE: &[&str] = &[
    "createdate",
    "lastmodifieddate",
    "firstname",
    "lastname",
    "email",
    "phone",
    "mobilephone",
    "company",
    "lifecyclestage",
    OWNER,
    "country",
    "city",
    "state",
    "jobtitle",
    "website",
    "hs_lead_status",
    MERGED,
];
/// What an account may not have.
const MORE: &[&str] = &[
    WHATSAPP,
    "hs_language",
    "hs_country_region_code",
    "hs_email_optout",
];
/// Ids of contacts that this one took in.
const MERGED: &str = "hs_merged_object_ids";
/// Who takes care of the contact.
const OWNER: &str = "hubspot_owner_id";
/// What HubSpot's own properties begin with: a workflow posts hundreds of them.
const INTERNAL: &str = "hs_";
/// Properties that have a place of their own in an event.
const PLACED: &[&str] = &[
    "createdate",
    "lastmodifieddate",
    "firstname",
    "lastname",
    "email",
    "phone",
    "mobilephone",
    WHATSAPP,
    "company",
    "lifecyclestage",
    "hs_language",
    "hs_country_region_code",
    "hs_email_optout",
    "hs_object_id",
    MERGED,
];
/// Names of countries, as people choose and type them in HubSpot, where a number is likely to come without its
/// country's code. The codes themselves are read as they are.
const COUNTRIES: &[(&str, &str)] = &[
    ("brazil", "BR"),
    ("brasil", "BR"),
    ("italy", "IT"),
    ("italia", "IT"),
    ("spain", "ES"),
    ("españa", "ES"),
    ("portugal", "PT"),
    ("mexico", "MX"),
    ("méxico", "MX"),
    ("argentina", "AR"),
    ("chile", "CL"),
    ("colombia", "CO"),
    ("peru", "PE"),
    ("perú", "PE"),
    ("ecuador", "EC"),
    ("uruguay", "UY"),
    ("germany", "DE"),
    ("deutschland", "DE"),
    ("france", "FR"),
    ("united kingdom", "GB"),
    ("united states", "US"),
];

/// The properties to ask for: those that events hold, those that changed, and where the connection looks for
/// phones.
pub fn properties(told: &[Told], connection: &Connection) -> Vec<String> {
    let own = connection.phone_from.iter();
    let own = own.filter_map(|path| path.strip_prefix(PROPERTIES));
    let changed = told.iter().flat_map(|one| &one.properties);
    let mut names: Vec<String> = CORE
        .iter()
        .chain(MORE)
        .copied()
        .chain(own)
        .chain(changed.map(String::as_str))
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Whether a contact that was read is the one that was told of, or took that one in: HubSpot answers for a
/// merged contact with the one that is left, under that one's id.
pub fn answers_to(contact: &Value, id: &str) -> bool {
    if contact.get("id").and_then(read::as_id).as_deref() == Some(id) {
        return true;
    }
    let merged = contact.pointer(&format!("/properties/{MERGED}"));
    let mut merged = merged.and_then(Value::as_str).unwrap_or_default().split(';');
    merged.any(|one| one.trim() == id)
}

/// Whose care a contact is in: the id to ask for.
pub fn owner_id(contact: &Value) -> Option<String> {
    read::as_id(contact.pointer(&format!("/properties/{OWNER}"))?)
}

/// The events of one contact that was told of: `contact` as `batch/read` shows it, `owner` as the owners'
/// endpoint does, where it was asked.
///
/// # Errors
/// What cannot be read.
pub fn events(
    told: &Told,
    contact: &Value,
    owner: Option<&Value>,
    connection: &Connection,
) -> Result<Vec<Event>, Unreadable> {
    if contact.get("archived").and_then(Value::as_bool) == Some(true) {
        return Ok(Vec::new());
    }
    let id = contact.get("id").and_then(read::as_id);
    let held = contact.get("properties").and_then(Value::as_object);
    let held = read::required(held, "properties", "an object")?.clone();
    let at = |name: &str, property: &str| {
        let own = contact.get(name).and_then(date);
        own.or_else(|| held.get(property).and_then(date))
    };
    let person = Person {
        id: read::required(id, "id", "an id")?,
        portal: told.portal.clone(),
        made_at: at("createdAt", "createdate"),
        updated_at: at("updatedAt", "lastmodifieddate"),
        owner: owner.map(host).unwrap_or_default(),
        held,
    };
    let mut events = Vec::new();
    if told.made {
        let at = person.made_at.or(told.made_at).or(told.updated_at);
        let at = read::required(at, "createdAt", "a date")?;
        events.push(person.event(At::Made(at), told, connection));
    }
    if let Some(at) = told.updated_at {
        let made = person.made_at.filter(|_| told.id == person.id);
        let is_later = made.is_none_or(|made| at.duration_since(made) > PART_OF_MAKING);
        if is_later {
            events.push(person.event(At::Updated(at), told, connection));
        }
    }
    Ok(events)
}

/// What the action "Send a webhook" of a workflow posts: a whole contact in the shape of the API's first
/// version, each property a table of its value and versions.
pub(super) fn of_workflow(
    body: &FreeMap,
    connection: &Connection,
    now: Timestamp,
) -> Result<Reading, Unreadable> {
    let id = |name: &str| body.get(name).and_then(read::as_id);
    // A contact that was merged goes on under this one.
    let contact = id("canonical-vid").or_else(|| id("vid"));
    let properties = body.get("properties").and_then(Value::as_object);
    let mut held = FreeMap::new();
    for (name, value) in properties.into_iter().flatten() {
        let value = value.get("value").unwrap_or(value);
        if !value.is_object() && !value.is_array() {
            held.insert(name.clone(), value.clone());
        }
    }
    let person = Person {
        id: read::required(contact, "vid", "an id")?,
        portal: id("portal-id"),
        made_at: held.get("createdate").and_then(date),
        updated_at: held.get("lastmodifieddate").and_then(date),
        owner: Host::default(),
        held,
    };
    let at = person.made_at.unwrap_or(now);
    let event = person.event(At::Made(at), &Told::default(), connection);
    Ok(Reading::Events(vec![event]))
}

/// What happened, and when.
#[derive(Clone, Copy)]
enum At {
    Made(Timestamp),
    Updated(Timestamp),
}

struct Person {
    id: String,
    portal: Option<String>,
    made_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
    owner: Host,
    held: FreeMap,
}

impl Person {
    fn text(&self, name: &str) -> Option<String> {
        read::free_text(&self.held, name)
    }

    fn event(&self, what: At, told: &Told, connection: &Connection) -> Event {
        let (name, at, fact) = match what {
            At::Made(at) => (Name::LeadCreated, at, "created".to_owned()),
            At::Updated(at) => {
                let fact = format!("updated/{}", at.as_millisecond());
                (Name::LeadUpdated, at, fact)
            }
        };
        let changed = match what {
            At::Made(_) => Vec::new(),
            At::Updated(_) => changed(told),
        };
        let as_of = self.updated_at.map_or(at, |updated| updated.max(at));
        Event {
            event: Head {
                name,
                source: connection.name.clone(),
                kind: KIND.to_owned(),
                account: self.portal.clone(),
                id: format!("{}/lead/{}/{fact}", connection.name, self.id),
                at,
                test: false,
                depth: 0,
                notes: Vec::new(),
            },
            customer: self.customer(connection),
            subject: Subject {
                created_at: self.made_at.unwrap_or(at),
                ..Subject::new(SubjectKind::Lead, self.id.clone(), as_of)
            },
            body: Body::Lead {
                lead: Box::new(self.lead(told, changed)),
            },
        }
    }

    fn lead(&self, told: &Told, changed: Vec<String>) -> Lead {
        let mut fields = FreeMap::new();
        for (name, value) in &self.held {
            let asked = CORE.contains(&name.as_str()) || told.properties.contains(name);
            let is_internal = name.starts_with(INTERNAL) && !asked;
            if !PLACED.contains(&name.as_str()) && !is_internal {
                read::put(&mut fields, name, value.clone());
            }
        }
        let portal = self.portal.as_ref();
        let url = portal.map(|portal| {
            format!("https://app.hubspot.com/contacts/{portal}/contact/{}", self.id)
        });
        Lead {
            id: self.id.clone(),
            kind: LeadKind::Contact,
            url,
            created_at: self.made_at,
            owner: self.owner.clone(),
            company: self.text("company"),
            stage: self.text("lifecyclestage"),
            fields,
            changed,
            list: None,
        }
    }

    fn customer(&self, connection: &Connection) -> Customer {
        let country = country(
            self.text("hs_country_region_code").as_deref(),
            self.text("country").as_deref(),
        );
        let phone_at = |path: &str| {
            let number = self.text(path.strip_prefix(PROPERTIES).unwrap_or(path));
            PhoneCandidate {
                path: path.to_owned(),
                country: country.clone().filter(|_| number.is_some()),
                number,
            }
        };
        let phones = if connection.phone_from.is_empty() {
            PHONE_PATHS.iter().map(|path| phone_at(path)).collect()
        } else {
            let chosen = connection.phone_from.iter();
            chosen.map(|path| phone_at(path)).collect()
        };
        let (first_name, last_name) = (self.text("firstname"), self.text("lastname"));
        // That somebody takes no e-mails is known; that they want them is not.
        let takes_none = self.text("hs_email_optout").as_deref() == Some("true")
            || self.held.get("hs_email_optout") == Some(&Value::Bool(true));
        Customer {
            name: read::full_name(first_name.as_deref(), last_name.as_deref()),
            first_name,
            last_name,
            country,
            email: read::email(self.text("email").as_deref()),
            locale: read::locale(self.text("hs_language").as_deref()),
            id: Some(self.id.clone()),
            accepts_email: takes_none.then_some(false),
            phones,
            ..Customer::default()
        }
    }
}

/// The code that a property holds, else what a name in words stands for.
fn country(code: Option<&str>, words: Option<&str>) -> Option<String> {
    if let Some(code) = read::country(code).or_else(|| read::country(words)) {
        return Some(code);
    }
    let words = words?.trim().to_lowercase();
    let known = COUNTRIES.iter().find(|(name, _)| *name == words);
    known.map(|(_, code)| (*code).to_owned())
}

/// What changed, in our words where there is one.
fn changed(told: &Told) -> Vec<String> {
    let mut words: Vec<String> = told
        .properties
        .iter()
        .map(|property| match property.as_str() {
            name if PHONE_PATHS.contains(&name) => "phone",
            "firstname" | "lastname" => "name",
            "lifecyclestage" => "stage",
            OWNER => "owner",
            other => other,
        })
        .map(str::to_owned)
        .collect();
    words.sort();
    words.dedup();
    words
}

/// `{id, email, firstName, lastName}`.
fn host(owner: &Value) -> Host {
    let text = |name: &str| owner.get(name).and_then(read::as_text);
    Host {
        name: read::full_name(text("firstName").as_deref(), text("lastName").as_deref()),
        email: read::email(text("email").as_deref()),
    }
}
