//! Shopify's Admin API as far as webhook subscriptions go: the client credentials grant, and the few GraphQL
//! operations that `callbell connect` uses, told apart by the field that they ask for.
//! <https://shopify.dev/docs/api/admin-graphql/latest/objects/WebhookSubscription>
//!
//! What an app may is in its client secret: one with `revoked` is none, one with `level1` has no access to
//! customers' phones.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::secrets::Secret;

use super::deliver::{self, Webhook};
use super::{Api, Reply, Request};

const DOMAIN: &str = ".myshopify.com";
/// How long a token of the client credentials grant lives, in seconds.
const TOKEN_SECONDS: u32 = 86_399;
const GLOBAL: &str = "gid://shopify/WebhookSubscription/";
const TOPICS: [&str; 9] = [
    "ORDERS_CREATE",
    "ORDERS_UPDATED",
    "ORDERS_PAID",
    "ORDERS_CANCELLED",
    "ORDERS_FULFILLED",
    "ORDERS_PARTIALLY_FULFILLED",
    "CHECKOUTS_CREATE",
    "CHECKOUTS_UPDATE",
    "APP_UNINSTALLED",
];

/// The stand-in.
#[derive(Debug, Default)]
pub struct Shopify(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    made: u64,
    subscriptions: Vec<Value>,
    /// Token to client secret.
    tokens: BTreeMap<String, String>,
}

impl Shopify {
    /// Removes every subscription, as Shopify does after eight failures in a row.
    pub fn remove_all(&self) {
        self.held().subscriptions.clear();
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grant(&self, body: &Value) -> Reply {
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        if text("grant_type") != "client_credentials" {
            return Reply::new(400, json!({ "error": "unsupported_grant_type" }));
        }
        let secret = text("client_secret");
        if text("client_id").is_empty() || secret.is_empty() || secret.contains("revoked") {
            let why = "Client authentication failed";
            return Reply::new(
                400,
                json!({ "error": "invalid_client", "error_description": why }),
            );
        }
        let mut held = self.held();
        let token = format!("shpat_demo{:08}", held.tokens.len() + 1);
        held.tokens.insert(token.clone(), secret.to_owned());
        Reply::new(
            200,
            json!({ "access_token": token, "scope": "read_orders,read_checkouts", "expires_in": TOKEN_SECONDS }),
        )
    }

    fn graphql(&self, request: &Request, secret: &str, now: Timestamp) -> Reply {
        let query = request
            .body
            .get("query")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let variables = request.body.get("variables").cloned().unwrap_or_default();
        let data = if query.contains("webhookSubscriptionCreate(") {
            self.create(&variables, &request.host, secret, now)
        } else if query.contains("webhookSubscriptionDelete(") {
            self.delete(&variables)
        } else if query.contains("webhookSubscriptions(") {
            let nodes = self.held().subscriptions.clone();
            let page = json!({ "hasNextPage": false, "endCursor": null });
            Ok(json!({ "webhookSubscriptions": { "nodes": nodes, "pageInfo": page } }))
        } else if query.contains("orders(") && secret.contains("level1") {
            Err(
                "This app is not approved to use the phone field. See https://shopify.dev/docs/apps/launch/protected-customer-data for more details.",
            )
        } else if query.contains("orders(") {
            Ok(json!({ "orders": { "nodes": [] } }))
        } else {
            Err("syntax error")
        };
        // GraphQL answers 200 whatever comes of it.
        Reply::new(
            200,
            match data {
                Ok(data) => {
                    json!({ "data": data, "extensions": { "cost": { "requestedQueryCost": 10 } } })
                }
                Err(message) => json!({
                    "errors": [{ "message": message, "extensions": { "code": "ACCESS_DENIED" } }],
                }),
            },
        )
    }

    fn create(
        &self,
        variables: &Value,
        shop: &str,
        secret: &str,
        now: Timestamp,
    ) -> Result<Value, &'static str> {
        let text = |path: &str| {
            variables
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let (topic, uri) = (text("/topic"), text("/hook/uri"));
        if !TOPICS.contains(&topic) {
            return Err(
                "Variable $topic of type WebhookSubscriptionTopic! was provided invalid value",
            );
        }
        let refused = |message: &str| {
            let errors = json!([{ "field": ["webhookSubscription", "uri"], "message": message }]);
            json!({ "webhookSubscriptionCreate": { "webhookSubscription": null, "userErrors": errors } })
        };
        if !deliver::takes(uri) {
            return Ok(refused("Address protocol http:// is not supported"));
        }
        let mut held = self.held();
        let same = |one: &Value| {
            one.get("topic") == Some(&json!(topic)) && one.get("uri") == Some(&json!(uri))
        };
        if held.subscriptions.iter().any(same) {
            return Ok(refused("Address for this topic has already been taken"));
        }
        held.made += 1;
        let id = format!("{GLOBAL}{}", held.made);
        held.subscriptions
            .push(json!({ "id": id, "topic": topic, "uri": uri }));
        if topic == "ORDERS_PAID" {
            first_event(uri, shop, secret, held.made, now);
        }
        let made = json!({ "webhookSubscription": { "id": id }, "userErrors": [] });
        Ok(json!({ "webhookSubscriptionCreate": made }))
    }

    fn delete(&self, variables: &Value) -> Result<Value, &'static str> {
        let id = variables.get("id").cloned().unwrap_or_default();
        let mut held = self.held();
        let before = held.subscriptions.len();
        held.subscriptions.retain(|one| one.get("id") != Some(&id));
        let gone = held.subscriptions.len() < before;
        let errors = if gone {
            json!([])
        } else {
            json!([{ "field": ["id"], "message": "Webhook subscription does not exist" }])
        };
        let deleted = if gone { id } else { Value::Null };
        let done = json!({ "deletedWebhookSubscriptionId": deleted, "userErrors": errors });
        Ok(json!({ "webhookSubscriptionDelete": done }))
    }
}

