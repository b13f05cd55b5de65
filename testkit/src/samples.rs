//! What all doors are tested with alike: the samples of `events/`, and the registry of sources.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use lambda_http::{Body, Request, Response};
use serde_json::Value;
use shared::clock::Clock;
use shared::payload::Payload;
use shared::sources::{ALL, Source};
use shared::store::{EventFilter, Store};

/// Samples whose names hold one of these make no event, whatever they are answered.
const NOTHING: [&str; 3] = ["ping", "validation", "without-metadata"];

/// Hands every sample of `events/{function}` to a handler twice, at the sample's own time. Each is answered
/// 200; the second time, or where its name says `redelivered`, nothing new is stored.
pub async fn through(
    function: &str,
    store: &Store,
    clock: &Clock,
    handle: impl AsyncFn(Request) -> Response<Body>,
) {
    let mut before = 0;
    for path in paths(function) {
        let text = fs::read_to_string(&path).expect("a sample");
        let json: Value = serde_json::from_str(&text).expect("JSON");
        let at = json.pointer("/requestContext/timeEpoch");
        let at = at.and_then(Value::as_i64).expect("timeEpoch");
        let at = Timestamp::from_millisecond(at).expect("a time");
        clock.advance(at.duration_since(clock.now()));
        for round in ["first", "again"] {
            let payload: Payload = serde_json::from_str(&text).expect("a payload");
            let answer = handle(payload.into_request()).await;
            let told = String::from_utf8_lossy(answer.body());
            assert_eq!(answer.status(), 200, "{path:?} {round}: {told}");
            let stored = rows(store).await;
            let name = path.to_string_lossy();
            let nothing =
                told.contains(r#""ignored""#) || NOTHING.iter().any(|part| name.contains(part));
            if round == "first" && !name.contains("redelivered") && !nothing {
                assert!(stored > before, "{path:?} stored nothing: {told}");
            } else {
                assert_eq!(stored, before, "{path:?} {round}: {told}");
            }
            before = stored;
        }
    }
}

fn paths(function: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../events/{function}"));
    let entries = fs::read_dir(folder).expect("samples");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    assert!(!paths.is_empty(), "events/{function} is empty");
    paths
}

async fn rows(store: &Store) -> usize {
    let filter = EventFilter::default();
    let (mut sum, mut page) = (0, None);
    loop {
        let (events, next) = store.list_events(&filter, page).await.expect("a page");
        sum += events.len();
        match next {
            Some(next) => page = Some(next),
            None => return sum,
        }
    }
}

/// The registry of all sources knows each of this function's, and no other says that it is of this function.
pub fn are_registered(function: &str, sources: &[&dyn Source]) {
    for source in sources {
        assert_eq!(source.function(), function);
        let known = ALL.iter().any(|known| known.kind() == source.kind());
        assert!(known, "{}", source.kind());
    }
    let of_function = ALL.iter().filter(|source| source.function() == function);
    assert_eq!(of_function.count(), sources.len());
}

/// The development server hosts handlers on several threads.
pub fn is_movable<T: Send>(_: &T) {}
