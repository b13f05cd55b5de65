//! The door over the real store: what every kind of input gets, and what is in the table afterwards.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};
use lambda_http::{Body, Request, Response};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::connections::{Connection, Connections};
use shared::door::{Door, EVENTS_MAX};
use shared::event::Event;
use shared::keys::PublicKeys;
use shared::raw::{BODY_BYTES_MAX, Verified};
use shared::secrets::{Secret, Secrets, SecretsProvider};
use shared::sources::{
    self, Answer, OnUnreadable, Proofs, Reading, Refusal, Source, Unreadable, Unsigned, demo,
};
use shared::store::client::{AwsCredentials, ClientSettings, dynamodb, http_client};
use shared::store::{EventStatus, Store};

const SHOPIFY: &str = "the shop's secret";
const WOO: &str = "the other shop's &amp; secret";

fn fixture(kind: &str, name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(kind);
    std::fs::read(path.join(format!("{name}.json"))).unwrap()
}

fn secrets() -> Secrets {
    let mut secrets = Secrets::default();
    secrets.insert("shopify", Secret::new(SHOPIFY));
    secrets.insert("woocommerce", Secret::new(WOO));
    secrets.insert("loja-it", Secret::new("the Italian shop's secret"));
    secrets
}

async fn door() -> (Door, Store, Clock) {
    let (store, clock) = testkit::store().await;
    let door = Door::new(
        sources::ALL,
        store.clone(),
        SecretsProvider::Fixed(secrets()),
    );
    door.warm().await;
    (door, store, clock)
}

fn request(method: &str, path: &str, headers: &[(String, String)], body: Vec<u8>) -> Request {
    let mut builder = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    builder.body(Body::Binary(body)).unwrap()
}

/// What the provider would send with this body.
fn sign(kind: &str, secret: &str, body: &[u8], now: Timestamp) -> Vec<(String, String)> {
    let connection = Connection::plain(kind);
    let secret = Secret::new(secret);
    let unsigned = Unsigned::of(&connection, &secret, body, now);
    sources::by_kind(kind).unwrap().sign(&unsigned)
}

/// A request as the provider signs it.
fn signed(kind: &str, connection: &str, secret: &str, body: Vec<u8>) -> Request {
    let headers = sign(kind, secret, &body, testkit::START.parse().unwrap());
    request("POST", &format!("/orders/{connection}"), &headers, body)
}

fn shopify(name: &str) -> Request {
    signed("shopify", "shopify", SHOPIFY, fixture("shopify", name))
}

fn body(response: &Response<Body>) -> Value {
    serde_json::from_slice(response.body()).unwrap_or(Value::Null)
}

/// A push of Gmail's, signed by the demo in Google's place, under a key of this name.
fn pushed(id: &str, kid: &str, now: Timestamp) -> Request {
    let data = "eyJlbWFpbEFkZHJlc3MiOiJhQGV4YW1wbGUuY29tIiwiaGlzdG9yeUlkIjoiMSJ9";
    let body = json!({"message": {"messageId": id, "data": data}}).to_string();
    let mut secret: Value = serde_json::from_str(demo::secret("gmail").expose()).unwrap();
    secret["kid"] = json!(kid);
    let headers = sign("gmail", &secret.to_string(), body.as_bytes(), now);
    request("POST", "/emails/gmail", &headers, body.into_bytes())
}

/// Google's keys, under this name.
fn public_keys(kid: &str) -> PublicKeys {
    let key = demo::public_keys().0.into_values().next().unwrap();
    PublicKeys([(kid.to_owned(), key)].into())
}

