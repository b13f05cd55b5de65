//! A Google calendar: the channel through which it pushes, and the row that says how far it was read. The
//! engine does the work, `renew` keeps it up; here is what a person sees of it.
//! <https://developers.google.com/workspace/calendar/api/guides/push>

use engine::apis::Apis;
use engine::fetch::FetchError;
use engine::fetch::google_calendar::{Watch, WatchError, describe, unwatch, watch};
use serde_json::Value;
use shared::event::Name;
use shared::secrets::Secret;
use shared::store::{Store, StoreError};

use super::{Answering, Asked, Failure, Hook, New, Options, Provider, Topic};
use crate::error::CliError;

const TITLE: &str = "Google";

/// A push says that something changed; what it was is asked.
const TOPICS: &[Topic] = &[Topic {
    name: "changes",
    events: &[
        Name::AppointmentBooked,
        Name::AppointmentRescheduled,
        Name::AppointmentCancelled,
    ],
    always: true,
}];

/// The system.
pub(super) struct System;

impl super::System for System {
    fn kind(&self) -> &'static str {
        "google-calendar"
    }

    fn title(&self) -> &'static str {
        "Google Calendar"
    }

    fn topics(&self) -> &'static [Topic] {
        TOPICS
    }

    fn whereabouts(&self) -> &'static str {
        "Google Calendar: a token of our own that Google sends back: callbell connect google-calendar makes it."
    }

    fn provoke(&self) -> &'static str {
        "change an event of the calendar"
    }

    fn questions(&self) -> &'static [&'static str] {
        &["the JSON key of a service account, as standard input: < key.json"]
    }

    fn is_file(&self) -> bool {
        true
    }

    fn credential(&self, answers: &[String]) -> Result<Secret, CliError> {
        credential(&answers.join("\n"))
    }

    fn open(
        &self,
        asked: Asked<'_>,
        credential: &Secret,
        options: &Options,
    ) -> Result<Box<dyn Provider>, CliError> {
        let calendar = options.calendar.as_deref();
        let (apis, store) = (asked.apis, asked.store);
        let opened = Calendar::new(apis, credential, store, asked.connection, calendar)?;
        Ok(Box::new(opened))
    }
}

/// One calendar, and the row of its connection.
struct Calendar {
    apis: Apis,
    credential: Secret,
    store: Store,
    connection: String,
    calendar: String,
}

/// The key of a service account, or a refresh token with its client, as one line.
///
/// # Errors
/// It is neither.
fn credential(text: &str) -> Result<Secret, CliError> {
    let json: Value = serde_json::from_str(text).unwrap_or_default();
    let has = |names: &[&str]| {
        names
            .iter()
            .all(|name| json.get(name).is_some_and(Value::is_string))
    };
    if has(&["client_email", "private_key"])
        || has(&["client_id", "client_secret", "refresh_token"])
    {
        return Ok(Secret::new(json.to_string()));
    }
    Err(CliError::new("that is neither the JSON key of a service account nor a refresh token")
        .hint("Google Cloud console: IAM, Service accounts, Keys, Add key, JSON; then: callbell connect google-calendar < key.json"))
}

impl Calendar {
    /// # Errors
    /// Nobody said which calendar.
    fn new(
        apis: &Apis,
        credential: &Secret,
        store: &Store,
        connection: &str,
        calendar: Option<&str>,
    ) -> Result<Calendar, CliError> {
        let calendar = calendar.ok_or_else(|| {
            CliError::new("which calendar? --calendar is missing").hint(
                "its address: Google Calendar, Settings, the calendar, Integrate calendar, Calendar ID; often your own e-mail address",
            )
        })?;
        Ok(Calendar {
            apis: apis.clone(),
            credential: credential.clone(),
            store: store.clone(),
            connection: connection.to_owned(),
            calendar: calendar.to_owned(),
        })
    }

    /// Whom the calendar has to be shared with: the service account's address, which is no person's.
    fn account(&self) -> Option<String> {
        let json: Value = serde_json::from_str(self.credential.expose()).unwrap_or_default();
        json.get("client_email")
            .and_then(Value::as_str)
            .map(str::to_owned)
    }

    fn told(&self, error: FetchError) -> Failure {
        match error {
            FetchError::Missing(_) => {
                let todo = match self.account() {
                    Some(account) => format!(
                        "Google Calendar: Settings, the calendar, Share with specific people: {account}, See all event details; \"primary\" is no calendar of a service account"
                    ),
                    None => "is that the calendar's ID, and may the account of the refresh token see it?".to_owned(),
                };
                Failure::other("Google shows no such calendar (404)", todo)
            }
            FetchError::Refused(why) => Failure::other(
                format!("Google refuses the credential: {why}"),
                format!(
                    "is the Calendar API enabled in the project? A refresh token of an app in testing dies after a week; another credential: callbell secrets set {} --api",
                    self.connection
                ),
            ),
            FetchError::Unavailable { why, .. } => Failure::other(
                format!("{TITLE}: {why}"),
                "start this command again: it does no harm",
            ),
            other => Failure::other(format!("{TITLE}: {other}"), ""),
        }
    }

