//! Zendesk's webhooks, with an admin's API token. A webhook has several topics, and a secret of Zendesk's making
//! that is there once the webhook is: so it is registered inactive, and posts once its secret is kept.
//! <https://developer.zendesk.com/api-reference/webhooks/webhooks-api/webhooks/>

use engine::apis::{Apis, Auth, Body, Call, Reply};
use reqwest::Method;
use serde_json::{Value, json};
use shared::event::Name;
use shared::secrets::Secret;

use super::{
    Answering, Asked, Failure, Hook, New, Options, PAGES_MAX, Provider, SecretOf, Topic, ask,
    settled, unexpected,
};
use crate::error::CliError;

const TITLE: &str = "Zendesk";
const DOMAIN: &str = ".zendesk.com";
/// Webhooks a page, the most that Zendesk gives.
const PAGE: &str = "100";
/// What our webhooks are called in the account's list.
const NAME: &str = "callbell-serverless";
const ACTIVE: &str = "active";
/// What a webhook that is new waits as.
const INACTIVE: &str = "inactive";

const TOPICS: &[Topic] = &[
    Topic {
        name: "zen:event-type:user.created",
        events: &[Name::LeadCreated],
        always: true,
    },
    // A phone that comes later is no change of the user, but a new identity.
    Topic {
        name: "zen:event-type:user.identity_created",
        events: &[Name::LeadUpdated],
        always: false,
    },
];

/// The system.
pub(super) struct System;

impl super::System for System {
    fn kind(&self) -> &'static str {
        "zendesk"
    }

    fn title(&self) -> &'static str {
        TITLE
    }

    fn topics(&self) -> &'static [Topic] {
        TOPICS
    }

    fn whereabouts(&self) -> &'static str {
        "Zendesk: the webhook's signing secret, which Zendesk makes: callbell connect zendesk fetches it."
    }

    fn provoke(&self) -> &'static str {
        "add an end user there"
    }

    fn questions(&self) -> &'static [&'static str] {
        &[
            "subdomain (minha-empresa of minha-empresa.zendesk.com)",
            "e-mail address of an admin",
            "API token (Zendesk: Admin Center, Apps and integrations, APIs, API tokens)",
        ]
    }

    fn credential(&self, answers: &[String]) -> Result<Secret, CliError> {
        match answers {
            [subdomain, email, token, ..] => {
                let json = json!({ "subdomain": subdomain, "email": email, "token": token });
                Ok(Secret::new(json.to_string()))
            }
            _ => Err(wrong()),
        }
    }

    fn open(
        &self,
        asked: Asked<'_>,
        credential: &Secret,
        _options: &Options,
    ) -> Result<Box<dyn Provider>, CliError> {
        Ok(Box::new(Zendesk::new(asked, credential)?))
    }
}

/// The API of one account.
struct Zendesk {
    apis: Apis,
    /// The connection's name, which is part of what a webhook is called.
    connection: String,
    host: String,
    /// `None`: the token is one of OAuth.
    user: Option<String>,
    token: Secret,
}

fn wrong() -> CliError {
    CliError::new("the credential of Zendesk is JSON: {\"subdomain\", \"email\", \"token\"}")
        .hint("callbell secrets set zendesk --api; the token is of Admin Center, Apps and integrations, APIs")
}

/// The account's host: somebody may have written the whole of it.
fn host(subdomain: &str) -> Option<String> {
    let name = subdomain.trim().trim_start_matches("https://");
    let name = name.trim_end_matches('/').trim_end_matches(DOMAIN);
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let is_name = !name.is_empty() && name.chars().all(good);
    is_name.then(|| format!("{name}{DOMAIN}").to_ascii_lowercase())
}

impl Zendesk {
    /// # Errors
    /// The credential is none.
    fn new(asked: Asked<'_>, credential: &Secret) -> Result<Zendesk, CliError> {
        let json: Value = serde_json::from_str(credential.expose()).map_err(|_| wrong())?;
        let text = |name: &str| json.get(name).and_then(Value::as_str);
        let (Some(host), Some(token)) = (text("subdomain").and_then(host), text("token")) else {
            return Err(wrong());
        };
        Ok(Zendesk {
            apis: asked.apis.clone(),
            connection: asked.connection.to_owned(),
            host,
            user: text("email").map(|email| format!("{email}/token")),
            token: Secret::new(token),
        })
    }

    async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Reply, Failure> {
        let path = [&["api", "v2", "webhooks"], path].concat();
        let token = self.token.expose();
        let call = Call {
            method,
            host: &self.host,
            path: &path,
            query,
            auth: match &self.user {
                Some(user) => Auth::Basic(user, token),
                None => Auth::Bearer(token),
            },
            body: body.map_or(Body::None, Body::Json),
        };
        settled(TITLE, ask(TITLE, &self.apis, &call).await?)
    }

