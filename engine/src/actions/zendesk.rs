//! `[zendesk.x]`: end users of Zendesk Support.
//! <https://developer.zendesk.com/api-reference/ticketing/users/users/>
//!
//! **Secret**: `{"subdomain": "minha-empresa", "email": "ana@…", "token": "…"}` of an agent who may edit end
//! users; without `email` the token is one of OAuth, with `users:write`.
//!
//! **What finds a user.** A search by phone or e-mail address, which shows a new user minutes late. What is not
//! found is made by `create_or_update`, which matches by address or `external_id` and never by phone: a user
//! with a phone alone gets an `external_id` of ours, the same one every time. It is not sent beside an address,
//! because it would be written over that of a user whom the address finds.
//!
//! **Fields** are those of a user (`name`, `email`, `phone`, `notes`, `details`, `locale`, …), by any other
//! name user fields. A phone that is another user's becomes `shared_phone_number`. Tags go through an
//! endpoint that adds them; in a user they would replace those there. With `verified` nobody is mailed.
//! Agents are left alone.
//!
//! **Echoes.** A user of ours has an `external_id` that begins with `callbell:`, or an id that a row remembers.

use std::collections::BTreeMap;

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

const NAME: &str = "Zendesk";
const DOMAIN: &str = ".zendesk.com";
/// How many users of a search have their second phones and addresses read.
const IDENTITIES_MAX: usize = 3;
/// The address is another user's.
const TAKEN: (&str, &str) = ("email", "DuplicateValue");
/// Fields that are a user's own; the role is none of them, because an agent costs money.
const OWN: [&str; 12] = [
    "name",
    "email",
    "phone",
    "shared_phone_number",
    "external_id",
    "alias",
    "details",
    "notes",
    "locale",
    "time_zone",
    "organization_id",
    "remote_photo_url",
];

static API: Api = Api {
    name: NAME,
    secret: "JSON of subdomain, email and token",
    credentials,
    headers: &[],
    error,
};

/// The system `[zendesk.x]`.
#[derive(Clone, Copy, Debug)]
pub struct Zendesk;

impl System for Zendesk {
    fn upsert<'a>(
        &'a self,
        desk: Desk<'a>,
        wanted: Wanted<'a>,
    ) -> BoxFuture<'a, Result<Done, ActError>> {
        async move {
            let line = Line::new(&API, desk);
            crm::upsert(&mut Users { line, wanted }, &wanted).await
        }
        .boxed()
    }
}

fn credentials(secret: &Secret) -> Option<Credentials> {
    let fields: BTreeMap<String, String> = crm::read_secret(secret)?;
    let host = crm::host_of(fields.get("subdomain")?, DOMAIN)?;
    let token = Secret::new(fields.get("token")?);
    let proof = match fields.get("email") {
        Some(email) => Proof::Basic(format!("{email}/token"), token),
        None => Proof::Bearer(token),
    };
    Some(Credentials::Key(Access { host, proof }))
}

fn error(reply: &Reply, _now: Timestamp) -> ActError {
    let answer = reply.json();
    let said = crm::code(answer.get("error"));
    match reply.status {
        // Somebody changes the same user: again later.
        409 => ActError::Unavailable(format!("{NAME} 409")),
        400 | 422 => {
            let problems = problems(&answer);
            let problems = problems
                .iter()
                .map(|(field, code)| format!("{field} {code}"));
            let words: Vec<String> = said
                .map(str::to_owned)
                .into_iter()
                .chain(problems)
                .collect();
            ActError::Rejected(format!("{NAME} {}: {}", reply.status, words.join(", ")))
        }
        _ => ActError::of(NAME, reply, said),
    }
}

/// `phone DuplicateValue`: fields and codes. A field's problems are a list, one object, or a text alone.
fn problems(answer: &Value) -> Vec<(&str, &str)> {
    let details = answer.get("details").and_then(Value::as_object);
    let mut found = Vec::new();
    for (field, problem) in details.into_iter().flatten() {
        let one = problem.get(0).unwrap_or(problem);
        let code = crm::code(one.get("error")).unwrap_or("Invalid");
        // The field is one of ours or of theirs, and no value.
        if field.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            found.push((field.as_str(), code));
        }
    }
    found
}

struct Users<'a> {
    line: Line<'a>,
    wanted: Wanted<'a>,
}

