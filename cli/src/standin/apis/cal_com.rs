//! Cal.com's API v2 as far as a user's webhooks go.
//! <https://cal.com/docs/api-reference/v2/webhooks/create-a-webhook>
//!
//! What an account may is in its key's name: one with `revoked` is none, one with `reader` may not write.

use std::sync::{Mutex, MutexGuard, PoisonError};

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::secrets::Secret;

use super::deliver::{self, Webhook};
use super::{Api, Reply, Request};

const HOST: &str = "api.cal.com";
/// Webhooks a page unless told.
const PAGE: usize = 250;
/// What can be subscribed to, as far as bookings go.
const TRIGGERS: [&str; 11] = [
    "BOOKING_CREATED",
    "BOOKING_PAYMENT_INITIATED",
    "BOOKING_PAID",
    "BOOKING_RESCHEDULED",
    "BOOKING_REQUESTED",
    "BOOKING_CANCELLED",
    "BOOKING_REJECTED",
    "BOOKING_NO_SHOW_UPDATED",
    "MEETING_STARTED",
    "MEETING_ENDED",
    "FORM_SUBMITTED",
];

/// The stand-in.
#[derive(Debug, Default)]
pub struct CalCom(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    made: u32,
    webhooks: Vec<Value>,
}

impl CalCom {
    /// Changes a field of every webhook, as a person does on Cal.com's pages.
    pub fn set_all(&self, field: &str, value: &Value) {
        for webhook in &mut self.held().webhooks {
            set(webhook, field, value.clone());
        }
    }

    /// Every webhook, with its secret, oldest first.
    pub fn webhooks(&self) -> Vec<Value> {
        self.held().webhooks.clone()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn create(&self, body: &Value, now: Timestamp) -> Reply {
        if let Some(wrong) = wrong(body) {
            return wrong;
        }
        let url = body.get("subscriberUrl").cloned().unwrap_or_default();
        let mut held = self.held();
        if held
            .webhooks
            .iter()
            .any(|one| one.get("subscriberUrl") == Some(&url))
        {
            let message = "Webhook with this subscriber url already exists for this user";
            return failed(409, "ConflictException", message);
        }
        held.made += 1;
        let mut webhook = json!({
            "id": format!("d1c2b3a4-0000-4000-8000-{:012}", held.made), "userId": 7, "active": true,
            "payloadTemplate": null, "secret": null, "triggers": [],
        });
        merge(&mut webhook, body);
        held.webhooks.push(webhook.clone());
        first_event(&webhook, held.made, now);
        Reply::new(201, json!({ "status": "success", "data": webhook }))
    }

    fn change(&self, id: &str, body: &Value) -> Reply {
        let mut held = self.held();
        let found = held
            .webhooks
            .iter_mut()
            .find(|one| one.get("id") == Some(&json!(id)));
        match found {
            None => failed(404, "NotFoundException", "Webhook not found"),
            Some(webhook) => {
                merge(webhook, body);
                Reply::new(200, json!({ "status": "success", "data": webhook }))
            }
        }
    }

    fn delete(&self, id: &str) -> Reply {
        let mut held = self.held();
        let found = held
            .webhooks
            .iter()
            .position(|one| one.get("id") == Some(&json!(id)));
        match found {
            None => failed(404, "NotFoundException", "Webhook not found"),
            Some(index) => {
                let webhook = held.webhooks.remove(index);
                Reply::new(200, json!({ "status": "success", "data": webhook }))
            }
        }
    }

    fn list(&self, request: &Request) -> Reply {
        let number = |name: &str, or: usize| {
            request
                .query(name)
                .and_then(|text| text.parse().ok())
                .unwrap_or(or)
        };
        let (skip, take) = (number("skip", 0), number("take", PAGE));
        let held = self.held();
        let page: Vec<&Value> = held
            .webhooks
            .iter()
            .skip(skip)
            .take(take.min(PAGE))
            .collect();
        Reply::new(200, json!({ "status": "success", "data": page }))
    }
}

impl Api for CalCom {
    fn name(&self) -> &'static str {
        "cal-com"
    }

    fn is_at(&self, host: &str) -> bool {
        host == HOST
    }

