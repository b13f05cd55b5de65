//! The rules of `[reply.x]`: which of them matches a burst. Pure.

use regex_lite::RegexBuilder;

use super::Burst;
use crate::automations::context::Scope;
use crate::automations::expr::{self, Truth};
use crate::automations::model::{Rule, RuleCondition, RuleDeed};
use shared::slug::slug;

/// The first rule from `from` on that matches, by its place in the list. `scope` is of the newest message's
/// event, with `now`.
pub fn first(rules: &[Rule], from: usize, burst: &Burst, scope: &Scope) -> Option<usize> {
    rules
        .iter()
        .enumerate()
        .skip(from)
        .find(|(_, rule)| matches(&rule.condition, burst, scope))
        .map(|(place, _)| place)
}

/// Whether a condition holds. One that fails does not: the rule that comes after it may be meant for just
/// that.
fn matches(condition: &RuleCondition, burst: &Burst, scope: &Scope) -> bool {
    match condition {
        RuleCondition::Always => true,
        RuleCondition::Words(words) => {
            let text = burst.text();
            words.iter().any(|word| has_word(&text, word))
        }
        // As with other patterns of the language, case does not count.
        RuleCondition::Pattern(pattern) => RegexBuilder::new(pattern)
            .case_insensitive(true)
            .build()
            .is_ok_and(|pattern| pattern.is_match(&burst.text())),
        RuleCondition::Button(id) => burst
            .messages()
            .any(|message| [&message.button, &message.choice].contains(&&Some(id.clone()))),
        RuleCondition::When(when) => matches!(expr::eval_bool(when, scope), Ok(Truth::True)),
    }
}

/// Whether a text has a word, or several in a row, as whole words; case and accents do not count. What has
/// neither letters nor digits (`👍`, `?`) is looked for as it stands.
fn has_word(text: &str, word: &str) -> bool {
    let folded = slug(word);
    if folded.is_empty() {
        let word = word.trim();
        return !word.is_empty() && text.contains(word);
    }
    format!("-{}-", slug(text)).contains(&format!("-{folded}-"))
}

