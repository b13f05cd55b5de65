//! Whose turn it is, and what the chatbot does with its own. Pure.
//!
//! A person is there, or was a while ago: silence. Otherwise the rules are asked, then the backend, then
//! there is `otherwise`. What happened before the conversation was closed last does not count any more, and
//! because only times are compared, it does not matter in which order the webhooks came.

use jiff::{SignedDuration, Timestamp};
use shared::event::{Message, MessageKind};

use super::{Answer, Handover, NOTE_CHARS_MAX, Say, cut};
use crate::automations::model::{Backend, ReplyTable, Rule, RuleDeed, Text};

/// A message's place in its conversation: Callbell dates to the second, so the key decides among equals.
pub type Place<'a> = (Timestamp, &'a str);

/// What is known of the conversation when a reply comes up.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Now.
    pub now: Timestamp,
    /// The message that the reply is for.
    pub message: &'a Message,
    /// Its place.
    pub place: Place<'a>,
    /// The place of the newest message that nobody answered yet.
    pub newest: Option<Place<'a>>,
    /// Up to where was answered, or deliberately not; and by whom, in words.
    pub answered: Option<(Place<'a>, &'a str)>,
    /// What was answered last is what this reply is about: it goes on with the answer that it has.
    pub is_own: bool,
    /// The whole message is a word that opts out or in.
    pub is_opt_word: bool,
    /// Blocked by the team.
    pub is_blocked: bool,
    /// When a team member wrote last.
    pub human_at: Option<Timestamp>,
    /// Since when somebody is assigned.
    pub assigned_at: Option<Timestamp>,
    /// When the chatbot handed over last.
    pub handed_over_at: Option<Timestamp>,
    /// When the conversation was closed last.
    pub closed_at: Option<Timestamp>,
    /// Automated answers, and when the last of them was given.
    pub turns: Option<(u32, Timestamp)>,
}

/// What comes before any rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing is said, and why.
    Quiet(String),
    /// Enough was said: somebody takes over.
    HandOver(Answer),
    /// The rules are asked.
    Open,
}

/// What is to be done where the rules were asked.
#[derive(Clone, Debug)]
pub enum Turn<'a> {
    /// This.
    Do(Answer),
    /// The backend is asked.
    Ask(&'a Backend),
}

/// Whether the chatbot has a turn at all.
pub fn start(facts: &Facts<'_>, table: &ReplyTable) -> Start {
    match quiet(facts, table) {
        Some(why) => Start::Quiet(why),
        None if turns(facts) >= table.max_turns && !facts.is_own => Start::HandOver(Answer {
            say: None,
            handover: Some(Handover {
                team: table.handover.clone(),
                note: Some(format!(
                    "The chatbot answered {} times in this conversation.",
                    turns(facts)
                )),
            }),
            why: "max_turns".to_owned(),
        }),
        None => Start::Open,
    }
}

/// Why nothing is said; `None`: something may be.
fn quiet(facts: &Facts<'_>, table: &ReplyTable) -> Option<String> {
    if facts.message.kind == MessageKind::Reaction {
        return Some("a reaction is never answered".to_owned());
    }
    if facts.is_opt_word {
        return Some("it opts out or in".to_owned());
    }
    if facts.is_blocked {
        return Some("the person is blocked".to_owned());
    }
    if !facts.is_own
        && let Some((place, by)) = facts.answered
        && facts.place <= place
    {
        return Some(if facts.place == place {
            by.to_owned()
        } else {
            "answered together with a later message".to_owned()
        });
    }
    // An answer that did not go out yet gives way too, unless it says that somebody takes over.
    let goes_on = facts.is_own && facts.handed_over_at.is_some();
    if !goes_on && facts.newest.is_some_and(|newest| newest > facts.place) {
        return Some("answered together with a later message".to_owned());
    }
    // What this reply is about to say may itself be the handover.
    if let Some(at) = open(facts.handed_over_at, facts)
        && !facts.is_own
    {
        return Some(format!(
            "handed over at {}: silent until the conversation is closed",
            minute(at)
        ));
    }
    if let Some(at) = open(facts.human_at, facts)
        && facts.now.duration_since(at) < table.quiet_after_human
    {
        let until = at.saturating_add(table.quiet_after_human).unwrap_or(at);
        return Some(format!(
            "a team member wrote at {}: quiet until {}",
            minute(at),
            minute(until)
        ));
    }
    if open(facts.assigned_at, facts).is_some() {
        return Some("somebody is assigned".to_owned());
    }
    None
}

