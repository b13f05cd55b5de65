//! Messages that follow a booking: moved, cancelled, overtaken, under another id.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::store::{JobRow, Status};

use super::desk::Desk;
use super::minutes;
use crate::plan::tests::{appointment, merge, without_content};

const VISIT: &str = r#"
[message.confirmed]
text = "confirmed {{ appointment.start }}"
[message.day]
text = "day {{ appointment.start }}"
[message.hour]
text = "hour {{ appointment.start }} {{ appointment.id }}"
[message.after]
text = "after {{ appointment.start }}"
[message.moved]
text = "moved from {{ appointment.previous_start | default('somewhere') }} to {{ appointment.start }}"
[message.cancelled]
text = "cancelled {{ appointment.start }} {{ appointment.reason | default('-') }}"

[automation.visit]
on    = "appointment.booked"
steps = [
  { message = "confirmed" },
  { message = "day",   at = "appointment.start - 24h" },
  { message = "hour",  at = "appointment.start - 1h" },
  { message = "after", at = "appointment.end + 2h" },
]

[automation.moved]
on      = "appointment.rescheduled"
message = "moved"

[automation.cancelled]
on      = "appointment.cancelled"
message = "cancelled"
"#;

fn hours(count: i64) -> SignedDuration {
    SignedDuration::from_hours(count)
}

/// A desk whose windows stay open for ten years.
async fn desk(file: &str) -> Desk {
    let desk = Desk::with(file).await;
    desk.open_window(hours(24 * 3660)).await;
    desk
}

impl Desk {
    /// The door stores an event and the stream nudges.
    async fn told(&self, event: Value) {
        self.receive(event).await;
        self.stream().await;
    }

    /// Goes on to an instant, with a sweep whenever something is due.
    async fn until(&self, instant: Timestamp) {
        loop {
            let now = self.clock.now();
            let waiting = self.store.waiting_jobs().await.unwrap();
            let next = waiting.iter().map(|job| job.next_at).min();
            let next = next.map_or(instant, |next| next.max(now + minutes(1)).min(instant));
            self.minute(next.duration_since(now)).await;
            if next >= instant {
                return;
            }
        }
    }

    fn texts(&self) -> Vec<String> {
        let sent = self.callbell.sent();
        let text = |body: &Value| body["content"]["text"].as_str().unwrap().to_owned();
        sent.iter().map(text).collect()
    }

    /// Status and reason of the job whose action and event end so.
    async fn ended(&self, action: &str, event: &str) -> (Status, String) {
        let found = |job: &JobRow| job.action.ends_with(action) && job.event.ends_with(event);
        let jobs: Vec<JobRow> = self.jobs().await.into_iter().filter(found).collect();
        assert_eq!(jobs.len(), 1, "{action} {event}: {jobs:?}");
        (jobs[0].status, jobs[0].reason.clone().unwrap_or_default())
    }
}

#[tokio::test]
async fn a_booking_is_confirmed_reminded_and_followed_up() {
    let desk = desk(VISIT).await;
    let now = desk.clock.now();
    let start = now + hours(100);
    desk.told(appointment(
        "appointment.booked",
        "a",
        now,
        start,
        json!({}),
    ))
    .await;
    assert_eq!(desk.texts(), [format!("confirmed {start}")]);
    desk.until(start + hours(4)).await;
    let texts = [
        format!("confirmed {start}"),
        format!("day {start}"),
        format!("hour {start} a"),
        format!("after {start}"),
    ];
    assert_eq!(desk.texts(), texts);
    let times = [now, start - hours(24), start - hours(1), start + hours(3)];
    assert_eq!(desk.callbell.times(), times);
}

