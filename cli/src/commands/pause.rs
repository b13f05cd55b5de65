//! `callbell pause` and `callbell resume`: the red button.

use shared::store::JobFilter;
use shared::store::Status;

use super::Outcome;
use crate::args::Target;
use crate::installation::Installation;
use crate::lists;
use crate::output::{count, say};

/// Nothing goes out from now on.
///
/// # Errors
/// No installation.
pub async fn pause(target: &Target) -> Outcome {
    let on = Installation::of(target).await?;
    on.store.pause().await?;
    let flag = on.flag();
    say(format!(
        "paused: jobs are made and wait; callbell resume{flag} lets them go out"
    ));
    Ok(0)
}

/// What waits goes out again.
///
/// # Errors
/// No installation.
pub async fn resume(target: &Target) -> Outcome {
    let on = Installation::of(target).await?;
    let was = on.store.paused().await?;
    on.store.resume().await?;
    on.reload().await?;
    let due = JobFilter {
        status: Some(Status::Due),
        ..JobFilter::default()
    };
    let now = on.now();
    let waiting = lists::jobs(&on.store, &due).await?;
    let due = waiting.iter().filter(|job| job.due_at <= now).count();
    say(match was {
        Some(_) => format!(
            "resumed: {} go out within a minute",
            count(due, "waiting job")
        ),
        None => "it was not paused".to_owned(),
    });
    Ok(0)
}
