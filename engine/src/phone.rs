//! Phone numbers: which of an event's candidates is one, in E.164, and who stands behind it.
//!
//! The rules of numbering plans come from libphonenumber's metadata (crate `rlibphonenumber`). What is
//! added here, and why:
//!
//! - **Letters are no digits.** libphonenumber reads `1-800-FLOWERS` as a valid number. Whoever types
//!   letters into a phone field types a remark, and a remark must not become somebody's number. Only
//!   the scheme of a `tel:` URI (<https://www.rfc-editor.org/rfc/rfc3966>) is taken off first.
//! - **Extensions are refused**: WhatsApp reaches a line, not a desk behind it.
//! - **Mexico**: until August 2019 mobiles were dialled `+52 1` from abroad, and WhatsApp's ids still
//!   carry that 1; the plan of the IFT knows ten digits only
//!   (<https://www.itu.int/oth/T020200008A/en>). The 1 is taken off before the number is judged.
//! - **Brazil**: mobiles have nine digits since 2016 (ANATEL's resolution 553/2010); eight digits that
//!   begin with 6 to 9 are such a mobile without its 9, which is put back.
//! - **Argentina**: `+54 9` before the area code is a mobile from abroad, `15` behind it the same one
//!   at home (<https://www.itu.int/oth/T020200000A/en>); libphonenumber turns 15 into 9.
//! - **Validity, never possibility**: a number of the right length alone belongs to nobody, or, worse,
//!   to somebody else.
//!
//! WhatsApp folds these three plans in its own ids
//! (<https://developers.facebook.com/docs/whatsapp/cloud-api/reference/phone-numbers>), so [`identity`]
//! folds them too; what is dialled keeps the form of its plan.

use std::fmt;

use rlibphonenumber::{NumberLengthType, PhoneNumber, PhoneNumberFormat, Region, ValidationError};
use shared::event::PhoneCandidate;

/// Longest text that is looked at as a phone number, in characters.
const PHONE_CHARS_MAX: usize = 64;
/// Digits at the end of a number that [`mask`] leaves.
const MASK_TAIL_DIGITS: usize = 4;

/// A valid number.
#[derive(Clone, PartialEq, Eq)]
pub struct Phone {
    /// `+5511987654321`: what is dialled.
    pub e164: String,
    /// ISO 3166 alpha-2 of the number itself.
    pub country: String,
    /// See [`identity`].
    pub identity: String,
}

impl fmt::Debug for Phone {
    /// The country alone: the number is personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Phone")
            .field("country", &self.country)
            .finish_non_exhaustive()
    }
}

/// Why a text is no number to write to. Holds no digit of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The field is missing or blank.
    #[error("absent")]
    Absent,
    /// A letter somewhere.
    #[error("has letters")]
    Letters,
    /// An extension.
    #[error("has an extension")]
    Extension,
    /// Neither a `+` nor a country that says how to read it.
    #[error("has no country code")]
    NoCountry,
    /// `+999…`.
    #[error("has an unknown country code")]
    UnknownCountryCode,
    /// Too few digits for its country.
    #[error("too short for {0}")]
    TooShort(String),
    /// Too many digits for its country.
    #[error("too long for {0}")]
    TooLong(String),
    /// The plan of its country has no such number.
    #[error("not valid for {0}")]
    NotValid(String),
    /// Nothing that reads as a number at all.
    #[error("is no phone number")]
    NotANumber,
}

/// No candidate is a valid number: the reason of each, in order, naming fields and never digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoPhone {
    /// Path of the candidate and what is wrong with it.
    pub refused: Vec<(String, Refusal)>,
}

impl fmt::Display for NoPhone {
    /// `no usable phone: 3 candidates: phone too short for BR; shipping.phone has letters;
    /// customer.phone absent`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.refused.len() {
            0 => return f.write_str("no usable phone: the event has no field for one"),
            1 => f.write_str("no usable phone: ")?,
            n => write!(f, "no usable phone: {n} candidates: ")?,
        }
        for (index, (path, refusal)) in self.refused.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{path} {refusal}")?;
        }
        Ok(())
    }
}

