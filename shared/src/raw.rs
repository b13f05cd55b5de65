//! A webhook before and after its signature was checked.

use std::fmt;

use http::{HeaderMap, Method};
use lambda_http::{Body, Request};

use crate::payload::CalledAt;
use crate::secrets::Secret;

/// Largest body that a door reads, in bytes.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Longest name of a connection, in characters.
pub const CONNECTION_CHARS_MAX: usize = 40;
/// Longest secret in a path, in bytes.
pub const PATH_SECRET_BYTES_MAX: usize = 200;

/// A request as it came: nothing in it is proven. Its body can only be reached by a source's `verify`
/// and `handshake`; what reads it as an event asks for a [`Verified`].
pub struct Raw {
    /// The HTTP method.
    pub method: Method,
    /// The last part of the path: the name of the connection. Where that part is a secret, the name of the
    /// function's one connection.
    pub connection: String,
    /// The last part of the path where it is a secret: only a source's `verify` sees it.
    pub(crate) path_secret: Option<Secret>,
    /// The headers; names compare in any case.
    pub headers: HeaderMap,
    /// The query string as it came, without `?`.
    pub query: String,
    /// The address as the provider called it: scheme, host, path and query. Empty where nobody says.
    pub url: String,
    /// The bytes that were signed, decoded from base64 where the envelope says so.
    pub(crate) body: Vec<u8>,
}

/// A request whose signature matched: only `Raw::accept`, called by a source's `verify`, makes one.
pub struct Verified<'a> {
    raw: &'a Raw,
}

/// Why a request cannot even be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RawError {
    /// More than [`BODY_BYTES_MAX`].
    #[error("the body has {bytes} bytes, more than {BODY_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The last part of the path cannot be the name of a connection.
    #[error("the path names no connection")]
    NoConnection,
}

impl Raw {
    /// Takes an HTTP API v2 request apart. A base64 body is decoded already: once, into the bytes
    /// that were signed.
    ///
    /// # Errors
    /// A body over [`BODY_BYTES_MAX`], or a path whose last part is no name.
    pub fn from_request(request: Request) -> Result<Raw, RawError> {
        let connection = connection_name(request.uri().path())
            .ok_or(RawError::NoConnection)?
            .to_owned();
        Raw::of(request, connection, None)
    }

    /// The same of a function whose path ends in a secret and which has one connection, this one.
    ///
    /// # Errors
    /// A body over [`BODY_BYTES_MAX`], or a path whose last part is empty or longer than a secret.
    pub fn behind_secret(request: Request, connection: &str) -> Result<Raw, RawError> {
        let secret = path_secret(request.uri().path()).ok_or(RawError::NoConnection)?;
        Raw::of(request, connection.to_owned(), Some(secret))
    }

    fn of(
        request: Request,
        connection: String,
        path_secret: Option<Secret>,
    ) -> Result<Raw, RawError> {
        let (mut parts, body) = request.into_parts();
        let body = match body {
            Body::Text(text) => text.into_bytes(),
            Body::Binary(bytes) => bytes,
            _ => Vec::new(),
        };
        if body.len() > BODY_BYTES_MAX {
            return Err(RawError::TooLarge { bytes: body.len() });
        }
        Ok(Raw {
            method: parts.method,
            connection,
            path_secret,
            headers: parts.headers,
            query: parts.uri.query().unwrap_or_default().to_owned(),
            url: parts
                .extensions
                .remove::<CalledAt>()
                .map(|at| at.0)
                .unwrap_or_default(),
            body,
        })
    }

    /// Declares the signature proven. Only a source's `verify` may call it.
    pub(crate) fn accept(&self) -> Verified<'_> {
        Verified { raw: self }
    }

    /// A header's value, where it is there exactly once and readable.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    }
}

/// The last part of a path, where it has the form of a connection's name. Anything else may be a
/// secret that somebody pasted: it is neither looked up nor logged.
fn connection_name(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = !name.is_empty() && name.len() <= CONNECTION_CHARS_MAX && name.bytes().all(allowed);
    fits.then_some(name)
}

/// The last part of a path, as a secret.
fn path_secret(path: &str) -> Option<Secret> {
    let last = path.rsplit('/').next()?;
    let fits = !last.is_empty() && last.len() <= PATH_SECRET_BYTES_MAX;
    fits.then(|| Secret::new(last))
}

impl Verified<'_> {
    /// The signed bytes.
    pub fn body(&self) -> &[u8] {
        &self.raw.body
    }

    /// A header's value. Most providers do not sign headers: check what matters against the body.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.raw.header(name)
    }
}

impl fmt::Debug for Raw {
    /// Method and connection alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raw")
            .field("method", &self.method)
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Verified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verified").field(self.raw).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_the_path_names_the_connection() {
        assert_eq!(connection_name("/orders/shopify"), Some("shopify"));
        assert_eq!(connection_name("/prod/orders/loja-it"), Some("loja-it"));
        for path in [
            "",
            "/",
            "/orders/",
            "/orders/Shopify",
            "/orders/a b",
            "/orders/shpss_abc",
        ] {
            assert_eq!(connection_name(path), None, "{path}");
        }
        assert_eq!(
            connection_name(&format!("/orders/{}", "a".repeat(41))),
            None
        );
    }

    #[test]
    fn a_secret_in_the_path_is_no_name_and_is_not_printed() {
        let request = |path: &str| {
            let mut request = Request::new(Body::Empty);
            *request.uri_mut() = path.parse().unwrap();
            Raw::behind_secret(request, "callbell")
        };
        let raw = request("/callbell/S3cret_In-The.Path").unwrap();
        assert_eq!(raw.connection, "callbell");
        assert_eq!(raw.path_secret, Some(Secret::new("S3cret_In-The.Path")));
        assert!(!format!("{raw:?}").contains("S3cret"));
        for path in ["/", "/callbell/", &format!("/callbell/{}", "a".repeat(201))] {
            assert!(request(path).is_err(), "{path}");
        }
    }
}
