//! A year of bookings, made, moved, cancelled and reopened at random, told by webhooks that come late, twice
//! and in any order to workers that crash, while files are pushed and automations renamed: held against a
//! small model that knows which messages have to go out, each once, and no other.
//!
//! The provider acts and webhooks come on the hour; starts, and with them every reminder, are at twenty to.
//! So whatever a crash holds up for a few minutes is over before anything else is heard, and the model can
//! say exactly what was known at each reminder's time.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use serde_json::{Value, json};
use shared::store::{Ended, NewJob, Status};

use super::desk::Desk;
use super::interleavings::crash_after;
use super::minutes;
use crate::plan::tests::{appointment, merge, without_content};

/// How many years are tried, and how much happens in each at most.
const CASES: u32 = 6;
const DEEDS_MAX: usize = 16;
/// How many smaller years are tried where one failed.
const SHRINKS_MAX: u32 = 60;
/// Bookings that it happens to.
const BOOKINGS: usize = 2;
/// Most ids that one booking has: they may become known from the last to the first.
const IDS_MAX: usize = 5;
/// Sweeps after which what a crash left is over: a lapsed lease, an uncertain send, another attempt.
const SWEEPS_AFTER_A_CRASH: usize = 5;
/// Lateness that a message allows itself.
const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// Every text names what it is about alone, so that Callbell's history tells them apart.
fn file(automation: &str) -> String {
    format!(
        r#"
        [message.confirmed]
        text = "confirmed {{{{ event.id }}}}"
        [message.day]
        text = "day {{{{ appointment.start }}}}"
        [message.hour]
        text = "hour {{{{ appointment.start }}}}"
        [message.after]
        text = "after {{{{ appointment.start }}}}"
        [message.moved]
        text = "moved {{{{ event.id }}}}"
        [message.cancelled]
        text = "cancelled {{{{ event.id }}}}"
        [message.no-show]
        text = "no-show {{{{ event.id }}}}"

        [automation.{automation}]
        on    = "appointment.booked"
        steps = [
          {{ message = "confirmed" }},
          {{ message = "day",   at = "appointment.start - 24h" }},
          {{ message = "hour",  at = "appointment.start - 1h" }},
          {{ message = "after", at = "appointment.end + 2h" }},
        ]
        [automation.moved]
        on      = "appointment.rescheduled"
        message = "moved"
        [automation.cancelled]
        on      = "appointment.cancelled"
        message = "cancelled"
        [automation.no-show]
        on      = "appointment.no_show"
        message = "no-show"
        "#
    )
}

const STEPS: [&str; 3] = ["day", "hour", "after"];

/// When a step is due, in seconds after an appointment of an hour begins.
fn offset_s(step: &str) -> i64 {
    match step {
        "day" => -24 * 3600,
        "hour" => -3600,
        _ => 3 * 3600,
    }
}

#[derive(Clone, Copy, Debug)]
enum Deed {
    /// Books, or moves what is booked, so many hours ahead.
    Book(i64),
    Move(i64, Way),
    Cancel {
        content: bool,
    },
    /// What was cancelled or a no-show takes place; else something about it changes.
    Open {
        content: bool,
    },
    NoShow {
        content: bool,
    },
    /// Somebody pushes the file under another name of the automation.
    Rename,
    /// Somebody pushes the same with `--replan`.
    Replan,
}

/// What a provider makes of a move.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Google Calendar.
    SameId,
    /// Cal.com.
    NewId,
    /// Calendly.
    TwoWebhooks,
}

/// One thing that happens: so many hours after the last, to which booking, and how its webhooks fare.
#[derive(Clone, Debug)]
struct Happening {
    after_h: i64,
    booking: usize,
    deed: Deed,
    /// How late the webhooks come, in hours.
    delays_h: [i64; 2],
    /// The first comes again.
    again_h: Option<i64>,
    /// The worker crashes after so many wake-ups.
    crash: Option<u32>,
}

