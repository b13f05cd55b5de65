//! Plans as data: each file of `tests/fixtures/plan` is an event, the rows around it, an automations file,
//! and the effects that follow. A new file is a new test.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::event::{Event, Fact, State};
use shared::store::EntityRow;

use super::{Effect, Known, changes, plan};
use crate::automations;

/// What every file's automations begin with, unless they bring their own `[defaults]`.
const HEAD: &str = r#"
[defaults]
country  = "BR"
timezone = "America/Sao_Paulo"
[channel.shop]
uuid = "35f6f8ccb5504278a2ea099f3a4e0730"
[message.hi]
text = "{{ event.id }}"
[message.bye]
text = "{{ event.id }}"
"#;

fn run(file: &Value) -> Vec<String> {
    let text = file["automations"].as_str().unwrap();
    let automations = automations::parse(&format!("{HEAD}{text}"))
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    let time = |value: &Value| value.as_str().unwrap().parse::<Timestamp>().unwrap();
    let at = time(&file["at"]);
    let change = file.get("change").cloned().unwrap_or(json!({}));
    let event = match file["event"].as_str().unwrap() {
        "checkout.abandoned" => checkout("t1", at, change),
        name if name.starts_with("privacy.") => privacy(name, at, change),
        // A week later, at nine in Rome.
        name if name.starts_with("appointment.") => {
            let start = at + SignedDuration::from_hours(7 * 24 - 4);
            appointment(name, "a", at, start, change)
        }
        name => order(name, "1", at, change),
    };
    let event: Event = serde_json::from_value(event).unwrap();
    let received_at = file.get("received_at").map_or(at, &time);
    let known = Known::new(event, &automations);
    let facts: Vec<Fact> = known.event.subject.facts.clone();
    let seen = file
        .get("seen")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let mut seen: std::collections::BTreeMap<Fact, Timestamp> = seen
        .into_iter()
        .map(|(fact, at)| (serde_json::from_value(json!(fact)).unwrap(), time(&at)))
        .collect();
    for fact in facts {
        seen.entry(fact).or_insert(received_at);
    }
    let mut parts: std::collections::BTreeMap<String, Timestamp> = file
        .get("parts")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
        .into_iter()
        .map(|(part, at)| (part, time(&at)))
        .collect();
    for part in &known.event.subject.parts {
        parts.entry(part.clone()).or_insert(received_at);
    }
    let entity = EntityRow {
        seen,
        parts,
        ..EntityRow::new(&known.event.entity_key(), State::Open, at)
    };
    let mut lines: Vec<String> = changes(&known, received_at, &automations)
        .into_iter()
        .map(|change| {
            format!(
                "entity {} {} keep until {}",
                change.key,
                change.state.as_str(),
                change.keep_until
            )
        })
        .collect();
    lines.extend(
        plan(&known, received_at, Some(&entity), &automations)
            .iter()
            .flat_map(words),
    );
    lines
}

fn words(effect: &Effect) -> Vec<String> {
    match effect {
        Effect::Person(_, mark) => mark
            .stops
            .iter()
            .map(|(name, mark)| format!("stop {name} {}", mark.event))
            .collect(),
        Effect::Job(job) => vec![format!("job {} due {}", job.key(), job.due_at)],
        Effect::Erase(id, erasure) => {
            vec![format!(
                "erase {id} {:?} {}",
                erasure.digests,
                erasure.entities.join(" ")
            )]
        }
        Effect::Planned(planned) => {
            let line = |line: &shared::store::Line| {
                format!(
                    "{} {}: {}",
                    if line.matched { "yes" } else { "no" },
                    line.automation,
                    line.why
                )
            };
            let last = planned
                .last_job_at
                .map_or("never".to_owned(), |at| at.to_string());
            planned
                .lines
                .iter()
                .map(line)
                .chain([format!("planned, last job {last}")])
                .collect()
        }
    }
}

