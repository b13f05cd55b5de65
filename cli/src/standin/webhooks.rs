//! The account's one webhook: what the stand-in posts back, signed, in order, on the development clock.
//! <https://docs.callbell.eu/api/reference/webhooks_api/subscribe>
//!
//! What is not answered with exactly 200 is tried again, a few times; after six hours without a 200 the
//! webhook is disabled. Every delivery is remembered with our answer: `GET /webhooks/events`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::connections::Connection;
use shared::secrets::Secret;
use shared::sources::callbell::{self, Callbell};
use shared::sources::{Source, Unsigned};

use super::apis::deliver::{here, takes};
use super::journal::Message;
use super::people::Wrote;
use super::rules::Refused;
use super::{Answer, Held, Request, StandIn, faults, meta};

/// How long after it was sent a message is on the phone.
const DELIVERED_AFTER: SignedDuration = SignedDuration::from_secs(1);
/// When a delivery is tried again, counted from the last attempt, in minutes.
const RETRY_MINUTES: [i64; 4] = [1, 5, 15, 60];
/// How long a webhook may fail before it is disabled, in hours.
const DISABLED_AFTER_HOURS: i64 = 6;
/// Longest wait for the door's answer, in seconds.
const ANSWER_SECONDS_MAX: u64 = 10;
/// Deliveries that are remembered; the oldest go first.
const LOG_MAX: usize = 10_000;
/// Deliveries of a page where the request does not say.
const PAGE: usize = 25;
/// The business's own number, without `+` as Callbell writes them.
const BUSINESS: &str = "551130000000";

/// The webhook and what it has still to post.
#[derive(Default)]
pub(super) struct Webhooks {
    subscribed: Option<Subscription>,
    /// What the dashboard's "Generate secret" shows; none: webhooks are not signed.
    signing: Option<Secret>,
    /// In the order in which they were made.
    waiting: Vec<Delivery>,
    /// Newest last.
    log: Vec<Delivery>,
    failing_since: Option<Timestamp>,
    /// Messages that WhatsApp did not deliver, and why.
    failed: Vec<(String, String)>,
    made: u64,
}

struct Subscription {
    url: String,
    subscriptions: Vec<String>,
    created_at: Timestamp,
    enabled: bool,
}

#[derive(Clone)]
struct Delivery {
    number: u64,
    event: String,
    payload: Value,
    due: Timestamp,
    created_at: Timestamp,
    attempts: usize,
    /// `{"body", "code", "headers"}`.
    response: Value,
    success: bool,
}

/// What becomes of a message that was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Fate {
    /// It reaches the phone.
    #[default]
    Delivered,
    /// WhatsApp does not deliver it, for this reason.
    Fails(String),
    /// WhatsApp corrects the number to this one and delivers it.
    Mismatch(String),
}

/// Something that a person writes: `POST /_dev/receive`.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Written {
    /// Who writes: `+5511987654321`.
    pub phone: Option<String>,
    /// The same for a person who hides the number.
    pub bsuid: Option<String>,
    /// What they call themselves; kept for later messages.
    pub name: Option<String>,
    /// What they write.
    pub text: Option<String>,
    /// The id of the button that they tap; `text` is its title.
    pub button: Option<String>,
    /// Addresses of files.
    pub attachments: Vec<String>,
}

impl Subscription {
    fn json(&self) -> Value {
        json!({
            "url": self.url, "subscriptions": self.subscriptions, "enabled": self.enabled,
            "createdAt": self.created_at.strftime("%Y-%m-%d %H:%M:%S +0000").to_string(),
        })
    }
}

impl Delivery {
    fn json(&self) -> Value {
        json!({
            "event": self.event, "payload": self.payload, "response": self.response,
            "success": self.success, "createdAt": self.created_at,
        })
    }
}

impl Webhooks {
    /// Queues a webhook, where the account asked for such.
    pub(super) fn announce(&mut self, event: &str, payload: Value, due: Timestamp) {
        let wanted = self.subscribed.as_ref().is_some_and(|webhook| {
            webhook.enabled && webhook.subscriptions.iter().any(|known| known == event)
        });
        if !wanted {
            return;
        }
        self.made += 1;
        self.waiting.push(Delivery {
            number: self.made,
            event: event.to_owned(),
            payload,
            due,
            created_at: due,
            attempts: 0,
            response: json!({ "body": null, "code": null, "headers": {} }),
            success: false,
        });
    }

