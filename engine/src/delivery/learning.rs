//! What Callbell's own events teach, written down before they are planned; what is told with an event; and
//! the events that we make ourselves.

use std::collections::BTreeMap;

use futures_util::future::try_join3;
use serde_json::Value;
use shared::event::{Body, Event, Name, SubjectKind};
use shared::sources;
use shared::store::{
    Changed, ContactDiff, ContactSeen, ConversationMark, EventRow, JobId, JobRow, LastSent,
    LeadSeen, News, PersonMark, Shown, Store, StoreError, WroteTo,
};

use super::attempt::Place;
use super::backoff::after_limit;
use super::config::Configured;
use super::decide::{Decision, PAUSED_RECHECK, RECHECK, Wait, decide};
use super::rate::Taken;
use super::route::Route;
use super::{Run, Worker, log};
use crate::automations::locale;
use crate::automations::model::Automations;
use crate::automations::step_names_contact;
use crate::callbell::{CallError, Contact};
use crate::phone;
use crate::plan::callbell::{self, Lesson, Rows};
use crate::plan::leads::{self, Echo};
use crate::plan::{Beside, Known};

impl Worker {
    /// Writes down what an event teaches; what its contact is against what we had last seen.
    pub(super) async fn learn(
        &self,
        row: &EventRow,
        known: &Known,
        configured: &Configured,
        run: &Run,
    ) -> Result<Option<Shown>, StoreError> {
        let digests = known.digests();
        for lesson in callbell::lessons(known, row.received_at, &configured.automations) {
            match lesson {
                Lesson::Wrote(person, wrote) => {
                    self.store.record_wrote(&person, &wrote, &digests).await?;
                }
                Lesson::Opt(person, mark) => {
                    self.store.record_opt(&person, &mark, &digests).await?;
                }
                Lesson::Conversation(contact, mut mark) => {
                    self.recall_assigned(&contact, &mut mark).await?;
                    self.store.record_conversation(&contact, &mark).await?;
                }
                Lesson::News(job, news) => self.hear_of(&job, &news, known, run).await?,
            }
        }
        let event = &known.event;
        if let Some(fields) = leads::fields(known) {
            return self.learn_lead(known, &fields).await;
        }
        let Some(contact) = event.contact().filter(|contact| !contact.id.is_empty()) else {
            return Ok(None);
        };
        if event.event.name == Name::ContactDeleted {
            self.store.forget_contact(&contact.id).await?;
        }
        let (Some(showing), Some(shown)) = (callbell::showing(event), row.event.as_ref()) else {
            return Ok(None);
        };
        let seen = ContactSeen {
            contact: shown.contact().unwrap_or(contact),
            event: &row.key,
            // One that was recovered hours later was stored now, and is no newer for that.
            received_at: event.event.at.min(row.received_at),
            showing,
            digests: &digests,
        };
        let shown = self.store.record_contact(seen).await?;
        Ok((event.event.name == Name::ContactUpdated).then_some(shown))
    }

    /// Remembers a person in another system as an event shows them; what that changes.
    async fn learn_lead(
        &self,
        known: &Known,
        fields: &BTreeMap<String, Option<String>>,
    ) -> Result<Option<Shown>, StoreError> {
        let event = &known.event;
        let seen = LeadSeen {
            key: &event.entity_key(),
            event: &event.event.id,
            as_of: event.subject.as_of,
            fields,
            digests: &known.digests(),
        };
        let changed = self.store.record_lead(seen).await?;
        Ok((event.event.name == Name::LeadUpdated).then(|| differs_in(changed)))
    }