/// An instant that lies after the conversation was closed last.
fn open(at: Option<Timestamp>, facts: &Facts<'_>) -> Option<Timestamp> {
    at.filter(|at| facts.closed_at.is_none_or(|closed| closed < *at))
}

/// Automated answers since the conversation was closed last.
pub(super) fn turns(facts: &Facts<'_>) -> u32 {
    facts
        .turns
        .filter(|(_, last)| open(Some(*last), facts).is_some())
        .map_or(0, |(turns, _)| turns)
}

/// What the conversation's count of answers is after this one.
pub fn turns_after(facts: &Facts<'_>) -> u32 {
    turns(facts).saturating_add(1)
}

/// What the rule that matched wants, the backend where none did, `otherwise` where there is none. `write`
/// fills in a text; `None`: it cannot be filled in.
pub fn deed<'a>(
    table: &'a ReplyTable,
    matched: Option<(usize, &'a Rule)>,
    write: &dyn Fn(&Text) -> Option<String>,
) -> Turn<'a> {
    let Some((place, rule)) = matched else {
        return match &table.backend {
            Some(backend) => Turn::Ask(backend),
            None => Turn::Do(otherwise(table, "no rule matched")),
        };
    };
    let why = format!("rule {}", place.saturating_add(1));
    Turn::Do(match &rule.deed {
        RuleDeed::Say(name) => Answer::message(name, why),
        RuleDeed::Ignore => Answer::nothing(format!("ignored by {why}")),
        RuleDeed::Handover { team, say, note } => Answer {
            say: say.clone().map(Say::Message),
            handover: Some(Handover {
                team: team.clone().or_else(|| table.handover.clone()),
                note: note.as_ref().and_then(write).and_then(|note| noted(&note)),
            }),
            why,
        },
    })
}

/// What is said where nothing else is to be said.
pub fn otherwise(table: &ReplyTable, why: &str) -> Answer {
    match &table.otherwise {
        Some(name) => Answer::message(name, why),
        None => Answer::nothing(why),
    }
}

