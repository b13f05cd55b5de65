//! HubSpot's API as far as contacts go. <https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide>
//!
//! A property with `unknown` in its name is none.

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

/// The stand-in.
#[derive(Debug, Default)]
pub struct HubSpot(Room);

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
                Some("search" | "token")
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
        Some(self.0.records())
    }

    fn answer(&self, request: &Request, now: Timestamp) -> Reply {
        let mut held = self.0.held();
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
        if !held.is_good(room::bearer(request).unwrap_or_default(), now) {
            return self.failure(401);
        }
        match (&request.method, parts.as_slice()) {
            (&Method::POST, ["crm", "v3", "objects", "contacts"]) => {
                held.create(&request.body, now)
            }
            (&Method::POST, ["crm", "v3", "objects", "contacts", "search"]) => {
                held.search(&request.body, now)
            }
            (&Method::GET, ["crm", "v3", "objects", "contacts", id]) => {
                match held.contact(id, request) {
                    Some(contact) => Reply::new(200, shown(contact, request.query("properties"))),
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
