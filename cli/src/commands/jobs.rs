//! `callbell jobs`.

use jiff::tz::TimeZone;
use serde_json::{Value, json};
use shared::store::{Delivery, JobFilter, JobId, JobRow, Status};

use super::Outcome;
use crate::args::{JobsAction, JobsArgs, Target};
use crate::error::CliError;
use crate::installation::Installation;
use crate::lists;
use crate::output::{self, Cell, instant, say, table, tally};

/// Lists jobs, or shows one.
///
/// # Errors
/// No installation, no such job or state.
pub async fn run(args: &JobsArgs) -> Outcome {
    if let Some(JobsAction::Show { id, json, target }) = &args.action {
        let target = Target {
            local: target.local.or(args.target.local),
            stack: target.stack.clone().or(args.target.stack.clone()),
        };
        let on = Installation::of(&target).await?;
        let job = find(&on, id).await?;
        return show(&job, *json || args.json);
    }
    let on = Installation::of(&args.target).await?;
    let filter = JobFilter {
        status: args.status.as_deref().map(status).transpose()?,
        automation: args.automation.clone(),
        since: args
            .since
            .and_then(|since| on.now().checked_sub(since).ok()),
        ..JobFilter::default()
    };
    let jobs = lists::jobs(&on.store, &filter).await?;
    if args.json {
        output::json(&jobs.iter().map(as_json).collect::<Vec<_>>())?;
        return Ok(0);
    }
    if jobs.is_empty() {
        say("no jobs");
        return Ok(0);
    }
    let zone = TimeZone::system();
    let rows: Vec<Vec<Cell>> = jobs
        .iter()
        .map(|job| {
            vec![
                Cell::from(job.id.as_str().chars().take(8).collect::<String>()).faint(),
                instant(job.next_at, &zone).into(),
                format!("{}/{}", job.automation, job.action).into(),
                job.event.clone().into(),
                Cell::status(job.status),
                job.reason.clone().unwrap_or_default().into(),
            ]
        })
        .collect();
    say(table(
        &["job", "time", "action", "event", "state", "reason"],
        &rows,
    )
    .trim_end());
    say(format!(
        "{}: {}",
        output::count(jobs.len(), "job"),
        tally(jobs.iter().map(|job| &job.status))
    ));
    Ok(0)
}

/// The state that a word means.
///
/// # Errors
/// No state has this word.
pub fn status(word: &str) -> Result<Status, CliError> {
    Status::parse(word).ok_or_else(|| {
        let known: Vec<&str> = Status::ALL.iter().map(|status| status.as_str()).collect();
        CliError::new(format!(
            "no job is ever \"{word}\"; there are: {}",
            known.join(", ")
        ))
    })
}

/// The job that an id, the beginning of one, or a key means.
///
/// # Errors
/// There is none, or several.
pub async fn find(on: &Installation, id: &str) -> Result<JobRow, CliError> {
    if let Some(id) = JobId::parse(id)
        && let Some(job) = on.store.job(&id).await?
    {
        return Ok(job);
    }
    let by_key = JobId::of_key(id);
    if let Some(job) = on.store.job(&by_key).await? {
        return Ok(job);
    }
    let jobs = lists::jobs(&on.store, &JobFilter::default()).await?;
    let mut found = jobs
        .into_iter()
        .filter(|job| job.id.as_str().starts_with(id));
    match (found.next(), found.next()) {
        (Some(job), None) => Ok(job),
        (Some(_), Some(_)) => Err(CliError::new(format!("several jobs begin with {id}"))
            .hint("write more of the id: callbell jobs")),
        (None, _) => {
            Err(CliError::new(format!("there is no job {id}")).hint("callbell jobs lists them"))
        }
    }
}

/// A job as scripts read it.
pub fn as_json(job: &JobRow) -> Value {
    json!({
        "id": job.id.as_str(), "key": job.key, "automation": job.automation, "action": job.action,
        "event": job.event, "status": job.status.as_str(), "reason": job.reason,
        "attempts": job.attempts, "created_at": job.created_at, "due_at": job.due_at,
        "next_at": job.next_at, "ended_at": job.ended_at,
        "delivery": job.delivery.map(Delivery::as_str), "message_uuid": job.message_uuid,
    })
}

fn show(job: &JobRow, json: bool) -> Outcome {
    if json {
        output::json(&as_json(job))?;
        return Ok(0);
    }
    let zone = TimeZone::system();
    let time = |at: jiff::Timestamp| instant(at, &zone);
    let lines = [
        ("id", Some(job.id.as_str().to_owned())),
        ("key", Some(job.key.clone())),
        ("state", Some(job.status.as_str().to_owned())),
        ("reason", job.reason.clone()),
        ("event at", Some(time(job.event_at))),
        ("due at", Some(time(job.due_at))),
        (
            "next at",
            (!job.status.has_ended()).then(|| time(job.next_at)),
        ),
        ("ended at", job.ended_at.map(time)),
        ("attempts", Some(job.attempts.to_string())),
        ("channel", job.request.channel.clone()),
        ("message", job.message_uuid.clone()),
        (
            "delivery",
            job.delivery.map(|delivery| delivery.as_str().to_owned()),
        ),
    ];
    for (name, value) in lines {
        if let Some(value) = value {
            say(format!("{name:<9} {value}"));
        }
    }
    Ok(0)
}
