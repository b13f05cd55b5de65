//! HMAC-SHA256 over the raw bytes, in base64 or hex, as several providers sign.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

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

/// Compares in constant time. An empty key proves nothing and matches nothing.
pub(super) fn matches(key: &str, body: &[u8], signature: &[u8]) -> bool {
    matches_parts(key, &[body], signature)
}

/// The same where several parts, one after the other, were signed.
pub(super) fn matches_parts(key: &str, parts: &[&[u8]], signature: &[u8]) -> bool {
    !key.is_empty()
        && mac(key.as_bytes(), parts).is_some_and(|mac| mac.verify_slice(signature).is_ok())
}