    /// Queues what Callbell tells of a message that it accepted.
    pub(super) fn sent(&mut self, message: &Message, contact: &Value, fate: &Fate) {
        let now = message.at;
        self.announce("message_created", created(message, contact), now);
        let later = now.saturating_add(DELIVERED_AFTER).unwrap_or(now);
        let (sent, delivered) = (
            json!({"ts": now.as_second()}),
            json!({"ts": later.as_second()}),
        );
        let mut tell = |status: &str, inner: Value, at: Timestamp| {
            let payload = status_of(message, contact, status, &inner);
            self.announce("message_status_updated", payload, at);
        };
        match fate {
            Fate::Delivered => {
                tell("sent", sent, now);
                tell("delivered", delivered, later);
            }
            Fate::Mismatch(phone) => {
                tell(
                    "mismatch",
                    json!({ "phone": phone, "ts": now.as_second() }),
                    now,
                );
                tell("sent", sent, now);
                tell("delivered", delivered, later);
            }
            Fate::Fails(reason) => {
                let inner = json!({ "code": 1003, "reason": reason, "ts": later.as_second() });
                tell("failed", inner, later);
                self.failed.push((message.uuid.clone(), reason.clone()));
            }
        }
    }

    /// Why WhatsApp did not deliver a message.
    pub(super) fn failed(&self, uuid: &str) -> Option<&str> {
        let found = self.failed.iter().find(|(failed, _)| failed == uuid);
        found.map(|(_, reason)| reason.as_str())
    }

    /// The delivery to be posted next: of those that are due the oldest.
    fn take(&mut self, now: Timestamp) -> Option<Delivery> {
        let due = self.waiting.iter().enumerate();
        let due = due.filter(|(_, delivery)| delivery.due <= now);
        let first = due.min_by_key(|(_, delivery)| (delivery.due, delivery.number));
        let index = first.map(|(index, _)| index)?;
        Some(self.waiting.remove(index))
    }

    /// What became of an attempt; one that failed is tried again where there is a time for that.
    fn settle(&mut self, mut delivery: Delivery, response: Value, again: bool, now: Timestamp) {
        delivery.success = response.get("code") == Some(&json!(200));
        delivery.response = response;
        delivery.attempts += 1;
        if delivery.success {
            self.failing_since = None;
        } else {
            let since = *self.failing_since.get_or_insert(now);
            let limit = SignedDuration::from_hours(DISABLED_AFTER_HOURS);
            if let Some(webhook) = &mut self.subscribed
                && now.duration_since(since) >= limit
            {
                webhook.enabled = false;
                self.waiting.clear();
            }
            let minutes = RETRY_MINUTES.get(delivery.attempts - 1).filter(|_| again);
            let enabled = self
                .subscribed
                .as_ref()
                .is_some_and(|webhook| webhook.enabled);
            if let (Some(minutes), true) = (minutes, enabled) {
                let later = now.saturating_add(SignedDuration::from_mins(*minutes));
                delivery.due = later.unwrap_or(Timestamp::MAX);
                self.waiting.push(delivery.clone());
            }
        }
        match self
            .log
            .iter_mut()
            .find(|known| known.number == delivery.number)
        {
            Some(known) => *known = delivery,
            None => self.log.push(delivery),
        }
        if self.log.len() > LOG_MAX {
            self.log.remove(0);
        }
    }
}

/// `message_created` of a message that we sent: without its number.
fn created(message: &Message, contact: &Value) -> Value {
    let body = &message.body;
    let field = |name: &str| body.get(name).cloned().unwrap_or_default();
    let to = body.get("to").and_then(Value::as_str);
    let mut payload = json!({
        "from": BUSINESS, "to": to.map(|to| to.trim_start_matches('+')), "text": message.text,
        "status": "sent", "channel": field("from"), "contact": contact, "createdAt": message.at,
    });
    if let Some(map) = payload.as_object_mut() {
        if let Some(url) = body.pointer("/content/url") {
            map.insert("attachments".to_owned(), json!([url]));
        }
        if !field("metadata").is_null() {
            map.insert("metadata".to_owned(), field("metadata"));
        }
    }
    payload
}

/// `message_status_updated`. Metadata comes as a text here and as an object elsewhere.
fn status_of(message: &Message, contact: &Value, status: &str, inner: &Value) -> Value {
    let metadata = message
        .body
        .get("metadata")
        .filter(|value| !value.is_null());
    let mut payload = json!({
        "uuid": message.uuid, "status": status, "contact": [contact],
        "messageStatusPayload": { "id": message.uuid, "type": status, "payload": inner },
    });
    if let (Some(map), Some(metadata)) = (payload.as_object_mut(), metadata) {
        map.insert("metadata".to_owned(), json!(metadata.to_string()));
    }
    payload
}

