//! One webhook about one invitee.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::connections::Connection;
use crate::event::{
    Appointment, AppointmentChange, Body, CancelledBy, Changed, Customer, Event, FreeMap, Fresh,
    Head, Host, Money, Name, PhoneCandidate, State, Subject, SubjectKind,
};
use crate::sources::booking::{self, PhoneQuestions, Standing};
use crate::sources::{Reading, Unreadable, read};

/// In the order of preference. Never `inbound_call`, which is the host's own number, and never the
/// address of a visit.
pub(super) const PHONE_PATHS: &[&str] =
    &["text_reminder_number", OUTBOUND_CALL, QUESTION, ASK_INVITEE];
/// Answers may be named one by one.
pub(super) const ANSWERS: &str = "answers.";
/// The host calls this number, which the invitee left.
const OUTBOUND_CALL: &str = "location.outbound_call";
/// The place that the invitee chose in words: a phone number, or an address.
const ASK_INVITEE: &str = "location.ask_invitee";
/// The answers to whatever asks for a phone number.
const QUESTION: &str = "phone_question";
/// Most characters of a question in a path: a reason has to be read.
const PATH_CHARS_MAX: usize = 80;
/// Longest uuid of a URI, in characters.
const UUID_CHARS_MAX: usize = 100;

#[derive(Deserialize)]
struct Webhook {
    /// When the webhook was made.
    #[serde(default, deserialize_with = "read::time")]
    created_at: Option<Timestamp>,
    payload: Invitee,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Invitee {
    #[serde(deserialize_with = "read::text")]
    uri: Option<String>,
    #[serde(deserialize_with = "read::text")]
    name: Option<String>,
    #[serde(deserialize_with = "read::text")]
    first_name: Option<String>,
    #[serde(deserialize_with = "read::text")]
    last_name: Option<String>,
    #[serde(deserialize_with = "read::text")]
    email: Option<String>,
    #[serde(deserialize_with = "read::text")]
    timezone: Option<String>,
    #[serde(deserialize_with = "read::text")]
    text_reminder_number: Option<String>,
    #[serde(deserialize_with = "read::list")]
    questions_and_answers: Vec<Answer>,
    #[serde(deserialize_with = "read::url")]
    cancel_url: Option<String>,
    #[serde(deserialize_with = "read::url")]
    reschedule_url: Option<String>,
    #[serde(deserialize_with = "read::flag")]
    rescheduled: Option<bool>,
    #[serde(deserialize_with = "read::text")]
    old_invitee: Option<String>,
    #[serde(deserialize_with = "read::text")]
    new_invitee: Option<String>,
    #[serde(deserialize_with = "read::time")]
    created_at: Option<Timestamp>,
    #[serde(deserialize_with = "read::time")]
    updated_at: Option<Timestamp>,
    #[serde(deserialize_with = "read::object")]
    cancellation: Option<Cancellation>,
    #[serde(deserialize_with = "read::object")]
    payment: Option<Payment>,
    #[serde(deserialize_with = "read::object")]
    no_show: Option<NoShow>,
    /// Where the payload is a no-show and not the invitee.
    #[serde(deserialize_with = "read::text")]
    invitee: Option<String>,
    #[serde(deserialize_with = "read::object")]
    tracking: Option<FreeMap>,
    #[serde(deserialize_with = "read::object")]
    scheduled_event: Option<ScheduledEvent>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    #[serde(deserialize_with = "read::text")]
    question: Option<String>,
    #[serde(deserialize_with = "read::text")]
    answer: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cancellation {
    #[serde(deserialize_with = "read::text")]
    reason: Option<String>,
    #[serde(deserialize_with = "read::text")]
    canceler_type: Option<String>,
    #[serde(deserialize_with = "read::time")]
    created_at: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payment {
    #[serde(deserialize_with = "read::money")]
    amount: Option<Money>,
    #[serde(deserialize_with = "read::text")]
    currency: Option<String>,
    #[serde(deserialize_with = "read::flag")]
    successful: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NoShow {
    #[serde(deserialize_with = "read::text")]
    invitee: Option<String>,
    #[serde(deserialize_with = "read::time")]
    created_at: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ScheduledEvent {
    #[serde(deserialize_with = "read::text")]
    name: Option<String>,
    #[serde(deserialize_with = "read::time")]
    start_time: Option<Timestamp>,
    #[serde(deserialize_with = "read::time")]
    end_time: Option<Timestamp>,
    #[serde(deserialize_with = "read::text")]
    event_type: Option<String>,
    #[serde(deserialize_with = "read::object")]
    location: Option<Location>,
    #[serde(deserialize_with = "read::list")]
    event_memberships: Vec<Member>,
    #[serde(deserialize_with = "read::list")]
    event_guests: Vec<Guest>,
    #[serde(deserialize_with = "read::object")]
    cancellation: Option<Cancellation>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Location {
    #[serde(rename = "type", deserialize_with = "read::text")]
    kind: Option<String>,
    #[serde(deserialize_with = "read::text")]
    location: Option<String>,
    #[serde(deserialize_with = "read::url")]
    join_url: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Member {
    #[serde(deserialize_with = "read::text")]
    user_name: Option<String>,
    #[serde(deserialize_with = "read::text")]
    user_email: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Guest {
    #[serde(deserialize_with = "read::text")]
    email: Option<String>,
}

/// The last part of a resource's URI, where it can be a part of a key.
pub(super) fn uuid(uri: &str) -> Option<&str> {
    let last = uri.trim().trim_end_matches('/').rsplit('/').next()?;
    let fits = !last.is_empty() && last.len() <= UUID_CHARS_MAX;
    (fits && last.bytes().all(|byte| byte.is_ascii_graphic())).then_some(last)
}

/// What a signed body says.
pub(super) fn read(value: &Value, connection: &Connection) -> Result<Reading, Unreadable> {
    let event = value.get("event").and_then(Value::as_str);
    let payload = value.get("payload");
    let of_version_1 = payload
        .and_then(|payload| payload.get("event"))
        .is_some_and(Value::is_object);
    if of_version_1 {
        // What GET /sample_webhook_data returns, and what is never delivered.
        return Ok(Reading::Nothing("a body of Calendly's API v1"));
    }
    let make = match event {
        Some("invitee.created") => Booking::made,
        Some("invitee.canceled") => Booking::ended,
        Some("invitee_no_show.created") => Booking::missed,
        Some("invitee_no_show.deleted") => Booking::not_missed,
        Some("routing_form_submission.created") => {
            return Ok(Reading::Nothing("a form without a booking"));
        }
        _ => return Ok(Reading::Nothing("foreign topic")),
    };
    let webhook: Webhook = read::typed(value)?;
    let booking = Booking::new(webhook, connection)?;
    Ok(Reading::Events(vec![make(&booking, value)?]))
}

/// An invitee and what is known of the webhook around it.
struct Booking<'a> {
    connection: &'a Connection,
    invitee: Invitee,
    /// When the webhook was made.
    sent_at: Option<Timestamp>,
    id: String,
    previous_id: Option<String>,
    /// The payload is a no-show that names its invitee: its dates are its own.
    is_bare: bool,
}

impl Booking<'_> {
    fn new(webhook: Webhook, connection: &Connection) -> Result<Booking<'_>, Unreadable> {
        let invitee = webhook.payload;
        let named = invitee.invitee.as_deref();
        let of_no_show = invitee
            .no_show
            .as_ref()
            .and_then(|no_show| no_show.invitee.as_deref());
        let uri = named.or(invitee
            .uri
            .as_deref()
            .filter(|uri| uri.contains("/invitees/")));
        let uri = uri.or(of_no_show).or(invitee.uri.as_deref());
        let id = read::required(uri.and_then(uuid), "payload.uri", "an invitee's URI")?;
        let previous_id = invitee.old_invitee.as_deref().and_then(uuid);
        Ok(Booking {
            connection,
            id: id.to_owned(),
            previous_id: previous_id.filter(|old| *old != id).map(str::to_owned),
            is_bare: named.is_some(),
            sent_at: webhook.created_at,
            invitee,
        })
    }

    /// `invitee.created`. It may be repeated late, when the invitee has long been moved on: what it says,
    /// it says as of the invitee's creation.
    fn made(&self, webhook: &Value) -> Result<Event, Unreadable> {
        let created_at = self.created_at()?;
        let Some(times) = self.times() else {
            return self.changed(webhook, created_at);
        };
        let (name, fact) = match &self.previous_id {
            Some(_) => (
                Name::AppointmentRescheduled,
                format!("rescheduled/{}", times.0.as_second()),
            ),
            None => (Name::AppointmentBooked, "booked".to_owned()),
        };
        let standing = self.standing(created_at, State::Open);
        Ok(self.event(name, &fact, booking::subject(standing)))
    }

    /// `invitee.canceled`. One that is a half of a reschedule says as of its own creation that its id
    /// stands for nothing any more. A genuine one does not wait until somebody fetches the scheduled event
    /// that is missing in it: without it, what is stored says the rest.
    fn ended(&self, _webhook: &Value) -> Result<Event, Unreadable> {
        let is_moved = self
            .invitee
            .rescheduled
            .unwrap_or(self.invitee.new_invitee.is_some());
        if is_moved {
            let created_at = self.created_at()?;
            let standing = Standing {
                is_released: true,
                times: None,
                ..self.standing(created_at, State::Open)
            };
            let mut event = self.event(
                Name::AppointmentReleased,
                "released",
                booking::subject(standing),
            );
            event.event.at = self.ended_at().unwrap_or(created_at);
            event.body = self.change();
            return Ok(event);
        }
        let at = self.ended_at();
        let at = read::required(at, "payload.cancellation.created_at", "a date and time")?;
        let standing = self.standing(at, State::Cancelled);
        Ok(self.event(
            Name::AppointmentCancelled,
            "cancelled",
            booking::subject(standing),
        ))
    }

    fn ended_at(&self) -> Option<Timestamp> {
        let dated = self
            .cancellation()
            .and_then(|cancellation| cancellation.created_at);
        dated.or(self.invitee.updated_at).or(self.sent_at)
    }

    /// `invitee_no_show.created`.
    fn missed(&self, _webhook: &Value) -> Result<Event, Unreadable> {
        let own = self
            .invitee
            .no_show
            .as_ref()
            .and_then(|no_show| no_show.created_at);
        let bare = self.invitee.created_at.filter(|_| self.is_bare);
        let at = own.or(bare).or(self.sent_at);
        let at = read::required(at, "payload.no_show.created_at", "a date and time")?;
        let standing = self.standing(at, State::NoShow);
        Ok(self.event(
            Name::AppointmentNoShow,
            &format!("no_show/{}", at.as_second()),
            booking::subject(standing),
        ))
    }

    /// `invitee_no_show.deleted`. Nothing but the webhook itself says when; no automation sees the event,
    /// so that two subscriptions make two does no harm.
    fn not_missed(&self, _webhook: &Value) -> Result<Event, Unreadable> {
        let at = read::required(self.sent_at, "created_at", "a date and time")?;
        let standing = self.standing(at, State::Open);
        Ok(self.event(
            Name::AppointmentUpdated,
            &format!("updated/{}", at.as_second()),
            booking::subject(standing),
        ))
    }

    fn created_at(&self) -> Result<Timestamp, Unreadable> {
        let at = self.invitee.created_at.or(self.sent_at);
        read::required(at, "payload.created_at", "a date and time")
    }

    fn times(&self) -> Option<(Timestamp, Timestamp)> {
        let scheduled = self.invitee.scheduled_event.as_ref()?;
        Some((scheduled.start_time?, scheduled.end_time?))
    }

    /// For the group that a host cancels, the cancellation may stand at the scheduled event.
    fn cancellation(&self) -> Option<&Cancellation> {
        let scheduled = self.invitee.scheduled_event.as_ref();
        let of_event = scheduled.and_then(|scheduled| scheduled.cancellation.as_ref());
        self.invitee.cancellation.as_ref().or(of_event)
    }

    fn standing(&self, as_of: Timestamp, state: State) -> Standing<'_> {
        let created_at = self.invitee.created_at.filter(|_| !self.is_bare);
        Standing {
            id: &self.id,
            previous_id: self.previous_id.as_deref(),
            as_of,
            created_at: created_at.unwrap_or(as_of),
            state,
            times: self.times(),
            is_released: false,
        }
    }

    fn event(&self, name: Name, fact: &str, subject: Subject) -> Event {
        let body = match self.appointment() {
            Some(appointment) => Body::Appointment {
                appointment: Box::new(appointment),
            },
            None => self.change(),
        };
        Event {
            event: self.head(
                name,
                &format!("appointment/{}/{fact}", self.id),
                subject.as_of,
            ),
            customer: self.customer(),
            subject,
            body,
        }
    }

    fn head(&self, name: Name, key: &str, at: Timestamp) -> Head {
        Head {
            name,
            source: self.connection.name.clone(),
            kind: self.connection.kind.clone(),
            account: None,
            id: format!("{}/{key}", self.connection.name),
            at,
            test: false,
            depth: 0,
            notes: Vec::new(),
        }
    }

    fn change(&self) -> Body {
        Body::AppointmentChange {
            appointment_change: AppointmentChange {
                cancelled_by: self.cancelled_by(),
                reason: self
                    .cancellation()
                    .and_then(|cancellation| cancellation.reason.clone()),
            },
        }
    }

    /// The webhook as it came, for the worker to complete.
    fn changed(&self, webhook: &Value, at: Timestamp) -> Result<Event, Unreadable> {
        let mut about = FreeMap::new();
        for key in ["event", "created_at", "payload"] {
            if let Some(value) = webhook.get(key) {
                read::put(&mut about, key, value.clone());
            }
        }
        let changed = Changed { about };
        read::required(
            super::wanted(&changed),
            "payload.event",
            "a scheduled event's URI",
        )?;
        let subject = Subject {
            kind: SubjectKind::Source,
            parts: Vec::new(),
            previous_id: None,
            fresh: Fresh::Dated,
            ..booking::subject(self.standing(at, State::Open))
        };
        Ok(Event {
            event: self.head(
                Name::SourceChanged,
                &format!("source/invitee/{}", self.id),
                at,
            ),
            customer: self.customer(),
            subject,
            body: Body::Changed { changed },
        })
    }

    fn cancelled_by(&self) -> Option<CancelledBy> {
        match self.cancellation()?.canceler_type.as_deref()? {
            "host" => Some(CancelledBy::Host),
            "invitee" => Some(CancelledBy::Customer),
            _ => None,
        }
    }

    fn location(&self) -> Option<&Location> {
        self.invitee.scheduled_event.as_ref()?.location.as_ref()
    }

    /// The number or place under a kind of location.
    fn location_of(&self, kind: &str) -> Option<String> {
        let location = self.location()?;
        let text = location.location.clone()?;
        (location.kind.as_deref() == Some(kind)).then_some(text)
    }

    fn appointment(&self) -> Option<Appointment> {
        let invitee = &self.invitee;
        let scheduled = invitee.scheduled_event.as_ref()?;
        let (start, end) = self.times()?;
        let location = self.location();
        let in_person = location.is_some_and(|place| place.kind.as_deref() == Some("physical"));
        let text = location.and_then(|place| place.location.clone());
        let link = text.as_deref().and_then(read::as_url);
        let cancellation = self.cancellation();
        let payment = invitee.payment.as_ref();
        let guests = scheduled.event_guests.iter();
        Some(Appointment {
            id: self.id.clone(),
            series: None,
            title: scheduled.name.clone().unwrap_or_default(),
            kind: scheduled
                .event_type
                .as_deref()
                .and_then(uuid)
                .map(str::to_owned),
            start,
            end,
            minutes: booking::minutes(start, end),
            // Calendly says the invitee's zone alone. The place's is the connection's.
            timezone: booking::zone(invitee.timezone.as_deref()).filter(|_| !in_person),
            in_person,
            all_day: false,
            location: text.filter(|_| link.is_none()),
            join_url: location.and_then(|place| place.join_url.clone()).or(link),
            host: scheduled
                .event_memberships
                .first()
                .map_or_else(Host::default, host),
            cancel_url: invitee.cancel_url.clone(),
            reschedule_url: invitee.reschedule_url.clone(),
            answers: self.answers(),
            previous_start: None,
            previous_end: None,
            cancelled_by: self.cancelled_by(),
            reason: cancellation.and_then(|cancellation| cancellation.reason.clone()),
            wants_reschedule: false,
            paid: payment.and_then(|payment| payment.successful),
            price: payment.and_then(|payment| payment.amount),
            currency: payment.and_then(|payment| payment.currency.clone()),
            guests: guests
                .filter_map(|guest| read::email(guest.email.as_deref()))
                .collect(),
            utm: self.utm(),
        })
    }

    fn answers(&self) -> FreeMap {
        let mut answers = FreeMap::new();
        for answer in &self.invitee.questions_and_answers {
            if let (Some(question), Some(answer)) = (&answer.question, &answer.answer) {
                read::put(&mut answers, question, Value::String(answer.clone()));
            }
        }
        answers
    }

    fn utm(&self) -> FreeMap {
        let mut utm = FreeMap::new();
        for (key, value) in self.invitee.tracking.iter().flatten() {
            if let Some(name) = key.strip_prefix("utm_") {
                read::put(&mut utm, name, value.clone());
            }
        }
        utm
    }

    fn customer(&self) -> Customer {
        let invitee = &self.invitee;
        let known = invitee.name.is_some() || invitee.email.is_some();
        let whole = || read::full_name(invitee.first_name.as_deref(), invitee.last_name.as_deref());
        Customer {
            name: invitee.name.clone().or_else(whole),
            first_name: invitee.first_name.clone(),
            last_name: invitee.last_name.clone(),
            email: read::email(invitee.email.as_deref()),
            timezone: booking::zone(invitee.timezone.as_deref()),
            phones: if known { self.phones() } else { Vec::new() },
            ..Customer::default()
        }
    }

    /// Every place that may hold a number. The payload says no country.
    fn phones(&self) -> Vec<PhoneCandidate> {
        let chosen = self.connection.phone_from.iter().map(String::as_str);
        let paths: Vec<&str> = if self.connection.phone_from.is_empty() {
            PHONE_PATHS.to_vec()
        } else {
            chosen.collect()
        };
        paths
            .into_iter()
            .flat_map(|path| self.phones_at(path))
            .collect()
    }

    fn phones_at(&self, path: &str) -> Vec<PhoneCandidate> {
        let number = match path {
            "text_reminder_number" => self.invitee.text_reminder_number.clone(),
            OUTBOUND_CALL => self.location_of("outbound_call"),
            ASK_INVITEE => {
                let text = self.location_of("ask_invitee");
                let number = text.filter(|text| booking::may_be_number(text));
                // Most bookings have no such place: one line less in the reasons.
                return number.map_or_else(Vec::new, |number| vec![candidate(path, Some(number))]);
            }
            QUESTION => return self.answered(),
            _ => path
                .strip_prefix(ANSWERS)
                .and_then(|question| read::free_text(&self.answers(), question)),
        };
        vec![candidate(path, number)]
    }

    /// The answers to the questions that ask for a number.
    fn answered(&self) -> Vec<PhoneCandidate> {
        let questions = PhoneQuestions::of(self.connection);
        let mut found = Vec::new();
        for answer in &self.invitee.questions_and_answers {
            let question = answer.question.as_deref().unwrap_or_default();
            if questions.ask(question) {
                let question: String = question.chars().take(PATH_CHARS_MAX).collect();
                found.push(candidate(
                    &format!("{ANSWERS}{question}"),
                    answer.answer.clone(),
                ));
            }
        }
        if found.is_empty() {
            found.push(candidate(QUESTION, None));
        }
        found
    }
}

fn candidate(path: &str, number: Option<String>) -> PhoneCandidate {
    PhoneCandidate {
        path: path.to_owned(),
        number,
        country: None,
    }
}

fn host(member: &Member) -> Host {
    Host {
        name: member.user_name.clone(),
        email: read::email(member.user_email.as_deref()),
    }
}
