//! Durations and the grammar of `at`.

use jiff::SignedDuration;
use jiff::civil::Time;

use super::super::model::{At, Offset, Span};

/// Longest duration, in hours and days: two years, so that no sum leaves the calendar.
const HOURS_MAX: i64 = 2 * 366 * 24;
const DAYS_MAX: i32 = 2 * 366;

/// Reads `15m`, `2h`, `3d`, `1w`.
///
/// # Errors
/// The whole sentence that says what to write.
pub(crate) fn duration(text: &str) -> Result<Span, String> {
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    if number.is_empty() {
        return Err(format!(
            "\"{text}\" is no duration: write a number and m, h, d or w, like 24h"
        ));
    }
    let too_long = || format!("{text} is too long: at most {DAYS_MAX}d");
    let number: i64 = number.parse().map_err(|_| too_long())?;
    let exact = |minutes: i64| {
        let minutes = number
            .checked_mul(minutes)
            .filter(|minutes| *minutes <= HOURS_MAX * 60);
        minutes
            .map(|minutes| Span::Exact(SignedDuration::from_mins(minutes)))
            .ok_or_else(too_long)
    };
    let calendar = |days: i64| {
        let days = number
            .checked_mul(days)
            .and_then(|days| i32::try_from(days).ok());
        days.filter(|days| *days <= DAYS_MAX)
            .map(Span::Days)
            .ok_or_else(too_long)
    };
    match unit {
        "m" => exact(1),
        "h" => exact(60),
        "d" => calendar(1),
        "w" => calendar(7),
        "" => Err(format!(
            "{number} has no unit: write {number}m, {number}h, {number}d or {number}w"
        )),
        _ => Err(match meant_unit(unit.trim()) {
            Some((factor, short)) => format!("{text}: write {}{short}", number * factor),
            None => {
                format!("{unit} is no unit: write m (minutes), h (hours), d (days) or w (weeks)")
            }
        }),
    }
}

/// Reads `15s`, `1m`, `1h`: short waits.
///
/// # Errors
/// The whole sentence that says what to write.
pub(crate) fn seconds(text: &str) -> Result<SignedDuration, String> {
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        _ => return Err(format!("write a number and s, m or h, like 3s, not {text}")),
    };
    let seconds = number.parse::<i64>().ok();
    let seconds = seconds.and_then(|seconds| seconds.checked_mul(factor));
    match seconds.filter(|seconds| *seconds <= HOURS_MAX * 60 * 60) {
        Some(seconds) => Ok(SignedDuration::from_secs(seconds)),
        None => Err(format!("write a number and s, m or h, like 3s, not {text}")),
    }
}

fn meant_unit(unit: &str) -> Option<(i64, char)> {
    let unit = unit.to_lowercase();
    [
        ("min mins minute minutes minuto minutos minuti", 1, 'm'),
        ("h hr hrs hour hours hora horas ora ore", 1, 'h'),
        ("d day days dia dias giorno giorni", 1, 'd'),
        ("w week weeks semana semanas settimana settimane", 1, 'w'),
        ("month months mo mês mes meses mese mesi", 30, 'd'),
        ("m", 1, 'm'),
    ]
    .iter()
    .find(|(words, ..)| words.split(' ').any(|word| word == unit))
    .map(|(_, factor, short)| (*factor, *short))
}

/// Reads `FIELD + DUR`, `FIELD - DUR`, `+ DUR`, `FIELD`, each with or without `at HH:MM`. Whether the
/// field exists and is a time is not asked here.
///
/// # Errors
/// The whole sentence that says what to write.
pub(crate) fn at(text: &str) -> Result<At, String> {
    if text.contains("{{") || text.contains("{%") {
        return Err(format!(
            "at = \"{text}\": no braces in a time: order.created_at + 30d"
        ));
    }
    let (moved, wall) = split_wall(text)?;
    let moved = moved.trim();
    let sign = sign_of(moved);
    let (base, offset) = match sign {
        Some(index) => {
            let (base, rest) = moved.split_at(index);
            (base.trim(), Some(rest))
        }
        None => (moved, None),
    };
    let offset = offset.map(|rest| read_offset(text, rest)).transpose()?;
    if base.is_empty() {
        return match offset {
            Some(Offset { before: true, .. }) => Err(format!(
                "at = \"{text}\": - needs a field before it, like order.created_at - 1d; after the event is +"
            )),
            Some(_) => Ok(At {
                field: None,
                offset,
                wall,
            }),
            None if wall.is_some() => Err(format!(
                "at = \"{text}\": on which day? write +0d at 18:00, or +1d at 18:00"
            )),
            None => {
                Err("at is empty: write +1h, or a field, like order.created_at + 1d".to_owned())
            }
        };
    }
    if base
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_digit())
    {
        return Err(match duration(base) {
            Ok(_) => format!("at = \"{text}\": after the event, or before a field? write +{base}"),
            Err(said) => format!("at = \"{text}\": {said}"),
        });
    }
    let is_field = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.';
    if !base.chars().all(is_field) {
        let words: Vec<&str> = base.split_whitespace().collect();
        return Err(match words.as_slice() {
            [_, ..] if words.len() > 1 && words.iter().all(|word| word.contains('.')) => {
                format!(
                    "at = \"{text}\": two bases, {}: one field only",
                    words.join(" and ")
                )
            }
            _ => format!(
                "at = \"{text}\": write FIELD + 1h, FIELD - 1d, or +1h, and at 18:00 where you want the time of day"
            ),
        });
    }
    Ok(At {
        field: Some(base.to_owned()),
        offset,
        wall,
    })
}

