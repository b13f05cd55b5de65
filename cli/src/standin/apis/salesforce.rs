//! Salesforce's REST API as far as contacts and leads go: tokens, SOQL of the kind that the functions write,
//! records, and a duplicate rule over e-mail addresses and mobile phones that warns.
//! <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/>
//!
//! A field with `Unknown` in its name is none. Whoever writes `IsConverted` converts a lead.

use engine::phone;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::room::{self, Held, Room, text};
use super::{Api, Reply, Request};

const DOMAIN: &str = ".my.salesforce.com";
/// How long a token lives in the stand-in, in seconds; nothing says so to whoever has it.
const TOKEN_SECONDS: i64 = 7_200;
/// Longest last name, in characters.
const LAST_NAME_CHARS_MAX: usize = 80;

/// The stand-in.
#[derive(Debug, Default)]
pub struct Salesforce(Room);

impl Api for Salesforce {
    fn name(&self) -> &'static str {
        "salesforce"
    }

    fn is_at(&self, host: &str) -> bool {
        host.ends_with(DOMAIN)
    }

    fn changes(&self, request: &Request) -> bool {
        request.method != Method::GET && request.path.iter().any(|part| part == "sobjects")
    }

    fn failure(&self, status: u16) -> Reply {
        match status {
            401 => refused(401, "INVALID_SESSION_ID", &[]),
            // What other systems call 429.
            403 => refused(403, "REQUEST_LIMIT_EXCEEDED", &[]),
            503 => refused(503, "SERVER_UNAVAILABLE", &[]),
            status => refused(status, "UNKNOWN_EXCEPTION", &[]),
        }
    }

    fn records(&self) -> Option<Vec<Value>> {
        Some(self.0.records())
    }

    fn answer(&self, request: &Request, now: Timestamp) -> Reply {
        let mut held = self.0.held();
        let parts = request.parts();
        if parts.as_slice() == ["services", "oauth2", "token"] {
            return match held.grant(request, TOKEN_SECONDS, now) {
                Some(token) => {
                    let mut answer = room::token_answer(&token, None);
                    let instance = json!(format!("https://{}", request.host));
                    room::set(&mut answer, "instance_url", instance);
                    Reply::new(200, answer)
                }
                None => Reply::new(
                    400,
                    json!({ "error": "invalid_client_id", "error_description": "-" }),
                ),
            };
        }
        if !held.is_good(room::bearer(request).unwrap_or_default(), now) {
            return self.failure(401);
        }
        match (&request.method, parts.as_slice()) {
            (&Method::GET, ["services", "data", _, "query"]) => held.query(request, now),
            (&Method::POST, ["services", "data", _, "sobjects", object]) => {
                held.make_row(object, request, now)
            }
            (&Method::GET, ["services", "data", _, "sobjects", object, id]) => {
                match held.row(object, id) {
                    Some(row) => Reply::new(200, row.clone()),
                    None => refused(404, "NOT_FOUND", &[]),
                }
            }
            (&Method::PATCH, ["services", "data", _, "sobjects", object, id]) => {
                let fields = request.body.as_object().cloned().unwrap_or_default();
                if let Some(refused) = problem(&fields) {
                    return refused;
                }
                match held.row(object, id) {
                    Some(row) if row.get("IsConverted") == Some(&json!(true)) => {
                        refused(400, "CANNOT_UPDATE_CONVERTED_LEAD", &[])
                    }
                    Some(row) => {
                        room::put(row, fields);
                        Reply::new(204, Value::Null)
                    }
                    None => refused(404, "NOT_FOUND", &[]),
                }
            }
            _ => refused(404, "NOT_FOUND", &[]),
        }
    }
}

impl Held {
    fn row(&mut self, object: &str, id: &str) -> Option<&mut Value> {
        self.find(|row| kind(row) == object && text(row, "Id") == id)
    }

    fn make_row(&mut self, object: &str, request: &Request, now: Timestamp) -> Reply {
        let fields = request.body.as_object().cloned().unwrap_or_default();
        if let Some(refused) = problem(&fields) {
            return refused;
        }
        let needed: &[&str] = match object {
            "Lead" => &["LastName", "Company"],
            _ => &["LastName"],
        };
        let missing: Vec<&str> = needed
            .iter()
            .filter(|name| text(&request.body, name).is_empty())
            .copied()
            .collect();
        if !missing.is_empty() {
            return refused(400, "REQUIRED_FIELD_MISSING", &missing);
        }
        let allowed = request.header("sforce-duplicate-rule-header");
        if allowed != Some("allowSave=true")
            && let Some(duplicate) = self.duplicate(object, &request.body)
        {
            return duplicate;
        }
        let prefix = if object == "Lead" { "00Q" } else { "003" };
        let id = format!("{prefix}{:012}AAA", self.number());
        let attributes = json!({ "type": object, "url": format!("/sobjects/{object}/{id}") });
        let mut row = json!({
            "attributes": attributes, "Id": id, "CreatedDate": now, "IsConverted": false,
        });
        room::put(&mut row, fields);
        self.push(row, now);
        Reply::new(201, json!({ "id": id, "success": true, "errors": [] }))
    }

