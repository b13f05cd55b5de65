//! Opening and sending hours: whether, when next, and where a time that falls outside is moved.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::model::{Hours, WeekdayKey};

/// How far ahead and back an open day is looked for, in days: a year and its holidays.
const HORIZON_DAYS: usize = 400;

/// A time that is moved back to the last closing is moved a little further, so that what the worker
/// needs to start (a minute's sweep, a retry) still falls into the hours.
pub const BEFORE_CLOSING: SignedDuration = SignedDuration::from_mins(5);

/// No opening is left before the instant that the message announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoHourLeft;

/// The zone of these hours: `customer` where the event has one, else their own, else the business's.
pub fn zone_of<'a>(
    hours: &'a Hours,
    customer: Option<&'a TimeZone>,
    business: &'a TimeZone,
) -> &'a TimeZone {
    customer
        .or(hours.timezone.as_ref().map(|zone| &zone.zone))
        .unwrap_or(business)
}

/// Whether `at` falls into the hours.
pub fn is_open(hours: &Hours, zone: &TimeZone, at: Timestamp) -> bool {
    let date = at.to_zoned(zone.clone()).date();
    // A span across a fold or gap of the clock may reach over midnight.
    [date.yesterday().ok(), Some(date), date.tomorrow().ok()]
        .into_iter()
        .flatten()
        .flat_map(|date| spans(hours, zone, date))
        .any(|(from, to)| from <= at && at < to)
}

/// `at` where it is open, else the next opening; `None` where there is none within 400 days.
pub fn next_open(hours: &Hours, zone: &TimeZone, at: Timestamp) -> Option<Timestamp> {
    if is_open(hours, zone, at) {
        return Some(at);
    }
    let mut date = at.to_zoned(zone.clone()).date();
    for _ in 0..HORIZON_DAYS {
        let openings = spans(hours, zone, date).into_iter().map(|(from, _)| from);
        if let Some(opening) = openings.filter(|from| *from > at).min() {
            return Some(opening);
        }
        date = date.tomorrow().ok()?;
    }
    None
}

/// `at` where it is open, else the last instant to start something in the hours before it:
/// [`BEFORE_CLOSING`] before they closed, or their opening where they are shorter than that.
pub fn last_open(hours: &Hours, zone: &TimeZone, at: Timestamp) -> Option<Timestamp> {
    if is_open(hours, zone, at) {
        return Some(at);
    }
    let mut date = at.to_zoned(zone.clone()).date();
    for _ in 0..HORIZON_DAYS {
        let before = spans(hours, zone, date)
            .into_iter()
            .filter(|(_, to)| *to <= at);
        if let Some((from, to)) = before.max_by_key(|(_, to)| *to) {
            return Some(
                to.checked_sub(BEFORE_CLOSING)
                    .map_or(from, |last| last.max(from)),
            );
        }
        date = date.yesterday().ok()?;
    }
    None
}

/// Moves `due` into the hours. A time after the fact goes to the next opening. A time before
/// `announced` (`appointment.start - 24h`) goes to the last closing; if that is before `known_since`,
/// when the event reached us, to the next opening if it is still before `announced`.
///
/// `known_since` must not change between two calls for one job: with the present instead, a job that
/// comes up at its closing would find its own time past.
///
/// # Errors
///
/// [`NoHourLeft`].
pub fn into_hours(
    hours: &Hours,
    zone: &TimeZone,
    due: Timestamp,
    announced: Option<Timestamp>,
    known_since: Timestamp,
) -> Result<Timestamp, NoHourLeft> {
    let Some(announced) = announced else {
        return next_open(hours, zone, due).ok_or(NoHourLeft);
    };
    if let Some(earlier) = last_open(hours, zone, due)
        && (earlier == due || earlier >= known_since)
    {
        return Ok(earlier);
    }
    next_open(hours, zone, due.max(known_since))
        .filter(|next| *next < announced)
        .ok_or(NoHourLeft)
}

