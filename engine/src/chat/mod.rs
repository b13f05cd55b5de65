//! The chatbot: which rule matches, whose turn it is, what a backend is asked and what its answer means, all
//! of it pure; and in `answerer` and `backend` what puts it together with rows, requests and the clock.

pub mod ai;
mod answerer;
mod backend;
pub mod http_bot;
pub mod rules;
pub mod turn;

pub use answerer::Answerer;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::event::{Message, MessageKind};

/// Longest text that WhatsApp takes, in characters.
pub use crate::automations::render::TEXT_CHARS_MAX as ANSWER_CHARS_MAX;

/// Most characters of a burst that a backend is shown, its end.
const BURST_CHARS_MAX: usize = 6_000;
/// Most characters of one note at Callbell.
pub const NOTE_CHARS_MAX: usize = 1_000;

/// What a person wrote since they were answered last, oldest first.
#[derive(Clone, PartialEq)]
pub struct Burst {
    earlier: Vec<Message>,
    newest: Message,
}

impl Burst {
    /// One message alone.
    pub fn one(newest: Message) -> Burst {
        Burst {
            earlier: Vec::new(),
            newest,
        }
    }

    /// `newest` and what came before it, oldest first.
    pub fn new(earlier: Vec<Message>, newest: Message) -> Burst {
        Burst { earlier, newest }
    }

    /// The last message.
    pub fn newest(&self) -> &Message {
        &self.newest
    }

    /// All of them, oldest first.
    pub fn messages(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.earlier.iter().chain([&self.newest])
    }

    /// When the first was written.
    pub fn begins(&self) -> Timestamp {
        self.messages()
            .map(|message| message.at)
            .min()
            .unwrap_or(self.newest.at)
    }

    /// Its words, a line a message. A tapped row counts as its title; what has no words is left out.
    pub fn text(&self) -> String {
        let lines: Vec<&str> = self.messages().filter_map(words).collect();
        lines.join("\n")
    }

    /// Its words as a backend reads them: what has no words is named by its kind. At most
    /// 6,000 characters, the last ones.
    pub fn told(&self) -> String {
        let line = |message: &Message| match words(message) {
            Some(words) => words.to_owned(),
            None => format!("[{}]", kind(message.kind)),
        };
        let lines: Vec<String> = self.messages().map(line).collect();
        let text = lines.join("\n");
        let surplus = text.chars().count().saturating_sub(BURST_CHARS_MAX);
        text.chars().skip(surplus).collect()
    }
}

impl fmt::Debug for Burst {
    /// How many: the rest is personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Burst({})", self.earlier.len().saturating_add(1))
    }
}

/// What a message says in words.
fn words(message: &Message) -> Option<&str> {
    let text = message.text.as_deref().map(str::trim);
    text.filter(|text| !text.is_empty())
        .or(message.choice.as_deref())
        .or(message.card.as_deref())
}

/// `text`, `image`, …, as automations know it.
fn kind(kind: MessageKind) -> &'static str {
    match kind {
        MessageKind::Text => "text",
        MessageKind::Image => "image",
        MessageKind::Document => "document",
        MessageKind::Audio => "audio",
        MessageKind::Video => "video",
        MessageKind::Location => "location",
        MessageKind::Contact => "contact",
        MessageKind::Button => "button",
        MessageKind::List => "list",
        MessageKind::Reaction => "reaction",
    }
}

/// One earlier message, as backends see it.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    /// The person's; else ours: a colleague's, a bot's, an automation's.
    pub theirs: bool,
    /// What it says.
    pub text: String,
    /// When it was written.
    pub at: Timestamp,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("theirs", &self.theirs)
            .finish_non_exhaustive()
    }
}

/// What the chatbot does with a burst. Kept from before it is said until it was said, so that nobody is
/// asked twice.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What is said; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub say: Option<Say>,
    /// Somebody takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handover: Option<Handover>,
    /// Why, in words for `callbell jobs show`: `rule 2`, `the backend failed: 500`. Nothing of a person.
    #[serde(default)]
    pub why: String,
}

/// What is said.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Say {
    /// A `[message.x]`, in the person's language.
    Message(String),
    /// A backend's own words.
    Text(String),
}

/// Somebody takes over.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// Team by name; `None`: the table's, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// What the team reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl fmt::Debug for Say {
    /// The message's name alone: a text may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Say::Message(name) => write!(f, "Message({name})"),
            Say::Text(_) => f.write_str("Text([REDACTED])"),
        }
    }
}

impl fmt::Debug for Handover {
    /// The team alone: a note may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover")
            .field("team", &self.team)
            .finish_non_exhaustive()
    }
}

impl Answer {
    /// Nothing is said.
    pub fn nothing(why: impl Into<String>) -> Answer {
        Answer {
            why: why.into(),
            ..Answer::default()
        }
    }

