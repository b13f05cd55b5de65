//! Checkouts. There is no "abandoned" topic: every change is an event, and the newest one says when the
//! message is due and what it shows.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::account;
use super::buyer::{self, Buyer, Currency, Set};
use super::order::{DiscountCode, Line, codes, item_count, items};
use crate::connections::Connection;
use crate::event::{Body, Checkout, Event, Head, Link, Money, Name, State, Subject, SubjectKind};
use crate::sources::{Reading, Unreadable, read};

/// The id of Shopify's sample notification.
const SAMPLE_ID: &str = "981820079255243537";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payload {
    #[serde(deserialize_with = "read::id")]
    id: Option<String>,
    #[serde(deserialize_with = "read::id")]
    token: Option<String>,
    #[serde(deserialize_with = "read::id")]
    cart_token: Option<String>,
    #[serde(deserialize_with = "read::time")]
    created_at: Option<Timestamp>,
    #[serde(deserialize_with = "read::time")]
    updated_at: Option<Timestamp>,
    #[serde(deserialize_with = "read::text")]
    completed_at: Option<String>,
    #[serde(deserialize_with = "read::text")]
    currency: Option<String>,
    #[serde(deserialize_with = "read::text")]
    presentment_currency: Option<String>,
    #[serde(deserialize_with = "read::money")]
    total_price: Option<Money>,
    #[serde(deserialize_with = "read::object")]
    total_price_set: Option<Set>,
    #[serde(deserialize_with = "read::url")]
    abandoned_checkout_url: Option<String>,
    #[serde(deserialize_with = "read::list")]
    line_items: Vec<Line>,
    #[serde(deserialize_with = "read::list")]
    discount_codes: Vec<DiscountCode>,
    #[serde(deserialize_with = "read::flag")]
    test: Option<bool>,
}

impl Payload {
    fn state(&self) -> State {
        if self.completed_at.is_some() {
            State::Ordered
        } else if self.line_items.is_empty() {
            State::Emptied
        } else {
            State::Open
        }
    }
}

/// A checkout that nobody could be told about, or led back to, is nothing; one that was completed or
/// emptied is told in any case, because it ends what waits.
pub(super) fn read(
    value: &Value,
    shop: Option<String>,
    connection: &Connection,
) -> Result<Reading, Unreadable> {
    let payload: Payload = read::typed(value)?;
    let buyer: Buyer = read::typed(value)?;
    let mut customer = buyer.customer(connection);
    let state = payload.state();
    let reachable = customer.phones.iter().any(|phone| phone.number.is_some());
    if state == State::Open && !reachable {
        let redacted = buyer::is_redacted(value).then_some(buyer::REDACTED);
        return Ok(Reading::Nothing(
            redacted.unwrap_or("checkout without a phone"),
        ));
    }
    if state == State::Open && payload.abandoned_checkout_url.is_none() {
        return Ok(Reading::Nothing("checkout without a link back"));
    }
    if !reachable {
        customer.phones.clear();
    }
    let account = account(payload.abandoned_checkout_url.as_deref(), shop);
    let test = payload.test == Some(true) || payload.id.as_deref() == Some(SAMPLE_ID);
    let cart = payload.cart_token.clone().map(|id| Link {
        kind: SubjectKind::Checkout,
        id,
    });
    let checkout = checkout(payload, &buyer)?;
    let subject = Subject {
        created_at: checkout.created_at,
        state,
        aliases: cart.into_iter().collect(),
        ..Subject::new(
            SubjectKind::Checkout,
            checkout.id.clone(),
            checkout.updated_at,
        )
    };
    let head = Head {
        name: Name::CheckoutAbandoned,
        source: connection.name.clone(),
        kind: "shopify".to_owned(),
        account,
        id: format!(
            "{}/checkout/{}/updated/{}",
            connection.name, checkout.id, checkout.updated_at
        ),
        at: checkout.updated_at,
        test,
        depth: 0,
        notes: Vec::new(),
    };
    let body = Body::Checkout {
        checkout: Box::new(checkout),
    };
    Ok(Reading::Events(vec![Event {
        event: head,
        customer,
        subject,
        body,
    }]))
}

fn checkout(payload: Payload, buyer: &Buyer) -> Result<Checkout, Unreadable> {
    let updated_at = payload.updated_at.or(payload.created_at);
    let updated_at = read::required(updated_at, "updated_at", "a time with an offset")?;
    let shop = read::required(payload.currency.as_deref(), "currency", "a currency's code")?;
    let total_set = payload.total_price_set.as_ref();
    let currency = Currency::of(shop, payload.presentment_currency.as_deref(), total_set);
    let total = currency.amount(total_set, payload.total_price);
    Ok(Checkout {
        id: read::required(payload.token, "token", "a text")?,
        created_at: payload.created_at.unwrap_or(updated_at),
        updated_at,
        total: read::required(total, "total_price", "an amount")?,
        items: items(&payload.line_items, &currency),
        item_count: item_count(&payload.line_items),
        currency: currency.code,
        url: payload.abandoned_checkout_url.unwrap_or_default(),
        discount_codes: codes(payload.discount_codes),
        attributes: buyer.attributes(),
    })
}