/// The open spans of one day as instants. Exceptions by date go before the week.
fn spans(hours: &Hours, zone: &TimeZone, date: Date) -> Vec<(Timestamp, Timestamp)> {
    let weekday = WeekdayKey::from(date.weekday());
    let spans = hours.dates.get(&date).or_else(|| hours.week.get(&weekday));
    let instant = |date: Date, time: Time| {
        date.to_datetime(time)
            .to_zoned(zone.clone())
            .map(|zoned| zoned.timestamp())
            .ok()
    };
    let span = |span: &super::model::OpenSpan| {
        let to = if span.to == Time::MAX {
            instant(date.tomorrow().ok()?, Time::MIN)?
        } else {
            instant(date, span.to)?
        };
        Some((instant(date, span.from)?, to)).filter(|(from, to)| from < to)
    };
    spans.into_iter().flatten().filter_map(span).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::model::OpenSpan;
    use super::*;

    fn span(from: &str, to: &str) -> OpenSpan {
        let to = if to == "24:00" {
            Time::MAX
        } else {
            to.parse().unwrap()
        };
        OpenSpan {
            from: from.parse().unwrap(),
            to,
        }
    }

    /// Monday to Friday in two spans, Saturday morning; Christmas closed, Christmas Eve short.
    fn studio() -> Hours {
        let mut week = BTreeMap::new();
        for day in 0..5 {
            let weekday = jiff::civil::Weekday::from_monday_zero_offset(day).unwrap();
            week.insert(
                weekday.into(),
                vec![span("09:00", "13:00"), span("14:30", "19:00")],
            );
        }
        week.insert(
            jiff::civil::Weekday::Saturday.into(),
            vec![span("09:00", "12:30")],
        );
        let dates = BTreeMap::from([
            ("2026-12-25".parse().unwrap(), vec![]),
            ("2026-12-24".parse().unwrap(), vec![span("09:00", "12:00")]),
        ]);
        Hours {
            timezone: None,
            week,
            dates,
        }
    }

    fn rome() -> TimeZone {
        TimeZone::get("Europe/Rome").unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse::<jiff::civil::DateTime>()
            .unwrap()
            .to_zoned(rome())
            .unwrap()
            .timestamp()
    }

    #[test]
    fn open_and_next() {
        let rows = [
            ("2026-11-23T09:00", true, "2026-11-23T09:00"),
            ("2026-11-23T12:59", true, "2026-11-23T12:59"),
            ("2026-11-23T13:00", false, "2026-11-23T14:30"),
            ("2026-11-23T19:00", false, "2026-11-24T09:00"),
            ("2026-11-28T12:30", false, "2026-11-30T09:00"),
            ("2026-12-24T11:00", true, "2026-12-24T11:00"),
            ("2026-12-24T12:00", false, "2026-12-26T09:00"),
        ];
        for (now, open, next) in rows {
            assert_eq!(is_open(&studio(), &rome(), at(now)), open, "{now}");
            assert_eq!(
                next_open(&studio(), &rome(), at(now)),
                Some(at(next)),
                "{now}"
            );
        }
        let never = Hours {
            timezone: None,
            week: BTreeMap::new(),
            dates: BTreeMap::new(),
        };
        assert_eq!(next_open(&never, &rome(), at("2026-11-23T09:00")), None);
        assert_eq!(last_open(&never, &rome(), at("2026-11-23T09:00")), None);
    }

    #[test]
    fn midnight_is_no_gap() {
        let mut hours = studio();
        hours.week = (0..7)
            .map(|day| {
                (
                    jiff::civil::Weekday::from_monday_zero_offset(day)
                        .unwrap()
                        .into(),
                    vec![span("00:00", "24:00")],
                )
            })
            .collect();
        hours.dates.clear();
        for now in [
            "2026-11-23T23:59:59.999",
            "2026-11-24T00:00",
            "2026-03-29T03:00",
            "2026-10-25T02:30",
        ] {
            assert!(is_open(&hours, &rome(), at(now)), "{now}");
        }
    }

    #[test]
    fn moves_before_and_after() {
        let hours = studio();
        let long_ago = at("2026-11-01T00:00");
        let go = |due: &str, announced: Option<&str>, since: Timestamp| {
            into_hours(&hours, &rome(), at(due), announced.map(at), since)
        };
        // After the fact: later.
        assert_eq!(
            go("2026-11-23T20:00", None, long_ago),
            Ok(at("2026-11-24T09:00"))
        );
        // Before something: earlier.
        let start = Some("2026-11-25T08:00");
        assert_eq!(
            go("2026-11-24T08:00", start, long_ago),
            Ok(at("2026-11-23T18:55"))
        );
        // The closing had passed when the event came: the next opening, if it is before the start.
        let since = at("2026-11-24T06:00");
        assert_eq!(
            go("2026-11-24T08:00", start, since),
            Ok(at("2026-11-24T09:00"))
        );
        assert_eq!(
            go("2026-11-24T08:00", Some("2026-11-24T08:30"), since),
            Err(NoHourLeft)
        );
        // Inside: untouched, even where that is already past.
        assert_eq!(
            go("2026-11-23T10:00", start, since),
            Ok(at("2026-11-23T10:00"))
        );
    }

    #[test]
    fn hours_across_the_change_of_the_clock() {
        let mut hours = studio();
        hours.week.insert(
            jiff::civil::Weekday::Sunday.into(),
            vec![span("02:00", "04:00")],
        );
        // 29 March 2026: 02:00 does not exist, the shop opens at 03:00.
        assert!(!is_open(&hours, &rome(), at("2026-03-29T01:59")));
        assert!(is_open(&hours, &rome(), at("2026-03-29T03:30")));
        // 25 October 2026: 02:00 to 03:00 comes twice, both are open.
        let first = at("2026-10-25T02:30");
        assert!(is_open(&hours, &rome(), first));
        assert!(is_open(
            &hours,
            &rome(),
            first + SignedDuration::from_hours(1)
        ));
    }

    proptest::proptest! {
        #[test]
        fn the_result_is_inside_and_on_the_promised_side(
            minutes in 0_i64..600_000, lead in 0_i64..20_000, known in 0_i64..20_000,
            first in 0_i8..22, length in 1_i8..3, second in proptest::bool::ANY, days in 1_u8..128,
        ) {
            let zone = rome();
            let mut week = BTreeMap::new();
            for day in (0..7_i8).filter(|day| days & (1 << day) != 0) {
                let open = |hour: i8| Time::constant(hour, 0, 0, 0);
                let mut spans = vec![OpenSpan { from: open(first), to: open(first + length.min(23 - first).max(1)) }];
                if second && first + length < 22 {
                    spans.push(OpenSpan { from: open(first + length + 1), to: Time::MAX });
                }
                week.insert(jiff::civil::Weekday::from_monday_zero_offset(day).unwrap().into(), spans);
            }
            let hours = Hours { timezone: None, week, dates: BTreeMap::new() };
            let due = at("2026-01-01T00:00") + SignedDuration::from_mins(minutes);
            let after = into_hours(&hours, &zone, due, None, due).unwrap();
            proptest::prop_assert!(after >= due && is_open(&hours, &zone, after));
            let announced = due + SignedDuration::from_mins(lead + 1);
            let known = due - SignedDuration::from_mins(known);
            if let Ok(moved) = into_hours(&hours, &zone, due, Some(announced), known) {
                proptest::prop_assert!(is_open(&hours, &zone, moved) && moved < announced);
                proptest::prop_assert!(moved <= due || moved == after);
            }
            let last = last_open(&hours, &zone, due).unwrap();
            proptest::prop_assert!(last <= due && is_open(&hours, &zone, last));
        }
    }
}
