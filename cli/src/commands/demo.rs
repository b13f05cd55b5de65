//! `callbell demo`: every sample event under the examples' automations, and what people read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use owo_colors::OwoColorize as _;
use serde_json::{Value, json};
use shared::event::Name;
use shared::sources;
use shared::store::{EventFilter, EventRow, JobFilter, JobRow, Status};

use super::Outcome;
use crate::args::DemoArgs;
use crate::dev::envelope::{self, Sample};
use crate::dev::life::{all_events, all_jobs};
use crate::dev::{Dev, Settings};
use crate::error::CliError;
use crate::output::{self, Cell, count, say, table, tally};
use crate::project::{self, Files};

/// How far behind the last sample, and behind whatever waits then, the clock goes, so that everything
/// comes due.
const BEYOND: SignedDuration = SignedDuration::from_hours(8 * 24);
/// The repository's samples and the automations that they are shown with.
const SCENES: [(&str, &str); 7] = [
    ("events/orders", "examples/shop.toml"),
    ("events/appointments", "examples/clinic.toml"),
    ("events/forms", "examples/leads.toml"),
    ("events/leads", "examples/leads.toml"),
    ("events/emails", "examples/leads.toml"),
    ("events/custom", "examples/erp.toml"),
    ("events/callbell", "examples/crm.toml"),
];
/// How long the demonstration waits for one event's jobs, in seconds.
const IDLE_SECONDS_MAX: u64 = 60;
/// Characters of a line of what people read.
const SENTENCE_CHARS: usize = 84;
/// Longest answer of a webhook, in seconds.
const ANSWER_SECONDS_MAX: u64 = 20;

/// A folder of samples and the automations that they meet.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The samples.
    pub events: PathBuf,
    /// The automations.
    pub automations: PathBuf,
}

impl Scene {
    /// All scenes of the repository whose root this is.
    pub fn all(root: &Path) -> Vec<Scene> {
        SCENES
            .iter()
            .map(|(events, automations)| Scene {
                events: root.join(events),
                automations: root.join(automations),
            })
            .collect()
    }

    /// What the command line asks for: all scenes, or another folder or other automations.
    fn asked(args: &DemoArgs) -> Vec<Scene> {
        match (&args.events, &args.automations) {
            (None, None) => Scene::all(Path::new("")),
            (events, automations) => {
                let [(_, shop), ..] = SCENES;
                vec![Scene {
                    events: events.clone().unwrap_or_else(|| "events".into()),
                    automations: automations.clone().unwrap_or_else(|| shop.into()),
                }]
            }
        }
    }
}

/// One sample event and what it came to.
struct Shown {
    file: String,
    at: Timestamp,
    /// What the webhook was answered.
    status: u16,
    answer: Value,
    /// Names of the events that it made.
    events: Vec<String>,
    /// Whom they are about.
    person: Option<String>,
    /// What the worker's record says of a webhook that it had to ask or to read by a table.
    record: Option<String>,
    /// Its jobs, by id, as they stood last.
    jobs: Vec<String>,
}

/// Everything that happened in one scene.
struct Story {
    /// The automations' file, as a heading.
    title: String,
    shown: Vec<Shown>,
    /// By id, as they stood when they were last there: an erasure takes rows away.
    jobs: BTreeMap<String, JobRow>,
    /// Job → sentence, where it is known.
    sentences: BTreeMap<String, Option<String>>,
    /// Event key → what it is, and whom it is about.
    told: BTreeMap<String, (String, Option<String>)>,
    events: usize,
    /// What must not be.
    unexpected: Vec<String>,
    zone: TimeZone,
}

/// Runs the demonstration; exits 1 where anything unexpected happened.
///
/// # Errors
/// No sample events, or the server cannot start.
pub async fn run(args: &DemoArgs) -> Outcome {
    let stories = perform_all(&Scene::asked(args)).await?;
    if args.json {
        output::json(&as_json(&stories))?;
    } else {
        say(text(&stories).trim_end());
    }
    Ok(u8::from(unexpected(&stories) > 0))
}

