//! Asks a backend, once: with the earlier messages from Callbell's history, within its time, by the secret
//! of its name.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, Url};
use shared::event::Contact;
use shared::secrets::Secret;
use shared::store::RateLease;

use super::{Answer, Burst, Line, ai, http_bot};
use crate::apis::{Outgoing, Reply};
use crate::automations::expr;
use crate::automations::model::{Backend, BackendKind};
use crate::callbell::HistoryMessage;
use crate::delivery::Question;
use crate::fetch::Fetching;

/// Largest answer of a backend that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Most pages of a person's history that are read for a backend.
const HISTORY_PAGES_MAX: u32 = 3;
/// How long the history may take: without it an answer is better than none.
const HISTORY_TIMEOUT: Duration = Duration::from_secs(4);
/// How long between two questions for a place in the send rate.
const RATE_POLL: Duration = Duration::from_millis(250);
/// Clocks differ: a message of the burst may seem that much older in the history.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(5);

/// Whoever answers where no rule does.
pub(super) struct Backends {
    fetching: Fetching,
}

/// What a backend is asked, and around what.
pub(super) struct Asked<'a> {
    pub(super) question: Question<'a>,
    pub(super) backend: &'a Backend,
    pub(super) contact: &'a Contact,
    pub(super) burst: &'a Burst,
    /// The person's language.
    pub(super) locale: &'a str,
    /// Answers before this one.
    pub(super) turns: u32,
    /// How long it may take.
    pub(super) timeout: SignedDuration,
}

impl Backends {
    pub(super) fn new(fetching: Fetching) -> Backends {
        Backends { fetching }
    }

    /// The backend's answer.
    ///
    /// # Errors
    /// Why there is none, in words that repeat nothing of what was asked or answered.
    pub(super) async fn ask(&self, asked: Asked<'_>) -> Result<Answer, String> {
        let history = self.history(&asked).await;
        let secrets = self.fetching.secrets(&asked.backend.secret).await;
        let secrets = secrets.map_err(|error| error.to_string())?;
        let url = Url::parse(&asked.backend.url)
            .map_err(|_| "the backend's url is no address".to_owned())?;
        let answer = async {
            match asked.backend.kind {
                BackendKind::Http => self.ask_bot(&asked, &history, &url, &secrets).await,
                BackendKind::Ai => self.ask_model(&asked, &history, &url, &secrets).await,
            }
        };
        let limit = Duration::try_from(asked.timeout).unwrap_or_default();
        tokio::time::timeout(limit, answer)
            .await
            .unwrap_or_else(|_| Err("the backend did not answer in time".to_owned()))
    }

    async fn ask_bot(
        &self,
        asked: &Asked<'_>,
        history: &[Line],
        url: &Url,
        secrets: &[Secret],
    ) -> Result<Answer, String> {
        let now = asked.question.store.clock().now();
        let question = http_bot::Question {
            reply: asked.question.name,
            contact: asked.contact,
            locale: asked.locale,
            burst: asked.burst,
            history,
            turns: asked.turns,
        };
        let body = http_bot::request(&question, now).to_string();
        let id = asked.question.job.id.as_str();
        let headers = http_bot::headers(id, now, body.as_bytes(), secrets)
            .ok_or("the secret begins with whsec_, which base64 has to follow")?;
        let headers = headers
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let reply = self.post(asked, url, &headers, &body).await?;
        if !reply.is_success() {
            return Err(http_bot::refusal(reply.status));
        }
        let messages = &asked.question.automations.messages;
        http_bot::read(&reply.body, &|name| messages.contains_key(name))
    }

    /// Of several secrets the next is tried where one is refused.
    async fn ask_model(
        &self,
        asked: &Asked<'_>,
        history: &[Line],
        url: &Url,
        secrets: &[Secret],
    ) -> Result<Answer, String> {
        let prompt = asked.backend.prompt.as_ref();
        let prompt = prompt
            .map(|prompt| expr::render(prompt, asked.question.scope))
            .transpose()
            .map_err(|error| format!("the prompt cannot be filled in: {error}"))?;
        let body = ai::request(&ai::Question {
            host: url.host_str().unwrap_or_default(),
            model: asked.backend.model.as_deref().unwrap_or_default(),
            prompt: prompt.as_deref(),
            history,
            burst: asked.burst,
            max_tokens: asked.backend.max_tokens,
        });
        let body = body.to_string();
        let mut refused = Err(format!("no secret called {}", asked.backend.secret));
        for secret in secrets {
            let bearer = format!("Bearer {}", secret.expose());
            let headers = [("authorization", bearer.as_str())];
            let reply = self.post(asked, url, &headers, &body).await?;
            match reply.status {
                200..=299 => return ai::read(&reply.body, secret.expose()),
                401 | 403 => {
                    self.fetching.forget_secrets();
                    refused = Err(ai::refusal(reply.status));
                }
                status => return Err(ai::refusal(status)),
            }
        }
        refused
    }

