//! `callbell init`: the user's own files. Nothing that is there is overwritten.

use std::path::Path;

use engine::automations::scaffold::{Answers, EXAMPLES, Example, scaffold};
use shared::clock::Clock;
use shared::sources;

use super::Outcome;
use crate::args::InitArgs;
use crate::ask;
use crate::connect::Kind;
use crate::error::CliError;
use crate::output::say;
use crate::project::{AUTOMATIONS, Files, TEMPLATES};

/// Country, language and zone that go together, as defaults of the questions.
const PLACES: &[(&str, &str, &str)] = &[
    ("AR", "es-AR", "America/Argentina/Buenos_Aires"),
    ("BR", "pt-BR", "America/Sao_Paulo"),
    ("CL", "es-CL", "America/Santiago"),
    ("CO", "es-CO", "America/Bogota"),
    ("DE", "de", "Europe/Berlin"),
    ("ES", "es", "Europe/Madrid"),
    ("FR", "fr", "Europe/Paris"),
    ("GB", "en-GB", "Europe/London"),
    ("IT", "it", "Europe/Rome"),
    ("MX", "es-MX", "America/Mexico_City"),
    ("NL", "nl", "Europe/Amsterdam"),
    ("PE", "es-PE", "America/Lima"),
    ("PT", "pt-PT", "Europe/Lisbon"),
    ("US", "en", "America/New_York"),
];

/// Asks what the flags leave open, and writes the files.
///
/// # Errors
/// An answer is missing or wrong, or a file cannot be written.
pub fn run(args: &InitArgs) -> Outcome {
    let example = EXAMPLES
        .iter()
        .find(|example| example.name == args.example)
        .ok_or_else(|| {
            let names: Vec<&str> = EXAMPLES.iter().map(|example| example.name).collect();
            CliError::new(format!(
                "there is no example \"{}\"; there are: {}",
                args.example,
                names.join(", ")
            ))
        })?;
    let answers = answers(args, example)?;
    let text = scaffold(example, &answers);
    let templates = example.templates();
    let files = Files {
        path: args.dir.join(AUTOMATIONS),
        text: text.clone(),
        templates: Some(templates.clone()),
    };
    let report = files.check(Clock::system().now());
    if report.errors() > 0 {
        super::check::print(AUTOMATIONS, &report);
        return Err(CliError::new(
            "these answers do not make a file that can be used",
        ));
    }
    std::fs::create_dir_all(&args.dir)?;
    let written = [
        write(&args.dir.join(AUTOMATIONS), &text)?,
        write(&args.dir.join(TEMPLATES), &templates)?,
        write(&args.dir.join("secrets.toml"), &secrets())?,
        write(&args.dir.join("samconfig.toml"), SAMCONFIG)?,
    ];
    match &answers.only_to {
        Some(_) if written.contains(&true) => {
            say("until you delete the line only_to, messages reach your own number alone");
        }
        Some(_) => {}
        None => say("only_to is empty: write your own number into it, else nobody gets a message"),
    }
    say(format!(
        "Next: callbell check, then callbell try {}",
        example.first
    ));
    Ok(0)
}

fn answers(args: &InitArgs, example: &Example) -> Result<Answers, CliError> {
    let asked = ask::is_terminal();
    let answer = |flag: &Option<String>,
                  name: &str,
                  question: &str,
                  default: &str,
                  check: fn(&str) -> Result<(), String>| {
        match flag {
            Some(value) => {
                check(value).map_err(|problem| CliError::new(format!("--{name}: {problem}")))?;
                Ok(value.clone())
            }
            None if asked => ask::line(question, default, check),
            None if !default.is_empty() || name == "phone" => Ok(default.to_owned()),
            None => Err(CliError::new(format!("--{name} is missing")).hint(
                "callbell init --country BR --phone +5511987654321, or answer in a terminal",
            )),
        }
    };
    let country = answer(
        &args.country,
        "country",
        "Country (ISO code: BR, IT, ES …)",
        example.country.unwrap_or_default(),
        country,
    )?;
    let place = PLACES.iter().find(|(code, _, _)| *code == country);
    let (locale, timezone) = place.map_or(("", ""), |(_, locale, zone)| (*locale, *zone));
    let locale = answer(
        &args.locale,
        "locale",
        "Language of the messages",
        locale,
        locale_tag,
    )?;
    let timezone = answer(&args.timezone, "timezone", "Time zone", timezone, zone)?;
    let phone = answer(
        &args.phone,
        "phone",
        "Your own WhatsApp number, to try it out (empty: later)",
        "",
        phone,
    )?;
    let only_to = engine::phone::read(&phone, Some(&country))
        .ok()
        .map(|phone| phone.e164);
    if only_to.is_none() && !phone.is_empty() {
        return Err(CliError::new("that is no phone number of this country")
            .hint("write it with its country code: +5511987654321"));
    }
    Ok(Answers {
        country,
        locale,
        timezone,
        only_to,
        channel: None,
    })
}

fn country(text: &str) -> Result<(), String> {
    let two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    if two {
        Ok(())
    } else {
        Err(format!("\"{text}\" is no country code: write BR, IT, ES …"))
    }
}

fn locale_tag(text: &str) -> Result<(), String> {
    let fits = !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if fits {
        Ok(())
    } else {
        Err(format!("\"{text}\" is no language: write pt-BR, it, en …"))
    }
}

fn zone(text: &str) -> Result<(), String> {
    jiff::tz::TimeZone::get(text)
        .map(|_| ())
        .map_err(|_| format!("\"{text}\" is no time zone: write America/Sao_Paulo"))
}

fn phone(text: &str) -> Result<(), String> {
    if text.is_empty() || text.bytes().filter(u8::is_ascii_digit).count() >= 7 {
        return Ok(());
    }
    Err("write it with its country code: +5511987654321".to_owned())
}

