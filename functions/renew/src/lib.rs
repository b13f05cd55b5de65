//! Once an hour, for every calendar whose changes are pushed: has the worker ask, because pushes get lost;
//! once a day has it look for instances of series that came within the horizon; and puts a new channel in
//! the place of one that ends soon, because no channel is prolonged.
//! <https://developers.google.com/workspace/calendar/api/guides/push#renewing-notification-channels>
//!
//! The same for mailboxes: see `mailboxes.rs`. And for Callbell's own webhook: stores what was not delivered.
//! See `missed.rs`.

mod mailboxes;
mod missed;

use engine::apis::{Apis, ApisError};
use engine::callbell::BASE_URL;
use engine::fetch::google_auth::CALENDAR;
use engine::fetch::google_calendar::{WatchError, replace_channel, stop_old};
use engine::fetch::{FetchError, Fetching};
use jiff::{SignedDuration, Timestamp};
use shared::env::Environment;
use shared::secrets::{Secret, SecretsProvider};
use shared::sources::google_calendar::{Ask, KIND};
use shared::store::{CursorRow, Store, StoreError};
use shared::telemetry::Figures;

/// A channel with less time than this left is replaced: two days of hourly attempts.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(48);
/// A calendar that was not read, or whose channel was not replaced, for so long is failing.
const FAILING_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// With less time than this left nothing is begun: four requests to Google, one of them for a token.
const BUDGET: SignedDuration = SignedDuration::from_secs(20);
/// Seconds of an hour.
const HOUR_S: i64 = 3_600;

/// The function's handler.
pub struct App {
    store: Store,
    fetching: Fetching,
    webhooks: SecretsProvider,
    callbell_url: String,
}

/// Stand-ins for what is asked; without one it is asked itself.
#[derive(Clone, Debug, Default)]
pub struct Urls {
    /// For the APIs of all systems but Callbell.
    pub providers: Option<String>,
    /// For Callbell's API.
    pub callbell: Option<String>,
}

impl Urls {
    /// As the environment has them.
    pub fn of(environment: &Environment) -> Urls {
        Urls {
            providers: environment.providers_url.clone(),
            callbell: environment.callbell_url.clone(),
        }
    }
}

/// What one run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Connected calendars.
    pub calendars: u64,
    /// Channels that were replaced.
    pub renewed: u64,
    /// Connected mailboxes.
    pub mailboxes: u64,
    /// Watches of mailboxes that were prolonged.
    pub prolonged: u64,
    /// Calendars and mailboxes that were not read or not watched on for a day, and Callbell's webhook where
    /// it is no good.
    pub failing: u64,
    /// Events that Callbell could not deliver and that are stored now.
    pub recovered: u64,
}

/// What alarms go by, of a run's report.
pub fn figures(report: &Report) -> Figures {
    Figures {
        sources_failing: report.failing,
        ..Figures::default()
    }
}

impl App {
    /// A handler over a table, the API secrets, the webhook secrets (a channel's token is one) and the
    /// systems' APIs and Callbell's, or stand-ins for them. Nothing is read or asked yet.
    ///
    /// # Errors
    /// [`ApisError`].
    pub fn new(
        store: Store,
        apis: SecretsProvider,
        webhooks: SecretsProvider,
        urls: Urls,
    ) -> Result<App, ApisError> {
        let providers = Apis::new(urls.providers.as_deref())?;
        let fetching = Fetching::new(providers, apis, store.clock().clone());
        Ok(App {
            store,
            fetching,
            webhooks,
            callbell_url: urls.callbell.unwrap_or_else(|| BASE_URL.to_owned()),
        })
    }