    fn body(&self, new: &New<'_>, status: &str) -> Value {
        json!({ "webhook": {
            "name": format!("{NAME} ({})", self.connection), "status": status, "endpoint": new.url,
            "http_method": "POST", "request_format": "json", "subscriptions": new.topics,
        } })
    }

    async fn done(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<(), Failure> {
        let is_removal = method == Method::DELETE;
        let reply = self.call(method, path, &[], body).await?;
        match reply.status {
            404 if is_removal => Ok(()),
            _ if reply.is_success() => Ok(()),
            _ => Err(refused(&reply)),
        }
    }
}

impl Provider for Zendesk {
    fn secret(&self) -> SecretOf {
        SecretOf::Made
    }

    fn hooks(&self) -> Answering<'_, Vec<Hook>> {
        Box::pin(async move {
            let mut hooks = Vec::new();
            let mut page: Option<String> = None;
            for _ in 0..PAGES_MAX {
                let mut query = vec![("page[size]", PAGE.to_owned())];
                query.extend(page.map(|cursor| ("page[after]", cursor)));
                let reply = self.call(Method::GET, &[], &query, None).await?;
                if !reply.is_success() {
                    return Err(refused(&reply));
                }
                let json = reply.json();
                let list = json.get("webhooks").and_then(Value::as_array);
                hooks.extend(list.into_iter().flatten().filter_map(hook));
                let more = json.pointer("/meta/has_more").and_then(Value::as_bool);
                let next = json.pointer("/meta/after_cursor").and_then(Value::as_str);
                page = next.filter(|_| more == Some(true)).map(str::to_owned);
                if page.is_none() {
                    break;
                }
            }
            Ok(hooks)
        })
    }

    fn register<'a>(&'a self, new: &'a New<'a>) -> Answering<'a, ()> {
        let body = self.body(new, INACTIVE);
        Box::pin(async move { self.done(Method::POST, &[], Some(&body)).await })
    }

    /// It stays the same webhook with the same secret, which is kept already.
    fn replace<'a>(&'a self, id: &'a str, new: &'a New<'a>) -> Answering<'a, ()> {
        let body = self.body(new, ACTIVE);
        Box::pin(async move { self.done(Method::PUT, &[id], Some(&body)).await })
    }

    fn remove<'a>(&'a self, id: &'a str) -> Answering<'a, ()> {
        Box::pin(async move { self.done(Method::DELETE, &[id], None).await })
    }

    fn made<'a>(&'a self, id: &'a str) -> Answering<'a, Option<Secret>> {
        Box::pin(async move {
            let path = [id, "signing_secret"];
            let reply = self.call(Method::GET, &path, &[], None).await?;
            let json = reply.json();
            let secret = json.pointer("/signing_secret/secret");
            match secret.and_then(Value::as_str).filter(|one| !one.is_empty()) {
                Some(secret) if reply.is_success() => Ok(Some(Secret::new(secret))),
                _ => Err(refused(&reply)),
            }
        })
    }

    fn start<'a>(&'a self, id: &'a str) -> Answering<'a, ()> {
        let body = json!({ "webhook": { "status": ACTIVE } });
        Box::pin(async move { self.done(Method::PATCH, &[id], Some(&body)).await })
    }
}

/// Webhooks are an admin's.
fn refused(reply: &Reply) -> Failure {
    if reply.status == 403 {
        return Failure::other(
            "Zendesk does not allow this user to manage webhooks (403)",
            "the e-mail address and the token have to be an admin's",
        );
    }
    unexpected(TITLE, reply)
}

fn hook(json: &Value) -> Option<Hook> {
    let text = |name: &str| json.get(name).and_then(Value::as_str);
    let topics = super::texts(json.get("subscriptions"));
    Some(Hook {
        id: text("id")?.to_owned(),
        url: text("endpoint")?.to_owned(),
        // Some lists have a slash where others have a colon.
        topics: topics
            .into_iter()
            .map(|topic| topic.replace("event-type/", "event-type:"))
            .collect(),
        off: text("status")
            .filter(|status| *status != ACTIVE)
            .map(str::to_owned),
        scope: None,
        failing: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subdomain_is_written_in_several_ways() {
        for text in [
            "minha-empresa",
            " Minha-Empresa.zendesk.com",
            "https://minha-empresa.zendesk.com/",
        ] {
            assert_eq!(
                host(text).as_deref(),
                Some("minha-empresa.zendesk.com"),
                "{text}"
            );
        }
        for text in ["", "a.b", "evil.com#", "a/b", "a@b"] {
            assert_eq!(host(text), None, "{text}");
        }
    }
}
