//! Webhooks without end: one of the sample events with another order's number each time, signed again, its
//! times moved to now.

use std::path::Path;

use cli::commands::sign::moved;
use jiff::Timestamp;
use serde_json::Value;
use shared::connections::Connection;
use shared::sources::{self, Unsigned, demo};

use crate::error::BenchError;

/// A sample event that is made new each time.
#[derive(Clone, Debug)]
pub struct Webhook {
    envelope: Value,
    body: String,
    /// The order's number in the sample.
    id: String,
    /// When the sample came.
    at: Timestamp,
}

/// One webhook.
pub struct Signed {
    /// What API Gateway hands to the function.
    pub event: String,
    /// The order's number.
    pub order: u64,
}

impl Webhook {
    /// Reads a sample of Shopify from `events/orders`.
    ///
    /// # Errors
    /// It is not there, or no such sample.
    pub fn read(path: &Path) -> Result<Webhook, BenchError> {
        let envelope: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
        let wrong = || BenchError::Unexpected(format!("{} is no sample", path.display()));
        let body = envelope
            .get("body")
            .and_then(Value::as_str)
            .ok_or_else(wrong)?;
        let fields: Value = serde_json::from_str(body)?;
        let at = envelope.pointer("/requestContext/timeEpoch");
        let at = at.and_then(Value::as_i64).ok_or_else(wrong)?;
        Ok(Webhook {
            body: body.to_owned(),
            id: fields.get("id").map(Value::to_string).ok_or_else(wrong)?,
            at: Timestamp::from_millisecond(at).map_err(|_| wrong())?,
            envelope,
        })
    }

    /// The same body under another topic. Shopify does not sign the topic.
    pub fn with_topic(&self, topic: &str) -> Webhook {
        let mut other = self.clone();
        if let Some(header) = other.envelope.pointer_mut("/headers/x-shopify-topic") {
            *header = topic.into();
        }
        other
    }

    /// The same for another order, now.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn of(&self, order: u64) -> Result<Signed, BenchError> {
        let wrong = || BenchError::Unexpected("the sample cannot be signed".to_owned());
        let now = Timestamp::now();
        let body = self.body.replace(&self.id, &order.to_string());
        // A second earlier: the provider's clock is never ahead of ours.
        let by = now.duration_since(self.at) - jiff::SignedDuration::from_secs(1);
        let body = moved(body.as_bytes(), by);
        let source = sources::by_kind("shopify").ok_or_else(wrong)?;
        let mut event = self.envelope.clone();
        let headers = event.get_mut("headers").and_then(Value::as_object_mut);
        let headers = headers.ok_or_else(wrong)?;
        let (connection, secret) = (Connection::plain("shopify"), demo::secret("shopify"));
        for (name, value) in source.sign(&Unsigned::of(&connection, &secret, &body, now)) {
            headers.insert(name, value.into());
        }
        let text = String::from_utf8(body).map_err(|_| wrong())?;
        if let Some(fields) = event.as_object_mut() {
            fields.insert("body".to_owned(), text.into());
        }
        Ok(Signed {
            event: event.to_string(),
            order,
        })
    }
}
