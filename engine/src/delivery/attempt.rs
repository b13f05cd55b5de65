//! One job that came up: look, token, once, claim, act, finish.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use shared::event::{Event, Name, SubjectKind};
use shared::store::{
    Around, AroundKeys, Changed, Claim, ClaimRequest, End, Ended, EntityRow, Finished, JobId,
    JobRow, LEASE_MS, LastSent, NewJob, Once, Owner, PersonId, PersonMark, PersonRow, Settle,
    Status, StoreError,
};

use super::backoff::{after_limit, next_attempt};
use super::config::Configured;
use super::decide::{
    Act, Decision, Facts, Found, RECHECK, Route, Wait, decide, forgotten, missing,
};
use super::rate::{Taken, Token};
use super::{Run, SEND_BUDGET, Worker, log};
use crate::actions::message::{Envelope, request};
use crate::automations::model::Channel;
use crate::callbell::{CallError, Hold, Outcome, REQUEST_TIMEOUT, Team};
use crate::plan::{About, Known, about, appointments, once_holder};

/// How long an uncertain job waits before Callbell's history is asked: its webhooks and its history
/// follow its sends by seconds.
pub(super) const UNCERTAIN_WAIT: SignedDuration = SignedDuration::from_mins(3);
/// How often one job of a held channel tries whether it goes through, in milliseconds.
const PROBE_EVERY_MS: i64 = 10 * 60 * 1000;
/// Rows older than this are read again before a claim: the wait for a token may take seconds.
const ROWS_FRESH_FOR: SignedDuration = SignedDuration::from_secs(1);
/// How often the rows of one job are read again while it waits for tokens.
const LOOKS_MAX: u32 = 5;
/// How long the list of teams is believed.
const TEAMS_FRESH_FOR: SignedDuration = SignedDuration::from_mins(10);
/// What is kept free of the lease behind the longest request, for the finish.
const LEASE_MARGIN: SignedDuration = SignedDuration::from_secs(5);

/// The account's teams, by name.
#[derive(Debug, Default)]
pub(super) struct Teams(Mutex<Option<(Timestamp, Vec<Team>)>>);

/// A job that is about to be sent, with everything that was found out for it.
struct Ready {
    act: Act,
    channel_name: String,
    channel: Channel,
    team_uuid: Option<String>,
    /// It tries whether a held channel goes through again.
    probing: bool,
    known: Known,
}

/// The rows around a job.
pub(super) struct Rows {
    pub(super) around: Around,
    pub(super) customer: Vec<PersonRow>,
    pub(super) recipient: Vec<PersonRow>,
}

/// What looking at a job came to.
enum Look {
    Ready(Box<Ready>),
    Not(Decision),
}

impl Worker {
    /// Goes on with one job, whatever its state.
    pub(super) async fn work_on_job(&self, id: &JobId, run: &Run) -> Result<(), StoreError> {
        let Some(job) = self.store.job(id).await? else {
            return Ok(());
        };
        let now = self.store.clock().now();
        match job.status {
            Status::Due if job.next_at <= now => Box::pin(self.attempt(&job, run)).await,
            Status::Running if job.has_lapsed(now) => self.lapse(&job, now, run).await,
            Status::Uncertain if job.next_at <= now => self.reconcile(&job, run).await,
            _ => Ok(()),
        }
    }

    /// Whoever ran the job stopped without a word: nobody knows whether it was sent.
    async fn lapse(&self, job: &JobRow, now: Timestamp, run: &Run) -> Result<(), StoreError> {
        let at = job
            .claimed_at
            .map_or(now, |claimed_at| claimed_at + UNCERTAIN_WAIT)
            .max(now);
        let lapsed = Settle::Lapsed {
            at,
            reason: "whoever sent it stopped without a word".to_owned(),
        };
        let changed = self.store.settle(&job.id, job.version, &lapsed).await?;
        self.note(&changed, run);
        Ok(())
    }

