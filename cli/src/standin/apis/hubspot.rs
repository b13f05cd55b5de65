//! HubSpot's API as far as contacts go. <https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide>
//!
//! A property with `unknown` in its name is none. A token with `no-owners` in it may not read owners, and one
//! with `portal-` is of the account whose number follows.
//!
//! The contacts that the samples of `events/leads` name can be read by id, and are in no search.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use engine::phone;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::room::{self, Held, Room, text};
use super::{Api, Reply, Request};

const HOST: &str = "api.hubapi.com";
/// How long an access token lives, in seconds.
const TOKEN_SECONDS: i64 = 1_800;
/// How much later a search shows a contact.
const SEARCH_LAG: SignedDuration = SignedDuration::from_secs(30);
/// Groups of filters, filters of one and of all groups that a search may have.
const SEARCH_MAX: (usize, usize, usize) = (5, 6, 18);
/// Properties that an answer has without being asked for them.
const DEFAULT_PROPERTIES: [&str; 6] = [
    "createdate",
    "email",
    "firstname",
    "hs_object_id",
    "lastmodifieddate",
    "lastname",
];

/// The account.
const PORTAL: u64 = 62_515;
/// Contacts of one question.
const BATCH_MAX: usize = 100;
/// Who takes care of the samples' contacts.
const OWNER: &str = "9586504";
/// So long after a sample's contact was first read it has the phone that comes later.
const LATER: SignedDuration = SignedDuration::from_secs(60);

/// A contact that a sample names.
struct Sample {
    id: &'static str,
    properties: &'static [(&'static str, &'static str)],
    /// What it has only some time after it was first read.
    later: &'static [(&'static str, &'static str)],
}

const SAMPLES: &[Sample] = &[
    Sample {
        id: "61500000101",
        properties: &[
            ("firstname", "Bruna"),
            ("lastname", "Teixeira"),
            ("email", "bruna.teixeira@example.com"),
            ("phone", "(11) 98001-0101"),
            ("country", "Brazil"),
            ("city", "São Paulo"),
            ("company", "Padaria Sol"),
            ("lifecyclestage", "lead"),
            ("hubspot_owner_id", OWNER),
            ("hs_language", "pt-br"),
        ],
        later: &[],
    },
    Sample {
        id: "61500000102",
        properties: &[
            ("firstname", "Caio"),
            ("lastname", "Nogueira"),
            ("email", "caio.nogueira@example.com"),
            ("country", "Brazil"),
            ("lifecyclestage", "subscriber"),
            ("hs_language", "pt-br"),
        ],
        later: &[("mobilephone", "+55 11 98001-0102")],
    },
    Sample {
        id: "61500000103",
        properties: &[
            ("firstname", "Dalva"),
            ("lastname", "Prado"),
            ("hs_whatsapp_phone_number", "+5511980010103"),
            ("lifecyclestage", "lead"),
        ],
        later: &[],
    },
];

/// The stand-in.
#[derive(Debug, Default)]
pub struct HubSpot {
    room: Room,
    /// When each sample's contact was first read.
    read: Mutex<BTreeMap<&'static str, Timestamp>>,
}

impl HubSpot {
    /// A sample's contact.
    fn sample(&self, id: &str, now: Timestamp) -> Option<Value> {
        let sample = SAMPLES.iter().find(|sample| sample.id == id)?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let first = *read.entry(sample.id).or_insert(now);
        let later = now.duration_since(first) >= LATER;
        let later = sample.later.iter().filter(|_| later);
        let mut properties: Map<String, Value> = sample
            .properties
            .iter()
            .chain(later)
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        let made = "2026-03-16T12:00:00Z";
        properties.insert("hs_object_id".to_owned(), json!(id));
        properties.insert("createdate".to_owned(), json!(made));
        properties.insert("lastmodifieddate".to_owned(), json!(now));
        Some(json!({
            "id": id, "properties": properties, "createdAt": made, "updatedAt": now, "archived": false,
        }))
    }

