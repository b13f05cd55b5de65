//! The Lambda function `orders`.

use lambda_http::{Error, Request, run, service_fn};
use orders::App;
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
    let secrets = environment.webhook_secrets(http.clone())?;
    let store = Store::new(
        dynamodb(&environment.dynamodb(), http),
        &environment.table,
        Clock::system(),
    );
    let app = App::start(store, secrets).await;
    telemetry::started("orders", &environment);
    run(service_fn(async |request: Request| {
        Ok::<_, Error>(app.handle(request).await)
    }))
    .await
}
