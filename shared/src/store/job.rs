//! Job rows: one action of one automation for one event, and its life.
//!
//! ```text
//! due ──claim──▶ running ──finish──▶ sent | due | uncertain | held | skipped | dead | cancelled
//!                running, lease lapsed ──settle──▶ due, what is idempotent
//!                running, lease lapsed ──settle──▶ uncertain ──settle──▶ sent | due | held
//! due | uncertain | held ──end──▶ skipped | cancelled | dead      running ──end──▶ cancelled
//! dead | skipped | held ──revive──▶ due
//! ```
//!
//! Every change names the states that it may come from and the version that it saw, and raises the version.
//! It also leaves a token made before the request was sent: where the condition fails and the row shows our
//! own token, the SDK had repeated a request that had taken place, and the change is ours.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::digests::DIGESTS;
use super::event::{AFTER_JOB_KEEP_MS, STREAM_HEADSTART_MS};
use super::request::{Item, Update, Written};
use super::rows::{Reader, expired_by, expiry, later, number, row, text, time};
use super::table::{INDEX_HASH, INDEX_RANGE, LANE, LANE_CHAT, LANE_SEND, TTL};
use super::{Digests, Put, Store, StoreError, keys};

/// How long a claim holds, in milliseconds: longer than a function may run.
pub const LEASE_MS: i64 = 75 * 1000;
/// Clocks differ: a message may seem that much older than its claim, in milliseconds.
const CLOCK_SKEW_MS: i64 = 5 * 1000;
/// Most characters of a reason that are kept.
const REASON_CHARS_MAX: usize = 500;

/// A job's number: the first 128 bits of a SHA-256 over its key, as 32 hex digits. It goes into
/// `metadata.job`, logs and answers, and tells nothing of anybody.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobId(String);

impl JobId {
    /// The job of an action (`message.order-confirmed`) of an automation for an event.
    pub fn of(automation: &str, action: &str, event: &str) -> JobId {
        JobId::of_key(&job_key(automation, action, event))
    }

    /// The job with this readable key.
    pub fn of_key(key: &str) -> JobId {
        JobId(keys::hash128(key))
    }

    /// Reads 32 lower-case hex digits.
    pub fn parse(text: &str) -> Option<JobId> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 32 && text.bytes().all(hex)).then(|| JobId(text.to_owned()))
    }

    /// The 32 hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn pk(&self) -> String {
        keys::job(&self.0)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether an action is a chatbot's answer, which has a lane of its own.
pub fn is_reply(action: &str) -> bool {
    action.starts_with("reply.")
}

fn job_key(automation: &str, action: &str, event: &str) -> String {
    format!("{automation}/{action}#{event}")
}

/// Who holds a claim: a token made before the claim is sent, new for each claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner(String);

impl Owner {
    /// A new owner.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the machine has no randomness.
    pub fn new() -> Result<Owner, StoreError> {
        token().map(Owner)
    }

    /// The token.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn token() -> Result<String, StoreError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|_| StoreError::Unavailable("no randomness".to_owned()))?;
    Ok(hex::encode(bytes))
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Waits for its time.
    Due,
    /// Somebody acts, and holds a lease.
    Running,
    /// Nobody knows whether it happened.
    Uncertain,
    /// Done.
    Sent,
    /// Waits for a person.
    Held,
    /// Never attempted, and will not be.
    Skipped,
    /// Given up after an attempt.
    Dead,
    /// Ended by something that happened.
    Cancelled,
}

impl Status {
    /// All of them.
    pub const ALL: [Status; 8] = [
        Status::Due,
        Status::Running,
        Status::Uncertain,
        Status::Sent,
        Status::Held,
        Status::Skipped,
        Status::Dead,
        Status::Cancelled,
    ];

    /// The word that rows and people use.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Due => "due",
            Status::Running => "running",
            Status::Uncertain => "uncertain",
            Status::Sent => "sent",
            Status::Held => "held",
            Status::Skipped => "skipped",
            Status::Dead => "dead",
            Status::Cancelled => "cancelled",
        }
    }

    /// The status with this word.
    pub fn parse(word: &str) -> Option<Status> {
        Status::ALL
            .into_iter()
            .find(|status| status.as_str() == word)
    }

    /// Nothing happens to it any more by itself.
    pub fn has_ended(self) -> bool {
        !matches!(self, Status::Due | Status::Running | Status::Uncertain)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What Callbell's `message_status_updated` says became of a message, in the order in which it only rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Callbell took it.
    Enqueued,
    /// WhatsApp took it.
    Sent,
    /// WhatsApp could not deliver it. A later `delivered` is believed.
    Failed,
    /// It is on the phone.
    Delivered,
    /// It was read.
    Read,
}

