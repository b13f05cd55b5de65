//! Every filter, function and test of the language, in one table that documents and registers them.
//!
//! What is absent stays absent through every filter, so that `default` can stand at the end. A value
//! of a kind that a filter cannot take is an error, which names kinds and never shows the value.

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::context::{Moment, Root, moment};
use super::expr::{LIST_MAX, TEXT_BYTES_MAX, bounded, is_absent, kind, printed, root, too_long};
use super::locale::Locale;
use super::{format, hours};
use crate::phone;

/// Items that `summary` names unless told.
const SUMMARY_ITEMS: usize = 3;
/// Most digits after the point that `number` and `round` write.
const DIGITS_MAX: u8 = 8;

/// What an [`Entry`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `value | name`.
    Filter,
    /// `name(…)`.
    Function,
    /// `value is name`.
    Test,
}

/// A line of the language's reference.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: &'static str,
    /// With its arguments: `money`, `money('USD')`.
    pub signature: &'static str,
    /// What it does, a sentence.
    pub about: &'static str,
    /// Locale, text, and what it renders as over the order that [`TABLE`] names: these run as tests.
    pub examples: &'static [(&'static str, &'static str, &'static str)],
}

const fn filter(
    name: &'static str,
    signature: &'static str,
    about: &'static str,
    examples: &'static [(&'static str, &'static str, &'static str)],
) -> Entry {
    Entry {
        kind: Kind::Filter,
        name,
        signature,
        about,
        examples,
    }
}

const fn function(
    name: &'static str,
    signature: &'static str,
    about: &'static str,
    examples: &'static [(&'static str, &'static str, &'static str)],
) -> Entry {
    Entry {
        kind: Kind::Function,
        name,
        signature,
        about,
        examples,
    }
}

const fn test(
    name: &'static str,
    about: &'static str,
    examples: &'static [(&'static str, &'static str, &'static str)],
) -> Entry {
    Entry {
        kind: Kind::Test,
        name,
        signature: name,
        about,
        examples,
    }
}

