//! What is wrong with a file, where, and what to write instead.

use std::fmt::Write as _;
use std::ops::Range;

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, and probably does not do what was meant.
    Warning,
}

impl Severity {
    /// The word of the listing.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warn",
        }
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong and what to write instead, in one sentence.
    pub message: String,
    /// The line of the file.
    pub source_line: String,
    /// What to write instead, alone, where there is just one answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
}

impl Diagnostic {
    /// The line of the file with a mark under the column.
    pub fn excerpt(&self) -> String {
        let before: String = self
            .source_line
            .chars()
            .take(self.column.saturating_sub(1))
            .collect();
        // A tab stays one, so that the mark stands where the terminal puts the character.
        let indent: String = before
            .chars()
            .map(|c| if c == '\t' { c } else { ' ' })
            .collect();
        format!("    {}\n    {indent}^\n", self.source_line)
    }
}

/// Several mistakes as the listing of `callbell check`: position, severity, message, a line each.
pub fn listing(file: &str, diagnostics: &[Diagnostic]) -> String {
    let positions: Vec<String> = diagnostics
        .iter()
        .map(|one| format!("{file}:{}:{}", one.line, one.column))
        .collect();
    let width = positions
        .iter()
        .map(|position| position.chars().count())
        .max()
        .unwrap_or(0);
    let mut out = String::new();
    for (position, one) in positions.iter().zip(diagnostics) {
        let severity = one.severity.as_str();
        // Writing into a String cannot fail.
        let _ = writeln!(out, "{position:width$}  {severity:5}  {}", one.message);
    }
    out
}

/// The text of a file, for positions in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'t> {
    pub(crate) text: &'t str,
}

impl<'t> Source<'t> {
    /// Line and column of a byte, both from 1, the column in characters.
    pub(crate) fn position(self, offset: usize) -> (usize, usize) {
        let before = self.before(offset);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(start..).map_or(0, |text| text.chars().count()) + 1;
        (line, column)
    }

    fn before(self, offset: usize) -> &'t str {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        self.text.get(..end).unwrap_or_default()
    }

    fn line(self, number: usize) -> &'t str {
        self.text
            .lines()
            .nth(number.saturating_sub(1))
            .unwrap_or_default()
    }

    /// A mistake at a span of the file.
    pub(crate) fn diagnostic(
        self,
        severity: Severity,
        span: &Range<usize>,
        message: String,
    ) -> Diagnostic {
        let (line, column) = self.position(span.start);
        let source_line = self.line(line).to_owned();
        let instead = instead(&message);
        Diagnostic {
            line,
            column,
            severity,
            message,
            source_line,
            instead,
        }
    }
}

/// What a message tells to write, alone: it ends in `did you mean X?` or `: write X`.
fn instead(message: &str) -> Option<String> {
    let meant = message
        .rsplit_once("did you mean ")
        .and_then(|(_, rest)| rest.strip_suffix('?'));
    let written = || {
        message
            .rsplit_once(": write ")
            .map(|(_, rest)| rest)
            .filter(|rest| !rest.contains([' ', ',']))
    };
    meant
        .or_else(written)
        .map(|word| word.trim_matches(['"', '\'']).to_owned())
}

/// The name in `known` that is most like `typed`, where one is near enough to be meant.
pub(crate) fn nearest<'k>(
    typed: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<&'k str> {
    let allowed = (typed.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|name| {
            (
                strsim::osa_distance(&typed.to_lowercase(), &name.to_lowercase()),
                name,
            )
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// ` did you mean x?` where one is near, else `; there are: a, b`, else nothing.
pub(crate) fn suggestion<'k>(typed: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(typed, known.iter().copied()) {
        Some(name) => format!("; did you mean {name}?"),
        None if known.is_empty() => "; there are none".to_owned(),
        None => format!("; there are: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        let source = Source {
            text: "é = 1\n\tà = 'x'\n",
        };
        assert_eq!(source.position(0), (1, 1));
        assert_eq!(source.position(3), (1, 3));
        let place = source.text.find("'x'").expect("a value");
        let one = source.diagnostic(
            Severity::Error,
            &(place..place + 3),
            "wrong: write y".to_owned(),
        );
        assert_eq!((one.line, one.column), (2, 6));
        assert_eq!(one.instead.as_deref(), Some("y"));
        assert_eq!(one.excerpt(), "    \tà = 'x'\n    \t    ^\n");
        // Inside a character, and behind the end: no panic.
        assert_eq!(source.position(1), (1, 1));
        assert_eq!(source.position(99), (3, 1));
    }

    #[test]
    fn what_to_write_is_found_in_the_message() {
        for (message, word) in [
            (
                "unknown event \"order.create\": did you mean order.created?",
                Some("order.created"),
            ),
            ("unknown locale \"pt_BR\": write pt-BR", Some("pt-BR")),
            (
                "if_unknown = \"resent\": did you mean \"resend\"?",
                Some("resend"),
            ),
            (
                "unknown time zone \"x\": write region and city, like America/Sao_Paulo",
                None,
            ),
            ("text twice", None),
        ] {
            assert_eq!(instead(message).as_deref(), word, "{message}");
        }
    }

    #[test]
    fn the_nearest_name_is_near() {
        let known = ["order.created", "order.paid", "order.cancelled"];
        assert_eq!(nearest("order.create", known), Some("order.created"));
        assert_eq!(nearest("Order.Paid", known), Some("order.paid"));
        assert_eq!(nearest("payment.ok", known), None);
    }
}