/// `message_created` of what a person wrote.
fn received(written: &Written, contact: &Value, now: Timestamp) -> Value {
    let from = written.phone.as_deref().or(written.bsuid.as_deref());
    let mut payload = json!({
        "from": from.unwrap_or_default().trim_start_matches('+'), "to": BUSINESS, "status": "received",
        "channel": "whatsapp", "contact": contact, "createdAt": now,
    });
    if let Some(map) = payload.as_object_mut() {
        if let Some(text) = &written.text {
            map.insert("text".to_owned(), json!(text));
        }
        if !written.attachments.is_empty() {
            map.insert("attachments".to_owned(), json!(written.attachments));
        }
        if let Some(id) = &written.button {
            let title = written.text.as_ref().unwrap_or(id);
            let options = json!([{ "type": "text", "title": title, "postback_text": id }]);
            let button = json!({ "metadata": { "type": "quick_reply", "options": options } });
            map.insert("messageReplyButton".to_owned(), button);
            map.insert("text".to_owned(), json!(title));
        }
    }
    payload
}

impl StandIn {
    /// Gives the account a webhook, and the secret that it signs with.
    pub fn subscribe(&self, url: &str, events: &[&str], signing: Option<Secret>) {
        let now = self.now();
        let mut held = self.held();
        held.webhooks.signing = signing;
        held.webhooks.failing_since = None;
        held.webhooks.subscribed = Some(Subscription {
            url: url.to_owned(),
            subscriptions: events.iter().map(|event| (*event).to_owned()).collect(),
            created_at: now,
            enabled: true,
        });
    }

    /// Sets or takes away what webhooks are signed with: the dashboard's "Generate secret".
    pub fn sign_webhooks(&self, signing: Option<Secret>) {
        self.held().webhooks.signing = signing;
    }

    /// Where the account's webhook goes, and whether it is enabled.
    pub fn webhook(&self) -> Option<(String, bool)> {
        let held = self.held();
        let webhook = held.webhooks.subscribed.as_ref()?;
        Some((webhook.url.clone(), webhook.enabled))
    }

    /// When the next webhook is due.
    pub fn next_webhook(&self) -> Option<Timestamp> {
        let held = self.held();
        held.webhooks
            .waiting
            .iter()
            .map(|delivery| delivery.due)
            .min()
    }

    /// Posts every webhook that is due, one after the other; `false`: there was none.
    pub async fn post_webhooks(&self) -> bool {
        let _one = self.0.posting.lock().await;
        let mut any = false;
        while let Some((delivery, url, signing, lost)) = self.due_webhook() {
            any = true;
            let response = if lost {
                Value::Null
            } else {
                post(&url, &delivery, signing.as_ref(), self.now()).await
            };
            let now = self.now();
            self.held().webhooks.settle(delivery, response, !lost, now);
        }
        any
    }

    fn due_webhook(&self) -> Option<(Delivery, String, Option<Secret>, bool)> {
        let now = self.now();
        let mut held = self.held();
        let delivery = held.webhooks.take(now)?;
        let lost = held.take_webhook_fault(&delivery.event);
        let webhook = held.webhooks.subscribed.as_ref()?;
        let url = webhook.url.clone();
        Some((delivery, url, held.webhooks.signing.clone(), lost))
    }

    /// A person writes: their window opens, and the account is told.
    ///
    /// # Errors
    /// What the journal cannot keep.
    pub fn receive(&self, written: &Written) -> std::io::Result<Value> {
        let who = written.phone.as_deref().or(written.bsuid.as_deref());
        let who = who.unwrap_or_default();
        self.set_window(who, true)?;
        let main = self.held().channels.first().cloned();
        let (channel, source) = main.map_or_else(
            || (String::new(), "whatsapp".to_owned()),
            |channel| (channel.uuid, channel.kind),
        );
        let contact = self.person_writes(who, &channel, &source, written.name.as_deref())?;
        let now = self.now();
        let payload = received(written, &contact, now);
        let uuid = contact.get("uuid").and_then(Value::as_str);
        let uuid = uuid.unwrap_or_default();
        let mut held = self.held();
        held.written.push(Wrote {
            contact: uuid.to_owned(),
            text: written.text.clone(),
            at: now,
        });
        held.webhooks.announce("message_created", payload, now);
        Ok(contact)
    }

