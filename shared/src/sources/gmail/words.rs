//! What mail makes of words: character sets, encoded words in headers, lists of addresses, HTML, and the mail
//! that a mail answers.

/// Most addresses of one header.
const ADDRESSES_MAX: usize = 100;
/// Longest name or address, in characters.
const ADDRESS_CHARS_MAX: usize = 320;
/// Characters of Windows-1252 from 0x80 to 0x9f, where ISO 8859-1 has none that are seen.
/// <https://encoding.spec.whatwg.org/#windows-1252>
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];
/// Elements whose content nobody reads.
const UNSEEN: [&str; 4] = ["style", "script", "head", "title"];
/// Elements that end a line.
const LINES: [&str; 12] = [
    "br",
    "p",
    "div",
    "li",
    "tr",
    "h1",
    "h2",
    "h3",
    "h4",
    "table",
    "blockquote",
    "hr",
];
/// What begins the mail that is answered, in programs that say so in English: a line.
const ORIGINALS: [&str; 7] = [
    "original message",
    "mensagem original",
    "mensaje original",
    "messaggio originale",
    "message d'origine",
    "ursprüngliche nachricht",
    "forwarded message",
];
/// What ends a line that introduces the mail that is answered: `On Monday, Maria wrote:`.
const WROTE: [&str; 9] = [
    "wrote:",
    "escreveu:",
    "escribió:",
    "ha scritto:",
    "scrisse:",
    "a écrit :",
    "a écrit:",
    "schrieb:",
    "a scris:",
];
/// Lines that introduce it may be broken once.
const INTRODUCTION_LINES: usize = 2;
/// Outlook's line above it, at least so many of them.
const RULE_MIN: usize = 20;

/// One address of a header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) name: Option<String>,
    /// In lower case.
    pub(super) address: String,
}

/// Text without control characters but line breaks, no blanks around it, at most so many characters.
pub(super) fn clean(text: &str, chars_max: usize) -> String {
    let visible = |c: &char| !c.is_control() || *c == '\n' || *c == '\t';
    let clean: String = text
        .trim()
        .chars()
        .filter(visible)
        .take(chars_max)
        .collect();
    clean.trim().to_owned()
}

/// The character set that a `Content-Type` names.
pub(super) fn charset(content_type: &str) -> &str {
    let of = |part: &'_ str| -> Option<usize> {
        let (name, _) = part.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| name.len().saturating_add(1))
    };
    let value = content_type
        .split(';')
        .find_map(|part| part.get(of(part)?..));
    value.unwrap_or_default().trim().trim_matches('"')
}

/// Bytes of a character set as text. What reads as UTF-8 is that, whatever was said: Gmail gives some parts
/// in UTF-8 under the name of another. Sets of the West are read as Windows-1252, which all of them are a
/// part of; anything else loses the characters that ASCII does not have.
pub(super) fn of_charset(bytes: &[u8], charset: &str) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
    }
    let charset = charset.to_ascii_lowercase();
    let western = [
        "",
        "us-ascii",
        "iso-8859-1",
        "iso-8859-15",
        "latin1",
        "windows-1252",
        "cp1252",
    ];
    if !western.contains(&charset.as_str()) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let character = |byte: &u8| match (*byte, charset.as_str()) {
        (0xa4, "iso-8859-15") => '€',
        (byte @ 0x80..=0x9f, _) => {
            let at = usize::from(byte.saturating_sub(0x80));
            WINDOWS_1252.get(at).copied().unwrap_or('\u{fffd}')
        }
        (byte, _) => char::from(byte),
    };
    bytes.iter().map(character).collect()
}

/// A header's text, its encoded words read: `=?UTF-8?Q?Jos=C3=A9?=`.
/// <https://www.rfc-editor.org/rfc/rfc2047>
pub(super) fn decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut after_word = false;
    while let Some((before, after)) = rest.split_once("=?") {
        // Blanks between two encoded words are none.
        if !(after_word && before.trim().is_empty()) {
            out.push_str(before);
        }
        match encoded_word(after) {
            Some((word, behind)) => {
                out.push_str(&word);
                rest = behind;
                after_word = true;
            }
            None => {
                out.push_str("=?");
                rest = after;
                after_word = false;
            }
        }
    }
    out.push_str(rest);
    out
}

