//! Entity rows: whatever the order in which news arrives, the row is the same.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shared::event::{Fact, PARTS_MAX, State};
use shared::store::{Digests, EntityChange, EntityRow, Store};
use testkit::events::{checkout, order_paid};

use super::{days, seconds};

fn change(key: &str, state: State, as_of_s: i64, event: Option<&str>) -> EntityChange {
    let as_of = testkit::start() + seconds(as_of_s);
    EntityChange {
        kind: shared::event::SubjectKind::Order,
        key: key.to_owned(),
        state,
        as_of,
        event: event.map(str::to_owned),
        holder: None,
        start: None,
        end: None,
        alias_of: None,
        created_at: event.map(|_| testkit::start()),
        facts: Vec::new(),
        parts: Vec::new(),
        seen_at: testkit::start(),
        keep_until: as_of,
        digests: Digests::new(),
    }
}

#[tokio::test]
async fn an_orders_event_says_all_it_knows() {
    let (store, clock) = testkit::store().await;
    let event = order_paid("1001", clock.now());
    let changes = EntityChange::all(
        &event,
        clock.now(),
        clock.now(),
        &Digests::new().email("maria@example.com"),
    );
    for change in &changes {
        store.record_entity(change).await.unwrap();
    }
    let row = store.entity("shopify/order/1001").await.unwrap().unwrap();
    assert_eq!(
        (row.state, row.as_of, row.event.as_deref()),
        (State::Open, clock.now(), Some("shopify/order/1001/paid"))
    );
    assert_eq!(row.created_at, Some(clock.now() - seconds(300)));
    assert_eq!(
        row.seen,
        BTreeMap::from([(Fact::Paid, clock.now()), (Fact::Unfulfilled, clock.now())])
    );
    assert_eq!(row.expires_at, Some(end_of_day(clock.now() + days(30))));
    let ended = store
        .entity("shopify/checkout/checkout-of-1001")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (ended.state, ended.event, ended.seen.len()),
        (State::Ordered, None, 0)
    );
    assert_eq!(store.entity("shopify/order/none").await.unwrap(), None);
}

#[tokio::test]
async fn an_ordered_checkout_stays_ordered_whatever_comes_later() {
    let (store, clock) = testkit::store().await;
    let order = order_paid("1", clock.now());
    let link = EntityChange::all(&order, clock.now(), clock.now(), &Digests::new()).remove(1);
    store.record_entity(&link).await.unwrap();
    let late = checkout("checkout-of-1", clock.now() + seconds(60));
    let late = EntityChange::all(&late, clock.now(), clock.now(), &Digests::new()).remove(0);
    let row = store.record_entity(&late).await.unwrap();
    assert_eq!(row.state, State::Ordered);
    assert_eq!(
        row.event.as_deref(),
        Some("shopify/checkout/checkout-of-1/abandoned"),
        "the newest event is kept too"
    );
}

#[tokio::test]
async fn newer_holds_and_of_equally_old_ones_the_higher_rank() {
    let (store, _) = testkit::store().await;
    for (n, (first, second, holds)) in [
        ((State::Open, 0), (State::Emptied, 0), State::Emptied),
        ((State::Emptied, 0), (State::Open, 0), State::Emptied),
        ((State::Emptied, 0), (State::Open, 1), State::Open),
        ((State::Open, 1), (State::Emptied, 0), State::Open),
        ((State::Cancelled, 0), (State::Open, 9), State::Cancelled),
        ((State::Open, 9), (State::Cancelled, 0), State::Cancelled),
        ((State::Refunded, 1), (State::Cancelled, 0), State::Refunded),
        ((State::Cancelled, 0), (State::Refunded, 1), State::Refunded),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("shopify/checkout/{n}");
        store
            .record_entity(&change(&key, first.0, first.1, Some("a")))
            .await
            .unwrap();
        let row = store
            .record_entity(&change(&key, second.0, second.1, Some("b")))
            .await
            .unwrap();
        assert_eq!(row.state, holds, "{first:?} then {second:?}");
        assert_eq!(store.entity(&key).await.unwrap(), Some(row));
    }
}

