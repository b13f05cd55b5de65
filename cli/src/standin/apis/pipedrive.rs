//! Pipedrive's API as far as persons go, what a deal has numbers of, and webhooks.
//! <https://developers.pipedrive.com/docs/api/v1/Persons>, <https://developers.pipedrive.com/docs/api/v1/Webhooks>
//!
//! A token with `member` in it is of a user who is no admin.

use std::sync::{Mutex, MutexGuard, PoisonError};

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use shared::secrets::Secret;

use super::deliver::{self, Webhook};
use super::room::{self, Held, Room, text};
use super::{Api, Reply, Request};

const DOMAIN: &str = ".pipedrive.com";
const TOKEN_HOST: &str = "oauth.pipedrive.com";
/// How long an access token lives, in seconds.
const TOKEN_SECONDS: i64 = 3_600;
/// What a person has of its own; custom fields have their own table.
const OWN: [&str; 8] = [
    "name",
    "phones",
    "emails",
    "label_ids",
    "owner_id",
    "org_id",
    "visible_to",
    "custom_fields",
];

/// The people of the samples in `events/leads`: id, name, phone and e-mail address. They are read by their
/// ids alone.
const SAMPLES: [(u64, &str, &str, &str); 3] = [
    (
        7001,
        "Beatriz Nogueira",
        "+55 11 98002-0001",
        "beatriz@example.com",
    ),
    (7002, "Caio Teles", "(11) 98002-0002", "caio@example.com"),
    (7003, "Denise Faria", "11 98002-0003", "denise@example.com"),
];
/// The stages of the one pipeline, from 1.
const STAGES: [&str; 4] = ["Contato", "Proposta", "Negociação", "Contrato"];
/// Most webhooks of a user.
const HOOKS_MAX: usize = 40;

/// The stand-in.
#[derive(Debug, Default)]
pub struct Pipedrive {
    room: Room,
    hooks: Mutex<Vec<Value>>,
}

impl Api for Pipedrive {
    fn name(&self) -> &'static str {
        "pipedrive"
    }

    fn is_at(&self, host: &str) -> bool {
        host.ends_with(DOMAIN)
    }

    fn changes(&self, request: &Request) -> bool {
        request.method != Method::GET && request.host != TOKEN_HOST
    }

    fn failure(&self, status: u16) -> Reply {
        match status {
            // Cloudflare's page.
            403 => Reply::new(403, Value::Null),
            429 => refused(429, "request over limit").with("x-ratelimit-reset", "2"),
            status => refused(status, "told to fail"),
        }
    }

    fn records(&self) -> Option<Vec<Value>> {
        Some(self.room.records())
    }

    fn answer(&self, request: &Request, now: Timestamp) -> Reply {
        let mut held = self.room.held();
        if request.host == TOKEN_HOST {
            return match held.grant(request, TOKEN_SECONDS, now) {
                Some(token) => {
                    let mut answer = room::token_answer(&token, Some(TOKEN_SECONDS));
                    let domain = json!("https://minha-empresa.pipedrive.com");
                    room::set(&mut answer, "api_domain", domain);
                    Reply::new(200, answer)
                }
                None => Reply::new(400, json!({ "success": false, "error": "invalid_grant" })),
            };
        }
        let token = room::bearer(request).or(request.header("x-api-token"));
        if !held.is_good(token.unwrap_or_default(), now) {
            return refused(401, "unauthorized access");
        }
        let parts = request.parts();
        let v1 = parts.strip_prefix(&["api"]).unwrap_or(&parts);
        if let ["v1", rest @ ..] = v1 {
            let is_admin = !token.unwrap_or_default().contains("member");
            return self.answer_v1(request, rest, is_admin, now);
        }
        match (&request.method, parts.as_slice()) {
            (&Method::GET, ["api", "v2", "persons", "search"]) => held.persons(request, now),
            (&Method::POST, ["api", "v2", "persons"]) => held.make_person(&request.body, now),
            (&Method::GET, ["api", "v2", "persons", id]) => match held.person(id) {
                Some(person) => found(person),
                None => match sample(id) {
                    Some(person) => found(&person),
                    None => refused(404, "Person not found"),
                },
            },
            (&Method::GET, ["api", "v2", "stages", id]) => stage(id),
            (&Method::GET, ["api", "v2", "pipelines", "1"]) => {
                found(&json!({ "id": 1, "name": "Vendas", "is_deleted": false }))
            }
            (&Method::PATCH, ["api", "v2", "persons", id]) => {
                if let Some(refused) = problem(&request.body) {
                    return refused;
                }
                let fields = own(&request.body);
                let Some(person) = held.person(id) else {
                    return refused(404, "Person not found");
                };
                change(person, fields, now);
                found(person)
            }
            _ => refused(404, "Unknown method"),
        }
    }
}

