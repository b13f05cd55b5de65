//! `callbell tail`: what comes is printed, with masked numbers, until somebody ends it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![recursion_limit = "256"]

mod aws;
mod support;

use std::process::Stdio;
use std::time::Duration;

use aws::Cloud;
use cli::dev::Dev;
use serde_json::Value;
use support::{Http, noon, order, start};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Longest wait for a line.
const LINE_WAIT: Duration = Duration::from_secs(30);

struct Tail {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    _folder: tempfile::TempDir,
}

impl Tail {
    async fn start(dev: &Dev, args: &[&str]) -> Tail {
        let cloud = Cloud::start(dev).await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("samconfig.toml"),
            "[default.global.parameters]\nstack_name = \"shop\"\n",
        )
        .unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_callbell"))
            .args(["tail", "--since", "1h", "--every", "1s"])
            .args(args)
            .current_dir(folder.path())
            .env_clear()
            .envs(cloud.environment(folder.path()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Tail {
            child,
            lines,
            _folder: folder,
        }
    }

    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(LINE_WAIT, self.lines.next_line());
        line.await.unwrap().unwrap().unwrap()
    }

    /// Lines up to the first that holds all of these.
    async fn until(&mut self, parts: &[&str]) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            lines.push(line.clone());
            if parts.iter().all(|part| line.contains(part)) {
                return lines;
            }
        }
    }

    /// As Ctrl-C does.
    async fn end(mut self) {
        let id = self.child.id().unwrap().to_string();
        let status = Command::new("kill").args(["-INT", &id]).status().await;
        assert!(status.unwrap().success());
        let ended = tokio::time::timeout(LINE_WAIT, self.child.wait()).await;
        assert_eq!(ended.unwrap().unwrap().code(), Some(0));
    }
}

fn local(dev: &Dev) -> String {
    format!("--local={}", dev.url().rsplit(':').next().unwrap())
}

#[tokio::test]
async fn what_comes_is_told_once_and_no_number_is_shown() {
    let dev = start(None).await;
    dev.set_clock(noon());
    let http = Http::of(&dev);
    http.shopify("orders/paid", &order(1001, noon())).await;
    http.idle().await;
    let mut tail = Tail::start(&dev, &[&local(&dev)]).await;
    let mut lines = tail.until(&["order-confirmed/message.", "sent"]).await;
    let event = lines
        .iter()
        .find(|line| line.contains("order.paid"))
        .unwrap();
    assert!(event.contains("+55•••••••4321"), "{event}");
    assert!(event.contains("order-confirmed: 1 job"), "{event}");

    // Another one while it runs.
    http.shopify("orders/paid", &order(1002, noon())).await;
    http.idle().await;
    lines.extend(
        tail.until(&["shopify/order/1002", "order-confirmed: 1 job"])
            .await,
    );
    tail.end().await;
    let text = lines.join("\n");
    for hidden in ["98765", "maria@", "Maria"] {
        assert!(!text.contains(hidden), "{text}");
    }
    let told = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
    assert_eq!(told("shopify/order/1001/paid"), 1, "{text}");
}

#[tokio::test]
async fn scripts_read_one_value_a_line_of_one_automation_on_a_stack() {
    let dev = start(None).await;
    dev.set_clock(noon());
    let http = Http::of(&dev);
    http.shopify("orders/paid", &order(1001, noon())).await;
    http.idle().await;
    let args = [
        "--json",
        "--automation",
        "order-confirmed",
        "--source",
        "shopify",
    ];
    let mut tail = Tail::start(&dev, &args).await;
    let lines = tail.until(&["\"row\":\"job\"", "\"sent\""]).await;
    tail.end().await;
    for line in lines {
        let value: Value = serde_json::from_str(&line).unwrap();
        match value["row"].as_str().unwrap() {
            "event" => {
                assert_eq!(value["source"], "shopify");
                assert_eq!(value["phone"], "+55•••••••4321");
            }
            _ => assert_eq!(value["automation"], "order-confirmed"),
        }
    }
}