impl Delivery {
    const ALL: [Delivery; 5] = [
        Delivery::Enqueued,
        Delivery::Sent,
        Delivery::Failed,
        Delivery::Delivered,
        Delivery::Read,
    ];

    /// The word that Callbell and rows use.
    pub fn as_str(self) -> &'static str {
        match self {
            Delivery::Enqueued => "enqueued",
            Delivery::Sent => "sent",
            Delivery::Failed => "failed",
            Delivery::Delivered => "delivered",
            Delivery::Read => "read",
        }
    }

    /// The delivery with this word; `None` for words that say nothing of it (`mismatch`, `deleted`).
    pub fn parse(word: &str) -> Option<Delivery> {
        Delivery::ALL
            .into_iter()
            .find(|delivery| delivery.as_str() == word)
    }

    fn rank(self) -> u8 {
        self as u8 + 1
    }
}

/// How a job ends that nobody claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nobody to send to, no consent, too late, …: with the reason.
    Skipped(String),
    /// Something that happened ended it: with the reason.
    Cancelled(String),
    /// Attempted, and its time ran out: with the reason.
    Dead(String),
}

impl Ended {
    /// The status and the reason.
    pub fn parts(&self) -> (Status, &str) {
        match self {
            Ended::Skipped(reason) => (Status::Skipped, reason),
            Ended::Cancelled(reason) => (Status::Cancelled, reason),
            Ended::Dead(reason) => (Status::Dead, reason),
        }
    }
}

/// A job to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// The automation's name.
    pub automation: String,
    /// `message.order-confirmed`.
    pub action: String,
    /// The event key that it was made for.
    pub event: String,
    /// When the event happened.
    pub event_at: Timestamp,
    /// The job's own time.
    pub due_at: Timestamp,
    /// How many of our own actions led to its event.
    pub depth: u8,
    /// Whose it is.
    pub digests: Digests,
    /// It ends before it begins, and is stored for its reason alone.
    pub ended: Option<Ended>,
}

impl NewJob {
    /// The readable key: `{automation}/{kind}.{name}#{event key}`.
    pub fn key(&self) -> String {
        job_key(&self.automation, &self.action, &self.event)
    }

    /// The number.
    pub fn id(&self) -> JobId {
        JobId::of_key(&self.key())
    }
}

/// A job row.
#[derive(Clone, PartialEq)]
pub struct JobRow {
    /// The number.
    pub id: JobId,
    /// The readable key.
    pub key: String,
    /// The automation's name.
    pub automation: String,
    /// `message.order-confirmed`.
    pub action: String,
    /// The event key.
    pub event: String,
    /// When the event happened.
    pub event_at: Timestamp,
    /// When the job was stored.
    pub created_at: Timestamp,
    /// Where it stands.
    pub status: Status,
    /// Why it stands there.
    pub reason: Option<String>,
    /// Rises with every change of status.
    pub version: u64,
    /// Attempts that count.
    pub attempts: u32,
    /// How often it became uncertain.
    pub uncertainties: u32,
    /// The job's own time: lateness counts from it.
    pub due_at: Timestamp,
    /// The earliest time of the next attempt, or of reconciling; `due_at` or later.
    pub next_at: Timestamp,
    /// The token of whoever claimed it last.
    pub owner: Option<String>,
    /// When the claim lapses, while it runs.
    pub lease_until: Option<Timestamp>,
    /// When it was claimed last.
    pub claimed_at: Option<Timestamp>,
    /// What was to be sent, for reconciling.
    pub request: ClaimRequest,
    /// The message at Callbell.
    pub message_uuid: Option<String>,
    /// It was cancelled, and reached Callbell all the same.
    pub reached: bool,
    /// What became of the message.
    pub delivery: Option<Delivery>,
    /// When Callbell said so last.
    pub delivery_at: Option<Timestamp>,
    /// WhatsApp's reason for a delivery that failed.
    pub delivery_reason: Option<String>,
    /// The number that WhatsApp corrected the recipient's to.
    pub corrected_phone: Option<String>,
    /// How many of our own actions led to its event.
    pub depth: u8,
    /// Another recipient, given by `replay --to`.
    pub to: Option<String>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Whose it is.
    pub digests: Digests,
}

