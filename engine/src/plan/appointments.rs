//! What is particular to appointments: their steps follow the booking, under whichever id it goes on.
//!
//! A step whose `at` is a time around the appointment (`appointment.start - 24h`) has one job for each
//! start that the appointment ever had, whatever event made it, and says at its claim what the newest
//! event says. Every other step has one job for its event.

use jiff::Timestamp;
use shared::event::{Body, Event, Name, SubjectKind, entity_key};
use shared::store::{EntityRow, Line};

use crate::automations::model::{Automation, Step};

/// Between the entity key of an appointment and its start in seconds: the key of what its steps with a
/// time are about.
const AT: &str = "/at/";

/// Which steps of an automation an event makes jobs of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of them.
    All,
    /// Those with a time around the appointment: it moved, and the automation is `on` its booking alone.
    Moved,
    /// Those with a time around the appointment: it is one of many that were made at once.
    Series,
}

impl Part {
    /// Whether it has this step.
    pub fn has(self, step: &Step) -> bool {
        self == Part::All || is_timed(step)
    }

    /// Behind the number of jobs, in an event's record.
    pub fn words(self) -> &'static str {
        match self {
            Part::All => "",
            Part::Moved => ": its steps with a time, for the new start",
            Part::Series => ": one of a series, so its steps with a time alone",
        }
    }
}

/// What an event asks of an automation; `None`: nothing.
pub fn part(event: &Event, automation: &Automation) -> Option<Part> {
    let name = event.event.name;
    if automation.on.contains(&name) {
        return Some(if event.subject.only_timed {
            Part::Series
        } else {
            Part::All
        });
    }
    let moved = name == Name::AppointmentRescheduled
        && automation.on.contains(&Name::AppointmentBooked)
        && automation.steps.iter().any(is_timed);
    moved.then_some(Part::Moved)
}

/// Whether the automation's steps follow a booking.
pub(super) fn is_of_bookings(automation: &Automation) -> bool {
    [Name::AppointmentBooked, Name::AppointmentRescheduled]
        .iter()
        .any(|name| automation.on.contains(name))
}

/// Whether the step has a time around its subject, and not only one after the event.
pub fn is_timed(step: &Step) -> bool {
    step.at.as_ref().is_some_and(|at| at.field.is_some())
}

/// Whether the step comes a while after its event, whenever the appointment is.
pub fn is_after_the_event(step: &Step) -> bool {
    step.at.as_ref().is_some_and(|at| at.field.is_none())
}

/// What the steps with a time are about, of an event that has its first id: `{entity key}/at/{start}`.
pub(super) fn timed_key(event: &Event) -> String {
    let start = start(event).unwrap_or(event.event.at);
    timed_key_of(&event.entity_key(), start)
}

/// `{entity key}/at/{start}`.
pub fn timed_key_of(entity: &str, start: Timestamp) -> String {
    format!("{entity}{AT}{}", start.as_second())
}

/// The entity key and the start of such a key.
pub(super) fn read_timed_key(key: &str) -> Option<(&str, Timestamp)> {
    let (entity, seconds) = key.rsplit_once(AT)?;
    let (_, rest) = entity.split_once('/')?;
    rest.strip_prefix(SubjectKind::Appointment.as_str())?
        .strip_prefix('/')?;
    let start = Timestamp::from_second(seconds.parse().ok()?).ok()?;
    // No other text is the same number.
    (start.as_second().to_string() == seconds).then_some((entity, start))
}

/// When the event's appointment begins.
pub fn start(event: &Event) -> Option<Timestamp> {
    let shown = || event.appointment().map(|appointment| appointment.start);
    event.subject.start.or_else(shown)
}

/// The entity key of the id before, where the event names one.
pub fn previous_key(event: &Event) -> Option<String> {
    let subject = &event.subject;
    let previous = subject.previous_id.as_ref()?;
    Some(entity_key(&event.event.source, subject.kind, previous))
}

/// The event as everything after its recording sees it: under the appointment's first id, with the
/// appointment and its customer where it does not show them itself, and with the start before a move
/// where its source does not say. `row`: what is known of the appointment, this event included.
/// `newest`: the newest event that shows it.
pub fn told(mut event: Event, row: Option<&EntityRow>, newest: Option<&Event>) -> Event {
    if event.subject.kind != SubjectKind::Appointment {
        return event;
    }
    if let (Body::AppointmentChange { appointment_change }, Some(newest)) = (&event.body, newest)
        && let Body::Appointment { appointment } = &newest.body
    {
        let mut appointment = appointment.clone();
        let change = appointment_change;
        appointment.cancelled_by = change.cancelled_by;
        appointment.reason.clone_from(&change.reason);
        event.customer = newest.customer.clone();
        event.subject.end = event.subject.end.or(Some(appointment.end));
        event.body = Body::Appointment { appointment };
    }
    let Some(row) = row else { return event };
    let prefix = entity_key(&event.event.source, SubjectKind::Appointment, "");
    let first = row.key.strip_prefix(&prefix).map(str::to_owned);
    let as_of = event.subject.as_of;
    let moved = event.event.name == Name::AppointmentRescheduled;
    if let Body::Appointment { appointment } = &mut event.body {
        if let Some(first) = &first {
            appointment.id.clone_from(first);
        }
        if moved && appointment.previous_start.is_none() {
            appointment.previous_start = row.previous_start(as_of, appointment.start);
        }
    }
    event.subject.id = first.unwrap_or(event.subject.id);
    event
}

/// The newest event of an appointment as its reminders tell it: they are about the booking, whatever was
/// said of it last.
pub fn as_booking(mut newest: Event, row: &EntityRow) -> Event {
    if newest.event.name != Name::AppointmentRescheduled {
        newest.event.name = Name::AppointmentBooked;
    }
    told(newest, Some(row), None)
}

/// A booking's event with the appointment and the customer as they are now: what comes a while after it
/// says nothing that is over.
pub fn brought_up_to_date(mut booked: Event, row: &EntityRow, newest: Event) -> Event {
    // What the job's own event said is what a move is told by.
    booked.subject.start = start(&booked);
    booked.body = newest.body;
    booked.customer = newest.customer;
    told(booked, Some(row), None)
}

/// The line of an event that does not show its appointment, and neither did any before it.
pub(super) fn unknown(event: &Event) -> Option<Line> {
    matches!(event.body, Body::AppointmentChange { .. }).then(|| Line {
        automation: event.event.name.as_str().to_owned(),
        matched: false,
        why: "nothing is known of this appointment yet: no event has shown it".to_owned(),
    })
}
