//! One event of a calendar against what is stored of it: made, moved, cancelled, or something else of it
//! changed. Google does not say which. <https://developers.google.com/workspace/calendar/api/v3/reference/events>
//!
//! What counts as an appointment: an ordinary event (no birthday, no absence, no working place) that has an
//! attendee beside the calendar itself, or a phone number. What is over is left alone: who tidies the
//! calendar after the visit cancels nothing. An event that the calendar's owner declined does not take
//! place; one that the customer declined stays until somebody takes it out.

use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::super::read;
use super::{KIND, phones};
use crate::connections::Connection;
use crate::event::{
    Appointment, AppointmentChange, Body, CancelledBy, Customer, Event, FreeMap, Fresh, Head, Host,
    Name, State, Subject, SubjectKind,
};

/// Longest id of an event, in characters, as Google has it.
const ID_CHARS_MAX: usize = 1_024;
/// Most guests that are kept.
const GUESTS_MAX: usize = 20;
/// How far ahead instances of a series are known, in days. What comes later is found day by day.
pub const HORIZON: SignedDuration = SignedDuration::from_hours(60 * 24);

/// What is stored of an appointment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where it stands.
    pub state: State,
    /// Of which version that is.
    pub as_of: Timestamp,
    /// When it begins, as far as that is known.
    pub start: Option<Timestamp>,
    /// When it ends.
    pub end: Option<Timestamp>,
}

/// From where an event is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// The connection.
    pub connection: &'a Connection,
    /// The calendar's id.
    pub calendar: &'a str,
    /// Its IANA zone.
    pub zone: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
    /// What came into being before this is no news, though it is not stored: of a listing of everything.
    pub known_before: Option<Timestamp>,
}

/// What was found of one event of a calendar.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// What happened.
    pub event: Event,
    /// The series that it is of; parts of one that was split have the same.
    series: Option<String>,
    /// When it was to begin before.
    previous: Option<Timestamp>,
}

/// The id of an item of a list, where it is one.
pub fn item_id(item: &Value) -> Option<&str> {
    let id = item.get("id")?.as_str()?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (!id.is_empty() && id.len() <= ID_CHARS_MAX && id.bytes().all(allowed)).then_some(id)
}

/// Whether an appointment is over, so that nothing that happens to its event matters.
pub fn is_over(stored: &Stored, now: Timestamp) -> bool {
    stored.end.or(stored.start).is_some_and(|end| end <= now)
}

/// What became of one item of a list; `None`: nothing that matters.
pub fn read(item: &Value, stored: Option<&Stored>, look: &Look<'_>) -> Option<Found> {
    let id = item_id(item)?;
    let declined = own_answer(item) == Some("declined");
    let off = text(item, "/status").as_deref() == Some("cancelled") || declined;
    match (stored, off) {
        (None, true) => None,
        (None, false) => made(id, item, look),
        (Some(stored), true) => {
            let by = declined.then_some(CancelledBy::Host);
            cancelled(id, item, stored, by, look)
        }
        (Some(stored), false) => changed(id, item, stored, look),
    }
}

/// A stored appointment whose event is no longer in the calendar.
pub fn vanished(id: &str, stored: &Stored, look: &Look<'_>) -> Option<Found> {
    cancelled(id, &Value::Null, stored, None, look)
}

