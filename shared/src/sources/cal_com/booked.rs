//! One webhook about one booking.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::connections::Connection;
use crate::event::{
    Appointment, AppointmentChange, Body, CancelledBy, Customer, Event, FreeMap, Head, Host, Money,
    Name, PhoneCandidate, State,
};
use crate::sources::booking::{self, PhoneQuestions, Standing};
use crate::sources::{Reading, Unreadable, read};

/// In the order of preference. `location` holds the booker's number under the type `phone` alone: under
/// `userPhone` it is the organiser's, which is in none of these.
pub(super) const PHONE_PATHS: &[&str] = &[
    ATTENDEE,
    "attendees[0].phoneNumber",
    "smsReminderNumber",
    REMINDER,
    PLACE,
    QUESTION,
    "location",
    EMAIL,
];
/// The booking form's fields may be named one by one, by slug.
pub(super) const RESPONSES: &str = "responses.";
const ATTENDEE: &str = "responses.attendeePhoneNumber";
const REMINDER: &str = "responses.smsReminderNumber";
const PLACE: &str = "responses.location";
/// The fields of the business's own that ask for a phone number.
const QUESTION: &str = "phone_question";
/// Who books with a number alone gets an address made of it.
const EMAIL: &str = "attendees[0].email";
/// The end of such an address.
const SYNTHETIC: &str = "@sms.cal.com";
/// Fields of every booking form, which have a place of their own here.
const OWN_FIELDS: &[&str] = &[
    "name",
    "email",
    "guests",
    "location",
    "attendeePhoneNumber",
    "smsReminderNumber",
    "rescheduleReason",
];
/// Hex digits of the digest that tells the seats of one booking apart.
const SEAT_DIGITS: usize = 16;
/// Within this time the same change is one change, in seconds: where a booking can change so more than once,
/// only the webhook's own time tells, and several subscriptions make theirs within moments.
const SAME_CHANGE_S: i64 = 300;
/// Currencies without a minor unit, whose prices come whole.
const WHOLE_CURRENCIES: &[&str] = &[
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV",
    "XAF", "XOF", "XPF",
];

