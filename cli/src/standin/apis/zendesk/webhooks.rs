//! Webhooks of an account. Each is signed with a secret of Zendesk's making, which is there once the webhook is.
//! <https://developer.zendesk.com/api-reference/webhooks/webhooks-api/webhooks/>

use std::sync::{Mutex, PoisonError};

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::secrets::Secret;

use super::SAMPLES;
use crate::standin::apis::deliver::{self, Webhook};
use crate::standin::apis::room::{self, text};
use crate::standin::apis::{Reply, Request};

/// What a webhook may be connected to, of what there is.
const EVENTS: [&str; 6] = [
    NEW_USER,
    "zen:event-type:user.identity_created",
    "zen:event-type:user.deleted",
    "zen:event-type:user.merged",
    "zen:event-type:user.name_changed",
    "conditional_ticket_events",
];
const NEW_USER: &str = "zen:event-type:user.created";
/// Webhooks of one page, few enough that tests see a second one.
const PAGE: usize = 2;

/// The webhooks.
#[derive(Debug, Default)]
pub(super) struct Webhooks(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    made: usize,
    webhooks: Vec<Value>,
}

impl Webhooks {
    pub(super) fn answer(&self, request: &Request, is_admin: bool, now: Timestamp) -> Reply {
        if !is_admin {
            return refused(
                403,
                "Forbidden",
                "You are not authorized to access this page",
            );
        }
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (
            &request.method,
            request.parts().get(3..).unwrap_or_default(),
        ) {
            (&Method::GET, []) => held.list(request),
            (&Method::POST, []) => held.create(&request.body, now),
            (&Method::GET, [id, "signing_secret"]) => match held.find(id) {
                Some(_) => {
                    let secret = json!({ "algorithm": "SHA256", "secret": secret(id) });
                    Reply::new(200, json!({ "signing_secret": secret }))
                }
                None => missing(),
            },
            (&(Method::PUT | Method::PATCH), [id]) => held.change(id, &request.body, now),
            (&Method::DELETE, [id]) => {
                let before = held.webhooks.len();
                held.webhooks.retain(|one| text(one, "id") != *id);
                match held.webhooks.len() < before {
                    true => Reply::new(204, Value::Null),
                    false => missing(),
                }
            }
            _ => missing(),
        }
    }
}

impl Held {
    fn find(&mut self, id: &str) -> Option<&mut Value> {
        self.webhooks.iter_mut().find(|one| text(one, "id") == id)
    }

    /// By cursor: `page[size]`, `page[after]`.
    fn list(&self, request: &Request) -> Reply {
        let after = request.query("page[after]").unwrap_or_default();
        let start = after.parse().unwrap_or(0);
        let rest = self.webhooks.get(start..).unwrap_or_default();
        let more = rest.len() > PAGE;
        let page: Vec<&Value> = rest.iter().take(PAGE).collect();
        let next = more.then(|| (start + PAGE).to_string());
        Reply::new(
            200,
            json!({
                "webhooks": page, "meta": { "has_more": more, "after_cursor": next, "before_cursor": null },
                "links": { "next": null, "prev": null },
            }),
        )
    }

    fn create(&mut self, body: &Value, now: Timestamp) -> Reply {
        let mut webhook = Value::Object(room::table(body, "webhook"));
        if let Some(refused) = problem(&webhook) {
            return refused;
        }
        self.made += 1;
        let id = format!("01JDEMO{:019}", self.made);
        room::set(&mut webhook, "id", json!(id));
        room::set(&mut webhook, "created_at", json!(now));
        self.webhooks.push(webhook.clone());
        told(&webhook, now);
        Reply::new(201, json!({ "webhook": webhook }))
    }

    fn change(&mut self, id: &str, body: &Value, now: Timestamp) -> Reply {
        let changes = room::table(body, "webhook");
        let Some(webhook) = self.find(id) else {
            return missing();
        };
        let mut changed = webhook.clone();
        room::put(&mut changed, changes);
        if let Some(refused) = problem(&changed) {
            return refused;
        }
        let was_off = text(webhook, "status") != "active";
        *webhook = changed;
        if was_off {
            told(webhook, now);
        }
        Reply::new(204, Value::Null)
    }
}

/// What is wrong with a webhook.
fn problem(webhook: &Value) -> Option<Reply> {
    let events = webhook.get("subscriptions").and_then(Value::as_array);
    let known = |event: &Value| event.as_str().is_some_and(|name| EVENTS.contains(&name));
    let good = deliver::takes(text(webhook, "endpoint"))
        && !text(webhook, "name").is_empty()
        && ["active", "inactive"].contains(&text(webhook, "status"))
        && text(webhook, "http_method") == "POST"
        && text(webhook, "request_format") == "json"
        && events.is_some_and(|events| !events.is_empty() && events.iter().all(known));
    (!good).then(|| refused(400, "InvalidWebhook", "The webhook is not valid"))
}

/// A webhook that posts tells of a new user.
fn told(webhook: &Value, now: Timestamp) {
    let events = webhook.get("subscriptions").and_then(Value::as_array);
    let wants = events.is_some_and(|events| events.contains(&json!(NEW_USER)));
    let Some(user) = SAMPLES.first() else {
        return;
    };
    if !wants || text(webhook, "status") != "active" {
        return;
    }
    let at = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let user = user.id.to_string();
    let body = json!({
        "type": NEW_USER, "account_id": 22_129_848, "id": "5c7d2c1e-0d0f-4f6b-9a61-6f3a3c4b2a10",
        "time": at, "zendesk_event_version": "2022-06-20", "subject": format!("zen:user:{user}"),
        "detail": {
            "id": user, "email": "", "external_id": "", "role": "end-user", "default_group_id": "0",
            "organization_id": "0", "created_at": at, "updated_at": at,
        },
        "event": {},
    });
    let first = Webhook {
        kind: "zendesk",
        url: text(webhook, "endpoint").to_owned(),
        secret: Secret::new(secret(text(webhook, "id"))),
        headers: Vec::new(),
        body,
    };
    first.post(now);
}

/// What a webhook is signed with.
fn secret(id: &str) -> String {
    format!("demo-signing-secret-of-{id}")
}

fn refused(status: u16, code: &str, title: &str) -> Reply {
    Reply::new(
        status,
        json!({ "errors": [{ "code": code, "title": title, "detail": title }] }),
    )
}

fn missing() -> Reply {
    refused(404, "RecordNotFound", "Not found")
}