/// The sample events of a folder and its folders, in the order in which they came.
///
/// # Errors
/// The folder cannot be read or holds none, or one of them is no event.
fn samples(folder: &Path) -> Result<Vec<(String, Sample)>, CliError> {
    let missing = |error: std::io::Error| {
        CliError::new(format!("{} cannot be read: {error}", folder.display()))
            .hint("run it in the repository's folder, or name the folder of the samples: --events")
    };
    let mut files: Vec<PathBuf> = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).map_err(missing)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut samples = Vec::new();
    for path in files {
        let event: Value = serde_json::from_slice(&std::fs::read(&path)?)
            .map_err(|error| CliError::new(format!("{} is no JSON: {error}", path.display())))?;
        let sample = envelope::read(&event).map_err(|part| {
            CliError::new(format!(
                "{} is no event of API Gateway: {part}",
                path.display()
            ))
        })?;
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        samples.push((name, sample));
    }
    if samples.is_empty() {
        return Err(CliError::new(format!(
            "{} holds no sample event",
            folder.display()
        )));
    }
    samples.sort_by_key(|(_, sample)| sample.at);
    Ok(samples)
}

/// Runs the demonstration and returns what it prints, without colours, and whether all was as expected.
///
/// # Errors
/// No sample events, or the server cannot start.
pub async fn plain(scenes: &[Scene]) -> Result<(String, bool), CliError> {
    let stories = perform_all(scenes).await?;
    let text = anstream::adapter::strip_str(&text(&stories)).to_string();
    Ok((text, unexpected(&stories) == 0))
}

async fn perform_all(scenes: &[Scene]) -> Result<Vec<Story>, CliError> {
    let mut stories = Vec::new();
    for scene in scenes {
        stories.push(perform(scene).await?);
    }
    Ok(stories)
}

/// Every scene's table, and what all of it comes to.
fn text(stories: &[Story]) -> String {
    let mut text = String::new();
    for story in stories {
        if stories.len() > 1 {
            text.push_str(&format!("{}\n", story.title.bold()));
        }
        text.push_str(&story.text());
        text.push('\n');
    }
    text.push_str(&format!("{}\n", summary(stories)));
    text
}

/// `14 events, 19 jobs: 15 sent, 3 skipped, 1 cancelled. Next: callbell init`.
fn summary(stories: &[Story]) -> String {
    let jobs = || stories.iter().flat_map(|story| story.jobs.values());
    let events: usize = stories.iter().map(|story| story.events).sum();
    let states = tally(jobs().map(|job| &job.status));
    let next = match unexpected(stories) {
        0 => "Next: callbell init".to_owned(),
        wrong => format!("{wrong} unexpected"),
    };
    format!(
        "{}, {}: {states}. {next}",
        count(events, "event"),
        count(jobs().count(), "job")
    )
}

fn unexpected(stories: &[Story]) -> usize {
    stories.iter().map(|story| story.unexpected.len()).sum()
}

fn as_json(stories: &[Story]) -> Value {
    let samples: Vec<Value> = stories.iter().flat_map(Story::samples).collect();
    let unexpected: Vec<&String> = stories.iter().flat_map(|story| &story.unexpected).collect();
    json!({ "samples": samples, "unexpected": unexpected, "summary": summary(stories) })
}

async fn perform(scene: &Scene) -> Result<Story, CliError> {
    let automations = scene.automations.as_path();
    let samples = samples(&scene.events)?;
    let said = Arc::new(Mutex::new(Vec::new()));
    let notes = said.clone();
    let notice = Arc::new(move |line: &str| {
        notes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line.to_owned());
    });
    let files = Files::read(automations)?;
    let settings = Settings {
        automations: Some(automations.to_owned()),
        ..Settings::default()
    };
    let dev = Dev::start(&settings, notice).await?;
    if dev.store().config().await?.is_none() {
        let said = said
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .join("\n");
        return Err(CliError::new(said));
    }
    let report = files.check(dev.clock().now());
    let zone = report
        .automations
        .map(|automations| automations.defaults.timezone.zone);
    let mut story = Story {
        title: format!("{} under {}", scene.events.display(), automations.display()),
        shown: Vec::new(),
        jobs: BTreeMap::new(),
        sentences: BTreeMap::new(),
        told: BTreeMap::new(),
        events: 0,
        unexpected: Vec::new(),
        zone: zone.unwrap_or(TimeZone::UTC),
    };
    let bar = progress(samples.len());
    if let Some((_, first)) = samples.first() {
        dev.set_clock(first.at);
    }
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(ANSWER_SECONDS_MAX))
        .build()?;
    for (file, sample) in samples {
        bar.set_message(file.clone());
        let gap = sample.at.duration_since(dev.clock().now());
        if gap.is_positive() {
            dev.advance(gap).await?;
            story.look(&dev).await?;
        }
        story.post(&dev, &http, file, sample).await?;
        bar.inc(1);
    }
    bar.set_message("days later");
    dev.advance(BEYOND).await?;
    story.look(&dev).await?;
    if let Some(last) = story.last_due() {
        let rest = last.duration_since(dev.clock().now());
        dev.advance(rest.max(SignedDuration::ZERO).saturating_add(BEYOND))
            .await?;
        story.look(&dev).await?;
    }
    bar.finish_and_clear();
    story.judge();
    Ok(story)
}

