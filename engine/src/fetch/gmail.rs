//! Gmail: what was added to a mailbox, the watch that has its changes pushed, and the keys that prove a push.
//! <https://developers.google.com/workspace/gmail/api/guides/push>,
//! <https://developers.google.com/workspace/gmail/api/guides/sync>

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use shared::keys::{PublicKeys, RsaKey};
use shared::secrets::Secret;
use shared::sources::gmail::{Ask, as_history, is_news};
use shared::store::{MailboxRow, NewMailbox, Store, StoreError};

use super::google_auth::{AccessToken, MAILBOX, Tokens, word};
use super::{FetchError, refusal};
use crate::apis::{Apis, Auth, Body, Call, Reply};

/// Where the API is.
const HOST: &str = "gmail.googleapis.com";
/// Where Google lists the keys that it signs identity tokens with, as JSON Web Keys.
/// <https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions#protocol>
const KEYS_HOST: &str = "www.googleapis.com";
/// What is watched: mails that reach the inbox.
const WATCHED: &str = "INBOX";
/// Records of one page of a history, of which each is a mail to be fetched: a page is what a crash repeats.
const PAGE_RECORDS: &str = "100";
/// Mails of one page of a search.
const PAGE_MAILS: &str = "100";
/// Most keys that are believed; Google lists two or three.
const KEYS_MAX: usize = 20;
/// Longest modulus, in characters of base64: 8,192 bits.
const MODULUS_CHARS_MAX: usize = 1_400;
/// Reasons of a 403 that mean "later".
/// <https://developers.google.com/workspace/gmail/api/guides/handle-errors>
const LATER: [&str; 4] = [
    "rateLimitExceeded",
    "userRateLimitExceeded",
    "dailyLimitExceeded",
    "quotaExceeded",
];

/// One page of a mailbox's history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The messages that were added, oldest first, each once.
    pub added: Vec<String>,
    /// The last record's place: before it everything is on this page or on those before.
    pub reached: Option<u64>,
    /// Where the next page begins.
    pub next: Option<String>,
    /// The mailbox's newest place.
    pub newest: Option<u64>,
}

/// One page of what was added to the inbox behind a place.
///
/// # Errors
/// [`FetchError::TokenGone`] where the place is too old; others.
pub async fn history(
    apis: &Apis,
    token: &AccessToken,
    since: u64,
    page: Option<&str>,
) -> Result<Page, FetchError> {
    let mut query = vec![
        ("startHistoryId", since.to_string()),
        ("historyTypes", "messageAdded".to_owned()),
        ("labelId", WATCHED.to_owned()),
        ("maxResults", PAGE_RECORDS.to_owned()),
    ];
    query.extend(page.map(|page| ("pageToken", page.to_owned())));
    let reply = get(apis, token, &["history"], &query).await?;
    match reply.status {
        200 => {}
        404 => return Err(FetchError::TokenGone),
        _ => return Err(refused(&reply, "the mailbox")),
    }
    Ok(read_page(&reply.json()))
}

fn read_page(answer: &Value) -> Page {
    let list = |value: &Value, name: &str| -> Vec<Value> {
        let list = value.get(name).and_then(Value::as_array);
        list.cloned().unwrap_or_default()
    };
    let mut page = Page {
        next: text(answer, "nextPageToken"),
        newest: answer.get("historyId").and_then(as_history),
        ..Page::default()
    };
    let mut seen = BTreeSet::new();
    for record in list(answer, "history") {
        page.reached = record.get("id").and_then(as_history).max(page.reached);
        for added in list(&record, "messagesAdded") {
            let message = added.get("message").unwrap_or(&Value::Null);
            let Some(id) = message.get("id").and_then(Value::as_str) else {
                continue;
            };
            // Drafts are added with every stroke of a key.
            if is_news(message) && seen.insert(id.to_owned()) {
                page.added.push(id.to_owned());
            }
        }
    }
    page
}

/// One page of what arrived since an instant and is in the inbox, newest first, and where the next begins.
///
/// # Errors
/// [`FetchError`].
pub async fn arrived(
    apis: &Apis,
    token: &AccessToken,
    since: Timestamp,
    page: Option<&str>,
) -> Result<(Vec<String>, Option<String>), FetchError> {
    let mut query = vec![
        ("q", format!("after:{}", since.as_second())),
        ("labelIds", WATCHED.to_owned()),
        ("maxResults", PAGE_MAILS.to_owned()),
    ];
    query.extend(page.map(|page| ("pageToken", page.to_owned())));
    let reply = get(apis, token, &["messages"], &query).await?;
    if !reply.is_success() {
        return Err(refused(&reply, "the mailbox"));
    }
    let answer = reply.json();
    let messages = answer.get("messages").and_then(Value::as_array);
    let messages = messages.into_iter().flatten();
    let ids = messages.filter_map(|message| text(message, "id"));
    Ok((ids.collect(), text(&answer, "nextPageToken")))
}

