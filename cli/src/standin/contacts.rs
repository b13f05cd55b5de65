//! The people of the stand-in's account, and what Callbell accepts about them.
//! <https://docs.callbell.eu/api/reference/contacts_api/introduction>
//!
//! A person comes into being by a message that is sent, by one that they write, or by `POST /contacts`; on
//! two channels they are two.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::derived_uuid;
use super::rules::Refused;

/// Most characters of a note.
pub const NOTE_CHARS_MAX: usize = 1_000;
/// Contacts of one page.
pub const PAGE: usize = 50;

const EMPTY: &str = "must be present and not empty";
const SOURCES: [&str; 4] = ["whatsapp", "facebook", "instagram", "telegram"];

/// What a custom field takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// Any text.
    Text,
    /// An e-mail address.
    Email,
    /// A number, as a text.
    Number,
    /// `2026-03-03`.
    Date,
    /// One of these.
    Dropdown(Vec<String>),
    /// A list of these.
    Checkbox(Vec<String>),
}

impl FieldType {
    fn word(&self) -> &'static str {
        match self {
            FieldType::Text => "text",
            FieldType::Email => "email",
            FieldType::Number => "number",
            FieldType::Date => "date",
            FieldType::Dropdown(_) => "dropdown",
            FieldType::Checkbox(_) => "checkbox",
        }
    }

    fn options(&self) -> &[String] {
        match self {
            FieldType::Dropdown(options) | FieldType::Checkbox(options) => options,
            _ => &[],
        }
    }

    /// What is wrong with a value.
    fn problem(&self, value: &Value) -> Option<&'static str> {
        let text = value.as_str();
        let good = match self {
            FieldType::Text => text.is_some(),
            FieldType::Email => text.is_some_and(|text| text.contains('@')),
            FieldType::Number => text.is_some_and(|text| text.parse::<f64>().is_ok()),
            FieldType::Date => text.is_some_and(|text| text.parse::<Date>().is_ok()),
            FieldType::Dropdown(options) => {
                text.is_some_and(|text| options.iter().any(|option| option == text))
            }
            FieldType::Checkbox(options) => value.as_array().is_some_and(|list| {
                list.iter()
                    .all(|item| options.iter().any(|option| item == option))
            }),
        };
        let words = match self {
            FieldType::Text => "must be a string",
            FieldType::Email => "must be an email",
            FieldType::Number => "must be a number, as a string",
            FieldType::Date => "must be a date like 2026-03-03",
            FieldType::Dropdown(_) => "must be one of the available options",
            FieldType::Checkbox(_) => "must be an array of the available options",
        };
        (!good).then_some(words)
    }
}

/// What people can have. An empty list: anything is believed.
#[derive(Clone, Debug, Default)]
pub struct Belongings {
    /// Tags that exist.
    pub tags: Vec<String>,
    /// Custom fields that exist.
    pub fields: BTreeMap<String, FieldType>,
    /// E-mail addresses of users.
    pub users: Vec<String>,
    /// Teams by name.
    pub teams: Vec<String>,
    /// Funnels by name.
    pub funnels: Vec<String>,
}

impl Belongings {
    fn team(&self, uuid: &str) -> Option<&str> {
        let mut teams = self.teams.iter();
        let found = teams.find(|name| derived_uuid("team", name) == uuid);
        found.map(String::as_str)
    }

    fn has_funnel(&self, uuid: &str) -> bool {
        self.funnels
            .iter()
            .any(|name| derived_uuid("funnel", name) == uuid)
    }
}

/// A person on a channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Person {
    /// 32 hex digits.
    pub uuid: String,
    /// The channel's.
    pub channel: String,
    /// `whatsapp`, …
    pub source: String,
    /// The phone number with its `+`; `None`: hidden.
    pub phone: Option<String>,
    /// WhatsApp's id of the person.
    pub bsuid: Option<String>,
    /// The name.
    pub name: String,
    /// When the person came into being.
    pub created_at: Timestamp,
    /// Tags.
    pub tags: Vec<String>,
    /// Custom fields.
    pub fields: Map<String, Value>,
    /// The assigned user's e-mail address.
    pub assigned_user: Option<String>,
    /// The team's number.
    pub team: Option<String>,
    /// The funnel's number.
    pub funnel: Option<String>,
    /// The note.
    pub note: Option<String>,
    /// Notes in the conversation, oldest first.
    pub notes: Vec<(Timestamp, String)>,
    /// When the conversation was closed.
    pub closed_at: Option<Timestamp>,
    /// Callbell's own bot is silent.
    pub bot_ended: bool,
}

