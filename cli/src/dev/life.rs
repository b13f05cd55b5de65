//! What happens by itself: the stream feeds `deliver`, every minute it is woken, and a moved clock lets
//! pass what would have come due meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use shared::store::{
    EventFilter, EventRow, JobFilter, JobRow, LANE_CHAT, LANE_SEND, Status, Store, StoreError,
};

use super::World;
use super::table::{self, Stream};

/// How often the stream is read, in milliseconds; a Lambda poller does it four times a second.
const STREAM_POLL_MS: u64 = 20;
/// Records of one batch, as template.yaml has it.
const BATCH: usize = 25;
/// Records of one batch of the chatbot, as template.yaml has it.
const CHAT_BATCH: usize = 10;
/// How often the clock is looked at for a new minute, in milliseconds.
const MINUTE_POLL_MS: u64 = 500;
/// Longest that a moved clock follows what comes due on the way, in seconds; then it jumps.
const FOLLOW_SECONDS_MAX: u64 = 45;
/// Seconds of an hour.
const HOUR_S: i64 = 3_600;
/// How often a moved clock stops for `renew` at least: channels are replaced two days before they end.
const RENEW_EVERY: SignedDuration = SignedDuration::from_hours(24);
/// How often an idle question looks again, in milliseconds.
const IDLE_POLL_MS: u64 = 50;
/// What the schedule and a moved clock wait for at most until the stream was read, in seconds.
const SETTLE_SECONDS_MAX: u64 = 90;

/// Feeds the stream's lanes to `deliver`, in batches, one after the other, and to `reply`, all at once.
pub(super) async fn stream(world: Arc<World>) {
    let mut reader = Some(world.engine.stream(world.stream_position()));
    while !world.is_stopping() {
        let Some(stream) = reader.take() else {
            return;
        };
        // The engine works on files: not on a thread that answers requests.
        let read = tokio::task::spawn_blocking(move || read(stream)).await;
        let Ok((stream, records)) = read else {
            return;
        };
        reader = Some(stream);
        let records = match records {
            Ok(records) => records,
            Err(error) => {
                (world.notice)(&error.to_string());
                Vec::new()
            }
        };
        let any = !records.is_empty();
        let of = |lane: &str| -> Vec<serde_json::Value> {
            let wanted = records
                .iter()
                .filter(|record| table::is_in_lane(record, lane));
            wanted.cloned().collect()
        };
        for batch in of(LANE_CHAT).chunks(CHAT_BATCH) {
            chat(&world, batch.to_vec());
        }
        for batch in of(LANE_SEND).chunks(BATCH) {
            world.functions().batch(batch).await;
        }
        if let Some(position) = reader.as_ref().and_then(Stream::position)
            && any
        {
            // As Lambda's poller remembers it: behind what was dealt with.
            world.keep("stream", position);
        }
        if !any {
            // Everything that stood in the stream when this round began has been dealt with.
            world.rounds.send_modify(|rounds| *rounds += 1);
            tokio::time::sleep(Duration::from_millis(STREAM_POLL_MS)).await;
        }
    }
}

