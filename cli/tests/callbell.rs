//! Callbell's own webhook in the development server: what was sent comes back signed, a person writes, a
//! webhook gets lost.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![recursion_limit = "256"]

mod support;

use cli::dev::Dev;
use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::secrets::Secret;
use shared::sources::callbell::SUBSCRIPTIONS;
use shared::store::{EventFilter, EventRow};
use support::{Http, PHONE, noon, order, start};

async fn events(dev: &Dev, name: &str) -> Vec<EventRow> {
    let (mut rows, _) = dev
        .store()
        .list_events(&EventFilter::default(), None)
        .await
        .unwrap();
    rows.retain(|row| row.name.is_some_and(|known| known.as_str() == name));
    rows
}

async fn names(dev: &Dev) -> Vec<&'static str> {
    let (rows, _) = dev
        .store()
        .list_events(&EventFilter::default(), None)
        .await
        .unwrap();
    let mut names: Vec<_> = rows
        .iter()
        .filter_map(|row| row.name.map(|name| name.as_str()))
        .collect();
    names.sort_unstable();
    names
}

/// The account's log of deliveries, as the API shows it.
async fn log(http: &Http, query: &str) -> Vec<Value> {
    let answer = http
        .client
        .get(format!(
            "{}/_callbell/v1/webhooks/events?{query}",
            http.base
        ))
        .bearer_auth("demo-callbell-token")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.unwrap();
    answer["webhook_events"].as_array().unwrap().clone()
}

async fn fault(http: &Http, fault: Value) {
    let faults = json!({ "callbell": [fault] });
    let (status, answer) = http.post("/_dev/faults", faults).await;
    assert_eq!(status, 200, "{answer}");
}

async fn one_order_sent(http: &Http, id: u64) {
    assert_eq!(http.shopify("orders/paid", &order(id, noon())).await, 200);
    http.idle().await;
}

#[tokio::test]
async fn what_was_sent_comes_back_and_is_delivered_a_second_later() {
    let dev = start(None).await;
    dev.set_clock(noon());
    let http = Http::of(&dev);
    one_order_sent(&http, 1001).await;
    let job = http.list("/_dev/messages").await[0]["body"]["metadata"]["job"].clone();
    let echo = events(&dev, "message.echo").await.remove(0).event.unwrap();
    assert_eq!(serde_json::to_value(&echo).unwrap()["job"]["id"], job);
    assert_eq!(echo.contact().unwrap().phone.as_deref(), Some(PHONE));
    assert_eq!(events(&dev, "message.status").await.len(), 1, "sent");
    dev.advance(SignedDuration::from_secs(2)).await.unwrap();
    http.idle().await;
    assert_eq!(events(&dev, "message.delivered").await.len(), 1);
    let of_messages = "subscriptions=message_created,message_status_updated";
    let delivered = log(&http, &format!("status=success&{of_messages}")).await;
    let told: Vec<&Value> = delivered
        .iter()
        .map(|one| &one["payload"]["status"])
        .collect();
    assert_eq!(told, ["delivered", "sent", "sent"], "newest first");
    assert_eq!(delivered[0]["response"]["body"], json!({ "status": "ok" }));
    assert_eq!(log(&http, "status=failed").await, Vec::<Value>::new());
    let created = log(&http, "subscriptions=message_created,contact_created").await;
    assert!(created.iter().any(|one| one["event"] == "message_created"));
    assert_eq!(log(&http, "items=1&page=2").await.len(), 1);
}

#[tokio::test]
async fn a_message_may_fail_and_a_number_be_corrected() {
    let dev = start(None).await;
    dev.set_clock(noon());
    let http = Http::of(&dev);
    fault(
        &http,
        json!({ "kind": "message_fails", "reason": "no such number" }),
    )
    .await;
    one_order_sent(&http, 1001).await;
    dev.advance(SignedDuration::from_secs(2)).await.unwrap();
    let failed = events(&dev, "message.failed")
        .await
        .remove(0)
        .event
        .unwrap();
    let failed = serde_json::to_value(&failed).unwrap();
    assert_eq!(failed["message"]["reason"], "no such number");
    assert!(events(&dev, "message.delivered").await.is_empty());

    fault(
        &http,
        json!({ "kind": "mismatch", "phone": "551187654321" }),
    )
    .await;
    one_order_sent(&http, 1002).await;
    dev.advance(SignedDuration::from_secs(2)).await.unwrap();
    let statuses = events(&dev, "message.status").await;
    let corrected = statuses.iter().filter_map(|row| {
        let event = serde_json::to_value(row.event.as_ref().unwrap()).unwrap();
        event["message"]["corrected_phone"]
            .as_str()
            .map(str::to_owned)
    });
    assert_eq!(corrected.collect::<Vec<_>>(), ["+551187654321"]);
    assert_eq!(events(&dev, "message.delivered").await.len(), 1);
}