/// All there is. Examples are over an order of 129.9 BRL of Maria da Silva, read on Sunday,
/// 22 November 2026 at noon in São Paulo.
pub const TABLE: &[Entry] = &[
    filter(
        "money",
        "money, money('USD')",
        "Money as the locale writes it; the currency is the event's, or the argument",
        &[
            ("pt-BR", "{{ 129.9 | money }}", "R$\u{a0}129,90"),
            ("en", "{{ 129.9 | money }}", "R$129.90"),
            ("en", "{{ 1299 | money('USD') }}", "$1,299.00"),
            (
                "it",
                "{{ 1234567.5 | money('EUR') }}",
                "1.234.567,50\u{a0}€",
            ),
            ("en", "{{ 1000 | money('JPY') }}", "¥1,000"),
        ],
    ),
    filter(
        "number",
        "number, number(2)",
        "Text to number; what is none is absent. With digits: printed as the locale writes it",
        &[
            ("en", "{{ '129.90' | number + 1 }}", "130.9"),
            ("pt-BR", "{{ '1.234,56' | number }}", "1234.56"),
            ("pt-BR", "{{ 1234.5 | number(2) }}", "1.234,50"),
            ("en", "{{ 'seven' | number | default('-') }}", "-"),
        ],
    ),
    filter(
        "date",
        "date, date('short'|'long'|'full')",
        "A date; the year appears only where it is not this one, in the styles always",
        &[
            ("it", "{{ now | date }}", "domenica 22 novembre"),
            ("it", "{{ now | date('short') }}", "22/11/2026"),
            ("it", "{{ now | date('long') }}", "22 novembre 2026"),
            (
                "it",
                "{{ now | date('full') }}",
                "domenica 22 novembre 2026",
            ),
            ("it", "{{ '2027-01-08' | date }}", "venerdì 8 gennaio 2027"),
            (
                "pt-BR",
                "{{ now | date('full') }}",
                "domingo, 22 de novembro de 2026",
            ),
        ],
    ),
    filter(
        "time",
        "time",
        "The time of day",
        &[
            ("it", "{{ '2026-11-22T14:30:00-03:00' | time }}", "14:30"),
            (
                "en",
                "{{ '2026-11-22T14:30:00-03:00' | time }}",
                "2:30\u{202f}PM",
            ),
        ],
    ),
    filter(
        "day",
        "day",
        "Today, tomorrow, else as `date`; relative to the moment of sending",
        &[
            ("it", "{{ now | day }}", "oggi"),
            ("it", "{{ '2026-11-23' | day }}", "domani"),
            ("pt-BR", "{{ '2026-11-23' | day }}", "amanhã"),
            ("en", "{{ '2026-11-24' | day }}", "Tuesday, November 24"),
        ],
    ),
    filter(
        "in_zone",
        "in_zone('Europe/Rome')",
        "Before `date`, `time` and `day`; the default zone is the customer's, else the business's",
        &[(
            "it",
            "{{ '2026-11-22T14:30:00-03:00' | in_zone('Europe/Rome') | time }}",
            "18:30",
        )],
    ),
    filter(
        "first_name",
        "first_name",
        "The given name, titles passed over",
        &[
            ("pt-BR", "{{ 'MARIA DA SILVA' | first_name }}", "Maria"),
            ("it", "{{ 'Dott. Mario Rossi' | first_name }}", "Mario"),
            ("it", "{{ 'Sig.ra Anna Bianchi' | first_name }}", "Anna"),
        ],
    ),
    filter(
        "phone",
        "phone",
        "A phone number as people at home write it",
        &[("pt-BR", "{{ '+5511987654321' | phone }}", "(11) 98765-4321")],
    ),
    filter(
        "digits",
        "digits",
        "Only the digits",
        &[(
            "pt-BR",
            "wa.me/{{ '+55 (11) 98765-4321' | digits }}",
            "wa.me/5511987654321",
        )],
    ),
    filter(
        "summary",
        "summary, summary(2)",
        "Items as one line, three unless told",
        &[
            (
                "pt-BR",
                "{{ order.items | summary }}",
                "2× Camiseta, 1× Boné, 1× Meia e mais 2",
            ),
            (
                "es",
                "{{ order.items | summary(2) }}",
                "2× Camiseta, 1× Boné y 3 más",
            ),
            (
                "it",
                "{{ order.items | summary(2) }}",
                "2× Camiseta, 1× Boné e altri 3",
            ),
            (
                "en",
                "{{ order.items | summary(2) }}",
                "2× Camiseta, 1× Boné and 3 more",
            ),
            (
                "fr",
                "{{ order.items | summary(2) }}",
                "2× Camiseta, 1× Boné et 3 de plus",
            ),
            (
                "de",
                "{{ order.items | summary(2) }}",
                "2× Camiseta, 1× Boné und 3 weitere",
            ),
            (
                "pt-BR",
                "{{ order.items | summary(5) }}",
                "2× Camiseta, 1× Boné, 1× Meia, 1× Cinto, 1× Lenço",
            ),
        ],
    ),
    filter(
        "default",
        "default(x)",
        "x where the value is absent or blank",
        &[
            ("en", "{{ order.note | default('none') }}", "none"),
            ("en", "{{ '  ' | default('none') }}", "none"),
            ("en", "{{ 0 | default('none') }}", "0"),
        ],
    ),
    filter(
        "truncate",
        "truncate(n)",
        "At most n characters, cut at a word",
        &[(
            "en",
            "{{ 'a long line of words' | truncate(12) }}",
            "a long line…",
        )],
    ),
    filter(
        "upper",
        "upper",
        "Capital letters",
        &[("pt-BR", "{{ 'olá' | upper }}", "OLÁ")],
    ),
    filter(
        "lower",
        "lower",
        "Small letters",
        &[("it", "{{ 'SÌ' | lower }}", "sì")],
    ),
    filter(
        "trim",
        "trim",
        "Without the spaces around it",
        &[("en", "{{ ' a ' | trim }}", "a")],
    ),
    filter(
        "replace",
        "replace(a, b)",
        "Every a becomes b",
        &[("en", "{{ '#1001' | replace('#', '') }}", "1001")],
    ),
    filter(
        "join",
        "join(', ')",
        "A list as one text",
        &[("en", "{{ customer.tags | join(', ') }}", "vip, b2b")],
    ),
    filter(
        "first",
        "first",
        "First of a list",
        &[("en", "{{ customer.tags | first }}", "vip")],
    ),
    filter(
        "last",
        "last",
        "Last of a list",
        &[("en", "{{ customer.tags | last }}", "b2b")],
    ),
    filter(
        "length",
        "length",
        "How many entries, or characters",
        &[("en", "{{ order.items | length }}", "5")],
    ),
    filter(
        "unique",
        "unique",
        "Each entry once",
        &[("en", "{{ ['a', 'b', 'a'] | unique | join(',') }}", "a,b")],
    ),
    filter(
        "sort",
        "sort",
        "In order, capitals ignored",
        &[("en", "{{ ['b', 'C', 'a'] | sort | join(',') }}", "a,b,C")],
    ),
    filter(
        "round",
        "round, round(2)",
        "To so many digits after the point",
        &[
            ("en", "{{ 2.567 | round(1) }}", "2.6"),
            ("en", "{{ 2.5 | round }}", "3"),
        ],
    ),
    filter(
        "abs",
        "abs",
        "Without its sign",
        &[("en", "{{ -3 | abs }}", "3")],
    ),
    filter(
        "urlencode",
        "urlencode",
        "For a URL",
        &[("en", "{{ 'a b&c' | urlencode }}", "a%20b%26c")],
    ),
    filter(
        "slug",
        "slug",
        "Small letters, digits and hyphens",
        &[(
            "pt-BR",
            "{{ 'Promoção de Verão!' | slug }}",
            "promocao-de-verao",
        )],
    ),
    function(
        "is_open",
        "is_open('studio')",
        "Whether `[hours.studio]` is open now",
        &[("it", "{{ 'yes' if is_open('loja') else 'no' }}", "no")],
    ),
    function(
        "next_open",
        "next_open('studio')",
        "When it opens next (now, where it is open); a time",
        &[(
            "pt-BR",
            "{{ next_open('loja') | day }} às {{ next_open('loja') | time }}",
            "amanhã às 09:00",
        )],
    ),
    function(
        "hours_between",
        "hours_between(a, b)",
        "Hours from a to b, with fractions",
        &[("en", "{{ hours_between(order.created_at, now) }}", "24.5")],
    ),
    function(
        "days_between",
        "days_between(a, b)",
        "Calendar days from a to b",
        &[("en", "{{ days_between(order.created_at, now) }}", "1")],
    ),
    test(
        "present",
        "There, and not blank",
        &[
            ("en", "{{ 'yes' if order.note is present else 'no' }}", "no"),
            (
                "en",
                "{{ 'yes' if order.number is present else 'no' }}",
                "yes",
            ),
        ],
    ),
    test(
        "blank",
        "Absent, empty or only spaces",
        &[("en", "{{ 'yes' if ' ' is blank else 'no' }}", "yes")],
    ),
    test(
        "defined",
        "There, if only blank",
        &[("en", "{{ 'yes' if '' is defined else 'no' }}", "yes")],
    ),
];