/// Writes a file that is not there; `false`: it is.
fn write(path: &Path, text: &str) -> Result<bool, CliError> {
    if path.exists() {
        say(format!(
            "{} is there already and stays as it is",
            path.display()
        ));
        return Ok(false);
    }
    std::fs::write(path, text)
        .map_err(|error| CliError::new(format!("{} cannot be written: {error}", path.display())))?;
    say(format!("{} written", path.display()));
    Ok(true)
}

/// Every secret, what it is for and where to find it, commented out.
fn secrets() -> String {
    let mut text = String::from(
        "# Keep this file to yourself: it is not for the repository.\n\
         # Each name has a value, or a list of values that are all accepted: name = [\"new\", \"old\"].\n\
         # callbell secrets set NAME writes a line without showing the value.\n\n\
         # What webhooks are signed with, by the last part of their path: /orders/shopify.\n[webhooks]\n",
    );
    for source in sources::ALL {
        let kind = source.kind();
        text.push_str(&format!(
            "\n# {}\n# {kind} = \"\"\n",
            Kind::parse(kind).map_or("", |kind| kind.whereabouts())
        ));
    }
    text.push_str("\n# Tokens of the systems that are called.\n[apis]\n");
    for (name, whereabouts) in APIS {
        text.push_str(&format!("\n# {whereabouts}\n# {name} = ''\n"));
    }
    text
}

/// The API secrets by their usual names, what each is, and where to find it.
const APIS: [(&str, &str); 11] = [
    ("callbell", "Callbell: dashboard, Settings, API."),
    (
        "slack",
        "[slack.x]: the address of an incoming webhook, https://hooks.slack.com/services/…: api.slack.com/apps, your app,\n\
         # Incoming Webhooks.",
    ),
    (
        "slack-bot",
        "[slack.x] with a channel: the bot's token, xoxb-…: api.slack.com/apps, your app, OAuth & Permissions; scope\n\
         # chat:write, and the bot invited to the channel.",
    ),
    (
        "google-sheets",
        "[sheet.x]: the JSON key of a service account, with whose address the sheet is shared as editor: Google Cloud\n\
         # console, IAM, Service accounts, Keys. Or '{\"client_id\": \"…\", \"client_secret\": \"…\", \"refresh_token\": \"…\"}'.",
    ),
    (
        "hubspot",
        "[hubspot.x]: the token of a private app, pat-…: Settings, Integrations, Private Apps; scopes\n\
         # crm.objects.contacts.read and .write.",
    ),
    (
        "pipedrive",
        "[pipedrive.x]: '{\"domain\": \"minha-empresa\", \"token\": \"…\"}': Personal preferences, API.",
    ),
    (
        "salesforce",
        "[salesforce.x]: '{\"host\": \"minha-empresa.my.salesforce.com\", \"client_id\": \"…\", \"client_secret\": \"…\"}' of a\n\
         # connected app with the client credentials flow: Setup, App Manager.",
    ),
    (
        "mailchimp",
        "[mailchimp.x]: an API key, whose end names the data centre, …-us6: Profile, Extras, API keys.",
    ),
    (
        "zendesk",
        "[zendesk.x]: '{\"subdomain\": \"minha-empresa\", \"email\": \"ana@…\", \"token\": \"…\"}': Admin Center, Apps and\n\
         # integrations, Zendesk API.",
    ),
    (
        "intercom",
        "[intercom.x]: an access token: Developer Hub, your app, Authentication.",
    ),
    (
        "erp",
        "[webhook.x] and [reply.x] have secrets called as the table, or as its key secret says. What signs is whsec_ and\n\
         # base64 of the key; of backend = \"ai\" it is the endpoint's token.",
    ),
];

pub(super) const SAMCONFIG: &str = "# What sam build and sam deploy take unless told otherwise, and where callbell finds the stack. make deploy asks
# for the stack's name, region, e-mail address for alarms and architecture once, and keeps them here.
version = 0.1

[default.global.parameters]

[default.deploy.parameters]
capabilities = \"CAPABILITY_IAM\"
resolve_s3 = true
confirm_changeset = false
fail_on_empty_changeset = false
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::secrets;
    use engine::automations::model::Crm;

    #[test]
    fn places_go_together_and_are_known() {
        for (code, locale, timezone) in PLACES {
            assert_eq!(
                (country(code), locale_tag(locale), zone(timezone)),
                (Ok(()), Ok(()), Ok(()))
            );
        }
    }

    #[test]
    fn the_files_can_be_read_and_every_source_is_named() {
        let text = secrets();
        let files: secrets::Files = toml::from_str(&text).unwrap();
        assert_eq!(files.webhooks.names().count(), 0);
        for (name, _) in APIS {
            let filled = text.replace(&format!("# {name} = ''"), &format!("{name} = 'x'"));
            let files: secrets::Files = toml::from_str(&filled).unwrap();
            assert_eq!(files.apis.names().collect::<Vec<_>>(), [name]);
        }
        for crm in Crm::ALL {
            assert!(APIS.iter().any(|(name, _)| *name == crm.as_str()));
        }
        let filled = text.replace("# shopify = \"\"", "shopify = \"x\"");
        let files: secrets::Files = toml::from_str(&filled).unwrap();
        assert_eq!(files.webhooks.names().collect::<Vec<_>>(), ["shopify"]);
        for source in sources::ALL {
            assert!(
                text.contains(&format!("# {} = \"\"", source.kind())),
                "{}",
                source.kind()
            );
            let kind = Kind::parse(source.kind()).unwrap();
            assert!(!kind.whereabouts().is_empty(), "{}", source.kind());
        }
        assert!(SAMCONFIG.parse::<toml::Table>().is_ok());
    }
}
