//! Every sample of `events/callbell` through the function's own handler.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::Path;

use callbell_door::{App, SOURCES};
use jiff::Timestamp;
use serde_json::Value;
use shared::payload::Payload;
use shared::secrets::SecretsProvider;
use shared::sources::{ALL, demo};
use shared::store::{EventFilter, Store};

#[tokio::test]
async fn every_sample_gets_200_and_a_second_time_nothing_new() {
    let (store, clock) = testkit::store().await;
    let app = App::start(store.clone(), SecretsProvider::Fixed(demo::secrets())).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/callbell");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    paths.sort();
    let mut before = 0;
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
            assert_eq!(answer.body().as_ref(), br#"{"status":"ok"}"#, "{path:?}");
            let redelivery = path.to_string_lossy().contains("redelivered");
            let stored = rows(&store).await;
            if round == "again" || redelivery {
                assert_eq!(stored, before, "{path:?} {round}");
            } else {
                assert_eq!(stored, before + count(&path), "{path:?}");
            }
            before = stored;
        }
    }
}

/// How many events a sample makes.
fn count(path: &Path) -> usize {
    let nothing = ["ping", "without-metadata"];
    let name = path.to_string_lossy();
    usize::from(!nothing.iter().any(|part| name.contains(part)))
}

async fn rows(store: &Store) -> usize {
    let filter = EventFilter::default();
    let (mut sum, mut page) = (0, None);
    loop {
        let (events, next) = store.list_events(&filter, page).await.unwrap();
        sum += events.len();
        match next {
            Some(next) => page = Some(next),
            None => return sum,
        }
    }
}

#[test]
fn the_registry_knows_every_source_of_this_function() {
    for source in SOURCES {
        assert_eq!(source.function(), "callbell");
        assert!(
            ALL.iter().any(|known| known.kind() == source.kind()),
            "{}",
            source.kind()
        );
    }
    assert_eq!(
        ALL.iter()
            .filter(|source| source.function() == "callbell")
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
