//! Event rows.

use shared::store::{EventStatus, Put, RowKey, SHARDS, Store};
use shared::clock::Clock;

async fn swept(store: &Store, clock: &Clock) -> Vec<RowKey> {
    let mut rows = Vec::new();
    for shard in 0..SHARDS {
        let mut page = None;
        loop {
            let (found, next) = store.sweep(shard, clock.now(), page).await.unwrap();
            rows.extend(found);
            match next {
                Some(next) => page = Some(next),
                None => break,
            }
        }
    }
    rows
}

#[tokio::test]
async fn an_unreadable_body_is_recorded_once_and_never_swept() {
    let (store, clock) = testkit::store().await;
    assert_eq!(store.put_unreadable("shopify", "ab12", "line_items[2].price: a text").await.unwrap(), Put::New);
    assert_eq!(store.put_unreadable("shopify", "ab12", "line_items[2].price: a text").await.unwrap(), Put::Duplicate);
    let row = store.event("shopify/unreadable/ab12").await.unwrap().unwrap();
    assert_eq!(row.status, EventStatus::Unreadable);
    assert_eq!(row.problem.as_deref(), Some("line_items[2].price: a text"));
    clock.advance(jiff::SignedDuration::from_hours(24));
    assert_eq!(swept(&store, &clock).await, []);
}