/// Registers all of [`TABLE`].
pub(super) fn install(env: &mut Environment<'static>) {
    env.add_filter("money", money);
    env.add_filter("number", number);
    env.add_filter("date", date);
    env.add_filter("time", time);
    env.add_filter("day", day);
    env.add_filter("in_zone", in_zone);
    env.add_filter("first_name", |value: Value| {
        text(&value, "first_name", super::names::first_name)
    });
    env.add_filter("phone", |state: &State<'_, '_>, value: Value| {
        let home = scope(state)?.scope.0.country.clone();
        text(&value, "phone", |number| {
            phone::pretty(number, home.as_deref())
        })
    });
    env.add_filter("digits", |value: Value| {
        text(&value, "digits", |text| {
            text.chars().filter(char::is_ascii_digit).collect()
        })
    });
    env.add_filter("summary", summary);
    env.add_filter(
        "default",
        |value: Value, other: Value| if is_blank(&value) { other } else { value },
    );
    env.add_filter("truncate", |value: Value, n: usize| {
        text(&value, "truncate", |text| truncate(text, n))
    });
    env.add_filter("upper", |value: Value| {
        text(&value, "upper", str::to_uppercase)
    });
    env.add_filter("lower", |value: Value| {
        text(&value, "lower", str::to_lowercase)
    });
    env.add_filter("trim", |value: Value| {
        text(&value, "trim", |text| text.trim().to_owned())
    });
    env.add_filter("replace", replace);
    env.add_filter("join", join);
    env.add_filter("first", |value: Value| edge(&value, "first", false));
    env.add_filter("last", |value: Value| edge(&value, "last", true));
    env.add_filter("length", length);
    env.add_filter("unique", unique);
    env.add_filter("sort", sort);
    env.add_filter("round", round);
    env.add_filter("abs", |value: Value| numeric(&value, "abs", f64::abs));
    env.add_filter("urlencode", |value: Value| {
        text(&value, "urlencode", urlencode)
    });
    env.add_filter("slug", |value: Value| {
        text(&value, "slug", shared::slug::slug)
    });
    env.add_function("is_open", is_open);
    env.add_function("next_open", next_open);
    env.add_function(
        "hours_between",
        |state: &State<'_, '_>, a: Value, b: Value| {
            between(state, &a, &b, |a, b, _| {
                b.duration_since(a).as_secs_f64() / 3600.0
            })
        },
    );
    env.add_function(
        "days_between",
        |state: &State<'_, '_>, a: Value, b: Value| {
            between(state, &a, &b, |a, b, zone| {
                let date = |at: Timestamp| at.to_zoned(zone.clone()).date();
                f64::from((date(b) - date(a)).get_days())
            })
        },
    );
    env.add_test("present", |value: Value| !is_blank(&value));
    env.add_test("blank", |value: Value| is_blank(&value));
    env.add_test("defined", |value: Value| !is_absent(&value));
}

