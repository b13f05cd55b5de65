//! `[mailchimp.x]`: members of an audience of Mailchimp Marketing.
//! <https://mailchimp.com/developer/marketing/api/list-members/>
//!
//! **Secret**: an API key, whose end names the data centre (`…-us6`), or `{"dc": "us6", "token": "…"}` of an
//! OAuth app, whose tokens do not end.
//!
//! **What finds a member** is the e-mail address alone, by its MD5; without one there is no member. `list` is
//! the audience. A member is put, so nobody can be first; `status` is never sent, because it would undo an
//! unsubscription: `status_if_new` is what a new member gets. Where the address has changed since last time,
//! the member of the old one gets the new one.
//!
//! **Fields** are merge fields (`FNAME`, `PHONE`), but for `language`, `vip` and `email_type`. Tags are added.
//!
//! **Echoes.** A webhook of the audience with `sources.api` off says nothing of our own writes.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Map, Value, json};
use shared::secrets::Secret;

use super::crm::{self, Access, Api, Ask, Book, Credentials, Line, Proof, Record, Written};
use super::deed::{ActError, Desk, Done, System, Wanted};
use crate::apis::{Body, Reply};
use crate::automations::model::MatchBy;

const NAME: &str = "Mailchimp";
const DOMAIN: &str = ".api.mailchimp.com";
/// Wait for one of the ten connections that an account may have: nothing says when.
const WAIT: Duration = Duration::from_secs(10);
/// Fields that are a member's own.
const OWN: [&str; 3] = ["language", "vip", "email_type"];
/// Titles of errors that are repeated; their details name addresses.
const TITLES: [&str; 8] = [
    "Invalid Resource",
    "Member In Compliance State",
    "Forgotten Email Not Subscribed",
    "Member Exists",
    "API Key Invalid",
    "Resource Not Found",
    "Too Many Requests",
    "User Action Not Permitted",
];

static API: Api = Api {
    name: NAME,
    secret: "an API key that ends in its data centre (-us6), or JSON of dc and token",
    credentials,
    headers: &[],
    error,
};

/// The system `[mailchimp.x]`.
#[derive(Clone, Copy, Debug)]
pub struct Mailchimp;

impl System for Mailchimp {
    fn upsert<'a>(
        &'a self,
        desk: Desk<'a>,
        wanted: Wanted<'a>,
    ) -> BoxFuture<'a, Result<Done, ActError>> {
        async move {
            let Some(email) = wanted.email.map(str::trim) else {
                let why = "Mailchimp needs an e-mail address, and there is none";
                return Ok(Done::Skipped(why.to_owned()));
            };
            let Some(list) = wanted.list else {
                return Err(ActError::Rejected("Mailchimp needs a list".to_owned()));
            };
            // Nothing else finds a member.
            let wanted = Wanted {
                match_by: &[MatchBy::Email],
                email: Some(email),
                ..wanted
            };
            let line = Line::new(&API, desk);
            let mut members = Members {
                line,
                wanted,
                email,
                list,
            };
            crm::upsert(&mut members, &wanted).await
        }
        .boxed()
    }
}

fn credentials(secret: &Secret) -> Option<Credentials> {
    let (host, proof) = match crm::read_secret(secret) {
        Some(fields) => {
            let token = Secret::new(fields.get("token")?);
            (
                crm::host_of(fields.get("dc")?, DOMAIN)?,
                Proof::Bearer(token),
            )
        }
        None => {
            let (_, centre) = secret.expose().rsplit_once('-')?;
            let proof = Proof::Basic("callbell-serverless".to_owned(), secret.clone());
            (crm::host_of(centre, DOMAIN)?, proof)
        }
    };
    Some(Credentials::Key(Access { host, proof }))
}

fn error(reply: &Reply, _now: Timestamp) -> ActError {
    let answer = reply.json();
    let title = crm::text_at(&answer, "/title").filter(|title| TITLES.contains(title));
    match reply.status {
        429 => crm::limited(NAME, reply, title, Some(WAIT)),
        // Under load the refusal is no JSON.
        403 if answer.is_null() => crm::limited(NAME, reply, title, Some(WAIT)),
        400 | 404 => {
            let fields = crm::list_at(&answer, "/errors").iter();
            let fields = fields.filter_map(|problem| crm::code(problem.get("field")));
            let words: Vec<&str> = title.into_iter().chain(fields).collect();
            ActError::Rejected(format!("{NAME} {}: {}", reply.status, words.join(", ")))
        }
        _ => ActError::of(NAME, reply, title),
    }
}

struct Members<'a> {
    line: Line<'a>,
    wanted: Wanted<'a>,
    email: &'a str,
    list: &'a str,
}

