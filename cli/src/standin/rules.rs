//! What Callbell accepts, as pure functions: each rule of the API's reference for `POST /messages/send`
//! that can be checked without an account. <https://docs.callbell.eu/api/reference/messages_api/send_messages>

use serde_json::{Map, Value, json};

/// Most pairs of `metadata`.
pub const METADATA_PAIRS_MAX: usize = 10;
/// Most characters of a key of `metadata`.
pub const METADATA_KEY_CHARS_MAX: usize = 50;
/// Most characters of a value of `metadata`.
pub const METADATA_VALUE_CHARS_MAX: usize = 500;
/// Most characters of a text message: WhatsApp's own limit.
pub const TEXT_CHARS_MAX: usize = 4_096;
/// Most characters of a template once it is filled in: WhatsApp's own limit.
pub const TEMPLATE_CHARS_MAX: usize = 1_024;

const EMPTY: &str = "must be present and not empty";

/// A template as `GET /templates` answers it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// 32 hex digits.
    pub uuid: String,
    /// The name in Callbell.
    pub title: String,
    /// With placeholders `{{1}}`.
    pub text: String,
    /// `text`, `image`, `video`, `document`.
    pub kind: String,
    /// `UTILITY`, `MARKETING`, …
    pub category: String,
    /// `approved`, `pending`, `rejected`, …
    pub status: String,
}

/// A channel as `GET /channels` answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// 32 hex digits.
    pub uuid: String,
    /// What a person calls it.
    pub title: String,
    /// `whatsapp`, `facebook`, `instagram`, `telegram`.
    pub kind: String,
}

/// What the rules look things up in.
pub struct Account<'a> {
    /// Known templates; one that is not here is believed.
    pub templates: &'a [Template],
    /// Known channels; none known: any is believed.
    pub channels: &'a [Channel],
    /// Whether this recipient wrote within the last 24 hours.
    pub window_open: &'a dyn Fn(&str) -> bool,
}

/// A message that Callbell would take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sendable {
    /// E.164, or the bsuid.
    pub to: String,
    /// The sentence that the person reads; `None` where the template's text is not known.
    pub text: Option<String>,
    /// Needs WhatsApp credit.
    pub is_template: bool,
}

/// A refusal: HTTP status and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// 4xx.
    pub status: u16,
    /// `{"error": …}`.
    pub body: Value,
}

impl Refused {
    /// `error` as a string.
    pub fn text(status: u16, message: &str) -> Refused {
        Refused {
            status,
            body: json!({ "error": message }),
        }
    }

    /// `error` as a string, with the stable `code`.
    pub fn code(status: u16, message: &str, code: &str) -> Refused {
        Refused {
            status,
            body: json!({ "error": message, "code": code }),
        }
    }

    /// `error` as an object: parameter → its problems.
    pub fn field(field: &str, problem: &str) -> Refused {
        let mut fields = Map::new();
        fields.insert(field.to_owned(), json!([problem]));
        Refused {
            status: 422,
            body: json!({ "error": fields }),
        }
    }
}

/// Whether Callbell would take `body`, and what the person would read.
///
/// # Errors
/// The first rule that it breaks, in the shape in which Callbell says so.
pub fn check(body: &Value, account: &Account<'_>) -> Result<Sendable, Refused> {
    let body = body
        .as_object()
        .ok_or_else(|| Refused::text(400, "the body must be a JSON object"))?;
    let to = recipient(body)?;
    let from = one_of(
        body,
        "from",
        &["whatsapp", "facebook", "instagram", "telegram"],
    )?;
    let channel = required(body, "channel_uuid")?;
    let known = account.channels.iter().find(|known| known.uuid == channel);
    if !account.channels.is_empty() && known.is_none() {
        return Err(Refused::field("channel_uuid", "channel not found"));
    }
    if known.is_some_and(|known| known.kind != from) {
        return Err(Refused::field("from", "does not match the channel"));
    }
    metadata(body)?;
    words(body)?;
    let template = template(body, from, account)?;
    let text = match template {
        Some(_) => template_text(body, template.flatten())?,
        None => plain_text(body)?,
    };
    if template.is_none() && from == "whatsapp" && !(account.window_open)(&to) {
        return Err(Refused::text(
            422,
            "more than 24 hours since the contact's last message: only template messages can be sent",
        ));
    }
    Ok(Sendable {
        to,
        text,
        is_template: template.is_some(),
    })
}

