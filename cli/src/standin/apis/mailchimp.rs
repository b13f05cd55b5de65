//! Mailchimp's Marketing API as far as the members of audiences and their webhooks go.
//! <https://mailchimp.com/developer/marketing/api/list-members/>
//! <https://mailchimp.com/developer/marketing/api/list-webhooks/>
//!
//! The account has one audience, with `two-audiences` in its key two, with `no-audience` none; with `viewer` it may
//! change no webhooks. An address with `unreachable` in it does not answer when it is asked. Somebody subscribes as
//! soon as there is a webhook on this machine.
//!
//! An audience with `missing` in its name is none, a merge field with `UNKNOWN` neither. The member
//! `cleaned@example.com` is in a compliance state, `forgotten@example.com` was deleted for good.

use std::sync::{Mutex, MutexGuard, PoisonError};

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::deliver;
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

/// The audiences: id and name.
const AUDIENCES: [(&str, &str); 2] = [("a1b2c3d4e5", "Clientes"), ("f6a7b8c9d0", "Newsletter")];
/// What a webhook tells of, and of whose doing.
const EVENTS: [&str; 6] = [
    "subscribe",
    "unsubscribe",
    "profile",
    "cleaned",
    "upemail",
    "campaign",
];
const SOURCES: [&str; 3] = ["user", "admin", "api"];

/// The stand-in: one room for the members of all audiences.
#[derive(Debug, Default)]
pub struct Mailchimp {
    room: Room,
    hooks: Mutex<Hooks>,
}

#[derive(Debug, Default)]
struct Hooks {
    made: u64,
    all: Vec<Value>,
}

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
        Some(self.room.records())
    }

    fn answer(&self, request: &Request, now: Timestamp) -> Reply {
        let mut held = self.room.held();
        let key = room::basic(request).map(|(_, key)| key);
        let key = key.as_deref().or(room::bearer(request)).unwrap_or_default();
        if !held.is_good(key, now) {
            return self.failure(401);
        }
        let parts = request.parts();
        let audiences = audiences(key);
        let (list, hash, rest) = match parts.as_slice() {
            ["3.0", "lists"] => return listed(audiences),
            ["3.0", "lists", list, "webhooks", rest @ ..] => {
                return match audiences.iter().any(|(id, _)| id == list) {
                    true => self.webhooks(key, list, rest, request, now),
                    false => missing(),
                };
            }
            ["3.0", "lists", list, "members", hash, rest @ ..] => (list, hash, rest),
            _ => return missing(),
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

/// The audiences of a key's account.
fn audiences(key: &str) -> &'static [(&'static str, &'static str)] {
    let count = if key.contains("no-audience") {
        0
    } else if key.contains("two-audiences") {
        2
    } else {
        1
    };
    AUDIENCES.get(..count).unwrap_or_default()
}

fn listed(audiences: &[(&str, &str)]) -> Reply {
    let lists = audiences
        .iter()
        .map(|(id, name)| json!({ "id": id, "name": name }));
    Reply::new(
        200,
        json!({ "lists": lists.collect::<Vec<_>>(), "total_items": audiences.len() }),
    )
}

/// Webhooks.
impl Mailchimp {
    fn hooks(&self) -> MutexGuard<'_, Hooks> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn webhooks(
        &self,
        key: &str,
        list: &str,
        rest: &[&str],
        request: &Request,
        now: Timestamp,
    ) -> Reply {
        let mut hooks = self.hooks();
        if key.contains("viewer") && request.method != Method::GET {
            return refused(403, "User Action Not Permitted", &[]);
        }
        let is = |hook: &Value, id: &str| text(hook, "list_id") == list && text(hook, "id") == id;
        match (&request.method, rest) {
            (&Method::GET, []) => {
                let of_list = hooks
                    .all
                    .iter()
                    .filter(|hook| text(hook, "list_id") == list);
                let of_list: Vec<Value> = of_list.cloned().collect();
                let total = of_list.len();
                Reply::new(
                    200,
                    json!({ "webhooks": of_list, "list_id": list, "total_items": total }),
                )
            }
            (&Method::POST, []) => hooks.create(list, &request.body, now),
            (&Method::PATCH, [id]) => match hooks.all.iter_mut().find(|hook| is(hook, id)) {
                Some(hook) => change(hook, &request.body, now),
                None => missing(),
            },
            (&Method::DELETE, [id]) => match hooks.all.iter().position(|hook| is(hook, id)) {
                Some(index) => {
                    hooks.all.remove(index);
                    Reply::new(204, Value::Null)
                }
                None => missing(),
            },
            _ => missing(),
        }
    }
}

impl Hooks {
    fn create(&mut self, list: &str, body: &Value, now: Timestamp) -> Reply {
        let url = text(body, "url");
        let taken = |hook: &&Value| text(hook, "list_id") == list && text(hook, "url") == url;
        if self.all.iter().any(|hook| taken(&hook)) {
            let mut reply = refused(400, "Bad Request", &[]);
            let detail = json!("Sorry, you can't set up multiple WebHooks for one URL");
            room::set(&mut reply.body, "detail", detail);
            return reply;
        }
        self.made += 1;
        // What is not said is on, except for the API.
        let on = |names: &[&str]| -> Value {
            let all = names
                .iter()
                .map(|name| ((*name).to_owned(), json!(*name != "api")));
            all.collect()
        };
        let mut hook = json!({
            "id": format!("{:x}", 0x5d_0000_u64 + self.made), "url": url, "list_id": list,
            "events": on(&EVENTS), "sources": on(&SOURCES),
        });
        let reply = change(&mut hook, body, now);
        if reply.status == 200 {
            self.all.push(hook);
        }
        reply
    }
}

/// Changes a webhook as far as a body says, and lets its first event happen.
fn change(hook: &mut Value, body: &Value, now: Timestamp) -> Reply {
    let url = body.get("url").and_then(Value::as_str);
    if url.is_some_and(|url| !deliver::takes(url) || url.contains("unreachable")) {
        return refused(400, "Invalid Resource", &["url"]);
    }
    if let Some(url) = url {
        room::set(hook, "url", json!(url));
    }
    for (name, known) in [("events", &EVENTS[..]), ("sources", &SOURCES[..])] {
        let wanted = room::table(body, name);
        if wanted
            .iter()
            .any(|(name, on)| !known.contains(&name.as_str()) || !on.is_boolean())
        {
            return refused(400, "Invalid Resource", &[name]);
        }
        if let Some(place) = hook.get_mut(name) {
            room::put(place, wanted);
        }
    }
    if hook.pointer("/events/subscribe") == Some(&json!(true)) {
        deliver::post_form(text(hook, "url"), subscription(text(hook, "list_id"), now));
    }
    Reply::new(200, hook.clone())
}

/// Somebody subscribes.
fn subscription(list: &str, now: Timestamp) -> String {
    let fired = now.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs([
        ("type", "subscribe"),
        ("fired_at", &fired),
        ("data[id]", "8a25ff1d98"),
        ("data[list_id]", list),
        ("data[email]", "maria@example.com"),
        ("data[email_type]", "html"),
        ("data[ip_opt]", "192.0.2.7"),
        ("data[merges][EMAIL]", "maria@example.com"),
        ("data[merges][FNAME]", "Maria"),
        ("data[merges][LNAME]", "da Silva"),
        ("data[merges][PHONE]", "+55 11 98765-4321"),
    ]);
    form.finish()
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
