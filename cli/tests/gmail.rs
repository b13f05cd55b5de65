//! A mailbox from its connection to the phone: pushes that Google signs, a history that is read from our own
//! place, lost pushes, a history that is gone, and keys that change, against the stand-in of Google's APIs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![recursion_limit = "256"]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cli::dev::{Dev, Settings, envelope};
use cli::standin::apis::gmail::{Gmail, MAILBOX, TOPIC};
use engine::apis::Apis;
use engine::fetch::gmail::{self as google, Watch};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::connections::Connection;
use shared::event::Body;
use shared::keys::PublicKeys;
use shared::secrets::Secret;
use shared::sources::gmail::{Ask, Gmail as Source};
use shared::sources::{Source as _, Unsigned, demo};
use shared::store::{EventFilter, EventStatus};
use support::Http;

const CONNECTION: &str = "gmail";
/// Longest wait for something to happen.
const WAIT: Duration = Duration::from_secs(60);
const CREDENTIAL: &str = r#"{"client_id": "c", "client_secret": "s", "refresh_token": "r"}"#;
const AUTOMATIONS: &str = r#"
[defaults]
country  = "BR"
locale   = "pt-BR"
timezone = "America/Sao_Paulo"

[channel.shop]
uuid = "35f6f8ccb5504278a2ea099f3a4e0730"

[message.thanks]
template.pt-BR = "d980fb66fd5043d3ace1aa06ba044342"
values = ["{{ email.subject }}", "{{ email.from.name | default('-') }}", "{{ email.labels | join(',') | default('-') }}", "-"]

[automation.thanks]
on      = "email.received"
message = "thanks"
"#;

struct World {
    dev: Dev,
    http: Http,
    apis: Apis,
    _folder: tempfile::TempDir,
}

/// A secret as the stand-in for Pub/Sub has it, its key called by another name than usual.
fn secret(kid: Option<&str>) -> Secret {
    let mut secret: Value = serde_json::from_str(demo::secret(CONNECTION).expose()).unwrap();
    if let (Some(kid), Some(secret)) = (kid, secret.as_object_mut()) {
        secret.insert("kid".to_owned(), json!(kid));
    }
    Secret::new(secret.to_string())
}

/// Google's keys under these names.
fn keys(kids: &[&str]) -> PublicKeys {
    let key = demo::public_keys().0.into_values().next().unwrap();
    let named = kids.iter().map(|kid| ((*kid).to_owned(), key.clone()));
    PublicKeys(named.collect())
}

impl World {
    async fn start() -> World {
        let secrets = format!(
            "[webhooks]\ngmail = '{}'\n[apis]\ncallbell = \"demo-callbell-token\"\ngmail = '{CREDENTIAL}'\n",
            secret(None).expose()
        );
        World::of(Some(&secrets)).await
    }

    /// A server with these secrets; without any, with demo values.
    async fn of(secrets: Option<&str>) -> World {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("automations.toml", AUTOMATIONS);
        if let Some(secrets) = secrets {
            write("secrets.toml", secrets);
        }
        let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/templates.json");
        std::fs::copy(templates, folder.path().join("templates.json")).unwrap();
        let settings = Settings {
            automations: Some(folder.path().join("automations.toml")),
            secrets: secrets.map(|_| folder.path().join("secrets.toml")),
            ..Settings::default()
        };
        let dev = Dev::start(&settings, Arc::new(|_: &str| ())).await.unwrap();
        let apis = Apis::new(Some(&format!("{}/_apis", dev.url()))).unwrap();
        World {
            http: Http::of(&dev),
            dev,
            apis,
            _folder: folder,
        }
    }

    fn gmail(&self) -> &Gmail {
        &self.dev.connectable().gmail
    }

    fn now(&self) -> Timestamp {
        self.dev.clock().now()
    }

    fn door(&self) -> String {
        format!("{}/emails/{CONNECTION}", self.dev.url())
    }

    /// A mail whose subject is its id.
    fn write(&self, id: &str, words: &str) {
        let from = format!("{id} <{id}@example.com>");
        self.gmail().write(id, &from, id, words, self.now());
    }