    /// The event, with what follows from our having written to its person lately: it is our own, or still to be
    /// told apart, or so many of our own actions led to it.
    pub(super) async fn without_echo(
        &self,
        row: &EventRow,
        mut known: Known,
    ) -> Result<Known, StoreError> {
        let event = &known.event;
        if event.subject.kind != SubjectKind::Lead {
            return Ok(known);
        }
        if let Some(why) = leads::was_silent(row) {
            // Planned again, when our own writes are forgotten.
            known.silent = Some(why);
            return Ok(known);
        }
        let persons = known.persons();
        let mut to: Vec<WroteTo<'_>> = persons.iter().map(WroteTo::Person).collect();
        to.push(WroteTo::Record(&event.subject.id));
        let writes = self.store.own_writes(&event.event.kind, &to).await?;
        match leads::echo(&known, &writes, self.store.clock().now()) {
            Echo::Foreign => {}
            Echo::Unknown => known.is_early = true,
            Echo::Own => known.silent = Some("our own write".to_owned()),
            Echo::Behind(depth) => {
                known.event.event.depth = known.event.event.depth.max(depth);
            }
        }
        Ok(known)
    }

    /// Who was assigned when a conversation was closed, from what we knew before, where the closing itself
    /// does not say: Callbell leaves them assigned, and a later message that names them is no sign of them.
    async fn recall_assigned(
        &self,
        contact: &str,
        mark: &mut ConversationMark,
    ) -> Result<(), StoreError> {
        let Some(closed) = mark.closed.as_mut().filter(|it| it.assigned.is_none()) else {
            return Ok(());
        };
        let row = self.store.conversation(contact).await?;
        let known = row.and_then(|row| row.assigned);
        let before = known.filter(|assigned| assigned.at <= closed.at);
        closed.assigned = before.and_then(|assigned| assigned.to);
        Ok(())
    }

    /// What a webhook says of a job's message: kept on its row, and the end of not knowing whether there is
    /// one.
    async fn hear_of(
        &self,
        id: &JobId,
        news: &News,
        known: &Known,
        run: &Run,
    ) -> Result<(), StoreError> {
        self.store.record_news(id, news).await?;
        let Some(job) = self.store.job(id).await? else {
            return Ok(());
        };
        if self.settled_by_news(&job, run).await?
            && let Some(person) = known.reachable().first()
        {
            let mark = PersonMark {
                sent: Some(LastSent {
                    at: job.claimed_at.unwrap_or(known.event.event.at),
                    automation: job.automation.clone(),
                }),
                digests: known.account(),
                ..PersonMark::default()
            };
            self.store.record_person(person, &mark).await?;
        }
        Ok(())
    }

    /// Ends not knowing whether a job's message exists, where a webhook has said so: `true`.
    pub(super) async fn settled_by_news(
        &self,
        job: &JobRow,
        run: &Run,
    ) -> Result<bool, StoreError> {
        if job.delivery.is_none() {
            return Ok(false);
        }
        let changed = self.store.settle_by_news(job).await?;
        self.note(&changed, run);
        Ok(matches!(changed, Changed::Done(_)))
    }

    /// Stores the `job.dead` of a job that is about to die of `reason`, before its row says so: whoever plans
    /// it waits for that. Storing it again, after a crash, is the same event.
    pub(super) async fn job_died(&self, job: &JobRow, reason: &str) -> Result<(), StoreError> {
        let Some(configured) = self.configuration.get(&self.store).await? else {
            return Ok(());
        };
        let Some((cause, _)) = self.known_of(job, &configured).await? else {
            return Ok(());
        };
        let automations = &configured.automations;
        if callbell::dies_in_silence(job, cause.event.event.name, automations) {
            return Ok(());
        }
        let now = self.store.clock().now();
        let event = callbell::death(job, &cause.event, reason, now);
        match self.store.put_event(event).await {
            // Its customer does not fit: the job's end must not wait for that for ever.
            Err(error @ StoreError::TooLarge { .. }) => {
                log::failed_event(&job.key, &error);
                Ok(())
            }
            put => put.map(|_| ()),
        }
    }

