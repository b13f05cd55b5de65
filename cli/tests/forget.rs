//! `callbell forget`, on a development server and on a stack.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![recursion_limit = "256"]

mod aws;
mod support;

use aws::Cloud;
use cli::dev::Dev;
use serde_json::{Value, json};
use shared::store::{Digests, Erasure, OptMark, PersonId};
use support::{Http, PHONE, minutes, noon, order, start};

fn of_maria() -> Erasure {
    Erasure {
        digests: Digests::new().phone(PHONE),
        entities: Vec::new(),
    }
}

fn local(dev: &Dev) -> String {
    format!("--local={}", dev.url().rsplit(':').next().unwrap())
}

/// A server where Maria ordered, and Ana.
async fn ordered() -> (Dev, Http) {
    let dev = start(None).await;
    dev.set_clock(noon());
    let http = Http::of(&dev);
    http.shopify("orders/paid", &order(1001, noon())).await;
    let mut other = order(1002, noon());
    other["email"] = json!("ana@example.com");
    other["customer"] = json!({"id": 8, "first_name": "Ana", "email": "ana@example.com"});
    other["shipping_address"]["phone"] = json!("(11) 91234-5678");
    http.shopify("orders/paid", &other).await;
    http.idle().await;
    // Callbell tells of a message a moment later.
    dev.advance(minutes(1)).await.unwrap();
    http.idle().await;
    (dev, http)
}

#[tokio::test]
async fn a_person_is_forgotten_with_a_line_for_the_file_and_nobody_else() {
    let (dev, _) = ordered().await;
    let cloud = Cloud::start(&dev).await;
    let folder = tempfile::tempdir().unwrap();
    let store = dev.store();
    let maria = PersonId::phone(PHONE);
    let out = OptMark {
        at: dev.clock().now(),
        event: "callbell/message/1/received".to_owned(),
        out: true,
    };
    store
        .record_opt(&maria, &out, &Digests::new())
        .await
        .unwrap();
    let before = store.erasable(&of_maria()).await.unwrap();
    assert!(before["event"] >= 2 && before["job"] >= 1, "{before:?}");

    // Nobody is here to answer, so nothing is done, and what there is was shown.
    let local = local(&dev);
    let ran = cloud
        .callbell(folder.path(), &["forget", PHONE, &local])
        .await;
    assert_eq!(ran.code, 1);
    assert!(ran.out.starts_with("+55•••••••4321: "), "{}", ran.out);
    assert!(
        ran.out.contains("job") && ran.err.contains("--yes"),
        "{}",
        ran.err
    );
    assert_eq!(store.erasable(&of_maria()).await.unwrap(), before);

    // In another spelling of the number.
    let spelled = "+55 (11) 8765-4321";
    let ran = cloud
        .callbell(folder.path(), &["forget", spelled, "--yes", &local])
        .await;
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let rows: u64 = before.values().sum();
    assert!(
        ran.out.contains(&format!("/redact: {rows} rows erased")),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains("Callbell keeps its own contact"),
        "{}",
        ran.out
    );
    for secret in ["98765", "maria@example.com", "Maria"] {
        assert!(!ran.out.contains(secret), "{}", ran.out);
    }
    assert_eq!(
        store.erasable(&of_maria()).await.unwrap(),
        std::collections::BTreeMap::default()
    );
    // The opt-out stays; the request itself does not hold the number.
    let row = store.persons(&[maria]).await.unwrap().remove(0);
    assert!(row.opted_out_at.is_some());
    let http = Http::of(&dev);
    let events = http.list("/_dev/events?all=1").await;
    let request = events
        .iter()
        .find(|event| event["name"] == "privacy.redact_customer");
    let key = request.unwrap()["id"].as_str().unwrap();
    let row = store.event(key).await.unwrap().unwrap();
    assert!(row.event.unwrap().customer.phones.is_empty());
    // Ana has everything.
    let ana = Erasure {
        digests: Digests::new().phone("+5511912345678"),
        entities: Vec::new(),
    };
    assert!(store.erasable(&ana).await.unwrap()["event"] >= 1);
}

#[tokio::test]
async fn a_person_is_forgotten_by_the_address_on_a_stack() {
    let (dev, _) = ordered().await;
    let cloud = Cloud::start(&dev).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("samconfig.toml"),
        "[default.global.parameters]\nstack_name = \"shop\"\n",
    )
    .unwrap();
    let args = ["forget", "--email", "Maria@example.com", "--yes", "--json"];
    let ran = cloud.callbell(folder.path(), &args).await;
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert!(told["erased"].as_u64().unwrap() >= 1, "{told}");
    let left = Erasure {
        digests: Digests::new().email("maria@example.com"),
        entities: Vec::new(),
    };
    assert!(dev.store().erasable(&left).await.unwrap().is_empty());
    // Again: nothing is known.
    let ran = cloud.callbell(folder.path(), &args[..4]).await;
    assert!(
        ran.out.starts_with("an e-mail address: nothing is known\n"),
        "{}",
        ran.out
    );
}

#[tokio::test]
async fn what_names_nobody_is_refused() {
    let (dev, _) = ordered().await;
    let cloud = Cloud::start(&dev).await;
    let folder = tempfile::tempdir().unwrap();
    let local = local(&dev);
    for (args, part) in [
        (&["forget"][..], "forget whom?"),
        (&["forget", "98765"], "+5511987654321"),
        (&["forget", "--email", "maria"], "no e-mail address"),
    ] {
        let args: Vec<&str> = args.iter().copied().chain([local.as_str()]).collect();
        let ran = cloud.callbell(folder.path(), &args).await;
        assert_eq!(ran.code, 1, "{args:?}");
        assert!(ran.err.contains(part), "{}", ran.err);
    }
}
