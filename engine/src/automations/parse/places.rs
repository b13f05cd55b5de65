//! Locales, countries and time zones as people write them, and as they are called.

use jiff::tz::TimeZone;

use super::super::diagnostic::nearest;
use super::super::model::Zone;

/// ISO 639-1.
const LANGUAGES: &str = "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy \
    da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii \
    ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr \
    ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl \
    sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu";

/// ISO 3166-1 alpha-2.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR \
    BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET \
    FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ \
    IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML \
    MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS \
    PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL \
    TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";

/// What people write for a country, with its code, its usual locale and a zone of it.
const WRITTEN: &[(&str, &str, &str, &str)] = &[
    ("brasil brazil bra", "BR", "pt-BR", "America/Sao_Paulo"),
    ("portugal prt", "PT", "pt-PT", "Europe/Lisbon"),
    ("italia italy italien ita", "IT", "it", "Europe/Rome"),
    (
        "españa espana spain espanha spagna esp",
        "ES",
        "es",
        "Europe/Madrid",
    ),
    ("méxico mexico mex", "MX", "es-MX", "America/Mexico_City"),
    (
        "argentina arg",
        "AR",
        "es-AR",
        "America/Argentina/Buenos_Aires",
    ),
    ("chile chl", "CL", "es-CL", "America/Santiago"),
    ("colombia col", "CO", "es-CO", "America/Bogota"),
    ("perú peru per", "PE", "es-PE", "America/Lima"),
    ("uruguay ury", "UY", "es-UY", "America/Montevideo"),
    (
        "france frankreich frança francia fra",
        "FR",
        "fr",
        "Europe/Paris",
    ),
    (
        "germany deutschland alemanha germania alemania deu ger",
        "DE",
        "de",
        "Europe/Berlin",
    ),
    ("austria österreich aut", "AT", "de-AT", "Europe/Vienna"),
    (
        "switzerland schweiz suisse svizzera che",
        "CH",
        "de-CH",
        "Europe/Zurich",
    ),
    (
        "uk england britain united-kingdom great-britain gbr",
        "GB",
        "en-GB",
        "Europe/London",
    ),
    ("ireland irl", "IE", "en-IE", "Europe/Dublin"),
    (
        "usa united-states america estados-unidos eua",
        "US",
        "en-US",
        "America/New_York",
    ),
    (
        "netherlands nederland holland nld",
        "NL",
        "nl",
        "Europe/Amsterdam",
    ),
];

/// What people write for a language.
const SPOKEN: &[(&str, &str)] = &[
    (
        "portuguese português portugues brazilian brasileiro",
        "pt-BR",
    ),
    ("english inglês ingles inglese", "en"),
    ("italian italiano", "it"),
    ("spanish español espanol castellano espanhol spagnolo", "es"),
    ("french français francais francês francese", "fr"),
    ("german deutsch alemão tedesco", "de"),
];

/// What people write for a zone that is no IANA name: offsets and abbreviations.
const OFFSETS: &[(&str, &str)] = &[
    ("-3 -03 -0300 -03:00 brt bst3", "America/Sao_Paulo"),
    ("-4 -04 -0400 -04:00 amt clt", "America/Manaus"),
    ("-5 -05 -0500 -05:00 cot pet", "America/Bogota"),
    ("-6 -06 -0600 -06:00", "America/Mexico_City"),
    ("-8 -08 -0800 -08:00 pst pt", "America/Los_Angeles"),
    ("0 +0 +00 +00:00", "Europe/London"),
    ("+1 +01 +0100 +01:00 cest", "Europe/Rome"),
    ("+2 +02 +0200 +02:00 eest", "Europe/Athens"),
];

fn has_word(words: &str, word: &str) -> bool {
    words.split_whitespace().any(|one| one == word)
}

/// Whether `code` is an ISO 3166 alpha-2 code in capitals.
pub(crate) fn is_country(code: &str) -> bool {
    code.len() == 2 && has_word(COUNTRIES, code)
}

