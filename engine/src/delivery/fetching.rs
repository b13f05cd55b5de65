//! From "something changed there" to the events that it was: asks the system, stores what it said as events
//! like any other, and only then remembers how far it asked. So a crash at any point repeats questions and
//! loses nothing; events that are there already are not stored again.
//!
//! What cannot be asked now is asked later, at growing intervals; after a day it is given up, visibly.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use shared::connections::Connection;
use shared::event::{Body, Changed, Event};
use shared::sources::{calendly, gmail, google_calendar, hubspot, pipedrive, zendesk};
use shared::store::{EventRow, JobId, Line, Planned, Put, StoreError};

use super::config::Configured;
use super::{Run, Worker, log};
use crate::fetch::{self, Asking, FetchError, Fetching};
use crate::plan::Known;

/// After so long a question is given up.
const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// The shortest pause before a system is asked again.
const PAUSE_MIN: SignedDuration = SignedDuration::from_mins(1);
/// The longest; also the pause where somebody has to mend something first.
const PAUSE_MAX: SignedDuration = SignedDuration::from_hours(1);
/// Events that are stored at once.
const WRITES_AT_ONCE: usize = 10;

/// What came of asking.
pub(super) enum Fetched {
    /// All of it is stored; what it was, for the event's line.
    Done(String),
    /// To be gone on with, at this time and for this reason. Nothing is wrong.
    Later(Timestamp, &'static str),
}

/// Why asking came to nothing.
pub(super) enum Failed {
    /// The system did not do its part.
    Fetch(FetchError),
    /// The table did not do its part.
    Store(StoreError),
}

impl From<FetchError> for Failed {
    fn from(error: FetchError) -> Self {
        Failed::Fetch(error)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Failed::Store(error)
    }
}

/// What is asked, and on whose behalf.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) fetching: &'a Fetching,
    pub(super) connection: &'a Connection,
    pub(super) row: &'a EventRow,
    pub(super) event: &'a Event,
    pub(super) changed: &'a Changed,
    pub(super) configured: &'a Configured,
    pub(super) run: &'a Run,
}

impl Worker {
    /// Carries out one `source.changed` event. What it finds becomes events of their own, which the stream
    /// brings back.
    pub(super) async fn fetch(
        &self,
        row: &EventRow,
        event: &Event,
        configured: &Configured,
        run: &Run,
    ) -> Result<Vec<JobId>, StoreError> {
        let known = Known::new(event.clone(), &configured.automations);
        let (Some(fetching), Body::Changed { changed }) = (&self.fetching, &event.body) else {
            let why = "nothing to ask".to_owned();
            self.finish_fetching(row, &known, why, run).await?;
            return Ok(Vec::new());
        };
        let connections = self.store.connections().await?.unwrap_or_default();
        let named = connections.0.get(&event.event.source).cloned();
        let connection = named.unwrap_or_else(|| Connection {
            kind: event.event.kind.clone(),
            ..Connection::plain(&event.event.source)
        });
        let question = Question {
            fetching,
            connection: &connection,
            row,
            event,
            changed,
            configured,
            run,
        };
        match self.fetch_of_kind(question).await {
            Ok(Fetched::Done(why)) => self.finish_fetching(row, &known, why, run).await?,
            Ok(Fetched::Later(at, why)) => self.store.defer_event(&row.key, at, why).await?,
            Err(Failed::Store(error)) => return Err(error),
            Err(Failed::Fetch(error)) => self.ask_again(question, &error).await?,
        }
        Ok(Vec::new())
    }

    /// One line a provider.
    async fn fetch_of_kind(&self, question: Question<'_>) -> Result<Fetched, Failed> {
        match question.connection.kind.as_str() {
            "calendly" => self.fetch_calendly(question).await,
            google_calendar::KIND => Box::pin(self.sync_calendar(question)).await,
            gmail::KIND => Box::pin(self.sync_mailbox(question)).await,
            hubspot::KIND => {
                let found = Box::pin(fetch::hubspot::events(self.asking(question)));
                self.take_found(found.await?, question).await
            }
            zendesk::KIND => {
                let found = Box::pin(fetch::zendesk::events(self.asking(question)));
                self.take_found(found.await?, question).await
            }
            pipedrive::KIND => {
                let found = Box::pin(fetch::pipedrive::events(self.asking(question)));
                self.take_found(found.await?, question).await
            }
            _ => Ok(Fetched::Done("nothing is asked of this kind".to_owned())),
        }
    }

