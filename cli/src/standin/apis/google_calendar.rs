//! Google Calendar's API as far as one calendar's events, their sync tokens and their channels go, and the
//! endpoint where access tokens are made. <https://developers.google.com/workspace/calendar/api/v3/reference>
//!
//! A refresh token called `revoked` is one. The signature of a service account's JWT is not checked, because
//! nobody told the stand-in its key; everything else of it is.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::secrets::Secret;

use super::deliver::{self, Webhook};
use super::{Api, Reply, Request};

const HOST: &str = "www.googleapis.com";
const TOKEN_HOST: &str = "oauth2.googleapis.com";
/// What every access token begins with.
pub(super) const ACCESS_TOKEN: &str = "ya29.stand-in";
/// What access tokens are made for, here, in `google_sheets` and in `gmail`.
const SCOPES: [&str; 3] = [
    "https://www.googleapis.com/auth/gmail.readonly",
    "https://www.googleapis.com/auth/calendar",
    "https://www.googleapis.com/auth/spreadsheets",
];
/// How long a channel lives at most.
const CHANNEL_LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// The longest life of a JWT, in seconds.
const JWT_SECONDS_MAX: i64 = 3_600;
/// Events of one page unless a test says.
const PAGE_EVENTS: usize = 250;
/// The calendar's zone.
const ZONE: &str = "Europe/Rome";

/// The stand-in: one calendar, whatever it is called.
#[derive(Debug, Default)]
pub struct GoogleCalendar(Mutex<Held>);

#[derive(Debug)]
struct Held {
    /// Rises with every change.
    change: u64,
    /// By id: the last change, and the event.
    events: BTreeMap<String, (u64, Value)>,
    /// Sync tokens of before this change are gone.
    tokens_from: u64,
    channels: Vec<Channel>,
    page_events: usize,
    silent: bool,
    /// The next answers of the API, in place of its own.
    refusals: Vec<(u16, &'static str)>,
}

#[derive(Debug)]
struct Channel {
    id: String,
    resource: String,
    address: String,
    token: String,
    expires_at: Timestamp,
    number: u64,
}

impl Default for Held {
    fn default() -> Held {
        Held {
            change: 1,
            events: BTreeMap::new(),
            tokens_from: 0,
            channels: Vec::new(),
            page_events: PAGE_EVENTS,
            silent: false,
            refusals: Vec::new(),
        }
    }
}

/// What a test does to the calendar.
impl GoogleCalendar {
    /// Puts an event in, or changes the fields of the one with its id, and pushes.
    pub fn put(&self, event: &Value, now: Timestamp) {
        let mut held = self.held();
        let id = text(event, "id").to_owned();
        let mut whole = held.events.get(&id).map_or_else(
            || json!({"kind": "calendar#event", "status": "confirmed", "eventType": "default", "created": now}),
            |(_, event)| event.clone(),
        );
        if let (Some(whole), Some(fields)) = (whole.as_object_mut(), event.as_object()) {
            whole.extend(fields.clone());
            whole.insert("updated".to_owned(), json!(now));
        }
        held.change += 1;
        let change = held.change;
        held.events.insert(id, (change, whole));
        held.push("exists", now);
    }

    /// Deletes an event, of which only a tombstone is left, and pushes.
    pub fn delete(&self, id: &str, now: Timestamp) {
        let mut held = self.held();
        held.change += 1;
        let change = held.change;
        if let Some(entry) = held.events.get_mut(id) {
            *entry = (
                change,
                json!({"kind": "calendar#event", "id": id, "status": "cancelled"}),
            );
        }
        held.push("exists", now);
    }

    /// Takes an event out without a trace, and says nothing.
    pub fn vanish(&self, id: &str) {
        self.held().events.remove(id);
    }

    /// Every sync token so far is too old.
    pub fn forget_tokens(&self) {
        let mut held = self.held();
        held.change += 1;
        held.tokens_from = held.change;
    }

    /// So many events a page.
    pub fn set_page_events(&self, events: usize) {
        self.held().page_events = events.max(1);
    }

    /// Pushes get lost.
    pub fn set_silent(&self, silent: bool) {
        self.held().silent = silent;
    }

