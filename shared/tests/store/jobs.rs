//! A job's life.

use shared::store::{
    Changed, Claim, ClaimRequest, Delivery, Digests, End, Ended, Finished, JobId, LEASE_MS, Owner,
    Put, RowKey, Settle, Status, Store, StoreError,
};

use super::{claim, days, done, due_job, finished, job_in, lane, new_job, seconds, swept, won};

#[test]
fn a_jobs_number_is_the_hash_of_its_key() {
    let id = JobId::of(
        "order-confirmed",
        "message.order-confirmed",
        "shopify/order/1/paid",
    );
    assert_eq!(
        id,
        JobId::of_key("order-confirmed/message.order-confirmed#shopify/order/1/paid")
    );
    assert_eq!(id.as_str().len(), 32);
    assert_eq!(JobId::parse(id.as_str()), Some(id));
    for text in ["", "abc", &"A".repeat(32), &"g".repeat(32), &"a".repeat(33)] {
        assert_eq!(JobId::parse(text), None, "{text}");
    }
}

#[tokio::test]
async fn a_job_due_now_is_the_streams_first_and_a_later_one_the_sweeps() {
    let (store, clock) = testkit::store().await;
    let now = new_job("1", clock.now());
    let later = new_job("2", clock.now() + seconds(30));
    for job in [&now, &later] {
        assert_eq!(store.put_job(job).await.unwrap(), Put::New);
        assert_eq!(store.put_job(job).await.unwrap(), Put::Duplicate);
    }
    assert_eq!(lane(&store).await, [RowKey::Job(now.id())]);
    assert_eq!(swept(&store, &clock).await, []);
    clock.advance(seconds(30));
    assert_eq!(swept(&store, &clock).await, [RowKey::Job(later.id())]);
    clock.advance(seconds(60));
    let mut both = vec![RowKey::Job(now.id()), RowKey::Job(later.id())];
    both.sort();
    assert_eq!(swept(&store, &clock).await, both);
}

#[tokio::test]
async fn a_job_can_be_stored_for_its_reason_alone() {
    let (store, clock) = testkit::store().await;
    let mut job = new_job("1", clock.now());
    job.ended = Some(Ended::Skipped("no usable phone".to_owned()));
    store.put_job(&job).await.unwrap();
    let row = store.job(&job.id()).await.unwrap().unwrap();
    assert_eq!(
        (row.status, row.reason.as_deref()),
        (Status::Skipped, Some("no usable phone"))
    );
    assert_eq!((row.attempts, row.ended_at), (0, Some(clock.now())));
    clock.advance(days(1));
    assert_eq!(
        (swept(&store, &clock).await, lane(&store).await),
        (vec![], vec![])
    );
}

#[tokio::test]
async fn of_many_claims_in_parallel_one_wins() {
    let (store, clock) = testkit::store().await;
    let row = due_job(&store, "1").await;
    let request = ClaimRequest {
        text_digest: Some("t".to_owned()),
        recipient: Some("r".to_owned()),
        channel: Some("br".to_owned()),
    };
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let (store, row, request) = (store.clone(), row.clone(), request.clone());
            tokio::spawn(async move {
                let owner = Owner::new().unwrap();
                let claim = store
                    .claim(&row.id, row.version, &owner, LEASE_MS, &request)
                    .await
                    .unwrap();
                (owner, claim)
            })
        })
        .collect();
    let mut winners = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            (owner, Claim::Won(row)) => winners.push((owner, row)),
            (_, Claim::Lost(row)) => assert_eq!(row.unwrap().status, Status::Running),
        }
    }
    let [(owner, won)] = winners.as_slice() else {
        panic!("{} winners", winners.len())
    };
    assert_eq!((won.version, won.attempts), (row.version + 1, 1));
    assert_eq!(won.request, request);
    assert_eq!(won.owner.as_deref(), Some(owner.as_str()));
    assert_eq!(won.claimed_at, Some(clock.now()));
    assert_eq!(won.lease_until, Some(clock.now() + seconds(75)));
    assert_eq!(lane(&store).await, []);
    clock.advance(seconds(74));
    assert_eq!(swept(&store, &clock).await, []);
    clock.advance(seconds(1));
    assert_eq!(
        swept(&store, &clock).await,
        [RowKey::Job(row.id)],
        "a lapsed lease is looked at"
    );
}

