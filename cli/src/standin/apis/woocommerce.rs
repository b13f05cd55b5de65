//! WooCommerce's REST API as far as webhooks go, for a shop at any address that no other stand-in has.
//! <https://developer.woocommerce.com/docs/apis/rest-api/v3/webhooks/>
//!
//! What a key may is in its name: one with `revoked` is none, one with `reader` may only read.

use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::secrets::Secret;

use super::deliver::{self, Webhook};
use super::{Api, Reply, Request};

/// Webhooks a page unless told.
const PAGE: usize = 10;
const STATUSES: [&str; 3] = ["active", "paused", "disabled"];

/// The stand-in.
#[derive(Debug, Default)]
pub struct WooCommerce(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    made: u64,
    webhooks: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    resource: Value,
    secret: String,
}

impl WooCommerce {
    /// Switches every webhook off, as WooCommerce does after a few failures in a row.
    pub fn disable_all(&self) {
        for kept in &mut self.held().webhooks {
            set(&mut kept.resource, "status", json!("disabled"));
        }
    }

    /// What all webhooks are signed with, oldest first.
    pub fn secrets(&self) -> Vec<String> {
        let held = self.held();
        held.webhooks
            .iter()
            .map(|kept| kept.secret.clone())
            .collect()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn list(&self, request: &Request) -> Reply {
        let number = |name: &str, or: usize| {
            request
                .query(name)
                .and_then(|text| text.parse().ok())
                .unwrap_or(or)
        };
        let (page, size) = (number("page", 1), number("per_page", PAGE));
        if page == 0 || size == 0 || size > 100 {
            return failed(400, "rest_invalid_param", "Invalid parameter(s): per_page");
        }
        let held = self.held();
        let shown = held.webhooks.iter().skip((page - 1) * size).take(size);
        Reply::new(200, shown.map(|kept| kept.resource.clone()).collect())
    }

    fn create(&self, request: &Request, now: Timestamp) -> Reply {
        let body = &request.body;
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        if !text("topic").contains('.') {
            return failed(
                400,
                "woocommerce_rest_webhook_invalid_topic",
                "Webhook topic must be valid.",
            );
        }
        if !deliver::takes(text("delivery_url")) {
            let code = "woocommerce_rest_webhook_invalid_delivery_url";
            return failed(
                400,
                code,
                "Webhook delivery URL must be a valid URL starting with http:// or https://.",
            );
        }
        let mut held = self.held();
        held.made += 1;
        let (resource, event) = text("topic").split_once('.').unwrap_or_default();
        let resource = json!({
            "id": held.made, "name": text("name"), "status": "active", "topic": text("topic"),
            "resource": resource, "event": event, "hooks": [], "delivery_url": text("delivery_url"),
            "date_created": now, "date_created_gmt": now, "date_modified": now, "date_modified_gmt": now,
        });
        held.webhooks.push(Kept {
            resource: resource.clone(),
            secret: text("secret").to_owned(),
        });
        saved(&resource, text("secret"), held.made, now);
        Reply::new(201, resource)
    }

    fn change(&self, id: &str, body: &Value, now: Timestamp) -> Reply {
        let mut held = self.held();
        let made = held.made;
        let Some(kept) = held.webhooks.iter_mut().find(|kept| is(kept, id)) else {
            return failed(
                404,
                "woocommerce_rest_shop_webhook_invalid_id",
                "Invalid ID.",
            );
        };
        for (field, value) in body.as_object().into_iter().flatten() {
            match field.as_str() {
                "secret" => value
                    .as_str()
                    .unwrap_or_default()
                    .clone_into(&mut kept.secret),
                "status" if !STATUSES.iter().any(|known| value == known) => {
                    let code = "woocommerce_rest_shop_webhook_invalid_status";
                    return failed(400, code, "Webhook status must be valid.");
                }
                "status" | "name" | "topic" | "delivery_url" => {
                    set(&mut kept.resource, field, value.clone());
                }
                _ => {}
            }
        }
        saved(&kept.resource, &kept.secret, made, now);
        Reply::new(200, kept.resource.clone())
    }

    fn delete(&self, request: &Request, id: &str) -> Reply {
        if request.query("force") != Some("true") {
            return failed(
                501,
                "woocommerce_rest_trash_not_supported",
                "Webhooks do not support trashing.",
            );
        }
        let mut held = self.held();
        match held.webhooks.iter().position(|kept| is(kept, id)) {
            None => failed(
                404,
                "woocommerce_rest_shop_webhook_invalid_id",
                "Invalid ID.",
            ),
            Some(index) => Reply::new(200, held.webhooks.remove(index).resource),
        }
    }
}

impl Api for WooCommerce {
    fn name(&self) -> &'static str {
        "woocommerce"
    }

