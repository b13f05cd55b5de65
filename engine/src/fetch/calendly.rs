//! Calendly: the scheduled event that a webhook left out.
//! <https://developer.calendly.com/api-docs/e2f95ebd44914-get-event>

use reqwest::Method;
use serde_json::Value;
use shared::secrets::Secret;

use super::{FetchError, refusal};
use crate::apis::{Apis, Auth, Body, Call};

/// Where Calendly is.
const HOST: &str = "api.calendly.com";

/// A scheduled event by its uuid.
///
/// # Errors
/// [`FetchError`].
pub async fn scheduled_event(apis: &Apis, token: &Secret, uuid: &str) -> Result<Value, FetchError> {
    let reply = apis
        .call(&Call {
            method: Method::GET,
            host: HOST,
            path: &["scheduled_events", uuid],
            query: &[],
            auth: Auth::Bearer(token.expose()),
            body: Body::None,
        })
        .await?;
    match reply.status {
        200 => Ok(reply.json()),
        404 => Err(FetchError::Missing("the scheduled event")),
        _ => Err(refusal("Calendly", &reply)),
    }
}