fn happening() -> impl Strategy<Value = Happening> {
    let ahead = || prop_oneof![2 => 1..30_i64, 4 => 30..300_i64, 1 => 300..2_000_i64];
    let way = prop_oneof![
        1 => Just(Way::SameId),
        1 => Just(Way::NewId),
        2 => Just(Way::TwoWebhooks)
    ];
    let content = any::<bool>;
    let deed = prop_oneof![
        3 => ahead().prop_map(Deed::Book),
        5 => (ahead(), way).prop_map(|(h, way)| Deed::Move(h, way)),
        2 => content().prop_map(|content| Deed::Cancel { content }),
        2 => content().prop_map(|content| Deed::Open { content }),
        1 => content().prop_map(|content| Deed::NoShow { content }),
        1 => Just(Deed::Rename),
        1 => Just(Deed::Replan),
    ];
    let delay = || prop_oneof![5 => Just(0_i64), 3 => 1..8_i64, 1 => Just(30_i64)];
    let after = prop_oneof![3 => 1..12_i64, 3 => 12..100_i64, 1 => 100..900_i64];
    (
        after,
        0..BOOKINGS,
        deed,
        (delay(), delay()),
        prop::option::weighted(0.3, 1..20_i64),
        prop::option::weighted(0.3, 0..90_u32),
    )
        .prop_map(
            |(after_h, booking, deed, delays, again_h, crash)| Happening {
                after_h,
                booking,
                deed,
                delays_h: [delays.0, delays.1],
                again_h,
                crash,
            },
        )
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Cancelled,
    NoShow,
}

/// What one webhook says.
#[derive(Clone, Debug)]
struct Said {
    key: String,
    fact: &'static str,
    id: String,
    previous: Option<String>,
    /// When it happened.
    at: Timestamp,
    as_of: Timestamp,
    state: State,
    start: Timestamp,
    content: bool,
}

impl Said {
    fn event(&self) -> Value {
        let name = format!("appointment.{}", self.fact);
        let state = match self.state {
            State::Open => "open",
            State::Cancelled => "cancelled",
            State::NoShow => "no_show",
        };
        let change =
            json!({"event": {"id": self.key}, "subject": {"as_of": self.as_of, "state": state}});
        let mut event = appointment(&name, &self.id, self.at, self.start, change);
        if let Some(previous) = &self.previous {
            merge(&mut event, json!({"subject": {"previous_id": previous}}));
        }
        if self.content {
            event
        } else {
            without_content(event)
        }
    }
}

/// A booking as its provider has it.
#[derive(Default)]
struct Booking {
    ids: usize,
    state: Option<State>,
    start: Option<Timestamp>,
}

/// The provider: what happens, and what it says of it.
struct Provider {
    bookings: Vec<Booking>,
    said: usize,
}

impl Provider {
    /// Starts are at twenty to, and no two bookings ever begin in the same minute.
    fn start(now: Timestamp, hours: i64, booking: usize) -> Timestamp {
        now + SignedDuration::from_hours(hours) + minutes(40 + i64::try_from(booking).unwrap())
    }

