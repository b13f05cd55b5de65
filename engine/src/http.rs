//! The HTTP client of the workers and of the command line: one request, one time limit, no hidden retry,
//! no redirect, no proxy.
//!
//! **Roots.** Certificates are checked against Mozilla's list, compiled in as what is left of a
//! certificate once it was read: reading the system's bundle would double the cold start of a Lambda
//! function, and provided.al2023 has another path than other systems. Updating the crate `webpki-roots`
//! updates the list.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

/// Longest that one request may take, names and TLS included.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest that a connection may take. Below [`REQUEST_TIMEOUT`], so that a request that ran out of time
/// before any byte left is told apart.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// Longest `Retry-After` that is believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// How long a request may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Name, TCP and TLS together. Has to be below `request`.
    pub connect: Duration,
    /// Everything.
    pub request: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connect: CONNECT_TIMEOUT,
            request: REQUEST_TIMEOUT,
        }
    }
}

/// TLS could not be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the HTTP client cannot be made")]
pub struct ClientError;

/// A client. Making one costs a table of root certificates: make one and clone it.
///
/// # Errors
/// [`ClientError`].
pub fn client(limits: Limits) -> Result<reqwest::Client, ClientError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls()?)
        .connect_timeout(limits.connect.min(limits.request / 2))
        .timeout(limits.request)
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .user_agent(concat!("callbell-serverless/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|_| ClientError)
}

/// TLS 1.2 and 1.3 by the one provider that the AWS clients have too, for HTTP/1.1.
pub(crate) fn tls() -> Result<rustls::ClientConfig, ClientError> {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| ClientError)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Whether a request may go there: https, or plain http on this machine.
pub fn is_allowed(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// `Retry-After` in seconds, as far as it is believed.
pub fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let text = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?;
    let seconds = text.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}
