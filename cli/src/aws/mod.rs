//! AWS as the person at the terminal reaches it: profiles, single sign-on and regions of their own machine.
//! The functions know nothing of this; they are told everything by their environment.

pub mod cloudformation;
pub mod lambda;
pub mod logs;
pub mod samconfig;
pub mod secrets;
mod signed;

use std::fmt;

use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_secretsmanager::config::{ProvideCredentials as _, SharedHttpClient};
use aws_smithy_http_client::tls;
use shared::store::client::{AwsCredentials, ClientSettings};

use self::samconfig::SamConfig;
use crate::error::CliError;

/// Longest wait for the answer to one attempt, in milliseconds: over a slow line, from another continent.
const ATTEMPT_TIMEOUT_MS: u64 = 10_000;

/// A service that commands speak to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The stack's outputs.
    CloudFormation,
    /// The table.
    DynamoDb,
    /// `{stack}/webhooks` and `{stack}/apis`.
    SecretsManager,
    /// What the account may run at once.
    Lambda,
    /// What the doors logged.
    Logs,
}

impl Service {
    /// As in `AWS_ENDPOINT_URL_…`.
    /// <https://docs.aws.amazon.com/sdkref/latest/guide/ss-endpoints-table.html>
    fn variable(self) -> &'static str {
        match self {
            Service::CloudFormation => "AWS_ENDPOINT_URL_CLOUDFORMATION",
            Service::DynamoDb => "AWS_ENDPOINT_URL_DYNAMODB",
            Service::SecretsManager => "AWS_ENDPOINT_URL_SECRETS_MANAGER",
            Service::Lambda => "AWS_ENDPOINT_URL_LAMBDA",
            Service::Logs => "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS",
        }
    }
}

/// Who asks AWS, and where. A command is short: credentials are taken once, at its beginning.
pub struct Session {
    /// `eu-west-1`.
    pub region: String,
    /// The profile that was asked for, for sentences: `AWS_PROFILE`, or samconfig.toml's.
    pub profile: Option<String>,
    credentials: AwsCredentials,
    config: SdkConfig,
    http: SharedHttpClient,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("region", &self.region)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Finds region and credentials: the environment first, then what samconfig.toml says, then the
    /// machine's own configuration.
    ///
    /// # Errors
    /// No region, or no usable credentials, with what to do about it.
    pub async fn open(sam: &SamConfig) -> Result<Session, CliError> {
        let http = http_client()?;
        let asked = variable("AWS_PROFILE").or_else(|| sam.profile.clone());
        one_account(asked.as_deref(), variable("AWS_ACCESS_KEY_ID").is_some())?;
        let mut own_region = ProfileFileRegionProvider::builder();
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http.clone());
        if let Some(profile) = &asked {
            own_region = own_region.profile_name(profile);
            loader = loader.profile_name(profile);
        }
        let named = region(sam).map(Region::new);
        let region = RegionProviderChain::first_try(named).or_else(own_region.build());
        let config = loader.region(region).load().await;
        let region = config.region().ok_or_else(|| {
            CliError::new("no AWS region is set")
                .hint("AWS_REGION=sa-east-1, or region = \"sa-east-1\" in samconfig.toml")
        })?;
        let region = region.to_string();
        let credentials = credentials(&config, asked.as_deref()).await?;
        Ok(Session {
            region,
            profile: asked,
            credentials,
            config,
            http,
        })
    }

    /// How a client of a service is made.
    pub fn settings(&self, service: Service) -> ClientSettings {
        ClientSettings {
            region: self.region.clone(),
            endpoint: self.endpoint(service),
            credentials: self.credentials.clone(),
            attempt_timeout_ms: ATTEMPT_TIMEOUT_MS,
        }
    }

    /// Another address than the region's own, where somebody set one.
    pub fn endpoint(&self, service: Service) -> Option<String> {
        variable(service.variable()).or_else(|| self.config.endpoint_url().map(str::to_owned))
    }

    /// The HTTP client that all services share.
    pub fn http(&self) -> SharedHttpClient {
        self.http.clone()
    }

    /// Who asks.
    pub fn credentials(&self) -> &AwsCredentials {
        &self.credentials
    }
}

/// The region that the environment or samconfig.toml names.
pub fn region(sam: &SamConfig) -> Option<String> {
    variable("AWS_REGION")
        .or_else(|| variable("AWS_DEFAULT_REGION"))
        .or_else(|| sam.region.clone())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Trusts what the machine trusts: a company's proxy may sign with roots of its own.
fn http_client() -> Result<SharedHttpClient, CliError> {
    let context = tls::TlsContext::builder()
        .with_trust_store(tls::TrustStore::default())
        .build()
        .map_err(|error| CliError::new(format!("the root certificates cannot be read: {error}")))?;
    Ok(aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(
            tls::rustls_provider::CryptoMode::AwsLc,
        ))
        .tls_context(context)
        .build_https())
}

