//! Intercom's API as far as contacts and their tags go.
//! <https://developers.intercom.com/docs/references/rest-api/api.intercom.io/contacts>
//!
//! A custom attribute with `unknown` in its name was never defined.

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::room::{self, Held, Room, text};
use super::{Api, Reply, Request};

const DOMAIN: &str = ".intercom.io";
/// How much later a search shows a contact.
const SEARCH_LAG: SignedDuration = SignedDuration::from_mins(2);
const OWN: [&str; 7] = [
    "name",
    "email",
    "phone",
    "role",
    "external_id",
    "owner_id",
    "signed_up_at",
];

/// The stand-in.
#[derive(Debug, Default)]
pub struct Intercom(Room);

impl Api for Intercom {
    fn name(&self) -> &'static str {
        "intercom"
    }

    fn is_at(&self, host: &str) -> bool {
        host.ends_with(DOMAIN)
    }

    fn changes(&self, request: &Request) -> bool {
        request.method != Method::GET && request.path.last().is_none_or(|last| last != "search")
    }

    fn failure(&self, status: u16) -> Reply {
        match status {
            401 => refused(401, "token_not_found", "Access Token Invalid"),
            429 => refused(429, "rate_limit_exceeded", "Exceeded rate limit"),
            status => refused(status, "server_error", "told to fail"),
        }
    }

    fn records(&self) -> Option<Vec<Value>> {
        Some(self.0.records())
    }

    fn answer(&self, request: &Request, now: Timestamp) -> Reply {
        let mut held = self.0.held();
        if !held.is_good(room::bearer(request).unwrap_or_default(), now) {
            return self.failure(401);
        }
        if request.header("intercom-version").is_none() {
            return refused(400, "intercom_version_invalid", "which version?");
        }
        match (&request.method, request.parts().as_slice()) {
            (&Method::POST, ["contacts", "search"]) => held.search_contacts(&request.body, now),
            (&Method::POST, ["contacts"]) => held.make_contact(&request.body, now),
            (&Method::POST, ["tags"]) => held.make_tag(&request.body),
            (method, ["contacts", id, rest @ ..]) => {
                let tags = held.tags.clone();
                held.one_contact(method, id, rest, &request.body, &tags)
            }
            _ => missing(),
        }
    }
}

impl Held {
    fn one_contact(
        &mut self,
        method: &Method,
        id: &str,
        rest: &[&str],
        body: &Value,
        tags: &[String],
    ) -> Reply {
        if (method, rest) == (&Method::PUT, &[])
            && let Some(refused) = problem(body).or_else(|| self.taken(body, id))
        {
            return refused;
        }
        let Some(contact) = self.find(|contact| text(contact, "id") == id) else {
            return missing();
        };
        match (method, rest) {
            (&Method::GET, []) => {}
            (&Method::PUT, []) => change(contact, body),
            (&Method::POST, [verb @ ("archive" | "unarchive")]) => {
                room::set(contact, "archived", json!(*verb == "archive"));
            }
            (&Method::GET, ["tags"]) => {
                let list = contact.pointer("/tags/data").cloned().unwrap_or_default();
                return Reply::new(200, json!({ "type": "list", "data": list }));
            }
            (&Method::POST, ["tags"]) => {
                let index = text(body, "id").parse::<usize>().ok();
                let Some(name) = index.and_then(|index| tags.get(index)) else {
                    return missing();
                };
                let tag = json!({ "type": "tag", "id": text(body, "id"), "name": name });
                let list = contact
                    .pointer_mut("/tags/data")
                    .and_then(Value::as_array_mut);
                if let Some(list) = list
                    && !list.contains(&tag)
                {
                    list.push(tag.clone());
                }
                return Reply::new(200, tag);
            }
            _ => return missing(),
        }
        Reply::new(200, contact.clone())
    }