/// Nobody wants a message an instance: of each series only the first of what happened to it in one sync is
/// told at once. `since`: when the last sync began; a series that is older is no new one. A series whose
/// instances went while others came was moved: Google gives the instances new ids.
pub fn arrange(mut found: Vec<Found>, since: Option<Timestamp>) -> Vec<Event> {
    let mut series: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, one) in found.iter_mut().enumerate() {
        if let Some(name) = &one.series {
            one.event.subject.only_timed = true;
            series.entry(name.clone()).or_default().push(index);
        }
    }
    for of_one in series.values() {
        let first = |name: Name| {
            let named = of_one.iter().copied().filter_map(|index| {
                let one = found.get(index)?;
                let told = one.event.event.name == name && one.event.subject.fresh == Fresh::Dated;
                told.then_some((one.event.subject.start.or(one.previous), index))
            });
            named.min().map(|(_, index)| index)
        };
        let (booked, gone) = (
            first(Name::AppointmentBooked),
            first(Name::AppointmentCancelled),
        );
        let moved = first(Name::AppointmentRescheduled);
        let previous = gone.and_then(|index| found.get(index)?.previous);
        let is_new = |index: &usize| {
            let made = found.get(*index).map(|one| one.event.subject.created_at);
            made.is_some_and(|made| since.is_none_or(|since| made >= since))
        };
        let told = match (booked, gone) {
            (Some(booked), Some(_)) => {
                if let Some(one) = found.get_mut(booked) {
                    make_moved(&mut one.event, previous);
                }
                vec![Some(booked)]
            }
            _ => vec![booked.filter(is_new), gone, moved],
        };
        for index in told.into_iter().flatten() {
            if let Some(one) = found.get_mut(index) {
                one.event.subject.only_timed = false;
            }
        }
    }
    let mut events: Vec<Event> = found.into_iter().map(|one| one.event).collect();
    // What is told comes last: where storing them stops in between, the next sync still finds it new.
    events.sort_by_key(|event| !event.subject.only_timed);
    events
}

/// An instance that is new under its id, of a series that only moved.
fn make_moved(event: &mut Event, previous: Option<Timestamp>) {
    let Some(start) = event.subject.start else {
        return;
    };
    event.event.name = Name::AppointmentRescheduled;
    event.event.id = format!("{}/rescheduled/{}", event.entity_key(), start.as_second());
    if let Body::Appointment { appointment } = &mut event.body {
        appointment.previous_start = previous;
    }
}

/// An id that is not stored.
fn made(id: &str, item: &Value, look: &Look<'_>) -> Option<Found> {
    let details = Details::of(id, item, look)?;
    let instance = details.appointment.series.is_some();
    let late = instance
        && details.appointment.start > look.now.saturating_add(HORIZON).unwrap_or(Timestamp::MAX);
    if !details.is_appointment() || details.appointment.end <= look.now || late {
        return None;
    }
    let as_of = details.updated.unwrap_or(look.now);
    let created = details.created.unwrap_or(as_of);
    let known = look
        .known_before
        .is_some_and(|since| details.created.is_none_or(|made| made < since));
    let mut event = event(id, Name::AppointmentBooked, "booked", as_of, look);
    event.subject.created_at = created;
    event.subject.fresh = if known { Fresh::Known } else { Fresh::Dated };
    Some(details.into_found(event, item))
}

/// A stored appointment that is cancelled now. `by` where that is known.
fn cancelled(
    id: &str,
    item: &Value,
    stored: &Stored,
    by: Option<CancelledBy>,
    look: &Look<'_>,
) -> Option<Found> {
    if stored.state == State::Cancelled || is_over(stored, look.now) {
        return None;
    }
    let as_of = newer(item, stored);
    let fact = format!("cancelled/{}", as_of.as_second());
    let mut event = event(id, Name::AppointmentCancelled, &fact, as_of, look);
    // A tombstone need not say when it was made.
    event.event.at = time(item, "/updated").unwrap_or(look.now);
    event.subject.state = State::Cancelled;
    event.subject.start = stored.start;
    event.subject.end = stored.end;
    event.body = Body::AppointmentChange {
        appointment_change: AppointmentChange {
            cancelled_by: by,
            reason: None,
        },
    };
    let details = Details::of(id, item, look).filter(Details::is_appointment);
    let mut found = match details {
        Some(mut details) => {
            details.appointment.cancelled_by = by;
            details.into_found(event, item)
        }
        None => Found {
            event,
            series: series_base(item),
            previous: None,
        },
    };
    found.previous = stored.start;
    Some(found)
}

