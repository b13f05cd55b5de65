//! Deserialisers for what providers make of JSON.
//!
//! What has an unexpected type is absent; the little that an event cannot do without is asked for by
//! [`required`]. Only lists are strict: what is no list where one should be is unreadable.

use std::fmt;
use std::marker::PhantomData;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::Unreadable;
use crate::event::{FreeMap, Money, TEXT_CHARS_MAX};

/// Longest URL that is kept, in characters: one that was cut leads nowhere.
const URL_CHARS_MAX: usize = 2_000;
/// Longest key of a free map, in characters.
const KEY_CHARS_MAX: usize = 100;
/// From here on a number of a time counts milliseconds: as seconds it would be the year 5138.
const MILLIS_MIN: i64 = 100_000_000_000;

/// The signed bytes as JSON.
pub(super) fn json(body: &[u8]) -> Result<Value, Unreadable> {
    serde_json::from_slice(body).map_err(|error| Unreadable {
        path: "body".to_owned(),
        problem: format!(
            "not JSON at line {}, column {}",
            error.line(),
            error.column()
        ),
    })
}

/// A part of the JSON as a provider's type.
pub(super) fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, Unreadable> {
    serde_path_to_error::deserialize(value).map_err(|error| Unreadable {
        path: match error.path().to_string() {
            root if root == "." => "body".to_owned(),
            path => path,
        },
        problem: problem(&error.inner().to_string()),
    })
}

/// What was expected. serde's own messages quote the value that was found, which may be personal; what
/// stands after the last `expected` comes from the type.
fn problem(message: &str) -> String {
    if message.starts_with("missing field") {
        return message.to_owned();
    }
    match message.rfind("expected ") {
        Some(at) => message.get(at..).unwrap_or_default().to_owned(),
        None => "not of the expected type".to_owned(),
    }
}

/// An integer or a text; a number with a fraction or an exponent was rounded on its way here.
pub(super) fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(as_id(&Value::deserialize(deserializer)?))
}

/// What an event cannot do without.
pub(super) fn required<T>(value: Option<T>, path: &str, expected: &str) -> Result<T, Unreadable> {
    value.ok_or_else(|| Unreadable {
        path: path.to_owned(),
        problem: format!("expected {expected}"),
    })
}

pub(super) fn as_id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => {
            let text = text.trim();
            let fits = !text.is_empty() && text.len() <= KEY_CHARS_MAX && text.bytes().all(id_byte);
            fits.then(|| text.to_owned())
        }
        Value::Number(number) if number.is_u64() || number.is_i64() => Some(number.to_string()),
        _ => None,
    }
}

/// Ids are parts of keys, which `/` divides.
fn id_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'/'
}

/// RFC 3339 with an offset, or absent.
pub(super) fn time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    Ok(Value::deserialize(deserializer)?
        .as_str()
        .and_then(|text| text.parse().ok()))
}

/// A time as RFC 3339 with an offset, as `2026-03-16 13:00:00` in UTC, or as seconds or milliseconds since
/// 1970, also where a text holds them.
pub(super) fn moment(value: &Value) -> Option<Timestamp> {
    let unix = |number: i64| match number.abs() < MILLIS_MIN {
        true => Timestamp::from_second(number).ok(),
        false => Timestamp::from_millisecond(number).ok(),
    };
    match value {
        Value::String(text) => {
            let text = text.trim();
            let offset = text.parse().ok();
            let civil = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
            let number = || text.parse().ok().and_then(unix);
            offset
                .or_else(|| civil().map(|civil| civil.timestamp()))
                .or_else(number)
        }
        Value::Number(number) => number.as_i64().and_then(unix),
        _ => None,
    }
}

/// Plain text, see [`plain`]; blank is absent.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(as_text(&Value::deserialize(deserializer)?))
}

