//! A message as Gmail's API shows it, and the event that it is.
//! <https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages>

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::super::google_calendar::{has_word, numbers_in};
use super::super::read;
use super::words::{self, Address};
use super::{KIND, decode};
use crate::connections::Connection;
use crate::event::{
    Body, Customer, Email, Event, Head, ITEMS_MAX, Name, PhoneCandidate, Sender, Subject,
    SubjectKind, TEXT_CHARS_MAX,
};

/// Labels of what did not arrive, or of what nobody should hear of.
/// <https://developers.google.com/workspace/gmail/api/guides/labels>
const NOT_RECEIVED: [&str; 5] = ["DRAFT", "SENT", "SPAM", "TRASH", "CHAT"];
/// How deep parts may lie in each other.
const DEPTH_MAX: usize = 20;
/// How much of a mail's words is searched for a number, in characters: signatures stand at the end.
const SEARCHED_CHARS_MAX: usize = 20_000;
/// How much of a part's words is read, in bytes: Gmail itself shows about 102 KB of a mail.
const WORDS_BYTES_MAX: usize = 256 * 1024;
/// Who says how a mail's sender was proven: another server's word is not Google's.
const CHECKED_BY: &str = "mx.google.com";
/// Words of lines whose digits are no telephone's: tax numbers, postal codes, accounts.
const NO_PHONES: [&str; 8] = [
    "cpf",
    "cnpj",
    "cep",
    "iban",
    "boleto",
    "nif",
    "partita iva",
    "p. iva",
];

/// What it takes to read a message.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// The connection.
    pub connection: &'a Connection,
    /// The mailbox's address.
    pub address: &'a str,
    /// Names of the user's own labels, by their ids.
    pub labels: &'a BTreeMap<String, String>,
    /// When the mailbox was connected: what arrived before is no news.
    pub since: Timestamp,
}

/// The ids of a message's labels.
pub fn labels(message: &Value) -> Vec<&str> {
    let labels = message.get("labelIds").and_then(Value::as_array);
    let labels = labels.into_iter().flatten().filter_map(Value::as_str);
    labels.take(ITEMS_MAX).collect()
}

/// Whether a message arrived, as far as its labels say: what was sent, written or thrown away did not.
pub fn is_news(message: &Value) -> bool {
    let labels = labels(message);
    !labels.iter().any(|label| NOT_RECEIVED.contains(label))
}

/// `email.received` of a message. `None`: it is none, or was there before the mailbox was connected.
pub fn mail(message: &Value, look: &Look<'_>) -> Option<Event> {
    let id = message.get("id").and_then(read::as_id)?;
    let at = match message.get("internalDate")? {
        Value::String(text) => text.parse().ok()?,
        number => number.as_i64()?,
    };
    let at = Timestamp::from_millisecond(at).ok()?;
    if !is_news(message) || at < look.since {
        return None;
    }
    let payload = message.get("payload").unwrap_or(&Value::Null);
    let header = |name: &str| header(payload, name).unwrap_or_default();
    let from = words::addresses(&header("from")).into_iter().next();
    let from = from.unwrap_or_default();
    let parts = Parts::of(payload);
    let snippet = message.get("snippet").and_then(Value::as_str);
    let snippet = html_escape::decode_html_entities(snippet.unwrap_or_default()).into_owned();
    let text = parts.text().unwrap_or_else(|| snippet.clone());
    let name = |label: &str| look.labels.get(label).cloned();
    let email = Email {
        id: id.clone(),
        from: Sender {
            name: from.name.clone(),
            address: from.address.clone(),
        },
        to: recipients(&header("to")),
        subject: words::clean(&words::decoded(&header("subject")), TEXT_CHARS_MAX),
        snippet: words::clean(&snippet, TEXT_CHARS_MAX),
        text: words::clean(&text, TEXT_CHARS_MAX),
        at,
        labels: labels(message)
            .into_iter()
            .map(|label| name(label).unwrap_or_else(|| label.to_owned()))
            .collect(),
        has_attachments: parts.has_attachments,
    };
    let connection = &look.connection.name;
    Some(Event {
        event: Head {
            name: Name::EmailReceived,
            source: connection.clone(),
            kind: KIND.to_owned(),
            account: Some(look.address.to_owned()),
            id: format!("{connection}/email/{id}/received"),
            at,
            test: false,
            depth: 0,
            notes: doubts(payload),
        },
        customer: customer(&from, &text),
        subject: Subject::new(SubjectKind::Email, id, at),
        body: Body::Email {
            email: Box::new(email),
        },
    })
}

fn customer(from: &Address, text: &str) -> Customer {
    Customer {
        name: from.name.clone(),
        email: Some(from.address.clone()).filter(|address| !address.is_empty()),
        phones: phones(text),
        ..Customer::default()
    }
}

