//! The binary as Lambda starts it: told by its environment, asked through the runtime API.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::Value;
use shared::clock::Clock;
use shared::store::EventStatus;
use testkit::Engine;
use tokio::sync::mpsc;

/// What Lambda would ask, and where the answers go.
#[derive(Clone)]
struct Lambda {
    waiting: Arc<Mutex<VecDeque<String>>>,
    answers: mpsc::UnboundedSender<Value>,
}

async fn next(State(lambda): State<Lambda>) -> impl IntoResponse {
    let event = lambda.waiting.lock().unwrap().pop_front();
    let Some(event) = event else {
        return std::future::pending().await;
    };
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
    (headers, event)
}

async fn response(State(lambda): State<Lambda>, body: String) -> StatusCode {
    lambda
        .answers
        .send(serde_json::from_str(&body).unwrap())
        .unwrap();
    StatusCode::ACCEPTED
}

/// The binary, ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(runtime_api: &str, engine: &Engine, table: &str) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_appointments"));
    command
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", runtime_api)
        .env("AWS_LAMBDA_FUNCTION_NAME", "appointments")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .env("AWS_ENDPOINT_URL_DYNAMODB", engine.endpoint())
        .env("TABLE_NAME", table)
        .env(
            "WEBHOOK_SECRETS",
            r#"{"cal-com": ["another", "demo-cal-com-secret"]}"#,
        )
        .stdout(Stdio::null());
    Running(command.spawn().unwrap())
}

#[tokio::test]
async fn the_binary_takes_a_sample_from_lambda_and_stores_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/appointments");
    let sample = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let booked = sample("11-cal-com-booking-created.json");
    let waiting = VecDeque::from([
        booked.clone(),
        booked.clone(),
        booked.replace("x-cal-signature-256", "x-none"),
        sample("09-cal-com-ping.json"),
        sample("01-calendly-invitee-created.json"),
    ]);
    let (answers, mut answered) = mpsc::unbounded_channel();
    let lambda = Lambda {
        waiting: Arc::new(Mutex::new(waiting)),
        answers,
    };
    let api = Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/1/response", post(response))
        .with_state(lambda);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async { axum::serve(listener, api).await });
    let store = testkit::store_with(Engine::shared(), Clock::system()).await;
    let _running = start(&address, Engine::shared(), store.table());
    let mut statuses = Vec::new();
    while statuses.len() < 5 {
        // A compiler on the same two cores makes everything slow; an answer that never comes is the failure.
        let answer = tokio::time::timeout(Duration::from_secs(120), answered.recv())
            .await
            .unwrap()
            .unwrap();
        let body: Value =
            serde_json::from_str(answer.get("body").and_then(Value::as_str).unwrap()).unwrap();
        let status = body
            .get("status")
            .and_then(Value::as_str)
            .unwrap()
            .to_owned();
        statuses.push((
            answer.get("statusCode").and_then(Value::as_u64).unwrap(),
            status,
        ));
    }
    let expected = [
        (200, "accepted"),
        (200, "duplicate"),
        (401, "refused"),
        (200, "ignored"),
        (404, "refused"),
    ];
    assert_eq!(
        statuses,
        expected.map(|(status, word)| (status, word.to_owned()))
    );
    let row = store
        .event("cal-com/appointment/bFJeNb2uX8ANpT3JL5EfX1/booked")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.status, EventStatus::New);
}
