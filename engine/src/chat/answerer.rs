//! Makes the answers of `[reply.x]`: takes the conversation's turn, asks the rules and the backend, keeps the
//! answer, writes the turn down, hands over. Sending what is said is `delivery`'s business, as with every
//! message.
//!
//! One reply of a conversation at a time is at work here: the row's lease is the mutex. Whoever stops half
//! way leaves a lease that lapses, and an answer, where there was one, that the next attempt gives.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use shared::event::{Body, Contact, Message, MessageKind, Name, SubjectKind, entity_key};
use shared::store::{
    Answered, Digests, End, Ended, EventStatus, Heard, JobId, JobRow, Once, OnceKey, Owner, Status,
    Store, StoreError, Talk, TurnTaken,
};

use super::backend::{Asked, Backends};
use super::turn::{self, BURST_AGE_MAX, Facts, Start, Turn};
use super::{Answer, Burst, Handover, Say, rules};
use crate::actions::message::Letter;
use crate::automations::expr;
use crate::automations::model::{ActionKind, Automation, Bot, Text};
use crate::automations::render::{self, Occasion, Unfit};
use crate::automations::times;
use crate::callbell::{CallError, ContactBody};
use crate::delivery::{self, Answering, Question};
use crate::fetch::Fetching;
use crate::plan::{Known, opt_out};

/// How long a turn is held beyond what the backend may take, in milliseconds: Callbell's history before it,
/// Callbell's requests for a handover after it.
const LEASE_MARGIN_MS: i64 = 30 * 1000;
/// How long between two looks at a turn that another reply has.
const TURN_POLL: Duration = Duration::from_millis(250);
/// Longest wait for a turn: what another reply may take with the slowest backend.
const TURN_WAIT: SignedDuration = SignedDuration::from_secs(40);
/// How long a reply waits that did not get its turn, or whose handover Callbell did not take.
const AGAIN: SignedDuration = SignedDuration::from_secs(5);
/// How long a reply waits for a message that may answer at once.
const MESSAGE_AGAIN: SignedDuration = SignedDuration::from_secs(3);
/// A message that goes out later than this does not answer now.
const MESSAGE_SOON: SignedDuration = SignedDuration::from_secs(10);
/// Longest wait for the event's other jobs to be made.
const PLANNED_WAIT: SignedDuration = SignedDuration::from_secs(5);
/// What is kept free of the invocation for sending the answer.
const SEND_BUDGET: SignedDuration = SignedDuration::from_secs(16);
/// Most messages of one burst; the newest.
const BURST_MAX: usize = 20;

/// Makes answers. One a process.
pub struct Answerer {
    backends: Backends,
}

impl fmt::Debug for Answerer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answerer")
    }
}

impl Answerer {
    /// Over the APIs and secrets of the workers.
    pub fn new(fetching: Fetching) -> Answerer {
        Answerer {
            backends: Backends::new(fetching),
        }
    }
}

impl Answering for Answerer {
    fn answer<'a>(
        &'a self,
        question: Question<'a>,
    ) -> BoxFuture<'a, Result<delivery::Answer, StoreError>> {
        Box::pin(self.answer_one(question))
    }

    /// What was said, or may have been, waits for no answer any more. An answer that surely did not go out
    /// leaves what it answers where a later one finds it.
    fn finished<'a>(
        &'a self,
        store: &'a Store,
        job: &'a JobRow,
        known: &'a Known,
        _said: Option<&'a Letter>,
        end: &'a End,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let (Some(contact), End::Sent { .. } | End::Uncertain { .. }) =
                (known.event.contact(), end)
            else {
                return Ok(());
            };
            let Some(talk) = store.talk(&contact.id).await? else {
                return Ok(());
            };
            let covered = match &talk.answered {
                Some(answered) if answered.job == job.id => &answered.upto,
                _ => return Ok(()),
            };
            let past = |heard: &&Heard| *heard <= covered;
            let past: Vec<Heard> = talk.heard.iter().filter(past).cloned().collect();
            store.forget_heard(&contact.id, &past).await
        })
    }
}

