//! `callbell dev --data`, killed with SIGKILL in the middle of its work, again and again: no order that was
//! answered loses its message, and none gets two.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]
#![recursion_limit = "256"]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use support::{Http, example, order};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Orders of one life of the server.
const ORDERS: u64 = 8;
/// How many of them are answered before the server is killed, a life each.
const ANSWERED: [u64; 4] = [1, 8, 4, 6];

/// The real binary, listening.
async fn start(data: &Path) -> (Child, Http) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_callbell"))
        .args(["dev", "--port", "0", "--data"])
        .arg(data)
        .arg("--automations")
        .arg(example())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let base = loop {
        let line = lines
            .next_line()
            .await
            .unwrap()
            .expect("the server says where it listens");
        if let Some(rest) = line.strip_prefix("webhooks") {
            break rest.trim().trim_end_matches("/orders/{source}").to_owned();
        }
    };
    // Nobody may be held up by a full pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, Http::at(base))
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_by_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let at = Timestamp::now();
    let mut acknowledged = Vec::new();
    let mut number = 5_000;
    for answered in ANSWERED {
        let (mut child, http) = start(folder.path()).await;
        // Answers that come late leave more steps in which to die.
        http.post(
            "/_dev/faults",
            json!({ "callbell": [{ "kind": "delay", "ms": 40, "times": 20 }] }),
        )
        .await;
        for order_number in number..number + ORDERS {
            if order_number == number + answered {
                child.start_kill().unwrap();
            }
            match http
                .try_shopify("orders/paid", &order(order_number, at))
                .await
            {
                Ok(200) => acknowledged.push(order_number),
                Ok(status) => panic!("answered {status}"),
                Err(_) => break,
            }
        }
        child.kill().await.unwrap();
        number += ORDERS;
    }
    let (mut child, http) = start(folder.path()).await;
    // Shopify sends again what was not answered, and at times what was.
    for order_number in 5_000..number {
        assert_eq!(
            http.shopify("orders/paid", &order(order_number, at)).await,
            200
        );
    }
    let (status, _) = http.post("/_dev/clock", json!({ "advance": "2h" })).await;
    assert_eq!(status, 200);
    http.idle().await;
    let mut messages: BTreeMap<String, u32> = BTreeMap::new();
    for message in http.list("/_dev/messages").await {
        let job = message["body"]["metadata"]["job"]
            .as_str()
            .unwrap()
            .to_owned();
        *messages.entry(job).or_default() += 1;
    }
    let jobs = http.list("/_dev/jobs").await;
    assert!(acknowledged.len() >= 4, "{acknowledged:?}");
    for order_number in 5_000..number {
        let event = format!("shopify/order/{order_number}/paid");
        let job = jobs
            .iter()
            .find(|job| job["event"] == event.as_str())
            .expect("a job an order");
        assert_eq!(job["status"], "sent", "{job:#}");
        assert_eq!(
            messages.get(job["id"].as_str().unwrap()),
            Some(&1),
            "{job:#}"
        );
    }
    assert_eq!(messages.values().sum::<u32>() as u64, number - 5_000);
    child.kill().await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), child.wait())
        .await
        .unwrap()
        .unwrap();
}