    fn act(&mut self, now: Timestamp, booking: usize, deed: Deed) -> Vec<Said> {
        let one = &mut self.bookings[booking];
        let deed = match (deed, one.state) {
            (Deed::Move(h, _), None) | (Deed::Book(h), None) => Deed::Book(h),
            (_, None) => return Vec::new(),
            (Deed::Book(h), Some(_)) => Deed::Move(h, Way::SameId),
            (Deed::NoShow { content }, Some(State::Cancelled)) => Deed::Cancel { content },
            (Deed::Move(h, _), Some(_)) if one.ids >= IDS_MAX => Deed::Move(h, Way::SameId),
            (deed, _) => deed,
        };
        let id = |n: usize| format!("{booking}-{n}");
        let before = one.ids.saturating_sub(1);
        let (fact, state) = match deed {
            Deed::Book(_) => ("booked", State::Open),
            Deed::Move(..) => ("rescheduled", State::Open),
            Deed::Cancel { .. } => ("cancelled", State::Cancelled),
            Deed::NoShow { .. } => ("no_show", State::NoShow),
            _ => ("updated", State::Open),
        };
        let mut released = None;
        let mut previous = None;
        match deed {
            Deed::Book(h) => {
                one.ids = 1;
                one.start = Some(Provider::start(now, h, booking));
            }
            Deed::Move(h, way) => {
                if !matches!(way, Way::SameId) {
                    previous = Some(id(before));
                    one.ids += 1;
                }
                released = matches!(way, Way::TwoWebhooks).then(|| (id(before), one.start));
                one.start = Some(Provider::start(now, h, booking));
            }
            _ => {}
        }
        one.state = Some(state);
        self.said += 1;
        let key = |id: &str, fact: &str| format!("calendly/appointment/{id}/{fact}/{}", self.said);
        let content = !matches!(
            deed,
            Deed::Cancel { content: false }
                | Deed::Open { content: false }
                | Deed::NoShow { content: false }
        );
        let own = id(one.ids - 1);
        let said = Said {
            key: key(&own, fact),
            fact,
            id: own,
            previous,
            at: now,
            as_of: now,
            state,
            start: one.start.unwrap(),
            content,
        };
        let released = released.map(|(id, start)| Said {
            key: key(&id, "released"),
            fact: "released",
            id,
            previous: None,
            // Younger than the move itself.
            as_of: now + SignedDuration::from_secs(1),
            start: start.unwrap(),
            ..said.clone()
        });
        std::iter::once(said).chain(released).collect()
    }
}