#[tokio::test]
async fn a_push_waits_for_keys_and_new_ones_are_read_within_seconds() {
    let (store, clock) = testkit::store().await;
    let mut secrets = Secrets::default();
    secrets.insert("gmail", demo::secret("gmail"));
    let door = Door::new(sources::ALL, store.clone(), SecretsProvider::Fixed(secrets));
    door.warm().await;
    let push = async |id: &str, kid: &str| answer(&door, pushed(id, kid, clock.now())).await.0;
    assert_eq!(push("1", "a").await, 503);
    store.keep_public_keys(&public_keys("a")).await.unwrap();
    assert_eq!(push("1", "a").await, 200);
    assert!(store.event("gmail/source/1").await.unwrap().is_some());
    // Who signs with a key that nobody knows makes the door read at most every few seconds.
    store.keep_public_keys(&public_keys("b")).await.unwrap();
    assert_eq!(push("2", "b").await, 401);
    clock.advance(SignedDuration::from_secs(5));
    assert_eq!(push("2", "b").await, 200);
    assert_eq!(push("3", "a").await, 200);
    assert_eq!(push("4", "c").await, 401);
    // Google's keys a day later, with no token of today's.
    clock.advance(SignedDuration::from_hours(25));
    store.keep_public_keys(&public_keys("c")).await.unwrap();
    assert_eq!(push("4", "c").await, 200);
    assert_eq!(push("5", "a").await, 401);
}

async fn answer(door: &Door, request: Request) -> (u16, Value) {
    let response = door.handle(request).await;
    (response.status().as_u16(), body(&response))
}

