//! What the sources of forms have in common: answers under the names by which automations ask for them, and
//! who filled the form in.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::booking::{self, PhoneQuestions};
use super::read;
use crate::connections::Connection;
use crate::event::{
    Body, Customer, Event, Form, FreeMap, Head, Name, PhoneCandidate, Subject, SubjectKind,
};
use crate::slug::slug;

/// What `phone_from` may name beside answers: whatever asks for a phone number.
pub(super) const PHONE_PATHS: &[&str] = &[PHONE_QUESTION];
/// Answers may be named one by one.
pub(super) const PHONE_PREFIXES: &[&str] = &[ANSWERS];
/// The answers to whatever asks for a phone number.
const PHONE_QUESTION: &str = "phone_question";
/// What stands before the name of an answer.
const ANSWERS: &str = "answers.";
/// Most questions of a form that are looked at.
pub(super) const QUESTIONS_MAX: usize = 300;

/// What kind of answer a question takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// A phone number, by its own field.
    Phone,
    /// An e-mail address, by its own field.
    Email,
    /// A part of an address or of a name, in a field for whoever it is.
    Contact,
    /// What is typed, a number too.
    Text,
    /// A tick, a choice, a date, a file.
    Other,
}

/// A question, and what was answered.
#[derive(Debug)]
pub(super) struct Question {
    /// Its reference at the provider.
    pub(super) key: Option<String>,
    /// As people read it.
    pub(super) title: Option<String>,
    /// What it takes.
    pub(super) takes: Takes,
    /// `None`: it was left out.
    pub(super) answer: Option<Value>,
}

impl Question {
    /// Whether its title or its reference is one that `is` knows.
    fn is(&self, is: impl Fn(&str) -> bool) -> bool {
        [&self.title, &self.key]
            .into_iter()
            .flatten()
            .any(|text| is(text))
    }

    /// The answer as text, where it is one or a number.
    fn text(&self) -> Option<String> {
        self.answer.as_ref().and_then(read::as_text)
    }
}

/// A form that was filled in.
pub(super) struct Submission {
    /// The form's id.
    pub(super) form_id: String,
    /// What it is called.
    pub(super) title: Option<String>,
    /// The id of this answer to it.
    pub(super) response_id: String,
    /// When it was sent.
    pub(super) submitted_at: Timestamp,
    /// In the form's order.
    pub(super) questions: Vec<Question>,
    /// What the address carried.
    pub(super) hidden: FreeMap,
    /// What the form counted.
    pub(super) score: Option<f64>,
    /// Shows the answer.
    pub(super) response_url: Option<String>,
    /// Whose account it was, where the provider says.
    pub(super) email: Option<String>,
}

impl Submission {
    /// `form.submitted`. The id of the answer tells it from every other one, whatever the form.
    pub(super) fn event(self, connection: &Connection) -> Event {
        let named = Named::of(&self.questions);
        let customer = self.customer(&named, connection);
        let name = &connection.name;
        let subject = Subject::new(SubjectKind::Form, &*self.response_id, self.submitted_at);
        Event {
            event: Head {
                name: Name::FormSubmitted,
                source: name.clone(),
                kind: connection.kind.clone(),
                account: None,
                id: format!("{name}/form/{}/submitted", self.response_id),
                at: self.submitted_at,
                test: false,
                depth: 0,
                notes: Vec::new(),
            },
            customer,
            subject,
            body: Body::Form {
                form: Box::new(Form {
                    id: self.form_id,
                    title: self.title.unwrap_or_default(),
                    response_id: self.response_id,
                    submitted_at: self.submitted_at,
                    answers: named.answers,
                    labels: named.labels,
                    hidden: self.hidden,
                    score: self.score,
                    response_url: self.response_url,
                }),
            },
        }
    }

    fn customer(&self, named: &Named, connection: &Connection) -> Customer {
        let own = read::email(self.email.as_deref());
        let person = Person::of(&self.questions);
        Customer {
            name: person.name,
            first_name: person.first_name,
            last_name: person.last_name,
            email: own.or_else(|| email(&self.questions)),
            phones: self.phones(named, connection),
            ..Customer::default()
        }
    }