/// A text or a number as plain text.
pub(super) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => plain(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// An amount, as text or number.
pub(super) fn money<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Money>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Money::parse(&text),
        // `f64` prints without an exponent, which `Money` does not read.
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Money::parse(&whole.to_string()),
            None => number
                .as_f64()
                .and_then(|amount| Money::parse(&amount.to_string())),
        },
        _ => None,
    })
}

/// A quantity, as number or text; a fraction is cut off.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let whole = |text: &str| {
        text.split('.')
            .next()
            .and_then(|digits| digits.trim().parse().ok())
    };
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => whole(&text),
        Value::Number(number) => whole(&number.to_string()),
        _ => None,
    })
}

/// `true` or `false`, or absent.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_bool())
}

/// A web address, or absent.
pub(super) fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_str().and_then(as_url))
}

/// `text` where it is a web address.
pub(super) fn as_url(text: &str) -> Option<String> {
    let text = text.trim();
    let web = text.starts_with("https://") || text.starts_with("http://");
    let whole = text.len() <= URL_CHARS_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
    (web && whole).then(|| text.to_owned())
}

/// The host of a web address.
pub(super) fn host(url: &str) -> Option<&str> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    rest.split(['/', '?', '#', ':'])
        .next()
        .filter(|host| is_host(host))
}

/// Whether `text` has the form of a host's name.
pub(super) fn is_host(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    text.contains('.') && text.len() <= 253 && text.bytes().all(allowed)
}

/// An object; anything else is absent.
pub(super) fn object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_any(Object(PhantomData))
}

struct Object<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// A list.
pub(super) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_any(List(PhantomData))
}

struct List<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            elements.push(element);
        }
        Ok(elements)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some((_, element)) = map.next_entry::<IgnoredAny, T>()? {
            elements.push(element);
        }
        Ok(elements)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }
}

/// Text as a person reads it: no tags, no entities, no control characters but line breaks, no blanks
/// around it, at most [`TEXT_CHARS_MAX`] characters. Nothing left: `None`.
pub(super) fn plain(text: &str) -> Option<String> {
    let untagged = without_tags(text);
    let decoded = html_escape::decode_html_entities(&untagged);
    let visible = |c: &char| !c.is_control() || *c == '\n' || *c == '\t';
    let clean: String = decoded
        .trim()
        .chars()
        .filter(visible)
        .take(TEXT_CHARS_MAX)
        .collect();
    let clean = clean.trim();
    (!clean.is_empty()).then(|| clean.to_owned())
}

/// `<br>` and `</b>` go; `I <3 you` stays.
fn without_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(before);
        let tag = after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!');
        let ended = if tag { after.split_once('>') } else { None };
        if let Some((_, behind)) = ended {
            rest = behind;
            continue;
        }
        out.push('<');
        rest = after;
        if tag {
            // No tag ends any more: the rest is text, and is not searched again at every `<`.
            break;
        }
    }
    out.push_str(rest);
    out
}

/// A value of a free map, its texts plain. Blank ones are absent.
pub(super) fn free(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) => plain(&text).map(Value::String),
        Value::Array(values) => Some(Value::Array(values.into_iter().filter_map(free).collect())),
        Value::Object(map) => Some(Value::Object(free_map(map))),
        Value::Bool(_) | Value::Number(_) => Some(value),
    }
}

fn free_map(map: FreeMap) -> FreeMap {
    let mut clean = FreeMap::new();
    for (key, value) in map {
        put(&mut clean, &key, value);
    }
    clean
}

/// A key of a free map as it is kept; a blank one is none.
pub(super) fn key(text: &str) -> Option<String> {
    let key: String = text.trim().chars().take(KEY_CHARS_MAX).collect();
    (!key.is_empty()).then_some(key)
}

/// Puts a value under a key of the sender's choice, where both are of use.
pub(super) fn put(map: &mut FreeMap, name: &str, value: Value) {
    if let (Some(key), Some(value)) = (key(name), free(value)) {
        map.insert(key, value);
    }
}

