//! What a provider's stand-in posts: webhooks, signed as the provider signs, to this machine alone.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Url;
use serde_json::Value;
use shared::connections::Connection;
use shared::secrets::Secret;
use shared::sources::{self, Unsigned};

/// How long after its registration a webhook's first event comes, in milliseconds: the answer to the
/// registration goes first.
const FIRST_EVENT_MS: u64 = 200;
/// Longest wait for the door's answer, in seconds.
const ANSWER_SECONDS_MAX: u64 = 10;

/// A webhook on its way.
pub(super) struct Webhook {
    /// Whose: `calendly`.
    pub(super) kind: &'static str,
    /// Where to.
    pub(super) url: String,
    /// What it is signed with.
    pub(super) secret: Secret,
    /// Headers beside the signature.
    pub(super) headers: Vec<(&'static str, String)>,
    /// The body.
    pub(super) body: Value,
}

impl Webhook {
    /// Posts it a moment later. What goes to another machine is not posted: nobody asked for that here.
    pub(super) fn post(self, now: Timestamp) {
        let Some(source) = sources::by_kind(self.kind) else {
            return;
        };
        let Some(url) = here(&self.url) else {
            return;
        };
        let body = self.body.to_string().into_bytes();
        let connection = Connection::plain(self.kind);
        let unsigned = Unsigned {
            url: &self.url,
            ..Unsigned::of(&connection, &self.secret, &body, now)
        };
        let mut headers = source.sign(&unsigned);
        let own = self.headers.into_iter();
        headers.extend(own.map(|(name, value)| (name.to_owned(), value)));
        send(url, "application/json", headers, body);
    }
}

/// Posts a form without a signature a moment later, to this machine alone.
pub(super) fn post_form(url: &str, body: String) {
    if let Some(url) = here(url) {
        let kind = "application/x-www-form-urlencoded";
        send(url, kind, Vec::new(), body.into_bytes());
    }
}

fn send(url: Url, kind: &'static str, headers: Vec<(String, String)>, body: Vec<u8>) {
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(FIRST_EVENT_MS)).await;
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(ANSWER_SECONDS_MAX));
        let Ok(client) = client.build() else {
            return;
        };
        let mut request = client.post(url).header("content-type", kind);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        // A door that does not answer has its own log line.
        let _ = request.body(body).send().await;
    });
}

/// An address on this machine.
pub(in crate::standin) fn here(url: &str) -> Option<Url> {
    let url = Url::parse(url).ok()?;
    let local = url.scheme() == "http" && url.host_str() == Some("127.0.0.1");
    local.then_some(url)
}

/// Whether a provider takes this address: https, or this machine in place of it.
pub(in crate::standin) fn takes(url: &str) -> bool {
    here(url).is_some() || Url::parse(url).is_ok_and(|url| url.scheme() == "https")
}
