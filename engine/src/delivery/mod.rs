//! The worker: plan → token → claim → act → finish. The only place that orders those steps.
//!
//! Rows come from two sides, the stream's nudge and the minute's sweep, and are worked on the same way:
//! an event is planned, a job goes on from where it stands. Whatever stops half way (no time left, no
//! token, the table unavailable, a crash) is left as it is; its row says when the sweep looks next.
//!
//! Up to [`SENDS_AT_ONCE`] rows are worked on at once, all inside the handler's own future, so that no
//! task outlives it. No new one is begun when the time left is less than one send takes.

mod acting;
mod answering;
mod attempt;
mod backoff;
mod calendar;
mod config;
mod decide;
mod deeds;
mod fetching;
mod learning;
mod log;
mod mailbox;
mod planning;
mod posting;
pub mod preview;
mod rate;
mod reconcile;
mod report;
mod route;
mod waits;

#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures_util::stream::{self, FuturesUnordered, StreamExt};
use jiff::{SignedDuration, Timestamp};
use shared::store::{JobId, JobRow, Page, RowKey, SHARDS, Status, Store, StoreError, Waiting};

pub use answering::{Answer, Answering, Question};
pub use backoff::Random;
pub use planning::recall;
pub use report::Report;

use crate::actions::contact::Lists;
use crate::callbell::Callbell;
use crate::fetch::Fetching;
use attempt::Teams;
use config::Configuration;
use deeds::Breaks;
use rate::Tokens;

/// Rows that one invocation works on at once.
pub const SENDS_AT_ONCE: usize = 25;
/// What one send may take, its token, its claim and its finish included: with less time left nothing is
/// begun.
pub const SEND_BUDGET: SignedDuration = SignedDuration::from_secs(16);

/// How long between two looks at the clock while a reply waits for its time.
const DUE_POLL: Duration = Duration::from_millis(250);
/// Shards of the sweep's index that are asked at once. Each question needs a connection of its own, and
/// the work afterwards needs as many.
const SHARDS_AT_ONCE: usize = 8;
/// Failures of the table in a row after which an invocation begins nothing more: more requests do not
/// help it.
const FAILURES_MAX: u32 = 5;

/// Carries out jobs. Made once a process; clones share everything.
#[derive(Clone, Debug)]
pub struct Worker {
    store: Store,
    callbell: Arc<RwLock<Callbell>>,
    random: Random,
    configuration: Arc<Configuration>,
    tokens: Arc<Tokens>,
    teams: Arc<Teams>,
    /// The same and more, for what is written to persons in Callbell.
    lists: Arc<Lists>,
    /// Other systems that asked for a break.
    breaks: Arc<Breaks>,
    /// Callbell refused the token, and has not accepted one since.
    refused: Arc<AtomicBool>,
    /// What was due before this instant is not sent.
    nothing_before: Option<Timestamp>,
    /// Asks systems whose webhooks do not say all, and writes to others; a worker without it does neither.
    fetching: Option<Fetching>,
    /// Makes the answers of `[reply.x]`; without it they wait.
    answering: Option<Arc<dyn Answering>>,
    /// It carries out replies alone, from the stream: see [`Worker::chatting`].
    is_chat: bool,
    turns: Arc<calendar::Turns>,
}

/// One invocation.
#[derive(Debug)]
struct Run {
    deadline: Timestamp,
    /// How often the table did not answer, since it last did.
    failures: AtomicU32,
    report: Mutex<Report>,
    /// Rows that this invocation has looked at: none is looked at twice.
    seen: Mutex<HashSet<RowKey>>,
}

