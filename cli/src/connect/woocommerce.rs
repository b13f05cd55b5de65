//! WooCommerce's webhooks, with a REST key: one webhook a topic, at the shop's own address.
//! <https://developer.woocommerce.com/docs/apis/rest-api/v3/webhooks/>

use engine::apis::{Apis, Auth, Body, Call, Reply};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use shared::event::Name;
use shared::secrets::Secret;

use super::{
    Answering, Asked, Failure, Hook, New, Options, PAGES_MAX, Provider, Topic, ask, settled,
    unexpected,
};
use crate::error::CliError;

const TITLE: &str = "WooCommerce";
/// Webhooks a page, the most that WordPress gives.
const PAGE: usize = 100;
/// What our webhooks are called in the shop's list.
const NAME: &str = "callbell-serverless";

/// What WooCommerce tells of orders: everything that happens to one is an update.
const TOPICS: &[Topic] = &[
    Topic {
        name: "order.created",
        events: &[Name::OrderCreated, Name::OrderPaid],
        always: true,
    },
    Topic {
        name: "order.updated",
        events: &[
            Name::OrderPaid,
            Name::OrderShipped,
            Name::OrderFulfilled,
            Name::OrderCancelled,
            Name::OrderRefunded,
        ],
        always: true,
    },
];

/// The system.
pub(super) struct System;

impl super::System for System {
    fn kind(&self) -> &'static str {
        "woocommerce"
    }

    fn title(&self) -> &'static str {
        TITLE
    }

    fn topics(&self) -> &'static [Topic] {
        TOPICS
    }

    fn whereabouts(&self) -> &'static str {
        "WooCommerce: Settings, Advanced, Webhooks, the field Secret of the webhook, the same in each of them."
    }

    fn provoke(&self) -> &'static str {
        "place an order"
    }

    fn questions(&self) -> &'static [&'static str] {
        &[
            "consumer key (WooCommerce: Settings, Advanced, REST API, read and write)",
            "consumer secret",
        ]
    }

    fn credential(&self, answers: &[String]) -> Result<Secret, CliError> {
        Ok(credential(answers))
    }

    fn complete(&self, known: &Secret, options: &Options) -> Result<Secret, CliError> {
        complete(known, options.url.as_deref())
    }

    fn open(
        &self,
        asked: Asked<'_>,
        credential: &Secret,
        _options: &Options,
    ) -> Result<Box<dyn Provider>, CliError> {
        Ok(Box::new(WooCommerce::new(asked.apis, credential)?))
    }
}

/// A key of one shop.
struct WooCommerce {
    apis: Apis,
    host: String,
    /// Of a shop that is not at the root of its host.
    folder: Vec<String>,
    key: Secret,
    secret: Secret,
}

/// The credential with what the flags say: `--url` names the shop.
///
/// # Errors
/// It has no address of a shop.
fn complete(credential: &Secret, url: Option<&str>) -> Result<Secret, CliError> {
    let mut json = read(credential)?;
    if let (Some(url), Some(fields)) = (url, json.as_object_mut()) {
        let url = if url.contains("://") {
            url.to_owned()
        } else {
            format!("https://{url}")
        };
        fields.insert("url".to_owned(), Value::from(url));
    }
    if json.get("url").and_then(Value::as_str).is_none() {
        return Err(CliError::new("which shop? --url is missing")
            .hint("--url https://loja.example.com, as customers open it"));
    }
    Ok(Secret::new(json.to_string()))
}

/// The credential of two answers.
fn credential(answers: &[String]) -> Secret {
    match answers {
        [key, secret, ..] => Secret::new(json!({ "key": key, "secret": secret }).to_string()),
        _ => Secret::new(answers.concat()),
    }
}

fn read(credential: &Secret) -> Result<Value, CliError> {
    let json: Option<Value> = serde_json::from_str(credential.expose()).ok();
    let has = |json: &Value, name: &str| json.get(name).is_some_and(Value::is_string);
    json.filter(|json| has(json, "key") && has(json, "secret"))
        .ok_or_else(|| {
            CliError::new(
                "the credential of a WooCommerce shop is JSON: {\"url\", \"key\", \"secret\"}",
            )
            .hint("WooCommerce: Settings, Advanced, REST API, a key that may read and write")
        })
}

