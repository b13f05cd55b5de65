//! Zendesk Support's API as far as end users and webhooks go.
//! <https://developer.zendesk.com/api-reference/ticketing/users/users/>,
//! <https://developer.zendesk.com/api-reference/webhooks/webhooks-api/webhooks/>
//!
//! A user field with `unknown` in its name is refused. The user `ana@example.com` is an agent. A token with
//! `agent` in it is of somebody who is no admin, and registers no webhooks.
//!
//! The users whom the samples of `events/leads` name can be read by id, and are in no search.

mod webhooks;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::room::{self, Held, Room, text};
use super::{Api, Reply, Request};

const DOMAIN: &str = ".zendesk.com";
/// How much later a search shows a user.
const SEARCH_LAG: SignedDuration = SignedDuration::from_mins(2);
const AGENT: &str = "ana@example.com";
/// What cannot be written.
const READ_ONLY: [&str; 7] = [
    "id",
    "active",
    "created_at",
    "tags",
    "user_fields",
    "skip_verify_email",
    "email",
];

/// So long after a sample's user was first read it has the phone that comes later.
const LATER: SignedDuration = SignedDuration::from_secs(60);

/// A user whom a sample names.
struct Sample {
    id: u64,
    name: &'static str,
    email: &'static str,
    phone: Option<&'static str>,
    /// The phone that is added some time after the user was first read.
    later: Option<&'static str>,
}

const SAMPLES: &[Sample] = &[
    Sample {
        id: 61_500_000_401,
        name: "Felipe Moura",
        email: "felipe.moura@example.com",
        phone: Some("+55 11 98005-0401"),
        later: None,
    },
    Sample {
        id: 61_500_000_402,
        name: "Gabriela Rocha",
        email: "gabriela.rocha@example.com",
        phone: None,
        later: Some("+5511980050402"),
    },
];

/// The stand-in.
#[derive(Debug, Default)]
pub struct Zendesk {
    room: Room,
    webhooks: webhooks::Webhooks,
    /// When each sample's user was first read.
    read: Mutex<BTreeMap<u64, Timestamp>>,
}

impl Zendesk {
    /// A user by id: one that was written, else a sample's.
    fn user(&self, held: &mut Held, id: &str, host: &str, now: Timestamp) -> Option<Value> {
        if let Some(user) = held.user(id) {
            return Some(user.clone());
        }
        let sample = SAMPLES.iter().find(|one| id.parse() == Ok(one.id))?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let first = *read.entry(sample.id).or_insert(now);
        let is_later = now.duration_since(first) >= LATER;
        let made = "2026-03-16T16:00:00Z";
        let email = json!({
            "id": sample.id + 1, "type": "email", "value": sample.email, "primary": true,
            "verified": false, "created_at": made,
        });
        let phone = sample.later.filter(|_| is_later).map(|phone| {
            json!({
                "id": sample.id + 2, "type": "phone_number", "value": phone, "primary": false,
                "verified": false, "created_at": now,
            })
        });
        let identities: Vec<Value> = std::iter::once(email).chain(phone).collect();
        Some(json!({
            "id": sample.id, "url": format!("https://{host}/api/v2/users/{id}.json"), "name": sample.name,
            "email": sample.email, "phone": sample.phone, "shared_phone_number": null, "external_id": null,
            "locale": "pt-BR", "time_zone": "Brasilia", "iana_time_zone": "America/Sao_Paulo",
            "role": "end-user", "active": true, "suspended": false, "verified": false,
            "organization_id": null, "user_fields": { "plano": "Anual" }, "tags": ["site"],
            "identities": identities, "created_at": made, "updated_at": now,
        }))
    }
}