#[tokio::test]
async fn what_was_seen_first_stays_and_expiry_only_rises() {
    let (store, clock) = testkit::store().await;
    let key = "shopify/order/1";
    let facts = |facts: &[Fact], as_of_s, seen_s, keep_days| EntityChange {
        facts: facts.to_vec(),
        seen_at: testkit::start() + seconds(seen_s),
        keep_until: testkit::start() + days(keep_days),
        ..change(key, State::Open, as_of_s, Some("e"))
    };
    store
        .record_entity(&facts(&[Fact::Unpaid], 0, 1, 50))
        .await
        .unwrap();
    store
        .record_entity(&facts(&[Fact::Paid], 10, 11, 0))
        .await
        .unwrap();
    // A stale version that arrives late still adds what it saw, and lowers nothing.
    let row = store
        .record_entity(&facts(&[Fact::Unpaid, Fact::Unfulfilled], 5, 99, 1))
        .await
        .unwrap();
    let at = |s| testkit::start() + seconds(s);
    assert_eq!(row.as_of, at(10));
    assert_eq!(
        row.seen,
        BTreeMap::from([
            (Fact::Unpaid, at(1)),
            (Fact::Paid, at(11)),
            (Fact::Unfulfilled, at(99))
        ])
    );
    assert_eq!(row.expires_at, Some(end_of_day(clock.now() + days(80))));
}

#[tokio::test]
async fn a_part_is_dated_by_its_first_sighting_whatever_its_name() {
    let (store, _) = testkit::store().await;
    let key = "loja/order/1";
    let at = |s| testkit::start() + seconds(s);
    let parts = |parts: &[&str], as_of_s, seen_s| EntityChange {
        facts: vec![Fact::Refunded],
        parts: parts.iter().map(|part| (*part).to_owned()).collect(),
        seen_at: at(seen_s),
        ..change(key, State::Open, as_of_s, Some("e"))
    };
    let odd = "refund/a b#c:d=é,(pk)";
    let first = parts(&["refund/17", "refund/17"], 0, 1);
    store.record_entity(&first).await.unwrap();
    let both = parts(&["refund/17", odd], 10, 11);
    store.record_entity(&both).await.unwrap();
    // A body of the past adds what only it saw.
    let late = parts(&["refund/17", "refund/-"], 5, 99);
    let row = store.record_entity(&late).await.unwrap();
    let expected = [("refund/17", 1), (odd, 11), ("refund/-", 99)];
    let expected: BTreeMap<String, _> = expected
        .into_iter()
        .map(|(part, s)| (part.to_owned(), at(s)))
        .collect();
    assert_eq!(row.parts, expected);
    assert_eq!(row.seen, BTreeMap::from([(Fact::Refunded, at(1))]));
    for change in [&both, &first, &late] {
        assert_eq!(store.record_entity(change).await.unwrap(), row, "again");
    }
    assert_eq!(store.entity(key).await.unwrap(), Some(row));
}

#[tokio::test]
async fn as_many_parts_as_an_event_may_name_fit_into_one_write() {
    let (store, _) = testkit::store().await;
    let many = (0..=PARTS_MAX).map(|n| format!("refund/{n}-{}", "x".repeat(150)));
    let many = EntityChange {
        facts: vec![
            Fact::Paid,
            Fact::Fulfilled,
            Fact::Uncancelled,
            Fact::Refunded,
        ],
        parts: many.collect(),
        digests: Digests::new().email("maria@example.com"),
        ..change("loja/order/1", State::Open, 0, Some("e"))
    };
    let row = store.record_entity(&many).await.unwrap();
    assert_eq!(row.parts.len(), PARTS_MAX, "the rest is left out");
    assert_eq!(store.record_entity(&many).await.unwrap(), row);
}

