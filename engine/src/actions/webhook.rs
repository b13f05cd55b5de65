//! The action `webhook`: a request to any system, signed by Standard Webhooks.
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
//!
//! The job's number is the `webhook-id`: the same over all attempts, so that the receiver can tell a
//! repeat. It goes to a public address over https; a redirect is not followed.
//!
//! The secret is `whsec_` and base64 of the key, or any other text, whose bytes are the key then. Where
//! there are several values, all of them sign.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use reqwest::{Method, Url};
use serde_json::{Map, Value};
use shared::event::Event;
use shared::secrets::Secret;

use super::deed::{ActError, Desk, Done};
use crate::apis::Outgoing;

/// What stands before the base64 of a key.
const PREFIX: &str = "whsec_";
/// Headers that a table cannot set: they are made here, or would change where the request ends.
const OURS: [&str; 8] = [
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
];

/// A rendered `[webhook.x]`.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// https.
    pub url: &'a str,
    /// `POST`, `PUT`, `PATCH`.
    pub method: &'a str,
    /// The table's body, or [`whole`] event.
    pub body: &'a Value,
    /// Name and value.
    pub headers: &'a [(String, String)],
}

/// Sends it, once.
///
/// # Errors
/// [`ActError`].
pub async fn post(desk: Desk<'_>, request: Request<'_>) -> Result<Done, ActError> {
    let rejected = |why: &str| ActError::Rejected(why.to_owned());
    let url = Url::parse(request.url).map_err(|_| rejected("url is no address"))?;
    if url.scheme() != "https" {
        return Err(rejected("url is not https"));
    }
    let method: Method = request
        .method
        .parse()
        .map_err(|_| rejected("method is none"))?;
    if let Some((name, _)) = request.headers.iter().find(|(name, _)| is_ours(name)) {
        return Err(ActError::Rejected(format!("the header {name} is ours")));
    }
    let body = request.body.to_string().into_bytes();
    let timestamp = desk.now.as_second().to_string();
    let signature = signature(desk.secrets, desk.job, &timestamp, &body).ok_or_else(|| {
        let why = "the secret begins with whsec_, which base64 has to follow";
        ActError::Refused(why.to_owned())
    })?;
    let mut headers = vec![
        ("webhook-id", desk.job),
        ("webhook-timestamp", timestamp.as_str()),
        ("webhook-signature", signature.as_str()),
    ];
    let own = request.headers.iter();
    headers.extend(own.map(|(name, value)| (name.as_str(), value.as_str())));
    let has_type = headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if !has_type {
        headers.push(("content-type", "application/json"));
    }
    let outgoing = Outgoing {
        method,
        url: &url,
        headers: &headers,
        body: &body,
        answer_bytes_max: 0,
        timeout: None,
    };
    let reply = desk.apis.send(&outgoing).await?;
    match reply.status {
        200..=299 => Ok(Done::Done {
            id: None,
            what: "accepted",
        }),
        300..=399 => Err(ActError::Rejected(format!(
            "the receiver answered {}: a redirect is not followed",
            reply.status
        ))),
        // The receiver's own matter: it holds up nothing else.
        401 | 403 => Err(ActError::Rejected(format!(
            "the receiver answered {}",
            reply.status
        ))),
        _ => Err(ActError::of("the receiver answered", &reply, None)),
    }
}

fn is_ours(name: &str) -> bool {
    OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

/// `webhook-signature`: an entry a secret. `None` where one of them is no key.
pub fn signature(secrets: &[Secret], id: &str, timestamp: &str, body: &[u8]) -> Option<String> {
    let one = |secret: &Secret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key(secret.expose())?);
        let mut context = hmac::Context::with_key(&key);
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            context.update(part);
        }
        Some(format!("v1,{}", STANDARD.encode(context.sign())))
    };
    let entries: Option<Vec<String>> = secrets.iter().map(one).collect();
    entries
        .map(|entries| entries.join(" "))
        .filter(|text| !text.is_empty())
}

