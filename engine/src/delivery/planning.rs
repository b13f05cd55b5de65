//! From a stored event to its jobs: the rows around it, the pure plan, the writes.

use jiff::{SignedDuration, Timestamp};
use shared::event::{Body, Event, MessageKind, Name, SubjectKind};
use shared::store::{
    EntityRow, EventRow, EventStatus, Heard, JobId, NewJob, Put, Shown, Store, StoreError, is_reply,
};

use super::config::Configured;
use super::{Run, Worker, learning, log};
use crate::automations::model::Automations;
use crate::plan::{self, Effect, Known, appointments, callbell, leads};

/// How long an event waits that cannot be planned yet.
const DEFER: SignedDuration = SignedDuration::from_mins(1);

/// How long an event waits that was stored before what it tells.
const DEFER_EARLY: SignedDuration = SignedDuration::from_secs(5);

/// How long an event waits whose planning fails whenever it is tried.
const DEFER_BROKEN: SignedDuration = SignedDuration::from_hours(1);

impl Worker {
    /// Plans one event; returns the jobs that are due now. Whatever stops it, the sweep finds the event
    /// again.
    pub(super) async fn plan_event(&self, key: &str, run: &Run) -> Vec<JobId> {
        match self.try_plan(key, run).await {
            Ok(jobs) => {
                run.went_well();
                jobs
            }
            Err(error) => {
                log::failed_event(key, &error);
                run.went_wrong(&error);
                if !error.is_transient() {
                    // Somebody has to mend something first: once an hour is often enough to look.
                    let later = self.store.clock().now() + DEFER_BROKEN;
                    if let Err(error) = self.store.defer_event(key, later, &error.to_string()).await
                    {
                        log::failed_event(key, &error);
                    }
                }
                Vec::new()
            }
        }
    }

    async fn try_plan(&self, key: &str, run: &Run) -> Result<Vec<JobId>, StoreError> {
        let Some(row) = self.store.event(key).await? else {
            return Ok(Vec::new());
        };
        if row.status != EventStatus::New {
            return Ok(Vec::new());
        }
        let later = self.store.clock().now() + DEFER;
        let Some(configured) = self.configuration.get(&self.store).await? else {
            self.store
                .defer_event(key, later, "no automations were pushed yet")
                .await?;
            return Ok(Vec::new());
        };
        let Some(event) = row.event.clone() else {
            return Ok(Vec::new());
        };
        if event.event.name == Name::SourceChanged {
            return Box::pin(self.fetch(&row, &event, &configured, run)).await;
        }
        if event.event.name == Name::CustomPosted {
            return Box::pin(self.read_post(&row, &event, &configured, run)).await;
        }
        let known = Known::new(event, &configured.automations);
        let learned = Box::pin(self.learn(&row, &known, &configured, run)).await?;
        let entity = self
            .record_changes(&known, row.received_at, &configured)
            .await?;
        let known = self
            .told(known.event, learned, entity.as_ref(), &configured)
            .await?;
        let known = self.without_echo(&row, known).await?;
        if known.is_early {
            let soon = self.store.clock().now() + DEFER_EARLY;
            self.store
                .defer_event(key, soon, "what it tells is still to be written")
                .await?;
            return Ok(Vec::new());
        }
        let effects = plan::plan(
            &known,
            row.received_at,
            entity.as_ref(),
            &configured.automations,
        );
        self.apply(&row, effects, run).await
    }

    /// Merges what the event says into the rows of its subjects; the row of its own afterwards.
    pub(super) async fn record_changes(
        &self,
        known: &Known,
        received_at: Timestamp,
        configured: &Configured,
    ) -> Result<Option<EntityRow>, StoreError> {
        let changes = plan::changes(known, received_at, &configured.automations);
        if known.event.subject.kind == SubjectKind::Appointment {
            let previous = appointments::previous_key(&known.event);
            let Some(change) = changes.first() else {
                return Ok(None);
            };
            let row = self.store.record_moving(change, previous.as_deref()).await;
            return row.map(Some);
        }
        let rows = self.store.record_entities(&changes).await?;
        Ok(rows.into_iter().next())
    }