    /// A `[message.x]` is said.
    pub fn message(name: &str, why: impl Into<String>) -> Answer {
        Answer {
            say: Some(Say::Message(name.to_owned())),
            handover: None,
            why: why.into(),
        }
    }
}

impl fmt::Debug for Answer {
    /// Why alone: what is said may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("why", &self.why)
            .field("hands_over", &self.handover.is_some())
            .finish_non_exhaustive()
    }
}

/// A text of at most so many characters: whole sentences where there is one, else whole words.
pub fn cut(text: &str, chars_max: usize) -> &str {
    let text = text.trim();
    let Some((end, _)) = text.char_indices().nth(chars_max) else {
        return text;
    };
    let head = text.get(..end).unwrap_or(text);
    sentences(head)
        .or_else(|| {
            head.rsplit_once(char::is_whitespace)
                .map(|(words, _)| words)
        })
        .unwrap_or(head)
        .trim_end()
}

/// The whole sentences that a text begins with; `None` where not even one ends.
pub fn sentences(text: &str) -> Option<&str> {
    let ends = |c: char| matches!(c, '.' | '!' | '?' | '…' | '。' | '！' | '？' | '\n');
    let mut last = None;
    let mut chars = text.char_indices().peekable();
    while let Some((index, c)) = chars.next() {
        // A point within `1.50` or `loja.com` ends nothing.
        let stands_alone = chars.peek().is_none_or(|(_, next)| {
            next.is_whitespace() || matches!(next, '"' | '”' | '»' | ')') || ends(*next)
        });
        if ends(c) && (stands_alone || c == '\n' || !c.is_ascii()) {
            last = Some(index + c.len_utf8());
        }
    }
    let head = text.get(..last?)?.trim_end();
    (!head.is_empty()).then_some(head)
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A text, written at this second of noon.
    pub(crate) fn text(second: i64, words: &str) -> Message {
        serde_json::from_value(serde_json::json!({
            "text": words, "kind": "text", "status": "received", "at": at(second).to_string(),
        }))
        .unwrap()
    }

    /// Something without words.
    pub(crate) fn other(second: i64, kind: &str) -> Message {
        serde_json::from_value(serde_json::json!({
            "kind": kind, "status": "received", "at": at(second).to_string(),
        }))
        .unwrap()
    }

    pub(crate) fn at(second: i64) -> Timestamp {
        let noon: Timestamp = "2026-11-23T15:00:00Z".parse().unwrap();
        noon + jiff::SignedDuration::from_secs(second)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{other, text};
    use super::*;

    #[test]
    fn a_burst_is_read_in_order_and_what_has_no_words_is_named() {
        let mut row = other(2, "list");
        row.choice = Some("Trocas".to_owned());
        let burst = Burst::new(vec![text(0, " oi "), other(1, "image"), row], text(3, "?"));
        assert_eq!(burst.text(), "oi\nTrocas\n?");
        assert_eq!(burst.told(), "oi\n[image]\nTrocas\n?");
        assert_eq!(burst.begins(), text(0, "").at);
        let long = Burst::one(text(0, &"ã".repeat(BURST_CHARS_MAX + 5)));
        assert_eq!(long.told().chars().count(), BURST_CHARS_MAX);
    }

    #[test]
    fn what_is_too_long_ends_with_a_sentence() {
        let rows = [
            ("short", 10, "short"),
            ("One two. Three four.", 10, "One two."),
            ("One two. Three", 13, "One two."),
            ("It costs 1.50 euros now", 12, "It costs"),
            ("Sim! Não? Talvez", 10, "Sim! Não?"),
            ("aaaaaaaaaaaa", 5, "aaaaa"),
            ("第一句。第二句。第三", 9, "第一句。第二句。"),
            ("  x  ", 3, "x"),
            ("line one\nline two", 12, "line one"),
        ];
        for (whole, max, expected) in rows {
            assert_eq!(cut(whole, max), expected, "{whole}");
        }
        assert_eq!(sentences("no end"), None);
        assert_eq!(sentences("Um. Dois"), Some("Um."));
        assert_eq!(sentences(""), None);
    }

    #[test]
    fn an_answer_reads_back() {
        let answers = [
            Answer::nothing("ignored"),
            Answer::message("menu", "rule 1"),
            Answer {
                say: Some(Say::Text("Olá".to_owned())),
                handover: Some(Handover {
                    team: Some("Vendas".to_owned()),
                    note: Some("pede desconto".to_owned()),
                }),
                why: "the backend".to_owned(),
            },
        ];
        for answer in answers {
            let json = serde_json::to_string(&answer).unwrap();
            assert_eq!(serde_json::from_str::<Answer>(&json).unwrap(), answer);
        }
    }
}