    async fn attempt(&self, job: &JobRow, run: &Run) -> Result<(), StoreError> {
        let Some(configured) = self.configuration.get(&self.store).await? else {
            return Ok(());
        };
        let found = match Found::of(job, &configured) {
            Ok(found) => found,
            Err(what) => {
                let missing = || missing(job, &what, self.store.clock().now());
                let decision =
                    forgotten(job, self.nothing_before).map_or_else(missing, Decision::End);
                return self.carry_out(job, decision, run).await;
            }
        };
        let mut token = None;
        for _ in 0..LOOKS_MAX {
            let looked_at = self.store.clock().now();
            let ready = match self.look(job, &configured, &found, run).await? {
                Look::Not(decision) => return self.carry_out(job, decision, run).await,
                Look::Ready(ready) => ready,
            };
            let good = match token {
                Some(token) if Token::is_good(token, self.store.clock().now()) => token,
                _ => match self.token(&configured, run).await? {
                    Taken::Token(token) => token,
                    // The next look finds the red button pressed.
                    Taken::Paused => continue,
                    Taken::TooLate => return Ok(()),
                },
            };
            token = Some(good);
            if self.store.clock().now().duration_since(looked_at) < ROWS_FRESH_FOR {
                return self.send(job, &configured, &found, *ready, good, run).await;
            }
        }
        Ok(())
    }

    pub(super) async fn token(
        &self,
        configured: &Configured,
        run: &Run,
    ) -> Result<Taken, StoreError> {
        let until = run.deadline - SEND_BUDGET;
        self.tokens
            .take(&self.store, configured.automations.defaults.rate, until)
            .await
    }

    /// Reads the rows around a job and decides.
    async fn look(
        &self,
        job: &JobRow,
        configured: &Configured,
        found: &Found<'_>,
        run: &Run,
    ) -> Result<Look, StoreError> {
        let Some((known, appointment)) = self.known_of(job, configured).await? else {
            let gone = Ended::Skipped("its event is gone".to_owned());
            return Ok(Look::Not(Decision::End(gone)));
        };
        if let Some(row) = &appointment
            && let Some(decision) = self.hand_over(job, row).await?
        {
            return Ok(Look::Not(decision));
        }
        let now = self.store.clock().now();
        let route = Route::of(job, configured, found, &known, now);
        let rows = self.rows(&known, &route).await?;
        let around = &rows.around;
        let facts = Facts {
            now,
            job,
            configured,
            found: *found,
            known: &known,
            entity: appointment.as_ref().or(around.entity.as_ref()),
            aliases: &around.aliases,
            paused_since: around.paused.as_ref().map(|pause| pause.since),
            hold: around.hold.as_ref(),
            probing: false,
            customer: &rows.customer,
            recipient: &rows.recipient,
            nothing_before: self.nothing_before,
        };
        let (decision, probing) = self.decide_or_probe(facts, &route).await?;
        let Decision::Act(act) = decision else {
            return Ok(Look::Not(decision));
        };
        let Some((channel_name, channel)) = route
            .channel
            .map(|(name, channel)| (name.to_owned(), channel.clone()))
        else {
            return Ok(Look::Not(Decision::End(Ended::Skipped(
                "no channel to send from".to_owned(),
            ))));
        };
        let team_uuid = match &found.message.team {
            None => None,
            Some(name) => match self.team(name, configured, run).await? {
                Ok(uuid) => Some(uuid),
                Err(decision) => return Ok(Look::Not(decision)),
            },
        };
        Ok(Look::Ready(Box::new(Ready {
            act: *act,
            channel_name,
            channel,
            team_uuid,
            probing,
            known,
        })))
    }

    /// The rows around a job, each read strongly.
    pub(super) async fn rows(&self, known: &Known, route: &Route<'_>) -> Result<Rows, StoreError> {
        let (customer, recipient) = (known.persons(), route.recipient());
        let around = self
            .store
            .around(&AroundKeys {
                entity: known.event.entity_key(),
                aliases: known.event.alias_keys().collect(),
                persons: customer.iter().chain(&recipient).cloned().collect(),
                channel: route.channel.map(|(name, _)| name.to_owned()),
            })
            .await?;
        let of = |ids: &[PersonId]| -> Vec<PersonRow> {
            let theirs = |row: &&PersonRow| ids.contains(&row.id);
            around.persons.iter().filter(theirs).cloned().collect()
        };
        Ok(Rows {
            customer: of(&customer),
            recipient: of(recipient.as_slice()),
            around,
        })
    }

