//! What the sources of appointments have in common: the subject of their events, and which of the
//! questions that an invitee answers asks for a phone number.

use jiff::Timestamp;
use regex_lite::{Regex, RegexBuilder};

use crate::connections::Connection;
use crate::event::{State, Subject, SubjectKind, released};

/// Longest answer that may be a phone number, in characters; the longest numbers have 15 digits.
const NUMBER_CHARS_MAX: usize = 40;
/// Fewest and most digits of what may be a phone number.
const NUMBER_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// Longest name of a time zone, in characters.
const ZONE_CHARS_MAX: usize = 64;

/// Words that ask for a phone number, without accents, in Portuguese, Spanish, Italian, English, French,
/// German and Dutch. Each also stands for the words that begin with it: `telefonnummer`, `cellulare`.
const PHONE_WORDS: &[&str] = &[
    "whatsapp",
    "telefo",
    "telemovel",
    "telephone",
    "celular",
    "cellular",
    "cellphone",
    "movil",
    "phone",
    "mobile",
    "mobiel",
    "mobilnummer",
    "mobilfunk",
    "mobiltel",
    "handy",
    "rufnummer",
];
/// The same, where the whole word is meant: `tel` is not `hotel`, and no `telling` either.
const WHOLE_WORDS: &[&str] = &[
    "tel", "cell", "cel", "fone", "movel", "mobil", "portable", "gsm", "sms", "wa",
];
/// Questions that ask for no other number either. `Número do CPF` is none of them.
const WHOLE_QUESTIONS: &[&str] = &[
    "numero",
    "number",
    "nummer",
    "seu numero",
    "o seu numero",
    "tu numero",
    "su numero",
    "il tuo numero",
    "il suo numero",
    "your number",
    "contact number",
    "numero de contacto",
    "numero de contato",
    "numero di contatto",
    "votre numero",
    "deine nummer",
    "ihre nummer",
    "je nummer",
    "uw nummer",
];

/// Tells the questions that ask for a phone number.
pub(super) struct PhoneQuestions(Option<Regex>);

impl PhoneQuestions {
    /// As the connection's `phone_question` says, in any case. Without one, and with one that is no
    /// regular expression (which `callbell check` refuses), by the words above.
    pub(super) fn of(connection: &Connection) -> PhoneQuestions {
        let pattern = connection.phone_question.as_deref();
        PhoneQuestions(pattern.and_then(|pattern| {
            RegexBuilder::new(pattern)
                .case_insensitive(true)
                .build()
                .ok()
        }))
    }

    /// Whether `question` asks for one. Accents may be left out of the pattern.
    pub(super) fn ask(&self, question: &str) -> bool {
        let folded = fold(question);
        if let Some(pattern) = &self.0 {
            return pattern.is_match(question) || pattern.is_match(&folded);
        }
        let words: Vec<&str> = folded
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        let asks = |word: &&str| {
            WHOLE_WORDS.contains(word) || PHONE_WORDS.iter().any(|begin| word.starts_with(begin))
        };
        words.iter().any(asks) || WHOLE_QUESTIONS.contains(&words.join(" ").as_str())
    }
}

/// Lower case, without the accents of the languages above.
pub(super) fn fold(text: &str) -> String {
    let plain = |c: char| match c {
        'á' | 'à' | 'â' | 'ã' | 'ä' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'í' | 'ì' | 'î' | 'ï' => 'i',
        'ó' | 'ò' | 'ô' | 'õ' | 'ö' => 'o',
        'ú' | 'ù' | 'û' | 'ü' => 'u',
        'ç' => 'c',
        'ñ' => 'n',
        other => other,
    };
    text.to_lowercase().chars().map(plain).collect()
}

/// Whether free text is nothing but a phone number, as far as that can be told without tables: an
/// address with a house number and a postal code is none.
pub(super) fn may_be_number(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_digit() || " +-./()\u{a0}".contains(c);
    let digits = text.chars().filter(char::is_ascii_digit).count();
    text.chars().count() <= NUMBER_CHARS_MAX
        && NUMBER_DIGITS.contains(&digits)
        && text.chars().all(allowed)
}