    /// The event with the person in Callbell, asked for where the step names them and the event does not
    /// tell; or that the job has to wait for Callbell. Nobody is asked before everything else lets the job
    /// act. Questions cost a place in the send rate each, and no attempt. `asked`: the answer of an earlier
    /// look.
    pub(super) async fn with_contact(
        &self,
        mut known: Known,
        place: Place<'_>,
        asked: &mut Option<Asked>,
        run: &Run,
    ) -> Result<Result<Known, Decision>, StoreError> {
        let automations = &place.configured.automations;
        let is_asked_for = known.event.contact().is_none()
            && step_names_contact(automations, place.found.automation, place.found.step);
        if !is_asked_for {
            return Ok(Ok(known));
        }
        if asked.is_none() {
            if let Some(wait) = self.waits_anyway(&known, place).await? {
                return Ok(Err(wait));
            }
            match self.ask_for_person(&known, place, run).await? {
                Ok(contact) => *asked = Some(self.read_person(&known, contact, automations).await?),
                Err(decision) => return Ok(Err(decision)),
            }
        }
        known.beside = asked.as_ref().and_then(|asked| asked.0.clone());
        Ok(Ok(known))
    }

    /// Whether the job has to wait whoever the person is.
    async fn waits_anyway(
        &self,
        known: &Known,
        place: Place<'_>,
    ) -> Result<Option<Decision>, StoreError> {
        let now = self.store.clock().now();
        let route = Route::of(place.job, place.configured, place.found, known, now);
        let rows = self.rows(known, &route).await?;
        let mut facts = self.facts(now, known, place, &rows);
        facts.probing = facts.hold.is_some_and(|hold| hold.probe_at <= now);
        let decision = decide(&facts, &route);
        Ok(matches!(decision, Decision::Wait(_)).then_some(decision))
    }

    async fn read_person(
        &self,
        known: &Known,
        contact: Option<Contact>,
        automations: &Automations,
    ) -> Result<Asked, StoreError> {
        let read = |contact: Contact| sources::callbell::contact(&Value::Object(contact.json));
        let Some(contact) = contact.and_then(read) else {
            return Ok(Asked(None));
        };
        let rows = rows(&self.store, known, Some(&contact.id), None).await?;
        let now = self.store.clock().now();
        let person = callbell::person(contact, &rows, now, automations);
        Ok(Asked(Some(Box::new(person))))
    }

    /// By the number, in both forms that Callbell may have of it, on the channel; else by the bsuid. `None`:
    /// Callbell has no such person.
    async fn ask_for_person(
        &self,
        known: &Known,
        place: Place<'_>,
        run: &Run,
    ) -> Result<Result<Option<Contact>, Decision>, StoreError> {
        let automations = &place.configured.automations;
        let (automation, step) = (place.found.automation, place.found.step);
        let channel = locale::channel_of(automations, automation, step, &known.event);
        let channel = channel.and_then(|name| automations.channels.get(name));
        let channel = channel.map(|channel| channel.uuid.as_str());
        let phone = known.phone.as_ref().ok().map(|phone| phone.e164.clone());
        let other = phone.as_deref().and_then(phone::other_form);
        let numbers = phone.into_iter().chain(other);
        let bsuid = known.event.customer.bsuid.clone();
        let questions = numbers
            .map(Question::Phone)
            .chain(bsuid.map(Question::Bsuid));
        for question in questions {
            let now = self.store.clock().now();
            let at = match self.token(place.configured, run).await? {
                Taken::Token(_) => None,
                Taken::Paused => Some(now + PAUSED_RECHECK),
                Taken::TooLate => Some(now),
            };
            if let Some(at) = at {
                let why = "the person in Callbell could not be asked for yet";
                return Ok(Err(wait(at, why.to_owned())));
            }
            let callbell = self.callbell();
            let answer = match &question {
                Question::Phone(number) => callbell.contact_by_phone(number, channel).await,
                Question::Bsuid(id) => callbell.contact_by_bsuid(id).await,
            };
            match answer {
                Ok(Some(contact)) => return Ok(Ok(Some(contact))),
                // A number that Callbell does not take is nobody's there.
                Ok(None) | Err(CallError::Refused { .. }) => {}
                Err(error) => {
                    if let CallError::Limited { retry_after } = &error {
                        self.tokens
                            .take_a_break(after_limit(now, *retry_after, &self.random));
                    }
                    let why = format!("the person in Callbell could not be asked for: {error}");
                    return Ok(Err(wait(now + RECHECK, why)));
                }
            }
        }
        Ok(Ok(None))
    }
}

