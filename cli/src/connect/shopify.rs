//! Shopify's webhook subscriptions through the Admin API, as an app of the Dev Dashboard: client id and
//! secret make a token of 24 hours, and the same client secret signs the webhooks.
//! <https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/client-credentials-grant>

use engine::apis::{Apis, Auth, Body, Call, Reply};
use reqwest::Method;
use serde_json::{Value, json};
use shared::event::Name;
use shared::secrets::Secret;
use tokio::sync::OnceCell;

use super::{
    Answering, Asked, Failure, Hook, New, Options, PAGES_MAX, Provider, SecretOf, Topic, ask,
    settled, unexpected,
};
use crate::error::CliError;

const TITLE: &str = "Shopify";
/// Where every shop's permanent address ends.
const DOMAIN: &str = ".myshopify.com";
/// The Admin API's version. Each is there for a year at least; what is sent to the door is made by it too.
/// <https://shopify.dev/docs/api/usage/versioning>
const API_VERSION: &str = "2026-04";
/// The header with the token.
const TOKEN: &str = "x-shopify-access-token";

const LIST: &str = "query($after: String) { webhookSubscriptions(first: 100, after: $after) \
    { nodes { id topic uri } pageInfo { hasNextPage endCursor } } }";
const CREATE: &str = "mutation($topic: WebhookSubscriptionTopic!, $hook: WebhookSubscriptionInput!) \
    { webhookSubscriptionCreate(topic: $topic, webhookSubscription: $hook) \
    { webhookSubscription { id } userErrors { field message } } }";
const DELETE: &str = "mutation($id: ID!) { webhookSubscriptionDelete(id: $id) \
    { deletedWebhookSubscriptionId userErrors { field message } } }";
/// A phone number of an order, to see whether it would be shown. Nothing of the answer is kept.
const PHONE: &str = "query { orders(first: 1) { nodes { id phone } } }";

/// What Shopify tells of orders and checkouts. Every order topic shows the whole order.
const TOPICS: &[Topic] = &[
    Topic {
        name: "orders/create",
        events: &[Name::OrderCreated, Name::OrderPaid],
        always: true,
    },
    Topic {
        name: "orders/updated",
        events: &[
            Name::OrderPaid,
            Name::OrderShipped,
            Name::OrderDelivered,
            Name::OrderFulfilled,
            Name::OrderCancelled,
            Name::OrderRefunded,
        ],
        always: true,
    },
    Topic {
        name: "orders/paid",
        events: &[Name::OrderPaid],
        always: true,
    },
    Topic {
        name: "orders/cancelled",
        events: &[Name::OrderCancelled],
        always: true,
    },
    Topic {
        name: "orders/fulfilled",
        events: &[Name::OrderShipped, Name::OrderFulfilled],
        always: false,
    },
    Topic {
        name: "orders/partially_fulfilled",
        events: &[Name::OrderShipped],
        always: false,
    },
    Topic {
        name: "checkouts/create",
        events: &[Name::CheckoutAbandoned],
        always: false,
    },
    Topic {
        name: "checkouts/update",
        events: &[Name::CheckoutAbandoned],
        always: false,
    },
];

/// The system.
pub(super) struct System;

impl super::System for System {
    fn kind(&self) -> &'static str {
        "shopify"
    }

    fn title(&self) -> &'static str {
        TITLE
    }

    fn topics(&self) -> &'static [Topic] {
        TOPICS
    }

    fn whereabouts(&self) -> &'static str {
        "Shopify: of webhooks made in Admin, Settings, Notifications, Webhooks: the secret below their list;\n\
             # of webhooks that an app made: the app's client secret."
    }

    fn provoke(&self) -> &'static str {
        "place an order"
    }

    fn questions(&self) -> &'static [&'static str] {
        &[
            "client id of the app (Shopify: Dev Dashboard, the app, Settings)",
            "client secret of the app",
        ]
    }

    fn credential(&self, answers: &[String]) -> Result<Secret, CliError> {
        Ok(credential(answers))
    }

    fn complete(&self, known: &Secret, options: &Options) -> Result<Secret, CliError> {
        complete(known, options.shop.as_deref())
    }

    fn open(
        &self,
        asked: Asked<'_>,
        credential: &Secret,
        _options: &Options,
    ) -> Result<Box<dyn Provider>, CliError> {
        Ok(Box::new(Shopify::new(asked.apis, credential)?))
    }
}

