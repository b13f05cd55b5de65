//! The state machine as a whole: whatever workers do in whatever order, whatever they crash at and whichever
//! answers are lost, a job ends in one send or one stated reason.
//!
//! The world is honest: it knows every message that was really sent. The workers are not: they stop between
//! any two steps, come back late, and hear nothing of what they did.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shared::clock::Clock;
use shared::store::{
    Changed, Claim, ClaimRequest, Digests, End, Ended, Finished, JobId, JobRow, LEASE_MS, Owner,
    RowKey, Settle, Status, Store, StoreError,
};
use testkit::{Engine, Proxy};

use super::{new_job, seconds, swept};

const WORKERS: usize = 3;
/// How many sequences are tried, and how long they are at most.
const CASES: u32 = 24;
const STEPS_MAX: usize = 36;
/// When an uncertain job is reconciled, in seconds.
const RECONCILE_S: i64 = 180;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Time passes, in seconds.
    Tick(i64),
    /// A worker reads the job. What it does later, it does on what it saw then.
    Look(usize),
    /// A worker claims the job, whatever it saw.
    Claim(usize),
    /// A worker that holds the job sends, if its lease still holds.
    Send(usize, Answer),
    /// A worker that sent finishes with what it was told.
    Finish(usize),
    /// A worker stops where it is.
    Crash(usize),
    /// A worker sweeps: it declares a lapsed job uncertain and reconciles an uncertain one.
    Sweep(usize),
    /// A worker learns that the booking is cancelled.
    Cancel(usize),
    /// Somebody types `callbell replay`.
    Replay(usize),
    /// Callbell's webhook tells of the last message.
    Delivery,
    /// The next answers of the table are lost: one is repeated by the SDK, two are an error.
    LoseAnswers(u32),
    /// The next requests to the table are lost.
    LoseRequests(u32),
}

/// What a worker is told about a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Sent, with its uuid.
    Accepted,
    /// Sent, and the answer is lost.
    Lost,
    /// Surely not sent.
    NotSent,
    /// Refused for good.
    Refused,
}

fn step() -> impl Strategy<Value = Step> {
    let worker = 0..WORKERS;
    let answer = prop_oneof![4 => Just(Answer::Accepted), 2 => Just(Answer::Lost), 2 => Just(Answer::NotSent), 1 => Just(Answer::Refused)];
    prop_oneof![
        3 => prop_oneof![Just(1_i64), Just(60), Just(76), Just(200)].prop_map(Step::Tick),
        5 => worker.clone().prop_map(Step::Look),
        6 => worker.clone().prop_map(Step::Claim),
        5 => (worker.clone(), answer).prop_map(|(worker, answer)| Step::Send(worker, answer)),
        5 => worker.clone().prop_map(Step::Finish),
        2 => worker.clone().prop_map(Step::Crash),
        4 => worker.clone().prop_map(Step::Sweep),
        1 => worker.clone().prop_map(Step::Cancel),
        1 => worker.prop_map(Step::Replay),
        1 => Just(Step::Delivery),
        2 => (1..=2_u32).prop_map(Step::LoseAnswers),
        1 => (1..=2_u32).prop_map(Step::LoseRequests),
    ]
}

/// A worker that won a claim.
struct Holding {
    owner: Owner,
    row: JobRow,
    told: Option<End>,
}

struct World {
    store: Store,
    clock: Clock,
    proxy: Proxy,
    id: JobId,
    workers: [Option<Holding>; WORKERS],
    /// What each worker saw when it last looked.
    seen: [JobRow; WORKERS],
    /// Every message that was really sent.
    messages: Vec<String>,
    cancelled: bool,
    last: JobRow,
}

impl World {
    async fn new() -> World {
        let clock = Clock::manual(testkit::start());
        let proxy = Proxy::start(Engine::shared().endpoint()).await;
        let store = testkit::store_at(proxy.endpoint(), clock.clone()).await;
        let job = new_job("1", clock.now());
        store.put_job(&job).await.unwrap();
        let last = store.job(&job.id()).await.unwrap().unwrap();
        let (workers, seen) = (
            [None, None, None],
            [last.clone(), last.clone(), last.clone()],
        );
        World {
            store,
            clock,
            proxy,
            id: job.id(),
            workers,
            seen,
            messages: Vec::new(),
            cancelled: false,
            last,
        }
    }