/// A message with its words; without them where they are more than is read. `None`: it is gone.
///
/// # Errors
/// [`FetchError`].
pub async fn message(
    apis: &Apis,
    token: &AccessToken,
    id: &str,
) -> Result<Option<Value>, FetchError> {
    match message_as(apis, token, id, "full").await {
        // One huge mail must not hold up all others.
        Err(FetchError::Unreadable(_)) => message_as(apis, token, id, "metadata").await,
        other => other,
    }
}

async fn message_as(
    apis: &Apis,
    token: &AccessToken,
    id: &str,
    format: &str,
) -> Result<Option<Value>, FetchError> {
    let query = [("format", format.to_owned())];
    let reply = get(apis, token, &["messages", id], &query).await?;
    match reply.status {
        200 => Ok(Some(reply.json())),
        404 => Ok(None),
        _ => Err(refused(&reply, "the message")),
    }
}

/// The names of the user's own labels, by their ids.
///
/// # Errors
/// [`FetchError`].
pub async fn label_names(
    apis: &Apis,
    token: &AccessToken,
) -> Result<BTreeMap<String, String>, FetchError> {
    let reply = get(apis, token, &["labels"], &[]).await?;
    if !reply.is_success() {
        return Err(refused(&reply, "the mailbox"));
    }
    let answer = reply.json();
    let labels = answer.get("labels").and_then(Value::as_array);
    let labels = labels.into_iter().flatten();
    let own = labels.filter(|label| text(label, "type").as_deref() == Some("user"));
    Ok(own
        .filter_map(|label| Some((text(label, "id")?, text(label, "name")?)))
        .collect())
}

/// A mailbox that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its address.
    pub address: String,
    /// Its newest place.
    pub history: u64,
}

/// Whose mailbox a token opens, and how far it has come.
///
/// # Errors
/// [`FetchError`].
pub async fn profile(apis: &Apis, token: &AccessToken) -> Result<Profile, FetchError> {
    let reply = get(apis, token, &["profile"], &[]).await?;
    if !reply.is_success() {
        return Err(refused(&reply, "the mailbox"));
    }
    let answer = reply.json();
    let history = answer.get("historyId").and_then(as_history);
    match (text(&answer, "emailAddress"), history) {
        (Some(address), Some(history)) => Ok(Profile { address, history }),
        _ => Err(FetchError::Unreadable(
            "Google's answer names no mailbox".to_owned(),
        )),
    }
}

/// [`profile`] with a secret.
///
/// # Errors
/// [`FetchError`].
pub async fn describe(apis: &Apis, secret: &Secret, now: Timestamp) -> Result<Profile, FetchError> {
    profile(apis, &access(apis, secret, now).await?).await
}

/// A watch that was made or prolonged: Google takes either for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Where what is pushed begins.
    pub history: u64,
    /// When it ends by itself: after seven days at most.
    pub until: Timestamp,
}

/// Has changes of the inbox published to a topic, for another week.
///
/// # Errors
/// [`FetchError`].
pub async fn start_watch(
    apis: &Apis,
    token: &AccessToken,
    topic: &str,
) -> Result<Watched, FetchError> {
    let body = json!({
        "topicName": topic, "labelIds": [WATCHED], "labelFilterBehavior": "INCLUDE",
    });
    let reply = post(apis, token, "watch", Body::Json(&body)).await?;
    if !reply.is_success() {
        return Err(refused(&reply, "the topic"));
    }
    let answer = reply.json();
    let history = answer.get("historyId").and_then(as_history);
    let millis = answer.get("expiration").and_then(as_history);
    let until = millis
        .and_then(|millis| i64::try_from(millis).ok())
        .and_then(|millis| Timestamp::from_millisecond(millis).ok());
    match (history, until) {
        (Some(history), Some(until)) => Ok(Watched { history, until }),
        _ => Err(FetchError::Unreadable(
            "Google's answer names no watch".to_owned(),
        )),
    }
}

