//! The webhook pipeline: raw → verified → events → stored → answer. The only place that orders those
//! steps, and the only one that turns their outcomes into HTTP statuses.
//!
//! A door writes one conditional put an event and calls nobody but AWS. It answers 200 only when every
//! event of the request is stored, and knows no automation.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use http::StatusCode;
use http::header::{self, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use lambda_http::{Body, Request, Response};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::connections::{Connection, Connections};
use crate::event::{Event, Name};
use crate::keys::PublicKeys;
use crate::raw::{BODY_BYTES_MAX, Raw, RawError, Verified};
use crate::secrets::{Secret, Secrets, SecretsProvider};
use crate::sources::{
    Acknowledgement, Answer, OnUnreadable, Proofs, Reading, Refusal, Source, Unreadable,
};
use crate::store::{Put, Store, StoreError};
use crate::telemetry::Found;

/// Most events of one request: a hundred records, each told as created and as changed.
pub const EVENTS_MAX: usize = 200;
/// How old a copy of connections or secrets may be before it is read again, in seconds. Secrets are read
/// again only where a signature fails.
pub const COPY_AGE_S: i64 = 60;
/// The same for connections where a name is unknown, and for public keys where one is, in seconds: it may have
/// been pushed or kept just now.
pub const UNKNOWN_COPY_AGE_S: i64 = 5;
/// Most writes of one request at a time. Each would like a connection of its own, and one is open after the
/// start: the others take whichever is ready first, a new one or that one. So a start that opens one is
/// enough: no write waits longer than if they went one after the other.
const WRITES_AT_ONCE: usize = 4;
/// When to come back after a 503, in seconds. Zendesk repeats a webhook only where the answer says so, and only
/// below a minute; it harms nobody else.
/// <https://developer.zendesk.com/api-reference/webhooks/introduction/>
const RETRY_AFTER_S: u64 = 30;
/// Hex digits of the digest that names a body that could not be read.
const DIGEST_DIGITS: usize = 32;

/// The door of one function.
pub struct Door {
    sources: &'static [&'static dyn Source],
    store: Store,
    provider: SecretsProvider,
    copies: Mutex<Copies>,
}

/// What was read last, and when it was last tried.
#[derive(Default)]
struct Copies {
    /// `None`: never read, or nothing was pushed yet.
    connections: Option<Arc<Connections>>,
    connections_at: Option<Timestamp>,
    /// They were read at least once, whether there were any or not.
    connections_known: bool,
    /// `None`: never read.
    secrets: Option<Arc<Secrets>>,
    secrets_at: Option<Timestamp>,
    /// `None`: never read, or nobody kept any yet.
    keys: Option<Arc<PublicKeys>>,
    keys_at: Option<Timestamp>,
}

