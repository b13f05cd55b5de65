//! HMAC-SHA256 over the raw bytes, in base64 or hex, as several providers sign.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{KEY, Refusal};
use crate::raw::Raw;
use crate::secrets::Secret;

/// Most digits of a signature's time.
const TIME_DIGITS_MAX: usize = 12;

/// The signature of `parts`, one after the other, under `key`, or `None` where no key can be made of it
/// (never for HMAC).
fn mac(key: &[u8], parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    for part in parts {
        mac.update(part);
    }
    Some(mac)
}

/// Base64 of the HMAC-SHA256 of `body`.
pub(super) fn hmac_base64(key: &str, body: &[u8]) -> String {
    mac(key.as_bytes(), &[body])
        .map(|mac| STANDARD.encode(mac.finalize().into_bytes()))
        .unwrap_or_default()
}

/// The bytes of a signature in standard base64 with padding; `None` where it is none, or not as long
/// as a SHA-256 is.
pub(super) fn decode(signature: &str) -> Option<Vec<u8>> {
    STANDARD
        .decode(signature.trim())
        .ok()
        .filter(|bytes| bytes.len() == 32)
}

/// Hex of the HMAC-SHA256 of `parts`, one after the other.
pub(super) fn hmac_hex(key: &str, parts: &[&[u8]]) -> String {
    mac(key.as_bytes(), parts)
        .map(|mac| hex::encode(mac.finalize().into_bytes()))
        .unwrap_or_default()
}

/// The bytes of a signature in hex; `None` where it is none, or not as long as a SHA-256 is.
pub(super) fn decode_hex(signature: &str) -> Option<Vec<u8>> {
    hex::decode(signature.trim())
        .ok()
        .filter(|bytes| bytes.len() == 32)
}

/// Whether the address's `?key=` is one of `secrets`. Digests are compared, all of them, so that the time
/// tells neither how long a secret is nor how many there are.
pub(super) fn keyed(raw: &Raw, secrets: &[Secret]) -> Result<(), Refusal> {
    let values = form_urlencoded::parse(raw.query.as_bytes());
    let mut keys = values.filter(|(name, _)| name == KEY).map(|(_, key)| key);
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(Refusal::NoKey);
    };
    is_one_of(key.as_bytes(), secrets)
}

/// Whether `given` is one of `secrets`, compared in constant time. An empty secret proves nothing.
pub(super) fn is_one_of(given: &[u8], secrets: &[Secret]) -> Result<(), Refusal> {
    let given = Sha256::digest(given);
    let matches = |secret: &&Secret| {
        let own = secret.expose().as_bytes();
        !own.is_empty() && bool::from(Sha256::digest(own).ct_eq(&given))
    };
    match secrets.iter().filter(matches).count() {
        0 => Err(Refusal::NoMatch {
            secrets: secrets.len(),
        }),
        _ => Ok(()),
    }
}

/// Compares in constant time. An empty key proves nothing and matches nothing.
pub(super) fn matches(key: &str, body: &[u8], signature: &[u8]) -> bool {
    matches_parts(key, &[body], signature)
}

/// The same where several parts, one after the other, were signed.
pub(super) fn matches_parts(key: &str, parts: &[&[u8]], signature: &[u8]) -> bool {
    !key.is_empty()
        && mac(key.as_bytes(), parts).is_some_and(|mac| mac.verify_slice(signature).is_ok())
}

/// `t=1773252000,v1=<hex>`: the HMAC-SHA256 of `t`, a point and the raw body under the key as it is, though
/// it may look like base64.
pub(super) struct Dated<'a> {
    /// The time as received: so it was signed.
    time: &'a str,
    at_s: i64,
    bytes: Vec<u8>,
}

impl Dated<'_> {
    /// `None`: a part is missing, there twice, or not in its form. Parts of other names may be added.
    pub(super) fn parse(value: &str) -> Option<Dated<'_>> {
        let (mut time, mut hex) = (None, None);
        for part in value.split(',') {
            let Some((name, value)) = part.trim().split_once('=') else {
                continue;
            };
            let place = match name.trim() {
                "t" => &mut time,
                "v1" => &mut hex,
                _ => continue,
            };
            if place.replace(value.trim()).is_some() {
                return None;
            }
        }
        let time = time.filter(|time| {
            (1..=TIME_DIGITS_MAX).contains(&time.len())
                && time.bytes().all(|byte| byte.is_ascii_digit())
        })?;
        Some(Dated {
            time,
            at_s: time.parse().ok()?,
            bytes: decode_hex(hex?)?,
        })
    }

    /// Whether `key` made it, compared in constant time.
    pub(super) fn matches(&self, key: &str, body: &[u8]) -> bool {
        matches_parts(key, &[self.time.as_bytes(), b".", body], &self.bytes)
    }

    /// How old it is, in seconds; negative where it is from the future.
    pub(super) fn age_s(&self, now: Timestamp) -> i64 {
        now.as_second().saturating_sub(self.at_s)
    }

    /// The header's value for this body.
    pub(super) fn of(key: &str, body: &[u8], now: Timestamp) -> String {
        let time = now.as_second().to_string();
        let hex = hmac_hex(key, &[time.as_bytes(), b".", body]);
        format!("t={time},v1={hex}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_s_parts_come_once_each_in_any_order() {
        let hex = "ab".repeat(32);
        for good in [
            format!("t=1773252000,v1={hex}"),
            format!(" v1={hex} , v2=x,t=1773252000 "),
        ] {
            let signature = Dated::parse(&good).unwrap();
            assert_eq!(
                (signature.time, signature.at_s),
                ("1773252000", 1_773_252_000)
            );
        }
        assert_eq!(
            Dated::parse(&format!("t=007,v1={hex}")).unwrap().time,
            "007"
        );
        for bad in [
            format!("t=1,v1={hex},v1={hex}"),
            format!("t=1,t=1,v1={hex}"),
            format!("t=-1,v1={hex}"),
            format!("t=,v1={hex}"),
            format!("t=1773252000000,v1={hex}"),
            format!("v1={hex}"),
            "t=1".to_owned(),
            "t=1,v1=".to_owned(),
            "t=1,v1=abcd".to_owned(),
        ] {
            assert!(Dated::parse(&bad).is_none(), "{bad}");
        }
    }
}
