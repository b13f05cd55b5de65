//! The Lambda function `deliver`.

use std::time::Instant;

use deliver::{App, Settings};
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;
use shared::clock::Clock;
use shared::env::Environment;
use shared::store::Store;
use shared::store::client::{dynamodb, http_client};
use shared::telemetry;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let begun = Instant::now();
    telemetry::start();
    let environment = Environment::read()?;
    let http = http_client()?;
    let secrets = environment.api_secrets(http.clone())?;
    let client = dynamodb(&environment.dynamodb(), http);
    let store = Store::new(client, &environment.table, Clock::system());
    let settings = Settings {
        callbell_url: environment.callbell_url.clone(),
        send_nothing_before: environment.send_nothing_before,
        ask_callbell: true,
    };
    let app = App::start(store, secrets, settings).await?;
    telemetry::started("deliver", &environment, app.found(), begun.elapsed());
    run(service_fn(async |event: LambdaEvent<Value>| {
        let deadline_ms = i64::try_from(event.context.deadline).unwrap_or_default();
        let _report = app
            .handle(&event.payload, Timestamp::from_millisecond(deadline_ms)?)
            .await;
        Ok::<(), Error>(())
    }))
    .await
}