impl Pipedrive {
    fn hooks(&self) -> MutexGuard<'_, Vec<Value>> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer_v1(&self, request: &Request, path: &[&str], is_admin: bool, now: Timestamp) -> Reply {
        match (&request.method, path) {
            (&Method::GET, ["users", "me"]) => found(&user(1, is_admin)),
            (&Method::GET, ["users", id]) => match id.parse() {
                Ok(id) => found(&user(id, true)),
                Err(_) => refused(404, "User not found"),
            },
            (&Method::GET, ["webhooks"]) => found(&Value::from(self.hooks().clone())),
            (&Method::POST, ["webhooks"]) => self.register(&request.body, now),
            (&Method::DELETE, ["webhooks", id]) => {
                let mut hooks = self.hooks();
                let before = hooks.len();
                hooks.retain(|hook| !room::has_id(hook, id));
                match hooks.len() < before {
                    true => Reply::new(200, json!({ "status": "ok", "success": true })),
                    false => refused(404, "Webhook not found"),
                }
            }
            _ => refused(404, "Unknown method"),
        }
    }

    /// Makes a webhook. Its password is shown to whoever may list it, as Pipedrive does.
    fn register(&self, body: &Value, now: Timestamp) -> Reply {
        let mut hooks = self.hooks();
        let known = |name: &str, values: &[&str]| values.contains(&text(body, name));
        if !deliver::takes(text(body, "subscription_url")) {
            return refused(400, "subscription_url is not valid");
        }
        if !known("event_action", &["create", "change", "delete", "*"])
            || !known("event_object", &["person", "deal", "organization", "*"])
            || !known("version", &["", "1.0", "2.0"])
        {
            return refused(400, "event_action, event_object or version is not valid");
        }
        if text(body, "name").is_empty() {
            return refused(400, "name is required");
        }
        if hooks.len() >= HOOKS_MAX {
            return refused(403, "too many webhooks");
        }
        let last = hooks.last().and_then(|hook| hook.get("id")?.as_u64());
        let id = last.unwrap_or(900) + 1;
        let mut hook = json!({
            "id": id, "company_id": 1, "owner_id": 1, "user_id": 1, "is_active": 1, "type": "general",
            "add_time": now, "remove_time": null, "remove_reason": null, "admin_id": 1,
            "last_delivery_time": null, "last_http_status": null, "version": "2.0",
        });
        room::put(&mut hook, body.as_object().cloned().unwrap_or_default());
        hooks.push(hook.clone());
        if known("event_action", &["create"]) && known("event_object", &["person"]) {
            let (user, password) = (
                text(body, "http_auth_user"),
                text(body, "http_auth_password"),
            );
            let first = Webhook {
                kind: "pipedrive",
                url: text(body, "subscription_url").to_owned(),
                secret: Secret::new(format!("{user}:{password}")),
                headers: Vec::new(),
                body: added(id, now),
            };
            first.post(now);
        }
        Reply::new(
            201,
            json!({ "status": "ok", "success": true, "data": hook }),
        )
    }
}

/// Somebody adds a person.
fn added(hook: u64, now: Timestamp) -> Value {
    let mut person = sample("7001").unwrap_or_default();
    let times = json!({ "add_time": now, "update_time": now });
    room::put(&mut person, times.as_object().cloned().unwrap_or_default());
    json!({
        "meta": { "action": "create", "entity": "person", "entity_id": "7001", "company_id": "1",
            "id": format!("00000000-0000-4000-8000-{hook:012}"), "correlation_id": "c", "user_id": "1",
            "webhook_id": hook.to_string(), "webhook_owner_id": "1", "is_bulk_edit": false,
            "timestamp": now, "type": "general", "version": "2.0", "change_source": "app", "attempt": 1,
            "host": "minha-empresa.pipedrive.com", "permitted_user_ids": ["1"] },
        "data": person, "previous": null,
    })
}

/// A person of the samples.
fn sample(id: &str) -> Option<Value> {
    let id = id.parse().ok();
    let (id, name, phone, email) = SAMPLES.iter().find(|(known, ..)| Some(*known) == id)?;
    let (first, last) = name.split_once(' ')?;
    Some(json!({
        "id": id, "name": name, "first_name": first, "last_name": last, "owner_id": 1, "org_id": null,
        "phones": [{ "value": phone, "primary": true, "label": "mobile" }],
        "emails": [{ "value": email, "primary": true, "label": "work" }], "custom_fields": {},
        "label_ids": [], "is_deleted": false, "visible_to": 3, "add_time": "2026-03-16T13:00:00Z",
        "update_time": "2026-03-16T13:00:00Z",
    }))
}

fn stage(id: &str) -> Reply {
    let index = id.parse::<usize>().ok().and_then(|id| id.checked_sub(1));
    match index.and_then(|index| STAGES.get(index)) {
        Some(name) => {
            found(&json!({ "id": id.parse::<u64>().ok(), "name": name, "pipeline_id": 1 }))
        }
        None => refused(404, "Stage not found"),
    }
}

