//! Any HTTP bot: what it is sent, how that is signed, and what its answer means. Pure. docs/chatbot.md shows
//! both.
//!
//! **The secret** is one of Standard Webhooks: `whsec_` and base64 of 24 to 64 random bytes; a text without
//! that prefix is the key as it stands. Of several all sign.
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::event::{Contact, Message};
use shared::secrets::Secret;

use super::{ANSWER_CHARS_MAX, Answer, Burst, Handover, Line, Say, cut, turn};
use crate::actions::webhook;

/// What a bot is asked.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The name of the `[reply.x]`.
    pub reply: &'a str,
    /// Who wrote.
    pub contact: &'a Contact,
    /// Their language, BCP 47.
    pub locale: &'a str,
    /// What they wrote.
    pub burst: &'a Burst,
    /// Earlier messages, oldest first.
    pub history: &'a [Line],
    /// Answers that were given in this conversation before.
    pub turns: u32,
}

/// The request's body.
pub fn request(question: &Question<'_>, now: Timestamp) -> Value {
    let contact = question.contact;
    let mut person = json!({
        "id": contact.id,
        "name": contact.name,
        "locale": question.locale,
        "tags": contact.tags,
        "fields": contact.fields,
        "channel": contact.channel,
        "channel_kind": contact.channel_kind,
    });
    if let Some(person) = person.as_object_mut() {
        let known = [
            ("phone", &contact.phone),
            ("bsuid", &contact.bsuid),
            ("email", &contact.email),
        ];
        for (name, value) in known {
            if let Some(value) = value {
                person.insert(name.to_owned(), json!(value));
            }
        }
    }
    let messages: Vec<Value> = question.burst.messages().map(message).collect();
    let line = |line: &Line| {
        json!({
            "from": if line.theirs { "contact" } else { "us" },
            "text": line.text,
            "at": line.at.to_string(),
        })
    };
    json!({
        "type": "message.received",
        "timestamp": now.to_string(),
        "data": {
            "reply": question.reply,
            "messages": messages,
            "contact": person,
            "history": question.history.iter().map(line).collect::<Vec<_>>(),
            "turns": question.turns,
        },
    })
}

/// A message as automations know it, without what only says what became of one.
fn message(message: &Message) -> Value {
    let mut json = json!({
        "kind": message.kind,
        "at": message.at.to_string(),
        "attachments": message.attachments,
        "forwarded": message.forwarded,
    });
    if let Some(json) = json.as_object_mut() {
        let known = [
            ("text", &message.text),
            ("button", &message.button),
            ("choice", &message.choice),
            ("card", &message.card),
        ];
        for (name, value) in known {
            if let Some(value) = value {
                json.insert(name.to_owned(), json!(value));
            }
        }
        if let Some(place) = &message.location {
            json.insert("location".to_owned(), json!(place));
        }
    }
    json
}

/// The three headers of Standard Webhooks, for the body as it goes out. `id`: the same for every attempt.
/// `None`: one of the secrets is no key.
pub fn headers(
    id: &str,
    now: Timestamp,
    body: &[u8],
    secrets: &[Secret],
) -> Option<[(&'static str, String); 3]> {
    let time = now.as_second().to_string();
    let signature = webhook::signature(secrets, id, &time, body)?;
    Some([
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", time),
        ("webhook-signature", signature),
    ])
}

/// The answer as bots write it. A key that it does not have is a mistake that somebody should see.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    say: Option<String>,
    say_message: Option<String>,
    ignore: Option<bool>,
    handover: Option<To>,
    note: Option<String>,
}

/// `true`, or a team.
#[derive(Deserialize)]
#[serde(untagged)]
enum To {
    Anybody(bool),
    Team(String),
}

/// What a success says. `knows`: whether there is a `[message.x]` of this name.
///
/// # Errors
/// Why nothing can be done with it, in words that repeat nothing of it.
pub fn read(body: &[u8], knows: &dyn Fn(&str) -> bool) -> Result<Answer, String> {
    let written: Written = serde_json::from_slice(body)
        .map_err(|_| "the bot's answer is none of those documented".to_owned())?;
    let say = written.say.as_deref().map(str::trim);
    if say == Some("") {
        return Err("the bot's say is empty".to_owned());
    }
    let say = say.map(|text| Say::Text(cut(text, ANSWER_CHARS_MAX).to_owned()));
    let why = |what: &str| format!("the bot {what}");
    match (say, written.say_message, written.ignore, written.handover) {
        (Some(say), None, None, None) if written.note.is_none() => Ok(Answer {
            say: Some(say),
            handover: None,
            why: why("answered"),
        }),
        (None, Some(name), None, None) if written.note.is_none() => {
            if knows(&name) {
                Ok(Answer::message(&name, why("answered")))
            } else {
                Err("the bot's say_message is no message of the file".to_owned())
            }
        }
        (None, None, Some(true), None) if written.note.is_none() => {
            Ok(Answer::nothing(why("ignored it")))
        }
        (say, None, None, Some(to @ (To::Anybody(true) | To::Team(_)))) => Ok(Answer {
            say,
            handover: Some(Handover {
                team: match to {
                    To::Team(name) => Some(name),
                    To::Anybody(_) => None,
                },
                note: written.note.as_deref().and_then(turn::noted),
            }),
            why: why("handed over"),
        }),
        _ => Err("the bot's answer is none of those documented".to_owned()),
    }
}

