//! Shopify: orders, abandoned checkouts, requests under data protection law.
//!
//! **The body decides, not the header.** Shopify signs the body alone; topic and shop are headers that
//! whoever holds one signed body could send again with other values. So a body that is an order is read
//! as an order under any topic, and yields every fact that it shows: the redelivery, the second
//! subscription and the forged topic make the same event keys and so nothing new. What a body is says its
//! own `admin_graphql_api_id`, and its shape where `include_fields` left that out. The three compliance
//! topics, which erase, need both: header and body must name the same one (`shopify/privacy.rs`).
//!
//! Subscriptions that are of use: `orders/create`, `orders/paid`, `orders/updated`, `orders/fulfilled`,
//! `orders/partially_fulfilled`, `orders/cancelled`, `checkouts/create`, `checkouts/update`. The topics of
//! fulfilments and refunds carry no phone number; orders hold what they say.
//! <https://shopify.dev/docs/apps/build/webhooks/delivery-structure>

mod buyer;
mod checkout;
mod order;
mod privacy;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    Answer, OnUnreadable, Proofs, Reading, Refusal, Source, Unreadable, Unsigned, read, sign,
};
use crate::connections::Connection;
use crate::event::Name;
use crate::raw::{Raw, Verified};

/// The signature's header; the 2026 "Events" deliveries drop the `X-`.
/// <https://shopify.dev/docs/apps/build/webhooks/verify-deliveries>,
/// <https://shopify.dev/docs/apps/build/events/verify-deliveries>
const SIGNATURE: [&str; 2] = ["x-shopify-hmac-sha256", "shopify-hmac-sha256"];
/// The topic's header, unsigned.
const TOPIC: [&str; 2] = ["x-shopify-topic", "shopify-topic"];
/// The shop's header, unsigned.
const SHOP: [&str; 2] = ["x-shopify-shop-domain", "shopify-shop-domain"];

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
        buyer::PHONE_PATHS
    }

    fn phone_prefixes(&self) -> &'static [&'static str] {
        &[buyer::ATTRIBUTES]
    }

    fn proven_by(&self) -> &'static str {
        "HMAC-SHA256 of the body, base64"
    }

    fn handshake(&self, _raw: &Raw) -> Option<Answer> {
        None
    }

    /// Base64 of the HMAC-SHA256 of the raw body under the app's client secret, or, for webhooks made in
    /// Admin → Settings → Notifications, under the secret shown on that page. After a rotation Shopify may
    /// sign with the old secret for an hour. There is no time stamp: a replay is a duplicate.
    fn verify<'a>(
        &self,
        raw: &'a Raw,
        proofs: &Proofs<'_>,
        _now: Timestamp,
    ) -> Result<Verified<'a>, Refusal> {
        let secrets = proofs.secrets;
        let [first, second] = SIGNATURE;
        let (name, value) = match (raw.header(first), raw.header(second)) {
            (Some(value), _) => (first, value),
            (None, Some(value)) => (second, value),
            (None, None) => return Err(Refusal::NoSignature(first)),
        };
        let signature = sign::decode(value).ok_or(Refusal::Malformed(name))?;
        if !secrets
            .iter()
            .any(|secret| sign::matches(secret.expose(), &raw.body, &signature))
        {
            return Err(Refusal::NoMatch {
                secrets: secrets.len(),
            });
        }
        let verified = raw.accept();
        privacy::check_topic(&verified)?;
        Ok(verified)
    }

    fn read(
        &self,
        verified: &Verified<'_>,
        connection: &Connection,
        now: Timestamp,
    ) -> Result<Reading, Unreadable> {
        let value = read::json(verified.body())?;
        match shape(&value) {
            Shape::Order => order::read(&value, shop(verified), connection).map(Reading::Events),
            Shape::Checkout => checkout::read(&value, shop(verified), connection),
            Shape::Privacy(request) => privacy::read(request, &value, verified, connection, now),
            Shape::Foreign => Ok(Reading::Nothing("foreign topic")),
        }
    }

    /// Shopify deletes a subscription after eight failures in a row.
    fn on_unreadable(&self) -> OnUnreadable {
        OnUnreadable::Record
    }

    fn sign(&self, unsigned: &Unsigned<'_>) -> Vec<(String, String)> {
        let [header, _] = SIGNATURE;
        let value = sign::hmac_base64(unsigned.secret.expose(), unsigned.body);
        vec![(header.to_owned(), value)]
    }
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Order,
    Checkout,
    Privacy(privacy::Request),
    Foreign,
}

fn shape(value: &Value) -> Shape {
    let Some(body) = value.as_object() else {
        return Shape::Foreign;
    };
    let has = |key: &str| body.contains_key(key);
    let global_id = body.get("admin_graphql_api_id").and_then(Value::as_str);
    match global_id {
        Some(id) if id.starts_with("gid://shopify/Order/") => Shape::Order,
        Some(_) => Shape::Foreign,
        None if has("financial_status") && has("line_items") => Shape::Order,
        None if has("token") && (has("abandoned_checkout_url") || has("completed_at")) => {
            Shape::Checkout
        }
        None => privacy::request(body).map_or(Shape::Foreign, Shape::Privacy),
    }
}

/// A header's value under its old or its new name.
fn header<'a>(verified: &'a Verified<'_>, names: [&str; 2]) -> Option<&'a str> {
    names.into_iter().find_map(|name| verified.header(name))
}

/// The shop that the header names, where it has the form of one. Unsigned: used only where the body says
/// nothing better.
fn shop(verified: &Verified<'_>) -> Option<String> {
    header(verified, SHOP)
        .filter(|host| read::is_host(host))
        .map(str::to_ascii_lowercase)
}

/// The shop's permanent domain, from a signed link if that shows it, else as the header says.
fn account(link: Option<&str>, shop: Option<String>) -> Option<String> {
    let signed = link
        .and_then(read::host)
        .filter(|host| host.ends_with(".myshopify.com"));
    signed.map(str::to_ascii_lowercase).or(shop)
}
