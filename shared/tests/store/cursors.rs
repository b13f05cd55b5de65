//! Cursor rows: one sync at a time a calendar, saved by its owner alone; channels that replace each other.

use jiff::{SignedDuration, Timestamp};
use shared::clock::Clock;
use shared::store::{Channel, LEASE_MS, Owner, Store, Synced};

const NAME: &str = "google-calendar";

async fn connected() -> (Store, Clock) {
    let (store, clock) = testkit::store().await;
    let door = "https://example.com/appointments/google-calendar";
    assert!(store.connect_calendar(NAME, "c", door).await.unwrap());
    (store, clock)
}

fn synced(token: &str, from: Timestamp) -> Synced {
    Synced {
        token: Some(token.to_owned()),
        from,
        ..Synced::default()
    }
}

fn channel(id: &str) -> Channel {
    Channel {
        id: id.to_owned(),
        resource: "r".to_owned(),
        expires_at: testkit::start() + SignedDuration::from_hours(100),
    }
}

#[tokio::test]
async fn one_of_two_workers_syncs() {
    let (store, _) = connected().await;
    let (one, other) = (Owner::new().unwrap(), Owner::new().unwrap());
    assert!(store.begin_sync(NAME, &one).await.unwrap().is_some());
    assert!(store.begin_sync(NAME, &other).await.unwrap().is_none());
    // The answer to the first request got lost.
    assert!(store.begin_sync(NAME, &one).await.unwrap().is_some());
    let from = testkit::start();
    assert!(
        store
            .finish_sync(NAME, &one, &synced("1", from))
            .await
            .unwrap()
    );
    let cursor = store.begin_sync(NAME, &other).await.unwrap().unwrap();
    assert_eq!(cursor.token.as_deref(), Some("1"));
    assert_eq!(cursor.synced_from, Some(from));
    store.release_sync(NAME, &other).await.unwrap();
    assert!(store.begin_sync(NAME, &one).await.unwrap().is_some());
}

#[tokio::test]
async fn a_crash_before_the_token_was_saved_repeats_the_sync() {
    let (store, clock) = connected().await;
    let (dead, next) = (Owner::new().unwrap(), Owner::new().unwrap());
    assert!(store.begin_sync(NAME, &dead).await.unwrap().is_some());
    clock.advance(SignedDuration::from_millis(LEASE_MS - 1));
    assert!(store.begin_sync(NAME, &next).await.unwrap().is_none());
    clock.advance(SignedDuration::from_millis(1));
    let cursor = store.begin_sync(NAME, &next).await.unwrap().unwrap();
    assert_eq!(cursor.token, None);
    // Who was only slow saves nothing over the one that took over, and does not end its lease.
    let from = clock.now();
    assert!(
        !store
            .finish_sync(NAME, &dead, &synced("old", from))
            .await
            .unwrap()
    );
    store.release_sync(NAME, &dead).await.unwrap();
    store.forget_token(NAME, &dead).await.unwrap();
    assert!(
        store
            .finish_sync(NAME, &next, &synced("new", from))
            .await
            .unwrap()
    );
    // Nor afterwards.
    assert!(
        !store
            .finish_sync(NAME, &dead, &synced("old", from))
            .await
            .unwrap()
    );
    let cursor = store.cursor(NAME).await.unwrap().unwrap();
    assert_eq!(cursor.token.as_deref(), Some("new"));
}