    /// The event as everything after its recording sees it: see [`appointments::told`].
    pub(super) async fn told(
        &self,
        event: Event,
        shown: Option<Shown>,
        entity: Option<&EntityRow>,
        configured: &Configured,
    ) -> Result<Known, StoreError> {
        told(&self.store, event, shown, entity, &configured.automations).await
    }

    async fn apply(
        &self,
        row: &EventRow,
        effects: Vec<Effect>,
        run: &Run,
    ) -> Result<Vec<JobId>, StoreError> {
        let mut due = Vec::new();
        for effect in effects {
            match effect {
                Effect::Person(person, mark) => self.store.record_person(&person, &mark).await?,
                Effect::Job(job) => {
                    // Whoever answers has to know of it by then.
                    self.hear(row, &job).await?;
                    let put = self.store.put_job(&job).await?;
                    let is_due = job.due_at <= self.store.clock().now();
                    // Replies have a lane of their own.
                    if put == Put::New && is_due && !is_reply(&job.action) {
                        due.push(job.id());
                    }
                }
                Effect::Erase(id, erasure) => loop {
                    let erased = self.store.erase_step(&id, &erasure).await?;
                    if erased.done {
                        log::erased(row, erased.rows);
                        if let Some(event) = &row.event {
                            self.store.forget_customer(&row.key, event).await?;
                        }
                        break;
                    }
                    if self.is_over(run) {
                        let now: Timestamp = self.store.clock().now();
                        self.store
                            .defer_event(&row.key, now, "erasing goes on")
                            .await?;
                        return Ok(Vec::new());
                    }
                },
                Effect::Planned(planned) => {
                    self.store.finish_planning(&row.key, &planned).await?;
                    log::event(row, &planned, self.store.clock().now());
                    run.report(|report| {
                        report.events_planned = report.events_planned.saturating_add(1);
                    });
                }
            }
        }
        Ok(due)
    }

    /// A message that somebody may answer waits for it in its conversation.
    async fn hear(&self, row: &EventRow, job: &NewJob) -> Result<(), StoreError> {
        let event = row.event.as_ref().filter(|_| is_reply(&job.action));
        let Some((
            event,
            Body::Message {
                message, contact, ..
            },
        )) = event.map(|event| (event, &event.body))
        else {
            return Ok(());
        };
        if message.kind == MessageKind::Reaction {
            return Ok(());
        }
        let heard = Heard {
            at: event.event.at,
            event: row.key.clone(),
        };
        self.store.hear(&contact.id, &heard, &job.digests).await
    }
}

async fn told(
    store: &Store,
    event: Event,
    shown: Option<Shown>,
    entity: Option<&EntityRow>,
    automations: &Automations,
) -> Result<Known, StoreError> {
    if callbell::is_of_callbell(&event) || event.subject.kind == SubjectKind::Job {
        return Box::pin(learning::completed(store, event, shown, automations)).await;
    }
    if event.event.name == Name::LeadUpdated {
        return learning::told_lead(store, event, shown, automations).await;
    }
    let newest = match (&event.body, entity.and_then(|entity| entity.event.as_ref())) {
        (Body::AppointmentChange { .. }, Some(newest)) => store.event(newest).await?,
        _ => None,
    };
    let newest = newest.and_then(|row| row.event);
    let event = appointments::told(event, entity, newest.as_ref());
    Ok(Known::new(event, automations))
}

/// An event that was planned before, as it would be planned now: with what is known of its subject.
///
/// # Errors
/// What the store reports.
pub async fn recall(
    store: &Store,
    event: Event,
    automations: &Automations,
) -> Result<(Known, Option<EntityRow>), StoreError> {
    let key = event.entity_key();
    let entity = match event.subject.kind {
        SubjectKind::Appointment => store.entity_by_any_id(&key).await?,
        _ => store.entity(&key).await?,
    };
    let row = match event.event.name {
        Name::ContactUpdated | Name::LeadCreated | Name::LeadUpdated => {
            store.event(&event.event.id).await?
        }
        _ => None,
    };
    let silent = row.as_ref().and_then(leads::was_silent);
    let shown = row.and_then(|row| row.contact);
    let mut known = told(store, event, shown, entity.as_ref(), automations).await?;
    known.silent = known.silent.or(silent);
    Ok((known, entity))
}
