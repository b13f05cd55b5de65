//! The functions' own code, hosted here: what Lambda would call, called with what Lambda would hand over.

use jiff::{SignedDuration, Timestamp};
use lambda_http::{Body, Request, Response};
use serde::Deserialize;
use serde_json::Value;
use shared::clock::Clock;
use shared::payload::Payload;
use shared::secrets::SecretsProvider;
use shared::store::Store;

use super::DevError;
use super::secrets::Files;

/// How long `deliver` and `renew` may run, in seconds, as template.yaml has it.
const DELIVER_SECONDS: i64 = 60;
/// How long `reply` may run, in seconds, as template.yaml has it.
const REPLY_SECONDS: i64 = 90;

/// The functions that template.yaml deploys, ready to be called.
pub(super) struct Functions {
    doors: Vec<Door>,
    deliver: deliver::App,
    reply: reply::App,
    renew: renew::App,
    clock: Clock,
}

/// A door's handler. Doors differ in the sources that they know alone, yet each is called as Lambda calls it.
enum Door {
    Orders(orders::App),
    Appointments(appointments::App),
    Leads(leads::App),
    Forms(forms::App),
    Emails(emails::App),
    Custom(custom::App),
    Callbell(callbell_door::App),
}

impl Door {
    /// All of them, started.
    async fn all(store: &Store, secrets: &SecretsProvider) -> Vec<Door> {
        let (store, secrets) = (|| store.clone(), || secrets.clone());
        vec![
            Door::Orders(orders::App::start(store(), secrets()).await),
            Door::Appointments(appointments::App::start(store(), secrets()).await),
            Door::Leads(leads::App::start(store(), secrets()).await),
            Door::Forms(forms::App::start(store(), secrets()).await),
            Door::Emails(emails::App::start(store(), secrets()).await),
            Door::Custom(custom::App::start(store(), secrets()).await),
            Door::Callbell(callbell_door::App::start(store(), secrets()).await),
        ]
    }

    /// The function's folder.
    fn function(&self) -> &'static str {
        match self {
            Door::Orders(_) => "orders",
            Door::Appointments(_) => "appointments",
            Door::Leads(_) => "leads",
            Door::Forms(_) => "forms",
            Door::Emails(_) => "emails",
            Door::Custom(_) => "custom",
            Door::Callbell(_) => "callbell",
        }
    }

    async fn handle(&self, request: Request) -> Response<Body> {
        match self {
            Door::Orders(app) => app.handle(request).await,
            Door::Appointments(app) => app.handle(request).await,
            Door::Leads(app) => app.handle(request).await,
            Door::Forms(app) => app.handle(request).await,
            Door::Emails(app) => app.handle(request).await,
            Door::Custom(app) => app.handle(request).await,
            Door::Callbell(app) => app.handle(request).await,
        }
    }
}

/// What a door answers.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// What API Gateway says where a function fails.
    fn failed() -> Answer {
        let body = br#"{"message":"Internal Server Error"}"#.to_vec();
        Answer {
            status: 500,
            headers: Vec::new(),
            body,
        }
    }
}

impl Functions {
    /// Starts each of them as its main.rs does.
    ///
    /// # Errors
    /// One of them cannot be set up.
    pub(super) async fn start(
        store: &Store,
        secrets: &Files,
        callbell_url: &str,
        providers_url: &str,
    ) -> Result<Functions, DevError> {
        let webhooks = SecretsProvider::Fixed(secrets.webhooks.clone());
        let doors = Door::all(store, &webhooks).await;
        let apis = SecretsProvider::Fixed(secrets.apis.clone());
        let urls = renew::Urls {
            providers: Some(providers_url.to_owned()),
            callbell: Some(callbell_url.to_owned()),
        };
        let renew = renew::App::new(store.clone(), apis.clone(), webhooks, urls)
            .map_err(|error| DevError::Setup(error.to_string()))?;
        let settings = deliver::Settings {
            callbell_url: Some(callbell_url.to_owned()),
            providers_url: Some(providers_url.to_owned()),
            ..deliver::Settings::default()
        };
        let failed = |error: deliver::StartError| DevError::Setup(error.to_string());
        let reply = reply::App::start(store.clone(), apis.clone(), settings.clone())
            .await
            .map_err(failed)?;
        let deliver = deliver::App::start(store.clone(), apis, settings)
            .await
            .map_err(failed)?;
        Ok(Functions {
            doors,
            deliver,
            reply,
            renew,
            clock: store.clock().clone(),
        })
    }

    /// Whether a function's code is here.
    pub(super) fn hosts(&self, function: &str) -> bool {
        self.door(function).is_some()
    }

    fn door(&self, function: &str) -> Option<&Door> {
        self.doors.iter().find(|door| door.function() == function)
    }

    /// Hands a request to a door.
    pub(super) async fn request(&self, function: &str, event: &Value) -> Answer {
        let (Some(door), Ok(payload)) = (self.door(function), Payload::deserialize(event)) else {
            return Answer::failed();
        };
        let response = door.handle(payload.into_request()).await;
        let (parts, body) = response.into_parts();
        let headers = parts.headers.iter().filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        });
        let body = match body {
            Body::Empty => Vec::new(),
            Body::Text(text) => text.into_bytes(),
            Body::Binary(bytes) => bytes,
            _ => return Answer::failed(),
        };
        Answer {
            status: parts.status.as_u16(),
            headers: headers.collect(),
            body,
        }
    }

    /// Hands records of the stream to `deliver`.
    pub(super) async fn batch(&self, records: &[Value]) {
        self.deliver
            .on_stream(records, self.deadline(DELIVER_SECONDS))
            .await;
    }

    /// Hands records of the stream to `reply`.
    pub(super) async fn chat(&self, records: &[Value]) {
        self.reply
            .on_stream(records, self.deadline(REPLY_SECONDS))
            .await;
    }

    /// Wakes `deliver` for the minute.
    pub(super) async fn minute(&self) {
        self.deliver.on_minute(self.deadline(DELIVER_SECONDS)).await;
    }

    /// Wakes `renew` for the hour. What it cannot do now it does in the next.
    pub(super) async fn hour(&self) {
        let _ = self.renew.run(self.deadline(DELIVER_SECONDS)).await;
    }

    /// Whether `renew` has anything to do.
    pub(super) async fn has_watches(&self) -> bool {
        self.renew.is_needed().await.unwrap_or_default()
    }

    fn deadline(&self, seconds: i64) -> Timestamp {
        let limit = SignedDuration::from_secs(seconds);
        self.clock
            .now()
            .saturating_add(limit)
            .unwrap_or(Timestamp::MAX)
    }
}
