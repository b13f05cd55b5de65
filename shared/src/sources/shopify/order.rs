//! Orders. Any order topic yields every fact that the body shows: what was told before is a duplicate by
//! its key.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::account;
use super::buyer::{self, Buyer, Currency, Set, words};
use crate::connections::Connection;
use crate::event::{
    Event, Fact, Fresh, FulfillmentStatus, Head, ITEMS_MAX, Item, Link, Money, Name, Order,
    PaymentStatus, SalesChannel, Shipment, ShipmentStatus, State, Subject, SubjectKind,
};
use crate::sources::facts::OrderFacts;
use crate::sources::{Unreadable, parcel, read};

/// The id of Shopify's sample notification, which also says `"test": true`.
const SAMPLE_ID: &str = "820982911946154508";
/// Most parcels of one order that are read, the newest; each makes at most two events.
const PARCELS_MAX: usize = 40;
/// Most refunds of one order that are read, the newest.
const REFUNDS_MAX: usize = 15;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payload {
    #[serde(deserialize_with = "read::id")]
    id: Option<String>,
    #[serde(deserialize_with = "read::text")]
    name: Option<String>,
    #[serde(deserialize_with = "read::id")]
    order_number: Option<String>,
    #[serde(deserialize_with = "read::time")]
    created_at: Option<Timestamp>,
    #[serde(deserialize_with = "read::time")]
    updated_at: Option<Timestamp>,
    #[serde(deserialize_with = "read::time")]
    cancelled_at: Option<Timestamp>,
    #[serde(deserialize_with = "read::text")]
    cancel_reason: Option<String>,
    #[serde(deserialize_with = "read::text")]
    financial_status: Option<String>,
    #[serde(deserialize_with = "read::text")]
    fulfillment_status: Option<String>,
    #[serde(deserialize_with = "read::text")]
    currency: Option<String>,
    #[serde(deserialize_with = "read::text")]
    presentment_currency: Option<String>,
    #[serde(skip)]
    amounts: Amounts,
    #[serde(deserialize_with = "read::list")]
    payment_gateway_names: Vec<Value>,
    #[serde(deserialize_with = "read::text")]
    gateway: Option<String>,
    #[serde(deserialize_with = "read::url")]
    order_status_url: Option<String>,
    #[serde(deserialize_with = "read::list")]
    line_items: Vec<Line>,
    #[serde(deserialize_with = "read::list")]
    shipping_lines: Vec<ShippingLine>,
    #[serde(deserialize_with = "read::list")]
    fulfillments: Vec<Fulfillment>,
    #[serde(deserialize_with = "read::list")]
    refunds: Vec<Refund>,
    #[serde(deserialize_with = "read::list")]
    discount_codes: Vec<DiscountCode>,
    #[serde(deserialize_with = "read::text")]
    note: Option<String>,
    #[serde(deserialize_with = "read::text")]
    tags: Option<String>,
    #[serde(deserialize_with = "read::text")]
    source_name: Option<String>,
    #[serde(deserialize_with = "read::id")]
    checkout_token: Option<String>,
    #[serde(deserialize_with = "read::id")]
    cart_token: Option<String>,
    #[serde(deserialize_with = "read::flag")]
    test: Option<bool>,
}

/// `current_…` is after edits and refunds, the rest as ordered.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Amounts {
    #[serde(deserialize_with = "read::money")]
    current_total_price: Option<Money>,
    #[serde(deserialize_with = "read::object")]
    current_total_price_set: Option<Set>,
    #[serde(deserialize_with = "read::money")]
    total_price: Option<Money>,
    #[serde(deserialize_with = "read::object")]
    total_price_set: Option<Set>,
    #[serde(deserialize_with = "read::money")]
    current_subtotal_price: Option<Money>,
    #[serde(deserialize_with = "read::object")]
    current_subtotal_price_set: Option<Set>,
    #[serde(deserialize_with = "read::money")]
    subtotal_price: Option<Money>,
    #[serde(deserialize_with = "read::object")]
    subtotal_price_set: Option<Set>,
    #[serde(deserialize_with = "read::object")]
    current_shipping_price_set: Option<Set>,
    #[serde(deserialize_with = "read::object")]
    total_shipping_price_set: Option<Set>,
    #[serde(deserialize_with = "read::money")]
    current_total_tax: Option<Money>,
    #[serde(deserialize_with = "read::object")]
    current_total_tax_set: Option<Set>,
    #[serde(deserialize_with = "read::money")]
    total_tax: Option<Money>,
    #[serde(deserialize_with = "read::object")]
    total_tax_set: Option<Set>,
    #[serde(deserialize_with = "read::money")]
    current_total_discounts: Option<Money>,
    #[serde(deserialize_with = "read::object")]
    current_total_discounts_set: Option<Set>,
    #[serde(deserialize_with = "read::money")]
    total_discounts: Option<Money>,
    #[serde(deserialize_with = "read::object")]
    total_discounts_set: Option<Set>,
}