impl JobRow {
    /// The claim is over although nobody finished: whether it happened is unknown.
    pub fn has_lapsed(&self, now: Timestamp) -> bool {
        self.status == Status::Running && self.lease_until.is_none_or(|until| until <= now)
    }
}

impl fmt::Debug for JobRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobRow")
            .field("id", &self.id)
            .field("key", &self.key)
            .field("status", &self.status)
            .field("reason", &self.reason)
            .field("version", &self.version)
            .field("attempts", &self.attempts)
            .field("next_at", &self.next_at)
            .finish_non_exhaustive()
    }
}

/// What a claim is about to send; kept on the row so that a lost answer can be reconciled.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClaimRequest {
    /// Digest of the normalised text; `None` where it is unknown (a template without its text).
    pub text_digest: Option<String>,
    /// Digest of the recipient.
    pub recipient: Option<String>,
    /// The channel's name.
    pub channel: Option<String>,
}

impl fmt::Debug for ClaimRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimRequest")
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// The job is ours until its lease lapses.
    Won(JobRow),
    /// It is not; the row as it is, where there is one.
    Lost(Option<JobRow>),
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Changed {
    /// It took place; the row after it.
    Done(JobRow),
    /// The row is in another state or version; the row as it is, where there is one.
    Lost(Option<JobRow>),
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Done.
    Sent {
        /// The message at Callbell, where the action makes one.
        uuid: Option<String>,
    },
    /// Surely not done: again later.
    Due {
        /// The next attempt.
        at: Timestamp,
        /// Why.
        reason: String,
        /// The attempt counts. Not for 429, holds and pauses.
        attempt_spent: bool,
        /// A new time from which lateness counts; `None`: as before.
        due_at: Option<Timestamp>,
    },
    /// Perhaps done.
    Uncertain {
        /// When to reconcile.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// A person has to look at it.
    Held(String),
    /// Turned out not to be wanted, before anything was sent.
    Skipped(String),
    /// Refused for good, or out of time.
    Dead(String),
    /// Ended by something that happened, before anything was sent.
    Cancelled(String),
}

/// What became of a finish.
#[derive(Clone, Debug, PartialEq)]
pub enum Finished {
    /// It took place; the row after it.
    Done(JobRow),
    /// The job was cancelled while we sent: it stays cancelled, and the row says whether it reached
    /// Callbell.
    Cancelled(JobRow),
    /// The job is no longer ours; the row as it is, where there is one.
    Lost(Option<JobRow>),
}

/// What a webhook says about the message of a job.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct News {
    /// What became of it.
    pub delivery: Option<Delivery>,
    /// Callbell's number of it; unknown where its own webhook shows it.
    pub uuid: Option<String>,
    /// When it was written, where the webhook says that of the message itself.
    pub written_at: Option<Timestamp>,
    /// WhatsApp's reason.
    pub reason: Option<String>,
    /// The number that WhatsApp corrected the recipient's to.
    pub corrected_phone: Option<String>,
}

impl fmt::Debug for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("News")
            .field("delivery", &self.delivery)
            .field("uuid", &self.uuid)
            .finish_non_exhaustive()
    }
}

/// The latest claim that a message may come from: clocks differ.
fn written_by(news: &News) -> Timestamp {
    later(news.written_at.unwrap_or(Timestamp::MAX), CLOCK_SKEW_MS)
}

