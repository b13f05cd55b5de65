//! `callbell tail`: a line an event and a job, as they come. Each look reads the table from end to end, so on AWS
//! the pause after one grows with what it read.

use std::collections::HashMap;
use std::io::Write as _;
use std::time::Duration;

use engine::automations::model::Automations;
use engine::phone;
use engine::plan::Known;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use shared::store::{EventRow, EventStatus, JobRow, Status};

use super::{Outcome, events, jobs};
use crate::args::TailArgs;
use crate::error::CliError;
use crate::installation::Installation;
use crate::output::instant;

/// How far a look reaches back behind the last one: a row may be written late, and clocks differ.
const OVERLAP: SignedDuration = SignedDuration::from_mins(2);
/// Pause after a look for every page that it read on AWS. With it an hour reads at most 3600 pages of a megabyte,
/// 460 thousand read units, whatever the table's size.
const PAUSE_A_PAGE: Duration = Duration::from_secs(1);

/// One thing to print.
enum News {
    Event(Box<EventRow>),
    Job(Box<JobRow>),
}

/// Prints what comes until somebody ends it.
///
/// # Errors
/// No installation, or its table does not answer.
pub async fn run(args: &TailArgs) -> Outcome {
    let on = Installation::of(&args.target).await?;
    let ended = async {
        // Where the signal cannot be listened for, the system's own way of ending a process is left.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let look = follow(args, &on);
    tokio::select! {
        () = ended => Ok(0),
        failed = look => failed,
    }
}

async fn follow(args: &TailArgs, on: &Installation) -> Outcome {
    let start = args.since.unwrap_or(SignedDuration::ZERO);
    let mut since = before(on.now(), start);
    let mut tail = Tail {
        args,
        automations: automations(on).await?,
        zone: TimeZone::system(),
        seen: HashMap::new(),
        phones: HashMap::new(),
        since,
    };
    let every = Duration::try_from(args.every).unwrap_or_default();
    loop {
        let began = on.now();
        let (news, pages) = look(on, since).await?;
        for one in &news {
            if let Some(line) = tail.line(one) {
                let mut out = anstream::stdout();
                // Whoever read is gone: nobody is left to tell.
                if writeln!(out, "{line}").is_err() {
                    return Ok(0);
                }
            }
        }
        since = before(began, OVERLAP).max(tail.since);
        let pause = match on.stack() {
            Some(_) => PAUSE_A_PAGE.saturating_mul(pages),
            None => Duration::ZERO,
        };
        tokio::time::sleep(pause.max(every)).await;
    }
}

fn before(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_sub(by).unwrap_or(at)
}

/// The file in use, for the country of numbers; nothing was pushed yet: an empty one.
async fn automations(on: &Installation) -> Result<Automations, CliError> {
    let row = on.store.config().await?;
    let file = row.map(|row| row.file).unwrap_or_default();
    engine::automations::parse(&file)
        .or_else(|_| engine::automations::parse(""))
        .map_err(|_| CliError::new("what was pushed cannot be read by this version"))
}

/// What came or changed, oldest first, and how many pages that were.
async fn look(on: &Installation, since: Timestamp) -> Result<(Vec<News>, u32), CliError> {
    let (mut news, mut page, mut pages) = (Vec::new(), None, 0_u32);
    loop {
        let (events, jobs, next) = on.store.list_since(since, page).await?;
        pages = pages.saturating_add(1);
        news.extend(events.into_iter().map(|row| News::Event(Box::new(row))));
        news.extend(jobs.into_iter().map(|row| News::Job(Box::new(row))));
        page = next;
        if page.is_none() {
            break;
        }
    }
    // Of one instant the event comes before its jobs.
    let order = |one: &News| match one {
        News::Event(row) => (row.received_at, 0, row.key.clone()),
        News::Job(row) => (at(row), 1, row.key.clone()),
    };
    news.sort_by_key(order);
    Ok((news, pages))
}

/// When a job came to where it is.
fn at(job: &JobRow) -> Timestamp {
    job.ended_at.or(job.claimed_at).unwrap_or(job.created_at)
}

/// What was printed so far, and how.
struct Tail<'a> {
    args: &'a TailArgs,
    automations: Automations,
    zone: TimeZone,
    /// Key → the state that was printed last.
    seen: HashMap<String, String>,
    /// Event → its customer's number, masked.
    phones: HashMap<String, String>,
    since: Timestamp,
}

