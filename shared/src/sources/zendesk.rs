//! Zendesk: end users.

use jiff::Timestamp;

use super::{Answer, OnUnreadable, Proofs, Reading, Refusal, Source, Unreadable, Unsigned};
use crate::connections::Connection;
use crate::event::Name;
use crate::raw::{Raw, Verified};

/// The provider's name.
pub const KIND: &str = "zendesk";

/// The source.
pub struct Zendesk;

impl Source for Zendesk {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn function(&self) -> &'static str {
        "leads"
    }

    fn events(&self) -> &'static [Name] {
        &[Name::LeadCreated, Name::LeadUpdated, Name::SourceChanged]
    }

    fn phone_paths(&self) -> &'static [&'static str] {
        &[]
    }

    fn phone_prefixes(&self) -> &'static [&'static str] {
        &[]
    }

    fn handshake(&self, _raw: &Raw) -> Option<Answer> {
        None
    }

    fn verify<'a>(
        &self,
        _raw: &'a Raw,
        proofs: &Proofs<'_>,
        _now: Timestamp,
    ) -> Result<Verified<'a>, Refusal> {
        Err(Refusal::NoMatch {
            secrets: proofs.secrets.len(),
        })
    }

    fn read(
        &self,
        _verified: &Verified<'_>,
        _connection: &Connection,
        _now: Timestamp,
    ) -> Result<Reading, Unreadable> {
        Ok(Reading::Nothing("not read yet"))
    }

    fn on_unreadable(&self) -> OnUnreadable {
        OnUnreadable::Record
    }

    fn sign(&self, _unsigned: &Unsigned<'_>) -> Vec<(String, String)> {
        Vec::new()
    }
}