/// A stored appointment that is in the calendar.
fn changed(id: &str, item: &Value, stored: &Stored, look: &Look<'_>) -> Option<Found> {
    let mut details = Details::of(id, item, look)?;
    let (start, end) = (details.appointment.start, details.appointment.end);
    let as_of = newer(item, stored);
    if stored.state == State::Cancelled {
        if end <= look.now {
            return None;
        }
        // Taken out of the bin: a booking again.
        let fact = format!("booked/{}", as_of.as_second());
        let event = event(id, Name::AppointmentBooked, &fact, as_of, look);
        return Some(details.into_found(event, item));
    }
    let moved = stored.start.is_some_and(|before| before != start);
    if moved {
        if is_over(stored, look.now) && end <= look.now {
            return None;
        }
        details.appointment.previous_start = stored.start;
        details.appointment.previous_end = stored.end;
        // The id stays, so an event may come back to a time that it has had.
        let fact = format!("rescheduled/{}/{}", start.as_second(), as_of.as_second());
        let event = event(id, Name::AppointmentRescheduled, &fact, as_of, look);
        let mut found = details.into_found(event, item);
        found.previous = stored.start;
        // Somebody put it right afterwards: what follows a visit follows it, and nobody is told of a move.
        found.event.subject.only_timed = end <= look.now;
        return Some(found);
    }
    let version = details.updated.filter(|updated| *updated > stored.as_of)?;
    let fact = format!("updated/{}", version.as_millisecond());
    let event = event(id, Name::AppointmentUpdated, &fact, version, look);
    Some(details.into_found(event, item))
}

/// The version of what differs from what is stored: newer than that, whatever the item says of itself.
/// Depends on both alone, so that a sync that is repeated makes the same event.
fn newer(item: &Value, stored: &Stored) -> Timestamp {
    let after = stored.as_of.saturating_add(SignedDuration::from_millis(1));
    let after = after.unwrap_or(Timestamp::MAX);
    time(item, "/updated").map_or(after, |updated| updated.max(after))
}

/// An event without its body.
fn event(id: &str, name: Name, fact: &str, as_of: Timestamp, look: &Look<'_>) -> Event {
    let connection = &look.connection.name;
    Event {
        event: Head {
            name,
            source: connection.clone(),
            kind: KIND.to_owned(),
            account: Some(look.calendar.to_owned()),
            id: format!("{connection}/appointment/{id}/{fact}"),
            at: as_of.min(look.now),
            test: false,
            depth: 0,
            notes: Vec::new(),
        },
        customer: Customer::default(),
        subject: Subject::new(SubjectKind::Appointment, id, as_of),
        body: Body::AppointmentChange {
            appointment_change: AppointmentChange::default(),
        },
    }
}

/// What an item shows.
struct Details {
    appointment: Appointment,
    customer: Customer,
    created: Option<Timestamp>,
    updated: Option<Timestamp>,
}

impl Details {
    /// `None` where it says no time, or is none of the ordinary events.
    fn of(id: &str, item: &Value, look: &Look<'_>) -> Option<Details> {
        let kind = text(item, "/eventType");
        if kind.is_some_and(|kind| kind != "default") {
            return None;
        }
        let zone = zone(item, look);
        let (start, all_day) = instant(item.get("start")?, zone.as_deref())?;
        let (end, _) = item
            .get("end")
            .and_then(|end| instant(end, zone.as_deref()))
            .filter(|(end, _)| *end >= start)
            .unwrap_or((start, all_day));
        let place = Place::of(item);
        Some(Details {
            appointment: Appointment {
                id: id.to_owned(),
                series: text(item, "/recurringEventId"),
                title: text(item, "/summary").unwrap_or_default(),
                kind: None,
                start,
                end,
                minutes: end.duration_since(start).as_mins(),
                timezone: zone,
                in_person: place.in_person,
                all_day,
                location: place.location,
                join_url: place.join_url,
                host: host(item),
                cancel_url: None,
                reschedule_url: None,
                answers: answers(item),
                previous_start: None,
                previous_end: None,
                cancelled_by: None,
                reason: None,
                wants_reschedule: false,
                paid: None,
                price: None,
                currency: None,
                guests: guests(item)
                    .skip(1)
                    .take(GUESTS_MAX)
                    .filter_map(address)
                    .collect(),
                utm: FreeMap::new(),
            },
            customer: customer(item, look),
            created: time(item, "/created"),
            updated: time(item, "/updated"),
        })
    }