    fn answer(&self, request: &Request, now: Timestamp) -> Reply {
        let key = request.header("authorization").unwrap_or_default();
        let key = key.strip_prefix("Bearer ").unwrap_or_default();
        if key.is_empty() || key.contains("revoked") {
            return failed(
                401,
                "UnauthorizedException",
                "ApiAuthStrategy - api key - Your api key is not valid.",
            );
        }
        if key.contains("reader") && request.method != Method::GET {
            return failed(403, "ForbiddenException", "insufficient scope");
        }
        match (&request.method, request.parts().as_slice()) {
            (&Method::GET, ["v2", "webhooks"]) => self.list(request),
            (&Method::POST, ["v2", "webhooks"]) => self.create(&request.body, now),
            (&Method::PATCH, ["v2", "webhooks", id]) => self.change(id, &request.body),
            (&Method::DELETE, ["v2", "webhooks", id]) => self.delete(id),
            _ => failed(404, "NotFoundException", "Cannot find that route"),
        }
    }
}

fn failed(status: u16, code: &str, message: &str) -> Reply {
    let error = json!({ "code": code, "message": message, "details": { "statusCode": status } });
    Reply::new(
        status,
        json!({ "status": "error", "path": "/v2/webhooks", "error": error }),
    )
}

/// What is wrong with a webhook to be.
fn wrong(body: &Value) -> Option<Reply> {
    let bad = |message: &str| Some(failed(400, "BadRequestException", message));
    let url = body.get("subscriberUrl").and_then(Value::as_str);
    if !url.is_some_and(deliver::takes) {
        return bad("subscriberUrl must be a URL address");
    }
    let triggers = body.get("triggers").and_then(Value::as_array);
    let known = |one: &Value| one.as_str().is_some_and(|name| TRIGGERS.contains(&name));
    if !triggers.is_some_and(|list| list.iter().all(known)) {
        return bad("each value in triggers must be one of the known triggers");
    }
    if !body.get("active").is_some_and(Value::is_boolean) {
        return bad("active must be a boolean value");
    }
    None
}

fn set(webhook: &mut Value, field: &str, value: Value) {
    if let Some(fields) = webhook.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

fn merge(webhook: &mut Value, body: &Value) {
    for (field, value) in body.as_object().into_iter().flatten() {
        set(webhook, field, value.clone());
    }
}

/// Somebody books for the day after tomorrow.
fn first_event(webhook: &Value, number: u32, now: Timestamp) {
    let text = |name: &str| webhook.get(name).and_then(Value::as_str);
    let triggers = webhook.get("triggers").and_then(Value::as_array);
    let books = triggers.is_some_and(|list| list.contains(&json!("BOOKING_CREATED")));
    let (Some(url), Some(secret), true) = (text("subscriberUrl"), text("secret"), books) else {
        return;
    };
    let start = now
        .saturating_add(SignedDuration::from_hours(48))
        .unwrap_or(now);
    let end = start
        .saturating_add(SignedDuration::from_mins(30))
        .unwrap_or(start);
    let attendee = json!({
        "name": "Maria da Silva", "firstName": "Maria", "lastName": "da Silva", "email": "maria@example.com",
        "timeZone": "America/Sao_Paulo", "language": { "locale": "pt-BR" }, "phoneNumber": "+5511987654321",
        "utcOffset": -180,
    });
    let payload = json!({
        "bookerUrl": "https://cal.com", "type": "consulta", "title": "Consulta between Demo Clinic and Maria da Silva",
        "eventTitle": "Consulta", "startTime": start, "endTime": end, "length": 30, "eventTypeId": 11,
        "organizer": { "name": "Demo Clinic", "email": "clinic@example.com", "username": "demo-clinic",
            "timeZone": "America/Sao_Paulo", "language": { "locale": "pt-BR" }, "utcOffset": -180 },
        "attendees": [attendee], "responses": {
            "attendeePhoneNumber": { "label": "phone_number", "value": "+5511987654321", "isHidden": false },
        },
        "userFieldsResponses": {}, "customInputs": {}, "location": "Rua Um, 1", "metadata": {},
        "uid": format!("demoBooking{number:08}"), "bookingId": 9_000 + number,
        "iCalUID": format!("demoBooking{number:08}@Cal.com"), "iCalSequence": 0, "status": "ACCEPTED",
    });
    let webhook = Webhook {
        kind: "cal-com",
        url: url.to_owned(),
        secret: Secret::new(secret),
        headers: vec![("x-cal-webhook-version", "2021-10-20".to_owned())],
        body: json!({ "triggerEvent": "BOOKING_CREATED", "createdAt": now, "payload": payload }),
    };
    webhook.post(now);
}