/// An app at one shop.
struct Shopify {
    apis: Apis,
    shop: String,
    proof: Proof,
    token: OnceCell<Secret>,
}

enum Proof {
    Client { id: Secret, secret: Secret },
    Token(Secret),
}

/// The credential of one answer or two: client id and secret, or the access token of an older app.
fn credential(answers: &[String]) -> Secret {
    match answers {
        [id, secret, ..] if !secret.is_empty() => {
            Secret::new(json!({ "client_id": id, "client_secret": secret }).to_string())
        }
        _ => Secret::new(answers.concat()),
    }
}

/// The credential with what the flags say: `--shop` names the shop.
///
/// # Errors
/// It names no shop, or one that is none.
fn complete(credential: &Secret, shop: Option<&str>) -> Result<Secret, CliError> {
    let text = credential.expose().trim();
    let mut json = match serde_json::from_str::<Value>(text) {
        Ok(json @ Value::Object(_)) => json,
        _ => json!({ "access_token": text }),
    };
    let known = json.get("shop").and_then(Value::as_str).map(str::to_owned);
    let shop = shop.or(known.as_deref()).ok_or_else(|| {
        CliError::new("which shop? --shop is missing").hint("--shop minha-loja.myshopify.com")
    })?;
    let shop = normal(shop)?;
    if let Some(fields) = json.as_object_mut() {
        fields.insert("shop".to_owned(), Value::from(shop));
    }
    Ok(Secret::new(json.to_string()))
}

/// `minha-loja`, the permanent domain, or the address of the shop's admin pages, as the permanent domain.
fn normal(text: &str) -> Result<String, CliError> {
    let low = text.trim().to_ascii_lowercase();
    let low = low.split_once("://").map_or(low.as_str(), |(_, rest)| rest);
    let low = low.strip_prefix("admin.shopify.com/store/").unwrap_or(low);
    let low = low.split('/').next().unwrap_or_default();
    let name = low.strip_suffix(DOMAIN).unwrap_or(low);
    let fits = !name.is_empty()
        && !name.starts_with('-')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if fits {
        return Ok(format!("{name}{DOMAIN}"));
    }
    Err(
        CliError::new(format!("\"{text}\" is no shop's permanent domain"))
            .hint("Shopify: Settings, Domains: the one that ends in .myshopify.com"),
    )
}

impl Shopify {
    /// # Errors
    /// The credential has neither a client nor a token.
    fn new(apis: &Apis, credential: &Secret) -> Result<Shopify, CliError> {
        let json: Value = serde_json::from_str(credential.expose()).unwrap_or_default();
        let text = |name: &str| json.get(name).and_then(Value::as_str).map(Secret::new);
        let proof = match (
            text("client_id"),
            text("client_secret"),
            text("access_token"),
        ) {
            (Some(id), Some(secret), _) => Proof::Client { id, secret },
            (_, _, Some(token)) => Proof::Token(token),
            _ => {
                return Err(CliError::new(
                    "the credential of a Shopify app is JSON: {\"client_id\", \"client_secret\"}",
                )
                .hint("Shopify: Dev Dashboard, the app, Settings"));
            }
        };
        let shop = json.get("shop").and_then(Value::as_str).unwrap_or_default();
        Ok(Shopify {
            apis: apis.clone(),
            shop: normal(shop)?,
            proof,
            token: OnceCell::new(),
        })
    }

