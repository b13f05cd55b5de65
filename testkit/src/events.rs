//! Plain events for tests that are not about a source.

use jiff::{SignedDuration, Timestamp};
use shared::event::{
    Body, Checkout, Customer, Event, Fact, FreeMap, FulfillmentStatus, Head, Link, Money, Name,
    Order, PaymentStatus, PhoneCandidate, SalesChannel, Subject, SubjectKind,
};

/// `shopify/order/{id}/paid` of Maria Silva in Brazil, at `at`; the order is five minutes older.
pub fn order_paid(id: &str, at: Timestamp) -> Event {
    let created_at = at - SignedDuration::from_mins(5);
    Event {
        event: head(Name::OrderPaid, format!("shopify/order/{id}/paid"), at),
        customer: maria(),
        subject: Subject {
            created_at,
            facts: vec![Fact::Paid, Fact::Unfulfilled],
            ends: vec![Link {
                kind: SubjectKind::Checkout,
                id: format!("checkout-of-{id}"),
            }],
            ..Subject::new(SubjectKind::Order, id, at)
        },
        body: Body::Order {
            order: Box::new(order(id, created_at, at)),
            shipment: None,
        },
    }
}

/// `shopify/checkout/{id}/abandoned`, last changed at `at`.
pub fn checkout(id: &str, at: Timestamp) -> Event {
    Event {
        event: head(
            Name::CheckoutAbandoned,
            format!("shopify/checkout/{id}/abandoned"),
            at,
        ),
        customer: maria(),
        subject: Subject::new(SubjectKind::Checkout, id, at),
        body: Body::Checkout {
            checkout: Box::new(Checkout {
                id: id.to_owned(),
                created_at: at,
                updated_at: at,
                total: Money::parse("59.8").unwrap_or_default(),
                currency: "BRL".to_owned(),
                items: Vec::new(),
                item_count: 2,
                url: "https://minha-loja.myshopify.com/cart/1".to_owned(),
                discount_codes: Vec::new(),
                attributes: FreeMap::new(),
            }),
        },
    }
}

fn head(name: Name, id: String, at: Timestamp) -> Head {
    Head {
        name,
        source: "shopify".to_owned(),
        kind: "shopify".to_owned(),
        account: Some("minha-loja.myshopify.com".to_owned()),
        id,
        at,
        test: false,
        depth: 0,
        notes: Vec::new(),
    }
}

fn maria() -> Customer {
    Customer {
        name: Some("Maria Silva".to_owned()),
        first_name: Some("Maria".to_owned()),
        last_name: Some("Silva".to_owned()),
        country: Some("BR".to_owned()),
        email: Some("maria@example.com".to_owned()),
        locale: Some("pt-BR".to_owned()),
        id: Some("7001".to_owned()),
        phones: vec![PhoneCandidate {
            path: "shipping.phone".to_owned(),
            number: Some("(11) 98765-4321".to_owned()),
            country: Some("BR".to_owned()),
        }],
        ..Customer::default()
    }
}

fn order(id: &str, created_at: Timestamp, paid_at: Timestamp) -> Order {
    let total = Money::parse("129.9").unwrap_or_default();
    Order {
        id: id.to_owned(),
        number: format!("#{id}"),
        created_at,
        paid_at: Some(paid_at),
        cancelled_at: None,
        total,
        subtotal: total,
        shipping: Money::default(),
        tax: Money::default(),
        discount: Money::default(),
        refunded: Money::default(),
        currency: "BRL".to_owned(),
        payment_status: PaymentStatus::Paid,
        payment_method: Some("pix".to_owned()),
        fulfillment_status: FulfillmentStatus::None,
        items: Vec::new(),
        item_count: 1,
        status_url: None,
        payment_url: None,
        shipping_address: None,
        billing_address: None,
        shipping_method: None,
        discount_codes: Vec::new(),
        note: None,
        tags: Vec::new(),
        attributes: FreeMap::new(),
        channel: SalesChannel::Web,
        is_first: None,
        test: false,
        cancel_reason: None,
    }
}