impl Members<'_> {
    async fn read(&mut self, hash: &str) -> Result<Option<Record>, ActError> {
        let path = ["3.0", "lists", self.list, "members", hash];
        let found = self.line.find(&Ask::get(&path, &[])).await?;
        Ok(found.map(|is| Record {
            id: hash.to_owned(),
            is,
        }))
    }

    fn body(&self) -> Map<String, Value> {
        crm::body(self.wanted.fields, &OWN, "merge_fields")
    }

    /// Puts the member of this hash; the hash that it has then.
    async fn put(
        &mut self,
        hash: &str,
        mut body: Map<String, Value>,
        what: &'static str,
    ) -> Result<Written, ActError> {
        body.insert("email_address".to_owned(), Value::from(self.email));
        body.insert(
            "status_if_new".to_owned(),
            Value::from(self.wanted.status_if_new),
        );
        let body = Value::Object(body);
        let reply = self
            .line
            .send(&Ask {
                method: Method::PUT,
                path: &["3.0", "lists", self.list, "members", hash],
                // What the audience requires of a form, nobody can be asked for here.
                query: &[("skip_merge_validation", "true".to_owned())],
                body: Body::Json(&body),
                headers: &[],
            })
            .await?;
        let answer = reply.json();
        let own = hash_of(self.email);
        if !reply.is_success() {
            let taken = crm::text_at(&answer, "/title") == Some("Member Exists") && hash != own;
            let theirs = if taken { self.read(&own).await? } else { None };
            return match theirs {
                Some(theirs) => Ok(Written::Exists(theirs)),
                None => Err(self.line.error(&reply)),
            };
        }
        let hash = crm::id_at(&answer, "/id").unwrap_or(own);
        self.tag(&hash, &answer).await?;
        Ok(Written::Done(hash, what))
    }

    /// Adds the tags that are not there; whether there were any.
    async fn tag(&mut self, hash: &str, is: &Value) -> Result<bool, ActError> {
        let there = crm::list_at(is, "/tags").iter();
        let there: Vec<&str> = there.filter_map(|tag| crm::text_at(tag, "/name")).collect();
        let new: Vec<Value> = self
            .wanted
            .tags
            .iter()
            .filter(|tag| !there.contains(&tag.as_str()))
            .map(|tag| json!({ "name": tag, "status": "active" }))
            .collect();
        if new.is_empty() {
            return Ok(false);
        }
        let path = ["3.0", "lists", self.list, "members", hash, "tags"];
        let body = json!({ "tags": new });
        self.line
            .json(&Ask::json(Method::POST, &path, &body))
            .await?;
        Ok(true)
    }
}

impl Book for Members<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn by_id(&mut self, id: &str) -> Result<Option<Record>, ActError> {
        self.read(id).await
    }

    async fn by(&mut self, _: MatchBy, value: &str) -> Result<Option<Record>, ActError> {
        self.read(&hash_of(value)).await
    }

    async fn create(&mut self) -> Result<Written, ActError> {
        let body = self.body();
        self.put(&hash_of(self.email), body, "created").await
    }

    async fn update(&mut self, record: &Record) -> Result<Written, ActError> {
        let body = self.body();
        if record.id == hash_of(self.email) && has(&record.is, &body) {
            let tagged = self.tag(&record.id, &record.is).await?;
            let what = if tagged { "updated" } else { "unchanged" };
            return Ok(Written::Done(record.id.clone(), what));
        }
        self.put(&record.id, body, "updated").await
    }
}

/// Whether all of that is there already.
fn has(is: &Value, body: &Map<String, Value>) -> bool {
    body.iter().all(|(name, value)| match value {
        Value::Object(fields) => fields
            .iter()
            .all(|(field, value)| is.pointer(&format!("/{name}/{field}")) == Some(value)),
        value => is.get(name) == Some(value),
    })
}

/// A member's id: the MD5 of the address in small letters.
fn hash_of(email: &str) -> String {
    format!("{:x}", md5::compute(email.trim().to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_known_by_the_address_in_small_letters() {
        // The example of Mailchimp's own documentation.
        let hash = "62eeb292278cc15f5817cb78f7790b08";
        for email in [
            "urist.mcvankab@freddiesjokes.com",
            " Urist.McVankab@FreddiesJokes.com",
        ] {
            assert_eq!(hash_of(email), hash);
        }
    }

    #[test]
    fn a_key_names_its_data_centre() {
        let host = |secret: &str| match credentials(&Secret::new(secret)) {
            Some(Credentials::Key(access)) => Some(access.host),
            _ => None,
        };
        assert_eq!(host("0123-us19").as_deref(), Some("us19.api.mailchimp.com"));
        let json = r#"{"dc":"us6","token":"x"}"#;
        assert_eq!(host(json).as_deref(), Some("us6.api.mailchimp.com"));
        for wrong in [
            "0123",
            "0123-",
            "0123-us6/x",
            r#"{"dc":"us6"}"#,
            "a-evil.com/#",
        ] {
            assert_eq!(host(wrong), None, "{wrong}");
        }
    }
}
