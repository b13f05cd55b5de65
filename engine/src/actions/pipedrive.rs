//! `[pipedrive.x]`: persons of Pipedrive, by its API v2.
//! <https://developers.pipedrive.com/docs/api/v1/Persons>, <https://pipedrive.readme.io/docs/core-api-concepts-rate-limiting>
//!
//! **Secret**: `{"domain": "minha-empresa", "token": "…"}`, a token alone, or JSON of an app's `client_id`,
//! `client_secret` and `refresh_token` (and `domain`, unless the token's answer is to say it).
//!
//! **What finds a person.** Pipedrive has no upsert and lets any number of persons have one phone or address.
//! A phone is searched for as E.164 and then by its last digits, whatever is around them, and what is found
//! is compared number by number. A search costs 20 of the company's tokens, reading a person 1, writing 5: so
//! the row that remembers a person's id is what keeps the day's budget.
//!
//! **Fields** are those of a person (`name`, `phone`, `email`, `owner_id`, `org_id`, `visible_to`,
//! `label_ids`), by any other name custom fields: their keys of 40 hex digits. A phone and an address are
//! added to those there. Pipedrive has no tags.
//!
//! **Echoes.** A webhook about our own write has `meta.change_source` of `api` and the secret's user as
//! `meta.user_id`.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Map, Value, json};
use shared::secrets::Secret;

use super::crm::{self, Access, Api, Ask, Book, Credentials, Grant, Line, Proof, Record, Written};
use super::deed::{ActError, Desk, Done, System, Wanted};
use crate::apis::Reply;
use crate::automations::model::MatchBy;
use crate::phone;

const NAME: &str = "Pipedrive";
const DOMAIN: &str = ".pipedrive.com";
/// Where a token alone goes.
const HOST: &str = "api.pipedrive.com";
const TOKEN_HOST: &str = "oauth.pipedrive.com";
const PERSONS: [&str; 4] = ["api", "v2", "persons", "search"];
/// How many persons of one search are compared.
const HITS_MAX: usize = 100;
/// Wait for the next two seconds, which Pipedrive counts bursts by.
const WAIT: Duration = Duration::from_secs(2);
/// Wait where the day's tokens are used up, or Cloudflare stands in front.
const LONG_WAIT: Duration = Duration::from_secs(3_600);
/// Wait where Cloudflare stands in front, because somebody asked on through many 429.
const BLOCKED_WAIT: Duration = Duration::from_secs(300);
/// Fields of a person that are whole numbers.
const NUMBERS: [&str; 3] = ["owner_id", "org_id", "visible_to"];
/// Fields of a person that are sent as they are; all others are custom.
const OWN: [&str; 5] = ["name", "label_ids", "owner_id", "org_id", "visible_to"];

static API: Api = Api {
    name: NAME,
    secret: "a token, JSON of domain and token, or JSON of client_id, client_secret and refresh_token",
    credentials,
    headers: &[],
    error,
};

/// The system `[pipedrive.x]`.
#[derive(Clone, Copy, Debug)]
pub struct Pipedrive;

impl System for Pipedrive {
    fn upsert<'a>(
        &'a self,
        desk: Desk<'a>,
        wanted: Wanted<'a>,
    ) -> BoxFuture<'a, Result<Done, ActError>> {
        async move {
            let line = Line::new(&API, desk);
            crm::upsert(&mut Persons { line, wanted }, &wanted).await
        }
        .boxed()
    }
}

/// Pipedrive's API for whoever writes no person: the same secrets, the same limits.
pub struct Account<'a>(Line<'a>);