/// The connection that a path names; behind a secret there is the function's one alone.
fn source_of(path: &str) -> Option<String> {
    let path = path.split('?').next().unwrap_or_default();
    let function = path.trim_start_matches('/').split('/').next()?;
    match sources::behind_secret(function) {
        Some(source) => Some(source.kind().to_owned()),
        None => project::connection_of(path),
    }
}

/// What the worker makes other events of: they are shown in its place.
fn is_question(name: Name) -> bool {
    matches!(name, Name::SourceChanged | Name::CustomPosted)
}

/// Whom an event is about that automations see.
fn person(row: &EventRow) -> Option<String> {
    let customer = &row.event.as_ref()?.customer;
    let automated = row.name.is_some_and(|name| !name.is_internal());
    let name = customer
        .name
        .clone()
        .or_else(|| customer.first_name.clone());
    name.or(customer.email.clone()).filter(|_| automated)
}

/// Posts one sample as its provider does; the answer's status and body.
async fn deliver(
    dev: &Dev,
    http: &reqwest::Client,
    file: &str,
    sample: Sample,
) -> Result<(u16, Value), CliError> {
    let method = reqwest::Method::from_bytes(sample.method.as_bytes())
        .map_err(|_| CliError::new(format!("{file}: {} is no method", sample.method)))?;
    let mut request = http.request(method, format!("{}{}", dev.url(), sample.path));
    // Some sign the address that they call.
    if !sample.host.is_empty() {
        request = request.header("host", &sample.host);
    }
    for (name, value) in &sample.headers {
        request = request.header(name, value);
    }
    let response = request.body(sample.body).send().await?;
    let status = response.status().as_u16();
    let text = response.text().await?;
    Ok((
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    ))
}

fn progress(length: usize) -> ProgressBar {
    let bar = ProgressBar::new(length as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:20} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar
}

impl Story {
    /// Posts one sample as its provider does, and waits for what it sets off at once.
    async fn post(
        &mut self,
        dev: &Dev,
        http: &reqwest::Client,
        file: String,
        sample: Sample,
    ) -> Result<(), CliError> {
        let known: BTreeSet<String> = all_events(dev.store(), &EventFilter::default())
            .await?
            .into_iter()
            .map(|row| row.key)
            .collect();
        let at = sample.at;
        let own = source_of(&sample.path);
        // Callbell knows what its own webhooks say.
        if let Ok(webhook) = serde_json::from_slice(&sample.body) {
            dev.stand_in().witness(&webhook)?;
        }
        let (status, answer) = deliver(dev, http, &file, sample).await?;
        if !(200..300).contains(&status) {
            self.unexpected.push(format!("{file}: answered {status}"));
        }
        // What this event made is looked up before its jobs end, because some events erase; and again then,
        // because for some the worker has to ask.
        let mut new = all_events(dev.store(), &EventFilter::default()).await?;
        // What comes of something else meanwhile, as what Callbell tells of a message, belongs to no sample.
        let is_its = |row: &EventRow| own.as_deref() == Some(&row.source);
        new.retain(|row| !known.contains(&row.key) && is_its(row));
        let is_asked = new.iter().any(|row| row.name.is_some_and(is_question));
        if !dev.idle(Duration::from_secs(IDLE_SECONDS_MAX)).await? {
            self.unexpected
                .push(format!("{file}: its jobs did not come to an end"));
        }
        let later = all_events(dev.store(), &EventFilter::default()).await?;
        let record = later
            .iter()
            .filter(|row| !known.contains(&row.key) && row.name.is_some_and(is_question))
            .filter(|row| is_its(row))
            .find_map(|row| Some(row.lines.first()?.why.clone()));
        let first: BTreeSet<String> = new.iter().map(|row| row.key.clone()).collect();
        let found =
            |row: &EventRow| !known.contains(&row.key) && !first.contains(&row.key) && is_its(row);
        if is_asked {
            new.extend(later.into_iter().filter(found));
        }
        if new.iter().any(|row| !row.name.is_some_and(is_question)) {
            new.retain(|row| !row.name.is_some_and(is_question));
        }
        self.events += new.len();
        for row in &new {
            let name = row.name.map_or("unreadable", |name| name.as_str());
            self.told
                .insert(row.key.clone(), (name.to_owned(), person(row)));
        }
        let person = new.iter().find_map(person);
        let events = new
            .iter()
            .map(|row| row.name.map_or("unreadable", |name| name.as_str()));
        let events = events.map(str::to_owned).collect();
        let before: BTreeSet<String> = self.jobs.keys().cloned().collect();
        self.look(dev).await?;
        let mut jobs: Vec<&JobRow> = self
            .jobs
            .values()
            .filter(|job| !before.contains(job.id.as_str()))
            .collect();
        jobs.sort_by(|a, b| (a.due_at, &a.key).cmp(&(b.due_at, &b.key)));
        let jobs = jobs
            .into_iter()
            .map(|job| job.id.as_str().to_owned())
            .collect();
        self.shown.push(Shown {
            file,
            at,
            status,
            answer,
            events,
            person,
            record,
            jobs,
        });
        Ok(())
    }

