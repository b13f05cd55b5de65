//! What became of a request, by what the caller does next.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// Most characters of Callbell's own words in a reason.
const REASON_CHARS_MAX: usize = 200;
/// Shorter texts of the request are not looked for in an error: they would blank out ordinary words.
const ECHO_CHARS_MIN: usize = 4;

/// What became of a send. Callbell has no idempotency key, so the difference between "surely not
/// sent" and "nobody knows" decides whether a message may be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Callbell accepted the message: `enqueued`, which is not delivered.
    Sent {
        /// Callbell's number of the message.
        uuid: String,
    },
    /// Callbell surely has nothing: no connection, no TLS, or 503. Send again later.
    NotSent {
        /// In words, without personal data.
        reason: String,
    },
    /// Callbell refused for good: a 4xx that is not one of the others.
    Refused {
        /// The HTTP status.
        status: u16,
        /// Callbell's words, without personal data.
        reason: String,
    },
    /// The request may have left and nothing says what became of it: a lost or unreadable answer, a
    /// timeout, 500, 502, 504, or a success without a uuid. Ask the history before sending again.
    Unknown {
        /// In words, without personal data.
        reason: String,
    },
    /// Nothing of this kind gets through until a person acts: every job of the channel waits.
    Held(Hold),
    /// 429: more requests than Callbell takes.
    Limited {
        /// `Retry-After`, where Callbell names it in seconds.
        retry_after: Option<Duration>,
    },
}

/// Why a whole channel waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// 402: the WhatsApp credit ran out (`whatsapp_wallet_depleted_credit`). Templates alone are
    /// refused so; free text inside the 24 hours still goes out.
    OutOfCredit,
    /// 401 or 403: the token is wrong, was revoked, or may not do this.
    TokenRefused,
}

impl Hold {
    /// The word that rows, reasons and log lines use.
    pub fn as_str(self) -> &'static str {
        match self {
            Hold::OutOfCredit => "out_of_credit",
            Hold::TokenRefused => "token_refused",
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hold::OutOfCredit => "Callbell: the WhatsApp credit ran out",
            Hold::TokenRefused => "Callbell refused the token",
        })
    }
}

/// Why a question to Callbell has no answer. Questions change nothing, so asking again is safe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Not reached, timed out, or 5xx: ask again later.
    #[error("Callbell is not available: {0}")]
    Unavailable(String),
    /// 429: ask again after this.
    #[error("Callbell takes no more requests at the moment")]
    Limited {
        /// `Retry-After`, where Callbell names it in seconds.
        retry_after: Option<Duration>,
    },
    /// 401, 403, 402: a person has to act.
    #[error("{0}")]
    Held(Hold),
    /// Another 4xx: the question itself is wrong.
    #[error("Callbell {status}: {reason}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Callbell's words, without personal data.
        reason: String,
    },
    /// An answer that is not what Callbell documents.
    #[error("Callbell's answer cannot be read: {0}")]
    Unreadable(String),
}

/// A complete answer, however it reads.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

/// Why there is no complete answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// No connection was made, so not one byte of the request left.
    NotConnected(String),
    /// The connection stood. Whether the request was read cannot be known from here.
    AfterConnect(String),
    /// The head of the answer came, its body did not.
    Truncated {
        status: u16,
        retry_after: Option<Duration>,
    },
}

/// Reads the answer to a send. `echoes` are texts of the request that an error might repeat.
pub(super) fn of_send(answer: Result<Answer, Lost>, echoes: &[&str]) -> Outcome {
    let answer = match answer {
        Ok(answer) => answer,
        Err(Lost::NotConnected(reason)) => return Outcome::NotSent { reason },
        Err(Lost::AfterConnect(reason)) => return Outcome::Unknown { reason },
        // The status is enough for everything but a success, whose uuid is missing then.
        Err(Lost::Truncated {
            status,
            retry_after,
        }) => Answer {
            status,
            retry_after,
            body: Vec::new(),
        },
    };
    match answer.status {
        200..=299 => match message_uuid(&answer.body) {
            Some(uuid) => Outcome::Sent { uuid },
            None => Outcome::Unknown {
                reason: format!("Callbell {} without a message uuid", answer.status),
            },
        },
        503 => Outcome::NotSent {
            reason: "Callbell 503".to_owned(),
        },
        429 => Outcome::Limited {
            retry_after: answer.retry_after,
        },
        // One code is documented for 402. Whatever the code, it is about money: waiting loses nothing.
        402 => Outcome::Held(Hold::OutOfCredit),
        401 | 403 => Outcome::Held(Hold::TokenRefused),
        status @ 400..=499 => Outcome::Refused {
            status,
            reason: reason(&answer.body, echoes),
        },
        status => Outcome::Unknown {
            reason: format!("Callbell {status}"),
        },
    }
}

