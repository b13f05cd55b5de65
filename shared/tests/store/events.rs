//! Event rows.

use shared::event::Body;
use shared::store::{
    Digests, EVENT_BYTES_MAX, EventStatus, Line, Planned, Put, RowKey, StoreError,
};
use testkit::events::order_paid;

use super::{days, lane, seconds, swept};

#[tokio::test]
async fn of_many_deliveries_in_parallel_one_is_new() {
    let (store, clock) = testkit::store().await;
    let event = order_paid("1001", clock.now());
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (store, event) = (store.clone(), event.clone());
            tokio::spawn(async move { store.put_event(event).await.unwrap() })
        })
        .collect();
    let mut new = 0;
    for task in tasks {
        new += usize::from(task.await.unwrap() == Put::New);
    }
    assert_eq!(new, 1);
}

#[tokio::test]
async fn a_new_event_reads_back_and_is_the_streams_before_it_is_the_sweeps() {
    let (store, clock) = testkit::store().await;
    let event = order_paid("1001", clock.now());
    store.put_event(event.clone()).await.unwrap();
    let row = store.event(&event.event.id).await.unwrap().unwrap();
    assert_eq!(row.status, EventStatus::New);
    assert_eq!(row.event, Some(event.clone()));
    assert_eq!(row.received_at, clock.now());
    let key = RowKey::Event(event.event.id.clone());
    assert_eq!(lane(&store).await, vec![key.clone()]);
    assert_eq!(swept(&store, &clock).await, []);
    clock.advance(seconds(90));
    assert_eq!(swept(&store, &clock).await, [key]);
}

#[tokio::test]
async fn planning_ends_an_events_wait_and_keeps_its_lines() {
    let (store, clock) = testkit::store().await;
    let event = order_paid("1001", clock.now());
    store.put_event(event.clone()).await.unwrap();
    let line = |automation: &str, matched| Line {
        automation: automation.to_owned(),
        matched,
        why: "-".to_owned(),
    };
    let planned = Planned {
        lines: vec![line("order-confirmed", true), line("cart", false)],
        digests: Digests::new().phone("+5511987654321"),
        ..Planned::default()
    };
    store
        .finish_planning(&event.event.id, &planned)
        .await
        .unwrap();
    // A second planner comes later and changes nothing.
    let late = Planned {
        lines: vec![line("other", true)],
        ..planned.clone()
    };
    store.finish_planning(&event.event.id, &late).await.unwrap();

    let row = store.event(&event.event.id).await.unwrap().unwrap();
    assert_eq!(row.status, EventStatus::Planned);
    assert_eq!(row.lines, planned.lines);
    assert!(row.digests.meets(&planned.digests));
    assert!(
        row.digests
            .meets(&Digests::new().email("Maria@example.com")),
        "the door's digests stay"
    );
    assert_eq!(row.sweep_at, None);
    clock.advance(days(1));
    assert_eq!(swept(&store, &clock).await, []);
    assert_eq!(lane(&store).await, []);
}

#[tokio::test]
async fn an_event_outlives_its_last_job_by_thirty_days() {
    let (store, clock) = testkit::store().await;
    let start = clock.now();
    for (n, last, expected) in [
        ("1", None, 7),
        ("2", Some(start), 30),
        ("3", Some(start + days(100)), 130),
    ] {
        let event = order_paid(n, start);
        store.put_event(event.clone()).await.unwrap();
        let planned = Planned {
            last_job_at: last,
            ..Planned::default()
        };
        store
            .finish_planning(&event.event.id, &planned)
            .await
            .unwrap();
        let expires = store
            .event(&event.event.id)
            .await
            .unwrap()
            .unwrap()
            .expires_at
            .unwrap();
        assert_eq!(expires, start + days(expected) + seconds(1), "order {n}");
    }
}

#[tokio::test]
async fn a_deferred_event_comes_back_by_the_sweep_alone() {
    let (store, clock) = testkit::store().await;
    let event = order_paid("1001", clock.now());
    let key = RowKey::Event(event.event.id.clone());
    store.put_event(event.clone()).await.unwrap();
    store
        .defer_event(
            &event.event.id,
            clock.now() + seconds(300),
            "no automations pushed yet",
        )
        .await
        .unwrap();
    assert_eq!(lane(&store).await, []);
    clock.advance(seconds(299));
    assert_eq!(swept(&store, &clock).await, []);
    clock.advance(seconds(1));
    assert_eq!(swept(&store, &clock).await, [key]);
    let row = store.event(&event.event.id).await.unwrap().unwrap();
    assert_eq!(
        (row.status, row.problem.as_deref()),
        (EventStatus::New, Some("no automations pushed yet"))
    );
    // What is planned cannot be deferred any more.
    store
        .finish_planning(&event.event.id, &Planned::default())
        .await
        .unwrap();
    store
        .defer_event(&event.event.id, clock.now(), "late")
        .await
        .unwrap();
    assert_eq!(swept(&store, &clock).await, []);
}

