//! Every sample of `events/custom` through the function's own handler.

use custom::{App, SOURCES};
use shared::secrets::SecretsProvider;
use shared::sources::demo;
use testkit::samples;

#[tokio::test]
async fn every_sample_gets_200_and_a_second_time_nothing_new() {
    let (store, clock) = testkit::store().await;
    // How the samples' senders prove themselves stands in the pushed `[source.x]` tables.
    let connections = demo::connections();
    let pushed = store.push_config("", "[]", &connections).await;
    assert!(pushed.is_ok(), "{pushed:?}");
    let app = App::start(store.clone(), SecretsProvider::Fixed(demo::secrets())).await;
    let handle = async |request| app.handle(request).await;
    samples::through("custom", &store, &clock, handle).await;
}

#[test]
fn the_registry_knows_every_source_of_this_function() {
    samples::are_registered("custom", SOURCES);
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