fn user(id: u64, is_admin: bool) -> Value {
    json!({
        "id": id, "name": "Ana Lima", "email": "ana@example.com", "active_flag": true,
        "is_admin": u8::from(is_admin), "company_id": 1, "company_domain": "minha-empresa",
    })
}

impl Held {
    fn person(&mut self, id: &str) -> Option<&mut Value> {
        self.find(|person| room::has_id(person, id))
    }

    fn make_person(&mut self, body: &Value, now: Timestamp) -> Reply {
        if text(body, "name").is_empty() {
            return refused(400, "name is required");
        }
        if let Some(refused) = problem(body) {
            return refused;
        }
        let id = 700 + self.number();
        let mut person = json!({
            "id": id, "phones": [], "emails": [], "custom_fields": {}, "label_ids": [], "owner_id": 1,
            "org_id": null, "is_deleted": false, "visible_to": 3, "add_time": now,
        });
        change(&mut person, own(body), now);
        self.push(person.clone(), now);
        found(&person)
    }

    fn persons(&self, request: &Request, now: Timestamp) -> Reply {
        let term = request.query("term").unwrap_or_default().to_lowercase();
        let exact = request.query("exact_match") == Some("true");
        if term.chars().count() < if exact { 1 } else { 2 } {
            return refused(400, "term is too short");
        }
        let fields: Vec<&str> = request
            .query("fields")
            .unwrap_or_default()
            .split(',')
            .collect();
        let values = |person: &Value, name: &str| -> Vec<String> {
            let list = person.get(name).and_then(Value::as_array);
            let list = list.map_or(&[][..], Vec::as_slice);
            list.iter()
                .map(|entry| text(entry, "value").to_owned())
                .collect()
        };
        let holds = |value: &String| {
            let value = value.to_lowercase();
            let digits: String = value.chars().filter(char::is_ascii_digit).collect();
            match exact {
                true => value == term,
                false => value.contains(&term) || digits.contains(&term),
            }
        };
        let meets = |person: &&Value| {
            let mut lists = [("phone", "phones"), ("email", "emails")].into_iter();
            lists.any(|(field, list)| {
                fields.contains(&field) && values(person, list).iter().any(holds)
            })
        };
        let items: Vec<Value> = self
            .searched(now, SignedDuration::ZERO)
            .filter(meets)
            .map(|person| {
                json!({ "result_score": 1, "item": {
                    "id": person.get("id"), "type": "person", "name": person.get("name"),
                    "phones": values(person, "phones"), "emails": values(person, "emails"),
                    "visible_to": 3, "owner": { "id": 1 }, "custom_fields": [], "notes": [],
                }})
            })
            .collect();
        let more = json!({ "next_cursor": null });
        Reply::new(
            200,
            json!({ "success": true, "data": { "items": items }, "additional_data": more }),
        )
    }
}

fn own(body: &Value) -> Map<String, Value> {
    let mut fields = body.as_object().cloned().unwrap_or_default();
    fields.retain(|name, _| OWN.contains(&name.as_str()));
    fields
}

/// Lists of phones and addresses are written whole, custom fields one by one.
fn change(person: &mut Value, mut fields: Map<String, Value>, now: Timestamp) {
    if let (Some(Value::Object(custom)), Some(held)) = (
        fields.remove("custom_fields"),
        person.get_mut("custom_fields"),
    ) {
        room::put(held, custom);
    }
    fields.insert("update_time".to_owned(), json!(now));
    room::put(person, fields);
}

fn problem(body: &Value) -> Option<Reply> {
    let number = ["owner_id", "org_id", "visible_to"];
    if number
        .iter()
        .any(|name| body.get(*name).is_some_and(|value| !value.is_i64()))
    {
        return Some(refused(400, "must be a number"));
    }
    let lists = ["phones", "emails"]
        .into_iter()
        .filter_map(|name| body.get(name));
    let entry = |entry: &Value| !text(entry, "value").is_empty();
    for list in lists {
        let good = list.as_array().is_some_and(|list| list.iter().all(entry));
        if !good {
            return Some(refused(400, "must be a list of objects"));
        }
    }
    let custom = room::table(body, "custom_fields");
    let is_key =
        |name: &String| name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    (!custom.keys().all(is_key)).then(|| {
        let mut body = failure("Validation failed");
        room::set(&mut body, "code", json!("ERR_SCHEMA_VALIDATION_FAILED"));
        Reply::new(400, body)
    })
}

fn found(person: &Value) -> Reply {
    Reply::new(200, json!({ "success": true, "data": person }))
}

fn refused(status: u16, error: &str) -> Reply {
    Reply::new(status, failure(error))
}

fn failure(error: &str) -> Value {
    json!({ "success": false, "error": error, "error_info": "", "data": null, "additional_data": null })
}