/// Reads the answer to a question: its JSON, or `None` for 404.
pub(super) fn of_question(
    answer: Result<Answer, Lost>,
    echoes: &[&str],
) -> Result<Option<Value>, CallError> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(Lost::NotConnected(reason) | Lost::AfterConnect(reason)) => {
            return Err(CallError::Unavailable(reason));
        }
        Err(Lost::Truncated { status, .. }) => {
            return Err(CallError::Unavailable(format!(
                "Callbell {status}, the answer ended early"
            )));
        }
    };
    match answer.status {
        200..=299 => match serde_json::from_slice(&answer.body) {
            Ok(json) => Ok(Some(json)),
            Err(_) => Err(CallError::Unreadable("not JSON".to_owned())),
        },
        404 => Ok(None),
        429 => Err(CallError::Limited {
            retry_after: answer.retry_after,
        }),
        402 => Err(CallError::Held(Hold::OutOfCredit)),
        401 | 403 => Err(CallError::Held(Hold::TokenRefused)),
        status @ 400..=499 => Err(CallError::Refused {
            status,
            reason: reason(&answer.body, echoes),
        }),
        status => Err(CallError::Unavailable(format!("Callbell {status}"))),
    }
}

/// Reads the answer to a change that may be repeated: its JSON, null where a success has none. What is not
/// there is refused.
pub(super) fn of_change(answer: Result<Answer, Lost>, echoes: &[&str]) -> Result<Value, CallError> {
    match answer {
        Ok(answer) if (200..300).contains(&answer.status) => {
            Ok(serde_json::from_slice(&answer.body).unwrap_or_default())
        }
        Ok(answer) if answer.status == 404 => Err(CallError::Refused {
            status: 404,
            reason: reason(&answer.body, echoes),
        }),
        answer => of_question(answer, echoes).map(Option::unwrap_or_default),
    }
}

fn message_uuid(body: &[u8]) -> Option<String> {
    let json: Value = serde_json::from_slice(body).ok()?;
    let uuid = json.get("message")?.get("uuid")?.as_str()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (!uuid.is_empty() && uuid.len() <= 64 && uuid.chars().all(plain)).then(|| uuid.to_owned())
}

/// Callbell's words from an error body in any of its shapes: `{"error": "text"}`,
/// `{"error": {"field": ["must be …"]}}`, `{"error": …, "code": "…"}`, `{"errors": …}`, a text, or
/// nothing readable.
fn reason(body: &[u8], echoes: &[&str]) -> String {
    let words = match serde_json::from_slice::<Value>(body) {
        Ok(json) => {
            let code = json.get("code").and_then(Value::as_str);
            let mut parts = Vec::new();
            for key in ["error", "errors", "message"] {
                if let Some(value) = json.get(key) {
                    flatten(value, "", &mut parts);
                    break;
                }
            }
            let text = parts.join("; ");
            match (code, text.is_empty()) {
                (Some(code), true) => code.to_owned(),
                (Some(code), false) => format!("{code}: {text}"),
                (None, _) => text,
            }
        }
        Err(_) => String::new(),
    };
    let words = without_personal_data(&words, echoes);
    if words.is_empty() {
        "no reason given".to_owned()
    } else {
        words
    }
}

/// `{"a": ["x", "y"], "b": {"c": "z"}}` → `a x`, `a y`, `b.c z`.
fn flatten(value: &Value, path: &str, parts: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::Array(list) => list.iter().for_each(|item| flatten(item, path, parts)),
        Value::Object(map) => {
            for (key, item) in map {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                flatten(item, &path, parts);
            }
        }
        Value::String(text) if path.is_empty() => parts.push(text.clone()),
        Value::String(text) => parts.push(format!("{path} {text}")),
        other => parts.push(format!("{path} {other}").trim().to_owned()),
    }
}

/// One line without what an error might repeat of a person: the request's own texts, numbers that
/// may be phones, e-mail addresses. Uuids stay, they name templates and channels.
fn without_personal_data(text: &str, echoes: &[&str]) -> String {
    let mut text = text.to_owned();
    for echo in echoes
        .iter()
        .filter(|echo| echo.chars().count() >= ECHO_CHARS_MIN)
    {
        text = text.replace(echo, "…");
    }
    let words = text
        .split_whitespace()
        .map(|word| if word.contains('@') { "…" } else { word });
    let line = words.collect::<Vec<_>>().join(" ");
    let line = without_phones(&line);
    if line.chars().count() <= REASON_CHARS_MAX {
        return line;
    }
    let mut cut: String = line.chars().take(REASON_CHARS_MAX - 1).collect();
    cut.push('…');
    cut
}

/// Uuids are matched first and stay; then everything that has the digits of a phone number, with the
/// signs that people write between them.
const UUID_OR_PHONE: &str = r"\b([0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\b|[+(]?\d(?:[ ().+/-]*\d){5,}";