impl std::error::Error for NoPhone {}

/// The first candidate that is a valid number. A candidate without a country code is read by its own
/// country; where it has none, by `home`, the country of the source, its channel or the defaults (see
/// [`crate::automations::locale::Home`]).
///
/// # Errors
///
/// [`NoPhone`] with the reason of every candidate.
pub fn choose(candidates: &[PhoneCandidate], home: Option<&str>) -> Result<Phone, NoPhone> {
    let mut refused = Vec::new();
    for candidate in candidates {
        let own = candidate
            .country
            .as_deref()
            .filter(|code| region(code).is_some());
        match read(
            candidate.number.as_deref().unwrap_or_default(),
            own.or(home),
        ) {
            Ok(phone) => return Ok(phone),
            Err(refusal) => refused.push((candidate.path.clone(), refusal)),
        }
    }
    Err(NoPhone { refused })
}

/// Reads one number, as typed. `country` (ISO 3166 alpha-2) reads it where it has no country code.
///
/// # Errors
///
/// [`Refusal`] where it is no valid number.
pub fn read(text: &str, country: Option<&str>) -> Result<Phone, Refusal> {
    let text = tidy(text);
    if text.is_empty() {
        return Err(Refusal::Absent);
    }
    if text.chars().count() > PHONE_CHARS_MAX {
        return Err(Refusal::NotANumber);
    }
    let text = without_scheme(&text);
    if has_extension(text) {
        return Err(Refusal::Extension);
    }
    if text.chars().any(char::is_alphabetic) {
        return Err(Refusal::Letters);
    }
    let region = country.and_then(region);
    let international = text
        .trim_start_matches(['(', ' '])
        .starts_with(['+', '\u{ff0b}']);
    if region.is_none() && !international {
        return Err(Refusal::NoCountry);
    }
    let name = |number: &PhoneNumber| {
        let known = country.filter(|_| !international).map(str::to_owned);
        known.unwrap_or_else(|| format!("+{}", number.country_code))
    };
    let number =
        PhoneNumber::parse(text, region).map_err(|error| parse_refusal(&error, country))?;
    let number = as_its_plan_has_it(&number).unwrap_or(number);
    if !number.is_valid() {
        // Brazil's service numbers have eight digits, so that a number without its area code would
        // count as long enough.
        let no_area =
            number.country_code == 55 && number.get_national_significant_number().len() < 10;
        return Err(match number.is_possible_with_reason() {
            _ if no_area => Refusal::TooShort(name(&number)),
            Err(ValidationError::TooShort) | Ok(NumberLengthType::IsPossibleLocalOnly) => {
                Refusal::TooShort(name(&number))
            }
            Err(ValidationError::TooLong) => Refusal::TooLong(name(&number)),
            Err(ValidationError::InvalidCountryCode) => Refusal::UnknownCountryCode,
            _ => Refusal::NotValid(name(&number)),
        });
    }
    let country = number
        .get_region_code()
        .map(|region| region.as_region_str().to_string());
    let country = country
        .filter(|code| code.len() == 2)
        .ok_or(Refusal::UnknownCountryCode)?;
    let e164 = number.format_as(PhoneNumberFormat::E164).into_owned();
    let identity = identity(&e164);
    Ok(Phone {
        e164,
        country,
        identity,
    })
}

/// One string a person, whichever form of the number a system uses: E.164 as WhatsApp would fold it.
/// `number` is E.164 or the same without its `+`, as Callbell's webhooks have it. Brazil's mobiles get
/// their ninth digit, Mexico's and Argentina's lose the 1 and the 9. Not for dialling.
pub fn identity(number: &str) -> String {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    if let Some(national) = digits.strip_prefix("55").and_then(with_ninth_digit) {
        return format!("+55{national}");
    }
    for (country, extra) in [("52", '1'), ("54", '9')] {
        let national = digits
            .strip_prefix(country)
            .and_then(|rest| rest.strip_prefix(extra));
        if let Some(national) = national.filter(|national| national.len() == 10) {
            return format!("+{country}{national}");
        }
    }
    format!("+{digits}")
}