impl Person {
    /// What a send's `to` or `bsuid` names.
    pub fn identifier(&self) -> &str {
        let phone = self.phone.as_deref();
        phone.or(self.bsuid.as_deref()).unwrap_or_default()
    }

    /// As the API and the webhooks show it.
    pub fn json(&self, belongings: &Belongings) -> Value {
        let uuid = &self.uuid;
        let fields: Map<String, Value> = self
            .fields
            .iter()
            .map(|(name, value)| (name.clone(), shown(value)))
            .collect();
        let team = self.team.as_ref().map(|team| {
            let name = belongings.team(team).unwrap_or_default();
            json!({ "uuid": team, "name": name })
        });
        let phone = self.phone.as_deref();
        let mut json = json!({
            "uuid": uuid, "name": self.name, "avatarUrl": null, "createdAt": self.created_at,
            "phoneNumber": phone.map(|phone| phone.strip_prefix('+').unwrap_or(phone)),
            "source": self.source, "href": format!("https://dash.callbell.eu/contacts/{uuid}"),
            "conversationHref": format!("https://dash.callbell.eu/chat/{uuid}"), "tags": self.tags,
            "assignedUser": self.assigned_user, "customFields": fields, "team": team,
            "channel": { "uuid": self.channel, "type": self.source }, "note": self.note,
            "funnelId": self.funnel, "closedAt": self.closed_at, "blockedAt": null,
        });
        if let (Some(json), Some(bsuid)) = (json.as_object_mut(), &self.bsuid) {
            json.insert("bsuid".to_owned(), json!(bsuid));
        }
        json
    }

    /// [`Person::json`] with the types of the custom fields: `include_field_types=true`.
    pub fn json_with_types(&self, belongings: &Belongings) -> Value {
        let mut json = self.json(belongings);
        let types: Map<String, Value> = belongings
            .fields
            .iter()
            .map(|(name, kind)| {
                let mut field = json!({ "value": self.fields.get(name), "type": kind.word() });
                if let (Some(field), false) = (field.as_object_mut(), kind.options().is_empty()) {
                    field.insert("options".to_owned(), json!(kind.options()));
                }
                (name.clone(), field)
            })
            .collect();
        if let Some(json) = json.as_object_mut() {
            json.insert("customFieldsMetadata".to_owned(), Value::Object(types));
        }
        json
    }

    /// The bot as `GET /contacts/:uuid/bot` shows it.
    pub fn bot(&self) -> Value {
        let status = if self.bot_ended { "ended" } else { "started" };
        json!({ "bot": {
            "uuid": derived_uuid("bot", "own"), "name": "Bot", "status": status,
            "conversationStartedAt": null, "version": 1, "latestBotVersion": true,
        }})
    }
}

/// A checkbox's list comes back as the text of its JSON.
fn shown(value: &Value) -> Value {
    match value {
        Value::Array(_) => json!(value.to_string()),
        other => other.clone(),
    }
}

/// Who `POST /contacts` makes, before anything that both methods take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPerson {
    /// The phone number.
    pub identifier: String,
    /// The kind of channel.
    pub source: String,
    /// The channel, where it is named.
    pub channel: Option<String>,
}

