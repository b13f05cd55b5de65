//! Google Calendar: what changed in a calendar, and the channel that says that something did.
//! <https://developers.google.com/workspace/calendar/api/guides/sync>,
//! <https://developers.google.com/workspace/calendar/api/guides/push>

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use shared::secrets::Secret;
use shared::sources::google_calendar::Ask;
use shared::store::{Channel, CursorRow, Store, StoreError};

use super::google_auth::{AccessToken, CALENDAR, Tokens, word};
use super::{FetchError, refusal};
use crate::apis::{Apis, Body, Call, Reply};

/// Where the API is.
const HOST: &str = "www.googleapis.com";
/// Events of one page. Google gives at most 2,500; so many with long descriptions would be larger than an
/// answer may be.
const PAGE_EVENTS: &str = "500";
/// How long a channel shall live. Google gives what it wants to, about a week.
const CHANNEL_LIFE: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Reasons of a 403 that mean "later".
const LATER: [&str; 4] = [
    "rateLimitExceeded",
    "userRateLimitExceeded",
    "quotaExceeded",
    "calendarUsageLimitsExceeded",
];

/// Which events of a calendar.
#[derive(Clone, Copy, Debug)]
pub enum Listing<'a> {
    /// What changed behind a sync token.
    Since(&'a str),
    /// Everything that is not over by this instant; ends in a sync token.
    Everything(Timestamp),
    /// What begins or lasts between two instants; ends in no sync token.
    Between(Timestamp, Timestamp),
}

/// One page of a list.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The events.
    pub items: Vec<Value>,
    /// Where the next page begins.
    pub next: Option<String>,
    /// On the last page alone: where the next list begins.
    pub token: Option<String>,
    /// The calendar's IANA zone.
    pub zone: Option<String>,
}

/// One page of events. All lists have the parameters that a sync token has to be used with again.
///
/// # Errors
/// [`FetchError::TokenGone`] where everything has to be read; others.
pub async fn list(
    apis: &Apis,
    token: &AccessToken,
    calendar: &str,
    listing: Listing<'_>,
    page: Option<&str>,
) -> Result<Page, FetchError> {
    let mut query = vec![
        ("singleEvents", "true".to_owned()),
        ("showDeleted", "true".to_owned()),
        ("maxResults", PAGE_EVENTS.to_owned()),
    ];
    match listing {
        Listing::Since(token) => query.push(("syncToken", token.to_owned())),
        Listing::Everything(from) => query.push(("timeMin", from.to_string())),
        Listing::Between(from, to) => {
            query.push(("timeMin", from.to_string()));
            query.push(("timeMax", to.to_string()));
        }
    }
    query.extend(page.map(|page| ("pageToken", page.to_owned())));
    let path = ["calendar", "v3", "calendars", calendar, "events"];
    let reply = get(apis, token, &path, &query).await?;
    match (reply.status, listing) {
        (410, _) | (400, Listing::Since(_)) => return Err(FetchError::TokenGone),
        (200, _) => {}
        _ => return Err(refused(&reply, "the calendar")),
    }
    let mut answer = reply.json();
    let Some(Value::Array(items)) = answer.get_mut("items").map(Value::take) else {
        return Err(FetchError::Unreadable(
            "Google's list has no items".to_owned(),
        ));
    };
    let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(Page {
        items,
        next: text("nextPageToken"),
        token: text("nextSyncToken"),
        zone: text("timeZone"),
    })
}

/// One event, deleted ones too; `None`: there is no trace of it.
///
/// # Errors
/// [`FetchError`].
pub async fn event(
    apis: &Apis,
    token: &AccessToken,
    calendar: &str,
    id: &str,
) -> Result<Option<Value>, FetchError> {
    let path = ["calendar", "v3", "calendars", calendar, "events", id];
    let reply = get(apis, token, &path, &[]).await?;
    match reply.status {
        200 => Ok(Some(reply.json())),
        404 | 410 => Ok(None),
        _ => Err(refused(&reply, "the event")),
    }
}

async fn get(
    apis: &Apis,
    token: &AccessToken,
    path: &[&str],
    query: &[(&str, String)],
) -> Result<Reply, FetchError> {
    let reply = apis
        .call(&Call {
            method: Method::GET,
            host: HOST,
            path,
            query,
            auth: token.auth(),
            body: Body::None,
        })
        .await?;
    Ok(reply)
}

