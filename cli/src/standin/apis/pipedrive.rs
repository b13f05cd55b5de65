//! Pipedrive's API v2 as far as persons go. <https://developers.pipedrive.com/docs/api/v1/Persons>

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

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

/// The stand-in.
#[derive(Debug, Default)]
pub struct Pipedrive(Room);

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
        Some(self.0.records())
    }

    fn answer(&self, request: &Request, now: Timestamp) -> Reply {
        let mut held = self.0.held();
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
        match (&request.method, request.parts().as_slice()) {
            (&Method::GET, ["api", "v2", "persons", "search"]) => held.persons(request, now),
            (&Method::POST, ["api", "v2", "persons"]) => held.make_person(&request.body, now),
            (&Method::GET, ["api", "v2", "persons", id]) => match held.person(id) {
                Some(person) => found(person),
                None => refused(404, "Person not found"),
            },
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