impl Run {
    fn new(deadline: Timestamp) -> Run {
        Run {
            deadline,
            failures: AtomicU32::new(0),
            report: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    fn report(&self, count: impl FnOnce(&mut Report)) {
        count(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A job came to another status: its line and its count.
    fn note(&self, row: &JobRow, now: Timestamp) {
        log::job(row, now);
        self.report(|report| report.count(row));
    }

    /// A row was gone through, whatever that came to.
    fn went_well(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    /// The table did not do its part for a row.
    fn went_wrong(&self, error: &StoreError) {
        self.failures
            .fetch_add(u32::from(error.is_transient()), Ordering::Relaxed);
        self.report(|report| report.rows_failed = report.rows_failed.saturating_add(1));
    }

    fn into_report(self) -> Report {
        self.report
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn is_first_look(&self, row: &RowKey) -> bool {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(row.clone())
    }
}

impl Worker {
    /// A worker over a table and an account at Callbell.
    pub fn new(store: Store, callbell: Callbell, random: Random) -> Worker {
        Worker {
            store,
            callbell: Arc::new(RwLock::new(callbell)),
            random,
            configuration: Arc::default(),
            tokens: Arc::default(),
            teams: Arc::default(),
            lists: Arc::default(),
            breaks: Arc::default(),
            refused: Arc::default(),
            nothing_before: None,
            fetching: None,
            answering: None,
            is_chat: false,
            turns: Arc::default(),
        }
    }

    /// Asks systems whose webhooks do not say all, and writes to others.
    pub fn fetching(self, fetching: Fetching) -> Worker {
        Worker {
            fetching: Some(fetching),
            ..self
        }
    }

    /// Makes the answers of `[reply.x]`.
    pub fn answering(self, answering: Arc<dyn Answering>) -> Worker {
        Worker {
            answering: Some(answering),
            ..self
        }
    }

    /// Carries out replies alone, as the stream names them: it waits until they are due, tries no channel
    /// that is held, and deletes nothing.
    pub fn chatting(self) -> Worker {
        Worker {
            is_chat: true,
            ..self
        }
    }

    /// After a restore from a backup: what was due before this instant is not sent.
    pub fn sending_nothing_before(self, instant: Option<Timestamp>) -> Worker {
        Worker {
            nothing_before: instant,
            ..self
        }
    }

    /// Reads the automations, so that the first event does not wait for them and finds an open connection
    /// to the table; their version.
    pub async fn warm(&self) -> Option<u64> {
        match self.configuration.get(&self.store).await {
            Ok(configured) => configured.map(|configured| configured.version),
            Err(error) => {
                tracing::warn!(outcome = "configuration not read", reason = %error);
                None
            }
        }
    }

    /// Has the automations read again before they are used next.
    pub async fn forget_configuration(&self) {
        self.configuration.forget().await;
    }

    /// Callbell refused the token: time to read the secret again.
    pub fn is_token_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// Another token, after the secret was read again.
    pub fn use_callbell(&self, callbell: Callbell) {
        self.refused.store(false, Ordering::Relaxed);
        *self
            .callbell
            .write()
            .unwrap_or_else(PoisonError::into_inner) = callbell;
    }

    fn callbell(&self) -> Callbell {
        self.callbell
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Rows that the stream says have work: planned and carried out by `deadline`, or left to the sweep.
    pub async fn on_stream(&self, rows: Vec<RowKey>, deadline: Timestamp) -> Report {
        let run = Run::new(deadline);
        self.work_off(rows, &run).await;
        run.into_report()
    }

    /// The minute's sweep over all shards: round by round one page of each, so that a long shard holds up
    /// none of the others, and of each shard the longest waiting rows first.
    pub async fn on_minute(&self, deadline: Timestamp) -> Report {
        let run = Run::new(deadline);
        let now = self.store.clock().now();
        let mut pages: Vec<_> = (0..SHARDS).map(|shard| (shard, None)).collect();
        while !self.is_over(&run) && !pages.is_empty() {
            let first = pages.iter().all(|(_, page)| page.is_none());
            let (found, next) = self.sweep_round(std::mem::take(&mut pages), now).await;
            if first {
                run.report(|report| report.oldest_due_age_ms = oldest_age_ms(&found, now));
            }
            let rows = found.into_iter().flatten().map(|waiting| waiting.row);
            // Two workers that have the same rows must not meet at each of them.
            self.work_off(self.random.shuffled(rows), &run).await;
            pages = next;
        }
        run.into_report()
    }

    /// One page of each of these shards, as far as they answer, and where those that have more go on.
    async fn sweep_round(
        &self,
        pages: Vec<(u8, Option<Page>)>,
        until: Timestamp,
    ) -> (Vec<Vec<Waiting>>, Vec<(u8, Option<Page>)>) {
        let asked = pages
            .into_iter()
            .map(async |(shard, page)| (shard, self.store.sweep(shard, until, page).await));
        let mut answers = stream::iter(asked).buffer_unordered(SHARDS_AT_ONCE);
        let (mut found, mut more) = (Vec::new(), Vec::new());
        while let Some((shard, answer)) = answers.next().await {
            match answer {
                Ok((rows, next)) => {
                    found.push(rows);
                    more.extend(next.map(|next| (shard, Some(next))));
                }
                Err(error) => {
                    tracing::warn!(outcome = "shard not swept", sweep.shard = shard, reason = %error);
                }
            }
        }
        (found, more)
    }

    /// Whether nothing more may be begun.
    fn is_over(&self, run: &Run) -> bool {
        run.failures.load(Ordering::Relaxed) >= FAILURES_MAX
            || self.store.clock().now() + SEND_BUDGET > run.deadline
    }

    /// Works rows off, a bounded number at once. Jobs that an event makes for now are worked on in the
    /// same run.
    async fn work_off(&self, rows: Vec<RowKey>, run: &Run) {
        let mut queue: VecDeque<RowKey> = rows.into();
        let mut working = FuturesUnordered::new();
        loop {
            while working.len() < SENDS_AT_ONCE && !self.is_over(run) {
                let Some(row) = queue.pop_front() else { break };
                if run.is_first_look(&row) {
                    working.push(self.work(row, run));
                }
            }
            match working.next().await {
                Some(jobs) => queue.extend(jobs.into_iter().map(RowKey::Job)),
                None => break,
            }
        }
    }

    /// One row. Returns the jobs that are due now.
    async fn work(&self, row: RowKey, run: &Run) -> Vec<JobId> {
        match row {
            RowKey::Event(key) => self.plan_event(&key, run).await,
            RowKey::Job(id) => {
                let work = async {
                    if self.is_chat && !self.wait_until_due(&id, run).await? {
                        return Ok(());
                    }
                    Box::pin(self.work_on_job(&id, run)).await
                };
                match Box::pin(work).await {
                    Ok(()) => run.went_well(),
                    Err(error) => {
                        log::failed_job(id.as_str(), &error);
                        run.went_wrong(&error);
                    }
                }
                Vec::new()
            }
        }
    }
}

impl Worker {
    /// Waits for a reply's time, which is a few seconds ahead; `false`: it is too far, and the sweep's.
    async fn wait_until_due(&self, id: &JobId, run: &Run) -> Result<bool, StoreError> {
        let Some(job) = self.store.job(id).await? else {
            return Ok(false);
        };
        let clock = self.store.clock();
        if job.status != Status::Due || job.next_at + SEND_BUDGET > run.deadline {
            return Ok(job.status == Status::Due && job.next_at <= clock.now());
        }
        while let Ok(left) = Duration::try_from(job.next_at.duration_since(clock.now()))
            && !left.is_zero()
        {
            // A development server's clock may be moved meanwhile.
            clock.sleep(left.min(DUE_POLL)).await;
        }
        Ok(true)
    }
}

/// For how long the row has been waiting that waits longest, of pages that begin with theirs; `None` where
/// no shard answered.
fn oldest_age_ms(pages: &[Vec<Waiting>], now: Timestamp) -> Option<u64> {
    let age = |since: Timestamp| now.as_millisecond().saturating_sub(since.as_millisecond());
    let ages = pages
        .iter()
        .map(|page| page.first().map_or(0, |first| age(first.since)));
    ages.max().map(|age| u64::try_from(age).unwrap_or(0))
}
