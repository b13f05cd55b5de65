//! A backlog: two workers on one table with thousands of jobs that are all due, woken as the schedule wakes
//! them, and the sends counted where they arrive.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use shared::event::{Body, Event, Item};
use shared::store::{Digests, JobFilter, NewJob, Planned, RATE_LEASE_MAX, Store, StoreError};
use testkit::events::order_paid;

use crate::error::BenchError;
use crate::process::{Process, Program};
use crate::world::{Table, World, minute};

/// Workers that share the table.
const WORKERS: usize = 2;
/// Most memory of one worker, in KiB.
pub const PEAK_KIB_MAX: u64 = 64 * 1024;
/// Writers that fill the table.
const LOADERS: usize = 8;
/// How old the events are, in minutes.
const EVENT_AGE_MIN: i64 = 5;
/// When a job is due once it is stored, in seconds: one that was due at once would be left to the stream for a
/// while.
const DUE_IN_S: i64 = 1;
/// What the workers get beyond the time that the rate needs, in seconds.
const SLACK_S: u64 = 90;
/// How often it is looked whether all is sent, in milliseconds.
const LOOK_MS: u64 = 1_000;

/// What became of it.
#[derive(Clone, Debug)]
pub struct Backlog {
    /// Jobs that were due.
    pub jobs: usize,
    /// Sends a second that the automations allow.
    pub rate: u32,
    /// What filling the table took.
    pub loading: Duration,
    /// From the first message to the last one.
    pub sending: Duration,
    /// Messages that the stand-in took.
    pub messages: usize,
    /// Jobs with exactly one message.
    pub jobs_with_one: usize,
    /// Messages in the fullest second.
    pub fullest_second: usize,
    /// Messages in the fullest span of a second's length, wherever it begins.
    pub fullest_span: usize,
    /// The most memory of the hungriest worker, in KiB.
    pub peak_kib: u64,
}

impl Backlog {
    /// Whether the rate was kept: no second is above it by more than one lease.
    pub fn is_within_rate(&self) -> bool {
        let most = self.rate.saturating_add(RATE_LEASE_MAX);
        u32::try_from(self.fullest_second).is_ok_and(|fullest| fullest <= most)
    }

    /// Whether every job has its one message.
    pub fn is_complete(&self) -> bool {
        self.jobs_with_one == self.jobs && self.messages == self.jobs
    }
}

/// Fills the table of a world with `jobs` due jobs and has two workers send them.
///
/// # Errors
/// A worker fails, or the table.
pub fn work_off(world: &World, jobs: usize, rate: u32) -> Result<Backlog, BenchError> {
    // The workers are woken by the schedule alone.
    world.end_stream()?;
    let begun = Instant::now();
    world.runtime.block_on(load(&world.store, jobs))?;
    let loading = begun.elapsed();
    thread::sleep(Duration::from_secs(DUE_IN_S.unsigned_abs()));
    let program = world.worker(Table::Engine)?;
    let needed = u64::try_from(jobs).unwrap_or(u64::MAX) / u64::from(rate.max(1));
    let until = Instant::now() + Duration::from_secs(needed * 3 / 2 + SLACK_S);
    let over = AtomicBool::new(false);
    let peaks: Result<Vec<u64>, BenchError> = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| scope.spawn(|| keep_waking(&program, &over)))
            .collect();
        while Instant::now() < until
            && world.stand_in.messages().len() < jobs
            && !workers.iter().any(thread::ScopedJoinHandle::is_finished)
        {
            thread::sleep(Duration::from_millis(LOOK_MS));
        }
        over.store(true, Ordering::SeqCst);
        let ended = |_| BenchError::Unexpected("a worker's thread ended".to_owned());
        workers
            .into_iter()
            .map(|worker| worker.join().map_err(ended)?)
            .collect()
    });
    let peak_kib = peaks?.into_iter().max().unwrap_or_default();
    if world.stand_in.messages().is_empty() {
        return Err(BenchError::Unexpected(why_not(world)?));
    }
    Ok(Backlog {
        loading,
        peak_kib,
        ..counted(world, jobs, rate)
    })
}

/// What the first job says that nobody sent.
fn why_not(world: &World) -> Result<String, BenchError> {
    let all = JobFilter::default();
    let jobs = world.store.list_jobs(&all, None);
    let (jobs, _) = world.runtime.block_on(jobs)?;
    let first = jobs.into_iter().next();
    let told = first.map(|job| format!("{}: {}", job.status, job.reason.unwrap_or_default()));
    Ok(format!(
        "no message was sent; the first job is {}",
        told.unwrap_or_else(|| "not there".to_owned())
    ))
}

