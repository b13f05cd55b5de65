//! Which language a message is in, and where a source and a channel are at home.

use std::fmt;

use shared::event::Event;

use super::model::{Automation, Automations, ByLocale, Place, Step, Zone};

/// A locale that icu can read. What is none becomes English.
#[derive(Clone, PartialEq, Eq)]
pub struct Locale(pub(super) icu_locale_core::Locale);

impl fmt::Debug for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Locale {
    /// Reads BCP 47 in any case, `pt_BR` too.
    pub fn read(tag: &str) -> Locale {
        Locale::parse(tag).unwrap_or(Locale(icu_locale_core::locale!("en")))
    }

    fn parse(tag: &str) -> Option<Locale> {
        tag.replace('_', "-").parse().ok().map(Locale)
    }

    /// `pt` of `pt-BR`.
    pub fn language(&self) -> &str {
        self.0.id.language.as_str()
    }
}

/// Where an event's source and channel are at home: the source's own word goes before the channel's,
/// the channel's before the defaults'.
#[derive(Clone, Copy, Debug)]
pub struct Home<'a> {
    automations: &'a Automations,
    source: Option<&'a Place>,
    channel: Option<&'a Place>,
}

impl<'a> Home<'a> {
    /// Of an event whose messages leave by `channel`. Without one the source's channel counts, then
    /// the default one: that is how phones are read before any automation is known.
    pub fn of(automations: &'a Automations, event: &Event, channel: Option<&str>) -> Home<'a> {
        let source = automations.sources.get(&event.event.source);
        let name = channel
            .or_else(|| source.and_then(|source| source.channel.as_deref()))
            .or_else(|| default_channel(automations));
        Home {
            automations,
            source: source.map(|source| &source.place),
            channel: name
                .and_then(|name| automations.channels.get(name))
                .map(|one| &one.place),
        }
    }

    fn first<T>(&self, pick: impl Fn(&'a Place) -> Option<T>) -> Option<T> {
        [self.source, self.channel]
            .into_iter()
            .flatten()
            .find_map(pick)
    }

    /// ISO 3166 alpha-2 for phone numbers without a country code.
    pub fn country(&self) -> Option<&'a str> {
        let own = self.first(|place| place.country.as_deref());
        own.or(self.automations.defaults.country.as_deref())
    }

    /// BCP 47 where neither the event nor the phone's country says anything.
    pub fn locale(&self) -> &'a str {
        let own = self.first(|place| place.locale.as_deref());
        own.unwrap_or(&self.automations.defaults.locale)
    }

    /// BCP 47 of a text that has no variants: the channel's, else the default one.
    pub fn channel_locale(&self) -> &'a str {
        let own = self.channel.and_then(|place| place.locale.as_deref());
        own.unwrap_or(&self.automations.defaults.locale)
    }

    /// The business's zone.
    pub fn zone(&self) -> &'a Zone {
        let own = self.first(|place| place.timezone.as_ref());
        own.unwrap_or(&self.automations.defaults.timezone)
    }
}

/// `[defaults] channel`, else the only one there is.
pub fn default_channel(automations: &Automations) -> Option<&str> {
    let mut names = automations.channels.keys().map(String::as_str);
    let only = match (names.next(), names.next()) {
        (Some(name), None) => Some(name),
        _ => None,
    };
    automations.defaults.channel.as_deref().or(only)
}

/// The channel that a step's message leaves by: the step's own, the automation's, the source's, the
/// default one.
pub fn channel_of<'a>(
    automations: &'a Automations,
    automation: &'a Automation,
    step: &'a Step,
    event: &Event,
) -> Option<&'a str> {
    let source = automations.sources.get(&event.event.source);
    step.channel
        .as_deref()
        .or(automation.channel.as_deref())
        .or_else(|| source.and_then(|source| source.channel.as_deref()))
        .or_else(|| default_channel(automations))
}

/// The locale that a person is written to, before a variant is chosen: `asked` (the automation's
/// `locale`, already a text), else the customer's, else by the phone's country, else the home's.
pub fn preferred(
    automations: &Automations,
    home: &Home<'_>,
    asked: Option<&str>,
    event: &Event,
) -> String {
    let readable = |tag: &&str| Locale::parse(tag).is_some();
    let asked = asked.map(str::trim).filter(readable);
    let customer = &event.customer;
    let by_country = || {
        let country = customer.country.as_deref()?;
        automations
            .defaults
            .locale_by_country
            .get(country)
            .map(String::as_str)
    };
    asked
        .or(customer.locale.as_deref().filter(readable))
        .or_else(by_country)
        .unwrap_or_else(|| home.locale())
        .to_owned()
}