    /// Decides. Where nothing but a hold is in the way and its probe is due, this job may be the one that
    /// tries: `true`.
    async fn decide_or_probe(
        &self,
        mut facts: Facts<'_>,
        route: &Route<'_>,
    ) -> Result<(Decision, bool), StoreError> {
        let decision = decide(&facts, route);
        let probe_is_due = facts.hold.is_some_and(|hold| hold.probe_at <= facts.now);
        if matches!(decision, Decision::Act(_)) || !probe_is_due {
            return Ok((decision, false));
        }
        facts.probing = true;
        Ok(match decide(&facts, route) {
            Decision::Act(act) if self.may_probe(route).await? => (Decision::Act(act), true),
            Decision::Act(_) => (decision, false),
            other => (other, false),
        })
    }

    async fn may_probe(&self, route: &Route<'_>) -> Result<bool, StoreError> {
        match route.channel {
            Some((name, _)) => self.store.try_probe(name, PROBE_EVERY_MS).await,
            None => Ok(false),
        }
    }

    /// The event that a job is about: its own, or the newest of its checkout or appointment. Of an
    /// appointment also what is known of it under all of its ids.
    pub(super) async fn known_of(
        &self,
        job: &JobRow,
        configured: &Configured,
    ) -> Result<Option<(Known, Option<EntityRow>)>, StoreError> {
        let known = |event| Known::new(event, &configured.automations);
        match about(&job.event) {
            About::Checkout(entity) => {
                let row = self.store.entity(entity).await?;
                let event = self.event_of(row.as_ref()).await?;
                Ok(event.map(|event| (known(event), None)))
            }
            About::Appointment { entity, .. } => {
                let row = self.store.entity_by_any_id(entity).await?;
                let newest = self.event_of(row.as_ref()).await?;
                Ok(newest.zip(row).map(|(newest, row)| {
                    let event = appointments::as_booking(newest, &row);
                    (known(event), Some(row))
                }))
            }
            About::Event(key) => {
                let event = self.store.event(key).await?.and_then(|row| row.event);
                let Some(event) = event else { return Ok(None) };
                if event.subject.kind != SubjectKind::Appointment {
                    return Ok(Some((known(event), None)));
                }
                let row = self.store.entity_by_any_id(&event.entity_key()).await?;
                let newest = row.as_ref().filter(|row| row.event.as_deref() != Some(key));
                if event.event.name == Name::AppointmentBooked
                    && let Some(row) = newest
                    && let Some(newest) = self.event_of(Some(row)).await?
                {
                    let event = appointments::brought_up_to_date(event, row, newest);
                    return Ok(Some((known(event), Some(row.clone()))));
                }
                let known = self.told(event, row.as_ref(), configured).await?;
                Ok(Some((known, row)))
            }
        }
    }

    /// The newest event of an entity.
    async fn event_of(&self, row: Option<&EntityRow>) -> Result<Option<Event>, StoreError> {
        match row.and_then(|row| row.event.as_ref()) {
            Some(key) => Ok(self.store.event(key).await?.and_then(|row| row.event)),
            None => Ok(None),
        }
    }

    /// A job that was made before anybody knew the appointment's first id: whoever knew it made the same
    /// job under that, or nobody did. So it goes on there, once.
    async fn hand_over(
        &self,
        job: &JobRow,
        row: &EntityRow,
    ) -> Result<Option<Decision>, StoreError> {
        let About::Appointment { entity, start } = about(&job.event) else {
            return Ok(None);
        };
        if entity == row.key {
            return Ok(None);
        }
        let twin = NewJob {
            automation: job.automation.clone(),
            action: job.action.clone(),
            event: appointments::timed_key_of(&row.key, start),
            event_at: job.event_at,
            due_at: job.due_at,
            depth: job.depth,
            digests: job.digests.clone(),
            ended: None,
        };
        self.store.put_job(&twin).await?;
        let ended = Ended::Cancelled("goes on under the booking's first id".to_owned());
        Ok(Some(Decision::End(ended)))
    }

