//! The Lambda function `renew`.

use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use renew::{App, Urls};
use serde_json::Value;
use shared::clock::{Clock, Stopwatch};
use shared::env::Environment;
use shared::store::Store;
use shared::store::client::{dynamodb, http_client};
use shared::telemetry::{self, Found, Metrics};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let begun = Stopwatch::start();
    telemetry::start();
    let environment = Environment::read()?;
    let http = http_client()?;
    let apis = environment.api_secrets(http.clone())?;
    let webhooks = environment.webhook_secrets(http.clone())?;
    let client = dynamodb(&environment.dynamodb(), http);
    let store = Store::new(client, &environment.table, Clock::system());
    let app = App::new(store, apis, webhooks, Urls::of(&environment))?;
    let metrics = Metrics::of(&environment);
    telemetry::started("renew", &environment, &Found::default(), begun.elapsed());
    run(service_fn(async |event: LambdaEvent<Value>| {
        let deadline_ms = i64::try_from(event.context.deadline).unwrap_or_default();
        let report = app.run(Timestamp::from_millisecond(deadline_ms)?).await?;
        metrics.print(&renew::figures(&report));
        Ok::<(), Error>(())
    }))
    .await
}
