//! The binary as Lambda starts it: told by its environment, asked through the runtime API.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::fs;
use std::path::Path;

use serde_json::Value;
use shared::clock::Clock;
use shared::store::EventStatus;
use testkit::{Engine, Lambda};

#[tokio::test]
async fn the_binary_takes_a_sample_from_lambda_and_stores_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/orders");
    let sample = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let pix = sample("04-shopify-orders-create-pix.json");
    let invocations = vec![
        pix.clone(),
        pix.clone(),
        pix.replace("x-shopify-hmac-sha256", "x-none"),
        sample("20-woocommerce-ping.json"),
        sample("21-woocommerce-order-created-processing.json"),
    ];
    let store = testkit::store_with(Engine::shared(), Clock::system()).await;
    let secrets = r#"{"shopify": ["another", "demo-shopify-secret"]}"#;
    let variables = [("WEBHOOK_SECRETS", secrets)];
    let binary = env!("CARGO_BIN_EXE_orders");
    let mut lambda = Lambda::start(binary, "orders", store.table(), &variables, invocations).await;
    let mut statuses = Vec::new();
    while statuses.len() < 5 {
        let answer = lambda.answer().await;
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
        (200, "pong"),
        (404, "refused"),
    ];
    assert_eq!(
        statuses,
        expected.map(|(status, word)| (status, word.to_owned()))
    );
    let row = store
        .event("shopify/order/6171000000102/created")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.status, EventStatus::New);
}
