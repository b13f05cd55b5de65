//! Zendesk Support: end users.
//!
//! A webhook says that a user came into being, or got another phone or e-mail address, and neither the name nor
//! the number: the door stores that as `source.changed` ([`told`]), and the worker reads the user ([`events`]).
//! <https://developer.zendesk.com/api-reference/webhooks/event-types/user-events/>
//!
//! Zendesk repeats a webhook for a few statuses alone, so a 400 or 401 loses it: nothing that is signed gets a
//! 4xx, and what cannot be stored gets a 503 that says when to come back.
//! <https://developer.zendesk.com/api-reference/webhooks/introduction/>

mod notice;
mod user;

use jiff::Timestamp;

use super::{
    Answer, OnUnreadable, Proofs, Reading, Refusal, Source, Unreadable, Unsigned, read, sign,
};
use crate::connections::Connection;
use crate::event::Name;
use crate::raw::{Raw, Verified};
use crate::secrets::Secret;

pub use notice::{Told, told};
pub use user::{events, wants_identities};

/// The provider's name.
pub const KIND: &str = "zendesk";
/// The signature's header: base64 of the HMAC-SHA256 of time and body.
/// <https://developer.zendesk.com/documentation/webhooks/verifying/>
const SIGNATURE: &str = "x-zendesk-webhook-signature";
/// When it was signed.
const TIME: &str = "x-zendesk-webhook-signature-timestamp";
/// Longest text of a time, in characters.
const TIME_CHARS_MAX: usize = 40;
/// How old a signature may be, in seconds: a day and an hour. Zendesk names no bound, and nothing says that a
/// repetition is signed anew, or how long one waits while Zendesk holds deliveries back; a webhook that is
/// refused for its age is not repeated. Within this time a replay finds its event stored, for events stay for a
/// week, and does nothing.
const AGE_MAX_S: i64 = 25 * 60 * 60;
/// How far ahead of us Zendesk's clock may be, in seconds.
const AHEAD_MAX_S: i64 = 5 * 60;
/// What tests of a webhook that was not saved yet are signed with: anybody can read it in Zendesk's manual, so
/// it proves nothing, whatever somebody has put into their secrets.
const PUBLIC_SECRETS: [&str; 2] = [
    "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==",
    "this_secret_is_for_testing_only",
];

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
        user::PHONE_PATHS
    }

    fn phone_prefixes(&self) -> &'static [&'static str] {
        &[user::FIELDS]
    }

    fn proven_by(&self) -> &'static str {
        "HMAC-SHA256 of time and body, base64"
    }

    fn handshake(&self, _raw: &Raw) -> Option<Answer> {
        None
    }

    /// Time first, then the body: an older page of the manual had them the other way round. The secret counts as
    /// it is, though it looks like base64.
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
        let time = raw.header(TIME).ok_or(Refusal::NoSignature(TIME))?;
        let signed_at: Timestamp = Some(time.trim())
            .filter(|time| time.len() <= TIME_CHARS_MAX)
            .and_then(|time| time.parse().ok())
            .ok_or(Refusal::Malformed(TIME))?;
        let signature = sign::decode(value).ok_or(Refusal::Malformed(SIGNATURE))?;
        let parts = [time.as_bytes(), &raw.body];
        let matches = |secret: &&Secret| {
            let own = secret.expose();
            !PUBLIC_SECRETS.contains(&own) && sign::matches_parts(own, &parts, &signature)
        };
        if secrets.iter().filter(matches).count() == 0 {
            return Err(Refusal::NoMatch {
                secrets: secrets.len(),
            });
        }
        let age_s = now.as_second().saturating_sub(signed_at.as_second());
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
        now: Timestamp,
    ) -> Result<Reading, Unreadable> {
        notice::read(&read::json(verified.body())?, connection, now)
    }

    fn on_unreadable(&self) -> OnUnreadable {
        OnUnreadable::Record
    }

    fn sign(&self, unsigned: &Unsigned<'_>) -> Vec<(String, String)> {
        let time = unsigned.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let signed = [time.as_bytes(), unsigned.body].concat();
        let signature = sign::hmac_base64(unsigned.secret.expose(), &signed);
        vec![(SIGNATURE.to_owned(), signature), (TIME.to_owned(), time)]
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::*;

    fn check(secret: &str, time: &str, signature: &str) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(SIGNATURE, signature.parse().unwrap());
        headers.insert(TIME, time.parse().unwrap());
        let raw = Raw {
            method: Method::POST,
            connection: KIND.to_owned(),
            path_secret: None,
            headers,
            query: String::new(),
            url: String::new(),
            body: br#"{"id":"1"}"#.to_vec(),
        };
        let connection = Connection::plain(KIND);
        let secrets = [Secret::new(secret)];
        let proofs = Proofs::of(&connection, &secrets);
        let now = "2026-03-16T16:00:00Z".parse().unwrap();
        Zendesk.verify(&raw, &proofs, now).map(|_| ())
    }

    const TIME_SENT: &str = "2026-03-16T15:59:30Z";

    fn signed(secret: &str, signed: &str) -> Result<(), Refusal> {
        let signature = sign::hmac_base64(secret, signed.as_bytes());
        check(secret, TIME_SENT, &signature)
    }

    #[test]
    fn the_time_comes_before_the_body() {
        let good = format!(r#"{TIME_SENT}{{"id":"1"}}"#);
        let turned = format!(r#"{{"id":"1"}}{TIME_SENT}"#);
        assert_eq!(signed("hush", &good), Ok(()));
        assert_eq!(
            signed("hush", &turned),
            Err(Refusal::NoMatch { secrets: 1 })
        );
        // Computed apart from this code, by Python's hmac.
        assert_eq!(
            check(
                "aHVzaA==",
                TIME_SENT,
                "srrt1YoH+j9CtOayxms0TUdXauJXbAvnVCWgcfkpSnk="
            ),
            Ok(())
        );
    }

    #[test]
    fn the_secret_of_the_manual_proves_nothing() {
        let good = format!(r#"{TIME_SENT}{{"id":"1"}}"#);
        for secret in PUBLIC_SECRETS {
            assert_eq!(signed(secret, &good), Err(Refusal::NoMatch { secrets: 1 }));
        }
    }
}
