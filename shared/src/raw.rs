//! A webhook before and after its signature was checked.

use std::fmt;

use http::{HeaderMap, Method};

/// Largest body that a door reads, in bytes.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// A request as it came: nothing in it is proven. Its body can only be reached by a source's `verify`
/// and `handshake`; what reads it as an event asks for a [`Verified`].
pub struct Raw {
    /// The HTTP method.
    pub method: Method,
    /// The last part of the path: the name of the connection.
    pub connection: String,
    /// The headers; names compare in any case.
    pub headers: HeaderMap,
    /// The query string as it came, without `?`.
    pub query: String,
    /// The bytes that were signed, decoded from base64 where the envelope says so.
    pub(crate) body: Vec<u8>,
}

/// A request whose signature matched: only [`Raw::accept`], called by a source's `verify`, makes one.
pub struct Verified {
    raw: Raw,
}

impl Raw {
    /// Declares the signature proven. Only a source's `verify` may call it.
    pub(crate) fn accept(self) -> Verified {
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

impl Verified {
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
