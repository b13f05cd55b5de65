//! What a door logs: one line an event or refusal, and nothing that is personal or secret. A process has
//! one subscriber, so this is a test binary of its own.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use lambda_http::Body;
use serde_json::Value;
use shared::connections::Connection;
use shared::door::Door;
use shared::secrets::SecretsProvider;
use shared::sources::callbell::Callbell;
use shared::sources::{ALL, Source, Unsigned, demo};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// The lines since the last call.
    fn take(&self) -> Vec<Value> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// Every text and number of a body that tells something about a person, and every link that holds a key.
fn personal(key: &str, value: &Value, found: &mut BTreeSet<String>) {
    const KEYS: [&str; 17] = [
        "first_name",
        "last_name",
        "email",
        "contact_email",
        "phone",
        "address1",
        "address_1",
        "zip",
        "postcode",
        "note",
        "customer_note",
        "cpf",
        "order_status_url",
        "abandoned_checkout_url",
        "text",
        "phoneNumber",
        "bsuid",
    ];
    match value {
        Value::String(text) if KEYS.contains(&key) && text.chars().count() > 3 => {
            found.insert(text.clone());
        }
        Value::Array(values) => values.iter().for_each(|value| personal(key, value, found)),
        Value::Object(map) => map
            .iter()
            .for_each(|(key, value)| personal(key, value, found)),
        _ => {}
    }
}

fn bodies(source: &dyn Source) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(source.kind());
    // Google Calendar's pushes have no body.
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().matches('.').count() == 1)
        .collect()
}

#[tokio::test]
async fn a_line_an_event_and_nothing_personal_or_secret() {
    let lines = Lines::default();
    let writer = lines.clone();
    shared::telemetry::start_into(move || writer.clone(), &[]);
    let (store, clock) = testkit::store().await;
    let doors = [
        Door::new(ALL, store.clone(), SecretsProvider::Fixed(demo::secrets())),
        Door::new(&[&Callbell], store, SecretsProvider::Fixed(demo::secrets())),
    ];
    for source in ALL {
        let [of_all, behind_secret] = &doors;
        let door = if source.is_behind_secret() {
            behind_secret
        } else {
            of_all
        };
        door.warm().await;
        let last = demo::path(*source);
        let secret = demo::secret(source.kind());
        let other = shared::secrets::Secret::new("whsec_another secret");
        for path in bodies(*source) {
            let body = fs::read(&path).unwrap();
            let mut private = BTreeSet::from([secret.expose().to_owned()]);
            private.extend(source.is_behind_secret().then(|| last.clone()));
            if let Ok(json) = serde_json::from_slice(&body) {
                personal("", &json, &mut private);
            }
            for signed_by in [&secret, &other] {
                let mut request = http::Request::builder()
                    .method("POST")
                    .uri(format!("/orders/{last}?key=in-the-query"));
                let connection = Connection::plain(source.kind());
                let unsigned = Unsigned::of(&connection, signed_by, &body, clock.now());
                for (name, value) in source.sign(&unsigned) {
                    request = request.header(name, value);
                }
                let answer = door
                    .handle(request.body(Body::Binary(body.clone())).unwrap())
                    .await;
                let answered = String::from_utf8(answer.body().to_vec()).unwrap();
                let logged = lines.take();
                let text: String = logged.iter().map(Value::to_string).collect();
                for private in &private {
                    assert!(
                        !text.contains(private.as_str()),
                        "{path:?} logs {private}: {text}"
                    );
                    assert!(
                        !answered.contains(private.as_str()),
                        "{path:?} answers {private}: {answered}"
                    );
                }
                assert!(!text.contains("in-the-query"), "{text}");
                let events = serde_json::from_str::<Value>(&answered).unwrap();
                let count = events
                    .get("events")
                    .and_then(Value::as_array)
                    .map_or(1, Vec::len);
                assert!(
                    logged.len() >= count,
                    "{path:?}: {} lines for {count} events",
                    logged.len()
                );
                if answer.status() == 401 {
                    let line = logged.first().unwrap();
                    let field = |name: &str| {
                        line.get(name)
                            .and_then(Value::as_str)
                            .unwrap_or_default()
                            .to_owned()
                    };
                    assert_eq!(field("outcome"), "refused");
                    assert_eq!(field("reason"), "matches none of 1 secret(s)");
                    let known = demo::secrets();
                    let known = known.get(source.kind()).iter();
                    let fingerprints: Vec<String> = known.map(|one| one.fingerprint()).collect();
                    assert_eq!(field("secret.fingerprints"), fingerprints.join(","));
                    assert_eq!(field("source.name"), source.kind());
                }
            }
        }
    }
}
