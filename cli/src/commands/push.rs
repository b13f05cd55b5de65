//! `callbell push`: checks the automations and puts them into use.

use std::collections::BTreeSet;

use engine::automations::Report;
use engine::plan::opt_out;
use shared::store::{
    Changed, ConfigRow, Digests, Ended, JobFilter, JobRow, NewJob, Put, Status, Store,
};

use super::Outcome;
use super::check::Asked;
use crate::args::PushArgs;
use crate::error::CliError;
use crate::installation::Installation;
use crate::lists;
use crate::output::{count, say};
use crate::project::{self, Files};
use crate::{ask, output};

/// How often the jobs of an old name are looked for.
const RENAME_ROUNDS_MAX: usize = 3;
/// Why a job of an old name ended, before the new one.
const RENAMED: &str = "renamed to ";
/// How often a job is tried that workers look at meanwhile.
const RENAME_TRIES_MAX: usize = 5;

/// Pushes, rolls back, renames or replans.
///
/// # Errors
/// The file has errors, or the installation does not answer.
pub async fn run(args: &PushArgs) -> Outcome {
    if let Some(to) = args.rollback {
        return rollback(args, to).await;
    }
    let files = Files::read(&args.file)?;
    let name = args.file.display().to_string();
    let report = report(args, &files).await;
    let Some(automations) = &report.automations else {
        super::check::print(&name, &report);
        return Err(
            CliError::new(format!("{name} is not pushed")).hint("callbell check shows the same")
        );
    };
    if !report.diagnostics.is_empty() {
        super::check::print(&name, &report);
    }
    let on = Installation::of(&args.target).await?;
    let before = on.store.config().await?;
    let waiting = waiting(&on.store).await?;
    let known: BTreeSet<&str> = automations.automations.keys().map(String::as_str).collect();
    for (_, new) in &args.rename {
        if !known.contains(new.as_str()) {
            return Err(CliError::new(format!("{name} has no [automation.{new}]")));
        }
    }
    let renamed = |job: &JobRow| args.rename.iter().any(|(old, _)| *old == job.automation);
    let is_known =
        |name: &str| known.contains(name) || [opt_out::OUT, opt_out::BACK].contains(&name);
    let lost: Vec<&JobRow> = waiting
        .iter()
        .filter(|job| !is_known(&job.automation) && !renamed(job))
        .collect();
    if !lost.is_empty() && !keep_going(args, &lost)? {
        say("nothing was pushed");
        return Ok(1);
    }
    let connections = project::connections(automations);
    // What is in use already need not become another version.
    let version = match before.as_ref().filter(|row| is_same(row, &files)) {
        Some(row) => row.version,
        None => {
            on.store
                .push_config(&files.text, files.templates_json(), &connections)
                .await?
        }
    };
    for (old, new) in &args.rename {
        let moved = rename(&on.store, old, new).await?;
        say(format!(
            "{old} is now {new}: {} kept",
            count(moved, "waiting job")
        ));
    }
    on.reload().await?;
    let changes = before
        .as_ref()
        .map(|before| changed(before, &files.text, files.templates_json()));
    let was = before
        .as_ref()
        .map(|before| format!(" (was {})", before.version));
    let what = describe(changes.as_deref(), &waiting);
    // What was in use already need not become live.
    let live = match &before {
        Some(before) if before.version == version => String::new(),
        _ => format!("; {}", on.live()),
    };
    say(format!(
        "version {version}{}: {what}{live}",
        was.unwrap_or_default()
    ));
    if args.replan {
        replan(&on.store, &waiting).await?;
    }
    Ok(0)
}

async fn rollback(args: &PushArgs, to: Option<u64>) -> Outcome {
    let on = Installation::of(&args.target).await?;
    let before = on.store.config().await?;
    let version = on.store.rollback_config(to).await?;
    on.reload().await?;
    let now = on.store.config().await?;
    let waiting = waiting(&on.store).await?;
    let (was, changes) = match (&before, &now) {
        (Some(before), Some(now)) => (before.version, changed(before, &now.file, &now.templates)),
        _ => (version, Vec::new()),
    };
    say(format!(
        "version {version} (was {was}): {}; {}",
        describe(Some(&changes), &waiting),
        on.live()
    ));
    if args.replan {
        replan(&on.store, &waiting).await?;
    }
    Ok(0)
}

