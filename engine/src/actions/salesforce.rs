//! `[salesforce.x]`: contacts or leads of Salesforce, by its REST API.
//! <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/>
//!
//! **Secret**: JSON of `host` (`minha-empresa.my.salesforce.com`; login.salesforce.com knows no client
//! credentials), `client_id` and `client_secret`, and `refresh_token` where the app acts for a person. A
//! token has no stated end: it is used until Salesforce calls it `INVALID_SESSION_ID`.
//!
//! **What finds a record.** SOQL, which has no index that lags: the e-mail address, or any form in which a
//! phone may have been typed, compared number by number. A lead that was converted is none any more. Several
//! records of one person are an error, as they are for Salesforce (300): nobody can say which one is meant.
//! Where a duplicate rule names another record, that one is changed if it has the person's phone or address;
//! otherwise the rule is told to let the record through, which it may refuse.
//!
//! **Fields** are Salesforce's; a list is `a;b`, as multi-select picklists want it. `LastName`, and a lead's
//! `Company`, are filled in where Salesforce insists. There are no tags.
//!
//! **Echoes.** Our own write fires the flow that sends the outbound message. The right cure is in Salesforce
//! (untick "Send Outbound Messages" for the user of the secret); whatever comes all the same is about an id
//! that a row of ours remembers.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Map, Value};
use shared::secrets::Secret;

use super::crm::{self, Api, Ask, Book, Credentials, Grant, Line, Record, Written};
use super::deed::{ActError, Desk, Done, System, Wanted};
use crate::apis::{Body, Reply};
use crate::automations::model::MatchBy;
use crate::phone;

const NAME: &str = "Salesforce";
const DOMAIN: &str = ".salesforce.com";
/// Winter '25: a version answers for three years at least.
const VERSION: [&str; 3] = ["services", "data", "v62.0"];
/// Records that one search compares.
const HITS_MAX: u32 = 20;
/// Longest last name, in characters.
const LAST_NAME_CHARS_MAX: usize = 80;
/// What stands for a lead's company, as in Salesforce's own forms.
const NO_COMPANY: &str = "[not provided]";
/// Wait where the requests of 24 hours are used up.
const DAY_WAIT: Duration = Duration::from_secs(3_600);
/// Wait where too many requests are under way.
const BUSY_WAIT: Duration = Duration::from_secs(10);
/// Lets a record through a duplicate rule that only warns.
const ALLOW_SAVE: (&str, &str) = ("Sforce-Duplicate-Rule-Header", "allowSave=true");

static API: Api = Api {
    name: NAME,
    secret: "JSON of host, client_id and client_secret",
    credentials,
    headers: &[],
    error,
};

/// The system `[salesforce.x]`.
#[derive(Clone, Copy, Debug)]
pub struct Salesforce;

impl System for Salesforce {
    fn upsert<'a>(
        &'a self,
        desk: Desk<'a>,
        wanted: Wanted<'a>,
    ) -> BoxFuture<'a, Result<Done, ActError>> {
        async move {
            let line = Line::new(&API, desk);
            crm::upsert(&mut People { line, wanted }, &wanted).await
        }
        .boxed()
    }
}

fn credentials(secret: &Secret) -> Option<Credentials> {
    let fields = crm::read_secret(secret)?;
    let host = crm::host_of(fields.get("host")?, DOMAIN)?;
    let mut form = vec![
        ("client_id", fields.get("client_id")?.clone()),
        ("client_secret", fields.get("client_secret")?.clone()),
    ];
    match fields.get("refresh_token") {
        Some(token) => {
            form.push(("grant_type", "refresh_token".to_owned()));
            form.push(("refresh_token", token.clone()));
        }
        None => form.push(("grant_type", "client_credentials".to_owned())),
    }
    Some(Credentials::Grant(Grant {
        host: host.clone(),
        path: &["services", "oauth2", "token"],
        basic: None,
        form,
        api_host: host,
        says_host: Some(("instance_url", DOMAIN)),
    }))
}

