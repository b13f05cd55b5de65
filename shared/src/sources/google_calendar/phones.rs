//! Where an event of a calendar may hold a phone number. There is no field for one: what the booking tool
//! wrote is surest, then what somebody typed. Numbers that one dials to join a conference are nobody's.

use serde_json::Value;

use super::super::read;
use crate::event::PhoneCandidate;

/// The places, in order of preference.
pub(super) const PATHS: &[&str] = &[
    "extendedProperties.private.phone",
    "extendedProperties.shared.phone",
    "description",
    "location",
    "summary",
];

/// Fewest and most digits of a number that somebody typed.
const DIGITS: std::ops::RangeInclusive<usize> = 8..=15;
/// Most numbers that are tried of one text.
const PER_TEXT_MAX: usize = 5;
/// What begins and ends the part of a description that Google writes about its conference.
const CONFERENCE_RULE: &str = "-::~";
/// Words of lines that say how to join a conference. What follows such a line, up to an empty one, says
/// it too: a list of numbers by country.
const CONFERENCE_WORDS: [&str; 18] = [
    ",,",
    "dial",
    "dial-in",
    "call-in",
    "one tap",
    "pin:",
    "meeting id",
    "meeting number",
    "passcode",
    "access code",
    "conference",
    "toll",
    "toll-free",
    "zoom",
    "webex",
    "join by phone",
    "local number",
    "local numbers",
];
/// What ends a line in a description that is HTML.
const LINE_ENDS: [&str; 6] = ["<br>", "<br/>", "<br />", "</p>", "</div>", "</li>"];
/// What stands before a number that a link leads to.
const LINKS: [&str; 3] = ["wa.me/", "tel:", "send?phone="];

/// Every candidate of an event: of `order` where the connection names places, else of all.
pub(super) fn candidates(item: &Value, order: &[String]) -> Vec<PhoneCandidate> {
    let dialled = dial_ins(item);
    let paths: Vec<&str> = if order.is_empty() {
        PATHS.to_vec()
    } else {
        let named = |path: &&&str| order.iter().any(|name| name == **path);
        let position = |path: &&str| order.iter().position(|name| name == *path);
        let mut paths: Vec<&str> = PATHS.iter().filter(named).copied().collect();
        paths.sort_by_key(position);
        paths
    };
    let mut found: Vec<PhoneCandidate> = Vec::new();
    for path in paths {
        let text = text_at(item, path).unwrap_or_default();
        let mut numbers = if path.ends_with(".phone") {
            vec![text.trim().to_owned()]
        } else {
            numbers(&text)
        };
        numbers.retain(|number| !number.is_empty() && !dialled.contains(&digits(number)));
        if numbers.is_empty() {
            found.push(candidate(path, None));
        }
        found.extend(
            numbers
                .into_iter()
                .map(|number| candidate(path, Some(number))),
        );
    }
    found
}

fn candidate(path: &str, number: Option<String>) -> PhoneCandidate {
    PhoneCandidate {
        path: path.to_owned(),
        number,
        country: None,
    }
}

fn text_at(item: &Value, path: &str) -> Option<String> {
    let mut value = item;
    for part in path.split('.') {
        value = value.get(part)?;
    }
    let text = match value {
        Value::Number(number) => number.to_string(),
        other => other.as_str()?.to_owned(),
    };
    let lines = LINE_ENDS
        .iter()
        .fold(text, |text, end| text.replace(end, "\n"));
    read::plain(&lines)
}

/// The numbers of the conference itself, digits alone.
fn dial_ins(item: &Value) -> Vec<String> {
    let entries = item
        .pointer("/conferenceData/entryPoints")
        .and_then(Value::as_array);
    let numbers = entries.into_iter().flatten().flat_map(|entry| {
        [entry.get("uri"), entry.get("label")]
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(|text| digits(text.split([',', ';']).next().unwrap_or_default()))
    });
    numbers.filter(|number| !number.is_empty()).collect()
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// The numbers that somebody typed, those with a country code first.
pub(in crate::sources) fn numbers(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let (mut in_conference, mut in_list) = (false, false);
    for line in text.lines() {
        if line.trim_start().starts_with(CONFERENCE_RULE) {
            in_conference = !in_conference;
            continue;
        }
        let lower = line.to_lowercase();
        let says_how = CONFERENCE_WORDS.iter().any(|word| has(&lower, word));
        in_list = says_how || (in_list && !line.trim().is_empty());
        if in_conference || in_list {
            continue;
        }
        found.extend(linked(line));
        let without_links: Vec<&str> = line
            .split_whitespace()
            .filter(|word| !is_link(word))
            .collect();
        found.extend(typed(&without_links.join(" ")));
    }
    found.sort_by_key(|number| !number.starts_with('+'));
    found.truncate(PER_TEXT_MAX);
    found
}

/// Whether a line has the word, and not only a longer one: *cordiali* is no *dial*.
pub(in crate::sources) fn has(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line
            .get(at.saturating_add(word.len())..)
            .and_then(|text| text.chars().next());
        let bounded = |c: Option<char>| !c.is_some_and(char::is_alphabetic);
        bounded(before) && bounded(after)
    })
}

fn is_link(word: &str) -> bool {
    word.contains("://") || word.contains("www.") || LINKS.iter().any(|link| word.contains(link))
}