/// What stands behind `=?`: the word, and what follows it.
fn encoded_word(text: &str) -> Option<(String, &str)> {
    let (charset, rest) = text.split_once('?')?;
    let (encoding, rest) = rest.split_once('?')?;
    let (word, behind) = rest.split_once("?=")?;
    let charset = charset.split('*').next().unwrap_or_default();
    let bytes = match encoding {
        "B" | "b" => super::decode(word)?,
        "Q" | "q" => quoted(word),
        _ => return None,
    };
    Some((of_charset(&bytes, charset), behind))
}

/// `Jos=C3=A9_Silva`.
fn quoted(word: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        match (first, behind) {
            (b'_', _) => bytes.push(b' '),
            (b'=', [high, low, after @ ..]) => {
                let mut byte = [0];
                match hex::decode_to_slice([*high, *low], &mut byte) {
                    Ok(()) => {
                        bytes.extend(byte);
                        rest = after;
                    }
                    Err(_) => bytes.push(b'='),
                }
            }
            (byte, _) => bytes.push(*byte),
        }
    }
    bytes
}

/// The addresses of `From` and `To`. What has no address in it is left out.
/// <https://www.rfc-editor.org/rfc/rfc5322#section-3.4>
pub(super) fn addresses(header: &str) -> Vec<Address> {
    let parts = outside_quotes(header, ',').into_iter();
    parts.filter_map(address).take(ADDRESSES_MAX).collect()
}

/// Cut at every `mark` that stands in no quotes and no `<>`.
fn outside_quotes(text: &str, mark: char) -> Vec<&str> {
    let (mut quoted, mut bracketed, mut escaped) = (false, false, false);
    let split = |c: char| {
        let was = std::mem::take(&mut escaped);
        match c {
            '\\' if !was => escaped = true,
            '"' if !was => quoted = !quoted,
            '<' if !quoted => bracketed = true,
            '>' if !quoted => bracketed = false,
            _ => {}
        }
        c == mark && !quoted && !bracketed
    };
    text.split(split).collect()
}

/// `"Silva, Maria" <maria@example.com>`, `maria@example.com (Maria)` or the address alone.
fn address(text: &str) -> Option<Address> {
    let (name, address) = match text.rsplit_once('<') {
        Some((name, rest)) => (name, rest.split('>').next().unwrap_or_default()),
        None => match text.split_once('(') {
            Some((address, comment)) => (comment.trim_end().trim_end_matches(')'), address),
            None => ("", text),
        },
    };
    // `Equipe: maria@example.com, ana@example.com;`
    let address = address.rsplit(':').next().unwrap_or_default();
    let address = address.trim().trim_end_matches(';').trim();
    let whole = address.contains('@') && !address.contains(char::is_whitespace);
    if !whole || address.len() > ADDRESS_CHARS_MAX {
        return None;
    }
    let name = name.trim();
    let name = match name.strip_prefix('"') {
        Some(quoted) => quoted
            .strip_suffix('"')
            .unwrap_or(quoted)
            .replace("\\\"", "\"")
            .replace("\\\\", "\\"),
        None => name.to_owned(),
    };
    let name = clean(&decoded(&name), ADDRESS_CHARS_MAX);
    Some(Address {
        name: (!name.is_empty()).then_some(name),
        address: address.to_lowercase(),
    })
}

