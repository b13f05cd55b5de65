//! The one place that reads the environment, once, at start. Everything else gets settings.

use std::fmt;

use aws_sdk_secretsmanager::config::SharedHttpClient;
use jiff::Timestamp;

use crate::secrets::{self, Secrets, SecretsProvider};
use crate::store::client::{ATTEMPT_TIMEOUT_MS, AwsCredentials, ClientSettings};

/// What a function is told by its environment: by template.yaml, and by Lambda itself.
#[derive(Clone)]
pub struct Environment {
    /// `TABLE_NAME`.
    pub table: String,
    /// `AWS_REGION`, else `AWS_DEFAULT_REGION`.
    pub region: String,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`.
    pub credentials: AwsCredentials,
    /// `AWS_ENDPOINT_URL_DYNAMODB`, else `AWS_ENDPOINT_URL`: the development server, a local stack.
    pub dynamodb_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_SECRETS_MANAGER`, else `AWS_ENDPOINT_URL`.
    pub secrets_manager_endpoint: Option<String>,
    /// `WEBHOOK_SECRETS`, of the doors.
    pub webhook_secrets: Option<SecretsAt>,
    /// `API_SECRETS`, of the workers.
    pub api_secrets: Option<SecretsAt>,
    /// `CALLBELL_API_URL`: a stand-in instead of Callbell's own API.
    pub callbell_url: Option<String>,
    /// `PROVIDERS_API_URL`: a stand-in for the APIs of all other systems, under which `{host}/{path}`
    /// answers.
    pub providers_url: Option<String>,
    /// `STACK_NAME`: what metrics are told apart by. Without it none are printed.
    pub stack: Option<String>,
    /// `SEND_NOTHING_BEFORE`, RFC 3339: the table was restored from a backup, and what was due before this
    /// instant may have been sent already.
    pub send_nothing_before: Option<Timestamp>,
}

/// Where a variable says that secrets are.
#[derive(Clone)]
pub enum SecretsAt {
    /// The name of a secret of AWS Secrets Manager: `{stack}/webhooks`.
    Manager(String),
    /// The secrets themselves, where the variable holds JSON: to invoke one function on one's own machine.
    Here(Secrets),
}

/// What is wrong with the environment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// A variable is not set or empty.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// A variable holds JSON that names no secrets.
    #[error("the environment variable {0} is neither a secret's name nor JSON of names and values")]
    Malformed(&'static str),
    /// A variable holds no instant.
    #[error("the environment variable {0} is no instant such as 2026-11-22T10:00:00Z")]
    NoInstant(&'static str),
}

impl Environment {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// The first variable that is missing or malformed.
    pub fn read() -> Result<Environment, EnvError> {
        Environment::from(|name| std::env::var(name).ok())
    }

    /// Reads an environment; an empty variable counts as none.
    ///
    /// # Errors
    /// As [`Environment::read`].
    pub fn from(get: impl Fn(&str) -> Option<String>) -> Result<Environment, EnvError> {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let need = |name: &'static str| get(name).ok_or(EnvError::Missing(name));
        let secrets = |name: &'static str| match get(name) {
            Some(json) if json.trim_start().starts_with('{') => Secrets::from_json(&json)
                .map(|secrets| Some(SecretsAt::Here(secrets)))
                .map_err(|_| EnvError::Malformed(name)),
            other => Ok(other.map(SecretsAt::Manager)),
        };
        let instant = |name: &'static str| match get(name) {
            Some(text) => text
                .trim()
                .parse()
                .map(Some)
                .map_err(|_| EnvError::NoInstant(name)),
            None => Ok(None),
        };
        let endpoint = || get("AWS_ENDPOINT_URL");
        Ok(Environment {
            table: need("TABLE_NAME")?,
            region: get("AWS_REGION")
                .or_else(|| get("AWS_DEFAULT_REGION"))
                .ok_or(EnvError::Missing("AWS_REGION"))?,
            credentials: AwsCredentials {
                access_key_id: need("AWS_ACCESS_KEY_ID")?,
                secret_access_key: need("AWS_SECRET_ACCESS_KEY")?,
                session_token: get("AWS_SESSION_TOKEN"),
            },
            dynamodb_endpoint: get("AWS_ENDPOINT_URL_DYNAMODB").or_else(endpoint),
            secrets_manager_endpoint: get("AWS_ENDPOINT_URL_SECRETS_MANAGER").or_else(endpoint),
            webhook_secrets: secrets("WEBHOOK_SECRETS")?,
            api_secrets: secrets("API_SECRETS")?,
            callbell_url: get("CALLBELL_API_URL"),
            providers_url: get("PROVIDERS_API_URL"),
            stack: get("STACK_NAME"),
            send_nothing_before: instant("SEND_NOTHING_BEFORE")?,
        })
    }

    /// Where the table is and who asks.
    pub fn dynamodb(&self) -> ClientSettings {
        self.client(self.dynamodb_endpoint.clone())
    }

    /// Where the doors' secrets come from.
    ///
    /// # Errors
    /// [`EnvError::Missing`] where the function was not told.
    pub fn webhook_secrets(&self, http: SharedHttpClient) -> Result<SecretsProvider, EnvError> {
        self.provider(self.webhook_secrets.as_ref(), "WEBHOOK_SECRETS", http)
    }

    /// Where the workers' secrets come from.
    ///
    /// # Errors
    /// [`EnvError::Missing`] where the function was not told.
    pub fn api_secrets(&self, http: SharedHttpClient) -> Result<SecretsProvider, EnvError> {
        self.provider(self.api_secrets.as_ref(), "API_SECRETS", http)
    }

    fn provider(
        &self,
        at: Option<&SecretsAt>,
        variable: &'static str,
        http: SharedHttpClient,
    ) -> Result<SecretsProvider, EnvError> {
        match at {
            None => Err(EnvError::Missing(variable)),
            Some(SecretsAt::Here(secrets)) => Ok(SecretsProvider::Fixed(secrets.clone())),
            Some(SecretsAt::Manager(name)) => Ok(SecretsProvider::Manager {
                client: secrets::client(&self.client(self.secrets_manager_endpoint.clone()), http),
                name: name.clone(),
            }),
        }
    }

    fn client(&self, endpoint: Option<String>) -> ClientSettings {
        ClientSettings {
            region: self.region.clone(),
            endpoint,
            credentials: self.credentials.clone(),
            attempt_timeout_ms: ATTEMPT_TIMEOUT_MS,
        }
    }
}

