//! Callbell's JSON, as far as it is used here. Everything that comes in is read leniently: Callbell
//! adds fields, leaves some out, and answers some objects as one-element arrays.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// The body of `POST /messages/send`.
/// <https://github.com/callbellchat/callbell-public-docs>
#[derive(Clone, PartialEq, Serialize)]
pub struct SendMessage {
    /// E.164; required unless there is a `bsuid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// WhatsApp's id of a person who hides the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bsuid: Option<String>,
    /// The kind of channel: `whatsapp`.
    pub from: &'static str,
    /// `text`, `image`, `document`, or, of templates alone, `video`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Text, caption, or the value of a template's only placeholder.
    pub content: Content,
    /// The sending channel, 32 hex digits.
    pub channel_uuid: String,
    /// The approved template, 32 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_uuid: Option<String>,
    /// One a placeholder, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub template_values: Vec<String>,
    /// Required, and true, beside `template_uuid`.
    #[serde(skip_serializing_if = "is_false")]
    pub optin_contact: bool,
    /// An existing user's e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assigned_user: Option<String>,
    /// An existing team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team_uuid: Option<String>,
    /// `bot_start` or `bot_end`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bot_status: Option<&'static str>,
    /// Comes back in the webhooks of this message: at most 10 pairs, keys of 50, values of 500
    /// characters, nothing personal.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// `content` of a message.
#[derive(Clone, Default, PartialEq, Serialize)]
pub struct Content {
    /// The text, the caption, or the only placeholder's value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The picture or file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl SendMessage {
    /// The texts that an error of Callbell's might repeat, and that no reason may.
    pub(super) fn echoes(&self) -> Vec<&str> {
        let optional = [
            &self.bsuid,
            &self.content.text,
            &self.content.url,
            &self.assigned_user,
        ];
        let to = self.to.as_deref();
        let mut echoes: Vec<&str> = to.into_iter().collect();
        echoes.extend(to.map(|to| to.trim_start_matches('+')));
        echoes.extend(optional.into_iter().flatten().map(String::as_str));
        echoes.extend(self.template_values.iter().map(String::as_str));
        // Longest first, so that a part does not break up the whole.
        echoes.sort_by_key(|echo| std::cmp::Reverse(echo.len()));
        echoes
    }
}

impl fmt::Debug for SendMessage {
    /// Its kind and template alone: everything else is personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendMessage")
            .field("type", &self.kind)
            .field("template_uuid", &self.template_uuid)
            .finish_non_exhaustive()
    }
}

/// One line of a contact's history.
#[derive(Clone, Deserialize)]
pub struct HistoryMessage {
    /// Callbell's number of the message.
    #[serde(default)]
    pub uuid: String,
    /// `sent`, `received` or `note`.
    #[serde(default)]
    pub status: String,
    /// The text as it was sent, templates filled in.
    #[serde(default)]
    pub text: Option<String>,
    /// When it was made.
    #[serde(rename = "createdAt", deserialize_with = "timestamp")]
    pub created_at: Timestamp,
}

impl fmt::Debug for HistoryMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HistoryMessage")
            .field("uuid", &self.uuid)
            .field("created_at", &self.created_at)
            .finish_non_exhaustive()
    }
}

/// One webhook that Callbell posted, or tried to, with what it was answered.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Delivery {
    /// `message_created`.
    pub event: String,
    /// What the event is about; with or without the envelope that the webhook has.
    pub payload: Value,
    /// Whether the answer was exactly 200.
    pub success: bool,
    /// When it was made.
    #[serde(deserialize_with = "instant")]
    pub created_at: Option<Timestamp>,
}

/// RFC 3339, or absent.
fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_str().and_then(|text| text.parse().ok()))
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// What stands on it.
    pub items: Vec<T>,
    /// There is a next page.
    pub more: bool,
}

