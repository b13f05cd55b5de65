//! The two secrets of a stack in AWS Secrets Manager: JSON, name → list of values.

use std::collections::BTreeMap;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use shared::secrets::{self, Secrets};

use super::{Service, Session, refused};
use crate::error::CliError;

/// Largest text of a secret, in bytes.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html>
const SECRET_BYTES_MAX: usize = 65_536;

/// The secrets of one stack.
#[derive(Debug)]
pub struct Vault<'a> {
    session: &'a Session,
    client: Client,
}

impl<'a> Vault<'a> {
    /// The secrets that this session reaches.
    pub fn new(session: &'a Session) -> Vault<'a> {
        let settings = session.settings(Service::SecretsManager);
        Vault {
            session,
            client: secrets::client(&settings, session.http()),
        }
    }

    /// What is there; `None`: there is no such secret yet.
    ///
    /// # Errors
    /// Secrets Manager refuses or does not answer, or the text is not what commands write.
    pub async fn get(&self, name: &str) -> Result<Option<Secrets>, CliError> {
        match self.client.get_secret_value().secret_id(name).send().await {
            Ok(answer) => Secrets::from_json(answer.secret_string().unwrap_or_default())
                .map(Some)
                .map_err(|error| {
                    CliError::new(format!("{name}: {error}"))
                        .hint("somebody else wrote it: look at it in AWS's console")
                }),
            Err(error) if code(&error) == "ResourceNotFoundException" => Ok(None),
            Err(error) => Err(self.explain(name, "GetSecretValue", &error)),
        }
    }

    /// Writes a secret, making it where there is none.
    ///
    /// # Errors
    /// It is too large, or Secrets Manager refuses or does not answer.
    pub async fn put(&self, name: &str, values: &Secrets, exists: bool) -> Result<(), CliError> {
        let text = to_json(values);
        if text.len() > SECRET_BYTES_MAX {
            return Err(CliError::new(format!(
                "{name}: {} bytes, and AWS takes {SECRET_BYTES_MAX}",
                text.len()
            )));
        }
        if exists {
            let request = self.client.put_secret_value().secret_id(name);
            let put = request.secret_string(text).send().await;
            return put
                .map(|_| ())
                .map_err(|error| self.explain(name, "PutSecretValue", &error));
        }
        let request =
            self.client.create_secret().name(name).description(
                "callbell-serverless: names and values, written by callbell secrets push",
            );
        let made = request.secret_string(text).send().await;
        made.map(|_| ())
            .map_err(|error| self.explain(name, "CreateSecret", &error))
    }

    fn explain<E: ProvideErrorMetadata, R>(
        &self,
        name: &str,
        action: &str,
        error: &SdkError<E, R>,
    ) -> CliError {
        let code = code(error);
        let service = error.as_service_error();
        let message = service.and_then(|service| service.message());
        let message = message.unwrap_or_default();
        if code == "InvalidRequestException" && message.contains("deletion") {
            return CliError::new(format!("the secret {name} is marked for deletion")).hint(
                format!("aws secretsmanager restore-secret --secret-id {name}"),
            );
        }
        let action = format!("secretsmanager:{action}");
        refused(self.session, code, message, &action).unwrap_or_else(|| {
            let why = if service.is_some() { code } else { "no answer" };
            CliError::new(format!("Secrets Manager: {action} of {name}: {why}"))
        })
    }
}

fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> &str {
    let service = error.as_service_error();
    service
        .and_then(ProvideErrorMetadata::code)
        .unwrap_or_default()
}

/// Name → list of values, sorted by name.
fn to_json(values: &Secrets) -> String {
    let plain: BTreeMap<&str, Vec<&str>> = values
        .names()
        .map(|name| {
            let list = values.get(name).iter().map(|value| value.expose());
            (name, list.collect())
        })
        .collect();
    serde_json::to_string(&plain).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::secrets::Secret;

    #[test]
    fn what_is_written_is_what_functions_read() {
        let mut values = Secrets::default();
        values.insert("shopify", Secret::new("new\"1"));
        values.insert("shopify", Secret::new("old"));
        values.insert("a", Secret::new("x"));
        let text = to_json(&values);
        assert_eq!(text, r#"{"a":["x"],"shopify":["new\"1","old"]}"#);
        assert_eq!(Secrets::from_json(&text).unwrap(), values);
    }
}
