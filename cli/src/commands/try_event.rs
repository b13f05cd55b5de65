//! `callbell try`: what an event would do, without sending anything.

use engine::actions::message::Recipient;
use engine::automations::model::Automations;
use engine::automations::render::Form;
use engine::automations::samples;
use engine::delivery::preview::{Explained, Explanation, Verdict, WrittenElsewhere, explain};
use engine::phone;
use engine::plan::custom;
use http::Method;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use lambda_http::{Body, Request};
use owo_colors::OwoColorize as _;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::connections::Connection;
use shared::event::{Event, Name, SubjectKind};
use shared::payload::CalledAt;
use shared::secrets::Secret;
use shared::sources::{self, Proofs, Reading, Source, Unsigned, demo};
use shared::store::Status;

use super::Outcome;
use crate::args::TryArgs;
use crate::dev::envelope::{self, Sample};
use crate::error::CliError;
use crate::output::{self, instant, say};
use crate::project::{self, Files};

const JSON: &str = "application/json";
/// What some editors write before a text of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Explains an event of the language, or every event of a file.
///
/// # Errors
/// The automations have errors, or the event cannot be read.
pub fn run(args: &TryArgs) -> Outcome {
    let files = Files::read(&args.automations)?;
    let now = Clock::system().now();
    let report = files.check(now);
    let Some(automations) = &report.automations else {
        super::check::print(&args.automations.display().to_string(), &report);
        return Err(CliError::new("nothing can be tried before that is mended"));
    };
    let named = Name::parse(&args.event);
    let is_message = named.is_some_and(|name| name.subject() == SubjectKind::Message);
    if (args.text.is_some() || args.last_sent.is_some()) && !is_message {
        return Err(
            CliError::new("--text and --last-sent are of a sample message")
                .hint("callbell try message.received --text \"SÌ\" --last-sent visit"),
        );
    }
    let events = match named {
        Some(name) => vec![sample(name, args, now)],
        None => read(args, automations, now)?,
    };
    let templates = files.templates();
    let zone = &automations.defaults.timezone.zone;
    let mut list = Vec::new();
    for event in events {
        let name = event.event.name;
        let at = event.event.at;
        let rest = rest(&event);
        let explained = explain(event, automations, &templates);
        if args.json {
            list.push(as_json(name, at, &explained, rest.as_deref()));
        } else {
            print(name, at, &explained, rest.as_deref(), zone);
            let others = automations
                .automations
                .iter()
                .filter(|(_, one)| !one.on.contains(&name));
            let others: Vec<&str> = others.map(|(name, _)| name.as_str()).collect();
            if !others.is_empty() {
                say(format!("  on other events: {}", others.join(", "))
                    .dimmed()
                    .to_string());
            }
        }
    }
    if args.json {
        output::json(&list)?;
    }
    Ok(0)
}

fn sample(name: Name, args: &TryArgs, now: Timestamp) -> Event {
    let mut event = samples::sample(name, samples::Kind::Full, now, []);
    if let Some(source) = &args.source {
        event.event.source.clone_from(source);
    }
    if let shared::event::Body::Message {
        message,
        conversation,
        ..
    } = &mut event.body
    {
        if args.text.is_some() {
            message.text.clone_from(&args.text);
        }
        if let Some(conversation) = conversation
            && args.last_sent.is_some()
        {
            conversation.last_sent.clone_from(&args.last_sent);
        }
    }
    event
}

/// The events of a file: one of events/, or a body as the provider posts it.
fn read(args: &TryArgs, automations: &Automations, now: Timestamp) -> Result<Vec<Event>, CliError> {
    let known: Vec<&str> = Name::ALL
        .iter()
        .filter(|name| !name.is_internal())
        .map(|name| name.as_str())
        .collect();
    let bytes = std::fs::read(&args.event).map_err(|error| {
        CliError::new(format!(
            "{} is no event and cannot be read as a file: {error}",
            args.event
        ))
        .hint(format!("events are: {}", known.join(", ")))
    })?;
    let sample = enveloped(&bytes)
        .map_err(|error| CliError::new(format!("{} is no JSON: {error}", args.event)))?;
    let path_name = sample.as_ref().and_then(|sample| {
        sample
            .path
            .split('?')
            .next()
            .and_then(project::connection_of)
    });
    let name = args.source.clone().or(path_name).ok_or_else(|| {
        CliError::new(format!("{} does not say where it comes from", args.event))
            .hint("add --source shopify")
    })?;
    let connection = project::connections(automations).get(&name);
    let source = sources::by_kind(&connection.kind).ok_or_else(|| {
        let kinds: Vec<&str> = sources::ALL.iter().map(|source| source.kind()).collect();
        CliError::new(format!(
            "no source \"{name}\"; there are: {}",
            kinds.join(", ")
        ))
        .hint(format!(
            "a name of its own needs a table: [source.{name}] kind = \"…\""
        ))
    })?;
    let (body, headers, now) = match sample {
        Some(sample) => (sample.body, sample.headers, sample.at),
        None => {
            let kind = ("content-type".to_owned(), content_type(&bytes).to_owned());
            (bytes, vec![kind], now)
        }
    };
    let events = decode(source, &connection, body, &headers, now)?;
    meant(events, automations)
}