/// Absent, empty, or only spaces.
pub(super) fn is_blank(value: &Value) -> bool {
    is_absent(value) || value.as_str().is_some_and(|text| text.trim().is_empty())
}

fn wrong(filter: &str, wants: &str, value: &Value) -> Error {
    let message = format!("{filter} wants {wants}, not {}", kind(value));
    Error::new(ErrorKind::InvalidOperation, message)
}

fn scope(state: &State<'_, '_>) -> Result<std::sync::Arc<Root>, Error> {
    root(state).ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "there is no event"))
}

/// Text to text; numbers are printed first.
fn text(value: &Value, name: &str, apply: impl FnOnce(&str) -> String) -> Result<Value, Error> {
    if is_absent(value) {
        return Ok(Value::UNDEFINED);
    }
    match value.as_str() {
        Some(text) => bounded(apply(text)).map(Value::from),
        None if value.is_number() => bounded(apply(&printed(value))).map(Value::from),
        None => Err(wrong(name, "a text", value)),
    }
}

fn float(value: &Value) -> Option<f64> {
    let number = value
        .is_number()
        .then(|| f64::try_from(value.clone()).ok())
        .flatten()?;
    number.is_finite().then_some(number)
}

/// Number to number; whole ones stay whole.
fn numeric(value: &Value, name: &str, apply: impl FnOnce(f64) -> f64) -> Result<Value, Error> {
    if is_absent(value) {
        return Ok(Value::UNDEFINED);
    }
    let number = float(value).ok_or_else(|| wrong(name, "a number", value))?;
    Ok(Value::from(apply(number)))
}

fn money(state: &State<'_, '_>, value: &Value, currency: Option<&str>) -> Result<Value, Error> {
    if is_absent(value) {
        return Ok(Value::UNDEFINED);
    }
    let amount = float(value).ok_or_else(|| wrong("money", "a number (add | number)", value))?;
    let root = scope(state)?;
    let inner = &root.scope.0;
    let currency = currency.or(inner.currency.as_deref());
    let currency = currency.filter(|code| code.len() == 3).ok_or_else(|| {
        let message = "money needs a currency: the event has none, write money('BRL')";
        Error::new(ErrorKind::InvalidOperation, message)
    })?;
    let written = format::money(&inner.locale, amount, currency);
    written
        .map(Value::from)
        .ok_or_else(|| wrong("money", "a currency such as 'BRL'", value))
}

