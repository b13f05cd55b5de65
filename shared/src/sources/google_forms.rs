//! Google Forms: answers to forms, posted by a script of ours, `docs/google-forms/callbell.gs`.
//!
//! Google has no webhooks of forms. The script runs at the form or at its sheet, signs what it posts as
//! Standard Webhooks and repeats it for days, each time signed anew. What it posts is ours:
//! `{type: "form.submitted", timestamp, data: {formId, title, responseId, submittedAt, respondentEmail?,
//! answers: [{itemId?, title, type, value}]}}`.
//! <https://developers.google.com/apps-script/guides/triggers/events>

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::form::{QUESTIONS_MAX, Question, Submission, Takes};
use super::{
    Answer, OnUnreadable, Proofs, Reading, Refusal, Source, Unreadable, Unsigned, form, read,
    standard,
};
use crate::connections::Connection;
use crate::event::{ITEMS_MAX, Name};
use crate::raw::{Raw, Verified};

/// The provider's name.
pub const KIND: &str = "google-forms";

/// What the script says of an answer, and what it says when it is installed.
const SUBMITTED: &str = "form.submitted";
const PING: &str = "ping";

/// The source.
pub struct GoogleForms;

impl Source for GoogleForms {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn function(&self) -> &'static str {
        "forms"
    }

    fn events(&self) -> &'static [Name] {
        &[Name::FormSubmitted]
    }

    fn phone_paths(&self) -> &'static [&'static str] {
        form::PHONE_PATHS
    }

    fn phone_prefixes(&self) -> &'static [&'static str] {
        form::PHONE_PREFIXES
    }

    fn asks_questions(&self) -> bool {
        true
    }

    fn proven_by(&self) -> &'static str {
        "Standard Webhooks, signed by the script"
    }

    fn handshake(&self, _raw: &Raw) -> Option<Answer> {
        None
    }

    fn verify<'a>(
        &self,
        raw: &'a Raw,
        proofs: &Proofs<'_>,
        now: Timestamp,
    ) -> Result<Verified<'a>, Refusal> {
        standard::verify(raw, proofs.secrets, now)?;
        Ok(raw.accept())
    }

    fn read(
        &self,
        verified: &Verified<'_>,
        connection: &Connection,
        _now: Timestamp,
    ) -> Result<Reading, Unreadable> {
        let webhook = read::json(verified.body())?;
        match webhook.get("type").and_then(Value::as_str) {
            Some(SUBMITTED) => {}
            Some(PING) => return Ok(Reading::Nothing("a ping")),
            _ => return Ok(Reading::Nothing("no answer to a form")),
        }
        let data = webhook.get("data").filter(|data| data.is_object());
        let data = read::required(data, "data", "an object")?;
        let data: Data = read::typed(data).map_err(|error| Unreadable {
            path: format!("data.{}", error.path),
            ..error
        })?;
        let submission = data.submission()?;
        Ok(Reading::Events(vec![submission.event(connection)]))
    }

    fn on_unreadable(&self) -> OnUnreadable {
        OnUnreadable::Record
    }

    /// Under the id that the script gives it.
    fn sign(&self, unsigned: &Unsigned<'_>) -> Vec<(String, String)> {
        let body: Option<Value> = serde_json::from_slice(unsigned.body).ok();
        let id = |name: &str| {
            let id = body.as_ref()?.pointer(&format!("/data/{name}"))?;
            read::as_id(id).filter(|id| !id.contains('.'))
        };
        let id = match (id("formId"), id("responseId")) {
            (Some(form), Some(response)) => format!("gform_{form}_{response}"),
            _ => standard::id_of(unsigned.body),
        };
        standard::sign(&id, unsigned)
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Data {
    #[serde(deserialize_with = "read::id")]
    form_id: Option<String>,
    #[serde(deserialize_with = "read::text")]
    title: Option<String>,
    #[serde(deserialize_with = "read::id")]
    response_id: Option<String>,
    #[serde(deserialize_with = "read::time")]
    submitted_at: Option<Timestamp>,
    /// Where the form collects addresses.
    #[serde(deserialize_with = "read::text")]
    respondent_email: Option<String>,
    #[serde(deserialize_with = "read::list")]
    answers: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Given {
    /// Absent where the script runs at the sheet, which knows titles alone.
    #[serde(deserialize_with = "read::id")]
    item_id: Option<String>,
    #[serde(deserialize_with = "read::text")]
    title: Option<String>,
    #[serde(rename = "type", deserialize_with = "read::text")]
    kind: Option<String>,
    value: Value,
}

impl Data {
    fn submission(self) -> Result<Submission, Unreadable> {
        let answers = self.answers.iter().take(QUESTIONS_MAX);
        let answers = answers.filter_map(|answer| read::typed::<Given>(answer).ok());
        Ok(Submission {
            form_id: read::required(self.form_id, "data.formId", "a form's id")?,
            title: self.title,
            response_id: read::required(self.response_id, "data.responseId", "an id")?,
            submitted_at: read::required(self.submitted_at, "data.submittedAt", "a date and time")?,
            questions: answers.map(Given::question).collect(),
            hidden: serde_json::Map::new(),
            score: None,
            response_url: None,
            email: self.respondent_email,
        })
    }
}

impl Given {
    /// Google has no question of its own for numbers of telephones, addresses or names: all are typed as text.
    fn question(self) -> Question {
        let kind = self.kind.as_deref().unwrap_or_default();
        Question {
            key: self.item_id,
            title: self.title,
            takes: match kind {
                "TEXT" | "PARAGRAPH_TEXT" | "SHEET" => Takes::Text,
                _ => Takes::Other,
            },
            answer: match kind {
                "SCALE" | "RATING" => number(&self.value).or_else(|| value(&self.value)),
                _ => value(&self.value),
            },
        }
    }
}

/// Google writes what was chosen on a scale as text.
fn number(value: &Value) -> Option<Value> {
    let number: i64 = value.as_str()?.trim().parse().ok()?;
    Some(Value::from(number))
}

/// A text, a number, true or false, or a list of texts; lists within a list become one.
fn value(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) => read::plain(text).map(Value::String),
        Value::Bool(_) | Value::Number(_) => Some(value.clone()),
        Value::Array(values) => {
            let flat = values.iter().flat_map(|value| match value {
                Value::Array(inner) => inner.as_slice(),
                other => std::slice::from_ref(other),
            });
            let texts = flat.filter_map(read::as_text).map(Value::from);
            let texts: Vec<Value> = texts.take(ITEMS_MAX).collect();
            (!texts.is_empty()).then_some(Value::Array(texts))
        }
        Value::Null | Value::Object(_) => None,
    }
}
