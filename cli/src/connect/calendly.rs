//! Calendly's webhook subscriptions, with a personal access token. There is no request that changes one:
//! it is deleted and made again. <https://developer.calendly.com/api-docs/c1ddc06ce1f1b-create-webhook-subscription>

use engine::apis::{Apis, Auth, Body, Call, Reply};
use reqwest::Method;
use serde_json::{Value, json};
use shared::event::Name;
use shared::secrets::Secret;

use super::{
    Answering, Asked, Failure, Hook, New, Options, PAGES_MAX, Provider, Topic, ask, settled,
    unexpected,
};
use crate::error::CliError;

const HOST: &str = "api.calendly.com";
const TITLE: &str = "Calendly";
/// Subscriptions a page, the most that Calendly gives.
const PAGE: &str = "100";
/// Whose bookings a subscription tells of.
const SCOPES: [&str; 2] = ["organization", "user"];

/// What Calendly tells of bookings. A reschedule is a cancellation and a new booking, in any order.
const TOPICS: &[Topic] = &[
    Topic {
        name: "invitee.created",
        events: &[Name::AppointmentBooked, Name::AppointmentRescheduled],
        always: true,
    },
    Topic {
        name: "invitee.canceled",
        events: &[Name::AppointmentCancelled, Name::AppointmentRescheduled],
        always: true,
    },
    Topic {
        name: "invitee_no_show.created",
        events: &[Name::AppointmentNoShow],
        always: false,
    },
    Topic {
        name: "invitee_no_show.deleted",
        events: &[Name::AppointmentNoShow],
        always: false,
    },
];

/// The system.
pub(super) struct System;

impl super::System for System {
    fn kind(&self) -> &'static str {
        "calendly"
    }

    fn title(&self) -> &'static str {
        TITLE
    }

    fn topics(&self) -> &'static [Topic] {
        TOPICS
    }

    fn whereabouts(&self) -> &'static str {
        "Calendly: no page shows it. Whoever makes the subscription chooses the signing key: callbell connect calendly\n\
             # makes one; of subscriptions that an OAuth app makes: the key that Calendly showed with the app."
    }

    fn provoke(&self) -> &'static str {
        "book an appointment"
    }

    fn questions(&self) -> &'static [&'static str] {
        &["personal access token (Calendly: Integrations, API & webhooks, Personal access tokens)"]
    }

    fn open(
        &self,
        asked: Asked<'_>,
        credential: &Secret,
        options: &Options,
    ) -> Result<Box<dyn Provider>, CliError> {
        Ok(Box::new(Calendly::new(asked.apis, credential, options)?))
    }
}

/// The API of one account.
struct Calendly {
    apis: Apis,
    token: Secret,
    scope: &'static str,
}

/// Who the token's owner is, as the API's own addresses.
struct Me {
    user: String,
    organization: String,
}

impl Calendly {
    /// # Errors
    /// A scope that there is not.
    fn new(apis: &Apis, token: &Secret, options: &Options) -> Result<Calendly, CliError> {
        let [organization, _] = SCOPES;
        let scope = match options.scope.as_deref() {
            None => organization,
            Some(asked) => SCOPES.into_iter().find(|scope| *scope == asked).ok_or_else(|| {
                CliError::new(format!("Calendly has no scope \"{asked}\""))
                    .hint("--scope organization tells of everybody's bookings, --scope user of your own")
            })?,
        };
        Ok(Calendly {
            apis: apis.clone(),
            token: token.clone(),
            scope,
        })
    }

    async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Reply, Failure> {
        let call = Call {
            method,
            host: HOST,
            path,
            query,
            auth: Auth::Bearer(self.token.expose()),
            body: body.map_or(Body::None, Body::Json),
        };
        settled(TITLE, ask(TITLE, &self.apis, &call).await?)
    }

    /// `GET /users/me`.
    async fn me(&self) -> Result<Me, Failure> {
        let reply = self.call(Method::GET, &["users", "me"], &[], None).await?;
        let json = reply.json();
        let text = |name: &str| {
            let found = json.pointer(&format!("/resource/{name}"));
            found.and_then(Value::as_str).map(str::to_owned)
        };
        match (text("uri"), text("current_organization")) {
            (Some(user), Some(organization)) if reply.is_success() => Ok(Me { user, organization }),
            _ => Err(unexpected(TITLE, &reply)),
        }
    }

