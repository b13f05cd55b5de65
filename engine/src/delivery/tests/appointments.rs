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
