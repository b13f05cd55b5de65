//! A write took place and its answer was lost: the SDK repeats it, and we recognise our own.

use shared::clock::Clock;
use shared::connections::Connections;
use shared::store::{
    Claim, ClaimRequest, Digests, End, Ended, Finished, LEASE_MS, Owner, Put, RateLease, Settle,
    Status, Store,
};
use testkit::events::order_paid;
use testkit::{Engine, Proxy};

use super::{done, due_job, job_in, seconds};

async fn lossy() -> (Store, Proxy) {
    let proxy = Proxy::start(Engine::shared().endpoint()).await;
    let store = testkit::store_at(proxy.endpoint(), Clock::manual(testkit::start())).await;
    (store, proxy)
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_won_once() {
    let (store, proxy) = lossy().await;
    let row = due_job(&store, "1").await;
    let owner = Owner::new().unwrap();
    proxy.lose_answers(1);
    let claim = store
        .claim(
            &row.id,
            row.version,
            &owner,
            LEASE_MS,
            &ClaimRequest::default(),
        )
        .await
        .unwrap();
    let Claim::Won(won) = claim else {
        panic!("{claim:?}")
    };
    assert_eq!((won.attempts, won.version), (1, row.version + 1));
}

#[tokio::test]
async fn a_claim_that_never_arrived_is_won_by_its_repetition() {
    let (store, proxy) = lossy().await;
    let row = due_job(&store, "1").await;
    proxy.lose_requests(1);
    let owner = Owner::new().unwrap();
    let claim = store
        .claim(
            &row.id,
            row.version,
            &owner,
            LEASE_MS,
            &ClaimRequest::default(),
        )
        .await
        .unwrap();
    assert!(matches!(claim, Claim::Won(_)));
}

#[tokio::test]
async fn when_both_attempts_are_lost_the_caller_knows_nothing_and_may_not_send() {
    let (store, proxy) = lossy().await;
    let row = due_job(&store, "1").await;
    let owner = Owner::new().unwrap();
    proxy.lose_answers(2);
    let error = store
        .claim(
            &row.id,
            row.version,
            &owner,
            LEASE_MS,
            &ClaimRequest::default(),
        )
        .await
        .unwrap_err();
    assert!(error.is_transient(), "{error}");
    let row = store.job(&row.id).await.unwrap().unwrap();
    assert_eq!(
        row.status,
        Status::Running,
        "and the sweep finds it when its lease lapses"
    );
}

#[tokio::test]
async fn every_change_recognises_itself() {
    let (store, proxy) = lossy().await;
    let at = store.clock().now() + seconds(60);
    let reason = || "why".to_owned();
    for (n, end) in [
        End::Sent { uuid: None },
        End::Due {
            at,
            reason: reason(),
            attempt_spent: false,
            due_at: None,
        },
        End::Uncertain {
            at,
            reason: reason(),
        },
        End::Dead(reason()),
    ]
    .into_iter()
    .enumerate()
    {
        let (row, owner) = job_in(&store, &n.to_string(), Status::Running).await;
        proxy.lose_answers(1);
        let finished = store
            .finish(&row.id, &owner, row.version, &end)
            .await
            .unwrap();
        let Finished::Done(after) = finished else {
            panic!("{finished:?}")
        };
        assert_eq!(after.version, row.version + 1, "{end:?}");
    }
    let (row, _) = job_in(&store, "move", Status::Due).await;
    proxy.lose_answers(1);
    let row = done(
        store
            .move_due(&row.id, row.version, at, None, "rate")
            .await
            .unwrap(),
    );
    proxy.lose_answers(1);
    let skipped = Ended::Skipped(reason());
    let row = done(
        store
            .end(&row.id, row.version, &[Status::Due], &skipped)
            .await
            .unwrap(),
    );
    proxy.lose_answers(1);
    done(
        store
            .revive(&row.id, row.version, None, None, &Digests::new())
            .await
            .unwrap(),
    );
    for (n, settle) in [
        Settle::Wait {
            at,
            reason: reason(),
        },
        Settle::Sent { uuid: None },
        Settle::Due {
            at,
            reason: reason(),
        },
        Settle::Held(reason()),
    ]
    .into_iter()
    .enumerate()
    {
        let (row, _) = job_in(&store, &format!("settle {n}"), Status::Uncertain).await;
        proxy.lose_answers(1);
        let row = done(store.settle(&row.id, row.version, &settle).await.unwrap());
        assert_eq!(row.uncertainties, 1);
    }
}

#[tokio::test]
async fn what_is_stored_once_stays_once() {
    let (store, proxy) = lossy().await;
    let event = order_paid("1", store.clock().now());
    proxy.lose_answers(1);
    // The repetition finds the row: the sender gets its 200 either way.
    assert_eq!(
        store.put_event(event.clone()).await.unwrap(),
        Put::Duplicate
    );
    assert!(store.event(&event.event.id).await.unwrap().is_some());
    for (n, answer) in (1..=4).enumerate() {
        // The read, the version's row, the current row, the doors' row.
        proxy.lose_answer(answer);
        let number = store
            .push_config(&format!("file {n}"), "{}", &Connections::default())
            .await
            .unwrap();
        assert_eq!(number, u64::from(answer));
        assert_eq!(store.config().await.unwrap().unwrap().version, number);
    }
}

#[tokio::test]
async fn a_lease_whose_answer_was_lost_costs_tokens_and_grants_none_twice() {
    let (store, proxy) = lossy().await;
    let mut leased = 0;
    for _ in 0..4 {
        // The lease reads the red button first.
        proxy.lose_answer(2);
        if let RateLease::Tokens { tokens, .. } = store.lease_rate(5, 20).await.unwrap() {
            leased += tokens;
        }
    }
    assert_eq!(leased, 10, "every lease was counted twice");
}
