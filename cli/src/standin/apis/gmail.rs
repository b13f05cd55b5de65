//! Gmail's API as far as one mailbox's history, its mails, its labels and its watch go, the push subscription
//! behind it, and the keys that prove its pushes.
//! <https://developers.google.com/workspace/gmail/api/reference/rest>
//!
//! Its access tokens are made by `google_calendar`, which stands in for Google's token endpoint. The mails of the
//! repository's samples (`events/emails`) are in it too, at places of the history that only a mailbox comes
//! by that was connected as theirs.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::keys::PublicKeys;
use shared::secrets::Secret;
use shared::sources::demo;

use super::deliver::Webhook;
use super::google_calendar::ACCESS_TOKEN;
use super::{Api, Reply, Request, room};

/// The mailbox of the samples, and the one there is.
pub const MAILBOX: &str = "vendas@minhaloja.com.br";
/// The topic of the samples' mailbox.
pub const TOPIC: &str = "projects/minha-loja/topics/gmail";
/// Where the history begins of the mailbox that the samples are about.
pub const SAMPLES_FROM: u64 = 5_000;

const HOST: &str = "gmail.googleapis.com";
/// Where the keys are.
const KEYS_HOST: &str = "www.googleapis.com";
/// Where the history of every other mailbox begins.
const BEGINS: u64 = 10_000;
/// How long a watch lives.
const WATCH_LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// For how long a sample's mail is in the history: a server that runs in another year shows none of them.
const SAMPLE_LIFE: SignedDuration = SignedDuration::from_hours(24);
/// Records of one page unless a test says.
const PAGE_RECORDS: usize = 100;
/// Whose word Gmail adds to a mail, and what it is.
const PROVEN: &str = "mx.google.com; spf=pass; dkim=pass; dmarc=pass (p=REJECT)";

