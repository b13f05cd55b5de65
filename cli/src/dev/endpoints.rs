//! What the development server answers: the routes of template.yaml, the stand-in Callbell, and
//! `/_dev/…` for tests of any language.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use super::envelope::{self, Parts};
use super::{CALLBELL_PATH, World};
use crate::span;
use crate::standin::faults;

/// Largest request that API Gateway passes on, in bytes.
const PAYLOAD_BYTES_MAX: usize = 10 * 1024 * 1024;

type Shared = State<Arc<World>>;

/// Everything under one address.
pub(super) fn router(world: &Arc<World>) -> Router {
    let own = Router::new()
        .route("/_dev/messages", get(messages))
        .route("/_dev/requests", get(requests))
        .route("/_dev/clock", get(clock).post(move_clock))
        .route("/_dev/faults", get(faults_left).post(set_faults))
        .with_state(world.clone())
        .nest(CALLBELL_PATH, world.stand_in.router())
        .layer(middleware::from_fn(only_this_machine));
    let doors = Router::new().fallback(door).with_state(world.clone());
    own.fallback_service(doors)
        .layer(DefaultBodyLimit::max(PAYLOAD_BYTES_MAX))
}

/// Refuses what comes under another name than this machine's: a web page could have its own name lead
/// here and read what these pages show.
async fn only_this_machine(request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(http::header::HOST)
        .and_then(|host| host.to_str().ok());
    let name = host.map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name));
    match name {
        Some("127.0.0.1" | "localhost") => next.run(request).await,
        _ => problem(403, "only by the name 127.0.0.1 or localhost"),
    }
}

fn problem(status: u16, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, axum::Json(json!({ "error": message }))).into_response()
}

async fn messages(State(world): Shared) -> Response {
    axum::Json(world.stand_in.messages()).into_response()
}

async fn requests(State(world): Shared) -> Response {
    axum::Json(world.stand_in.requests()).into_response()
}

async fn clock(State(world): Shared) -> Response {
    axum::Json(json!({ "now": world.clock.now() })).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MoveClock {
    advance: String,
}

async fn move_clock(State(world): Shared, body: Bytes) -> Response {
    let request: MoveClock = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(_) => return problem(400, "write {\"advance\": \"25h\"}"),
    };
    match span::parse(&request.advance) {
        Ok(by) if by.is_negative() => problem(400, "the clock only goes forward"),
        Ok(by) => {
            let _guard = world.moving.lock().await;
            world.shift(by);
            axum::Json(json!({ "now": world.clock.now() })).into_response()
        }
        Err(message) => problem(400, &message),
    }
}

async fn faults_left(State(world): Shared) -> Response {
    axum::Json(json!({ "left": world.stand_in.faults_left() })).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetFaults {
    callbell: Vec<Value>,
}

async fn set_faults(State(world): Shared, body: Bytes) -> Response {
    let request: SetFaults = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(_) => return problem(400, "write {\"callbell\": [{\"kind\": …, \"times\": 1}]}"),
    };
    let read: Result<Vec<_>, String> = request.callbell.iter().map(faults::read).collect();
    match read {
        Ok(list) => {
            world.stand_in.set_faults(list);
            axum::Json(json!({ "left": world.stand_in.faults_left() })).into_response()
        }
        Err(message) => problem(400, &message),
    }
}

/// A route of template.yaml, or what API Gateway answers where there is none.
async fn door(
    State(world): Shared,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path();
    let found = world
        .routes
        .iter()
        .find_map(|route| Some((route, route.matches(method.as_str(), path)?)));
    let Some((route, parameters)) = found else {
        return (
            StatusCode::NOT_FOUND,
            axum::Json(json!({ "message": "Not Found" })),
        )
            .into_response();
    };
    let event = envelope::write(&Parts {
        method: method.as_str(),
        path,
        query: uri.query().unwrap_or_default(),
        headers: &headers,
        body: &body,
        route_key: &route.key(),
        parameters,
        now: world.clock.now(),
    });
    let answer = world.functions().request(&route.function, &event).await;
    let mut response = Response::new(answer.body.into());
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in answer.headers {
        let name = http::header::HeaderName::try_from(name);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
