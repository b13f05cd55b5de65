//! AWS as far as commands speak to it: CloudFormation's one answer and two secrets, from a server on the
//! loopback interface, and as table that of a development server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use cli::dev::Dev;
use serde_json::{Value, json};
use shared::clock::Clock;
use tokio::process::Command;

/// The stack that is there.
pub(crate) const STACK: &str = "shop";
/// Credentials that no AWS account has.
const KEY_ID: &str = "AKIDEXAMPLE";

/// What a command printed and how it ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The stand-in, and the development server whose table it lends to the stack.
pub(crate) struct Cloud {
    pub(crate) url: String,
    dynamodb: String,
    /// Where the providers' stand-ins are.
    apis: String,
    /// Where the stand-in Callbell is.
    callbell: String,
    state: Arc<Known>,
}

struct Known {
    /// AWS's time.
    clock: Clock,
    secrets: Mutex<BTreeMap<String, String>>,
    /// What CloudFormation answers instead of the stack.
    refusal: Mutex<Option<(u16, String)>>,
    /// What Secrets Manager answers instead.
    fault: Mutex<Option<(u16, Value)>>,
    /// Every action that was asked for, in order.
    actions: Mutex<Vec<String>>,
    status: Mutex<String>,
    /// How many functions the account may run at once; `None`: the role may not ask.
    concurrency: Mutex<Option<u32>>,
    /// Lines of the functions' logs, by the log's name; `None`: the role may not read them.
    logs: Mutex<Option<BTreeMap<String, Vec<Value>>>>,
}

