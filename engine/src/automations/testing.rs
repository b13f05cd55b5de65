//! An order, a checkout and a file for the tests of this folder.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use serde_json::json;
use shared::event::{Body, Event};

use super::context::Scope;
use super::locale::Home;
use super::model::{
    Automations, Channel, ChannelKind, Defaults, Hours, IfUnknown, OpenSpan, Place, Zone,
};

pub(super) fn zone(name: &str) -> Zone {
    Zone {
        name: name.to_owned(),
        zone: TimeZone::get(name).unwrap(),
    }
}

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// `[hours.loja]`, Monday to Friday from nine to six, and one channel.
pub(super) fn automations() -> Automations {
    let span = OpenSpan {
        from: "09:00".parse().unwrap(),
        to: "18:00".parse().unwrap(),
    };
    let week = (0..5).map(|day| {
        (
            Weekday::from_monday_zero_offset(day).unwrap().into(),
            vec![span],
        )
    });
    let hours = Hours {
        timezone: None,
        week: week.collect(),
        dates: BTreeMap::new(),
    };
    let channel = Channel {
        uuid: "0".repeat(32),
        kind: ChannelKind::Whatsapp,
        place: Place::default(),
    };
    Automations {
        defaults: Defaults {
            locale: "pt-BR".into(),
            locale_by_country: BTreeMap::from([("IT".to_owned(), "it".to_owned())]),
            country: Some("BR".into()),
            timezone: zone("America/Sao_Paulo"),
            channel: None,
            send_hours: None,
            give_up_after: None,
            if_unknown: IfUnknown::Hold,
            only_to: None,
            rate: 20,
            paused: false,
        },
        channels: [("shop".to_owned(), channel)].into(),
        sources: BTreeMap::new(),
        hours: [("loja".to_owned(), hours)].into(),
        messages: BTreeMap::new(),
        contacts: BTreeMap::new(),
        replies: BTreeMap::new(),
        slacks: BTreeMap::new(),
        sheets: BTreeMap::new(),
        webhooks: BTreeMap::new(),
        records: BTreeMap::new(),
        opt_out: super::model::OptOut::default(),
        automations: BTreeMap::new(),
    }
}

/// An order of Maria da Silva, paid on 21 November 2026.
pub(super) fn order() -> Event {
    let item = |title: &str, quantity: u64| json!({"title": title, "quantity": quantity, "price": "10", "total": "10"});
    serde_json::from_value(json!({
        "event": {"name": "order.paid", "source": "shopify", "kind": "shopify", "id": "shopify/order/1/paid", "at": "2026-11-21T15:00:00Z"},
        "customer": {"name": "Maria da Silva", "first_name": "Maria", "phone": "+5511987654321", "country": "BR", "locale": "pt-BR", "tags": ["vip", "b2b"]},
        "subject": {"kind": "order", "id": "1", "as_of": "2026-11-21T15:00:00Z", "created_at": "2026-11-21T14:30:00Z", "state": "open", "fresh": "dated"},
        "order": {
            "id": "1", "number": "#1001", "created_at": "2026-11-21T14:30:00Z", "total": "129.9", "subtotal": "119.9",
            "shipping": "10", "tax": "0", "discount": "0", "refunded": "0", "currency": "BRL",
            "payment_status": "paid", "fulfillment_status": "none",
            "items": [item("Camiseta", 2), item("Boné", 1), item("Meia", 1), item("Cinto", 1), item("Lenço", 1)],
            "item_count": 6, "attributes": {"idade": "7", "n": 7, "nested": {"a": null, "b": "x"}, "gone": null, "due": "2026-12-01"},
            "channel": "web", "test": false
        }
    }))
    .unwrap()
}

/// The same with every field there is, and a parcel.
pub(crate) fn full_order() -> Event {
    let mut event = order();
    let address = json!({"name": "Maria", "street": "Rua A 1", "city": "SP", "province": "SP", "zip": "01000", "country": "BR", "phone": "1"});
    let Body::Order { order, shipment } = &mut event.body else {
        panic!()
    };
    let mut whole = serde_json::to_value(&**order).unwrap();
    let more = json!({
        "paid_at": "2026-11-21T15:00:00Z", "cancelled_at": "2026-11-21T15:00:00Z", "payment_method": "pix",
        "status_url": "https://a.example/s", "payment_url": "https://a.example/p", "shipping_address": address,
        "billing_address": address, "shipping_method": "PAC", "discount_codes": ["X"], "note": "n", "tags": ["t"],
        "is_first": true, "cancel_reason": "inventory"
    });
    whole
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    whole["items"] = json!([{"title": "T", "variant": "M", "quantity": 1, "price": "1", "total": "1", "sku": "s", "product_id": "p"}]);
    **order = serde_json::from_value(whole).unwrap();
    let parcel = json!({"id": "5", "number": "#1001.1", "company": "Correios", "tracking_number": "BR1", "tracking_url": "https://t.example/1",
        "status": "in_transit", "items": [], "is_last": true});
    *shipment = Some(Box::new(serde_json::from_value(parcel).unwrap()));
    event.event.account = Some("shop.example".into());
    event.customer = serde_json::from_value(json!({
        "name": "Maria da Silva", "first_name": "Maria", "last_name": "da Silva", "phone": "+5511987654321", "country": "BR",
        "email": "m@example.com", "locale": "pt-BR", "timezone": "Europe/Rome", "id": "9", "accepts_marketing": true,
        "accepts_email": false, "tags": ["vip"]
    }))
    .unwrap();
    event
}

/// A checkout of the same customer.
pub(super) fn checkout() -> Event {
    serde_json::from_value(json!({
        "event": {"name": "checkout.abandoned", "source": "shopify", "kind": "shopify", "id": "shopify/checkout/t/abandoned", "at": "2026-11-21T15:00:00Z"},
        "customer": {"name": "Maria da Silva", "tags": []},
        "subject": {"kind": "checkout", "id": "t", "as_of": "2026-11-21T15:00:00Z", "created_at": "2026-11-21T14:30:00Z", "state": "open", "fresh": "dated"},
        "checkout": {"id": "t", "created_at": "2026-11-21T14:30:00Z", "updated_at": "2026-11-21T15:00:00Z", "total": "100",
            "currency": "BRL", "items": [], "item_count": 0, "url": "https://c.example/t", "discount_codes": [], "attributes": {"a": "b"}}
    }))
    .unwrap()
}

/// The scope of a text about `event` on Sunday, 22 November 2026, noon in São Paulo.
pub(super) fn scope(event: &Event) -> Scope {
    let automations = automations();
    Scope::new(&automations, &Home::of(&automations, event, None), event)
        .at(at("2026-11-22T15:00:00Z"))
}
