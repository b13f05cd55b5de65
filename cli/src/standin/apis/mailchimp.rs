//! Mailchimp's Marketing API as far as the members of audiences go.
//! <https://mailchimp.com/developer/marketing/api/list-members/>
//!
//! An audience with `missing` in its name is none, a merge field with `UNKNOWN` neither. The member
//! `cleaned@example.com` is in a compliance state, `forgotten@example.com` was deleted for good.

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::room::{self, Held, Room, text};
use super::{Api, Reply, Request};

const DOMAIN: &str = ".api.mailchimp.com";
const STATUSES: [&str; 5] = [
    "subscribed",
    "unsubscribed",
    "cleaned",
    "pending",
    "transactional",
];

/// The stand-in: one room for the members of all audiences.
#[derive(Debug, Default)]
pub struct Mailchimp(Room);

impl Api for Mailchimp {
    fn name(&self) -> &'static str {
        "mailchimp"
    }

    fn is_at(&self, host: &str) -> bool {
        host.ends_with(DOMAIN)
    }

    fn failure(&self, status: u16) -> Reply {
        match status {
            // Under load, nothing of the usual shape.
            403 => Reply::new(403, Value::Null),
            401 => refused(401, "API Key Invalid", &[]),
            429 => refused(429, "Too Many Requests", &[]),
            status => refused(status, "Internal Server Error", &[]),
        }
    }

    fn records(&self) -> Option<Vec<Value>> {
        Some(self.0.records())
    }

    fn answer(&self, request: &Request, now: Timestamp) -> Reply {
        let mut held = self.0.held();
        let key = room::basic(request).map(|(_, key)| key);
        let key = key.as_deref().or(room::bearer(request)).unwrap_or_default();
        if !held.is_good(key, now) {
            return self.failure(401);
        }
        let parts = request.parts();
        let ["3.0", "lists", list, "members", hash, rest @ ..] = parts.as_slice() else {
            return missing();
        };
        if list.contains("missing") {
            return missing();
        }
        match (&request.method, rest) {
            (&Method::GET, []) => match held.member(list, hash) {
                Some(member) => Reply::new(200, member.clone()),
                None => missing(),
            },
            (&Method::PUT, []) => held.put_member(list, hash, request, now),
            (&Method::POST, ["tags"]) => match held.member(list, hash) {
                Some(member) => tag(member, &request.body),
                None => missing(),
            },
            _ => missing(),
        }
    }
}

impl Held {
    fn member(&mut self, list: &str, hash: &str) -> Option<&mut Value> {
        self.find(|member| text(member, "list_id") == list && text(member, "id") == hash)
    }

    fn put_member(&mut self, list: &str, hash: &str, request: &Request, now: Timestamp) -> Reply {
        let body = &request.body;
        let email = text(body, "email_address");
        if let Some(refused) = problem(body, email) {
            return refused;
        }
        let own = hash_of(email);
        if own != hash && self.member(list, &own).is_some() {
            return refused(400, "Member Exists", &[]);
        }
        let number = self.number();
        let is_new = self.member(list, hash).is_none();
        if is_new {
            if hash != own {
                return refused(400, "Invalid Resource", &["email_address"]);
            }
            let member = json!({
                "contact_id": format!("{number:032x}"), "status": body.get("status_if_new"),
                "merge_fields": {}, "tags": [], "list_id": list, "timestamp_opt": now, "id": hash,
            });
            self.push(member, now);
        }
        let Some(member) = self.member(list, hash) else {
            return missing();
        };
        if let Some(merge) = member.get_mut("merge_fields") {
            room::put(merge, room::table(body, "merge_fields"));
        }
        let mut fields = body.as_object().cloned().unwrap_or_default();
        fields.retain(|name, _| {
            ["email_address", "language", "vip", "status"].contains(&name.as_str())
        });
        fields.insert("id".to_owned(), json!(own));
        fields.insert("last_changed".to_owned(), json!(now));
        room::put(member, fields);
        Reply::new(200, member.clone())
    }
}

fn problem(body: &Value, email: &str) -> Option<Reply> {
    let status = text(body, "status_if_new");
    let merge = room::table(body, "merge_fields");
    let bad = |(name, value): (&String, &Value)| {
        let good = value.is_string() || value.is_number() || value.is_object();
        (name.contains("UNKNOWN") || !good || value == "").then(|| name.clone())
    };
    if email == "cleaned@example.com" {
        return Some(refused(400, "Member In Compliance State", &[]));
    }
    if email == "forgotten@example.com" {
        return Some(refused(400, "Forgotten Email Not Subscribed", &[]));
    }
    if !email.contains('@') {
        return Some(refused(400, "Invalid Resource", &["email_address"]));
    }
    if !STATUSES.contains(&status) {
        return Some(refused(400, "Invalid Resource", &["status_if_new"]));
    }
    let name = merge.iter().find_map(bad)?;
    Some(refused(400, "Invalid Resource", &[&name]))
}

fn tag(member: &mut Value, body: &Value) -> Reply {
    let wanted = body
        .get("tags")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let Some(tags) = member.get_mut("tags").and_then(Value::as_array_mut) else {
        return missing();
    };
    for tag in wanted {
        let name = text(&tag, "name");
        tags.retain(|known| text(known, "name") != name);
        if text(&tag, "status") == "active" {
            tags.push(json!({ "id": tags.len() + 1, "name": name }));
        }
    }
    Reply::new(204, Value::Null)
}

fn hash_of(email: &str) -> String {
    format!("{:x}", md5::compute(email.to_lowercase()))
}

fn refused(status: u16, title: &str, fields: &[&str]) -> Reply {
    let errors = fields
        .iter()
        .map(|name| json!({ "field": name, "message": "is not valid" }));
    let mut body = json!({
        "type": "https://mailchimp.com/developer/marketing/docs/errors/", "title": title,
        "status": status, "detail": "told so", "instance": "i0",
    });
    if !fields.is_empty() {
        room::set(&mut body, "errors", errors.collect());
    }
    Reply::new(status, body)
}

fn missing() -> Reply {
    refused(404, "Resource Not Found", &[])
}
