//! A calendar from its connection to the phone: pushes without content, syncs, moves, cancellations, lost
//! pushes and tokens that are too old, against the stand-in of Google's API.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![recursion_limit = "256"]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cli::dev::{Dev, Settings};
use cli::standin::apis::google_calendar::GoogleCalendar;
use engine::apis::Apis;
use engine::fetch::google_calendar::{self as google, Watch};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::secrets::Secret;
use shared::sources::google_calendar::Ask;
use support::Http;

const CONNECTION: &str = "google-calendar";
const PHONE: &str = "+393331234567";
/// Longest wait for something to happen.
const WAIT: Duration = Duration::from_secs(60);
const SECRETS: &str = r#"
[webhooks]
google-calendar = "a-token-of-the-channel"
[apis]
callbell = "demo-callbell-token"
google-calendar = '{"client_id": "c", "client_secret": "s", "refresh_token": "r"}'
"#;
const AUTOMATIONS: &str = r#"
[defaults]
country  = "IT"
locale   = "pt-BR"
timezone = "Europe/Rome"

[channel.clinic]
uuid = "35f6f8ccb5504278a2ea099f3a4e0730"

[message.booked]
template.pt-BR = "d980fb66fd5043d3ace1aa06ba044342"
values = ["booked", "{{ appointment.title }}", "{{ appointment.start }}", "-"]
[message.moved]
template.pt-BR = "d980fb66fd5043d3ace1aa06ba044342"
values = ["moved", "{{ appointment.title }}", "{{ appointment.start }}", "-"]
[message.cancelled]
template.pt-BR = "d980fb66fd5043d3ace1aa06ba044342"
values = ["cancelled", "{{ appointment.title }}", "{{ appointment.start }}", "-"]
[message.reminder]
template.pt-BR = "d980fb66fd5043d3ace1aa06ba044342"
values = ["reminder", "{{ appointment.title }}", "{{ appointment.start }}", "-"]

[automation.booked]
on = "appointment.booked"
steps = [
  { message = "booked" },
  { message = "reminder", at = "appointment.start - 24h" },
]
[automation.moved]
on      = "appointment.rescheduled"
message = "moved"
[automation.cancelled]
on      = "appointment.cancelled"
message = "cancelled"
"#;

struct World {
    dev: Dev,
    http: Http,
    apis: Apis,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start() -> World {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("automations.toml", AUTOMATIONS);
        write("secrets.toml", SECRETS);
        let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/templates.json");
        std::fs::copy(templates, folder.path().join("templates.json")).unwrap();
        let settings = Settings {
            automations: Some(folder.path().join("automations.toml")),
            secrets: Some(folder.path().join("secrets.toml")),
            ..Settings::default()
        };
        let dev = Dev::start(&settings, Arc::new(|_: &str| ())).await.unwrap();
        let apis = Apis::new(Some(&format!("{}/_apis", dev.url()))).unwrap();
        World {
            http: Http::of(&dev),
            dev,
            apis,
            _folder: folder,
        }
    }

    fn calendar(&self) -> &GoogleCalendar {
        &self.dev.connectable().google_calendar
    }

    fn now(&self) -> Timestamp {
        self.dev.clock().now()
    }

    /// So long from now, to the second.
    fn ahead(&self, hours: i64) -> Timestamp {
        let at = self.now() + SignedDuration::from_hours(hours);
        Timestamp::from_second(at.as_second()).unwrap()
    }

    fn put(&self, id: &str, start: Timestamp, more: &Value) {
        let end = start + SignedDuration::from_mins(30);
        let mut event = json!({
            "id": id, "summary": id, "start": {"dateTime": start}, "end": {"dateTime": end},
            "description": format!("Telefono: {PHONE}"),
        });
        event
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        self.calendar().put(&event, self.now());
    }