#[tokio::test]
async fn a_claim_that_is_repeated_by_the_same_owner_is_won() {
    let (store, _) = testkit::store().await;
    let row = due_job(&store, "1").await;
    let owner = Owner::new().unwrap();
    let first = won(claim(&store, &row.id, row.version, &owner).await);
    let again = won(claim(&store, &row.id, row.version, &owner).await);
    assert_eq!(first, again, "one attempt, one version");
    let other = claim(&store, &row.id, row.version, &Owner::new().unwrap()).await;
    assert_eq!(other, Claim::Lost(Some(first)));
}

#[tokio::test]
async fn nothing_is_done_to_a_job_that_is_not_there() {
    let (store, clock) = testkit::store().await;
    let id = JobId::of_key("none");
    let owner = Owner::new().unwrap();
    assert_eq!(store.job(&id).await.unwrap(), None);
    assert_eq!(claim(&store, &id, 1, &owner).await, Claim::Lost(None));
    let sent = End::Sent { uuid: None };
    assert_eq!(
        store.finish(&id, &owner, 1, &sent).await.unwrap(),
        Finished::Lost(None)
    );
    assert_eq!(
        store
            .move_due(&id, 1, clock.now(), None, "-")
            .await
            .unwrap(),
        Changed::Lost(None)
    );
    let skipped = Ended::Skipped("-".to_owned());
    assert_eq!(
        store.end(&id, 1, &[Status::Due], &skipped).await.unwrap(),
        Changed::Lost(None)
    );
    assert_eq!(
        store
            .settle(&id, 1, &Settle::Sent { uuid: None })
            .await
            .unwrap(),
        Changed::Lost(None)
    );
    assert_eq!(
        store
            .revive(&id, 1, None, None, &Digests::new())
            .await
            .unwrap(),
        Changed::Lost(None)
    );
    assert!(!store.set_delivery(&id, Delivery::Read, "u").await.unwrap());
    assert_eq!(
        store.job(&id).await.unwrap(),
        None,
        "a status never makes a row"
    );
}

/// Every change, by name.
const CHANGES: [&str; 15] = [
    "claim",
    "finish sent",
    "finish due",
    "finish uncertain",
    "finish dead",
    "move",
    "skip",
    "kill",
    "cancel",
    "lapse",
    "wait",
    "found",
    "not found",
    "held",
    "revive",
];

/// From which states each change goes, and where.
fn lead(change: &str, from: Status) -> Option<Status> {
    match (change, from) {
        ("claim", Status::Due) => Some(Status::Running),
        ("finish sent", Status::Running) | ("found", Status::Uncertain) => Some(Status::Sent),
        ("finish due", Status::Running)
        | ("move", Status::Due)
        | ("not found", Status::Uncertain) => Some(Status::Due),
        ("finish uncertain", Status::Running) | ("wait", Status::Uncertain) => {
            Some(Status::Uncertain)
        }
        ("finish dead", Status::Running) => Some(Status::Dead),
        ("skip", Status::Due | Status::Uncertain | Status::Held) => Some(Status::Skipped),
        ("kill", Status::Due | Status::Uncertain | Status::Held) => Some(Status::Dead),
        ("cancel", Status::Due | Status::Uncertain | Status::Held | Status::Running) => {
            Some(Status::Cancelled)
        }
        ("held", Status::Uncertain) => Some(Status::Held),
        ("revive", Status::Dead | Status::Skipped | Status::Held) => Some(Status::Due),
        _ => None,
    }
}