/// Why an answer that is no success is none, in words.
pub fn refusal(status: u16) -> String {
    format!("the bot answered {status}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::testing::{at, other, text};

    #[test]
    fn what_a_bot_is_sent() {
        let contact: Contact = serde_json::from_value(json!({
            "id": "c1", "name": "Maria", "phone": "+5511987654321", "tags": ["vip"], "fields": {"Cidade": "SP"},
            "channel": "br", "channel_kind": "whatsapp", "note": "secret of the team",
        }))
        .unwrap();
        let mut tapped = other(1, "button");
        tapped.button = Some("yes".to_owned());
        let burst = Burst::new(vec![text(0, "oi")], tapped);
        let history = [Line {
            theirs: false,
            text: "Olá".to_owned(),
            at: at(-60),
        }];
        let question = Question {
            reply: "balcao",
            contact: &contact,
            locale: "pt-BR",
            burst: &burst,
            history: &history,
            turns: 2,
        };
        assert_eq!(
            request(&question, at(3)),
            json!({
                "type": "message.received",
                "timestamp": "2026-11-23T15:00:03Z",
                "data": {
                    "reply": "balcao",
                    "turns": 2,
                    "messages": [
                        {"kind": "text", "text": "oi", "at": "2026-11-23T15:00:00Z", "attachments": [], "forwarded": false},
                        {"kind": "button", "button": "yes", "at": "2026-11-23T15:00:01Z", "attachments": [], "forwarded": false},
                    ],
                    "contact": {
                        "id": "c1", "name": "Maria", "phone": "+5511987654321", "locale": "pt-BR", "tags": ["vip"],
                        "fields": {"Cidade": "SP"}, "channel": "br", "channel_kind": "whatsapp",
                    },
                    "history": [{"from": "us", "text": "Olá", "at": "2026-11-23T14:59:00Z"}],
                },
            })
        );
    }

    /// The example of the reference libraries.
    /// <https://github.com/standard-webhooks/standard-webhooks/blob/main/libraries/python/tests/test_standardwebhooks.py>
    #[test]
    fn it_is_signed_as_the_reference_libraries_sign() {
        let now = Timestamp::from_second(1_614_265_330).unwrap();
        let signed = |secret: &str| {
            headers(
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                now,
                br#"{"test": 2432232314}"#,
                &[Secret::new(secret)],
            )
        };
        let expected = [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            (
                "webhook-signature",
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
        ];
        let found = signed("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(
            found
                .each_ref()
                .map(|(name, value)| (*name, value.as_str())),
            expected
        );
        assert_eq!(signed("whsec_!"), None);
    }

    #[test]
    fn what_a_bot_answers() {
        let knows = |name: &str| name == "menu";
        let hands = |team: Option<&str>, note: Option<&str>| {
            Some(Handover {
                team: team.map(str::to_owned),
                note: note.map(str::to_owned),
            })
        };
        let says = |text: &str| Some(Say::Text(text.to_owned()));
        let good: Vec<(Value, Option<Say>, Option<Handover>)> = vec![
            (json!({"say": " Olá! "}), says("Olá!"), None),
            (
                json!({"say_message": "menu"}),
                Some(Say::Message("menu".to_owned())),
                None,
            ),
            (json!({"ignore": true}), None, None),
            (json!({"handover": true}), None, hands(None, None)),
            (
                json!({"handover": "Vendas", "say": "Já vai.", "note": "quer 200 peças"}),
                says("Já vai."),
                hands(Some("Vendas"), Some("quer 200 peças")),
            ),
            (
                json!({"handover": true, "note": " "}),
                None,
                hands(None, None),
            ),
            (json!({"say": "Olá", "ignore": null}), says("Olá"), None),
        ];
        for (body, say, handover) in good {
            let answer = read(body.to_string().as_bytes(), &knows).unwrap();
            assert_eq!((answer.say, answer.handover), (say, handover), "{body}");
        }
        let bad = [
            json!({}),
            json!([]),
            json!("say"),
            json!({"say": ""}),
            json!({"say": 5}),
            json!({"say": "a", "ignore": true}),
            json!({"say": "a", "say_message": "menu"}),
            json!({"say": "a", "note": "b"}),
            json!({"say_message": "gone"}),
            json!({"say_message": "menu", "handover": true}),
            json!({"ignore": false}),
            json!({"handover": false}),
            json!({"handover": 7}),
            json!({"hand_over": true, "say": "a"}),
            json!({"note": "b"}),
        ];
        for body in bad {
            assert!(read(body.to_string().as_bytes(), &knows).is_err(), "{body}");
        }
        assert!(read(b"<html>", &knows).is_err());
        let long = json!({"say": "Uma frase. ".repeat(900)}).to_string();
        let Some(Say::Text(text)) = read(long.as_bytes(), &knows).unwrap().say else {
            panic!()
        };
        assert!(text.ends_with("frase.") && text.chars().count() <= ANSWER_CHARS_MAX);
    }
}