/// HTML as a person reads it. The lines of a quoted mail begin with `>`, as they do in plain text.
pub(super) fn from_html(html: &str) -> String {
    let mut out = String::new();
    let mut rest = html;
    let mut quotes = 0_usize;
    while let Some((before, after)) = rest.split_once('<') {
        words(&mut out, before, quotes);
        if let Some(behind) = after.strip_prefix("!--") {
            rest = behind.split_once("-->").map_or("", |(_, behind)| behind);
            continue;
        }
        let is_tag = after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!');
        let Some((tag, behind)) = after.split_once('>').filter(|_| is_tag) else {
            out.push('<');
            rest = after;
            continue;
        };
        rest = behind;
        let tag = tag.to_ascii_lowercase();
        let closes = tag.starts_with('/');
        let name: String = tag
            .trim_start_matches('/')
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        if LINES.contains(&name.as_str()) {
            line(&mut out, quotes);
        }
        if name == "blockquote" {
            quotes = if closes {
                quotes.saturating_sub(1)
            } else {
                quotes.saturating_add(1)
            };
        }
        if !closes && UNSEEN.contains(&name.as_str()) {
            rest = behind_element(rest, &name);
        }
    }
    words(&mut out, rest, quotes);
    html_escape::decode_html_entities(&out).replace('\u{a0}', " ")
}

/// Words of HTML, in which every run of blanks is one.
fn words(out: &mut String, text: &str, quotes: usize) {
    for c in text.chars() {
        let begins = out.is_empty() || out.ends_with('\n');
        if c.is_whitespace() && c != '\u{a0}' {
            if !begins && !out.ends_with(' ') {
                out.push(' ');
            }
            continue;
        }
        if begins && quotes > 0 {
            out.push_str("> ");
        }
        out.push(c);
    }
}

/// Ends a line, unless it is an empty one behind an empty one.
fn line(out: &mut String, quotes: usize) {
    let trimmed = out.trim_end_matches(' ').len();
    out.truncate(trimmed);
    let is_apart = out.ends_with("\n\n") || (quotes > 0 && out.ends_with('\n'));
    if !out.is_empty() && !is_apart {
        out.push('\n');
    }
}

/// What follows the end of an element.
fn behind_element<'a>(html: &'a str, name: &str) -> &'a str {
    let lower = html.to_ascii_lowercase();
    let end = lower.find(&format!("</{name}"));
    let behind = end.and_then(|end| html.get(end..)).unwrap_or_default();
    behind.split_once('>').map_or("", |(_, behind)| behind)
}

/// What the sender wrote, without the mail that it answers or passes on.
pub(super) fn without_quotes(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let end = (0..lines.len()).find(|at| begins_answered(&lines, *at));
    let own = lines.get(..end.unwrap_or(lines.len())).unwrap_or_default();
    let own: Vec<&str> = own
        .iter()
        .copied()
        .filter(|line| !line.trim_start().starts_with('>'))
        .collect();
    own.join("\n")
}

