//! `[hubspot.x]`: contacts of HubSpot. <https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide>
//!
//! **Secret**: a private app's token, or JSON of a public app's `client_id`, `client_secret` and
//! `refresh_token`. Scopes `crm.objects.contacts.read` and `.write`.
//!
//! **What finds a contact.** An e-mail address is an `idProperty`, read without an index. A phone is none:
//! it is searched for as the texts that somebody may have typed, and among the digits that HubSpot
//! calculates of them, and what is found is compared number by number. The search shows a new contact half
//! a minute late; by then the e-mail address has answered 409, whose text alone names the contact.
//!
//! **Fields** are properties, all of them texts; a list is `a;b`, as enumerations want it. HubSpot has no
//! tags.
//!
//! **Echoes.** A webhook about our own write has a `changeSource` of `INTEGRATION` or `API` and, as its
//! `sourceId` or `appId`, the app of the secret; a contact that we made is known by the row that remembers
//! its id.

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

const NAME: &str = "HubSpot";
const HOST: &str = "api.hubapi.com";
const CONTACTS: [&str; 4] = ["crm", "v3", "objects", "contacts"];
/// Contacts of one search that are compared.
const HITS_MAX: u32 = 50;
/// Wait for the next ten seconds, which HubSpot counts requests by without a `Retry-After`.
const WAIT: Duration = Duration::from_secs(10);
/// Wait where the day's requests are used up.
const DAY_WAIT: Duration = Duration::from_secs(3_600);
/// What a contact is searched by: what was typed, and what HubSpot made of it.
const PHONES: [&str; 5] = [
    "phone",
    "mobilephone",
    "hs_searchable_calculated_phone_number",
    "hs_searchable_calculated_mobile_number",
    "hs_searchable_calculated_international_phone_number",
];
/// What stands in front of the contact's id in the text of a 409.
const EXISTING: &str = "Existing ID: ";

/// What an error says of a contact that is not there.
const GONE: &str = "OBJECT_NOT_FOUND";

static API: Api = Api {
    name: NAME,
    secret: "a token, or JSON of client_id, client_secret and refresh_token",
    credentials,
    headers: &[],
    error,
};

/// The system `[hubspot.x]`.
#[derive(Clone, Copy, Debug)]
pub struct Hubspot;

impl System for Hubspot {
    fn upsert<'a>(
        &'a self,
        desk: Desk<'a>,
        wanted: Wanted<'a>,
    ) -> BoxFuture<'a, Result<Done, ActError>> {
        async move {
            let line = Line::new(&API, desk);
            let mut contacts = Contacts { line, wanted };
            crm::upsert(&mut contacts, &wanted).await
        }
        .boxed()
    }
}

fn credentials(secret: &Secret) -> Option<Credentials> {
    let Some(fields) = crm::read_secret(secret) else {
        return Some(Credentials::Key(Access {
            host: HOST.to_owned(),
            proof: Proof::Bearer(secret.clone()),
        }));
    };
    let form = ["client_id", "client_secret", "refresh_token"]
        .into_iter()
        .map(|name| Some((name, fields.get(name)?.clone())));
    let grant = ("grant_type", "refresh_token".to_owned());
    let form = std::iter::once(Some(grant))
        .chain(form)
        .collect::<Option<_>>()?;
    Some(Credentials::Grant(Grant {
        host: HOST.to_owned(),
        path: &["oauth", "v1", "token"],
        basic: None,
        form,
        api_host: HOST.to_owned(),
        says_host: None,
    }))
}

fn error(reply: &Reply, _now: Timestamp) -> ActError {
    let answer = reply.json();
    let category = crm::code(answer.get("category"));
    match reply.status {
        429 if crm::text_at(&answer, "/policyName") == Some("DAILY") => {
            crm::limited(NAME, reply, Some("DAILY"), Some(DAY_WAIT))
        }
        429 | 477 => crm::limited(NAME, reply, category, Some(WAIT)),
        400 => ActError::Rejected(refusal(&answer, category)),
        _ => ActError::of(NAME, reply, category),
    }
}