/// What became of a request. Each has one status, one body and one log line (accepted events: one each).
enum Outcome {
    /// The source dictates the answer to what is no event.
    Handshake(&'static str, Answer),
    /// Everything is stored.
    Stored(Vec<Stored>),
    /// A signed body without an event.
    Nothing(&'static str),
    /// A signed body that could not be read, kept as a record.
    Recorded { key: String, problem: String },
    /// A signed body that could not be read.
    Unreadable(Unreadable),
    /// An event that does not fit into a row.
    EventTooLarge(String),
    /// The signature is not the provider's.
    Refused {
        refusal: Refusal,
        fingerprints: Vec<String>,
    },
    /// No connection of this function.
    UnknownSource,
    /// The connection has no secret.
    NoSecret,
    /// The source knows no such method.
    Method,
    /// More than a body may have.
    TooLarge { bytes: usize },
    /// Something that a repetition may find mended.
    Unavailable(String),
}

/// One event that is in the table.
struct Stored {
    key: String,
    name: Name,
    put: Put,
    test: bool,
    notes: usize,
}

impl Door {
    /// A door for these sources. Reads nothing yet.
    pub fn new(
        sources: &'static [&'static dyn Source],
        store: Store,
        provider: SecretsProvider,
    ) -> Door {
        Door {
            sources,
            store,
            provider,
            copies: Mutex::default(),
        }
    }

    /// Reads connections, secrets and the public keys that a source wants, in parallel, which also opens the
    /// connections to AWS. What fails is tried again when it is needed.
    pub async fn warm(&self) {
        let keys = async {
            if self.sources.iter().any(|source| source.wants_keys()) {
                self.read_keys().await;
            }
        };
        // Each is a request of its own, and together they would be large.
        let (connections, secrets) = (self.read_connections(), self.read_secrets());
        tokio::join!(connections.boxed(), secrets.boxed(), keys.boxed());
    }

    /// What there is now, for the line at the start.
    pub fn found(&self) -> Found {
        let copies = self.copies();
        let proof = |secrets: &Arc<Secrets>| {
            let of = |source: &&dyn Source| source.proof(secrets.get(source.kind()));
            self.sources.iter().find_map(of)
        };
        Found {
            secrets: copies.secrets.as_ref().map(|secrets| secrets.listed()),
            proof: copies.secrets.as_ref().and_then(proof),
            ..Found::default()
        }
    }

    /// Answers one request.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let raw = match self.raw(request) {
            Ok(raw) => raw,
            Err(RawError::TooLarge { bytes }) => {
                return answer("-", Outcome::TooLarge { bytes }, None);
            }
            Err(RawError::NoConnection) => return answer("-", Outcome::UnknownSource, None),
        };
        // Its type is as deep as all that it may ask of AWS: deeper than a compiler follows by itself.
        let outcome = self.outcome(&raw).boxed().await;
        let source = self.resolve(&raw.connection).map(|(_, source)| source);
        let acknowledgement = source.and_then(|source| source.acknowledgement(&raw));
        answer(&raw.connection, outcome, acknowledgement)
    }

    /// The request, taken apart: behind a secret there is one connection alone, whatever the path says.
    fn raw(&self, request: Request) -> Result<Raw, RawError> {
        match self.behind_secret() {
            Some(source) => Raw::behind_secret(request, source.kind()),
            None => Raw::from_request(request),
        }
    }

    /// The source of a function whose path ends in a secret.
    fn behind_secret(&self) -> Option<&'static dyn Source> {
        match self.sources {
            [source] if source.is_behind_secret() => Some(*source),
            _ => None,
        }
    }

    async fn outcome(&self, raw: &Raw) -> Outcome {
        // Pings are answered with what is known already: before configuration and secrets are needed.
        if let Some(answer) = self.handshake(raw) {
            return answer;
        }
        // Behind a secret there is one connection, and nothing about it to be read.
        if self.behind_secret().is_none() {
            let unknown = self.resolve(&raw.connection).is_none();
            self.refresh_connections(if unknown {
                UNKNOWN_COPY_AGE_S
            } else {
                COPY_AGE_S
            })
            .await;
        }
        let Some((connection, source)) = self.resolve(&raw.connection) else {
            // Some providers take a 404 for good: what nobody could look up is none.
            return if self.copies().connections_known {
                Outcome::UnknownSource
            } else {
                Outcome::Unavailable("the connections cannot be read".to_owned())
            };
        };
        if !source.takes(&raw.method) {
            return Outcome::Method;
        }
        match self.verify(raw, &connection, source).await {
            Ok(verified) => self.take(&verified, &connection, source).await,
            Err(outcome) => outcome,
        }
    }

    /// The answer to what is no event. A name that nobody knows yet may be a connection whose table was
    /// not pushed yet, or could not be read: then each source is asked.
    fn handshake(&self, raw: &Raw) -> Option<Outcome> {
        let known = self.resolve(&raw.connection).map(|(_, source)| source);
        let pushed = self.copies().connections.is_some();
        let candidates = match known {
            Some(source) => vec![source],
            None if pushed => Vec::new(),
            None => self.sources.to_vec(),
        };
        let answer = |source: &'static dyn Source| {
            source
                .handshake(raw)
                .map(|answer| Outcome::Handshake(source.kind(), answer))
        };
        candidates.into_iter().find_map(answer)
    }

    /// The connection of a name and its source, where it is one of this function's.
    fn resolve(&self, name: &str) -> Option<(Connection, &'static dyn Source)> {
        if let Some(source) = self.behind_secret() {
            return Some((Connection::plain(source.kind()), source));
        }
        let connections = self.copies().connections.clone();
        let connection = connections.map_or_else(|| Connection::plain(name), |all| all.get(name));
        let source = self
            .sources
            .iter()
            .copied()
            .find(|source| source.kind() == connection.kind)?;
        Some((connection, source))
    }

    /// Checks the signature; where it fails, once more with secrets that were read anew.
    async fn verify<'a>(
        &self,
        raw: &'a Raw,
        connection: &Connection,
        source: &'static dyn Source,
    ) -> Result<Verified<'a>, Outcome> {
        let now = self.store.clock().now();
        let mut secrets = self.secrets(&connection.name);
        // It may have been set just now, and some providers take a 404 for good.
        if secrets.as_ref().is_none_or(Vec::is_empty)
            && self.refresh_secrets(UNKNOWN_COPY_AGE_S).await
        {
            secrets = self.secrets(&connection.name);
        }
        let unread = || Outcome::Unavailable("the secrets cannot be read".to_owned());
        let mut secrets = secrets.ok_or_else(unread)?;
        if secrets.is_empty() {
            return Err(Outcome::NoSecret);
        }
        let mut keys = self.keys(source).await?;
        let verify = |secrets: &[Secret], keys: &PublicKeys| {
            let proofs = Proofs {
                connection,
                secrets,
                keys,
            };
            source.verify(raw, &proofs, now)
        };
        let mut verified = verify(&secrets, &keys);
        if matches!(verified, Err(Refusal::UnknownKey))
            && self.refresh_keys(UNKNOWN_COPY_AGE_S).await
        {
            keys = self.keys(source).await?;
            verified = verify(&secrets, &keys);
        }
        let doubtful = matches!(&verified, Err(refusal) if refusal.depends_on_secrets());
        if doubtful && self.refresh_secrets(COPY_AGE_S).await {
            let newer = self.secrets(&connection.name).unwrap_or_default();
            if newer != secrets {
                verified = verify(&newer, &keys);
                secrets = newer;
            }
        }
        verified.map_err(|refusal| Outcome::Refused {
            refusal,
            fingerprints: secrets.iter().map(Secret::fingerprint).collect(),
        })
    }

    /// Reads and stores what the body says.
    async fn take(
        &self,
        verified: &Verified<'_>,
        connection: &Connection,
        source: &'static dyn Source,
    ) -> Outcome {
        let events = match source.read(verified, connection, self.store.clock().now()) {
            Ok(Reading::Nothing(reason)) => return Outcome::Nothing(reason),
            Ok(Reading::Events(events)) => events,
            Err(unreadable) => {
                return self
                    .unreadable(verified, connection, source, unreadable)
                    .await;
            }
        };
        if events.len() > EVENTS_MAX {
            let problem = format!("{} events, more than {EVENTS_MAX}", events.len());
            let unreadable = Unreadable {
                path: "body".to_owned(),
                problem,
            };
            return self
                .unreadable(verified, connection, source, unreadable)
                .await;
        }
        let stored: Result<Vec<Stored>, StoreError> = stream::iter(events)
            .map(|event| self.put(event))
            .buffered(WRITES_AT_ONCE)
            .try_collect()
            .await;
        match stored {
            Ok(stored) => Outcome::Stored(stored),
            Err(error @ StoreError::TooLarge { .. }) => match source.on_unreadable() {
                OnUnreadable::BadRequest => Outcome::EventTooLarge(error.to_string()),
                OnUnreadable::Record => self.record(verified, connection, error.to_string()).await,
            },
            Err(error) => Outcome::Unavailable(error.to_string()),
        }
    }

    async fn put(&self, event: Event) -> Result<Stored, StoreError> {
        let key = event.event.id.clone();
        let (name, test, notes) = (event.event.name, event.event.test, event.event.notes.len());
        let put = self.store.put_event(event).await?;
        Ok(Stored {
            key,
            name,
            put,
            test,
            notes,
        })
    }

    async fn unreadable(
        &self,
        verified: &Verified<'_>,
        connection: &Connection,
        source: &'static dyn Source,
        unreadable: Unreadable,
    ) -> Outcome {
        match source.on_unreadable() {
            OnUnreadable::BadRequest => Outcome::Unreadable(unreadable),
            OnUnreadable::Record => {
                self.record(verified, connection, unreadable.to_string())
                    .await
            }
        }
    }

    /// Keeps a record under the body's digest, for a provider that a 4xx would make give up.
    async fn record(
        &self,
        verified: &Verified<'_>,
        connection: &Connection,
        problem: String,
    ) -> Outcome {
        let digest: String = hex::encode(Sha256::digest(verified.body()))
            .chars()
            .take(DIGEST_DIGITS)
            .collect();
        match self
            .store
            .put_unreadable(&connection.name, &digest, &problem)
            .await
        {
            Ok(_) => Outcome::Recorded {
                key: format!("{}/unreadable/{digest}", connection.name),
                problem,
            },
            Err(error) => Outcome::Unavailable(error.to_string()),
        }
    }
}

