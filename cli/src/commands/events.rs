//! `callbell events`.

use jiff::tz::TimeZone;
use serde_json::{Value, json};
use shared::event::Name;
use shared::store::{EventFilter, EventRow};

use super::Outcome;
use crate::args::EventsArgs;
use crate::installation::Installation;
use crate::lists;
use crate::output::{self, count, instant, say};

/// Lists events that matched nothing with the reasons, or all of them.
///
/// # Errors
/// No installation.
pub async fn run(args: &EventsArgs) -> Outcome {
    let on = Installation::of(&args.target).await?;
    let filter = EventFilter {
        since: args
            .since
            .and_then(|since| on.now().checked_sub(since).ok()),
        ..EventFilter::default()
    };
    let events = lists::events(&on.store, &filter).await?;
    let total = events.len();
    let events: Vec<EventRow> = events
        .into_iter()
        .filter(|event| args.all || !(matched(event) || is_internal(event)))
        .collect();
    if args.json {
        output::json(&events.iter().map(as_json).collect::<Vec<_>>())?;
        return Ok(0);
    }
    let zone = TimeZone::system();
    for event in &events {
        let name = event.name.map_or("unreadable", |name| name.as_str());
        say(format!(
            "{}  {name}  {}",
            instant(event.received_at, &zone),
            event.key
        ));
        if let Some(problem) = &event.problem {
            say(format!("    {problem}"));
        }
        for note in event.event.iter().flat_map(|event| &event.event.notes) {
            say(format!("    {note}"));
        }
        for line in &event.lines {
            say(format!("    {}: {}", line.automation, line.why));
        }
    }
    say(if args.all {
        count(total, "event")
    } else {
        format!(
            "{}, {} of them matched nothing",
            count(total, "event"),
            events.len()
        )
    });
    Ok(0)
}

/// Whether no automation can name it, so that nobody asks why none matched. A post that became no event is
/// asked about all the same.
fn is_internal(event: &EventRow) -> bool {
    event
        .name
        .is_some_and(|name| name.is_internal() && name != Name::CustomPosted)
}

/// Whether some automation made jobs of it.
pub fn matched(event: &EventRow) -> bool {
    event.lines.iter().any(|line| line.matched)
}

/// An event as scripts read it.
pub fn as_json(event: &EventRow) -> Value {
    json!({
        "id": event.key, "name": event.name.map(|name| name.as_str()), "source": event.source,
        "received_at": event.received_at, "status": event.status.as_str(), "reason": event.problem,
        "notes": event.event.as_ref().map(|event| event.event.notes.clone()).unwrap_or_default(),
        "automations": event.lines,
    })
}