/// How a lapsed or uncertain job goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settle {
    /// `running` with a lapsed lease → `uncertain`.
    Lapsed {
        /// When to reconcile.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// `running` with a lapsed lease → `due`: what may be done twice is done again.
    Again {
        /// The next attempt.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// `uncertain` stays so: it could not be reconciled now.
    Wait {
        /// When to try again.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// `uncertain` → `sent`.
    Sent {
        /// The message at Callbell.
        uuid: Option<String>,
    },
    /// `uncertain` → `due`: it surely did not happen, or the user asked to risk a second one.
    Due {
        /// The next attempt.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// `uncertain` → `held`.
    Held(String),
}

impl Store {
    /// Stores a job, once. Due now: on the stream's lane, and swept only after the stream had its chance. A
    /// reply is on the lane of its own before it is due.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn put_job(&self, job: &NewJob) -> Result<Put, StoreError> {
        let now = self.clock.now();
        self.put_new(encode(job, now), now).await
    }

    /// The job, read strongly.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it cannot be read; what DynamoDB reports.
    pub async fn job(&self, id: &JobId) -> Result<Option<JobRow>, StoreError> {
        self.get(&id.pk()).await?.as_ref().map(decode).transpose()
    }

    /// `due` → `running`, immediately before the request goes out. A running job is never claimed, however
    /// old its lease: what became of it is unknown, see [`Settle::Lapsed`].
    ///
    /// # Errors
    /// What DynamoDB reports; then nothing may be sent.
    pub async fn claim(
        &self,
        id: &JobId,
        version: u64,
        owner: &Owner,
        lease_ms: i64,
        request: &ClaimRequest,
    ) -> Result<Claim, StoreError> {
        let now = self.clock.now();
        let until = later(now, lease_ms);
        let update = step(&[Status::Due], version, Status::Running)
            .set("owner", text(&owner.0))
            .set("lease_until", time(until))
            .set("claimed_at", time(now))
            .set(INDEX_HASH, text(keys::shard(&id.pk())))
            .set(INDEX_RANGE, time(until))
            .set_or_remove("text_digest", request.text_digest.as_deref().map(text))
            .set_or_remove("recipient", request.recipient.as_deref().map(text))
            .set_or_remove("channel", request.channel.as_deref().map(text))
            .remove(LANE)
            .remove("reason")
            .add("attempts", number(1));
        Ok(match self.change(id, update, &owner.0).await? {
            Changed::Done(row) => Claim::Won(row),
            Changed::Lost(row) => Claim::Lost(row),
        })
    }

    /// `running` → what the attempt came to. Needs the owner and the version of the claim.
    ///
    /// A job that was cancelled meanwhile stays cancelled and keeps the message's uuid. One that lapsed
    /// meanwhile and that nobody else claimed becomes `sent` all the same where the message is known to
    /// exist: knowing ends an uncertainty.
    ///
    /// # Errors
    /// What DynamoDB reports; the lease lapses and the job is reconciled.
    pub async fn finish(
        &self,
        id: &JobId,
        owner: &Owner,
        version: u64,
        end: &End,
    ) -> Result<Finished, StoreError> {
        let uuid = if let End::Sent { uuid } = end {
            uuid.as_deref()
        } else {
            None
        };
        if let Some(uuid) = uuid {
            self.take_message(uuid, id).await?;
        }
        let update = self.ending(id, end, step(&[Status::Running], version, end_status(end)));
        let update = update
            .when("#owner = :owner")
            .value("owner", text(&owner.0));
        let row = match self.change(id, update, &token()?).await? {
            Changed::Done(row) => return Ok(Finished::Done(row)),
            Changed::Lost(None) => return Ok(Finished::Lost(None)),
            Changed::Lost(Some(row)) => row,
        };
        if row.owner.as_deref() != Some(owner.as_str()) {
            return Ok(Finished::Lost(Some(row)));
        }
        match row.status {
            Status::Cancelled => {
                self.reached(id, owner, row, matches!(end, End::Sent { .. }), uuid)
                    .await
            }
            Status::Uncertain | Status::Due | Status::Held if matches!(end, End::Sent { .. }) => {
                let update = step(&[row.status], row.version, Status::Sent)
                    .when("#owner = :owner")
                    .value("owner", text(&owner.0));
                Ok(
                    match self
                        .change(id, self.ending(id, end, update), &token()?)
                        .await?
                    {
                        Changed::Done(row) => Finished::Done(row),
                        Changed::Lost(row) => Finished::Lost(row),
                    },
                )
            }
            _ => Ok(Finished::Lost(Some(row))),
        }
    }

    /// A cancelled job's message that went out all the same.
    async fn reached(
        &self,
        id: &JobId,
        owner: &Owner,
        row: JobRow,
        sent: bool,
        uuid: Option<&str>,
    ) -> Result<Finished, StoreError> {
        if !sent {
            return Ok(Finished::Cancelled(row));
        }
        let mut update = Update::new()
            .set(
                "reached",
                aws_sdk_dynamodb::types::AttributeValue::Bool(true),
            )
            .when("#status = :cancelled AND #owner = :owner")
            .value("cancelled", text(Status::Cancelled.as_str()))
            .value("owner", text(&owner.0));
        if let Some(uuid) = uuid {
            update = update.set("message_uuid", text(uuid));
        }
        Ok(match self.update(&id.pk(), update).await? {
            Written::Done(item) => Finished::Cancelled(decode(&item)?),
            Written::Refused(item) => Finished::Lost(item.as_ref().map(decode).transpose()?),
        })
    }

    /// `due` → `due` at another time; no attempt is spent. `due_at` moves the job's own time, from which
    /// lateness counts: given where the wait is not the job's fault (sending hours, a hold, a pause, a
    /// moved booking). What the stream was on, the sweep is on afterwards.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn move_due(
        &self,
        id: &JobId,
        version: u64,
        at: Timestamp,
        due_at: Option<Timestamp>,
        reason: &str,
    ) -> Result<Changed, StoreError> {
        let update = step(&[Status::Due], version, Status::Due).remove(LANE);
        let update = waiting(id, update, at, due_at).set("reason", text(clip(reason)));
        self.change(id, update, &token()?).await
    }

    /// Ends a job that is not running: `due`, `uncertain` or `held` → skipped, cancelled or dead. A running
    /// one can be cancelled; whoever runs it learns so when they finish.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where `from` names another state; what DynamoDB reports.
    pub async fn end(
        &self,
        id: &JobId,
        version: u64,
        from: &[Status],
        end: &Ended,
    ) -> Result<Changed, StoreError> {
        let (to, reason) = end.parts();
        let allowed = |status: &Status| match status {
            Status::Due | Status::Uncertain | Status::Held => true,
            Status::Running => to == Status::Cancelled,
            Status::Sent | Status::Skipped | Status::Dead | Status::Cancelled => false,
        };
        if from.is_empty() || !from.iter().all(allowed) {
            return Err(StoreError::Refused(format!(
                "no job goes from {from:?} to {to}"
            )));
        }
        let update = self
            .ended(step(from, version, to))
            .set("reason", text(clip(reason)));
        self.change(id, update, &token()?).await
    }

    /// Goes on with a job whose outcome is unknown.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn settle(
        &self,
        id: &JobId,
        version: u64,
        settle: &Settle,
    ) -> Result<Changed, StoreError> {
        if let Settle::Sent { uuid: Some(uuid) } = settle
            && !self.take_message(uuid, id).await?
        {
            return Ok(Changed::Lost(self.job(id).await?));
        }
        let update = match settle {
            Settle::Lapsed { at, reason } => {
                let update = step(&[Status::Running], version, Status::Uncertain)
                    .when("#lease_until <= :now")
                    .value("now", time(self.clock.now()))
                    .add("uncertainties", number(1));
                waiting(id, update, *at, None).set("reason", text(clip(reason)))
            }
            Settle::Again { at, reason } => {
                let update = step(&[Status::Running], version, Status::Due)
                    .when("#lease_until <= :now")
                    .value("now", time(self.clock.now()));
                waiting(id, update, *at, None).set("reason", text(clip(reason)))
            }
            Settle::Wait { at, reason } => waiting(
                id,
                step(&[Status::Uncertain], version, Status::Uncertain),
                *at,
                None,
            )
            .set("reason", text(clip(reason))),
            Settle::Sent { uuid } => self.ending(
                id,
                &End::Sent { uuid: uuid.clone() },
                step(&[Status::Uncertain], version, Status::Sent),
            ),
            Settle::Due { at, reason } => waiting(
                id,
                step(&[Status::Uncertain], version, Status::Due),
                *at,
                None,
            )
            .set("reason", text(clip(reason))),
            Settle::Held(reason) => self
                .ended(step(&[Status::Uncertain], version, Status::Held))
                .set("reason", text(clip(reason))),
        };
        self.change(id, update, &token()?).await
    }

    /// `cancelled` → `due`, where this is the reason: what was given up for another job's sake, and
    /// is wanted again.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn reopen(
        &self,
        id: &JobId,
        version: u64,
        reason: &str,
        at: Timestamp,
    ) -> Result<Changed, StoreError> {
        let now = self.clock.now();
        let update = step(&[Status::Cancelled], version, Status::Due)
            .when("#reason = :because AND #expires_at > :now")
            .value("because", text(reason))
            .value("now", expired_by(now))
            .set("next_at", time(at))
            .set(INDEX_HASH, text(keys::shard(&id.pk())))
            .set(INDEX_RANGE, time(at))
            .remove("reason")
            .remove("ended_at")
            .remove(TTL);
        self.change(id, update, &token()?).await
    }

    /// Replay: `dead`, `skipped` or `held` → `due`, now and with all attempts. `to` sends it to somebody
    /// else; `due_at` counts lateness from there, `None` from the job's own time.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn revive(
        &self,
        id: &JobId,
        version: u64,
        to: Option<&str>,
        due_at: Option<Timestamp>,
        digests: &Digests,
    ) -> Result<Changed, StoreError> {
        let now = self.clock.now();
        let mut update = step(
            &[Status::Dead, Status::Skipped, Status::Held],
            version,
            Status::Due,
        )
        .when("#expires_at > :now")
        .value("now", expired_by(now))
        .set(LANE, text(LANE_SEND))
        .set("next_at", time(now))
        .set(INDEX_HASH, text(keys::shard(&id.pk())))
        .set(INDEX_RANGE, time(later(now, STREAM_HEADSTART_MS)))
        .set("attempts", number(0))
        .set("uncertainties", number(0))
        .remove("reason")
        .remove("ended_at")
        .remove("message_uuid")
        .remove("delivery")
        .remove("delivery_rank")
        .remove("claimed_at")
        .remove("delivery_at")
        .remove("delivery_reason")
        .remove("corrected_phone")
        .remove(TTL);
        if let Some(to) = to {
            update = update.set("to", text(to));
        }
        if let Some(due_at) = due_at {
            update = update.set("due_at", time(due_at));
        }
        if let Some(digests) = digests.attribute() {
            update = update.add(DIGESTS, digests);
        }
        self.change(id, update, &token()?).await
    }

    /// Records what Callbell says became of the message. Only rises, makes no row, raises no version, and
    /// says nothing about another message of the same job. `false`: nothing changed.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn set_delivery(
        &self,
        id: &JobId,
        delivery: Delivery,
        uuid: &str,
    ) -> Result<bool, StoreError> {
        let news = News {
            delivery: Some(delivery),
            uuid: Some(uuid.to_owned()),
            ..News::default()
        };
        self.record_news(id, &news).await
    }

    /// Records what a webhook says about a job's message: [`Store::set_delivery`], with what comes along. A
    /// job that waits for its first attempt has no message: what is said of it is about an earlier one.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn record_news(&self, id: &JobId, news: &News) -> Result<bool, StoreError> {
        let mut update = Update::new()
            .when(
                "attribute_exists(#pk) AND (#status <> :due OR #uncertainties > :never OR attribute_exists(#claimed_at))",
            )
            .value("due", text(Status::Due.as_str()))
            .value("never", number(0));
        if let Some(uuid) = &news.uuid {
            update = update
                .set("message_uuid", text(uuid))
                .when("attribute_not_exists(#message_uuid) OR #message_uuid = :message_uuid");
        }
        if let Some(delivery) = news.delivery {
            update = update
                .set("delivery", text(delivery.as_str()))
                .set("delivery_rank", number(delivery.rank()))
                .set("delivery_at", time(self.clock.now()))
                .when("attribute_not_exists(#delivery_rank) OR #delivery_rank < :delivery_rank");
        }
        if let Some(reason) = &news.reason {
            update = update.set("delivery_reason", text(clip(reason)));
        }
        if let Some(phone) = &news.corrected_phone {
            update = update.set("corrected_phone", text(phone));
        }
        if news.written_at.is_some() {
            // A message that is older than the attempt is that of an earlier one, which a person replayed.
            update = update
                .when("attribute_not_exists(#claimed_at) OR #claimed_at <= :written_by")
                .value("written_by", time(written_by(news)));
        }
        Ok(matches!(
            self.update(&id.pk(), update).await?,
            Written::Done(_)
        ))
    }

    /// A job of which it was unknown whether its message exists, and of which Callbell has said so: `sent`.
    /// Of a running one only where its claim lapsed; whoever still runs it will know. The row after it, or
    /// as it is where there is nothing to settle.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn settle_by_news(&self, job: &JobRow) -> Result<Changed, StoreError> {
        let unknown = match job.status {
            Status::Running => job.has_lapsed(self.clock.now()),
            Status::Uncertain => true,
            // Asked, not found, and there all the same; or left to a person because nobody could say.
            Status::Due | Status::Held if job.uncertainties > 0 => true,
            // Refused, as it seemed, by whatever stands before Callbell, and taken all the same.
            Status::Due => {
                let said = job.delivery_at.zip(job.claimed_at);
                said.is_some_and(|(said_at, claimed_at)| said_at >= claimed_at)
            }
            _ => false,
        };
        if !unknown || job.delivery.is_none() {
            return Ok(Changed::Lost(Some(job.clone())));
        }
        let uuid = job.message_uuid.clone();
        if let Some(uuid) = &uuid
            && !self.take_message(uuid, &job.id).await?
        {
            return Ok(Changed::Lost(Some(job.clone())));
        }
        let update = step(&[job.status], job.version, Status::Sent);
        let update = self.ending(&job.id, &End::Sent { uuid }, update);
        self.change(&job.id, update, &token()?).await
    }

    /// The job that a message at Callbell belongs to, where one is known.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn message_job(&self, uuid: &str) -> Result<Option<JobId>, StoreError> {
        match self.get(&keys::message(uuid)).await? {
            None => Ok(None),
            Some(item) => Ok(JobId::parse(&Reader::new(&item, "map")?.text("job")?)),
        }
    }

    /// Marks a message as this job's; `false` where it is another's. Reconciling must not take one
    /// message of Callbell's history for two jobs.
    async fn take_message(&self, uuid: &str, id: &JobId) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let mut item = row(&keys::message(uuid));
        item.insert("job".to_owned(), text(id.as_str()));
        item.insert(TTL.to_owned(), expiry(later(now, AFTER_JOB_KEEP_MS)));
        let values = Item::from([
            (":job".to_owned(), text(id.as_str())),
            (":now".to_owned(), expired_by(now)),
        ]);
        let condition = "attribute_not_exists(#pk) OR #job = :job OR #expires_at <= :now";
        Ok(matches!(
            self.put(item, condition, values).await?,
            Written::Done(_)
        ))
    }

    /// One change of status, recognising our own repetition.
    async fn change(&self, id: &JobId, update: Update, token: &str) -> Result<Changed, StoreError> {
        match self
            .update(&id.pk(), update.set("change", text(token)))
            .await?
        {
            Written::Done(item) => Ok(Changed::Done(decode(&item)?)),
            Written::Refused(None) => Ok(Changed::Lost(None)),
            Written::Refused(Some(item)) => {
                let ours = Reader::new(&item, "job")?.text_opt("change")?.as_deref() == Some(token);
                let row = decode(&item)?;
                Ok(if ours {
                    Changed::Done(row)
                } else {
                    Changed::Lost(Some(row))
                })
            }
        }
    }

    /// The rest of an update that ends an attempt.
    fn ending(&self, id: &JobId, end: &End, update: Update) -> Update {
        match end {
            End::Sent { uuid } => {
                let update = self.ended(update).remove("reason");
                match uuid {
                    Some(uuid) => update.set("message_uuid", text(uuid)),
                    None => update,
                }
            }
            End::Due {
                at,
                reason,
                attempt_spent,
                due_at,
            } => {
                let update = waiting(id, update, *at, *due_at).set("reason", text(clip(reason)));
                if *attempt_spent {
                    update
                } else {
                    update.add("attempts", number(-1))
                }
            }
            End::Uncertain { at, reason } => waiting(id, update, *at, None)
                .set("reason", text(clip(reason)))
                .add("uncertainties", number(1)),
            End::Held(reason)
            | End::Skipped(reason)
            | End::Dead(reason)
            | End::Cancelled(reason) => self.ended(update).set("reason", text(clip(reason))),
        }
    }

    /// Out of the index and the lane, and on its way to being deleted.
    fn ended(&self, update: Update) -> Update {
        let now = self.clock.now();
        update
            .set("ended_at", time(now))
            .set(TTL, expiry(later(now, AFTER_JOB_KEEP_MS)))
            .remove("lease_until")
            .remove(LANE)
            .remove(INDEX_HASH)
            .remove(INDEX_RANGE)
    }
}

