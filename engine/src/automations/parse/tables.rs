//! `[defaults]`, `[channel.x]`, `[source.x]`.

use std::collections::BTreeMap;
use std::ops::Range;

use shared::event::Name;
use shared::sources::webhook;
use toml::de::{DeTable, DeValue};

use super::super::diagnostic::{nearest, suggestion};
use super::super::fields;
use super::super::model::{
    ActionKind, Automation, Automations, Channel, ChannelKind, Defaults, IfUnknown, Place,
    SourceTable, Span, Step, Zone,
};
use super::super::spec::{self, GIVE_UP_HOURS_MAX};
use super::reader::{Ctx, Entry, Node, Value};
use super::{at, kinds, places, posts};

/// Messages a second, unless told.
const RATE_DEFAULT: u32 = 20;

pub(super) fn defaults<'t>(ctx: &mut Ctx<'t>, value: Option<&Value<'t>>) -> Defaults {
    let empty = DeTable::new();
    let (table, header) = match value.map(|value| (value.get_ref(), value.span())) {
        None => (&empty, 0..0),
        Some((DeValue::Table(table), span)) => (table, span),
        Some((DeValue::Array(_), span)) => {
            ctx.error(&span, "no [[defaults]]: write [defaults]");
            (&empty, span)
        }
        Some((_, span)) => {
            ctx.error(&span, "defaults is a table: write [defaults]");
            (&empty, span)
        }
    };
    let node = Node {
        spec: &spec::DEFAULTS,
        path: "defaults".to_owned(),
        header,
        table,
    };
    node.unknown_keys(ctx, |_| false, &[]);
    let place = place(ctx, &node);
    let only_to = only_to(ctx, &node, place.country.as_deref());
    Defaults {
        locale: place.locale.unwrap_or_else(|| "en".to_owned()),
        locale_by_country: locale_by_country(ctx, &node),
        country: place.country,
        timezone: place.timezone.unwrap_or_else(|| Zone {
            name: "UTC".to_owned(),
            zone: jiff::tz::TimeZone::UTC,
        }),
        channel: ctx.name_of(&node, "channel").or_else(|| only_channel(ctx)),
        send_hours: ctx.name_of(&node, "send_hours"),
        give_up_after: give_up_after(ctx, &node),
        if_unknown: if_unknown(ctx, &node).unwrap_or(IfUnknown::Hold),
        only_to,
        rate: ctx.int(&node, "rate").unwrap_or(RATE_DEFAULT),
        paused: ctx.bool(&node, "paused").unwrap_or(false),
    }
}

fn only_channel(ctx: &mut Ctx<'_>) -> Option<String> {
    let names = ctx.names.get("channel")?;
    let only = names.first().filter(|_| names.len() == 1)?.clone();
    ctx.used.insert(("channel", only.clone()));
    Some(only)
}

/// `country`, `locale`, `timezone`.
fn place<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> Place {
    let locale = ctx.parsed(node, "locale", places::locale);
    place_with(ctx, node, locale)
}

fn place_with<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>, locale: Option<String>) -> Place {
    let country = ctx.parsed(node, "country", places::country);
    let timezone = ctx.parsed(node, "timezone", |text| {
        places::zone(text, country.as_deref())
    });
    Place {
        country,
        locale,
        timezone,
    }
}

fn locale_by_country<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let Some(entry) = node.get("locale_by_country") else {
        return found;
    };
    let Some(table) = entry.value.get_ref().as_table() else {
        ctx.wrong_type(entry.key, entry.value);
        return found;
    };
    for (key, value) in table {
        let country = places::country(key.get_ref());
        let Some(text) = value.get_ref().as_str() else {
            ctx.wrong_type(entry.key, value);
            continue;
        };
        match (country, places::locale(text)) {
            (Ok(country), Ok(locale)) => {
                found.insert(country, locale);
            }
            (country, locale) => {
                if let Err(said) = country {
                    ctx.error(&key.span(), said);
                }
                if let Err(said) = locale {
                    ctx.error(&value.span(), said);
                }
            }
        }
    }
    found
}

