//! Rows of appointments whose provider gives them another id at each move: whichever of its webhooks comes
//! first, and if they come at once, what is known in the end is the same.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::event::{Event, State, entity_key};
use shared::store::{Digests, EntityChange, EntityRow, Store};

use super::seconds;

/// What a webhook says of the appointment `id`, as of so many seconds.
fn event(fact: &str, id: &str, as_of_s: i64, start_h: i64, change: &Value) -> Event {
    let as_of = testkit::start() + seconds(as_of_s);
    let start = testkit::start() + SignedDuration::from_hours(start_h);
    let end = start + SignedDuration::from_hours(1);
    let state = match fact {
        "cancelled" | "no_show" | "requested" => fact,
        _ => "open",
    };
    let mut event = json!({
        "event": {"name": format!("appointment.{fact}"), "source": "calendly", "kind": "calendly",
                  "id": format!("calendly/appointment/{id}/{fact}"), "at": as_of},
        "customer": {},
        "subject": {"kind": "appointment", "id": id, "as_of": as_of, "created_at": testkit::start(),
                    "state": state, "fresh": "dated", "start": start, "end": end},
        "appointment": {"id": id, "title": "Igiene", "start": start, "end": end, "minutes": 60, "in_person": true}
    });
    let subject = event["subject"].as_object_mut().unwrap();
    subject.extend(change.as_object().unwrap().clone());
    serde_json::from_value(event).unwrap()
}

/// The same where the provider does not show the appointment.
fn without_content(event: &Event) -> Event {
    let mut event = serde_json::to_value(event).unwrap();
    let fields = event.as_object_mut().unwrap();
    fields.remove("appointment");
    fields.insert("appointment_change".into(), json!({}));
    let subject = fields["subject"].as_object_mut().unwrap();
    subject.remove("start");
    subject.remove("end");
    serde_json::from_value(event).unwrap()
}

fn change(event: &Event) -> EntityChange {
    let now = testkit::start();
    EntityChange::all(event, now, now, &Digests::new()).remove(0)
}

fn key(id: &str) -> String {
    entity_key("calendly", shared::event::SubjectKind::Appointment, id)
}

async fn record(store: &Store, event: &Event) -> EntityRow {
    let previous = event.subject.previous_id.as_deref().map(key);
    store
        .record_moving(&change(event), previous.as_deref())
        .await
        .unwrap()
}

async fn known(store: &Store, id: &str) -> EntityRow {
    store.entity_by_any_id(&key(id)).await.unwrap().unwrap()
}

fn at(hours: i64) -> Option<Timestamp> {
    Some(testkit::start() + SignedDuration::from_hours(hours))
}

/// Every order of `items`.
fn orders<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let mut rest = items.to_vec();
        rest.remove(index);
        for mut order in orders(&rest) {
            order.insert(0, item.clone());
            all.push(order);
        }
    }
    all
}

/// A booking under `{n}x` that moves to `{n}y`. The note that it was released is younger than the move, and
/// the change under the new id does not name the old one.
fn one_move(n: usize) -> Vec<Event> {
    let (x, y) = (format!("{n}x"), format!("{n}y"));
    vec![
        event("booked", &x, 0, 100, &json!({})),
        event("released", &x, 10, 100, &json!({"state": "cancelled"})),
        event("rescheduled", &y, 9, 200, &json!({"previous_id": x})),
        event("updated", &y, 12, 200, &json!({})),
    ]
}

fn two_moves(n: usize) -> Vec<Event> {
    let (x, y, z) = (format!("{n}x"), format!("{n}y"), format!("{n}z"));
    vec![
        event("booked", &x, 0, 100, &json!({})),
        event("released", &x, 10, 100, &json!({})),
        event("rescheduled", &y, 9, 200, &json!({"previous_id": x})),
        event("released", &y, 21, 200, &json!({})),
        event("rescheduled", &z, 20, 300, &json!({"previous_id": y})),
    ]
}