/// The other form that WhatsApp's ids have of a number: Brazil's mobiles without their ninth digit, Mexico's
/// numbers with the old 1, Argentina's mobiles without the 9. `None`: there is one form alone. Systems that
/// keep WhatsApp's id know the person by it; it is not for dialling.
pub fn other_form(e164: &str) -> Option<String> {
    let digits = e164.strip_prefix('+')?;
    if let Some(national) = digits.strip_prefix("55") {
        let (area, subscriber) = national.split_at_checked(2)?;
        let short = subscriber.strip_prefix('9')?;
        let folds = with_ninth_digit(&format!("{area}{short}")).as_deref() == Some(national);
        return folds.then(|| format!("+55{area}{short}"));
    }
    if let Some(national) = digits.strip_prefix("549") {
        return (national.len() == 10).then(|| format!("+54{national}"));
    }
    let national = digits.strip_prefix("52")?;
    (national.len() == 10).then(|| format!("+521{national}"))
}

/// The digits of its own country: `11987654321`. `None`: it is no number.
pub fn national(e164: &str) -> Option<String> {
    let number = PhoneNumber::parse(e164, None).ok()?;
    Some(number.get_national_significant_number())
}

/// How systems that keep a number as somebody typed it may have it: with and without its `+`, the digits
/// of its own country, as it is written at home and abroad; all of that of its [`other_form`] too.
pub fn forms(e164: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for number in std::iter::once(e164.to_owned()).chain(other_form(e164)) {
        forms.push(number.trim_start_matches('+').to_owned());
        if let Ok(parsed) = PhoneNumber::parse(&number, None) {
            forms.push(parsed.get_national_significant_number());
            forms.extend(
                [
                    PhoneNumberFormat::National,
                    PhoneNumberFormat::International,
                ]
                .map(|format| parsed.format_as(format).into_owned()),
            );
        }
        forms.push(number);
    }
    forms.sort();
    forms.dedup();
    forms
}

/// Whether a number as somebody typed it is this one.
pub fn is_same(typed: &str, e164: &str) -> bool {
    let country = read(e164, None).ok().map(|phone| phone.country);
    match read(typed, country.as_deref()) {
        Ok(phone) => phone.identity == identity(e164),
        Err(_) => identity(typed) == identity(e164),
    }
}

/// `+55•••••••4321`: for lists and logs. Leaves the first two digits and the last four.
pub fn mask(number: &str) -> String {
    let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
    let tail = digits.len().saturating_sub(MASK_TAIL_DIGITS);
    let shown = |index: usize| digits.len() > 2 * MASK_TAIL_DIGITS && (index < 2 || index >= tail);
    let masked = digits
        .iter()
        .enumerate()
        .map(|(i, digit)| if shown(i) { *digit } else { '•' });
    std::iter::once('+').chain(masked).collect()
}

/// `(11) 98765-4321` for a number of `home` or where no home is known, `+351 912 345 678` for another
/// country's; what is no valid number comes back as it is.
pub fn pretty(number: &str, home: Option<&str>) -> String {
    let Ok(parsed) = PhoneNumber::parse(number, home.and_then(region)) else {
        return number.to_owned();
    };
    if !parsed.is_valid() {
        return number.to_owned();
    }
    let own = parsed.get_region_code();
    let at_home = home.and_then(region).is_none_or(|home| Some(home) == own);
    let format = if at_home {
        PhoneNumberFormat::National
    } else {
        PhoneNumberFormat::International
    };
    parsed.format_as(format).into_owned()
}

fn region(code: &str) -> Option<Region> {
    code.to_ascii_uppercase().parse().ok()
}

