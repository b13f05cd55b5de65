//! Typeform: answers to forms.
//!
//! The signature covers the raw body and nothing else, no time and no id: what keeps a repetition from being
//! done again is that its event is known. It looks like GitHub's, `sha256=`, and is base64.
//! <https://www.typeform.com/developers/webhooks/secure-your-webhooks/>
//!
//! Typeform switches a webhook off at once on 404 and 410, and after many failures: nothing that is signed
//! gets a 4xx. <https://www.typeform.com/developers/webhooks/>

mod answers;

use jiff::Timestamp;

use super::{
    Answer, OnUnreadable, Proofs, Reading, Refusal, Source, Unreadable, Unsigned, form, read, sign,
};
use crate::connections::Connection;
use crate::event::Name;
use crate::raw::{Raw, Verified};

/// The provider's name.
pub const KIND: &str = "typeform";

/// The signature's header; absent where the webhook was made without a secret.
const SIGNATURE: &str = "typeform-signature";
/// What stands before the base64.
const PREFIX: &str = "sha256=";

/// The source.
pub struct Typeform;

impl Source for Typeform {
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
        form::PHONE_PATHS
    }

    fn phone_prefixes(&self) -> &'static [&'static str] {
        form::PHONE_PREFIXES
    }

    fn asks_questions(&self) -> bool {
        true
    }

    fn proven_by(&self) -> &'static str {
        "HMAC-SHA256 of the body, base64"
    }

    fn handshake(&self, _raw: &Raw) -> Option<Answer> {
        None
    }

    /// Base64 of the HMAC-SHA256 of the raw body; the key is the secret's text.
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
        let signature = value.trim().strip_prefix(PREFIX).and_then(sign::decode);
        let signature = signature.ok_or(Refusal::Malformed(SIGNATURE))?;
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
        _now: Timestamp,
    ) -> Result<Reading, Unreadable> {
        answers::read(&read::json(verified.body())?, connection)
    }

    fn on_unreadable(&self) -> OnUnreadable {
        OnUnreadable::Record
    }

    fn sign(&self, unsigned: &Unsigned<'_>) -> Vec<(String, String)> {
        let base64 = sign::hmac_base64(unsigned.secret.expose(), unsigned.body);
        vec![(SIGNATURE.to_owned(), format!("{PREFIX}{base64}"))]
    }
}