fn number(state: &State<'_, '_>, value: &Value, digits: Option<u8>) -> Result<Value, Error> {
    let read = match value.as_str() {
        Some(text) => read_number(text),
        None => float(value),
    };
    let Some(read) = read else {
        return Ok(Value::UNDEFINED);
    };
    match digits {
        None if value.is_number() => Ok(value.clone()),
        None => Ok(Value::from(read)),
        Some(digits) => {
            let root = scope(state)?;
            let written = format::number(&root.scope.0.locale, read, digits.min(DIGITS_MAX));
            Ok(written.map(Value::from).unwrap_or_default())
        }
    }
}

/// `129.90`, `129,90`, `1.234,56`, `1,234.56`. A single comma before three digits may be either, so
/// that it is no number.
fn read_number(text: &str) -> Option<f64> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix(['-', '\u{2212}']) {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) && !digits.starts_with(['.', ',']) {
        return None;
    }
    if !digits
        .chars()
        .all(|c| c.is_ascii_digit() || c == '.' || c == ',')
    {
        return None;
    }
    let plain = match (digits.rfind('.'), digits.rfind(',')) {
        (Some(point), Some(comma)) => {
            let (mark, group) = if point > comma {
                ('.', ',')
            } else {
                (',', '.')
            };
            let (whole, fraction) = digits.rsplit_once(mark)?;
            if !grouped(whole, group) {
                return None;
            }
            format!("{}.{fraction}", whole.replace(group, ""))
        }
        (None, Some(_)) => {
            let (whole, fraction) = digits.split_once(',')?;
            if fraction.contains(',') || fraction.len() == 3 {
                return None;
            }
            format!("{whole}.{fraction}")
        }
        _ => digits.to_owned(),
    };
    let read: f64 = plain.parse().ok()?;
    read.is_finite().then_some(sign * read)
}

/// `1.234.567`: groups of three behind the first.
fn grouped(whole: &str, mark: char) -> bool {
    let mut groups = whole.split(mark);
    let first = groups
        .next()
        .is_some_and(|group| (1..=3).contains(&group.len()));
    let digits = |group: &str| group.chars().all(|c| c.is_ascii_digit());
    first && groups.all(|group| group.len() == 3 && digits(group))
}

/// The instant of a value, and the zone to show it in. Texts (`2026-11-22`, RFC 3339) are read too:
/// free maps hold nothing else.
fn instant(root: &Root, value: &Value) -> Option<(Timestamp, TimeZone)> {
    let zone = root.scope.0.zone.clone();
    if let Some(moment) = value.downcast_object_ref::<Moment>() {
        return Some((moment.at, moment.zone.clone().unwrap_or(zone)));
    }
    let text = value.as_str()?.trim();
    super::times::read_instant(text, &zone).map(|at| (at, zone))
}

/// What to do with an instant; absent for what is absent or a text that is no time.
fn with_instant(
    state: &State<'_, '_>,
    value: &Value,
    name: &str,
    apply: impl FnOnce(&Locale, DateTime, Date) -> Option<String>,
) -> Result<Value, Error> {
    let root = scope(state)?;
    let inner = &root.scope.0;
    match instant(&root, value) {
        Some((at, zone)) => {
            let today = inner.present().to_zoned(zone.clone()).date();
            let written = apply(&inner.locale, at.to_zoned(zone).datetime(), today);
            Ok(written.map(Value::from).unwrap_or_default())
        }
        None if is_absent(value) || value.as_str().is_some() => Ok(Value::UNDEFINED),
        None => Err(wrong(name, "a time", value)),
    }
}