    /// The API's next answers: a status and Google's reason each.
    pub fn refuse_next(&self, refusals: &[(u16, &'static str)]) {
        self.held().refusals.extend(refusals);
    }

    /// Ids of the channels that live at this instant, oldest first.
    pub fn channels(&self, now: Timestamp) -> Vec<String> {
        let held = self.held();
        let live = held
            .channels
            .iter()
            .filter(|channel| channel.expires_at > now);
        live.map(|channel| channel.id.clone()).collect()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Tells every living channel.
    fn push(&mut self, state: &'static str, now: Timestamp) {
        if self.silent {
            return;
        }
        for channel in self
            .channels
            .iter_mut()
            .filter(|channel| channel.expires_at > now)
        {
            channel.number += 1;
            channel.push(state, now);
        }
    }

    fn list(&self, request: &Request) -> Reply {
        let since = match request.query("syncToken") {
            None => None,
            Some(token) => {
                let with_others = ["timeMin", "timeMax", "q", "orderBy", "updatedMin"];
                if with_others.iter().any(|name| request.query(name).is_some()) {
                    return refusal(400, "invalid");
                }
                match token
                    .strip_prefix("sync-")
                    .and_then(|change| change.parse().ok())
                {
                    Some(change) if change >= self.tokens_from => Some(change),
                    _ => return refusal(410, "fullSyncRequired"),
                }
            }
        };
        // A page goes on with what was there when its list began.
        let (offset, until): (usize, u64) = request
            .query("pageToken")
            .and_then(|page| page.split_once(':'))
            .and_then(|(offset, until)| Some((offset.parse().ok()?, until.parse().ok()?)))
            .unwrap_or((0, self.change));
        let within = |event: &Value| {
            let at = |name: &str| {
                request
                    .query(name)
                    .and_then(|text| text.parse::<Timestamp>().ok())
            };
            let (start, end) = (instant(event, "start"), instant(event, "end"));
            at("timeMin").is_none_or(|from| end.is_some_and(|end| end > from))
                && at("timeMax").is_none_or(|to| start.is_some_and(|start| start < to))
        };
        let mut listed: Vec<&(u64, Value)> = self
            .events
            .values()
            .filter(|(change, event)| match since {
                Some(since) => *change > since && *change <= until,
                None => text(event, "status") != "cancelled" && within(event),
            })
            .collect();
        listed.sort_by_key(|(change, _)| *change);
        let items: Vec<Value> = listed.into_iter().map(|(_, event)| event.clone()).collect();
        let mut reply = self.page(items, offset);
        if let Some(body) = reply.body.as_object_mut() {
            if body.remove("more").is_some() {
                let next = offset + self.page_events;
                body.insert("nextPageToken".to_owned(), json!(format!("{next}:{until}")));
            } else if request.query("timeMax").is_none() {
                body.insert("nextSyncToken".to_owned(), json!(format!("sync-{until}")));
            }
        }
        reply
    }

    fn page(&self, items: Vec<Value>, offset: usize) -> Reply {
        let more = items.len() > offset + self.page_events;
        let items: Vec<Value> = items
            .into_iter()
            .skip(offset)
            .take(self.page_events)
            .collect();
        let mut body = json!({
            "kind": "calendar#events", "summary": "Agenda", "timeZone": ZONE,
            "accessRole": "reader", "items": items,
        });
        if let (Some(body), true) = (body.as_object_mut(), more) {
            body.insert("more".to_owned(), json!(true));
        }
        Reply::new(200, body)
    }

    fn watch(&mut self, calendar: &str, body: &Value, now: Timestamp) -> Reply {
        let (id, address) = (text(body, "id"), text(body, "address"));
        if id.is_empty() || id.len() > 64 || text(body, "type") != "web_hook" {
            return refusal(400, "invalid");
        }
        if !deliver::takes(address) {
            return refusal(400, "push.webhookUrlNotHttps");
        }
        if self.channels.iter().any(|channel| channel.id == id) {
            return refusal(400, "channelIdNotUnique");
        }
        let longest = now.saturating_add(CHANNEL_LIFE).unwrap_or(now);
        let asked = text(body, "expiration").parse().ok();
        let asked = asked.and_then(|millis| Timestamp::from_millisecond(millis).ok());
        let mut channel = Channel {
            id: id.to_owned(),
            resource: format!("resource-of-{}", calendar.len()),
            address: address.to_owned(),
            token: text(body, "token").to_owned(),
            expires_at: asked.map_or(longest, |asked| longest.min(asked)),
            number: 1,
        };
        channel.push("sync", now);
        let answer = json!({
            "kind": "api#channel", "id": channel.id, "resourceId": channel.resource,
            "resourceUri": format!("https://{HOST}/calendar/v3/calendars/{calendar}/events?alt=json"),
            "expiration": channel.expires_at.as_millisecond().to_string(),
        });
        self.channels.push(channel);
        Reply::new(200, answer)
    }

    fn stop(&mut self, body: &Value) -> Reply {
        let before = self.channels.len();
        let (id, resource) = (text(body, "id"), text(body, "resourceId"));
        self.channels
            .retain(|channel| channel.id != id || channel.resource != resource);
        if self.channels.len() == before {
            return refusal(404, "notFound");
        }
        Reply::new(204, Value::Null)
    }
}

impl Channel {
    fn push(&mut self, state: &'static str, now: Timestamp) {
        let webhook = Webhook {
            kind: "google-calendar",
            url: self.address.clone(),
            secret: Secret::new(self.token.as_str()),
            headers: vec![
                ("x-goog-channel-id", self.id.clone()),
                ("x-goog-message-number", self.number.to_string()),
                ("x-goog-resource-id", self.resource.clone()),
                ("x-goog-resource-state", state.to_owned()),
                ("x-goog-channel-expiration", self.expires_at.to_string()),
            ],
            body: Value::Null,
        };
        webhook.post(now);
    }
}

impl Api for GoogleCalendar {
    fn name(&self) -> &'static str {
        "google-calendar"
    }

    fn is_at(&self, host: &str) -> bool {
        host == HOST || host == TOKEN_HOST
    }

    fn answer(&self, request: &Request, now: Timestamp) -> Reply {
        if request.host == TOKEN_HOST {
            return token(request, now);
        }
        let bearer = request.header("authorization").unwrap_or_default();
        if !bearer.starts_with(&format!("Bearer {ACCESS_TOKEN}")) {
            return refusal(401, "authError");
        }
        let mut held = self.held();
        if !held.refusals.is_empty() {
            let (status, reason) = held.refusals.remove(0);
            return refusal(status, reason);
        }
        let parts = request.parts();
        match (&request.method, parts.as_slice()) {
            (&Method::GET, ["calendar", "v3", "calendars", _, "events"]) => held.list(request),
            (&Method::GET, ["calendar", "v3", "calendars", _, "events", id]) => {
                match held.events.get(*id) {
                    Some((_, event)) => Reply::new(200, event.clone()),
                    None => refusal(404, "notFound"),
                }
            }
            (&Method::POST, ["calendar", "v3", "calendars", id, "events", "watch"]) => {
                held.watch(id, &request.body, now)
            }
            (&Method::POST, ["calendar", "v3", "channels", "stop"]) => held.stop(&request.body),
            _ => refusal(404, "notFound"),
        }
    }
}

/// The token endpoint. <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>
fn token(request: &Request, now: Timestamp) -> Reply {
    let problem = |error: &str| Reply::new(400, json!({"error": error}));
    let answer = || {
        let token = format!("{ACCESS_TOKEN}.{}", now.as_second());
        Reply::new(
            200,
            json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}),
        )
    };
    match text(&request.body, "grant_type") {
        "refresh_token" => match text(&request.body, "refresh_token") {
            "" => problem("invalid_request"),
            "revoked" => problem("invalid_grant"),
            _ => answer(),
        },
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
            match is_good(text(&request.body, "assertion"), now) {
                Some(true) => answer(),
                _ => problem("invalid_grant"),
            }
        }
        _ => problem("unsupported_grant_type"),
    }
}

