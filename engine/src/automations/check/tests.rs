//! Every file of `tests/fixtures/check` is a test: `x.toml` is checked, against `x.json` as its
//! templates or `x.account.json` as its account where that exists, and `x.txt` is what `callbell check`
//! prints.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use proptest::prelude::*;
use serde::Deserialize;

use super::super::account::Account;
use super::super::templates::Templates;
use super::{Report, check, check_account};
use crate::callbell::{ChannelInfo, Team, TemplateInfo};

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().expect("a time")
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/check"))
}

/// What Callbell answers to these questions, in one file; of funnels the names.
#[derive(Deserialize)]
struct Answers {
    channels: Vec<ChannelInfo>,
    templates: Vec<TemplateInfo>,
    teams: Vec<Team>,
    funnels: Option<Vec<String>>,
}

fn checked(path: &Path) -> Report {
    let text = std::fs::read_to_string(path).expect("a file");
    if let Ok(json) = std::fs::read_to_string(path.with_extension("account.json")) {
        let all: Answers = serde_json::from_str(&json).expect("an account");
        let mut account = Account::new(&all.channels, &all.templates, &all.teams);
        if let Some(funnels) = all.funnels {
            account = account.with_funnels(funnels);
        }
        return check_account(&text, &account, now());
    }
    let templates = std::fs::read_to_string(path.with_extension("json")).ok();
    let templates = templates.map(|json| Templates::from_json(&json).expect("templates"));
    check(&text, templates.as_ref(), now())
}

/// Regenerate: `UPDATE=1 cargo test -p engine every_fixture`, and read the difference.
#[test]
fn every_fixture_says_what_it_should() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .expect("the fixtures")
        .map(|file| file.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let mut wrong = Vec::new();
    for path in files {
        let said = checked(&path).render("automations.toml");
        let expected = path.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expected, &said).expect("written");
        }
        if std::fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("--- {}\n{said}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn example(name: &str) -> String {
    let path = format!("{}/../examples/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("an example")
}

#[test]
fn the_examples_are_right() {
    let templates = Templates::from_json(&example("templates.json")).expect("templates");
    for (file, counts) in [
        ("shop.toml", "5 automations, 5 messages, 2 locales"),
        ("clinic.toml", "4 automations, 7 messages, 1 locale"),
        ("clinica.toml", "7 automations, 8 messages, 1 locale"),
        ("crm.toml", "4 automations, 6 messages, 2 locales"),
    ] {
        for templates in [None, Some(&templates)] {
            let report = check(&example(file), templates, now());
            let said = format!("0 errors, 0 warnings; {counts}\n");
            assert_eq!(report.render(file), said);
            assert!(report.automations.is_some());
        }
    }
}

/// Unlike a `templates.json` that nobody has pulled, an account without anything is known to have nothing.
#[test]
fn an_empty_account_has_none_of_it() {
    let report = check_account(&example("shop.toml"), &Account::default(), now());
    let said = report.render("shop.toml");
    assert!(report.automations.is_none());
    assert!(said.contains("shop: Callbell has no channel"), "{said}");
    assert!(said.contains("Callbell has no template"), "{said}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_panic(text in ".{0,300}") {
        check(&text, None, now());
    }

    /// A right file with a few bytes changed, cut and repeated.
    #[test]
    fn no_damaged_file_makes_a_panic(
        start in 0usize..4_000,
        length in 0usize..40,
        instead in "[ -~\n\"'{}=\\[\\].é]{0,12}",
    ) {
        let whole: Vec<char> = example("shop.toml").chars().collect();
        let start = start.min(whole.len());
        let end = (start + length).min(whole.len());
        let text: String = whole[..start].iter().copied().chain(instead.chars()).chain(whole[end..].iter().copied()).collect();
        check(&text, None, now());
    }

    /// Right keys with wrong values.
    #[test]
    fn no_value_makes_a_panic(
        table in prop::sample::select(vec!["defaults", "channel.x", "source.x", "hours.x", "message.x", "automation.x", "reply.x",
            "contact.x", "slack.x", "sheet.x", "webhook.x", "mailchimp.x", "opt_out",
        ]),
        key in prop::sample::select(vec![
            "on", "when", "at", "once", "steps", "text", "values", "template", "locale", "timezone", "mon-fri",
            "closed", "open", "only_to", "rate", "give_up_after", "uuid", "to", "consent", "stop_on", "image",
            "rules", "gather", "backend", "url", "tags", "fields", "columns", "headers", "body", "match", "words",
        ]),
        value in prop_oneof![
            "\"[^\"\\\\\\x00-\\x1f\\x7f]{0,30}\"",
            "\\[\"[^\"\\\\\\x00-\\x1f\\x7f]{0,20}\"\\]",
            "-?[0-9]{1,20}",
            Just("{ a = 1 }".to_owned()),
            Just("[{ message = \"x\", at = \"+9h\" }, 3]".to_owned()),
            Just("[{ words = [\"x\"], say = \"x\", once = \"é\" }, { when = \"é\" }]".to_owned()),
            Just("2026-11-22".to_owned()),
            Just("true".to_owned()),
        ],
    ) {
        let text = format!("[{table}]\n{key} = {value}\n[automation.y]\non = \"order.paid\"\nmessage = \"x\"\n");
        check(&text, None, now());
    }
}
