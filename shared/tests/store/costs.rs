//! What things cost in requests: DynamoDB is paid by the request, and a door has to answer in milliseconds.

use jiff::SignedDuration;
use shared::clock::Clock;
use shared::event::{Fact, Name};
use shared::store::{
    ClaimRequest, Digests, End, EntityChange, LEASE_MS, Mark, Owner, PersonId, PersonMark, Planned,
};
use testkit::events::order_paid;
use testkit::{Engine, Proxy};

use super::{new_job, won};

#[tokio::test]
async fn a_message_costs_what_is_written_here() {
    let proxy = Proxy::start(Engine::shared().endpoint()).await;
    let clock = Clock::manual(testkit::start());
    let store = testkit::store_at(proxy.endpoint(), clock.clone()).await;
    let event = order_paid("1", clock.now());
    let job = new_job("1", clock.now());
    proxy.take_operations();

    store.put_event(event.clone()).await.unwrap();
    assert_eq!(
        proxy.take_operations(),
        ["putitem"],
        "the door writes once, a redelivery too"
    );
    store.put_event(event.clone()).await.unwrap();
    assert_eq!(proxy.take_operations(), ["putitem"]);

    let change = EntityChange::all(&event, clock.now(), clock.now(), &Digests::new()).remove(0);
    store.record_entity(&change).await.unwrap();
    let news = ["batchgetitem", "updateitem"];
    assert_eq!(proxy.take_operations(), news, "news");
    store.record_entity(&change).await.unwrap();
    assert_eq!(proxy.take_operations(), ["batchgetitem"], "nothing new");
    let later = EntityChange {
        as_of: change.as_of + SignedDuration::from_secs(60),
        facts: vec![Fact::Cancelled],
        seen_at: change.seen_at + SignedDuration::from_secs(60),
        ..change
    };
    store.record_entity(&later).await.unwrap();
    assert_eq!(proxy.take_operations(), news, "something new");

    let stop = Mark {
        at: clock.now(),
        event: event.event.id.clone(),
    };
    let mark = PersonMark {
        stops: vec![(Name::OrderPaid, stop)],
        ..PersonMark::default()
    };
    store
        .record_person(&PersonId::phone("+5511987654321"), &mark)
        .await
        .unwrap();
    assert_eq!(proxy.take_operations(), ["updateitem"]);
    store.put_job(&job).await.unwrap();
    assert_eq!(proxy.take_operations(), ["putitem"]);
    store
        .finish_planning(&event.event.id, &Planned::default())
        .await
        .unwrap();
    assert_eq!(proxy.take_operations(), ["updateitem"]);

    store.lease_rate(5, 20).await.unwrap();
    assert_eq!(
        proxy.take_operations(),
        ["getitem", "updateitem"],
        "the red button and five tokens"
    );
    let owner = Owner::new().unwrap();
    let row = won(store
        .claim(&job.id(), 1, &owner, LEASE_MS, &ClaimRequest::default())
        .await
        .unwrap());
    assert_eq!(proxy.take_operations(), ["updateitem"]);
    let sent = End::Sent {
        uuid: Some("0123".to_owned()),
    };
    store
        .finish(&row.id, &owner, row.version, &sent)
        .await
        .unwrap();
    assert_eq!(
        proxy.take_operations(),
        ["putitem", "updateitem"],
        "whose message it is, and the job"
    );
}
