//! The binary as Lambda starts it: told by its environment, asked through the runtime API.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::store::{EventFilter, EventStatus};
use testkit::Engine;
use tokio::sync::mpsc;

/// What Lambda would ask, and word of each answer.
#[derive(Clone)]
struct Lambda {
    asked: Arc<AtomicU32>,
    answers: mpsc::UnboundedSender<()>,
}

async fn next(State(lambda): State<Lambda>) -> impl IntoResponse {
    if lambda.asked.fetch_add(1, Ordering::SeqCst) > 0 {
        return std::future::pending().await;
    }
    let mut headers = HeaderMap::new();
    headers.insert("lambda-runtime-aws-request-id", "1".parse().unwrap());
    headers.insert(
        "lambda-runtime-deadline-ms",
        "4102444800000".parse().unwrap(),
    );
    headers.insert(
        "lambda-runtime-invoked-function-arn",
        "arn:aws:lambda:us-east-1:1:function:f".parse().unwrap(),
    );
    (headers, json!({"version": "0"}).to_string())
}

async fn response(State(lambda): State<Lambda>) -> StatusCode {
    lambda.answers.send(()).unwrap();
    StatusCode::ACCEPTED
}

/// The binary, ended with the test.
struct Running(Child);

impl Running {
    /// Ends it; what it wrote.
    fn end(mut self) -> String {
        self.0.kill().unwrap();
        let mut text = String::new();
        let mut out = self.0.stdout.take().unwrap();
        out.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(runtime_api: &str, table: &str) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_renew"));
    command
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", runtime_api)
        .env("AWS_LAMBDA_FUNCTION_NAME", "renew")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .env("AWS_ENDPOINT_URL_DYNAMODB", Engine::shared().endpoint())
        .env("TABLE_NAME", table)
        .env("STACK_NAME", "clinic")
        .env("API_SECRETS", r#"{"callbell": "token"}"#)
        .env("WEBHOOK_SECRETS", r#"{"google-calendar": "channel"}"#)
        // Nobody answers there.
        .env("PROVIDERS_API_URL", "http://127.0.0.1:1")
        .stdout(Stdio::piped());
    Running(command.spawn().unwrap())
}

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

    let (answers, mut answered) = mpsc::unbounded_channel();
    let lambda = Lambda {
        asked: Arc::default(),
        answers,
    };
    let api = Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/1/response", post(response))
        .with_state(lambda);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async { axum::serve(listener, api).await });

    let running = start(&address, store.table());
    // A compiler on the same two cores makes everything slow; an answer that never comes is the failure.
    tokio::time::timeout(Duration::from_secs(120), answered.recv())
        .await
        .unwrap()
        .unwrap();
    let written = running.end();
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
