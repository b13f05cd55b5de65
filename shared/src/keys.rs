//! Public keys of those who sign with a private one: Google's, of its identity tokens.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Keys by their id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKeys(pub BTreeMap<String, RsaKey>);

/// An RSA key, as a JSON Web Key has it.
/// <https://www.rfc-editor.org/rfc/rfc7518#section-6.3.1>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RsaKey {
    /// The modulus, base64url without padding.
    pub n: String,
    /// The exponent, likewise.
    pub e: String,
}

impl PublicKeys {
    /// None at all.
    pub fn none() -> &'static PublicKeys {
        static NONE: PublicKeys = PublicKeys(BTreeMap::new());
        &NONE
    }
}