    /// Takes over how everything stands.
    async fn look(&mut self, dev: &Dev) -> Result<(), CliError> {
        for row in all_events(dev.store(), &EventFilter::default()).await? {
            let name = row.name.map_or("unreadable", |name| name.as_str());
            let told = || (name.to_owned(), person(&row));
            self.told.entry(row.key.clone()).or_insert_with(told);
        }
        for job in all_jobs(dev.store(), &JobFilter::default()).await? {
            self.jobs.insert(job.id.as_str().to_owned(), job);
        }
        for message in dev.stand_in().messages() {
            let job = message
                .body
                .pointer("/metadata/job")
                .and_then(Value::as_str);
            if let Some(job) = job {
                self.sentences.insert(job.to_owned(), message.text);
            }
        }
        let mut seen = BTreeSet::new();
        for message in dev.stand_in().messages() {
            let job = message
                .body
                .pointer("/metadata/job")
                .and_then(Value::as_str);
            let job = job.unwrap_or_default().to_owned();
            let doubled = format!("job {job} sent two messages");
            if !seen.insert(job) && !self.unexpected.contains(&doubled) {
                self.unexpected.push(doubled);
            }
        }
        Ok(())
    }

    /// When the last of what still waits is due.
    fn last_due(&self) -> Option<Timestamp> {
        let waiting = |job: &&JobRow| job.ended_at.is_none();
        self.jobs
            .values()
            .filter(waiting)
            .map(|job| job.next_at)
            .max()
    }

    /// Finds what must not be.
    fn judge(&mut self) {
        for job in self.jobs.values() {
            match job.status {
                Status::Sent | Status::Skipped | Status::Cancelled => {}
                status => {
                    let reason = job.reason.as_deref().unwrap_or("no reason");
                    self.unexpected
                        .push(format!("{}: {status}: {reason}", job.key));
                }
            }
        }
    }

    fn what(&self, job: &JobRow) -> String {
        let sentence = self.sentences.get(job.id.as_str()).cloned().flatten();
        let reason = job.reason.clone();
        match job.status {
            Status::Sent => sentence.or(reason).unwrap_or_else(|| {
                let spoke = self.sentences.contains_key(job.id.as_str());
                match job.action.split('.').next() {
                    Some("reply") if !spoke => "(handed over to the team)".to_owned(),
                    Some("message" | "reply") => "(its text is not known)".to_owned(),
                    _ => format!("→ {}", job.action),
                }
            }),
            _ => format!(
                "({}: {})",
                job.action,
                reason.or(sentence).unwrap_or_default()
            ),
        }
    }