/// How a person in Callbell is asked for.
enum Question {
    Phone(String),
    Bsuid(String),
}

/// What was found of a person whom a step names: `None`, nobody.
pub(super) struct Asked(Option<Box<Beside>>);

fn wait(at: jiff::Timestamp, reason: String) -> Decision {
    Decision::Wait(Wait {
        at,
        due_at: None,
        reason,
    })
}

/// A changed person of another system, with everything that changed against what we had last seen. `shown`: what
/// that was when it was planned.
pub(super) async fn told_lead(
    store: &Store,
    mut event: Event,
    shown: Option<Shown>,
    automations: &Automations,
) -> Result<Known, StoreError> {
    let shown = match shown {
        None => {
            let key = event.entity_key();
            let told = store.lead_told(&key, &event.event.id).await?;
            told.map(differs_in)
        }
        shown => shown,
    };
    if let Some(Shown::Changed(diff)) = &shown {
        leads::told(&mut event, &diff.changed);
    }
    let mut known = Known::new(event, automations);
    known.shown = shown;
    Ok(known)
}

fn differs_in(changed: Vec<String>) -> Shown {
    Shown::Changed(ContactDiff {
        changed,
        ..ContactDiff::default()
    })
}

/// One of Callbell's own events, or of ours, with everything that is known around it now. `shown`: what its
/// contact was against what we had last seen when it was planned.
pub(super) async fn completed(
    store: &Store,
    event: Event,
    shown: Option<Shown>,
    automations: &Automations,
) -> Result<Known, StoreError> {
    let event = undeleted(store, event).await?;
    let known = Known::new(event, automations);
    let contact = known.event.contact().map(|contact| contact.id.clone());
    let mut rows = rows(store, &known, contact.as_deref(), job_of(&known.event)).await?;
    rows.shown = match (shown, &contact) {
        (None, Some(id)) if known.event.event.name == Name::ContactUpdated => {
            store.shown_by(id, &known.event.event.id).await?
        }
        (shown, _) => shown,
    };
    let now = store.clock().now();
    Ok(callbell::complete(known, &rows, now, automations))
}

/// Callbell tells nothing but the number of a person who was deleted: the rest as we last saw it.
async fn undeleted(store: &Store, mut event: Event) -> Result<Event, StoreError> {
    if event.event.name != Name::ContactDeleted {
        return Ok(event);
    }
    let Some(id) = event.contact().map(|contact| contact.id.clone()) else {
        return Ok(event);
    };
    let seen = store.contact(&id).await?.and_then(|row| row.contact);
    if let Some(seen) = seen {
        event.customer = sources::callbell::customer(&seen);
        event.body = Body::Contact {
            contact: Box::new(seen),
        };
    }
    Ok(event)
}

/// The job that an event is about.
fn job_of(event: &Event) -> Option<JobId> {
    let job = match &event.body {
        Body::Message { job, .. } => job.as_deref(),
        Body::Job { job } => Some(job.as_ref()),
        _ => None,
    };
    job.and_then(|job| JobId::parse(&job.id))
}

/// What is known around a person in Callbell.
async fn rows(
    store: &Store,
    known: &Known,
    contact: Option<&str>,
    job: Option<JobId>,
) -> Result<Rows, StoreError> {
    let ids = known.reachable();
    // Each is a request of its own, and together they would be large.
    let persons = Box::pin(store.persons(&ids));
    let conversation = Box::pin(async {
        match contact {
            Some(contact) if !contact.is_empty() => store.conversation(contact).await,
            _ => Ok(None),
        }
    });
    let job = Box::pin(async {
        match &job {
            Some(id) => store.job(id).await,
            None => Ok(None),
        }
    });
    let (persons, conversation, job) = try_join3(persons, conversation, job).await?;
    Ok(Rows {
        persons,
        conversation,
        shown: None,
        job,
    })
}