pub(super) fn give_up_after<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> Option<Span> {
    ctx.parsed(node, "give_up_after", |text| {
        let span = at::duration(text)?;
        let minutes = match span {
            Span::Exact(duration) => duration.as_mins(),
            Span::Days(days) => i64::from(days) * 24 * 60,
        };
        if minutes > GIVE_UP_HOURS_MAX * 60 {
            return Err(format!(
                "give_up_after is at most {GIVE_UP_HOURS_MAX}h, not {text}"
            ));
        }
        Ok(span)
    })
}

pub(super) fn if_unknown<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> Option<IfUnknown> {
    let word = ctx.word(node, "if_unknown")?;
    Some(if word == "resend" {
        IfUnknown::Resend
    } else {
        IfUnknown::Hold
    })
}

fn only_to<'t>(
    ctx: &mut Ctx<'t>,
    node: &Node<'_, 't>,
    country: Option<&str>,
) -> Option<Vec<String>> {
    let entry = node.get("only_to")?;
    let mut found = Vec::new();
    for (text, span) in ctx.strings(&entry, false) {
        match phone(text, country) {
            Ok(number) => found.push(number),
            Err(said) => ctx.error(&span, said),
        }
    }
    Some(found)
}

/// E.164.
///
/// # Errors
/// The whole sentence that says what to write.
pub(super) fn phone(text: &str, country: Option<&str>) -> Result<String, String> {
    match crate::phone::read(text, country) {
        Ok(phone) => Ok(phone.e164),
        Err(reason) => Err(format!(
            "\"{text}\" is no valid phone number ({reason}): write it with + and country code, like +5511987654321"
        )),
    }
}

/// 32 hex digits in small letters; dashes are taken out.
pub(super) fn uuid(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let right = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    right.then(|| digits.to_lowercase())
}

pub(super) fn channel<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> Channel {
    node.unknown_keys(ctx, |_| false, &[]);
    let uuid = ctx.parsed(node, "uuid", |text| {
        uuid(text).ok_or_else(|| {
            format!(
                "\"{text}\" is no uuid of 32 hex digits: use the one from \"callbell channels\""
            )
        })
    });
    let kind = match ctx.word(node, "kind") {
        Some("instagram") => ChannelKind::Instagram,
        Some("facebook") => ChannelKind::Facebook,
        Some("telegram") => ChannelKind::Telegram,
        _ => ChannelKind::Whatsapp,
    };
    Channel {
        uuid: uuid.unwrap_or_default(),
        kind,
        place: place(ctx, node),
    }
}

pub(super) fn source<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> SourceTable {
    let name = node
        .path
        .strip_prefix("source.")
        .unwrap_or_default()
        .to_owned();
    let kind = source_kind(ctx, node, &name);
    if kind.is_some() {
        node.unknown_keys(ctx, |_| false, &[]);
    }
    let posts::Own { auth, posts } = posts::own(ctx, node, kind.as_deref());
    // A body may say its language itself.
    let is_own = kind.as_deref().is_none_or(|kind| kind == webhook::KIND);
    let place = match is_own && posts::says_locale(node) {
        true => place_with(ctx, node, None),
        false => place(ctx, node),
    };
    let kind = kind.unwrap_or(name);
    let phone_from = phone_from(ctx, node, &kind);
    let phone_question = ctx.parsed(node, "phone_question", |text| phone_question(&kind, text));
    let channel = ctx.name_of(node, "channel");
    SourceTable {
        kind,
        channel,
        place,
        phone_from,
        phone_question,
        auth,
        posts,
    }
}

/// A regular expression for the questions of a source that asks some.
fn phone_question(kind: &str, text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("phone_question is empty: every question would hold the phone".to_owned());
    }
    if regex_lite::Regex::new(&format!("(?i){text}")).is_err() {
        return Err(format!(
            "phone_question = \"{text}\" is no regular expression: words with | between them are one"
        ));
    }
    match shared::sources::by_kind(kind).is_none_or(|source| source.asks_questions()) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{kind} asks no questions: phone_question is for {}",
            kinds::with_questions().join(", ")
        )),
    }
}