/// A person in Callbell.
#[derive(Clone, Default, PartialEq)]
pub struct Contact {
    /// Callbell's number of the person.
    pub uuid: String,
    /// The name.
    pub name: Option<String>,
    /// The page in the inbox.
    pub href: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Custom fields by name; a checkbox has a list.
    pub fields: Map<String, Value>,
    /// Names of the custom fields that hold an e-mail address, where the answer says so.
    pub email_fields: Vec<String>,
    /// E-mail address of the assigned user.
    pub assigned_user: Option<String>,
    /// The team's number.
    pub team: Option<String>,
    /// The team's name.
    pub team_name: Option<String>,
    /// The funnel's number.
    pub funnel: Option<String>,
    /// The note.
    pub note: Option<String>,
    /// The conversation is closed.
    pub closed: bool,
    /// All of it, in the shape that webhooks have too.
    pub json: Map<String, Value>,
}

impl<'de> Deserialize<'de> for Contact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Map::<String, Value>::deserialize(deserializer)?;
        Contact::read(json).ok_or_else(|| serde::de::Error::custom("a contact without a uuid"))
    }
}

impl Contact {
    fn read(json: Map<String, Value>) -> Option<Contact> {
        let text = |name: &str| text(json.get(name));
        let within = |name: &str, part: &str| match json.get(name)? {
            Value::Object(object) => self::text(object.get(part)),
            _ => None,
        };
        // Two ways to name one thing: its number alone, or all of it.
        let number = |name: &str| text(name).or_else(|| within(name, "uuid"));
        let tags = json.get("tags").and_then(Value::as_array);
        let fields = json.get("customFields").and_then(Value::as_object);
        let types = json.get("customFieldsMetadata").and_then(Value::as_object);
        Some(Contact {
            uuid: text("uuid")?,
            name: text("name"),
            href: text("href"),
            tags: tags
                .into_iter()
                .flatten()
                .filter_map(|tag| self::text(Some(tag)))
                .collect(),
            fields: fields
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.clone(), listed(value)))
                .collect(),
            email_fields: types
                .into_iter()
                .flatten()
                .filter(|(_, field)| field.get("type").and_then(Value::as_str) == Some("email"))
                .map(|(name, _)| name.clone())
                .collect(),
            assigned_user: text("assignedUser").or_else(|| within("assignedUser", "email")),
            team: number("team"),
            team_name: within("team", "name"),
            funnel: number("funnelId"),
            note: text("note"),
            closed: text("closedAt").is_some(),
            json,
        })
    }
}

/// A text that is not blank.
fn text(value: Option<&Value>) -> Option<String> {
    let text = value.and_then(Value::as_str)?;
    (!text.trim().is_empty()).then(|| text.to_owned())
}

/// A custom field's value. A checkbox comes back as the JSON of its list: `"[\"Dark Mode\"]"`.
fn listed(value: &Value) -> Value {
    let list = value
        .as_str()
        .filter(|text| text.trim_start().starts_with('['))
        .and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
    list.map_or_else(|| value.clone(), Value::from)
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contact")
            .field("uuid", &self.uuid)
            .finish_non_exhaustive()
    }
}

/// The body of `POST /contacts` and `PATCH /contacts/:uuid`. What is absent stays as it is.
#[derive(Clone, Default, PartialEq, Serialize)]
pub struct ContactBody {
    /// The phone number, when the person is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// The kind of channel, when the person is made: `whatsapp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<&'static str>,
    /// On which channel the person is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel_uuid: Option<String>,
    /// The name; required when the person is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// All tags, which have to exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Custom fields by name, which have to exist: texts, and lists of texts for a checkbox.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub custom_fields: Map<String, Value>,
    /// An existing user's e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assigned_user: Option<String>,
    /// An existing team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team_uuid: Option<String>,
    /// `bot_start` or `bot_end`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bot_status: Option<&'static str>,
    /// At most 1,000 characters; empty takes the note away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl ContactBody {
    /// It changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == ContactBody::default()
    }

    /// The texts that an error of Callbell's might repeat, and that no reason may. Tags and names of fields
    /// are the account's own words.
    pub(super) fn echoes(&self) -> Vec<&str> {
        let optional = [
            &self.identifier,
            &self.name,
            &self.assigned_user,
            &self.note,
        ];
        let mut echoes: Vec<&str> = optional.into_iter().flatten().map(String::as_str).collect();
        let digits = self.identifier.as_deref();
        echoes.extend(digits.map(|phone| phone.trim_start_matches('+')));
        for value in self.custom_fields.values() {
            match value {
                Value::String(text) => echoes.push(text),
                Value::Array(list) => echoes.extend(list.iter().filter_map(Value::as_str)),
                _ => {}
            }
        }
        // Longest first, so that a part does not break up the whole.
        echoes.sort_by_key(|echo| std::cmp::Reverse(echo.len()));
        echoes
    }
}