    /// Every answer that may be the number. A question that the user named goes before all others; without
    /// one, fields for phone numbers go before what was typed. No form says a country.
    fn phones(&self, named: &Named, connection: &Connection) -> Vec<PhoneCandidate> {
        let asking = PhoneQuestions::of(connection);
        let is_named = connection.phone_question.is_some();
        let rank = |question: &Question| {
            let is_typed = match (question.takes, &question.answer) {
                (Takes::Phone | Takes::Text | Takes::Contact, None | Some(Value::String(_))) => {
                    true
                }
                // "Quantos? 3": a field for numbers takes telephones seldom.
                (Takes::Text, Some(_)) => question
                    .text()
                    .is_some_and(|text| booking::may_be_number(&text)),
                _ => false,
            };
            let asks = is_typed && question.is(|text| asking.ask(text));
            match question.takes {
                _ if asks && is_named => Some(0),
                Takes::Phone => Some(1),
                _ if asks => Some(2),
                Takes::Contact => question
                    .text()
                    .is_some_and(|text| booking::may_be_number(&text))
                    .then_some(3),
                _ => None,
            }
        };
        let questions = self.questions.iter().zip(&named.paths);
        let mut found: Vec<(u8, PhoneCandidate)> = questions
            .filter_map(|(question, path)| Some((rank(question)?, path.as_ref()?, question)))
            .map(|(rank, path, question)| (rank, candidate(path, question.text())))
            .collect();
        found.sort_by_key(|(rank, _)| *rank);
        let mut asked: Vec<PhoneCandidate> = found.into_iter().map(|(_, phone)| phone).collect();
        if asked.is_empty() {
            asked.push(candidate(PHONE_QUESTION, None));
        }
        if connection.phone_from.is_empty() {
            return asked;
        }
        let chosen = connection.phone_from.iter();
        chosen
            .flat_map(|path| match path.strip_prefix(ANSWERS) {
                Some(key) => vec![candidate(path, read::free_text(&named.answers, key))],
                None if path == PHONE_QUESTION => asked.clone(),
                None => vec![candidate(path, None)],
            })
            .collect()
    }
}

fn candidate(path: &str, number: Option<String>) -> PhoneCandidate {
    PhoneCandidate {
        path: path.to_owned(),
        number,
        country: None,
    }
}

/// Answers by the names under which automations find them.
struct Named {
    answers: FreeMap,
    labels: FreeMap,
    /// Where reasons say that each question's answer is, in the form's order.
    paths: Vec<Option<String>>,
}

impl Named {
    /// By the question's reference, and by the slug of its title where no question has that as its reference.
    /// Of two questions with one title the first has the slug, answered or not: what a name stands for must not
    /// change from one answer to the next.
    fn of(questions: &[Question]) -> Named {
        let keys = questions.iter().filter_map(|question| {
            let key = question.key.as_deref()?;
            read::key(key)
        });
        let mut taken: BTreeSet<String> = keys.collect();
        let (mut answers, mut labels) = (FreeMap::new(), FreeMap::new());
        let mut paths = Vec::new();
        for question in questions {
            let title = question.title.as_deref().unwrap_or_default();
            let own = question.key.as_deref().and_then(read::key);
            let by_title = read::key(&slug(title)).filter(|slug| taken.insert(slug.clone()));
            for name in own.iter().chain(&by_title) {
                if let Some(answer) = &question.answer {
                    read::put(&mut answers, name, answer.clone());
                    read::put(&mut labels, name, Value::from(title));
                }
            }
            paths.push(path(own, by_title));
        }
        Named {
            answers,
            labels,
            paths,
        }
    }
}

/// A number says nothing to a reader: then the slug, where there is one.
fn path(own: Option<String>, by_title: Option<String>) -> Option<String> {
    let is_word = |key: &String| !key.bytes().all(|byte| byte.is_ascii_digit());
    let word = own.clone().filter(is_word);
    let name = word.or(by_title).or(own)?;
    Some(format!("{ANSWERS}{name}"))
}