impl fmt::Debug for SecretsAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretsAt::Manager(name) => f.write_str(name),
            SecretsAt::Here(_) => f.write_str("given in the environment"),
        }
    }
}

impl fmt::Debug for Environment {
    /// What is connected to what, without a credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("table", &self.table)
            .field("region", &self.region)
            .field("dynamodb_endpoint", &self.dynamodb_endpoint)
            .field("webhook_secrets", &self.webhook_secrets)
            .field("api_secrets", &self.api_secrets)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(extra: &[(&str, &str)]) -> Result<Environment, EnvError> {
        let base = [
            ("TABLE_NAME", "orders"),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "key-value"),
            ("AWS_SESSION_TOKEN", ""),
        ];
        Environment::from(|name| {
            let find = |list: &[(&str, &str)]| {
                list.iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| (*value).to_owned())
            };
            find(extra).or_else(|| find(&base))
        })
    }

    #[test]
    fn the_service_s_own_endpoint_goes_first() {
        let both = [
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:4570"),
            ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:8000"),
        ];
        let environment = environment(&both).expect("complete");
        assert_eq!(
            environment.dynamodb_endpoint.as_deref(),
            Some("http://127.0.0.1:8000")
        );
        assert_eq!(
            environment.secrets_manager_endpoint.as_deref(),
            Some("http://127.0.0.1:4570")
        );
        assert_eq!(environment.credentials.session_token, None);
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(
            environment(&[("TABLE_NAME", "")]).err(),
            Some(EnvError::Missing("TABLE_NAME"))
        );
        assert_eq!(
            environment(&[("API_SECRETS", "{")]).err(),
            Some(EnvError::Malformed("API_SECRETS"))
        );
    }

    #[test]
    fn an_instant_is_one_or_the_start_fails() {
        let at = |text: &str| {
            environment(&[("SEND_NOTHING_BEFORE", text)])
                .map(|environment| environment.send_nothing_before)
        };
        assert_eq!(at(""), Ok(None));
        assert_eq!(
            at("2026-11-22T07:00:00-03:00"),
            Ok("2026-11-22T10:00:00Z".parse().ok())
        );
        for text in ["2026-11-22", "2026-11-22T10:00:00", "yesterday"] {
            assert_eq!(
                at(text),
                Err(EnvError::NoInstant("SEND_NOTHING_BEFORE")),
                "{text}"
            );
        }
    }

    #[test]
    fn secrets_may_be_given_and_are_never_printed() {
        let environment =
            environment(&[("WEBHOOK_SECRETS", r#"{"shopify":"sh-value"}"#)]).expect("complete");
        assert!(matches!(
            environment.webhook_secrets,
            Some(SecretsAt::Here(_))
        ));
        let printed = format!("{environment:?}");
        assert!(
            !printed.contains("value") && !printed.contains("AKID"),
            "{printed}"
        );
    }
}