#[tokio::test]
async fn a_booking_that_moves_to_another_id_is_reminded_of_its_last_start_alone() {
    for released_first in [false, true] {
        let desk = desk(VISIT).await;
        let now = desk.clock.now();
        let (first, second) = (now + hours(100), now + hours(200));
        desk.told(appointment(
            "appointment.booked",
            "a",
            now,
            first,
            json!({}),
        ))
        .await;
        let moved_at = now + hours(1);
        desk.until(moved_at).await;
        let released = appointment("appointment.released", "a", moved_at, first, json!({}));
        let change = json!({"subject": {"previous_id": "a"}});
        let rescheduled = appointment("appointment.rescheduled", "b", moved_at, second, change);
        let both = if released_first {
            [released, rescheduled]
        } else {
            [rescheduled, released]
        };
        for event in both {
            desk.told(event).await;
        }
        desk.until(second + hours(4)).await;
        let texts = [
            format!("confirmed {first}"),
            format!("moved from {first} to {second}"),
            format!("day {second}"),
            format!("hour {second} a"),
            format!("after {second}"),
        ];
        assert_eq!(desk.texts(), texts);
        let ended = desk
            .ended("day", &format!("/a/at/{}", first.as_second()))
            .await;
        assert_eq!(ended, (Status::Cancelled, "moved".to_owned()));
    }
}

#[tokio::test]
async fn a_cancelled_booking_falls_silent_also_where_its_source_shows_nothing() {
    for content in [true, false] {
        let desk = desk(VISIT).await;
        let now = desk.clock.now();
        let start = now + hours(100);
        desk.told(appointment(
            "appointment.booked",
            "a",
            now,
            start,
            json!({}),
        ))
        .await;
        desk.clock.advance(hours(50));
        let now = desk.clock.now();
        let mut cancelled = appointment("appointment.cancelled", "a", now, start, json!({}));
        if !content {
            cancelled = without_content(cancelled);
            merge(
                &mut cancelled,
                json!({"appointment_change": {"reason": "flu"}}),
            );
        }
        desk.told(cancelled).await;
        desk.until(start + hours(4)).await;
        let reason = if content { "-" } else { "flu" };
        let texts = [
            format!("confirmed {start}"),
            format!("cancelled {start} {reason}"),
        ];
        assert_eq!(desk.texts(), texts);
        let ended = desk.ended("hour", &start.as_second().to_string()).await;
        assert_eq!(ended, (Status::Cancelled, "booking cancelled".to_owned()));
    }
}

fn rescheduled(id: &str, now: Timestamp, start: Timestamp, previous: Option<&str>) -> Value {
    let change = previous.map_or(json!({}), |id| json!({"subject": {"previous_id": id}}));
    appointment("appointment.rescheduled", id, now, start, change)
}

fn booked(id: &str, now: Timestamp, start: Timestamp) -> Value {
    appointment("appointment.booked", id, now, start, json!({}))
}

fn cancelled_as(why: &str) -> (Status, String) {
    (Status::Cancelled, why.to_owned())
}

#[tokio::test]
async fn a_move_that_overtakes_its_booking_wins() {
    let desk = desk(VISIT).await;
    let now = desk.clock.now();
    let (first, second) = (now + hours(100), now + hours(200));
    desk.told(rescheduled("a", now + minutes(5), second, None))
        .await;
    desk.told(booked("a", now, first)).await;
    let confirmed = desk.ended("confirmed", "/booked").await;
    assert_eq!(confirmed, cancelled_as("moved"));
    desk.until(second + hours(4)).await;
    let texts = [
        format!("moved from {first} to {second}"),
        format!("day {second}"),
        format!("hour {second} a"),
        format!("after {second}"),
    ];
    assert_eq!(desk.texts(), texts);
}

#[tokio::test]
async fn a_cancellation_that_overtakes_its_booking_wins() {
    for content in [true, false] {
        let desk = desk(VISIT).await;
        let now = desk.clock.now();
        let start = now + hours(100);
        let at = now + minutes(5);
        let mut cancelled = appointment("appointment.cancelled", "a", at, start, json!({}));
        if !content {
            cancelled = without_content(cancelled);
        }
        let key = desk.receive(cancelled).await;
        desk.stream().await;
        desk.told(booked("a", now, start)).await;
        desk.until(start + hours(4)).await;
        let lines = desk.store.event(&key).await.unwrap().unwrap().lines;
        if content {
            assert_eq!(desk.texts(), [format!("cancelled {start} -")]);
        } else {
            assert_eq!(desk.texts(), Vec::<String>::new());
            assert!(lines[0].why.contains("nothing is known"), "{lines:?}");
        }
        let confirmed = desk.ended("confirmed", "/booked").await;
        assert_eq!(confirmed, cancelled_as("booking cancelled"));
    }
}

