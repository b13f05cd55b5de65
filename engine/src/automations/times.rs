//! When a step is due: `at`, over the fields of an event, right across daylight saving.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::context::Scope;
use super::model::{At, Span};

/// Why a time cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DueError {
    /// The field is not in this event.
    #[error("{0} is absent")]
    Absent(String),
    /// The field holds something else.
    #[error("{0} is no time")]
    NotATime(String),
    /// Beyond the calendar.
    #[error("the time is out of range")]
    OutOfRange,
}

/// When `at` falls. Hours and minutes are exact; days and weeks keep the time of day of the event's
/// zone, and so does `at HH:MM`.
///
/// # Errors
///
/// [`DueError`].
pub fn due(at: &At, scope: &Scope) -> Result<Timestamp, DueError> {
    let zone = scope.zone();
    let base = base(at, scope)?;
    let moved = match at.offset {
        None => base,
        Some(offset) => {
            moved(base, offset.span, offset.before, zone).ok_or(DueError::OutOfRange)?
        }
    };
    let Some(wall) = at.wall else {
        return Ok(moved);
    };
    let date = moved.to_zoned(zone.clone()).date();
    let set = date.to_datetime(wall).to_zoned(zone.clone());
    set.map(|zoned| zoned.timestamp())
        .map_err(|_| DueError::OutOfRange)
}

/// The instant that a before-time (`appointment.start - 24h`) announces: it never goes out at or after
/// it. `None` for times after the fact.
///
/// # Errors
///
/// [`DueError`], as [`due`].
pub fn announced(at: &At, scope: &Scope) -> Result<Option<Timestamp>, DueError> {
    match at.offset {
        Some(offset) if offset.before => base(at, scope).map(Some),
        _ => Ok(None),
    }
}

/// `now + span`, days by the calendar of `zone`; the last instant there is where it would be beyond.
pub fn after(at: Timestamp, span: Span, zone: &TimeZone) -> Timestamp {
    moved(at, span, false, zone).unwrap_or(Timestamp::MAX)
}

fn base(at: &At, scope: &Scope) -> Result<Timestamp, DueError> {
    let Some(field) = &at.field else {
        return Ok(scope.0.event_at);
    };
    let value = scope.field(field);
    if super::filters::is_blank(&value) {
        return Err(DueError::Absent(field.clone()));
    }
    scope
        .instant(field)
        .ok_or_else(|| DueError::NotATime(field.clone()))
}

fn moved(base: Timestamp, span: Span, before: bool, zone: &TimeZone) -> Option<Timestamp> {
    match span {
        Span::Exact(duration) => {
            let duration = if before {
                duration.checked_neg()?
            } else {
                duration
            };
            base.checked_add(duration).ok()
        }
        Span::Days(days) => {
            let days = if before { days.checked_neg()? } else { days };
            let days = jiff::Span::new().try_days(days).ok()?;
            let moved = base.to_zoned(zone.clone()).checked_add(days).ok()?;
            Some(moved.timestamp())
        }
    }
}