    fn is_appointment(&self) -> bool {
        let numbers = self
            .customer
            .phones
            .iter()
            .any(|phone| phone.number.is_some());
        numbers || self.customer.email.is_some()
    }

    fn into_found(self, mut event: Event, item: &Value) -> Found {
        event.subject.created_at = self.created.unwrap_or(event.subject.created_at);
        event.subject.start = Some(self.appointment.start);
        event.subject.end = Some(self.appointment.end);
        event.customer = self.customer;
        event.body = Body::Appointment {
            appointment: Box::new(self.appointment),
        };
        Found {
            event,
            series: series_base(item),
            previous: None,
        }
    }
}

/// `abc` of `abc_R20261201T100000`: what was one series before "this and all following" was changed.
fn series_base(item: &Value) -> Option<String> {
    let series = text(item, "/recurringEventId")?;
    let base = series.split("_R").next().unwrap_or_default();
    Some(base.to_owned())
}

/// Where it takes place.
struct Place {
    in_person: bool,
    location: Option<String>,
    join_url: Option<String>,
}

impl Place {
    fn of(item: &Value) -> Place {
        let entries = item
            .pointer("/conferenceData/entryPoints")
            .and_then(Value::as_array);
        let video = entries.into_iter().flatten().find_map(|entry| {
            let is_video = text(entry, "/entryPointType").as_deref() == Some("video");
            is_video.then(|| text(entry, "/uri")).flatten()
        });
        let location = text(item, "/location");
        let link = location.as_deref().and_then(|place| {
            let word = place
                .split_whitespace()
                .find(|word| word.starts_with("https://"));
            word.and_then(read::as_url)
        });
        let join_url = text(item, "/hangoutLink")
            .or(video)
            .as_deref()
            .and_then(read::as_url)
            .or(link);
        Place {
            in_person: location.is_some() && join_url.is_none(),
            location,
            join_url,
        }
    }
}

/// The zone that the event was made in, where that says where it is, else the calendar's.
fn zone(item: &Value, look: &Look<'_>) -> Option<String> {
    let of_place = |zone: &String| {
        zone.contains('/') && !zone.starts_with("Etc/") && TimeZone::get(zone).is_ok()
    };
    let own = text(item, "/start/timeZone").filter(of_place);
    own.or_else(|| {
        look.zone
            .map(str::to_owned)
            .filter(|zone| TimeZone::get(zone).is_ok())
    })
}

/// The instant, and whether it is a day without hours.
fn instant(value: &Value, zone: Option<&str>) -> Option<(Timestamp, bool)> {
    let zone = || {
        zone.and_then(|zone| TimeZone::get(zone).ok())
            .unwrap_or(TimeZone::UTC)
    };
    if let Some(text) = text(value, "/dateTime") {
        if let Ok(instant) = text.parse() {
            return Some((instant, false));
        }
        let local: DateTime = text.parse().ok()?;
        return Some((local.to_zoned(zone()).ok()?.timestamp(), false));
    }
    let date: Date = text(value, "/date")?.parse().ok()?;
    Some((date.to_zoned(zone()).ok()?.timestamp(), true))
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    read::as_text(value.pointer(pointer)?)
}

fn time(value: &Value, pointer: &str) -> Option<Timestamp> {
    value.pointer(pointer)?.as_str()?.parse().ok()
}

fn attendees(item: &Value) -> impl Iterator<Item = &Value> {
    let list = item.get("attendees").and_then(Value::as_array);
    list.into_iter().flatten()
}

fn is(value: &Value, flag: &str) -> bool {
    value.get(flag).and_then(Value::as_bool) == Some(true)
}