fn date(state: &State<'_, '_>, value: &Value, style: Option<&str>) -> Result<Value, Error> {
    let style = match style {
        None => None,
        Some("short") => Some(format::DateStyle::Short),
        Some("long") => Some(format::DateStyle::Long),
        Some("full") => Some(format::DateStyle::Full),
        Some(_) => {
            let message = "date knows 'short', 'long' and 'full'";
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
    };
    with_instant(state, value, "date", |locale, at, today| match style {
        Some(style) => format::date(locale, at.date(), style),
        None => written_date(locale, at.date(), today),
    })
}

fn written_date(locale: &Locale, date: Date, today: Date) -> Option<String> {
    let this_year = date.year() == today.year();
    let style = if this_year {
        format::DateStyle::NoYear
    } else {
        format::DateStyle::Full
    };
    format::date(locale, date, style)
}

fn time(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    with_instant(state, value, "time", |locale, at, _| {
        format::time(locale, at.time())
    })
}

fn day(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    with_instant(state, value, "day", |locale, at, today| {
        let (now, next) = match locale.language() {
            "pt" => ("hoje", "amanhã"),
            "es" => ("hoy", "mañana"),
            "it" => ("oggi", "domani"),
            "fr" => ("aujourd’hui", "demain"),
            "de" => ("heute", "morgen"),
            "en" => ("today", "tomorrow"),
            _ => return written_date(locale, at.date(), today),
        };
        if at.date() == today {
            Some(now.to_owned())
        } else if today.tomorrow().is_ok_and(|tomorrow| at.date() == tomorrow) {
            Some(next.to_owned())
        } else {
            written_date(locale, at.date(), today)
        }
    })
}

fn in_zone(state: &State<'_, '_>, value: &Value, name: &str) -> Result<Value, Error> {
    let zone = TimeZone::get(name).map_err(|_| {
        Error::new(
            ErrorKind::InvalidOperation,
            "in_zone wants an IANA zone such as 'Europe/Rome'",
        )
    })?;
    let root = scope(state)?;
    match instant(&root, value) {
        Some((at, _)) => Ok(Value::from_object(Moment {
            at,
            zone: Some(zone),
        })),
        None if is_absent(value) || value.as_str().is_some() => Ok(Value::UNDEFINED),
        None => Err(wrong("in_zone", "a time", value)),
    }
}

/// The entries of a list; none where it is absent.
fn entries(value: &Value, name: &str) -> Result<Vec<Value>, Error> {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Ok(Vec::new()),
        ValueKind::Seq | ValueKind::Iterable => {
            let entries: Vec<Value> = value.try_iter()?.take(LIST_MAX + 1).collect();
            if entries.len() > LIST_MAX {
                let message = format!("{name} takes a list of at most {LIST_MAX}");
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
            Ok(entries)
        }
        _ => Err(wrong(name, "a list", value)),
    }
}

fn summary(state: &State<'_, '_>, value: &Value, n: Option<usize>) -> Result<Value, Error> {
    let items = entries(value, "summary")?;
    if items.is_empty() {
        return Ok(Value::UNDEFINED);
    }
    let n = n.unwrap_or(SUMMARY_ITEMS).max(1);
    let shown: Vec<String> = items.iter().take(n).map(item_line).collect();
    let shown = shown.join(", ");
    let rest = items.len().saturating_sub(n);
    if rest == 0 {
        return Ok(Value::from(shown));
    }
    let root = scope(state)?;
    Ok(Value::from(match root.scope.0.locale.language() {
        "pt" => format!("{shown} e mais {rest}"),
        "es" => format!("{shown} y {rest} más"),
        "it" if rest == 1 => format!("{shown} e un altro"),
        "it" => format!("{shown} e altri {rest}"),
        "fr" => format!("{shown} et {rest} de plus"),
        "de" if rest == 1 => format!("{shown} und 1 weiteres"),
        "de" => format!("{shown} und {rest} weitere"),
        _ => format!("{shown} and {rest} more"),
    }))
}

fn item_line(item: &Value) -> String {
    let title = item.get_attr("title").unwrap_or_default();
    let quantity = item.get_attr("quantity").unwrap_or_default();
    match (is_absent(&title), is_absent(&quantity)) {
        (true, _) => printed(item),
        (false, true) => printed(&title),
        (false, false) => format!("{}× {}", printed(&quantity), printed(&title)),
    }
}

/// At most `n` characters with the `…`, cut behind a whole word where there is one.
fn truncate(text: &str, n: usize) -> String {
    if text.chars().count() <= n {
        return text.to_owned();
    }
    let room: String = text.chars().take(n.saturating_sub(1)).collect();
    let whole_word = text
        .chars()
        .nth(room.chars().count())
        .is_some_and(char::is_whitespace);
    let kept = match room.rfind(char::is_whitespace) {
        Some(at) if !whole_word && !room[..at].trim().is_empty() => &room[..at],
        _ => &room,
    };
    format!("{}…", kept.trim_end())
}

fn replace(value: &Value, from: &str, to: &str) -> Result<Value, Error> {
    let found = value.as_str().map_or(0, |text| text.matches(from).count());
    // Told before it is made: a long text put into a long text would be thousands of times as long.
    if found.saturating_mul(to.len()) > TEXT_BYTES_MAX {
        return Err(too_long());
    }
    text(value, "replace", |text| {
        if from.is_empty() {
            text.to_owned()
        } else {
            text.replace(from, to)
        }
    })
}

fn join(value: &Value, separator: Option<&str>) -> Result<Value, Error> {
    if value.as_str().is_some() {
        return Ok(value.clone());
    }
    let entries = entries(value, "join")?;
    let texts: Vec<String> = entries
        .iter()
        .map(printed)
        .filter(|text| !text.is_empty())
        .collect();
    bounded(texts.join(separator.unwrap_or_default())).map(Value::from)
}

fn edge(value: &Value, name: &str, last: bool) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        let edge = if last {
            text.chars().next_back()
        } else {
            text.chars().next()
        };
        return Ok(edge.map(|c| Value::from(c.to_string())).unwrap_or_default());
    }
    let entries = entries(value, name)?;
    let edge = if last {
        entries.last()
    } else {
        entries.first()
    };
    Ok(edge.cloned().unwrap_or_default())
}

