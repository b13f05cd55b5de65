//! One job that came up, until it is known what is to be done: look, decide, token. What follows is in
//! `acting`.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use shared::event::{Event, Name, SubjectKind};
use shared::store::{
    self, AroundKeys, Changed, Ended, EntityRow, JobId, JobRow, NewJob, OnceKey, PersonId,
    PersonRow, Settle, Status, StoreError,
};

use super::answering::{Answer, Question};
use super::backoff::{after_limit, next_attempt};
use super::config::Configured;
use super::decide::{Decision, Facts, Post, RECHECK, Wait, What, decide, forgotten, missing};
use super::deeds::{Errand, Preparing};
use super::learning::Asked;
use super::rate::{Taken, Token};
use super::route::{Found, Route, Sender};
use super::{Run, SEND_BUDGET, Worker};
use crate::actions::message::Recipient;
use crate::actions::{self, Table};
use crate::callbell::{CallError, Team};
use crate::plan::{About, Known, about, appointments};

/// How long an uncertain job waits before Callbell's history is asked: its webhooks and its history
/// follow its sends by seconds.
pub(super) const UNCERTAIN_WAIT: SignedDuration = SignedDuration::from_mins(3);
/// How often one job of a held channel tries whether it goes through, in milliseconds.
pub(super) const PROBE_EVERY_MS: i64 = 10 * 60 * 1000;
/// Rows older than this are read again before a claim: the wait for a token may take seconds.
const ROWS_FRESH_FOR: SignedDuration = SignedDuration::from_secs(1);
/// How often the rows of one job are read again while it waits for tokens.
const LOOKS_MAX: u32 = 5;
/// How long the list of teams is believed.
const TEAMS_FRESH_FOR: SignedDuration = SignedDuration::from_mins(10);
/// The account's teams, by name.
#[derive(Debug, Default)]
pub(super) struct Teams(Mutex<Option<(Timestamp, Vec<Team>)>>);

/// A job that is about to be carried out, with everything that was found out for it.
pub(super) struct Ready {
    pub(super) work: Work,
    /// It answers somebody: whoever made the answer hears what became of it.
    pub(super) is_answer: bool,
    pub(super) once: Option<(OnceKey, Option<Timestamp>)>,
    /// From when lateness counts.
    pub(super) late_from: Timestamp,
    /// After this instant it is too late.
    pub(super) limit: Timestamp,
    /// What a refused secret holds.
    pub(super) hold: Option<String>,
    /// It tries whether what is held goes through again.
    pub(super) probing: bool,
    pub(super) known: Known,
}

/// What is to be done, with all that it takes.
pub(super) enum Work {
    /// A letter goes out.
    Post {
        post: Box<Post>,
        team_uuid: Option<String>,
    },
    /// Something is done elsewhere.
    Errand(Box<Errand>),
    /// What a reply had to do is done, and it says nothing.
    Nothing,
}

impl Work {
    /// Whether it spends a place in the send rate.
    fn asks_callbell(&self) -> bool {
        match self {
            Work::Post { .. } => true,
            Work::Errand(errand) => errand.asks_callbell(),
            Work::Nothing => false,
        }
    }
}

/// What an attempt has at hand.
#[derive(Clone, Copy)]
struct Around<'a> {
    job: &'a JobRow,
    configured: &'a Configured,
    found: &'a Found<'a>,
    known: &'a Known,
    route: &'a Route<'a>,
    run: &'a Run,
}

/// The rows around a job.
pub(super) struct Rows {
    pub(super) around: store::Around,
    pub(super) customer: Vec<PersonRow>,
    pub(super) recipient: Vec<PersonRow>,
}