/// What may happen to a reminder: automation, step, entity, start.
type Key = (String, &'static str, String, Timestamp);

/// A reminder that is expected to be looked at.
#[derive(Clone, Debug)]
struct Reminder {
    due: Timestamp,
    /// When the event that made it happened.
    happened_at: Timestamp,
    /// When we heard of it.
    made_at: Timestamp,
    over: bool,
}

/// What has to go out.
#[derive(Default)]
struct Model {
    automation: String,
    renames: usize,
    heard: Vec<Said>,
    reminders: BTreeMap<Key, Reminder>,
    expected: Vec<String>,
}

/// What is known of a booking.
struct View {
    state: State,
    start: Option<Timestamp>,
    is_on_the_move: bool,
}

impl Model {
    /// The first id that is known of an id.
    fn root(&self, id: &str) -> String {
        let before = |said: &&Said| said.id == id && said.previous.is_some();
        match self.heard.iter().find(before) {
            Some(said) => self.root(said.previous.as_deref().unwrap()),
            None => id.to_owned(),
        }
    }

    fn view(&self, root: &str) -> View {
        let all = self.heard.iter().filter(|said| self.root(&said.id) == root);
        let all: Vec<&Said> = all.collect();
        let mut left: BTreeSet<&str> = all
            .iter()
            .filter_map(|said| said.previous.as_deref())
            .collect();
        left.extend(
            all.iter()
                .filter(|said| said.fact == "released")
                .map(|said| said.id.as_str()),
        );
        let here: Vec<&Said> = all
            .iter()
            .filter(|said| !left.contains(said.id.as_str()))
            .copied()
            .collect();
        let counts = if here.is_empty() { &all } else { &here };
        let newest = counts.iter().max_by_key(|said| said.as_of).unwrap();
        let shown = counts.iter().filter(|said| said.content);
        View {
            state: newest.state,
            start: shown.max_by_key(|said| said.as_of).map(|said| said.start),
            is_on_the_move: here.is_empty(),
        }
    }

    fn hear(&mut self, said: &Said, now: Timestamp) {
        if self.heard.iter().any(|other| other.key == said.key) {
            return;
        }
        self.heard.push(said.clone());
        let root = self.root(&said.id);
        let view = self.view(&root);
        let stays = !view.is_on_the_move && view.start == Some(said.start);
        let goes = match said.fact {
            "booked" | "rescheduled" => stays && view.state != State::Cancelled,
            // Of what nobody has shown nothing can be said.
            "cancelled" => view.state == State::Cancelled && view.start.is_some(),
            "no_show" => view.state != State::Open && view.start.is_some(),
            _ => false,
        };
        if goes && now.duration_since(said.at) <= GIVE_UP_AFTER {
            let word = match said.fact {
                "booked" => "confirmed",
                "rescheduled" => "moved",
                "no_show" => "no-show",
                fact => fact,
            };
            self.expected.push(format!("{word} {}", said.key));
        }
        if matches!(said.fact, "booked" | "rescheduled") {
            for step in STEPS {
                let key = (self.automation.clone(), step, root.clone(), said.start);
                let due = said.start + SignedDuration::from_secs(offset_s(step));
                self.reminders.entry(key).or_insert(Reminder {
                    due,
                    happened_at: said.at,
                    made_at: now,
                    over: false,
                });
            }
        }
        self.go_on(now);
    }

    /// Looks at every reminder that is due, each at its own time or as soon as it was made.
    fn go_on(&mut self, now: Timestamp) {
        loop {
            let due = |(_, one): &(&Key, &Reminder)| !one.over && one.due <= now;
            let next = self
                .reminders
                .iter()
                .filter(due)
                .min_by_key(|(_, one)| one.due);
            let Some((key, one)) = next.map(|(key, one)| (key.clone(), one.clone())) else {
                return;
            };
            self.look(&key, &one, one.due.max(one.made_at));
        }
    }

    fn look(&mut self, key: &Key, one: &Reminder, now: Timestamp) {
        let (automation, step, entity, start) = key;
        self.reminders.get_mut(key).unwrap().over = true;
        let root = self.root(entity);
        if root != *entity {
            let first = (automation.clone(), *step, root, *start);
            self.reminders.entry(first).or_insert(Reminder {
                made_at: now,
                ..one.clone()
            });
            return;
        }
        let view = self.view(&root);
        let stays = !view.is_on_the_move && view.start == Some(*start);
        let state = match *step {
            "after" => view.state == State::Open,
            _ => view.state != State::Cancelled,
        };
        let in_time = one.due >= one.happened_at
            && now.duration_since(one.due) <= GIVE_UP_AFTER
            && (*step == "after" || now < *start);
        if stays && state && in_time {
            self.expected.push(format!("{step} {start}"));
        }
    }

    /// What waits goes on under the new name.
    fn rename(&mut self) {
        self.renames += 1;
        let old = std::mem::replace(&mut self.automation, format!("visit{}", self.renames));
        let waits = |(key, one): &(&Key, &Reminder)| key.0 == old && !one.over;
        let waiting: Vec<Key> = self
            .reminders
            .iter()
            .filter(waits)
            .map(|(key, _)| key.clone())
            .collect();
        for key in waiting {
            let one = self.reminders.remove(&key).unwrap();
            let (_, step, entity, start) = key;
            self.reminders
                .insert((self.automation.clone(), step, entity, start), one);
        }
    }
}

/// One thing that comes to us.
enum Comes {
    Webhook(Box<Said>),
    Rename,
    Replan,
}

/// What comes, by the hour: at most one thing in each.
fn schedule(begin: Timestamp, year: &[Happening]) -> BTreeMap<Timestamp, (Comes, Option<u32>)> {
    let mut provider = Provider {
        bookings: (0..BOOKINGS).map(|_| Booking::default()).collect(),
        said: 0,
    };
    let mut all = BTreeMap::new();
    let mut now = begin;
    for one in year {
        now += SignedDuration::from_hours(one.after_h);
        let mut put = |delay_h: i64, comes: Comes| {
            let mut at = now + SignedDuration::from_hours(delay_h);
            while all.contains_key(&at) {
                at += SignedDuration::from_hours(1);
            }
            all.insert(at, (comes, one.crash));
        };
        match one.deed {
            Deed::Rename => put(0, Comes::Rename),
            Deed::Replan => put(0, Comes::Replan),
            deed => {
                let said = provider.act(now, one.booking, deed);
                if let (Some(again_h), Some(said)) = (one.again_h, said.first()) {
                    put(
                        one.delays_h[0] + again_h,
                        Comes::Webhook(Box::new(said.clone())),
                    );
                }
                for (said, delay_h) in said.into_iter().zip(one.delays_h) {
                    put(delay_h, Comes::Webhook(Box::new(said)));
                }
            }
        }
    }
    all
}

struct World {
    desk: Desk,
    model: Model,
}

impl World {
    async fn new() -> World {
        let desk = Desk::with(&file("visit")).await;
        desk.open_window(SignedDuration::from_hours(24 * 3660))
            .await;
        let model = Model {
            automation: "visit".to_owned(),
            ..Model::default()
        };
        World { desk, model }
    }

    /// Goes on to an instant, with a sweep whenever a row waits for one; the first of them may crash.
    async fn until(&mut self, instant: Timestamp, mut crash: Option<u32>) {
        let desk = &self.desk;
        // Asked anew after each: what a sweep left behind, or made, may come before all that waited.
        while let Some(at) = self.next_sweep().await.filter(|at| *at < instant) {
            desk.clock.advance(at.duration_since(desk.clock.now()));
            let Some(wakes) = crash.take() else {
                desk.worker.on_minute(desk.deadline()).await;
                continue;
            };
            let worker = desk.another_worker();
            crash_after(wakes, worker.on_minute(desk.deadline())).await;
            self.recover().await;
        }
        let rest = instant.duration_since(desk.clock.now());
        desk.clock.advance(rest);
        self.model.go_on(instant);
    }

    /// When the minute's sweep finds a row next.
    async fn next_sweep(&self) -> Option<Timestamp> {
        let waiting = testkit::waiting(testkit::Engine::shared(), &self.desk.store).await;
        let soonest = self.desk.clock.now() + minutes(1);
        waiting.first().map(|first| first.since.max(soonest))
    }

    async fn recover(&self) {
        self.desk.callbell.drain().await;
        for _ in 0..SWEEPS_AFTER_A_CRASH {
            self.desk.minute(minutes(2)).await;
        }
    }

    async fn take(&mut self, comes: Comes, crash: Option<u32>) {
        let now = self.desk.clock.now();
        match comes {
            Comes::Webhook(said) => {
                self.desk.receive(said.event()).await;
                let rows = testkit::lane(testkit::Engine::shared(), &self.desk.store).await;
                match crash {
                    None => self.desk.nudge(rows).await,
                    Some(wakes) => {
                        let (one, other) = (self.desk.another_worker(), self.desk.another_worker());
                        let deadline = self.desk.deadline();
                        tokio::join!(
                            crash_after(wakes, one.on_stream(rows.clone(), deadline)),
                            crash_after(wakes / 2, other.on_stream(rows, deadline)),
                        );
                        self.recover().await;
                    }
                }
                self.model.hear(&said, now);
            }
            Comes::Rename => {
                let old = self.model.automation.clone();
                self.model.rename();
                let new = self.model.automation.clone();
                self.desk.push(&file(&new)).await;
                self.rename(&old, &new).await;
            }
            Comes::Replan => {
                for job in self.desk.store.waiting_jobs().await.unwrap() {
                    let store = &self.desk.store;
                    let moved = store.move_due(&job.id, job.version, now, None, "replanned");
                    moved.await.unwrap();
                }
                self.desk.minute(minutes(1)).await;
            }
        }
    }

    /// As `callbell push --rename` does it.
    async fn rename(&self, old: &str, new: &str) {
        let store = &self.desk.store;
        for job in store.waiting_jobs().await.unwrap() {
            if job.automation != old {
                continue;
            }
            let end = Ended::Cancelled(format!("renamed to {new}"));
            let ended = store.end(&job.id, job.version, &[Status::Due], &end);
            ended.await.unwrap();
            let twin = NewJob {
                automation: new.to_owned(),
                action: job.action,
                event: job.event,
                event_at: job.event_at,
                due_at: job.due_at,
                depth: job.depth,
                digests: job.digests,
                ended: None,
            };
            store.put_job(&twin).await.unwrap();
        }
    }

    /// Whether every job ended and exactly the right messages went out; otherwise what became of them.
    async fn check(&mut self) -> Result<(), String> {
        let over = self.desk.clock.now() + SignedDuration::from_hours(24 * 100);
        self.until(over, None).await;
        let jobs = self.desk.jobs().await;
        let sent = self.desk.callbell.sent();
        let text = |body: &Value| body["content"]["text"].as_str().unwrap().to_owned();
        let mut sent: Vec<String> = sent.iter().map(text).collect();
        sent.sort();
        self.model.expected.sort();
        let expected = &self.model.expected;
        if sent == *expected && jobs.iter().all(|job| job.status.has_ended()) {
            return Ok(());
        }
        let (missing, wrong) = (beyond(expected, &sent), beyond(&sent, expected));
        let state =
            |job: &shared::store::JobRow| format!("{} {} {:?}", job.key, job.status, job.reason);
        let jobs: Vec<String> = jobs.iter().map(state).collect();
        Err(format!(
            "{jobs:#?}\nmissing: {missing:#?}\nwrong: {wrong:#?}"
        ))
    }
}

/// What `all` has more often than `other`.
fn beyond(all: &[String], other: &[String]) -> Vec<String> {
    let mut rest = other.to_vec();
    let is_more = |one: &&String| match rest.iter().position(|held| held == *one) {
        Some(index) => {
            rest.swap_remove(index);
            false
        }
        None => true,
    };
    all.iter().filter(is_more).cloned().collect()
}

/// Lives through a year; what went wrong in it.
async fn live(year: &[Happening]) -> Result<(), String> {
    let mut world = World::new().await;
    for (at, (comes, crash)) in schedule(testkit::start(), year) {
        Box::pin(world.until(at, crash)).await;
        Box::pin(world.take(comes, crash)).await;
    }
    Box::pin(world.check()).await
}

#[test]
fn a_year_of_bookings_ends_with_exactly_the_right_messages() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: SHRINKS_MAX,
        ..Config::default()
    };
    let years = prop::collection::vec(happening(), 6..DEEDS_MAX);
    let lived = TestRunner::new(config).run(&years, |year| {
        runtime.block_on(live(&year)).map_err(TestCaseError::fail)
    });
    match lived {
        Ok(()) => {}
        Err(TestError::Fail(why, year)) => panic!("{why}\n{}", as_code(&year)),
        Err(error) => panic!("{error}"),
    }
}