impl Users<'_> {
    fn body(&self) -> Map<String, Value> {
        let mut own = Map::new();
        let mut fields = Map::new();
        for (name, value) in self.wanted.fields {
            match OWN.contains(&name.as_str()) {
                true => own.insert(name.clone(), value.clone()),
                false => fields.insert(name.clone(), value.clone()),
            };
        }
        if !fields.is_empty() {
            own.insert("user_fields".to_owned(), Value::Object(fields));
        }
        own
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
        if let Some(name) = crm::any_name(&self.wanted) {
            body.entry("name").or_insert_with(|| Value::from(name));
        }
        if !body.contains_key("email")
            && let Some(id) = crm::our_id(&self.wanted)
        {
            body.entry("external_id").or_insert_with(|| Value::from(id));
        }
        body
    }

    /// Writes a user; where the phone is another's, as one that they share. An address that is another's, or
    /// a second one of this user already, is left out of a change.
    async fn write(
        &mut self,
        method: Method,
        path: &[&str],
        mut user: Map<String, Value>,
    ) -> Result<Reply, ActError> {
        if self.wanted.verified {
            user.insert("skip_verify_email".to_owned(), Value::from(true));
        }
        let body = json!({ "user": user });
        let reply = self
            .line
            .send(&Ask::json(method.clone(), path, &body))
            .await?;
        if reply.status != 422 {
            return Ok(reply);
        }
        let answer = reply.json();
        let problems = problems(&answer);
        let phone_taken = problems.contains(&("phone", "DuplicateValue"));
        let email_taken = problems.contains(&TAKEN) && method == Method::PUT;
        if !phone_taken && !email_taken {
            return Ok(reply);
        }
        if email_taken {
            user.remove("email");
        }
        if phone_taken && let Some(phone) = user.remove("phone") {
            user.insert("shared_phone_number".to_owned(), phone);
        }
        let body = json!({ "user": user });
        self.line.send(&Ask::json(method, path, &body)).await
    }

    async fn written(&mut self, reply: &Reply) -> Result<Written, ActError> {
        if !reply.is_success() {
            return Err(self.line.error(reply));
        }
        let answer = reply.json();
        let user = answer.get("user").unwrap_or(&Value::Null);
        let id = crm::id_at(user, "/id").ok_or_else(|| self.line.unreadable())?;
        self.tag(&id, user).await?;
        let what = if reply.status == 201 {
            "created"
        } else {
            "updated"
        };
        Ok(Written::Done(id, what))
    }

    /// Adds the tags that are not there; whether there were any.
    async fn tag(&mut self, id: &str, user: &Value) -> Result<bool, ActError> {
        let there = crm::list_at(user, "/tags");
        let is_new = |tag: &&String| !there.iter().any(|known| known == tag.as_str());
        let new: Vec<&String> = self.wanted.tags.iter().filter(is_new).collect();
        if new.is_empty() {
            return Ok(false);
        }
        let body = json!({ "tags": new });
        let path = ["api", "v2", "users", id, "tags.json"];
        self.line
            .json(&Ask::json(Method::PUT, &path, &body))
            .await?;
        Ok(true)
    }

    /// The user of a search whose phone or address it is, first or second.
    async fn search(
        &mut self,
        query: String,
        field: &str,
        is_theirs: impl Fn(&str) -> bool,
    ) -> Result<Option<Record>, ActError> {
        let path = ["api", "v2", "search.json"];
        let query = [("query", query)];
        let answer = self.line.json(&Ask::get(&path, &query)).await?;
        let hits = crm::list_at(&answer, "/results");
        let first = |user: &&Value| {
            user.get(field)
                .and_then(Value::as_str)
                .is_some_and(&is_theirs)
        };
        if let Some(user) = hits.iter().find(first) {
            return record(user).map(Some);
        }
        for user in hits.iter().take(IDENTITIES_MAX) {
            let Some(id) = crm::id_at(user, "/id") else {
                continue;
            };
            let path = ["api", "v2", "users", &id, "identities.json"];
            let answer = self
                .line
                .find(&Ask::get(&path, &[]))
                .await?
                .unwrap_or_default();
            let mut values = crm::list_at(&answer, "/identities").iter();
            if values.any(|one| crm::text_at(one, "/value").is_some_and(&is_theirs)) {
                return record(user).map(Some);
            }
        }
        Ok(None)
    }
}