/// Tries a change; the status after it where it took place.
async fn attempt(
    store: &Store,
    change: &str,
    id: &JobId,
    version: u64,
    owner: &Owner,
) -> Option<Status> {
    let at = store.clock().now() + seconds(60);
    let reason = || "why".to_owned();
    let unclaimed = [Status::Due, Status::Uncertain, Status::Held];
    let any = [
        Status::Due,
        Status::Uncertain,
        Status::Held,
        Status::Running,
    ];
    let end = match change {
        "finish sent" => Some(End::Sent { uuid: None }),
        "finish due" => Some(End::Due {
            at,
            reason: reason(),
            attempt_spent: true,
            due_at: None,
        }),
        "finish uncertain" => Some(End::Uncertain {
            at,
            reason: reason(),
        }),
        "finish dead" => Some(End::Dead(reason())),
        _ => None,
    };
    if let Some(end) = end {
        return match store.finish(id, owner, version, &end).await.unwrap() {
            Finished::Done(row) => Some(row.status),
            Finished::Cancelled(_) | Finished::Lost(_) => None,
        };
    }
    let changed = match change {
        "claim" => match claim(store, id, version, &Owner::new().unwrap()).await {
            Claim::Won(row) => Changed::Done(row),
            Claim::Lost(row) => Changed::Lost(row),
        },
        "move" => store.move_due(id, version, at, None, "why").await.unwrap(),
        "skip" => store
            .end(id, version, &unclaimed, &Ended::Skipped(reason()))
            .await
            .unwrap(),
        "kill" => store
            .end(id, version, &unclaimed, &Ended::Dead(reason()))
            .await
            .unwrap(),
        "cancel" => store
            .end(id, version, &any, &Ended::Cancelled(reason()))
            .await
            .unwrap(),
        "lapse" => store
            .settle(
                id,
                version,
                &Settle::Lapsed {
                    at,
                    reason: reason(),
                },
            )
            .await
            .unwrap(),
        "wait" => store
            .settle(
                id,
                version,
                &Settle::Wait {
                    at,
                    reason: reason(),
                },
            )
            .await
            .unwrap(),
        "found" => store
            .settle(id, version, &Settle::Sent { uuid: None })
            .await
            .unwrap(),
        "not found" => store
            .settle(
                id,
                version,
                &Settle::Due {
                    at,
                    reason: reason(),
                },
            )
            .await
            .unwrap(),
        "held" => store
            .settle(id, version, &Settle::Held(reason()))
            .await
            .unwrap(),
        "revive" => store
            .revive(id, version, None, None, &Digests::new())
            .await
            .unwrap(),
        other => panic!("{other}"),
    };
    match changed {
        Changed::Done(row) => Some(row.status),
        Changed::Lost(_) => None,
    }
}

#[tokio::test]
async fn every_change_has_its_from_states_and_raises_the_version() {
    let (store, _) = testkit::store().await;
    for from in Status::ALL {
        for (n, change) in CHANGES.into_iter().enumerate() {
            let (row, owner) = job_in(&store, &format!("{from}-{n}"), from).await;
            // Another version: refused whatever the state.
            for version in [row.version - 1, row.version + 1] {
                if !(change == "finish sent" && matches!(from, Status::Uncertain | Status::Held)) {
                    let moved = attempt(&store, change, &row.id, version, &owner).await;
                    assert_eq!(moved, None, "{change} of {from} at another version");
                    assert_eq!(
                        store.job(&row.id).await.unwrap().unwrap(),
                        row,
                        "{change} of {from}"
                    );
                }
            }
            let before = store.job(&row.id).await.unwrap().unwrap();
            let moved = attempt(&store, change, &row.id, before.version, &owner).await;
            let late_knowledge =
                change == "finish sent" && matches!(from, Status::Uncertain | Status::Held);
            let expected = if late_knowledge {
                Some(Status::Sent)
            } else {
                lead(change, from)
            };
            assert_eq!(moved, expected, "{change} of {from}");
            let after = store.job(&row.id).await.unwrap().unwrap();
            match moved {
                Some(status) => assert_eq!(
                    (after.status, after.version),
                    (status, row.version + 1),
                    "{change} of {from}"
                ),
                None => assert_eq!(after, row, "{change} of {from}"),
            }
        }
    }
}