/// What Google says where it does not do what it was asked.
/// <https://developers.google.com/workspace/calendar/api/guides/errors>
fn refused(reply: &Reply, what: &'static str) -> FetchError {
    let answer = reply.json();
    let reason = answer
        .pointer("/error/errors/0/reason")
        .and_then(Value::as_str);
    match reply.status {
        403 if reason.is_some_and(|reason| LATER.contains(&reason)) => FetchError::Unavailable {
            why: format!("Google answered 403: {}", word(reason)),
            retry_after: reply.retry_after,
        },
        401 | 403 => FetchError::Refused(format!(
            "Google answered {}: {}",
            reply.status,
            word(reason)
        )),
        // A calendar that is not shared with whom we are is not there for us.
        404 => FetchError::Missing(what),
        _ => refusal("Google", reply),
    }
}

/// Makes a channel that pushes changes of a calendar to a door.
///
/// # Errors
/// [`FetchError`].
pub async fn make_channel(
    apis: &Apis,
    token: &AccessToken,
    calendar: &str,
    door: &str,
    channel_token: &Secret,
    now: Timestamp,
) -> Result<Channel, FetchError> {
    let id = uuid()?;
    let expires_at = now.saturating_add(CHANNEL_LIFE).unwrap_or(Timestamp::MAX);
    let body = json!({
        "id": id, "type": "web_hook", "address": door, "token": channel_token.expose(),
        "expiration": expires_at.as_millisecond().to_string(),
    });
    let reply = apis
        .call(&Call {
            method: Method::POST,
            host: HOST,
            path: &["calendar", "v3", "calendars", calendar, "events", "watch"],
            query: &[],
            auth: token.auth(),
            body: Body::Json(&body),
        })
        .await?;
    if !reply.is_success() {
        return Err(refused(&reply, "the calendar"));
    }
    let answer = reply.json();
    let resource = answer.get("resourceId").and_then(Value::as_str);
    let millis = match answer.get("expiration") {
        Some(Value::String(text)) => text.parse().ok(),
        Some(number) => number.as_i64(),
        None => None,
    };
    let ends = millis.and_then(|millis| Timestamp::from_millisecond(millis).ok());
    match (resource, ends) {
        (Some(resource), Some(expires_at)) => Ok(Channel {
            id,
            resource: resource.to_owned(),
            expires_at,
        }),
        _ => Err(FetchError::Unreadable(
            "Google's answer names no channel".to_owned(),
        )),
    }
}

/// Stops a channel. One that is no longer there is stopped.
///
/// # Errors
/// [`FetchError`].
pub async fn stop_channel(
    apis: &Apis,
    token: &AccessToken,
    channel: &Channel,
) -> Result<(), FetchError> {
    let body = json!({"id": channel.id, "resourceId": channel.resource});
    let reply = apis
        .call(&Call {
            method: Method::POST,
            host: HOST,
            path: &["calendar", "v3", "channels", "stop"],
            query: &[],
            auth: token.auth(),
            body: Body::Json(&body),
        })
        .await?;
    match reply.status {
        200..300 | 404 | 410 => Ok(()),
        _ => Err(refused(&reply, "the channel")),
    }
}

/// A random UUID, version 4.
fn uuid() -> Result<String, FetchError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|_| FetchError::Unreadable("this machine has no randomness".to_owned()))?;
    let mut number = u128::from_be_bytes(bytes);
    number &= !(0xf000_u128 << 64) & !(0xc000_u128 << 48);
    number |= (0x4000_u128 << 64) | (0x8000_u128 << 48);
    let hex = format!("{number:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    let parts = parts.map(|range| hex.get(range).unwrap_or_default().to_owned());
    Ok(parts.join("-"))
}

/// What a calendar is to be watched for.
#[derive(Clone, Copy, Debug)]
pub struct Watch<'a> {
    /// The connection's name.
    pub connection: &'a str,
    /// The calendar's id: an address, or `primary` with a refresh token.
    pub calendar: &'a str,
    /// `https://…/appointments/{connection}`.
    pub door: &'a str,
    /// One of the connection's webhook secrets.
    pub channel_token: &'a Secret,
}

/// A calendar that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// What it is called.
    pub title: String,
    /// Its IANA zone.
    pub zone: Option<String>,
}

/// Why a calendar is not watched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// Google did not do its part.
    #[error(transparent)]
    Google(#[from] FetchError),
    /// The table did not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody else did the same at the same time.
    #[error("somebody else changed this connection at the same time")]
    Conflict,
}

