//! What the development server answers: the routes of template.yaml, the stand-in Callbell, and
//! `/_dev/…` for tests of any language.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use shared::event::Name;
use shared::store::{Delivery, EventFilter, EventRow, JobFilter, JobRow, PersonId};

use super::envelope::{self, Parts};
use super::table::TABLE;
use super::{APIS_PATH, CALLBELL_PATH, World, life};
use crate::span;
use crate::standin::faults::{self, Fault};
use crate::standin::webhooks::Written;

/// Largest request that API Gateway passes on, in bytes.
const PAYLOAD_BYTES_MAX: usize = 10 * 1024 * 1024;

/// How long an idle question waits unless told, in seconds.
const IDLE_SECONDS: u64 = 60;
/// How long an idle question waits at most, in seconds.
const IDLE_SECONDS_MAX: u64 = 600;

type Shared = State<Arc<World>>;

/// Everything under one address.
pub(super) fn router(world: &Arc<World>) -> Router {
    let own = Router::new()
        .route("/_dev/messages", get(messages))
        .route("/_dev/requests", get(requests))
        .route("/_dev/records", get(records))
        .route("/_dev/sheets", get(sheets))
        .route("/_dev/clock", get(clock).post(move_clock))
        .route("/_dev/faults", get(faults_left).post(set_faults))
        .route("/_dev/jobs", get(jobs))
        .route("/_dev/events", get(events))
        .route("/_dev/window", post(window))
        .route("/_dev/receive", post(receive))
        .route("/_dev/idle", get(idle))
        .route("/_dev/info", get(info))
        .route("/_dev/reload", post(reload))
        .with_state(world.clone())
        .nest(CALLBELL_PATH, world.stand_in.router())
        .nest(APIS_PATH, world.apis.router())
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

/// What the stand-ins of systems that keep records of people have.
async fn records(State(world): Shared) -> Response {
    axum::Json(world.apis.records()).into_response()
}

/// Spreadsheet → tab → rows of cells.
async fn sheets(State(world): Shared) -> Response {
    axum::Json(world.told.sheets.cells()).into_response()
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
        Ok(by) => match world.advance(by).await {
            Ok(()) => axum::Json(json!({ "now": world.clock.now() })).into_response(),
            Err(error) => problem(503, &error.to_string()),
        },
        Err(message) => problem(400, &message),
    }
}

async fn faults_left(State(world): Shared) -> Response {
    axum::Json(json!({ "left": world.stand_in.faults_left() })).into_response()
}

/// Replaces the faults of the systems that are named; those of the others stay.
async fn set_faults(State(world): Shared, body: Bytes) -> Response {
    let named: BTreeMap<String, Vec<Value>> = match serde_json::from_slice(&body) {
        Ok(named) => named,
        Err(_) => return problem(400, "write {\"callbell\": [{\"kind\": …, \"times\": 1}]}"),
    };
    let read: Result<Vec<_>, String> = named
        .iter()
        .map(|(system, list)| Ok((system, read_faults(&world, system, list)?)))
        .collect();
    match read {
        Ok(faults) => {
            for (system, list) in faults {
                world.stand_in.set_faults_of(system, list);
            }
            axum::Json(json!({ "left": world.stand_in.faults_left() })).into_response()
        }
        Err(message) => problem(400, &message),
    }
}

fn read_faults(world: &World, system: &str, list: &[Value]) -> Result<Vec<Fault>, String> {
    if system != faults::CALLBELL && !world.apis.names().any(|name| name == system) {
        return Err(format!("there is no stand-in {system}"));
    }
    let one = |value: &Value| {
        let fault = faults::read(value)?;
        match fault.kind.is_for(system) {
            true => Ok(fault),
            false => Err(format!("{system} does not fail like that")),
        }
    };
    list.iter().map(one).collect()
}

/// A job as tests of any language read it.
fn job(job: &JobRow) -> Value {
    json!({
        "id": job.id.as_str(), "key": job.key, "automation": job.automation, "action": job.action,
        "event": job.event, "status": job.status.as_str(), "reason": job.reason,
        "attempts": job.attempts, "due_at": job.due_at, "next_at": job.next_at,
        "delivery": job.delivery.map(Delivery::as_str), "message_uuid": job.message_uuid,
    })
}

async fn jobs(State(world): Shared) -> Response {
    match life::all_jobs(&world.store, &JobFilter::default()).await {
        Ok(jobs) => axum::Json(jobs.iter().map(job).collect::<Vec<_>>()).into_response(),
        Err(error) => problem(503, &error.to_string()),
    }
}