#[tokio::test]
async fn only_ended_jobs_expire_and_leave_the_index() {
    let (store, clock) = testkit::store().await;
    let mut waiting = Vec::new();
    for status in Status::ALL {
        let (row, _) = job_in(&store, status.as_str(), status).await;
        assert_eq!(row.ended_at.is_some(), status.has_ended(), "{status}");
        if !status.has_ended() {
            waiting.push(RowKey::Job(row.id));
        }
    }
    waiting.sort();
    clock.advance(days(31));
    assert_eq!(swept(&store, &clock).await, waiting);
    for status in Status::ALL {
        let put = store
            .put_job(&new_job(status.as_str(), clock.now()))
            .await
            .unwrap();
        let expected = if status.has_ended() {
            Put::New
        } else {
            Put::Duplicate
        };
        assert_eq!(
            put, expected,
            "{status}: expired and not deleted yet is as good as gone"
        );
    }
}

#[tokio::test]
async fn an_impossible_end_is_refused_before_it_is_tried() {
    let (store, _) = testkit::store().await;
    let (row, _) = job_in(&store, "1", Status::Running).await;
    for from in [&[Status::Running][..], &[Status::Sent], &[]] {
        let error = store
            .end(&row.id, row.version, from, &Ended::Skipped("-".to_owned()))
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Refused(_)), "{error}");
    }
}

#[tokio::test]
async fn finish_needs_the_owner() {
    let (store, _) = testkit::store().await;
    let (row, _) = job_in(&store, "1", Status::Running).await;
    let stranger = Owner::new().unwrap();
    let sent = End::Sent { uuid: None };
    assert_eq!(
        store
            .finish(&row.id, &stranger, row.version, &sent)
            .await
            .unwrap(),
        Finished::Lost(Some(row))
    );
}

#[tokio::test]
async fn attempts_count_unless_they_are_given_back() {
    let (store, clock) = testkit::store().await;
    let (mut row, mut owner) = job_in(&store, "1", Status::Running).await;
    for (attempt_spent, attempts) in [(true, 1), (false, 1), (true, 2)] {
        let at = clock.now() + seconds(60);
        let end = End::Due {
            at,
            reason: "503".to_owned(),
            attempt_spent,
            due_at: None,
        };
        row = finished(
            store
                .finish(&row.id, &owner, row.version, &end)
                .await
                .unwrap(),
        );
        assert_eq!(
            (row.attempts, row.next_at, row.reason.as_deref()),
            (attempts, at, Some("503"))
        );
        assert_eq!(
            row.due_at,
            testkit::start(),
            "lateness counts from the job's own time"
        );
        assert_eq!(lane(&store).await, [], "a retry is the sweep's");
        clock.advance(seconds(60));
        assert_eq!(swept(&store, &clock).await, [RowKey::Job(row.id.clone())]);
        owner = Owner::new().unwrap();
        row = won(claim(&store, &row.id, row.version, &owner).await);
        assert_eq!(row.reason, None);
    }
}

#[tokio::test]
async fn a_moved_job_leaves_the_lane_and_may_take_its_own_time_along() {
    let (store, clock) = testkit::store().await;
    let row = due_job(&store, "1").await;
    let at = clock.now() + seconds(3600);
    let row = done(
        store
            .move_due(&row.id, row.version, at, None, "outside send_hours")
            .await
            .unwrap(),
    );
    assert_eq!(
        (row.next_at, row.due_at, row.attempts),
        (at, clock.now(), 0)
    );
    let row = done(
        store
            .move_due(&row.id, row.version, at, Some(at), "held")
            .await
            .unwrap(),
    );
    assert_eq!((row.next_at, row.due_at, row.version), (at, at, 3));
    assert_eq!(lane(&store).await, []);
    clock.advance(seconds(3599));
    assert_eq!(swept(&store, &clock).await, []);
    clock.advance(seconds(1));
    assert_eq!(swept(&store, &clock).await, [RowKey::Job(row.id)]);
}

