//! Access tokens that this process fetched with a longer-lived secret, by whose and for what.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use shared::secrets::Secret;

/// A token is fetched anew so long before it ends: a request may take that long.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// The tokens. One a process.
#[derive(Default)]
pub struct Tokens(Mutex<HashMap<String, Token>>);

/// What a token endpoint gave.
#[derive(Clone)]
pub struct Token {
    /// The token itself.
    pub value: Secret,
    /// Until when it is good.
    pub until: Timestamp,
    /// Where its requests go, where the endpoint says so (Salesforce's instance).
    pub host: Option<String>,
}

impl Tokens {
    /// A token that is good for a request now. `key`: the system and the fingerprint of the secret.
    pub fn get(&self, key: &str, now: Timestamp) -> Option<Token> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let token = tokens.get(key)?;
        (now.saturating_add(MARGIN).ok()? < token.until).then(|| token.clone())
    }

    /// Remembers one.
    pub fn put(&self, key: &str, token: Token) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(key.to_owned(), token);
    }

    /// Forgets one that was refused.
    pub fn forget(&self, key: &str) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.remove(key);
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens([REDACTED])")
    }
}