fn own_answer(item: &Value) -> Option<&str> {
    let own = attendees(item).find(|attendee| is(attendee, "self"))?;
    own.get("responseStatus")?.as_str()
}

/// Attendees beside the calendar itself and rooms; who said no comes last.
fn guests(item: &Value) -> impl Iterator<Item = &Value> {
    let declined =
        |guest: &&Value| guest.get("responseStatus").and_then(Value::as_str) == Some("declined");
    let mut guests: Vec<&Value> = attendees(item)
        .filter(|attendee| !is(attendee, "self") && !is(attendee, "resource"))
        .collect();
    guests.sort_by_key(declined);
    guests.into_iter()
}

fn address(person: &Value) -> Option<String> {
    read::email(person.get("email").and_then(Value::as_str))
}

fn customer(item: &Value, look: &Look<'_>) -> Customer {
    let guest = guests(item).next();
    let private = |name: &str| text(item, &format!("/extendedProperties/private/{name}"));
    let name = private("name").or_else(|| guest.and_then(|guest| text(guest, "/displayName")));
    let (first, last) = match name
        .as_deref()
        .map(|name| name.split_once(' ').unwrap_or((name, "")))
    {
        Some((first, last)) => (Some(first.to_owned()), Some(last.trim().to_owned())),
        None => (None, None),
    };
    Customer {
        name,
        first_name: first,
        last_name: last.filter(|last| !last.is_empty()),
        email: guest
            .and_then(address)
            .or_else(|| read::email(private("email").as_deref())),
        phones: phones::candidates(item, &look.connection.phone_from),
        ..Customer::default()
    }
}

fn host(item: &Value) -> Host {
    let organizer = item.get("organizer").unwrap_or(&Value::Null);
    Host {
        name: text(organizer, "/displayName"),
        email: address(organizer),
    }
}