/// A free map as texts lead to it: the value under `key`, where it is a text or a number.
pub(super) fn free_text(map: &FreeMap, key: &str) -> Option<String> {
    map.get(key).and_then(as_text)
}

/// ISO 3166 alpha-2 in capitals, where `text` is that.
pub(super) fn country(text: Option<&str>) -> Option<String> {
    let text = text?.trim();
    let fits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    fits.then(|| text.to_ascii_uppercase())
}

/// A BCP 47 tag in its usual case: `pt-BR`, from `pt-br` and `pt_BR` too. Variants and extensions go.
pub(super) fn locale(text: Option<&str>) -> Option<String> {
    let mut parts = text?.trim().split(['-', '_']);
    let letters = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphabetic());
    let language = parts
        .next()
        .filter(|part| (2..=3).contains(&part.len()) && letters(part))?;
    let mut tag = language.to_ascii_lowercase();
    for part in parts {
        match part.len() {
            4 if letters(part) => {
                let (first, rest) = part.split_at(1);
                tag = format!(
                    "{tag}-{}{}",
                    first.to_ascii_uppercase(),
                    rest.to_ascii_lowercase()
                );
            }
            2 if letters(part) => return Some(format!("{tag}-{}", part.to_ascii_uppercase())),
            3 if part.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Some(format!("{tag}-{part}"));
            }
            _ => break,
        }
    }
    Some(tag)
}

/// An e-mail address in lower case, where `text` may be one.
pub(super) fn email(text: Option<&str>) -> Option<String> {
    let text = text?.trim();
    let fits = text.contains('@') && !text.contains(char::is_whitespace);
    fits.then(|| text.to_lowercase())
}

/// Given and family name as one.
pub(super) fn full_name(first: Option<&str>, last: Option<&str>) -> Option<String> {
    match (first, last) {
        (Some(first), Some(last)) => Some(format!("{first} {last}")),
        (one, other) => one.or(other).map(str::to_owned),
    }
}

/// `pix`, `boleto`, `cod`, where a gateway's name or title says so. Names are the shop's own words, so
/// this looks for whole words in the languages of the shops that we know.
pub(super) fn payment_method(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).collect();
    let word = |wanted: &str| words.contains(&wanted);
    if word("pix") {
        Some("pix")
    } else if word("boleto") {
        Some("boleto")
    } else if word("cod") || COD.iter().any(|phrase| name.contains(phrase)) {
        Some("cod")
    } else {
        None
    }
}

