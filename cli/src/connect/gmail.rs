//! A mailbox at Gmail: the watch by which its changes are published, and the row that says how far it was read.
//! Between the two stands Google's Pub/Sub, whose topic and push subscription a person makes: the steps say
//! how. <https://developers.google.com/workspace/gmail/api/guides/push>

use engine::apis::Apis;
use engine::fetch::FetchError;
use engine::fetch::gmail::{Watch, WatchError, describe, unwatch, watch};
use serde_json::Value;
use shared::event::Name;
use shared::secrets::Secret;
use shared::sources::gmail;
use shared::store::{MailboxRow, Store, StoreError};

use super::{Answering, Asked, Failure, Hook, New, Options, Provider, Topic};
use crate::error::CliError;

const TITLE: &str = "Gmail";
/// The service account in whose name Pub/Sub pushes, in the project of the topic.
const PUSHER: &str = "callbell-push";
/// Who publishes to the topic: Google's own.
/// <https://developers.google.com/workspace/gmail/api/guides/push#grant_publish_rights_on_your_topic>
const PUBLISHER: &str = "gmail-api-push@system.gserviceaccount.com";
/// How long Pub/Sub waits for the door, in seconds: longer than a cold start.
const ACK_SECONDS: u32 = 30;

/// A push says that something changed; what it was is asked.
const TOPICS: &[Topic] = &[Topic {
    name: "changes",
    events: &[Name::EmailReceived],
    always: true,
}];

/// The system.
pub(super) struct System;

impl super::System for System {
    fn kind(&self) -> &'static str {
        gmail::KIND
    }

    fn title(&self) -> &'static str {
        TITLE
    }

    fn topics(&self) -> &'static [Topic] {
        TOPICS
    }

    fn whereabouts(&self) -> &'static str {
        "Gmail: who pushes and what Google signs it for, which Google Cloud is told as well: callbell connect gmail makes it."
    }

    fn provoke(&self) -> &'static str {
        "write to the mailbox"
    }

    fn questions(&self) -> &'static [&'static str] {
        &["JSON of client_id, client_secret and refresh_token, as standard input: < gmail.json"]
    }

    fn is_file(&self) -> bool {
        true
    }

    fn credential(&self, answers: &[String]) -> Result<Secret, CliError> {
        credential(&answers.join("\n"))
    }

    /// Who pushes, and a random audience that Google signs its pushes for.
    fn webhook_secret(&self, random: Secret, options: &Options) -> Result<Secret, CliError> {
        let topic = options.topic.as_deref().and_then(GoogleTopic::parse);
        let topic = topic.ok_or_else(no_topic)?;
        Ok(gmail::secret(&topic.pusher(), random.expose()))
    }

    fn open(
        &self,
        asked: Asked<'_>,
        credential: &Secret,
        options: &Options,
    ) -> Result<Box<dyn Provider>, CliError> {
        let topic = options.topic.clone();
        if topic
            .as_deref()
            .is_some_and(|topic| GoogleTopic::parse(topic).is_none())
        {
            return Err(no_topic());
        }
        Ok(Box::new(Mailbox {
            apis: asked.apis.clone(),
            credential: credential.clone(),
            store: asked.store.clone(),
            connection: asked.connection.to_owned(),
            topic,
        }))
    }
}

fn no_topic() -> CliError {
    CliError::new("which topic? --topic projects/PROJECT/topics/NAME is missing").hint(
        "PROJECT is the Google Cloud project of the credential; the topic need not be there yet: the steps make it",
    )
}

/// `projects/minha-loja/topics/gmail`.
struct GoogleTopic<'a> {
    project: &'a str,
    name: &'a str,
}

impl GoogleTopic<'_> {
    fn parse(text: &str) -> Option<GoogleTopic<'_>> {
        let is_name = |part: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+%:".contains(&byte);
            !part.is_empty() && part.bytes().all(allowed)
        };
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            ["projects", project, "topics", name] if is_name(project) && is_name(name) => {
                Some(GoogleTopic { project, name })
            }
            _ => None,
        }
    }

    fn pusher(&self) -> String {
        format!("{PUSHER}@{}.iam.gserviceaccount.com", self.project)
    }
}

/// A refresh token with its client, or the key of a service account that acts for the mailbox, as one line.
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
    if has(&["client_id", "client_secret", "refresh_token"])
        || has(&["client_email", "private_key", "subject"])
    {
        return Ok(Secret::new(json.to_string()));
    }
    if has(&["client_email", "private_key"]) {
        return Err(
            CliError::new("a service account has no mailbox of its own: \"subject\" is missing")
                .hint("add \"subject\": \"vendas@example.com\" to its JSON, and let it act for that mailbox: docs/gmail.md"),
        );
    }
    Err(
        CliError::new("that is neither a refresh token with its client nor the JSON key of a service account")
            .hint("docs/gmail.md says where they come from; then: callbell connect gmail --topic TOPIC < gmail.json"),
    )
}

/// One mailbox, and the row of its connection.
struct Mailbox {
    apis: Apis,
    credential: Secret,
    store: Store,
    connection: String,
    topic: Option<String>,
}