fn end_of_two_moves(row: &EntityRow, n: usize) {
    let z = format!("{n}z");
    assert_eq!(row.holder.as_deref(), Some(z.as_str()), "{row:?}");
    assert_eq!((row.state, row.start), (State::Open, at(300)), "{row:?}");
    assert_eq!(row.end, at(301));
    assert!(!row.is_on_the_move());
    assert!(row.has_left(&format!("{n}x")) && row.has_left(&format!("{n}y")));
    let last = format!("calendly/appointment/{z}/rescheduled");
    assert_eq!(row.event, Some(last));
    let starts: Vec<_> = row.starts.keys().copied().map(Some).collect();
    assert_eq!(starts, [at(100), at(200), at(300)]);
}

#[tokio::test]
async fn a_move_ends_in_the_same_row_in_any_order() {
    let (store, _) = testkit::store().await;
    let indices: Vec<usize> = (0..4).collect();
    for (n, order) in orders(&indices).into_iter().enumerate() {
        let events = one_move(n);
        for index in &order {
            record(&store, &events[*index]).await;
        }
        let (x, y) = (format!("{n}x"), format!("{n}y"));
        let row = known(&store, &x).await;
        assert_eq!(row, known(&store, &y).await, "{order:?}");
        assert_eq!(row.key, key(&x), "{order:?}");
        assert_eq!((row.state, row.start), (State::Open, at(200)), "{order:?}");
        assert_eq!(row.holder, Some(y.clone()), "{order:?}");
        assert_eq!(row.event, Some(format!("{}/updated", key(&y))), "{order:?}");
        assert_eq!(
            store.entity(&row.key).await.unwrap(),
            Some(row),
            "{order:?}"
        );
    }
}

#[tokio::test]
async fn two_moves_end_in_the_same_in_any_order_and_by_any_id() {
    let (store, _) = testkit::store().await;
    let indices: Vec<usize> = (0..5).collect();
    for (n, order) in orders(&indices).into_iter().enumerate() {
        let events = two_moves(n);
        for index in &order {
            record(&store, &events[*index]).await;
        }
        for id in ["x", "y", "z"] {
            let row = known(&store, &format!("{n}{id}")).await;
            assert_eq!(row.key, key(&format!("{n}x")), "{order:?}");
            end_of_two_moves(&row, n);
        }
    }
}

