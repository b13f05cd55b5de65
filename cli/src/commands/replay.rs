//! `callbell replay`: does again what failed or was skipped, or makes the jobs that an automation would
//! have made. Shows first what would happen, and asks.

use std::collections::BTreeMap;

use engine::automations::model::Automations;
use engine::delivery::preview::Verdict;
use engine::delivery::{self, Worker};
use engine::phone;
use engine::plan::{self, Effect, custom};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use shared::event::{Event, Name};
use shared::store::{Changed, Digests, EventFilter, JobFilter, JobRow, NewJob, Put, Status};

use super::{Outcome, jobs};
use crate::args::ReplayArgs;
use crate::ask;
use crate::error::CliError;
use crate::installation::Installation;
use crate::lists;
use crate::output::{self, count, say};

/// What replay can bring back to life.
const REVIVABLE: [Status; 3] = [Status::Dead, Status::Skipped, Status::Held];

/// One job of the list that is shown first.
struct Candidate {
    job: Job,
    verdict: Verdict,
}

enum Job {
    /// One that is there.
    Old(Box<JobRow>),
    /// One that an automation would have made.
    New(NewJob),
    /// One of an event that its post did not make then, because the table said something else; and its key.
    Posted(Box<Event>, String),
}

impl Candidate {
    fn key(&self) -> String {
        match &self.job {
            Job::Old(job) => job.key.clone(),
            Job::New(job) => job.key(),
            Job::Posted(_, key) => key.clone(),
        }
    }

    fn goes(&self) -> bool {
        // What waits for its hour or a pause goes out then.
        !matches!(self.verdict, Verdict::Ends(..))
    }
}

