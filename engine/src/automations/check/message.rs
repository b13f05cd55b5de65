//! `[message.x]`: its texts over every event that makes it, and what Callbell says of its templates.

use std::collections::BTreeSet;

use shared::event::Name;

use super::super::fields::{self, FieldType, Lookup};
use super::super::model::{ByLocale, Media, MediaKind, Message, Purpose, Text};
use super::super::parse::{key_of, places::language};
use super::super::spec::{TEMPLATE_CHARS_MAX, TEXT_CHARS_MAX};
use super::super::syntax::{self, Found};
use super::super::templates::Template;
use super::strings::{Rendered, Subject};
use super::{Checker, Use};

/// What a text is for, which decides what blank means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Of a message.
    Text,
    /// Of a template.
    Value,
    /// An address.
    Url,
    /// Read by people, or a model, elsewhere than on WhatsApp.
    Line,
    /// Goes into a field of another system, in its own type where it is one `{{ … }}`. Blank is left out.
    Field,
    /// Goes into a cell of a sheet.
    Cell,
}

/// The value of a table for a locale, and the suffix of its path: `.pt-BR` or nothing.
fn pick<'v, T>(table: &'v ByLocale<T>, locale: &str) -> Option<(String, &'v T)> {
    match table {
        ByLocale::All(value) => Some((String::new(), value)),
        ByLocale::Each(each) => each.get(locale).map(|value| (format!(".{locale}"), value)),
    }
}

fn locales<T>(table: &ByLocale<T>) -> Option<BTreeSet<String>> {
    match table {
        ByLocale::All(_) => None,
        ByLocale::Each(each) => Some(each.keys().cloned().collect()),
    }
}

/// The field that a text without braces names: `order.number` alone, or `{ order.number }`.
fn meant_field(text: &str) -> Option<&str> {
    let in_braces = text
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| name);
    let is_field = |name: &&str| matches!(fields::lookup(name), Lookup::Field(_) | Lookup::Free(_));
    std::iter::once(text)
        .chain(in_braces)
        .map(str::trim)
        .filter(|name| name.contains('.'))
        .find(is_field)
}

/// Which kinds of fields a text hands over as what they are: all of them where it is one `{{ … }}` and goes
/// into a field, in a cell those that are no list or table.
fn is_typed(text: &str, part: Part) -> fn(FieldType) -> bool {
    match part {
        Part::Field if is_one_value(text) => |_| true,
        Part::Cell if is_one_value(text) => |kind| {
            !matches!(
                kind,
                FieldType::Items | FieldType::List | FieldType::FreeMap | FieldType::Group
            )
        },
        _ => |_| false,
    }
}

/// Whether a text is just one `{{ … }}`, and so keeps the type of its value.
fn is_one_value(text: &str) -> bool {
    let text = text.trim();
    let inner = text
        .strip_prefix("{{")
        .and_then(|rest| rest.strip_suffix("}}"));
    inner.is_some_and(|inner| !inner.contains("{{") && !inner.contains("{%"))
}

/// `an image`, `a video`.
fn article(medium: &str) -> String {
    let vowel = medium.starts_with(['a', 'i']);
    format!("{} {medium}", if vowel { "an" } else { "a" })
}

