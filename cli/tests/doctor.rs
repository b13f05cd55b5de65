//! `callbell doctor` on a stack: what the doors refused, and what can be connected.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![recursion_limit = "256"]

mod aws;
mod support;

use aws::Cloud;
use clap::ValueEnum as _;
use cli::connect::Kind;
use serde_json::{Value, json};
use support::{noon, start_empty};

fn project(secrets: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let automations = std::fs::read_to_string(support::example()).unwrap();
    write("automations.toml", &automations);
    write("secrets.toml", secrets);
    write(
        "samconfig.toml",
        "[default.global.parameters]\nstack_name = \"shop\"\n",
    );
    folder
}

fn refused(minutes_ago: i64, source: &str, reason: &str) -> Value {
    let at = noon().as_millisecond() - minutes_ago * 60_000;
    let line = json!({
        "level": "WARN", "outcome": "refused", "http.status": 401, "source.name": source,
        "reason": reason, "secret.fingerprints": "3f9a",
    });
    json!({ "timestamp": at, "message": format!("{line}\n"), "eventId": "1" })
}

#[tokio::test]
async fn what_a_door_refused_is_told_with_its_reason() {
    let dev = start_empty().await;
    dev.set_clock(noon());
    let cloud = Cloud::start(&dev).await;
    let folder = project("[webhooks]\nshopify = \"hush-1\"\nwoocommerce = \"hush-2\"\n");
    let lines = vec![
        refused(30, "shopify", "no signature header"),
        refused(20, "shopify", "matches none of 1 secret"),
        refused(25, "woocommerce", "no signature header"),
        json!({ "timestamp": noon().as_millisecond(), "message": "START refused" }),
        refused(10, "shopify", "matches none of 1 secret"),
    ];
    cloud.set_logs(Some([("/aws/lambda/shop-orders".to_owned(), lines)].into()));
    let ran = cloud.callbell(folder.path(), &["doctor"]).await;
    let line = ran
        .out
        .lines()
        .find(|line| line.contains("3 refused since"));
    let line = line.unwrap_or_else(|| panic!("{}{}", ran.out, ran.err));
    assert!(line.contains("! shopify"), "{line}");
    assert!(
        line.ends_with("matches none of 1 secret (fingerprint 3f9a)"),
        "{line}"
    );
    assert!(
        ran.out.contains("callbell secrets set shopify --add"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("1 refused since"), "{}", ran.out);

    // Who may not read the log is told where to look.
    cloud.set_logs(None);
    let ran = cloud.callbell(folder.path(), &["doctor"]).await;
    let parts = [
        "! logs ",
        "logs:FilterLogEvents",
        "aws logs tail /aws/lambda/shop-orders --since 1d",
    ];
    for part in parts {
        assert!(ran.out.contains(part), "{part}: {}{}", ran.out, ran.err);
    }
}

#[tokio::test]
async fn whatever_can_be_connected_is_named_where_nothing_is() {
    let dev = start_empty().await;
    let cloud = Cloud::start(&dev).await;
    let folder = project("");
    let ran = cloud.callbell(folder.path(), &["doctor"]).await;
    let mut lines = ran.out.lines();
    assert!(
        lines.any(|line| line.contains("nothing is connected yet")),
        "{}",
        ran.out
    );
    let todo = lines.next().unwrap();
    for kind in Kind::value_variants() {
        assert!(todo.contains(kind.as_str()), "{} in {todo}", kind.as_str());
    }
}

/// What is set up on a system's own pages shows itself by what comes.
#[tokio::test]
async fn of_a_system_that_is_connected_by_hand_what_can_be_known_is_told() {
    let dev = start_empty().await;
    let cloud = Cloud::start(&dev).await;
    let mut by_hand = Kind::value_variants()
        .iter()
        .filter(|kind| kind.is_by_hand());
    let Some(kind) = by_hand.next() else {
        return;
    };
    let name = kind.as_str();
    let folder = project(&format!(
        "[webhooks]\n{name} = \"hush-by-hand-0123456789abcdef\"\n"
    ));
    let ran = cloud.callbell(folder.path(), &["doctor"]).await;
    let title = kind.title();
    let what = format!("{title} shows nobody what is set up on its pages");
    for part in [
        what.as_str(),
        &format!("callbell connect {name} shows the steps"),
    ] {
        assert!(ran.out.contains(part), "{part}: {}{}", ran.out, ran.err);
    }
}