    fn is_at(&self, host: &str) -> bool {
        host.contains('.')
    }

    fn answer(&self, request: &Request, now: Timestamp) -> Reply {
        let parts = request.parts();
        let start = parts.iter().position(|part| *part == "wp-json");
        let Some(route) = start.and_then(|start| parts.get(start + 1..)) else {
            return Reply::new(
                502,
                json!({ "error": format!("no stand-in for {}", request.host) }),
            );
        };
        let key = basic(request).unwrap_or_default();
        if !key.starts_with("ck_") || key.contains("revoked") {
            return failed(
                401,
                "woocommerce_rest_authentication_error",
                "Consumer key is invalid.",
            );
        }
        if key.contains("reader") && request.method != Method::GET {
            let message = "Sorry, you are not allowed to create resources.";
            return failed(401, "woocommerce_rest_cannot_create", message);
        }
        match (&request.method, route) {
            (&Method::GET, ["wc", "v3", "webhooks"]) => self.list(request),
            (&Method::POST, ["wc", "v3", "webhooks"]) => self.create(request, now),
            (&Method::PUT, ["wc", "v3", "webhooks", id]) => self.change(id, &request.body, now),
            (&Method::DELETE, ["wc", "v3", "webhooks", id]) => self.delete(request, id),
            _ => failed(
                404,
                "rest_no_route",
                "No route was found matching the URL and request method.",
            ),
        }
    }
}

/// The user of `Authorization: Basic`: the consumer key.
fn basic(request: &Request) -> Option<String> {
    let header = request.header("authorization")?.strip_prefix("Basic ")?;
    let plain = String::from_utf8(STANDARD.decode(header).ok()?).ok()?;
    Some(plain.split_once(':')?.0.to_owned())
}

fn is(kept: &Kept, id: &str) -> bool {
    let number = kept.resource.get("id").and_then(Value::as_u64);
    number.is_some_and(|number| number.to_string() == id)
}

fn set(resource: &mut Value, field: &str, value: Value) {
    if let Some(fields) = resource.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

fn failed(status: u16, code: &str, message: &str) -> Reply {
    Reply::new(
        status,
        json!({ "code": code, "message": message, "data": { "status": status } }),
    )
}

/// Saving an active webhook pings it; then somebody orders.
fn saved(resource: &Value, secret: &str, number: u64, now: Timestamp) {
    let text = |name: &str| {
        resource
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    if text("status") != "active" {
        return;
    }
    deliver::post_form(
        text("delivery_url"),
        format!("webhook_id={}", resource.get("id").unwrap_or(&Value::Null)),
    );
    if text("topic") != "order.created" {
        return;
    }
    let at = now.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let address = json!({
        "first_name": "Maria", "last_name": "da Silva", "address_1": "Rua Um, 1", "city": "São Paulo",
        "state": "SP", "postcode": "01000-000", "country": "BR", "email": "maria@example.com",
        "phone": "(11) 98765-4321",
    });
    let order = json!({
        "id": 7_000 + number, "parent_id": 0, "number": (7_000 + number).to_string(),
        "order_key": "wc_order_demo", "created_via": "checkout", "version": "10.3.0", "status": "processing",
        "currency": "BRL", "date_created": at, "date_created_gmt": at, "date_modified": at,
        "date_modified_gmt": at, "discount_total": "0.00", "shipping_total": "0.00", "total": "59.90",
        "total_tax": "0.00", "customer_id": 0, "customer_note": "", "billing": address, "shipping": address,
        "payment_method": "pix", "payment_method_title": "Pix", "date_paid": at, "date_paid_gmt": at,
        "date_completed": null, "date_completed_gmt": null, "meta_data": [], "tax_lines": [],
        "line_items": [{ "id": 1, "name": "Camiseta", "product_id": 11, "variation_id": 0, "quantity": 1,
            "subtotal": "59.90", "total": "59.90", "sku": "C-1", "price": 59.9, "meta_data": [] }],
        "shipping_lines": [], "fee_lines": [], "coupon_lines": [], "refunds": [],
    });
    let webhook = Webhook {
        kind: "woocommerce",
        url: text("delivery_url").to_owned(),
        secret: Secret::new(secret),
        headers: vec![
            ("x-wc-webhook-topic", "order.created".to_owned()),
            (
                "x-wc-webhook-source",
                "https://demo-shop.example/".to_owned(),
            ),
        ],
        body: order,
    };
    webhook.post(now);
}
