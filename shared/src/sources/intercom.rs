//! Intercom: users and leads.
//!
//! A contact's webhook says all of it. A lead usually comes into being at the first words of a chat, before
//! its phone is known, which another webhook says; none says what changed.
//! <https://developers.intercom.com/docs/references/webhooks/webhook-models>
//!
//! A delivery that is not answered 2xx within five seconds is repeated once, and seven days of errors suspend
//! the subscription: nothing that is signed gets a 4xx, and neither does what Intercom's own system sends.
//! <https://developers.intercom.com/docs/webhooks/webhook-notifications>

mod contact;

use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use sha1::Sha1;

use super::{Answer, OnUnreadable, Proofs, Reading, Refusal, Source, Unreadable, Unsigned, read};
use crate::connections::Connection;
use crate::event::Name;
use crate::raw::{Raw, Verified};
use crate::secrets::Secret;

/// The provider's name.
pub const KIND: &str = "intercom";
/// The signature's header: `sha1=<hex>`.
const SIGNATURE: &str = "x-hub-signature";
/// The header of what Intercom's own system sends, signed another way: that the app was taken out, and
/// whether the address still answers.
const SYSTEM: &str = "x-body-signature";
/// Before the digits of a signature.
const PREFIX: &str = "sha1=";
/// How long a SHA-1 is, in bytes.
const SHA1_BYTES: usize = 20;
/// Longest body that may be a ping, in bytes.
const PING_BYTES_MAX: usize = 4 * 1024;

/// The source.
pub struct Intercom;

impl Source for Intercom {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn function(&self) -> &'static str {
        "leads"
    }

    fn events(&self) -> &'static [Name] {
        &[Name::LeadCreated, Name::LeadUpdated]
    }

    fn phone_paths(&self) -> &'static [&'static str] {
        contact::PHONE_PATHS
    }

    fn phone_prefixes(&self) -> &'static [&'static str] {
        &[contact::CUSTOM]
    }

    fn proven_by(&self) -> &'static str {
        "HMAC-SHA1 of the body, hex"
    }

    /// An address is validated by HEAD, without a signature, when somebody saves it; then come pings. What
    /// Intercom's own system sends is answered and means nothing to anybody here.
    /// <https://developers.intercom.com/docs/webhooks/setting-up-webhooks>
    fn handshake(&self, raw: &Raw) -> Option<Answer> {
        let of_system = raw.headers.contains_key(SYSTEM) && !raw.headers.contains_key(SIGNATURE);
        let status = match raw.method {
            Method::HEAD | Method::GET => "there",
            Method::POST if of_system => "ignored",
            Method::POST if is_ping(&raw.body) => "pong",
            _ => return None,
        };
        Some(Answer {
            status: 200,
            body: format!(r#"{{"status":"{status}"}}"#),
        })
    }

    /// Hex of the HMAC-SHA1 of the raw body under the app's client secret. Nothing dates it: a repetition
    /// finds its event stored.
    fn verify<'a>(
        &self,
        raw: &'a Raw,
        proofs: &Proofs<'_>,
        _now: Timestamp,
    ) -> Result<Verified<'a>, Refusal> {
        let value = raw
            .header(SIGNATURE)
            .ok_or(Refusal::NoSignature(SIGNATURE))?;
        let signature = decode(value).ok_or(Refusal::Malformed(SIGNATURE))?;
        let matches = |secret: &Secret| {
            let key = secret.expose();
            let mac = mac(key, &raw.body);
            // An empty key proves nothing.
            !key.is_empty() && mac.is_some_and(|mac| mac.verify_slice(&signature).is_ok())
        };
        if proofs.secrets.iter().any(matches) {
            Ok(raw.accept())
        } else {
            Err(Refusal::NoMatch {
                secrets: proofs.secrets.len(),
            })
        }
    }

    fn read(
        &self,
        verified: &Verified<'_>,
        connection: &Connection,
        _now: Timestamp,
    ) -> Result<Reading, Unreadable> {
        contact::read(&read::json(verified.body())?, connection)
    }

    fn on_unreadable(&self) -> OnUnreadable {
        OnUnreadable::Record
    }

    fn sign(&self, unsigned: &Unsigned<'_>) -> Vec<(String, String)> {
        let mac = mac(unsigned.secret.expose(), unsigned.body);
        let digits = mac.map(|mac| hex::encode(mac.finalize().into_bytes()));
        let value = format!("{PREFIX}{}", digits.unwrap_or_default());
        vec![(SIGNATURE.to_owned(), value)]
    }
}

/// `None` where no key can be made of it (never for HMAC).
fn mac(key: &str, body: &[u8]) -> Option<Hmac<Sha1>> {
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).ok()?;
    mac.update(body);
    Some(mac)
}

fn decode(value: &str) -> Option<Vec<u8>> {
    let digits = value.trim().strip_prefix(PREFIX)?;
    let bytes = hex::decode(digits).ok()?;
    (bytes.len() == SHA1_BYTES).then_some(bytes)
}

/// Whether a body is a ping, which says nothing and so may come unsigned.
fn is_ping(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Ping {
        topic: String,
    }
    body.len() <= PING_BYTES_MAX
        && serde_json::from_slice::<Ping>(body).is_ok_and(|body| body.topic == "ping")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(method: Method, header: Option<&str>, body: &str) -> Raw {
        let mut headers = http::HeaderMap::new();
        if let Some(name) = header {
            let name = http::HeaderName::try_from(name).unwrap();
            headers.insert(name, "sha1=00".parse().unwrap());
        }
        Raw {
            method,
            connection: KIND.into(),
            path_secret: None,
            headers,
            query: String::new(),
            url: String::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn what_is_no_event_is_answered_without_a_secret() {
        let ping = r#"{"type":"notification_event","topic":"ping","id":null}"#;
        let created = r#"{"type":"notification_event","topic":"contact.user.created"}"#;
        for (raw, status) in [
            (raw(Method::HEAD, None, ""), Some("there")),
            (raw(Method::GET, None, ""), Some("there")),
            (raw(Method::POST, None, ping), Some("pong")),
            (raw(Method::POST, Some(SYSTEM), "{}"), Some("ignored")),
            (raw(Method::POST, Some(SYSTEM), created), Some("ignored")),
            (raw(Method::POST, Some(SIGNATURE), created), None),
            (raw(Method::POST, None, created), None),
            (raw(Method::POST, None, "ping"), None),
            (raw(Method::PUT, None, ping), None),
        ] {
            let answer = Intercom.handshake(&raw);
            let expected = status.map(|status| Answer {
                status: 200,
                body: format!(r#"{{"status":"{status}"}}"#),
            });
            assert_eq!(answer, expected, "{raw:?}");
        }
    }

    /// As in RFC 2202, test case 2.
    #[test]
    fn the_signature_is_an_hmac_sha1() {
        let connection = Connection::plain(KIND);
        let secret = Secret::new("Jefe");
        let body = b"what do ya want for nothing?";
        let unsigned = Unsigned::of(&connection, &secret, body, Timestamp::UNIX_EPOCH);
        let (_, value) = Intercom.sign(&unsigned).remove(0);
        assert_eq!(value, "sha1=effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    }
}
