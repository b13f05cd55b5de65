//! The whole pipeline: any interleaving of duplicates, stale updates, cancellations, crashes between any
//! two steps, lost answers and lapsed leases ends, for each job, in one send or one stated reason.
//!
//! The table is the real one, behind a wire that loses answers. Callbell lies: it takes a message and says
//! nothing, or says nothing and has not taken it. A crash is a worker's future that is dropped after so
//! many wake-ups; the next worker knows nothing of it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::store::{EventFilter, EventStatus, JobRow, Status};
use testkit::{Engine, Proxy};

use super::desk::{Desk, Reply};
use crate::plan::tests::order;

/// How many sequences are tried, and how long they are at most.
const CASES: u32 = 16;
const STEPS_MAX: usize = 14;
/// More wake-ups than a run has: no crash.
const NEVER: u32 = 10_000;
/// Rounds of the sweep in which everything has to end once all faults are over: the longest backoff.
const ROUNDS_MAX: usize = 60;

const FILE: &str = r#"
[message.reminder]
text = "Lembrete do pedido {{ order.number }}."

[automation.thanks]
on      = "order.created"
message = "thanks"

[automation.pix]
on      = "order.created"
stop_on = ["order.paid"]
steps   = [{ message = "reminder", at = "+30m" }]
"#;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// A webhook about one of two orders, perhaps again, perhaps late.
    Receive(u8, Fact),
    /// The stream hands its rows to a worker, which may crash after so many wake-ups.
    Stream(u32),
    /// The minute's sweep, after so many seconds, by a worker that may crash.
    Minute(i64, u32),
    /// Two workers sweep at the same time.
    TwoMinutes(i64, u32, u32),
    /// What Callbell does with the next send.
    Callbell(Reply),
    /// So many answers of the table are lost, from now on.
    LoseAnswers(u32),
    /// So many requests to the table are lost, from now on.
    LoseRequests(u32),
}

#[derive(Clone, Copy, Debug)]
enum Fact {
    Created,
    Paid,
    Cancelled,
    /// An old version of the order, which says that it is open.
    Stale,
}

fn step() -> impl Strategy<Value = Step> {
    let crash = || prop_oneof![2 => Just(NEVER), 3 => 0..70_u32];
    let later = || prop_oneof![Just(0_i64), Just(95), Just(200), Just(1_900)];
    let fact = prop_oneof![
        4 => Just(Fact::Created),
        1 => Just(Fact::Paid),
        1 => Just(Fact::Cancelled),
        1 => Just(Fact::Stale),
    ];
    let reply = prop_oneof![
        2 => Just(Reply::AcceptAndDrop),
        1 => Just(Reply::AcceptThen(502)),
        2 => Just(Reply::Drop),
        1 => Just(Reply::Refuse(503, "")),
        1 => Just(Reply::Refuse(422, "{}")),
        1 => Just(Reply::Limit(2)),
    ];
    prop_oneof![
        5 => (0..2_u8, fact).prop_map(|(id, fact)| Step::Receive(id, fact)),
        5 => crash().prop_map(Step::Stream),
        5 => (later(), crash()).prop_map(|(s, crash)| Step::Minute(s, crash)),
        3 => (later(), crash(), crash()).prop_map(|(s, one, other)| Step::TwoMinutes(s, one, other)),
        3 => reply.prop_map(Step::Callbell),
        2 => (1..4_u32).prop_map(Step::LoseAnswers),
        1 => (1..4_u32).prop_map(Step::LoseRequests),
    ]
}

/// Drops a future after so many wake-ups: a crash between any two of its steps.
pub(super) async fn crash_after<F: Future>(wakes: u32, future: F) {
    let mut future = pin!(future);
    let mut left = wakes;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        future.as_mut().poll(context).map(|_| ())
    })
    .await;
}

struct World {
    desk: Desk,
    proxy: Proxy,
    created: [bool; 2],
}

impl World {
    async fn new() -> World {
        let clock = Clock::manual(testkit::start());
        let proxy = Proxy::start(Engine::shared().endpoint()).await;
        let store = testkit::store_at(proxy.endpoint(), clock.clone()).await;
        let desk = Desk::over(store, clock);
        desk.push(FILE).await;
        desk.open_window(SignedDuration::from_hours(24 * 365)).await;
        World {
            desk,
            proxy,
            created: [false; 2],
        }
    }