impl Mailbox {
    fn told(&self, error: FetchError) -> Failure {
        match error {
            FetchError::Refused(why) => Failure::other(
                format!("Google refuses: {why}"),
                format!(
                    "is the Gmail API enabled in the project, is the credential for gmail.readonly, and are the steps done (docs/gmail.md)? A refresh token of an app in testing dies after a week; another credential: callbell secrets set {} --api",
                    self.connection
                ),
            ),
            FetchError::Missing(what) => Failure::other(
                format!("Google knows no such thing (404): {what}"),
                "are the steps above done? The topic's project is the one of the credential",
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
            WatchError::Store(error) => Mailbox::stored(&error),
        }
    }

    async fn row(&self) -> Result<Option<MailboxRow>, Failure> {
        let row = self.store.mailbox(&self.connection).await;
        row.map_err(|error| Mailbox::stored(&error))
    }

    async fn watch(&self, new: &New<'_>) -> Result<(), Failure> {
        let topic = self.topic.as_deref().ok_or_else(|| {
            Failure::other(
                "which topic?",
                "--topic projects/PROJECT/topics/NAME is missing",
            )
        })?;
        let wanted = Watch {
            connection: &self.connection,
            topic,
            door: new.url,
        };
        let watched = watch(&self.apis, &self.credential, &self.store, wanted).await;
        watched.map(|_| ()).map_err(|error| self.not_watched(error))
    }
}

impl Provider for Mailbox {
    fn scope(&self) -> Option<&str> {
        self.topic.as_deref()
    }

    /// The watch that the row knows: Google does not show it.
    fn hooks(&self) -> Answering<'_, Vec<Hook>> {
        Box::pin(async move {
            let now = self.store.clock().now();
            let described = describe(&self.apis, &self.credential, now).await;
            let described = described.map_err(|error| self.told(error))?;
            let hook = |row: MailboxRow| Hook {
                url: row.door,
                topics: TOPICS.iter().map(|topic| topic.name.to_owned()).collect(),
                off: match row.watched_until {
                    _ if row.address != described.address => Some("another mailbox's".to_owned()),
                    Some(until) if until > now => None,
                    _ => Some("expired".to_owned()),
                },
                scope: Some(row.topic),
                failing: row.failing.map(|(since, why)| format!("{since}: {why}")),
                id: row.address,
            };
            Ok(self.row().await?.map(hook).into_iter().collect())
        })
    }

    fn register<'a>(&'a self, new: &'a New<'a>) -> Answering<'a, ()> {
        Box::pin(self.watch(new))
    }

    /// A watch is prolonged by making it again.
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

    fn steps(&self, new: &New<'_>) -> Vec<String> {
        let topic = self.topic.as_deref().and_then(GoogleTopic::parse);
        let (Some(topic), Some((email, audience))) = (topic, gmail::expected(new.secret)) else {
            return Vec::new();
        };
        let GoogleTopic { project, name } = topic;
        let account = email.split('@').next().unwrap_or(PUSHER);
        let subscription = format!("callbell-{}", self.connection);
        vec![
            format!(
                "gcloud services enable gmail.googleapis.com pubsub.googleapis.com --project={project}"
            ),
            format!("gcloud pubsub topics create {name} --project={project}"),
            format!(
                "gcloud pubsub topics add-iam-policy-binding {name} --project={project} --member=serviceAccount:{PUBLISHER} --role=roles/pubsub.publisher"
            ),
            format!("gcloud iam service-accounts create {account} --project={project}"),
            format!(
                "gcloud pubsub subscriptions create {subscription} --project={project} --topic={name} --push-endpoint={} --push-auth-service-account={email} --push-auth-token-audience={audience} --ack-deadline={ACK_SECONDS} --expiration-period=never",
                new.url
            ),
            format!(
                "where the subscription is there already: gcloud pubsub subscriptions modify-push-config {subscription} --project={project} --push-endpoint={} --push-auth-service-account={email} --push-auth-token-audience={audience}",
                new.url
            ),
        ]
    }

    fn about(&self) -> Answering<'_, Vec<String>> {
        Box::pin(async move {
            let now = self.store.clock().now();
            let described = describe(&self.apis, &self.credential, now).await;
            let described = described.map_err(|error| self.told(error))?;
            let mut lines = vec![format!("mailbox: {}", described.address)];
            if let Some(row) = self.row().await? {
                if let Some(until) = row.watched_until {
                    let until = until.strftime("%Y-%m-%d %H:%M UTC");
                    lines.push(format!(
                        "watched until {until}; prolonged every day by itself"
                    ));
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
    use crate::connect::System as _;

    #[test]
    fn a_topic_says_who_pushes() {
        let topic = "projects/minha-loja/topics/gmail";
        let options = Options {
            topic: Some(topic.to_owned()),
            ..Options::default()
        };
        let secret = System
            .webhook_secret(Secret::new("random"), &options)
            .unwrap();
        let expected = (
            "callbell-push@minha-loja.iam.gserviceaccount.com".to_owned(),
            "random".to_owned(),
        );
        assert_eq!(gmail::expected(&secret), Some(expected));
        for topic in [
            "gmail",
            "projects/p/topics/",
            "projects/a b/topics/t",
            "projects/p/subscriptions/s",
        ] {
            assert!(GoogleTopic::parse(topic).is_none(), "{topic}");
        }
        let error = System.webhook_secret(Secret::new("random"), &Options::default());
        assert!(error.unwrap_err().to_string().contains("--topic"));
    }

    #[test]
    fn a_service_account_needs_a_mailbox_to_act_for() {
        let error = credential(r#"{"client_email": "a@b", "private_key": "x"}"#).unwrap_err();
        assert!(error.to_string().contains("subject"), "{error}");
        for good in [
            r#"{"client_email": "a@b", "private_key": "x", "subject": "c@d"}"#,
            r#"{"client_id": "a", "client_secret": "b", "refresh_token": "c"}"#,
        ] {
            assert!(credential(good).is_ok(), "{good}");
        }
        assert!(credential("nonsense").is_err());
    }
}
