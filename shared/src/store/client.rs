//! The client of DynamoDB, and the HTTP client that other AWS clients may share.
//!
//! No `aws-config`: it would bring STS, SSO and a reading of every root certificate of the machine, which
//! alone takes two thirds of a function's start. What it would have read from the environment is an
//! argument here.

use std::fmt;
use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedHttpClient};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls;

/// Longest wait for a connection, in milliseconds.
pub const CONNECT_TIMEOUT_MS: u64 = 500;
/// Longest wait for the answer to one attempt, in milliseconds. DynamoDB answers in single digits; the
/// rest is for a cold TLS handshake.
pub const ATTEMPT_TIMEOUT_MS: u64 = 900;
/// Longest pause between the attempts of an operation, in milliseconds; a random part of it is taken. With
/// it an operation ends within two seconds, well inside what the most impatient webhook sender waits. The
/// SDK's own pause, up to a second, would leave the second attempt no time.
pub const BETWEEN_ATTEMPTS_MS: u64 = 100;
/// The same for an engine on this machine.
pub const LOCAL_ATTEMPT_TIMEOUT_MS: u64 = 15_000;
/// Attempts of one operation. Every write is conditional and recognises its own repetition.
pub const ATTEMPTS_MAX: u32 = 2;

/// The certificate authorities that AWS's own endpoints are signed by, see
/// <https://www.amazontrust.com/repository/>: Amazon Root CA 1 to 4, Starfield Services Root G2, and
/// Starfield Root G2.
const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

/// AWS credentials. In a function's environment they do not change as long as it lives.
#[derive(Clone)]
pub struct AwsCredentials {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: String,
    /// `AWS_SESSION_TOKEN`.
    pub session_token: Option<String>,
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AwsCredentials([REDACTED])")
    }
}

impl AwsCredentials {
    /// As the SDK's clients take them.
    pub fn provider(&self) -> Credentials {
        Credentials::new(
            self.access_key_id.clone(),
            self.secret_access_key.clone(),
            self.session_token.clone(),
            None,
            "environment",
        )
    }
}

/// Where the table is and who asks.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// `eu-west-1`.
    pub region: String,
    /// Another endpoint than the region's own: the development server, a local stack.
    pub endpoint: Option<String>,
    /// Who asks.
    pub credentials: AwsCredentials,
    /// Longest wait for the answer to one attempt; an operation may take twice that and a little more.
    pub attempt_timeout_ms: u64,
}

impl ClientSettings {
    /// Settings for AWS itself.
    pub fn new(
        region: impl Into<String>,
        endpoint: Option<String>,
        credentials: AwsCredentials,
    ) -> ClientSettings {
        ClientSettings {
            region: region.into(),
            endpoint,
            credentials,
            attempt_timeout_ms: ATTEMPT_TIMEOUT_MS,
        }
    }

    /// Settings for an engine on this machine, which looks at no credential and may have to share the
    /// processor with a compiler.
    pub fn local(endpoint: impl Into<String>) -> ClientSettings {
        ClientSettings {
            region: "us-east-1".to_owned(),
            endpoint: Some(endpoint.into()),
            credentials: AwsCredentials {
                access_key_id: "local".to_owned(),
                secret_access_key: "local".to_owned(),
                session_token: None,
            },
            attempt_timeout_ms: LOCAL_ATTEMPT_TIMEOUT_MS,
        }
    }
}

/// The HTTP client that AWS's services are reached with, trusting the six roots alone. Share one between
/// all clients: connections are kept open in it. Plain `http` endpoints work through it too.
///
/// # Errors
/// Never with the certificates of this repository; a test holds that.
pub fn http_client() -> Result<SharedHttpClient, ClientError> {
    let roots = tls::TrustStore::empty().with_pem_certificate(AMAZON_ROOTS);
    let context = tls::TlsContext::builder()
        .with_trust_store(roots)
        .build()
        .map_err(|_| ClientError("the root certificates cannot be read"))?;
    Ok(aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(
            tls::rustls_provider::CryptoMode::AwsLc,
        ))
        .tls_context(context)
        .build_https())
}

