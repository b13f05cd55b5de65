//! A stand-in for the Callbell API, for the development server and tests of any language. It holds to
//! Callbell's public documentation (<https://docs.callbell.eu>) where that is known to be exact, keeps what
//! it accepted in order, and fails in the ways it is told to.

pub mod apis;
pub mod contacts;
pub mod faults;
pub mod journal;
mod people;
pub mod rules;
pub mod webhooks;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, Uri};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::clock::Clock;

use self::contacts::{Belongings, FieldType, Person};
use self::faults::{Fault, Faults, Kind};
use self::journal::{Journal, Line, Message};
use self::rules::{Account, Channel, Refused, Template};
use self::webhooks::{Fate, Webhooks};
use crate::net::Cut;

/// Most requests a second, as the API's limits page says.
pub const REQUESTS_PER_SECOND_MAX: usize = 300;
/// Messages a page of a contact's history.
pub const HISTORY_PAGE: usize = 20;
/// Requests that `/_dev/requests` remembers; the oldest go first.
pub const REQUESTS_MAX: usize = 10_000;
/// How long a window stays open after the person's last message, in hours.
const WINDOW_HOURS: i64 = 24;

/// The running stand-in. Clones share their state.
#[derive(Clone)]
pub struct StandIn(Arc<Inner>);

struct Inner {
    clock: Clock,
    /// What folds the forms of one phone number into one, so that a window is found.
    identity: fn(&str) -> String,
    state: Mutex<Held>,
    /// One webhook at a time.
    posting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Held {
    tokens: Vec<String>,
    channels: Vec<Channel>,
    templates: Vec<Template>,
    belongings: Belongings,
    people: Vec<Person>,
    /// Webhooks about people.
    told: Vec<Value>,
    messages: Vec<Message>,
    requests: VecDeque<Value>,
    windows: BTreeMap<String, Option<Timestamp>>,
    /// What people wrote.
    written: Vec<people::Wrote>,
    /// By system: `callbell`, `hubspot`.
    faults: BTreeMap<String, Faults>,
    journal: Journal,
    recent: VecDeque<Instant>,
    webhooks: Webhooks,
}

/// What the account of the stand-in has.
#[derive(Clone, Debug, Default)]
pub struct AccountData {
    /// Accepted tokens.
    pub tokens: Vec<String>,
    /// Its channels; none: any channel is believed.
    pub channels: Vec<Channel>,
    /// Its templates; one that is not here is believed.
    pub templates: Vec<Template>,
    /// Its teams by name.
    pub teams: Vec<String>,
    /// Its funnels by name.
    pub funnels: Vec<String>,
    /// Its tags; none: any tag is believed.
    pub tags: Vec<String>,
    /// Its custom fields; none: any field is believed.
    pub fields: BTreeMap<String, FieldType>,
    /// E-mail addresses of its users; none: any user is believed.
    pub users: Vec<String>,
}

impl StandIn {
    /// An account without anything. `identity` folds the forms of one phone number into one; `journal`
    /// is the file that keeps what was accepted.
    ///
    /// # Errors
    /// The journal cannot be opened.
    pub fn new(
        clock: Clock,
        identity: fn(&str) -> String,
        journal: Option<&Path>,
    ) -> io::Result<StandIn> {
        let mut held = Held::default();
        if let Some(path) = journal {
            let (journal, lines) = Journal::open(path)?;
            held.journal = journal;
            for line in lines {
                match line {
                    Line::Message(message) => held.recall_message(identity, message),
                    Line::Contact(person) => held.recall(*person),
                    Line::Deleted { contact } => held.forget(&contact),
                    Line::Window { phone, until } => {
                        held.windows.insert(phone, until);
                    }
                }
            }
        }
        Ok(StandIn(Arc::new(Inner {
            clock,
            identity,
            state: Mutex::new(held),
            posting: tokio::sync::Mutex::default(),
        })))
    }

    /// Changes what the account has; messages, people and windows stay.
    pub fn set_account(&self, data: AccountData) {
        let mut held = self.held();
        held.tokens = data.tokens;
        held.channels = data.channels;
        held.templates = data.templates;
        held.belongings = Belongings {
            tags: data.tags,
            fields: data.fields,
            users: data.users,
            teams: data.teams,
            funnels: data.funnels,
        };
    }

    /// Every accepted message, oldest first.
    pub fn messages(&self) -> Vec<Message> {
        self.held().messages.clone()
    }

