//! A user as Zendesk's API shows it, and the events of it.
//! <https://developer.zendesk.com/api-reference/ticketing/users/users/>

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::KIND;
use super::notice::Told;
use crate::connections::Connection;
use crate::event::{
    Body, Customer, Event, FreeMap, Head, Host, Lead, LeadKind, Name, PhoneCandidate, Subject,
    SubjectKind,
};
use crate::sources::{Unreadable, booking, read};

/// Whom events are about; agents and admins are the user's own team.
pub(super) const END_USER: &str = "end-user";
/// In the order of preference. Whom a shared number reaches is the least certain.
pub(super) const PHONE_PATHS: &[&str] = &[PHONE, IDENTITIES, SHARED];
/// Fields of the account's own may be named one by one.
pub(super) const FIELDS: &str = "user_fields.";
const PHONE: &str = "phone";
/// Second phones.
const IDENTITIES: &str = "identities";
const SHARED: &str = "shared_phone_number";
/// The type of an identity that is a phone.
const PHONE_TYPE: &str = "phone_number";
/// A phone that is added within this time of a user's making is part of it: Zendesk tells of both, in seconds.
const PART_OF_MAKING: SignedDuration = SignedDuration::from_secs(2);
/// Most second phones that are kept.
const IDENTITIES_MAX: usize = 10;
/// Most tags that are kept.
const TAGS_MAX: usize = 100;
/// Fields of a user that have no place of their own in an event.
const OTHERS: [&str; 3] = ["organization_id", "external_id", "alias"];

/// Whether an identity of this type is a phone.
pub(super) fn is_phone(kind: &str) -> bool {
    kind == PHONE_TYPE
}

/// Whether the events need the user's second phones, which are asked for apart.
pub fn wants_identities(told: &Told, user: &Value, connection: &Connection) -> bool {
    let has_phone = user.get(PHONE).and_then(read::as_text).is_some();
    !told.made || !has_phone || connection.phone_from.iter().any(|path| path == IDENTITIES)
}

/// The events of one user who was told of: `user` as `GET /users/{id}` shows it, `identities` the list of
/// `GET /users/{id}/identities`, empty where it was not asked for.
///
/// Nothing comes of an agent, of a user who was deleted or merged, and of one whom Zendesk suspended.
///
/// # Errors
/// What cannot be read.
pub fn events(
    told: &Told,
    user: &Value,
    identities: &[Value],
    account: Option<&str>,
    connection: &Connection,
) -> Result<Vec<Event>, Unreadable> {
    let flag = |name: &str| user.get(name).and_then(Value::as_bool);
    let is_end_user = user.get("role").and_then(Value::as_str) == Some(END_USER);
    if !is_end_user || flag("active") == Some(false) || flag("suspended") == Some(true) {
        return Ok(Vec::new());
    }
    let id = user.get("id").and_then(read::as_id);
    let person = Person {
        id: read::required(id, "user.id", "an id")?,
        made_at: date(user, "created_at"),
        updated_at: date(user, "updated_at"),
        account,
        user,
        identities,
    };
    if told.made {
        let at = person.made_at.unwrap_or(told.at);
        return Ok(vec![person.event(Name::LeadCreated, at, connection)]);
    }
    let is_later = person
        .made_at
        .is_none_or(|made| told.at.duration_since(made) > PART_OF_MAKING);
    if is_later && (told.is_phone || person.got_a_phone(told)) {
        return Ok(vec![person.event(Name::LeadUpdated, told.at, connection)]);
    }
    Ok(Vec::new())
}

struct Person<'a> {
    id: String,
    made_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
    account: Option<&'a str>,
    user: &'a Value,
    identities: &'a [Value],
}

