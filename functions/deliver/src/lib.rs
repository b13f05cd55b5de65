//! Plans events and carries out jobs: woken by the table's stream (rows on the lane `send`) and every
//! minute. The stream is a nudge, so it always hears success; what is not finished the minute finds.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::apis::{Apis, ApisError};
use engine::callbell::{BASE_URL, Callbell, SetupError};
use engine::chat::Answerer;
use engine::delivery::{Random, Report, Worker};
use engine::fetch::Fetching;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use shared::env::Environment;
use shared::secrets::{Secret, Secrets, SecretsProvider};
use shared::store::{RowKey, Status, Store};
use shared::telemetry::{Figures, Found};

/// The API secret that holds Callbell's token.
const TOKEN: &str = "callbell";
/// What the line at the start says where nobody could be asked.
const NO_TOKEN: &str = "not asked: no token";
/// A refused token is looked up again at most so often.
const REREAD_EVERY: SignedDuration = SignedDuration::from_mins(1);
/// Longest that the start waits for Callbell's answer. The reads of AWS have the limits of their clients.
const WARM_CALLBELL: Duration = Duration::from_secs(2);

/// The function's handler.
pub struct App {
    worker: Worker,
    store: Store,
    secrets: SecretsProvider,
    /// One HTTP client for all tokens.
    callbell: Callbell,
    fetching: Fetching,
    token: Mutex<Token>,
    found: Found,
}

/// How to start.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// A stand-in instead of Callbell's own API.
    pub callbell_url: Option<String>,
    /// A stand-in instead of all other systems' APIs.
    pub providers_url: Option<String>,
    /// After a restore from a backup: what was due before this is not sent.
    pub send_nothing_before: Option<Timestamp>,
    /// Asks Callbell at once, so that the first send does not pay for names and certificates. A development
    /// server's stand-in is not up yet.
    pub ask_callbell: bool,
    /// It carries out replies alone, and waits for their time.
    pub is_chat: bool,
}

impl Settings {
    /// As a function's environment says.
    pub fn of(environment: &Environment) -> Settings {
        Settings {
            callbell_url: environment.callbell_url.clone(),
            providers_url: environment.providers_url.clone(),
            send_nothing_before: environment.send_nothing_before,
            ask_callbell: true,
            is_chat: false,
        }
    }
}

