//! `[intercom.x]`: contacts of Intercom. <https://developers.intercom.com/docs/references/rest-api/api.intercom.io/contacts>
//!
//! **Secret**: a token, or `{"token": "…", "region": "eu"}` (`eu`, `au`) of a workspace outside the United
//! States.
//!
//! **What finds a contact.** A search by phone or e-mail address, which shows a new contact minutes late. Until
//! then making it again is refused with 409, whose text alone names the contact that is there: by its address,
//! or by the `external_id` that we give, the same one every time. One that is archived is brought back.
//!
//! **Fields** are those of a contact (`name`, `email`, `phone`, `role`, `owner_id`, …), by any other name custom
//! attributes, which have to exist. A new contact is a `user` unless the fields say `lead`. Tags are added.
//!
//! **Echoes.** A contact of ours has an `external_id` that begins with `callbell:`, or an id that a row
//! remembers.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Map, Value, json};
use shared::secrets::Secret;

use super::crm::{self, Access, Api, Ask, Book, Credentials, Line, Proof, Record, Written};
use super::deed::{ActError, Desk, Done, System, Wanted};
use crate::apis::Reply;
use crate::automations::model::MatchBy;
use crate::phone;

const NAME: &str = "Intercom";
const HOST: &str = "api.intercom.io";
/// How many contacts of one search are compared.
const HITS_MAX: u32 = 50;
/// Wait for the next ten seconds, which Intercom counts requests by.
const WAIT: Duration = Duration::from_secs(10);
/// Digits of a contact's id.
const ID_DIGITS: usize = 24;
/// Fields that are a contact's own.
const OWN: [&str; 10] = [
    "name",
    "email",
    "phone",
    "role",
    "external_id",
    "avatar",
    "owner_id",
    "signed_up_at",
    "last_seen_at",
    "unsubscribed_from_emails",
];

static API: Api = Api {
    name: NAME,
    secret: "a token, or JSON of token and region",
    credentials,
    headers: &[("Intercom-Version", "2.16")],
    error,
};

/// The system `[intercom.x]`.
#[derive(Clone, Copy, Debug)]
pub struct Intercom;

impl System for Intercom {
    fn upsert<'a>(
        &'a self,
        desk: Desk<'a>,
        wanted: Wanted<'a>,
    ) -> BoxFuture<'a, Result<Done, ActError>> {
        async move {
            let line = Line::new(&API, desk);
            crm::upsert(&mut Contacts { line, wanted }, &wanted).await
        }
        .boxed()
    }
}

fn credentials(secret: &Secret) -> Option<Credentials> {
    let key = |host: &str, token: Secret| {
        let (host, proof) = (host.to_owned(), Proof::Bearer(token));
        Some(Credentials::Key(Access { host, proof }))
    };
    let Some(fields) = crm::read_secret(secret) else {
        return key(HOST, secret.clone());
    };
    let token = Secret::new(fields.get("token")?);
    match fields.get("region").map(String::as_str) {
        None | Some("us") => key(HOST, token),
        Some("eu") => key("api.eu.intercom.io", token),
        Some("au") => key("api.au.intercom.io", token),
        Some(_) => None,
    }
}

fn error(reply: &Reply, now: Timestamp) -> ActError {
    let answer = reply.json();
    let said = crm::code(answer.pointer("/errors/0/code"));
    match reply.status {
        429 => {
            let reset = reply.header("x-ratelimit-reset");
            let reset = reset.and_then(|seconds| seconds.trim().parse::<i64>().ok());
            let wait = reset.map(|reset| reset.saturating_sub(now.as_second()).max(1));
            let wait = wait.and_then(|seconds| u64::try_from(seconds).ok());
            crm::limited(
                NAME,
                reply,
                said,
                Some(wait.map_or(WAIT, Duration::from_secs)),
            )
        }
        400 | 422 => {
            let field = crm::code(answer.pointer("/errors/0/field"));
            let words: Vec<&str> = said.into_iter().chain(field).collect();
            ActError::Rejected(format!("{NAME} {}: {}", reply.status, words.join(", ")))
        }
        _ => ActError::of(NAME, reply, said),
    }
}

struct Contacts<'a> {
    line: Line<'a>,
    wanted: Wanted<'a>,
}