    /// The token, made once.
    async fn token(&self) -> Result<&Secret, Failure> {
        self.token
            .get_or_try_init(|| async {
                match &self.proof {
                    Proof::Token(token) => Ok(token.clone()),
                    Proof::Client { id, secret } => self.grant(id, secret).await,
                }
            })
            .await
    }

    async fn grant(&self, id: &Secret, secret: &Secret) -> Result<Secret, Failure> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", id.expose()),
            ("client_secret", secret.expose()),
        ];
        let call = Call {
            method: Method::POST,
            host: &self.shop,
            path: &["admin", "oauth", "access_token"],
            query: &[],
            auth: Auth::None,
            body: Body::Form(&form),
        };
        let reply = ask(TITLE, &self.apis, &call).await?;
        let json = reply.json();
        if let Some(token) = json.get("access_token").and_then(Value::as_str) {
            return Ok(Secret::new(token));
        }
        match (reply.status, json.get("error").and_then(Value::as_str)) {
            (404, _) => Err(Failure::other(
                format!("there is no shop {}", self.shop),
                "--shop NAME.myshopify.com",
            )),
            (_, Some("shop_not_permitted" | "app_not_installed")) => Err(Failure::other(
                format!("the app may not work on {}", self.shop),
                "Shopify: Dev Dashboard: the app has to belong to the organization of the shop, and to be installed in it",
            )),
            (400 | 401 | 403, _) => Err(Failure::Credential(TITLE)),
            _ => Err(unexpected(TITLE, &reply)),
        }
    }

    async fn ask(&self, query: &str, variables: &Value) -> Result<Value, Failure> {
        let token = self.token().await?;
        let body = json!({ "query": query, "variables": variables });
        let call = Call {
            method: Method::POST,
            host: &self.shop,
            path: &["admin", "api", API_VERSION, "graphql.json"],
            query: &[],
            auth: Auth::Header(TOKEN, token.expose()),
            body: Body::Json(&body),
        };
        let reply = settled(TITLE, ask(TITLE, &self.apis, &call).await?)?;
        if !reply.is_success() {
            return Err(unexpected(TITLE, &reply));
        }
        let json = reply.json();
        match json.pointer("/errors/0/message").and_then(Value::as_str) {
            Some(message) => Err(refused(message, &reply)),
            None => Ok(json),
        }
    }

    /// A mutation; the first of its own errors is a failure.
    async fn change(&self, name: &str, query: &str, variables: &Value) -> Result<(), Failure> {
        let json = self.ask(query, variables).await?;
        let message = json.pointer(&format!("/data/{name}/userErrors/0/message"));
        match message.and_then(Value::as_str) {
            None => Ok(()),
            Some(text) if text.contains("already been taken") => Err(Failure::Exists(TITLE)),
            Some(text) if text.contains("does not exist") => Ok(()),
            Some(text) => Err(words(text)),
        }
    }
}

/// What Shopify's own words mean.
fn refused(message: &str, reply: &Reply) -> Failure {
    if message.is_empty() {
        return unexpected(TITLE, reply);
    }
    words(message)
}

fn words(message: &str) -> Failure {
    if message.contains("protected customer data") || message.contains("not approved") {
        return Failure::other(
            "Shopify keeps customers' data from this app",
            "Shopify: Dev Dashboard, the app, API access, Protected customer data: ask for name, phone and e-mail",
        );
    }
    if message.contains("Access denied") || message.contains("access scope") {
        return Failure::other(
            "the app lacks a scope",
            "Shopify: Dev Dashboard, the app: read_orders and, for abandoned checkouts, read_checkouts; then install the new version",
        );
    }
    let short: String = message.chars().take(super::MESSAGE_CHARS_MAX).collect();
    Failure::other(format!("Shopify: {short}"), "")
}

impl Provider for Shopify {
    fn one_each(&self) -> bool {
        true
    }