    fn asking<'a>(&self, question: Question<'a>) -> Asking<'a> {
        Asking {
            fetching: question.fetching,
            connection: question.connection,
            event: question.event,
            changed: question.changed,
            now: self.store.clock().now(),
        }
    }

    async fn take_found(
        &self,
        events: Vec<Event>,
        question: Question<'_>,
    ) -> Result<Fetched, Failed> {
        let found = self.store_found(events, question).await?;
        Ok(Fetched::Done(found.words()))
    }

    /// The scheduled event that a webhook of Calendly left out.
    async fn fetch_calendly(&self, question: Question<'_>) -> Result<Fetched, Failed> {
        let Some(uuid) = calendly::wanted(question.changed) else {
            return Ok(Fetched::Done("names no scheduled event".to_owned()));
        };
        let fetching = question.fetching;
        let secrets = fetching.secrets(&question.connection.name).await?;
        let mut answer = Err(FetchError::Refused("there is no API secret".to_owned()));
        for secret in &secrets {
            answer = fetch::calendly::scheduled_event(fetching.apis(), secret, uuid).await;
            if !matches!(answer, Err(FetchError::Refused(_))) {
                break;
            }
        }
        let scheduled_event = answer?;
        let events = calendly::complete(question.event, &scheduled_event, question.connection);
        let events = events.map_err(|error| FetchError::Unreadable(error.to_string()))?;
        let found = self.store_found(events, question).await?;
        Ok(Fetched::Done(found.words()))
    }

    /// Stores what was found: each event by itself, then what it says of its subject, which the next
    /// question is compared with.
    pub(super) async fn store_found(
        &self,
        events: Vec<Event>,
        question: Question<'_>,
    ) -> Result<Tally, StoreError> {
        let stored: Vec<(Put, Event)> = stream::iter(events)
            .map(|event| self.store_one(event, question))
            .buffered(WRITES_AT_ONCE)
            .try_collect()
            .await?;
        let mut tally = Tally::default();
        for (put, event) in stored {
            log::found(question.row, &event, put == Put::New);
            tally.count(put, &event);
        }
        Ok(tally)
    }

    async fn store_one(
        &self,
        event: Event,
        question: Question<'_>,
    ) -> Result<(Put, Event), StoreError> {
        let put = match self.store.put_event(event.clone()).await {
            // One event that does not fit must not hold up all others for ever.
            Err(error @ StoreError::TooLarge { .. }) => {
                log::failed_event(&event.event.id, &error);
                return Ok((Put::Duplicate, event));
            }
            put => put?,
        };
        let known = Known::new(event.clone(), &question.configured.automations);
        let now = self.store.clock().now();
        self.record_changes(&known, now, question.configured)
            .await?;
        Ok((put, event))
    }

    /// Puts a question off, or gives it up.
    async fn ask_again(
        &self,
        question: Question<'_>,
        error: &FetchError,
    ) -> Result<(), StoreError> {
        let row = question.row;
        let now = self.store.clock().now();
        let age = now.duration_since(row.received_at);
        if age >= GIVE_UP_AFTER {
            log::given_up(row, error);
            question.run.report(|report| {
                report.fetches_given_up = report.fetches_given_up.saturating_add(1);
            });
            let why = format!("given up: {error}");
            let known = Known::new(question.event.clone(), &question.configured.automations);
            return self.finish_fetching(row, &known, why, question.run).await;
        }
        log::not_fetched(row, error);
        if matches!(error, FetchError::Refused(_)) {
            question.fetching.forget_secrets();
        }
        let at = now
            .saturating_add(pause(error, age))
            .unwrap_or(Timestamp::MAX);
        self.store
            .defer_event(&row.key, at, &error.to_string())
            .await
    }

    async fn finish_fetching(
        &self,
        row: &EventRow,
        known: &Known,
        why: String,
        run: &Run,
    ) -> Result<(), StoreError> {
        let planned = Planned {
            lines: vec![Line {
                automation: FETCHED.to_owned(),
                matched: false,
                why,
            }],
            // What came of a person's webhook is theirs, until it goes.
            digests: known.digests(),
            ..Planned::default()
        };
        self.store.finish_planning(&row.key, &planned).await?;
        log::fetched(row, &planned, self.store.clock().now());
        run.report(|report| {
            report.events_planned = report.events_planned.saturating_add(1);
        });
        Ok(())
    }
}

/// What stands in the place of an automation's name in the line of a question.
const FETCHED: &str = "(asked)";

/// How long a question that failed waits: half as long as it has been waiting, or as the system wants.
fn pause(error: &FetchError, age: SignedDuration) -> SignedDuration {
    match error {
        FetchError::Unavailable { retry_after, .. } => {
            let wanted = retry_after.and_then(|wanted| SignedDuration::try_from(wanted).ok());
            let grown = age.checked_div(2).unwrap_or(PAUSE_MIN);
            grown
                .max(wanted.unwrap_or_default())
                .clamp(PAUSE_MIN, PAUSE_MAX)
        }
        _ => PAUSE_MAX,
    }
}

/// How many events of which name were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    new: std::collections::BTreeMap<&'static str, u32>,
    known: u32,
}

impl Tally {
    fn count(&mut self, put: Put, event: &Event) {
        match put {
            Put::New => {
                let name = event.event.name.as_str();
                let count = self.new.entry(name).or_default();
                *count = count.saturating_add(1);
            }
            Put::Duplicate => self.known = self.known.saturating_add(1),
        }
    }

    /// Adds another.
    pub(super) fn add(&mut self, other: Tally) {
        for (name, more) in other.new {
            let count = self.new.entry(name).or_default();
            *count = count.saturating_add(more);
        }
        self.known = self.known.saturating_add(other.known);
    }

    /// `2 appointment.booked, 1 appointment.updated`.
    pub(super) fn words(&self) -> String {
        let mut parts: Vec<String> = self
            .new
            .iter()
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        if self.known > 0 {
            parts.push(format!("{} known already", self.known));
        }
        if parts.is_empty() {
            return "nothing new".to_owned();
        }
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_a_system_may_ask_for_longer_ones() {
        let unavailable = |retry_after| FetchError::Unavailable {
            why: String::new(),
            retry_after,
        };
        let minutes = SignedDuration::from_mins;
        let seconds = std::time::Duration::from_secs;
        let rows = [
            (unavailable(None), minutes(0), minutes(1)),
            (unavailable(None), minutes(10), minutes(5)),
            (unavailable(None), minutes(600), minutes(60)),
            (unavailable(Some(seconds(600))), minutes(0), minutes(10)),
            (unavailable(Some(seconds(99_999))), minutes(0), minutes(60)),
            (FetchError::Refused(String::new()), minutes(0), minutes(60)),
        ];
        for (error, age, expected) in rows {
            assert_eq!(pause(&error, age), expected, "{error:?} {age:?}");
        }
    }
}
