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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/appointments");
    let sample = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let booked = sample("11-cal-com-booking-created.json");
    let invocations = vec![
        booked.clone(),
        booked.clone(),
        booked.replace("x-cal-signature-256", "x-none"),
        sample("09-cal-com-ping.json"),
        sample("01-calendly-invitee-created.json"),
    ];
    let store = testkit::store_with(Engine::shared(), Clock::system()).await;
    let secrets = r#"{"cal-com": ["another", "demo-cal-com-secret"]}"#;
    let variables = [("WEBHOOK_SECRETS", secrets)];
    let binary = env!("CARGO_BIN_EXE_appointments");
    let mut lambda = Lambda::start(
        binary,
        "appointments",
        store.table(),
        &variables,
        invocations,
    )
    .await;
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
