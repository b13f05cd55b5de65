//! The APIs of other systems than Callbell: where they are, and one request to one of them.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use serde_json::Value;

use crate::http::{
    ClientError, Limits, client, is_allowed, is_public_host, public_client, retry_after,
    was_not_public,
};

/// Largest answer that is read, in bytes: a page of 2,500 calendar events.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Every provider's API, or one stand-in for all of them. Cheap to clone; clones share the HTTP client.
#[derive(Clone)]
pub struct Apis {
    http: reqwest::Client,
    /// For addresses that a file names. Made when one is needed: it costs a table of root certificates.
    public: Arc<OnceLock<Option<reqwest::Client>>>,
    /// Under which `{host}/{path}` every API answers.
    stand_in: Option<Url>,
}

/// Why no [`Apis`] can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApisError {
    /// Neither https nor loopback.
    #[error(
        "the address that stands in for the providers' APIs must be https, or http on this machine"
    )]
    Address,
    /// TLS could not be set up.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The HTTP method.
    pub method: Method,
    /// `api.calendly.com`; the port too where a shop has one.
    pub host: &'a str,
    /// The parts of the path, each as it is: they are escaped here.
    pub path: &'a [&'a str],
    /// Name and value, escaped here.
    pub query: &'a [(&'a str, String)],
    /// How it proves itself.
    pub auth: Auth<'a>,
    /// What it carries.
    pub body: Body<'a>,
}

/// One request to an address that the user's file names: any host, over https, at a public address.
#[derive(Clone)]
pub struct Outgoing<'a> {
    /// The HTTP method.
    pub method: Method,
    /// Where to.
    pub url: &'a Url,
    /// Name and value.
    pub headers: &'a [(&'a str, &'a str)],
    /// The bytes.
    pub body: &'a [u8],
    /// Longest answer that is read, in bytes; 0: the status is enough.
    pub answer_bytes_max: usize,
    /// How long it may take where that is not the client's own limit.
    pub timeout: Option<Duration>,
}

impl fmt::Debug for Outgoing<'_> {
    /// The method alone: addresses and headers may hold keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// How a request proves itself. Not printed.
#[derive(Clone, Copy)]
pub enum Auth<'a> {
    /// Not at all.
    None,
    /// `Authorization: Bearer`.
    Bearer(&'a str),
    /// `Authorization: Basic`.
    Basic(&'a str, &'a str),
    /// A header of the provider's own.
    Header(&'static str, &'a str),
}

