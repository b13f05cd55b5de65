//! WooCommerce: orders.

use jiff::Timestamp;

use super::{Answer, OnUnreadable, Reading, Refusal, Source, Unreadable, sign};
use crate::connections::Connection;
use crate::event::Name;
use crate::raw::{Raw, Verified};
use crate::secrets::Secret;

/// The signature's header.
const SIGNATURE: &str = "x-wc-webhook-signature";

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
        &["billing.phone", "shipping.phone"]
    }

    fn phone_prefixes(&self) -> &'static [&'static str] {
        &["meta."]
    }

    /// Saving a webhook posts `webhook_id=N`, unsigned, and insists on exactly 200:
    /// <https://github.com/woocommerce/woocommerce/issues/15642>
    fn handshake(&self, raw: &Raw) -> Option<Answer> {
        let digits = raw.body.strip_prefix(b"webhook_id=")?;
        let ping = raw.method == http::Method::POST
            && !digits.is_empty()
            && digits.len() <= PING_DIGITS_MAX
            && digits.iter().all(u8::is_ascii_digit);
        ping.then(|| Answer { status: 200, body: r#"{"status":"pong"}"#.to_owned() })
    }

    fn verify<'a>(
        &self,
        raw: &'a Raw,
        secrets: &[Secret],
        _now: Timestamp,
    ) -> Result<Verified<'a>, Refusal> {
        let value = raw.header(SIGNATURE).ok_or(Refusal::NoSignature(SIGNATURE))?;
        let signature = sign::decode(value).ok_or(Refusal::Malformed(SIGNATURE))?;
        let matches = |secret: &Secret| {
            let decoded = signing_key(secret.expose());
            sign::matches(secret.expose(), &raw.body, &signature)
                || sign::matches(&decoded, &raw.body, &signature)
        };
        if secrets.iter().any(matches) {
            Ok(raw.accept())
        } else {
            Err(Refusal::NoMatch { secrets: secrets.len() })
        }
    }

    fn read(
        &self,
        _verified: &Verified<'_>,
        _connection: &Connection,
        _now: Timestamp,
    ) -> Result<Reading, Unreadable> {
        Ok(Reading::Nothing("foreign topic"))
    }

    fn on_unreadable(&self) -> OnUnreadable {
        OnUnreadable::Record
    }

    fn sign(&self, secret: &Secret, body: &[u8], _now: Timestamp) -> Vec<(&'static str, String)> {
        vec![(SIGNATURE, sign::hmac_base64(&signing_key(secret.expose()), body))]
    }
}

/// Most digits of a webhook's number in a ping.
const PING_DIGITS_MAX: usize = 20;

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
    entities.iter().fold(secret.to_owned(), |key, (entity, character)| key.replace(entity, character))
}