    /// Those of the contacts that are there; the others are errors.
    fn batch(&self, held: &mut Held, request: &Request, now: Timestamp) -> Reply {
        let inputs = list(&request.body, "inputs");
        let names: Vec<&str> = list(&request.body, "properties")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        if inputs.len() > BATCH_MAX || names.iter().any(|name| name.contains("unknown")) {
            let why = "There was a problem with the request.";
            return Reply::new(400, error(why, "VALIDATION_ERROR"));
        }
        let names = names.join(",");
        let (mut results, mut missing) = (Vec::new(), Vec::new());
        for id in inputs.iter().map(|input| text(input, "id")) {
            let own = held.contact(id, request).cloned();
            match own.or_else(|| self.sample(id, now)) {
                Some(contact) => results.push(shown(&contact, Some(&names))),
                None => missing.push(id),
            }
        }
        let mut body = json!({ "status": "COMPLETE", "results": results });
        if missing.is_empty() {
            return Reply::new(200, body);
        }
        let mut gone = error("Could not get some CONTACT objects", "OBJECT_NOT_FOUND");
        room::set(&mut gone, "context", json!({ "ids": missing }));
        room::set(&mut body, "numErrors", json!(1));
        room::set(&mut body, "errors", json!([gone]));
        Reply::new(207, body)
    }
}

/// The account of a token.
fn account(token: &str) -> Reply {
    let named = token.split_once("portal-").map(|(_, rest)| rest);
    let digits: Option<String> =
        named.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect());
    let portal = digits.and_then(|digits| digits.parse().ok());
    let portal: u64 = portal.unwrap_or(PORTAL);
    Reply::new(
        200,
        json!({ "portalId": portal, "timeZone": "America/Sao_Paulo" }),
    )
}

fn owner(id: &str) -> Reply {
    if id != OWNER {
        return missing();
    }
    Reply::new(
        200,
        json!({
            "id": OWNER, "email": "rui@example.com", "firstName": "Rui", "lastName": "Sá",
            "userId": 9_586_504, "archived": false,
        }),
    )
}

impl Api for HubSpot {
    fn name(&self) -> &'static str {
        "hubspot"
    }

    fn is_at(&self, host: &str) -> bool {
        host == HOST
    }

    fn changes(&self, request: &Request) -> bool {
        request.method != Method::GET
            && !matches!(
                request.path.last().map(String::as_str),
                Some("search" | "token" | "read")
            )
    }

    fn failure(&self, status: u16) -> Reply {
        match status {
            429 => {
                let mut body = error(
                    "You have reached your ten_secondly_rolling limit.",
                    "RATE_LIMITS",
                );
                room::set(&mut body, "policyName", json!("TEN_SECONDLY_ROLLING"));
                Reply::new(429, body).with("x-hubspot-ratelimit-interval-milliseconds", "10000")
            }
            401 => Reply::new(
                401,
                error(
                    "Authentication credentials not found.",
                    "INVALID_AUTHENTICATION",
                ),
            ),
            403 => Reply::new(
                403,
                error(
                    "This app hasn't been granted all required scopes.",
                    "MISSING_SCOPES",
                ),
            ),
            status => Reply::new(status, error("internal error", "INTERNAL_ERROR")),
        }
    }

    fn records(&self) -> Option<Vec<Value>> {
        Some(self.room.records())
    }

    fn answer(&self, request: &Request, now: Timestamp) -> Reply {
        let mut held = self.room.held();
        let parts = request.parts();
        if let (&Method::POST, ["oauth", "v1", "token"]) = (&request.method, parts.as_slice()) {
            return match held.grant(request, TOKEN_SECONDS, now) {
                Some(token) => Reply::new(200, room::token_answer(&token, Some(TOKEN_SECONDS))),
                None => Reply::new(
                    400,
                    json!({
                        "status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token",
                    }),
                ),
            };
        }
        let token = room::bearer(request).unwrap_or_default();
        if !held.is_good(token, now) {
            return self.failure(401);
        }
        match (&request.method, parts.as_slice()) {
            (&Method::POST, ["crm", "v3", "objects", "contacts"]) => {
                held.create(&request.body, now)
            }
            (&Method::POST, ["crm", "v3", "objects", "contacts", "search"]) => {
                held.search(&request.body, now)
            }
            (&Method::POST, ["crm", "v3", "objects", "contacts", "batch", "read"]) => {
                self.batch(&mut held, request, now)
            }
            (&Method::GET, ["account-info", "v3", "details"]) => account(token),
            (&Method::GET, ["crm", "v3", "owners", _]) if token.contains("no-owners") => {
                self.failure(403)
            }
            (&Method::GET, ["crm", "v3", "owners", id]) => owner(id),
            (&Method::GET, ["crm", "v3", "objects", "contacts", id]) => {
                let own = held.contact(id, request).cloned();
                match own.or_else(|| self.sample(id, now)) {
                    Some(contact) => Reply::new(200, shown(&contact, request.query("properties"))),
                    None => missing(),
                }
            }
            (&Method::PATCH, ["crm", "v3", "objects", "contacts", id]) => {
                held.change(id, request, now)
            }
            _ => missing(),
        }
    }
}

