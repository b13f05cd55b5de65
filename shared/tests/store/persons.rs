//! Person rows.

use std::collections::BTreeMap;

use shared::event::Name;
use shared::store::{Digests, LastSent, Mark, PersonId, PersonMark};

use super::seconds;

fn mark(s: i64, event: &str) -> Mark {
    Mark {
        at: testkit::start() + seconds(s),
        event: event.to_owned(),
    }
}

#[tokio::test]
async fn the_latest_of_each_event_is_kept_in_any_order() {
    let (store, _) = testkit::store().await;
    let id = PersonId::phone("+5511987654321");
    let marks = [(10, "a"), (30, "c"), (20, "b"), (30, "c"), (30, "b")];
    for (s, event) in marks {
        let stops = vec![(Name::OrderPaid, mark(s, event))];
        store
            .record_person(
                &id,
                &PersonMark {
                    stops,
                    ..PersonMark::default()
                },
            )
            .await
            .unwrap();
    }
    let sent = |s, automation: &str| LastSent {
        at: testkit::start() + seconds(s),
        automation: automation.to_owned(),
    };
    for (s, automation) in [(5, "one"), (9, "two"), (7, "three")] {
        let mark = PersonMark {
            stops: vec![(Name::OrderCreated, mark(1, "created"))],
            sent: Some(sent(s, automation)),
            digests: Digests::new().account("shopify", "minha-loja.myshopify.com"),
        };
        store.record_person(&id, &mark).await.unwrap();
    }
    let rows = store
        .persons(&[id.clone(), PersonId::email("nobody@example.com")])
        .await
        .unwrap();
    let [row] = rows.as_slice() else {
        panic!("{rows:?}")
    };
    assert_eq!(row.id, id);
    let stops = BTreeMap::from([
        (Name::OrderCreated, mark(1, "created")),
        (Name::OrderPaid, mark(30, "c")),
    ]);
    assert_eq!(row.stops, stops);
    assert_eq!(row.sent, Some(sent(9, "two")));
    assert_eq!(row.window_until, None);
}

#[tokio::test]
async fn a_window_opens_and_closes() {
    let (store, clock) = testkit::store().await;
    let id = PersonId::phone("+351912345678");
    for until in [Some(clock.now() + seconds(86_400)), None, Some(clock.now())] {
        store.set_window(&id, until).await.unwrap();
        assert_eq!(
            store.persons(std::slice::from_ref(&id)).await.unwrap()[0].window_until,
            until
        );
    }
}

#[test]
fn an_identity_is_not_printed_and_its_kinds_do_not_meet() {
    let id = PersonId::phone("+351912345678");
    assert!(!format!("{id:?}").contains("351912345678"));
    assert!(!id.digest().contains("351912345678"));
    assert_ne!(PersonId::phone("x").digest(), PersonId::email("x").digest());
    assert_eq!(
        PersonId::email(" Maria@Example.com "),
        PersonId::email("maria@example.com")
    );
    assert!(!format!("{:?}", Digests::new().phone("+351912345678")).contains("351"));
}
