//! A message for one person: which form of it, in which language, filled in. Pure; nothing of it is
//! logged.

use super::context::Scope;
use super::expr::{self, EvalError};
use super::locale::{self, Home};
use super::model::{Automation, Automations, ByLocale, MediaKind, Message, Text};
use crate::actions::message::Letter;
use shared::event::Event;

/// Longest free text that WhatsApp takes, in characters.
/// <https://developers.facebook.com/docs/whatsapp/cloud-api/reference/messages>
pub const TEXT_CHARS_MAX: usize = 4_096;
/// Longest body of a template once filled in, in characters.
/// <https://developers.facebook.com/docs/whatsapp/business-management-api/message-templates/components>
pub const TEMPLATE_CHARS_MAX: usize = 1_024;

/// Which of a message's forms goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Free text, or media with or without one.
    Free,
    /// The approved template.
    Template,
}

/// Why there is nothing to send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The job is skipped: the window is closed, or a part came out blank.
    #[error("{0}")]
    Skip(String),
    /// The job is dead: the file has to be mended first. Names parts and sizes, never values.
    #[error("{0}")]
    Dead(String),
}

/// A message as it goes out.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// What the request is made from.
    pub letter: Letter,
    /// BCP 47 of the variant, in which money and dates are written.
    pub locale: String,
    /// Free text or template.
    pub form: Form,
}

/// What a message is made for.
#[derive(Clone, Copy)]
pub struct Occasion<'a> {
    /// The file.
    pub automations: &'a Automations,
    /// Whose `locale` counts; `None` for a message by itself.
    pub automation: Option<&'a Automation>,
    /// Where source and channel are at home.
    pub home: &'a Home<'a>,
    /// What it is about.
    pub event: &'a Event,
    /// The same as fields, with `now`.
    pub scope: &'a Scope,
    /// Whether free text may be sent: less than 24 hours since the person's last message, or a channel
    /// that has no such rule. What is unknown counts as no.
    pub window_open: bool,
}

/// Looks a template up by its uuid and fills it in with values; `None` where its text is not known.
pub type Fill<'a> = &'a (dyn Fn(&str, &[String]) -> Option<String> + Sync);

/// Free text inside the 24 hours, the template outside and wherever there is nothing else.
///
/// # Errors
///
/// [`Unfit::Skip`] where there is no template and the window is closed.
pub fn form(message: &Message, window_open: bool) -> Result<Form, Unfit> {
    // Media of a message with a template is the template's header.
    let has_free =
        message.text.is_some() || (message.media.is_some() && message.template.is_none());
    match (has_free, message.template.is_some()) {
        (true, _) if window_open => Ok(Form::Free),
        (_, true) => Ok(Form::Template),
        _ => Err(Unfit::Skip(
            "24-hour window closed and no template".to_owned(),
        )),
    }
}

/// The locale of the person, before a variant is chosen, see [`locale::preferred`].
pub fn preferred(occasion: &Occasion<'_>) -> String {
    let text = occasion
        .automation
        .and_then(|automation| automation.locale.as_ref());
    // A language that cannot be told is no reason to stay silent.
    let asked = text.and_then(|text| expr::render(text, occasion.scope).ok());
    locale::preferred(
        occasion.automations,
        occasion.home,
        asked.as_deref(),
        occasion.event,
    )
}

/// Renders `message` for the occasion.
///
/// # Errors
///
/// [`Unfit`].
pub fn message(
    message: &Message,
    occasion: &Occasion<'_>,
    fill: Fill<'_>,
) -> Result<Rendered, Unfit> {
    let form = form(message, occasion.window_open)?;
    let writer = Writer::new(message, form, occasion)?;
    let mut letter = Letter::default();
    match form {
        Form::Template => {
            let uuid = message
                .template
                .as_ref()
                .map(|table| writer.pick(table, "template"));
            letter.template = uuid.transpose()?.cloned();
            letter.values = writer.values(message)?;
            let uuid = letter.template.as_deref().unwrap_or_default();
            letter.sentence = fill(uuid, &letter.values);
            let known: usize = letter
                .values
                .iter()
                .map(|value| value.chars().count())
                .sum();
            let length = letter
                .sentence
                .as_ref()
                .map_or(known, |text| text.chars().count());
            within(length, TEMPLATE_CHARS_MAX, "the template filled in")?;
        }
        Form::Free => {
            letter.text = writer.text(message)?;
            letter.sentence.clone_from(&letter.text);
        }
    }
    letter.media = writer.media(message)?;
    Ok(Rendered {
        letter,
        locale: writer.locale,
        form,
    })
}