    /// One run, to be done by `deadline`. What is left over the next hour does.
    ///
    /// # Errors
    /// The table cannot be read: nothing was done.
    pub async fn run(&self, deadline: Timestamp) -> Result<Report, StoreError> {
        let calendars = self.calendars().await?;
        let mailboxes = self.mailboxes().await?;
        let mut report = Report {
            calendars: u64::try_from(calendars.len()).unwrap_or(u64::MAX),
            ..Report::default()
        };
        // The questions first: they are a write or two each, and of every calendar and mailbox.
        for cursor in &calendars {
            self.have_asked(cursor).await;
        }
        for row in &mailboxes {
            self.have_mailbox_asked(row).await;
        }
        for cursor in &calendars {
            let now = self.store.clock().now();
            let channel = if now.saturating_add(BUDGET).is_ok_and(|end| end <= deadline) {
                self.keep_channel(cursor, now).await
            } else {
                Err("no time was left".to_owned())
            };
            report.renewed = report
                .renewed
                .saturating_add(u64::from(channel == Ok(true)));
            let failing = failing(cursor, channel == Ok(true), now);
            report.failing = report.failing.saturating_add(u64::from(failing.is_some()));
            log(cursor, &channel, failing, now);
        }
        let kept = self.keep_mailboxes(&mailboxes, deadline).await;
        report.mailboxes = kept.mailboxes;
        report.prolonged = kept.prolonged;
        report.failing = report.failing.saturating_add(kept.failing);
        let recovered = self.recover(deadline).await;
        report.recovered = recovered.events;
        report.failing = report.failing.saturating_add(u64::from(recovered.failing));
        Ok(report)
    }

    /// Whether any calendar or mailbox is connected, for the development server.
    ///
    /// # Errors
    /// What the table reports.
    pub async fn is_needed(&self) -> Result<bool, StoreError> {
        Ok(!self.calendars().await?.is_empty() || !self.mailboxes().await?.is_empty())
    }

    /// Every calendar that is connected: under a name of the file's, or its kind's.
    async fn calendars(&self) -> Result<Vec<CursorRow>, StoreError> {
        let mut calendars = Vec::new();
        for name in self.names_of(KIND).await? {
            calendars.extend(self.store.cursor(&name).await?);
        }
        Ok(calendars)
    }

    /// The names that connections of a kind have.
    async fn names_of(&self, kind: &str) -> Result<Vec<String>, StoreError> {
        let connections = self.store.connections().await?.unwrap_or_default();
        let named = connections.0.values();
        let mut names: Vec<String> = named
            .filter(|connection| connection.kind == kind)
            .map(|connection| connection.name.clone())
            .collect();
        if !connections.0.contains_key(kind) {
            names.push(kind.to_owned());
        }
        Ok(names)
    }

    /// One question an hour and one a day, whoever runs how often.
    async fn have_asked(&self, cursor: &CursorRow) {
        let now = self.store.clock().now();
        let hour = now.as_second().div_euclid(HOUR_S);
        let day = hour.div_euclid(24);
        let questions = [
            (Ask::Poll, format!("poll/{hour}")),
            (Ask::Horizon, format!("horizon/{day}")),
        ];
        for (ask, what) in questions {
            let event = ask.event(&cursor.connection, &what, now);
            if let Err(error) = self.store.put_event(event).await {
                tracing::error!(outcome = "not polled", source.name = cursor.connection, reason = %error);
            }
        }
    }

    /// Replaces the channel where it ends soon, and stops the one before it. `true`: it is a new one.
    async fn keep_channel(&self, cursor: &CursorRow, now: Timestamp) -> Result<bool, String> {
        let ends_soon = left(cursor, now) < RENEW_BEFORE;
        if !ends_soon && cursor.old_channel.is_none() {
            return Ok(false);
        }
        let done = self.change_channel(cursor, ends_soon, now).await;
        done.map_err(|error| error.to_string())
    }

    async fn change_channel(
        &self,
        cursor: &CursorRow,
        ends_soon: bool,
        now: Timestamp,
    ) -> Result<bool, WatchError> {
        let (apis, name) = (self.fetching.apis(), &cursor.connection);
        let secrets = self.fetching.secrets(name).await?;
        let token = self
            .fetching
            .google()
            .get(apis, &secrets, CALENDAR, now)
            .await?;
        if let Some(old) = &cursor.old_channel {
            stop_old(apis, &token, &self.store, name, old).await?;
        }
        if ends_soon {
            let channel_token = self.channel_token(name).await?;
            replace_channel(apis, &token, &self.store, cursor, &channel_token).await?;
        }
        Ok(ends_soon)
    }