/// `HubSpot 400: VALIDATION_ERROR, email INVALID_EMAIL`: categories, codes and names of properties.
fn refusal(answer: &Value, category: Option<&str>) -> String {
    let mut why = format!("{NAME} 400");
    if let Some(category) = category {
        why.push_str(": ");
        why.push_str(category);
    }
    for problem in crm::list_at(answer, "/errors") {
        let property = crm::code(problem.pointer("/context/propertyName/0"));
        let words = [property, crm::code(problem.get("code"))];
        let words: Vec<&str> = words.into_iter().flatten().collect();
        if !words.is_empty() {
            why.push_str(", ");
            why.push_str(&words.join(" "));
        }
    }
    why
}

struct Contacts<'a> {
    line: Line<'a>,
    wanted: Wanted<'a>,
}

impl Contacts<'_> {
    fn properties(&self) -> Map<String, Value> {
        let fields = self.wanted.fields.iter();
        fields
            .map(|(name, value)| (name.clone(), Value::from(crm::text(value))))
            .collect()
    }

    /// What a new contact has beside its fields: what it is found by, and one of the three properties that
    /// HubSpot insists on.
    fn new_properties(&self) -> Map<String, Value> {
        let mut properties = self.properties();
        for (by, value) in crm::found_by(&self.wanted) {
            let (name, others) = match by {
                MatchBy::Phone => ("phone", ["phone", "mobilephone"]),
                MatchBy::Email => ("email", ["email", "email"]),
            };
            if !others.iter().any(|other| properties.contains_key(*other)) {
                properties.insert(name.to_owned(), Value::from(value));
            }
        }
        let needed = ["email", "firstname", "lastname"];
        if !needed.iter().any(|name| properties.contains_key(*name))
            && let Some(name) = crm::any_name(&self.wanted)
        {
            properties.insert("firstname".to_owned(), Value::from(name));
        }
        properties
    }

    async fn search(&mut self, number: &str) -> Result<Option<Record>, ActError> {
        let forms = phone::forms(number);
        let groups: Vec<Value> = PHONES
            .iter()
            .map(|name| {
                let filter = json!({ "propertyName": name, "operator": "IN", "values": forms });
                json!({ "filters": [filter] })
            })
            .collect();
        let asked = json!({
            "filterGroups": groups, "properties": ["phone", "mobilephone"], "limit": HITS_MAX,
        });
        let path = [&CONTACTS[..], &["search"]].concat();
        let ask = Ask::json(Method::POST, &path, &asked);
        let answer = self.line.json(&ask).await?;
        let is_theirs = |hit: &&Value| {
            let typed = ["/properties/phone", "/properties/mobilephone"];
            let mut typed = typed.iter().filter_map(|at| crm::text_at(hit, at));
            typed.any(|typed| phone::is_same(typed, number))
        };
        // The oldest comes first.
        Ok(crm::list_at(&answer, "/results")
            .iter()
            .find(is_theirs)
            .and_then(record))
    }

    /// The contact that the text of a 409 names.
    fn existing(reply: &Reply) -> Option<Record> {
        let answer = reply.json();
        let (_, rest) = crm::text_at(&answer, "/message")?.split_once(EXISTING)?;
        let id: String = rest.chars().take_while(char::is_ascii_digit).collect();
        (!id.is_empty()).then_some(Record {
            id,
            is: Value::Null,
        })
    }

    fn written(&self, reply: &Reply, what: &'static str) -> Result<Written, ActError> {
        match reply.status {
            // What the batch endpoints call a success in parts is none.
            207 => Err(ActError::Rejected(format!("{NAME} 207"))),
            409 => match Contacts::existing(reply) {
                Some(record) => Ok(Written::Exists(record)),
                None => Err(self.line.error(reply)),
            },
            _ if reply.is_success() => {
                let id = crm::id_at(&reply.json(), "/id");
                let id = id.ok_or_else(|| self.line.unreadable())?;
                Ok(Written::Done(id, what))
            }
            _ => Err(self.line.error(reply)),
        }
    }
}