async fn credentials(
    config: &SdkConfig,
    profile: Option<&str>,
) -> Result<AwsCredentials, CliError> {
    let provider = config.credentials_provider().ok_or_else(no_credentials)?;
    let found = provider.provide_credentials().await.map_err(|error| {
        let mut why = String::new();
        let mut source: Option<&dyn std::error::Error> = Some(&error);
        while let Some(one) = source {
            why = format!("{why}{}{one}", if why.is_empty() { "" } else { ": " });
            source = one.source();
        }
        explain(&why, profile)
    })?;
    Ok(AwsCredentials {
        access_key_id: found.access_key_id().to_owned(),
        secret_access_key: found.secret_access_key().to_owned(),
        session_token: found.session_token().map(str::to_owned),
    })
}

/// Keys in the environment go before a profile here, and after it in SAM: with both, a deploy and its push could
/// reach two accounts.
fn one_account(profile: Option<&str>, has_keys: bool) -> Result<(), CliError> {
    match profile {
        Some(profile) if has_keys => Err(CliError::new(format!(
            "which AWS account? AWS_ACCESS_KEY_ID is set, and the profile {profile} is asked for"
        ))
        .hint("unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN, or AWS_PROFILE and profile in samconfig.toml")),
        _ => Ok(()),
    }
}

fn no_credentials() -> CliError {
    CliError::new("no AWS credentials are set up on this machine").hint(
        "aws configure sso, or AWS_PROFILE=name, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; --local works on callbell dev",
    )
}

/// What the credentials' chain of causes means for the person at the terminal.
fn explain(why: &str, profile: Option<&str>) -> CliError {
    let flag = profile.map_or(String::new(), |name| format!(" --profile {name}"));
    let low = why.to_lowercase();
    let mut words = low.split(|one: char| !one.is_alphanumeric());
    if words.any(|word| word == "sso") || low.contains("unauthorizedexception") {
        return CliError::new("the AWS sign-in has expired, or never took place")
            .hint(format!("aws sso login{flag}"));
    }
    if let Some(profile) = profile
        && low.contains("profile")
    {
        return CliError::new(format!("the AWS profile {profile} cannot be used: {why}"))
            .hint("aws configure list-profiles shows those of this machine");
    }
    if low.contains("not provided") || low.contains("not loaded") || low.contains("not enabled") {
        return no_credentials();
    }
    CliError::new(format!("no AWS credentials: {why}")).hint(format!(
        "aws sts get-caller-identity{flag} should work first"
    ))
}

/// What a service's refusal means where it is about who asks; `None`: it is about something else. Of AWS's
/// own text only the action that it names is repeated.
fn refused(session: &Session, code: &str, message: &str, action: &str) -> Option<CliError> {
    let flag = session
        .profile
        .as_deref()
        .map_or(String::new(), |name| format!(" --profile {name}"));
    let named = message
        .split_once("perform: ")
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .unwrap_or(action);
    match code {
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => Some(
            CliError::new(format!("AWS does not allow you {named}")).hint(format!(
                "who you are: aws sts get-caller-identity{flag}; your role needs that action"
            )),
        ),
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => Some(
            CliError::new("the AWS credentials have expired")
                .hint(format!("aws sso login{flag}, or new keys")),
        ),
        "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "AuthFailure" => Some(
            CliError::new("AWS does not know these credentials, or their secret key is wrong")
                .hint(format!(
                    "aws sts get-caller-identity{flag} should work first"
                )),
        ),
        "OptInRequired" => Some(
            CliError::new(format!(
                "this AWS account has not enabled the region {}",
                session.region
            ))
            .hint("AWS console, Account, Regions; or another one: AWS_REGION=…"),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_credentials_is_told_apart() {
        let cases = [
            (
                "an error occurred: the SSO token has expired and cannot be refreshed",
                Some("work"),
                "aws sso login --profile work",
            ),
            (
                "the credential provider was not enabled: no providers in chain provided credentials",
                None,
                "aws configure sso",
            ),
            (
                "could not find profile `work`: profile `work` was not defined",
                Some("work"),
                "aws configure list-profiles",
            ),
            (
                "the role is not associated with this account",
                None,
                "aws sts get-caller-identity",
            ),
        ];
        for (why, profile, hint) in cases {
            let error = explain(why, profile);
            let todo = error.todo().unwrap_or_default();
            assert!(todo.contains(hint), "{why}: {error}, {todo}");
        }
    }
}
