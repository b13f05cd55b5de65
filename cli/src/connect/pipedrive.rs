//! Pipedrive's webhooks, with a token of a user: one topic each, in version 2, behind a user and a password of
//! our own. <https://developers.pipedrive.com/docs/api/v1/Webhooks>
//!
//! A list of them shows each password to whoever has the token: it is never printed, and good for nothing
//! else.

use engine::actions::deed::{ActError, Desk};
use engine::actions::pipedrive::{Account, is_credential};
use engine::actions::tokens::Tokens;
use engine::apis::{Apis, Reply};
use reqwest::Method;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::event::Name;
use shared::secrets::Secret;
use shared::sources::pipedrive::user_and_password;

use super::{Answering, Asked, Failure, Hook, New, Options, Provider, Topic, settled, unexpected};
use crate::error::CliError;

const TITLE: &str = "Pipedrive";
/// The version of a webhook's body.
const VERSION: &str = "2.0";
/// What deals bring.
const DEALS: &[Name] = &[Name::DealUpdated, Name::DealWon, Name::DealLost];

/// What Pipedrive tells of persons and deals.
const TOPICS: &[Topic] = &[
    Topic {
        name: "create.person",
        events: &[Name::LeadCreated],
        always: true,
    },
    Topic {
        name: "change.person",
        events: &[Name::LeadUpdated],
        always: false,
    },
    Topic {
        name: "change.deal",
        events: DEALS,
        always: false,
    },
    // Whoever waits for a deal has to hear of its end.
    Topic {
        name: "delete.deal",
        events: DEALS,
        always: false,
    },
];

/// The system.
pub(super) struct System;

impl super::System for System {
    fn kind(&self) -> &'static str {
        "pipedrive"
    }

    fn title(&self) -> &'static str {
        TITLE
    }

    fn topics(&self) -> &'static [Topic] {
        TOPICS
    }

    fn whereabouts(&self) -> &'static str {
        "Pipedrive: user:password, or a password alone (the user is callbell). Whoever makes the webhook chooses it:\n\
             # callbell connect pipedrive makes one."
    }

    fn provoke(&self) -> &'static str {
        "add a person there"
    }

    fn questions(&self) -> &'static [&'static str] {
        &[
            "company domain (minha-empresa, of minha-empresa.pipedrive.com)",
            "API token of an admin (Pipedrive: Personal preferences, API)",
        ]
    }

    fn credential(&self, answers: &[String]) -> Result<Secret, CliError> {
        Ok(match answers {
            [domain, token, ..] => {
                Secret::new(json!({ "domain": domain, "token": token }).to_string())
            }
            _ => Secret::new(answers.concat()),
        })
    }

    fn open(
        &self,
        asked: Asked<'_>,
        credential: &Secret,
        _options: &Options,
    ) -> Result<Box<dyn Provider>, CliError> {
        if !is_credential(credential) {
            return Err(CliError::new(
                "the credential of Pipedrive is a token, or JSON: {\"domain\", \"token\"}",
            )
            .hint("Pipedrive: Personal preferences, API"));
        }
        Ok(Box::new(Pipedrive {
            apis: asked.apis.clone(),
            credential: credential.clone(),
            tokens: Tokens::default(),
            clock: asked.store.clock().clone(),
        }))
    }
}

/// The API of one account.
struct Pipedrive {
    apis: Apis,
    credential: Secret,
    tokens: Tokens,
    clock: Clock,
}