impl Checker<'_> {
    pub(super) fn message(&mut self, name: &str, message: &Message, usage: &Use) {
        let chosen = self.locales_of(name, message);
        let events: Vec<Name> = usage.events.iter().copied().collect();
        let mut filled: Vec<(String, Vec<String>)> = Vec::new();
        for locale in &chosen {
            let part = |key: &str, suffix: &str| format!("message.{name}.{key}{suffix}");
            let check = |checker: &mut Self, path: &str, label: &str, text: &Text, kind: Part| {
                let to_customer = !usage.to_others;
                let subject = Subject {
                    path,
                    label,
                    events: &events,
                    asked_once: false,
                    to_customer,
                };
                checker.part(&subject, text, kind, Some(locale))
            };
            if let Some((suffix, text)) =
                message.text.as_ref().and_then(|table| pick(table, locale))
            {
                check(
                    self,
                    &part("text", &suffix),
                    &format!("text{suffix} of {name}"),
                    text,
                    Part::Text,
                );
            }
            if let Some(Media { kind, url }) = &message.media
                && let Some((suffix, url)) = pick(url, locale)
            {
                let key = key_of(*kind);
                check(
                    self,
                    &part(key, &suffix),
                    &format!("{key}{suffix} of {name}"),
                    url,
                    Part::Url,
                );
            }
            let mut values = Vec::new();
            if let Some((suffix, list)) = message
                .values
                .as_ref()
                .and_then(|table| pick(table, locale))
            {
                for (index, value) in list.iter().enumerate() {
                    let path = format!("{}[{index}]", part("values", &suffix));
                    let label = format!("values{suffix}[{}] of {name}", index + 1);
                    values.push(check(self, &path, &label, value, Part::Value).unwrap_or_default());
                }
            }
            filled.push((locale.clone(), values));
        }
        self.templates_of(name, message, &filled);
    }

    /// The locales in which a message exists: those of the table of what is sent, else the default.
    fn locales_of(&mut self, name: &str, message: &Message) -> Vec<String> {
        let default = self.file.defaults.locale.clone();
        let media = message.media.as_ref();
        let tables = [
            ("template", message.template.as_ref().map(locales)),
            ("text", message.text.as_ref().map(locales)),
            (
                media.map_or("image", |media| key_of(media.kind)),
                media.map(|media| locales(&media.url)),
            ),
            ("values", message.values.as_ref().map(locales)),
        ];
        let mut present = tables
            .into_iter()
            .filter_map(|(key, table)| table.map(|table| (key, table)));
        let Some((chosen_key, chosen)) = present.next() else {
            return Vec::new();
        };
        if let Some(chosen) = &chosen
            && !chosen
                .iter()
                .any(|locale| language(locale) == language(&default))
        {
            let span = self.site(&format!("message.{name}.{chosen_key}"));
            let list = chosen
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", ");
            self.error(&span, format!("{name}: {chosen_key} has {list} and no {default}, the default locale: add {chosen_key}.{default}"));
        }
        let needed = chosen.clone().unwrap_or_else(|| BTreeSet::from([default]));
        for (key, table) in present {
            let Some(table) = table else { continue };
            let span = self.site(&format!("message.{name}.{key}"));
            for locale in needed.difference(&table) {
                let why = if chosen.is_some() {
                    format!("{chosen_key} has")
                } else {
                    "the default locale".to_owned()
                };
                self.error(
                    &span,
                    format!("{name}: {key} has no {locale}, {why}: add {key}.{locale}"),
                );
            }
            for locale in table.difference(&needed) {
                self.warning(
                    &span,
                    format!("{name}: {key}.{locale} is never used: {chosen_key} has no {locale}"),
                );
            }
        }
        needed.into_iter().collect()
    }

    /// One text, of a message in one locale; what it is with the full sample.
    pub(super) fn part(
        &mut self,
        subject: &Subject<'_>,
        text: &Text,
        part: Part,
        locale: Option<&str>,
    ) -> Option<String> {
        // What could not be read was reported by the parser.
        if !self.sites.contains_key(subject.path) {
            return None;
        }
        let Ok(found) = syntax::text(&text.0) else {
            return None;
        };
        if syntax::is_literal(&text.0) {
            self.literal(subject, &text.0, part);
            return Some(text.0.clone());
        }
        let named = self.names(subject, &found) & self.orderings(subject, &found);
        self.words(subject, &found);
        self.bare(subject, &found, is_typed(&text.0, part));
        let may_be_blank = part == Part::Value && self.optional_values(subject, &found);
        if !named || subject.events.is_empty() || self.failed.contains(subject.path) {
            return None;
        }
        let rendered = self.rendered(subject, text, &found, locale);
        // Whether a file comes with what a system posts is the system's affair: without one the message is
        // skipped.
        let is_the_sender_s = part == Part::Url && !Checker::free_paths(&found).is_empty();
        if !rendered.failed && !may_be_blank && !is_the_sender_s {
            self.blank(subject, part, &rendered);
        }
        if let Some(full) = &rendered.full {
            self.sampled(subject, full, part);
        }
        rendered.full
    }

    fn literal(&mut self, subject: &Subject<'_>, text: &str, part: Part) {
        let span = self.site(subject.path);
        let may_be_blank = matches!(part, Part::Field | Part::Cell);
        if text.trim().is_empty() && !may_be_blank {
            self.error(&span, format!("{} is blank", subject.label));
        }
        let length = text.chars().count();
        if part == Part::Text && length > TEXT_CHARS_MAX {
            self.error(
                &span,
                format!(
                    "{} has {length} characters: WhatsApp takes {TEXT_CHARS_MAX}",
                    subject.label
                ),
            );
        }
        if let Some(field) = meant_field(text) {
            self.warning(
                &span,
                format!(
                    "{} has the plain words {field}: write {{{{ {field} }}}}",
                    subject.label
                ),
            );
        }
    }

    /// What prints in a form that no customer should read. `typed` says which kinds of fields arrive as
    /// they are.
    fn bare(&mut self, subject: &Subject<'_>, found: &Found, typed: fn(FieldType) -> bool) {
        for field in &found.fields {
            let Some(filters) = &field.filters else {
                continue;
            };
            let Lookup::Field(known) = fields::lookup(&field.path) else {
                continue;
            };
            if typed(known.kind)
                || field.path.ends_with("[]")
                || filters.iter().any(|filter| filter != "default")
            {
                continue;
            }
            let said = match known.kind {
                FieldType::Money => "prints as a bare number: add | money",
                FieldType::Time => "prints as a bare time stamp: add | date or | time",
                FieldType::Items => "prints as a bare list: add | summary",
                FieldType::List => "prints as a bare list: add | join(', ')",
                FieldType::FreeMap | FieldType::Group => {
                    "prints as a bare table: name a field of it"
                }
                _ => continue,
            };
            let span = self.inside(subject.path, &field.span);
            self.warning(&span, format!("{} in {} {said}", field.path, subject.label));
        }
    }

    /// Reports fields that may be absent and go into a template's value without `default`.
    fn optional_values(&mut self, subject: &Subject<'_>, found: &Found) -> bool {
        let mut any = false;
        for field in found.fields.iter().filter(|field| field.printed) {
            let optional = match fields::lookup(&field.path) {
                Lookup::Field(known) => {
                    fields::is_optional_in(known, subject.events)
                        && !(subject.to_customer && field.path == "customer.phone")
                }
                Lookup::Free(_) => true,
                Lookup::Unknown => false,
            };
            if optional {
                any = true;
                let span = self.inside(subject.path, &field.span);
                self.error(
                    &span,
                    format!(
                        "{} may be blank ({}): add | default('…')",
                        subject.label, field.path
                    ),
                );
            }
        }
        any
    }

    fn blank(&mut self, subject: &Subject<'_>, part: Part, rendered: &Rendered) {
        let Some(blank) = &rendered.blank else { return };
        if matches!(part, Part::Field | Part::Cell) {
            return;
        }
        self.failed.insert(subject.path.to_owned());
        let span = self.site(subject.path);
        let mend = if part == Part::Url {
            ""
        } else {
            ": add | default('…')"
        };
        self.error(
            &span,
            format!("{} comes out blank {blank}{mend}", subject.label),
        );
    }

    /// What the full sample shows.
    fn sampled(&mut self, subject: &Subject<'_>, full: &str, part: Part) {
        let span = self.site(subject.path);
        let length = full.chars().count();
        if part == Part::Text && length > TEXT_CHARS_MAX {
            self.error(&span, format!("{} has {length} characters with the full sample: WhatsApp takes {TEXT_CHARS_MAX}", subject.label));
        }
        if part == Part::Url && !full.trim().is_empty() && !full.trim().starts_with("https://") {
            self.error(
                &span,
                format!(
                    "{} comes out as no https address with the full sample",
                    subject.label
                ),
            );
        }
    }

    /// Everything that `templates.json`, or the account, tells.
    fn templates_of(&mut self, name: &str, message: &Message, filled: &[(String, Vec<String>)]) {
        let Some(templates) = self.templates else {
            return;
        };
        let Some(table) = &message.template else {
            return;
        };
        for (locale, values) in filled {
            let Some((suffix, uuid)) = pick(table, locale) else {
                continue;
            };
            let path = format!("message.{name}.template{suffix}");
            let span = self.site(&path);
            let label = if suffix.is_empty() {
                name.to_owned()
            } else {
                format!("{name}, {locale}")
            };
            let Some(template) = templates.get(uuid) else {
                let again = if self.kept {
                    ", or pull them again"
                } else {
                    ""
                };
                self.error(
                    &span,
                    format!(
                        "{label}: Callbell has no template {uuid}: see callbell templates{again}"
                    ),
                );
                continue;
            };
            self.template(&label, &path, template, message);
            self.placeholders(name, &label, template, message, locale, values);
        }
        self.category(name, message);
    }

    fn template(&mut self, label: &str, path: &str, template: &Template, message: &Message) {
        let span = self.site(path);
        let status = template.status.to_lowercase();
        if !status.is_empty() && status != "approved" {
            self.error(
                &span,
                format!("{label}: its template is {status} at Callbell"),
            );
        }
        let media = message.media.as_ref().map(|media| media.kind);
        let wanted = match template.template_type.to_lowercase().as_str() {
            "image" => Some(MediaKind::Image),
            "video" => Some(MediaKind::Video),
            "document" => Some(MediaKind::Document),
            "text" => None,
            // A kind that we do not know, or a file that does not say: nothing to compare.
            _ => return,
        };
        match (wanted, media) {
            (Some(wanted), None) => {
                let key = key_of(wanted);
                self.error(
                    &span,
                    format!(
                        "{label}: its template begins with {}: add {key} = \"https://…\"",
                        article(key)
                    ),
                );
            }
            (None, Some(given)) => {
                self.error(
                    &span,
                    format!(
                        "{label}: its template is text alone, and the message has {}",
                        article(key_of(given))
                    ),
                );
            }
            (Some(wanted), Some(given)) if wanted != given => {
                let (wanted, given) = (article(key_of(wanted)), article(key_of(given)));
                self.error(
                    &span,
                    format!(
                        "{label}: its template begins with {wanted}, and the message has {given}"
                    ),
                );
            }
            _ => {}
        }
    }

    fn placeholders(
        &mut self,
        name: &str,
        label: &str,
        template: &Template,
        message: &Message,
        locale: &str,
        values: &[String],
    ) {
        let given = match message.values.as_ref() {
            None => 0,
            Some(table) => match pick(table, locale) {
                Some((_, list)) => list.len(),
                // The missing locale has its own report.
                None => return,
            },
        };
        let span = self.site(&format!("message.{name}"));
        let wanted = template.placeholders();
        if wanted != given {
            let plural = if wanted == 1 { "" } else { "s" };
            self.error(
                &span,
                format!(
                    "{label}: the template has {wanted} placeholder{plural}, values has {given}"
                ),
            );
        } else if template.fill(values).chars().count() > TEMPLATE_CHARS_MAX {
            self.warning(&span, format!("{label}: filled in from the full sample it has more than {TEMPLATE_CHARS_MAX} characters, the most that WhatsApp takes"));
        }
    }

    fn category(&mut self, name: &str, message: &Message) {
        let (Some(templates), Some(table)) = (self.templates, &message.template) else {
            return;
        };
        let uuids: Vec<&String> = match table {
            ByLocale::All(uuid) => vec![uuid],
            ByLocale::Each(each) => each.values().collect(),
        };
        let marketing = uuids
            .iter()
            .filter_map(|uuid| templates.get(uuid))
            .any(|template| template.category.eq_ignore_ascii_case("marketing"));
        if marketing && message.purpose == Purpose::Service {
            let span = self.site(&format!("message.{name}"));
            self.warning(
                &span,
                format!("{name} is purpose = \"service\", its template is MARKETING at Callbell"),
            );
        }
    }
}