/// A change of status: from-states, version, and the version that rises.
fn step(from: &[Status], version: u64, to: Status) -> Update {
    let names: Vec<String> = (0..from.len()).map(|n| format!(":from_{n}")).collect();
    let mut update = Update::new()
        .set("status", text(to.as_str()))
        .set("version", number(version.saturating_add(1)))
        .when(format!("#status IN ({})", names.join(", ")))
        .when("#version = :seen_version")
        .value("seen_version", number(version));
    for (n, status) in from.iter().enumerate() {
        update = update.value(&format!("from_{n}"), text(status.as_str()));
    }
    update
}

/// Waits in the index until `at`.
fn waiting(id: &JobId, update: Update, at: Timestamp, due_at: Option<Timestamp>) -> Update {
    let update = update
        .set("next_at", time(at))
        .set(INDEX_HASH, text(keys::shard(&id.pk())))
        .set(INDEX_RANGE, time(at))
        .remove("lease_until");
    match due_at {
        Some(due_at) => update.set("due_at", time(due_at)),
        None => update,
    }
}

fn end_status(end: &End) -> Status {
    match end {
        End::Sent { .. } => Status::Sent,
        End::Due { .. } => Status::Due,
        End::Uncertain { .. } => Status::Uncertain,
        End::Held(_) => Status::Held,
        End::Skipped(_) => Status::Skipped,
        End::Dead(_) => Status::Dead,
        End::Cancelled(_) => Status::Cancelled,
    }
}