impl Pipedrive {
    async fn call(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Reply, Failure> {
        let mut account = Account::new(Desk {
            apis: &self.apis,
            secrets: std::slice::from_ref(&self.credential),
            tokens: &self.tokens,
            job: "",
            now: self.clock.now(),
        });
        let reply = account.send(method, path, body).await.map_err(unanswered)?;
        settled(TITLE, reply)
    }

    fn good(reply: &Reply) -> Result<(), Failure> {
        match reply.status {
            402 => Err(Failure::other(
                "the account at Pipedrive is not open (402)",
                "Pipedrive: Settings, Billing",
            )),
            403 => Err(Failure::other(
                "Pipedrive does not allow this token to do that (403)",
                "webhooks are an admin's: Pipedrive: Personal preferences, API, as an admin",
            )),
            _ if reply.is_success() => Ok(()),
            _ => Err(unexpected(TITLE, reply)),
        }
    }
}

fn unanswered(error: ActError) -> Failure {
    match error {
        ActError::Refused(_) => Failure::Credential(TITLE),
        ActError::Unavailable(what) | ActError::Limited { why: what, .. } => Failure::other(
            format!("{TITLE} does not answer: {what}"),
            "later again: what was registered meanwhile is recognised",
        ),
        ActError::Rejected(what) => Failure::other(what, ""),
    }
}

impl Provider for Pipedrive {
    fn one_each(&self) -> bool {
        true
    }

    fn hooks(&self) -> Answering<'_, Vec<Hook>> {
        Box::pin(async move {
            let reply = self.call(Method::GET, &["v1", "webhooks"], None).await?;
            Pipedrive::good(&reply)?;
            let json = reply.json();
            let list = json.get("data").and_then(Value::as_array);
            Ok(list.into_iter().flatten().filter_map(hook).collect())
        })
    }

    fn register<'a>(&'a self, new: &'a New<'a>) -> Answering<'a, ()> {
        Box::pin(async move {
            let (user, password) = user_and_password(new.secret);
            for topic in new.topics {
                let (action, object) = topic.split_once('.').unwrap_or((topic, ""));
                let body = json!({
                    "subscription_url": new.url, "event_action": action, "event_object": object,
                    "name": format!("callbell {topic}"), "version": VERSION,
                    "http_auth_user": user, "http_auth_password": password,
                });
                let path = ["v1", "webhooks"];
                let reply = self.call(Method::POST, &path, Some(&body)).await?;
                Pipedrive::good(&reply)?;
            }
            Ok(())
        })
    }

    fn remove<'a>(&'a self, id: &'a str) -> Answering<'a, ()> {
        Box::pin(async move {
            let path = ["v1", "webhooks", id];
            let reply = self.call(Method::DELETE, &path, None).await?;
            match reply.status {
                404 | 410 => Ok(()),
                _ => Pipedrive::good(&reply),
            }
        })
    }

    /// A webhook tells of what its user sees.
    fn about(&self) -> Answering<'_, Vec<String>> {
        Box::pin(async move {
            let path = ["api", "v1", "users", "me"];
            let reply = self.call(Method::GET, &path, None).await?;
            let json = reply.json();
            let admin = json.pointer("/data/is_admin");
            let no = |value: &Value| value == &json!(false) || value == &json!(0);
            let line =
                "the token's user is no admin: of what that user does not see, nothing comes";
            Ok(admin
                .is_some_and(no)
                .then(|| line.to_owned())
                .into_iter()
                .collect())
        })
    }
}

fn hook(json: &Value) -> Option<Hook> {
    let text = |name: &str| json.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |name: &str| json.get(name).and_then(Value::as_i64);
    let is_off = number("is_active") == Some(0) || json.get("is_active") == Some(&json!(false));
    let off = if is_off {
        Some("inactive")
    } else {
        text("http_auth_user")
            .is_empty()
            .then_some("without a password")
    };
    let status = number("last_http_status");
    let fails = status.is_some_and(|status| !(200..300).contains(&status));
    let since = text("last_delivery_time");
    Some(Hook {
        id: number("id")?.to_string(),
        url: json.get("subscription_url")?.as_str()?.to_owned(),
        topics: vec![format!("{}.{}", text("event_action"), text("event_object"))],
        off: off.map(str::to_owned),
        scope: None,
        failing: (fails && !since.is_empty()).then(|| since.to_owned()),
    })
}