#[tokio::test]
async fn a_time_that_had_passed_is_skipped_and_one_that_is_late_goes_out() {
    let desk = desk(VISIT).await;
    let now = desk.clock.now();
    // Booked three hours ahead, and the machines stand still until half an hour before.
    let start = now + hours(3);
    desk.told(booked("a", now, start)).await;
    let day = desk.ended("day", "").await;
    assert_eq!(day, (Status::Skipped, "its time had passed".to_owned()));
    desk.minute(minutes(150)).await;
    assert_eq!(desk.texts().last(), Some(&format!("hour {start} a")));

    // Until it has begun: that is too late for a reminder, and not for what comes after.
    let start = desk.clock.now() + hours(30);
    desk.told(booked("b", desk.clock.now(), start)).await;
    desk.minute(hours(31)).await;
    let at = start.as_second().to_string();
    assert_eq!(desk.ended("hour", &at).await.0, Status::Skipped);
    desk.until(start + hours(4)).await;
    assert_eq!(desk.texts().last(), Some(&format!("after {start}")));

    // Entered after the fact: nothing but what answers it.
    let sent = desk.texts().len();
    let now = desk.clock.now();
    let start = now - hours(10);
    desk.told(booked("c", now, start)).await;
    desk.until(now + hours(10)).await;
    assert_eq!(desk.texts()[sent..], [format!("confirmed {start}")]);
}

#[tokio::test]
async fn a_booking_that_moves_back_keeps_its_reminder_also_when_all_are_replanned() {
    let desk = desk(VISIT).await;
    let now = desk.clock.now();
    let (first, second) = (now + hours(100), now + hours(200));
    desk.told(booked("a", now, first)).await;
    desk.told(rescheduled("a", now + minutes(1), second, None))
        .await;
    for job in desk.store.waiting_jobs().await.unwrap() {
        let moved = desk
            .store
            .move_due(&job.id, job.version, now, None, "replanned");
        moved.await.unwrap();
    }
    desk.minute(minutes(1)).await;
    let waits = desk.ended("day", &first.as_second().to_string()).await;
    assert_eq!(
        waits,
        (Status::Due, "moved, unless that changes".to_owned())
    );
    let back = rescheduled("a", now + minutes(2), first, None);
    desk.told(back).await;
    desk.until(second + hours(4)).await;
    let texts = [
        format!("confirmed {first}"),
        format!("moved from {first} to {second}"),
        format!("moved from {second} to {first}"),
        format!("day {first}"),
        format!("hour {first} a"),
        format!("after {first}"),
    ];
    assert_eq!(desk.texts(), texts);
}

#[tokio::test]
async fn a_booking_that_moves_after_its_reminder_gets_a_new_one() {
    let desk = desk(VISIT).await;
    let now = desk.clock.now();
    let (first, second) = (now + hours(30), now + hours(80));
    desk.told(booked("a", now, first)).await;
    desk.until(now + hours(10)).await;
    desk.told(rescheduled("b", desk.clock.now(), second, Some("a")))
        .await;
    desk.until(second).await;
    let days: Vec<String> = desk.texts();
    let days: Vec<&String> = days.iter().filter(|text| text.starts_with("day")).collect();
    assert_eq!(days, [&format!("day {first}"), &format!("day {second}")]);
}

#[tokio::test]
async fn between_the_two_webhooks_of_a_move_nothing_goes_out() {
    let desk = desk(VISIT).await;
    let now = desk.clock.now();
    let (first, second) = (now + hours(30), now + hours(80));
    desk.told(booked("a", now, first)).await;
    desk.told(appointment(
        "appointment.released",
        "a",
        now + minutes(5),
        first,
        json!({}),
    ))
    .await;
    desk.until(first + hours(10)).await;
    assert_eq!(desk.texts(), [format!("confirmed {first}")]);
    let late = rescheduled("b", now + minutes(4), second, Some("a"));
    desk.told(late).await;
    desk.until(second).await;
    assert_eq!(desk.texts().last(), Some(&format!("hour {second} a")));
}