fn required<'a>(body: &'a Map<String, Value>, field: &str) -> Result<&'a str, Refused> {
    body.get(field)
        .and_then(Value::as_str)
        .filter(|text| !text.trim().is_empty())
        .ok_or_else(|| Refused::field(field, EMPTY))
}

fn one_of<'a>(
    body: &'a Map<String, Value>,
    field: &str,
    allowed: &[&str],
) -> Result<&'a str, Refused> {
    let word = required(body, field)?;
    if allowed.contains(&word) {
        return Ok(word);
    }
    Err(Refused::field(
        field,
        &format!("must be one of {}", allowed.join(", ")),
    ))
}

fn recipient(body: &Map<String, Value>) -> Result<String, Refused> {
    match (body.get("to"), body.get("bsuid").and_then(Value::as_str)) {
        (None | Some(Value::Null), Some(bsuid)) if !bsuid.is_empty() => Ok(bsuid.to_owned()),
        _ => {
            let to = required(body, "to")?;
            let digits = to.strip_prefix('+').unwrap_or_default();
            let plausible = (8..=15).contains(&digits.len())
                && digits.bytes().all(|byte| byte.is_ascii_digit());
            if !plausible {
                return Err(Refused::field("to", "is not a valid phone number"));
            }
            Ok(to.to_owned())
        }
    }
}

fn metadata(body: &Map<String, Value>) -> Result<(), Refused> {
    let Some(value) = body.get("metadata").filter(|value| !value.is_null()) else {
        return Ok(());
    };
    let pairs = value
        .as_object()
        .ok_or_else(|| Refused::field("metadata", "must be an object"))?;
    if pairs.len() > METADATA_PAIRS_MAX {
        return Err(Refused::field("metadata", "must have at most 10 pairs"));
    }
    for (key, value) in pairs {
        if key.chars().count() > METADATA_KEY_CHARS_MAX {
            return Err(Refused::field(
                "metadata",
                "keys must have at most 50 characters",
            ));
        }
        let fits = match value {
            Value::String(text) => text.chars().count() <= METADATA_VALUE_CHARS_MAX,
            Value::Number(_) | Value::Bool(_) => true,
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        };
        if !fits {
            return Err(Refused::field(
                "metadata",
                "values must be plain, of at most 500 characters",
            ));
        }
    }
    Ok(())
}

/// The fields that take one of a few words, or a list of them.
fn words(body: &Map<String, Value>) -> Result<(), Refused> {
    if body.contains_key("bot_status") {
        one_of(body, "bot_status", &["bot_start", "bot_end"])?;
    }
    if body.contains_key("assigned_user") && !required(body, "assigned_user")?.contains('@') {
        return Err(Refused::field("assigned_user", "user not found"));
    }
    if body.contains_key("team_uuid") {
        required(body, "team_uuid")?;
    }
    match body.get("fields") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(word)) if word == "contact" || word == "conversation" => Ok(()),
        Some(Value::Array(list))
            if list
                .iter()
                .all(|word| word == "contact" || word == "conversation") =>
        {
            Ok(())
        }
        Some(_) => Err(Refused::field(
            "fields",
            "must be one of contact, conversation",
        )),
    }
}

/// `None`: no template message. `Some(None)`: a template that is not known here.
fn template<'a>(
    body: &Map<String, Value>,
    from: &str,
    account: &Account<'a>,
) -> Result<Option<Option<&'a Template>>, Refused> {
    let opted_in = body.get("optin_contact") == Some(&Value::Bool(true));
    let named = body
        .get("template_uuid")
        .is_some_and(|value| !value.is_null());
    let uuid = match (named, opted_in) {
        (false, false) => return Ok(None),
        (false, true) => return Err(Refused::field("template_uuid", EMPTY)),
        (true, false) => return Err(Refused::field("optin_contact", EMPTY)),
        (true, true) => required(body, "template_uuid")?,
    };
    if from != "whatsapp" {
        return Err(Refused::field(
            "template_uuid",
            "templates exist on WhatsApp channels only",
        ));
    }
    let known = account
        .templates
        .iter()
        .find(|template| template.uuid == uuid);
    if let Some(template) = known
        && template.status != "approved"
    {
        return Err(Refused::field(
            "template_uuid",
            &format!("template is {}", template.status),
        ));
    }
    Ok(Some(known))
}

