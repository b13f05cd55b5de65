//! The Callbell API client: one request, one timeout, no hidden retry.
//!
//! Callbell has no idempotency key, so a repeated `POST /messages/send` is a second message. Nothing
//! here repeats a request, follows a redirect, or reuses an idle connection: a reset on a connection
//! that went stale while a Lambda environment was frozen could not be told from a lost answer. What a
//! request came to is an [`Outcome`]; deciding what happens next is the job's business.
//!
//! **Surely not sent, or unknown?** The time for connecting (name, TCP, TLS) is limited by itself and
//! below the whole limit, so every failure before the connection stands is reported as a connection
//! failure, and not one byte of the request has left. After that nothing is certain: the system
//! accepts bytes for a peer that is already gone, and a peer that closes at once may have read all of
//! it. So every other failure is unknown.

mod contacts;
mod outcome;
mod types;

use std::fmt;

use reqwest::{Method, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Serialize};
use serde_json::Value;
use shared::secrets::Secret;

pub use contacts::BotStatus;
pub use outcome::{CallError, Hold, Outcome};
pub use types::{
    ChannelInfo, Contact, ContactBody, Content, Delivery, Funnel, HistoryMessage, Me,
    MessageStatus, Page, SendMessage, Team, TemplateInfo,
};

use outcome::{Answer, Lost};

use crate::http::{ClientError, client, is_allowed, retry_after};

pub use crate::http::{CONNECT_TIMEOUT, Limits, REQUEST_TIMEOUT};

/// Where Callbell is.
pub const BASE_URL: &str = "https://api.callbell.eu/v1";
/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Most pages of one list.
const PAGES_MAX: u32 = 50;
/// Deliveries of a page that are asked for.
const DELIVERIES_A_PAGE: u32 = 100;

/// Why no client can be made of the given settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Neither https nor loopback.
    #[error("the address of Callbell's API must be https, or http on this machine")]
    Address,
    /// The token holds what no header may.
    #[error("the Callbell token holds characters that no token has")]
    Token,
    /// TLS could not be set up.
    #[error("the HTTP client cannot be made")]
    Client,
}

/// The client of one Callbell account. Cheap to clone; clones share the HTTP client.
#[derive(Clone)]
pub struct Callbell {
    http: reqwest::Client,
    base: Url,
    authorization: reqwest::header::HeaderValue,
}

impl fmt::Debug for Callbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callbell")
            .field("base", &self.base.as_str())
            .finish_non_exhaustive()
    }
}

impl Callbell {
    /// A client for the API at `base_url` (see [`BASE_URL`]). Plain http is for loopback alone.
    pub fn new(base_url: &str, token: &Secret) -> Result<Callbell, SetupError> {
        Callbell::with_limits(base_url, token, Limits::default())
    }

    /// [`Callbell::new`] with other time limits.
    pub fn with_limits(
        base_url: &str,
        token: &Secret,
        limits: Limits,
    ) -> Result<Callbell, SetupError> {
        let base = Url::parse(base_url).map_err(|_| SetupError::Address)?;
        if !is_allowed(&base) {
            return Err(SetupError::Address);
        }
        let authorization = authorization(token)?;
        let http = client(limits).map_err(|ClientError| SetupError::Client)?;
        Ok(Callbell {
            http,
            base,
            authorization,
        })
    }

    /// The same account, or another, with another token. What the HTTP client knows of TLS sessions goes
    /// on.
    ///
    /// # Errors
    /// [`SetupError::Token`].
    pub fn with_token(&self, token: &Secret) -> Result<Callbell, SetupError> {
        Ok(Callbell {
            authorization: authorization(token)?,
            ..self.clone()
        })
    }

    /// The HTTP client, for others to share.
    pub fn http(&self) -> reqwest::Client {
        self.http.clone()
    }

    /// Which host it is, for a log line.
    pub fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// `POST /messages/send`, once.
    pub async fn send(&self, message: &SendMessage) -> Outcome {
        let answer = self
            .call(Method::POST, &["messages", "send"], &[], Some(message))
            .await;
        outcome::of_send(answer, &message.echoes())
    }

    /// `GET /contacts/:uuid/messages`: one page, the first is 1, newest first.
    pub async fn messages(
        &self,
        contact: &str,
        page: u32,
    ) -> Result<Page<HistoryMessage>, CallError> {
        self.page(&["contacts", contact, "messages"], "messages", page)
            .await
    }

    /// `GET /teams`.
    pub async fn teams(&self) -> Result<Vec<Team>, CallError> {
        self.all(&["teams"], "teams").await
    }

    /// `GET /channels`.
    pub async fn channels(&self) -> Result<Vec<ChannelInfo>, CallError> {
        self.all(&["channels"], "channels").await
    }

    /// `GET /templates`.
    pub async fn templates(&self) -> Result<Vec<TemplateInfo>, CallError> {
        self.all(&["templates"], "templates").await
    }

    /// `GET /auth/me`: whether the token is good, and whose it is.
    pub async fn me(&self) -> Result<Me, CallError> {
        let json = self
            .get(&["auth", "me"], &[])
            .await?
            .ok_or_else(|| unreadable("auth/me"))?;
        serde_json::from_value(json).map_err(|_| unreadable("auth/me"))
    }