/// What a rule's `once` is remembered by: its deed, so that a rule that is moved or reworded stays the same,
/// and the same answer under another condition is not said sooner.
pub fn once_name(reply: &str, deed: &RuleDeed) -> String {
    match deed {
        RuleDeed::Say(name) => format!("reply.{reply}/say/{name}"),
        RuleDeed::Handover { team, .. } => {
            format!("reply.{reply}/handover/{}", team.as_deref().unwrap_or("-"))
        }
        RuleDeed::Ignore => format!("reply.{reply}/ignore"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::automations;
    use crate::automations::locale::Home;
    use crate::automations::model::{Expr, Span};
    use crate::chat::testing::{at, other, text};
    use jiff::SignedDuration;
    use shared::event::{Event, Message};

    fn scope() -> Scope {
        let file = "[channel.x]\nuuid = \"35f6f8ccb5504278a2ea099f3a4e0730\"";
        let automations = automations::parse(file).unwrap();
        let event: Event = serde_json::from_value(serde_json::json!({
            "event": {"name": "order.created", "source": "s", "kind": "s", "id": "x", "at": at(0).to_string()},
            "customer": {"name": "Maria", "tags": []},
            "subject": {"kind": "order", "id": "1", "as_of": at(0).to_string(), "created_at": at(0).to_string(),
                "state": "open", "fresh": "dated"},
            "contact": {"id": "c", "name": "Maria"},
        }))
        .unwrap();
        Scope::new(&automations, &Home::of(&automations, &event, None), &event).at(at(0))
    }

    fn words(list: &[&str]) -> RuleCondition {
        RuleCondition::Words(list.iter().map(|word| (*word).to_owned()).collect())
    }

    fn rule(condition: RuleCondition) -> Rule {
        Rule {
            condition,
            deed: RuleDeed::Ignore,
            once_every: Some(Span::Exact(SignedDuration::from_hours(12))),
        }
    }

    #[test]
    fn words_are_whole_and_their_accents_do_not_count() {
        let rows = [
            ("onde está", "Oi, ONDE ESTA meu pedido?", true),
            ("onde está", "ondé  está", true),
            ("onde está", "onde você está", false),
            ("troca", "trocar", false),
            ("troca", "Troca!", true),
            ("1", "1", true),
            ("1", "11", false),
            ("1", "opção 1.", true),
            ("horário", "Qual o horario", true),
            ("orari", "gli orari?", true),
            ("Straße", "strasse 5", true),
            ("é", "e\u{301}", true),
            ("👍", "ok 👍", true),
            ("👍", "ok", false),
            ("", "anything", false),
            ("  ", "anything", false),
            ("человек", "Нужен ЧЕЛОВЕК!", true),
            ("sim", "", false),
        ];
        for (word, text, expected) in rows {
            assert_eq!(has_word(text, word), expected, "{word} in {text}");
        }
    }

    #[test]
    fn each_condition_asks_the_whole_burst() {
        let tapped = |button: Option<&str>, choice: Option<&str>| {
            let mut message = other(1, "button");
            message.button = button.map(str::to_owned);
            message.choice = choice.map(str::to_owned);
            message
        };
        let oi = || text(0, "oi");
        let two = |newest: Message| Burst::new(vec![oi()], newest);
        let pattern = |text: &str| RuleCondition::Pattern(text.to_owned());
        let button = |id: &str| RuleCondition::Button(id.to_owned());
        let when = |text: &str| RuleCondition::When(Expr(text.to_owned()));
        let rows = [
            (RuleCondition::Always, Burst::one(other(0, "image")), true),
            (words(&["oi"]), two(text(1, "tudo bem?")), true),
            (words(&["tchau", "bem"]), two(text(1, "tudo bem?")), true),
            (words(&["tchau"]), two(text(1, "tudo bem?")), false),
            (words(&["oi"]), Burst::one(other(0, "image")), false),
            (
                pattern("^pedido \\d+$"),
                Burst::one(text(0, "Pedido 77")),
                true,
            ),
            (
                pattern("^pedido \\d+$"),
                Burst::one(text(0, "meu pedido 77")),
                false,
            ),
            (pattern("oi\ntudo"), two(text(1, "tudo")), true),
            (pattern("("), Burst::one(text(0, "(")), false),
            (button("yes"), two(tapped(Some("yes"), None)), true),
            (button("Trocas"), two(tapped(None, Some("Trocas"))), true),
            (button("yes"), two(tapped(Some("no"), None)), false),
            (button("oi"), Burst::one(oi()), false),
            (when("customer.name == 'Maria'"), Burst::one(oi()), true),
            (when("customer.name == 'Ana'"), Burst::one(oi()), false),
            (when("customer.email == 'a'"), Burst::one(oi()), false),
            (when("customer.name"), Burst::one(oi()), false),
            (when("customer.email < 5"), Burst::one(oi()), false),
        ];
        for (condition, burst, expected) in rows {
            assert_eq!(
                matches(&condition, &burst, &scope()),
                expected,
                "{condition:?}"
            );
        }
    }

    #[test]
    fn the_first_that_matches_wins_and_another_may_follow_it() {
        let rules = [
            rule(words(&["humano"])),
            rule(words(&["oi"])),
            rule(RuleCondition::Always),
        ];
        let burst = Burst::one(text(0, "oi"));
        assert_eq!(first(&rules, 0, &burst, &scope()), Some(1));
        assert_eq!(first(&rules, 2, &burst, &scope()), Some(2));
        assert_eq!(first(&rules, 3, &burst, &scope()), None);
        assert_eq!(first(&[], 0, &burst, &scope()), None);
    }

    #[test]
    fn once_goes_by_the_deed() {
        let handover = |team: Option<&str>| RuleDeed::Handover {
            team: team.map(str::to_owned),
            say: None,
            note: None,
        };
        let names = [
            once_name("a", &RuleDeed::Say("x".to_owned())),
            once_name("b", &RuleDeed::Say("x".to_owned())),
            once_name("a", &RuleDeed::Say("y".to_owned())),
            once_name("a", &handover(None)),
            once_name("a", &handover(Some("Vendas"))),
            once_name("a", &RuleDeed::Ignore),
        ];
        let unique: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
    }
}