/// Rows go at the end of a day.
fn end_of_day(at: jiff::Timestamp) -> jiff::Timestamp {
    let day = 24 * 60 * 60;
    jiff::Timestamp::from_second((at.as_second() / day + 1) * day).unwrap()
}

/// Plain data of a change, so that proptest can make and shrink it.
type Plain = (usize, i64, Option<u8>, Vec<usize>, i64, Option<u8>);

fn plain() -> impl Strategy<Value = Plain> {
    let facts = prop::collection::vec(0..4_usize, 0..3);
    (
        0..5_usize,
        0..4_i64,
        prop::option::of(0..3_u8),
        facts,
        0..40_i64,
        prop::option::of(0..2_u8),
    )
}

fn to_change(key: &str, plain: &Plain) -> EntityChange {
    let (state, as_of, event, facts, keep, digest) = plain;
    let state = [
        State::Open,
        State::Emptied,
        State::Ordered,
        State::Refunded,
        State::Cancelled,
    ][*state];
    let event = event.map(|event| format!("e{event}"));
    let all = [Fact::Unpaid, Fact::Paid, Fact::Unfulfilled, Fact::Fulfilled];
    EntityChange {
        kind: shared::event::SubjectKind::Order,
        facts: facts.iter().map(|fact| all[*fact]).collect(),
        parts: facts.iter().map(|part| format!("refund/{part}")).collect(),
        keep_until: testkit::start() + days(*keep),
        digests: digest.map_or_else(Digests::new, |n| Digests::new().phone(&n.to_string())),
        ..change(key, state, *as_of, event.as_deref())
    }
}

async fn record_all(store: &Store, key: &str, plain: &[Plain]) -> EntityRow {
    let mut last = None;
    for plain in plain {
        last = Some(store.record_entity(&to_change(key, plain)).await.unwrap());
    }
    let row = store.entity(key).await.unwrap();
    assert_eq!(last, row, "what is returned is what is stored");
    row.unwrap()
}

#[test]
fn any_order_and_any_repetition_leaves_the_same_row() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let store = runtime.block_on(testkit::store()).0;
    let mut runner = TestRunner::new(Config {
        cases: 32,
        failure_persistence: None,
        ..Config::default()
    });
    let changes = prop::collection::vec(plain(), 1..6);
    let shuffled = changes.prop_flat_map(|changes| {
        let mut repeated = changes.clone();
        repeated.extend(changes.iter().take(2).cloned());
        (Just(changes), Just(repeated).prop_shuffle())
    });
    let case = Cell::new(0);
    runner
        .run(&shuffled, |(straight, shuffled)| {
            case.set(case.get() + 1);
            let (a, b) = (
                format!("shopify/order/{}-a", case.get()),
                format!("shopify/order/{}-b", case.get()),
            );
            let (a, b) = runtime.block_on(async {
                (
                    record_all(&store, &a, &straight).await,
                    record_all(&store, &b, &shuffled).await,
                )
            });
            prop_assert_eq!(
                EntityRow {
                    key: String::new(),
                    ..a
                },
                EntityRow {
                    key: String::new(),
                    ..b
                }
            );
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn changes_in_parallel_leave_the_same_row_as_one_after_the_other() {
    let (store, _) = testkit::store().await;
    let plain: Vec<Plain> = (0..12)
        .map(|n: i64| {
            (
                usize::try_from(n % 2).unwrap(),
                n % 5,
                Some(0),
                vec![usize::try_from(n % 4).unwrap()],
                n,
                None,
            )
        })
        .collect();
    let expected = record_all(&store, "shopify/order/a", &plain).await;
    let tasks: Vec<_> = plain
        .iter()
        .map(|plain| {
            let (store, change) = (store.clone(), to_change("shopify/order/b", plain));
            tokio::spawn(async move { store.record_entity(&change).await.unwrap() })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let row = store.entity("shopify/order/b").await.unwrap().unwrap();
    assert_eq!(
        EntityRow {
            key: expected.key.clone(),
            ..row
        },
        expected
    );
}