    /// `POST /webhooks/subscribe`, `DELETE /webhooks/unsubscribe`, `GET /webhooks/events`.
    pub(super) fn webhooks(&self, request: &Request, path: &[&str]) -> Option<Answer> {
        match (request.method.as_str(), path) {
            ("POST", ["subscribe"]) => Some(self.subscribe_by(request)),
            ("DELETE", ["unsubscribe"]) => {
                self.held().webhooks.subscribed = None;
                Some((200, json!({ "status": "webhook was destroyed" })))
            }
            ("GET", ["events"]) => Some(self.deliveries(request)),
            _ => None,
        }
    }

    fn subscribe_by(&self, request: &Request) -> Answer {
        let refused = |field: &str| {
            let refused = Refused::field(field, "must be present and valid");
            (refused.status, refused.body)
        };
        let url = request.body.get("url").and_then(Value::as_str);
        let Some(url) = url.filter(|url| takes(url)) else {
            return refused("url");
        };
        let events = request.body.get("subscriptions").and_then(Value::as_array);
        let events: Vec<&str> = events
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if events.is_empty() {
            return refused("subscriptions");
        }
        let signing = self.held().webhooks.signing.clone();
        self.subscribe(url, &events, signing);
        let held = self.held();
        let webhook = held.webhooks.subscribed.as_ref().map(Subscription::json);
        (200, json!({ "webhook": webhook }))
    }

    /// Newest first.
    fn deliveries(&self, request: &Request) -> Answer {
        let held = self.held();
        let status = request.parameter("status");
        let events: Option<Vec<&str>> = request
            .parameter("subscriptions")
            .map(|list| list.split(',').collect());
        let wanted = |delivery: &&Delivery| {
            let by_status = match status {
                Some("failed") => !delivery.success,
                Some("success") => delivery.success,
                _ => true,
            };
            let event = delivery.event.as_str();
            by_status && events.as_ref().is_none_or(|list| list.contains(&event))
        };
        let found: Vec<&Delivery> = held.webhooks.log.iter().rev().filter(wanted).collect();
        let items = request.parameter("items").and_then(|n| n.parse().ok());
        let items = items.unwrap_or(PAGE).clamp(1, 100);
        let page = request.page();
        let list: Vec<Value> = found
            .iter()
            .skip((page - 1).saturating_mul(items))
            .take(items)
            .map(|delivery| delivery.json())
            .collect();
        let pages = found.len().div_ceil(items).max(1);
        (
            200,
            json!({ "webhook_events": list, "meta": meta(page, pages) }),
        )
    }
}

impl Held {
    /// Whether a webhook gets lost, as told by a fault.
    fn take_webhook_fault(&mut self, event: &str) -> bool {
        self.faults
            .get_mut(faults::CALLBELL)
            .is_some_and(|faults| faults.take_webhook(event))
    }
}

/// Posts one webhook, to this machine alone, and keeps the answer as Callbell's log shows it.
async fn post(url: &str, delivery: &Delivery, signing: Option<&Secret>, now: Timestamp) -> Value {
    let nothing = json!({ "body": null, "code": null, "headers": {} });
    let Some(url) = here(url) else {
        return nothing;
    };
    let body = json!({ "event": delivery.event, "payload": delivery.payload });
    let body = body.to_string().into_bytes();
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(ANSWER_SECONDS_MAX));
    let Ok(client) = client.build() else {
        return nothing;
    };
    let mut request = client.post(url).header("content-type", "application/json");
    if let Some(signing) = signing {
        let connection = Connection::plain(callbell::KIND);
        for (name, value) in Callbell.sign(&Unsigned::of(&connection, signing, &body, now)) {
            request = request.header(name, value);
        }
    }
    match request.body(body).send().await {
        Ok(answer) => {
            let code = answer.status().as_u16();
            let text = answer.text().await.unwrap_or_default();
            let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
            json!({ "body": body, "code": code, "headers": {} })
        }
        Err(_) => nothing,
    }
}

/// The secret of a list that signs, and the one that the path ends in.
pub fn signing_and_path(values: &[Secret]) -> (Option<Secret>, Option<String>) {
    let signing = values.iter().find(|value| callbell::signs(value)).cloned();
    let path = values.iter().find(|value| !callbell::signs(value));
    (signing, path.map(|value| value.expose().to_owned()))
}
