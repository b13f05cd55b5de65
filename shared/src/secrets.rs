//! Webhook secrets and API tokens: a name leads to a list of values, all accepted (rotation).

use std::collections::BTreeMap;
use std::fmt;

use aws_sdk_secretsmanager::config::{BehaviorVersion, Region, SharedHttpClient};
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use serde::{Deserialize, Deserializer};

use crate::store::client::{ClientSettings, reason, retries, timeouts};

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
        self.0
            .iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(name, _)| name.as_str())
    }

    /// `loja-it 9f2c c01d, shopify 77ab`: every name that has values, with their fingerprints.
    pub fn listed(&self) -> String {
        let one = |name: &str| {
            let values = self.get(name).iter().map(Secret::fingerprint);
            std::iter::once(name.to_owned())
                .chain(values)
                .collect::<Vec<_>>()
                .join(" ")
        };
        self.names().map(one).collect::<Vec<_>>().join(", ")
    }

    /// Reads `{"shopify": "…", "loja-it": ["new", "old"]}`.
    ///
    /// # Errors
    /// [`SecretsError::Malformed`], which quotes nothing.
    pub fn from_json(json: &str) -> Result<Secrets, SecretsError> {
        serde_json::from_str(json).map_err(|_| SecretsError::Malformed)
    }

    /// Gives a name these values and no others.
    pub fn set(&mut self, name: impl Into<String>, values: Vec<Secret>) {
        self.0.insert(name.into(), values);
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
            list.into_iter()
                .filter(|value| !value.is_empty())
                .map(Secret)
                .collect()
        };
        Ok(Secrets(
            raw.into_iter()
                .map(|(name, list)| (name, wrap(values(list))))
                .collect(),
        ))
    }
}

/// Where secrets come from.
#[derive(Clone)]
pub enum SecretsProvider {
    /// These: the development server and tests.
    Fixed(Secrets),
    /// One secret of AWS Secrets Manager, whose text is JSON, name → a value or a list of values.
    Manager {
        /// Who asks.
        client: aws_sdk_secretsmanager::Client,
        /// `{stack}/webhooks`.
        name: String,
    },
}

/// Why there are no secrets. Quotes none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    /// Secrets Manager did not answer, or refused.
    #[error("Secrets Manager: {0}")]
    Unavailable(String),
    /// The secret's text is no JSON of names and values.
    #[error("the secret is no JSON of names and values")]
    Malformed,
}

impl SecretsProvider {
    /// Reads them. A secret that was never made is one without names.
    ///
    /// # Errors
    /// What Secrets Manager reports, or a text that is no JSON.
    pub async fn load(&self) -> Result<Secrets, SecretsError> {
        let (client, name) = match self {
            SecretsProvider::Fixed(secrets) => return Ok(secrets.clone()),
            SecretsProvider::Manager { client, name } => (client, name),
        };
        match client.get_secret_value().secret_id(name).send().await {
            Ok(answer) => Secrets::from_json(answer.secret_string().unwrap_or_default()),
            Err(error) if is_missing(&error) => Ok(Secrets::default()),
            Err(error) => Err(SecretsError::Unavailable(reason(&error))),
        }
    }
}

impl fmt::Debug for SecretsProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretsProvider::Fixed(secrets) => f.debug_tuple("Fixed").field(secrets).finish(),
            SecretsProvider::Manager { name, .. } => f
                .debug_struct("Manager")
                .field("name", name)
                .finish_non_exhaustive(),
        }
    }
}

fn is_missing<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    let service = error.as_service_error();
    service.and_then(ProvideErrorMetadata::code) == Some("ResourceNotFoundException")
}

/// A client of Secrets Manager, with the time limits of the table's.
pub fn client(settings: &ClientSettings, http: SharedHttpClient) -> aws_sdk_secretsmanager::Client {
    let mut config = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(settings.region.clone()))
        .credentials_provider(settings.credentials.provider())
        .http_client(http)
        .timeout_config(timeouts(settings.attempt_timeout_ms))
        .retry_config(retries());
    config.set_endpoint_url(settings.endpoint.clone());
    aws_sdk_secretsmanager::Client::from_conf(config.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_value_or_a_list() {
        let secrets =
            Secrets::from_json(r#"{"shopify": "a", "loja-it": ["b", "", "c"], "none": ""}"#);
        let secrets = secrets.expect("readable");
        assert_eq!(secrets.get("shopify"), [Secret::new("a")]);
        assert_eq!(secrets.get("loja-it"), [Secret::new("b"), Secret::new("c")]);
        assert_eq!(
            (secrets.get("none"), secrets.get("absent")),
            (&[][..], &[][..])
        );
        assert_eq!(secrets.names().collect::<Vec<_>>(), ["loja-it", "shopify"]);
        let listed = secrets.listed();
        assert!(
            listed.starts_with("loja-it ") && listed.contains(", shopify ca97"),
            "{listed}"
        );
        assert_eq!(
            Secrets::from_json(r#"{"shopify": 5}"#),
            Err(SecretsError::Malformed)
        );
    }

    #[test]
    fn nothing_prints_a_secret() {
        let secrets = Secrets::from_json(r#"{"shopify": "shpss_value"}"#).expect("readable");
        let provider = SecretsProvider::Fixed(secrets);
        assert!(!format!("{provider:?}").contains("shpss"));
    }
}
