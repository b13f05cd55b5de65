//! The sweep's pages, and the lists of the command line.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use shared::store::{
    Digests, Ended, EventFilter, EventStatus, JobFilter, JobId, JobRow, Page, Planned, RowKey,
    SHARDS, Status, Store,
};
use testkit::events::order_paid;

use super::{due_job, new_job, seconds, swept};

/// The shard that a job is in: it follows from its row's key, and rows in AWS stay where they are.
fn shard(id: &JobId) -> u8 {
    Sha256::digest(format!("job#{id}").as_bytes())[0] % SHARDS
}

#[tokio::test]
async fn a_sweep_finds_every_row_once_page_by_page_the_longest_waiting_first() {
    let (store, clock) = testkit::store().await;
    let jobs = (0_i64..).map(|n| new_job(&n.to_string(), clock.now() + seconds(1 + n % 7)));
    // More than a page of one shard, and some of the others.
    let mut made: BTreeSet<RowKey> = BTreeSet::new();
    for job in jobs
        .clone()
        .filter(|job| shard(&job.id()) == 5)
        .take(130)
        .chain(jobs.take(20))
    {
        store.put_job(&job).await.unwrap();
        made.insert(RowKey::Job(job.id()));
    }
    assert_eq!(swept(&store, &clock).await, [], "nothing is due yet");
    clock.advance(seconds(10));
    let found = swept(&store, &clock).await;
    assert_eq!(found, made.iter().cloned().collect::<Vec<_>>());

    let (rows, next) = store.sweep(5, clock.now(), None).await.unwrap();
    assert_eq!(rows.len(), 100);
    let next = Page::parse(&next.unwrap().to_text()).unwrap();
    let (more, _) = store.sweep(5, clock.now(), Some(next)).await.unwrap();
    let mut last = testkit::start();
    for waiting in rows.into_iter().chain(more) {
        let RowKey::Job(id) = waiting.row else {
            panic!("a job")
        };
        let next_at = store.job(&id).await.unwrap().unwrap().next_at;
        assert_eq!(waiting.since, next_at);
        assert!(last <= next_at);
        last = next_at;
    }
}

async fn all_jobs(store: &Store, filter: &JobFilter) -> Vec<JobRow> {
    let (mut rows, mut page) = (Vec::new(), None);
    loop {
        let (found, next) = store.list_jobs(filter, page).await.unwrap();
        rows.extend(found);
        match next {
            Some(next) => page = Some(next),
            None => return rows,
        }
    }
}

#[tokio::test]
async fn jobs_are_listed_by_what_is_asked() {
    let (store, clock) = testkit::store().await;
    let first = due_job(&store, "1").await;
    clock.advance(seconds(60));
    let second = due_job(&store, "2").await;
    let mut other = new_job("3", clock.now());
    other.automation = "cart".to_owned();
    other.digests = Digests::new().email("jo@example.com");
    other.ended = Some(Ended::Skipped("no consent".to_owned()));
    store.put_job(&other).await.unwrap();
    store.put_event(order_paid("1", clock.now())).await.unwrap();

    let keys = |filter: JobFilter| {
        let store = store.clone();
        async move {
            let mut keys: Vec<_> = all_jobs(&store, &filter)
                .await
                .into_iter()
                .map(|row| row.key)
                .collect();
            keys.sort();
            keys
        }
    };
    let all = JobFilter::default();
    let (one, two, three) = (first.key.clone(), second.key.clone(), other.key());
    assert_eq!(
        keys(all.clone()).await,
        [three.clone(), one.clone(), two.clone()]
    );
    assert_eq!(
        keys(JobFilter {
            status: Some(Status::Due),
            ..all.clone()
        })
        .await,
        [one.clone(), two.clone()]
    );
    assert_eq!(
        keys(JobFilter {
            automation: Some("cart".to_owned()),
            ..all.clone()
        })
        .await,
        vec![three.clone()]
    );
    assert_eq!(
        keys(JobFilter {
            event: Some("shopify/order/2/paid".to_owned()),
            ..all.clone()
        })
        .await,
        vec![two.clone()]
    );
    assert_eq!(
        keys(JobFilter {
            since: Some(clock.now()),
            ..all.clone()
        })
        .await,
        [three.clone(), two]
    );
    let jo = Digests::new()
        .email("jo@example.com")
        .email("nobody@example.com");
    assert_eq!(
        keys(JobFilter {
            digests: jo,
            ..all.clone()
        })
        .await,
        [three]
    );
    store.delete(&RowKey::Job(first.id)).await.unwrap();
    assert!(!keys(all).await.contains(&one));
}

#[tokio::test]
async fn events_are_listed_by_what_is_asked() {
    let (store, clock) = testkit::store().await;
    let event = order_paid("1", clock.now());
    store.put_event(event.clone()).await.unwrap();
    store
        .finish_planning(&event.event.id, &Planned::default())
        .await
        .unwrap();
    clock.advance(seconds(60));
    let mut other = order_paid("2", clock.now());
    other.event.source = "loja-it".to_owned();
    store.put_event(other.clone()).await.unwrap();
    store
        .put_unreadable("shopify", "ab12", "id: absent")
        .await
        .unwrap();
    let keys = |filter: EventFilter| {
        let store = store.clone();
        async move {
            let (rows, _) = store.list_events(&filter, None).await.unwrap();
            let mut keys: Vec<_> = rows.into_iter().map(|row| row.key).collect();
            keys.sort();
            keys
        }
    };
    let all = EventFilter::default();
    let (one, two, bad) = (
        event.event.id,
        other.event.id,
        "shopify/unreadable/ab12".to_owned(),
    );
    assert_eq!(
        keys(all.clone()).await,
        [one.clone(), two.clone(), bad.clone()]
    );
    assert_eq!(
        keys(EventFilter {
            status: Some(EventStatus::Planned),
            ..all.clone()
        })
        .await,
        vec![one.clone()]
    );
    assert_eq!(
        keys(EventFilter {
            source: Some("loja-it".to_owned()),
            ..all.clone()
        })
        .await,
        vec![two.clone()]
    );
    assert_eq!(
        keys(EventFilter {
            since: Some(clock.now()),
            ..all.clone()
        })
        .await,
        [two.clone(), bad]
    );
    let maria = Digests::new().customer("shopify", "7001");
    assert_eq!(
        keys(EventFilter {
            digests: maria,
            ..all
        })
        .await,
        [one]
    );
}

#[test]
fn a_page_is_a_text_and_nothing_else_is_a_page() {
    for text in ["", "x", "!!!", "e30x"] {
        assert_eq!(Page::parse(text), None, "{text}");
    }
}