    async fn connect(&self) {
        let door = format!("{}/appointments/{CONNECTION}", self.dev.url());
        let watch = Watch {
            connection: CONNECTION,
            calendar: "studio@example.com",
            door: &door,
            channel_token: &Secret::new("a-token-of-the-channel"),
        };
        let secret =
            Secret::new(r#"{"client_id": "c", "client_secret": "s", "refresh_token": "r"}"#);
        google::watch(&self.apis, &secret, self.dev.store(), watch)
            .await
            .unwrap();
        self.until("the calendar is read", async || {
            let cursor = self.dev.store().cursor(CONNECTION).await.unwrap().unwrap();
            cursor.token.is_some()
        })
        .await;
        self.settle().await;
    }

    /// Waits for what the clock does not move: a push on its way, a worker at work.
    async fn until(&self, what: &str, is: impl AsyncFn() -> bool) {
        let started = Instant::now();
        while !is().await {
            assert!(
                started.elapsed() < WAIT,
                "not in time: {what}: {:?}",
                self.texts().await
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn settle(&self) {
        self.http.idle().await;
        self.http.idle().await;
    }

    /// `booked maria`, of every message, oldest first.
    async fn texts(&self) -> Vec<String> {
        let messages = self.http.list("/_dev/messages").await;
        let two = |message: &Value| {
            let values = message.pointer("/body/template_values").unwrap();
            let one = |n: usize| values.get(n).and_then(Value::as_str).unwrap().to_owned();
            format!("{} {}", one(0), one(1))
        };
        messages.iter().map(two).collect()
    }

    /// Waits until these messages are there, in any order, and no others.
    async fn texts_are(&self, expected: &[&str]) {
        let mut expected: Vec<String> = expected.iter().map(|text| (*text).to_owned()).collect();
        expected.sort();
        let is = async || {
            let mut texts = self.texts().await;
            texts.sort();
            texts == expected
        };
        self.until(&expected.join(", "), is).await;
        self.settle().await;
        assert!(is().await, "{:?}", self.texts().await);
    }

    /// What the hourly function does: asks, though nothing was pushed.
    async fn poll(&self, what: &str) {
        let event = Ask::Poll.event(CONNECTION, what, self.now());
        self.dev.store().put_event(event).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_is_confirmed_moved_reminded_and_cancelled() {
    let world = World::start().await;
    world.put("before", world.ahead(200), &json!({}));
    world.connect().await;
    world.texts_are(&[]).await;

    world.put("maria", world.ahead(72), &json!({}));
    world.texts_are(&["booked maria"]).await;
    world.put("maria", world.ahead(96), &json!({}));
    world.texts_are(&["booked maria", "moved maria"]).await;
    // What was there before the calendar was connected is known: its move is one.
    world.put("before", world.ahead(202), &json!({}));
    world
        .texts_are(&["booked maria", "moved maria", "moved before"])
        .await;
    // Something else than the time.
    world.put("maria", world.ahead(96), &json!({"summary": "maria2"}));
    world
        .dev
        .advance(SignedDuration::from_hours(60))
        .await
        .unwrap();
    world
        .texts_are(&["booked maria", "moved maria", "moved before"])
        .await;
    world
        .dev
        .advance(SignedDuration::from_hours(13))
        .await
        .unwrap();
    let all = [
        "booked maria",
        "moved maria",
        "moved before",
        "reminder maria2",
    ];
    world.texts_are(&all).await;

    world.calendar().delete("before", world.now());
    let all = [&all[..], &["cancelled before"]].concat();
    world.texts_are(&all).await;
    // Who tidies up after the visit cancels nothing.
    world
        .dev
        .advance(SignedDuration::from_hours(48))
        .await
        .unwrap();
    world.calendar().delete("maria", world.now());
    world.texts_are(&all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_pushes_and_old_tokens_lose_and_repeat_nothing() {
    let world = World::start().await;
    world.calendar().set_page_events(2);
    for n in 0..5 {
        world.put(&format!("old{n}"), world.ahead(100 + n), &json!({}));
    }
    world.connect().await;
    world.calendar().set_silent(true);
    world.put("lost", world.ahead(50), &json!({}));
    world.poll("poll/1").await;
    world.texts_are(&["booked lost"]).await;

    // While Google forgets the token: one is made, one moved, one deleted, one vanishes.
    world
        .dev
        .advance(SignedDuration::from_mins(10))
        .await
        .unwrap();
    world.put("new", world.ahead(60), &json!({}));
    world.put("old1", world.ahead(150), &json!({}));
    world.calendar().delete("old2", world.now());
    world.calendar().vanish("old3");
    world.calendar().forget_tokens();
    world
        .dev
        .advance(SignedDuration::from_mins(10))
        .await
        .unwrap();
    world.poll("poll/2").await;
    let all = [
        "booked lost",
        "booked new",
        "moved old1",
        "cancelled old2",
        "cancelled old3",
    ];
    world.texts_are(&all).await;
    world.poll("poll/3").await;
    world.texts_are(&all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_is_told_once_and_reminded_of_each_time() {
    let world = World::start().await;
    world.connect().await;
    world.calendar().set_silent(true);
    for week in 0..3 {
        let id = format!("yoga_{week}");
        let start = world.ahead(48 + week * 168);
        world.put(&id, start, &json!({"recurringEventId": "yoga"}));
    }
    // Far beyond the horizon.
    world.put(
        "yoga_9",
        world.ahead(24 * 100),
        &json!({"recurringEventId": "yoga"}),
    );
    world.poll("poll/1").await;
    world.texts_are(&["booked yoga_0"]).await;
    world
        .dev
        .advance(SignedDuration::from_hours(30))
        .await
        .unwrap();
    world
        .dev
        .advance(SignedDuration::from_hours(168))
        .await
        .unwrap();
    let all = ["booked yoga_0", "reminder yoga_0", "reminder yoga_1"];
    world.texts_are(&all).await;
    // The whole series is deleted: one message.
    world.calendar().delete("yoga_2", world.now());
    world.poll("poll/2").await;
    world
        .texts_are(&[&all[..], &["cancelled yoga_2"]].concat())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_are_replaced_before_they_end_and_pushes_go_on() {
    let world = World::start().await;
    world.connect().await;
    let first = world.calendar().channels(world.now());
    assert_eq!(first.len(), 1);
    // A push of a channel that is not ours is answered, and asks nothing.
    let before = world.http.list("/_dev/requests").await.len();
    let answer = world
        .http
        .client
        .post(format!("{}/appointments/{CONNECTION}", world.dev.url()))
        .header("x-goog-channel-token", "a-token-of-the-channel")
        .header("x-goog-channel-id", "an-old-one")
        .header("x-goog-resource-id", "r")
        .header("x-goog-message-number", "9")
        .header("x-goog-resource-state", "exists")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let line = async || {
        let key = format!("{CONNECTION}/source/an-old-one/9");
        let row = world.dev.store().event(&key).await.unwrap().unwrap();
        row.lines.first().map(|line| line.why.clone())
    };
    world
        .until("the old channel's push is looked at", async || {
            line().await.is_some()
        })
        .await;
    assert_eq!(
        line().await.as_deref(),
        Some("the channel is not ours any more")
    );
    assert_eq!(world.http.list("/_dev/requests").await.len(), before);

    // Ten days, on which nobody but the hourly function does anything.
    world
        .dev
        .advance(SignedDuration::from_hours(240))
        .await
        .unwrap();
    let live = world.calendar().channels(world.now());
    assert_eq!(live.len(), 1, "{live:?}");
    assert_ne!(live, first);
    world.put("maria", world.ahead(72), &json!({}));
    world.texts_are(&["booked maria"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_waits_and_a_refusal_is_asked_again_and_said() {
    let world = World::start().await;
    world.connect().await;
    world.calendar().refuse_next(&[(403, "rateLimitExceeded")]);
    world.put("maria", world.ahead(72), &json!({}));
    let problem = async || {
        let events = world.http.list("/_dev/events?all=1").await;
        let reasons = events
            .iter()
            .filter_map(|event| event.get("reason")?.as_str());
        reasons.map(str::to_owned).collect::<Vec<_>>()
    };
    world
        .until("the refusal is said", async || !problem().await.is_empty())
        .await;
    assert_eq!(problem().await, ["Google answered 403: rateLimitExceeded"]);
    world
        .dev
        .advance(SignedDuration::from_mins(2))
        .await
        .unwrap();
    world.texts_are(&["booked maria"]).await;

    world.calendar().refuse_next(&[(403, "forbidden")]);
    world.put("ana", world.ahead(72), &json!({}));
    world
        .until("the refusal is said", async || !problem().await.is_empty())
        .await;
    let cursor = world.dev.store().cursor(CONNECTION).await.unwrap().unwrap();
    assert_eq!(cursor.failing.unwrap().1, "Google answered 403: forbidden");
    world
        .dev
        .advance(SignedDuration::from_mins(62))
        .await
        .unwrap();
    world.texts_are(&["booked maria", "booked ana"]).await;
    let cursor = world.dev.store().cursor(CONNECTION).await.unwrap().unwrap();
    assert_eq!(cursor.failing, None);
}