/// Renders texts of one message in the locale of its variant.
struct Writer {
    locale: String,
    fallback: String,
    scope: Scope,
}

impl Writer {
    /// Chooses the variant, once, from the table of what is sent.
    fn new(message: &Message, form: Form, occasion: &Occasion<'_>) -> Result<Writer, Unfit> {
        let fallback = occasion.automations.defaults.locale.clone();
        let preferred = preferred(occasion);
        let home = occasion.home.channel_locale();
        let find = |tag: Option<String>| tag.ok_or_else(|| no_variant("message"));
        let tag = |table: &ByLocale<Text>| {
            locale::variant(table, &preferred, &fallback, home).map(|(tag, _)| tag)
        };
        let locale = match (form, &message.template, &message.text, &message.media) {
            (Form::Template, Some(table), _, _) => {
                find(locale::variant(table, &preferred, &fallback, home).map(|(tag, _)| tag))?
            }
            (_, _, Some(table), _) => find(tag(table))?,
            (_, _, None, Some(media)) => find(tag(&media.url))?,
            (_, _, None, None) => home.to_owned(),
        };
        let scope = occasion.scope.clone().in_locale(&locale);
        Ok(Writer {
            locale,
            fallback,
            scope,
        })
    }

    fn pick<'t, T>(&self, table: &'t ByLocale<T>, part: &str) -> Result<&'t T, Unfit> {
        let found = locale::variant(table, &self.locale, &self.fallback, &self.locale);
        found
            .map(|(_, value)| value)
            .ok_or_else(|| no_variant(part))
    }

    fn write(&self, text: &Text, part: &str) -> Result<String, Unfit> {
        expr::render(text, &self.scope).map_err(|error| broken(part, &error))
    }

    fn values(&self, message: &Message) -> Result<Vec<String>, Unfit> {
        let Some(table) = &message.values else {
            return Ok(Vec::new());
        };
        let texts = self.pick(table, "values")?;
        let value = |(index, text): (usize, &Text)| {
            let part = format!("value {}", index.saturating_add(1));
            let value = tidy(&self.write(text, &part)?);
            if is_blank(&value) {
                return Err(Unfit::Skip(format!("{part} is blank: {}", text.0)));
            }
            Ok(value)
        };
        texts.iter().enumerate().map(value).collect()
    }

    /// Free text; `None` where there is only media.
    fn text(&self, message: &Message) -> Result<Option<String>, Unfit> {
        let Some(table) = &message.text else {
            return Ok(None);
        };
        let source = self.pick(table, "text")?;
        let text = self.write(source, "text")?.trim().to_owned();
        if is_blank(&text) {
            // A picture without its caption still says something.
            let alone = message.media.is_none();
            return if alone {
                Err(Unfit::Skip(format!("text is blank: {}", source.0)))
            } else {
                Ok(None)
            };
        }
        within(text.chars().count(), TEXT_CHARS_MAX, "the text")?;
        Ok(Some(text))
    }

    fn media(&self, message: &Message) -> Result<Option<(MediaKind, String)>, Unfit> {
        let Some(media) = &message.media else {
            return Ok(None);
        };
        let part = match media.kind {
            MediaKind::Image => "image",
            MediaKind::Document => "document",
            MediaKind::Audio => "audio",
            MediaKind::Video => "video",
        };
        let source = self.pick(&media.url, part)?;
        let url = self.write(source, part)?.trim().to_owned();
        if is_blank(&url) {
            return Err(Unfit::Skip(format!("{part} is blank: {}", source.0)));
        }
        let https = url
            .get(..8)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
        if !https || url.len() == 8 || url.contains(char::is_whitespace) {
            return Err(Unfit::Dead(format!(
                "{part} is no https address: {}",
                source.0
            )));
        }
        Ok(Some((media.kind, url)))
    }
}

