//! Callbell itself: what people write, what becomes of what we wrote, people and talks.
//! <https://docs.callbell.eu/api/reference/webhooks/introduction>
//!
//! **An account has one webhook.** So there is one connection, called `callbell`, and the last part of the
//! path is not its name but a secret that nobody can guess: `/callbell/{secret}`. The secret `callbell`
//! holds values of two sorts, several of each while one is replaced:
//!
//! - those that begin with `whsec_` sign: Callbell's dashboard makes one on "Generate secret". The key is
//!   the whole text, its beginning too. Where one is known the signature is asked for as well as the path.
//! - all others are secrets of the path. Without a signing secret the path alone proves a webhook.
//!
//! What carries no event (a connection check by GET, by an empty body, by JSON without a payload) stores
//! nothing, so the path alone is enough for it: Callbell does not say whether it signs its checks, and
//! disables a webhook that does not answer them.
//! <https://docs.callbell.eu/api/reference/webhooks/introduction#how-to-subscribe-to-events>
//!
//! **Callbell gives a delivery no id**, and a message that comes in has none either. What identifies what:
//!
//! | event | key | so that |
//! | --- | --- | --- |
//! | a message came into being | a digest of the person, the channel, the direction, `createdAt` and all content | a retry collapses, two equal texts a second apart do not; `createdAt` has a resolution of a second |
//! | a message's status | Callbell's number of the message, and the status | each status counts once, in whatever order they come |
//! | a person was made, deleted | Callbell's number of the person | each counts once |
//! | a person was changed | the number, a digest of everything shown, and ten minutes of the clock | a retry collapses, and a tag that is set, taken away and set again does not; a retry across the edge finds no difference against what was last seen |
//! | a talk was opened | the person's number and `createdAt`; where that is older than half a day, the day as well | Callbell stops repeating after six hours, so an older one is a talk that was opened again |
//! | a talk was closed | the person's number and `closedAt` | |
//!
//! The signature and its time are in no key: a retry is signed anew.
//!
//! **No loop is possible**: what people wrote is `received`, and nothing that we, Callbell's own bot or a
//! team member sent ever is. What we sent carries the job's number in `metadata` and is an echo.

mod contact;
mod content;
mod message;
mod talk;

use http::Method;
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::sign::Dated;
use super::{
    Acknowledgement, Answer, OnUnreadable, Proofs, Reading, Refusal, Source, Unreadable, Unsigned,
    read,
};
use crate::connections::Connection;
use crate::event::{Body, Contact, Customer, Event, Head, Name, Subject, SubjectKind};
use crate::raw::{Raw, Verified};
use crate::secrets::Secret;

/// The source's kind, and the name of its one connection.
pub const KIND: &str = "callbell";
/// What signing secrets begin with, and secrets of the path do not.
pub const SIGNING_PREFIX: &str = "whsec_";
/// The signature's header: `t=1790000000,v1=<hex>`.
pub const SIGNATURE: &str = "x-callbell-signature";
/// How far from now a signature may be, in seconds, in both directions.
pub const AGE_MAX_S: i64 = 5 * 60;
/// The webhooks that are read, as `POST /webhooks/subscribe` names them. Those about the team are not asked
/// for.
pub const SUBSCRIPTIONS: [&str; 7] = [
    "message_created",
    "message_status_updated",
    "contact_created",
    "contact_updated",
    "contact_deleted",
    "conversation_opened",
    "conversation_closed",
];
/// The one answer to whatever is believed: Callbell counts nothing else as delivered.
const ACKNOWLEDGEMENT: Acknowledgement = Acknowledgement {
    content_type: "application/json",
    body: r#"{"status":"ok"}"#,
};
/// Webhooks about the team.
const STAFF: [&str; 3] = [
    "agent_status_updated",
    "agent_session_updated",
    "team_membership_updated",
];

/// The source.
pub struct Callbell;

impl Source for Callbell {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn function(&self) -> &'static str {
        "callbell"
    }

    fn events(&self) -> &'static [Name] {
        &[
            Name::MessageReceived,
            Name::MessageSent,
            Name::MessageDelivered,
            Name::MessageRead,
            Name::MessageFailed,
            Name::MessageEcho,
            Name::MessageStatus,
            Name::ContactCreated,
            Name::ContactUpdated,
            Name::ContactDeleted,
            Name::ConversationOpened,
            Name::ConversationClosed,
        ]
    }

    fn phone_paths(&self) -> &'static [&'static str] {
        &[contact::PHONE]
    }

    fn phone_prefixes(&self) -> &'static [&'static str] {
        &[]
    }

    fn proven_by(&self) -> &'static str {
        "a secret path; HMAC-SHA256 of time and body, where Callbell signs"
    }

    fn handshake(&self, _raw: &Raw) -> Option<Answer> {
        None
    }

    fn verify<'a>(
        &self,
        raw: &'a Raw,
        proofs: &Proofs<'_>,
        now: Timestamp,
    ) -> Result<Verified<'a>, Refusal> {
        let secrets = proofs.secrets;
        let (signing, paths): (Vec<&Secret>, Vec<&Secret>) =
            secrets.iter().partition(|secret| signs(secret));
        if !ends_in(raw, &paths) {
            return Err(Refusal::Path {
                secrets: paths.len(),
            });
        }
        if signing.is_empty() {
            return Ok(raw.accept());
        }
        match raw.header(SIGNATURE) {
            Some(value) => is_signed(value, raw, &signing, now).map(|()| raw.accept()),
            None if is_check(&raw.body) => Ok(raw.accept()),
            None => Err(Refusal::NoSignature(SIGNATURE)),
        }
    }

    fn read(
        &self,
        verified: &Verified<'_>,
        connection: &Connection,
        now: Timestamp,
    ) -> Result<Reading, Unreadable> {
        let body = verified.body();
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Reading::Nothing("a connection check"));
        }
        read(&read::json(body)?, connection, now)
    }

    fn on_unreadable(&self) -> OnUnreadable {
        OnUnreadable::Record
    }

    fn is_behind_secret(&self) -> bool {
        true
    }

    /// Nobody knows how Callbell checks a connection.
    fn takes(&self, method: &Method) -> bool {
        [Method::POST, Method::GET, Method::HEAD].contains(method)
    }

    fn acknowledgement(&self, _raw: &Raw) -> Option<Acknowledgement> {
        Some(ACKNOWLEDGEMENT)
    }

    fn proof(&self, secrets: &[Secret]) -> Option<&'static str> {
        Some(if secrets.iter().any(signs) {
            "the path's secret and a signature"
        } else {
            "the path's secret alone: no signing secret (whsec_…) is known"
        })
    }

    /// A secret of the path signs nothing.
    fn sign(&self, unsigned: &Unsigned<'_>) -> Vec<(String, String)> {
        if signs(unsigned.secret) {
            let value = Dated::of(unsigned.secret.expose(), unsigned.body, unsigned.now);
            vec![(SIGNATURE.to_owned(), value)]
        } else {
            Vec::new()
        }
    }
}