impl Held {
    fn contact(&mut self, id: &str, request: &Request) -> Option<&mut Value> {
        let property = request.query("idProperty").unwrap_or("hs_object_id");
        let of = |contact: &Value| {
            let found = contact.pointer(&format!("/properties/{property}"));
            found
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_lowercase()
        };
        let id = id.to_lowercase();
        // A phone is no property that a contact is read by.
        let unique = ["hs_object_id", "email"].contains(&property);
        self.find(|contact| unique && of(contact) == id)
    }

    fn create(&mut self, body: &Value, now: Timestamp) -> Reply {
        let mut properties = room::table(body, "properties");
        if let Some(refused) = refused(&properties) {
            return refused;
        }
        if !["email", "firstname", "lastname"]
            .iter()
            .any(|name| properties.contains_key(*name))
        {
            return Reply::new(
                400,
                error(
                    "at least one of email, firstname, lastname",
                    "VALIDATION_ERROR",
                ),
            );
        }
        if let Some(conflict) = self.conflict(&properties, "") {
            return conflict;
        }
        let id = (90_000_000_000 + self.number()).to_string();
        properties.insert("hs_object_id".to_owned(), json!(id));
        properties.insert("createdate".to_owned(), json!(now));
        calculate(&mut properties, now);
        let contact = json!({
            "id": id, "properties": properties, "createdAt": now, "updatedAt": now, "archived": false,
        });
        self.push(contact.clone(), now);
        Reply::new(201, contact)
    }

    fn change(&mut self, id: &str, request: &Request, now: Timestamp) -> Reply {
        let mut properties = room::table(&request.body, "properties");
        if let Some(refused) = refused(&properties) {
            return refused;
        }
        if let Some(conflict) = self.conflict(&properties, id) {
            return conflict;
        }
        let Some(contact) = self.contact(id, request) else {
            return missing();
        };
        calculate(&mut properties, now);
        if let Some(held) = contact.get_mut("properties") {
            room::put(held, properties);
        }
        room::set(contact, "updatedAt", json!(now));
        Reply::new(200, contact.clone())
    }

    /// Another contact with this e-mail address.
    fn conflict(&self, properties: &Map<String, Value>, id: &str) -> Option<Reply> {
        let email = properties.get("email")?.as_str()?.to_lowercase();
        let of = |contact: &&Value| {
            let theirs = contact.pointer("/properties/email").and_then(Value::as_str);
            theirs.is_some_and(|theirs| theirs.to_lowercase() == email) && text(contact, "id") != id
        };
        let other = text(self.all().find(of)?, "id").to_owned();
        let message = format!("Contact already exists. Existing ID: {other}");
        Some(Reply::new(409, error(&message, "CONFLICT")))
    }

