//! Mailbox rows: one sync at a time, a place that only its owner moves; and the public keys that prove pushes.

use jiff::SignedDuration;
use shared::clock::Clock;
use shared::keys::{PublicKeys, RsaKey};
use shared::store::{LEASE_MS, NewMailbox, Owner, Store};

const NAME: &str = "gmail";

fn new(address: &str, history: u64) -> NewMailbox<'_> {
    NewMailbox {
        connection: NAME,
        address,
        topic: "projects/p/topics/t",
        door: "https://example.com/emails/gmail",
        history,
        since: testkit::start(),
        watched_until: testkit::start() + SignedDuration::from_hours(168),
    }
}

async fn connected() -> (Store, Clock) {
    let (store, clock) = testkit::store().await;
    assert!(
        store
            .connect_mailbox(&new("a@example.com", 7))
            .await
            .unwrap()
    );
    (store, clock)
}

#[tokio::test]
async fn one_of_two_workers_reads_and_moves_the_place() {
    let (store, clock) = connected().await;
    let (one, other) = (Owner::new().unwrap(), Owner::new().unwrap());
    let row = store.begin_mailbox(NAME, &one).await.unwrap().unwrap();
    assert_eq!((row.history, row.synced_from), (7, None));
    assert_eq!(store.begin_mailbox(NAME, &other).await.unwrap(), None);
    assert!(store.reach_mailbox(NAME, &one, u64::MAX - 1).await.unwrap());
    assert!(!store.reach_mailbox(NAME, &other, 9).await.unwrap());
    store
        .note_mailbox_failing(NAME, Some("Google answered 403"))
        .await
        .unwrap();
    // A crash: the lease lapses, and the place that was reached stays.
    clock.advance(SignedDuration::from_millis(LEASE_MS));
    let row = store.begin_mailbox(NAME, &other).await.unwrap().unwrap();
    assert_eq!(row.history, u64::MAX - 1);
    assert_eq!(row.failing.unwrap().1, "Google answered 403");
    assert!(
        !store
            .finish_mailbox(NAME, &one, 9, clock.now())
            .await
            .unwrap()
    );
    let end = u64::MAX;
    assert!(
        store
            .finish_mailbox(NAME, &other, end, clock.now())
            .await
            .unwrap()
    );
    let row = store.mailbox(NAME).await.unwrap().unwrap();
    assert_eq!((row.history, row.synced_from), (end, Some(clock.now())));
    assert_eq!(row.failing, None);
    assert!(store.begin_mailbox(NAME, &one).await.unwrap().is_some());
    store.release_mailbox(NAME, &one).await.unwrap();
    assert!(store.begin_mailbox(NAME, &other).await.unwrap().is_some());
}

#[tokio::test]
async fn a_mailbox_goes_on_where_it_was_and_another_begins_anew() {
    let (store, clock) = connected().await;
    clock.advance(SignedDuration::from_hours(1));
    let again = NewMailbox {
        topic: "projects/p/topics/other",
        since: clock.now(),
        ..new("a@example.com", 99)
    };
    assert!(!store.connect_mailbox(&again).await.unwrap());
    let row = store.mailbox(NAME).await.unwrap().unwrap();
    assert_eq!(
        (row.history, row.topic.as_str()),
        (7, "projects/p/topics/other")
    );
    assert_eq!(row.connected_at, testkit::start());
    assert!(
        store
            .connect_mailbox(&new("b@example.com", 99))
            .await
            .unwrap()
    );
    let row = store.mailbox(NAME).await.unwrap().unwrap();
    assert_eq!((row.history, row.address.as_str()), (99, "b@example.com"));
    let until = clock.now() + SignedDuration::from_hours(168);
    store.watched_mailbox(NAME, until).await.unwrap();
    let row = store.mailbox(NAME).await.unwrap().unwrap();
    assert_eq!(row.watched_until, Some(until));
    // A calendar's row of the same name is another.
    assert_eq!(store.cursor(NAME).await.unwrap(), None);
    store.disconnect_mailbox(NAME).await.unwrap();
    store.watched_mailbox(NAME, until).await.unwrap();
    store.note_mailbox_failing(NAME, Some("x")).await.unwrap();
    assert_eq!(store.mailbox(NAME).await.unwrap(), None);
}

fn keys(kids: &[&str]) -> PublicKeys {
    let key = |kid: &&str| {
        let key = RsaKey {
            n: format!("n-of-{kid}"),
            e: "AQAB".to_owned(),
        };
        ((*kid).to_owned(), key)
    };
    PublicKeys(kids.iter().map(key).collect())
}

#[tokio::test]
async fn a_key_that_is_no_longer_listed_stays_for_a_day() {
    let (store, clock) = testkit::store().await;
    assert_eq!(store.public_keys().await.unwrap(), None);
    store.keep_public_keys(&keys(&["a", "b"])).await.unwrap();
    let hours = SignedDuration::from_hours;
    clock.advance(hours(23));
    store.keep_public_keys(&keys(&["b", "c"])).await.unwrap();
    let row = store.public_keys().await.unwrap().unwrap();
    assert_eq!(row.keys, keys(&["a", "b", "c"]));
    assert_eq!(row.read_at, clock.now());
    clock.advance(hours(1));
    store.keep_public_keys(&keys(&["c"])).await.unwrap();
    let row = store.public_keys().await.unwrap().unwrap();
    assert_eq!(row.keys, keys(&["b", "c"]));
    clock.advance(hours(24));
    store.keep_public_keys(&keys(&["d"])).await.unwrap();
    assert_eq!(
        store.public_keys().await.unwrap().unwrap().keys,
        keys(&["d"])
    );
}