    /// Callbell's number of a team, from a list that is read now and then.
    async fn team(
        &self,
        name: &str,
        configured: &Configured,
        run: &Run,
    ) -> Result<Result<String, Decision>, StoreError> {
        let now = self.store.clock().now();
        let wait = |reason: String| {
            Decision::Wait(Wait {
                at: now + RECHECK,
                due_at: None,
                reason,
            })
        };
        let find = |teams: &[Team]| {
            teams
                .iter()
                .find(|team| team.name == name)
                .map(|team| team.uuid.clone())
        };
        if let Some(uuid) = self.known_teams(now).as_deref().and_then(find) {
            return Ok(Ok(uuid));
        }
        if !matches!(self.token(configured, run).await?, Taken::Token(_)) {
            return Ok(Err(wait(format!("team {name} could not be looked up yet"))));
        }
        match self.callbell().teams().await {
            Ok(teams) => {
                let found = find(&teams);
                *self.teams.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, teams));
                let missing =
                    || Decision::End(Ended::Dead(format!("Callbell has no team called {name}")));
                Ok(found.ok_or_else(missing))
            }
            Err(error) => {
                if let CallError::Limited { retry_after } = &error {
                    self.tokens
                        .take_a_break(after_limit(now, *retry_after, &self.random));
                }
                Ok(Err(wait(format!(
                    "team {name} could not be looked up: {error}"
                ))))
            }
        }
    }

    fn known_teams(&self, now: Timestamp) -> Option<Vec<Team>> {
        let teams = self.teams.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |read_at: &Timestamp| now.duration_since(*read_at).abs() < TEAMS_FRESH_FOR;
        teams
            .as_ref()
            .filter(|(read_at, _)| fresh(read_at))
            .map(|(_, teams)| teams.clone())
    }

    /// Writes down what was decided without sending.
    async fn carry_out(
        &self,
        job: &JobRow,
        decision: Decision,
        run: &Run,
    ) -> Result<(), StoreError> {
        let changed = match decision {
            Decision::Wait(wait) => {
                let changed = self
                    .store
                    .move_due(&job.id, job.version, wait.at, wait.due_at, &wait.reason)
                    .await?;
                // Thousands of jobs may wait for one hold: a line each where the reason is new.
                if job.reason.as_deref() == Some(&wait.reason) {
                    return Ok(());
                }
                changed
            }
            Decision::End(end) => {
                self.store
                    .end(&job.id, job.version, &[Status::Due], &end)
                    .await?
            }
            Decision::Act(_) => return Ok(()),
        };
        self.note(&changed, run);
        Ok(())
    }

    /// Once, claim, act, finish.
    async fn send(
        &self,
        job: &JobRow,
        configured: &Configured,
        found: &Found<'_>,
        ready: Ready,
        token: Token,
        run: &Run,
    ) -> Result<(), StoreError> {
        if let Some((key, until)) = &ready.act.once
            && let Once::HeldBy { event, at } = self
                .store
                .take_once(key, &once_holder(&job.event), *until)
                .await?
        {
            let day = at.strftime("%Y-%m-%d %H:%M UTC");
            let ended = Ended::Skipped(format!("once: sent for {event} on {day}"));
            return self.carry_out(job, Decision::End(ended), run).await;
        }
        let owner = Owner::new()?;
        let claim = ClaimRequest {
            text_digest: ready.act.letter.sentence.as_deref().map(text_digest),
            recipient: Some(PersonId::phone(&ready.act.to.identity).digest().to_owned()),
            channel: Some(ready.channel_name.clone()),
        };
        let job = match self
            .store
            .claim(&job.id, job.version, &owner, LEASE_MS, &claim)
            .await?
        {
            Claim::Won(job) => job,
            Claim::Lost(_) => return Ok(()),
        };
        let end = match self.may_go(&job, configured, token, run).await? {
            Err(end) => end,
            Ok(()) => {
                let outcome = self.request(&job, found, &ready).await;
                self.end_of(&job, &ready, outcome, run).await?
            }
        };
        self.finish(&job, &owner, &ready, &end, run).await
    }

    /// The last look before bytes go out: the lease has to outlast the longest request, and the token has
    /// to be of this second.
    async fn may_go(
        &self,
        job: &JobRow,
        configured: &Configured,
        token: Token,
        run: &Run,
    ) -> Result<Result<(), End>, StoreError> {
        let later = |reason: &str| End::Due {
            at: self.store.clock().now(),
            reason: reason.to_owned(),
            attempt_spent: false,
            due_at: None,
        };
        if !token.is_good(self.store.clock().now()) {
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

    async fn request(&self, job: &JobRow, found: &Found<'_>, ready: &Ready) -> Outcome {
        let envelope = Envelope {
            to: &ready.act.to.e164,
            channel: &ready.channel,
            assign: found.message.assign.as_deref(),
            team_uuid: ready.team_uuid.as_deref(),
            bot: found.message.bot,
            job: job.id.as_str(),
        };
        self.callbell()
            .send(&request(ready.act.letter.clone(), &envelope))
            .await
    }

    /// What the outcome of the request means for the job.
    async fn end_of(
        &self,
        job: &JobRow,
        ready: &Ready,
        outcome: Outcome,
        run: &Run,
    ) -> Result<End, StoreError> {
        let now = self.store.clock().now();
        let act = &ready.act;
        Ok(match outcome {
            Outcome::Sent { uuid } => End::Sent { uuid: Some(uuid) },
            Outcome::NotSent { reason } => {
                match next_attempt(now, job.attempts, act.limit, &self.random) {
                    Some(at) => End::Due {
                        at,
                        reason,
                        attempt_spent: true,
                        due_at: None,
                    },
                    None => End::Dead(format!("too late: {reason}")),
                }
            }
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
                self.hold(&ready.channel_name, hold, now, run).await?;
                // The wait is not the job's fault: lateness stands still.
                let due_at = Some(act.late_from + RECHECK);
                End::Due {
                    at: now + RECHECK,
                    reason: hold.to_string(),
                    attempt_spent: false,
                    due_at,
                }
            }
        })
    }

    /// Holds a channel; the first to say so raises the alarm.
    async fn hold(
        &self,
        channel: &str,
        hold: Hold,
        now: Timestamp,
        run: &Run,
    ) -> Result<(), StoreError> {
        if hold == Hold::TokenRefused {
            self.refused.store(true, Ordering::Relaxed);
        }
        let probe_at = now + SignedDuration::from_millis(PROBE_EVERY_MS);
        if self.store.hold(channel, hold.as_str(), probe_at).await? {
            log::held(channel, hold);
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
        let finished = self.store.finish(&job.id, owner, job.version, end).await?;
        let now = self.store.clock().now();
        match &finished {
            Finished::Done(row) | Finished::Cancelled(row) => run.note(row, now),
            Finished::Lost(_) => log::lost_job(job),
        }
        if !matches!(end, End::Sent { .. }) {
            return Ok(());
        }
        if ready.probing {
            self.store.release(&ready.channel_name).await?;
            log::released(&ready.channel_name);
            run.report(|report| {
                report.channel_held.get_or_insert(false);
            });
        }
        let sent = Some(LastSent {
            at: now,
            automation: job.automation.clone(),
        });
        let mark = PersonMark {
            stops: Vec::new(),
            sent,
            digests: ready.known.account(),
        };
        self.store
            .record_person(&PersonId::phone(&ready.act.to.identity), &mark)
            .await
    }

    /// One line for a change of status.
    pub(super) fn note(&self, changed: &Changed, run: &Run) {
        if let Changed::Done(row) = changed {
            run.note(row, self.store.clock().now());
        }
    }
}

/// Digest of a sentence as Callbell's history may show it: white space does not count.
pub(super) fn text_digest(sentence: &str) -> String {
    let normal = sentence.split_whitespace().collect::<Vec<_>>().join(" ");
    hex::encode(Sha256::digest(normal.as_bytes()))
        .chars()
        .take(32)
        .collect()
}