#[tokio::test]
async fn an_order_is_stored_and_named() {
    let (door, store, _) = door().await;
    let (status, body) = answer(&door, shopify("order-pix-pending")).await;
    let key = "shopify/order/6171000000001/created";
    assert_eq!(
        (status, body),
        (200, json!({"status": "accepted", "event": key}))
    );
    let row = store.event(key).await.unwrap().unwrap();
    assert_eq!(
        (row.status, row.event.unwrap().event.id.as_str()),
        (EventStatus::New, key)
    );

    let (_, body) = answer(&door, shopify("order-presentment-edited")).await;
    assert_eq!(body["event"], "shopify/order/6171000000005/created");
    assert_eq!(body["events"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn a_redelivery_in_parallel_and_later_stores_nothing_new() {
    let (door, store, clock) = door().await;
    let answers =
        futures_util::future::join_all((0..4).map(|_| answer(&door, shopify("order-pix-pending"))))
            .await;
    let accepted = answers
        .iter()
        .filter(|(_, body)| body["status"] == "accepted")
        .count();
    assert!(answers.iter().all(|(status, _)| *status == 200));
    assert_eq!(accepted, 1);
    clock.advance(SignedDuration::from_hours(4));
    let restarted = Door::new(sources::ALL, store, SecretsProvider::Fixed(secrets()));
    let (status, body) = answer(&restarted, shopify("order-pix-pending")).await;
    assert_eq!((status, &body["status"]), (200, &json!("duplicate")));
}

#[tokio::test]
async fn a_later_change_stores_what_is_new_alone() {
    let (door, _, _) = door().await;
    answer(&door, shopify("order-pix-pending")).await;
    let mut order: Value =
        serde_json::from_slice(&fixture("shopify", "order-pix-pending")).unwrap();
    order["financial_status"] = json!("paid");
    let request = signed(
        "shopify",
        "shopify",
        SHOPIFY,
        order.to_string().into_bytes(),
    );
    let (_, body) = answer(&door, request).await;
    assert_eq!(
        body,
        json!({"status": "accepted", "event": "shopify/order/6171000000001/paid"})
    );
}

#[tokio::test]
async fn what_is_not_signed_is_refused_and_stores_nothing() {
    let (door, store, _) = door().await;
    let body = fixture("shopify", "order-pix-pending");
    let (status, answer_body) =
        answer(&door, request("POST", "/orders/shopify", &[], body.clone())).await;
    assert_eq!(
        (status, &answer_body["reason"]),
        (401, &json!("no x-shopify-hmac-sha256 header"))
    );
    let (status, answer_body) =
        answer(&door, signed("shopify", "shopify", "another", body.clone())).await;
    assert_eq!(
        (status, &answer_body["reason"]),
        (401, &json!("matches none of 1 secret(s)"))
    );
    let malformed = [("x-shopify-hmac-sha256".to_owned(), "short".to_owned())];
    assert_eq!(
        answer(&door, request("POST", "/orders/shopify", &malformed, body))
            .await
            .0,
        401
    );
    assert_eq!(
        store
            .event("shopify/order/6171000000001/created")
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn unknown_sources_methods_and_sizes() {
    let (door, _, _) = door().await;
    for path in [
        "/orders/calendly",
        "/orders/nobody",
        "/orders/",
        "/",
        "/orders/Not%20A%20Name",
    ] {
        assert_eq!(
            answer(&door, request("POST", path, &[], b"{}".to_vec()))
                .await
                .0,
            404,
            "{path}"
        );
    }
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"] {
        let response = door
            .handle(request(method, "/orders/shopify", &[], Vec::new()))
            .await;
        assert_eq!(response.status(), 405, "{method}");
        assert_eq!(response.headers()["allow"], "POST");
    }
    let large = signed(
        "shopify",
        "shopify",
        SHOPIFY,
        vec![b' '; BODY_BYTES_MAX + 1],
    );
    assert_eq!(answer(&door, large).await.0, 413);
    let fits = signed("shopify", "shopify", SHOPIFY, vec![b' '; BODY_BYTES_MAX]);
    assert_eq!(answer(&door, fits).await.0, 200);
}

#[tokio::test]
async fn an_absent_or_empty_secret_is_no_source() {
    let (store, _) = testkit::store().await;
    let empty = Secrets::from_json(r#"{"shopify": "", "woocommerce": []}"#).unwrap();
    let door = Door::new(sources::ALL, store, SecretsProvider::Fixed(empty));
    assert_eq!(answer(&door, shopify("order-pix-pending")).await.0, 404);
    let unsigned_by_empty = signed(
        "shopify",
        "shopify",
        "",
        fixture("shopify", "order-pix-pending"),
    );
    assert_eq!(answer(&door, unsigned_by_empty).await.0, 404);
}

#[tokio::test]
async fn woocommerce_s_ping_is_exactly_200_before_anything_is_configured() {
    let (store, _) = testkit::store().await;
    let door = Door::new(
        sources::ALL,
        store.clone(),
        SecretsProvider::Fixed(Secrets::default()),
    );
    for path in ["/orders/woocommerce", "/orders/loja-woo"] {
        assert_eq!(
            answer(&door, request("POST", path, &[], b"webhook_id=8".to_vec()))
                .await
                .0,
            200,
            "{path}"
        );
    }
    for body in [
        "webhook_id=",
        "webhook_id=8&a=b",
        "webhook_id=x",
        " webhook_id=8",
    ] {
        let (status, _) = answer(
            &door,
            request("POST", "/orders/woocommerce", &[], body.into()),
        )
        .await;
        assert_eq!(status, 404, "{body}: no ping, and no secret yet");
    }
    // A door that cannot reach AWS answers it too.
    let door = Door::new(
        sources::ALL,
        unreachable(),
        SecretsProvider::Fixed(Secrets::default()),
    );
    assert_eq!(
        answer(
            &door,
            request("POST", "/orders/woocommerce", &[], b"webhook_id=8".to_vec())
        )
        .await
        .0,
        200
    );
}

#[tokio::test]
async fn two_orders_of_one_second_with_one_delivery_id_both_go_through() {
    let (door, _, _) = door().await;
    for (id, name) in [("501", "processing-pix"), ("502", "pending-boleto")] {
        let body = fixture("woocommerce", name);
        let mut headers = sign("woocommerce", WOO, &body, testkit::START.parse().unwrap());
        headers.push((
            "x-wc-webhook-delivery-id".to_owned(),
            "a1b2c3d4e5f60718293a4b5c6d7e8f90".to_owned(),
        ));
        let (status, answer) = answer(
            &door,
            request("POST", "/orders/woocommerce", &headers, body),
        )
        .await;
        assert_eq!((status, &answer["status"]), (200, &json!("accepted")));
        assert_eq!(answer["event"], format!("woocommerce/order/{id}/created"));
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_200_and_a_record() {
    let (door, store, _) = door().await;
    let (status, answered) = answer(&door, shopify("order-without-total")).await;
    assert_eq!(
        (status, &answered["problem"]),
        (200, &json!("total_price: expected an amount"))
    );
    let key = answered["event"].as_str().unwrap();
    let row = store.event(key).await.unwrap().unwrap();
    assert_eq!(row.status, EventStatus::Unreadable);
    assert_eq!(
        row.problem.as_deref(),
        Some("total_price: expected an amount")
    );
    let (status, again) = answer(&door, shopify("order-without-total")).await;
    assert_eq!((status, again), (200, answered));
    let broken = signed("woocommerce", "woocommerce", WOO, b"{\"id\":5".to_vec());
    assert_eq!(answer(&door, broken).await.0, 200);
}

/// Calendly disables a subscription for good after a day of 4xx answers to one webhook.
#[tokio::test]
async fn whatever_a_calendar_signed_is_200() {
    let (store, clock) = testkit::store().await;
    let mut secrets = Secrets::default();
    secrets.insert("calendly", Secret::new("the calendar's key"));
    secrets.insert("cal-com", Secret::new("the calendar's key"));
    let door = Door::new(sources::ALL, store, SecretsProvider::Fixed(secrets));
    door.warm().await;
    let post = async |kind: &str, body: Vec<u8>| {
        let headers = sign(kind, "the calendar's key", &body, clock.now());
        let path = format!("/appointments/{kind}");
        answer(&door, request("POST", &path, &headers, body)).await
    };
    for kind in ["calendly", "cal-com"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        for entry in std::fs::read_dir(folder.join(kind)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            if name.matches('.').count() == 1 {
                let (status, answer) = post(kind, std::fs::read(&path).unwrap()).await;
                assert_eq!(status, 200, "{path:?}: {answer}");
            }
        }
        for broken in ["", "{", "\u{0}", "a=1&b=2"] {
            let (status, answer) = post(kind, broken.into()).await;
            assert_eq!(
                (status, &answer["status"]),
                (200, &json!("unreadable")),
                "{broken}"
            );
        }
    }
    let sample = fixture("calendly", "version-1-sample");
    let (_, answer) = post("calendly", sample).await;
    assert_eq!(answer["reason"], "a body of Calendly's API v1");
}

#[tokio::test]
async fn foreign_topics_are_200_with_the_reason() {
    let (door, _, _) = door().await;
    let (status, body) = answer(&door, shopify("product")).await;
    assert_eq!(
        (status, body),
        (200, json!({"status": "ignored", "reason": "foreign topic"}))
    );
}

#[tokio::test]
async fn a_compliance_topic_over_another_body_is_refused() {
    let (door, _, _) = door().await;
    let mut request = shopify("order-pix-pending");
    request
        .headers_mut()
        .insert("x-shopify-topic", "shop/redact".parse().unwrap());
    let (status, body) = answer(&door, request).await;
    assert_eq!(
        (status, &body["reason"]),
        (401, &json!("topic header contradicts the signed body"))
    );
    let mut request = shopify("customers-data-request");
    request
        .headers_mut()
        .insert("x-shopify-topic", "customers/redact".parse().unwrap());
    assert_eq!(answer(&door, request).await.0, 401);
    let mut request = shopify("customers-redact");
    request
        .headers_mut()
        .insert("X-Shopify-Topic", "customers/redact".parse().unwrap());
    assert_eq!(answer(&door, request).await.1["status"], "accepted");
}

#[tokio::test]
async fn a_connection_pushed_later_is_found_and_named() {
    let (door, store, clock) = door().await;
    let order = || {
        signed(
            "shopify",
            "loja-it",
            "the Italian shop's secret",
            fixture("shopify", "order-pix-pending"),
        )
    };
    assert_eq!(answer(&door, order()).await.0, 404);
    let table = Connection {
        kind: "shopify".into(),
        ..Connection::plain("loja-it")
    };
    let connections = Connections([("loja-it".to_owned(), table)].into());
    store.push_config("", "", &connections).await.unwrap();
    assert_eq!(
        answer(&door, order()).await.0,
        404,
        "the copy is still young"
    );
    clock.advance(SignedDuration::from_secs(5));
    let (status, body) = answer(&door, order()).await;
    assert_eq!(
        (status, &body["event"]),
        (200, &json!("loja-it/order/6171000000001/created"))
    );
    // The other connection's secret does not open this one.
    let other = signed(
        "shopify",
        "loja-it",
        SHOPIFY,
        fixture("shopify", "order-pix-pending"),
    );
    assert_eq!(answer(&door, other).await.0, 401);
}

fn unreachable() -> Store {
    let settings = ClientSettings::new(
        "eu-west-1",
        Some("http://127.0.0.1:9".to_owned()),
        AwsCredentials {
            access_key_id: "a".into(),
            secret_access_key: "b".into(),
            session_token: None,
        },
    );
    Store::new(
        dynamodb(&settings, http_client().unwrap()),
        "none",
        Clock::system(),
    )
}

#[tokio::test]
async fn without_dynamodb_it_is_503_and_quickly() {
    let door = Door::new(
        sources::ALL,
        unreachable(),
        SecretsProvider::Fixed(secrets()),
    );
    let started = std::time::Instant::now();
    let (status, body) = answer(&door, shopify("order-presentment-edited")).await;
    assert_eq!((status, body), (503, json!({"status": "unavailable"})));
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    // What needs no table is answered as ever.
    assert_eq!(answer(&door, shopify("product")).await.0, 200);
    assert_eq!(
        answer(&door, request("GET", "/orders/shopify", &[], Vec::new()))
            .await
            .0,
        405
    );
}

/// Typeform switches a webhook off for good at a 404.
#[tokio::test]
async fn a_name_that_nobody_could_look_up_is_503_and_not_404() {
    let door = Door::new(
        sources::ALL,
        unreachable(),
        SecretsProvider::Fixed(Secrets::default()),
    );
    door.warm().await;
    let order = signed(
        "shopify",
        "loja-it",
        SHOPIFY,
        fixture("shopify", "order-pix-pending"),
    );
    assert_eq!(answer(&door, order).await.0, 503);
}

/// Zendesk loses a webhook whose 503 does not say when to come back.
#[tokio::test]
async fn a_503_says_when_to_come_back_and_nothing_else_does() {
    let door = Door::new(
        sources::ALL,
        unreachable(),
        SecretsProvider::Fixed(secrets()),
    );
    let retry_after = async |request: Request| {
        let response = door.handle(request).await;
        let header = response.headers().get(http::header::RETRY_AFTER).cloned();
        (response.status().as_u16(), header)
    };
    let (status, header) = retry_after(shopify("order-pix-pending")).await;
    assert_eq!(status, 503);
    let seconds: u64 = header.unwrap().to_str().unwrap().parse().unwrap();
    assert!((1..60).contains(&seconds), "{seconds}");
    assert_eq!(retry_after(shopify("product")).await, (200, None));
    let unsigned = request("POST", "/orders/shopify", &[], b"{}".to_vec());
    assert_eq!(retry_after(unsigned).await, (401, None));
}

/// Secrets Manager as a provider that answers what it is told, over HTTP.
struct Manager {
    provider: SecretsProvider,
    asked: std::sync::Arc<AtomicU64>,
    says: std::sync::Arc<std::sync::Mutex<Option<String>>>,
}

async fn manager(first: Option<&str>) -> Manager {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::sync::Arc::new(AtomicU64::new(0));
    let says = std::sync::Arc::new(std::sync::Mutex::new(first.map(str::to_owned)));
    let (count, text) = (asked.clone(), says.clone());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = vec![0; 16 * 1024];
            let _ = stream.read(&mut bytes).await;
            count.fetch_add(1, Ordering::SeqCst);
            let text = text.lock().unwrap().clone();
            let (line, body) = match text {
                Some(text) => (
                    "200 OK",
                    json!({"ARN": "arn", "Name": "s/webhooks", "SecretString": text}),
                ),
                None => (
                    "400 Bad Request",
                    json!({"__type": "AccessDeniedException"}),
                ),
            };
            let body = body.to_string();
            let answer = format!(
                "HTTP/1.1 {line}\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let client = shared::secrets::client(&ClientSettings::local(endpoint), http_client().unwrap());
    let provider = SecretsProvider::Manager {
        client,
        name: "s/webhooks".to_owned(),
    };
    Manager {
        provider,
        asked,
        says,
    }
}

#[tokio::test]
async fn a_rotated_secret_is_read_again_once_a_minute_at_most() {
    let (store, clock) = testkit::store().await;
    let manager = manager(Some(r#"{"shopify": "the old one"}"#)).await;
    let door = Door::new(sources::ALL, store, manager.provider.clone());
    door.warm().await;
    assert_eq!(manager.asked.load(Ordering::SeqCst), 1);
    *manager.says.lock().unwrap() = Some(json!({"shopify": [SHOPIFY, "the old one"]}).to_string());
    for _ in 0..3 {
        assert_eq!(answer(&door, shopify("order-pix-pending")).await.0, 401);
    }
    assert_eq!(manager.asked.load(Ordering::SeqCst), 1, "the copy is young");
    clock.advance(SignedDuration::from_secs(60));
    assert_eq!(answer(&door, shopify("order-pix-pending")).await.0, 200);
    for _ in 0..3 {
        let wrong = signed(
            "shopify",
            "shopify",
            "wrong",
            fixture("shopify", "order-pix-pending"),
        );
        assert_eq!(answer(&door, wrong).await.0, 401);
    }
    assert_eq!(
        manager.asked.load(Ordering::SeqCst),
        2,
        "at most once a minute"
    );
}

#[tokio::test]
async fn secrets_that_were_never_read_are_503_and_a_secret_set_later_is_found() {
    let (store, clock) = testkit::store().await;
    let manager = manager(None).await;
    let door = Door::new(sources::ALL, store, manager.provider.clone());
    door.warm().await;
    assert_eq!(answer(&door, shopify("order-pix-pending")).await.0, 503);
    *manager.says.lock().unwrap() = Some("{}".to_owned());
    assert_eq!(answer(&door, shopify("order-pix-pending")).await.0, 404);
    *manager.says.lock().unwrap() = Some(json!({"shopify": SHOPIFY}).to_string());
    clock.advance(SignedDuration::from_secs(5));
    assert_eq!(answer(&door, shopify("order-pix-pending")).await.0, 200);
}

/// A provider that repeats what got a 4xx, to hold the door to its other answers.
struct Strict;

impl Source for Strict {
    fn kind(&self) -> &'static str {
        "strict"
    }
    fn function(&self) -> &'static str {
        "orders"
    }
    fn events(&self) -> &'static [shared::event::Name] {
        &[]
    }
    fn phone_paths(&self) -> &'static [&'static str] {
        &[]
    }
    fn phone_prefixes(&self) -> &'static [&'static str] {
        &[]
    }
    fn proven_by(&self) -> &'static str {
        "as Shopify's"
    }
    fn handshake(&self, raw: &shared::raw::Raw) -> Option<Answer> {
        (raw.method == "HEAD").then(|| Answer {
            status: 204,
            body: String::new(),
        })
    }
    fn verify<'a>(
        &self,
        raw: &'a shared::raw::Raw,
        proofs: &Proofs<'_>,
        now: jiff::Timestamp,
    ) -> Result<Verified<'a>, Refusal> {
        sources::by_kind("shopify")
            .unwrap()
            .verify(raw, proofs, now)
    }
    fn read(
        &self,
        verified: &Verified<'_>,
        connection: &Connection,
        now: jiff::Timestamp,
    ) -> Result<Reading, Unreadable> {
        match sources::by_kind("shopify")
            .unwrap()
            .read(verified, connection, now)?
        {
            Reading::Events(events) => {
                let many = if events.len() > 1 { EVENTS_MAX + 1 } else { 1 };
                let event = |index: usize| -> Event {
                    let mut event = events[0].clone();
                    event.event.id = format!("strict/{index}");
                    event
                };
                Ok(Reading::Events((0..many).map(event).collect()))
            }
            nothing => Ok(nothing),
        }
    }
    fn on_unreadable(&self) -> OnUnreadable {
        OnUnreadable::BadRequest
    }
    fn sign(&self, unsigned: &Unsigned<'_>) -> Vec<(String, String)> {
        sources::by_kind("shopify").unwrap().sign(unsigned)
    }
}

#[tokio::test]
async fn a_source_may_ask_for_400_and_answer_head() {
    let (store, _) = testkit::store().await;
    let mut secrets = Secrets::default();
    secrets.insert("strict", Secret::new(SHOPIFY));
    let door = Door::new(&[&Strict], store.clone(), SecretsProvider::Fixed(secrets));
    let signed = |name: &str| signed("shopify", "strict", SHOPIFY, fixture("shopify", name));
    let (status, body) = answer(&door, signed("order-items-are-a-text")).await;
    assert_eq!(
        (status, &body["problem"]),
        (400, &json!("line_items: expected a list"))
    );
    assert_eq!(
        answer(&door, request("HEAD", "/orders/strict", &[], Vec::new()))
            .await
            .0,
        204
    );
    assert_eq!(
        answer(&door, signed("order-presentment-edited")).await.0,
        400,
        "more events than a body may make"
    );
    assert_eq!(
        store.event("strict/0").await.unwrap(),
        None,
        "all or nothing"
    );
}

#[tokio::test]
async fn an_event_too_large_even_without_its_free_maps_is_a_record() {
    let (door, store, _) = door().await;
    let mut order: Value =
        serde_json::from_slice(&fixture("shopify", "order-sixty-items")).unwrap();
    // Texts that do not compress: fifty titles of two thousand random-looking characters.
    let mut state: u64 = 88_172_645_463_325_252;
    let mut noise = || {
        let letter = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(b'!' + u8::try_from(state % 26).unwrap() + 32)
        };
        (0..2_000).map(letter).collect::<String>()
    };
    for line in order["line_items"].as_array_mut().unwrap() {
        line["title"] = json!(noise());
    }
    let request = signed(
        "shopify",
        "shopify",
        SHOPIFY,
        order.to_string().into_bytes(),
    );
    let (status, body) = answer(&door, request).await;
    assert_eq!((status, &body["status"]), (200, &json!("unreadable")));
    assert_eq!(
        store
            .event(body["event"].as_str().unwrap())
            .await
            .unwrap()
            .unwrap()
            .status,
        EventStatus::Unreadable
    );
}

/// No body, path, method or header set makes a panic or a 5xx.
#[test]
fn no_request_makes_a_5xx() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (door, _, _) = runtime.block_on(door());
    let config = ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let header = (
        "(x-shopify-topic|x-shopify-hmac-sha256|x-wc-webhook-signature|content-type|[a-z-]{1,12})",
        "[ -~]{0,40}",
    );
    let bodies = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        "\\PC{0,100}".prop_map(String::into_bytes),
        Just(fixture("shopify", "order-pix-pending")),
        Just(fixture("woocommerce", "processing-pix")),
        "webhook_id=[0-9a]{0,25}".prop_map(String::into_bytes),
    ];
    let strategy = (
        "(GET|POST|HEAD|PUT|[A-Z]{1,8})",
        "/orders/(shopify|woocommerce|loja-it|[a-zA-Z0-9_.-]{0,45})",
        prop::collection::vec(header, 0..5),
        bodies,
        any::<bool>(),
    );
    TestRunner::new(config)
        .run(&strategy, |(method, path, headers, body, is_signed)| {
            let mut headers = headers;
            if is_signed {
                for (kind, secret) in [("shopify", SHOPIFY), ("woocommerce", WOO)] {
                    headers
                        .retain(|(name, _)| !name.contains("signature") && !name.contains("hmac"));
                    let now = testkit::START.parse().unwrap();
                    headers.extend(sign(kind, secret, &body, now));
                }
            }
            let mut builder = http::Request::builder().method(method.as_str()).uri(&path);
            for (name, value) in headers {
                builder = builder.header(name, value);
            }
            // What `http` itself refuses never reaches a function.
            let Ok(request) = builder.body(Body::Binary(body)) else {
                return Ok(());
            };
            let response = runtime.block_on(door.handle(request));
            prop_assert!(response.status().as_u16() < 500, "{}", response.status());
            Ok(())
        })
        .unwrap();
}
