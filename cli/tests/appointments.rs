//! The life of appointments in `callbell dev --data`: booked, moved, reminded, followed up, cancelled, under
//! the clinic of the examples. Between the steps the real binary is killed and started again, the file is
//! pushed, and the clock goes on through `/_dev/clock`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![recursion_limit = "256"]

mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::connections::Connection;
use shared::sources::Unsigned;
use shared::sources::{self, demo};
use support::Http;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// How late a message may be that waits for nothing: the machine, and the seconds that pass by themselves.
const LATE_MAX: SignedDuration = SignedDuration::from_secs(90);
/// How long a changed file may take until it is in use.
const PUSH_MAX: Duration = Duration::from_secs(30);

const GIULIA: &str = "+393331110001";
const MARCO: &str = "+393331110002";
const ANNA: &str = "+393331110003";
const LUCA: &str = "+393331110004";
const SARA: &str = "+393331110005";

/// The installation: the folder that outlives it, and the process that does not.
struct Clinic {
    folder: tempfile::TempDir,
    child: Child,
    http: Http,
    said: Said,
}

/// What the server says once it listens, a line each.
type Said = mpsc::UnboundedReceiver<String>;

fn hours(number: i64) -> SignedDuration {
    SignedDuration::from_hours(number)
}

fn days(number: i64) -> SignedDuration {
    hours(24 * number)
}

async fn spawn(data: &Path, automations: &Path) -> (Child, Http, Said) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_callbell"))
        .args(["dev", "--port", "0", "--data"])
        .arg(data)
        .arg("--automations")
        .arg(automations)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let base = loop {
        let line = lines
            .next_line()
            .await
            .unwrap()
            .expect("the server says where it listens");
        if let Some(rest) = line.strip_prefix("messages") {
            let (base, _) = rest.trim().split_once("/_dev/").unwrap();
            break base.to_owned();
        }
    };
    // Nobody may be held up by a full pipe.
    let (sender, said) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            drop(sender.send(line));
        }
    });
    (child, Http::at(base), said)
}

impl Clinic {
    async fn open() -> Clinic {
        let folder = tempfile::tempdir().unwrap();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        for (from, to) in [
            ("clinic.toml", "automations.toml"),
            ("templates.json", "templates.json"),
        ] {
            std::fs::copy(example.join(from), folder.path().join(to)).unwrap();
        }
        let automations = folder.path().join("automations.toml");
        let (child, http, said) = spawn(&folder.path().join("data"), &automations).await;
        Clinic {
            folder,
            child,
            http,
            said,
        }
    }

    fn automations(&self) -> PathBuf {
        self.folder.path().join("automations.toml")
    }

    /// The process ends as it is, and another one goes on with what it left.
    async fn killed_and_restarted(&mut self) {
        self.child.kill().await.unwrap();
        let data = self.folder.path().join("data");
        (self.child, self.http, self.said) = spawn(&data, &self.automations()).await;
    }

