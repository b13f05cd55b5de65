//! From a stored event to its jobs: the rows around it, the pure plan, the writes.

use jiff::{SignedDuration, Timestamp};
use shared::event::Name;
use shared::store::{EntityRow, EventRow, EventStatus, JobId, Put, StoreError};

use super::config::Configured;
use super::{Run, Worker, log};
use crate::plan::{self, Effect, Known};

/// How long an event waits that cannot be planned yet.
const DEFER: SignedDuration = SignedDuration::from_mins(1);

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
        let known = Known::new(event, &configured.automations);
        let entity = self.record_changes(&known, &row, &configured).await?;
        let effects = plan::plan(
            &known,
            row.received_at,
            entity.as_ref(),
            &configured.automations,
        );
        self.apply(&row, effects, run).await
    }

    /// Merges what the event says into the rows of its subjects; the row of its own afterwards.
    async fn record_changes(
        &self,
        known: &Known,
        row: &EventRow,
        configured: &Configured,
    ) -> Result<Option<EntityRow>, StoreError> {
        let changes = plan::changes(known, row.received_at, &configured.automations);
        let rows = self.store.record_entities(&changes).await?;
        Ok(rows.into_iter().next())
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
                    let put = self.store.put_job(&job).await?;
                    if put == Put::New && job.due_at <= self.store.clock().now() {
                        due.push(job.id());
                    }
                }
                Effect::Erase(id, erasure) => loop {
                    let erased = self.store.erase_step(&id, &erasure).await?;
                    if erased.done {
                        log::erased(row, erased.rows);
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
}
