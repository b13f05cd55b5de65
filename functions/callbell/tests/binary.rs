//! The binary as Lambda starts it: told by its environment, asked through the runtime API.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::fs;
use std::path::Path;

use serde_json::Value;
use shared::clock::Clock;
use shared::connections::Connection;
use shared::sources::Unsigned;
use shared::sources::callbell::{Callbell, SIGNATURE};
use shared::sources::{Source, demo};
use shared::store::EventFilter;
use testkit::{Engine, Lambda};

#[tokio::test]
async fn the_binary_takes_a_sample_from_lambda_and_stores_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/callbell");
    let text = fs::read_to_string(folder.join("04-message-created-received.json")).unwrap();
    // Callbell signs the time too: a sample of another day has to be signed anew.
    let signed = |change: &dyn Fn(&mut Value)| {
        let mut json: Value = serde_json::from_str(&text).unwrap();
        let body = json["body"].as_str().unwrap().to_owned();
        let secret = demo::secret("callbell");
        let (connection, secret) = (Connection::plain("callbell"), secret);
        let unsigned = Unsigned::of(&connection, &secret, body.as_bytes(), Clock::system().now());
        for (name, value) in Callbell.sign(&unsigned) {
            json["headers"][name] = value.into();
        }
        change(&mut json);
        json.to_string()
    };
    let unsigned = |json: &mut Value| {
        json["headers"].as_object_mut().unwrap().remove(SIGNATURE);
    };
    let elsewhere = |json: &mut Value| json["rawPath"] = "/callbell/another-path".into();
    let probe = |json: &mut Value| {
        unsigned(json);
        json["body"] = Value::Null;
        json["requestContext"]["http"]["method"] = "GET".into();
    };
    let invocations = vec![
        signed(&|_| ()),
        signed(&|_| ()),
        signed(&unsigned),
        signed(&elsewhere),
        signed(&probe),
    ];
    let store = testkit::store_with(Engine::shared(), Clock::system()).await;
    let secrets =
        r#"{"callbell": ["demo-callbell-path", "whsec_another", "whsec_demo-callbell-secret"]}"#;
    let variables = [("WEBHOOK_SECRETS", secrets)];
    let binary = env!("CARGO_BIN_EXE_callbell-door");
    let mut lambda =
        Lambda::start(binary, "callbell", store.table(), &variables, invocations).await;
    let mut statuses = Vec::new();
    while statuses.len() < 5 {
        let answer = lambda.answer().await;
        let status = answer.get("statusCode").and_then(Value::as_u64).unwrap();
        let body = answer.get("body").and_then(Value::as_str).unwrap();
        statuses.push(status);
        assert_eq!(status == 200, body == r#"{"status":"ok"}"#, "{body}");
    }
    assert_eq!(statuses, [200, 200, 401, 401, 200]);
    let events = store.list_events(&EventFilter::default(), None).await;
    assert_eq!(events.unwrap().0.len(), 1);
}