    async fn now(&self) -> Timestamp {
        self.http.get("/_dev/clock").await["now"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Moves the clock to an instant, and lets everything happen on the way.
    async fn at(&self, at: Timestamp) {
        let by = at.duration_since(self.now().await);
        assert!(by.is_positive(), "the clock is past {at}");
        let by = format!("{}m", by.as_mins());
        let (status, answer) = self
            .http
            .post("/_dev/clock", json!({ "advance": by }))
            .await;
        assert_eq!(status, 200, "{answer}");
        self.http.idle().await;
    }

    /// Posts a webhook as its provider does, and waits for what it sets off.
    async fn webhook(&self, kind: &str, body: &Value) {
        let source = sources::by_kind(kind).unwrap();
        let bytes = serde_json::to_vec(body).unwrap();
        let mut request = self
            .http
            .client
            .post(format!("{}/appointments/{kind}", self.http.base))
            .header("content-type", "application/json");
        let (connection, secret) = (Connection::plain(kind), demo::secret(kind));
        let unsigned = Unsigned::of(&connection, &secret, &bytes, self.now().await);
        for (name, value) in source.sign(&unsigned) {
            request = request.header(name, value);
        }
        let response = request.body(bytes).send().await.unwrap();
        assert_eq!(response.status(), 200, "{:?}", response.text().await);
        self.http.idle().await;
    }

    /// What a number got, in order: the message's name and when.
    async fn got(&self, phone: &str) -> Vec<(String, Timestamp)> {
        let jobs = self.http.list("/_dev/jobs").await;
        let messages = self.http.list("/_dev/messages").await;
        let to = messages
            .iter()
            .filter(|message| message["body"]["to"] == phone);
        let one = |message: &Value| {
            let job = jobs
                .iter()
                .find(|job| job["id"] == message["body"]["metadata"]["job"])
                .expect("a job a message");
            let name = job["action"].as_str().unwrap();
            let name = name.strip_prefix("message.").unwrap().to_owned();
            (name, message["at"].as_str().unwrap().parse().unwrap())
        };
        to.map(one).collect()
    }

    /// That a number got these messages and no other, and the last ones at their times.
    async fn expect(&self, phone: &str, expected: &[&str]) {
        let got = self.got(phone).await;
        let names: Vec<&str> = got.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, expected, "{:#}", self.http.get("/_dev/jobs").await);
    }

    /// That the newest message to a number is this one, and came when it was due.
    async fn expect_last(&self, phone: &str, name: &str, due: Timestamp) {
        let got = self.got(phone).await;
        let (last, at) = got.last().expect("a message");
        let late = at.duration_since(due);
        assert!(
            last == name && !late.is_negative() && late <= LATE_MAX,
            "{last} at {at}, not {name} at {due}"
        );
    }

    /// What a number read last.
    async fn last_text(&self, phone: &str) -> String {
        let messages = self.http.list("/_dev/messages").await;
        let last = messages
            .iter()
            .rfind(|message| message["body"]["to"] == phone);
        last.unwrap()["text"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Statuses and reasons of one message's jobs, for the bookings whose keys hold `id`.
    async fn jobs(&self, message: &str, id: &str) -> Vec<(String, String)> {
        let jobs = self.http.list("/_dev/jobs").await;
        let word = |job: &Value, key: &str| job[key].as_str().unwrap_or_default().to_owned();
        jobs.iter()
            .filter(|job| {
                word(job, "action") == format!("message.{message}")
                    && word(job, "event").contains(id)
            })
            .map(|job| (word(job, "status"), word(job, "reason")))
            .collect()
    }

    /// Another word in the file, until it is in use.
    async fn push(&mut self, from: &str, to: &str) {
        let file = self.automations();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "the example has no {from}");
        std::fs::write(&file, text.replace(from, to)).unwrap();
        let pushed = async {
            while let Some(line) = self.said.recv().await {
                if line.contains(" version ") {
                    break;
                }
            }
        };
        tokio::time::timeout(PUSH_MAX, pushed).await.unwrap();
    }
}

/// A webhook of Calendly about an invitee.
struct Invitee<'i> {
    id: &'i str,
    name: &'i str,
    phone: &'i str,
    start: Timestamp,
    now: Timestamp,
}

impl Invitee<'_> {
    fn uri(id: &str) -> String {
        format!("https://api.calendly.com/scheduled_events/EV-{id}/invitees/{id}")
    }

    fn body(&self, event: &str, more: &Value) -> Value {
        let canceled = event == "invitee.canceled";
        let event_uri = format!("https://api.calendly.com/scheduled_events/EV-{}", self.id);
        let mut payload = json!({
            "uri": Invitee::uri(self.id), "event": event_uri, "name": self.name, "first_name": null, "last_name": null,
            "email": "paziente@example.com", "status": if canceled { "canceled" } else { "active" },
            "timezone": "Europe/London", "text_reminder_number": null,
            "questions_and_answers": [
                { "question": "Numero di cellulare", "answer": self.phone, "position": 0 },
                { "question": "Prima visita?", "answer": "No", "position": 1 },
            ],
            "cancel_url": format!("https://calendly.com/cancellations/{}", self.id),
            "reschedule_url": format!("https://calendly.com/reschedulings/{}", self.id),
            "rescheduled": false, "old_invitee": null, "new_invitee": null,
            "created_at": self.now.to_string(), "updated_at": self.now.to_string(),
            "payment": null, "no_show": null, "reconfirmation": null, "routing_form_submission": null,
            "tracking": { "utm_source": null }, "scheduling_method": null, "invitee_scheduled_by": null,
            "scheduled_event": {
                "uri": event_uri, "name": "Igiene dentale", "status": "active",
                "start_time": self.start.to_string(), "end_time": (self.start + SignedDuration::from_mins(45)).to_string(),
                "event_type": "https://api.calendly.com/event_types/IGIENE",
                "location": { "type": "physical", "location": "Via Roma 1, Milano" },
                "invitees_counter": { "total": 1, "active": 1, "limit": 1 },
                "event_memberships": [{
                    "user": "https://api.calendly.com/users/BIANCHI", "user_email": "bianchi@example.com",
                    "user_name": "Dott.ssa Bianchi",
                }],
                "event_guests": [], "created_at": self.now.to_string(), "updated_at": self.now.to_string(),
            },
        });
        for (key, value) in more.as_object().unwrap() {
            payload[key] = value.clone();
        }
        json!({
            "event": event, "created_at": self.now.to_string(),
            "created_by": "https://api.calendly.com/users/BIANCHI", "payload": payload,
        })
    }