/// Whether a value of the secret `callbell` signs; otherwise the path ends in it.
pub fn signs(secret: &Secret) -> bool {
    secret.expose().starts_with(SIGNING_PREFIX)
}

/// Whether the path ends in one of `secrets`. Digests are compared, all of them, so that the time tells
/// neither how long a secret is nor how many there are.
fn ends_in(raw: &Raw, secrets: &[&Secret]) -> bool {
    let Some(part) = &raw.path_secret else {
        return false;
    };
    let part = Sha256::digest(part.expose().as_bytes());
    let same = |secret: &&&Secret| {
        let value = secret.expose().as_bytes();
        !value.is_empty() && bool::from(Sha256::digest(value).ct_eq(&part))
    };
    secrets.iter().filter(same).count() > 0
}

/// Whether the signature is of one of these secrets, and of now.
fn is_signed(value: &str, raw: &Raw, signing: &[&Secret], now: Timestamp) -> Result<(), Refusal> {
    let signature = Dated::parse(value).ok_or(Refusal::Malformed(SIGNATURE))?;
    let matches = |secret: &&&Secret| {
        // The beginning alone is no key: everybody knows it.
        secret.expose() != SIGNING_PREFIX && signature.matches(secret.expose(), &raw.body)
    };
    if signing.iter().filter(matches).count() == 0 {
        return Err(Refusal::NoMatch {
            secrets: signing.len(),
        });
    }
    let age_s = signature.age_s(now).saturating_abs();
    if age_s > AGE_MAX_S {
        return Err(Refusal::Stale { seconds: age_s });
    }
    Ok(())
}

/// Whether a body carries no event: nothing of it would be stored.
fn is_check(body: &[u8]) -> bool {
    body.iter().all(u8::is_ascii_whitespace)
        || serde_json::from_slice::<Value>(body).is_ok_and(|value| value.get("payload").is_none())
}

/// A person as Callbell's API and its webhooks show one; `None`: it has no number, so it is nobody.
pub fn contact(value: &Value) -> Option<Contact> {
    contact::read(value, "contact").ok()
}

/// Whom events of this person are about.
pub fn customer(contact: &Contact) -> Customer {
    contact::customer(contact)
}

/// What a believed body says. `now` is when it came, or when Callbell first tried to deliver it.
///
/// # Errors
/// What cannot be read.
pub fn read(value: &Value, connection: &Connection, now: Timestamp) -> Result<Reading, Unreadable> {
    let (Some(event), Some(payload)) = (
        value.get("event").and_then(Value::as_str),
        value.get("payload"),
    ) else {
        return Ok(Reading::Nothing("a connection check"));
    };
    let read = match event {
        "message_created" => message::created,
        "message_status_updated" => message::status,
        "contact_created" => contact::created,
        "contact_updated" => contact::updated,
        "contact_deleted" => contact::deleted,
        "conversation_opened" => talk::opened,
        "conversation_closed" => talk::closed,
        staff if STAFF.contains(&staff) => {
            return Ok(Reading::Nothing("an event about the team"));
        }
        _ => return Ok(Reading::Nothing("an event that we do not know")),
    };
    if !payload.is_object() {
        return Err(Unreadable {
            path: "payload".to_owned(),
            problem: "expected an object".to_owned(),
        });
    }
    read(payload, connection, now)
}

/// An event of the one connection: `{connection}/{subject}/{what}`.
fn event(
    connection: &Connection,
    name: Name,
    (subject, what): (Subject, &str),
    customer: Customer,
    body: Body,
) -> Event {
    Event {
        event: Head {
            name,
            source: connection.name.clone(),
            kind: KIND.to_owned(),
            account: None,
            id: format!("{}/{}/{what}", connection.name, subject.kind.as_str()),
            at: subject.as_of,
            test: false,
            depth: 0,
            notes: Vec::new(),
        },
        customer,
        subject,
        body,
    }
}

/// A subject that is known by its id and time alone.
fn subject(kind: SubjectKind, id: &str, at: Timestamp) -> Subject {
    Subject::new(kind, id, at)
}