impl Api for Zendesk {
    fn name(&self) -> &'static str {
        "zendesk"
    }

    fn is_at(&self, host: &str) -> bool {
        host.ends_with(DOMAIN)
    }

    fn failure(&self, status: u16) -> Reply {
        match status {
            401 => Reply::new(401, json!({ "error": "Couldn't authenticate you" })),
            // A text alone, and when to come back.
            429 => Reply::new(429, Value::Null).with("retry-after", "30"),
            status => Reply::new(status, json!({ "error": "InternalError" })),
        }
    }

    fn records(&self) -> Option<Vec<Value>> {
        Some(self.room.records())
    }

    fn answer(&self, request: &Request, now: Timestamp) -> Reply {
        let mut held = self.room.held();
        let token = room::basic(request).filter(|(user, _)| user.ends_with("/token"));
        let token = token.map(|(_, token)| token);
        let token = token.as_deref().or(room::bearer(request));
        if !held.is_good(token.unwrap_or_default(), now) {
            return self.failure(401);
        }
        if request.parts().starts_with(&["api", "v2", "webhooks"]) {
            let is_admin = !token.unwrap_or_default().contains("agent");
            return self.webhooks.answer(request, is_admin, now);
        }
        match (&request.method, request.parts().as_slice()) {
            (&Method::GET, ["api", "v2", "search.json"]) => held.users(request, now),
            (&Method::POST, ["api", "v2", "users", "create_or_update.json"]) => {
                held.create_or_update(&request.body, now)
            }
            (&Method::PUT, ["api", "v2", "users", id, "tags.json"]) => match held.user(id) {
                Some(user) => add_tags(user, &request.body),
                None => missing(),
            },
            (&Method::GET, ["api", "v2", "users", id, "identities.json"]) => {
                match self.user(&mut held, id, &request.host, now) {
                    Some(user) => Reply::new(200, json!({ "identities": user.get("identities") })),
                    None => missing(),
                }
            }
            (&Method::GET, ["api", "v2", "users", file]) => {
                match self.user(&mut held, id_of(file), &request.host, now) {
                    Some(user) => Reply::new(200, json!({ "user": user })),
                    None => missing(),
                }
            }
            (&Method::PUT, ["api", "v2", "users", file]) => {
                let id = id_of(file).to_owned();
                held.change_user(&id, &request.body, 200)
            }
            _ => missing(),
        }
    }
}

impl Held {
    fn user(&mut self, id: &str) -> Option<&mut Value> {
        self.find(|user| room::has_id(user, id))
    }