fn length(value: &Value) -> Result<usize, Error> {
    match value.as_str() {
        Some(text) => Ok(text.chars().count()),
        None if value.kind() == ValueKind::Map => Ok(value.len().unwrap_or(0)),
        None => entries(value, "length").map(|entries| entries.len()),
    }
}

fn unique(value: &Value) -> Result<Value, Error> {
    if is_absent(value) {
        return Ok(value.clone());
    }
    let mut kept: Vec<Value> = Vec::new();
    for entry in entries(value, "unique")? {
        if !kept.contains(&entry) {
            kept.push(entry);
        }
    }
    Ok(kept.into_iter().collect())
}

fn sort(value: &Value) -> Result<Value, Error> {
    if is_absent(value) {
        return Ok(value.clone());
    }
    let mut entries = entries(value, "sort")?;
    let key = |value: &Value| match value.as_str() {
        Some(text) => Value::from(text.to_lowercase()),
        None => value.clone(),
    };
    entries.sort_by_cached_key(key);
    Ok(entries.into_iter().collect())
}

fn round(value: &Value, digits: Option<u8>) -> Result<Value, Error> {
    let power = 10_f64.powi(i32::from(digits.unwrap_or(0).min(DIGITS_MAX)));
    numeric(value, "round", |number| (number * power).round() / power)
}

/// Everything but letters, digits and `-_.~` is escaped, as in RFC 3986.
fn urlencode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn named_hours<T>(
    state: &State<'_, '_>,
    name: &str,
    ask: impl FnOnce(&super::model::Hours, &TimeZone, Timestamp) -> T,
) -> Result<T, Error> {
    let root = scope(state)?;
    let inner = &root.scope.0;
    let Some(hours) = inner.hours.get(name) else {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("no [hours.{name}]"),
        ));
    };
    let zone = hours
        .timezone
        .as_ref()
        .map_or(&inner.business_zone, |zone| &zone.zone);
    Ok(ask(hours, zone, inner.present()))
}

fn is_open(state: &State<'_, '_>, name: &str) -> Result<bool, Error> {
    named_hours(state, name, hours::is_open)
}

fn next_open(state: &State<'_, '_>, name: &str) -> Result<Value, Error> {
    let next = named_hours(state, name, hours::next_open)?;
    Ok(next.map(moment).unwrap_or_default())
}