impl WooCommerce {
    /// # Errors
    /// The credential is none, or its address is no https address.
    fn new(apis: &Apis, credential: &Secret) -> Result<WooCommerce, CliError> {
        let json = read(credential)?;
        let text = |name: &str| json.get(name).and_then(Value::as_str).unwrap_or_default();
        let url = Url::parse(text("url"))
            .ok()
            .filter(|url| url.scheme() == "https");
        let host = url.as_ref().and_then(|url| {
            let port = url.port().map_or(String::new(), |port| format!(":{port}"));
            Some(format!("{}{port}", url.host_str()?))
        });
        let (Some(url), Some(host)) = (url, host) else {
            return Err(CliError::new(
                "the shop's address has to begin with https://: its key goes there",
            )
            .hint("--url https://loja.example.com"));
        };
        let folder = url.path_segments().into_iter().flatten();
        Ok(WooCommerce {
            apis: apis.clone(),
            host,
            folder: folder
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect(),
            key: Secret::new(text("key")),
            secret: Secret::new(text("secret")),
        })
    }

    async fn call(
        &self,
        method: Method,
        id: Option<&str>,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Reply, Failure> {
        let folder = self.folder.iter().map(String::as_str);
        let path: Vec<&str> = folder
            .chain(["wp-json", "wc", "v3", "webhooks"])
            .chain(id)
            .collect();
        let call = Call {
            method,
            host: &self.host,
            path: &path,
            query,
            auth: Auth::Basic(self.key.expose(), self.secret.expose()),
            body: body.map_or(Body::None, Body::Json),
        };
        let reply = ask(TITLE, &self.apis, &call).await?;
        let json = reply.json();
        let code = json.get("code").and_then(Value::as_str).unwrap_or_default();
        // The key is known, and its permissions or its user's are not enough: WooCommerce says 401 too.
        if matches!(reply.status, 401 | 403) && code.starts_with("woocommerce_rest_cannot") {
            return Err(Failure::other(
                format!("this key may not do that ({}, {code})", reply.status),
                "WooCommerce: Settings, Advanced, REST API: a key with read and write permission, of a user who manages the shop",
            ));
        }
        settled(TITLE, reply)
    }

    fn good(&self, reply: &Reply) -> Result<(), Failure> {
        match reply.status {
            _ if reply.is_success() => Ok(()),
            404 => Err(Failure::other(
                format!("there is no WooCommerce API at {} (404)", self.host),
                "is that the shop's address? WordPress: Settings, Permalinks must not be Plain",
            )),
            300..400 => Err(Failure::other(
                format!("{} leads elsewhere ({})", self.host, reply.status),
                "write the address that customers end up at, with or without www",
            )),
            _ => Err(unexpected(TITLE, reply)),
        }
    }
}

fn body(new: &New<'_>) -> Value {
    json!({
        "name": NAME, "status": "active", "topic": new.topics.first(), "delivery_url": new.url,
        "secret": new.secret.expose(),
    })
}

impl Provider for WooCommerce {
    fn one_each(&self) -> bool {
        true
    }

    fn hooks(&self) -> Answering<'_, Vec<Hook>> {
        Box::pin(async move {
            let mut hooks = Vec::new();
            for page in 1..=PAGES_MAX {
                let query = [("per_page", PAGE.to_string()), ("page", page.to_string())];
                let reply = self.call(Method::GET, None, &query, None).await?;
                self.good(&reply)?;
                let json = reply.json();
                let list = json.as_array().ok_or_else(|| unexpected(TITLE, &reply))?;
                hooks.extend(list.iter().filter_map(hook));
                if list.len() < PAGE {
                    break;
                }
            }
            Ok(hooks)
        })
    }

    fn register<'a>(&'a self, new: &'a New<'a>) -> Answering<'a, ()> {
        Box::pin(async move {
            let reply = self.call(Method::POST, None, &[], Some(&body(new))).await?;
            self.good(&reply)
        })
    }

    fn replace<'a>(&'a self, id: &'a str, new: &'a New<'a>) -> Answering<'a, ()> {
        Box::pin(async move {
            let body = body(new);
            let reply = self.call(Method::PUT, Some(id), &[], Some(&body)).await?;
            self.good(&reply)
        })
    }

    fn remove<'a>(&'a self, id: &'a str) -> Answering<'a, ()> {
        Box::pin(async move {
            // Without it WordPress would keep the webhook in a bin that webhooks do not have.
            let query = [("force", "true".to_owned())];
            let reply = self.call(Method::DELETE, Some(id), &query, None).await?;
            match reply.status {
                404 => Ok(()),
                _ => self.good(&reply),
            }
        })
    }
}

fn hook(json: &Value) -> Option<Hook> {
    let text = |name: &str| json.get(name).and_then(Value::as_str);
    let status = text("status")?;
    Some(Hook {
        id: json.get("id")?.as_u64()?.to_string(),
        url: text("delivery_url")?.to_owned(),
        topics: vec![text("topic")?.to_owned()],
        off: (status != "active").then(|| status.to_owned()),
        scope: None,
        failing: None,
    })
}
