//! What is known of a person in another system beside what an event of them says: what changed since we last saw
//! them, and whether it was we who changed it. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use shared::event::{Body, Event, Name, SubjectKind};
use shared::store::{EventRow, LEASE_MS, OwnWrite, PHONE, PersonId};

use super::Known;

/// By how much the clock of another system may differ from ours, and how long it goes on with what follows from
/// a write by itself: systems date changes in whole seconds, and fill in fields of their own behind them.
const SLACK: SignedDuration = SignedDuration::from_secs(5);

/// The fields of the event's person that are remembered, by the names of `lead.changed`; `None`: the event
/// shows nothing of one.
pub fn fields(known: &Known) -> Option<BTreeMap<String, Option<String>>> {
    let event = &known.event;
    let lead = event.lead()?;
    let customer = &event.customer;
    let mut shown = BTreeMap::new();
    for (name, value) in &lead.fields {
        if let Some(text) = text(value) {
            shown.insert(name.clone(), Some(text));
        }
    }
    let mut tags = customer.tags.clone();
    tags.sort();
    let owner = lead.owner.email.as_ref().or(lead.owner.name.as_ref());
    let own = [
        ("email", customer.email.clone()),
        ("name", customer.name.clone()),
        ("company", lead.company.clone()),
        ("stage", lead.stage.clone()),
        ("owner", owner.cloned()),
        ("tags", (!tags.is_empty()).then(|| tags.join("\n"))),
    ];
    for (name, value) in own {
        if let Some(value) = value.filter(|value| !value.trim().is_empty()) {
            shown.insert(name.to_owned(), Some(value));
        }
    }
    // The number, in whichever form it is typed; a source that shows the place of one shows that it is blank.
    let phone = known.phone.as_ref().ok();
    if phone.is_some() || !customer.phones.is_empty() {
        let identity = phone.map(|phone| phone.identity.clone());
        shown.insert(PHONE.to_owned(), identity);
    }
    Some(shown)
}

/// Of the system's own fields, what tells two values apart; `None`: it is blank.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) if text.trim().is_empty() => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Adds what the worker knows that changed to what the source says of it.
pub fn told(event: &mut Event, changed: &[String]) {
    if event.event.name != Name::LeadUpdated {
        return;
    }
    if let Body::Lead { lead } = &mut event.body {
        let said = lead.changed.clone();
        let more = changed.iter().filter(|name| !said.contains(name));
        lead.changed.extend(more.cloned());
    }
}

/// Whether an event of a person in another system comes of what we wrote there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// It does not.
    Foreign,
    /// We are at that person's record: what it is, its answer will say.
    Unknown,
    /// It is what we wrote: no automation shall see it.
    Own,
    /// It came soon after something that we wrote, and may follow from it: this many of our own actions led to
    /// it.
    Behind(u8),
}

/// Why no automation saw the event of a person in another system when it was planned.
pub fn was_silent(row: &EventRow) -> Option<String> {
    let name = row
        .name
        .filter(|name| name.subject() == SubjectKind::Lead)?;
    let mut lines = row.lines.iter();
    let line = lines.find(|line| line.automation == name.as_str() && !line.matched);
    line.map(|line| line.why.clone())
}

/// What an event is beside our own `writes` to its person lately.
///
/// A write is told by its time: the system dates its changes, and what it dates while we were writing is ours.
/// What else happens to the person soon afterwards is news, also where some rule of that system makes it of our
/// write; then each time around counts, and the chain stops at its depth. A number that our write did not know
/// is never ours: whoever gets a phone is welcomed.
pub fn echo(known: &Known, writes: &[OwnWrite], now: Timestamp) -> Echo {
    let event = &known.event;
    if event.subject.kind != SubjectKind::Lead {
        return Echo::Foreign;
    }
    let at = event.event.at;
    let behind: Vec<&OwnWrite> = writes
        .iter()
        .filter(|write| at >= before(write.from))
        .collect();
    let ended = |write: &&&OwnWrite| write.to.is_some();
    let is_ours = |write: &&OwnWrite| is_ours(known, write);
    if behind.iter().filter(ended).any(is_ours) {
        return Echo::Own;
    }
    let runs = |write: &&OwnWrite| write.to.is_none() && now < lapse(write);
    if behind.iter().any(runs) {
        return Echo::Unknown;
    }
    if behind.iter().any(is_ours) {
        return Echo::Own;
    }
    match behind.iter().map(|write| write.depth).max() {
        Some(depth) => Echo::Behind(depth.saturating_add(1)),
        None => Echo::Foreign,
    }
}

fn is_ours(known: &Known, write: &OwnWrite) -> bool {
    let event = &known.event.event;
    let to = write.to.unwrap_or_else(|| lapse(write));
    // One whose answer was lost may have made the record.
    let may_create = write.created || write.to.is_none();
    let phone = known.phone.as_ref().ok();
    let phone = phone.map(|phone| PersonId::phone(&phone.identity));
    let knew = phone.is_none_or(|phone| write.persons.iter().any(|it| it == phone.digest()));
    event.at <= after(to) && knew && (event.name != Name::LeadCreated || may_create)
}

/// When a write whose answer did not come has surely ended.
fn lapse(write: &OwnWrite) -> Timestamp {
    let lease = SignedDuration::from_millis(LEASE_MS);
    write.from.saturating_add(lease).unwrap_or(write.from)
}

fn before(at: Timestamp) -> Timestamp {
    at.saturating_sub(SLACK).unwrap_or(at)
}

fn after(at: Timestamp) -> Timestamp {
    at.saturating_add(SLACK).unwrap_or(at)
}
