//! Cal.com: bookings.
//!
//! A webhook shows the whole booking and is sent once. A reschedule makes a new booking: its `uid` is new,
//! and `rescheduleUid` names the old one. The same webhook may come several times, from subscriptions of
//! the user, the event type, the team and the organisation; `createdAt` is when each was made, so no key
//! has it. <https://cal.com/docs/developing/guides/automation/webhooks>
//!
//! An event type with seats has one `uid` for everybody who comes. Each person's seat is a booking of its
//! own here: taken, moved and given up alone, or ended with all the others.
//!
//! Cal.com neither repeats a webhook nor, as far as its code shows, disables a subscription; what its cloud
//! does is not documented. A signed body that cannot be read is therefore kept as a record, where
//! `callbell events` shows it: a 400 would be seen by nobody but Cal.com's own log.

mod booked;

use jiff::Timestamp;

use super::{
    Answer, OnUnreadable, Proofs, Reading, Refusal, Source, Unreadable, Unsigned, read, sign,
};
use crate::connections::Connection;
use crate::event::Name;
use crate::raw::{Raw, Verified};

/// The signature's header.
const SIGNATURE: &str = "x-cal-signature-256";
/// What stands in it where the subscription has no secret.
const UNSIGNED: &str = "no-secret-provided";

/// The source.
pub struct CalCom;

impl Source for CalCom {
    fn kind(&self) -> &'static str {
        "cal-com"
    }

    fn function(&self) -> &'static str {
        "appointments"
    }

    fn events(&self) -> &'static [Name] {
        &[
            Name::AppointmentRequested,
            Name::AppointmentBooked,
            Name::AppointmentRescheduled,
            Name::AppointmentCancelled,
            Name::AppointmentNoShow,
            Name::AppointmentUpdated,
        ]
    }

    fn phone_paths(&self) -> &'static [&'static str] {
        booked::PHONE_PATHS
    }

    fn phone_prefixes(&self) -> &'static [&'static str] {
        &[booked::RESPONSES]
    }

    fn asks_questions(&self) -> bool {
        true
    }

    fn proven_by(&self) -> &'static str {
        "HMAC-SHA256 of the body, hex"
    }

    fn handshake(&self, _raw: &Raw) -> Option<Answer> {
        None
    }

    /// Hex of the HMAC-SHA256 of the raw body under the subscription's secret. There is no time stamp: a
    /// replay is a duplicate.
    fn verify<'a>(
        &self,
        raw: &'a Raw,
        proofs: &Proofs<'_>,
        _now: Timestamp,
    ) -> Result<Verified<'a>, Refusal> {
        let secrets = proofs.secrets;
        let value = raw
            .header(SIGNATURE)
            .ok_or(Refusal::NoSignature(SIGNATURE))?;
        if value.trim() == UNSIGNED {
            return Err(Refusal::Unsigned);
        }
        let signature = sign::decode_hex(value).ok_or(Refusal::Malformed(SIGNATURE))?;
        if secrets
            .iter()
            .any(|secret| sign::matches(secret.expose(), &raw.body, &signature))
        {
            Ok(raw.accept())
        } else {
            Err(Refusal::NoMatch {
                secrets: secrets.len(),
            })
        }
    }

    fn read(
        &self,
        verified: &Verified<'_>,
        connection: &Connection,
        now: Timestamp,
    ) -> Result<Reading, Unreadable> {
        booked::read(&read::json(verified.body())?, connection, now)
    }

    fn on_unreadable(&self) -> OnUnreadable {
        OnUnreadable::Record
    }

    fn sign(&self, unsigned: &Unsigned<'_>) -> Vec<(String, String)> {
        let hex = sign::hmac_hex(unsigned.secret.expose(), &[unsigned.body]);
        vec![(SIGNATURE.to_owned(), hex)]
    }
}
