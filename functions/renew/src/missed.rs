//! Once an hour: what Callbell could not deliver is read from its log and stored as the door would have, and
//! what the log says of the webhook is an alarm where it is no good.

use std::time::Duration;

use engine::callbell::Callbell;
use engine::fetch::callbell::{self as log, Health, OVERLAP, PAGES_MAX};
use jiff::{SignedDuration, Timestamp};
use shared::sources::callbell::{KIND, signs};
use shared::store::{MissedRow, Put, RateLease, StoreError};

use super::App;

/// With less time than this left nothing is asked: one request, and the writes of a page.
const BUDGET: SignedDuration = SignedDuration::from_secs(15);
/// Requests a second that all functions share, where the file says nothing else.
const RATE: u32 = 20;
/// How long to wait for a place in the rate.
const SECOND: Duration = Duration::from_secs(1);
/// The log could not be read for so long.
const UNREAD_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// What one run recovered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Events that were not there.
    pub(crate) events: u64,
    /// The webhook is no good, or nobody can say.
    pub(crate) failing: bool,
}

impl App {
    /// Reads the log, where Callbell's webhook is connected: there is a secret for its path, and a token.
    pub(super) async fn recover(&self, deadline: Timestamp) -> Recovered {
        if !self.is_connected().await {
            return Recovered::default();
        }
        let now = self.store.clock().now();
        let before = match self.store.missed().await {
            Ok(Some(row)) => row,
            // What failed before this was connected is not ours.
            Ok(None) => return self.begin().await,
            Err(error) => {
                tracing::error!(outcome = "missed webhooks not read", source.name = KIND, reason = %error);
                return Recovered::default();
            }
        };
        match self.read_log(&before, now, deadline).await {
            Ok(recovered) => recovered,
            Err(error) => {
                let failing = now.duration_since(before.read_at) >= UNREAD_AFTER;
                let why = failing.then_some("its log was not read for a day");
                tracing::warn!(outcome = "missed webhooks not read", source.name = KIND, source.failing = why, reason = %error);
                Recovered { events: 0, failing }
            }
        }
    }

    async fn is_connected(&self) -> bool {
        let secrets = self.webhooks.load().await;
        secrets.is_ok_and(|secrets| secrets.get(KIND).iter().any(|value| !signs(value)))
    }

    async fn begin(&self) -> Recovered {
        if let Err(error) = self.store.begin_missed().await {
            tracing::error!(outcome = "missed webhooks not read", source.name = KIND, reason = %error);
        }
        Recovered::default()
    }

    async fn read_log(
        &self,
        before: &MissedRow,
        now: Timestamp,
        deadline: Timestamp,
    ) -> Result<Recovered, String> {
        let callbell = self.callbell().await?;
        let since = before.read_until;
        let (mut events, mut whole) = (0_u64, false);
        for page in 1..=PAGES_MAX {
            self.take_place(deadline).await?;
            let missed = log::missed(&callbell, page, since, now).await;
            let missed = missed.map_err(|error| error.to_string())?;
            let new = self.store_all(&missed).await;
            events = events.saturating_add(new.map_err(|error| error.to_string())?);
            if !missed.more {
                whole = true;
                break;
            }
        }
        self.take_place(deadline).await?;
        let health = log::health(&callbell, before.connected_at, now).await;
        let health = health.map_err(|error| error.to_string())?;
        let failing = self.judge(&health, before, now).await;
        let failing = failing.map_err(|error| error.to_string())?;
        // What is older than the pages that were read stays to be read.
        let until = if whole {
            now.saturating_sub(OVERLAP).unwrap_or(now).max(since)
        } else {
            since
        };
        let put = self.store.put_missed(until, failing).await;
        put.map_err(|error| error.to_string())?;
        tell(events, whole, failing);
        Ok(Recovered {
            events,
            failing: failing.is_some(),
        })
    }

    /// A client with the first of the tokens: the newest.
    async fn callbell(&self) -> Result<Callbell, String> {
        let tokens = self.fetching.secrets(KIND).await;
        let tokens = tokens.map_err(|error| error.to_string())?;
        let token = tokens.first().ok_or("there is no token")?;
        Callbell::new(&self.callbell_url, token).map_err(|error| error.to_string())
    }

    /// A request is one of those that all functions share. The red button stops what goes out, and this asks.
    async fn take_place(&self, deadline: Timestamp) -> Result<(), String> {
        let clock = self.store.clock();
        loop {
            let now = clock.now();
            if now.saturating_add(BUDGET).is_ok_and(|end| end > deadline) {
                return Err("no time was left".to_owned());
            }
            let lease = self.store.lease_rate(1, RATE).await;
            match lease.map_err(|error| error.to_string())? {
                RateLease::Tokens { tokens: 0, .. } => clock.sleep(SECOND).await,
                RateLease::Tokens { .. } | RateLease::Paused => return Ok(()),
            }
        }
    }

    /// How many were not there.
    async fn store_all(&self, missed: &log::Missed) -> Result<u64, StoreError> {
        let mut new = 0_u64;
        for event in missed.events.iter().cloned() {
            let (key, name) = (event.event.id.clone(), event.event.name);
            let put = match self.store.put_event(event).await {
                Err(StoreError::TooLarge { .. }) => continue,
                put => put?,
            };
            if put == Put::New {
                new = new.saturating_add(1);
                tracing::info!(
                    outcome = "recovered",
                    source.name = KIND,
                    event.name = name.as_str(),
                    event.key = key
                );
            }
        }
        for (digest, problem) in &missed.unreadable {
            self.store.put_unreadable(KIND, digest, problem).await?;
        }
        Ok(new)
    }

    /// What is wrong with the webhook, and since when.
    async fn judge(
        &self,
        health: &Health,
        before: &MissedRow,
        now: Timestamp,
    ) -> Result<Option<(Timestamp, &'static str)>, StoreError> {
        if health.failing.is_some() {
            return Ok(health.failing);
        }
        for key in &health.delivered {
            if self.store.event(key).await?.is_some() {
                return Ok(None);
            }
        }
        let since = before.failing.as_ref().map_or(now, |(since, _)| *since);
        let elsewhere = !health.delivered.is_empty();
        Ok(elsewhere.then_some((since, "what is delivered does not come here")))
    }
}

fn tell(events: u64, whole: bool, failing: Option<(Timestamp, &'static str)>) {
    let why = failing.map(|(_, why)| why);
    let since = failing.map(|(since, _)| tracing::field::display(since));
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                outcome = "missed webhooks read",
                source.name = KIND,
                source.failing = why,
                source.failing_since = since,
                webhooks.recovered = events,
                webhooks.all_read = whole
            )
        };
    }
    match (failing, whole) {
        (Some(_), _) => line!(error),
        (None, false) => line!(warn),
        (None, true) => line!(info),
    }
}
