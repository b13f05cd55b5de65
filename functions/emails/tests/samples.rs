//! Every sample of `events/emails` through the function's own handler.

use emails::{App, SOURCES};
use shared::secrets::SecretsProvider;
use shared::sources::demo;
use testkit::samples;

#[tokio::test]
async fn every_sample_gets_200_and_a_second_time_nothing_new() {
    let (store, clock) = testkit::store().await;
    // As `renew` and `callbell connect` do with Google's.
    store.keep_public_keys(&demo::public_keys()).await.unwrap();
    let app = App::start(store.clone(), SecretsProvider::Fixed(demo::secrets())).await;
    let handle = async |request| app.handle(request).await;
    samples::through("emails", &store, &clock, handle).await;
}

#[test]
fn the_registry_knows_every_source_of_this_function() {
    samples::are_registered("emails", SOURCES);
}

#[test]
fn a_handled_request_may_move_between_threads() {
    async fn handled(app: App) {
        app.handle(lambda_http::Request::default()).await;
    }
    fn checked(app: App) {
        samples::is_movable(&handled(app));
    }
    let _: fn(App) = checked;
}
