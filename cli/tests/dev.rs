//! The development server, end to end: a signed webhook becomes the message that the automations ask for.

#![recursion_limit = "256"]

mod support;

use serde_json::{Value, json};
use support::{Http, PHONE, noon, order, start};

#[tokio::test]
async fn a_signed_order_becomes_the_message_and_once() {
    let dev = start(None).await;
    dev.set_clock(noon());
    let http = Http::of(&dev);
    let body = order(1001, noon());
    assert_eq!(http.shopify("orders/paid", &body).await, 200);
    assert_eq!(http.shopify("orders/paid", &body).await, 200);
    http.idle().await;
    let messages = http.list("/_dev/messages").await;
    assert_eq!(messages.len(), 1, "{:#}", http.get("/_dev/jobs").await);
    let text = messages[0]["text"].as_str().unwrap();
    assert!(text.contains("Maria") && text.contains("#1001"), "{text}");
    assert!(
        text.contains("R$\u{a0}129,90") && text.contains("2× Camiseta"),
        "{text}"
    );
    assert_eq!(messages[0]["body"]["to"], PHONE);
    assert_eq!(messages[0]["body"]["optin_contact"], true);
    let jobs = http.list("/_dev/jobs").await;
    let sent: Vec<&Value> = jobs.iter().filter(|job| job["status"] == "sent").collect();
    assert_eq!(sent.len(), 1);
    let job = sent[0];
    assert_eq!(job["automation"], "order-confirmed");
    assert_eq!(job["action"], "message.order-confirmed");
    assert_eq!(job["message_uuid"], messages[0]["uuid"]);
    assert_eq!(messages[0]["body"]["metadata"]["job"], job["id"]);
    for field in [
        "id", "key", "event", "reason", "attempts", "due_at", "delivery",
    ] {
        assert!(job.get(field).is_some(), "{field}");
    }
}

