//! A contact, as the worker reads it and as a workflow posts it, and the events of it.
//! <https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide>

use jiff::Timestamp;
use serde_json::Value;

use super::KIND;
use super::notice::{PART_OF_MAKING, Told, date};
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
    let mut merged = merged
        .and_then(Value::as_str)
        .unwrap_or_default()
        .split(';');
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
            At::Updated(_) => changed(told, connection),
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
            format!(
                "https://app.hubspot.com/contacts/{portal}/contact/{}",
                self.id
            )
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
fn changed(told: &Told, connection: &Connection) -> Vec<String> {
    let chosen = |name: &str| {
        let mut paths = connection.phone_from.iter();
        paths.any(|path| path.strip_prefix(PROPERTIES) == Some(name))
    };
    let mut words: Vec<String> = told
        .properties
        .iter()
        .map(|property| match property.as_str() {
            name if PHONE_PATHS.contains(&name) || chosen(name) => "phone",
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn contact(more: &Value) -> Value {
        let mut contact = json!({
            "id": "101", "createdAt": "2026-03-16T12:00:00.250Z", "updatedAt": "2026-03-16T12:00:03Z", "archived": false,
            "properties": {
                "firstname": "Ana", "lastname": "Prado", "email": "Ana@Example.com", "phone": "(11) 98001-0001",
                "mobilephone": null, "hs_whatsapp_phone_number": "", "country": "Brazil", "company": "Padaria Sol",
                "lifecyclestage": "lead", "hubspot_owner_id": "7", "hs_language": "pt-br", "hs_object_id": "101",
                "createdate": "2026-03-16T12:00:00.250Z", "lastmodifieddate": "2026-03-16T12:00:03Z",
                "hs_lead_status": "NEW", "hs_internal": "x", "city": "São Paulo",
            },
        });
        let held = contact["properties"].as_object_mut().unwrap();
        held.extend(more.as_object().unwrap().clone());
        contact
    }

    fn made() -> Told {
        Told {
            portal: Some("62515".to_owned()),
            id: "101".to_owned(),
            made: true,
            made_at: Some(at("2026-03-16T12:00:00Z")),
            ..Told::default()
        }
    }

    fn updated(when: &str, properties: &[&str]) -> Told {
        Told {
            made: false,
            made_at: None,
            updated_at: Some(at(when)),
            properties: properties.iter().map(|name| (*name).to_owned()).collect(),
            ..made()
        }
    }

    fn read(told: &Told, contact: &Value) -> Vec<Event> {
        events(told, contact, None, &Connection::plain(KIND)).unwrap()
    }

    #[test]
    fn a_new_contact_is_a_lead() {
        let owner =
            json!({"id": "7", "email": "Rui@example.com", "firstName": "Rui", "lastName": "Sá"});
        let event = events(
            &made(),
            &contact(&json!({})),
            Some(&owner),
            &Connection::plain(KIND),
        )
        .unwrap()
        .remove(0);
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(
            json,
            json!({
                "event": {
                    "name": "lead.created", "source": "hubspot", "kind": "hubspot", "account": "62515",
                    "id": "hubspot/lead/101/created", "at": "2026-03-16T12:00:00.25Z",
                },
                "customer": {
                    "name": "Ana Prado", "first_name": "Ana", "last_name": "Prado", "country": "BR",
                    "email": "ana@example.com", "locale": "pt-BR", "id": "101", "tags": [],
                    "phones": [
                        {"path": "hs_whatsapp_phone_number"}, {"path": "mobilephone"},
                        {"path": "phone", "number": "(11) 98001-0001", "country": "BR"},
                    ],
                },
                "subject": {
                    "kind": "lead", "id": "101", "as_of": "2026-03-16T12:00:03Z",
                    "created_at": "2026-03-16T12:00:00.25Z", "state": "open", "fresh": "dated",
                },
                "lead": {
                    "id": "101", "kind": "contact", "url": "https://app.hubspot.com/contacts/62515/contact/101",
                    "created_at": "2026-03-16T12:00:00.25Z", "company": "Padaria Sol", "stage": "lead",
                    "owner": {"name": "Rui Sá", "email": "rui@example.com"}, "changed": [],
                    "fields": {
                        "country": "Brazil", "city": "São Paulo", "hubspot_owner_id": "7", "hs_lead_status": "NEW",
                    },
                },
            })
        );
    }

    #[test]
    fn an_update_says_what_changed_and_is_known_by_its_date() {
        let told = updated(
            "2026-03-16T12:05:00Z",
            &[
                "mobilephone",
                "phone",
                "firstname",
                "lifecyclestage",
                "hubspot_owner_id",
                "email",
                "plano",
            ],
        );
        let found = read(&told, &contact(&json!({"plano": "Anual"}))).remove(0);
        assert_eq!(found.event.id, "hubspot/lead/101/updated/1773662700000");
        assert_eq!(found.event.at, at("2026-03-16T12:05:00Z"));
        let lead = found.lead().unwrap();
        assert_eq!(
            lead.changed,
            ["email", "name", "owner", "phone", "plano", "stage"]
        );
        assert_eq!(lead.fields["plano"], "Anual");
        // What came with the contact is no change of it.
        let told = updated("2026-03-16T12:00:01Z", &["phone"]);
        assert!(read(&told, &contact(&json!({}))).is_empty());
    }

    #[test]
    fn properties_of_the_accounts_own_are_asked_for_and_read() {
        let connection = Connection {
            phone_from: vec!["properties.celular".to_owned(), "phone".to_owned()],
            ..Connection::plain(KIND)
        };
        let told = updated("2026-03-16T12:05:00Z", &["celular", "plano"]);
        let names = properties(std::slice::from_ref(&told), &connection);
        for name in [
            "celular",
            "plano",
            "hs_whatsapp_phone_number",
            "hs_language",
        ] {
            assert_eq!(names.iter().filter(|one| *one == name).count(), 1, "{name}");
        }
        let contact = contact(&json!({"celular": "11 98001-0009"}));
        let found = events(&told, &contact, None, &connection)
            .unwrap()
            .remove(0);
        let phones = &found.customer.phones;
        assert_eq!(phones[0].path, "properties.celular");
        assert_eq!(phones[0].number.as_deref(), Some("11 98001-0009"));
        assert_eq!(found.lead().unwrap().changed, ["phone", "plano"]);
    }

    #[test]
    fn a_contact_that_was_merged_answers_under_another_id() {
        let merged = contact(&json!({"hs_merged_object_ids": "99; 77"}));
        for id in ["101", "99", "77"] {
            assert!(answers_to(&merged, id), "{id}");
        }
        assert!(!answers_to(&merged, "7"));
        let told = Told {
            id: "99".to_owned(),
            ..made()
        };
        assert_eq!(read(&told, &merged)[0].event.id, "hubspot/lead/101/created");
    }

    #[test]
    fn what_is_gone_or_odd_makes_no_event_and_no_panic() {
        let mut archived = contact(&json!({}));
        archived["archived"] = json!(true);
        assert!(read(&made(), &archived).is_empty());
        let plain = Connection::plain(KIND);
        for odd in [
            json!(null),
            json!([]),
            json!({"id": "1"}),
            json!({"properties": {}}),
        ] {
            assert!(events(&made(), &odd, None, &plain).is_err(), "{odd}");
        }
        // Without any date of HubSpot's, the webhook's own counts.
        let bare = json!({"id": 101, "properties": {"phone": 11_980_010_001_i64}});
        let told = made();
        assert_eq!(read(&told, &bare)[0].event.at, told.made_at.unwrap());
        let dateless = Told {
            made_at: None,
            properties: BTreeSet::new(),
            ..told
        };
        assert!(events(&dateless, &bare, None, &plain).is_err());
    }

    #[test]
    fn countries_come_as_codes_and_as_words() {
        for (code, words, found) in [
            (Some("it"), Some("Brazil"), Some("IT")),
            (None, Some(" Brasil "), Some("BR")),
            (None, Some("br"), Some("BR")),
            (Some("Italy"), Some("MÉXICO"), Some("MX")),
            (None, Some("Narnia"), None),
            (None, None, None),
        ] {
            assert_eq!(country(code, words).as_deref(), found, "{words:?}");
        }
    }
}
