//! Calendly: invitees.
//!
//! **An invitee is the booking.** A group event has one scheduled event and many invitees, each with a
//! webhook of its own. A reschedule makes a new invitee and a new scheduled event, and two webhooks in any
//! order: `invitee.canceled` of the old one with `rescheduled: true`, and `invitee.created` of the new one,
//! which names the old. The second is the move. The first says only that its id stands for nothing any
//! more, as of its own creation: it overrules nothing.
//! <https://developer.calendly.com/docs/api-guides/see-how-webhook-payloads-change-when-invitees-reschedule-events.md>
//!
//! Where a webhook comes without its scheduled event, as older ones do, the door stores what came as
//! `source.changed` ([`wanted`]) and the worker asks for the rest ([`complete`]).
//!
//! Calendly repeats what is not answered 2xx for a day and then disables the subscription for good:
//! nothing that is signed gets a 4xx.
//! <https://developer.calendly.com/api-docs/overview/webhooks/webhook-errors>

mod invitee;

use jiff::Timestamp;
use serde_json::Value;

use super::sign::Dated;
use super::{Answer, OnUnreadable, Proofs, Reading, Refusal, Source, Unreadable, Unsigned, read};
use crate::connections::Connection;
use crate::event::{Body, Changed, Event, Name};
use crate::raw::{Raw, Verified};

/// The signature's header: `t=1773252000,v1=<hex>`.
/// <https://developer.calendly.com/api-docs/overview/webhooks/webhook-signatures>
const SIGNATURE: &str = "calendly-webhook-signature";
/// How old a signature may be, in seconds: the day for which Calendly repeats a webhook, and an hour.
/// Calendly's example has three minutes, and nothing says that a repetition is signed anew: if it is not,
/// three minutes would lose every one of them, and the subscription after a day. Within this time a replay
/// finds its event stored, for events stay for a week, and does nothing.
const AGE_MAX_S: i64 = 25 * 60 * 60;
/// How far ahead of us Calendly's clock may be, in seconds.
const AHEAD_MAX_S: i64 = 5 * 60;

/// The source.
pub struct Calendly;

impl Source for Calendly {
    fn kind(&self) -> &'static str {
        "calendly"
    }

    fn function(&self) -> &'static str {
        "appointments"
    }

    fn events(&self) -> &'static [Name] {
        &[
            Name::AppointmentBooked,
            Name::AppointmentRescheduled,
            Name::AppointmentCancelled,
            Name::AppointmentNoShow,
            Name::AppointmentReleased,
            Name::AppointmentUpdated,
            Name::SourceChanged,
        ]
    }

    fn phone_paths(&self) -> &'static [&'static str] {
        invitee::PHONE_PATHS
    }

    fn phone_prefixes(&self) -> &'static [&'static str] {
        &[invitee::ANSWERS]
    }

    fn asks_questions(&self) -> bool {
        true
    }

    fn proven_by(&self) -> &'static str {
        "HMAC-SHA256 of time and body, hex, a day old at most"
    }

    fn handshake(&self, _raw: &Raw) -> Option<Answer> {
        None
    }

    /// Hex of the HMAC-SHA256 of `t`, a point and the raw body under the signing key, which counts as it
    /// is, though it looks like base64.
    fn verify<'a>(
        &self,
        raw: &'a Raw,
        proofs: &Proofs<'_>,
        now: Timestamp,
    ) -> Result<Verified<'a>, Refusal> {
        let secrets = proofs.secrets;
        let value = raw
            .header(SIGNATURE)
            .ok_or(Refusal::NoSignature(SIGNATURE))?;
        let signature = Dated::parse(value).ok_or(Refusal::Malformed(SIGNATURE))?;
        if !secrets
            .iter()
            .any(|secret| signature.matches(secret.expose(), &raw.body))
        {
            return Err(Refusal::NoMatch {
                secrets: secrets.len(),
            });
        }
        let age_s = signature.age_s(now);
        if (-AHEAD_MAX_S..=AGE_MAX_S).contains(&age_s) {
            Ok(raw.accept())
        } else {
            Err(Refusal::Stale {
                seconds: age_s.saturating_abs(),
            })
        }
    }

    fn read(
        &self,
        verified: &Verified<'_>,
        connection: &Connection,
        _now: Timestamp,
    ) -> Result<Reading, Unreadable> {
        invitee::read(&read::json(verified.body())?, connection)
    }

    fn on_unreadable(&self) -> OnUnreadable {
        OnUnreadable::Record
    }

    fn sign(&self, unsigned: &Unsigned<'_>) -> Vec<(String, String)> {
        let value = Dated::of(unsigned.secret.expose(), unsigned.body, unsigned.now);
        vec![(SIGNATURE.to_owned(), value)]
    }
}

/// The scheduled event that has to be asked for: its uuid, as in
/// `GET https://api.calendly.com/scheduled_events/{uuid}`. `None`: `changed` is none of Calendly's.
pub fn wanted(changed: &Changed) -> Option<&str> {
    let uri = changed.about.get("payload")?.get("event")?.as_str()?;
    invitee::uuid(uri)
}

/// The events of a webhook that came without its scheduled event, now that it is known: `event` is the
/// `source.changed` event, `scheduled_event` the answer of Calendly's API, with or without the `resource`
/// around it.
///
/// # Errors
/// What cannot be read.
pub fn complete(
    event: &Event,
    scheduled_event: &Value,
    connection: &Connection,
) -> Result<Vec<Event>, Unreadable> {
    let unreadable = |path: &str, expected: &str| Unreadable {
        path: path.to_owned(),
        problem: format!("expected {expected}"),
    };
    let Body::Changed { changed } = &event.body else {
        return Err(unreadable("body", "what source.changed carries"));
    };
    let mut webhook = Value::Object(changed.about.clone());
    let resource = scheduled_event.get("resource").unwrap_or(scheduled_event);
    let payload = webhook.get_mut("payload").and_then(Value::as_object_mut);
    payload
        .ok_or_else(|| unreadable("payload", "an object"))?
        .insert("scheduled_event".to_owned(), resource.clone());
    match invitee::read(&webhook, connection)? {
        Reading::Nothing(_) => Ok(Vec::new()),
        Reading::Events(events)
            if events
                .iter()
                .any(|event| event.event.name == Name::SourceChanged) =>
        {
            Err(unreadable("scheduled_event", "a start and an end"))
        }
        Reading::Events(events) => Ok(events),
    }
}
