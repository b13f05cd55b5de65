//! When a step is due: `at`, over the fields of an event, right across daylight saving.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

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
            let duration: SignedDuration = if before { -duration } else { duration };
            base.checked_add(duration).ok()
        }
        Span::Days(days) => {
            let days = if before { -days } else { days };
            let zoned = base.to_zoned(zone.clone());
            zoned
                .checked_add(jiff::Span::new().try_days(days).ok()?)
                .ok()
                .map(|zoned| zoned.timestamp())
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