/// One mail of the samples: place, id, when, sender, subject, words.
type Sample = (
    u64,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

/// The mails of `events/emails`: fictional people.
const SAMPLES: [Sample; 4] = [
    (
        5_010,
        "19cf5a0000000001",
        "2026-03-16T19:59:40Z",
        "Beatriz Nogueira <beatriz.nogueira@example.com>",
        "Orçamento para 40 camisetas",
        "Boa tarde!\n\nPreciso de 40 camisetas brancas com a nossa marca até o fim do mês. Podem me chamar no\nWhatsApp: (11) 98009-0001\n\nBeatriz Nogueira\nPadaria Nogueira\n",
    ),
    (
        5_020,
        "19cf5a0000000002",
        "2026-03-16T20:09:40Z",
        "Caio Teixeira <caio.teixeira@example.com>",
        "Troca de tamanho",
        "Olá, a camiseta do pedido 1001 ficou pequena. Como faço para trocar?\n\nCaio\n",
    ),
    (
        5_030,
        "19cf5a0000000003",
        "2026-03-16T20:19:40Z",
        "Caio Teixeira <caio.teixeira@example.com>",
        "Re: Troca de tamanho",
        "Meu número é +55 11 98009-0002, obrigado!\n\nEm seg., 16 de mar. de 2026 às 17:15, Minha Loja <vendas@minhaloja.com.br> escreveu:\n\n> Qual é o seu WhatsApp? O nosso é (11) 98009-9999.\n",
    ),
    (
        5_040,
        "19cf5a0000000004",
        "2026-03-16T20:29:40Z",
        "Boletim da Moda <noticias@example.com>",
        "As cores do inverno",
        "Tudo sobre as cores do inverno. Para não receber mais: https://example.com/sair\n",
    ),
];

/// The stand-in: one mailbox.
#[derive(Debug, Default)]
pub struct Gmail(Mutex<Held>);

#[derive(Debug)]
struct Held {
    /// The newest place of the history.
    history: u64,
    /// Messages by their place.
    mails: Vec<(u64, Value)>,
    labels: Vec<(String, String)>,
    /// Places before this one are gone.
    history_from: u64,
    watch: Option<Watch>,
    subscription: Option<Subscription>,
    keys: PublicKeys,
    /// How many pushes there were.
    pushes: u64,
    page_records: usize,
    silent: bool,
    /// The next answers of the API, in place of its own.
    refusals: Vec<(u16, &'static str)>,
}

#[derive(Debug)]
struct Watch {
    topic: String,
    until: Timestamp,
}

/// Where Pub/Sub pushes to.
#[derive(Clone, Debug)]
struct Subscription {
    url: String,
    /// Account, audience and key.
    secret: Secret,
}

impl Default for Held {
    fn default() -> Held {
        Held {
            history: BEGINS,
            mails: Vec::new(),
            labels: Vec::new(),
            history_from: SAMPLES_FROM,
            watch: None,
            subscription: None,
            keys: demo::public_keys(),
            pushes: 0,
            page_records: PAGE_RECORDS,
            silent: false,
            refusals: Vec::new(),
        }
    }
}

/// What a test does to the mailbox, and at Google's console.
impl Gmail {
    /// Makes the push subscription, as a person does: its pushes are signed with the key in the secret.
    pub fn subscribe(&self, url: &str, secret: &Secret) {
        self.held().subscription = Some(Subscription {
            url: url.to_owned(),
            secret: secret.clone(),
        });
    }

    /// Its changes are published, as by a watch.
    pub fn watch(&self, topic: &str, until: Timestamp) {
        self.held().watch = Some(Watch {
            topic: topic.to_owned(),
            until,
        });
    }

    /// A mail arrives, and is pushed. The fields are those of a message, of which `id` is needed alone.
    pub fn arrives(&self, message: &Value, now: Timestamp) {
        let mut held = self.held();
        held.add(message, now);
        held.push(now);
    }

    /// A mail of this sender arrives, in plain text.
    pub fn write(&self, id: &str, from: &str, subject: &str, words: &str, now: Timestamp) {
        self.arrives(&written(id, from, subject, words), now);
    }

    /// A mail that is there no longer, though the history names it.
    pub fn vanish(&self, id: &str) {
        for (_, message) in &mut self.held().mails {
            if text(message, "id") == id {
                *message = json!({"id": id, "gone": true});
            }
        }
    }

    /// The last push once more, as Pub/Sub repeats one.
    pub fn push_again(&self, now: Timestamp) {
        let held = self.held();
        held.post(MAILBOX, held.pushes, now);
    }

    /// A push about another mailbox, under the same subscription.
    pub fn push_of(&self, mailbox: &str, now: Timestamp) {
        let mut held = self.held();
        held.pushes += 1;
        held.post(mailbox, held.pushes, now);
    }

    /// Every place of the history so far is too old.
    pub fn forget_history(&self) {
        let mut held = self.held();
        held.history += 1;
        held.history_from = held.history;
    }

    /// A label of the user's own.
    pub fn set_label(&self, id: &str, name: &str) {
        self.held().labels.push((id.to_owned(), name.to_owned()));
    }

    /// The keys that Google lists from now on.
    pub fn set_keys(&self, keys: PublicKeys) {
        self.held().keys = keys;
    }

    /// So many records a page.
    pub fn set_page_records(&self, records: usize) {
        self.held().page_records = records.max(1);
    }

    /// Pushes get lost.
    pub fn set_silent(&self, silent: bool) {
        self.held().silent = silent;
    }

    /// The API's next answers: a status and Google's reason each.
    pub fn refuse_next(&self, refusals: &[(u16, &'static str)]) {
        self.held().refusals.extend(refusals);
    }

    /// The topic that is published to, and until when, while it is.
    pub fn watched(&self, now: Timestamp) -> Option<(String, Timestamp)> {
        let held = self.held();
        let watch = held.watch.as_ref().filter(|watch| watch.until > now)?;
        Some((watch.topic.clone(), watch.until))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message in plain text.
fn written(id: &str, from: &str, subject: &str, words: &str) -> Value {
    let snippet: String = words.split_whitespace().collect::<Vec<_>>().join(" ");
    json!({
        "id": id, "snippet": snippet.chars().take(200).collect::<String>(),
        "payload": {
            "partId": "", "mimeType": "text/plain", "filename": "",
            "headers": [
                {"name": "Delivered-To", "value": MAILBOX},
                {"name": "Authentication-Results", "value": PROVEN},
                {"name": "From", "value": from},
                {"name": "To", "value": MAILBOX},
                {"name": "Subject", "value": subject},
                {"name": "Content-Type", "value": "text/plain; charset=\"UTF-8\""},
            ],
            "body": {"size": words.len(), "data": URL_SAFE.encode(words)},
        },
    })
}

/// A sample's place, when it arrived, and the message.
fn sample(sample: &Sample) -> (u64, Timestamp, Value) {
    let (place, id, at, from, subject, words) = sample;
    let at: Timestamp = at.parse().unwrap_or(Timestamp::UNIX_EPOCH);
    let mut message = written(id, from, subject, words);
    complete(&mut message, *place, at);
    (*place, at, message)
}

/// What Gmail adds to a message.
fn complete(message: &mut Value, place: u64, at: Timestamp) {
    let id = text(message, "id").to_owned();
    let Some(fields) = message.as_object_mut() else {
        return;
    };
    let millis = at.as_millisecond().to_string();
    let added = [
        ("threadId", json!(id)),
        ("labelIds", json!(["UNREAD", "INBOX", "CATEGORY_PERSONAL"])),
        ("internalDate", json!(millis)),
        ("historyId", json!(place.to_string())),
    ];
    for (name, value) in added {
        fields.entry(name).or_insert(value);
    }
}

impl Held {
    fn add(&mut self, message: &Value, now: Timestamp) {
        // Places have gaps.
        self.history += 3;
        let mut message = message.clone();
        complete(&mut message, self.history, now);
        self.mails.push((self.history, message));
    }

    /// Tells the subscription, where somebody watches.
    fn push(&mut self, now: Timestamp) {
        let watched = self.watch.as_ref().is_some_and(|watch| watch.until > now);
        if self.silent || !watched {
            return;
        }
        self.pushes += 1;
        self.post(MAILBOX, self.pushes, now);
    }

    fn post(&self, mailbox: &str, number: u64, now: Timestamp) {
        let Some(subscription) = &self.subscription else {
            return;
        };
        let data = json!({"emailAddress": mailbox, "historyId": self.history});
        let id = (14_000_000_000_000_000 + number).to_string();
        let webhook = Webhook {
            kind: "gmail",
            url: subscription.url.clone(),
            secret: subscription.secret.clone(),
            headers: Vec::new(),
            body: json!({
                "message": {
                    "data": STANDARD.encode(data.to_string()), "messageId": id, "message_id": id,
                    "publishTime": now, "publish_time": now,
                },
                "subscription": "projects/minha-loja/subscriptions/callbell-gmail",
            }),
        };
        webhook.post(now);
    }

    /// Every mail behind a place that has arrived by now, by its place.
    fn behind(&self, since: u64, now: Timestamp) -> Vec<(u64, Value)> {
        let shown = |at: &Timestamp| {
            let age = now.duration_since(*at);
            !age.is_negative() && age < SAMPLE_LIFE
        };
        let samples = SAMPLES.iter().map(sample).filter(|(_, at, _)| shown(at));
        let samples = samples.map(|(place, _, message)| (place, message));
        let all = samples.chain(self.mails.iter().cloned());
        all.filter(|(place, _)| *place > since).collect()
    }

    fn history(&self, request: &Request, now: Timestamp) -> Reply {
        let since = request.query("startHistoryId");
        let Some(since) = since.and_then(|since| since.parse::<u64>().ok()) else {
            return refusal(400, "invalidArgument");
        };
        if since < self.history_from {
            return refusal(404, "notFound");
        }
        let offset = request
            .query("pageToken")
            .and_then(|page| page.parse().ok());
        let offset: usize = offset.unwrap_or_default();
        let behind = self.behind(since, now);
        let record = |(place, message): &(u64, Value)| {
            let id = text(message, "id");
            let short = json!({"id": id, "threadId": id, "labelIds": message.get("labelIds")});
            json!({"id": place.to_string(), "messages": [short], "messagesAdded": [{"message": short}]})
        };
        let page: Vec<Value> = behind
            .iter()
            .skip(offset)
            .take(self.page_records)
            .map(record)
            .collect();
        let mut answer = json!({"historyId": self.newest(since, now).to_string()});
        if !page.is_empty() {
            room::set(&mut answer, "history", json!(page));
        }
        let next = offset + self.page_records;
        if behind.len() > next {
            room::set(&mut answer, "nextPageToken", json!(next.to_string()));
        }
        Reply::new(200, answer)
    }

    /// Among the samples the newest place is the newest sample's: a mailbox that comes by them meets them all.
    fn newest(&self, since: u64, now: Timestamp) -> u64 {
        let last = self.behind(since, now).last().map(|(place, _)| *place);
        if since < BEGINS && last.is_none_or(|last| last < BEGINS) {
            return last.unwrap_or(since);
        }
        self.history
    }

    fn search(&self, request: &Request) -> Reply {
        let after = request.query("q").and_then(|q| q.strip_prefix("after:"));
        let Some(after) = after.and_then(|after| after.parse::<i64>().ok()) else {
            return refusal(400, "invalidArgument");
        };
        let is_later = |message: &Value| {
            let millis: i64 = text(message, "internalDate").parse().unwrap_or_default();
            millis >= after.saturating_mul(1_000)
        };
        let offset = request
            .query("pageToken")
            .and_then(|page| page.parse().ok());
        let offset: usize = offset.unwrap_or_default();
        let found: Vec<Value> = self
            .mails
            .iter()
            .rev()
            .map(|(_, message)| message)
            .filter(|message| message.get("gone").is_none() && is_later(message))
            .map(|message| json!({"id": text(message, "id"), "threadId": text(message, "id")}))
            .collect();
        let next = offset + self.page_records;
        let page: Vec<Value> = found
            .iter()
            .skip(offset)
            .take(self.page_records)
            .cloned()
            .collect();
        let mut answer = json!({"resultSizeEstimate": found.len(), "messages": page});
        if found.len() > next {
            room::set(&mut answer, "nextPageToken", json!(next.to_string()));
        }
        Reply::new(200, answer)
    }

    fn message(&self, id: &str) -> Reply {
        let own = self.mails.iter().map(|(_, message)| message.clone());
        let samples = SAMPLES.iter().map(|one| sample(one).2);
        let mut all = own.chain(samples);
        match all.find(|message| text(message, "id") == id) {
            Some(message) if message.get("gone").is_none() => Reply::new(200, message),
            _ => refusal(404, "notFound"),
        }
    }

    fn start_watch(&mut self, body: &Value, now: Timestamp) -> Reply {
        let topic = text(body, "topicName");
        let parts: Vec<&str> = topic.split('/').collect();
        if !matches!(parts.as_slice(), ["projects", _, "topics", _]) {
            return refusal(400, "invalidArgument");
        }
        let until = now.saturating_add(WATCH_LIFE).unwrap_or(now);
        self.watch = Some(Watch {
            topic: topic.to_owned(),
            until,
        });
        // Google pushes at once, whether anything changed or not.
        self.push(now);
        let expiration = until.as_millisecond().to_string();
        Reply::new(
            200,
            json!({"historyId": self.history.to_string(), "expiration": expiration}),
        )
    }

    fn label_list(&self) -> Reply {
        let system = BTreeSet::from(["INBOX", "UNREAD", "SENT", "CATEGORY_PERSONAL"]);
        let system = system
            .into_iter()
            .map(|name| json!({"id": name, "name": name, "type": "system"}));
        let own = self.labels.iter();
        let own = own.map(|(id, name)| json!({"id": id, "name": name, "type": "user"}));
        Reply::new(
            200,
            json!({"labels": system.chain(own).collect::<Vec<_>>()}),
        )
    }

    fn key_list(&self) -> Reply {
        let key = |(kid, key): (&String, &shared::keys::RsaKey)| json!({"kid": kid, "kty": "RSA", "alg": "RS256", "use": "sig", "n": key.n, "e": key.e});
        let keys: Vec<Value> = self.keys.0.iter().map(key).collect();
        Reply::new(200, json!({ "keys": keys })).with("cache-control", "public, max-age=21600")
    }
}

impl Api for Gmail {
    fn name(&self) -> &'static str {
        "gmail"
    }

    fn is_at(&self, host: &str) -> bool {
        host == HOST
    }

    fn takes(&self, request: &Request) -> bool {
        let keys =
            request.host == KEYS_HOST && request.path.first().is_some_and(|part| part == "oauth2");
        keys || self.is_at(&request.host)
    }

    fn answer(&self, request: &Request, now: Timestamp) -> Reply {
        let mut held = self.held();
        let parts = request.parts();
        if let (&Method::GET, ["oauth2", "v3", "certs"]) = (&request.method, parts.as_slice()) {
            return held.key_list();
        }
        let bearer = request.header("authorization").unwrap_or_default();
        if !bearer.starts_with(&format!("Bearer {ACCESS_TOKEN}")) {
            return refusal(401, "authError");
        }
        if !held.refusals.is_empty() {
            let (status, reason) = held.refusals.remove(0);
            return refusal(status, reason);
        }
        let ["gmail", "v1", "users", "me", rest @ ..] = parts.as_slice() else {
            return refusal(404, "notFound");
        };
        match (&request.method, rest) {
            (&Method::GET, ["profile"]) => Reply::new(
                200,
                json!({
                    "emailAddress": MAILBOX, "messagesTotal": held.mails.len(),
                    "historyId": held.history.to_string(),
                }),
            ),
            (&Method::GET, ["history"]) => held.history(request, now),
            (&Method::GET, ["messages"]) => held.search(request),
            (&Method::GET, ["messages", id]) => held.message(id),
            (&Method::GET, ["labels"]) => held.label_list(),
            (&Method::POST, ["watch"]) => held.start_watch(&request.body, now),
            (&Method::POST, ["stop"]) => {
                held.watch = None;
                Reply::new(204, Value::Null)
            }
            _ => refusal(404, "notFound"),
        }
    }
}

fn refusal(status: u16, reason: &str) -> Reply {
    let error = json!({"error": {
        "code": status, "message": reason,
        "errors": [{"domain": "global", "reason": reason, "message": reason}],
    }});
    Reply::new(status, error)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