/// The variant for `preferred` and the locale that it is written in. Exact, then the language alone,
/// then the same language of another region, then the same for `fallback` (the default locale). A
/// value for all locales is written in `home`, the channel's default. `None` only for a table that
/// holds no default locale, which check refuses.
pub fn variant<'a, T>(
    table: &'a ByLocale<T>,
    preferred: &str,
    fallback: &str,
    home: &str,
) -> Option<(String, &'a T)> {
    match table {
        ByLocale::All(value) => Some((home.to_owned(), value)),
        ByLocale::Each(table) => [preferred, fallback].into_iter().find_map(|wanted| {
            let wanted = Locale::read(wanted);
            let exact = wanted.to_string();
            let language = wanted.language();
            let found = table
                .get_key_value(&exact)
                .or_else(|| table.get_key_value(language))
                .or_else(|| {
                    table
                        .iter()
                        .find(|(tag, _)| Locale::read(tag).language() == language)
                });
            found.map(|(tag, value)| (tag.clone(), value))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::{Channel, ChannelKind, SourceTable};
    use super::super::testing::{automations, order, zone};
    use super::*;

    fn table(tags: &[&str]) -> ByLocale<String> {
        ByLocale::Each(
            tags.iter()
                .map(|tag| ((*tag).to_owned(), (*tag).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn the_nearest_variant() {
        let rows: &[(&[&str], &str, Option<&str>)] = &[
            (&["pt", "pt-BR", "it"], "pt-BR", Some("pt-BR")),
            (&["pt", "it"], "pt-BR", Some("pt")),
            (&["it", "pt-BR"], "pt-PT", Some("pt-BR")),
            (&["it", "pt-BR"], "pt", Some("pt-BR")),
            (&["it", "pt-BR"], "it-CH", Some("it")),
            (&["it", "pt-BR"], "pt_br", Some("pt-BR")),
            (&["it", "en-GB"], "fr", Some("en-GB")),
            (&["it", "en"], "nonsense!", Some("en")),
            (&["it", "fr"], "de", None),
        ];
        for (tags, wanted, expected) in rows {
            let table = table(tags);
            let found = variant(&table, wanted, "en", "de").map(|(tag, _)| tag);
            assert_eq!(found.as_deref(), *expected, "{wanted} of {tags:?}");
        }
        let one = ByLocale::All("x");
        assert_eq!(
            variant(&one, "it", "en", "pt-BR"),
            Some(("pt-BR".to_owned(), &"x"))
        );
    }

    #[test]
    fn whose_language_counts() {
        let mut file = automations();
        file.defaults.locale = "en".into();
        let place = |country: &str, locale: &str, timezone: &str| Place {
            country: Some(country.into()),
            locale: Some(locale.into()),
            timezone: Some(zone(timezone)),
        };
        let channel = |place: Place| Channel {
            uuid: String::new(),
            kind: ChannelKind::Whatsapp,
            place,
        };
        file.channels
            .insert("it".into(), channel(place("IT", "it", "Europe/Rome")));
        let source = |channel: Option<&str>, place: Place| SourceTable {
            kind: "shopify".into(),
            channel: channel.map(str::to_owned),
            place,
            phone_from: vec![],
            phone_question: None,
            auth: None,
            posts: None,
        };
        let mut event = order();
        event.customer.locale = Some("fr".into());
        event.customer.country = Some("IT".into());
        let who = |file: &Automations, event: &Event, asked: Option<&str>| {
            preferred(file, &Home::of(file, event, None), asked, event)
        };
        assert_eq!(who(&file, &event, Some("de")), "de");
        assert_eq!(who(&file, &event, Some(" ")), "fr");
        assert_eq!(who(&file, &event, Some("português")), "fr");
        event.customer.locale = None;
        assert_eq!(who(&file, &event, None), "it");
        event.customer.country = Some("XX".into());
        assert_eq!(who(&file, &event, None), "en");
        file.sources
            .insert("shopify".into(), source(Some("it"), Place::default()));
        let home = Home::of(&file, &event, None);
        assert_eq!(
            (home.country(), home.locale(), home.zone().name.as_str()),
            (Some("IT"), "it", "Europe/Rome")
        );
        // Another channel's step is at home there.
        let home = Home::of(&file, &event, Some("shop"));
        assert_eq!((home.country(), home.locale()), (Some("BR"), "en"));
        file.sources.insert(
            "shopify".into(),
            source(Some("it"), place("PT", "pt-PT", "Europe/Lisbon")),
        );
        let home = Home::of(&file, &event, None);
        assert_eq!(
            (home.country(), home.locale(), home.channel_locale()),
            (Some("PT"), "pt-PT", "it")
        );
    }

    #[test]
    fn the_default_channel_is_the_named_or_the_only_one() {
        let mut file = automations();
        assert_eq!(default_channel(&file), Some("shop"));
        let second = file.channels["shop"].clone();
        file.channels.insert("second".into(), second);
        assert_eq!(default_channel(&file), None);
        file.defaults.channel = Some("second".into());
        assert_eq!(default_channel(&file), Some("second"));
    }
}
