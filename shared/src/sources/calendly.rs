//! Calendly: invitees.
//!
//! A webhook shows the invitee, and usually the scheduled event. Where it does not, the door stores what
//! came as `source.changed` ([`wanted`]) and the worker asks for the rest ([`complete`]).

use serde_json::Value;

use super::Unreadable;
use crate::connections::Connection;
use crate::event::{Changed, Event};

/// The scheduled event that has to be asked for: its uuid, as in
/// `GET https://api.calendly.com/scheduled_events/{uuid}`. `None`: `changed` is none of Calendly's.
pub fn wanted(changed: &Changed) -> Option<&str> {
    let uri = changed.about.get("payload")?.get("event")?.as_str()?;
    uri.rsplit('/').next()
}

/// The events of a webhook that came without its scheduled event, now that it is known: `event` is the
/// `source.changed` event, `scheduled_event` the answer of Calendly's API, with or without the `resource`
/// around it.
///
/// # Errors
/// What cannot be read.
pub fn complete(
    event: &Event,
    scheduled_event: &Value,
    connection: &Connection,
) -> Result<Vec<Event>, Unreadable> {
    let _ = (event, scheduled_event, connection);
    Ok(Vec::new())
}
