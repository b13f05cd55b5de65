//! Lambda, as far as a function's binary sees it: its environment and the runtime API.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::collections::VecDeque;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::Engine;

/// A compiler on the same two cores makes everything slow; an answer that never comes is the failure.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// A function's binary that runs; ended with this.
pub struct Lambda {
    process: Child,
    answers: mpsc::UnboundedReceiver<Value>,
}

/// What Lambda would ask, and where the answers go.
#[derive(Clone)]
struct Runtime {
    waiting: Arc<Mutex<VecDeque<String>>>,
    answers: mpsc::UnboundedSender<Value>,
}

impl Lambda {
    /// Starts `binary` as the function `name` over a table of [`Engine::shared`], with these variables
    /// beside those that every function has, and hands it the invocations one after the other.
    pub async fn start(
        binary: &str,
        name: &str,
        table: &str,
        variables: &[(&str, &str)],
        invocations: Vec<String>,
    ) -> Lambda {
        let (sender, answers) = mpsc::unbounded_channel();
        let runtime = Runtime {
            waiting: Arc::new(Mutex::new(invocations.into())),
            answers: sender,
        };
        let api = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/1/response", post(response))
            .with_state(runtime);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async { axum::serve(listener, api).await });
        let process = Command::new(binary)
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .env("AWS_ENDPOINT_URL_DYNAMODB", Engine::shared().endpoint())
            .env("TABLE_NAME", table)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        Lambda { process, answers }
    }

    /// The answer to the next invocation; null where it is no JSON.
    pub async fn answer(&mut self) -> Value {
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.answers.recv()).await;
        answer.expect("an answer in time").expect("an answer")
    }

    /// Ends it; what it printed.
    pub fn end(mut self) -> String {
        self.process.kill().expect("a process that runs");
        let mut printed = String::new();
        let mut stdout = self.process.stdout.take().expect("a piped output");
        stdout
            .read_to_string(&mut printed)
            .expect("output that is text");
        printed
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn next(State(runtime): State<Runtime>) -> impl IntoResponse {
    let event = runtime
        .waiting
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .pop_front();
    let Some(event) = event else {
        return std::future::pending().await;
    };
    let headers = [
        ("lambda-runtime-aws-request-id", "1"),
        ("lambda-runtime-deadline-ms", "4102444800000"),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:1:function:f",
        ),
    ];
    (headers, event)
}

async fn response(State(runtime): State<Runtime>, body: String) -> StatusCode {
    let answer = serde_json::from_str(&body).unwrap_or_default();
    // A test that has ended asks for no more answers.
    let _ = runtime.answers.send(answer);
    StatusCode::ACCEPTED
}
