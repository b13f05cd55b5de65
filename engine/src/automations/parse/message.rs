//! `[message.x]`, and texts and expressions of all tables.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::DeValue;

use super::super::diagnostic::nearest;
use super::super::model::{ActionKind, ByLocale, Expr, Media, MediaKind, Message, Purpose, Text};
use super::super::syntax;
use super::actions::{bot, not_blank};
use super::reader::{Ctx, Entry, Node, Value};
use super::{places, tables};

const MEDIA: [(&str, MediaKind); 4] = [
    ("image", MediaKind::Image),
    ("document", MediaKind::Document),
    ("audio", MediaKind::Audio),
    ("video", MediaKind::Video),
];

pub(super) fn message<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> Message {
    node.unknown_keys(ctx, |_| false, &[]);
    let text = by_locale(ctx, node, "text", text);
    let template = by_locale(ctx, node, "template", template);
    let values = by_locale(ctx, node, "values", texts);
    let media = media(ctx, node);
    let has_media = MEDIA.iter().any(|(key, _)| node.has(key));
    if !node.has("text") && !node.has("template") && !has_media {
        let message = format!(
            "{} says nothing: it needs text, template, or image, document, audio or video",
            node.path
        );
        ctx.error(&node.header, message);
    }
    if node.has("values") && !node.has("template") {
        let span = node
            .get("values")
            .map_or_else(|| node.header.clone(), |entry| entry.span());
        ctx.error(
            &span,
            "values fill the placeholders of a template, and there is no template".to_owned(),
        );
    }
    if node.has("template") && node.has("audio") {
        ctx.error(
            &node.header,
            format!(
                "{}: no template of WhatsApp has a sound: audio goes with text or alone",
                node.path
            ),
        );
    }
    let marketing = ctx.word(node, "purpose") == Some("marketing");
    Message {
        text,
        template,
        values,
        media,
        purpose: if marketing {
            Purpose::Marketing
        } else {
            Purpose::Service
        },
        assign: ctx.parsed(node, "assign", email),
        team: ctx.parsed(node, "team", |text| not_blank("team", text)),
        bot: bot(ctx, node),
    }
}

pub(super) fn email(text: &str) -> Result<String, String> {
    let right = text
        .split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
    if right && !text.contains(char::is_whitespace) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "\"{text}\" is no e-mail address: assign = \"ana@minhaloja.com.br\""
    ))
}

fn media<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> Option<Media> {
    let mut found: Option<Media> = None;
    for (key, kind) in MEDIA {
        let Some(entry) = node.get(key) else { continue };
        if let Some(earlier) = &found {
            let message = format!(
                "{}: {} and {key}: one of them only",
                node.path,
                key_of(earlier.kind)
            );
            ctx.error(&entry.span(), message);
            continue;
        }
        if let Some(url) = by_locale(ctx, node, key, url) {
            found = Some(Media { kind, url });
        }
    }
    found
}

/// The key that makes a medium.
pub(crate) fn key_of(kind: MediaKind) -> &'static str {
    MEDIA
        .iter()
        .find(|(_, one)| *one == kind)
        .map_or("image", |(key, _)| key)
}

/// One value, or a table by locale. A table whose values are all wrong is nothing.
pub(super) fn by_locale<'t, T>(
    ctx: &mut Ctx<'t>,
    node: &Node<'_, 't>,
    key: &'static str,
    mut read: impl FnMut(&mut Ctx<'t>, &Entry<'_, 't>) -> Option<T>,
) -> Option<ByLocale<T>> {
    let entry = node.get(key)?;
    let DeValue::Table(table) = entry.value.get_ref() else {
        return read(ctx, &entry).map(ByLocale::All);
    };
    let mut found = BTreeMap::new();
    let first = table
        .keys()
        .map(Spanned::span)
        .min_by_key(|span| span.start);
    ctx.site(&entry.path, &first.unwrap_or_else(|| entry.span()));
    if table.is_empty() {
        ctx.error(
            &entry.span(),
            format!("{key} has no locale: {key}.pt-BR = …"),
        );
    }
    for (name, value) in table {
        let locale = match places::locale(name.get_ref()) {
            Ok(locale) => locale,
            Err(said) => {
                ctx.error(&name.span(), said);
                continue;
            }
        };
        if value.get_ref().is_table() {
            ctx.error(
                &value.span(),
                format!(
                    "{key}.{locale} is a table: write {key}.{locale} = {}",
                    entry.key.example
                ),
            );
            continue;
        }
        let inner = Entry {
            key: entry.key,
            path: format!("{}.{locale}", entry.path),
            value,
        };
        if let Some(one) = read(ctx, &inner)
            && found.insert(locale.clone(), one).is_some()
        {
            ctx.error(&name.span(), format!("{key}.{locale} twice"));
        }
    }
    (!found.is_empty()).then_some(ByLocale::Each(found))
}

fn template<'t>(ctx: &mut Ctx<'t>, entry: &Entry<'_, 't>) -> Option<String> {
    let text = ctx.string(entry)?;
    let found = tables::uuid(text);
    match &found {
        Some(_) => ctx.site(&entry.path, &entry.span()),
        None => {
            let message = format!(
                "\"{text}\" is no uuid of 32 hex digits: use the uuid from \"callbell templates\""
            );
            ctx.error(&entry.span(), message);
        }
    }
    found
}