/// Numbers of `wa.me/55…`, which are international, and of `tel:`, which are where they begin with `+`.
fn linked(line: &str) -> Vec<String> {
    let behind = |link: &&str| {
        let (_, rest) = line.split_once(*link)?;
        let rest = rest.replace("%2B", "+").replace("%2b", "+");
        let inside = |c: &char| c.is_ascii_digit() || matches!(c, '+' | '-');
        let text: String = rest.chars().take_while(inside).collect();
        let number = digits(&text);
        if !DIGITS.contains(&number.len()) {
            return None;
        }
        let international = text.starts_with('+') || (*link != "tel:" && !text.starts_with('0'));
        Some(if international {
            format!("+{number}")
        } else {
            number
        })
    };
    LINKS.iter().filter_map(behind).collect()
}

/// Runs of digits with single separators between them: `+55 (11) 98765-4321`.
fn typed(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut run = String::new();
    let mut finish = |run: &mut String, next: Option<char>| {
        // `98765-4321 15h` is a number and an hour.
        if matches!(next, Some('h' | 'H' | ':'))
            && let Some((number, hour)) = run.rsplit_once(' ')
            && digits(hour).len() <= 2
        {
            *run = number.to_owned();
        }
        let text = run
            .trim_matches(|c: char| !c.is_ascii_digit() && c != '+' && c != '(')
            .to_owned();
        run.clear();
        if DIGITS.contains(&digits(&text).len()) && !begins_with_date(&text) {
            found.push(text);
        }
    };
    for c in line.chars() {
        let last = run.chars().next_back();
        let separator = matches!(c, ' ' | '-' | '.' | '(' | ')' | '\u{a0}');
        let joins = match (c, last) {
            ('+', _) => false,
            (c, _) if c.is_ascii_digit() => true,
            // One separator, or a bracket beside one.
            _ if separator => last
                .is_none_or(|last| last.is_ascii_digit() || (last == ')' || c == '(') && last != c),
            _ => false,
        };
        if !joins {
            finish(&mut run, Some(c));
        }
        if joins || c == '+' {
            run.push(c);
        }
    }
    finish(&mut run, None);
    found
}

/// `2026-11-22 10` is a day and an hour.
fn begins_with_date(text: &str) -> bool {
    let day = text.get(..10).unwrap_or_default();
    day.parse::<jiff::civil::Date>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_found_where_people_type_them() {
        let rows: &[(&str, &[&str])] = &[
            ("Maria +55 11 98765-4321", &["+55 11 98765-4321"]),
            ("Tel: (11) 98765-4321, particular", &["(11) 98765-4321"]),
            ("WhatsApp:+5511987654321", &["+5511987654321"]),
            ("https://wa.me/5511987654321?text=oi", &["+5511987654321"]),
            ("tel:+39-333-1234567", &["+393331234567"]),
            (
                "333 123 4567 / +39 333 765 4321",
                &["+39 333 765 4321", "333 123 4567"],
            ),
            ("2026-11-22 10:00", &[]),
            ("22/11/2026 10:30", &[]),
            ("https://zoom.us/j/98765432101", &[]),
            ("One tap mobile +16465588656,,98765432101#", &[]),
            ("Or dial: (US) +1 555-555-1234 PIN: 123 456 789#", &[]),
            ("tel:51987654321", &["51987654321"]),
            ("Maria 98765-4321 15h", &["98765-4321"]),
            ("Cordiali saluti, 333 1234567", &["333 1234567"]),
            (
                "Dial by your location\n+1 669 900 6833 US\n+39 02 1234 5678 Italy\n\nTel 333 1234567",
                &["333 1234567"],
            ),
            ("+1-650-479-3208 Call-in toll number (US/Canada)", &[]),
            ("Sala 3", &[]),
            ("", &[]),
        ];
        for (text, expected) in rows {
            assert_eq!(numbers(text), *expected, "{text}");
        }
        let block = "Maria\n-::~:~::~:~::-\nJoin\n+1 555-555-1234\n-::~:~::~:~::-\n+39 333 1234567";
        assert_eq!(numbers(block), ["+39 333 1234567"]);
    }

    #[test]
    fn the_booking_tool_goes_first_and_dial_ins_are_nobody_s() {
        let item = json!({
            "summary": "Maria 11 98765-4321", "location": "+1 555 555 1234",
            "description": "<b>Phone</b>: +39 333 1234567<br>x",
            "extendedProperties": {"private": {"phone": "+5511900000000"}},
            "conferenceData": {"entryPoints": [{"entryPointType": "phone", "uri": "tel:+1-555-555-1234"}]},
        });
        let of = |order: &[&str]| -> Vec<(String, Option<String>)> {
            let order: Vec<String> = order.iter().map(|path| (*path).to_owned()).collect();
            let found = candidates(&item, &order).into_iter();
            found
                .map(|candidate| (candidate.path, candidate.number))
                .collect()
        };
        let number = |text: &str| Some(text.to_owned());
        assert_eq!(
            of(&[]),
            [
                (
                    "extendedProperties.private.phone".to_owned(),
                    number("+5511900000000")
                ),
                ("extendedProperties.shared.phone".to_owned(), None),
                ("description".to_owned(), number("+39 333 1234567")),
                ("location".to_owned(), None),
                ("summary".to_owned(), number("11 98765-4321")),
            ]
        );
        let order = of(&["summary", "description"]);
        assert_eq!(
            order.first().map(|(path, _)| path.as_str()),
            Some("summary")
        );
        assert_eq!(order.len(), 2);
    }
}