/// A year that failed, to be put into [`found`].
fn as_code(year: &[Happening]) -> String {
    let lines: String = year.iter().map(|one| format!("    {one:?},\n")).collect();
    format!("to be added to the years that were found:\nvec![\n{lines}],")
}

/// Years that once ended otherwise. Where a crash falls may differ from one machine to another.
fn found() -> Vec<Vec<Happening>> {
    use Deed::{Book, Move};
    use Way::{NewId, SameId, TwoWebhooks};

    vec![
        // A chain of moves, heard from the last to the first.
        vec![
            Happening {
                after_h: 1,
                booking: 0,
                deed: Book(300),
                delays_h: [0, 0],
                again_h: None,
                crash: None,
            },
            Happening {
                after_h: 1,
                booking: 0,
                deed: Move(250, NewId),
                delays_h: [8, 0],
                again_h: None,
                crash: None,
            },
            Happening {
                after_h: 1,
                booking: 0,
                deed: Move(60, TwoWebhooks),
                delays_h: [0, 0],
                again_h: None,
                crash: None,
            },
        ],
        // A move under a new id, heard after the next under the same.
        vec![
            Happening {
                after_h: 9,
                booking: 1,
                deed: Book(823),
                delays_h: [2, 5],
                again_h: None,
                crash: Some(48),
            },
            Happening {
                after_h: 81,
                booking: 1,
                deed: Move(81, TwoWebhooks),
                delays_h: [30, 0],
                again_h: None,
                crash: None,
            },
            Happening {
                after_h: 3,
                booking: 1,
                deed: Move(178, SameId),
                delays_h: [0, 6],
                again_h: None,
                crash: Some(34),
            },
        ],
    ]
}

#[tokio::test]
async fn years_that_were_found_end_with_exactly_the_right_messages() {
    for year in found() {
        if let Err(why) = live(&year).await {
            panic!("{why}\n{}", as_code(&year));
        }
    }
}