#[tokio::test]
async fn a_running_job_lapses_only_after_its_lease() {
    let (store, clock) = testkit::store().await;
    let (row, owner) = job_in(&store, "1", Status::Running).await;
    let lapse = Settle::Lapsed {
        at: clock.now() + seconds(180),
        reason: "lease lapsed".to_owned(),
    };
    clock.advance(seconds(74));
    assert!(!row.has_lapsed(clock.now()));
    assert!(matches!(
        store.settle(&row.id, row.version, &lapse).await.unwrap(),
        Changed::Lost(_)
    ));
    clock.advance(seconds(1));
    assert!(row.has_lapsed(clock.now()));
    let lapsed = done(store.settle(&row.id, row.version, &lapse).await.unwrap());
    assert_eq!(
        (lapsed.status, lapsed.uncertainties),
        (Status::Uncertain, 1)
    );
    // The worker lives after all and knows: that settles it.
    let sent = End::Sent {
        uuid: Some("u1".to_owned()),
    };
    let row = finished(
        store
            .finish(&row.id, &owner, row.version, &sent)
            .await
            .unwrap(),
    );
    assert_eq!(
        (row.status, row.message_uuid.as_deref()),
        (Status::Sent, Some("u1"))
    );
}

#[tokio::test]
async fn a_late_worker_that_knows_nothing_changes_nothing() {
    let (store, clock) = testkit::store().await;
    let (row, owner) = job_in(&store, "1", Status::Running).await;
    clock.advance(seconds(75));
    let lapse = Settle::Lapsed {
        at: clock.now(),
        reason: "lease lapsed".to_owned(),
    };
    let lapsed = done(store.settle(&row.id, row.version, &lapse).await.unwrap());
    for end in [
        End::Dead("422".to_owned()),
        End::Uncertain {
            at: clock.now(),
            reason: "timeout".to_owned(),
        },
    ] {
        assert_eq!(
            store
                .finish(&row.id, &owner, row.version, &end)
                .await
                .unwrap(),
            Finished::Lost(Some(lapsed.clone()))
        );
    }
    // Somebody else claimed it since: even a late uuid changes nothing.
    let again = Settle::Due {
        at: clock.now(),
        reason: "not in the history".to_owned(),
    };
    let due = done(store.settle(&row.id, lapsed.version, &again).await.unwrap());
    won(claim(&store, &row.id, due.version, &Owner::new().unwrap()).await);
    let sent = End::Sent {
        uuid: Some("u1".to_owned()),
    };
    assert!(matches!(
        store
            .finish(&row.id, &owner, row.version, &sent)
            .await
            .unwrap(),
        Finished::Lost(Some(_))
    ));
}

#[tokio::test]
async fn a_cancelled_job_stays_so_and_says_whether_it_reached_callbell() {
    let (store, _) = testkit::store().await;
    for (n, end, reached) in [
        (
            "1",
            End::Sent {
                uuid: Some("u1".to_owned()),
            },
            true,
        ),
        ("2", End::Dead("422".to_owned()), false),
    ] {
        let (row, owner) = job_in(&store, n, Status::Running).await;
        let cancel = Ended::Cancelled("order.cancelled".to_owned());
        let cancelled = done(
            store
                .end(&row.id, row.version, &[Status::Running], &cancel)
                .await
                .unwrap(),
        );
        let Finished::Cancelled(after) = store
            .finish(&row.id, &owner, row.version, &end)
            .await
            .unwrap()
        else {
            panic!("not cancelled")
        };
        assert_eq!(
            (after.status, after.version),
            (Status::Cancelled, cancelled.version)
        );
        assert_eq!(
            (after.reached, after.message_uuid.is_some()),
            (reached, reached)
        );
        assert_eq!(after.reason.as_deref(), Some("order.cancelled"));
    }
}