#[derive(Default, Deserialize)]
#[serde(default)]
struct Webhook {
    #[serde(rename = "createdAt", deserialize_with = "read::time")]
    created_at: Option<Timestamp>,
    #[serde(deserialize_with = "read::object")]
    payload: Option<Payload>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Payload {
    #[serde(deserialize_with = "read::id")]
    uid: Option<String>,
    /// Of a no-show.
    #[serde(deserialize_with = "read::id")]
    booking_uid: Option<String>,
    #[serde(deserialize_with = "read::id")]
    reschedule_uid: Option<String>,
    #[serde(deserialize_with = "read::time")]
    reschedule_start_time: Option<Timestamp>,
    #[serde(deserialize_with = "read::time")]
    reschedule_end_time: Option<Timestamp>,
    #[serde(deserialize_with = "read::url")]
    booker_url: Option<String>,
    #[serde(deserialize_with = "read::text")]
    title: Option<String>,
    #[serde(deserialize_with = "read::text")]
    event_title: Option<String>,
    #[serde(rename = "type", deserialize_with = "read::text")]
    kind: Option<String>,
    #[serde(deserialize_with = "read::time")]
    start_time: Option<Timestamp>,
    #[serde(deserialize_with = "read::time")]
    end_time: Option<Timestamp>,
    #[serde(deserialize_with = "read::object")]
    organizer: Option<Person>,
    #[serde(deserialize_with = "read::list")]
    attendees: Vec<Person>,
    #[serde(deserialize_with = "read::object")]
    responses: Option<FreeMap>,
    #[serde(deserialize_with = "read::object")]
    user_fields_responses: Option<FreeMap>,
    #[serde(deserialize_with = "read::object")]
    custom_inputs: Option<FreeMap>,
    #[serde(deserialize_with = "read::text")]
    location: Option<String>,
    #[serde(deserialize_with = "read::object")]
    metadata: Option<Metadata>,
    #[serde(deserialize_with = "read::object")]
    video_call_data: Option<VideoCall>,
    #[serde(deserialize_with = "read::text")]
    status: Option<String>,
    #[serde(deserialize_with = "read::money")]
    price: Option<Money>,
    #[serde(deserialize_with = "read::text")]
    currency: Option<String>,
    #[serde(deserialize_with = "read::text")]
    cancellation_reason: Option<String>,
    #[serde(deserialize_with = "read::text")]
    rejection_reason: Option<String>,
    #[serde(deserialize_with = "read::text")]
    cancelled_by: Option<String>,
    #[serde(deserialize_with = "read::flag")]
    request_reschedule: Option<bool>,
    #[serde(deserialize_with = "read::text")]
    sms_reminder_number: Option<String>,
    #[serde(deserialize_with = "read::id")]
    recurring_event_id: Option<String>,
    /// How many may come, where an event type has seats.
    #[serde(deserialize_with = "read::count")]
    seats_per_time_slot: Option<u64>,
    /// The seat that the webhook is about.
    #[serde(deserialize_with = "read::id")]
    attendee_seat_id: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Person {
    #[serde(deserialize_with = "read::text")]
    name: Option<String>,
    #[serde(deserialize_with = "read::text")]
    first_name: Option<String>,
    #[serde(deserialize_with = "read::text")]
    last_name: Option<String>,
    #[serde(deserialize_with = "read::text")]
    email: Option<String>,
    #[serde(deserialize_with = "read::text")]
    time_zone: Option<String>,
    #[serde(deserialize_with = "read::text")]
    phone_number: Option<String>,
    #[serde(deserialize_with = "read::object")]
    language: Option<Language>,
    #[serde(deserialize_with = "read::text")]
    locale: Option<String>,
    #[serde(deserialize_with = "read::flag")]
    no_show: Option<bool>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Language {
    #[serde(deserialize_with = "read::text")]
    locale: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    #[serde(deserialize_with = "read::url")]
    video_call_url: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct VideoCall {
    #[serde(deserialize_with = "read::url")]
    url: Option<String>,
}

impl Person {
    fn whole_name(&self) -> Option<String> {
        let parts = || read::full_name(self.first_name.as_deref(), self.last_name.as_deref());
        self.name.clone().or_else(parts)
    }

    fn zone(&self) -> Option<String> {
        booking::zone(self.time_zone.as_deref())
    }

    /// The address, where it is one that somebody reads.
    fn real_email(&self) -> Option<String> {
        read::email(self.email.as_deref()).filter(|email| !email.ends_with(SYNTHETIC))
    }
}

impl Payload {
    fn has_seats(&self) -> bool {
        let seats = self.seats_per_time_slot.is_some_and(|seats| seats > 0);
        seats || self.attendee_seat_id.is_some()
    }

    /// What one person typed is nobody else's. Of an end, what is stored says all the rest.
    fn forget_the_booker(&mut self, ends: bool) {
        self.responses = None;
        self.user_fields_responses = None;
        self.custom_inputs = None;
        self.sms_reminder_number = None;
        if ends {
            self.start_time = None;
        }
    }
}

/// The id of one person's seat. The digest hides the address, under a booking's id that nobody guesses.
fn seat_id(uid: &str, email: &str) -> String {
    let digest = hex::encode(Sha256::digest(format!("{uid}/{email}")));
    let short: String = digest.chars().take(SEAT_DIGITS).collect();
    format!("{uid}~{short}")
}

/// What happened, as far as the webhook's name says it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trigger {
    Created,
    Requested,
    Rescheduled,
    Paid,
    Cancelled,
    Rejected,
    NoShow,
}

/// What a signed body says.
pub(super) fn read(
    value: &Value,
    connection: &Connection,
    now: Timestamp,
) -> Result<Reading, Unreadable> {
    let Some(name) = value.get("triggerEvent").and_then(Value::as_str) else {
        return Ok(Reading::Nothing(
            "no triggerEvent: leave the webhook's custom payload off",
        ));
    };
    let trigger = match name {
        "BOOKING_CREATED" => Trigger::Created,
        "BOOKING_REQUESTED" => Trigger::Requested,
        "BOOKING_RESCHEDULED" => Trigger::Rescheduled,
        "BOOKING_PAID" => Trigger::Paid,
        "BOOKING_CANCELLED" => Trigger::Cancelled,
        "BOOKING_REJECTED" => Trigger::Rejected,
        "BOOKING_NO_SHOW_UPDATED" => Trigger::NoShow,
        "PING" => return Ok(Reading::Nothing("ping")),
        // Some of them are flat: no payload around the booking.
        _ => return Ok(Reading::Nothing("foreign topic")),
    };
    if is_test(value.get("payload")) {
        return Ok(Reading::Nothing("ping"));
    }
    let webhook: Webhook = read::typed(value)?;
    let payload = read::required(webhook.payload, "payload", "an object")?;
    let bookings = Booking::all(
        connection,
        webhook.created_at.unwrap_or(now),
        payload,
        trigger,
    )?;
    let mut events = Vec::new();
    for booking in &bookings {
        events.extend(booking.events(trigger)?);
    }
    if events.is_empty() {
        return Ok(Reading::Nothing(
            "nothing that changes a booking: nobody named or marked, or paid after its end",
        ));
    }
    Ok(Reading::Events(events))
}

/// The page's "Ping test" sends a made-up booking under whatever name: it has no id at all.
fn is_test(payload: Option<&Value>) -> bool {
    let ids = ["uid", "bookingUid", "bookingId", "rescheduleUid"];
    payload.is_some_and(|payload| {
        payload.is_object()
            && ids
                .iter()
                .all(|id| payload.get(id).is_none_or(Value::is_null))
    })
}

struct Booking<'a> {
    connection: &'a Connection,
    /// When the webhook was made, at the moment of the change.
    at: Timestamp,
    /// The id at Cal.com.
    uid: String,
    /// The same, or that of one seat of it.
    id: String,
    previous_id: Option<String>,
    payload: Payload,
}

impl<'a> Booking<'a> {
    /// The bookings that a webhook is about: one, or, where there are seats, those of one attendee or of
    /// all. Cal.com has one `uid` for all seats; a person's booking is the person's seat, which ends alone
    /// or with all others.
    fn all(
        connection: &'a Connection,
        at: Timestamp,
        payload: Payload,
        trigger: Trigger,
    ) -> Result<Vec<Booking<'a>>, Unreadable> {
        let uid = payload
            .uid
            .as_ref()
            .or(payload.booking_uid.as_ref())
            // A seat that is moved may have no uid of its own.
            .or(payload.reschedule_uid.as_ref());
        let uid = read::required(uid.cloned(), "payload.uid", "a text")?;
        let previous = payload.reschedule_uid.clone().filter(|old| *old != uid);
        if !payload.has_seats() {
            return Ok(vec![Booking {
                connection,
                at,
                id: uid.clone(),
                uid,
                previous_id: previous,
                payload,
            }]);
        }
        let ends = matches!(trigger, Trigger::Cancelled | Trigger::Rejected);
        let of_all =
            payload.attendee_seat_id.is_none() && (ends || trigger == Trigger::Rescheduled);
        let people = if of_all { usize::MAX } else { 1 };
        // Who takes or moves a seat fills in the form; later webhooks show what the first booker typed.
        let typed = matches!(
            trigger,
            Trigger::Created | Trigger::Requested | Trigger::Rescheduled
        );
        let seat = |attendee: &Person| {
            let email = read::email(attendee.email.as_deref())?;
            let mut payload = Payload {
                attendees: vec![attendee.clone()],
                ..payload.clone()
            };
            if of_all || !typed {
                payload.forget_the_booker(ends);
            }
            Some(Booking {
                connection,
                at,
                id: seat_id(&uid, &email),
                uid: uid.clone(),
                previous_id: previous.as_ref().map(|old| seat_id(old, &email)),
                payload,
            })
        };
        Ok(payload
            .attendees
            .iter()
            .take(people)
            .filter_map(seat)
            .collect())
    }

    fn events(&self, trigger: Trigger) -> Result<Vec<Event>, Unreadable> {
        let events = match trigger {
            Trigger::Cancelled => {
                let reason = self.payload.cancellation_reason.clone();
                vec![self.ended(self.cancelled_by(), reason)]
            }
            Trigger::Rejected => {
                let reason = self.payload.rejection_reason.clone();
                vec![self.ended(Some(CancelledBy::Host), reason)]
            }
            Trigger::NoShow => self.marked().into_iter().collect(),
            _ if trigger == Trigger::Requested || self.waits_for_the_host(trigger) => {
                vec![self.stands(Name::AppointmentRequested, "requested", State::Requested)?]
            }
            // Money that comes after the end opens nothing.
            Trigger::Paid if self.has_status(&["CANCELLED", "REJECTED"]) => Vec::new(),
            // A seat's move is told by its moment, which money does not share.
            Trigger::Paid if self.is_moved() && self.previous_id.is_none() => vec![self.paid()?],
            Trigger::Paid => vec![self.made(trigger)?, self.paid()?],
            _ => vec![self.made(trigger)?],
        };
        Ok(events)
    }

    /// What happens once to a booking. A seat that was given up may be taken again by the same person.
    fn once(&self, fact: &str) -> String {
        match &self.payload.attendee_seat_id {
            Some(seat) => format!("{fact}/{seat}"),
            None => fact.to_owned(),
        }
    }

    /// A paid booking may still wait for the host's yes.
    fn waits_for_the_host(&self, trigger: Trigger) -> bool {
        trigger == Trigger::Paid && self.has_status(&["PENDING"])
    }

    fn has_status(&self, words: &[&str]) -> bool {
        let status = self.payload.status.as_deref();
        status.is_some_and(|status| words.contains(&status))
    }

    /// It takes the place of another, or of itself at another time.
    fn is_moved(&self) -> bool {
        self.previous_id.is_some() || self.payload.reschedule_start_time.is_some()
    }

    /// A booking that takes the place of another is a move, whatever the webhook is called: of one that
    /// had to be confirmed again, Cal.com says that it was created.
    fn made(&self, trigger: Trigger) -> Result<Event, Unreadable> {
        if self.is_moved() || trigger == Trigger::Rescheduled {
            let (start, _) = self.times()?;
            let mut fact = format!("rescheduled/{}", start.as_second());
            if self.previous_id.is_none() {
                // A seat keeps its id, and may come back to a time that it has had.
                fact = format!("{fact}/{}", self.moment());
            }
            return self.stands(Name::AppointmentRescheduled, &fact, State::Open);
        }
        self.stands(Name::AppointmentBooked, &self.once("booked"), State::Open)
    }

    /// Whether `BOOKING_CREATED` came before or not at all: the booking is one event, and that it is paid
    /// another, which no automation sees.
    fn paid(&self) -> Result<Event, Unreadable> {
        self.stands(Name::AppointmentUpdated, "updated/paid", State::Open)
            .map(|mut event| {
                if let Body::Appointment { appointment } = &mut event.body {
                    appointment.paid = Some(true);
                }
                event
            })
    }

    /// A cancellation counts, even one without times: what is stored says them.
    fn ended(&self, cancelled_by: Option<CancelledBy>, reason: Option<String>) -> Event {
        let times = self.times().ok();
        let mut event = self.event(
            Name::AppointmentCancelled,
            &self.once("cancelled"),
            State::Cancelled,
            times,
        );
        match &mut event.body {
            Body::Appointment { appointment } => {
                appointment.cancelled_by = cancelled_by;
                appointment.reason = reason;
                appointment.wants_reschedule = self.payload.request_reschedule == Some(true);
            }
            Body::AppointmentChange { appointment_change } => {
                *appointment_change = AppointmentChange {
                    cancelled_by,
                    reason,
                };
            }
            _ => {}
        }
        event
    }

    /// Marked as a no-show, or not any more. Times, names and numbers are not in it.
    fn marked(&self) -> Option<Event> {
        let marks = || {
            self.payload
                .attendees
                .iter()
                .filter_map(|person| person.no_show)
        };
        let (name, fact, state) = match (marks().any(|mark| mark), marks().next()) {
            (true, _) => (Name::AppointmentNoShow, "no_show", State::NoShow),
            (false, Some(_)) => (Name::AppointmentUpdated, "updated", State::Open),
            (false, None) => return None,
        };
        let fact = format!("{fact}/{}", self.moment());
        Some(self.event(name, &fact, state, None))
    }

    /// When it happened, roughly enough for every subscription's webhook to say the same.
    fn moment(&self) -> i64 {
        self.at
            .as_second()
            .div_euclid(SAME_CHANGE_S)
            .saturating_mul(SAME_CHANGE_S)
    }

    fn times(&self) -> Result<(Timestamp, Timestamp), Unreadable> {
        let expected = "a date and time";
        let start = read::required(self.payload.start_time, "payload.startTime", expected)?;
        let end = read::required(self.payload.end_time, "payload.endTime", expected)?;
        Ok((start, end))
    }

    fn standing(&self, state: State, times: Option<(Timestamp, Timestamp)>) -> Standing<'_> {
        Standing {
            id: &self.id,
            previous_id: self.previous_id.as_deref(),
            as_of: self.at,
            created_at: self.at,
            state,
            times,
            is_released: false,
        }
    }