/// Without the marks that copying from a chat or a spreadsheet leaves, which nobody sees.
fn tidy(text: &str) -> String {
    let invisible = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let kept: String = text
        .chars()
        .filter(|c| !invisible(*c) && !c.is_control())
        .collect();
    kept.trim().to_owned()
}

fn without_scheme(text: &str) -> &str {
    match text.get(..4) {
        Some(scheme) if scheme.eq_ignore_ascii_case("tel:") => text.get(4..).unwrap_or_default(),
        _ => text,
    }
}

/// `;ext=5`, `ext. 5`, `x5`, `#5` and the words for it in the languages of the users, behind a number.
fn has_extension(text: &str) -> bool {
    const WORDS: [&str; 9] = [
        ";ext=",
        "ext",
        "extn",
        "extension",
        "x",
        "ramal",
        "interno",
        "int",
        "anexo",
    ];
    let lower = text.to_lowercase();
    let is_letter = |c: char| c.is_alphabetic() || c == ';' || c == '=' || c == '#';
    let Some(start) = lower.find(is_letter) else {
        return false;
    };
    let (before, word) = lower.split_at(start);
    let (word, after) = word.split_at(word.trim_end_matches(|c| !is_letter(c)).len());
    let digits = |part: &str| part.chars().filter(char::is_ascii_digit).count();
    let only_digits = after
        .trim_start_matches(['.', ':', ' '])
        .chars()
        .all(|c| c.is_ascii_digit());
    (WORDS.contains(&word) || word == "#")
        && digits(before) >= 6
        && digits(after) > 0
        && only_digits
}

fn parse_refusal(error: &rlibphonenumber::ParseError, country: Option<&str>) -> Refusal {
    use rlibphonenumber::ParseError as E;
    let country = country.unwrap_or("its country").to_owned();
    match error {
        E::InvalidCountryCode => Refusal::UnknownCountryCode,
        E::TooShortAfterIdd | E::TooShortNsn => Refusal::TooShort(country),
        E::TooLongNsn => Refusal::TooLong(country),
        E::NotANumber(_) => Refusal::NotANumber,
    }
}

/// The number without Mexico's old 1, or with Brazil's ninth digit; `None` where nothing is to change.
fn as_its_plan_has_it(number: &PhoneNumber) -> Option<PhoneNumber> {
    let national = number.get_national_significant_number();
    let mended = match number.country_code {
        52 if national.len() == 11 => format!("+52{}", national.strip_prefix('1')?),
        55 => format!("+55{}", with_ninth_digit(&national)?),
        _ => return None,
    };
    PhoneNumber::parse(mended, None).ok()
}

