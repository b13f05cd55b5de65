//! A webhook that does not say all: the worker asks Calendly for the rest, and gives up after a day.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![recursion_limit = "256"]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cli::dev::{Dev, Settings};
use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::connections::Connection;
use shared::secrets::Secret;
use shared::sources::Source as _;
use shared::sources::Unsigned;
use shared::sources::calendly::Calendly;
use support::Http;

/// Longest wait for something to happen.
const WAIT: Duration = Duration::from_secs(60);
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

[automation.booked]
on      = "appointment.booked"
message = "booked"
"#;

struct World {
    dev: Dev,
    http: Http,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start(token: &str) -> World {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("automations.toml", AUTOMATIONS);
        let secrets =
            "[webhooks]\ncalendly = \"key\"\n[apis]\ncallbell = \"demo-callbell-token\"\n";
        write(
            "secrets.toml",
            &format!("{secrets}calendly = \"{token}\"\n"),
        );
        let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/templates.json");
        std::fs::copy(templates, folder.path().join("templates.json")).unwrap();
        let settings = Settings {
            automations: Some(folder.path().join("automations.toml")),
            secrets: Some(folder.path().join("secrets.toml")),
            ..Settings::default()
        };
        let dev = Dev::start(&settings, Arc::new(|_: &str| ())).await.unwrap();
        World {
            http: Http::of(&dev),
            dev,
            _folder: folder,
        }
    }

    /// A booking whose webhook has no scheduled event.
    async fn book(&self) {
        let now = self.dev.clock().now();
        let event = "https://api.calendly.com/scheduled_events/AAAA";
        let body = json!({
            "event": "invitee.created", "created_at": now, "created_by": "https://api.calendly.com/users/A",
            "payload": {
                "uri": format!("{event}/invitees/BBBB"), "event": event, "name": "Maria Rossi",
                "email": "maria@example.com", "status": "active", "timezone": "Europe/Rome",
                "text_reminder_number": "+39 347 123 4567", "questions_and_answers": [],
                "rescheduled": false, "old_invitee": null, "new_invitee": null,
                "created_at": now, "updated_at": now,
            },
        });
        let bytes = serde_json::to_vec(&body).unwrap();
        let url = format!("{}/appointments/calendly", self.dev.url());
        let mut request = self.http.client.post(url);
        let (connection, secret) = (Connection::plain("calendly"), Secret::new("key"));
        let unsigned = Unsigned::of(&connection, &secret, &bytes, now);
        for (name, value) in Calendly.sign(&unsigned) {
            request = request.header(name, value);
        }
        assert_eq!(
            request.body(bytes).send().await.unwrap().status().as_u16(),
            200
        );
    }

    async fn until(&self, what: &str, is: impl AsyncFn() -> bool) {
        let started = Instant::now();
        while !is().await {
            assert!(started.elapsed() < WAIT, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The question, as `callbell events` sees it.
    async fn question(&self) -> Value {
        let events = self.http.list("/_dev/events?all=1").await;
        let question = events
            .into_iter()
            .find(|event| event["name"] == "source.changed");
        question.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_webhook_left_out_is_asked_for() {
    let world = World::start("token").await;
    world.book().await;
    let sent = async || !world.http.list("/_dev/messages").await.is_empty();
    world.until("the booking is confirmed", sent).await;
    let messages = world.http.list("/_dev/messages").await;
    assert_eq!(
        messages[0].pointer("/body/template_values/1").unwrap(),
        "Consulta"
    );
    let why = &world.question().await["automations"][0]["why"];
    assert_eq!(why, "1 appointment.booked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_tried_every_hour_and_given_up_after_a_day() {
    let world = World::start("revoked").await;
    world.book().await;
    let refused = async || world.question().await["reason"].is_string();
    world.until("the refusal is said", refused).await;
    assert_eq!(world.question().await["reason"], "Calendly answered 401");
    world
        .dev
        .advance(SignedDuration::from_hours(23))
        .await
        .unwrap();
    let question = world.question().await;
    assert_eq!(
        (&question["status"], &question["reason"]),
        (&json!("new"), &json!("Calendly answered 401"))
    );
    world
        .dev
        .advance(SignedDuration::from_hours(2))
        .await
        .unwrap();
    let question = world.question().await;
    assert_eq!(question["status"], "planned");
    assert_eq!(
        question["automations"][0]["why"],
        "given up: Calendly answered 401"
    );
    let requests = world.http.list("/_dev/requests").await;
    let asked = requests
        .iter()
        .filter(|request| request.to_string().contains("scheduled_events"));
    // Once an hour, and no more often.
    assert_eq!(asked.count(), 25);
}