/// The first address in a field for addresses, else in one whose title says so.
fn email(questions: &[Question]) -> Option<String> {
    let address = |question: &Question| read::email(question.text().as_deref());
    let of_field = questions
        .iter()
        .filter(|question| question.takes == Takes::Email);
    let typed = questions.iter().filter(|question| {
        let is_typed = matches!(question.takes, Takes::Text | Takes::Contact);
        is_typed && question.is(|text| words(text).iter().any(|word| MAIL.contains(&word.as_str())))
    });
    of_field.chain(typed).find_map(address)
}

/// Words that ask for an e-mail address, without accents.
const MAIL: &[&str] = &["mail", "email", "correo"];

/// What a form says of a person's name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Person {
    name: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
}

impl Person {
    fn of(questions: &[Question]) -> Person {
        let answered = |wanted: NamePart| {
            let asks = |question: &&Question| {
                let is_typed = matches!(question.takes, Takes::Text | Takes::Contact);
                is_typed && question.is(|text| NamePart::asked_by(text) == Some(wanted))
            };
            questions.iter().filter(asks).find_map(Question::text)
        };
        let whole = answered(NamePart::Whole);
        let first = answered(NamePart::Given);
        let last = answered(NamePart::Family);
        match (whole, first, last) {
            // "Nome" beside "Cognome" asks for the given name.
            (Some(whole), None, Some(last)) if !whole.ends_with(&last) => Person {
                name: read::full_name(Some(&whole), Some(&last)),
                first_name: Some(whole),
                last_name: Some(last),
            },
            (whole, first, last) => Person {
                name: whole.or_else(|| read::full_name(first.as_deref(), last.as_deref())),
                first_name: first,
                last_name: last,
            },
        }
    }
}

/// Which part of a name a question asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NamePart {
    Whole,
    Given,
    Family,
}

/// Words for a name in the languages of [`booking`], without accents.
const NAMES: &[&str] = &[
    "name", "nome", "nombre", "nom", "naam", "chama", "chiami", "chiama", "llamas", "llama",
];
/// Words for a given name, and those that make one of a name.
const GIVEN: &[&str] = &["firstname", "prenome", "prenom", "vorname", "voornaam"];
const MAKE_GIVEN: &[&str] = &["first", "given", "primeiro", "pila"];
/// Words for a family name, and those that make one of a name.
const FAMILY: &[&str] = &[
    "lastname",
    "surname",
    "sobrenome",
    "cognome",
    "apellido",
    "apellidos",
    "nachname",
    "achternaam",
];
const MAKE_FAMILY: &[&str] = &["last", "family", "famille"];
/// What else a question for a name may hold. Any other word makes it a question for something else:
/// `Nome da empresa`, `Company name`.
const FILLERS: &[&str] = &[
    "a",
    "and",
    "bitte",
    "ciao",
    "come",
    "como",
    "complet",
    "complete",
    "completo",
    "cual",
    "de",
    "dein",
    "e",
    "en",
    "es",
    "est",
    "et",
    "favor",
    "full",
    "hello",
    "hi",
    "hola",
    "ihr",
    "il",
    "is",
    "ist",
    "je",
    "jouw",
    "lautet",
    "my",
    "o",
    "oi",
    "ola",
    "please",
    "por",
    "qual",
    "quel",
    "s",
    "se",
    "seu",
    "si",
    "su",
    "suo",
    "te",
    "teu",
    "the",
    "ti",
    "ton",
    "tu",
    "tuo",
    "und",
    "uw",
    "voce",
    "volledige",
    "votre",
    "wie",
    "what",
    "y",
    "your",
];

impl NamePart {
    fn asked_by(text: &str) -> Option<NamePart> {
        let words = words(text);
        let has = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
        let known = [NAMES, GIVEN, MAKE_GIVEN, FAMILY, MAKE_FAMILY, FILLERS].concat();
        if !words.iter().all(|word| known.contains(&word.as_str())) {
            return None;
        }
        let is_name = has(NAMES);
        let is_given = has(GIVEN) || (is_name && has(MAKE_GIVEN));
        match (is_given, has(FAMILY), is_name && has(MAKE_FAMILY)) {
            (true, false, false) => Some(NamePart::Given),
            (true, ..) => Some(NamePart::Whole),
            (false, _, true) => Some(NamePart::Family),
            // "Nome e cognome".
            (false, true, false) if is_name => Some(NamePart::Whole),
            (false, true, false) => Some(NamePart::Family),
            (false, false, false) => is_name.then_some(NamePart::Whole),
        }
    }
}