    fn stands(&self, name: Name, fact: &str, state: State) -> Result<Event, Unreadable> {
        let times = self.times()?;
        Ok(self.event(name, fact, state, Some(times)))
    }

    /// An event with the whole booking, or, where its times are not there, with nothing but the change.
    fn event(
        &self,
        name: Name,
        fact: &str,
        state: State,
        times: Option<(Timestamp, Timestamp)>,
    ) -> Event {
        let body = match times {
            Some(times) => Body::Appointment {
                appointment: Box::new(self.appointment(times)),
            },
            None => Body::AppointmentChange {
                appointment_change: AppointmentChange::default(),
            },
        };
        let whole = matches!(body, Body::Appointment { .. });
        Event {
            event: self.head(name, fact),
            // A no-show says an address at most: whose booking it is, is stored.
            customer: if whole {
                self.customer()
            } else {
                Customer::default()
            },
            subject: booking::subject(self.standing(state, times)),
            body,
        }
    }

    fn head(&self, name: Name, fact: &str) -> Head {
        let source = &self.connection.name;
        Head {
            name,
            source: source.clone(),
            kind: self.connection.kind.clone(),
            account: self.host_of_pages(),
            id: format!("{source}/appointment/{}/{fact}", self.id),
            at: self.at,
            test: false,
            depth: 0,
            notes: Vec::new(),
        }
    }