/// The kind of a message and, where it is a file, that its address is usable.
fn content<'a>(
    body: &'a Map<String, Value>,
    kinds: &[&str],
) -> Result<(&'a str, Option<&'a str>), Refused> {
    let kind = one_of(body, "type", kinds)?;
    let content = body
        .get("content")
        .and_then(Value::as_object)
        .ok_or_else(|| Refused::field("content", EMPTY))?;
    if kind != "text" {
        let url = content
            .get("url")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(Refused::field(
                "content",
                "url must be present and an address",
            ));
        }
    }
    Ok((kind, content.get("text").and_then(Value::as_str)))
}

fn plain_text(body: &Map<String, Value>) -> Result<Option<String>, Refused> {
    let (kind, text) = content(body, &["text", "image", "document"])?;
    let text = text.unwrap_or_default();
    if kind == "text" && text.trim().is_empty() {
        return Err(Refused::field(
            "content",
            "text must be present and not empty",
        ));
    }
    if text.chars().count() > TEXT_CHARS_MAX {
        return Err(Refused::field(
            "content",
            "text is too long (maximum is 4096 characters)",
        ));
    }
    Ok(Some(text.to_owned()))
}

fn template_text(
    body: &Map<String, Value>,
    template: Option<&Template>,
) -> Result<Option<String>, Refused> {
    let (kind, text) = content(body, &["text", "image", "document", "video"])?;
    let values = match body.get("template_values").filter(|value| !value.is_null()) {
        None => text
            .filter(|text| !text.is_empty())
            .map(|text| vec![text.to_owned()])
            .unwrap_or_default(),
        Some(Value::Array(list)) => list
            .iter()
            .map(|value| value.as_str().map(str::to_owned))
            .collect::<Option<Vec<String>>>()
            .ok_or_else(|| Refused::field("template_values", "must be an array of strings"))?,
        Some(_) => {
            return Err(Refused::field(
                "template_values",
                "must be an array of strings",
            ));
        }
    };
    // WhatsApp refuses empty parameters and such with line breaks, tabs or runs of spaces:
    // https://developers.facebook.com/docs/whatsapp/cloud-api/guides/send-message-templates
    let tidy = |value: &String| {
        !value.trim().is_empty() && !value.contains(['\n', '\t', '\r']) && !value.contains("     ")
    };
    if !values.iter().all(tidy) {
        return Err(Refused::field(
            "template_values",
            "values must not be empty nor hold line breaks",
        ));
    }
    let Some(template) = template else {
        return Ok(None);
    };
    let wanted = placeholders(&template.text);
    if wanted != values.len() {
        let problem = format!(
            "the template has {wanted} placeholders, {} values given",
            values.len()
        );
        return Err(Refused::field("template_values", &problem));
    }
    let text_template = template.kind.is_empty() || template.kind == "text";
    if text_template != (kind == "text") {
        return Err(Refused::field(
            "type",
            &format!("the template's type is {}", template.kind),
        ));
    }
    let filled = fill(&template.text, &values);
    if filled.chars().count() > TEMPLATE_CHARS_MAX {
        return Err(Refused::field(
            "template_values",
            "the filled template is too long",
        ));
    }
    Ok(Some(filled))
}

/// How many placeholders a template's text has: the highest number in `{{n}}`.
pub fn placeholders(text: &str) -> usize {
    let numbers = text.split("{{").skip(1).filter_map(|rest| {
        rest.split_once("}}")
            .and_then(|(number, _)| number.trim().parse::<usize>().ok())
    });
    numbers.max().unwrap_or(0)
}