/// The time limits of an AWS client, from the longest wait for one attempt.
pub fn timeouts(attempt_timeout_ms: u64) -> TimeoutConfig {
    let all_ms = attempt_timeout_ms
        .saturating_mul(ATTEMPTS_MAX.into())
        .saturating_add(BETWEEN_ATTEMPTS_MS);
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(
            CONNECT_TIMEOUT_MS.max(attempt_timeout_ms / 2),
        ))
        .operation_attempt_timeout(Duration::from_millis(attempt_timeout_ms))
        .operation_timeout(Duration::from_millis(all_ms))
        .build()
}

/// The retries of every AWS client.
pub fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(ATTEMPTS_MAX)
        .with_initial_backoff(Duration::from_millis(BETWEEN_ATTEMPTS_MS))
}

/// Why AWS did not do what it was asked. Of a service's error only the code is kept: its text may quote what
/// was sent.
pub(crate) fn reason<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    match error {
        SdkError::ServiceError(service) => service.err().code().unwrap_or("no code").to_owned(),
        SdkError::ConstructionFailure(_) => "the request could not be built".to_owned(),
        SdkError::TimeoutError(_) => "timeout".to_owned(),
        SdkError::DispatchFailure(_) => "no connection".to_owned(),
        _ => "no readable answer".to_owned(),
    }
}

/// A client of DynamoDB.
pub fn dynamodb(settings: &ClientSettings, http: SharedHttpClient) -> aws_sdk_dynamodb::Client {
    let mut config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(settings.region.clone()))
        .credentials_provider(settings.credentials.provider())
        .http_client(http)
        .timeout_config(timeouts(settings.attempt_timeout_ms))
        .retry_config(retries());
    config.set_endpoint_url(settings.endpoint.clone());
    aws_sdk_dynamodb::Client::from_conf(config.build())
}

/// The HTTP client could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ClientError(&'static str);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roots_are_six_and_readable() {
        let pem = String::from_utf8_lossy(AMAZON_ROOTS);
        assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 6);
        assert!(http_client().is_ok());
    }

    #[test]
    fn credentials_are_not_printed() {
        let printed = format!("{:?}", ClientSettings::local("http://127.0.0.1:1"));
        assert!(!printed.contains("access_key_id"), "{printed}");
    }

    fn settings(endpoint: String) -> ClientSettings {
        ClientSettings {
            attempt_timeout_ms: ATTEMPT_TIMEOUT_MS,
            ..ClientSettings::local(endpoint)
        }
    }

    #[test]
    fn the_limits_are_these() {
        let settings = settings("http://127.0.0.1:1".to_owned());
        let http = http_client().unwrap();
        let table = dynamodb(&settings, http.clone());
        let secrets = crate::secrets::client(&settings, http);
        for config in [
            (
                table.config().timeout_config(),
                table.config().retry_config(),
            ),
            (
                secrets.config().timeout_config(),
                secrets.config().retry_config(),
            ),
        ] {
            let (limits, retries) = (config.0.unwrap(), config.1.unwrap());
            let millis = |limit: Option<Duration>| limit.map(|limit| limit.as_millis());
            assert_eq!(millis(limits.connect_timeout()), Some(500));
            assert_eq!(millis(limits.operation_attempt_timeout()), Some(900));
            assert_eq!(millis(limits.operation_timeout()), Some(1900));
            assert_eq!(retries.max_attempts(), 2);
        }
    }

    /// Accepts connections and says nothing; counts them.
    fn silent() -> (
        std::net::SocketAddr,
        std::sync::Arc<std::sync::Mutex<Vec<std::net::TcpStream>>>,
    ) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let held = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let holding = held.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                holding.lock().unwrap().push(stream);
            }
        });
        (address, held)
    }

    /// Over http the attempt's limit ends it, over https the connection's, which TLS is a part of. Either
    /// way the operation is over in time for an answer to the most impatient sender.
    #[tokio::test]
    async fn nobody_is_waited_for_longer_than_the_limits() {
        for (scheme, least_ms, most_ms) in [("http", 1_700, 2_600), ("https", 900, 1_700)] {
            let (address, held) = silent();
            let client = dynamodb(
                &settings(format!("{scheme}://{address}")),
                http_client().unwrap(),
            );
            let begun = std::time::Instant::now();
            let answer = client.list_tables().send().await;
            let took = begun.elapsed().as_millis();
            assert!(answer.is_err());
            assert!((least_ms..most_ms).contains(&took), "{scheme}: {took} ms");
            assert_eq!(held.lock().unwrap().len(), 2, "{scheme}: two attempts");
        }
    }
}
