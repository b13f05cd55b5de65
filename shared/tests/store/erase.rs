//! Erasure.

use shared::event::{Name, SubjectKind};
use shared::store::{
    Digests, EntityChange, Erased, Erasure, Mark, Once, OnceKey, OptMark, PersonId, PersonMark,
    Planned, Store,
};
use testkit::events::order_paid;

use super::new_job;

/// Everything of one person's order: event, entity, job, person, once mark.
async fn fill(store: &Store, n: &str, phone: &str, account: &str) -> Erasure {
    let mut event = order_paid(n, store.clock().now());
    event.customer.id = Some(format!("customer-{n}"));
    event.customer.email = Some(format!("{n}@example.com"));
    event.event.account = Some(account.to_owned());
    let account = Digests::new().account("shopify", account);
    let person = Digests::new().phone(phone);
    let all = person.clone().and(&account);
    store.put_event(event.clone()).await.unwrap();
    for change in EntityChange::all(&event, store.clock().now(), store.clock().now(), &all) {
        store.record_entity(&change).await.unwrap();
    }
    let job = shared::store::NewJob {
        digests: all.clone(),
        ..new_job(n, store.clock().now())
    };
    store.put_job(&job).await.unwrap();
    let planned = Planned {
        digests: all,
        ..Planned::default()
    };
    store
        .finish_planning(&event.event.id, &planned)
        .await
        .unwrap();
    let stop = Mark {
        at: store.clock().now(),
        event: event.event.id.clone(),
    };
    let mark = PersonMark {
        stops: vec![(Name::OrderPaid, stop)],
        sent: None,
        digests: account,
    };
    store
        .record_person(&PersonId::phone(phone), &mark)
        .await
        .unwrap();
    let once = OnceKey::customer("promo", &PersonId::phone(phone));
    assert_eq!(
        store.take_once(&once, &event.event.id, None).await.unwrap(),
        Once::Taken
    );
    let once = OnceKey::subject("thanks", SubjectKind::Order, &event.entity_key());
    store.take_once(&once, &event.event.id, None).await.unwrap();
    let digests = person
        .customer("shopify", &format!("customer-{n}"))
        .email(&format!("{n}@example.com"));
    Erasure {
        digests,
        entities: vec![event.entity_key()],
    }
}

async fn erase(store: &Store, id: &str, erasure: &Erasure) -> Erased {
    loop {
        let erased = store.erase_step(id, erasure).await.unwrap();
        if erased.done {
            return erased;
        }
    }
}

/// What is left of an order: event, entity, its checkout's entity, job, person.
async fn left(store: &Store, n: &str, phone: &str) -> [bool; 5] {
    [
        store
            .event(&format!("shopify/order/{n}/paid"))
            .await
            .unwrap()
            .is_some(),
        store
            .entity(&format!("shopify/order/{n}"))
            .await
            .unwrap()
            .is_some(),
        store
            .entity(&format!("shopify/checkout/checkout-of-{n}"))
            .await
            .unwrap()
            .is_some(),
        store
            .job(&new_job(n, store.clock().now()).id())
            .await
            .unwrap()
            .is_some(),
        !store
            .persons(&[PersonId::phone(phone)])
            .await
            .unwrap()
            .is_empty(),
    ]
}

#[tokio::test]
async fn a_customers_rows_go_and_nobody_elses() {
    let (store, _) = testkit::store().await;
    let erasure = fill(&store, "1", "+5511911111111", "loja").await;
    fill(&store, "2", "+5511922222222", "loja").await;
    let erased = erase(&store, "shopify/privacy/1/redact", &erasure).await;
    assert_eq!(left(&store, "1", "+5511911111111").await, [false; 5]);
    assert_eq!(left(&store, "2", "+5511922222222").await, [true; 5]);
    // Event, two entities, job, person, once mark.
    assert_eq!(erased.rows, 6);
    let again = store
        .erase_step("shopify/privacy/1/redact", &erasure)
        .await
        .unwrap();
    assert_eq!(again, erased, "a finished erasure answers and does nothing");
    let once = OnceKey::customer("promo", &PersonId::phone("+5511911111111"));
    assert_eq!(
        store.take_once(&once, "new", None).await.unwrap(),
        Once::Taken
    );
}

