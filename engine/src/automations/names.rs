//! People's names.

/// Words before a name that are not the name; without dots, small letters. A word with a dot at its
/// end counts only with it.
const TITLES: &[&str] = &[
    "dott.",
    "dott",
    "dott.ssa",
    "dottssa",
    "dottor",
    "dottoressa",
    "dr",
    "dr.",
    "dra",
    "dra.",
    "drs.",
    "sr",
    "sr.",
    "sra",
    "sra.",
    "srta",
    "srta.",
    "senhor",
    "senhora",
    "señor",
    "señora",
    "señorita",
    "sig",
    "sig.",
    "sig.ra",
    "sigra",
    "signor",
    "signora",
    "signorina",
    "mr",
    "mr.",
    "mrs",
    "mrs.",
    "ms",
    "ms.",
    "miss",
    "mx",
    "mx.",
    "m.",
    "mme",
    "mme.",
    "mlle",
    "mlle.",
    "monsieur",
    "madame",
    "herr",
    "frau",
    "prof",
    "prof.",
    "profa",
    "profa.",
    "prof.ssa",
    "ing",
    "ing.",
    "eng",
    "eng.",
    "avv",
    "avv.",
    "geom.",
    "arch.",
    "rag.",
    "lic",
    "lic.",
    "dona",
    "doña",
    "d.",
    "dª",
    "rev.",
    "sir",
];

/// Words that belong to the one behind them.
const PARTICLES: &[&str] = &[
    "da", "de", "do", "das", "dos", "del", "della", "dello", "dei", "degli", "di", "du", "des",
    "la", "le", "lo", "los", "las", "van", "von", "der", "den", "ter", "ten", "zu", "zum", "zur",
    "el", "al", "y", "e", "ibn", "bin", "st.", "san", "santa",
];

/// The given name of a whole name. Capitals or small letters throughout become a name's, mixed ones
/// stay as they are, other scripts too. `Silva, Maria` is Maria.
pub(crate) fn first_name(name: &str) -> String {
    let after_comma = match name.split_once(',') {
        Some((_, given)) if given.chars().any(char::is_alphabetic) => given,
        Some((family, _)) => family,
        None => name,
    };
    let is_word = |word: &&str| word.chars().any(char::is_alphabetic);
    let words: Vec<&str> = after_comma.split_whitespace().filter(is_word).collect();
    let titled = |word: &&&str| TITLES.contains(&word.to_lowercase().as_str());
    let titles = words.iter().take_while(titled).count();
    // A title and nothing else is all there is.
    let titles = if titles == words.len() { 0 } else { titles };
    let mut rest = words.into_iter().skip(titles);
    let mut parts = Vec::new();
    for word in rest.by_ref() {
        let bound = PARTICLES.contains(&word.to_lowercase().as_str());
        parts.push(cased(word));
        if !bound {
            break;
        }
    }
    parts.join(" ")
}

/// `MARIA` and `maria` → `Maria`, `JEAN-PIERRE` → `Jean-Pierre`, `McArthur` stays.
fn cased(word: &str) -> String {
    let letters = || word.chars().filter(|c| c.is_alphabetic());
    let mixed = letters().any(char::is_lowercase) && letters().any(char::is_uppercase);
    let single = letters().count() == 1;
    let is_latin =
        |c: char| c.is_ascii() || matches!(c, '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}');
    if mixed || single || !letters().all(is_latin) {
        return word.to_owned();
    }
    let mut out = String::with_capacity(word.len());
    let mut at_start = true;
    for c in word.chars() {
        if at_start {
            out.extend(c.to_uppercase());
        } else {
            out.extend(c.to_lowercase());
        }
        at_start = matches!(c, '-' | '\'' | '’' | '.');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_names() {
        let rows = [
            ("MARIA DA SILVA", "Maria"),
            ("maria", "Maria"),
            ("Dott. Mario Rossi", "Mario"),
            ("Dott.ssa ANNA BIANCHI", "Anna"),
            ("Sig.ra Anna", "Anna"),
            ("Dr. Dra. João", "João"),
            ("Prof. Dr. Hans Müller", "Hans"),
            ("Dr.", "Dr."),
            ("Silva, Maria da", "Maria"),
            ("JEAN-PIERRE D'ARC", "Jean-Pierre"),
            ("D’ARTAGNAN", "D’Artagnan"),
            ("McArthur Bill", "McArthur"),
            ("ÉLODIE", "Élodie"),
            ("de la Cruz Ana", "De La Cruz"),
            ("J. SMITH", "J."),
            ("✨ ana ✨", "Ana"),
            ("山田太郎", "山田太郎"),
            ("МАРИЯ ИВАНОВА", "МАРИЯ"),
            ("", ""),
            ("🙂", ""),
        ];
        for (name, expected) in rows {
            assert_eq!(first_name(name), expected, "{name}");
        }
    }
}
