//! Callbell's own webhook. An account has one, and Callbell's API says neither where it goes nor whether it is
//! enabled: what there is to know is read from the log of its deliveries.
//! <https://docs.callbell.eu/api/reference/webhooks_api/events>

use engine::callbell::{CallError, Callbell};
use engine::fetch::callbell::health;
use jiff::Timestamp;
use shared::event::Name;
use shared::secrets::Secret;
use shared::sources::callbell::signs;
use shared::store::{Store, StoreError};

use super::Topic;

/// The webhooks that are read: all of them, whatever the automations say, because what people do is
/// remembered (windows, opt-outs, who has a conversation in hand).
const TOPICS: &[Topic] = &[
    topic(
        "message_created",
        &[Name::MessageReceived, Name::MessageSent],
    ),
    topic(
        "message_status_updated",
        &[
            Name::MessageDelivered,
            Name::MessageRead,
            Name::MessageFailed,
        ],
    ),
    topic("contact_created", &[Name::ContactCreated]),
    topic("contact_updated", &[Name::ContactUpdated]),
    topic("contact_deleted", &[Name::ContactDeleted]),
    topic("conversation_opened", &[Name::ConversationOpened]),
    topic("conversation_closed", &[Name::ConversationClosed]),
];

/// The system.
pub(super) struct System;

impl super::System for System {
    fn kind(&self) -> &'static str {
        "callbell"
    }

    fn title(&self) -> &'static str {
        "Callbell"
    }

    fn topics(&self) -> &'static [Topic] {
        TOPICS
    }

    fn whereabouts(&self) -> &'static str {
        "Callbell's own webhook: a secret for its path that callbell connect callbell makes, and beside it the signing\n\
             # secret (whsec_…) of the dashboard: Settings, API, Webhooks, Generate secret. callbell = [\"path\", \"whsec_…\"]"
    }

    fn provoke(&self) -> &'static str {
        "write to one of your channels, from another phone"
    }

    fn questions(&self) -> &'static [&'static str] {
        &["API token (Callbell: dashboard, Settings, API)"]
    }
}

const fn topic(name: &'static str, events: &'static [Name]) -> Topic {
    Topic {
        name,
        events,
        always: true,
    }
}

/// What the log of deliveries shows of the account's webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Webhook {
    /// Nothing was ever delivered: there is none, or nothing happened yet.
    Unknown,
    /// What was delivered is in our table, the newest at this time.
    Here(Timestamp),
    /// What was delivered is not in our table: it goes somewhere else. The newest at this time.
    Elsewhere(Timestamp),
    /// Nothing is delivered since then; why that is bad.
    Failing(Timestamp, &'static str),
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// Callbell does not say.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The table does not say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Looks at the newest deliveries, and whether they came to us.
///
/// # Errors
/// See [`LookError`].
pub async fn look(
    callbell: &Callbell,
    store: &Store,
    now: Timestamp,
) -> Result<Webhook, LookError> {
    // What was tried before we were connected may be of a webhook that was overwritten since.
    let since = store.missed().await?;
    let since = since.map_or(Timestamp::MIN, |row| row.connected_at);
    let health = health(callbell, since, now).await?;
    if let Some((since, why)) = health.failing {
        return Ok(Webhook::Failing(since, why));
    }
    for key in &health.delivered {
        if let Some(row) = store.event(key).await? {
            return Ok(Webhook::Here(row.received_at));
        }
    }
    Ok(match (health.newest, health.delivered.is_empty()) {
        (Some(newest), false) => Webhook::Elsewhere(newest),
        _ => Webhook::Unknown,
    })
}

/// The secret that the path ends in: the newest of those that do not sign.
pub fn path_of(values: &[Secret]) -> Option<&Secret> {
    values.iter().find(|value| !signs(value))
}

/// Whether webhooks have to be signed.
pub fn is_signed(values: &[Secret]) -> bool {
    values.iter().any(signs)
}

/// Our door's address without the secret that it ends in.
pub fn masked(url: &str) -> String {
    let end = url.rfind('/').map_or(0, |slash| slash + 1);
    format!("{}…", url.get(..end).unwrap_or_default())
}