    async fn post(
        &self,
        asked: &Asked<'_>,
        url: &Url,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Reply, String> {
        let mut all = vec![
            ("accept", "application/json"),
            ("content-type", "application/json"),
        ];
        all.extend_from_slice(headers);
        let outgoing = Outgoing {
            method: Method::POST,
            url,
            headers: &all,
            body: body.as_bytes(),
            answer_bytes_max: ANSWER_BYTES_MAX,
            timeout: Duration::try_from(asked.timeout).ok(),
        };
        let reply = self.fetching.apis().send(&outgoing).await;
        reply.map_err(|error| format!("the backend: {error}"))
    }

    /// Earlier messages, oldest first; none where Callbell does not show them in time.
    async fn history(&self, asked: &Asked<'_>) -> Vec<Line> {
        let wanted = usize::try_from(asked.backend.history).unwrap_or(usize::MAX);
        if wanted == 0 {
            return Vec::new();
        }
        let read = self.read_history(asked, wanted);
        match tokio::time::timeout(HISTORY_TIMEOUT, read).await {
            Ok(Ok(messages)) => before(messages, asked.burst, wanted),
            Ok(Err(reason)) => {
                tracing::warn!(
                    outcome = "history not read",
                    job.id = asked.question.job.id.as_str(),
                    reason
                );
                Vec::new()
            }
            Err(_) => {
                tracing::warn!(
                    outcome = "history not read",
                    job.id = asked.question.job.id.as_str(),
                    reason = "no answer in time"
                );
                Vec::new()
            }
        }
    }

    async fn read_history(
        &self,
        asked: &Asked<'_>,
        wanted: usize,
    ) -> Result<Vec<HistoryMessage>, String> {
        let mut messages = Vec::new();
        for number in 1..=HISTORY_PAGES_MAX {
            place(&asked.question, asked.question.deadline).await?;
            let page = asked
                .question
                .callbell
                .messages(&asked.contact.id, number)
                .await
                .map_err(|error| error.to_string())?;
            messages.extend(page.items);
            if !page.more || before(messages.clone(), asked.burst, wanted).len() >= wanted {
                break;
            }
        }
        Ok(messages)
    }
}

/// Waits for a place in the send rate, which requests to Callbell that are no sends spend too.
///
/// # Errors
/// Why there is none.
pub(super) async fn place(question: &Question<'_>, until: Timestamp) -> Result<(), String> {
    let clock = question.store.clock();
    let rate = question.automations.defaults.rate;
    while clock.now() < until {
        let lease = question.store.lease_rate(1, rate).await;
        match lease.map_err(|error| error.to_string())? {
            RateLease::Paused => return Err("paused".to_owned()),
            RateLease::Tokens { tokens, .. } if tokens > 0 => return Ok(()),
            RateLease::Tokens { .. } => clock.sleep(RATE_POLL).await,
        }
    }
    Err("no place in the send rate".to_owned())
}

/// Of a history, newest first, what came before a burst: the last `wanted`, oldest first. Notes are the
/// team's own business.
fn before(messages: Vec<HistoryMessage>, burst: &Burst, wanted: usize) -> Vec<Line> {
    let (begins, ends) = (burst.begins(), burst.newest().at);
    let mut own: Vec<&str> = burst
        .messages()
        .filter_map(|message| message.text.as_deref().map(str::trim))
        .collect();
    let mut lines = Vec::new();
    for message in messages {
        let theirs = message.status == "received";
        let text = message.text.as_deref().map(str::trim).unwrap_or_default();
        if text.is_empty() || !(theirs || message.status == "sent") {
            continue;
        }
        if theirs && message.created_at > ends + CLOCK_SKEW {
            continue;
        }
        if theirs && message.created_at >= begins - CLOCK_SKEW {
            // One line of the history for each message of the burst.
            if let Some(found) = own.iter().position(|own| *own == text) {
                own.remove(found);
                continue;
            }
        }
        lines.push(Line {
            theirs,
            text: text.to_owned(),
            at: message.created_at,
        });
        if lines.len() == wanted {
            break;
        }
    }
    lines.reverse();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::testing::{at, text};
    use serde_json::json;

    fn message(second: i64, status: &str, text: Option<&str>) -> HistoryMessage {
        serde_json::from_value(json!({
            "uuid": "u", "status": status, "text": text, "createdAt": at(second).to_string(),
        }))
        .unwrap()
    }

    #[test]
    fn the_history_is_what_came_before_the_burst() {
        let burst = Burst::new(vec![text(100, "oi")], text(102, "tudo bem?"));
        let history = || {
            vec![
                message(140, "received", Some("later")),
                message(102, "received", Some(" tudo bem? ")),
                message(101, "note", Some("cuidado com este")),
                message(99, "received", Some("oi")),
                message(98, "received", Some("oi")),
                message(60, "sent", Some("Olá!")),
                message(50, "received", None),
                message(40, "received", Some("oi")),
            ]
        };
        let texts = |wanted| {
            let lines = before(history(), &burst, wanted);
            let line = |line: Line| (line.theirs, line.text);
            lines.into_iter().map(line).collect::<Vec<_>>()
        };
        let (oi, ola) = ((true, "oi".to_owned()), (false, "Olá!".to_owned()));
        assert_eq!(texts(10), [oi.clone(), ola.clone(), oi.clone()]);
        assert_eq!(texts(2), [ola, oi.clone()]);
        assert_eq!(texts(1), [oi]);
    }
}
