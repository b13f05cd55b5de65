//! Deals, and what the worker asks of them.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::body::{Action, Webhook, id_at, moment_at, text_at};
use super::person;
use crate::connections::Connection;
use crate::event::{
    Body, Changed, Customer, Deal, DealStatus, Event, FreeMap, Host, Money, Name, State, Subject,
    SubjectKind,
};
use crate::sources::{Reading, Unreadable, read};

/// Largest fields of a deal that are kept, in bytes of JSON.
const FIELDS_BYTES_MAX: usize = 32 * 1024;
/// The deal's event, without its customer.
const EVENT: &str = "event";
/// The person's id.
const PERSON: &str = "person_id";
/// The owner's id.
const OWNER: &str = "owner_id";
/// What of a deal is no field beside the others.
const OWN: [&str; 19] = [
    "id",
    "title",
    "value",
    "currency",
    "status",
    "stage_id",
    "pipeline_id",
    "add_time",
    "update_time",
    "owner_name",
    "user_id",
    // What the person is, is asked for. Version 1 may show them whole.
    "person_id",
    "person_name",
    "person_phone",
    "person_email",
    "cc_email",
    "formatted_value",
    "formatted_weighted_value",
    "weighted_value_currency",
];

/// What a deal's webhook says.
pub(super) fn read(webhook: &Webhook, connection: &Connection) -> Result<Reading, Unreadable> {
    match webhook.action {
        Action::Created => Ok(Reading::Nothing("a deal was opened")),
        Action::Merged => Ok(Reading::Nothing("deals were merged")),
        Action::Deleted => Ok(Reading::Events(vec![deleted(webhook, connection)])),
        Action::Changed if webhook.is_gone() => {
            Ok(Reading::Events(vec![deleted(webhook, connection)]))
        }
        Action::Changed => {
            let changed = webhook.changed();
            if changed.as_ref().is_some_and(Vec::is_empty) {
                return Ok(Reading::Nothing("nothing of the deal itself changed"));
            }
            let fact = Fact::of(webhook, &changed.unwrap_or_default());
            Ok(Reading::Events(vec![question(webhook, &fact, connection)]))
        }
    }
}

/// Ends what waits. Nothing is known of the deal but that it is gone.
fn deleted(webhook: &Webhook, connection: &Connection) -> Event {
    let id = &webhook.id;
    let key = format!("deal/{id}/deleted");
    Event {
        event: webhook.head(connection, Name::DealDeleted, &key, webhook.at),
        customer: Customer::default(),
        subject: Subject {
            created_at: webhook.created_at().unwrap_or(webhook.at),
            state: State::Cancelled,
            ..Subject::new(SubjectKind::Deal, id, webhook.at)
        },
        body: Body::Changed {
            changed: Changed::default(),
        },
    }
}

/// What became of a deal, when, and what tells that from everything else that does.
struct Fact {
    name: Name,
    at: Timestamp,
    key: String,
}

impl Fact {
    /// A deal is won by the change that made it so, and by no later one.
    fn of(webhook: &Webhook, changed: &[&str]) -> Fact {
        let before = webhook.previous.get("status").and_then(Value::as_str);
        let now = webhook.data.get("status").and_then(Value::as_str);
        // One that was deleted and is there again is what it was.
        let turned = before.is_some_and(|before| before != "deleted") && before != now;
        let decided = match now {
            Some("won") if turned => Some((Name::DealWon, "won", "won_time")),
            Some("lost") if turned => Some((Name::DealLost, "lost", "lost_time")),
            _ => None,
        };
        match decided {
            Some((name, word, time)) => {
                let at = moment_at(&webhook.data, time).unwrap_or(webhook.as_of());
                let key = format!("{word}/{}", at.as_second());
                Fact { name, at, key }
            }
            None => Fact {
                name: Name::DealUpdated,
                at: webhook.as_of(),
                key: format!("updated/{}", webhook.version(changed)),
            },
        }
    }
}

/// What the webhook said, for the worker to complete.
fn question(webhook: &Webhook, fact: &Fact, connection: &Connection) -> Event {
    let id = &webhook.id;
    let data = &webhook.data;
    let key = format!("deal/{id}/{}", fact.key);
    let mut head = webhook.head(connection, fact.name, &key, fact.at);
    let (deal, left_out) = deal(webhook);
    if left_out > 0 {
        head.notes.push(format!(
            "deal.fields: {left_out} left out, they were too large"
        ));
    }
    let as_of = webhook.as_of();
    let event = Event {
        event: head,
        customer: Customer::default(),
        subject: Subject {
            created_at: webhook.created_at().unwrap_or(as_of),
            ..Subject::new(SubjectKind::Deal, id, as_of)
        },
        body: Body::Deal {
            deal: Box::new(deal),
        },
    };
    let person = id_at(data, PERSON);
    let owner = id_at(data, OWNER).or_else(|| id_at(data, "user_id"));
    let mut about = FreeMap::new();
    about.insert(
        EVENT.to_owned(),
        serde_json::to_value(&event).unwrap_or_default(),
    );
    for (name, id) in [(PERSON, &person), (OWNER, &owner)] {
        about.extend(
            id.iter()
                .map(|id| (name.to_owned(), Value::from(id.as_str()))),
        );
    }
    let key = format!("source/{key}");
    Event {
        event: webhook.head(connection, Name::SourceChanged, &key, fact.at),
        // Whose it is, until it goes.
        customer: Customer {
            id: person,
            ..Customer::default()
        },
        subject: Subject::new(SubjectKind::Source, id, as_of),
        body: Body::Changed {
            changed: Changed { about },
        },
    }
}