#[tokio::test]
async fn a_delivery_only_rises_and_belongs_to_one_message() {
    let (store, _) = testkit::store().await;
    let (row, _) = job_in(&store, "1", Status::Sent).await;
    let uuid = row.message_uuid.clone().unwrap();
    let id = &row.id;
    for (delivery, changes) in [
        (Delivery::Enqueued, true),
        (Delivery::Sent, true),
        (Delivery::Sent, false),
        (Delivery::Enqueued, false),
        (Delivery::Failed, true),
        (Delivery::Read, true),
        (Delivery::Delivered, false),
        (Delivery::Failed, false),
    ] {
        assert_eq!(
            store.set_delivery(id, delivery, &uuid).await.unwrap(),
            changes,
            "{delivery:?}"
        );
    }
    let after = store.job(id).await.unwrap().unwrap();
    assert_eq!(
        (after.delivery, after.version, after.status),
        (Some(Delivery::Read), row.version, Status::Sent)
    );
    let (other, _) = job_in(&store, "2", Status::Sent).await;
    assert!(
        !store
            .set_delivery(&other.id, Delivery::Read, "another message")
            .await
            .unwrap()
    );
    // Callbell's webhook can be faster than our own finish.
    let (running, owner) = job_in(&store, "3", Status::Running).await;
    assert!(
        store
            .set_delivery(&running.id, Delivery::Delivered, "u3")
            .await
            .unwrap()
    );
    let sent = End::Sent {
        uuid: Some("u3".to_owned()),
    };
    let row = finished(
        store
            .finish(&running.id, &owner, running.version, &sent)
            .await
            .unwrap(),
    );
    assert_eq!(
        (row.delivery, row.message_uuid.as_deref()),
        (Some(Delivery::Delivered), Some("u3"))
    );
    // A job that waits has no message.
    let waiting = due_job(&store, "4").await;
    assert!(
        !store
            .set_delivery(&waiting.id, Delivery::Delivered, "u4")
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn one_message_of_the_history_settles_one_job() {
    let (store, _) = testkit::store().await;
    let (first, _) = job_in(&store, "1", Status::Uncertain).await;
    let (second, _) = job_in(&store, "2", Status::Uncertain).await;
    let found = Settle::Sent {
        uuid: Some("u1".to_owned()),
    };
    let first = done(
        store
            .settle(&first.id, first.version, &found)
            .await
            .unwrap(),
    );
    assert_eq!(first.status, Status::Sent);
    assert_eq!(store.message_job("u1").await.unwrap(), Some(first.id));
    assert_eq!(
        store
            .settle(&second.id, second.version, &found)
            .await
            .unwrap(),
        Changed::Lost(Some(second))
    );
    assert_eq!(store.message_job("u2").await.unwrap(), None);
}

#[tokio::test]
async fn a_second_uncertainty_is_counted() {
    let (store, clock) = testkit::store().await;
    let (row, _) = job_in(&store, "1", Status::Uncertain).await;
    let again = Settle::Due {
        at: clock.now(),
        reason: "not in the history".to_owned(),
    };
    let row = done(store.settle(&row.id, row.version, &again).await.unwrap());
    let owner = Owner::new().unwrap();
    let row = won(claim(&store, &row.id, row.version, &owner).await);
    let end = End::Uncertain {
        at: clock.now(),
        reason: "timeout".to_owned(),
    };
    let row = finished(
        store
            .finish(&row.id, &owner, row.version, &end)
            .await
            .unwrap(),
    );
    assert_eq!((row.uncertainties, row.attempts), (2, 2));
}

#[tokio::test]
async fn a_replayed_job_begins_again() {
    let (store, clock) = testkit::store().await;
    let (row, _) = job_in(&store, "1", Status::Dead).await;
    clock.advance(days(2));
    let digests = Digests::new().phone("+351912345678");
    let now = clock.now();
    let row = done(
        store
            .revive(
                &row.id,
                row.version,
                Some("+351912345678"),
                Some(now),
                &digests,
            )
            .await
            .unwrap(),
    );
    assert_eq!(
        (row.status, row.attempts, row.uncertainties),
        (Status::Due, 0, 0)
    );
    assert_eq!(
        (row.to.as_deref(), row.due_at, row.next_at),
        (Some("+351912345678"), now, now)
    );
    assert_eq!((row.reason.clone(), row.ended_at), (None, None));
    assert!(row.digests.meets(&digests));
    assert!(!format!("{row:?}").contains("351912345678"), "{row:?}");
    assert_eq!(lane(&store).await, [RowKey::Job(row.id.clone())]);
    // What has expired is gone, deleted or not.
    let (old, _) = job_in(&store, "2", Status::Dead).await;
    clock.advance(days(31));
    let revived = store
        .revive(&old.id, old.version, None, None, &Digests::new())
        .await
        .unwrap();
    assert!(matches!(revived, Changed::Lost(_)));
    // And the replayed one waits for as long as it takes.
    assert_eq!(
        store.put_job(&new_job("1", clock.now())).await.unwrap(),
        Put::Duplicate
    );
}
