//! Who asks to be left alone, and who comes back: a message that is one of these words and nothing else.
//!
//! What follows from it, a message that confirms it and a tag at Callbell, are jobs of two automations that
//! stand in no file.

use std::collections::BTreeMap;

use shared::event::{Event, Message, MessageKind, Name, SubjectKind};
use shared::store::{JobRow, PersonRow};

use crate::automations::model::{
    Action, ActionKind, Automation, Automations, ByLocale, Consent, ContactTable, Once, OnceScope,
    OptOut, Purpose, SendHours, Step, Text,
};
use shared::slug::slug;

/// The automation of those who opt out. No file can name one so.
pub const OUT: &str = "(opt-out)";
/// The automation of those who come back.
pub const BACK: &str = "(opt-in)";

/// A word of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    text: &'static str,
    /// A button or a row of a list may bear it for another reason: to cancel a visit, to go back in a menu.
    /// Tapped it means that; whoever types nothing else means us.
    is_doubtful: bool,
}

const fn plain(text: &'static str) -> Word {
    Word {
        text,
        is_doubtful: false,
    }
}

const fn doubtful(text: &'static str) -> Word {
    Word {
        text,
        is_doubtful: true,
    }
}

/// Words that opt out where the file says nothing, in Portuguese, Spanish, Italian, English, French and
/// German.
const WORDS: &[Word] = &[
    doubtful("sair"),
    doubtful("parar"),
    doubtful("pare"),
    doubtful("cancelar"),
    doubtful("remover"),
    plain("descadastrar"),
    plain("parar promoções"),
    plain("baja"),
    doubtful("salir"),
    doubtful("alto"),
    doubtful("detener"),
    plain("darme de baja"),
    plain("no molestar"),
    plain("detener promociones"),
    plain("stop"),
    doubtful("annulla"),
    plain("cancellami"),
    plain("disiscrivimi"),
    doubtful("rimuovi"),
    doubtful("basta"),
    plain("interrompi promozioni"),
    plain("unsubscribe"),
    plain("stopall"),
    plain("stop all"),
    plain("opt out"),
    plain("optout"),
    plain("stop promotions"),
    doubtful("arrêt"),
    doubtful("arrêter"),
    plain("désinscrire"),
    plain("désabonner"),
    doubtful("stopp"),
    plain("abmelden"),
    plain("abbestellen"),
];

/// Words that opt in again where the file says nothing, in the same languages.
const WORDS_BACK: &[Word] = &[
    doubtful("voltar"),
    plain("reativar"),
    doubtful("alta"),
    doubtful("volver"),
    plain("reactivar"),
    doubtful("riprendi"),
    plain("riattiva"),
    doubtful("start"),
    plain("unstop"),
    plain("subscribe"),
    plain("opt in"),
    plain("optin"),
    doubtful("démarrer"),
    doubtful("reprendre"),
    plain("réabonner"),
    plain("anmelden"),
    doubtful("starten"),
];

/// What such a word wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// To be left alone.
    Out,
    /// To be written to again.
    Back,
}

impl Said {
    /// The automation that stands in no file.
    pub fn automation(self) -> &'static str {
        match self {
            Said::Out => OUT,
            Said::Back => BACK,
        }
    }
}

/// What the event's message says, where it is a person's and one of the words alone: case, accents, and
/// signs and spaces around it do not count.
pub fn said(event: &Event, opt_out: &OptOut) -> Option<Said> {
    if event.event.name != Name::MessageReceived {
        return None;
    }
    let message = event.message()?;
    said_in(message, opt_out)
}

fn said_in(message: &Message, opt_out: &OptOut) -> Option<Said> {
    let texts = [&message.text, &message.choice, &message.button];
    let mut texts = texts.into_iter().flatten().map(|text| slug(text));
    let is_tapped = matches!(message.kind, MessageKind::Button | MessageKind::List);
    texts.find_map(|text| {
        if is_one_of(&text, opt_out.words.as_ref(), WORDS, is_tapped) {
            Some(Said::Out)
        } else if is_one_of(&text, opt_out.back.as_ref(), WORDS_BACK, is_tapped) {
            Some(Said::Back)
        } else {
            None
        }
    })
}

fn is_one_of(
    text: &str,
    own: Option<&ByLocale<Vec<String>>>,
    defaults: &[Word],
    is_tapped: bool,
) -> bool {
    let is = |word: &str| !text.is_empty() && slug(word) == text;
    match own {
        None => defaults
            .iter()
            .any(|word| is(word.text) && !(is_tapped && word.is_doubtful)),
        Some(ByLocale::All(words)) => words.iter().any(|word| is(word)),
        Some(ByLocale::Each(lists)) => lists.values().flatten().any(|word| is(word)),
    }
}

/// The file with the two automations that follow from the words, where there is something for them to do.
#[must_use]
pub fn built_in(mut automations: Automations) -> Automations {
    let OptOut { confirm, tag, .. } = automations.opt_out.clone();
    let confirm = confirm.map(|name| (ActionKind::Message, name));
    let of_tag = |name: &str| tag.as_ref().map(|_| (ActionKind::Contact, name.to_owned()));
    let out = [confirm, of_tag(OUT)];
    let back = [None, of_tag(BACK)];
    for (name, actions) in [(OUT, out), (BACK, back)] {
        let steps: Vec<Step> = actions.into_iter().flatten().map(step).collect();
        if !steps.is_empty() {
            let automation = automation(steps);
            automations.automations.insert(name.to_owned(), automation);
        }
    }
    if let Some(tag) = tag {
        let tags = vec![Text(tag)];
        let out = table(tags.clone(), Vec::new());
        automations.contacts.insert(OUT.to_owned(), out);
        let back = table(Vec::new(), tags);
        automations.contacts.insert(BACK.to_owned(), back);
    }
    automations
}

