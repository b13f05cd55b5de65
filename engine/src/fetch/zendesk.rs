//! Zendesk: the users that its webhooks name.
//! <https://developer.zendesk.com/api-reference/ticketing/users/users/>
//!
//! The secret is that of `[zendesk.x]`.

use shared::event::Event;
use shared::sources::zendesk;

use super::{Asking, FetchError};
use crate::actions::zendesk::Reader;

/// The events of what changed there.
///
/// # Errors
/// [`FetchError`].
pub async fn events(asking: Asking<'_>) -> Result<Vec<Event>, FetchError> {
    let Some(told) = zendesk::told(asking.changed) else {
        return Ok(Vec::new());
    };
    let connection = asking.connection;
    let secrets = asking.fetching.secrets(&connection.name).await?;
    let mut reader = Reader::of(asking.desk(&secrets));
    // Who was deleted meanwhile is no lead.
    let Some(user) = reader.user(&told.user).await? else {
        return Ok(Vec::new());
    };
    let identities = match zendesk::wants_identities(&told, &user, connection) {
        true => reader.identities(&told.user).await?,
        false => Vec::new(),
    };
    let account = asking.event.event.account.as_deref();
    zendesk::events(&told, &user, &identities, account, connection)
        .map_err(|error| FetchError::Unreadable(error.to_string()))
}
