//! The second half of an attempt: once, claim, act, finish.

use std::sync::atomic::Ordering;

use jiff::{SignedDuration, Timestamp};
use shared::store::{
    Claim, ClaimRequest, End, Ended, Finished, JobRow, LEASE_MS, LastSent, Once, Owner, PersonMark,
    StoreError,
};

use super::attempt::{PROBE_EVERY_MS, Ready, UNCERTAIN_WAIT, Work, text_digest};
use super::backoff::{after_limit, next_attempt};
use super::config::Configured;
use super::decide::{Decision, Post, RECHECK};
use super::rate::{Taken, Token};
use super::{Run, Worker, log};
use crate::actions::message::{Envelope, request};
use crate::callbell::{Hold, Outcome, REQUEST_TIMEOUT};
use crate::plan::{About, about, once_holder};

/// By how much a mark may be older than the event that took it: the door's clock and the worker's differ a little. A
/// key comes again as a new event only when its row has expired, days later.
const ONCE_SLACK: SignedDuration = SignedDuration::from_hours(1);
/// What is kept free of the lease behind the longest request, for the finish.
const LEASE_MARGIN: SignedDuration = SignedDuration::from_secs(5);

impl Worker {
    /// Once, claim, act, finish. `token`: a place in the send rate, where the work takes one.
    pub(super) async fn act(
        &self,
        job: &JobRow,
        configured: &Configured,
        ready: Ready,
        token: Option<Token>,
        run: &Run,
    ) -> Result<(), StoreError> {
        if let Some(why) = self.spoke_before(job, &ready).await? {
            let ended = Ended::Skipped(why);
            return self.carry_out(job, Decision::End(ended), run).await;
        }
        let owner = Owner::new()?;
        let job = match self
            .store
            .claim(
                &job.id,
                job.version,
                &owner,
                LEASE_MS,
                &claim_of(&ready.work),
            )
            .await?
        {
            Claim::Won(job) => job,
            Claim::Lost(_) => return Ok(()),
        };
        let end = match self.may_go(&job, configured, token, run).await? {
            Err(end) => end,
            Ok(()) => self.carry_through(&job, &owner, &ready, run).await?,
        };
        self.finish(&job, &owner, &ready, &end, run).await
    }

    /// Takes the job's `once` mark; why it must not go where another event holds it, or the same one at an
    /// earlier time: a key comes again where its event is no longer kept.
    async fn spoke_before(
        &self,
        job: &JobRow,
        ready: &Ready,
    ) -> Result<Option<String>, StoreError> {
        let Some((key, until)) = &ready.once else {
            return Ok(None);
        };
        let holder = once_holder(&job.event);
        let (event, at) = match self.store.take_once(key, &holder, *until).await? {
            Once::Taken => return Ok(None),
            Once::HeldBy { event, at } => (event, at),
            Once::HeldByUs { at } if self.is_of_earlier(job, at).await? => (holder, at),
            Once::HeldByUs { .. } => return Ok(None),
        };
        let day = at.strftime("%Y-%m-%d %H:%M UTC");
        Ok(Some(format!("once: sent for {event} on {day}")))
    }

    /// Whether a mark of `at` was taken before the job's event reached us.
    async fn is_of_earlier(&self, job: &JobRow, at: Timestamp) -> Result<bool, StoreError> {
        let About::Event(key) = about(&job.event) else {
            return Ok(false);
        };
        let row = self.store.event(key).await?;
        Ok(row.is_some_and(|row| row.received_at.duration_since(at) > ONCE_SLACK))
    }

    /// The last look before bytes go out: the lease has to outlast the longest request, and the token has
    /// to be of this second.
    async fn may_go(
        &self,
        job: &JobRow,
        configured: &Configured,
        token: Option<Token>,
        run: &Run,
    ) -> Result<Result<(), End>, StoreError> {
        let later = |reason: &str| End::Due {
            at: self.store.clock().now(),
            reason: reason.to_owned(),
            attempt_spent: false,
            due_at: None,
        };
        if token.is_some_and(|token| !token.is_good(self.store.clock().now())) {
            match self.token(configured, run).await? {
                Taken::Token(_) => {}
                Taken::Paused => return Ok(Err(later("paused"))),
                Taken::TooLate => return Ok(Err(later("no place in the send rate"))),
            }
        }
        let longest =
            SignedDuration::try_from(REQUEST_TIMEOUT).unwrap_or(SignedDuration::MAX) + LEASE_MARGIN;
        let lasts = job
            .lease_until
            .is_some_and(|until| until.duration_since(self.store.clock().now()) > longest);
        Ok(if lasts {
            Ok(())
        } else {
            Err(later("the claim ran out before the request"))
        })
    }

    /// Does it, and says what that means for the job.
    async fn carry_through(
        &self,
        job: &JobRow,
        owner: &Owner,
        ready: &Ready,
        run: &Run,
    ) -> Result<End, StoreError> {
        match &ready.work {
            Work::Errand(errand) => self.do_errand(job, owner, ready, errand, run).await,
            Work::Post { post, team_uuid } => {
                if let Err(error) = self.expect_assignment(ready, post).await {
                    return Ok(End::Due {
                        at: self.store.clock().now() + RECHECK,
                        reason: error.to_string(),
                        attempt_spent: false,
                        due_at: None,
                    });
                }
                let outcome = self.send(job, post, team_uuid.as_deref()).await;
                self.end_of_post(job, ready, post, outcome, run).await
            }
            Work::Nothing => Ok(End::Sent { uuid: None }),
        }
    }