fn error(reply: &Reply, _now: Timestamp) -> ActError {
    let answer = reply.json();
    let said = code(&answer);
    match (reply.status, said) {
        (_, Some("REQUEST_LIMIT_EXCEEDED")) => {
            let message = crm::text_at(&answer, "/0/message").unwrap_or_default();
            let wait = match message.contains("Concurrent") {
                true => BUSY_WAIT,
                false => DAY_WAIT,
            };
            crm::limited(NAME, reply, said, Some(wait))
        }
        (300, _) => several("an id"),
        (400, Some("UNABLE_TO_LOCK_ROW" | "QUERY_TIMEOUT")) => {
            ActError::Unavailable(refusal(reply.status, &answer))
        }
        (400..500, Some(_)) if !matches!(reply.status, 401 | 403 | 408 | 429) => {
            ActError::Rejected(refusal(reply.status, &answer))
        }
        _ => ActError::of(NAME, reply, said),
    }
}

/// `STRING_TOO_LONG`.
fn code(answer: &Value) -> Option<&str> {
    crm::code(answer.pointer("/0/errorCode"))
}

/// `Salesforce 400: STRING_TOO_LONG, LastName`: codes and names of fields.
fn refusal(status: u16, answer: &Value) -> String {
    let fields = crm::list_at(answer, "/0/fields").iter();
    let words = std::iter::once(answer.pointer("/0/errorCode")).chain(fields.map(Some));
    let words: Vec<&str> = words.filter_map(crm::code).collect();
    format!("{NAME} {status}: {}", words.join(", "))
}

fn several(by: &str) -> ActError {
    ActError::Rejected(format!("{NAME}: several records of this person, by {by}"))
}

struct People<'a> {
    line: Line<'a>,
    wanted: Wanted<'a>,
}

