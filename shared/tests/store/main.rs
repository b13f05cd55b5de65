//! The store against the embedded engine, over HTTP.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod appointments;
mod contacts;
mod costs;
mod cursors;
mod entities;
mod erase;
mod events;
mod fixtures;
mod jobs;
mod limits;
mod lists;
mod lost_answers;
mod machine;
mod mailboxes;
mod map;
mod persons;
mod settings;
mod table;
mod talks;

use jiff::{SignedDuration, Timestamp};
use shared::clock::Clock;
use shared::store::{
    Changed, Claim, ClaimRequest, Digests, End, Ended, Finished, JobId, JobRow, LEASE_MS, NewJob,
    Owner, Put, RowKey, SHARDS, Status, Store,
};

/// Everything that the sweep finds by now, sorted.
async fn swept(store: &Store, clock: &Clock) -> Vec<RowKey> {
    let mut rows = Vec::new();
    for shard in 0..SHARDS {
        let mut page = None;
        loop {
            let (found, next) = store.sweep(shard, clock.now(), page).await.unwrap();
            rows.extend(found.into_iter().map(|waiting| waiting.row));
            match next {
                Some(next) => page = Some(next),
                None => break,
            }
        }
    }
    rows.sort();
    rows
}

/// What the stream would hand over.
async fn lane(store: &Store) -> Vec<RowKey> {
    testkit::lane(testkit::Engine::shared(), store).await
}

fn seconds(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

fn days(n: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * n)
}

/// A job of order `n`, due at `due_at`.
fn new_job(n: &str, due_at: Timestamp) -> NewJob {
    NewJob {
        automation: "order-confirmed".to_owned(),
        action: "message.order-confirmed".to_owned(),
        event: format!("shopify/order/{n}/paid"),
        event_at: testkit::start(),
        due_at,
        depth: 0,
        digests: Digests::new().phone("+5511987654321"),
        ended: None,
    }
}

async fn due_job(store: &Store, n: &str) -> JobRow {
    let job = new_job(n, store.clock().now());
    assert_eq!(store.put_job(&job).await.unwrap(), Put::New);
    store.job(&job.id()).await.unwrap().unwrap()
}

async fn claim(store: &Store, id: &JobId, version: u64, owner: &Owner) -> Claim {
    store
        .claim(id, version, owner, LEASE_MS, &ClaimRequest::default())
        .await
        .unwrap()
}

fn won(claim: Claim) -> JobRow {
    match claim {
        Claim::Won(row) => row,
        Claim::Lost(row) => panic!("lost to {row:?}"),
    }
}

fn done(changed: Changed) -> JobRow {
    match changed {
        Changed::Done(row) => row,
        Changed::Lost(row) => panic!("lost to {row:?}"),
    }
}

fn finished(finished: Finished) -> JobRow {
    match finished {
        Finished::Done(row) => row,
        other => panic!("{other:?}"),
    }
}

/// A job in each state, by the ways that lead there; with its last owner.
async fn job_in(store: &Store, n: &str, status: Status) -> (JobRow, Owner) {
    let owner = Owner::new().unwrap();
    let row = due_job(store, n).await;
    let soon = store.clock().now() + seconds(60);
    let reason = "for the test".to_owned();
    let end = match status {
        Status::Due => return (row, owner),
        Status::Running => return (won(claim(store, &row.id, row.version, &owner).await), owner),
        Status::Skipped => {
            let end = Ended::Skipped(reason);
            return (
                done(
                    store
                        .end(&row.id, row.version, &[Status::Due], &end)
                        .await
                        .unwrap(),
                ),
                owner,
            );
        }
        Status::Cancelled => {
            let end = Ended::Cancelled(reason);
            return (
                done(
                    store
                        .end(&row.id, row.version, &[Status::Due], &end)
                        .await
                        .unwrap(),
                ),
                owner,
            );
        }
        Status::Sent => End::Sent {
            uuid: Some(format!("uuid-{}-{n}", store.table())),
        },
        Status::Uncertain => End::Uncertain { at: soon, reason },
        Status::Held => End::Held(reason),
        Status::Dead => End::Dead(reason),
    };
    let row = won(claim(store, &row.id, row.version, &owner).await);
    (
        finished(
            store
                .finish(&row.id, &owner, row.version, &end)
                .await
                .unwrap(),
        ),
        owner,
    )
}