    /// By `external_id`, then by e-mail address; never by phone.
    fn create_or_update(&mut self, body: &Value, now: Timestamp) -> Reply {
        let wanted = Value::Object(room::table(body, "user"));
        let same = |name: &'static str| {
            let value = text(&wanted, name).to_lowercase();
            move |user: &Value| !value.is_empty() && text(user, name).to_lowercase() == value
        };
        let (external, email) = (same("external_id"), same("email"));
        let found = self.all().find(|user| external(user));
        let found = found.or_else(|| self.all().find(|user| email(user)));
        let found = found.and_then(|user| user.get("id")).map(Value::to_string);
        if let Some(id) = found {
            return self.change_user(&id, body, 200);
        }
        if text(&wanted, "name").is_empty() {
            return invalid("name", "BlankValue");
        }
        let number = 9_000 + self.number();
        let email = text(&wanted, "email");
        let role = if email == AGENT { "agent" } else { "end-user" };
        let user = json!({
            "id": number, "email": wanted.get("email"), "phone": null, "shared_phone_number": null,
            "external_id": null, "role": role, "active": true, "suspended": false, "verified": false,
            "user_fields": {}, "tags": [], "identities": [], "created_at": now,
            // Without skip_verify_email, the person was mailed.
            "mailed": !email.is_empty() && wanted.get("skip_verify_email") != Some(&json!(true)),
        });
        if let Some(refused) = self.problem(&wanted, "") {
            return refused;
        }
        self.push(user, now);
        self.change_user(&number.to_string(), body, 201)
    }

    fn change_user(&mut self, id: &str, body: &Value, status: u16) -> Reply {
        let wanted = Value::Object(room::table(body, "user"));
        if let Some(refused) = self.problem(&wanted, id) {
            return refused;
        }
        let Some(user) = self.user(id) else {
            return missing();
        };
        let (old, new) = (text(user, "email").to_lowercase(), text(&wanted, "email"));
        if !new.is_empty() && old != new.to_lowercase() && !is_of(user, "email", new) {
            // Another address becomes a second one.
            let identity = json!({ "type": "email", "value": new, "primary": old.is_empty() });
            if let Some(list) = user.get_mut("identities").and_then(Value::as_array_mut) {
                list.push(identity);
            }
        }
        if let Some(fields) = user.get_mut("user_fields") {
            room::put(fields, room::table(&wanted, "user_fields"));
        }
        let mut fields = wanted.as_object().cloned().unwrap_or_default();
        // Tags in a user replace those there.
        let tags = fields.remove("tags");
        fields.retain(|name, _| !READ_ONLY.contains(&name.as_str()));
        fields.extend(tags.map(|tags| ("tags".to_owned(), tags)));
        room::put(user, fields);
        Reply::new(status, json!({ "user": user }))
    }

    fn problem(&self, wanted: &Value, id: &str) -> Option<Reply> {
        let fields = room::table(wanted, "user_fields");
        if let Some(name) = fields.keys().find(|name| name.contains("unknown")) {
            return Some(invalid(name, "InvalidValue"));
        }
        let others = || {
            let other = |user: &&Value| !room::has_id(user, id);
            self.all().filter(other)
        };
        let taken = |name: &str| {
            let value = text(wanted, name);
            !value.is_empty() && others().any(|user| is_of(user, name, value))
        };
        let mut unique = ["phone", "email", "external_id"].into_iter();
        unique
            .find(|name| taken(name))
            .map(|name| invalid(name, "DuplicateValue"))
    }

    /// `type:user [role:end-user] phone:*87654321` and `type:user email:"a@b"`.
    fn users(&self, request: &Request, now: Timestamp) -> Reply {
        let query = request.query("query").unwrap_or_default();
        let terms: Vec<(&str, &str)> = query
            .split(' ')
            .filter_map(|term| term.split_once(':'))
            .collect();
        let digits =
            |typed: &str| -> String { typed.chars().filter(char::is_ascii_digit).collect() };
        let meets = |user: &&Value| {
            terms
                .iter()
                .all(|(name, value)| match (*name, value.trim_matches('"')) {
                    ("type", value) => value == "user",
                    ("phone", value) => match value.strip_prefix('*') {
                        Some(tail) => digits(text(user, "phone")).ends_with(tail),
                        None => digits(text(user, "phone")) == value,
                    },
                    (name, value) => is_of(user, name, value),
                })
        };
        let found = self.searched(now, SEARCH_LAG).filter(meets).cloned();
        let found: Vec<Value> = found.collect();
        Reply::new(
            200,
            json!({ "results": found, "count": found.len(), "next_page": null }),
        )
    }
}

/// Whether it is this user's, as a first or a second one.
fn is_of(user: &Value, name: &str, value: &str) -> bool {
    let second = user.get("identities").and_then(Value::as_array);
    let mut second = second.map_or(&[][..], Vec::as_slice).iter();
    text(user, name).eq_ignore_ascii_case(value)
        || (name == "email" && second.any(|one| text(one, "value").eq_ignore_ascii_case(value)))
}

fn add_tags(user: &mut Value, body: &Value) -> Reply {
    let new = body
        .get("tags")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let Some(tags) = user.get_mut("tags").and_then(Value::as_array_mut) else {
        return missing();
    };
    for tag in new {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    Reply::new(200, json!({ "tags": tags }))
}

fn id_of(file: &str) -> &str {
    file.trim_end_matches(".json")
}

fn invalid(field: &str, code: &str) -> Reply {
    let problem = json!([{ "description": format!("{field} is not valid"), "error": code }]);
    Reply::new(
        422,
        json!({
            "error": "RecordInvalid", "description": "Record validation errors", "details": { field: problem },
        }),
    )
}

fn missing() -> Reply {
    Reply::new(
        404,
        json!({ "error": "RecordNotFound", "description": "Not found" }),
    )
}
