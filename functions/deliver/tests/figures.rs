//! The binary as Lambda starts it, and the figures that it prints among its log lines.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::connections::Connections;
use shared::store::{PersonId, Store};
use testkit::{Engine, Lambda};
use tokio::net::TcpListener;

const AUTOMATIONS: &str = r#"
[defaults]
country  = "BR"
locale   = "pt-BR"
timezone = "America/Sao_Paulo"

[channel.shop]
uuid = "35f6f8ccb5504278a2ea099f3a4e0730"

[message.thanks]
text = "Obrigado! Pedido {{ order.number }}."

[automation.thanks]
on      = "order.paid"
message = "thanks"
"#;

type Script = Arc<Mutex<VecDeque<(u16, Value)>>>;

/// Callbell answers a send as the script says, and knows nothing else.
async fn callbell(State(script): State<Script>, method: Method) -> impl IntoResponse {
    let (status, body) = match method {
        Method::POST => script.lock().unwrap().pop_front().unwrap(),
        _ => (404, json!({"error": "not found"})),
    };
    (StatusCode::from_u16(status).unwrap(), body.to_string())
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async { axum::serve(listener, router).await });
    address
}

/// Runs the binary over these invocations; every line that it printed.
async fn lines(
    store: &Store,
    stack: &str,
    events: Vec<Value>,
    script: &[(u16, Value)],
) -> Vec<Value> {
    let count = events.len();
    let invocations = events.iter().map(Value::to_string).collect();
    let script: Script = Arc::new(Mutex::new(script.to_vec().into()));
    let callbell = Router::new().fallback(callbell).with_state(script.clone());
    let callbell = format!("http://{}/v1", serve(callbell).await);
    let variables = [
        ("STACK_NAME", stack),
        ("CALLBELL_API_URL", callbell.as_str()),
        ("API_SECRETS", r#"{"callbell": "token"}"#),
    ];
    let binary = env!("CARGO_BIN_EXE_deliver");
    let mut lambda = Lambda::start(binary, "deliver", store.table(), &variables, invocations).await;
    for _ in 0..count {
        lambda.answer().await;
    }
    assert!(script.lock().unwrap().is_empty(), "Callbell was not asked");
    let printed = lambda.end();
    printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A record of the stream about a new event.
async fn paid(store: &Store, id: &str) -> Value {
    let event = testkit::events::order_paid(id, store.clock().now());
    let key = event.event.id.clone();
    store.put_event(event).await.unwrap();
    let keys = json!({"pk": {"S": format!("event#{key}")}});
    json!({"Records": [{"eventName": "INSERT", "dynamodb": {"Keys": keys}}]})
}

/// Holds a line against the specification; its figures.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
fn figures(line: &Value) -> Value {
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    let named = |value: &Value| {
        let name = value.as_str().unwrap();
        assert!((1..=1024).contains(&name.len()), "{line}");
        name.to_owned()
    };
    assert_eq!(keys(&line["_aws"]), ["CloudWatchMetrics", "Timestamp"]);
    let at = Timestamp::from_millisecond(line["_aws"]["Timestamp"].as_i64().unwrap()).unwrap();
    let age = Timestamp::now().duration_since(at);
    assert!(age.abs() < SignedDuration::from_mins(5), "{line}");
    let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
    let mut targets = vec!["_aws".to_owned()];
    let mut found = json!({});
    for directive in directives {
        assert_eq!(keys(directive), ["Dimensions", "Metrics", "Namespace"]);
        named(&directive["Namespace"]);
        for set in directive["Dimensions"].as_array().unwrap() {
            let set = set.as_array().unwrap();
            assert!(set.len() <= 30, "{line}");
            for dimension in set {
                let dimension = named(dimension);
                named(&line[&dimension]);
                targets.push(dimension);
            }
        }
        let metrics = directive["Metrics"].as_array().unwrap();
        assert!((1..=100).contains(&metrics.len()), "{line}");
        for metric in metrics {
            assert_eq!(keys(metric), ["Name", "Unit"]);
            assert!(["Count", "Seconds"].contains(&metric["Unit"].as_str().unwrap()));
            let name = named(&metric["Name"]);
            assert!(line[&name].is_number(), "{line}");
            found[&name] = line[&name].clone();
            targets.push(name);
        }
    }
    targets.sort();
    let mut root = keys(line);
    root.sort();
    assert_eq!(root, targets, "nothing else stands at the root");
    found
}

#[tokio::test]
async fn one_line_of_figures_an_invocation_that_has_some() {
    let store = testkit::store_with(Engine::shared(), Clock::system()).await;
    let connections = Connections::default();
    store
        .push_config(AUTOMATIONS, "[]", &connections)
        .await
        .unwrap();
    let open = store.clock().now() + SignedDuration::from_hours(24);
    let maria = PersonId::phone("+5511987654321");
    store.set_window(&maria, Some(open)).await.unwrap();
    let taken = json!({"message": {"uuid": "a".repeat(32), "status": "enqueued"}});
    let script = [
        (200, taken),
        (422, json!({"error": "no such template"})),
        (401, json!({"error": "unauthorized"})),
    ];
    let events = vec![
        paid(&store, "1").await,
        paid(&store, "2").await,
        paid(&store, "3").await,
        json!({}),
        // The channel is held: this one waits, and there is nothing to say.
        paid(&store, "4").await,
    ];
    let printed = lines(&store, "loja", events, &script).await;
    let figures: Vec<Value> = printed
        .iter()
        .filter(|line| line.get("_aws").is_some())
        .map(|line| {
            assert_eq!(line["Stack"], "loja");
            figures(line)
        })
        .collect();
    let [sent, dead, held, minute] = figures.as_slice() else {
        panic!("{figures:#?} {printed:#?}");
    };
    assert_eq!(*sent, json!({"JobsSent": 1}));
    assert_eq!(*dead, json!({"JobsDead": 1}));
    assert_eq!(*held, json!({"ChannelHeld": 1}));
    assert_eq!(*minute, json!({"OldestDueAge": 0}));

    let outside = lines(&store, "", vec![json!({})], &[]).await;
    assert!(outside.iter().any(|line| line["outcome"] == "started"));
    assert!(outside.iter().all(|line| line.get("_aws").is_none()));
}