#[tokio::test]
async fn events_that_are_recorded_at_once_end_in_the_same() {
    let (store, _) = testkit::store().await;
    for n in 0..25 {
        let tasks: Vec<_> = two_moves(n)
            .into_iter()
            .map(|event| {
                let store = store.clone();
                tokio::spawn(async move { record(&store, &event).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        for id in ["x", "y", "z"] {
            end_of_two_moves(&known(&store, &format!("{n}{id}")).await, n);
        }
    }
}

#[tokio::test]
async fn whoever_stopped_between_two_rows_is_made_up_for() {
    let (store, _) = testkit::store().await;
    let events = one_move(0);
    record(&store, &events[0]).await;
    // The row of the new id alone was written.
    let mut half = change(&events[2]);
    half.alias_of = Some(key("0x"));
    store.record_entity(&half).await.unwrap();
    let row = known(&store, "0y").await;
    assert_eq!((row.start, row.key), (at(200), key("0x")));
    assert_eq!(known(&store, "0x").await.start, at(100), "not yet");
    // Any event under the new id, or the same again, takes it along.
    let cancelled = event("cancelled", "0y", 30, 200, &json!({}));
    record(&store, &without_content(&cancelled)).await;
    let row = known(&store, "0x").await;
    assert_eq!((row.state, row.start), (State::Cancelled, at(200)));
}

#[tokio::test]
async fn a_change_without_content_says_the_state_and_leaves_the_start() {
    let (store, _) = testkit::store().await;
    let booked = event("booked", "a", 0, 100, &json!({}));
    let no_show = without_content(&event("no_show", "a", 10, 0, &json!({})));
    let moved = event("rescheduled", "a", 5, 200, &json!({}));
    for (n, order) in orders(&[booked, no_show, moved]).into_iter().enumerate() {
        let (other, _) = testkit::store().await;
        for event in &order {
            record(if n == 0 { &store } else { &other }, event).await;
        }
        let row = known(if n == 0 { &store } else { &other }, "a").await;
        assert_eq!((row.state, row.start), (State::NoShow, at(200)));
        assert_eq!(row.event, Some(format!("{}/rescheduled", key("a"))));
        assert_eq!(row.previous_start(row.as_of, at(200).unwrap()), at(100));
        let first = testkit::start();
        assert_eq!(row.previous_start(first, at(100).unwrap()), None);
    }
}

#[tokio::test]
async fn what_is_asked_for_gives_way_to_what_is_as_old() {
    for reversed in [false, true] {
        let (store, _) = testkit::store().await;
        let mut events = vec![
            event("requested", "a", 5, 100, &json!({})),
            event("booked", "a", 5, 100, &json!({})),
        ];
        if reversed {
            events.reverse();
        }
        for event in &events {
            record(&store, event).await;
        }
        assert_eq!(known(&store, "a").await.state, State::Open);
        let cancelled = event("cancelled", "a", 6, 100, &json!({}));
        assert_eq!(record(&store, &cancelled).await.state, State::Cancelled);
        let again = event("updated", "a", 7, 100, &json!({}));
        assert_eq!(record(&store, &again).await.state, State::Open, "reopened");
    }
}

#[tokio::test]
async fn an_appointment_stays_for_thirty_days_after_its_end() {
    let (store, _) = testkit::store().await;
    let row = record(&store, &event("booked", "a", 0, 24 * 400, &json!({}))).await;
    let end = at(24 * 400 + 1).unwrap();
    let days = |days: i64| SignedDuration::from_hours(24 * days);
    let expires_at = row.expires_at.unwrap();
    assert!(expires_at > end + days(30) && expires_at <= end + days(31));
    // The rows on the way go no earlier than what they lead to.
    let moved = event(
        "rescheduled",
        "b",
        1,
        24 * 500,
        &json!({"previous_id": "a"}),
    );
    record(&store, &moved).await;
    let row = store.entity(&key("a")).await.unwrap().unwrap();
    assert!(row.expires_at.unwrap() > end + days(130));
}

#[tokio::test]
async fn ids_that_lead_in_a_circle_or_far_hang_nobody() {
    let (store, _) = testkit::store().await;
    for (id, previous) in [("a", "b"), ("b", "c"), ("c", "a"), ("d", "d")] {
        let event = event("rescheduled", id, 1, 100, &json!({"previous_id": previous}));
        record(&store, &event).await;
    }
    for id in ["a", "b", "c", "d"] {
        assert_eq!(known(&store, id).await.start, at(100));
    }
    // Told from the last to the first, each leads one step on.
    for n in (1..10).rev() {
        let previous = json!({"previous_id": format!("m{}", n - 1)});
        let event = event("rescheduled", &format!("m{n}"), n, 100 + n, &previous);
        record(&store, &event).await;
    }
    assert_eq!(known(&store, "m9").await.key, key("m4"), "five steps");
    assert_eq!(known(&store, "m3").await.key, key("m0"));
    assert_eq!(known(&store, "m3").await.start, at(109), "it went along");
    // In their order every id leads to the first at once.
    for n in 1..10 {
        let previous = json!({"previous_id": format!("k{}", n - 1)});
        let event = event("rescheduled", &format!("k{n}"), n, 100 + n, &previous);
        record(&store, &event).await;
    }
    assert_eq!(known(&store, "k9").await.key, key("k0"));
    assert_eq!(known(&store, "k0").await.start, at(109));
}
