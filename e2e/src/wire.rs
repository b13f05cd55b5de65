//! What the functions take for AWS: passes every request on to the stand-in for AWS, and on command kills
//! the function that asked, after its event was stored and before it hears of that.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse as _, Response};
use cli::net::{Cut, Loopback};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Uri};

use crate::failure::{During as _, Outcome};

/// What is done once, when an event was stored and its function has not heard of it yet.
struct Deed {
    /// The event's key.
    event: String,
    act: Box<dyn FnOnce() + Send>,
}

/// The wire. Clones share their state.
#[derive(Clone)]
pub(crate) struct Wire {
    http: reqwest::Client,
    to: String,
    deed: Arc<Mutex<Option<Deed>>>,
}

impl Wire {
    /// A wire to `to`, and its own address.
    pub(crate) async fn start(http: reqwest::Client, to: &str) -> Outcome<(Wire, String)> {
        let listener = Loopback::bind(0).await.during("a free port")?;
        let address = format!("http://127.0.0.1:{}", listener.port().during("the port")?);
        let wire = Wire {
            http,
            to: to.to_owned(),
            deed: Arc::default(),
        };
        let app = Router::new().fallback(pass).with_state(wire.clone());
        let app = app.into_make_service_with_connect_info::<Cut>();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok((wire, address))
    }

    /// Once the event with this key is stored, `act` happens, and the connection is cut instead of an
    /// answer.
    pub(crate) fn when_stored(&self, event: &str, act: impl FnOnce() + Send + 'static) {
        *self.deed() = Some(Deed {
            event: event.to_owned(),
            act: Box::new(act),
        });
    }

    /// Whether it has not happened yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.deed().is_some()
    }

    fn deed(&self) -> std::sync::MutexGuard<'_, Option<Deed>> {
        self.deed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn forward(
        &self,
        method: Method,
        uri: &Uri,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> reqwest::Result<(StatusCode, HeaderMap, Bytes)> {
        for name in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
            headers.remove(name);
        }
        let request = self.http.request(method, format!("{}{uri}", self.to));
        let answer = request.headers(headers).body(body).send().await?;
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        for name in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
            headers.remove(name);
        }
        Ok((status, headers, answer.bytes().await?))
    }
}

/// Whether a request stores the event with this key, which doors alone do.
fn stores(event: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let target = headers
        .get("x-amz-target")
        .and_then(|value| value.to_str().ok());
    let is_put = target.is_some_and(|target| target.ends_with(".PutItem"));
    is_put && String::from_utf8_lossy(body).contains(&format!("\"event#{event}\""))
}

async fn pass(
    State(wire): State<Wire>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let is_meant = |deed: &mut Deed| stores(&deed.event, &headers, &body);
    let deed = wire.deed().take_if(is_meant);
    let Ok((status, headers, body)) = wire.forward(method, &uri, headers, body).await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    if let Some(deed) = deed
        && status.is_success()
    {
        (deed.act)();
        cut.now();
    }
    (status, headers, Body::from(body)).into_response()
}
