//! `callbell pause` and `callbell resume`: the red button.

use shared::store::JobFilter;
use shared::store::Status;

use super::Outcome;
use crate::args::Target;
use crate::dev::life::all_jobs;
use crate::local::Local;
use crate::output::{count, say};

/// Nothing goes out from now on.
///
/// # Errors
/// No server.
pub async fn pause(target: &Target) -> Outcome {
    let local = Local::of(target).await?;
    local.store.pause().await?;
    say("paused: jobs are made and wait; callbell resume lets them go out");
    Ok(0)
}

/// What waits goes out again.
///
/// # Errors
/// No server.
pub async fn resume(target: &Target) -> Outcome {
    let local = Local::of(target).await?;
    let was = local.store.paused().await?;
    local.store.resume().await?;
    local.reload().await?;
    let due = JobFilter {
        status: Some(Status::Due),
        ..JobFilter::default()
    };
    let now = local.now();
    let waiting = all_jobs(&local.store, &due).await?;
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
