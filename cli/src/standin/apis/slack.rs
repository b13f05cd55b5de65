//! Slack's incoming webhooks and `chat.postMessage`. <https://api.slack.com/messaging/webhooks>,
//! <https://api.slack.com/methods/chat.postMessage>
//!
//! A webhook or a token with `revoked` in it is none, a webhook with `archived` leads to an archived channel.
//! The channels are `#geral`, `#leads` and every id; the bot is not in `#diretoria`, and `#antigo` is
//! archived.

use std::sync::{Mutex, PoisonError};

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::room::{bearer, text};
use super::{Api, Reply, Request};

const HOOKS: [&str; 2] = ["hooks.slack.com", "hooks.slack-gov.com"];
const HOST: &str = "slack.com";
/// Most characters of a text.
const TEXT_CHARS_MAX: usize = 40_000;

/// The stand-in.
#[derive(Debug, Default)]
pub struct Slack(Mutex<Vec<Value>>);

impl Slack {
    /// Every line, oldest first: `{"channel", "text"}`; a webhook's own channel is null.
    pub fn lines(&self) -> Vec<Value> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn push(&self, channel: Option<&str>, text: &str) -> usize {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(json!({ "channel": channel, "text": text }));
        lines.len()
    }

    fn by_webhook(&self, request: &Request) -> Reply {
        let plain = |status, word: &str| Reply::new(status, json!(word));
        let path = request.path.join("/");
        if !path.starts_with("services/") || path.contains("revoked") {
            return plain(404, "no_service");
        }
        if path.contains("archived") {
            return plain(410, "channel_is_archived");
        }
        if !request.body.is_object() {
            return plain(400, "invalid_payload");
        }
        match text(&request.body, "text") {
            "" => plain(400, "no_text"),
            line => {
                self.push(None, line);
                plain(200, "ok")
            }
        }
    }

    /// 200, whatever happens.
    fn by_bot(&self, request: &Request, now: Timestamp) -> Reply {
        let channel = text(&request.body, "channel");
        let line = text(&request.body, "text");
        let problem = match bearer(request) {
            None => Some("not_authed"),
            Some(token) if !token.starts_with("xoxb-") => Some("invalid_auth"),
            Some(token) if token.contains("revoked") => Some("token_revoked"),
            Some(_) => match channel {
                "#geral" | "#leads" => None,
                "#diretoria" => Some("not_in_channel"),
                "#antigo" => Some("is_archived"),
                id if id.starts_with('C') => None,
                _ => Some("channel_not_found"),
            },
        };
        let long = line.chars().count() > TEXT_CHARS_MAX;
        let problem = problem
            .or(long.then_some("msg_too_long"))
            .or(line.is_empty().then_some("no_text"));
        if let Some(error) = problem {
            return Reply::new(200, json!({ "ok": false, "error": error }));
        }
        let number = self.push(Some(channel), line);
        let ts = format!("{}.{number:06}", now.as_second());
        Reply::new(200, json!({ "ok": true, "channel": "C0", "ts": ts }))
    }
}

impl Api for Slack {
    fn name(&self) -> &'static str {
        "slack"
    }

    fn is_at(&self, host: &str) -> bool {
        host == HOST || HOOKS.contains(&host)
    }

    fn failure(&self, status: u16) -> Reply {
        let word = match status {
            401 => "invalid_auth",
            403 => "action_prohibited",
            404 => "channel_not_found",
            429 => "ratelimited",
            _ => "internal_error",
        };
        Reply::new(status, json!({ "ok": false, "error": word }))
    }

    fn answer(&self, request: &Request, now: Timestamp) -> Reply {
        if request.method != Method::POST {
            return Reply::new(404, json!("no_service"));
        }
        if HOOKS.contains(&request.host.as_str()) {
            return self.by_webhook(request);
        }
        match request.parts().as_slice() {
            ["api", "chat.postMessage"] => self.by_bot(request, now),
            _ => Reply::new(200, json!({ "ok": false, "error": "unknown_method" })),
        }
    }
}
