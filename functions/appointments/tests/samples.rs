//! Every sample of `events/appointments` through the function's own handler.

use std::fs;
use std::path::Path;

use appointments::{App, SOURCES};
use jiff::Timestamp;
use serde_json::Value;
use shared::payload::Payload;
use shared::secrets::SecretsProvider;
use shared::sources::{ALL, demo};

#[tokio::test]
async fn every_sample_gets_200_and_a_second_time_nothing_new() {
    let (store, clock) = testkit::store().await;
    let app = App::start(store, SecretsProvider::Fixed(demo::secrets())).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/appointments");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    paths.sort();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        let at = Timestamp::from_millisecond(json["requestContext"]["timeEpoch"].as_i64().unwrap())
            .unwrap();
        clock.advance(at.duration_since(clock.now()));
        for round in ["first", "again"] {
            let answer = app
                .handle(
                    serde_json::from_str::<Payload>(&text)
                        .unwrap()
                        .into_request(),
                )
                .await;
            assert_eq!(answer.status(), 200, "{path:?}");
            let body: Value = serde_json::from_slice(answer.body()).unwrap();
            let status = body["status"].as_str().unwrap();
            let fresh = ["accepted", "ignored", "pong"];
            let redelivery = path.to_string_lossy().contains("redelivered");
            let expected = if round == "first" && !redelivery {
                &fresh[..]
            } else {
                &["duplicate", "ignored", "pong"]
            };
            assert!(expected.contains(&status), "{path:?} {round}: {body}");
        }
    }
}

#[test]
fn the_registry_knows_every_source_of_this_function() {
    for source in SOURCES {
        assert_eq!(source.function(), "appointments");
        assert!(
            ALL.iter().any(|known| known.kind() == source.kind()),
            "{}",
            source.kind()
        );
    }
    assert_eq!(
        ALL.iter()
            .filter(|source| source.function() == "appointments")
            .count(),
        SOURCES.len()
    );
}

/// The development server hosts the handler on several threads.
#[test]
fn a_handled_request_may_move_between_threads() {
    fn movable<T: Send>(_: &T) {}
    async fn handled(app: App) {
        app.handle(lambda_http::Request::default()).await;
    }
    fn checked(app: App) {
        movable(&handled(app));
    }
    let _: fn(App) = checked;
}