#[tokio::test]
async fn what_is_not_signed_makes_nothing() {
    let dev = start(None).await;
    let client = reqwest::Client::new();
    let url = format!("{}/orders/shopify", dev.url());
    let refused = client
        .post(&url)
        .json(&order(1, noon()))
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 401);
    let unknown = client
        .post(format!("{}/orders/nowhere", dev.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(unknown.status(), 404);
    let http = Http::of(&dev);
    http.idle().await;
    assert!(http.list("/_dev/events?all=1").await.is_empty());
}

#[tokio::test]
async fn an_event_that_matches_nothing_says_why() {
    let dev = start(None).await;
    dev.set_clock(noon());
    let http = Http::of(&dev);
    let mut body = order(1002, noon());
    body["financial_status"] = json!("authorized");
    assert_eq!(http.shopify("orders/create", &body).await, 200);
    http.idle().await;
    let events = http.list("/_dev/events").await;
    assert!(!events.is_empty());
    let created = events
        .iter()
        .find(|event| event["name"] == "order.created")
        .unwrap();
    let lines = created["automations"].as_array().unwrap();
    let pix = lines
        .iter()
        .find(|line| line["automation"] == "pix-reminder")
        .unwrap();
    assert!(pix["why"].as_str().unwrap().contains("when"), "{pix}");
    assert!(http.list("/_dev/messages").await.is_empty());
}

#[tokio::test]
async fn a_reminder_goes_out_when_the_clock_has_passed_it() {
    let dev = start(None).await;
    dev.set_clock(noon());
    let http = Http::of(&dev);
    let mut body = order(1003, noon());
    body["financial_status"] = json!("pending");
    assert_eq!(http.shopify("orders/create", &body).await, 200);
    http.idle().await;
    assert!(
        http.list("/_dev/messages").await.is_empty(),
        "it is due in half an hour"
    );
    let (status, _) = http.post("/_dev/clock", json!({ "advance": "25h" })).await;
    assert_eq!(status, 200);
    http.idle().await;
    let messages = http.list("/_dev/messages").await;
    assert_eq!(messages.len(), 1, "{:#}", http.get("/_dev/jobs").await);
    let at: jiff::Timestamp = messages[0]["at"].as_str().unwrap().parse().unwrap();
    let late = at.duration_since(noon()).as_secs();
    assert!(
        (1_800..2_400).contains(&late),
        "at its own time, not when the clock had arrived: {late}"
    );
}

#[tokio::test]
async fn a_payment_stops_the_reminder() {
    let dev = start(None).await;
    dev.set_clock(noon());
    let http = Http::of(&dev);
    let mut pending = order(1004, noon());
    pending["financial_status"] = json!("pending");
    http.shopify("orders/create", &pending).await;
    http.idle().await;
    http.post("/_dev/clock", json!({ "advance": "10m" })).await;
    let mut paid = order(1004, noon());
    paid["updated_at"] = json!(dev.clock().now().to_string());
    paid["processed_at"] = paid["updated_at"].clone();
    http.shopify("orders/paid", &paid).await;
    http.idle().await;
    http.post("/_dev/clock", json!({ "advance": "2h" })).await;
    let jobs = http.list("/_dev/jobs").await;
    let of = |name: &str| jobs.iter().find(|job| job["automation"] == name).unwrap();
    assert_eq!(of("pix-reminder")["status"], "cancelled", "{jobs:#?}");
    assert_eq!(of("order-confirmed")["status"], "sent", "{jobs:#?}");
    assert_eq!(http.list("/_dev/messages").await.len(), 1);
}

#[tokio::test]
async fn faults_never_double_and_never_lose() {
    for (fault, attempts) in [
        (json!({ "kind": "status", "status": 503, "times": 2 }), 3),
        (json!({ "kind": "status", "status": 429, "times": 2 }), 1),
        (json!({ "kind": "drop_after_accept" }), 1),
        (json!({ "kind": "accept_then_status", "status": 502 }), 1),
        (json!({ "kind": "out_of_credit", "times": 2 }), 1),
    ] {
        let dev = start(None).await;
        dev.set_clock(noon());
        let http = Http::of(&dev);
        http.post("/_dev/faults", json!({ "callbell": [fault] }))
            .await;
        assert_eq!(
            http.shopify("orders/paid", &order(1005, noon())).await,
            200,
            "{fault}"
        );
        http.idle().await;
        http.post("/_dev/clock", json!({ "advance": "3h" })).await;
        http.idle().await;
        let messages = http.list("/_dev/messages").await;
        let jobs = http.list("/_dev/jobs").await;
        let job = jobs
            .iter()
            .find(|job| job["automation"] == "order-confirmed")
            .unwrap();
        assert_eq!(messages.len(), 1, "{fault}: {jobs:#?}");
        assert_eq!(job["status"], "sent", "{fault}: {job:#}");
        assert_eq!(job["message_uuid"], messages[0]["uuid"], "{fault}");
        assert!(
            job["attempts"].as_i64().unwrap() <= attempts,
            "{fault}: {job:#}"
        );
    }
}

#[tokio::test]
async fn an_open_window_is_ours_and_the_stand_ins() {
    let dev = start(None).await;
    let http = Http::of(&dev);
    let (status, answer) = http
        .post(
            "/_dev/window",
            json!({ "phone": "+55 11 98765-4321", "open": true }),
        )
        .await;
    assert_eq!((status, answer["open"].as_bool()), (200, Some(true)));
    assert_eq!(
        http.post("/_dev/window", json!({ "phone": "12", "open": true }))
            .await
            .0,
        400
    );
    assert_eq!(
        http.post("/_dev/clock", json!({ "advance": "-1h" }))
            .await
            .0,
        400
    );
    assert_eq!(
        http.post("/_dev/clock", json!({ "advance": "soon" }))
            .await
            .0,
        400
    );
    let info = http.get("/_dev/info").await;
    assert!(
        info["dynamodb"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
}

#[tokio::test]
async fn a_changed_file_is_pushed_and_a_wrong_one_leaves_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(support::example()).unwrap();
    let file = folder.path().join("automations.toml");
    std::fs::write(&file, &text).unwrap();
    let (sender, mut said) = tokio::sync::mpsc::unbounded_channel();
    let settings = cli::dev::Settings {
        automations: Some(file.clone()),
        ..Default::default()
    };
    let notice = std::sync::Arc::new(move |line: &str| drop(sender.send(line.to_owned())));
    let dev = cli::dev::Dev::start(&settings, notice).await.unwrap();
    dev.set_clock(noon());
    assert!(said.recv().await.unwrap().ends_with("version 1"));
    std::fs::write(&file, text.replace("order.number", "order.numbr")).unwrap();
    let listed = said.recv().await.unwrap();
    assert!(
        listed.contains("did you mean order.number?") && listed.contains("not pushed"),
        "{listed}"
    );
    let http = Http::of(&dev);
    http.shopify("orders/paid", &order(1, noon())).await;
    http.idle().await;
    assert_eq!(
        http.list("/_dev/messages").await.len(),
        1,
        "the last good file is in use"
    );
    let off = text.replace(
        "once    = \"order\"",
        "once    = \"order\"\nenabled = false",
    );
    assert_ne!(off, text);
    std::fs::write(&file, off).unwrap();
    assert!(said.recv().await.unwrap().ends_with("version 2"));
    http.shopify("orders/paid", &order(2, noon())).await;
    http.idle().await;
    assert_eq!(
        http.list("/_dev/messages").await.len(),
        1,
        "the new file is in use at once"
    );
}

#[tokio::test]
async fn events_wait_for_the_first_push() {
    let settings = cli::dev::Settings::default();
    let dev = cli::dev::Dev::start(&settings, std::sync::Arc::new(|_: &str| ()))
        .await
        .unwrap();
    dev.set_clock(noon());
    let http = Http::of(&dev);
    assert_eq!(http.shopify("orders/paid", &order(1, noon())).await, 200);
    http.idle().await;
    let events = http.list("/_dev/events").await;
    assert!(
        events.iter().all(|event| event["status"] == "new"),
        "{events:#?}"
    );
    let text = std::fs::read_to_string(support::example()).unwrap();
    let connections = shared::connections::Connections::default();
    dev.store()
        .push_config(&text, "[]", &connections)
        .await
        .unwrap();
    http.post("/_dev/reload", json!({})).await;
    http.post("/_dev/clock", json!({ "advance": "5m" })).await;
    http.idle().await;
    assert_eq!(http.list("/_dev/messages").await.len(), 1);
}