    /// The table, and below it what must not be.
    fn text(&self) -> String {
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        for shown in &self.shown {
            let person = shown.person.clone().unwrap_or_default();
            let mut row = |at: Timestamp,
                           event: String,
                           person: &str,
                           what: String,
                           status: Option<Status>| {
                let at = output::instant(at, &self.zone);
                // A long sentence goes on in the lines below.
                for (index, line) in output::wrap(&what, SENTENCE_CHARS).into_iter().enumerate() {
                    let first = |text: &str| {
                        if index == 0 {
                            text.to_owned()
                        } else {
                            String::new()
                        }
                    };
                    let line = Cell::from(line);
                    let state = status
                        .filter(|_| index == 0)
                        .map(Cell::status)
                        .unwrap_or_default();
                    let (line, event) = match status {
                        Some(status) => (line.colored(status), Cell::from(first(&event))),
                        None => (line.faint(), Cell::from(first(&event)).faint()),
                    };
                    let at = Cell::from(first(&at)).faint();
                    rows.push(vec![at, event, first(person).into(), line, state]);
                }
            };
            if shown.jobs.is_empty() {
                row(shown.at, shown.title(), &person, shown.nothing(), None);
            }
            for job in shown.jobs.iter().filter_map(|id| self.jobs.get(id)) {
                // What has a time of its own stands with it.
                let at = match job.action.starts_with("reply.") {
                    // A moment after it was asked, by the machine's own clock.
                    true => shown.at,
                    false => job.due_at.max(shown.at),
                };
                let told = self.told.get(&job.event);
                let about = told.and_then(|(_, person)| person.as_deref());
                let event = self.event_of(job, shown);
                let what = self.what(job);
                row(at, event, about.unwrap_or(&person), what, Some(job.status));
            }
        }
        let mut text = table(
            &["time", "event", "person", "what they read", "state"],
            &rows,
        );
        for line in &self.unexpected {
            text.push_str(&format!("unexpected: {line}\n"));
        }
        text
    }

    /// The event that a job was made for: of several that one webhook made, the one in its key.
    fn event_of(&self, job: &JobRow, shown: &Shown) -> String {
        if let Some((name, _)) = self.told.get(&job.event) {
            return name.clone();
        }
        let fact = job
            .event
            .rsplit('/')
            .find(|part| part.chars().all(|c| c.is_ascii_alphabetic()));
        let named =
            |event: &&String| fact.is_some_and(|fact| event.rsplit('.').next() == Some(fact));
        shown
            .events
            .iter()
            .find(named)
            .or(shown.events.first())
            .cloned()
            .unwrap_or_else(|| shown.title())
    }

    fn samples(&self) -> Vec<Value> {
        self.shown
            .iter()
            .map(|shown| {
                let jobs = shown.jobs.iter().filter_map(|id| self.jobs.get(id)).map(|job| {
                    json!({
                        "key": job.key, "status": job.status.as_str(), "reason": job.reason,
                        "text": self.sentences.get(job.id.as_str()),
                    })
                });
                json!({
                    "file": shown.file, "at": shown.at, "answered": shown.status,
                    "events": shown.events, "person": shown.person, "jobs": jobs.collect::<Vec<_>>(),
                })
            })
            .collect()
    }
}

impl Shown {
    /// The file's name without its number.
    fn title(&self) -> String {
        self.events.last().cloned().unwrap_or_else(|| {
            let name = self
                .file
                .trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
            name.to_owned()
        })
    }

    /// Why there is no job.
    fn nothing(&self) -> String {
        let status = self.answer.get("status").and_then(Value::as_str);
        if let (Some(record), Some("source.changed" | "custom.posted")) =
            (&self.record, self.events.first().map(String::as_str))
        {
            return format!("({record})");
        }
        let why = match (self.events.first().map(String::as_str), status) {
            (Some("privacy.data_request"), _) => "(what the shop holds is for the shop to say)",
            (Some(name), _) if name.starts_with("privacy.") => "(erased)",
            (Some("appointment.released"), _) => "(where it went comes in another webhook)",
            (Some("appointment.updated" | "message.status"), _) => "(remembered)",
            (Some("deal.deleted"), _) => "(what waits for it ends)",
            (Some("message.echo"), _) => "(our own message)",
            (Some(_), _) => "(no automation wants it)",
            (None, Some("duplicate")) => "(came before: nothing is done twice)",
            (None, Some("pong")) => "(answered)",
            // Some want an answer of their own, which tells nothing.
            (None, None) if self.file.contains("redelivered") => {
                "(came before: nothing is done twice)"
            }
            (None, _) => "(nothing to do)",
        };
        why.to_owned()
    }
}
