//! HubSpot: contacts.
//!
//! A webhook of an app is a list of up to 100 items that name contacts and say nothing else of them. The door
//! stores one `source.changed` a request ([`told`]), and the worker reads the contacts ([`events`]). What a
//! workflow's action "Send a webhook" posts is one whole contact in an older shape, which needs no question.
//! <https://developers.hubspot.com/docs/api-reference/webhooks-webhooks-v3/guide>,
//! <https://developers.hubspot.com/docs/methods/workflows/webhook_information>
//!
//! **Keys.** HubSpot repeats a whole request where one attempt fails, counts attempts in it, and tells a fact
//! twice to an app that subscribed to `contact.*` and to `object.*` both. So a request is known by what it says
//! of which contacts, an update by its contact and its date, and a new contact by its id alone; never by
//! `eventId`, which HubSpot does not promise to be unique.

mod contact;
mod notice;
mod signature;

use jiff::Timestamp;
use serde_json::Value;

use super::{Answer, OnUnreadable, Proofs, Reading, Refusal, Source, Unreadable, Unsigned, read};
use crate::connections::Connection;
use crate::event::Name;
use crate::raw::{Raw, Verified};

pub use contact::{CORE, answers_to, events, owner_id, properties};
pub use notice::{Told, told};

/// The provider's name.
pub const KIND: &str = "hubspot";

/// The source.
pub struct HubSpot;

impl Source for HubSpot {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn function(&self) -> &'static str {
        "leads"
    }

    fn events(&self) -> &'static [Name] {
        &[
            Name::LeadCreated,
            Name::LeadUpdated,
            Name::SourceChanged,
            Name::PrivacyRedactCustomer,
        ]
    }

    fn phone_paths(&self) -> &'static [&'static str] {
        contact::PHONE_PATHS
    }

    fn phone_prefixes(&self) -> &'static [&'static str] {
        &[contact::PROPERTIES]
    }

    fn proven_by(&self) -> &'static str {
        "v3: HMAC-SHA256 of method, address, body and time; v1 and v2 too"
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
        signature::verify(raw, proofs.secrets, now)?;
        Ok(raw.accept())
    }

    fn read(
        &self,
        verified: &Verified<'_>,
        connection: &Connection,
        now: Timestamp,
    ) -> Result<Reading, Unreadable> {
        let body = read::json(verified.body())?;
        match &body {
            Value::Array(items) => notice::read(items, connection, now),
            Value::Object(one) if notice::is_item(&body) && !one.contains_key("vid") => {
                notice::read(std::slice::from_ref(&body), connection, now)
            }
            Value::Object(one) if one.contains_key("vid") => {
                contact::of_workflow(one, connection, now)
            }
            _ => Ok(Reading::Nothing("nothing of a contact")),
        }
    }

    fn on_unreadable(&self) -> OnUnreadable {
        OnUnreadable::Record
    }

    /// In version 3, which apps have.
    fn sign(&self, unsigned: &Unsigned<'_>) -> Vec<(String, String)> {
        signature::of(unsigned)
    }
}