/// The copies of connections and secrets.
impl Door {
    fn copies(&self) -> MutexGuard<'_, Copies> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The values of a connection's secret; `None` where secrets were never read.
    fn secrets(&self, name: &str) -> Option<Vec<Secret>> {
        self.copies()
            .secrets
            .as_ref()
            .map(|secrets| secrets.get(name).to_vec())
    }

    /// The public keys that a source wants. Without any nobody can be believed, and whoever pushes shall try
    /// again: `renew` keeps them, once an hour.
    async fn keys(&self, source: &dyn Source) -> Result<Arc<PublicKeys>, Outcome> {
        if !source.wants_keys() {
            return Ok(Arc::default());
        }
        self.refresh_keys(COPY_AGE_S).await;
        let keys = self.copies().keys.clone();
        keys.ok_or_else(|| Outcome::Unavailable("there are no public keys yet".to_owned()))
    }

    /// Whether a copy that was last tried at `at` may be read again.
    fn is_old(&self, at: Option<Timestamp>, age_s: i64) -> bool {
        let now = self.store.clock().now();
        at.is_none_or(|at| now.duration_since(at).abs() >= SignedDuration::from_secs(age_s))
    }

    async fn refresh_connections(&self, age_s: i64) {
        let at = self.copies().connections_at;
        if self.is_old(at, age_s) {
            self.read_connections().await;
        }
    }