fn step((kind, name): (ActionKind, String)) -> Step {
    Step {
        action: Action { kind, name },
        at: None,
        when: None,
        to: None,
        channel: None,
    }
}

/// On no event: planning names it itself.
fn automation(steps: Vec<Step>) -> Automation {
    Automation {
        on: Vec::new(),
        source: Vec::new(),
        when: None,
        enabled: true,
        consent: Some(Consent::Held),
        stop_on: Vec::new(),
        once: Once {
            scope: OnceScope::Event,
            every: None,
        },
        send_hours: Some(SendHours::Any),
        give_up_after: None,
        if_unknown: None,
        channel: None,
        locale: None,
        to: None,
        steps,
    }
}

fn table(tags: Vec<Text>, remove_tags: Vec<Text>) -> ContactTable {
    ContactTable {
        name: None,
        email: None,
        note: None,
        tags,
        remove_tags,
        fields: BTreeMap::new(),
        assign: None,
        team: None,
        bot: None,
        funnel: None,
        conversation: None,
        create: false,
        update: true,
    }
}

/// Why a letter does not go to somebody who asked to be left alone; `None`: it may. A reply answers what
/// they just wrote, and the confirmation says that they were heard. `purpose`: the message's; `None`: a
/// reply.
pub fn silences(
    recipient: &[PersonRow],
    job: &JobRow,
    event: &Event,
    purpose: Option<Purpose>,
    opt_out: &OptOut,
) -> Option<String> {
    let opted_out = recipient.iter().any(|row| row.opted_out_at.is_some());
    let of_an_order = matches!(
        event.event.name.subject(),
        SubjectKind::Order | SubjectKind::Shipment
    );
    let service = opt_out.service_goes_on && of_an_order && purpose == Some(Purpose::Service);
    let allowed = purpose.is_none() || job.automation == OUT || service;
    (opted_out && !allowed).then(|| "opted out".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(text: &str) -> Message {
        let message = json!({"text": text, "kind": "text", "status": "received", "at": "2026-03-09T12:00:00Z"});
        serde_json::from_value(message).unwrap()
    }

    #[test]
    fn the_whole_message_is_the_word() {
        let rows = [
            ("SAIR", Some(Said::Out)),
            ("  sair!! ", Some(Said::Out)),
            ("*Stop.*", Some(Said::Out)),
            ("Arrêt", Some(Said::Out)),
            ("arret", Some(Said::Out)),
            ("BAJA", Some(Said::Out)),
            ("annulla 🙏", Some(Said::Out)),
            ("Abmelden", Some(Said::Out)),
            ("STOP ALL", Some(Said::Out)),
            ("Voltar", Some(Said::Back)),
            ("ALTA", Some(Said::Back)),
            ("start", Some(Said::Back)),
            ("quero sair", None),
            ("stop it please", None),
            ("sairei", None),
            ("!!", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(
                said_in(&message(text), &OptOut::default()),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn the_files_words_take_the_place_of_ours() {
        let list = |words: &[&str]| {
            words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        };
        let each = BTreeMap::from([
            ("pt-BR".to_owned(), list(&["Chega"])),
            ("it".to_owned(), list(&["non più"])),
        ]);
        let own = OptOut {
            words: Some(ByLocale::Each(each)),
            back: Some(ByLocale::All(list(&["oi"]))),
            ..OptOut::default()
        };
        let rows = [
            ("chega", Some(Said::Out)),
            ("NON PIU'", Some(Said::Out)),
            ("Oi!", Some(Said::Back)),
            ("sair", None),
            ("start", None),
        ];
        for (text, expected) in rows {
            assert_eq!(said_in(&message(text), &own), expected, "{text}");
        }
    }

    #[test]
    fn a_tapped_button_says_it_too() {
        let mut tapped = message("");
        tapped.text = None;
        tapped.choice = Some("Stop promotions".to_owned());
        assert_eq!(said_in(&tapped, &OptOut::default()), Some(Said::Out));
    }

    /// A button of a reminder that cancels the visit, one of a menu that goes back.
    #[test]
    fn a_tapped_button_may_mean_something_else() {
        for (word, typed) in [("Cancelar", Said::Out), ("Voltar", Said::Back)] {
            assert_eq!(said_in(&message(word), &OptOut::default()), Some(typed));
            for kind in [MessageKind::Button, MessageKind::List] {
                let tapped = Message {
                    kind,
                    ..message(word)
                };
                assert_eq!(said_in(&tapped, &OptOut::default()), None, "{word}");
                let own = OptOut {
                    words: Some(ByLocale::All(vec!["cancelar".to_owned()])),
                    back: Some(ByLocale::All(vec!["voltar".to_owned()])),
                    ..OptOut::default()
                };
                assert_eq!(said_in(&tapped, &own), Some(typed), "the file says so");
            }
        }
    }

    #[test]
    fn no_word_means_both() {
        for word in WORDS_BACK {
            let is_same = |out: &Word| slug(out.text) == slug(word.text);
            assert!(!WORDS.iter().any(is_same), "{word:?}");
        }
    }
}