#[test]
fn every_file_plans_to_its_effects() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/plan");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 10, "the folder was moved");
    let mut wrong = Vec::new();
    for path in files {
        let file: toml::Value = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let file = serde_json::to_value(file).unwrap();
        let expected: Vec<String> = serde_json::from_value(file["expect"].clone()).unwrap();
        let effects = run(&file);
        assert_eq!(run(&file), effects, "planning twice comes to the same");
        if effects != expected {
            wrong.push(format!("{}:\n{}", path.display(), effects.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn privacy(name: &str, now: Timestamp, change: Value) -> Value {
    let (_, fact) = name.split_once('.').unwrap();
    let mut event = json!({
        "event": {"name": name, "source": "shopify", "kind": "shopify", "account": "loja.myshopify.com",
                  "id": format!("shopify/privacy/77/{fact}"), "at": now},
        "customer": {"id": "c1", "email": "maria@example.com",
                     "phones": [{"path": "phone", "number": "+5511987654321"}]},
        "subject": {"kind": "privacy", "id": "77", "as_of": now, "created_at": now, "state": "open",
                    "fresh": "dated"},
        "privacy": {"request_id": "77", "order_ids": ["1001"]}
    });
    merge(&mut event, change);
    event
}

/// An order, now. `change` is merged over it.
pub(crate) fn order(name: &str, id: &str, now: Timestamp, change: Value) -> Value {
    let (_, fact) = name.split_once('.').unwrap();
    let mut event = json!({
        "event": {"name": name, "source": "shopify", "kind": "shopify", "account": "loja.myshopify.com",
                  "id": format!("shopify/order/{id}/{fact}"), "at": now},
        "customer": {"first_name": "Maria", "id": "c1", "email": "maria@example.com",
                     "phones": [{"path": "phone", "number": "11 98765-4321", "country": "BR"}]},
        "subject": {"kind": "order", "id": id, "as_of": now, "created_at": now, "state": "open", "fresh": "dated"},
        "order": {"id": id, "number": format!("#{id}"), "created_at": now, "total": "129.9", "subtotal": "129.9",
                  "shipping": "0", "tax": "0", "discount": "0", "refunded": "0", "currency": "BRL",
                  "payment_status": "paid", "fulfillment_status": "none", "item_count": 1, "channel": "web",
                  "test": false}
    });
    merge(&mut event, change);
    event
}

/// A checkout as it was last changed at `now`.
pub(crate) fn checkout(token: &str, now: Timestamp, change: Value) -> Value {
    let mut event = json!({
        "event": {"name": "checkout.abandoned", "source": "shopify", "kind": "shopify",
                  "id": format!("shopify/checkout/{token}/updated/{now}"), "at": now},
        "customer": {"phones": [{"path": "phone", "number": "+5511987654321"}]},
        "subject": {"kind": "checkout", "id": token, "as_of": now, "created_at": now, "state": "open",
                    "fresh": "dated"},
        "checkout": {"id": token, "created_at": now, "updated_at": now, "total": "80", "currency": "BRL",
                     "item_count": 1, "url": "https://example.com/cart"}
    });
    merge(&mut event, change);
    event
}

/// An appointment of an hour at `start`, as its provider knows it at `now` under `id`.
pub(crate) fn appointment(
    name: &str,
    id: &str,
    now: Timestamp,
    start: Timestamp,
    change: Value,
) -> Value {
    let (_, fact) = name.split_once('.').unwrap();
    let key = match fact {
        "rescheduled" => format!(
            "calendly/appointment/{id}/rescheduled/{}",
            start.as_second()
        ),
        fact => format!("calendly/appointment/{id}/{fact}"),
    };
    let end = start + SignedDuration::from_hours(1);
    let state = match fact {
        "requested" | "cancelled" | "no_show" => fact,
        _ => "open",
    };
    let mut event = json!({
        "event": {"name": name, "source": "calendly", "kind": "calendly", "id": key, "at": now},
        "customer": {"first_name": "Maria", "phones": [{"path": "phone", "number": "+5511987654321"}]},
        "subject": {"kind": "appointment", "id": id, "as_of": now, "created_at": now, "state": state,
                    "fresh": "dated", "start": start, "end": end},
        "appointment": {"id": id, "title": "Igiene", "start": start, "end": end, "minutes": 60,
                        "timezone": "Europe/Rome", "in_person": true}
    });
    merge(&mut event, change);
    event
}

/// Takes the appointment out of an event: its source does not show it.
pub(crate) fn without_content(mut event: Value) -> Value {
    let fields = event.as_object_mut().unwrap();
    fields.remove("appointment");
    fields.insert("appointment_change".into(), json!({}));
    fields.insert("customer".into(), json!({}));
    let subject = fields["subject"].as_object_mut().unwrap();
    subject.remove("start");
    subject.remove("end");
    event
}

pub(crate) fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change,
    }
}