    /// Reads the connections. Where that fails the copy stays, and without one every name is its kind.
    async fn read_connections(&self) {
        let read = self.store.connections().await;
        let now = self.store.clock().now();
        let mut copies = self.copies();
        copies.connections_at = Some(now);
        match read {
            Ok(connections) => {
                copies.connections = connections.map(Arc::new);
                copies.connections_known = true;
            }
            Err(error) => tracing::warn!(outcome = "connections not read", reason = %error),
        }
    }

    /// Reads the secrets again where the copy is old enough. `true`: it was read.
    async fn refresh_secrets(&self, age_s: i64) -> bool {
        let at = self.copies().secrets_at;
        self.is_old(at, age_s) && self.read_secrets().await
    }

    /// Reads the public keys again where the copy is old enough. `true`: they were read.
    async fn refresh_keys(&self, age_s: i64) -> bool {
        let at = self.copies().keys_at;
        self.is_old(at, age_s) && self.read_keys().await
    }

    async fn read_keys(&self) -> bool {
        let read = self.store.public_keys().await;
        let now = self.store.clock().now();
        let mut copies = self.copies();
        let is_read = match read {
            Ok(row) => {
                copies.keys = row.map(|row| Arc::new(row.keys));
                true
            }
            Err(error) => {
                tracing::error!(outcome = "public keys not read", reason = %error);
                false
            }
        };
        // Without any copy the next request tries at once: whoever connects the mailbox keeps them now.
        copies.keys_at = copies.keys.as_ref().map(|_| now);
        is_read
    }

    async fn read_secrets(&self) -> bool {
        let read = self.provider.load().await;
        let now = self.store.clock().now();
        let mut copies = self.copies();
        match read {
            Ok(secrets) => {
                copies.secrets_at = Some(now);
                copies.secrets = Some(Arc::new(secrets));
                true
            }
            Err(error) => {
                tracing::error!(outcome = "secrets not read", reason = %error);
                // Without any copy the next request tries at once; with one, in a minute.
                copies.secrets_at = copies.secrets.as_ref().map(|_| now);
                false
            }
        }
    }
}