    /// Every request that is not an accepted send, oldest first.
    pub fn requests(&self) -> Vec<Value> {
        self.held().requests.iter().cloned().collect()
    }

    /// Replaces Callbell's faults to come.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.set_faults_of(faults::CALLBELL, faults);
    }

    /// Replaces a system's faults to come.
    pub fn set_faults_of(&self, system: &str, faults: Vec<Fault>) {
        let mut held = self.held();
        held.faults
            .entry(system.to_owned())
            .or_default()
            .set(faults);
    }

    /// How many requests will still fail.
    pub fn faults_left(&self) -> u32 {
        let held = self.held();
        let left = held.faults.values().map(Faults::left);
        left.fold(0, u32::saturating_add)
    }

    /// The fault that a request to a system meets.
    fn take_fault(&self, system: &str, is_send: bool, is_template: bool) -> Option<Kind> {
        let mut held = self.held();
        held.faults.get_mut(system)?.take(is_send, is_template)
    }

    /// Opens a person's 24-hour window, or closes it, and says until when it is open.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn set_window(&self, phone: &str, open: bool) -> io::Result<Option<Timestamp>> {
        let hours = SignedDuration::from_hours(WINDOW_HOURS);
        let until = open.then(|| {
            self.0
                .clock
                .now()
                .saturating_add(hours)
                .unwrap_or(Timestamp::MAX)
        });
        let phone = (self.0.identity)(phone);
        let mut held = self.held();
        held.journal.append(&Line::Window {
            phone: phone.clone(),
            until,
        })?;
        held.windows.insert(phone, until);
        Ok(until)
    }

    /// The API, to be nested under the path of its base address.
    pub fn router(&self) -> Router {
        Router::new().fallback(handle).with_state(self.clone())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // A poisoned lock means that another request panicked; what it guards is still whole, because
        // every change is one assignment.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The instant of the development clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Remembers a request to another system's API.
    pub(crate) fn remember_other(&self, request: &apis::Request, status: u16) {
        let query: BTreeMap<&str, &str> = request
            .query
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.push_request(json!({
            "at": self.0.clock.now(), "to": request.host, "method": request.method.as_str(),
            "path": format!("/{}", request.path.join("/")), "query": query, "body": request.body,
            "status": status,
        }));
    }

    fn push_request(&self, seen: Value) {
        let mut held = self.held();
        if held.requests.len() >= REQUESTS_MAX {
            held.requests.pop_front();
        }
        held.requests.push_back(seen);
    }

    fn remember(&self, request: &Request, status: u16) {
        let seen = json!({
            "at": self.0.clock.now(), "to": "callbell", "method": request.method.as_str(),
            "path": request.path, "query": request.query, "body": request.body, "status": status,
        });
        self.push_request(seen);
    }

    /// Whether this request is over the limit of the current second, which is real time.
    fn over_limit(&self) -> bool {
        let now = Instant::now();
        let mut held = self.held();
        while held
            .recent
            .front()
            .is_some_and(|first| now.duration_since(*first) >= Duration::from_secs(1))
        {
            held.recent.pop_front();
        }
        if held.recent.len() >= REQUESTS_PER_SECOND_MAX {
            return true;
        }
        held.recent.push_back(now);
        false
    }
}

/// A request to the API, read.
struct Request {
    method: Method,
    path: String,
    query: String,
    body: Value,
}

impl Request {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            (key == name).then_some(value)
        })
    }

    /// The question for what this request changed.
    fn asking(&self) -> Request {
        Request {
            method: Method::GET,
            path: self.path.clone(),
            query: String::new(),
            body: Value::Null,
        }
    }

    fn page(&self) -> usize {
        self.parameter("page")
            .and_then(|page| page.parse().ok())
            .unwrap_or(1)
            .max(1)
    }
}

/// An answer: status and body.
type Answer = (u16, Value);

