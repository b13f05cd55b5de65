//! The Lambda function `deliver`.

use deliver::App;
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
    telemetry::start();
    let environment = Environment::read()?;
    let http = http_client()?;
    let secrets = environment.api_secrets(http.clone())?;
    let store = Store::new(
        dynamodb(&environment.dynamodb(), http),
        &environment.table,
        Clock::system(),
    );
    let app = App::start(store, secrets, environment.callbell_url.as_deref()).await?;
    telemetry::started("deliver", &environment);
    run(service_fn(async |event: LambdaEvent<Value>| {
        let deadline_ms = i64::try_from(event.context.deadline).unwrap_or_default();
        let _report = app
            .handle(&event.payload, Timestamp::from_millisecond(deadline_ms)?)
            .await;
        Ok::<(), Error>(())
    }))
    .await
}
