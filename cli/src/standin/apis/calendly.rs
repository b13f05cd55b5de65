//! Calendly's API v2 as far as webhooks go: who the token's owner is, and webhook subscriptions.
//! <https://developer.calendly.com/api-docs>
//!
//! What an account may is in its token's name: one with `revoked` is none, with `free` it is on the free
//! plan, with `member` it belongs to somebody who is no admin of the organization.

use std::sync::{Mutex, MutexGuard, PoisonError};

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::secrets::Secret;

use super::deliver::{self, Webhook};
use super::{Api, Reply, Request};

const HOST: &str = "api.calendly.com";
const USER: &str = "https://api.calendly.com/users/AAAAAAAAAAAAAAAA";
const ORGANIZATION: &str = "https://api.calendly.com/organizations/BBBBBBBBBBBBBBBB";
/// What can be subscribed to.
const EVENTS: [&str; 5] = [
    "invitee.created",
    "invitee.canceled",
    "invitee_no_show.created",
    "invitee_no_show.deleted",
    "routing_form_submission.created",
];

/// The stand-in.
#[derive(Debug, Default)]
pub struct Calendly(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    made: u32,
    subscriptions: Vec<Subscription>,
    /// So many lists show nothing.
    blind: u32,
}

#[derive(Debug)]
struct Subscription {
    resource: Value,
    signing_key: Option<String>,
}

impl Subscription {
    fn is(&self, name: &str, value: &Value) -> bool {
        self.resource.get(name) == Some(value)
    }
}

impl Calendly {
    /// Switches every subscription off, as Calendly does after a day of failures.
    pub fn disable_all(&self) {
        for subscription in &mut self.held().subscriptions {
            if let Some(resource) = subscription.resource.as_object_mut() {
                resource.insert("state".to_owned(), Value::from("disabled"));
            }
        }
    }

    /// The next lists do not show what is there yet.
    pub fn hide_from_lists(&self, lists: u32) {
        self.held().blind = lists;
    }

    /// The signing keys of all subscriptions, oldest first.
    pub fn signing_keys(&self) -> Vec<Option<String>> {
        let held = self.held();
        let keys = held.subscriptions.iter();
        keys.map(|one| one.signing_key.clone()).collect()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn list(&self, request: &Request) -> Reply {
        if request.query("organization") != Some(ORGANIZATION) {
            return invalid("organization");
        }
        let scope = request.query("scope").unwrap_or_default().to_owned();
        if scope == "user" && request.query("user") != Some(USER) {
            return invalid("user");
        }
        let mut held = self.held();
        let is_blind = held.blind > 0;
        held.blind = held.blind.saturating_sub(1);
        let of_scope = held
            .subscriptions
            .iter()
            .filter(|one| !is_blind && one.is("scope", &Value::from(scope.as_str())));
        let collection: Vec<Value> = of_scope.map(|one| one.resource.clone()).collect();
        Reply::new(
            200,
            json!({
                "pagination": { "count": collection.len(), "next_page": null, "previous_page": null,
                    "next_page_token": null, "previous_page_token": null },
                "collection": collection,
            }),
        )
    }

    fn create(&self, body: &Value, now: Timestamp) -> Reply {
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        let events = body.get("events").and_then(Value::as_array);
        let known = |event: &Value| event.as_str().is_some_and(|name| EVENTS.contains(&name));
        if !deliver::takes(text("url")) {
            return invalid("url");
        }
        let Some(events) = events.filter(|list| !list.is_empty() && list.iter().all(known)) else {
            return invalid("events");
        };
        let scope = text("scope");
        let user = match (scope, body.get("user").and_then(Value::as_str)) {
            ("user", Some(USER)) => json!(USER),
            ("organization", None) => Value::Null,
            _ => return invalid("scope"),
        };
        if text("organization") != ORGANIZATION {
            return invalid("organization");
        }
        let mut held = self.held();
        let (url, same_scope) = (Value::from(text("url")), Value::from(scope));
        let mut others = held.subscriptions.iter();
        if others.any(|one| one.is("callback_url", &url) && one.is("scope", &same_scope)) {
            let message = "Hook with this url already exists";
            return Reply::new(
                409,
                json!({ "title": "Already Exists", "message": message }),
            );
        }
        held.made += 1;
        let uri = format!("https://{HOST}/webhook_subscriptions/CCCC{:012}", held.made);
        let resource = json!({
            "uri": uri, "callback_url": url, "created_at": now, "updated_at": now,
            "retry_started_at": null, "state": "active", "events": events, "scope": scope,
            "organization": ORGANIZATION, "user": user, "creator": USER,
        });
        let signing_key = body.get("signing_key").and_then(Value::as_str);
        held.subscriptions.push(Subscription {
            resource: resource.clone(),
            signing_key: signing_key.map(str::to_owned),
        });
        if let (Some(key), true) = (signing_key, events.contains(&json!("invitee.created"))) {
            let first = Webhook {
                kind: "calendly",
                url: text("url").to_owned(),
                secret: Secret::new(key),
                headers: Vec::new(),
                body: booking(held.made, now),
            };
            first.post(now);
        }
        Reply::new(201, json!({ "resource": resource }))
    }

    fn delete(&self, id: &str) -> Reply {
        let uri = json!(format!("https://{HOST}/webhook_subscriptions/{id}"));
        let mut held = self.held();
        let before = held.subscriptions.len();
        held.subscriptions.retain(|one| !one.is("uri", &uri));
        if held.subscriptions.len() < before {
            Reply::new(204, Value::Null)
        } else {
            let message = "The server could not find the requested resource.";
            Reply::new(
                404,
                json!({ "title": "Resource Not Found", "message": message }),
            )
        }
    }
}

impl Api for Calendly {
    fn name(&self) -> &'static str {
        "calendly"
    }