/// The file's mistakes. A stack's messages go to the real account, so that is asked as well, where
/// secrets.toml has its token.
async fn report(args: &PushArgs, files: &Files) -> Report {
    let asked = Asked {
        local: None,
        offline: args.offline || args.target.local.is_some(),
    };
    super::check::report(files, &asked).await.0
}

/// Jobs that wait for their time.
///
/// # Errors
/// What the table reports.
pub(super) async fn waiting(store: &Store) -> Result<Vec<JobRow>, CliError> {
    Ok(store.waiting_jobs().await?)
}

/// Shows the jobs whose automation is gone, and asks.
fn keep_going(args: &PushArgs, lost: &[&JobRow]) -> Result<bool, CliError> {
    say(format!(
        "{} of automations that are no longer in the file:",
        count(lost.len(), "waiting job")
    ));
    let names: BTreeSet<&str> = lost.iter().map(|job| job.automation.as_str()).collect();
    for name in names {
        let of: Vec<&&JobRow> = lost.iter().filter(|job| job.automation == name).collect();
        let next = of.iter().map(|job| job.next_at).min();
        let next = next
            .map(|at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
            .unwrap_or_default();
        say(format!(
            "  {name}: {}, the next at {next}",
            count(of.len(), "job")
        ));
    }
    say("they wait for an hour and are then skipped as removed; --rename old=new keeps them");
    Ok(args.yes || ask::confirm("push all the same?")?)
}

/// Jobs of an automation's old name become jobs of its new name, while workers are at it: whoever is the first
/// to take a job from `due` has it, so none goes out under both names. A push that was interrupted between a
/// job's two writes has left the reason, by which the next one makes up for it.
async fn rename(store: &Store, old: &str, new: &str) -> Result<usize, CliError> {
    let reason = format!("{RENAMED}{new}");
    let left = JobFilter {
        status: Some(Status::Cancelled),
        automation: Some(old.to_owned()),
        ..JobFilter::default()
    };
    for job in lists::jobs(store, &left).await? {
        if job.reason.as_deref() == Some(reason.as_str()) {
            put_renamed(store, &job, new).await?;
        }
    }
    let mut moved = 0;
    // Workers that have not read the new version yet may still make jobs of the old name.
    for _ in 0..RENAME_ROUNDS_MAX {
        let waiting = store.waiting_jobs().await?;
        let ours: Vec<JobRow> = waiting
            .into_iter()
            .filter(|job| job.automation == old)
            .collect();
        if ours.is_empty() {
            break;
        }
        for job in ours {
            moved += usize::from(rename_job(store, job, new, &reason).await?);
        }
    }
    Ok(moved)
}

/// Whether the job was still ours to rename.
async fn rename_job(
    store: &Store,
    mut job: JobRow,
    new: &str,
    reason: &str,
) -> Result<bool, CliError> {
    let end = Ended::Cancelled(reason.to_owned());
    for _ in 0..RENAME_TRIES_MAX {
        let ended = store
            .end(&job.id, job.version, &[Status::Due], &end)
            .await?;
        match ended {
            Changed::Done(_) => {
                put_renamed(store, &job, new).await?;
                return Ok(true);
            }
            // A worker looked at it and left it waiting.
            Changed::Lost(Some(row)) if row.status == Status::Due => job = row,
            Changed::Lost(_) => return Ok(false),
        }
    }
    Ok(false)
}

/// Its twin under the new name. One that is there already stays as it is, unless it ended because its name
/// was changed before, and is changed back now.
async fn put_renamed(store: &Store, job: &JobRow, new: &str) -> Result<(), CliError> {
    let twin = NewJob {
        automation: new.to_owned(),
        action: job.action.clone(),
        event: job.event.clone(),
        event_at: job.event_at,
        due_at: job.due_at.max(store.clock().now()),
        depth: job.depth,
        digests: Digests::new().and(&job.digests),
        ended: None,
    };
    if store.put_job(&twin).await? == Put::Duplicate
        && let Some(row) = store.job(&twin.id()).await?
        && let Some(reason) = row.reason.as_deref()
        && reason.starts_with(RENAMED)
    {
        let at = twin.due_at;
        store.reopen(&row.id, row.version, reason, at).await?;
    }
    Ok(())
}

/// Lets every waiting job be looked at now: what finds itself early goes back to its time, as the
/// automation has it today.
async fn replan(store: &Store, waiting: &[JobRow]) -> Result<(), CliError> {
    let now = store.clock().now();
    let mut looked_at = 0;
    for job in waiting.iter().filter(|job| job.next_at > now) {
        let reason = job.reason.as_deref().unwrap_or("replanned");
        if let Changed::Done(_) = store
            .move_due(&job.id, job.version, now, None, reason)
            .await?
        {
            looked_at += 1;
        }
    }
    say(format!(
        "{} take over their new times within a minute",
        count(looked_at, "waiting job")
    ));
    Ok(())
}

/// Whether this version is what the files say.
pub(super) fn is_same(row: &ConfigRow, files: &Files) -> bool {
    row.file == files.text && row.templates == files.templates_json()
}

/// What differs from the version that was in use.
pub(super) fn changed(
    before: &ConfigRow,
    file: &str,
    templates: &str,
) -> Vec<(String, &'static str)> {
    let mut changes = changes(&before.file, file);
    if before.templates != templates {
        changes.push((project::TEMPLATES.to_owned(), "changed"));
    }
    changes
}

/// Tables that differ: `message.cart-1 changed`.
fn changes(before: &str, after: &str) -> Vec<(String, &'static str)> {
    let tables = |text: &str| -> Vec<(String, toml::Value)> {
        let file: toml::Table = text.parse().unwrap_or_default();
        let mut tables = Vec::new();
        for (kind, value) in file {
            match value {
                toml::Value::Table(named) if kind != "defaults" => {
                    tables.extend(
                        named
                            .into_iter()
                            .map(|(name, table)| (format!("{kind}.{name}"), table)),
                    );
                }
                other => tables.push((kind, other)),
            }
        }
        tables
    };
    let (before, after) = (tables(before), tables(after));
    let of = |list: &[(String, toml::Value)], name: &str| {
        list.iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.clone())
    };
    let mut changes = Vec::new();
    for (name, value) in &after {
        match of(&before, name) {
            None => changes.push((name.clone(), "new")),
            Some(old) if old != *value => changes.push((name.clone(), "changed")),
            Some(_) => {}
        }
    }
    for (name, _) in &before {
        if of(&after, name).is_none() {
            changes.push((name.clone(), "removed"));
        }
    }
    changes
}

