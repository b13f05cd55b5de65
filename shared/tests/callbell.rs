//! Callbell's own webhook: what proves it, what it is answered, and what identifies what.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use lambda_http::{Body, Request};
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::connections::Connection;
use shared::door::Door;
use shared::event::Event;
use shared::raw::Raw;
use shared::secrets::{Secret, Secrets, SecretsProvider};
use shared::sources::callbell::{self, Callbell, SIGNATURE};
use shared::sources::{Proofs, Reading, Refusal, Source, Unsigned};
use shared::store::{EventFilter, EventStatus, Store};

const PATH: &str = "the-secret-of-the-path";
const OTHER_PATH: &str = "the-one-before";
const SIGNING: &str = "whsec_the-secret-that-signs";
const OK: &[u8] = br#"{"status":"ok"}"#;

fn now() -> Timestamp {
    "2026-03-11T18:00:00Z".parse().unwrap()
}

fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/callbell")
        .join(format!("{name}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn request(method: &str, path: &str, signature: Option<&str>, body: &[u8]) -> Request {
    let mut request = lambda_http::http::Request::builder()
        .method(method)
        .uri(format!("https://example.com/callbell/{path}"));
    if let Some(signature) = signature {
        request = request.header(SIGNATURE, signature);
    }
    request.body(Body::Binary(body.to_vec())).unwrap()
}

fn signed(by: &str, body: &[u8], at: Timestamp) -> String {
    let (connection, secret) = (Connection::plain("callbell"), Secret::new(by));
    let mut headers = Callbell.sign(&Unsigned::of(&connection, &secret, body, at));
    headers.pop().map(|(_, value)| value).unwrap_or_default()
}

fn refusal(request: Request, secrets: &[&str]) -> Option<Refusal> {
    let raw = Raw::behind_secret(request, "callbell").unwrap();
    let secrets: Vec<Secret> = secrets.iter().map(|value| Secret::new(*value)).collect();
    let connection = Connection::plain("callbell");
    let proofs = Proofs::of(&connection, &secrets);
    Callbell.verify(&raw, &proofs, now()).err()
}

#[test]
fn path_and_signature_prove_a_webhook() {
    let body = fixture("received").to_string().into_bytes();
    let of_now = signed(SIGNING, &body, now());
    let of_other = signed("whsec_another", &body, now());
    let late = |s: i64| signed(SIGNING, &body, now() - SignedDuration::from_secs(s));
    let by_beginning = signed("whsec_", &body, now());
    let unmatched = |secrets| Some(Refusal::NoMatch { secrets });
    let path = |secrets| Some(Refusal::Path { secrets });
    let unsigned = Some(Refusal::NoSignature(SIGNATURE));
    let malformed = Some(Refusal::Malformed(SIGNATURE));
    let (both, paths) = ([PATH, SIGNING], [PATH]);
    type Row<'a> = (&'a str, Option<&'a str>, &'a [&'a str], Option<Refusal>);
    let (early, old, too_early, too_old) = (late(-300), late(300), late(-301), late(301));
    let rows: &[Row<'_>] = &[
        (PATH, Some(&of_now), &both, None),
        // Several of each, while one is replaced.
        (
            OTHER_PATH,
            Some(&of_other),
            &[PATH, OTHER_PATH, SIGNING, "whsec_another"],
            None,
        ),
        (
            PATH,
            Some(&of_now),
            &["whsec_another", SIGNING, OTHER_PATH, PATH],
            None,
        ),
        // Where nothing signs, the path is enough, whatever else comes.
        (PATH, None, &paths, None),
        (PATH, Some("t=1,v1=x"), &paths, None),
        (PATH, None, &[PATH, ""], None),
        // Where something signs, both are asked for.
        (PATH, None, &both, unsigned.clone()),
        ("another-path", Some(&of_now), &both, path(1)),
        ("another-path", None, &paths, path(1)),
        (SIGNING, Some(&of_now), &both, path(1)),
        (PATH, Some(&of_other), &both, unmatched(1)),
        (PATH, Some("t=1790000000"), &both, malformed.clone()),
        (PATH, Some(""), &both, malformed),
        // The beginning alone is no secret, and still asks for a signature.
        (PATH, Some(&by_beginning), &[PATH, "whsec_"], unmatched(1)),
        (PATH, None, &[PATH, "whsec_"], unsigned),
        // No secret of the path, no webhook.
        (PATH, Some(&of_now), &[SIGNING], path(0)),
        (PATH, Some(&of_now), &[], path(0)),
        // Five minutes, both ways.
        (PATH, Some(&early), &both, None),
        (PATH, Some(&old), &both, None),
        (
            PATH,
            Some(&too_early),
            &both,
            Some(Refusal::Stale { seconds: 301 }),
        ),
        (
            PATH,
            Some(&too_old),
            &both,
            Some(Refusal::Stale { seconds: 301 }),
        ),
    ];
    for (index, (path, signature, secrets, expected)) in rows.iter().enumerate() {
        let found = refusal(request("POST", path, *signature, &body), secrets);
        assert_eq!(found, *expected, "row {index}");
    }
    let mut twice = request("POST", PATH, Some(&of_now), &body);
    twice
        .headers_mut()
        .append(SIGNATURE, of_now.parse().unwrap());
    assert!(refusal(twice, &both).is_some());
}

#[test]
fn what_carries_no_event_needs_the_path_alone() {
    let both = [PATH, SIGNING];
    for body in [
        "",
        " \n",
        "{}",
        "null",
        "[]",
        "5",
        r#"{"status":"check"}"#,
        r#"{"event":"ping"}"#,
    ] {
        for method in ["GET", "HEAD", "POST"] {
            let probe = |path| request(method, path, None, body.as_bytes());
            assert_eq!(refusal(probe(PATH), &both), None, "{method} {body}");
            assert!(
                refusal(probe("another"), &both).is_some(),
                "{method} {body}"
            );
            // A signature that is wrong is wrong.
            let wrong = request(method, PATH, Some("t=1,v1=00"), body.as_bytes());
            assert!(refusal(wrong, &both).is_some(), "{method} {body}");
        }
    }
    let event = fixture("received").to_string();
    for body in [
        event.as_str(),
        r#"{"event":"x","payload":null}"#,
        "{",
        "a=1",
        "\u{0}",
    ] {
        let odd = request("GET", PATH, None, body.as_bytes());
        assert_eq!(
            refusal(odd, &both),
            Some(Refusal::NoSignature(SIGNATURE)),
            "{body}"
        );
    }
}

fn read(value: &Value, at: Timestamp) -> Event {
    match callbell::read(value, &Connection::plain("callbell"), at) {
        Ok(Reading::Events(mut events)) if events.len() == 1 => events.remove(0),
        _ => panic!("{value}"),
    }
}

fn key(value: &Value, at: Timestamp) -> String {
    read(value, at).event.id
}

/// What a change to a webhook does to its key.
struct Row {
    fixture: &'static str,
    what: &'static str,
    change: fn(&mut Value),
    later: SignedDuration,
    same: bool,
}

fn row(fixture: &'static str, what: &'static str, same: bool, change: fn(&mut Value)) -> Row {
    Row {
        fixture,
        what,
        change,
        later: SignedDuration::ZERO,
        same,
    }
}

fn again(fixture: &'static str, what: &'static str, same: bool, later: SignedDuration) -> Row {
    Row {
        fixture,
        what,
        change: |_| (),
        later,
        same,
    }
}

#[test]
fn what_identifies_what() {
    let hours = SignedDuration::from_hours;
    let rows = [
        // A retry is the same body, hours later.
        again("received", "a retry", true, hours(6)),
        again("sent-by-us", "a retry", true, hours(6)),
        again("status-delivered", "a retry", true, hours(6)),
        again("contact-created", "a retry", true, hours(6)),
        again("contact-deleted", "a retry", true, hours(6)),
        again("conversation-opened", "a retry", true, hours(6)),
        again("conversation-closed", "a retry", true, hours(6)),
        again(
            "contact-updated",
            "a retry",
            true,
            SignedDuration::from_mins(9),
        ),
        again(
            "contact-updated",
            "set again",
            false,
            SignedDuration::from_mins(10),
        ),
        again("conversation-opened-again", "another day", false, hours(24)),
        // Messages.
        row("received", "the person was tagged meanwhile", true, |v| {
            v["payload"]["contact"]["tags"] = json!([]);
        }),
        row("received", "the person in a list", true, |v| {
            v["payload"]["contact"] = json!([v["payload"]["contact"]]);
        }),
        row("received", "a second later", false, |v| {
            v["payload"]["createdAt"] = json!("2026-03-11T17:59:59.000+00:00");
        }),
        row("received", "other words", false, |v| {
            v["payload"]["text"] = json!("Oi");
        }),
        row("received", "another person", false, |v| {
            v["payload"]["contact"]["uuid"] = json!("a".repeat(32));
        }),
        row("received", "another channel", false, |v| {
            v["payload"]["channel"] = json!("instagram");
        }),
        row("received", "the other direction", false, |v| {
            v["payload"]["status"] = json!("sent");
        }),
        row("received", "a file more", false, |v| {
            v["payload"]["attachments"] = json!(["https://a.example/1.jpg"]);
        }),
        row("received-image-without-text", "signed anew", true, |v| {
            v["payload"]["attachments"] =
                json!(["https://dash.callbell.eu/uploads/attachment/1/foto.JPG?signature=xyz"]);
        }),
        row("received-image-without-text", "another file", false, |v| {
            v["payload"]["attachments"] =
                json!(["https://dash.callbell.eu/uploads/attachment/2/foto.JPG?signature=abc"]);
        }),
        row("received-reaction", "another emoji", false, |v| {
            v["payload"]["messageReaction"]["emoji"] = json!("❤️");
        }),
        row("received-location", "another place", false, |v| {
            v["payload"]["messageLocation"]["coordinates"]["x"] = json!(1);
        }),
        row("received-card", "another card", false, |v| {
            v["payload"]["messageContactCard"]["contactsInfo"][0]["name"] = json!("MJ");
        }),
        row("received-forwarded-reply", "not forwarded", false, |v| {
            v["payload"]["messageForward"]["forwarded"] = json!(false);
        }),
        row("sent-by-us", "sent by somebody else", false, |v| {
            v["payload"]["metadata"] = json!({});
        }),
        // Statuses.
        row("status-delivered", "read", false, |v| {
            v["payload"]["status"] = json!("read");
        }),
        row("status-delivered", "another message", false, |v| {
            v["payload"]["uuid"] = json!("b".repeat(32));
        }),
        row("status-delivered", "told in other words", true, |v| {
            v["payload"]["messageStatusPayload"] = json!({});
        }),
        // People and talks.
        row("contact-created", "another name", true, |v| {
            v["payload"]["name"] = json!("Maria");
        }),
        row("contact-updated", "another name", false, |v| {
            v["payload"]["name"] = json!("Maria");
        }),
        row("contact-updated", "another person", false, |v| {
            v["payload"]["uuid"] = json!("a".repeat(32));
        }),
        row("conversation-closed", "closed again", false, |v| {
            v["payload"]["closedAt"] = json!("2026-03-11T17:59:31Z");
        }),
    ];
    for Row {
        fixture: name,
        what,
        change,
        later,
        same,
    } in rows
    {
        let before = fixture(name);
        let mut after = before.clone();
        change(&mut after);
        let (one, other) = (key(&before, now()), key(&after, now() + later));
        assert_eq!(one == other, same, "{name}, {what}: {one} {other}");
    }
}

#[test]
fn a_message_is_what_its_sender_makes_it() {
    use shared::event::{Body as EventBody, Name};
    for (name, expected, job) in [
        ("received", Name::MessageReceived, false),
        // A person cannot make one of ours of it, and so no loop of it either.
        ("received-with-our-metadata", Name::MessageReceived, false),
        ("sent-by-agent", Name::MessageSent, false),
        ("sent-by-another-program", Name::MessageSent, false),
        ("sent-by-us", Name::MessageEcho, true),
        ("sent-by-us-metadata-as-text", Name::MessageEcho, true),
        ("status-enqueued", Name::MessageStatus, true),
        ("status-mismatch", Name::MessageStatus, true),
        ("status-delivered", Name::MessageDelivered, true),
        (
            "status-delivered-metadata-as-text",
            Name::MessageDelivered,
            true,
        ),
        ("status-read", Name::MessageRead, true),
        ("status-failed", Name::MessageFailed, true),
    ] {
        let event = read(&fixture(name), now());
        assert_eq!(event.event.name, expected, "{name}");
        let EventBody::Message { job: found, .. } = event.body else {
            panic!("{name}");
        };
        assert_eq!(found.is_some(), job, "{name}");
    }
}

/// What was lost is read from Callbell's log of deliveries, which says when each was first tried.
#[test]
fn what_was_delivered_late_has_the_key_of_its_time() {
    for name in [
        "received",
        "contact-updated",
        "conversation-opened",
        "status-read",
    ] {
        let value = fixture(name);
        assert_eq!(
            key(&value, now()),
            key(&value, now() + SignedDuration::from_secs(20)),
            "{name}"
        );
    }
}

async fn door(secrets: &[&str]) -> (Door, Store) {
    let (store, clock) = testkit::store().await;
    clock.advance(now().duration_since(clock.now()));
    let mut known = Secrets::default();
    known.set(
        "callbell",
        secrets.iter().map(|value| Secret::new(*value)).collect(),
    );
    let door = Door::new(&[&Callbell], store.clone(), SecretsProvider::Fixed(known));
    door.warm().await;
    (door, store)
}

async fn stored(store: &Store) -> Vec<(String, EventStatus)> {
    let (rows, _) = store
        .list_events(&EventFilter::default(), None)
        .await
        .unwrap();
    rows.into_iter().map(|row| (row.key, row.status)).collect()
}

#[tokio::test]
async fn whatever_is_believed_gets_the_same_answer() {
    let (door, store) = door(&[PATH, SIGNING]).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/callbell");
    let mut bodies: Vec<Vec<u8>> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().matches('.').count() == 1)
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    let odd = [
        "",
        " ",
        "{}",
        "{",
        "\u{0}",
        "a=1&b=2",
        "[[[",
        r#"{"event":5,"payload":{}}"#,
    ];
    bodies.extend(odd.map(|body| body.as_bytes().to_vec()));
    for body in &bodies {
        for _ in ["first", "again"] {
            let signature = signed(SIGNING, body, now());
            let answer = door
                .handle(request("POST", PATH, Some(&signature), body))
                .await;
            assert_eq!(
                (answer.status().as_u16(), answer.body().as_ref()),
                (200, OK)
            );
            assert_eq!(answer.headers()["content-type"], "application/json");
        }
    }
    let rows = stored(&store).await;
    let unreadable = rows
        .iter()
        .filter(|(_, status)| *status == EventStatus::Unreadable);
    assert!(unreadable.count() >= 6, "what cannot be read is kept");
    assert!(rows.iter().all(|(key, _)| !key.contains(PATH)));
}

#[tokio::test]
async fn what_is_not_believed_is_refused_and_leaves_nothing() {
    let (door, store) = door(&[PATH, SIGNING]).await;
    let body = fixture("received").to_string().into_bytes();
    let signature = signed(SIGNING, &body, now());
    for (method, path, signature, status) in [
        ("POST", PATH, None, 401),
        ("POST", "another", Some(signature.as_str()), 401),
        ("POST", "callbell", Some(&signature), 401),
        ("GET", "another", None, 401),
        ("POST", "", Some(&signature), 404),
        ("PUT", PATH, Some(&signature), 405),
        ("DELETE", PATH, None, 405),
    ] {
        let answer = door.handle(request(method, path, signature, &body)).await;
        assert_eq!(answer.status(), status, "{method} {path}");
        let answer = String::from_utf8(answer.body().to_vec()).unwrap();
        assert!(
            !answer.contains(PATH) && !answer.contains("Maria"),
            "{answer}"
        );
    }
    assert_eq!(stored(&store).await, []);
    let (without, _) = self::door(&[]).await;
    let answer = without
        .handle(request("POST", PATH, Some(&signature), &body))
        .await;
    assert_eq!(answer.status(), 404);
}

#[tokio::test]
async fn the_line_at_the_start_says_what_proves_a_webhook() {
    let proof = |door: &Door| door.found().proof.unwrap();
    assert!(proof(&door(&[PATH]).await.0).contains("alone"));
    assert!(!proof(&door(&[PATH, SIGNING]).await.0).contains("alone"));
}

/// A table that takes the connection's name changes nothing: there is one connection.
#[tokio::test]
async fn no_table_of_the_file_can_take_the_webhook_away() {
    let (door, store) = door(&[PATH]).await;
    let table = Connection {
        kind: "shopify".to_owned(),
        ..Connection::plain("callbell")
    };
    let connections = shared::connections::Connections([("callbell".to_owned(), table)].into());
    store.push_config("", "", &connections).await.unwrap();
    door.warm().await;
    let body = fixture("received").to_string().into_bytes();
    let answer = door.handle(request("POST", PATH, None, &body)).await;
    assert_eq!(
        (answer.status().as_u16(), answer.body().as_ref()),
        (200, OK)
    );
    assert_eq!(stored(&store).await.len(), 1);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        Just(json!("2026-03-11T17:59:00Z")),
        Just(json!("9f86d081884c7d659a2feaa0c55ad015")),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        let names = prop_oneof![
            "(uuid|status|metadata|job|contact|text|attachments|tags|customFields|messageStatusPayload|payload)",
            "[a-z]{1,8}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names, inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// No JSON under any event makes a panic or a 5xx, and whatever is read goes into a row and out again.
#[test]
fn no_json_makes_a_panic_or_a_5xx() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (door, _) = runtime.block_on(door(&[PATH, SIGNING]));
    let events: Vec<&str> = callbell::SUBSCRIPTIONS.to_vec();
    let strategy = (
        prop::sample::select(events),
        any_json(),
        prop::option::of(any_json()),
    );
    let config = ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest::test_runner::TestRunner::new(config)
        .run(&strategy, |(event, mut payload, status)| {
            if let (Some(map), Some(status)) = (payload.as_object_mut(), status) {
                map.insert("contact".to_owned(), json!([{"uuid": "a", "tags": status}]));
                map.insert("status".to_owned(), json!("received"));
            }
            let body = json!({"event": event, "payload": payload})
                .to_string()
                .into_bytes();
            let signature = signed(SIGNING, &body, now());
            let answer =
                runtime.block_on(door.handle(request("POST", PATH, Some(&signature), &body)));
            prop_assert_eq!(
                (answer.status().as_u16(), answer.body().as_ref()),
                (200, OK)
            );
            Ok(())
        })
        .unwrap();
}
