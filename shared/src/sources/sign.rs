//! HMAC-SHA256 over the raw bytes in base64, as several providers sign.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The signature of `body` under `key`, or `None` where no key can be made of it (never for HMAC).
fn mac(key: &[u8], body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(body);
    Some(mac)
}

/// Base64 of the HMAC-SHA256 of `body`.
pub(super) fn hmac_base64(key: &str, body: &[u8]) -> String {
    mac(key.as_bytes(), body)
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

/// Compares in constant time. An empty key proves nothing and matches nothing.
pub(super) fn matches(key: &str, body: &[u8], signature: &[u8]) -> bool {
    !key.is_empty()
        && mac(key.as_bytes(), body).is_some_and(|mac| mac.verify_slice(signature).is_ok())
}
