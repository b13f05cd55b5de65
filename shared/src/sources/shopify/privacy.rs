//! The compliance topics, which every app of the App Store has to take.
//! <https://shopify.dev/docs/apps/build/compliance/privacy-law-compliance>
//!
//! They erase, and their bodies are small and alike: `shop/redact` is a body with nothing but the shop.
//! So here the unsigned topic header counts as well: it must name what the body's shape says. A body
//! under another compliance topic than its own is refused with 401 like a bad signature; one under any
//! other topic, or none, is nothing.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{TOPIC, header};
use crate::connections::Connection;
use crate::event::{
    Body, Customer, Event, FreeMap, Head, Name, PhoneCandidate, Privacy, Subject, SubjectKind,
};
use crate::raw::Verified;
use crate::sources::{Reading, Refusal, Unreadable, read};

/// Hex digits of the body's digest that name a request.
const DIGEST_DIGITS: usize = 32;

/// One of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Data,
    RedactCustomer,
    RedactShop,
}

impl Request {
    fn of_topic(topic: &str) -> Option<Request> {
        match topic {
            "customers/data_request" => Some(Request::Data),
            "customers/redact" => Some(Request::RedactCustomer),
            "shop/redact" => Some(Request::RedactShop),
            _ => None,
        }
    }

    fn name(self) -> Name {
        match self {
            Request::Data => Name::PrivacyDataRequest,
            Request::RedactCustomer => Name::PrivacyRedactCustomer,
            Request::RedactShop => Name::PrivacyRedactAccount,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payload {
    #[serde(deserialize_with = "read::text")]
    shop_domain: Option<String>,
    #[serde(deserialize_with = "read::object")]
    customer: Option<Person>,
    #[serde(deserialize_with = "read::object")]
    data_request: Option<DataRequest>,
    #[serde(deserialize_with = "read::list")]
    orders_requested: Vec<Value>,
    #[serde(deserialize_with = "read::list")]
    orders_to_redact: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Person {
    #[serde(deserialize_with = "read::id")]
    id: Option<String>,
    #[serde(deserialize_with = "read::text")]
    email: Option<String>,
    #[serde(deserialize_with = "read::text")]
    phone: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DataRequest {
    #[serde(deserialize_with = "read::id")]
    id: Option<String>,
}

/// Which request a body's shape is.
pub(super) fn request(body: &FreeMap) -> Option<Request> {
    let has = |key: &str| body.contains_key(key);
    if !(has("shop_id") && has("shop_domain")) {
        return None;
    }
    if has("data_request") || has("orders_requested") {
        return Some(Request::Data);
    }
    if has("orders_to_redact") || has("customer") {
        return Some(Request::RedactCustomer);
    }
    (body.len() == 2).then_some(Request::RedactShop)
}

/// Refuses a compliance topic over a body that is something else.
pub(super) fn check_topic(verified: &Verified<'_>) -> Result<(), Refusal> {
    let Some(said) = header(verified, TOPIC).and_then(Request::of_topic) else {
        return Ok(());
    };
    let body: Option<Value> = serde_json::from_slice(verified.body()).ok();
    // A body that is no JSON is for `read` to report.
    let Some(body) = body else { return Ok(()) };
    if body.as_object().and_then(request) == Some(said) {
        Ok(())
    } else {
        Err(Refusal::Contradiction("topic header"))
    }
}

pub(super) fn read(
    request: Request,
    value: &Value,
    verified: &Verified<'_>,
    connection: &Connection,
    now: Timestamp,
) -> Result<Reading, Unreadable> {
    if header(verified, TOPIC).and_then(Request::of_topic) != Some(request) {
        return Ok(Reading::Nothing("compliance request under another topic"));
    }
    let payload: Payload = read::typed(value)?;
    let account = payload
        .shop_domain
        .filter(|host| read::is_host(host))
        .map(|host| host.to_ascii_lowercase());
    let account = read::required(account, "shop_domain", "a host name")?;
    // Shopify gives no id to a request to erase, and repeats the same bytes on a retry.
    let digest: String = hex::encode(Sha256::digest(verified.body()))
        .chars()
        .take(DIGEST_DIGITS)
        .collect();
    let name = request.name();
    let fact = name.as_str().rsplit('.').next().unwrap_or_default();
    let orders = [payload.orders_requested, payload.orders_to_redact].concat();
    let subject = Subject::new(SubjectKind::Privacy, digest.clone(), now);
    let event = Event {
        event: Head {
            name,
            source: connection.name.clone(),
            kind: "shopify".to_owned(),
            account: Some(account),
            id: format!("{}/privacy/{digest}/{fact}", connection.name),
            at: now,
            test: false,
            depth: 0,
            notes: Vec::new(),
        },
        customer: customer(payload.customer.unwrap_or_default()),
        subject,
        body: Body::Privacy {
            privacy: Privacy {
                request_id: payload.data_request.and_then(|request| request.id),
                order_ids: orders.iter().filter_map(read::as_text).collect(),
            },
        },
    };
    Ok(Reading::Events(vec![event]))
}

/// The number comes as the shop wrote it, without a country: `555-625-1199`.
fn customer(person: Person) -> Customer {
    let phone = PhoneCandidate {
        path: "customer.phone".to_owned(),
        number: person.phone,
        country: None,
    };
    Customer {
        id: person.id,
        email: read::email(person.email.as_deref()),
        phones: vec![phone],
        ..Customer::default()
    }
}
