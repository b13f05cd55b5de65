//! One form, filled in. <https://www.typeform.com/developers/webhooks/example-payload/>

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::connections::Connection;
use crate::event::{FreeMap, ITEMS_MAX};
use crate::sources::form::{QUESTIONS_MAX, Question, Submission, Takes};
use crate::sources::{Reading, Unreadable, read};

/// Whoever fills in a form to its end. One that is still being filled in is told only where somebody asked
/// for it. <https://www.typeform.com/developers/webhooks/reference/create-or-update-webhook/>
const COMPLETE: &str = "form_response";
const PARTIAL: &str = "form_response_partial";
/// The variable that holds the score, where the form counts by variables.
const SCORE: &str = "score";
/// Where an answer of a kind that we do not know may have its text.
const TEXTS: [&str; 9] = [
    "text",
    "label",
    "other",
    "value",
    "url",
    "file_url",
    "video_url",
    "audio_url",
    "amount",
];

#[derive(Default, Deserialize)]
#[serde(default)]
struct Response {
    #[serde(deserialize_with = "read::id")]
    form_id: Option<String>,
    /// What tells this answer from all others; the Responses API calls it `response_id`.
    #[serde(deserialize_with = "read::id")]
    token: Option<String>,
    #[serde(deserialize_with = "read::time")]
    submitted_at: Option<Timestamp>,
    #[serde(deserialize_with = "read::url")]
    response_url: Option<String>,
    #[serde(deserialize_with = "read::object")]
    hidden: Option<FreeMap>,
    #[serde(deserialize_with = "read::object")]
    calculated: Option<Calculated>,
    #[serde(deserialize_with = "read::list")]
    variables: Vec<Value>,
    #[serde(deserialize_with = "read::object")]
    definition: Option<Definition>,
    #[serde(deserialize_with = "read::list")]
    answers: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Calculated {
    score: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Definition {
    #[serde(deserialize_with = "read::id")]
    id: Option<String>,
    #[serde(deserialize_with = "read::text")]
    title: Option<String>,
    #[serde(deserialize_with = "read::list")]
    fields: Vec<Value>,
}

/// A question as the form defines it, or as an answer names it.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Field {
    #[serde(deserialize_with = "read::id")]
    id: Option<String>,
    #[serde(rename = "ref", deserialize_with = "read::text")]
    reference: Option<String>,
    #[serde(deserialize_with = "read::text")]
    title: Option<String>,
    #[serde(rename = "type", deserialize_with = "read::text")]
    kind: Option<String>,
    /// Which part of a contact it is: `first_name`.
    #[serde(deserialize_with = "read::text")]
    subfield_key: Option<String>,
}

impl Field {
    fn of(value: &Value) -> Field {
        read::typed(value).unwrap_or_default()
    }