/// The code in capitals.
///
/// # Errors
/// The whole sentence that says what to write.
pub(crate) fn country(text: &str) -> Result<String, String> {
    let upper = text.to_uppercase();
    if is_country(&upper) {
        return Ok(upper);
    }
    let lower = text.trim().to_lowercase().replace(' ', "-");
    let known = WRITTEN
        .iter()
        .find(|(words, ..)| has_word(words, &lower))
        .map(|(_, code, ..)| *code);
    let known = known.or_else(|| {
        let names = WRITTEN
            .iter()
            .flat_map(|(words, ..)| words.split(' '))
            .filter(|word| word.len() > 3);
        let near = nearest(&lower, names)?;
        WRITTEN
            .iter()
            .find(|(words, ..)| has_word(words, near))
            .map(|(_, code, ..)| *code)
    });
    Err(match known {
        Some(code) => format!("\"{text}\" is no country code: write {code}"),
        None => format!("\"{text}\" is no country code: write two capitals, like BR or IT"),
    })
}

/// The locale in canonical case: `pt-BR`, `zh-Hant-TW`.
///
/// # Errors
/// The whole sentence that says what to write.
pub(crate) fn locale(text: &str) -> Result<String, String> {
    if let Some(canonical) = canonical_locale(text) {
        return Ok(canonical);
    }
    let dashed = text.trim().replace(['_', ' '], "-");
    let dashed = dashed.split('.').next().unwrap_or_default();
    let lower = text.trim().to_lowercase();
    let meant = canonical_locale(dashed)
        .or_else(|| written_locale(text))
        .or_else(|| {
            SPOKEN
                .iter()
                .find(|(words, _)| has_word(words, &lower))
                .map(|(_, locale)| (*locale).to_owned())
        });
    Err(match meant {
        Some(locale) => format!("unknown locale \"{text}\": write {locale}"),
        None => format!(
            "unknown locale \"{text}\": write language and country, like pt-BR, or a language, like it"
        ),
    })
}

fn written_locale(text: &str) -> Option<String> {
    let lower = text.trim().to_lowercase();
    let found = WRITTEN
        .iter()
        .find(|(words, code, ..)| *code == text || has_word(words, &lower))?;
    Some(found.2.to_owned())
}

fn canonical_locale(text: &str) -> Option<String> {
    let mut parts = text.split('-');
    let first = parts.next()?;
    let language = first.to_lowercase();
    // A country in capitals is meant as a country: BR is Brazil, not Breton.
    let country_in_capitals =
        !text.contains('-') && first != language && WRITTEN.iter().any(|row| row.1 == first);
    let three_letters =
        language.len() == 3 && language.bytes().all(|byte| byte.is_ascii_lowercase());
    let known = (has_word(LANGUAGES, &language) && !country_in_capitals)
        || (three_letters && !WRITTEN.iter().any(|row| has_word(row.0, &language)));
    if !known {
        return (country_in_capitals && language == "it").then_some(language);
    }
    let mut canonical = language;
    let mut part = parts.next();
    if let Some(script) =
        part.filter(|part| part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_alphabetic()))
    {
        let (head, tail) = script.split_at(1);
        canonical = format!("{canonical}-{}{}", head.to_uppercase(), tail.to_lowercase());
        part = parts.next();
    }
    if let Some(region) = part {
        let upper = region.to_uppercase();
        let area = upper.len() == 3 && upper.bytes().all(|byte| byte.is_ascii_digit());
        if !area && !is_country(&upper) {
            return None;
        }
        canonical = format!("{canonical}-{upper}");
        part = parts.next();
    }
    part.is_none().then_some(canonical)
}

/// The language of a locale: `pt` of `pt-BR`.
pub(crate) fn language(locale: &str) -> &str {
    locale.split('-').next().unwrap_or(locale)
}

/// The zone with its rules.
///
/// # Errors
/// The whole sentence that says what to write.
pub(crate) fn zone(text: &str, country: Option<&str>) -> Result<Zone, String> {
    // An empty name, a path or a POSIX rule must not reach the database.
    let plain = !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/_+-".contains(c));
    if plain && let Ok(zone) = TimeZone::get(text) {
        let name = zone.iana_name().unwrap_or(text).to_owned();
        return Ok(Zone { name, zone });
    }
    let meant = meant_zone(text, country);
    Err(match meant {
        Some(name) => format!("unknown time zone \"{text}\": write {name}"),
        None => {
            format!("unknown time zone \"{text}\": write region and city, like America/Sao_Paulo")
        }
    })
}

