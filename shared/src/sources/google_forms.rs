//! Google Forms: answers to forms, posted by a script of ours.

use jiff::Timestamp;

use super::{
    Answer, OnUnreadable, Proofs, Reading, Refusal, Source, Unreadable, Unsigned, standard,
};
use crate::connections::Connection;
use crate::event::Name;
use crate::raw::{Raw, Verified};

/// The provider's name.
pub const KIND: &str = "google-forms";

/// The source.
pub struct GoogleForms;

impl Source for GoogleForms {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn function(&self) -> &'static str {
        "forms"
    }

    fn events(&self) -> &'static [Name] {
        &[Name::FormSubmitted]
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
        raw: &'a Raw,
        proofs: &Proofs<'_>,
        now: Timestamp,
    ) -> Result<Verified<'a>, Refusal> {
        standard::verify(raw, proofs.secrets, now)?;
        Ok(raw.accept())
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

    fn sign(&self, unsigned: &Unsigned<'_>) -> Vec<(String, String)> {
        standard::sign(&standard::id_of(unsigned.body), unsigned)
    }
}
