//! The action `slack`: one line in a channel.
//!
//! Without a channel it goes by an incoming webhook: the secret is its address,
//! `https://hooks.slack.com/services/…`, and the channel was chosen when that was made. With a channel it
//! goes by `chat.postMessage`: the secret is the bot's token, `xoxb-…`, and the bot has to be in the
//! channel. <https://api.slack.com/messaging/webhooks>, <https://api.slack.com/methods/chat.postMessage>
//!
//! An incoming webhook has no key by which Slack could tell a repeat: where its answer was lost, the line
//! may stand there twice. `chat.postMessage` is given the job's number as `client_msg_id`, by which Slack
//! may know a repeat; it does not promise to, so a line may double there too.

use reqwest::{Method, Url};
use serde_json::{Value, json};
use shared::secrets::Secret;

use super::deed::{ActError, Desk, Done};
use crate::apis::{Auth, Body, Call, Reply};

/// Where incoming webhooks are.
const HOOK_HOSTS: [&str; 2] = ["hooks.slack.com", "hooks.slack-gov.com"];
/// The Web API.
const HOST: &str = "slack.com";
/// Longest code of an error that is repeated, in characters.
const CODE_CHARS_MAX: usize = 40;
/// Hex digits of a job's number: as many as a UUID has.
const JOB_DIGITS: usize = 32;

/// Codes that say that the secret is no good, or may not do this.
const REFUSED: [&str; 19] = [
    "access_denied",
    "account_inactive",
    "action_prohibited",
    "ekm_access_denied",
    "enterprise_is_restricted",
    "invalid_auth",
    "invalid_token",
    "missing_scope",
    "no_active_hooks",
    "no_permission",
    "no_service",
    "no_service_id",
    "no_team",
    "not_allowed_token_type",
    "not_authed",
    "org_login_required",
    "team_disabled",
    "token_expired",
    "token_revoked",
];
/// Codes that say: less often.
const LIMITED: [&str; 4] = [
    "message_limit_exceeded",
    "rate_limited",
    "ratelimited",
    "team_quota_exceeded",
];
/// Codes that say: later.
const LATER: [&str; 8] = [
    "duplicate_channel_not_found",
    "duplicate_message_not_found",
    "fatal_error",
    "internal_error",
    "request_timeout",
    "rollup_error",
    "service_unavailable",
    "team_added_to_org",
];

/// A line for Slack.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    /// Slack's own markup; what was interpolated is [`escape`]d already.
    pub text: &'a str,
    /// `#name` or an id; `None`: the incoming webhook's own.
    pub channel: Option<&'a str>,
}

/// A value as Slack shows it and does not act upon it: a customer's `<!channel>` calls nobody.
/// <https://api.slack.com/reference/surfaces/formatting#escaping>
pub fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Posts the line, once a secret that Slack does not refuse.
///
/// # Errors
/// [`ActError`].
pub async fn post(desk: Desk<'_>, line: Line<'_>) -> Result<Done, ActError> {
    if line.text.trim().is_empty() {
        return Ok(Done::Skipped("the text is blank".to_owned()));
    }
    let mut refused = ActError::Refused("there is no API secret".to_owned());
    for secret in desk.secrets {
        let posted = match line.channel {
            None => by_webhook(desk, secret, line.text).await,
            Some(channel) => by_bot(desk, secret, channel, line.text).await,
        };
        match posted {
            Err(error @ ActError::Refused(_)) => refused = error,
            other => return other,
        }
    }
    Err(refused)
}

async fn by_webhook(desk: Desk<'_>, secret: &Secret, text: &str) -> Result<Done, ActError> {
    let none = || {
        let why = "the secret is no address of an incoming webhook; a bot's token needs a channel";
        ActError::Refused(why.to_owned())
    };
    let url = hook(secret.expose()).ok_or_else(none)?;
    let path: Vec<&str> = url.path_segments().ok_or_else(none)?.collect();
    let body = json!({ "text": text });
    let call = Call {
        method: Method::POST,
        host: url.host_str().unwrap_or_default(),
        path: &path,
        query: &[],
        auth: Auth::None,
        body: Body::Json(&body),
    };
    let reply = desk.apis.call(&call).await?;
    let said = std::str::from_utf8(&reply.body).unwrap_or_default().trim();
    if reply.is_success() && said == "ok" {
        return Ok(posted(None));
    }
    Err(failure(&reply, word(said)))
}

/// The address of an incoming webhook, and no other.
fn hook(secret: &str) -> Option<Url> {
    let url = Url::parse(secret.trim()).ok()?;
    let known = HOOK_HOSTS
        .iter()
        .any(|host| url.host_str() == Some(*host) && url.port().is_none());
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let good = url.scheme() == "https" && url.path().starts_with("/services/");
    (known && plain && good).then_some(url)
}

async fn by_bot(
    desk: Desk<'_>,
    secret: &Secret,
    channel: &str,
    text: &str,
) -> Result<Done, ActError> {
    let token = secret.expose().trim();
    if !token.starts_with("xox") {
        let why = "the secret is no bot's token: it begins with xoxb-";
        return Err(ActError::Refused(why.to_owned()));
    }
    let mut body = json!({ "channel": channel, "text": text, "unfurl_links": false });
    if let (Some(fields), Some(id)) = (body.as_object_mut(), message_id(desk.job)) {
        fields.insert("client_msg_id".to_owned(), json!(id));
    }
    let call = Call {
        method: Method::POST,
        host: HOST,
        path: &["api", "chat.postMessage"],
        query: &[],
        auth: Auth::Bearer(token),
        body: Body::Json(&body),
    };
    let reply = desk.apis.call(&call).await?;
    let answer = reply.json();
    if reply.is_success() && answer.get("ok") == Some(&Value::Bool(true)) {
        let id = answer.get("ts").and_then(Value::as_str);
        return Ok(posted(id));
    }
    let code = answer.get("error").and_then(Value::as_str);
    Err(failure(&reply, code.and_then(word)))
}