/// Hands a batch to `reply`, which waits for the rest of a burst and for backends: nothing else waits for it.
fn chat(world: &Arc<World>, batch: Vec<serde_json::Value>) {
    let world = world.clone();
    world.chats.send_modify(|chats| *chats += 1);
    tokio::spawn(async move {
        let mut stopping = world.stopping.subscribe();
        tokio::select! {
            () = async { world.functions().chat(&batch).await } => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
        world.chats.send_modify(|chats| *chats -= 1);
    });
}

fn read(mut stream: Stream) -> (Stream, Result<Vec<serde_json::Value>, table::EngineError>) {
    let records = stream.read();
    (stream, records)
}

/// Posts the stand-in Callbell's webhooks as they come due.
pub(super) async fn webhooks(world: Arc<World>) {
    while !world.is_stopping() {
        if !world.stand_in.post_webhooks().await {
            tokio::time::sleep(Duration::from_millis(STREAM_POLL_MS)).await;
        }
    }
}

/// Wakes `deliver` whenever the clock enters another minute, and `renew` whenever it enters another hour.
pub(super) async fn minutes(world: Arc<World>) {
    let mut last = minute(world.clock.now());
    while !world.is_stopping() {
        tokio::time::sleep(Duration::from_millis(MINUTE_POLL_MS)).await;
        let now = minute(world.clock.now());
        if now != last {
            last = now;
            world.sweep().await;
        }
    }
}

fn minute(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

fn hour(at: Timestamp) -> i64 {
    at.as_second().div_euclid(HOUR_S)
}

impl World {
    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// The minute's sweep, one at a time as on AWS, and the hour's work before it where another has begun.
    pub(super) async fn sweep(&self) {
        let _one = self.sweeping.lock().await;
        let hour = hour(self.clock.now());
        if self.renewed_hour.swap(hour, Ordering::Relaxed) != hour {
            self.functions().hour().await;
        }
        self.functions().minute().await;
    }

    /// When a moved clock stops for `renew`, where that has anything to do.
    async fn next_renewal(&self, after: Timestamp) -> Option<Timestamp> {
        if !self.functions().has_watches().await {
            return None;
        }
        after.saturating_add(RENEW_EVERY).ok()
    }

    /// Waits until everything that stands in the stream now was dealt with.
    pub(super) async fn settle(&self) {
        let mut rounds = self.rounds.subscribe();
        // The round under way may have read before what we wait for was written.
        let wanted = rounds.borrow_and_update().saturating_add(2);
        let waiting = rounds.wait_for(|rounds| *rounds >= wanted);
        let limit = Duration::from_secs(SETTLE_SECONDS_MAX);
        let _ = tokio::time::timeout(limit, waiting).await;
    }

    /// Moves the clock, stopping wherever something comes due on the way, so that a reminder or a retry
    /// acts at its own time and not after all of them have passed.
    ///
    /// # Errors
    /// What the store reports; the clock has moved all the same.
    pub(super) async fn advance(&self, by: SignedDuration) -> Result<(), StoreError> {
        let _one = self.moving.lock().await;
        let started = Instant::now();
        self.settle().await;
        let target = self
            .clock
            .now()
            .saturating_add(by)
            .unwrap_or(Timestamp::MAX);
        let mut passed = self.clock.now();
        let mut followed = Ok(());
        let mut renewal = self.next_renewal(passed).await;
        while started.elapsed() < Duration::from_secs(FOLLOW_SECONDS_MAX) {
            // One that is tried again at once would stop the clock.
            let webhook = self.stand_in.next_webhook().filter(|at| *at > passed);
            let next = match self.store.next_sweep(passed).await {
                Ok(next) => next.into_iter().chain(renewal).chain(webhook).min(),
                Err(error) => {
                    followed = Err(error);
                    break;
                }
            };
            let Some(next) = next.filter(|next| *next <= target) else {
                break;
            };
            passed = next;
            if renewal.is_some_and(|at| at <= next) {
                renewal = self.next_renewal(next).await;
            }
            self.move_to(next);
            self.stand_in.post_webhooks().await;
            self.sweep().await;
            self.settle().await;
        }
        self.move_to(target);
        self.stand_in.post_webhooks().await;
        self.sweep().await;
        self.settle().await;
        followed
    }

    /// Moves the clock to an instant, never back.
    fn move_to(&self, at: Timestamp) {
        let by = at.duration_since(self.clock.now());
        if by.is_positive() {
            self.shift(by);
        }
    }

    /// Waits until nothing is due any more; `false` where the time ran out first.
    ///
    /// # Errors
    /// What the store reports.
    pub(super) async fn idle(&self, limit: Duration) -> Result<bool, StoreError> {
        let started = Instant::now();
        loop {
            self.settle().await;
            // Who asks for the rest does not want to wait for the minute.
            self.sweep().await;
            self.settle().await;
            // What was sent comes back as a webhook, which may have something sent.
            if self.stand_in.post_webhooks().await {
                continue;
            }
            // An answer that waits for the rest of a burst is due in a moment.
            let is_chatting = *self.chats.borrow() > 0;
            if !is_chatting && !self.is_work_left().await? {
                return Ok(true);
            }
            if started.elapsed() >= limit {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(IDLE_POLL_MS)).await;
        }
    }

    /// Whether something would go out now: a job that waits for a pause, a hold or its own time would
    /// not, nor one whose worker was killed and whose lease still holds.
    async fn is_work_left(&self) -> Result<bool, StoreError> {
        let due = JobFilter {
            status: Some(Status::Due),
            ..JobFilter::default()
        };
        let due = all_jobs(&self.store, &due).await?;
        let now = self.clock.now();
        if !due.iter().any(|job| job.next_at <= now) {
            return Ok(false);
        }
        Ok(self.store.paused().await?.is_none())
    }
}

/// Every job that matches.
///
/// # Errors
/// What the store reports.
pub async fn all_jobs(store: &Store, filter: &JobFilter) -> Result<Vec<JobRow>, StoreError> {
    let (mut jobs, mut page) = (Vec::new(), None);
    loop {
        let (rows, next) = store.list_jobs(filter, page).await?;
        jobs.extend(rows);
        match next {
            Some(next) => page = Some(next),
            None => break,
        }
    }
    jobs.sort_by(|a, b| (a.created_at, &a.key).cmp(&(b.created_at, &b.key)));
    Ok(jobs)
}

/// Every event that matches.
///
/// # Errors
/// What the store reports.
pub async fn all_events(store: &Store, filter: &EventFilter) -> Result<Vec<EventRow>, StoreError> {
    let (mut events, mut page) = (Vec::new(), None);
    loop {
        let (rows, next) = store.list_events(filter, page).await?;
        events.extend(rows);
        match next {
            Some(next) => page = Some(next),
            None => break,
        }
    }
    events.sort_by(|a, b| (a.received_at, &a.key).cmp(&(b.received_at, &b.key)));
    Ok(events)
}