    fn stored(error: &StoreError) -> Failure {
        Failure::other(error.to_string(), "")
    }

    fn not_watched(&self, error: WatchError) -> Failure {
        match error {
            WatchError::Google(error) => self.told(error),
            WatchError::Store(error) => Calendar::stored(&error),
            WatchError::Conflict => Failure::other(error.to_string(), "start this command again"),
        }
    }

    async fn watch(&self, new: &New<'_>) -> Result<(), Failure> {
        let wanted = Watch {
            connection: &self.connection,
            calendar: &self.calendar,
            door: new.url,
            channel_token: new.secret,
        };
        let watched = watch(&self.apis, &self.credential, &self.store, wanted).await;
        watched.map(|_| ()).map_err(|error| self.not_watched(error))
    }
}

impl Provider for Calendar {
    fn scope(&self) -> Option<&str> {
        Some(&self.calendar)
    }

    /// The channel that the row knows: Google has no list of them.
    fn hooks(&self) -> Answering<'_, Vec<Hook>> {
        Box::pin(async move {
            let now = self.store.clock().now();
            let described = describe(&self.apis, &self.credential, &self.calendar, now).await;
            described.map_err(|error| self.told(error))?;
            let row = self.store.cursor(&self.connection).await;
            let Some(row) = row.map_err(|error| Calendar::stored(&error))? else {
                return Ok(Vec::new());
            };
            let hook = |channel: &shared::store::Channel| Hook {
                id: channel.id.clone(),
                url: row.door.clone(),
                topics: TOPICS.iter().map(|topic| topic.name.to_owned()).collect(),
                off: (channel.expires_at <= now).then(|| "expired".to_owned()),
                scope: Some(row.calendar.clone()),
                failing: row
                    .failing
                    .as_ref()
                    .map(|(since, why)| format!("{since}: {why}")),
            };
            Ok(row.channel.iter().map(hook).collect())
        })
    }

    fn register<'a>(&'a self, new: &'a New<'a>) -> Answering<'a, ()> {
        Box::pin(self.watch(new))
    }

    fn replace<'a>(&'a self, _id: &'a str, new: &'a New<'a>) -> Answering<'a, ()> {
        Box::pin(self.watch(new))
    }

    fn remove<'a>(&'a self, _id: &'a str) -> Answering<'a, ()> {
        Box::pin(async move {
            let stopped =
                unwatch(&self.apis, &self.credential, &self.store, &self.connection).await;
            stopped.map_err(|error| self.not_watched(error))
        })
    }

    fn about(&self) -> Answering<'_, Vec<String>> {
        Box::pin(async move {
            let now = self.store.clock().now();
            let described = describe(&self.apis, &self.credential, &self.calendar, now).await;
            let described = described.map_err(|error| self.told(error))?;
            let zone = described
                .zone
                .map_or(String::new(), |zone| format!(", {zone}"));
            let mut lines = vec![format!("calendar: {}{zone}", described.title)];
            let row = self.store.cursor(&self.connection).await;
            if let Some(row) = row.map_err(|error| Calendar::stored(&error))? {
                if let Some(channel) = &row.channel {
                    let until = channel.expires_at.strftime("%Y-%m-%d %H:%M UTC");
                    lines.push(format!("channel until {until}; renewed before by itself"));
                }
                lines.push(match row.synced_from {
                    Some(at) => format!("last read {}", at.strftime("%Y-%m-%d %H:%M UTC")),
                    None => "not read yet".to_owned(),
                });
            }
            Ok(lines)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_calendar_that_is_not_shared_names_whom_to_share_it_with() {
        let (store, _) = testkit::store().await;
        let key = r#"{"client_email": "reader@demo.iam.gserviceaccount.com", "private_key": "x"}"#;
        let key = credential(key).unwrap();
        let apis = Apis::new(None).unwrap();
        let calendar = Calendar::new(&apis, &key, &store, "agenda", Some("a@example.com")).unwrap();
        let told = calendar
            .told(FetchError::Missing("the calendar"))
            .told("agenda");
        let todo = told.todo().unwrap_or_default();
        assert!(
            todo.contains("Share with specific people: reader@demo.iam"),
            "{todo}"
        );
        assert!(credential(r#"{"client_id": "a"}"#).is_err());
    }
}
