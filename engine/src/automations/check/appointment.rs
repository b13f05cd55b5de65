//! What goes wrong with appointments alone: times that cannot come, and a reminder that is written for
//! the booking and again for its move.

use shared::event::Name;

use super::super::model::{At, Automation, Step};
use super::Checker;

/// The events of an automation over which its step is tried: a move makes the steps with a time of
/// their own of automations that are on `appointment.booked` anew.
pub(super) fn events_of(one: &Automation, step: &Step) -> Vec<Name> {
    with_move(one, step.at.is_some())
}

/// The events over which what all steps share is tried.
pub(super) fn all_events_of(one: &Automation) -> Vec<Name> {
    with_move(one, one.steps.iter().any(|step| step.at.is_some()))
}

fn with_move(one: &Automation, timed: bool) -> Vec<Name> {
    let mut events = one.on.clone();
    if timed
        && events.contains(&Name::AppointmentBooked)
        && !events.contains(&Name::AppointmentRescheduled)
    {
        events.push(Name::AppointmentRescheduled);
    }
    events
}

/// Whether a time lies before something of the appointment: `appointment.start - 24h`.
fn counts_back(at: &At) -> bool {
    let of_appointment = at
        .field
        .as_deref()
        .is_some_and(|field| field.starts_with("appointment."));
    of_appointment && at.offset.is_some_and(|offset| offset.before)
}

impl Checker<'_> {
    /// What is odd about a step of an automation that is on appointments. `path` is the step's.
    pub(super) fn appointment_step(
        &mut self,
        path: &str,
        name: &str,
        one: &Automation,
        step: &Step,
    ) {
        let Some(at) = &step.at else { return };
        let span = self.site(&format!("{path}.at"));
        let before_start = counts_back(at) && at.field.as_deref() != Some("appointment.end");
        if before_start && one.on == [Name::AppointmentNoShow] {
            self.warning(
                &span,
                format!(
                    "{name}: nothing is left before an appointment that somebody did not come to: such jobs are skipped"
                ),
            );
        } else if counts_back(at) && one.on == [Name::AppointmentCancelled] {
            self.warning(
                &span,
                format!("{name}: the appointment does not take place: a time before it reminds of nothing"),
            );
        }
        if let Some(booked) = self.also_follows(one, step) {
            let message = &step.action.name;
            self.warning(
                &span,
                format!(
                    "{name} sends {message} a second time: the steps with an at of {booked} follow a move by themselves"
                ),
            );
        }
    }

    /// The automation on `appointment.booked` that sends the same at a time of its own, after a move
    /// that this automation is on as well.
    fn also_follows(&self, one: &Automation, step: &Step) -> Option<String> {
        if !one.on.contains(&Name::AppointmentRescheduled)
            || one.on.contains(&Name::AppointmentBooked)
        {
            return None;
        }
        let apart = |other: &Automation| {
            !one.source.is_empty()
                && !other.source.is_empty()
                && !one.source.iter().any(|name| other.source.contains(name))
        };
        let same = |other: &&Automation| {
            other.on.contains(&Name::AppointmentBooked)
                && other.enabled
                && (other.when.is_none() || other.when == one.when)
                && !apart(other)
                && other
                    .steps
                    .iter()
                    .any(|theirs| theirs.at.is_some() && theirs.action == step.action)
        };
        self.file
            .automations
            .iter()
            .find(|(_, other)| same(other))
            .map(|(name, _)| name.clone())
    }
}