impl People<'_> {
    /// What of the object is a phone.
    fn phones(&self) -> &'static [&'static str] {
        match self.wanted.object {
            "Lead" => &["MobilePhone", "Phone"],
            _ => &["MobilePhone", "Phone", "HomePhone", "OtherPhone"],
        }
    }

    fn fields(&self) -> Map<String, Value> {
        let fields = self.wanted.fields.iter();
        fields
            .map(|(name, value)| match value {
                Value::Array(_) => (name.clone(), Value::from(crm::text(value))),
                value => (name.clone(), value.clone()),
            })
            .collect()
    }

    fn new_fields(&self) -> Map<String, Value> {
        let mut fields = self.fields();
        for (by, value) in crm::found_by(&self.wanted) {
            let names = match by {
                MatchBy::Phone => self.phones(),
                MatchBy::Email => &["Email"],
            };
            if let Some(name) = names.first()
                && !names.iter().any(|name| fields.contains_key(*name))
            {
                fields.insert((*name).to_owned(), Value::from(value));
            }
        }
        if !fields.contains_key("LastName") {
            let name = crm::any_name(&self.wanted).unwrap_or_default();
            let (first, last) = name.split_once(' ').unwrap_or(("", name));
            let last: String = last.trim().chars().take(LAST_NAME_CHARS_MAX).collect();
            fields.insert("LastName".to_owned(), Value::from(last));
            if !first.is_empty() {
                let first = Value::from(first);
                fields.entry("FirstName").or_insert(first);
            }
        }
        if self.wanted.object == "Lead" {
            let company = Value::from(NO_COMPANY);
            fields.entry("Company").or_insert(company);
        }
        fields
    }

    /// The id of the one record for which `condition` and `is_theirs` hold.
    async fn query(
        &mut self,
        by: &str,
        condition: &str,
        is_theirs: impl Fn(&Value) -> bool,
    ) -> Result<Option<Record>, ActError> {
        let object = self.wanted.object;
        let phones = self.phones().join(", ");
        let unconverted = match object {
            "Lead" => "IsConverted = false AND ",
            _ => "",
        };
        let soql = format!(
            "SELECT Id, Email, {phones} FROM {object} WHERE {unconverted}({condition}) \
             ORDER BY CreatedDate ASC LIMIT {HITS_MAX}"
        );
        let path = [&VERSION[..], &["query"]].concat();
        let query = [("q", soql)];
        let answer = self.line.json(&Ask::get(&path, &query)).await?;
        let hits = crm::list_at(&answer, "/records");
        let mut theirs = hits.iter().filter(|hit| is_theirs(hit));
        match (theirs.next(), theirs.next()) {
            (_, Some(_)) => Err(several(by)),
            (Some(hit), None) => Ok(crm::id_at(hit, "/Id").map(record)),
            (None, None) => Ok(None),
        }
    }

    async fn write(
        &mut self,
        method: Method,
        id: Option<&str>,
        fields: Map<String, Value>,
        allow: bool,
    ) -> Result<Reply, ActError> {
        let path = [&VERSION[..], &["sobjects", self.wanted.object]].concat();
        let path = path.into_iter().chain(id).collect::<Vec<_>>();
        let fields = Value::Object(fields);
        let headers: &[(&'static str, &str)] = if allow { &[ALLOW_SAVE] } else { &[] };
        self.line
            .send(&Ask {
                method,
                path: &path,
                query: &[],
                body: Body::Json(&fields),
                headers,
            })
            .await
    }

    /// The record that a duplicate rule names, where it is this person's.
    async fn duplicate(&mut self, answer: &Value) -> Result<Option<Record>, ActError> {
        let results = crm::list_at(answer, "/0/duplicateResult/matchResults");
        let of_kind =
            |result: &&Value| crm::text_at(result, "/entityType") == Some(self.wanted.object);
        let records = results
            .iter()
            .filter(of_kind)
            .flat_map(|result| crm::list_at(result, "/matchRecords"));
        let ids: Vec<String> = records
            .filter_map(|matched| crm::id_at(matched, "/record/Id"))
            .collect();
        for id in ids {
            let mut fields = vec!["Email"];
            fields.extend(self.phones());
            if self.wanted.object == "Lead" {
                fields.push("IsConverted");
            }
            let fields = fields.join(",");
            let path = [&VERSION[..], &["sobjects", self.wanted.object, &id]].concat();
            let query = [("fields", fields)];
            let found = self.line.find(&Ask::get(&path, &query)).await?;
            let live = |found: &Value| found.get("IsConverted") != Some(&Value::Bool(true));
            if found.is_some_and(|found| live(&found) && self.is_theirs(&found)) {
                return Ok(Some(record(id)));
            }
        }
        Ok(None)
    }

    fn is_theirs(&self, found: &Value) -> bool {
        let mut by = crm::found_by(&self.wanted);
        by.any(|(by, value)| match by {
            MatchBy::Phone => self.has_phone(found, value),
            MatchBy::Email => has_email(found, value),
        })
    }

    fn has_phone(&self, found: &Value, number: &str) -> bool {
        let mut typed = self
            .phones()
            .iter()
            .filter_map(|name| found.get(*name)?.as_str());
        typed.any(|typed| phone::is_same(typed, number))
    }
}

impl Book for People<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn by_id(&mut self, id: &str) -> Result<Option<Record>, ActError> {
        if self.wanted.update && !self.wanted.fields.is_empty() {
            // Changing it says whether it is there.
            return Ok(Some(record(id.to_owned())));
        }
        let path = [&VERSION[..], &["sobjects", self.wanted.object, id]].concat();
        let query = [("fields", "Id".to_owned())];
        let found = self.line.find(&Ask::get(&path, &query)).await?;
        Ok(found.map(|_| record(id.to_owned())))
    }

    async fn by(&mut self, by: MatchBy, value: &str) -> Result<Option<Record>, ActError> {
        match by {
            MatchBy::Email => {
                let condition = format!("Email = {}", quoted(value));
                let theirs = |hit: &Value| has_email(hit, value);
                self.query("email", &condition, theirs).await
            }
            MatchBy::Phone => {
                let forms: Vec<String> = phone::forms(value)
                    .iter()
                    .map(|form| quoted(form))
                    .collect();
                let forms = forms.join(", ");
                let one = |name: &&str| format!("{name} IN ({forms})");
                let conditions: Vec<String> = self.phones().iter().map(one).collect();
                let phones = self.phones();
                let theirs = |hit: &Value| {
                    let mut typed = phones.iter().filter_map(|name| hit.get(*name)?.as_str());
                    typed.any(|typed| phone::is_same(typed, value))
                };
                self.query("phone", &conditions.join(" OR "), theirs).await
            }
        }
    }

    async fn create(&mut self) -> Result<Written, ActError> {
        let fields = self.new_fields();
        let mut reply = self
            .write(Method::POST, None, fields.clone(), false)
            .await?;
        let answer = reply.json();
        if code(&answer) == Some("DUPLICATES_DETECTED") {
            if let Some(theirs) = self.duplicate(&answer).await? {
                return Ok(Written::Exists(theirs));
            }
            reply = self.write(Method::POST, None, fields, true).await?;
        }
        if !reply.is_success() {
            return Err(self.line.error(&reply));
        }
        let id = crm::id_at(&reply.json(), "/id");
        let id = id.ok_or_else(|| self.line.unreadable())?;
        Ok(Written::Done(id, "created"))
    }

    /// Which record is meant is known, so no rule needs to ask whether it is a duplicate.
    async fn update(&mut self, record: &Record) -> Result<Written, ActError> {
        let fields = self.fields();
        let reply = self
            .write(Method::PATCH, Some(&record.id), fields, true)
            .await?;
        let answer = reply.json();
        match (reply.status, code(&answer)) {
            (404, _) | (_, Some("ENTITY_IS_DELETED" | "CANNOT_UPDATE_CONVERTED_LEAD")) => {
                Ok(Written::Gone)
            }
            _ if reply.is_success() => Ok(Written::Done(record.id.clone(), "updated")),
            _ => Err(self.line.error(&reply)),
        }
    }
}