impl<'a> Account<'a> {
    /// The account of the first secret that is not refused.
    pub fn new(desk: Desk<'a>) -> Account<'a> {
        Account(Line::new(&API, desk))
    }

    /// Carries out one request; every status but 401 is an answer.
    ///
    /// # Errors
    /// No secret is good, or nobody answers.
    pub async fn send(
        &mut self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Reply, ActError> {
        let ask = match body {
            Some(body) => Ask::json(method, path, body),
            None => Ask {
                method,
                ..Ask::get(path, &[])
            },
        };
        self.0.send(&ask).await
    }

    /// What is there under a path; `None`: nothing.
    ///
    /// # Errors
    /// [`ActError`].
    pub async fn data(&mut self, path: &[&str]) -> Result<Option<Value>, ActError> {
        let answer = self.0.find(&Ask::get(path, &[])).await?;
        Ok(answer.and_then(|mut answer| answer.get_mut("data").map(Value::take)))
    }
}

fn credentials(secret: &Secret) -> Option<Credentials> {
    let key = |host: String, token: Secret| {
        let proof = Proof::Header("x-api-token", token);
        Some(Credentials::Key(Access { host, proof }))
    };
    let Some(fields) = crm::read_secret(secret) else {
        return key(HOST.to_owned(), secret.clone());
    };
    let host = match fields.get("domain") {
        Some(domain) => crm::host_of(domain, DOMAIN)?,
        None => HOST.to_owned(),
    };
    if let Some(token) = fields.get("token") {
        return key(host, Secret::new(token));
    }
    grant(&fields, host)
}

fn grant(fields: &BTreeMap<String, String>, api_host: String) -> Option<Credentials> {
    let (id, secret) = (fields.get("client_id")?, fields.get("client_secret")?);
    Some(Credentials::Grant(Grant {
        host: TOKEN_HOST.to_owned(),
        path: &["oauth", "token"],
        basic: Some((id.clone(), Secret::new(secret))),
        form: vec![
            ("grant_type", "refresh_token".to_owned()),
            ("refresh_token", fields.get("refresh_token")?.clone()),
        ],
        api_host,
        says_host: Some(("api_domain", DOMAIN)),
    }))
}

fn error(reply: &Reply, _now: Timestamp) -> ActError {
    let answer = reply.json();
    let said = crm::code(answer.get("code"));
    match reply.status {
        429 if reply.header("x-daily-requests-left") == Some("0") => {
            crm::limited(NAME, reply, said, Some(LONG_WAIT))
        }
        429 => {
            let wait = crm::seconds_in(reply, "x-ratelimit-reset").unwrap_or(WAIT);
            crm::limited(NAME, reply, said, Some(wait))
        }
        // Cloudflare's page, which is no JSON: too many requests went on through 429.
        403 if answer.is_null() => crm::limited(NAME, reply, said, Some(BLOCKED_WAIT)),
        // The account is not open, or not paid.
        402 => ActError::Refused(format!("{NAME} 402")),
        _ => ActError::of(NAME, reply, said),
    }
}

struct Persons<'a> {
    line: Line<'a>,
    wanted: Wanted<'a>,
}

impl Persons<'_> {
    /// The fields in Pipedrive's shape. `is`: the person as it is, null for a new one.
    fn body(&self, is: &Value) -> Map<String, Value> {
        let mut body = Map::new();
        let mut custom = Map::new();
        for (name, value) in self.wanted.fields {
            match name.as_str() {
                "phone" | "phones" => {
                    body.insert("phones".to_owned(), with(is, "phones", value));
                }
                "email" | "emails" => {
                    body.insert("emails".to_owned(), with(is, "emails", value));
                }
                own if OWN.contains(&own) => {
                    body.insert(name.clone(), own_value(own, value));
                }
                _ => {
                    custom.insert(name.clone(), value.clone());
                }
            }
        }
        body.retain(|name, value| is.get(name) != Some(value));
        custom.retain(|name, value| is.pointer(&format!("/custom_fields/{name}")) != Some(value));
        if !custom.is_empty() {
            body.insert("custom_fields".to_owned(), Value::Object(custom));
        }
        body
    }

    fn new_body(&self) -> Option<Map<String, Value>> {
        let mut body = self.body(&Value::Null);
        for (by, value) in crm::found_by(&self.wanted) {
            let name = match by {
                MatchBy::Phone => "phones",
                MatchBy::Email => "emails",
            };
            let list = with(&Value::Null, name, &Value::from(value));
            body.entry(name).or_insert(list);
        }
        if !body.contains_key("name") {
            body.insert("name".to_owned(), Value::from(crm::any_name(&self.wanted)?));
        }
        Some(body)
    }

    /// The first person of a search for whom `is_theirs` holds of one of the texts in `list`.
    async fn search(
        &mut self,
        field: &str,
        term: &str,
        exact: bool,
        is_theirs: impl Fn(&str) -> bool,
    ) -> Result<Option<Record>, ActError> {
        let query = [
            ("term", term.to_owned()),
            ("fields", field.to_owned()),
            ("exact_match", exact.to_string()),
            ("limit", HITS_MAX.to_string()),
        ];
        let answer = self.line.json(&Ask::get(&PERSONS, &query)).await?;
        // The search's persons have plain texts where a person has objects.
        let list = format!("/item/{field}s");
        let theirs = |hit: &&Value| {
            let mut texts = crm::list_at(hit, &list).iter().filter_map(Value::as_str);
            texts.any(&is_theirs)
        };
        let hits = crm::list_at(&answer, "/data/items");
        let id = hits
            .iter()
            .find(theirs)
            .and_then(|hit| crm::id_at(hit, "/item/id"));
        match id {
            Some(id) => self.by_id(&id).await,
            None => Ok(None),
        }
    }

