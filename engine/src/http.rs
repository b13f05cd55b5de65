//! The HTTP client of the workers and of the command line: one request, one time limit, no hidden retry,
//! no redirect, no proxy.
//!
//! **Roots.** Certificates are checked against Mozilla's list, compiled in as what is left of a
//! certificate once it was read: reading the system's bundle would double the cold start of a Lambda
//! function, and provided.al2023 has another path than other systems. Updating the crate `webpki-roots`
//! updates the list.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

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
    builder(limits)?.build().map_err(|_| ClientError)
}

/// A client for addresses that a file names: it connects to public addresses alone. The check is made where
/// a name is resolved, so nothing can change between the check and the connection. A host that is an
/// address never gets there: see [`is_public_host`].
///
/// # Errors
/// [`ClientError`].
pub fn public_client(limits: Limits) -> Result<reqwest::Client, ClientError> {
    builder(limits)?
        .dns_resolver(Arc::new(PublicAddresses))
        .build()
        .map_err(|_| ClientError)
}

fn builder(limits: Limits) -> Result<reqwest::ClientBuilder, ClientError> {
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls()?)
        .connect_timeout(limits.connect.min(limits.request / 2))
        .timeout(limits.request)
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .user_agent(concat!("callbell-serverless/", env!("CARGO_PKG_VERSION"))))
}

/// A name leads to an address that is not public.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address is not a public one")]
pub struct NotPublic;

/// Resolves names as the system does, and refuses one of which any address is not public: a name that is
/// half inside is no name to send to.
struct PublicAddresses;

impl Resolve for PublicAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            if !found.iter().all(|address| is_public(address.ip())) {
                return Err(NotPublic.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Whether a request failed because of [`NotPublic`].
pub fn was_not_public(error: &reqwest::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<NotPublic>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Whether a host may be connected to: a name, which is checked where it is resolved, or a public address.
pub fn is_public_host(url: &Url) -> bool {
    match url.host_str() {
        None | Some("") => false,
        Some(host) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host.parse().map_or(true, is_public)
        }
    }
}

/// Addresses of clouds that tell machines about themselves and lie among the public ones.
const METADATA: [Ipv4Addr; 1] = [Ipv4Addr::new(168, 63, 129, 16)];

/// Whether an address is somebody's on the public internet. What is not: the special-purpose registries of
/// IANA, <https://www.iana.org/assignments/iana-ipv4-special-registry> and
/// <https://www.iana.org/assignments/iana-ipv6-special-registry>, multicast, and every form of IPv6 that
/// carries an IPv4 address.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        // This network, private use, loopback, link-local (and the clouds' metadata).
        [0 | 10 | 127, ..] | [169, 254, ..] | [192, 168, ..] => true,
        [172, 16..=31, ..] => true,
        // Shared address space of carriers.
        [100, 64..=127, ..] => true,
        // Protocol assignments, documentation, 6to4 relays, benchmarks.
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] => true,
        [198, 18 | 19, ..] => true,
        // Multicast, reserved, broadcast.
        [224..=255, ..] => true,
        _ => METADATA.contains(&address),
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Global unicast is 2000::/3: unspecified, loopback, IPv4-mapped, NAT64 (64:ff9b::/96 and
    // 64:ff9b:1::/48), unique local, link-local and multicast all lie outside of it.
    let special = match address.segments() {
        [(..=0x1fff), ..] | [(0x4000..), ..] => true,
        // Protocol assignments with Teredo, benchmarks and ORCHID; documentation; 6to4.
        [0x2001, (..=0x1ff), ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] => true,
        [0x3fff, (..=0xfff), ..] => true,
        _ => false,
    };
    !special
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_nobodys_on_the_internet_are_refused() {
        let refused = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.0.1",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "3fff:fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for address in refused {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "169.253.1.1",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450::1",
            "3fff:1000::1",
        ];
        for address in public {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn an_address_as_a_host_is_checked_however_it_is_written() {
        let rows = [
            ("https://erp.example.com/x", true),
            ("https://8.8.8.8", true),
            ("https://[2606:4700::1111]", true),
            ("https://127.0.0.1", false),
            ("https://127.1", false),
            ("https://2130706433", false),
            ("https://0x7f.0.0.1", false),
            ("https://0177.0.0.1", false),
            ("https://169.254.169.254/latest", false),
            ("https://[::1]", false),
            ("https://[::ffff:169.254.169.254]", false),
            ("https://[fd00:ec2::254]", false),
        ];
        for (url, expected) in rows {
            assert_eq!(is_public_host(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_connected_to() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let client = public_client(Limits::default()).unwrap();
        let error = client
            .get(format!("http://localhost:{port}/"))
            .send()
            .await
            .unwrap_err();
        assert!(was_not_public(&error), "{error:?}");
        assert!(listener.accept().is_err(), "nobody knocked");
    }
}