    async fn connect(&self) {
        self.gmail().subscribe(&self.door(), &secret(None));
        let watch = Watch {
            connection: CONNECTION,
            topic: TOPIC,
            door: &self.door(),
        };
        let credential = Secret::new(CREDENTIAL);
        google::watch(&self.apis, &credential, self.dev.store(), watch)
            .await
            .unwrap();
        self.until("the mailbox is read", async || {
            let row = self.dev.store().mailbox(CONNECTION).await.unwrap().unwrap();
            row.synced_from.is_some()
        })
        .await;
        self.settle().await;
    }

    /// Waits for what the clock does not move: a push on its way, a worker at work.
    async fn until(&self, what: &str, is: impl AsyncFn() -> bool) {
        let started = Instant::now();
        while !is().await {
            assert!(
                started.elapsed() < WAIT,
                "not in time: {what}: {:?} {:?}",
                self.texts().await,
                self.lines().await
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn settle(&self) {
        self.http.idle().await;
        self.http.idle().await;
    }

    /// `maria +5511…` of every message, oldest first.
    async fn texts(&self) -> Vec<String> {
        let messages = self.http.list("/_dev/messages").await;
        let one = |message: &Value| {
            let value = message.pointer("/body/template_values/0");
            let to = message.pointer("/body/to").and_then(Value::as_str);
            let subject = value.and_then(Value::as_str).unwrap_or_default();
            format!("{subject} {}", to.unwrap_or_default())
        };
        messages.iter().map(one).collect()
    }

    /// Waits until these messages are there, in any order, and no others.
    async fn texts_are(&self, expected: &[&str]) {
        let mut expected: Vec<String> = expected.iter().map(|text| (*text).to_owned()).collect();
        expected.sort();
        let is = async || {
            let mut texts = self.texts().await;
            texts.sort();
            texts == expected
        };
        self.until(&expected.join(", "), is).await;
        self.settle().await;
        assert!(is().await, "{:?}", self.texts().await);
    }

    /// What became of every question, newest last.
    async fn lines(&self) -> Vec<String> {
        let filter = EventFilter::default();
        let (mut rows, _) = self.dev.store().list_events(&filter, None).await.unwrap();
        rows.sort_by_key(|row| row.received_at);
        rows.iter()
            .filter(|row| row.name.is_some_and(|name| name.is_internal()))
            .flat_map(|row| row.lines.iter().map(|line| line.why.clone()))
            .collect()
    }

    async fn says(&self, why: &str) {
        self.until(why, async || {
            self.lines().await.iter().any(|line| line == why)
        })
        .await;
    }

    /// What the hourly function does: asks, though nothing was pushed.
    async fn poll(&self, what: &str) {
        let event = Ask::Poll.event(CONNECTION, what, self.now());
        self.dev.store().put_event(event).await.unwrap();
    }

    /// Posts a push of Pub/Sub; the answer.
    async fn push(&self, kid: Option<&str>, body: &Value) -> (u16, Value) {
        let connection = Connection::plain(CONNECTION);
        let secret = secret(kid);
        let unsigned = Unsigned::of(&connection, &secret, b"", self.now());
        let mut request = self.http.client.post(self.door()).json(body);
        for (name, value) in Source.sign(&unsigned) {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }
}

fn message(id: &str, data: &str) -> Value {
    json!({
        "message": {"messageId": id, "data": data, "publishTime": "2026-03-16T20:00:00Z"},
        "subscription": "projects/minha-loja/subscriptions/callbell-gmail",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_reaches_the_phone_that_is_in_it_once() {
    let world = World::start().await;
    world.write("before", "Meu número: (11) 98009-1000");
    world.connect().await;
    world.texts_are(&[]).await;

    world.gmail().set_label("Label_3", "Orçamentos");
    let mut labelled = json!({
        "id": "ana", "labelIds": ["INBOX", "Label_3"], "snippet": "Oi",
        "payload": {"mimeType": "text/html", "headers": [
            {"name": "From", "value": "=?UTF-8?Q?Ana_Concei=C3=A7=C3=A3o?= <ana@example.com>"},
            {"name": "Subject", "value": "ana"},
        ], "body": {"data": "PGRpdj5aYXA6IDExJm5ic3A7OTgwMDktMTAwMTwvZGl2Pg"}},
    });
    world.gmail().arrives(&labelled, world.now());
    world.texts_are(&["ana +5511980091001"]).await;
    let messages = world.http.list("/_dev/messages").await;
    let values = messages.first().unwrap().pointer("/body/template_values");
    let expected = json!(["ana", "Ana Conceição", "INBOX,Orçamentos", "-"]);
    assert_eq!(values, Some(&expected));

    // Pub/Sub repeats, and tells of what is not ours.
    world.gmail().push_again(world.now());
    world.gmail().push_of("somebody@example.com", world.now());
    world.says("the push is another mailbox's").await;
    // What we send or write, and what is gone before it is read.
    for (id, label) in [("sent", "SENT"), ("draft", "DRAFT"), ("spam", "SPAM")] {
        labelled["id"] = json!(id);
        labelled["labelIds"] = json!(["INBOX", label]);
        world.gmail().arrives(&labelled, world.now());
    }
    world.gmail().set_silent(true);
    world.write("gone", "11 98009-1002");
    world.gmail().vanish("gone");
    world.gmail().set_silent(false);
    world.write("caio", "Sem número hoje.");
    world.write("bia", "+55 11 98009-1003\n> (11) 98009-9999");
    world
        .texts_are(&["ana +5511980091001", "bia +5511980091003"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_pushes_and_a_history_that_is_gone_lose_and_flood_nothing() {
    let world = World::start().await;
    world.write("old", "11 98009-2000");
    // Both are counted in milliseconds, and one may be enough for both.
    let moment = SignedDuration::from_secs(1);
    world.dev.advance(moment).await.unwrap();
    world.connect().await;
    world.gmail().set_silent(true);
    world.gmail().set_page_records(2);
    let mut expected = Vec::new();
    for n in 1..=5 {
        world.write(&format!("lost{n}"), &format!("11 98009-200{n}"));
        expected.push(format!("lost{n} +551198009200{n}"));
    }
    world.poll("poll/1").await;
    let all: Vec<&str> = expected.iter().map(String::as_str).collect();
    world.texts_are(&all).await;

    world
        .dev
        .advance(SignedDuration::from_mins(10))
        .await
        .unwrap();
    world.write("while", "11 98009-2006");
    world.gmail().forget_history();
    world.poll("poll/2").await;
    expected.push("while +5511980092006".to_owned());
    let all: Vec<&str> = expected.iter().map(String::as_str).collect();
    world.texts_are(&all).await;
    let lines = world.lines().await;
    let recovered = lines
        .iter()
        .find(|line| line.starts_with("the history was too old"));
    assert!(
        recovered.is_some_and(|line| line.contains("1 email.received")),
        "{lines:?}"
    );

    // From there on the history goes on.
    world.write("after", "11 98009-2007");
    world.poll("poll/3").await;
    expected.push("after +5511980092007".to_owned());
    let all: Vec<&str> = expected.iter().map(String::as_str).collect();
    world.texts_are(&all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_kept_and_not_repeated() {
    let world = World::start().await;
    // Without any keys nobody is believed, and Pub/Sub tries again.
    let poison = message("1", "%%%");
    assert_eq!(world.push(None, &poison).await.0, 503);
    world.connect().await;
    world
        .dev
        .advance(SignedDuration::from_mins(2))
        .await
        .unwrap();
    let (status, answer) = world.push(None, &poison).await;
    assert_eq!(
        (status, answer.get("status")),
        (200, Some(&json!("unreadable")))
    );
    let key = answer.get("event").and_then(Value::as_str).unwrap();
    let row = world.dev.store().event(key).await.unwrap().unwrap();
    assert_eq!(row.status, EventStatus::Unreadable);
    let (status, _) = world.push(None, &json!({"no": "message"})).await;
    assert_eq!(status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_are_believed_and_old_ones_for_a_day() {
    let world = World::start().await;
    world.connect().await;
    let history = world
        .dev
        .store()
        .mailbox(CONNECTION)
        .await
        .unwrap()
        .unwrap()
        .history;
    let data = json!({"emailAddress": MAILBOX, "historyId": history}).to_string();
    let push = async |kid: Option<&str>, id: &str| {
        world
            .push(kid, &message(id, &STANDARD.encode(&data)))
            .await
            .0
    };
    assert_eq!(push(None, "1").await, 200);
    assert_eq!(push(Some("next"), "2").await, 401);
    world.gmail().set_keys(keys(&["next"]));
    world
        .dev
        .advance(SignedDuration::from_hours(1))
        .await
        .unwrap();
    assert_eq!(push(Some("next"), "2").await, 200);
    assert_eq!(push(None, "3").await, 200);
    assert_eq!(push(Some("another"), "4").await, 401);
    world
        .dev
        .advance(SignedDuration::from_hours(49))
        .await
        .unwrap();
    assert_eq!(push(Some("next"), "5").await, 200);
    assert_eq!(push(None, "6").await, 401);
    // What is known already asks Google nothing.
    world.says("all of it is known").await;
    let key = format!("{CONNECTION}/source/2");
    let row = world.dev.store().event(&key).await.unwrap().unwrap();
    let body = row.event.unwrap().body;
    assert!(matches!(body, Body::Changed { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_are_prolonged_and_a_refusal_is_asked_again_and_said() {
    let world = World::start().await;
    world.connect().await;
    let (topic, first) = world.gmail().watched(world.now()).unwrap();
    assert_eq!(topic, TOPIC);
    // Ten days, on which nobody but the hourly function does anything.
    world
        .dev
        .advance(SignedDuration::from_hours(240))
        .await
        .unwrap();
    let (_, until) = world.gmail().watched(world.now()).unwrap();
    assert!(until > first);
    let row = world
        .dev
        .store()
        .mailbox(CONNECTION)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.watched_until, Some(until));
    world.write("maria", "11 98009-3001");
    world.texts_are(&["maria +5511980093001"]).await;

    world.gmail().refuse_next(&[(403, "userRateLimitExceeded")]);
    world.write("ana", "11 98009-3002");
    let failing = async || {
        let row = world.dev.store().mailbox(CONNECTION).await.unwrap();
        row.unwrap().failing.map(|(_, why)| why)
    };
    world
        .until("the refusal is said", async || failing().await.is_some())
        .await;
    let why = "Google answered 403: userRateLimitExceeded";
    assert_eq!(failing().await.as_deref(), Some(why));
    world
        .dev
        .advance(SignedDuration::from_mins(2))
        .await
        .unwrap();
    let all = ["maria +5511980093001", "ana +5511980093002"];
    world.texts_are(&all).await;
    assert_eq!(failing().await, None);
}

/// As `callbell demo` replays them: the mailbox is connected by itself, and its mails are the samples'.
#[tokio::test(flavor = "multi_thread")]
async fn the_samples_are_pushes_of_the_mailbox_that_demo_values_have() {
    let world = World::of(None).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../events/emails");
    let files = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    files.sort();
    world.dev.set_clock("2026-03-16T19:59:59Z".parse().unwrap());
    for file in files {
        let event: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let sample = envelope::read(&event).unwrap();
        let gap = sample.at.duration_since(world.now());
        world
            .dev
            .advance(gap.max(SignedDuration::ZERO))
            .await
            .unwrap();
        let url = format!("{}{}", world.dev.url(), sample.path);
        let mut request = world.http.client.post(url).body(sample.body);
        for (name, value) in &sample.headers {
            request = request.header(name, value);
        }
        let status = request.send().await.unwrap().status().as_u16();
        assert_eq!(status, 200, "{}", file.display());
        world.settle().await;
    }
    let mut expected = vec![
        "Orçamento para 40 camisetas +5511980090001",
        "Re: Troca de tamanho +5511980090002",
    ];
    world.texts_are(&expected).await;
    let mail = json!({"from": "Ana <ana@example.com>", "subject": "ana", "text": "11 98009-4001"});
    let (status, _) = world.http.post("/_dev/mail", mail).await;
    assert_eq!(status, 200);
    expected.push("ana +5511980094001");
    world.texts_are(&expected).await;
    // Two weeks later the watch lives on, and nothing was told twice.
    world
        .dev
        .advance(SignedDuration::from_hours(14 * 24))
        .await
        .unwrap();
    world.texts_are(&expected).await;
}
