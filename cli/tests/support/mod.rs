//! What the tests of the development server share: an order of a shop, signed, and questions over HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![expect(dead_code, reason = "each test file uses a part of it")]

use std::path::Path;
use std::sync::Arc;

use cli::dev::{Dev, Settings};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::connections::Connection;
use shared::sources::Unsigned;
use shared::sources::{Source as _, demo, shopify::Shopify};

pub(crate) const PHONE: &str = "+5511987654321";

/// The example that everything reads, in the repository's root.
pub(crate) fn example() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/shop.toml")
}

pub(crate) async fn start(data: Option<&Path>) -> Dev {
    let settings = Settings {
        data: data.map(Path::to_owned),
        automations: Some(example()),
        ..Settings::default()
    };
    Dev::start(&settings, Arc::new(|_: &str| ())).await.unwrap()
}

/// A server to which nothing was pushed yet.
pub(crate) async fn start_empty() -> Dev {
    let settings = Settings::default();
    Dev::start(&settings, Arc::new(|_: &str| ())).await.unwrap()
}

/// A day at noon in São Paulo: inside every sending hour.
pub(crate) fn noon() -> Timestamp {
    "2026-11-24T15:00:00Z".parse().unwrap()
}

/// A paid order at Shopify.
pub(crate) fn order(id: u64, at: Timestamp) -> Value {
    let at = at.to_string();
    json!({
        "id": id, "admin_graphql_api_id": format!("gid://shopify/Order/{id}"),
        "name": format!("#{id}"), "order_number": id, "created_at": at, "updated_at": at,
        "processed_at": at, "cancelled_at": null, "closed_at": null, "test": false,
        "currency": "BRL", "presentment_currency": "BRL", "financial_status": "paid",
        "fulfillment_status": null, "total_price": "129.90", "subtotal_price": "129.90",
        "current_total_price": "129.90", "current_subtotal_price": "129.90", "total_tax": "0.00",
        "total_discounts": "0.00", "current_total_tax": "0.00", "current_total_discounts": "0.00",
        "payment_gateway_names": ["pix"], "source_name": "web", "customer_locale": "pt-BR",
        "buyer_accepts_marketing": false, "note": null, "tags": "", "phone": null, "email": "maria@example.com",
        "order_status_url": format!("https://minha-loja.com.br/orders/{id}"),
        "customer": {
            "id": 7, "first_name": "Maria", "last_name": "da Silva", "phone": PHONE,
            "email": "maria@example.com",
        },
        "shipping_address": {
            "first_name": "Maria", "last_name": "da Silva", "phone": "(11) 98765-4321",
            "address1": "Rua Um, 1", "city": "São Paulo", "province": "SP", "zip": "01000-000",
            "country_code": "BR",
        },
        "line_items": [{
            "id": 1, "title": "Camiseta", "quantity": 2, "price": "64.95", "sku": "C-1",
            "product_id": 11, "variant_title": "M", "current_quantity": 2,
        }],
        "fulfillments": [], "refunds": [], "discount_codes": [], "note_attributes": [],
    })
}

/// Questions over HTTP, as a test of any language asks them.
pub(crate) struct Http {
    pub(crate) client: reqwest::Client,
    pub(crate) base: String,
}

impl Http {
    pub(crate) fn of(dev: &Dev) -> Http {
        Http::at(dev.url())
    }

    pub(crate) fn at(base: String) -> Http {
        Http {
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            base,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let response = self
            .client
            .get(format!("{}{path}", self.base))
            .send()
            .await
            .unwrap();
        response.json().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let response = self
            .client
            .post(format!("{}{path}", self.base))
            .json(&body)
            .send()
            .await
            .unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Posts a webhook of Shopify with its signature; the answer's status.
    pub(crate) async fn shopify(&self, topic: &str, body: &Value) -> u16 {
        self.try_shopify(topic, body).await.unwrap()
    }

    pub(crate) async fn try_shopify(&self, topic: &str, body: &Value) -> reqwest::Result<u16> {
        let bytes = serde_json::to_vec(body).unwrap();
        let mut request = self
            .client
            .post(format!("{}/orders/shopify", self.base))
            .header("content-type", "application/json")
            .header("x-shopify-topic", topic)
            .header("x-shopify-shop-domain", "minha-loja.myshopify.com");
        let (connection, secret) = (Connection::plain("shopify"), demo::secret("shopify"));
        let unsigned = Unsigned::of(&connection, &secret, &bytes, noon());
        for (name, value) in Shopify.sign(&unsigned) {
            request = request.header(name, value);
        }
        Ok(request.body(bytes).send().await?.status().as_u16())
    }

    pub(crate) async fn idle(&self) {
        let answer = self.get("/_dev/idle").await;
        assert_eq!(answer["idle"], true, "{answer}");
    }

    pub(crate) async fn list(&self, path: &str) -> Vec<Value> {
        self.get(path).await.as_array().unwrap().clone()
    }
}

pub(crate) fn minutes(number: i64) -> SignedDuration {
    SignedDuration::from_mins(number)
}