/// The words of a question in small letters, without accents; of a reference too, `first_name`.
fn words(text: &str) -> Vec<String> {
    let folded = booking::fold(text);
    let words = folded.split(|c: char| !c.is_alphanumeric());
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(key: &str, title: &str, takes: Takes, answer: &str) -> Question {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Question {
            key: text(key),
            title: text(title),
            takes,
            answer: text(answer).map(Value::from),
        }
    }

    #[test]
    fn questions_for_a_name_are_known_and_others_are_not() {
        use NamePart::{Family, Given, Whole};
        for (text, part) in [
            ("Qual é o seu nome?", Some(Whole)),
            ("Como você se chama?", Some(Whole)),
            ("Nome completo", Some(Whole)),
            ("Nome e cognome", Some(Whole)),
            ("Nombre y apellidos", Some(Whole)),
            ("What's your full name?", Some(Whole)),
            ("nome_completo", Some(Whole)),
            ("First name", Some(Given)),
            ("first_name", Some(Given)),
            ("Primeiro nome", Some(Given)),
            ("Vorname", Some(Given)),
            ("Prénom", Some(Given)),
            ("Last name", Some(Family)),
            ("Sobrenome", Some(Family)),
            ("Cognome", Some(Family)),
            ("Nom de famille", Some(Family)),
            ("Nome da empresa", None),
            ("Company name", None),
            ("Qual?", None),
            ("", None),
            ("User name", None),
        ] {
            assert_eq!(NamePart::asked_by(text), part, "{text}");
        }
    }

    #[test]
    fn a_name_is_put_together() {
        let of = |rows: &[(&str, &str)]| {
            let questions: Vec<Question> = rows
                .iter()
                .map(|(title, answer)| question("", title, Takes::Text, answer))
                .collect();
            let person = Person::of(&questions);
            [person.name, person.first_name, person.last_name].map(Option::unwrap_or_default)
        };
        assert_eq!(of(&[("Nome", "Ana Lima")]), ["Ana Lima", "", ""]);
        assert_eq!(
            of(&[("Nome", "Ana"), ("Sobrenome", "Lima")]),
            ["Ana Lima", "Ana", "Lima"]
        );
        assert_eq!(
            of(&[("First name", "Ana"), ("Last name", "Lima")]),
            ["Ana Lima", "Ana", "Lima"]
        );
        assert_eq!(
            of(&[("Nome completo", "Ana Lima"), ("Cognome", "Lima")]),
            ["Ana Lima", "", "Lima"]
        );
        assert_eq!(of(&[("Nome da empresa", "ACME")]), ["", "", ""]);
    }

    #[test]
    fn a_slug_is_the_first_question_s_and_never_another_one_s_reference() {
        let questions = [
            question("tel", "Email", Takes::Text, "1"),
            question("email", "Your e-mail", Takes::Text, ""),
            question("a", "City", Takes::Text, ""),
            question("b", "City", Takes::Text, "Recife"),
            question("", "!!", Takes::Text, "nowhere"),
        ];
        let named = Named::of(&questions);
        let keys = |map: &FreeMap| map.keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&named.answers), ["b", "tel"]);
        assert_eq!(keys(&named.labels), ["b", "tel"]);
        let paths: Vec<&str> = named
            .paths
            .iter()
            .map(|path| path.as_deref().unwrap_or_default())
            .collect();
        let expected = ["answers.tel", "answers.email", "answers.a", "answers.b", ""];
        assert_eq!(paths, expected);
        // An id says nothing: reasons name the slug.
        let named = Named::of(&[question("123", "Cidade", Takes::Text, "Recife")]);
        assert_eq!(keys(&named.answers), ["123", "cidade"]);
        assert_eq!(named.paths, [Some("answers.cidade".to_owned())]);
    }
}