/// A job and its part of the file.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) job: &'a JobRow,
    pub(super) configured: &'a Configured,
    pub(super) found: &'a Found<'a>,
    /// What is known of its appointment.
    pub(super) appointment: Option<&'a EntityRow>,
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
        if Box::pin(self.settled_by_news(&job, run)).await? {
            return Ok(());
        }
        match job.status {
            Status::Due if job.next_at <= now => Box::pin(self.attempt(&job, run)).await,
            Status::Running if job.has_lapsed(now) => self.lapse(&job, now, run).await,
            Status::Uncertain if job.next_at <= now => self.reconcile(&job, run).await,
            _ => Ok(()),
        }
    }

    /// Whoever ran the job stopped without a word: nobody knows whether it was done.
    async fn lapse(&self, job: &JobRow, now: Timestamp, run: &Run) -> Result<(), StoreError> {
        let at = job
            .claimed_at
            .map_or(now, |claimed_at| claimed_at + UNCERTAIN_WAIT)
            .max(now);
        let lapsed = if actions::speaks_to_a_person(&job.action) {
            Settle::Lapsed {
                at,
                reason: "whoever sent it stopped without a word".to_owned(),
            }
        } else {
            // What is idempotent is done again, at growing intervals: this very job may be what stopped it.
            let again = next_attempt(now, job.attempts, Timestamp::MAX, &self.random);
            Settle::Again {
                at: again.unwrap_or(now),
                reason: "whoever did it stopped without a word".to_owned(),
            }
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
        let (mut token, mut answer, mut asked) = (None, None, None);
        for _ in 0..LOOKS_MAX {
            let looked_at = self.store.clock().now();
            let look = self.look(job, &configured, &found, (&mut answer, &mut asked), run);
            let ready = match Box::pin(look).await? {
                Look::Not(decision) => return self.carry_out(job, decision, run).await,
                Look::Ready(ready) => ready,
            };
            if ready.work.asks_callbell() {
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
            }
            if self.store.clock().now().duration_since(looked_at) < ROWS_FRESH_FOR {
                return Box::pin(self.act(job, &configured, *ready, token, run)).await;
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
        (answer, asked): (&mut Option<Answer>, &mut Option<Asked>),
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
        let place = Place {
            job,
            configured,
            found,
            appointment: appointment.as_ref(),
        };
        let known = match Box::pin(self.with_contact(known, place, asked, run)).await? {
            Ok(known) => known,
            Err(decision) => return Ok(Look::Not(decision)),
        };
        let now = self.store.clock().now();
        let route = Route::of(job, configured, found, &known, now);
        let rows = self.rows(&known, &route).await?;
        let facts = self.facts(now, &known, place, &rows);
        let (decision, probing) = self.decide_or_probe(facts, &route).await?;
        let Decision::Act(act) = decision else {
            return Ok(Look::Not(decision));
        };
        let is_answer = matches!(act.what, What::Answer { .. });
        let around = Around {
            job,
            configured,
            found,
            known: &known,
            route: &route,
            run,
        };
        let work = match self
            .work_of(act.what, act.late_from, answer, around)
            .await?
        {
            Ok(work) => work,
            Err(decision) => return Ok(Look::Not(decision)),
        };
        Ok(Look::Ready(Box::new(Ready {
            work,
            is_answer,
            once: act.once,
            late_from: act.late_from,
            limit: act.limit,
            hold: route.hold.clone(),
            probing,
            known,
        })))
    }

    /// What the checks read.
    pub(super) fn facts<'a>(
        &self,
        now: Timestamp,
        known: &'a Known,
        place: Place<'a>,
        rows: &'a Rows,
    ) -> Facts<'a> {
        let around = &rows.around;
        Facts {
            now,
            job: place.job,
            configured: place.configured,
            found: *place.found,
            known,
            entity: place.appointment.or(around.entity.as_ref()),
            aliases: &around.aliases,
            paused_since: around.paused.as_ref().map(|pause| pause.since),
            hold: around.hold.as_ref(),
            probing: false,
            customer: &rows.customer,
            recipient: &rows.recipient,
            nothing_before: self.nothing_before,
        }
    }

    /// Gets what the work takes and the rows do not have: the words of an answer, the number of a team, a
    /// secret.
    async fn work_of(
        &self,
        what: What,
        late_from: Timestamp,
        answer: &mut Option<Answer>,
        around: Around<'_>,
    ) -> Result<Result<Work, Decision>, StoreError> {
        let post = match what {
            What::Post(post) => post,
            What::Deed { deed, from } => {
                let name = from.as_ref().map(|from| from.name.as_str());
                let preparing = Preparing {
                    deed,
                    contact: around.route.contact_on(name),
                    from,
                    hold: around.route.hold.as_deref().unwrap_or_default(),
                    late_from,
                };
                let errand = self.prepare(preparing, around.run).await?;
                return Ok(errand.map(|errand| Work::Errand(Box::new(errand))));
            }
            What::Answer { to, from } => {
                let made = match answer.take() {
                    Some(made) => made,
                    None => self.ask_for_answer(&to, &from, around).await?,
                };
                match answer.insert(made).clone() {
                    Answer::Say {
                        letter,
                        assign,
                        team,
                        bot,
                    } => Box::new(Post {
                        letter,
                        to,
                        from,
                        assign,
                        team,
                        bot,
                    }),
                    Answer::Done => return Ok(Ok(Work::Nothing)),
                    Answer::End(ended) => return Ok(Err(Decision::End(ended))),
                    Answer::Later { at, reason } => {
                        return Ok(Err(Decision::Wait(Wait {
                            at,
                            due_at: None,
                            reason,
                        })));
                    }
                }
            }
        };
        let team_uuid = match &post.team {
            None => None,
            Some(name) => match self.team(name, around.configured, around.run).await? {
                Ok(uuid) => Some(uuid),
                Err(decision) => return Ok(Err(decision)),
            },
        };
        Ok(Ok(Work::Post { post, team_uuid }))
    }

    /// The words of an answer, by whoever makes answers here.
    async fn ask_for_answer(
        &self,
        to: &Recipient,
        from: &Sender,
        around: Around<'_>,
    ) -> Result<Answer, StoreError> {
        let now = self.store.clock().now();
        let Around {
            job,
            configured,
            found,
            known,
            route,
            run,
        } = around;
        let (Some(answering), Table::Reply(table)) = (&self.answering, found.table) else {
            return Ok(Answer::Later {
                at: now + RECHECK,
                reason: "nobody here makes answers".to_owned(),
            });
        };
        let callbell = self.callbell();
        let question = Question {
            store: &self.store,
            callbell: &callbell,
            job,
            name: &found.step.action.name,
            table,
            automations: &configured.automations,
            fill: &|uuid: &str, values: &[String]| configured.fill(uuid, values),
            known,
            home: &route.home,
            scope: &route.scope,
            to,
            channel: &from.channel,
            now,
            deadline: run.deadline,
        };
        answering.answer(question).await
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
                channel: route.hold.clone(),
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
        match &route.hold {
            // Whose probe goes through takes the hold away, which `deliver` alone may do.
            Some(name) if !self.is_chat => self.store.try_probe(name, PROBE_EVERY_MS).await,
            _ => Ok(false),
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
                let Some(row) = self.store.event(key).await? else {
                    return Ok(None);
                };
                let shown = row.contact;
                let Some(event) = row.event else {
                    return Ok(None);
                };
                if event.subject.kind != SubjectKind::Appointment {
                    let known = self.told(event, shown, None, configured).await?;
                    return Ok(Some((known, None)));
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
                let known = self.told(event, None, row.as_ref(), configured).await?;
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

    /// Writes down what was decided without acting.
    pub(super) async fn carry_out(
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
                if let Ended::Dead(reason) = &end {
                    Box::pin(self.job_died(job, reason)).await?;
                }
                self.store
                    .end(&job.id, job.version, &[Status::Due], &end)
                    .await?
            }
            Decision::Act(_) => return Ok(()),
        };
        self.note(&changed, run);
        Ok(())
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