/// Reads what only `POST /contacts` takes.
///
/// # Errors
/// The first rule that it breaks.
pub fn new_person(body: &Map<String, Value>) -> Result<NewPerson, Refused> {
    let required = |field: &str| {
        let text = body.get(field).and_then(Value::as_str);
        text.filter(|text| !text.trim().is_empty())
            .ok_or_else(|| Refused::field(field, EMPTY))
    };
    let identifier = required("identifier")?;
    let source = required("source")?;
    required("name")?;
    if !SOURCES.contains(&source) {
        return Err(Refused::field("source", "is not included in the list"));
    }
    let digits = identifier.strip_prefix('+').unwrap_or_default();
    let plausible =
        (8..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if source == "whatsapp" && !plausible {
        return Err(Refused::field("identifier", "is not a valid phone number"));
    }
    Ok(NewPerson {
        identifier: identifier.to_owned(),
        source: source.to_owned(),
        channel: body
            .get("channel_uuid")
            .and_then(Value::as_str)
            .map(str::to_owned),
    })
}

/// Changes a person by what `POST /contacts` and `PATCH /contacts/:uuid` both take; nothing where a rule is
/// broken.
///
/// # Errors
/// The first rule that it breaks.
pub fn change(
    person: &mut Person,
    body: &Map<String, Value>,
    belongings: &Belongings,
) -> Result<(), Refused> {
    let mut changed = person.clone();
    if let Some(name) = text(body, "name")? {
        if name.trim().is_empty() {
            return Err(Refused::field("name", EMPTY));
        }
        changed.name = name.to_owned();
    }
    if let Some(tags) = body.get("tags").filter(|tags| !tags.is_null()) {
        changed.tags = known_tags(tags, belongings)?;
    }
    if let Some(fields) = body.get("custom_fields").filter(|fields| !fields.is_null()) {
        changed.fields.extend(known_fields(fields, belongings)?);
    }
    if body.get("unassign_user") == Some(&Value::Bool(true)) {
        changed.assigned_user = None;
    }
    if let Some(user) = text(body, "assigned_user")? {
        let known = belongings.users.is_empty() || belongings.users.iter().any(|one| one == user);
        if !known || !user.contains('@') {
            return Err(Refused::field("assigned_user", "user not found"));
        }
        changed.assigned_user = Some(user.to_owned());
    }
    if let Some(team) = text(body, "team_uuid")? {
        if belongings.team(team).is_none() {
            return Err(Refused::field("team_uuid", "team not found"));
        }
        changed.team = Some(team.to_owned());
    }
    if let Some(status) = text(body, "bot_status")? {
        changed.bot_ended = bot_ended("bot_status", status)?;
    }
    if let Some(note) = text(body, "note")? {
        if note.chars().count() > NOTE_CHARS_MAX {
            let problem = "is too long (maximum is 1000 characters)";
            return Err(Refused::field("note", problem));
        }
        changed.note = Some(note.to_owned()).filter(|note| !note.is_empty());
    }
    *person = changed;
    Ok(())
}

/// Whether a word of `bot_status` ends the bot.
///
/// # Errors
/// It is no such word.
pub fn bot_ended(field: &str, word: &str) -> Result<bool, Refused> {
    match word {
        "bot_start" => Ok(false),
        "bot_end" => Ok(true),
        _ => Err(Refused::field(field, "must be one of bot_start, bot_end")),
    }
}

/// Puts a person into a funnel.
///
/// # Errors
/// There is no such funnel.
pub fn set_funnel(
    person: &mut Person,
    body: &Value,
    belongings: &Belongings,
) -> Result<(), Refused> {
    let funnel = body.get("funnel_id").and_then(Value::as_str);
    let funnel = funnel.filter(|funnel| belongings.has_funnel(funnel));
    let funnel = funnel.ok_or_else(|| Refused::field("funnel_id", "funnel not found"))?;
    person.funnel = Some(funnel.to_owned());
    Ok(())
}

fn text<'a>(body: &'a Map<String, Value>, field: &str) -> Result<Option<&'a str>, Refused> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refused::field(field, "must be a string")),
    }
}

fn known_tags(tags: &Value, belongings: &Belongings) -> Result<Vec<String>, Refused> {
    let list = tags.as_array().and_then(|list| {
        list.iter()
            .map(|tag| tag.as_str().map(str::to_owned))
            .collect::<Option<Vec<String>>>()
    });
    let list = list.ok_or_else(|| Refused::field("tags", "must be an array of strings"))?;
    let known = &belongings.tags;
    let same = |one: &str, other: &str| one.to_lowercase() == other.to_lowercase();
    let unknown = list
        .iter()
        .find(|tag| !known.is_empty() && !known.iter().any(|one| same(one, tag)));
    match unknown {
        Some(tag) => Err(Refused::field("tags", &format!("{tag} does not exist"))),
        None => Ok(list),
    }
}

fn known_fields(fields: &Value, belongings: &Belongings) -> Result<Map<String, Value>, Refused> {
    let fields = fields
        .as_object()
        .ok_or_else(|| Refused::field("custom_fields", "must be an object"))?;
    for (name, value) in fields {
        let problem = match belongings.fields.get(name) {
            Some(kind) => kind.problem(value),
            None if !belongings.fields.is_empty() => Some("does not exist"),
            None => believed(value),
        };
        if let Some(problem) = problem {
            let problem = format!("{name} {problem}");
            return Err(Refused::field("custom_fields", &problem));
        }
    }
    Ok(fields.clone())
}