    fn secret(&self) -> SecretOf {
        match &self.proof {
            Proof::Client { secret, .. } => SecretOf::Theirs(secret.clone()),
            Proof::Token(_) => {
                SecretOf::Known("Shopify signs with the app's client secret: callbell secrets set")
            }
        }
    }

    fn hooks(&self) -> Answering<'_, Vec<Hook>> {
        Box::pin(async move {
            let mut hooks = Vec::new();
            let mut after = Value::Null;
            for _ in 0..PAGES_MAX {
                let json = self.ask(LIST, &json!({ "after": after })).await?;
                let list = json.pointer("/data/webhookSubscriptions/nodes");
                let list = list.and_then(Value::as_array);
                hooks.extend(list.into_iter().flatten().filter_map(hook));
                let page = json.pointer("/data/webhookSubscriptions/pageInfo");
                let of = |name: &str| page.and_then(|page| page.get(name)).cloned();
                if of("hasNextPage") != Some(Value::Bool(true)) {
                    break;
                }
                after = of("endCursor").unwrap_or_default();
            }
            Ok(hooks)
        })
    }

    fn register<'a>(&'a self, new: &'a New<'a>) -> Answering<'a, ()> {
        Box::pin(async move {
            let topic = new.topics.first().copied().unwrap_or_default();
            let topic = topic.replace('/', "_").to_ascii_uppercase();
            let variables = json!({ "topic": topic, "hook": { "uri": new.url, "format": "JSON" } });
            self.change("webhookSubscriptionCreate", CREATE, &variables)
                .await
        })
    }

    fn remove<'a>(&'a self, id: &'a str) -> Answering<'a, ()> {
        Box::pin(async move {
            let variables = json!({ "id": global(id) });
            self.change("webhookSubscriptionDelete", DELETE, &variables)
                .await
        })
    }

    fn withheld(&self) -> Answering<'_, Vec<String>> {
        Box::pin(async move {
            match self.ask(PHONE, &Value::Null).await {
                Ok(_) => Ok(Vec::new()),
                Err(Failure::Other { what, todo }) => Ok(vec![format!("{what}: {todo}")]),
                Err(other) => Err(other),
            }
        })
    }
}

const GLOBAL: &str = "gid://shopify/WebhookSubscription/";

/// The id as the API wants it.
fn global(id: &str) -> String {
    if id.starts_with("gid:") {
        id.to_owned()
    } else {
        format!("{GLOBAL}{id}")
    }
}

fn hook(json: &Value) -> Option<Hook> {
    let text = |name: &str| json.get(name).and_then(Value::as_str);
    let id = text("id")?;
    Some(Hook {
        id: id.strip_prefix(GLOBAL).unwrap_or(id).to_owned(),
        url: text("uri")?.to_owned(),
        topics: vec![text("topic")?.to_ascii_lowercase().replacen('_', "/", 1)],
        // One that fails too often is not switched off but removed.
        off: None,
        scope: None,
        failing: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shop_is_named_in_several_ways() {
        for text in [
            "minha-loja",
            "Minha-Loja.myshopify.com",
            "https://minha-loja.myshopify.com/admin",
            "https://admin.shopify.com/store/minha-loja/orders",
        ] {
            assert_eq!(normal(text).unwrap(), "minha-loja.myshopify.com", "{text}");
        }
        for text in ["", "minhaloja.com.br", "a b", "-a", "a@b.myshopify.com"] {
            assert!(normal(text).is_err(), "{text}");
        }
        let old = complete(&Secret::new("shpat_1"), Some("minha-loja")).unwrap();
        assert_eq!(
            old.expose(),
            r#"{"access_token":"shpat_1","shop":"minha-loja.myshopify.com"}"#
        );
        assert_eq!(complete(&old, None).unwrap(), old);
        assert!(complete(&Secret::new("shpat_1"), None).is_err());
    }
}