async fn handle(
    State(stand_in): State<StandIn>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = Request {
        method,
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    let (status, answer) = match stand_in.answer(&request, &headers).await {
        Some(answer) => answer,
        None => {
            cut.now();
            (500, Value::Null)
        }
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, axum::Json(answer)).into_response()
}

impl StandIn {
    /// `None`: the connection has to be cut.
    async fn answer(&self, request: &Request, headers: &HeaderMap) -> Option<Answer> {
        if !self.is_authorized(headers) {
            self.remember(request, 401);
            return Some((401, json!({ "error": "not authorized" })));
        }
        if self.over_limit() {
            self.remember(request, 429);
            return Some((429, json!({ "error": "too many requests" })));
        }
        let is_send = request.method == Method::POST && request.path == "/messages/send";
        let is_template = request
            .body
            .get("template_uuid")
            .is_some_and(|value| !value.is_null())
            && request.body.get("from").and_then(Value::as_str) == Some("whatsapp");
        let fault = self.take_fault(faults::CALLBELL, is_send, is_template);
        if let Some(Kind::Delay { ms }) = fault {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        if let Some(refused) = refused_by(fault.as_ref()) {
            self.remember(request, refused.0);
            return Some(refused);
        }
        let (status, body) = if is_send {
            self.send(request, &fate(fault.as_ref()))
        } else {
            self.look_up(request)
        };
        if !(is_send && (200..300).contains(&status)) {
            self.remember(request, status);
        }
        match fault {
            Some(Kind::DropAfterAccept) => None,
            Some(Kind::AcceptThenStatus { status }) => Some(failure(status)),
            _ => Some((status, body)),
        }
    }

    fn is_authorized(&self, headers: &HeaderMap) -> bool {
        let token = headers
            .get(http::header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        token.is_some_and(|token| self.held().tokens.iter().any(|known| known == token))
    }

    fn send(&self, request: &Request, fate: &Fate) -> Answer {
        let now = self.0.clock.now();
        let mut held = self.held();
        let windows = &held.windows;
        let window_open = |to: &str| {
            let until = windows.get(&(self.0.identity)(to)).copied().flatten();
            until.is_some_and(|until| until > now)
        };
        let account = Account {
            templates: &held.templates,
            channels: &held.channels,
            window_open: &window_open,
        };
        let sendable = match rules::check(&request.body, &account) {
            Ok(sendable) => sendable,
            Err(Refused { status, body }) => return (status, body),
        };
        let Some(uuid) = random_uuid() else {
            return failure(500);
        };
        let body = request.body.clone();
        let message = Message {
            uuid: uuid.clone(),
            at: now,
            body,
            text: sendable.text,
        };
        let line = Line::Message(message.clone());
        if held.journal.append(&line).is_err() {
            return failure(500);
        }
        let field = |name: &str| request.body.get(name).and_then(Value::as_str);
        let channel = (
            field("channel_uuid").unwrap_or_default(),
            field("from").unwrap_or_default(),
        );
        let identity = self.0.identity;
        let Ok(index) = held.meet(identity, &sendable.to, channel, now) else {
            return failure(500);
        };
        let belongings = held.belongings.clone();
        let person = held.people.get(index);
        let contact = person.map_or(Value::Null, |person| person.json(&belongings));
        held.webhooks.sent(&message, &contact, fate);
        held.messages.push(message);
        let wants = |part: &str| match request.body.get("fields") {
            Some(Value::String(word)) => word == part,
            Some(Value::Array(list)) => list.iter().any(|word| word == part),
            _ => false,
        };
        let mut answer = json!({ "uuid": uuid, "status": "enqueued" });
        if let Some(fields) = answer.as_object_mut() {
            if wants("contact") {
                // The real API answers a one-element array here and an object elsewhere.
                fields.insert("contact".to_owned(), json!([contact]));
            }
            if wants("conversation") {
                let href = contact.get("conversationHref");
                fields.insert("conversation".to_owned(), json!([{ "href": href }]));
            }
        }
        (200, json!({ "message": answer }))
    }

    fn look_up(&self, request: &Request) -> Answer {
        let parts: Vec<&str> = request
            .path
            .split('/')
            .filter(|part| !part.is_empty())
            .collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("GET", ["auth", "me"]) => (
                200,
                json!({ "status": "ok", "user_email": "dev@example.com", "user_name": "Dev", "api_key": null }),
            ),
            ("GET", ["channels"]) => self.channels(request),
            ("GET", ["teams"]) => self.teams(),
            ("GET", ["funnels"]) => self.funnels(),
            ("GET", ["templates"]) => {
                let list: Vec<Value> = self.held().templates.iter().map(template).collect();
                (200, json!({ "templates": list, "meta": meta(1, 1) }))
            }
            ("GET", ["templates", uuid]) => {
                let held = self.held();
                let found = held.templates.iter().find(|known| known.uuid == *uuid);
                found.map_or_else(missing, |found| {
                    (200, json!({ "template": template(found) }))
                })
            }
            ("GET", ["messages", "status", uuid]) => self.status(uuid),
            (_, ["contacts", rest @ ..]) => self.contacts(request, rest),
            (_, ["webhooks", rest @ ..]) => self.webhooks(request, rest).unwrap_or_else(missing),
            _ => missing(),
        }
    }

    /// A message is enqueued, sent a second later, and delivered after another one.
    fn status(&self, uuid: &str) -> Answer {
        let held = self.held();
        let Some(message) = held.messages.iter().find(|message| message.uuid == uuid) else {
            return missing();
        };
        if let Some(reason) = held.webhooks.failed(uuid) {
            let inner = json!({ "payload": { "reason": reason } });
            let message =
                json!({ "uuid": uuid, "status": "failed", "messageStatusPayload": inner });
            return (200, json!({ "message": message }));
        }
        let age = self.0.clock.now().duration_since(message.at);
        let status = match age.as_secs() {
            ..1 => "enqueued",
            1 => "sent",
            _ => "delivered",
        };
        let message = json!({ "uuid": uuid, "status": status, "messageStatusPayload": {} });
        (200, json!({ "message": message }))
    }

    fn channels(&self, request: &Request) -> Answer {
        let wanted = request.parameter("type");
        let held = self.held();
        let list: Vec<Value> = held
            .channels
            .iter()
            .filter(|channel| wanted.is_none_or(|kind| kind == channel.kind))
            .enumerate()
            .map(|(index, channel)| {
                json!({
                    "uuid": channel.uuid, "title": channel.title, "type": channel.kind,
                    "main": index == 0, "discardedAt": null,
                })
            })
            .collect();
        (200, json!({ "channels": list, "meta": meta(1, 1) }))
    }

    fn teams(&self) -> Answer {
        let held = self.held();
        let list: Vec<Value> = held
            .belongings
            .teams
            .iter()
            .map(|name| json!({ "uuid": derived_uuid("team", name), "name": name, "members": 1 }))
            .collect();
        (200, json!({ "teams": list, "meta": meta(1, 1) }))
    }
}

/// What becomes of a message that meets this fault and is accepted.
fn fate(fault: Option<&Kind>) -> Fate {
    match fault {
        Some(Kind::MessageFails { reason }) => Fate::Fails(reason.clone()),
        Some(Kind::Mismatch { phone }) => Fate::Mismatch(phone.clone()),
        _ => Fate::Delivered,
    }
}

fn refused_by(fault: Option<&Kind>) -> Option<Answer> {
    match fault? {
        Kind::Status { status } | Kind::Limited { status, .. } => Some(failure(*status)),
        Kind::OutOfCredit => {
            let refused = Refused::code(
                402,
                "the WhatsApp wallet has run out of credit",
                "whatsapp_wallet_depleted_credit",
            );
            Some((refused.status, refused.body))
        }
        Kind::DropAfterAccept
        | Kind::AcceptThenStatus { .. }
        | Kind::Delay { .. }
        | Kind::Race
        | Kind::MessageFails { .. }
        | Kind::Mismatch { .. }
        | Kind::WebhookLost { .. } => None,
    }
}

/// What a status of a fault is answered with.
fn failure(status: u16) -> Answer {
    let word = match status {
        401 | 403 => "not authorized",
        404 => "not found",
        429 => "too many requests",
        400..500 => "bad request",
        _ => "internal server error",
    };
    (status, json!({ "error": word }))
}

fn missing() -> Answer {
    (404, json!({ "error": "not found" }))
}

fn meta(page: usize, pages: usize) -> Value {
    json!({ "page": page, "pages": pages })
}

fn template(template: &Template) -> Value {
    json!({
        "uuid": template.uuid, "title": template.title, "text": template.text,
        "templateType": template.kind, "category": template.category, "status": template.status,
        "createdAt": "2026-01-01T00:00:00Z",
    })
}

fn recipient(body: &Value) -> Option<String> {
    let field = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    field("to").or_else(|| field("bsuid"))
}

/// The same 32 hex digits for the same thing, in this process and the next.
fn derived_uuid(kind: &str, name: &str) -> String {
    use sha2::{Digest, Sha256};
    let digest = hex::encode(Sha256::digest(format!("{kind}/{name}").as_bytes()));
    digest.chars().take(32).collect()
}

fn random_uuid() -> Option<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(hex::encode(bytes))
}
