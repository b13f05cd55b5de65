//! The binary as Lambda starts it: told by its environment, asked through the runtime API.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::store::{EventFilter, EventStatus};
use testkit::{Engine, Lambda};

/// A calendar of two days ago that was never read, and whose secret is missing: asked about, and failing.
#[tokio::test]
async fn the_binary_has_every_calendar_asked_and_says_which_fails() {
    let clock = Clock::manual(Timestamp::now() - SignedDuration::from_hours(48));
    let store = testkit::store_with(Engine::shared(), clock).await;
    let door = "https://example.com/appointments/google-calendar";
    store
        .connect_calendar("google-calendar", "c", door)
        .await
        .unwrap();

    let variables = [
        ("STACK_NAME", "clinic"),
        ("API_SECRETS", r#"{"callbell": "token"}"#),
        ("WEBHOOK_SECRETS", r#"{"google-calendar": "channel"}"#),
        // Nobody answers there.
        ("PROVIDERS_API_URL", "http://127.0.0.1:1"),
    ];
    let invocations = vec![json!({"version": "0"}).to_string()];
    let binary = env!("CARGO_BIN_EXE_renew");
    let mut lambda = Lambda::start(binary, "renew", store.table(), &variables, invocations).await;
    lambda.answer().await;
    let written = lambda.end();
    let lines: Vec<Value> = written
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let line = |name: &str, value: &str| {
        let mut of_name = lines.iter().filter(|line| line[name] == value);
        of_name.next().cloned().unwrap_or_default()
    };
    assert_eq!(line("outcome", "started")["function.name"], "renew");
    let failing = line("outcome", "channel not replaced");
    assert_eq!(failing["source.name"], "google-calendar");
    assert_eq!(failing["source.failing"], "not read for a day");
    assert_eq!(failing["reason"], "there is no API secret of this name");
    let figures = line("Stack", "clinic");
    assert_eq!(figures["SourcesFailing"], 1, "{written}");

    let (events, _) = store
        .list_events(&EventFilter::default(), None)
        .await
        .unwrap();
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| event.status == EventStatus::New));
}
