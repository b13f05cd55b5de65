//! Webhooks about the talk with a person: it was opened, it was closed.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{contact, content, event, subject};
use crate::connections::Connection;
use crate::event::{Body, Conversation, Name, SubjectKind};
use crate::sources::{Reading, Unreadable, read};

/// How old a talk is that was opened again: Callbell does not repeat a webhook for longer than six hours.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_hours(12);

/// `conversation_opened`, also where it was opened again. `createdAt` is the talk's, which the one that is
/// opened again keeps.
pub(super) fn opened(
    payload: &Value,
    connection: &Connection,
    now: Timestamp,
) -> Result<Reading, Unreadable> {
    let created_at = time(payload, "createdAt");
    let again = created_at.is_some_and(|at| now.duration_since(at) > AGAIN_AFTER);
    let at = created_at.filter(|_| !again).unwrap_or(now);
    let second = created_at.unwrap_or(now).as_second();
    let what = if again {
        format!("opened/{second}/{}", now.strftime("%Y-%m-%d"))
    } else {
        format!("opened/{second}")
    };
    about(
        payload,
        connection,
        (Name::ConversationOpened, at, &what),
        Some(at),
    )
}

/// `conversation_closed`.
pub(super) fn closed(
    payload: &Value,
    connection: &Connection,
    now: Timestamp,
) -> Result<Reading, Unreadable> {
    let at = time(payload, "closedAt").unwrap_or(now);
    let what = format!("closed/{}", at.as_second());
    let opened_at = time(payload, "createdAt");
    about(
        payload,
        connection,
        (Name::ConversationClosed, at, &what),
        opened_at,
    )
}

fn time(payload: &Value, member: &str) -> Option<Timestamp> {
    payload.get(member)?.as_str()?.parse().ok()
}

fn about(
    payload: &Value,
    connection: &Connection,
    (name, at, what): (Name, Timestamp, &str),
    opened_at: Option<Timestamp>,
) -> Result<Reading, Unreadable> {
    let person = payload.get("contact").unwrap_or(&Value::Null);
    let contact = contact::read(person, "payload.contact")?;
    let href = payload.get("href").and_then(Value::as_str);
    let url = href.and_then(read::as_url);
    let closed = name == Name::ConversationClosed;
    let conversation = Conversation {
        id: contact.id.clone(),
        url: url.unwrap_or_else(|| contact.url.clone()),
        opened_at,
        closed_at: closed.then_some(at),
        closing_reason: content::typed_at(payload, "/closingReason").filter(|_| closed),
        ..Conversation::default()
    };
    let subject = subject(SubjectKind::Conversation, &contact.id, at);
    let what = format!("{}/{what}", contact.id);
    let customer = contact::customer(&contact);
    let body = Body::Conversation {
        conversation: Box::new(conversation),
        contact: Box::new(contact),
    };
    Ok(Reading::Events(vec![event(
        connection,
        name,
        (subject, &what),
        customer,
        body,
    )]))
}