    fn is_at(&self, host: &str) -> bool {
        host == HOST
    }

    fn answer(&self, request: &Request, now: Timestamp) -> Reply {
        let token = request.header("authorization").unwrap_or_default();
        let token = token.strip_prefix("Bearer ").unwrap_or_default();
        if token.is_empty() || token.contains("revoked") {
            let message = "The access token is invalid";
            return Reply::new(
                401,
                json!({ "title": "Unauthenticated", "message": message }),
            );
        }
        let of_all = request.query("scope") == Some("organization")
            || request.body.get("scope").and_then(Value::as_str) == Some("organization");
        let parts = request.parts();
        if parts.first() == Some(&"webhook_subscriptions") {
            if token.contains("free") {
                return denied("Please upgrade your Calendly account to Standard");
            }
            if token.contains("member") && of_all {
                return denied("You do not have permission to access this resource.");
            }
        }
        match (&request.method, parts.as_slice()) {
            (&Method::GET, ["users", "me"]) => Reply::new(
                200,
                json!({ "resource": {
                    "uri": USER, "name": "Demo Clinic", "slug": "demo-clinic", "email": "clinic@example.com",
                    "scheduling_url": "https://calendly.com/demo-clinic", "timezone": "America/Sao_Paulo",
                    "current_organization": ORGANIZATION,
                } }),
            ),
            (&Method::GET, ["scheduled_events", id]) => {
                Reply::new(200, json!({ "resource": scheduled(id, now) }))
            }
            (&Method::GET, ["webhook_subscriptions"]) => self.list(request),
            (&Method::POST, ["webhook_subscriptions"]) => self.create(&request.body, now),
            (&Method::DELETE, ["webhook_subscriptions", id]) => self.delete(id),
            _ => Reply::new(
                404,
                json!({ "title": "Resource Not Found", "message": "Not Found" }),
            ),
        }
    }
}

fn denied(message: &str) -> Reply {
    Reply::new(
        403,
        json!({ "title": "Permission Denied", "message": message }),
    )
}

fn invalid(parameter: &str) -> Reply {
    Reply::new(
        400,
        json!({
            "title": "Invalid Argument", "message": "The supplied parameters are invalid.",
            "details": [{ "parameter": parameter, "message": "is invalid" }],
        }),
    )
}

/// An event of the day after tomorrow.
fn scheduled(id: &str, now: Timestamp) -> Value {
    let start = now
        .saturating_add(SignedDuration::from_hours(48))
        .unwrap_or(now);
    let end = start
        .saturating_add(SignedDuration::from_mins(30))
        .unwrap_or(start);
    json!({
        "uri": format!("https://{HOST}/scheduled_events/{id}"), "name": "Consulta", "status": "active",
        "start_time": start, "end_time": end, "event_type": format!("https://{HOST}/event_types/FFFF"),
        "location": { "type": "physical", "location": "Rua Um, 1" },
        "invitees_counter": { "total": 1, "active": 1, "limit": 1 },
        "event_memberships": [{ "user": USER, "user_email": "clinic@example.com", "user_name": "Demo Clinic" }],
        "event_guests": [], "created_at": now, "updated_at": now,
    })
}

/// Somebody books for the day after tomorrow.
fn booking(number: u32, now: Timestamp) -> Value {
    let scheduled = scheduled(&format!("DDDD{number:012}"), now);
    let event = scheduled
        .get("uri")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let invitee = format!("{event}/invitees/EEEE{number:012}");
    let payload = json!({
        "uri": invitee, "event": event, "name": "Maria da Silva", "first_name": null, "last_name": null,
        "email": "maria@example.com", "status": "active", "timezone": "America/Sao_Paulo",
        "text_reminder_number": "+55 11 98765-4321", "questions_and_answers": [],
        "cancel_url": "https://calendly.com/cancellations/EEEE", "rescheduled": false,
        "reschedule_url": "https://calendly.com/reschedulings/EEEE", "old_invitee": null,
        "new_invitee": null, "created_at": now, "updated_at": now, "payment": null, "no_show": null,
        "reconfirmation": null, "routing_form_submission": null,
        "tracking": { "utm_source": null, "salesforce_uuid": null }, "scheduling_method": null,
        "invitee_scheduled_by": null, "scheduled_event": scheduled,
    });
    json!({ "event": "invitee.created", "created_at": now, "created_by": USER, "payload": payload })
}
