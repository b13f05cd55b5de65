//! The Lambda function `forms`.

use forms::App;
use lambda_http::Error;
use lambda_http::lambda_runtime::{LambdaEvent, run, service_fn};
use shared::clock::{Clock, Stopwatch};
use shared::env::Environment;
use shared::payload::{Payload, Reply};
use shared::store::Store;
use shared::store::client::{dynamodb, http_client};
use shared::telemetry;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let begun = Stopwatch::start();
    telemetry::start();
    let environment = Environment::read()?;
    let http = http_client()?;
    let secrets = environment.webhook_secrets(http.clone())?;
    let client = dynamodb(&environment.dynamodb(), http);
    let store = Store::new(client, &environment.table, Clock::system());
    let app = App::start(store, secrets).await;
    telemetry::started("forms", &environment, &app.found(), begun.elapsed());
    run(service_fn(async |event: LambdaEvent<Payload>| {
        let answer = app.handle(event.payload.into_request()).await;
        Ok::<_, Error>(Reply::from(answer))
    }))
    .await
}
