//! What the stand-ins of systems that keep records of people share: the records, in memory, and access
//! tokens.
//!
//! A token, key or refresh token with `revoked` in it is none; any other is one, but for access tokens, which
//! have to be made here and end.

use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::Request;

/// What access tokens begin with.
const ACCESS_TOKEN: &str = "access-";

/// One system's records.
#[derive(Debug, Default)]
pub(super) struct Room(Mutex<Held>);

/// What is in it.
#[derive(Debug, Default)]
pub(super) struct Held {
    made: u64,
    entries: Vec<(Timestamp, Value)>,
    tokens: Vec<(String, Timestamp)>,
    /// Names of tags, where tags are things of their own.
    pub(super) tags: Vec<String>,
}

impl Room {
    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn records(&self) -> Vec<Value> {
        let held = self.held();
        held.entries
            .iter()
            .map(|(_, record)| record.clone())
            .collect()
    }
}

impl Held {
    /// Another number for every record.
    pub(super) fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    pub(super) fn push(&mut self, record: Value, now: Timestamp) {
        self.entries.push((now, record));
    }

    /// Every record, at once.
    pub(super) fn all(&self) -> impl Iterator<Item = &Value> {
        self.entries.iter().map(|(_, record)| record)
    }

    /// The records that a search shows, which learns of them so much later.
    pub(super) fn searched(
        &self,
        now: Timestamp,
        lag: SignedDuration,
    ) -> impl Iterator<Item = &Value> {
        let shown = move |made: Timestamp| now.duration_since(made) >= lag;
        let shown = self.entries.iter().filter(move |(made, _)| shown(*made));
        shown.map(|(_, record)| record)
    }

    pub(super) fn find(&mut self, is: impl Fn(&Value) -> bool) -> Option<&mut Value> {
        let mut records = self.entries.iter_mut().map(|(_, record)| record);
        records.find(|record| is(record))
    }

    /// Makes an access token for whoever does not show a revoked secret.
    pub(super) fn grant(
        &mut self,
        request: &Request,
        seconds: i64,
        now: Timestamp,
    ) -> Option<String> {
        let field = |name: &str| text(&request.body, name);
        let basic = basic(request).map(|(_, secret)| secret).unwrap_or_default();
        let shown = [field("client_secret"), &basic, field("refresh_token")];
        let known = !(field("client_secret").is_empty() && basic.is_empty());
        if !known || shown.iter().any(|secret| secret.contains("revoked")) {
            return None;
        }
        let token = format!("{ACCESS_TOKEN}{}", self.tokens.len() + 1);
        let life = SignedDuration::from_secs(seconds);
        self.tokens
            .push((token.clone(), now.saturating_add(life).unwrap_or(now)));
        Some(token)
    }

    /// Whether a token or key is one now.
    pub(super) fn is_good(&self, token: &str, now: Timestamp) -> bool {
        if token.is_empty() || token.contains("revoked") {
            return false;
        }
        let good = |(known, until): &(String, Timestamp)| known == token && *until > now;
        !token.starts_with(ACCESS_TOKEN) || self.tokens.iter().any(good)
    }
}

/// The token of `Authorization: Bearer`.
pub(super) fn bearer(request: &Request) -> Option<&str> {
    request.header("authorization")?.strip_prefix("Bearer ")
}

/// User and password of `Authorization: Basic`.
pub(super) fn basic(request: &Request) -> Option<(String, String)> {
    let encoded = request.header("authorization")?.strip_prefix("Basic ")?;
    let pair = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = pair.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// The answer of a token endpoint.
pub(super) fn token_answer(token: &str, seconds: Option<i64>) -> Value {
    let mut answer = json!({ "access_token": token, "token_type": "Bearer" });
    if let (Some(answer), Some(seconds)) = (answer.as_object_mut(), seconds) {
        answer.insert("expires_in".to_owned(), json!(seconds));
    }
    answer
}

/// A text in a body.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A table in a body.
pub(super) fn table(value: &Value, name: &str) -> Map<String, Value> {
    let table = value.get(name).and_then(Value::as_object);
    table.cloned().unwrap_or_default()
}

/// Puts fields into a record.
pub(super) fn put(record: &mut Value, fields: Map<String, Value>) {
    if let Some(record) = record.as_object_mut() {
        record.extend(fields);
    }
}

/// Puts one field into a record.
pub(super) fn set(record: &mut Value, name: &str, value: Value) {
    put(record, Map::from_iter([(name.to_owned(), value)]));
}

/// Whether a record's id, a number, is the one in a path.
pub(super) fn has_id(record: &Value, id: &str) -> bool {
    let known = record.get("id").and_then(Value::as_u64);
    known.is_some() && known == id.parse().ok()
}