/// Whether the mail that is answered begins at a line.
fn begins_answered(lines: &[&str], at: usize) -> bool {
    let line = lines.get(at).copied().unwrap_or_default().trim();
    let lower = line.to_lowercase();
    if line.len() >= RULE_MIN && line.bytes().all(|byte| byte == b'_') {
        return true;
    }
    if line.starts_with("---") && ORIGINALS.iter().any(|words| lower.contains(words)) {
        return true;
    }
    // `Em seg., 16 de mar. de 2026 às 10:00, Loja <vendas@…> escreveu:`, on one line or two.
    let introduces = ["on ", "em ", "el ", "il ", "le ", "am ", "a "];
    if !introduces.iter().any(|word| lower.starts_with(word)) {
        return false;
    }
    let until = at.saturating_add(INTRODUCTION_LINES).min(lines.len());
    let ends = |line: &&str| {
        let line = line.trim().to_lowercase();
        WROTE.iter().any(|word| line.ends_with(word))
    };
    lines.get(at..until).unwrap_or_default().iter().any(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_whatever_they_are_written_in() {
        for (text, expected) in [
            ("Oi", "Oi"),
            ("=?UTF-8?Q?Jos=C3=A9_Silva?=", "José Silva"),
            ("=?utf-8?B?T2zDoQ==?=", "Olá"),
            ("=?UTF-8?B?T2zD?= =?UTF-8?B?IHg=?=", "Ol\u{fffd} x"),
            ("=?iso-8859-1?Q?Or=E7amento?=", "Orçamento"),
            ("=?windows-1252?q?5_=80?=", "5 €"),
            ("Re: =?UTF-8?Q?a?=  =?UTF-8?Q?b?= c", "Re: ab c"),
            ("=?UTF-8*pt?Q?a?=", "a"),
            ("1 =? 2", "1 =? 2"),
            ("=?UTF-8?X?a?=", "=?UTF-8?X?a?="),
            ("=?UTF-8?Q?=4?=", "=4"),
            ("=?", "=?"),
        ] {
            assert_eq!(decoded(text), expected, "{text}");
        }
    }

    #[test]
    fn addresses_have_names_or_none() {
        let one = |name: Option<&str>, address: &str| Address {
            name: name.map(str::to_owned),
            address: address.to_owned(),
        };
        for (header, expected) in [
            (
                "Maria <Maria@Example.com>",
                vec![one(Some("Maria"), "maria@example.com")],
            ),
            (
                "\"Silva, Maria \\\"M\\\"\" <m@example.com>, ana@example.com",
                vec![
                    one(Some("Silva, Maria \"M\""), "m@example.com"),
                    one(None, "ana@example.com"),
                ],
            ),
            (
                "m@example.com (Maria)",
                vec![one(Some("Maria"), "m@example.com")],
            ),
            (
                "=?UTF-8?Q?Jos=C3=A9?= <j@example.com>",
                vec![one(Some("José"), "j@example.com")],
            ),
            (
                "Equipe: a@example.com, b@example.com;",
                vec![one(None, "a@example.com"), one(None, "b@example.com")],
            ),
            ("undisclosed-recipients:;", vec![]),
            ("", vec![]),
            ("Maria <>", vec![]),
        ] {
            assert_eq!(addresses(header), expected, "{header}");
        }
    }

    #[test]
    fn html_reads_as_lines() {
        let html = "<html><head><title>x</title><style>p {a: b > c}</style></head><body>\n<p>Oi,\n tudo &lt;bem&gt;?</p>\
            <div>Tel:&nbsp;<b>11</b> 98009-0001<br>Maria</div><!-- <b>no</b> --> 5 < 6\
            <blockquote class=\"gmail_quote\">Loja<div>11 3000-0000</div></blockquote>fim</body></html>";
        let text = from_html(html);
        assert_eq!(
            text,
            "Oi, tudo <bem>?\n\nTel: 11 98009-0001\nMaria\n5 < 6\n> Loja\n> 11 3000-0000\nfim"
        );
        assert_eq!(without_quotes(&text).lines().last(), Some("fim"));
        assert_eq!(from_html("<style>x"), "");
        assert_eq!(from_html("a<b"), "a<b");
    }

    #[test]
    fn the_mail_that_is_answered_is_not_the_sender_s() {
        for (text, own) in [
            ("a\n> b\nc", "a\nc"),
            (
                "a\n\nEm seg., 16 de mar. de 2026, Loja <v@x.com>\nescreveu:\n\nb",
                "a\n",
            ),
            ("a\nOn Mon, Mar 16, 2026 at 5 PM Loja wrote:\nb", "a"),
            ("a\n----- Mensagem original -----\nb", "a"),
            ("a\n________________________________\nDe: Loja\nb", "a"),
            ("Em casa\nou no trabalho", "Em casa\nou no trabalho"),
        ] {
            assert_eq!(without_quotes(text), own, "{text}");
        }
    }

    #[test]
    fn bytes_are_read_as_what_they_are() {
        assert_eq!(of_charset("é".as_bytes(), "iso-8859-1"), "é");
        assert_eq!(
            of_charset(b"\xe9", charset("text/plain; charset=\"ISO-8859-1\"")),
            "é"
        );
        assert_eq!(of_charset(b"\xa4", "iso-8859-15"), "€");
        assert_eq!(of_charset(b"\xe9", "koi8-r"), "\u{fffd}");
        assert_eq!(charset("text/plain; format=flowed; Charset=utf-8"), "utf-8");
        assert_eq!(charset("text/plain"), "");
    }
}