#[tokio::test]
async fn a_planned_event_can_be_planned_again_until_it_expires() {
    let (store, clock) = testkit::store().await;
    let event = order_paid("1001", clock.now());
    store.put_event(event.clone()).await.unwrap();
    assert!(
        !store.replan_event(&event.event.id).await.unwrap(),
        "it is still new"
    );
    store
        .finish_planning(&event.event.id, &Planned::default())
        .await
        .unwrap();
    assert!(store.replan_event(&event.event.id).await.unwrap());
    assert_eq!(lane(&store).await, [RowKey::Event(event.event.id.clone())]);
    store
        .finish_planning(&event.event.id, &Planned::default())
        .await
        .unwrap();
    clock.advance(days(8));
    assert!(
        !store.replan_event(&event.event.id).await.unwrap(),
        "it has expired and is not deleted yet"
    );
    assert!(!store.replan_event("shopify/order/none/paid").await.unwrap());
}

#[tokio::test]
async fn an_expired_event_that_is_not_deleted_yet_is_no_duplicate() {
    let (store, clock) = testkit::store().await;
    let event = order_paid("1001", clock.now());
    assert_eq!(store.put_event(event.clone()).await.unwrap(), Put::New);
    clock.advance(days(7));
    assert_eq!(
        store.put_event(event.clone()).await.unwrap(),
        Put::Duplicate
    );
    clock.advance(seconds(2));
    assert_eq!(store.put_event(event).await.unwrap(), Put::New);
}

/// Texts that do not compress: a generator of which every byte counts.
fn noise(bytes: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut text = String::new();
    while text.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:016x}"));
    }
    text
}

#[tokio::test]
async fn an_event_that_is_too_large_loses_its_free_maps_with_a_note() {
    let (store, clock) = testkit::store().await;
    let mut event = order_paid("1001", clock.now());
    let Body::Order { order, .. } = &mut event.body else {
        panic!("an order")
    };
    order
        .attributes
        .insert("gift".to_owned(), noise(EVENT_BYTES_MAX * 3).into());
    store.put_event(event.clone()).await.unwrap();
    let stored = store
        .event(&event.event.id)
        .await
        .unwrap()
        .unwrap()
        .event
        .unwrap();
    assert!(stored.order().unwrap().attributes.is_empty());
    assert_eq!(
        stored.event.notes,
        ["order.attributes left out: the event was too large"]
    );
}

#[tokio::test]
async fn an_event_that_is_too_large_without_them_is_refused() {
    let (store, clock) = testkit::store().await;
    let mut event = order_paid("1001", clock.now());
    event.customer.name = Some(noise(EVENT_BYTES_MAX * 3));
    let error = store.put_event(event.clone()).await.unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::TooLarge {
                bytes_max: EVENT_BYTES_MAX,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(store.event(&event.event.id).await.unwrap(), None);
}

#[tokio::test]
async fn an_unreadable_body_is_recorded_once_and_never_swept() {
    let (store, clock) = testkit::store().await;
    assert_eq!(
        store
            .put_unreadable("shopify", "ab12", "line_items[2].price: a text")
            .await
            .unwrap(),
        Put::New
    );
    assert_eq!(
        store
            .put_unreadable("shopify", "ab12", "line_items[2].price: a text")
            .await
            .unwrap(),
        Put::Duplicate
    );
    let row = store
        .event("shopify/unreadable/ab12")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.status, EventStatus::Unreadable);
    assert_eq!(row.problem.as_deref(), Some("line_items[2].price: a text"));
    clock.advance(days(1));
    assert_eq!(swept(&store, &clock).await, []);
    assert_eq!(lane(&store).await, []);
}

#[tokio::test]
async fn a_request_to_erase_somebody_is_not_erased_by_it() {
    let (store, clock) = testkit::store().await;
    let mut event = order_paid("1001", clock.now());
    event.event.name = shared::event::Name::PrivacyRedactCustomer;
    store.put_event(event.clone()).await.unwrap();
    assert!(
        store
            .event(&event.event.id)
            .await
            .unwrap()
            .unwrap()
            .digests
            .is_empty()
    );
}
