//! The file that `callbell init` writes: one of the examples, made the user's own.

use serde_json::Value;

use super::parse::places::language;

/// The example that everything starts from.
pub const SHOP: &str = include_str!("../../../examples/shop.toml");
/// The sentences of the examples' templates, for trying out before the account has any.
const TEMPLATES: &str = include_str!("../../../examples/templates.json");

/// A file to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    /// As `callbell init --example` calls it.
    pub name: &'static str,
    /// Where it is at home, ISO 3166 alpha-2; `None`: the user is asked.
    pub country: Option<&'static str>,
    /// The event to try first.
    pub first: &'static str,
    /// The file as it stands in the repository.
    text: &'static str,
    /// The first lines of the user's own file.
    header: &'static str,
    /// Some of its texts are tables by locale, which have to hold the user's own.
    by_locale: bool,
}

/// Every example, the one for whoever names none first.
pub const EXAMPLES: &[Example] = &[
    Example {
        name: "shop",
        country: None,
        first: "order.paid",
        text: SHOP,
        header: "# Automations of a shop on Shopify or WooCommerce.",
        by_locale: true,
    },
    Example {
        name: "clinic",
        country: Some("IT"),
        first: "appointment.booked",
        text: include_str!("../../../examples/clinic.toml"),
        header: "# Automations of whoever has appointments, with Calendly, Cal.com or Google Calendar; the words are Italian.",
        by_locale: false,
    },
    Example {
        name: "clinica",
        country: Some("BR"),
        first: "appointment.booked",
        text: include_str!("../../../examples/clinica.toml"),
        header: "# Automations of whoever has appointments, with Cal.com or Google Calendar; the words are Portuguese.",
        by_locale: false,
    },
    Example {
        name: "crm",
        country: Some("BR"),
        first: "message.received",
        text: include_str!("../../../examples/crm.toml"),
        header: "# Whoever writes on WhatsApp: into a CRM and a sheet, the team told, and a chatbot; the words are Portuguese.",
        by_locale: true,
    },
    Example {
        name: "leads",
        country: Some("BR"),
        first: "lead.created",
        text: include_str!("../../../examples/leads.toml"),
        header: "# Forms, CRMs, lists, deals and a mailbox: whoever turns up there is welcomed; the words are Portuguese.",
        by_locale: false,
    },
    Example {
        name: "erp",
        country: Some("BR"),
        first: "custom.received",
        text: include_str!("../../../examples/erp.toml"),
        header: "# Whatever can post: an ERP, Nuvemshop, Zapier, Make, n8n; the words are Portuguese.",
        by_locale: false,
    },
];

impl Example {
    /// `templates.json` with the example's own templates.
    pub fn templates(&self) -> String {
        let all: Vec<Value> = serde_json::from_str(TEMPLATES).unwrap_or_default();
        let used = |template: &Value| {
            let uuid = template.get("uuid").and_then(Value::as_str);
            uuid.is_some_and(|uuid| self.text.contains(uuid))
        };
        let own: Vec<Value> = all.into_iter().filter(used).collect();
        let mut text = serde_json::to_string_pretty(&own).unwrap_or_default();
        text.push('\n');
        text
    }
}

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
pub fn scaffold(example: &Example, answers: &Answers) -> String {
    let mut out = String::new();
    let mut table = "";
    for line in example.text.lines() {
        if line.starts_with('[') {
            table = line;
        }
        let line = match table {
            "" => heading(line, example),
            "[defaults]" => Some(default(line, answers)),
            _ => scaffold_line(line, example, answers),
        };
        if let Some(line) = line {
            out.push_str(&line);
            out.push('\n');
        }
    }
    out
}

/// The lines above the first table.
fn heading(line: &str, example: &Example) -> Option<String> {
    match line.starts_with("# ") {
        true => Some(format!(
            "{} Check it with: callbell check\n\
             # The uuids come from: callbell channels, callbell templates",
            example.header
        )),
        false => Some(line.to_owned()),
    }
}

/// A line of `[defaults]`.
fn default(line: &str, answers: &Answers) -> String {
    let key = line.split('=').next().unwrap_or_default().trim();
    let set = |value: &str| format!("{key:<10} = \"{value}\"");
    match key {
        "country" => set(&answers.country),
        "locale" => set(&answers.locale),
        "timezone" => {
            let own: Vec<String> = answers
                .only_to
                .iter()
                .map(|phone| format!("\"{phone}\""))
                .collect();
            let comment = "# while trying out: delete this line to go live";
            format!(
                "{}\nonly_to    = [{}]            {comment}",
                set(&answers.timezone),
                own.join(", ")
            )
        }
        _ => line.to_owned(),
    }
}

fn scaffold_line(line: &str, example: &Example, answers: &Answers) -> Option<String> {
    let key = line.split('=').next().unwrap_or_default().trim();
    match (key, &answers.channel) {
        ("uuid", Some(uuid)) => Some(format!("uuid = \"{uuid}\"")),
        // The others are written in one language.
        _ if !example.by_locale => Some(line.to_owned()),
        _ => localised(line, example, &answers.locale),
    }
}

/// The Portuguese lines become the user's language; beside English there is nothing else to keep.
fn localised(line: &str, example: &Example, locale: &str) -> Option<String> {
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
        let english_follows = example
            .text
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
    use super::super::templates::Templates;
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
            for (only_to, example) in
                [Some(phone.to_owned()), None]
                    .into_iter()
                    .flat_map(|only_to| {
                        EXAMPLES
                            .iter()
                            .map(move |example| (only_to.clone(), example))
                    })
            {
                let answers = Answers {
                    country: country.to_owned(),
                    locale: locale.to_owned(),
                    timezone: timezone.to_owned(),
                    only_to: only_to.clone(),
                    channel: Some("35f6f8ccb5504278a2ea099f3a4e0799".to_owned()),
                };
                let text = scaffold(example, &answers);
                let templates = Templates::from_json(&example.templates()).expect("templates");
                let report = check(&text, Some(&templates), now);
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
                let uuids = file.channels.values().map(|channel| channel.uuid.as_str());
                assert_eq!(
                    uuids.collect::<Vec<_>>(),
                    ["35f6f8ccb5504278a2ea099f3a4e0799"]
                );
            }
        }
    }
}