    /// Whom a message assigns its person to is no news when Callbell tells of it. Known of those alone whom the
    /// event shows.
    async fn expect_assignment(&self, ready: &Ready, post: &Post) -> Result<(), StoreError> {
        let known = &ready.known;
        let Some(contact) = known.event.contact() else {
            return Ok(());
        };
        if !known.persons().contains(&post.to.person()) {
            return Ok(());
        }
        let (team, assign) = (post.team.as_deref(), post.assign.as_deref());
        let digests = known.digests();
        self.store
            .expect_assignment(&contact.id, team, assign, &digests)
            .await
    }

    async fn send(&self, job: &JobRow, post: &Post, team_uuid: Option<&str>) -> Outcome {
        let envelope = Envelope {
            to: &post.to,
            channel: &post.from.channel,
            assign: post.assign.as_deref(),
            team_uuid,
            bot: post.bot,
            job: job.id.as_str(),
        };
        self.callbell()
            .send(&request(post.letter.clone(), &envelope))
            .await
    }

    /// What the outcome of a send means for the job.
    async fn end_of_post(
        &self,
        job: &JobRow,
        ready: &Ready,
        post: &Post,
        outcome: Outcome,
        run: &Run,
    ) -> Result<End, StoreError> {
        let now = self.store.clock().now();
        Ok(match outcome {
            Outcome::Sent { uuid } => End::Sent { uuid: Some(uuid) },
            Outcome::NotSent { reason } => self.try_again(job, ready, now, reason),
            Outcome::Refused { status, reason } => {
                End::Dead(format!("Callbell {status}: {reason}"))
            }
            Outcome::Unknown { reason } => End::Uncertain {
                at: now + UNCERTAIN_WAIT,
                reason,
            },
            Outcome::Limited { retry_after } => {
                let at = after_limit(now, retry_after, &self.random);
                self.tokens.take_a_break(at);
                End::Due {
                    at,
                    reason: "Callbell 429: too many requests".to_owned(),
                    attempt_spent: false,
                    due_at: None,
                }
            }
            Outcome::Held(hold) => {
                if hold == Hold::TokenRefused {
                    self.refused.store(true, Ordering::Relaxed);
                }
                self.hold(&post.from.name, hold.as_str(), now, run).await?;
                waits_for_a_person(ready, now, hold.to_string())
            }
        })
    }

    /// Again later, which spends an attempt; dead where there is no later.
    pub(super) fn try_again(
        &self,
        job: &JobRow,
        ready: &Ready,
        now: Timestamp,
        reason: String,
    ) -> End {
        match next_attempt(now, job.attempts, ready.limit, &self.random) {
            Some(at) => End::Due {
                at,
                reason,
                attempt_spent: true,
                due_at: None,
            },
            None => End::Dead(format!("too late: {reason}")),
        }
    }

    /// Holds a channel, or everything that goes by an API secret; the first to say so raises the alarm.
    pub(super) async fn hold(
        &self,
        name: &str,
        reason: &str,
        now: Timestamp,
        run: &Run,
    ) -> Result<(), StoreError> {
        let probe_at = now + SignedDuration::from_millis(PROBE_EVERY_MS);
        if self.store.hold(name, reason, probe_at).await? {
            log::held(name, reason);
        }
        run.report(|report| report.channel_held = Some(true));
        Ok(())
    }

    async fn finish(
        &self,
        job: &JobRow,
        owner: &Owner,
        ready: &Ready,
        end: &End,
        run: &Run,
    ) -> Result<(), StoreError> {
        if let End::Dead(reason) = end {
            Box::pin(self.job_died(job, reason)).await?;
        }
        let finished = self.store.finish(&job.id, owner, job.version, end).await?;
        let now = self.store.clock().now();
        match &finished {
            Finished::Done(row) | Finished::Cancelled(row) => run.note(row, now),
            Finished::Lost(_) => log::lost_job(job),
        }
        let post = match &ready.work {
            Work::Post { post, .. } => Some(post),
            Work::Errand(_) | Work::Nothing => None,
        };
        if let Some(answering) = self.answering.as_ref().filter(|_| ready.is_answer) {
            let said = post.map(|post| &post.letter);
            answering
                .finished(&self.store, job, &ready.known, said, end)
                .await?;
        }
        if !matches!(end, End::Sent { .. }) {
            return Ok(());
        }
        if let Some(name) = ready.hold.as_ref().filter(|_| ready.probing) {
            self.store.release(name).await?;
            log::released(name);
            run.report(|report| {
                report.channel_held.get_or_insert(false);
            });
        }
        let Some(post) = post else {
            return Ok(());
        };
        let sent = Some(LastSent {
            at: now,
            automation: job.automation.clone(),
        });
        let mark = PersonMark {
            stops: Vec::new(),
            sent,
            digests: ready.known.account(),
        };
        self.store.record_person(&post.to.person(), &mark).await
    }
}

/// What is held waits, and the wait is not the job's fault: lateness stands still.
pub(super) fn waits_for_a_person(ready: &Ready, now: Timestamp, reason: String) -> End {
    End::Due {
        at: now + RECHECK,
        reason,
        attempt_spent: false,
        due_at: Some(ready.late_from + RECHECK),
    }
}

/// What is kept of the work so that a lost answer can be reconciled.
fn claim_of(work: &Work) -> ClaimRequest {
    match work {
        Work::Post { post, .. } => ClaimRequest {
            text_digest: post.letter.sentence.as_deref().map(text_digest),
            recipient: Some(post.to.person().digest().to_owned()),
            channel: Some(post.from.name.clone()),
        },
        Work::Errand(_) | Work::Nothing => ClaimRequest::default(),
    }
}