    /// `GET /webhook_subscriptions` of one scope, all pages.
    async fn list(&self, me: &Me, scope: &str) -> Result<Vec<Hook>, Failure> {
        let mut hooks = Vec::new();
        let mut page: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut query = vec![
                ("organization", me.organization.clone()),
                ("scope", scope.to_owned()),
                ("count", PAGE.to_owned()),
            ];
            if scope != self.organization() {
                query.push(("user", me.user.clone()));
            }
            query.extend(page.map(|token| ("page_token", token)));
            let path = ["webhook_subscriptions"];
            let reply = self.call(Method::GET, &path, &query, None).await?;
            if !reply.is_success() {
                return Err(self.refused(&reply));
            }
            let json = reply.json();
            let list = json.get("collection").and_then(Value::as_array);
            hooks.extend(list.into_iter().flatten().filter_map(hook));
            let next = json.pointer("/pagination/next_page_token");
            page = next.and_then(Value::as_str).map(str::to_owned);
            if page.is_none() {
                break;
            }
        }
        Ok(hooks)
    }

    fn organization(&self) -> &'static str {
        let [organization, _] = SCOPES;
        organization
    }

    /// A 403 is about the plan, or about the person.
    fn refused(&self, reply: &Reply) -> Failure {
        if reply.status != 403 {
            return unexpected(TITLE, reply);
        }
        let json = reply.json();
        let message = json.get("message").and_then(Value::as_str);
        if message.is_some_and(|text| text.to_lowercase().contains("upgrade")) {
            return Failure::other(
                "Calendly's free plan has no webhooks (403)",
                "they come with the plan Standard; without one, connect the Google calendar that Calendly writes to: callbell connect google-calendar",
            );
        }
        let todo = if self.scope == self.organization() {
            "the token of an owner or admin tells of everybody's bookings; --scope user tells of your own"
        } else {
            "does the token have the scopes to read users and to write webhooks?"
        };
        Failure::other("Calendly does not allow this token to do that (403)", todo)
    }
}

impl Provider for Calendly {
    fn scope(&self) -> Option<&str> {
        Some(self.scope)
    }

    fn hooks(&self) -> Answering<'_, Vec<Hook>> {
        Box::pin(async move {
            let me = self.me().await?;
            let mut hooks = Vec::new();
            for scope in SCOPES {
                match self.list(&me, scope).await {
                    Ok(found) => hooks.extend(found),
                    // The other scope is looked at for doubles alone.
                    Err(error) if scope == self.scope => return Err(error),
                    Err(_) => {}
                }
            }
            Ok(hooks)
        })
    }

    fn register<'a>(&'a self, new: &'a New<'a>) -> Answering<'a, ()> {
        Box::pin(async move {
            let me = self.me().await?;
            let mut body = json!({
                "url": new.url, "events": new.topics, "organization": me.organization,
                "scope": self.scope, "signing_key": new.secret.expose(),
            });
            if self.scope != self.organization()
                && let Some(fields) = body.as_object_mut()
            {
                fields.insert("user".to_owned(), Value::from(me.user));
            }
            let path = ["webhook_subscriptions"];
            let reply = self.call(Method::POST, &path, &[], Some(&body)).await?;
            if reply.is_success() {
                Ok(())
            } else {
                Err(self.refused(&reply))
            }
        })
    }

    fn remove<'a>(&'a self, id: &'a str) -> Answering<'a, ()> {
        Box::pin(async move {
            let path = ["webhook_subscriptions", id];
            let reply = self.call(Method::DELETE, &path, &[], None).await?;
            match reply.status {
                404 => Ok(()),
                _ if reply.is_success() => Ok(()),
                _ => Err(self.refused(&reply)),
            }
        })
    }
}

fn hook(json: &Value) -> Option<Hook> {
    let text = |name: &str| json.get(name).and_then(Value::as_str);
    let off = match text("state") {
        Some("active") => None,
        Some(other) => Some(other.to_owned()),
        None => Some("no state".to_owned()),
    };
    Some(Hook {
        id: text("uri")?.rsplit('/').next()?.to_owned(),
        url: text("callback_url")?.to_owned(),
        topics: super::texts(json.get("events")),
        off,
        scope: text("scope").map(str::to_owned),
        failing: text("retry_started_at").map(str::to_owned),
    })
}