#[tokio::test]
async fn an_accounts_rows_go_and_no_other_accounts() {
    let (store, _) = testkit::store().await;
    fill(&store, "1", "+5511911111111", "loja").await;
    fill(&store, "2", "+5511922222222", "outra").await;
    let erasure = Erasure {
        digests: Digests::new().account("shopify", "Loja"),
        entities: Vec::new(),
    };
    erase(&store, "shopify/privacy/2/redact", &erasure).await;
    assert_eq!(left(&store, "1", "+5511911111111").await, [false; 5]);
    assert_eq!(left(&store, "2", "+5511922222222").await, [true; 5]);
}

#[tokio::test]
async fn an_erasure_is_done_in_pages_that_another_invocation_can_continue() {
    let (store, clock) = testkit::store().await;
    for n in 0..510 {
        let digests = Digests::new().phone(if n % 3 == 0 {
            "+5511911111111"
        } else {
            "+5511922222222"
        });
        let job = shared::store::NewJob {
            digests,
            ..new_job(&n.to_string(), clock.now())
        };
        store.put_job(&job).await.unwrap();
    }
    let erasure = Erasure {
        digests: Digests::new().phone("+5511911111111"),
        entities: Vec::new(),
    };
    let first = store.erase_step("e", &erasure).await.unwrap();
    assert!(!first.done && first.rows > 0, "{first:?}");
    let last = erase(&store.clone(), "e", &erasure).await;
    assert_eq!(last.rows, 170);
}

#[tokio::test]
async fn an_erasure_of_nothing_ends_at_once() {
    let (store, _) = testkit::store().await;
    fill(&store, "1", "+5511911111111", "loja").await;
    let erased = store.erase_step("e", &Erasure::default()).await.unwrap();
    assert_eq!(
        erased,
        Erased {
            rows: 0,
            done: true
        }
    );
    assert_eq!(left(&store, "1", "+5511911111111").await, [true; 5]);
}

/// Whoever asked to be left alone is left alone, also after everything else of them was forgotten.
#[tokio::test]
async fn an_opt_out_outlives_an_erasure_and_nothing_else_of_the_person_does() {
    let (store, clock) = testkit::store().await;
    let phone = "+5511911111111";
    let id = PersonId::phone(phone);
    let erasure = fill(&store, "1", phone, "loja").await;
    let said = |out: bool, event: &str| OptMark {
        at: clock.now(),
        event: event.to_owned(),
        out,
    };
    let account = Digests::new().account("shopify", "loja");
    store
        .record_opt(&id, &said(true, "callbell/message/m1/received"), &account)
        .await
        .unwrap();
    let found = store.erasable(&erasure).await.unwrap();
    assert_eq!(found.values().sum::<u64>(), 6, "{found:?}");
    assert_eq!(erase(&store, "e", &erasure).await.rows, 6);
    let row = store
        .persons(std::slice::from_ref(&id))
        .await
        .unwrap()
        .remove(0);
    assert_eq!(row.opted_out_at, Some(clock.now()));
    assert!(row.stops.is_empty() && row.opted_out_by.is_none());
    assert!(row.sent.is_none() && row.first_message.is_none());

    // Again: there is nothing left to erase.
    assert!(store.erasable(&erasure).await.unwrap().is_empty());
    assert_eq!(erase(&store, "again", &erasure).await.rows, 0);
    assert_eq!(store.erased("again").await.unwrap().unwrap().rows, 0);
    assert_eq!(store.erased("never").await.unwrap(), None);
    // A year later the row is still there; a later word opts in again.
    clock.advance(jiff::SignedDuration::from_hours(500 * 24));
    store
        .record_opt(&id, &said(false, "callbell/message/m2/received"), &account)
        .await
        .unwrap();
    let row = store
        .persons(std::slice::from_ref(&id))
        .await
        .unwrap()
        .remove(0);
    assert_eq!(row.opted_out_at, None);
}