#[tokio::test]
async fn a_crash_after_the_token_was_saved_loses_nothing() {
    let (store, clock) = connected().await;
    let owner = Owner::new().unwrap();
    assert!(store.begin_sync(NAME, &owner).await.unwrap().is_some());
    let all = Synced {
        token: Some("1".to_owned()),
        from: clock.now(),
        zone: Some("Europe/Rome".to_owned()),
        search: Some("page".to_owned()),
        horizon: Some(clock.now()),
    };
    assert!(store.finish_sync(NAME, &owner, &all).await.unwrap());
    // The same again, whose answer got lost: nothing is saved, and nothing is lost.
    assert!(!store.finish_sync(NAME, &owner, &all).await.unwrap());
    let cursor = store
        .begin_sync(NAME, &Owner::new().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(cursor.search.as_deref(), Some("page"));
    assert_eq!(cursor.zone.as_deref(), Some("Europe/Rome"));
    assert_eq!(cursor.horizon, Some(clock.now()));
}

#[tokio::test]
async fn of_two_renewals_one_puts_its_channel_in() {
    let (store, _) = connected().await;
    let (first, second, third) = (channel("1"), channel("2"), channel("3"));
    assert!(store.change_channel(NAME, None, &first).await.unwrap());
    assert!(!store.change_channel(NAME, None, &second).await.unwrap());
    assert!(
        store
            .change_channel(NAME, Some(&first), &second)
            .await
            .unwrap()
    );
    assert!(
        !store
            .change_channel(NAME, Some(&first), &third)
            .await
            .unwrap()
    );
    let cursor = store.cursor(NAME).await.unwrap().unwrap();
    assert_eq!(
        (cursor.channel, cursor.old_channel),
        (Some(second), Some(first))
    );
    store.drop_old_channel(NAME, "another").await.unwrap();
    assert!(
        store
            .cursor(NAME)
            .await
            .unwrap()
            .unwrap()
            .old_channel
            .is_some()
    );
    store.drop_old_channel(NAME, "1").await.unwrap();
    assert_eq!(store.cursor(NAME).await.unwrap().unwrap().old_channel, None);
    // A calendar that was disconnected meanwhile gets none.
    store.disconnect_calendar(NAME).await.unwrap();
    assert!(!store.change_channel(NAME, None, &third).await.unwrap());
    assert_eq!(store.cursor(NAME).await.unwrap(), None);
}

#[tokio::test]
async fn connecting_again_goes_on_and_another_calendar_begins_anew() {
    let (store, clock) = connected().await;
    let owner = Owner::new().unwrap();
    store.begin_sync(NAME, &owner).await.unwrap();
    store
        .finish_sync(NAME, &owner, &synced("1", clock.now()))
        .await
        .unwrap();
    clock.advance(SignedDuration::from_hours(1));
    assert!(
        !store
            .connect_calendar(NAME, "c", "https://example.org/x")
            .await
            .unwrap()
    );
    let cursor = store.cursor(NAME).await.unwrap().unwrap();
    assert_eq!(cursor.token.as_deref(), Some("1"));
    assert_eq!(cursor.door, "https://example.org/x");
    assert_eq!(cursor.connected_at, testkit::start());
    assert!(
        store
            .connect_calendar(NAME, "other", "https://example.org/x")
            .await
            .unwrap()
    );
    let cursor = store.cursor(NAME).await.unwrap().unwrap();
    assert_eq!((cursor.token, cursor.connected_at), (None, clock.now()));
}

#[tokio::test]
async fn since_when_a_calendar_fails_is_kept_until_it_is_read() {
    let (store, clock) = connected().await;
    assert_eq!(
        store.note_failing("another", Some("why")).await.unwrap(),
        None
    );
    let since = store.note_failing(NAME, Some("first")).await.unwrap();
    assert_eq!(since, Some(testkit::start()));
    clock.advance(SignedDuration::from_hours(1));
    store.note_failing(NAME, Some("then")).await.unwrap();
    let cursor = store.cursor(NAME).await.unwrap().unwrap();
    assert_eq!(cursor.failing, Some((testkit::start(), "then".to_owned())));
    let owner = Owner::new().unwrap();
    store.begin_sync(NAME, &owner).await.unwrap();
    store
        .finish_sync(NAME, &owner, &synced("1", clock.now()))
        .await
        .unwrap();
    assert_eq!(store.cursor(NAME).await.unwrap().unwrap().failing, None);
}

/// Callbell's log of deliveries: how far it was read, and since when the webhook is ours.
#[tokio::test]
async fn how_far_callbell_s_log_was_read_begins_anew_with_each_connect() {
    let (store, clock) = testkit::store().await;
    let row = async || store.missed().await.unwrap();
    // Nobody remembers a log that is not ours.
    store.put_missed(clock.now(), None).await.unwrap();
    assert_eq!(row().await, None);
    store.begin_missed().await.unwrap();
    let connected = clock.now();
    clock.advance(jiff::SignedDuration::from_hours(1));
    let until = clock.now() - jiff::SignedDuration::from_mins(10);
    let failing = (until, "nothing was delivered for an hour");
    store.put_missed(until, Some(failing)).await.unwrap();
    let read = row().await.unwrap();
    assert_eq!((read.connected_at, read.read_until), (connected, until));
    assert_eq!(read.read_at, clock.now());
    assert_eq!(read.failing, Some((until, failing.1.to_owned())));
    store.put_missed(until, None).await.unwrap();
    assert_eq!(row().await.unwrap().failing, None);
    store.begin_missed().await.unwrap();
    assert_eq!(row().await.unwrap().connected_at, clock.now());
}
