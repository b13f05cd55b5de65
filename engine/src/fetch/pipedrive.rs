//! Pipedrive: the persons of deals, and the names of what their webhooks have numbers of.
//! <https://developers.pipedrive.com/docs/api/v1/Persons>, <https://developers.pipedrive.com/docs/api/v1/Stages>
//!
//! A question costs one or two of the company's tokens. Without the person nobody could be written to, and a
//! condition compares names: both are asked for until they are answered. A name that is refused stays a number.

use serde_json::Value;
use shared::event::Event;
use shared::secrets::Secret;
use shared::sources::pipedrive::{Found, Wanted, complete, wanted};

use super::{Asking, FetchError};
use crate::actions::deed::{ActError, Desk};
use crate::actions::pipedrive::Account;

/// The event of a deal that changed.
///
/// # Errors
/// [`FetchError`]: the person cannot be asked for.
pub async fn events(asking: Asking<'_>) -> Result<Vec<Event>, FetchError> {
    let Some(wanted) = wanted(asking.changed) else {
        return Ok(Vec::new());
    };
    let secrets = match asking.fetching.secrets(&asking.connection.name).await {
        Ok(secrets) => secrets,
        // Nobody has to be asked for.
        Err(FetchError::Refused(_)) if wanted.person.is_none() => Vec::new(),
        Err(error) => return Err(error),
    };
    let found = find(asking, &secrets, &wanted).await?;
    let event = complete(asking.changed, &found, asking.connection);
    let event = event.map_err(|error| FetchError::Unreadable(error.to_string()))?;
    Ok(vec![event])
}

async fn find(
    asking: Asking<'_>,
    secrets: &[Secret],
    wanted: &Wanted,
) -> Result<Found, FetchError> {
    let mut account = Account::new(Desk {
        apis: asking.fetching.apis(),
        secrets,
        tokens: asking.fetching.tokens(),
        job: "",
        now: asking.now,
    });
    let mut found = Found::default();
    if let Some(id) = &wanted.person {
        let person = account.data(&["api", "v2", "persons", id]).await;
        found.person = person.map_err(refused)?;
    }
    let stages = ["api", "v2", "stages"];
    found.stage = name(&mut account, &stages, wanted.stage.as_deref()).await?;
    let before = wanted.previous_stage.as_deref();
    found.previous_stage = name(&mut account, &stages, before).await?;
    let pipeline = wanted.pipeline.as_deref();
    found.pipeline = name(&mut account, &["api", "v2", "pipelines"], pipeline).await?;
    let owner = wanted.owner.as_deref();
    found.owner = name(&mut account, &["api", "v1", "users"], owner).await?;
    Ok(found)
}

/// What has this number; nothing where the token may not read it.
///
/// # Errors
/// Nobody answers now: a deal that was told with its number would never meet a condition on its name.
async fn name(
    account: &mut Account<'_>,
    list: &[&str],
    id: Option<&str>,
) -> Result<Option<Value>, FetchError> {
    let Some(id) = id else {
        return Ok(None);
    };
    match account.data(&[list, &[id]].concat()).await {
        Ok(found) => Ok(found),
        Err(error @ (ActError::Refused(_) | ActError::Rejected(_))) => {
            tracing::warn!(outcome = "name not fetched", reason = %error);
            Ok(None)
        }
        Err(error) => Err(refused(error)),
    }
}

fn refused(error: ActError) -> FetchError {
    match error {
        ActError::Unavailable(why) => FetchError::Unavailable {
            why,
            retry_after: None,
        },
        ActError::Limited { why, retry_after } => FetchError::Unavailable { why, retry_after },
        ActError::Refused(why) => FetchError::Refused(why),
        ActError::Rejected(why) => FetchError::Unreadable(why),
    }
}
