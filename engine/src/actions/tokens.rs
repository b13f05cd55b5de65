//! What this process remembers of other systems: access tokens that it fetched with a longer-lived secret,
//! by whose and for what, and how often it asked lately.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use shared::secrets::Secret;

/// A token is fetched anew so long before it ends: a request may take that long.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// For how long a request counts.
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// The tokens. One a process.
#[derive(Default)]
pub struct Tokens {
    tokens: Mutex<HashMap<String, Token>>,
    asked: Mutex<HashMap<String, VecDeque<Timestamp>>>,
}

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
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let token = tokens.get(key)?;
        (now.saturating_add(MARGIN).ok()? < token.until).then(|| token.clone())
    }

    /// Remembers one.
    pub fn put(&self, key: &str, token: Token) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(key.to_owned(), token);
    }

    /// Forgets one that was refused.
    pub fn forget(&self, key: &str) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.remove(key);
    }

    /// Counts `requests` of now under `key`, of which a system takes `most` a minute.
    ///
    /// # Errors
    /// That would be more: after which time there is room. Nothing is counted then.
    pub fn pace(
        &self,
        key: &str,
        now: Timestamp,
        requests: usize,
        most: usize,
    ) -> Result<(), Duration> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = asked.entry(key.to_owned()).or_default();
        let counts = |at: &Timestamp| now.duration_since(*at) < MINUTE;
        while asked.front().is_some_and(|first| !counts(first)) {
            asked.pop_front();
        }
        let over = asked.len().saturating_add(requests).saturating_sub(most);
        if over > 0 {
            let leaves = asked.get(over.saturating_sub(1)).copied().unwrap_or(now);
            let wait = MINUTE.saturating_sub(now.duration_since(leaves));
            return Err(wait.try_into().unwrap_or_default());
        }
        asked.extend(std::iter::repeat_n(now, requests));
        Ok(())
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens([REDACTED])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_so_many_a_minute() {
        let tokens = Tokens::default();
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        assert_eq!(tokens.pace("a", at(0), 2, 5), Ok(()));
        assert_eq!(tokens.pace("a", at(10), 3, 5), Ok(()));
        assert_eq!(tokens.pace("a", at(20), 2, 5), Err(Duration::from_secs(40)));
        assert_eq!(tokens.pace("a", at(20), 3, 5), Err(Duration::from_secs(50)));
        assert_eq!(tokens.pace("b", at(20), 5, 5), Ok(()));
        assert_eq!(tokens.pace("a", at(60), 2, 5), Ok(()));
        assert_eq!(tokens.pace("a", at(60), 1, 5), Err(Duration::from_secs(10)));
    }
}