/// Events that matched nothing, with one line an automation that says why; `?all=1`: every event.
async fn events(State(world): Shared, uri: Uri) -> Response {
    let all = uri
        .query()
        .is_some_and(|query| query.split('&').any(|pair| pair == "all=1"));
    let events = match life::all_events(&world.store, &EventFilter::default()).await {
        Ok(events) => events,
        Err(error) => return problem(503, &error.to_string()),
    };
    // What no automation can name has no answer to the question why nothing happened, but for a post that
    // became no event.
    let unnamed = |name: Name| name.is_internal() && name != Name::CustomPosted;
    let internal = |event: &EventRow| event.name.is_some_and(unnamed);
    let nothing = |event: &&EventRow| {
        all || !(internal(event) || event.lines.iter().any(|line| line.matched))
    };
    let list = events.iter().filter(nothing).map(|event| {
        json!({
            "id": event.key, "name": event.name.map(|name| name.as_str()), "source": event.source,
            "at": event.event.as_ref().map(|event| event.event.at), "received_at": event.received_at,
            "status": event.status.as_str(), "reason": event.problem,
            "notes": event.event.as_ref().map(|event| event.event.notes.clone()).unwrap_or_default(),
            "automations": event.lines,
        })
    });
    axum::Json(list.collect::<Vec<_>>()).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Window {
    phone: String,
    open: bool,
}

/// Opens or closes a person's 24-hour window, in the stand-in and for us.
async fn window(State(world): Shared, body: Bytes) -> Response {
    let request: Window = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(_) => return problem(400, "write {\"phone\": \"+55…\", \"open\": true}"),
    };
    if engine::phone::read(&request.phone, None).is_err() {
        return problem(
            400,
            "phone is a number in international form: +5511987654321",
        );
    }
    let until = match world.stand_in.set_window(&request.phone, request.open) {
        Ok(until) => until,
        Err(error) => return problem(500, &error.to_string()),
    };
    let person = PersonId::phone(&engine::phone::identity(&request.phone));
    match world.store.set_window(&person, until).await {
        Ok(()) => axum::Json(json!({ "open": request.open, "until": until })).into_response(),
        Err(error) => problem(503, &error.to_string()),
    }
}

/// A person writes: the stand-in Callbell tells of it before this answers.
async fn receive(State(world): Shared, body: Bytes) -> Response {
    let usage =
        "write {\"phone\": \"+55…\", \"text\": \"Oi\"}; also bsuid, name, button, attachments";
    let Ok(written) = serde_json::from_slice::<Written>(&body) else {
        return problem(400, usage);
    };
    match (&written.phone, &written.bsuid) {
        (Some(phone), _) if engine::phone::read(phone, None).is_err() => problem(
            400,
            "phone is a number in international form: +5511987654321",
        ),
        (None, None) => problem(400, usage),
        _ => match world.stand_in.receive(&written) {
            Ok(contact) => {
                world.stand_in.post_webhooks().await;
                axum::Json(json!({ "contact": contact })).into_response()
            }
            Err(error) => problem(500, &error.to_string()),
        },
    }
}

/// Answers when no job is due; 503 where that takes longer than `?timeout=60` seconds.
async fn idle(State(world): Shared, uri: Uri) -> Response {
    let query = uri.query().unwrap_or_default();
    let seconds = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("timeout=")?.parse().ok());
    let limit = Duration::from_secs(seconds.unwrap_or(IDLE_SECONDS).min(IDLE_SECONDS_MAX));
    match world.idle(limit).await {
        Ok(true) => axum::Json(json!({ "idle": true, "now": world.clock.now() })).into_response(),
        Ok(false) => problem(503, "jobs are still due: see /_dev/jobs"),
        Err(error) => problem(503, &error.to_string()),
    }
}

/// What the other commands need to know to work on this server.
async fn info(State(world): Shared) -> Response {
    axum::Json(json!({
        "now": world.clock.now(), "table": TABLE, "dynamodb": world.engine.endpoint(),
        "callbell": format!("{}{CALLBELL_PATH}", world.url()),
        "secrets": world.settings.secrets.as_ref().map(absolute),
        "automations": world.settings.automations.as_ref().map(absolute),
        "routes": world.routes.iter().map(|route| route.path.clone()).collect::<Vec<_>>(),
    }))
    .into_response()
}

fn absolute(path: &PathBuf) -> String {
    std::path::absolute(path)
        .unwrap_or_else(|_| path.clone())
        .display()
        .to_string()
}

/// Takes over what another command pushed.
async fn reload(State(world): Shared) -> Response {
    world.reload().await;
    axum::Json(json!({ "now": world.clock.now() })).into_response()
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