impl Person<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.user.get(name).and_then(read::as_text)
    }

    /// Whether what was added is a phone: the one of this id, else the newest.
    fn got_a_phone(&self, told: &Told) -> bool {
        let id = |one: &&Value| one.get("id").and_then(read::as_id) == told.identity;
        let named = self.identities.iter().find(id);
        let newest = || {
            let all = self.identities.iter();
            all.max_by_key(|one| date(one, "created_at"))
        };
        let added = match told.identity {
            Some(_) => named,
            None => newest(),
        };
        added.is_some_and(is_phone_identity)
    }

    fn event(&self, name: Name, at: Timestamp, connection: &Connection) -> Event {
        let is_update = name == Name::LeadUpdated;
        let fact = match is_update {
            true => format!("updated/{}", at.as_millisecond()),
            false => "created".to_owned(),
        };
        let changed = is_update.then(|| "phone".to_owned());
        let as_of = self.updated_at.map_or(at, |updated| updated.max(at));
        Event {
            event: Head {
                name,
                source: connection.name.clone(),
                kind: KIND.to_owned(),
                account: self.account.map(str::to_owned),
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
                lead: Box::new(self.lead(changed.into_iter().collect())),
            },
        }
    }

    fn lead(&self, changed: Vec<String>) -> Lead {
        let mut fields = FreeMap::new();
        let own = self.user.get("user_fields").and_then(Value::as_object);
        for (name, value) in own.into_iter().flatten() {
            read::put(&mut fields, name, value.clone());
        }
        for name in OTHERS {
            if let Some(value) = self.user.get(name) {
                read::put(&mut fields, name, value.clone());
            }
        }
        // The address of the user in the API names the account's own host.
        let host = self.user.get("url").and_then(Value::as_str);
        let host = host.and_then(read::host);
        Lead {
            id: self.id.clone(),
            kind: LeadKind::User,
            url: host.map(|host| format!("https://{host}/agent/users/{}", self.id)),
            created_at: self.made_at,
            owner: Host::default(),
            company: None,
            stage: None,
            fields,
            changed,
            list: None,
        }
    }

    fn customer(&self, connection: &Connection) -> Customer {
        let email = read::email(self.text("email").as_deref());
        let tags = self.user.get("tags").and_then(Value::as_array);
        let tags = tags.into_iter().flatten().filter_map(read::as_text);
        let paths: Vec<&str> = match connection.phone_from.as_slice() {
            [] => PHONE_PATHS.to_vec(),
            chosen => chosen.iter().map(String::as_str).collect(),
        };
        Customer {
            name: self.name(email.as_deref()),
            locale: read::locale(self.text("locale").as_deref()),
            timezone: booking::zone(self.text("iana_time_zone").as_deref()),
            id: Some(self.id.clone()),
            email,
            tags: tags.take(TAGS_MAX).collect(),
            phones: paths.iter().flat_map(|path| self.phones(path)).collect(),
            ..Customer::default()
        }
    }

    /// Users who came by e-mail or telephone are called by their address or number until somebody asks.
    fn name(&self, email: Option<&str>) -> Option<String> {
        let name = self.text("name")?;
        let is_address = email.is_some_and(|email| name.to_lowercase() == email);
        (!is_address && !booking::may_be_number(&name)).then_some(name)
    }

    /// What stands at one path: one candidate, or one for each second phone.
    fn phones(&self, path: &str) -> Vec<PhoneCandidate> {
        let candidate = |number: Option<String>| PhoneCandidate {
            path: path.to_owned(),
            number,
            country: None,
        };
        if path == IDENTITIES {
            let all = self.identities.iter();
            let phones = all.filter(|one| is_phone_identity(one));
            let numbers = phones.filter_map(|one| one.get("value").and_then(read::as_text));
            let found: Vec<_> = numbers
                .take(IDENTITIES_MAX)
                .map(Some)
                .map(candidate)
                .collect();
            return match found.is_empty() {
                true => vec![candidate(None)],
                false => found,
            };
        }
        let number = match path.strip_prefix(FIELDS) {
            Some(field) => {
                let own = self.user.get("user_fields");
                own.and_then(|own| own.get(field)).and_then(read::as_text)
            }
            // In some accounts this says only whether the phone is shared.
            None => self.text(path),
        };
        vec![candidate(number)]
    }
}

fn is_phone_identity(identity: &Value) -> bool {
    let kind = identity.get("type").and_then(Value::as_str);
    kind.is_some_and(is_phone)
}