fn between(
    state: &State<'_, '_>,
    a: &Value,
    b: &Value,
    apply: impl FnOnce(Timestamp, Timestamp, &TimeZone) -> f64,
) -> Result<Value, Error> {
    let root = scope(state)?;
    for value in [a, b] {
        let is_time = value.downcast_object_ref::<Moment>().is_some() || value.as_str().is_some();
        if !is_absent(value) && !is_time {
            return Err(wrong("between", "two times", value));
        }
    }
    let (Some((a, _)), Some((b, _))) = (instant(&root, a), instant(&root, b)) else {
        return Ok(Value::UNDEFINED);
    };
    Ok(Value::from(apply(a, b, &root.scope.0.zone)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::expr;
    use super::super::model::Text;
    use super::super::testing::{order, scope};
    use super::*;

    fn write(locale: &str, text: &str) -> String {
        match expr::render(&Text(text.to_owned()), &scope(&order()).in_locale(locale)) {
            Ok(out) => out,
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn every_example_of_the_reference_holds() {
        let mut wrong_ones = Vec::new();
        for entry in TABLE {
            assert!(!entry.examples.is_empty(), "{} has no example", entry.name);
            for (locale, text, expected) in entry.examples {
                assert!(
                    text.contains(entry.name),
                    "{text} does not show {}",
                    entry.name
                );
                let got = write(locale, text);
                if got != *expected {
                    wrong_ones.push(format!("{locale} {text}: {got:?}, not {expected:?}"));
                }
            }
        }
        assert!(wrong_ones.is_empty(), "{}", wrong_ones.join("\n"));
    }

    #[test]
    fn the_language_knows_these_names_and_no_others() {
        let (filters, tests, functions) = expr::names();
        let of = |kind: Kind| {
            TABLE
                .iter()
                .filter(|entry| entry.kind == kind)
                .map(|entry| entry.name.to_owned())
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(filters, of(Kind::Filter));
        assert_eq!(tests, of(Kind::Test));
        assert_eq!(functions, of(Kind::Function));
    }

    #[test]
    fn what_is_absent_stays_absent() {
        for entry in TABLE.iter().filter(|entry| entry.kind == Kind::Filter) {
            let call = match entry.name {
                "default" | "length" => continue,
                "in_zone" => "in_zone('Europe/Rome')",
                "truncate" => "truncate(3)",
                "replace" => "replace('a', 'b')",
                name => name,
            };
            let text = format!("[{{{{ order.note | {call} | default('-') }}}}]");
            assert_eq!(write("en", &text), "[-]", "{}", entry.name);
        }
        assert_eq!(write("en", "{{ order.note | length }}"), "0");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_an_error_that_does_not_show_it() {
        let rows = [
            (
                "{{ 'secret' | money }}",
                "error: money wants a number (add | number), not a text",
            ),
            (
                "{{ order.items | upper }}",
                "error: upper wants a text, not a list",
            ),
            (
                "{{ true | date }}",
                "error: date wants a time, not true or false",
            ),
            (
                "{{ 1 | in_zone('GMT-3') }}",
                "error: in_zone wants an IANA zone such as 'Europe/Rome'",
            ),
            (
                "{{ now | date('tiny') }}",
                "error: date knows 'short', 'long' and 'full'",
            ),
            ("{{ is_open('x') }}", "error: no [hours.x]"),
            (
                "{{ hours_between(1, 2) }}",
                "error: between wants two times, not a number",
            ),
            ("{{ 3 | join }}", "error: join wants a list, not a number"),
        ];
        for (text, expected) in rows {
            assert_eq!(write("en", text), expected, "{text}");
        }
    }

    #[test]
    fn numbers_as_people_type_them() {
        let rows = [
            ("7", Some(7.0)),
            (" 129.90 ", Some(129.9)),
            ("129,9", Some(129.9)),
            ("-1.234.567,5", Some(-1_234_567.5)),
            ("1,234.56", Some(1234.56)),
            ("1,234", None),
            ("1.23,45", None),
            ("R$ 10", None),
            ("", None),
            (".", None),
            ("1e3", None),
            ("inf", None),
            ("NaN", None),
        ];
        for (text, expected) in rows {
            assert_eq!(read_number(text), expected, "{text}");
        }
    }

    #[test]
    fn truncates_at_a_word() {
        for (n, expected) in [
            (5, "olá…"),
            (7, "olá…"),
            (9, "olá você…"),
            (10, "olá você…"),
            (40, "olá você aí"),
        ] {
            assert_eq!(truncate("olá você aí", n), expected, "{n}");
        }
        assert_eq!(truncate("semespaço", 4), "sem…");
    }

    #[test]
    fn a_time_in_a_free_map_is_a_text() {
        assert_eq!(
            write("it", "{{ order.attributes.due | date }}"),
            "martedì 1 dicembre"
        );
        assert_eq!(
            write("it", "{{ order.attributes.idade | date | default('?') }}"),
            "?"
        );
    }
}