/// One line of an order, parcel or checkout.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Line {
    #[serde(deserialize_with = "read::text")]
    title: Option<String>,
    #[serde(deserialize_with = "read::text")]
    name: Option<String>,
    #[serde(deserialize_with = "read::text")]
    variant_title: Option<String>,
    #[serde(deserialize_with = "read::count")]
    quantity: Option<u64>,
    #[serde(deserialize_with = "read::count")]
    current_quantity: Option<u64>,
    #[serde(deserialize_with = "read::money")]
    price: Option<Money>,
    #[serde(deserialize_with = "read::object")]
    price_set: Option<Set>,
    #[serde(deserialize_with = "read::list")]
    discount_allocations: Vec<Allocation>,
    #[serde(deserialize_with = "read::text")]
    sku: Option<String>,
    #[serde(deserialize_with = "read::id")]
    product_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Allocation {
    #[serde(deserialize_with = "read::money")]
    amount: Option<Money>,
    #[serde(deserialize_with = "read::object")]
    amount_set: Option<Set>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ShippingLine {
    #[serde(deserialize_with = "read::text")]
    title: Option<String>,
    #[serde(deserialize_with = "read::money")]
    price: Option<Money>,
    #[serde(deserialize_with = "read::object")]
    price_set: Option<Set>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct DiscountCode {
    #[serde(deserialize_with = "read::text")]
    code: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fulfillment {
    #[serde(deserialize_with = "read::id")]
    id: Option<String>,
    #[serde(deserialize_with = "read::text")]
    name: Option<String>,
    #[serde(deserialize_with = "read::text")]
    status: Option<String>,
    #[serde(deserialize_with = "read::text")]
    shipment_status: Option<String>,
    #[serde(deserialize_with = "read::time")]
    created_at: Option<Timestamp>,
    #[serde(deserialize_with = "read::time")]
    updated_at: Option<Timestamp>,
    #[serde(deserialize_with = "read::text")]
    tracking_company: Option<String>,
    #[serde(deserialize_with = "read::text")]
    tracking_number: Option<String>,
    #[serde(deserialize_with = "read::list")]
    tracking_numbers: Vec<Value>,
    #[serde(deserialize_with = "read::url")]
    tracking_url: Option<String>,
    #[serde(deserialize_with = "read::list")]
    tracking_urls: Vec<Value>,
    #[serde(deserialize_with = "read::list")]
    line_items: Vec<Line>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refund {
    #[serde(deserialize_with = "read::id")]
    id: Option<String>,
    #[serde(deserialize_with = "read::time")]
    created_at: Option<Timestamp>,
    #[serde(deserialize_with = "read::list")]
    transactions: Vec<Transaction>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Transaction {
    #[serde(deserialize_with = "read::text")]
    kind: Option<String>,
    #[serde(deserialize_with = "read::text")]
    status: Option<String>,
    #[serde(deserialize_with = "read::money")]
    amount: Option<Money>,
    #[serde(deserialize_with = "read::text")]
    currency: Option<String>,
    #[serde(deserialize_with = "read::time")]
    processed_at: Option<Timestamp>,
}

impl Transaction {
    /// Money that went back, rather than goods alone or an attempt.
    fn is_money_back(&self) -> bool {
        self.kind.as_deref() == Some("refund")
            && self.status.as_deref() == Some("success")
            && self.amount.is_some_and(|amount| !amount.is_zero())
    }
}

impl Refund {
    /// When the money went, where any did. A refund without money puts goods back on the shelf, or takes
    /// an unpaid item off the order.
    fn money_back_at(&self) -> Option<Timestamp> {
        let back = self
            .transactions
            .iter()
            .filter(|transaction| transaction.is_money_back());
        back.map(|transaction| transaction.processed_at.max(self.created_at))
            .max()?
    }
}

/// The events of an order, oldest facts first.
pub(super) fn read(
    value: &Value,
    shop: Option<String>,
    connection: &Connection,
) -> Result<Vec<Event>, Unreadable> {
    let payload = Payload {
        amounts: read::typed(value)?,
        ..read::typed(value)?
    };
    let buyer: Buyer = read::typed(value)?;
    let order = order(&payload, &buyer)?;
    let mut notes = Vec::new();
    let customer = buyer.customer(connection);
    if buyer::is_redacted(value) && customer.phones.iter().all(|phone| phone.number.is_none()) {
        notes.push(buyer::REDACTED.to_owned());
    }
    if payload.line_items.len() > ITEMS_MAX {
        notes.push(format!(
            "order.items: {ITEMS_MAX} of {} kept",
            payload.line_items.len()
        ));
    }
    let subject = subject(&payload, &order);
    let facts = OrderFacts {
        head: Head {
            name: Name::OrderCreated,
            source: connection.name.clone(),
            kind: "shopify".to_owned(),
            account: account(payload.order_status_url.as_deref(), shop),
            id: String::new(),
            at: order.created_at,
            test: order.test,
            depth: 0,
            notes,
        },
        customer,
        subject,
        order,
    };
    all(&facts, &payload)
}

fn all(facts: &OrderFacts, payload: &Payload) -> Result<Vec<Event>, Unreadable> {
    let order = &facts.order;
    let as_of = facts.subject.as_of;
    let mut events = vec![facts.event(
        Name::OrderCreated,
        "created",
        order.created_at,
        Fresh::Dated,
    )];
    if matches!(
        order.payment_status,
        PaymentStatus::Paid | PaymentStatus::PartiallyRefunded
    ) {
        let fresh = Fresh::Transition {
            before: Fact::Unpaid,
            now: Fact::Paid,
        };
        events.push(facts.event(Name::OrderPaid, "paid", as_of, fresh));
    }
    events.extend(parcels(facts, payload)?);
    if order.fulfillment_status == FulfillmentStatus::Fulfilled {
        let fresh = Fresh::Transition {
            before: Fact::Unfulfilled,
            now: Fact::Fulfilled,
        };
        events.push(facts.event(Name::OrderFulfilled, "fulfilled", as_of, fresh));
    }
    if let Some(at) = order.cancelled_at {
        events.push(facts.event(Name::OrderCancelled, "cancelled", at, Fresh::Dated));
    }
    events.extend(refunds(facts, payload)?);
    Ok(events)
}

fn refunds(facts: &OrderFacts, payload: &Payload) -> Result<Vec<Event>, Unreadable> {
    let mut events = Vec::new();
    for (index, refund) in payload.refunds.iter().enumerate() {
        let Some(at) = refund.money_back_at() else {
            continue;
        };
        let path = format!("refunds[{index}].id");
        let id = read::required(refund.id.as_ref(), &path, "an integer or a text")?;
        events.push(facts.event(
            Name::OrderRefunded,
            &format!("refunded/{id}"),
            at,
            Fresh::Dated,
        ));
    }
    Ok(newest(events, REFUNDS_MAX))
}

fn parcels(facts: &OrderFacts, payload: &Payload) -> Result<Vec<Event>, Unreadable> {
    let currency = currency_of(payload)?;
    let left = |parcel: &&(usize, &Fulfillment)| has_left(parcel.1);
    let all: Vec<(usize, &Fulfillment)> = payload.fulfillments.iter().enumerate().collect();
    let last = all
        .iter()
        .filter(left)
        .max_by_key(|(index, parcel)| (parcel.created_at, *index));
    let last = last.map(|(index, _)| *index);
    let skip = all.len().saturating_sub(PARCELS_MAX);
    let mut events = Vec::new();
    for (index, parcel) in all.iter().skip(skip).filter(left) {
        let is_last =
            facts.order.fulfillment_status == FulfillmentStatus::Fulfilled && last == Some(*index);
        let path = format!("fulfillments[{index}]");
        let id = read::required(
            parcel.id.as_ref(),
            &format!("{path}.id"),
            "an integer or a text",
        )?;
        let created = parcel.created_at;
        let created = read::required(
            created,
            &format!("{path}.created_at"),
            "a time with an offset",
        )?;
        let shipment = shipment(parcel, id, &facts.order, *index, is_last, &currency);
        let tracking = parcel::tracking_key(shipment.tracking_number.as_deref());
        let updated = parcel.updated_at.unwrap_or(created);
        // Tracking may come days after the parcel: then it is the news, and the change its date.
        // What the carrier reports afterwards changes the parcel as well and is none.
        let moving = shipment.status.is_some();
        let at = if shipment.tracking_number.is_some() && !moving {
            updated
        } else {
            created
        };
        events.push(facts.shipped(
            Name::OrderShipped,
            &format!("shipped/{id}/{tracking}"),
            at,
            &shipment,
        ));
        if shipment.status == Some(ShipmentStatus::Delivered) {
            events.push(facts.shipped(
                Name::OrderDelivered,
                &format!("delivered/{id}"),
                updated,
                &shipment,
            ));
        }
    }
    Ok(events)
}

/// The `most` newest, in the order in which they came.
fn newest(mut events: Vec<Event>, most: usize) -> Vec<Event> {
    let skip = events.len().saturating_sub(most);
    events.split_off(skip)
}

/// `pending` and `open` parcels wait at a warehouse; `cancelled`, `error` and `failure` never leave.
fn has_left(parcel: &Fulfillment) -> bool {
    matches!(parcel.status.as_deref(), None | Some("success"))
}

fn currency_of(payload: &Payload) -> Result<Currency, Unreadable> {
    let shop = read::required(payload.currency.as_deref(), "currency", "a currency's code")?;
    let total = payload.amounts.total_price_set.as_ref();
    Ok(Currency::of(
        shop,
        payload.presentment_currency.as_deref(),
        total,
    ))
}

fn order(payload: &Payload, buyer: &Buyer) -> Result<Order, Unreadable> {
    let id = read::required(payload.id.clone(), "id", "an integer or a text")?;
    let created_at = read::required(payload.created_at, "created_at", "a time with an offset")?;
    let currency = currency_of(payload)?;
    let amounts = &payload.amounts;
    let current = currency.amount(
        amounts.current_total_price_set.as_ref(),
        amounts.current_total_price,
    );
    let total =
        current.or_else(|| currency.amount(amounts.total_price_set.as_ref(), amounts.total_price));
    let number = payload
        .name
        .clone()
        .or_else(|| payload.order_number.clone())
        .unwrap_or_else(|| id.clone());
    Ok(Order {
        number,
        created_at,
        paid_at: None,
        cancelled_at: payload.cancelled_at,
        total: read::required(total, "total_price", "an amount")?,
        subtotal: amounts.subtotal(&currency),
        shipping: shipping(payload, &currency),
        tax: amounts.tax(&currency),
        discount: amounts.discount(&currency),
        refunded: refunded(&payload.refunds, &currency),
        payment_status: payment_status(payload.financial_status.as_deref()),
        payment_method: payment_method(payload),
        fulfillment_status: fulfillment_status(payload.fulfillment_status.as_deref()),
        items: items(&payload.line_items, &currency),
        item_count: item_count(&payload.line_items),
        status_url: payload.order_status_url.clone(),
        payment_url: None,
        shipping_address: buyer.shipping_address(),
        billing_address: buyer.billing_address(),
        shipping_method: payload
            .shipping_lines
            .first()
            .and_then(|line| line.title.clone()),
        discount_codes: payload
            .discount_codes
            .iter()
            .filter_map(|code| code.code.clone())
            .collect(),
        note: payload.note.clone(),
        tags: words(payload.tags.as_deref().unwrap_or_default()),
        attributes: buyer.attributes(),
        channel: channel(payload.source_name.as_deref()),
        is_first: buyer.is_first(),
        test: payload.test == Some(true) || id == SAMPLE_ID,
        cancel_reason: payload.cancel_reason.clone(),
        currency: currency.code,
        id,
    })
}

impl Amounts {
    fn subtotal(&self, currency: &Currency) -> Money {
        currency
            .amount(
                self.current_subtotal_price_set.as_ref(),
                self.current_subtotal_price,
            )
            .or_else(|| currency.amount(self.subtotal_price_set.as_ref(), self.subtotal_price))
            .unwrap_or_default()
    }

    fn tax(&self, currency: &Currency) -> Money {
        currency
            .amount(self.current_total_tax_set.as_ref(), self.current_total_tax)
            .or_else(|| currency.amount(self.total_tax_set.as_ref(), self.total_tax))
            .unwrap_or_default()
    }

    fn discount(&self, currency: &Currency) -> Money {
        currency
            .amount(
                self.current_total_discounts_set.as_ref(),
                self.current_total_discounts,
            )
            .or_else(|| currency.amount(self.total_discounts_set.as_ref(), self.total_discounts))
            .unwrap_or_default()
    }
}

fn shipping(payload: &Payload, currency: &Currency) -> Money {
    let amounts = &payload.amounts;
    let sets = [
        &amounts.current_shipping_price_set,
        &amounts.total_shipping_price_set,
    ];
    let total = sets
        .into_iter()
        .find_map(|set| currency.amount(set.as_ref(), None));
    total.unwrap_or_else(|| {
        let lines = payload.shipping_lines.iter();
        sum(lines.filter_map(|line| currency.amount(line.price_set.as_ref(), line.price)))
    })
}

/// Refunds name their own currency; what went back in another one than the buyer saw is left out.
fn refunded(refunds: &[Refund], currency: &Currency) -> Money {
    let back = refunds
        .iter()
        .flat_map(|refund| &refund.transactions)
        .filter(|back| back.is_money_back());
    let same = |back: &&Transaction| {
        back.currency
            .as_deref()
            .is_none_or(|code| code == currency.code)
    };
    sum(back.filter(same).filter_map(|back| back.amount)).abs()
}

fn sum(amounts: impl Iterator<Item = Money>) -> Money {
    amounts.fold(Money::default(), |sum, amount| {
        sum.checked_add(amount).unwrap_or(sum)
    })
}

fn payment_status(status: Option<&str>) -> PaymentStatus {
    match status {
        Some("authorized") => PaymentStatus::Authorized,
        Some("paid") => PaymentStatus::Paid,
        Some("partially_refunded") => PaymentStatus::PartiallyRefunded,
        Some("refunded") => PaymentStatus::Refunded,
        Some("voided" | "expired") => PaymentStatus::Voided,
        // `pending`, `partially_paid`, `null`, and what Shopify may add.
        _ => PaymentStatus::Pending,
    }
}

fn fulfillment_status(status: Option<&str>) -> FulfillmentStatus {
    match status {
        Some("fulfilled") => FulfillmentStatus::Fulfilled,
        Some("partial") => FulfillmentStatus::Partial,
        _ => FulfillmentStatus::None,
    }
}

/// An order names every gateway that it went through, a gift card too.
fn payment_method(payload: &Payload) -> Option<String> {
    let mut names: Vec<String> = payload
        .payment_gateway_names
        .iter()
        .filter_map(read::as_text)
        .collect();
    names.extend(payload.gateway.clone());
    let known = names.iter().find_map(|name| read::payment_method(name));
    known
        .map(str::to_owned)
        .or_else(|| names.into_iter().next())
}

fn channel(source_name: Option<&str>) -> SalesChannel {
    match source_name {
        Some("web") => SalesChannel::Web,
        Some("pos") => SalesChannel::Pos,
        Some("shopify_draft_order") => SalesChannel::Draft,
        _ => SalesChannel::Other,
    }
}

/// What is left of the lines after edits and refunds; all of them where nothing is left, so that a
/// message about a cancelled order can still say what it was.
fn current(lines: &[Line]) -> impl Iterator<Item = (&Line, u64)> {
    let now = |line: &Line| line.current_quantity.or(line.quantity).unwrap_or(1);
    let empty = lines.iter().all(|line| now(line) == 0);
    lines
        .iter()
        .map(move |line| {
            (
                line,
                if empty {
                    line.quantity.unwrap_or(1)
                } else {
                    now(line)
                },
            )
        })
        .filter(|(_, quantity)| *quantity > 0)
}

pub(super) fn items(lines: &[Line], currency: &Currency) -> Vec<Item> {
    current(lines)
        .take(ITEMS_MAX)
        .map(|(line, quantity)| item(line, quantity, currency))
        .collect()
}

pub(super) fn item_count(lines: &[Line]) -> u64 {
    current(lines).fold(0, |sum, (_, quantity)| sum.saturating_add(quantity))
}

fn item(line: &Line, quantity: u64, currency: &Currency) -> Item {
    let price = currency
        .amount(line.price_set.as_ref(), line.price)
        .unwrap_or_default();
    let off = sum(line
        .discount_allocations
        .iter()
        .filter_map(|discount| currency.amount(discount.amount_set.as_ref(), discount.amount)));
    // Discounts are of the line as ordered.
    let off = off
        .share(quantity, line.quantity.unwrap_or(quantity))
        .unwrap_or(off);
    let total = price
        .checked_mul(quantity)
        .and_then(|total| total.checked_sub(off))
        .unwrap_or(price);
    Item {
        title: line
            .title
            .clone()
            .or_else(|| line.name.clone())
            .unwrap_or_default(),
        // A product without variants has one of this name.
        variant: line
            .variant_title
            .clone()
            .filter(|title| title != "Default Title"),
        quantity,
        price,
        total,
        sku: line.sku.clone(),
        product_id: line.product_id.clone(),
    }
}

pub(super) fn codes(codes: Vec<DiscountCode>) -> Vec<String> {
    codes.into_iter().filter_map(|code| code.code).collect()
}

fn shipment(
    parcel: &Fulfillment,
    id: &str,
    order: &Order,
    index: usize,
    is_last: bool,
    currency: &Currency,
) -> Shipment {
    let first_number = || parcel.tracking_numbers.first().and_then(read::as_text);
    let first_url = || {
        parcel
            .tracking_urls
            .first()
            .and_then(Value::as_str)
            .and_then(read::as_url)
    };
    let lines = parcel.line_items.iter().take(ITEMS_MAX);
    Shipment {
        id: id.to_owned(),
        number: parcel
            .name
            .clone()
            .unwrap_or_else(|| format!("{}.{}", order.number, index.saturating_add(1))),
        company: parcel.tracking_company.clone(),
        tracking_number: parcel.tracking_number.clone().or_else(first_number),
        tracking_url: parcel.tracking_url.clone().or_else(first_url),
        status: match parcel.shipment_status.as_deref() {
            Some("in_transit") => Some(ShipmentStatus::InTransit),
            Some("out_for_delivery" | "attempted_delivery" | "ready_for_pickup") => {
                Some(ShipmentStatus::OutForDelivery)
            }
            Some("delivered") => Some(ShipmentStatus::Delivered),
            Some("failure") => Some(ShipmentStatus::Failure),
            // `label_printed`, `label_purchased`, `confirmed`: nothing moves yet.
            _ => None,
        },
        // `current_quantity` counts what the order still holds, `quantity` what lies in the parcel.
        items: lines
            .map(|line| item(line, line.quantity.unwrap_or(1), currency))
            .collect(),
        is_last,
    }
}

fn subject(payload: &Payload, order: &Order) -> Subject {
    let newest_parcel = payload
        .fulfillments
        .iter()
        .filter_map(|parcel| parcel.updated_at)
        .max();
    let newest = payload
        .cancelled_at
        .max(newest_parcel)
        .unwrap_or(order.created_at);
    let pair = |holds: bool, yes: Fact, no: Fact| if holds { yes } else { no };
    use PaymentStatus::{Paid, PartiallyRefunded, Refunded};
    let paid = matches!(order.payment_status, Paid | PartiallyRefunded | Refunded);
    let refunded =
        matches!(order.payment_status, PartiallyRefunded | Refunded) || !order.refunded.is_zero();
    let fulfilled = order.fulfillment_status == FulfillmentStatus::Fulfilled;
    let state = if order.cancelled_at.is_some() {
        State::Cancelled
    } else if order.payment_status == Refunded {
        State::Refunded
    } else {
        State::Open
    };
    let tokens = [&payload.checkout_token, &payload.cart_token];
    let ends = tokens.into_iter().flatten().map(|id| Link {
        kind: SubjectKind::Checkout,
        id: id.clone(),
    });
    Subject {
        created_at: order.created_at,
        state,
        facts: vec![
            pair(paid, Fact::Paid, Fact::Unpaid),
            pair(fulfilled, Fact::Fulfilled, Fact::Unfulfilled),
            pair(
                order.cancelled_at.is_some(),
                Fact::Cancelled,
                Fact::Uncancelled,
            ),
            pair(refunded, Fact::Refunded, Fact::Unrefunded),
        ],
        ends: ends.collect(),
        ..Subject::new(
            SubjectKind::Order,
            order.id.clone(),
            payload.updated_at.unwrap_or(newest),
        )
    }
}