/// What a booking tool keeps with the event.
fn answers(item: &Value) -> FreeMap {
    let mut answers = FreeMap::new();
    for part in ["shared", "private"] {
        let map = item
            .pointer(&format!("/extendedProperties/{part}"))
            .and_then(Value::as_object);
        for (key, value) in map.into_iter().flatten() {
            if key != "phone" {
                read::put(&mut answers, key, value.clone());
            }
        }
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_move_back_and_forth_is_as_many_moves() {
        let connection = Connection::plain(KIND);
        let now: Timestamp = "2026-03-10T09:00:00Z".parse().unwrap();
        let look = Look {
            connection: &connection,
            calendar: "c",
            zone: Some("Europe/Rome"),
            now,
            known_before: None,
        };
        let item = |hour: u32, minute: u32| {
            json!({
                "id": "e1", "status": "confirmed", "summary": "Igiene dentale, +39 347 123 4567",
                "created": "2026-03-10T08:00:00Z", "updated": format!("2026-03-10T08:{minute:02}:00Z"),
                "start": {"dateTime": format!("2026-03-20T{hour:02}:00:00Z")},
                "end": {"dateTime": format!("2026-03-20T{:02}:00:00Z", hour + 1)},
            })
        };
        let mut stored: Option<Stored> = None;
        let mut keys = std::collections::BTreeSet::new();
        for (minute, hour) in [9, 14, 9, 14].into_iter().enumerate() {
            let item = item(hour, u32::try_from(minute).unwrap());
            let event = read(&item, stored.as_ref(), &look).unwrap().event;
            let subject = &event.subject;
            stored = Some(Stored {
                state: subject.state,
                as_of: subject.as_of,
                start: subject.start,
                end: subject.end,
            });
            // A sync that is repeated finds nothing more.
            assert_eq!(read(&item, stored.as_ref(), &look), None);
            keys.insert(event.event.id);
        }
        assert_eq!(keys.len(), 4, "{keys:?}");
    }

    fn now() -> Timestamp {
        "2026-03-10T09:00:00Z".parse().unwrap()
    }

    fn connection() -> Connection {
        Connection::plain(KIND)
    }

    fn look(connection: &Connection) -> Look<'_> {
        Look {
            connection,
            calendar: "c",
            zone: Some("Europe/Rome"),
            now: now(),
            known_before: None,
        }
    }

    /// An ordinary appointment on the 20th at nine, with other fields.
    fn item(fields: Value) -> Value {
        let mut item = json!({
            "id": "e1", "status": "confirmed", "summary": "Igiene", "description": "+39 347 123 4567",
            "created": "2026-03-10T08:00:00Z", "updated": "2026-03-10T08:30:00Z",
            "start": {"dateTime": "2026-03-20T09:00:00Z"}, "end": {"dateTime": "2026-03-20T10:00:00Z"},
        });
        let (Value::Object(item_fields), Value::Object(fields)) = (&mut item, fields) else {
            return item;
        };
        item_fields.extend(fields);
        item
    }

    fn stored(state: State) -> Stored {
        Stored {
            state,
            as_of: "2026-03-10T08:30:00Z".parse().unwrap(),
            start: "2026-03-20T09:00:00Z".parse().ok(),
            end: "2026-03-20T10:00:00Z".parse().ok(),
        }
    }

    /// The name and the fact of what became of an item.
    fn outcome(item: &Value, stored: Option<&Stored>) -> Option<String> {
        let connection = connection();
        let event = read(item, stored, &look(&connection))?.event;
        let fact = event.event.id.split('/').skip(3).collect::<Vec<_>>();
        Some(format!("{} {}", event.event.name, fact.join("/")))
    }

    #[test]
    fn what_became_of_an_event_is_told_against_what_is_stored() {
        let (open, gone) = (stored(State::Open), stored(State::Cancelled));
        let past = Stored {
            start: "2026-03-09T09:00:00Z".parse().ok(),
            end: "2026-03-09T10:00:00Z".parse().ok(),
            ..open
        };
        let later = json!({"updated": "2026-03-10T08:40:00Z"});
        let moved = json!({"updated": "2026-03-10T08:40:00Z", "start": {"dateTime": "2026-03-20T09:30:00Z"}});
        let tombstone = json!({"id": "e1", "status": "cancelled"});
        let cancelled = item(json!({"status": "cancelled", "updated": "2026-03-10T08:40:00Z"}));
        let me = |answer: &str| json!({"attendees": [{"self": true, "responseStatus": answer, "email": "c"}]});
        let rows: Vec<(Value, Option<&Stored>, Option<&str>)> = vec![
            (item(json!({})), None, Some("appointment.booked booked")),
            (item(json!({})), Some(&open), None),
            (
                item(later.clone()),
                Some(&open),
                Some("appointment.updated updated/1773132000000"),
            ),
            (
                item(moved.clone()),
                Some(&open),
                Some("appointment.rescheduled rescheduled/1773999000/1773132000"),
            ),
            (
                cancelled.clone(),
                Some(&open),
                Some("appointment.cancelled cancelled/1773132000"),
            ),
            (
                tombstone.clone(),
                Some(&open),
                Some("appointment.cancelled cancelled/1773131400"),
            ),
            (tombstone.clone(), None, None),
            (cancelled, None, None),
            (tombstone.clone(), Some(&gone), None),
            (tombstone, Some(&past), None),
            (
                item(later),
                Some(&gone),
                Some("appointment.booked booked/1773132000"),
            ),
            (item(me("declined")), None, None),
            (
                item(me("declined")),
                Some(&open),
                Some("appointment.cancelled cancelled/1773131400"),
            ),
            (item(me("accepted")), Some(&open), None),
            (item(json!({"eventType": "outOfOffice"})), None, None),
            (item(json!({"eventType": "birthday"})), Some(&open), None),
            (item(json!({"description": "lunch"})), None, None),
            (
                item(json!({"description": "", "attendees": [{"email": "a@b.it"}]})),
                None,
                Some("appointment.booked booked"),
            ),
            (
                item(
                    json!({"description": "", "attendees": [{"email": "room@b.it", "resource": true}]}),
                ),
                None,
                None,
            ),
            (item(json!({"start": {"dateTime": "soon"}})), None, None),
            (
                item(
                    json!({"start": {"dateTime": "2026-03-01T09:00:00Z"}, "end": {"dateTime": "2026-03-01T10:00:00Z"}}),
                ),
                None,
                None,
            ),
            (
                item(
                    json!({"start": {"dateTime": "2026-03-08T09:00:00Z"}, "end": {"dateTime": "2026-03-08T10:00:00Z"}}),
                ),
                Some(&past),
                None,
            ),
            (
                item(moved),
                Some(&past),
                Some("appointment.rescheduled rescheduled/1773999000/1773132000"),
            ),
            (
                item(
                    json!({"recurringEventId": "s", "start": {"dateTime": "2026-05-08T09:00:00Z"}, "end": {"dateTime": "2026-05-08T10:00:00Z"}}),
                ),
                None,
                Some("appointment.booked booked"),
            ),
            (
                item(
                    json!({"recurringEventId": "s", "start": {"dateTime": "2026-06-08T09:00:00Z"}, "end": {"dateTime": "2026-06-08T10:00:00Z"}}),
                ),
                None,
                None,
            ),
            (item(json!({"id": "a/b"})), None, None),
            (Value::Null, None, None),
        ];
        for (item, stored, expected) in rows {
            assert_eq!(
                outcome(&item, stored).as_deref(),
                expected,
                "{item} {stored:?}"
            );
        }
        // What is gone without a trace.
        let connection = connection();
        let found = vanished("e1", &open, &look(&connection)).unwrap();
        assert_eq!(
            found.event.event.id,
            "google-calendar/appointment/e1/cancelled/1773131400"
        );
        assert!(vanished("e1", &past, &look(&connection)).is_none());
    }

    #[test]
    fn what_was_there_before_is_known() {
        let connection = connection();
        let fresh = |created: &str| {
            let look = Look {
                known_before: "2026-03-10T08:00:00Z".parse().ok(),
                ..look(&connection)
            };
            let item = item(json!({ "created": created }));
            read(&item, None, &look).unwrap().event.subject.fresh
        };
        assert_eq!(fresh("2026-03-10T07:59:59Z"), Fresh::Known);
        assert_eq!(fresh("2026-03-10T08:00:00Z"), Fresh::Dated);
        assert_eq!(fresh("never"), Fresh::Known);
    }

    fn appointment(fields: Value) -> Appointment {
        let connection = connection();
        let found = read(&item(fields), None, &look(&connection)).unwrap();
        found.event.appointment().unwrap().clone()
    }

    #[test]
    fn times_zones_and_places_are_read() {
        let day =
            appointment(json!({"start": {"date": "2026-03-28"}, "end": {"date": "2026-03-30"}}));
        assert!(day.all_day);
        assert_eq!(day.start.to_string(), "2026-03-27T23:00:00Z");
        // Rome's clocks went forward in between.
        assert_eq!(
            (day.end.to_string().as_str(), day.minutes),
            ("2026-03-29T22:00:00Z", 47 * 60)
        );
        let zone = |start: Value| appointment(json!({ "start": start })).timezone;
        let at = "2026-03-20T09:00:00Z";
        let own = json!({"dateTime": at, "timeZone": "America/Sao_Paulo"});
        assert_eq!(zone(own).as_deref(), Some("America/Sao_Paulo"));
        for vague in ["UTC", "Etc/GMT+3", "Nowhere/Town"] {
            let start = json!({"dateTime": at, "timeZone": vague});
            assert_eq!(zone(start).as_deref(), Some("Europe/Rome"), "{vague}");
        }
        let visit = appointment(json!({"location": "Via Roma 1"}));
        assert!(visit.in_person && visit.join_url.is_none());
        let meet = appointment(
            json!({"location": "Via Roma 1", "hangoutLink": "https://meet.google.com/x"}),
        );
        assert!(!meet.in_person);
        assert_eq!(meet.join_url.as_deref(), Some("https://meet.google.com/x"));
        let zoom = appointment(json!({"location": "https://zoom.us/j/1"}));
        assert!(!zoom.in_person && zoom.join_url.is_some());
        assert!(!appointment(json!({})).in_person);
    }

    #[test]
    fn the_customer_is_the_first_guest_who_has_not_declined() {
        let connection = connection();
        let fields = json!({"attendees": [
            {"email": "c", "self": true, "organizer": true, "displayName": "Studio"},
            {"email": "No@example.com", "responseStatus": "declined"},
            {"email": "Maria@example.com", "displayName": "Maria da Silva"},
            {"email": "luis@example.com"}, {"email": "sala@example.com", "resource": true},
        ]});
        let event = read(&item(fields), None, &look(&connection)).unwrap().event;
        let customer = &event.customer;
        assert_eq!(customer.email.as_deref(), Some("maria@example.com"));
        assert_eq!(customer.first_name.as_deref(), Some("Maria"));
        assert_eq!(customer.last_name.as_deref(), Some("da Silva"));
        let guests = &event.appointment().unwrap().guests;
        assert_eq!(*guests, ["luis@example.com", "no@example.com"]);
    }

    /// One instance of a series: its id, its day in March, whether it is stored as an open one that day.
    fn instance(
        id: &str,
        series: &str,
        day: u32,
        stored_day: Option<u32>,
        off: bool,
        created: &str,
    ) -> Found {
        let connection = connection();
        let at = |day: u32, hour: u32| format!("2026-03-{day:02}T{hour:02}:00:00Z");
        let item = item(json!({
            "id": id, "recurringEventId": series, "created": created, "updated": "2026-03-10T08:50:00Z",
            "status": if off { "cancelled" } else { "confirmed" },
            "start": {"dateTime": at(day, 9)}, "end": {"dateTime": at(day, 10)},
        }));
        let before = stored_day.map(|day| Stored {
            start: at(day, 9).parse().ok(),
            end: at(day, 10).parse().ok(),
            ..stored(State::Open)
        });
        read(&item, before.as_ref(), &look(&connection)).unwrap()
    }

    /// What is told at once of a sync that began after eight.
    fn told(found: Vec<Found>) -> Vec<String> {
        let since = "2026-03-10T08:10:00Z".parse().ok();
        let events = arrange(found, since);
        let told = events.iter().filter(|event| !event.subject.only_timed);
        told.map(|event| format!("{} {}", event.event.name, event.subject.id))
            .collect()
    }

    #[test]
    fn of_a_series_the_first_is_told() {
        let (old, new) = ("2026-03-10T08:00:00Z", "2026-03-10T08:20:00Z");
        let made = |created| {
            vec![
                instance("b", "s", 20, None, false, created),
                instance("a", "s", 13, None, false, created),
            ]
        };
        assert_eq!(told(made(new)), ["appointment.booked a"]);
        // It came within the horizon.
        assert!(told(made(old)).is_empty());
        let gone = vec![
            instance("b", "s", 20, Some(20), true, old),
            instance("a", "s", 13, Some(13), true, old),
        ];
        assert_eq!(told(gone.clone()), ["appointment.cancelled a"]);
        let moved = vec![
            instance("b", "s", 21, Some(20), false, old),
            instance("a", "s", 14, Some(13), false, old),
        ];
        assert_eq!(told(moved), ["appointment.rescheduled a"]);
        // The whole series at another time: its instances have new ids; "all following" a new series too.
        for series in ["s", "s_R20260313T090000"] {
            let others = vec![
                instance("d", series, 21, None, false, new),
                instance("c", series, 14, None, false, new),
            ];
            let all = gone.iter().cloned().chain(others).collect();
            assert_eq!(told(all), ["appointment.rescheduled c"], "{series}");
        }
        // Two series do not hide each other.
        let two = vec![
            instance("a", "s", 13, None, false, new),
            instance("b", "t", 14, None, false, new),
        ];
        assert_eq!(told(two), ["appointment.booked a", "appointment.booked b"]);
    }
}