impl fmt::Debug for Auth<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// What a request carries.
#[derive(Clone, Debug)]
pub enum Body<'a> {
    /// Nothing.
    None,
    /// JSON.
    Json(&'a Value),
    /// A form, as OAuth's token endpoints want it.
    Form(&'a [(&'a str, &'a str)]),
}

/// What was answered, whatever the status.
#[derive(Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`, as far as it is believed.
    pub retry_after: Option<Duration>,
    /// The headers: limits that a provider says in its own.
    pub headers: HeaderMap,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Reply {
    /// 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header, where it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl fmt::Debug for Reply {
    /// The status alone: the body may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// No whole answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// The request could not be made: a host that is none, a header that no header may be.
    #[error("the request cannot be made")]
    Malformed,
    /// No connection: nothing left.
    #[error("no connection")]
    NotConnected,
    /// The request may have been carried out.
    #[error("no whole answer in time")]
    NoAnswer,
    /// The address is somebody's own network.
    #[error("the address is not a public one")]
    NotPublic,
    /// The answer is larger than is read.
    #[error("the answer is too large")]
    TooLarge,
}

impl Apis {
    /// The providers' own addresses; with `stand_in` (`http://127.0.0.1:8787/_apis`) that address
    /// followed by `/{host}/{path}` instead, for everything.
    ///
    /// # Errors
    /// [`ApisError`].
    pub fn new(stand_in: Option<&str>) -> Result<Apis, ApisError> {
        Apis::over(client(Limits::default())?, stand_in)
    }

    /// [`Apis::new`] over a client that is there already.
    ///
    /// # Errors
    /// [`ApisError::Address`].
    pub fn over(http: reqwest::Client, stand_in: Option<&str>) -> Result<Apis, ApisError> {
        let stand_in = stand_in
            .map(|text| Url::parse(text).map_err(|_| ApisError::Address))
            .transpose()?;
        if stand_in.as_ref().is_some_and(|url| !is_allowed(url)) {
            return Err(ApisError::Address);
        }
        Ok(Apis {
            http,
            public: Arc::default(),
            stand_in,
        })
    }

    /// Carries out one request, once.
    ///
    /// # Errors
    /// [`Unanswered`]; every status is an answer.
    pub async fn call(&self, call: &Call<'_>) -> Result<Reply, Unanswered> {
        self.call_with(call, &[]).await
    }

    /// [`Apis::call`] with headers beside the one that proves who asks.
    ///
    /// # Errors
    /// As [`Apis::call`].
    pub async fn call_with(
        &self,
        call: &Call<'_>,
        headers: &[(&'static str, &str)],
    ) -> Result<Reply, Unanswered> {
        let url = self.url(call).ok_or(Unanswered::Malformed)?;
        let mut request = self
            .http
            .request(call.method.clone(), url)
            .header(reqwest::header::ACCEPT, "application/json");
        request = match call.auth {
            Auth::None => request,
            Auth::Bearer(token) => request.bearer_auth(token),
            Auth::Basic(user, password) => request.basic_auth(user, Some(password)),
            Auth::Header(name, value) => request.header(name, value),
        };
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request = match &call.body {
            Body::None => request,
            Body::Json(json) => request.json(json),
            Body::Form(pairs) => request
                .header(
                    reqwest::header::CONTENT_TYPE,
                    "application/x-www-form-urlencoded",
                )
                .body(form(pairs)),
        };
        answer(request, ANSWER_BYTES_MAX).await
    }

    /// Carries out one request to an address that the file names, once. With a stand-in it goes there, as
    /// everything does.
    ///
    /// # Errors
    /// [`Unanswered`]; every status is an answer, redirects too.
    pub async fn send(&self, outgoing: &Outgoing<'_>) -> Result<Reply, Unanswered> {
        let own = |url: &Url| {
            url.scheme() == "https" && url.username().is_empty() && url.password().is_none()
        };
        if !own(outgoing.url) {
            return Err(Unanswered::Malformed);
        }
        let (http, url) = match &self.stand_in {
            Some(base) => {
                let url = stand_in_for(base, outgoing.url).ok_or(Unanswered::Malformed)?;
                (self.http.clone(), url)
            }
            None if !is_public_host(outgoing.url) => return Err(Unanswered::NotPublic),
            None => {
                let made = || public_client(Limits::default()).ok();
                let http = self.public.get_or_init(made).clone();
                (http.ok_or(Unanswered::Malformed)?, outgoing.url.clone())
            }
        };
        let mut request = http.request(outgoing.method.clone(), url);
        for (name, value) in outgoing.headers {
            request = request.header(*name, *value);
        }
        if let Some(timeout) = outgoing.timeout {
            request = request.timeout(timeout);
        }
        answer(
            request.body(outgoing.body.to_vec()),
            outgoing.answer_bytes_max,
        )
        .await
    }

    fn url(&self, call: &Call<'_>) -> Option<Url> {
        let mut url = match &self.stand_in {
            None => Url::parse(&format!("https://{}", call.host)).ok()?,
            Some(base) => {
                let mut url = base.clone();
                url.path_segments_mut().ok()?.pop_if_empty().push(call.host);
                url
            }
        };
        // A host is a host: `evil.com/x?` or `user@evil.com` are none.
        if self.stand_in.is_none() && !host_is(&url, call.host) {
            return None;
        }
        url.path_segments_mut()
            .ok()?
            .pop_if_empty()
            .extend(call.path);
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query);
        }
        Some(url)
    }
}

impl fmt::Debug for Apis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Apis")
            .field("stand_in", &self.stand_in.as_ref().map(Url::as_str))
            .finish_non_exhaustive()
    }
}