    fn search(&self, body: &Value, now: Timestamp) -> Reply {
        let groups = list(body, "filterGroups");
        let filters = |group: &Value| list(group, "filters").to_vec();
        let counts: Vec<usize> = groups.iter().map(|group| filters(group).len()).collect();
        let (groups_max, filters_max, all_max) = SEARCH_MAX;
        if groups.len() > groups_max
            || counts.iter().any(|count| *count > filters_max)
            || counts.iter().sum::<usize>() > all_max
        {
            return Reply::new(400, error("too many filters", "VALIDATION_ERROR"));
        }
        let all = groups.iter().flat_map(filters);
        if all.into_iter().any(|filter| !is_filter(&filter)) {
            return Reply::new(
                400,
                error("There was a problem with the request.", "VALIDATION_ERROR"),
            );
        }
        let meets = |contact: &&Value| {
            let mut groups = groups.iter();
            groups.any(|group| filters(group).iter().all(|filter| holds(filter, contact)))
        };
        let wanted: Vec<&str> = list(body, "properties")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let wanted = wanted.join(",");
        let results: Vec<Value> = self
            .searched(now, SEARCH_LAG)
            .filter(meets)
            .map(|contact| shown(contact, Some(&wanted)))
            .collect();
        Reply::new(200, json!({ "total": results.len(), "results": results }))
    }
}

fn is_filter(filter: &Value) -> bool {
    match text(filter, "operator") {
        "EQ" => filter.get("value").is_some_and(Value::is_string),
        // The values of a list have to be in small letters.
        "IN" => {
            let values = list(filter, "values");
            let small = |value: &Value| {
                value
                    .as_str()
                    .is_some_and(|text| text.to_lowercase() == text)
            };
            !values.is_empty() && values.iter().all(small)
        }
        _ => false,
    }
}

fn holds(filter: &Value, contact: &Value) -> bool {
    let property = contact.pointer(&format!("/properties/{}", text(filter, "propertyName")));
    let Some(property) = property.and_then(Value::as_str) else {
        return false;
    };
    let is = |value: &Value| {
        value
            .as_str()
            .is_some_and(|value| value.eq_ignore_ascii_case(property))
    };
    match text(filter, "operator") {
        "EQ" => filter.get("value").is_some_and(is),
        _ => list(filter, "values").iter().any(is),
    }
}

/// What HubSpot makes of the numbers that somebody typed.
fn calculate(properties: &mut Map<String, Value>, now: Timestamp) {
    for (name, calculated) in [
        ("phone", "hs_searchable_calculated_phone_number"),
        ("mobilephone", "hs_searchable_calculated_mobile_number"),
    ] {
        if let Some(typed) = properties.get(name).and_then(Value::as_str) {
            let digits: String = typed.chars().filter(char::is_ascii_digit).collect();
            let national = phone::national(typed).unwrap_or(digits);
            properties.insert(calculated.to_owned(), json!(national));
        }
    }
    properties.insert("lastmodifieddate".to_owned(), json!(now));
}

fn refused(properties: &Map<String, Value>) -> Option<Reply> {
    let problem = |name: &str, value: &Value| match value {
        Value::String(_) if name.contains("unknown") => Some("PROPERTY_DOESNT_EXIST"),
        Value::String(email) if name == "email" && !email.contains('@') => Some("INVALID_EMAIL"),
        Value::String(_) => None,
        _ => Some("INVALID_STRING"),
    };
    let mut all = properties.iter();
    let (name, code) = all.find_map(|(name, value)| Some((name, problem(name, value)?)))?;
    let mut body = error("Property values were not valid", "VALIDATION_ERROR");
    let errors = json!([{
        "message": format!("{name} is not valid"), "code": code, "context": { "propertyName": [name] },
    }]);
    room::set(&mut body, "errors", errors);
    Some(Reply::new(400, body))
}

/// A contact with the properties that were asked for, and those that always come.
fn shown(contact: &Value, properties: Option<&str>) -> Value {
    let asked: Vec<&str> = properties.unwrap_or_default().split(',').collect();
    let mut contact = contact.clone();
    if let Some(held) = contact.get_mut("properties").and_then(Value::as_object_mut) {
        held.retain(|name, _| {
            DEFAULT_PROPERTIES.contains(&name.as_str()) || asked.contains(&name.as_str())
        });
    }
    contact
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn error(message: &str, category: &str) -> Value {
    json!({ "status": "error", "message": message, "correlationId": "c0", "category": category })
}

fn missing() -> Reply {
    Reply::new(404, error("resource not found", "OBJECT_NOT_FOUND"))
}
