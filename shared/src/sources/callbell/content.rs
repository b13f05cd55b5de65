//! Digests of what Callbell shows, and texts as people typed them.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::event::TEXT_CHARS_MAX;

/// Hex digits of a digest in a key.
const DIGEST_DIGITS: usize = 32;

/// A digest of named values, in this order. The order of an object's keys does not matter, so that it is
/// the same over Callbell's own log of deliveries.
pub(super) fn digest<'a>(values: impl IntoIterator<Item = (&'a str, &'a Value)>) -> String {
    let mut hasher = Sha256::new();
    for (name, value) in values {
        feed_text(&mut hasher, b'k', name);
        feed(&mut hasher, value);
    }
    let digest = hex::encode(hasher.finalize());
    digest.chars().take(DIGEST_DIGITS).collect()
}

/// Every value says what it is and how long, so that no two trees are fed alike.
fn feed(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Null => hasher.update(b"n"),
        Value::Bool(yes) => hasher.update([b'b', u8::from(*yes)]),
        Value::Number(number) => feed_text(hasher, b'd', &number.to_string()),
        Value::String(text) => feed_text(hasher, b's', text),
        Value::Array(values) => {
            feed_text(hasher, b'a', &values.len().to_string());
            values.iter().for_each(|value| feed(hasher, value));
        }
        Value::Object(map) => {
            feed_text(hasher, b'o', &map.len().to_string());
            let mut pairs: Vec<_> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| key.as_str());
            for (key, value) in pairs {
                feed_text(hasher, b'k', key);
                feed(hasher, value);
            }
        }
    }
}

fn feed_text(hasher: &mut Sha256, kind: u8, text: &str) {
    hasher.update([kind]);
    hasher.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
    hasher.update(text.as_bytes());
}

/// A text as a person typed it: no control characters but line breaks, no blanks around it. What looks like
/// a tag stays, for nobody writes HTML on a phone. Nothing left: `None`.
pub(super) fn typed(text: &str) -> Option<String> {
    let visible = |c: &char| !c.is_control() || *c == '\n' || *c == '\t';
    let clean: String = text
        .trim()
        .chars()
        .filter(visible)
        .take(TEXT_CHARS_MAX)
        .collect();
    let clean = clean.trim();
    (!clean.is_empty()).then(|| clean.to_owned())
}

/// A member of an object as a text that a person typed.
pub(super) fn typed_at(value: &Value, pointer: &str) -> Option<String> {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .and_then(typed)
}

/// An object, or the object that Callbell wrote as a text.
pub(super) fn object(value: &Value) -> Option<Value> {
    match value {
        Value::Object(_) => Some(value.clone()),
        Value::String(text) => serde_json::from_str(text).ok().filter(Value::is_object),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(value: &Value) -> String {
        digest([("value", value)])
    }

    #[test]
    fn only_equal_values_have_equal_digests() {
        let different = [
            json!(null),
            json!(""),
            json!("null"),
            json!(0),
            json!("0"),
            json!(false),
            json!([]),
            json!({}),
            json!([[]]),
            json!(["a", "b"]),
            json!(["ab"]),
            json!([["a"], "b"]),
            json!({"a": "b"}),
            json!({"ab": ""}),
        ];
        for (index, one) in different.iter().enumerate() {
            for other in different.iter().skip(index + 1) {
                assert_ne!(of(one), of(other), "{one} {other}");
            }
        }
        let (one, other) = (r#"{"a":1,"b":[2]}"#, r#"{"b": [2], "a": 1}"#);
        let read = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
        assert_eq!(of(&read(one)), of(&read(other)));
        assert_eq!(of(&json!("Maria")).len(), DIGEST_DIGITS);
    }

    #[test]
    fn a_text_stays_as_it_was_typed() {
        for (text, expected) in [
            (" oi ", Some("oi")),
            ("a <b> c &amp; d", Some("a <b> c &amp; d")),
            ("uma\nduas", Some("uma\nduas")),
            ("\u{0}\u{7}", None),
            ("", None),
        ] {
            assert_eq!(typed(text).as_deref(), expected, "{text}");
        }
        let long = typed(&"x".repeat(5_000)).map(|text| text.len());
        assert_eq!(long, Some(TEXT_CHARS_MAX));
    }
}