impl Api for Shopify {
    fn name(&self) -> &'static str {
        "shopify"
    }

    fn is_at(&self, host: &str) -> bool {
        host.ends_with(DOMAIN)
    }

    fn answer(&self, request: &Request, now: Timestamp) -> Reply {
        if request.host.starts_with("missing") {
            return Reply::new(404, json!({ "errors": "Not Found" }));
        }
        match (&request.method, request.parts().as_slice()) {
            (&Method::POST, ["admin", "oauth", "access_token"]) => self.grant(&request.body),
            (&Method::POST, ["admin", "api", _, "graphql.json"]) => {
                let token = request.header("x-shopify-access-token").unwrap_or_default();
                let known = self.held().tokens.get(token).cloned();
                // The token of an older app, which no grant made.
                let old = (token.starts_with("shpat_") && !token.contains("revoked"))
                    .then(|| "demo-shopify-secret".to_owned());
                match known.or(old) {
                    Some(secret) => self.graphql(request, &secret, now),
                    None => Reply::new(
                        401,
                        json!({ "errors": "[API] Invalid API key or access token (unrecognized login or wrong password)" }),
                    ),
                }
            }
            _ => Reply::new(404, json!({ "errors": "Not Found" })),
        }
    }
}

/// Somebody pays an order.
fn first_event(uri: &str, shop: &str, secret: &str, number: u64, now: Timestamp) {
    let id = 6_000_000_000 + number;
    let customer = json!({
        "id": 7, "first_name": "Maria", "last_name": "da Silva", "phone": "+5511987654321",
        "email": "maria@example.com",
    });
    let address = json!({
        "first_name": "Maria", "last_name": "da Silva", "phone": "(11) 98765-4321", "address1": "Rua Um, 1",
        "city": "São Paulo", "province": "SP", "zip": "01000-000", "country_code": "BR",
    });
    let order = json!({
        "id": id, "admin_graphql_api_id": format!("gid://shopify/Order/{id}"), "name": format!("#{number}"),
        "order_number": number, "created_at": now, "updated_at": now, "processed_at": now,
        "cancelled_at": null, "closed_at": null, "test": false, "currency": "BRL",
        "presentment_currency": "BRL", "financial_status": "paid", "fulfillment_status": null,
        "total_price": "59.90", "subtotal_price": "59.90", "current_total_price": "59.90",
        "payment_gateway_names": ["pix"], "source_name": "web", "customer_locale": "pt-BR",
        "buyer_accepts_marketing": false, "phone": null, "email": "maria@example.com",
        "order_status_url": format!("https://{shop}/orders/{id}"), "customer": customer,
        "shipping_address": address, "line_items": [{ "id": 1, "title": "Camiseta", "quantity": 1,
            "price": "59.90", "sku": "C-1", "product_id": 11, "variant_title": "M", "current_quantity": 1 }],
        "fulfillments": [], "refunds": [], "discount_codes": [], "note_attributes": [],
    });
    let webhook = Webhook {
        kind: "shopify",
        url: uri.to_owned(),
        secret: Secret::new(secret),
        headers: vec![
            ("x-shopify-topic", "orders/paid".to_owned()),
            ("x-shopify-shop-domain", shop.to_owned()),
            ("x-shopify-api-version", "2026-04".to_owned()),
        ],
        body: order,
    };
    webhook.post(now);
}