/// The bytes of a secret. An empty key proves nothing and is none.
fn key(secret: &str) -> Option<Vec<u8>> {
    let bytes = match secret.strip_prefix(PREFIX) {
        None => secret.as_bytes().to_vec(),
        Some(text) => STANDARD_NO_PAD.decode(text.trim_end_matches('=')).ok()?,
    };
    (!bytes.is_empty()).then_some(bytes)
}

/// The whole event as the reference has it: what a `[webhook.x]` without a body sends. Amounts are numbers;
/// what automations do not see is left out.
pub fn whole(event: &Event) -> Value {
    let mut json = serde_json::to_value(event).unwrap_or_default();
    take(&mut json, "", &["subject"]);
    take(&mut json, "/event", &["test", "depth", "notes"]);
    take(&mut json, "/customer", &["phones", "bsuid"]);
    take(&mut json, "/job", &["id", "event"]);
    for path in ["/order", "/checkout", "/appointment", "/shipment"] {
        if let Some(Value::Object(fields)) = json.pointer_mut(path) {
            amounts(fields);
        }
    }
    json
}

fn take(json: &mut Value, path: &str, names: &[&str]) {
    if let Some(Value::Object(fields)) = json.pointer_mut(path) {
        for name in names {
            fields.remove(*name);
        }
    }
}

/// Money is stored as its shortest text, which JSON reads as the number.
fn amounts(fields: &mut Map<String, Value>) {
    for name in [
        "total", "subtotal", "shipping", "tax", "discount", "refunded", "price",
    ] {
        if let Some(value) = fields.get_mut(name) {
            number(value);
        }
    }
    if let Some(Value::Array(items)) = fields.get_mut("items") {
        for item in items {
            for name in ["price", "total"] {
                if let Some(value) = item.get_mut(name) {
                    number(value);
                }
            }
        }
    }
}

fn number(value: &mut Value) {
    let read = value.as_str().and_then(|text| text.parse().ok());
    if let Some(number) = read {
        *value = Value::Number(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_signature_is_the_one_of_the_specification() {
        // The example of the reference libraries' tests.
        let secret = |text: &str| Secret::new(text);
        let base64 = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let sign = |secrets: &[Secret]| {
            signature(
                secrets,
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                "1614265330",
                br#"{"test": 2432232314}"#,
            )
        };
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let whole = secret(&format!("whsec_{base64}"));
        assert_eq!(
            sign(std::slice::from_ref(&whole)).as_deref(),
            Some(expected)
        );
        let plain = secret("any other text");
        let both = sign(&[whole, plain.clone()]).unwrap();
        let alone = sign(&[plain]).unwrap();
        assert_eq!(both, format!("{expected} {alone}"));
        assert_ne!(alone, expected);
        for none in ["whsec_", "whsec_***"] {
            assert_eq!(sign(&[secret(none)]), None, "{none}");
        }
        assert_eq!(sign(&[]), None);
    }

    #[test]
    fn padding_of_a_secret_does_not_matter() {
        assert_eq!(key("whsec_YWI="), Some(b"ab".to_vec()));
        assert_eq!(key("whsec_YWI"), Some(b"ab".to_vec()));
        assert_eq!(key("ab"), Some(b"ab".to_vec()));
        assert_eq!(key(""), None);
    }

    #[test]
    fn the_whole_event_holds_what_automations_see() {
        let mut event = crate::automations::testing::full_order();
        event.event.notes = vec!["a note".to_owned()];
        event.event.depth = 2;
        event.customer.bsuid = Some("b".to_owned());
        let json = whole(&event);
        for path in [
            "/subject",
            "/event/test",
            "/event/depth",
            "/event/notes",
            "/customer/phones",
            "/customer/bsuid",
        ] {
            assert_eq!(json.pointer(path), None, "{path}");
        }
        assert_eq!(json["event"]["name"], "order.paid");
        assert!(json["order"]["total"].is_number(), "{json}");
        assert!(json["order"]["items"][0]["price"].is_number(), "{json}");
        assert!(json["order"]["number"].is_string());
    }

    #[test]
    fn an_amount_is_the_number_that_it_prints() {
        for (text, expected) in [("129.9", "129.9"), ("-10", "-10"), ("0.05", "0.05")] {
            let mut value = json!(text);
            number(&mut value);
            assert_eq!(value.to_string(), expected);
        }
    }
}