fn no_variant(part: &str) -> Unfit {
    Unfit::Dead(format!(
        "{part}: no variant for this locale, nor for the default one"
    ))
}

fn broken(part: &str, error: &EvalError) -> Unfit {
    Unfit::Dead(format!("{part}: {error}"))
}

fn within(length: usize, max: usize, what: &str) -> Result<(), Unfit> {
    if length > max {
        let reason = format!("{what} has {length} characters, WhatsApp takes {max}");
        return Err(Unfit::Dead(reason));
    }
    Ok(())
}

/// A value as WhatsApp takes it: line breaks and tabs become a space, runs of spaces one. The no-break
/// spaces that money and times are written with stay.
pub fn tidy(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.trim().chars() {
        let c = if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            ' '
        } else {
            c
        };
        if c != ' ' || !out.ends_with(' ') {
            out.push(c);
        }
    }
    out
}

/// Nothing that can be seen.
pub(crate) fn is_blank(text: &str) -> bool {
    let unseen = |c: char| {
        c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
    };
    text.chars().all(unseen)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::model::{Media, Purpose};
    use super::super::testing::{automations, order, scope};
    use super::*;

    fn text(source: &str) -> Text {
        Text(source.to_owned())
    }

    fn each<T: Clone>(pairs: &[(&str, T)]) -> ByLocale<T> {
        ByLocale::Each(
            pairs
                .iter()
                .map(|(tag, value)| ((*tag).to_owned(), value.clone()))
                .collect::<BTreeMap<_, _>>(),
        )
    }

    fn empty() -> Message {
        Message {
            text: None,
            template: None,
            values: None,
            media: None,
            purpose: Purpose::Service,
            assign: None,
            team: None,
            bot: None,
        }
    }

    fn with_text(source: &str) -> Message {
        Message {
            text: Some(ByLocale::All(text(source))),
            ..empty()
        }
    }

    fn with_values(values: &[&str]) -> Message {
        let values = values.iter().map(|value| text(value)).collect();
        Message {
            template: Some(each(&[
                ("pt-BR", "t-pt".to_owned()),
                ("en", "t-en".to_owned()),
            ])),
            values: Some(ByLocale::All(values)),
            ..empty()
        }
    }

    fn go(message_: &Message, event: &Event, window_open: bool) -> Result<Rendered, Unfit> {
        let automations = automations();
        let home = Home::of(&automations, event, None);
        let scope = scope(event);
        let occasion = Occasion {
            automations: &automations,
            automation: None,
            home: &home,
            event,
            scope: &scope,
            window_open,
        };
        let fill = |uuid: &str, values: &[String]| {
            (uuid == "t-pt").then(|| format!("Pedido: {}", values.join(" | ")))
        };
        message(message_, &occasion, &fill)
    }

    #[test]
    fn the_window_chooses_the_form() {
        let both = Message {
            text: Some(ByLocale::All(text("oi"))),
            ..with_values(&["a"])
        };
        for (message, open, expected) in [
            (&both, true, Ok(Form::Free)),
            (&both, false, Ok(Form::Template)),
            (&with_values(&["a"]), true, Ok(Form::Template)),
            (&with_values(&["a"]), false, Ok(Form::Template)),
            (&with_text("oi"), true, Ok(Form::Free)),
            (
                &with_text("oi"),
                false,
                Err(Unfit::Skip("24-hour window closed and no template".into())),
            ),
        ] {
            assert_eq!(
                go(message, &order(), open).map(|rendered| rendered.form),
                expected
            );
        }
    }

    #[test]
    fn money_and_dates_are_written_in_the_locale_of_the_variant() {
        let message = with_values(&["{{ order.total | money }}", "{{ order.created_at | date }}"]);
        let mut event = order();
        for (locale, template, values) in [
            (
                "pt-BR",
                "t-pt",
                ["R$\u{a0}129,90", "sábado, 21 de novembro"],
            ),
            (
                "pt-PT",
                "t-pt",
                ["R$\u{a0}129,90", "sábado, 21 de novembro"],
            ),
            ("en-GB", "t-en", ["R$129.90", "Saturday, November 21"]),
            // Neither a German nor a Chinese variant: the default locale's.
            ("de", "t-pt", ["R$\u{a0}129,90", "sábado, 21 de novembro"]),
            (
                "zh-Hant-TW",
                "t-pt",
                ["R$\u{a0}129,90", "sábado, 21 de novembro"],
            ),
        ] {
            event.customer.locale = Some(locale.to_owned());
            let rendered = go(&message, &event, false).unwrap();
            assert_eq!(
                rendered.letter.template.as_deref(),
                Some(template),
                "{locale}"
            );
            assert_eq!(rendered.letter.values, values, "{locale}");
        }
    }

    #[test]
    fn the_sentence_is_known_where_the_template_is() {
        let event = order();
        let letter = go(&with_values(&["{{ order.number }}", "b"]), &event, false)
            .unwrap()
            .letter;
        assert_eq!(letter.sentence.as_deref(), Some("Pedido: #1001 | b"));
        let letter = go(&with_text("Olá {{ customer.first_name }}\n"), &event, true)
            .unwrap()
            .letter;
        assert_eq!(
            (letter.text.as_deref(), letter.sentence.as_deref()),
            (Some("Olá Maria"), Some("Olá Maria"))
        );
    }

    #[test]
    fn what_cannot_be_sent_says_why() {
        let skip = |reason: &str| Err(Unfit::Skip(reason.to_owned()));
        let dead = |reason: &str| Err(Unfit::Dead(reason.to_owned()));
        let long = |n: usize| format!("{{{{ '{}' }}}}", "x".repeat(n));
        let media = |url: &str| Message {
            media: Some(Media {
                kind: MediaKind::Image,
                url: ByLocale::All(text(url)),
            }),
            ..with_text("{{ order.note }}")
        };
        let rows = [
            (
                with_values(&["a", "{{ shipment.company }}"]),
                skip("value 2 is blank: {{ shipment.company }}"),
            ),
            (
                with_values(&["\u{200b} \n"]),
                skip("value 1 is blank: \u{200b} \n"),
            ),
            (
                with_text(" {{ order.note }} "),
                skip("text is blank:  {{ order.note }} "),
            ),
            (
                with_text(&long(4_097)),
                dead("the text has 4097 characters, WhatsApp takes 4096"),
            ),
            (
                with_values(&[&long(1_017)]),
                dead("the template filled in has 1025 characters, WhatsApp takes 1024"),
            ),
            (
                with_text("{{ 'a' | money }}"),
                dead("text: money wants a number (add | number), not a text"),
            ),
            (
                media("http://a.example/x"),
                dead("image is no https address: http://a.example/x"),
            ),
            (
                media("https://"),
                dead("image is no https address: https://"),
            ),
            (
                media("{{ order.status_url }}"),
                skip("image is blank: {{ order.status_url }}"),
            ),
        ];
        for (message, expected) in rows {
            assert_eq!(go(&message, &order(), true).map(|_| ()), expected);
        }
        assert!(go(&with_text(&long(4_096)), &order(), true).is_ok());
        assert!(go(&with_values(&[&long(1_016)]), &order(), true).is_ok());
        let picture = go(
            &media("https://a.example/{{ order.number | digits }}.png"),
            &order(),
            true,
        )
        .unwrap();
        assert_eq!(
            picture.letter.media,
            Some((MediaKind::Image, "https://a.example/1001.png".to_owned()))
        );
        assert_eq!(picture.letter.text, None);
    }

    #[test]
    fn values_are_tidied() {
        assert_eq!(tidy(" a\r\n\tb    c\u{a0}d\u{2028}e "), "a b c\u{a0}d e");
        let rendered = go(&with_values(&["a\n{{ 'b\tc' }}"]), &order(), false).unwrap();
        assert_eq!(rendered.letter.values, ["a b c"]);
    }
}