    fn duplicate(&self, object: &str, body: &Value) -> Option<Reply> {
        let same = |row: &&Value| {
            let by = |name: &str, same: &dyn Fn(&str, &str) -> bool| {
                let (theirs, ours) = (text(row, name), text(body, name));
                !ours.is_empty() && same(theirs, ours)
            };
            kind(row) == object
                && (by("Email", &|theirs, ours| theirs.eq_ignore_ascii_case(ours))
                    || by("MobilePhone", &phone::is_same))
        };
        let id = text(self.all().find(same)?, "Id").to_owned();
        let mut reply = refused(400, "DUPLICATES_DETECTED", &[]);
        let record = json!({ "attributes": { "type": object }, "Id": id });
        let matched = json!({ "record": record, "matchConfidence": 100.0 });
        let result = json!({
            "allowSave": true, "duplicateRule": "Standard_Contact_Duplicate_Rule",
            "matchResults": [{ "entityType": object, "matchRecords": [matched], "size": 1 }],
        });
        if let Some(first) = reply.body.get_mut(0) {
            room::set(first, "duplicateResult", result);
        }
        Some(reply)
    }

    fn query(&self, request: &Request, now: Timestamp) -> Reply {
        let soql = request.query("q").unwrap_or_default();
        let Some(question) = Question::read(soql) else {
            return refused(400, "MALFORMED_QUERY", &[]);
        };
        let rows: Vec<Value> = self
            .searched(now, SignedDuration::ZERO)
            .filter(|row| question.holds(row))
            .cloned()
            .collect();
        Reply::new(
            200,
            json!({ "totalSize": rows.len(), "done": true, "records": rows }),
        )
    }
}

/// `SELECT … FROM object WHERE [IsConverted = false AND ](name = 'x' OR name IN ('x', 'y')) …`.
struct Question {
    object: String,
    unconverted: bool,
    any: Vec<(String, Vec<String>)>,
}

impl Question {
    fn read(soql: &str) -> Option<Question> {
        let (_, rest) = soql.strip_prefix("SELECT ")?.split_once(" FROM ")?;
        let (object, rest) = rest.split_once(" WHERE ")?;
        let bare = rest.strip_prefix("IsConverted = false AND ");
        let words = words(bare.unwrap_or(rest).strip_prefix('(')?)?;
        let mut any: Vec<(String, Vec<String>)> = Vec::new();
        let mut words = words.into_iter().peekable();
        while let Some(Word::Bare(name)) = words.next() {
            let Some(Word::Bare(operator)) = words.next() else {
                return None;
            };
            if !["=", "IN"].contains(&operator.as_str()) {
                return None;
            }
            let mut values = Vec::new();
            while let Some(Word::Quoted(value)) =
                words.next_if(|word| matches!(word, Word::Quoted(_)))
            {
                values.push(value);
            }
            any.push((name, values));
            match words.next() {
                Some(Word::Bare(or)) if or == "OR" => {}
                _ => break,
            }
        }
        Some(Question {
            object: object.to_owned(),
            unconverted: bare.is_some(),
            any,
        })
    }

    fn holds(&self, row: &Value) -> bool {
        let among = |(name, values): &(String, Vec<String>)| {
            let theirs = text(row, name);
            !theirs.is_empty()
                && values
                    .iter()
                    .any(|value| value.eq_ignore_ascii_case(theirs))
        };
        kind(row) == self.object
            && !(self.unconverted && row.get("IsConverted") == Some(&json!(true)))
            && self.any.iter().any(among)
    }
}

enum Word {
    Bare(String),
    Quoted(String),
}

/// The words of a condition, to the end of the brackets around it; `None`: a text has no end.
fn words(condition: &str) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut bare = String::new();
    let mut characters = condition.chars();
    while let Some(c) = characters.next() {
        match c {
            '\'' => {
                let mut quoted = String::new();
                loop {
                    match characters.next()? {
                        '\\' => quoted.push(characters.next()?),
                        '\'' => break,
                        other => quoted.push(other),
                    }
                }
                words.push(Word::Quoted(quoted));
            }
            ' ' | '(' | ')' | ',' => {
                if !bare.is_empty() {
                    words.push(Word::Bare(std::mem::take(&mut bare)));
                }
            }
            other => bare.push(other),
        }
    }
    Some(words)
}

fn kind(row: &Value) -> &str {
    row.pointer("/attributes/type")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn problem(fields: &Map<String, Value>) -> Option<Reply> {
    let unknown = fields.keys().find(|name| name.contains("Unknown"));
    if let Some(name) = unknown {
        return Some(refused(400, "INVALID_FIELD", &[name]));
    }
    let last = fields
        .get("LastName")
        .and_then(Value::as_str)
        .unwrap_or_default();
    (last.chars().count() > LAST_NAME_CHARS_MAX)
        .then(|| refused(400, "STRING_TOO_LONG", &["LastName"]))
}

fn refused(status: u16, code: &str, fields: &[&str]) -> Reply {
    let one = json!({ "message": "told so", "errorCode": code, "fields": fields });
    Reply::new(status, json!([one]))
}