/// The template's text with `values` in its placeholders.
pub fn fill(text: &str, values: &[String]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        filled.push_str(before);
        let Some((number, tail)) = after.split_once("}}") else {
            filled.push_str("{{");
            rest = after;
            continue;
        };
        let value = number
            .trim()
            .parse::<usize>()
            .ok()
            .and_then(|n| n.checked_sub(1));
        match value.and_then(|index| values.get(index)) {
            Some(value) => filled.push_str(value),
            None => {
                filled.push_str("{{");
                filled.push_str(number);
                filled.push_str("}}");
            }
        }
        rest = tail;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(change: impl FnOnce(&mut Value), window: bool) -> Result<Sendable, Refused> {
        let mut body = json!({
            "to": "+5511987654321", "from": "whatsapp", "type": "text", "content": { "text": "Olá" },
            "channel_uuid": "c".repeat(32),
        });
        change(&mut body);
        let templates = [
            Template {
                uuid: "a".repeat(32),
                text: "Oi {{1}}, pedido {{2}}.".to_owned(),
                kind: "text".to_owned(),
                status: "approved".to_owned(),
                ..Template::default()
            },
            Template {
                uuid: "b".repeat(32),
                status: "rejected".to_owned(),
                ..Template::default()
            },
        ];
        let channels = [Channel {
            uuid: "c".repeat(32),
            title: "Loja".to_owned(),
            kind: "whatsapp".to_owned(),
        }];
        let window_open = |_: &str| window;
        check(
            &body,
            &Account {
                templates: &templates,
                channels: &channels,
                window_open: &window_open,
            },
        )
    }

    fn template(body: &mut Value, uuid: &str, values: &[&str]) {
        body["template_uuid"] = json!(uuid.repeat(32));
        body["optin_contact"] = json!(true);
        body["template_values"] = json!(values);
        body["content"] = json!({});
    }

    #[test]
    fn a_text_passes_inside_the_window_alone() {
        assert_eq!(verdict(|_| (), true).unwrap().text.as_deref(), Some("Olá"));
        let refused = verdict(|_| (), false).unwrap_err();
        assert_eq!(refused.status, 422);
        assert!(refused.body["error"].is_string());
    }

    #[test]
    fn a_known_template_is_filled_in() {
        let sent = verdict(|body| template(body, "a", &["Maria", "#1001"]), false).unwrap();
        assert_eq!(sent.text.as_deref(), Some("Oi Maria, pedido #1001."));
        assert!(sent.is_template);
        let unknown = verdict(|body| template(body, "f", &["Maria"]), false).unwrap();
        assert_eq!(unknown.text, None);
    }

    #[test]
    fn each_broken_rule_is_an_object_naming_its_field() {
        type Change = fn(&mut Value);
        let cases: &[(&str, Change)] = &[
            ("to", |body| body["to"] = json!("11 98765-4321")),
            ("to", |body| body["to"] = json!("")),
            ("from", |body| body["from"] = json!("sms")),
            ("channel_uuid", |body| body["channel_uuid"] = Value::Null),
            ("channel_uuid", |body| {
                body["channel_uuid"] = json!("d".repeat(32));
            }),
            ("type", |body| body["type"] = json!("audio")),
            ("content", |body| body["content"] = json!({ "text": " " })),
            ("optin_contact", |body| {
                template(body, "a", &["x", "y"]);
                body["optin_contact"] = json!(false);
            }),
            ("template_uuid", |body| body["optin_contact"] = json!(true)),
            ("template_uuid", |body| template(body, "b", &[])),
            ("template_values", |body| template(body, "a", &["x"])),
            ("template_values", |body| template(body, "a", &["x", " "])),
            ("template_values", |body| {
                template(body, "a", &["x", "a\nb"]);
            }),
            ("metadata", |body| {
                body["metadata"] = json!({ "k".repeat(51): "v" });
            }),
            ("metadata", |body| {
                body["metadata"] = json!({ "k": "v".repeat(501) });
            }),
            ("metadata", |body| body["metadata"] = json!({ "k": {} })),
            ("bot_status", |body| body["bot_status"] = json!("on")),
        ];
        for (field, change) in cases {
            let refused = verdict(change, true).unwrap_err();
            assert!(
                refused.body["error"][*field].is_array(),
                "{field}: {}",
                refused.body
            );
        }
    }

    #[test]
    fn more_than_ten_pairs_of_metadata_are_refused() {
        let pairs = |count: usize| -> Map<String, Value> {
            (0..count).map(|n| (n.to_string(), json!("v"))).collect()
        };
        assert!(verdict(|body| body["metadata"] = Value::Object(pairs(10)), true).is_ok());
        assert!(verdict(|body| body["metadata"] = Value::Object(pairs(11)), true).is_err());
    }

    #[test]
    fn placeholders_are_counted_and_filled() {
        assert_eq!(placeholders("{{1}} and {{2}}, {{1}}"), 2);
        assert_eq!(placeholders("none {{x}}"), 0);
        assert_eq!(fill("{{1}}-{{3}}-{{", &["a".to_owned()]), "a-{{3}}-{{");
    }
}
