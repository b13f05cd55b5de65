//! What workers share: the send rate, once marks, holds, the red button.

use shared::event::SubjectKind;
use shared::store::{Once, OnceKey, PersonId, RATE_LEASE_MAX, RateLease, Store};

use super::{days, seconds};

async fn lease(store: &Store, want: u32, rate: u32) -> u32 {
    match store.lease_rate(want, rate).await.unwrap() {
        RateLease::Tokens { tokens, second } => {
            assert_eq!(second, store.clock().now().as_second());
            tokens
        }
        RateLease::Paused => panic!("paused"),
    }
}

#[tokio::test]
async fn many_workers_never_lease_more_than_the_rate() {
    let (store, clock) = testkit::store().await;
    for rate in [1, 3, 20] {
        let tasks: Vec<_> = (1..=12)
            .map(|want| {
                let store = store.clone();
                tokio::spawn(async move { lease(&store, want, rate).await })
            })
            .collect();
        let mut leased = 0;
        for task in tasks {
            let tokens = task.await.unwrap();
            assert!(tokens <= RATE_LEASE_MAX);
            leased += tokens;
        }
        assert!(leased <= rate, "{leased} of {rate}");
        while leased < rate {
            let more = lease(&store, 1, rate).await;
            assert_eq!(more, 1, "what is left can be leased");
            leased += more;
        }
        assert_eq!(lease(&store, 5, rate).await, 0);
        clock.advance(seconds(1));
    }
}

#[tokio::test]
async fn a_lease_is_what_is_wanted_or_five_or_what_is_left() {
    let (store, clock) = testkit::store().await;
    assert_eq!(lease(&store, 3, 20).await, 3);
    assert_eq!(lease(&store, 50, 20).await, RATE_LEASE_MAX);
    assert_eq!(lease(&store, 50, 10).await, 2);
    assert_eq!(lease(&store, 50, 10).await, 0);
    assert_eq!(lease(&store, 0, 10).await, 0);
    assert_eq!(
        lease(&store, 5, 4).await,
        0,
        "the rate was lowered meanwhile"
    );
    clock.advance(seconds(1));
    assert_eq!(lease(&store, 50, 2).await, 2);
}

#[tokio::test]
async fn nothing_is_leased_while_the_red_button_is_pressed() {
    let (store, clock) = testkit::store().await;
    assert_eq!(store.paused().await.unwrap(), None);
    store.pause().await.unwrap();
    let since = clock.now();
    clock.advance(seconds(60));
    store.pause().await.unwrap();
    assert_eq!(store.paused().await.unwrap().unwrap().since, since);
    assert_eq!(store.lease_rate(5, 20).await.unwrap(), RateLease::Paused);
    store.resume().await.unwrap();
    store.resume().await.unwrap();
    assert_eq!(lease(&store, 5, 20).await, 5);
}

#[tokio::test]
async fn one_event_holds_a_once_mark_and_its_steps_pass() {
    let (store, clock) = testkit::store().await;
    let key = OnceKey::subject("cart", SubjectKind::Checkout, "shopify/checkout/1");
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(async move {
                store
                    .take_once(&key, &format!("event-{n}"), None)
                    .await
                    .unwrap()
            })
        })
        .collect();
    let mut taken = None;
    let mut refused = Vec::new();
    for (n, task) in tasks.into_iter().enumerate() {
        match task.await.unwrap() {
            Once::Taken => assert_eq!(taken.replace(format!("event-{n}")), None, "taken twice"),
            Once::HeldBy { event, at } => {
                assert_eq!(at, clock.now());
                refused.push(event);
            }
            Once::HeldByUs { .. } => panic!("nobody asked twice"),
        }
    }
    let holder = taken.unwrap();
    assert_eq!(refused, vec![holder.clone(); 7]);
    let at = clock.now();
    clock.advance(days(4_000));
    assert_eq!(
        store.take_once(&key, &holder, None).await.unwrap(),
        Once::HeldByUs { at },
        "for ever is for ever"
    );
    let other = OnceKey::subject("other", SubjectKind::Checkout, "shopify/checkout/1");
    assert_eq!(
        store.take_once(&other, "event-x", None).await.unwrap(),
        Once::Taken
    );
}

#[tokio::test]
async fn a_mark_with_an_end_can_be_taken_again_although_it_is_not_deleted_yet() {
    let (store, clock) = testkit::store().await;
    let key = OnceKey::customer("promo", &PersonId::phone("+351912345678"));
    let week = || Some(clock.now() + days(7));
    assert_eq!(
        store.take_once(&key, "a", week()).await.unwrap(),
        Once::Taken
    );
    let at = clock.now();
    clock.advance(days(7) - seconds(1));
    assert_eq!(
        store.take_once(&key, "a", week()).await.unwrap(),
        Once::HeldByUs { at },
        "and it is not prolonged"
    );
    assert_eq!(
        store.take_once(&key, "b", week()).await.unwrap(),
        Once::HeldBy {
            event: "a".to_owned(),
            at
        }
    );
    clock.advance(seconds(1));
    assert_eq!(
        store.take_once(&key, "b", week()).await.unwrap(),
        Once::Taken
    );
}

#[tokio::test]
async fn a_held_channel_is_probed_by_one_at_a_time() {
    let (store, clock) = testkit::store().await;
    let since = clock.now();
    assert_eq!(store.held("br").await.unwrap(), None);
    assert!(
        !store.try_probe("br", 60_000).await.unwrap(),
        "nothing to probe, and no row made"
    );
    assert!(
        store
            .hold("br", "out of credit", since + seconds(60))
            .await
            .unwrap(),
        "one alarm"
    );
    assert!(
        !store
            .hold("br", "token refused", since + seconds(120))
            .await
            .unwrap()
    );
    let hold = store.held("br").await.unwrap().unwrap();
    assert_eq!(
        (hold.reason.as_str(), hold.since, hold.probe_at),
        ("token refused", since, since + seconds(120))
    );
    assert!(!store.try_probe("br", 60_000).await.unwrap(), "too early");
    clock.advance(seconds(120));
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.try_probe("br", 60_000).await.unwrap() })
        })
        .collect();
    let mut probes = 0;
    for task in tasks {
        probes += usize::from(task.await.unwrap());
    }
    assert_eq!(probes, 1);
    store
        .hold("it", "out of credit", clock.now())
        .await
        .unwrap();
    let mut channels: Vec<_> = store
        .holds()
        .await
        .unwrap()
        .into_iter()
        .map(|hold| hold.channel)
        .collect();
    channels.sort();
    assert_eq!(channels, ["br", "it"]);
    store.release("br").await.unwrap();
    assert_eq!(store.held("br").await.unwrap(), None);
}