    fn written(&self, reply: &Reply, what: &'static str) -> Result<Written, ActError> {
        match reply.status {
            404 | 410 => Ok(Written::Gone),
            _ if reply.is_success() => {
                let id = crm::id_at(&reply.json(), "/data/id");
                let id = id.ok_or_else(|| self.line.unreadable())?;
                Ok(Written::Done(id, what))
            }
            _ => Err(self.line.error(reply)),
        }
    }
}

impl Book for Persons<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Read always: what is written are whole lists of phones and addresses.
    async fn by_id(&mut self, id: &str) -> Result<Option<Record>, ActError> {
        let answer = self
            .line
            .find(&Ask::get(&["api", "v2", "persons", id], &[]))
            .await?;
        let person = answer.and_then(|answer| answer.get("data").cloned());
        let there = |person: &Value| person.get("is_deleted") != Some(&Value::Bool(true));
        Ok(person.filter(there).and_then(|is| {
            let id = crm::id_at(&is, "/id")?;
            Some(Record { id, is })
        }))
    }

    async fn by(&mut self, by: MatchBy, value: &str) -> Result<Option<Record>, ActError> {
        if by == MatchBy::Email {
            let same = |typed: &str| typed.trim().eq_ignore_ascii_case(value.trim());
            return self.search("email", value.trim(), true, same).await;
        }
        let same = |typed: &str| phone::is_same(typed, value);
        if let Some(found) = self.search("phone", value, true, same).await? {
            return Ok(Some(found));
        }
        self.search("phone", crm::tail(value), false, same).await
    }

    async fn create(&mut self) -> Result<Written, ActError> {
        let Some(body) = self.new_body() else {
            let why = format!("{NAME} needs a name, a phone or an e-mail address");
            return Ok(Written::Never(why));
        };
        let body = Value::Object(body);
        let ask = Ask::json(Method::POST, &["api", "v2", "persons"], &body);
        let reply = self.line.send(&ask).await?;
        match reply.status {
            404 => Err(self.line.error(&reply)),
            _ => self.written(&reply, "created"),
        }
    }

    async fn update(&mut self, record: &Record) -> Result<Written, ActError> {
        let body = self.body(&record.is);
        if body.is_empty() {
            return Ok(Written::Done(record.id.clone(), "unchanged"));
        }
        let body = Value::Object(body);
        let path = ["api", "v2", "persons", record.id.as_str()];
        let reply = self
            .line
            .send(&Ask::json(Method::PATCH, &path, &body))
            .await?;
        self.written(&reply, "updated")
    }
}

/// The list of phones or addresses with these added, each once. The list is written whole, so those there
/// have to be in it.
fn with(is: &Value, name: &str, values: &Value) -> Value {
    let mut list = crm::list_at(is, &format!("/{name}")).to_vec();
    let values = match values {
        Value::Array(values) => values.iter().map(crm::text).collect(),
        one => vec![crm::text(one)],
    };
    for value in values {
        let same = |entry: &Value| {
            let theirs = crm::text_at(entry, "/value").unwrap_or_default();
            match name {
                "phones" => theirs == value || phone::is_same(theirs, &value),
                _ => theirs.eq_ignore_ascii_case(&value),
            }
        };
        if !list.iter().any(same) {
            let label = if name == "phones" { "mobile" } else { "work" };
            let primary = list.is_empty();
            list.push(json!({ "value": value, "primary": primary, "label": label }));
        }
    }
    Value::Array(list)
}

/// Ids are numbers, also where a text was rendered for them.
fn own_value(name: &str, value: &Value) -> Value {
    let number = |value: &Value| {
        let number = value
            .as_str()
            .and_then(|text| text.trim().parse::<i64>().ok());
        number.map_or_else(|| value.clone(), Value::from)
    };
    match value {
        Value::Array(list) if name == "label_ids" => list.iter().map(number).collect(),
        value if NUMBERS.contains(&name) => number(value),
        value => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::crm::tests::{next, reply};

    #[test]
    fn limits_are_told_apart() {
        for (status, headers, body, expected) in [
            (429, [("x-ratelimit-reset", "2")], json!({}), "limited 2"),
            (
                429,
                [("x-daily-requests-left", "0")],
                json!({}),
                "limited 3600",
            ),
            (429, [("x-other", "1")], json!({}), "limited 2"),
            (403, [("x-other", "1")], Value::Null, "limited 300"),
            (
                403,
                [("x-other", "1")],
                json!({"error": "scope"}),
                "refused",
            ),
            (402, [("x-other", "1")], json!({}), "refused"),
            (400, [("x-other", "1")], json!({}), "rejected"),
            (503, [("x-other", "1")], json!({}), "unavailable"),
        ] {
            let error = error(&reply(status, &headers, &body), Timestamp::UNIX_EPOCH);
            assert_eq!(next(&error), expected, "{status} {headers:?} {body}");
        }
    }
}
