//! Interim: the words of a message, until `automations::render` lands.

use super::decide::{Facts, Route};
use crate::actions::message::Letter;
use crate::automations::expr;
use crate::automations::locale;
use crate::automations::model::{ByLocale, Text};

/// Which of a message's forms goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Template,
}

/// Why there is nothing to send.
pub(super) enum Unfit {
    Blank(String),
    Broken(String),
}

/// Fills a message in.
pub(super) fn write(facts: &Facts<'_>, route: &Route<'_>, form: Form) -> Result<Letter, Unfit> {
    let automations = &facts.configured.automations;
    let message = facts.found.message;
    let asked = facts.found.automation.locale.as_ref().and_then(|text| expr::render(text, &route.scope).ok());
    let preferred = locale::preferred(automations, &route.home, asked.as_deref(), &facts.known.event);
    let fallback = automations.defaults.locale.as_str();
    let home = route.home.locale();
    fn pick<'t, T>(table: &'t ByLocale<T>, a: &str, b: &str, c: &str) -> Result<(String, &'t T), Unfit> {
        locale::variant(table, a, b, c).ok_or_else(|| Unfit::Broken("no text for this locale".to_owned()))
    }
    let tag = match (form, &message.template, &message.text, &message.media) {
        (Form::Template, Some(table), _, _) => pick(table, &preferred, fallback, home)?.0,
        (_, _, Some(table), _) => pick(table, &preferred, fallback, home)?.0,
        (_, _, _, Some(media)) => pick(&media.url, &preferred, fallback, home)?.0,
        _ => home.to_owned(),
    };
    let scope = route.scope.clone().in_locale(&tag);
    let fill = |text: &Text| {
        expr::render(text, &scope).map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let broken = |error: expr::EvalError| Unfit::Broken(format!("the text failed: {error}"));
    let mut letter = Letter::default();
    if form == Form::Template {
        if let Some(table) = &message.template {
            letter.template = Some(pick(table, &tag, fallback, home)?.1.clone());
        }
        if let Some(table) = &message.values {
            for (index, text) in pick(table, &tag, fallback, home)?.1.iter().enumerate() {
                let value = fill(text).map_err(broken)?;
                if value.is_empty() {
                    return Err(Unfit::Blank(format!("value {} is blank: {}", index + 1, text.0)));
                }
                letter.values.push(value);
            }
        }
    } else if let Some(table) = &message.text {
        let text = expr::render(pick(table, &tag, fallback, home)?.1, &scope).map_err(broken)?;
        if text.trim().is_empty() {
            return Err(Unfit::Blank("the text is blank".to_owned()));
        }
        letter.sentence = Some(text.clone());
        letter.text = Some(text);
    }
    if let Some(media) = &message.media {
        let url = fill(pick(&media.url, &tag, fallback, home)?.1).map_err(broken)?;
        letter.media = Some((media.kind, url));
    }
    Ok(letter)
}