impl Tail<'_> {
    /// The line of a row; `None`: it was printed, or was not asked for.
    fn line(&mut self, news: &News) -> Option<String> {
        match news {
            News::Event(row) => self.event(row),
            News::Job(row) => self.job(row),
        }
    }

    fn event(&mut self, row: &EventRow) -> Option<String> {
        let phone = self.phone(row);
        if let Some(phone) = &phone {
            self.phones.insert(row.key.clone(), phone.clone());
        }
        let is_waiting = row.status == EventStatus::New;
        let of_source = self.args.source.as_ref().is_none_or(|it| *it == row.source);
        let of_automation = |name: &String| row.lines.iter().any(|line| line.automation == *name);
        let wanted = of_source && self.args.automation.iter().all(of_automation);
        // One that is still to be planned says soon what becomes of it.
        if !wanted || (is_waiting && row.problem.is_none()) {
            return None;
        }
        let state = format!(
            "{} {}",
            row.status.as_str(),
            row.problem.as_deref().unwrap_or("")
        );
        self.is_news(&row.key, &state)?;
        if self.args.json {
            return Some(value("event", events::as_json(row), phone));
        }
        let name = row.name.map_or("unreadable", |name| name.as_str());
        let lines = row.lines.iter();
        let mut said: Vec<String> = lines
            .map(|line| format!("{}: {}", line.automation, line.why))
            .collect();
        said.extend(row.problem.clone());
        Some(tidy(&[
            instant(row.received_at, &self.zone),
            name.to_owned(),
            row.key.clone(),
            phone.unwrap_or_default(),
            said.join("; "),
        ]))
    }

    fn job(&mut self, row: &JobRow) -> Option<String> {
        let of_source = |name: &String| row.event.starts_with(&format!("{name}/"));
        let of_automation = |name: &String| row.automation == *name;
        if !self.args.source.iter().all(of_source)
            || !self.args.automation.iter().all(of_automation)
        {
            return None;
        }
        // What is being tried has ended by the next look.
        if row.status == Status::Running {
            return None;
        }
        let delivery = row.delivery.map(|delivery| delivery.as_str());
        let state = format!("{} {}", row.status.as_str(), delivery.unwrap_or_default());
        self.is_news(&row.key, &state)?;
        let phone = self.phones.get(&row.event).cloned();
        if self.args.json {
            return Some(value("job", jobs::as_json(row), phone));
        }
        let waits = !row.status.has_ended();
        let what = match (waits, &row.reason) {
            (_, Some(reason)) => format!("{}: {reason}", row.status),
            (true, None) => format!("{} at {}", row.status, instant(row.next_at, &self.zone)),
            (false, None) => row.status.to_string(),
        };
        Some(tidy(&[
            instant(at(row), &self.zone),
            "job".to_owned(),
            format!("{}/{}", row.automation, row.action),
            phone.unwrap_or_default(),
            what,
            delivery.unwrap_or_default().to_owned(),
            row.id.as_str().chars().take(ID_CHARS).collect(),
        ]))
    }

    /// The customer's number, as a screen may show it.
    fn phone(&self, row: &EventRow) -> Option<String> {
        let known = Known::new(row.event.clone()?, &self.automations);
        known.phone.ok().map(|phone| phone::mask(&phone.e164))
    }

    /// Whether a row was not printed in this state.
    fn is_news(&mut self, key: &str, state: &str) -> Option<()> {
        let before = self.seen.insert(key.to_owned(), state.to_owned());
        (before.as_deref() != Some(state)).then_some(())
    }
}

/// How much of a job's id names it, in characters.
const ID_CHARS: usize = 8;

/// What there is, two blanks apart.
fn tidy(parts: &[String]) -> String {
    let parts: Vec<&str> = parts
        .iter()
        .map(String::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    parts.join("  ")
}

/// One JSON value for one line.
fn value(what: &str, mut row: Value, phone: Option<String>) -> String {
    if let Some(fields) = row.as_object_mut() {
        fields.insert("row".to_owned(), what.into());
        fields.insert("phone".to_owned(), phone.into());
    }
    row.to_string()
}
