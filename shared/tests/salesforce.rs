//! What Salesforce is answered by the door: it counts nothing but its own acknowledgement as delivered, and an
//! answer that is none makes it send the message again for 24 hours.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::Path;

use lambda_http::{Body, Request, Response};
use shared::door::Door;
use shared::secrets::{Secret, Secrets, SecretsProvider};
use shared::sources;
use shared::store::{EventFilter, EventStatus, Store};

const SECRET: &str = "k3y";
const ACK: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"><soapenv:Body><notificationsResponse xmlns=\"http://soap.sforce.com/2005/09/outbound\"><Ack>true</Ack></notificationsResponse></soapenv:Body></soapenv:Envelope>";

async fn door(values: &[&str]) -> (Door, Store) {
    let (store, _) = testkit::store().await;
    let mut secrets = Secrets::default();
    for value in values {
        secrets.insert("salesforce", Secret::new(*value));
    }
    let provider = SecretsProvider::Fixed(secrets);
    let door = Door::new(sources::ALL, store.clone(), provider);
    door.warm().await;
    (door, store)
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/salesforce");
    std::fs::read(folder.join(name)).unwrap()
}

fn request(kind: &str, query: &str, body: Vec<u8>) -> Request {
    http::Request::builder()
        .method("POST")
        .uri(format!("/leads/salesforce{query}"))
        .header("content-type", kind)
        .header("soapaction", "\"\"")
        .body(Body::Binary(body))
        .unwrap()
}

/// Status, type and body.
fn told(response: &Response<Body>) -> (u16, &str, &str) {
    let kind = response.headers().get("content-type").unwrap();
    let body = std::str::from_utf8(response.body()).unwrap();
    (response.status().as_u16(), kind.to_str().unwrap(), body)
}

const XML: &str = "text/xml; charset=utf-8";
const KEY: &str = "?key=k3y";

#[tokio::test]
async fn whatever_a_message_says_its_acknowledgement_is_the_same() {
    let (door, store) = door(&[SECRET]).await;
    for (name, rows) in [
        ("contact-created.xml", 1),
        // Again: nothing new.
        ("contact-created.xml", 1),
        ("several-of-which-two-were-deleted.xml", 3),
        // Nothing of ours, nothing at all, and what cannot be read: that is kept as a record.
        ("account.xml", 3),
        ("deleted-meanwhile.xml", 3),
        ("no-notifications.xml", 3),
        ("malformed.xml", 4),
        ("document-type.xml", 5),
        ("no-id.xml", 6),
    ] {
        let answer = door.handle(request(XML, KEY, fixture(name))).await;
        assert_eq!(told(&answer), (200, "text/xml", ACK), "{name}");
        let (events, _) = store
            .list_events(&EventFilter::default(), None)
            .await
            .unwrap();
        assert_eq!(events.len(), rows, "{name}");
    }
    let (events, _) = store
        .list_events(&EventFilter::default(), None)
        .await
        .unwrap();
    let is_record = |status| status == EventStatus::Unreadable;
    let records = events.iter().filter(|event| is_record(event.status));
    assert_eq!(records.count(), 3);
}

#[tokio::test]
async fn json_is_answered_as_json_and_a_refusal_is_no_acknowledgement() {
    let own = "org:00DHp0000001abcMAA";
    let (door, store) = door(&[own, SECRET]).await;
    let json = request(
        "application/json",
        KEY,
        fixture("json-contact-created.json"),
    );
    let answer = door.handle(json).await;
    let (status, kind, body) = told(&answer);
    assert_eq!((status, kind), (200, "application/json"));
    assert!(body.contains("\"accepted\""), "{body}");
    let other = String::from_utf8(fixture("contact-created.xml")).unwrap();
    let other = other.replace("00DHp0000001abcMAA", "00D0000000009zzAAA");
    for (query, body, reason) in [
        (
            "",
            fixture("contact-created.xml"),
            "no ?key= in the address",
        ),
        (
            "?key=other",
            fixture("contact-created.xml"),
            "matches none of 1 secret(s)",
        ),
        (KEY, other.into_bytes(), "comes from none of 1 account(s)"),
    ] {
        let answer = door.handle(request(XML, query, body)).await;
        let (status, kind, body) = told(&answer);
        assert_eq!((status, kind), (401, "application/json"));
        assert!(body.contains(reason), "{body}");
    }
    let (events, _) = store
        .list_events(&EventFilter::default(), None)
        .await
        .unwrap();
    assert_eq!(events.len(), 1);
}