/// Sends, and reads the answer as far as it is wanted.
async fn answer(request: reqwest::RequestBuilder, bytes_max: usize) -> Result<Reply, Unanswered> {
    let mut response = request.send().await.map_err(|error| unanswered(&error))?;
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers());
    let headers = std::mem::take(response.headers_mut());
    let mut body = Vec::new();
    while bytes_max > 0
        && let Some(chunk) = response.chunk().await.map_err(|error| unanswered(&error))?
    {
        if body.len().saturating_add(chunk.len()) > bytes_max {
            return Err(Unanswered::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply {
        status,
        retry_after,
        headers,
        body,
    })
}

/// The address at the stand-in: its own, then `/{host}/{path}`.
fn stand_in_for(base: &Url, url: &Url) -> Option<Url> {
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    let host = format!("{}{port}", url.host_str()?);
    let mut there = base.clone();
    there.path_segments_mut().ok()?.pop_if_empty().push(&host);
    // The path stands as it was written: it may be escaped already.
    let path = format!("{}{}", there.path(), url.path());
    there.set_path(&path);
    there.set_query(url.query());
    Some(there)
}

fn host_is(url: &Url, host: &str) -> bool {
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    let found = format!("{}{port}", url.host_str().unwrap_or_default());
    found.eq_ignore_ascii_case(host)
}

fn form(pairs: &[(&str, &str)]) -> String {
    let Ok(mut url) = Url::parse("http://form") else {
        return String::new();
    };
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}

fn unanswered(error: &reqwest::Error) -> Unanswered {
    if was_not_public(error) {
        Unanswered::NotPublic
    } else if error.is_builder() {
        Unanswered::Malformed
    } else if error.is_connect() {
        Unanswered::NotConnected
    } else {
        Unanswered::NoAnswer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(stand_in: Option<&str>, host: &str, path: &[&str]) -> Option<String> {
        let apis = Apis::new(stand_in).ok()?;
        let call = Call {
            method: Method::GET,
            host,
            path,
            query: &[("q", "a b".to_owned())],
            auth: Auth::None,
            body: Body::None,
        };
        apis.url(&call).map(String::from)
    }

    #[test]
    fn a_request_goes_to_its_host_or_to_the_stand_in_alone() {
        let own = url(None, "api.calendly.com", &["scheduled_events", "a/../b"]);
        assert_eq!(
            own.as_deref(),
            Some("https://api.calendly.com/scheduled_events/a%2F..%2Fb?q=a+b")
        );
        let stand_in = url(Some("http://127.0.0.1:1/_apis"), "api.calendly.com", &["x"]);
        assert_eq!(
            stand_in.as_deref(),
            Some("http://127.0.0.1:1/_apis/api.calendly.com/x?q=a+b")
        );
        for host in ["evil.com/x?", "user@evil.com", "evil.com#", "", "a b"] {
            assert_eq!(url(None, host, &["x"]), None, "{host}");
        }
        for address in ["http://example.com", "ftp://127.0.0.1", "nothing"] {
            assert_eq!(Apis::new(Some(address)).err(), Some(ApisError::Address));
        }
    }

    #[test]
    fn an_address_of_the_file_goes_to_the_stand_in_as_it_is() {
        let base = Url::parse("http://127.0.0.1:1/_apis").unwrap();
        let at = |url: &str| {
            let url = Url::parse(url).unwrap();
            stand_in_for(&base, &url).map(String::from)
        };
        assert_eq!(
            at("https://erp.example.com:8443/a%20b/?q=1").as_deref(),
            Some("http://127.0.0.1:1/_apis/erp.example.com:8443/a%20b/?q=1")
        );
        assert_eq!(
            at("https://erp.example.com").as_deref(),
            Some("http://127.0.0.1:1/_apis/erp.example.com/")
        );
    }

    #[tokio::test]
    async fn no_request_goes_to_a_private_address_or_in_the_clear() {
        let apis = Apis::new(None).unwrap();
        let rows = [
            ("https://127.0.0.1/x", Unanswered::NotPublic),
            ("https://[::1]/x", Unanswered::NotPublic),
            ("https://169.254.169.254/x", Unanswered::NotPublic),
            ("https://localhost/x", Unanswered::NotPublic),
            ("http://example.com/x", Unanswered::Malformed),
            ("https://user@example.com/x", Unanswered::Malformed),
        ];
        for (url, expected) in rows {
            let outgoing = Outgoing {
                method: Method::POST,
                url: &Url::parse(url).unwrap(),
                headers: &[],
                body: b"{}",
                answer_bytes_max: 0,
                timeout: None,
            };
            assert_eq!(apis.send(&outgoing).await.err(), Some(expected), "{url}");
        }
    }
}