/// The job's number in the form of a UUID.
fn message_id(job: &str) -> Option<String> {
    let is_hex = job.len() == JOB_DIGITS && job.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex {
        return None;
    }
    let part = |from, to| job.get(from..to);
    Some(format!(
        "{}-{}-{}-{}-{}",
        part(0, 8)?,
        part(8, 12)?,
        part(12, 16)?,
        part(16, 20)?,
        part(20, 32)?
    ))
}

fn posted(id: Option<&str>) -> Done {
    Done::Done {
        id: id.map(str::to_owned),
        what: "posted",
    }
}

/// What an answer means that is no success. Slack's code says it better than its status, which is 200 in
/// most cases.
fn failure(reply: &Reply, code: Option<&str>) -> ActError {
    let Some(code) = code else {
        return match reply.status {
            // 200 without a word of Slack's: a proxy's page.
            200..=399 => ActError::Unavailable(format!("Slack {} without an answer", reply.status)),
            _ => ActError::of("Slack", reply, None),
        };
    };
    let why = format!("Slack: {code}");
    if REFUSED.contains(&code) {
        ActError::Refused(why)
    } else if LIMITED.contains(&code) || reply.status == 429 {
        let retry_after = reply.retry_after;
        ActError::Limited { why, retry_after }
    } else if LATER.contains(&code) || reply.status >= 500 {
        ActError::Unavailable(why)
    } else {
        ActError::Rejected(why)
    }
}

/// One of Slack's codes, where it is one: nothing else of an answer is repeated.
fn word(text: &str) -> Option<&str> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let good = !text.is_empty() && text.len() <= CODE_CHARS_MAX && text.bytes().all(allowed);
    good.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_a_customer_writes_calls_nobody() {
        for (value, expected) in [
            ("Olá", "Olá"),
            ("<!channel> & <@U1>", "&lt;!channel&gt; &amp; &lt;@U1&gt;"),
            ("&lt;", "&amp;lt;"),
        ] {
            assert_eq!(escape(value), expected);
        }
    }

    #[test]
    fn only_slack_s_own_addresses_are_incoming_webhooks() {
        for (secret, expected) in [
            ("https://hooks.slack.com/services/T0/B0/x", true),
            (" https://hooks.slack-gov.com/services/T0/B0/x\n", true),
            ("http://hooks.slack.com/services/T0/B0/x", false),
            (
                "https://hooks.slack.com.evil.example/services/T0/B0/x",
                false,
            ),
            (
                "https://hooks.slack.com@evil.example/services/T0/B0/x",
                false,
            ),
            ("https://hooks.slack.com:8443/services/T0/B0/x", false),
            ("https://hooks.slack.com/other", false),
            ("https://169.254.169.254/services/x", false),
            ("xoxb-1-2-x", false),
        ] {
            assert_eq!(hook(secret).is_some(), expected, "{secret}");
        }
    }

    #[test]
    fn a_code_says_what_to_do_next() {
        let failure = |status, code| {
            let reply = Reply {
                status,
                retry_after: Some(Duration::from_secs(7)),
                headers: reqwest::header::HeaderMap::new(),
                body: Vec::new(),
            };
            failure(&reply, word(code))
        };
        let rejected = |why: &str| ActError::Rejected(why.to_owned());
        let refused = |why: &str| ActError::Refused(why.to_owned());
        let later = |why: &str| ActError::Unavailable(why.to_owned());
        let limited = |why: &str| ActError::Limited {
            why: why.to_owned(),
            retry_after: Some(Duration::from_secs(7)),
        };
        let rows = [
            (
                200,
                "channel_not_found",
                rejected("Slack: channel_not_found"),
            ),
            (200, "not_in_channel", rejected("Slack: not_in_channel")),
            (200, "is_archived", rejected("Slack: is_archived")),
            (
                410,
                "channel_is_archived",
                rejected("Slack: channel_is_archived"),
            ),
            (400, "invalid_payload", rejected("Slack: invalid_payload")),
            (200, "ratelimited", limited("Slack: ratelimited")),
            (429, "rate_limited", limited("Slack: rate_limited")),
            (200, "invalid_auth", refused("Slack: invalid_auth")),
            (200, "token_revoked", refused("Slack: token_revoked")),
            (404, "no_service", refused("Slack: no_service")),
            (
                403,
                "action_prohibited",
                refused("Slack: action_prohibited"),
            ),
            (200, "internal_error", later("Slack: internal_error")),
            (500, "rollup_error", later("Slack: rollup_error")),
            (200, "<html> Maria", later("Slack 200 without an answer")),
            (401, "", refused("Slack 401")),
            (404, "", rejected("Slack 404")),
            (429, "", limited("Slack 429")),
        ];
        for (status, code, expected) in rows {
            assert_eq!(failure(status, code), expected, "{status} {code}");
        }
    }

    #[test]
    fn a_job_s_number_reads_as_a_uuid() {
        let job = "0123456789abcdef0123456789abcdef";
        let expected = "01234567-89ab-cdef-0123-456789abcdef";
        assert_eq!(message_id(job).as_deref(), Some(expected));
        assert_eq!(message_id("job"), None);
    }
}