/// Everything about one attempt.
struct Attempt<'a> {
    answerer: &'a Answerer,
    question: Question<'a>,
    message: &'a Message,
    contact: &'a Contact,
    /// The message's place.
    own: Heard,
    owner: Owner,
    digests: Digests,
}

/// What came of a turn.
enum Taken {
    /// It was written down, and this is what is to be done.
    Written(delivery::Answer),
    /// It was not used.
    Left(delivery::Answer),
}

impl Answerer {
    async fn answer_one(&self, question: Question<'_>) -> Result<delivery::Answer, StoreError> {
        let event = &question.known.event;
        let (
            Name::MessageReceived,
            Body::Message {
                message, contact, ..
            },
        ) = (event.event.name, &event.body)
        else {
            return Ok(skipped("there is no message to answer"));
        };
        let attempt = Attempt {
            answerer: self,
            question,
            message,
            contact,
            own: Heard {
                at: event.event.at,
                event: event.event.id.clone(),
            },
            owner: Owner::new()?,
            digests: question.known.digests(),
        };
        attempt.run().await
    }
}

impl<'a> Attempt<'a> {
    fn store(&self) -> &'a Store {
        self.question.store
    }

    fn now(&self) -> Timestamp {
        self.store().clock().now()
    }

    async fn run(&self) -> Result<delivery::Answer, StoreError> {
        // Of a burst all but one learn without the turn that they are not the last.
        if let Some(talk) = self.talk().await?
            && let Start::Quiet(why) = self.start(&talk)
            && !self.is_for_good(&talk)
        {
            return Ok(skipped(&why));
        }
        let by_message = match self.answered_by_message(&self.own).await? {
            Some(ByMessage::Soon(name)) => {
                return Ok(delivery::Answer::Later {
                    at: self.now() + MESSAGE_AGAIN,
                    reason: format!("{name} may answer it"),
                });
            }
            Some(ByMessage::Goes(name)) => Some(name),
            None => None,
        };
        let Some(talk) = self.take_turn().await? else {
            return Ok(delivery::Answer::Later {
                at: self.now() + AGAIN,
                reason: "another answer to the same person is on its way".to_owned(),
            });
        };
        let talk = self.without_ended(talk).await?;
        let taken = match by_message {
            Some(name) => self.pass(&format!("answered by {name}"), &talk).await,
            None => Box::pin(self.decide(&talk)).await,
        };
        match taken {
            Ok(Taken::Written(answer)) => Ok(answer),
            Ok(Taken::Left(answer)) => {
                self.leave().await;
                Ok(answer)
            }
            Err(error) => {
                self.leave().await;
                Err(error)
            }
        }
    }

    async fn talk(&self) -> Result<Option<Talk>, StoreError> {
        match self.store().talk(&self.contact.id).await? {
            Some(talk) => self.without_ended(talk).await.map(Some),
            None => Ok(None),
        }
    }

    /// Without the later messages whose reply ended before it was asked for words, by its `when` or
    /// `stop_on`: they answer nothing, so what came before is not answered together with them.
    async fn without_ended(&self, mut talk: Talk) -> Result<Talk, StoreError> {
        let mut ended = Vec::new();
        for heard in talk.heard.iter().filter(|heard| **heard > self.own) {
            if self.is_ended_unsaid(heard).await? {
                ended.push(heard.clone());
            }
        }
        talk.heard.retain(|heard| !ended.contains(heard));
        Ok(talk)
    }

    /// Whether a message's replies are there and all over, and none of them said anything.
    async fn is_ended_unsaid(&self, heard: &Heard) -> Result<bool, StoreError> {
        let mut is_ended = false;
        for (name, automation) in &self.question.automations.automations {
            let mut steps = automation.steps.iter();
            while let Some(step) = steps.find(|step| step.action.kind == ActionKind::Reply) {
                let id = JobId::of(name, &step.action.key(), &heard.event);
                match self.store().job(&id).await? {
                    None => {}
                    Some(job) if is_over_unsaid(job.status) => is_ended = true,
                    Some(_) => return Ok(false),
                }
            }
        }
        Ok(is_ended)
    }

    /// The turn's lease lapses by itself where this fails.
    async fn leave(&self) {
        let left = self.store().leave_talk(&self.contact.id, &self.owner).await;
        if let Err(error) = left {
            tracing::warn!(outcome = "turn not given back", job.id = self.question.job.id.as_str(), reason = %error);
        }
    }

    /// Waits for the turn. `None`: another reply has it for longer than anybody should.
    async fn take_turn(&self) -> Result<Option<Talk>, StoreError> {
        let timeout_ms = self
            .question
            .table
            .backend
            .as_ref()
            .map_or(0, |backend| backend.timeout.as_millis());
        let lease_ms = i64::try_from(timeout_ms).unwrap_or(i64::MAX / 2) + LEASE_MARGIN_MS;
        let until = (self.now() + TURN_WAIT).min(self.question.deadline - SEND_BUDGET);
        loop {
            let (contact, owner) = (&self.contact.id, &self.owner);
            let talk = self
                .store()
                .take_talk(contact, owner, lease_ms, &self.digests)
                .await?;
            if talk.is_some() || self.now() >= until {
                return Ok(talk);
            }
            self.store().clock().sleep(TURN_POLL).await;
        }
    }

    /// Under the turn: who is quiet, what was kept, what the rules and the backend say.
    async fn decide(&self, talk: &Talk) -> Result<Taken, StoreError> {
        let start = self.start(talk);
        if let Start::Quiet(why) = &start {
            return self.pass(why, talk).await;
        }
        let job = &self.question.job.id;
        let (answer, is_handed_over) = match self.store().kept_answer(job).await? {
            Some((kept, handed_over)) => (read(&kept)?, handed_over),
            None => {
                let answer = match start {
                    Start::HandOver(answer) => answer,
                    Start::Quiet(_) | Start::Open => match self.find(talk).await? {
                        Found::Answer(answer) => answer,
                        Found::NoTime => {
                            return Ok(Taken::Left(delivery::Answer::Later {
                                at: self.now(),
                                reason: "no time left to ask the backend".to_owned(),
                            }));
                        }
                    },
                };
                // A colleague may have written while the backend thought.
                if let Some(talk) = self.talk().await?
                    && let Start::Quiet(why) = self.start(&talk)
                    && self.is_for_good(&talk)
                {
                    return self.pass(&why, &talk).await;
                }
                let text = serde_json::to_string(&answer).unwrap_or_default();
                let kept = self.store().keep_answer(job, &text, &self.digests).await?;
                (read(&kept)?, false)
            }
        };
        self.carry_out(answer, is_handed_over, talk).await
    }

    /// Writes the turn down, hands over, and says what is to be said.
    async fn carry_out(
        &self,
        answer: Answer,
        is_handed_over: bool,
        talk: &Talk,
    ) -> Result<Taken, StoreError> {
        let said = match answer.say.as_ref().map(|say| self.write(say)) {
            None => None,
            Some(Ok(said)) => Some(said),
            Some(Err(unfit)) if answer.handover.is_none() => {
                let ended = match unfit {
                    Unfit::Skip(why) => Ended::Skipped(why),
                    Unfit::Dead(why) => Ended::Dead(why),
                };
                self.pass(ended.parts().1, talk).await?;
                return Ok(Taken::Written(delivery::Answer::End(ended)));
            }
            // Whatever is wrong with the words, somebody takes over.
            Some(Err(_)) => None,
        };
        let facts = self.facts(talk);
        let is_new = !facts.is_own;
        // An answer that was refused, and goes out after the conversation was closed, counts there.
        let counts = is_new || turn::turns(&facts) == 0;
        let turn = TurnTaken {
            answered: Answered {
                upto: self.own.clone(),
                job: self.question.job.id.clone(),
                how: format!("answered by {}", self.question.job.automation),
            },
            turns: (counts && said.is_some()).then(|| turn::turns_after(&facts)),
            hands_over: answer.handover.is_some() && is_new,
        };
        if !self
            .store()
            .end_turn(&self.contact.id, &self.owner, &turn)
            .await?
        {
            return Ok(Taken::Left(delivery::Answer::Later {
                at: self.now() + AGAIN,
                reason: "it took longer than its turn".to_owned(),
            }));
        }
        if let Some(handover) = &answer.handover
            && !is_handed_over
        {
            match self.hand_over(handover, said.is_some()).await {
                Ok(()) => {}
                Err(Stuck::ForNow(reason)) => {
                    return Ok(Taken::Written(delivery::Answer::Later {
                        at: self.now() + AGAIN,
                        reason,
                    }));
                }
                Err(Stuck::ForGood(reason)) => {
                    self.forget(talk).await?;
                    return Ok(Taken::Written(delivery::Answer::End(Ended::Dead(reason))));
                }
            }
            self.store().mark_handed_over(&self.question.job.id).await?;
        }
        Ok(Taken::Written(match (said, answer.handover) {
            (Some(said), handover) => said.into_answer(handover.as_ref(), self),
            (None, Some(_)) => {
                self.forget(talk).await?;
                delivery::Answer::Done
            }
            (None, None) => {
                self.forget(talk).await?;
                skipped(&answer.why)
            }
        }))
    }

    /// Nothing is said: the messages up to this one wait for no answer.
    async fn pass(&self, why: &str, talk: &Talk) -> Result<Taken, StoreError> {
        if !self.is_for_good(talk) {
            return Ok(Taken::Left(skipped(why)));
        }
        let turn = TurnTaken {
            answered: Answered {
                upto: self.own.clone(),
                job: self.question.job.id.clone(),
                how: why.to_owned(),
            },
            turns: None,
            hands_over: false,
        };
        let (contact, owner) = (&self.contact.id, &self.owner);
        self.store().end_turn(contact, owner, &turn).await?;
        self.forget(talk).await?;
        Ok(Taken::Written(skipped(why)))
    }

    async fn forget(&self, talk: &Talk) -> Result<(), StoreError> {
        let past = |heard: &&Heard| **heard <= self.own;
        let past: Vec<Heard> = talk.heard.iter().filter(past).cloned().collect();
        self.store().forget_heard(&self.contact.id, &past).await
    }

    /// Whether nothing later was written or answered: then what is decided here counts for the
    /// conversation.
    fn is_for_good(&self, talk: &Talk) -> bool {
        let facts = self.facts(talk);
        let place = (self.own.at, self.own.event.as_str());
        self.message.kind != MessageKind::Reaction
            && facts.newest.is_none_or(|newest| newest <= place)
            && (facts.is_own || facts.answered.is_none_or(|(answered, _)| answered < place))
    }

    fn start(&self, talk: &Talk) -> Start {
        turn::start(&self.facts(talk), self.question.table)
    }

    fn facts<'t>(&'t self, talk: &'t Talk) -> Facts<'t> {
        let conversation = &talk.conversation;
        let answered = talk.answered.as_ref();
        Facts {
            now: self.now(),
            message: self.message,
            place: (self.own.at, &self.own.event),
            newest: talk
                .heard
                .last()
                .map(|heard| (heard.at, heard.event.as_str())),
            answered: answered.map(|answered| {
                let upto = &answered.upto;
                ((upto.at, upto.event.as_str()), answered.how.as_str())
            }),
            is_own: answered.is_some_and(|answered| answered.job == self.question.job.id),
            is_opt_word: self.is_opt_word(),
            is_blocked: self.contact.blocked,
            human_at: conversation.human_at,
            assigned_at: conversation
                .is_assigned()
                .then(|| conversation.assigned.as_ref().map(|assigned| assigned.at))
                .flatten(),
            handed_over_at: talk.handed_over_at,
            closed_at: conversation.closed.as_ref().map(|closed| closed.at),
            turns: talk.turns,
        }
    }

    fn is_opt_word(&self) -> bool {
        let opt_out = &self.question.automations.opt_out;
        opt_out::said(&self.question.known.event, opt_out).is_some()
    }

    /// What is to be said: by the rules, else by the backend.
    async fn find(&self, talk: &Talk) -> Result<Found, StoreError> {
        let burst = self.burst(talk).await?;
        let table = self.question.table;
        let matched = self.matching(&burst).await?;
        let matched = matched.and_then(|place| Some((place, table.rules.get(place)?)));
        let write = |text: &Text| expr::render(text, self.question.scope).ok();
        let backend = match turn::deed(table, matched, &write) {
            Turn::Do(answer) => return Ok(Found::Answer(answer)),
            Turn::Ask(backend) => backend,
        };
        let left = self.question.deadline.duration_since(self.now()) - SEND_BUDGET;
        if left < backend.timeout.min(SignedDuration::from_secs(2)) {
            return Ok(Found::NoTime);
        }
        let asked = Asked {
            question: self.question,
            backend,
            contact: self.contact,
            burst: &burst,
            locale: &self.locale(),
            turns: turn::turns_after(&self.facts(talk)).saturating_sub(1),
            timeout: backend.timeout.min(left),
        };
        Ok(Found::Answer(
            match self.answerer.backends.ask(asked).await {
                Ok(answer) => answer,
                Err(why) => {
                    tracing::warn!(
                        outcome = "backend failed",
                        job.id = self.question.job.id.as_str(),
                        reply.name = self.question.name,
                        reason = why
                    );
                    turn::otherwise(table, &why)
                }
            },
        ))
    }

    /// The rule that matches and was not used too lately.
    async fn matching(&self, burst: &Burst) -> Result<Option<usize>, StoreError> {
        let rules = &self.question.table.rules;
        let mut from = 0;
        while let Some(place) = rules::first(rules, from, burst, self.question.scope) {
            let Some(rule) = rules.get(place) else { break };
            let Some(every) = rule.once_every else {
                return Ok(Some(place));
            };
            let name = rules::once_name(self.question.name, &rule.deed);
            let person = entity_key("callbell", SubjectKind::Contact, &self.contact.id);
            let key = OnceKey::subject(&name, SubjectKind::Contact, &person);
            let zone = &self.question.automations.defaults.timezone.zone;
            let until = times::after(self.now(), every, zone);
            let once = self
                .store()
                .take_once(&key, &self.own.event, Some(until))
                .await?;
            if !matches!(once, Once::HeldBy { .. }) {
                return Ok(Some(place));
            }
            from = place.saturating_add(1);
        }
        Ok(None)
    }

    /// What was written and not answered, with this message as the last.
    async fn burst(&self, talk: &Talk) -> Result<Burst, StoreError> {
        let unsaid = match &talk.answered {
            Some(answered) if answered.job != self.question.job.id => {
                self.is_unsaid(&answered.job).await?
            }
            _ => false,
        };
        let since = talk.answered.as_ref().map(|answered| &answered.upto);
        let waits = |heard: &&Heard| {
            **heard < self.own
                && self.own.at.duration_since(heard.at) <= BURST_AGE_MAX
                && (unsaid || since.is_none_or(|upto| *heard > upto))
        };
        let waiting: Vec<&Heard> = talk.heard.iter().filter(waits).collect();
        let skip = waiting.len().saturating_sub(BURST_MAX);
        let mut earlier = Vec::new();
        for heard in waiting.into_iter().skip(skip) {
            if self.answered_by_message(heard).await?.is_some() {
                continue;
            }
            let row = self.store().event(&heard.event).await?;
            if let Some(Body::Message { message, .. }) =
                row.and_then(|row| row.event).map(|event| event.body)
            {
                earlier.push(*message);
            }
        }
        Ok(Burst::new(earlier, self.message.clone()))
    }

    /// Whether the answer of another reply surely never reached the person.
    async fn is_unsaid(&self, job: &JobId) -> Result<bool, StoreError> {
        let job = self.store().job(job).await?;
        let is_held = |job: &JobRow| job.status == Status::Held;
        Ok(job.is_some_and(|job| !may_be_said(job.status) && !is_held(&job)))
    }

    /// The automation that answers a message by a `[message.x]`, where one does or is about to.
    async fn answered_by_message(&self, heard: &Heard) -> Result<Option<ByMessage>, StoreError> {
        let automations = &self.question.automations.automations;
        let (mut is_planned, mut soon) = (false, None);
        for (name, automation) in automations.iter().filter(|(_, one)| answers(one)) {
            if !is_planned {
                self.wait_until_planned(&heard.event).await?;
                is_planned = true;
            }
            for step in &automation.steps {
                if step.at.is_some() || step.action.kind != ActionKind::Message {
                    continue;
                }
                let id = JobId::of(name, &step.action.key(), &heard.event);
                match self.store().job(&id).await? {
                    Some(job) if may_be_said(job.status) => {
                        return Ok(Some(ByMessage::Goes(name.clone())));
                    }
                    Some(job) if job.status == Status::Due && self.is_soon(&job) => {
                        soon = Some(ByMessage::Soon(name.clone()));
                    }
                    _ => {}
                }
            }
        }
        Ok(soon)
    }

    /// A message that is put off, by closed hours or a hold, leaves the person to the chatbot.
    fn is_soon(&self, job: &JobRow) -> bool {
        job.next_at.duration_since(self.now()) <= MESSAGE_SOON
    }

    /// The event's jobs are made one after the other, and this one may be the first of them.
    async fn wait_until_planned(&self, event: &str) -> Result<(), StoreError> {
        let until = self.now() + PLANNED_WAIT;
        loop {
            let row = self.store().event(event).await?;
            let is_new = row.is_some_and(|row| row.status == EventStatus::New);
            if !is_new || self.now() >= until {
                return Ok(());
            }
            self.store().clock().sleep(TURN_POLL).await;
        }
    }

    fn occasion(&self) -> Occasion<'_> {
        let automations = self.question.automations;
        Occasion {
            automations,
            automation: automations.automations.get(&self.question.job.automation),
            home: self.question.home,
            event: &self.question.known.event,
            scope: self.question.scope,
            // The person has just written.
            window_open: true,
        }
    }

    fn locale(&self) -> String {
        render::preferred(&self.occasion())
    }

    /// The words of an answer.
    fn write(&self, say: &Say) -> Result<Said, Unfit> {
        let name = match say {
            Say::Text(text) => {
                return Ok(Said {
                    letter: Letter {
                        text: Some(text.clone()),
                        sentence: Some(text.clone()),
                        ..Letter::default()
                    },
                    message: None,
                });
            }
            Say::Message(name) => name,
        };
        let message = self
            .question
            .automations
            .messages
            .get(name)
            .ok_or_else(|| Unfit::Dead(format!("there is no message.{name}")))?;
        let rendered = render::message(message, &self.occasion(), self.question.fill)?;
        Ok(Said {
            letter: rendered.letter,
            message: Some(name.clone()),
        })
    }

    /// Tells the team; and where no message does so along with itself, assigns the conversation and ends
    /// Callbell's own bot. The note comes last: again it would be a second one. It goes out also where the
    /// assignment was refused: it may be all that the team hears.
    async fn hand_over(&self, handover: &Handover, says: bool) -> Result<(), Stuck> {
        let assigned = if says {
            Ok(())
        } else {
            self.assign(handover).await
        };
        if let Err(Stuck::ForNow(_)) = &assigned {
            return assigned;
        }
        if let Some(note) = &handover.note {
            self.note(note).await?;
        }
        assigned
    }

    async fn assign(&self, handover: &Handover) -> Result<(), Stuck> {
        let contact = &self.contact.id;
        let team = handover.team.as_deref();
        let team = team.or(self.question.table.handover.as_deref());
        let body = ContactBody {
            team_uuid: self.team(team).await?,
            bot_status: Some("bot_end"),
            ..ContactBody::default()
        };
        self.expect_team(team.filter(|_| body.team_uuid.is_some()))
            .await?;
        self.place().await?;
        match self.question.callbell.update_contact(contact, &body).await {
            Ok(_) => Ok(()),
            Err(error @ CallError::Refused { .. }) => {
                Err(Stuck::ForGood(format!("not handed over: {error}")))
            }
            Err(error) => Err(Stuck::ForNow(format!("not handed over yet: {error}"))),
        }
    }

    /// A note that Callbell refuses would be refused again: the person does not wait for it.
    async fn note(&self, note: &str) -> Result<(), Stuck> {
        self.place().await?;
        match self.question.callbell.note(&self.contact.id, note).await {
            Ok(()) => Ok(()),
            Err(error @ CallError::Refused { .. }) => {
                tracing::warn!(outcome = "note refused", job.id = self.question.job.id.as_str(), reason = %error);
                Ok(())
            }
            Err(error) => Err(Stuck::ForNow(format!("no note for the team yet: {error}"))),
        }
    }

    /// The webhook that our own change causes is no news.
    async fn expect_team(&self, team: Option<&str>) -> Result<(), String> {
        let expected = self
            .store()
            .expect_assignment(&self.contact.id, team, None, &self.digests);
        expected
            .await
            .map_err(|error| format!("not handed over yet: {error}"))
    }

    /// A place in the send rate, for a request to Callbell that is no send.
    async fn place(&self) -> Result<(), String> {
        let until = self.question.deadline - SEND_BUDGET;
        super::backend::place(&self.question, until).await
    }

    async fn team(&self, name: Option<&str>) -> Result<Option<String>, String> {
        let Some(name) = name else { return Ok(None) };
        self.place().await?;
        let teams = self
            .question
            .callbell
            .teams()
            .await
            .map_err(|error| format!("team {name} could not be looked up: {error}"))?;
        // A team that is gone is no reason to leave the person with a bot.
        Ok(teams
            .into_iter()
            .find(|team| team.name == name)
            .map(|team| team.uuid))
    }
}