/// Ends the watch of a mailbox; where there is none, nothing is to be done.
async fn stop_watch(apis: &Apis, token: &AccessToken) -> Result<(), FetchError> {
    let reply = post(apis, token, "stop", Body::None).await?;
    match reply.status {
        200..300 | 404 => Ok(()),
        _ => Err(refused(&reply, "the watch")),
    }
}

/// The keys that Google signs identity tokens with now. They prove themselves by TLS alone.
///
/// # Errors
/// [`FetchError`].
pub async fn keys(apis: &Apis) -> Result<PublicKeys, FetchError> {
    let reply = apis
        .call(&Call {
            method: Method::GET,
            host: KEYS_HOST,
            path: &["oauth2", "v3", "certs"],
            query: &[],
            auth: Auth::None,
            body: Body::None,
        })
        .await?;
    if !reply.is_success() {
        return Err(refusal("Google's list of keys", &reply));
    }
    let keys = read_keys(&reply.json());
    if keys.0.is_empty() {
        return Err(FetchError::Unreadable(
            "Google's list has no keys".to_owned(),
        ));
    }
    Ok(keys)
}

fn read_keys(answer: &Value) -> PublicKeys {
    let listed = answer.get("keys").and_then(Value::as_array);
    let listed = listed.into_iter().flatten();
    let rsa = listed.filter(|key| text(key, "kty").as_deref() == Some("RSA"));
    let key = |key: &Value| {
        let (kid, n, e) = (text(key, "kid")?, text(key, "n")?, text(key, "e")?);
        (n.len() <= MODULUS_CHARS_MAX).then_some((kid, RsaKey { n, e }))
    };
    PublicKeys(rsa.filter_map(key).take(KEYS_MAX).collect())
}

/// Asks Google for its keys and keeps them where the door reads them.
///
/// # Errors
/// [`WatchError`].
pub async fn keep_keys(apis: &Apis, store: &Store) -> Result<(), WatchError> {
    let keys = keys(apis).await?;
    store.keep_public_keys(&keys).await?;
    Ok(())
}

/// What a mailbox is to be watched for.
#[derive(Clone, Copy, Debug)]
pub struct Watch<'a> {
    /// The connection's name.
    pub connection: &'a str,
    /// `projects/p/topics/t`.
    pub topic: &'a str,
    /// `https://…/emails/{connection}`.
    pub door: &'a str,
}

/// Why a mailbox is not watched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// Google did not do its part.
    #[error(transparent)]
    Google(#[from] FetchError),
    /// The table did not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Connects a mailbox: keeps Google's keys, has its changes published, and remembers where they begin. What is
/// in it is no news.
///
/// # Errors
/// [`WatchError`]. Repeating it is safe.
pub async fn watch(
    apis: &Apis,
    secret: &Secret,
    store: &Store,
    watch: Watch<'_>,
) -> Result<Watched, WatchError> {
    let now = store.clock().now();
    // First: the watch pushes at once.
    keep_keys(apis, store).await?;
    let token = access(apis, secret, now).await?;
    let profile = profile(apis, &token).await?;
    let watched = start_watch(apis, &token, watch.topic).await?;
    store
        .connect_mailbox(&NewMailbox {
            connection: watch.connection,
            address: &profile.address,
            topic: watch.topic,
            door: watch.door,
            history: watched.history,
            since: now,
            watched_until: watched.until,
        })
        .await?;
    let what = format!("connected/{}", now.as_millisecond());
    store
        .put_event(Ask::Poll.event(watch.connection, &what, now))
        .await?;
    Ok(watched)
}

/// Watches a mailbox for another week.
///
/// # Errors
/// [`WatchError`].
pub async fn prolong(
    apis: &Apis,
    token: &AccessToken,
    store: &Store,
    row: &MailboxRow,
) -> Result<Watched, WatchError> {
    let watched = start_watch(apis, token, &row.topic).await?;
    store
        .watched_mailbox(&row.connection, watched.until)
        .await?;
    Ok(watched)
}

/// Disconnects a mailbox: ends its watch and forgets it.
///
/// # Errors
/// [`WatchError`]: what is not stopped is pushed until the watch ends.
pub async fn unwatch(
    apis: &Apis,
    secret: &Secret,
    store: &Store,
    connection: &str,
) -> Result<(), WatchError> {
    if store.mailbox(connection).await?.is_none() {
        return Ok(());
    }
    let token = access(apis, secret, store.clock().now()).await?;
    stop_watch(apis, &token).await?;
    store.disconnect_mailbox(connection).await?;
    Ok(())
}

async fn access(apis: &Apis, secret: &Secret, now: Timestamp) -> Result<AccessToken, FetchError> {
    let tokens = Tokens::default();
    tokens
        .get(apis, std::slice::from_ref(secret), MAILBOX, now)
        .await
}

/// `users/me/…`: whoever the token is for.
async fn get(
    apis: &Apis,
    token: &AccessToken,
    path: &[&str],
    query: &[(&str, String)],
) -> Result<Reply, FetchError> {
    let path = [&["gmail", "v1", "users", "me"], path].concat();
    let reply = apis
        .call(&Call {
            method: Method::GET,
            host: HOST,
            path: &path,
            query,
            auth: token.auth(),
            body: Body::None,
        })
        .await?;
    Ok(reply)
}

async fn post(
    apis: &Apis,
    token: &AccessToken,
    what: &str,
    body: Body<'_>,
) -> Result<Reply, FetchError> {
    let reply = apis
        .call(&Call {
            method: Method::POST,
            host: HOST,
            path: &["gmail", "v1", "users", "me", what],
            query: &[],
            auth: token.auth(),
            body,
        })
        .await?;
    Ok(reply)
}

/// What Google says where it does not do what it was asked.
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
        400 | 401 | 403 => FetchError::Refused(format!(
            "Google answered {}: {}",
            reply.status,
            word(reason)
        )),
        404 => FetchError::Missing(what),
        _ => refusal("Google", reply),
    }
}