impl Cloud {
    pub(crate) async fn start(dev: &Dev) -> Cloud {
        let state = Arc::new(Known {
            clock: dev.clock().clone(),
            secrets: Mutex::default(),
            refusal: Mutex::default(),
            fault: Mutex::default(),
            actions: Mutex::default(),
            status: Mutex::new("CREATE_COMPLETE".to_owned()),
            concurrency: Mutex::new(Some(1000)),
            logs: Mutex::new(Some(BTreeMap::new())),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new()
            .route("/", post(answer))
            .route("/2016-08-19/account-settings/", get(lambda_account))
            .with_state(state.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Cloud {
            url,
            dynamodb: dev.dynamodb().to_owned(),
            apis: format!("{}{}", dev.url(), cli::dev::APIS_PATH),
            callbell: format!("{}{}", dev.url(), cli::dev::CALLBELL_PATH),
            state,
        }
    }

    /// From now on CloudFormation answers an error.
    pub(crate) fn refuse(&self, status: u16, code: &str, message: &str) {
        let body = format!(
            "<ErrorResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><Error>\
             <Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
        );
        *self.state.refusal.lock().unwrap() = Some((status, body));
    }

    /// From now on Secrets Manager answers an error.
    pub(crate) fn break_secrets(&self, code: &str, message: &str) {
        let body = json!({ "__type": code, "Message": message });
        *self.state.fault.lock().unwrap() = Some((400, body));
    }

    pub(crate) fn set_status(&self, status: &str) {
        status.clone_into(&mut self.state.status.lock().unwrap());
    }

    /// How many functions the account may run at once; `None`: the role may not ask.
    pub(crate) fn set_concurrency(&self, most: Option<u32>) {
        *self.state.concurrency.lock().unwrap() = most;
    }

    /// What the log of a function holds; `None`: the role may not read logs.
    pub(crate) fn set_logs(&self, logs: Option<BTreeMap<String, Vec<Value>>>) {
        *self.state.logs.lock().unwrap() = logs;
    }

    pub(crate) fn secret(&self, name: &str) -> Option<Value> {
        let secrets = self.state.secrets.lock().unwrap();
        let text = secrets.get(name)?;
        Some(serde_json::from_str(text).unwrap())
    }

    pub(crate) fn actions(&self) -> Vec<String> {
        std::mem::take(&mut self.state.actions.lock().unwrap())
    }

    /// The environment of a command that must not reach AWS.
    pub(crate) fn environment(&self, home: &Path) -> Vec<(&'static str, String)> {
        vec![
            ("HOME", home.display().to_string()),
            ("AWS_ENDPOINT_URL", self.url.clone()),
            ("AWS_ENDPOINT_URL_DYNAMODB", self.dynamodb.clone()),
            ("PROVIDERS_API_URL", self.apis.clone()),
            ("CALLBELL_API_URL", self.callbell.clone()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "none".to_owned()),
            ("AWS_REGION", "sa-east-1".to_owned()),
        ]
    }

    /// Runs the real binary in a folder, without a terminal.
    pub(crate) async fn callbell(&self, folder: &Path, args: &[&str]) -> Ran {
        run(folder, args, &self.environment(folder)).await
    }
}

/// Runs the real binary with this environment and no other. Refuses to where it could reach AWS.
pub(crate) async fn run(folder: &Path, args: &[&str], environment: &[(&str, String)]) -> Ran {
    run_with(folder, args, environment, "").await
}

/// [`run`] with a standard input.
pub(crate) async fn run_with(
    folder: &Path,
    args: &[&str],
    environment: &[(&str, String)],
    input: &str,
) -> Ran {
    use tokio::io::AsyncWriteExt as _;
    for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB"] {
        let here = |value: &str| value.starts_with("http://127.0.0.1:");
        let set = environment.iter().find(|(other, _)| *other == name);
        assert!(set.is_some_and(|(_, value)| here(value)), "{name}");
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_callbell"))
        .args(args)
        .current_dir(folder)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that does not read is gone by now.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

async fn answer(State(known): State<Arc<Known>>, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| {
        let value = headers.get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default().to_owned()
    };
    let signed = header("authorization");
    assert!(
        signed.starts_with(&format!("AWS4-HMAC-SHA256 Credential={KEY_ID}/")),
        "{signed}"
    );
    let target = header("x-amz-target");
    if target == "Logs_20140328.FilterLogEvents" {
        assert!(signed.contains("/logs/aws4_request"), "{signed}");
        assert!(signed.contains("x-amz-target"), "{signed}");
        return known.log(&serde_json::from_slice(&body).unwrap());
    }
    let mut response = match target.strip_prefix("secretsmanager.") {
        Some(action) => known.secrets(action, &serde_json::from_slice(&body).unwrap()),
        None => known.stack(std::str::from_utf8(&body).unwrap()),
    };
    let date = known.clock.now().strftime("%a, %d %b %Y %H:%M:%S GMT");
    let date = date.to_string().parse().unwrap();
    response.headers_mut().insert("date", date);
    response
}

async fn lambda_account(State(known): State<Arc<Known>>, headers: HeaderMap) -> Response {
    let signed = headers.get("authorization").unwrap().to_str().unwrap();
    assert!(signed.contains("/lambda/aws4_request"), "{signed}");
    match *known.concurrency.lock().unwrap() {
        Some(most) => axum::Json(json!({
            "AccountLimit": { "ConcurrentExecutions": most, "UnreservedConcurrentExecutions": most },
            "AccountUsage": { "FunctionCount": 3 },
        }))
        .into_response(),
        None => {
            let message = "User: arn:aws:iam::123456789012:user/x is not authorized to perform: lambda:GetAccountSettings";
            let mut refused = (StatusCode::FORBIDDEN, axum::Json(json!({ "Message": message }))).into_response();
            let code = "AccessDeniedException".parse().unwrap();
            refused.headers_mut().insert("x-amzn-errortype", code);
            refused
        }
    }
}

impl Known {
    /// A page of one line each, so that pages are followed.
    fn log(&self, body: &Value) -> Response {
        let refuse = |code: &str| {
            let body = json!({ "__type": code, "message": "refused" });
            (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
        };
        let logs = self.logs.lock().unwrap();
        let Some(logs) = logs.as_ref() else {
            return refuse("AccessDeniedException");
        };
        let Some(lines) = logs.get(body["logGroupName"].as_str().unwrap()) else {
            return refuse("ResourceNotFoundException");
        };
        let at: usize = body["nextToken"]
            .as_str()
            .map_or(0, |at| at.parse().unwrap());
        let events: Vec<&Value> = lines.iter().skip(at).take(1).collect();
        let more = at + 1 < lines.len();
        let next = more.then(|| (at + 1).to_string());
        axum::Json(json!({ "events": events, "nextToken": next })).into_response()
    }

    fn stack(&self, form: &str) -> Response {
        self.actions
            .lock()
            .unwrap()
            .push("DescribeStacks".to_owned());
        if let Some((status, body)) = self.refusal.lock().unwrap().clone() {
            return (StatusCode::from_u16(status).unwrap(), body).into_response();
        }
        let wanted = format!("Action=DescribeStacks&Version=2010-05-15&StackName={STACK}");
        if form != wanted {
            let missing = "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>\
                 <Message>Stack with id nope does not exist</Message></Error></ErrorResponse>";
            return (StatusCode::BAD_REQUEST, missing).into_response();
        }
        let member = |key: &str, value: &str| {
            format!(
                "<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>"
            )
        };
        let outputs = [
            member("TableName", cli::dev::table::TABLE),
            member(
                "EmailsUrl",
                "https://a1.execute-api.sa-east-1.amazonaws.com/emails/{source}",
            ),
            member(
                "OrdersUrl",
                "https://a1.execute-api.sa-east-1.amazonaws.com/orders/{source}",
            ),
            member(
                "AppointmentsUrl",
                "https://a1.execute-api.sa-east-1.amazonaws.com/appointments/{source}",
            ),
            member(
                "LeadsUrl",
                "https://a1.execute-api.sa-east-1.amazonaws.com/leads/{source}",
            ),
            member(
                "CallbellUrl",
                "https://a1.execute-api.sa-east-1.amazonaws.com/callbell/{secret}",
            ),
            member(
                "FormsUrl",
                "https://a1.execute-api.sa-east-1.amazonaws.com/forms/{source}",
            ),
        ];
        let status = self.status.lock().unwrap().clone();
        format!(
            "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><DescribeStacksResult><Stacks><member>\
             <StackName>{STACK}</StackName><StackStatus>{status}</StackStatus><Outputs>{}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>",
            outputs.concat()
        )
        .into_response()
    }

    fn secrets(&self, action: &str, body: &Value) -> Response {
        self.actions.lock().unwrap().push(action.to_owned());
        if let Some((status, body)) = self.fault.lock().unwrap().clone() {
            return (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response();
        }
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap().to_owned();
        let mut secrets = self.secrets.lock().unwrap();
        let refuse = |code: &str| {
            let body = json!({ "__type": code, "Message": "refused" });
            (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
        };
        let name = if action == "CreateSecret" {
            text("Name")
        } else {
            text("SecretId")
        };
        match (action, secrets.contains_key(&name)) {
            ("GetSecretValue", true) => {
                axum::Json(json!({ "Name": name, "SecretString": secrets.get(&name) }))
                    .into_response()
            }
            ("CreateSecret", true) => refuse("ResourceExistsException"),
            ("CreateSecret", false) | ("PutSecretValue", true) => {
                secrets.insert(name.clone(), text("SecretString"));
                axum::Json(json!({ "Name": name })).into_response()
            }
            _ => refuse("ResourceNotFoundException"),
        }
    }
}