    fn created(&self) -> Value {
        self.body("invitee.created", &json!({}))
    }

    fn created_instead_of(&self, old: &str) -> Value {
        self.body(
            "invitee.created",
            &json!({ "old_invitee": Invitee::uri(old) }),
        )
    }

    fn moved_to(&self, new: &str) -> Value {
        let moved = json!({ "rescheduled": true, "new_invitee": Invitee::uri(new), "cancellation": self.cancellation() });
        self.body("invitee.canceled", &moved)
    }

    fn canceled(&self) -> Value {
        self.body(
            "invitee.canceled",
            &json!({ "cancellation": self.cancellation() }),
        )
    }

    fn cancellation(&self) -> Value {
        json!({
            "canceled_by": self.name, "reason": "", "canceler_type": "invitee", "created_at": self.now.to_string(),
        })
    }
}

/// A webhook of Cal.com about a booking.
struct Booking<'b> {
    uid: &'b str,
    name: &'b str,
    phone: &'b str,
    start: Timestamp,
    now: Timestamp,
}

impl Booking<'_> {
    fn body(&self, trigger: &str, more: &Value) -> Value {
        let end = self.start + SignedDuration::from_mins(45);
        let mut payload = json!({
            "bookerUrl": "https://cal.com", "type": "igiene", "title": "Igiene dentale tra Bianchi e paziente",
            "eventTitle": "Igiene dentale", "startTime": self.start.to_string(), "endTime": end.to_string(),
            "length": 45, "eventTypeId": 11, "additionalNotes": "",
            "organizer": {
                "id": 1, "name": "Dott.ssa Bianchi", "email": "bianchi@example.com", "username": "bianchi",
                "timeZone": "Europe/Rome", "language": { "locale": "it" }, "utcOffset": 60,
            },
            "attendees": [{
                "name": self.name, "firstName": "", "lastName": "", "email": "paziente@example.com",
                "timeZone": "Europe/Rome", "language": { "locale": "it" }, "phoneNumber": self.phone, "utcOffset": 60,
            }],
            "responses": {
                "name": { "label": "your_name", "value": self.name, "isHidden": false },
                "email": { "label": "email_address", "value": "paziente@example.com", "isHidden": false },
                "attendeePhoneNumber": { "label": "phone_number", "value": self.phone, "isHidden": false },
            },
            "location": "Via Roma 1, Milano", "uid": self.uid, "bookingId": 900, "iCalUID": format!("{}@cal.com", self.uid),
            "iCalSequence": 0, "status": "ACCEPTED", "price": 0, "currency": "eur", "metadata": {},
        });
        for (key, value) in more.as_object().unwrap() {
            payload[key] = value.clone();
        }
        json!({ "triggerEvent": trigger, "createdAt": self.now.to_string(), "payload": payload })
    }

    fn created(&self) -> Value {
        self.body("BOOKING_CREATED", &json!({}))
    }

    fn instead_of(&self, old: &Booking<'_>) -> Value {
        let moved = json!({
            "rescheduleUid": old.uid, "rescheduleId": 899, "rescheduleStartTime": old.start.to_string(),
            "rescheduleEndTime": (old.start + SignedDuration::from_mins(45)).to_string(),
            "rescheduledBy": "paziente@example.com",
        });
        self.body("BOOKING_RESCHEDULED", &moved)
    }
}