fn text(value: &Value, name: &str) -> Option<String> {
    let text = value.get(name)?.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_each_new_mail_once() {
        let answer = json!({
            "history": [
                {"id": "11", "messages": [{"id": "a"}], "messagesAdded": [{"message": {"id": "a", "labelIds": ["INBOX"]}}]},
                {"id": 13, "messagesAdded": [
                    {"message": {"id": "a"}}, {"message": {"id": "b", "labelIds": ["INBOX", "SENT"]}},
                    {"message": {"id": "c"}}, {"message": {}}, {},
                ]},
                {"id": "12", "labelsAdded": []},
            ],
            "nextPageToken": "p2", "historyId": "20",
        });
        let expected = Page {
            added: vec!["a".to_owned(), "c".to_owned()],
            reached: Some(13),
            next: Some("p2".to_owned()),
            newest: Some(20),
        };
        assert_eq!(read_page(&answer), expected);
        let nothing = json!({"historyId": 20});
        assert_eq!(read_page(&nothing).newest, Some(20));
        assert_eq!(read_page(&nothing).reached, None);
        assert_eq!(read_page(&Value::Null), Page::default());
    }

    #[test]
    fn keys_of_other_kinds_are_left_out() {
        let answer = json!({"keys": [
            {"kid": "1", "kty": "RSA", "alg": "RS256", "n": "AQ", "e": "AQAB", "use": "sig"},
            {"kid": "2", "kty": "EC", "x": "x"},
            {"kid": "3", "kty": "RSA", "n": "A".repeat(2_000), "e": "AQAB"},
            {"kty": "RSA", "n": "AQ", "e": "AQAB"},
        ]});
        let keys = read_keys(&answer);
        assert_eq!(keys.0.keys().collect::<Vec<_>>(), ["1"]);
        assert_eq!(read_keys(&Value::Null), PublicKeys::default());
    }

    #[test]
    fn a_refusal_says_whether_later_is_better() {
        let of = |status, reason: &str| {
            let body = json!({"error": {"errors": [{"reason": reason}]}});
            let reply = Reply {
                status,
                retry_after: None,
                headers: reqwest::header::HeaderMap::new(),
                body: body.to_string().into_bytes(),
            };
            refused(&reply, "the mailbox")
        };
        assert!(matches!(
            of(403, "userRateLimitExceeded"),
            FetchError::Unavailable { .. }
        ));
        assert!(matches!(
            of(429, "rateLimitExceeded"),
            FetchError::Unavailable { .. }
        ));
        assert!(matches!(
            of(503, "backendError"),
            FetchError::Unavailable { .. }
        ));
        assert!(matches!(
            of(403, "insufficientPermissions"),
            FetchError::Refused(_)
        ));
        assert!(matches!(of(401, "authError"), FetchError::Refused(_)));
        assert_eq!(of(404, "notFound"), FetchError::Missing("the mailbox"));
        let said = of(403, "x@y").to_string();
        assert_eq!(said, "Google answered 403: no reason given");
    }
}
