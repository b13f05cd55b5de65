//! Shopify: orders, abandoned checkouts, requests under data protection law.

use jiff::Timestamp;

use super::{Answer, OnUnreadable, Reading, Refusal, Source, Unreadable, sign};
use crate::connections::Connection;
use crate::event::Name;
use crate::raw::{Raw, Verified};
use crate::secrets::Secret;

/// The signature's header; the 2026 "Events" deliveries drop the `X-`.
/// <https://shopify.dev/docs/apps/build/webhooks/verify-deliveries>,
/// <https://shopify.dev/docs/apps/build/events/verify-deliveries>
const SIGNATURE: [&str; 2] = ["x-shopify-hmac-sha256", "shopify-hmac-sha256"];

/// The source.
pub struct Shopify;

impl Source for Shopify {
    fn kind(&self) -> &'static str {
        "shopify"
    }

    fn function(&self) -> &'static str {
        "orders"
    }

    fn events(&self) -> &'static [Name] {
        &[
            Name::OrderCreated,
            Name::OrderPaid,
            Name::OrderShipped,
            Name::OrderDelivered,
            Name::OrderFulfilled,
            Name::OrderCancelled,
            Name::OrderRefunded,
            Name::CheckoutAbandoned,
            Name::PrivacyDataRequest,
            Name::PrivacyRedactCustomer,
            Name::PrivacyRedactAccount,
        ]
    }

    fn phone_paths(&self) -> &'static [&'static str] {
        &["phone", "customer.phone", "shipping.phone", "billing.phone", "default_address.phone"]
    }

    fn phone_prefixes(&self) -> &'static [&'static str] {
        &["attributes."]
    }

    fn handshake(&self, _raw: &Raw) -> Option<Answer> {
        None
    }

    fn verify<'a>(
        &self,
        raw: &'a Raw,
        secrets: &[Secret],
        _now: Timestamp,
    ) -> Result<Verified<'a>, Refusal> {
        let [old, new] = SIGNATURE;
        let (name, value) = match (raw.header(old), raw.header(new)) {
            (Some(value), _) => (old, value),
            (None, Some(value)) => (new, value),
            (None, None) => return Err(Refusal::NoSignature(old)),
        };
        let signature = sign::decode(value).ok_or(Refusal::Malformed(name))?;
        if secrets.iter().any(|secret| sign::matches(secret.expose(), &raw.body, &signature)) {
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
        let [header, _] = SIGNATURE;
        vec![(header, sign::hmac_base64(secret.expose(), body))]
    }
}