/// Logs what became of a request and turns it into the answer.
fn answer(
    connection: &str,
    outcome: Outcome,
    acknowledgement: Option<Acknowledgement>,
) -> Response<Body> {
    let status = outcome.status();
    log(connection, status, &outcome);
    let handshake = matches!(outcome, Outcome::Handshake(..));
    let (body, content_type) = match acknowledgement.filter(|_| status == 200 && !handshake) {
        Some(wanted) => (wanted.body.to_owned(), wanted.content_type),
        None => {
            let body = outcome.body();
            let is_json = body.starts_with('{');
            (
                body,
                if is_json {
                    "application/json"
                } else {
                    "text/plain"
                },
            )
        }
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if status == 405 {
        headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    if status == 503 {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
    }
    response
}

impl Outcome {
    /// The only place that knows HTTP statuses.
    fn status(&self) -> u16 {
        match self {
            Outcome::Handshake(_, answer) => answer.status,
            Outcome::Stored(_) | Outcome::Nothing(_) | Outcome::Recorded { .. } => 200,
            Outcome::Unreadable(_) => 400,
            Outcome::Refused { .. } => 401,
            Outcome::UnknownSource | Outcome::NoSecret => 404,
            Outcome::Method => 405,
            Outcome::TooLarge { .. } | Outcome::EventTooLarge(_) => 413,
            Outcome::Unavailable(_) => 503,
        }
    }

    /// Why nothing was taken, in words that repeat nothing of the request.
    fn reason(&self) -> String {
        match self {
            Outcome::Handshake(..) | Outcome::Stored(_) => String::new(),
            Outcome::Nothing(reason) => (*reason).to_owned(),
            Outcome::Recorded { problem: why, .. }
            | Outcome::EventTooLarge(why)
            | Outcome::Unavailable(why) => why.clone(),
            Outcome::Unreadable(unreadable) => unreadable.to_string(),
            Outcome::Refused { refusal, .. } => refusal.to_string(),
            Outcome::UnknownSource => "unknown source".to_owned(),
            Outcome::NoSecret => "this source has no secret".to_owned(),
            Outcome::Method => "this source knows no such method".to_owned(),
            Outcome::TooLarge { bytes } => {
                format!("the body has {bytes} bytes, more than {BODY_BYTES_MAX}")
            }
        }
    }

    fn body(self) -> String {
        let reason = self.reason();
        match self {
            Outcome::Handshake(_, answer) => answer.body,
            Outcome::Stored(stored) => stored_body(&stored),
            Outcome::Nothing(_) => json!({"status": "ignored", "reason": reason}).to_string(),
            Outcome::Recorded { key, problem } => {
                json!({"status": "unreadable", "event": key, "problem": problem}).to_string()
            }
            Outcome::Unreadable(_) => {
                json!({"status": "unreadable", "problem": reason}).to_string()
            }
            Outcome::Unavailable(_) => json!({"status": "unavailable"}).to_string(),
            _ => json!({"status": "refused", "reason": reason}).to_string(),
        }
    }
}

/// `{"status":"accepted","event":"shopify/order/1/created"}`; `events` lists them where there are several.
/// Where nothing was new the request is a duplicate.
fn stored_body(stored: &[Stored]) -> String {
    let key = |stored: &Stored| stored.key.clone();
    let all: Vec<String> = stored.iter().map(key).collect();
    let is_new = |stored: &&Stored| stored.put == Put::New;
    let new: Vec<String> = stored.iter().filter(is_new).map(key).collect();
    let (status, keys) = if new.is_empty() {
        ("duplicate", all)
    } else {
        ("accepted", new)
    };
    match keys.as_slice() {
        [] => json!({"status": "ignored"}).to_string(),
        [one] => json!({"status": status, "event": one}).to_string(),
        [first, ..] => json!({"status": status, "event": first, "events": keys}).to_string(),
    }
}

/// One line an event, one any other request. Nothing of the body is in it.
fn log(connection: &str, http_status: u16, outcome: &Outcome) {
    let reason = outcome.reason();
    match outcome {
        Outcome::Stored(stored) => stored
            .iter()
            .for_each(|stored| log_stored(connection, stored)),
        Outcome::Handshake(kind, _) => tracing::info!(
            outcome = "handshake",
            http.status = http_status,
            source.name = connection,
            source.kind = kind
        ),
        Outcome::Nothing(_) => {
            tracing::info!(outcome = "ignored", source.name = connection, reason);
        }
        Outcome::Recorded { .. } | Outcome::Unreadable(_) => tracing::warn!(
            outcome = "unreadable",
            http.status = http_status,
            source.name = connection,
            reason
        ),
        Outcome::Unavailable(_) => tracing::error!(
            outcome = "unavailable",
            http.status = http_status,
            source.name = connection,
            reason
        ),
        Outcome::Refused { fingerprints, .. } => tracing::warn!(
            outcome = "refused",
            http.status = http_status,
            source.name = connection,
            reason,
            secret.fingerprints = fingerprints.join(",")
        ),
        _ => tracing::warn!(
            outcome = "refused",
            http.status = http_status,
            source.name = connection,
            reason
        ),
    }
}

fn log_stored(connection: &str, stored: &Stored) {
    let outcome = if stored.put == Put::New {
        "accepted"
    } else {
        "duplicate"
    };
    tracing::info!(
        outcome,
        source.name = connection,
        event.name = stored.name.as_str(),
        event.key = stored.key,
        event.test = stored.test,
        event.notes = stored.notes
    );
}