/// Asks for a calendar: whether the secret may read it, and what it is called.
///
/// # Errors
/// [`FetchError`].
pub async fn describe(
    apis: &Apis,
    secret: &Secret,
    calendar: &str,
    now: Timestamp,
) -> Result<Described, FetchError> {
    let token = access(apis, secret, now).await?;
    let path = ["calendar", "v3", "calendars", calendar, "events"];
    let reply = get(apis, &token, &path, &[("maxResults", "1".to_owned())]).await?;
    if !reply.is_success() {
        return Err(refused(&reply, "the calendar"));
    }
    let answer = reply.json();
    let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(Described {
        title: text("summary").unwrap_or_default(),
        zone: text("timeZone"),
    })
}

/// Connects a calendar: remembers it, makes its channel in the place of one that is there, and has the
/// worker read what is in it, which is no news.
///
/// # Errors
/// [`WatchError`]. Repeating it is safe.
pub async fn watch(
    apis: &Apis,
    secret: &Secret,
    store: &Store,
    watch: Watch<'_>,
) -> Result<Channel, WatchError> {
    let now = store.clock().now();
    let token = access(apis, secret, now).await?;
    let before = store.cursor(watch.connection).await?;
    let is_new = store
        .connect_calendar(watch.connection, watch.calendar, watch.door)
        .await?;
    if let (Some(before), true) = (&before, is_new) {
        // Another calendar's channels: its row is gone, they would push on.
        stop_all(apis, &token, before).await;
    }
    let row = store
        .cursor(watch.connection)
        .await?
        .ok_or(WatchError::Conflict)?;
    let channel = replace_channel(apis, &token, store, &row, watch.channel_token).await?;
    let what = format!("connected/{}", channel.id);
    store
        .put_event(Ask::Poll.event(watch.connection, &what, now))
        .await?;
    Ok(channel)
}

/// Makes a new channel and puts it in the place of the one in `row`, which is stopped afterwards.
///
/// # Errors
/// [`WatchError`].
pub async fn replace_channel(
    apis: &Apis,
    token: &AccessToken,
    store: &Store,
    row: &CursorRow,
    channel_token: &Secret,
) -> Result<Channel, WatchError> {
    let now = store.clock().now();
    let new = make_channel(apis, token, &row.calendar, &row.door, channel_token, now).await?;
    let seen = row.channel.as_ref();
    if !store.change_channel(&row.connection, seen, &new).await? {
        stop_channel(apis, token, &new).await?;
        return Err(WatchError::Conflict);
    }
    if let Some(old) = seen {
        stop_old(apis, token, store, &row.connection, old).await?;
    }
    Ok(new)
}

/// Stops a channel that another took the place of. Where Google does not do it now, it stays in the row for
/// the next time.
///
/// # Errors
/// What the table reports.
pub async fn stop_old(
    apis: &Apis,
    token: &AccessToken,
    store: &Store,
    connection: &str,
    old: &Channel,
) -> Result<(), StoreError> {
    let over = old.expires_at <= store.clock().now();
    if over || stop_channel(apis, token, old).await.is_ok() {
        store.drop_old_channel(connection, &old.id).await?;
    }
    Ok(())
}

/// Disconnects a calendar: stops its channels and forgets it. What is known of its appointments stays.
///
/// # Errors
/// [`WatchError`]: a channel that cannot be stopped pushes on until it expires.
pub async fn unwatch(
    apis: &Apis,
    secret: &Secret,
    store: &Store,
    connection: &str,
) -> Result<(), WatchError> {
    let Some(row) = store.cursor(connection).await? else {
        return Ok(());
    };
    let token = access(apis, secret, store.clock().now()).await?;
    for channel in row.channel.iter().chain(&row.old_channel) {
        stop_channel(apis, &token, channel).await?;
    }
    store.disconnect_calendar(connection).await?;
    Ok(())
}

async fn stop_all(apis: &Apis, token: &AccessToken, row: &CursorRow) {
    for channel in row.channel.iter().chain(&row.old_channel) {
        if let Err(error) = stop_channel(apis, token, channel).await {
            tracing::warn!(outcome = "channel not stopped", source.name = row.connection, reason = %error);
        }
    }
}

async fn access(apis: &Apis, secret: &Secret, now: Timestamp) -> Result<AccessToken, FetchError> {
    let tokens = Tokens::default();
    tokens
        .get(apis, std::slice::from_ref(secret), CALENDAR, now)
        .await
}