fn has_email(found: &Value, email: &str) -> bool {
    let theirs = found.get("Email").and_then(Value::as_str);
    theirs.is_some_and(|theirs| theirs.eq_ignore_ascii_case(email.trim()))
}

fn record(id: String) -> Record {
    Record {
        id,
        is: Value::Null,
    }
}

/// A text in SOQL.
fn quoted(text: &str) -> String {
    let text = text.trim().replace('\\', "\\\\").replace('\'', "\\'");
    format!("'{text}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::crm::tests::{next, reply};
    use serde_json::json;

    #[test]
    fn limits_are_told_apart() {
        let said = |code: &str, message: &str| json!([{"errorCode": code, "message": message}]);
        for (status, body, expected) in [
            (
                403,
                said("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
                "limited 3600",
            ),
            (
                403,
                said("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests Limit"),
                "limited 10",
            ),
            (403, said("INSUFFICIENT_ACCESS", ""), "refused"),
            (401, said("INVALID_SESSION_ID", ""), "refused"),
            (400, said("UNABLE_TO_LOCK_ROW", ""), "unavailable"),
            (503, said("SERVER_UNAVAILABLE", ""), "unavailable"),
            (400, said("STRING_TOO_LONG", ""), "rejected"),
            (
                300,
                json!(["/services/data/v62.0/sobjects/Contact/003"]),
                "rejected",
            ),
        ] {
            let error = error(&reply(status, &[], &body), Timestamp::UNIX_EPOCH);
            assert_eq!(next(&error), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_text_in_soql_stays_one() {
        assert_eq!(quoted("o'neil@example.com"), r"'o\'neil@example.com'");
        assert_eq!(quoted(r"\' OR Id != '"), r"'\\\' OR Id != \''");
    }
}