/// A full hour, `days` days after `now`.
fn full_hour(now: Timestamp, days_ahead: i64) -> Timestamp {
    let seconds = now.as_second() - now.as_second().rem_euclid(3_600);
    Timestamp::from_second(seconds).unwrap() + days(days_ahead)
}

/// Giulia books with Calendly and moves twice, which are two webhooks a move, in both orders. Marco does
/// the same with Cal.com, Anna cancels, Luca comes the same day, Sara in two years.
#[tokio::test]
async fn reminders_follow_the_bookings_whatever_happens() {
    let mut clinic = Clinic::open().await;
    let now = clinic.now().await;
    let giulia = |id, days_ahead, now| Invitee {
        id,
        name: "Giulia Conti",
        phone: GIULIA,
        start: full_hour(now, days_ahead),
        now,
    };
    let first = giulia("IN1", 9, now);
    clinic.webhook("calendly", &first.created()).await;
    clinic.expect(GIULIA, &["visit-confirmed"]).await;
    clinic.expect_last(GIULIA, "visit-confirmed", now).await;
    assert_a_visit_in_milan(&clinic.last_text(GIULIA).await, first.start);
    marco_anna_luca_sara(&clinic, now).await;

    // The old invitee's webhook first, the new one's after a crash.
    clinic.at(now + days(1)).await;
    let second = giulia("IN2", 12, now);
    let at = Invitee {
        now: clinic.now().await,
        ..second
    };
    let old = Invitee {
        now: at.now,
        ..first
    };
    clinic.webhook("calendly", &old.moved_to("IN2")).await;
    clinic.killed_and_restarted().await;
    clinic.expect(GIULIA, &["visit-confirmed"]).await;
    clinic
        .webhook("calendly", &at.created_instead_of("IN1"))
        .await;
    clinic
        .expect(GIULIA, &["visit-confirmed", "visit-moved"])
        .await;

    // The new one's first.
    clinic.at(now + days(2)).await;
    let third = Invitee {
        now: clinic.now().await,
        ..giulia("IN3", 6, now)
    };
    clinic
        .webhook("calendly", &third.created_instead_of("IN2"))
        .await;
    let old = Invitee {
        now: third.now,
        ..at
    };
    clinic.webhook("calendly", &old.moved_to("IN3")).await;
    clinic
        .webhook("calendly", &third.created_instead_of("IN2"))
        .await;
    let so_far = ["visit-confirmed", "visit-moved", "visit-moved"];
    clinic.expect(GIULIA, &so_far).await;
    clinic.killed_and_restarted().await;

    // A push changes what is said, not what was promised.
    clinic.push("[\"{{ customer.name | default('paziente') }}\", \"{{ appointment.start | day }}\"",
        "[\"cara {{ customer.name | default('paziente') }}\", \"{{ appointment.start | day }}\"").await;
    let start = third.start;
    clinic
        .at(start - hours(24) - SignedDuration::from_mins(2))
        .await;
    clinic.expect(GIULIA, &so_far).await;
    clinic
        .at(start - hours(24) + SignedDuration::from_mins(2))
        .await;
    clinic
        .expect_last(GIULIA, "reminder-day", start - hours(24))
        .await;
    let text = clinic.last_text(GIULIA).await;
    assert!(
        text.contains("cara Giulia Conti") && text.contains("domani"),
        "{text}"
    );
    clinic.killed_and_restarted().await;
    clinic.at(start - SignedDuration::from_mins(30)).await;
    clinic
        .expect_last(GIULIA, "reminder-hour", start - hours(1))
        .await;
    clinic.at(start + hours(4)).await;
    let end = start + SignedDuration::from_mins(45);
    clinic
        .expect_last(GIULIA, "follow-up", end + hours(2))
        .await;

    // Beyond every time that was given up.
    clinic.at(now + days(20)).await;
    let all = [
        "visit-confirmed",
        "visit-moved",
        "visit-moved",
        "reminder-day",
        "reminder-hour",
        "follow-up",
    ];
    clinic.expect(GIULIA, &all).await;
    the_others(&mut clinic, now).await;
}

/// The confirmation prints the place's time, not London's, in which Giulia's browser was.
fn assert_a_visit_in_milan(text: &str, start: Timestamp) {
    let rome = start
        .in_tz("Europe/Rome")
        .unwrap()
        .strftime("%H:%M")
        .to_string();
    assert!(text.contains(&format!("alle {rome}")), "{text}");
    assert!(
        text.contains("Giulia Conti") && text.contains("https://calendly.com/reschedulings/IN1"),
        "{text}"
    );
}