fn meant_zone(text: &str, country: Option<&str>) -> Option<String> {
    let lower = text.trim().to_lowercase();
    let offset = lower
        .trim_start_matches("utc")
        .trim_start_matches("gmt")
        .trim();
    let by_offset = OFFSETS
        .iter()
        .find(|(words, _)| has_word(words, offset))
        .map(|(_, zone)| (*zone).to_owned());
    if by_offset.is_some() {
        return by_offset;
    }
    let by_country = |code: &str| {
        WRITTEN
            .iter()
            .find(|row| row.1 == code)
            .map(|row| row.3.to_owned())
    };
    let named = lower.replace(' ', "-");
    if let Some(row) = WRITTEN
        .iter()
        .find(|row| has_word(row.0, &named) || row.1.to_lowercase() == named)
    {
        return Some(row.3.to_owned());
    }
    let city = plain_letters(lower.rsplit('/').next().unwrap_or_default());
    let names: Vec<String> = jiff::tz::db()
        .available()
        .map(|name| name.as_str().to_owned())
        .collect();
    let of_city = names.iter().find(|name| {
        let last = name.rsplit('/').next().unwrap_or_default();
        name.contains('/') && plain_letters(&last.to_lowercase()) == city
    });
    of_city
        .cloned()
        .or_else(|| nearest(text, names.iter().map(String::as_str)).map(str::to_owned))
        .or_else(|| country.and_then(by_country))
}

/// `são paulo` → `saopaulo`.
fn plain_letters(text: &str) -> String {
    text.chars()
        .filter_map(|c| match c {
            'á' | 'à' | 'ã' | 'â' => Some('a'),
            'é' | 'ê' | 'è' => Some('e'),
            'í' => Some('i'),
            'ó' | 'õ' | 'ô' => Some('o'),
            'ú' | 'ü' => Some('u'),
            'ç' => Some('c'),
            c if c.is_alphanumeric() => Some(c),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locales() {
        for (typed, canonical) in [
            ("pt-BR", "pt-BR"),
            ("pt-br", "pt-BR"),
            ("it", "it"),
            ("IT", "it"),
            ("zh-hant-tw", "zh-Hant-TW"),
            ("es-419", "es-419"),
        ] {
            assert_eq!(locale(typed).as_deref(), Ok(canonical));
        }
        for (typed, meant) in [
            ("pt_BR", "write pt-BR"),
            ("pt_BR.UTF-8", "write pt-BR"),
            ("Portuguese", "write pt-BR"),
            ("BR", "write pt-BR"),
            ("xx", "like pt-BR"),
            ("", "like pt-BR"),
            ("pt-XX", "like pt-BR"),
        ] {
            let said = locale(typed).expect_err(typed);
            assert!(said.contains(meant), "{said}");
        }
    }

    #[test]
    fn countries() {
        assert_eq!(country("BR").as_deref(), Ok("BR"));
        assert_eq!(country("br").as_deref(), Ok("BR"));
        assert_eq!(
            country("Brasil"),
            Err("\"Brasil\" is no country code: write BR".into())
        );
        assert_eq!(
            country("UK"),
            Err("\"UK\" is no country code: write GB".into())
        );
        assert!(country("").is_err());
    }

    #[test]
    fn zones() {
        for name in ["America/Sao_Paulo", "UTC", "Europe/Rome"] {
            assert_eq!(zone(name, None).expect("known").name, name);
        }
        for (typed, meant) in [
            ("GMT-3", "America/Sao_Paulo"),
            ("UTC-03:00", "America/Sao_Paulo"),
            ("São Paulo", "America/Sao_Paulo"),
            ("Rome", "Europe/Rome"),
            ("Europe/Roma", "Europe/Rome"),
            ("Brasil", "America/Sao_Paulo"),
        ] {
            assert_eq!(
                zone(typed, None),
                Err(format!("unknown time zone \"{typed}\": write {meant}"))
            );
        }
        for typed in ["", "../etc", "EST5EDT,M3.2.0,M11.1.0"] {
            assert!(zone(typed, None).is_err(), "{typed}");
        }
    }
}