/// The request of a file of events/; `None`: it is a body as the provider posts it, which may be a form or XML.
fn enveloped(bytes: &[u8]) -> Result<Option<Sample>, serde_json::Error> {
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    match serde_json::from_slice::<Value>(text) {
        Ok(value) => Ok(envelope::read(&value).ok()),
        // Neither a form nor XML begins like that.
        Err(error) if content_type(bytes) == JSON => Err(error),
        Err(_) => Ok(None),
    }
}

/// What a body is by its first sign.
fn content_type(body: &[u8]) -> &'static str {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    match body.trim_ascii_start().first() {
        Some(b'{' | b'[') => JSON,
        Some(b'<') => "text/xml; charset=utf-8",
        _ => "application/x-www-form-urlencoded",
    }
}

/// A post is what its `[source.x]` says that it is, as the worker reads it.
fn meant(events: Vec<Event>, automations: &Automations) -> Result<Vec<Event>, CliError> {
    let mut meant = Vec::new();
    for event in events {
        if event.event.name != Name::CustomPosted {
            meant.push(event);
            continue;
        }
        let custom::Read {
            events, problems, ..
        } = custom::read(&event, automations);
        if events.is_empty() {
            let why = problems.join("; ");
            return Err(CliError::new(format!("it makes no event: {why}")));
        }
        let notes = events.iter().flat_map(|event| &event.event.notes);
        for problem in problems.iter().chain(notes) {
            output::warn(problem, None);
        }
        meant.extend(events);
    }
    Ok(meant)
}

/// Reads a body through the source's own code. Its signature is made here: what is tried is what the
/// body says, not who sent it.
fn decode(
    source: &dyn Source,
    connection: &Connection,
    body: Vec<u8>,
    headers: &[(String, String)],
    now: Timestamp,
) -> Result<Vec<Event>, CliError> {
    let secret = demo::secret(source.kind());
    let behind_secret = source.is_behind_secret();
    let path = demo::path(source);
    let last = if behind_secret {
        &path
    } else {
        &connection.name
    };
    let query = sources::query(source, &secret);
    let mark = if query.is_empty() { "" } else { "?" };
    let url = format!(
        "https://localhost/{}/{last}{mark}{query}",
        source.function()
    );
    let unsigned = Unsigned {
        url: &url,
        ..Unsigned::of(connection, &secret, &body, now)
    };
    let signed = source.sign(&unsigned);
    let called_at = CalledAt(url.clone());
    let mut request = http::Request::builder()
        .method(Method::POST)
        .uri(url)
        .extension(called_at);
    let replaced = |name: &str| signed.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    for (name, value) in headers.iter().filter(|(name, _)| !replaced(name)) {
        request = request.header(name, value);
    }
    for (name, value) in &signed {
        request = request.header(name, value);
    }
    let request: Request = request
        .body(Body::Binary(body))
        .map_err(|error| CliError::new(format!("its headers cannot be used: {error}")))?;
    let raw = sources::raw(source, request).map_err(|error| CliError::new(error.to_string()))?;
    if let Some(answer) = source.handshake(&raw) {
        return Err(CliError::new(format!(
            "that is no event: it is answered with {}",
            answer.status
        )));
    }
    let mut secrets = vec![secret];
    secrets.extend(behind_secret.then(|| Secret::new(path.clone())));
    let keys = demo::public_keys();
    let proofs = Proofs {
        keys: &keys,
        ..Proofs::of(connection, &secrets)
    };
    let verified = source
        .verify(&raw, &proofs, now)
        .map_err(|refusal| CliError::new(refusal.to_string()))?;
    match source.read(&verified, connection, now) {
        Ok(Reading::Events(events)) => Ok(events),
        Ok(Reading::Nothing(why)) => Err(CliError::new(format!("it makes no event: {why}"))),
        Err(error) => Err(CliError::new(format!("it cannot be read: {error}"))),
    }
}

/// What to try where a push says that something changed and not what: nobody is asked from here.
fn rest(event: &Event) -> Option<String> {
    let head = &event.event;
    if head.name != Name::SourceChanged {
        return None;
    }
    let events = sources::by_kind(&head.kind)?.events();
    let name = events.iter().find(|name| !name.is_internal())?;
    let source = &head.source;
    Some(format!(
        "the worker has to ask for the rest: callbell try {name} --source {source} shows what would follow"
    ))
}