    /// `GET /webhooks/events`: one page of the account's log of deliveries, newest first; the first is 1.
    /// `failed`: of those alone that got no 200. `None`: there is no webhook.
    pub async fn deliveries(
        &self,
        failed: bool,
        page: u32,
    ) -> Result<Option<Page<Delivery>>, CallError> {
        let mut query = vec![
            ("page", page.to_string()),
            ("items", DELIVERIES_A_PAGE.to_string()),
        ];
        if failed {
            query.push(("status", "failed".to_owned()));
        }
        let json = self.get(&["webhooks", "events"], &query).await?;
        json.map(|json| read_page(&json, "webhook_events", page))
            .transpose()
    }

    /// `POST /webhooks/subscribe`: the account's one webhook goes there from now on, and nowhere else.
    pub async fn subscribe(&self, url: &str, events: &[&str]) -> Result<(), CallError> {
        let body = serde_json::json!({ "url": url, "subscriptions": events });
        let path = ["webhooks", "subscribe"];
        let answer = self.call(Method::POST, &path, &[], Some(&body)).await;
        outcome::of_question(answer, &[url]).map(|_| ())
    }

    /// `DELETE /webhooks/unsubscribe`. Without a webhook nothing happens.
    pub async fn unsubscribe(&self) -> Result<(), CallError> {
        let path = ["webhooks", "unsubscribe"];
        let answer = self.call(Method::DELETE, &path, &[], None::<&()>).await;
        outcome::of_question(answer, &[]).map(|_| ())
    }

    /// `GET /messages/status/:uuid`. `None`: no such message.
    pub async fn message_status(&self, uuid: &str) -> Result<Option<MessageStatus>, CallError> {
        match self.get(&["messages", "status", uuid], &[]).await? {
            Some(json) => {
                let message = json.get("message").unwrap_or(&json);
                types::one(message).map_err(|_| unreadable("message"))
            }
            None => Ok(None),
        }
    }

    async fn get(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<Option<Value>, CallError> {
        outcome::of_question(self.call(Method::GET, path, query, None::<&()>).await, &[])
    }

    async fn all<T: DeserializeOwned>(
        &self,
        path: &[&str],
        key: &str,
    ) -> Result<Vec<T>, CallError> {
        let mut items = Vec::new();
        for number in 1..=PAGES_MAX {
            let page = self.page(path, key, number).await?;
            let empty = page.items.is_empty();
            items.extend(page.items);
            if empty || !page.more {
                break;
            }
        }
        Ok(items)
    }

    async fn page<T: DeserializeOwned>(
        &self,
        path: &[&str],
        key: &str,
        page: u32,
    ) -> Result<Page<T>, CallError> {
        let query = [("page", page.to_string())];
        let json = self
            .get(path, &query)
            .await?
            .ok_or_else(|| unreadable(key))?;
        read_page(&json, key, page)
    }

    /// The one place where a request leaves.
    async fn call<B: Serialize>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&B>,
    ) -> Result<Answer, Lost> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self
            .http
            .request(method, url)
            .header(reqwest::header::AUTHORIZATION, self.authorization.clone())
            .header(reqwest::header::ACCEPT, "application/json");
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut response = request.send().await.map_err(|error| lost(&error))?;
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers());
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_BYTES_MAX => {
                    body.extend_from_slice(&chunk);
                }
                Ok(None) => {
                    return Ok(Answer {
                        status,
                        retry_after,
                        body,
                    });
                }
                Ok(Some(_)) | Err(_) => {
                    return Err(Lost::Truncated {
                        status,
                        retry_after,
                    });
                }
            }
        }
    }
}

fn authorization(token: &Secret) -> Result<reqwest::header::HeaderValue, SetupError> {
    let mut value = reqwest::header::HeaderValue::try_from(format!("Bearer {}", token.expose()))
        .map_err(|_| SetupError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

/// One page of a list that is called `key`.
fn read_page<T: DeserializeOwned>(
    json: &Value,
    key: &str,
    page: u32,
) -> Result<Page<T>, CallError> {
    let list = json.get(key).unwrap_or(json);
    let items = Vec::<T>::deserialize(list).map_err(|_| unreadable(key))?;
    let pages = json
        .get("meta")
        .and_then(|meta| meta.get("pages"))
        .and_then(Value::as_u64);
    // Some lists come whole and without a count.
    let more = pages.is_some_and(|pages| pages > u64::from(page));
    Ok(Page { items, more })
}

fn unreadable(what: &str) -> CallError {
    CallError::Unreadable(what.to_owned())
}

/// See the module's page: only what reqwest reports as a connection failure surely left nothing.
fn lost(error: &reqwest::Error) -> Lost {
    if error.is_builder() {
        return Lost::NotConnected("the request could not be made".to_owned());
    }
    if error.is_connect() {
        let reason = if error.is_timeout() {
            "no connection to Callbell in time"
        } else {
            "no connection to Callbell"
        };
        return Lost::NotConnected(reason.to_owned());
    }
    let reason = if error.is_timeout() {
        "no answer from Callbell in time"
    } else {
        "Callbell's answer was lost"
    };
    Lost::AfterConnect(reason.to_owned())
}

#[cfg(test)]
mod tests;
