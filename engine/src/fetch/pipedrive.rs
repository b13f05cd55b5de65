//! Pipedrive: the persons of deals, and the names of what their webhooks have numbers of.
//! <https://developers.pipedrive.com/docs/api/v1/Persons>, <https://developers.pipedrive.com/docs/api/v1/Stages>
//!
//! A question costs one or two of the company's tokens. Without the person nobody could be written to, so
//! that one is asked until it is answered; without a name the number stays.

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
        Err(_) if wanted.person.is_none() => Vec::new(),
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
    // Whoever wants to be asked less often is not asked on: the deal does without the rest.
    if let Err(error) = names(&mut account, wanted, &mut found).await {
        tracing::debug!(outcome = "names not fetched", reason = %error);
    }
    Ok(found)
}

async fn names(
    account: &mut Account<'_>,
    wanted: &Wanted,
    found: &mut Found,
) -> Result<(), ActError> {
    found.stage = one(account, &["api", "v2", "stages"], wanted.stage.as_deref()).await?;
    let before = wanted.previous_stage.as_deref();
    found.previous_stage = one(account, &["api", "v2", "stages"], before).await?;
    let pipeline = wanted.pipeline.as_deref();
    found.pipeline = one(account, &["api", "v2", "pipelines"], pipeline).await?;
    found.owner = one(account, &["api", "v1", "users"], wanted.owner.as_deref()).await?;
    Ok(())
}

async fn one(
    account: &mut Account<'_>,
    list: &[&str],
    id: Option<&str>,
) -> Result<Option<Value>, ActError> {
    match id {
        Some(id) => account.data(&[list, &[id]].concat()).await,
        None => Ok(None),
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