impl Contacts<'_> {
    fn body(&self) -> Map<String, Value> {
        crm::body(self.wanted.fields, &OWN, "custom_attributes")
    }

    fn new_body(&self) -> Map<String, Value> {
        let mut body = self.body();
        for (by, value) in crm::found_by(&self.wanted) {
            let name = match by {
                MatchBy::Phone => "phone",
                MatchBy::Email => "email",
            };
            body.entry(name).or_insert_with(|| Value::from(value));
        }
        body.entry("role").or_insert_with(|| Value::from("user"));
        // A lead's external id is Intercom's own.
        if body.get("role") == Some(&Value::from("user"))
            && let Some(id) = crm::our_id(&self.wanted)
        {
            body.entry("external_id").or_insert_with(|| Value::from(id));
        }
        body
    }

    async fn written(&mut self, reply: &Reply, what: &'static str) -> Result<Written, ActError> {
        let answer = reply.json();
        if reply.status == 409 {
            let message = crm::text_at(&answer, "/errors/0/message").unwrap_or_default();
            let Some(id) = id_in(message) else {
                return Err(self.line.error(reply));
            };
            if message.contains("archived") {
                let path = ["contacts", id.as_str(), "unarchive"];
                self.line
                    .json(&Ask::json(Method::POST, &path, &json!({})))
                    .await?;
            }
            return self.by_id(&id).await.map(|found| match found {
                Some(record) => Written::Exists(record),
                None => Written::Gone,
            });
        }
        if !reply.is_success() {
            return Err(self.line.error(reply));
        }
        let id = crm::id_at(&answer, "/id").ok_or_else(|| self.line.unreadable())?;
        self.tag(&id).await?;
        Ok(Written::Done(id, what))
    }

    /// Adds the tags that are not there; whether there were any. A contact shows the ids of its tags alone,
    /// and a tag is made by its name or is the one of that name.
    async fn tag(&mut self, id: &str) -> Result<bool, ActError> {
        let wanted = self.wanted.tags;
        if wanted.is_empty() {
            return Ok(false);
        }
        let path = ["contacts", id, "tags"];
        let answer = self.line.json(&Ask::get(&path, &[])).await?;
        let there = crm::list_at(&answer, "/data").iter();
        let there: Vec<&str> = there.filter_map(|tag| crm::text_at(tag, "/name")).collect();
        let mut added = false;
        for name in wanted.iter().filter(|name| !there.contains(&name.as_str())) {
            let named = json!({ "name": name });
            let tag = self
                .line
                .json(&Ask::json(Method::POST, &["tags"], &named))
                .await?;
            let tag = crm::id_at(&tag, "/id").ok_or_else(|| self.line.unreadable())?;
            let tag = json!({ "id": tag });
            self.line
                .json(&Ask::json(Method::POST, &path, &tag))
                .await?;
            added = true;
        }
        Ok(added)
    }
}

impl Book for Contacts<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn by_id(&mut self, id: &str) -> Result<Option<Record>, ActError> {
        let found = self.line.find(&Ask::get(&["contacts", id], &[])).await?;
        let there = |contact: &Value| contact.get("archived") != Some(&Value::Bool(true));
        Ok(found.filter(there).and_then(record))
    }

    async fn by(&mut self, by: MatchBy, value: &str) -> Result<Option<Record>, ActError> {
        let (field, forms) = match by {
            MatchBy::Phone => ("phone", phone::forms(value)),
            MatchBy::Email => ("email", vec![value.trim().to_owned()]),
        };
        let one = |form: &String| json!({ "field": field, "operator": "=", "value": form });
        let any: Vec<Value> = forms.iter().map(one).collect();
        let asked = json!({
            "query": { "operator": "OR", "value": any }, "pagination": { "per_page": HITS_MAX },
        });
        let path = ["contacts", "search"];
        let answer = self
            .line
            .json(&Ask::json(Method::POST, &path, &asked))
            .await?;
        let is_theirs = |contact: &&Value| {
            let typed = contact
                .get(field)
                .and_then(Value::as_str)
                .unwrap_or_default();
            match by {
                MatchBy::Phone => phone::is_same(typed, value),
                MatchBy::Email => typed.eq_ignore_ascii_case(value.trim()),
            }
        };
        let hits = crm::list_at(&answer, "/data").iter().filter(is_theirs);
        // A user before a lead: several leads may have one address.
        let best = hits.min_by_key(|contact| crm::text_at(contact, "/role") != Some("user"));
        Ok(best.cloned().and_then(record))
    }

    async fn create(&mut self) -> Result<Written, ActError> {
        let body = Value::Object(self.new_body());
        let reply = self
            .line
            .send(&Ask::json(Method::POST, &["contacts"], &body))
            .await?;
        self.written(&reply, "created").await
    }

    async fn update(&mut self, record: &Record) -> Result<Written, ActError> {
        let mut body = self.body();
        body.retain(|name, value| !has(&record.is, name, value));
        if body.is_empty() {
            let tagged = self.tag(&record.id).await?;
            let what = if tagged { "updated" } else { "unchanged" };
            return Ok(Written::Done(record.id.clone(), what));
        }
        let body = Value::Object(body);
        let path = ["contacts", record.id.as_str()];
        let reply = self
            .line
            .send(&Ask::json(Method::PUT, &path, &body))
            .await?;
        match reply.status {
            404 | 410 => Ok(Written::Gone),
            _ => self.written(&reply, "updated").await,
        }
    }
}

/// Whether a contact has that already.
fn has(contact: &Value, name: &str, value: &Value) -> bool {
    let there = contact.get(name).unwrap_or(&Value::Null);
    match value {
        Value::Object(fields) => fields
            .iter()
            .all(|(name, value)| there.get(name) == Some(value)),
        value => there == value,
    }
}

/// `… already exists with id=6763b1f0c2f1d1a2b3c4d5e6`.
fn id_in(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("id=")?;
    let id: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
    (id.len() == ID_DIGITS).then_some(id)
}

fn record(contact: Value) -> Option<Record> {
    let id = crm::id_at(&contact, "/id")?;
    Some(Record { id, is: contact })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::crm::tests::{next, reply};

    #[test]
    fn a_limit_says_until_when() {
        let now = Timestamp::from_second(1_000).unwrap();
        for (reset, expected) in [
            ("1007", "limited 7"),
            ("900", "limited 1"),
            ("soon", "limited 10"),
        ] {
            let reply = reply(429, &[("x-ratelimit-reset", reset)], &json!({}));
            assert_eq!(next(&error(&reply, now)), expected, "{reset}");
        }
    }

    #[test]
    fn a_conflict_names_the_contact() {
        let id = "6763b1f0c2f1d1a2b3c4d5e6";
        let message = format!("A contact matching those details already exists with id={id}.");
        assert_eq!(id_in(&message).as_deref(), Some(id));
        for other in ["A contact exists", "id=12", "id="] {
            assert_eq!(id_in(other), None, "{other}");
        }
    }
}
