//! Map rows of records elsewhere: one worker at a time, an id that stays, and nothing left of an erased person.

use jiff::SignedDuration;
use shared::store::{
    Digests, Erasure, LEASE_MS, Leased, Owner, PersonId, RecordKey, Settle, Status,
};

use super::job_in;

const PHONE: &str = "+5511987654321";

fn key(system: &str, place: Option<&str>) -> RecordKey {
    RecordKey::new(system, place, &PersonId::phone(PHONE))
}

fn leased(id: Option<&str>) -> Leased {
    Leased::Leased {
        id: id.map(str::to_owned),
    }
}

#[tokio::test]
async fn one_of_two_workers_makes_the_record_and_the_other_finds_it() {
    let (store, _) = testkit::store().await;
    let (one, other) = (Owner::new().unwrap(), Owner::new().unwrap());
    let key = key("hubspot", None);
    let take = async |owner: &Owner| {
        let digests = Digests::new().phone(PHONE);
        store.lease_record(&key, owner, LEASE_MS, &digests).await
    };
    assert_eq!(take(&one).await, Ok(leased(None)));
    assert_eq!(take(&other).await, Ok(Leased::Busy));
    // The answer to the first request got lost.
    assert_eq!(take(&one).await, Ok(leased(None)));
    // Whoever has no lease writes nothing.
    assert_eq!(
        store.finish_record(&key, &other, Some("9")).await,
        Ok(false)
    );
    assert_eq!(store.finish_record(&key, &one, Some("7")).await, Ok(true));
    assert_eq!(take(&other).await, Ok(leased(Some("7"))));
    // An attempt that came to nothing takes nothing back.
    assert_eq!(store.finish_record(&key, &other, None).await, Ok(true));
    assert_eq!(take(&one).await, Ok(leased(Some("7"))));
}

#[tokio::test]
async fn a_lease_lapses_and_whoever_had_it_writes_nothing() {
    let (store, clock) = testkit::store().await;
    let (dead, next) = (Owner::new().unwrap(), Owner::new().unwrap());
    let key = key("hubspot", None);
    let none = Digests::new();
    let lease = async |owner: &Owner| store.lease_record(&key, owner, LEASE_MS, &none).await;
    assert_eq!(lease(&dead).await, Ok(leased(None)));
    clock.advance(SignedDuration::from_millis(LEASE_MS - 1));
    assert_eq!(lease(&next).await, Ok(Leased::Busy));
    clock.advance(SignedDuration::from_millis(1));
    assert_eq!(lease(&next).await, Ok(leased(None)));
    assert_eq!(store.finish_record(&key, &dead, Some("7")).await, Ok(false));
    assert_eq!(store.finish_record(&key, &next, Some("8")).await, Ok(true));
    assert_eq!(lease(&dead).await, Ok(leased(Some("8"))));
}

#[tokio::test]
async fn each_person_place_and_system_has_a_record_of_its_own() {
    let (store, _) = testkit::store().await;
    let person = |phone: &str| PersonId::phone(phone);
    let keys = [
        key("hubspot", None),
        key("pipedrive", None),
        key("salesforce", Some("Contact")),
        key("salesforce", Some("Lead")),
        RecordKey::new("hubspot", None, &person("+393312345678")),
        RecordKey::new("hubspot", None, &PersonId::customer("callbell", "c1")),
    ];
    for (n, key) in keys.iter().enumerate() {
        let owner = Owner::new().unwrap();
        let nobody = Digests::new();
        let lease = store.lease_record(key, &owner, LEASE_MS, &nobody);
        assert_eq!(lease.await, Ok(leased(None)), "{n}");
        let id = n.to_string();
        assert_eq!(store.finish_record(key, &owner, Some(&id)).await, Ok(true));
    }
}

#[tokio::test]
async fn an_erasure_takes_the_row_along() {
    let (store, _) = testkit::store().await;
    let key = key("hubspot", None);
    let owner = Owner::new().unwrap();
    let digests = Digests::new().phone(PHONE);
    let lease = store.lease_record(&key, &owner, LEASE_MS, &digests);
    assert_eq!(lease.await, Ok(leased(None)));
    assert_eq!(store.finish_record(&key, &owner, Some("7")).await, Ok(true));
    let erasure = Erasure {
        digests,
        entities: Vec::new(),
    };
    while !store.erase_step("e", &erasure).await.unwrap().done {}
    let nobody = Digests::new();
    let lease = store.lease_record(&key, &owner, LEASE_MS, &nobody);
    assert_eq!(lease.await, Ok(leased(None)), "the id is forgotten");
}

/// What may be done twice is done again where whoever did it stopped without a word; what still runs is left
/// alone.
#[tokio::test]
async fn an_idempotent_job_whose_lease_lapsed_is_due_again() {
    let (store, clock) = testkit::store().await;
    let (row, _) = job_in(&store, "1", Status::Running).await;
    let again = Settle::Again {
        at: clock.now() + SignedDuration::from_mins(1),
        reason: "stopped".to_owned(),
    };
    let settled = store.settle(&row.id, row.version, &again).await.unwrap();
    assert!(matches!(settled, shared::store::Changed::Lost(_)));
    clock.advance(SignedDuration::from_millis(LEASE_MS));
    store.settle(&row.id, row.version, &again).await.unwrap();
    let row = store.job(&row.id).await.unwrap().unwrap();
    assert_eq!((row.status, row.uncertainties), (Status::Due, 0));
    assert_eq!(row.attempts, 1);
}