fn date(value: &Value, name: &str) -> Option<Timestamp> {
    value.get(name)?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn user(more: &Value) -> Value {
        let mut user = json!({
            "id": 6596, "url": "https://minha-empresa.zendesk.com/api/v2/users/6596.json", "name": "Ana Prado",
            "email": "Ana@Example.com", "phone": "11 98005-0001", "shared_phone_number": false, "locale": "pt-BR",
            "iana_time_zone": "America/Sao_Paulo", "time_zone": "Brasilia", "role": "end-user", "external_id": null,
            "active": true, "suspended": false, "organization_id": 57542, "tags": ["vip", "loja"], "alias": "",
            "user_fields": {"plano": "Anual", "vazio": null, "whatsapp": "11 98005-0009"},
            "created_at": "2026-03-16T16:00:00Z", "updated_at": "2026-03-16T16:00:05Z",
        });
        let fields = user.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        user
    }

    fn phone(id: u64, value: &str) -> Value {
        json!({"id": id, "type": "phone_number", "value": value, "created_at": "2026-03-16T16:09:00Z"})
    }

    fn told(made: bool, when: &str) -> Told {
        Told {
            user: "6596".to_owned(),
            made,
            at: at(when),
            identity: None,
            is_phone: false,
        }
    }

    fn read(told: &Told, user: &Value, identities: &[Value]) -> Vec<Event> {
        let plain = Connection::plain(KIND);
        events(told, user, identities, Some("22129848"), &plain).unwrap()
    }

    fn numbers(event: &Event) -> Vec<(&str, Option<&str>)> {
        let phones = event.customer.phones.iter();
        phones
            .map(|one| (one.path.as_str(), one.number.as_deref()))
            .collect()
    }

    #[test]
    fn a_new_end_user_is_a_lead() {
        let event = read(&told(true, "2026-03-16T16:00:00Z"), &user(&json!({})), &[]).remove(0);
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(
            json,
            json!({
                "event": {
                    "name": "lead.created", "source": "zendesk", "kind": "zendesk", "account": "22129848",
                    "id": "zendesk/lead/6596/created", "at": "2026-03-16T16:00:00Z",
                },
                "customer": {
                    "name": "Ana Prado", "email": "ana@example.com", "locale": "pt-BR", "id": "6596",
                    "timezone": "America/Sao_Paulo", "tags": ["vip", "loja"],
                    "phones": [
                        {"path": "phone", "number": "11 98005-0001"}, {"path": "identities"},
                        {"path": "shared_phone_number"},
                    ],
                },
                "subject": {
                    "kind": "lead", "id": "6596", "as_of": "2026-03-16T16:00:05Z",
                    "created_at": "2026-03-16T16:00:00Z", "state": "open", "fresh": "dated",
                },
                "lead": {
                    "id": "6596", "kind": "user", "url": "https://minha-empresa.zendesk.com/agent/users/6596",
                    "created_at": "2026-03-16T16:00:00Z", "owner": {}, "changed": [],
                    "fields": {"organization_id": 57542, "plano": "Anual", "whatsapp": "11 98005-0009"},
                },
            })
        );
    }

    #[test]
    fn a_phone_that_is_added_is_an_update_and_an_address_is_none() {
        let identities = [
            json!({"id": 1, "type": "email", "value": "ana@example.com", "created_at": "2026-03-16T16:00:00Z"}),
            phone(2, "+5511980050002"),
        ];
        let user = user(&json!({"phone": null}));
        let later = told(false, "2026-03-16T16:09:00Z");
        let of = |identity: Option<&str>| Told {
            identity: identity.map(str::to_owned),
            ..later.clone()
        };
        let found = read(&of(Some("2")), &user, &identities).remove(0);
        assert_eq!(found.event.id, "zendesk/lead/6596/updated/1773677340000");
        assert_eq!(found.lead().unwrap().changed, ["phone"]);
        assert_eq!(numbers(&found)[1], ("identities", Some("+5511980050002")));
        assert_eq!(
            read(&of(None), &user, &identities).len(),
            1,
            "the newest one"
        );
        assert!(read(&of(Some("1")), &user, &identities).is_empty());
        assert!(read(&of(Some("9")), &user, &identities).is_empty());
        assert!(read(&of(None), &user, &[]).is_empty());
        let said = Told {
            is_phone: true,
            ..of(Some("9"))
        };
        assert_eq!(
            read(&said, &user, &identities).len(),
            1,
            "the webhook says it"
        );
        let with_the_user = Told {
            at: at("2026-03-16T16:00:01Z"),
            ..said
        };
        assert!(read(&with_the_user, &user, &identities).is_empty());
    }

    #[test]
    fn nothing_comes_of_agents_and_of_those_who_are_gone() {
        let made = told(true, "2026-03-16T16:00:00Z");
        for gone in [
            json!({"role": "agent"}),
            json!({"role": "admin"}),
            json!({"role": null}),
            json!({"active": false}),
            json!({"suspended": true}),
        ] {
            assert!(read(&made, &user(&gone), &[]).is_empty(), "{gone}");
        }
        assert!(read(&made, &json!([]), &[]).is_empty());
        let plain = Connection::plain(KIND);
        let nobody = events(&made, &user(&json!({"id": ""})), &[], None, &plain);
        assert!(nobody.is_err());
    }

    #[test]
    fn a_name_that_is_an_address_or_a_number_is_none() {
        let made = told(true, "2026-03-16T16:00:00Z");
        for (name, found) in [
            ("Ana Prado", Some("Ana Prado")),
            ("ana@example.com", None),
            ("+55 11 98005-0001", None),
            ("", None),
        ] {
            let event = read(&made, &user(&json!({"name": name})), &[]).remove(0);
            assert_eq!(event.customer.name.as_deref(), found, "{name}");
        }
    }

    #[test]
    fn phones_are_where_the_connection_says() {
        let connection = Connection {
            phone_from: vec!["user_fields.whatsapp".to_owned(), "identities".to_owned()],
            ..Connection::plain(KIND)
        };
        let made = told(true, "2026-03-16T16:00:00Z");
        let user = user(&json!({"shared_phone_number": "+5511980050003"}));
        assert!(wants_identities(&made, &user, &connection));
        assert!(!wants_identities(&made, &user, &Connection::plain(KIND)));
        let identities = [phone(2, "+5511980050002"), phone(3, "+5511980050004")];
        let event = events(&made, &user, &identities, None, &connection)
            .unwrap()
            .remove(0);
        assert_eq!(
            numbers(&event),
            [
                ("user_fields.whatsapp", Some("11 98005-0009")),
                ("identities", Some("+5511980050002")),
                ("identities", Some("+5511980050004")),
            ]
        );
        let usual = read(&made, &user, &[]);
        assert_eq!(
            numbers(&usual[0])[2],
            ("shared_phone_number", Some("+5511980050003"))
        );
    }
}