/// Why the function does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Callbell's address, or TLS.
    #[error(transparent)]
    Callbell(#[from] SetupError),
    /// The other systems' address.
    #[error(transparent)]
    Apis(#[from] ApisError),
}

/// The token in use, and when it was read.
struct Token {
    /// `None`: the secret could not be read yet, or has none that can be used.
    value: Option<Secret>,
    read_at: Timestamp,
}

impl App {
    /// A handler over a table, its API secrets, and Callbell or a stand-in for it; warmed: automations and
    /// token are read at the same time. What fails is tried again when it is needed.
    ///
    /// # Errors
    /// [`StartError`] where an address is neither https nor loopback.
    pub async fn start(
        store: Store,
        secrets: SecretsProvider,
        settings: Settings,
    ) -> Result<App, StartError> {
        let url = settings.callbell_url.as_deref().unwrap_or(BASE_URL);
        let callbell = Callbell::new(url, &Secret::new(""))?;
        // One table of root certificates for all: nothing is asked before it is needed.
        let apis = Apis::over(callbell.http(), settings.providers_url.as_deref())?;
        let fetching = Fetching::new(apis, secrets.clone(), store.clock().clone());
        let worker = Worker::new(store.clone(), callbell.clone(), Random::system())
            .sending_nothing_before(settings.send_nothing_before)
            .answering(Arc::new(Answerer::new(fetching.clone())))
            .fetching(fetching.clone());
        let worker = if settings.is_chat {
            worker.chatting()
        } else {
            worker
        };
        let read_and_warm = async {
            let loaded = load(&secrets).await;
            let token = loaded.as_ref().and_then(|loaded| choose(loaded, None));
            let answer = match &token {
                Some(token) if settings.ask_callbell => warm(&callbell, token).await,
                Some(_) => "not asked".to_owned(),
                None => NO_TOKEN.to_owned(),
            };
            (loaded, token, answer)
        };
        let ((loaded, value, answer), config_version) =
            futures_util::join!(read_and_warm, worker.warm());
        if let Some(loaded) = &loaded {
            fetching.use_secrets(loaded);
        }
        let app = App {
            found: Found {
                proof: None,
                secrets: loaded.map(|loaded| loaded.listed()),
                config_version,
                callbell: Some((callbell.host().to_owned(), answer)),
            },
            worker,
            token: Mutex::new(Token {
                value: None,
                read_at: store.clock().now(),
            }),
            store,
            secrets,
            callbell,
            fetching,
        };
        if let Some(token) = value {
            app.use_token(&token);
        }
        Ok(app)
    }

    /// What was there at the start, for its line.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// The worker itself, for the development server.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// One invocation, by what woke it: a batch of the stream has `Records`, everything else is the
    /// schedule. `deadline` is when Lambda ends it.
    pub async fn handle(&self, event: &Value, deadline: Timestamp) -> Report {
        match event.get("Records").and_then(Value::as_array) {
            Some(records) => self.on_stream(records, deadline).await,
            None => self.on_minute(deadline).await,
        }
    }

    /// A batch of the stream.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>
    pub async fn on_stream(&self, records: &[Value], deadline: Timestamp) -> Report {
        if !self.has_token().await {
            return Report::default();
        }
        self.worker.on_stream(rows(records), deadline).await
    }

    /// The schedule.
    pub async fn on_minute(&self, deadline: Timestamp) -> Report {
        if !self.has_token().await {
            return Report::default();
        }
        self.worker.on_minute(deadline).await
    }

    /// Reads the secret again where it could not be read yet, and where Callbell refused the token: it may
    /// have been changed, or hold a second value. `false`: nobody knows the token. Then nothing is begun,
    /// because a send without it would hold every channel; the next minute finds everything again.
    async fn has_token(&self) -> bool {
        let now = self.store.clock().now();
        let old = {
            let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
            let old = now.duration_since(token.read_at).abs() >= REREAD_EVERY;
            if token.value.is_some() && !(self.worker.is_token_refused() && old) {
                return true;
            }
            token.read_at = now;
            token.value.clone()
        };
        let Some(loaded) = load(&self.secrets).await else {
            return old.is_some();
        };
        self.fetching.use_secrets(&loaded);
        match choose(&loaded, old.as_ref()) {
            Some(new) if Some(&new) == old.as_ref() => true,
            Some(new) => self.use_token(&new),
            None => old.is_some(),
        }
    }

    /// Goes on with this token, if it can be one.
    fn use_token(&self, new: &Secret) -> bool {
        match self.callbell.with_token(new) {
            Ok(callbell) => {
                tracing::info!(
                    outcome = "token read",
                    token.fingerprint = new.fingerprint()
                );
                self.worker.use_callbell(callbell);
            }
            Err(error) => {
                tracing::error!(outcome = "token unusable", reason = %error);
                return false;
            }
        }
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        token.value = Some(new.clone());
        true
    }
}

async fn load(secrets: &SecretsProvider) -> Option<Secrets> {
    match secrets.load().await {
        Ok(loaded) => Some(loaded),
        Err(error) => {
            tracing::error!(outcome = "secrets not read", reason = %error);
            None
        }
    }
}

/// What alarms go by, of a run's report.
pub fn figures(report: &Report) -> Figures {
    let count = |status| report.jobs.get(&status).copied().unwrap_or_default();
    Figures {
        jobs_sent: count(Status::Sent),
        jobs_dead: count(Status::Dead),
        jobs_held: count(Status::Held),
        channel_held: report.channel_held,
        sources_failing: report.fetches_given_up,
        oldest_due_age_ms: report.oldest_due_age_ms,
    }
}

/// The token to use: the one behind `after` where the secret has several, else the first.
fn choose(secrets: &Secrets, after: Option<&Secret>) -> Option<Secret> {
    let values = secrets.get(TOKEN);
    let next = after
        .and_then(|after| values.iter().position(|value| value == after))
        .and_then(|position| values.get(position.saturating_add(1)));
    let token = next.or(values.first()).cloned();
    if token.is_none() {
        tracing::error!(outcome = "no token", secret.name = TOKEN);
    }
    token
}

/// One harmless question to Callbell, so that the first send finds names, certificates and a TLS session
/// ready. What it answered, for the line at the start.
async fn warm(callbell: &Callbell, token: &Secret) -> String {
    let Ok(callbell) = callbell.with_token(token) else {
        return NO_TOKEN.to_owned();
    };
    match tokio::time::timeout(WARM_CALLBELL, callbell.me()).await {
        Ok(Ok(_)) => "token accepted".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    }
}

/// The rows that a batch names, each once. Removed rows have nothing to do.
fn rows(records: &[Value]) -> Vec<RowKey> {
    let removed =
        |record: &Value| record.get("eventName").and_then(Value::as_str) == Some("REMOVE");
    let pk = |record: &Value| {
        record
            .pointer("/dynamodb/Keys/pk/S")
            .and_then(Value::as_str)
            .and_then(RowKey::parse)
    };
    let unique: BTreeSet<RowKey> = records
        .iter()
        .filter(|record| !removed(record))
        .filter_map(pk)
        .collect();
    unique.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use serde_json::json;
    use shared::store::client::{ClientSettings, http_client};

    #[test]
    fn a_batch_names_each_row_once() {
        let record = |name: &str, pk: &str| json!({"eventName": name, "dynamodb": {"Keys": {"pk": {"S": pk}}}});
        let job = format!("job#{}", "a".repeat(32));
        let records = [
            record("INSERT", "event#shopify/order/1/created"),
            record("MODIFY", "event#shopify/order/1/created"),
            record("INSERT", &job),
            record("REMOVE", "event#shopify/order/2/created"),
            record("INSERT", "person#p:1"),
            json!({"eventName": "INSERT"}),
        ];
        let pks: Vec<String> = rows(&records).iter().map(RowKey::pk).collect();
        assert_eq!(pks, ["event#shopify/order/1/created", job.as_str()]);
    }

    #[test]
    fn the_next_token_is_tried() {
        let secrets = |json: &str| Secrets::from_json(json).unwrap();
        let two = secrets(r#"{"callbell": ["a", "b"]}"#);
        let rows = [
            (None, "a"),
            (Some("a"), "b"),
            (Some("b"), "a"),
            (Some("gone"), "a"),
        ];
        for (after, expected) in rows {
            let after = after.map(Secret::new);
            assert_eq!(choose(&two, after.as_ref()), Some(Secret::new(expected)));
        }
        assert_eq!(choose(&secrets("{}"), None), None);
    }

    /// A Secrets Manager that says nothing to its first so many connections.
    fn secrets_manager(silent: usize, secret: &str) -> SecretsProvider {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let body = json!({"Name": "stack/apis", "SecretString": secret}).to_string();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten().skip(silent) {
                let _ = stream.read(&mut [0; 8192]);
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\nconnection: close";
                let _ = write!(
                    stream,
                    "{head}\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        SecretsProvider::Manager {
            client: shared::secrets::client(
                &ClientSettings::local(endpoint),
                http_client().unwrap(),
            ),
            name: "stack/apis".to_owned(),
        }
    }

    /// Sending without a token would hold every channel.
    #[tokio::test]
    async fn without_secrets_nothing_is_begun_until_they_are_read() {
        let (store, _) = testkit::store().await;
        let deadline = store.clock().now() + SignedDuration::from_secs(60);
        // The start's two attempts and those of the first invocation find nobody.
        let secrets = secrets_manager(4, r#"{"callbell": "token"}"#);
        let settings = Settings {
            callbell_url: Some("http://127.0.0.1:1".to_owned()),
            ask_callbell: true,
            ..Settings::default()
        };
        let app = App::start(store, secrets, settings).await.unwrap();
        assert_eq!(app.found().secrets, None);
        assert_eq!(app.on_minute(deadline).await, Report::default());
        assert_eq!(app.on_minute(deadline).await.oldest_due_age_ms, Some(0));
    }

    #[tokio::test]
    async fn the_start_says_what_it_found() {
        let (store, _) = testkit::store().await;
        let refused = "Callbell is not available: no connection to Callbell";
        let settings = |ask_callbell| Settings {
            callbell_url: Some("http://127.0.0.1:1/v1".to_owned()),
            ask_callbell,
            ..Settings::default()
        };
        let rows = [
            (r#"{"callbell": "token"}"#, true, refused),
            (r#"{"callbell": "token"}"#, false, "not asked"),
            ("{}", true, "not asked: no token"),
            (r#"{"callbell": "no\ntoken"}"#, true, "not asked: no token"),
        ];
        for (secrets, ask, expected) in rows {
            let secrets = SecretsProvider::Fixed(Secrets::from_json(secrets).unwrap());
            let app = App::start(store.clone(), secrets, settings(ask))
                .await
                .unwrap();
            let (host, answer) = app.found().callbell.clone().unwrap();
            assert_eq!((host.as_str(), answer.as_str()), ("127.0.0.1", expected));
            // Without a token nothing is begun: a send would hold every channel.
            let deadline = store.clock().now() + SignedDuration::from_secs(60);
            let begun = app.on_minute(deadline).await.oldest_due_age_ms.is_some();
            assert_eq!(begun, expected != NO_TOKEN);
        }
    }
}
