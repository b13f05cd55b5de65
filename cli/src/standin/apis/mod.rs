//! Stand-ins for the APIs of other systems, each under `/{host}/…`: what the functions and `callbell
//! connect` ask in the development server and in tests. Each file holds to its provider's public
//! documentation.

pub mod cal_com;
pub mod calendly;
pub(super) mod deliver;
pub mod gmail;
pub mod google_calendar;
pub mod google_sheets;
pub mod http_bot;
pub mod hubspot;
pub mod intercom;
pub mod mailchimp;
pub mod openai;
pub mod pipedrive;
pub mod receiver;
mod room;
pub mod salesforce;
pub mod shopify;
pub mod slack;
pub mod typeform;
pub mod woocommerce;
pub mod zendesk;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, Uri};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::StandIn;
use super::faults::Kind;
use crate::net::Cut;

/// A provider's API.
pub trait Api: Send + Sync {
    /// What faults and records call it: `hubspot`.
    fn name(&self) -> &'static str;

    /// Whether it answers for this host: `api.calendly.com`.
    fn is_at(&self, host: &str) -> bool;

    /// Whether it answers this request.
    fn takes(&self, request: &Request) -> bool {
        self.is_at(&request.host)
    }

    /// Answers one request at the instant `now` of the development clock.
    fn answer(&self, request: &Request, now: Timestamp) -> Reply;

    /// Whether a request changes something: faults meet such requests unless they are told to meet any.
    fn changes(&self, request: &Request) -> bool {
        request.method != Method::GET
    }

    /// How it says that it fails, in its own shape.
    fn failure(&self, status: u16) -> Reply {
        Reply::new(status, json!({ "error": "told to fail" }))
    }

    /// What it keeps of people, oldest first; `None`: it keeps nothing of them.
    fn records(&self) -> Option<Vec<Value>> {
        None
    }
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
    /// JSON; null is an empty body, a text alone is plain text.
    pub body: Value,
    /// Headers of the provider's own.
    pub headers: Vec<(&'static str, String)>,
}

impl Reply {
    /// An answer of this status.
    pub fn new(status: u16, body: Value) -> Reply {
        Reply {
            status,
            body,
            headers: Vec::new(),
        }
    }

    /// With a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
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
    /// Gmail.
    pub gmail: Arc<gmail::Gmail>,
    /// Google Calendar.
    pub google_calendar: Arc<google_calendar::GoogleCalendar>,
    /// Typeform.
    pub typeform: Arc<typeform::Typeform>,
}

impl Connectable {
    /// Each of them. WooCommerce comes last: a shop is at any address.
    pub fn all(&self) -> Vec<Arc<dyn Api>> {
        vec![
            self.shopify.clone(),
            self.calendly.clone(),
            self.cal_com.clone(),
            // Google's keys are at a host that the calendar is at.
            self.gmail.clone(),
            self.google_calendar.clone(),
            self.typeform.clone(),
            self.woocommerce.clone(),
        ]
    }
}

/// The stand-ins of systems that keep records of people.
pub fn books() -> Vec<Arc<dyn Api>> {
    vec![
        Arc::new(hubspot::HubSpot::default()),
        Arc::new(pipedrive::Pipedrive::default()),
        Arc::new(salesforce::Salesforce::default()),
        Arc::new(mailchimp::Mailchimp::default()),
        Arc::new(zendesk::Zendesk::default()),
        Arc::new(intercom::Intercom::default()),
    ]
}

/// The stand-ins of what tells a team. Clones share their state.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Slack.
    pub slack: Arc<slack::Slack>,
    /// Google Sheets.
    pub sheets: Arc<google_sheets::GoogleSheets>,
    /// Whoever takes signed requests.
    pub receiver: Arc<receiver::Receiver>,
}

impl Told {
    /// Each of them.
    pub fn all(&self) -> Vec<Arc<dyn Api>> {
        vec![
            self.slack.clone(),
            self.sheets.clone(),
            self.receiver.clone(),
        ]
    }
}

/// The stand-ins of what chatbots ask.
pub fn backends() -> Vec<Arc<dyn Api>> {
    vec![Arc::new(http_bot::HttpBot), Arc::new(openai::OpenAi)]
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

    /// What faults and records call them.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.all.iter().map(|api| api.name())
    }

    /// What each system that keeps records of people has, oldest first.
    pub fn records(&self) -> BTreeMap<&'static str, Vec<Value>> {
        let all = self.all.iter();
        all.filter_map(|api| Some((api.name(), api.records()?)))
            .collect()
    }

    /// To be nested under the path of the address that stands in for all providers.
    pub fn router(&self) -> Router {
        Router::new().fallback(handle).with_state(self.clone())
    }
}

async fn handle(
    State(apis): State<Apis>,
    ConnectInfo(cut): ConnectInfo<Cut>,
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
    let api = apis.all.iter().find(|api| api.takes(&request));
    let reply = match api {
        None => Some(Reply::new(
            502,
            json!({ "error": format!("no stand-in for {host}") }),
        )),
        Some(api) => apis.stand_in.carry_out(api.as_ref(), &request).await,
    };
    let status = reply.as_ref().map_or(500, |reply| reply.status);
    apis.stand_in.remember_other(&request, status);
    match reply {
        Some(reply) => response(reply),
        None => {
            cut.now();
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

impl StandIn {
    /// A provider's answer to a request, or what a fault makes of it. `None`: the connection has to be cut.
    async fn carry_out(&self, api: &dyn Api, request: &Request) -> Option<Reply> {
        let fault = self.take_fault(api.name(), api.changes(request), false);
        let answer = || api.answer(request, self.now());
        match fault {
            Some(Kind::Status { status }) => Some(api.failure(status)),
            Some(Kind::Limited {
                status,
                retry_after,
            }) => Some(
                api.failure(status)
                    .with("retry-after", retry_after.to_string()),
            ),
            Some(Kind::Delay { ms }) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                Some(answer())
            }
            Some(Kind::DropAfterAccept) => {
                let _ = answer();
                None
            }
            Some(Kind::AcceptThenStatus { status }) => {
                let _ = answer();
                Some(api.failure(status))
            }
            Some(Kind::Race) => {
                let _ = answer();
                Some(answer())
            }
            Some(
                Kind::OutOfCredit
                | Kind::MessageFails { .. }
                | Kind::Mismatch { .. }
                | Kind::WebhookLost { .. },
            )
            | None => Some(answer()),
        }
    }
}

fn response(reply: Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match reply.body {
        Value::Null => status.into_response(),
        Value::String(text) => (status, text).into_response(),
        body => (status, axum::Json(body)).into_response(),
    };
    for (name, value) in reply.headers {
        if let Ok(value) = http::HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
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