impl Book for Contacts<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn by_id(&mut self, id: &str) -> Result<Option<Record>, ActError> {
        if self.wanted.update && !self.wanted.fields.is_empty() {
            // Changing it says whether it is there.
            let id = id.to_owned();
            return Ok(Some(Record {
                id,
                is: Value::Null,
            }));
        }
        let path = [&CONTACTS[..], &[id]].concat();
        let found = self.line.find(&Ask::get(&path, &[])).await?;
        Ok(found.as_ref().and_then(record))
    }

    async fn by(&mut self, by: MatchBy, value: &str) -> Result<Option<Record>, ActError> {
        match by {
            MatchBy::Phone => self.search(value).await,
            MatchBy::Email => {
                let path = [&CONTACTS[..], &[value]].concat();
                let query = [("idProperty", "email".to_owned())];
                let found = self.line.find(&Ask::get(&path, &query)).await?;
                Ok(found.as_ref().and_then(record))
            }
        }
    }

    async fn create(&mut self) -> Result<Written, ActError> {
        let body = json!({ "properties": self.new_properties() });
        let reply = self
            .line
            .send(&Ask::json(Method::POST, &CONTACTS, &body))
            .await?;
        self.written(&reply, "created")
    }

    async fn update(&mut self, record: &Record) -> Result<Written, ActError> {
        if self.wanted.fields.is_empty() {
            return Ok(Written::Done(record.id.clone(), "unchanged"));
        }
        let body = json!({ "properties": self.properties() });
        let path = [&CONTACTS[..], &[&record.id]].concat();
        let reply = self
            .line
            .send(&Ask::json(Method::PATCH, &path, &body))
            .await?;
        match reply.status {
            404 => Ok(Written::Gone),
            _ => self.written(&reply, "updated"),
        }
    }
}

fn record(contact: &Value) -> Option<Record> {
    let id = crm::id_at(contact, "/id")?;
    Some(Record {
        id,
        is: Value::Null,
    })
}

/// Contacts that a webhook named, to be read with the secrets of a desk.
pub(crate) struct Reader<'a>(Line<'a>);

/// What a question for several contacts came to.
pub(crate) struct Batch {
    /// Those that are there, in any order. A merged one answers as the one that took it in.
    pub(crate) contacts: Vec<Value>,
    /// Some are kept back for another reason than that they are gone.
    pub(crate) held_back: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn of(desk: Desk<'a>) -> Reader<'a> {
        Reader(Line::new(&API, desk))
    }

    /// The account that the secret is of.
    pub(crate) async fn portal(&mut self) -> Result<Option<String>, ActError> {
        let path = ["account-info", "v3", "details"];
        let answer = self.0.json(&Ask::get(&path, &[])).await?;
        Ok(crm::id_at(&answer, "/portalId"))
    }

    /// At most a hundred contacts, with these properties.
    pub(crate) async fn contacts(
        &mut self,
        ids: &[&str],
        properties: &[String],
    ) -> Result<Batch, ActError> {
        let inputs: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
        let asked = json!({ "properties": properties, "inputs": inputs });
        let path = [&CONTACTS[..], &["batch", "read"]].concat();
        let ask = Ask::json(Method::POST, &path, &asked);
        // 207 is a success in parts: those that are not there are among its errors.
        let answer = self.0.find(&ask).await?.unwrap_or_default();
        let is_gone = |error: &Value| crm::text_at(error, "/category") == Some(GONE);
        Ok(Batch {
            contacts: crm::list_at(&answer, "/results").to_vec(),
            held_back: !crm::list_at(&answer, "/errors").iter().all(is_gone),
        })
    }

    /// Who takes care of contacts.
    pub(crate) async fn owner(&mut self, id: &str) -> Result<Option<Value>, ActError> {
        let path = ["crm", "v3", "owners", id];
        self.0.find(&Ask::get(&path, &[])).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::crm::tests::{next, reply};

    #[test]
    fn limits_are_told_apart() {
        for (status, body, expected) in [
            (
                429,
                json!({"policyName": "TEN_SECONDLY_ROLLING"}),
                "limited 10",
            ),
            (429, json!({"policyName": "DAILY"}), "limited 3600"),
            (477, json!({}), "limited 10"),
            (403, json!({"category": "MISSING_SCOPES"}), "refused"),
            (423, json!({}), "unavailable"),
            (523, json!({}), "unavailable"),
            (400, json!({}), "rejected"),
        ] {
            let error = error(&reply(status, &[], &body), Timestamp::UNIX_EPOCH);
            assert_eq!(next(&error), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_conflict_names_the_contact() {
        let existing = |message: &str| {
            let answer = json!({"message": message, "category": "CONFLICT"});
            Contacts::existing(&reply(409, &[], &answer)).map(|record| record.id)
        };
        let found = existing("Contact already exists. Existing ID: 90000000001");
        assert_eq!(found.as_deref(), Some("90000000001"));
        assert_eq!(existing("Contact already exists."), None);
        assert_eq!(existing("Existing ID: "), None);
    }
}
