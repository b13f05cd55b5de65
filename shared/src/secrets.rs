//! Webhook secrets and API tokens: a name leads to a list of values, all accepted (rotation).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer};

/// One secret value. Its `Debug` shows the fingerprint alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The value itself; never into a log, an error or an answer.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The first four hex digits of the value's SHA-256: enough to tell two secrets apart in a log line.
    pub fn fingerprint(&self) -> String {
        use sha2::{Digest, Sha256};
        let digest = hex::encode(Sha256::digest(self.0.as_bytes()));
        digest.chars().take(4).collect()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[REDACTED {}]", self.fingerprint())
    }
}

/// Name → values. JSON and TOML accept a value or a list of values a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<String, Vec<Secret>>);

impl Secrets {
    /// The values of `name`; empty values are none. An absent name is an empty list.
    pub fn get(&self, name: &str) -> &[Secret] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Every name that has a value.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, values)| !values.is_empty()).map(|(name, _)| name.as_str())
    }

    /// Adds a value to a name.
    pub fn insert(&mut self, name: impl Into<String>, value: Secret) {
        self.0.entry(name.into()).or_default().push(value);
    }
}

impl<'de> Deserialize<'de> for Secrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Values {
            One(String),
            Many(Vec<String>),
        }
        let raw = BTreeMap::<String, Values>::deserialize(deserializer)?;
        let values = |values| match values {
            Values::One(value) => vec![value],
            Values::Many(values) => values,
        };
        let wrap = |list: Vec<String>| {
            list.into_iter().filter(|value| !value.is_empty()).map(Secret).collect()
        };
        Ok(Secrets(raw.into_iter().map(|(name, list)| (name, wrap(values(list)))).collect()))
    }
}