fn clip(reason: &str) -> String {
    reason.chars().take(REASON_CHARS_MAX).collect()
}

fn encode(job: &NewJob, now: Timestamp) -> Item {
    let id = job.id();
    let mut item = row(&id.pk());
    let mut insert = |name: &str, value| item.insert(name.to_owned(), value);
    insert("key", text(job.key()));
    insert("automation", text(&job.automation));
    insert("action", text(&job.action));
    insert("event", text(&job.event));
    insert("event_at", time(job.event_at));
    insert("created_at", time(now));
    insert("version", number(1));
    insert("attempts", number(0));
    insert("uncertainties", number(0));
    insert("due_at", time(job.due_at));
    insert("next_at", time(job.due_at));
    if job.depth > 0 {
        insert("depth", number(job.depth));
    }
    if let Some(digests) = job.digests.attribute() {
        insert(DIGESTS, digests);
    }
    if let Some(ended) = &job.ended {
        let (status, reason) = ended.parts();
        insert("status", text(status.as_str()));
        insert("reason", text(clip(reason)));
        insert("ended_at", time(now));
        insert(TTL, expiry(later(now, AFTER_JOB_KEEP_MS)));
        return item;
    }
    insert("status", text(Status::Due.as_str()));
    insert(INDEX_HASH, text(keys::shard(&id.pk())));
    if is_reply(&job.action) {
        insert(LANE, text(LANE_CHAT));
        let from = job.due_at.max(now);
        insert(INDEX_RANGE, time(later(from, STREAM_HEADSTART_MS)));
    } else if job.due_at <= now {
        insert(LANE, text(LANE_SEND));
        insert(INDEX_RANGE, time(later(now, STREAM_HEADSTART_MS)));
    } else {
        insert(INDEX_RANGE, time(job.due_at));
    }
    item
}