    /// Old answers have no reference.
    fn is(&self, other: &Field) -> bool {
        let is_same = |one: &Option<String>, two: &Option<String>| one.is_some() && one == two;
        is_same(&self.reference, &other.reference) || is_same(&self.id, &other.id)
    }
}

pub(super) fn read(webhook: &Value, connection: &Connection) -> Result<Reading, Unreadable> {
    match webhook.get("event_type").and_then(Value::as_str) {
        Some(COMPLETE) => {}
        Some(PARTIAL) => return Ok(Reading::Nothing("a partial answer")),
        _ => return Ok(Reading::Nothing("no answer to a form")),
    }
    let response = webhook
        .get("form_response")
        .filter(|response| response.is_object());
    let response = read::required(response, "form_response", "an object")?;
    let response: Response = read::typed(response).map_err(|error| Unreadable {
        path: format!("form_response.{}", error.path),
        ..error
    })?;
    let submission = submission(response)?;
    Ok(Reading::Events(vec![submission.event(connection)]))
}

fn submission(response: Response) -> Result<Submission, Unreadable> {
    let definition = response.definition.unwrap_or_default();
    let form_id = response.form_id.or(definition.id);
    let mut hidden = FreeMap::new();
    for (key, value) in response.hidden.into_iter().flatten() {
        if value.is_string() {
            read::put(&mut hidden, &key, value);
        }
    }
    let of_variable = || {
        let is_score = |value: &&Value| value.get("key").and_then(Value::as_str) == Some(SCORE);
        response.variables.iter().find(is_score)?.get("number")
    };
    let calculated = response.calculated.unwrap_or_default().score;
    let score = calculated
        .as_f64()
        .or_else(|| of_variable().and_then(Value::as_f64));
    Ok(Submission {
        form_id: read::required(form_id, "form_response.form_id", "a form's id")?,
        title: definition.title,
        response_id: read::required(response.token, "form_response.token", "an id")?,
        submitted_at: read::required(
            response.submitted_at,
            "form_response.submitted_at",
            "a date and time",
        )?,
        questions: questions(&definition.fields, &response.answers),
        hidden,
        score,
        response_url: response.response_url,
        email: None,
    })
}

/// Every question of the form, in its order, and then answers to questions that it does not show. Answers are
/// found by reference or id, never by their place: what was left out is not among them.
fn questions(fields: &[Value], answers: &[Value]) -> Vec<Question> {
    let mut given: Vec<(Field, &Map<String, Value>)> = answers
        .iter()
        .filter_map(Value::as_object)
        .take(QUESTIONS_MAX)
        .map(|answer| {
            (
                answer.get("field").map(Field::of).unwrap_or_default(),
                answer,
            )
        })
        .collect();
    let mut found = Vec::new();
    for field in flat(fields) {
        let index = given.iter().position(|(of, _)| of.is(&field));
        let answer = index.map(|index| given.remove(index).1);
        found.push(question(&field, answer));
    }
    let others = given.iter();
    found.extend(others.map(|(field, answer)| question(field, Some(answer))));
    found
}

/// The questions within groups and contact blocks follow the group.
fn flat(fields: &[Value]) -> Vec<Field> {
    let mut found = Vec::new();
    for value in fields {
        let field = Field::of(value);
        let inner = ["/properties/fields", "/fields"]
            .into_iter()
            .find_map(|path| value.pointer(path)?.as_array());
        let is_contact = field.kind.as_deref() == Some(CONTACT);
        found.push(field);
        for value in inner.into_iter().flatten() {
            let mut field = Field::of(value);
            if is_contact {
                field.kind = Some(CONTACT.to_owned());
            }
            found.push(field);
        }
    }
    found.truncate(QUESTIONS_MAX);
    found
}

/// A block of fields for who somebody is. That each arrives as an answer of its own is not documented.
const CONTACT: &str = "contact_info";

fn question(field: &Field, answer: Option<&Map<String, Value>>) -> Question {
    let kind = answer.and_then(|answer| answer.get("type")?.as_str());
    let title = field.title.as_deref().and_then(unpiped);
    Question {
        key: field.reference.clone().or_else(|| field.id.clone()),
        title: title.or_else(|| field.subfield_key.clone()),
        takes: takes(field, kind),
        answer: answer.and_then(|answer| value(answer, kind)),
    }
}

/// What the answer says of itself goes before what the question is.
fn takes(field: &Field, kind: Option<&str>) -> Takes {
    match (kind, field.kind.as_deref()) {
        (Some("phone_number"), _) | (None, Some("phone_number")) => Takes::Phone,
        (Some("email"), _) | (None, Some("email")) => Takes::Email,
        (Some("text" | "number"), Some("dropdown" | "multiple_choice")) => Takes::Other,
        (Some("text" | "number") | None, Some(CONTACT)) => Takes::Contact,
        (Some("text" | "number"), _) | (None, Some("short_text" | "number")) => Takes::Text,
        _ => Takes::Other,
    }
}

/// The title without what is filled in from other answers, `{{field:…}}`, and without what that leaves at its
/// beginning. <https://www.typeform.com/help/a/what-is-recall-information-360051559032/>
fn unpiped(title: &str) -> Option<String> {
    let mut plain = String::new();
    let mut rest = title;
    while let Some((before, after)) = rest.split_once("{{") {
        plain.push_str(before);
        match after.split_once("}}") {
            Some((_, behind)) => rest = behind,
            None => {
                plain.push_str("{{");
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    let mut title = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    for mark in [",", ".", "!", "?", ":", ";"] {
        title = title.replace(&format!(" {mark}"), mark);
    }
    let title = title.trim_start_matches([',', '.', '!', ':', ';', ' ']);
    (!title.is_empty()).then(|| title.to_owned())
}

/// An answer's value: a text, a number, true or false, or a list of texts. It stands under the name of its
/// type.
fn value(answer: &Map<String, Value>, kind: Option<&str>) -> Option<Value> {
    let value = answer.get(kind?)?;
    match (kind?, value) {
        // Never the card's last digits or whose it is.
        ("payment", Value::Object(payment)) => payment.get("amount").and_then(one),
        ("choices", Value::Object(choices)) => many(choices),
        _ => any(value),
    }
}

/// What was ticked, and what was typed beside it.
fn many(choices: &Map<String, Value>) -> Option<Value> {
    let named = ["labels", "refs", "ids"]
        .into_iter()
        .find_map(|name| choices.get(name)?.as_array());
    let other = choices.get("other").and_then(one);
    let ticked = named.into_iter().flatten().filter_map(one);
    let all: Vec<Value> = ticked.chain(other).take(ITEMS_MAX).collect();
    (!all.is_empty()).then_some(Value::Array(all))
}

/// Whatever can be read of an answer of any type.
fn any(value: &Value) -> Option<Value> {
    match value {
        Value::Array(values) => {
            let texts: Vec<Value> = values.iter().filter_map(any_one).take(ITEMS_MAX).collect();
            (!texts.is_empty()).then_some(Value::Array(texts))
        }
        Value::Object(map) if map.contains_key("labels") => many(map),
        other => any_one(other),
    }
}

fn any_one(value: &Value) -> Option<Value> {
    match value {
        Value::Object(map) => {
            let texts = TEXTS.into_iter().chain(["ref", "id"]);
            texts.filter_map(|name| map.get(name)).find_map(one)
        }
        other => one(other),
    }
}

/// A text, a number, true or false.
fn one(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) => match read::as_url(text) {
            Some(url) => Some(Value::String(url)),
            None => read::plain(text).map(Value::String),
        },
        Value::Bool(_) | Value::Number(_) => Some(value.clone()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_read_without_what_is_filled_in() {
        for (title, plain) in [
            (
                "{{field:nome}}, qual é o seu telefone?",
                Some("qual é o seu telefone?"),
            ),
            ("Oi {{field:nome}}, tudo bem?", Some("Oi, tudo bem?")),
            ("De {{hidden:city}}  ?", Some("De?")),
            ("Open {{field", Some("Open {{field")),
            ("{{field:a}}", None),
            ("Cidade", Some("Cidade")),
        ] {
            assert_eq!(unpiped(title).as_deref(), plain, "{title}");
        }
    }
}