#[tokio::test]
async fn a_no_show_ends_what_comes_after_and_can_be_taken_back() {
    for taken_back in [false, true] {
        let desk = desk(VISIT).await;
        let now = desk.clock.now();
        let start = now + hours(30);
        desk.told(booked("a", now, start)).await;
        desk.until(start + minutes(70)).await;
        let at = desk.clock.now();
        let no_show = appointment("appointment.no_show", "a", at, start, json!({}));
        desk.told(without_content(no_show)).await;
        if taken_back {
            let back = appointment(
                "appointment.updated",
                "a",
                at + minutes(1),
                start,
                json!({}),
            );
            desk.told(without_content(back)).await;
        }
        desk.until(start + hours(10)).await;
        let after = desk.ended("after", "").await;
        if taken_back {
            assert_eq!(after.0, Status::Sent);
        } else {
            assert_eq!(after, cancelled_as("no-show"));
        }
    }
}

#[tokio::test]
async fn a_message_about_a_state_ends_with_it() {
    let file = r#"
        [message.x]
        text = "{{ event.name }}"
        [automation.requested]
        on    = "appointment.requested"
        steps = [{ message = "x", at = "+1h" }]
        [automation.cancelled]
        on    = "appointment.cancelled"
        steps = [{ message = "x", at = "+1h" }]
        [automation.no-show]
        on    = "appointment.no_show"
        steps = [{ message = "x", at = "+1h" }]
    "#;
    let rows = [
        ("requested", "booked", "booked"),
        ("requested", "cancelled", "booking cancelled"),
        ("requested", "rescheduled", "booked"),
        ("requested", "updated", ""),
        ("cancelled", "updated", "booked again"),
        ("no_show", "updated", "no no-show after all"),
        ("no_show", "cancelled", ""),
    ];
    for (n, (state, then, reason)) in rows.into_iter().enumerate() {
        let desk = desk(file).await;
        let now = desk.clock.now();
        let start = now + hours(30);
        let name = |fact: &str| format!("appointment.{fact}");
        desk.told(appointment(&name(state), "a", now, start, json!({})))
            .await;
        let still = json!({"subject": {"state": if n == 3 { "requested" } else { "open" }}});
        let change = if then == "updated" { still } else { json!({}) };
        desk.told(appointment(
            &name(then),
            "a",
            now + minutes(1),
            start,
            change,
        ))
        .await;
        desk.minute(minutes(61)).await;
        let ended = desk.ended("x", &format!("/a/{state}")).await;
        let expected = if reason.is_empty() {
            (Status::Sent, String::new())
        } else {
            cancelled_as(reason)
        };
        assert_eq!(ended, expected, "{state} then {then}");
    }
}

#[tokio::test]
async fn of_a_series_the_first_is_confirmed_and_all_are_reminded() {
    let desk = desk(VISIT).await;
    let now = desk.clock.now();
    for (n, id) in ["a", "b", "c"].into_iter().enumerate() {
        let change = json!({"subject": {"only_timed": n > 0}});
        let start = now + hours(100 + 100 * i64::try_from(n).unwrap());
        let key = desk
            .receive(appointment("appointment.booked", id, now, start, change))
            .await;
        desk.stream().await;
        let lines = desk.store.event(&key).await.unwrap().unwrap().lines;
        let why = if n == 0 {
            "4 jobs"
        } else {
            "3 jobs: one of a series, so its steps with a time alone"
        };
        assert_eq!(lines[0].why, why);
    }
    desk.until(now + hours(400)).await;
    assert_eq!(desk.texts().len(), 1 + 3 * 3);
}

#[tokio::test]
async fn a_reminder_says_what_the_newest_event_says() {
    let file = r#"
        [message.x]
        text = "{{ event.name }} {{ appointment.title }} {{ customer.first_name }}"
        [automation.x]
        on    = "appointment.booked"
        steps = [{ message = "x", at = "appointment.start - 1h" }]
    "#;
    let desk = desk(file).await;
    let now = desk.clock.now();
    let start = now + hours(30);
    desk.told(booked("a", now, start)).await;
    let change = json!({"appointment": {"title": "Controllo"},
        "customer": {"first_name": "Ana", "phones": [{"path": "phone", "number": "+5511987654322"}]}});
    desk.told(appointment(
        "appointment.updated",
        "a",
        now + minutes(1),
        start,
        change,
    ))
    .await;
    let other = shared::store::PersonId::phone("+5511987654322");
    let until = Some(desk.clock.now() + hours(1000));
    desk.store.set_window(&other, until).await.unwrap();
    desk.until(start).await;
    assert_eq!(desk.texts(), ["appointment.booked Controllo Ana"]);
    assert_eq!(desk.callbell.sent()[0]["to"], "+5511987654322");
}