/// A note as Callbell takes it; `None` where it is blank.
pub fn noted(note: &str) -> Option<String> {
    let note = cut(note, NOTE_CHARS_MAX);
    (!note.is_empty()).then(|| note.to_owned())
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// How long after the message a burst's first may lie back: what is older waited for something else, and
/// is no part of it.
pub const BURST_AGE_MAX: SignedDuration = SignedDuration::from_mins(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::automations::model::{BackendKind, RuleCondition};
    use crate::chat::testing::{at, other, text};

    fn table() -> ReplyTable {
        ReplyTable {
            rules: Vec::new(),
            backend: None,
            otherwise: Some("menu".to_owned()),
            gather: SignedDuration::from_secs(3),
            quiet_after_human: SignedDuration::from_hours(12),
            max_turns: 3,
            handover: Some("Atendimento".to_owned()),
        }
    }

    fn facts(message: &Message) -> Facts<'_> {
        Facts {
            now: at(10),
            message,
            place: (message.at, "e"),
            newest: None,
            answered: None,
            is_own: false,
            is_opt_word: false,
            is_blocked: false,
            human_at: None,
            assigned_at: None,
            handed_over_at: None,
            closed_at: None,
            turns: None,
        }
    }

    #[test]
    fn who_is_quiet_and_why() {
        let hour = 3_600;
        let (words, thumb) = (text(5, "oi"), other(5, "reaction"));
        let base = facts(&words);
        let later = "answered together with a later message";
        let rows: Vec<(&str, Facts<'_>, Option<&str>)> = vec![
            ("nothing known", base, None),
            (
                "a reaction",
                Facts {
                    message: &thumb,
                    ..base
                },
                Some("a reaction is never answered"),
            ),
            (
                "STOP",
                Facts {
                    is_opt_word: true,
                    ..base
                },
                Some("it opts out or in"),
            ),
            (
                "blocked",
                Facts {
                    is_blocked: true,
                    ..base
                },
                Some("the person is blocked"),
            ),
            (
                "a newer one waits",
                Facts {
                    newest: Some((at(6), "a")),
                    ..base
                },
                Some(later),
            ),
            (
                "a newer one of the same second",
                Facts {
                    newest: Some((at(5), "f")),
                    ..base
                },
                Some(later),
            ),
            (
                "it is the newest",
                Facts {
                    newest: Some((at(5), "e")),
                    ..base
                },
                None,
            ),
            (
                "only an older one waits",
                Facts {
                    newest: Some((at(4), "z")),
                    ..base
                },
                None,
            ),
            (
                "a later one was answered",
                Facts {
                    answered: Some(((at(6), "a"), "answered by x")),
                    ..base
                },
                Some(later),
            ),
            (
                "it was answered itself",
                Facts {
                    answered: Some(((at(5), "e"), "answered by x")),
                    ..base
                },
                Some("answered by x"),
            ),
            (
                "by this very reply, which goes on",
                Facts {
                    answered: Some(((at(5), "e"), "answered by x")),
                    newest: Some((at(7), "n")),
                    handed_over_at: Some(at(9)),
                    is_own: true,
                    ..base
                },
                None,
            ),
            (
                "by this very reply, which gives way to a later message",
                Facts {
                    answered: Some(((at(5), "e"), "answered by x")),
                    newest: Some((at(7), "n")),
                    is_own: true,
                    ..base
                },
                Some(later),
            ),
            (
                "an earlier one was answered",
                Facts {
                    answered: Some(((at(4), "z"), "answered by x")),
                    ..base
                },
                None,
            ),
            (
                "a colleague wrote",
                Facts {
                    human_at: Some(at(0)),
                    ..base
                },
                Some(
                    "a team member wrote at 2026-11-23 15:00 UTC: quiet until 2026-11-24 03:00 UTC",
                ),
            ),
            (
                "a colleague wrote, even while the reply was on its way",
                Facts {
                    human_at: Some(at(9)),
                    is_own: true,
                    ..base
                },
                Some(
                    "a team member wrote at 2026-11-23 15:00 UTC: quiet until 2026-11-24 03:00 UTC",
                ),
            ),
            (
                "long ago",
                Facts {
                    human_at: Some(at(10 - 12 * hour)),
                    ..base
                },
                None,
            ),
            (
                "not quite long enough ago",
                Facts {
                    human_at: Some(at(11 - 12 * hour)),
                    ..base
                },
                Some(
                    "a team member wrote at 2026-11-23 03:00 UTC: quiet until 2026-11-23 15:00 UTC",
                ),
            ),
            (
                "and closed the conversation",
                Facts {
                    human_at: Some(at(0)),
                    closed_at: Some(at(1)),
                    ..base
                },
                None,
            ),
            (
                "and wrote again",
                Facts {
                    human_at: Some(at(2)),
                    closed_at: Some(at(1)),
                    ..base
                },
                Some(
                    "a team member wrote at 2026-11-23 15:00 UTC: quiet until 2026-11-24 03:00 UTC",
                ),
            ),
            (
                "assigned",
                Facts {
                    assigned_at: Some(at(-90 * hour)),
                    ..base
                },
                Some("somebody is assigned"),
            ),
            (
                "assigned, then closed",
                Facts {
                    assigned_at: Some(at(0)),
                    closed_at: Some(at(0)),
                    ..base
                },
                None,
            ),
            (
                "handed over",
                Facts {
                    handed_over_at: Some(at(-90 * hour)),
                    ..base
                },
                Some(
                    "handed over at 2026-11-19 21:00 UTC: silent until the conversation is closed",
                ),
            ),
            (
                "handed over, then closed",
                Facts {
                    handed_over_at: Some(at(0)),
                    closed_at: Some(at(3)),
                    ..base
                },
                None,
            ),
        ];
        for (name, facts, expected) in rows {
            let found = match start(&facts, &table()) {
                Start::Quiet(why) => Some(why),
                Start::Open => None,
                Start::HandOver(answer) => panic!("{name}: {answer:?}"),
            };
            assert_eq!(found.as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn after_so_many_answers_somebody_takes_over() {
        let words = text(5, "oi");
        let base = facts(&words);
        // turns and when the last was given, closed, is it the answer under way, hands over?
        let rows = [
            (None, None, false, false, 1),
            (Some((2, at(0))), None, false, false, 3),
            (Some((3, at(0))), None, false, true, 4),
            (Some((9, at(0))), None, false, true, 10),
            (Some((3, at(0))), None, true, false, 4),
            (Some((3, at(0))), Some(at(1)), false, false, 1),
            (Some((3, at(2))), Some(at(1)), false, true, 4),
        ];
        for (turns, closed_at, is_own, hands_over, after) in rows {
            let facts = Facts {
                turns,
                closed_at,
                is_own,
                ..base
            };
            let found = start(&facts, &table());
            match &found {
                Start::HandOver(answer) => {
                    let handover = answer.handover.clone().unwrap();
                    assert_eq!(handover.team.as_deref(), Some("Atendimento"));
                    assert!(handover.note.is_some() && answer.say.is_none());
                }
                found => assert_eq!(*found, Start::Open),
            }
            assert_eq!(matches!(found, Start::HandOver(_)), hands_over, "{turns:?}");
            assert_eq!(turns_after(&facts), after, "{turns:?}");
        }
    }

    #[test]
    fn what_follows_from_the_rule_that_matched() {
        let backend = Backend {
            kind: BackendKind::Http,
            url: "https://bot.example".to_owned(),
            secret: "bot".to_owned(),
            model: None,
            prompt: None,
            history: 10,
            max_tokens: 300,
            timeout: SignedDuration::from_secs(15),
        };
        let rule = |deed| Rule {
            condition: RuleCondition::Always,
            deed,
            once_every: None,
        };
        let handover = |team: Option<&str>, note: Option<&str>| {
            rule(RuleDeed::Handover {
                team: team.map(str::to_owned),
                say: Some("ja-vai".to_owned()),
                note: note.map(|note| Text(note.to_owned())),
            })
        };
        let asked = ReplyTable {
            backend: Some(backend),
            ..table()
        };
        let silent = ReplyTable {
            otherwise: None,
            ..table()
        };
        let write = |text: &Text| (text.0 != "broken").then(|| text.0.clone());
        let told = |answer: Answer| {
            let handover = answer
                .handover
                .map(|handover| (handover.team, handover.note));
            (answer.say, handover, answer.why)
        };
        let said = |name: &str| Some(Say::Message(name.to_owned()));
        let some = |text: &str| Some(text.to_owned());
        let say = rule(RuleDeed::Say("rastreio".to_owned()));
        let ignore = rule(RuleDeed::Ignore);
        let (own, plain) = (
            handover(Some("Vendas"), Some("nota")),
            handover(None, Some("broken")),
        );
        let rows = [
            (Some((0, &say)), said("rastreio"), None, "rule 1"),
            (Some((4, &ignore)), None, None, "ignored by rule 5"),
            (
                Some((1, &own)),
                said("ja-vai"),
                Some((some("Vendas"), some("nota"))),
                "rule 2",
            ),
            (
                Some((1, &plain)),
                said("ja-vai"),
                Some((some("Atendimento"), None)),
                "rule 2",
            ),
            (None, said("menu"), None, "no rule matched"),
        ];
        for (matched, say, handover, why) in rows {
            match deed(&table(), matched, &write) {
                Turn::Do(answer) => assert_eq!(told(answer), (say, handover, why.to_owned())),
                Turn::Ask(_) => panic!("{why}"),
            }
        }
        assert!(matches!(deed(&asked, None, &write), Turn::Ask(_)));
        assert!(matches!(deed(&asked, Some((0, &say)), &write), Turn::Do(_)));
        assert_eq!(otherwise(&silent, "failed"), Answer::nothing("failed"));
        assert_eq!(noted("  "), None);
        assert_eq!(noted(&"a ".repeat(900)).unwrap().chars().count(), 999);
    }
}
