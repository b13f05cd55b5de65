//! Plans events and carries out jobs: woken by the table's stream (rows on the lane `send`) and every
//! minute. The stream is a nudge, so it always hears success; what is not finished the minute finds.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use engine::callbell::{BASE_URL, Callbell, SetupError};
use engine::delivery::{Random, Report, Worker};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use shared::secrets::{Secret, SecretsProvider};
use shared::store::{RowKey, Store};

/// The API secret that holds Callbell's token.
const TOKEN: &str = "callbell";
/// A refused token is looked up again at most so often.
const REREAD_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// The function's handler.
pub struct App {
    worker: Worker,
    store: Store,
    secrets: SecretsProvider,
    callbell_url: String,
    token: Mutex<Token>,
}

/// The token in use, and when it was read.
struct Token {
    value: Secret,
    read_at: Timestamp,
}

impl App {
    /// A handler over a table, its API secrets, and Callbell or a stand-in for it; warmed.
    ///
    /// # Errors
    /// [`SetupError`] where the address is neither https nor loopback.
    pub async fn start(
        store: Store,
        secrets: SecretsProvider,
        callbell_url: Option<&str>,
    ) -> Result<App, SetupError> {
        let callbell_url = callbell_url.unwrap_or(BASE_URL).to_owned();
        let (value, ()) = futures_util::join!(first_token(&secrets, None), store.warm());
        let worker = Worker::new(
            store.clone(),
            Callbell::new(&callbell_url, &value)?,
            Random::system(),
        );
        worker.warm().await;
        let token = Mutex::new(Token {
            value,
            read_at: store.clock().now(),
        });
        Ok(App {
            worker,
            store,
            secrets,
            callbell_url,
            token,
        })
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
        self.renew_token().await;
        self.worker.on_stream(rows(records), deadline).await
    }

    /// The schedule.
    pub async fn on_minute(&self, deadline: Timestamp) -> Report {
        self.renew_token().await;
        self.worker.on_minute(deadline).await
    }

    /// Where Callbell refused the token, reads the secret again: it may have been changed, or hold a
    /// second value.
    async fn renew_token(&self) {
        if !self.worker.is_token_refused() {
            return;
        }
        let now = self.store.clock().now();
        let old = {
            let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
            if now.duration_since(token.read_at).abs() < REREAD_EVERY {
                return;
            }
            token.read_at = now;
            token.value.clone()
        };
        let new = first_token(&self.secrets, Some(&old)).await;
        if new == old {
            return;
        }
        match Callbell::new(&self.callbell_url, &new) {
            Ok(callbell) => {
                tracing::info!(
                    outcome = "token changed",
                    token.fingerprint = new.fingerprint()
                );
                self.token
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .value = new;
                self.worker.use_callbell(callbell);
            }
            Err(error) => tracing::error!(outcome = "token unusable", reason = %error),
        }
    }
}

/// The token to use: the one behind `after` where the secret has several, else the first. Without any,
/// an empty one, which Callbell refuses: then everything waits.
async fn first_token(secrets: &SecretsProvider, after: Option<&Secret>) -> Secret {
    let loaded = match secrets.load().await {
        Ok(loaded) => loaded,
        Err(error) => {
            tracing::error!(outcome = "secrets unavailable", reason = %error);
            return after.cloned().unwrap_or_else(|| Secret::new(""));
        }
    };
    let values = loaded.get(TOKEN);
    let next = after
        .and_then(|after| values.iter().position(|value| value == after))
        .and_then(|position| values.get(position.saturating_add(1)));
    match next.or(values.first()) {
        Some(token) => token.clone(),
        None => {
            tracing::error!(outcome = "no token", secret.name = TOKEN);
            Secret::new("")
        }
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
    use super::*;
    use serde_json::json;
    use shared::secrets::Secrets;

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

    #[tokio::test]
    async fn the_next_token_is_tried() {
        let secrets = |json: &str| SecretsProvider::Fixed(Secrets::from_json(json).unwrap());
        let two = secrets(r#"{"callbell": ["a", "b"]}"#);
        let rows = [
            (None, "a"),
            (Some("a"), "b"),
            (Some("b"), "a"),
            (Some("gone"), "a"),
        ];
        for (after, expected) in rows {
            let after = after.map(Secret::new);
            assert_eq!(
                first_token(&two, after.as_ref()).await,
                Secret::new(expected)
            );
        }
        assert_eq!(first_token(&secrets("{}"), None).await, Secret::new(""));
    }
}