fn without_phones(line: &str) -> String {
    // Only refusals come here, so the pattern is compiled when one does.
    let Ok(pattern) = regex_lite::Regex::new(UUID_OR_PHONE) else {
        return String::new();
    };
    let kept = |found: &regex_lite::Captures<'_>| {
        found.get(1).map_or("…", |uuid| uuid.as_str()).to_owned()
    };
    pattern.replace_all(line, kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Result<Answer, Lost> {
        Ok(Answer {
            status,
            retry_after: None,
            body: body.as_bytes().to_vec(),
        })
    }

    #[test]
    fn every_documented_answer_has_its_outcome() {
        let unknown = |reason: &str| Outcome::Unknown {
            reason: reason.to_owned(),
        };
        let refused = |status, reason: &str| Outcome::Refused {
            status,
            reason: reason.to_owned(),
        };
        let rows = [
            (
                201,
                r#"{"message":{"uuid":"d980fb66fd5043d3ace1aa06ba044342","status":"enqueued"}}"#,
                Outcome::Sent {
                    uuid: "d980fb66fd5043d3ace1aa06ba044342".to_owned(),
                },
            ),
            (
                200,
                r#"{"message":{}}"#,
                unknown("Callbell 200 without a message uuid"),
            ),
            (
                200,
                "<html>",
                unknown("Callbell 200 without a message uuid"),
            ),
            (
                200,
                r#"{"message":{"uuid":""}}"#,
                unknown("Callbell 200 without a message uuid"),
            ),
            (302, "", unknown("Callbell 302")),
            (500, "oops", unknown("Callbell 500")),
            (502, "", unknown("Callbell 502")),
            (504, "", unknown("Callbell 504")),
            (
                503,
                "",
                Outcome::NotSent {
                    reason: "Callbell 503".to_owned(),
                },
            ),
            (429, "", Outcome::Limited { retry_after: None }),
            (
                401,
                r#"{"error":"not authorized"}"#,
                Outcome::Held(Hold::TokenRefused),
            ),
            (403, "", Outcome::Held(Hold::TokenRefused)),
            (
                402,
                r#"{"error":"x","code":"whatsapp_wallet_depleted_credit"}"#,
                Outcome::Held(Hold::OutOfCredit),
            ),
            (
                422,
                r#"{"error":{"template_uuid":["must be present and not empty"]}}"#,
                refused(422, "template_uuid must be present and not empty"),
            ),
            (
                400,
                r#"{"error":"bad channel","code":"channel_disconnected"}"#,
                refused(400, "channel_disconnected: bad channel"),
            ),
            (404, "not here", refused(404, "no reason given")),
        ];
        for (status, body, expected) in rows {
            assert_eq!(
                of_send(answer(status, body), &[]),
                expected,
                "{status} {body}"
            );
        }
    }

    #[test]
    fn a_change_is_done_refused_or_for_later() {
        let refused = |status, reason: &str| {
            let reason = reason.to_owned();
            Err(CallError::Refused { status, reason })
        };
        let rows = [
            (200, r#"{"a":1}"#, Ok(serde_json::json!({"a": 1}))),
            (204, "", Ok(Value::Null)),
            (
                404,
                r#"{"error":"contact not found"}"#,
                refused(404, "contact not found"),
            ),
            (
                422,
                r#"{"error":{"tags":["Lead does not exist"]}}"#,
                refused(422, "tags Lead does not exist"),
            ),
            (401, "", Err(CallError::Held(Hold::TokenRefused))),
            (403, "", Err(CallError::Held(Hold::TokenRefused))),
            (429, "", Err(CallError::Limited { retry_after: None })),
            (
                502,
                "",
                Err(CallError::Unavailable("Callbell 502".to_owned())),
            ),
        ];
        for (status, body, expected) in rows {
            assert_eq!(of_change(answer(status, body), &[]), expected, "{status}");
        }
        let lost = of_change(Err(Lost::AfterConnect("lost".to_owned())), &[]);
        assert_eq!(lost, Err(CallError::Unavailable("lost".to_owned())));
    }

    #[test]
    fn a_reason_repeats_nothing_of_a_person() {
        let rows = [
            ("to +5511987654321 is invalid", "to … is invalid"),
            ("to 11 98765-4321: unknown", "to …: unknown"),
            ("(11) 98765-4321", "…"),
            ("contact maria@example.com exists", "contact … exists"),
            ("Olá Maria da Silva is too long", "… is too long"),
            (
                "template d980fb66fd5043d3ace1aa06ba044342 is rejected",
                "template d980fb66fd5043d3ace1aa06ba044342 is rejected",
            ),
            (
                "template 11112222-3333-4444-5555-66667777888a is rejected",
                "template 11112222-3333-4444-5555-66667777888a is rejected",
            ),
            ("error 422 at 2026", "error 422 at 2026"),
        ];
        for (text, expected) in rows {
            assert_eq!(
                without_personal_data(text, &["Olá Maria da Silva"]),
                expected
            );
        }
        assert_eq!(
            without_personal_data(&"a ".repeat(400), &[])
                .chars()
                .count(),
            REASON_CHARS_MAX
        );
    }
}