fn texts<'t>(ctx: &mut Ctx<'t>, entry: &Entry<'_, 't>) -> Option<Vec<Text>> {
    let DeValue::Array(list) = entry.value.get_ref() else {
        ctx.wrong_type(entry.key, entry.value);
        return None;
    };
    ctx.site(&entry.path, &entry.span());
    let mut found = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let inner = Entry {
            key: entry.key,
            path: format!("{}[{index}]", entry.path),
            value,
        };
        // A wrong text keeps its place, so that the others are still counted and numbered rightly.
        found.push(text(ctx, &inner).unwrap_or_else(|| Text(String::new())));
    }
    Some(found)
}

fn url<'t>(ctx: &mut Ctx<'t>, entry: &Entry<'_, 't>) -> Option<Text> {
    let found = text(ctx, entry)?;
    let literal = found.0.split("{{").next().unwrap_or_default();
    let start = literal.get(..8.min(literal.len())).unwrap_or_default();
    let computed = !syntax::is_literal(&found.0) && literal.is_empty();
    if !computed && !start.eq_ignore_ascii_case("https://") {
        ctx.error(
            &entry.span(),
            format!(
                "{} is no https address: it starts with https://",
                entry.key.name
            ),
        );
        return None;
    }
    Some(found)
}

/// A Jinja text, checked to be one.
pub(super) fn text<'t>(ctx: &mut Ctx<'t>, entry: &Entry<'_, 't>) -> Option<Text> {
    let raw = ctx.string(entry)?;
    if let Err(problem) = syntax::text(raw) {
        let span = inside(ctx, entry.value, problem.line);
        let message = match ["include", "import", "extends", "macro", "block", "call"]
            .iter()
            .find(|word| {
                problem
                    .message
                    .contains(&format!("unknown statement {word}"))
            }) {
            Some(word) => format!("no {word} in a text: messages are written out"),
            None => format!("{}: {}", entry.key.name, problem.message),
        };
        ctx.error(&span, message);
        return None;
    }
    ctx.site(&entry.path, &entry.span());
    Some(Text(raw.to_owned()))
}

/// An expression without braces, checked to be one and to name a field.
pub(super) fn expr<'t>(ctx: &mut Ctx<'t>, entry: &Entry<'_, 't>) -> Option<Expr> {
    let raw = ctx.string(entry)?;
    let name = entry.key.name;
    if raw.contains("{{") || raw.contains("{%") {
        let bare = raw.replace("{{", "").replace("}}", "");
        let bare = bare.split_whitespace().collect::<Vec<_>>().join(" ");
        let instead = (!raw.contains("{%") && syntax::expression(&bare).is_ok()).then_some(bare);
        let message = match &instead {
            Some(bare) => format!("{name} = \"{raw}\": no braces in an expression: {bare}"),
            None => format!("{name} = \"{raw}\": no braces in an expression"),
        };
        ctx.error(&entry.span(), message);
        if let Some(last) = ctx.diagnostics.last_mut() {
            last.instead = instead;
        }
        return None;
    }
    match syntax::expression(raw) {
        Err(problem) => {
            let span = inside(ctx, entry.value, problem.line);
            let message = if raw.trim().is_empty() {
                format!(
                    "{name} is empty: leave it out, or write {name} = {}",
                    entry.key.example
                )
            } else if assigns(raw) {
                format!("{name} = \"{raw}\": one = compares nothing: write ==")
            } else if raw.contains("&&")
                || raw.contains("||")
                || raw.contains('!') && !raw.contains("!=")
            {
                format!("{name} = \"{raw}\": write and, or, not")
            } else {
                format!("{name} = \"{raw}\": {}", problem.message)
            };
            ctx.error(&span, message);
            None
        }
        Ok(found) if found.fields.is_empty() && found.functions.is_empty() => {
            ctx.error(
                &entry.span(),
                format!("{name} = \"{raw}\" names no field: it would always come out the same"),
            );
            None
        }
        Ok(_) => {
            ctx.site(&entry.path, &entry.span());
            Some(Expr(raw.to_owned()))
        }
    }
}

/// Whether a text has an `=` that is no part of `==`, `!=`, `<=`, `>=`.
fn assigns(text: &str) -> bool {
    let padded = format!(" {text} ");
    padded.as_bytes().windows(3).any(|three| {
        matches!(three, [before, b'=', after] if !b"=!<>".contains(before) && *after != b'=')
    })
}

/// The place of a line of a string of several lines.
fn inside<'t>(ctx: &Ctx<'t>, value: &Value<'t>, line: usize) -> std::ops::Range<usize> {
    let span = value.span();
    if line <= 1 {
        return span;
    }
    let raw = ctx.source.text.get(span.clone()).unwrap_or_default();
    // The line after the opening quotes of a multi-line string is its first.
    let trimmed = usize::from(raw.starts_with("\"\"\"\n") || raw.starts_with("'''\n"));
    let start = raw
        .match_indices('\n')
        .nth(line - 2 + trimmed)
        .map_or(0, |(index, _)| index + 1);
    span.start + start..span.end
}

/// The action of an automation or step: exactly one.
pub(super) fn unknown_action(key: &str) -> Option<&'static str> {
    nearest(key, ActionKind::ALL.into_iter().map(ActionKind::as_str))
}