/// Shows what would be done, asks, and does it.
///
/// # Errors
/// No server, no such job, or nobody to ask.
pub async fn run(args: &ReplayArgs) -> Outcome {
    let on = Installation::of(&args.target).await?;
    let worker = on.worker()?;
    if let Some(id) = &args.job {
        return one(args, &on, id).await;
    }
    if args.automation.is_none() && args.since.is_none() && args.status.is_none() {
        return Err(CliError::new("replay what?").hint(
            "name a job (callbell jobs), or choose: --automation NAME, --since 2h, --status dead",
        ));
    }
    let candidates = if args.events {
        of_events(args, &on).await?
    } else {
        of_jobs(args, &on, &worker).await?
    };
    let going: Vec<&Candidate> = candidates.iter().filter(|one| one.goes()).collect();
    let summary = summary(&candidates);
    if args.json {
        output::json(&candidates.iter().map(as_json).collect::<Vec<_>>())?;
    } else {
        for one in &candidates {
            let fate = match &one.verdict {
                Verdict::Goes => "would be sent".to_owned(),
                Verdict::Waits(why) => format!("would wait: {why}"),
                Verdict::Ends(_, why) => format!("stays as it is: {why}"),
            };
            say(format!("  {}: {fate}", one.key()));
        }
        say(&summary);
    }
    if going.is_empty() || (args.json && !args.yes) {
        return Ok(0);
    }
    if !args.yes && !ask::confirm(&format!("{summary}; go?"))? {
        return Ok(1);
    }
    let bar = ProgressBar::new(going.len() as u64);
    let mut done = 0;
    for one in going {
        done += usize::from(bring_back(&on, one).await?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    if !args.json {
        say(format!(
            "{} on their way: callbell jobs{} shows what becomes of them",
            count(done, "job"),
            on.flag()
        ));
    }
    Ok(0)
}

/// One job, whatever its age: somebody asked for just this one.
async fn one(args: &ReplayArgs, on: &Installation, id: &str) -> Outcome {
    let job = jobs::find(on, id).await?;
    if !REVIVABLE.contains(&job.status) {
        return Err(CliError::new(format!(
            "{} is {}: only dead, skipped and held jobs can be replayed",
            job.key, job.status
        )));
    }
    let to = args.to.as_deref().map(recipient).transpose()?;
    let digests = to
        .as_ref()
        .map_or_else(Digests::new, |to| Digests::new().phone(&to.identity));
    let to = to.map(|to| to.e164);
    let whom = to
        .as_deref()
        .map(|to| format!(" to {}", phone::mask(to)))
        .unwrap_or_default();
    if !args.yes && !ask::confirm(&format!("send {}{whom} now?", job.key))? {
        return Ok(1);
    }
    let now = on.now();
    let changed = on
        .store
        .revive(&job.id, job.version, to.as_deref(), Some(now), &digests)
        .await?;
    match changed {
        Changed::Done(row) if args.json => output::json(&jobs::as_json(&row))?,
        Changed::Done(_) => say(format!("{} is due{whom}", job.key)),
        Changed::Lost(_) => {
            return Err(CliError::new(format!(
                "{} has changed meanwhile: try again",
                job.key
            )));
        }
    }
    Ok(0)
}

fn recipient(text: &str) -> Result<phone::Phone, CliError> {
    phone::read(text, None).map_err(|refusal| {
        CliError::new(format!("--to {refusal}"))
            .hint("write it with its country code: +5511987654321")
    })
}

async fn of_jobs(
    args: &ReplayArgs,
    on: &Installation,
    worker: &Worker,
) -> Result<Vec<Candidate>, CliError> {
    let status = args.status.as_deref().map(jobs::status).transpose()?;
    if let Some(status) = status
        && !REVIVABLE.contains(&status)
    {
        return Err(CliError::new(format!(
            "{status} jobs are not replayed; there are: dead, skipped, held"
        )));
    }
    let filter = JobFilter {
        status,
        automation: args.automation.clone(),
        since: args
            .since
            .and_then(|since| on.now().checked_sub(since).ok()),
        ..JobFilter::default()
    };
    let found = lists::jobs(&on.store, &filter).await?;
    let found: Vec<JobRow> = found
        .into_iter()
        .filter(|job| REVIVABLE.contains(&job.status))
        .collect();
    let bar = ProgressBar::new(found.len() as u64);
    let mut candidates = Vec::new();
    for job in found {
        let verdict = worker.preview(&job).await?;
        candidates.push(Candidate {
            job: Job::Old(Box::new(job)),
            verdict,
        });
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(candidates)
}

/// The jobs that one automation, as it is now, makes of events that are still there.
async fn of_events(args: &ReplayArgs, on: &Installation) -> Result<Vec<Candidate>, CliError> {
    let wanted = args.automation.as_deref().unwrap_or_default();
    let config = on.store.config().await?;
    let config =
        config.ok_or_else(|| CliError::new("nothing was pushed yet").hint("callbell push"))?;
    let automations = engine::automations::parse(&config.file)
        .map_err(|_| CliError::new("what was pushed cannot be read by this version"))?;
    if !automations.automations.contains_key(wanted) {
        return Err(CliError::new(format!(
            "there is no [automation.{wanted}] in what was pushed"
        ))
        .hint("callbell push, then replay"));
    }
    let filter = EventFilter {
        since: args
            .since
            .and_then(|since| on.now().checked_sub(since).ok()),
        ..EventFilter::default()
    };
    let mut candidates = Vec::new();
    for row in lists::events(&on.store, &filter).await? {
        let Some(event) = row.event else {
            continue;
        };
        if event.event.name == Name::CustomPosted {
            for event in custom::read(&event, &automations).events {
                candidates.extend(posted(event, wanted, &automations, on).await?);
            }
            continue;
        }
        let (known, entity) = delivery::recall(&on.store, event, &automations).await?;
        for effect in plan::plan(&known, row.received_at, entity.as_ref(), &automations) {
            let Effect::Job(job) = effect else {
                continue;
            };
            if job.automation != wanted || on.store.job(&job.id()).await?.is_some() {
                continue;
            }
            let verdict = late(&known.event, &job, &automations, on);
            candidates.push(Candidate {
                job: Job::New(job),
                verdict,
            });
        }
    }
    Ok(candidates)
}

/// An event that is read from a post now and was not then, where the automation makes a job of it.
async fn posted(
    event: Event,
    wanted: &str,
    automations: &Automations,
    on: &Installation,
) -> Result<Option<Candidate>, CliError> {
    if on.store.event(&event.event.id).await?.is_some() {
        return Ok(None);
    }
    let known = plan::Known::new(event.clone(), automations);
    let effects = plan::plan(&known, on.now(), None, automations);
    let jobs = effects.into_iter().find_map(|effect| match effect {
        Effect::Job(job) if job.automation == wanted => Some(job),
        _ => None,
    });
    Ok(jobs.map(|job| Candidate {
        verdict: late(&event, &job, automations, on),
        job: Job::Posted(Box::new(event), job.key()),
    }))
}

/// A job that was never made has no row to look at: its time alone is compared. Everything else is
/// looked at when it comes up.
fn late(_event: &Event, job: &NewJob, automations: &Automations, on: &Installation) -> Verdict {
    let automation = automations.automations.get(&job.automation);
    let step = automation.and_then(|automation| {
        automation
            .steps
            .iter()
            .find(|step| step.action.key() == job.action)
    });
    let patience = automation
        .zip(step)
        .map(|(automation, step)| plan::give_up_after(automations, automation, &step.action));
    let limit = patience.and_then(|patience| job.due_at.checked_add(patience).ok());
    if limit.is_some_and(|limit| limit < on.now()) {
        return Verdict::Ends(Status::Skipped, "too late".to_owned());
    }
    Verdict::Goes
}

async fn bring_back(on: &Installation, one: &Candidate) -> Result<bool, CliError> {
    Ok(match &one.job {
        Job::Old(job) => {
            let none = Digests::new();
            let changed = on
                .store
                .revive(&job.id, job.version, None, None, &none)
                .await?;
            matches!(changed, Changed::Done(_))
        }
        Job::New(job) => on.store.put_job(job).await? == Put::New,
        // Its automations make its jobs, as of any other.
        Job::Posted(event, _) => on.store.put_event((**event).clone()).await? == Put::New,
    })
}

/// `would send 14 (2 too late, 1 answered since)`.
fn summary(candidates: &[Candidate]) -> String {
    let going = candidates.iter().filter(|one| one.goes()).count();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for one in candidates {
        if let Verdict::Ends(_, why) = &one.verdict {
            // `no usable phone: 3 candidates: …` and its kind are one reason.
            *reasons
                .entry(why.split(':').next().unwrap_or(why))
                .or_default() += 1;
        }
    }
    let reasons: Vec<String> = reasons
        .iter()
        .map(|(why, number)| format!("{number} {why}"))
        .collect();
    if reasons.is_empty() {
        format!("would send {going}")
    } else {
        format!("would send {going} ({})", reasons.join(", "))
    }
}

fn as_json(one: &Candidate) -> Value {
    let (verdict, reason) = match &one.verdict {
        Verdict::Goes => ("goes out", None),
        Verdict::Waits(why) => ("waits", Some(why)),
        Verdict::Ends(status, why) => (status.as_str(), Some(why)),
    };
    json!({ "key": one.key(), "verdict": verdict, "reason": reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted() {
        let job = || NewJob {
            automation: "a".to_owned(),
            action: "message.m".to_owned(),
            event: "e".to_owned(),
            event_at: jiff::Timestamp::UNIX_EPOCH,
            due_at: jiff::Timestamp::UNIX_EPOCH,
            depth: 0,
            digests: Digests::new(),
            ended: None,
        };
        let ends = |why: &str| Verdict::Ends(Status::Skipped, why.to_owned());
        let verdicts = [
            Verdict::Goes,
            Verdict::Waits("paused".to_owned()),
            ends("too late"),
            ends("too late"),
            ends("no usable phone: 2 candidates: x"),
        ];
        let list: Vec<Candidate> = verdicts
            .into_iter()
            .map(|verdict| Candidate {
                job: Job::New(job()),
                verdict,
            })
            .collect();
        assert_eq!(
            summary(&list),
            "would send 2 (1 no usable phone, 2 too late)"
        );
        assert_eq!(summary(&[]), "would send 0");
    }
}