/// The first `+` or `-` that is no part of a word.
fn sign_of(text: &str) -> Option<usize> {
    text.find(['+', '-'])
}

fn read_offset(text: &str, rest: &str) -> Result<Offset, String> {
    let before = rest.starts_with('-');
    let length = rest.get(1..).unwrap_or_default().trim();
    if length.contains(['+', '-']) {
        return Err(format!("at = \"{text}\": one + or - only"));
    }
    if length.contains('.') {
        return Err(format!(
            "at = \"{text}\": two bases: one field only, then + or - and a duration like 24h"
        ));
    }
    let span = duration(length).map_err(|said| format!("at = \"{text}\": {said}"))?;
    Ok(Offset { before, span })
}

fn split_wall(text: &str) -> Result<(&str, Option<Time>), String> {
    let padded_at = text.find(" at ").map(|index| (index, index + 4));
    let leading = text.strip_prefix("at ").map(|_| (0, 3));
    let Some((end, start)) = padded_at.or(leading) else {
        return Ok((text, None));
    };
    let (moved, wall) = (
        text.get(..end).unwrap_or_default(),
        text.get(start..).unwrap_or_default(),
    );
    let wall = clock(wall.trim())
        .filter(|time| *time != Time::MAX)
        .ok_or_else(|| {
            format!(
                "at = \"{text}\": {} is no time of day: write 09:00 to 23:59",
                wall.trim()
            )
        })?;
    Ok((moved, Some(wall)))
}

/// Reads `HH:MM`; `24:00` is [`Time::MAX`].
pub(crate) fn clock(text: &str) -> Option<Time> {
    let (hours, minutes) = text.split_once(':')?;
    let two_digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !two_digits(hours) || !two_digits(minutes) {
        return None;
    }
    let (hours, minutes): (i8, i8) = (hours.parse().ok()?, minutes.parse().ok()?);
    if (hours, minutes) == (24, 0) {
        return Some(Time::MAX);
    }
    Time::new(hours, minutes, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(minutes: i64) -> Span {
        Span::Exact(SignedDuration::from_mins(minutes))
    }

    #[test]
    fn durations() {
        assert_eq!(duration("15m"), Ok(exact(15)));
        assert_eq!(duration("24h"), Ok(exact(1440)));
        assert_eq!(duration("3d"), Ok(Span::Days(3)));
        assert_eq!(duration("1w"), Ok(Span::Days(7)));
        for (typed, said) in [
            ("24", "24 has no unit: write 24m, 24h, 24d or 24w"),
            ("24 hours", "24 hours: write 24h"),
            ("2 months", "2 months: write 60d"),
            (
                "h",
                "\"h\" is no duration: write a number and m, h, d or w, like 24h",
            ),
            (
                "5y",
                "y is no unit: write m (minutes), h (hours), d (days) or w (weeks)",
            ),
            (
                "99999999999999999999h",
                "99999999999999999999h is too long: at most 732d",
            ),
            ("9999999h", "9999999h is too long: at most 732d"),
        ] {
            assert_eq!(duration(typed), Err(said.to_owned()));
        }
    }

    #[test]
    fn short_waits() {
        for (typed, wait) in [("3s", 3), ("0s", 0), ("2m", 120), ("1h", 3_600)] {
            assert_eq!(seconds(typed), Ok(SignedDuration::from_secs(wait)));
        }
        for typed in ["", "3", "s", "3 s", "1d", "-3s", "99999999999999999999s"] {
            assert!(seconds(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn times() {
        let plus = |span| {
            Some(Offset {
                before: false,
                span,
            })
        };
        assert_eq!(
            at("+1h"),
            Ok(At {
                field: None,
                offset: plus(exact(60)),
                wall: None
            })
        );
        assert_eq!(at("+ 1h"), at("+1h"));
        assert_eq!(
            at("order.created_at + 30d at 10:00"),
            Ok(At {
                field: Some("order.created_at".into()),
                offset: plus(Span::Days(30)),
                wall: Time::new(10, 0, 0, 0).ok()
            })
        );
        assert_eq!(
            at("order.created_at-1d").map(|at| at.offset),
            Ok(Some(Offset {
                before: true,
                span: Span::Days(1)
            }))
        );
        assert_eq!(at("order.created_at").map(|at| at.offset), Ok(None));
        for (typed, part) in [
            ("-1h", "- needs a field"),
            ("24h", "write +24h"),
            ("24", "no unit"),
            ("+24 hours", "24 hours: write 24h"),
            ("order.created_at + order.paid_at", "two bases"),
            ("order.created_at order.paid_at + 1h", "two bases"),
            ("order.created_at + 1h + 1h", "one + or - only"),
            ("+1d at 25:00", "no time of day"),
            ("at 18:00", "on which day"),
            ("", "at is empty"),
            ("{{ order.created_at }} + 1h", "no braces"),
            ("tomorrow at noon", "no time of day"),
        ] {
            let said = at(typed).expect_err(typed);
            assert!(said.contains(part), "{typed}: {said}");
        }
    }
}