/// The name of a time zone, where `text` has the form of one.
pub(super) fn zone(text: Option<&str>) -> Option<String> {
    let text = text?.trim();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte);
    let fits = !text.is_empty() && text.len() <= ZONE_CHARS_MAX && text.bytes().all(allowed);
    fits.then(|| text.to_owned())
}

/// How long an appointment takes.
pub(super) fn minutes(start: Timestamp, end: Timestamp) -> i64 {
    end.duration_since(start).as_secs().div_euclid(60)
}

/// What a webhook says of where a booking stands.
#[derive(Clone, Copy)]
pub(super) struct Standing<'a> {
    /// The id at the provider.
    pub(super) id: &'a str,
    /// The id before a reschedule made this one.
    pub(super) previous_id: Option<&'a str>,
    pub(super) as_of: Timestamp,
    pub(super) created_at: Timestamp,
    pub(super) state: State,
    /// Start and end, where the webhook shows them.
    pub(super) times: Option<(Timestamp, Timestamp)>,
    /// The booking goes on under another id.
    pub(super) is_released: bool,
}

/// The subject of an appointment's event. That the id before it stands for nothing any more is said by
/// every event of a booking that has one: whichever comes first, waiting jobs learn it.
pub(super) fn subject(standing: Standing<'_>) -> Subject {
    let own = standing.is_released.then_some(standing.id);
    let parts = standing.previous_id.into_iter().chain(own);
    Subject {
        created_at: standing.created_at,
        state: standing.state,
        parts: parts.map(released).collect(),
        start: standing.times.map(|(start, _)| start),
        end: standing.times.map(|(_, end)| end),
        previous_id: standing.previous_id.map(str::to_owned),
        ..Subject::new(SubjectKind::Appointment, standing.id, standing.as_of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(pattern: Option<&str>, question: &str) -> bool {
        let connection = Connection {
            phone_question: pattern.map(str::to_owned),
            ..Connection::default()
        };
        PhoneQuestions::of(&connection).ask(question)
    }

    #[test]
    fn phone_questions_are_known_in_seven_languages() {
        for question in [
            "Qual é o seu telefone?",
            "Telemóvel",
            "Número de celular (WhatsApp)",
            "Teléfono móvil",
            "Il tuo numero di cellulare",
            "Recapito telefonico",
            "Phone Number",
            "Mobile",
            "Votre numéro de téléphone",
            "Portable",
            "Handynummer",
            "Ihre Rufnummer",
            "Mobiele telefoon",
            "Telefoonnummer",
            "Tel.",
            "Número",
            "Your number?",
        ] {
            assert!(ask(None, question), "{question}");
        }
        for question in [
            "Which hotel are you staying at?",
            "Número do CPF",
            "Número de pessoas",
            "Numero di persone",
            "How many guests?",
            "Tell us more",
            "Prima visita?",
            "",
        ] {
            assert!(!ask(None, question), "{question}");
        }
    }

    #[test]
    fn a_pattern_takes_the_place_of_the_words() {
        let pattern = Some("recapito|numero personale");
        assert!(ask(pattern, "RECAPITO"));
        assert!(ask(Some("telefono"), "Teléfono"));
        assert!(ask(Some("móvil"), "Móvil"));
        assert!(!ask(pattern, "Telefono"));
        assert!(ask(Some("("), "Telefono"), "no pattern at all");
    }

    #[test]
    fn numbers_are_told_from_addresses() {
        for text in ["+39 347 123 4567", "(11) 98765-4321", "02.1234567"] {
            assert!(may_be_number(text), "{text}");
        }
        for text in [
            "Via Roma 12, 20121 Milano",
            "12",
            "at my office",
            "",
            "1234567890123456",
        ] {
            assert!(!may_be_number(text), "{text}");
        }
    }
}