async fn marco_anna_luca_sara(clinic: &Clinic, now: Timestamp) {
    let marco = |uid, days_ahead| Booking {
        uid,
        name: "Marco Greco",
        phone: MARCO,
        start: full_hour(now, days_ahead),
        now,
    };
    let (first, second, third) = (marco("uidM1", 8), marco("uidM2", 10), marco("uidM3", 7));
    clinic.webhook("cal-com", &first.created()).await;
    clinic.webhook("cal-com", &second.instead_of(&first)).await;
    // A subscription of the team sends everything again.
    clinic.webhook("cal-com", &second.instead_of(&first)).await;
    clinic.webhook("cal-com", &third.instead_of(&second)).await;
    clinic
        .expect(MARCO, &["visit-confirmed", "visit-moved", "visit-moved"])
        .await;

    let anna = Invitee {
        id: "IN9",
        name: "Anna Villa",
        phone: ANNA,
        start: full_hour(now, 5),
        now,
    };
    clinic.webhook("calendly", &anna.created()).await;
    let anna = Invitee {
        now: clinic.now().await,
        ..anna
    };
    clinic.webhook("calendly", &anna.canceled()).await;
    clinic
        .expect(ANNA, &["visit-confirmed", "visit-cancelled"])
        .await;

    let luca = Booking {
        uid: "uidL1",
        name: "Luca Fontana",
        phone: LUCA,
        start: full_hour(now, 0) + hours(5),
        now,
    };
    clinic.webhook("cal-com", &luca.created()).await;
    clinic.expect(LUCA, &["visit-confirmed"]).await;

    let sara = Booking {
        uid: "uidS1",
        name: "Sara Ricci",
        phone: SARA,
        start: full_hour(now, 730),
        now,
    };
    clinic.webhook("cal-com", &sara.created()).await;
    clinic.expect(SARA, &["visit-confirmed"]).await;
}

/// What became of everybody else, at last two years later.
async fn the_others(clinic: &mut Clinic, now: Timestamp) {
    let marco = [
        "visit-confirmed",
        "visit-moved",
        "visit-moved",
        "reminder-day",
        "reminder-hour",
        "follow-up",
    ];
    clinic.expect(MARCO, &marco).await;
    let start = full_hour(now, 7);
    let due = [
        start - hours(24),
        start - hours(1),
        start + hours(2) + SignedDuration::from_mins(45),
    ];
    for ((name, at), due) in clinic.got(MARCO).await.iter().skip(3).zip(due) {
        let late = at.duration_since(due);
        assert!(
            !late.is_negative() && late <= LATE_MAX,
            "{name} at {at}, not {due}"
        );
    }

    clinic
        .expect(ANNA, &["visit-confirmed", "visit-cancelled"])
        .await;
    for message in ["reminder-day", "reminder-hour", "follow-up"] {
        let jobs = clinic.jobs(message, "/IN9").await;
        let silent = jobs.iter().all(|(status, _)| status == "cancelled");
        assert!(silent && jobs.len() == 1, "{message}: {jobs:?}");
    }

    clinic
        .expect(LUCA, &["visit-confirmed", "reminder-hour", "follow-up"])
        .await;
    assert_eq!(
        clinic.jobs("reminder-day", "uidL1").await,
        [("skipped".to_owned(), "its time had passed".to_owned())]
    );

    clinic.expect(SARA, &["visit-confirmed"]).await;
    clinic.killed_and_restarted().await;
    let start = full_hour(now, 730);
    clinic.at(start - hours(2)).await;
    clinic
        .expect_last(SARA, "reminder-day", start - hours(24))
        .await;
    clinic.at(start + hours(6)).await;
    let sara = [
        "visit-confirmed",
        "reminder-day",
        "reminder-hour",
        "follow-up",
    ];
    clinic.expect(SARA, &sara).await;

    let open = clinic.http.list("/_dev/jobs").await;
    let open: Vec<&Value> = open
        .iter()
        .filter(|job| !["sent", "skipped", "cancelled"].contains(&job["status"].as_str().unwrap()))
        .collect();
    assert!(open.is_empty(), "{open:#?}");
    clinic.child.kill().await.unwrap();
}