/// Why a handover is not done.
enum Stuck {
    /// Callbell may take it later.
    ForNow(String),
    /// Callbell refused it, and would again.
    ForGood(String),
}

impl From<String> for Stuck {
    fn from(reason: String) -> Stuck {
        Stuck::ForNow(reason)
    }
}

/// How a `[message.x]` answers a message, and of which automation.
enum ByMessage {
    /// It went out, or may have.
    Goes(String),
    /// It is about to go out, or to be skipped.
    Soon(String),
}

/// What the rules and the backend came to.
enum Found {
    Answer(Answer),
    /// The invocation ends before a backend could answer.
    NoTime,
}

/// What is said, in words.
struct Said {
    letter: Letter,
    /// The `[message.x]` that it comes from.
    message: Option<String>,
}

impl Said {
    fn into_answer(self, handover: Option<&Handover>, attempt: &Attempt<'_>) -> delivery::Answer {
        let messages = &attempt.question.automations.messages;
        let message = self.message.as_ref().and_then(|name| messages.get(name));
        let own = handover.map(|handover| {
            let team = handover.team.clone();
            team.or_else(|| attempt.question.table.handover.clone())
        });
        delivery::Answer::Say {
            letter: self.letter,
            assign: message.and_then(|message| message.assign.clone()),
            team: own
                .clone()
                .flatten()
                .or_else(|| message.and_then(|message| message.team.clone())),
            bot: own
                .map(|_| Bot::End)
                .or_else(|| message.and_then(|message| message.bot)),
        }
    }
}

/// Whether what a job says reached the person, or may have.
fn may_be_said(status: Status) -> bool {
    matches!(status, Status::Running | Status::Uncertain | Status::Sent)
}

fn is_over_unsaid(status: Status) -> bool {
    matches!(status, Status::Skipped | Status::Dead | Status::Cancelled)
}

fn skipped(why: &str) -> delivery::Answer {
    delivery::Answer::End(Ended::Skipped(why.to_owned()))
}

/// An automation that may answer a message with a message at once.
fn answers(automation: &Automation) -> bool {
    automation.on.contains(&Name::MessageReceived)
        && automation
            .steps
            .iter()
            .any(|step| step.at.is_none() && step.action.kind == ActionKind::Message)
}

fn read(kept: &str) -> Result<Answer, StoreError> {
    serde_json::from_str(kept).map_err(|_| StoreError::Corrupt {
        kind: "answer",
        problem: "answer is none".to_owned(),
    })
}