/// One worker, woken again as soon as it has ended. Returns its peak.
fn keep_waking(program: &Program, over: &AtomicBool) -> Result<u64, BenchError> {
    let mut process: Process = program.start()?;
    while !over.load(Ordering::SeqCst) {
        process.invoke(minute())?;
    }
    process.peak_kib()
}

/// Fills the table as doors and planner would have: an event, its job, the event planned. Through the store,
/// several at a time.
async fn load(store: &Store, jobs: usize) -> Result<(), StoreError> {
    let mut loaders = tokio::task::JoinSet::new();
    for first in 0..LOADERS {
        let store = store.clone();
        loaders.spawn(async move {
            for number in (first..jobs).step_by(LOADERS) {
                put(&store, number).await?;
            }
            Ok::<(), StoreError>(())
        });
    }
    while let Some(loaded) = loaders.join_next().await {
        loaded.map_err(|error| StoreError::Unavailable(error.to_string()))??;
    }
    Ok(())
}

async fn put(store: &Store, number: usize) -> Result<(), StoreError> {
    let now = Timestamp::now();
    let at = now - SignedDuration::from_mins(EVENT_AGE_MIN);
    let due_at = now + SignedDuration::from_secs(DUE_IN_S);
    let event = event(number, at);
    let key = event.event.id.clone();
    store.put_event(event).await?;
    let job = NewJob {
        automation: "order-confirmed".to_owned(),
        action: "message.order-confirmed".to_owned(),
        event: key.clone(),
        event_at: at,
        due_at,
        depth: 0,
        digests: Digests::new(),
        ended: None,
    };
    store.put_job(&job).await?;
    let planned = Planned {
        last_job_at: Some(due_at),
        ..Planned::default()
    };
    store.finish_planning(&key, &planned).await
}

/// An order of a customer who has no other.
fn event(number: usize, at: Timestamp) -> Event {
    let mut event = order_paid(&number.to_string(), at);
    event.customer.id = Some(number.to_string());
    event.customer.email = Some(format!("customer-{number}@example.com"));
    if let Body::Order { order, .. } = &mut event.body {
        order.items.push(Item {
            title: "Camiseta".to_owned(),
            quantity: 1,
            price: order.total,
            total: order.total,
            variant: None,
            sku: None,
            product_id: None,
        });
    }
    for phone in &mut event.customer.phones {
        phone.number = Some(format!(
            "(11) 9{:04}-{:04}",
            8_000 + number / 10_000,
            number % 10_000
        ));
    }
    event
}

/// What arrived.
fn counted(world: &World, jobs: usize, rate: u32) -> Backlog {
    let messages = world.stand_in.messages();
    let mut by_job: HashMap<&str, usize> = HashMap::new();
    let mut at_ms: Vec<i64> = Vec::new();
    for message in &messages {
        at_ms.push(message.at.as_millisecond());
        let job = message
            .body
            .pointer("/metadata/job")
            .and_then(Value::as_str);
        *by_job.entry(job.unwrap_or_default()).or_default() += 1;
    }
    at_ms.sort_unstable();
    let mut seconds: BTreeMap<i64, usize> = BTreeMap::new();
    for at in &at_ms {
        *seconds.entry(at.div_euclid(1000)).or_default() += 1;
    }
    let sending_ms = at_ms
        .last()
        .zip(at_ms.first())
        .map(|(last, first)| last - first);
    let sending_ms = u64::try_from(sending_ms.unwrap_or_default()).unwrap_or_default();
    Backlog {
        jobs,
        rate,
        loading: Duration::ZERO,
        sending: Duration::from_millis(sending_ms),
        messages: messages.len(),
        jobs_with_one: by_job.values().filter(|count| **count == 1).count(),
        fullest_second: seconds.values().copied().max().unwrap_or_default(),
        fullest_span: fullest_span(&at_ms),
        peak_kib: 0,
    }
}

/// The most instants within 1,000 ms of each other, of a sorted list.
fn fullest_span(at_ms: &[i64]) -> usize {
    let mut most = 0;
    let mut first = 0;
    for (index, at) in at_ms.iter().enumerate() {
        while at_ms.get(first).is_some_and(|begin| at - begin >= 1_000) {
            first += 1;
        }
        most = most.max(index + 1 - first);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_second_long() {
        assert_eq!(fullest_span(&[]), 0);
        assert_eq!(fullest_span(&[0, 10, 999, 1_000, 1_005, 1_011]), 4);
    }

    #[test]
    fn no_two_customers_share_a_phone() {
        let at = Timestamp::UNIX_EPOCH;
        let phone = |number| event(number, at).customer.phones[0].number.clone().unwrap();
        assert_eq!(phone(9_999), "(11) 98000-9999");
        assert_eq!(phone(10_000), "(11) 98001-0000");
    }
}
