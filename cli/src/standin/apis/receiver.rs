//! Whoever takes requests that are signed by Standard Webhooks, at any host. Which secret signed it nobody
//! told the stand-in; everything else of the signature is checked. A path says what is answered:
//! `/status/410` is 410, `/moved` a redirect.

use std::sync::{Mutex, PoisonError};

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Api, Reply, Request};

/// How old a signature may be.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// The stand-in.
#[derive(Debug, Default)]
pub struct Receiver(Mutex<Vec<Request>>);

impl Receiver {
    /// Every request that it took, oldest first.
    pub fn taken(&self) -> Vec<Request> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Api for Receiver {
    fn name(&self) -> &'static str {
        "receiver"
    }

    fn is_at(&self, host: &str) -> bool {
        host.contains('.')
    }

    fn takes(&self, request: &Request) -> bool {
        self.is_at(&request.host) && request.header("webhook-signature").is_some()
    }

    fn answer(&self, request: &Request, now: Timestamp) -> Reply {
        if !matches!(request.method, Method::POST | Method::PUT | Method::PATCH) {
            return Reply::new(405, Value::Null);
        }
        if !is_signed(request, now) {
            return Reply::new(401, json!({ "error": "not signed" }));
        }
        match request.parts().as_slice() {
            ["status", status] => Reply::new(status.parse().unwrap_or(500), Value::Null),
            ["moved"] => Reply::new(302, Value::Null).with("location", "https://example.com/"),
            _ => {
                let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                taken.push(request.clone());
                Reply::new(200, json!({ "status": "ok" }))
            }
        }
    }
}

/// Whether the three headers are there, of now, and in their form.
fn is_signed(request: &Request, now: Timestamp) -> bool {
    let header = |name: &str| request.header(name).unwrap_or_default();
    let id = header("webhook-id");
    let timestamp = header("webhook-timestamp").parse().ok();
    let sent = timestamp.and_then(|seconds| Timestamp::from_second(seconds).ok());
    let fresh = sent.is_some_and(|sent| now.duration_since(sent).abs() <= TOLERANCE);
    let entries = header("webhook-signature");
    let formed = entries.split(' ').all(|entry| {
        let signature = entry.strip_prefix("v1,");
        signature.is_some_and(|signature| signature.len() == 44)
    });
    !id.is_empty() && !id.contains('.') && fresh && formed
}
