//! From a deal's webhook to its event: what the door stores, what the worker has to ask, and what it makes of
//! the answers.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::path::Path;

use serde_json::{Value, json};
use shared::connections::Connection;
use shared::event::{Body, Changed, Deal, DealStatus, Event, Money, Name};
use shared::sources::pipedrive::{Found, KIND, Pipedrive, Wanted, complete, wanted};
use shared::sources::{self, Reading};

fn connection() -> Connection {
    Connection::plain(KIND)
}

/// The one event of a fixture.
fn read(name: &str) -> Event {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pipedrive");
    let body = std::fs::read(folder.join(format!("{name}.json"))).unwrap();
    let now = "2026-03-11T18:00:00Z".parse().unwrap();
    let headers = http::HeaderMap::new();
    match sources::read_file(&Pipedrive, &connection(), headers, body, now).unwrap() {
        Reading::Events(mut events) => events.remove(0),
        Reading::Nothing(reason) => panic!("{name}: {reason}"),
    }
}

fn question(name: &str) -> Changed {
    match read(name).body {
        Body::Changed { changed } => changed,
        _ => panic!("{name} asks nothing"),
    }
}

fn deal(event: &Event) -> &Deal {
    match &event.body {
        Body::Deal { deal } => deal,
        _ => panic!("{event:?} has no deal"),
    }
}

fn person() -> Value {
    json!({
        "id": 501, "name": "Beatriz Nogueira", "first_name": "Beatriz", "last_name": "Nogueira",
        "phones": [{"value": "+55 11 98002-0002", "label": "mobile", "primary": true}],
        "emails": [{"value": "beatriz@example.com", "label": "work", "primary": true}],
        "is_deleted": false,
    })
}

#[test]
fn a_deal_gets_its_person_and_the_names_of_where_it_stands() {
    let changed = question("deal-moved");
    let text = |id: &str| Some(id.to_owned());
    let all = Wanted {
        person: text("501"),
        stage: text("2"),
        previous_stage: text("1"),
        pipeline: text("1"),
        owner: text("18487521"),
    };
    assert_eq!(wanted(&changed), Some(all));
    let found = Found {
        person: Some(person()),
        stage: Some(json!({"id": 2, "name": "Proposta"})),
        previous_stage: Some(json!({"id": 1, "name": "Contato"})),
        pipeline: Some(json!({"id": 1, "name": "Vendas"})),
        owner: Some(json!({"id": 18_487_521, "name": "Ana Lima", "email": "ana@example.com"})),
    };
    let event = complete(&changed, &found, &connection()).unwrap();
    assert_eq!(event.event.name, Name::DealUpdated);
    assert_eq!(
        event.event.id.matches("pipedrive/deal/77/updated/").count(),
        1
    );
    assert_eq!(event.customer.email.as_deref(), Some("beatriz@example.com"));
    assert_eq!(event.customer.phones.len(), 1);
    let deal = deal(&event);
    assert_eq!(
        (deal.stage.as_str(), deal.previous_stage.as_deref()),
        ("Proposta", Some("Contato"))
    );
    assert_eq!(deal.pipeline.as_deref(), Some("Vendas"));
    assert_eq!(deal.owner.email.as_deref(), Some("ana@example.com"));
    assert_eq!(Some(deal.value), Money::parse("1500.5"));
}

#[test]
fn what_was_not_found_stays_a_number() {
    for (name, status, notes) in [
        ("deal-won", DealStatus::Won, 1),
        ("deal-without-person", DealStatus::Open, 0),
        ("v1-deal-won", DealStatus::Won, 1),
    ] {
        let changed = question(name);
        let event = complete(&changed, &Found::default(), &connection()).unwrap();
        assert!(event.customer.phones.is_empty());
        assert_eq!(event.event.notes.len(), notes, "{name}");
        assert_eq!(deal(&event).status, status, "{name}");
        let stage = deal(&event).stage.clone();
        assert!(stage.chars().all(|c| c.is_ascii_digit()), "{name}: {stage}");
    }
    let gone = Found {
        person: Some(json!({"id": 501, "name": "Beatriz", "is_deleted": true})),
        ..Found::default()
    };
    let event = complete(&question("deal-won"), &gone, &connection()).unwrap();
    assert_eq!(event.customer.name, None);
}

/// A deal is won by one change, whatever comes to it later, and however often that one comes.
#[test]
fn a_deal_is_won_or_lost_once() {
    let name = |fixture: &str| {
        let found = Found::default();
        let event = complete(&question(fixture), &found, &connection()).unwrap();
        event.event.name
    };
    for (fixture, expected) in [
        ("deal-moved", Name::DealUpdated),
        ("deal-won", Name::DealWon),
        ("deal-won-edited-again", Name::DealUpdated),
        ("deal-lost", Name::DealLost),
        ("deal-reopened", Name::DealUpdated),
        ("deal-restored-as-won", Name::DealUpdated),
        ("v1-deal-won", Name::DealWon),
    ] {
        assert_eq!(name(fixture), expected, "{fixture}");
    }
    for (one, other) in [
        ("deal-moved", "deal-moved-redelivered"),
        ("person-created", "person-created-redelivered"),
    ] {
        assert_eq!(read(one).event.id, read(other).event.id);
    }
}

#[test]
fn another_system_s_question_is_none_of_these() {
    let changed = Changed::default();
    assert_eq!(wanted(&changed), None);
    assert!(complete(&changed, &Found::default(), &connection()).is_err());
}

/// Version 1 shows the person's name and numbers inside the deal: what is stored holds neither.
#[test]
fn what_a_deal_s_webhook_leaves_behind_names_nobody() {
    let stored = serde_json::to_string(&question("v1-deal-won")).unwrap();
    for part in ["Davi", "98002"] {
        assert!(!stored.contains(part), "{part}");
    }
}
