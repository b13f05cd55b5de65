//! The worker: plan → token → claim → act → finish. The only place that orders those steps.
//!
//! Rows come from two sides, the stream's nudge and the minute's sweep, and are worked on the same way:
//! an event is planned, a job goes on from where it stands. Whatever stops half way (no time left, no
//! token, the table unavailable, a crash) is left as it is; its row says when the sweep looks next.
//!
//! Up to [`SENDS_AT_ONCE`] rows are worked on at once, all inside the handler's own future, so that no
//! task outlives it. No new one is begun when the time left is less than one send takes.

mod attempt;
mod backoff;
mod config;
mod decide;
mod log;
mod planning;
pub mod preview;
mod rate;
mod reconcile;
mod waits;

#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use futures_util::stream::{FuturesUnordered, StreamExt};
use jiff::{SignedDuration, Timestamp};
use shared::store::{JobId, RowKey, SHARDS, Store};

pub use backoff::Random;

use crate::callbell::Callbell;
use attempt::Teams;
use config::Configuration;
use rate::Tokens;

/// Rows that one invocation works on at once.
pub const SENDS_AT_ONCE: usize = 25;
/// What one send may take, its token, its claim and its finish included: with less time left nothing is
/// begun.
pub const SEND_BUDGET: SignedDuration = SignedDuration::from_secs(16);

/// Failures of the table after which an invocation begins nothing more: more requests do not help it.
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
    /// Callbell refused the token, and has not accepted one since.
    refused: Arc<AtomicBool>,
}

/// One invocation.
#[derive(Debug)]
struct Run {
    deadline: Timestamp,
    /// How often the table did not answer.
    failures: AtomicU32,
    /// Rows that this invocation has looked at: none is looked at twice.
    seen: Mutex<HashSet<RowKey>>,
}

impl Run {
    fn new(deadline: Timestamp) -> Run {
        Run {
            deadline,
            failures: AtomicU32::new(0),
            seen: Mutex::default(),
        }
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
            refused: Arc::default(),
        }
    }

    /// Reads the automations, so that the first event does not wait for them.
    pub async fn warm(&self) {
        if let Err(error) = self.configuration.get(&self.store).await {
            tracing::warn!(outcome = "configuration not read", reason = %error);
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
    pub async fn on_stream(&self, rows: Vec<RowKey>, deadline: Timestamp) {
        let run = Run::new(deadline);
        self.work_off(rows, &run).await;
    }

    /// The minute's sweep over all shards, the longest waiting rows first.
    pub async fn on_minute(&self, deadline: Timestamp) {
        let run = Run::new(deadline);
        let now = self.store.clock().now();
        let mut pages: VecDeque<_> = (0..SHARDS).map(|shard| (shard, None)).collect();
        while !self.is_over(&run) && !pages.is_empty() {
            // One page of every shard, so that a long shard holds up none of the others.
            let mut rows = Vec::new();
            for (shard, page) in std::mem::take(&mut pages) {
                match self.store.sweep(shard, now, page).await {
                    Ok((found, next)) => {
                        rows.extend(found);
                        pages.extend(next.map(|next| (shard, Some(next))));
                    }
                    Err(error) => {
                        tracing::warn!(outcome = "shard not swept", sweep.shard = shard, reason = %error);
                    }
                }
            }
            self.work_off(rows, &run).await;
        }
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
                if let Err(error) = self.work_on_job(&id, run).await {
                    log::failed_job(id.as_str(), &error);
                    run.failures
                        .fetch_add(u32::from(error.is_transient()), Ordering::Relaxed);
                }
                Vec::new()
            }
        }
    }
}