/// An instant from a text of a free map: RFC 3339, or a date or date and time of day in `zone`.
pub(super) fn read_instant(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let wall = match text.parse::<Date>() {
        Ok(date) if text.len() <= 10 => date.to_datetime(jiff::civil::Time::MIN),
        _ => text.parse::<DateTime>().ok()?,
    };
    wall.to_zoned(zone.clone())
        .ok()
        .map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use shared::event::Event;

    use super::super::locale::Home;
    use super::super::model::Offset;
    use super::super::testing::{at, automations, checkout, order, zone};
    use super::*;

    fn scope(event: &Event, name: &str) -> Scope {
        let mut file = automations();
        file.defaults.timezone = zone(name);
        Scope::new(&file, &Home::of(&file, event, None), event)
    }

    fn hours(hours: i64) -> Span {
        Span::Exact(SignedDuration::from_hours(hours))
    }

    fn step(field: Option<&str>, offset: Option<(bool, Span)>, wall: Option<&str>) -> At {
        At {
            field: field.map(str::to_owned),
            offset: offset.map(|(before, span)| Offset { before, span }),
            wall: wall.map(|wall| wall.parse().unwrap()),
        }
    }

    #[test]
    fn hours_are_exact_and_days_are_calendar() {
        // Rome's clock goes forward on 29 March 2026 and back on 25 October.
        let mut event = order();
        let rows = [
            (
                "2026-03-28T11:00:00Z",
                hours(24),
                false,
                None,
                "2026-03-29T11:00:00Z",
            ),
            (
                "2026-03-28T11:00:00Z",
                Span::Days(1),
                false,
                None,
                "2026-03-29T10:00:00Z",
            ),
            (
                "2026-10-25T11:00:00Z",
                hours(24),
                true,
                None,
                "2026-10-24T11:00:00Z",
            ),
            (
                "2026-10-25T11:00:00Z",
                Span::Days(1),
                true,
                None,
                "2026-10-24T10:00:00Z",
            ),
            (
                "2026-10-25T11:00:00Z",
                Span::Days(1),
                true,
                Some("18:00"),
                "2026-10-24T16:00:00Z",
            ),
            (
                "2026-10-24T11:00:00Z",
                Span::Days(1),
                false,
                Some("18:00"),
                "2026-10-25T17:00:00Z",
            ),
            // 02:30 is skipped on that day, so it is half past three.
            (
                "2026-03-28T11:00:00Z",
                Span::Days(1),
                false,
                Some("02:30"),
                "2026-03-29T01:30:00Z",
            ),
            (
                "2026-11-20T23:30:00Z",
                Span::Days(0),
                false,
                Some("10:00"),
                "2026-11-21T09:00:00Z",
            ),
        ];
        for (base, span, before, wall, expected) in rows {
            event.event.at = at(base);
            let step = step(None, Some((before, span)), wall);
            assert_eq!(
                due(&step, &scope(&event, "Europe/Rome")),
                Ok(at(expected)),
                "{base} {step:?}"
            );
        }
    }

    #[test]
    fn bases() {
        let event = order();
        let sao_paulo = scope(&event, "America/Sao_Paulo");
        let rows = [
            (step(None, None, None), Ok("2026-11-21T15:00:00Z")),
            (
                step(
                    Some("order.created_at"),
                    Some((false, Span::Days(30))),
                    Some("10:00"),
                ),
                Ok("2026-12-21T13:00:00Z"),
            ),
            (
                step(Some("order.created_at"), None, None),
                Ok("2026-11-21T14:30:00Z"),
            ),
            (
                step(
                    Some("order.attributes.due"),
                    Some((true, Span::Days(1))),
                    Some("10:00"),
                ),
                Ok("2026-11-30T13:00:00Z"),
            ),
            (
                step(Some("order.paid_at"), None, None),
                Err(DueError::Absent("order.paid_at".into())),
            ),
            (
                step(Some("order.number"), None, None),
                Err(DueError::NotATime("order.number".into())),
            ),
            (
                step(Some("order.attributes.n"), None, None),
                Err(DueError::NotATime("order.attributes.n".into())),
            ),
            (
                step(None, Some((false, Span::Days(i32::MAX))), None),
                Err(DueError::OutOfRange),
            ),
            (
                step(None, Some((true, Span::Days(i32::MIN))), None),
                Err(DueError::OutOfRange),
            ),
            (
                step(None, Some((false, Span::Exact(SignedDuration::MAX))), None),
                Err(DueError::OutOfRange),
            ),
            (
                step(None, Some((true, Span::Exact(SignedDuration::MIN))), None),
                Err(DueError::OutOfRange),
            ),
        ];
        for (step, expected) in rows {
            assert_eq!(due(&step, &sao_paulo), expected.map(at), "{step:?}");
        }
        let before = step(Some("order.created_at"), Some((true, hours(1))), None);
        assert_eq!(
            announced(&before, &sao_paulo),
            Ok(Some(at("2026-11-21T14:30:00Z")))
        );
        let after = step(Some("order.created_at"), Some((false, hours(1))), None);
        assert_eq!(announced(&after, &sao_paulo), Ok(None));
        assert_eq!(
            due(
                &step(None, Some((false, hours(1))), None),
                &scope(&checkout(), "UTC")
            ),
            Ok(at("2026-11-21T16:00:00Z"))
        );
    }

    /// An appointment of 45 minutes in a zone, and when its steps are due.
    #[test]
    fn times_around_an_appointment() {
        let before = |span| (true, span);
        let after = |span| (false, span);
        let days = Span::Days;
        let (start, end) = ("appointment.start", "appointment.end");
        let rows = [
            // Rome's clock goes forward on 29 March 2026 at two: an hour of the day before is missing.
            (
                "2026-03-29T08:00:00Z",
                "Europe/Rome",
                start,
                before(hours(24)),
                None,
                "2026-03-28T08:00:00Z",
            ),
            (
                "2026-03-29T08:00:00Z",
                "Europe/Rome",
                start,
                before(days(1)),
                None,
                "2026-03-28T09:00:00Z",
            ),
            (
                "2026-03-29T08:00:00Z",
                "Europe/Rome",
                start,
                before(days(1)),
                Some("18:00"),
                "2026-03-28T17:00:00Z",
            ),
            (
                "2026-03-30T08:00:00Z",
                "Europe/Rome",
                start,
                before(days(1)),
                Some("18:00"),
                "2026-03-29T16:00:00Z",
            ),
            // 02:30 on that day is no time: half past three.
            (
                "2026-03-30T00:30:00Z",
                "Europe/Rome",
                start,
                before(days(1)),
                None,
                "2026-03-29T01:30:00Z",
            ),
            (
                "2026-03-28T08:00:00Z",
                "Europe/Rome",
                end,
                after(days(1)),
                None,
                "2026-03-29T07:45:00Z",
            ),
            (
                "2026-03-28T08:00:00Z",
                "Europe/Rome",
                end,
                after(hours(24)),
                None,
                "2026-03-29T08:45:00Z",
            ),
            // And back on 25 October: half past two comes twice, and the first counts.
            (
                "2026-10-25T09:00:00Z",
                "Europe/Rome",
                start,
                before(hours(24)),
                None,
                "2026-10-24T09:00:00Z",
            ),
            (
                "2026-10-25T09:00:00Z",
                "Europe/Rome",
                start,
                before(days(1)),
                None,
                "2026-10-24T08:00:00Z",
            ),
            (
                "2026-10-26T01:30:00Z",
                "Europe/Rome",
                start,
                before(days(1)),
                None,
                "2026-10-25T00:30:00Z",
            ),
            (
                "2026-10-24T08:00:00Z",
                "Europe/Rome",
                end,
                after(days(1)),
                Some("10:00"),
                "2026-10-25T09:00:00Z",
            ),
            // The southern hemisphere, the other way round: Santiago goes forward on 6 September 2026.
            (
                "2026-09-06T15:00:00Z",
                "America/Santiago",
                start,
                before(days(1)),
                None,
                "2026-09-05T16:00:00Z",
            ),
            (
                "2026-09-06T15:00:00Z",
                "America/Santiago",
                start,
                before(hours(24)),
                None,
                "2026-09-05T15:00:00Z",
            ),
            // Midnight does not exist there on that day.
            (
                "2026-09-06T15:00:00Z",
                "America/Santiago",
                start,
                before(days(0)),
                Some("00:00"),
                "2026-09-06T04:00:00Z",
            ),
            // A leap day as start, a year before and after it, and one month ends.
            (
                "2028-02-29T09:00:00Z",
                "Europe/Rome",
                start,
                before(days(1)),
                None,
                "2028-02-28T09:00:00Z",
            ),
            (
                "2028-02-29T09:00:00Z",
                "Europe/Rome",
                start,
                before(days(365)),
                None,
                "2027-03-01T09:00:00Z",
            ),
            (
                "2028-02-29T09:00:00Z",
                "Europe/Rome",
                end,
                after(days(1)),
                None,
                "2028-03-01T09:45:00Z",
            ),
            (
                "2028-02-29T09:00:00Z",
                "Europe/Rome",
                end,
                after(days(365)),
                None,
                "2029-02-28T09:45:00Z",
            ),
            (
                "2028-03-01T09:00:00Z",
                "Europe/Rome",
                start,
                before(days(1)),
                None,
                "2028-02-29T09:00:00Z",
            ),
            (
                "2027-03-01T09:00:00Z",
                "Europe/Rome",
                start,
                before(days(1)),
                None,
                "2027-02-28T09:00:00Z",
            ),
            // Far ahead, past everything that the zone's tables list.
            (
                "2049-07-01T08:00:00Z",
                "Europe/Rome",
                start,
                before(days(1)),
                Some("18:00"),
                "2049-06-30T16:00:00Z",
            ),
            (
                "2049-12-01T08:00:00Z",
                "Europe/Rome",
                start,
                before(days(1)),
                Some("18:00"),
                "2049-11-30T17:00:00Z",
            ),
            (
                "2099-03-30T08:00:00Z",
                "Europe/Rome",
                start,
                before(days(1)),
                None,
                "2099-03-29T08:00:00Z",
            ),
            // A zone with half an hour, and one across the date line.
            (
                "2026-11-20T04:30:00Z",
                "Asia/Kolkata",
                start,
                before(days(1)),
                Some("18:00"),
                "2026-11-19T12:30:00Z",
            ),
            (
                "2026-11-20T21:00:00Z",
                "Pacific/Auckland",
                start,
                before(days(1)),
                Some("18:00"),
                "2026-11-20T05:00:00Z",
            ),
        ];
        for (begins, zone, field, offset, wall, expected) in rows {
            let event = appointment_at(begins, Some(zone));
            let step = step(Some(field), Some(offset), wall);
            assert_eq!(
                due(&step, &scope(&event, "America/Sao_Paulo")),
                Ok(at(expected)),
                "{begins} {zone} {step:?}"
            );
        }
        // The business's zone where the source knows none, and never that of an invitee from abroad.
        let mut event = appointment_at("2026-11-20T12:00:00Z", None);
        event.customer.timezone = Some("Asia/Tokyo".into());
        let step = step(Some(start), Some(before(days(1))), Some("18:00"));
        assert_eq!(
            due(&step, &scope(&event, "America/Sao_Paulo")),
            Ok(at("2026-11-19T21:00:00Z"))
        );
    }

    fn appointment_at(begins: &str, zone: Option<&str>) -> Event {
        let start = at(begins);
        let mut event = crate::plan::tests::appointment(
            "appointment.booked",
            "a",
            at("2026-01-01T00:00:00Z"),
            start,
            serde_json::json!({
                "appointment": {"end": start + SignedDuration::from_mins(45), "minutes": 45}
            }),
        );
        event["appointment"]["timezone"] = serde_json::json!(zone);
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn the_customers_zone_goes_first() {
        let mut event = order();
        event.customer.timezone = Some("Europe/Lisbon".into());
        let step = step(None, Some((false, Span::Days(1))), Some("10:00"));
        assert_eq!(
            due(&step, &scope(&event, "America/Sao_Paulo")),
            Ok(at("2026-11-22T10:00:00Z"))
        );
        event.customer.timezone = Some("Nowhere/At_All".into());
        assert_eq!(
            due(&step, &scope(&event, "America/Sao_Paulo")),
            Ok(at("2026-11-22T13:00:00Z"))
        );
    }

    #[test]
    fn instants_that_are_texts() {
        let rome = zone("Europe/Rome").zone;
        let rows = [
            ("2026-11-22", Some("2026-11-21T23:00:00Z")),
            ("2026-11-22T10:00", Some("2026-11-22T09:00:00Z")),
            ("2026-11-22 10:00:00", Some("2026-11-22T09:00:00Z")),
            ("2026-11-22T10:00:00-03:00", Some("2026-11-22T13:00:00Z")),
            ("2026-11-22T10:00:00Z", Some("2026-11-22T10:00:00Z")),
            ("22/11/2026", None),
            ("tomorrow", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(read_instant(text, &rome), expected.map(at), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_calendar_day_keeps_the_time_of_day(minutes in 0_i64..1_000_000, days in -400_i32..400, before: bool) {
            let mut event = order();
            event.event.at = at("2026-01-01T00:00:00Z") + SignedDuration::from_mins(minutes);
            let scope = scope(&event, "Europe/Rome");
            let due = due(&step(None, Some((before, Span::Days(days))), None), &scope).unwrap();
            let wall = |at: Timestamp| at.to_zoned(scope.zone().clone()).datetime();
            let shift = wall(due).date() - wall(event.event.at).date();
            let days = if before { -days } else { days };
            proptest::prop_assert_eq!(shift.get_days(), days);
            // Only in the hour that the clock skips is there no such time.
            if wall(due).hour() != 3 {
                proptest::prop_assert_eq!(wall(due).time(), wall(event.event.at).time());
            }
        }
    }
}