    /// What the door knows the channel by: the first of the connection's webhook secrets.
    async fn channel_token(&self, name: &str) -> Result<Secret, FetchError> {
        let secrets = self.webhooks.load().await;
        let secrets = secrets.map_err(|error| FetchError::Unavailable {
            why: error.to_string(),
            retry_after: None,
        })?;
        let first = secrets.get(name).first().cloned();
        first.ok_or_else(|| {
            FetchError::Refused("there is no webhook secret of this name".to_owned())
        })
    }
}

/// For how long the channel lives on.
fn left(cursor: &CursorRow, now: Timestamp) -> SignedDuration {
    let channel = cursor.channel.as_ref();
    channel.map_or(SignedDuration::ZERO, |channel| {
        channel.expires_at.duration_since(now)
    })
}

/// What has been wrong for a day. A calendar that was connected today has that day's time.
fn failing(cursor: &CursorRow, renewed: bool, now: Timestamp) -> Option<&'static str> {
    let since = |at: Timestamp| now.duration_since(at);
    if since(cursor.connected_at) < FAILING_AFTER {
        return None;
    }
    if cursor
        .synced_from
        .is_none_or(|from| since(from) >= FAILING_AFTER)
    {
        return Some("not read for a day");
    }
    let due_for_a_day = left(cursor, now) < RENEW_BEFORE.saturating_sub(FAILING_AFTER);
    (due_for_a_day && !renewed).then_some("its channel was not replaced for a day")
}

/// One line a calendar.
fn log(cursor: &CursorRow, channel: &Result<bool, String>, failing: Option<&str>, now: Timestamp) {
    let outcome = match channel {
        Ok(true) => "channel replaced",
        Ok(false) => "channel kept",
        Err(_) => "channel not replaced",
    };
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                outcome,
                source.name = cursor.connection,
                source.failing = failing,
                channel.left_ms = i64::try_from(left(cursor, now).as_millis()).unwrap_or_default(),
                sync.age_ms = cursor
                    .synced_from
                    .and_then(|from| i64::try_from(now.duration_since(from).as_millis()).ok()),
                sync.problem = cursor.failing.as_ref().map(|(_, why)| why.as_str()),
                reason = channel.as_ref().err()
            )
        };
    }
    match (channel, failing) {
        (_, Some(_)) => line!(error),
        (Err(_), None) => line!(warn),
        _ => line!(info),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::store::Channel;

    fn cursor(connected: i64, synced: Option<i64>, left: Option<i64>, now: Timestamp) -> CursorRow {
        let ago = |hours: i64| now - SignedDuration::from_hours(hours);
        CursorRow {
            connection: KIND.to_owned(),
            calendar: "c".to_owned(),
            door: "https://example.com".to_owned(),
            connected_at: ago(connected),
            zone: None,
            token: None,
            synced_from: synced.map(ago),
            horizon: None,
            search: None,
            channel: left.map(|hours| Channel {
                id: "1".to_owned(),
                resource: "r".to_owned(),
                expires_at: ago(-hours),
            }),
            old_channel: None,
            failing: None,
        }
    }

    /// What fails for a day is an alarm; what fails for an hour is not.
    #[test]
    fn a_day_of_failures_is_an_alarm() {
        let now = testkit::start();
        let of = |connected, synced, left, renewed| {
            failing(&cursor(connected, synced, left, now), renewed, now).is_some()
        };
        assert!(!of(23, None, None, false));
        assert!(of(25, None, Some(100), false));
        assert!(of(90, Some(24), Some(100), false));
        assert!(!of(90, Some(1), Some(25), false));
        assert!(of(90, Some(1), Some(23), false));
        assert!(!of(90, Some(1), Some(23), true));
        assert!(of(90, Some(1), None, false));
    }
}
