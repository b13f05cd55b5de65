//! WooCommerce: orders.
//!
//! There are two topics, `order.created` and `order.updated`, and the payload is built when it is
//! delivered, minutes later and after other changes: it shows the order as it is then. So the body alone
//! decides what happened, and every event has a key of its own; the delivery's id is of no use, it is
//! made of the webhook's number and the second. A delivery that fails is never repeated, and after a few
//! failures the webhook is switched off without a word: nothing that is signed gets a 4xx.
//! <https://woocommerce.github.io/woocommerce-rest-api-docs/#webhooks>

mod order;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    Answer, OnUnreadable, Proofs, Reading, Refusal, Source, Unreadable, Unsigned, read, sign,
};
use crate::connections::Connection;
use crate::event::Name;
use crate::raw::{Raw, Verified};
use crate::secrets::Secret;

/// The signature's header.
const SIGNATURE: &str = "x-wc-webhook-signature";
/// The shop's address, unsigned.
const SHOP: &str = "x-wc-webhook-source";
/// Most digits of a webhook's number in a ping.
const PING_DIGITS_MAX: usize = 20;

/// The source.
pub struct WooCommerce;

impl Source for WooCommerce {
    fn kind(&self) -> &'static str {
        "woocommerce"
    }

    fn function(&self) -> &'static str {
        "orders"
    }

    fn events(&self) -> &'static [Name] {
        &[
            Name::OrderCreated,
            Name::OrderPaid,
            Name::OrderShipped,
            Name::OrderFulfilled,
            Name::OrderCancelled,
            Name::OrderRefunded,
        ]
    }

    fn phone_paths(&self) -> &'static [&'static str] {
        order::PHONE_PATHS
    }

    fn phone_prefixes(&self) -> &'static [&'static str] {
        &[order::META]
    }

    fn proven_by(&self) -> &'static str {
        "HMAC-SHA256 of the body, base64"
    }

    /// Saving a webhook posts `webhook_id=N`, unsigned, and insists on exactly 200:
    /// <https://github.com/woocommerce/woocommerce/issues/15642>
    fn handshake(&self, raw: &Raw) -> Option<Answer> {
        let digits = raw.body.strip_prefix(b"webhook_id=")?;
        let ping = raw.method == http::Method::POST
            && !digits.is_empty()
            && digits.len() <= PING_DIGITS_MAX
            && digits.iter().all(u8::is_ascii_digit);
        ping.then(|| Answer {
            status: 200,
            body: r#"{"status":"pong"}"#.to_owned(),
        })
    }

    /// Base64 of the HMAC-SHA256 of the raw body under the webhook's secret.
    fn verify<'a>(
        &self,
        raw: &'a Raw,
        proofs: &Proofs<'_>,
        _now: Timestamp,
    ) -> Result<Verified<'a>, Refusal> {
        let secrets = proofs.secrets;
        let value = raw
            .header(SIGNATURE)
            .ok_or(Refusal::NoSignature(SIGNATURE))?;
        let signature = sign::decode(value).ok_or(Refusal::Malformed(SIGNATURE))?;
        let matches = |secret: &Secret| {
            let decoded = signing_key(secret.expose());
            sign::matches(secret.expose(), &raw.body, &signature)
                || sign::matches(&decoded, &raw.body, &signature)
        };
        if secrets.iter().any(matches) {
            Ok(raw.accept())
        } else {
            Err(Refusal::NoMatch {
                secrets: secrets.len(),
            })
        }
    }

    fn read(
        &self,
        verified: &Verified<'_>,
        connection: &Connection,
        _now: Timestamp,
    ) -> Result<Reading, Unreadable> {
        let value = read::json(verified.body())?;
        if let Some(reason) = no_order(&value) {
            return Ok(Reading::Nothing(reason));
        }
        let shop = verified
            .header(SHOP)
            .and_then(read::host)
            .map(str::to_ascii_lowercase);
        order::read(&value, shop, connection).map(Reading::Events)
    }

    /// WooCommerce switches a webhook off after a few failures in a row, and never repeats a delivery.
    fn on_unreadable(&self) -> OnUnreadable {
        OnUnreadable::Record
    }

    fn sign(&self, unsigned: &Unsigned<'_>) -> Vec<(String, String)> {
        let key = signing_key(unsigned.secret.expose());
        let value = sign::hmac_base64(&key, unsigned.body);
        vec![(SIGNATURE.to_owned(), value)]
    }
}

/// Why a body is no order that anybody placed; `None`: it is one.
fn no_order(value: &Value) -> Option<&'static str> {
    let Some(body) = value.as_object() else {
        return Some("foreign topic");
    };
    let has = |key: &str| body.contains_key(key);
    if has("code") && has("message") && !has("id") {
        // The payload is built with the rights of the webhook's owner.
        return Some("an error instead of an order: the webhook's user may no longer read orders");
    }
    if body.len() == 1 && has("id") {
        return Some("deleted");
    }
    if has("action") && has("arg") {
        return Some("custom action topic");
    }
    if body.get("order").is_some_and(Value::is_object) {
        return Some("legacy payload: set the webhook's API version to 3");
    }
    // Subscriptions are built like orders, and have a period.
    if !(has("status") && has("line_items") && has("currency")) || has("billing_period") {
        return Some("foreign topic");
    }
    match body.get("status").and_then(Value::as_str) {
        // The block checkout writes drafts while a buyer types: https://github.com/woocommerce/woocommerce/issues/66995
        Some("checkout-draft" | "auto-draft" | "draft" | "trash") => Some("draft or trash"),
        _ => None,
    }
}

/// What WooCommerce signs with: the entities of `wp_specialchars_decode(…, ENT_QUOTES)` are decoded first,
/// so a secret copied from its page may stand there in either form. `&amp;` comes last: an entity that was
/// escaped itself is decoded once.
fn signing_key(secret: &str) -> String {
    let entities = [
        ("&quot;", "\""),
        ("&#034;", "\""),
        ("&#34;", "\""),
        ("&#x22;", "\""),
        ("&#039;", "'"),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&#038;", "&"),
        ("&amp;", "&"),
    ];
    entities
        .iter()
        .fold(secret.to_owned(), |key, (entity, character)| {
            key.replace(entity, character)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_counts_as_given_and_decoded() {
        let source = WooCommerce;
        let now = Timestamp::UNIX_EPOCH;
        let raw = |key: &str| {
            let mut headers = http::HeaderMap::new();
            headers.insert(SIGNATURE, sign::hmac_base64(key, b"{}").parse().unwrap());
            Raw {
                method: http::Method::POST,
                connection: "woocommerce".into(),
                path_secret: None,
                headers,
                query: String::new(),
                url: String::new(),
                body: b"{}".to_vec(),
            }
        };
        let connection = Connection::plain("woocommerce");
        let matches = |key: &str, secret: &Secret| {
            let proofs = Proofs::of(&connection, std::slice::from_ref(secret));
            source.verify(&raw(key), &proofs, now).is_ok()
        };
        let written = Secret::new("a&amp;b&quot;c&#039;d&lt;e&gt;f");
        for key in ["a&b\"c'd<e>f", "a&amp;b&quot;c&#039;d&lt;e&gt;f"] {
            assert!(matches(key, &written), "{key}");
        }
        assert!(!matches("a&b", &written));
        assert!(!matches("", &Secret::new("")));
        assert_eq!(signing_key("&amp;lt;"), "&lt;");
    }
}