/// Payment on delivery, as shops call it.
const COD: &[&str] = &[
    "cash on delivery",
    "pagamento na entrega",
    "contra entrega",
    "contra-entrega",
    "contra reembolso",
    "contrarreembolso",
    "contrassegno",
    "alla consegna",
    "nachnahme",
    "contre remboursement",
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_are_plain() {
        for (html, text) in [
            ("Camiseta <b>azul</b>", Some("Camiseta azul")),
            ("T-shirt &amp; boné<br/>", Some("T-shirt & boné")),
            ("I <3 you", Some("I <3 you")),
            ("a &lt;b&gt; c", Some("a <b> c")),
            ("<p></p> \u{0007}", None),
            ("5 < 6 > 4", Some("5 < 6 > 4")),
            ("open <b", Some("open <b")),
        ] {
            assert_eq!(plain(html).as_deref(), text, "{html}");
        }
        assert_eq!(
            plain(&"x".repeat(5_000)).map(|text| text.len()),
            Some(TEXT_CHARS_MAX)
        );
    }

    #[test]
    fn locales_are_tags() {
        for (text, tag) in [
            ("pt-BR", Some("pt-BR")),
            ("pt_br", Some("pt-BR")),
            ("it", Some("it")),
            ("zh-hant-tw", Some("zh-Hant-TW")),
            ("es-419", Some("es-419")),
            ("en-US-u-ca-gregory", Some("en-US")),
            ("", None),
            ("português", None),
        ] {
            assert_eq!(locale(Some(text)).as_deref(), tag, "{text}");
        }
    }

    #[test]
    fn ids_are_exact_or_nothing() {
        assert_eq!(
            as_id(&json!(820_982_911_946_154_508_u64)).as_deref(),
            Some("820982911946154508")
        );
        assert_eq!(as_id(&json!("77")).as_deref(), Some("77"));
        for value in [
            json!(1.5),
            json!(8.2e17),
            json!(""),
            json!("a/b"),
            json!(null),
            json!([1]),
        ] {
            assert_eq!(as_id(&value), None, "{value}");
        }
    }

    #[test]
    fn moments_are_dates_or_numbers() {
        let at = "2026-03-16T13:00:00Z".parse().ok();
        for value in [
            json!("2026-03-16T13:00:00Z"),
            json!("2026-03-16T10:00:00.000-03:00"),
            json!("2026-03-16 13:00:00"),
            json!(1_773_666_000),
            json!("1773666000"),
            json!(1_773_666_000_000_i64),
        ] {
            assert_eq!(moment(&value), at, "{value}");
        }
        for value in [
            json!(null),
            json!("soon"),
            json!(1.5),
            json!([1]),
            json!(""),
        ] {
            assert_eq!(moment(&value), None, "{value}");
        }
    }

    #[test]
    fn payment_methods_are_words() {
        for (name, method) in [
            ("Mercado Pago - Pix", Some("pix")),
            ("woo-mercado-pago-pix", Some("pix")),
            ("Boleto Bancário", Some("boleto")),
            ("Cash on Delivery (COD)", Some("cod")),
            ("cod", Some("cod")),
            ("Pagamento alla consegna", Some("cod")),
            ("Pixel Pay", None),
            ("codex", None),
        ] {
            assert_eq!(payment_method(name), method, "{name}");
        }
    }

    #[test]
    fn a_problem_quotes_no_value() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only its reading matters")]
        struct Part {
            #[serde(deserialize_with = "list")]
            lines: Vec<Line>,
        }
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only its reading matters")]
        struct Line {
            #[serde(deserialize_with = "list")]
            parts: Vec<u8>,
        }
        let read = |value: Value| {
            typed::<Part>(&value)
                .map(|_| ())
                .map_err(|error| error.to_string())
        };
        assert_eq!(
            read(json!({"lines": "Maria"})),
            Err("lines: expected a list".into())
        );
        assert_eq!(
            read(json!({"lines": [{"parts": []}, {"parts": {"a": 1, "b": "Maria"}}]})),
            Err("lines[1].parts.b: expected u8".into())
        );
        assert_eq!(read(json!({})), Err("body: missing field `lines`".into()));
        assert!(!json(b"{\"Maria").unwrap_err().to_string().contains("Maria"));
    }

    #[test]
    fn quirks_of_php() {
        #[derive(Debug, Default, PartialEq, Deserialize)]
        #[serde(default)]
        struct Part {
            #[serde(deserialize_with = "object")]
            address: Option<FreeMap>,
            #[serde(deserialize_with = "list")]
            gaps: Vec<u8>,
            #[serde(deserialize_with = "money")]
            price: Option<Money>,
            #[serde(deserialize_with = "count")]
            quantity: Option<u64>,
        }
        let value =
            json!({"address": [], "gaps": {"1": 5, "7": 6}, "price": 39.9, "quantity": "2.000"});
        let part: Part = typed(&value).unwrap();
        assert_eq!(
            (part.address, part.gaps, part.quantity),
            (None, vec![5, 6], Some(2))
        );
        assert_eq!(part.price, Money::parse("39.9"));
        for address in [
            json!("x"),
            json!(1),
            json!(1.5),
            json!(-1),
            json!(true),
            json!(null),
            json!([[1]]),
        ] {
            assert_eq!(
                typed::<Part>(&json!({"address": address})).unwrap(),
                Part::default()
            );
        }
    }
}
