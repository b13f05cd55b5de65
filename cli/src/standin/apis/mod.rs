//! Stand-ins for the APIs of other systems, each under `/{host}/…`: what the functions and `callbell
//! connect` ask in the development server and in tests. Each file holds to its provider's public
//! documentation.

pub mod cal_com;
pub mod calendly;
mod deliver;
pub mod google_calendar;
pub mod shopify;
pub mod woocommerce;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, Uri};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::StandIn;

/// A provider's API.
pub trait Api: Send + Sync {
    /// Whether it answers for this host: `api.calendly.com`.
    fn is_at(&self, host: &str) -> bool;

    /// Answers one request at the instant `now` of the development clock.
    fn answer(&self, request: &Request, now: Timestamp) -> Reply;
}

/// A request, without the host in its path.
#[derive(Clone, Debug)]
pub struct Request {
    /// `api.calendly.com`.
    pub host: String,
    /// The HTTP method.
    pub method: Method,
    /// The parts of the path, unescaped.
    pub path: Vec<String>,
    /// Names and values of the query, unescaped.
    pub query: Vec<(String, String)>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body: JSON as it is, a form as a table of its texts, null where there is none.
    pub body: Value,
}

impl Request {
    /// The parts of the path, to match on.
    pub fn parts(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// A value of the query.
    pub fn query(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A header, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// JSON; null is an empty body.
    pub body: Value,
}

impl Reply {
    /// An answer of this status.
    pub fn new(status: u16, body: Value) -> Reply {
        Reply { status, body }
    }
}

/// The stand-ins of systems that `callbell connect` registers webhooks at. Clones share their state.
#[derive(Clone, Debug, Default)]
pub struct Connectable {
    /// Shopify.
    pub shopify: Arc<shopify::Shopify>,
    /// WooCommerce.
    pub woocommerce: Arc<woocommerce::WooCommerce>,
    /// Calendly.
    pub calendly: Arc<calendly::Calendly>,
    /// Cal.com.
    pub cal_com: Arc<cal_com::CalCom>,
    /// Google Calendar.
    pub google_calendar: Arc<google_calendar::GoogleCalendar>,
}

impl Connectable {
    /// Each of them. WooCommerce comes last: a shop is at any address.
    pub fn all(&self) -> Vec<Arc<dyn Api>> {
        vec![
            self.shopify.clone(),
            self.calendly.clone(),
            self.cal_com.clone(),
            self.google_calendar.clone(),
            self.woocommerce.clone(),
        ]
    }
}

/// All of them. Clones share their state.
#[derive(Clone)]
pub struct Apis {
    all: Arc<Vec<Arc<dyn Api>>>,
    stand_in: StandIn,
}

impl Apis {
    /// These APIs; requests are remembered beside those to `stand_in`, whose clock they go by.
    pub fn new(all: Vec<Arc<dyn Api>>, stand_in: StandIn) -> Apis {
        Apis {
            all: Arc::new(all),
            stand_in,
        }
    }

    /// To be nested under the path of the address that stands in for all providers.
    pub fn router(&self) -> Router {
        Router::new().fallback(handle).with_state(self.clone())
    }
}

async fn handle(
    State(apis): State<Apis>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let parts = segments(&uri);
    let Some((host, path)) = parts.split_first() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let request = Request {
        host: host.clone(),
        method,
        path: path.to_vec(),
        query: pairs(uri.query().unwrap_or_default()),
        body: read(&headers, &body),
        headers,
    };
    let api = apis.all.iter().find(|api| api.is_at(host));
    let now = apis.stand_in.now();
    let reply = api.map_or_else(
        || Reply::new(502, json!({ "error": format!("no stand-in for {host}") })),
        |api| api.answer(&request, now),
    );
    apis.stand_in.remember_other(&request, reply.status);
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if reply.body.is_null() {
        return status.into_response();
    }
    (status, axum::Json(reply.body)).into_response()
}

fn segments(uri: &Uri) -> Vec<String> {
    let path = uri.path().trim_start_matches('/');
    path.split('/').map(unescape).collect()
}

fn unescape(text: &str) -> String {
    // A query's reader unescapes; a path's plus is a plus.
    let pairs = pairs(&format!("x={}", text.replace('+', "%2B")));
    pairs
        .into_iter()
        .next()
        .map(|(_, value)| value)
        .unwrap_or_default()
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let Ok(url) = reqwest::Url::parse(&format!("http://query/?{query}")) else {
        return Vec::new();
    };
    url.query_pairs().into_owned().collect()
}

fn read(headers: &HeaderMap, body: &[u8]) -> Value {
    let form = headers.get(http::header::CONTENT_TYPE).is_some_and(|kind| {
        kind.as_bytes()
            .starts_with(b"application/x-www-form-urlencoded")
    });
    if form {
        let pairs = pairs(&String::from_utf8_lossy(body));
        return pairs
            .into_iter()
            .map(|(name, value)| (name, Value::from(value)))
            .collect();
    }
    serde_json::from_slice(body).unwrap_or_default()
}