/// Three ids, the second told last: what was planned under the second goes on under the first, once.
#[tokio::test]
async fn a_reminder_made_before_the_first_id_was_known_goes_out_once() {
    let desk = desk(VISIT).await;
    let now = desk.clock.now();
    let (first, second) = (now + hours(100), now + hours(200));
    desk.told(booked("a", now, first)).await;
    // Moved away, and back to the first start.
    let c = rescheduled("c", now + minutes(2), first, Some("b"));
    desk.told(c).await;
    desk.told(rescheduled("b", now + minutes(1), second, Some("a")))
        .await;
    desk.until(second + hours(4)).await;
    let texts = desk.texts();
    for (word, count) in [("day", 1), ("hour", 1), ("after", 1), ("confirmed", 1)] {
        let found = texts.iter().filter(|text| text.starts_with(word)).count();
        assert_eq!(found, count, "{word}: {texts:?}");
    }
    let ended = desk
        .ended("day", &format!("/b/at/{}", first.as_second()))
        .await;
    assert_eq!(ended, cancelled_as("goes on under the booking's first id"));
}

#[tokio::test]
async fn a_step_a_while_after_the_booking_follows_it() {
    for both in [false, true] {
        let on = if both {
            r#", "appointment.rescheduled""#
        } else {
            ""
        };
        let file = format!(
            r#"
            [message.form]
            text = "form {{{{ appointment.start }}}}"
            [automation.form]
            on    = ["appointment.booked"{on}]
            steps = [{{ message = "form", at = "+2h" }}]
            "#
        );
        let desk = desk(&file).await;
        let now = desk.clock.now();
        let (first, second) = (now + hours(100), now + hours(200));
        desk.told(booked("a", now, first)).await;
        desk.until(now + hours(1)).await;
        desk.told(rescheduled("b", desk.clock.now(), second, Some("a")))
            .await;
        desk.until(now + hours(10)).await;
        assert_eq!(desk.texts(), [format!("form {second}")]);
        let at = if both { now + hours(3) } else { now + hours(2) };
        assert_eq!(desk.callbell.times(), [at]);
    }
}

#[tokio::test]
async fn all_steps_of_a_booking_hold_one_mark() {
    for once in ["appointment", "customer"] {
        let file = format!(
            r#"
            [message.confirmed]
            text = "confirmed"
            [message.hour]
            text = "hour {{{{ appointment.start }}}}"
            [automation.visit]
            on    = ["appointment.booked", "appointment.rescheduled"]
            once  = "{once}"
            steps = [{{ message = "confirmed" }}, {{ message = "hour", at = "appointment.start - 1h" }}]
            "#
        );
        let desk = desk(&file).await;
        let now = desk.clock.now();
        let (first, second) = (now + hours(100), now + hours(200));
        desk.told(booked("a", now, first)).await;
        desk.told(rescheduled("b", now + minutes(1), second, Some("a")))
            .await;
        desk.until(second).await;
        assert_eq!(
            desk.texts(),
            ["confirmed".to_owned(), format!("hour {second}")]
        );
    }
}

#[tokio::test]
async fn a_reminder_is_not_stopped_by_the_event_that_made_it() {
    let file = r#"
        [message.hour]
        text = "hour {{ appointment.start }}"
        [automation.visit]
        on      = "appointment.booked"
        stop_on = ["appointment.rescheduled"]
        steps   = [{ message = "hour", at = "appointment.start - 1h" }]
    "#;
    let desk = desk(file).await;
    let now = desk.clock.now();
    let (first, second) = (now + hours(100), now + hours(200));
    desk.told(booked("a", now, first)).await;
    let moved_at = now + minutes(1);
    desk.told(rescheduled("a", moved_at, second, None)).await;
    desk.told(appointment(
        "appointment.updated",
        "a",
        now + minutes(2),
        second,
        json!({}),
    ))
    .await;
    desk.until(second).await;
    assert_eq!(desk.texts(), [format!("hour {second}")]);
}