fn source_kind<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>, name: &str) -> Option<String> {
    let (text, span) = match node.get("kind") {
        Some(entry) => (ctx.string(&entry)?, entry.span()),
        None => (name, node.header.clone()),
    };
    if shared::sources::by_kind(text).is_some() {
        return Some(text.to_owned());
    }
    let known = kinds::names();
    let message = if node.get("kind").is_none() {
        format!("[source.{name}] has no kind, and \"{name}\" is none: kind = \"shopify\"")
    } else if let Some(near) = nearest(text, known.iter().copied()) {
        format!("unknown kind \"{text}\"; did you mean {near}?")
    } else {
        format!(
            "unknown kind \"{text}\": known are {}; any JSON is \"{}\"",
            known.join(", "),
            webhook::KIND
        )
    };
    ctx.error(&span, message);
    None
}

fn phone_from<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>, kind: &str) -> Vec<String> {
    let Some(entry) = node.get("phone_from") else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (path, span) in ctx.strings(&entry, false) {
        match kinds::phone_path_problem(kind, path) {
            None => found.push(path.to_owned()),
            Some(problem) => ctx.error(&span, problem),
        }
    }
    found
}

/// Where several channels exist, each step that goes by one must know its own.
pub(super) fn channel_for_each<'t>(ctx: &mut Ctx<'t>, document: &DeTable<'t>, file: &Automations) {
    let nobody_goes = !file.automations.values().any(goes_by_a_channel);
    if file.defaults.channel.is_some() || nobody_goes {
        return;
    }
    let header: Range<usize> = document.get("defaults").map_or(0..0, |value| value.span());
    if file.channels.is_empty() {
        ctx.error(&header, "there is no [channel.x] that could send: add one with the uuid from \"callbell channels\"");
        return;
    }
    let names: Vec<&str> = file.channels.keys().map(String::as_str).collect();
    // A default that was given and is wrong has its own report.
    let given = document
        .get("defaults")
        .and_then(|value| value.get_ref().as_table()?.get("channel"));
    if given.is_some() {
        return;
    }
    let from_source = |name: &String| {
        file.sources
            .get(name)
            .is_some_and(|source| source.channel.is_some())
    };
    let going = file
        .automations
        .values()
        .filter(|one| goes_by_a_channel(one));
    let unclear = going.into_iter().any(|one| {
        let by_source = !one.source.is_empty() && one.source.iter().all(from_source);
        one.channel.is_none() && !by_source && one.steps.iter().any(|step| step.channel.is_none())
    });
    if unclear {
        ctx.doubtful.insert("channel");
        let message = format!(
            "which channel sends? [defaults] channel = \"{}\"; there are: {}",
            names.first().unwrap_or(&""),
            names.join(", ")
        );
        ctx.error(&header, message);
    }
}

/// Whether an automation needs a channel of its own: it writes to a person, or looks one up, of whom the
/// event does not say where they are with us.
fn goes_by_a_channel(one: &Automation) -> bool {
    let is_known = |event: &Name| fields::has_root(*event, "contact");
    let goes = |step: &Step| matches!(step.action.kind, ActionKind::Message | ActionKind::Contact);
    !one.on.iter().all(is_known) && one.steps.iter().any(goes)
}

/// A name or a kind of source, or a list of them.
pub(super) fn sources<'t>(ctx: &mut Ctx<'t>, entry: &Entry<'_, 't>) -> Vec<(String, Range<usize>)> {
    let mut found = Vec::new();
    for (text, span) in ctx.strings(entry, true) {
        let named = ctx
            .names
            .get("source")
            .is_some_and(|names| names.contains(text));
        if named || shared::sources::by_kind(text).is_some() {
            ctx.used.insert(("source", text.to_owned()));
            found.push((text.to_owned(), span));
        } else {
            let names = ctx
                .names
                .get("source")
                .into_iter()
                .flatten()
                .map(String::as_str);
            let known: Vec<&str> = names.chain(kinds::names()).collect();
            ctx.error(
                &span,
                format!("no source \"{text}\"{}", suggestion(text, known)),
            );
        }
    }
    found
}
