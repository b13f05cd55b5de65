//! An order as `GET /wc/v3/orders/{id}` shows it.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::connections::Connection;
use crate::event::{
    self, Customer, Event, Fact, FreeMap, Fresh, FulfillmentStatus, Head, ITEMS_MAX, Item, Money,
    Name, Order, PARTS_MAX, PaymentStatus, PhoneCandidate, SalesChannel, Shipment, State, Subject,
    SubjectKind,
};
use crate::sources::facts::OrderFacts;
use crate::sources::{Unreadable, parcel, read};

/// In the order of preference.
pub(super) const PHONE_PATHS: &[&str] = &["billing.phone", "shipping.phone"];
/// Plugins keep further numbers in the order's meta data: `meta._billing_cellphone`.
pub(super) const META: &str = "meta.";
/// Where the tracking plugins keep parcels: WooCommerce Shipment Tracking, Advanced Shipment Tracking.
const TRACKING_META: &str = "_wc_shipment_tracking_items";
/// Where the translation plugins keep the language of the order.
const LOCALE_META: [&str; 3] = ["wpml_language", "pll_language", "lang"];
/// Where WooPayments keeps whether an order was paid in test mode.
const TEST_META: &str = "_wcpay_mode";
/// Most parcels of one order that are read, the newest.
const PARCELS_MAX: usize = 40;
/// In place of a refund's id: somebody set the status, and no money is recorded.
const BY_HAND: &str = "-";
/// A parcel's date is a day without a time: within this many hours the order's own change dates it.
const DAY_SLACK_HOURS: i64 = 48;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payload {
    #[serde(deserialize_with = "read::id")]
    id: Option<String>,
    #[serde(deserialize_with = "read::text")]
    number: Option<String>,
    #[serde(deserialize_with = "read::text")]
    status: Option<String>,
    #[serde(deserialize_with = "read::text")]
    currency: Option<String>,
    #[serde(deserialize_with = "gmt")]
    date_created_gmt: Option<Timestamp>,
    #[serde(deserialize_with = "gmt")]
    date_modified_gmt: Option<Timestamp>,
    #[serde(deserialize_with = "gmt")]
    date_paid_gmt: Option<Timestamp>,
    #[serde(deserialize_with = "gmt")]
    date_completed_gmt: Option<Timestamp>,
    #[serde(deserialize_with = "read::money")]
    total: Option<Money>,
    #[serde(deserialize_with = "read::money")]
    total_tax: Option<Money>,
    #[serde(deserialize_with = "read::money")]
    shipping_total: Option<Money>,
    #[serde(deserialize_with = "read::money")]
    discount_total: Option<Money>,
    #[serde(deserialize_with = "read::id")]
    customer_id: Option<String>,
    #[serde(deserialize_with = "read::text")]
    customer_note: Option<String>,
    #[serde(deserialize_with = "read::text")]
    created_via: Option<String>,
    #[serde(deserialize_with = "read::text")]
    payment_method: Option<String>,
    #[serde(deserialize_with = "read::text")]
    payment_method_title: Option<String>,
    #[serde(deserialize_with = "read::url")]
    payment_url: Option<String>,
    #[serde(deserialize_with = "read::flag")]
    needs_payment: Option<bool>,
    #[serde(deserialize_with = "read::object")]
    billing: Option<Address>,
    #[serde(deserialize_with = "read::object")]
    shipping: Option<Address>,
    #[serde(deserialize_with = "read::list")]
    line_items: Vec<Line>,
    #[serde(deserialize_with = "read::list")]
    shipping_lines: Vec<ShippingLine>,
    #[serde(deserialize_with = "read::list")]
    coupon_lines: Vec<Coupon>,
    #[serde(deserialize_with = "read::list")]
    refunds: Vec<Refund>,
    #[serde(deserialize_with = "read::list")]
    meta_data: Vec<Meta>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Address {
    #[serde(deserialize_with = "read::text")]
    first_name: Option<String>,
    #[serde(deserialize_with = "read::text")]
    last_name: Option<String>,
    #[serde(deserialize_with = "read::text")]
    address_1: Option<String>,
    #[serde(deserialize_with = "read::text")]
    address_2: Option<String>,
    #[serde(deserialize_with = "read::text")]
    city: Option<String>,
    #[serde(deserialize_with = "read::text")]
    state: Option<String>,
    #[serde(deserialize_with = "read::text")]
    postcode: Option<String>,
    #[serde(deserialize_with = "read::text")]
    country: Option<String>,
    #[serde(deserialize_with = "read::text")]
    email: Option<String>,
    #[serde(deserialize_with = "read::text")]
    phone: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Line {
    #[serde(deserialize_with = "read::text")]
    name: Option<String>,
    #[serde(deserialize_with = "read::text")]
    parent_name: Option<String>,
    #[serde(deserialize_with = "read::count")]
    quantity: Option<u64>,
    #[serde(deserialize_with = "read::money")]
    price: Option<Money>,
    #[serde(deserialize_with = "read::money")]
    total: Option<Money>,
    #[serde(deserialize_with = "read::text")]
    sku: Option<String>,
    #[serde(deserialize_with = "read::id")]
    product_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ShippingLine {
    #[serde(deserialize_with = "read::text")]
    method_title: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Coupon {
    #[serde(deserialize_with = "read::text")]
    code: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refund {
    #[serde(deserialize_with = "read::id")]
    id: Option<String>,
    /// Negative.
    #[serde(deserialize_with = "read::money")]
    total: Option<Money>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    #[serde(deserialize_with = "read::text")]
    key: Option<String>,
    value: Value,
}

/// One entry of [`TRACKING_META`].
#[derive(Default, Deserialize)]
#[serde(default)]
struct Tracking {
    #[serde(deserialize_with = "read::id")]
    tracking_id: Option<String>,
    #[serde(deserialize_with = "read::text")]
    tracking_number: Option<String>,
    #[serde(deserialize_with = "read::text")]
    tracking_provider: Option<String>,
    #[serde(deserialize_with = "read::text")]
    custom_tracking_provider: Option<String>,
    #[serde(deserialize_with = "read::text")]
    formatted_tracking_provider: Option<String>,
    #[serde(deserialize_with = "read::url")]
    custom_tracking_link: Option<String>,
    #[serde(deserialize_with = "read::url")]
    formatted_tracking_link: Option<String>,
    /// Seconds since 1970 of a day's beginning.
    #[serde(deserialize_with = "read::count")]
    date_shipped: Option<u64>,
}

/// WooCommerce writes GMT without saying so: `2026-11-22T14:03:11`.
fn gmt<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let civil = value
        .as_str()
        .and_then(|text| text.trim_end_matches('Z').parse::<DateTime>().ok());
    Ok(civil
        .and_then(|civil| civil.to_zoned(TimeZone::UTC).ok())
        .map(|zoned| zoned.timestamp()))
}

/// The events of an order, oldest facts first.
pub(super) fn read(
    value: &Value,
    shop: Option<String>,
    connection: &Connection,
) -> Result<Vec<Event>, Unreadable> {
    let payload: Payload = read::typed(value)?;
    let meta = meta(&payload);
    let order = order(&payload, &meta)?;
    let account = payload
        .payment_url
        .as_deref()
        .and_then(read::host)
        .map(str::to_ascii_lowercase)
        .or(shop);
    let mut notes = Vec::new();
    if payload.line_items.len() > ITEMS_MAX {
        notes.push(format!(
            "order.items: {ITEMS_MAX} of {} kept",
            payload.line_items.len()
        ));
    }
    let facts = OrderFacts {
        head: Head {
            name: Name::OrderCreated,
            source: connection.name.clone(),
            kind: "woocommerce".to_owned(),
            account,
            id: String::new(),
            at: order.created_at,
            test: order.test,
            depth: 0,
            notes,
        },
        customer: customer(&payload, &meta, connection),
        subject: subject(&payload, &order)?,
        order,
    };
    all(&facts, &payload, &meta)
}

fn all(facts: &OrderFacts, payload: &Payload, meta: &FreeMap) -> Result<Vec<Event>, Unreadable> {
    let order = &facts.order;
    let as_of = facts.subject.as_of;
    let mut events = vec![facts.event(
        Name::OrderCreated,
        "created",
        order.created_at,
        Fresh::Dated,
    )];
    // A refunded order was paid once; that is no news to anybody any more.
    if let Some(at) = order
        .paid_at
        .filter(|_| order.payment_status != PaymentStatus::Refunded)
    {
        events.push(facts.event(Name::OrderPaid, "paid", at, Fresh::Dated));
    }
    events.extend(parcels(facts, meta)?);
    if order.fulfillment_status == FulfillmentStatus::Fulfilled {
        let dated = payload.date_completed_gmt.map(|at| (at, Fresh::Dated));
        let fresh = Fresh::Transition {
            before: Fact::Unfulfilled,
            now: Fact::Fulfilled,
        };
        let (at, fresh) = dated.unwrap_or((as_of, fresh));
        events.push(facts.event(Name::OrderFulfilled, "fulfilled", at, fresh));
    }
    if payload.is("cancelled") {
        let fresh = Fresh::Transition {
            before: Fact::Uncancelled,
            now: Fact::Cancelled,
        };
        events.push(facts.event(Name::OrderCancelled, "cancelled", as_of, fresh));
    }
    events.extend(
        payload
            .refund_ids()?
            .into_iter()
            .map(|id| refunded(facts, id)),
    );
    Ok(events)
}

/// Refunds have no date of their own.
fn refunded(facts: &OrderFacts, id: &str) -> Event {
    let fact = format!("refunded/{id}");
    let part = refund_part(id);
    let as_of = facts.subject.as_of;
    facts.event(Name::OrderRefunded, &fact, as_of, Fresh::Part { part })
}

fn parcels(facts: &OrderFacts, meta: &FreeMap) -> Result<Vec<Event>, Unreadable> {
    let parcels: Vec<Value> = match meta.get(TRACKING_META) {
        Some(Value::Array(parcels)) => parcels.clone(),
        Some(Value::Object(parcels)) => parcels.values().cloned().collect(),
        _ => Vec::new(),
    };
    let count = parcels.len();
    let skip = count.saturating_sub(PARCELS_MAX);
    let mut events = Vec::new();
    for (index, parcel) in parcels.iter().enumerate().skip(skip) {
        let tracking: Tracking = read::typed(parcel)?;
        if tracking.tracking_id.is_none() && tracking.tracking_number.is_none() {
            continue;
        }
        let number = parcel::tracking_key(tracking.tracking_number.as_deref());
        let id = tracking
            .tracking_id
            .clone()
            .unwrap_or_else(|| number.clone());
        let is_last =
            facts.order.fulfillment_status == FulfillmentStatus::Fulfilled && index + 1 == count;
        let at = left_at(facts, &tracking);
        let fact = format!("shipped/{id}/{number}");
        let parcel = shipment(facts, tracking, id, index, is_last);
        events.push(facts.shipped(Name::OrderShipped, &fact, at, &parcel));
    }
    Ok(events)
}

/// When a parcel left. Its date is a whole day, in a zone that nobody names, so the order's change is
/// nearer to the truth where it is near at all.
fn left_at(facts: &OrderFacts, tracking: &Tracking) -> Timestamp {
    let changed = facts.subject.as_of;
    let day = tracking
        .date_shipped
        .and_then(|seconds| i64::try_from(seconds).ok());
    let Some(day) = day.and_then(|seconds| Timestamp::from_second(seconds).ok()) else {
        return changed;
    };
    let near = changed.duration_since(day).abs() <= SignedDuration::from_hours(DAY_SLACK_HOURS);
    if near { changed } else { day }
}

fn shipment(
    facts: &OrderFacts,
    tracking: Tracking,
    id: String,
    index: usize,
    is_last: bool,
) -> Shipment {
    let provider = tracking
        .custom_tracking_provider
        .or(tracking.formatted_tracking_provider);
    Shipment {
        id,
        number: format!("{}.{}", facts.order.number, index.saturating_add(1)),
        company: provider.or(tracking.tracking_provider),
        tracking_number: tracking.tracking_number,
        tracking_url: tracking
            .custom_tracking_link
            .or(tracking.formatted_tracking_link),
        status: None,
        // The plugins do not say what lies in which parcel.
        items: Vec::new(),
        is_last,
    }
}

impl Payload {
    fn is(&self, status: &str) -> bool {
        self.status.as_deref() == Some(status)
    }

    fn refunded(&self) -> Money {
        let totals = self
            .refunds
            .iter()
            .filter_map(|refund| refund.total)
            .map(Money::abs);
        totals.fold(Money::default(), |sum, total| {
            sum.checked_add(total).unwrap_or(sum)
        })
    }

    /// The refunds that moved money, oldest first.
    fn refund_ids(&self) -> Result<Vec<&str>, Unreadable> {
        let skip = self.refunds.len().saturating_sub(PARTS_MAX);
        let mut ids = Vec::new();
        // WooCommerce lists the newest first.
        for (index, refund) in self.refunds.iter().enumerate().rev().skip(skip) {
            if refund.total.is_none_or(Money::is_zero) {
                continue;
            }
            let path = format!("refunds[{index}].id");
            let id = read::required(refund.id.as_deref(), &path, "an integer or a text")?;
            ids.push(id);
        }
        if ids.is_empty() && self.is("refunded") {
            ids.push(BY_HAND);
        }
        Ok(ids)
    }

    /// The link is always there; it works only while the order waits for money.
    fn payment_link(&self) -> Option<String> {
        let unpaid = self.date_paid_gmt.is_none();
        let waits = self.needs_payment.unwrap_or(unpaid);
        self.payment_url.clone().filter(|_| waits)
    }

    fn method(&self) -> Option<String> {
        let names = [&self.payment_method, &self.payment_method_title];
        let known = names
            .into_iter()
            .flatten()
            .find_map(|name| read::payment_method(name));
        known
            .map(str::to_owned)
            .or_else(|| self.payment_method.clone())
    }

    fn payment_status(&self) -> PaymentStatus {
        match self.status.as_deref() {
            Some("refunded") => PaymentStatus::Refunded,
            Some("failed") => PaymentStatus::Failed,
            _ if self.date_paid_gmt.is_some() && !self.refunded().is_zero() => {
                PaymentStatus::PartiallyRefunded
            }
            _ if self.date_paid_gmt.is_some() => PaymentStatus::Paid,
            Some("cancelled") => PaymentStatus::Voided,
            _ => PaymentStatus::Pending,
        }
    }
}

fn meta(payload: &Payload) -> FreeMap {
    let mut map = FreeMap::new();
    for entry in &payload.meta_data {
        if let Some(key) = &entry.key {
            read::put(&mut map, key, entry.value.clone());
        }
    }
    map
}

/// Keys that begin with `_` are the plugins' own, and large; those of the checkout's fields are not.
fn attributes(meta: &FreeMap) -> FreeMap {
    let of_use = |key: &str| {
        !key.starts_with('_') || key.starts_with("_billing_") || key.starts_with("_shipping_")
    };
    meta.iter()
        .filter(|(key, _)| of_use(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn order(payload: &Payload, meta: &FreeMap) -> Result<Order, Unreadable> {
    let id = read::required(payload.id.clone(), "id", "an integer or a text")?;
    let created_at = read::required(
        payload.date_created_gmt,
        "date_created_gmt",
        "a date and time",
    )?;
    let total = read::required(payload.total, "total", "an amount")?;
    let refunded = payload.refunded();
    let sold = payload.line_items.iter().filter_map(|line| line.total);
    Ok(Order {
        number: payload.number.clone().unwrap_or_else(|| id.clone()),
        created_at,
        paid_at: payload.date_paid_gmt,
        cancelled_at: payload
            .date_modified_gmt
            .filter(|_| payload.is("cancelled")),
        total: total.checked_sub(refunded).unwrap_or(total),
        subtotal: sold.fold(Money::default(), |sum, line| {
            sum.checked_add(line).unwrap_or(sum)
        }),
        shipping: payload.shipping_total.unwrap_or_default(),
        tax: payload.total_tax.unwrap_or_default(),
        discount: payload.discount_total.unwrap_or_default(),
        refunded,
        currency: read::required(payload.currency.clone(), "currency", "a currency's code")?,
        payment_status: payload.payment_status(),
        payment_method: payload.method(),
        fulfillment_status: if payload.is("completed") {
            FulfillmentStatus::Fulfilled
        } else {
            FulfillmentStatus::None
        },
        items: payload
            .line_items
            .iter()
            .take(ITEMS_MAX)
            .map(item)
            .collect(),
        item_count: payload.line_items.iter().fold(0, |sum, line| {
            sum.saturating_add(line.quantity.unwrap_or(1))
        }),
        status_url: None,
        payment_url: payload.payment_link(),
        shipping_address: payload.shipping.as_ref().and_then(address),
        billing_address: payload.billing.as_ref().and_then(address),
        shipping_method: payload
            .shipping_lines
            .first()
            .and_then(|line| line.method_title.clone()),
        discount_codes: payload
            .coupon_lines
            .iter()
            .filter_map(|coupon| coupon.code.clone())
            .collect(),
        note: payload.customer_note.clone(),
        tags: Vec::new(),
        attributes: attributes(meta),
        channel: channel(payload.created_via.as_deref()),
        is_first: None,
        test: read::free_text(meta, TEST_META).as_deref() == Some("test"),
        cancel_reason: None,
        id,
    })
}

fn channel(created_via: Option<&str>) -> SalesChannel {
    match created_via {
        Some("checkout" | "store-api") => SalesChannel::Web,
        Some("admin") => SalesChannel::Draft,
        Some(via)
            if via
                .to_lowercase()
                .split(|c: char| !c.is_alphanumeric())
                .any(|word| word == "pos") =>
        {
            SalesChannel::Pos
        }
        _ => SalesChannel::Other,
    }
}

/// The name of a variation is its product's, then what makes it one: `Camiseta - M, azul`.
fn item(line: &Line) -> Item {
    let name = line.name.clone().unwrap_or_default();
    let parent = line.parent_name.clone().unwrap_or_default();
    let variant = name.strip_prefix(&parent).filter(|_| !parent.is_empty());
    let variant = variant
        .and_then(|rest| rest.strip_prefix(" - "))
        .map(str::to_owned);
    let quantity = line.quantity.unwrap_or(1);
    let total = line.total.unwrap_or_default();
    Item {
        title: if variant.is_some() { parent } else { name },
        variant,
        quantity,
        price: line
            .price
            .or_else(|| total.share(1, quantity))
            .unwrap_or_default(),
        total,
        sku: line.sku.clone(),
        product_id: line.product_id.clone(),
    }
}

/// A shop that sends nothing leaves every field of the shipping address blank.
fn address(address: &Address) -> Option<event::Address> {
    let lines: Vec<&str> = [&address.address_1, &address.address_2]
        .into_iter()
        .filter_map(Option::as_deref)
        .collect();
    let out = event::Address {
        name: read::full_name(address.first_name.as_deref(), address.last_name.as_deref()),
        street: (!lines.is_empty()).then(|| lines.join(", ")),
        city: address.city.clone(),
        province: address.state.clone(),
        zip: address.postcode.clone(),
        country: read::country(address.country.as_deref()),
        phone: address.phone.clone(),
    };
    (out != event::Address::default()).then_some(out)
}

fn customer(payload: &Payload, meta: &FreeMap, connection: &Connection) -> Customer {
    let addresses = || [&payload.billing, &payload.shipping].into_iter().flatten();
    let (first_name, last_name) = addresses()
        .find(|address| address.first_name.is_some() || address.last_name.is_some())
        .map_or((None, None), |address| {
            (address.first_name.clone(), address.last_name.clone())
        });
    let country = addresses().find_map(|address| read::country(address.country.as_deref()));
    let phone_at = |path: &str| {
        let of = |address: &Option<Address>| match address {
            Some(address) => (
                address.phone.clone(),
                read::country(address.country.as_deref()),
            ),
            None => (None, None),
        };
        let (number, own) = match path {
            "billing.phone" => of(&payload.billing),
            "shipping.phone" => of(&payload.shipping),
            _ => (
                path.strip_prefix(META)
                    .and_then(|key| read::free_text(meta, key)),
                None,
            ),
        };
        let country = number.as_ref().and(own.or_else(|| country.clone()));
        PhoneCandidate {
            path: path.to_owned(),
            number,
            country,
        }
    };
    let phones = if connection.phone_from.is_empty() {
        PHONE_PATHS.iter().map(|path| phone_at(path)).collect()
    } else {
        connection
            .phone_from
            .iter()
            .map(|path| phone_at(path))
            .collect()
    };
    let locale = LOCALE_META
        .iter()
        .find_map(|key| read::locale(read::free_text(meta, key).as_deref()));
    Customer {
        bsuid: None,
        name: read::full_name(first_name.as_deref(), last_name.as_deref()),
        first_name,
        last_name,
        phone: None,
        email: payload
            .billing
            .as_ref()
            .and_then(|billing| read::email(billing.email.as_deref())),
        locale,
        timezone: None,
        // Guests have the number 0.
        id: payload.customer_id.clone().filter(|id| id != "0"),
        accepts_marketing: None,
        accepts_email: None,
        tags: Vec::new(),
        phones,
        country,
    }
}

fn refund_part(id: &str) -> String {
    format!("refund/{id}")
}

fn subject(payload: &Payload, order: &Order) -> Result<Subject, Unreadable> {
    let pair = |holds: bool, yes: Fact, no: Fact| if holds { yes } else { no };
    let cancelled = payload.is("cancelled");
    let refunded = payload.is("refunded") || !order.refunded.is_zero();
    let fulfilled = order.fulfillment_status == FulfillmentStatus::Fulfilled;
    let dates = [
        payload.date_modified_gmt,
        payload.date_completed_gmt,
        payload.date_paid_gmt,
    ];
    let state = if cancelled {
        State::Cancelled
    } else if payload.is("refunded") {
        State::Refunded
    } else {
        State::Open
    };
    let newest = dates.into_iter().flatten().max();
    let newest = newest.unwrap_or(order.created_at);
    Ok(Subject {
        created_at: order.created_at,
        state,
        facts: vec![
            pair(order.paid_at.is_some(), Fact::Paid, Fact::Unpaid),
            pair(fulfilled, Fact::Fulfilled, Fact::Unfulfilled),
            pair(cancelled, Fact::Cancelled, Fact::Uncancelled),
            pair(refunded, Fact::Refunded, Fact::Unrefunded),
        ],
        parts: payload.refund_ids()?.into_iter().map(refund_part).collect(),
        ..Subject::new(SubjectKind::Order, order.id.clone(), newest)
    })
}