#[tokio::test]
async fn sending_hours_move_reminders_earlier_and_what_comes_after_later() {
    let file = r#"
        [hours.day]
        timezone = "America/Sao_Paulo"
        mon-sun  = ["09:00-20:00"]
        [message.before]
        text = "before"
        [message.after]
        text = "after"
        [automation.visit]
        on         = "appointment.booked"
        send_hours = "day"
        steps      = [
          { message = "before", at = "appointment.start - 12h" },
          { message = "after",  at = "appointment.end + 12h" },
        ]
    "#;
    let desk = desk(file).await;
    let now = desk.clock.now();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    // In Rome, the appointment's zone: 09:30 to 10:30. Twelve hours before it is 21:30, after it 22:30.
    let start = at("2026-03-12T08:30:00Z");
    desk.told(booked("a", now, start)).await;
    desk.until(start + hours(48)).await;
    let times = [at("2026-03-11T18:55:00Z"), at("2026-03-13T08:00:00Z")];
    assert_eq!(desk.callbell.times(), times);

    // Booked at 21:00 of the evening before: earlier is over, and the next opening is before the start.
    desk.until(at("2026-03-20T20:00:00Z")).await;
    desk.told(booked("b", desk.clock.now(), start + hours(24 * 9)))
        .await;
    desk.until(start + hours(24 * 10)).await;
    assert_eq!(desk.callbell.times()[2], at("2026-03-21T08:00:00Z"));
    // Where it is not, nothing goes out.
    desk.until(at("2026-03-25T20:00:00Z")).await;
    desk.told(booked(
        "c",
        desk.clock.now(),
        at("2026-03-26T07:55:00Z") + hours(0),
    ))
    .await;
    let before = desk
        .ended(
            "before",
            &at("2026-03-26T07:55:00Z").as_second().to_string(),
        )
        .await;
    assert_eq!(before.0, Status::Skipped);
}

#[tokio::test]
async fn an_appointment_years_ahead_is_still_known_when_its_last_step_comes() {
    let file = r#"
        [message.recall]
        text = "recall {{ appointment.start }}"
        [automation.recall]
        on    = "appointment.booked"
        steps = [{ message = "recall", at = "appointment.end + 180d at 10:00" }]
    "#;
    let desk = desk(file).await;
    let now = desk.clock.now();
    let start = "2032-02-29T15:00:00Z".parse::<Timestamp>().unwrap();
    let booking = desk.receive(booked("a", now, start)).await;
    desk.stream().await;
    let updated = appointment(
        "appointment.updated",
        "a",
        now + minutes(1),
        start,
        json!({}),
    );
    let updated = desk.receive(updated).await;
    desk.stream().await;
    // Both events and the row outlive the job's time.
    let due = desk.job().await.due_at;
    assert_eq!(due.to_string(), "2032-08-27T08:00:00Z");
    for key in [booking, updated] {
        let row = desk.store.event(&key).await.unwrap().unwrap();
        assert!(row.expires_at.unwrap() > due + hours(24 * 30), "{key}");
    }
    let entity = desk.store.entity("calendly/appointment/a").await.unwrap();
    assert!(entity.unwrap().expires_at.unwrap() > due + hours(24 * 30));
    desk.minute(due.duration_since(now)).await;
    assert_eq!(desk.texts(), [format!("recall {start}")]);
}

#[tokio::test]
async fn what_was_there_before_is_remembered_and_never_news() {
    let desk = desk(VISIT).await;
    let now = desk.clock.now();
    let start = now + hours(100);
    let known = json!({"subject": {"fresh": "known"}});
    desk.told(appointment("appointment.booked", "a", now, start, known))
        .await;
    assert_eq!(desk.jobs().await, Vec::new());
    let second = now + hours(200);
    desk.told(rescheduled("a", now + minutes(1), second, None))
        .await;
    desk.until(second + hours(4)).await;
    let texts = [
        format!("moved from {start} to {second}"),
        format!("day {second}"),
        format!("hour {second} a"),
        format!("after {second}"),
    ];
    assert_eq!(desk.texts(), texts);
}