/// Whether a JWT says what Google wants it to.
fn is_good(assertion: &str, now: Timestamp) -> Option<bool> {
    let mut parts = assertion.split('.');
    let mut json = || -> Option<Value> {
        let bytes = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    let (header, claims) = (json()?, json()?);
    let signature = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
    let number = |name: &str| claims.get(name).and_then(Value::as_i64);
    let (from, until) = (number("iat")?, number("exp")?);
    Some(
        parts.next().is_none()
            && text(&header, "alg") == "RS256"
            && signature.len() >= 256
            && text(&claims, "iss").contains('@')
            && SCOPES
                .iter()
                .any(|scope| text(&claims, "scope").starts_with(scope))
            && text(&claims, "aud") == "https://oauth2.googleapis.com/token"
            && from <= now.as_second()
            && until > now.as_second()
            && until - from <= JWT_SECONDS_MAX,
    )
}

fn refusal(status: u16, reason: &str) -> Reply {
    let error = json!({"error": {
        "code": status, "message": reason,
        "errors": [{"domain": "calendar", "reason": reason, "message": reason}],
    }});
    Reply::new(status, error)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn instant(event: &Value, name: &str) -> Option<Timestamp> {
    let time = event.get(name)?;
    match time.get("date").and_then(Value::as_str) {
        Some(date) => format!("{date}T00:00:00Z").parse().ok(),
        None => text(time, "dateTime").parse().ok(),
    }
}
