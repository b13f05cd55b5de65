//! The Lambda function `reply`.

use deliver::{Settings, figures};
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use reply::App;
use serde_json::Value;
use shared::clock::{Clock, Stopwatch};
use shared::env::Environment;
use shared::store::Store;
use shared::store::client::{dynamodb, http_client};
use shared::telemetry::{self, Metrics};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let begun = Stopwatch::start();
    telemetry::start();
    let environment = Environment::read()?;
    let http = http_client()?;
    let secrets = environment.api_secrets(http.clone())?;
    let client = dynamodb(&environment.dynamodb(), http);
    let store = Store::new(client, &environment.table, Clock::system());
    let app = App::start(store, secrets, Settings::of(&environment)).await?;
    let metrics = Metrics::of(&environment);
    telemetry::started("reply", &environment, app.found(), begun.elapsed());
    run(service_fn(async |event: LambdaEvent<Value>| {
        let deadline_ms = i64::try_from(event.context.deadline).unwrap_or_default();
        let deadline = Timestamp::from_millisecond(deadline_ms)?;
        let report = app.handle(&event.payload, deadline).await;
        metrics.print(&figures(&report));
        Ok::<(), Error>(())
    }))
    .await
}
