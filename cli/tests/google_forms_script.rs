//! The script that a person puts where a Google form is: its own tests, under Node, and that the source of Google
//! Forms believes and reads what it sends.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::connections::Connection;
use shared::payload::Payload;
use shared::raw::Raw;
use shared::secrets::Secret;
use shared::sources::google_forms::GoogleForms;
use shared::sources::{self, Proofs, Reading, Refusal, Source as _};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where Node is not installed there is nothing to run the script with; what it sent when it was last changed is
/// tested all the same.
#[test]
fn the_script_does_what_its_own_tests_say() {
    let node = Command::new("node").arg("--version").output();
    if !node.is_ok_and(|output| output.status.success()) {
        println!("skipped: node is not installed: docs/google-forms/callbell.test.mjs was not run");
        return;
    }
    let output = Command::new("node")
        .args(["--test", "docs/google-forms/callbell.test.mjs"])
        .current_dir(root())
        .env_remove("UPDATE")
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{out}{err}");
}

/// What the script sent, as the function sees it; with what it signed it, and when.
fn sent(name: &str) -> (Raw, Secret, Timestamp) {
    let read = |ending: &str| {
        let path = format!("shared/tests/fixtures/google-forms/{name}{ending}");
        fs::read_to_string(root().join(path)).unwrap()
    };
    let sent: Value = serde_json::from_str(&read(".sent.json")).unwrap();
    let path = "/forms/google-forms";
    let envelope = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "", "headers": sent["headers"],
        "requestContext": {"accountId": "1", "apiId": "a", "domainName": "example.com", "stage": "$default",
            "requestId": "r", "routeKey": "$default", "timeEpoch": 0,
            "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"}},
        "body": read(".json"), "isBase64Encoded": false,
    });
    let payload: Payload = serde_json::from_value(envelope).unwrap();
    let raw = sources::raw(&GoogleForms, payload.into_request()).unwrap();
    let secret = Secret::new(sent["secret"].as_str().unwrap());
    let time = sent["headers"]["webhook-timestamp"].as_str().unwrap();
    (
        raw,
        secret,
        Timestamp::from_second(time.parse().unwrap()).unwrap(),
    )
}

#[test]
fn what_the_script_sends_is_believed_and_read() {
    let connection = Connection::plain("google-forms");
    // One with a secret of Standard Webhooks, one with a text as `callbell connect` makes it.
    for name in ["script-form", "script-sheet"] {
        let (raw, secret, at) = sent(name);
        let known = [Secret::new("another"), secret];
        let proofs = Proofs::of(&connection, &known);
        let verified = GoogleForms.verify(&raw, &proofs, at).unwrap();
        let reading = GoogleForms.read(&verified, &connection, at).unwrap();
        assert!(matches!(reading, Reading::Events(events) if events.len() == 1));
        let late = at.checked_add(SignedDuration::from_mins(6)).unwrap();
        let refusal = GoogleForms.verify(&raw, &proofs, late).err();
        assert_eq!(refusal, Some(Refusal::Stale { seconds: 360 }), "{name}");
        let strangers = [Secret::new("another")];
        let proofs = Proofs::of(&connection, &strangers);
        let refusal = GoogleForms.verify(&raw, &proofs, at).err();
        assert_eq!(refusal, Some(Refusal::NoMatch { secrets: 1 }), "{name}");
    }
}