    /// The row, with no fault in the way.
    async fn row(&self) -> JobRow {
        self.proxy.lose_answers(0);
        self.proxy.lose_requests(0);
        self.store.job(&self.id).await.unwrap().unwrap()
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Tick(s) => self.clock.advance(seconds(s)),
            Step::Look(worker) => self.look(worker).await,
            Step::Claim(worker) => self.claim(worker).await,
            Step::Send(worker, answer) => self.send(worker, answer),
            Step::Finish(worker) => self.finish(worker).await,
            Step::Crash(worker) => self.workers[worker] = None,
            Step::Sweep(worker) => self.sweep(worker).await,
            Step::Cancel(worker) => self.cancel(worker).await,
            Step::Replay(worker) => self.replay(worker).await,
            Step::Delivery => self.delivery().await,
            Step::LoseAnswers(n) => return self.proxy.lose_answers(n),
            Step::LoseRequests(n) => return self.proxy.lose_requests(n),
        }
        self.check(step).await;
    }

    async fn look(&mut self, worker: usize) {
        if let Ok(Some(row)) = self.store.job(&self.id).await {
            self.seen[worker] = row;
        }
    }

    async fn claim(&mut self, worker: usize) {
        let owner = Owner::new().unwrap();
        let version = self.seen[worker].version;
        let claim = self
            .store
            .claim(
                &self.id,
                version,
                &owner,
                LEASE_MS,
                &ClaimRequest::default(),
            )
            .await;
        // A claim whose answer is unknown is not held: nobody sends on it, and it lapses.
        self.workers[worker] = match claim {
            Ok(Claim::Won(row)) => Some(Holding {
                owner,
                row,
                told: None,
            }),
            Ok(Claim::Lost(_)) | Err(_) => None,
        };
    }

    fn send(&mut self, worker: usize, answer: Answer) {
        let now = self.clock.now();
        let Some(holding) = &mut self.workers[worker] else {
            return;
        };
        if holding.told.is_some() || holding.row.lease_until.unwrap() <= now {
            return;
        }
        let uuid = format!("{}-{}", self.store.table(), self.messages.len());
        if matches!(answer, Answer::Accepted | Answer::Lost) {
            self.messages.push(uuid.clone());
        }
        let reason = "for the test".to_owned();
        holding.told = Some(match answer {
            Answer::Accepted => End::Sent { uuid: Some(uuid) },
            Answer::Lost => End::Uncertain {
                at: now + seconds(RECONCILE_S),
                reason,
            },
            Answer::NotSent => End::Due {
                at: now + seconds(60),
                reason,
                attempt_spent: true,
                due_at: None,
            },
            Answer::Refused => End::Dead(reason),
        });
    }

    async fn finish(&mut self, worker: usize) {
        let Some(Holding {
            owner,
            row,
            told: Some(end),
        }) = self.workers[worker].take()
        else {
            return;
        };
        match self.store.finish(&self.id, &owner, row.version, &end).await {
            Ok(Finished::Done(after)) => assert_eq!(after.status, status_of(&end)),
            Ok(Finished::Cancelled(after)) => {
                assert_eq!(after.reached, matches!(end, End::Sent { .. }));
            }
            // It goes on as after a crash.
            Ok(Finished::Lost(_)) | Err(_) => {}
        }
    }

    /// What the minute's sweep does with the job.
    async fn sweep(&mut self, worker: usize) {
        let row = self.seen[worker].clone();
        let now = self.clock.now();
        if row.has_lapsed(now) {
            let lapsed = Settle::Lapsed {
                at: now + seconds(RECONCILE_S),
                reason: "lease lapsed".to_owned(),
            };
            ignore_loss(self.store.settle(&self.id, row.version, &lapsed).await);
        } else if row.status == Status::Uncertain && row.next_at <= now {
            let settle = self.reconcile();
            ignore_loss(self.store.settle(&self.id, row.version, &settle).await);
        }
    }

    /// What Callbell's history says: it is complete.
    fn reconcile(&self) -> Settle {
        match self.messages.last() {
            Some(uuid) => Settle::Sent {
                uuid: Some(uuid.clone()),
            },
            None => Settle::Due {
                at: self.clock.now(),
                reason: "not in the history".to_owned(),
            },
        }
    }

    async fn cancel(&mut self, worker: usize) {
        let row = self.seen[worker].clone();
        let from = [
            Status::Due,
            Status::Uncertain,
            Status::Held,
            Status::Running,
        ];
        let end = Ended::Cancelled("booking cancelled".to_owned());
        self.cancelled = true;
        ignore_loss(self.store.end(&self.id, row.version, &from, &end).await);
    }

    async fn replay(&mut self, worker: usize) {
        let row = self.seen[worker].clone();
        if matches!(row.status, Status::Dead | Status::Skipped | Status::Held) {
            ignore_loss(
                self.store
                    .revive(&self.id, row.version, None, None, &Digests::new())
                    .await,
            );
        }
    }

    async fn delivery(&self) {
        if let Some(uuid) = self.messages.last() {
            let _ = self
                .store
                .set_delivery(&self.id, shared::store::Delivery::Delivered, uuid)
                .await;
        }
    }

    /// What must hold after every step.
    async fn check(&mut self, step: Step) {
        let row = self.row().await;
        let before = std::mem::replace(&mut self.last, row.clone());
        if row.status == before.status && row.version == before.version {
            assert_eq!(
                row.next_at, before.next_at,
                "{step:?} changed the job without a version"
            );
        } else {
            assert!(
                row.version > before.version,
                "{step:?}: {before:?} became {row:?}"
            );
        }
        let now = self.clock.now();
        let may_send =
            |holding: &&Holding| holding.told.is_none() && holding.row.lease_until.unwrap() > now;
        let senders = self.workers.iter().flatten().filter(may_send).count();
        assert!(senders <= 1, "{step:?}: {senders} workers may send");
        assert!(
            self.messages.len() <= 1,
            "{step:?}: {} messages",
            self.messages.len()
        );
        if row.status == Status::Sent {
            assert_eq!(row.message_uuid.as_ref(), self.messages.last(), "{step:?}");
        }
        assert_eq!(row.ended_at.is_some(), row.status.has_ended(), "{step:?}");
        assert!(
            row.status == Status::Sent || !row.status.has_ended() || row.reason.is_some(),
            "{step:?}"
        );
    }

    /// From here on everything works: whatever is left over has to end, found by the index alone.
    async fn settle_down(&mut self) {
        self.row().await;
        self.workers = [None, None, None];
        for _ in 0..12 {
            if self.row().await.status.has_ended() {
                break;
            }
            self.clock.advance(seconds(RECONCILE_S + 80));
            let found = swept(&self.store, &self.clock).await;
            assert_eq!(
                found,
                [RowKey::Job(self.id.clone())],
                "an unfinished job is in the index: {:?}",
                self.last
            );
            let all = [
                Step::Look(0),
                Step::Sweep(0),
                Step::Look(0),
                Step::Claim(0),
                Step::Send(0, Answer::Accepted),
            ];
            for step in all.into_iter().chain([Step::Finish(0)]) {
                self.take(step).await;
            }
        }
        let row = self.row().await;
        assert!(row.status.has_ended(), "{row:?} never ended");
        assert_eq!(
            swept(&self.store, &self.clock).await,
            [],
            "an ended job is not in the index"
        );
        match row.status {
            Status::Sent => assert_eq!(self.messages.len(), 1),
            Status::Cancelled => assert!(self.cancelled),
            _ => assert!(
                self.messages.is_empty(),
                "{row:?} although a message went out"
            ),
        }
    }
}

fn status_of(end: &End) -> Status {
    match end {
        End::Sent { .. } => Status::Sent,
        End::Due { .. } => Status::Due,
        End::Uncertain { .. } => Status::Uncertain,
        End::Dead(_) => Status::Dead,
        End::Held(_) | End::Skipped(_) | End::Cancelled(_) => panic!("not told here"),
    }
}

/// Losing a race and hearing nothing are both fine.
fn ignore_loss(changed: Result<Changed, StoreError>) {
    if let Err(error) = changed {
        assert!(error.is_transient(), "{error}");
    }
}

#[test]
fn any_interleaving_ends_in_one_send_or_one_stated_reason() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&prop::collection::vec(step(), 4..STEPS_MAX), |steps| {
            runtime.block_on(async {
                let mut world = World::new().await;
                for step in steps {
                    world.take(step).await;
                }
                world.settle_down().await;
            });
            Ok(())
        })
        .unwrap();
}
