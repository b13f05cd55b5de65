//! From a byte of a string's value back to the byte of the file.

/// The offset, within the raw TOML string `raw` (quotes included), of byte `target` of its value.
pub(super) fn raw_offset(raw: &str, target: usize) -> usize {
    let (open, escapes) = ["\"\"\"", "'''", "\"", "'"]
        .iter()
        .find(|quote| raw.starts_with(**quote))
        .map_or((0, false), |quote| (quote.len(), quote.starts_with('"')));
    let mut offset = open;
    if open == 3 {
        // A line break right after the opening quotes is not part of the value.
        offset += ["\r\n", "\n"]
            .iter()
            .find(|line| starts(raw, offset, line))
            .map_or(0, |line| line.len());
    }
    let mut value = 0;
    while let Some(next) = raw.get(offset..).and_then(|rest| rest.chars().next()) {
        let (raw_bytes, value_bytes) = match next {
            '\\' if escapes => escape(raw.get(offset..).unwrap_or_default()),
            other => (other.len_utf8(), other.len_utf8()),
        };
        // What has no bytes in the value stands before the byte that is looked for.
        if value >= target && value_bytes > 0 {
            break;
        }
        offset += raw_bytes;
        value += value_bytes;
    }
    offset
}

fn starts(raw: &str, offset: usize, with: &str) -> bool {
    raw.get(offset..).is_some_and(|rest| rest.starts_with(with))
}

/// How many bytes an escape takes in the file, and in the value.
fn escape(text: &str) -> (usize, usize) {
    let hex = |digits: usize| {
        let code = text
            .get(2..2 + digits)
            .and_then(|hex| u32::from_str_radix(hex, 16).ok());
        let bytes = code.and_then(char::from_u32).map_or(1, char::len_utf8);
        (2 + digits, bytes)
    };
    match text.as_bytes().get(1) {
        Some(b'x') => hex(2),
        Some(b'u') => hex(4),
        Some(b'U') => hex(8),
        Some(b' ' | b'\t' | b'\n' | b'\r') => {
            // A backslash at the end of a line swallows the white space that follows.
            let rest = text.get(1..).unwrap_or_default();
            (1 + rest.len() - rest.trim_start().len(), 0)
        }
        Some(_) => (2, 1),
        None => (1, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::raw_offset;

    #[test]
    fn every_form_of_string() {
        for (raw, value) in [
            ("\"abcX\"", "abcX"),
            ("'a\\bX'", "a\\bX"),
            ("\"a\\tb\\\"X\"", "a\tb\"X"),
            ("\"\\u00e9X\"", "éX"),
            ("\"\"\"\nab\nX\"\"\"", "ab\nX"),
            ("\"\"\"ab\\\n   X\"\"\"", "abX"),
            ("'''\r\nX'''", "X"),
        ] {
            let target = value.find('X').expect("an X");
            assert_eq!(
                raw_offset(raw, target),
                raw.find('X').expect("an X"),
                "{raw}"
            );
        }
        assert_eq!(raw_offset("\"ab\"", 99), 4);
    }
}
