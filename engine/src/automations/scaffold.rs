//! The file that `callbell init` writes: the example of a shop, made the user's own.

use super::parse::places::language;

/// The example that everything starts from.
pub const SHOP: &str = include_str!("../../../examples/shop.toml");
/// The sentences of its templates, for trying out before the account has any.
pub const SHOP_TEMPLATES: &str = include_str!("../../../examples/templates.json");

/// What `callbell init` asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// ISO 3166 alpha-2.
    pub country: String,
    /// BCP 47.
    pub locale: String,
    /// IANA name.
    pub timezone: String,
    /// The user's own number, E.164: nobody else gets a message until the line is deleted. `None`: an
    /// empty list, which lets nothing through.
    pub only_to: Option<String>,
    /// The channel's uuid, where it is known already.
    pub channel: Option<String>,
}

/// What stands in for a name and a carrier, in the languages that we know, and a page of the shop.
const WORDS: [(&str, [&str; 3]); 5] = [
    ("en", ["there", "hello again", "the carrier"]),
    ("it", ["cliente", "ciao", "il corriere"]),
    ("es", ["cliente", "hola", "el transportista"]),
    ("fr", ["client", "bonjour", "le transporteur"]),
    ("de", ["Kunde", "hallo", "dem Paketdienst"]),
];

/// `automations.toml` for these answers. It passes `callbell check` as it is, and reaches nobody but
/// the user.
pub fn scaffold(answers: &Answers) -> String {
    let mut out = String::new();
    for line in SHOP.lines() {
        let Some(line) = scaffold_line(line, answers) else {
            continue;
        };
        out.push_str(&line);
        out.push('\n');
    }
    out
}

fn scaffold_line(line: &str, answers: &Answers) -> Option<String> {
    let key = line.split('=').next().unwrap_or_default().trim();
    let set = |value: &str| Some(format!("{key:<10} = \"{value}\""));
    match key {
        "# A Brazilian shop on Shopify or WooCommerce, in Portuguese and English." => Some(
            "# Automations of a shop on Shopify or WooCommerce. Check it with: callbell check\n\
             # The uuids come from: callbell channels, callbell templates"
                .to_owned(),
        ),
        "country" => set(&answers.country),
        "locale" => set(&answers.locale),
        "timezone" => set(&answers.timezone),
        "send_hours" => {
            let own: Vec<String> = answers
                .only_to
                .iter()
                .map(|phone| format!("\"{phone}\""))
                .collect();
            let comment = "# while trying out: delete this line to go live";
            Some(format!(
                "{line}\nonly_to    = [{}]            {comment}",
                own.join(", ")
            ))
        }
        "uuid" => answers.channel.as_deref().map_or_else(
            || Some(line.to_owned()),
            |uuid| Some(format!("uuid = \"{uuid}\"")),
        ),
        _ => localised(line, &answers.locale),
    }
}

/// The Portuguese lines become the user's language; beside English there is nothing else to keep.
fn localised(line: &str, locale: &str) -> Option<String> {
    let own = language(locale);
    if own == "pt" {
        return Some(line.replace(".pt-BR", &format!(".{locale}")));
    }
    let table = line
        .trim_start()
        .split(['=', ' '])
        .next()
        .unwrap_or_default();
    if own == "en" && table.ends_with(".pt-BR") && line.contains(".pt-BR") {
        // A message that has Portuguese alone keeps it, as English.
        let english_follows = SHOP
            .lines()
            .skip_while(|one| *one != line)
            .nth(1)
            .is_some_and(|next| next.contains(".en "));
        if english_follows {
            return None;
        }
    }
    let words = WORDS
        .iter()
        .find(|(language, _)| *language == own)
        .or(WORDS.first());
    let [name, greeting, carrier] = words.map(|(_, words)| *words)?;
    let renamed = if own == "en" {
        line.replace(".en ", &format!(".{locale} "))
    } else {
        line.to_owned()
    };
    let renamed = renamed.replace(".pt-BR", &format!(".{locale}"));
    let quoted = |word: &str| format!("'{word}'");
    let said = renamed
        .replace("'cliente'", &quoted(name))
        .replace("'tudo bem'", &quoted(greeting))
        .replace("'transportadora'", &quoted(carrier))
        .replace(
            "https://minhaloja.com.br/conta",
            "https://shop.example.com/account",
        )
        .replace(
            "https://minhaloja.com.br/rastreio",
            "https://shop.example.com/track",
        );
    Some(said)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::check;
    use super::*;

    #[test]
    fn what_init_writes_is_right_and_reaches_nobody_else() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().expect("a time");
        for (country, locale, timezone, phone) in [
            ("BR", "pt-BR", "America/Sao_Paulo", "+5511987654321"),
            ("PT", "pt-PT", "Europe/Lisbon", "+351912345678"),
            ("IT", "it", "Europe/Rome", "+393331234567"),
            ("MX", "es-MX", "America/Mexico_City", "+525512345678"),
            ("US", "en", "America/New_York", "+12025550123"),
            ("GB", "en-GB", "Europe/London", "+447400123456"),
            ("NL", "nl", "Europe/Amsterdam", "+31612345678"),
        ] {
            for only_to in [Some(phone.to_owned()), None] {
                let answers = Answers {
                    country: country.to_owned(),
                    locale: locale.to_owned(),
                    timezone: timezone.to_owned(),
                    only_to: only_to.clone(),
                    channel: Some("35f6f8ccb5504278a2ea099f3a4e0799".to_owned()),
                };
                let text = scaffold(&answers);
                let report = check(&text, None, now);
                assert_eq!(
                    report.diagnostics,
                    [],
                    "{}\n{text}",
                    report.render("automations.toml")
                );
                let file = report.automations.expect("a file");
                assert_eq!(file.defaults.only_to, Some(only_to.into_iter().collect()));
                assert_eq!(file.defaults.locale, locale);
                assert_eq!(file.defaults.country.as_deref(), Some(country));
                assert_eq!(
                    file.channels["shop"].uuid,
                    "35f6f8ccb5504278a2ea099f3a4e0799"
                );
            }
        }
    }
}