#[tokio::test]
async fn a_person_writes_and_their_window_opens() {
    let dev = start(None).await;
    dev.set_clock(noon());
    let http = Http::of(&dev);
    let written = json!({ "phone": PHONE, "text": "Oi", "name": "Maria Silva" });
    let (status, answer) = http.post("/_dev/receive", written.clone()).await;
    assert_eq!(status, 200, "{answer}");
    let event = events(&dev, "message.received")
        .await
        .remove(0)
        .event
        .unwrap();
    assert_eq!(event.customer.name.as_deref(), Some("Maria Silva"));
    let event = serde_json::to_value(&event).unwrap();
    assert_eq!(event["message"]["text"], "Oi");
    assert_eq!(event["contact"]["id"], answer["contact"]["uuid"]);

    // The same words a second later are another message; another person may have no number.
    dev.advance(SignedDuration::from_secs(1)).await.unwrap();
    http.post("/_dev/receive", written).await;
    let hidden = json!({ "bsuid": "BR.1", "text": "Sim", "button": "visit-yes" });
    assert_eq!(http.post("/_dev/receive", hidden).await.0, 200);
    let received = events(&dev, "message.received").await;
    assert_eq!(received.len(), 3);
    let tapped = received.iter().find_map(|row| {
        let event = serde_json::to_value(row.event.as_ref().unwrap()).unwrap();
        (event["customer"]["bsuid"] == "BR.1").then(|| event["message"].clone())
    });
    let tapped = tapped.unwrap();
    assert_eq!(
        (&tapped["kind"], &tapped["button"]),
        (&json!("button"), &json!("visit-yes"))
    );
    for wrong in [
        json!({}),
        json!({ "text": "Oi" }),
        json!({ "phone": "1" }),
        json!({ "phone": PHONE, "x": 1 }),
    ] {
        assert_eq!(
            http.post("/_dev/receive", wrong.clone()).await.0,
            400,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn what_is_not_answered_with_200_is_tried_again_and_the_webhook_disabled_in_the_end() {
    let dev = start(None).await;
    dev.set_clock(noon());
    let http = Http::of(&dev);
    let url = dev.stand_in().webhook().unwrap().0;
    let wrong = Some(Secret::new("whsec_another"));
    dev.stand_in().sign_webhooks(wrong.clone());
    let write = json!({ "phone": PHONE, "text": "Oi" });
    http.post("/_dev/receive", write.clone()).await;
    let failed = log(&http, "status=failed").await;
    assert_eq!(failed.len(), 2, "a person, and what they wrote");
    assert_eq!(failed[0]["response"]["code"], 401);
    // Mended before the next attempt, a minute later.
    let signing = shared::sources::demo::secret("callbell");
    dev.stand_in().sign_webhooks(Some(signing));
    dev.advance(SignedDuration::from_mins(2)).await.unwrap();
    assert_eq!(log(&http, "status=failed").await, Vec::<Value>::new());
    assert_eq!(events(&dev, "message.received").await.len(), 1);

    dev.stand_in().sign_webhooks(wrong);
    for _ in 0..7 {
        assert!(dev.stand_in().webhook().unwrap().1);
        http.post("/_dev/receive", write.clone()).await;
        dev.advance(SignedDuration::from_hours(1)).await.unwrap();
    }
    assert_eq!(dev.stand_in().webhook(), Some((url, false)));
    // None came through the door; `renew` found each in the log, and once.
    assert_eq!(events(&dev, "message.received").await.len(), 8);
}

#[tokio::test]
async fn a_webhook_that_got_lost_is_in_the_log() {
    let dev = start(None).await;
    dev.set_clock(noon());
    let http = Http::of(&dev);
    fault(
        &http,
        json!({ "kind": "webhook_lost", "event": "message_created" }),
    )
    .await;
    http.post("/_dev/receive", json!({ "phone": PHONE, "text": "Oi" }))
        .await;
    assert!(!names(&dev).await.contains(&"message.received"));
    let failed = log(&http, "status=failed").await;
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["payload"]["text"], "Oi");
    assert_eq!(failed[0]["success"], false);
}

#[tokio::test]
async fn an_account_has_one_webhook() {
    let dev = start(None).await;
    let http = Http::of(&dev);
    let subscribe = async |body: Value| {
        let request = http
            .client
            .post(format!("{}/_callbell/v1/webhooks/subscribe", http.base))
            .bearer_auth("demo-callbell-token");
        let answer = request.json(&body).send().await.unwrap();
        (
            answer.status().as_u16(),
            answer.json::<Value>().await.unwrap(),
        )
    };
    let own = dev.stand_in().webhook().unwrap().0;
    assert!(
        own.starts_with(&dev.url()) && own.contains("/callbell/"),
        "{own}"
    );
    let url = "https://hooks.example.com/zap";
    let (status, answer) = subscribe(json!({ "url": url, "subscriptions": SUBSCRIPTIONS })).await;
    assert_eq!((status, &answer["webhook"]["enabled"]), (200, &json!(true)));
    assert_eq!(dev.stand_in().webhook(), Some((url.to_owned(), true)));
    // What goes to another machine is not posted.
    http.post("/_dev/receive", json!({ "phone": PHONE, "text": "Oi" }))
        .await;
    assert!(events(&dev, "message.received").await.is_empty());
    for wrong in [
        json!({}),
        json!({ "url": url }),
        json!({ "url": "ftp://a", "subscriptions": ["message_created"] }),
    ] {
        assert_eq!(subscribe(wrong.clone()).await.0, 422, "{wrong}");
    }
}

/// `renew` looks once an hour; what failed before it looked first is somebody else's.
#[tokio::test]
async fn what_got_lost_is_found_within_the_hour_and_once() {
    let dev = start(None).await;
    dev.set_clock(noon());
    let http = Http::of(&dev);
    let hour = SignedDuration::from_hours(1);
    let lose = json!({ "kind": "webhook_lost", "times": 3 });
    fault(&http, lose.clone()).await;
    let write = json!({ "phone": PHONE, "text": "Oi" });
    http.post("/_dev/receive", write.clone()).await;
    fault(&http, json!({ "kind": "webhook_lost", "times": 0 })).await;
    dev.advance(hour).await.unwrap();
    assert!(dev.store().missed().await.unwrap().is_some());

    fault(
        &http,
        json!({ "kind": "webhook_lost", "event": "message_created" }),
    )
    .await;
    http.post("/_dev/receive", write.clone()).await;
    dev.advance(SignedDuration::from_secs(1)).await.unwrap();
    http.post("/_dev/receive", write).await;
    assert_eq!(events(&dev, "message.received").await.len(), 1);
    for _ in 0..3 {
        dev.advance(hour).await.unwrap();
        assert_eq!(events(&dev, "message.received").await.len(), 2);
    }
    let row = dev.store().missed().await.unwrap().unwrap();
    assert_eq!(row.failing, None);
}

#[tokio::test]
async fn a_webhook_that_is_not_delivered_is_noticed() {
    let dev = start(None).await;
    dev.set_clock(noon());
    let http = Http::of(&dev);
    let hour = SignedDuration::from_hours(1);
    dev.advance(hour).await.unwrap();
    let failing = async || {
        let row = dev.store().missed().await.unwrap().unwrap();
        row.failing.map(|(_, why)| why)
    };
    let wrong = Some(Secret::new("whsec_another"));
    dev.stand_in().sign_webhooks(wrong);
    for text in ["Oi", "Tem M?", "Alô?"] {
        http.post("/_dev/receive", json!({ "phone": PHONE, "text": text }))
            .await;
    }
    dev.advance(hour + hour).await.unwrap();
    let why = failing().await;
    assert_eq!(why.as_deref(), Some("nothing was delivered for an hour"));
    // What people wrote is known all the same, and the webhook is mended.
    assert_eq!(events(&dev, "message.received").await.len(), 3);
    let signing = shared::sources::demo::secret("callbell");
    dev.stand_in().sign_webhooks(Some(signing));
    http.post("/_dev/receive", json!({ "phone": PHONE, "text": "Ok" }))
        .await;
    dev.advance(hour).await.unwrap();
    assert_eq!(failing().await, None);

    // Somebody else's webhook takes the place of ours: what is delivered there does not come here.
    let (listener, url) = elsewhere().await;
    dev.stand_in().subscribe(&url, &SUBSCRIPTIONS, None);
    http.post("/_dev/receive", json!({ "phone": PHONE, "text": "Hello?" }))
        .await;
    dev.advance(SignedDuration::from_mins(90)).await.unwrap();
    drop(listener);
    let why = failing().await;
    assert_eq!(why, None, "the newest that came here is not forgotten yet");
    dev.advance(SignedDuration::from_hours(25)).await.unwrap();
    http.post("/_dev/receive", json!({ "phone": PHONE, "text": "??" }))
        .await;
    dev.advance(SignedDuration::from_mins(90)).await.unwrap();
    let why = failing().await;
    assert_eq!(why.as_deref(), Some("what is delivered does not come here"));
}

/// Somebody who answers 200 to everything.
async fn elsewhere() -> (tokio::task::JoinHandle<()>, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let app = axum::Router::new().fallback(async || "{}");
    let served = tokio::spawn(async move {
        let _ = axum::serve(listener, app).await;
    });
    (served, url)
}