impl fmt::Debug for ContactBody {
    /// Nothing: it is personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContactBody").finish_non_exhaustive()
    }
}

/// A funnel of the inbox.
#[derive(Clone, Debug, Deserialize)]
pub struct Funnel {
    /// Its number.
    pub uuid: String,
    /// Its name, as automations write it.
    #[serde(default)]
    pub name: String,
}

/// A team.
#[derive(Clone, Debug, Deserialize)]
pub struct Team {
    /// Its number.
    pub uuid: String,
    /// Its name, as automations write it.
    #[serde(default)]
    pub name: String,
    /// The standard team of the account.
    #[serde(default)]
    pub default: bool,
}

/// A connected number or page.
#[derive(Clone, Debug, Deserialize)]
pub struct ChannelInfo {
    /// Its number.
    pub uuid: String,
    /// Its name in Callbell.
    #[serde(default)]
    pub title: Option<String>,
    /// `whatsapp`, `facebook`, …
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    /// The main one of its kind.
    #[serde(default)]
    pub main: bool,
    /// When it was disconnected.
    #[serde(rename = "discardedAt", default)]
    pub discarded_at: Option<String>,
}

/// A message template.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateInfo {
    /// Its number.
    pub uuid: String,
    /// Its name in Callbell.
    #[serde(default)]
    pub title: String,
    /// With `{{1}}`, `{{2}}` where the values go.
    #[serde(default)]
    pub text: String,
    /// `text`, `image`, `video`, `document`.
    #[serde(default)]
    pub template_type: Option<String>,
    /// `MARKETING`, `UTILITY`, `AUTHENTICATION`.
    #[serde(default)]
    pub category: Option<String>,
    /// `approved`, `pending`, `rejected`, `paused`, `disabled`, …
    #[serde(default)]
    pub status: Option<String>,
}

/// Who a token belongs to: `GET /auth/me`.
#[derive(Clone, Deserialize)]
pub struct Me {
    /// The user's e-mail address.
    #[serde(default)]
    pub user_email: Option<String>,
    /// The user's name.
    #[serde(default)]
    pub user_name: Option<String>,
}

impl fmt::Debug for Me {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Me").finish_non_exhaustive()
    }
}

/// What Callbell says of a message now: `GET /messages/status/:uuid`.
#[derive(Clone, Debug, Deserialize)]
pub struct MessageStatus {
    /// Its number.
    pub uuid: String,
    /// `enqueued`, `sent`, `delivered`, `read`, `failed`, `mismatch`, `deleted`.
    pub status: String,
}

/// Accepts an object or a one-element array of it; `None` where there is neither.
pub(super) fn one<T: serde::de::DeserializeOwned>(
    value: &serde_json::Value,
) -> Result<Option<T>, serde_json::Error> {
    let object = match value {
        serde_json::Value::Array(list) => list.first(),
        serde_json::Value::Null => None,
        other => Some(other),
    };
    match object {
        Some(object) if object.as_object().is_some_and(serde_json::Map::is_empty) => Ok(None),
        Some(object) => T::deserialize(object).map(Some),
        None => Ok(None),
    }
}

fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| serde::de::Error::custom("createdAt is no time"))
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
fn is_false(value: &bool) -> bool {
    !value
}
