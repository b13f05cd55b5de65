//! `[hours.x]`.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::civil::{Date, Weekday};
use toml::de::DeValue;

use super::super::model::{Hours, OpenSpan, WeekdayKey};
use super::super::spec::{WEEKDAY_KEY, WEEKDAYS};
use super::reader::{Ctx, Node, Value};
use super::{at, places};

pub(super) fn hours<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> Hours {
    node.unknown_keys(ctx, |key| days(key).is_some(), &WEEKDAYS);
    let mut week: BTreeMap<WeekdayKey, Vec<OpenSpan>> = BTreeMap::new();
    let mut named: BTreeMap<WeekdayKey, String> = BTreeMap::new();
    for (key, value) in node.table {
        let Some(days) = days(key.get_ref()) else {
            continue;
        };
        let spans = spans(ctx, key.get_ref(), value);
        for day in days {
            let weekday = WeekdayKey::from(day);
            if let Some(earlier) = named.insert(weekday, key.get_ref().to_string()) {
                let name = WEEKDAYS
                    .get(usize::from(day.to_monday_zero_offset().unsigned_abs()))
                    .unwrap_or(&"");
                ctx.error(
                    &key.span(),
                    format!("{name} twice: in {earlier} and in {}", key.get_ref()),
                );
            }
            week.insert(weekday, spans.clone());
        }
    }
    let timezone = ctx.parsed(node, "timezone", |text| places::zone(text, None));
    let dates = dates(ctx, node);
    if named.is_empty() && !node.has("open") {
        let message = format!(
            "{} is open on no day: mon-fri = {}",
            node.path, WEEKDAY_KEY.example
        );
        ctx.error(&node.header, message);
    }
    Hours {
        timezone,
        week,
        dates,
    }
}

/// The days of `mon` or `mon-fri`; a range may run over Sunday.
fn days(key: &str) -> Option<Vec<Weekday>> {
    let day = |text: &str| {
        let index = WEEKDAYS.iter().position(|day| *day == text)?;
        Weekday::from_monday_zero_offset(i8::try_from(index).ok()?).ok()
    };
    match key.split_once('-') {
        None => day(key).map(|day| vec![day]),
        Some((first, last)) => {
            let (first, last) = (day(first)?, day(last)?);
            let mut found = vec![first];
            let mut next = first;
            while next != last {
                next = next.next();
                found.push(next);
            }
            Some(found)
        }
    }
}

/// Spans of one day, ascending.
fn spans<'t>(ctx: &mut Ctx<'t>, key: &str, value: &Value<'t>) -> Vec<OpenSpan> {
    let Some(list) = value.get_ref().as_array() else {
        ctx.error(
            &value.span(),
            format!(
                "{key} is {}: {key} = {}",
                WEEKDAY_KEY.value.words(),
                WEEKDAY_KEY.example
            ),
        );
        return Vec::new();
    };
    let mut found: Vec<(OpenSpan, Range<usize>)> = Vec::new();
    for element in list.iter() {
        let Some(text) = element.get_ref().as_str() else {
            ctx.error(
                &element.span(),
                format!("a span is a text: {key} = {}", WEEKDAY_KEY.example),
            );
            continue;
        };
        match span(text) {
            Ok(span) => found.push((span, element.span())),
            Err(said) => ctx.error(&element.span(), said),
        }
    }
    found.sort_by_key(|(span, _)| span.from);
    for pair in found.windows(2) {
        if let [(earlier, _), (later, place)] = pair
            && later.from < earlier.to
        {
            ctx.error(place, format!("{key}: spans overlap"));
        }
    }
    found.into_iter().map(|(span, _)| span).collect()
}

fn span(text: &str) -> Result<OpenSpan, String> {
    let form = || format!("\"{text}\" is no span: write 09:00-18:00");
    let (from, to) = text.split_once('-').ok_or_else(form)?;
    let (from, to) = (
        at::clock(from.trim()).ok_or_else(form)?,
        at::clock(to.trim()).ok_or_else(form)?,
    );
    if to <= from {
        return Err(format!(
            "\"{text}\" ends before it starts: hours over midnight are written as two days, until 24:00 and from 00:00"
        ));
    }
    Ok(OpenSpan { from, to })
}

fn dates<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> BTreeMap<Date, Vec<OpenSpan>> {
    let mut found = BTreeMap::new();
    if let Some(entry) = node.get("open") {
        match entry.value.get_ref() {
            DeValue::Table(table) => {
                for (key, value) in table {
                    match date(key.get_ref()) {
                        Ok(date) => {
                            let spans = spans(ctx, key.get_ref(), value);
                            found.insert(date, spans);
                        }
                        Err(said) => ctx.error(&key.span(), said),
                    }
                }
            }
            _ => ctx.wrong_type(entry.key, entry.value),
        }
    }
    let Some(entry) = node.get("closed") else {
        return found;
    };
    let Some(list) = entry.value.get_ref().as_array() else {
        ctx.wrong_type(entry.key, entry.value);
        return found;
    };
    for element in list.iter() {
        let text = match element.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Datetime(date) => date.to_string(),
            _ => {
                ctx.wrong_type(entry.key, element);
                continue;
            }
        };
        match date(&text) {
            Ok(date) if found.get(&date).is_some_and(|spans| !spans.is_empty()) => {
                ctx.error(&element.span(), format!("{text} is both closed and open"));
            }
            Ok(date) => {
                found.insert(date, Vec::new());
            }
            Err(said) => ctx.error(&element.span(), said),
        }
    }
    found
}

fn date(text: &str) -> Result<Date, String> {
    let plain = text.len() == 10
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-');
    let parsed = if plain {
        text.parse::<Date>().ok()
    } else {
        None
    };
    parsed.ok_or_else(|| format!("\"{text}\" is no date: write year-month-day, like 2026-12-25"))
}