pub(super) fn decode(item: &Item) -> Result<JobRow, StoreError> {
    let reader = Reader::new(item, "job")?;
    let delivery = match reader.text_opt("delivery")? {
        Some(word) => {
            Some(Delivery::parse(&word).ok_or_else(|| reader.corrupt("delivery is unknown"))?)
        }
        None => None,
    };
    Ok(JobRow {
        id: JobId::parse(&reader.key(keys::JOB)?)
            .ok_or_else(|| reader.corrupt("pk is no job's"))?,
        key: reader.text("key")?,
        automation: reader.text("automation")?,
        action: reader.text("action")?,
        event: reader.text("event")?,
        event_at: reader.time("event_at")?,
        created_at: reader.time("created_at")?,
        status: Status::parse(&reader.text("status")?)
            .ok_or_else(|| reader.corrupt("status is unknown"))?,
        reason: reader.text_opt("reason")?,
        version: reader.number("version")?,
        attempts: reader.number("attempts")?,
        uncertainties: reader.number("uncertainties")?,
        due_at: reader.time("due_at")?,
        next_at: reader.time("next_at")?,
        owner: reader.text_opt("owner")?,
        lease_until: reader.time_opt("lease_until")?,
        claimed_at: reader.time_opt("claimed_at")?,
        request: ClaimRequest {
            text_digest: reader.text_opt("text_digest")?,
            recipient: reader.text_opt("recipient")?,
            channel: reader.text_opt("channel")?,
        },
        message_uuid: reader.text_opt("message_uuid")?,
        reached: reader.flag("reached"),
        delivery,
        delivery_at: reader.time_opt("delivery_at")?,
        delivery_reason: reader.text_opt("delivery_reason")?,
        corrected_phone: reader.text_opt("corrected_phone")?,
        depth: reader.number_opt("depth")?.unwrap_or_default(),
        to: reader.text_opt("to")?,
        ended_at: reader.time_opt("ended_at")?,
        digests: Digests(reader.set(DIGESTS)?),
    })
}