fn recipients(header: &str) -> Vec<String> {
    let all = words::addresses(header).into_iter();
    all.map(|one| one.address).take(ITEMS_MAX).collect()
}

/// A note where Google did not find that the sender's domain sent it: anybody can write any `From`.
/// <https://support.google.com/a/answer/2466580>
fn doubts(payload: &Value) -> Vec<String> {
    // The first is the one that was added last: those below it came with the mail.
    let results = header(payload, "authentication-results").unwrap_or_default();
    let mut clauses = words::clauses(&results);
    let by_google = clauses.next() == Some(CHECKED_BY);
    let mut found = clauses.filter_map(|clause| clause.strip_prefix("dmarc="));
    let result = found.next().unwrap_or_default();
    let result = result.split(|c: char| c.is_whitespace() || c == '(').next();
    // Google says it once. Where it stands twice, one may come from the mail.
    if by_google && result == Some("pass") && found.next().is_none() {
        return Vec::new();
    }
    vec!["the sender is not proven: no dmarc=pass".to_owned()]
}

/// The numbers in what the sender wrote: not in the mail that it answers, where the number may be ours.
fn phones(text: &str) -> Vec<PhoneCandidate> {
    let own = words::without_quotes(text);
    let is_no_phone = |line: &str| {
        let line = line.to_lowercase();
        NO_PHONES.iter().any(|word| has_word(&line, word))
    };
    let searched: Vec<&str> = own.lines().filter(|line| !is_no_phone(line)).collect();
    let searched: String = searched
        .join("\n")
        .chars()
        .take(SEARCHED_CHARS_MAX)
        .collect();
    let candidate = |number| PhoneCandidate {
        path: "text".to_owned(),
        number,
        country: None,
    };
    let found = numbers_in(&searched);
    if found.is_empty() {
        return vec![candidate(None)];
    }
    found.into_iter().map(|one| candidate(Some(one))).collect()
}

/// The first header of a name, of a message or one of its parts.
fn header(part: &Value, name: &str) -> Option<String> {
    let headers = part.get("headers").and_then(Value::as_array)?;
    let text = |header: &Value, key: &str| Some(header.get(key)?.as_str()?.to_owned());
    let is = |header: &&Value| {
        text(header, "name").is_some_and(|found| found.eq_ignore_ascii_case(name))
    };
    text(headers.iter().find(is)?, "value")
}

/// The parts of a mail that matter.
#[derive(Default)]
struct Parts {
    plain: Option<String>,
    html: Option<String>,
    has_attachments: bool,
}

impl Parts {
    fn of(payload: &Value) -> Parts {
        let mut parts = Parts::default();
        parts.add(payload, 0);
        parts
    }

    fn add(&mut self, part: &Value, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        let text = |name: &str| part.get(name).and_then(Value::as_str).unwrap_or_default();
        let disposition = header(part, "content-disposition").unwrap_or_default();
        let disposition = disposition.trim().to_ascii_lowercase();
        if !text("filename").is_empty() || disposition.starts_with("attachment") {
            // Pictures in the words are no files.
            self.has_attachments |= !disposition.starts_with("inline");
            return;
        }
        match text("mimeType").to_ascii_lowercase().as_str() {
            "text/plain" if self.plain.is_none() => self.plain = words_of(part, false),
            "text/html" if self.html.is_none() => self.html = words_of(part, true),
            // Another mail, whose words are its own.
            "message/rfc822" => return,
            _ => {}
        }
        let parts = part.get("parts").and_then(Value::as_array);
        for part in parts.into_iter().flatten() {
            self.add(part, depth.saturating_add(1));
        }
    }

    fn text(&self) -> Option<String> {
        let html = self.html.as_deref();
        self.plain.clone().or_else(|| {
            let text = words::from_html(html?);
            (!text.trim().is_empty()).then_some(text)
        })
    }
}

/// A part's words, where it has any.
fn words_of(part: &Value, is_html: bool) -> Option<String> {
    let data = part.pointer("/body/data").and_then(Value::as_str)?;
    let kind = header(part, "content-type").unwrap_or_default();
    let mut text = words::of_charset(&decode(data)?, words::charset(&kind));
    cut(&mut text, is_html);
    (!text.trim().is_empty()).then_some(text)
}

/// Cuts words to [`WORDS_BYTES_MAX`], and HTML before the tag that would lose its end: a picture in one is no text.
fn cut(text: &mut String, is_html: bool) {
    if text.len() <= WORDS_BYTES_MAX {
        return;
    }
    text.truncate(text.floor_char_boundary(WORDS_BYTES_MAX));
    let open = text.rfind('<').filter(|_| is_html);
    if let Some(open) = open.filter(|open| text.rfind('>').is_none_or(|close| close < *open)) {
        text.truncate(open);
    }
}
