//! How lists and sentences look: colours on a terminal, plain text elsewhere, JSON where it is asked for.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;
use shared::store::Status;

use crate::error::CliError;

/// One cell of a table.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    style: Style,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell {
            text: text.into(),
            style: Style::new(),
        }
    }
}

impl Cell {
    /// Grey: what is there for the sake of completeness.
    #[must_use]
    pub fn faint(mut self) -> Cell {
        self.style = self.style.dimmed();
        self
    }

    /// The colour of a job's state.
    pub fn status(status: Status) -> Cell {
        Cell {
            text: status.as_str().to_owned(),
            style: style(status),
        }
    }

    /// In the colour of a job's state.
    #[must_use]
    pub fn colored(mut self, status: Status) -> Cell {
        self.style = style(status);
        self
    }
}

fn style(status: Status) -> Style {
    match status {
        Status::Sent => Style::new().green(),
        Status::Due | Status::Running => Style::new().cyan(),
        Status::Uncertain | Status::Held => Style::new().yellow(),
        Status::Dead => Style::new().red(),
        Status::Skipped | Status::Cancelled => Style::new().dimmed(),
    }
}

/// Rows under a head, columns as wide as they have to be; the last one runs on.
pub fn table(head: &[&str], rows: &[Vec<Cell>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|name| name.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.text.chars().count());
        }
    }
    let head: Vec<Cell> = head.iter().map(|name| Cell::from(*name).faint()).collect();
    let mut out = String::new();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if index > 0 {
                line.push_str("  ");
            }
            line.push_str(&cell.text.style(cell.style).to_string());
            if index + 1 < row.len() {
                line.extend(std::iter::repeat_n(' ', width - cell.text.chars().count()));
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Breaks a text into lines of at most so many characters, between words; a longer word is cut.
pub fn wrap(text: &str, chars_max: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            let Some(line) = lines.last_mut() else {
                return lines;
            };
            let used = line.chars().count();
            let room = chars_max.saturating_sub(if used == 0 { 0 } else { used + 1 });
            if word.len() <= room {
                if used > 0 {
                    line.push(' ');
                }
                line.extend(word);
                break;
            }
            if used == 0 {
                let rest = word.split_off(room.max(1));
                line.extend(word);
                word = rest;
            }
            lines.push(String::new());
        }
    }
    lines
}

/// Prints a line; colours go where they are not wanted.
pub fn say(line: impl AsRef<str>) {
    anstream::println!("{}", line.as_ref());
}

/// Prints what did not work and does not matter enough to stop, and what to do about it. Not among the
/// output, which programs read.
pub fn warn(what: &str, todo: Option<&str>) {
    anstream::eprintln!("{} {what}", "warning:".yellow().bold());
    if let Some(todo) = todo {
        anstream::eprintln!("  {todo}");
    }
}

/// Prints a value as JSON.
///
/// # Errors
/// It cannot be written as JSON.
pub fn json(value: &impl Serialize) -> Result<(), CliError> {
    anstream::println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// An instant as people read it in a list, in a zone: `22 Nov 10:00:05`.
pub fn instant(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone())
        .strftime("%-d %b %H:%M:%S")
        .to_string()
}

/// `1 job`, `2 jobs`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// `15 sent, 3 skipped`: how many are in each state, in the order in which they matter.
pub fn tally<'a>(statuses: impl IntoIterator<Item = &'a Status>) -> String {
    let statuses: Vec<Status> = statuses.into_iter().copied().collect();
    let order = [
        Status::Sent,
        Status::Skipped,
        Status::Cancelled,
        Status::Due,
        Status::Running,
        Status::Uncertain,
        Status::Held,
        Status::Dead,
    ];
    let parts: Vec<String> = order
        .into_iter()
        .map(|status| {
            (
                status,
                statuses.iter().filter(|other| **other == status).count(),
            )
        })
        .filter(|(_, number)| *number > 0)
        .map(|(status, number)| format!("{number} {status}"))
        .collect();
    if parts.is_empty() {
        "none".to_owned()
    } else {
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let rows = vec![
            vec![
                Cell::from("order.paid"),
                Cell::from("à"),
                Cell::status(Status::Sent),
            ],
            vec![Cell::from("x"), Cell::from("bb"), Cell::from("")],
        ];
        let plain =
            anstream::adapter::strip_str(&table(&["event", "to", "state"], &rows)).to_string();
        assert_eq!(
            plain,
            "event       to  state\norder.paid  à   sent\nx           bb\n"
        );
    }

    #[test]
    fn long_texts_go_on_below() {
        assert_eq!(wrap("à b c", 3), ["à b", "c"]);
        assert_eq!(wrap("abcdefg h", 3), ["abc", "def", "g h"]);
        assert_eq!(wrap("", 3), [""]);
    }

    #[test]
    fn states_are_counted() {
        assert_eq!(
            tally(&[Status::Skipped, Status::Sent, Status::Sent]),
            "2 sent, 1 skipped"
        );
        assert_eq!(tally(&[]), "none");
        assert_eq!(count(1, "event"), "1 event");
        assert_eq!(count(0, "job"), "0 jobs");
    }
}