fn print(name: Name, at: Timestamp, explained: &Explained, rest: Option<&str>, zone: &TimeZone) {
    say(format!("{} at {}", name.as_str().bold(), instant(at, zone)));
    match rest {
        Some(rest) => say(format!("  {rest}")),
        None if !explained.lines.is_empty() => {}
        None if name.is_internal() => {
            say("  no automation sees it: this program acts upon it by itself");
        }
        None => say("  no automation is on it"),
    }
    for line in &explained.lines {
        if !line.matched {
            say(format!(
                "  {} {}: {}",
                "no ".dimmed(),
                line.automation,
                line.why
            ));
            continue;
        }
        say(format!("  {} {}", "yes".green(), line.automation));
        for job in explained
            .jobs
            .iter()
            .filter(|job| job.automation == line.automation)
        {
            print_job(job, at, zone);
        }
    }
}

fn print_job(job: &Explanation, at: Timestamp, zone: &TimeZone) {
    let when = if job.at > at {
        format!("at {}", instant(job.at, zone))
    } else {
        "at once".to_owned()
    };
    let fate = match &job.verdict {
        Verdict::Goes => "goes out".green().to_string(),
        Verdict::Waits(why) => format!("waits: {why}").cyan().to_string(),
        Verdict::Ends(status, why) => match status {
            Status::Dead => format!("{status}: {why}").red().to_string(),
            _ => format!("{status}: {why}").yellow().to_string(),
        },
    };
    say(format!("      {}, {when}: {fate}", job.action));
    if let Some(written) = &job.written {
        say(format!(
            "      to {} by the secret {}",
            written.system, written.secret
        ));
        for (name, value) in &written.values {
            say(format!("      {name} = {value}"));
        }
        return;
    }
    let to = match &job.to {
        Ok(to) => masked(to),
        Err(why) => why.clone(),
    };
    let channel = job.channel.as_deref().unwrap_or("no channel");
    say(format!("      to {to} by {channel}"));
    for said in &job.said {
        let form = match said.form {
            Form::Template => "template",
            Form::Free if job.said.len() > 1 => "inside the 24 hours",
            Form::Free => "text",
        };
        let text = said.text.clone().unwrap_or_else(|| {
            format!(
                "(its text is not known: callbell templates pull) {}",
                said.values.join(" | ")
            )
        });
        say(format!("      {} {}: {text}", said.locale, form));
    }
}

/// Who it is, without saying so.
fn masked(to: &Recipient) -> String {
    to.e164()
        .map_or_else(|| "a person who hides the number".to_owned(), phone::mask)
}

fn as_json(name: Name, at: Timestamp, explained: &Explained, rest: Option<&str>) -> Value {
    let jobs = explained.jobs.iter().map(|job| {
        let (verdict, reason) = match &job.verdict {
            Verdict::Goes => ("goes out", None),
            Verdict::Waits(why) => ("waits", Some(why)),
            Verdict::Ends(status, why) => (status.as_str(), Some(why)),
        };
        let said = job.said.iter().map(|said| {
            json!({
                "template": said.form == Form::Template, "locale": said.locale, "text": said.text,
                "values": said.values,
            })
        });
        json!({
            "automation": job.automation, "action": job.action, "at": job.at, "verdict": verdict,
            "reason": reason, "channel": job.channel,
            "to": job.to.as_ref().map(masked).ok(),
            "no_recipient": job.to.as_ref().err(), "messages": said.collect::<Vec<_>>(),
            "written": job.written.as_ref().map(as_written),
        })
    });
    json!({
        "event": name.as_str(), "at": at, "automations": explained.lines,
        "jobs": jobs.collect::<Vec<_>>(), "hint": rest,
    })
}

fn as_written(written: &WrittenElsewhere) -> Value {
    let value = |(name, value): &(String, String)| (name.clone(), Value::from(value.as_str()));
    let values: serde_json::Map<String, Value> = written.values.iter().map(value).collect();
    json!({"system": written.system, "secret": written.secret, "values": values})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_of_the_language_is_explained() {
        let example =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/shop.toml");
        let files = Files::read(&example).unwrap();
        let now: Timestamp = "2026-11-24T15:00:00Z".parse().unwrap();
        let automations = files.check(now).automations.unwrap();
        let event = samples::sample(Name::OrderPaid, samples::Kind::Full, now, []);
        let explained = explain(event, &automations, &files.templates());
        let job = explained.jobs.first().unwrap();
        assert_eq!(
            (job.automation.as_str(), &job.verdict),
            ("order-confirmed", &Verdict::Goes)
        );
        let said = job.said.first().unwrap();
        assert!(said.text.as_deref().unwrap().contains("R$"), "{said:?}");
        for name in Name::ALL.iter().filter(|name| !name.is_internal()) {
            let event = samples::sample(*name, samples::Kind::Required, now, []);
            let on = automations
                .automations
                .values()
                .filter(|one| one.on.contains(name))
                .count();
            assert_eq!(
                explain(event, &automations, &files.templates()).lines.len(),
                on,
                "{name}"
            );
        }
    }
}
