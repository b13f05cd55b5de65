//! Zendesk: the users that its webhooks name.

use shared::event::Event;

use super::{Asking, FetchError};

/// The events of what changed there.
///
/// # Errors
/// [`FetchError`].
pub async fn events(_asking: Asking<'_>) -> Result<Vec<Event>, FetchError> {
    Ok(Vec::new())
}