/// The deal as the webhook shows it, stages and pipeline by their ids, and how many of its fields were too
/// large.
fn deal(webhook: &Webhook) -> (Deal, usize) {
    let data = &webhook.data;
    let (fields, left_out) = within(webhook.fields(&OWN));
    let stage = |data: &FreeMap| id_at(data, "stage_id");
    let now = stage(data);
    let deal = Deal {
        id: webhook.id.clone(),
        title: text_at(data, "title").unwrap_or_default(),
        value: data.get("value").and_then(amount).unwrap_or_default(),
        currency: text_at(data, "currency").unwrap_or_default(),
        previous_stage: stage(&webhook.previous).filter(|before| Some(before) != now.as_ref()),
        stage: now.unwrap_or_default(),
        pipeline: id_at(data, "pipeline_id"),
        status: match data.get("status").and_then(Value::as_str) {
            Some("won") => DealStatus::Won,
            Some("lost") => DealStatus::Lost,
            _ => DealStatus::Open,
        },
        owner: Host {
            name: text_at(data, "owner_name"),
            email: None,
        },
        url: webhook.url("deal"),
        fields,
    };
    (deal, left_out)
}

/// The first fields that are not too large together, and how many are left out.
fn within(fields: FreeMap) -> (FreeMap, usize) {
    let all = fields.len();
    let mut bytes = 0_usize;
    let mut kept = Map::new();
    for (name, value) in fields {
        let size = name.len().saturating_add(value.to_string().len());
        if bytes.saturating_add(size) <= FIELDS_BYTES_MAX {
            bytes = bytes.saturating_add(size);
            kept.insert(name, value);
        }
    }
    let left_out = all.saturating_sub(kept.len());
    (kept, left_out)
}

fn amount(value: &Value) -> Option<Money> {
    read::money(value).ok().flatten()
}

/// What of a deal has to be asked for, each by its id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Whom it is about: `GET /api/v2/persons/{id}`. `None`: nobody.
    pub person: Option<String>,
    /// Where it stands.
    pub stage: Option<String>,
    /// Where it stood before.
    pub previous_stage: Option<String>,
    /// In which pipeline.
    pub pipeline: Option<String>,
    /// Who takes care of it.
    pub owner: Option<String>,
}

/// What was found of it: the `data` of each answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The person, as far as there is one.
    pub person: Option<Value>,
    /// The stage.
    pub stage: Option<Value>,
    /// The stage before.
    pub previous_stage: Option<Value>,
    /// The pipeline.
    pub pipeline: Option<Value>,
    /// The user who takes care of it.
    pub owner: Option<Value>,
}

/// What `changed` leaves to be asked for; `None`: it is none of Pipedrive's.
pub fn wanted(changed: &Changed) -> Option<Wanted> {
    let event = event_of(changed)?;
    let Body::Deal { deal } = event.body else {
        return None;
    };
    let id = |name: &str| changed.about.get(name).and_then(read::as_id);
    Some(Wanted {
        person: id(PERSON),
        stage: Some(deal.stage).filter(|stage| !stage.is_empty()),
        previous_stage: deal.previous_stage,
        pipeline: deal.pipeline,
        owner: id(OWNER),
    })
}

fn event_of(changed: &Changed) -> Option<Event> {
    serde_json::from_value(changed.about.get(EVENT)?.clone()).ok()
}

/// The deal's event, with whom it is about and the names of what the webhook had numbers of. What was not
/// found stays a number.
///
/// # Errors
/// `changed` is none of Pipedrive's.
pub fn complete(
    changed: &Changed,
    found: &Found,
    connection: &Connection,
) -> Result<Event, Unreadable> {
    let mut event = read::required(event_of(changed), "about.event", "a deal's event")?;
    let there = |person: &&Map<String, Value>| {
        person.get("is_deleted") != Some(&Value::Bool(true))
            && person.get("active_flag") != Some(&Value::Bool(false))
    };
    let person = found.person.as_ref().and_then(Value::as_object);
    match person.filter(there) {
        Some(person) => event.customer = person::customer(person, connection),
        None if changed.about.contains_key(PERSON) => {
            let note = "the deal's person is not there".to_owned();
            event.event.notes.push(note);
        }
        None => {}
    }
    if let Body::Deal { deal } = &mut event.body {
        name(found.stage.as_ref(), &mut deal.stage);
        if let Some(stage) = &mut deal.previous_stage {
            name(found.previous_stage.as_ref(), stage);
        }
        if let Some(pipeline) = &mut deal.pipeline {
            name(found.pipeline.as_ref(), pipeline);
        }
        let owner = found.owner.as_ref().and_then(Value::as_object);
        if let Some(owner) = owner {
            deal.owner = Host {
                name: text_at(owner, "name").or_else(|| deal.owner.name.take()),
                email: read::email(text_at(owner, "email").as_deref()),
            };
        }
    }
    Ok(event)
}

/// Puts the name of what was found into the place of its id.
fn name(found: Option<&Value>, place: &mut String) {
    let name = found.and_then(|found| read::as_text(found.get("name")?));
    if let Some(name) = name {
        *place = name;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_left_out_and_the_rest_stays() {
        let mut fields = FreeMap::new();
        for (name, length) in [("a", 20_000), ("b", 20_000), ("c", 10)] {
            fields.insert(name.to_owned(), Value::from("x".repeat(length)));
        }
        let (kept, left_out) = within(fields);
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(left_out, 1);
    }
}