    /// `acme.cal.com`, where the business has pages of its own.
    fn host_of_pages(&self) -> Option<String> {
        let url = self.payload.booker_url.as_deref()?;
        read::host(url).map(str::to_ascii_lowercase)
    }

    /// Whose address called it off; the host's request for another time is the host's doing.
    fn cancelled_by(&self) -> Option<CancelledBy> {
        if self.payload.request_reschedule == Some(true) {
            return Some(CancelledBy::Host);
        }
        let by = read::email(self.payload.cancelled_by.as_deref())?;
        let is = |person: &Person| read::email(person.email.as_deref()).as_ref() == Some(&by);
        if self.payload.organizer.as_ref().is_some_and(is) {
            Some(CancelledBy::Host)
        } else if self.payload.attendees.iter().any(is) {
            Some(CancelledBy::Customer)
        } else {
            None
        }
    }

    fn booker(&self) -> Option<&Person> {
        self.payload.attendees.first()
    }
}

/// What the booking says of itself and of its booker.
impl Booking<'_> {
    /// `{slug: {label, value}}`; some versions leave `value` away, and very old ones the object around it.
    fn response(&self, slug: &str) -> Option<&Value> {
        let maps = [&self.payload.responses, &self.payload.user_fields_responses];
        let found = maps.into_iter().flatten().find_map(|map| map.get(slug))?;
        value_of(found)
    }

    fn response_text(&self, slug: &str) -> Option<String> {
        self.response(slug).and_then(read::as_text)
    }

    /// `phone`, `inPerson`, `integrations:daily`: what the booker chose, else what the place looks like.
    fn place_type(&self) -> Option<String> {
        let chosen = self
            .response("location")
            .and_then(|place| place.get("value"));
        let known = chosen.and_then(Value::as_str).map(str::to_owned);
        known.or_else(|| {
            let location = self.payload.location.as_deref()?;
            let single = !location.contains(char::is_whitespace);
            single.then(|| location.to_owned())
        })
    }

    /// What the booker, or the business, wrote beside the type.
    fn place_option(&self) -> Option<String> {
        let option = self
            .response("location")
            .and_then(|place| place.get("optionValue"));
        option.and_then(read::as_text)
    }

    /// `None`: the business did not say where, or with software.
    fn place(&self) -> Place {
        let text = self.payload.location.clone();
        let option = self.place_option();
        let words = |text: Option<String>| text.filter(|text| !is_keyword(text));
        match self.place_type().as_deref() {
            Some("inPerson") => Place::Visit(words(text).or(option)),
            Some("attendeeInPerson") => Place::AtTheirs(option.or(words(text))),
            Some("phone") => Place::Call(option.or(words(text))),
            Some("userPhone") => Place::Call(words(text).or(option)),
            Some(kind) if is_keyword(kind) => Place::Video,
            Some(kind) if read::as_url(kind).is_some() => Place::Video,
            Some(_) => Place::Call(words(text)),
            // Words with blanks that are neither a link nor a number: an address.
            None => match words(text) {
                Some(text) if booking::may_be_number(&text) => Place::Call(Some(text)),
                Some(text) => Place::Visit(Some(text)),
                None => Place::Video,
            },
        }
    }

    fn appointment(&self, (start, end): (Timestamp, Timestamp)) -> Appointment {
        let payload = &self.payload;
        let place = self.place();
        let zone_of = |person: Option<&Person>| person.and_then(Person::zone);
        let booker_zone = || zone_of(self.booker());
        let timezone = match place {
            Place::Visit(_) => zone_of(payload.organizer.as_ref()).or_else(booker_zone),
            _ => booker_zone(),
        };
        let in_person = matches!(place, Place::Visit(_) | Place::AtTheirs(_));
        let location = match place {
            Place::Visit(text) | Place::AtTheirs(text) | Place::Call(text) => text,
            Place::Video => None,
        };
        let price = self.price();
        Appointment {
            id: self.id.clone(),
            series: payload.recurring_event_id.clone(),
            title: payload
                .event_title
                .clone()
                .or(payload.title.clone())
                .unwrap_or_default(),
            kind: payload.kind.clone(),
            start,
            end,
            minutes: booking::minutes(start, end),
            timezone,
            in_person,
            all_day: false,
            location: location.filter(|text| read::as_url(text).is_none()),
            join_url: self.join_url(),
            host: self.host(),
            cancel_url: self.cancel_url(),
            reschedule_url: self.reschedule_url(),
            answers: self.answers(),
            previous_start: payload.reschedule_start_time,
            previous_end: payload.reschedule_end_time,
            cancelled_by: None,
            reason: self.response_text("rescheduleReason"),
            wants_reschedule: false,
            paid: None,
            currency: price
                .and(payload.currency.clone())
                .map(|code| code.to_ascii_uppercase()),
            price,
            guests: self.guests(),
            utm: FreeMap::new(),
        }
    }

    /// Whoever has a seat may cancel that alone.
    fn cancel_url(&self) -> Option<String> {
        let path = format!("booking/{}?cancel=true", self.uid);
        match &self.payload.attendee_seat_id {
            Some(seat) => self.link(&format!("{path}&seatReferenceUid={seat}")),
            None if self.id == self.uid => self.link(&path),
            None => None,
        }
    }

    fn reschedule_url(&self) -> Option<String> {
        let whole = Some(&self.uid).filter(|_| self.id == self.uid);
        let id = self.payload.attendee_seat_id.as_ref().or(whole)?;
        self.link(&format!("reschedule/{id}"))
    }

    /// Cal.com writes no links into its webhooks; these are its own rules for them.
    fn link(&self, path: &str) -> Option<String> {
        let base = self.payload.booker_url.as_deref()?.trim_end_matches('/');
        read::as_url(&format!("{base}/{path}"))
    }

    fn join_url(&self) -> Option<String> {
        let payload = &self.payload;
        let metadata = payload
            .metadata
            .as_ref()
            .and_then(|metadata| metadata.video_call_url.clone());
        let call = || {
            payload
                .video_call_data
                .as_ref()
                .and_then(|call| call.url.clone())
        };
        let link = || payload.location.as_deref().and_then(read::as_url);
        metadata.or_else(call).or_else(link)
    }

    fn host(&self) -> Host {
        let organizer = self.payload.organizer.as_ref();
        Host {
            name: organizer.and_then(Person::whole_name),
            email: organizer.and_then(Person::real_email),
        }
    }

    /// In the currency's minor unit, as payment providers have it; 0 is a booking that costs nothing.
    fn price(&self) -> Option<Money> {
        let price = self.payload.price.filter(|price| !price.is_zero())?;
        let currency = self.payload.currency.as_deref()?.to_ascii_uppercase();
        if WHOLE_CURRENCIES.contains(&currency.as_str()) {
            Some(price)
        } else {
            price.share(1, 100)
        }
    }

    fn guests(&self) -> Vec<String> {
        let others = self.payload.attendees.iter().skip(1);
        others.filter_map(Person::real_email).collect()
    }

    fn answers(&self) -> FreeMap {
        let mut answers = FreeMap::new();
        let payload = &self.payload;
        let maps = [
            &payload.custom_inputs,
            &payload.user_fields_responses,
            &payload.responses,
        ];
        for (slug, value) in maps.into_iter().flatten().flatten() {
            if let (false, Some(value)) = (OWN_FIELDS.contains(&slug.as_str()), value_of(value)) {
                read::put(&mut answers, slug, value.clone());
            }
        }
        answers
    }

    fn customer(&self) -> Customer {
        let Some(booker) = self.booker() else {
            return Customer {
                phones: self.phones(),
                ..Customer::default()
            };
        };
        let language = booker
            .language
            .as_ref()
            .and_then(|language| language.locale.as_deref());
        Customer {
            name: booker.whole_name(),
            first_name: booker.first_name.clone(),
            last_name: booker.last_name.clone(),
            email: booker.real_email(),
            locale: read::locale(language.or(booker.locale.as_deref())),
            timezone: booker.zone(),
            phones: self.phones(),
            ..Customer::default()
        }
    }

    fn phones(&self) -> Vec<PhoneCandidate> {
        let chosen = &self.connection.phone_from;
        if !chosen.is_empty() {
            return chosen
                .iter()
                .flat_map(|path| self.phones_at(path))
                .collect();
        }
        let always = [ATTENDEE, "smsReminderNumber"];
        let found = PHONE_PATHS.iter().flat_map(|path| self.phones_at(path));
        // Most bookings have few of these places: the reasons name the two that anybody can fill.
        found
            .filter(|phone| phone.number.is_some() || always.contains(&phone.path.as_str()))
            .collect()
    }

    fn phones_at(&self, path: &str) -> Vec<PhoneCandidate> {
        let is_phone = || self.place_type().as_deref() == Some("phone");
        let number = match path {
            "attendees[0].phoneNumber" => {
                self.booker().and_then(|booker| booker.phone_number.clone())
            }
            "smsReminderNumber" => self.payload.sms_reminder_number.clone(),
            PLACE => self.place_option().filter(|_| is_phone()),
            "location" => {
                let text = self.payload.location.clone();
                text.filter(|text| is_phone() && booking::may_be_number(text))
            }
            QUESTION => return self.answered(),
            EMAIL => self.digits_of_email(),
            _ => path
                .strip_prefix(RESPONSES)
                .and_then(|slug| self.response_text(slug)),
        };
        vec![candidate(path, number)]
    }

    /// The fields whose slug or label asks for a number.
    fn answered(&self) -> Vec<PhoneCandidate> {
        let questions = PhoneQuestions::of(self.connection);
        let maps = [&self.payload.responses, &self.payload.user_fields_responses];
        let mut found: Vec<PhoneCandidate> = Vec::new();
        for (slug, field) in maps.into_iter().flatten().flatten() {
            let label = field
                .get("label")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let path = format!("{RESPONSES}{slug}");
            let asks = questions.ask(label) || questions.ask(slug);
            let known = OWN_FIELDS.contains(&slug.as_str());
            if asks && !known && found.iter().all(|phone| phone.path != path) {
                found.push(candidate(&path, value_of(field).and_then(read::as_text)));
            }
        }
        found
    }

    /// `5511987654321@sms.cal.com` is made of a whole number without its plus.
    fn digits_of_email(&self) -> Option<String> {
        let email = read::email(self.booker()?.email.as_deref())?;
        let digits = email.strip_suffix(SYNTHETIC)?;
        booking::may_be_number(digits).then(|| format!("+{digits}"))
    }
}

/// Where somebody meets somebody.
enum Place {
    /// The customer comes.
    Visit(Option<String>),
    /// The business comes.
    AtTheirs(Option<String>),
    /// A telephone call, or words that say nothing else.
    Call(Option<String>),
    /// A video, or nothing.
    Video,
}

/// A word of Cal.com's own in place of a place.
fn is_keyword(text: &str) -> bool {
    let words = [
        "inPerson",
        "attendeeInPerson",
        "phone",
        "userPhone",
        "link",
        "conferencing",
        "somewhereElse",
    ];
    text.starts_with("integrations:") || words.contains(&text)
}

/// `value` of a form's field; the field itself where it is no object. Hidden fields have none.
fn value_of(field: &Value) -> Option<&Value> {
    match field {
        Value::Object(map) if map.contains_key("label") || map.contains_key("value") => {
            map.get("value")
        }
        Value::Null => None,
        other => Some(other),
    }
}

fn candidate(path: &str, number: Option<String>) -> PhoneCandidate {
    PhoneCandidate {
        path: path.to_owned(),
        number,
        country: None,
    }
}