    fn make_contact(&mut self, body: &Value, now: Timestamp) -> Reply {
        if let Some(refused) = problem(body).or_else(|| self.taken(body, "")) {
            return refused;
        }
        if ["email", "external_id", "role"]
            .iter()
            .all(|name| text(body, name).is_empty())
        {
            return refused(400, "parameter_not_found", "email, external_id or role");
        }
        let mut contact = json!({
            "type": "contact", "id": format!("6763b1f0{:016x}", self.number()), "workspace_id": "w0",
            "role": "user", "email": null, "phone": null, "name": null, "external_id": null,
            "archived": false, "custom_attributes": {}, "created_at": now.as_second(),
            "tags": { "type": "list", "data": [] },
        });
        change(&mut contact, body);
        self.push(contact.clone(), now);
        Reply::new(200, contact)
    }

    /// A tag is its name; its id is where that stands.
    fn make_tag(&mut self, body: &Value) -> Reply {
        let name = text(body, "name");
        let known = self.tags.iter().position(|known| known == name);
        let index = known.unwrap_or_else(|| {
            self.tags.push(name.to_owned());
            self.tags.len() - 1
        });
        Reply::new(
            200,
            json!({ "type": "tag", "id": index.to_string(), "name": name }),
        )
    }

    /// Another contact with this external id, or another user with this e-mail address.
    fn taken(&self, body: &Value, id: &str) -> Option<Reply> {
        let same = |contact: &Value, name: &str| {
            let value = text(body, name);
            !value.is_empty() && text(contact, name).eq_ignore_ascii_case(value)
        };
        let is_taken = |contact: &&Value| {
            let user = text(contact, "role") == "user" && text(body, "role") != "lead";
            let same = same(contact, "external_id") || (user && same(contact, "email"));
            same && text(contact, "id") != id
        };
        let contact = self.all().find(is_taken)?;
        let kind = match contact.get("archived") == Some(&json!(true)) {
            true => "An archived contact",
            false => "A contact",
        };
        let id = text(contact, "id");
        let message = format!("{kind} matching those details already exists with id={id}");
        Some(refused(409, "conflict", &message))
    }

    fn search_contacts(&self, body: &Value, now: Timestamp) -> Reply {
        let query = body.get("query").cloned().unwrap_or_default();
        let terms = query
            .get("value")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let holds = |contact: &Value, term: &Value| {
            text(term, "operator") == "="
                && text(contact, text(term, "field")).eq_ignore_ascii_case(text(term, "value"))
        };
        let meets = |contact: &&Value| {
            let live = contact.get("archived") != Some(&json!(true));
            let mut each = terms.iter().map(|term| holds(contact, term));
            live && match text(&query, "operator") {
                "OR" => each.any(|holds| holds),
                _ => each.all(|holds| holds),
            }
        };
        let found = self.searched(now, SEARCH_LAG).filter(meets).cloned();
        let found: Vec<Value> = found.collect();
        Reply::new(
            200,
            json!({ "type": "list", "total_count": found.len(), "data": found }),
        )
    }
}

fn change(contact: &mut Value, body: &Value) {
    if let Some(custom) = contact.get_mut("custom_attributes") {
        room::put(custom, room::table(body, "custom_attributes"));
    }
    let mut fields = body.as_object().cloned().unwrap_or_default();
    fields.retain(|name, _| OWN.contains(&name.as_str()));
    room::put(contact, fields);
}

fn problem(body: &Value) -> Option<Reply> {
    let custom = room::table(body, "custom_attributes");
    let known = body.as_object().is_none_or(|fields| {
        let mut names = fields.keys();
        names.all(|name| OWN.contains(&name.as_str()) || name == "custom_attributes")
    });
    let unknown = custom.keys().any(|name| name.contains("unknown"));
    (unknown || !known)
        .then(|| refused(400, "parameter_invalid", "Custom attribute does not exist"))
}

fn refused(status: u16, code: &str, message: &str) -> Reply {
    let error = json!({ "code": code, "message": message });
    Reply::new(
        status,
        json!({ "type": "error.list", "request_id": "r0", "errors": [error] }),
    )
}

fn missing() -> Reply {
    refused(404, "not_found", "Resource Not Found")
}