/// `message.cart-1 changed; 12 waiting jobs use it`.
pub(super) fn describe(changes: Option<&[(String, &'static str)]>, waiting: &[JobRow]) -> String {
    let Some(changes) = changes else {
        return "the first".to_owned();
    };
    if changes.is_empty() {
        return "nothing changed".to_owned();
    }
    let named: Vec<String> = changes
        .iter()
        .map(|(name, how)| format!("{name} {how}"))
        .collect();
    let uses = |job: &&JobRow| {
        changes.iter().any(|(name, _)| {
            job.action == *name
                || name.strip_prefix("automation.") == Some(job.automation.as_str())
                || name == "defaults"
        })
    };
    let jobs = waiting.iter().filter(uses).count();
    let it = if changes.len() == 1 { "it" } else { "them" };
    match jobs {
        0 => named.join(", "),
        1 => format!("{}; 1 waiting job uses {it}", named.join(", ")),
        jobs => format!(
            "{}; {} use {it}",
            named.join(", "),
            output::count(jobs, "waiting job")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(automation: &str, event: &str) -> NewJob {
        NewJob {
            automation: automation.to_owned(),
            action: "message.a".to_owned(),
            event: format!("shopify/order/{event}/created"),
            event_at: testkit::start(),
            due_at: testkit::start(),
            depth: 0,
            digests: Digests::new(),
            ended: None,
        }
    }

    #[tokio::test]
    async fn a_renamed_job_goes_out_under_one_name() {
        let (store, _) = testkit::store().await;
        for event in ["1", "2", "3"] {
            store.put_job(&job("old", event)).await.unwrap();
        }
        let seen = |id| store.job(id);
        let (taken, moved) = (job("old", "1").id(), job("old", "2").id());
        let stale = seen(&taken).await.unwrap().unwrap();
        let skipped = Ended::Skipped("no consent".to_owned());
        store
            .end(&taken, stale.version, &[Status::Due], &skipped)
            .await
            .unwrap();
        // A worker was first, or looked at the job and left it.
        assert!(
            !rename_job(&store, stale, "new", "renamed to new")
                .await
                .unwrap()
        );
        let stale = seen(&moved).await.unwrap().unwrap();
        let later = testkit::start() + jiff::SignedDuration::from_mins(5);
        store
            .move_due(&moved, stale.version, later, None, "waits")
            .await
            .unwrap();
        assert!(
            rename_job(&store, stale, "new", "renamed to new")
                .await
                .unwrap()
        );
        // Interrupted after the first of its two writes.
        let third = seen(&job("old", "3").id()).await.unwrap().unwrap();
        let half = Ended::Cancelled("renamed to new".to_owned());
        store
            .end(&third.id, third.version, &[Status::Due], &half)
            .await
            .unwrap();
        assert_eq!(rename(&store, "old", "new").await.unwrap(), 0);
        let mut due = Vec::new();
        for job in store.waiting_jobs().await.unwrap() {
            due.push((job.automation, job.event));
        }
        due.sort();
        let expected = ["2", "3"].map(|event| ("new".to_owned(), job("new", event).event));
        assert_eq!(due, expected);
    }

    #[tokio::test]
    async fn a_name_that_is_changed_back_loses_nothing() {
        let (store, _) = testkit::store().await;
        store.put_job(&job("old", "1")).await.unwrap();
        for (from, to) in [("old", "new"), ("new", "old"), ("old", "new")] {
            assert_eq!(rename(&store, from, to).await.unwrap(), 1, "{from} to {to}");
            let waiting = store.waiting_jobs().await.unwrap();
            let names: Vec<&str> = waiting.iter().map(|job| job.automation.as_str()).collect();
            assert_eq!(names, [to]);
        }
    }

    /// A reminder that was renamed is the one that the next event about its appointment would make.
    #[tokio::test]
    async fn a_renamed_reminder_is_not_made_again() {
        use engine::plan::{Effect, Known, plan};
        let file = |name: &str| {
            let text = format!(
                "[defaults]\ntimezone = \"Europe/Rome\"\n[channel.x]\nuuid = \"{}\"\n[message.hour]\ntext = \"x\"\n\
                 [automation.{name}]\non = \"appointment.booked\"\nmessage = \"hour\"\nat = \"appointment.start - 1h\"",
                "0".repeat(32)
            );
            engine::automations::parse(&text).unwrap()
        };
        let event = |name: &str, fact: &str| -> shared::event::Event {
            let start = testkit::start() + jiff::SignedDuration::from_hours(50);
            let now = testkit::start();
            serde_json::from_value(serde_json::json!({
                "event": {"name": name, "source": "calendly", "kind": "calendly",
                          "id": format!("calendly/appointment/a/{fact}"), "at": now},
                "customer": {},
                "subject": {"kind": "appointment", "id": "a", "as_of": now, "created_at": now,
                            "state": "open", "fresh": "dated", "start": start},
                "appointment": {"id": "a", "title": "x", "start": start, "end": start, "minutes": 0,
                                "in_person": true}
            }))
            .unwrap()
        };
        let planned = |automation: &str, event: shared::event::Event| {
            let automations = file(automation);
            let known = Known::new(event, &automations);
            let effects = plan(&known, testkit::start(), None, &automations);
            let jobs = effects.into_iter().filter_map(|effect| match effect {
                Effect::Job(job) => Some(job),
                _ => None,
            });
            jobs.collect::<Vec<_>>()
        };
        let (store, _) = testkit::store().await;
        let booked = planned("old", event("appointment.booked", "booked"));
        assert_eq!(booked.len(), 1);
        store.put_job(&booked[0]).await.unwrap();
        assert_eq!(rename(&store, "old", "new").await.unwrap(), 1);
        let waiting = store.waiting_jobs().await.unwrap();
        let again = planned("new", event("appointment.rescheduled", "rescheduled/1"));
        assert_eq!(again.len(), 1);
        assert_eq!(waiting[0].id, again[0].id());
        assert_eq!(waiting[0].due_at, booked[0].due_at);
        assert_eq!(store.put_job(&again[0]).await.unwrap(), Put::Duplicate);
    }

    #[test]
    fn changes_are_told_by_table() {
        let before =
            "[defaults]\nlocale = \"en\"\n[message.a]\ntext = \"x\"\n[message.b]\ntext = \"x\"\n";
        let after = "[defaults]\nlocale = \"en\"\n[message.a]\ntext = \"y\"\n[automation.c]\non = \"order.paid\"\n";
        let found = changes(before, after);
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(name, how)| (name.as_str(), *how))
            .collect();
        assert_eq!(
            found,
            [
                ("automation.c", "new"),
                ("message.a", "changed"),
                ("message.b", "removed")
            ]
        );
        assert_eq!(
            describe(Some(&changes(after, after)), &[]),
            "nothing changed"
        );
        assert_eq!(describe(None, &[]), "the first");
    }
}
