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
/// What Outlook calls the sender of the mail that is answered, on the first of the lines that introduce it.
const SENDERS: [&str; 5] = ["from", "de", "da", "von", "van"];
/// How the line begins that says when that mail was sent.
const SENT: [&str; 10] = [
    "sent",
    "date",
    "datum",
    "enviad",
    "data",
    "fecha",
    "inviato",
    "gesendet",
    "envoyé",
    "verzonden",
];
/// So many lines behind the sender's it may stand.
const SENT_LINES: usize = 4;

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
    // Behind the last `?=` no word ends, so nobody need look for an end there at every beginning.
    let end = text.rfind("?=").map_or(0, |at| at.saturating_add(2));
    let (mut rest, tail) = text.split_at_checked(end).unwrap_or(("", text));
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
    out.push_str(tail);
    out
}

/// What stands behind `=?`: the word, and what follows it. It reads no further than three question marks, or
/// as far as the word that it gives: a header that begins words without end takes no longer than another.
fn encoded_word(text: &str) -> Option<(String, &str)> {
    let (charset, rest) = text.split_once('?')?;
    let (encoding, rest) = rest.split_once('?')?;
    let charset = charset.split('*').next().unwrap_or_default();
    let (bytes, behind) = match encoding {
        // Base64 has no question mark.
        "B" | "b" => {
            let (word, behind) = rest.split_once('?')?;
            let behind = behind.strip_prefix('=')?;
            (super::decode(word)?, behind)
        }
        // Some programs leave question marks as they are.
        "Q" | "q" => {
            let (word, behind) = rest.split_once("?=")?;
            (quoted(word), behind)
        }
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

/// The clauses of `Authentication-Results`: cut at every `;` that stands in no quotes and no comment. Google
/// writes the envelope's sender in both, and anybody may be called `"a) ; dmarc=pass ("@example.com`: so a
/// bracket in quotes ends no comment.
/// <https://www.rfc-editor.org/rfc/rfc8601#section-2.2>
pub(super) fn clauses(header: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped, mut depth) = (false, false, 0_usize);
    let split = move |c: char| {
        if std::mem::take(&mut escaped) {
            return false;
        }
        match c {
            '\\' if quoted || depth > 0 => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => depth = depth.saturating_add(1),
            ')' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ';' && !quoted && depth == 0
    };
    header.split(split).map(str::trim)
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
        if !is_tag {
            words(&mut out, "<", quotes);
            rest = after;
            continue;
        }
        let Some((tag, behind)) = after.split_once('>') else {
            // No tag ends any more: the rest is text, and is not searched again at every `<`.
            words(&mut out, "<", quotes);
            rest = after;
            break;
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

/// What follows the end of an element; nothing, where it has none.
fn behind_element<'a>(html: &'a str, name: &str) -> &'a str {
    let mut rest = html;
    while let Some((_, behind)) = rest.split_once("</") {
        let found = behind.get(..name.len());
        if found.is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return behind.split_once('>').map_or("", |(_, behind)| behind);
        }
        rest = behind;
    }
    ""
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
    if begins_block(lines, at) {
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

/// Whether Outlook's lines about the mail that is answered begin at a line: `De: Loja`, `Enviado: segunda-feira …`,
/// `Para: …`, `Assunto: …`. Its desktop programs draw no line above them that words keep.
fn begins_block(lines: &[&str], at: usize) -> bool {
    // Bold words have `*` around them in plain text.
    let label = |line: &str| -> Option<String> {
        let (label, _) = line.split_once(':')?;
        let is_around = |c: char| c == '*' || c.is_whitespace();
        Some(label.trim_matches(is_around).to_lowercase())
    };
    let first = lines.get(at).copied().and_then(label);
    if !first.is_some_and(|label| SENDERS.contains(&label.as_str())) {
        return false;
    }
    let says_when = |line: &&str| {
        let label = label(line).unwrap_or_default();
        SENT.iter().any(|word| label.starts_with(word))
    };
    let behind = lines.iter().skip(at.saturating_add(1));
    behind.take(SENT_LINES).any(says_when)
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
            ("=?UTF-8?Q?Tudo_bem??= a", "Tudo bem? a"),
            ("=?UTF-8?B?T2zDoQ?=", "Olá"),
            ("=?UTF-8?B?T2?zDoQ==?= a", "=?UTF-8?B?T2?zDoQ==?= a"),
            ("=?UTF-8?Q?a?= =?UTF-8?Q?b", "a =?UTF-8?Q?b"),
            ("=?a?b=?a?b=?UTF-8?Q?c?=", "=?a?b=?a?bc"),
            ("=?a?b?=?UTF-8?Q?c?=", "=?a?b?c"),
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
    fn clauses_end_outside_quotes_and_comments() {
        for (header, expected) in [
            (
                "mx.google.com; spf=pass (a; b) x=y; dmarc=pass (p=NONE)",
                vec![
                    "mx.google.com",
                    "spf=pass (a; b) x=y",
                    "dmarc=pass (p=NONE)",
                ],
            ),
            (r#"a; b="c; d"; e"#, vec!["a", r#"b="c; d""#, "e"]),
            (r#"a; b="c\"; d"; e"#, vec!["a", r#"b="c\"; d""#, "e"]),
            ("a (b (c; d); e); f", vec!["a (b (c; d); e)", "f"]),
            (r"a (b \) ; c); d", vec![r"a (b \) ; c)", "d"]),
            (r#"a ("b) ; c ("d); e"#, vec![r#"a ("b) ; c ("d)"#, "e"]),
            ("a (b; c", vec!["a (b; c"]),
            ("a) ; b", vec!["a)", "b"]),
            ("", vec![""]),
        ] {
            assert_eq!(clauses(header).collect::<Vec<_>>(), expected, "{header}");
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
        for (html, text) in [
            ("a<b", "a<b"),
            ("a<b <b\n<i", "a<b <b <i"),
            ("I <3 <b>you</b>", "I <3 you"),
            ("<blockquote><3", "> <3"),
            ("a<STYLE>x</b></Style >b<title>c</title", "ab"),
            ("a<script>é</é</script>b", "ab"),
            ("a<!-- <b> b", "a"),
        ] {
            assert_eq!(from_html(html), text, "{html}");
        }
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
            ("a\nFrom: Loja\nSent: Monday\nTo: Ana\nSubject: x", "a"),
            ("a\nDe: Loja <v@x.com>\nEnviado: segunda-feira\nb", "a"),
            ("a\nDe: Loja\nEnviada em: segunda-feira\nb", "a"),
            ("a\nDe: Tienda\nPara: Ana\nEnviado el: lunes\nb", "a"),
            ("a\nDa: Negozio\nInviato: lunedì\nA: Ana\nb", "a"),
            ("a\nVon: Laden\nGesendet: Montag\nAn: Ana\nb", "a"),
            ("a\nDe\u{a0}: Magasin\nEnvoyé\u{a0}: lundi\nb", "a"),
            ("a\nVan: Winkel\nVerzonden: maandag\nb", "a"),
            ("a\n  *FROM:* Loja\n\nTo: Ana\nCc: b\n*Date:* x\nb", "a"),
            (
                "From: Loja\na\nb\nc\nd\nSent: x",
                "From: Loja\na\nb\nc\nd\nSent: x",
            ),
            (
                "De: Maria\nEnviado do meu iPhone",
                "De: Maria\nEnviado do meu iPhone",
            ),
            ("De dia: 1\nData: 2", "De dia: 1\nData: 2"),
            ("De: Maria", "De: Maria"),
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