impl Book for Users<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn by_id(&mut self, id: &str) -> Result<Option<Record>, ActError> {
        let file = format!("{id}.json");
        let answer = self
            .line
            .find(&Ask::get(&["api", "v2", "users", &file], &[]))
            .await?;
        let user = answer.and_then(|answer| answer.get("user").cloned());
        // A deleted or merged user is still read, and not active.
        match user.filter(|user| user.get("active") != Some(&Value::Bool(false))) {
            Some(user) => record(&user).map(Some),
            None => Ok(None),
        }
    }

    async fn by(&mut self, by: MatchBy, value: &str) -> Result<Option<Record>, ActError> {
        match by {
            MatchBy::Email => {
                let email = value.trim();
                let same = |theirs: &str| theirs.eq_ignore_ascii_case(email);
                // A quotation mark would end the term.
                let term = email.replace('"', "");
                let query = format!("type:user email:\"{term}\"");
                self.search(query, "email", same).await
            }
            MatchBy::Phone => {
                let same = |theirs: &str| phone::is_same(theirs, value);
                let query = format!("type:user role:end-user phone:*{}", crm::tail(value));
                self.search(query, "phone", same).await
            }
        }
    }

    async fn create(&mut self) -> Result<Written, ActError> {
        let body = self.new_body();
        let path = ["api", "v2", "users", "create_or_update.json"];
        let reply = self.write(Method::POST, &path, body).await?;
        if reply.status == 422 && problems(&reply.json()).contains(&TAKEN) {
            // It is somebody's second address, whom the search does not show yet.
            return Err(ActError::Unavailable(format!(
                "{NAME} 422: email DuplicateValue"
            )));
        }
        self.written(&reply).await
    }

    async fn update(&mut self, record: &Record) -> Result<Written, ActError> {
        let mut body = self.body();
        body.retain(|name, value| !has(&record.is, name, value));
        if body.is_empty() {
            let tagged = self.tag(&record.id, &record.is).await?;
            let what = if tagged { "updated" } else { "unchanged" };
            return Ok(Written::Done(record.id.clone(), what));
        }
        let file = format!("{}.json", record.id);
        let reply = self
            .write(Method::PUT, &["api", "v2", "users", &file], body)
            .await?;
        match reply.status {
            404 => Ok(Written::Gone),
            _ => self.written(&reply).await,
        }
    }
}

/// Whether a user has that already.
fn has(user: &Value, name: &str, value: &Value) -> bool {
    let there = user.get(name).unwrap_or(&Value::Null);
    match value {
        Value::Object(fields) => fields
            .iter()
            .all(|(name, value)| there.get(name) == Some(value)),
        value => there == value,
    }
}

/// A user, unless it is an agent: what we know of a customer has no place there.
fn record(user: &Value) -> Result<Record, ActError> {
    let role = crm::text_at(user, "/role").unwrap_or("end-user");
    match crm::id_at(user, "/id") {
        Some(id) if role == "end-user" => Ok(Record {
            id,
            is: user.clone(),
        }),
        _ => Err(ActError::Rejected(format!("this is an agent at {NAME}"))),
    }
}

/// Users whom a webhook named, to be read with the secrets of a desk.
pub(crate) struct Reader<'a>(Line<'a>);

impl<'a> Reader<'a> {
    pub(crate) fn of(desk: Desk<'a>) -> Reader<'a> {
        Reader(Line::new(&API, desk))
    }

    /// A user, where there is one.
    pub(crate) async fn user(&mut self, id: &str) -> Result<Option<Value>, ActError> {
        let file = format!("{id}.json");
        let path = ["api", "v2", "users", &file];
        let answer = self.0.find(&Ask::get(&path, &[])).await?;
        Ok(answer.and_then(|answer| answer.get("user").cloned()))
    }

    /// The addresses and phones of a user, the first page of them.
    pub(crate) async fn identities(&mut self, id: &str) -> Result<Vec<Value>, ActError> {
        let path = ["api", "v2", "users", id, "identities.json"];
        let answer = self.0.find(&Ask::get(&path, &[])).await?;
        Ok(crm::list_at(&answer.unwrap_or_default(), "/identities").to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_have_three_shapes() {
        let duplicate = json!({"error": "DuplicateValue", "description": "+55 is taken"});
        for details in [
            json!({ "phone": [duplicate] }),
            json!({ "phone": duplicate }),
        ] {
            let answer = json!({ "error": "RecordInvalid", "details": details });
            assert_eq!(problems(&answer), [("phone", "DuplicateValue")]);
        }
        let answer = json!({ "details": { "name": "is too short", "a b": [] } });
        assert_eq!(problems(&answer), [("name", "Invalid")]);
    }
}