    async fn take(&mut self, step: Step) {
        let desk = &self.desk;
        match step {
            Step::Receive(id, fact) => self.receive(id, fact).await,
            Step::Stream(crash) => {
                let rows = testkit::lane(Engine::shared(), &desk.store).await;
                crash_after(
                    crash,
                    desk.another_worker().on_stream(rows, desk.deadline()),
                )
                .await;
            }
            Step::Minute(s, crash) => {
                desk.clock.advance(SignedDuration::from_secs(s));
                crash_after(crash, desk.another_worker().on_minute(desk.deadline())).await;
            }
            Step::TwoMinutes(s, one, other) => {
                desk.clock.advance(SignedDuration::from_secs(s));
                let (first, second) = (desk.another_worker(), desk.another_worker());
                tokio::join!(
                    crash_after(one, first.on_minute(desk.deadline())),
                    crash_after(other, second.on_minute(desk.deadline())),
                );
            }
            Step::Callbell(reply) => desk.callbell.next([reply]),
            Step::LoseAnswers(n) => self.proxy.lose_answers(n),
            Step::LoseRequests(n) => self.proxy.lose_requests(n),
        }
        // What a crashed worker had sent arrives before the next minute, not after the next reconciling.
        self.desk.callbell.drain().await;
    }

    /// The door's side: 503 where the table does not answer, and the sender tries again or does not.
    async fn receive(&mut self, id: u8, fact: Fact) {
        let now = self.desk.clock.now();
        let old = now - SignedDuration::from_mins(10);
        let number = id.to_string();
        let event = match fact {
            Fact::Created => order("order.created", &number, now, json!({})),
            Fact::Paid => order(
                "order.paid",
                &number,
                now,
                json!({"subject": {"facts": ["paid"]}}),
            ),
            Fact::Cancelled => order(
                "order.cancelled",
                &number,
                now,
                json!({"subject": {"state": "cancelled"}}),
            ),
            Fact::Stale => {
                let stale = json!({"subject": {"as_of": old}, "event": {"id": format!("shopify/order/{id}/stale")}});
                order("order.refunded", &number, now, stale)
            }
        };
        let event = serde_json::from_value(event).unwrap();
        let stored = self.desk.store.put_event(event).await;
        if let (Fact::Created, Ok(_), Some(created)) =
            (fact, stored, self.created.get_mut(usize::from(id)))
        {
            *created = true;
        }
    }

    /// From here on everything works, and everything ends.
    async fn settle_down(&self) -> Vec<JobRow> {
        self.proxy.lose_answers(0);
        self.proxy.lose_requests(0);
        self.desk.callbell.forget_script();
        for _ in 0..ROUNDS_MAX {
            self.desk
                .another_worker()
                .on_minute(self.desk.deadline())
                .await;
            let unplanned = EventFilter {
                status: Some(EventStatus::New),
                ..EventFilter::default()
            };
            let (events, _) = self.desk.store.list_events(&unplanned, None).await.unwrap();
            let jobs = self.desk.jobs().await;
            if events.is_empty() && jobs.iter().all(|job| job.status.has_ended()) {
                return jobs;
            }
            self.desk.clock.advance(SignedDuration::from_mins(10));
        }
        panic!("it never ends: {:?}", self.desk.jobs().await)
    }

    fn check(&self, jobs: &[JobRow]) {
        let made = self.created.iter().filter(|created| **created).count() * 2;
        let stored: Vec<_> = jobs.iter().map(|job| &job.key).collect();
        assert!(
            jobs.len() >= made,
            "an order that was answered with 200 has its jobs: {stored:?}"
        );
        let sent = self.desk.callbell.sent();
        for job in jobs {
            let of_job = |body: &&Value| body["metadata"]["job"] == job.id.as_str();
            let messages = sent.iter().filter(of_job).count();
            assert!(messages <= 1, "{messages} messages: {job:?}");
            match job.status {
                Status::Sent => {
                    let number = sent
                        .iter()
                        .position(|body| of_job(&body))
                        .map(|n| format!("{:032x}", n + 1));
                    assert_eq!(job.message_uuid, number, "{job:?}");
                    assert_eq!(messages, 1, "{job:?}");
                }
                // A person looks at it: that is the reason.
                Status::Held => assert!(job.reason.is_some(), "{job:?}"),
                Status::Skipped | Status::Dead | Status::Cancelled => {
                    assert!(job.reason.is_some(), "{job:?}");
                    assert_eq!(messages, 0, "{job:?}");
                }
                Status::Due | Status::Running | Status::Uncertain => panic!("{job:?}"),
            }
        }
    }
}

#[test]
fn any_interleaving_ends_each_job_in_one_send_or_one_stated_reason() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 60,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&prop::collection::vec(step(), 4..STEPS_MAX), |steps| {
            runtime.block_on(async {
                let mut world = World::new().await;
                Box::pin(world.take(Step::Receive(0, Fact::Created))).await;
                for step in steps {
                    Box::pin(world.take(step)).await;
                }
                world.check(&world.settle_down().await);
            });
            Ok(())
        })
        .unwrap();
}