/// What is wrong with the value of a field of which nothing is known.
fn believed(value: &Value) -> Option<&'static str> {
    let good = match value {
        Value::String(_) => true,
        Value::Array(list) => list.iter().all(Value::is_string),
        _ => false,
    };
    (!good).then_some("must be a string or an array of strings")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn belongings() -> Belongings {
        let options = || vec!["a".to_owned(), "b".to_owned()];
        let fields = [
            ("Text", FieldType::Text),
            ("Email", FieldType::Email),
            ("Number", FieldType::Number),
            ("Date", FieldType::Date),
            ("Dropdown", FieldType::Dropdown(options())),
            ("Checkbox", FieldType::Checkbox(options())),
        ];
        Belongings {
            tags: vec!["Lead".to_owned()],
            fields: fields
                .into_iter()
                .map(|(name, kind)| (name.to_owned(), kind))
                .collect(),
            users: vec!["ana@example.com".to_owned()],
            teams: vec!["Vendas".to_owned()],
            funnels: vec!["Novo".to_owned()],
        }
    }

    fn changed(body: &Value) -> Result<Person, Value> {
        let mut person = Person::default();
        match change(&mut person, body.as_object().unwrap(), &belongings()) {
            Ok(()) => Ok(person),
            Err(refused) => {
                assert_eq!(person, Person::default(), "all or nothing");
                Err(refused.body["error"].clone())
            }
        }
    }

    #[test]
    fn a_contact_takes_what_exists_and_fits() {
        let body = json!({
            "name": "Maria", "tags": ["lead"], "assigned_user": "ana@example.com", "note": "n",
            "team_uuid": derived_uuid("team", "Vendas"), "bot_status": "bot_end",
            "custom_fields": {
                "Text": "x", "Email": "m@example.com", "Number": "4.5", "Date": "2026-03-03", "Dropdown": "a",
                "Checkbox": ["b", "a"],
            },
        });
        let person = changed(&body).unwrap();
        let json = person.json(&belongings());
        assert_eq!(json["customFields"]["Checkbox"], "[\"b\",\"a\"]");
        assert_eq!(json["team"]["name"], "Vendas");
        assert!(person.bot_ended);
        let typed = person.json_with_types(&belongings());
        let field = &typed["customFieldsMetadata"]["Checkbox"];
        assert_eq!(
            field,
            &json!({"value": ["b", "a"], "type": "checkbox", "options": ["a", "b"]})
        );
    }

    #[test]
    fn each_broken_rule_names_its_field() {
        let field = |name: &str, value: Value| json!({ "custom_fields": { name: value } });
        let rows = [
            ("name", json!({"name": " "})),
            ("tags", json!({"tags": "Lead"})),
            ("tags", json!({"tags": ["Lead", "vip"]})),
            ("assigned_user", json!({"assigned_user": "bia@example.com"})),
            ("team_uuid", json!({"team_uuid": "t"})),
            ("bot_status", json!({"bot_status": "start"})),
            ("note", json!({"note": "x".repeat(1_001)})),
            ("custom_fields", json!({"custom_fields": []})),
            ("custom_fields", field("Other", json!("x"))),
            ("custom_fields", field("Text", json!(["x"]))),
            ("custom_fields", field("Email", json!("x"))),
            ("custom_fields", field("Number", json!(4))),
            ("custom_fields", field("Number", json!("four"))),
            ("custom_fields", field("Date", json!("3.3.2026"))),
            ("custom_fields", field("Dropdown", json!("c"))),
            ("custom_fields", field("Checkbox", json!("a"))),
            ("custom_fields", field("Checkbox", json!(["c"]))),
        ];
        for (name, body) in rows {
            let error = changed(&body).unwrap_err();
            assert!(error[name].is_array(), "{body}: {error}");
        }
        for body in [
            json!({"source": "whatsapp", "name": "x"}),
            json!({"identifier": "+5511987654321", "name": "x"}),
            json!({"identifier": "+5511987654321", "source": "whatsapp"}),
            json!({"identifier": "11 98765", "source": "whatsapp", "name": "x"}),
            json!({"identifier": "+5511987654321", "source": "sms", "name": "x"}),
        ] {
            assert!(new_person(body.as_object().unwrap()).is_err(), "{body}");
        }
        let mut person = Person::default();
        let funnel = |name: &str| json!({ "funnel_id": derived_uuid("funnel", name) });
        assert!(set_funnel(&mut person, &funnel("Velho"), &belongings()).is_err());
        assert!(set_funnel(&mut person, &funnel("Novo"), &belongings()).is_ok());
        assert!(person.funnel.is_some());
    }
}