/// `1187654321` → `11987654321`: area code and an eight-digit mobile.
fn with_ninth_digit(national: &str) -> Option<String> {
    let (area, subscriber) = national.split_at_checked(2)?;
    let mobile = subscriber.len() == 8 && subscriber.starts_with(['6', '7', '8', '9']);
    mobile.then(|| format!("{area}9{subscriber}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(path: &str, number: &str, country: &str) -> PhoneCandidate {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        PhoneCandidate {
            path: path.into(),
            number: some(number),
            country: some(country),
        }
    }

    /// Text, country, E.164 or the refusal.
    const ROWS: &[(&str, &str, &str)] = &[
        ("+5511987654321", "BR", "+5511987654321"),
        ("(11) 98765-4321", "BR", "+5511987654321"),
        ("+55 (11) 9 8765 4321", "BR", "+5511987654321"),
        ("5511987654321", "BR", "+5511987654321"),
        ("011 98765-4321", "BR", "+5511987654321"),
        ("11 8765-4321", "BR", "+5511987654321"),
        ("+55 31 8765 4321", "IT", "+5531987654321"),
        ("11 3456-7890", "BR", "+551134567890"),
        ("8765-4321", "BR", "too short for BR"),
        ("119876543210123", "BR", "too long for BR"),
        ("555-555-SHIP", "US", "has letters"),
        ("1-800-FLOWERS", "US", "has letters"),
        ("(0xx11) 98765-4321", "BR", "has letters"),
        ("whatsapp", "BR", "has letters"),
        ("１１ 98765-4321 ｏｉ", "BR", "has letters"),
        ("123-123-1234", "CA", "not valid for CA"),
        ("+54 9 11 2345-6789", "AR", "+5491123456789"),
        ("011 15 2345-6789", "AR", "+5491123456789"),
        ("+54 11 15 2345-6789", "AR", "+5491123456789"),
        ("+521 55 1234 5678", "MX", "+525512345678"),
        ("+52 55 1234 5678", "MX", "+525512345678"),
        ("5215512345678", "MX", "+525512345678"),
        ("55 1234 5678", "MX", "+525512345678"),
        ("06 12345678", "NL", "+31612345678"),
        ("０６ 12345678", "NL", "+31612345678"),
        ("+39 06 1234567", "IT", "+39061234567"),
        ("0039 347 123 4567", "IT", "+393471234567"),
        ("347 1234567", "IT", "+393471234567"),
        ("351 912 345 678", "PT", "+351912345678"),
        ("tel:+34612345678", "ES", "+34612345678"),
        ("tel:+34612345678;ext=5", "ES", "has an extension"),
        ("+1 415-555-2671 x12", "US", "has an extension"),
        ("(11) 3456-7890 ramal 12", "BR", "has an extension"),
        ("\u{202a}+55 11 98765-4321\u{202c}", "", "+5511987654321"),
        ("11 98765-4321", "", "has no country code"),
        ("+999 123456789", "", "has an unknown country code"),
        ("+800 1234 5678", "", "has an unknown country code"),
        ("+55 11", "", "too short for +55"),
        ("+1 123 123 1234", "BR", "not valid for +1"),
        ("+", "BR", "is no phone number"),
        ("---", "BR", "is no phone number"),
        ("0000000000", "BR", "too short for BR"),
        ("11 1234 56789", "BR", "not valid for BR"),
        ("   ", "BR", "absent"),
        ("", "BR", "absent"),
    ];

    #[test]
    fn reads_what_people_type() {
        let mut wrong = Vec::new();
        for (text, country, expected) in ROWS {
            let country = (!country.is_empty()).then_some(*country);
            let got = match read(text, country) {
                Ok(phone) => phone.e164,
                Err(refusal) => refusal.to_string(),
            };
            if got != *expected {
                wrong.push(format!("{text} in {country:?}: {got}, not {expected}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_a_panic(text in "\\PC{0,80}", digits in "[+0-9 ();=extel:#.０-９é-]{0,40}") {
            for country in [None, Some("BR"), Some("AR"), Some("??"), Some("é")] {
                for text in [&text, &digits] {
                    if let Ok(phone) = read(text, country) {
                        proptest::prop_assert_eq!(identity(&phone.e164), phone.identity);
                    }
                    let _ = (mask(text), identity(text), pretty(text, country));
                }
            }
        }
    }

    #[test]
    fn takes_the_first_that_is_valid_for_its_own_country() {
        let candidates = [
            candidate("phone", "8765-4321", "BR"),
            candidate("shipping.phone", "912 345 678", "PT"),
            candidate("customer.phone", "+5511987654321", ""),
        ];
        let phone = choose(&candidates, Some("IT")).unwrap();
        assert_eq!(
            (phone.e164.as_str(), phone.country.as_str()),
            ("+351912345678", "PT")
        );
        // A number that its own country does not know is not tried as another country's.
        let foreign = [candidate("phone", "(11) 98765-4321", "FR")];
        assert!(choose(&foreign, Some("BR")).is_err());
        // Without a country of its own, or with one that is none, the home's serves.
        for country in ["", "Brasil"] {
            let bare = [candidate("phone", "(11) 98765-4321", country)];
            assert_eq!(choose(&bare, Some("BR")).unwrap().e164, "+5511987654321");
        }
    }

    #[test]
    fn says_why_without_a_digit() {
        let candidates = [
            candidate("phone", "8765-4321", "BR"),
            candidate("shipping.phone", "555-555-SHIP", "US"),
            candidate("customer.phone", "", ""),
        ];
        let none = choose(&candidates, Some("BR")).unwrap_err();
        assert_eq!(
            none.to_string(),
            "no usable phone: 3 candidates: phone too short for BR; shipping.phone has letters; \
             customer.phone absent"
        );
        let one = choose(&candidates[..1], None).unwrap_err();
        assert_eq!(one.to_string(), "no usable phone: phone too short for BR");
        let nothing = choose(&[], None).unwrap_err();
        assert_eq!(
            nothing.to_string(),
            "no usable phone: the event has no field for one"
        );
    }

    #[test]
    fn the_other_form_is_the_same_person() {
        let rows = [
            ("+5511987654321", Some("+551187654321")),
            ("+551134567890", None),
            ("+5511912345678", None),
            ("+525512345678", Some("+5215512345678")),
            ("+5491123456789", Some("+541123456789")),
            ("+541123456789", None),
            ("+351912345678", None),
        ];
        for (number, expected) in rows {
            let other = other_form(number);
            assert_eq!(other.as_deref(), expected, "{number}");
            if let Some(other) = other {
                assert_eq!(identity(&other), identity(number));
            }
        }
    }

    #[test]
    fn one_person_has_one_identity() {
        let folded = [
            ("+5531987654321", "553187654321", "+5531987654321"),
            ("+525512345678", "+5215512345678", "+525512345678"),
            ("+541123456789", "5491123456789", "+541123456789"),
        ];
        for (one, other, expected) in folded {
            assert_eq!(identity(one), expected);
            assert_eq!(identity(other), expected);
        }
        // A landline of Brazil has eight digits for good, and is not the mobile that ends like it.
        assert_eq!(identity("+551134567890"), "+551134567890");
        assert_ne!(identity("+551134567890"), identity("+5511934567890"));
        assert_eq!(identity("+351912345678"), "+351912345678");
    }

    #[test]
    fn masks_the_middle() {
        assert_eq!(mask("+5511987654321"), "+55•••••••4321");
        assert_eq!(mask("5511987654321"), "+55•••••••4321");
        assert_eq!(mask("+12345678"), "+••••••••");
    }

    #[test]
    fn prints_for_readers_at_home_and_abroad() {
        assert_eq!(pretty("+5511987654321", Some("BR")), "(11) 98765-4321");
        assert_eq!(pretty("+5511987654321", None), "(11) 98765-4321");
        assert_eq!(pretty("+351912345678", Some("BR")), "+351 912 345 678");
        assert_eq!(pretty("no number", Some("BR")), "no number");
    }

    #[test]
    fn a_number_is_known_however_it_was_typed() {
        let number = "+5511987654321";
        assert_eq!(national(number).as_deref(), Some("11987654321"));
        for form in forms(number) {
            assert!(is_same(&form, number), "{form}");
        }
        for (typed, same) in [
            ("(11) 98765-4321", true),
            ("11 8765-4321", true),
            ("551187654321", true),
            ("+55 11 98765-4322", false),
            ("+1 987 654 321", false),
            ("none", false),
            ("", false),
        ] {
            assert_eq!(is_same(typed, number), same, "{typed}");
        }
        for form in [
            "11987654321",
            "5511987654321",
            "+551187654321",
            "(11) 98765-4321",
        ] {
            assert!(forms(number).iter().any(|known| known == form), "{form}");
        }
    }

    #[test]
    fn debug_holds_no_digit() {
        let shown = format!("{:?}", read("+5511987654321", None).unwrap());
        assert!(!shown.contains(|c: char| c.is_ascii_digit()), "{shown}");
    }
}
